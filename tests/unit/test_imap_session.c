/* Whole IMAP sessions over socketpairs, on a real store in a temporary directory. One test for each
 * token of the capability table, with the name that the table gives; the last test fails when one
 * of them did not run. */
#include <ftw.h>
#include <sys/stat.h>

#define PROGRAM "session"
#include "imap_case.h"

/* ---- the tokens ---- */

static void
imap4rev1(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "CAPABILITY");
	SAID(c, "* CAPABILITY IMAP4rev1 ");
	EXPECT(c, "OK", "NOOP");
	two_messages();
	SAID(c, "* 2 EXISTS\r\n");
	SAID(c, "* 2 RECENT\r\n");
	SAID(c, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk)\r\n");
	SAID(c, "* OK [UNSEEN 1]");
	SAID(c, "* OK [UIDVALIDITY ");
	SAID(c, "* OK [UIDNEXT 3]");
	SAID(c, "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk \\*)]");
	EXPECT(c, "OK", "CHECK");
	EXPECT(c, "OK", "FETCH 1:* (FLAGS UID RFC822.SIZE)");
	SAID(c, "* 1 FETCH (FLAGS (\\Recent) UID 1 RFC822.SIZE ");
	SAID(c, "* 2 FETCH (FLAGS (\\Flagged \\Recent $Junk) UID 2 RFC822.SIZE ");
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Seen)");
	SAID(c, "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n");
	EXPECT(c, "OK", "SEARCH UNSEEN");
	SAID(c, "* SEARCH 2\r\n");
	EXPECT(c, "OK", "COPY 1 Drafts");
	EXPECT(c, "OK", "STATUS Drafts (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)");
	SAID(c, "* STATUS \"Drafts\" (MESSAGES 1 RECENT 1 UIDNEXT 2 UIDVALIDITY ");
	SAID(c, " UNSEEN 0)\r\n");
	EXPECT(c, "OK", "STORE 2 +FLAGS.SILENT (\\Deleted)");
	SILENT(c, "FETCH");
	EXPECT(c, "OK", "EXPUNGE");
	SAID(c, "* 2 EXPUNGE\r\n");
	EXPECT(c, "OK", "CLOSE");
	EXPECT(c, "BAD", "FETCH 1 FLAGS");
	EXPECT(c, "BAD Already logged in", "LOGIN a b");
	EXPECT(c, "BAD Already logged in", "STARTTLS");
	EXPECT(c, "BAD", "NONSENSE");
	EXPECT(c, "OK", "LOGOUT");
	SAID(c, "* BYE ");
}

static void
literal_plus(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "CREATE {3+}\r\nfoo");
	EXPECT(c, "OK", "APPEND {3+}\r\nfoo {%zu+}\r\n%s", strlen(mail1), mail1);
	EXPECT(c, "OK", "STATUS {3+}\r\nfoo (MESSAGES)");
	SAID(c, "(MESSAGES 1)");
	SILENT(c, "+ ");
	/* the synchronising kind asks first */
	buf_reset(&c->in);
	client_sendz(c, "x SELECT {3}\r\n");
	assert_true(client_await(c, "+ ", false, CLIENT_WAIT_MS));
	client_sendz(c, "foo\r\n");
	assert_true(client_await(c, "x OK", false, CLIENT_WAIT_MS));
}

static void
enable(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "ENABLE X-NO-SUCH-THING");
	SAID(c, "* ENABLED\r\n");
	EXPECT(c, "BAD", "ENABLE");
}

static void
id(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "ID (\"name\" \"test\" \"version\" NIL)");
	SAID(c, "* ID (\"name\" \"Postroom\"");
	EXPECT(c, "OK", "ID NIL");
	EXPECT(c, "OK", "ID (name test)");
	EXPECT(c, "BAD", "ID");
	EXPECT(c, "BAD", "ID (name)");
	EXPECT(c, "BAD", "ID name");
}

static void
idle(void **state)
{
	struct client *d = second();

	(void)state;
	RAN();
	EXPECT(c, "OK", "SELECT INBOX");
	buf_reset(&c->in);
	client_sendz(c, "i IDLE\r\n");
	assert_true(client_await(c, "+ ", false, CLIENT_WAIT_MS));
	append(d, "INBOX", "()", mail1);
	assert_true(client_await(c, "* 1 EXISTS", false, CLIENT_WAIT_MS));
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "STORE 1 FLAGS (\\Answered \\Deleted)");
	assert_true(client_await(c, "\\Answered", true, CLIENT_WAIT_MS));
	EXPECT(d, "OK", "EXPUNGE");
	assert_true(client_await(c, "* 1 EXPUNGE", false, CLIENT_WAIT_MS));
	client_sendz(c, "DONE\r\n");
	assert_true(client_await(c, "i OK", false, CLIENT_WAIT_MS));
	buf_reset(&c->in);
	client_sendz(c, "j IDLE\r\nfoo\r\n");
	assert_true(client_await(c, "j BAD", false, CLIENT_WAIT_MS));
	/* what is known already comes before the continuation */
	append(d, "INBOX", "()", mail1);
	buf_reset(&c->in);
	client_sendz(c, "k IDLE\r\n");
	assert_true(client_await(c, "+ idling", false, CLIENT_WAIT_MS));
	assert_true(str_starts(buf_str(&c->in), STR("* 1 EXISTS\r\n")));
	client_sendz(c, "DONE\r\n");
	assert_true(client_await(c, "k OK", false, CLIENT_WAIT_MS));
	EXPECT(c, "OK", "NOOP");
	client_free(d);
}

static void namespace(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "NAMESPACE");
	SAID(c, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
}

static void
uidplus(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK [APPENDUID ", "APPEND INBOX {%zu+}\r\n%s", strlen(mail1), mail1);
	append(c, "INBOX", "(\\Deleted)", mail1);
	append(c, "INBOX", "(\\Deleted)", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	const char *answer = say(c, "UID COPY 1:2,9 Sent");

	expect_at(answer, "OK [COPYUID ", c, __FILE__, __LINE__);
	assert_non_null(strstr(answer, " 1:2 1:2]"));
	EXPECT(c, "OK", "UID EXPUNGE 1:2");
	SAID(c, "* 2 EXPUNGE\r\n");
	SILENT(c, "* 1 EXPUNGE");
	EXPECT(c, "OK", "UID FETCH 1:* UID");
	SAID(c, "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 3)\r\n");
	EXPECT(c, "BAD", "EXPUNGE 1:2");
	EXPECT(c, "BAD", "UID EXPUNGE");
}

static void
unselect(void **state)
{
	(void)state;
	RAN();
	append(c, "INBOX", "(\\Deleted)", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "UNSELECT");
	EXPECT(c, "BAD", "UNSELECT");
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "(MESSAGES 1)");
}

static void
move(void **state)
{
	(void)state;
	RAN();
	two_messages();
	EXPECT(c, "OK", "MOVE 1 Archive");
	SAID(c, "* OK [COPYUID ");
	SAID(c, " 1 1] ");
	SAID(c, "* 1 EXPUNGE\r\n");
	EXPECT(c, "OK", "UID MOVE 2 Archive");
	SAID(c, "* 1 EXPUNGE\r\n");
	EXPECT(c, "OK", "SELECT Archive");
	SAID(c, "* 2 EXISTS\r\n");
	EXPECT(c, "OK", "FETCH 2 (FLAGS INTERNALDATE)");
	SAID(c, "\\Flagged");
	SAID(c, "INTERNALDATE \"20-Nov-2020 09:00:00 +0100\"");
	EXPECT(c, "NO [TRYCREATE]", "MOVE 1 Nowhere");
	EXPECT(c, "OK", "EXAMINE Archive");
	EXPECT(c, "NO [READ-ONLY]", "MOVE 1 INBOX");
}

static void
children(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "CREATE a/b");
	EXPECT(c, "OK", "LIST \"\" *");
	SAID(c, "* LIST (\\HasChildren \\Noselect) \"/\" \"a\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren) \"/\" \"a/b\"\r\n");
	/* a name that only leads to others can be made a mailbox: RFC 3501 6.3.11, 6.4.7 */
	two_messages();
	EXPECT(c, "NO [TRYCREATE]", "APPEND a {5+}\r\nhello");
	EXPECT(c, "NO [TRYCREATE]", "APPEND a {5}");
	EXPECT(c, "NO [TRYCREATE]", "COPY 1 a");
	EXPECT(c, "NO [TRYCREATE]", "MOVE 1 a");
	EXPECT(c, "NO [TRYCREATE]", "REPLACE 1 a {5+}\r\nhello");
	EXPECT(c, "OK", "CREATE a");
	EXPECT(c, "OK", "COPY 1 a");
}

static void
special_use(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "LIST \"\" %%");
	SAID(c, "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"\r\n");
	SAID(c, "* LIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"\r\n");
	EXPECT(c, "OK", "LIST (SPECIAL-USE) \"\" * RETURN (SPECIAL-USE)");
	SAID(c, "\"Sent\"");
	SILENT(c, "INBOX");
}

static void
create_special_use(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "CREATE Stars (USE (\\Important))");
	EXPECT(c, "OK", "LIST \"\" Stars");
	SAID(c, "\\Important) \"/\" \"Stars\"");
	EXPECT(c, "NO [USEATTR]", "CREATE Sent2 (USE (\\Sent))");
	EXPECT(c, "NO [USEATTR]", "CREATE Odd (USE (\\Odd))");
	EXPECT(c, "OK", "LIST \"\" Odd");
	SILENT(c, "* LIST");
	EXPECT(c, "OK", "CREATE Plain (USE ())");
}

/* ---- more ---- */

static void
test_fetch_sections(void **state)
{
	(void)state;
	two_messages();
	EXPECT(c, "OK",
		"FETCH 2 (BODY.PEEK[1] BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[2.MIME])");
	SAID(c, "BODY[1] {5}\r\nPasta BODY[2.HEADER] {18}\r\nSubject: Inner\r\n\r\n"
		" BODY[2.TEXT] {10}\r\nInner text BODY[2.MIME] {32}\r\n"
		"Content-Type: message/rfc822\r\n\r\n)");
	EXPECT(c, "OK", "FETCH 1 (BODY.PEEK[HEADER.FIELDS (subject To)] BODY.PEEK[TEXT]<4.3>)");
	SAID(c, "BODY[HEADER.FIELDS (subject To)] {");
	SAID(c, "To: Bob <bob@example.org>\r\nSubject: Lunch plans\r\n\r\n");
	SAID(c, "BODY[TEXT]<4> {3}\r\nyou)");
	EXPECT(c, "OK", "FETCH 1 BODY.PEEK[HEADER.FIELDS (X-Odd)]");
	SAID(c, "BODY[HEADER.FIELDS (X-Odd)] {14}\r\nX-Odd: yes\r\n\r\n)");
	EXPECT(c, "OK", "FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (From To Subject Date Message-ID)]");
	SAID(c, "{14}\r\nX-Odd: yes\r\n\r\n)");
	EXPECT(c, "OK", "FETCH 1 (BODY.PEEK[7] BODY.PEEK[1.2.3] BODY.PEEK[]<9999.5>)");
	SAID(c, "BODY[7] NIL BODY[1.2.3] NIL BODY[]<9999> {0}\r\n)");
	EXPECT(c, "OK", "FETCH 1 FLAGS");
	SILENT(c, "\\Seen");
	EXPECT(c, "OK", "FETCH 1 (RFC822.SIZE BODY[])");
	SAID(c, "Subject: Lunch plans");
	SAID(c, "FLAGS (\\Seen \\Recent)");
	EXPECT(c, "OK", "FETCH 2 (ENVELOPE BODY BODYSTRUCTURE)");
	SAID(c, "ENVELOPE (\"Sun, 22 Nov 2026 08:00:00 +0100\" \"Re: Lunch plans\" ");
	SAID(c, "\"mixed\"");
	EXPECT(c, "OK", "FETCH 1 (RFC822.HEADER RFC822.TEXT)");
	SAID(c, "RFC822.TEXT {18}\r\nSee you at noon.\r\n");
	EXPECT(c, "BAD", "FETCH 3 FLAGS");
	EXPECT(c, "OK", "UID FETCH 77 FLAGS");
	EXPECT(c, "BAD", "FETCH 1 NONSENSE");
}

static void
test_examine_changes_nothing(void **state)
{
	(void)state;
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK [READ-ONLY]", "EXAMINE INBOX");
	SAID(c, "* 1 RECENT");
	SAID(c, "[PERMANENTFLAGS ()]");
	EXPECT(c, "OK", "FETCH 1 BODY[]");
	EXPECT(c, "NO [READ-ONLY]", "STORE 1 +FLAGS (\\Seen)");
	EXPECT(c, "NO [READ-ONLY]", "EXPUNGE");
	EXPECT(c, "OK", "CLOSE");
	EXPECT(c, "OK", "SELECT INBOX");
	SAID(c, "* 1 RECENT");
	EXPECT(c, "OK", "FETCH 1 FLAGS");
	SAID(c, "FLAGS (\\Recent)");
	EXPECT(c, "OK [READ-WRITE]", "SELECT INBOX");
	SAID(c, "[CLOSED]");
	SAID(c, "* 0 RECENT");
}

static void
test_search(void **state)
{
	static const struct {
		const char *keys, *want;
	} rows[] = {
		{ "ALL", " 1 2" },
		{ "1", " 1" },
		{ "UID 2:*", " 2" },
		{ "NOT 1", " 2" },
		{ "OR 1 2", " 1 2" },
		{ "FLAGGED", " 2" },
		{ "UNFLAGGED", " 1" },
		{ "KEYWORD $junk", " 2" },
		{ "UNKEYWORD $Junk", " 1" },
		{ "KEYWORD none", "" },
		{ "SUBJECT lunch", " 1 2" },
		{ "SUBJECT \"re: LUNCH\"", " 2" },
		{ "FROM ann", " 1" },
		{ "TO bob", " 1" },
		{ "HEADER X-Odd \"\"", " 1" },
		{ "HEADER X-Odd no", "" },
		{ "HEADER Message-ID 1@", " 1" },
		{ "BODY noon", " 1" },
		{ "BODY \"inner TEXT\"", " 2" },
		{ "BODY lunch", "" },
		{ "TEXT lunch", " 1 2" },
		{ "NEW", " 1 2" },
		{ "OLD", "" },
		{ "RECENT", " 1 2" },
		{ "UNSEEN UNDELETED UNDRAFT UNANSWERED", " 1 2" },
		{ "SENTON 21-Nov-2026", " 1" },
		{ "SENTSINCE 22-Nov-2026", " 2" },
		{ "SENTBEFORE 22-Nov-2026", " 1" },
		{ "ON 20-Nov-2020", " 2" },
		{ "SINCE 21-Nov-2020", " 1" },
		{ "BEFORE 21-Nov-2020", " 2" },
		{ "BEFORE 20-Nov-2020", "" },
		{ "LARGER 10 SMALLER 100000", " 1 2" },
		{ "LARGER 100000", "" },
		{ "(OR (FROM ann) (FROM nobody)) NOT DELETED", " 1" },
		{ "CHARSET UTF-8 SUBJECT lunch", " 1 2" },
		{ "CHARSET ISO-8859-1 SUBJECT lunch", " 1 2" },
		{ "5:9", "" },
	};

	(void)state;
	two_messages();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char want[64];

		(void)snprintf(want, sizeof want, "* SEARCH%s\r\n", rows[i].want);
		EXPECT(c, "OK", "SEARCH %s", rows[i].keys);
		said_at(c, want, true, rows[i].keys, __LINE__);
		EXPECT(c, "OK", "UID SEARCH %s", rows[i].keys);
		said_at(c, want, true, rows[i].keys, __LINE__);
	}
	EXPECT(c, "NO [BADCHARSET", "SEARCH CHARSET x-none SUBJECT lunch");
	EXPECT(c, "BAD", "SEARCH NONSENSE");
}

static void
test_mailboxes(void **state)
{
	(void)state;
	EXPECT(c, "OK", "LIST \"\" \"\"");
	SAID(c, "* LIST (\\Noselect) \"/\" \"\"\r\n");
	EXPECT(c, "OK", "CREATE Work/Plans");
	EXPECT(c, "NO [ALREADYEXISTS]", "CREATE Work/Plans");
	EXPECT(c, "NO [ALREADYEXISTS]", "CREATE inbox");
	EXPECT(c, "OK", "CREATE Work/");
	EXPECT(c, "OK", "LIST Work/ %%");
	SAID(c, "\"Work/Plans\"");
	EXPECT(c, "OK", "CREATE \"&U,BTFw-\"");
	EXPECT(c, "OK", "LIST \"\" \"&U,*\"");
	EXPECT(c, "OK", "LIST \"\" \"&U,BTFw-\"");
	SAID(c, "\"&U,BTFw-\"");
	EXPECT(c, "OK", "RENAME Work Job");
	EXPECT(c, "OK", "LIST \"\" J*");
	SAID(c, "\"Job/Plans\"");
	EXPECT(c, "NO [NONEXISTENT]", "RENAME Work Job2");
	EXPECT(c, "NO [NONEXISTENT]", "SELECT Work");
	EXPECT(c, "OK", "SUBSCRIBE Job/Plans");
	EXPECT(c, "OK", "DELETE Job/Plans");
	EXPECT(c, "OK", "LSUB \"\" *");
	SAID(c, "* LSUB () \"/\" \"Job/Plans\"\r\n");
	EXPECT(c, "OK", "LSUB \"\" %%");
	SAID(c, "* LSUB (\\Noselect) \"/\" \"Job\"\r\n");
	EXPECT(c, "OK", "UNSUBSCRIBE Job/Plans");
	EXPECT(c, "OK", "LSUB \"\" *");
	SILENT(c, "Job");
	EXPECT(c, "NO [CANNOT]", "DELETE INBOX");
	EXPECT(c, "NO [NONEXISTENT]", "DELETE Job/Plans");
	EXPECT(c, "NO [NONEXISTENT]", "STATUS nowhere (MESSAGES)");
}

static void
test_names_that_are_none(void **state)
{
	static const char *const names[] = { "../x", "a/../b", "..", ".", "a//b", "/a", "\"\"",
		"\"&\"", "\"&AGE-\"", "\"&U,BTFw\"", "\"a\x80\"", "{2+}\r\n\x01x", "\"&2AA-\"" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		EXPECT(c, "NO [CANNOT]", "CREATE %s", names[i]);
		EXPECT(c, "NO [CANNOT]", "SELECT %s", names[i]);
		EXPECT(c, "NO [CANNOT]", "APPEND %s {1+}\r\nx", names[i]);
	}
}

static void
test_append_refusals(void **state)
{
	(void)state;
	EXPECT(c, "NO [TRYCREATE]", "APPEND none {5+}\r\nhello");
	EXPECT(c, "NO [TRYCREATE]", "APPEND none {5}");
	EXPECT(c, "NO [TOOBIG]", "APPEND INBOX {99999999}");
	EXPECT(c, "BAD", "APPEND INBOX");
	EXPECT(c, "BAD", "APPEND INBOX (\\Foo) {5+}\r\nhello");
	EXPECT(c, "OK", "NOOP");
}

/* A COPY by numbers of what another session has expunged is no success, and copies nothing of the
 * rest (RFC 9051 6.4.7); MOVE moves the rest and says so (RFC 6851 4.3). UIDs that are gone are
 * passed over. */
static void
test_copy_of_what_is_gone(void **state)
{
	struct client *d;

	(void)state;
	two_messages();
	append(c, "INBOX", "()", mail1);
	append(c, "INBOX", "()", mail1);
	d = second();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	EXPECT(c, "NO [EXPUNGEISSUED]", "COPY 1:2 Archive");
	SILENT(c, "COPYUID");
	SAID(c, "* 1 EXPUNGE\r\n");
	EXPECT(c, "OK", "STATUS Archive (MESSAGES UIDNEXT)");
	SAID(c, "(MESSAGES 0 UIDNEXT 1)");
	EXPECT(c, "OK [COPYUID ", "COPY 1 Archive");
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	EXPECT(c, "NO [TRYCREATE]", "COPY 1 Nowhere");
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	EXPECT(c, "NO [EXPUNGEISSUED]", "MOVE 1:2 Archive");
	SAID(c, " 4 2] Moved\r\n");
	SAID(c, "* 2 EXPUNGE\r\n* 1 EXPUNGE\r\n");
	append(c, "INBOX", "()", mail1);
	append(c, "INBOX", "()", mail1);
	EXPECT(d, "OK", "NOOP");
	EXPECT(d, "OK", "UID STORE 5 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	EXPECT(c, "OK [COPYUID ", "UID COPY 5:6 Archive");
	SAID(c, " 6 3] Copied\r\n");
	EXPECT(c, "OK", "UID MOVE 5:6 Archive");
	SAID(c, " 6 4] Moved\r\n");
	client_free(d);
}

/* A second session never sees its sequence numbers move inside a FETCH. */
static void
test_expunge_by_another(void **state)
{
	struct client *d;

	(void)state;
	two_messages();
	d = second();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	EXPECT(c, "NO [EXPUNGEISSUED]", "FETCH 1:2 (UID FLAGS)");
	SILENT(c, "* 1 EXPUNGE");
	SAID(c, "* 2 FETCH (UID 2 ");
	EXPECT(c, "OK [EXPUNGEISSUED]", "SEARCH 2 FLAGGED");
	SAID(c, "* SEARCH 2\r\n");
	/* what comes is told meanwhile (RFC 3501 5.2), flags when the numbers moved */
	append(d, "INBOX", "()", mail1);
	append(d, "INBOX", "()", mail1);
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Answered)");
	EXPECT(c, "OK", "FETCH 2 UID");
	SAID(c, "* 4 EXISTS\r\n");
	SILENT(c, "EXPUNGE");
	EXPECT(c, "OK", "FETCH 4 (UID)");
	SAID(c, "* 4 FETCH (UID 4)\r\n");
	SILENT(c, "EXISTS");
	SILENT(c, "\\Answered");
	EXPECT(d, "OK", "STORE 3 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "UID EXPUNGE 4");
	EXPECT(c, "OK", "FETCH 3 UID");
	SILENT(c, "EXPUNGE");
	EXPECT(c, "OK", "NOOP");
	SAID(c, "* 4 EXPUNGE\r\n* 1 EXPUNGE\r\n");
	SAID(c, "* 1 FETCH (FLAGS (\\Answered \\Flagged \\Recent $Junk))\r\n");
	EXPECT(d, "OK", "STORE 2 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	EXPECT(c, "OK", "NOOP");
	SAID(c, "* 2 EXPUNGE\r\n");
	EXPECT(c, "OK", "FETCH 1 UID");
	SAID(c, "* 1 FETCH (UID 2)\r\n");
	append(d, "INBOX", "()", mail1);
	EXPECT(c, "OK", "NOOP");
	SAID(c, "* 2 EXISTS\r\n");
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Seen $New)");
	EXPECT(c, "OK", "UID FETCH 999 UID");
	SAID(c, "* FLAGS (");
	SAID(c, "* 1 FETCH (UID 2 FLAGS (");
	client_free(d);
}

static void
test_bad_input(void **state)
{
	(void)state;
	buf_reset(&c->in);
	client_sendz(c, "\r\n");
	assert_true(client_await(c, "* BAD", false, CLIENT_WAIT_MS));
	EXPECT(c, "BAD", "SELECT \"a");
	EXPECT(c, "BAD", "SELECT a b");
	EXPECT(c, "OK", "NOOP");
	struct buf b;

	buf_init(&b, 1 << 22);
	for (int i = 0; i < 200000; i++)
		buf_addc(&b, 'x');
	EXPECT(c, "BAD [LIMIT]", "SELECT %s", buf_z(&b));
	EXPECT(c, "BAD [LIMIT]", "SELECT {200000+}\r\n%s", buf_z(&b));
	EXPECT(c, "BAD [LIMIT]", "SELECT {200000}");
	EXPECT(c, "OK", "NOOP");
	buf_fini(&b);
	/* what is no tag is not repeated: "+" would ask for the literal */
	buf_reset(&c->in);
	client_sendz(c, "+ SELECT {200000}\r\n");
	assert_true(client_await(c, "* BAD [LIMIT]", false, CLIENT_WAIT_MS));
	buf_reset(&c->in);
	client_sendz(c, "+ APPEND INBOX {5}\r\n");
	assert_true(client_await(c, "* BAD", false, CLIENT_WAIT_MS));
	buf_reset(&c->in);
	for (int i = 0; i < 30; i++)
		client_sendz(c, "x NONSENSE\r\n");
	assert_true(client_await(c, "* BYE", false, CLIENT_WAIT_MS));
}

static void
test_pipelining(void **state)
{
	(void)state;
	append(c, "INBOX", "()", mail1);
	buf_reset(&c->in);
	client_sendz(c, "a SELECT INBOX\r\nb STORE 1 +FLAGS (\\Seen)\r\nc FETCH 1 FLAGS\r\n"
			"d UID SEARCH ALL\r\ne CLOSE\r\nf CAPABILITY\r\n");
	assert_true(client_await(c, "f OK", false, CLIENT_WAIT_MS));
	struct str s = buf_str(&c->in);
	static const char *const order[] = { "a OK", "b OK", "c OK", "d OK", "e OK", "f OK" };
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		at = str_find(s, str_of(order[i]));
		if (at == s.n)
			print_error("%s: %.*s", order[i], STR_FMT(buf_str(&c->in)));
		assert_true(at < s.n);
		s = str_from(s, at);
	}
}

static void
test_input_behind_the_login(void **state)
{
	struct client *d = client_login(&w, "early", STR("a NOOP\r\nb SELECT INBOX\r\n"));

	(void)state;
	assert_true(client_await(d, "b OK", false, CLIENT_WAIT_MS));
	SAID(d, "login OK [CAPABILITY IMAP4rev1");
	client_free(d);
}

/* One byte at a time, like a slow line. */
static void
test_byte_by_byte(void **state)
{
	static const char script[] = "a SELECT {5+}\r\nINBOX\r\nb APPEND INBOX (\\Seen) {5+}\r\n"
				     "hello\r\nc FETCH 1 (BODY[] FLAGS)\r\n";

	(void)state;
	buf_reset(&c->in);
	for (size_t i = 0; i < sizeof script - 1; i++) {
		client_send(c, str_n(script + i, 1));
		client_rest(c, 0);
	}
	assert_true(client_await(c, "c OK", false, CLIENT_WAIT_MS));
	SAID(c, "* 1 FETCH (BODY[] {5}\r\nhello FLAGS (\\Seen \\Recent))\r\n");
}

static void
test_connections_per_user(void **state)
{
	size_t before = w.imap.limits.sessions_per_user;
	struct client *d;

	(void)state;
	w.imap.limits.sessions_per_user = 1;
	d = second();
	SAID(d, "login NO [LIMIT]");
	assert_true(client_await(d, "* BYE", false, CLIENT_WAIT_MS));
	w.imap.limits.sessions_per_user = before;
	client_free(d);
}

/* A stop is no end for the client: RFC 5530 3. Who waits hears it at once, who has a command under
 * way behind that. */
static void
test_bye_at_a_stop(void **state)
{
	static const char bye[] = "* BYE [UNAVAILABLE] ";
	struct client *busy = second(), *idle = second(), *late;

	(void)state;
	buf_reset(&idle->in);
	client_sendz(idle, "i IDLE\r\n");
	assert_true(client_await(idle, "+ idling", false, CLIENT_WAIT_MS));
	w.imap.stopping = true;
	buf_reset(&busy->in);
	client_sendz(busy, "b LIST \"\" *\r\n");
	assert_true(client_await(busy, bye, false, CLIENT_WAIT_MS));
	struct str said = buf_str(&busy->in);

	assert_true(str_find(said, STR("b OK")) < str_find(said, STR("* BYE")));
	/* a login that was confirmed only now */
	late = second();
	SAID(late, "login NO [UNAVAILABLE] ");
	assert_true(client_await(late, bye, false, CLIENT_WAIT_MS));
	client_free(late);
	buf_reset(&c->in);
	imap_stop(&w.imap);
	w.imap.stopping = false;
	assert_true(client_await(c, bye, false, CLIENT_WAIT_MS));
	assert_true(client_await(idle, bye, false, CLIENT_WAIT_MS));
	assert_int_equal(w.imap.sessions_count, 0);
	client_free(busy);
	client_free(idle);
}

static void
test_deleted_while_selected(void **state)
{
	struct client *d;

	(void)state;
	EXPECT(c, "OK", "CREATE x");
	EXPECT(c, "OK", "SELECT x");
	d = second();
	EXPECT(d, "OK", "DELETE x");
	buf_reset(&c->in);
	client_sendz(c, "q NOOP\r\n");
	assert_true(client_await(c, "* BYE", false, CLIENT_WAIT_MS));
	EXPECT(d, "OK", "CREATE y");
	EXPECT(d, "OK", "SELECT y");
	EXPECT(d, "OK", "DELETE y");
	EXPECT(d, "BAD", "FETCH 1 FLAGS");
	client_free(d);
}

/* One session says nothing, one reads nothing, one is in IDLE. */
static int
truncate_one(const char *path, const struct stat *st UNUSED, int kind, struct FTW *ftw UNUSED)
{
	return kind == FTW_F ? truncate(path, 1) : 0;
}

static void
truncate_messages(const char *dir)
{
	assert_int_equal(nftw(dir, truncate_one, 16, FTW_PHYS), 0);
}

/* What another session changed since this one last looked is told, whatever this one stores itself
 * and however quietly. RFC 3501 6.4.6. */
static void
test_silent_store_hides_nothing_of_others(void **state)
{
	struct client *d = second();

	(void)state;
	two_messages();
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "NOOP");
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Flagged)");
	EXPECT(c, "OK", "STORE 1:2 +FLAGS.SILENT (\\Seen)");
	SAID(c, "* 1 FETCH (FLAGS (\\Flagged \\Seen");
	SILENT(c, "* 2 FETCH");
	EXPECT(d, "OK", "STORE 3 +FLAGS (\\Answered)");
	EXPECT(c, "OK", "STORE 1:3 -FLAGS.SILENT (\\Draft)");
	SAID(c, "* 3 FETCH (FLAGS (\\Answered");
	EXPECT(c, "OK", "STORE 1:3 +FLAGS.SILENT (\\Draft)");
	SILENT(c, "FETCH (");
	client_free(d);
}

/* A command that ends badly said less than it did. */
static void
test_flags_after_a_fetch_that_failed(void **state)
{
	char cmd[200];

	(void)state;
	two_messages();
	(void)snprintf(cmd, sizeof cmd, "%s/user%u/msg", w.dir, w.homes);
	truncate_messages(cmd);
	EXPECT(c, "NO", "FETCH 1:2 BODY[]");
	SAID(c, "* 1 FETCH (FLAGS (\\Seen");
	SAID(c, "* 2 FETCH (FLAGS (\\Flagged \\Seen");
}

static void
test_lsub(void **state)
{
	(void)state;
	EXPECT(c, "OK", "SUBSCRIBE foo");
	EXPECT(c, "OK", "SUBSCRIBE foo-bar");
	EXPECT(c, "OK", "SUBSCRIBE foo/one");
	EXPECT(c, "OK", "SUBSCRIBE foo/two");
	EXPECT(c, "OK", "SUBSCRIBE top/one/x");
	EXPECT(c, "OK", "SUBSCRIBE top/one/y");
	EXPECT(c, "OK", "LSUB \"\" %%");
	SAID(c, "* LSUB () \"/\" \"foo\"\r\n");
	SILENT(c, "(\\Noselect) \"/\" \"foo\"");
	SAID(c, "* LSUB (\\Noselect) \"/\" \"top\"\r\n");
	EXPECT(c, "OK", "LSUB top/ %%");
	SAID(c, "* LSUB (\\Noselect) \"/\" \"top/one\"\r\n");
	EXPECT(c, "OK", "LSUB \"\" *");
	SILENT(c, "Noselect");
	EXPECT(c, "BAD", "LSUB (SPECIAL-USE) \"\" *");
}

static void
test_list_names_in_any_form(void **state)
{
	(void)state;
	/* e and U+0301 as two characters, as some systems write them */
	EXPECT(c, "OK", "CREATE \"Cafe&AwE-\"");
	EXPECT(c, "OK", "LIST \"\" \"Cafe&AwE-\"");
	SAID(c, "\"Caf&AOk-\"\r\n");
	EXPECT(c, "OK", "LIST \"\" \"Cafe&AwE-*\"");
	SAID(c, "\"Caf&AOk-\"\r\n");
}

/* A client that uploads a folder of large messages is told of each and may go on. */
static void
test_many_messages_too_big(void **state)
{
	const uint64_t max = w.imap.limits.reader.message_max;

	(void)state;
	w.imap.limits.reader.message_max = 10;
	for (unsigned i = 0; i < 30; i++)
		EXPECT(c, "NO [TOOBIG]", "APPEND INBOX {%zu+}\r\n%s", strlen(mail1), mail1);
	w.imap.limits.reader.message_max = max;
	EXPECT(c, "OK", "NOOP");
}

/* Many pieces of many messages are more than a stream takes at once. */
static void
test_many_pieces_in_one_answer(void **state)
{
	static char mail[33000];
	struct buf cmd;

	(void)state;
	memset(mail, 'x', sizeof mail - 1);
	memcpy(mail, "A: b\r\n\r\n", 8);
	for (unsigned i = 0; i < 20; i++)
		append(c, "INBOX", "()", mail);
	EXPECT(c, "OK", "SELECT INBOX");
	buf_init(&cmd, 65536);
	buf_addz(&cmd, "FETCH 1:20 (");
	for (unsigned i = 0; i < 30; i++)
		buf_addz(&cmd, "BODY.PEEK[]<0.32000> ");
	buf_addz(&cmd, "UID)");
	EXPECT(c, "OK", "%.*s", STR_FMT(buf_str(&cmd)));
	SAID(c, "x UID 20)\r\n");
	buf_fini(&cmd);
}

/* Sections of messages and parts without parts, and of a message inside. RFC 3501 6.4.5. */
static void
test_sections_of_single_parts(void **state)
{
	static const struct {
		unsigned seq;
		const char *section, *want;
	} rows[] = {
		{ 1, "1", "BODY[1] {18}\r\nSee you at noon.\r\n)" },
		{ 1, "1.1", "BODY[1.1] NIL)" },
		{ 1, "2", "BODY[2] NIL)" },
		{ 1, "1.TEXT", "BODY[1.TEXT] NIL)" },
		{ 1, "1.HEADER", "BODY[1.HEADER] NIL)" },
		{ 2, "2", "BODY[2] {28}\r\nSubject: Inner\r\n\r\nInner text)" },
		{ 2, "2.1", "BODY[2.1] {10}\r\nInner text)" },
		{ 2, "2.2", "BODY[2.2] NIL)" },
		{ 2, "1.TEXT", "BODY[1.TEXT] NIL)" },
		{ 2, "2.HEADER.FIELDS (subject)",
			"BODY[2.HEADER.FIELDS (subject)] {18}\r\nSubject: Inner\r\n\r\n)" },
		{ 2, "2.HEADER.FIELDS.NOT (subject)",
			"BODY[2.HEADER.FIELDS.NOT (subject)] {2}\r\n\r\n)" },
		{ 2, "2.1.1", "BODY[2.1.1] NIL)" },
		{ 2, "3", "BODY[3] NIL)" },
	};

	(void)state;
	two_messages();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		EXPECT(c, "OK", "FETCH %u BODY.PEEK[%s]", rows[i].seq, rows[i].section);
		SAID(c, rows[i].want);
	}
	EXPECT(c, "BAD", "FETCH 1 BODY[0]");
	EXPECT(c, "BAD", "FETCH 1 BODY[1.]");
	EXPECT(c, "BAD", "FETCH 1 BODY[MIME]");
	EXPECT(c, "BAD", "FETCH 1 BODY[HEADER.FIELDS ()]");
	EXPECT(c, "BAD", "FETCH 1 BODY[]<1.0>");
	EXPECT(c, "BAD", "FETCH 1 BODY.PEEK");
}

static void
test_sets(void **state)
{
	(void)state;
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "BAD", "FETCH 1:* FLAGS");
	EXPECT(c, "BAD", "FETCH * FLAGS");
	EXPECT(c, "OK", "UID FETCH 1:* FLAGS");
	EXPECT(c, "OK", "UID STORE * +FLAGS (\\Seen)");
	EXPECT(c, "OK", "UID COPY 1:* Sent");
	EXPECT(c, "OK", "UID MOVE * Sent");
	EXPECT(c, "OK", "UID EXPUNGE 1:*");
	EXPECT(c, "OK", "SEARCH ALL");
	SAID(c, "* SEARCH\r\n");
	two_messages();
	EXPECT(c, "OK", "FETCH *:1 UID");
	SAID(c, "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\n");
	EXPECT(c, "OK", "FETCH 2,1,1:2,2:1 UID");
	SAID(c, "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\nt");
	EXPECT(c, "OK", "UID FETCH 99:* UID");
	SAID(c, "* 2 FETCH (UID 2)\r\n");
	SILENT(c, "* 1 FETCH");
	EXPECT(c, "OK", "UID FETCH 4294967295 UID");
	SILENT(c, "FETCH (");
	EXPECT(c, "BAD", "FETCH 1:3 UID");
	EXPECT(c, "BAD", "FETCH 0 UID");
	EXPECT(c, "BAD", "FETCH 4294967296 UID");
	EXPECT(c, "BAD", "FETCH 1, UID");
	EXPECT(c, "BAD", "FETCH 1: UID");
	EXPECT(c, "BAD", "STORE 1 FLAGS (a]b)");
	EXPECT(c, "BAD", "STORE 1 FLAGS (\\Recent)");
	EXPECT(c, "BAD", "STORE 1 FLAGS");
	EXPECT(c, "OK", "STORE 2 FLAGS ()");
	SAID(c, "* 2 FETCH (FLAGS ())\r\n");
}

static void
test_inbox(void **state)
{
	(void)state;
	EXPECT(c, "NO", "CREATE inbox");
	EXPECT(c, "NO", "DELETE INBOX");
	EXPECT(c, "OK", "CREATE inBox/sub/");
	two_messages();
	EXPECT(c, "OK", "RENAME INBOX old/2026");
	SAID(c, "* 2 EXPUNGE\r\n* 1 EXPUNGE\r\n");
	EXPECT(c, "OK", "STATUS old/2026 (MESSAGES)");
	SAID(c, "(MESSAGES 2)");
	EXPECT(c, "OK", "LIST \"\" inbox*");
	SAID(c, "* LIST (\\HasChildren) \"/\" \"INBOX\"\r\n");
	SAID(c, "\"INBOX/sub\"\r\n");
	EXPECT(c, "NO [ALREADYEXISTS]", "RENAME old INBOX");
	EXPECT(c, "OK", "DELETE old/2026");
	EXPECT(c, "OK", "LIST \"\" old*");
	SILENT(c, "old/2026");
}

static void
test_time_limits(void **state)
{
	struct imap_limits before = w.imap.limits;
	struct client *stuck = second(), *idling = second();
	struct buf big;

	(void)state;
	buf_init(&big, 4 * 1024 * 1024);
	for (int i = 0; i < 100000; i++)
		buf_addz(&big, "0123456789abcdef\r\n");
	EXPECT(stuck, "OK", "CREATE big");
	buf_reset(&stuck->in);
	client_sendz(stuck, "a APPEND big {1800000+}\r\n");
	client_send(stuck, buf_str(&big));
	client_sendz(stuck, "\r\n");
	assert_true(client_await(stuck, "a OK", false, CLIENT_WAIT_MS));
	EXPECT(stuck, "OK", "SELECT big");
	w.imap.limits.idle_ms = w.imap.limits.write_ms = w.imap.limits.probe_ms = 100;
	client_sendz(stuck, "b FETCH 1 BODY.PEEK[]\r\n");
	loop_io_set(&stuck->io, 0);
	buf_reset(&idling->in);
	client_sendz(idling, "c IDLE\r\n");
	/* who rested before the limits were these looks at them when he speaks again */
	EXPECT(c, "OK", "NOOP");
	buf_reset(&c->in);
	assert_true(client_await(c, "* BYE", false, CLIENT_WAIT_MS));
	assert_true(client_await(idling, "* OK Still here", false, CLIENT_WAIT_MS));
	for (int i = 0; i < 400 && w.imap.sessions_count > 1; i++)
		client_rest(idling, 50);
	assert_int_equal(w.imap.sessions_count, 1);
	w.imap.limits = before;
	client_sendz(idling, "DONE\r\n");
	assert_true(client_await(idling, "c OK", false, CLIENT_WAIT_MS));
	client_free(stuck);
	client_free(idling);
	buf_fini(&big);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(imap4rev1),
		TEST(literal_plus),
		TEST(enable),
		TEST(id),
		TEST(idle),
		TEST(namespace),
		TEST(uidplus),
		TEST(unselect),
		TEST(move),
		TEST(children),
		TEST(special_use),
		TEST(create_special_use),
		TEST(test_fetch_sections),
		TEST(test_examine_changes_nothing),
		TEST(test_search),
		TEST(test_mailboxes),
		TEST(test_names_that_are_none),
		TEST(test_append_refusals),
		TEST(test_copy_of_what_is_gone),
		TEST(test_expunge_by_another),
		TEST(test_bad_input),
		TEST(test_pipelining),
		TEST(test_input_behind_the_login),
		TEST(test_byte_by_byte),
		TEST(test_connections_per_user),
		TEST(test_bye_at_a_stop),
		TEST(test_deleted_while_selected),
		TEST(test_silent_store_hides_nothing_of_others),
		TEST(test_flags_after_a_fetch_that_failed),
		TEST(test_lsub),
		TEST(test_list_names_in_any_form),
		TEST(test_many_messages_too_big),
		TEST(test_many_pieces_in_one_answer),
		TEST(test_sections_of_single_parts),
		TEST(test_sets),
		TEST(test_inbox),
		TEST(test_time_limits),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
