/* COPY and MOVE within a home: the index alone changes, messages are counted. COPY is one update;
 * MOVE is cut into updates of 16,384 entries. Called by imap; transfer_entries also by RENAME
 * INBOX. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/store/op.h"

struct copy_op {
	struct store_op op;
	struct str to;
	uint32_t from;
	struct uidset uids;
	bool move, whole;
	copy_fn done;
	void *arg;
	uint32_t next;	    /* UID to go on with */
	uint32_t step_next; /* out of one run */
	struct copy_result step, all;
};

/* Bits of the source's keywords as bits of the target's: map[bit]. */
struct keyword_map {
	struct keywords source;
	uint64_t to[KEYWORD_MAX];
};

static enum err
map_keywords(struct txn *t, struct keyword_map *m, const struct transfer *x, uint64_t used)
{
	struct str names[KEYWORD_MAX];
	unsigned from[KEYWORD_MAX];
	int bits[KEYWORD_MAX];
	size_t n = 0;

	for (unsigned i = 0; i < KEYWORD_MAX; i++)
		if ((used >> i & 1) != 0 && m->source.name[i].n > 0) {
			from[n] = i;
			names[n++] = m->source.name[i];
		}
	enum err e = keywords_map(t, x->to->id, names, n, true, bits);

	for (size_t i = 0; e == ERR_OK && i < n; i++)
		m->to[from[i]] = (uint64_t)1 << bits[i];
	return e;
}

static uint64_t
mapped(const struct keyword_map *m, uint64_t bits)
{
	uint64_t out = 0;

	for (; bits != 0; bits &= bits - 1)
		out |= m->to[__builtin_ctzll(bits)];
	return out;
}

/* Keywords in use by the entries that will be copied. */
static enum err
used_keywords(struct txn *t, const struct transfer *x, uint64_t *out)
{
	struct entry_walk w;
	struct entry entry;
	enum err e = entry_walk_begin(&w, t, x->source->id, x->uids, x->from);

	*out = 0;
	for (size_t n = 0; e == ERR_OK && n < x->max && (e = entry_walk_next(&w, &entry)) == ERR_OK;
		n++)
		*out |= entry.keywords;
	entry_walk_end(&w);
	return e == ERR_EOF ? ERR_OK : e;
}

struct moving {
	struct chunk_edit in, out;
	struct uidset gone;
	int64_t now_ms;
	uint64_t *copied; /* messages, in the order of the entries */
	size_t copied_n, copied_cap;
};

static void
copied_add(struct moving *m, uint64_t msg)
{
	if (m->copied_n == m->copied_cap) {
		m->copied_cap = m->copied_cap != 0 ? m->copied_cap * 2 : 64;
		m->copied = xrealloc(m->copied, m->copied_cap * sizeof *m->copied);
	}
	m->copied[m->copied_n++] = msg;
}

static enum err
transfer_one(struct txn *t, struct transfer *x, struct moving *m, const struct entry *from,
	struct entry *entry)
{
	struct key k;
	enum err e = ERR_OK;

	entry->save_ms = m->now_ms;
	if (x->move) {
		writes_del_once(t->writes, KV_ENTRY, key_2u32(&k, x->source->id, from->uid));
		row_count_out(t, x->source, from);
		uidset_add(&m->gone, from->uid, from->uid);
		e = chunk_edit_set(&m->out, t, x->source->id, from->uid, false, false);
	} else {
		copied_add(m, from->msg);
	}
	/* Both editors may hold the same chunk when a mailbox is moved into itself. */
	if (e == ERR_OK && x->move && x->source == x->to)
		chunk_edit_flush(&m->out, t);
	if (e == ERR_OK)
		e = entry_append(t, x->to, &m->in, entry);
	if (e == ERR_OK && x->move && x->source == x->to)
		chunk_edit_flush(&m->in, t);
	if (e != ERR_OK)
		return e;
	uidset_add(x->source_uids, from->uid, from->uid);
	uidset_add(x->target_uids, entry->uid, entry->uid);
	return ERR_OK;
}

static enum err
transfer_all(struct txn *t, struct transfer *x, const struct keyword_map *map, struct moving *m)
{
	struct entry_walk w;
	struct entry entry;
	size_t n = 0;
	uint32_t until = x->to == x->source ? x->to->uidnext : UINT32_MAX;
	enum err e = entry_walk_begin(&w, t, x->source->id, x->uids, x->from);

	x->next = 0;
	while (e == ERR_OK && (e = entry_walk_next(&w, &entry)) == ERR_OK && entry.uid < until) {
		struct entry copy = entry;

		if (n == x->max) {
			x->next = entry.uid;
			break;
		}
		/* The modseqs rise with the first entry: nothing found changes nothing. */
		if (n++ == 0) {
			x->to->highestmodseq++;
			if (x->move && x->to != x->source)
				x->source->highestmodseq++;
		}
		if (x->to != x->source)
			copy.keywords = mapped(map, entry.keywords);
		e = transfer_one(t, x, m, &entry, &copy);
	}
	entry_walk_end(&w);
	return e == ERR_EOF ? ERR_OK : e;
}

enum err
transfer_entries(struct txn *t, struct transfer *x)
{
	struct keyword_map map = { .to = { 0 } };
	struct moving m = { .now_ms = clock_wall_ms() };
	uint64_t used;
	enum err e = used_keywords(t, x, &used);

	if (e == ERR_OK && used != 0 && x->to != x->source) {
		e = keywords_get(t, x->source->id, &map.source);
		if (e == ERR_OK)
			e = map_keywords(t, &map, x, used);
	}
	if (e == ERR_OK)
		e = transfer_all(t, x, &map, &m);
	if (e == ERR_OK)
		e = refs_add(t, m.copied, m.copied_n);
	if (e == ERR_OK) {
		chunk_edit_flush(&m.in, t);
		chunk_edit_flush(&m.out, t);
		if (m.gone.n > 0)
			e = change_add(t, x->source, CHANGE_EXPUNGE, &m.gone);
		mailbox_row_put(t, x->to);
		if (x->source != x->to)
			mailbox_row_put(t, x->source);
	}
	uidset_fini(&m.gone);
	free(m.copied);
	return e;
}

static enum err
copy_run(struct update *u, struct txn *t)
{
	struct copy_op *op = CONTAINER_OF(u, struct copy_op, op.update);
	struct mailbox_row source, target;
	struct transfer x = {
		.source = &source,
		.to = &target,
		.uids = &op->uids,
		.from = op->next,
		.max = op->move ? op_entries_max : SIZE_MAX,
		.move = op->move,
		.source_uids = &op->step.source,
		.target_uids = &op->step.target,
	};

	uidset_reset(&op->step.source);
	uidset_reset(&op->step.target);
	op->all.gone = false;
	enum err e = op_row_by_path(t, op->to, &target);

	/* A target that is not there comes first: the client may create it. */
	if (e != ERR_OK)
		return e;
	op->step.to = target.id;
	op->step.uidvalidity = target.uidvalidity;
	if ((e = op_row_by_id(t, op->from, &source)) != ERR_OK)
		return e == ERR_NOTFOUND ? ERR_EOF : e;
	if (source.id == target.id)
		x.to = &source;
	e = transfer_entries(t, &x);
	op->step_next = x.next;
	op->all.gone = e == ERR_OK && op->whole &&
		       uidset_count(&op->step.source) != uidset_count(&op->uids);
	return op->all.gone ? ERR_NOTFOUND : e;
}

static void
merge(struct uidset *all, const struct uidset *step)
{
	for (size_t i = 0; i < step->n; i++)
		uidset_add(all, step->v[i].lo, step->v[i].hi);
}

static void
copy_done(struct update *u, enum err e)
{
	struct copy_op *op = CONTAINER_OF(u, struct copy_op, op.update);

	if (e == ERR_OK) {
		merge(&op->all.source, &op->step.source);
		merge(&op->all.target, &op->step.target);
		op->all.to = op->step.to;
		op->all.uidvalidity = op->step.uidvalidity;
		if (op->step_next != 0) {
			op->next = op->step_next;
			home_submit(op->op.home, u);
			return;
		}
	}
	if (!op->op.forgotten)
		op->done(op->arg, e, &op->all);
	uidset_fini(&op->step.source);
	uidset_fini(&op->step.target);
	uidset_fini(&op->all.source);
	uidset_fini(&op->all.target);
	uidset_fini(&op->uids);
	free((char *)(uintptr_t)op->to.p);
	op_fini(&op->op);
	free(op);
}

static struct store_op *
start(struct home *h, const struct copy_args *a, bool move, copy_fn done, void *arg)
{
	struct copy_op *op = xcalloc(1, sizeof *op);

	op_init(&op->op, h, copy_run, copy_done);
	op->to = str_n(str_dup(a->to), a->to.n);
	op->from = a->from;
	uidset_copy(&op->uids, a->uids);
	op->move = move;
	op->whole = a->whole && !move;
	op->done = done;
	op->arg = arg;
	op->next = 1;
	home_submit(h, &op->op.update);
	return &op->op;
}

struct store_op *
store_copy(struct home *h, const struct copy_args *a, copy_fn done, void *arg)
{
	return start(h, a, false, done, arg);
}

struct store_op *
store_move(struct home *h, const struct copy_args *a, copy_fn done, void *arg)
{
	return start(h, a, true, done, arg);
}
