/* The directory socket: Postfix's socketmap protocol, for our smtp and queue and for Postfix
 * unchanged. Requests may be pipelined; they are asked at once and answered in order.
 *
 * Invariant: NOTFOUND is only said when the directory said so. */
#include <stdlib.h>
#include <unistd.h>

#include "auth-ldap/server/access.h"
#include "auth-ldap/server/service.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { REQUESTS_A_TURN = 64, FLIGHT_MAX = 1024 };

static const struct map {
	const char *name;
	enum dir_map map;
	size_t reply_max;
} maps[] = {
	{ "domain", DIR_DOMAIN, SOCKETMAP_REPLY_MAX },
	{ "mailbox", DIR_MAILBOX, SOCKETMAP_REPLY_MAX },
	{ "alias", DIR_ALIAS, SOCKETMAP_REPLY_MAX },
	{ "alias-large", DIR_ALIAS, SOCKETMAP_LARGE_MAX },
	{ "sender", DIR_SENDER, SOCKETMAP_REPLY_MAX },
};

struct map_conn {
	struct conn c;
	struct list slots; /* in the order of the questions */
	size_t slots_count;
};

struct slot {
	struct list link;
	struct map_conn *conn;
	struct dir_request *request;
	const struct map *map;
	struct buf key; /* for the log */
	int64_t start_ms;
	bool done;
	struct buf reply;
};

static void
slot_free(struct slot *s)
{
	list_remove(&s->link);
	s->conn->slots_count--;
	dir_cancel(s->request);
	buf_fini(&s->reply);
	buf_fini(&s->key);
	free(s);
}

/* Send what is answered, up to the first that is not. */
static void
conn_flush(struct map_conn *c)
{
	while (!list_empty(&c->slots)) {
		struct slot *s = CONTAINER_OF(c->slots.next, struct slot, link);
		if (!s->done)
			break;
		stream_write(c->c.stream, buf_str(&s->reply));
		slot_free(s);
	}
	stream_set_reading(c->c.stream, c->slots_count < FLIGHT_MAX);
}

static void
slot_reply(struct slot *s, const char *status, struct str text)
{
	netstring_reply(&s->reply, status, text);
	s->done = true;
}

static void
on_answer(void *arg, const struct dir_answer *a)
{
	struct slot *s = arg;
	struct map_conn *c = s->conn;
	bool was_full = c->slots_count >= FLIGHT_MAX;
	s->request = NULL;
	if (a->err == ERR_OK && a->value.n + sizeof "OK " - 1 <= s->map->reply_max)
		slot_reply(s, "OK", a->value);
	else if (a->err == ERR_OK)
		slot_reply(s, "PERM", STR("the answer is too long for this map"));
	else if (a->err == ERR_NOTFOUND)
		slot_reply(s, "NOTFOUND", STR_EMPTY);
	else if (a->err == ERR_DENIED)
		slot_reply(s, "PERM", str_of(a->reason));
	else
		slot_reply(s, "TEMP", str_of(a->reason));
	bool fine = a->err == ERR_OK || a->err == ERR_NOTFOUND;
	log_event(fine ? LVL_DEBUG : LVL_INFO, "auth.lookup", log_z("map", s->map->name),
		log_s("key", buf_str(&s->key)), log_e("res", a->err), log_z("reason", a->reason),
		log_s("detail", a->detail), log_n("ms", clock_ms() - s->start_ms));
	conn_flush(c);
	if (was_full)
		stream_read_again(c->c.stream);
}

static void
ask(struct map_conn *c, struct str payload)
{
	struct slot *s = xcalloc(1, sizeof *s);
	struct str name, key;
	s->conn = c;
	s->start_ms = clock_ms();
	buf_init(&s->reply, SOCKETMAP_LARGE_MAX + 64);
	list_push_back(&c->slots, &s->link);
	c->slots_count++;
	bool has_key = str_cut(payload, ' ', &name, &key);
	buf_init(&s->key, SOCKETMAP_REQUEST_MAX);
	buf_add(&s->key, key);
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		if (str_eq(name, str_of(maps[i].name)))
			s->map = &maps[i];
	if (s->map == NULL || !has_key) {
		slot_reply(s, "PERM", STR("no such map"));
		conn_flush(c);
		return;
	}
	s->request = dir_lookup(c->c.service->dirs, s->map->map, key, on_answer, s);
}

static void
map_conn_end(struct conn *base)
{
	struct map_conn *c = CONTAINER_OF(base, struct map_conn, c);
	while (!list_empty(&c->slots))
		slot_free(CONTAINER_OF(c->slots.next, struct slot, link));
	conn_close(&c->c);
	free(c);
}

static void
on_read(struct stream *st, void *arg)
{
	struct map_conn *c = arg;
	struct buf *in = stream_in(st);
	struct str payload;
	size_t size;
	for (int i = 0; i < REQUESTS_A_TURN; i++) {
		if (c->slots_count >= FLIGHT_MAX) {
			stream_set_reading(st, false);
			return;
		}
		enum err e = stream_full(st) ? ERR_AGAIN
					     : netstring_parse(buf_str(in), SOCKETMAP_REQUEST_MAX,
						       &payload, &size);
		if (e == ERR_AGAIN)
			return;
		if (e != ERR_OK) {
			log_event(LVL_WARN, "auth.lookup", log_z("res", "deny"),
				log_z("reason", "not the socketmap protocol"));
			map_conn_end(&c->c);
			return;
		}
		ask(c, payload);
		buf_consume(in, size);
	}
	stream_read_again(st);
}

static void
on_drain(struct stream *st, void *arg UNUSED)
{
	stream_read_again(st);
}

static void
on_end(struct stream *st UNUSED, void *arg, enum err why UNUSED)
{
	struct map_conn *c = arg;
	map_conn_end(&c->c);
}

static const struct stream_ops map_ops = {
	.on_read = on_read, .on_drain = on_drain, .on_end = on_end
};

void
socketmap_server_accept(void *arg, int fd, const struct peer *peer)
{
	struct service *s = arg;
	if (!access_allowed(s->settings, peer, "directory")) {
		close(fd);
		return;
	}
	struct map_conn *c = xcalloc(1, sizeof *c);
	if (!conn_open(&c->c, s, fd, &map_ops, 64 * 1024, map_conn_end)) {
		free(c);
		return;
	}
	list_init(&c->slots);
}
