/* The directory socket: Postfix's socketmap protocol, for our smtp and queue and for Postfix
 * unchanged. Requests may be pipelined; they are asked at once and answered in order.
 *
 * Invariant: NOTFOUND is only said when the directory said so. */
#include <stdlib.h>

#include "auth-ldap/server/service.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { FLIGHT_MAX = 1024, IN_MAX = 64 * 1024 };

static const struct map {
	const char *name;
	enum front_map map;
	size_t reply_max;
} maps[] = {
	{ "domain", MAP_DOMAIN, SOCKETMAP_REPLY_MAX },
	{ "mailbox", MAP_MAILBOX, SOCKETMAP_REPLY_MAX },
	{ "alias", MAP_ALIAS, SOCKETMAP_REPLY_MAX },
	{ "alias-large", MAP_ALIAS, SOCKETMAP_LARGE_MAX },
	{ "sender", MAP_SENDER, SOCKETMAP_REPLY_MAX },
	{ "transport", MAP_TRANSPORT, SOCKETMAP_REPLY_MAX },
	{ "post", MAP_POST, SOCKETMAP_REPLY_MAX },
	{ "owner", MAP_OWNER, SOCKETMAP_REPLY_MAX },
};

static void
netstring_write(struct stream *st, const char *status, struct str text)
{
	size_t n = strlen(status) + 1 + text.n;
	stream_writef(st, "%zu:%s ", n, status);
	stream_write(st, text);
	stream_write(st, STR(","));
}

struct map_conn {
	struct conn c;
	struct list slots; /* in the order of the questions */
	size_t slots_count;
};

struct slot {
	struct list link;
	struct map_conn *conn;
	struct front_request *request;
	const struct map *map;
	int64_t start_ms;
	bool done;
	struct buf reply; /* of one that others are in front of */
	struct str key;	  /* for the log: text */
	char text[];
};

static void
slot_free(struct slot *s)
{
	list_remove(&s->link);
	s->conn->slots_count--;
	front_cancel(s->request);
	buf_fini(&s->reply);
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
		if (s->reply.n > 0)
			stream_write(c->c.stream, buf_str(&s->reply));
		slot_free(s);
	}
	stream_set_reading(c->c.stream, c->slots_count < FLIGHT_MAX);
}

/* The first one's reply goes straight out; the others' wait for it. */
static void
slot_reply(struct slot *s, const char *status, struct str text)
{
	struct map_conn *c = s->conn;
	s->done = true;
	if (c->slots.next == &s->link)
		netstring_write(c->c.stream, status, text);
	else
		netstring_reply(&s->reply, status, text);
}

static void
on_answer(void *arg, const struct auth_answer *a)
{
	struct slot *s = arg;
	struct map_conn *c = s->conn;
	bool was_full = c->slots_count >= FLIGHT_MAX;
	bool fine = a->err == ERR_OK || a->err == ERR_NOTFOUND;
	const char *reason = reason_text(a->reason);
	s->request = NULL;
	if (!fine || log_enabled(LVL_DEBUG))
		log_event(fine ? LVL_DEBUG : LVL_INFO, "auth.lookup", log_z("map", s->map->name),
			log_s("key", s->key), log_e("res", a->err), log_z("reason", reason),
			log_s("detail", a->detail), log_n("ms", clock_ms() - s->start_ms));
	if (a->err == ERR_OK && a->value.n + sizeof "OK " - 1 <= s->map->reply_max)
		slot_reply(s, "OK", a->value);
	else if (a->err == ERR_OK)
		slot_reply(s, "PERM", STR("the answer is too long for this map"));
	else if (a->err == ERR_NOTFOUND)
		slot_reply(s, "NOTFOUND", STR_EMPTY);
	else if (a->err == ERR_DENIED)
		slot_reply(s, "PERM", str_of(reason));
	else
		slot_reply(s, "TEMP", str_of(reason));
	conn_flush(c);
	if (was_full)
		stream_read_again(c->c.stream);
}

static const struct map *
map_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		if (str_eq(name, str_of(maps[i].name)))
			return &maps[i];
	return NULL;
}

static void
ask(struct map_conn *c, struct str payload)
{
	struct str name, key;
	bool has_key = str_cut(payload, ' ', &name, &key);
	struct slot *s = xcalloc(1, sizeof *s + key.n);
	const struct auth_context context = { .service = STR_EMPTY };
	s->conn = c;
	s->start_ms = clock_ms();
	buf_init(&s->reply, SOCKETMAP_LARGE_MAX + 64);
	if (key.n > 0)
		memcpy(s->text, key.p, key.n);
	s->key = str_n(s->text, key.n);
	list_push_back(&c->slots, &s->link);
	c->slots_count++;
	s->map = map_find(name);
	if (s->map == NULL || !has_key) {
		slot_reply(s, "PERM", STR("no such map"));
		conn_flush(c);
		return;
	}
	s->request = front_lookup(c->c.service->front, s->map->map, key, &context, on_answer, s);
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

static enum err
map_take(struct conn *base, struct buf *in, size_t *used_out)
{
	struct map_conn *c = CONTAINER_OF(base, struct map_conn, c);
	struct str payload;
	if (c->slots_count >= FLIGHT_MAX) {
		stream_set_reading(c->c.stream, false);
		return ERR_AGAIN;
	}
	enum err e = netstring_parse(buf_str(in), SOCKETMAP_REQUEST_MAX, &payload, used_out);
	if (e == ERR_OK)
		ask(c, payload);
	return e;
}

static bool
map_busy(struct conn *base)
{
	return CONTAINER_OF(base, struct map_conn, c)->slots_count > 0;
}

static const struct conn_kind map_kind = {
	.socket = "directory",
	.broken = "not the socketmap protocol",
	.in_max_bytes = IN_MAX,
	.take = map_take,
	.busy = map_busy,
	.end = map_conn_end,
};

void
socketmap_server_accept(void *arg, int fd, const struct peer *peer)
{
	struct service *s = arg;
	struct map_conn *c = xcalloc(1, sizeof *c);
	list_init(&c->slots);
	if (!conn_open(&c->c, s, fd, peer, &map_kind))
		free(c);
}
