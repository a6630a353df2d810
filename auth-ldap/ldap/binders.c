/* The bind connections: password checks, one in flight on each, the first come the first served.
 * They go to the server in use only, which its search connection has shown to be well, so that they
 * never storm a server that is down.
 *
 * Invariant: a bind connection is in one of the lists connecting, idle and busy, and has a question
 * only when busy. One that is cancelled meanwhile keeps its connection busy until the answer: a
 * bind cannot be taken back, and a new connection costs more than waiting. */
#include <stdlib.h>

#include "auth-ldap/ldap/pool_impl.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"

enum {
	CONNECTING_MAX = 8, /* on their way at once */
	FAILURES_MAX = 3,   /* without one connection that works: the next server */
	ALONE_MAX = 6,	    /* where there is none: no use to wait (after about 3 s) */
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 1000,
};

static void
binder_free(struct binder *b)
{
	struct ldap_pool *p = b->pool;
	if (!b->ready)
		p->connecting_count--;
	if (b->ask != NULL)
		p->bind_flight--;
	p->binders_count--;
	b->server->binders--;
	list_remove(&b->link);
	while (ldap_conn_take(b->conn) != NULL)
		;
	ldap_conn_free(b->conn);
	free(b);
}

void
binder_drop(struct ask *a)
{
	struct binder *b = a->binder;
	a->binder = NULL;
	binder_free(b);
}

static void
go_idle(struct binder *b)
{
	list_remove(&b->link);
	if (b->server != b->pool->active) {
		binder_free(b);
		return;
	}
	b->idle_since_ms = clock_ms();
	list_push_front(&b->pool->idle, &b->link);
}

static void
on_ready(void *arg, struct ldap_conn *c UNUSED)
{
	struct binder *b = arg;
	struct ldap_pool *p = b->pool;
	b->ready = true;
	p->connecting_count--;
	p->binder_failures = 0;
	go_idle(b);
	bind_pump(p);
}

static void
on_done(void *arg, struct ldap_conn *c UNUSED, struct ldap_op *op UNUSED)
{
	struct binder *b = arg;
	struct ldap_pool *p = b->pool;
	struct ask *a = b->ask;
	b->ask = NULL;
	b->server->answers++;
	p->bind_flight--;
	go_idle(b);
	ask_finish(a);
	bind_pump(p);
}

/* Bind connections fail while searches work: less of them, later. When not one works, the server is
 * no better than down, if there is another. */
static void
connect_failed(struct ldap_pool *p, struct ldap_server *s, const char *why)
{
	int64_t wait = (int64_t)BACKOFF_MIN_MS << (p->binder_failures < 4 ? p->binder_failures : 4);
	p->binder_failures++;
	p->binder_next_ms = clock_ms() + (wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS);
	if (p->binder_failures < FAILURES_MAX || s != p->active || s->binders > 0)
		return;
	for (size_t i = 0; i < p->servers_count; i++) {
		struct ldap_server *other = p->servers[i];
		if (other == s || other->gone || other->state == SERVER_DOWN)
			continue;
		p->binder_failures = 0;
		search_disconnect(s, why);
		server_failed(s, why);
		return;
	}
	if (p->binder_failures >= ALONE_MAX)
		ask_fail_all(&p->bind_waiting, &p->bind_waiting_count, why);
}

static void
on_dead(void *arg, struct ldap_conn *c UNUSED, bool was_ready, const char *why)
{
	struct binder *b = arg;
	struct ldap_pool *p = b->pool;
	struct ldap_server *s = b->server;
	struct ask *a = b->ask;
	binder_free(b);
	if (a != NULL)
		ask_again(a, &p->bind_waiting, &p->bind_waiting_count, why);
	if (!was_ready)
		connect_failed(p, s, why);
	/* Several at once are likely the server's end: its search connection will know. */
	servers_drive(p);
}

static const struct ldap_conn_ops binder_ops = { on_ready, on_done, on_dead };

static void
binder_new(struct ldap_pool *p)
{
	struct binder *b = xcalloc(1, sizeof *b);
	b->pool = p;
	b->server = p->active;
	b->server->binders++;
	list_push_back(&p->connecting, &b->link);
	p->binders_count++;
	p->connecting_count++;
	const struct ldap_conn_options o = pool_conn_options(p, b->server, false);
	b->conn = ldap_conn_open(p->loop, &o, &binder_ops, b);
}

static bool
may_connect(const struct ldap_pool *p)
{
	return p->active != NULL && p->active->ready && p->connecting_count < CONNECTING_MAX &&
	       p->binders_count < p->o.binds_max && clock_ms() >= p->binder_next_ms;
}

static void
bind_send(struct binder *b, struct ask *a)
{
	struct ldap_pool *p = b->pool;
	list_remove(&a->op.link);
	list_remove(&b->link);
	list_push_back(&p->busy, &b->link);
	enum err e = ldap_conn_send(b->conn, &a->op);
	if (e == ERR_TEMP) { /* it died, on_dead is due */
		list_push_front(&p->bind_waiting, &a->op.link);
		return;
	}
	p->bind_waiting_count--;
	if (e != ERR_OK) {
		go_idle(b);
		ask_fail(a, "the server cannot be asked about this DN");
		return;
	}
	a->attempts++;
	a->binder = b;
	a->op.uri = b->server->target.uri;
	b->ask = a;
	p->bind_flight++;
	servers_watch(p);
}

void
bind_pump(struct ldap_pool *p)
{
	while (!list_empty(&p->bind_waiting) && !list_empty(&p->idle))
		bind_send(CONTAINER_OF(p->idle.next, struct binder, link),
			CONTAINER_OF(p->bind_waiting.next, struct ask, op.link));
	while (p->bind_waiting_count > p->connecting_count && may_connect(p))
		binder_new(p);
}

/* Frees those of list that are not to the server in use. */
static void
leave_list(struct ldap_pool *p, struct list *list)
{
	LIST_FOREACH (l, list) {
		struct binder *b = CONTAINER_OF(l, struct binder, link);
		if (b->server != p->active)
			binder_free(b);
	}
}

void
binders_leave(struct ldap_pool *p, const struct ldap_server *hung)
{
	p->binder_failures = 0;
	p->binder_next_ms = 0;
	leave_list(p, &p->connecting);
	leave_list(p, &p->idle);
	LIST_FOREACH (l, &p->busy) {
		struct binder *b = CONTAINER_OF(l, struct binder, link);
		struct ask *a = b->ask;
		if (hung == NULL || b->server != hung)
			continue;
		binder_free(b);
		if (a != NULL)
			ask_again(a, &p->bind_waiting, &p->bind_waiting_count, "silent");
	}
}

void
binders_tick(struct ldap_pool *p)
{
	int64_t now = clock_ms();
	while (p->binders_count > p->o.binds_min && !list_empty(&p->idle)) {
		struct binder *b = CONTAINER_OF(p->idle.prev, struct binder, link);
		if (now - b->idle_since_ms < p->o.bind_idle_ms)
			break;
		binder_free(b);
	}
	while (p->binders_count < p->o.binds_min && may_connect(p))
		binder_new(p);
	bind_pump(p);
}

void
binders_fini(struct ldap_pool *p)
{
	struct list *lists[] = { &p->connecting, &p->idle, &p->busy };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		while (!list_empty(lists[i])) {
			struct binder *b = CONTAINER_OF(lists[i]->next, struct binder, link);
			struct ask *a = b->ask;
			binder_free(b);
			if (a != NULL)
				ask_free(a);
		}
}
