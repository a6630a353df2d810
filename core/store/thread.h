#ifndef POSTROOM_STORE_THREAD_H
#define POSTROOM_STORE_THREAD_H

#include "core/store/rows.h"

/* Threads: a message joins the thread of the message that it answers or, where that is not known,
 * of those further up, by Message-ID, In-Reply-To and References; else it begins one, whose id is
 * the message's own. Decided once, when the message comes in (RFC 8474 5.2: never changed
 * afterwards): two threads that a later message shows to be one stay two. RFC 5322 3.6.4. Internal
 * to core/store.
 *
 * Table KV_THREAD: hash of a message id (8 octets) -> thread, owner (8 each, little endian). The
 * owner is the message that made the row; its rows go with its file, so that there are at most
 * THREAD_IDS_MAX for each message in the home. */
enum {
	THREAD_IDS_MAX = 24,
	THREAD_IDS_BYTES = 8 * THREAD_IDS_MAX,
	THREAD_ROW_BYTES = 16,
};

/* The hashes of a message's ids, 8 octets each, appended: its own (0: none), then those it refers
 * to, the nearest first; of many the nearest and the first of all. Pool threads. */
void
thread_ids(struct buf *out, struct str header);
/* In an update that makes message msg: its thread; rows for ids that had none. ids: as above. */
MUST_USE enum err
thread_join(struct txn *t, uint64_t msg, struct str ids, uint64_t *thread_out);
/* In an update that removes the last row of message msg. */
MUST_USE enum err
thread_leave(struct txn *t, uint64_t msg, struct str ids);
/* ERR_CORRUPT. */
MUST_USE enum err
thread_row_decode(struct str value, uint64_t *thread_out, uint64_t *owner_out);

#endif
