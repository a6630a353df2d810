/* Which servers there are, who of them is well, and who is used: the pool's one place of such
 * decisions, all in servers_drive. Its connections report (server_works, server_failed), the clock
 * ticks, DNS brings other servers.
 *
 * Invariants: at most one attempt to reach a server is under way, and after a failed one it rests,
 * longer each time up to about a second. The server in use is left only when it failed, is silent,
 * is not named any more, or a better one was well for failback_ms; questions that it has in
 * flight stay with it unless it failed. */
#include <stdio.h>
#include <stdlib.h>

#include "auth-ldap/ldap/pool_impl.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"

enum {
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 1000,
	OVERTAKE_MS = 300,   /* an attempt that takes longer gets company by one to the next */
	QUIET_MS = 200,	     /* questions, and no answer of any kind: ask whether it lives */
	PING_GAP_MS = 500,   /* between two such questions */
	SILENT_MS = 300,     /* it did not answer that one */
	PROBATION_MS = 1000, /* the same for servers that are not in use */
	LINGER_MS = 2000,    /* a connection that is not used any more: pages may follow */
	TICK_FAST_MS = 100,
	TICK_SLOW_MS = 1000,
};

/* ---- states ---- */

static void
set_state(struct ldap_server *s, enum server_state state)
{
	if (s->state == state)
		return;
	s->state = state;
	s->since_ms = clock_ms();
}

void
server_works(struct ldap_server *s)
{
	if (s->state == SERVER_DOWN)
		log_event(LVL_INFO, "auth.directory", log_s("directory", s->pool->o.name),
			log_z("res", "up"), log_z("uri", s->target.uri),
			log_z("tls", ldap_conn_tls(s->conn)));
	set_state(s, SERVER_UP);
}

void
server_failed(struct ldap_server *s, const char *why)
{
	struct ldap_pool *p = s->pool;
	if (s->state != SERVER_DOWN)
		log_event(LVL_WARN, "auth.directory", log_s("directory", p->o.name),
			log_z("res", "down"), log_z("uri", s->target.uri), log_z("reason", why));
	set_state(s, SERVER_DOWN);
	s->failures++;
	(void)snprintf(s->error, sizeof s->error, "%s", why);
	s->backoff_ms = s->backoff_ms == 0 ? BACKOFF_MIN_MS : s->backoff_ms * 2;
	if (s->backoff_ms > BACKOFF_MAX_MS)
		s->backoff_ms = BACKOFF_MAX_MS;
	/* three to five quarters of it, so that many of us do not come at once */
	s->next_try_ms = clock_ms() + s->backoff_ms * 3 / 4 +
			 (int64_t)(rand_u64() % (uint64_t)(s->backoff_ms / 2 + 1));
	if (p->active == s) {
		p->active = NULL;
		binders_leave(p, NULL);
	}
	servers_watch(p);
}

bool
servers_all_down(const struct ldap_pool *p)
{
	for (size_t i = 0; i < p->servers_count; i++)
		if (!p->servers[i]->gone && p->servers[i]->state != SERVER_DOWN)
			return false;
	return p->servers_count > 0;
}

static int64_t
heard_ms(const struct ldap_server *s)
{
	int64_t heard = ldap_conn_heard_ms(s->conn);
	return heard > s->ready_ms ? heard : s->ready_ms;
}

/* It was asked whether it lives, and said nothing since, for this long. */
static int64_t
unanswered_ms(const struct ldap_server *s)
{
	return s->ready && s->pinging && heard_ms(s) < s->pinged_ms ? clock_ms() - s->pinged_ms : 0;
}

static bool
is_silent(const struct ldap_server *s)
{
	return unanswered_ms(s) >= SILENT_MS;
}

/* ---- choosing ---- */

static void
activate(struct ldap_pool *p, struct ldap_server *s)
{
	struct ldap_server *old = p->active;
	bool silent = old != NULL && is_silent(old);
	p->active = s;
	log_event(LVL_INFO, "auth.directory", log_s("directory", p->o.name), log_z("res", "used"),
		log_z("uri", s->target.uri), log_z("before", old != NULL ? old->target.uri : ""));
	if (silent) {
		search_disconnect(old, "silent");
		server_failed(old, "silent");
	}
	if (old != NULL)
		binders_leave(p, silent ? old : NULL);
	search_pump(p);
	bind_pump(p);
}

static bool
in_need(const struct ldap_pool *p)
{
	return p->active == NULL || p->active->gone || !p->active->ready || is_silent(p->active);
}

static bool
is_better(const struct ldap_pool *p, const struct ldap_server *s)
{
	return !s->gone && s != p->active &&
	       (p->active == NULL || p->active->gone || s->priority < p->active->priority);
}

static void
choose(struct ldap_pool *p)
{
	bool need = in_need(p);
	for (size_t i = 0; i < p->servers_count; i++) {
		struct ldap_server *s = p->servers[i];
		if (!s->ready || s->gone || s == p->active || is_silent(s))
			continue;
		if (!need && (!is_better(p, s) || clock_ms() - s->ready_ms < p->o.failback_ms))
			continue;
		activate(p, s);
		return;
	}
}

/* ---- connecting ---- */

/* Somebody is needed now: the best one that may be well, and while it keeps us waiting, the next.
 */
static void
connect_next(struct ldap_pool *p)
{
	int64_t now = clock_ms();
	for (size_t i = 0; i < p->servers_count; i++) {
		const struct ldap_server *s = p->servers[i];
		if (s->conn != NULL && !s->ready && s->state != SERVER_DOWN &&
			now - s->opened_ms < OVERTAKE_MS)
			return;
	}
	for (size_t i = 0; i < p->servers_count; i++) {
		struct ldap_server *s = p->servers[i];
		if (s->conn != NULL || s->gone || s->state == SERVER_DOWN)
			continue;
		search_connect(s);
		return;
	}
}

/* Those that are down are probed; those that are better than the one in use are wanted back. */
static void
connect_probes(struct ldap_pool *p)
{
	int64_t now = clock_ms();
	for (size_t i = 0; i < p->servers_count; i++) {
		struct ldap_server *s = p->servers[i];
		if (s->conn != NULL || s->gone)
			continue;
		bool due = s->state == SERVER_DOWN && now >= s->next_try_ms;
		bool wanted = s->state != SERVER_DOWN && p->active != NULL && !p->active->gone &&
			      is_better(p, s);
		if (due || wanted)
			search_connect(s);
	}
}

/* ---- looking after connections ---- */

static void
look_after(struct ldap_server *s)
{
	struct ldap_pool *p = s->pool;
	int64_t now = clock_ms(), lost = unanswered_ms(s);
	if (now - s->ready_ms >= STEADY_MS)
		s->backoff_ms = 0;
	bool used = s == p->active;
	if (lost >= p->o.search_ms || (!used && lost >= PROBATION_MS)) {
		search_disconnect(s, "silent");
		server_failed(s, "silent");
		return;
	}
	if (!used && !is_better(p, s) && s->flight == 0 && now - s->drained_ms >= LINGER_MS) {
		search_disconnect(s, "not used");
		return;
	}
	if (s->pinging || now - s->pinged_ms < PING_GAP_MS)
		return;
	bool waits = s->flight > 0 || (used && p->bind_flight > 0);
	int64_t quiet = now - heard_ms(s);
	if ((waits && quiet >= QUIET_MS) || (!used && quiet >= PROBATION_MS))
		search_ping(s);
}

static void
server_free(struct ldap_server *s)
{
	search_disconnect(s, "not named any more");
	free(s);
}

static void
forget_gone(struct ldap_pool *p)
{
	size_t kept = 0;
	for (size_t i = 0; i < p->servers_count; i++) {
		struct ldap_server *s = p->servers[i];
		if (s->gone && s->conn == NULL && s->binders == 0 && s != p->active)
			server_free(s);
		else
			p->servers[kept++] = s;
	}
	p->servers_count = kept;
}

/* Nobody is well and no attempt runs: who waits hears so at once. */
static void
give_up(struct ldap_pool *p)
{
	char why[256];
	const char *last = p->srv != NULL ? ldap_srv_error(p->srv) : "";
	if (p->servers_count == 0 && last[0] == '\0')
		return; /* DNS has not answered yet */
	for (size_t i = 0; i < p->servers_count; i++) {
		if (p->servers[i]->conn != NULL)
			return;
		if (p->servers[i]->error[0] != '\0')
			last = p->servers[i]->error;
	}
	(void)snprintf(why, sizeof why, "no directory answers: %.230s", last);
	ask_fail_all(&p->search_waiting, &p->search_waiting_count, why);
	ask_fail_all(&p->bind_waiting, &p->bind_waiting_count, why);
}

void
servers_drive(struct ldap_pool *p)
{
	for (size_t i = 0; i < p->servers_count; i++)
		if (p->servers[i]->ready)
			look_after(p->servers[i]);
	choose(p);
	if (in_need(p))
		connect_next(p);
	connect_probes(p);
	give_up(p);
	search_pump(p);
	bind_pump(p);
}

static bool
has_work(const struct ldap_pool *p)
{
	if (in_need(p) || p->bind_flight > 0 || p->bind_waiting_count > 0)
		return true;
	for (size_t i = 0; i < p->servers_count; i++)
		if (p->servers[i]->flight > 0 ||
			(p->servers[i]->conn != NULL && p->servers[i] != p->active))
			return true;
	return false;
}

void
servers_watch(struct ldap_pool *p)
{
	if (p->tick_fast)
		return;
	p->tick_fast = true;
	loop_timer_start(&p->tick, TICK_FAST_MS);
}

static void
on_tick(struct loop_timer *t)
{
	struct ldap_pool *p = t->arg;
	servers_drive(p);
	binders_tick(p);
	forget_gone(p);
	p->tick_fast = has_work(p);
	loop_timer_start(&p->tick, p->tick_fast ? TICK_FAST_MS : TICK_SLOW_MS);
}

/* ---- the list ---- */

static struct ldap_server *
server_new(struct ldap_pool *p, const struct ldap_target *t, unsigned priority)
{
	struct ldap_server *s = xcalloc(1, sizeof *s);
	s->pool = p;
	s->target = *t;
	s->priority = priority;
	s->since_ms = clock_ms();
	list_init(&s->ping.link);
	return s;
}

static struct ldap_server *
take_known(struct ldap_pool *p, const struct ldap_target *t)
{
	for (size_t i = 0; i < p->servers_count; i++) {
		struct ldap_server *s = p->servers[i];
		if (s == NULL || strcmp(s->target.uri, t->uri) != 0 ||
			strcmp(s->target.address, t->address) != 0)
			continue;
		p->servers[i] = NULL;
		return s;
	}
	return NULL;
}

/* DNS names these, in this order. */
static void
on_found(void *arg, const struct ldap_found *list, size_t n)
{
	struct ldap_pool *p = arg;
	struct ldap_server *now[SERVERS_MAX];
	size_t count = 0, news = 0;
	for (size_t i = 0; i < n && count < SERVERS_MAX / 2; i++) {
		struct ldap_server *s = take_known(p, &list[i].target);
		if (s == NULL) {
			s = server_new(p, &list[i].target, list[i].priority);
			news++;
		}
		s->gone = false;
		s->priority = list[i].priority;
		now[count++] = s;
	}
	for (size_t i = 0; i < p->servers_count; i++) {
		struct ldap_server *s = p->servers[i];
		if (s == NULL)
			continue;
		news += !s->gone;
		s->gone = true;
		if (count < SERVERS_MAX) {
			now[count++] = s;
			continue;
		}
		/* that many have left and still have questions: the list of DNS changes faster
		 * than questions end */
		search_disconnect(s, "not named any more");
		p->active = p->active == s ? NULL : p->active;
		binders_leave(p, s);
		server_free(s);
	}
	memcpy(p->servers, now, count * sizeof *now);
	p->servers_count = count;
	if (news > 0)
		log_event(LVL_INFO, "auth.discovery", log_s("directory", p->o.name),
			log_n("servers", (int64_t)n), log_z("best", list[0].target.uri));
	servers_watch(p);
	servers_drive(p);
}

enum err
servers_init(struct ldap_pool *p, const char **err_out)
{
	loop_timer_init(&p->tick, p->loop, on_tick, p);
	if (p->o.srv_domain.n > 0) {
		enum err e = ldap_srv_new(p->loop, &p->o, on_found, p, &p->srv, err_out);
		if (e != ERR_OK)
			return e;
	}
	for (size_t i = 0; i < p->o.uris_count && i < SERVERS_MAX; i++) {
		struct ldap_target t;
		if (ldap_target_parse(p->o.uris[i], &t) != ERR_OK) {
			*err_out = "a URI is no ldap://, ldaps:// or ldapi:// one";
			return ERR_SYNTAX;
		}
		p->servers[p->servers_count++] = server_new(p, &t, (unsigned)i);
	}
	if (p->servers_count == 0 && p->srv == NULL) {
		*err_out = "no URI";
		return ERR_SYNTAX;
	}
	on_tick(&p->tick);
	return ERR_OK;
}

void
servers_fini(struct ldap_pool *p)
{
	loop_timer_stop(&p->tick);
	ldap_srv_free(p->srv);
	for (size_t i = 0; i < p->servers_count; i++)
		server_free(p->servers[i]);
	p->servers_count = 0;
}
