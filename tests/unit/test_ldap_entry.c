/* Entries of a directory's answers: attributes by name and by options, ranges' names, and where
 * references may lead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth-ldap/ldap/search_impl.h"

static struct str one[] = { { "one", 3 } };
static struct str two[] = { { "two", 3 }, { "three", 5 } };
static struct str four[] = { { "four", 4 } };

#define ATTR(text, list)                                       \
	{                                                      \
		STR(text), list, sizeof(list) / sizeof *(list) \
	}

static struct ldap_attr with_exact[] = { ATTR("mail;lang-de", one), ATTR("MAIL", two),
	ATTR("mailHost", four) };
static struct ldap_attr with_options[] = { ATTR("cn", four), ATTR("mail;lang-de", one),
	ATTR("Mail;lang-fr", two) };
static struct ldap_attr with_empty[] = { { STR("mail"), NULL, 0 }, ATTR("mail;lang-de", one) };
static struct ldap_attr binary[] = { ATTR("userCertificate;binary", one) };

static void
test_attributes(void **state UNUSED)
{
	static const struct {
		struct ldap_attr *attrs;
		size_t count;
		const char *name, *attr, *values;
	} table[] = {
		{ with_exact, 3, "mail", "MAIL", "two three" },
		{ with_exact, 3, "mail;lang-de", "mail;lang-de", "one" },
		{ with_exact, 3, "mailhost", "mailHost", "four" },
		{ with_exact, 3, "mai", NULL, "" },
		{ with_exact, 3, "", NULL, "" },
		{ with_options, 3, "mail", "mail;lang-de", "one two three" },
		{ with_options, 3, "mail;lang-it", NULL, "" },
		{ with_empty, 2, "mail", "mail;lang-de", "one" },
		{ binary, 1, "usercertificate", "userCertificate;binary", "one" },
		{ NULL, 0, "mail", NULL, "" },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const struct ldap_entry e = { .attrs = table[i].attrs,
			.attrs_count = table[i].count };
		const struct ldap_attr *at = ldap_entry_attr(&e, str_of(table[i].name));
		print_message("row %zu\n", i);
		assert_true((at == NULL) == (table[i].attr == NULL));
		if (at != NULL)
			assert_true(str_eq(at->name, str_of(table[i].attr)));
		struct arena *a = arena_new(4096);
		struct ldap_attr all;
		struct buf b;
		buf_init(&b, 100);
		assert_true(ldap_entry_values(a, &e, str_of(table[i].name), &all));
		for (size_t k = 0; k < all.count; k++) {
			buf_addz(&b, k > 0 ? " " : "");
			buf_add(&b, all.values[k]);
		}
		assert_true(str_eq(buf_str(&b), str_of(table[i].values)));
		buf_fini(&b);
		arena_free(a);
	}
}

static void
test_copy(void **state UNUSED)
{
	const struct ldap_entry e = { .dn = STR("cn=a"), .attrs = with_exact, .attrs_count = 3 };
	struct arena *a = arena_new(4096), *small = arena_new(100);
	struct ldap_entry *copy = ldap_entry_copy(a, &e);
	assert_non_null(copy);
	assert_true(str_eq(copy->dn, e.dn) && copy->dn.p != e.dn.p);
	assert_int_equal(copy->attrs_count, 3);
	assert_int_equal(copy->attrs[1].count, 2);
	assert_true(str_eq(copy->attrs[1].values[1], STR("three")));
	assert_null(ldap_entry_copy(small, &e));
	arena_free(a);
	arena_free(small);
}

static void
test_range(void **state UNUSED)
{
	static const struct {
		const char *name;
		enum err err;
		const char *plain;
		uint32_t from, to;
	} table[] = {
		{ "member;range=0-1499", ERR_OK, "member", 0, 1499 },
		{ "member;Range=1500-*", ERR_OK, "member", 1500, UINT32_MAX },
		{ "member;range=0-0;lang-de", ERR_OK, "member;lang-de", 0, 0 },
		{ "member;lang-de;range=0-9", ERR_OK, "member;lang-de", 0, 9 },
		{ "member", ERR_NOTFOUND, NULL, 0, 0 },
		{ "member;lang-de", ERR_NOTFOUND, NULL, 0, 0 },
		{ "member;range=", ERR_SYNTAX, NULL, 0, 0 },
		{ "member;range=1", ERR_SYNTAX, NULL, 0, 0 },
		{ "member;range=-1", ERR_SYNTAX, NULL, 0, 0 },
		{ "member;range=2-1", ERR_SYNTAX, NULL, 0, 0 },
		{ "member;range=a-b", ERR_SYNTAX, NULL, 0, 0 },
		{ "member;range=0-4294967295", ERR_SYNTAX, NULL, 0, 0 },
		{ "member;range=0-**", ERR_SYNTAX, NULL, 0, 0 },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct arena *a = arena_new(4096);
		struct str plain;
		uint32_t from = 7, to = 7;
		print_message("%s\n", table[i].name);
		assert_int_equal(
			range_parse(a, str_of(table[i].name), &plain, &from, &to), table[i].err);
		if (table[i].err == ERR_OK) {
			assert_true(str_eq(plain, str_of(table[i].plain)));
			assert_int_equal(from, table[i].from);
			assert_int_equal(to, table[i].to);
		}
		arena_free(a);
	}
}

static void
test_hosts(void **state UNUSED)
{
	static const struct str hosts[] = { { "dc1.example.org", 15 },
		{ "*.corp.example.org", 18 } };
	static const struct {
		const char *host;
		bool allowed;
	} table[] = {
		{ "dc1.example.org", true },
		{ "DC1.Example.org.", true },
		{ "dc2.example.org", false },
		{ "a.corp.example.org", true },
		{ "b.a.corp.example.org", true },
		{ "corp.example.org", false },
		{ ".corp.example.org", false },
		{ "evilcorp.example.org", false },
		{ "dc1.example.org.evil.net", false },
		{ "*.corp.example.org", true }, /* no name that could be reached */
		{ "", false },
		{ ".", false },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		print_message("%s\n", table[i].host);
		assert_int_equal(
			referral_host_allowed(hosts, 2, str_of(table[i].host)), table[i].allowed);
	}
	assert_false(referral_host_allowed(hosts, 0, STR("dc1.example.org")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_hosts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
