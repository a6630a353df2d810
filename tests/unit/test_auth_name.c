/* auth-ldap/name/name.c: names, escaping, templates and homes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "auth-ldap/ldap/conn.h"
#include "auth-ldap/backend/backend.h"
#include "auth-ldap/name/name.h"
#include "auth-ldap/directory/section.h"
#include "auth-ldap/name/template.h"
#include "core/base/xalloc.h"

static void
test_names(void **state UNUSED)
{
	static const struct {
		struct str in;
		const char *default_domain;
		enum err want;
		const char *user, *local, *domain, *address;
	} table[] = {
		{ STR("anna"), "example.org", ERR_OK, "anna", "anna", "example.org",
			"anna@example.org" },
		{ STR("anna"), "", ERR_OK, "anna", "anna", "", "anna" },
		{ STR("Anna.Berg@Example.ORG"), "other.example", ERR_OK, "anna.berg@example.org",
			"anna.berg", "example.org", "anna.berg@example.org" },
		{ STR("o'neil+x@a-b.example"), "", ERR_OK, "o'neil+x@a-b.example", "o'neil+x",
			"a-b.example", "o'neil+x@a-b.example" },
		{ STR("j\xc3\xbcrgen"), "example.org", ERR_OK, "j\xc3\xbcrgen", "j\xc3\xbcrgen",
			"example.org", "j\xc3\xbcrgen@example.org" },
		{ STR("ju\xcc\x88rgen@Bu\xcc\x88"
		      "cher.example"),
			"", ERR_OK, "j\xc3\xbcrgen@xn--bcher-kva.example", "j\xc3\xbcrgen",
			"xn--bcher-kva.example", "j\xc3\xbcrgen@xn--bcher-kva.example" },
		{ STR("a@stra\xc3\x9f"
		      "e.example"),
			"", ERR_OK, "a@xn--strae-oqa.example", "a", "xn--strae-oqa.example",
			"a@xn--strae-oqa.example" },
		/* the Greek question mark is a semicolon in NFC */
		{ STR("a\xcd\xbe"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a@\xef\xbc\xbbx"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("anna"), "bad domain", ERR_OK, "anna", "anna", "", "anna" },
		{ STR(""), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("*"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR(")(uid=*"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("an\0na"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("anna\n"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("an na"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a\\b"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a/b"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR(".."), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR(".a"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("@b"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a@"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a@b@c"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a@.b"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a@b."), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a@b..c"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a@b_c/d"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a@[127.0.0.1]"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a\xff"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a\xc0\xaf"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
		{ STR("a\x7f"), "", ERR_SYNTAX, NULL, NULL, NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct name n, copy;
		assert_int_equal(name_parse(table[i].in, str_of(table[i].default_domain), &n),
			table[i].want);
		if (table[i].want != ERR_OK)
			continue;
		name_copy(&copy, &n);
		memset(&n, 'x', sizeof n);
		assert_true(str_eq(copy.user, str_of(table[i].user)));
		assert_true(str_eq(copy.local, str_of(table[i].local)));
		assert_true(str_eq(copy.domain, str_of(table[i].domain)));
		assert_true(str_eq(copy.address, str_of(table[i].address)));
	}
	char long_name[NAME_MAX_BYTES + 1];
	struct name n;
	memset(long_name, 'a', sizeof long_name);
	assert_int_equal(name_parse(str_n(long_name, sizeof long_name), STR_EMPTY, &n), ERR_LIMIT);
	assert_int_equal(
		name_parse(str_n(long_name, NAME_MAX_BYTES), STR("example.org"), &n), ERR_OK);
	assert_int_equal(n.address.n, NAME_MAX_BYTES + 12);
}

static void
test_tags(void **state UNUSED)
{
	static const struct {
		const char *in, *want;
	} table[] = {
		{ "anna+lists@example.org", "anna@example.org" },
		{ "anna+a+b@example.org", "anna@example.org" },
		{ "anna+@example.org", "anna@example.org" },
		{ "anna@example.org", NULL },
		{ "+x@example.org", NULL },
		{ "anna@exa", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct name n;
		assert_int_equal(name_parse(str_of(table[i].in), STR_EMPTY, &n), ERR_OK);
		assert_int_equal(name_cut_tag(&n, '+'), table[i].want != NULL);
		const char *want = table[i].want != NULL ? table[i].want : table[i].in;
		assert_true(str_eq(n.address, str_of(want)));
		assert_true(str_eq(n.user, str_of(want)));
	}
	struct name n;
	assert_int_equal(name_parse(STR("anna+x"), STR("example.org"), &n), ERR_OK);
	assert_true(name_cut_tag(&n, '+'));
	assert_true(str_eq(n.user, STR("anna")) && str_eq(n.address, STR("anna@example.org")));
}

/* "EXAMPLE\\anna" is a login, never an address. */
static void
test_netbios_names(void **state UNUSED)
{
	static const struct {
		struct str in;
		enum err want;
		const char *netbios, *user, *domain;
	} table[] = {
		{ STR("EXAMPLE\\Anna"), ERR_OK, "example", "anna", "" },
		{ STR("a-b_c.d&e$1\\anna.berg"), ERR_OK, "a-b_c.d&e$1", "anna.berg", "" },
		{ STR("EXAMPLE890123456\\x"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("EXAMPLE89012345\\x"), ERR_OK, "example89012345", "x", "" },
		{ STR("anna"), ERR_OK, "", "anna", "example.org" },
		{ STR("anna@example.com"), ERR_OK, "", "anna@example.com", "example.com" },
		{ STR("EXAMPLE\\anna@example.com"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("EXAMPLE\\\\anna"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("A\\B\\anna"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("\\anna"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("EXAMPLE\\"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("EX*\\anna"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("EX\0\\anna"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("EXAMPLE\\*"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("EX AMPLE\\anna"), ERR_SYNTAX, NULL, NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct name n, copy;
		assert_int_equal(
			name_parse_login(table[i].in, STR("example.org"), &n), table[i].want);
		if (str_chr(table[i].in, '\\') < table[i].in.n)
			assert_int_equal(
				name_parse(table[i].in, STR("example.org"), &copy), ERR_SYNTAX);
		if (table[i].want != ERR_OK)
			continue;
		name_copy(&copy, &n);
		memset(&n, 'x', sizeof n);
		assert_true(str_eq(copy.netbios, str_of(table[i].netbios)));
		assert_true(str_eq(copy.user, str_of(table[i].user)));
		assert_true(str_eq(copy.domain, str_of(table[i].domain)));
	}
	/* The longest of both at once. */
	char longest[NETBIOS_MAX_BYTES + 1 + NAME_MAX_BYTES];
	struct name n;
	memset(longest, 'a', sizeof longest);
	longest[NETBIOS_MAX_BYTES] = '\\';
	assert_int_equal(
		name_parse_login(str_n(longest, sizeof longest), STR("example.org"), &n), ERR_OK);
	assert_int_equal(n.user.n, NAME_MAX_BYTES);
	assert_true(str_eq(n.netbios, str_n(longest, NETBIOS_MAX_BYTES)));
}

static void
test_who_is_asked(void **state UNUSED)
{
	static const struct str domains[] = { { "example.org", 11 } };
	static const struct str logins[] = { { "corp.internal", 13 } };
	const struct backend listed = { .domains = domains,
		.domains_count = 1,
		.login_domains = logins,
		.login_domains_count = 1,
		.netbios = STR("CORP") };
	const struct backend any = { .netbios = STR_EMPTY };
	static const struct {
		const char *name;
		bool login, listed, any;
	} table[] = {
		{ "anna@Example.org", true, true, true },
		{ "anna@example.org", false, true, true },
		{ "anna@corp.internal", true, true, true },
		{ "anna@corp.internal", false, false, true },
		{ "anna@example.com", true, false, true },
		{ "anna", true, false, true },
		{ "corp\\anna", true, true, false },
		{ "corp\\anna", false, false, false },
		{ "other\\anna", true, false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct name n;
		assert_int_equal(name_parse_login(str_of(table[i].name), STR_EMPTY, &n), ERR_OK);
		assert_int_equal(backend_takes(&listed, &n, table[i].login), table[i].listed);
		assert_int_equal(backend_takes(&any, &n, table[i].login), table[i].any);
	}
}

static void
test_escaping(void **state UNUSED)
{
	static const struct {
		struct str in;
		const char *filter, *dn;
	} table[] = {
		{ STR("anna.berg@example.org"), "anna.berg@example.org", "anna.berg@example.org" },
		{ STR("*()\\"), "\\2a\\28\\29\\5c", "\\2a\\28\\29\\5c" },
		{ STR("a\0b"), "a\\00b", "a\\00b" },
		{ STR(" a,b+c=\"d\";<e>#"), " a,b+c=\\22d\\22\\3b\\3ce\\3e\\23",
			"\\20a\\2cb\\2bc\\3d\\22d\\22\\3b\\3ce\\3e\\23" },
		{ STR("\xc3\xbc\xff\n"), "\\c3\\bc\\ff\\0a", "\\c3\\bc\\ff\\0a" },
		{ STR("&|!~"), "\\26\\7c\\21\\7e", "\\26\\7c\\21\\7e" },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;
		buf_init(&b, 1000);
		escape_filter(&b, table[i].in);
		assert_true(str_eq(buf_str(&b), str_of(table[i].filter)));
		buf_reset(&b);
		escape_dn(&b, table[i].in);
		assert_true(str_eq(buf_str(&b), str_of(table[i].dn)));
		buf_fini(&b);
	}
}

static void
test_templates(void **state UNUSED)
{
	static const struct {
		const char *t;
		enum template_use use;
		enum err want;
		const char *out;
	} table[] = {
		{ "(uid=%{user})", TEMPLATE_FILTER, ERR_OK, "(uid=o\\23n@example.org)" },
		{ "uid=%{local},dc=%{domain}", TEMPLATE_DN, ERR_OK, "uid=o\\23n,dc=example.org" },
		{ "(|(a=%{user})(b=%{address}))", TEMPLATE_ALL, ERR_OK, "(|(a=*)(b=*))" },
		{ "%{domain}/%{local}", TEMPLATE_PATH, ERR_OK, "example.org/o#n" },
		{ "100%%", TEMPLATE_FILTER, ERR_OK, "100%" },
		{ "plain", TEMPLATE_FILTER, ERR_OK, "plain" },
		{ "%", TEMPLATE_FILTER, ERR_SYNTAX, NULL },
		{ "%u", TEMPLATE_FILTER, ERR_SYNTAX, NULL },
		{ "%{", TEMPLATE_FILTER, ERR_SYNTAX, NULL },
		{ "%{}", TEMPLATE_FILTER, ERR_SYNTAX, NULL },
		{ "%{user", TEMPLATE_FILTER, ERR_SYNTAX, NULL },
		{ "%{password}", TEMPLATE_FILTER, ERR_SYNTAX, NULL },
	};
	struct name n;
	struct buf b;
	assert_int_equal(name_parse(STR("o#n@example.org"), STR_EMPTY, &n), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		buf_init(&b, 1000);
		assert_int_equal(
			template_expand(&b, str_of(table[i].t), &n, table[i].use), table[i].want);
		assert_int_equal(template_expand(NULL, str_of(table[i].t), NULL, table[i].use),
			table[i].want);
		if (table[i].want == ERR_OK)
			assert_true(str_eq(buf_str(&b), str_of(table[i].out)));
		buf_fini(&b);
	}
	buf_init(&b, 10);
	assert_int_equal(template_expand(&b, STR("(uid=%{user})"), &n, TEMPLATE_FILTER), ERR_LIMIT);
	buf_fini(&b);
	/* Values that name_parse would not let through are refused in a path all the same. */
	static const char *const bad[] = { "", ".", "..", ".x", "a/b", "/a" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		n.local = str_of(bad[i]);
		buf_init(&b, 100);
		assert_int_equal(
			template_expand(&b, STR("%{local}"), &n, TEMPLATE_PATH), ERR_DENIED);
		buf_fini(&b);
	}
}

static void
test_homes(void **state UNUSED)
{
	static const struct {
		const char *home, *root;
		bool want;
	} table[] = {
		{ "/mail/a/b", "/mail", true },
		{ "/mail/a", "/mail/", true },
		{ "/a", "/", true },
		{ "/mail", "/mail", false },
		{ "/mail/", "/mail", false },
		{ "/mail/a/", "/mail", false },
		{ "/mail//a", "/mail", false },
		{ "/mail/./a", "/mail", false },
		{ "/mail/a/..", "/mail", false },
		{ "/mail/../etc", "/mail", false },
		{ "/mailbox/a", "/mail", false },
		{ "/etc", "/mail", false },
		{ "mail/a", "mail", true },
		{ "a", "/mail", false },
		{ "/mail/a\n", "/mail", false },
		{ "", "/mail", false },
		{ "/mail/a", "", false },
		{ "/mail/...", "/mail", true },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_int_equal(
			home_is_safe(str_of(table[i].home), str_of(table[i].root)), table[i].want);
	assert_false(home_is_safe(STR("/mail/a\0b"), STR("/mail")));
}

static void
test_targets(void **state UNUSED)
{
	static const struct {
		const char *uri;
		enum err want;
		const char *address, *host;
		bool tls, local;
	} table[] = {
		{ "ldap://ldap.example.org", ERR_OK, "ldap.example.org:389", "ldap.example.org",
			false, false },
		{ "LDAPS://ldap.example.org:6360/", ERR_OK, "ldap.example.org:6360",
			"ldap.example.org", true, false },
		{ "ldap://[::1]:3890", ERR_OK, "[::1]:3890", "::1", false, false },
		{ "ldaps://[::1]", ERR_OK, "[::1]:636", "::1", true, false },
		{ "ldapi://%2Frun%2fldapi", ERR_OK, "unix:/run/ldapi", "localhost", false, true },
		{ "ldapi:///run/ldapi", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldapi://%2", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldapi://%2Fa%00b", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldap://", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldap://h:0", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldap://h:99999", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldap://h:x", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldap://h/dc=x", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldap://h??sub", ERR_SYNTAX, NULL, NULL, false, false },
		{ "http://h", ERR_SYNTAX, NULL, NULL, false, false },
		{ "h", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldap://[::1", ERR_SYNTAX, NULL, NULL, false, false },
		{ "ldap://[::1]x", ERR_SYNTAX, NULL, NULL, false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct ldap_target t;
		assert_int_equal(ldap_target_parse(str_of(table[i].uri), &t), table[i].want);
		if (table[i].want != ERR_OK)
			continue;
		assert_string_equal(t.address, table[i].address);
		assert_string_equal(t.host, table[i].host);
		assert_int_equal(t.tls, table[i].tls);
		assert_int_equal(t.local, table[i].local);
	}
}

static void
test_service_account_needs_both_halves(void **state UNUSED)
{
	static struct str uris[] = { STR("ldap://127.0.0.1:1") };
	static const struct {
		struct str dn, password;
		enum err want;
	} table[] = {
		{ STR(""), STR(""), ERR_OK },
		{ STR("cn=mail"), STR("secret"), ERR_OK },
		{ STR("cn=mail"), STR(""), ERR_SYNTAX },
		{ STR(""), STR("secret"), ERR_SYNTAX },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct settings_directory section = {
			.title = STR("main"),
			.uris = { .v = uris, .n = 1 },
			.verify = true,
			.bind_method = STR("simple"),
			.bind_dn = table[i].dn,
			.bind_password = table[i].password,
			.connect_timeout = 1000,
			.search_timeout = 1000,
			.bind_timeout = 1000,
			.bind_connections_min = 1,
			.bind_connections_max = 1,
		};
		const struct settings s = { .directories = &section, .directories_count = 1 };
		struct loop *l = loop_new();
		struct backend *d = NULL;
		struct buf why;
		buf_init(&why, 1000);
		assert_int_equal(directory_backend_new(l, &s, &section, &d, &why), table[i].want);
		if (table[i].want != ERR_OK)
			assert_true(str_find(buf_str(&why), STR("bind_password")) < why.n);
		if (d != NULL)
			d->ops->free(d);
		buf_fini(&why);
		loop_free(l);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_netbios_names),
		cmocka_unit_test(test_who_is_asked),
		cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_homes),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_service_account_needs_both_halves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
