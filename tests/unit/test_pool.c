/* core/event/pool: order, classes, threads that stand in for waiting ones; also under TSan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/event/pool.h"

static struct loop *loop;
static struct loop_timer guard;
static struct pool *pool;
static bool timed_out;
static unsigned done_count, done_stop;
static atomic_uint now_running, most_running, now_sync, most_sync, now_waiting, order;
static atomic_bool unlocked; /* what held jobs wait for */

static void
on_guard(struct loop_timer *t)
{
	timed_out = true;
	loop_stop(t->loop);
}

static void
run(unsigned until)
{
	done_stop = until;
	loop_timer_start(&guard, 60000);
	if (done_count < until)
		loop_run(loop);
	loop_timer_stop(&guard);
	assert_false(timed_out);
}

static int
setup(void **state)
{
	(void)state;
	loop = loop_new();
	loop_timer_init(&guard, loop, on_guard, NULL);
	timed_out = false;
	done_count = 0;
	atomic_store(&now_running, 0);
	atomic_store(&most_running, 0);
	atomic_store(&now_sync, 0);
	atomic_store(&most_sync, 0);
	atomic_store(&now_waiting, 0);
	atomic_store(&order, 0);
	atomic_store(&unlocked, false);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	atomic_store(&unlocked, true);
	pool_free(pool);
	pool = NULL;
	loop_timer_stop(&guard);
	loop_free(loop);
	return 0;
}

struct job {
	struct pool_job job;
	useconds_t us;
	bool waits, held; /* for a foreign lock; until the test lets go */
	unsigned started; /* place in the order of starting */
	int plain;	  /* written by the thread, read by the loop: TSan looks here */
};

static void
raise_to(atomic_uint *most, unsigned n)
{
	unsigned seen = atomic_load(most);

	while (n > seen && !atomic_compare_exchange_weak(most, &seen, n))
		continue;
}

static void
on_run(struct pool_job *pj)
{
	struct job *j = (struct job *)(void *)pj;
	bool sync = pj->class == POOL_SYNC;

	j->started = atomic_fetch_add(&order, 1);
	if (j->waits) {
		pool_wait_begin(pool);
		atomic_fetch_add(&now_waiting, 1);
	} else {
		raise_to(&most_running, atomic_fetch_add(&now_running, 1) + 1);
	}
	if (sync)
		raise_to(&most_sync, atomic_fetch_add(&now_sync, 1) + 1);
	do
		(void)usleep(j->us);
	while (j->held && !atomic_load(&unlocked));
	j->plain++;
	if (sync)
		atomic_fetch_sub(&now_sync, 1);
	if (j->waits)
		pool_wait_end(pool);
	else
		atomic_fetch_sub(&now_running, 1);
}

static void
on_done(struct pool_job *pj)
{
	struct job *j = (struct job *)(void *)pj;

	assert_int_equal(j->plain, 1);
	done_count++;
	if (done_count == done_stop)
		loop_stop(loop);
}

static struct job *
jobs_new(size_t n, enum pool_class class, useconds_t us)
{
	struct job *v = xcalloc(n, sizeof *v);

	for (size_t i = 0; i < n; i++)
		v[i] = (struct job){ .job = { .run = on_run, .done = on_done, .class = class },
			.us = us };
	return v;
}

/* One thread: the order of starting is the order of submission. */
static void
test_order(void **state)
{
	struct job *v = jobs_new(50, POOL_COMMIT, 0);
	int64_t begin = clock_ms();

	(void)state;
	pool = pool_new(loop, 1);
	for (size_t i = 0; i < 50; i++) {
		v[i].job.class = i % 3 == 0 ? POOL_SYNC : POOL_COMMIT;
		pool_submit(pool, &v[i].job);
	}
	assert_true(pool_busy(pool) == 50);
	run(50);
	for (size_t i = 0; i < 50; i++) {
		assert_int_equal(v[i].started, i);
		assert_true(v[i].job.queued_ms >= begin);
	}
	assert_int_equal(pool_busy(pool), 0);
	free(v);
}

/* So many threads are in held jobs, soon, and in the time of ours that follows not one more. */
static void
await(atomic_uint *count, unsigned want)
{
	int64_t until = clock_ms() + 60000;

	while (atomic_load(count) < want && clock_ms() < until)
		(void)usleep(1000);
	(void)usleep(20000);
	assert_int_equal(atomic_load(count), want);
}

/* As many at once as there are threads, no more. */
static void
test_threads(void **state)
{
	struct job *v = jobs_new(12, POOL_COMMIT, 1000);

	(void)state;
	pool = pool_new(loop, 4);
	for (size_t i = 0; i < 12; i++) {
		v[i].held = true;
		pool_submit(pool, &v[i].job);
	}
	await(&now_running, 4);
	atomic_store(&unlocked, true);
	run(12);
	assert_int_equal(atomic_load(&most_running), 4);
	free(v);
}

/* Body syncs get half of the threads at most; commits pass them. */
static void
test_classes(void **state)
{
	struct job *syncs = jobs_new(8, POOL_SYNC, 1000), *commits = jobs_new(4, POOL_COMMIT, 0);

	(void)state;
	pool = pool_new(loop, 4);
	for (size_t i = 0; i < 8; i++) {
		syncs[i].held = true;
		pool_submit(pool, &syncs[i].job);
	}
	for (size_t i = 0; i < 4; i++)
		pool_submit(pool, &commits[i].job);
	run(4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(commits[i].plain, 1);
	await(&now_sync, 2);
	atomic_store(&unlocked, true);
	run(12);
	assert_int_equal(atomic_load(&most_sync), 2);
	free(syncs);
	free(commits);
}

/* Jobs that wait for a foreign lock do not hold up the others: eight of these come to their end
 * while all of those wait at the same time. */
static void
some_wait(unsigned waiting, enum pool_class class, useconds_t us, unsigned threads)
{
	struct job *w = jobs_new(waiting, class, 1000), *v = jobs_new(8, class, us);

	pool = pool_new(loop, threads);
	for (size_t i = 0; i < waiting; i++) {
		w[i].waits = w[i].held = true;
		pool_submit(pool, &w[i].job);
	}
	for (size_t i = 0; i < 8; i++)
		pool_submit(pool, &v[i].job);
	run(8);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(v[i].plain, 1);
	assert_true(atomic_load(&most_running) <= 2);
	await(&now_waiting, waiting);
	atomic_store(&unlocked, true);
	run(8 + waiting);
	free(w);
	free(v);
}

static void
test_waiting(void **state)
{
	(void)state;
	some_wait(20, POOL_COMMIT, 10000, 2);
}

/* The same among body syncs: those of a commit's own job wait for the index's lock too. */
static void
test_waiting_syncs(void **state)
{
	(void)state;
	some_wait(8, POOL_SYNC, 1000, 4);
}

/* pool_free runs what is queued, and every done, also those that submit again. */
static struct job *again;

static void
on_done_again(struct pool_job *pj)
{
	on_done(pj);
	pool_submit(pool, &again->job);
}

static void
on_run_gone(struct pool_job *pj)
{
	atomic_fetch_add(&order, 1);
	free(pj);
}

static void
test_free_drains(void **state)
{
	struct job *v = jobs_new(10, POOL_COMMIT, 1000);
	struct pool *p;

	(void)state;
	again = jobs_new(1, POOL_SYNC, 0);
	pool = p = pool_new(loop, 2);
	v[9].job.done = on_done_again;
	for (size_t i = 0; i < 10; i++)
		pool_submit(pool, &v[i].job);
	for (size_t i = 0; i < 5; i++) {
		struct job *j = jobs_new(1, POOL_COMMIT, 0);
		j->job.run = on_run_gone;
		j->job.done = NULL;
		pool_submit(pool, &j->job);
	}
	pool_free(p);
	pool = NULL;
	assert_int_equal(done_count, 11);
	assert_int_equal(atomic_load(&order), 16);
	free(v);
	free(again);
}

/* Many small jobs from done: nothing is lost, nothing runs twice. */
static unsigned left;

static void
on_done_chain(struct pool_job *pj)
{
	struct job *j = (struct job *)(void *)pj;

	on_done(pj);
	if (left != 0) {
		left--;
		j->plain = 0;
		pool_submit(pool, pj);
	}
}

static void
test_many(void **state)
{
	struct job *v = jobs_new(16, POOL_COMMIT, 0);

	(void)state;
	pool = pool_new(loop, 8);
	left = 5000;
	for (size_t i = 0; i < 16; i++) {
		v[i].job.done = on_done_chain;
		v[i].job.class = i % 2 == 0 ? POOL_SYNC : POOL_COMMIT;
		pool_submit(pool, &v[i].job);
	}
	run(5016);
	assert_int_equal(atomic_load(&order), 5016);
	assert_true(atomic_load(&most_sync) <= 4);
	free(v);
}

/* A thread that was joined may still be seen for a moment. */
static unsigned
threads_alive(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

/* Of those that are not the pool's; a sanitizer may have some. */
static unsigned
threads_without_pool(void)
{
	unsigned fewest = threads_alive();

	for (int i = 0; i < 100; i++) {
		(void)usleep(2000);
		fewest = threads_alive() < fewest ? threads_alive() : fewest;
	}
	return fewest;
}

static void
await_threads(unsigned want)
{
	int64_t until = clock_ms() + 60000;

	while (threads_alive() != want && clock_ms() < until)
		(void)usleep(1000);
	assert_int_equal(threads_alive(), want);
}

/* All threads but one leave that have nothing to do, and are made again for what comes then. */
static void
test_rest(void **state)
{
	unsigned before = threads_without_pool();

	(void)state;
	pool = pool_new(loop, 4);
	pool_set_linger(pool, 20);
	for (unsigned round = 0; round < 2; round++) {
		struct job *v = jobs_new(4, POOL_COMMIT, 1000);

		atomic_store(&unlocked, false);
		for (size_t i = 0; i < 4; i++) {
			v[i].held = true;
			pool_submit(pool, &v[i].job);
		}
		await(&now_running, 4);
		await_threads(before + 4);
		atomic_store(&unlocked, true);
		run(4 * (round + 1));
		await_threads(before + 1);
		(void)usleep(50000);
		assert_int_equal(threads_alive(), before + 1);
		free(v);
	}
}

/* While one thread is busy, a job that comes just when the other leaves is run all the same. */
static void
test_rest_race(void **state)
{
	struct job *busy = jobs_new(1, POOL_COMMIT, 1000), *j = jobs_new(1, POOL_COMMIT, 0);

	(void)state;
	pool = pool_new(loop, 2);
	pool_set_linger(pool, 1);
	busy->held = true;
	pool_submit(pool, &busy->job);
	await(&now_running, 1);
	for (unsigned i = 0; i < 2000; i++) {
		j->plain = 0;
		pool_submit(pool, &j->job);
		run(i + 1);
		/* from shortly before the thread's time is over to shortly behind it */
		(void)usleep(900 + i % 300);
	}
	atomic_store(&unlocked, true);
	run(2001);
	free(busy);
	free(j);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_order),
		T(test_threads),
		T(test_classes),
		T(test_waiting),
		T(test_waiting_syncs),
		T(test_free_drains),
		T(test_many),
		T(test_rest),
		T(test_rest_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
