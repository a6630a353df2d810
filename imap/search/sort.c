/* SORT's order; see sort.h. Called by cmd_search.c. Invariant: what has a row in the order is in
 * the result, and the other way round once all were loaded. */
#include "imap/search/sort.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "imap/search/batch.h"
#include "imap/search/order.h"
#include "imap/search/sortkey.h"

enum { LOOK_EVERY = 4, MOVES = 8192 };

struct sort {
	struct sortkey key;
	struct order order;
	struct uidset found;
	struct walk walk;
	uint32_t *uids;
	bool loaded;
};

struct sort *
sort_new(const struct args_search *a, const struct search_result *r)
{
	struct sort *t = xcalloc(1, sizeof *t);

	sortkey_init(&t->key, a->sort, a->sort_count);
	order_init(&t->order, (size_t)r->count);
	uidset_copy(&t->found, &r->uids);
	return t;
}

void
sort_free(struct sort *t)
{
	if (t == NULL)
		return;
	sortkey_fini(&t->key);
	order_fini(&t->order);
	uidset_fini(&t->found);
	free(t->uids);
	free(t);
}

static enum err
load_some(struct sort *t, struct batch *b, struct search_result *r, bool *missing)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < b->n; i++) {
		if (b->missing[i]) {
			uidset_remove(&r->uids, b->uids[i], b->uids[i]);
			*missing = true;
			continue;
		}
		e = sortkey_make(&t->key, &b->entries[i], &b->messages[i]);
		if (e == ERR_OK)
			e = order_add(&t->order, buf_str(&t->key.key), b->uids[i]);
	}
	return e;
}

/* ERR_AGAIN: the step is full. */
static enum err
load_rows(struct imap_session *s, struct sort *t, struct search_result *r, struct batch *b,
	bool *missing)
{
	int64_t began = clock_us();
	enum err e;

	for (unsigned n = 1;; n++) {
		e = batch_next(b, &t->walk, &t->found, t->key.part);
		if (e == ERR_OK)
			e = load_some(t, b, r, missing);
		if (e != ERR_OK || b->n == 0)
			return e;
		if (n % LOOK_EVERY == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
}

static enum err
load(struct imap_session *s, struct cmd *c, struct sort *t, struct search_result *r, bool *missing)
{
	struct batch b;
	uint32_t uid;

	if (!walk_at(&t->walk, &t->found, &uid))
		return ERR_OK;
	enum err e = batch_begin(&b, s, uid);

	if (e != ERR_OK)
		return e;
	e = load_rows(s, t, r, &b, missing);
	batch_end(&b);
	if (e == ERR_AGAIN)
		session_progress(s, c, t->order.n, r->count);
	return e;
}

/* MIN and MAX are the first and the last in the order now. */
static enum err
find_modseqs(struct imap_session *s, struct search_result *r)
{
	uint32_t mailbox = view_mailbox(s->sel.view);
	struct entry first, last;
	struct txn *txn;
	enum err e = session_read(s, &txn);

	if (e != ERR_OK)
		return e;
	e = entry_get(txn, mailbox, r->order[0], &first);
	if (e == ERR_OK)
		e = entry_get(txn, mailbox, r->order[r->count - 1], &last);
	store_read_end(txn);
	if (e == ERR_OK) {
		r->modseq_first = first.modseq;
		r->modseq_last = last.modseq;
	}
	/* gone this moment: the highest of all is said */
	return e == ERR_NOTFOUND ? ERR_OK : e;
}

enum err
sort_run(struct imap_session *s, struct cmd *c, struct sort *t, struct search_result *r,
	bool *missing)
{
	int64_t began = clock_us();

	if (!t->loaded) {
		enum err e = load(s, c, t, r, missing);

		if (e != ERR_OK)
			return e;
		t->loaded = true;
		r->count = t->order.n;
		r->modseq_first = r->modseq_last = r->modseq;
	}
	while (!order_step(&t->order, MOVES))
		if (session_enough(s, began))
			return ERR_AGAIN;
	if (t->uids != NULL)
		return find_modseqs(s, r);
	t->uids = xcalloc(t->order.n != 0 ? t->order.n : 1, sizeof *t->uids);
	for (size_t i = 0; i < t->order.n; i++)
		t->uids[i] = t->order.rows[i].id;
	r->order = t->uids;
	return c->a.search.has_modseq && r->count != 0 ? find_modseqs(s, r) : ERR_OK;
}
