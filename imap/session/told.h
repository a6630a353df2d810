#ifndef POSTROOM_IMAP_TOLD_H
#define POSTROOM_IMAP_TOLD_H

#include "core/store/uidset.h"

/* Messages whose flags a STORE or FETCH of the session's has told the client (or that it asked not
 * to hear of), and up to which modseq: no news unless they change later. A STORE tells in parts of
 * ascending UIDs. { 0 } is empty. */
struct told_part {
	uint32_t below; /* the UIDs from the part before up to here */
	uint64_t modseq;
};
struct told_flags {
	struct uidset uids;
	struct told_part *parts;
	size_t n, cap;
};

void
told_fini(struct told_flags *t);
void
told_reset(struct told_flags *t);
/* All of uids, and nothing else. */
void
told_set(struct told_flags *t, const struct uidset *uids, uint64_t modseq);
/* Of uids, set before, those below `below` too. alone: since the part before nobody but this
 * command has changed the mailbox. */
void
told_part(struct told_flags *t, uint32_t below, uint64_t modseq, bool alone);
/* Is this state of the message known? */
bool
told_has(const struct told_flags *t, uint32_t uid, uint64_t modseq);
/* All that was told is the mailbox's state at modseq. */
bool
told_current(const struct told_flags *t, uint64_t modseq);

#endif
