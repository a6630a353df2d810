#ifndef POSTROOM_STORE_VIEW_H
#define POSTROOM_STORE_VIEW_H

#include "core/store/mailbox.h"
#include "core/store/uidset.h"

/* Which UIDs a mailbox held at one modseq: immutable, counted, shared by the sessions of
 * a process; about 0.6 KiB for 4,096 UIDs, chunks shared between versions. Sequence numbers
 * start at 1. A view outlives steps; it holds nothing of the index. */
struct view;

/* The mailbox as the step sees it. ERR_NOTFOUND: no such mailbox (or a placeholder). Returns
 * owned (a reference). */
MUST_USE enum err
view_open(struct txn *t, uint32_t mailbox, struct view **out);
struct view *
view_ref(struct view *v);
void
view_unref(struct view *v); /* NULL is allowed */

uint32_t
view_mailbox(const struct view *v);
uint32_t
view_uidvalidity(const struct view *v);
uint32_t
view_uidnext(const struct view *v);
uint64_t
view_modseq(const struct view *v);
uint32_t
view_count(const struct view *v);

/* 0: there is none. */
uint32_t
view_uid_of_seq(const struct view *v, uint32_t seq);
uint32_t
view_seq_of_uid(const struct view *v, uint32_t uid);
/* Number of UIDs below uid: the sequence number that uid or its successor has, minus 1. */
uint32_t
view_rank(const struct view *v, uint32_t uid);
/* The first UID >= from and its sequence number; false: none. Walking a view this way costs
 * a few ns a step. */
bool
view_next(const struct view *v, uint32_t from, uint32_t *uid_out, uint32_t *seq_out);
/* Highest UID in the view, 0 when empty. */
uint32_t
view_last_uid(const struct view *v);
/* Members of uids (resp. of the sequence set) that the view holds, as UIDs, added to out. */
void
view_select_uids(const struct view *v, const struct uidset *uids, struct uidset *out);
void
view_select_seqs(const struct view *v, const struct uidset *seqs, struct uidset *out);

/* What happened from one view to a later one. */
struct view_diff {
	struct uidset expunged; /* in old, not in new */
	struct uidset arrived;	/* not in old: UIDs >= old uidnext */
};
void
view_diff_init(struct view_diff *d);
void
view_diff_fini(struct view_diff *d);

/* The mailbox now. *out: a new reference (old itself when nothing changed; old keeps its own
 * reference). diff (reset first) may be NULL; whose flags changed says core/store/since.h.
 * ERR_NOTFOUND: the mailbox was deleted. */
MUST_USE enum err
view_refresh(struct txn *t, struct view *old, struct view **out, struct view_diff *diff);
/* All that old holds and what arrived since, as now, a later one, has it: for who may not be told
 * yet what went. Its modseq is old's, so that the next refresh finds the rest. Returns owned. */
struct view *
view_join(const struct view *old, const struct view *now);

#endif
