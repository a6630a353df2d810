/* MariaDB and MySQL; the only file that sees libmariadb. Statements are prepared once on a
 * connection and kept; rows are fetched one by one. Called by sql.c. */
#include <mysql.h>
#include <stdlib.h>

#include "auth-ldap/worker/sql_db.h"
#include "core/base/xalloc.h"

enum { STATEMENTS_MAX = 16, PARAMS_MAX = 16, ER_LOST_FIRST = 2000, ER_LOST_LAST = 2999 };

struct statement {
	char *text;
	MYSQL_STMT *stmt;
};

struct db {
	MYSQL *my;
	struct statement statements[STATEMENTS_MAX];
	size_t statements_count;
};

static void
my_close(struct db *d)
{
	for (size_t i = 0; i < d->statements_count; i++) {
		(void)mysql_stmt_close(d->statements[i].stmt);
		free(d->statements[i].text);
	}
	mysql_close(d->my);
	free(d);
}

static bool
set_options(MYSQL *my, const struct settings_sql *s, bool socket, bool tls)
{
	/* else "localhost" would be a socket of its own choice */
	unsigned protocol = socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	unsigned connect_sec = (unsigned)((s->connect_timeout + 999) / 1000);
	unsigned query_sec = (unsigned)((s->query_timeout + 999) / 1000);
	bool verify = str_eq(s->tls, STR("verify"));
	my_bool on = 1, off = 0;
	unsigned none = 0;
	int rc = mysql_options(my, MYSQL_OPT_CONNECT_TIMEOUT, &connect_sec);

	rc |= mysql_options(my, MYSQL_OPT_PROTOCOL, &protocol);
	rc |= mysql_options(my, MYSQL_OPT_READ_TIMEOUT, &query_sec);
	rc |= mysql_options(my, MYSQL_OPT_WRITE_TIMEOUT, &query_sec);
	rc |= mysql_options(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	rc |= mysql_options(my, MYSQL_OPT_RECONNECT, &off);
	/* a server could ask the client for its files */
	rc |= mysql_options(my, MYSQL_OPT_LOCAL_INFILE, &none);
	if (tls) {
		rc |= mysql_options(my, MYSQL_OPT_SSL_ENFORCE, &on);
		rc |= mysql_options(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, verify ? &on : &off);
		if (verify)
			rc |= mysql_options(
				my, MYSQL_OPT_SSL_CA, s->ca.n != 0 ? s->ca.p : DB_SYSTEM_CA);
	}
	return rc == 0;
}

static struct db *
my_open(const struct settings_sql *s, struct buf *why)
{
	struct db *d = xcalloc(1, sizeof *d);
	bool socket = s->host.n != 0 && s->host.p[0] == '/';

	d->my = mysql_init(NULL);
	if (d->my == NULL) {
		buf_addz(why, "out of memory");
		free(d);
		return NULL;
	}
	if (set_options(d->my, s, socket, !socket && !str_eq(s->tls, STR("none"))) &&
		mysql_real_connect(d->my, socket ? "localhost" : s->host.p, s->user.p,
			s->password.p, s->database.p, (unsigned)s->port, socket ? s->host.p : NULL,
			0) != NULL)
		return d;
	buf_addz(why, mysql_error(d->my)[0] != '\0' ? mysql_error(d->my) : "a wrong option");
	my_close(d);
	return NULL;
}

/* Errors of the client library mean the connection; those of the server the query. */
static enum err
failed(MYSQL_STMT *stmt, MYSQL *my, struct buf *why)
{
	unsigned code = stmt != NULL ? mysql_stmt_errno(stmt) : mysql_errno(my);

	buf_addz(why, stmt != NULL ? mysql_stmt_error(stmt) : mysql_error(my));
	return code >= ER_LOST_FIRST && code <= ER_LOST_LAST ? ERR_EOF : ERR_TEMP;
}

static enum err
prepare(struct db *d, struct str text, MYSQL_STMT **out, struct buf *why)
{
	struct statement *s = &d->statements[d->statements_count];

	for (size_t i = 0; i < d->statements_count; i++)
		if (str_eq(text, str_of(d->statements[i].text))) {
			*out = d->statements[i].stmt;
			return ERR_OK;
		}
	if (d->statements_count == STATEMENTS_MAX)
		return ERR_EOF; /* settings changed that often: begin anew */
	MYSQL_STMT *stmt = mysql_stmt_init(d->my);

	if (stmt == NULL)
		return failed(NULL, d->my, why);
	if (mysql_stmt_prepare(stmt, text.p, text.n) != 0) {
		enum err e = failed(stmt, d->my, why);
		(void)mysql_stmt_close(stmt);
		return e;
	}
	s->stmt = *out = stmt;
	s->text = str_dup(text);
	d->statements_count++;
	return ERR_OK;
}

static enum err
execute(MYSQL_STMT *stmt, const struct str *params, size_t n, struct buf *why)
{
	MYSQL_BIND bind[PARAMS_MAX] = { { 0 } };
	unsigned long lengths[PARAMS_MAX];

	if (n > PARAMS_MAX || n != mysql_stmt_param_count(stmt)) {
		buf_addz(why, "the query's variables do not stand where values may stand");
		return ERR_TEMP;
	}
	for (size_t i = 0; i < n; i++) {
		lengths[i] = params[i].n;
		bind[i].buffer_type = MYSQL_TYPE_STRING;
		bind[i].buffer = (void *)(uintptr_t)params[i].p;
		bind[i].buffer_length = params[i].n;
		bind[i].length = &lengths[i];
	}
	if ((n != 0 && mysql_stmt_bind_param(stmt, bind) != 0) || mysql_stmt_execute(stmt) != 0)
		return failed(stmt, NULL, why);
	return ERR_OK;
}

struct fetching {
	MYSQL_STMT *stmt;
	MYSQL_BIND bind[DB_COLUMNS_MAX];
	unsigned long lengths[DB_COLUMNS_MAX];
	my_bool nulls[DB_COLUMNS_MAX];
	struct arena *memory;
	struct db_row row;
};

/* Columns are bound without room, so that fetch only tells their lengths. */
static enum err
bind_columns(struct fetching *f, MYSQL_RES *meta, struct buf *why)
{
	const MYSQL_FIELD *fields = mysql_fetch_fields(meta);

	f->row.n = mysql_num_fields(meta);
	if (f->row.n > DB_COLUMNS_MAX) {
		buf_addz(why, "too many columns");
		return ERR_LIMIT;
	}
	for (size_t i = 0; i < f->row.n; i++) {
		f->row.names[i] = str_of(fields[i].name);
		f->bind[i].buffer_type = MYSQL_TYPE_STRING;
		f->bind[i].length = &f->lengths[i];
		f->bind[i].is_null = &f->nulls[i];
	}
	return mysql_stmt_bind_result(f->stmt, f->bind) == 0 ? ERR_OK : failed(f->stmt, NULL, why);
}

static enum err
take_row(struct fetching *f, struct buf *why)
{
	arena_reset(f->memory);
	for (size_t i = 0; i < f->row.n; i++) {
		MYSQL_BIND one = { .buffer_type = MYSQL_TYPE_STRING };
		unsigned long length = f->lengths[i];
		char *memory;
		f->row.values[i] = (struct str){ NULL, 0 };
		if (f->nulls[i])
			continue;
		memory = length <= DB_VALUE_MAX ? arena_calloc(f->memory, 1, length + 1) : NULL;
		if (memory == NULL) {
			buf_addz(why, "a value is too long");
			return ERR_LIMIT;
		}
		one.buffer = memory;
		one.buffer_length = length + 1;
		one.length = &length;
		if (length != 0 && mysql_stmt_fetch_column(f->stmt, &one, (unsigned)i, 0) != 0)
			return failed(f->stmt, NULL, why);
		f->row.values[i] = str_n(memory, f->lengths[i]);
	}
	return ERR_OK;
}

static enum err
fetch_all(struct fetching *f, db_row_fn fn, void *arg, struct buf *why)
{
	for (;;) {
		int rc = mysql_stmt_fetch(f->stmt);
		enum err e;
		if (rc == MYSQL_NO_DATA)
			return ERR_OK;
		if (rc != 0 && rc != MYSQL_DATA_TRUNCATED)
			return failed(f->stmt, NULL, why);
		e = take_row(f, why);
		if (e == ERR_OK)
			e = fn(arg, &f->row);
		if (e != ERR_OK)
			return e;
	}
}

static enum err
my_query(struct db *d, struct str text, const struct str *params, size_t n, db_row_fn fn, void *arg,
	struct buf *why)
{
	struct fetching *f = xcalloc(1, sizeof *f);
	MYSQL_RES *meta = NULL;
	enum err e = prepare(d, text, &f->stmt, why);

	f->memory = arena_new((size_t)DB_COLUMNS_MAX * (DB_VALUE_MAX + 64));
	if (e == ERR_OK)
		e = execute(f->stmt, params, n, why);
	if (e == ERR_OK) {
		meta = mysql_stmt_result_metadata(f->stmt);
		if (meta == NULL) {
			buf_addz(why, "the query gives no rows");
			e = ERR_TEMP;
		}
	}
	if (e == ERR_OK)
		e = bind_columns(f, meta, why);
	if (e == ERR_OK)
		e = fetch_all(f, fn, arg, why);
	if (f->stmt != NULL)
		(void)mysql_stmt_free_result(f->stmt);
	if (meta != NULL)
		mysql_free_result(meta);
	arena_free(f->memory);
	free(f);
	return e;
}

const struct db_driver db_mysql = {
	.numbered = false, .open = my_open, .query = my_query, .close = my_close
};
