/* The queue as a whole: which reports come of what senders asked for, through expansion, delivery
 * and restarts. */
#include "tests/unit/queue_case.h"

#include "delivery/queue/state.h"

enum {
	N = SPOOL_NOTIFY_NEVER,
	S = SPOOL_NOTIFY_SUCCESS,
	F = SPOOL_NOTIFY_FAILURE,
	D = SPOOL_NOTIFY_DELAY
};

static const struct delivery *
only_report(const char *to)
{
	const struct delivery *d = NULL;

	assert_int_equal(delivered_to(to, &d), 1);
	assert_string_equal(d->from, "");
	return d;
}

static unsigned
occurrences(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
		n++;
	return n;
}

/* One message, three recipients with three outcomes: delivered, refused, late; for each NOTIFY. */
static void
test_outcomes(void **state)
{
	static const struct {
		unsigned notify;
		bool delivered, failed, delayed;
	} table[] = {
		{ 0, false, true, true },
		{ N, false, false, false },
		{ S, true, false, false },
		{ F, false, true, false },
		{ D, false, false, true },
		{ S | F | D, true, true, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct delivery *d = NULL;
		char text[8192] = "";
		unsigned first = T.deliveries_count;
		T.queue->o.delay_notice_ms = 1;
		T.rules[0] = (struct rule){ "ben@example.org", "550 5.1.1 No such user", -1 };
		T.rules[1] = (struct rule){ "dora@example.org", "451 4.2.1 Locked", 1 };
		T.wish.notify = table[i].notify;
		T.wish.orcpt = "rfc822;Who@example.org";
		submit("cleo@example.org", "anna@example.org ben@example.org dora@example.org",
			"Subject: s\r\n\r\nb\r\n");
		until(queue_empty);
		for (unsigned k = first; k < T.deliveries_count; k++) {
			d = &T.deliveries[k];
			if (strcmp(d->rcpt, "cleo@example.org") != 0)
				continue;
			assert_string_equal(d->from, "");
			assert_true(strlen(text) + strlen(d->text) < sizeof(text));
			memcpy(text + strlen(text), d->text, strlen(d->text) + 1);
		}
		assert_int_equal(occurrences(text, "rfc822; anna@example.org\r\nAction: delivered"),
			table[i].delivered);
		assert_int_equal(occurrences(text, "rfc822; ben@example.org\r\nAction: failed"),
			table[i].failed);
		assert_int_equal(occurrences(text, "rfc822; dora@example.org\r\nAction: delayed"),
			table[i].delayed);
		/* dora gets it in the end */
		assert_int_equal(occurrences(text, "rfc822; dora@example.org\r\nAction: delivered"),
			table[i].delivered);
		assert_int_equal(occurrences(text, "Action: "),
			2U * table[i].delivered + table[i].failed + table[i].delayed);
		assert_int_equal(occurrences(text, "Original-Recipient: rfc822; Who@example.org"),
			occurrences(text, "Action: "));
	}
}

/* Several recipients of one attempt share a report. */
static void
test_one_report(void **state)
{
	const struct delivery *d;

	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "550 5.1.1 No such user", -1 };
	T.wish.notify = S | F;
	T.wish.envid = "id+2B1";
	submit("cleo@example.org", "anna@example.org ben@example.org emil@example.org",
		"Message-ID: <m1@example.org>\r\n\r\nb\r\n");
	until(queue_empty);
	d = only_report("cleo@example.org");
	assert_int_equal(occurrences(d->text, "Action: "), 3);
	assert_int_equal(occurrences(d->text, "Original-Envelope-Id: id+1\r\n"), 1);
	assert_int_equal(occurrences(d->text, "References: <m1@example.org>\r\n"), 1);
	assert_int_equal(occurrences(d->text, "could not be delivered to everybody\r\n"), 1);
}

/* An address that stands for several. */
static void
test_expanded(void **state)
{
	const struct delivery *d;

	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "550 5.1.1 No such user", -1 };
	T.wish.notify = S;
	submit("emil@example.org", "all@example.org", "x\r\n");
	until(queue_empty);
	d = only_report("emil@example.org");
	assert_int_equal(occurrences(d->text, "Final-Recipient: rfc822; all@example.org\r\n"
					      "Action: expanded\r\n"),
		1);
	assert_int_equal(occurrences(d->text, "Action: "), 1);
}

/* How much of the message comes back. */
static void
test_ret(void **state)
{
	static const struct {
		enum spool_ret ret;
		unsigned flags, notify;
		const char *reply;
		bool large, whole;
	} table[] = {
		{ SPOOL_RET_NONE, 0, 0, "550 5.1.1 No", false, true },
		{ SPOOL_RET_FULL, 0, 0, "550 5.1.1 No", false, true },
		{ SPOOL_RET_HDRS, 0, 0, "550 5.1.1 No", false, false },
		{ SPOOL_RET_NONE, 0, 0, "550 5.1.1 No", true, false },
		{ SPOOL_RET_FULL, 0, 0, "550 5.1.1 No", true, false },
		{ SPOOL_RET_FULL, SPOOL_BINARY, 0, "550 5.1.1 No", false, false },
		{ SPOOL_RET_FULL, 0, S, "250 2.1.5 Yes", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char to[32], text[4096];
		const struct delivery *d;
		(void)snprintf(to, sizeof(to), "s%zu@example.org", i);
		(void)snprintf(text, sizeof(text), "Subject: the one\r\n\r\nsecret body %0*d\r\n",
			table[i].large ? 2000 : 10, 0);
		T.rules[0] = (struct rule){ "ben@example.org", table[i].reply, -1 };
		T.wish.ret = table[i].ret;
		T.wish.flags = table[i].flags;
		T.wish.notify = table[i].notify;
		submit(to, "ben@example.org", text);
		until(queue_empty);
		d = only_report(to);
		assert_non_null(strstr(d->text, "\r\nSubject: the one\r\n"));
		assert_int_equal(strstr(d->text, "secret body") != NULL, table[i].whole);
		assert_int_equal(
			strstr(d->text, "Content-Type: message/rfc822") != NULL, table[i].whole);
	}
}

/* A report that is larger than what the writer takes at once: queue.bounce_size_max may be set so
 * high, and many recipients with long replies do it too. */
static void
test_large(void **state)
{
	enum { LINES = 4500, LINE = 1900 };
	static const char subject[] = "Subject: large\r\n\r\n";
	char *text = xmalloc(LINES * (LINE + 2) + sizeof(subject)), *at = text;
	const struct delivery *d;

	(void)state;
	T.queue->o.bounce_size_max = 64 * 1024 * 1024;
	memcpy(at, subject, sizeof(subject));
	at += sizeof(subject) - 1;
	for (unsigned i = 0; i < LINES; i++) {
		memset(at, 'a' + (int)(i % 26), LINE);
		memcpy(at + LINE, "\r\n", 3);
		at += LINE + 2;
	}
	T.rules[0] = (struct rule){ "ben@example.org", "550 5.1.1 No", -1 };
	submit("anna@example.org", "ben@example.org", text);
	until(queue_empty);
	d = only_report("anna@example.org");
	assert_true(strlen(d->text) > strlen(text));
	assert_non_null(strstr(d->text, text));
	free(text);
}

/* A report that fails is told to the postmaster, once, whatever becomes of that. */
static void
test_double(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	queue_end();
	T.postmaster = "pm@example.org";
	queue_begin(60000);
	T.rules[0] = (struct rule){ "ben@example.org", "550 5.1.1 No such user", -1 };
	T.rules[1] = (struct rule){ "gone@example.org", "550 5.1.1 Not here either", -1 };
	submit("gone@example.org", "ben@example.org", "Subject: s\r\n\r\nthe body\r\n");
	until(queue_empty);
	d = only_report("pm@example.org");
	assert_non_null(strstr(d->text, "\r\nSubject: A report could not be delivered\r\n"));
	assert_non_null(strstr(d->text, "Final-Recipient: rfc822; gone@example.org\r\n"));
	assert_non_null(strstr(d->text, "Final-Recipient: rfc822; ben@example.org\r\n"));
	assert_non_null(strstr(d->text, "the body"));
	assert_int_equal(T.deliveries_count, 3);
	/* The postmaster has no mailbox. */
	T.rules[2] = (struct rule){ "pm@example.org", "550 5.1.1 Nobody", -1 };
	submit("gone@example.org", "ben@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 6);
	/* Somebody else's mail from nobody is not for the postmaster. */
	submit("", "ben@example.org", "x\r\n");
	until(queue_empty);
	turn(200);
	assert_int_equal(T.deliveries_count, 7);
}

static bool
nothing_on_its_way(void)
{
	return state_busy(T.queue->state) == 0;
}

/* Recipients with senders of their own: each sender hears of its own, and a restart between the
 * results and the reports loses none. */
static void
test_own_senders(void **state)
{
	static const char *const rcpts[] = { "anna@example.org", "ben@example.org",
		"dora@example.org" };
	static const char *const senders[] = { "x@example.org", "owner@example.org", "" };
	struct arena *a = arena_new(1024 * 1024);
	struct record_orig orig = { .address = STR("all@example.org"),
		.expanded = true,
		.success = SUCCESS_DUE,
		.notify = S,
		.list = true };
	struct record r = { .sender = STR("x@example.org"), .origs = &orig, .origs_count = 1 };
	const struct delivery *d;
	struct state_write w;
	struct buf b;
	char id[17];

	(void)state;
	accept_message("x@example.org", "all@example.org", "x\r\n", id);
	r.id = str_of(id);
	r.received_ms = clock_wall_ms();
	for (size_t i = 0; i < ARRAY_LEN(rcpts); i++) {
		struct record_rcpt *c = record_add_rcpt(&r, a, str_of(rcpts[i]), 0);
		assert_int_equal(record_set_sender(&r, a, c, str_of(senders[i])), ERR_OK);
		c->state = RCPT_FAILED;
		c->list = true;
		c->notify = 0;
		c->reply = STR("550 5.1.1 No");
	}
	buf_init(&b, 65536);
	assert_int_equal(record_encode(&r, &b), ERR_OK);
	w = (struct state_write){ r.id, buf_str(&b) };
	state_put(T.queue->state, &w, 1, queue_put_done, T.queue);
	until(nothing_on_its_way);
	queue_end();
	queue_begin(60000);
	until(queue_empty);
	d = only_report("x@example.org");
	assert_int_equal(occurrences(d->text, "rfc822; all@example.org\r\nAction: delivered"), 1);
	assert_int_equal(occurrences(d->text, "rfc822; anna@example.org\r\nAction: failed"), 1);
	assert_int_equal(occurrences(d->text, "Action: "), 2);
	d = only_report("owner@example.org");
	assert_int_equal(occurrences(d->text, "rfc822; ben@example.org\r\nAction: failed"), 1);
	assert_int_equal(occurrences(d->text, "Action: "), 1);
	assert_int_equal(T.deliveries_count, 2);
	buf_fini(&b);
	arena_free(a);
}

int
main(void)
{
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T_(test_outcomes),
		T_(test_one_report),
		T_(test_expanded),
		T_(test_ret),
		T_(test_large),
		T_(test_double),
		T_(test_own_senders),
	};
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("queue_report", tests, NULL, NULL);
}
