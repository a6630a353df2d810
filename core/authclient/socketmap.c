/* Client of the directory service; used by smtp and queue. Replies carry no id: they belong to
 * the requests of their connection in order. So a request whose caller is gone stays in its
 * connection's row as a place-holder, and a reply that cannot be attributed ends the connection. */
#include "core/authclient/socketmap.h"

#include <stdlib.h>

#include "core/authclient/channel.h"
#include "core/base/xalloc.h"

enum {
	KEY_MAX_BYTES = 4096,
	REPLY_MAX_BYTES = 4 * 1024 * 1024,
	LENGTH_DIGITS_MAX = 10,
};

struct connection {
	struct channel channel;
	struct socketmap *owner;
	bool up;
	struct list row; /* asked here, oldest first */
	size_t row_length;
};

struct socketmap {
	struct loop *loop;
	size_t reply_max_bytes;
	struct connection connections[SOCKETMAP_CONNECTIONS];
	struct list waiting; /* no connection is up */
};

struct socketmap_request {
	struct socketmap *owner;
	struct connection *on; /* NULL: waiting */
	struct list link;
	socketmap_fn fn; /* NULL: nobody wants the answer any more */
	void *arg;
	struct buf line;
	struct loop_timer timer;
	bool asked_twice;
};

static void
request_free(struct socketmap_request *r)
{
	if (r->on != NULL)
		r->on->row_length--;
	list_remove(&r->link);
	loop_timer_stop(&r->timer);
	buf_fini(&r->line);
	free(r);
}

static void
request_end(struct socketmap_request *r, enum err e, struct str value)
{
	socketmap_fn fn = r->fn;
	void *arg = r->arg;
	request_free(r);
	if (fn != NULL)
		fn(arg, e, value);
}

static struct connection *
least_busy(struct socketmap *s)
{
	struct connection *best = NULL;
	for (size_t i = 0; i < SOCKETMAP_CONNECTIONS; i++) {
		struct connection *c = &s->connections[i];
		if (c->up && (best == NULL || c->row_length < best->row_length))
			best = c;
	}
	return best;
}

static void
request_send(struct socketmap_request *r)
{
	struct connection *c = least_busy(r->owner);
	if (c == NULL)
		return;
	r->on = c;
	list_remove(&r->link);
	list_push_back(&c->row, &r->link);
	c->row_length++;
	channel_write(&c->channel, buf_str(&r->line));
}

static void
on_timer(struct loop_timer *t)
{
	struct socketmap_request *r = t->arg;
	struct connection *c = r->on;
	/* Nothing came for the oldest of a row, now or before it became the oldest: what
	 * stands behind it goes to another connection when this one drops. */
	bool stuck = c != NULL &&
		     !loop_timer_active(
			     &CONTAINER_OF(c->row.next, struct socketmap_request, link)->timer);
	socketmap_fn fn = r->fn;
	void *arg = r->arg;
	if (c == NULL || stuck)
		request_free(r);
	else
		r->fn = NULL;
	if (stuck)
		channel_drop(&c->channel);
	if (fn != NULL)
		fn(arg, ERR_TEMP, STR("no answer from the directory service"));
}

static const struct {
	const char *word;
	enum err e;
} STATES[] = {
	{ "OK", ERR_OK },
	{ "NOTFOUND", ERR_NOTFOUND },
	{ "TEMP", ERR_TEMP },
	{ "TIMEOUT", ERR_TEMP },
	{ "PERM", ERR_DENIED },
};

static bool
reply(struct connection *c, struct str text)
{
	struct str word, value;
	if (list_empty(&c->row))
		return false;
	if (!str_cut(text, ' ', &word, &value))
		value = STR_EMPTY;
	for (size_t i = 0; i < ARRAY_LEN(STATES); i++) {
		if (!str_eq(word, str_of(STATES[i].word)))
			continue;
		struct socketmap_request *r =
			CONTAINER_OF(c->row.next, struct socketmap_request, link);
		request_end(r, STATES[i].e, value);
		return true;
	}
	return false;
}

/* One netstring at the front of in: "12:OK something,". skip_out: bytes to consume. */
static enum err
netstring(struct str in, size_t max, struct str *text_out, size_t *skip_out)
{
	uint64_t n;
	size_t digits = str_chr(in, ':');
	if (digits == in.n && in.n <= LENGTH_DIGITS_MAX) {
		for (size_t i = 0; i < in.n; i++)
			if (!ascii_is_digit(in.p[i]))
				return ERR_SYNTAX;
		return ERR_AGAIN;
	}
	if (digits > LENGTH_DIGITS_MAX || str_to_u64(str_sub(in, 0, digits), max, &n) != ERR_OK)
		return ERR_SYNTAX;
	if (in.n < digits + 1 + n + 1)
		return ERR_AGAIN;
	if (in.p[digits + 1 + n] != ',')
		return ERR_SYNTAX;
	*text_out = str_sub(in, digits + 1, (size_t)n);
	*skip_out = digits + 1 + (size_t)n + 1;
	return ERR_OK;
}

static bool
on_input(void *arg, struct buf *in)
{
	struct connection *c = arg;
	struct str text;
	size_t skip;
	enum err e;
	while ((e = netstring(buf_str(in), c->owner->reply_max_bytes, &text, &skip)) == ERR_OK) {
		if (!reply(c, text))
			return false;
		buf_consume(in, skip);
	}
	return e == ERR_AGAIN;
}

static void
send_waiting(struct socketmap *s)
{
	LIST_FOREACH (n, &s->waiting)
		request_send(CONTAINER_OF(n, struct socketmap_request, link));
}

static void
on_up(void *arg)
{
	struct connection *c = arg;
	c->up = true;
	channel_settled(&c->channel); /* socketmap has no greeting */
	send_waiting(c->owner);
}

/* Lookups change nothing, so what got no answer is asked once more, on any connection; the
 * deadline stays. */
static void
on_down(void *arg)
{
	struct connection *c = arg;
	struct list lost;
	c->up = false;
	list_init(&lost);
	LIST_FOREACH (n, &c->row) {
		list_remove(n);
		list_push_back(&lost, n);
	}
	while (!list_empty(&lost)) {
		struct socketmap_request *r =
			CONTAINER_OF(lost.next, struct socketmap_request, link);
		if (r->fn == NULL || r->asked_twice) {
			request_end(
				r, ERR_TEMP, STR("the directory service closed the connection"));
			continue;
		}
		c->row_length--;
		r->on = NULL;
		r->asked_twice = true;
		list_remove(&r->link);
		list_push_back(&c->owner->waiting, &r->link);
		request_send(r);
	}
}

static const struct channel_ops CHANNEL_OPS = {
	.on_up = on_up,
	.on_input = on_input,
	.on_down = on_down,
};

struct socketmap *
socketmap_new(struct loop *l, struct str address, size_t reply_max_bytes)
{
	struct socketmap *s = xcalloc(1, sizeof(*s));
	s->loop = l;
	s->reply_max_bytes = reply_max_bytes != 0 ? reply_max_bytes : REPLY_MAX_BYTES;
	list_init(&s->waiting);
	for (size_t i = 0; i < SOCKETMAP_CONNECTIONS; i++) {
		struct connection *c = &s->connections[i];
		c->owner = s;
		list_init(&c->row);
		channel_init(&c->channel, l, address, s->reply_max_bytes + LENGTH_DIGITS_MAX + 2,
			&CHANNEL_OPS, c);
	}
	return s;
}

void
socketmap_free(struct socketmap *s)
{
	if (s == NULL)
		return;
	LIST_FOREACH (n, &s->waiting)
		request_free(CONTAINER_OF(n, struct socketmap_request, link));
	for (size_t i = 0; i < SOCKETMAP_CONNECTIONS; i++) {
		LIST_FOREACH (m, &s->connections[i].row)
			request_free(CONTAINER_OF(m, struct socketmap_request, link));
		channel_fini(&s->connections[i].channel);
	}
	free(s);
}

static bool
plain_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

struct socketmap_request *
socketmap_lookup(struct socketmap *s, struct str map, struct str key, socketmap_fn fn, void *arg)
{
	if (key.n == 0 || key.n > KEY_MAX_BYTES || !plain_text(key))
		return NULL;
	struct socketmap_request *r = xcalloc(1, sizeof(*r));
	r->owner = s;
	r->fn = fn;
	r->arg = arg;
	buf_init(&r->line, KEY_MAX_BYTES + 128);
	buf_addf(&r->line, "%zu:%.*s %.*s,", map.n + 1 + key.n, STR_FMT(map), STR_FMT(key));
	loop_timer_init(&r->timer, s->loop, on_timer, r);
	loop_timer_start(&r->timer, SOCKETMAP_DEADLINE_MS);
	list_push_back(&s->waiting, &r->link);
	request_send(r);
	return r;
}

void
socketmap_cancel(struct socketmap_request *r)
{
	if (r->on == NULL)
		request_free(r);
	else
		r->fn = NULL;
}
