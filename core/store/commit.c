/* Group commit: each home has a queue; what arrives while a commit runs is the next batch, one
 * transaction for all of it. Called by the ops; batch_run alone is on the pool. Invariant: an
 * update's writes are in the index only when its run returned ERR_OK, and done is called after the
 * commit was synced. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/internal.h"

enum {
	BATCH_WRITES_MAX = 16384,
	BATCH_MS_MAX = 100, /* the write lock is held for at most 200 ms */
	QUEUE_MS_MAX = 10 * 1000,
};

static int64_t queue_ms_max = QUEUE_MS_MAX;

void
commit_set_patience(int64_t ms)
{
	queue_ms_max = ms;
}

bool
commit_too_late(int64_t queued_ms)
{
	return clock_ms() - queued_ms >= queue_ms_max;
}

static struct update *
update_of(struct list *node)
{
	return CONTAINER_OF(node, struct update, link);
}

void
home_enqueue(struct home *h, struct update *u)
{
	u->home = h;
	u->queued_ms = clock_ms();
	u->prepared = ERR_OK;
	u->result = ERR_TEMP;
	list_push_back(&h->queue, &u->link);
	if (h->busy_link.next == &h->busy_link)
		list_push_back(&h->store->busy, &h->busy_link);
	home_pin_again(h);
	h->refs++;
}

bool
home_rests(const struct home *h)
{
	return h->state != HOME_POISONED && list_empty(&h->queue) && !h->batch_busy &&
	       list_empty(&h->batch);
}

void
home_submit(struct home *h, struct update *u)
{
	home_enqueue(h, u);
	if (h->state == HOME_POISONED && clock_ms() < h->retry_ms)
		return; /* the tick answers: never inside this call */
	home_step(h);
}

static void
finish(struct home *h, struct update *u, enum err e)
{
	if (u->garbage && e == ERR_OK)
		garbage_schedule(h);
	u->done(u, e);
	home_unpin(h);
	home_unref(h);
}

static void
leave_busy(struct home *h)
{
	if (list_empty(&h->queue) && list_empty(&h->batch))
		list_remove(&h->busy_link);
}

static void
fail_list(struct home *h, struct list *l, enum err e)
{
	while (!list_empty(l)) {
		struct update *u = update_of(l->next);

		list_remove(&u->link);
		finish(h, u, e);
	}
}

void
commit_fail_all(struct home *h, enum err e)
{
	h->refs++;
	h->single_left = 0;
	if (!h->batch_busy)
		fail_list(h, &h->batch, e);
	fail_list(h, &h->queue, e);
	leave_busy(h);
	home_unref(h);
}

void
commit_expire(struct home *h, int64_t now_ms)
{
	h->refs++;
	while (!list_empty(&h->queue)) {
		struct update *u = update_of(h->queue.next);

		if (now_ms - u->queued_ms < queue_ms_max &&
			(h->state != HOME_POISONED || now_ms >= h->retry_ms))
			break;
		list_remove(&u->link);
		finish(h, u, ERR_TEMP);
	}
	leave_busy(h);
	if (h->state == HOME_POISONED)
		home_step(h);
	home_unref(h);
}

/* Every update of the batch, into one transaction. */
static enum err
run_updates(struct home *h, struct txn *t, size_t *applied_out)
{
	int64_t begun_ms = clock_ms();
	size_t writes = 0, runs = 0;

	*applied_out = 0;
	LIST_FOREACH (node, &h->batch) {
		struct update *u = update_of(node);

		/* What wrote nothing took its time all the same. */
		u->reached = runs++ == 0 ||
			     (writes < BATCH_WRITES_MAX && clock_ms() - begun_ms < BATCH_MS_MAX);
		if (!u->reached)
			continue;
		writes_reset(t->writes);
		t->garbage = false;
		t->added = (struct quota_use){ 0, 0 };
		u->result = u->prepared == ERR_OK ? u->run(u, t) : u->prepared;
		if (u->result == ERR_OK)
			u->result = use_apply(t);
		u->garbage = t->garbage;
		if (u->result != ERR_OK)
			continue;
		enum err e = writes_apply(t->writes, t->kv);

		if (e != ERR_OK)
			return e;
		writes += writes_count(t->writes);
		*applied_out += writes_count(t->writes) > 0;
	}
	return ERR_OK;
}

static enum batch_outcome
split_or_fail(struct home *h, enum err e)
{
	if (h->batch.next->next != &h->batch)
		return BATCH_SPLIT;
	struct update *u = update_of(h->batch.next);

	u->reached = true;
	u->result = e == ERR_CORRUPT ? e : ERR_TEMP;
	return BATCH_DONE;
}

static void
prepare(struct home *h)
{
	LIST_FOREACH (node, &h->batch) {
		struct update *u = update_of(node);

		if (u->prepare != NULL)
			u->prepared = u->prepare(u);
		u->prepare = NULL;
	}
}

static enum batch_outcome
run_batch(struct home *h, struct writes *w)
{
	struct txn t = { .home = h, .writes = w, .quota = h->batch_quota };
	size_t applied;

	prepare(h);
	if (!kv_in_place(h->kv))
		return BATCH_REOPEN;
	pool_wait_begin(h->store->pool);
	enum err e = kv_write_begin(h->kv, &t.kv);

	pool_wait_end(h->store->pool);
	if (e == ERR_AGAIN)
		return BATCH_REOPEN;
	if (e != ERR_OK)
		return BATCH_POISON;
	uint64_t version = kv_version(t.kv);

	e = run_updates(h, &t, &applied);
	if (e != ERR_OK || applied == 0) {
		kv_abort(t.kv);
		return e == ERR_OK ? BATCH_DONE : e == ERR_LIMIT ? BATCH_GROW : split_or_fail(h, e);
	}
	e = kv_commit(t.kv);
	/* Only now is the number ours: an aborted one is the next writer's, and must be told. */
	if (e == ERR_OK)
		h->batch_version = version;
	if (e == ERR_DENIED)
		return split_or_fail(h, e);
	return e == ERR_OK ? BATCH_DONE : e == ERR_LIMIT ? BATCH_GROW : BATCH_POISON;
}

static void
batch_run(struct pool_job *j)
{
	struct home *h = CONTAINER_OF(j, struct home, batch_job);
	struct writes *w = writes_new();

	h->batch_version = 0;
	h->outcome = run_batch(h, w);
	writes_free(w);
}

/* Back to the head of the queue, in order. */
static void
requeue(struct home *h, bool only_unreached)
{
	for (struct list *node = h->batch.prev, *prev; node != &h->batch; node = prev) {
		prev = node->prev;
		if (only_unreached && update_of(node)->reached)
			continue;
		list_remove(node);
		list_push_front(&h->queue, node);
	}
}

static void
finish_batch(struct home *h)
{
	struct list done;

	requeue(h, true);
	/* a completion may submit, and a watcher read: that starts the next batch at once */
	list_init(&done);
	while (!list_empty(&h->batch)) {
		struct list *node = h->batch.next;

		list_remove(node);
		list_push_back(&done, node);
	}
	watch_seen(h, h->batch_version, true);
	while (!list_empty(&done)) {
		struct update *u = update_of(done.next);

		list_remove(&u->link);
		finish(h, u, u->result);
	}
}

static void
batch_done(struct pool_job *j)
{
	struct home *h = CONTAINER_OF(j, struct home, batch_job);
	unsigned n = 0;

	h->batch_busy = false;
	h->refs++;
	switch (h->outcome) {
	case BATCH_DONE:
		finish_batch(h);
		break;
	case BATCH_GROW:
		h->map_bytes = kv_map_bytes(h->kv) * 2;
		log_event(LVL_INFO, "store.grow", log_z("home", h->path),
			log_n("bytes", (int64_t)h->map_bytes));
		h->want_reopen = true;
		requeue(h, false);
		break;
	case BATCH_REOPEN:
		h->want_reopen = true;
		requeue(h, false);
		break;
	case BATCH_SPLIT:
		LIST_FOREACH (node, &h->batch)
			n++;
		h->single_left = n;
		requeue(h, false);
		break;
	case BATCH_POISON:
		/* Whether it is on disk is not known: delivery ids cover a repeat. */
		home_poison(h, kv_why(h->kv));
		break;
	}
	leave_busy(h);
	home_step(h);
	home_unref(h);
}

bool
commit_start(struct home *h)
{
	if (h->batch_busy || list_empty(&h->queue))
		return h->batch_busy;
	enum pool_class class = POOL_COMMIT;

	claims_join(h);
	do {
		struct list *node = h->queue.next;

		if (update_of(node)->prepare != NULL)
			class = POOL_SYNC;
		list_remove(node);
		list_push_back(&h->batch, node);
	} while (h->single_left == 0 && !list_empty(&h->queue));
	if (h->single_left > 0)
		h->single_left--;
	h->batch_busy = true;
	h->batch_quota = h->quota;
	h->batch_job = (struct pool_job){
		.run = batch_run,
		.done = batch_done,
		.class = class,
	};
	pool_submit(h->store->pool, &h->batch_job);
	return true;
}
