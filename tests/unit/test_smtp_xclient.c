/* delivery/smtp: XCLIENT, by the book of Postfix's XCLIENT_README. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/xalloc.h"
#include "delivery/smtp/xclient.h"
#include "tests/unit/smtp_say.h"

#define PROXY  "198.51.100.7"
#define LONG64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_parse(void **state)
{
	static const struct {
		const char *in;
		enum err want;
		const char *addr, *name, *helo, *login;
		unsigned port;
	} table[] = {
		{ "ADDR=192.0.2.1", ERR_OK, "192.0.2.1", "", "", "", 0 },
		{ "addr=IPV6:2001:DB8:0::9 port=4711", ERR_OK, "2001:db8::9", "", "", "", 4711 },
		{ "ADDR=2001:db8::9", ERR_OK, "2001:db8::9", "", "", "", 0 },
		{ "ADDR=IPV6:::ffff:192.0.2.1", ERR_OK, "192.0.2.1", "", "", "", 0 },
		{ "NAME=mx.example.net ADDR=192.0.2.1 PORT=25 PROTO=ESMTP HELO=[192.0.2.1] "
		  "LOGIN=anna DESTADDR=192.0.2.2 DESTPORT=587",
			ERR_OK, "192.0.2.1", "mx.example.net", "[192.0.2.1]", "anna", 25 },
		{ "NAME=[UNAVAILABLE] PORT=[unavailable] HELO=[TEMPUNAVAIL] LOGIN=[UNAVAILABLE]",
			ERR_OK, "", "", "", "", 0 },
		{ "LOGIN=anna+40example.org", ERR_OK, "", "", "", "anna@example.org", 0 },
		{ "LOGIN=+C3+A4", ERR_OK, "", "", "", "\xc3\xa4", 0 },
		{ "", ERR_SYNTAX, "", "", "", "", 0 },
		{ "  ", ERR_SYNTAX, "", "", "", "", 0 },
		{ "ADDR", ERR_SYNTAX, "", "", "", "", 0 },
		{ "ADDR=", ERR_SYNTAX, "", "", "", "", 0 },
		{ "ADDR=[UNAVAILABLE]", ERR_SYNTAX, "", "", "", "", 0 },
		{ "ADDR=192.0.2.256", ERR_SYNTAX, "", "", "", "", 0 },
		{ "ADDR=192.0.2.1/8", ERR_SYNTAX, "", "", "", "", 0 },
		{ "ADDR=IPV6:192.0.2.1", ERR_SYNTAX, "", "", "", "", 0 },
		{ "ADDR=mx.example.net", ERR_SYNTAX, "", "", "", "", 0 },
		{ "ADDR=192.0.2.1 ADDR=192.0.2.2", ERR_SYNTAX, "", "", "", "", 0 },
		{ "WHAT=1", ERR_SYNTAX, "", "", "", "", 0 },
		{ "PROTO=HTTP", ERR_SYNTAX, "", "", "", "", 0 },
		{ "PORT=65536", ERR_SYNTAX, "", "", "", "", 0 },
		{ "PORT=-1", ERR_SYNTAX, "", "", "", "", 0 },
		{ "HELO=a+0D+0AX:", ERR_SYNTAX, "", "", "", "", 0 },
		{ "HELO=a+00b", ERR_SYNTAX, "", "", "", "", 0 },
		{ "HELO=(x)", ERR_SYNTAX, "", "", "", "", 0 },
		{ "NAME=a+20b", ERR_SYNTAX, "", "", "", "", 0 },
		{ "LOGIN=a+00b", ERR_SYNTAX, "", "", "", "", 0 },
		{ "LOGIN=a+20b", ERR_SYNTAX, "", "", "", "", 0 },
		{ "LOGIN=+FF", ERR_SYNTAX, "", "", "", "", 0 },
		{ "LOGIN=+C2+80", ERR_SYNTAX, "", "", "", "", 0 },
		{ "LOGIN=+4", ERR_SYNTAX, "", "", "", "", 0 },
		{ "LOGIN=+4g", ERR_SYNTAX, "", "", "", "", 0 },
		{ "LOGIN=a=b", ERR_SYNTAX, "", "", "", "", 0 },
		{ "HELO=" LONG64 LONG64 LONG64 LONG64, ERR_SYNTAX, "", "", "", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct xclient x;
		if (xclient_parse(str_of(table[i].in), &x) != table[i].want)
			fail_msg("%s", table[i].in);
		if (table[i].want != ERR_OK)
			continue;
		assert_string_equal(x.addr, table[i].addr);
		assert_string_equal(x.name, table[i].name);
		assert_string_equal(x.helo, table[i].helo);
		assert_string_equal(x.login, table[i].login);
		assert_int_equal(x.port, table[i].port);
	}
}

static const struct cidr proxies = { .addr = { 198, 51, 100, 0 }, .bits = 24 };

static void
options(struct smtp_options *o)
{
	o->postmaster = STR("known.admin@ok.org");
	o->xclient_networks = &proxies;
	o->xclient_networks_count = 1;
	o->rates.messages = 2;
	o->rates.user_messages = 3;
	o->rates.connections = 3;
	o->errors_max = 100;
	o->pipelining_check = true;
}

static void
login_options(struct smtp_options *o)
{
	options(o);
	o->xclient_login = true;
}

static void
helo_options(struct smtp_options *o)
{
	options(o);
	o->helo_fqdn = true;
}

static void
start(void (*o)(struct smtp_options *o), const char *from)
{
	fakes_start(o);
	fakes_connect_mx(from);
}

static bool
holds(const struct buf *b, const char *what)
{
	return str_find(buf_str(b), str_of(what)) < b->n;
}

static void
message(const char *sender, const char *want)
{
	struct buf line;

	buf_init(&line, 200);
	buf_addf(&line, "MAIL FROM:<%s>\r\n", sender);
	say(buf_z(&line), "250");
	buf_fini(&line);
	say("RCPT TO:<known@ok.org>\r\n", "250");
	say("DATA\r\n", "354");
	say("From: <anna@ok.org>\r\nSubject: s\r\n\r\nbody\r\n.\r\n", want);
}

/* Others: not offered, not known. */
static void
test_not_for_others(void **state)
{
	(void)state;
	start(options, "203.0.113.9");
	say("XCLIENT ADDR=192.0.2.1\r\n", "550 5.7.0");
	say("EHLO c.else.org\r\n", "250 ");
	assert_false(holds(&fakes.output, "XCLIENT"));
	say("XCLIENT ADDR=192.0.2.1\r\n", "550 5.7.0");
	/* and nothing became of it: still an unknown server */
	message("x@else.org", "250");
	assert_true(holds(&fakes.body, "Received: from c.else.org ([203.0.113.9])"));
	fakes_stop();
	/* nor whom a proxy names, who claims to be one */
	fakes_start(NULL);
	fakes_connect_mx(PROXY);
	say("XCLIENT ADDR=192.0.2.1\r\n", "550 5.7.0");
	fakes_stop();
}

static void
test_new_client(void **state)
{
	(void)state;
	start(options, PROXY);
	say("EHLO proxy.ok.org\r\n", "250 ");
	assert_true(holds(
		&fakes.output, "250-XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT\r\n"));
	say("XCLIENT ADDR=203.0.113.9 NAME=mx.else.org PORT=4711\r\n", "220 mx.ok.org");
	/* as at the beginning */
	say("MAIL FROM:<x@else.org>\r\n", "503 5.5.1");
	say("EHLO mx.else.org\r\n", "250 ");
	message("x@else.org", "250");
	assert_true(holds(&fakes.body, "Received: from mx.else.org (mx.else.org [203.0.113.9])"));
	assert_true(holds(&fakes.body, "with ESMTP id"));
	assert_false(holds(&fakes.body, "Message-ID:"));
	/* the next one, and its greeting with it */
	say("XCLIENT ADDR=IPV6:2001:db8::9 HELO=six.else.org PROTO=ESMTP\r\n", "220 ");
	message("x@else.org", "250");
	assert_true(holds(&fakes.body, "Received: from six.else.org ([IPv6:2001:db8::9])"));
	say("XCLIENT ADDR=203.0.113.8 HELO=old.else.org PROTO=SMTP\r\n", "220 ");
	message("x@else.org", "250");
	assert_true(holds(&fakes.body, "with SMTP id"));
	/* a network of ours: its messages are completed */
	say("XCLIENT ADDR=192.0.2.77 HELO=printer PROTO=ESMTP\r\n", "220 ");
	message("x@else.org", "250");
	assert_true(holds(&fakes.body, "Message-ID:"));
	fakes_stop();
}

static void
test_refused(void **state)
{
	static const char *const bad[] = { "XCLIENT\r\n", "XCLIENT ADDR=x\r\n", "XCLIENT FOO=1\r\n",
		"XCLIENT ADDR=[UNAVAILABLE]\r\n", "XCLIENT ADDR=192.0.2.77 LOGIN=anna\r\n",
		"XCLIENT LOGIN=[UNAVAILABLE]\r\n", "XCLIENT ADDR=192.0.2.77 HELO=a+0Ab\r\n" };

	(void)state;
	start(options, PROXY);
	say("EHLO proxy.ok.org\r\n", "250 ");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		say(bad[i], "501 5.5.4");
	say("MAIL FROM:<x@else.org>\r\n", "250");
	say("XCLIENT ADDR=192.0.2.77\r\n", "503 5.5.1");
	say("RCPT TO:<known@ok.org>\r\n", "250"); /* the transaction goes on */
	say("XCLIENT ADDR=192.0.2.77\r\n", "503 5.5.1");
	say("DATA\r\n", "354");
	say("XCLIENT ADDR=192.0.2.77\r\n.\r\n", "250");
	assert_true(holds(&fakes.body, "([198.51.100.7])"));
	say("XCLIENT ADDR=192.0.2.77\r\nEHLO pipelined\r\n", "554 5.5.0");
	fakes_stop();
}

/* What counts is the client named, not the proxy. */
static void
test_limits(void **state)
{
	(void)state;
	start(options, PROXY);
	say("XCLIENT ADDR=203.0.113.9 HELO=a.else.org\r\n", "220 ");
	message("x@else.org", "250");
	message("x@else.org", "250");
	say("MAIL FROM:<x@else.org>\r\n", "450 4.7.1");
	say("XCLIENT ADDR=203.0.113.8 HELO=b.else.org\r\n", "220 ");
	message("x@else.org", "250");
	say("XCLIENT ADDR=203.0.113.9 HELO=a.else.org\r\n", "220 ");
	say("MAIL FROM:<x@else.org>\r\n", "450 4.7.1");
	say("XCLIENT ADDR=203.0.113.9 HELO=a.else.org\r\n", "220 ");
	/* its fourth connection within the minute */
	say("XCLIENT ADDR=203.0.113.9 HELO=a.else.org\r\n", "421 4.7.0");
	assert_int_equal(fakes.client, -1);
	/* the proxy itself may come as often as it likes */
	for (int i = 0; i < 5; i++) {
		fakes_connect_mx(PROXY);
		say("QUIT\r\n", "221");
		fakes_end();
	}
	fakes_stop();
}

static void
test_checks(void **state)
{
	(void)state;
	start(helo_options, PROXY);
	say("XCLIENT ADDR=203.0.113.9 HELO=short\r\n", "220 ");
	say("MAIL FROM:<x@else.org>\r\n", "503 5.5.1");
	say("EHLO short\r\n", "504 5.5.2");
	say("XCLIENT ADDR=203.0.113.9 HELO=full.else.org\r\n", "220 ");
	message("x@else.org", "250");
	fakes_stop();
}

static void
test_login(void **state)
{
	(void)state;
	start(login_options, PROXY);
	say("EHLO proxy.ok.org\r\n", "250 ");
	assert_true(holds(&fakes.output,
		"250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"));
	say("XCLIENT ADDR=203.0.113.9 HELO=phone PROTO=ESMTP LOGIN=anna\r\n", "220 ");
	message("anna@ok.org", "250");
	assert_true(holds(&fakes.body, "with ESMTPA id"));
	assert_true(holds(&fakes.body, "Message-ID:"));
	/* a user's rules: senders of their own only */
	say("MAIL FROM:<ben@ok.org>\r\n", "553 5.7.1");
	/* and gone with the next client, who is nobody */
	say("XCLIENT ADDR=203.0.113.9 HELO=phone PROTO=ESMTP\r\n", "220 ");
	message("x@else.org", "250");
	assert_true(holds(&fakes.body, "with ESMTP id"));
	fakes_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_not_for_others),
		cmocka_unit_test(test_new_client),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_login),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
