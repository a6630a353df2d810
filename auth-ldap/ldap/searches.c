/* The search connections: one to the server in use, and to better ones that are on probation.
 * servers.c decides when they come and go.
 *
 * Invariant: what a connection has in flight is answered by it, or goes back to the pool's waiting
 * list when it is given up; a ping is the connection's own and never the pool's. */
#include <stdlib.h>

#include "auth-ldap/ldap/pool_impl.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { PING_BYTES_MAX = 64 * 1024 };

static void
ping_end(struct ldap_server *s)
{
	s->pinging = false;
	arena_free(s->ping.arena);
	s->ping.arena = NULL;
}

/* The cheapest question that any server answers: is there a root DSE? (RFC 4512 5.1) */
void
search_ping(struct ldap_server *s)
{
	static char none[] = "1.1";
	static char *attrs[] = { none, NULL };
	if (s->pinging || !s->ready)
		return;
	s->ping = (struct ldap_op){ .type = LDAP_OP_SEARCH,
		.arena = arena_new(PING_BYTES_MAX),
		.base = STR_EMPTY,
		.page = STR_EMPTY,
		.filter = STR("(objectClass=*)"),
		.scope = SCOPE_BASE,
		.attrs = attrs };
	s->ping.entries_end = &s->ping.entries;
	list_init(&s->ping.link);
	s->pinging = true;
	s->pinged_ms = clock_ms();
	if (ldap_conn_send(s->conn, &s->ping) != ERR_OK) /* it died, on_dead is due */
		ping_end(s);
}

static void
on_ready(void *arg, struct ldap_conn *c)
{
	struct ldap_server *s = arg;
	s->ready = true;
	s->ready_ms = clock_ms();
	s->drained_ms = s->ready_ms;
	s->pinged_ms = s->ready_ms;
	log_event(LVL_DEBUG, "auth.connected", log_s("directory", s->pool->o.name),
		log_z("uri", s->target.uri), log_z("tls", ldap_conn_tls(c)));
	server_works(s);
	servers_drive(s->pool);
}

static void
on_done(void *arg, struct ldap_conn *c, struct ldap_op *op)
{
	struct ldap_server *s = arg;
	if (op == &s->ping) {
		ping_end(s);
		return;
	}
	op->conn_id = ldap_conn_id(c);
	s->flight--;
	s->answers++;
	if (s->flight == 0)
		s->drained_ms = clock_ms();
	ask_finish(CONTAINER_OF(op, struct ask, op));
	if (s == s->pool->active)
		search_pump(s->pool);
}

static void
on_dead(void *arg, struct ldap_conn *c UNUSED, bool was_ready, const char *why)
{
	struct ldap_server *s = arg;
	struct ldap_pool *p = s->pool;
	bool steady = was_ready && clock_ms() - s->ready_ms >= STEADY_MS;
	search_disconnect(s, why);
	/* One that worked is tried again at once: servers end idle connections. But not one that
	 * ends what it has just begun, again and again. */
	if (!steady)
		server_failed(s, why);
	else
		log_event(LVL_INFO, "auth.disconnected", log_s("directory", p->o.name),
			log_z("uri", s->target.uri), log_z("reason", why));
	servers_drive(p);
}

static const struct ldap_conn_ops search_ops = { on_ready, on_done, on_dead };

void
search_connect(struct ldap_server *s)
{
	const struct ldap_conn_options o = pool_conn_options(s->pool, s, true);
	s->opened_ms = clock_ms();
	s->attempts++;
	s->conn = ldap_conn_open(s->pool->loop, &o, &search_ops, s);
	servers_watch(s->pool);
}

void
search_disconnect(struct ldap_server *s, const char *why)
{
	struct ldap_pool *p = s->pool;
	struct ldap_conn *c = s->conn;
	struct ldap_op *op;
	struct list lost;
	if (c == NULL)
		return;
	s->conn = NULL;
	s->ready = false;
	s->flight = 0;
	list_init(&lost);
	while ((op = ldap_conn_take(c)) != NULL) {
		if (op == &s->ping)
			continue;
		struct ask *a = CONTAINER_OF(op, struct ask, op);
		a->server = s;
		list_push_front(&lost, &op->link);
	}
	ping_end(s);
	/* to the front of those that wait, in their order */
	while (!list_empty(&lost)) {
		struct ask *a = CONTAINER_OF(lost.next, struct ask, op.link);
		list_remove(&a->op.link);
		ask_again(a, &p->search_waiting, &p->search_waiting_count, why);
	}
	ldap_conn_free(c);
}

/* The connection that a's pages come from, or the one in use; NULL: not now. */
static struct ldap_server *
server_for(struct ldap_pool *p, const struct ask *a)
{
	if (a->op.conn_id == 0)
		return p->active != NULL && p->active->ready ? p->active : NULL;
	for (size_t i = 0; i < p->servers_count; i++)
		if (p->servers[i]->ready && ldap_conn_id(p->servers[i]->conn) == a->op.conn_id)
			return p->servers[i];
	return NULL;
}

static enum err
search_send(struct ldap_server *s, struct ask *a)
{
	enum err e = ldap_conn_send(s->conn, &a->op);
	if (e != ERR_OK)
		return e;
	a->attempts++;
	a->server = s;
	a->op.uri = s->target.uri;
	s->flight++;
	servers_watch(s->pool);
	return ERR_OK;
}

void
search_pump(struct ldap_pool *p)
{
	bool known = p->o.method != LDAP_METHOD_NONE &&
		     (p->o.method != LDAP_METHOD_SIMPLE || p->o.bind_dn.n > 0);
	unsigned limit = known ? FLIGHT_MAX : FLIGHT_MAX_ANONYMOUS;
	while (!list_empty(&p->search_waiting)) {
		struct ask *a = CONTAINER_OF(p->search_waiting.next, struct ask, op.link);
		struct ldap_server *s = server_for(p, a);
		if (s == NULL && a->op.conn_id == 0)
			return;
		if (s != NULL && s->flight >= limit)
			return;
		list_remove(&a->op.link);
		p->search_waiting_count--;
		if (s == NULL) {
			ask_fail(a, "the connection ended between two pages");
			continue;
		}
		enum err e = search_send(s, a);
		if (e == ERR_TEMP) { /* it died, on_dead is due */
			list_push_front(&p->search_waiting, &a->op.link);
			p->search_waiting_count++;
			return;
		}
		if (e != ERR_OK)
			ask_fail(a, "the filter is none");
	}
}
