#ifndef POSTROOM_GATE_RELAY_H
#define POSTROOM_GATE_RELAY_H

#include "core/event/loop.h"
#include "core/event/stream.h"

/* Moves bytes between a client's TLS stream and our end of a socketpair whose other end is
 * imap's, without looking at them. Memory is bounded by the stream's marks: when the client does
 * not read we stop reading from imap, when imap does not read we stop reading from the client.
 * The client's end becomes SHUT_WR towards imap, and output goes on; imap's end is reported when
 * everything that imap wrote is in the stream's queue. A client that takes nothing of a full queue
 * for stall_ms is as good as broken: nothing else would end its session once imap gave it up. */
struct relay;

/* clean: imap hung up; false: the client's connection broke. Called once, from the loop. The
 * owner frees the relay and closes the stream. */
typedef void (*relay_fn)(void *arg, bool clean);

/* Borrows s, takes fd (a non-blocking stream socket). The owner of s passes its callbacks on. */
struct relay *
relay_new(struct loop *l, struct stream *s, int fd, int64_t stall_ms, relay_fn fn, void *arg);
/* Closes fd. */
void
relay_free(struct relay *r);
/* on_read, on_drain, on_empty and on_end of the stream. */
void
relay_on_read(struct relay *r);
void
relay_on_drain(struct relay *r);
void
relay_on_empty(struct relay *r);
void
relay_on_end(struct relay *r, enum err why);

#endif
