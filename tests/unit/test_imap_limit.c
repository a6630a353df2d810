/* MESSAGELIMIT (RFC 9738): what each command does with more messages than it may touch, and that a
 * client which goes on below the UID it was told has seen everything once. */
#define PROGRAM "limit"
#include "imap_case.h"

enum { LIMIT = 4 };

static void
ten_messages(void)
{
	w.imap.limits.message_limit = 0;
	for (int i = 0; i < 11; i++)
		append(c, "INBOX", i % 2 == 0 ? "(\\Flagged)" : "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	/* so that UIDs are no message numbers: 2 to 11 are left */
	EXPECT(c, "OK", "STORE 1 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	w.imap.limits.message_limit = LIMIT;
}

static void
messagelimit(void **state)
{
	(void)state;
	RAN();
	w.imap.limits.message_limit = 0;
	EXPECT(c, "OK", "CAPABILITY");
	SILENT(c, "MESSAGELIMIT");
	ten_messages();
	EXPECT(c, "OK", "CAPABILITY");
	SAID(c, " MESSAGELIMIT=4 ");
	/* up to the limit nothing is said */
	EXPECT(c, "OK Fetched", "FETCH 1:4 (UID)");
	SAID(c, "* 1 FETCH (UID 2)\r\n");
	EXPECT(c, "OK [MESSAGELIMIT 4 3]", "FETCH 1:5 (UID)");
	SAID(c, "* 2 FETCH (UID 3)\r\n");
	SAID(c, "* 5 FETCH (UID 6)\r\n");
	SILENT(c, "* 1 FETCH");
	/* of a set with holes, the highest of what is there */
	EXPECT(c, "OK [MESSAGELIMIT 4 5]", "UID FETCH 1,3,5:6,8,11,20 (FLAGS)");
	SILENT(c, "UID 3 ");
	SAID(c, "UID 5 ");
	/* on and on below what was told */
	EXPECT(c, "OK [MESSAGELIMIT 4 8]", "UID FETCH 1:* (RFC822.SIZE)");
	EXPECT(c, "OK [MESSAGELIMIT 4 4]", "UID FETCH 1:7 (RFC822.SIZE)");
	EXPECT(c, "OK Fetched", "UID FETCH 1:3 (RFC822.SIZE)");
	SAID(c, "UID 2 ");
	SAID(c, "UID 3 ");
	/* whoever asks for a range wants all of it */
	EXPECT(c, "NO [MESSAGELIMIT 4]", "UID FETCH 1:* (FLAGS) (PARTIAL -1:-5)");
	SILENT(c, "* ");
	EXPECT(c, "OK Fetched", "UID FETCH 1:* (FLAGS) (PARTIAL -1:-4)");
	SAID(c, "UID 8 ");
	EXPECT(c, "OK Fetched", "UID FETCH 1:4 (FLAGS) (PARTIAL 1:100)");
	SAID(c, "UID 2 ");
	SAID(c, "UID 4 ");
}

static void
test_store(void **state)
{
	(void)state;
	ten_messages();
	EXPECT(c, "OK [MESSAGELIMIT 4 8]", "UID STORE 1:* +FLAGS (\\Answered)");
	SAID(c, "* 7 FETCH (UID 8 ");
	EXPECT(c, "OK [MESSAGELIMIT 4 4]", "STORE 1:6 +FLAGS.SILENT (\\Answered)");
	EXPECT(c, "OK Stored", "UID STORE 1:3 +FLAGS.SILENT (\\Draft)");
	EXPECT(c, "OK", "SEARCH UID 8:11 ANSWERED");
	SAID(c, "* SEARCH 7 8 9 10\r\n");
	EXPECT(c, "OK", "SEARCH UID 1:3 ANSWERED");
	SAID(c, "* SEARCH\r\n");
}

static void
test_search(void **state)
{
	(void)state;
	ten_messages();
	EXPECT(c, "OK [MESSAGELIMIT 4 8]", "UID SEARCH FLAGGED");
	SAID(c, "* SEARCH 9 11\r\n");
	EXPECT(c, "OK [MESSAGELIMIT 4 4]", "UID SEARCH UIDBEFORE 8 FLAGGED");
	SAID(c, "* SEARCH 5 7\r\n");
	EXPECT(c, "OK Completed", "UID SEARCH UIDBEFORE 4 FLAGGED");
	SAID(c, "* SEARCH 3\r\n");
	EXPECT(c, "OK Completed", "UID SEARCH UIDAFTER 8");
	SAID(c, "* SEARCH 9 10 11\r\n");
	EXPECT(c, "OK Completed", "SEARCH UIDAFTER 4 UIDBEFORE 7");
	SAID(c, "* SEARCH 4 5\r\n");
	EXPECT(c, "OK Completed", "UID SEARCH UIDAFTER 11");
	SAID(c, "* SEARCH\r\n");
	EXPECT(c, "OK Completed", "UID SEARCH UIDAFTER 4294967295");
	SAID(c, "* SEARCH\r\n");
	EXPECT(c, "OK Completed", "UID SEARCH UIDBEFORE 1");
	SAID(c, "* SEARCH\r\n");
	EXPECT(c, "OK [MESSAGELIMIT 4 8]", "UID SEARCH NOT UIDBEFORE 1");
	EXPECT(c, "BAD", "UID SEARCH UIDBEFORE 0");
	EXPECT(c, "BAD", "UID SEARCH UIDAFTER *");
	EXPECT(c, "BAD", "UID SEARCH UIDAFTER 1:2");
	EXPECT(c, "BAD", "UID SEARCH UIDAFTER");
	/* "$" holds what was searched: RFC 9738 3.4 */
	EXPECT(c, "OK [MESSAGELIMIT 4 8]", "UID SEARCH RETURN (SAVE COUNT) ALL");
	SAID(c, " COUNT 4\r\n");
	EXPECT(c, "OK Fetched", "UID FETCH $ (UID)");
	SAID(c, "UID 8)");
	SILENT(c, "UID 7)");
	/* all or nothing */
	EXPECT(c, "NO [MESSAGELIMIT 4]", "UID SORT (SIZE) UTF-8 ALL");
	SILENT(c, "* ");
	EXPECT(c, "NO [MESSAGELIMIT 4]", "UID THREAD REFERENCES UTF-8 UIDBEFORE 8");
	EXPECT(c, "OK Completed", "UID SORT (ARRIVAL) UTF-8 UIDBEFORE 6");
	SAID(c, "* SORT 2 3 4 5\r\n");
	EXPECT(c, "NO [MESSAGELIMIT 4]", "UID SORT RETURN (SAVE) (SIZE) UTF-8 ALL");
	EXPECT(c, "OK", "UID FETCH $ (UID)");
	SILENT(c, "* ");
}

static void
test_copies(void **state)
{
	(void)state;
	ten_messages();
	EXPECT(c, "NO [MESSAGELIMIT 4 8]", "UID COPY 1:* Trash");
	EXPECT(c, "NO [MESSAGELIMIT 4 3]", "COPY 1:5 Trash");
	EXPECT(c, "OK", "STATUS Trash (MESSAGES)");
	SAID(c, "(MESSAGES 0)");
	EXPECT(c, "OK [COPYUID ", "COPY 1:4 Trash");
	EXPECT(c, "OK", "STATUS Trash (MESSAGES)");
	SAID(c, "(MESSAGES 4)");
	/* a part, and the UIDs of that */
	EXPECT(c, "OK [MESSAGELIMIT 4 8]", "UID MOVE 1:* Trash");
	SAID(c, " 8:11 5:8] Moved\r\n");
	SAID(c, "* 10 EXPUNGE\r\n");
	SAID(c, "* 7 EXPUNGE\r\n");
	SILENT(c, "* 6 EXPUNGE\r\n");
	EXPECT(c, "OK [MESSAGELIMIT 4 4]", "MOVE 1:6 Trash");
	EXPECT(c, "OK Moved", "UID MOVE 1:3 Trash");
	EXPECT(c, "OK", "STATUS Trash (MESSAGES)");
	SAID(c, "(MESSAGES 14)");
	/* MULTIAPPEND */
#define ONE " {3+}\r\nA:\n"
	EXPECT(c, "OK [APPENDUID ", "APPEND INBOX" ONE ONE ONE ONE);
	EXPECT(c, "NO [MESSAGELIMIT 4]", "APPEND INBOX" ONE ONE ONE ONE ONE);
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "(MESSAGES 4)");
}

static void
test_expunge(void **state)
{
	(void)state;
	ten_messages();
	w.imap.limits.message_limit = 0;
	EXPECT(c, "OK", "STORE 1:9 +FLAGS.SILENT (\\Deleted)");
	w.imap.limits.message_limit = LIMIT;
	/* the last one has no \Deleted, and does not count */
	EXPECT(c, "OK [MESSAGELIMIT 4 7]", "UID EXPUNGE 1:*");
	SAID(c, "* 6 EXPUNGE\r\n");
	SAID(c, "* 9 EXPUNGE\r\n");
	SILENT(c, "* 5 EXPUNGE\r\n");
	EXPECT(c, "OK", "UID STORE 4:6 -FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK Expunged", "UID EXPUNGE 1:*");
	SAID(c, "* 2 EXPUNGE\r\n");
	for (int i = 0; i < 2; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "UID EXPUNGE 1:*");
	SILENT(c, " EXPUNGE\r\n");
	EXPECT(c, "OK", "UID STORE 4:6 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "UID STORE 12:13 +FLAGS.SILENT (\\Deleted)");
	/* the rest, however many */
	EXPECT(c, "OK Expunged", "EXPUNGE");
	SAID(c, "* 1 EXPUNGE\r\n");
	EXPECT(c, "OK", "UID SEARCH ALL");
	SAID(c, "* SEARCH 11\r\n");
}

/* CONDSTORE's own codes stand in the tagged line; this one is said before it. */
static void
test_with_modseqs(void **state)
{
	struct client *d = second();

	(void)state;
	ten_messages();
	EXPECT(d, "OK", "SELECT INBOX (CONDSTORE)");
	EXPECT(c, "OK", "UID STORE 9:10 +FLAGS (\\Answered)");
	EXPECT(d, "OK [MODIFIED 8:11]", "UID STORE 1:* (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)");
	SAID(d, "* NO [MESSAGELIMIT 4 8] ");
	/* of what changed, the highest: then the client asks again below them */
	EXPECT(d, "OK [MESSAGELIMIT 4 8]", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)");
	SAID(d, "UID 8 ");
	SILENT(d, "UID 7 ");
	client_free(d);
}

/* What expunges names the new HIGHESTMODSEQ in its tagged line: RFC 7162 3.2.9. */
static void
test_with_qresync(void **state)
{
	struct client *d = second();

	(void)state;
	ten_messages();
	EXPECT(d, "OK", "ENABLE QRESYNC");
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK [MESSAGELIMIT 4 8]", "UID STORE 1:* +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK [MESSAGELIMIT 4 4]", "UID STORE 1:7 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK [HIGHESTMODSEQ ", "UID EXPUNGE 1:*");
	SAID(d, "* VANISHED 8:11\r\n");
	SAID(d, "* NO [MESSAGELIMIT 4 8] ");
	EXPECT(d, "OK [HIGHESTMODSEQ ", "UID MOVE 1:* Trash");
	SAID(d, "* VANISHED 4:7\r\n");
	SAID(d, "* NO [MESSAGELIMIT 4 4] ");
	/* and the last two */
	EXPECT(d, "OK [HIGHESTMODSEQ ", "UID MOVE 1:* Trash");
	SAID(d, "* VANISHED 2:3\r\n");
	SILENT(d, "MESSAGELIMIT");
	client_free(d);
}

/* Another code has the tagged line. */
static void
test_with_what_is_gone(void **state)
{
	struct client *d = second();

	(void)state;
	ten_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "UID STORE 10 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK Expunged", "EXPUNGE");
	/* c has not heard of it, and keeps its numbers */
	EXPECT(c, "NO [EXPUNGEISSUED]", "FETCH 1:* (UID FLAGS)");
	SAID(c, "* NO [MESSAGELIMIT 4 8] ");
	SAID(c, "* 7 FETCH (UID 8 ");
	SILENT(c, "* 6 FETCH ");
	SILENT(c, " EXPUNGE\r\n");
	client_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messagelimit),
		TEST(test_store),
		TEST(test_search),
		TEST(test_copies),
		TEST(test_expunge),
		TEST(test_with_modseqs),
		TEST(test_with_qresync),
		TEST(test_with_what_is_gone),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
