/* Fuzzes templates: the input is a template, an LF, and a value that every variable has. What comes
 * out of a fixed filter or DN is one value of exactly these bytes; any template that was accepted
 * expands to a filter without a star or parenthesis more than it had itself; and what passes as the
 * form of a filter is one. */
#include <stdint.h>

#include "auth-ldap/name/filter.h"
#include "auth-ldap/name/template.h"
#include "core/base/xalloc.h"
#include "tests/unit/ldap_syntax.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static size_t
count(struct str s, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == c;
	return n;
}

static void
check_fixed(const struct template_vars *v, struct str value, struct buf *out, struct leaves *l)
{
	buf_reset(out);
	CHECK(template_expand_vars(out, STR("(|(a=%{user})(b=-%{other}-))"), v, TEMPLATE_FILTER) ==
		ERR_OK);
	CHECK(filter_leaves(buf_str(out), l) && l->n == 2);
	CHECK(leaf_is(&l->v[0], "a", STR_EMPTY, value, STR_EMPTY));
	CHECK(leaf_is(&l->v[1], "b", STR("-"), value, STR("-")));
	buf_reset(out);
	enum err e =
		template_expand_vars(out, STR("uid=%{user},ou=p%{other},dc=x"), v, TEMPLATE_DN);
	CHECK((e == ERR_OK) == (value.n > 0));
	if (e == ERR_OK) {
		CHECK(dn_leaves(buf_str(out), l) && l->n == 3);
		CHECK(leaf_is(&l->v[0], "uid", STR_EMPTY, value, STR_EMPTY));
		CHECK(leaf_is(&l->v[1], "ou", STR("p"), value, STR_EMPTY));
		/* and our own reader of DNs agrees */
		struct buf again;
		buf_init(&again, 64 * 1024);
		CHECK(dn_value(&again, buf_str(out), STR("uid")) == ERR_OK);
		CHECK(str_eq(buf_str(&again), value));
		buf_fini(&again);
	}
}

static void
check_template(struct str t, const struct template_vars *v, struct buf *out)
{
	static const enum template_use uses[] = { TEMPLATE_FILTER, TEMPLATE_DN, TEMPLATE_PATH,
		TEMPLATE_TEXT, TEMPLATE_ALL };
	for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
		enum err checked = template_check(t, uses[i], NULL, NULL);
		buf_reset(out);
		enum err e = template_expand_vars(out, t, v, uses[i]);
		CHECK(checked != ERR_OK || e == ERR_OK || e == ERR_DENIED || e == ERR_LIMIT);
		if (checked != ERR_OK || e != ERR_OK || uses[i] != TEMPLATE_FILTER)
			continue;
		static const char special[] = "()*";
		for (size_t k = 0; k < 3; k++)
			CHECK(count(buf_str(out), special[k]) <= count(t, special[k]));
		CHECK(str_has_nul(t) || !str_has_nul(buf_str(out)));
	}
}

/* What an administrator may write: a filter of this form is one for libldap, too. */
static void
check_form(struct str t, struct buf *out)
{
	buf_reset(out);
	if (template_check(t, TEMPLATE_DN, NULL, NULL) == ERR_OK)
		(void)!base_check(t, out);
	if (template_check(t, TEMPLATE_FILTER, NULL, NULL) != ERR_OK ||
		filter_check(t, out) != ERR_OK)
		return;
	CHECK(str_chr(t, '%') < t.n || libldap_takes(t));
	/* and so is what stands for everybody */
	const struct template_vars none = { 0 };
	buf_reset(out);
	CHECK(template_expand_vars(out, t, &none, TEMPLATE_ALL) == ERR_OK);
	CHECK(libldap_takes(buf_str(out)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str t, value, all = str_n(data, size);
	struct buf out;
	if (size > 2048)
		return 0;
	if (!str_cut(all, '\n', &t, &value))
		value = all;
	const struct name n = {
		.user = value, .local = value, .domain = value, .address = value, .netbios = value
	};
	const struct template_vars v = { .name = &n,
		.service = value,
		.remote_ip = value,
		.local_ip = value,
		.home = value,
		.dn = value,
		.other = value,
		.certificate = value,
		.base = STR("dc=x") };
	struct leaves *l = xcalloc(1, sizeof *l);
	buf_init(&out, 64 * 1024);
	check_fixed(&v, value, &out, l);
	check_template(t, &v, &out);
	check_form(t, &out);
	buf_fini(&out);
	free(l);
	return 0;
}
