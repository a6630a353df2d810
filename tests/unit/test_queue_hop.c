/* The schedule by next hop: places, lines, rests, and turns between hops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "core/base/xalloc.h"
#include "delivery/queue/hop.h"

enum { OWNERS = 64 };

static struct {
	struct loop *loop;
	struct hops *hops;
	struct hops_options o;
	struct owner {
		struct hop_waits waits;
		unsigned calls;
	} owners[OWNERS];
	unsigned order[OWNERS * 4], calls; /* who was called, one after the other */
} T;

static void
on_call(void *arg, struct hop_waits *w)
{
	struct owner *o = CONTAINER_OF(w, struct owner, waits);

	(void)arg;
	o->calls++;
	T.order[T.calls++ % ARRAY_LEN(T.order)] = (unsigned)(o - T.owners);
}

static int
setup(void **state)
{
	(void)state;
	memset(&T, 0, sizeof(T));
	T.loop = loop_new();
	T.o = (struct hops_options){ .start = 2,
		.max = 6,
		.jobs_max = 100,
		.rest_min_ms = 40,
		.rest_max_ms = 80,
		.on_call = on_call };
	T.hops = hops_new(T.loop, &T.o);
	for (unsigned i = 0; i < OWNERS; i++)
		hop_waits_init(&T.owners[i].waits);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < OWNERS; i++)
		(void)hop_waits_drop(&T.owners[i].waits);
	assert_int_equal(hops_jobs(T.hops), 0);
	hops_free(T.hops);
	loop_free(T.loop);
	return 0;
}

static void
on_timer(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void
turn(int64_t ms)
{
	struct loop_timer t;

	loop_timer_init(&t, T.loop, on_timer, T.loop);
	loop_timer_start(&t, ms);
	loop_run(T.loop);
}

static struct hop *
hop(const char *route)
{
	return hops_get(T.hops, str_of(route), STR_EMPTY);
}

static bool
enter(struct hop *p, unsigned owner)
{
	return hop_enter(p, &T.owners[owner].waits);
}

static void
leave(struct hop *p, enum hop_result how, int64_t began)
{
	hop_leave(p, how, began, how == HOP_FAILED ? STR("451 4.4.1 refused") : STR_EMPTY);
}

static void
test_keys(void **state)
{
	(void)state;
	assert_ptr_equal(hop("example.net"), hop("EXAMPLE.net"));
	assert_ptr_not_equal(hop("example.net"), hop("example.com"));
	assert_ptr_not_equal(hop("x"), hops_get(T.hops, STR("x"), STR("section")));
	assert_ptr_not_equal(
		hops_get(T.hops, STR("x"), STR("y")), hops_get(T.hops, STR("x|y"), STR_EMPTY));
	assert_true(str_ieq(hop_route(hop("example.net")), STR("example.net")));
	assert_int_equal(hops_count(T.hops), 6);
}

/* First come, first served; one place more for each round of successes. */
static void
test_line_and_growth(void **state)
{
	struct hop *p = hop("a");

	(void)state;
	assert_true(enter(p, 0));
	assert_true(enter(p, 1));
	assert_false(enter(p, 2));
	assert_false(enter(p, 3));
	assert_false(enter(p, 2)); /* keeps its place */
	assert_int_equal(T.calls, 0);
	leave(p, HOP_OK, 0);
	assert_int_equal(T.calls, 1);
	assert_int_equal(T.order[0], 2);
	assert_true(hop_called(&T.owners[2].waits, p));
	assert_false(enter(p, 4)); /* the place is kept for 2 */
	assert_true(enter(p, 2));
	assert_false(hop_called(&T.owners[2].waits, NULL));
	leave(p, HOP_OK, 0); /* the second success: three at once */
	assert_int_equal(hop_limit(p), 3);
	assert_int_equal(T.calls, 3);
	assert_int_equal(T.order[1], 3);
	assert_int_equal(T.order[2], 4);
	assert_true(enter(p, 3));
	assert_true(enter(p, 4));
	for (unsigned i = 0; i < 40; i++) {
		leave(p, HOP_OK, 0);
		(void)enter(p, 5);
	}
	assert_int_equal(hop_limit(p), 6);
	for (unsigned i = 0; i < 3; i++)
		leave(p, HOP_NOTHING, 0);
}

/* A place that is given back, or whose owner goes, is the next one's. */
static void
test_release(void **state)
{
	struct hop *p = hop("a"), *q = hop("b");

	(void)state;
	T.o.start = T.o.max = 1;
	hops_set(T.hops, &T.o);
	p = hop("c");
	q = hop("d");
	assert_true(enter(p, 0));
	assert_true(enter(q, 0));
	for (unsigned i = 1; i < 4; i++)
		assert_false(enter(p, i));
	assert_false(enter(q, 1));
	leave(p, HOP_NOTHING, 0);
	assert_true(hop_called(&T.owners[1].waits, p));
	assert_false(hop_called(&T.owners[1].waits, q));
	hop_waits_release(&T.owners[1].waits);
	assert_true(hop_called(&T.owners[2].waits, p));
	assert_true(hop_waits_drop(&T.owners[2].waits));
	assert_false(hop_waits_drop(&T.owners[2].waits));
	assert_true(enter(p, 3));
	leave(q, HOP_NOTHING, 0); /* 1 is still in that line */
	assert_true(enter(q, 1));
	leave(p, HOP_NOTHING, 0);
	leave(q, HOP_NOTHING, 0);
}

/* A place given back may be the only one for another line of the same owner: it keeps that. */
static void
test_release_calls_itself(void **state)
{
	struct hop *p, *q;

	(void)state;
	T.o.start = T.o.max = T.o.jobs_max = 1;
	hops_set(T.hops, &T.o);
	p = hop("a");
	q = hop("b");
	assert_true(enter(p, 0));
	assert_false(enter(q, 1));
	assert_false(enter(p, 1));
	leave(p, HOP_NOTHING, 0);
	assert_true(hop_called(&T.owners[1].waits, q));
	hop_waits_release(&T.owners[1].waits);
	assert_false(hop_called(&T.owners[1].waits, q));
	assert_true(hop_called(&T.owners[1].waits, p));
	assert_int_equal(hops_jobs(T.hops), 1);
	assert_true(enter(p, 1));
	leave(p, HOP_NOTHING, 0);
}

static void
test_rest(void **state)
{
	struct hop *p = hop("dead");
	int64_t began = loop_now_ms(T.loop);

	(void)state;
	assert_true(enter(p, 0));
	assert_true(enter(p, 1));
	assert_false(enter(p, 2));
	assert_false(enter(p, 3));
	leave(p, HOP_FAILED, began);
	assert_int_not_equal(hop_rests_ms(p), 0);
	assert_int_equal(hop_limit(p), 1);
	assert_true(str_eq(hop_reply(p), STR("451 4.4.1 refused")));
	leave(p, HOP_FAILED, began); /* was on its way: no second rest */
	assert_int_equal(T.calls, 0);
	assert_false(enter(p, 4));
	turn(100);
	assert_int_equal(hop_rests_ms(p), 0);
	assert_int_equal(T.calls, 1); /* one tries */
	assert_int_equal(T.order[0], 2);
	assert_true(enter(p, 2));
	leave(p, HOP_FAILED, loop_now_ms(T.loop));
	assert_true(hop_rests_ms(p) >= 40); /* longer than the first */
	assert_int_equal(T.calls, 1);
	hop_wake(p);
	assert_int_equal(T.calls, 2);
	assert_true(enter(p, 3));
	leave(p, HOP_OK, 0);
	assert_int_equal(hop_reply(p).n, 0);
	assert_int_equal(hop_limit(p), 2);
	assert_int_equal(T.calls, 3);
	assert_true(enter(p, 4));
	leave(p, HOP_OK, 0);
}

/* A failure beside successes makes it slower, but is no reason to stop. */
static void
test_failure_among_successes(void **state)
{
	struct hop *p = hop("flaky");
	int64_t began = loop_now_ms(T.loop);

	(void)state;
	for (unsigned i = 0; i < 14; i++) {
		assert_true(enter(p, 0));
		leave(p, HOP_OK, began);
	}
	assert_int_equal(hop_limit(p), 6);
	assert_true(enter(p, 0));
	assert_true(enter(p, 1));
	leave(p, HOP_OK, began);
	leave(p, HOP_FAILED, began);
	assert_int_equal(hop_rests_ms(p), 0);
	assert_int_equal(hop_limit(p), 3);
	turn(5);
	began = loop_now_ms(T.loop);
	turn(5);
	assert_true(enter(p, 0));
	leave(p, HOP_FAILED, began);
	assert_int_not_equal(hop_rests_ms(p), 0);
	hops_wake_all(T.hops);
	assert_int_equal(hop_rests_ms(p), 0);
}

/* Where places are short, hops take turns, however long their lines are. */
static void
test_turns(void **state)
{
	struct hop *a = hop("a"), *b = hop("b"), *c = hop("c");

	(void)state;
	T.o.jobs_max = 1;
	hops_set(T.hops, &T.o);
	assert_true(enter(a, 0));
	for (unsigned i = 1; i < 10; i++)
		assert_false(enter(a, i));
	assert_false(enter(b, 20));
	assert_false(enter(b, 21));
	assert_false(enter(c, 30));
	leave(a, HOP_NOTHING, 0);
	for (unsigned i = 0; i < 6; i++) {
		unsigned who = T.order[T.calls - 1];
		struct hop *p = who >= 30 ? c : who >= 20 ? b : a;
		assert_int_equal(hops_jobs(T.hops), 1);
		assert_true(enter(p, who));
		leave(p, HOP_NOTHING, 0);
	}
	assert_int_equal(T.order[0], 1);
	assert_int_equal(T.order[1], 20);
	assert_int_equal(T.order[2], 30);
	assert_int_equal(T.order[3], 2);
	assert_int_equal(T.order[4], 21);
	assert_int_equal(T.order[5], 3);
}

/* One owner in many lines; all is given back at once. */
static void
test_many_lines(void **state)
{
	char name[32];

	(void)state;
	T.o.start = T.o.max = 1;
	hops_set(T.hops, &T.o);
	for (unsigned i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "h%u", i);
		assert_true(enter(hop(name), 0));
		assert_false(enter(hop(name), 1));
		assert_false(enter(hop(name), 2));
	}
	for (unsigned i = 0; i < 50; i += 2) {
		(void)snprintf(name, sizeof(name), "h%u", i);
		leave(hop(name), HOP_NOTHING, 0);
	}
	assert_int_equal(T.owners[1].calls, 25);
	assert_true(hop_waits_drop(&T.owners[1].waits));
	assert_int_equal(T.owners[2].calls, 25);
	for (unsigned i = 1; i < 50; i += 2) {
		(void)snprintf(name, sizeof(name), "h%u", i);
		leave(hop(name), HOP_NOTHING, 0);
	}
	assert_int_equal(T.owners[2].calls, 50);
	assert_int_equal(hops_jobs(T.hops), 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_line_and_growth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_calls_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_among_successes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_lines, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
