/* Reads and writes LDAP URLs (RFC 4516). Dynamic groups name their members so, and servers say
 * "ask elsewhere" so; both are bytes that somebody else wrote. Pure functions. */
#include "auth-ldap/ldap/url.h"

enum { URL_MAX = 16 * 1024, ATTRS_MAX = 100, FILTER_DEPTH_MAX = 32 };

static int
hex_value(int c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undo %xx. */
static enum err
decode(struct str s, struct arena *a, struct str *out)
{
	char *p = arena_alloc(a, s.n + 1);
	size_t n = 0;
	if (p == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			p[n++] = s.p[i];
			continue;
		}
		int high = i + 1 < s.n ? hex_value((unsigned char)s.p[i + 1]) : -1;
		int low = i + 2 < s.n ? hex_value((unsigned char)s.p[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0)
			return ERR_SYNTAX;
		p[n++] = (char)(high * 16 + low);
		i += 2;
	}
	p[n] = '\0';
	*out = str_n(p, n);
	return str_is_utf8(*out) ? ERR_OK : ERR_SYNTAX;
}

static bool
attribute_ok(struct str s)
{
	if (s.n == 0 || str_eq(s, STR("*")) || str_eq(s, STR("+")))
		return s.n > 0;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]) && !ascii_is_among(s.p[i], "-;._"))
			return false;
	return true;
}

static enum err
parse_attrs(struct str s, struct arena *a, struct ldap_url *out)
{
	if (s.n == 0)
		return ERR_OK;
	out->attrs = arena_calloc(a, ATTRS_MAX, sizeof *out->attrs);
	if (out->attrs == NULL)
		return ERR_LIMIT;
	for (bool more = true; more;) {
		struct str one;
		more = str_cut(s, ',', &one, &s);
		if (out->attrs_count == ATTRS_MAX)
			return ERR_LIMIT;
		struct str *to = &out->attrs[out->attrs_count++];
		enum err e = decode(one, a, to);
		if (e != ERR_OK)
			return e;
		if (!attribute_ok(*to))
			return ERR_SYNTAX;
	}
	return ERR_OK;
}

static enum err
parse_scope(struct str s, struct ldap_url *out)
{
	static const struct {
		const char *name;
		enum ldap_scope scope;
	} scopes[] = { { "base", SCOPE_BASE }, { "one", SCOPE_ONE }, { "sub", SCOPE_SUB } };
	if (s.n == 0)
		return ERR_OK;
	for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++)
		if (str_ieq(s, str_of(scopes[i].name))) {
			out->scope = scopes[i].scope;
			out->scope_given = true;
			return ERR_OK;
		}
	return ERR_SYNTAX;
}

/* One filter in parentheses and nothing behind it. What is inside, libldap says. */
static enum err
parse_filter(struct str s, struct arena *a, struct ldap_url *out)
{
	int depth = 0;
	if (s.n == 0)
		return ERR_OK;
	enum err e = decode(s, a, &out->filter);
	if (e != ERR_OK)
		return e;
	const struct str f = out->filter;
	for (size_t i = 0; i < f.n; i++) {
		if (f.p[i] == '(')
			depth++;
		else if (f.p[i] == ')')
			depth--;
		if (depth > FILTER_DEPTH_MAX || depth < 0 || (depth == 0 && i + 1 < f.n))
			return ERR_SYNTAX;
	}
	out->filter_given = true;
	return depth == 0 && f.n > 2 ? ERR_OK : ERR_SYNTAX;
}

static enum err
parse_extensions(struct str s)
{
	for (bool more = s.n > 0; more;) {
		struct str one;
		more = str_cut(s, ',', &one, &s);
		if (one.n == 0 || one.p[0] == '!')
			return ERR_SYNTAX;
	}
	return ERR_OK;
}

static bool
scheme_ok(struct str s)
{
	return str_ieq(s, STR("ldap")) || str_ieq(s, STR("ldaps")) || str_ieq(s, STR("ldapi"));
}

static bool
host_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]) && !ascii_is_among(s.p[i], "-._:[]%"))
			return false;
	return true;
}

enum err
ldap_url_parse(struct str url, struct arena *a, struct ldap_url *out)
{
	struct str rest = url, attrs, scope, filter, extensions;
	memset(out, 0, sizeof *out);
	out->dn = STR_EMPTY;
	out->scope = SCOPE_BASE;
	out->filter = STR("(objectClass=*)");
	if (url.n > URL_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < url.n; i++)
		if ((unsigned char)url.p[i] < ' ' || url.p[i] == 0x7f)
			return ERR_SYNTAX;
	if (!str_cut(rest, ':', &out->scheme, &rest) || !scheme_ok(out->scheme) ||
		!str_starts(rest, STR("//")))
		return ERR_SYNTAX;
	bool path = str_cut(str_from(rest, 2), '/', &out->host, &rest);
	if (!host_ok(out->host))
		return ERR_SYNTAX;
	if (!path)
		return ERR_OK;
	struct str dn;
	(void)str_cut(rest, '?', &dn, &rest);
	(void)str_cut(rest, '?', &attrs, &rest);
	(void)str_cut(rest, '?', &scope, &rest);
	bool extended = str_cut(rest, '?', &filter, &extensions);
	enum err e = decode(dn, a, &out->dn);
	if (e == ERR_OK)
		e = parse_attrs(attrs, a, out);
	if (e == ERR_OK)
		e = parse_scope(scope, out);
	if (e == ERR_OK)
		e = parse_filter(filter, a, out);
	if (e == ERR_OK && extended)
		e = parse_extensions(extensions);
	return e;
}

static void
encode(struct buf *out, struct str s)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (ascii_is_alnum(c) || ascii_is_among(c, "-._~=*()&|!:;@+$'<>,\\/ ")) {
			buf_addc(out, (char)c);
			continue;
		}
		buf_addc(out, '%');
		buf_addc(out, hex[c >> 4]);
		buf_addc(out, hex[c & 15]);
	}
}

void
ldap_url_write(struct buf *out, const struct ldap_url *url)
{
	static const char *const scopes[] = {
		[SCOPE_SUB] = "sub", [SCOPE_BASE] = "base", [SCOPE_ONE] = "one"
	};
	buf_add(out, url->scheme);
	buf_addz(out, "://");
	buf_add(out, url->host);
	buf_addc(out, '/');
	encode(out, url->dn);
	buf_addc(out, '?');
	for (size_t i = 0; i < url->attrs_count; i++) {
		buf_addz(out, i > 0 ? "," : "");
		encode(out, url->attrs[i]);
	}
	buf_addc(out, '?');
	buf_addz(out, url->scope_given ? scopes[url->scope] : "");
	buf_addc(out, '?');
	if (url->filter_given)
		encode(out, url->filter);
}
