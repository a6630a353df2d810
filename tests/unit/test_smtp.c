/* delivery/smtp: commands, paths, dots, headers, replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "core/base/xalloc.h"
#include "delivery/smtp/command.h"
#include "delivery/smtp/dots.h"
#include "delivery/smtp/header.h"
#include "delivery/smtp/lookup.h"

static void
test_commands(void **state)
{
	static const struct {
		const char *line;
		enum smtp_reply reply;
		enum smtp_verb verb;
	} table[] = {
		{ "EHLO mail.example.org", REPLY_OK, VERB_EHLO },
		{ "ehlo [192.0.2.1]", REPLY_OK, VERB_EHLO },
		{ "EHLO [IPv6:::1]", REPLY_OK, VERB_EHLO },
		{ "HELO a_b", REPLY_OK, VERB_HELO },
		{ "EHLO", REPLY_BAD_HELO, VERB_EHLO },
		{ "EHLO a b", REPLY_BAD_HELO, VERB_EHLO },
		{ "EHLO a<b", REPLY_BAD_HELO, VERB_EHLO },
		{ "EHLO \xc3\xbc.org", REPLY_BAD_HELO, VERB_EHLO },
		{ "STARTTLS", REPLY_OK, VERB_STARTTLS },
		{ "STARTTLS now", REPLY_NO_PARAMETERS, VERB_STARTTLS },
		{ "AUTH PLAIN", REPLY_OK, VERB_AUTH },
		{ "AUTH PLAIN =", REPLY_OK, VERB_AUTH },
		{ "AUTH PLAIN AGEAYg==", REPLY_OK, VERB_AUTH },
		{ "AUTH PLAIN AGEAYg== x", REPLY_BAD_SYNTAX, VERB_AUTH },
		{ "AUTH", REPLY_BAD_SYNTAX, VERB_AUTH },
		{ "AUTH THIS-NAME-IS-TOO-LONG-FOR-SASL", REPLY_BAD_SYNTAX, VERB_AUTH },
		{ "MAIL FROM:<anna@example.org>", REPLY_OK, VERB_MAIL },
		{ "mail from: <anna@example.org>", REPLY_OK, VERB_MAIL },
		{ "MAIL FROM:<>", REPLY_OK, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> SIZE=1000 BODY=8BITMIME AUTH=<>", REPLY_OK,
			VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> AUTH=a+40b.org", REPLY_OK, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> AUTH=a+4", REPLY_BAD_SYNTAX, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org>SIZE=1", REPLY_BAD_SENDER, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> SIZE=", REPLY_BAD_SYNTAX, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> SIZE=-1", REPLY_BAD_SYNTAX, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> SIZE=1 SIZE=2", REPLY_BAD_SYNTAX, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> SIZE=99999999999999999999", REPLY_OK, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> BODY=BINARYMIME", REPLY_OK, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> BODY=BINARY", REPLY_BAD_PARAMETER, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> SMTPUTF8", REPLY_OK, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org> X", REPLY_BAD_PARAMETER, VERB_MAIL },
		{ "MAIL FROM:anna@example.org", REPLY_BAD_SENDER, VERB_MAIL },
		{ "MAIL FROM:<anna@example.org", REPLY_BAD_SENDER, VERB_MAIL },
		{ "MAIL FROM:", REPLY_BAD_SENDER, VERB_MAIL },
		{ "MAIL <anna@example.org>", REPLY_BAD_SYNTAX, VERB_MAIL },
		{ "MAIL FROM:<\xc3\xa4@example.org>", REPLY_NEEDS_UTF8, VERB_MAIL },
		{ "MAIL FROM:<a@\xc3\xa4.org>", REPLY_NEEDS_UTF8, VERB_MAIL },
		{ "MAIL FROM:<\xc3\xa4@example.org> SMTPUTF8", REPLY_OK, VERB_MAIL },
		{ "MAIL FROM:<\xc3\xa4@\xc3\xa4.org> smtputf8 SIZE=1", REPLY_OK, VERB_MAIL },
		{ "MAIL FROM:<> SMTPUTF8", REPLY_OK, VERB_MAIL },
		{ "MAIL FROM:<> SMTPUTF8=", REPLY_BAD_SYNTAX, VERB_MAIL },
		{ "MAIL FROM:<> SMTPUTF8=1", REPLY_BAD_SYNTAX, VERB_MAIL },
		{ "MAIL FROM:<> SMTPUTF8 SMTPUTF8", REPLY_BAD_SYNTAX, VERB_MAIL },
		{ "RCPT TO:<\xc3\xa4@example.org>", REPLY_OK, VERB_RCPT },
		{ "RCPT TO:<a@b.c> SMTPUTF8", REPLY_BAD_PARAMETER, VERB_RCPT },
		{ "VRFY \xc3\xa4 SMTPUTF8", REPLY_OK, VERB_VRFY },
		{ "MAIL FROM:<a\xff@example.org> SMTPUTF8", REPLY_BAD_SENDER, VERB_MAIL },
		{ "MAIL FROM:<\xff@example.org>", REPLY_BAD_SENDER, VERB_MAIL },
		{ "RCPT TO:<ben@example.org>", REPLY_OK, VERB_RCPT },
		{ "RCPT TO:<Postmaster>", REPLY_OK, VERB_RCPT },
		{ "RCPT TO:<>", REPLY_BAD_RCPT, VERB_RCPT },
		{ "RCPT TO:<ben@example.org> NOTIFY=NEVER", REPLY_OK, VERB_RCPT },
		{ "RCPT TO:<ben@example.org> SIZE=1", REPLY_BAD_PARAMETER, VERB_RCPT },
		{ "RCPT TO:<ben@example.org>, <x@example.org>", REPLY_BAD_RCPT, VERB_RCPT },
		{ "DATA", REPLY_OK, VERB_DATA },
		{ "DATA  ", REPLY_OK, VERB_DATA },
		{ "DATA x", REPLY_NO_PARAMETERS, VERB_DATA },
		{ "BDAT 100", REPLY_OK, VERB_BDAT },
		{ "BDAT 0 LAST", REPLY_OK, VERB_BDAT },
		{ "BDAT 100 last", REPLY_OK, VERB_BDAT },
		{ "BDAT", REPLY_BAD_SYNTAX, VERB_BDAT },
		{ "BDAT -1", REPLY_BAD_SYNTAX, VERB_BDAT },
		{ "BDAT 1 2", REPLY_BAD_SYNTAX, VERB_BDAT },
		{ "BDAT 99999999999999999999", REPLY_BAD_SYNTAX, VERB_BDAT },
		{ "RSET", REPLY_OK, VERB_RSET },
		{ "NOOP anything", REPLY_OK, VERB_NOOP },
		{ "VRFY anna", REPLY_OK, VERB_VRFY },
		{ "VRFY", REPLY_BAD_SYNTAX, VERB_VRFY },
		{ "EXPN list", REPLY_OK, VERB_EXPN },
		{ "HELP", REPLY_OK, VERB_HELP },
		{ "QUIT", REPLY_OK, VERB_QUIT },
		{ "", REPLY_UNKNOWN, VERB_UNKNOWN },
		{ "GET / HTTP/1.1", REPLY_UNKNOWN, VERB_UNKNOWN },
		{ "MAILFROM:<a@b>", REPLY_UNKNOWN, VERB_UNKNOWN },
		{ "NOOP \x01", REPLY_BAD_BYTES, VERB_UNKNOWN },
		{ "NOOP\rNOOP", REPLY_BAD_BYTES, VERB_UNKNOWN },
		{ "QUIT\x7f", REPLY_BAD_BYTES, VERB_UNKNOWN },
	};
	struct smtp_cmd c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		enum smtp_reply r = smtp_command_parse(str_of(table[i].line), &c);
		if (r != table[i].reply || c.verb != table[i].verb)
			fail_msg("%s: reply %d, verb %s", table[i].line, smtp_reply_row(r)->code,
				smtp_verb_name(c.verb));
	}
	assert_int_equal(smtp_command_parse(str_n("NOOP\0x", 6), &c), REPLY_BAD_BYTES);
	assert_int_equal(
		smtp_command_parse(STR("MAIL FROM:<a@b.c> SIZE=77 BODY=7BIT"), &c), REPLY_OK);
	assert_true(c.has_size && c.size == 77 && c.body == BODY_7BIT);
	assert_int_equal(smtp_command_parse(STR("AUTH plain ="), &c), REPLY_OK);
	assert_true(c.has_initial && str_eq(c.initial, STR("=")) && str_eq(c.arg, STR("plain")));
	assert_int_equal(smtp_command_parse(STR("BDAT 12 LAST"), &c), REPLY_OK);
	assert_true(c.chunk == 12 && c.last);
}

/* MAIL and RCPT with what senders want to hear: each parameter's values, limits and repetition. */
static void
test_wishes(void **state)
{
	static const struct {
		const char *parameters;
		enum smtp_reply reply;
		unsigned ret;
		const char *envid;
	} mail[] = {
		{ "RET=FULL", REPLY_OK, SPOOL_RET_FULL, "" },
		{ "ret=hdrs ENVID=a", REPLY_OK, SPOOL_RET_HDRS, "a" },
		{ "ENVID=QQ+2B+3D\\x SIZE=1 RET=HDRS", REPLY_OK, SPOOL_RET_HDRS, "QQ+2B+3D\\x" },
		{ "RET=FULL RET=FULL", REPLY_BAD_SYNTAX, 0, NULL },
		{ "RET=FULL RET=HDRS", REPLY_BAD_SYNTAX, 0, NULL },
		{ "RET=BODY", REPLY_BAD_SYNTAX, 0, NULL },
		{ "RET=", REPLY_BAD_SYNTAX, 0, NULL },
		{ "RET", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=a ENVID=b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=a=b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=a+b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=a+2", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=a+2b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=a+0Ab", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=a+0D+0Ab", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=a+7F", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ENVID=\xc3\xa4", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=NEVER", REPLY_BAD_PARAMETER, 0, NULL },
		{ "ORCPT=rfc822;a@b", REPLY_BAD_PARAMETER, 0, NULL },
	};
	static const struct {
		const char *parameters;
		enum smtp_reply reply;
		unsigned notify;
		const char *orcpt;
	} rcpt[] = {
		{ "NOTIFY=NEVER", REPLY_OK, SPOOL_NOTIFY_NEVER, "" },
		{ "notify=success,Delay,FAILURE", REPLY_OK,
			SPOOL_NOTIFY_SUCCESS | SPOOL_NOTIFY_FAILURE | SPOOL_NOTIFY_DELAY, "" },
		{ "NOTIFY=SUCCESS ORCPT=rfc822;a+2Bb@example.org", REPLY_OK, SPOOL_NOTIFY_SUCCESS,
			"rfc822;a+2Bb@example.org" },
		{ "ORCPT=X400;/S=x", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=x400;/S+3Dx/", REPLY_OK, 0, "x400;/S+3Dx/" },
		{ "ORCPT=utf-8;\\x{E4}@example.org", REPLY_OK, 0, "utf-8;\\x{E4}@example.org" },
		{ "ORCPT=utf-8;\xc3\xa4@example.org", REPLY_OK, 0, "utf-8;\xc3\xa4@example.org" },
		{ "ORCPT=rfc822;\xc3\xa4@example.org", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=utf-8;\xe4@example.org", REPLY_BAD_SYNTAX, 0, NULL },
		/* as Postfix writes it */
		{ "ORCPT=rfc822;+C3+A4@example.org", REPLY_OK, 0, "rfc822;+C3+A4@example.org" },
		{ "ORCPT=rfc822;+E4@example.org", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=rfc822;+C3+A4+0A@example.org", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=rfc822;+C2+85@example.org", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=utf-8;\xc3\xa4+@example.org", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=NEVER,SUCCESS", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=FAILURE,NEVER", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=NEVER,NEVER", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=DELAY,DELAY", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=SUCCESS,", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=,SUCCESS", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=SUCCES", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=SUCCESS, DELAY", REPLY_BAD_SYNTAX, 0, NULL },
		{ "NOTIFY=SUCCESS NOTIFY=DELAY", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=rfc822;", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=;a@b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=a@b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=r c822;a@b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=rfc:822;a@b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=rfc822;a+0A@b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "ORCPT=rfc822;a@b ORCPT=rfc822;a@b", REPLY_BAD_SYNTAX, 0, NULL },
		{ "RET=FULL", REPLY_BAD_PARAMETER, 0, NULL },
		{ "ENVID=a", REPLY_BAD_PARAMETER, 0, NULL },
	};
	struct smtp_cmd c;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(mail); i++) {
		buf_reset(&b);
		buf_addf(&b, "MAIL FROM:<a@example.org> %s", mail[i].parameters);
		if (smtp_command_parse(buf_str(&b), &c) != mail[i].reply)
			fail_msg("%s", mail[i].parameters);
		if (mail[i].reply == REPLY_OK)
			assert_true(c.ret == mail[i].ret && str_eq(c.envid, str_of(mail[i].envid)));
	}
	for (size_t i = 0; i < ARRAY_LEN(rcpt); i++) {
		buf_reset(&b);
		buf_addf(&b, "RCPT TO:<a@example.org> %s", rcpt[i].parameters);
		if (smtp_command_parse(buf_str(&b), &c) != rcpt[i].reply)
			fail_msg("%s", rcpt[i].parameters);
		if (rcpt[i].reply == REPLY_OK)
			assert_true(c.notify == rcpt[i].notify &&
				    str_eq(c.orcpt, str_of(rcpt[i].orcpt)));
	}
	buf_reset(&b);
	smtp_orcpt_ascii(STR("utf-8;\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80+2B@example.org"), &b);
	assert_string_equal(buf_z(&b), "utf-8;\\x{E4}\\x{20AC}\\x{1F600}+2B@example.org");
	buf_reset(&b);
	smtp_orcpt_ascii(STR("rfc822;+C3+A4+2B+3D+20\\b@example.org"), &b);
	assert_string_equal(buf_z(&b), "utf-8;\\x{E4}\\x{2B}\\x{3D}\\x{20}\\x{5C}b@example.org");
	buf_reset(&b);
	smtp_orcpt_ascii(STR("rfc822;a+2Bb@example.org"), &b);
	assert_string_equal(buf_z(&b), "rfc822;a+2Bb@example.org");
	for (size_t n = 99; n <= 101; n++) {
		buf_reset(&b);
		buf_addf(&b, "MAIL FROM:<a@example.org> ENVID=%0*d", (int)n, 0);
		assert_int_equal(smtp_command_parse(buf_str(&b), &c),
			n <= SPOOL_ENVID_MAX ? REPLY_OK : REPLY_BAD_SYNTAX);
	}
	for (size_t n = 499; n <= 501; n++) {
		buf_reset(&b);
		buf_addf(&b, "RCPT TO:<a@example.org> ORCPT=rfc822;%0*d", (int)n - 7, 0);
		assert_int_equal(smtp_command_parse(buf_str(&b), &c),
			n <= SPOOL_ORCPT_MAX ? REPLY_OK : REPLY_BAD_SYNTAX);
	}
	buf_fini(&b);
}

static void
test_paths(void **state)
{
	static const struct {
		const char *in;
		enum err err;
		const char *address;
		const char *rest;
	} table[] = {
		{ "<anna@example.org>", ERR_OK, "anna@example.org", "" },
		{ "<Anna.B+tag@EXAMPLE.Org> X", ERR_OK, "Anna.B+tag@example.org", " X" },
		{ "<>", ERR_OK, "", "" },
		{ "<postmaster>", ERR_OK, "postmaster@default.org", "" },
		{ "<\"a b\"@example.org>", ERR_OK, "\"a b\"@example.org", "" },
		{ "<\"a.b\"@example.org>", ERR_OK, "a.b@example.org", "" },
		{ "<\"a>b\\\"\"@example.org>", ERR_OK, "\"a>b\\\"\"@example.org", "" },
		{ "<\"\"@example.org>", ERR_OK, "\"\"@example.org", "" },
		{ "<a@[192.0.2.1]>", ERR_OK, "a@[192.0.2.1]", "" },
		{ "<a@[IPv6:2001:db8::1]>", ERR_OK, "a@[ipv6:2001:db8::1]", "" },
		{ "<@x.org,@y.org:anna@example.org>", ERR_OK, "anna@example.org", "" },
		{ "<user%other.org@example.org>", ERR_OK, "user%other.org@example.org", "" },
		{ "<a!b@example.org>", ERR_OK, "a!b@example.org", "" },
		{ "<@x.org:>", ERR_SYNTAX, "", "" },
		{ "<@x.org,y.org:a@b.c>", ERR_SYNTAX, "", "" },
		{ "<@:a@b.c>", ERR_SYNTAX, "", "" },
		{ "<a@[192.0.2.256]>", ERR_SYNTAX, "", "" },
		{ "<a@[192.0.2.1>", ERR_SYNTAX, "", "" },
		{ "<a@[IPv6:zz]>", ERR_SYNTAX, "", "" },
		{ "<a@b..c>", ERR_SYNTAX, "", "" },
		{ "<a@.b>", ERR_SYNTAX, "", "" },
		{ "<a@b.>", ERR_SYNTAX, "", "" },
		{ "<a@-b.c>", ERR_SYNTAX, "", "" },
		{ "<a@b_c.org>", ERR_SYNTAX, "", "" },
		{ "<a@>", ERR_SYNTAX, "", "" },
		{ "<@b.c>", ERR_SYNTAX, "", "" },
		{ "<a..b@c.d>", ERR_SYNTAX, "", "" },
		{ "<.a@c.d>", ERR_SYNTAX, "", "" },
		{ "<a.@c.d>", ERR_SYNTAX, "", "" },
		{ "<a b@c.d>", ERR_SYNTAX, "", "" },
		{ "<a@b@c.d>", ERR_SYNTAX, "", "" },
		{ "<(comment)a@b.c>", ERR_SYNTAX, "", "" },
		{ "<*)(uid=*@b.c>", ERR_SYNTAX, "", "" },
		{ "<\"a@b.c>", ERR_SYNTAX, "", "" },
		{ "<\"a\\>", ERR_SYNTAX, "", "" },
		{ "a@b.c", ERR_SYNTAX, "", "" },
		{ "<a@b.c", ERR_SYNTAX, "", "" },
		{ "<\xc3\xa4@b.c>", ERR_OK, "\xc3\xa4@b.c", "" },
		{ "<a@\xc3\xa4.de>", ERR_OK, "a@xn--4ca.de", "" },
		{ "<\"\xc3\xa4 b\"@FA\xc3\x9f.de>", ERR_OK, "\"\xc3\xa4 b\"@xn--fa-hia.de", "" },
		{ "<@\xc3\xa4.de:a@b.c>", ERR_SYNTAX, "", "" },
		/* ideographic full stop, right to left, one letter of four octets */
		{ "<a@\xe4\xb8\xad\xe3\x80\x82\xe4\xb8\xad>", ERR_OK, "a@xn--fiq.xn--fiq", "" },
		{ "<\xf0\x9f\x93\xa7@b.c>", ERR_OK, "\xf0\x9f\x93\xa7@b.c", "" },
		{ "<a@\xe2\x98\x83.de>", ERR_SYNTAX, "", "" }, /* a snowman is no letter */
		{ "<a@-\xc3\xa4.de>", ERR_SYNTAX, "", "" },
		{ "<a@\xc3\xa4..de>", ERR_SYNTAX, "", "" },
		{ "<a@[\xc3\xa4]>", ERR_SYNTAX, "", "" },
		{ "<a@\xef\xbc\xbb"
		  "127.0.0.1]>",
			ERR_SYNTAX, "", "" }, /* full-width bracket */
		{ "<a@\xc3\xa4_b.de>", ERR_SYNTAX, "", "" },
		/* not UTF-8: cut, overlong, surrogate, beyond the last; controls of Latin-1;
		   separators */
		{ "<a\xc3@b.c>", ERR_SYNTAX, "", "" },
		{ "<\xc0\xaf@b.c>", ERR_SYNTAX, "", "" },
		{ "<\xe0\x80\xaf@b.c>", ERR_SYNTAX, "", "" },
		{ "<\xed\xa0\x80@b.c>", ERR_SYNTAX, "", "" },
		{ "<\xf4\x90\x80\x80@b.c>", ERR_SYNTAX, "", "" },
		{ "<a\xc2\x85@b.c>", ERR_SYNTAX, "", "" },
		{ "<\"\xc2\x9f\"@b.c>", ERR_SYNTAX, "", "" },
		{ "<a\xe2\x80\xa8@b.c>", ERR_SYNTAX, "", "" },
		{ "<a\xe4@b.c>", ERR_SYNTAX, "", "" },
		{ "<0123456789012345678901234567890123456789012345678901234567890123@b.c>", ERR_OK,
			"0123456789012345678901234567890123456789012345678901234567890123@b.c",
			"" },
#define LONG_64 "0123456789012345678901234567890123456789012345678901234567890123"
		{ "<" LONG_64 LONG_64 LONG_64 LONG_64 "@b.c>", ERR_OK,
			LONG_64 LONG_64 LONG_64 LONG_64 "@b.c", "" },
		{ "<" LONG_64 LONG_64 LONG_64 LONG_64 "4@b.c>", ERR_SYNTAX, "", "" },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str in = str_of(table[i].in);
		struct smtp_path p;
		enum err e = smtp_path_parse(&in, &p);
		if (e != table[i].err)
			fail_msg("%s: %s", table[i].in, err_name(e));
		if (e != ERR_OK)
			continue;
		buf_reset(&b);
		smtp_path_address(&p, STR("default.org"), &b);
		assert_string_equal(buf_z(&b), table[i].address);
		assert_true(str_eq(in, str_of(table[i].rest)));
	}
	buf_fini(&b);
}

/* The smuggling matrix: what ends DATA, and what comes out. rest: bytes left behind the end. */
static const struct {
	const char *in;
	const char *out;
	bool ends, bare;
	const char *rest;
} dots_table[] = {
	{ ".\r\n", "", true, false, "" },
	{ "a\r\n.\r\n", "a\r\n", true, false, "" },
	{ "a\r\n.\r\nMAIL FROM:<x@y>\r\n", "a\r\n", true, false, "MAIL FROM:<x@y>\r\n" },
	{ "..\r\n.\r\n", ".\r\n", true, false, "" },
	{ ".a\r\n.\r\n", "a\r\n", true, false, "" },
	{ "...\r\n.\r\n", "..\r\n", true, false, "" },
	{ "a\r\n.\n", "a\r\n\r\n", false, true, "" },
	{ "a\n.\n", "a\r\n.\r\n", false, true, "" },
	{ "a\n.\r\n", "a\r\n.\r\n", false, true, "" },
	{ "a\r.\r", "a\r\n.", false, true, "" }, /* the last CR waits for its LF */
	{ "a\r.\r\n", "a\r\n.\r\n", false, true, "" },
	{ "a\r\n.\r", "a\r\n", false, false, "" },
	{ "a\r\n.\rb\r\n", "a\r\n\r\nb\r\n", false, true, "" },
	{ "a\r\n.\r\r\n", "a\r\n\r\n\r\n", false, true, "" },
	{ "a\r\r\n.\r\n", "a\r\n\r\n", true, true, "" },
	{ "a\n\r\n.\r\n", "a\r\n\r\n", true, true, "" },
	{ "a\n.\r\nMAIL FROM:<x@y>\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n", false, true, "" },
	{ "a\r\n.\nMAIL FROM:<x@y>\r\n.\r\n", "a\r\n\r\nMAIL FROM:<x@y>\r\n", true, true, "" },
	{ "a\r\n\n.\r\n", "a\r\n\r\n.\r\n", false, true, "" },
	{ "\n.\n.\r\n", "\r\n.\r\n.\r\n", false, true, "" },
	{ "a\r\n.b.\r\n.\r\n", "a\r\nb.\r\n", true, false, "" },
	{ "a", "a", false, false, "" },
	{ "a\r\n . \r\n.\r\n", "a\r\n . \r\n", true, false, "" },
};

static void
dots_one(size_t i, size_t step)
{
	struct str in = str_of(dots_table[i].in);
	size_t used = 0;
	struct dots d;
	struct buf out;

	buf_init(&out, 4096);
	dots_init(&d, false);
	while (used < in.n && d.state != DOTS_END)
		used += dots_feed(&d, str_sub(in, used, step), &out);
	if (!str_eq(buf_str(&out), str_of(dots_table[i].out)))
		fail_msg("%zu by %zu: got \"%s\"", i, step, buf_z(&out));
	assert_int_equal(d.state == DOTS_END, dots_table[i].ends);
	assert_int_equal(d.bare, dots_table[i].bare);
	assert_true(str_eq(str_from(in, used), str_of(dots_table[i].rest)));
	buf_fini(&out);
}

static void
test_dots(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dots_table); i++)
		for (size_t step = 1; step <= 40; step++)
			dots_one(i, step);
}

static void
test_dots_raw(void **state)
{
	static const struct {
		const char *in, *out;
	} table[] = {
		{ "a\r\n.\r\nb", "a\r\n.\r\nb\r\n" },
		{ "..a\r\n", "..a\r\n" },
		{ "a\r", "a\r\n" },
		{ "a\nb\r\n", "a\r\nb\r\n" },
		{ "", "" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str in = str_of(table[i].in);
		struct dots d;
		struct buf out;
		buf_init(&out, 4096);
		dots_init(&d, true);
		for (size_t k = 0; k < in.n; k++)
			assert_int_equal(dots_feed(&d, str_sub(in, k, 1), &out), 1);
		dots_finish(&d, &out);
		assert_string_equal(buf_z(&out), table[i].out);
		buf_fini(&out);
	}
}

#define ADDED "Received: r\r\n"
static void
test_headers(void **state)
{
	static const struct {
		const char *in;
		enum smtp_reply reply;
		const char *out;
		const char *from; /* joined by blanks */
	} table[] = {
		{ "From: Anna <anna@Example.ORG>\r\nDate: d\r\nMessage-ID: <1@x>\r\n\r\n", REPLY_OK,
			ADDED
			"From: Anna <anna@Example.ORG>\r\nDate: d\r\nMessage-ID: <1@x>\r\n\r\n",
			"anna@example.org" },
		{ "From: anna@example.org\r\n\r\n", REPLY_OK,
			ADDED
			"From: anna@example.org\r\nDate: now\r\nMessage-ID: <new@here>\r\n\r\n",
			"anna@example.org" },
		{ "From: anna@example.org\r\nDate: d\r\nMessage-ID: <1@x>\r\n", REPLY_OK,
			ADDED "From: anna@example.org\r\nDate: d\r\nMessage-ID: <1@x>\r\n\r\n",
			"anna@example.org" },
		{ "FROM: a@b.c, \"Ben, B.\" <b@b.c>\r\nBCC: x@y.z,\r\n y@y.z\r\nSubject: s\r\n"
		  "Return-Path: <q@q.q>\r\ndate: d\r\nmessage-id: <1@x>\r\n\r\n",
			REPLY_OK,
			ADDED "FROM: a@b.c, \"Ben, B.\" <b@b.c>\r\nSubject: s\r\ndate: d\r\n"
			      "message-id: <1@x>\r\n\r\n",
			"a@b.c b@b.c" },
		{ "From: \"a b\"@b.c\r\nDate: d\r\nMessage-ID: <1@x>\r\n\r\n", REPLY_OK,
			ADDED "From: \"a b\"@b.c\r\nDate: d\r\nMessage-ID: <1@x>\r\n\r\n",
			"\"a b\"@b.c" },
		{ "Subject: s\r\n\r\n", REPLY_NO_FROM, "", "" },
		{ "\r\n", REPLY_NO_FROM, "", "" },
		{ "", REPLY_NO_FROM, "", "" },
		{ "From: a@b.c\r\nFrom: d@e.f\r\n\r\n", REPLY_BAD_FROM, "", "" },
		{ "From: a@b.c\r\nSender: a@b.c\r\nSender: d@e.f\r\n\r\n", REPLY_BAD_FROM, "", "" },
		{ "From: a@b.c\r\nSender: a@b.c, b@b.c\r\n\r\n", REPLY_BAD_FROM, "", "" },
		{ "From:\r\n\r\n", REPLY_BAD_FROM, "", "" },
		{ "From: Anna\r\n\r\n", REPLY_BAD_FROM, "", "" },
		{ "From: team: a@b.c, d@e.f;\r\n\r\n", REPLY_BAD_FROM, "", "" },
		{ "From: <a@b.c\r\n\r\n", REPLY_BAD_FROM, "", "" },
		{ "From: \xc3\xa4@b.c\r\n\r\n", REPLY_BAD_FROM, "", "" },
		{ "From: a@b.c\r\nno colon here\r\n\r\n", REPLY_BAD_HEADER, "", "" },
		{ "From anna Sat Nov 21 08:00:00 2026\r\nFrom: a@b.c\r\n\r\n", REPLY_BAD_HEADER, "",
			"" },
		{ "From: a@b.c\r\nX\x80: y\r\n\r\n", REPLY_BAD_HEADER, "", "" },
		{ "Received: 1\r\nReceived: 2\r\nReceived: 3\r\nFrom: a@b.c\r\n\r\n", REPLY_LOOP,
			"", "" },
	};
	const struct header_context c = { .complete = true,
		.demand_from = true,
		.hostname = STR("mx.here"),
		.received = STR(ADDED),
		.date = STR("now"),
		.message_id = STR("<new@here>"),
		.hops_max = 3 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct arena *a = arena_new(1 << 20);
		struct header_facts f;
		struct buf out, from;
		enum smtp_reply r;
		buf_init(&out, 4096);
		buf_init(&from, 4096);
		r = header_rewrite(str_of(table[i].in), &c, a, &out, &f);
		if (r != table[i].reply)
			fail_msg("%zu: %d %s", i, smtp_reply_row(r)->code,
				smtp_reply_row(r)->reason);
		if (r == REPLY_OK) {
			assert_string_equal(buf_z(&out), table[i].out);
			for (size_t k = 0; k < f.from_count; k++) {
				buf_addz(&from, k > 0 ? " " : "");
				buf_add(&from, f.from[k]);
			}
			assert_string_equal(buf_z(&from), table[i].from);
		}
		buf_fini(&out);
		buf_fini(&from);
		arena_free(a);
	}
}

/* RFC 6532: with SMTPUTF8 the header is UTF-8, and addresses in it may be. */
static void
test_headers_utf8(void **state)
{
	static const struct {
		const char *in;
		enum smtp_reply reply;
		const char *from;
	} table[] = {
		{ "From: \xc3\xa4@b.c\r\n\r\n", REPLY_OK, "\xc3\xa4@b.c" },
		{ "From: \xc3\xa4 <\xc3\xa4.\xc3\xb6@B\xc3\xbc"
		  "cher.de>\r\n\r\n",
			REPLY_OK, "\xc3\xa4.\xc3\xb6@xn--bcher-kva.de" },
		{ "From: a@b.c\r\nSubject: \xe4\xb8\xad\r\n\r\n", REPLY_OK, "a@b.c" },
		{ "From: a@b.c\r\nSubject: \xe4\r\n\r\n", REPLY_HEADER_NOT_UTF8, "" },
		{ "From: a@b.c\r\nSubject: \xc0\xaf\r\n\r\n", REPLY_HEADER_NOT_UTF8, "" },
		{ "From: a@-\xc3\xa4.de\r\n\r\n", REPLY_BAD_FROM, "" },
		{ "From: a\xc2\x80@b.c\r\n\r\n", REPLY_BAD_FROM, "" },
		{ "From: a@b.c\r\nX\xc3\xa4: y\r\n\r\n", REPLY_BAD_HEADER, "" },
	};
	const struct header_context c = {
		.demand_from = true, .utf8 = true, .received = STR(ADDED), .hops_max = 3
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct arena *a = arena_new(1 << 20);
		struct header_facts f;
		struct buf out;
		buf_init(&out, 4096);
		assert_int_equal(
			header_rewrite(str_of(table[i].in), &c, a, &out, &f), table[i].reply);
		if (table[i].reply == REPLY_OK) {
			assert_int_equal(f.from_count, 1);
			assert_true(str_eq(f.from[0], str_of(table[i].from)));
			assert_true(str_ends(buf_str(&out), str_of(table[i].in)));
		}
		buf_fini(&out);
		arena_free(a);
	}
}

static void
test_header_end(void **state)
{
	static const struct {
		const char *in;
		size_t end;
	} table[] = { { "a: b\r\n\r\nbody", 8 }, { "\r\nbody", 2 }, { "a: b\r\n", 0 }, { "", 0 },
		{ "a: b\r\n\r", 0 }, { "a: b\r\n c\r\n\r\n\r\n", 12 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str in = str_of(table[i].in);
		assert_int_equal(header_end(in, 0), table[i].end);
		/* and as it comes in, byte by byte: found at once, not earlier */
		size_t found = 0;
		for (size_t n = 0; n <= in.n && found == 0; n++)
			found = header_end(str_sub(in, 0, n), n > 0 ? n - 1 : 0);
		assert_int_equal(found, table[i].end);
	}
}

static void
test_names(void **state)
{
	static const struct {
		const char *names, *user;
		bool want;
	} table[] = { { "anna", "anna", true }, { "ben, anna", "anna", true },
		{ "ben,Anna ", "anna", true }, { "annab", "anna", false }, { "", "anna", false },
		{ "anna", "", false }, { "", "", false }, { "a,,b", "", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_int_equal(lookup_names_hold(str_of(table[i].names), str_of(table[i].user)),
			table[i].want);
}

/* RFC 2034: the status' class is the code's, no text holds a line end. */
static void
test_replies(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	for (int r = 0; r < REPLY_COUNT; r++) {
		const struct smtp_reply_row *row = smtp_reply_row((enum smtp_reply)r);
		buf_reset(&b);
		smtp_reply_format(&b, (enum smtp_reply)r, STR_EMPTY);
		assert_int_equal(str_find(buf_str(&b), STR("\r\n")), b.n - 2);
		assert_true(b.n <= 512 && row->code >= 200 && row->code < 600);
		if (row->code != 354)
			assert_int_equal(row->status[0], '0' + row->code / 100);
		if (row->code >= 400)
			assert_true(row->reason[0] != '\0');
	}
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_dots),
		cmocka_unit_test(test_dots_raw),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_headers_utf8),
		cmocka_unit_test(test_header_end),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_replies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
