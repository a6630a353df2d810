#ifndef POSTROOM_STORE_OP_H
#define POSTROOM_STORE_OP_H

#include "core/store/internal.h"
#include "core/store/update.h"

/* What the ops share. An op is one or more updates of one home, and lives until its done was
 * called. Internal to core/store. */
struct store_op {
	struct home *home; /* a reference */
	struct update update;
	bool forgotten;
};

/* An update changes so many, the next one goes on; see op_set_entries_max. */
extern size_t op_entries_max;

void
op_init(struct store_op *op, struct home *h, enum err (*run)(struct update *, struct txn *),
	void (*done)(struct update *, enum err));
/* Gives the reference back; the caller frees the memory. */
void
op_fini(struct store_op *op);

/* A selectable mailbox's row. ERR_NOTFOUND: none, or deleted. */
MUST_USE enum err
op_row_by_id(struct txn *t, uint32_t id, struct mailbox_row *out);
/* ERR_NOTFOUND: none, or a placeholder, which can be made one. */
MUST_USE enum err
op_row_by_path(struct txn *t, struct str path, struct mailbox_row *out);

/* The entries of a mailbox that are in a set, ascending. */
struct entry_walk {
	struct entry_scan scan;
	const struct uidset *uids;
	size_t range;
	uint32_t from;
	bool started;
};
MUST_USE enum err
entry_walk_begin(struct entry_walk *w, struct txn *t, uint32_t mailbox, const struct uidset *uids,
	uint32_t from);
/* ERR_EOF at the end. */
MUST_USE enum err
entry_walk_next(struct entry_walk *w, struct entry *out);
void
entry_walk_end(struct entry_walk *w);

/* Copies, or with move moves, at most max entries of uids from UID `from` on. *to and *source are
 * edited and put; both may be the same mailbox, then to == source. next_out: where to go on, 0:
 * done. */
struct transfer {
	struct mailbox_row *source, *to;
	const struct uidset *uids;
	uint32_t from, next;
	size_t max;
	bool move;
	struct uidset *source_uids, *target_uids; /* added to */
};
MUST_USE enum err
transfer_entries(struct txn *t, struct transfer *x);

/* The mailbox of a full path, its parents made where missing. ERR_EXISTS. */
MUST_USE enum err
path_create(struct txn *t, struct str path, unsigned special_use, struct mailbox_row *out);

#endif
