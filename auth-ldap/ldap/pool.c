/* The connections to one directory and what waits for them. directory.c asks; ldap/conn.c speaks.
 *
 * Invariants: a bind connection has one question in flight at most; a question is in exactly one
 * list (waiting, a connection's, or finished); callers are called from the loop only. What a
 * lost connection had in flight is asked once more, of the next server, then it is ERR_TEMP. */
#include "auth-ldap/ldap/pool.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	SERVERS_MAX = 16,
	CONNECTING_MAX = 8,	   /* bind connections on their way at once */
	FLIGHT_MAX = 900,	   /* slapd's conn_max_pending_auth is 1,000 */
	FLIGHT_MAX_ANONYMOUS = 90, /* and conn_max_pending 100 */
	SEARCH_QUEUE_MAX = 20000,
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 1000,
	PROBE_MS = 1000,
	STEADY_MS = 1000,
	IDLE_MS = 60000, /* bind connections beyond the minimum are closed */
	ATTEMPTS_MAX = 2,
	ARENA_MAX = 32 * 1024 * 1024,
};

/* The pool's side of a question. op must be first: the connection hands that back. */
struct ask {
	struct ldap_op op;
	struct ldap_pool *pool;
	ldap_fn fn;
	void *arg;
	struct loop_timer deadline;
	struct binder *binder;	/* the bind connection that has it */
	struct ldap_conn *conn; /* the connection that has it */
	unsigned attempts;
	bool finished; /* in pool->finished */
};

struct server {
	struct ldap_target target;
	int64_t down_until_ms;
	int64_t backoff_ms;
	bool down;
};

struct binder {
	struct list link;
	struct ldap_pool *pool;
	struct server *server;
	struct ldap_conn *conn;
	struct ask *ask;
	bool ready;
	int64_t idle_since_ms;
};

struct ldap_pool {
	struct loop *loop;
	struct ldap_pool_options o;
	struct tls_ctx *tls;
	struct server servers[SERVERS_MAX];
	size_t servers_count;
	/* searches */
	struct ldap_conn *search;
	struct server *search_server;
	bool search_ready;
	int64_t search_ready_ms; /* since when */
	unsigned search_flight, search_waiting_count;
	struct list search_waiting;
	/* binds */
	struct list binders;
	unsigned binders_count, connecting_count, bind_waiting_count;
	struct list bind_waiting;
	/* answers on their way to the callers */
	struct list finished;
	struct loop_task task;
	struct loop_timer probe;
};

static void
search_pump(struct ldap_pool *p);
static void
bind_pump(struct ldap_pool *p);

/* ---- servers ---- */

static struct server *
server_pick(struct ldap_pool *p)
{
	int64_t now = clock_ms();
	for (size_t i = 0; i < p->servers_count; i++)
		if (!p->servers[i].down || p->servers[i].down_until_ms <= now)
			return &p->servers[i];
	return NULL;
}

static void
server_failed(struct ldap_pool *p, struct server *s, const char *why)
{
	if (!s->down) {
		s->backoff_ms = BACKOFF_MIN_MS;
		log_event(LVL_WARN, "auth.directory", log_s("directory", p->o.name),
			log_z("res", "down"), log_z("uri", s->target.uri), log_z("reason", why));
	} else if (s->down_until_ms <= clock_ms()) {
		s->backoff_ms =
			s->backoff_ms * 2 < BACKOFF_MAX_MS ? s->backoff_ms * 2 : BACKOFF_MAX_MS;
	}
	s->down = true;
	s->down_until_ms = clock_ms() + s->backoff_ms;
}

static void
server_works(struct ldap_pool *p, struct server *s, const struct ldap_conn *c)
{
	if (s->down)
		log_event(LVL_INFO, "auth.directory", log_s("directory", p->o.name),
			log_z("res", "up"), log_z("uri", s->target.uri),
			log_z("tls", ldap_conn_tls(c)));
	s->down = false;
}

/* Where every server is known to be down, one attempt to reach one is all that a question waits
 * for. */
static int64_t
deadline_ms(const struct ldap_pool *p, int64_t normal_ms)
{
	if (p->search_ready || p->binders_count > p->connecting_count)
		return normal_ms;
	for (size_t i = 0; i < p->servers_count; i++)
		if (!p->servers[i].down)
			return normal_ms;
	return normal_ms < p->o.connect_ms ? normal_ms : p->o.connect_ms;
}

static struct ldap_conn_options
conn_options(const struct ldap_pool *p, const struct server *s, bool service)
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
	loop_timer_init(&a->deadline, p->loop, on_ask_deadline, a);
	return a;
}

static void
ask_free(struct ask *a)
{
	loop_timer_stop(&a->deadline);
	list_remove(&a->op.link);
	buf_fini(&a->op.password);
	arena_free(a->op.arena);
	free(a);
}

/* The answer is known: the caller hears of it from the loop. a is in no list. */
static void
ask_finish(struct ask *a)
{
	loop_timer_stop(&a->deadline);
	a->finished = true;
	a->binder = NULL;
	a->conn = NULL;
	list_push_back(&a->pool->finished, &a->op.link);
	loop_task_queue(&a->pool->task);
}

static void
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
	/* What callers ask meanwhile and fails at once comes in the next turn. */
	struct list now;
	list_init(&now);
	while (!list_empty(&p->finished)) {
		struct list *l = p->finished.next;
		list_remove(l);
		list_push_back(&now, l);
	}
	while (!list_empty(&now)) {
		struct ask *a = CONTAINER_OF(now.next, struct ask, op.link);
		list_remove(&a->op.link);
		a->fn(a->arg, &a->op);
		ask_free(a);
	}
}

/* Take a out of its waiting list, or tell its connection. */
static void
ask_withdraw(struct ask *a)
{
	struct ldap_pool *p = a->pool;
	if (a->op.type == LDAP_OP_SEARCH) {
		if (a->conn != NULL) {
			ldap_conn_abandon(a->conn, &a->op);
			p->search_flight--;
		} else {
			list_remove(&a->op.link);
			p->search_waiting_count--;
		}
	} else if (a->conn == NULL) {
		list_remove(&a->op.link);
		p->bind_waiting_count--;
	}
	a->conn = NULL;
}

static void
binder_free(struct binder *b)
{
	if (!b->ready)
		b->pool->connecting_count--;
	b->pool->binders_count--;
	list_remove(&b->link);
	ldap_conn_free(b->conn);
	free(b);
}

/* A bind cannot be taken back (RFC 4511 4.11): its connection ends with it. */
static void
ask_drop_binder(struct ask *a)
{
	struct binder *b = a->binder;
	if (b == NULL)
		return;
	while (ldap_conn_take(b->conn) != NULL)
		;
	a->binder = NULL;
	binder_free(b);
}

static void
on_ask_deadline(struct loop_timer *t)
{
	struct ask *a = t->arg;
	struct ldap_pool *p = a->pool;
	struct ldap_conn *c = a->conn;
	bool silent = c != NULL && ldap_conn_heard_ms(c) < a->op.sent_ms;
	bool search = a->op.type == LDAP_OP_SEARCH;
	if (search || a->binder == NULL)
		ask_withdraw(a);
	else
		ask_drop_binder(a);
	ask_fail(a, c != NULL ? "no answer in time" : "waited too long for a connection");
	if (search && silent && c == p->search) {
		/* Not one byte since the question: what still waits there goes to the next server.
		 */
		server_failed(p, p->search_server, "silent");
		struct ldap_op *op;
		while ((op = ldap_conn_take(c)) != NULL) {
			struct ask *other = CONTAINER_OF(op, struct ask, op);
			other->conn = NULL;
			list_push_back(&p->search_waiting, &op->link);
			p->search_waiting_count++;
		}
		p->search_flight = 0;
		p->search_ready = false;
		p->search = NULL;
		ldap_conn_free(c);
	}
	search_pump(p);
	bind_pump(p);
}

void
ldap_op_cancel(struct ldap_op *op)
{
	if (op == NULL)
		return;
	struct ask *a = CONTAINER_OF(op, struct ask, op);
	struct ldap_pool *p = a->pool;
	if (!a->finished && a->op.type == LDAP_OP_BIND && a->binder != NULL) {
		ask_drop_binder(a);
		bind_pump(p);
	} else if (!a->finished) {
		ask_withdraw(a);
	}
	ask_free(a);
}

/* A connection died with this question in flight. */
static void
ask_again(struct ask *a, struct list *waiting, unsigned *count, const char *why)
{
	a->conn = NULL;
	a->binder = NULL;
	if (a->attempts >= ATTEMPTS_MAX) {
		list_init(&a->op.link);
		ask_fail(a, why);
		return;
	}
	a->op.err = ERR_OK;
	a->op.entries = NULL;
	a->op.entries_end = &a->op.entries;
	a->op.entries_count = 0;
	list_push_front(waiting, &a->op.link);
	(*count)++;
}

static void
fail_all(struct list *waiting, unsigned *count, const char *why)
{
	while (!list_empty(waiting)) {
		struct ask *a = CONTAINER_OF(waiting->next, struct ask, op.link);
		list_remove(&a->op.link);
		(*count)--;
		ask_fail(a, why);
	}
}

/* ---- searches ---- */

static void
search_on_ready(void *arg, struct ldap_conn *c)
{
	struct ldap_pool *p = arg;
	p->search_ready = true;
	p->search_ready_ms = clock_ms();
	server_works(p, p->search_server, c);
	log_event(LVL_DEBUG, "auth.connected", log_s("directory", p->o.name),
		log_z("uri", p->search_server->target.uri), log_z("tls", ldap_conn_tls(c)));
	search_pump(p);
	bind_pump(p);
}

static void
search_on_done(void *arg, struct ldap_conn *c UNUSED, struct ldap_op *op)
{
	struct ldap_pool *p = arg;
	p->search_flight--;
	ask_finish(CONTAINER_OF(op, struct ask, op));
	search_pump(p);
}

static void
search_on_dead(void *arg, struct ldap_conn *c, bool was_ready, const char *why)
{
	struct ldap_pool *p = arg;
	struct server *s = p->search_server;
	struct ldap_op *op;
	/* One that worked is tried again at once: servers end idle connections. But not one that
	 * ends what it has just begun, again and again. */
	if (!was_ready || clock_ms() - p->search_ready_ms < STEADY_MS)
		server_failed(p, s, why);
	else
		log_event(LVL_INFO, "auth.disconnected", log_s("directory", p->o.name),
			log_z("uri", s->target.uri), log_z("reason", why));
	p->search = NULL;
	p->search_ready = false;
	p->search_flight = 0;
	while ((op = ldap_conn_take(c)) != NULL)
		ask_again(CONTAINER_OF(op, struct ask, op), &p->search_waiting,
			&p->search_waiting_count, why);
	ldap_conn_free(c);
	search_pump(p);
}

static const struct ldap_conn_ops search_ops = { search_on_ready, search_on_done, search_on_dead };

static void
search_connect(struct ldap_pool *p)
{
	p->search_server = server_pick(p);
	if (p->search_server == NULL) {
		fail_all(&p->search_waiting, &p->search_waiting_count, "no directory answers");
		return;
	}
	const struct ldap_conn_options o = conn_options(p, p->search_server, true);
	p->search = ldap_conn_open(p->loop, &o, &search_ops, p);
}

static void
search_pump(struct ldap_pool *p)
{
	unsigned limit = p->o.bind_dn.n > 0 ? FLIGHT_MAX : FLIGHT_MAX_ANONYMOUS;
	if (p->search == NULL)
		search_connect(p);
	while (p->search_ready && p->search_flight < limit && !list_empty(&p->search_waiting)) {
		struct ask *a = CONTAINER_OF(p->search_waiting.next, struct ask, op.link);
		list_remove(&a->op.link);
		p->search_waiting_count--;
		if (a->op.conn_id != 0 && a->op.conn_id != ldap_conn_id(p->search)) {
			ask_fail(a, "the connection ended between two pages");
			continue;
		}
		enum err e = ldap_conn_send(p->search, &a->op);
		if (e == ERR_TEMP) { /* it died, on_dead is due */
			list_push_front(&p->search_waiting, &a->op.link);
			p->search_waiting_count++;
			break;
		}
		if (e != ERR_OK) {
			ask_fail(a, "the filter is none");
			continue;
		}
		a->attempts++;
		a->conn = p->search;
		p->search_flight++;
	}
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

struct ldap_op *
ldap_pool_search(struct ldap_pool *p, const struct ldap_query *q, ldap_fn fn, void *arg)
{
	struct ask *a = ask_new(p, LDAP_OP_SEARCH, fn, arg);
	if (copy_query(&a->op, q) != ERR_OK || str_has_nul(q->base) || str_has_nul(q->filter)) {
		ask_fail(a, "the question is too large");
		return &a->op;
	}
	if (p->search_waiting_count >= SEARCH_QUEUE_MAX) {
		ask_fail(a, "too many lookups wait");
		return &a->op;
	}
	loop_timer_start(&a->deadline, deadline_ms(p, p->o.search_ms));
	list_push_back(&p->search_waiting, &a->op.link);
	p->search_waiting_count++;
	search_pump(p);
	return &a->op;
}

/* ---- binds ---- */

static void
binder_on_ready(void *arg, struct ldap_conn *c)
{
	struct binder *b = arg;
	b->ready = true;
	b->idle_since_ms = clock_ms();
	b->pool->connecting_count--;
	server_works(b->pool, b->server, c);
	bind_pump(b->pool);
}

static void
binder_on_done(void *arg, struct ldap_conn *c UNUSED, struct ldap_op *op UNUSED)
{
	struct binder *b = arg;
	struct ask *a = b->ask;
	b->ask = NULL;
	b->idle_since_ms = clock_ms();
	if (a != NULL)
		ask_finish(a);
	bind_pump(b->pool);
}

static void
binder_on_dead(void *arg, struct ldap_conn *c, bool was_ready, const char *why)
{
	struct binder *b = arg;
	struct ldap_pool *p = b->pool;
	if (!was_ready)
		server_failed(p, b->server, why);
	while (ldap_conn_take(c) != NULL)
		;
	if (b->ask != NULL)
		ask_again(b->ask, &p->bind_waiting, &p->bind_waiting_count, why);
	binder_free(b);
	bind_pump(p);
}

static const struct ldap_conn_ops binder_ops = { binder_on_ready, binder_on_done, binder_on_dead };

static bool
binder_new(struct ldap_pool *p)
{
	struct server *s = server_pick(p);
	if (s == NULL)
		return false;
	struct binder *b = xcalloc(1, sizeof *b);
	b->pool = p;
	b->server = s;
	list_push_back(&p->binders, &b->link);
	p->binders_count++;
	p->connecting_count++;
	const struct ldap_conn_options o = conn_options(p, s, false);
	b->conn = ldap_conn_open(p->loop, &o, &binder_ops, b);
	return true;
}

static void
bind_send(struct binder *b, struct ask *a)
{
	list_remove(&a->op.link);
	if (ldap_conn_send(b->conn, &a->op) != ERR_OK) {
		/* It died, on_dead is due. */
		list_push_front(&b->pool->bind_waiting, &a->op.link);
		return;
	}
	b->pool->bind_waiting_count--;
	a->attempts++;
	a->conn = b->conn;
	a->binder = b;
	b->ask = a;
}

static void
bind_pump(struct ldap_pool *p)
{
	LIST_FOREACH (l, &p->binders) {
		struct binder *b = CONTAINER_OF(l, struct binder, link);
		if (list_empty(&p->bind_waiting))
			return;
		if (b->ready && b->ask == NULL)
			bind_send(b, CONTAINER_OF(p->bind_waiting.next, struct ask, op.link));
	}
	while (p->bind_waiting_count > p->connecting_count &&
		p->connecting_count < CONNECTING_MAX && p->binders_count < p->o.binds_max)
		if (!binder_new(p))
			break;
	if (p->binders_count == 0)
		fail_all(&p->bind_waiting, &p->bind_waiting_count, "no directory answers");
}

struct ldap_op *
ldap_pool_bind(struct ldap_pool *p, struct str dn, struct str password, ldap_fn fn, void *arg)
{
	struct ask *a = ask_new(p, LDAP_OP_BIND, fn, arg);
	buf_add(&a->op.password, password);
	if (dn.n == 0 || password.n == 0 || str_has_nul(dn) ||
		buf_check(&a->op.password) != ERR_OK ||
		arena_str(a->op.arena, dn, &a->op.dn) != ERR_OK) {
		a->op.err = ERR_DENIED;
		(void)snprintf(a->op.text, sizeof a->op.text, "empty DN or password");
		ask_finish(a);
		return &a->op;
	}
	if (p->bind_waiting_count >= p->o.bind_queue_max) {
		ask_fail(a, "too many logins wait");
		return &a->op;
	}
	loop_timer_start(&a->deadline, deadline_ms(p, p->o.bind_ms));
	list_push_back(&p->bind_waiting, &a->op.link);
	p->bind_waiting_count++;
	bind_pump(p);
	return &a->op;
}

/* ---- the pool ---- */

/* Once a second: keep the search connection and the least bind connections, so that a server that
 * came back is found before somebody waits for it; close bind connections that idle. */
static void
on_probe(struct loop_timer *t)
{
	struct ldap_pool *p = t->arg;
	int64_t now = clock_ms();
	if (p->search == NULL)
		search_connect(p);
	LIST_FOREACH (l, &p->binders) {
		struct binder *b = CONTAINER_OF(l, struct binder, link);
		if (p->binders_count > p->o.binds_min && b->ready && b->ask == NULL &&
			now - b->idle_since_ms > IDLE_MS)
			binder_free(b);
	}
	/* Without a search connection there is no server worth a second attempt. */
	while (p->search_ready && p->binders_count < p->o.binds_min)
		if (!binder_new(p))
			break;
	loop_timer_start(&p->probe, PROBE_MS);
}

enum err
ldap_pool_new(struct loop *l, const struct ldap_pool_options *o, struct ldap_pool **out,
	const char **err_out)
{
	struct ldap_pool *p = xcalloc(1, sizeof *p);
	p->loop = l;
	p->o = *o;
	list_init(&p->search_waiting);
	list_init(&p->binders);
	list_init(&p->bind_waiting);
	list_init(&p->finished);
	loop_task_init(&p->task, l, on_finished, p);
	loop_timer_init(&p->probe, l, on_probe, p);
	const struct tls_client_options tls = { .ca_pem = o->ca_pem,
		.certificate_pem = o->client_certificate_pem,
		.key_pem = o->client_key_pem,
		.min_version = o->tls_min_version,
		.insecure = !o->verify };
	enum err e = tls_ctx_new_client(&tls, &p->tls, err_out);
	for (size_t i = 0; e == ERR_OK && i < o->uris_count && i < SERVERS_MAX; i++) {
		*err_out = "a URI is no ldap://, ldaps:// or ldapi:// one";
		e = ldap_target_parse(o->uris[i], &p->servers[p->servers_count].target);
		p->servers_count++;
	}
	if (e == ERR_OK && p->servers_count == 0) {
		*err_out = "no URI";
		e = ERR_SYNTAX;
	}
	if (e != ERR_OK) {
		tls_ctx_unref(p->tls);
		free(p);
		return e == ERR_SYNTAX ? e : ERR_SYNTAX;
	}
	on_probe(&p->probe);
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
	struct ldap_op *op;
	if (p == NULL)
		return;
	loop_timer_stop(&p->probe);
	loop_task_cancel(&p->task);
	while (p->search != NULL && (op = ldap_conn_take(p->search)) != NULL)
		ask_free(CONTAINER_OF(op, struct ask, op));
	ldap_conn_free(p->search);
	while (!list_empty(&p->binders)) {
		struct binder *b = CONTAINER_OF(p->binders.next, struct binder, link);
		while ((op = ldap_conn_take(b->conn)) != NULL)
			ask_free(CONTAINER_OF(op, struct ask, op));
		binder_free(b);
	}
	drop_all(&p->search_waiting);
	drop_all(&p->bind_waiting);
	drop_all(&p->finished);
	tls_ctx_unref(p->tls);
	free(p);
}

void
ldap_pool_status(const struct ldap_pool *p, struct ldap_pool_status *out)
{
	*out = (struct ldap_pool_status){ .binds = p->binders_count,
		.binds_ready = p->binders_count - p->connecting_count,
		.binds_waiting = p->bind_waiting_count,
		.searches_waiting = p->search_waiting_count,
		.searches_sent = p->search_flight,
		.search_ready = p->search_ready };
}

void
ldap_pool_status_text(const struct ldap_pool *p, struct buf *out)
{
	for (size_t i = 0; i < p->servers_count; i++)
		buf_addf(out, "directory=%.*s uri=%s state=%s\n", STR_FMT(p->o.name),
			p->servers[i].target.uri, p->servers[i].down ? "down" : "up");
}
