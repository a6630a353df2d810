/* SEARCH's extensions and SORT on a worker of imap in this process. */
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
	/* of a range, what is returned; with COUNT of all */
	EXPECT(c, "OK", "SEARCH RETURN (PARTIAL 2:3) MODSEQ 1");
	(void)snprintf(want, sizeof want, " MODSEQ %llu PARTIAL (2:3 2:3)\r\n",
		(unsigned long long)top - 1);
	SAID(c, want);
	EXPECT(c, "OK", "SEARCH RETURN (PARTIAL -1:-2 MIN) MODSEQ 1");
	(void)snprintf(want, sizeof want, " MIN 1 MODSEQ %llu PARTIAL (-1:-2 2:3)\r\n",
		(unsigned long long)top);
	SAID(c, want);
	EXPECT(c, "OK", "UID SORT RETURN (PARTIAL 2:2) (ARRIVAL) UTF-8 MODSEQ 1");
	(void)snprintf(want, sizeof want, " UID MODSEQ %llu PARTIAL (2:2 2)\r\n",
		(unsigned long long)top - 1);
	SAID(c, want);
	EXPECT(c, "OK", "SEARCH RETURN (PARTIAL 4:9) MODSEQ 1");
	SAID(c, "\") PARTIAL (4:9 NIL)\r\n");
	EXPECT(c, "OK", "SEARCH RETURN (PARTIAL 3:3 COUNT) MODSEQ 1");
	(void)snprintf(want, sizeof want, " COUNT 3 MODSEQ %llu PARTIAL (3:3 3)\r\n",
		(unsigned long long)top);
	SAID(c, want);
	EXPECT(c, "BAD", "SEARCH MODSEQ x");
	EXPECT(c, "BAD", "SEARCH MODSEQ \"/other/x\" all 1");
	EXPECT(c, "BAD", "SEARCH MODSEQ \"/flags/x\" some 1");
}

static void
inprogress(void **state)
{
	const struct imap_limits usual = w.imap.limits;
	char big[16384];

	(void)state;
	RAN();
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	for (int i = 0; i < 40; i++)
		EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\n\r\n%s", sizeof big + 1, big);
	EXPECT(c, "OK", "SELECT INBOX");
	/* however fast the machine is */
	w.imap.limits.progress_ms = 0;
	w.imap.limits.step_us = 0;
	EXPECT(c, "OK", "SEARCH BODY xxxxxxxy BODY nothing");
	SAID(c, "* OK [INPROGRESS (\"t");
	SAID(c, " 40)] ");
	struct str s = buf_str(&c->in);

	/* before the answer, never in it */
	assert_true(str_find(s, STR("INPROGRESS")) < str_find(s, STR("* SEARCH\r\n")));
	/* of a part of the mailbox, how many that is */
	EXPECT(c, "OK", "UID SEARCH UID 11:30 BODY xxxxxxxy BODY nothing");
	SAID(c, " 20)] ");
	SILENT(c, " 40)] ");
	/* a tag that would end the code: RFC 9585 4 */
	buf_reset(&c->in);
	client_sendz(c, "a] SEARCH BODY xxxxxxxy BODY nothing\r\n");
	assert_true(client_await(c, "a] OK ", false, CLIENT_WAIT_MS));
	SAID(c, "* OK [INPROGRESS (NIL ");
	SILENT(c, "(\"");
	w.imap.limits = usual;
	EXPECT(c, "OK", "SEARCH BODY xxxxxxxy");
	SILENT(c, "INPROGRESS");
}

/* What is done grows, and is less than what is to be done: RFC 9585 4. Returns how often it was
 * said. */
static unsigned
progress_grows(struct str s)
{
	static const char start[] = "* OK [INPROGRESS (\"";
	unsigned long long before = 0, done, goal, first = 0;
	unsigned said = 0;

	for (size_t at; (at = str_find(s, str_of(start))) < s.n; said++) {
		char line[128];
		char *end;

		s = str_from(s, at + sizeof start - 1);
		(void)snprintf(line, sizeof line, "%.*s", (int)str_chr(s, ')'), s.p);
		done = strtoull(strchr(line, ' '), &end, 10);
		assert_true(done >= before);
		before = done;
		goal = strtoull(end, NULL, 10);
		assert_true(goal == 0 ? strcmp(end, " NIL") == 0 : goal > done);
		if (said == 0)
			first = goal;
		assert_int_equal(goal, first);
	}
	return said;
}

/* First all are looked at, then what was found is put in order. */
static void
test_progress_in_two_phases(void **state)
{
	static const char *const commands[] = {
		"SORT (SUBJECT FROM) UTF-8 NOT BODY nothing",
		"THREAD REFERENCES UTF-8 NOT BODY nothing",
		"SEARCH NOT BODY nothing",
	};
	const struct imap_limits usual = w.imap.limits;

	(void)state;
	messages(50);
	for (int i = 0; i < 7; i++)
		EXPECT(c, "OK", "COPY 1:* INBOX");
	w.imap.limits.progress_ms = 0;
	w.imap.limits.step_us = 0;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		EXPECT(c, "OK", "%s", commands[i]);
		assert_true(progress_grows(buf_str(&c->in)) > 0);
	}
	w.imap.limits = usual;
}

static void
test_progress_of_order(void **state)
{
	static const struct {
		const char *command, *answer;
	} rows[] = {
		{ "SORT (SUBJECT FROM) UTF-8 ALL", "* SORT " },
		{ "THREAD REFERENCES UTF-8 ALL", "* THREAD " },
		{ "THREAD ORDEREDSUBJECT UTF-8 ALL", "* THREAD " },
	};
	const struct imap_limits usual = w.imap.limits;

	(void)state;
	messages(50);
	for (int i = 0; i < 8; i++)
		EXPECT(c, "OK", "COPY 1:* INBOX");
	w.imap.limits.progress_ms = 0;
	w.imap.limits.step_us = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		EXPECT(c, "OK", "%s", rows[i].command);
		SAID(c, " 12800)] ");
		struct str s = buf_str(&c->in);

		assert_true(str_find(s, STR("INPROGRESS")) < str_find(s, str_of(rows[i].answer)));
		assert_true(progress_grows(s) > 0);
	}
	w.imap.limits = usual;
}

/* ---- SORT ---- */

enum { MODEL_MESSAGES = 300 };

/* What a message's keys are, known as it was made. */
struct model_message {
	int64_t arrival, date;
	size_t size;
	const char *cc, *from, *to, *subject; /* in capitals */
	const char *from_display;
};
static struct model_message model[MODEL_MESSAGES];

static struct {
	const char *name;
	enum { M_ARRIVAL, M_DATE, M_SIZE, M_CC, M_FROM, M_TO, M_SUBJECT, M_DISPLAY } kind;
} model_keys[] = {
	{ "ARRIVAL", M_ARRIVAL },
	{ "DATE", M_DATE },
	{ "SIZE", M_SIZE },
	{ "CC", M_CC },
	{ "FROM", M_FROM },
	{ "TO", M_TO },
	{ "SUBJECT", M_SUBJECT },
	{ "DISPLAYFROM", M_DISPLAY },
};

static unsigned model_seed = 7;

static unsigned
pick(unsigned n)
{
	model_seed = model_seed * 1103515245u + 12345u;
	return (model_seed >> 16) % n;
}

static void
model_add(unsigned i)
{
	static const char *const people[][3] = {
		{ "\"Zoe \\\"Z\\\"\" <ann@example.org>", "ANN", "ZOE \"Z\"" },
		{ "Bob@example.net", "BOB", "BOB@EXAMPLE.NET" },
		{ "=?utf-8?Q?Robert?= <carol@example.org>", "CAROL", "ROBERT" },
		{ "dave@example.org (The Dave)", "DAVE", "THE DAVE" },
	};
	static const char *const subjects[][2] = {
		{ "Lunch", "LUNCH" },
		{ "Re: [list] lunch (fwd)", "LUNCH" },
		{ "=?iso-8859-1?Q?budget?=", "BUDGET" },
		{ "Fwd: Lunches\r\n and   more", "LUNCHES AND MORE" },
		{ "re: re:", "" },
	};
	struct model_message *m = &model[i];
	unsigned from = pick(4), to = pick(5), cc = pick(6), subject = pick(5);
	unsigned day = 1 + pick(28), hour = pick(24), zone = pick(3);
	char date[80] = "", text[900];

	m->arrival = pick(50);
	m->date = (int64_t)day * 86400 + hour * 3600 - zone * 3600;
	if (pick(5) != 0)
		(void)snprintf(date, sizeof date, "Date: %u Nov 2026 %02u:00:00 +0%u00\r\n", day,
			hour, zone);
	else
		m->date = m->arrival + (int64_t)86400 * 21 - 86400;
	m->from = people[from][1];
	m->from_display = people[from][2];
	m->to = to < 4 ? people[to][1] : "";
	m->cc = cc < 4 ? people[cc][1] : "";
	m->subject = subjects[subject][1];
	m->size = (size_t)snprintf(text, sizeof text,
		"From: %s\r\n%sSubject: %s\r\n%s%s%s%s%s%s\r\n%.*s", people[from][0], date,
		subjects[subject][0], to < 4 ? "To: " : "", to < 4 ? people[to][0] : "",
		to < 4 ? ", x@y\r\n" : "", cc < 4 ? "Cc: " : "", cc < 4 ? people[cc][0] : "",
		cc < 4 ? "\r\n" : "", (int)pick(20), "12345678901234567890");
	EXPECT(c, "OK", "APPEND INBOX \"20-Nov-2026 00:00:%02u +0000\" {%zu+}\r\n%s",
		(unsigned)m->arrival, m->size, text);
}

static int
model_compare_key(const struct model_message *a, const struct model_message *b, int kind)
{
	switch (kind) {
	case M_ARRIVAL:
		return a->arrival < b->arrival ? -1 : a->arrival > b->arrival;
	case M_DATE:
		return a->date < b->date ? -1 : a->date > b->date;
	case M_SIZE:
		return a->size < b->size ? -1 : a->size > b->size;
	case M_CC:
		return strcmp(a->cc, b->cc);
	case M_FROM:
		return strcmp(a->from, b->from);
	case M_TO:
		return strcmp(a->to, b->to);
	case M_SUBJECT:
		return strcmp(a->subject, b->subject);
	}
	return strcmp(a->from_display, b->from_display);
}

/* The slowest sort there is, by the criteria alone. */
static void
model_sort(const int *kinds, const bool *reverse, size_t n, unsigned *order)
{
	for (unsigned i = 0; i < MODEL_MESSAGES; i++) {
		unsigned k = i;

		for (; k > 0; k--) {
			int d = 0;

			for (size_t x = 0; x < n && d == 0; x++)
				d = model_compare_key(&model[i], &model[order[k - 1]], kinds[x]) *
				    (reverse[x] ? -1 : 1);
			if (d >= 0)
				break;
			order[k] = order[k - 1];
		}
		order[k] = i;
	}
}

static void
sort_like_model(void)
{
	char criteria[200] = "";
	int kinds[4];
	bool reverse[4];
	unsigned order[MODEL_MESSAGES];
	size_t n = 1 + pick(3);
	struct buf want;

	for (size_t i = 0; i < n; i++) {
		size_t key = pick(ARRAY_LEN(model_keys)), at = strlen(criteria);

		kinds[i] = (int)model_keys[key].kind;
		reverse[i] = pick(2) != 0;
		(void)snprintf(criteria + at, sizeof criteria - at, "%s%s%s", i != 0 ? " " : "",
			reverse[i] ? "REVERSE " : "", model_keys[key].name);
	}
	model_sort(kinds, reverse, n, order);
	buf_init(&want, 16384);
	buf_addz(&want, "* SORT");
	for (unsigned i = 0; i < MODEL_MESSAGES; i++)
		buf_addf(&want, " %u", order[i] + 1);
	buf_addz(&want, "\r\n");
	EXPECT(c, "OK", "SORT (%s) UTF-8 ALL", criteria);
	said_at(c, buf_z(&want), true, criteria, __LINE__);
	buf_fini(&want);
}

static void
sort(void **state)
{
	(void)state;
	RAN();
	for (unsigned i = 0; i < MODEL_MESSAGES; i++)
		model_add(i);
	EXPECT(c, "OK", "SELECT INBOX");
	for (int i = 0; i < 60; i++)
		sort_like_model();
	EXPECT(c, "OK", "UID SORT (ARRIVAL) UTF-8 1:2 UNSEEN SUBJECT none");
	SAID(c, "* SORT\r\n");
	EXPECT(c, "NO [BADCHARSET", "SORT (DATE) x-none SUBJECT x");
	EXPECT(c, "BAD", "SORT (DATE) UTF-8");
	EXPECT(c, "BAD", "SORT (REVERSE) UTF-8 ALL");
	EXPECT(c, "BAD", "SORT () UTF-8 ALL");
	EXPECT(c, "BAD", "SORT (COLOUR) UTF-8 ALL");
	EXPECT(c, "BAD", "SORT DATE UTF-8 ALL");
}

/* n-th message: From, To and Subject. */
static void
addressed(const char *from, const char *to, const char *subject)
{
	char text[1000];

	(void)snprintf(text, sizeof text, "From: %s\r\nTo: %s\r\nSubject: %s\r\n\r\nx\r\n", from,
		to, subject);
	append(c, "INBOX", "()", text);
}

static void
sort_display(void **state)
{
	(void)state;
	RAN();
	addressed("\"Zed\" <a@example.org>", "group: b@x;", "x");
	addressed("=?utf-8?Q?=C3=A9mile?= <z@example.org>", "Ann <z@x>", "x");
	addressed("m@example.org", "undisclosed-recipients:;", "x");
	addressed("Emily <q@example.org>", "", "x");
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "SORT (DISPLAYFROM) UTF-8 ALL");
	SAID(c, "* SORT 4 2 3 1\r\n");
	EXPECT(c, "OK", "SORT (FROM) UTF-8 ALL");
	SAID(c, "* SORT 1 3 4 2\r\n");
	EXPECT(c, "OK", "SORT (REVERSE DISPLAYTO) UTF-8 ALL");
	SAID(c, "* SORT 3 1 2 4\r\n");
	/* a name that decodes to nothing is none: RFC 5957 3 */
	addressed("=?utf-8?Q?"
		  "?= <fanny@example.org>",
		"", "x");
	EXPECT(c, "OK", "SORT (DISPLAYFROM) UTF-8 ALL");
	SAID(c, "* SORT 4 2 5 3 1\r\n");
}

static void
esort(void **state)
{
	(void)state;
	RAN();
	for (int i = 0; i < 6; i++)
		EXPECT(c, "OK", "APPEND INBOX \"20-Nov-2026 00:00:0%d +0000\" {4+}\r\n\r\nx\n",
			(i * 5 + 2) % 6);
	EXPECT(c, "OK", "SELECT INBOX");
	/* seconds 2 1 0 5 4 3 */
	EXPECT(c, "OK", "SORT (ARRIVAL) UTF-8 ALL");
	SAID(c, "* SORT 3 2 1 6 5 4\r\n");
	LINE("SORT RETURN () (REVERSE ARRIVAL) UTF-8 ALL", " ALL 4:6,1:3");
	LINE("UID SORT RETURN (MIN MAX COUNT) (ARRIVAL) UTF-8 ALL", " UID MIN 3 MAX 4 COUNT 6");
	LINE("SORT RETURN (PARTIAL 2:4) (ARRIVAL) UTF-8 ALL", " PARTIAL (2:4 2,1,6)");
	LINE("SORT RETURN (PARTIAL -1:-2) (ARRIVAL) UTF-8 ALL", " PARTIAL (-1:-2 5,4)");
	LINE("SORT RETURN (COUNT ALL) (ARRIVAL) UTF-8 SUBJECT none", " COUNT 0");
	EXPECT(c, "OK", "SORT RETURN (SAVE MIN) (ARRIVAL) UTF-8 ALL");
	EXPECT(c, "OK", "SEARCH $");
	SAID(c, "* SEARCH 3\r\n");
	EXPECT(c, "OK", "SORT RETURN (SAVE) (ARRIVAL) UTF-8 4:6");
	SILENT(c, "* ESEARCH");
	EXPECT(c, "OK", "SORT (REVERSE ARRIVAL) UTF-8 $");
	SAID(c, "* SORT 4 5 6\r\n");
	EXPECT(c, "OK", "SORT RETURN (SAVE PARTIAL 2:4) (ARRIVAL) UTF-8 ALL");
	EXPECT(c, "OK", "SEARCH $");
	SAID(c, "* SEARCH 1 2 6\r\n");
	EXPECT(c, "OK", "SORT (ARRIVAL) UTF-8 MODSEQ 1");
	SAID(c, "* SORT 3 2 1 6 5 4 (MODSEQ ");
}

static void
i18nlevel(void **state)
{
	(void)state;
	RAN();
	addressed("a@x", "b@x", "=?utf-8?Q?=C3=84rger?=");
	addressed("a@x", "b@x", "=?utf-8?Q?A=CC=88rger_2?=");
	addressed("a@x", "b@x", "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=");
	addressed("a@x", "b@x", "=?koi8-r?B?8NLJ18XU?=");
	addressed("a@x", "b@x", "=?utf-8?B?77yh?= wide");
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "SEARCH CHARSET UTF-8 SUBJECT {6+}\r\n\xc3\xa4RGER");
	SAID(c, "* SEARCH 1 2\r\n");
	EXPECT(c, "OK", "SEARCH CHARSET UTF-8 SUBJECT {6+}\r\n\xe6\x97\xa5\xe6\x9c\xac");
	SAID(c, "* SEARCH 3\r\n");
	EXPECT(c, "OK", "SEARCH CHARSET KOI8-R SUBJECT {6+}\r\n\xd0\xd2\xc9\xd7\xc5\xd4");
	SAID(c, "* SEARCH 4\r\n");
	EXPECT(c, "OK", "SEARCH CHARSET UTF-8 SUBJECT \"a wide\"");
	SAID(c, "* SEARCH 5\r\n");
	/* a composed letter and its parts are one and the same; wide letters are letters */
	EXPECT(c, "OK", "SORT (SUBJECT) UTF-8 ALL");
	SAID(c, "* SORT 5 1 2 4 3\r\n");
}

/* Beyond 256 KiB a text is searched on the pool; the answers are the same. */
static void
test_large_texts(void **state)
{
	enum { BODY = 400000 };
	static const struct {
		const char *keys, *answer;
	} rows[] = {
		{ "BODY needle", "* SEARCH 1 3\r\n" },
		{ "NOT BODY needle", "* SEARCH 2\r\n" },
		{ "TEXT needle NOT BODY haystack", "* SEARCH 3\r\n" },
		{ "OR BODY haystack HEADER X-Far away", "* SEARCH 1 2\r\n" },
		{ "HEADER X-Far \"\"", "* SEARCH 2\r\n" },
		{ "BODY x-far", "* SEARCH\r\n" },
		{ "TEXT x-far", "* SEARCH 2\r\n" },
		{ "BODY needle BODY needle OR (BODY needle) (TEXT nothing)", "* SEARCH 1 3\r\n" },
	};
	char *body = xmalloc(BODY + 1);
	struct buf many;

	(void)state;
	memset(body, 'y', BODY);
	for (size_t i = 77; i < BODY; i += 78)
		body[i] = '\n';
	body[BODY] = '\0';
	EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\nSubject: a\r\n\r\nhaystack\r\n%sneedle\r\n",
		strlen("Subject: a\r\n\r\nhaystack\r\nneedle\r\n") + BODY, body);
	EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\nX-Far: away\r\n\r\n%s",
		strlen("X-Far: away\r\n\r\n") + BODY, body);
	append(c, "INBOX", "()", "Subject: small\r\n\r\nneedle\r\n");
	EXPECT(c, "OK", "SELECT INBOX");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		EXPECT(c, "OK", "SEARCH %s", rows[i].keys);
		SAID(c, rows[i].answer);
	}
	/* more keys than answers are kept of one message */
	buf_init(&many, 4096);
	for (int i = 0; i < 40; i++)
		buf_addf(&many, " BODY needle NOT BODY no%d", i);
	EXPECT(c, "OK", "SEARCH%.*s", STR_FMT(buf_str(&many)));
	SAID(c, "* SEARCH 1 3\r\n");
	buf_fini(&many);
	/* a client that leaves meanwhile */
	struct client *gone = second();

	EXPECT(gone, "OK", "SELECT INBOX");
	client_sendz(gone, "x SEARCH BODY nothing\r\n");
	client_free(gone);
	EXPECT(c, "OK", "SEARCH BODY needle");
	SAID(c, "* SEARCH 1 3\r\n");
	free(body);
}

/* Keys that each read a text that is not large are together as long as one large text: others are
 * answered in between. */
static void
test_many_keys_for_texts(void **state)
{
	enum { BODY = 60000, KEYS = 300 };
	static const char *const fields[] = { "BODY", "TEXT", "SUBJECT", "X-FAR" };
	char *body = xmalloc(BODY + 1);
	struct client *other;
	struct buf keys;

	(void)state;
	memset(body, 'y', BODY);
	for (size_t i = 77; i < BODY; i += 78)
		body[i] = '\n';
	body[BODY] = '\0';
	EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\nSubject: a\r\nX-Far: b\r\n\r\n%s",
		strlen("Subject: a\r\nX-Far: b\r\n\r\n") + BODY, body);
	EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\nSubject: no7 %s\r\nX-Far: no8\r\n\r\nno9\r\n",
		strlen("Subject: no7 \r\nX-Far: no8\r\n\r\nno9\r\n") + 70,
		"0123456789"
		"012345678901234567890123456789012345678901234567890123456789");
	EXPECT(c, "OK", "SELECT INBOX");
	for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
		buf_init(&keys, 64 * 1024);
		for (int i = 0; i < KEYS; i++)
			buf_addf(&keys, " NOT %s%s no%d", f == 3 ? "HEADER " : "", fields[f], i);
		EXPECT(c, "OK", "SEARCH%.*s", STR_FMT(buf_str(&keys)));
		SAID(c, "* SEARCH 1\r\n");
		if (f == 0) {
			other = second();
			buf_reset(&c->in);
			client_sendz(c, "many SEARCH");
			client_send(c, buf_str(&keys));
			client_sendz(c, "\r\n");
			EXPECT(other, "OK", "NOOP");
			assert_false(client_has_line(buf_str(&c->in), "many "));
			assert_true(client_await(c, "many OK", false, CLIENT_WAIT_MS));
			SAID(c, "* SEARCH 1\r\n");
			client_free(other);
		}
		buf_fini(&keys);
	}
	free(body);
}

/* It is answered from bitmaps of 4,096 UIDs each. */
static void
test_unseen_of_many(void **state)
{
	struct client *other;

	(void)state;
	append(c, "INBOX", "(\\Seen)", "Subject: x\r\n\r\nx\r\n");
	EXPECT(c, "OK", "SELECT INBOX");
	for (int i = 0; i < 14; i++)
		EXPECT(c, "OK", "COPY 1:* INBOX");
	/* 16,384 of them; what COPY made is \Seen too */
	LINE("UID SEARCH RETURN (ALL) UNSEEN", " UID");
	EXPECT(c, "OK", "STORE 1,4095,4096,4097,4100:4103,12288,16384 -FLAGS.SILENT (\\Seen)");
	LINE("UID SEARCH RETURN (ALL) UNSEEN", " UID ALL 1,4095:4097,4100:4103,12288,16384");
	LINE("SEARCH RETURN (ALL COUNT) UNSEEN NOT 4096:4097",
		" COUNT 8 ALL 1,4095,4100:4103,12288,16384");
	LINE("UID SEARCH RETURN (ALL) (UNSEEN) UID 4096:12288",
		" UID ALL 4096:4097,4100:4103,12288");
	LINE("UID SEARCH RETURN (ALL) 4098:4099 UNSEEN", " UID");
	/* not by all keys: the others count as well */
	LINE("UID SEARCH RETURN (COUNT) NOT UNSEEN", " UID COUNT 16374");
	LINE("UID SEARCH RETURN (ALL) OR UNSEEN UID 5",
		" UID ALL 1,5,4095:4097,4100:4103,12288,16384");
	/* sequence numbers are this session's, whatever another one expunged and added */
	EXPECT(c, "OK", "STORE 1:3,4101 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	LINE("SEARCH RETURN (ALL) UNSEEN", " ALL 4092:4094,4097:4099,12284,16380");
	other = second();
	EXPECT(other, "OK", "SELECT INBOX");
	EXPECT(other, "OK", "STORE 4093 +FLAGS.SILENT (\\Deleted)");
	EXPECT(other, "OK", "EXPUNGE");
	append(other, "INBOX", "()", "Subject: new\r\n\r\nx\r\n");
	LINE("SEARCH RETURN (ALL) UNSEEN", " ALL 4092,4094,4097:4099,12284,16380");
	EXPECT(c, "OK", "NOOP");
	LINE("SEARCH RETURN (ALL) UNSEEN", " ALL 4092:4093,4096:4098,12283,16379:16380");
	client_free(other);
}

/* As deep as keys may be nested: each is judged once, not twice for every level above it. */
static void
test_nested_keys(void **state)
{
	static const struct {
		const char *open, *close;
		bool turns;
	} ways[] = { { "NOT ", "", true }, { "(", ")", false }, { "OR UID 9 ", "", false },
		{ "(ALL NOT ", ")", true }, { "NOT (ALL SENTSINCE 1-Jan-1990 ", ")", true } };
	static const char *const keys[] = { "SENTON 21-Nov-2026", "SUBJECT \"Lunch plans\" 1",
		"BODY Pasta", "FLAGGED" };
	struct buf b;

	(void)state;
	two_messages();
	buf_init(&b, 65536);
	for (size_t way = 0; way < ARRAY_LEN(ways); way++)
		for (size_t key = 0; key < ARRAY_LEN(keys); key++) {
			size_t depth = SEARCH_DEPTH_MAX - 2;
			bool found = key < 2;

			if (strchr(ways[way].open, '(') != NULL && ways[way].turns)
				depth /= 2;
			buf_reset(&b);
			for (size_t i = 0; i < depth; i++)
				buf_addz(&b, ways[way].open);
			buf_addf(&b, "(%s)", keys[key]);
			for (size_t i = 0; i < depth; i++)
				buf_addz(&b, ways[way].close);
			if (ways[way].turns && depth % 2 != 0)
				found = !found;
			EXPECT(c, "OK", "SEARCH RETURN (ALL) %s", buf_z(&b));
			SAID(c, found ? " ALL 1\r\n" : " ALL 2\r\n");
		}
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unseen_of_many),
		TEST(esearch),
		TEST(test_rev2_answers_by_esearch),
		TEST(test_partial),
		TEST(searchres),
		TEST(test_what_is_saved),
		TEST(within),
		TEST(test_saved_dates),
		TEST(test_modseq),
		TEST(inprogress),
		TEST(test_progress_of_order),
		TEST(test_progress_in_two_phases),
		TEST(sort),
		TEST(sort_display),
		TEST(esort),
		TEST(i18nlevel),
		TEST(test_large_texts),
		TEST(test_many_keys_for_texts),
		TEST(test_nested_keys),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
