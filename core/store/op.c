/* What the ops share; see op.h. */
#include "core/store/op.h"

size_t op_entries_max = 16384;

void
op_set_entries_max(size_t n)
{
	op_entries_max = n;
}

void
op_init(struct store_op *op, struct home *h, enum err (*run)(struct update *, struct txn *),
	void (*done)(struct update *, enum err))
{
	op->home = home_ref(h);
	op->update.run = run;
	op->update.done = done;
	op->forgotten = false;
}

void
op_fini(struct store_op *op)
{
	home_unref(op->home);
}

void
store_op_forget(struct store_op *op)
{
	op->forgotten = true;
}

enum err
op_row_by_id(struct txn *t, uint32_t id, struct mailbox_row *out)
{
	enum err e = mailbox_row_get(t, id, out);

	return e == ERR_OK && (out->dying || out->noselect) ? ERR_NOTFOUND : e;
}

enum err
op_row_by_path(struct txn *t, struct str path, struct mailbox_row *out)
{
	enum err e = mailbox_row_find(t, path, out);

	return e == ERR_OK && out->noselect ? ERR_NOTFOUND : e;
}

enum err
entry_walk_begin(struct entry_walk *w, struct txn *t, uint32_t mailbox, const struct uidset *uids,
	uint32_t from)
{
	w->uids = uids;
	w->range = 0;
	w->from = from;
	w->started = false;
	return entry_scan_begin(&w->scan, t, mailbox, from);
}

enum err
entry_walk_next(struct entry_walk *w, struct entry *out)
{
	const struct uidset *u = w->uids;
	enum err e;

	if (w->started) {
		e = entry_scan_next(&w->scan, out);
	} else {
		while (w->range < u->n && u->v[w->range].hi < w->from)
			w->range++;
		if (w->range == u->n)
			return ERR_EOF;
		if (u->v[w->range].lo > w->from)
			w->from = u->v[w->range].lo;
		e = entry_scan_seek(&w->scan, w->from, out);
		w->started = true;
	}
	while (e == ERR_OK) {
		while (w->range < u->n && u->v[w->range].hi < out->uid)
			w->range++;
		if (w->range == u->n)
			return ERR_EOF;
		if (u->v[w->range].lo <= out->uid)
			return ERR_OK;
		e = entry_scan_seek(&w->scan, u->v[w->range].lo, out);
	}
	return e;
}

void
entry_walk_end(struct entry_walk *w)
{
	entry_scan_end(&w->scan);
}
