/* The reconnecting connection below the auth, userdb and socketmap clients. Invariant: exactly
 * one of connecting, stream and the running retry timer is there, and on_down follows every
 * on_up exactly once. What the log hears of a service is one line when it cannot be reached and
 * one when it can again, however many channels lead to it. */
#include "core/authclient/channel.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 2000, CONNECT_MS = 2000, GREETING_MS = 5000 };

/* One for each address that channels of this thread lead to. */
struct channel_place {
	struct channel_place *next;
	char *address;
	unsigned refs;
	bool away; /* and logged */
};

static _Thread_local struct channel_place *places;

static struct channel_place *
place_ref(struct str address)
{
	struct channel_place *p = places;

	while (p != NULL && !str_eq(str_of(p->address), address))
		p = p->next;
	if (p == NULL) {
		p = xcalloc(1, sizeof(*p));
		p->address = str_dup(address);
		p->next = places;
		places = p;
	}
	p->refs++;
	return p;
}

static void
place_unref(struct channel_place *p)
{
	struct channel_place **at = &places;

	if (--p->refs != 0)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	free(p->address);
	free(p);
}

static void
channel_connect(struct channel *c);

static void
retry_later(struct channel *c)
{
	loop_timer_start(&c->retry, c->backoff_ms);
	c->backoff_ms = c->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : c->backoff_ms * 2;
}

static void
on_read(struct stream *s, void *arg)
{
	struct channel *c = arg;
	if (!c->ops->on_input(c->arg, stream_in(s))) {
		log_event(LVL_WARN, "authclient.garbage", log_z("address", c->place->address));
		channel_drop(c);
	}
}

static void
on_end(struct stream *s, void *arg, enum err why)
{
	(void)s;
	(void)why;
	channel_drop(arg);
}

static const struct stream_ops STREAM_OPS = { .on_read = on_read, .on_end = on_end };

static void
on_connected(void *arg, int fd, enum err e, const char *text)
{
	struct channel *c = arg;
	c->connecting = NULL;
	if (e != ERR_OK) {
		if (!c->place->away)
			log_event(LVL_WARN, "authclient.away", log_z("address", c->place->address),
				log_z("reason", text));
		c->place->away = true;
		retry_later(c);
		return;
	}
	struct stream_options o = { .in_max_bytes = c->in_max_bytes };
	c->stream = stream_new(c->loop, fd, &STREAM_OPS, c, &o);
	loop_timer_start(&c->greeting, GREETING_MS);
	c->ops->on_up(c->arg);
}

static void
channel_connect(struct channel *c)
{
	c->connecting =
		connect_start(c->loop, str_of(c->place->address), CONNECT_MS, on_connected, c);
}

static void
on_retry(struct loop_timer *t)
{
	channel_connect(t->arg);
}

static void
on_greeting_late(struct loop_timer *t)
{
	struct channel *c = t->arg;
	log_event(LVL_WARN, "authclient.silent", log_z("address", c->place->address));
	channel_drop(c);
}

void
channel_init(struct channel *c, struct loop *l, struct str address, size_t in_max_bytes,
	const struct channel_ops *ops, void *arg)
{
	*c = (struct channel){
		.loop = l,
		.place = place_ref(address),
		.ops = ops,
		.arg = arg,
		.in_max_bytes = in_max_bytes,
		.backoff_ms = BACKOFF_MIN_MS,
	};
	loop_timer_init(&c->retry, l, on_retry, c);
	loop_timer_init(&c->greeting, l, on_greeting_late, c);
	channel_connect(c);
}

void
channel_fini(struct channel *c)
{
	loop_timer_stop(&c->retry);
	loop_timer_stop(&c->greeting);
	if (c->connecting != NULL)
		connect_cancel(c->connecting);
	if (c->stream != NULL)
		stream_free(c->stream);
	place_unref(c->place);
	*c = (struct channel){ .loop = NULL };
}

void
channel_settled(struct channel *c)
{
	loop_timer_stop(&c->greeting);
	c->backoff_ms = BACKOFF_MIN_MS;
	if (c->place->away)
		log_event(LVL_INFO, "authclient.back", log_z("address", c->place->address));
	c->place->away = false;
}

void
channel_drop(struct channel *c)
{
	if (c->stream == NULL)
		return;
	loop_timer_stop(&c->greeting);
	stream_free(c->stream);
	c->stream = NULL;
	retry_later(c);
	c->ops->on_down(c->arg);
}

void
channel_write(struct channel *c, struct str bytes)
{
	if (c->stream != NULL)
		stream_write(c->stream, bytes);
}
