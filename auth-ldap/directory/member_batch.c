/* Members' entries by DN, many at once. A group has thousands of members and most lie below one
 * parent: those that wait are asked about by one search of the parent's children,
 * "(|(uid=anna)(uid=bilal)…)", where the entries are told apart by their DNs. Whoever did not come
 * back that way is asked about by itself, so the outcome is never another than that of single
 * searches. Called by members.c.
 *
 * Invariant: a request is in the queue or in one batch until it is answered or goes. */
#include <stdlib.h>

#include "auth-ldap/directory/members_impl.h"
#include "auth-ldap/directory/rdn.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	WEIGHT_MAX = 64, /* searches under way; a batch counts as */
	BATCH_WEIGHT = 8,
	SLOW_MS = 200,		/* a batch that takes longer, and */
	SLOW_MEMBER_MS = 2,	/* this for each member, and */
	DISTANCE = 3,		/* so many times what one entry takes: no index */
	OFF_MS = 60 * 1000,	/* then each by itself for so long */
	EMPTY_BATCH = 4,	/* so many members and none there: no right to search, perhaps */
	FILTER_BYTES = 1 << 20, /* of a batch */
	NO_SUCH_OBJECT = 32,	/* RFC 4511 A.1 */
};

struct batches {
	struct section *s;
	struct list queue; /* members_state.wait */
	struct list flying;
	unsigned weight;
	struct loop_task task;
	int64_t off_until_ms;
};

struct batch {
	struct list link;
	struct batches *owner;
	struct ldap_search *search;
	struct list members; /* members_state.wait */
	size_t count;
	unsigned weight;
	bool single, answering;
	int64_t sent_ms;
};

/* ---- answers ---- */

static void
batch_free(struct batch *b)
{
	list_remove(&b->link);
	b->owner->weight -= b->weight;
	ldap_search_cancel(b->search);
	loop_task_queue(&b->owner->task);
	free(b);
}

static struct members_state *
first(struct list *l)
{
	return CONTAINER_OF(l->next, struct members_state, wait);
}

static void
detach(struct members_state *m)
{
	list_remove(&m->wait);
	m->batch = NULL;
}

static void
answer(struct members_state *m, const struct ldap_entry *e)
{
	struct backend_request *r = m->r;
	detach(m);
	m->entries++;
	m->take(r, e);
	if (m->err != ERR_OK)
		section_finish_error(r, m->err, m->reason, m->detail);
	else
		m->done(r);
}

/* One who was asked about alone. */
static void
on_single(struct batch *b, const struct ldap_op *op)
{
	struct members_state *m = first(&b->members);
	if (op->err == ERR_OK && op->entries != NULL) {
		answer(m, op->entries);
	} else if (op->err == ERR_OK || op->err == ERR_NOTFOUND) {
		detach(m);
		section_finish_error(m->r, ERR_NOTFOUND, REASON_UNKNOWN, STR_EMPTY);
	} else {
		detach(m);
		section_finish_failed(m->r, op);
	}
}

/* e may be asked for more than once, by several expansions. */
static void
hand_out(struct batch *b, const struct ldap_entry *e)
{
	struct buf key, value;
	size_t siblings;
	buf_init(&key, RDN_KEY_MAX);
	buf_init(&value, RDN_KEY_MAX);
	bool more = rdn_key(e->dn, &key, &siblings, &value);
	while (more) {
		more = false;
		LIST_FOREACH (node, &b->members) {
			struct members_state *m = CONTAINER_OF(node, struct members_state, wait);
			if (!str_eq(m->key, buf_str(&key)))
				continue;
			answer(m, e); /* and the list may be another now */
			more = true;
			break;
		}
	}
	buf_fini(&key);
	buf_fini(&value);
}

/* Was this a good way to ask? */
static void
judge(struct batch *b, const struct ldap_op *op)
{
	int64_t now = clock_ms(), ms = now - b->sent_ms;
	const char *why = NULL;
	if (op->err != ERR_OK && op->code == NO_SUCH_OBJECT)
		return; /* the parent is gone, and its children with it: they say so themselves */
	if (op->err != ERR_OK)
		why = "a search for many members failed";
	else if (ms > SLOW_MS + SLOW_MEMBER_MS * (int64_t)b->count +
			      DISTANCE * b->owner->s->members->single_ms)
		why = "a search for many members is slow: is their attribute indexed?";
	else if (op->entries == NULL && b->count >= EMPTY_BATCH)
		why = "a search for many members finds none";
	if (why == NULL)
		return;
	b->owner->off_until_ms = now + OFF_MS;
	log_event(LVL_INFO, "auth.directory", log_s("directory", b->owner->s->base.title),
		log_z("reason", why), log_s("base", op->base), log_n("members", (int64_t)b->count),
		log_n("ms", ms));
}

static void
on_batch(void *arg, const struct ldap_op *op)
{
	struct batch *b = arg;
	struct batches *all = b->owner;
	b->search = NULL;
	b->answering = true;
	if (!list_empty(&b->members))
		section_trace_search(first(&b->members)->r, op);
	if (b->single && !list_empty(&b->members)) {
		on_single(b, op);
	} else if (!b->single) {
		judge(b, op);
		const struct ldap_entry *e = op->err == ERR_OK ? op->entries : NULL;
		for (; e != NULL; e = e->next)
			hand_out(b, e);
	}
	while (!list_empty(&b->members)) {
		struct members_state *m = first(&b->members);
		detach(m);
		m->siblings = STR_EMPTY;
		list_push_front(&all->queue, &m->wait);
	}
	batch_free(b);
}

/* ---- questions ---- */

static struct batch *
batch_new(struct batches *all, struct members_state *m)
{
	struct batch *b = xcalloc(1, sizeof *b);
	b->owner = all;
	list_init(&b->members);
	list_push_back(&all->flying, &b->link);
	list_remove(&m->wait);
	list_push_back(&b->members, &m->wait);
	m->batch = b;
	b->count = 1;
	return b;
}

/* The others that wait and have the same parent. */
static void
batch_fill(struct batch *b, size_t max)
{
	const struct members_state *head = first(&b->members);
	LIST_FOREACH (node, &b->owner->queue) {
		struct members_state *m = CONTAINER_OF(node, struct members_state, wait);
		if (b->count >= max)
			break;
		if (!str_eq(m->siblings, head->siblings))
			continue;
		list_remove(&m->wait);
		list_push_back(&b->members, &m->wait);
		m->batch = b;
		b->count++;
	}
}

static void
batch_filter(struct batch *b, struct buf *f, struct str *base)
{
	const struct members_state *head = first(&b->members);
	struct str type = str_sub(head->siblings, 0, str_chr(head->siblings, ','));
	struct buf value;
	buf_init(&value, RDN_KEY_MAX);
	(void)rdn_split(head->dn, &(struct str){ 0 }, &value, base);
	buf_fini(&value);
	*base = str_trim(*base);
	buf_addz(f, "(|");
	LIST_FOREACH (node, &b->members) {
		buf_addf(f, "(%.*s=", STR_FMT(type));
		escape_filter(f, CONTAINER_OF(node, struct members_state, wait)->rdn_value);
		buf_addc(f, ')');
	}
	buf_addc(f, ')');
}

static void
batch_send(struct batch *b)
{
	struct batches *all = b->owner;
	struct section *s = all->s;
	struct buf f;
	struct ldap_query q = { .attrs = s->members->attrs,
		.attrs_count = s->members->attrs_count };
	buf_init(&f, FILTER_BYTES);
	if (b->count > 1)
		batch_filter(b, &f, &q.base);
	b->single = b->count == 1 || buf_check(&f) != ERR_OK;
	if (b->single) {
		q.base = first(&b->members)->dn;
		q.scope = SCOPE_BASE;
		q.filter = STR("(objectClass=*)");
		q.size_limit = 1;
	} else {
		q.scope = SCOPE_ONE;
		q.filter = buf_str(&f);
	}
	b->weight = b->single ? 1 : BATCH_WEIGHT;
	all->weight += b->weight;
	b->sent_ms = clock_ms();
	s->members->batches_count += !b->single;
	s->members->searches_count++;
	b->search = ldap_search(s->client, &q, on_batch, b);
	buf_fini(&f);
}

static void
on_flush(struct loop_task *t)
{
	struct batches *all = t->arg;
	size_t max = (size_t)all->s->s->member_batch;
	bool together = max > 1 && clock_ms() >= all->off_until_ms;
	while (!list_empty(&all->queue) && all->weight < WEIGHT_MAX) {
		struct members_state *m = first(&all->queue);
		struct batch *b = batch_new(all, m);
		if (together && m->siblings.n > 0)
			batch_fill(b, max);
		batch_send(b);
	}
}

void
batch_add(struct backend_request *r)
{
	struct section *s = r->section;
	struct members_state *m = r->members;
	struct buf key, value;
	size_t n;
	if (s->members->batches == NULL) {
		struct batches *all = s->members->batches = xcalloc(1, sizeof *all);
		all->s = s;
		list_init(&all->queue);
		list_init(&all->flying);
		loop_task_init(&all->task, s->loop, on_flush, all);
	}
	buf_init(&key, RDN_KEY_MAX);
	buf_init(&value, RDN_KEY_MAX);
	if (rdn_key(m->dn, &key, &n, &value) &&
		arena_str(m->arena, buf_str(&key), &m->key) == ERR_OK &&
		arena_str(m->arena, buf_str(&value), &m->rdn_value) == ERR_OK)
		m->siblings = str_sub(m->key, 0, n);
	buf_fini(&key);
	buf_fini(&value);
	list_push_back(&s->members->batches->queue, &m->wait);
	loop_task_queue(&s->members->batches->task);
}

void
batch_remove(struct members_state *m)
{
	struct batch *b = m->batch;
	detach(m);
	if (b != NULL && !b->answering && list_empty(&b->members))
		batch_free(b);
}

void
batches_free(struct batches *all)
{
	if (all == NULL)
		return;
	while (!list_empty(&all->flying))
		batch_free(CONTAINER_OF(all->flying.next, struct batch, link));
	loop_task_cancel(&all->task);
	free(all);
}
