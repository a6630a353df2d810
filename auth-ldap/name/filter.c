/* The form of the filters and bases that an administrator writes; see filter.h. directory/section.c
 * asks at start and for `postroom check`, so that a slip of the pen is found there and not by the
 * first login, as a failure of the directory.
 *
 * Invariant: what passes is encoded by libldap without an error, whatever the variables in its
 * values hold. */
#include "auth-ldap/name/filter.h"

enum { DEPTH_MAX = 64, SHOWN_MAX = 60 };

/* How much of t, which is not empty, belongs together: a variable, an escape ("\28", "%%"), a
 * byte. */
static size_t
unit_length(struct str t)
{
	if (str_starts(t, STR("%{")))
		return str_chr(t, '}') + 1;
	if (str_starts(t, STR("%%")))
		return 2;
	if (t.p[0] != '\\' || t.n < 2)
		return 1;
	bool pair = t.n > 2 && ascii_hex_value((unsigned char)t.p[1]) >= 0 &&
		    ascii_hex_value((unsigned char)t.p[2]) >= 0;
	return pair ? 3 : 2;
}

/* Cut at the first sep that stands in no variable ("%{service|first:4}"); as str_cut. */
static bool
cut(struct str t, char sep, struct str *left, struct str *right)
{
	size_t at = 0;
	while (at < t.n && t.p[at] != sep)
		at += unit_length(str_from(t, at));
	*left = str_sub(t, 0, at);
	*right = str_from(t, at + 1);
	return at < t.n;
}

/* What libldap skips between the parts of a filter. */
static struct str
skip_blanks(struct str t)
{
	while (t.n > 0 && ascii_is_among(t.p[0], " \t\n"))
		t = str_from(t, 1);
	return t;
}

static enum err
wrong(struct buf *err_out, const char *what, const char *why, struct str where)
{
	buf_addf(err_out, "%s: %s%s%.*s", what, why, where.n > 0 ? ": " : "",
		STR_FMT(str_sub(where, 0, SHOWN_MAX)));
	return ERR_SYNTAX;
}

static enum err
no_filter(struct buf *err_out, const char *why, struct str where)
{
	return wrong(err_out, "not a filter", why, where);
}

/* Letters, digits and hyphens, or variables. */
static bool
is_keystring(struct str t)
{
	bool first = true;
	while (t.n > 0) {
		size_t n = unit_length(t);
		int c = (unsigned char)t.p[0];
		if (!str_starts(t, STR("%{")) && !ascii_is_alnum(c) && (first || c != '-'))
			return false;
		first = false;
		t = str_from(t, n);
	}
	return !first;
}

/* "2.5.4.3" */
static bool
is_oid(struct str t)
{
	struct str number;
	bool more = true;
	while (more) {
		more = str_cut(t, '.', &number, &t);
		for (size_t i = 0; i < number.n; i++)
			if (!ascii_is_digit((unsigned char)number.p[i]))
				return false;
		if (number.n == 0)
			return false;
	}
	return true;
}

/* "mail", "2.5.4.3", "%{service}Enabled" */
static bool
is_name(struct str t)
{
	return is_oid(t) || (is_keystring(t) && !ascii_is_digit((unsigned char)t.p[0]));
}

/* "cn;lang-de": a name, and options. */
static bool
is_attribute(struct str t)
{
	struct str name, option;
	bool more = cut(t, ';', &name, &t);
	if (!is_name(name))
		return false;
	while (more) {
		more = cut(t, ';', &option, &t);
		if (!is_keystring(option))
			return false;
	}
	return true;
}

/* "memberOf:1.2.840.113556.1.4.1941:", "cn:dn:", ":caseExactMatch:": what stands before "=". */
static bool
is_matching_rule(struct str t)
{
	struct str attribute, rule;
	(void)cut(str_sub(t, 0, t.n - 1), ':', &attribute, &rule);
	if (str_ieq(rule, STR("dn")))
		rule = STR_EMPTY;
	else if (str_istarts(rule, STR("dn:")))
		rule = str_from(rule, 3);
	return (attribute.n > 0 || rule.n > 0) && (attribute.n == 0 || is_attribute(attribute)) &&
	       (rule.n == 0 || is_name(rule));
}

/* A backslash in a value begins "\xx", or stands before one of "()*\". star: "*" stands for
 * anything. */
static bool
is_value(struct str t, bool star)
{
	while (t.n > 0) {
		size_t n = unit_length(t);
		bool escape = t.p[0] == '\\';
		if (t.p[0] == '\0' || (t.p[0] == '*' && (!star || str_starts(t, STR("**")))) ||
			(escape && n == 1) ||
			(escape && n == 2 && !ascii_is_among(t.p[1], "()*\\")))
			return false;
		t = str_from(t, n);
	}
	return true;
}

/* t: what stands between the parentheses: "mail=%{address}". */
static enum err
check_item(struct str t, struct buf *err_out)
{
	size_t at = 0;
	while (at < t.n && t.p[at] != '=')
		at += unit_length(str_from(t, at));
	if (at >= t.n)
		return no_filter(err_out, "no = in", t);
	struct str left = str_sub(t, 0, at);
	bool rule = left.n > 0 && left.p[left.n - 1] == ':';
	bool order = left.n > 0 && ascii_is_among(left.p[left.n - 1], "<>~");
	if (order)
		left.n--;
	if (rule ? !is_matching_rule(left) : !is_attribute(left))
		return no_filter(err_out, "no name of an attribute before = in", t);
	if (!is_value(str_from(t, at + 1), !rule && !order))
		return no_filter(err_out, "a \\ that begins no \\xx, or a * out of place, in", t);
	return ERR_OK;
}

struct level {
	char operator; /* '&', '|', '!'; '\0': the whole */
	unsigned parts;
};

/* An item at the begin of t, which stands behind "(", up to its ")", which is taken too. */
static enum err
take_item(struct str *t, struct buf *err_out)
{
	size_t n = 0;
	while (n < t->n && t->p[n] != ')' && t->p[n] != '(')
		n += unit_length(str_from(*t, n));
	struct str item = str_sub(*t, 0, n);
	if (n >= t->n)
		return no_filter(err_out, "its parentheses do not fit, no ) behind", item);
	if (t->p[n] == '(')
		return no_filter(
			err_out, "a ( inside of a value; write \\28, or close with ) behind", item);
	*t = str_from(*t, n + 1);
	return check_item(item, err_out);
}

static enum err
open_level(struct level *level, size_t *depth, struct str *t, struct buf *err_out)
{
	struct level *above = &level[*depth];
	if (++above->parts > 1 && (*depth == 0 || above->operator== '!'))
		return no_filter(err_out,
			*depth == 0 ? "more than one; put (&…) or (|…) around them"
				    : "(!…) is about one part only",
			*t);
	*t = skip_blanks(str_from(*t, 1));
	if (t->n == 0 || !ascii_is_among(t->p[0], "&|!"))
		return take_item(t, err_out);
	if (*depth + 1 >= DEPTH_MAX)
		return no_filter(err_out, "too deep", STR_EMPTY);
	level[++*depth] = (struct level){ .operator= t->p[0] };
	*t = str_from(*t, 1);
	return ERR_OK;
}

/* What stands where neither a part begins nor the whole ends. */
static enum err
misplaced(const struct level *level, size_t depth, struct str t, struct buf *err_out)
{
	if (depth == 0)
		return no_filter(err_out, "its parentheses do not fit, outside of them stands", t);
	if (level->operator== '!' && level->parts> 0)
		return no_filter(err_out, "a blank behind the part of (!…), in front of", t);
	return no_filter(err_out, "each part of (&…), (|…), (!…) wants ( ) of its own, not so", t);
}

enum err
filter_check(struct str t, struct buf *err_out)
{
	struct level level[DEPTH_MAX] = { { 0 } };
	size_t depth = 0;
	while (t.n > 0) {
		enum err e = ERR_OK;
		const struct level *in = &level[depth];
		struct str next =
			depth > 0 && (in->operator!= '!' || in->parts == 0) ? skip_blanks(t) : t;
		if (next.n < t.n) {
			t = next;
		} else if (t.p[0] == '(') {
			e = open_level(level, &depth, &t, err_out);
		} else if (t.p[0] == ')' && depth > 0) {
			/* without parts: always true, and never (RFC 4526) */
			if (in->parts == 0 && in->operator== '!')
				e = no_filter(err_out, "nothing behind the ! in front of", t);
			depth--;
			t = str_from(t, 1);
		} else {
			e = misplaced(in, depth, t, err_out);
		}
		if (e != ERR_OK)
			return e;
	}
	return depth == 0
		       ? ERR_OK
		       : no_filter(err_out, "its parentheses do not fit, ) is missing at the end",
				 STR_EMPTY);
}

/* ---- a filter for everybody ---- */

static bool
has_variable(struct str t)
{
	while (t.n > 0 && !str_starts(t, STR("%{")))
		t = str_from(t, unit_length(t));
	return t.n > 0;
}

/* A value with "*" for its variables, never two in a row, which no server takes. */
static void
add_value_for_all(struct buf *out, struct str t)
{
	bool star = false;
	while (t.n > 0) {
		size_t n = unit_length(t);
		bool any = t.p[0] == '*' || str_starts(t, STR("%{"));
		if (any && !star)
			buf_addc(out, '*');
		else if (!any)
			buf_add(out, str_sub(t, 0, str_starts(t, STR("%%")) ? 1 : n));
		star = any;
		t = str_from(t, n);
	}
}

static void
add_item_for_all(struct buf *out, struct str item)
{
	size_t at = 0;
	while (at < item.n && item.p[at] != '=')
		at += unit_length(str_from(item, at));
	struct str left = str_sub(item, 0, at), value = str_from(item, at + 1);
	size_t name = 0;
	while (name < left.n && !ascii_is_among(left.p[name], ":<>~"))
		name += unit_length(str_from(left, name));
	bool odd = name < left.n && has_variable(value);
	if (has_variable(left) || (odd && name == 0)) {
		buf_addz(out, "objectClass=*");
	} else if (odd) {
		buf_add(out, str_sub(left, 0, name));
		buf_addz(out, "=*");
	} else {
		buf_add(out, left);
		buf_addc(out, '=');
		add_value_for_all(out, value);
	}
}

void
filter_for_all(struct buf *out, struct str t)
{
	while (t.n > 0) {
		bool open = t.p[0] == '(';
		size_t n = 0;
		buf_addc(out, t.p[0]);
		t = str_from(t, 1);
		if (!open)
			continue;
		t = skip_blanks(t);
		if (t.n == 0 || ascii_is_among(t.p[0], "&|!"))
			continue;
		while (n < t.n && t.p[n] != ')')
			n += unit_length(str_from(t, n));
		add_item_for_all(out, str_sub(t, 0, n));
		t = str_from(t, n);
	}
}

/* ---- bases ---- */

/* A part that is nothing but a variable which makes a DN. */
static bool
is_dn_variable(struct str part)
{
	struct str inner;
	if (!str_starts(part, STR("%{")) || unit_length(part) != part.n)
		return false;
	inner = str_sub(part, 2, part.n - 3);
	return str_eq(inner, STR("base")) || str_ends(inner, STR("|dc"));
}

/* Up to the next comma that is neither escaped nor in quotes, which some servers take (RFC 1779).
 */
static size_t
part_length(struct str t)
{
	bool quoted = false;
	size_t n = 0;
	while (n < t.n && (quoted || t.p[n] != ',')) {
		quoted ^= t.p[n] == '"';
		n += unit_length(str_from(t, n));
	}
	return n;
}

enum err
base_check(struct str t, struct buf *err_out)
{
	/* Active Directory's names of an entry that may be moved: "<GUID=…>", "<WKGUID=…,dc=x>" */
	if (str_starts(t, STR("<")) && str_ends(t, STR(">")))
		return ERR_OK;
	while (t.n > 0) {
		size_t n = part_length(t);
		struct str part = str_trim(str_sub(t, 0, n)), type, value;
		bool pair = str_cut(part, '=', &type, &value) && is_attribute(str_trim(type));
		if (!pair && !is_dn_variable(part))
			return wrong(err_out, "not a DN (such as dc=example,dc=org)",
				"neither type=value nor a variable that makes a DN", part);
		if (n + 1 == t.n)
			return wrong(err_out, "not a DN", "a comma at its end", STR_EMPTY);
		t = str_from(t, n + 1);
	}
	return ERR_OK;
}
