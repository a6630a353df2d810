#ifndef POSTROOM_AUTHCLIENT_CHANNEL_H
#define POSTROOM_AUTHCLIENT_CHANNEL_H

#include "core/base/buf.h"
#include "core/event/connect.h"
#include "core/event/loop.h"
#include "core/event/stream.h"

/* A connection to a service of ours that comes back by itself: connect, greet, and after any
 * end again, with a back-off from 50 ms to 2 s. Shared by the clients of this folder. The log
 * says once that an address cannot be reached (authclient.away) and once that it can again
 * (authclient.back), for all channels of a thread together. */
struct channel;
struct channel_place;

struct channel_ops {
	/* Connected: write what the protocol says first. */
	void (*on_up)(void *arg);
	/* Consume from in. False: what came is not this protocol, the channel drops. */
	bool (*on_input)(void *arg, struct buf *in);
	/* It was up and is not any more: whatever was asked gets no answer. */
	void (*on_down)(void *arg);
};

struct channel {
	struct loop *loop;
	struct channel_place *place; /* shared by all channels to that address */
	const struct channel_ops *ops;
	void *arg;
	size_t in_max_bytes;
	struct connecting *connecting;
	struct stream *stream; /* NULL while down */
	struct loop_timer retry;
	struct loop_timer greeting;
	int64_t backoff_ms;
};

/* Copies address, keeps ops and arg. Connects at once. */
void
channel_init(struct channel *c, struct loop *l, struct str address, size_t in_max_bytes,
	const struct channel_ops *ops, void *arg);
/* No callback. Not inside one of its callbacks. */
void
channel_fini(struct channel *c);
/* The service's greeting was good: it has 5 s for that, then the channel drops. */
void
channel_settled(struct channel *c);
/* Ends the connection, calls on_down, and connects again later. Nothing while down. */
void
channel_drop(struct channel *c);
/* Nothing while down. */
void
channel_write(struct channel *c, struct str bytes);

#endif
