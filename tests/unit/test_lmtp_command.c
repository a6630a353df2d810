/* The LMTP command grammar, the dot decoder, tags and networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/cidr.h"
#include "core/base/xalloc.h"
#include "delivery/lmtp/command.h"
#include "delivery/lmtp/dot.h"

static void
test_commands(void **state)
{
	static const struct {
		const char *line;
		enum err want;
		enum lmtp_verb verb;
		const char *path; /* MAIL, RCPT */
		size_t params;
	} table[] = {
		{ "LHLO mail.example.org", ERR_OK, LMTP_LHLO, "", 0 },
		{ "lhlo [127.0.0.1]", ERR_OK, LMTP_LHLO, "", 0 },
		{ "LHLO", ERR_SYNTAX, LMTP_LHLO, "", 0 },
		{ "LHLO two words", ERR_SYNTAX, LMTP_LHLO, "", 0 },
		{ "MAIL FROM:<anna@example.org>", ERR_OK, LMTP_MAIL, "anna@example.org", 0 },
		{ "mail from: <anna@example.org> SIZE=12 BODY=8BITMIME", ERR_OK, LMTP_MAIL,
			"anna@example.org", 2 },
		{ "MAIL FROM:<>", ERR_OK, LMTP_MAIL, "", 0 },
		{ "MAIL FROM:<> SIZE=1", ERR_OK, LMTP_MAIL, "", 1 },
		{ "MAIL FROM:anna@example.org", ERR_SYNTAX, LMTP_MAIL, NULL, 0 },
		{ "MAIL FROM:<anna@example.org", ERR_SYNTAX, LMTP_MAIL, NULL, 0 },
		{ "MAIL FROM:<anna@example.org>x", ERR_SYNTAX, LMTP_MAIL, NULL, 0 },
		{ "MAIL FROM:<a b@example.org>", ERR_SYNTAX, LMTP_MAIL, NULL, 0 },
		{ "MAIL <anna@example.org>", ERR_SYNTAX, LMTP_MAIL, NULL, 0 },
		{ "RCPT TO:<anna+x@example.org>", ERR_OK, LMTP_RCPT, "anna+x@example.org", 0 },
		{ "RCPT TO:<>", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<postmaster>", ERR_OK, LMTP_RCPT, "postmaster", 0 },
		{ "RCPT TO:<@a.example,@b.example:anna@example.org>", ERR_OK, LMTP_RCPT,
			"anna@example.org", 0 },
		{ "RCPT TO:<\"anna\"@example.org>", ERR_OK, LMTP_RCPT, "anna@example.org", 0 },
		{ "RCPT TO:<\"an na\"@example.org>", ERR_OK, LMTP_RCPT, "\"an na\"@example.org",
			0 },
		{ "RCPT TO:<\"a\\\"b\"@example.org>", ERR_OK, LMTP_RCPT, "\"a\\\"b\"@example.org",
			0 },
		{ "RCPT TO:<\"a>b\"@example.org>", ERR_OK, LMTP_RCPT, "\"a>b\"@example.org", 0 },
		{ "RCPT TO:<\"a..b\"@example.org>", ERR_OK, LMTP_RCPT, "\"a..b\"@example.org", 0 },
		{ "RCPT TO:<\"open@example.org>", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<anna@.example.org>", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<anna@>", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<anna@[127.0.0.1]>", ERR_OK, LMTP_RCPT, "anna@[127.0.0.1]", 0 },
		{ "RCPT TO:<*)(uid=*@example.org>", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<anna@example.org> XDELIVERYID=0123456789abcdef.1", ERR_OK, LMTP_RCPT,
			"anna@example.org", 1 },
		{ "RCPT TO:<anna@example.org> X=", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<anna@example.org> =1", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<\xc3\xa4@example.org>", ERR_OK, LMTP_RCPT, "\xc3\xa4@example.org", 0 },
		{ "RCPT TO:<a@\xc3\xa4.org>", ERR_OK, LMTP_RCPT, "a@\xc3\xa4.org", 0 },
		{ "MAIL FROM:<\xc3\xa4@example.org> SMTPUTF8", ERR_OK, LMTP_MAIL,
			"\xc3\xa4@example.org", 1 },
		{ "RCPT TO:<\xc3@example.org>", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<\xc0\xaf@example.org>", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<\xc2\x80@example.org>", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "RCPT TO:<a@b> X=\xc3\xa4", ERR_SYNTAX, LMTP_RCPT, NULL, 0 },
		{ "DATA", ERR_OK, LMTP_DATA, "", 0 },
		{ "DATA now", ERR_SYNTAX, LMTP_DATA, "", 0 },
		{ "RSET", ERR_OK, LMTP_RSET, "", 0 },
		{ "NOOP whatever", ERR_OK, LMTP_NOOP, "", 0 },
		{ "QUIT", ERR_OK, LMTP_QUIT, "", 0 },
		{ "VRFY anna", ERR_OK, LMTP_VRFY, "", 0 },
		{ "VRFY", ERR_SYNTAX, LMTP_VRFY, "", 0 },
		{ "EHLO x", ERR_OK, LMTP_HELO, "", 0 },
		{ "HELO x", ERR_OK, LMTP_HELO, "", 0 },
		{ "STARTTLS", ERR_OK, LMTP_STARTTLS, "", 0 },
		{ "STARTTLS now", ERR_SYNTAX, LMTP_STARTTLS, "", 0 },
		{ "STARTTL", ERR_OK, LMTP_UNKNOWN, "", 0 },
		{ "", ERR_OK, LMTP_UNKNOWN, "", 0 },
		{ "NOOP a\rb", ERR_SYNTAX, LMTP_NOOP, "", 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct lmtp_command c;
		assert_int_equal(lmtp_command_parse(str_of(table[i].line), &c), table[i].want);
		assert_int_equal(c.verb, table[i].verb);
		if (table[i].path != NULL && table[i].want == ERR_OK)
			assert_string_equal(c.path, table[i].path);
		if (table[i].want == ERR_OK)
			assert_int_equal(c.params_count, table[i].params);
	}
}

static void
test_command_limits(void **state)
{
	struct lmtp_command c;
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	buf_addz(&b, "RCPT TO:<");
	for (int i = 0; i < LMTP_PATH_MAX; i++)
		buf_addc(&b, 'a');
	buf_addz(&b, "@example.org>");
	assert_int_equal(lmtp_command_parse(buf_str(&b), &c), ERR_LIMIT);
	buf_reset(&b);
	buf_addz(&b, "MAIL FROM:<>");
	for (int i = 0; i < LMTP_PARAMS_MAX + 1; i++)
		buf_addf(&b, " A%d=1", i);
	assert_int_equal(lmtp_command_parse(buf_str(&b), &c), ERR_LIMIT);
	buf_reset(&b);
	buf_add(&b, STR("RCPT TO:<a\0b@example.org>"));
	assert_int_equal(lmtp_command_parse(buf_str(&b), &c), ERR_SYNTAX);
	buf_fini(&b);
}

static void
collect(void *arg, struct str bytes)
{
	buf_add(arg, bytes);
}

static void
test_dot(void **state)
{
	static const struct {
		const char *in;
		const char *want;
		size_t rest; /* bytes left behind the end; (size_t)-1: no end */
	} table[] = {
		{ ".\r\n", "", 0 },
		{ "a\r\n.\r\n", "a\r\n", 0 },
		{ "a\r\n.\r\nQUIT\r\n", "a\r\n", 6 },
		{ "..a\r\n...\r\n.\r\n", ".a\r\n..\r\n", 0 },
		{ "a\r\n..\r\n.\r\n", "a\r\n.\r\n", 0 },
		{ "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", 0 },
		{ "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", 0 },
		{ "a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", 0 },
		{ "a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", 0 },
		{ "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", 0 },
		{ "a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", 0 },
		{ "a\r\r\n.\r\n", "a\r\r\n", 0 },
		{ "a\r\n.", "a\r\n", (size_t)-1 },
		{ "a\r\n.\r", "a\r\n", (size_t)-1 },
		{ "a\r\n\r\n", "a\r\n\r\n", (size_t)-1 },
		{ "a.\r\n.b.\r\n.\r\n", "a.\r\nb.\r\n", 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str in = str_of(table[i].in);
		for (size_t step = 1; step <= in.n; step++) {
			struct dot_decoder d;
			struct buf out;
			size_t used = 0;
			dot_init(&d);
			buf_init(&out, 1000);
			while (used < in.n && !dot_ended(&d)) {
				size_t got = dot_decode(&d, str_sub(in, used, step), collect, &out);
				assert_true(got != 0);
				used += got;
			}
			assert_true(str_eq(buf_str(&out), str_of(table[i].want)));
			assert_int_equal(dot_ended(&d), table[i].rest != (size_t)-1);
			if (dot_ended(&d))
				assert_int_equal(in.n - used, table[i].rest);
			buf_fini(&out);
		}
	}
}

static void
test_tags(void **state)
{
	static const struct {
		const char *in, *want, *tag;
	} table[] = {
		{ "anna+lists@example.org", "anna@example.org", "lists" },
		{ "anna+a+b@example.org", "anna@example.org", "a+b" },
		{ "anna+@example.org", "anna@example.org", "" },
		{ "anna++@example.org", "anna@example.org", "+" },
		{ "anna+../../x@example.org", "anna@example.org", "../../x" },
		{ "anna@example.org", NULL, NULL },
		{ "+x@example.org", NULL, NULL },
		{ "anna@exa+mple.org", NULL, NULL },
		{ "\"anna+x y\"@example.org", NULL, NULL },
		{ "anna+x", "anna", "x" },
	};
	char out[LMTP_PATH_MAX + 1];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		bool found = lmtp_address_without_tag(str_of(table[i].in), '+', out, &n);
		assert_int_equal(found, table[i].want != NULL);
		if (!found)
			continue;
		assert_string_equal(out, table[i].want);
		assert_true(
			str_eq(lmtp_address_tag(str_of(table[i].in), '+'), str_of(table[i].tag)));
	}
	assert_false(lmtp_address_without_tag(STR("anna+x@example.org"), '\0', out, &n));
}

static void
test_cidr(void **state)
{
	static const struct {
		const char *net;
		enum err want;
		const char *address;
		bool inside;
	} table[] = {
		{ "127.0.0.0/8", ERR_OK, "127.9.8.7", true },
		{ "127.0.0.0/8", ERR_OK, "128.0.0.1", false },
		{ "127.0.0.0/8", ERR_OK, "::ffff:127.0.0.1", true },
		{ "192.0.2.4/30", ERR_OK, "192.0.2.7", true },
		{ "192.0.2.4/30", ERR_OK, "192.0.2.8", false },
		{ "192.0.2.4", ERR_OK, "192.0.2.4", true },
		{ "192.0.2.4", ERR_OK, "192.0.2.5", false },
		{ "0.0.0.0/0", ERR_OK, "203.0.113.9", true },
		{ "0.0.0.0/0", ERR_OK, "::1", false },
		{ "2001:db8::/33", ERR_OK, "2001:db8:7fff::1", true },
		{ "2001:db8::/33", ERR_OK, "2001:db8:8000::1", false },
		{ "::1/128", ERR_OK, "::1", true },
		{ "::1/128", ERR_OK, "", false },
		{ "::1/129", ERR_SYNTAX, NULL, false },
		{ "::ffff:192.0.2.0/120", ERR_OK, "192.0.2.77", true },
		{ "::ffff:192.0.2.0/120", ERR_OK, "192.0.3.77", false },
		{ "::ffff:192.0.2.7", ERR_OK, "::ffff:192.0.2.7", true },
		{ "::ffff:0:0/96", ERR_OK, "203.0.113.9", true },
		{ "::ffff:192.0.2.0/24", ERR_SYNTAX, NULL, false },
		{ "::ffff:192.0.2.1/120", ERR_SYNTAX, NULL, false },
		{ "127.0.0.1/8", ERR_SYNTAX, NULL, false },
		{ "127.0.0.0/", ERR_SYNTAX, NULL, false },
		{ "localhost", ERR_SYNTAX, NULL, false },
		{ "", ERR_SYNTAX, NULL, false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct cidr c;
		enum err e = cidr_parse(str_of(table[i].net), &c);
		assert_int_equal(e == ERR_OK, table[i].want == ERR_OK);
		if (e == ERR_OK)
			assert_int_equal(
				cidr_contains(&c, str_of(table[i].address)), table[i].inside);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_command_limits),
		cmocka_unit_test(test_dot),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_cidr),
	};
	return cmocka_run_group_tests_name("lmtp_command", tests, NULL, NULL);
}
