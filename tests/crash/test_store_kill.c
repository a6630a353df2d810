/* Kills a delivering process again and again at random moments. Afterwards every message that was
 * acknowledged is in both mailboxes exactly once (what was not is delivered again under its id, as
 * queue does), and the check finds nothing but orphans. */
#include <time.h>

#include "core/base/rand.h"
#include "core/store/check.h"
#include "tests/unit/store_child.h"

enum { ROUNDS = 20, BURST = 100000, NUMBERS_MAX = 200000 };

static void
count_subjects(struct fix *f, const char *user, unsigned char *seen)
{
	struct home *h;
	char path[128];
	struct entry_scan s;
	struct entry e;

	(void)snprintf(path, sizeof path, "%s/u/%s", f->dir, user);
	assert_int_equal(home_get(f->store, str_of(path), &h), ERR_OK);
	struct txn *t = fix_read(f, h);

	assert_int_equal(entry_scan_begin(&s, t, 1, 1), ERR_OK);
	while (entry_scan_next(&s, &e) == ERR_OK) {
		struct message m;
		struct str v;
		uint32_t n;
		int fd;

		assert_int_equal(message_get(t, e.msg, &m), ERR_OK);
		assert_int_equal(message_field(&m, STR("Subject"), &v), ERR_OK);
		assert_int_equal(str_to_u32(str_from(v, 1), NUMBERS_MAX - 1, &n), ERR_OK);
		assert_int_equal(seen[n], 0);
		seen[n] = 1;
		assert_int_equal(message_open(h, e.msg, true, &fd), ERR_OK);
		close(fd);
	}
	entry_scan_end(&s);
	fix_read_end(t);
	home_unref(h);
}

static void
check_home(struct fix *f, const char *user)
{
	const struct check_options o = { .read_bodies = true };
	struct check_counts counts;
	char home[128];

	(void)snprintf(home, sizeof home, "%s/u/%s", f->dir, user);
	assert_int_equal(store_check(home, &o, NULL, NULL, &counts), ERR_OK);
	assert_int_equal(counts.problems, 0);
}

static void
wait_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&ts, NULL);
}

static void
test_kill(void **state)
{
	struct fix f;
	unsigned char *acked = xcalloc(NUMBERS_MAX, 1);
	unsigned long long next = 0, total = 0;
	char from[24], to[24];

	(void)state;
	fix_open(&f);
	for (int round = 0; round < ROUNDS; round++) {
		struct child c;
		unsigned long long n;

		while (next < NUMBERS_MAX && acked[next])
			next++;
		(void)snprintf(from, sizeof from, "%llu", next);
		(void)snprintf(to, sizeof to, "%llu", next + BURST);
		child_start(&c, f.dir, "deliver", from, to);
		assert_true(child_line(&c, &n));
		acked[n] = 1;
		wait_ms((long)(rand_u64() % 250));
		assert_int_equal(kill(c.pid, SIGKILL), 0);
		/* What it said before it died counts. */
		while (child_line(&c, &n)) {
			assert_true(n < NUMBERS_MAX);
			acked[n] = 1;
		}
		assert_int_equal(child_end(&c), -SIGKILL);
		check_home(&f, "alice");
	}
	unsigned char *alice = xcalloc(NUMBERS_MAX, 1), *bob = xcalloc(NUMBERS_MAX, 1);

	count_subjects(&f, "alice", alice);
	count_subjects(&f, "bob", bob);
	for (size_t i = 0; i < NUMBERS_MAX; i++) {
		total += acked[i];
		assert_true(!acked[i] || (alice[i] && bob[i]));
	}
	print_message("%llu acknowledged in %d lives\n", total, ROUNDS);
	assert_true(total >= ROUNDS);
	fix_stop(&f);
	f.home = NULL;
	check_home(&f, "alice");
	check_home(&f, "bob");
	fix_start(&f);
	fix_close(&f);
	free(acked);
	free(alice);
	free(bob);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
