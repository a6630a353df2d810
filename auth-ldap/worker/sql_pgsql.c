/* PostgreSQL; the only file that sees libpq. Queries go out with their parameters apart, rows come
 * one by one, and every wait has a deadline, because libpq itself has none. Called by sql.c. */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth-ldap/worker/sql_db.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"

enum { PARAMS_MAX = 16, OPTIONS_MAX = 16 };

struct db {
	PGconn *pg;
	int64_t query_timeout;
	int64_t deadline_ms;
};

struct options {
	const char *keys[OPTIONS_MAX], *values[OPTIONS_MAX];
	size_t n;
};

static void
add(struct options *o, const char *key, const char *value)
{
	if (value[0] == '\0')
		return;
	o->keys[o->n] = key;
	o->values[o->n++] = value;
}

static void
pg_close(struct db *d)
{
	PQfinish(d->pg);
	free(d);
}

/* The server's text without its line ends. */
static void
add_text(struct buf *why, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text != '\n' || text[1] != '\0')
			buf_addc(why, *text == '\n' ? ' ' : *text);
}

static struct db *
pg_open(const struct settings_sql *s, struct buf *why)
{
	struct db *d = xcalloc(1, sizeof *d);
	struct options o = { .n = 0 };
	bool socket = s->host.n != 0 && s->host.p[0] == '/';
	bool tls = !socket && !str_eq(s->tls, STR("none"));
	bool verify = tls && str_eq(s->tls, STR("verify"));
	char port[16] = "", timeout[32], limit[64];

	if (s->port != 0)
		(void)snprintf(port, sizeof port, "%lld", (long long)s->port);
	(void)snprintf(
		timeout, sizeof timeout, "%lld", (long long)(s->connect_timeout + 999) / 1000);
	(void)snprintf(
		limit, sizeof limit, "-c statement_timeout=%lld", (long long)s->query_timeout);
	add(&o, "host", s->host.p);
	add(&o, "port", port);
	add(&o, "dbname", s->database.p);
	add(&o, "user", s->user.p);
	add(&o, "password", s->password.p);
	add(&o, "connect_timeout", timeout);
	add(&o, "options", limit);
	add(&o, "application_name", "postroom");
	add(&o, "client_encoding", "UTF8");
	add(&o, "sslmode", verify ? "verify-full" : tls ? "require" : "disable");
	if (verify)
		add(&o, "sslrootcert", s->ca.n != 0 ? s->ca.p : DB_SYSTEM_CA);
	/* never what lies in some home directory */
	add(&o, "passfile", "/dev/null");
	d->query_timeout = s->query_timeout;
	d->pg = PQconnectdbParams(o.keys, o.values, 0);
	if (d->pg != NULL && PQstatus(d->pg) == CONNECTION_OK && PQsetnonblocking(d->pg, 1) == 0)
		return d;
	add_text(why, d->pg != NULL ? PQerrorMessage(d->pg) : "out of memory");
	pg_close(d);
	return NULL;
}

static enum err
lost(struct db *d, struct buf *why)
{
	add_text(why, PQerrorMessage(d->pg));
	return ERR_EOF;
}

/* Until a result is there, or the connection or the time is over. */
static enum err
wait_result(struct db *d, struct buf *why)
{
	for (;;) {
		struct pollfd p = { .fd = PQsocket(d->pg), .events = POLLIN };
		int64_t left = d->deadline_ms - clock_ms();
		int unsent = PQflush(d->pg), n;
		if (unsent < 0)
			return lost(d, why);
		if (!PQisBusy(d->pg))
			return ERR_OK;
		if (unsent > 0)
			p.events |= POLLOUT;
		if (left <= 0) {
			buf_addz(why, "no answer in time");
			return ERR_TEMP;
		}
		n = poll(&p, 1, (int)left);
		if (n < 0 && errno != EINTR)
			return lost(d, why);
		if (n > 0 && (p.revents & (POLLIN | POLLERR | POLLHUP)) != 0 &&
			PQconsumeInput(d->pg) == 0)
			return lost(d, why);
	}
}

static enum err
give_row(const PGresult *r, struct db_row *row, db_row_fn fn, void *arg, struct buf *why)
{
	row->n = (size_t)PQnfields(r);
	if (row->n > DB_COLUMNS_MAX) {
		buf_addz(why, "too many columns");
		return ERR_LIMIT;
	}
	for (int i = 0; i < (int)row->n; i++) {
		row->names[i] = str_of(PQfname(r, i));
		row->values[i] = PQgetisnull(r, 0, i)
					 ? (struct str){ NULL, 0 }
					 : str_n(PQgetvalue(r, 0, i), (size_t)PQgetlength(r, 0, i));
		if (row->values[i].n > DB_VALUE_MAX) {
			buf_addz(why, "a value is too long");
			return ERR_LIMIT;
		}
	}
	return fn(arg, row);
}

static enum err
take_result(struct db *d, const PGresult *r, struct db_row *row, db_row_fn fn, void *arg,
	struct buf *why)
{
	ExecStatusType status = PQresultStatus(r);

	if (status == PGRES_SINGLE_TUPLE) {
		/* rows that keep coming are an answer */
		d->deadline_ms = clock_ms() + d->query_timeout;
		return give_row(r, row, fn, arg, why);
	}
	if (status == PGRES_TUPLES_OK)
		return ERR_OK;
	if (status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
		buf_addz(why, "the query gives no rows");
		return ERR_TEMP;
	}
	add_text(why, PQresultErrorMessage(r));
	return PQstatus(d->pg) == CONNECTION_OK ? ERR_TEMP : ERR_EOF;
}

static enum err
send_query(struct db *d, struct str text, const struct str *params, size_t n, struct buf *why)
{
	char *query = str_dup(text), *values[PARAMS_MAX];
	const char *borrowed[PARAMS_MAX];
	enum err e = ERR_OK;

	for (size_t i = 0; i < n; i++)
		borrowed[i] = values[i] = str_dup(params[i]);
	if (PQsendQueryParams(d->pg, query, (int)n, NULL, borrowed, NULL, NULL, 0) != 1 ||
		PQsetSingleRowMode(d->pg) != 1)
		e = lost(d, why);
	for (size_t i = 0; i < n; i++)
		free(values[i]);
	free(query);
	return e;
}

static enum err
pg_query(struct db *d, struct str text, const struct str *params, size_t n, db_row_fn fn, void *arg,
	struct buf *why)
{
	struct db_row *row = xcalloc(1, sizeof *row);
	enum err e, result = ERR_OK;

	if (n > PARAMS_MAX) {
		free(row);
		return ERR_LIMIT;
	}
	d->deadline_ms = clock_ms() + d->query_timeout;
	e = send_query(d, text, params, n, why);
	/* to the last result, also behind an error: the connection is used again */
	while (e == ERR_OK) {
		PGresult *r;
		e = wait_result(d, why);
		r = e == ERR_OK ? PQgetResult(d->pg) : NULL;
		if (r == NULL)
			break;
		if (result == ERR_OK)
			result = take_result(d, r, row, fn, arg, why);
		PQclear(r);
	}
	free(row);
	return e != ERR_OK ? e : result;
}

const struct db_driver db_pgsql = {
	.numbered = true, .open = pg_open, .query = pg_query, .close = pg_close
};
