#ifndef POSTROOM_STORE_SINCE_H
#define POSTROOM_STORE_SINCE_H

#include "core/store/store.h"
#include "core/store/uidset.h"

/* A set of UIDs as bits: cheap to fill in any order, read out as ranges. Empty: { 0 }. */
struct uidbits {
	uint64_t **chunk; /* 4,096 UIDs each, made when one of them is added */
	uint32_t n;
};
void
uidbits_add(struct uidbits *b, uint32_t lo, uint32_t hi);
/* Members from lo to hi, added to out. */
void
uidbits_select(const struct uidbits *b, uint32_t lo, uint32_t hi, struct uidset *out);
void
uidbits_fini(struct uidbits *b);

/* What was changed in a mailbox after one modseq, and which UIDs were expunged, read from the
 * change table a piece at a time: the table has up to 2,000 rows of 16,384 UIDs each. Complete for
 * what the last piece's snapshot holds; what vanished may stand in changed too. RFC
 * 7162 3.1.4.1, 3.2.6. */
struct since {
	/* Modseqs up to after were trimmed from the table: changed and expunged say nothing.
	 * Entries tell their modseq, and expunged is whatever below uidnext is not there. */
	bool forgotten;
	struct uidbits changed, expunged;
	uint32_t new_from; /* UIDs from here on came or changed later, all of them */
	bool rows_only;	   /* set by who knows what is new: new_from is not looked for */
	/* private */
	uint32_t mailbox;
	uint64_t after, next;
	bool rows_done;
};
void
since_init(struct since *s, uint32_t mailbox, uint64_t after);
void
since_fini(struct since *s);
/* The next piece, some 0.1 ms. ERR_OK: that was the last; ERR_AGAIN: go on, in this step or
 * a later one; ERR_NOTFOUND: the mailbox is gone; ERR_CORRUPT. */
MUST_USE enum err
since_step(struct since *s, struct txn *t);
/* Were flags changed, or messages expunged? The modseq alone does not tell: new messages and
 * annotations raise it too. ERR_CORRUPT, ERR_TEMP. */
MUST_USE enum err
since_any(struct txn *t, uint32_t mailbox, uint64_t after, bool *any_out);

#endif
