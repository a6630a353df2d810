#ifndef POSTROOM_IMAP_BATCH_H
#define POSTROOM_IMAP_BATCH_H

#include "core/store/message.h"
#include "imap/session/rows.h"

/* What the index knows of messages, some at a time: see message_scan_some. Within one step begin,
 * add some, load, and so on from batch_clear, end. */
struct batch {
	struct rows rows;
	struct message_scan scan;
	size_t n;
	uint32_t uids[MESSAGE_SOME_MAX];
	uint64_t ids[MESSAGE_SOME_MAX];
	bool missing[MESSAGE_SOME_MAX]; /* expunged meanwhile: the entry says nothing */
	struct entry entries[MESSAGE_SOME_MAX];
	struct message messages[MESSAGE_SOME_MAX];
};

/* Errors as rows_begin. */
MUST_USE enum err
batch_begin(struct batch *b, struct imap_session *s, uint32_t from_uid);
void
batch_end(struct batch *b);
void
batch_clear(struct batch *b);
static inline bool
batch_is_full(const struct batch *b)
{
	return b->n == MESSAGE_SOME_MAX;
}
/* By ascending UID, when it is not full. ERR_TEMP, ERR_CORRUPT. */
MUST_USE enum err
batch_add(struct batch *b, uint32_t uid);
/* part: what is looked at then; MESSAGE_NONE: the entries alone. ERR_TEMP, ERR_CORRUPT. */
MUST_USE enum err
batch_load(struct batch *b, enum message_part part);
/* Clear, add the next of set and load; n is 0 at the end. */
MUST_USE enum err
batch_next(struct batch *b, struct walk *w, const struct uidset *set, enum message_part part);

#endif
