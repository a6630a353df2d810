/* auth-ldap/name/template.c: variables, modifiers, and that no value escapes its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth-ldap/name/template.h"
#include "core/base/xalloc.h"
#include "tests/unit/ldap_syntax.h"

static const struct str hostile[] = {
	STR("*"),
	STR("(*)"),
	STR(")(uid=*"),
	STR("*)(&"),
	STR("\\"),
	STR("\\2a"),
	STR("a\\"),
	STR("a\0b"),
	STR("\0"),
	STR(","),
	STR("a,ou=admins"),
	STR("a+cn=root"),
	STR("\"a\""),
	STR("\""),
	STR(" "),
	STR(" a"),
	STR("a "),
	STR("  a  "),
	STR("#"),
	STR("#04024869"),
	STR("<>;="),
	STR("a=b"),
	STR("a;b"),
	STR("a\nb"),
	STR("a\r\n"),
	STR("\x7f"),
	STR("\xff"),
	STR("\xc0\xaf"),
	STR("\xc3\xbc"),
	STR("\xe2\x82"),
	STR("%{user}"),
	STR("%"),
	STR("|upper}"),
	STR("/"),
	STR("../x"),
	STR("cn=a,dc=b"),
	STR("&(|!"),
	STR("\xe2\x80\xae"),
};

/* Every variable with the value, wherever it comes from. */
static void
vars_of(struct str value, struct name *n, struct template_vars *v, struct template_var *more)
{
	*n = (struct name){
		.user = value, .local = value, .domain = value, .address = value, .netbios = value
	};
	*more = (struct template_var){ "value", value };
	*v = (struct template_vars){ .name = n,
		.service = value,
		.remote_ip = value,
		.local_ip = value,
		.home = value,
		.dn = value,
		.other = value,
		.certificate = value,
		.more = more,
		.more_count = 1 };
}

static const char *const all_variables[] = { "user", "local", "domain", "address", "netbios",
	"service", "remote_ip", "local_ip", "home", "dn", "other", "certificate", "value" };

static void
expand(struct buf *out, const char *format, const char *variable, const struct template_vars *v,
	enum template_use use, enum err want)
{
	struct buf t;
	const char *const more[] = { "value", NULL };
	buf_init(&t, 1000);
	for (const char *z = format; *z != '\0'; z++)
		if (*z == '@')
			buf_addf(&t, "%%{%s}", variable);
		else
			buf_addc(&t, *z);
	buf_reset(out);
	assert_int_equal(template_check(buf_str(&t), use, more, NULL), ERR_OK);
	assert_int_equal(template_expand_vars(out, buf_str(&t), v, use), want);
	buf_fini(&t);
}

static bool
fits_path(struct str v)
{
	return v.n > 0 && v.p[0] != '.' && str_chr(v, '/') == v.n && !str_has_nul(v);
}

static bool
fits_text(struct str v)
{
	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] < ' ' || v.p[i] == 0x7f)
			return false;
	return true;
}

static void
test_injection(void **state UNUSED)
{
	struct leaves *l = xcalloc(1, sizeof *l);
	struct buf out;
	buf_init(&out, 64 * 1024);
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
		for (size_t k = 0; k < ARRAY_LEN(all_variables); k++) {
			struct str value = hostile[i];
			struct name n;
			struct template_vars v;
			struct template_var more;
			vars_of(value, &n, &v, &more);
			expand(&out, "(&(a=@)(b=x@y))", all_variables[k], &v, TEMPLATE_FILTER,
				ERR_OK);
			assert_true(filter_leaves(buf_str(&out), l));
			assert_int_equal(l->n, 2);
			assert_true(leaf_is(&l->v[0], "a", STR_EMPTY, value, STR_EMPTY));
			assert_true(leaf_is(&l->v[1], "b", STR("x"), value, STR("y")));
			expand(&out, "uid=@,ou=x@,dc=org", all_variables[k], &v, TEMPLATE_DN,
				ERR_OK);
			assert_true(dn_leaves(buf_str(&out), l));
			assert_int_equal(l->n, 3);
			assert_true(leaf_is(&l->v[0], "uid", STR_EMPTY, value, STR_EMPTY));
			assert_true(leaf_is(&l->v[1], "ou", STR("x"), value, STR_EMPTY));
			expand(&out, "a/@/b", all_variables[k], &v, TEMPLATE_PATH,
				fits_path(value) ? ERR_OK : ERR_DENIED);
			expand(&out, "smtp:[@]", all_variables[k], &v, TEMPLATE_TEXT,
				fits_text(value) ? ERR_OK : ERR_DENIED);
			expand(&out, "(&(a=@)(b=x@y))", all_variables[k], &v, TEMPLATE_ALL, ERR_OK);
			assert_true(str_eq(buf_str(&out), STR("(&(a=*)(b=x*y))")));
		}
	buf_fini(&out);
	free(l);
}

/* The same for values that modifiers have changed, and for the parts of a DN. */
static void
test_injection_behind_modifiers(void **state UNUSED)
{
	struct leaves *l = xcalloc(1, sizeof *l);
	struct buf out;
	buf_init(&out, 64 * 1024);
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		struct str value = hostile[i];
		struct template_vars v = { .other = value };
		bool labels = value.n > 0 && value.p[0] != '.' && value.p[value.n - 1] != '.' &&
			      str_find(value, STR("..")) == value.n;
		enum err e = template_expand_vars(&out, STR("ou=x,%{other|dc}"), &v, TEMPLATE_DN);
		assert_int_equal(e, labels ? ERR_OK : ERR_DENIED);
		if (labels) {
			assert_true(dn_leaves(buf_str(&out), l));
			assert_int_equal(l->n, 2);
			assert_true(leaf_is(&l->v[1], "dc", STR_EMPTY, value, STR_EMPTY));
		}
		buf_reset(&out);
		/* a DN made of labels, as one value of a filter */
		e = template_expand_vars(&out, STR("(m=%{other|dc})"), &v, TEMPLATE_FILTER);
		assert_int_equal(e, labels ? ERR_OK : ERR_DENIED);
		if (labels) {
			assert_true(filter_leaves(buf_str(&out), l));
			assert_true(l->n == 1 && l->v[0].stars == 0);
			assert_true(dn_leaves(str_n(l->v[0].value, l->v[0].n), l));
			assert_true(
				l->n == 1 && leaf_is(&l->v[0], "dc", STR_EMPTY, value, STR_EMPTY));
		}
		buf_reset(&out);
		e = template_expand_vars(
			&out, STR("(m=%{other|upper|first:3|lower})"), &v, TEMPLATE_FILTER);
		assert_int_equal(e, ERR_OK);
		assert_true(filter_leaves(buf_str(&out), l) && l->n == 1 && l->v[0].stars == 0);
		buf_reset(&out);
	}
	buf_fini(&out);
	free(l);
}

static void
test_modifiers(void **state UNUSED)
{
	static const struct {
		const char *t;
		enum template_use use;
		enum err check, want;
		const char *out;
	} table[] = {
		{ "(a=%{user|upper})", TEMPLATE_FILTER, ERR_OK, ERR_OK, "(a=ANNA@EXAMPLE.ORG)" },
		{ "%{local}@%{domain|upper}", TEMPLATE_FILTER, ERR_OK, ERR_OK, "anna@EXAMPLE.ORG" },
		{ "%{local|upper|lower}", TEMPLATE_FILTER, ERR_OK, ERR_OK, "anna" },
		{ "%{service|upper}%{service|lower|first:2}", TEMPLATE_TEXT, ERR_OK, ERR_OK, "" },
		{ "ou=x,%{domain|dc}", TEMPLATE_DN, ERR_OK, ERR_OK, "ou=x,dc=example,dc=org" },
		{ "ou=x,%{domain|upper|dc}", TEMPLATE_DN, ERR_OK, ERR_OK,
			"ou=x,dc=EXAMPLE,dc=ORG" },
		{ "(m=%{domain|dc})", TEMPLATE_FILTER, ERR_OK, ERR_OK, "(m=dc=example,dc=org)" },
		{ "%{local|first:1}/%{local}", TEMPLATE_PATH, ERR_OK, ERR_OK, "a/anna" },
		{ "%{local|first:99}", TEMPLATE_PATH, ERR_OK, ERR_OK, "anna" },
		{ "%{other|first:1}", TEMPLATE_TEXT, ERR_OK, ERR_OK, "\xc3\xbc" },
		{ "%{service|default:all}", TEMPLATE_TEXT, ERR_OK, ERR_OK, "all" },
		{ "%{service|default:}", TEMPLATE_TEXT, ERR_OK, ERR_OK, "" },
		{ "%{local|default:x}", TEMPLATE_TEXT, ERR_OK, ERR_OK, "anna" },
		{ "(a=%{service})", TEMPLATE_FILTER, ERR_OK, ERR_OK, "(a=)" },
		{ "a=%{service}", TEMPLATE_DN, ERR_OK, ERR_DENIED, NULL },
		{ "x,%{service|dc}", TEMPLATE_DN, ERR_OK, ERR_DENIED, NULL },
		{ "%{service}", TEMPLATE_PATH, ERR_OK, ERR_DENIED, NULL },
		{ "cn=x,%{base}", TEMPLATE_DN, ERR_OK, ERR_OK, "cn=x,dc=a,dc=b" },
		{ "(m=cn=x,%{base})", TEMPLATE_FILTER, ERR_OK, ERR_OK, "(m=cn=x,dc=a,dc=b)" },
		{ "%{certificate_cn}", TEMPLATE_TEXT, ERR_OK, ERR_OK, "Berg, Anna" },
		{ "%{certificate_mail}", TEMPLATE_TEXT, ERR_OK, ERR_OK, "anna@example.org" },
		{ "%{certificate_uid}", TEMPLATE_TEXT, ERR_OK, ERR_OK, "" },
		{ "100%%", TEMPLATE_TEXT, ERR_OK, ERR_OK, "100%" },
		{ "%%%{local}%%", TEMPLATE_TEXT, ERR_OK, ERR_OK, "%anna%" },
		{ "%{nobody}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user|reverse}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user|first}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user|first:0}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user|first:x}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user|first:1001}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user|upper:1}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user|default}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user|}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{|upper}", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user|lower|lower|lower|lower|lower|lower|lower|lower|lower}", TEMPLATE_FILTER,
			ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "%{user", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
		{ "a%", TEMPLATE_FILTER, ERR_SYNTAX, ERR_SYNTAX, NULL },
	};
	/* refused at the start, though they could be expanded */
	static const struct {
		const char *t;
		enum template_use use;
	} refused[] = {
		{ "%{domain|dc}", TEMPLATE_PATH },
		{ "%{domain|dc}", TEMPLATE_TEXT },
		{ "%{domain|dc|upper}", TEMPLATE_DN },
		{ "%{domain|dc|first:4}", TEMPLATE_DN },
		{ "%{base|upper}", TEMPLATE_DN },
	};
	struct name n;
	struct buf b;
	assert_int_equal(name_parse(STR("Anna@example.org"), STR_EMPTY, &n), ERR_OK);
	const struct template_vars v = { .name = &n,
		.other = STR("\xc3\xbc"
			     "ber"),
		.base = STR("dc=a,dc=b"),
		.certificate = STR("EMAILADDRESS=anna@example.org,CN=Berg\\, Anna,O=X") };
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		buf_init(&b, 1000);
		assert_int_equal(template_check(str_of(table[i].t), table[i].use, NULL, NULL),
			table[i].check);
		assert_int_equal(template_expand_vars(&b, str_of(table[i].t), &v, table[i].use),
			table[i].want);
		if (table[i].want == ERR_OK)
			assert_true(str_eq(buf_str(&b), str_of(table[i].out)));
		buf_fini(&b);
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_int_equal(template_check(str_of(refused[i].t), refused[i].use, NULL, NULL),
			ERR_SYNTAX);
	buf_init(&b, 20);
	assert_int_equal(
		template_expand_vars(&b, STR("(uid=%{user})"), &v, TEMPLATE_FILTER), ERR_LIMIT);
	buf_fini(&b);
}

static void
test_what_is_used(void **state UNUSED)
{
	assert_true(template_uses(STR("(a=%{service|upper})"), "service"));
	assert_false(template_uses(STR("(a=%{service_x})%%{service}"), "service"));
	assert_true(template_varies(STR("ou=x,%{base},%{user}")));
	assert_false(template_varies(STR("ou=x,%{base}")));
	assert_false(template_varies(STR("100%%")));
}

static void
test_dn_values(void **state UNUSED)
{
	static const struct {
		struct str dn;
		const char *type;
		enum err want;
		struct str value;
	} table[] = {
		{ STR("CN=Anna Berg,O=X"), "cn", ERR_OK, STR("Anna Berg") },
		{ STR("O=X,CN=Anna Berg"), "cn", ERR_OK, STR("Anna Berg") },
		{ STR("o=X + cn = Anna  ,c=SE"), "CN", ERR_OK, STR("Anna") },
		{ STR("cn=a\\,b\\2cc\\ "), "cn", ERR_OK, STR("a,b,c ") },
		{ STR("cn=\"a,b\",o=x"), "o", ERR_OK, STR("x") },
		{ STR("cn=\"a,\\\"b\""), "cn", ERR_OK, STR("a,\"b") },
		{ STR("cn=\\c3\\bc"), "cn", ERR_OK, STR("\xc3\xbc") },
		{ STR("cn=a\\00b"), "cn", ERR_OK, STR("a\0b") },
		{ STR("cn=,o=x"), "cn", ERR_OK, STR("") },
		{ STR("cn=one,cn=two"), "cn", ERR_OK, STR("one") },
		{ STR("2.5.4.3=a"), "2.5.4.3", ERR_OK, STR("a") },
		{ STR("xcn=a"), "cn", ERR_NOTFOUND, STR("") },
		{ STR(""), "cn", ERR_NOTFOUND, STR("") },
		{ STR("cn"), "cn", ERR_SYNTAX, STR("") },
		{ STR("cn=a\\"), "cn", ERR_SYNTAX, STR("") },
		{ STR("cn=\"a"), "cn", ERR_SYNTAX, STR("") },
		{ STR("cn=\"a\"b"), "cn", ERR_SYNTAX, STR("") },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;
		buf_init(&b, 1000);
		assert_int_equal(dn_value(&b, table[i].dn, str_of(table[i].type)), table[i].want);
		if (table[i].want == ERR_OK)
			assert_true(str_eq(buf_str(&b), table[i].value));
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_injection),
		cmocka_unit_test(test_injection_behind_modifiers),
		cmocka_unit_test(test_modifiers),
		cmocka_unit_test(test_what_is_used),
		cmocka_unit_test(test_dn_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
