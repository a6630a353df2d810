/* SORT's order; see sort.h. Called by cmd_search.c. Invariant: what has a row in the order is in
 * the result, and the other way round once all were loaded. */
#include "imap/search/sort.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "imap/search/batch.h"
#include "imap/search/order.h"
#include "imap/search/sort_insert.h"
#include "imap/search/sortkey.h"
#include "imap/session/recall.h"

enum { MOVES = 8192 }; /* of keys of one criterion */
/* What a remembered order is worth: a key that is looked for costs as much as 64 that are made side
 * by side, one that is passed by a 256th of that. */
enum { FRESH_RATIO = 64, KNOWN_RATIO = 256 };

enum phase { PHASE_BEGIN, PHASE_LOAD, PHASE_MERGE, PHASE_INSERT, PHASE_DONE };

struct sort {
	const struct args_search *args;
	enum phase phase;
	struct sortkey key;
	struct order order; /* of load */
	struct uidset load; /* whose keys are made: all that were found, or what is fresh */
	struct walk walk;
	struct recalled *known; /* NULL: nothing is remembered that would help */
	struct sort_insert insert;
	struct recalled *made; /* the answer */
};

struct sort *
sort_new(const struct args_search *a)
{
	struct sort *t = xcalloc(1, sizeof *t);

	t->args = a;
	sortkey_init(&t->key, a->sort, a->sort_count);
	return t;
}

void
sort_free(struct sort *t)
{
	if (t == NULL)
		return;
	sort_insert_fini(&t->insert);
	sortkey_fini(&t->key);
	order_fini(&t->order);
	uidset_fini(&t->load);
	recalled_unref(t->known);
	recalled_unref(t->made);
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

	for (;;) {
		enum err e = batch_next(b, &t->walk, &t->load, t->key.part);

		if (e == ERR_OK)
			e = load_some(t, b, r, missing);
		if (e != ERR_OK || b->n == 0)
			return e;
		if (session_enough(s, began))
			return ERR_AGAIN;
	}
}

static enum err
load(struct imap_session *s, struct cmd *c, struct sort *t, struct search_result *r, bool *missing)
{
	struct batch b;
	uint32_t uid;

	if (!walk_at(&t->walk, &t->load, &uid))
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

/* ---- what is remembered ---- */

/* The mailbox and the criteria; how: their octets. */
static struct recall_key
key_of(const struct imap_session *s, const struct args_search *a, char how[RECALL_HOW_MAX])
{
	size_t n = 0;

	how[n++] = 'S';
	for (size_t i = 0; i < a->sort_count; i++)
		how[n++] = (char)((unsigned)a->sort[i].kind << 1 | a->sort[i].reverse);
	return (struct recall_key){
		.home = s->home,
		.mailbox = view_mailbox(s->sel.view),
		.uidvalidity = view_uidvalidity(s->sel.view),
		.how = str_n(how, n),
	};
}

static void
begin_load(struct sort *t, size_t n)
{
	order_fini(&t->order);
	order_init(&t->order, n);
	t->walk = (struct walk){ .range = 0 };
	t->phase = PHASE_LOAD;
}

static void
load_all(struct sort *t, const struct search_result *r)
{
	recalled_unref(t->known);
	t->known = NULL;
	uidset_copy(&t->load, &r->uids);
	begin_load(t, (size_t)r->count);
}

static void
begin(const struct imap_session *s, struct sort *t, const struct search_result *r)
{
	char how[RECALL_HOW_MAX];
	const struct recall_key key = key_of(s, t->args, how);

	if (r->count >= RECALL_LEAST)
		t->known = recall_get(s->imap->recall, &key);
	if (t->known != NULL && uidset_equal(&t->known->uids, &r->uids)) {
		t->made = recalled_ref(t->known);
		t->phase = PHASE_DONE;
		return;
	}
	if (t->known != NULL)
		uidset_subtract(&r->uids, &t->known->uids, &t->load);
	uint64_t fresh = uidset_count(&t->load);

	if (t->known == NULL || fresh > r->count / FRESH_RATIO ||
		t->known->n / KNOWN_RATIO > r->count)
		load_all(t, r);
	else
		begin_load(t, (size_t)fresh);
}

/* What others will ask for is more likely the whole than a part of it. */
static void
remember(const struct imap_session *s, const struct sort *t)
{
	char how[RECALL_HOW_MAX];
	const struct recall_key key = key_of(s, t->args, how);
	uint32_t count = view_count(s->sel.view);

	if (t->made->n >= RECALL_LEAST &&
		(t->known == NULL || t->made->n >= t->known->n || t->made->n == count))
		recall_put(s->imap->recall, &key, t->made);
}

/* uids is taken. */
static void
make(const struct imap_session *s, struct sort *t, const struct search_result *r, uint32_t *uids)
{
	t->made = recalled_new(&r->uids, uids, (size_t)r->count);
	remember(s, t);
	t->phase = PHASE_DONE;
}

/* ---- the steps ---- */

static void
merged(const struct imap_session *s, struct sort *t, struct search_result *r)
{
	if (t->known != NULL) {
		sort_insert_init(&t->insert, t->known, &r->uids, &t->order, t->args);
		t->phase = PHASE_INSERT;
		return;
	}
	uint32_t *uids = xcalloc(t->order.n + 1, sizeof *uids);

	for (size_t i = 0; i < t->order.n; i++)
		uids[i] = t->order.rows[i].id;
	make(s, t, r, uids);
}

static enum err
load_phase(struct imap_session *s, struct cmd *c, struct sort *t, struct search_result *r,
	bool *missing)
{
	enum err e = load(s, c, t, r, missing);

	if (e != ERR_OK)
		return e;
	r->count = uidset_count(&r->uids);
	t->phase = PHASE_MERGE;
	return ERR_OK;
}

static enum err
insert_phase(struct imap_session *s, struct sort *t, struct search_result *r)
{
	enum err e = sort_insert_run(&t->insert, s);

	if (e == ERR_NOTFOUND) {
		sort_insert_fini(&t->insert);
		load_all(t, r);
		return ERR_AGAIN;
	}
	if (e != ERR_OK)
		return e;
	uint32_t *uids = t->insert.uids;

	t->insert.uids = NULL;
	make(s, t, r, uids);
	return ERR_OK;
}

enum err
sort_run(struct imap_session *s, struct cmd *c, struct sort *t, struct search_result *r,
	bool *missing)
{
	int64_t began = clock_us();
	enum err e = ERR_OK;

	if (t->phase == PHASE_BEGIN)
		begin(s, t, r);
	if (t->phase == PHASE_LOAD)
		e = load_phase(s, c, t, r, missing);
	while (e == ERR_OK && t->phase == PHASE_MERGE)
		if (order_step(&t->order, MOVES / t->args->sort_count))
			merged(s, t, r);
		else if (session_enough(s, began))
			e = ERR_AGAIN;
	if (e == ERR_OK && t->phase == PHASE_INSERT)
		e = insert_phase(s, t, r);
	if (e != ERR_OK)
		return e;
	r->order = t->made->v;
	r->modseq_first = r->modseq_last = r->modseq;
	return c->a.search.has_modseq && r->count != 0 ? find_modseqs(s, r) : ERR_OK;
}
