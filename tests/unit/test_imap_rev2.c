/* IMAP4rev2, section by section of RFC 9051 and Appendix E: what a client hears that enabled it,
 * beside one that did not. What both revisions have in common is in the other test_imap_ programs.
 */
#define PROGRAM "rev2"
#include "imap_case.h"

/* One command and what it must and must not say. */
struct row {
	const char *section; /* of RFC 9051 */
	char who;	     /* '2': the client of IMAP4rev2; '1': another, of IMAP4rev1 */
	const char *command;
	const char *status; /* how the tagged answer begins */
	const char *said[6];
	const char *silent[4];
};

static void
run_row(const struct row *r, struct client *by)
{
	const char *status = say(by, "%s", r->command);
	bool right = strncmp(status, r->status, strlen(r->status)) == 0;

	for (size_t i = 0; right && i < ARRAY_LEN(r->said) && r->said[i] != NULL; i++)
		right = said(by, r->said[i]);
	for (size_t i = 0; right && i < ARRAY_LEN(r->silent) && r->silent[i] != NULL; i++)
		right = !said(by, r->silent[i]);
	if (!right)
		print_error("section %s, %s: %.*s\n", r->section, r->command,
			STR_FMT(buf_str(&by->in)));
	assert_true(right);
}

static void
run_rows(const struct row *rows, size_t n, struct client *rev2, struct client *rev1)
{
	for (size_t i = 0; i < n; i++)
		run_row(&rows[i], rows[i].who == '2' ? rev2 : rev1);
}

static struct client *
rev2_client(void)
{
	struct client *d = second();

	EXPECT(d, "OK", "ENABLE IMAP4rev2");
	SAID(d, "* ENABLED IMAP4rev2\r\n");
	return d;
}

#define MAIL  "{21+}\r\nSubject: x\r\n\r\nlunch\r\n"
#define SHORT "{3+}\r\nA:\n"

/* ---- what is the same, with a token of its own in IMAP4rev1: 6.1.1, Appendix E.2 ---- */

static void
imap4rev2(void **state)
{
	static const char *const part_of_it[] = { "NAMESPACE", "UNSELECT", "UIDPLUS", "ESEARCH",
		"SEARCHRES", "ENABLE", "IDLE", "LIST-EXTENDED", "LIST-STATUS", "MOVE", "BINARY",
		"SPECIAL-USE", "STATUS=SIZE", "LITERAL+" };

	(void)state;
	RAN();
	EXPECT(c, "OK", "CAPABILITY");
	SAID(c, "* CAPABILITY IMAP4rev1 IMAP4rev2 ");
	for (size_t i = 0; i < ARRAY_LEN(part_of_it); i++) {
		char token[40];

		(void)snprintf(token, sizeof token, " %s", part_of_it[i]);
		SAID(c, token);
	}
	/* 6.3.1: said once, by any case, beside others */
	EXPECT(c, "OK", "ENABLE imap4REV2 NONSENSE CONDSTORE");
	SAID(c, "* ENABLED IMAP4rev2 CONDSTORE\r\n");
	EXPECT(c, "OK", "ENABLE IMAP4rev2");
	SAID(c, "* ENABLED\r\n");
}

/* ---- sections 5 and 6.3 ---- */

static const struct row selection[] = {
	{ "2.3.2", '1', "APPEND INBOX ($Forwarded) " MAIL, "OK [APPENDUID ", { NULL }, { NULL } },
	/* E.10, E.11, E.12: LIST, no RECENT, no UNSEEN */
	{ "6.3.2", '2', "SELECT INBOX", "OK [READ-WRITE]",
		{ "* 1 EXISTS\r\n",
			"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)",
			"* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\n", "* OK [PERMANENTFLAGS (",
			"* OK [UIDNEXT 2]", "* OK [UIDVALIDITY " },
		{ "RECENT", "UNSEEN", "CLOSED", "Recent" } },
	{ "6.3.2", '2', "FETCH 1 (FLAGS)", "OK", { "* 1 FETCH (FLAGS ($Forwarded))\r\n" },
		{ NULL } },
	/* E.9: the other mailbox is closed, also when there is none to open */
	{ "6.3.3", '2', "EXAMINE Drafts", "OK [READ-ONLY]",
		{ "* OK [CLOSED] ", "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\r\n",
			"* OK [PERMANENTFLAGS ()]" },
		{ "RECENT" } },
	{ "7.1", '2', "SELECT nowhere", "NO [NONEXISTENT]", { "* OK [CLOSED] " }, { NULL } },
	{ "6.3.2", '2', "FETCH 1 FLAGS", "BAD", { NULL }, { "CLOSED" } },
	/* a name in another form: 5.1, 6.3.9.7 */
	{ "6.3.2", '2', "SELECT inBox", "OK",
		{ "* LIST (\\HasNoChildren) \"/\" \"INBOX\" (\"OLDNAME\" (\"inBox\"))\r\n" },
		{ "CLOSED" } },
	{ "6.4.2", '2', "UNSELECT", "OK", { NULL }, { "CLOSED" } },
	/* E.12 */
	{ "6.3.11", '2', "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE)", "OK",
		{ "* STATUS \"INBOX\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ", " UNSEEN 1 ",
			" DELETED 0)\r\n", " SIZE 21 " },
		{ NULL } },
};

static const struct row names[] = {
	/* E.16: UTF-8 between quotes, and "&" is a letter */
	{ "5.1", '2', "CREATE \"Entw\xc3\xbcrfe\"", "OK", { NULL }, { "OLDNAME" } },
	{ "5.1", '2', "LIST \"\" \"Entw\xc3\xbc*\"", "OK",
		{ "* LIST (\\HasNoChildren) \"/\" \"Entw\xc3\xbcrfe\"\r\n" }, { "&APw-" } },
	{ "5.1", '1', "LIST \"\" Entw*", "OK",
		{ "* LIST (\\HasNoChildren) \"/\" \"Entw&APw-rfe\"\r\n" }, { "\xc3" } },
	{ "5.1", '2', "CREATE \"Q&A-\"", "OK", { NULL }, { NULL } },
	{ "5.1", '2', "LIST \"\" Q*", "OK", { "\"Q&A-\"\r\n" }, { NULL } },
	{ "5.1", '1', "LIST \"\" Q*", "OK", { "\"Q&-A-\"\r\n" }, { NULL } },
	{ "5.1", '2', "STATUS \"Entw\xc3\xbcrfe\" (MESSAGES)", "OK",
		{ "* STATUS \"Entw\xc3\xbcrfe\" (MESSAGES 0)\r\n" }, { NULL } },
	{ "5.1", '2', "SELECT \"Entw\xfcrfe\"", "NO [CANNOT]", { NULL }, { NULL } },
	/* not in normal form: stored in it, and the client is told */
	{ "6.3.4", '2', "CREATE \"Gru\xcc\x88n\"", "OK",
		{ "* LIST (\\HasNoChildren) \"/\" \"Gr\xc3\xbcn\" (\"OLDNAME\" "
		  "(\"Gru\xcc\x88n\"))\r\n" },
		{ NULL } },
	{ "6.3.4", '2', "CREATE \"Gr\xc3\xbcn\"", "NO [ALREADYEXISTS]", { NULL }, { "OLDNAME" } },
	{ "6.3.4", '2', "CREATE Rot/Hell/Rosa", "OK", { NULL }, { NULL } },
	/* what leads to others only exists as a name */
	{ "6.3.5", '2', "DELETE Rot/Hell", "NO [", { NULL }, { NULL } },
	{ "6.3.4", '2', "CREATE Rot", "OK", { NULL }, { NULL } },
	{ "6.3.5", '2', "DELETE Rot", "OK", { NULL }, { NULL } },
	{ "6.3.5", '2', "DELETE Rot", "NO [HASCHILDREN]", { NULL }, { NULL } },
	{ "6.3.5", '2', "DELETE inbox", "NO [CANNOT]", { NULL }, { NULL } },
	{ "6.3.9", '2', "LIST \"\" Rot", "OK",
		{ "* LIST (\\HasChildren \\NonExistent) \"/\" \"Rot\"\r\n" }, { "\\Noselect" } },
	{ "6.3.9", '1', "LIST \"\" Rot", "OK", { "* LIST (\\HasChildren \\Noselect)" }, { NULL } },
	{ "6.3.2", '2', "SELECT Rot", "NO [NONEXISTENT]", { NULL }, { NULL } },
	/* E.2: RFC 5258's options, and RFC 5819's */
	{ "6.3.9.1", '2', "SUBSCRIBE Gone/Long", "OK", { NULL }, { NULL } },
	{ "6.3.9.6", '2', "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" Gon%", "OK",
		{ "* LIST (\\HasNoChildren \\NonExistent) \"/\" \"Gone\" (\"CHILDINFO\" "
		  "(\"SUBSCRIBED\"))\r\n" },
		{ NULL } },
	{ "6.3.9.1", '2', "LIST (SUBSCRIBED) \"\" Gon*", "OK",
		{ "* LIST (\\HasNoChildren \\NonExistent \\Subscribed) \"/\" \"Gone/Long\"\r\n" },
		{ NULL } },
	{ "6.3.9.5", '2', "LIST \"\" \"Entw%\" RETURN (STATUS (MESSAGES SIZE) SPECIAL-USE)", "OK",
		{ "* STATUS \"Entw\xc3\xbcrfe\" (MESSAGES 0 SIZE 0)\r\n" }, { NULL } },
	{ "6.3.9", '2', "LIST \"\" \"\"", "OK", { "* LIST (\\Noselect) \"/\" \"\"\r\n" },
		{ NULL } },
	{ "7.3.1", '2', "LIST \"\" %", "OK",
		{ "\\Drafts)", "\\Sent)", "\\Junk)", "\\Trash)", "\\Archive)" }, { NULL } },
	/* the old name and the new one */
	{ "6.3.6", '2', "RENAME \"Entw\xc3\xbcrfe\" \"Pl\xc3\xa4ne\"", "OK",
		{ "* LIST (\\HasNoChildren) \"/\" \"Pl\xc3\xa4ne\" (\"OLDNAME\" "
		  "(\"Entw\xc3\xbcrfe\"))\r\n" },
		{ NULL } },
	{ "6.3.6", '2', "RENAME nowhere there", "NO [NONEXISTENT]", { NULL }, { "OLDNAME" } },
	{ "6.3.6", '2', "RENAME \"Gr\xc3\xbcn\" \"Pl\xc3\xa4ne\"", "NO [ALREADYEXISTS]", { NULL },
		{ "OLDNAME" } },
	{ "6.3.10", '2', "NAMESPACE", "OK", { "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n" },
		{ NULL } },
	/* deprecated, and there for whoever has not moved yet: E.17, E.19 */
	{ "E.19", '2', "LSUB \"\" Gone*", "OK", { "* LSUB () \"/\" \"Gone/Long\"\r\n" }, { NULL } },
};

/* ---- 6.3.12 and 6.4 ---- */

static const struct row messages[] = {
	{ "6.3.12", '2', "APPEND INBOX (\\Seen $Junk) \"21-Nov-2026 08:00:00 +0100\" " MAIL,
		"OK [APPENDUID ", { NULL }, { NULL } },
	{ "6.3.12", '2', "APPEND INBOX ~" MAIL, "OK [APPENDUID ", { NULL }, { NULL } },
	{ "6.3.12", '2', "APPEND nowhere " SHORT, "NO [TRYCREATE]", { NULL }, { NULL } },
	{ "6.3.12", '2', "APPEND INBOX (\\Recent) " SHORT, "BAD", { NULL }, { NULL } },
	{ "6.3.2", '2', "SELECT INBOX", "OK", { "* 2 EXISTS\r\n" }, { "RECENT" } },
	{ "6.4.6", '2', "STORE 2 +FLAGS ($Phishing \\Flagged)", "OK",
		{ "* 2 FETCH (FLAGS (\\Flagged $Phishing))\r\n" }, { NULL } },
	{ "6.4.6", '2', "STORE 2 FLAGS (\\Recent)", "BAD", { NULL }, { NULL } },
	/* E.4: ESEARCH always */
	{ "6.4.4", '2', "SEARCH ALL", "OK", { "* ESEARCH (TAG \"t", "\") ALL 1:2\r\n" },
		{ "* SEARCH" } },
	{ "6.4.4", '2', "UID SEARCH FLAGGED", "OK", { "\") UID ALL 2\r\n" }, { "* SEARCH" } },
	{ "7.3.4", '2', "SEARCH DELETED", "OK", { "* ESEARCH (TAG \"t" }, { "ALL", "* SEARCH" } },
	{ "6.4.4", '2', "SEARCH RETURN () SEEN", "OK", { "\") ALL 1\r\n" }, { NULL } },
	{ "6.4.4", '2', "SEARCH RETURN (MIN MAX COUNT) ALL", "OK",
		{ "\") MIN 1 MAX 2 COUNT 2\r\n" }, { " ALL " } },
	{ "6.4.4", '2', "SEARCH SUBJECT \"\xc3\xbc\"", "OK", { "* ESEARCH" }, { NULL } },
	{ "6.4.4", '2', "SEARCH CHARSET UTF-8 BODY \"Lunch\"", "OK", { "ALL 1:2\r\n" }, { NULL } },
	{ "6.4.4", '2', "SEARCH CHARSET X-NONE BODY \"Lunch\"", "NO [BADCHARSET ", { NULL },
		{ NULL } },
	{ "6.4.4", '2', "SEARCH LARGER 5000000000", "OK", { "* ESEARCH" }, { "ALL" } },
	{ "6.4.4", '1', "SELECT INBOX", "OK", { "* 2 EXISTS\r\n" }, { "CLOSED", "* LIST" } },
	{ "6.4.4", '1', "SEARCH ALL", "OK", { "* SEARCH 1 2\r\n" }, { "ESEARCH" } },
	/* E.12: whoever asks for it hears that nothing is */
	{ "E.12", '2', "SEARCH OR RECENT NEW", "OK", { "* ESEARCH" }, { "ALL" } },
	/* the result that is kept */
	{ "6.4.4.1", '2', "SEARCH RETURN (SAVE) FLAGGED", "OK", { NULL }, { "ESEARCH" } },
	{ "6.4.4.1", '2', "FETCH $ (UID)", "OK", { "* 2 FETCH (UID 2)\r\n" }, { "* 1 " } },
	{ "6.4.4.1", '2', "UID SEARCH UID $ FLAGGED", "OK", { "UID ALL 2\r\n" }, { NULL } },
	/* E.2: BINARY; E.1: numbers of 64 bits */
	{ "6.4.5", '2', "FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1])", "OK",
		{ "BINARY.SIZE[1] 7 ", "BINARY[1] {7}\r\nlunch\r\n)" }, { NULL } },
	{ "6.4.5", '2', "FETCH 1 BODY.PEEK[]<5000000000.9000000000>", "OK",
		{ "BODY[]<5000000000> " }, { NULL } },
	{ "6.4.5", '2', "FETCH 1 BODY.PEEK[TEXT]<0.9000000000>", "OK",
		{ "BODY[TEXT]<0> {7}\r\nlunch\r\n)" }, { NULL } },
	{ "6.4.5", '2', "FETCH 1:2 ALL", "OK", { "RFC822.SIZE 21 ", "ENVELOPE (" },
		{ "\\Recent" } },
	/* deprecated: E.17, E.18 */
	{ "E.18", '2', "FETCH 1 RFC822.HEADER", "OK", { "RFC822.HEADER {" }, { NULL } },
	{ "E.17", '2', "CHECK", "OK", { NULL }, { NULL } },
	/* E.7, E.8 */
	{ "6.4.7", '2', "COPY 1:2 nowhere", "NO [TRYCREATE]", { NULL }, { NULL } },
	{ "6.4.7", '2', "COPY 1:2 Drafts", "OK [COPYUID ", { NULL }, { NULL } },
	{ "6.4.7", '2', "UID COPY 999 Drafts", "OK ", { NULL }, { "COPYUID" } },
	{ "6.4.8", '2', "MOVE 1 nowhere", "NO [TRYCREATE]", { NULL }, { "EXPUNGE" } },
	{ "6.4.8", '2', "MOVE 1 Trash", "OK", { "* OK [COPYUID ", "* 1 EXPUNGE\r\n" }, { NULL } },
	{ "6.4.8", '2', "UID MOVE 2 Trash", "OK", { "* OK [COPYUID ", "* 1 EXPUNGE\r\n" },
		{ NULL } },
	{ "6.4.9", '2', "UID EXPUNGE 1:*", "OK", { NULL }, { NULL } },
	{ "6.4.1", '2', "CLOSE", "OK", { NULL }, { "CLOSED", "EXPUNGE" } },
	{ "6.3.11", '2', "STATUS Trash (MESSAGES SIZE DELETED)", "OK",
		{ "* STATUS \"Trash\" (MESSAGES 2 SIZE 42 DELETED 0)\r\n" }, { NULL } },
};

static void
test_selection(void **state)
{
	struct client *d = rev2_client();

	(void)state;
	run_rows(selection, ARRAY_LEN(selection), d, c);
	client_free(d);
}

static void
test_names(void **state)
{
	struct client *d = rev2_client();

	(void)state;
	run_rows(names, ARRAY_LEN(names), d, c);
	client_free(d);
}

static void
test_messages(void **state)
{
	struct client *d = rev2_client();

	(void)state;
	run_rows(messages, ARRAY_LEN(messages), d, c);
	client_free(d);
}

/* 7.4.1, 7.5.1, 7.5.2: what nobody asked for. E.21: it names the UID. */
static void
test_unasked(void **state)
{
	struct client *d = rev2_client();

	(void)state;
	two_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "STORE 2 +FLAGS (\\Seen)");
	append(c, "INBOX", "($NonJunk $MDNSent)", mail1);
	EXPECT(d, "OK", "NOOP");
	SAID(d, "* 2 FETCH (UID 2 FLAGS (\\Flagged \\Seen $Junk))\r\n");
	SAID(d, "* 3 EXISTS\r\n");
	SILENT(d, "RECENT");
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(c, "OK", "STORE 1 -FLAGS (\\Seen)");
	/* no number may change below a FETCH: what was told must mean the same */
	EXPECT(d, "OK", "FETCH 3 (FLAGS)");
	SAID(d, "* 3 FETCH (FLAGS (");
	SILENT(d, "EXPUNGE");
	buf_reset(&d->in);
	client_sendz(d, "i IDLE\r\n");
	assert_true(client_await(d, "+ ", false, CLIENT_WAIT_MS));
	assert_true(client_await(d, "* 1 EXPUNGE\r\n", true, CLIENT_WAIT_MS));
	assert_true(client_await(
		d, "* 1 FETCH (UID 2 FLAGS (\\Flagged $Junk))\r\n", true, CLIENT_WAIT_MS));
	append(c, "INBOX", "()", mail1);
	assert_true(client_await(d, "* 3 EXISTS\r\n", true, CLIENT_WAIT_MS));
	client_sendz(d, "DONE\r\n");
	assert_true(client_await(d, "i OK", false, CLIENT_WAIT_MS));
	SILENT(d, "RECENT");
	SILENT(d, "Recent");
	/* by the old revision it is as it was */
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Answered)");
	append(d, "INBOX", "()", mail1);
	EXPECT(c, "OK", "NOOP");
	SAID(c, "* 1 FETCH (FLAGS (\\Answered \\Flagged ");
	SAID(c, " RECENT\r\n");
	client_free(d);
}

/* 4.3: literals that are not waited for may be large, because LITERAL+ says so. */
static void
test_literals(void **state)
{
	struct client *d = rev2_client();
	char *large = xmalloc(9001);

	(void)state;
	memset(large, 'x', 9000);
	large[9000] = '\0';
	EXPECT(d, "OK", "CAPABILITY");
	SAID(d, " LITERAL+");
	SILENT(d, " LITERAL-");
	EXPECT(d, "OK [APPENDUID ", "APPEND INBOX {9000+}\r\n%s", large);
	EXPECT(d, "OK [APPENDUID ", "APPEND INBOX ~{9000+}\r\n%s", large);
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "SEARCH TEXT {5000+}\r\n%.5000s", large);
	SAID(d, " ALL 1:2\r\n");
	/* NUL stands in a literal8 only */
	client_send(d, STR("n APPEND INBOX ~{6+}\r\nA:\n\0\r\n\r\n"));
	assert_true(client_await(d, "n OK [APPENDUID ", false, CLIENT_WAIT_MS));
	free(large);
	client_free(d);
}

/* A name that the modified UTF-7 of the one and the UTF-8 of the other spell differently is one
 * mailbox; headers in UTF-8 go out as they are. 5.1, 7.5.2, Appendix A. */
static void
test_beside_rev1(void **state)
{
	static const char mail[] = "From: J\xc3\xbcrgen <j@example.org>\r\n"
				   "Subject: Gr\xc3\xbc\xc3\x9f"
				   "e\r\n\r\nx\r\n";
	struct client *d = rev2_client();

	(void)state;
	EXPECT(c, "OK", "CREATE &ZeVnLIqe-");
	EXPECT(d, "OK", "SELECT \"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\"");
	SAID(d, "\"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\"\r\n");
	append(d, "\"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\"", "()", mail);
	EXPECT(d, "OK", "SEARCH FROM \"J\xc3\xbcrgen\" SUBJECT \"gr\xc3\xbc\xc3\x9f\"");
	SAID(d, " ALL 1\r\n");
	EXPECT(d, "OK", "FETCH 1 ENVELOPE");
	SAID(d, "Gr\xc3\xbc\xc3\x9f"
		"e");
	EXPECT(c, "OK", "STATUS &ZeVnLIqe- (MESSAGES RECENT)");
	SAID(c, "* STATUS \"&ZeVnLIqe-\" (MESSAGES 1 RECENT ");
	EXPECT(d, "OK", "COPY 1 INBOX");
	EXPECT(d, "OK", "LOGOUT");
	SAID(d, "* BYE ");
	client_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(imap4rev2),
		TEST(test_selection),
		TEST(test_names),
		TEST(test_messages),
		TEST(test_unasked),
		TEST(test_literals),
		TEST(test_beside_rev1),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
