/* When the disk fails: what was acknowledged is there, nothing else is half there, a handle whose
 * sync failed is never used again, and the map grows when it is full. Faults are compiled in where
 * sanitizers are; the growth is walked in every build. */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "core/store/blob.h"
#include "core/store/fault.h"
#include "core/store/sweep.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/store_fixture.h"

/* The linker puts these in front of the store's own: 0 means the real one. */
static uint64_t fixed_id;

uint64_t
__real_blob_id_new(int64_t wall_ms);
uint64_t
__wrap_blob_id_new(int64_t wall_ms);

uint64_t
__wrap_blob_id_new(int64_t wall_ms)
{
	return fixed_id != 0 ? fixed_id : __real_blob_id_new(wall_ms);
}

enum { WAITS = 6000 }; /* looks at what goes on behind, before it counts as stuck */

static const char msg[] = "Subject: x\r\n\r\nbody\r\n";

/* 1 MiB holds a few hundred entries of this kind; the map is doubled until they fit. */
static void
test_growth(void **state)
{
	struct fix f;
	struct uidset all = { 0 };
	struct mailbox_info info;
	struct entry e;

	(void)state;
	fix_open(&f);
	uidset_add(&all, 1, UINT32_MAX);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	uint64_t before = kv_map_bytes(f.home->kv);

	for (int i = 0; i < 15; i++)
		assert_int_equal(fix_copy(&f, 1, &all, "INBOX", false), ERR_OK);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, 32768);
	assert_true(kv_map_bytes(f.home->kv) > before);
	struct txn *t = fix_read(&f, f.home);

	for (uint32_t uid = 1; uid < info.uidnext; uid++)
		assert_int_equal(entry_get(t, 1, uid, &e), ERR_OK);
	fix_read_end(t);
	fix_check(&f, 0);
	uidset_fini(&all);
	fix_close(&f);
}

struct many {
	struct fix *f;
	int left, ok;
};

static void
on_grown(void *arg, enum err e, const struct copy_result *r)
{
	struct many *m = arg;

	(void)r;
	m->ok += e == ERR_OK;
	if (--m->left == 0)
		fix_done(m->f, ERR_OK);
}

/* A pinned session meets the reopening as ERR_AGAIN and goes on. */
static void
test_growth_while_pinned(void **state)
{
	struct fix f;
	struct uidset all = { 0 };
	struct view *v, *now;
	struct many m = { .f = &f, .left = 14 };

	(void)state;
	fix_open(&f);
	uidset_add(&all, 1, UINT32_MAX);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	struct txn *t = fix_read(&f, f.home);

	assert_int_equal(view_open(t, 1, &v), ERR_OK);
	fix_read_end(t);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	for (int i = 0; i < 14; i++)
		(void)store_copy(f.home,
			&(struct copy_args){ .from = 1, .uids = &all, .to = STR("INBOX") },
			on_grown, &m);
	(void)fix_wait(&f);
	assert_int_equal(m.ok, 14);
	home_unpin(f.home);
	t = fix_read(&f, f.home);
	assert_int_equal(view_refresh(t, v, &now, NULL), ERR_OK);
	fix_read_end(t);
	assert_int_equal(view_count(now), 16384);
	view_unref(v);
	view_unref(now);
	uidset_fini(&all);
	fix_close(&f);
}

struct delivered {
	struct fix *f;
	enum err e[3];
};

static void
on_deliver(void *arg, size_t index, enum err e, size_t left)
{
	struct delivered *d = arg;

	d->e[index] = e;
	if (left == 0)
		fix_done(d->f, ERR_OK);
}

static struct home *
second_home(struct fix *f)
{
	struct home *bob;
	char path[128];

	(void)snprintf(path, sizeof path, "%s/u/bob", f->dir);
	assert_int_equal(home_get(f->store, str_of(path), &bob), ERR_OK);
	return bob;
}

static void
deliver_two(struct fix *f, struct home *bob, struct body *body, struct delivered *d)
{
	const struct deliver_rcpt rcpt[2] = { { .home = f->home }, { .home = bob } };

	d->f = f;
	(void)store_deliver(f->store,
		&(struct deliver_batch){ .body = body, .rcpt = rcpt, .count = 2 }, on_deliver, d);
	(void)fix_wait(f);
}

/* The id of the first message of INBOX. */
static uint64_t
body_id(struct fix *f, struct home *h)
{
	struct txn *t = fix_read(f, h);
	struct entry e;

	assert_int_equal(entry_get(t, 1, 1, &e), ERR_OK);
	fix_read_end(t);
	return e.msg;
}

/* Every id that is drawn is taken: refused, and whose it is keeps its file. */
static void
test_id_taken(void **state)
{
	struct fix f;
	struct delivered d;
	int fd;

	(void)state;
	fix_open(&f);
	struct home *bob = second_home(&f), *alice = f.home;

	assert_int_equal(fix_pin(&f, alice), ERR_OK);
	assert_int_equal(fix_pin(&f, bob), ERR_OK);
	fixed_id = __real_blob_id_new(clock_wall_ms());
	f.home = bob;
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, "another\r\n"), ERR_TEMP);
	f.home = alice;
	deliver_two(&f, bob, fix_body(alice, str_of(msg)), &d);
	fixed_id = 0;
	assert_int_equal(d.e[0], ERR_OK);
	assert_int_equal(d.e[1], ERR_TEMP);
	pool_drain(f.pool);
	assert_int_equal(blob_open(bob->path, body_id(&f, bob), &fd), ERR_OK);
	close(fd);
	home_unpin(alice);
	home_unpin(bob);
	home_unref(bob);
	fix_close(&f);
}

/* The disk is full in the middle of a large body's end: the next home gets it whole. */
struct room {
	struct delivered d;
	struct rlimit was;
};

static void
on_room(void *arg, size_t index, enum err e, size_t left)
{
	struct room *r = arg;

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r->was), 0);
	on_deliver(&r->d, index, e, left);
}

static void
test_part_written(void **state)
{
	enum { FIRST = 2 * 1024 * 1024, REST = 200 * 1024 };
	struct fix f;
	struct room r;
	struct stat st;
	int fd;
	char *big = xmalloc(FIRST);

	(void)state;
	memset(big, 'x', FIRST);
	fix_open(&f);
	struct home *bob = second_home(&f);

	r.d.f = &f;
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	assert_int_equal(fix_pin(&f, bob), ERR_OK);
	const struct deliver_rcpt rcpt[2] = { { .home = f.home }, { .home = bob } };
	struct body *b = fix_body(f.home, str_n(big, FIRST));

	assert_int_equal(body_write(b, str_n(big, REST)), ERR_OK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r.was), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	struct rlimit low = { .rlim_cur = FIRST + REST / 2, .rlim_max = r.was.rlim_max };

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	(void)store_deliver(f.store, &(struct deliver_batch){ .body = b, .rcpt = rcpt, .count = 2 },
		on_room, &r);
	(void)fix_wait(&f);
	assert_int_equal(r.d.e[0], ERR_TEMP);
	assert_int_equal(r.d.e[1], ERR_OK);
	assert_int_equal(blob_open(bob->path, body_id(&f, bob), &fd), ERR_OK);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, FIRST + REST);
	close(fd);
	home_unpin(f.home);
	home_unpin(bob);
	home_unref(bob);
	free(big);
	fix_close(&f);
}

/* Garbage rows of messages whose files are gone already; their ids are even. */
static void
plant_garbage(struct home *h, unsigned n)
{
	static const unsigned char since[8] = { 0 };
	struct kv_txn *t;
	struct key k;

	assert_int_equal(kv_write_begin(h->kv, &t), ERR_OK);
	for (unsigned i = 1; i <= n; i++)
		assert_int_equal(
			kv_put(t, KV_GARBAGE, key_id(&k, 2 * i), str_n(since, sizeof since)),
			ERR_OK);
	assert_int_equal(kv_commit(t), ERR_OK);
}

/* The same from the place `from` on, made this moment. */
static void
plant_young(struct home *h, unsigned from, unsigned n, unsigned odd)
{
	uint64_t since = htole64((uint64_t)clock_wall_ms());
	struct kv_txn *t;
	struct key k;

	assert_int_equal(kv_write_begin(h->kv, &t), ERR_OK);
	for (unsigned i = from; i < from + n; i++)
		assert_int_equal(
			kv_put(t, KV_GARBAGE, key_id(&k, 2 * i + odd), str_n(&since, sizeof since)),
			ERR_OK);
	assert_int_equal(kv_commit(t), ERR_OK);
}

static uint64_t
garbage_rows(struct fix *f)
{
	struct txn *t = fix_read(f, f->home);
	uint64_t n = 0;

	assert_int_equal(kv_count(t->kv, KV_GARBAGE, &n), ERR_OK);
	fix_read_end(t);
	return n;
}

/* More than a round takes: the next begins at once. What is made during a round is not forgotten.
 */
static void
test_much_garbage(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	plant_garbage(f.home, 2500);
	garbage_schedule_now(f.home);
	for (int i = 0; i < WAITS && garbage_rows(&f) > 0; i++)
		fix_sleep(&f, 10);
	assert_int_equal(garbage_rows(&f), 0);
	while (f.home->garbage_busy)
		fix_sleep(&f, 1);
	assert_false(loop_timer_active(&f.home->garbage_timer));
	plant_garbage(f.home, 900);
	garbage_schedule_now(f.home);
	while (!f.home->garbage_busy)
		fix_sleep(&f, 0);
	garbage_schedule(f.home);
	while (f.home->garbage_busy)
		fix_sleep(&f, 1);
	assert_true(loop_timer_active(&f.home->garbage_timer));
	home_unpin(f.home);
	fix_close(&f);
}

/* More rows than a round looks at, most of them too young: a round goes on where the one before
 * stopped, the old ones behind the young are found, and the young are looked at again later. */
static void
test_garbage_in_pieces(void **state)
{
	enum { OLD = 1500, YOUNG = 9000 };
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	plant_garbage(f.home, OLD + YOUNG + OLD);
	plant_young(f.home, OLD + 1, YOUNG, 0);
	garbage_schedule_now(f.home);
	for (int i = 0; i < WAITS && garbage_rows(&f) > YOUNG; i++)
		fix_sleep(&f, 10);
	assert_int_equal(garbage_rows(&f), YOUNG);
	while (f.home->garbage_busy || f.home->garbage_at != 0)
		fix_sleep(&f, 1);
	assert_true(loop_timer_active(&f.home->garbage_timer));
	/* what is made while a walk is on its way lies before or behind the place it has reached */
	plant_garbage(f.home, OLD);
	garbage_schedule_now(f.home);
	while (f.home->garbage_at == 0)
		fix_sleep(&f, 0);
	plant_young(f.home, 1, 1, 1);
	garbage_schedule(f.home);
	while (f.home->garbage_busy || f.home->garbage_at != 0)
		fix_sleep(&f, 1);
	assert_true(loop_timer_active(&f.home->garbage_timer));
	assert_int_equal(garbage_rows(&f), YOUNG + 1);
	home_unpin(f.home);
	fix_close(&f);
}

static void
dawdle(void *arg)
{
	const struct timespec pause = { .tv_nsec = 300 * 1000000 };

	(void)arg;
	(void)nanosleep(&pause, NULL);
}

/* A body that waited too long for the pool is refused, not written late. */
static void
test_body_waits(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	commit_set_patience(100);
	for (int i = 0; i < 16; i++)
		store_background(f.store, POOL_SYNC, dawdle, NULL);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_TEMP);
	commit_set_patience(FIX_WAIT_MS);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	home_unpin(f.home);
	fix_close(&f);
}

/* A body that becomes durable in its update's own job is put once, however often the update has to
 * run because the map is full. */
static void
test_append_grows(void **state)
{
	enum { ROWS_BYTES = 100 * 1000 };
	struct fix f;
	struct mailbox_info info;
	unsigned n = 0;
	char *big = xmalloc(ROWS_BYTES + 100);

	(void)state;
	/* an envelope that large has a row of its own */
	int at = snprintf(big, 100, "Subject: ");

	memset(big + at, 'x', ROWS_BYTES);
	(void)snprintf(big + at + ROWS_BYTES, 20, "\r\n\r\nbody\r\n");
	fix_open(&f);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	uint64_t before = kv_map_bytes(f.home->kv);

	for (; n < 100 && kv_map_bytes(f.home->kv) < before * 4; n++)
		assert_int_equal(fix_append(&f, "INBOX", 0, NULL, big), ERR_OK);
	assert_true(kv_map_bytes(f.home->kv) >= before * 4);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, n);
	home_unpin(f.home);
	fix_check(&f, 0);
	free(big);
	fix_close(&f);
}

struct appends {
	struct fix *f;
	unsigned left, ok;
	uint64_t uids;
};

static void
on_appends(void *arg, enum err e, const struct append_result *r)
{
	struct appends *a = arg;

	a->ok += e == ERR_OK;
	if (e == ERR_OK)
		a->uids |= (uint64_t)1 << r->uid;
	if (--a->left == 0)
		fix_done(a->f, ERR_OK);
}

/* The first of many at once goes its own way; in a home that is closed, open, and open once more.
 */
static void
test_appends_at_once(void **state)
{
	enum { AT_ONCE = 8, ROUNDS = 3 };
	struct fix f;
	struct mailbox_info info;
	struct appends a = { .f = &f };

	(void)state;
	fix_open(&f);
	for (unsigned round = 0; round < ROUNDS; round++) {
		a.left = AT_ONCE + 1;
		for (unsigned i = 0; i <= AT_ONCE; i++)
			(void)store_append(f.home,
				&(struct append_args){
					.mailbox = i == 0 ? STR("nowhere") : STR("INBOX"),
					.body = fix_body(f.home, str_of(msg)) },
				on_appends, &a);
		(void)fix_wait(&f);
	}
	assert_int_equal(a.ok, AT_ONCE * ROUNDS);
	assert_int_equal(a.uids, ((uint64_t)1 << (AT_ONCE * ROUNDS + 1)) - 2);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, AT_ONCE * ROUNDS);
	pool_drain(f.pool);
	fix_check(&f, 0);
	fix_close(&f);
}

static bool
is_spread(const char *dir)
{
	int flags = 0, fd = open(dir, O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
	close(fd);
	return (flags & FS_TOPDIR_FL) != 0;
}

/* Homes have nothing to do with each other: where the file system can be told so, it is. */
static void
test_homes_spread(void **state)
{
	struct fix f;
	struct statfs fs;
	char above[128];

	(void)state;
	fix_open(&f);
	if (statfs(f.dir, &fs) != 0 || fs.f_type != 0xEF53) {
		fix_close(&f);
		LEAVE_OUT("not on ext4");
	}
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	(void)snprintf(above, sizeof above, "%s/u", f.dir);
	assert_true(is_spread(above));
	assert_false(is_spread(f.dir));
	assert_false(is_spread(f.home->path));
	fix_close(&f);
}

/* Garbage that another process left behind, in a home that stays open here. */
static void
test_walk_open_home(void **state)
{
	struct fix f;
	char root[128];

	(void)state;
	fix_open(&f);
	garbage_set_grace(1);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	plant_garbage(f.home, 5);
	(void)snprintf(root, sizeof root, "%s/u", f.dir);
	struct store_sweep *walk = store_sweep_start(f.store, str_of(root), 1);

	for (int i = 0; i < WAITS && garbage_rows(&f) > 0; i++)
		fix_sleep(&f, 10);
	assert_int_equal(garbage_rows(&f), 0);
	store_sweep_stop(walk);
	garbage_set_grace((int64_t)10 * 60 * 1000);
	home_unpin(f.home);
	fix_close(&f);
}

#if STORE_FAULTS
static void
unpoison(struct fix *f)
{
	/* As if the back-off were over. */
	f->home->retry_ms = 0;
}

static void
test_commit_fails(void **state)
{
	struct fix f;
	struct mailbox_info info;
	struct txn *t;

	(void)state;
	fix_open(&f);
	log_set_level(LVL_ERROR);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	fault_arm(FAULT_COMMIT, 1);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_TEMP);
	/* Poisoned: no read, no write, no sync, until the back-off is over. */
	assert_int_equal(f.home->state, HOME_POISONED);
	assert_int_equal(store_read_begin(f.home, &t), ERR_TEMP);
	assert_int_equal(fix_pin(&f, f.home), ERR_TEMP);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_TEMP);
	/* A claim of \Recent costs nobody an answer, whatever becomes of it. */
	assert_int_equal(home_claim_recent(f.home, 1, 1, 2), 1);
	assert_int_equal(home_recent_from(f.home, 1, 1), 2);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_TEMP);
	/* while the job runs, kv is the job's */
	for (int i = 0; i < WAITS && (f.home->job_busy || f.home->kv != NULL); i++)
		fix_sleep(&f, 10);
	assert_false(f.home->job_busy);
	assert_null(f.home->kv);
	unpoison(&f);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	assert_int_equal(f.appended.uid, 2);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, 2);
	/* The body whose entry was never made is an orphan. */
	fix_check(&f, 1);
	fix_close(&f);
}

static void
test_body_sync_fails(void **state)
{
	struct fix f;
	struct mailbox_info info;

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	fault_arm(FAULT_SYNC, 1);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_TEMP);
	assert_int_equal(f.home->state, HOME_POISONED);
	unpoison(&f);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, 2);
	fix_check(&f, 0);
	fix_close(&f);
}

/* Every write of a body in turn finds the disk full. */
static void
test_write_fails(void **state)
{
	struct fix f;
	struct mailbox_info info;
	size_t n = 1024 * 1024;
	char *big = xmalloc(n + 1);
	uint32_t stored = 0;

	(void)state;
	memset(big, 'x', n);
	big[n] = '\0';
	fix_open(&f);
	for (unsigned nth = 1; nth <= 4; nth++) {
		fault_arm(FAULT_WRITE, nth);
		enum err e = fix_append(&f, "INBOX", 0, NULL, nth % 2 == 0 ? big : msg);

		fault_arm(FAULT_WRITE, 0);
		assert_true(e == ERR_OK || e == ERR_TEMP);
		assert_true(nth > 1 || e == ERR_TEMP);
		stored += e == ERR_OK;
		assert_int_not_equal(f.home->state, HOME_POISONED);
	}
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, big), ERR_OK);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, stored + 1);
	fix_check(&f, 0);
	free(big);
	fix_close(&f);
}

static void
on_one(void *arg, enum err e, const struct mailbox_result *r)
{
	struct many *m = arg;

	(void)r;
	m->ok += e == ERR_OK;
	if (--m->left == 0)
		fix_done(m->f, ERR_OK);
}

/* One put of a batch is refused: nothing of the batch is lost, each ran again by itself. */
static void
test_batch_split(void **state)
{
	enum { N = 10 };
	struct fix f;
	char name[16];

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	for (unsigned nth = 1; nth <= 20; nth += 6) {
		struct many m = { .f = &f, .left = N };

		fault_arm(FAULT_PUT, nth);
		for (int i = 0; i < N; i++) {
			(void)snprintf(name, sizeof name, "m%u-%d", nth, i);
			(void)store_create(f.home, str_of(name), 0, on_one, &m);
		}
		(void)fix_wait(&f);
		fault_arm(FAULT_PUT, 0);
		/* The first create runs alone as the queue was empty: its own fault is its own
		 * failure. */
		assert_true(m.ok >= N - 1);
		for (int i = 1; i < N; i++) {
			(void)snprintf(name, sizeof name, "m%u-%d", nth, i);
			(void)fix_id(&f, name);
		}
	}
	home_unpin(f.home);
	fix_check(&f, 0);
	fix_close(&f);
}

/* The first home cannot sync the body: the next one takes it. */
static void
test_deliver_next_home(void **state)
{
	struct fix f;
	struct home *bob;
	struct delivered d = { .f = &f };
	struct mailbox_info info;
	char path[128];

	(void)state;
	fix_open(&f);
	(void)snprintf(path, sizeof path, "%s/u/bob", f.dir);
	assert_int_equal(home_get(f.store, str_of(path), &bob), ERR_OK);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	assert_int_equal(fix_pin(&f, bob), ERR_OK);
	const struct deliver_rcpt rcpt[2] = { { .home = f.home }, { .home = bob } };

	fault_arm(FAULT_SYNC, 1);
	(void)store_deliver(f.store,
		&(struct deliver_batch){
			.body = fix_body(f.home, str_of(msg)), .rcpt = rcpt, .count = 2 },
		on_deliver, &d);
	(void)fix_wait(&f);
	fault_arm(FAULT_SYNC, 0);
	assert_int_equal(d.e[0], ERR_TEMP);
	assert_int_equal(d.e[1], ERR_OK);
	home_unpin(f.home);
	struct txn *t = fix_read(&f, bob);

	assert_int_equal(mailbox_find(t, STR("INBOX"), &info), ERR_OK);
	assert_int_equal(info.messages, 1);
	fix_read_end(t);
	home_unpin(bob);
	home_unref(bob);
	fix_close(&f);
}
enum { SLOW = 6, SLOW_MS = 60 };
struct slow {
	struct update u;
	struct fix *f;
	int64_t batch; /* when its batch was submitted: they are far apart */
	unsigned *left;
};

static enum err
slow_run(struct update *u, struct txn *t)
{
	struct slow *s = CONTAINER_OF(u, struct slow, u);
	const struct timespec pause = { .tv_nsec = SLOW_MS * 1000000 };

	(void)t;
	s->batch = u->home->batch_job.queued_ms;
	(void)nanosleep(&pause, NULL);
	return ERR_OK;
}

static void
slow_done(struct update *u, enum err e)
{
	struct slow *s = CONTAINER_OF(u, struct slow, u);

	assert_int_equal(e, ERR_OK);
	if (--*s->left == 0)
		fix_done(s->f, ERR_OK);
}

/* Updates that write nothing are cut into transactions of less than 200 ms too. */
static void
test_slow_nothing(void **state)
{
	struct fix f;
	struct slow s[SLOW] = { { .f = NULL } };
	unsigned left = SLOW;

	(void)state;
	fix_open(&f);
	assert_int_equal(fix_pin(&f, f.home), ERR_OK);
	for (size_t i = 0; i < SLOW; i++) {
		s[i] = (struct slow){
			.u = { .run = slow_run, .done = slow_done },
			.f = &f,
			.left = &left,
		};
		home_submit(f.home, &s[i].u);
	}
	(void)fix_wait(&f);
	for (size_t i = 0; i < SLOW; i++) {
		unsigned same = 0;

		for (size_t k = 0; k < SLOW; k++)
			same += s[k].batch == s[i].batch;
		assert_in_range(same, 1, 3);
	}
	home_unpin(f.home);
	fix_close(&f);
}

/* The link's sync fails: that home may not be trusted with another one. */
static void
test_link_sync_fails(void **state)
{
	struct fix f;
	struct delivered d;

	(void)state;
	fix_open(&f);
	f.store->sync_dirs = SYNC_DIRS_NO;
	struct home *bob = second_home(&f), *alice = f.home;

	assert_int_equal(fix_pin(&f, alice), ERR_OK);
	assert_int_equal(fix_pin(&f, bob), ERR_OK);
	f.home = bob;
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	f.home = alice;
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	fault_arm(FAULT_SYNC, 2);
	deliver_two(&f, bob, fix_body(alice, str_of(msg)), &d);
	fault_arm(FAULT_SYNC, 0);
	assert_int_equal(d.e[0], ERR_OK);
	assert_int_equal(d.e[1], ERR_TEMP);
	assert_int_equal(bob->state, HOME_POISONED);
	home_unpin(alice);
	home_unpin(bob);
	home_unref(bob);
	fix_close(&f);
}

/* A home on another file system gets a copy, with a sync of its own: that is not the links'. */
static void
test_link_beside_copy(void **state)
{
	struct fix f;
	struct home *carol, *dave;
	char shm[] = "/dev/shm/pr-store-XXXXXX";
	struct delivered d;
	struct stat here, there;

	(void)state;
	if (mkdtemp(shm) == NULL)
		LEAVE_OUT("no /dev/shm");
	fix_open(&f);
	assert_true(stat(shm, &there) == 0 && stat(f.dir, &here) == 0);
	if (here.st_dev == there.st_dev) {
		fix_close(&f);
		fix_remove(shm);
		LEAVE_OUT("no second file system");
	}
	f.store->sync_dirs = SYNC_DIRS_NO;
	carol = second_home(&f);
	assert_int_equal(home_get(f.store, str_of(shm), &dave), ERR_OK);
	struct home *const homes[] = { f.home, carol, dave };

	for (size_t i = 0; i < ARRAY_LEN(homes); i++) {
		assert_int_equal(fix_pin(&f, homes[i]), ERR_OK);
		f.home = homes[i];
		assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	}
	f.home = homes[0];
	const struct deliver_rcpt rcpt[3] = { { .home = f.home }, { .home = carol },
		{ .home = dave } };

	/* The body; the copy and its folder; the link. */
	d.f = &f;
	fault_arm(FAULT_SYNC, 4);
	(void)store_deliver(f.store,
		&(struct deliver_batch){
			.body = fix_body(f.home, str_of(msg)), .rcpt = rcpt, .count = 3 },
		on_deliver, &d);
	(void)fix_wait(&f);
	fault_arm(FAULT_SYNC, 0);
	assert_int_equal(d.e[0], ERR_OK);
	assert_int_equal(d.e[1], ERR_TEMP);
	assert_int_equal(d.e[2], ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(homes); i++)
		home_unpin(homes[i]);
	home_unref(carol);
	home_unref(dave);
	fix_close(&f);
	fix_remove(shm);
}

/* Opening syncs the index, and its name where the file system needs that. */
static void
test_open_sync_fails(void **state)
{
	struct fix f;
	const char *why;

	(void)state;
	fix_open(&f);
	f.store->sync_dirs = SYNC_DIRS_YES;
	assert_int_equal(blob_make_home(f.home->path, false, &why), ERR_OK);
	fault_arm(FAULT_SYNC, 1);
	assert_int_equal(fix_pin(&f, f.home), ERR_TEMP);
	fault_arm(FAULT_SYNC, 0);
	assert_int_equal(f.home->state, HOME_POISONED);
	unpoison(&f);
	fault_arm(FAULT_COMMIT, 1);
	assert_int_equal(fix_pin(&f, f.home), ERR_TEMP);
	fault_arm(FAULT_COMMIT, 0);
	assert_int_equal(f.home->state, HOME_POISONED);
	unpoison(&f);
	assert_int_equal(fix_append(&f, "INBOX", 0, NULL, msg), ERR_OK);
	fix_close(&f);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_growth_while_pinned),
		cmocka_unit_test(test_id_taken),
		cmocka_unit_test(test_part_written),
		cmocka_unit_test(test_much_garbage),
		cmocka_unit_test(test_garbage_in_pieces),
		cmocka_unit_test(test_walk_open_home),
		cmocka_unit_test(test_body_waits),
		cmocka_unit_test(test_homes_spread),
		cmocka_unit_test(test_append_grows),
		cmocka_unit_test(test_appends_at_once),
#if STORE_FAULTS
		cmocka_unit_test(test_commit_fails),
		cmocka_unit_test(test_body_sync_fails),
		cmocka_unit_test(test_write_fails),
		cmocka_unit_test(test_batch_split),
		cmocka_unit_test(test_deliver_next_home),
		cmocka_unit_test(test_slow_nothing),
		cmocka_unit_test(test_link_sync_fails),
		cmocka_unit_test(test_link_beside_copy),
		cmocka_unit_test(test_open_sync_fails),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
