/* Deliveries into the store: several homes, delivery ids, mailboxes that senders name. */
#include <sys/stat.h>

#include "core/store/blob.h"
#include "core/store/fault.h"
#include "tests/unit/store_fixture.h"

static const char hello[] = "Subject: hello\r\n\r\nHello\r\n";

struct delivered {
	struct fix *f;
	enum err e[8];
	size_t calls;
};

static void
on_deliver(void *arg, size_t index, enum err e, size_t left)
{
	struct delivered *d = arg;

	d->e[index] = e;
	d->calls++;
	if (left == 0)
		fix_done(d->f, ERR_OK);
}

static void
test_deliver(void **state)
{
	struct fix *f = *state;
	struct home *homes[3];
	struct deliver_rcpt rcpt[5];
	struct delivered d = { .f = f };
	struct mailbox_info info;
	struct stat st;
	char path[128], file[BLOB_PATH_MAX];

	for (int i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof path, "%s/u/bob%d", f->dir, i);
		assert_int_equal(home_get(f->store, str_of(path), &homes[i]), ERR_OK);
	}
	for (int i = 0; i < 4; i++)
		rcpt[i] = (struct deliver_rcpt){ .home = homes[i % 3],
			.mailbox = i == 3 ? STR("Junk") : STR_EMPTY,
			.delivery_id = i == 0 ? STR("0000019b00000000-q1-0") : STR_EMPTY };
	rcpt[4] = (struct deliver_rcpt){ .home = homes[0], .delivery_id = STR("bad") };
	for (int round = 0; round < 2; round++) {
		d.calls = 0;
		struct deliver_batch b = {
			.body = fix_body(homes[0], STR("Subject: x\r\n\r\nbody\r\n")),
			.rcpt = rcpt,
			.count = 5,
		};

		(void)store_deliver(f->store, &b, on_deliver, &d);
		(void)fix_wait(f);
		assert_int_equal(d.calls, 5);
		for (int i = 0; i < 4; i++)
			assert_int_equal(d.e[i], ERR_OK);
		assert_int_equal(d.e[4], ERR_SYNTAX);
	}
	/* The first had a delivery id: once. The others twice. */
	struct txn *t = fix_read(f, homes[0]);
	struct entry entry;

	assert_int_equal(mailbox_find(t, STR("INBOX"), &info), ERR_OK);
	assert_int_equal(info.messages, 1);
	assert_int_equal(entry_get(t, info.id, 1, &entry), ERR_OK);
	assert_int_equal(mailbox_find(t, STR("Junk"), &info), ERR_OK);
	assert_int_equal(info.messages, 2);
	fix_read_end(t);
	assert_int_equal(blob_path(home_path(homes[0]).p, entry.msg, file), ERR_OK);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_nlink, 4);
	t = fix_read(f, homes[1]);
	assert_int_equal(mailbox_find(t, STR("INBOX"), &info), ERR_OK);
	assert_int_equal(info.messages, 2);
	fix_read_end(t);
	for (int i = 0; i < 3; i++)
		home_unref(homes[i]);
}

/* A message to the mailbox that a sender named. */
static void
deliver_to(struct fix *f, const char *mailbox, uint32_t create_below)
{
	struct delivered d = { .f = f };
	const struct deliver_rcpt rcpt = { .home = f->home,
		.mailbox = str_of(mailbox),
		.by_sender = true,
		.create_below = create_below };

	(void)store_deliver(f->store,
		&(struct deliver_batch){
			.body = fix_body(f->home, str_of(hello)), .rcpt = &rcpt, .count = 1 },
		on_deliver, &d);
	(void)fix_wait(f);
	assert_int_equal(d.e[0], ERR_OK);
}

static void
assert_delivered(struct fix *f, const char *mailbox, unsigned messages)
{
	struct mailbox_info info;

	assert_int_equal(fix_find(f, mailbox, &info), ERR_OK);
	assert_int_equal(info.messages, messages);
}

/* What a sender names is a mailbox of the user's, or INBOX. */
static void
test_deliver_by_sender(void **state)
{
	static const char *const inbox[] = { "", "..", "../x", "a/../../x", "/", "//", "/a", "a//b",
		".", "a\tb", "\xff", "inbox", "none", "Sent", "Trash", "Trash/gone", "Drafts/x",
		"holder" };
	static const char *const not_made[] = { "%", "a*", "a\\b", "a\"", "#x", "~x", "a/~b",
		"Sent/x", "Trash/x/y" };
	char longest[MAILBOX_NAME_MAX + 2];
	struct fix *f = *state;
	unsigned n = 0;

	assert_int_equal(fix_delete(f, "Archive"), ERR_OK);
	assert_int_equal(fix_create(f, "Trash/gone"), ERR_OK);
	assert_int_equal(fix_create(f, "holder/lists"), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(inbox); i++) {
		deliver_to(f, inbox[i], 0);
		assert_delivered(f, "INBOX", ++n);
	}
	for (size_t i = 0; i < ARRAY_LEN(not_made); i++) {
		deliver_to(f, not_made[i], 100);
		assert_delivered(f, "INBOX", ++n);
	}
	memset(longest, 'x', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	deliver_to(f, longest, 100);
	assert_delivered(f, "INBOX", ++n);
	fix_assert_names(f, "INBOX Drafts Junk Sent Trash Trash/gone holder! holder/lists");
	deliver_to(f, "Junk", 0);
	assert_delivered(f, "Junk", 1);
	deliver_to(f, "holder/lists", 0);
	assert_delivered(f, "holder/lists", 1);
	/* made, with what is above; one that is only a name becomes a mailbox */
	deliver_to(f, "new/one/", 100);
	deliver_to(f, "new/one", 100);
	assert_delivered(f, "new/one", 2);
	deliver_to(f, "holder", 100);
	assert_delivered(f, "holder", 1);
	fix_assert_names(
		f, "INBOX Drafts Junk Sent Trash Trash/gone holder holder/lists new! new/one");
	struct txn *t = fix_read(f, f->home);

	assert_true(subscribed_has(t, STR("new/one")));
	assert_false(subscribed_has(t, STR("holder/lists")));
	fix_read_end(t);
	/* 10 names are there */
	deliver_to(f, "more", 10);
	assert_delivered(f, "INBOX", ++n);
	deliver_to(f, "more", 11);
	assert_delivered(f, "more", 1);
	assert_delivered(f, "INBOX", n);
}

/* As a version before wrote it: without the time of the delivery. */
static void
plant_delivered(struct fix *f, const char *id)
{
	static const unsigned char value[8] = { 0, 0, 0, 1, 0, 0, 0, 1 };
	struct kv_txn *t;

	assert_int_equal(kv_write_begin(f->home->kv, &t), ERR_OK);
	assert_int_equal(kv_put(t, KV_DELIVERED, str_of(id), str_n(value, sizeof value)), ERR_OK);
	assert_int_equal(kv_commit(t), ERR_OK);
}

static void
deliver_id(struct fix *f, const char *id)
{
	struct delivered d = { .f = f };
	const struct deliver_rcpt rcpt = { .home = f->home, .delivery_id = str_of(id) };

	(void)store_deliver(f->store,
		&(struct deliver_batch){
			.body = fix_body(f->home, str_of(hello)), .rcpt = &rcpt, .count = 1 },
		on_deliver, &d);
	(void)fix_wait(f);
	assert_int_equal(d.e[0], ERR_OK);
}

/* Delivery ids are kept for ten days from the delivery on: later ones drop the older ones. A
 * message that waited longer than that, and whose answer is lost, is known when it comes again. */
static void
test_delivered_trim(void **state)
{
	struct fix *f = *state;
	uint64_t rows, now = (uint64_t)clock_wall_ms();
	const uint64_t day = 24 * 3600 * 1000;
	const uint64_t times[] = { now - 12 * day, now - 11 * day, now - 9 * day };
	char id[64];

	assert_int_equal(fix_pin(f, f->home), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		(void)snprintf(id, sizeof id, "%016llx-q%zu", (unsigned long long)times[i], i);
		plant_delivered(f, id);
	}
	for (int i = 0; i < 20; i++) {
		(void)snprintf(
			id, sizeof id, "%016llx-q", (unsigned long long)(now - 50 * day + i));
		deliver_id(f, id);
	}
	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof id, "%016llx-n", (unsigned long long)(now + i));
		deliver_id(f, id);
	}
	for (int i = 0; i < 20; i++) {
		(void)snprintf(
			id, sizeof id, "%016llx-q", (unsigned long long)(now - 50 * day + i));
		deliver_id(f, id);
	}
	assert_delivered(f, "INBOX", 25);
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(kv_count(t->kv, KV_DELIVERED, &rows), ERR_OK);
	fix_read_end(t);
	/* the two that are old went before there were too many in front of them */
	assert_int_equal(rows, 1 + 25);
	home_unpin(f->home);
}

struct at_once {
	struct fix *f;
	unsigned left, ok;
};

static void
on_at_once(void *arg, size_t index, enum err e, size_t left)
{
	struct at_once *a = arg;

	assert_int_equal(index, 0);
	assert_int_equal(left, 0);
	a->ok += e == ERR_OK;
	if (--a->left == 0)
		fix_done(a->f, ERR_OK);
}

/* Messages to one user that come together, each of them twice: the first finds the home at rest,
 * the others do not. In a home that is closed, open, and open once more. */
static void
test_deliver_at_once(void **state)
{
	enum { AT_ONCE = 12, ROUNDS = 3 };
	struct fix *f = *state;
	struct at_once a = { .f = f };
	uint64_t now = (uint64_t)clock_wall_ms();
	char id[64];

	for (unsigned round = 0; round < ROUNDS; round++) {
		a.left = AT_ONCE;
		for (unsigned i = 0; i < AT_ONCE; i++) {
			(void)snprintf(id, sizeof id, "%016llx-%u-%u", (unsigned long long)now,
				round, i / 2);
			const struct deliver_rcpt rcpt = { .home = f->home,
				.delivery_id = str_of(id) };

			(void)store_deliver(f->store,
				&(struct deliver_batch){ .body = fix_body(f->home, str_of(hello)),
					.rcpt = &rcpt,
					.count = 1 },
				on_at_once, &a);
		}
		(void)fix_wait(f);
	}
	assert_int_equal(a.ok, AT_ONCE * ROUNDS);
	assert_delivered(f, "INBOX", AT_ONCE * ROUNDS / 2);
	fix_check(f, 0);
}

/* The time is up while the update waits for the write lock: it is told so once, and what is on its
 * way goes on. */
static void
test_deliver_late(void **state)
{
	struct fix *f = *state;
	struct delivered d = { .f = f };
	const struct deliver_rcpt rcpt = { .home = f->home,
		.delivery_id = STR("0000019b00000000-late") };
	struct kv_txn *t;

	assert_int_equal(fix_pin(f, f->home), ERR_OK);
	assert_int_equal(kv_write_begin(f->home->kv, &t), ERR_OK);
	(void)store_deliver(f->store,
		&(struct deliver_batch){ .body = fix_body(f->home, str_of(hello)),
			.rcpt = &rcpt,
			.count = 1,
			.timeout_ms = 1 },
		on_deliver, &d);
	(void)fix_wait(f);
	assert_int_equal(d.e[0], ERR_TEMP);
	kv_abort(t);
	/* behind it in the home's queue */
	deliver_id(f, "0000019b00000000-late");
	pool_drain(f->pool);
	assert_int_equal(d.calls, 1);
	assert_delivered(f, "INBOX", 1);
	home_unpin(f->home);
	fix_check(f, 0);
}

#if STORE_FAULTS
static void
deliver_fails(struct fix *f, enum fault_site site)
{
	struct delivered d = { .f = f };
	const struct deliver_rcpt rcpt = { .home = f->home,
		.delivery_id = STR("0000019b00000000-fault") };

	fault_arm(site, 1);
	(void)store_deliver(f->store,
		&(struct deliver_batch){
			.body = fix_body(f->home, str_of(hello)), .rcpt = &rcpt, .count = 1 },
		on_deliver, &d);
	(void)fix_wait(f);
	fault_arm(site, 0);
	assert_int_equal(d.calls, 1);
	assert_int_equal(d.e[0], ERR_TEMP);
}

/* Nothing of a delivery stays, whatever failed of it, and it is taken when it comes again. */
static void
test_deliver_fails(void **state)
{
	static const struct {
		enum fault_site site;
		bool poisons;
	} v[] = { { FAULT_WRITE, false }, { FAULT_SYNC, true }, { FAULT_PUT, false } };
	struct fix *f = *state;

	/* not those of what the first commit of a month makes */
	deliver_id(f, "0000019b00000000-before");
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		assert_int_equal(fix_pin(f, f->home), ERR_OK);
		deliver_fails(f, v[i].site);
		assert_int_equal(f->home->state == HOME_POISONED, v[i].poisons);
		f->home->retry_ms = 0; /* as if the back-off were over */
		home_unpin(f->home);
	}
	deliver_id(f, "0000019b00000000-fault");
	deliver_id(f, "0000019b00000000-fault");
	assert_delivered(f, "INBOX", 2);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_deliver, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_deliver_by_sender, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_delivered_trim, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_deliver_at_once, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_deliver_late, fix_setup, fix_teardown),
#if STORE_FAULTS
		cmocka_unit_test_setup_teardown(test_deliver_fails, fix_setup, fix_teardown),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
