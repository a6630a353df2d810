/* STORE, EXPUNGE and the claim of \Recent: updates over the entries of one mailbox, cut at 16,384
 * of them. Called by imap. Invariant: entry, bitmap, counters and change row are written together.
 */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/store/op.h"

struct flags_op {
	struct store_op op;
	struct flags_args a;
	struct uidset uids;
	struct str *keywords;
	flags_fn done;
	void *arg;
	uint32_t next, step_next;
	struct flags_result step, all;
};

static void
new_flags(const struct flags_args *a, uint64_t bits, struct entry *e)
{
	switch (a->mode) {
	case FLAGS_ADD:
		e->flags |= a->flags & FLAG_ALL;
		e->keywords |= bits;
		break;
	case FLAGS_REMOVE:
		e->flags &= ~a->flags;
		e->keywords &= ~bits;
		break;
	case FLAGS_REPLACE:
		e->flags = a->flags & FLAG_ALL;
		e->keywords = bits;
		break;
	}
}

static bool
condition_holds(const struct flags_args *a, uint64_t bits, const struct entry *e)
{
	if (!a->conditional)
		return true;
	if (a->unchanged_since != 0)
		return e->modseq <= a->unchanged_since;
	return a->mode != FLAGS_REPLACE && a->flags == 0 && (e->keywords & bits) == 0;
}

static enum err
flags_one(struct flags_op *op, struct txn *t, struct mailbox_row *row, struct chunk_edit *chunk,
	uint64_t bits, struct entry *entry)
{
	const struct entry was = *entry;

	if (!condition_holds(&op->a, bits, entry)) {
		uidset_add(&op->step.modified, entry->uid, entry->uid);
		return ERR_OK;
	}
	new_flags(&op->a, bits, entry);
	if (entry->flags == was.flags && entry->keywords == was.keywords)
		return ERR_OK;
	if (op->step.changed.n == 0)
		row->highestmodseq++;
	entry->modseq = op->step.modseq = row->highestmodseq;
	uidset_add(&op->step.changed, entry->uid, entry->uid);
	if (op->a.known_modseq != 0 && was.modseq > op->a.known_modseq)
		uidset_add(&op->step.overtaken, entry->uid, entry->uid);
	row_count_out(t, row, &was);
	row_count_in(t, row, entry);
	entry_put(t, row->id, entry);
	if (((entry->flags ^ was.flags) & FLAG_SEEN) == 0)
		return ERR_OK;
	bool unseen = (entry->flags & FLAG_SEEN) == 0;

	return chunk_edit_set(chunk, t, row->id, entry->uid, true, unseen);
}

static enum err
flags_run(struct update *u, struct txn *t)
{
	struct flags_op *op = CONTAINER_OF(u, struct flags_op, op.update);
	struct chunk_edit chunk = { .loaded = false };
	struct mailbox_row row;
	struct entry_walk w;
	struct entry entry;
	uint64_t bits;
	size_t n = 0;

	uidset_reset(&op->step.changed);
	uidset_reset(&op->step.modified);
	uidset_reset(&op->step.overtaken);
	op->step.modseq = 0;
	op->step_next = 0;
	enum err e = op_row_by_id(t, op->a.mailbox, &row);

	if (e == ERR_OK)
		op->step.alone = op->next == 1 || row.highestmodseq == op->all.seen;
	if (e == ERR_OK)
		e = keywords_bits(t, row.id, op->keywords, op->a.keywords_count,
			op->a.mode != FLAGS_REMOVE, &bits);
	if (e != ERR_OK)
		return e;
	e = entry_walk_begin(&w, t, row.id, &op->uids, op->next);
	while (e == ERR_OK && (e = entry_walk_next(&w, &entry)) == ERR_OK) {
		if (n++ == op_entries_max) {
			op->step_next = entry.uid;
			break;
		}
		e = flags_one(op, t, &row, &chunk, bits, &entry);
	}
	entry_walk_end(&w);
	if (e != ERR_OK && e != ERR_EOF)
		return e;
	op->step.seen = row.highestmodseq;
	if (op->step.changed.n == 0)
		return ERR_OK;
	chunk_edit_flush(&chunk, t);
	e = change_add(t, &row, CHANGE_FLAGS, &op->step.changed);
	mailbox_row_put(t, &row);
	return e;
}

static void
merge(struct uidset *all, const struct uidset *step)
{
	for (size_t i = 0; i < step->n; i++)
		uidset_add(all, step->v[i].lo, step->v[i].hi);
}

static void
flags_take(struct flags_op *op)
{
	if (!op->step.alone && op->a.known_modseq != 0)
		uidset_copy(&op->all.overtaken, &op->all.changed);
	merge(&op->all.changed, &op->step.changed);
	merge(&op->all.modified, &op->step.modified);
	merge(&op->all.overtaken, &op->step.overtaken);
	if (op->step.modseq != 0)
		op->all.modseq = op->step.modseq;
	op->all.seen = op->step.seen;
	op->all.alone = op->step.alone;
}

static void
flags_free(struct flags_op *op)
{
	uidset_fini(&op->step.changed);
	uidset_fini(&op->step.modified);
	uidset_fini(&op->step.overtaken);
	uidset_fini(&op->all.changed);
	uidset_fini(&op->all.modified);
	uidset_fini(&op->all.overtaken);
	uidset_fini(&op->uids);
	for (size_t i = 0; i < op->a.keywords_count; i++)
		free((char *)(uintptr_t)op->keywords[i].p);
	free(op->keywords);
	op_fini(&op->op);
	free(op);
}

static void
flags_done(struct update *u, enum err e)
{
	struct flags_op *op = CONTAINER_OF(u, struct flags_op, op.update);

	if (e == ERR_OK)
		flags_take(op);
	if (e == ERR_OK && op->step_next != 0) {
		op->next = op->step_next;
		/* the next update runs while the caller says what this one did */
		home_submit(op->op.home, u);
		if (!op->op.forgotten && op->a.part != NULL)
			op->a.part(op->arg, op->next, &op->all);
		return;
	}
	if (!op->op.forgotten)
		op->done(op->arg, e, &op->all);
	flags_free(op);
}

struct store_op *
store_flags(struct home *h, const struct flags_args *a, flags_fn done, void *arg)
{
	struct flags_op *op = xcalloc(1, sizeof *op);

	op_init(&op->op, h, flags_run, flags_done);
	op->a = *a;
	uidset_copy(&op->uids, a->uids);
	op->keywords = xcalloc(a->keywords_count, sizeof *op->keywords);
	for (size_t i = 0; i < a->keywords_count; i++)
		op->keywords[i] = str_n(str_dup(a->keywords[i]), a->keywords[i].n);
	op->done = done;
	op->arg = arg;
	op->next = 1;
	home_submit(h, &op->op.update);
	return &op->op;
}

struct expunge_op {
	struct store_op op;
	uint32_t mailbox;
	struct uidset uids;
	expunge_fn done;
	void *arg;
	uint32_t next, step_next;
	struct expunge_result step, all;
};

/* Of the messages whose entries go, in the order of the entries. */
struct dropped {
	uint64_t *ids;
	size_t n, cap;
};

static void
dropped_add(struct dropped *d, uint64_t msg)
{
	if (d->n == d->cap) {
		d->cap = d->cap != 0 ? d->cap * 2 : 64;
		d->ids = xrealloc(d->ids, d->cap * sizeof *d->ids);
	}
	d->ids[d->n++] = msg;
}

static enum err
expunge_one(struct expunge_op *op, struct txn *t, struct mailbox_row *row, struct chunk_edit *chunk,
	const struct entry *entry)
{
	struct key k;

	row_count_out(t, row, entry);
	uidset_add(&op->step.uids, entry->uid, entry->uid);
	writes_del_once(t->writes, KV_ENTRY, key_2u32(&k, row->id, entry->uid));
	return chunk_edit_set(chunk, t, row->id, entry->uid, false, false);
}

static enum err
expunge_entries(struct expunge_op *op, struct txn *t, struct mailbox_row *row)
{
	struct chunk_edit chunk = { .loaded = false };
	struct dropped gone = { .n = 0 };
	struct entry_walk w;
	struct entry entry;

	if (row->deleted == 0)
		return ERR_OK;
	enum err e = entry_walk_begin(&w, t, row->id, &op->uids, op->next);

	while (e == ERR_OK && row->deleted != 0 && (e = entry_walk_next(&w, &entry)) == ERR_OK) {
		if ((entry.flags & FLAG_DELETED) == 0)
			continue;
		if (gone.n == op_entries_max) {
			op->step_next = entry.uid;
			break;
		}
		dropped_add(&gone, entry.msg);
		e = expunge_one(op, t, row, &chunk, &entry);
	}
	entry_walk_end(&w);
	chunk_edit_flush(&chunk, t);
	if (e == ERR_OK || e == ERR_EOF)
		e = refs_drop(t, gone.ids, gone.n, clock_wall_ms());
	free(gone.ids);
	return e;
}

static enum err
expunge_run(struct update *u, struct txn *t)
{
	struct expunge_op *op = CONTAINER_OF(u, struct expunge_op, op.update);
	struct mailbox_row row;

	uidset_reset(&op->step.uids);
	op->step.modseq = 0;
	op->step_next = 0;
	enum err e = op_row_by_id(t, op->mailbox, &row);

	if (e == ERR_OK)
		e = expunge_entries(op, t, &row);
	if (e != ERR_OK || op->step.uids.n == 0)
		return e;
	op->step.modseq = ++row.highestmodseq;
	e = change_add(t, &row, CHANGE_EXPUNGE, &op->step.uids);
	mailbox_row_put(t, &row);
	return e;
}

static void
expunge_done(struct update *u, enum err e)
{
	struct expunge_op *op = CONTAINER_OF(u, struct expunge_op, op.update);

	if (e == ERR_OK) {
		merge(&op->all.uids, &op->step.uids);
		if (op->step.modseq != 0)
			op->all.modseq = op->step.modseq;
		if (op->step_next != 0) {
			op->next = op->step_next;
			home_submit(op->op.home, u);
			return;
		}
	}
	if (!op->op.forgotten)
		op->done(op->arg, e, &op->all);
	uidset_fini(&op->step.uids);
	uidset_fini(&op->all.uids);
	uidset_fini(&op->uids);
	op_fini(&op->op);
	free(op);
}

struct store_op *
store_expunge(
	struct home *h, uint32_t mailbox, const struct uidset *uids, expunge_fn done, void *arg)
{
	struct expunge_op *op = xcalloc(1, sizeof *op);

	op_init(&op->op, h, expunge_run, expunge_done);
	op->mailbox = mailbox;
	if (uids != NULL)
		uidset_copy(&op->uids, uids);
	else
		uidset_add(&op->uids, 1, UINT32_MAX);
	op->done = done;
	op->arg = arg;
	op->next = 1;
	home_submit(h, &op->op.update);
	return &op->op;
}
