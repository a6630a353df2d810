/* Another process on the same homes, for the store's tests of many processes and of kills.
 *   store_writer DIR append N          N messages into alice's INBOX, "ok UID" for each
 *   store_writer DIR fill N            INBOX copied into itself until it holds N messages
 *   store_writer DIR read              one read step that never ends; "reading"
 *   store_writer DIR lock              holds the write lock of alice's index; "locked"
 *   store_writer DIR flags N           N times the flags of all messages there and back
 *   store_writer DIR deliver FROM TO   numbered messages into alice and bob, 4 in flight, each with
 * its delivery id, and between them flags, copies and expunges; every fourth as a delivery of its
 * own to each of them; "ok I" when both were answered */
#include <fcntl.h>

#include "tests/unit/store_fixture.h"

enum { FLIGHT = 4 };

static void
say(const char *what, unsigned long long n)
{
	char b[64];
	int len = snprintf(b, sizeof b, "%s %llu\n", what, n);

	if (write(1, b, (size_t)len) != len)
		_exit(3);
}

static int
run_append(struct fix *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(
			fix_append(f, "INBOX", 0, NULL, "Subject: w\r\n\r\nw\r\n"), ERR_OK);
		say("ok", f->appended.uid);
	}
	return 0;
}

static int
run_fill(struct fix *f, unsigned n)
{
	struct uidset all = { 0 };

	uidset_add(&all, 1, UINT32_MAX);
	for (unsigned have = 1; have < n; have *= 2)
		assert_int_equal(fix_copy(f, 1, &all, "INBOX", false), ERR_OK);
	uidset_fini(&all);
	return 0;
}

static _Noreturn void
run_read(struct fix *f)
{
	struct txn *t = fix_read(f, f->home);

	say("reading", txn_version(t));
	for (;;)
		(void)pause();
}

static _Noreturn void
run_lock(struct fix *f)
{
	struct kv_txn *t;

	assert_int_equal(fix_pin(f, f->home), ERR_OK);
	assert_int_equal(kv_write_begin(f->home->kv, &t), ERR_OK);
	say("locked", 1);
	for (;;)
		(void)pause();
}

static int
run_flags(struct fix *f, unsigned n)
{
	struct uidset all = { 0 };

	uidset_add(&all, 1, UINT32_MAX);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fix_flags(f, 1, &all, i % 2 == 0 ? FLAGS_ADD : FLAGS_REMOVE,
					 FLAG_FLAGGED, NULL, 0),
			ERR_OK);
	uidset_fini(&all);
	return 0;
}

struct flight {
	struct deliverer *d;
	unsigned long long number;
	unsigned unanswered;
	bool failed;
};

struct deliverer {
	struct fix *f;
	struct home *home[2];
	unsigned long long next, to;
	unsigned flying;
	struct flight flight[FLIGHT];
};

static void
take_off(struct flight *fl);

static void
on_deliver(void *arg, size_t index, enum err e, size_t left)
{
	struct flight *fl = arg;
	struct deliverer *d = fl->d;

	(void)index;
	(void)left;
	fl->failed |= e != ERR_OK;
	if (--fl->unanswered > 0)
		return;
	if (fl->failed)
		_exit(4);
	say("ok", fl->number);
	d->flying--;
	if (d->next < d->to)
		take_off(fl);
	else if (d->flying == 0)
		fix_done(d->f, ERR_OK);
}

static void
churned(void *arg, enum err e, const struct copy_result *r)
{
	(void)arg;
	(void)e;
	(void)r;
}

static void
churn(struct deliverer *d, unsigned long long n)
{
	struct uidset some = { 0 };

	uidset_add(&some, (uint32_t)(n % 7 + 1), (uint32_t)(n % 7 + 9));
	(void)store_copy(d->home[0],
		&(struct copy_args){ .from = 1, .uids = &some, .to = STR("Trash") }, churned, NULL);
	store_op_forget(store_flags(d->home[0],
		&(struct flags_args){ .mailbox = 6,
			.uids = &some,
			.mode = FLAGS_ADD,
			.flags = n % 2 == 0 ? FLAG_SEEN : FLAG_DELETED },
		NULL, NULL));
	if (n % 5 == 0)
		store_op_forget(store_expunge(d->home[0], 6, NULL, NULL, NULL));
	/* all that is there when it is written */
	if (n % 3 == 0)
		(void)home_claim_recent(d->home[0], n % 2 == 0 ? 1 : 6, 1, UINT32_MAX);
	uidset_fini(&some);
}

static void
take_off(struct flight *fl)
{
	struct deliverer *d = fl->d;
	struct deliver_rcpt rcpt[2];
	char id[2][64], msg[64];

	fl->number = d->next++;
	fl->failed = false;
	d->flying++;
	(void)snprintf(msg, sizeof msg, "Subject: n%llu\r\n\r\nbody\r\n", fl->number);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(id[i], sizeof id[i], "%016llx-%llu-%d",
			(unsigned long long)clock_wall_ms() & ~0xfffffffull, fl->number, i);
		rcpt[i] = (struct deliver_rcpt){ .home = d->home[i], .delivery_id = str_of(id[i]) };
	}
	churn(d, fl->number);
	fl->unanswered = 2;
	/* one recipient may be taken in one job of the pool */
	size_t at_once = fl->number % 4 == 3 ? 1 : 2;

	for (size_t i = 0; i < 2; i += at_once)
		(void)store_deliver(d->f->store,
			&(struct deliver_batch){ .body = fix_body(rcpt[i].home, str_of(msg)),
				.rcpt = &rcpt[i],
				.count = at_once },
			on_deliver, fl);
}

static int
run_deliver(struct fix *f, unsigned long long from, unsigned long long to)
{
	struct deliverer d = { .f = f, .next = from, .to = to };
	char path[128];

	d.home[0] = f->home;
	(void)snprintf(path, sizeof path, "%s/u/bob", f->dir);
	assert_int_equal(home_get(f->store, str_of(path), &d.home[1]), ERR_OK);
	for (int i = 0; i < FLIGHT && d.next < to; i++) {
		d.flight[i].d = &d;
		take_off(&d.flight[i]);
	}
	(void)fix_wait(f);
	home_unref(d.home[1]);
	return 0;
}

int
main(int argc, char **argv)
{
	struct fix f = { .done = false };
	uint32_t a = 0, b = 0;
	int status = 2;

	if (argc < 3 || (argc > 3 && str_to_u32(str_of(argv[3]), UINT32_MAX, &a) != ERR_OK) ||
		(argc > 4 && str_to_u32(str_of(argv[4]), UINT32_MAX, &b) != ERR_OK))
		return 2;
	log_set_level(LVL_ERROR);
	(void)snprintf(f.dir, sizeof f.dir, "%s", argv[1]);
	f.set = settings_defaults();
	f.set->store.map_initial = 1024 * 1024;
	fix_start(&f);
	if (strcmp(argv[2], "append") == 0)
		status = run_append(&f, a);
	else if (strcmp(argv[2], "fill") == 0)
		status = run_fill(&f, a);
	else if (strcmp(argv[2], "read") == 0)
		run_read(&f);
	else if (strcmp(argv[2], "lock") == 0)
		run_lock(&f);
	else if (strcmp(argv[2], "flags") == 0)
		status = run_flags(&f, a);
	else if (strcmp(argv[2], "deliver") == 0)
		status = run_deliver(&f, a, b);
	fix_free(&f);
	return status;
}
