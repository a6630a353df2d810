/* The reconnecting connection below the auth, userdb and socketmap clients. Invariant: exactly
 * one of connecting, stream and the running retry timer is there, and on_down follows every
 * on_up exactly once. */
#include "core/authclient/channel.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 2000, CONNECT_MS = 2000, GREETING_MS = 5000 };

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
		log_event(LVL_WARN, "authclient.garbage", log_z("address", c->address));
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
		if (c->backoff_ms == BACKOFF_MIN_MS)
			log_event(LVL_WARN, "authclient.away", log_z("address", c->address),
				log_z("reason", text));
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
	c->connecting = connect_start(c->loop, str_of(c->address), CONNECT_MS, on_connected, c);
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
	log_event(LVL_WARN, "authclient.silent", log_z("address", c->address));
	channel_drop(c);
}

void
channel_init(struct channel *c, struct loop *l, struct str address, size_t in_max_bytes,
	const struct channel_ops *ops, void *arg)
{
	*c = (struct channel){
		.loop = l,
		.address = str_dup(address),
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
	free(c->address);
	*c = (struct channel){ .loop = NULL };
}

void
channel_settled(struct channel *c)
{
	loop_timer_stop(&c->greeting);
	c->backoff_ms = BACKOFF_MIN_MS;
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
