/* APPEND in all its forms, REPLACE, literals: over a socketpair, as a client sees it. */
#define PROGRAM "append"
#include "imap_case.h"

#include <ftw.h>

#include "core/event/deflate.h"
#include "core/store/check.h"

/* ---- what is left on disk ---- */

static size_t files;

static int
count_file(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)path;
	(void)st;
	(void)f;
	files += type == FTW_F;
	return 0;
}

static size_t
files_below(const char *dir)
{
	char path[200];

	(void)snprintf(path, sizeof path, "%s/user%u/%s", w.dir, w.homes, dir);
	files = 0;
	(void)nftw(path, count_file, 8, FTW_PHYS);
	return files;
}

/* Bodies: n of them, nothing in tmp/. Waits for the pool, which may not even have begun with the
 * body of a command that is over. */
static void
expect_files_at(size_t n, int line)
{
	for (int i = 0; i < 1000 && (pool_busy(w.pool) != 0 || files_below("msg") != n ||
					    files_below("tmp") != 0);
		i++)
		client_rest(c, 10);
	size_t msg = files_below("msg"), tmp = files_below("tmp");

	if (msg != n || tmp != 0) {
		print_error("line %d: %zu in msg, %zu in tmp, wanted %zu\n", line, msg, tmp, n);
		fail();
	}
}
#define EXPECT_FILES(n) expect_files_at(n, __LINE__)

static unsigned
uidvalidity(const char *mailbox)
{
	EXPECT(c, "OK", "STATUS %s (UIDVALIDITY)", mailbox);
	struct str s = buf_str(&c->in);
	uint64_t v = 0;
	size_t at = str_find(s, STR("UIDVALIDITY ")) + 12;

	for (; at < s.n && ascii_is_digit(s.p[at]); at++)
		v = v * 10 + (uint64_t)(s.p[at] - '0');
	return (unsigned)v;
}

/* ---- MULTIAPPEND ---- */

static void
multiappend(void **state)
{
	char want[80];

	(void)state;
	RAN();
	(void)snprintf(want, sizeof want, "OK [APPENDUID %u 1:3]", uidvalidity("INBOX"));
	EXPECT(c, want,
		"APPEND INBOX (\\Seen) {8+}\r\nA: 1\r\n\r\n {8+}\r\nA: 2\r\n\r\n"
		" (\\Flagged $K) \"20-Nov-2020 09:00:00 +0100\" ~{8+}\r\nA: 3\r\n\r\n");
	EXPECT(c, "OK", "SELECT INBOX");
	SAID(c, "* 3 EXISTS");
	EXPECT(c, "OK", "FETCH 1:3 (FLAGS INTERNALDATE BODY.PEEK[])");
	SAID(c, "1 FETCH (FLAGS (\\Seen \\Recent)");
	SAID(c, "2 FETCH (FLAGS (\\Recent)");
	SAID(c, "3 FETCH (FLAGS (\\Flagged \\Recent $K) INTERNALDATE \"20-Nov-2020 09:00:00 "
		"+0100\"");
	SAID(c, "A: 3\r\n\r\n");
	EXPECT_FILES(3);
}

/* Keywords that are new to the mailbox, of several messages of one command. */
static void
test_multiappend_keywords(void **state)
{
	(void)state;
	EXPECT(c, "OK", "APPEND INBOX ($Old) {1+}\r\nx");
	EXPECT(c, "OK",
		"APPEND INBOX ($New Work) {1+}\r\na ($b) {1+}\r\nb (work $C $b) {1+}\r\nc {1+}\r\nd"
		" ($D $Old) {1+}\r\ne");
	EXPECT(c, "OK", "SELECT INBOX");
	SAID(c, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Old $New Work $b $C "
		"$D)\r\n");
	EXPECT(c, "OK", "FETCH 1:6 (FLAGS)");
	SAID(c, "1 FETCH (FLAGS (\\Recent $Old))");
	SAID(c, "2 FETCH (FLAGS (\\Recent $New Work))");
	SAID(c, "3 FETCH (FLAGS (\\Recent $b))");
	SAID(c, "4 FETCH (FLAGS (\\Recent Work $b $C))");
	SAID(c, "5 FETCH (FLAGS (\\Recent))");
	SAID(c, "6 FETCH (FLAGS (\\Recent $Old $D))");
}

/* All or nothing, whatever goes wrong, wherever. */
static void
test_multiappend_fails_whole(void **state)
{
	(void)state;
	EXPECT(c, "NO [TRYCREATE]", "APPEND none {2+}\r\nab {2+}\r\ncd");
	EXPECT(c, "NO An empty message", "APPEND INBOX {2+}\r\nab {0+}\r\n");
	EXPECT(c, "NO [TOOBIG]", "APPEND INBOX {2+}\r\nab {999999999999}");
	EXPECT(c, "BAD", "APPEND INBOX {2+}\r\nab (\\Nonsense) {3+}\r\nx y");
	EXPECT(c, "BAD", "APPEND INBOX {2+}\r\nab junk");
	EXPECT(c, "BAD", "APPEND INBOX {2+}\r\nab{2+}\r\ncd");
	EXPECT(c, "BAD", "APPEND INBOX {2+}\r\nab {2+}\r\ncd CATENATE ()");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES UIDNEXT)");
	SAID(c, "MESSAGES 0 UIDNEXT 1)");
	EXPECT_FILES(0);
}

/* A client that waits hears at the literal what is wrong, and goes on with its next command. */
static void
test_multiappend_waits(void **state)
{
	(void)state;
	buf_reset(&c->in);
	client_sendz(c, "m1 APPEND INBOX {2}\r\n");
	assert_true(client_await(c, "+ ", false, CLIENT_WAIT_MS));
	buf_reset(&c->in);
	client_sendz(c, "ab {2}\r\n");
	assert_true(client_await(c, "+ ", false, CLIENT_WAIT_MS));
	buf_reset(&c->in);
	client_sendz(c, "cd\r\n");
	assert_true(client_await(c, "m1 OK [APPENDUID", false, CLIENT_WAIT_MS));
	buf_reset(&c->in);
	client_sendz(c, "m2 APPEND INBOX {2+}\r\nab CATENATE (URL \"/INBOX/;UID=77\" TEXT {2}\r\n");
	assert_true(client_await(c, "m2 NO [BADURL", false, CLIENT_WAIT_MS));
	SILENT(c, "+ ");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "MESSAGES 2)");
	EXPECT_FILES(2);
}

/* The same for what is wrong in the line itself: RFC 9051 4.3 has the server ask for a literal or
 * refuse the command. Who does not wait is answered behind it. */
static void
test_wrong_arguments_before_a_literal(void **state)
{
	static const char *const lines[] = { "APPEND INBOX (\\Nonsense) {5}",
		"APPEND INBOX (\\Nonsense) {100000}", "APPEND INBOX () \"1-Foo-2026\" {5}",
		"REPLACE x INBOX {5}", "APPEND INBOX CATENATE (NONE {5}",
		"APPEND INBOX {2+}\r\nab (\\Nonsense) {5}",
		"APPEND none {2+}\r\nab {2+}\r\ncd (\\Nonsense) {5}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		EXPECT(c, i + 1 == ARRAY_LEN(lines) ? "NO [TRYCREATE]" : "BAD", "%s", lines[i]);
		SILENT(c, "+ ");
		SILENT(c, "LIMIT");
		EXPECT(c, "OK", "NOOP");
	}
	EXPECT(c, "BAD", "APPEND INBOX (\\Nonsense) {5+}\r\nhello");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "MESSAGES 0)");
	EXPECT_FILES(0);
	for (int i = 0; i < 20; i++)
		client_sendz(c, "x APPEND INBOX (\\Nonsense) {5}\r\n");
	assert_true(client_await(c, "* BYE", false, CLIENT_WAIT_MS));
}

static void
test_many_at_once(void **state)
{
	struct buf line;
	char large[400];

	(void)state;
	memset(large, 'x', sizeof large);
	buf_init(&line, 16 * 1024 * 1024);
	buf_addz(&line, "m1 APPEND INBOX");
	for (int i = 0; i < 300; i++)
		buf_addf(&line, " {%zu+}\r\n%.*s", sizeof large, (int)sizeof large, large);
	buf_addz(&line, "\r\n");
	buf_reset(&c->in);
	client_send(c, buf_str(&line));
	assert_true(client_await(c, "m1 OK [APPENDUID ", false, CLIENT_WAIT_MS));
	SAID(c, " 1:300]");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "MESSAGES 300)");
	/* one more than fits into one transaction */
	buf_reset(&line);
	buf_addz(&line, "m2 APPEND INBOX");
	for (int i = 0; i <= APPEND_SET_MAX; i++)
		buf_addz(&line, " {1+}\r\nx");
	buf_addz(&line, "\r\n");
	buf_reset(&c->in);
	client_send(c, buf_str(&line));
	assert_true(client_await(c, "m2 NO [LIMIT]", false, CLIENT_WAIT_MS));
	buf_fini(&line);
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "MESSAGES 300)");
	EXPECT_FILES(300);
}

/* ---- a client that vanishes ---- */

static void
vanish(const char *text)
{
	struct client *other = second();

	client_sendz(other, text);
	client_rest(c, 60);
	client_free(other);
	client_rest(c, 60);
}

static void
test_vanishing(void **state)
{
	static const char *const texts[] = {
		"v APPEND INBOX {100+}\r\nhalf of it",
		"v APPEND INBOX {2+}\r\nab",
		"v APPEND INBOX {2+}\r\nab {2+}\r\ncd {100+}\r\nhalf",
		"v APPEND INBOX {2+}\r\nab CATENATE (URL \"/INBOX/;UID=1\" TEXT {100+}\r\nhalf",
		"v APPEND INBOX CATENATE (URL \"/INBOX/;UID=1\" URL {100+}\r\nhalf",
		"v APPEND INBOX UTF8 (~{2+}\r\nab",
	};
	char *large = xmalloc(3 * 1024 * 1024);

	(void)state;
	append(c, "INBOX", "()", mail1);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		vanish(texts[i]);
		EXPECT_FILES(1);
	}
	/* one that lies in tmp/ when its client goes, behind one that was put */
	size_t n = (size_t)snprintf(large, 100, "v APPEND INBOX {2+}\r\nab {3000000+}\r\n");

	memset(large + n, 'x', 2500000);
	large[n + 2500000] = '\0';
	vanish(large);
	EXPECT_FILES(1);
	free(large);
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES UIDNEXT)");
	SAID(c, "MESSAGES 1 UIDNEXT 2)");
}

/* ---- CATENATE ---- */

static void
catenate(void **state)
{
	unsigned v;

	(void)state;
	RAN();
	append(c, "Drafts", "()", mail2);
	append(c, "INBOX", "()", mail1);
	v = uidvalidity("Drafts");
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK [APPENDUID",
		"APPEND INBOX (\\Seen) CATENATE (TEXT {6+}\r\nX: 1\r\n "
		"URL \"/Drafts;UIDVALIDITY=%u/;UID=1/;SECTION=1\" TEXT ~{2+}\r\n-- "
		"URL \"/Drafts/;UID=1/;SECTION=2.TEXT/;PARTIAL=0.5\" URL /INBOX/;UID=1)",
		v);
	EXPECT(c, "OK", "FETCH 2 (FLAGS BODY.PEEK[])");
	SAID(c, "FLAGS (\\Seen \\Recent) BODY[] {");
	SAID(c, "X: 1\r\nPasta--InnerFrom: Ann <ann@example.org>\r\n");
	SAID(c, "See you at noon.\r\n)\r\n");
	/* URLs alone: there is no literal at all */
	EXPECT(c, "OK [APPENDUID",
		"APPEND INBOX CATENATE (URL "
		"\"/Drafts/;UID=1/;SECTION=HEADER.FIELDS%%20(subject%%20to)\""
		" URL /Drafts/;UID=1/;section=1)");
	EXPECT(c, "OK", "FETCH 3 BODY.PEEK[]");
	SAID(c, "To: Ann <ann@example.org>\r\nSubject: Re: Lunch plans\r\n\r\nPasta)\r\n");
	/* as one of several messages, beside others */
	EXPECT(c, "OK [APPENDUID",
		"APPEND INBOX {2+}\r\nab CATENATE (TEXT {1+}\r\nx URL /INBOX/;UID=1/;SECTION=TEXT)"
		" (\\Flagged) {2+}\r\ncd");
	SAID(c, " 4:6]");
	EXPECT(c, "OK", "FETCH 5:6 (FLAGS BODY.PEEK[])");
	SAID(c, "BODY[] {19}\r\nxSee you at noon.\r\n)");
	SAID(c, "6 FETCH (FLAGS (\\Flagged \\Recent) BODY[] {2}\r\ncd)");
	EXPECT_FILES(7);
}

/* Relative to the selected mailbox, or without one to the root. RFC 4469 3. */
static void
test_relative_urls(void **state)
{
	static const char *const good[] = { ";UID=1", ";UID=1/;SECTION=TEXT", "b/;UID=1",
		"b/;UID=1/;PARTIAL=0.9", "/a/b/;UID=1", "%C3%A9/;UID=1" };
	unsigned v;

	(void)state;
	EXPECT(c, "OK", "CREATE a/b");
	EXPECT(c, "OK", "CREATE a/&AOk-");
	EXPECT(c, "OK", "CREATE b");
	append(c, "a/b", "()", mail1);
	append(c, "a/&AOk-", "()", mail1);
	v = uidvalidity("a/b");
	/* nothing is selected */
	EXPECT(c, "OK [APPENDUID", "APPEND INBOX CATENATE (URL a/b/;UID=1)");
	EXPECT(c, "NO [BADURL \"b/;UID=1\"]", "APPEND INBOX CATENATE (URL b/;UID=1)");
	EXPECT(c, "NO [BADURL", "APPEND INBOX CATENATE (URL ;UID=1)");
	EXPECT(c, "OK", "EXAMINE a/b");
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		EXPECT(c, "OK [APPENDUID", "APPEND INBOX CATENATE (URL \"%s\")", good[i]);
	EXPECT(c, "OK [APPENDUID", "APPEND INBOX CATENATE (URL b;UIDVALIDITY=%u/;UID=1)", v);
	EXPECT(c, "NO [BADURL \"INBOX/;UID=1\"]", "APPEND INBOX CATENATE (URL INBOX/;UID=1)");
	EXPECT(c, "NO [BADURL", "APPEND INBOX CATENATE (URL ;UID=2)");
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK [APPENDUID", "APPEND INBOX CATENATE (URL INBOX/;UID=1)");
	EXPECT(c, "OK", "FETCH 3 BODY.PEEK[]");
	SAID(c, "BODY[] {18}\r\nSee you at noon.\r\n)");
	/* with another separator a name is one part of a path */
	w.imap.separator = '.';
	EXPECT(c, "OK", "SELECT a.b");
	EXPECT(c, "OK [APPENDUID", "APPEND INBOX CATENATE (URL a.b/;UID=1)");
	EXPECT(c, "NO [BADURL", "APPEND INBOX CATENATE (URL b/;UID=1)");
	w.imap.separator = '/';
}

static void
test_bad_urls(void **state)
{
	static const char *const urls[] = { "/INBOX/;UID=2", "/none/;UID=1",
		"/INBOX;UIDVALIDITY=1/;UID=1", "/INBOX/;UID=1/;SECTION=7", "none/;UID=1", ";UID=1",
		"x:INBOX/;UID=1", "//INBOX/;UID=1", ";UIDVALIDITY=1/;UID=1",
		"imap://user@host/INBOX/;UID=1", "/INBOX/;UID=1;URLAUTH=anonymous", "/INBOX/;UID=0",
		"/INBOX/;UID=1/;SECTION=", "/INBOX/;UID=1/;PARTIAL=x", "/;UID=1",
		"/INBOX/;UID=4294967296", "", "/INBOX/;UID=1/;SECTION=HEADER]%20FLAGS[" };

	(void)state;
	append(c, "INBOX", "()", mail1);
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		EXPECT(c, "NO [BADURL \"", "APPEND INBOX CATENATE (URL \"%s\")", urls[i]);
		EXPECT(c, "NO [BADURL \"",
			"APPEND INBOX CATENATE (TEXT {2+}\r\nab URL \"%s\""
			" TEXT {8+}\r\nx NOOP\r\n)",
			urls[i]);
	}
	EXPECT(c, "NO [BADURL \"/%5D%22%00", "APPEND INBOX CATENATE (URL \"/%%5D%%22%%00\")");
	EXPECT(c, "NO [BADURL \"a%20%5D%22", "APPEND INBOX CATENATE (URL \"a ]\\\"\")");
	EXPECT(c, "BAD", "APPEND INBOX CATENATE ()");
	EXPECT(c, "BAD", "APPEND INBOX CATENATE (PART 1)");
	EXPECT(c, "BAD", "APPEND INBOX CATENATE (URL /INBOX/;UID=1");
	EXPECT(c, "NO An empty", "APPEND INBOX CATENATE (URL /INBOX/;UID=1/;PARTIAL=9999)");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "MESSAGES 1)");
	EXPECT_FILES(1);
}

static void
test_catenate_too_big(void **state)
{
	uint64_t was = w.imap.limits.reader.message_max;

	(void)state;
	append(c, "INBOX", "()", mail1);
	w.imap.limits.reader.message_max = 300;
	EXPECT(c, "NO [TOOBIG]", "APPEND INBOX CATENATE (URL /INBOX/;UID=1 URL /INBOX/;UID=1)");
	EXPECT(c, "NO [TOOBIG]", "APPEND INBOX CATENATE (URL /INBOX/;UID=1 TEXT {150+}\r\n%0150d)",
		1);
	EXPECT(c, "OK", "APPEND INBOX CATENATE (URL /INBOX/;UID=1 TEXT {15+}\r\n%015d)", 1);
	w.imap.limits.reader.message_max = was;
	EXPECT_FILES(2);
}

/* ---- REPLACE ---- */

static void
replace(void **state)
{
	(void)state;
	RAN();
	two_messages();
	EXPECT(c, "OK Replaced", "REPLACE 1 INBOX (\\Draft) {6+}\r\nX: 9\r\n");
	SAID(c, "* OK [APPENDUID ");
	SAID(c, " 3] ");
	SAID(c, "* 1 EXPUNGE\r\n* 2 EXISTS");
	struct str s = buf_str(&c->in);

	assert_true(str_find(s, STR("APPENDUID")) < str_find(s, STR("EXPUNGE")));
	EXPECT(c, "OK", "FETCH 1:2 (UID FLAGS)");
	SAID(c, "1 FETCH (UID 2");
	SAID(c, "2 FETCH (UID 3 FLAGS (\\Draft \\Recent))");
	/* into another mailbox, by UID, of parts */
	EXPECT(c, "OK Replaced", "UID REPLACE 3 Sent CATENATE (URL /INBOX/;UID=3 TEXT {1+}\r\ny)");
	SAID(c, " 1] ");
	SAID(c, "* 2 EXPUNGE");
	EXPECT(c, "OK", "STATUS Sent (MESSAGES UNSEEN)");
	SAID(c, "MESSAGES 1 UNSEEN 1)");
	EXPECT(c, "OK Replaced", "REPLACE * INBOX {1+}\r\nz");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES UIDNEXT)");
	SAID(c, "MESSAGES 1 UIDNEXT 5)");
}

static void
test_replace_refused(void **state)
{
	(void)state;
	EXPECT(c, "BAD No mailbox", "REPLACE 1 INBOX {8+}\r\nx NOOP\r\n");
	two_messages();
	EXPECT(c, "BAD No such", "REPLACE 3 INBOX {8+}\r\nx NOOP\r\n");
	EXPECT(c, "NO No such", "UID REPLACE 3 INBOX {8+}\r\nx NOOP\r\n");
	EXPECT(c, "BAD", "REPLACE 0 INBOX {3+}\r\nx y");
	EXPECT(c, "NO [TRYCREATE]", "REPLACE 1 none {8+}\r\nx NOOP\r\n");
	EXPECT(c, "BAD REPLACE takes one", "REPLACE 1 INBOX {1+}\r\nx {1+}\r\ny");
	EXPECT(c, "NO An empty", "REPLACE 1 INBOX {0+}\r\n");
	EXPECT(c, "OK", "ENABLE UIDONLY");
	EXPECT(c, "BAD [UIDREQUIRED]", "REPLACE 1 INBOX {8+}\r\nx NOOP\r\n");
	EXPECT(c, "BAD [UIDREQUIRED]", "REPLACE 1 INBOX {8}");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES UIDNEXT)");
	SAID(c, "MESSAGES 2 UIDNEXT 3)");
	/* another session was faster: nothing is stored, nothing is lost */
	struct client *other = second();

	EXPECT(other, "OK", "SELECT INBOX");
	EXPECT(other, "OK", "STORE 1 FLAGS (\\Deleted)");
	EXPECT(other, "OK", "EXPUNGE");
	EXPECT(c, "NO [EXPUNGEISSUED]", "UID REPLACE 1 INBOX {1+}\r\nx");
	client_free(other);
	EXPECT(c, "OK", "EXAMINE INBOX");
	EXPECT(c, "NO [READ-ONLY]", "UID REPLACE 2 INBOX {8+}\r\nx NOOP\r\n");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES UIDNEXT)");
	SAID(c, "MESSAGES 1 UIDNEXT 3)");
}

/* ---- literals ---- */

static void
appendlimit(void **state)
{
	char want[80];

	(void)state;
	RAN();
	EXPECT(c, "OK", "CAPABILITY");
	(void)snprintf(want, sizeof want, " APPENDLIMIT=%llu",
		(unsigned long long)w.imap.limits.reader.message_max);
	SAID(c, want);
	EXPECT(c, "NO [TOOBIG]", "APPEND INBOX {%llu}",
		(unsigned long long)w.imap.limits.reader.message_max + 1);
}

static void
test_literal8(void **state)
{
	static const char binary[] = "l1 APPEND INBOX ~{10+}\r\nA: 1\r\n\r\n\0\xff\r\n";

	(void)state;
	client_send(c, str_n(binary, sizeof binary - 1));
	assert_true(client_await(c, "l1 OK [APPENDUID", false, CLIENT_WAIT_MS));
	EXPECT(c, "OK", "APPEND INBOX UTF8 (~{4+}\r\nabcd)");
	EXPECT(c, "OK", "APPEND INBOX CATENATE (UTF8 (~{4+}\r\nabcd) TEXT {1+}\r\nx)");
	EXPECT(c, "BAD", "APPEND INBOX UTF8 ({4+}\r\nabcd)");
	EXPECT(c, "BAD", "APPEND INBOX UTF8 (~{4+}\r\nabcd");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "MESSAGES 3)");
}

/* A home that cannot be opened: the message is taken, and not for commands. */
static void
test_home_gone(void **state)
{
	char name[32], home[120];

	(void)state;
	(void)snprintf(name, sizeof name, "user%u", ++w.homes);
	(void)snprintf(home, sizeof home, "%s/%s", w.dir, name);
	FILE *f = fopen(home, "w");

	assert_non_null(f);
	(void)fclose(f);
	struct client *other = client_login(&w, name, STR_EMPTY);

	EXPECT(other, "NO [", "APPEND INBOX {10+}\r\nx LOGOUT\r\n {2+}\r\nab");
	SILENT(other, "BYE");
	EXPECT(other, "OK", "CAPABILITY");
	client_free(other);
}

/* Every form again in small pieces. */
static void
test_byte_by_byte(void **state)
{
	static const char text[] =
		"b APPEND INBOX (\\Seen) {4+}\r\nabcd UTF8 (~{2+}\r\nef) CATENATE (TEXT {1+}\r\ng"
		" URL {13+}\r\n/INBOX/;UID=1 TEXT {1+}\r\nh)\r\n";

	(void)state;
	append(c, "INBOX", "()", mail1);
	buf_reset(&c->in);
	for (size_t i = 0; i < sizeof text - 1; i++) {
		client_send(c, str_n(text + i, 1));
		client_rest(c, 1);
	}
	assert_true(client_await(c, "b OK [APPENDUID", false, CLIENT_WAIT_MS));
	SAID(c, " 2:4]");
	EXPECT_FILES(4);
}

/* ---- COMPRESS ---- */

/* Waits for want in what comes compressed. */
static void
packed_await(struct deflate *d, const char *want, struct buf *text)
{
	char piece[4096];
	size_t n;

	buf_reset(text);
	for (int i = 0; i < 500 && str_find(buf_str(text), str_of(want)) == text->n; i++) {
		client_rest(c, 10);
		while (c->in.n != 0) {
			size_t take = c->in.n < 30000 ? c->in.n : 30000;

			deflate_feed(d, str_sub(buf_str(&c->in), 0, take));
			buf_consume(&c->in, take);
			while (deflate_read(d, piece, sizeof piece, &n) == ERR_OK)
				buf_add(text, str_n(piece, n));
		}
	}
	if (str_find(buf_str(text), str_of(want)) == text->n)
		print_error("missing %s in %.*s\n", want, STR_FMT(buf_str(text)));
	assert_true(str_find(buf_str(text), str_of(want)) < text->n);
}

/* Says line compressed and waits for want in what comes back. */
static void
packed_say(struct deflate *d, const char *line, const char *want, struct buf *text)
{
	struct buf wire;

	buf_init(&wire, DEFLATE_OUT_MAX);
	deflate_add(d, str_of(line), true, &wire);
	client_send(c, buf_str(&wire));
	buf_fini(&wire);
	packed_await(d, want, text);
}

static void
compress_deflate(void **state)
{
	const struct imap_session *s =
		CONTAINER_OF(w.imap.sessions.next, struct imap_session, link);
	struct deflate *d = deflate_new();
	struct buf text;

	(void)state;
	RAN();
	buf_init(&text, 16 * 1024 * 1024);
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "BAD", "COMPRESS");
	EXPECT(c, "BAD Only", "COMPRESS GZIP");
	/* pipelined behind it: refused, and the next command is read as it is */
	EXPECT(c, "BAD Nothing may", "COMPRESS DEFLATE\r\nx NOOP");
	assert_true(client_await(c, "x OK", false, CLIENT_WAIT_MS));
	stream_set_deflate_rest(30);
	EXPECT(c, "OK DEFLATE active", "COMPRESS DEFLATE");
	buf_reset(&c->in);
	packed_say(d, "a NOOP\r\n", "a OK", &text);
	packed_say(d, "b COMPRESS DEFLATE\r\n", "b BAD [COMPRESSIONACTIVE]", &text);
	packed_say(d, "c SELECT INBOX\r\nd FETCH 1 BODY.PEEK[]\r\n",
		"See you at noon.\r\n)\r\nd OK", &text);
	packed_say(d, "e APPEND INBOX {5+}\r\nabcde {5}\r\n", "+ OK", &text);
	packed_say(d, "fghij\r\n", "e OK [APPENDUID", &text);
	/* idle: nearly nothing is kept, and it goes on all the same, again and again */
	for (int i = 0; i < 3; i++) {
		assert_true(stream_deflate_memory(s->stream) > 200000);
		client_rest(c, 150);
		assert_true(stream_deflate_memory(s->stream) < 1024);
		packed_say(d, "f IDLE\r\n", "+ idling", &text);
		client_rest(c, 150);
		assert_true(stream_deflate_memory(s->stream) < 1024);
		packed_say(d, "DONE\r\ng FETCH 1:3 FLAGS\r\n", "g OK", &text);
	}
	packed_say(d, "h LOGOUT\r\n", "h OK", &text);
	deflate_free(d);
	buf_fini(&text);
}

/* News do not come together with the continuation of IDLE; Thunderbird would sleep over them. */
static void
test_news_after_the_continuation(void **state)
{
	struct deflate *d = deflate_new();
	struct client *other = second();
	int64_t usual = w.imap.limits.idle_rest_ms, began;
	struct buf text;

	(void)state;
	buf_init(&text, 16 * 1024 * 1024);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK DEFLATE active", "COMPRESS DEFLATE");
	buf_reset(&c->in);
	w.imap.limits.idle_rest_ms = 300000;
	packed_say(d, "a IDLE\r\n", "+ idling", &text);
	append(other, "INBOX", "()", mail1);
	EXPECT(other, "OK", "NOOP");
	client_rest(c, 100);
	assert_int_equal(c->in.n, 0);
	/* the end of IDLE has them in any case */
	packed_say(d, "DONE\r\n", "a OK", &text);
	assert_true(str_find(buf_str(&text), STR("* 1 EXISTS")) < text.n);
	w.imap.limits.idle_rest_ms = 200;
	packed_say(d, "b IDLE\r\n", "+ idling", &text);
	began = clock_ms();
	append(other, "INBOX", "()", mail1);
	packed_await(d, "* 2 EXISTS", &text);
	append(other, "INBOX", "()", mail1);
	packed_await(d, "* 3 EXISTS", &text);
	assert_true(clock_ms() - began < 60000);
	packed_say(d, "DONE\r\n", "b OK", &text);
	w.imap.limits.idle_rest_ms = usual;
	client_free(other);
	deflate_free(d);
	buf_fini(&text);
}

/* ---- UTF8=ACCEPT ---- */

static void
utf8_accept(void **state)
{
	static const char mail[] = "From: \xc3\x84nne <\xc3\xa4@example.org>\r\n"
				   "Subject: Gr\xc3\xbc\xc3\x9f"
				   "e\r\n\r\nHallo\r\n";

	(void)state;
	RAN();
	EXPECT(c, "OK", "CREATE \"Entw&APw-rfe\"");
	EXPECT(c, "OK", "LIST \"\" Entw*");
	SAID(c, "\"Entw&APw-rfe\"\r\n");
	/* what is no modified UTF-7 may come as it is, and goes out as the client knows it */
	EXPECT(c, "OK", "STATUS \"Entw\xc3\xbcrfe\" (MESSAGES)");
	SAID(c, "* STATUS \"Entw&APw-rfe\" (");
	EXPECT(c, "OK", "LIST \"\" \"Entw\xc3\xbc%%\"");
	SAID(c, "\"Entw&APw-rfe\"\r\n");
	EXPECT(c, "OK", "CREATE {6+}\r\nGr\xc3\xbcn&");
	EXPECT(c, "OK", "LIST \"\" Gr*");
	SAID(c, "\"Gr&APw-n&-\"\r\n");
	EXPECT(c, "OK", "DELETE \"Gr&APw-n&-\"");
	EXPECT(c, "NO", "CREATE \"Entw\xfcrfe\"");
	EXPECT(c, "NO", "CREATE \"a\xc2\x85z\"");
	EXPECT(c, "NO", "CREATE \"R & D\"");
	/* a client that has not asked for it gets the octets as they are, in a literal */
	append(c, "INBOX", "()", mail);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "FETCH 1 ENVELOPE");
	SAID(c, "{7}\r\nGr\xc3\xbc\xc3\x9f"
		"e ");
	EXPECT(c, "OK",
		"SEARCH CHARSET UTF-8 SUBJECT {5+}\r\n\xc3\xbc\xc3\x9f"
		"e");
	SAID(c, "* SEARCH 1\r\n");

	EXPECT(c, "OK", "ENABLE UTF8=ACCEPT");
	SAID(c, "* ENABLED UTF8=ACCEPT\r\n");
	EXPECT(c, "OK", "LIST \"\" Entw*");
	SAID(c, "\"Entw\xc3\xbcrfe\"\r\n");
	EXPECT(c, "OK", "LIST \"\" \"Entw\xc3\xbc%%\"");
	SAID(c, "\"Entw\xc3\xbcrfe\"\r\n");
	EXPECT(c, "OK", "STATUS \"Entw\xc3\xbcrfe\" (MESSAGES)");
	SAID(c, "* STATUS \"Entw\xc3\xbcrfe\" (");
	EXPECT(c, "NO", "SELECT \"Entw&APw-rfe\"");
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "NO", "CREATE \"\xff\xfe\"");
	EXPECT(c, "NO", "CREATE \"a\xe2\x80\xa8z\"");
	EXPECT(c, "NO", "CREATE \"a\xe2\x80\xa9z\"");
	EXPECT(c, "NO", "CREATE \"a\xc2\x85z\"");
	EXPECT(c, "OK", "CREATE \"a\xe2\x80\xa7z\"");
	/* "&" is a letter like any other */
	EXPECT(c, "OK", "CREATE \"R & D\"");
	EXPECT(c, "OK", "LIST \"\" R*");
	SAID(c, "\"R & D\"\r\n");
	EXPECT(c, "OK [APPENDUID", "APPEND \"Entw\xc3\xbcrfe\" UTF8 (~{%zu+}\r\n%s)", strlen(mail),
		mail);
	EXPECT(c, "OK [APPENDUID", "APPEND INBOX CATENATE (URL \"/Entw%%C3%%BCrfe/;UID=1\")");
	EXPECT(c, "OK",
		"SEARCH SUBJECT \"\xc3\xbc\xc3\x9f"
		"e\"");
	SAID(c, "* SEARCH 1");
	EXPECT(c, "BAD", "SEARCH CHARSET UTF-8 SUBJECT x");
	EXPECT(c, "BAD", "UID SEARCH CHARSET US-ASCII ALL");

	struct client *other = second();

	EXPECT(other, "OK", "LIST \"\" R*");
	SAID(other, "\"R &- D\"\r\n");
	EXPECT(other, "OK [APPENDUID", "APPEND INBOX CATENATE (URL \"/Entw%%C3%%BCrfe/;UID=1\")");
	client_free(other);
}

/* The setting for those who want the RFC's letter. */
static void
test_8bit_headers_refused(void **state)
{
	static const char mail[] = "Subject: caf\xe9\r\n\r\nx\r\n";
	static const char part[] = "Subject: a\r\n\r\ncaf\xe9\r\n";

	(void)state;
	w.imap.limits.plain_headers = true;
	EXPECT(c, "NO An 8-bit", "APPEND INBOX {%zu+}\r\n%s", strlen(mail), mail);
	EXPECT(c, "NO An 8-bit", "APPEND INBOX {1+}\r\na {%zu+}\r\n%s", strlen(mail), mail);
	EXPECT(c, "NO An 8-bit",
		"APPEND INBOX CATENATE (TEXT {4+}\r\nA: x TEXT {4+}\r\n\xe9\r\n\n)");
	/* bodies are free, also of the message behind one with a header that is not over */
	EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\n%s {%zu+}\r\n%s", strlen(part), part, strlen(part),
		part);
	EXPECT(c, "OK", "APPEND INBOX {4+}\r\n\r\n\xe9\xe9");
	EXPECT(c, "OK", "ENABLE UTF8=ACCEPT");
	EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\n%s", strlen(mail), mail);
	w.imap.limits.plain_headers = false;
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "MESSAGES 4)");
	EXPECT_FILES(4);
}

/* At the end, with every home that the tests left. */
static void
on_problem(void *arg, const char *kind, const char *text)
{
	(void)arg;
	print_error("%s: %s\n", kind, text);
}

static int
check_homes(void **state)
{
	unsigned homes = w.homes;
	char dir[64], home[120];
	struct check_options o = { .age_sec = -1, .read_bodies = true };
	struct check_counts counts;

	memcpy(dir, w.dir, sizeof dir);
	imap_fini(&w.imap);
	store_free(w.store);
	for (unsigned i = 1; i <= homes; i++) {
		(void)snprintf(home, sizeof home, "%s/user%u", dir, i);
		if (store_check(home, &o, on_problem, NULL, &counts) != ERR_OK)
			continue;
		if (counts.problems != 0)
			return -1;
	}
	w.store = store_new(w.loop, w.pool, w.settings);
	imap_init(&w.imap, w.loop, w.store, w.settings);
	return group_teardown(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(multiappend),
		TEST(test_multiappend_keywords),
		TEST(test_multiappend_fails_whole),
		TEST(test_multiappend_waits),
		TEST(test_wrong_arguments_before_a_literal),
		TEST(test_many_at_once),
		TEST(test_vanishing),
		TEST(catenate),
		TEST(test_relative_urls),
		TEST(test_bad_urls),
		TEST(test_catenate_too_big),
		TEST(replace),
		TEST(test_replace_refused),
		TEST(appendlimit),
		TEST(test_literal8),
		TEST(test_home_gone),
		TEST(test_byte_by_byte),
		TEST(compress_deflate),
		TEST(test_news_after_the_continuation),
		TEST(utf8_accept),
		TEST(test_8bit_headers_refused),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, check_homes);
}
