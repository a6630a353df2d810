/* What a client typed, before it may reach a directory or a path. Called by directory.c and
 * expand.c; nothing that name_parse did not accept gets any further, and even that is escaped for
 * the place where it goes. */
#include "auth-ldap/directory/name.h"

static bool
local_byte_ok(unsigned char c)
{
	if (c <= ' ' || c == 0x7f)
		return false;
	return memchr("*()\\,\"<>;:/", c, 11) == NULL;
}

static bool
local_ok(struct str s)
{
	if (s.n == 0 || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!local_byte_ok((unsigned char)s.p[i]))
			return false;
	return true;
}

static bool
domain_ok(struct str s)
{
	if (s.n == 0 || s.n > 255 || s.p[0] == '.' || s.p[s.n - 1] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 0x80 && !ascii_is_alnum(c) && c != '-' && c != '_' && c != '.')
			return false;
		if (c == '.' && s.p[i - 1] == '.')
			return false;
	}
	return true;
}

/* text holds "local@domain" or "local"; point the strings at it. */
static void
name_point(struct name *n, size_t text_bytes, size_t user_bytes)
{
	struct str all = str_n(n->text, text_bytes);
	n->address = all;
	n->user = str_sub(all, 0, user_bytes);
	(void)str_cut(all, '@', &n->local, &n->domain);
}

enum err
name_parse(struct str raw, struct str default_domain, struct name *out)
{
	struct str local, domain;
	if (raw.n > NAME_MAX_BYTES)
		return ERR_LIMIT;
	if (!str_is_utf8(raw))
		return ERR_SYNTAX;
	out->has_domain = str_cut(raw, '@', &local, &domain);
	if (!local_ok(local) || (out->has_domain && !domain_ok(domain)))
		return ERR_SYNTAX;
	size_t n = raw.n;
	memcpy(out->text, raw.p, raw.n);
	if (!out->has_domain && domain_ok(default_domain)) {
		out->text[n++] = '@';
		memcpy(out->text + n, default_domain.p, default_domain.n);
		n += default_domain.n;
	}
	for (size_t i = 0; i < n; i++)
		out->text[i] = (char)ascii_lower((unsigned char)out->text[i]);
	name_point(out, n, raw.n);
	return ERR_OK;
}

void
name_copy(struct name *to, const struct name *from)
{
	memcpy(to->text, from->text, from->address.n);
	to->has_domain = from->has_domain;
	name_point(to, from->address.n, from->user.n);
}

bool
name_cut_tag(struct name *n, char delimiter)
{
	size_t at = str_chr(n->local, delimiter);
	if (at == 0 || at >= n->local.n)
		return false;
	size_t cut = n->local.n - at;
	size_t rest = n->address.n - n->local.n;
	memmove(n->text + at, n->text + n->local.n, rest);
	name_point(n, at + rest, n->user.n - cut);
	return true;
}

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
		if (ascii_is_alnum(c) || (c != 0 && strchr(plain, c) != NULL))
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

static enum err
add_value(struct buf *out, struct str value, enum template_use use)
{
	switch (use) {
	case TEMPLATE_FILTER:
		escape_filter(out, value);
		return ERR_OK;
	case TEMPLATE_DN:
		escape_dn(out, value);
		return ERR_OK;
	case TEMPLATE_ALL:
		buf_addc(out, '*');
		return ERR_OK;
	case TEMPLATE_PATH:
		if (value.n == 0 || value.p[0] == '.' || str_chr(value, '/') < value.n ||
			str_has_nul(value))
			return ERR_DENIED;
		buf_add(out, value);
		return ERR_OK;
	}
	return ERR_BUG;
}

/* The value of one variable; n NULL: only whether there is such a variable. */
static bool
variable(struct str key, const struct name *n, struct str *out)
{
	static const struct {
		const char *key;
		size_t offset;
	} table[] = {
		{ "user", offsetof(struct name, user) },
		{ "local", offsetof(struct name, local) },
		{ "domain", offsetof(struct name, domain) },
		{ "address", offsetof(struct name, address) },
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (str_eq(key, str_of(table[i].key))) {
			if (n != NULL)
				memcpy(out, (const char *)n + table[i].offset, sizeof *out);
			return true;
		}
	return false;
}

enum err
template_expand(struct buf *out, struct str t, const struct name *n, enum template_use use)
{
	while (t.n > 0) {
		size_t at = str_chr(t, '%');
		if (n != NULL)
			buf_add(out, str_sub(t, 0, at));
		t = str_from(t, at);
		if (t.n == 0)
			break;
		if (str_starts(t, STR("%%"))) {
			if (n != NULL)
				buf_addc(out, '%');
			t = str_from(t, 2);
			continue;
		}
		size_t end = str_chr(t, '}');
		struct str value;
		if (!str_starts(t, STR("%{")) || end == t.n ||
			!variable(str_sub(t, 2, end - 2), n, &value))
			return ERR_SYNTAX;
		if (n != NULL) {
			enum err e = add_value(out, value, use);
			if (e != ERR_OK)
				return e;
		}
		t = str_from(t, end + 1);
	}
	return n != NULL ? buf_check(out) : ERR_OK;
}

bool
home_is_safe(struct str home, struct str root)
{
	while (root.n > 1 && root.p[root.n - 1] == '/')
		root.n--;
	if (root.n == 0 || !str_starts(home, root))
		return false;
	struct str rest = str_from(home, str_eq(root, STR("/")) ? 0 : root.n);
	if (rest.n < 2 || rest.p[0] != '/')
		return false;
	for (size_t i = 0; i < rest.n; i++)
		if ((unsigned char)rest.p[i] < ' ' || rest.p[i] == 0x7f)
			return false;
	rest = str_from(rest, 1);
	for (bool more = true; more;) {
		struct str part;
		more = str_cut(rest, '/', &part, &rest);
		if (part.n == 0 || str_eq(part, STR(".")) || str_eq(part, STR("..")))
			return false;
	}
	return true;
}
