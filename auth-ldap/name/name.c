/* What a client typed, before it may reach a directory or a path. Called by directory.c and
 * expand.c; nothing that name_parse did not accept gets any further, and even that is escaped for
 * the place where it goes. */
#include "auth-ldap/name/name.h"

#include "core/mail/idn.h"

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

/* Of several spellings beyond ASCII the one that is compared. The mapping can make other
 * characters, so what comes out is judged, not what went in. */
static enum err
one_spelling(struct buf *b, struct str *raw)
{
	enum err e = idn_address(b, *raw);

	*raw = buf_str(b);
	return e == ERR_OK && raw->n > NAME_MAX_BYTES ? ERR_LIMIT : e;
}

/* text holds "local@domain" or "local"; point the strings at it. */
static void
name_point(struct name *n, size_t text_bytes, size_t user_bytes)
{
	struct str all = str_n(n->text, text_bytes);
	n->address = all;
	n->netbios = STR_EMPTY;
	n->user = str_sub(all, 0, user_bytes);
	(void)str_cut(all, '@', &n->local, &n->domain);
}

static enum err
parse(struct str raw, struct str default_domain, struct name *out)
{
	struct str local, domain;
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

enum err
name_parse(struct str raw, struct str default_domain, struct name *out)
{
	struct buf b;
	enum err e;
	if (raw.n > NAME_MAX_BYTES)
		return ERR_LIMIT;
	if (!str_has_8bit(raw))
		return parse(raw, default_domain, out);
	buf_init(&b, 4 * NAME_MAX_BYTES);
	e = one_spelling(&b, &raw);
	if (e == ERR_OK)
		e = parse(raw, default_domain, out);
	buf_fini(&b);
	return e;
}

static bool
netbios_ok(struct str s)
{
	if (s.n == 0 || s.n > NETBIOS_MAX_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum((unsigned char)s.p[i]) && !ascii_is_among(s.p[i], "-_.&$"))
			return false;
	return true;
}

/* It stands behind the rest in text, at any address. */
static void
name_set_netbios(struct name *n, struct str netbios)
{
	char *at = n->text + sizeof n->text - NETBIOS_MAX_BYTES;
	if (netbios.n > 0)
		memmove(at, netbios.p, netbios.n);
	for (size_t i = 0; i < netbios.n; i++)
		at[i] = (char)ascii_lower((unsigned char)at[i]);
	n->netbios = netbios.n > 0 ? str_n(at, netbios.n) : STR_EMPTY;
}

enum err
name_parse_login(struct str raw, struct str default_domain, struct name *out)
{
	struct str netbios, rest;
	if (!str_cut(raw, '\\', &netbios, &rest))
		return name_parse(raw, default_domain, out);
	if (!netbios_ok(netbios))
		return ERR_SYNTAX;
	enum err e = name_parse(rest, STR_EMPTY, out);
	if (e != ERR_OK)
		return e;
	if (out->has_domain)
		return ERR_SYNTAX;
	name_set_netbios(out, netbios);
	return ERR_OK;
}

void
name_copy(struct name *to, const struct name *from)
{
	memcpy(to->text, from->text, from->address.n);
	to->has_domain = from->has_domain;
	name_point(to, from->address.n, from->user.n);
	name_set_netbios(to, from->netbios);
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
	struct str netbios = n->netbios;
	name_point(n, at + rest, n->user.n - cut);
	n->netbios = netbios;
	return true;
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
