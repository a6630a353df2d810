/* NOTIFY: what is told unasked, of the selected mailbox and of the others, and what is not. RFC
 * 5465. */
#define PROGRAM "notify"
#include "imap_case.h"

#include "imap/session/notify.h"

enum { SOON_MS = 120000, NEVER_MS = 60 };

#define MESSAGES "MessageNew MessageExpunge"

static struct client *d;

static int
pair_setup(void **state)
{
	int e = each_setup(state);

	d = second();
	return e;
}

static int
pair_teardown(void **state)
{
	client_free(d);
	return each_teardown(state);
}

/* A piece of text that comes without a command. */
static void
heard_at(struct client *who, const char *text, const char *file, int line)
{
	if (client_await(who, text, true, SOON_MS))
		return;
	print_error("%s:%d: not heard: \"%s\" in:\n%.*s\n", file, line, text,
		STR_FMT(buf_str(&who->in)));
	fail();
}

/* All that was heard is forgotten with the next command, or by FORGET. */
#define HEARD(who, text) heard_at(who, text, __FILE__, __LINE__)
#define FORGET(who)	 buf_reset(&(who)->in)
/* Nothing more comes now. */
#define QUIET(who)                          \
	do {                                \
		FORGET(who);                \
		client_rest(who, NEVER_MS); \
		QUIET_SO_FAR(who);          \
	} while (0)
#define QUIET_SO_FAR(who)                                                          \
	do {                                                                       \
		if ((who)->in.n != 0)                                              \
			print_error("%s:%d: unwanted: %.*s\n", __FILE__, __LINE__, \
				STR_FMT(buf_str(&(who)->in)));                     \
		assert_int_equal((who)->in.n, 0);                                  \
	} while (0)

/* ---- what may be asked for ---- */

static void
refused(void **state)
{
	static const char *const bad[] = { "", " ALL", " NONE x", " SET", " SET STATUS",
		" SET (selected)", " SET (selected (MessageNew))",
		" SET (selected (MessageExpunge))", " SET (selected (FlagChange))",
		" SET (selected (FlagChange MessageNew))", " SET (selected (AnnotationChange))",
		" SET (selected (" MESSAGES " MailboxName))",
		" SET (selected-delayed (SubscriptionChange))",
		" SET (selected (" MESSAGES ")) (selected-delayed (" MESSAGES "))",
		" SET (selected NONE) (selected (" MESSAGES "))",
		" SET (personal (MessageNew (UID) MessageExpunge))",
		" SET (selected (MessageNew () MessageExpunge))",
		" SET (selected (MessageNew (ALL) MessageExpunge))",
		" SET (selected (MessageNew (BOGUS) MessageExpunge))",
		" SET (subtree (" MESSAGES "))", " SET (mailboxes () (" MESSAGES "))",
		" SET (everything (" MESSAGES "))", " SET (personal ())",
		" SET (personal (" MESSAGES ")", " SET personal (" MESSAGES ")",
		" SET STATUS STATUS (personal NONE)", " SET  (personal NONE)" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT(c, "BAD", "NOTIFY%s", bad[i]);
		if (i % 16 == 15)
			EXPECT(c, "OK", "NOOP");
	}
	/* an event that is not known is no mistake of grammar: 3.1 */
	EXPECT(c,
		"NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName "
		"SubscriptionChange MailboxMetadataChange ServerMetadataChange)]",
		"NOTIFY SET (personal (" MESSAGES " AnnotationChange))");
	EXPECT(c, "NO [BADEVENT (", "NOTIFY SET (selected (" MESSAGES " X-Other))");
	EXPECT(c, "NO [BADEVENT (", "NOTIFY SET (personal (Other))");
}

static void
taken(void **state)
{
	static const char *const good[] = { "NONE", "set (SELECTED none)",
		"SET (inboxes (" MESSAGES "))", "SET (personal (messagenew MESSAGEEXPUNGE))",
		"SET (subscribed (MailboxName SubscriptionChange))",
		"SET (subtree Work (" MESSAGES ")) (mailboxes (INBOX \"a b\" {3+}\r\nx/y) NONE)",
		"SET STATUS (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (From {2+}\r\nTo)] "
		"PREVIEW (LAZY)) MessageExpunge FlagChange)) (personal (ServerMetadataChange))",
		/* what is no mailbox is passed over: 3.1 */
		"SET (mailboxes (nowhere \"a//b\" &AAA \"\") (" MESSAGES "))" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		EXPECT(c, "OK", "NOTIFY %s", good[i]);
}

static void
too_much(void **state)
{
	struct buf names;

	(void)state;
	buf_init(&names, 64 * 1024);
	for (int i = 0; i < 257; i++)
		buf_addf(&names, "%sm%d", i == 0 ? "" : " ", i);
	EXPECT(c, "OK", "NOTIFY SET (mailboxes INBOX (" MESSAGES "))");
	EXPECT(c, "NO [NOTIFICATIONOVERFLOW]", "NOTIFY SET (mailboxes (%.*s) (" MESSAGES "))",
		STR_FMT(buf_str(&names)));
	buf_fini(&names);
	/* what was asked for before still is */
	FORGET(c);
	append(d, "INBOX", "()", mail1);
	HEARD(c, "* STATUS \"INBOX\" (MESSAGES 1 ");
	/* more groups than anybody needs */
	buf_init(&names, 64 * 1024);
	for (int i = 0; i < 65; i++)
		buf_addz(&names, " (personal NONE)");
	EXPECT(c, "BAD", "NOTIFY SET%.*s", STR_FMT(buf_str(&names)));
	buf_fini(&names);
}

/* ---- the selected mailbox ---- */

static void
notify(void **state)
{
	(void)state;
	RAN();
	two_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(c, "OK",
		"NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (Subject)]) "
		"MessageExpunge FlagChange))");
	QUIET(c);
	/* 5.2: EXISTS, then what was asked for of the new message */
	append(d, "INBOX", "(\\Flagged)", mail2);
	HEARD(c, "* 3 EXISTS\r\n");
	HEARD(c, "Subject: Re: Lunch plans\r\n");
	SAID(c, "* 3 FETCH (UID 3 BODY[HEADER.FIELDS (Subject)] {");
	SILENT(c, "FLAGS");
	SILENT(c, "OK");
	FORGET(c);
	/* 5.1: UID and FLAGS */
	EXPECT(d, "OK", "STORE 2 +FLAGS (\\Answered)");
	HEARD(c, "* 2 FETCH (UID 2 FLAGS (");
	SAID(c, "\\Answered");
	FORGET(c);
	/* 5.3: at once */
	EXPECT(d, "OK", "STORE 1 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	HEARD(c, "* 1 EXPUNGE\r\n");
	QUIET(c);
	EXPECT(c, "OK", "FETCH 1:* (UID)");
	SAID(c, "* 1 FETCH (UID 2)");
	SAID(c, "* 2 FETCH (UID 3)");
	/* nothing became \Seen by it */
	EXPECT(c, "OK", "FETCH 2 (FLAGS)");
	SILENT(c, "\\Seen");
}

/* What the client does itself it knows: 5, 5.2. */
static void
own_changes(void **state)
{
	(void)state;
	two_messages();
	EXPECT(c, "OK",
		"NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange)) "
		"(personal (MailboxName SubscriptionChange MailboxMetadataChange "
		"ServerMetadataChange))");
	append(c, "INBOX", "()", mail1);
	SAID(c, "* 3 EXISTS");
	QUIET(c);
	EXPECT(c, "OK", "COPY 1:2 INBOX");
	SAID(c, "* 5 EXISTS");
	QUIET(c);
	EXPECT(c, "OK", "STORE 1 +FLAGS.SILENT (\\Answered)");
	QUIET(c);
	EXPECT(c, "OK", "CREATE a/b");
	EXPECT(c, "OK", "RENAME a x");
	EXPECT(c, "OK", "SUBSCRIBE x");
	EXPECT(c, "OK", "SETMETADATA x (/private/comment \"c\")");
	EXPECT(c, "OK", "SETMETADATA \"\" (/private/comment \"c\")");
	EXPECT(c, "OK", "DELETE x/b");
	EXPECT(c, "OK", "UNSUBSCRIBE x");
	QUIET(c);
	/* what failed did nothing: the same by another client is news */
	EXPECT(c, "NO", "DELETE y");
	FORGET(c);
	EXPECT(d, "OK", "CREATE y");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"y\"\r\n");
	/* nor what changed nothing */
	EXPECT(c, "OK", "SUBSCRIBE y");
	EXPECT(c, "OK", "SUBSCRIBE y");
	FORGET(c);
	EXPECT(d, "OK", "UNSUBSCRIBE y");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"y\"\r\n");
}

/* An EXPUNGE that a running FETCH may not bring is told behind it, without another change. */
static void
behind_a_fetch(void **state)
{
	const struct imap_limits usual = w.imap.limits;

	(void)state;
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	for (int i = 0; i < 9; i++)
		EXPECT(c, "OK", "COPY 1:* INBOX");
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "NOTIFY SET (selected (" MESSAGES " FlagChange))");
	for (int i = 0; i < 5; i++) {
		EXPECT(d, "OK", "STORE 1 +FLAGS.SILENT (\\Deleted)");
		HEARD(c, "\\Deleted");
		FORGET(c);
		w.imap.limits.step_us = 0;
		client_sendz(c, "f FETCH 1:* (UID BODY.PEEK[HEADER])\r\n");
		EXPECT(d, "OK", "EXPUNGE");
		w.imap.limits = usual;
		assert_true(client_await(c, "f OK", false, CLIENT_WAIT_MS));
		HEARD(c, " EXPUNGE\r\n");
	}
}

/* 6.1.2: EXPUNGE waits for a command that may bring it, and nothing else does. */
static void
delayed(void **state)
{
	(void)state;
	two_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "NOTIFY SET (selected-delayed (" MESSAGES " FlagChange))");
	FORGET(c);
	append(d, "INBOX", "()", mail1);
	HEARD(c, "* 3 EXISTS\r\n");
	EXPECT(d, "OK", "STORE 2 +FLAGS (\\Answered)");
	HEARD(c, "* 2 FETCH (UID 2 FLAGS (");
	EXPECT(d, "OK", "STORE 1 +FLAGS.SILENT (\\Deleted)");
	HEARD(c, "\\Deleted");
	EXPECT(d, "OK", "EXPUNGE");
	QUIET(c);
	EXPECT(c, "OK", "FETCH 2 (UID)");
	SAID(c, "* 2 FETCH (UID 2)");
	SILENT(c, "EXPUNGE");
	/* but for that all goes on, by the numbers that the client knows */
	FORGET(c);
	append(d, "INBOX", "()", mail1);
	HEARD(c, "* 4 EXISTS\r\n");
	SILENT(c, "FETCH");
	EXPECT(d, "OK", "UID STORE 3 +FLAGS (\\Draft)");
	HEARD(c, "* 3 FETCH (UID 3 FLAGS (");
	FORGET(c);
	EXPECT(d, "OK", "UID STORE 4 +FLAGS (\\Seen)");
	HEARD(c, "* 4 FETCH (UID 4 FLAGS (");
	/* once */
	SILENT(c, "UID 3 ");
	EXPECT(c, "OK", "FETCH 4 (UID)");
	SAID(c, "* 4 FETCH (UID 4)");
	SILENT(c, "EXPUNGE");
	/* no command takes anything back of what was told unasked, nor one that fails */
	EXPECT(c, "NO [EXPUNGEISSUED]", "FETCH 1 (UID)");
	EXPECT(c, "OK", "STORE 4 +FLAGS (\\Flagged)");
	client_rest(c, NEVER_MS);
	SAID(c, "* 4 FETCH (FLAGS (");
	SILENT(c, "UID ");
	EXPECT(c, "OK", "NOOP");
	SAID(c, "* 1 EXPUNGE");
	SILENT(c, "FETCH");
	SILENT(c, "EXISTS");
	EXPECT(c, "OK", "FETCH 3 (UID)");
	SAID(c, "* 3 FETCH (UID 4)");
	EXPECT(d, "OK", "UID STORE 4 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK", "UID EXPUNGE 4");
	EXPECT(c, "OK", "NOOP");
	SAID(c, "* 3 EXPUNGE");
	/* IDLE may bring it as well */
	client_sendz(c, "i IDLE\r\n");
	assert_true(client_await(c, "+", false, CLIENT_WAIT_MS));
	EXPECT(d, "OK", "UID STORE 2 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	HEARD(c, "* 1 EXPUNGE\r\n");
	client_sendz(c, "DONE\r\n");
	assert_true(client_await(c, "i OK", false, CLIENT_WAIT_MS));
}

/* 5: with no events of messages the client sees a snapshot; what accumulated before is said. */
static void
snapshot(void **state)
{
	(void)state;
	two_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	append(d, "INBOX", "()", mail1);
	EXPECT(c, "OK", "NOTIFY SET (selected NONE)");
	SAID(c, "* 3 EXISTS");
	append(d, "INBOX", "()", mail1);
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	EXPECT(c, "OK", "NOOP");
	SILENT(c, "*");
	EXPECT(c, "OK", "UID FETCH 2:9 (UID)");
	SAID(c, "* 2 FETCH (UID 2)");
	SAID(c, "* 3 FETCH (UID 3)");
	SILENT(c, "EXPUNGE");
	QUIET(c);
	/* the same where the selected mailbox is not named, and with NONE */
	EXPECT(c, "OK", "NOTIFY SET (personal (MailboxName))");
	SAID(c, "* 1 EXPUNGE");
	SAID(c, "* 3 EXISTS");
	append(d, "INBOX", "()", mail1);
	QUIET(c);
	EXPECT(c, "OK", "NOTIFY NONE");
	append(d, "INBOX", "()", mail1);
	EXPECT(c, "OK", "NOOP");
	SILENT(c, "*");
	client_sendz(c, "i IDLE\r\n");
	assert_true(client_await(c, "+", false, CLIENT_WAIT_MS));
	append(d, "INBOX", "()", mail1);
	QUIET(c);
	client_sendz(c, "DONE\r\n");
	assert_true(client_await(c, "i OK", false, CLIENT_WAIT_MS));
	/* what it expunges itself is said */
	EXPECT(c, "OK", "UID STORE 2 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	SAID(c, "* 1 EXPUNGE");
	EXPECT(c, "OK", "NOTIFY SET (selected (" MESSAGES "))");
	EXPECT(c, "OK", "FETCH 1:* (UID)");
	SAID(c, "* 5 FETCH (UID 7)");
}

/* Without FlagChange no flags of others, and the modseq that the client may keep stays. */
static void
held_flags(void **state)
{
	(void)state;
	two_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "SELECT INBOX (CONDSTORE)");
	const char *at = strstr(buf_str(&c->in).p, "HIGHESTMODSEQ ");
	unsigned long long start = strtoull(at + 14, NULL, 10);

	EXPECT(c, "OK", "NOTIFY SET (selected (" MESSAGES "))");
	FORGET(c);
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Answered)");
	append(d, "INBOX", "()", mail1);
	HEARD(c, "* 3 EXISTS");
	SILENT(c, "Answered");
	EXPECT(c, "OK", "NOOP");
	SILENT(c, "Answered");
	/* a MODSEQ above it is told: the client must not take that for the mailbox's */
	EXPECT(c, "OK", "FETCH 3 (MODSEQ)");
	char want[64];

	(void)snprintf(want, sizeof want, "HIGHESTMODSEQ %llu]", start);
	SAID(c, want);
	EXPECT(c, "OK", "NOTIFY SET (selected (" MESSAGES " FlagChange))");
	SAID(c, "* 1 FETCH (UID 1 FLAGS (");
	SAID(c, "\\Answered");
	EXPECT(c, "OK", "NOOP");
	SILENT(c, "*");
	EXPECT(c, "OK", "STATUS INBOX (HIGHESTMODSEQ)");
	(void)snprintf(want, sizeof want, "HIGHESTMODSEQ %llu)", start);
	SILENT(c, want);
}

/* 4: IDLE says the same. */
static void
in_idle(void **state)
{
	(void)state;
	two_messages();
	EXPECT(d, "OK", "CREATE Other");
	EXPECT(c, "OK",
		"NOTIFY SET (selected (MessageNew (ENVELOPE BODY.PEEK[HEADER.FIELDS ({5+}\r\n"
		"X-Odd \"To\")] BODY[TEXT]<0.3>) MessageExpunge)) "
		"(personal (" MESSAGES " MailboxName))");
	client_sendz(c, "i IDLE\r\n");
	assert_true(client_await(c, "+", false, CLIENT_WAIT_MS));
	FORGET(c);
	append(d, "INBOX", "()", mail2);
	HEARD(c, "* 3 EXISTS\r\n");
	HEARD(c, "* 3 FETCH (UID 3 ENVELOPE (");
	HEARD(c, "BODY[TEXT]<0> {3}\r\n--b)\r\n");
	SAID(c, "To: Ann <ann@example.org>\r\n");
	append(d, "Other", "()", mail2);
	HEARD(c, "* STATUS \"Other\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ");
	EXPECT(d, "OK", "CREATE New");
	HEARD(c, "\"New\"\r\n");
	client_sendz(c, "DONE\r\n");
	assert_true(client_await(c, "i OK Idle ended", false, CLIENT_WAIT_MS));
	EXPECT(c, "OK", "NOOP");
	SILENT(c, "*");
	/* BODY[TEXT] without PEEK: it was not read all the same */
	EXPECT(c, "OK", "SEARCH UNSEEN");
	SAID(c, "* SEARCH 1 2 3\r\n");
}

static void
with_qresync_and_uidonly(void **state)
{
	(void)state;
	two_messages();
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "ENABLE QRESYNC UIDONLY");
	EXPECT(c, "OK", "NOTIFY SET (selected (MessageNew (PREVIEW) MessageExpunge FlagChange))");
	FORGET(c);
	append(d, "INBOX", "()", mail1);
	HEARD(c, "* 3 EXISTS\r\n");
	HEARD(c, "* 3 UIDFETCH (PREVIEW \"See you at noon.\" MODSEQ (");
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Deleted)");
	HEARD(c, "* 1 UIDFETCH (FLAGS (");
	EXPECT(d, "OK", "EXPUNGE");
	HEARD(c, "* VANISHED 1\r\n");
	HEARD(c, "HIGHESTMODSEQ ");
}

/* ---- the others ---- */

static void
other_mailboxes(void **state)
{
	(void)state;
	EXPECT(d, "OK", "CREATE Lists/a");
	EXPECT(d, "OK", "CREATE Work");
	append(d, "Lists/a", "(\\Seen)", mail1);
	/* 3.1: STATUS before the tagged OK; none of the selected one, or of one with NONE */
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK",
		"NOTIFY SET STATUS (selected (" MESSAGES ")) (mailboxes Work NONE) "
		"(subtree Lists (" MESSAGES " FlagChange)) (personal (" MESSAGES "))");
	SAID(c, "* STATUS \"Lists/a\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ");
	SAID(c, " UNSEEN 0 HIGHESTMODSEQ ");
	SAID(c, "* STATUS \"Sent\" (MESSAGES 0 ");
	SILENT(c, "\"Lists\"");
	SILENT(c, "Work");
	SILENT(c, "INBOX");
	QUIET(c);
	append(d, "Lists/a", "()", mail1);
	HEARD(c, "* STATUS \"Lists/a\" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ");
	SAID(c, " UNSEEN 1 HIGHESTMODSEQ ");
	FORGET(c);
	append(d, "Sent", "()", mail1);
	HEARD(c, "* STATUS \"Sent\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ");
	/* CONDSTORE is not on, and nothing here switched it on */
	SILENT(c, "HIGHESTMODSEQ");
	append(d, "Work", "()", mail1);
	QUIET(c);
	/* flags: where they were asked for */
	EXPECT(d, "OK", "SELECT Sent");
	EXPECT(d, "OK", "STORE 1 +FLAGS (\\Flagged)");
	QUIET(c);
	EXPECT(d, "OK", "SELECT Lists/a");
	EXPECT(d, "OK", "STORE 2 +FLAGS (\\Seen)");
	HEARD(c, "* STATUS \"Lists/a\" (MESSAGES 2 ");
	SAID(c, " UNSEEN 0 ");
	/* an annotation is no flag, although it raises the modseq */
	FORGET(c);
	EXPECT(d, "OK", "SETMETADATA Lists/a (/private/comment \"x\")");
	QUIET(c);
	/* 5.3 */
	EXPECT(d, "OK", "STORE 1 +FLAGS.SILENT (\\Deleted)");
	FORGET(c);
	EXPECT(d, "OK", "EXPUNGE");
	HEARD(c, "* STATUS \"Lists/a\" (MESSAGES 1 UIDNEXT 3 ");
	EXPECT(c, "OK", "ENABLE CONDSTORE");
	FORGET(c);
	append(d, "Sent", "()", mail1);
	HEARD(c, "* STATUS \"Sent\" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ");
	SAID(c, "HIGHESTMODSEQ");
}

/* 6: several groups apply to one mailbox, each with its own events. */
static void
several_groups(void **state)
{
	(void)state;
	EXPECT(d, "OK", "CREATE Work");
	EXPECT(d, "OK", "UNSUBSCRIBE INBOX");
	EXPECT(c, "OK",
		"NOTIFY SET (mailboxes INBOX (" MESSAGES ")) (mailboxes Work NONE) "
		"(personal (SubscriptionChange))");
	EXPECT(d, "OK", "SUBSCRIBE INBOX");
	HEARD(c, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"\r\n");
	FORGET(c);
	append(d, "INBOX", "()", mail1);
	HEARD(c, "* STATUS \"INBOX\" (MESSAGES 1 ");
	/* and none of what is exempt */
	EXPECT(d, "OK", "SUBSCRIBE Work");
	append(d, "Sent", "()", mail1);
	QUIET(c);
	/* the other way round */
	EXPECT(c, "OK",
		"NOTIFY SET (personal (SubscriptionChange)) (mailboxes (INBOX Sent) (" MESSAGES
		"))");
	EXPECT(d, "OK", "UNSUBSCRIBE INBOX");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\n");
	FORGET(c);
	append(d, "Sent", "()", mail1);
	HEARD(c, "* STATUS \"Sent\" (MESSAGES 2 ");
}

/* A mailbox is another one from the moment it is not selected any more. */
static void
selection_changes(void **state)
{
	(void)state;
	EXPECT(d, "OK", "CREATE a");
	EXPECT(c, "OK", "NOTIFY SET (selected (" MESSAGES ")) (personal (" MESSAGES "))");
	/* nothing is selected: 5.2 */
	FORGET(c);
	append(d, "INBOX", "()", mail1);
	HEARD(c, "* STATUS \"INBOX\" (MESSAGES 1 ");
	EXPECT(c, "OK", "SELECT a");
	FORGET(c);
	append(d, "a", "()", mail1);
	HEARD(c, "* 1 EXISTS");
	append(d, "INBOX", "()", mail1);
	HEARD(c, "* STATUS \"INBOX\" (MESSAGES 2 ");
	SILENT(c, "STATUS \"a\"");
	EXPECT(c, "OK", "SELECT INBOX");
	SILENT(c, "STATUS");
	QUIET(c);
	append(d, "a", "()", mail1);
	HEARD(c, "* STATUS \"a\" (MESSAGES 2 ");
	EXPECT(c, "OK", "UNSELECT");
	QUIET(c);
	append(d, "INBOX", "()", mail1);
	HEARD(c, "* STATUS \"INBOX\" (MESSAGES 3 ");
	/* what was not told of it while it was selected is told then */
	EXPECT(c, "OK", "NOTIFY SET (selected NONE) (personal (" MESSAGES "))");
	EXPECT(c, "OK", "SELECT a");
	append(d, "a", "()", mail1);
	QUIET(c);
	EXPECT(c, "OK", "UNSELECT");
	HEARD(c, "* STATUS \"a\" (MESSAGES 3 ");
}

/* 5.4 */
static void
names(void **state)
{
	(void)state;
	EXPECT(c, "OK", "NOTIFY SET (mailboxes Secret NONE) (personal (MailboxName))");
	QUIET(c);
	EXPECT(d, "OK", "CREATE Work/old");
	HEARD(c, "* LIST (\\HasChildren \\NonExistent) \"/\" \"Work\"\r\n");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"Work/old\"\r\n");
	FORGET(c);
	EXPECT(d, "OK", "RENAME Work W&AOk-");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"W&AOk-/old\" (\"OLDNAME\" (\"Work/old\"))\r\n");
	FORGET(c);
	/* the name stays for what is below it */
	EXPECT(d, "OK", "CREATE up");
	EXPECT(d, "OK", "CREATE up/down");
	HEARD(c, "\"up/down\"\r\n");
	FORGET(c);
	EXPECT(d, "OK", "DELETE up/down");
	HEARD(c, "* LIST (\\NonExistent) \"/\" \"up/down\"\r\n");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"up\"\r\n");
	FORGET(c);
	EXPECT(d, "OK", "CREATE Secret");
	QUIET(c);
	/* out of what is watched, and back */
	EXPECT(d, "OK", "RENAME up Secret/up");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"Secret/up\" (\"OLDNAME\" (\"up\"))\r\n");
	EXPECT(d, "OK", "CREATE gone");
	HEARD(c, "\"gone\"\r\n");
	FORGET(c);
	EXPECT(c, "OK", "NOTIFY SET (mailboxes gone (MailboxName))");
	EXPECT(d, "OK", "RENAME gone away");
	HEARD(c, "* LIST (\\NonExistent) \"/\" \"gone\"\r\n");
	FORGET(c);
	EXPECT(d, "OK", "RENAME away gone");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"gone\" (\"OLDNAME\" (\"away\"))\r\n");
	/* RENAME INBOX moves its messages, INBOX stays */
	append(d, "INBOX", "()", mail1);
	EXPECT(c, "OK", "NOTIFY SET (personal (MailboxName " MESSAGES "))");
	EXPECT(d, "OK", "RENAME INBOX 2026");
	HEARD(c, "* STATUS \"INBOX\" (MESSAGES 0 ");
	HEARD(c, "* STATUS \"2026\" (MESSAGES 1 ");
	SAID(c, "* LIST (\\HasNoChildren) \"/\" \"2026\"\r\n");
	SILENT(c, "NonExistent");
	/* deleted and made again between two looks: it is there in the end */
	FORGET(c);
	client_sendz(d, "x DELETE gone\r\ny CREATE gone\r\n");
	assert_true(client_await(d, "y OK", false, CLIENT_WAIT_MS));
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"gone\"\r\n");
}

/* Names as the client knows them: another separator, and all below INBOX. */
static void
outer_names(void **state)
{
	(void)state;
	w.imap.separator = '.';
	w.imap.inbox_prefix = true;
	EXPECT(c, "OK",
		"NOTIFY SET (mailboxes INBOX.Not NONE) (subtree INBOX.Work (MailboxName)) "
		"(subtree INBOX (" MESSAGES "))");
	EXPECT(d, "OK", "CREATE INBOX.Work.a");
	HEARD(c, "* LIST (\\HasNoChildren) \".\" \"INBOX.Work.a\"\r\n");
	EXPECT(d, "OK", "RENAME INBOX.Work.a INBOX.Work.b");
	HEARD(c, "* LIST (\\HasNoChildren) \".\" \"INBOX.Work.b\" (\"OLDNAME\" "
		 "(\"INBOX.Work.a\"))\r\n");
	EXPECT(d, "OK", "CREATE INBOX.Other");
	append(d, "INBOX.Other", "()", mail1);
	HEARD(c, "* STATUS \"INBOX.Other\" (MESSAGES 1 ");
	EXPECT(d, "OK", "CREATE INBOX.Not");
	append(d, "INBOX.Not", "()", mail1);
	QUIET(c);
	EXPECT(c, "OK", "ENABLE IMAP4rev2");
	EXPECT(d, "OK", "CREATE INBOX.Work.&AOk-");
	HEARD(c, "* LIST (\\HasNoChildren) \".\" \"INBOX.Work.\xc3\xa9\"\r\n");
	w.imap.separator = '/';
	w.imap.inbox_prefix = false;
}

/* 5.5, 6.4 */
static void
subscriptions(void **state)
{
	(void)state;
	EXPECT(d, "OK", "CREATE a");
	EXPECT(d, "OK", "CREATE b");
	EXPECT(d, "OK", "SUBSCRIBE b");
	EXPECT(c, "OK",
		"NOTIFY SET (subscribed (" MESSAGES " SubscriptionChange)) "
		"(personal (SubscriptionChange))");
	QUIET(c);
	EXPECT(d, "OK", "SUBSCRIBE a");
	HEARD(c, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"a\"\r\n");
	FORGET(c);
	append(d, "a", "()", mail1);
	HEARD(c, "* STATUS \"a\" (MESSAGES 1 ");
	FORGET(c);
	EXPECT(d, "OK", "UNSUBSCRIBE a");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"a\"\r\n");
	append(d, "a", "()", mail1);
	QUIET(c);
	EXPECT(d, "OK", "SUBSCRIBE nowhere");
	HEARD(c, "* LIST (\\NonExistent \\Subscribed) \"/\" \"nowhere\"\r\n");
	FORGET(c);
	EXPECT(d, "OK", "UNSUBSCRIBE nowhere");
	HEARD(c, "* LIST (\\NonExistent) \"/\" \"nowhere\"\r\n");
	EXPECT(d, "OK", "UNSUBSCRIBE b");
	HEARD(c, "* LIST (\\HasNoChildren) \"/\" \"b\"\r\n");
}

/* 5.6, 5.7 */
static void
annotations(void **state)
{
	(void)state;
	EXPECT(d, "OK", "SETMETADATA INBOX (/private/a \"1\" /private/b \"2\" /shared/c \"3\")");
	EXPECT(c, "OK",
		"NOTIFY SET (mailboxes INBOX (MailboxMetadataChange)) "
		"(personal (ServerMetadataChange))");
	QUIET(c);
	EXPECT(d, "OK", "SETMETADATA INBOX (/private/b \"two\" /shared/c NIL /private/d \"4\")");
	HEARD(c, "* METADATA \"INBOX\" /private/b /private/d /shared/c\r\n");
	FORGET(c);
	EXPECT(d, "OK", "SETMETADATA Sent (/private/b \"two\")");
	EXPECT(d, "OK", "SETMETADATA INBOX (/private/b \"two\")");
	QUIET(c);
	EXPECT(d, "OK", "SETMETADATA INBOX (/private/z NIL)");
	QUIET(c);
	/* RFC 6154 4 */
	EXPECT(c, "OK", "NOTIFY SET (personal (MailboxMetadataChange ServerMetadataChange))");
	EXPECT(d, "OK", "SETMETADATA Sent (/private/specialuse NIL /private/t \"T\")");
	HEARD(c, "* METADATA \"Sent\" /private/specialuse /private/t\r\n");
	EXPECT(d, "OK", "SETMETADATA \"\" (/private/x \"y\")");
	HEARD(c, "* METADATA \"\" /private/x\r\n");
	FORGET(c);
	EXPECT(d, "OK", "SETMETADATA \"\" (/private/x NIL)");
	HEARD(c, "* METADATA \"\" /private/x\r\n");
}

/* Who is told of a change looks while another's change waits its turn: each is made once. */
static void
two_at_once(void **state)
{
	struct client *e = second();

	(void)state;
	EXPECT(c, "OK", "NOTIFY SET (personal (MailboxName))");
	for (int i = 0; i < 10; i++) {
		char line[64], want[64];

		(void)snprintf(line, sizeof line, "x%d CREATE d%d\r\n", i, i);
		client_sendz(d, line);
		(void)snprintf(line, sizeof line, "x%d CREATE e%d\r\n", i, i);
		client_sendz(e, line);
		(void)snprintf(want, sizeof want, "x%d OK", i);
		assert_true(client_await(d, want, false, SOON_MS));
		assert_true(client_await(e, want, false, SOON_MS));
	}
	HEARD(c, "\"d9\"\r\n");
	HEARD(c, "\"e9\"\r\n");
	client_free(e);
}

/* ---- limits ---- */

static void
make_mailboxes(struct client *who, int until)
{
	for (int i = 0; i < until; i++)
		(void)say(who, "CREATE m%d", i);
}

/* A client that reads nothing costs no more memory the more happens, and hears how it ended. */
static void
slow_reader(void **state)
{
	char name[200];
	struct imap_session *s = NULL;

	(void)state;
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	for (int i = 0; i < 40; i++)
		EXPECT(d, "OK", "CREATE t/%s%d", name, i);
	EXPECT(c, "OK", "NOTIFY SET (personal (MailboxName))");
	FORGET(c);
	loop_io_set(&c->io, 0);
	for (int i = 0; i < 60; i++)
		EXPECT(d, "OK", "RENAME %s%.0d %s%d", i == 0 ? "t" : name, i, name, i + 1);
	LIST_FOREACH (node, &w.imap.sessions) {
		struct imap_session *one = CONTAINER_OF(node, struct imap_session, link);

		s = one->notify != NULL ? one : s;
	}
	assert_non_null(s);
	/* 60 times 40 lines of 450 octets happened */
	assert_in_range(stream_queued(s->stream), 1, 400 * 1024);
	loop_io_set(&c->io, LOOP_READ);
	EXPECT(d, "OK", "CREATE last");
	HEARD(c, "\"last\"\r\n");
	SAID(c, "n60/n");
	assert_true(c->in.n < 900 * 1024);
}

/* 5.8: more mailboxes than are watched. */
static void
overflow(void **state)
{
	(void)state;
	w.imap.limits.notify_mailboxes = 30;
	make_mailboxes(d, 20);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "NOTIFY SET STATUS (selected (" MESSAGES ")) (personal (" MESSAGES "))");
	SAID(c, "* STATUS \"m19\" (");
	FORGET(c);
	make_mailboxes(d, 31);
	HEARD(c, "* OK [NOTIFICATIONOVERFLOW] ");
	/* as after NOTIFY NONE */
	append(d, "INBOX", "()", mail1);
	QUIET(c);
	EXPECT(c, "OK", "NOOP");
	SILENT(c, "*");
	EXPECT(c, "NO [NOTIFICATIONOVERFLOW]", "NOTIFY SET (personal (" MESSAGES "))");
	EXPECT(c, "OK", "NOTIFY SET (selected (" MESSAGES "))");
	SAID(c, "* 1 EXISTS");
	w.imap.limits.notify_mailboxes = 5000;
}

/* Commands that come while something is told wait their turn and are answered. */
static void
pipelined(void **state)
{
	(void)state;
	two_messages();
	EXPECT(c, "OK",
		"NOTIFY SET (selected (MessageNew (UID BODY.PEEK[]) MessageExpunge "
		"FlagChange)) (personal (" MESSAGES " FlagChange MailboxName))");
	for (int i = 0; i < 12; i++) {
		client_sendz(d, "x APPEND INBOX {2+}\r\nhi\r\ny CREATE z\r\nz DELETE z\r\n");
		client_sendz(c, "a NOOP\r\nb UID FETCH 1:* (FLAGS)\r\nc IDLE\r\nDONE\r\n"
				"e APPEND Sent {2+}\r\nhi\r\n");
		EXPECT(c, "OK", "UID STORE 1 +FLAGS (\\Flagged)");
		EXPECT(d, "OK", "NOOP");
	}
	EXPECT(c, "OK", "NOOP");
	EXPECT(c, "OK", "FETCH 14 (UID)");
	SAID(c, "* 14 FETCH (UID 14)");
	/* it goes in the middle of it */
	client_sendz(d, "x APPEND INBOX {2+}\r\nhi\r\n");
	client_sendz(c, "f IDLE\r\n");
	EXPECT(d, "OK", "NOOP");
}

int
main(void)
{
#undef TEST
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, pair_setup, pair_teardown)
	const struct CMUnitTest tests[] = {
		TEST(refused),
		TEST(taken),
		TEST(too_much),
		TEST(notify),
		TEST(own_changes),
		TEST(behind_a_fetch),
		TEST(delayed),
		TEST(snapshot),
		TEST(held_flags),
		TEST(in_idle),
		TEST(with_qresync_and_uidonly),
		TEST(other_mailboxes),
		TEST(several_groups),
		TEST(selection_changes),
		TEST(names),
		TEST(outer_names),
		TEST(subscriptions),
		TEST(annotations),
		TEST(two_at_once),
		TEST(slow_reader),
		TEST(overflow),
		TEST(pipelined),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
