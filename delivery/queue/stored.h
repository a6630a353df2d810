#ifndef POSTROOM_QUEUE_STORED_H
#define POSTROOM_QUEUE_STORED_H

#include "delivery/queue/queue.h"

/* What is known of a message, for those who work on it or show it. Blocking reads of one file. */

/* Its record in queue.mdb, copied into a. ERR_NOTFOUND: there is none yet; ERR_TEMP, ERR_CORRUPT,
 * ERR_LIMIT. */
MUST_USE enum err
stored_get(struct queue *q, const struct message *m, struct arena *a, struct record *out);
/* The first record of a message that has none; strings are copied into a. ERR_LIMIT. */
MUST_USE enum err
stored_from_envelope(
	struct str id, const struct spool_message *sm, struct arena *a, struct record *out);
/* The record or, where there is none that can be read, the one that an attempt would begin with.
 * ERR_NOTFOUND, ERR_TEMP, ERR_CORRUPT: the slot, ERR_LIMIT. */
MUST_USE enum err
stored_load(struct queue *q, const struct message *m, struct arena *a, struct record *out);

#endif
