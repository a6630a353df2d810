/* Threads; see thread.h. Called by thread_job.c. Invariants: the parents never make a loop; behind
 * thread_link every message has a message, or a root without one (a dummy), or nothing as its
 * parent; lists of children are in the order of dates because they are made from the sorted whole.
 */
#include "imap/search/thread.h"

#include <endian.h>
#include <stdlib.h>

#include "core/base/xalloc.h"
#include "imap/search/order.h"

/* A chain of 100,000 that comes in the worst order takes 20 steps a message. */
enum { WALK_MAX = 200000, WALKS_MORE = 1000000, WALKS_A_MESSAGE = 64, DUMMIES_MORE = 65536 };

struct node {
	uint64_t hash;		      /* of the id, or of the subject */
	uint64_t of;		      /* the message; where it is known, the hash of its subject */
	uint32_t uid;		      /* 0: a dummy, only named by others */
	uint32_t parent, child, next; /* index of a node; 0: none */
	uint32_t kids;
	bool knows_subject, reply;
};

struct root {
	uint32_t node;
	bool knows_subject, reply;
	uint64_t subject;
};

enum phase {
	PHASE_SORT,
	PHASE_LIFT,
	PHASE_COUNT,
	PHASE_ROOTS,
	PHASE_TABLE,
	PHASE_MERGE,
	PHASE_CHILDREN,
	PHASE_LIST,
	PHASE_DONE,
};

struct thread {
	struct node *nodes; /* [0] is none */
	size_t count, cap, dummies_cap;
	size_t walks;	 /* steps that looking for loops may still take */
	uint32_t *slots; /* by hash; of ids, later of subjects (index of a root + 1) */
	size_t slots_mask;
	struct order order; /* of the messages, by date */
	struct root *roots;
	size_t roots_count;
	enum phase phase;
	size_t at;
	/* thread_next */
	uint32_t first_root, last_root, current;
	bool said_all;
};

/* Empty; fresh memory is not touched before it is used. */
static void
slots_new(struct thread *t, size_t entries)
{
	size_t n = 1024;

	while (n < entries * 3 / 2)
		n *= 2;
	free(t->slots);
	t->slots = xcalloc(n, sizeof *t->slots);
	t->slots_mask = n - 1;
}

struct thread *
thread_new(size_t messages)
{
	struct thread *t = xcalloc(1, sizeof *t);

	t->dummies_cap = messages * 3 + DUMMIES_MORE;
	t->walks = messages * WALKS_A_MESSAGE + WALKS_MORE;
	/* one more for a message: what is gathered by subject may get a dummy */
	t->cap = messages * 2 + t->dummies_cap + 1;
	t->nodes = xcalloc(t->cap, sizeof *t->nodes);
	t->count = 1;
	slots_new(t, messages + t->dummies_cap);
	order_init(&t->order, messages);
	return t;
}

void
thread_free(struct thread *t)
{
	if (t == NULL)
		return;
	order_fini(&t->order);
	free(t->nodes);
	free(t->slots);
	free(t->roots);
	free(t);
}

/* ---- step 1: the parents ---- */

static size_t
spread(const struct thread *t, uint64_t hash)
{
	return (size_t)(hash * 0x9e3779b97f4a7c15u >> 32) & t->slots_mask;
}

static uint32_t *
slot_of_id(struct thread *t, uint64_t hash)
{
	size_t i = spread(t, hash);

	while (t->slots[i] != 0 && t->nodes[t->slots[i]].hash != hash)
		i = (i + 1) & t->slots_mask;
	return &t->slots[i];
}

static uint32_t
node_new(struct thread *t, uint64_t hash)
{
	t->nodes[t->count] = (struct node){ .hash = hash };
	return (uint32_t)t->count++;
}

/* 0: no room for one more that is only named. */
static uint32_t
node_of_ref(struct thread *t, uint64_t hash)
{
	uint32_t *slot = slot_of_id(t, hash);

	if (*slot == 0 && t->dummies_cap != 0) {
		t->dummies_cap--;
		*slot = node_new(t, hash);
	}
	return *slot;
}

static uint32_t
node_of_message(struct thread *t, const struct thread_message *m)
{
	uint32_t *slot = m->own != 0 ? slot_of_id(t, m->own) : NULL;
	uint32_t n;

	/* without an id, or with one that was there before, it is nobody's parent */
	if (slot == NULL || (*slot != 0 && t->nodes[*slot].uid != 0)) {
		n = node_new(t, 0);
	} else {
		if (*slot == 0)
			*slot = node_new(t, m->own);
		else
			t->dummies_cap++;
		n = *slot;
	}
	t->nodes[n].uid = m->uid;
	t->nodes[n].of = m->knows_subject ? m->subject : m->msg;
	t->nodes[n].knows_subject = m->knows_subject;
	t->nodes[n].reply = m->reply;
	t->nodes[n].hash = slot != NULL ? m->own : m->subject;
	return n;
}

/* Is child at or above parent? */
static bool
makes_loop(struct thread *t, uint32_t parent, uint32_t child)
{
	size_t walks = t->walks < WALK_MAX ? t->walks : WALK_MAX, steps = 0;
	uint32_t n = parent;

	if (parent == child)
		return true;
	if (t->nodes[child].kids == 0)
		return false;
	for (; n != 0 && n != child && steps < walks; steps++)
		n = t->nodes[n].parent;
	t->walks -= steps;
	return n != 0;
}

static void
link_nodes(struct thread *t, uint32_t parent, uint32_t child)
{
	if (makes_loop(t, parent, child))
		return;
	t->nodes[child].parent = parent;
	t->nodes[parent].kids++;
}

/* The last of the references; 0: none. */
static uint32_t
link_refs(struct thread *t, const struct thread_message *m)
{
	uint32_t last = 0;

	for (size_t i = 0; i < m->refs_count; i++) {
		uint32_t ref = node_of_ref(t, m->refs[i]);

		if (ref == 0)
			continue;
		if (last != 0 && t->nodes[ref].parent == 0)
			link_nodes(t, last, ref);
		last = ref;
	}
	return last;
}

enum { EXPECT_MAX = 16 };

void
thread_expect(const struct thread *t, const struct thread_message *m)
{
	size_t from = m->refs_count > EXPECT_MAX ? m->refs_count - EXPECT_MAX : 0;

	__builtin_prefetch(&t->slots[spread(t, m->own)]);
	for (size_t i = from; i < m->refs_count; i++)
		__builtin_prefetch(&t->slots[spread(t, m->refs[i])]);
}

enum err
thread_add(struct thread *t, const struct thread_message *m, size_t *cost)
{
	uint64_t date = htobe64((uint64_t)m->date ^ (uint64_t)1 << 63);
	size_t walks = t->walks;

	if (t->order.n == t->order.cap)
		return ERR_LIMIT;
	uint32_t last = link_refs(t, m);
	uint32_t n = node_of_message(t, m);
	struct node *node = &t->nodes[n];

	/* what others said of its parent does not count any more */
	if (node->parent != 0)
		t->nodes[node->parent].kids--;
	node->parent = 0;
	if (last != 0)
		link_nodes(t, last, n);
	*cost += m->refs_count + (walks - t->walks);
	return order_add(&t->order, str_n(&date, sizeof date), n);
}

/* ---- steps 2 to 4 ---- */

static bool
is_dummy(const struct thread *t, uint32_t n)
{
	return t->nodes[n].uid == 0;
}

/* The nearest message above, or the dummy at the top; the way there is short the next time. */
static void
lift(struct thread *t, uint32_t n)
{
	uint32_t top = t->nodes[n].parent;

	while (top != 0 && is_dummy(t, top) && t->nodes[top].parent != 0)
		top = t->nodes[top].parent;
	while (n != top && n != 0) {
		uint32_t up = t->nodes[n].parent;

		t->nodes[n].parent = top;
		n = up != 0 && is_dummy(t, up) && up != top ? up : 0;
	}
}

/* A dummy at the top with one child is none. */
static uint32_t
root_of(const struct thread *t, uint32_t n)
{
	uint32_t parent = t->nodes[n].parent;

	if (parent == 0 || (is_dummy(t, parent) && t->nodes[parent].kids == 1))
		return n;
	return is_dummy(t, parent) ? parent : 0;
}

static void
add_root(struct thread *t, uint32_t n)
{
	uint32_t root = root_of(t, n);

	if (root == n)
		t->nodes[n].parent = 0;
	/* a dummy stands where its first child does */
	if (root == 0 || (root != n && t->nodes[root].child != 0))
		return;
	if (root != n)
		t->nodes[root].child = n;
	const struct node *first = &t->nodes[n];
	struct root r = { .node = root, .knows_subject = first->knows_subject };

	if (r.knows_subject) {
		r.subject = first->of;
		r.reply = first->reply;
	}
	t->roots[t->roots_count++] = r;
}

static uint32_t
sorted(const struct thread *t, size_t i)
{
	return t->order.rows[i].id;
}

/* True: the pass over [0, n) ended; the next one begins. */
static bool
pass_ended(struct thread *t, size_t n, enum phase next)
{
	if (t->at < n)
		return false;
	t->at = 0;
	t->phase = next;
	return true;
}

bool
thread_link(struct thread *t, size_t budget)
{
	if (t->phase == PHASE_SORT) {
		if (!order_step(&t->order, budget))
			return false;
		t->roots = xcalloc(t->order.n + 1, sizeof *t->roots);
		t->phase = PHASE_LIFT;
		return false;
	}
	if (t->phase == PHASE_LIFT) {
		for (; t->at < t->order.n && budget != 0; t->at++, budget--)
			lift(t, sorted(t, t->at));
		if (pass_ended(t, t->order.n, PHASE_COUNT))
			t->at = 1;
		return false;
	}
	if (t->phase == PHASE_COUNT) {
		/* first all counts to nothing, then by the messages alone */
		for (; t->at < t->count && budget != 0; t->at++, budget--)
			t->nodes[t->at].kids = 0;
		for (; t->at >= t->count && t->at < t->count + t->order.n && budget != 0;
			t->at++, budget--)
			t->nodes[t->nodes[sorted(t, t->at - t->count)].parent].kids++;
		(void)pass_ended(t, t->count + t->order.n, PHASE_ROOTS);
		return false;
	}
	for (; t->phase == PHASE_ROOTS && t->at < t->order.n && budget != 0; t->at++, budget--)
		add_root(t, sorted(t, t->at));
	if (t->phase == PHASE_ROOTS && pass_ended(t, t->order.n, PHASE_TABLE))
		slots_new(t, t->roots_count);
	return t->phase > PHASE_ROOTS;
}

size_t
thread_roots(const struct thread *t)
{
	return t->roots_count;
}

uint64_t
thread_root(const struct thread *t, size_t root)
{
	uint32_t n = t->roots[root].node;

	if (t->roots[root].knows_subject)
		return 0;
	return t->nodes[is_dummy(t, n) ? t->nodes[n].child : n].of;
}

void
thread_set_subject(struct thread *t, size_t root, uint64_t subject, bool reply)
{
	t->roots[root].subject = subject;
	t->roots[root].reply = reply;
}

/* ---- step 5: by subject ---- */

static uint32_t *
slot_of_subject(struct thread *t, uint64_t subject)
{
	size_t i = spread(t, subject);

	while (t->slots[i] != 0 && t->roots[t->slots[i] - 1].subject != subject)
		i = (i + 1) & t->slots_mask;
	return &t->slots[i];
}

static void
enter_subject(struct thread *t, size_t i)
{
	const struct root *r = &t->roots[i], *there;

	if (r->subject == 0)
		return;
	uint32_t *slot = slot_of_subject(t, r->subject);

	there = *slot != 0 ? &t->roots[*slot - 1] : NULL;
	if (there == NULL || (!is_dummy(t, there->node) &&
				     (is_dummy(t, r->node) || (there->reply && !r->reply))))
		*slot = (uint32_t)i + 1;
}

static void
merge_subject(struct thread *t, size_t i)
{
	struct root *r = &t->roots[i];

	if (r->subject == 0)
		return;
	struct root *there = &t->roots[*slot_of_subject(t, r->subject) - 1];

	if (there == r)
		return;
	/* children of a dummy that has a parent are that one's: PHASE_CHILDREN */
	if (is_dummy(t, there->node) || (r->reply && !there->reply)) {
		t->nodes[r->node].parent = there->node;
		return;
	}
	uint32_t dummy = node_new(t, 0);

	t->nodes[r->node].parent = t->nodes[there->node].parent = dummy;
	there->node = dummy;
}

/* ---- step 6, and the lists ---- */

static void
add_child(struct thread *t, uint32_t n)
{
	uint32_t parent = t->nodes[n].parent;

	if (parent != 0 && is_dummy(t, parent) && t->nodes[parent].parent != 0)
		t->nodes[n].parent = parent = t->nodes[parent].parent;
	if (parent == 0)
		return;
	t->nodes[n].next = t->nodes[parent].child;
	t->nodes[parent].child = n;
	t->nodes[parent].kids++;
}

static void
list_root(struct thread *t, uint32_t n)
{
	uint32_t parent = t->nodes[n].parent, root = n;

	if (parent != 0 && (!is_dummy(t, parent) || t->nodes[parent].child != n))
		return;
	if (parent != 0)
		root = parent;
	if (t->last_root != 0)
		t->nodes[t->last_root].next = root;
	else
		t->first_root = root;
	t->last_root = root;
}

/* From where all parents are known. */
static bool
make_lists(struct thread *t, size_t budget)
{
	if (t->phase == PHASE_CHILDREN) {
		for (; t->at < t->count && budget != 0; t->at++, budget--)
			t->nodes[t->at].child = t->nodes[t->at].next = t->nodes[t->at].kids = 0;
		for (; t->at >= t->count && t->at < t->count + t->order.n && budget != 0;
			t->at++, budget--)
			/* the latest first, each before those that are there */
			add_child(t, sorted(t, t->count + t->order.n - 1 - t->at));
		(void)pass_ended(t, t->count + t->order.n, PHASE_LIST);
		return false;
	}
	for (; t->phase == PHASE_LIST && t->at < t->order.n && budget != 0; t->at++, budget--)
		list_root(t, sorted(t, t->at));
	return t->phase == PHASE_DONE ||
	       (t->phase == PHASE_LIST && pass_ended(t, t->order.n, PHASE_DONE));
}

bool
thread_gather(struct thread *t, size_t budget)
{
	if (t->phase == PHASE_TABLE) {
		for (; t->at < t->roots_count && budget != 0; t->at++, budget--)
			enter_subject(t, t->at);
		(void)pass_ended(t, t->roots_count, PHASE_MERGE);
		return false;
	}
	if (t->phase == PHASE_MERGE) {
		for (; t->at < t->roots_count && budget != 0; t->at++, budget--)
			merge_subject(t, t->at);
		(void)pass_ended(t, t->roots_count, PHASE_CHILDREN);
		return false;
	}
	return make_lists(t, budget);
}

bool
thread_by_subject(struct thread *t, size_t budget)
{
	if (t->phase == PHASE_SORT) {
		if (order_step(&t->order, budget))
			t->phase = PHASE_TABLE;
		return false;
	}
	if (t->phase != PHASE_TABLE)
		return make_lists(t, budget);
	for (; t->at < t->order.n && budget != 0; t->at++, budget--) {
		uint32_t n = sorted(t, t->at);
		uint32_t *slot = slot_of_id(t, t->nodes[n].hash);

		if (*slot == 0)
			*slot = n;
		else
			t->nodes[n].parent = *slot;
	}
	(void)pass_ended(t, t->order.n, PHASE_CHILDREN);
	return false;
}

/* ---- the answer ---- */

/* In parentheses of its own: a root, or one of several children. */
static bool
is_bracketed(const struct thread *t, uint32_t n)
{
	uint32_t parent = t->nodes[n].parent;

	return parent == 0 || t->nodes[parent].kids > 1;
}

/* The node behind n and all below it, where its brackets are closed; 0: none. */
static uint32_t
climb(const struct thread *t, uint32_t n, struct thread_piece *out)
{
	for (; n != 0; n = t->nodes[n].parent) {
		out->closes += is_bracketed(t, n);
		if (t->nodes[n].next != 0) {
			out->opens++;
			return t->nodes[n].next;
		}
	}
	return 0;
}

static uint32_t
node_behind(const struct thread *t, uint32_t n, struct thread_piece *out)
{
	const struct node *node = &t->nodes[n];

	if (node->child == 0)
		return climb(t, n, out);
	out->opens += node->kids > 1;
	return node->child;
}

bool
thread_next(struct thread *t, struct thread_piece *out)
{
	*out = (struct thread_piece){ .opens = 0 };
	if (t->said_all)
		return false;
	bool first = t->current == 0;
	uint32_t n = first ? t->first_root : node_behind(t, t->current, out);

	out->opens += first && n != 0;
	while (n != 0 && is_dummy(t, n))
		n = node_behind(t, n, out);
	out->uid = t->nodes[n].uid;
	t->current = n;
	t->said_all = n == 0;
	return n != 0 || out->closes != 0;
}
