/* The commit pool: threads for what may wait for a disk or a lock; see pool.h. The store, the
 * queue and smtp submit. Invariant: done runs on the loop only, and at most `threads` jobs that do
 * not wait for a foreign lock run at once, at most half of them POOL_SYNC. */
#include "core/event/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { THREADS_MAX = 256, STACK_BYTES = 1024 * 1024, LINGER_MS = 5000 };

struct pool {
	struct loop_async wake;
	pthread_mutex_t lock;
	pthread_cond_t work;  /* for the threads */
	pthread_cond_t quiet; /* for pool_free */
	struct list queue;    /* in the order of submission */
	struct list finished; /* run, waiting for done */
	unsigned limit;
	unsigned sync_limit;
	unsigned queued;
	unsigned threads; /* alive */
	unsigned running; /* jobs inside run, those that wait included */
	unsigned running_sync;
	unsigned waiting; /* between pool_wait_begin and pool_wait_end */
	unsigned waiting_sync;
	unsigned busy;
	int64_t linger_ms;
	/* The thread that left last. Who leaves joins the one before, so that pool_free waits for
	 * all of them by joining one: what libraries keep for a thread is freed at its very end. */
	pthread_t left;
	bool has_left;
	bool ending;
	bool draining; /* somebody waits on quiet */
};

static _Thread_local enum pool_class runs; /* of the job that this thread is in */

static bool
may_run(const struct pool *p, enum pool_class class)
{
	return class != POOL_SYNC || p->running_sync - p->waiting_sync < p->sync_limit;
}

/* The next job that may run now, NULL when there is none. Call locked. */
static struct pool_job *
take_job(struct pool *p)
{
	if (p->running - p->waiting >= p->limit)
		return NULL;
	LIST_FOREACH (node, &p->queue) {
		struct pool_job *j = CONTAINER_OF(node, struct pool_job, link);
		if (!may_run(p, j->class))
			continue;
		list_remove(node);
		p->queued--;
		return j;
	}
	return NULL;
}

static void
run_job(struct pool *p, struct pool_job *j)
{
	bool has_done = j->done != NULL;
	bool is_sync = j->class == POOL_SYNC;

	p->running++;
	p->running_sync += is_sync;
	(void)pthread_mutex_unlock(&p->lock);
	runs = j->class;
	j->run(j); /* without done, j is gone after this */
	(void)pthread_mutex_lock(&p->lock);
	p->running--;
	p->running_sync -= is_sync;
	if (has_done) {
		if (list_empty(&p->finished))
			loop_async_send(&p->wake);
		list_push_back(&p->finished, &j->link);
	} else {
		p->busy--;
	}
	if (p->draining)
		(void)pthread_cond_broadcast(&p->quiet);
}

/* Waits for work. False: none came for so long that this thread had better leave; not at once,
 * because making it again for the next job costs more than to wait. The last one stays: where no
 * thread can be made for a while, jobs are late and not lost. */
static bool
linger(struct pool *p)
{
	struct timespec until;

	if (p->threads == 1)
		return pthread_cond_wait(&p->work, &p->lock) == 0;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += p->linger_ms / 1000;
	until.tv_nsec += p->linger_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return pthread_cond_timedwait(&p->work, &p->lock, &until) != ETIMEDOUT || p->threads == 1;
}

static void *
thread_main(void *arg)
{
	struct pool *p = arg;
	bool stays = true;

	(void)pthread_mutex_lock(&p->lock);
	for (;;) {
		struct pool_job *j = take_job(p);
		if (j != NULL) {
			run_job(p, j);
			stays = true;
			continue;
		}
		/* whoever submitted in the moment of the timeout counted on this thread: it leaves
		 * only when it has looked once more */
		if (p->ending || !stays)
			break;
		stays = linger(p);
	}
	pthread_t before = p->left;
	bool has_before = p->has_left;

	p->left = pthread_self();
	p->has_left = true;
	p->threads--;
	(void)pthread_cond_broadcast(&p->quiet);
	(void)pthread_mutex_unlock(&p->lock);
	if (has_before)
		(void)pthread_join(before, NULL);
	return NULL;
}

static void
new_thread(struct pool *p)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t id;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are the loop's */
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (pthread_create(&id, &attr, thread_main, p) == 0) {
		p->threads++;
	} else if (p->threads == 0) {
		log_event(LVL_ERROR, "pool.thread", log_z("reason", "no thread can be made"));
		abort();
	}
	(void)pthread_attr_destroy(&attr);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Threads for what is queued: those that run nothing, or a new one. Call locked; unlocks before it
 * wakes one, which would only wait for the lock. */
static void
summon_and_unlock(struct pool *p)
{
	bool wake = p->queued != 0;

	if (p->queued > p->threads - p->running && p->threads < p->limit + p->waiting &&
		p->threads < THREADS_MAX)
		new_thread(p);
	(void)pthread_mutex_unlock(&p->lock);
	if (wake)
		(void)pthread_cond_signal(&p->work);
}

static void
run_done(struct pool *p)
{
	struct list due;

	(void)pthread_mutex_lock(&p->lock);
	list_init(&due);
	while (!list_empty(&p->finished)) {
		struct list *node = p->finished.next;
		list_remove(node);
		list_push_back(&due, node);
	}
	(void)pthread_mutex_unlock(&p->lock);
	while (!list_empty(&due)) {
		struct pool_job *j = CONTAINER_OF(due.next, struct pool_job, link);
		list_remove(&j->link);
		j->done(j);
		(void)pthread_mutex_lock(&p->lock);
		p->busy--;
		(void)pthread_mutex_unlock(&p->lock);
	}
}

static void
on_wake(struct loop_async *a)
{
	run_done(a->arg);
}

struct pool *
pool_new(struct loop *l, unsigned threads)
{
	struct pool *p = xcalloc(1, sizeof *p);

	assert(threads > 0);
	p->limit = threads < THREADS_MAX ? threads : THREADS_MAX;
	p->sync_limit = p->limit > 1 ? p->limit / 2 : 1;
	p->linger_ms = LINGER_MS;
	list_init(&p->queue);
	list_init(&p->finished);
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->work, NULL);
	(void)pthread_cond_init(&p->quiet, NULL);
	loop_async_start(&p->wake, l, on_wake, p);
	return p;
}

void
pool_set_linger(struct pool *p, int64_t ms)
{
	(void)pthread_mutex_lock(&p->lock);
	p->linger_ms = ms;
	(void)pthread_mutex_unlock(&p->lock);
}

void
pool_drain(struct pool *p)
{
	(void)pthread_mutex_lock(&p->lock);
	p->draining = true;
	while (p->busy != 0) {
		while (p->busy != 0 && list_empty(&p->finished))
			(void)pthread_cond_wait(&p->quiet, &p->lock);
		(void)pthread_mutex_unlock(&p->lock);
		run_done(p);
		(void)pthread_mutex_lock(&p->lock);
	}
	p->draining = false;
	(void)pthread_mutex_unlock(&p->lock);
}

void
pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	pool_drain(p);
	(void)pthread_mutex_lock(&p->lock);
	p->ending = true;
	(void)pthread_cond_broadcast(&p->work);
	while (p->threads != 0)
		(void)pthread_cond_wait(&p->quiet, &p->lock);
	(void)pthread_mutex_unlock(&p->lock);
	if (p->has_left)
		(void)pthread_join(p->left, NULL);
	loop_async_stop(&p->wake);
	(void)pthread_mutex_destroy(&p->lock);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_cond_destroy(&p->quiet);
	free(p);
}

void
pool_submit(struct pool *p, struct pool_job *j)
{
	j->queued_ms = clock_ms();
	(void)pthread_mutex_lock(&p->lock);
	list_push_back(&p->queue, &j->link);
	p->queued++;
	p->busy++;
	summon_and_unlock(p);
}

void
pool_wait_begin(struct pool *p)
{
	(void)pthread_mutex_lock(&p->lock);
	bool held_back = p->running - p->waiting + p->queued > p->limit ||
			 (runs == POOL_SYNC && p->queued != 0);

	p->waiting++;
	p->waiting_sync += runs == POOL_SYNC;
	/* else threads are on their way to all that is queued */
	if (held_back)
		summon_and_unlock(p);
	else
		(void)pthread_mutex_unlock(&p->lock);
}

void
pool_wait_end(struct pool *p)
{
	(void)pthread_mutex_lock(&p->lock);
	p->waiting--;
	p->waiting_sync -= runs == POOL_SYNC;
	(void)pthread_mutex_unlock(&p->lock);
}

unsigned
pool_busy(const struct pool *p)
{
	struct pool *own = (struct pool *)(uintptr_t)p;
	unsigned n;

	(void)pthread_mutex_lock(&own->lock);
	n = own->busy;
	(void)pthread_mutex_unlock(&own->lock);
	return n;
}
