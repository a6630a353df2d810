/* What the connections of all sockets have in common: they are let in, read line by line (or
 * request by request), and end with the service or when nothing is heard of them.
 *
 * Invariant: clients_max is never passed, a quarter of it is our own roles', and no other peer (a
 * user of this machine, an address) has more than half of the rest. */
#include "auth-ldap/server/service.h"

#include <unistd.h>

#include "auth-ldap/server/access.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	LINGER_MS = 2000,
	TAKES_A_TURN = 64,
	GREETING_MS = 60000, /* to say anything at all */
};

static void
conn_read(struct stream *st, void *arg)
{
	struct conn *c = arg;
	size_t used;
	c->heard = true;
	c->heard_ms = loop_now_ms(c->service->loop);
	for (int i = 0; i < TAKES_A_TURN; i++) {
		struct buf *in = stream_in(st);
		used = 0;
		enum err e = stream_full(st) ? ERR_AGAIN : c->kind->take(c, in, &used);
		if (e == ERR_AGAIN)
			return;
		if (e != ERR_OK) {
			log_event(LVL_WARN, "auth.client", log_z("res", "deny"),
				log_z("socket", c->kind->socket), log_z("rip", c->address),
				log_n("pid", c->pid), log_z("reason", c->kind->broken));
			c->kind->end(c);
			return;
		}
		explicit_bzero(in->mem + in->head, used); /* a password may stand there */
		buf_consume(in, used);
	}
	stream_read_again(st);
}

static void
conn_drain(struct stream *st, void *arg UNUSED)
{
	stream_read_again(st);
}

static void
conn_ended(struct stream *st UNUSED, void *arg, enum err why UNUSED)
{
	struct conn *c = arg;
	c->kind->end(c);
}

static const struct stream_ops conn_ops = {
	.on_read = conn_read, .on_drain = conn_drain, .on_end = conn_ended
};

/* ---- who may come, and for how long ---- */

static bool
is_own(const struct service *s, const struct peer *peer)
{
	if (!peer->is_unix || peer->uid == 0)
		return peer->is_unix;
	for (size_t i = 0; i < s->own_uids_count; i++)
		if (peer->uid == s->own_uids[i])
			return true;
	return false;
}

static bool
same_peer(const struct conn *c, const struct peer *peer)
{
	if ((c->address[0] == '\0') != peer->is_unix)
		return false;
	return peer->is_unix ? c->uid == peer->uid : str_eq(str_of(c->address), str_of(peer->addr));
}

static bool
too_many(struct service *s, const struct peer *peer, bool own)
{
	size_t max = (size_t)s->settings->auth.clients_max;
	size_t others_max = max - max / 4, same = 0;
	if (own || s->conns_count < others_max / 2)
		return s->conns_count >= max;
	if (s->conns_count >= others_max)
		return true;
	LIST_FOREACH (link, &s->conns)
		same += same_peer(CONTAINER_OF(link, struct conn, link), peer);
	return same > 0 && same >= others_max / 2;
}

static void
on_idle(struct loop_timer *t)
{
	struct conn *c = t->arg;
	int64_t limit = c->service->settings->auth.idle_timeout;
	int64_t silent = loop_now_ms(c->service->loop) - c->heard_ms;
	if (!c->heard && limit > GREETING_MS)
		limit = GREETING_MS;
	if (silent < limit || c->kind->busy(c)) {
		loop_timer_start(t, silent < limit ? limit - silent : limit);
		return;
	}
	log_event(LVL_INFO, "auth.client", log_z("res", "end"), log_z("socket", c->kind->socket),
		log_z("rip", c->address), log_n("pid", c->pid), log_n("silent_ms", silent),
		log_z("reason", "auth.idle_timeout"));
	c->kind->end(c);
}

bool
conn_open(struct conn *c, struct service *s, int fd, const struct peer *peer,
	const struct conn_kind *kind)
{
	bool own = is_own(s, peer);
	if (!access_allowed(s->settings, peer, kind->socket)) {
		close(fd);
		return false;
	}
	if (too_many(s, peer, own)) {
		log_event(LVL_WARN, "auth.accept", log_z("res", "deny"),
			log_z("socket", kind->socket), log_z("rip", peer->addr),
			log_n("uid", (int64_t)peer->uid), log_n("clients", (int64_t)s->conns_count),
			log_z("reason", "auth.clients_max"));
		close(fd);
		return false;
	}
	const struct stream_options o = { .in_max_bytes = kind->in_max_bytes };
	c->service = s;
	c->kind = kind;
	c->own = own;
	c->uid = peer->uid;
	c->pid = peer->pid;
	memcpy(c->address, peer->addr, sizeof c->address);
	c->heard_ms = loop_now_ms(s->loop);
	c->stream = stream_new(s->loop, fd, &conn_ops, c, &o);
	loop_timer_init(&c->idle, s->loop, on_idle, c);
	if (!own) {
		int64_t limit = s->settings->auth.idle_timeout;
		loop_timer_start(&c->idle, limit < GREETING_MS ? limit : GREETING_MS);
	}
	list_push_back(&s->conns, &c->link);
	s->conns_count++;
	return true;
}

void
conn_close(struct conn *c)
{
	loop_timer_stop(&c->idle);
	list_remove(&c->link);
	c->service->conns_count--;
	/* at the end of the process no loop is left that could linger */
	if (c->service->ending)
		stream_free(c->stream);
	else
		stream_close(c->stream, LINGER_MS);
}
