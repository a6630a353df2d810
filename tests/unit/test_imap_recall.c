/* What a worker remembers of SORT and THREAD: the memory itself, and that answers with it are those
 * without it, whatever happened to the mailbox in between. */
#define PROGRAM "recall"
#include "imap_case.h"

#include "imap/session/recall.h"

static unsigned seed = 11;

static unsigned
pick(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

/* ---- the memory ---- */

static struct home *
home_of(const char *name)
{
	char path[200];
	struct home *h;

	(void)snprintf(path, sizeof path, "%s/%s", w.dir, name);
	assert_int_equal(home_get(w.store, str_of(path), &h), ERR_OK);
	return h;
}

static void
put(struct recall *r, const struct recall_key *k, uint32_t n)
{
	struct uidset uids = { 0 };
	uint32_t *v = xcalloc(n, sizeof *v);

	uidset_add(&uids, 1, n);
	for (uint32_t i = 0; i < n; i++)
		v[i] = n - i;
	struct recalled *made = recalled_new(&uids, v, n);

	recall_put(r, k, made);
	recalled_unref(made);
	uidset_fini(&uids);
}

/* 0: it is not there. */
static size_t
got(struct recall *r, const struct recall_key *k)
{
	struct recalled *w1 = recall_get(r, k);
	size_t n = w1 != NULL ? w1->n : 0;

	recalled_unref(w1);
	return n;
}

static void
test_keys(void **state)
{
	struct recall *r = recall_new(w.loop, 1024 * 1024, 60000);
	struct home *a = home_of("a"), *b = home_of("b");
	const struct recall_key keys[] = {
		{ a, 1, 1, STR("S") },
		{ b, 1, 1, STR("S") },
		{ a, 2, 1, STR("S") },
		{ a, 1, 2, STR("S") },
		{ a, 1, 1, STR("SS") },
		{ a, 1, 1, STR("T") },
		{ a, 1, 1, STR("a how that is longer than it may be") },
	};
	size_t last = ARRAY_LEN(keys) - 1;

	(void)state;
	for (size_t i = 0; i <= last; i++) {
		assert_int_equal(got(r, &keys[i]), 0);
		put(r, &keys[i], 100 + (uint32_t)i);
	}
	for (size_t i = 0; i < last; i++)
		assert_int_equal(got(r, &keys[i]), 100 + i);
	assert_int_equal(got(r, &keys[last]), 0);

	/* what somebody holds lives on when another takes its place, and after the end */
	struct recalled *held = recall_get(r, &keys[0]);

	put(r, &keys[0], 50);
	assert_int_equal(got(r, &keys[0]), 50);
	assert_int_equal(held->n, 100);
	recall_free(r);
	assert_int_equal(held->v[99], 1);
	recalled_unref(held);
	home_unref(a);
	home_unref(b);
}

static void
test_bytes(void **state)
{
	enum { MAX = 64 * 1024, N = 1000 };
	struct recall *r = recall_new(w.loop, MAX, 60000);
	struct home *h = home_of("a");
	struct recall_key k = { h, 0, 1, STR("S") };
	unsigned kept = 0;

	(void)state;
	put(r, &k, MAX / 2 / sizeof(uint32_t));
	assert_int_equal(got(r, &k), 0);
	for (k.mailbox = 1; k.mailbox <= 100; k.mailbox++) {
		struct recall_key first = k;

		put(r, &k, N);
		assert_int_equal(got(r, &k), N);
		/* used again and again, it stays */
		first.mailbox = 1;
		assert_int_equal(got(r, &first), N);
	}
	for (k.mailbox = 2; k.mailbox <= 100; k.mailbox++) {
		bool there = got(r, &k) != 0;

		/* the last ones are left */
		assert_true(there || kept == 0);
		kept += there;
	}
	assert_in_range(kept, 8, MAX / N / sizeof(uint32_t));
	recall_free(r);
	home_unref(h);
}

static void
rest(int64_t ms)
{
	struct loop_timer t;

	loop_timer_init(&t, w.loop, world_on_timer, &w);
	loop_timer_start(&t, ms);
	loop_run(w.loop);
}

static void
test_idle(void **state)
{
	struct recall *r = recall_new(w.loop, 1024 * 1024, 30);
	struct home *h = home_of("a");
	struct recall_key k = { h, 1, 1, STR("S") };

	(void)state;
	for (int i = 0; i < 2; i++) {
		put(r, &k, 100);
		/* looking is using */
		rest(300);
		assert_int_equal(got(r, &k), 0);
	}
	recall_free(r);
	home_unref(h);
}

/* ---- the answers ---- */

static void
add_message(struct client *by)
{
	static const char *const subjects[] = { "Lunch", "Re: lunch", "Budget", "Fwd: budget [x]",
		"a", "", "=?utf-8?q?z=C3=BCrich?=", "Zzz" };
	static unsigned made;
	unsigned to = pick(made + 1), day = 1 + pick(9);
	char text[600], refs[100] = "";

	if (pick(2) != 0)
		(void)snprintf(
			refs, sizeof refs, "References: <m%u@x> <m%u@x>\r\n", pick(made + 1), to);
	made++;
	int n = snprintf(text, sizeof text,
		"From: p%u@example.org\r\nSubject: %s\r\nDate: %u Nov 2026 10:00:00 +0000\r\n"
		"Message-ID: <m%u@x>\r\n%s\r\n%.*s",
		pick(5), subjects[pick(8)], day, made, refs, (int)pick(9), "12345678");

	EXPECT(by, "OK", "APPEND INBOX %s \"%02u-Nov-2026 10:00:00 +0000\" {%d+}\r\n%s",
		pick(3) == 0 ? "(\\Seen)" : "()", 1 + pick(20), n, text);
}

static void
change(struct client *by, unsigned messages)
{
	unsigned kind = pick(4), n = pick(3) == 0 ? 1 + pick(20) : 1 + pick(2);

	if (kind < 2)
		for (unsigned i = 0; i < n; i++)
			add_message(by);
	if (kind == 2)
		EXPECT(by, "OK", "STORE %u +FLAGS.SILENT (\\Seen)", 1 + pick(messages));
	if (kind != 1) {
		for (unsigned i = 0; i < n; i++)
			EXPECT(by, "OK", "STORE %u +FLAGS.SILENT (\\Deleted)", 1 + pick(messages));
		EXPECT(by, "OK", "EXPUNGE");
	}
}

/* The answer's first line, to be freed: what is announced behind it is not the same for all. */
static char *
answer(struct client *by, const char *command)
{
	const char *status = say(by, "%s", command);
	struct str in = buf_str(&by->in);

	if (strncmp(status, "OK", 2) != 0 || !str_starts(in, STR("* "))) {
		print_error("%s: %s\n", command, status);
		fail();
	}
	return str_dup(str_sub(in, 0, str_chr(in, '\r')));
}

/* The same question with the memory as it is, and with none, by another who saw as much. */
static void
ask(struct client *other, const char *command)
{
	struct recall *kept = w.imap.recall;
	char *with = answer(c, command);

	w.imap.recall = recall_new(w.loop, 1024 * 1024, 60000);
	char *without = answer(other, command);

	recall_free(w.imap.recall);
	w.imap.recall = kept;
	if (strcmp(with, without) != 0)
		print_error("%s:\n%s\ninstead of\n%s\n", command, with, without);
	assert_string_equal(with, without);
	free(with);
	free(without);
}

static void
ask_something(struct client *other)
{
	static const char *const orders[] = { "SUBJECT", "REVERSE DATE", "SUBJECT REVERSE ARRIVAL",
		"FROM", "SIZE", "REVERSE SUBJECT", "REVERSE FROM DATE" };
	static const char *const programs[] = { "ALL", "ALL", "ALL", "UNSEEN", "SUBJECT b", "2:150",
		"DELETED" };
	char command[200];

	const char *uid = pick(2) != 0 ? "UID " : "", *program = programs[pick(7)];

	if (pick(3) != 0)
		(void)snprintf(command, sizeof command, "%sSORT (%s) UTF-8 %s", uid,
			orders[pick(7)], program);
	else
		(void)snprintf(command, sizeof command, "%sTHREAD %s UTF-8 %s", uid,
			pick(3) == 0 ? "ORDEREDSUBJECT" : "REFERENCES", program);
	ask(other, command);
}

/* The messages that the session which came last knows of. */
static unsigned
count_of_last(void)
{
	const struct imap_session *s =
		CONTAINER_OF(w.imap.sessions.prev, struct imap_session, link);

	return view_count(s->sel.view);
}

static void
test_answers_with_and_without(void **state)
{
	struct client *other = second(), *d = second();

	(void)state;
	for (int i = 0; i < 180; i++)
		add_message(c);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(other, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "SELECT INBOX");
	for (int round = 0; round < 100; round++) {
		EXPECT(d, "OK", "NOOP");
		unsigned messages = count_of_last();

		for (unsigned n = messages; n < 160; n++)
			add_message(d);
		if (pick(3) != 0)
			change(d, messages);
		if (pick(2) != 0) {
			EXPECT(c, "OK", "NOOP");
			EXPECT(other, "OK", "NOOP");
		}
		for (int i = 0; i < 3; i++)
			ask_something(other);
	}
	client_free(d);
	client_free(other);
}

static void
test_is_used(void **state)
{
	struct imap_session *s = CONTAINER_OF(w.imap.sessions.prev, struct imap_session, link);
	char how[] = { 'S', (char)(SORT_SIZE << 1) };

	(void)state;
	for (int i = 0; i < RECALL_LEAST + 6; i++)
		add_message(c);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "SORT (SIZE) UTF-8 ALL");
	struct recall_key k = { s->home, view_mailbox(s->sel.view), view_uidvalidity(s->sel.view),
		str_n(how, sizeof how) };

	assert_int_equal(got(w.imap.recall, &k), RECALL_LEAST + 6);
	/* a wrong one shows that it is asked */
	put(w.imap.recall, &k, RECALL_LEAST + 6);
	EXPECT(c, "OK", "SORT (SIZE) UTF-8 ALL");
	SAID(c, "* SORT 70 69 68 67 66");
	EXPECT(c, "OK", "SORT (SIZE) UTF-8 NOT 69");
	SAID(c, "* SORT 70 68 67 66");
	/* too few, or in another order: not asked */
	EXPECT(c, "OK", "SORT (REVERSE SIZE ARRIVAL) UTF-8 ALL");
	SILENT(c, "* SORT 70 69 68 67 66");
	EXPECT(c, "OK", "STORE 1:8 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(c, "OK", "UID SORT (SIZE) UTF-8 ALL");
	SILENT(c, "* SORT 70 69 68 67 66");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_keys),
		TEST(test_bytes),
		TEST(test_idle),
		TEST(test_answers_with_and_without),
		TEST(test_is_used),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
