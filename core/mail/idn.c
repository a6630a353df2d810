/* The one file that knows libidn2; see idn.h. smtp, queue and auth call it. Invariant: what comes
 * out as a domain is ASCII, and none of its characters means anything to a command, a header or a
 * filter. */
#include "core/mail/idn.h"

#include <idn2.h>

#include "core/mail/charset.h"

static enum err
add_lower(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_addc(out, (char)ascii_lower((unsigned char)s.p[i]));
	return buf_check(out);
}

/* Mapping can make dots and other ASCII of what looks like it. */
static bool
is_host_name(struct str s)
{
	if (s.n == 0 || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum((unsigned char)s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
			return false;
	return true;
}

enum err
idn_domain(struct buf *out, struct str domain)
{
	/* without IDN2_USE_STD3_ASCII_RULES, which drops what is not allowed instead of refusing it
	 */
	const int flags = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL;
	char text[4 * IDN_DOMAIN_MAX + 1];
	uint8_t *ascii = NULL;
	enum err e = ERR_SYNTAX;
	int rc;

	if (!str_has_8bit(domain))
		return domain.n > IDN_DOMAIN_MAX ? ERR_LIMIT : add_lower(out, domain);
	if (domain.n >= sizeof text)
		return ERR_LIMIT;
	if (!str_is_utf8(domain) || str_has_nul(domain))
		return ERR_SYNTAX;
	memcpy(text, domain.p, domain.n);
	text[domain.n] = '\0';
	rc = idn2_lookup_u8((const uint8_t *)text, &ascii, flags);
	if (rc == IDN2_OK) {
		struct str s = str_of((const char *)ascii);
		if (s.n > IDN_DOMAIN_MAX)
			e = ERR_LIMIT;
		else if (is_host_name(s))
			e = add_lower(out, s);
	} else if (rc == IDN2_TOO_BIG_DOMAIN || rc == IDN2_TOO_BIG_LABEL) {
		e = ERR_LIMIT;
	}
	if (ascii != NULL)
		idn2_free(ascii);
	return e;
}

static enum err
add_address(struct buf *out, struct str address, bool compose)
{
	size_t at = str_rchr(address, '@');
	struct str local = str_sub(address, 0, at);
	enum err e = ERR_OK;

	if (compose)
		e = charset_nfc(out, local);
	else
		buf_add(out, local);
	if (e != ERR_OK || at == address.n)
		return e != ERR_OK ? e : buf_check(out);
	buf_addc(out, '@');
	return idn_domain(out, str_from(address, at + 1));
}

enum err
idn_address(struct buf *out, struct str address)
{
	return add_address(out, address, true);
}

enum err
idn_address_domain(struct buf *out, struct str address)
{
	return add_address(out, address, false);
}

bool
idn_has_controls(struct str s)
{
	for (size_t i = 0; i + 1 < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i], d = (unsigned char)s.p[i + 1];
		if (c == 0xc2 && d < 0xa0)
			return true;
		if (c == 0xe2 && d == 0x80 && i + 2 < s.n &&
			((unsigned char)s.p[i + 2] & 0xfe) == 0xa8)
			return true;
	}
	return false;
}
