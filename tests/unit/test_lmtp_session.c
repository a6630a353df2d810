/* LMTP sessions: transactions, refusals, limits, chunks, and clients and stores that trouble. */
#include "tests/unit/lmtp_case.h"

static void
test_one_message(void **state)
{
	(void)state;
	start(true, 1000, "");
	expect("220 *\n");
	say("LHLO client.example\r\n");
	expect("250-mail.example.org\n250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n"
	       "250-BINARYMIME\n250-CHUNKING\n250-SMTPUTF8\n250 SIZE 100000\n");
	say("MAIL FROM:<x@example.net> BODY=8BITMIME SIZE=30\r\n");
	expect("250 2.1.0 OK\n");
	say("RCPT TO:<anna@example.org>\r\n");
	expect("250 2.1.5 OK\n");
	say("DATA\r\n");
	expect("354 *\n");
	say("Subject: a\r\n\r\n..dot\r\nbare\n.\r\nend\r\n.\r\n");
	expect("");
	assert_non_null(T.deliver);
	struct str body = buf_str(&T.deliver->bytes);
	assert_true(str_starts(
		body, STR("Return-Path: <x@example.net>\r\nReceived: from client.example\r\n")));
	assert_true(str_find(body, STR("for <anna@example.org>; ")) < body.n);
	assert_true(str_ends(body, STR("\r\nSubject: a\r\n\r\n.dot\r\nbare\n.\r\nend\r\n")));
	assert_string_equal(T.deliver->homes[0], "/mail/example.org/anna");
	delivered(0, ERR_OK);
	turn(2);
	expect("250 2.0.0 *\n");
	say("QUIT\r\n");
	expect("221 *\n");
	assert_true(closed());
}

/* Every reply stands where its command stood, and every result where its recipient stood. */
static void
test_pipelined_order(void **state)
{
	(void)state;
	start(true, 1000, "");
	T.hold_lookups = true;
	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nRCPT "
	    "TO:<nobody@example.org>\r\n"
	    "RCPT TO:<anna@example.org> FOO=1\r\nRCPT TO:<ben+tag@example.org>\r\n"
	    "RCPT TO:<down@example.org>\r\nRCPT TO:<odd@example.org>\r\n"
	    "RCPT TO:<cleo@EXAMPLE.org>\r\nDATA\r\nbody\r\n.\r\nNOOP\r\nQUIT\r\n");
	assert_int_equal(T.lookups_count, 2); /* the bad parameter waits for their replies */
	answer(&T.lookups[1]);		      /* nobody; then asked without a tag: there is none */
	answer(&T.lookups[0]);
	T.hold_lookups = false;
	turn(3);
	turn(3);
	expect("220 *\n250-*\n250-*\n250-*\n250-*\n250-*\n250-*\n250-*\n250 *\n250 2.1.0 OK\n250 "
	       "2.1.5 OK\n"
	       "550 5.1.1 *\n555 5.5.4 *\n250 2.1.5 OK\n451 4.4.3 *\n451 4.3.5 *\n250 2.1.5 OK\n"
	       "354 *\n");
	assert_int_equal(T.deliver->count, 3);
	assert_string_equal(T.deliver->homes[1], "/mail/example.org/ben");
	delivered(2, ERR_OK);
	turn(2);
	expect("");
	delivered(0, ERR_TEMP);
	turn(2);
	expect("451 4.3.0 *\n");
	delivered(1, ERR_OK);
	turn(3);
	expect("250 2.0.0 *\n250 2.0.0 *\n250 2.0.0 OK\n221 *\n");
}

/* The same conversation cut into single bytes. */
static void
test_byte_by_byte(void **state)
{
	static const char talk[] = "LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n"
				   "DATA\r\n.x\r\n.\r\n";
	(void)state;
	start(true, 1000, "");
	for (size_t i = 0; i + 1 < sizeof(talk); i++) {
		char one[2] = { talk[i], '\0' };
		say(one);
	}
	assert_true(str_ends(buf_str(&T.deliver->bytes), STR("\r\nx\r\n")));
	delivered(0, ERR_OK);
	turn(2);
	assert_true(str_ends(buf_str(&T.got), STR("354 Go ahead\r\n250 2.0.0 Delivered\r\n")));
}

/* The directory's quota is the home's, also when it is remembered; one that cannot be read is none.
 */
static void
test_full_mailbox(void **state)
{
	(void)state;
	start(true, 1000, "");
	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n");
	turn(2);
	assert_int_equal(T.quota.bytes, 2048);
	assert_int_equal(T.quota.messages, 7);
	say("RCPT TO:<ben@example.org>\r\n");
	turn(2);
	assert_int_equal(T.quota.bytes, 0);
	say("RCPT TO:<anna@example.org>\r\nDATA\r\nbody\r\n.\r\n");
	turn(3);
	assert_int_equal(T.quota.bytes, 2048);
	assert_int_equal(T.lookups_count, 2);
	buf_reset(&T.got);
	delivered(0, ERR_QUOTA);
	turn(2);
	expect("552 5.2.2 *\n");
	T.server.full_is_temporary = true;
	delivered(1, ERR_QUOTA);
	delivered(2, ERR_OK);
	turn(2);
	expect("452 4.2.2 *\n250 2.0.0 *\n");
}

/* XROOM: who is full is told at RCPT, nobody else asks for the index, and nothing is delivered. */
static void
test_room(void **state)
{
	(void)state;
	start(true, 1000, "");
	T.use = (struct quota_use){ .messages = 2, .bytes = 2000 };
	say("LHLO c\r\n");
	buf_reset(&T.got);
	say("MAIL FROM:<> SIZE=48 XROOM\r\nRCPT TO:<anna@example.org>\r\nRSET\r\n"
	    "MAIL FROM:<> SIZE=49 XROOM\r\nRCPT TO:<anna@example.org>\r\nRSET\r\n"
	    "MAIL FROM:<> SIZE=49\r\nRCPT TO:<anna@example.org>\r\nRSET\r\n"
	    "MAIL FROM:<> SIZE=49 XROOM\r\nRCPT TO:<ben@example.org>\r\nDATA\r\nRSET\r\n");
	turn(2);
	turn(2);
	expect("250 *\n250 2.1.5 OK\n250 *\n"
	       "250 *\n552 5.2.2 *\n250 *\n"
	       "250 *\n250 2.1.5 OK\n250 *\n"
	       "250 *\n250 2.1.5 OK\n503 5.5.1 *\n250 *\n");
	assert_int_equal(T.pins, 0);
	/* a home that must be opened, one that cannot be, one that is left meanwhile */
	T.server.full_is_temporary = true;
	T.pin = ERR_AGAIN;
	say("MAIL FROM:<> SIZE=49 XROOM\r\nRCPT TO:<anna@example.org>\r\nRSET\r\n");
	turn(2);
	expect("250 *\n");
	T.pins++;
	T.waiting->active = false;
	T.waiting->fn(T.waiting, ERR_OK);
	turn(2);
	expect("452 4.2.2 *\n250 *\n");
	T.pin = ERR_TEMP;
	say("MAIL FROM:<> SIZE=49 XROOM\r\nRCPT TO:<anna@example.org>\r\nRSET\r\n");
	turn(2);
	expect("250 *\n250 2.1.5 OK\n250 *\n");
	T.pin = ERR_AGAIN;
	say("MAIL FROM:<> SIZE=49 XROOM\r\nRCPT TO:<anna@example.org>\r\n");
	turn(2);
	expect("250 *\n");
	T.waiting->active = false;
	T.waiting->fn(T.waiting, ERR_CORRUPT);
	turn(2);
	expect("250 2.1.5 OK\n");
	assert_int_equal(T.pins, 0);
}

/* One message to tagged addresses, to anna's whole one, and to whom the directory knows with his
 * tag.
 */
static void
deliver_tags(const char *const want[4])
{
	say("MAIL FROM:<>\r\nRCPT TO:<anna+a/b.c@example.org>\r\nRCPT TO:<anna@example.org>\r\n"
	    "RCPT TO:<ben+@example.org>\r\nRCPT TO:<dora+old@example.org>\r\nDATA\r\nx\r\n.\r\n");
	turn(3);
	assert_non_null(T.deliver);
	assert_int_equal(T.deliver->count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(T.deliver->mailboxes[i], want[i]);
		assert_true(T.deliver->by_sender[i] || want[i][0] == '\0');
		assert_true(T.deliver->create_below[i] == T.server.tag_creates ||
			    !T.deliver->by_sender[i]);
	}
	for (size_t i = 0; i < 4; i++)
		delivered(i, ERR_OK);
	turn(2);
}

static void
test_tag_names_a_mailbox(void **state)
{
	(void)state;
	start(true, 1000, "");
	say("LHLO c\r\n");
	deliver_tags((const char *const[]){ "", "", "", "" });
	T.server.tag_is_mailbox = true;
	/* the second time from memory */
	for (int i = 0; i < 2; i++)
		deliver_tags((const char *const[]){ "a/b.c", "", "", "" });
	T.server.tag_creates = 5;
	T.server.separator = '.';
	deliver_tags((const char *const[]){ "a.b/c", "", "", "" });
}

static void
test_refusals(void **state)
{
	static const struct {
		const char *say, *want;
	} table[] = {
		{ "MAIL FROM:<a@b>\r\n", "503 5.5.1 *\n" },
		{ "EHLO c\r\n", "500 5.5.1 *\n" },
		{ "LHLO\r\n", "501 5.5.2 *\n" },
		{ "LHLO c\r\n", "250-*\n250-*\n250-*\n250-*\n250-*\n250-*\n250-*\n250 *\n" },
		{ "RCPT TO:<anna@example.org>\r\n", "503 5.5.1 *\n" },
		{ "DATA\r\n", "503 5.5.1 *\n" },
		{ "MAIL FROM:<a@b> SIZE=100001\r\n", "552 5.3.4 *\n" },
		{ "MAIL FROM:<a@b> SIZE=x\r\n", "501 5.5.4 *\n" },
		{ "MAIL FROM:<a@b> BODY=BINARY\r\n", "501 5.5.4 *\n" },
		{ "MAIL FROM:<a@b> SMTPUTF8=1\r\n", "555 5.5.4 *\n" },
		{ "MAIL FROM:<\xc3\xa4@b>\r\n", "553 5.6.7 *\n" },
		{ "MAIL FROM:<\xe4@b> SMTPUTF8\r\n", "501 5.5.2 *\n" },
		{ "MAIL FROM:<\xc3\xa4@b> SMTPUTF8 X\r\n", "555 5.5.4 *\n" },
		{ "MAIL FROM:<a@b>\r\n", "250 2.1.0 *\n" },
		{ "MAIL FROM:<a@b>\r\n", "503 5.5.1 *\n" },
		{ "DATA\r\n", "503 5.5.1 No valid*\n" },
		{ "RCPT TO:<\xc3\xa4@b>\r\n", "553 5.6.7 *\n" },
		{ "RCPT TO:<nobody@example.org>\r\n", "550 5.1.1 *\n" },
		{ "DATA\r\n", "503 5.5.1 No valid*\n" },
		{ "RCPT TO:<anna@example.org> XDELIVERYID=0123456789abcdef.1\r\n",
			"550 5.7.1 *\n" },
		{ "VRFY anna\r\n", "252 *\n" },
		{ "WHAT\r\n", "500 5.5.1 *\n" },
		{ "RSET\r\n", "250 2.0.0 *\n" },
		{ "DATA\r\n", "503 5.5.1 MAIL*\n" },
	};
	char *line = xmalloc(200001);

	(void)state;
	start(true, 1000, "");
	expect("220 *\n");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		say(table[i].say);
		expect(table[i].want);
	}
	memset(line, 'a', 200000);
	line[200000] = '\0';
	say(line);
	say(line);
	say("\r\nNOOP\r\n");
	expect("500 5.5.2 *\n250 2.0.0 OK\n");
	for (int i = 0; i < 10; i++)
		say("WHAT\r\n");
	assert_true(str_ends(buf_str(&T.got), STR("421 4.7.0 Too many errors\r\n")));
	assert_true(closed());
	free(line);
}

static void
test_delivery_ids(void **state)
{
	(void)state;
	start(true, 77, "");
	say("LHLO queue\r\nMAIL FROM:<>\r\n"
	    "RCPT TO:<anna@example.org> XDELIVERYID=0000018f00000000.q.0\r\n"
	    "RCPT TO:<ben@example.org> XDELIVERYID=short\r\n"
	    "RCPT TO:<ben@example.org> xdeliveryid=0000018f00000000.q.1\r\nDATA\r\nx\r\n.\r\n");
	turn(2);
	turn(2);
	expect("220 *\n250-*\n250-*\n250-*\n250-XDELIVERYID\n250-*\n250-*\n250-*\n250-*\n250 "
	       "*\n250 *\n250 2.1.5 "
	       "OK\n"
	       "501 5.5.4 *\n250 2.1.5 OK\n354 *\n");
	assert_string_equal(T.deliver->ids[0], "0000018f00000000.q.0");
	assert_string_equal(T.deliver->ids[1], "0000018f00000000.q.1");
	delivered(0, ERR_OK);
	delivered(1, ERR_OK);
	turn(2);
	expect("250 *\n250 *\n");
}

static void
test_networks(void **state)
{
	(void)state;
	start(false, 0, "192.0.2.1");
	expect("421 4.7.1 *\n");
	assert_true(closed());
	(void)close(T.fd);
	turn(2);
	start(false, 77, "127.0.0.1");
	expect("220 *\n");
	say("LHLO c\r\n"); /* no XDELIVERYID over TCP, whoever it is */
	expect("250-*\n250-*\n250-*\n250-8BITMIME\n250-*\n250-*\n250-*\n250 *\n");
}

static void
test_connections_max(void **state)
{
	(void)state;
	start(true, 1, "");
	T.others[T.others_count++] = T.fd;
	start(true, 1, "");
	T.others[T.others_count++] = T.fd;
	expect("220 *\n220 *\n");
	start(true, 1, "");
	expect("421 4.3.2 *\n");
	(void)close(T.others[--T.others_count]);
	(void)close(T.fd);
	turn(2);
	start(true, 1, "");
	expect("220 *\n");
	T.server.stopping = false;
	lmtp_server_stop(&T.server);
	turn(5);
	expect("421 4.3.2 *\n");
}

static void
test_too_large_and_broken_disk(void **state)
{
	char *big = xmalloc(120001);

	(void)state;
	memset(big, 'x', 120000);
	big[120000] = '\0';
	start(true, 1000, "");
	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nRCPT TO:<ben@example.org>\r\n"
	    "DATA\r\n");
	turn(2);
	buf_reset(&T.got);
	say(big);
	say("\r\n.\r\n");
	expect("552 5.3.4 *\n552 5.3.4 *\n");
	assert_int_equal(T.delivers, 0);
	T.body_fails = true;
	say("MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n");
	turn(2);
	say("x\r\n.\r\n");
	expect("250 *\n250 *\n354 *\n451 4.3.0 *\n");
	assert_int_equal(T.delivers, 0);
	T.body_fails = false;
	say("MAIL FROM:<>\r\n");
	expect("250 *\n");
	free(big);
}

/* Asked once within a few seconds; never remembered: that there is nobody, or no answer. */
static void
test_users_are_remembered(void **state)
{
	struct user_cache *c = user_cache_new();
	const struct user_known a = { .home = STR("/a"), .quota = { 7, 9 }, .tagged = true };
	struct user_known u;
	char z[32];

	(void)state;
	start(true, 1000, "");
	say("LHLO c\r\n");
	for (int i = 0; i < 3; i++) {
		say("MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nRCPT TO:<nobody@example.org>\r\n"
		    "RCPT TO:<down@example.org>\r\nRSET\r\n");
		turn(2);
	}
	assert_int_equal(T.lookups_count, 1 + 3 + 3);

	user_cache_put(c, STR("a"), &a, 0);
	assert_true(user_cache_get(c, STR("a"), USER_CACHE_MS - 1, &u));
	assert_true(str_eq(u.home, STR("/a")));
	assert_true(u.quota.messages == 7 && u.quota.bytes == 9 && u.tagged);
	assert_false(user_cache_get(c, STR("A"), 0, &u));
	assert_false(user_cache_get(c, STR("a"), USER_CACHE_MS, &u));
	assert_false(user_cache_get(c, STR("a"), 0, &u));
	for (int i = 0; i < USER_CACHE_MAX + 10; i++) {
		(void)snprintf(z, sizeof(z), "u%d", i);
		user_cache_put(c, str_of(z), &(struct user_known){ .home = str_of(z) }, 0);
		user_cache_put(c, str_of(z), &(struct user_known){ .home = str_of(z) }, 1);
	}
	assert_true(user_cache_get(c, str_of(z), 1, &u) && str_eq(u.home, str_of(z)) && !u.tagged);
	assert_false(user_cache_get(c, STR("u1"), 1, &u));
	user_cache_free(c);
}

/* A body that cannot keep up stops the reading; it goes on when there is room. */
static void
test_back_pressure(void **state)
{
	(void)state;
	start(true, 1000, "");
	T.body_slow = true;
	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n");
	turn(2);
	say("one\r\n");
	say("two\r\n.\r\n");
	assert_null(T.deliver);
	T.body->room(T.body->arg);
	turn(2);
	assert_non_null(T.deliver);
	assert_true(str_ends(buf_str(&T.deliver->bytes), STR("one\r\ntwo\r\n")));
	delivered(0, ERR_OK);
}

/* … and the message is given up before there is room: the session goes on. */
static void
test_back_pressure_and_reset(void **state)
{
	(void)state;
	start(true, 1000, "");
	T.body_slow = true;
	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nBDAT 3\r\nabcRSET\r\n");
	turn(2);
	assert_null(T.body);
	buf_reset(&T.got);
	say("NOOP\r\n");
	expect("250 *\n");
}

/* What smtp takes arrives: a list's sender and a recipient as long as they may be. */
static void
test_long_addresses(void **state)
{
	struct buf b;

	(void)state;
	start(true, 1000, "");
	say("LHLO c\r\n");
	buf_reset(&T.got);
	buf_init(&b, 8192);
	buf_addz(&b, "MAIL FROM:<");
	for (int i = 0; i < 256; i++)
		buf_addc(&b, 'a');
	buf_addc(&b, '@');
	for (int i = 0; i < 50; i++)
		buf_addz(&b, "abcd.");
	buf_addz(&b, "final>\r\nRCPT TO:<anna+");
	for (int i = 0; i < 251; i++)
		buf_addc(&b, 't');
	buf_addz(&b, "@example.org>\r\n");
	say(buf_z(&b));
	turn(2);
	expect("250 *\n250 *\n");
	buf_fini(&b);
}

/* The SIZE of a MAIL that was refused is not that of the next. */
static void
test_size_of_refused_mail(void **state)
{
	(void)state;
	start(true, 1000, "");
	T.use = (struct quota_use){ .messages = 1, .bytes = 100 };
	say("LHLO c\r\nMAIL FROM:<> SIZE=9999 WHAT=1\r\n");
	say("MAIL FROM:<> XROOM\r\nRCPT TO:<anna@example.org>\r\n");
	turn(2);
	assert_true(str_ends(buf_str(&T.got),
		STR("555 5.5.4 Parameter not known\r\n250 2.1.0 OK\r\n250 2.1.5 OK\r\n")));
}

static void
test_client_leaves(void **state)
{
	(void)state;
	start(true, 1000, "");
	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nhalf a mess");
	turn(2);
	(void)close(T.fd);
	turn(3);
	assert_int_equal(T.delivers, 0);
	assert_int_equal(T.server.sessions_count, 0);
	start(true, 1000, "");
	T.hold_lookups = true;
	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n");
	(void)close(T.fd);
	T.fd = -1;
	turn(3);
	T.hold_lookups = false;
	turn(3);
	assert_int_equal(T.server.sessions_count, 0);
}

/* Half a close after the message: the results still come. */
static void
test_half_close(void **state)
{
	(void)state;
	start(true, 1000, "");
	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nx\r\n.\r\n");
	turn(2);
	assert_int_equal(shutdown(T.fd, SHUT_WR), 0);
	turn(3);
	buf_reset(&T.got);
	delivered(0, ERR_OK);
	turn(3);
	expect("250 2.0.0 *\n");
	assert_true(closed());
}

static void
test_timeout(void **state)
{
	(void)state;
	T.server.command_timeout_ms = 20;
	start(true, 1000, "");
	turn(20);
	expect("220 *\n421 4.4.2 *\n");
	assert_true(closed());
}

static void
test_stop_during_delivery(void **state)
{
	(void)state;
	start(true, 1000, "");
	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nx\r\n.\r\n");
	turn(2);
	buf_reset(&T.got);
	lmtp_server_stop(&T.server);
	assert_int_equal(T.server.sessions_count, 1);
	delivered(0, ERR_OK);
	turn(3);
	expect("250 2.0.0 *\n421 4.3.2 *\n");
	assert_int_equal(T.server.sessions_count, 0);
}

/* Recipients above the limit are put off, however many they are; they are no errors of a client
 * that sends all of a message's recipients in one go. */
static void
test_recipients_put_off(void **state)
{
	(void)state;
	start(true, 77, "");
	say("LHLO x\r\nMAIL FROM:<>\r\n");
	for (int i = 0; i < 40; i++)
		say("RCPT TO:<anna@example.org>\r\n");
	buf_reset(&T.got);
	say("DATA\r\n");
	expect("354*\r\n");
}

/* BDAT: octets as they are, in any pieces; nothing in them is a command or an end. RFC 3030 */
static void
test_chunks(void **state)
{
	static const char *const bad[] = { "BDAT\r\n", "BDAT x\r\n", "BDAT 1 LATE\r\n",
		"BDAT -1\r\n", "BDAT 99999999999999999999\r\n" };

	(void)state;
	start(true, 1000, "");
	say("LHLO c\r\n");
	buf_reset(&T.got);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		say(bad[i]);
		expect("501 5.5.2 *\n");
	}
	/* the octets are not commands, whatever the answer is */
	say("BDAT 0 LAST\r\nNOOP\r\n");
	expect("503 5.5.1 MAIL*\n250 *\n");
	say("BDAT 6\r\nQUIT\r\nNOOP\r\n");
	expect("503 5.5.1 MAIL*\n250 *\n");
	say("MAIL FROM:<> BODY=BINARYMIME\r\nBDAT 3\r\nabcRCPT TO:<anna@example.org>\r\n"
	    "BDAT 3 LAST\r\nabcDATA\r\nRSET\r\n");
	expect("250 *\n503 5.5.1 No valid*\n503 5.5.1 The message*\n503 5.5.1 No valid*\n"
	       "503 *\n250 *\n");

	say("MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<anna@example.org>\r\n"
	    "RCPT TO:<ben@example.org>\r\nDATA\r\n");
	expect("250 *\n250 *\n250 *\n503 5.5.1 Binary*\n");
	say("BDAT 12\r\na: b\r\n\r\nx\r");
	expect("");
	say("\r.RCPT TO:<cleo@example.org>\r\nDATA\r\nBDAT 0\r\n");
	expect("250 2.0.0 *\n503 5.5.1 The message has*\n503 5.5.1 The message comes*\n250 2.0.0 "
	       "*\n");
	assert_null(T.deliver);
	say("BDAT 7\r\n\r\n.\r\ny\nBDAT 0 LAST\r\nNOOP\r\n");
	expect("250 2.0.0 *\n");
	assert_true(T.textual);
	assert_non_null(T.deliver);
	assert_true(
		str_ends(buf_str(&T.deliver->bytes), STR("\r\na: b\r\n\r\nx\r\r.\r\n.\r\ny\n")));
	delivered(1, ERR_OK);
	delivered(0, ERR_QUOTA);
	turn(2);
	expect("552 *\n250 2.0.0 *\n250 *\n");

	/* without BINARYMIME, and the whole in one go */
	T.textual = false;
	say("MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nBDAT 3 LAST\r\na\r\nNOOP\r\n");
	expect("250 *\n250 *\n");
	assert_false(T.textual);
	assert_true(str_ends(buf_str(&T.deliver->bytes), STR("\r\na\r\n")));
	delivered(0, ERR_OK);
	turn(2);
	expect("250 2.0.0 *\n250 *\n");
	/* the client leaves in the middle of a chunk */
	say("MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nBDAT 9 LAST\r\nabc");
	(void)shutdown(T.fd, SHUT_WR);
	turn(3);
	assert_null(T.deliver);
	assert_true(T.server.sessions_count == 0);
}

int
main(void)
{
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T_(test_one_message),
		T_(test_pipelined_order),
		T_(test_full_mailbox),
		T_(test_room),
		T_(test_tag_names_a_mailbox),
		T_(test_byte_by_byte),
		T_(test_refusals),
		T_(test_chunks),
		T_(test_delivery_ids),
		T_(test_networks),
		T_(test_connections_max),
		T_(test_too_large_and_broken_disk),
		T_(test_users_are_remembered),
		T_(test_back_pressure),
		T_(test_back_pressure_and_reset),
		T_(test_long_addresses),
		T_(test_size_of_refused_mail),
		T_(test_client_leaves),
		T_(test_half_close),
		T_(test_timeout),
		T_(test_stop_during_delivery),
		T_(test_recipients_put_off),
	};
	return cmocka_run_group_tests_name("lmtp_session", tests, NULL, NULL);
}
