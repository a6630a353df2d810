#ifndef POSTROOM_SPOOL_SPOOL_H
#define POSTROOM_SPOOL_SPOOL_H

#include "core/event/loop.h"
#include "core/event/pool.h"
#include "delivery/spool/format.h"

/* The spool as its writers see it (smtp; queue for its own reports). A slot is an empty file
 * with a random name that queue made and synced ahead; it is used once. The channel is the
 * seqpacket socket `slots` (core/event/ipc.h), smtp connects:
 *
 *   queue → smtp  SPOOL_MSG_SLOTS     per slot a str (name), and one write-only fd each
 *                 SPOOL_MSG_STATE     u64: 1 while free disk space is below the reserve
 *   smtp → queue  SPOOL_MSG_WANT      u64: send that many more slots
 *                 SPOOL_MSG_ACCEPTED  str: name; its message is durable
 *                 SPOOL_MSG_DROPPED   str: name; nothing in it counts, remove it
 *
 * Who answers 250: smtp, after the sync ended AND the channel that brought the slot was still open
 * then. Queue closes its end of a channel before it reads the slots it had given out there, and
 * removes those without a valid header. So a slot is never both acknowledged and removed; a
 * message whose session got 451 in that moment may still be delivered (as with any lost reply). */
enum spool_msg {
	SPOOL_MSG_SLOTS = 1,
	SPOOL_MSG_STATE = 2,
	SPOOL_MSG_WANT = 3,
	SPOOL_MSG_ACCEPTED = 4,
	SPOOL_MSG_DROPPED = 5,
};

/* One message on its way into a slot. Memory: two chunks of at most SPOOL_CHUNK bytes. Writes and
 * the one sync run on the pool (POOL_SYNC); write-back is started every MiB. */
struct spool_writer;

enum { SPOOL_CHUNK = 64 * 1024 };

/* Runs on the loop. ERR_OK: durable, queue was told, answer 250. ERR_TEMP: not accepted (write or
 * sync failed, queue away), spool_writer_error says which. w is freed after this returns. */
typedef void (*spool_commit_fn)(void *arg, struct spool_writer *w, enum err e);

/* The slot's name: the queue id. */
struct str
spool_writer_name(const struct spool_writer *w);
/* Body bytes, copied. Never refuses; ask spool_writer_full and stop reading meanwhile. */
void
spool_write(struct spool_writer *w, struct str bytes);
bool
spool_writer_full(const struct spool_writer *w);
/* drain is called on the loop when a full writer has room again. */
void
spool_writer_on_drain(struct spool_writer *w, void (*drain)(void *arg), void *arg);
uint64_t
spool_writer_bytes(const struct spool_writer *w);
/* A write failed already: the caller may answer 451 early. */
bool
spool_writer_failed(const struct spool_writer *w);
const char *
spool_writer_error(const struct spool_writer *w);
/* Write what is left, the envelope (e->name is set here; copied before the return) and sync once,
 * then fn. */
void
spool_commit(struct spool_writer *w, const struct spool_envelope *e, spool_commit_fn fn, void *arg);
/* Frees w, also one in commit (fn is not called then, and the message may or may not be
 * accepted): the slot is dropped. */
void
spool_abort(struct spool_writer *w);

/* smtp's end of the channel. Connects at once and again with back-off (50 ms to 2 s). */
struct spool_client;

/* path of the socket. ahead: free slots kept at hand. */
struct spool_client *
spool_client_new(struct loop *l, struct pool *p, const char *path, unsigned ahead);
void
spool_client_free(struct spool_client *c);
/* True while connected. */
bool
spool_client_ready(const struct spool_client *c);
/* A slot. ERR_BUSY: none at hand, wait with spool_wait; ERR_LIMIT: disk space below the reserve
 * (452); ERR_TEMP: queue is away (451). The writer belongs to the caller. */
MUST_USE enum err
spool_take(struct spool_client *c, struct spool_writer **out);
/* What spool_take would say, without taking. */
MUST_USE enum err
spool_peek(const struct spool_client *c);

/* fn once, from the loop: a slot came (call spool_take), or the state changed. The caller keeps
 * its own deadline. Embedded; zeroed at first; wait and cancel may be repeated. */
struct spool_waiter {
	struct list link;
	void (*fn)(struct spool_waiter *w);
	void *arg;
};
void
spool_wait(struct spool_client *c, struct spool_waiter *w);
void
spool_wait_cancel(struct spool_waiter *w);

#endif
