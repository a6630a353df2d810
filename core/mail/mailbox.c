/* Bare addresses, as in SMTP commands, settings and the directory: split, compared, written.
 * Called by smtp, queue and lmtp. Invariant: what address_normalise wrote splits and normalises to
 * itself. */
#include "core/mail/address.h"

#include "core/mail/token.h"

static bool
is_dot_atom(struct str s)
{
	bool dot = true;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.' ? dot : !token_is_atext((unsigned char)s.p[i]))
			return false;
		dot = s.p[i] == '.';
	}
	return !dot;
}

/* Length of the quoted string that s begins with; 0 when it is not one. RFC 5321 4.1.2. */
static size_t
quoted_length(struct str s)
{
	for (size_t i = 1; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"')
			return i + 1;
		if (c == '\\' && ++i == s.n)
			return 0;
		c = (unsigned char)s.p[i];
		if (c < ' ' || c == 127)
			return 0;
	}
	return 0;
}

static bool
is_literal(struct str s)
{
	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	for (size_t i = 1; i + 1 < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 127 || ascii_is_among(s.p[i], "[]\\"))
			return false;
	return true;
}

static bool
is_domain(struct str s)
{
	bool edge = true; /* at the start of a label, or behind "-" */

	if (s.n == 0 || s.n > 255)
		return false;
	if (s.p[0] == '[')
		return is_literal(s);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '.' || (c == '-' && (i == 0 || s.p[i - 1] == '.'))) {
			if (edge)
				return false;
			edge = true;
			continue;
		}
		if (!ascii_is_alnum(c) && c < 0x80 && c != '-' && c != '_')
			return false;
		edge = c == '-';
	}
	return !edge;
}

enum err
address_split(struct str addr, struct str *local_out, struct str *domain_out)
{
	size_t n = addr.n != 0 && addr.p[0] == '"' ? quoted_length(addr) : str_chr(addr, '@');
	struct str local = str_sub(addr, 0, n), domain = str_from(addr, n + 1);

	if (n == 0 || n >= addr.n || addr.p[n] != '@' || !str_is_utf8(addr))
		return ERR_SYNTAX;
	if ((local.p[0] != '"' && !is_dot_atom(local)) || !is_domain(domain))
		return ERR_SYNTAX;
	*local_out = local;
	*domain_out = domain;
	return ERR_OK;
}

void
address_add_local(struct buf *out, struct str local)
{
	if (is_dot_atom(local)) {
		buf_add(out, local);
		return;
	}
	buf_addc(out, '"');
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, local.p[i]);
	}
	buf_addc(out, '"');
}

enum err
address_normalise(struct buf *out, struct str addr)
{
	struct str local, domain;
	enum err e = address_split(addr, &local, &domain);

	if (e != ERR_OK)
		return e;
	if (local.p[0] == '"') {
		struct buf plain;

		buf_init(&plain, local.n);
		for (size_t i = 1; i + 1 < local.n; i++) {
			if (local.p[i] == '\\')
				i++;
			buf_addc(&plain, local.p[i]);
		}
		address_add_local(out, buf_str(&plain));
		buf_fini(&plain);
	} else {
		buf_add(out, local);
	}
	buf_addc(out, '@');
	for (size_t i = 0; i < domain.n; i++)
		buf_addc(out, (char)ascii_lower((unsigned char)domain.p[i]));
	return buf_check(out);
}

bool
address_split_tag(struct str local, char delimiter, struct str *user_out, struct str *tag_out)
{
	size_t i = str_chr(local, delimiter);

	if (i == 0 || i == local.n) {
		*user_out = local;
		*tag_out = STR_EMPTY;
		return false;
	}
	*user_out = str_sub(local, 0, i);
	*tag_out = str_from(local, i + 1);
	return true;
}
