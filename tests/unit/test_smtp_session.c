/* delivery/smtp: whole sessions against scripted neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/xalloc.h"
#include "tests/unit/smtp_fakes.h"

/* "\0anna\0good" */
#define LOGIN "EHLO c\r\nAUTH PLAIN AGFubmEAZ29vZA==\r\n"
#define MAIL  "MAIL FROM:<me@ok.org>\r\nRCPT TO:<known@ok.org>\r\n"
#define TEXT  "From: me@ok.org\r\nDate: d\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n"

static int
setup(void **state)
{
	(void)state;
	fakes_start(NULL);
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

/* "220 250 235 …": the codes of all replies, continuation lines left out. */
static void
codes(struct buf *out)
{
	struct str rest = buf_str(&fakes.output), line;

	while (str_cut(rest, '\n', &line, &rest))
		if (line.n > 3 && line.p[3] != '-') {
			buf_addz(out, out->n > 0 ? " " : "");
			buf_add(out, str_sub(line, 0, 3));
		}
}

static void
expect(const char *want)
{
	struct buf b;

	buf_init(&b, 65536);
	codes(&b);
	if (!str_eq(buf_str(&b), str_of(want)))
		fail_msg("got  %s\nwant %s\n%s", buf_z(&b), want, buf_z(&fakes.output));
	buf_fini(&b);
}

/* What the sender wants to hear is kept with the message and with each recipient, and no longer
 * than for that message. */
static void
test_wishes(void **state)
{
	(void)state;
	fakes_send(
		STR(LOGIN
			"MAIL FROM:<me@ok.org> RET=HDRS ENVID=x+2B1\r\n"
			"RCPT TO:<known1@ok.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@ok.org\r\n"
			"RCPT TO:<known2@ok.org>\r\n"
			"RCPT TO:<unknown@ok.org> NOTIFY=NEVER\r\n"
			"RCPT TO:<known3@ok.org> NOTIFY=NEVER,DELAY\r\n"
			"RCPT TO:<known3@ok.org> NOTIFY=NEVER\r\n"
			"DATA\r\n" TEXT ".\r\n"),
		0);
	expect("220 250 235 250 250 250 550 501 250 354 250");
	assert_string_equal(buf_z(&fakes.wishes), "2 x+2B1\n10 rfc822;a+2Bb@ok.org\n0 \n1 \n");
	fakes_send(STR(MAIL "DATA\r\n" TEXT ".\r\n"), 0);
	assert_string_equal(buf_z(&fakes.wishes), "0 \n0 \n");
	fakes_send(STR("MAIL FROM:<me@ok.org> RET=FULL ENVID=\r\nRCPT TO:<known@ok.org>\r\n"), 0);
	expect("220 250 235 250 250 250 550 501 250 354 250 250 250 354 250 501 503");
	fakes_send(STR("MAIL FROM:<me@ok.org>\r\nRCPT TO:<known@ok.org> "
		       "ORCPT=utf-8;\xc3\xa4@b\r\nRSET\r\n"
		       "MAIL FROM:<me@ok.org> SMTPUTF8\r\nRCPT TO:<known@ok.org> "
		       "ORCPT=utf-8;\xc3\xa4@b\r\n"
		       "DATA\r\n" TEXT ".\r\n"),
		0);
	expect("220 250 235 250 250 250 550 501 250 354 250 250 250 354 250 501 503 "
	       "250 501 250 250 250 354 250");
	assert_string_equal(buf_z(&fakes.wishes), "0 \n0 utf-8;\\x{E4}@b\n");
}

/* One session in one go, and cut into single bytes. */
static void
test_sessions(void **state)
{
	static const struct {
		const char *in;
		const char *codes;
		unsigned commits;
	} table[] = {
		{ LOGIN MAIL "DATA\r\n" TEXT ".\r\nQUIT\r\n", "220 250 235 250 250 354 250 221",
			1 },
		{ LOGIN MAIL "DATA\r\n" TEXT ".\r\n" MAIL "DATA\r\n" TEXT ".\r\nQUIT\r\n",
			"220 250 235 250 250 354 250 250 250 354 250 221", 2 },
		{ LOGIN "MAIL FROM:<ben@ok.org>\r\nRCPT TO:<known@ok.org>\r\nQUIT\r\n",
			"220 250 235 553 503 221", 0 },
		{ LOGIN "MAIL FROM:<temp@ok.org>\r\nQUIT\r\n", "220 250 235 451 221", 0 },
		{ LOGIN "MAIL FROM:<>\r\nRCPT TO:<nobody@ok.org>\r\nRCPT TO:<temp@ok.org>\r\n"
			"RCPT TO:<known@else.org>\r\nDATA\r\nQUIT\r\n",
			"220 250 235 250 550 451 550 554 221", 0 },
		{ LOGIN MAIL "DATA\r\nFrom: ben@ok.org\r\n\r\nx\r\n.\r\nQUIT\r\n",
			"220 250 235 250 250 354 550 221", 0 },
		{ LOGIN MAIL "DATA\r\nFrom: temp@ok.org\r\n\r\nx\r\n.\r\nQUIT\r\n",
			"220 250 235 250 250 354 451 221", 0 },
		{ LOGIN MAIL "DATA\r\n.\r\nQUIT\r\n", "220 250 235 250 250 354 554 221", 0 },
		{ LOGIN MAIL
			"BDAT 17\r\nFrom: me@ok.org\r\nBDAT 2\r\n\r\nBDAT 3 LAST\r\n.\r\nQUIT\r\n",
			"220 250 235 250 250 250 250 250 221", 1 },
		{ LOGIN MAIL "BDAT 0 LAST\r\nQUIT\r\n", "220 250 235 250 250 554 221", 0 },
		{ LOGIN "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nQUIT\r\n",
			"220 250 235 503 503 221", 0 },
		{ LOGIN "MAIL FROM:<me@ok.org>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<known@ok.org>\r\n"
			"BDAT 2 LAST\r\n\r\nRSET\r\nQUIT\r\n",
			"220 250 235 250 503 250 503 250 221", 0 },
		{ LOGIN "MAIL FROM:<me@ok.org>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<known@ok.org>\r\n"
			"DATA\r\nRSET\r\nQUIT\r\n",
			"220 250 235 250 503 250 503 250 221", 0 },
		{ LOGIN MAIL "BDAT 2\r\nFrDATA\r\nRSET\r\nQUIT\r\n",
			"220 250 235 250 250 250 503 250 221", 0 },
		{ "EHLO c\r\nBDAT 6\r\nQUIT\r\nNOOP\r\nQUIT\r\n", "220 250 530 250 221", 0 },
		{ "EHLO c\r\nAUTH LOGIN\r\nYW5uYQ==\r\nZ29vZA==\r\nMAIL "
		  "FROM:<anna@ok.org>\r\nQUIT\r\n",
			"220 250 334 334 235 250 221", 0 },
		{ "EHLO c\r\nAUTH LOGIN\r\nYW5uYQ==\r\n*\r\nNOOP\r\nQUIT\r\n",
			"220 250 334 334 501 250 221", 0 },
		{ "EHLO c\r\nAUTH PLAIN AGFubmEAYmFk\r\nAUTH PLAIN AGFubmEAYmFk\r\n"
		  "AUTH PLAIN AGFubmEAYmFk\r\nNOOP\r\n",
			"220 250 535 535 535 421", 0 },
		{ "HELO c\r\nAUTH PLAIN =\r\nMAIL FROM:<me@ok.org>\r\nQUIT\r\n",
			"220 250 535 530 221", 0 },
		{ "MAIL FROM:<me@ok.org>\r\nSTARTTLS\r\nQUIT\r\n", "220 503 454 221", 0 },
		{ LOGIN MAIL "RCPT TO:<known+tag@ok.org>\r\nRCPT TO:<known3>\r\nRCPT "
			     "TO:<known4@ok.org>\r\n"
			     "RCPT TO:<known5@ok.org>\r\nRCPT TO:<known6@ok.org>\r\nQUIT\r\n",
			"220 250 235 250 250 250 250 250 250 452 221", 0 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(table); i++) {
		fakes_start(NULL);
		fakes_connect();
		fakes_send(str_of(table[i / 2].in), i % 2);
		fakes_end();
		expect(table[i / 2].codes);
		assert_int_equal(fakes.commits, table[i / 2].commits);
		assert_int_equal(fakes.slots_taken, fakes.commits + fakes.slots_dropped);
		fakes_stop();
	}
}

static void
test_content(void **state)
{
	(void)state;
	fakes_send(
		STR(LOGIN "MAIL FROM:<>\r\nRCPT TO:<known@ok.org>\r\nRCPT TO:<no@ok.org>\r\n"
			  "RCPT TO:<known2+t@OK.org>\r\nDATA\r\nFrom: me@ok.org\r\nBcc: a@b.c\r\n"
			  "Date: d\r\nMessage-ID: <1@x>\r\n\r\n..a\nb\r\n.\r\n"),
		0);
	assert_int_equal(fakes.commits, 1);
	assert_string_equal(buf_z(&fakes.rcpts), "known@ok.org\nknown2+t@ok.org\n");
	assert_int_equal(fakes.sender.n, 0);
	assert_true(str_starts(buf_str(&fakes.body),
		STR("Authentication-Results: mx.ok.org;\r\n\tauth=pass smtp.auth=anna\r\n"
		    "Received: from c ([192.0.2.1])\r\n\tby mx.ok.org with ESMTPA id "
		    "0123456789abcdef;\r\n\t")));
	assert_true(str_ends(buf_str(&fakes.body),
		STR("\r\nFrom: me@ok.org\r\nDate: d\r\nMessage-ID: <1@x>\r\n\r\n.a\r\nb\r\n")));
}

static void
test_spool_states(void **state)
{
	static const struct {
		enum err spool;
		bool never;
		const char *codes;
	} table[] = {
		{ ERR_OK, false, "220 250 235 250 250 354 250" },
		{ ERR_BUSY, false, "220 250 235 250 250 354 250" },
		{ ERR_BUSY, true, "220 250 235 250 250 452" },
		{ ERR_TEMP, false, "220 250 235 451" },
		{ ERR_LIMIT, false, "220 250 235 452" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		fakes_start(NULL);
		fakes_connect();
		fakes.spool_state = table[i].spool;
		fakes.slots_never = table[i].never;
		fakes_send(STR(LOGIN "MAIL FROM:<me@ok.org>\r\n"), 0);
		if (table[i].spool == ERR_OK || table[i].spool == ERR_BUSY)
			fakes_send(STR("RCPT TO:<known@ok.org>\r\nDATA\r\n"), 0);
		if (!table[i].never && table[i].spool != ERR_TEMP && table[i].spool != ERR_LIMIT)
			fakes_send(STR(TEXT ".\r\n"), 0);
		fakes_run(100);
		expect(table[i].codes);
		fakes_stop();
	}
}

/* The state at DATA counts as well, and a failed commit is 451, whatever was said before. */
static void
test_late_failures(void **state)
{
	(void)state;
	fakes_send(STR(LOGIN MAIL), 0);
	fakes.spool_state = ERR_LIMIT;
	fakes_send(STR("DATA\r\n"), 0);
	fakes.spool_state = ERR_OK;
	fakes.commit_result = ERR_TEMP;
	fakes_send(STR(MAIL "DATA\r\n" TEXT ".\r\n"), 0);
	fakes.commit_result = ERR_OK;
	fakes.directory_away = true;
	fakes_send(STR("MAIL FROM:<me@ok.org>\r\n"), 0);
	fakes.directory_away = false;
	fakes_send(STR(MAIL "DATA\r\n" TEXT ".\r\n"), 0);
	expect("220 250 235 250 250 452 250 250 354 451 451 250 250 354 250");
	assert_int_equal(fakes.commits, 1);
	assert_int_equal(fakes.slots_taken, fakes.commits + fakes.slots_dropped);
}

static void
test_auth_away(void **state)
{
	(void)state;
	fakes.auth_away = true;
	fakes_send(STR("EHLO c\r\nAUTH PLAIN AGFubmEAZ29vZA==\r\nAUTH LOGIN\r\n"), 0);
	expect("220 250 454 454");
}

/* The service goes while the client is typing: the line that the client owes gets the answer, so
 * that no reply stands where the client does not wait for one. */
static void
test_auth_dies_in_exchange(void **state)
{
	(void)state;
	fakes_send(STR("EHLO c\r\nAUTH LOGIN\r\n"), 0);
	fakes_auth_dies();
	expect("220 250 334");
	fakes_send(STR("YW5uYQ==\r\nNOOP\r\n"), 0);
	expect("220 250 334 454 250");
	fakes.auth_away = false;
	fakes_send(STR("AUTH LOGIN\r\n"), 0);
	fakes_auth_dies();
	fakes_send(STR("*\r\nNOOP\r\n"), 0);
	expect("220 250 334 454 250 334 501 250");
}

/* Recipients above the limit are put off, as RFC 5321 4.5.3.1.10 says: however many they are, the
 * message to the others goes. */
static void
test_recipients_put_off(void **state)
{
	(void)state;
	fakes_send(STR(LOGIN MAIL), 0);
	for (int i = 0; i < 60; i++)
		fakes_send(STR("RCPT TO:<known2@ok.org>\r\n"), 0);
	fakes_send(STR("DATA\r\n" TEXT ".\r\n"), 0);
	assert_int_equal(fakes.commits, 1);
}

/* Everything that is asked, and what is asked because of the answers. */
static void
answer_all(void)
{
	for (int i = 0; i < 6; i++)
		fakes_directory_answers();
}

static void
many(struct smtp_options *o)
{
	o->recipients_max = 200;
	o->errors_max = 100;
}

static void
begin_held(void (*o)(struct smtp_options *o))
{
	fakes_start(o);
	fakes_connect();
	fakes_send(STR(LOGIN "MAIL FROM:<me@ok.org>\r\n"), 0);
	fakes.directory_holds = true;
}

/* Recipients that come at once are asked about at once, and answered in their order, whatever came
 * first: those known, those not, those of others. */
static void
test_recipients_side_by_side(void **state)
{
	static const char rcpts[] =
		"RCPT TO:<known1@ok.org>\r\nRCPT TO:<unknown@ok.org>\r\n"
		"RCPT TO:<known2+tag@ok.org> NOTIFY=NEVER\r\nRCPT TO:<temp@ok.org>\r\n"
		"RCPT TO:<known1@ok.org>\r\nRCPT TO:<list-open@ok.org>\r\n"
		"RCPT TO:<known1@else.org>\r\n";

	(void)state;
	for (size_t step = 0; step < 2; step++) {
		begin_held(many);
		fakes_send(str_of(rcpts), step);
		expect("220 250 235 250");
		assert_int_equal(fakes.recipients_asked, 7);
		answer_all();
		expect("220 250 235 250 250 550 250 451 250 250 550");
		assert_int_equal(fakes.recipients_asked, 7);
		fakes.directory_holds = false;
		fakes_send(STR("DATA\r\n" TEXT ".\r\n"), 0);
		assert_string_equal(buf_z(&fakes.rcpts),
			"known1@ok.org\nknown2+tag@ok.org\nknown1@ok.org\nlist-open@ok.org\n");
		assert_string_equal(buf_z(&fakes.wishes), "0 \n0 \n1 \n0 \n0 \n");
		fakes_stop();
	}
}

static void
few(struct smtp_options *o)
{
	o->recipients_max = 100;
	o->rates.user_recipients = 3;
}

static void
strict(struct smtp_options *o)
{
	o->recipients_max = 100;
	o->errors_max = 2;
}

/* No more is asked than would be one after the other. */
static void
test_side_by_side_within_limits(void **state)
{
	static const char *const rcpt = "RCPT TO:<known@ok.org>\r\n";
	static const char *const unknown = "RCPT TO:<unknown@ok.org>\r\n";
	static const struct {
		void (*options)(struct smtp_options *o);
		const char *const *line;
		unsigned asked;
		const char *codes;
	} table[] = {
		{ few, &rcpt, 3, "220 250 235 250 250 250 250 450 450 450 450 450" },
		{ NULL, &rcpt, 5, "220 250 235 250 250 250 250 250 250 452 452 452" },
		{ strict, &unknown, 3, "220 250 235 250 550 550 550 421" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;

		buf_init(&b, 4096);
		for (int n = 0; n < 8; n++)
			buf_addz(&b, *table[i].line);
		begin_held(table[i].options);
		fakes_send(buf_str(&b), 0);
		assert_int_equal(fakes.recipients_asked, table[i].asked);
		answer_all();
		expect(table[i].codes);
		assert_int_equal(fakes.recipients_asked, table[i].asked);
		buf_fini(&b);
		fakes_stop();
	}
}

/* What stands behind another command waits for it; what was asked for a message that is dropped is
 * dropped too; a client may leave. */
static void
test_side_by_side_ends(void **state)
{
	(void)state;
	begin_held(many);
	fakes_send(STR("RCPT TO:<known1@ok.org>\r\nRCPT TO:<known2@ok.org>\r\nRSET\r\n"
		       "MAIL FROM:<me@ok.org>\r\nRCPT TO:<known3@ok.org>\r\n"),
		0);
	assert_int_equal(fakes.recipients_asked, 2);
	answer_all();
	expect("220 250 235 250 250 250 250 250 250");
	assert_int_equal(fakes.recipients_asked, 3);
	fakes_send(STR("RSET\r\nMAIL FROM:<me@ok.org>\r\n"), 0);
	answer_all();
	fakes_send(STR("RCPT TO:<known1@ok.org>\r\nRCPT TO:<known2@ok.org>\r\n"), 0);
	assert_int_equal(fakes.recipients_asked, 5);
	fakes_stop();
}

/* A client that is gone in the middle of anything leaves no slot behind. */
static void
test_gone_anywhere(void **state)
{
	static const char whole[] = LOGIN MAIL "DATA\r\n" TEXT ".\r\n" MAIL
					       "BDAT 17\r\nFrom: me@ok.org\r\nBDAT 2 LAST\r\n\r\n";

	(void)state;
	for (size_t n = 1; n < sizeof(whole); n++) {
		fakes_start(NULL);
		fakes_connect();
		fakes_send(str_n(whole, n), 0);
		fakes_end();
		assert_int_equal(fakes.slots_taken, fakes.commits + fakes.slots_dropped);
		assert_true(fakes.commits <= 2);
		fakes_stop();
	}
}

static void
test_too_large(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_addz(&b, LOGIN "MAIL FROM:<me@ok.org> SIZE=20001\r\n" MAIL
			   "DATA\r\nFrom: me@ok.org\r\n\r\n");
	for (int i = 0; i < 3000; i++)
		buf_addz(&b, "12345678\r\n");
	buf_addz(&b, ".\r\n" MAIL "DATA\r\nFrom: me@ok.org\r\n");
	for (int i = 0; i < 600; i++)
		buf_addz(&b, "X: 567\r\n");
	buf_addz(&b, "\r\n.\r\nQUIT\r\n");
	fakes_send(buf_str(&b), 0);
	fakes_end();
	expect("220 250 235 552 250 250 354 552 250 250 354 554 221");
	assert_int_equal(fakes.commits, 0);
	buf_fini(&b);
}

static void
on_stopped(void *arg)
{
	(void)arg;
}

static void
test_stop(void **state)
{
	(void)state;
	fakes_send(STR(LOGIN MAIL "DATA\r\n"), 0);
	smtp_server_stop(fakes.server, on_stopped, NULL);
	fakes_send(STR(TEXT), 0);
	assert_int_equal(smtp_server_count(fakes.server), 1); /* the message may end */
	fakes_send(STR(".\r\n"), 0);
	fakes_run(20);
	expect("220 250 235 250 250 354 250 421");
	assert_int_equal(smtp_server_count(fakes.server), 0);
	assert_int_equal(fakes.commits, 1);
}

static void
large(struct smtp_options *o)
{
	o->message_max = 100000;
}

/* A client that ends its side behind the last octet is heard out, however slow the disk is and
 * whatever these octets are. */
static void
test_half_close(void **state)
{
	(void)state;
	for (size_t size = 1000; size < 60000; size += 7000) {
		struct buf b;
		buf_init(&b, 1 << 20);
		buf_addf(&b, LOGIN MAIL "BDAT %zu LAST\r\nFrom: me@ok.org\r\n\r\n", size + 19);
		for (size_t i = 0; i < size; i++)
			buf_addc(&b, 'x');
		fakes_start(large);
		fakes_connect();
		fakes_put(buf_str(&b));
		fakes_end();
		expect("220 250 235 250 250 250");
		assert_int_equal(fakes.commits, 1);
		fakes_stop();
		/* … and one that ends it before loses its message */
		fakes_start(large);
		fakes_connect();
		fakes_put(str_sub(buf_str(&b), 0, b.n - 1));
		fakes_end();
		expect("220 250 235 250 250");
		assert_int_equal(fakes.commits, 0);
		fakes_stop();
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_spool_states),
		cmocka_unit_test_setup_teardown(test_wishes, setup, teardown),
		cmocka_unit_test(test_gone_anywhere),
		cmocka_unit_test_setup_teardown(test_content, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_dies_in_exchange, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recipients_put_off, setup, teardown),
		cmocka_unit_test(test_recipients_side_by_side),
		cmocka_unit_test(test_side_by_side_within_limits),
		cmocka_unit_test(test_side_by_side_ends),
		cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
