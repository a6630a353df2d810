/* The queue as a whole: expansion, delivery, retries, reports, restarts, damage. */
#include "tests/unit/queue_case.h"

static void
test_group(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	submit("anna@example.org", "all@example.org staff@example.org ben@example.org eve",
		"Subject: x\r\n\r\n.dot\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 5);
	assert_int_equal(delivered_to("anna@example.org", NULL), 1);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
	assert_int_equal(delivered_to("cleo@example.org", NULL), 1);
	assert_int_equal(delivered_to("dora@example.org", NULL), 1);
	assert_int_equal(delivered_to("eve@example.org", &d), 1);
	assert_string_equal(d->text, "Subject: x\r\n\r\n.dot\r\n");
	assert_string_equal(d->from, "anna@example.org");
	for (unsigned i = 0; i < 5; i++) {
		for (unsigned k = i + 1; k < 5; k++)
			assert_string_not_equal(T.deliveries[i].id, T.deliveries[k].id);
	}
}

/* A server that takes two recipients at once gets the others right after. */
static void
test_too_many_recipients(void **state)
{
	(void)state;
	T.rcpts_max = 2;
	queue_end();
	T.retry_max_ms = 3600000;
	queue_begin(3600000);
	T.queue->o.retry_min_ms = 3600000; /* nobody waits for a retry */
	submit("x@example.org", "all@example.org staff@example.org eve", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 5);
}

static void
test_retry_is_for_the_deferred_only(void **state)
{
	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.3.0 not now", 2 };
	submit("x@example.org", "all@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 5);
	assert_int_equal(delivered_to("anna@example.org", NULL), 1);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
	assert_string_equal(T.deliveries[1].id, T.deliveries[3].id);
	assert_string_equal(T.deliveries[1].id, T.deliveries[4].id);
}

static void
test_report(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "550 5.1.1 No such user", -1 };
	submit("anna@example.org",
		"staff@example.org out@example.org loop@example.org "
		"empty@example.org",
		"Subject: the one\r\n\r\nsecret body\r\n");
	until(queue_empty);
	assert_int_equal(delivered_to("dora@example.org", NULL), 1);
	assert_int_equal(delivered_to("anna@example.org", &d), 2); /* by "out", and the report */
	assert_string_equal(d->from, "");
	assert_non_null(
		strstr(d->text, "Final-Recipient: rfc822; ben@example.org\r\nAction: failed\r\n"
				"Status: 5.1.1\r\n"));
	assert_null(strstr(d->text, "Original-Recipient"));
	assert_non_null(strstr(d->text, "  <staff@example.org>\r\n      (which leads to "
					"<ben@example.org>)\r\n"));
	assert_non_null(strstr(d->text, "Final-Recipient: rfc822; friend@elsewhere.example\r\n"
					"Action: failed\r\nStatus: 5.7.1\r\n"));
	assert_non_null(strstr(d->text, "nested too deep"));
	assert_non_null(strstr(d->text, "empty@example.org"));
	assert_non_null(strstr(d->text, "\r\nSubject: the one\r\n"));
	assert_non_null(strstr(d->text, "secret body"));
}

/* A report that cannot be delivered makes no further report. */
static void
test_no_report_about_a_report(void **state)
{
	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "550 5.1.1 No such user", -1 };
	T.rules[1] = (struct rule){ "gone@example.org", "550 5.1.1 No such user", -1 };
	submit("gone@example.org", "ben@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 2);
	assert_int_equal(delivered_to("gone@example.org", NULL), 0);
	turn(300);
	assert_int_equal(T.deliveries_count, 2);
}

static void
test_directory_away(void **state)
{
	(void)state;
	T.map_down = true;
	submit("anna@example.org", "all@example.org", "x\r\n");
	turn(300);
	assert_int_equal(T.deliveries_count, 0);
	assert_int_equal(T.queue->messages.n, 1);
	T.map_down = false;
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 3);
}

static void
test_expiry(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.2.1 Mailbox locked", -1 };
	submit("anna@example.org", "ben@example.org", "x\r\n");
	while (T.deliveries_count < 2)
		turn(5);
	T.queue->o.lifetime_ms = 1;
	until(queue_empty);
	assert_int_equal(delivered_to("anna@example.org", &d), 1);
	assert_non_null(strstr(
		d->text, "Status: 5.4.7\r\nDiagnostic-Code: x-postroom; 451 4.2.1 Mailbox locked"));
}

static bool
cleo_was_told(void)
{
	return delivered_to("cleo@example.org", NULL) == 1;
}

static bool
nobody_works(void)
{
	return T.queue->attempts_count == 0 && state_busy(T.queue->state) == 0;
}

static bool
notice_is_made(void)
{
	return T.queue->messages.n == 2;
}

/* Once for each recipient that waits, also over a restart; and it says nothing of the others. */
static void
test_delay_notice(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	T.queue->o.delay_notice_ms = 150;
	T.queue->o.retry_min_ms = T.queue->o.retry_max_ms = 3600000;
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.2.1 Mailbox locked", -1 };
	submit("cleo@example.org", "staff@example.org", "Subject: the one\r\n\r\nsecret body\r\n");
	until(cleo_was_told);
	until(nobody_works);
	assert_int_equal(delivered_to("dora@example.org", NULL), 1);
	assert_int_equal(delivered_to("cleo@example.org", &d), 1);
	assert_string_equal(d->from, "");
	assert_non_null(strstr(d->text, "\r\nSubject: Your message is delayed\r\n"));
	assert_non_null(strstr(d->text, "\r\n\r\nFinal-Recipient: rfc822; ben@example.org\r\n"
					"Action: delayed\r\nStatus: 4.2.1\r\n"
					"Diagnostic-Code: x-postroom; 451 4.2.1 Mailbox locked\r\n"
					"Last-Attempt-Date: "));
	assert_non_null(strstr(d->text, "\r\nWill-Retry-Until: "));
	assert_null(strstr(d->text, "dora@"));
	assert_non_null(strstr(d->text, "\r\nSubject: the one\r\n"));
	assert_null(strstr(d->text, "secret body"));
	assert_int_equal(T.queue->messages.n, 1);
	queue_end();
	queue_begin(60000);
	T.queue->o.delay_notice_ms = 150;
	T.rules[0].times = 2;
	assert_int_equal(queue_flush(T.queue), 1);
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
	assert_int_equal(delivered_to("cleo@example.org", NULL), 1);
}

/* Those whom the directory cannot tell yet, too; what comes of them later is not told again. */
static void
test_delay_notice_without_directory(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	T.queue->o.delay_notice_ms = 150;
	T.map_down = true;
	submit("cleo@example.org", "staff@example.org", "x\r\n");
	until(notice_is_made);
	T.map_down = false;
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.2.1 Mailbox locked", 3 };
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
	assert_int_equal(delivered_to("cleo@example.org", &d), 1);
	assert_non_null(strstr(d->text, "Final-Recipient: rfc822; staff@example.org\r\n"
					"Action: delayed\r\nStatus: 4.0.0\r\n"
					"Will-Retry-Until: "));
}

/* None for a report, none where it would come with the end, none when it is switched off. */
static void
test_no_delay_notice(void **state)
{
	(void)state;
	T.queue->o.delay_notice_ms = 50;
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.2.1 Mailbox locked", 3 };
	submit("", "ben@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 4);
	T.queue->o.delay_notice_ms = 60000;
	T.rules[0].times = 3;
	submit("cleo@example.org", "ben@example.org", "x\r\n");
	until(queue_empty);
	T.queue->o.delay_notice_ms = 0;
	T.rules[0].times = 3;
	submit("cleo@example.org", "ben@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(delivered_to("cleo@example.org", NULL), 0);
	assert_int_equal(delivered_to("ben@example.org", NULL), 3);
}

/* lmtp is away; the queue is started again; the directory says something else by now: it is not
 * asked again, and the ids are the same. */
static void
test_restart(void **state)
{
	char first[DELIVERY_ID_SIZE + 1];
	const struct delivery *d = NULL;

	(void)state;
	T.rules[0] = (struct rule){ "anna@example.org", "451 4.3.0 not now", 1 };
	T.rules[1] = (struct rule){ "ben@example.org", "451 4.3.0 not now", 1 };
	T.rules[2] = (struct rule){ "cleo@example.org", "451 4.3.0 not now", 1 };
	submit("x@example.org", "all@example.org", "x\r\n");
	while (T.deliveries_count < 3)
		turn(2);
	memcpy(first, T.deliveries[1].id, sizeof(first));
	lmtp_stop();
	queue_end();
	T.map_down = true;
	queue_begin(60000);
	assert_int_equal(T.queue->messages.n, 1);
	turn(150);
	T.lmtp_listener = serve(T.lmtp, accept_lmtp);
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", &d), 1);
	assert_string_equal(d->id, first);
}

/* One message waits for more than half an hour. */
static bool
waits_long(void)
{
	return state_busy(T.queue->state) == 0 && T.queue->heap_count == 1 &&
	       T.queue->heap[0]->next_ms > clock_wall_ms() + 1800000;
}

/* Put off for an hour by a queue whose clock was wrong, or had other settings. */
static void
put_off_for_long(void)
{
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.3.0 not now", 1 };
	T.queue->o.retry_min_ms = T.queue->o.retry_max_ms = 3600000;
	submit("x@example.org", "ben@example.org", "x\r\n");
	until(waits_long);
}

/* The clock is set back: waits that nobody would give now end, at a start and while we run. */
static void
test_clock_set_back(void **state)
{
	(void)state;
	put_off_for_long();
	queue_end();
	queue_begin(60000);
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);

	put_off_for_long();
	T.queue->o.retry_min_ms = 100;
	T.queue->o.retry_max_ms = 300;
	T.queue->clock_ahead_ms += 7200000;
	T.rules[1] = (struct rule){ "anna@example.org", "451 4.3.0 not now", 1 };
	submit("x@example.org", "anna@example.org", "x\r\n"); /* its next try looks at the clock */
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 2);
	assert_int_equal(delivered_to("anna@example.org", NULL), 1);
}

/* The reply is lost after the delivery: the same id again, so the store can tell. */
static void
test_lost_reply(void **state)
{
	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "close", 1 };
	submit("x@example.org", "ben@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 2);
	assert_string_equal(T.deliveries[0].id, T.deliveries[1].id);
}

static bool
nothing_on_its_way(void)
{
	return state_busy(T.queue->state) == 0;
}

/* Recipients with senders of their own: a transaction for each sender. */
static void
test_senders(void **state)
{
	static const struct {
		const char *rcpt, *sender;
	} table[] = {
		{ "anna@example.org", "x@example.org" },
		{ "ben@example.org", "owner@example.org" },
		{ "cleo@example.org", "" },
		{ "dora@example.org", "owner@example.org" },
		{ "emil@example.org", "x@example.org" },
	};
	struct arena *a = arena_new(1024 * 1024);
	struct record_orig orig = { .address = STR("all@example.org"), .expanded = true };
	struct record r = { .sender = STR("x@example.org"), .origs = &orig, .origs_count = 1 };
	struct state_write w;
	struct buf b;
	char id[17];

	(void)state;
	accept_message("x@example.org", "all@example.org", "x\r\n", id);
	r.id = str_of(id);
	r.received_ms = clock_wall_ms();
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct record_rcpt *c = record_add_rcpt(&r, a, str_of(table[i].rcpt), 0);
		assert_int_equal(record_set_sender(&r, a, c, str_of(table[i].sender)), ERR_OK);
	}
	buf_init(&b, 65536);
	assert_int_equal(record_encode(&r, &b), ERR_OK);
	w = (struct state_write){ r.id, buf_str(&b) };
	state_put(T.queue->state, &w, 1, queue_put_done, T.queue);
	until(nothing_on_its_way);
	assert_non_null(queue_add(T.queue, r.id, true, 0));
	until(queue_empty);
	assert_int_equal(T.deliveries_count, ARRAY_LEN(table));
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		unsigned k = 0;
		while (k < T.deliveries_count && strcmp(T.deliveries[k].rcpt, table[i].rcpt) != 0)
			k++;
		assert_true(k < T.deliveries_count);
		assert_string_equal(T.deliveries[k].from, table[i].sender);
	}
	buf_fini(&b);
	arena_free(a);
}

/* Accepted and never seen by the queue: found at the start. A report without a record is not. */
static void
test_adopt(void **state)
{
	char id[17], report[17];

	(void)state;
	accept_message("x@example.org", "ben@example.org", "x\r\n", id);
	until(take_writer);
	memcpy(report, spool_writer_name(writer).p, 17);
	const struct spool_rcpt to = { .address = STR("ben@example.org") };
	struct spool_envelope e = {
		.rcpts = &to, .rcpts_count = 1, .received_ms = 1, .flags = SPOOL_REPORT
	};
	spool_write(writer, STR("a report\r\n"));
	committed_ok = false;
	spool_commit(writer, &e, committed, NULL);
	until(is_committed);
	queue_end();
	queue_begin(60000);
	assert_int_equal(T.queue->messages.n, 1);
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 1);
	assert_string_equal(T.deliveries[0].text, "x\r\n");
	turn(100);
	queue_end();
	assert_int_equal(files_in("slots"), 0);
	queue_begin(60000);
	assert_int_equal(T.queue->messages.n, 0);
}

static void
test_damage(void **state)
{
	char id[17], path[128];
	int fd;

	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.3.0 not now", -1 };
	accept_message("x@example.org", "ben@example.org", "some text\r\n", id);
	assert_non_null(queue_add(T.queue, str_of(id), false, 0));
	while (T.deliveries_count < 1)
		turn(5);
	(void)snprintf(path, sizeof(path), "%s/slots/%s", T.dir, id);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "S", 1, SPOOL_FRONT_SIZE), 1);
	(void)close(fd);
	T.rules[0].times = 0;
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 0);
	assert_int_equal(files_in("corrupt"), 1);
}

/* A damaged message that cannot be put aside stays known: it is the only copy. */
static void
test_damage_without_a_place(void **state)
{
	char id[17], path[128], aside[128];
	int fd;

	(void)state;
	(void)snprintf(aside, sizeof(aside), "%s/corrupt", T.dir);
	assert_int_equal(rmdir(aside), 0);
	fd = open(aside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	accept_message("x@example.org", "ben@example.org", "some text\r\n", id);
	(void)snprintf(path, sizeof(path), "%s/slots/%s", T.dir, id);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "S", 1, SPOOL_FRONT_SIZE), 1);
	(void)close(fd);
	assert_non_null(queue_add(T.queue, str_of(id), false, 0));
	turn(300);
	assert_int_equal(T.queue->messages.n, 1);
	queue_end();
	assert_int_equal(unlink(aside), 0);
	queue_begin(60000);
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 0);
	assert_int_equal(files_in("corrupt"), 1);
}

static const char *slot_path;

static bool
slot_is_gone(void)
{
	return access(slot_path, F_OK) != 0;
}

static bool
record_is_gone(void)
{
	struct buf b;
	enum err e;

	buf_init(&b, 1024 * 1024);
	e = state_get(T.queue->state, str_of(slot_path + strlen(slot_path) - SPOOL_NAME_LEN), &b);
	buf_fini(&b);
	return e == ERR_NOTFOUND;
}

/* The removal of a delivered message's file is late: the record outlives it all the same. */
static void
test_record_outlives_the_file(void **state)
{
	char id[17], path[128], copy[128];

	(void)state;
	accept_message("x@example.org", "ben@example.org", "x\r\n", id);
	(void)snprintf(path, sizeof(path), "%s/slots/%s", T.dir, id);
	(void)snprintf(copy, sizeof(copy), "%s/copy", T.dir);
	assert_int_equal(link(path, copy), 0);
	assert_non_null(queue_add(T.queue, str_of(id), false, 0));
	until(queue_empty);
	slot_path = path;
	until(slot_is_gone);
	assert_false(record_is_gone());
	assert_int_equal(link(copy, path), 0);
	loop_timer_start(&T.queue->finished_timer, 1);
	until(record_is_gone);
	assert_true(slot_is_gone());
}

static void
test_many(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++)
		submit("x@example.org", "staff@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 60);
	assert_int_equal(delivered_to("dora@example.org", NULL), 60);
}

int
main(void)
{
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T_(test_group),
		T_(test_too_many_recipients),
		T_(test_retry_is_for_the_deferred_only),
		T_(test_report),
		T_(test_no_report_about_a_report),
		T_(test_directory_away),
		T_(test_expiry),
		T_(test_delay_notice),
		T_(test_delay_notice_without_directory),
		T_(test_no_delay_notice),
		T_(test_restart),
		T_(test_lost_reply),
		T_(test_clock_set_back),
		T_(test_senders),
		T_(test_adopt),
		T_(test_damage),
		T_(test_damage_without_a_place),
		T_(test_record_outlives_the_file),
		T_(test_many),
	};
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("queue_flow", tests, NULL, NULL);
}
