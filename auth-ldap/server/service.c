/* What the connections of the three sockets have in common: they count against one limit and
 * end with the service. */
#include "auth-ldap/server/service.h"

#include <unistd.h>

#include "core/base/log.h"

enum { LINGER_MS = 2000 };

bool
conn_open(struct conn *c, struct service *s, int fd, const struct stream_ops *ops,
	size_t in_max_bytes, void (*end)(struct conn *))
{
	if (s->conns_count >= (size_t)s->settings->auth.clients_max) {
		log_event(LVL_WARN, "auth.accept", log_z("res", "deny"),
			log_n("clients", (int64_t)s->conns_count),
			log_z("reason", "auth.clients_max"));
		close(fd);
		return false;
	}
	const struct stream_options o = { .in_max_bytes = in_max_bytes };
	c->service = s;
	c->end = end;
	c->stream = stream_new(s->loop, fd, ops, c, &o);
	list_push_back(&s->conns, &c->link);
	s->conns_count++;
	return true;
}

void
conn_close(struct conn *c)
{
	list_remove(&c->link);
	c->service->conns_count--;
	stream_close(c->stream, LINGER_MS);
}
