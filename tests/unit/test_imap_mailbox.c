/* LIST and STATUS in full over whole sessions, on a real store. */
#define PROGRAM "mailbox"
#include "imap_case.h"

#include "core/store/quota.h"

/* Lines of the last answer that begin with start. */
static size_t
lines(const char *start)
{
	struct str s = buf_str(&c->in);
	size_t n = 0;

	while (s.n != 0) {
		size_t lf = str_chr(s, '\n');

		n += str_starts(s, str_of(start));
		s = str_from(s, lf + 1);
	}
	return n;
}

/* ---- LIST-EXTENDED ---- */

/* The mailboxes of RFC 5258 5, example 1, and what is subscribed there. */
static void
fruit(void)
{
	static const char *const names[] = { "Fruit", "Fruit/Apple", "Fruit/Banana", "Tofu",
		"Vegetable", "Vegetable/Broccoli", "Vegetable/Corn" };
	static const char *const subscribed[] = { "Fruit/Banana", "Fruit/Peach", "Vegetable",
		"Vegetable/Broccoli" };
	static const char *const defaults[] = { "Drafts", "Junk", "Sent", "Trash", "Archive" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		EXPECT(c, "OK", "CREATE %s", names[i]);
	for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
		EXPECT(c, "OK", "UNSUBSCRIBE %s", defaults[i]);
		EXPECT(c, "OK", "DELETE %s", defaults[i]);
	}
	for (size_t i = 0; i < sizeof subscribed / sizeof *subscribed; i++)
		EXPECT(c, "OK", "SUBSCRIBE %s", subscribed[i]);
}

static void
list_extended(void **state)
{
	(void)state;
	RAN();
	fruit();
	/* example 2 */
	EXPECT(c, "OK", "LIST (SUBSCRIBED) \"\" \"*\"");
	assert_int_equal(lines("* LIST"), 5);
	SAID(c, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"Fruit/Banana\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren \\NonExistent \\Subscribed) \"/\" \"Fruit/Peach\"\r\n");
	SAID(c, "* LIST (\\HasChildren \\Subscribed) \"/\" \"Vegetable\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"Vegetable/Broccoli\"\r\n");
	/* examples 3, 4, 6 */
	EXPECT(c, "OK", "LIST () \"\" %% RETURN (CHILDREN)");
	assert_int_equal(lines("* LIST"), 4);
	SAID(c, "* LIST (\\HasChildren) \"/\" \"Fruit\"\r\n");
	EXPECT(c, "OK", "LIST (REMOTE) \"\" * RETURN (SUBSCRIBED)");
	assert_int_equal(lines("* LIST"), 8);
	SAID(c, "* LIST (\\HasNoChildren) \"/\" \"Fruit/Apple\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"Fruit/Banana\"\r\n");
	SILENT(c, "Peach");
	/* example 7: a name that several patterns match is told once */
	EXPECT(c, "OK", "LIST \"\" (INBOX Tofu \"Vegetable/%%\" * nowhere) RETURN ()");
	assert_int_equal(lines("* LIST"), 8);
	EXPECT(c, "OK", "LIST \"\" (inbox Tofu Vegetable/%%)");
	assert_int_equal(lines("* LIST"), 4);
	/* 3: no extended LIST asks for the separator; an empty name matches nothing */
	EXPECT(c, "OK", "LIST \"\" (\"\")");
	SILENT(c, "* LIST");
	EXPECT(c, "OK", "LIST () \"\" \"\"");
	SILENT(c, "* LIST");
	EXPECT(c, "OK", "LIST \"\" \"\" RETURN (CHILDREN)");
	SILENT(c, "* LIST");
	EXPECT(c, "OK", "LIST INBOX (\"\" Tofu)");
	SILENT(c, "* LIST");
	EXPECT(c, "OK", "LIST \"\" (\"\" Tofu)");
	assert_int_equal(lines("* LIST"), 1);
	EXPECT(c, "OK", "LIST Tofu \"\"");
	SAID(c, "* LIST (\\Noselect) \"/\" \"\"\r\n");
	EXPECT(c, "BAD", "LIST (RECURSIVEMATCH) \"\" *");
	EXPECT(c, "BAD", "LIST (RECURSIVEMATCH REMOTE) \"\" *");
	EXPECT(c, "BAD", "LIST (NONSENSE) \"\" *");
	EXPECT(c, "BAD", "LIST \"\" ()");
	EXPECT(c, "BAD", "LIST \"\" * RETURN (NONSENSE)");
	EXPECT(c, "BAD", "LIST \"\" * (CHILDREN)");
}

static void
recursive_match(void **state)
{
	(void)state;
	fruit();
	EXPECT(c, "OK", "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %%");
	assert_int_equal(lines("* LIST"), 3);
	SAID(c, "* LIST (\\HasChildren) \"/\" \"Fruit\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
	SAID(c, "* LIST (\\HasChildren \\Subscribed) \"/\" \"Vegetable\" "
		"(\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
	/* what is told by a line of its own is not told twice */
	EXPECT(c, "OK", "LIST (RECURSIVEMATCH SUBSCRIBED) \"\" *");
	assert_int_equal(lines("* LIST"), 5);
	SILENT(c, "\"Fruit\" ");
	SAID(c, "\"Vegetable\" (\"CHILDINFO\"");
	/* parents that do not exist, and neighbours in the order of bytes */
	EXPECT(c, "OK", "SUBSCRIBE foo2/bar/baz");
	EXPECT(c, "OK", "SUBSCRIBE \"foo2 x\"");
	EXPECT(c, "OK", "SUBSCRIBE foo2/qux");
	EXPECT(c, "OK", "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" foo%%");
	assert_int_equal(lines("* LIST"), 2);
	SAID(c, "* LIST (\\HasNoChildren \\NonExistent) \"/\" \"foo2\" "
		"(\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
	EXPECT(c, "OK", "LIST (SUBSCRIBED RECURSIVEMATCH) foo2/ (%% nothing)");
	assert_int_equal(lines("* LIST"), 2);
	SAID(c, "\"foo2/bar\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
	SAID(c, "* LIST (\\HasNoChildren \\NonExistent \\Subscribed) \"/\" \"foo2/qux\"\r\n");
	/* with a special use to look for */
	EXPECT(c, "OK", "CREATE Fruit/Old (USE (\\Archive))");
	EXPECT(c, "OK", "LIST (SPECIAL-USE RECURSIVEMATCH) \"\" %%");
	assert_int_equal(lines("* LIST"), 1);
	SAID(c, "* LIST (\\HasChildren) \"/\" \"Fruit\" (\"CHILDINFO\" (\"SPECIAL-USE\"))\r\n");
	EXPECT(c, "OK", "LIST (SPECIAL-USE RECURSIVEMATCH) \"\" *");
	assert_int_equal(lines("* LIST"), 1);
	SAID(c, "* LIST (\\HasNoChildren \\Archive) \"/\" \"Fruit/Old\"\r\n");
	EXPECT(c, "OK", "LIST (SPECIAL-USE SUBSCRIBED) \"\" *");
	assert_int_equal(lines("* LIST"), 0);
	EXPECT(c, "OK", "SUBSCRIBE Fruit/Old");
	EXPECT(c, "OK", "LIST (SPECIAL-USE SUBSCRIBED RECURSIVEMATCH) \"\" %%");
	assert_int_equal(lines("* LIST"), 1);
	SAID(c, "\"Fruit\" (\"CHILDINFO\" (\"SUBSCRIBED\" \"SPECIAL-USE\"))\r\n");
}

/* A name that only leads to others: the word that the client knows. */
static void
no_such_parent(void **state)
{
	(void)state;
	EXPECT(c, "OK", "CREATE a/b");
	EXPECT(c, "OK", "LIST \"\" a");
	SAID(c, "* LIST (\\HasChildren \\Noselect) \"/\" \"a\"\r\n");
	EXPECT(c, "OK", "LIST \"\" a RETURN (STATUS (MESSAGES))");
	SAID(c, "* LIST (\\HasChildren \\NonExistent) \"/\" \"a\"\r\n");
	SILENT(c, "* STATUS");
	EXPECT(c, "NO [NONEXISTENT]", "STATUS a (MESSAGES)");
}

static void
too_many_patterns(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	for (int i = 0; i < 900; i++)
		buf_addf(&b, "%sname%d", i > 0 ? " " : "", i);
	EXPECT(c, "OK", "LIST \"\" (%.*s)", STR_FMT(buf_str(&b)));
	assert_int_equal(lines("* LIST"), 0);
	buf_reset(&b);
	for (int i = 0; i < 900; i++)
		buf_addf(&b, "%s*%%*%%*%d", i > 0 ? " " : "", i);
	EXPECT(c, "NO [LIMIT]", "LIST \"\" (%.*s)", STR_FMT(buf_str(&b)));
	buf_fini(&b);
}

/* ---- LIST-STATUS, STATUS ---- */

static void
list_status(void **state)
{
	(void)state;
	RAN();
	append(c, "Drafts", "(\\Seen)", mail1);
	append(c, "Drafts", "()", mail2);
	EXPECT(c, "OK", "LIST \"\" %% RETURN (STATUS (MESSAGES UNSEEN))");
	assert_int_equal(lines("* LIST"), 6);
	assert_int_equal(lines("* STATUS"), 6);
	SAID(c, "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\r\n"
		"* STATUS \"Drafts\" (MESSAGES 2 UNSEEN 1)\r\n");
	SAID(c, "* STATUS \"Sent\" (MESSAGES 0 UNSEEN 0)\r\n");
	EXPECT(c, "OK", "SUBSCRIBE gone");
	EXPECT(c, "OK", "LIST (SUBSCRIBED) \"\" gone RETURN (STATUS (MESSAGES))");
	assert_int_equal(lines("* LIST"), 1);
	assert_int_equal(lines("* STATUS"), 0);
	EXPECT(c, "BAD", "LIST \"\" * RETURN (STATUS)");
	EXPECT(c, "BAD", "LIST \"\" * RETURN (STATUS ())");
}

static void
says_size(const char *mailbox, size_t messages, size_t size, size_t deleted, size_t deleted_size)
{
	char want[200];

	(void)snprintf(want, sizeof want, "(MESSAGES %zu SIZE %zu DELETED %zu DELETED-STORAGE %zu)",
		messages, size, deleted, deleted_size);
	EXPECT(c, "OK", "STATUS %s (DELETED-STORAGE DELETED SIZE MESSAGES)", mailbox);
	SAID(c, want);
}

/* The sums are right after everything that can change them. */
static void
status_size(void **state)
{
	const size_t n1 = strlen(mail1), n2 = strlen(mail2);

	(void)state;
	RAN();
	says_size("INBOX", 0, 0, 0, 0);
	two_messages();
	says_size("INBOX", 2, n1 + n2, 0, 0);
	EXPECT(c, "OK", "STORE 1:2 +FLAGS (\\Deleted)");
	says_size("INBOX", 2, n1 + n2, 2, n1 + n2);
	EXPECT(c, "OK", "STORE 1 FLAGS (\\Seen)");
	says_size("INBOX", 2, n1 + n2, 1, n2);
	EXPECT(c, "OK", "COPY 1:2 Sent");
	says_size("Sent", 2, n1 + n2, 1, n2);
	EXPECT(c, "OK", "COPY 2 INBOX");
	says_size("INBOX", 3, n1 + 2 * n2, 2, 2 * n2);
	EXPECT(c, "OK", "MOVE 3 Trash");
	says_size("Trash", 1, n2, 1, n2);
	says_size("INBOX", 2, n1 + n2, 1, n2);
	EXPECT(c, "OK", "EXPUNGE");
	says_size("INBOX", 1, n1, 0, 0);
	append(c, "INBOX", "(\\Deleted)", mail2);
	says_size("INBOX", 2, n1 + n2, 1, n2);
	EXPECT(c, "OK", "UNSELECT");
	EXPECT(c, "OK", "RENAME INBOX old");
	says_size("old", 2, n1 + n2, 1, n2);
	says_size("INBOX", 0, 0, 0, 0);
	EXPECT(c, "OK", "RENAME old older");
	says_size("older", 2, n1 + n2, 1, n2);
	EXPECT(c, "OK", "STATUS older (APPENDLIMIT HIGHESTMODSEQ)");
	SAID(c, "APPENDLIMIT 52428800");
	SAID(c, "(HIGHESTMODSEQ ");
}

/* ---- QUOTA ---- */

static void
set_quota(uint64_t messages, uint64_t bytes)
{
	struct imap_session *s = CONTAINER_OF(w.imap.sessions.next, struct imap_session, link);

	home_set_quota(s->home, (struct quota_limit){ .messages = messages, .bytes = bytes });
}

static void
says_quota(const char *want)
{
	EXPECT(c, "OK", "GETQUOTA \"User quota\"");
	SAID(c, want);
}

static void
quota(void **state)
{
	const size_t n1 = strlen(mail1), n2 = strlen(mail2);
	char want[200];

	(void)state;
	RAN();
	EXPECT(c, "OK", "GETQUOTAROOT INBOX");
	SAID(c, "* QUOTAROOT \"INBOX\"\r\n");
	SILENT(c, "* QUOTA \"");
	EXPECT(c, "NO [NONEXISTENT]", "GETQUOTA \"User quota\"");
	set_quota(3, 100 * 1024);
	EXPECT(c, "OK", "GETQUOTAROOT not/there/yet");
	SAID(c, "* QUOTAROOT \"not/there/yet\" \"User quota\"\r\n"
		"* QUOTA \"User quota\" (STORAGE 0 100 MESSAGE 0 3)\r\n");
	EXPECT(c, "NO [NONEXISTENT]", "GETQUOTA other");
	EXPECT(c, "NO [CANNOT]", "GETQUOTAROOT \"a//b\"");
	EXPECT(c, "BAD", "GETQUOTA");
	EXPECT(c, "BAD", "SETQUOTA \"User quota\" (STORAGE 1)");
	says_quota("* QUOTA \"User quota\" (STORAGE 0 100 MESSAGE 0 3)\r\n");
	two_messages();
	says_quota("(STORAGE 1 100 MESSAGE 2 3)");
	/* a copy counts like any other message */
	EXPECT(c, "NO [OVERQUOTA]", "COPY 1:2 Sent");
	says_size("Sent", 0, 0, 0, 0);
	EXPECT(c, "OK", "COPY 1 Sent");
	says_quota("MESSAGE 3 3)");
	EXPECT(c, "NO [OVERQUOTA]", "APPEND INBOX {%zu+}\r\n%s", n1, mail1);
	EXPECT(c, "NO [OVERQUOTA]", "COPY 1 Trash");
	/* what does not grow is allowed: moves, flags, replaced messages */
	EXPECT(c, "OK", "MOVE 1 Trash");
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "REPLACE 1 INBOX {%zu+}\r\n%s", n1, mail1);
	says_quota("MESSAGE 3 3)");
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	says_quota("MESSAGE 2 3)");
	/* to the octet */
	set_quota(0, 2 * n1 + n2 - 1);
	EXPECT(c, "NO [OVERQUOTA]", "APPEND INBOX {%zu+}\r\n%s", n2, mail2);
	says_size("INBOX", 0, 0, 0, 0);
	/* a client that waits hears it before it sends, of the second message too */
	(void)snprintf(want, sizeof want, "q1 APPEND INBOX {%zu}\r\n", n2);
	client_send(c, str_of(want));
	assert_true(client_await(c, "q1 NO [OVERQUOTA]", false, CLIENT_WAIT_MS));
	SILENT(c, "+ ");
	set_quota(0, 2 * n1 + n2);
	(void)snprintf(want, sizeof want, "q2 APPEND INBOX {1+}\r\nx {%zu}\r\n", n2);
	client_send(c, str_of(want));
	assert_true(client_await(c, "q2 NO [OVERQUOTA]", false, CLIENT_WAIT_MS));
	SILENT(c, "+ ");
	says_size("INBOX", 0, 0, 0, 0);
	append(c, "INBOX", "()", mail2);
	(void)snprintf(want, sizeof want, "(STORAGE %zu %zu)", (2 * n1 + n2 + 1023) / 1024,
		(2 * n1 + n2 + 1023) / 1024);
	says_quota(want);
	/* a limit that was lowered below the use; a deleted mailbox counts no longer */
	set_quota(1, 1);
	EXPECT(c, "NO [OVERQUOTA]", "APPEND INBOX {%zu+}\r\n%s", n1, mail1);
	EXPECT(c, "OK", "UNSELECT");
	EXPECT(c, "OK", "RENAME INBOX old");
	EXPECT(c, "OK", "DELETE old");
	EXPECT(c, "OK", "DELETE Trash");
	says_quota("MESSAGE 1 1)");
	EXPECT(c, "OK", "DELETE Sent");
	says_quota("(STORAGE 0 1 MESSAGE 0 1)");
	set_quota(1, 0);
	append(c, "INBOX", "()", mail1);
}

static void
quota_texts(void **state)
{
	static const struct {
		const char *text;
		enum err err;
		uint64_t bytes, messages;
	} rows[] = {
		{ "", ERR_OK, 0, 0 },
		{ "0", ERR_OK, 0, 0 },
		{ "2147483648", ERR_OK, 2147483648, 0 },
		{ "2G", ERR_OK, 2147483648, 0 },
		{ "2 GB", ERR_SYNTAX, 0, 0 },
		{ "10kb", ERR_OK, 10240, 0 },
		{ "7B", ERR_OK, 7, 0 },
		{ "1T:messages=1000", ERR_OK, 1099511627776, 1000 },
		{ "messages=5", ERR_OK, 0, 5 },
		{ "2097152S,1000C", ERR_OK, 2097152, 1000 },
		{ "*:bytes=2097152S,1000C", ERR_OK, 2097152, 1000 },
		{ "1000C", ERR_OK, 0, 1000 },
		{ "*:bytes=1M", ERR_OK, 1048576, 0 },
		{ "*:bytes=*:storage=2048:messages=10", ERR_OK, 2097152, 10 },
		{ "storage=1M", ERR_OK, 1048576, 0 },
		{ "much", ERR_SYNTAX, 0, 0 },
		{ "-1", ERR_SYNTAX, 0, 0 },
		{ "1G:rooms=2", ERR_SYNTAX, 0, 0 },
		{ "18446744073709551615", ERR_OK, UINT64_MAX, 0 },
		{ "18446744073709551615K", ERR_LIMIT, 0, 0 },
		{ "99999999999999999999", ERR_LIMIT, 0, 0 },
	};
	struct quota_limit q;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		enum err e = quota_parse(str_of(rows[i].text), &q);

		if (e != rows[i].err || q.bytes != rows[i].bytes || q.messages != rows[i].messages)
			print_error("%s\n", rows[i].text);
		assert_int_equal(e, rows[i].err);
		assert_int_equal(q.bytes, rows[i].bytes);
		assert_int_equal(q.messages, rows[i].messages);
	}
}

/* ---- METADATA ---- */

static void
metadata(void **state)
{
	const size_t size_before = w.imap.limits.metadata_size;
	char big[3000];

	(void)state;
	RAN();
	EXPECT(c, "OK",
		"SETMETADATA INBOX (/private/comment \"My own\" /Shared/Comment {5+}\r\na\r\nbc)");
	EXPECT(c, "OK", "GETMETADATA INBOX /private/comment");
	SAID(c, "* METADATA \"INBOX\" (/private/comment \"My own\")\r\n");
	EXPECT(c, "OK", "GETMETADATA INBOX (/shared/comment /private/none)");
	SAID(c, "* METADATA \"INBOX\" (/shared/comment {5}\r\na\r\nbc /private/none NIL)\r\n");
	/* options, where the grammar has them and where the examples do */
	EXPECT(c, "OK",
		"SETMETADATA INBOX (/private/filters/values/small \"SMALLER 5000\" "
		"/private/filters/values/boss/x \"FROM \\\"b\\\"\" /private/filtersx \"\")");
	EXPECT(c, "OK", "GETMETADATA (DEPTH 1) INBOX (/private/filters/values)");
	SAID(c, "* METADATA \"INBOX\" (/private/filters/values/small \"SMALLER 5000\")\r\n");
	EXPECT(c, "OK", "GETMETADATA INBOX (DEPTH infinity) /private/filters");
	SAID(c, "(/private/filters/values/boss/x \"FROM \\\"b\\\"\" "
		"/private/filters/values/small \"SMALLER 5000\")\r\n");
	EXPECT(c, "OK", "GETMETADATA (DEPTH infinity) INBOX /private");
	SAID(c, "/private/filtersx \"\"");
	EXPECT(c, "OK [METADATA LONGENTRIES 12]",
		"GETMETADATA INBOX (MAXSIZE 8 DEPTH infinity) (/private/filters /private/comment)");
	SAID(c, "* METADATA \"INBOX\" (/private/filters/values/boss/x \"FROM \\\"b\\\"\" "
		"/private/comment \"My own\")\r\n");
	EXPECT(c, "OK", "GETMETADATA INBOX (DEPTH 0) /private");
	EXPECT(c, "OK", "SETMETADATA INBOX (/private/comment NIL /private/none NIL)");
	EXPECT(c, "OK", "GETMETADATA INBOX /private/comment");
	SAID(c, "(/private/comment NIL)");
	/* the server's */
	EXPECT(c, "OK", "SETMETADATA \"\" (/private/vendor/x/y \"1\")");
	EXPECT(c, "OK", "GETMETADATA \"\" (/private/vendor/x/y /shared/comment /shared/admin)");
	SAID(c, "* METADATA \"\" (/private/vendor/x/y \"1\" /shared/comment NIL /shared/admin "
		"NIL)");
	EXPECT(c, "OK", "GETMETADATA (DEPTH infinity) \"\" /shared");
	SILENT(c, "* METADATA");
	buf_addz(&w.imap.admin, "mailto:help@example.org");
	EXPECT(c, "OK", "GETMETADATA (DEPTH infinity) \"\" (/shared /shared/adm)");
	SAID(c, "* METADATA \"\" (/shared/admin \"mailto:help@example.org\")\r\n");
	EXPECT(c, "OK", "GETMETADATA \"\" /shared/admin");
	SAID(c, "* METADATA \"\" (/shared/admin \"mailto:help@example.org\")\r\n");
	EXPECT(c, "OK [METADATA LONGENTRIES 23]", "GETMETADATA \"\" (MAXSIZE 22) /shared/admin");
	SILENT(c, "* METADATA");
	buf_reset(&w.imap.admin);
	EXPECT(c, "NO [NOPERM]", "SETMETADATA \"\" (/shared/comment \"1\")");
	EXPECT(c, "NO [NOPERM]", "SETMETADATA \"\" (/private/a/b \"2\" /shared/admin \"1\")");
	/* octets of any kind */
	client_send(c, str_n("z SETMETADATA INBOX (/private/bin ~{3+}\r\na\0b)\r\n", 47));
	assert_true(client_await(c, "z OK", false, CLIENT_WAIT_MS));
	EXPECT(c, "OK", "GETMETADATA INBOX /private/bin");
	SAID(c, "* METADATA \"INBOX\" (/private/bin ~{3}\r\na");
	/* NUL has no place elsewhere, and ~ none in front of a string */
	client_send(c, str_n("y SETMETADATA INBOX (/private/bin {3+}\r\na\0b)\r\n", 46));
	assert_true(client_await(c, "y BAD", false, CLIENT_WAIT_MS));
	client_send(c, str_n("x SETMETADATA INBOX (/private/bin ~{3}\r\n", 40));
	assert_true(client_await(c, "+ ", false, CLIENT_WAIT_MS));
	client_send(c, str_n("\0\0\0)\r\n", 6));
	assert_true(client_await(c, "x OK", false, CLIENT_WAIT_MS));
	EXPECT(c, "BAD", "SETMETADATA INBOX (/private/bin ~\"a\")");
	/* limits: all or nothing */
	memset(big, 'x', sizeof big);
	w.imap.limits.metadata_size = 2999;
	EXPECT(c, "NO [METADATA MAXSIZE 2999]",
		"SETMETADATA INBOX (/private/one \"1\" /private/big {3000+}\r\n%.3000s)", big);
	w.imap.limits.metadata_size = size_before;
	w.imap.limits.metadata_entries = 10;
	for (int i = 0; i < 10; i++)
		EXPECT(c, "OK", "SETMETADATA Sent (/private/%d \"a\")", i);
	EXPECT(c, "NO [METADATA TOOMANY]",
		"SETMETADATA Sent (/private/1 NIL /private/a \"a\" /private/b \"a\")");
	EXPECT(c, "OK", "GETMETADATA Sent (/private/1 /private/a)");
	SAID(c, "(/private/1 \"a\" /private/a NIL)");
	EXPECT(c, "OK", "SETMETADATA Sent (/private/a \"a\" /private/1 NIL)");
	/* the operator lowers the limit */
	w.imap.limits.metadata_entries = 5;
	EXPECT(c, "OK", "SETMETADATA Sent (/private/a NIL)");
	EXPECT(c, "OK", "SETMETADATA Sent (/private/2 \"b\")");
	EXPECT(c, "NO [METADATA TOOMANY]", "SETMETADATA Sent (/private/a \"a\")");
	w.imap.limits.metadata_entries = 100;
	EXPECT(c, "NO [NONEXISTENT]", "SETMETADATA nowhere (/private/a \"a\")");
	EXPECT(c, "NO [NONEXISTENT]", "GETMETADATA nowhere /private/a");
	EXPECT(c, "BAD", "SETMETADATA INBOX (/other/a \"a\")");
	EXPECT(c, "BAD", "SETMETADATA INBOX (/private \"a\")");
	EXPECT(c, "BAD", "SETMETADATA INBOX (/private/a)");
	EXPECT(c, "BAD", "SETMETADATA INBOX (/private/a atom)");
	EXPECT(c, "BAD", "GETMETADATA INBOX /private//a");
	EXPECT(c, "BAD", "GETMETADATA INBOX /private/%%");
	EXPECT(c, "BAD", "GETMETADATA INBOX /private/");
	EXPECT(c, "BAD", "GETMETADATA INBOX (DEPTH 2) /private/a");
}

/* More than one step says is answered in several responses, each entry once. */
static void
metadata_steps(void **state)
{
	enum { COUNT = 50 };
	char big[8000], want[60];

	(void)state;
	memset(big, 'x', sizeof big);
	for (int i = 0; i < COUNT; i++)
		EXPECT(c, "OK", "SETMETADATA INBOX (/private/v/%02d {8000+}\r\n%.8000s)", i, big);
	EXPECT(c, "OK", "GETMETADATA (DEPTH 1) INBOX (/private/v /private/v/07 /private/none)");
	assert_in_range(lines("* METADATA"), 2, 10);
	for (int i = 0; i < COUNT; i++) {
		(void)snprintf(want, sizeof want, "/private/v/%02d \"xx", i);
		const char *at = strstr(buf_z(&c->in), want);
		assert_non_null(at);
		assert_true((strstr(at + 1, want) != NULL) == (i == 7));
	}
	EXPECT(c, "OK [METADATA LONGENTRIES 8000]",
		"GETMETADATA INBOX (DEPTH infinity MAXSIZE 7999) /private");
	SILENT(c, "* METADATA");
}

/* RFC 6154 4, 5.4: a mailbox's use is an entry too. */
static void
metadata_use_of(void **state)
{
	(void)state;
	EXPECT(c, "OK", "GETMETADATA Sent /private/specialuse");
	SAID(c, "* METADATA \"Sent\" (/private/specialuse \"\\\\Sent\")\r\n");
	EXPECT(c, "OK", "GETMETADATA INBOX /private/specialuse");
	SAID(c, "(/private/specialuse NIL)");
	EXPECT(c, "OK", "GETMETADATA (DEPTH infinity) Sent (/private /private/special)");
	assert_int_equal(lines("* METADATA"), 1);
	EXPECT(c, "OK", "GETMETADATA (DEPTH infinity) INBOX /private");
	SILENT(c, "* METADATA");
	/* as webmail moves a use: taken away there, set here */
	EXPECT(c, "OK", "CREATE \"Sent Items\"");
	EXPECT(c, "NO [USEATTR]",
		"SETMETADATA \"Sent Items\" (/private/a \"1\" /private/specialuse \"\\\\Sent\")");
	EXPECT(c, "OK", "GETMETADATA \"Sent Items\" /private/a");
	SAID(c, "(/private/a NIL)");
	EXPECT(c, "OK", "SETMETADATA Sent (/private/specialuse NIL)");
	EXPECT(c, "OK",
		"SETMETADATA \"Sent Items\" (/private/a \"1\" /private/specialuse \"\\\\sent\")");
	EXPECT(c, "OK", "LIST (SPECIAL-USE) \"\" Sent* RETURN (METADATA (/private/specialuse))");
	assert_int_equal(lines("* LIST"), 1);
	SAID(c, "\"/\" \"Sent Items\"\r\n"
		"* METADATA \"Sent Items\" (/private/specialuse \"\\\\Sent\")\r\n");
	EXPECT(c, "OK",
		"SETMETADATA \"Sent Items\" (/private/specialuse \"\\\\Sent \\\\Important\")");
	EXPECT(c, "OK", "GETMETADATA \"Sent Items\" (/private/specialuse /private/a)");
	SAID(c, "(/private/specialuse \"\\\\Sent \\\\Important\" /private/a \"1\")");
	EXPECT(c, "NO [USEATTR]", "SETMETADATA Sent (/private/specialuse \"\\\\Nonsense\")");
	EXPECT(c, "NO [USEATTR]", "SETMETADATA Sent (/private/specialuse \"\\\\All\")");
	EXPECT(c, "NO [USEATTR]", "SETMETADATA INBOX (/private/specialuse \"\\\\Important\")");
	EXPECT(c, "NO [USEATTR]", "SETMETADATA \"\" (/private/specialuse \"\\\\Important\")");
	EXPECT(c, "OK", "SETMETADATA INBOX (/private/specialuse NIL)");
	EXPECT(c, "OK", "SETMETADATA \"Sent Items\" (/private/specialuse \"\")");
	EXPECT(c, "OK", "LIST (SPECIAL-USE) \"\" Sent*");
	SILENT(c, "* LIST");
}

/* They go where their mailbox goes. */
static void
metadata_moves(void **state)
{
	(void)state;
	EXPECT(c, "OK", "CREATE a/b");
	EXPECT(c, "OK", "SETMETADATA a (/private/comment \"holder\")");
	EXPECT(c, "OK", "SETMETADATA a/b (/private/comment \"mine\")");
	EXPECT(c, "OK", "RENAME a/b c");
	EXPECT(c, "OK", "GETMETADATA c /private/comment");
	SAID(c, "\"mine\"");
	/* the name that led there is gone, with what it had */
	EXPECT(c, "OK", "CREATE a");
	EXPECT(c, "OK", "GETMETADATA a /private/comment");
	SAID(c, "NIL");
	EXPECT(c, "OK", "DELETE c");
	EXPECT(c, "OK", "CREATE c");
	EXPECT(c, "OK", "GETMETADATA c /private/comment");
	SAID(c, "NIL");
	EXPECT(c, "OK", "SETMETADATA INBOX (/private/comment \"in\")");
	EXPECT(c, "OK", "RENAME INBOX old");
	EXPECT(c, "OK", "GETMETADATA old /private/comment");
	SAID(c, "\"in\"");
	EXPECT(c, "OK", "GETMETADATA INBOX /private/comment");
	SAID(c, "\"in\"");
}

static void
list_metadata(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "SETMETADATA INBOX (/shared/vendor/x/color \"#b71c1c\")");
	EXPECT(c, "OK", "SUBSCRIBE gone");
	EXPECT(c, "OK", "LIST \"\" (INBOX Sent gone) RETURN (METADATA (/shared/vendor/x/color))");
	assert_int_equal(lines("* METADATA"), 2);
	SAID(c, "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\n"
		"* METADATA \"INBOX\" (/shared/vendor/x/color \"#b71c1c\")\r\n");
	SAID(c, "* METADATA \"Sent\" (/shared/vendor/x/color NIL)\r\n");
	EXPECT(c, "OK",
		"LIST (SUBSCRIBED) \"\" gone RETURN (METADATA /private/comment STATUS (SIZE))");
	assert_int_equal(lines("* METADATA"), 0);
	/* what cannot be selected has none here, though GETMETADATA gives it */
	EXPECT(c, "OK", "CREATE a/b");
	EXPECT(c, "OK", "SETMETADATA a (/private/comment \"holder\")");
	EXPECT(c, "OK", "LIST \"\" a* RETURN (METADATA (/private/comment))");
	assert_int_equal(lines("* METADATA"), 1);
	SAID(c, "* LIST (\\HasNoChildren) \"/\" \"a/b\"\r\n"
		"* METADATA \"a/b\" (/private/comment NIL)\r\n");
	EXPECT(c, "OK", "GETMETADATA a /private/comment");
	SAID(c, "\"holder\"");
	EXPECT(c, "BAD", "LIST \"\" * RETURN (METADATA ())");
	EXPECT(c, "BAD", "LIST \"\" * RETURN (METADATA)");
}

/* ---- names as clients see them ---- */

/* RFC 9051 6.3.9.7, in a session that speaks it. */
static void
old_names(void **state)
{
	struct list *first = w.imap.sessions.next;
	struct imap_session *s = CONTAINER_OF(first, struct imap_session, link);

	(void)state;
	EXPECT(c, "OK", "CREATE caf&AOk-");
	EXPECT(c, "OK", "RENAME caf&AOk- before");
	SILENT(c, "* LIST");
	assert_int_equal(w.imap.sessions_count, 1);
	s->modes |= MODE_REV2;
	EXPECT(c, "OK", "RENAME before \"caf\xc3\xa9\"");
	SAID(c, "* LIST (\\HasNoChildren) \"/\" \"caf\xc3\xa9\" (\"OLDNAME\" (\"before\"))\r\n");
	EXPECT(c, "OK", "CREATE \"caf\xc3\xa9/plain\"");
	SILENT(c, "* LIST");
	/* decomposed: kept in NFC */
	EXPECT(c, "OK", "CREATE \"cafe\xcc\x81/new/\"");
	SAID(c, "* LIST (\\HasNoChildren) \"/\" \"caf\xc3\xa9/new\" "
		"(\"OLDNAME\" (\"cafe\xcc\x81/new/\"))\r\n");
	EXPECT(c, "OK", "LIST \"\" \"caf\xc3\xa9/%%\"");
	assert_int_equal(lines("* LIST"), 2);
	EXPECT(c, "OK", "STATUS \"caf\xc3\xa9/new\" (MESSAGES)");
	SAID(c, "* STATUS \"caf\xc3\xa9/new\" (MESSAGES 0)\r\n");
	EXPECT(c, "NO [ALREADYEXISTS]", "RENAME \"caf\xc3\xa9/new\" \"caf\xc3\xa9/plain\"");
	SILENT(c, "* LIST");
	EXPECT(c, "OK", "RENAME INBOX archive/all");
	SILENT(c, "* LIST");
}

static void
another_separator(void **state)
{
	(void)state;
	w.imap.separator = '.';
	EXPECT(c, "OK", "CREATE Work.Plans");
	EXPECT(c, "OK", "CREATE a/b");
	EXPECT(c, "OK", "LIST \"\" %%");
	SAID(c, "* LIST (\\HasChildren \\Noselect) \".\" \"Work\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren) \".\" \"a/b\"\r\n");
	EXPECT(c, "OK", "LIST \"\" Work.%%");
	SAID(c, "* LIST (\\HasNoChildren) \".\" \"Work.Plans\"\r\n");
	EXPECT(c, "OK", "LIST \"\" \"\"");
	SAID(c, "* LIST (\\Noselect) \".\" \"\"\r\n");
	EXPECT(c, "OK", "LIST Work. *");
	assert_int_equal(lines("* LIST"), 1);
	EXPECT(c, "OK", "STATUS Work.Plans (MESSAGES)");
	SAID(c, "* STATUS \"Work.Plans\" (MESSAGES 0)\r\n");
	EXPECT(c, "OK", "SUBSCRIBE Work.Plans");
	EXPECT(c, "OK", "LSUB \"\" Work*");
	SAID(c, "* LSUB () \".\" \"Work.Plans\"\r\n");
	EXPECT(c, "OK", "NAMESPACE");
	SAID(c, "* NAMESPACE ((\"\" \".\")) NIL NIL\r\n");
	w.imap.separator = '/';
	EXPECT(c, "OK", "LIST \"\" Work/*");
	SAID(c, "* LIST (\\HasNoChildren) \"/\" \"Work/Plans\"\r\n");
	EXPECT(c, "OK", "LIST \"\" a*");
	SAID(c, "\"a.b\"");
}

static void
inbox_prefix(void **state)
{
	(void)state;
	w.imap.inbox_prefix = true;
	w.imap.separator = '.';
	EXPECT(c, "OK", "NAMESPACE");
	SAID(c, "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\r\n");
	EXPECT(c, "OK", "LIST \"\" %%");
	assert_int_equal(lines("* LIST"), 1);
	SAID(c, "* LIST (\\HasChildren) \".\" \"INBOX\"\r\n");
	EXPECT(c, "OK", "LIST \"\" INBOX.%%");
	assert_int_equal(lines("* LIST"), 5);
	SAID(c, "* LIST (\\HasNoChildren \\Sent) \".\" \"INBOX.Sent\"\r\n");
	EXPECT(c, "OK", "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %%");
	SAID(c, "* LIST (\\HasChildren \\Subscribed) \".\" \"INBOX\" "
		"(\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
	EXPECT(c, "OK", "UNSUBSCRIBE INBOX");
	EXPECT(c, "OK", "LSUB \"\" %%");
	assert_int_equal(lines("* LSUB"), 1);
	SAID(c, "* LSUB (\\Noselect) \".\" \"INBOX\"\r\n");
	EXPECT(c, "OK", "CREATE INBOX.new.one");
	EXPECT(c, "OK", "CREATE inbox.INBOX.below");
	EXPECT(c, "NO [CANNOT]", "CREATE other");
	EXPECT(c, "NO [CANNOT]", "CREATE INBOX.INBOX");
	append(c, "INBOX.new.one", "()", mail1);
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	SAID(c, "* 1 EXISTS");
	EXPECT(c, "OK [READ-WRITE]", "SELECT INBOX.new.one");
	EXPECT(c, "OK", "COPY 1 INBOX.Sent");
	EXPECT(c, "OK", "STATUS INBOX.Sent (MESSAGES)");
	SAID(c, "* STATUS \"INBOX.Sent\" (MESSAGES 1)\r\n");
	w.imap.inbox_prefix = false;
	w.imap.separator = '/';
	EXPECT(c, "OK", "LIST \"\" *");
	SAID(c, "\"new/one\"");
	SAID(c, "\"INBOX/below\"");
}

/* ---- many ---- */

enum { MANY = 2000 };

/* Steps go on where they stopped: nothing is missing, nothing said twice, and another session is
 * served in between. */
static void
many_mailboxes(void **state)
{
	struct client *d;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		char line[100];

		(void)snprintf(line, sizeof line, "m CREATE many/%d/%d\r\n", i % 40, i);
		client_sendz(c, line);
	}
	client_sendz(c, "last SUBSCRIBE many/7/7\r\n");
	assert_true(client_await(c, "last OK", false, CLIENT_WAIT_MS));
	assert_int_equal(lines("m NO"), 0);
	d = second();
	EXPECT(c, "OK", "LIST \"\" * RETURN (STATUS (MESSAGES UIDNEXT) SUBSCRIBED)");
	assert_int_equal(lines("* LIST"), MANY + 40 + 1 + 6);
	assert_int_equal(lines("* STATUS"), MANY + 6);
	EXPECT(c, "OK", "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (many/%% many)");
	assert_int_equal(lines("* LIST"), 2);
	/* from anywhere on, whether the place is there or not */
	EXPECT(c, "OK", "LIST \"\" many/7/*");
	assert_int_equal(lines("* LIST"), MANY / 40);
	client_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(list_extended),
		TEST(recursive_match),
		TEST(no_such_parent),
		TEST(too_many_patterns),
		TEST(list_status),
		TEST(status_size),
		TEST(quota),
		cmocka_unit_test(quota_texts),
		TEST(metadata),
		TEST(metadata_steps),
		TEST(metadata_use_of),
		TEST(metadata_moves),
		TEST(list_metadata),
		TEST(old_names),
		TEST(another_separator),
		TEST(inbox_prefix),
		TEST(many_mailboxes),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
