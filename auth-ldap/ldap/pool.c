/* The questions to one directory: made here, waiting here, answered from here. directory/ and
 * ldap/search.c ask; searches.c and binders.c carry them, servers.c says to whom.
 *
 * Invariants: a question is in exactly one list (waiting, a connection's, or finished); callers are
 * called from the loop only. What a lost connection had in flight is asked once more, of the
 * server that is in use then, and after that it is ERR_TEMP. */
#include "auth-ldap/ldap/pool.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth-ldap/ldap/pool_impl.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	SEARCH_QUEUE_MAX = 20000,
	ARENA_MAX = 32 * 1024 * 1024,
	ANSWERS_AT_ONCE = 64, /* then others have their turn */
};

struct ldap_conn_options
pool_conn_options(const struct ldap_pool *p, const struct ldap_server *s, bool service)
{
	return (struct ldap_conn_options){
		.target = &s->target,
		.starttls = p->o.starttls,
		.tls = p->tls,
		.method = service ? p->o.method : LDAP_METHOD_NONE,
		.gss = p->o.gss,
		.bind_dn = service ? p->o.bind_dn : STR_EMPTY,
		.bind_password = service ? p->o.bind_password : STR_EMPTY,
		.connect_ms = p->o.connect_ms,
		.setup_ms = p->o.setup_ms,
	};
}

/* Where every server is known to be down, one attempt to reach one is all that a question waits
 * for. */
static int64_t
deadline_ms(const struct ldap_pool *p, int64_t normal_ms)
{
	return normal_ms > p->o.connect_ms && servers_all_down(p) ? p->o.connect_ms : normal_ms;
}

/* ---- questions ---- */

static void
on_ask_deadline(struct loop_timer *t);

static struct ask *
ask_new(struct ldap_pool *p, enum ldap_op_type type, ldap_fn fn, void *arg)
{
	struct ask *a = xcalloc(1, sizeof *a);
	a->op.type = type;
	a->op.arena = arena_new(ARENA_MAX);
	a->op.entries_end = &a->op.entries;
	list_init(&a->op.link);
	buf_init_secret(&a->op.password, 64 * 1024);
	a->pool = p;
	a->fn = fn;
	a->arg = arg;
	a->begin_ms = clock_ms();
	loop_timer_init(&a->deadline, p->loop, on_ask_deadline, a);
	return a;
}

void
ask_free(struct ask *a)
{
	loop_timer_stop(&a->deadline);
	list_remove(&a->op.link);
	buf_fini(&a->op.password);
	arena_free(a->op.arena);
	free(a);
}

void
ask_finish(struct ask *a)
{
	loop_timer_stop(&a->deadline);
	if (a->fn == NULL) {
		ask_free(a);
		return;
	}
	a->finished = true;
	a->binder = NULL;
	a->server = NULL;
	a->op.ms = clock_ms() - a->begin_ms;
	struct str uri;
	/* The server may be gone before the caller hears of it. */
	if (a->op.uri != NULL)
		a->op.uri = arena_str(a->op.arena, str_of(a->op.uri), &uri) == ERR_OK ? uri.p : "";
	list_push_back(&a->pool->finished, &a->op.link);
	loop_task_queue(&a->pool->task);
}

void
ask_fail(struct ask *a, const char *why)
{
	a->op.err = ERR_TEMP;
	(void)snprintf(a->op.text, sizeof a->op.text, "%s", why);
	ask_finish(a);
}

static void
on_finished(struct loop_task *t)
{
	struct ldap_pool *p = t->arg;
	for (unsigned n = 0; n < ANSWERS_AT_ONCE && !list_empty(&p->finished); n++) {
		struct ask *a = CONTAINER_OF(p->finished.next, struct ask, op.link);
		list_remove(&a->op.link);
		a->fn(a->arg, &a->op);
		ask_free(a);
	}
	if (!list_empty(&p->finished))
		loop_task_queue(&p->task);
}

void
ask_again(struct ask *a, struct list *waiting, unsigned *count, const char *why)
{
	a->server = NULL;
	a->binder = NULL;
	list_init(&a->op.link);
	if (a->attempts >= ATTEMPTS_MAX || a->fn == NULL) {
		ask_fail(a, why);
		return;
	}
	a->op.err = ERR_OK;
	a->op.uri = NULL;
	a->op.entries = NULL;
	a->op.entries_end = &a->op.entries;
	a->op.entries_count = 0;
	a->op.references = NULL;
	a->op.references_count = 0;
	a->op.referred = false;
	list_push_front(waiting, &a->op.link);
	(*count)++;
}

void
ask_fail_all(struct list *waiting, unsigned *count, const char *why)
{
	while (!list_empty(waiting)) {
		struct ask *a = CONTAINER_OF(waiting->next, struct ask, op.link);
		list_remove(&a->op.link);
		(*count)--;
		ask_fail(a, why);
	}
}

/* Take a, which no bind connection has, out of its waiting list, or tell its connection. */
static void
ask_withdraw(struct ask *a)
{
	struct ldap_pool *p = a->pool;
	if (a->server != NULL) {
		ldap_conn_abandon(a->server->conn, &a->op);
		if (--a->server->flight == 0)
			a->server->drained_ms = clock_ms();
		a->server = NULL;
		return;
	}
	list_remove(&a->op.link);
	if (a->op.type == LDAP_OP_SEARCH)
		p->search_waiting_count--;
	else
		p->bind_waiting_count--;
}

static void
on_ask_deadline(struct loop_timer *t)
{
	struct ask *a = t->arg;
	struct ldap_pool *p = a->pool;
	struct ldap_server *s = a->server;
	bool asked = s != NULL || a->binder != NULL;
	/* not one byte since the question */
	bool silent = s != NULL && ldap_conn_heard_ms(s->conn) < a->op.sent_ms;
	p->late_total++;
	if (a->binder != NULL)
		binder_drop(a);
	else
		ask_withdraw(a);
	ask_fail(a, asked ? "no answer in time" : "waited too long for a connection");
	if (silent) {
		search_disconnect(s, "silent");
		server_failed(s, "silent");
	}
	servers_drive(p);
}

void
ldap_op_cancel(struct ldap_op *op)
{
	if (op == NULL)
		return;
	struct ask *a = CONTAINER_OF(op, struct ask, op);
	if (a->binder != NULL) {
		a->fn = NULL; /* its connection is free again with the answer, or at the deadline */
		return;
	}
	if (!a->finished)
		ask_withdraw(a);
	ask_free(a);
}

static enum err
copy_query(struct ldap_op *op, const struct ldap_query *q)
{
	op->scope = q->scope;
	op->size_limit = q->size_limit;
	op->page_size = q->page_size;
	op->conn_id = q->conn_id;
	op->attrs = arena_calloc(op->arena, q->attrs_count + 2, sizeof *op->attrs);
	if (op->attrs == NULL)
		return ERR_LIMIT;
	size_t n = 0;
	for (size_t i = 0; i < q->attrs_count; i++) {
		struct str copy;
		if (q->attrs[i].n == 0)
			continue;
		if (arena_str(op->arena, q->attrs[i], &copy) != ERR_OK)
			return ERR_LIMIT;
		op->attrs[n++] = (char *)(uintptr_t)copy.p;
	}
	static char none[] = "1.1"; /* no attributes, RFC 4511 4.5.1.8 */
	if (n == 0)
		op->attrs[n] = none;
	enum err e = arena_str(op->arena, q->base, &op->base);
	if (e == ERR_OK)
		e = arena_str(op->arena, q->page, &op->page);
	return e == ERR_OK ? arena_str(op->arena, q->filter, &op->filter) : e;
}

static struct ask *
refuse(struct ask *a, const char *why)
{
	a->pool->refused_total++;
	ask_fail(a, why);
	return a;
}

struct ldap_op *
ldap_pool_search(struct ldap_pool *p, const struct ldap_query *q, ldap_fn fn, void *arg)
{
	struct ask *a = ask_new(p, LDAP_OP_SEARCH, fn, arg);
	p->searches_total++;
	if (copy_query(&a->op, q) != ERR_OK || str_has_nul(q->base) || str_has_nul(q->filter))
		return &refuse(a, "the question is too large")->op;
	if (p->search_waiting_count >= SEARCH_QUEUE_MAX)
		return &refuse(a, "too many lookups wait")->op;
	loop_timer_start(&a->deadline, deadline_ms(p, p->o.search_ms));
	list_push_back(&p->search_waiting, &a->op.link);
	p->search_waiting_count++;
	search_pump(p);
	if (p->search_waiting_count > 0)
		servers_drive(p);
	return &a->op;
}

struct ldap_op *
ldap_pool_bind(struct ldap_pool *p, struct str dn, struct str password, ldap_fn fn, void *arg)
{
	struct ask *a = ask_new(p, LDAP_OP_BIND, fn, arg);
	p->binds_total++;
	buf_add(&a->op.password, password);
	if (dn.n == 0 || password.n == 0 || str_has_nul(dn) ||
		buf_check(&a->op.password) != ERR_OK ||
		arena_str(a->op.arena, dn, &a->op.dn) != ERR_OK) {
		a->op.err = ERR_DENIED;
		(void)snprintf(a->op.text, sizeof a->op.text, "empty DN or password");
		ask_finish(a);
		return &a->op;
	}
	if (p->bind_waiting_count >= p->o.bind_queue_max)
		return &refuse(a, "too many logins wait")->op;
	loop_timer_start(&a->deadline, deadline_ms(p, p->o.bind_ms));
	list_push_back(&p->bind_waiting, &a->op.link);
	p->bind_waiting_count++;
	bind_pump(p);
	if (p->active == NULL)
		servers_drive(p);
	return &a->op;
}

/* ---- the pool ---- */

enum err
ldap_pool_new(struct loop *l, const struct ldap_pool_options *o, struct ldap_pool **out,
	const char **err_out)
{
	struct ldap_pool *p = xcalloc(1, sizeof *p);
	p->loop = l;
	p->o = *o;
	struct list *lists[] = { &p->search_waiting, &p->bind_waiting, &p->connecting, &p->idle,
		&p->busy, &p->finished };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_init(lists[i]);
	loop_task_init(&p->task, l, on_finished, p);
	const struct tls_client_options tls = { .ca_pem = o->ca_pem,
		.certificate_pem = o->client_certificate_pem,
		.key_pem = o->client_key_pem,
		.min_version = o->tls_min_version,
		.insecure = !o->verify,
		.read_ahead = true };
	enum err e = tls_ctx_new_client(&tls, &p->tls, err_out);
	if (e != ERR_OK) {
		free(p);
		return ERR_SYNTAX;
	}
	if (servers_init(p, err_out) != ERR_OK) {
		ldap_pool_free(p);
		return ERR_SYNTAX;
	}
	*out = p;
	return ERR_OK;
}

static void
drop_all(struct list *asks)
{
	while (!list_empty(asks))
		ask_free(CONTAINER_OF(asks->next, struct ask, op.link));
}

void
ldap_pool_free(struct ldap_pool *p)
{
	if (p == NULL)
		return;
	/* what is in flight comes back into the lists of those that wait */
	binders_fini(p);
	servers_fini(p);
	loop_task_cancel(&p->task);
	drop_all(&p->search_waiting);
	drop_all(&p->bind_waiting);
	drop_all(&p->finished);
	tls_ctx_unref(p->tls);
	free(p);
}

/* ---- status ---- */

void
ldap_pool_status(const struct ldap_pool *p, struct ldap_pool_status *out)
{
	*out = (struct ldap_pool_status){ .binds = p->binders_count,
		.binds_ready = p->binders_count - p->connecting_count,
		.binds_waiting = p->bind_waiting_count,
		.searches_waiting = p->search_waiting_count,
		.search_ready = p->active != NULL && p->active->ready };
	for (size_t i = 0; i < p->servers_count; i++)
		out->searches_sent += p->servers[i]->flight;
}

static const char *
state_name(enum server_state s)
{
	switch (s) {
	case SERVER_UNTRIED:
		return "untried";
	case SERVER_UP:
		return "up";
	case SERVER_DOWN:
		return "down";
	}
	return "";
}

static void
add_quoted(struct buf *out, const char *z)
{
	for (; *z != '\0'; z++) {
		unsigned char c = (unsigned char)*z;
		buf_addc(out, c < ' ' || c == 0x7f ? ' ' : c == '"' ? '\'' : *z);
	}
}

void
ldap_pool_status_text(const struct ldap_pool *p, struct buf *out)
{
	buf_addf(out,
		"directory=%.*s servers=%zu used=%s searches_waiting=%u binds_waiting=%u "
		"bind_connections=%u binds_in_flight=%u searches_total=%llu binds_total=%llu "
		"refused_total=%llu late_total=%llu\n",
		STR_FMT(p->o.name), p->servers_count,
		p->active != NULL ? p->active->target.uri : "none", p->search_waiting_count,
		p->bind_waiting_count, p->binders_count, p->bind_flight,
		(unsigned long long)p->searches_total, (unsigned long long)p->binds_total,
		(unsigned long long)p->refused_total, (unsigned long long)p->late_total);
	if (p->srv != NULL && ldap_srv_error(p->srv)[0] != '\0') {
		buf_addf(out, "directory=%.*s discovery=failing error=\"", STR_FMT(p->o.name));
		add_quoted(out, ldap_srv_error(p->srv));
		buf_addz(out, "\"\n");
	}
	for (size_t i = 0; i < p->servers_count; i++) {
		const struct ldap_server *s = p->servers[i];
		buf_addf(out,
			"directory=%.*s uri=%s address=%s state=%s used=%s since_sec=%lld "
			"connections=%u searches_in_flight=%u attempts_total=%llu "
			"failures_total=%llu answers_total=%llu tls=\"%s\"",
			STR_FMT(p->o.name), s->target.uri, s->target.address,
			s->gone ? "leaving" : state_name(s->state), s == p->active ? "yes" : "no",
			(long long)(clock_ms() - s->since_ms) / 1000, s->binders + s->ready,
			s->flight, (unsigned long long)s->attempts, (unsigned long long)s->failures,
			(unsigned long long)s->answers, s->ready ? ldap_conn_tls(s->conn) : "");
		buf_addz(out, " error=\"");
		add_quoted(out, s->state == SERVER_DOWN ? s->error : "");
		buf_addz(out, "\"\n");
	}
}
