/* Questions to an sql section: which query, and what its rows mean. Called by job.c in the helper
 * process; keeps one connection for each section. Invariant: what a client typed is a parameter of
 * the query, never part of its text. */
#include <stdlib.h>

#include "auth-ldap/worker/sql_db.h"
#include "auth-ldap/worker/variables.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { WHY_BYTES = 1024, AMBIGUOUS_MAX = 3 };

struct connection {
	struct connection *next;
	const struct settings *settings; /* a reload makes new ones */
	size_t index;
	const struct db_driver *driver;
	struct db *db; /* NULL: not open */
};
static struct connection *connections;

static const struct settings_sql *
section(const struct job *j)
{
	return &j->settings->sqls[j->index];
}

static void
forget_old(const struct settings *now)
{
	for (struct connection **at = &connections; *at != NULL;) {
		struct connection *c = *at;
		if (c->settings == now) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		if (c->db != NULL)
			c->driver->close(c->db);
		free(c);
	}
}

static struct connection *
get_connection(const struct job *j)
{
	struct connection *c;

	forget_old(j->settings);
	for (c = connections; c != NULL && c->index != j->index; c = c->next)
		;
	if (c == NULL) {
		c = xcalloc(1, sizeof *c);
		c->settings = j->settings;
		c->index = j->index;
		c->driver = str_eq(section(j)->driver, STR("pgsql")) ? &db_pgsql : &db_mysql;
		c->next = connections;
		connections = c;
	}
	return c;
}

struct asking {
	struct job *job;
	db_row_fn fn; /* ours, behind the limit */
	void *arg;
	bool limited;
	int64_t rows;
};

static enum err
on_row(void *arg, const struct db_row *row)
{
	struct asking *a = arg;

	if (++a->rows > section(a->job)->rows_max && a->limited)
		return ERR_LIMIT;
	return a->fn(a->arg, row);
}

static void
close_connection(struct connection *c)
{
	if (c->db != NULL)
		c->driver->close(c->db);
	c->db = NULL;
}

static enum err
fail_query(struct job *j, const char *name, enum err e, struct buf *why)
{
	if (why->n == 0)
		buf_addz(why, e == ERR_LIMIT ? "more than rows_max rows" : err_name(e));
	log_event(LVL_ERROR, "authworker.sql", log_s("title", j->q->title), log_z("query", name),
		log_s("reason", buf_str(why)));
	return job_fail(j, ERR_TEMP, e == ERR_LIMIT ? REASON_LIMIT : REASON_DIRECTORY, "%s: %.*s",
		name, STR_FMT(buf_str(why)));
}

/* One query, on a new connection where the old one turns out to be dead. fn's ERR_DENIED is handed
 * back; all else that fails is ERR_TEMP. */
static enum err
ask(struct job *j, const char *name, struct str template, db_row_fn fn, void *arg)
{
	struct connection *c = get_connection(j);
	struct asking a = { .job = j, .fn = fn, .arg = arg, .limited = j->q->kind != ASK_LIST };
	enum err e = ERR_EOF;
	struct query q;
	struct buf why;
	bool fresh;

	buf_init(&why, WHY_BYTES);
	if (query_make(j, template, c->driver->numbered, &q) != ERR_OK) {
		e = fail_query(j, name, ERR_SYNTAX, &why);
		goto out;
	}
	do {
		buf_reset(&why);
		fresh = c->db == NULL;
		if (fresh)
			c->db = c->driver->open(section(j), &why);
		if (c->db == NULL)
			break;
		e = c->driver->query(
			c->db, buf_str(&q.text), q.params, q.params_count, on_row, &a, &why);
		/* also a slow or strange answer: what is left of it must not be the next one's */
		if (e != ERR_OK && e != ERR_DENIED)
			close_connection(c);
	} while (e == ERR_EOF && !fresh && a.rows == 0);
	if (e != ERR_OK && e != ERR_DENIED)
		e = fail_query(j, name, e, &why);
out:
	query_fini(&q);
	buf_fini(&why);
	return e;
}

/* Out of a row; strings lie in arena. */
static enum err
row_account(const struct db_row *row, struct arena *a, struct account *out, struct str *bad_out)
{
	account_init(out);
	for (size_t i = 0; i < row->n; i++) {
		struct str value;
		if (row->values[i].p == NULL)
			continue;
		if (arena_str(a, row->values[i], &value) != ERR_OK)
			return ERR_LIMIT;
		/* columns that are none of ours are no mistake */
		if (account_set(out, row->names[i], value) != ERR_SYNTAX)
			continue;
		if (arena_str(a, row->names[i], bad_out) != ERR_OK)
			*bad_out = STR_EMPTY;
		return ERR_SYNTAX;
	}
	return ERR_OK;
}

struct found {
	struct job *job;
	struct account account;
	struct str bad;
	enum err err;
	unsigned rows;
	struct buf names;
};

static enum err
on_user(void *arg, const struct db_row *row)
{
	struct found *f = arg;
	struct account a;
	struct str bad = STR_EMPTY;
	enum err e = row_account(row, f->job->arena, &a, &bad);

	if (e == ERR_LIMIT)
		return ERR_LIMIT;
	if (f->rows++ == 0) {
		f->account = a;
		f->bad = bad;
		f->err = e;
	}
	if (f->rows <= AMBIGUOUS_MAX)
		buf_addf(&f->names, "%s%.*s", f->names.n != 0 ? ", " : "", STR_FMT(a.user.user));
	return f->rows > AMBIGUOUS_MAX ? ERR_DENIED : ERR_OK;
}

/* The one user that a query gives. */
static enum err
find_user(struct job *j, const char *name, struct str query, struct account *out)
{
	struct found f = { .job = j };
	enum err e;

	buf_init(&f.names, WHY_BYTES);
	e = ask(j, name, query, on_user, &f);
	if (e == ERR_OK && f.rows == 0)
		e = ERR_NOTFOUND;
	else if (f.rows > 1 && (e == ERR_OK || e == ERR_DENIED))
		e = job_fail(j, ERR_DENIED, REASON_AMBIGUOUS, "%s: more than one row: %.*s", name,
			STR_FMT(buf_str(&f.names)));
	else if (e == ERR_OK && f.err != ERR_OK)
		e = job_fail(j, ERR_DENIED, REASON_ENTRY, "%s: column %.*s has no usable value",
			name, STR_FMT(f.bad));
	buf_fini(&f.names);
	if (e != ERR_OK)
		return e;
	*out = f.account;
	if (out->user.user.n == 0)
		out->user.user = j->name.address;
	out->user.source = out->user.user;
	return ERR_OK;
}

static enum err
about_user(struct job *j, const char *name, struct str query)
{
	struct account a;
	enum err e = find_user(j, name, query, &a);

	return e == ERR_OK ? account_answer(j, &a, section(j)->default_scheme) : e;
}

struct values {
	struct job *job;
	size_t count;
};

static enum err
on_value(void *arg, const struct db_row *row)
{
	struct values *v = arg;

	if (row->n == 0 || row->values[0].n == 0)
		return ERR_OK;
	v->count++;
	return job_value(v->job, row->values[0]) == ERR_OK ? ERR_OK : ERR_LIMIT;
}

static enum err
values(struct job *j, const char *name, struct str query)
{
	struct values v = { .job = j };

	if (query.n == 0)
		return ERR_NOTFOUND;
	enum err e = ask(j, name, query, on_value, &v);

	return e == ERR_OK && v.count == 0 ? ERR_NOTFOUND : e;
}

static enum err
on_any(void *arg, const struct db_row *row)
{
	bool *any = arg;

	(void)row;
	*any = true;
	return ERR_OK;
}

static enum err
domain(struct job *j)
{
	struct str query = section(j)->domain_query;
	bool any = false;
	enum err e;

	if (query.n == 0)
		return ERR_NOTFOUND;
	e = ask(j, "domain_query", query, on_any, &any);
	if (e == ERR_OK)
		e = any ? job_value(j, j->name.domain) : ERR_NOTFOUND;
	return e;
}

static enum err
on_listed(void *arg, const struct db_row *row)
{
	struct job *j = arg;
	struct arena *a = j->arena;
	struct account one;
	struct str bad;
	enum err e;

	arena_reset(a);
	e = row_account(row, a, &one, &bad);
	if (e == ERR_LIMIT)
		return ERR_LIMIT;
	if (e != ERR_OK || one.user.user.n == 0) {
		log_event(LVL_ERROR, "authworker.sql", log_s("title", j->q->title),
			log_z("query", "list_query"), log_s("user", one.user.user),
			log_z("reason", "a row without a usable user is left out"));
		return ERR_OK;
	}
	one.user.source = one.user.user;
	return job_user(j, &one.user) == ERR_OK ? ERR_OK : ERR_LIMIT;
}

/* Those of sender_query, and whose address it is. */
static enum err
senders(struct job *j, const char *mailbox_name, struct str mailbox)
{
	enum err listed = values(j, "sender_query", section(j)->sender_query), own;

	if (listed != ERR_OK && listed != ERR_NOTFOUND)
		return listed;
	own = about_user(j, mailbox_name, mailbox);
	return own == ERR_NOTFOUND ? listed : own;
}

enum err
sql_answer(struct job *j)
{
	const struct settings_sql *s = section(j);
	bool own = s->mailbox_query.n != 0;
	const char *mailbox_name = own ? "mailbox_query" : "user_query";
	struct str mailbox = own ? s->mailbox_query : s->user_query;
	enum err e;

	switch (j->q->kind) {
	case ASK_LOGIN:
	case ASK_USER:
	case ASK_SECRET:
		return about_user(j, "user_query", s->user_query);
	case ASK_ADDRESS:
		return about_user(j, mailbox_name, mailbox);
	case ASK_MEMBERS:
		e = values(j, "alias_query", s->alias_query);
		return e == ERR_NOTFOUND ? about_user(j, mailbox_name, mailbox) : e;
	case ASK_SENDER:
		return senders(j, mailbox_name, mailbox);
	case ASK_CATCHALL:
		return values(j, "catchall_query", s->catchall_query);
	case ASK_DOMAIN:
		return domain(j);
	case ASK_LIST:
		return s->list_query.n != 0 ? ask(j, "list_query", s->list_query, on_listed, j)
					    : ERR_NOTFOUND;
	case ASK_CERTIFICATE:
	case ASK_MASTER:
	case ASK_TRANSPORT:
	case ASK_POST:
		break;
	}
	return ERR_NOTFOUND;
}

void
sql_fini(void)
{
	forget_old(NULL);
}
