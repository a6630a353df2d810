/* auth-ldap/directory/result.c and auth-ldap/ldap/url.c: results out of entries, LDAP URLs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth-ldap/directory/rdn.h"
#include "auth-ldap/directory/result.h"
#include "auth-ldap/ldap/url.h"
#include "core/base/xalloc.h"

/* ---- result templates ---- */

static void
on_result(void *arg, struct str value)
{
	struct buf *b = arg;
	buf_add(b, value);
	buf_addc(b, '\n');
}

static void
test_results(void **state)
{
	(void)state;
	struct str mails[] = { STR("Anna@Example.org"), STR("b@x.example"), STR("nodomain") };
	struct str uids[] = { STR("anna"), STR("second") };
	struct str nul[] = { STR("a\0b"), STR("fine") };
	struct ldap_attr attrs[] = { { STR("mail"), mails, 3 }, { STR("uid"), uids, 2 },
		{ STR("odd"), nul, 2 } };
	const struct ldap_entry e = { .attrs = attrs, .attrs_count = 3 };
	struct name key;
	assert_int_equal(name_parse(STR("Sales+x@example.com"), STR_EMPTY, &key), ERR_OK);
	static const struct {
		const char *t, *want;
	} cases[] = {
		{ "%{mail}", "Anna@Example.org\nb@x.example\nnodomain\n" },
		{ "%{MAIL}", "Anna@Example.org\nb@x.example\nnodomain\n" },
		{ "%{uid}@%{domain}", "anna@example.com\nsecond@example.com\n" },
		{ "%{mail|local}@backup", "Anna@backup\nb@backup\nnodomain@backup\n" },
		{ "x@%{mail|domain}", "x@Example.org\nx@x.example\n" },
		{ "%{mail|lower}", "anna@example.org\nb@x.example\nnodomain\n" },
		{ "%{uid|upper}%%", "ANNA%\nSECOND%\n" },
		/* the first attribute's values, the others' first one */
		{ "%{uid}-%{mail|local}", "anna-Anna\nsecond-Anna\n" },
		{ "%{uid}.%{uid}", "anna.anna\nsecond.second\n" },
		{ "%{local}!%{address}!%{user}",
			"sales+x!sales+x@example.com!sales+x@example.com\n" },
		{ "%{gone}", "" },
		{ "%{uid}%{gone}", "" },
		{ "constant@example.org", "constant@example.org\n" },
		{ "%{odd}", "fine\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b;
		buf_init(&b, 4096);
		struct str t = str_of(cases[i].t);
		assert_int_equal(result_check(t), ERR_OK);
		size_t n = result_expand(t, &e, &key, on_result, &b);
		assert_string_equal(buf_z(&b), cases[i].want);
		size_t lines = 0;
		for (size_t k = 0; k < b.n; k++)
			lines += buf_str(&b).p[k] == '\n';
		assert_int_equal(n, lines);
		buf_fini(&b);
	}
}

static void
test_result_too_long(void **state)
{
	(void)state;
	char big[5000];
	memset(big, 'x', sizeof big);
	struct str values[] = { str_n(big, sizeof big), STR("ok") };
	struct ldap_attr attrs[] = { { STR("a"), values, 2 } };
	const struct ldap_entry e = { .attrs = attrs, .attrs_count = 1 };
	struct buf b;
	buf_init(&b, 8192);
	assert_int_equal(result_expand(STR("%{a}"), &e, NULL, on_result, &b), 1);
	assert_string_equal(buf_z(&b), "ok\n");
	buf_fini(&b);
}

static void
test_result_syntax(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "%", "%x", "%{", "%{mail", "%{}", "%{ma il}",
		"%{mail|}", "%{mail|foo}", "%{-x}", "a%", "%{a}%{" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(result_check(str_of(bad[i])), ERR_SYNTAX);
	struct str name;
	struct str t = STR("%{uid}@%{domain}%{mail|lower}");
	assert_true(result_attribute(t, 0, &name));
	assert_true(str_eq(name, STR("uid")));
	assert_true(result_attribute(t, 1, &name));
	assert_true(str_eq(name, STR("mail")));
	assert_false(result_attribute(t, 2, &name));
}

static void
test_address_values(void **state)
{
	(void)state;
	static const struct {
		const char *raw, *want; /* NULL: none of ours */
	} cases[] = {
		{ "anna@example.org", "anna@example.org" },
		{ "smtp:anna@example.org", "anna@example.org" },
		{ "SMTP:Anna@example.org", "Anna@example.org" },
		{ "mailto:a@b", "a@b" },
		{ "X400:c=US;a= ;p=x", NULL },
		{ "sip:anna@example.org", NULL },
		{ "smtp:", NULL },
		{ "", NULL },
		{ "anna", "anna" },
		{ "odd@host:25", "odd@host:25" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str out;
		bool ok = address_in_value(str_of(cases[i].raw), &out);
		assert_int_equal(ok, cases[i].want != NULL);
		if (ok)
			assert_true(str_eq(out, str_of(cases[i].want)));
	}
}

/* ---- LDAP URLs ---- */

static void
test_urls(void **state)
{
	(void)state;
	static const struct {
		const char *url, *host, *dn;
		enum ldap_scope scope;
		const char *filter;
		size_t attrs;
	} cases[] = {
		{ "ldap:///dc=example,dc=org??sub?(l=Paris)", "", "dc=example,dc=org", SCOPE_SUB,
			"(l=Paris)", 0 },
		{ "LDAP:///o=x?mail,cn?ONE", "", "o=x", SCOPE_ONE, "(objectClass=*)", 2 },
		{ "ldap:///o=x", "", "o=x", SCOPE_BASE, "(objectClass=*)", 0 },
		{ "ldap://", "", "", SCOPE_BASE, "(objectClass=*)", 0 },
		{ "ldap://dc1.example.org:389/o=a%20b%3fc", "dc1.example.org:389", "o=a b?c",
			SCOPE_BASE, "(objectClass=*)", 0 },
		{ "ldaps://[2001:db8::1]:636/", "[2001:db8::1]:636", "", SCOPE_BASE,
			"(objectClass=*)", 0 },
		{ "ldap:///o=x??sub?(&(a=b)(c=%2a%5c2a))", "", "o=x", SCOPE_SUB,
			"(&(a=b)(c=*\\2a))", 0 },
		{ "ldap:///o=x????x-thing=1", "", "o=x", SCOPE_BASE, "(objectClass=*)", 0 },
		{ "ldap:///o=%C3%A4?*?base?", "", "o=\xc3\xa4", SCOPE_BASE, "(objectClass=*)", 1 },
		{ "ldap:///ou=Sales People,o=x??one", "", "ou=Sales People,o=x", SCOPE_ONE,
			"(objectClass=*)", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena *a = arena_new(64 * 1024);
		struct ldap_url u;
		assert_int_equal(ldap_url_parse(str_of(cases[i].url), a, &u), ERR_OK);
		assert_true(str_eq(u.host, str_of(cases[i].host)));
		assert_true(str_eq(u.dn, str_of(cases[i].dn)));
		assert_int_equal(u.scope, cases[i].scope);
		assert_true(str_eq(u.filter, str_of(cases[i].filter)));
		assert_int_equal(u.attrs_count, cases[i].attrs);
		arena_free(a);
	}
}

static void
test_no_urls(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "ldap", "ldap:", "ldap:/", "ldap:/o=x", "http://x/",
		"ldap:///o=%", "ldap:///o=%4", "ldap:///o=%zz", "ldap:///o=%00", "ldap:///o=%ff",
		"ldap:///o=x?a b", "ldap:///o=x?a,,b", "ldap:///o=x??deep",
		"ldap:///o=x??sub?l=Paris", "ldap:///o=x??sub?(l=Paris",
		"ldap:///o=x??sub?(l=Paris))", "ldap:///o=x??sub?(a=b)(c=d)", "ldap:///o=x??sub?()",
		"ldap:///o=x??sub?)(", "ldap:///o=x???\?!x", "ldap:///o=x????a,,b", "ldap:///o=\n",
		"ldap://ho st/",
		/* too deep */
		("ldap:///"
		 "o=x??sub?((((((((((((((((((((((((((((((((((((a)))))))))))))))))))))))))))))))))))"
		 ")") };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct arena *a = arena_new(64 * 1024);
		struct ldap_url u;
		if (ldap_url_parse(str_of(bad[i]), a, &u) != ERR_SYNTAX)
			fail_msg("taken: %s", bad[i]);
		arena_free(a);
	}
	struct arena *a = arena_new(256);
	struct ldap_url u;
	assert_int_equal(ldap_url_parse(STR("ldap:///o=x?a?sub?(a=b)"), a, &u), ERR_LIMIT);
	arena_free(a);
}

/* ---- the first part of a DN ---- */

static void
test_rdns(void **state)
{
	(void)state;
	static const struct {
		const char *dn, *type, *value, *parent; /* type NULL: cannot be split */
	} cases[] = {
		{ "uid=anna,ou=people,o=x", "uid", "anna", "ou=people,o=x" },
		{ " uid = anna ,ou=people", "uid", "anna", "ou=people" },
		{ "cn=Berg\\, Anna,o=x", "cn", "Berg, Anna", "o=x" },
		{ "cn=Berg\\2C\\20Anna\\20,o=x", "cn", "Berg, Anna ", "o=x" },
		{ "cn=a\\+b\\=c\\\\,o=x", "cn", "a+b=c\\", "o=x" },
		{ "cn=\\C3\\A4,o=x", "cn", "\xc3\xa4", "o=x" },
		{ "cn=a b  c ,o=x", "cn", "a b  c", "o=x" },
		{ "cn=a=b,o=x", "cn", "a=b", "o=x" },
		{ "cn=a+sn=b,o=x", NULL, "", "" },
		{ "cn=\"a,b\",o=x", NULL, "", "" },
		{ "cn=#04024869,o=x", NULL, "", "" },
		{ "cn=,o=x", NULL, "", "" },
		{ "cn=a", NULL, "", "" },
		{ "cn=a,", NULL, "", "" },
		{ "cn", NULL, "", "" },
		{ "", NULL, "", "" },
		{ "=a,o=x", NULL, "", "" },
		{ "c n=a,o=x", NULL, "", "" },
		{ "cn=a\\", NULL, "", "" },
		{ "cn=a;o=x,o=y", NULL, "", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str type, parent;
		struct buf value;
		buf_init(&value, RDN_KEY_MAX);
		bool ok = rdn_split(str_of(cases[i].dn), &type, &value, &parent);
		if (ok != (cases[i].type != NULL))
			fail_msg("%s", cases[i].dn);
		if (ok) {
			assert_true(str_eq(type, str_of(cases[i].type)));
			assert_true(str_eq(buf_str(&value), str_of(cases[i].value)));
			assert_true(str_eq(parent, str_of(cases[i].parent)));
		}
		buf_fini(&value);
	}
}

static void
test_keys(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same, siblings;
	} cases[] = {
		{ "uid=anna,ou=people,o=x", "UID=anna, OU=People, O=x", true, true },
		{ "uid=anna,ou=people,o=x", "uid=Anna,ou=people,o=x", false, true },
		{ "cn=a\\, b,o=x", "cn=a\\,b,o=x", false, true },
		{ "cn=a\\2cb,o=x", "cn=a\\,b,o=x", true, true },
		{ "uid=anna,ou=people,o=x", "uid=bilal,ou=people,o=x", false, true },
		{ "uid=anna,ou=people,o=x", "cn=anna,ou=people,o=x", false, false },
		{ "uid=anna,ou=people,o=x", "uid=anna,ou=others,o=x", false, false },
		{ "uid=a,b=c,o=x", "uid=a\\,b=c,o=x", false, false },
		{ "uid=a,ou=b\\, c,o=x", "uid=a,ou=b\\,c,o=x", false, false },
		{ "uid=a,ou=b\\\\, o=x", "uid=a,ou=b\\\\,o=x", true, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf a, b, value;
		size_t n, m;
		buf_init(&a, RDN_KEY_MAX);
		buf_init(&b, RDN_KEY_MAX);
		buf_init(&value, RDN_KEY_MAX);
		assert_true(rdn_key(str_of(cases[i].a), &a, &n, &value));
		assert_true(rdn_key(str_of(cases[i].b), &b, &m, &value));
		assert_int_equal(str_eq(buf_str(&a), buf_str(&b)), cases[i].same);
		assert_int_equal(str_eq(str_sub(buf_str(&a), 0, n), str_sub(buf_str(&b), 0, m)),
			cases[i].siblings);
		buf_fini(&a);
		buf_fini(&b);
		buf_fini(&value);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_result_too_long),
		cmocka_unit_test(test_result_syntax),
		cmocka_unit_test(test_address_values),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_no_urls),
		cmocka_unit_test(test_rdns),
		cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
