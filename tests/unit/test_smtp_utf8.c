/* delivery/smtp: addresses and headers beyond ASCII in whole sessions (RFC 6531, RFC 6532). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/xalloc.h"
#include "tests/unit/smtp_say.h"

#define AUML	 "\xc3\xa4"
#define NFD_AUML "a\xcc\x88"
#define TEXT	 "Subject: s\r\n\r\nbody\r\n"

static void
options(struct smtp_options *o)
{
	o->postmaster = STR("known.admin@ok.org");
	o->sender_fqdn = true;
}

static int
setup(void **state)
{
	(void)state;
	fakes_start(options);
	fakes_connect_mx("203.0.113.9");
	return 0;
}

static int
setup_submission(void **state)
{
	(void)state;
	fakes_start(options);
	fakes_connect();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fakes_stop();
	return 0;
}

static bool
holds(const struct buf *b, const char *what)
{
	return str_find(buf_str(b), str_of(what)) < b->n;
}

static void
test_offered(void **state)
{
	(void)state;
	say("EHLO c.else.org\r\n", "250 ");
	assert_true(holds(&fakes.output, "250-SMTPUTF8\r\n"));
	/* RFC 6531 3.7.4.2: that we never verify needs no UTF-8 */
	say("VRFY " AUML " SMTPUTF8\r\n", "252 ");
	say("VRFY " AUML "\r\n", "252 ");
	say("EHLO " AUML ".org\r\n", "501 ");
}

static void
test_message(void **state)
{
	(void)state;
	say("EHLO c.else.org\r\n", "250 ");
	say("MAIL FROM:<" AUML "@B" AUML "R.example> SMTPUTF8 BODY=8BITMIME\r\n", "250 2.1.0");
	say("RCPT TO:<known" NFD_AUML "@ok.org>\r\n", "250 2.1.5");
	say("RCPT TO:<known@b" AUML "r.example>\r\n", "550 5.7.1");
	say("DATA\r\n", "354");
	say("Subject: " AUML "\r\n\r\nbody\r\n.\r\n", "250 2.0.0");
	/* the sender as it was, but for the domain; our own recipient as it is compared */
	assert_true(str_eq(buf_str(&fakes.sender), STR(AUML "@xn--br-via.example")));
	assert_true(str_eq(buf_str(&fakes.rcpts), STR("known" AUML "@ok.org\n")));
	assert_true(holds(&fakes.body, "with UTF8SMTP id"));
	assert_true(fakes.flags == (SPOOL_8BITMIME | SPOOL_SMTPUTF8));
	/* the transaction is over, and with it the permission */
	say("MAIL FROM:<x@else.org>\r\n", "250 2.1.0");
	say("RCPT TO:<known" AUML "@ok.org>\r\n", "553 5.6.7");
	say("RCPT TO:<known@ok.org>\r\n", "250 2.1.5");
	say("DATA\r\n", "354");
	say(TEXT ".\r\n", "250 2.0.0");
	assert_true(holds(&fakes.body, "with ESMTP id"));
	assert_int_equal(fakes.flags, 0);
}

/* What is ASCII needs no SMTPUTF8 later, whatever MAIL said. */
static void
test_not_needed(void **state)
{
	(void)state;
	say("EHLO c.else.org\r\n", "250 ");
	say("MAIL FROM:<x@else.org> SMTPUTF8\r\n", "250 2.1.0");
	say("RCPT TO:<known@ok.org>\r\n", "250 2.1.5");
	say("DATA\r\n", "354");
	say(TEXT ".\r\n", "250 2.0.0");
	assert_int_equal(fakes.flags, 0);
	/* and what did not say it is no UTF-8 message: 8-bit headers are in the field */
	say("MAIL FROM:<x@else.org>\r\n", "250 2.1.0");
	say("RCPT TO:<known@ok.org>\r\n", "250 2.1.5");
	say("DATA\r\n", "354");
	say("Subject: \xe4\r\n\r\nbody\r\n.\r\n", "250 2.0.0");
	assert_int_equal(fakes.flags, SPOOL_8BITMIME);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *mail, *mail_reply, *rcpt, *rcpt_reply, *header, *end_reply;
	} table[] = {
		{ "<" AUML "@else.org>", "553 5.6.7", NULL, NULL, NULL, NULL },
		{ "<x@" AUML ".org>", "553 5.6.7", NULL, NULL, NULL, NULL },
		{ "<x\xff@else.org> SMTPUTF8", "501 5.1.7", NULL, NULL, NULL, NULL },
		{ "<\xc0\xaf@else.org> SMTPUTF8", "501 5.1.7", NULL, NULL, NULL, NULL },
		{ "<\xed\xa0\x80@else.org> SMTPUTF8", "501 5.1.7", NULL, NULL, NULL, NULL },
		{ "<\xc2\x85@else.org> SMTPUTF8", "501 5.1.7", NULL, NULL, NULL, NULL },
		{ "<x@\xe2\x98\x83.org> SMTPUTF8", "501 5.1.7", NULL, NULL, NULL, NULL },
		{ "<x@" AUML "> SMTPUTF8", "504 5.5.2", NULL, NULL, NULL, NULL },
		{ "<> SMTPUTF8", "250", "<known\xc3@ok.org>", "501 5.1.3", NULL, NULL },
		{ "<> SMTPUTF8", "250", "<known" AUML "@ok.org> SMTPUTF8", "555", NULL, NULL },
		{ "<> SMTPUTF8", "250", "<other" AUML "@ok.org>", "550 5.1.1", NULL, NULL },
		{ "<> SMTPUTF8", "250", "<temp" AUML "@ok.org>", "451", NULL, NULL },
		{ "<> SMTPUTF8", "250", "<known@ok.org>", "250", "Subject: \xe4", "554 5.6.0" },
		{ "<> SMTPUTF8", "250", "<known@ok.org>", "250", "Subject: \xc0\xaf", "554 5.6.0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf line;
		buf_init(&line, 1000);
		say("EHLO c.else.org\r\n", "250 ");
		buf_addf(&line, "MAIL FROM:%s\r\n", table[i].mail);
		say(buf_z(&line), table[i].mail_reply);
		buf_reset(&line);
		if (table[i].rcpt != NULL) {
			buf_addf(&line, "RCPT TO:%s\r\n", table[i].rcpt);
			say(buf_z(&line), table[i].rcpt_reply);
		}
		buf_reset(&line);
		if (table[i].header != NULL) {
			buf_addf(&line, "%s\r\n\r\nbody\r\n.\r\n", table[i].header);
			say("DATA\r\n", "354");
			say(buf_z(&line), table[i].end_reply);
		}
		buf_fini(&line);
	}
	assert_int_equal(fakes.commits, 0);
}

/* From must be the user's also where it is UTF-8, and is UTF-8 only where MAIL said so. */
static void
test_submission(void **state)
{
	static const struct {
		const char *parameter, *from, *reply;
	} table[] = {
		{ " SMTPUTF8", "anna@ok.org", "250 2.0.0" },
		{ " SMTPUTF8", "A" AUML " <anna@ok.org>", "250 2.0.0" },
		{ " SMTPUTF8", "ann" AUML "@ok.org", "550 5.7.1" },
		{ " SMTPUTF8", "anna@" AUML ".org", "550 5.7.1" },
		{ "", "ann" AUML "@ok.org", "554 5.6.0" },
	};

	(void)state;
	say("EHLO c\r\nAUTH PLAIN AGFubmEAZ29vZA==\r\n", "235");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf line;
		buf_init(&line, 1000);
		buf_addf(&line, "MAIL FROM:<anna@ok.org>%s\r\n", table[i].parameter);
		say(buf_z(&line), "250");
		say("RCPT TO:<known@ok.org>\r\n", "250");
		say("DATA\r\n", "354");
		buf_reset(&line);
		buf_addf(&line, "From: %s\r\n\r\nbody\r\n.\r\n", table[i].from);
		say(buf_z(&line), table[i].reply);
		buf_fini(&line);
	}
	assert_true(holds(&fakes.body, "with UTF8SMTPA id"));
	say("MAIL FROM:<b" AUML "n@ok.org> SMTPUTF8\r\n", "553 5.7.1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_needed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_submission, setup_submission, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
