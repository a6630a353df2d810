#ifndef POSTROOM_TESTS_IMAP_MEMORY_H
#define POSTROOM_TESTS_IMAP_MEMORY_H

#include "core/base/str.h"

struct model;

/* What a client keeps of a mailbox while it is away, and what SELECT with QRESYNC makes of it: what
 * vanished is struck out, what is told is put in, and then it must be the whole mailbox. RFC 7162
 * 3.2.5.2. */
struct memory {
	struct known *message; /* ascending UIDs */
	uint32_t count;
	uint32_t uidvalidity;
	uint64_t modseq; /* everything up to here is in it */
};

/* False: a message's UID is not known, or nothing is selected. On true owned by the caller:
 * memory_fini. */
bool
memory_take(struct memory *y, const struct model *m);
void
memory_fini(struct memory *y);
/* VANISHED (EARLIER) lo:hi */
void
memory_strike(struct memory *y, uint32_t lo, uint32_t hi);
/* A FETCH response with a UID. */
void
memory_put(struct memory *y, const struct known *k);
/* What is selected now is this. False: not as many messages as EXISTS said, or another one at a
 * sequence number. */
bool
memory_give(const struct memory *y, struct model *m);

#endif
