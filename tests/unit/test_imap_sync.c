/* Staying in step with a mailbox: CONDSTORE, QRESYNC, UIDONLY. Two sessions of one user, what
 * the second is told of the first's changes. RFC 7162, 9586. */
#define PROGRAM "sync"
#include "imap_case.h"

/* The number behind the last occurrence of before in the last answer; 0: not there. */
static uint64_t
number_after(const struct client *who, const char *before)
{
	struct str s = buf_str(&who->in), want = str_of(before);
	uint64_t n = 0;

	for (size_t at = str_find(s, want); at < s.n; at = str_find(s, want)) {
		s = str_from(s, at + want.n);
		n = strtoull(s.p, NULL, 10);
	}
	return n;
}

static uint64_t
status_modseq(struct client *who)
{
	EXPECT(who, "OK", "STATUS INBOX (HIGHESTMODSEQ)");
	return number_after(who, "HIGHESTMODSEQ ");
}

static void
expect_number(const struct client *who, const char *before, uint64_t want)
{
	uint64_t got = number_after(who, before);

	if (got == want)
		return;
	print_error("%s: wanted %llu, got %llu in:\n%.*s\n", before, (unsigned long long)want,
		(unsigned long long)got, STR_FMT(buf_str(&who->in)));
	fail();
}

/* ---- CONDSTORE ---- */

static void
condstore(void **state)
{
	struct client *d = second();

	(void)state;
	RAN();
	two_messages();
	uint64_t start = number_after(c, "* OK [HIGHESTMODSEQ ");

	assert_true(start >= 3);
	/* not told before it is asked for */
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Seen)");
	SAID(c, "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n");
	EXPECT(c, "OK", "FETCH 1:2 (MODSEQ)");
	expect_number(c, "* OK [HIGHESTMODSEQ ", start + 1);
	expect_number(c, "* 1 FETCH (MODSEQ (", start + 1);
	expect_number(c, "* 2 FETCH (MODSEQ (", start);
	/* from now on with every FETCH that was not asked for */
	EXPECT(d, "OK", "SELECT INBOX (CONDSTORE)");
	expect_number(d, "* OK [HIGHESTMODSEQ ", start + 1);
	EXPECT(d, "OK", "STORE 2 +FLAGS (\\Answered)");
	SAID(d, "* 2 FETCH (UID 2 FLAGS (\\Answered \\Flagged $Junk) MODSEQ (");
	expect_number(d, " MODSEQ (", start + 2);
	EXPECT(c, "OK", "NOOP");
	SAID(c, "* 2 FETCH (UID 2 FLAGS (\\Answered \\Flagged \\Recent $Junk) MODSEQ (");
	expect_number(c, " MODSEQ (", start + 2);
	/* silence is about flags */
	EXPECT(c, "OK", "UID STORE 1 +FLAGS.SILENT (\\Draft)");
	expect_number(c, "* 1 FETCH (UID 1 MODSEQ (", start + 3);
	EXPECT(c, "OK", "UID STORE 1:2 +FLAGS.SILENT (\\Draft)");
	SILENT(c, "* 1 FETCH");
	expect_number(c, "* 2 FETCH (UID 2 MODSEQ (", start + 4);
	EXPECT(c, "OK", "NOOP");
	SILENT(c, "FETCH");
	client_free(d);
}

static void
test_condstore_enabling_commands(void **state)
{
	static const char *const commands[] = { "FETCH 1 (MODSEQ)",
		"UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)",
		"STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Flagged)", "STATUS INBOX (HIGHESTMODSEQ)",
		"STATUS Trash (HIGHESTMODSEQ)", "ENABLE CONDSTORE", "SELECT INBOX (CONDSTORE)",
		"EXAMINE INBOX (CONDSTORE)" };

	(void)state;
	append(c, "INBOX", "()", mail1);
	append(c, "INBOX", "()", mail1);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		struct client *d = second();

		EXPECT(d, "OK", "SELECT INBOX");
		EXPECT(d, "OK", "%s", commands[i]);
		SAID(d, "* OK [HIGHESTMODSEQ ");
		EXPECT(c, "OK", "SELECT INBOX");
		EXPECT(c, "OK", "STORE 2 %cFLAGS (\\Draft)", i % 2 == 0 ? '+' : '-');
		EXPECT(d, "OK", "NOOP");
		SAID(d, "* 2 FETCH (UID 2 FLAGS (");
		SAID(d, " MODSEQ (");
		/* said once */
		EXPECT(d, "OK", "FETCH 1 (MODSEQ)");
		SILENT(d, "HIGHESTMODSEQ");
		client_free(d);
	}
}

/* RFC 7162 3.2: what changes an annotation is a change of its mailbox. */
static void
test_annotations_raise_it(void **state)
{
	struct client *d = second();
	uint64_t start;

	(void)state;
	two_messages();
	EXPECT(d, "OK", "SELECT INBOX (CONDSTORE)");
	start = number_after(d, "* OK [HIGHESTMODSEQ ");
	EXPECT(c, "OK", "SETMETADATA INBOX (/private/comment \"a\" /private/b \"b\")");
	assert_int_equal(status_modseq(c), start + 1);
	EXPECT(c, "OK", "SETMETADATA INBOX (/private/comment NIL)");
	/* of others, of the account, and where nothing changes */
	EXPECT(c, "OK", "SETMETADATA Sent (/private/comment \"a\" /private/specialuse NIL)");
	EXPECT(c, "OK", "SETMETADATA \"\" (/private/comment \"a\")");
	EXPECT(c, "OK", "SETMETADATA INBOX (/private/none NIL)");
	EXPECT(c, "NO", "SETMETADATA INBOX (/private/b NIL /private/specialuse \"\\\\Sent\")");
	EXPECT(c, "OK", "NOOP");
	assert_int_equal(status_modseq(c), start + 2);
	/* no message changed by it */
	EXPECT(d, "OK", "NOOP");
	SILENT(d, "FETCH");
	EXPECT(d, "OK", "FETCH 1:* (FLAGS) (CHANGEDSINCE %llu)", (unsigned long long)start);
	SILENT(d, "FETCH (");
	/* and what changes then is told as ever, also to who was away */
	EXPECT(c, "OK", "STORE 2 +FLAGS.SILENT (\\Answered)");
	EXPECT(d, "OK", "NOOP");
	SAID(d, "* 2 FETCH (UID 2 FLAGS (");
	EXPECT(d, "OK", "FETCH 1:* (FLAGS) (CHANGEDSINCE %llu)", (unsigned long long)start + 2);
	SAID(d, "* 2 FETCH (");
	SILENT(d, "* 1 FETCH (");
	client_free(d);
}

static void
test_changed_since(void **state)
{
	uint64_t start;

	(void)state;
	for (int i = 0; i < 6; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX (CONDSTORE)");
	start = number_after(c, "* OK [HIGHESTMODSEQ ");
	EXPECT(c, "OK", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE %llu)", (unsigned long long)start);
	SILENT(c, "FETCH");
	EXPECT(c, "OK", "STORE 2,5 +FLAGS.SILENT (\\Flagged)");
	EXPECT(c, "OK", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE %llu)", (unsigned long long)start);
	SAID(c, "* 2 FETCH (UID 2 FLAGS (\\Flagged \\Recent) MODSEQ (");
	SAID(c, "* 5 FETCH (UID 5 FLAGS (\\Flagged \\Recent) MODSEQ (");
	SILENT(c, "* 1 FETCH");
	SILENT(c, "* 6 FETCH");
	/* what is new has no row in the change table */
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "FETCH 3:* (MODSEQ UID) (CHANGEDSINCE %llu)", (unsigned long long)start);
	SAID(c, "* 5 FETCH (MODSEQ (");
	SAID(c, "* 7 FETCH (MODSEQ (");
	SILENT(c, "* 2 FETCH");
	SILENT(c, "* 3 FETCH");
	SILENT(c, "* 6 FETCH");
	/* the last of the old ones gone, and a new one that was changed too */
	EXPECT(c, "OK", "STORE 6:7 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "UID EXPUNGE 6");
	EXPECT(c, "OK", "UID FETCH 1:* (UID) (CHANGEDSINCE %llu)", (unsigned long long)start);
	SAID(c, "* 6 FETCH (UID 7 MODSEQ (");
	SAID(c, "* 2 FETCH (UID 2 MODSEQ (");
	SILENT(c, "* 4 FETCH");
	EXPECT(c, "OK", "FETCH 1:* (FLAGS) (CHANGEDSINCE 9223372036854775807)");
	SILENT(c, "FETCH (");
	/* \Seen is set on what is fetched, and on nothing else */
	EXPECT(c, "OK", "FETCH 1:* (BODY[TEXT]) (CHANGEDSINCE %llu)", (unsigned long long)start);
	EXPECT(c, "OK", "FETCH 1:* (FLAGS)");
	SAID(c, "* 1 FETCH (FLAGS (\\Recent))\r\n");
	SAID(c, "* 2 FETCH (FLAGS (\\Flagged \\Seen \\Recent))\r\n");
	EXPECT(c, "BAD", "FETCH 1 (FLAGS) (CHANGEDSINCE)");
	EXPECT(c, "BAD", "FETCH 1 (FLAGS) (CHANGEDSINCE 9223372036854775808)");
	EXPECT(c, "BAD", "FETCH 1 (FLAGS) (CHANGEDSINCE 1 CHANGEDSINCE 2)");
	EXPECT(c, "BAD", "FETCH 1 (FLAGS) ()");
	EXPECT(c, "BAD", "FETCH 1 (FLAGS) (NONSENSE 1)");
}

/* First the range, then what of it has changed. RFC 9394 3.4. */
static void
test_changed_in_a_range(void **state)
{
	unsigned long long start;

	(void)state;
	for (int i = 0; i < 6; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX (CONDSTORE)");
	start = (unsigned long long)number_after(c, "* OK [HIGHESTMODSEQ ");
	EXPECT(c, "OK", "STORE 1,2,5 +FLAGS.SILENT (\\Flagged)");
	EXPECT(c, "OK", "UID FETCH 1:* (FLAGS) (PARTIAL -1:-3 CHANGEDSINCE %llu)", start);
	SAID(c, "* 5 FETCH (UID 5 ");
	SILENT(c, "* 2 FETCH");
	EXPECT(c, "OK", "UID FETCH 2:* (FLAGS) (CHANGEDSINCE %llu PARTIAL 1:3)", start);
	SAID(c, "* 2 FETCH (UID 2 ");
	SILENT(c, "* 5 FETCH");
	EXPECT(c, "OK", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE %llu PARTIAL 3:4)", start);
	SILENT(c, "FETCH (");
	/* \Seen is set on what is said alone */
	EXPECT(c, "OK", "UID FETCH 1:* (BODY[TEXT]) (CHANGEDSINCE %llu PARTIAL -1:-2)", start);
	EXPECT(c, "OK", "UID SEARCH SEEN");
	SAID(c, "* SEARCH 5\r\n");
}

/* An implicit \Seen is an unasked FETCH; a plain FETCH stays as it was asked for. */
static void
test_fetch_sets_seen(void **state)
{
	(void)state;
	two_messages();
	EXPECT(c, "OK", "SELECT INBOX (CONDSTORE)");
	EXPECT(c, "OK", "FETCH 1 (BODY[TEXT])");
	SAID(c, "FLAGS (\\Seen)");
	SAID(c, " UID 1 MODSEQ (");
	EXPECT(c, "OK", "FETCH 1 (FLAGS)");
	SAID(c, "* 1 FETCH (FLAGS (\\Seen))\r\n");
	EXPECT(c, "OK", "FETCH 1 (BODY[TEXT])");
	SILENT(c, "MODSEQ");
}

static void
test_unchanged_since(void **state)
{
	struct client *d = second();
	uint64_t start;

	(void)state;
	for (int i = 0; i < 5; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX (CONDSTORE)");
	start = number_after(c, "* OK [HIGHESTMODSEQ ");
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "UID STORE 2,4 +FLAGS (\\Answered)");
	/* all or nothing a message; who was refused is told why at once */
	EXPECT(c, "OK [MODIFIED 2,4] ",
		"STORE 1:5,2 (UNCHANGEDSINCE %llu) +FLAGS.SILENT (\\Deleted)",
		(unsigned long long)start);
	SAID(c, "* 1 FETCH (UID 1 MODSEQ (");
	SAID(c, "* 2 FETCH (UID 2 FLAGS (\\Answered \\Recent) MODSEQ (");
	SAID(c, "* 3 FETCH (UID 3 MODSEQ (");
	SAID(c, "* 4 FETCH (UID 4 FLAGS (\\Answered \\Recent) MODSEQ (");
	expect_number(c, "* 5 FETCH (UID 5 MODSEQ (", start + 2);
	EXPECT(c, "OK", "FETCH 1:5 (FLAGS)");
	SAID(c, "* 1 FETCH (FLAGS (\\Deleted \\Recent))\r\n");
	SAID(c, "* 2 FETCH (FLAGS (\\Answered \\Recent))\r\n");
	EXPECT(c, "OK [MODIFIED 1:5] ", "UID STORE 1:9 (UNCHANGEDSINCE %llu) FLAGS ()",
		(unsigned long long)start);
	EXPECT(c, "OK Stored", "UID STORE 1:9 (UNCHANGEDSINCE %llu) FLAGS (\\Flagged)",
		(unsigned long long)start + 2);
	SAID(c, "* 4 FETCH (UID 4 FLAGS (\\Flagged \\Recent) MODSEQ (");
	/* nothing to change is a success that moves no modseq, and is answered all the same */
	EXPECT(c, "OK Stored", "STORE 1 (UNCHANGEDSINCE %llu) +FLAGS.SILENT (\\Flagged)",
		(unsigned long long)start + 3);
	expect_number(c, "* 1 FETCH (UID 1 MODSEQ (", start + 3);
	client_free(d);
}

/* UNCHANGEDSINCE 0: a system flag is always there, a keyword when it is set. RFC 7162 3.1.3. */
static void
test_unchanged_since_zero(void **state)
{
	(void)state;
	two_messages();
	EXPECT(c, "OK [MODIFIED 1] ", "STORE 1 (UNCHANGEDSINCE 0) +FLAGS (\\Seen)");
	EXPECT(c, "OK [MODIFIED 1] ", "STORE 1 (UNCHANGEDSINCE 0) -FLAGS (\\Seen)");
	EXPECT(c, "OK [MODIFIED 1] ", "STORE 1 (UNCHANGEDSINCE 0) FLAGS ($Note)");
	EXPECT(c, "OK [MODIFIED 2] ", "STORE 1:2 (UNCHANGEDSINCE 0) +FLAGS ($Junk)");
	SAID(c, "* 1 FETCH (UID 1 FLAGS (\\Recent $Junk) MODSEQ (");
	EXPECT(c, "OK [MODIFIED 1:2] ", "STORE 1:2 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($New $Junk)");
	EXPECT(c, "OK Stored", "STORE 1:2 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($New)");
	EXPECT(c, "BAD", "STORE 1 (UNCHANGEDSINCE) +FLAGS (\\Seen)");
	EXPECT(c, "BAD", "STORE 1 (CHANGEDSINCE 1) +FLAGS (\\Seen)");
	EXPECT(c, "BAD", "STORE 1 () +FLAGS (\\Seen)");
	EXPECT(c, "OK", "EXAMINE INBOX");
	EXPECT(c, "NO [READ-ONLY]", "STORE 1 (UNCHANGEDSINCE 0) +FLAGS ($Other)");
}

/* While an expunge is held back, nobody may take a larger modseq for the mailbox's: RFC 7162 6. */
static void
test_highest_below_held_expunge(void **state)
{
	struct client *d = second();
	uint64_t start;

	(void)state;
	for (int i = 0; i < 4; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX (CONDSTORE)");
	start = number_after(c, "* OK [HIGHESTMODSEQ ");
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "STORE 4 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	/* the modseq of the STORE is above the expunge's, which must wait */
	EXPECT(c, "OK [HIGHESTMODSEQ ", "STORE 1 +FLAGS.SILENT (\\Seen)");
	expect_number(c, "* 1 FETCH (UID 1 MODSEQ (", start + 3);
	expect_number(c, "[HIGHESTMODSEQ ", start);
	EXPECT(c, "OK [HIGHESTMODSEQ ", "FETCH 1:3 (MODSEQ)");
	expect_number(c, "[HIGHESTMODSEQ ", start);
	/* with another code in the tagged line it stands alone */
	EXPECT(c, "OK [MODIFIED 1] ", "STORE 1 (UNCHANGEDSINCE %llu) +FLAGS (\\Flagged)",
		(unsigned long long)start);
	expect_number(c, "* OK [HIGHESTMODSEQ ", start);
	assert_int_equal(status_modseq(c), start);
	SAID(c, "* 4 EXPUNGE\r\n");
	EXPECT(c, "OK", "FETCH 1:3 (MODSEQ)");
	SILENT(c, "HIGHESTMODSEQ");
	assert_int_equal(status_modseq(c), start + 3);
	client_free(d);
}

/* ---- QRESYNC ---- */

struct cache {
	uint64_t validity, modseq;
};

/* What a client keeps when it leaves. */
static struct cache
leave(struct client *who)
{
	struct cache k;

	EXPECT(who, "OK", "SELECT INBOX");
	k.validity = number_after(who, "* OK [UIDVALIDITY ");
	k.modseq = number_after(who, "* OK [HIGHESTMODSEQ ");
	EXPECT(who, "OK", "UNSELECT");
	return k;
}

static void
resync(struct client *who, struct cache k, const char *rest)
{
	EXPECT(who, "OK [READ-WRITE]", "SELECT INBOX (QRESYNC (%llu %llu%s))",
		(unsigned long long)k.validity, (unsigned long long)k.modseq, rest);
}

static void
qresync(void **state)
{
	struct client *d = second();

	(void)state;
	RAN();
	for (int i = 0; i < 9; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(d, "BAD", "SELECT INBOX (QRESYNC (1 1))");
	EXPECT(d, "OK", "ENABLE QRESYNC CONDSTORE");
	SAID(d, "QRESYNC");
	struct cache k = leave(d);

	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "STORE 2,5:6,9 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(c, "OK", "UID STORE 1,7 +FLAGS (\\Flagged)");
	append(c, "INBOX", "(\\Draft)", mail1);
	resync(d, k, "");
	SAID(d, "* 6 EXISTS\r\n");
	SAID(d, "* VANISHED (EARLIER) 2,5:6,9\r\n* 1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ (");
	SAID(d, "* 4 FETCH (UID 7 FLAGS (\\Flagged) MODSEQ (");
	SAID(d, "* 6 FETCH (UID 10 FLAGS (\\Draft \\Recent) MODSEQ (");
	SILENT(d, "* 2 FETCH");
	SILENT(d, "* 5 FETCH");
	assert_int_equal(number_after(d, "* OK [HIGHESTMODSEQ "), k.modseq + 4);
	/* only of what the client knows */
	resync(d, k, " 4:7");
	SAID(d, "* OK [CLOSED] ");
	SAID(d, "* VANISHED (EARLIER) 5:6\r\n* 4 FETCH (UID 7 ");
	SILENT(d, "UID 1 ");
	SILENT(d, "UID 10 ");
	/* up to a pair of numbers that is right, the client knows already */
	resync(d, k, " 1:9 (1,3 1,4)");
	SAID(d, "* VANISHED (EARLIER) 5:6,9\r\n");
	resync(d, k, " (2:4 3:5)");
	SAID(d, "* VANISHED (EARLIER) 5:6,9\r\n");
	/* another mailbox by the same name */
	EXPECT(d, "OK", "SELECT INBOX (QRESYNC (%llu 1))", (unsigned long long)k.validity + 1);
	SILENT(d, "VANISHED");
	SILENT(d, "FETCH");
	EXPECT(d, "BAD", "SELECT INBOX (QRESYNC (1 1 1:*))");
	EXPECT(d, "BAD", "SELECT INBOX (QRESYNC (0 1))");
	EXPECT(d, "BAD", "SELECT INBOX (QRESYNC 1)");
	EXPECT(d, "BAD", "SELECT INBOX (QRESYNC (1 1 1:2 (1 2) 3))");
	EXPECT(d, "BAD", "SELECT INBOX (QRESYNC (1 1) QRESYNC (1 1))");
	client_free(d);
}

/* VANISHED stands for EXPUNGE from ENABLE on, and HIGHESTMODSEQ in the tagged OK. */
static void
test_vanished_instead_of_expunge(void **state)
{
	struct client *d = second();
	uint64_t start;

	(void)state;
	for (int i = 0; i < 8; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(d, "OK", "ENABLE QRESYNC");
	SAID(d, "* ENABLED QRESYNC\r\n");
	EXPECT(d, "OK", "SELECT INBOX");
	start = number_after(d, "* OK [HIGHESTMODSEQ ");
	EXPECT(d, "OK", "STORE 3,6 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK [HIGHESTMODSEQ ", "EXPUNGE");
	SAID(d, "* VANISHED 3,6\r\n");
	SILENT(d, "EXPUNGE\r\n");
	SILENT(d, "EXISTS");
	expect_number(d, "OK [HIGHESTMODSEQ ", start + 2);
	EXPECT(d, "OK Expunged", "EXPUNGE");
	EXPECT(d, "OK", "STORE 3 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK [HIGHESTMODSEQ ", "UID EXPUNGE 4:5");
	SAID(d, "* VANISHED 4\r\n");
	EXPECT(d, "OK [HIGHESTMODSEQ ", "MOVE 1 Trash");
	SAID(d, "* OK [COPYUID ");
	SAID(d, "* VANISHED 1\r\n");
	/* what others expunge, and what never was announced is not taken back */
	append(c, "INBOX", "(\\Deleted)", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "UID STORE 2 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(d, "NO [EXPUNGEISSUED]", "FETCH 1:2 (FLAGS)");
	SILENT(d, "VANISHED");
	EXPECT(d, "OK [HIGHESTMODSEQ ", "NOOP");
	SAID(d, "* VANISHED 2\r\n");
	SILENT(d, "EXISTS");
	/* CLOSE says nothing: RFC 7162 3.2.8 */
	EXPECT(d, "OK", "STORE 1 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK Closed", "CLOSE");
	SILENT(d, "VANISHED");
	EXPECT(d, "OK", "SELECT INBOX");
	SAID(d, "* 2 EXISTS\r\n");
	buf_reset(&d->in);
	client_sendz(d, "i IDLE\r\n");
	EXPECT(c, "OK", "NOOP");
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	assert_true(client_await(d, "* OK [HIGHESTMODSEQ ", false, CLIENT_WAIT_MS));
	SAID(d, "* VANISHED 7\r\n");
	client_free(d);
}

static void
test_fetch_vanished(void **state)
{
	struct client *d = second();

	(void)state;
	for (int i = 0; i < 6; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "BAD", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)");
	EXPECT(d, "OK", "ENABLE QRESYNC");
	struct cache k = leave(d);

	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "STORE 2,5:6 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "STORE 1:2 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "UID EXPUNGE 3");
	/* UID 3 is in d's view still: its end is news of now, not of then */
	EXPECT(d, "OK", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE %llu VANISHED)",
		(unsigned long long)k.modseq);
	SAID(d, "* VANISHED (EARLIER) 2,5:6\r\n* 1 FETCH (UID 1 FLAGS (\\Deleted) MODSEQ (");
	SAID(d, "* VANISHED 3\r\n");
	EXPECT(d, "OK", "UID FETCH 4:5 (FLAGS) (VANISHED CHANGEDSINCE %llu)",
		(unsigned long long)k.modseq);
	SAID(d, "* VANISHED (EARLIER) 5\r\n");
	SILENT(d, "FETCH (UID");
	EXPECT(d, "BAD", "FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)");
	EXPECT(d, "BAD", "UID FETCH 1:* (FLAGS) (VANISHED)");
	/* all gone: "*" still means the last that was */
	EXPECT(c, "OK", "STORE 1:* +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "CLOSE");
	EXPECT(d, "OK", "NOOP");
	EXPECT(d, "OK", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)");
	SAID(d, "* VANISHED (EARLIER) 1:6\r\n");
	client_free(d);
}

/* Beyond the last 2,000 changes: flags by the entries' modseqs, VANISHED is whatever is not there.
 */
static void
test_beyond_the_change_table(void **state)
{
	struct client *d = second();

	(void)state;
	for (int i = 0; i < 6; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(d, "OK", "ENABLE QRESYNC");
	struct cache k = leave(d);

	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "STORE 2 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Answered)");
	for (int i = 0; i < 2010; i++)
		EXPECT(c, "OK", "STORE 4 %cFLAGS.SILENT (\\Flagged)", i % 2 == 0 ? '+' : '-');
	EXPECT(d, "OK", "NOOP");
	SAID(d, "* VANISHED 3\r\n* 1 FETCH (UID 2 FLAGS (\\Answered) MODSEQ (");
	SAID(d, "* 4 FETCH (UID 6 FLAGS () MODSEQ (");
	SILENT(d, "* 2 FETCH");
	resync(d, k, "");
	SAID(d, "* VANISHED (EARLIER) 1,3\r\n* 1 FETCH (UID 2 FLAGS (\\Answered) MODSEQ (");
	SAID(d, "* 4 FETCH (UID 6 ");
	SILENT(d, "* 2 FETCH");
	SILENT(d, "* 3 FETCH");
	resync(d, k, " 2:6 (1 2)");
	SAID(d, "* VANISHED (EARLIER) 3\r\n");
	EXPECT(d, "OK", "UID FETCH 1:2 (FLAGS) (CHANGEDSINCE %llu VANISHED)",
		(unsigned long long)k.modseq);
	SAID(d, "* VANISHED (EARLIER) 1\r\n");
	client_free(d);
}

/* Many ranges come in lines that a client can hold. */
static void
test_long_vanished(void **state)
{
	struct client *d = second();
	size_t lines = 0;

	(void)state;
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	for (int i = 0; i < 11; i++)
		EXPECT(c, "OK", "UID COPY 1:* INBOX");
	EXPECT(d, "OK", "ENABLE QRESYNC");
	struct cache k = leave(d);

	EXPECT(d, "OK", "SELECT INBOX");
	for (int bit = 0; bit < 2; bit++) {
		struct buf set;

		buf_init(&set, 65536);
		for (int uid = 1 + bit; uid < 2048; uid += 4)
			buf_addf(&set, "%s%d", set.n != 0 ? "," : "", uid + bit);
		EXPECT(c, "OK", "UID STORE %.*s +FLAGS.SILENT (\\Deleted)", STR_FMT(buf_str(&set)));
		buf_fini(&set);
	}
	EXPECT(c, "OK", "EXPUNGE");
	for (int i = 0; i < 2; i++) {
		if (i == 0)
			EXPECT(d, "OK", "NOOP");
		else
			resync(d, k, "");
		struct str s = buf_str(&d->in), line;

		for (lines = 0; str_cut(s, '\n', &line, &s);) {
			assert_true(line.n < 9000);
			lines += str_starts(line, STR("* VANISHED"));
		}
		assert_int_equal(lines, 3);
		SAID(d, i == 0 ? "* VANISHED " : "* VANISHED (EARLIER) ");
	}
	SAID(d, "* 1024 EXISTS\r\n");
	client_free(d);
}

/* A UID command with message numbers in it keeps them: RFC 7162 3.2.10.2. */
static void
test_uid_search_keeps_numbers(void **state)
{
	struct client *d = second();

	(void)state;
	two_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	EXPECT(c, "OK", "UID SEARCH NOT 1");
	SAID(c, "* SEARCH 2\r\n");
	SILENT(c, "EXPUNGE");
	EXPECT(c, "OK", "UID SEARCH UID 1:*");
	SAID(c, "* 1 EXPUNGE\r\n");
	client_free(d);
}

/* ---- UIDONLY ---- */

static void
uidonly(void **state)
{
	static const char *const refused[] = { "FETCH 1 (FLAGS)", "STORE 1 +FLAGS (\\Seen)",
		"COPY 1 Trash", "MOVE 1 Trash", "SEARCH ALL", "UID SEARCH 1", "UID SEARCH NOT 1:2",
		"UID SEARCH OR (SEEN *) UID 1", "SORT (DATE) UTF-8 ALL", "UID SORT (DATE) UTF-8 2",
		"THREAD REFERENCES UTF-8 ALL", "UID THREAD REFERENCES UTF-8 NOT 1:2",
		"REPLACE 1 INBOX {1+}\r\nx" };
	struct client *d = second();

	(void)state;
	RAN();
	for (int i = 0; i < 4; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(d, "OK", "ENABLE UIDONLY");
	SAID(d, "* ENABLED UIDONLY\r\n");
	EXPECT(d, "OK", "SELECT INBOX");
	SAID(d, "* 4 EXISTS\r\n");
	SILENT(d, "UNSEEN");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		EXPECT(d, "BAD [UIDREQUIRED] ", "%s", refused[i]);
	EXPECT(d, "OK", "NOOP");
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(c, "OK", "STORE 3 +FLAGS ($Junk)");
	EXPECT(d, "OK", "UID FETCH 1:2 (FLAGS RFC822.SIZE)");
	SAID(d, "* 2 UIDFETCH (FLAGS (\\Recent) RFC822.SIZE ");
	/* changes by others, the same way */
	SAID(d, "* 1 UIDFETCH (FLAGS (\\Deleted \\Recent))\r\n");
	SAID(d, "* 3 UIDFETCH (FLAGS (\\Recent $Junk))\r\n");
	SILENT(d, " FETCH ");
	EXPECT(d, "OK", "UID FETCH 3 (UID ENVELOPE)");
	SAID(d, "* 3 UIDFETCH (UID 3 ENVELOPE (");
	EXPECT(c, "OK", "EXPUNGE");
	EXPECT(d, "OK", "UID STORE 4 +FLAGS (\\Flagged)");
	SAID(d, "* 4 UIDFETCH (FLAGS (\\Flagged \\Recent))\r\n");
	SAID(d, "* VANISHED 1\r\n");
	EXPECT(d, "OK", "UID STORE 4 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK Expunged", "EXPUNGE");
	SAID(d, "* VANISHED 4\r\n");
	SILENT(d, "EXPUNGE\r\n");
	EXPECT(d, "OK", "UID FETCH 2 (BODY[TEXT])");
	SAID(d, "* 2 UIDFETCH (BODY[TEXT] {");
	EXPECT(d, "OK", "UID SEARCH ALL");
	SAID(d, "* SEARCH 2 3\r\n");
	/* with modseqs */
	EXPECT(d, "OK", "ENABLE QRESYNC");
	EXPECT(d, "OK", "UID STORE 2 +FLAGS.SILENT (\\Draft)");
	SAID(d, "* 2 UIDFETCH (MODSEQ (");
	EXPECT(d, "OK", "UID FETCH 2 (FLAGS) (CHANGEDSINCE 1 VANISHED)");
	SAID(d, "* 2 UIDFETCH (FLAGS (\\Seen \\Draft \\Recent) MODSEQ (");
	EXPECT(d, "BAD [UIDREQUIRED] ", "SELECT INBOX (QRESYNC (1 1 1:4 (1 1)))");
	struct cache k = leave(d);

	EXPECT(c, "OK", "UID STORE 3 +FLAGS (\\Answered)");
	resync(d, k, "");
	SAID(d, "* 3 UIDFETCH (FLAGS (\\Answered ");
	SILENT(d, " FETCH ");
	client_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(condstore),
		TEST(test_condstore_enabling_commands),
		TEST(test_changed_since),
		TEST(test_changed_in_a_range),
		TEST(test_annotations_raise_it),
		TEST(test_fetch_sets_seen),
		TEST(test_unchanged_since),
		TEST(test_unchanged_since_zero),
		TEST(test_highest_below_held_expunge),
		TEST(qresync),
		TEST(test_vanished_instead_of_expunge),
		TEST(test_fetch_vanished),
		TEST(test_beyond_the_change_table),
		TEST(test_long_vanished),
		TEST(test_uid_search_keeps_numbers),
		TEST(uidonly),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
