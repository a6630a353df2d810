/* Counts that workers share: each worker's part is its own, sums are over all, and a worker that
 * begins again has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/event/counts.h"

enum { WORKERS = 3 };

static void
open_all(int fd, struct counts *c[WORKERS])
{
	for (unsigned i = 0; i < WORKERS; i++) {
		c[i] = counts_open(dup(fd), i, WORKERS);
		assert_non_null(c[i]);
	}
}

static void
test_sums(void **state)
{
	struct counts *c[WORKERS];
	int fd = counts_make(WORKERS);

	(void)state;
	assert_true(fd >= 0);
	open_all(fd, c);
	assert_int_equal(counts_get(c[0], STR("a")), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		for (unsigned k = 0; k <= i; k++)
			counts_add(c[i], STR("a"));
	counts_add(c[1], STR("b"));
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(counts_get(c[i], STR("a")), 6);
		assert_int_equal(counts_get(c[i], STR("b")), 1);
	}
	counts_remove(c[2], STR("a"));
	assert_int_equal(counts_get(c[0], STR("a")), 5);
	/* another worker's cannot be taken away */
	counts_remove(c[0], STR("b"));
	assert_int_equal(counts_get(c[0], STR("b")), 1);
	/* worker 2 died and came again */
	counts_close(c[2]);
	c[2] = counts_open(dup(fd), 2, WORKERS);
	assert_int_equal(counts_get(c[0], STR("a")), 3);
	for (unsigned i = 0; i < WORKERS; i++)
		counts_close(c[i]);
	close(fd);
}

/* Far more keys than there is room for: what is counted is right, and goes away again. */
static void
test_full(void **state)
{
	enum { KEYS = 40000 };
	struct counts *c[WORKERS];
	int fd = counts_make(WORKERS);
	size_t counted = 0, left = 0;
	char key[32];

	(void)state;
	open_all(fd, c);
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < KEYS; i++) {
			(void)snprintf(key, sizeof key, "192.0.2.%u", i);
			if (round == 0)
				counts_add(c[0], str_of(key));
			else
				counted += counts_get(c[1], str_of(key));
		}
	assert_in_range(counted, 15000, 16384);
	for (unsigned i = 0; i < KEYS; i++) {
		(void)snprintf(key, sizeof key, "192.0.2.%u", i);
		counts_remove(c[0], str_of(key));
		left += counts_get(c[1], str_of(key));
	}
	assert_int_equal(left, 0);
	counts_add(c[0], STR("again"));
	assert_int_equal(counts_get(c[2], STR("again")), 1);
	for (unsigned i = 0; i < WORKERS; i++)
		counts_close(c[i]);
	close(fd);
}

static void
test_not_a_mapping(void **state)
{
	int small = memfd_create("small", MFD_CLOEXEC), fd = counts_make(2);

	(void)state;
	assert_null(counts_open(small, 0, 1));
	assert_null(counts_open(dup(fd), 0, 3));
	assert_null(counts_open(fd, 2, 2));
	counts_add(NULL, STR("a"));
	counts_remove(NULL, STR("a"));
	assert_int_equal(counts_get(NULL, STR("a")), 0);
	counts_close(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_not_a_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
