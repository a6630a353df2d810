/* auth-ldap/server/proto.c: lines of the auth and master protocols, netstrings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth-ldap/server/proto.h"
#include "core/base/xalloc.h"

static void
test_auth_lines(void **state UNUSED)
{
	static const struct {
		const char *in;
		enum err want;
		enum auth_verb verb;
		uint32_t id;
	} table[] = {
		{ "VERSION\t1\t1", ERR_OK, AUTH_VERSION, 0 },
		{ "VERSION\t1", ERR_SYNTAX, AUTH_VERSION, 0 },
		{ "VERSION\ta\tb", ERR_SYNTAX, AUTH_VERSION, 0 },
		{ "CPID\t4294967295", ERR_OK, AUTH_CPID, 4294967295 },
		{ "CPID\t4294967296", ERR_SYNTAX, AUTH_CPID, 0 },
		{ "CPID", ERR_SYNTAX, AUTH_CPID, 0 },
		{ "AUTH\t7\tPLAIN\tservice=imap", ERR_OK, AUTH_AUTH, 7 },
		{ "AUTH\t7\tPLAIN", ERR_SYNTAX, AUTH_AUTH, 0 },
		{ "AUTH\t7\tPLAIN\tservice=", ERR_SYNTAX, AUTH_AUTH, 0 },
		{ "AUTH\t7\t\tservice=imap", ERR_SYNTAX, AUTH_AUTH, 0 },
		{ "AUTH\t-7\tPLAIN\tservice=imap", ERR_SYNTAX, AUTH_AUTH, 0 },
		{ "CONT\t7\tYQ==", ERR_OK, AUTH_CONT, 7 },
		{ "CONT\t7\t", ERR_OK, AUTH_CONT, 7 },
		{ "CONT\t7", ERR_OK, AUTH_CONT, 7 },
		{ "CONT\t", ERR_SYNTAX, AUTH_CONT, 0 },
		{ "CANCEL\t9", ERR_OK, AUTH_CANCEL, 9 },
		{ "CANCEL", ERR_SYNTAX, AUTH_CANCEL, 0 },
		{ "", ERR_OK, AUTH_OTHER, 0 },
		{ "SOMETHING\tnew", ERR_OK, AUTH_OTHER, 0 },
		{ "auth\t7\tPLAIN\tservice=imap", ERR_OK, AUTH_OTHER, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct auth_line line;
		assert_int_equal(auth_line_parse(str_of(table[i].in), &line), table[i].want);
		if (table[i].want != ERR_OK)
			continue;
		assert_int_equal(line.verb, table[i].verb);
		assert_int_equal(line.id, table[i].id);
	}
}

static void
test_auth_parameters(void **state UNUSED)
{
	struct auth_line line;
	assert_int_equal(
		auth_line_parse(STR("AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=::1\trip=192.0."
				    "2.1\tsecured\tsession=ab\tunknown=1\tresp=AGE="),
			&line),
		ERR_OK);
	assert_true(str_eq(line.mechanism, STR("PLAIN")));
	assert_true(str_eq(line.service, STR("smtp")));
	assert_true(str_eq(line.session, STR("ab")));
	assert_true(str_eq(line.local, STR("::1")));
	assert_true(str_eq(line.remote, STR("192.0.2.1")));
	assert_true(str_eq(line.response, STR("AGE=")));
	assert_true(line.secured && line.nologin);
	assert_int_equal(
		auth_line_parse(STR("AUTH\t1\tPLAIN\tservice=smtp\tsecured=tls"), &line), ERR_OK);
	assert_true(line.secured && !line.nologin);
	assert_false(line.valid_certificate);
	assert_null(line.response.p); /* no initial response … */
	assert_int_equal(
		auth_line_parse(STR("AUTH\t1\tPLAIN\tservice=smtp\tresp="), &line), ERR_OK);
	assert_true(line.response.p != NULL && line.response.n == 0); /* … and an empty one */
	assert_int_equal(auth_line_parse(STR("AUTH\t1\tEXTERNAL\tservice=imap\tvalid-client-cert\t"
					     "cert_username=CN=a,O=b\tresp="),
				 &line),
		ERR_OK);
	assert_true(line.valid_certificate && str_eq(line.certificate, STR("CN=a,O=b")));
	assert_true(line.response.p != NULL && line.response.n == 0);
}

static void
test_userdb_lines(void **state UNUSED)
{
	static const struct {
		const char *in;
		enum err want;
		enum userdb_verb verb;
		uint32_t id;
	} table[] = {
		{ "VERSION\t1\t0", ERR_OK, USERDB_VERSION, 0 },
		{ "VERSION\t1", ERR_SYNTAX, USERDB_VERSION, 0 },
		{ "USER\t3\tanna\tservice=lmtp", ERR_OK, USERDB_USER, 3 },
		{ "USER\t3", ERR_SYNTAX, USERDB_USER, 0 },
		{ "USER\t\tanna", ERR_SYNTAX, USERDB_USER, 0 },
		{ "PASS\t3\tanna\tservice=imap", ERR_OK, USERDB_PASS, 3 },
		{ "LIST\t4\tservice=admin", ERR_OK, USERDB_LIST, 4 },
		{ "LIST\t4", ERR_OK, USERDB_LIST, 4 },
		{ "LIST", ERR_SYNTAX, USERDB_LIST, 0 },
		{ "REQUEST\t5\t10\t20\tc00c1e", ERR_OK, USERDB_REQUEST, 5 },
		{ "REQUEST\t5\t10\t20", ERR_SYNTAX, USERDB_REQUEST, 0 },
		{ "REQUEST\t5\t10\t20\t", ERR_SYNTAX, USERDB_REQUEST, 0 },
		{ "REQUEST\t5\tx\t20\tc", ERR_SYNTAX, USERDB_REQUEST, 0 },
		{ "CHECK\t6\tUanna\tuser=anna@example.org\tservice=imap\tmax_age=12000", ERR_OK,
			USERDB_CHECK, 6 },
		{ "CHECK\t6\tUanna", ERR_OK, USERDB_CHECK, 6 },
		{ "CHECK\t6", ERR_SYNTAX, USERDB_CHECK, 0 },
		{ "CHECK\t6\tUanna\tmax_age=-1", ERR_SYNTAX, USERDB_CHECK, 0 },
		{ "CHECK\t6\tUanna\tmax_age=99999999999", ERR_SYNTAX, USERDB_CHECK, 0 },
		{ "CACHE-FLUSH\t1", ERR_OK, USERDB_OTHER, 0 },
		{ "", ERR_OK, USERDB_OTHER, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct userdb_line line;
		assert_int_equal(userdb_line_parse(str_of(table[i].in), &line), table[i].want);
		if (table[i].want != ERR_OK)
			continue;
		assert_int_equal(line.verb, table[i].verb);
		assert_int_equal(line.id, table[i].id);
	}
	struct userdb_line line;
	assert_int_equal(
		userdb_line_parse(STR("REQUEST\t5\t10\t20\tc00c1e\tsession_pid=1"), &line), ERR_OK);
	assert_int_equal(line.client_pid, 10);
	assert_int_equal(line.client_id, 20);
	assert_true(str_eq(line.cookie, STR("c00c1e")));
	assert_int_equal(userdb_line_parse(STR("USER\t3\tanna\tx=y\tservice=lmtp"), &line), ERR_OK);
	assert_true(str_eq(line.service, STR("lmtp")) && str_eq(line.name, STR("anna")));
}

static void
test_netstrings(void **state UNUSED)
{
	static const struct {
		const char *in;
		enum err want;
		const char *payload;
		size_t size;
	} table[] = {
		{ "11:alias a@b.c,", ERR_OK, "alias a@b.c", 15 },
		{ "0:,", ERR_OK, "", 3 },
		{ "3:abc,4:more", ERR_OK, "abc", 6 },
		{ "01:a,", ERR_SYNTAX, NULL, 0 },
		{ "00:,", ERR_SYNTAX, NULL, 0 },
		{ "3:abcd,", ERR_SYNTAX, NULL, 0 },
		{ ":,", ERR_SYNTAX, NULL, 0 },
		{ "-1:,", ERR_SYNTAX, NULL, 0 },
		{ "3;abc,", ERR_SYNTAX, NULL, 0 },
		{ " 3:abc,", ERR_SYNTAX, NULL, 0 },
		{ "21:", ERR_LIMIT, NULL, 0 },
		{ "99999999999999999999999999:", ERR_LIMIT, NULL, 0 },
		{ "", ERR_AGAIN, NULL, 0 },
		{ "1", ERR_AGAIN, NULL, 0 },
		{ "3:ab", ERR_AGAIN, NULL, 0 },
		{ "3:abc", ERR_AGAIN, NULL, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str in = str_of(table[i].in), payload;
		size_t size;
		assert_int_equal(netstring_parse(in, 20, &payload, &size), table[i].want);
		if (table[i].want != ERR_OK)
			continue;
		assert_true(str_eq(payload, str_of(table[i].payload)));
		assert_int_equal(size, table[i].size);
		/* Byte by byte: "not whole yet" until the last one. */
		for (size_t n = 0; n < table[i].size; n++)
			assert_int_equal(
				netstring_parse(str_sub(in, 0, n), 20, &payload, &size), ERR_AGAIN);
	}
}

static void
test_replies(void **state UNUSED)
{
	struct buf b;
	buf_init(&b, 100);
	netstring_reply(&b, "OK", STR("a@b"));
	netstring_reply(&b, "NOTFOUND", STR_EMPTY);
	assert_true(str_eq(buf_str(&b), STR("6:OK a@b,9:NOTFOUND ,")));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auth_lines),
		cmocka_unit_test(test_auth_parameters),
		cmocka_unit_test(test_userdb_lines),
		cmocka_unit_test(test_netstrings),
		cmocka_unit_test(test_replies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
