#ifndef POSTROOM_QUEUE_STATE_H
#define POSTROOM_QUEUE_STATE_H

#include "core/base/buf.h"
#include "core/event/pool.h"

/* queue.mdb: one record (record.h) a message, by queue id. Writes are grouped: what is put while
 * a commit runs on the pool is the next one's. Every commit is fully synced before it is
 * reported. The only user of the file is this process. */
struct state;

/* path: "/var/spool/postroom/queue.mdb", made when missing (0600). ERR_TEMP, ERR_CORRUPT; text in
 * err_out (static or thread storage); ERR_TEMP also where nothing can be written. map_bytes: first
 * size of the map, it grows by need. */
MUST_USE enum err
state_open(struct pool *p, const char *path, size_t map_bytes, struct state **out,
	const char **err_out);
/* After pool_free (which waits for the commit that runs). What was put and not begun is dropped
 * without a call. */
void
state_close(struct state *s);

/* Every record, in order of the ids; borrowed for the call. fn may not use s. Blocking: at start.
 * ERR_TEMP, ERR_CORRUPT. */
MUST_USE enum err
state_each(struct state *s, void (*fn)(void *arg, struct str id, struct str record), void *arg);
/* Replaces out. What was put and is not committed yet is not seen. ERR_NOTFOUND, ERR_TEMP,
 * ERR_LIMIT (out is too small), ERR_CORRUPT. */
MUST_USE enum err
state_get(struct state *s, struct str id, struct buf *out);

/* One change: record (copied) under id, or removal where record is empty. */
struct state_write {
	struct str id;
	struct str record;
};
/* From the loop, once: ERR_OK durable; ERR_TEMP not, and the disk is to blame. */
typedef void (*state_fn)(void *arg, enum err e);
/* All of them in one transaction, in order with earlier puts. done may be NULL. */
void
state_put(struct state *s, const struct state_write *w, size_t count, state_fn done, void *arg);
/* Puts that are not reported yet. */
unsigned
state_busy(const struct state *s);

#endif
