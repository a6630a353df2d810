/* Reports as bytes, and who is owed one: NOTIFY against every outcome, aliases and lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "core/base/xalloc.h"
#include "delivery/queue/dsn.h"

enum {
	N = SPOOL_NOTIFY_NEVER,
	S = SPOOL_NOTIFY_SUCCESS,
	F = SPOOL_NOTIFY_FAILURE,
	D = SPOOL_NOTIFY_DELAY
};

static const struct dsn_rcpt rcpts[] = {
	{ .action = ACTION_FAILED,
		.address = { "nobody@example.org", 18 },
		.orig = { "all@example.org", 15 },
		.orcpt = { "rfc822;All+2Bx@example.org", 26 },
		.reply = { "550 5.1.1 No such user", 22 },
		.host = { "mx.example.net", 14 },
		.host_address = { "192.0.2.1", 9 },
		.last_ms = 1795247500000 },
	{ .action = ACTION_FAILED,
		.address = { "slow@example.org", 16 },
		.orig = { "slow@example.org", 16 },
		.reply = { "451 4.3.0 Not now", 17 } },
	{ .action = ACTION_DELAYED,
		.address = { "late@example.org", 16 },
		.orig = { "late@example.org", 16 },
		.reply = { "451 4.2.1 Locked", 16 } },
	{ .action = ACTION_DELIVERED,
		.address = { "ok@example.org", 14 },
		.orig = { "ok@example.org", 14 },
		.reply = { "250 2.1.5 Fine", 14 } },
	{ .action = ACTION_RELAYED,
		.address = { "far@example.net", 15 },
		.orig = { "far@example.net", 15 },
		.reply = { "250 Queued", 10 },
		.host = { "mx.example.net", 14 } },
	{ .action = ACTION_EXPANDED,
		.address = { "team@example.org", 16 },
		.orig = { "team@example.org", 16 } },
};

static struct dsn
sample(void)
{
	return (struct dsn){ .hostname = STR("mail.example.org"),
		.to = STR("anna@example.org"),
		.qid = STR("0123456789abcdef"),
		.report_qid = STR("fedcba9876543210"),
		.envid = STR("QQ+2B3+20x"),
		.now_ms = 1795248000000,
		.received_ms = 1795247000000,
		.until_ms = 1795679000000,
		.content = STR("Subject: =?utf-8?q?a=0Ab?= c\r\nFrom: anna@example.org\r\n"
			       "Message-Id: <one@example.org>\r\n\r\nhello\r\n"),
		.whole = true,
		.rcpts = rcpts,
		.rcpts_count = ARRAY_LEN(rcpts) };
}

static void
expect(struct buf *b, const char *const *want)
{
	for (; *want != NULL; want++) {
		if (str_find(buf_str(b), str_of(*want)) == b->n)
			fail_msg("missing: %s\nin: %s", *want, buf_z(b));
	}
	for (size_t i = 1; i < b->n; i++)
		assert_true(buf_str(b).p[i] != '\n' || buf_str(b).p[i - 1] == '\r');
}

static void
test_report(void **state)
{
	static const char *const want[] = {
		"From: Mail Delivery System <MAILER-DAEMON@mail.example.org>\r\n",
		"To: <anna@example.org>\r\n",
		"Subject: Your message could not be delivered to everybody\r\n",
		"Message-ID: <fedcba9876543210@mail.example.org>\r\n",
		"References: <one@example.org>\r\n",
		"Auto-Submitted: auto-replied\r\n",
		"multipart/report; report-type=delivery-status;\r\n",
		"Content-Type: text/plain; charset=us-ascii\r\n",
		"Your message \"a b c\" could not be delivered",
		"  <all@example.org>\r\n      (which leads to <nobody@example.org>)\r\n      There "
		"is "
		"no such mailbox.",
		"mx.example.net [192.0.2.1] said: 550 5.1.1 No such user\r\n",
		"until Thu, 26 Nov 2026",
		"Content-Type: message/delivery-status\r\n\r\nOriginal-Envelope-Id: QQ+3 x\r\n"
		"Reporting-MTA: dns; mail.example.org\r\nX-Postroom-Queue-ID: 0123456789abcdef\r\n"
		"Arrival-Date: Sat, 21 Nov 2026 07:43:20 +0000\r\n\r\n",
		"\r\n\r\nOriginal-Recipient: rfc822; All+x@example.org\r\nFinal-Recipient: rfc822; "
		"nobody@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		"Remote-MTA: dns; mx.example.net\r\n"
		"Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"
		"Last-Attempt-Date: Sat, 21 Nov 2026 07:51:40 +0000\r\n\r\n",
		"\r\n\r\nFinal-Recipient: rfc822; slow@example.org\r\nAction: failed\r\n"
		"Status: 5.4.7\r\nDiagnostic-Code: x-postroom; 451 4.3.0 Not now\r\n\r\n",
		"Action: delayed\r\nStatus: 4.2.1\r\nDiagnostic-Code: x-postroom; 451 4.2.1 "
		"Locked\r\n"
		"Will-Retry-Until: Thu, 26 Nov 2026 07:43:20 +0000\r\n\r\n",
		"Final-Recipient: rfc822; ok@example.org\r\nAction: delivered\r\nStatus: 2.1.5\r\n",
		"Action: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx.example.net\r\n",
		"Final-Recipient: rfc822; team@example.org\r\nAction: expanded\r\n"
		"Status: 2.0.0\r\n\r\n--=_",
		"Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?a=0Ab?= c\r\n",
		"\r\n\r\nhello\r\n\r\n--=_fedcba9876543210--\r\n",
		NULL,
	};
	struct dsn d = sample();
	struct buf b;
	unsigned flags = 99;

	(void)state;
	buf_init(&b, 65536);
	assert_int_equal(dsn_build(&d, false, &b, &flags), ERR_OK);
	assert_int_equal(flags, 0);
	expect(&b, want);
	assert_int_equal(str_find(buf_str(&b), STR("8bit")), b.n);
	/* No room is said, whatever does not fit. */
	for (size_t room = 1; room < b.n; room += 97) {
		struct buf small;
		buf_init(&small, room);
		assert_int_equal(dsn_build(&d, false, &small, &flags), ERR_LIMIT);
		buf_fini(&small);
	}
	buf_fini(&b);
}

/* 8-bit and internationalised messages. RFC 6533 */
static void
test_types(void **state)
{
	static const struct {
		const char *address, *orcpt, *content;
		bool utf8, whole;
		unsigned flags;
		const char *want[5];
	} table[] = {
		{ "a@example.org", "", "Subject: x\r\n", false, false, 0,
			{ "Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n\r\n--=_" } },
		{ "a@example.org", "", "Subject: x\r\n\r\n\xe4\r\n", false, true, SPOOL_8BITMIME,
			{ "\r\nContent-Transfer-Encoding: 8bit\r\n\r\nThis is",
				"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: "
				"8bit\r\n" } },
		{ "a@example.org", "", "Subject: \xc3\xa4\r\n", true, false,
			SPOOL_8BITMIME | SPOOL_SMTPUTF8,
			{ "report-type=global-delivery-status;",
				"Content-Type: message/global-headers\r\n"
				"Content-Transfer-Encoding: 8bit\r\n",
				"Content-Type: text/plain; charset=utf-8\r\n"
				"Content-Transfer-Encoding: 8bit\r\n",
				"Your message \"\xc3\xa4\" could" } },
		{ "\xc3\xa4@example.org", "utf-8;\\x{E4}\\x{1F600}@example.org",
			"X: y\r\n\r\nz\r\n", false, true, SPOOL_8BITMIME | SPOOL_SMTPUTF8,
			{ "Content-Type: message/global\r\n\r\n",
				"Content-Type: message/global-delivery-status\r\n"
				"Content-Transfer-Encoding: 8bit\r\n",
				"Original-Recipient: utf-8; "
				"\xc3\xa4\xf0\x9f\x98\x80@example.org\r\n",
				"Final-Recipient: utf-8; \xc3\xa4@example.org\r\n" } },
		{ "a@example.org", "utf-8;\\x{E4}@example.org", "X: y\r\n", false, false, 0,
			{ "Original-Recipient: utf-8; \\x{E4}@example.org\r\n",
				"Content-Type: message/delivery-status\r\n\r\n" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct dsn_rcpt r = { .action = ACTION_FAILED,
			.address = str_of(table[i].address),
			.orig = str_of(table[i].address),
			.orcpt = str_of(table[i].orcpt),
			.reply = STR("550 5.7.1 No") };
		struct dsn d = sample();
		unsigned flags = 99;
		struct buf b;
		buf_init(&b, 65536);
		d.rcpts = &r;
		d.rcpts_count = 1;
		d.content = str_of(table[i].content);
		d.whole = table[i].whole;
		assert_int_equal(dsn_build(&d, table[i].utf8, &b, &flags), ERR_OK);
		assert_int_equal(flags, table[i].flags);
		expect(&b, table[i].want);
		assert_int_equal(str_has_8bit(buf_str(&b)), (flags & SPOOL_8BITMIME) != 0);
		buf_fini(&b);
	}
}

static void
test_xtext(void **state)
{
	static const struct {
		const char *in;
		bool utf8;
		const char *out;
	} table[] = {
		{ "", false, "" },
		{ "a+2Bb+3Dc", false, "a+b=c" },
		{ "+20+", false, " +" },
		{ "+2", false, "+2" },
		{ "+2x", false, "+2x" },
		{ "+0A+7F+FF", false, "???" },
		{ "\\x{E4}", false, "\\x{E4}" },
		{ "\\x{E4}", true, "\xc3\xa4" },
		{ "\\x{20AC}\\x{10FFFF}", true, "\xe2\x82\xac\xf4\x8f\xbf\xbf" },
		{ "\\x{41}", true, "A" },
		{ "\\x{110000}\\x{D800}\\x{A}\\x{85}", true, "\\x{110000}\\x{D800}\\x{A}\\x{85}" },
		{ "\\x{}\\x{E4\\x{0000000E4}", true, "\\x{}\\x{E4\\x{0000000E4}" },
		{ "\\x{", true, "\\x{" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;
		buf_init(&b, 256);
		dsn_xtext(str_of(table[i].in), table[i].utf8, &b);
		assert_string_equal(buf_z(&b), table[i].out);
		buf_fini(&b);
	}
}

static void
test_subjects(void **state)
{
	static const struct {
		enum action a, b;
		bool twice;
		const char *subject;
	} table[] = {
		{ ACTION_FAILED, ACTION_FAILED, false, "Your message could not be delivered" },
		{ ACTION_FAILED, ACTION_DELAYED, false,
			"Your message could not be delivered to everybody" },
		{ ACTION_DELAYED, ACTION_DELIVERED, false, "Your message is delayed" },
		{ ACTION_DELIVERED, ACTION_RELAYED, false, "Your message was delivered" },
		{ ACTION_EXPANDED, ACTION_EXPANDED, false, "Your message was delivered" },
		{ ACTION_RELAYED, ACTION_RELAYED, false, "Your message was passed on" },
		{ ACTION_FAILED, ACTION_FAILED, true, "A report could not be delivered" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct dsn_rcpt r[2] = { { .action = table[i].a }, { .action = table[i].b } };
		struct dsn d = { .rcpts = r, .rcpts_count = 2, .twice = table[i].twice };
		assert_string_equal(dsn_subject(&d), table[i].subject);
	}
}

/* Whatever a server says, the status fits the action, and there are words for people. */
static void
test_statuses(void **state)
{
	static const struct {
		const char *reply;
		enum action a;
		const char *status, *words;
	} table[] = {
		{ "550 5.1.1 x", ACTION_FAILED, "5.1.1", "There is no such mailbox." },
		{ "550 5.1.10 x", ACTION_FAILED, "5.1.10", "takes no mail at this address" },
		{ "550 5.1.9 x", ACTION_FAILED, "5.1.9", "The address was refused." },
		{ "552 5.2.2 x", ACTION_FAILED, "5.2.2", "mailbox is full" },
		{ "552 5.3.4 x", ACTION_FAILED, "5.3.4", "too large" },
		{ "550 5.7.26 x", ACTION_FAILED, "5.7.26", "by its rules" },
		{ "550 5.9.9 x", ACTION_FAILED, "5.9.9", "The message was refused." },
		{ "550 No", ACTION_FAILED, "5.0.0", "The message was refused." },
		{ "", ACTION_FAILED, "5.0.0", "The message was refused." },
		{ "451 4.4.1 x", ACTION_FAILED, "5.4.7", "time is over now" },
		{ "451 4.4.1 x", ACTION_DELAYED, "4.4.1", "You need not do anything" },
		{ "", ACTION_DELAYED, "4.0.0", "You need not do anything" },
		{ "250 2.1.5 x", ACTION_DELIVERED, "2.1.5", "It lies in the mailbox of:" },
		{ "250 x", ACTION_RELAYED, "2.0.0", "another mail system" },
		{ "", ACTION_EXPANDED, "2.0.0", "all whom this address stands" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct dsn_rcpt r = { .action = table[i].a,
			.reply = str_of(table[i].reply),
			.address = STR("a@example.org") };
		struct dsn d = { .rcpts = &r, .rcpts_count = 1 };
		struct buf b, flat;
		buf_init(&b, 65536);
		buf_init(&flat, 65536);
		assert_true(str_eq(dsn_status(&r), str_of(table[i].status)));
		dsn_add_text(&d, &b);
		/* Lines are broken anywhere. */
		for (size_t k = 0; k < b.n; k++) {
			char c = buf_str(&b).p[k];
			if (c == '\r')
				continue;
			c = c == '\n' ? ' ' : c;
			if (c != ' ' || flat.n == 0 || buf_str(&flat).p[flat.n - 1] != ' ')
				buf_addc(&flat, c);
		}
		if (str_find(buf_str(&flat), str_of(table[i].words)) == flat.n)
			fail_msg("%s: %s", table[i].reply, buf_z(&b));
		buf_fini(&b);
		buf_fini(&flat);
	}
}

/* Whatever the message holds, the report's own header is ours alone, its lines end with CR LF, and
 * it has its three parts. */
static void
test_hostile_content(void **state)
{
	static const struct str table[] = {
		STR(""),
		STR("\r\n"),
		STR("no field at all"),
		STR("Subject:\r\nMessage-ID:\r\n\r\n"),
		STR("Subject: =?utf-8?q?x=0D=0AEvil:_1?=\r\n\r\n"),
		STR("Subject: =?utf-8?b?////?= \xff\xfe\0\x01\r\n\r\n"),
		STR("Subject: =?iso-2022-jp?b?GyRC?= =?x?q?=?=\r\n\r\n"),
		STR("Message-ID: <a@b>\r\n Evil: 1\r\n\r\n"),
		STR("Message-ID: <\xe4@b>\r\n\r\n"),
		STR("Message-ID: <a\0b@c>\r\n\r\n"),
		STR("Message-ID: <a\rEvil: 1@c>\r\n\r\n"),
		STR("Message-ID: >a<\r\n\r\n"),
		STR("\r\n--=_0123456789abcdef--\r\n\r\nSubject: body\r\n"),
	};
	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(table); i++) {
		struct dsn d = sample();
		struct str all, head, line, rest;
		unsigned flags = 0, parts = 0;
		struct buf b;
		buf_init(&b, 65536);
		d.content = table[i / 2];
		d.whole = i % 2 != 0;
		assert_int_equal(dsn_build(&d, false, &b, &flags), ERR_OK);
		all = buf_str(&b);
		head = rest = str_sub(all, 0, str_find(all, STR("\r\n\r\n")));
		assert_false(str_has_8bit(head) || str_has_nul(head));
		assert_int_equal(str_find(head, STR("\nEvil:")), head.n);
		while (rest.n != 0) {
			(void)str_cut(rest, '\n', &line, &rest);
			assert_true(line.n < 998);
		}
		for (rest = all; str_find(rest, STR("\n--=_fedcba9876543210")) < rest.n; parts++)
			rest = str_from(rest, str_find(rest, STR("\n--=_fedcba9876543210")) + 1);
		assert_int_equal(parts, 4);
		for (size_t k = 1; k < all.n; k++)
			assert_true(all.p[k] != '\n' || all.p[k - 1] == '\r');
		buf_fini(&b);
	}
}

/* The other server by its name, else by its address. */
static void
test_remote(void **state)
{
	static const struct {
		const char *host, *address, *field, *said;
	} table[] = {
		{ "mx.example.net", "192.0.2.1", "Remote-MTA: dns; mx.example.net\r\n",
			"mx.example.net [192.0.2.1] said:" },
		{ "mx.example.net", "", "Remote-MTA: dns; mx.example.net\r\n",
			"mx.example.net said:" },
		{ "192.0.2.1", "192.0.2.1", "Remote-MTA: dns; [192.0.2.1]\r\n",
			"\n      192.0.2.1 said:" },
		{ "2001:db8::1", "2001:db8::1", "Remote-MTA: dns; [IPv6:2001:db8::1]\r\n",
			"\n      2001:db8::1 said:" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct dsn_rcpt r = { .action = ACTION_FAILED,
			.reply = STR("550 5.7.1 No"),
			.address = STR("a@example.net"),
			.host = str_of(table[i].host),
			.host_address = str_of(table[i].address) };
		const char *want[] = { table[i].field, table[i].said, NULL };
		struct dsn d = sample();
		unsigned flags = 0;
		struct buf b;
		buf_init(&b, 65536);
		d.rcpts = &r;
		d.rcpts_count = 1;
		assert_int_equal(dsn_build(&d, false, &b, &flags), ERR_OK);
		expect(&b, want);
		buf_fini(&b);
	}
}

static void
test_header_of(void **state)
{
	(void)state;
	assert_true(str_eq(
		dsn_header_of(STR("A: b\r\nC: d\r\n\r\nbody"), 100), STR("A: b\r\nC: d\r\n")));
	assert_true(str_eq(dsn_header_of(STR("A: b\r\nC: d\r\n\r\nbody"), 8), STR("A: b\r\n")));
	assert_true(str_eq(dsn_header_of(STR("A: b\r\nC: d"), 100), STR("A: b\r\n")));
	assert_true(str_eq(dsn_header_of(STR("no line end"), 100), STR_EMPTY));
	assert_true(str_eq(dsn_header_of(STR_EMPTY, 100), STR_EMPTY));
}

/* Records. */

static struct record_rcpt *
one_rcpt(struct record *r, struct record_orig *o, struct arena *a, size_t count, bool list)
{
	struct record_rcpt *c;

	*r = (struct record){ .sender = STR("anna@example.org"), .origs = o, .origs_count = 1 };
	owed_expanded(o, count, list);
	c = record_add_rcpt(r, a, STR("ben@example.org"), 0);
	assert_non_null(c);
	owed_inherit(c, o, count, false);
	return c;
}

/* NOTIFY against what became of the one recipient: what the sender is told, and that it is told
 * once. */
static void
test_matrix(void **state)
{
	enum outcome { FAILED, LATE, EARLY, MAILBOX, RELAYED, PASSED, OUTCOMES };
	static const struct {
		unsigned notify;
		enum action told[OUTCOMES];
	} table[] = {
		{ 0, { ACTION_FAILED, ACTION_DELAYED, 0, 0, 0, 0 } },
		{ N, { 0, 0, 0, 0, 0, 0 } },
		{ S, { 0, 0, 0, ACTION_DELIVERED, ACTION_RELAYED, 0 } },
		{ F, { ACTION_FAILED, 0, 0, 0, 0, 0 } },
		{ D, { 0, ACTION_DELAYED, 0, 0, 0, 0 } },
		{ S | F, { ACTION_FAILED, 0, 0, ACTION_DELIVERED, ACTION_RELAYED, 0 } },
		{ S | D, { 0, ACTION_DELAYED, 0, ACTION_DELIVERED, ACTION_RELAYED, 0 } },
		{ F | D, { ACTION_FAILED, ACTION_DELAYED, 0, 0, 0, 0 } },
		{ S | F | D,
			{ ACTION_FAILED, ACTION_DELAYED, 0, ACTION_DELIVERED, ACTION_RELAYED, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table) * OUTCOMES * 2; i++) {
		enum outcome how = (enum outcome)(i / 2 % OUTCOMES);
		unsigned notify = table[i / 2 / OUTCOMES].notify;
		bool null_sender = i % 2 != 0;
		enum action want = null_sender ? ACTION_NONE : table[i / 2 / OUTCOMES].told[how];
		struct arena *a = arena_new(65536);
		struct record_orig o = { .address = STR("ben@example.org"), .notify = notify };
		struct record r;
		struct record_rcpt *c = one_rcpt(&r, &o, a, 1, false);
		struct owed w;
		if (null_sender)
			r.sender = STR_EMPTY;
		assert_int_equal(c->notify, notify);
		if (how == FAILED)
			c->state = RCPT_FAILED;
		else if (how == LATE || how == EARLY)
			c->next_ms = 1000;
		else
			owed_delivered(c, how != MAILBOX, how == PASSED);
		(void)owed_settle(&r, STR("pm@example.org"));
		assert_int_equal(
			owed_next(&r, STR("pm@example.org"), how == LATE, &w), want != ACTION_NONE);
		if (want != ACTION_NONE) {
			assert_true(str_eq(w.to, r.sender) && !w.twice);
			assert_int_equal(owed_rcpt(&r, &w, 0), want);
			assert_int_equal(owed_orig(&r, &w, 0), ACTION_NONE);
			if (want == ACTION_DELAYED)
				assert_true(owed_delays(&r));
			owed_mark(&r, &w);
		}
		assert_false(owed_next(&r, STR("pm@example.org"), how == LATE, &w));
		if (how == LATE)
			assert_false(owed_delays(&r));
		assert_false(owed_settle(&r, STR("pm@example.org")));
		assert_true(record_next_ms(&r) == (how == LATE || how == EARLY ? 1000 : INT64_MAX));
		arena_free(a);
	}
}

/* What an address that stands for several, or a list, makes of NOTIFY. */
static void
test_expansion(void **state)
{
	static const struct {
		unsigned notify;
		size_t count;
		bool list;
		enum action orig;
		unsigned rcpt;
	} table[] = {
		{ 0, 1, false, ACTION_NONE, 0 },
		{ S, 1, false, ACTION_NONE, S },
		{ N, 1, false, ACTION_NONE, N },
		{ 0, 3, false, ACTION_NONE, 0 },
		{ N, 3, false, ACTION_NONE, N },
		{ S, 3, false, ACTION_EXPANDED, N },
		{ S | F, 3, false, ACTION_EXPANDED, F },
		{ S | F | D, 3, false, ACTION_EXPANDED, F | D },
		{ F | D, 3, false, ACTION_NONE, F | D },
		{ S, 3, true, ACTION_DELIVERED, 0 },
		{ S | F, 1, true, ACTION_DELIVERED, 0 },
		{ N, 3, true, ACTION_NONE, 0 },
		{ 0, 3, true, ACTION_NONE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct arena *a = arena_new(65536);
		struct record_orig o = { .address = STR("all@example.org"),
			.notify = table[i].notify };
		struct record r;
		struct record_rcpt *c = one_rcpt(&r, &o, a, table[i].count, table[i].list);
		struct owed w;
		assert_true(o.expanded && o.list == table[i].list && c->list == table[i].list);
		assert_int_equal(c->notify, table[i].rcpt);
		assert_int_equal(owed_next(&r, STR_EMPTY, false, &w), table[i].orig != ACTION_NONE);
		if (table[i].orig != ACTION_NONE) {
			assert_int_equal(owed_orig(&r, &w, 0), table[i].orig);
			assert_int_equal(owed_rcpt(&r, &w, 0), ACTION_NONE);
			owed_mark(&r, &w);
			assert_int_equal(o.success, SUCCESS_DONE);
		}
		assert_false(owed_next(&r, STR_EMPTY, false, &w));
		arena_free(a);
	}
}

/* One mailbox by two addresses: who wants to hear anything does. */
static void
test_twice_named(void **state)
{
	static const struct {
		unsigned a, b, both;
	} table[] = {
		{ 0, 0, 0 },
		{ N, 0, 0 },
		{ 0, N, 0 },
		{ N, N, N },
		{ S, 0, S | F | D },
		{ 0, S, S | F | D },
		{ F, D, F | D },
		{ N, S, S },
		{ S, N, S },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		for (int delivered = 0; delivered < 2; delivered++) {
			struct record_orig b = { .notify = table[i].b };
			struct record_rcpt c = { .notify = table[i].a };
			if (delivered)
				owed_delivered(&c, false, false);
			owed_inherit(&c, &b, 1, true);
			assert_int_equal(c.notify, table[i].both);
			assert_int_equal(c.success,
				delivered && (table[i].both & S) != 0 ? SUCCESS_DUE : SUCCESS_NONE);
		}
	}
}

/* Each sender gets a report of its own recipients; who has none is not told. */
static void
test_senders(void **state)
{
	static const char *const senders[] = { "anna@example.org", "owner@example.org", "",
		"owner@example.org" };
	struct arena *a = arena_new(65536);
	struct record_orig o = { .address = STR("all@example.org"), .expanded = true };
	struct record r = { .sender = STR("anna@example.org"), .origs = &o, .origs_count = 1 };
	struct record_rcpt *srs;
	struct owed w;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
		struct record_rcpt *c = record_add_rcpt(&r, a, STR("x@example.org"), 0);
		assert_int_equal(record_set_sender(&r, a, c, str_of(senders[i])), ERR_OK);
		c->state = RCPT_FAILED;
		c->list = true;
	}
	/* By SRS: the sender's matter all the same. */
	srs = record_add_rcpt(&r, a, STR("y@example.net"), 0);
	assert_int_equal(record_set_sender(&r, a, srs, STR("SRS0=x@example.org")), ERR_OK);
	srs->state = RCPT_FAILED;
	assert_true(owed_settle(&r, STR_EMPTY));
	assert_int_equal(r.rcpts[2].state, RCPT_REPORTED);
	assert_true(owed_next(&r, STR_EMPTY, false, &w));
	assert_true(str_eq(w.to, STR("anna@example.org")));
	assert_int_equal(owed_rcpt(&r, &w, 1), ACTION_NONE);
	assert_int_equal(owed_rcpt(&r, &w, 4), ACTION_FAILED);
	owed_mark(&r, &w);
	assert_int_equal(r.rcpts[0].state, RCPT_REPORTED);
	assert_int_equal(r.rcpts[4].state, RCPT_REPORTED);
	assert_true(owed_next(&r, STR_EMPTY, false, &w));
	assert_true(str_eq(w.to, STR("owner@example.org")));
	assert_int_equal(owed_rcpt(&r, &w, 3), ACTION_FAILED);
	owed_mark(&r, &w);
	assert_false(owed_next(&r, STR_EMPTY, false, &w));
	arena_free(a);
}

/* Reports about reports: once, to the postmaster. */
static void
test_reports_fail(void **state)
{
	static const struct {
		unsigned flags;
		const char *sender, *postmaster;
		bool told, twice;
	} table[] = {
		{ SPOOL_REPORT, "", "pm@example.org", true, true },
		{ SPOOL_REPORT, "", "", false, false },
		{ SPOOL_REPORT | SPOOL_DOUBLE, "", "pm@example.org", false, false },
		{ 0, "", "pm@example.org", false, false },
		{ 0, "anna@example.org", "pm@example.org", false, false }, /* NEVER */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct arena *a = arena_new(65536);
		struct record_orig o = { .address = STR("ben@example.org"), .notify = N };
		struct record r;
		struct record_rcpt *c = one_rcpt(&r, &o, a, 1, false);
		struct str pm = str_of(table[i].postmaster);
		struct owed w;
		r.flags = table[i].flags;
		r.sender = str_of(table[i].sender);
		assert_false(owed_delays(&r));
		c->state = RCPT_FAILED;
		assert_int_equal(owed_settle(&r, pm), !table[i].told);
		assert_int_equal(owed_next(&r, pm, true, &w), table[i].told);
		if (table[i].told) {
			assert_true(str_eq(w.to, pm) && w.twice == table[i].twice);
			assert_int_equal(owed_rcpt(&r, &w, 0), ACTION_FAILED);
			owed_mark(&r, &w);
		}
		assert_int_equal(c->state, RCPT_REPORTED);
		assert_false(owed_next(&r, pm, true, &w));
		arena_free(a);
	}
}

static void
test_pass_on(void **state)
{
	static const struct {
		const char *orig, *orcpt, *final;
		bool list;
		unsigned notify;
		const char *want;
	} table[] = {
		{ "a@x.org", "", "a@x.org", false, S, "" },
		{ "a@x.org", "rfc822;B+2B@x.org", "a@x.org", false, S, "rfc822;B+2B@x.org" },
		{ "a@x.org", "rfc822;B@x.org", "c@y.org", false, 0, "rfc822;B@x.org" },
		{ "a+t=1@x.org", "", "c@y.org", false, F, "rfc822;a+2Bt+3D1@x.org" },
		{ "\"a b\"@x.org", "", "c@y.org", false, F, "rfc822;\"a+20b\"@x.org" },
		{ "a@x.org", "rfc822;B@x.org", "c@y.org", true, 0, "" },
		{ "\xc3\xa4@x.org", "", "c@y.org", false, F, "" },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 2048);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct record_orig o = { .address = str_of(table[i].orig),
			.orcpt = str_of(table[i].orcpt) };
		struct record_rcpt c = { .address = str_of(table[i].final),
			.list = table[i].list,
			.notify = table[i].notify };
		struct record r = { .origs = &o, .origs_count = 1, .rcpts = &c, .rcpts_count = 1 };
		assert_int_equal(owed_pass_on(&r, &c, &b), table[i].notify);
		assert_string_equal(buf_z(&b), table[i].want);
	}
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_xtext),
		cmocka_unit_test(test_subjects),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_hostile_content),
		cmocka_unit_test(test_remote),
		cmocka_unit_test(test_header_of),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_expansion),
		cmocka_unit_test(test_twice_named),
		cmocka_unit_test(test_senders),
		cmocka_unit_test(test_reports_fail),
		cmocka_unit_test(test_pass_on),
	};
	return cmocka_run_group_tests_name("queue_dsn", tests, NULL, NULL);
}
