/* Templates: variables, modifiers, escaping. Called by the section's files for filters, bases, DNs
 * and homes.
 *
 * Invariant: what a value brings into a filter or DN is alnum or one of a short list of harmless
 * bytes, or "\xx"; so it cannot end the value that it is in. */
#include "auth-ldap/name/template.h"

#include <string.h>

#include "auth-ldap/name/filter.h"
#include "core/base/xalloc.h"

enum { VALUE_MAX_BYTES = 8192, MODIFIERS_MAX = 8 };

/* ---- escaping ---- */

static void
escape_byte(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	buf_addc(out, '\\');
	buf_addc(out, hex[c >> 4]);
	buf_addc(out, hex[c & 15]);
}

static void
escape(struct buf *out, struct str value, const char *plain)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if (ascii_is_alnum(c) || ascii_is_among(c, plain))
			buf_addc(out, (char)c);
		else
			escape_byte(out, c);
	}
}

void
escape_filter(struct buf *out, struct str value)
{
	escape(out, value, "@.-_+=,:/' ");
}

void
escape_dn(struct buf *out, struct str value)
{
	escape(out, value, "@.-_");
}

/* ---- parts of a DN ---- */

/* One attribute value at the start of dn, unescaped; the rest begins with "," ";" "+" or is
 * empty. */
static enum err
dn_take_value(struct buf *out, struct str *dn)
{
	size_t keep = out->n; /* blanks at the end count only when they were escaped */
	struct str s = *dn;
	while (s.n > 0 && s.p[0] == ' ')
		s = str_from(s, 1);
	bool quoted = s.n > 0 && s.p[0] == '"';
	if (quoted)
		s = str_from(s, 1);
	while (s.n > 0 && (quoted ? s.p[0] != '"' : memchr(",;+", s.p[0], 3) == NULL)) {
		bool escaped = s.p[0] == '\\';
		if (escaped) {
			int high = s.n > 2 ? ascii_hex_value((unsigned char)s.p[1]) : -1;
			int low = s.n > 2 ? ascii_hex_value((unsigned char)s.p[2]) : -1;
			if (s.n < 2)
				return ERR_SYNTAX;
			bool pair = high >= 0 && low >= 0;
			buf_addc(out, pair ? (char)(high * 16 + low) : s.p[1]);
			s = str_from(s, pair ? 3 : 2);
		} else {
			buf_addc(out, s.p[0]);
			s = str_from(s, 1);
		}
		if (escaped || quoted || buf_str(out).p[out->n - 1] != ' ')
			keep = out->n;
	}
	if (quoted) {
		if (s.n == 0)
			return ERR_SYNTAX;
		s = str_from(s, 1);
		while (s.n > 0 && s.p[0] == ' ')
			s = str_from(s, 1);
		if (s.n > 0 && memchr(",;+", s.p[0], 3) == NULL)
			return ERR_SYNTAX;
	}
	buf_truncate(out, keep);
	*dn = s;
	return buf_check(out);
}

enum err
dn_value(struct buf *out, struct str dn, struct str type)
{
	size_t start = out->n;
	while (dn.n > 0) {
		struct str key;
		if (!str_cut(dn, '=', &key, &dn))
			return ERR_SYNTAX;
		key = str_trim(key);
		enum err e = dn_take_value(out, &dn);
		if (e != ERR_OK || str_ieq(key, type))
			return e;
		buf_truncate(out, start);
		if (dn.n > 0)
			dn = str_from(dn, 1);
	}
	return ERR_NOTFOUND;
}

/* ---- what stands between %{ and } ---- */

struct reference {
	struct str key;
	struct str modifiers[MODIFIERS_MAX];
	size_t modifiers_count;
};

/* The next piece of t: literal text in text_out, and then, when has_out, a reference. */
static enum err
next_piece(struct str *t, struct str *text_out, bool *has_out, struct reference *out)
{
	size_t at = str_chr(*t, '%');
	*text_out = str_sub(*t, 0, at);
	*has_out = false;
	*t = str_from(*t, at);
	if (t->n == 0)
		return ERR_OK;
	if (str_starts(*t, STR("%%"))) {
		text_out->n++; /* one of the two percent signs */
		*t = str_from(*t, 2);
		return ERR_OK;
	}
	size_t end = str_chr(*t, '}');
	if (!str_starts(*t, STR("%{")) || end == t->n)
		return ERR_SYNTAX;
	struct str inner = str_sub(*t, 2, end - 2), rest;
	*t = str_from(*t, end + 1);
	*has_out = true;
	out->modifiers_count = 0;
	bool more = str_cut(inner, '|', &out->key, &rest);
	while (more) {
		if (out->modifiers_count == MODIFIERS_MAX)
			return ERR_SYNTAX;
		more = str_cut(rest, '|', &out->modifiers[out->modifiers_count++], &rest);
	}
	return ERR_OK;
}

static const struct {
	const char *key;
	size_t offset;
	bool of_name;
} variables[] = {
	{ "user", offsetof(struct name, user), true },
	{ "local", offsetof(struct name, local), true },
	{ "domain", offsetof(struct name, domain), true },
	{ "address", offsetof(struct name, address), true },
	{ "netbios", offsetof(struct name, netbios), true },
	{ "service", offsetof(struct template_vars, service), false },
	{ "remote_ip", offsetof(struct template_vars, remote_ip), false },
	{ "local_ip", offsetof(struct template_vars, local_ip), false },
	{ "home", offsetof(struct template_vars, home), false },
	{ "dn", offsetof(struct template_vars, dn), false },
	{ "other", offsetof(struct template_vars, other), false },
	{ "certificate", offsetof(struct template_vars, certificate), false },
	{ "base", offsetof(struct template_vars, base), false },
};
static const struct {
	const char *key, *types[3];
} certificate_parts[] = {
	{ "certificate_cn", { "cn", "2.5.4.3" } },
	{ "certificate_uid", { "uid", "0.9.2342.19200300.100.1.1" } },
	{ "certificate_mail", { "emailAddress", "mail", "1.2.840.113549.1.9.1" } },
};

static bool
known(struct str key, const char *const *more)
{
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		if (str_eq(key, str_of(variables[i].key)))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(certificate_parts); i++)
		if (str_eq(key, str_of(certificate_parts[i].key)))
			return true;
	for (; more != NULL && *more != NULL; more++)
		if (str_eq(key, str_of(*more)))
			return true;
	return false;
}

static enum err
certificate_part(struct buf *out, const char *const types[3], struct str subject)
{
	for (size_t i = 0; i < 3 && types[i] != NULL; i++) {
		enum err e = dn_value(out, subject, str_of(types[i]));
		if (e != ERR_NOTFOUND)
			return e == ERR_SYNTAX ? ERR_DENIED : e;
	}
	return ERR_OK;
}

/* The bytes of a variable, appended to out. */
static enum err
variable(struct buf *out, struct str key, const struct template_vars *v)
{
	struct str value = STR_EMPTY;
	for (size_t i = 0; i < v->more_count; i++)
		if (str_eq(key, str_of(v->more[i].key))) {
			buf_add(out, v->more[i].value);
			return ERR_OK;
		}
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		if (!str_eq(key, str_of(variables[i].key)))
			continue;
		const char *from = variables[i].of_name ? (const char *)v->name : (const char *)v;
		if (from != NULL)
			memcpy(&value, from + variables[i].offset, sizeof value);
		buf_add(out, value);
		return ERR_OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(certificate_parts); i++)
		if (str_eq(key, str_of(certificate_parts[i].key)))
			return certificate_part(out, certificate_parts[i].types, v->certificate);
	return ERR_SYNTAX;
}

/* ---- modifiers ---- */

static void
mod_case(struct buf *b, int (*fn)(int))
{
	for (size_t i = b->head; i < b->head + b->n; i++) /* mem is NULL when there is none */
		b->mem[i] = (char)fn((unsigned char)b->mem[i]);
}

static void
mod_first(struct buf *b, uint32_t n)
{
	struct str s = buf_str(b);
	bool utf8 = str_is_utf8(s);
	size_t i = 0;
	for (; i < s.n; i++) {
		bool begins = !utf8 || ((unsigned char)s.p[i] & 0xc0) != 0x80;
		if (begins && n-- == 0)
			break;
	}
	buf_truncate(b, i);
}

/* "example.org" to "dc=example,dc=org"; every label is escaped as a value of its own. */
static enum err
mod_dc(struct buf *b)
{
	struct buf out;
	struct str label, rest = buf_str(b);
	enum err e = ERR_OK;
	buf_init(&out, VALUE_MAX_BYTES);
	for (bool more = rest.n > 0; more;) {
		more = str_cut(rest, '.', &label, &rest);
		if (label.n == 0)
			e = ERR_DENIED;
		buf_addz(&out, out.n > 0 ? ",dc=" : "dc=");
		escape_dn(&out, label);
	}
	if (e == ERR_OK)
		e = buf_check(&out);
	buf_truncate(b, 0);
	buf_add(b, buf_str(&out));
	buf_fini(&out);
	return e == ERR_OK ? buf_check(b) : e;
}

/* m applied to the value in b; b NULL: only whether m is one. is_dn: b is a DN now. */
static enum err
modify(struct buf *b, struct str m, bool *is_dn)
{
	struct str word, argument;
	uint32_t n = 0;
	bool has_argument = str_cut(m, ':', &word, &argument);
	if (str_eq(word, STR("first"))) {
		if (!has_argument || str_to_u32(argument, 1000, &n) != ERR_OK || n == 0)
			return ERR_SYNTAX;
		if (b != NULL)
			mod_first(b, n);
	} else if (str_eq(word, STR("default"))) {
		if (b != NULL && b->n == 0)
			buf_add(b, argument);
		return has_argument ? ERR_OK : ERR_SYNTAX;
	} else if (has_argument) {
		return ERR_SYNTAX;
	} else if (str_eq(word, STR("dc"))) {
		*is_dn = true;
		return b != NULL ? mod_dc(b) : ERR_OK;
	} else if (str_eq(word, STR("upper")) || str_eq(word, STR("lower"))) {
		if (b != NULL)
			mod_case(b, word.p[0] == 'u' ? ascii_upper : ascii_lower);
	} else {
		return ERR_SYNTAX;
	}
	return ERR_OK;
}

/* ---- places ---- */

static bool
has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

/* is_dn: value is a DN already, escaped as such. */
static enum err
add_value(struct buf *out, struct str value, bool is_dn, enum template_use use)
{
	switch (use) {
	case TEMPLATE_FILTER:
		escape_filter(out, value);
		return ERR_OK;
	case TEMPLATE_DN:
		if (value.n == 0)
			return ERR_DENIED;
		if (is_dn)
			buf_add(out, value);
		else
			escape_dn(out, value);
		return ERR_OK;
	case TEMPLATE_ALL:
		break;
	case TEMPLATE_PATH:
		if (value.n == 0 || value.p[0] == '.' || str_chr(value, '/') < value.n ||
			str_has_nul(value))
			return ERR_DENIED;
		buf_add(out, value);
		return ERR_OK;
	case TEMPLATE_TEXT:
		if (has_control(value))
			return ERR_DENIED;
		buf_add(out, value);
		return ERR_OK;
	}
	return ERR_BUG;
}

static enum err
add_reference(struct buf *out, const struct reference *ref, const struct template_vars *v,
	enum template_use use)
{
	struct buf value;
	bool is_dn = str_eq(ref->key, STR("base"));
	buf_init(&value, VALUE_MAX_BYTES);
	enum err e = variable(&value, ref->key, v);
	for (size_t i = 0; e == ERR_OK && i < ref->modifiers_count; i++)
		e = modify(&value, ref->modifiers[i], &is_dn);
	if (e == ERR_OK)
		e = buf_check(&value);
	if (e == ERR_OK)
		e = add_value(out, buf_str(&value), is_dn, use);
	buf_fini(&value);
	return e;
}

enum err
template_expand_vars(
	struct buf *out, struct str t, const struct template_vars *v, enum template_use use)
{
	struct reference ref;
	struct str text;
	bool has;
	if (use == TEMPLATE_ALL) {
		filter_for_all(out, t);
		return buf_check(out);
	}
	while (t.n > 0) {
		enum err e = next_piece(&t, &text, &has, &ref);
		if (e == ERR_OK)
			buf_add(out, text);
		if (e == ERR_OK && has)
			e = add_reference(out, &ref, v, use);
		if (e != ERR_OK)
			return e;
	}
	return buf_check(out);
}

enum err
template_check(struct str t, enum template_use use, const char *const *more, struct buf *err_out)
{
	struct reference ref;
	struct str text;
	bool has;
	while (t.n > 0) {
		if (next_piece(&t, &text, &has, &ref) != ERR_OK) {
			if (err_out != NULL)
				buf_addz(err_out, "a % that begins no %{variable}");
			return ERR_SYNTAX;
		}
		if (!has)
			continue;
		if (!known(ref.key, more)) {
			if (err_out != NULL)
				buf_addf(err_out, "unknown variable %%{%.*s}", STR_FMT(ref.key));
			return ERR_SYNTAX;
		}
		bool is_dn = false, dn_place = use != TEMPLATE_PATH && use != TEMPLATE_TEXT;
		for (size_t i = 0; i < ref.modifiers_count; i++) {
			/* Only a DN's parts may be changed, not their escapes. */
			bool after_dn = is_dn;
			if (modify(NULL, ref.modifiers[i], &is_dn) == ERR_OK && !after_dn &&
				(!is_dn || dn_place))
				continue;
			if (err_out != NULL)
				buf_addf(err_out, "|%.*s does not fit in %%{%.*s}",
					STR_FMT(ref.modifiers[i]), STR_FMT(ref.key));
			return ERR_SYNTAX;
		}
		if (str_eq(ref.key, STR("base")) && ref.modifiers_count > 0) {
			if (err_out != NULL)
				buf_addz(err_out, "%{base} takes no modifiers");
			return ERR_SYNTAX;
		}
	}
	return ERR_OK;
}

static bool
mentions(struct str t, const char *key, const char *but)
{
	struct reference ref;
	struct str text;
	bool has;
	while (t.n > 0) {
		if (next_piece(&t, &text, &has, &ref) != ERR_OK)
			return false;
		if (has && (key == NULL || str_eq(ref.key, str_of(key))) &&
			(but == NULL || !str_eq(ref.key, str_of(but))))
			return true;
	}
	return false;
}

bool
template_uses(struct str t, const char *key)
{
	return mentions(t, key, NULL);
}

bool
template_varies(struct str t)
{
	return mentions(t, NULL, "base");
}

enum err
template_expand(struct buf *out, struct str t, const struct name *n, enum template_use use)
{
	if (n == NULL)
		return template_check(t, use, NULL, NULL);
	return template_expand_vars(out, t, &(struct template_vars){ .name = n }, use);
}
