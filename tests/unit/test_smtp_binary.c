/* delivery/smtp: BODY=BINARYMIME (RFC 3030): octets as they are, and only they. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/xalloc.h"
#include "tests/unit/smtp_say.h"

#define MAIL "MAIL FROM:<x@else.org> BODY=BINARYMIME\r\n"
#define RCPT "RCPT TO:<known@ok.org>\r\n"

static void
options(struct smtp_options *o)
{
	o->postmaster = STR("known.admin@ok.org");
	o->errors_max = 100;
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
teardown(void **state)
{
	(void)state;
	fakes_stop();
	return 0;
}

/* One chunk, the last. */
static void
send_message(struct str message, size_t step, const char *want)
{
	struct buf b;

	buf_init(&b, 100000);
	buf_addf(&b, "BDAT %zu LAST\r\n", message.n);
	buf_add(&b, message);
	say_bytes(buf_str(&b), step, want);
	buf_fini(&b);
}

#define HEAD   "Subject: s\r\n\r\n"
#define HEX50  "0123456789abcdef0123456789abcdef0123456789abcdef01"
#define HEX500 HEX50 HEX50 HEX50 HEX50 HEX50 HEX50 HEX50 HEX50 HEX50 HEX50
#define HEX998                                                       \
	HEX500 HEX50 HEX50 HEX50 HEX50 HEX50 HEX50 HEX50 HEX50 HEX50 \
		"0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_bodies(void **state)
{
	static const struct {
		struct str message;
		unsigned flags;
	} table[] = {
		/* lines: a message like others, for every server */
		{ STR(HEAD "body\r\n"), 0 },
		{ STR(HEAD), 0 },
		{ STR("Subject: s\r\n"), 0 },
		{ STR(HEAD ".\r\n..\r\n"), 0 },
		{ STR(HEAD "b\xc3\xa4\r\n"), SPOOL_8BITMIME },
		{ STR(HEAD HEX998 "\r\n"), 0 },
		/* and what only BDAT can carry */
		{ STR(HEAD "body"), SPOOL_BINARY },
		{ STR(HEAD "a\rb\r\n"), SPOOL_BINARY },
		{ STR(HEAD "a\nb\r\n"), SPOOL_BINARY },
		{ STR(HEAD "a\r\r\n"), SPOOL_BINARY },
		{ STR(HEAD "a\r\n\r"), SPOOL_BINARY },
		{ STR(HEAD "\n"), SPOOL_BINARY },
		{ STR(HEAD "a\0b\r\n"), SPOOL_BINARY },
		{ STR(HEAD "\0\xff\r"), SPOOL_BINARY | SPOOL_8BITMIME },
		{ STR(HEAD HEX998 "x\r\n"), SPOOL_BINARY },
	};

	(void)state;
	say("EHLO c.else.org\r\n", "250 ");
	assert_true(str_find(buf_str(&fakes.output), STR("250-BINARYMIME\r\n")) < fakes.output.n);
	for (size_t i = 0; i < 2 * ARRAY_LEN(table); i++) {
		struct str m = table[i / 2].message;
		say(MAIL, "250");
		say(RCPT, "250");
		send_message(m, i % 2 == 0 || m.n > 100 ? 0 : 1, "250 2.0.0");
		if (!str_starts(m, STR(HEAD)))
			m = STR(HEAD);
		if (!str_ends(buf_str(&fakes.body), m) || fakes.flags != table[i / 2].flags)
			fail_msg("%zu: flags %u\n%.*s", i, fakes.flags,
				STR_FMT(buf_str(&fakes.body)));
	}
}

static void
test_chunks(void **state)
{
	(void)state;
	say("EHLO c.else.org\r\n", "250 ");
	say(MAIL, "250");
	say(RCPT, "250");
	/* RFC 3030 3; the transaction goes on */
	say("DATA\r\n", "503 5.5.1");
	say("BDAT 12\r\nSubject: s\r\n", "250 2.0.0 Chunk");
	say("BDAT 3\r\n\r\nx", "250 2.0.0 Chunk");
	say("BDAT 1\r\n\r", "250 2.0.0 Chunk");
	say("BDAT 0\r\n", "250 2.0.0 Chunk");
	say("DATA\r\n", "503 5.5.1");
	say("BDAT 1\r\n\n", "250 2.0.0 Chunk");
	say("BDAT 0 LAST\r\n", "250 2.0.0 Ok");
	assert_true(str_ends(buf_str(&fakes.body), STR("Subject: s\r\n\r\nx\r\n")));
	assert_int_equal(fakes.flags, 0); /* CR LF, cut in two */
	/* the next transaction knows nothing of it */
	say("MAIL FROM:<x@else.org>\r\n", "250");
	say(RCPT, "250");
	send_message(STR(HEAD "a\nb\r\n"), 0, "554 5.6.0");
}

static void
test_refused(void **state)
{
	static const struct {
		struct str message;
		const char *reply;
	} table[] = {
		{ STR("Subject: \0\r\n\r\nx"), "554 5.6.0" },
		{ STR("Subject: s\nTo: x\r\n\r\nx"), "554 5.6.0" },
		{ STR("Subject: s\rTo: x\r\n\r\nx"), "554 5.6.0" },
		{ STR("Subject: s\n\nbody"), "554 5.6.0" },
		{ STR("Subject: s"), "554 5.6.0" },
		{ STR("Subject: s\r"), "554 5.6.0" },
		{ STR("\nSubject: s\r\n\r\n"), "554 5.6.0" },
		{ STR("\0"), "554 5.6.0" },
	};

	(void)state;
	say("EHLO c.else.org\r\n", "250 ");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		say(MAIL, "250");
		say(RCPT, "250");
		send_message(table[i].message, 0, table[i].reply);
	}
	assert_int_equal(fakes.commits, 0);
	/* nobody to take it: swallowed all the same */
	say(MAIL, "250");
	say("BDAT 6 LAST\r\nQUIT\r\n", "503 5.5.1");
	say("RSET\r\n", "250");
	say("MAIL FROM:<x@else.org> BODY=BINARY\r\n", "555");
	say("MAIL FROM:<x@else.org> BODY=BINARYMIME BODY=7BIT\r\n", "501");
	assert_int_equal(fakes.commits, 0);
	assert_int_equal(fakes.slots_taken, fakes.slots_dropped);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bodies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chunks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
