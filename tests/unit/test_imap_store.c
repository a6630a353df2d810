/* STORE over so many messages that it is several updates: what one of them made durable is told
 * while the next one runs. And what EXPUNGE leaves of messages that stand in several places. */
#define PROGRAM "store"
#include "imap_case.h"

#include "core/store/fault.h"

enum { PART = 16384, DOUBLINGS = 16, MANY = 1 << DOUBLINGS };

static void
many_messages(void)
{
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	for (int i = 0; i < DOUBLINGS; i++)
		EXPECT(c, "OK", "COPY 1:* INBOX");
	/* the claim of \Recent goes with it */
	EXPECT(c, "OK", "STORE 1 -FLAGS.SILENT (\\Draft)");
}

/* Lines "* n FETCH (" whose text has what, n rising by one from 1 on: how many. */
static uint32_t
rows_in_order(const char *what)
{
	struct str s = buf_str(&c->in), line;
	uint32_t rows = 0;

	while (str_cut(s, '\n', &line, &s)) {
		char want[40];
		int n = snprintf(want, sizeof want, "* %u FETCH (", rows + 1);

		if (str_find(line, STR(" FETCH (")) == line.n)
			continue;
		assert_true(str_starts(line, str_n(want, (size_t)n)));
		assert_true(str_find(line, str_of(what)) < line.n);
		rows++;
	}
	return rows;
}

static void
test_each_message_is_told_once(void **state)
{
	(void)state;
	many_messages();
	EXPECT(c, "OK", "UID STORE 1:* +FLAGS (\\Seen)");
	assert_int_equal(rows_in_order("FLAGS (\\Seen"), MANY);
	EXPECT(c, "OK", "NOOP");
	SILENT(c, "FETCH");
	/* nothing is changed by any part */
	EXPECT(c, "OK", "STORE 1:* +FLAGS (\\Seen)");
	assert_int_equal(rows_in_order("FLAGS (\\Seen"), MANY);
	EXPECT(c, "OK", "STATUS INBOX (UNSEEN MESSAGES)");
	SAID(c, "UNSEEN 0");
	EXPECT(c, "OK", "ENABLE CONDSTORE");
	EXPECT(c, "OK", "STORE 1:* FLAGS (\\Flagged $Junk)");
	SAID(c, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk)\r\n");
	assert_int_equal(rows_in_order("FLAGS (\\Flagged"), MANY);
	EXPECT(c, "OK", "NOOP");
	SILENT(c, "FETCH");
}

/* Another session changes what was told already while the rest is stored. */
static void
test_others_changes_meanwhile(void **state)
{
	struct client *d = second();
	bool flagged, told;

	(void)state;
	many_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	buf_reset(&c->in);
	client_sendz(c, "big STORE 1:* +FLAGS (\\Seen)\r\n");
	assert_true(client_await(c, "* 1 FETCH (", false, CLIENT_WAIT_MS));
	EXPECT(d, "OK", "UID STORE 1 +FLAGS (\\Flagged)");
	EXPECT(d, "OK", "UID STORE %d +FLAGS (\\Answered)", MANY);
	assert_true(client_await(c, "big OK", false, CLIENT_WAIT_MS));
	flagged = said(c, "* 1 FETCH (FLAGS (\\Flagged \\Seen");
	told = said(c, "* 65536 FETCH (FLAGS (\\Answered \\Seen");
	EXPECT(c, "OK", "NOOP");
	assert_true(flagged || said(c, "* 1 FETCH (FLAGS (\\Flagged \\Seen"));
	assert_true(told || said(c, "* 65536 FETCH (FLAGS (\\Answered \\Seen"));
	SILENT(c, "* 2 FETCH");
	client_free(d);
}

/* Expunged by another session before the STORE comes to them, or behind it. */
static void
test_others_expunge_meanwhile(void **state)
{
	struct client *d = second();

	(void)state;
	many_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "STORE 1,%d +FLAGS.SILENT (\\Deleted)", MANY);
	buf_reset(&c->in);
	client_sendz(c, "big STORE 1:* +FLAGS (\\Seen)\r\n");
	assert_true(client_await(c, "* 2 FETCH (", false, CLIENT_WAIT_MS));
	EXPECT(d, "OK", "EXPUNGE");
	assert_true(client_await(c, "big ", false, CLIENT_WAIT_MS));
	/* numbers stay until the client may be told */
	SILENT(c, "EXPUNGE\r\n");
	SAID(c, "* 30000 FETCH (");
	EXPECT(c, "OK", "NOOP");
	SAID(c, "* 65536 EXPUNGE\r\n");
	SAID(c, "* 1 EXPUNGE\r\n");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES UNSEEN)");
	SAID(c, "(MESSAGES 65534 UNSEEN 0)");
	client_free(d);
}

/* A client that hangs up in the middle: the STORE goes on. */
static void
test_client_leaves_meanwhile(void **state)
{
	struct client *d = second();

	(void)state;
	many_messages();
	client_sendz(d, "s SELECT INBOX\r\nbig STORE 1:* +FLAGS (\\Seen)\r\n");
	assert_true(client_await(d, "* 1 FETCH (", false, CLIENT_WAIT_MS));
	client_free(d);
	for (int i = 0; i < 1000; i++) {
		EXPECT(c, "OK", "STATUS INBOX (UNSEEN)");
		if (said(c, "UNSEEN 0)"))
			break;
		client_rest(c, 10);
	}
	SAID(c, "UNSEEN 0)");
}

#if STORE_FAULTS
/* What was told is durable, and the tagged line says that not all is done. */
static void
test_second_part_fails(void **state)
{
	(void)state;
	many_messages();
	fault_arm(FAULT_PUT, PART + PART / 2);
	EXPECT(c, "NO [UNAVAILABLE]", "STORE 1:* +FLAGS (\\Seen)");
	fault_arm(FAULT_PUT, 0);
	SAID(c, "* 1 FETCH (FLAGS (\\Seen");
	SAID(c, "* 16384 FETCH (FLAGS (\\Seen");
	SILENT(c, "* 16385 FETCH");
	EXPECT(c, "OK", "STATUS INBOX (UNSEEN)");
	SAID(c, "UNSEEN 49152)");
	EXPECT(c, "OK", "STORE 1:* +FLAGS (\\Seen)");
	assert_int_equal(rows_in_order("FLAGS (\\Seen"), MANY);
}
#endif

/* Messages with one, two and many places, in an order that is not that of their ids. */
static void
test_expunge_counts_places(void **state)
{
	(void)state;
	for (int i = 0; i < 40; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "COPY 3,30,31,32 Trash");
	EXPECT(c, "OK", "COPY 2 INBOX");
	EXPECT(c, "OK", "COPY 1:2 INBOX");
	EXPECT(c, "OK", "COPY 40 INBOX");
	/* of the second both copies but one, of the first and the last all */
	EXPECT(c, "OK", "STORE 1,2,5:29,31,32,40:42,44 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES DELETED)");
	SAID(c, "(MESSAGES 11 DELETED 0)");
	EXPECT(c, "OK", "FETCH 1:* BODY.PEEK[]");
	EXPECT(c, "OK", "STORE 1:* +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(c, "OK", "SELECT Trash");
	EXPECT(c, "OK", "FETCH 1:* BODY.PEEK[]");
	SAID(c, "* 4 FETCH");
	EXPECT(c, "OK", "STORE 1:4 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	SAID(c, "* 1 EXPUNGE");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_message_is_told_once),
		TEST(test_others_changes_meanwhile),
		TEST(test_others_expunge_meanwhile),
		TEST(test_client_leaves_meanwhile),
#if STORE_FAULTS
		TEST(test_second_part_fails),
#endif
		TEST(test_expunge_counts_places),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
