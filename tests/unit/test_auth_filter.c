/* auth-ldap/name/filter: the form of filters and bases as an administrator writes them. What passes
 * is a filter for libldap as well, however its variables end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth-ldap/name/filter.h"
#include "auth-ldap/name/template.h"
#include "core/base/xalloc.h"
#include "tests/unit/ldap_syntax.h"

static void
test_filters(void **state UNUSED)
{
	static const char *const good[] = { "(uid=%{user})", "(uid=%{user|lower})", "(uid=*)",
		"(uid=)", "(uid=a*b*%{local})", "(&(a=b)(c=d))", "(& (a=b) (|(c=d)(!(e=f))) )",
		"(!(a=b))", "(a>=1)", "(a<=1)", "(a~=b)", "(cn;lang-de=x)", "(2.5.4.3=x)",
		"(a=\\28x\\29)", "(a=\\(x\\))", "(a=b=c)", "(a= b )", "(%{service}Enabled=TRUE)",
		"(memberOf:1.2.840.113556.1.4.1941:=%{dn})", "(cn:dn:=x)", "(:caseExactMatch:=x)",
		"(cn:dn:2.4.6:=x)", "(mail=*@%{domain})", "(a=%{user|default:()})",
		/* RFC 4526 */
		"(&)", "(|)", "(&(a=b)(|))",
		/* white space as libldap takes it: filters of several lines */
		"( uid=x)", "( & ( a=b)\n\t(c=d)\n)", "(\n|\n(a=b)\n( !\t(c=d)))", "(& )",
		"(cn:Dn:=x)", "(a=100%%)",
		/* modifiers with what separates parts of a name */
		"(%{service|first:4}Enabled:caseExactMatch:=x)",
		"(%{service|default:a;}b;lang-de=x)" };
	static const struct {
		const char *filter, *why;
	} bad[] = {
		{ "uid=%{user}", "outside of them stands: uid=" },
		{ "(uid=%{user}", "no ) behind: uid=%{user}" },
		{ "(uid%{user})", "no = in: uid%{user}" },
		{ "(uid %{user})", "no = in" },
		{ "(=x)", "no name of an attribute" },
		{ "(my_id=x)", "no name of an attribute before = in: my_id=x" },
		{ "(uid= x)(", "more than one" },
		{ "( \r(uid=x))", "a ( inside" },
		{ "(cn:rule;x:=a)", "no name of an attribute before = in: cn:rule;x:=a" },
		{ "(!(a=b) )", "a blank behind the part of (!…), in front of:  )" },
		{ "(&(a=b)(!(c=d)\n))", "a blank behind the part" },
		{ "(!uid=x)", "wants ( ) of its own, not so: uid=x)" },
		{ "(a%%b=x)", "no name of an attribute" },
		{ "(a=%%{)(})", "more than one" },
		{ "(uid =x)", "no name of an attribute" },
		{ "(1a=x)", "no name of an attribute" },
		{ "(cn;=x)", "no name of an attribute" },
		{ "(:=x)", "no name of an attribute" },
		{ "(a:b c:=x)", "no name of an attribute" },
		{ "(&(a=b)(c=d)", "missing at the end" },
		{ "(&(a=b)c=d)", "wants ( ) of its own, not so: c=d)" },
		{ "(a=b)(c=d)", "more than one" },
		{ "(a=b))", "outside of them stands: )" },
		{ "(a=b) ", "outside of them stands" },
		{ "(!(a=b)(c=d))", "one part only: (c=d))" },
		{ "(!)", "nothing behind the ! in front of: )" },
		{ "(a=b(c)", "a ( inside of a value" },
		{ "(a=(b))", "a ( inside of a value" },
		{ "(a=\\2)", "a \\ that begins no" },
		{ "(a>=b*)", "a * out of place, in: a>=b*" },
		{ "(a=\\zz)", "a \\ that begins no" },
		{ "%{user}", "outside of them stands" },
		{ "()", "no = in" },
		{ "(", "no ) behind" },
		{ ")", "outside of them stands" },
		{ "(a=b\\)", "no ) behind" },
	};
	struct buf why;
	buf_init(&why, 1000);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (filter_check(str_of(good[i]), &why) != ERR_OK)
			fail_msg("%s: %s", good[i], buf_z(&why));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_reset(&why);
		if (filter_check(str_of(bad[i].filter), &why) != ERR_SYNTAX ||
			strstr(buf_z(&why), bad[i].why) == NULL ||
			strncmp(buf_z(&why), "not a filter: ", 14) != 0)
			fail_msg("%s: %s", bad[i].filter, buf_z(&why));
	}
	/* strchr finds a NUL in every set of operators */
	static const char nul[] = "(a\0=b)";
	assert_int_equal(filter_check(str_n(nul, sizeof(nul) - 1), &why), ERR_SYNTAX);
	buf_fini(&why);
}

static void
test_depth(void **state UNUSED)
{
	struct buf t, why;
	for (unsigned depth = 60; depth <= 100000; depth = depth == 60 ? 70 : depth * 10) {
		buf_init(&t, 1000000);
		buf_init(&why, 1000);
		for (unsigned i = 0; i < depth; i++)
			buf_addz(&t, "(&");
		buf_addz(&t, "(a=b)");
		for (unsigned i = 0; i < depth; i++)
			buf_addc(&t, ')');
		assert_int_equal(
			filter_check(buf_str(&t), &why), depth == 60 ? ERR_OK : ERR_SYNTAX);
		buf_fini(&t);
		buf_fini(&why);
	}
}

/* Of pieces of filters, at random: what passes, libldap takes. */
static void
test_beside_libldap(void **state UNUSED)
{
	static const char *const piece[] = { "(", "(", ")", ")", "(&", "(|", "(!", "a", "uid", "=",
		"=", "*", " ", "\\", "\\28", "%{local}", ":", ":=", ":dn", "1.2.3", ">", "~",
		"<=", ";", "-", "_", "(uid=%{user})", "(a=b)", ".", "\xff", "\t", "\n", "& ",
		"rule", ":dn:rule", "%%", "%{local|first:1}", "%{local|default:;}" };
	const struct name n = { .user = STR("a*()\\b"), .local = STR("x"), .address = STR("x@y") };
	const struct template_vars v = { .name = &n };
	unsigned passed = 0;
	uint32_t seed = 7;
	struct buf t, full, why;
	buf_init(&t, 1000);
	buf_init(&full, 10000);
	buf_init(&why, 10000);
	for (unsigned i = 0; i < 200000; i++) {
		buf_reset(&t);
		buf_reset(&full);
		buf_reset(&why);
		buf_addz(&t, i % 2 == 0 ? "(" : "(&(a=b)(");
		for (unsigned k = 0; k < 1 + i % 7; k++) {
			seed = seed * 1664525 + 1013904223;
			buf_addz(&t, piece[(seed >> 16) % ARRAY_LEN(piece)]);
			if (seed >> 27 == 0)
				buf_addc(&t, '\0');
		}
		buf_addz(&t, i % 2 == 0 ? ")" : "))");
		if (template_check(buf_str(&t), TEMPLATE_FILTER, NULL, NULL) != ERR_OK ||
			filter_check(buf_str(&t), &why) != ERR_OK)
			continue;
		passed++;
		assert_int_equal(
			template_expand_vars(&full, buf_str(&t), &v, TEMPLATE_FILTER), ERR_OK);
		if (!libldap_takes(buf_str(&full)))
			fail_msg("%s: %s", buf_z(&t), buf_z(&full));
		buf_reset(&full);
		assert_int_equal(
			template_expand_vars(&full, buf_str(&t), &v, TEMPLATE_ALL), ERR_OK);
		if (!libldap_takes(buf_str(&full)))
			fail_msg("%s: %s", buf_z(&t), buf_z(&full));
	}
	assert_true(passed > 1000);
	buf_fini(&t);
	buf_fini(&full);
	buf_fini(&why);
}

/* What finds everybody whom the filter may find, and is a filter still. */
static void
test_everybody(void **state UNUSED)
{
	static const struct {
		const char *filter, *all;
	} table[] = {
		{ "(uid=%{user})", "(uid=*)" },
		{ "(&(objectClass=person)( | (uid=%{user|lower})(mail=%{local}@%{domain})))",
			"(&(objectClass=person)(| (uid=*)(mail=*@*)))" },
		{ "(cn=*%{user}*)", "(cn=*)" },
		{ "(a=%{local}%{domain}x\\2a*%{user})", "(a=*x\\2a*)" },
		{ "(a=\\*%{user})", "(a=\\**)" },
		{ "(a=%{user|default:)(})", "(a=*)" },
		{ "(&(%{service}Enabled=TRUE)(uid=x))", "(&(objectClass=*)(uid=x))" },
		{ "(memberOf:1.2.840.113556.1.4.1941:=%{dn})", "(memberOf=*)" },
		{ "(cn;lang-de:dn:=%{user})", "(cn;lang-de=*)" },
		{ "(:caseExactMatch:=%{user})", "(objectClass=*)" },
		{ "(a>=%{user})", "(a=*)" },
		{ "(!(a:2.5:=1))", "(!(a:2.5:=1))" },
		{ "(a=100%%%{user})", "(a=100%*)" },
		{ "(|)", "(|)" },
	};
	const struct template_vars none = { 0 };
	struct buf out;
	buf_init(&out, 1000);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str t = str_of(table[i].filter);
		buf_reset(&out);
		assert_int_equal(filter_check(t, &out), ERR_OK);
		assert_int_equal(template_expand_vars(&out, t, &none, TEMPLATE_ALL), ERR_OK);
		assert_string_equal(buf_z(&out), table[i].all);
		assert_true(libldap_takes(buf_str(&out)));
	}
	buf_fini(&out);
}

static void
test_bases(void **state UNUSED)
{
	static const char *const good[] = { "", "dc=example,dc=org",
		"ou=people, dc=example , dc=org", "ou=people,%{base}", "%{base}", "%{domain|dc}",
		"ou=a,%{domain|lower|dc},o=x", "ou=%{local|first:1},dc=x", "cn=Berg\\, Anna,dc=x",
		"2.5.4.11=x", "uid=a+cn=b,dc=x", "ou=\"Berg, Anna\",dc=x",
		"<GUID=b3d4bfbd3c45ee4298e27b4a698a61b8>",
		"<WKGUID=a9d1ca15768811d1aded00c04fd8d5cd,dc=x>" };
	static const char *const bad[] = { "example.org", "dc=example,org", "dc=example,,dc=org",
		"dc=example,dc=org,", ",dc=x", "=x", "%{domain}", "%{local},dc=x", "ou people,dc=x",
		"dc=x,%{base", " " };
	struct buf why;
	buf_init(&why, 1000);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (base_check(str_of(good[i]), &why) != ERR_OK)
			fail_msg("%s: %s", good[i], buf_z(&why));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_reset(&why);
		if (base_check(str_of(bad[i]), &why) != ERR_SYNTAX ||
			strncmp(buf_z(&why), "not a DN", 8) != 0)
			fail_msg("%s: %s", bad[i], buf_z(&why));
	}
	buf_fini(&why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_beside_libldap),
		cmocka_unit_test(test_everybody),
		cmocka_unit_test(test_bases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
