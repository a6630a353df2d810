/* SEARCH's extensions, SORT and THREAD on a worker of imap in this process. */
#define PROGRAM "search"
#include "imap_case.h"

#include <time.h>

static struct imap_session *
session_of_client(void)
{
	struct imap_session *s = NULL;

	LIST_FOREACH (n, &w.imap.sessions)
		s = CONTAINER_OF(n, struct imap_session, link);
	assert_non_null(s);
	return s;
}

/* Messages 1 to n, UIDs from 1. */
static void
messages(unsigned n)
{
	for (unsigned i = 1; i <= n; i++) {
		char text[200];

		(void)snprintf(text, sizeof text,
			"From: a@example.org\r\nSubject: Number %u\r\n\r\nText %u.\r\n", i, i);
		append(c, "INBOX", i % 2 == 0 ? "(\\Flagged)" : "()", text);
	}
	EXPECT(c, "OK [READ-WRITE]", "SELECT INBOX");
}

/* line: "*" and what stands behind the tag of an ESEARCH. */
static void
expect_line(const char *command, const char *line, int at)
{
	char want[400];

	(void)snprintf(want, sizeof want, "* ESEARCH (TAG \"t%u\")%s\r\n", c->tags + 1, line);
	expect_at(say(c, "%s", command), "OK", c, __FILE__, at);
	said_at(c, want, true, __FILE__, at);
}
#define LINE(command, line) expect_line(command, line, __LINE__)

static void
esearch(void **state)
{
	(void)state;
	RAN();
	messages(6);
	EXPECT(c, "OK", "STORE 2 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	/* UIDs 1 3 4 5 6; flagged: 4 6 */
	LINE("SEARCH RETURN () ALL", " ALL 1:5");
	LINE("UID SEARCH RETURN () ALL", " UID ALL 1,3:6");
	LINE("SEARCH RETURN (MIN) FLAGGED", " MIN 3");
	LINE("SEARCH RETURN (MAX MIN) FLAGGED", " MIN 3 MAX 5");
	LINE("UID SEARCH RETURN (COUNT) FLAGGED", " UID COUNT 2");
	LINE("UID SEARCH RETURN (ALL COUNT MIN MAX) CHARSET UTF-8 FLAGGED",
		" UID MIN 4 MAX 6 COUNT 2 ALL 4,6");
	LINE("SEARCH RETURN (MIN MAX ALL COUNT) SUBJECT nowhere", " COUNT 0");
	LINE("SEARCH RETURN (ALL) SUBJECT nowhere", "");
	SILENT(c, "* SEARCH");
	EXPECT(c, "BAD", "SEARCH RETURN (NONE) ALL");
	EXPECT(c, "BAD", "SEARCH RETURN () ");
	EXPECT(c, "BAD", "SEARCH RETURN ALL");
	EXPECT(c, "OK", "SEARCH ALL");
	SAID(c, "* SEARCH 1 2 3 4 5\r\n");
}

static void
test_rev2_answers_by_esearch(void **state)
{
	(void)state;
	messages(3);
	session_of_client()->modes |= MODE_REV2;
	LINE("SEARCH ALL", " ALL 1:3");
	LINE("UID SEARCH FLAGGED", " UID ALL 2");
	SILENT(c, "* SEARCH");
}

static void
test_partial(void **state)
{
	static const struct {
		const char *range, *want;
	} rows[] = {
		{ "1:2", "1:2 1:2" },
		{ "2:4", "2:4 2:4" },
		{ "4:2", "4:2 2:4" },
		{ "4:9", "4:9 4,6" },
		{ "6:9", "6:9 NIL" },
		{ "-1:-2", "-1:-2 4,6" },
		{ "-2:-9", "-2:-9 1:4" },
		{ "-6:-9", "-6:-9 NIL" },
		{ "-1:-1", "-1:-1 6" },
		{ "4294967295:4294967295", "4294967295:4294967295 NIL" },
	};

	(void)state;
	messages(6);
	EXPECT(c, "OK", "STORE 5 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char command[120], want[120];

		(void)snprintf(command, sizeof command, "UID SEARCH RETURN (PARTIAL %s COUNT) ALL",
			rows[i].range);
		(void)snprintf(want, sizeof want, " UID COUNT 5 PARTIAL (%s)", rows[i].want);
		expect_line(command, want, __LINE__);
	}
	EXPECT(c, "BAD", "SEARCH RETURN (PARTIAL 1:2 ALL) ALL");
	EXPECT(c, "BAD", "SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL");
	EXPECT(c, "BAD", "SEARCH RETURN (PARTIAL 0:2) ALL");
	EXPECT(c, "BAD", "SEARCH RETURN (PARTIAL 1:-2) ALL");
	EXPECT(c, "BAD", "SEARCH RETURN (PARTIAL -1:2) ALL");
	EXPECT(c, "BAD", "SEARCH RETURN (PARTIAL 1:4294967296) ALL");
}

static void
searchres(void **state)
{
	(void)state;
	RAN();
	messages(6);
	EXPECT(c, "OK", "FETCH $ UID");
	SILENT(c, "FETCH (");
	EXPECT(c, "OK", "SEARCH RETURN (SAVE) FLAGGED");
	SILENT(c, "* ESEARCH");
	SILENT(c, "* SEARCH");
	EXPECT(c, "OK", "FETCH $ UID");
	SAID(c, "* 2 FETCH (UID 2)\r\n* 4 FETCH (UID 4)\r\n* 6 FETCH (UID 6)\r\n");
	EXPECT(c, "OK", "UID FETCH $ FLAGS");
	SAID(c, "* 4 FETCH (");
	SILENT(c, "* 3 FETCH (");
	EXPECT(c, "OK", "SEARCH $ 3:6");
	SAID(c, "* SEARCH 4 6\r\n");
	EXPECT(c, "OK", "UID SEARCH NOT UID $");
	SAID(c, "* SEARCH 1 3 5\r\n");
	EXPECT(c, "OK", "SEARCH OR $ 1");
	SAID(c, "* SEARCH 1 2 4 6\r\n");
	/* a later one replaces it, what is gone leaves it, and numbers move */
	EXPECT(c, "OK", "STORE $ +FLAGS.SILENT (\\Answered)");
	EXPECT(c, "OK", "SEARCH ANSWERED");
	SAID(c, "* SEARCH 2 4 6\r\n");
	EXPECT(c, "OK", "STORE 1,4 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(c, "OK", "FETCH $ UID");
	SAID(c, "* 1 FETCH (UID 2)\r\n* 4 FETCH (UID 6)\r\n");
	SILENT(c, "UID 4");
	/* a set stands alone */
	EXPECT(c, "BAD", "FETCH $,1 UID");
	EXPECT(c, "BAD", "FETCH 1,$ UID");
	EXPECT(c, "BAD", "FETCH $:1 UID");
	/* copied, moved, expunged by it */
	EXPECT(c, "OK", "CREATE Other");
	EXPECT(c, "OK [COPYUID", "COPY $ Other");
	EXPECT(c, "OK", "STORE $ +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "UID EXPUNGE $");
	EXPECT(c, "OK", "SEARCH ALL");
	SAID(c, "* SEARCH 1 2\r\n");
	EXPECT(c, "OK", "FETCH $ UID");
	SILENT(c, "FETCH (");
}

static void
test_what_is_saved(void **state)
{
	static const struct {
		const char *options, *want;
	} rows[] = {
		{ "SAVE", " 2 4 6" },
		{ "SAVE ALL", " 2 4 6" },
		{ "SAVE COUNT", " 2 4 6" },
		{ "SAVE MIN", " 2" },
		{ "MAX SAVE", " 6" },
		{ "MIN MAX SAVE", " 2 6" },
		{ "MIN MAX SAVE COUNT", " 2 4 6" },
		{ "SAVE PARTIAL 2:2", " 4" },
		{ "SAVE PARTIAL 2:9 MIN", " 2 4 6" },
		{ "SAVE PARTIAL -2:-2 MAX", " 4 6" },
		{ "SAVE PARTIAL 7:9", "" },
	};

	(void)state;
	messages(6);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char want[40];

		(void)snprintf(want, sizeof want, "* SEARCH%s\r\n", rows[i].want);
		EXPECT(c, "OK", "SEARCH RETURN (%s) FLAGGED", rows[i].options);
		EXPECT(c, "OK", "SEARCH $");
		said_at(c, want, true, rows[i].options, __LINE__);
	}
	/* BAD leaves it, NO empties it, another mailbox too */
	EXPECT(c, "OK", "SEARCH RETURN (SAVE) 3");
	EXPECT(c, "BAD", "SEARCH RETURN (SAVE) NONSENSE");
	EXPECT(c, "OK", "SEARCH $");
	SAID(c, "* SEARCH 3\r\n");
	EXPECT(c, "NO", "SEARCH RETURN (SAVE) CHARSET x-none SUBJECT x");
	EXPECT(c, "OK", "SEARCH $");
	SAID(c, "* SEARCH\r\n");
	EXPECT(c, "OK", "SEARCH RETURN (SAVE) 3");
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "SEARCH $");
	SAID(c, "* SEARCH\r\n");
	/* with QRESYNC, too; not as UIDs that a client knows */
	EXPECT(c, "OK", "ENABLE QRESYNC");
	EXPECT(c, "OK", "SEARCH RETURN (SAVE) 3:4");
	EXPECT(c, "OK", "UID FETCH $ (FLAGS) (CHANGEDSINCE 1 VANISHED)");
	SAID(c, "* 3 FETCH (UID 3 ");
	SILENT(c, "* 5 FETCH (");
	EXPECT(c, "BAD", "SELECT INBOX (QRESYNC (1 1 $))");
	EXPECT(c, "OK", "SELECT INBOX");
	/* both in one write */
	client_sendz(c, "x1 SEARCH RETURN (SAVE) 5\r\nx2 FETCH $ UID\r\n");
	EXPECT(c, "OK", "NOOP");
	SAID(c, "* 5 FETCH (UID 5)\r\n");
}

static void
within(void **state)
{
	char when[60];
	time_t t = time(NULL) - 3600;
	struct tm tm;

	(void)state;
	RAN();
	assert_non_null(gmtime_r(&t, &tm));
	assert_true(strftime(when, sizeof when, "\"%d-%b-%Y %H:%M:%S +0000\"", &tm) != 0);
	append(c, "INBOX", when, mail1);
	append(c, "INBOX", "\"20-Nov-2020 09:00:00 +0100\"", mail1);
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "SEARCH YOUNGER 1800");
	SAID(c, "* SEARCH 3\r\n");
	EXPECT(c, "OK", "SEARCH YOUNGER 7200");
	SAID(c, "* SEARCH 1 3\r\n");
	EXPECT(c, "OK", "SEARCH OLDER 1800 OLDER 7200");
	SAID(c, "* SEARCH 2\r\n");
	EXPECT(c, "OK", "SEARCH OLDER 3600");
	SAID(c, "* SEARCH 1 2\r\n");
	EXPECT(c, "OK", "SEARCH OLDER 4294967295");
	SAID(c, "* SEARCH\r\n");
	EXPECT(c, "BAD", "SEARCH OLDER 0");
	EXPECT(c, "BAD", "SEARCH YOUNGER x");
	EXPECT(c, "BAD", "SEARCH YOUNGER 4294967296");
}

static void
test_saved_dates(void **state)
{
	time_t t = time(NULL);
	char today[40], next[40];
	struct tm tm;

	(void)state;
	messages(1);
	assert_true(strftime(today, sizeof today, "%d-%b-%Y", gmtime_r(&t, &tm)) != 0);
	t += 86400;
	assert_true(strftime(next, sizeof next, "%d-%b-%Y", gmtime_r(&t, &tm)) != 0);
	append(c, "INBOX", "\"20-Nov-2020 09:00:00 +0100\"", mail1);
	EXPECT(c, "OK", "SEARCH SAVEDSINCE 21-Nov-2020 SAVEDATESUPPORTED");
	SAID(c, "* SEARCH 1 2\r\n");
	EXPECT(c, "OK", "SEARCH OR SAVEDON %s SAVEDON %s", today, next);
	SAID(c, "* SEARCH 1 2\r\n");
	EXPECT(c, "OK", "SEARCH SAVEDBEFORE 21-Nov-2020");
	SAID(c, "* SEARCH\r\n");
	EXPECT(c, "OK", "SEARCH SAVEDBEFORE 1-Jan-2100 SAVEDON 1-Jan-2100");
	SAID(c, "* SEARCH\r\n");
}

static void
test_modseq(void **state)
{
	(void)state;
	messages(3);
	EXPECT(c, "OK", "STORE 2 +FLAGS (\\Seen)");
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Seen)");
	EXPECT(c, "OK", "SEARCH MODSEQ 1");
	SAID(c, "* SEARCH 1 2 3 (MODSEQ ");
	struct str s = buf_str(&c->in);
	size_t at = str_find(s, STR("(MODSEQ ")) + 8;
	struct str digits = str_sub(s, at, str_chr(str_from(s, at), ')'));
	uint64_t top;
	char want[80];

	assert_int_equal(str_to_u64(digits, UINT64_MAX, &top), ERR_OK);
	EXPECT(c, "OK", "SEARCH MODSEQ %llu", (unsigned long long)top);
	(void)snprintf(want, sizeof want, "* SEARCH 1 (MODSEQ %llu)\r\n", (unsigned long long)top);
	SAID(c, want);
	EXPECT(c, "OK", "SEARCH MODSEQ %llu", (unsigned long long)top - 1);
	SAID(c, "* SEARCH 1 2 (MODSEQ ");
	EXPECT(c, "OK", "SEARCH MODSEQ \"/flags/\\\\draft\" all %llu", (unsigned long long)top);
	SAID(c, want);
	EXPECT(c, "OK", "SEARCH MODSEQ %llu", (unsigned long long)top + 1);
	SAID(c, "* SEARCH\r\n");
	EXPECT(c, "OK", "SEARCH RETURN (MAX) 1:2 MODSEQ 1");
	(void)snprintf(want, sizeof want, " MAX 2 MODSEQ %llu\r\n", (unsigned long long)top - 1);
	SAID(c, want);
	EXPECT(c, "OK", "SEARCH RETURN (MIN MAX) 1:2 MODSEQ 1");
	(void)snprintf(want, sizeof want, " MIN 1 MAX 2 MODSEQ %llu\r\n", (unsigned long long)top);
	SAID(c, want);
	EXPECT(c, "BAD", "SEARCH MODSEQ x");
	EXPECT(c, "BAD", "SEARCH MODSEQ \"/other/x\" all 1");
	EXPECT(c, "BAD", "SEARCH MODSEQ \"/flags/x\" some 1");
}

static void
inprogress(void **state)
{
	int64_t usual = w.imap.limits.progress_ms;
	char big[16384];

	(void)state;
	RAN();
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	for (int i = 0; i < 40; i++)
		EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\n\r\n%s", sizeof big + 1, big);
	EXPECT(c, "OK", "SELECT INBOX");
	w.imap.limits.progress_ms = 0;
	EXPECT(c, "OK", "SEARCH BODY xxxxxxxy BODY nothing");
	SAID(c, "* OK [INPROGRESS (\"t");
	SAID(c, " 40)] ");
	struct str s = buf_str(&c->in);

	/* before the answer, never in it */
	assert_true(str_find(s, STR("INPROGRESS")) < str_find(s, STR("* SEARCH\r\n")));
	w.imap.limits.progress_ms = usual;
	EXPECT(c, "OK", "SEARCH BODY xxxxxxxy");
	SILENT(c, "INPROGRESS");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(esearch),
		TEST(test_rev2_answers_by_esearch),
		TEST(test_partial),
		TEST(searchres),
		TEST(test_what_is_saved),
		TEST(within),
		TEST(test_saved_dates),
		TEST(test_modseq),
		TEST(inprogress),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
