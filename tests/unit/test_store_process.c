/* Several processes on one home: writers beside each other, a map that another process grew,
 * watches, dead readers, a replaced index. */
#include <sys/stat.h>

#include "core/store/check.h"
#include "tests/unit/steady.h"
#include "tests/unit/store_child.h"

static void
check_clean(struct fix *f, const char *user)
{
	const struct check_options o = { .read_bodies = true };
	struct check_counts counts;
	char home[128];

	(void)snprintf(home, sizeof home, "%s/u/%s", f->dir, user);
	assert_int_equal(store_check(home, &o, NULL, NULL, &counts), ERR_OK);
	assert_int_equal(counts.problems, 0);
}

static void
test_two_writers(void **state)
{
	enum { N = 40 };
	struct fix f;
	struct child c;
	struct mailbox_info info;
	bool seen[2 * N + 1] = { false };
	unsigned long long uid;

	(void)state;
	fix_open(&f);
	child_start(&c, f.dir, "append", "40", NULL);
	for (int i = 0; i < N; i++) {
		assert_int_equal(
			fix_append(&f, "INBOX", 0, NULL, "Subject: m\r\n\r\nm\r\n"), ERR_OK);
		assert_true(f.appended.uid <= 2 * N && !seen[f.appended.uid]);
		seen[f.appended.uid] = true;
	}
	while (child_line(&c, &uid)) {
		assert_true(uid <= 2 * N && !seen[uid]);
		seen[uid] = true;
	}
	assert_int_equal(child_end(&c), 0);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, 2 * N);
	assert_int_equal(info.uidnext, 2 * N + 1);
	fix_stop(&f);
	f.home = NULL;
	check_clean(&f, "alice");
	fix_start(&f);
	fix_close(&f);
}

/* Another process filled more than our map holds. */
static void
test_resized(void **state)
{
	enum { BIG = 32768 };
	struct fix f;
	struct child c;
	struct mailbox_info info;

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, "Subject: m\r\n\r\nm\r\n"), ERR_OK);
	uint64_t before = kv_map_bytes(f.home->kv);

	child_start(&c, f.dir, "fill", "32768", NULL);
	assert_int_equal(child_end(&c), 0);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, BIG);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, "Subject: m\r\n\r\nm\r\n"), ERR_OK);
	if (before == 1024 * 1024)
		assert_true(kv_map_bytes(f.home->kv) > before);
	fix_close(&f);
}

struct watcher {
	struct home_watch w;
	struct fix *f;
	unsigned calls;
	uint32_t want;
};

static void
on_watch(struct home_watch *w)
{
	struct watcher *me = w->arg;
	struct mailbox_info info;
	struct txn *t;

	me->calls++;
	if (store_read_begin(me->f->home, &t) != ERR_OK)
		return;
	enum err e = mailbox_find(t, STR("INBOX"), &info);

	store_read_end(t);
	if (e == ERR_OK && info.messages >= me->want)
		fix_done(me->f, ERR_OK);
}

/* What another process commits is noticed at once, the last commit too. */
static void
test_watch(void **state)
{
	struct fix f;
	struct child c;
	struct watcher me = { .f = &f };

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	assert_true(f.store->inotify >= 0);
	home_watch_start(&me.w, f.home, on_watch, &me);
	for (int i = 0; i < 5; i++) {
		me.want = (uint32_t)(i + 1) * 4;
		child_start(&c, f.dir, "append", "4", NULL);
		assert_int_equal(fix_wait(&f), ERR_OK);
		assert_int_equal(child_end(&c), 0);
	}
	home_watch_stop(&me.w);
	home_unpin(f.home);
	fix_close(&f);
}

/* An update that changed nothing commits nothing: the next commit of another process, which takes
 * the number that ours did not, is noticed. */
static void
test_watch_after_nothing(void **state)
{
	struct fix f;
	struct child c;
	struct watcher me = { .f = &f, .want = 1 };
	struct uidset all = { 0 };

	(void)state;
	uidset_add(&all, 1, UINT32_MAX);
	fix_open(&f);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	home_watch_start(&me.w, f.home, on_watch, &me);
	assert_int_equal(fix_flags(&f, 1, &all, FLAGS_ADD, FLAG_FLAGGED, NULL, 0), ERR_OK);
	me.calls = 0;
	child_start(&c, f.dir, "append", "1", NULL);
	assert_int_equal(child_end(&c), 0);
	fix_sleep(&f, 1000);
	assert_true(me.calls > 0);
	home_watch_stop(&me.w);
	home_unpin(f.home);
	uidset_fini(&all);
	fix_close(&f);
}

/* A reader that was killed pins no pages once we were told. */
static void
test_dead_reader(void **state)
{
	struct fix f;
	struct child c;
	unsigned long long version;

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	unsigned before = kv_reader_count(f.home->kv);

	child_start(&c, f.dir, "read", NULL, NULL);
	assert_true(child_line(&c, &version));
	assert_int_equal(kv_reader_count(f.home->kv), before + 1);
	(void)kill(c.pid, SIGKILL);
	assert_int_equal(child_end(&c), -SIGKILL);
	assert_int_equal(kv_reader_count(f.home->kv), before + 1);
	store_child_died(f.store);
	/* Nothing is read before the index was synced. */
	struct txn *t;

	assert_int_equal(store_read_begin(f.home, &t), ERR_AGAIN);
	home_unpin(f.home);
	t = fix_read(&f, f.home);
	fix_read_end(t);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	assert_true(kv_reader_count(f.home->kv) <= before);
	home_unpin(f.home);
	fix_close(&f);
}

/* An index that was replaced under us is opened again, never written. */
static void
test_replaced(void **state)
{
	struct fix f;
	struct mailbox_info info;
	char index[128], away[128], lock[128];

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, "Subject: m\r\n\r\nm\r\n"), ERR_OK);
	(void)snprintf(index, sizeof index, "%s/u/alice/index.mdb", f.dir);
	(void)snprintf(lock, sizeof lock, "%s/u/alice/index.mdb-lock", f.dir);
	(void)snprintf(away, sizeof away, "%s/away.mdb", f.dir);
	assert_int_equal(rename(index, away), 0);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, "Subject: n\r\n\r\nn\r\n"), ERR_OK);
	assert_int_equal(f.appended.uid, 1);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, 1);
	assert_int_equal(access(index, F_OK), 0);
	fix_close(&f);
}

struct delivered {
	struct fix *f;
	enum err e[2];
	size_t calls, first; /* first: who was told first */
};

static void
on_deliver(void *arg, size_t index, enum err e, size_t left)
{
	struct delivered *d = arg;

	(void)left;
	d->e[index] = e;
	if (d->calls++ == 0)
		d->first = index;
	fix_done(d->f, ERR_OK);
}

enum { DELIVER_MS = 30000 };

/* one_late: when the first has heard, the time of the other is over. */
static void
deliver_to_both(struct fix *f, struct home *bob, struct delivered *d, bool one_late)
{
	const struct deliver_rcpt rcpt[2] = {
		{ .home = f->home, .delivery_id = STR("0000019b00000000-lock-0") },
		{ .home = bob, .delivery_id = STR("0000019b00000000-lock-1") },
	};

	d->calls = 0;
	(void)store_deliver(f->store,
		&(struct deliver_batch){ .body = fix_body(f->home, STR("Subject: l\r\n\r\nl\r\n")),
			.rcpt = rcpt,
			.count = 2,
			.timeout_ms = DELIVER_MS },
		on_deliver, d);
	(void)fix_wait(f);
	if (one_late) {
		assert_int_equal(d->calls, 1);
		steady_skip(DELIVER_MS);
	}
	while (d->calls < 2)
		(void)fix_wait(f);
}

/* A home whose write lock another process holds is late alone; its late commit is covered by the
 * delivery id; what waits behind it in the queue fails in time. */
static void
test_locked_home(void **state)
{
	struct fix f;
	struct child c;
	struct delivered d = { .f = &f };
	struct mailbox_info info;
	struct home *bob;
	char path[128];
	unsigned long long n;

	(void)state;
	fix_open(&f);
	(void)snprintf(path, sizeof path, "%s/u/bob", f.dir);
	assert_int_equal(home_get(f.store, str_of(path), &bob), ERR_OK);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	assert_int_equal(fix_pin(&f, bob), ERR_OK);
	child_start(&c, f.dir, "lock", NULL, NULL);
	assert_true(child_line(&c, &n));
	deliver_to_both(&f, bob, &d, true);
	assert_int_equal(d.first, 1);
	assert_int_equal(d.e[1], ERR_OK);
	assert_int_equal(d.e[0], ERR_TEMP);
	commit_set_patience(100);
	assert_int_equal(fix_create(&f, "too-late"), ERR_TEMP);
	commit_set_patience(FIX_WAIT_MS);
	assert_int_equal(kill(c.pid, SIGKILL), 0);
	assert_int_equal(child_end(&c), -SIGKILL);
	/* The dead one's lock is taken over; the repeat stores nothing. */
	deliver_to_both(&f, bob, &d, false);
	assert_int_equal(d.e[0], ERR_OK);
	assert_int_equal(d.e[1], ERR_OK);
	home_unpin(f.home);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, 1);
	assert_int_equal(fix_find(&f, "too-late", &info), ERR_NOTFOUND);
	home_unpin(bob);
	home_unref(bob);
	fix_stop(&f);
	f.home = NULL;
	check_clean(&f, "alice");
	check_clean(&f, "bob");
	fix_start(&f);
	fix_close(&f);
}

/* No reader outlives its step: many sessions reading and writing leave one slot a process. */
static void
test_no_reader_survives(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(
			fix_append(&f, "INBOX", 0, NULL, "Subject: m\r\n\r\nm\r\n"), ERR_OK);
		struct txn *a = fix_read(&f, f.home), *b = fix_read(&f, f.home);

		assert_int_equal(txn_version(a), txn_version(b));
		fix_read_end(a);
		fix_read_end(b);
	}
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	assert_int_equal(f.home->reads, 0);
	assert_true(kv_reader_count(f.home->kv) <= 2);
	home_unpin(f.home);
	fix_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_writers),
		cmocka_unit_test(test_resized),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_after_nothing),
		cmocka_unit_test(test_dead_reader),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_locked_home),
		cmocka_unit_test(test_no_reader_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
