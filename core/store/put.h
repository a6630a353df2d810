#ifndef POSTROOM_STORE_PUT_H
#define POSTROOM_STORE_PUT_H

#include "core/store/body.h"
#include "core/store/rows.h"

/* A body on its way to disk, once it is complete. Internal to core/store. */
enum { STORED_ROW_BYTES_MAX = 512 * 1024 * 1024 };
struct stored {
	uint64_t id; /* in the home that took it */
	int64_t put_ms;
	uint64_t size;
	struct buf record, cache;
};

/* Writes b into h's msg/, parsed and durable; done from the loop, never inside. h stays referenced
 * by the caller and should be pinned (its folders exist). May be called again with another home
 * after a failure. ERR_TEMP, ERR_LIMIT. A failed sync poisons h. */
void
body_put(struct body *b, struct home *h, void (*done)(void *arg, enum err e), void *arg);
/* The same in parts, for an update that makes the body durable itself, in its prepare: whether it
 * may (all octets are in memory, nothing is under way); on the pool; on the loop afterwards. */
bool
body_in_memory(const struct body *b);
MUST_USE enum err
body_put_now(struct body *b, struct home *h);
void
body_put_ended(struct body *b);
/* Calls done with ERR_TEMP, later: for who cannot even begin. */
void
body_put_refused(struct body *b, void (*done)(void *arg, enum err e), void *arg);
/* After done: gives the octets' memory back; a body that was put keeps its rows. No body_put any
 * more. */
void
body_settle(struct body *b);
/* After ERR_OK; dies with b. */
const struct stored *
body_stored(const struct body *b);

enum { PUT_AGE_MAX_MS = 30 * 60 * 1000 };
/* In an update: the message's rows. put_ms: when the file was put. ERR_TEMP: too long ago, the
 * check may have taken it for an orphan. */
MUST_USE enum err
stored_write(struct txn *t, uint64_t id, int64_t put_ms, const struct stored *s);

#endif
