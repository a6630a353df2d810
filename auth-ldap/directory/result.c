/* Result templates: attribute values placed into a text. Used by members.c and transport.c; what
 * comes out is checked there for the place where it goes. Pure functions over bytes. */
#include "auth-ldap/directory/result.h"

#include "core/base/xalloc.h"

enum { RESULT_MAX = 4096 };

enum modifier { MOD_NONE, MOD_LOCAL, MOD_DOMAIN, MOD_LOWER, MOD_UPPER };

/* A piece of a template: text, or a variable. */
struct piece {
	struct str text;
	bool variable;
	enum modifier modifier;
};

static bool
modifier_parse(struct str s, enum modifier *out)
{
	static const char *const names[] = { [MOD_LOCAL] = "local",
		[MOD_DOMAIN] = "domain",
		[MOD_LOWER] = "lower",
		[MOD_UPPER] = "upper" };
	for (size_t i = MOD_LOCAL; i < ARRAY_LEN(names); i++)
		if (str_eq(s, str_of(names[i]))) {
			*out = (enum modifier)i;
			return true;
		}
	return false;
}

static bool
attribute_name_ok(struct str s)
{
	if (s.n == 0 || s.n > 100 || !ascii_is_alnum(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != ';' && s.p[i] != '.')
			return false;
	return true;
}

/* Take the first piece off t. ERR_EOF: nothing is left. */
static enum err
piece_next(struct str *t, struct piece *out)
{
	*out = (struct piece){ .modifier = MOD_NONE };
	if (t->n == 0)
		return ERR_EOF;
	size_t at = str_chr(*t, '%');
	if (at > 0) {
		out->text = str_sub(*t, 0, at);
		*t = str_from(*t, at);
		return ERR_OK;
	}
	if (str_starts(*t, STR("%%"))) {
		out->text = STR("%");
		*t = str_from(*t, 2);
		return ERR_OK;
	}
	size_t end = str_chr(*t, '}');
	if (!str_starts(*t, STR("%{")) || end == t->n)
		return ERR_SYNTAX;
	struct str modifier;
	out->variable = true;
	if (str_cut(str_sub(*t, 2, end - 2), '|', &out->text, &modifier) &&
		!modifier_parse(modifier, &out->modifier))
		return ERR_SYNTAX;
	*t = str_from(*t, end + 1);
	return attribute_name_ok(out->text) ? ERR_OK : ERR_SYNTAX;
}

/* A variable of the address that was asked about. key NULL: only whether it is one. */
static bool
key_variable(struct str name, const struct name *key, struct str *out)
{
	if (str_eq(name, STR("user")))
		*out = key != NULL ? key->user : STR_EMPTY;
	else if (str_eq(name, STR("local")))
		*out = key != NULL ? key->local : STR_EMPTY;
	else if (str_eq(name, STR("domain")))
		*out = key != NULL ? key->domain : STR_EMPTY;
	else if (str_eq(name, STR("address")))
		*out = key != NULL ? key->address : STR_EMPTY;
	else
		return false;
	return true;
}

enum err
result_check(struct str t)
{
	struct piece p;
	enum err e;
	if (t.n == 0)
		return ERR_SYNTAX;
	while ((e = piece_next(&t, &p)) == ERR_OK)
		continue;
	return e == ERR_EOF ? ERR_OK : e;
}

bool
result_attribute(struct str t, size_t i, struct str *out)
{
	struct piece p;
	struct str ignored;
	while (piece_next(&t, &p) == ERR_OK)
		if (p.variable && !key_variable(p.text, NULL, &ignored) && i-- == 0) {
			*out = p.text;
			return true;
		}
	return false;
}

/* False: the half is empty. */
static bool
add_modified(struct buf *out, struct str value, enum modifier m)
{
	struct str local, domain;
	bool has_domain = str_cut(value, '@', &local, &domain);
	switch (m) {
	case MOD_NONE:
		break;
	case MOD_LOCAL:
		value = local;
		break;
	case MOD_DOMAIN:
		value = has_domain ? domain : STR_EMPTY;
		break;
	case MOD_LOWER:
	case MOD_UPPER:
		for (size_t i = 0; i < value.n; i++)
			buf_addc(out, (char)(m == MOD_LOWER ? ascii_lower(value.p[i])
							    : ascii_upper(value.p[i])));
		return value.n > 0;
	}
	buf_add(out, value);
	return value.n > 0;
}

/* t with the v-th value of its first attribute. */
static bool
expand_one(
	struct buf *out, struct str t, const struct ldap_entry *e, const struct name *key, size_t v)
{
	struct piece p;
	struct str first = STR_EMPTY;
	while (piece_next(&t, &p) == ERR_OK) {
		struct str value;
		if (!p.variable) {
			buf_add(out, p.text);
			continue;
		}
		if (!key_variable(p.text, key, &value)) {
			const struct ldap_attr *a = ldap_entry_attr(e, p.text);
			if (first.n == 0)
				first = p.text;
			size_t at = str_ieq(first, p.text) ? v : 0;
			if (a == NULL || at >= a->count)
				return false;
			value = a->values[at];
		}
		if (!add_modified(out, value, p.modifier))
			return false;
	}
	return buf_check(out) == ERR_OK && !str_has_nul(buf_str(out));
}

size_t
result_expand(
	struct str t, const struct ldap_entry *e, const struct name *key, result_fn fn, void *arg)
{
	struct str first;
	size_t n = 1, made = 0;
	if (result_attribute(t, 0, &first)) {
		const struct ldap_attr *a = ldap_entry_attr(e, first);
		n = a != NULL ? a->count : 0;
	}
	struct buf b;
	buf_init(&b, RESULT_MAX);
	for (size_t v = 0; v < n; v++) {
		buf_reset(&b);
		if (!expand_one(&b, t, e, key, v))
			continue;
		made++;
		fn(arg, buf_str(&b));
	}
	buf_fini(&b);
	return made;
}

bool
address_in_value(struct str raw, struct str *out)
{
	size_t colon = str_chr(raw, ':');
	*out = raw;
	if (colon == raw.n || colon > str_chr(raw, '@'))
		return raw.n > 0;
	struct str prefix = str_sub(raw, 0, colon);
	*out = str_from(raw, colon + 1);
	return out->n > 0 && (str_ieq(prefix, STR("smtp")) || str_ieq(prefix, STR("mailto")));
}
