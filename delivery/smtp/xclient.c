/* The grammar of XCLIENT; see xclient.h. Called by session_xclient.c. */
#include "delivery/smtp/xclient.h"

#include <arpa/inet.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"
#include "core/mail/idn.h"
#include "delivery/smtp/command.h"
#include "delivery/smtp/proxy.h"

static const struct {
	struct str name;
	enum xclient_attribute attribute;
} attributes[] = {
	{ { "NAME", 4 }, XCLIENT_NAME },
	{ { "ADDR", 4 }, XCLIENT_ADDR },
	{ { "PORT", 4 }, XCLIENT_PORT },
	{ { "PROTO", 5 }, XCLIENT_PROTO },
	{ { "HELO", 4 }, XCLIENT_HELO },
	{ { "LOGIN", 5 }, XCLIENT_LOGIN },
	{ { "DESTADDR", 8 }, XCLIENT_DESTADDR },
	{ { "DESTPORT", 8 }, XCLIENT_DESTPORT },
};

static unsigned
hex_of(char c)
{
	return ascii_is_digit(c) ? (unsigned)(c - '0') : (unsigned)(ascii_upper(c) - 'A' + 10);
}

/* xtext that smtp_xtext_valid took. False: it does not fit. */
static bool
decode(struct str in, char out[XCLIENT_TEXT_MAX + 1], size_t *n_out)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == '+') {
			c = (char)(hex_of(in.p[i + 1]) << 4 | hex_of(in.p[i + 2]));
			i += 2;
		}
		if (n == XCLIENT_TEXT_MAX)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	*n_out = n;
	return true;
}

static bool
take_address(struct str s, char out[64])
{
	if (str_istarts(s, STR("IPV6:")))
		return proxy_address(AF_INET6, str_from(s, 5), out);
	return proxy_address(AF_INET, s, out) || proxy_address(AF_INET6, s, out);
}

static bool
take_name(struct str s, const char *also, char out[XCLIENT_TEXT_MAX + 1])
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]) && !ascii_is_among(s.p[i], also))
			return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return s.n > 0;
}

static bool
take_login(struct str s, char out[XCLIENT_TEXT_MAX + 1])
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 127)
			return false;
	if (!str_is_utf8(s) || idn_has_controls(s))
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return s.n > 0;
}

static bool
take(struct xclient *x, enum xclient_attribute attribute, struct str s)
{
	bool none = str_ieq(s, STR("[UNAVAILABLE]")) || str_ieq(s, STR("[TEMPUNAVAIL]"));

	switch (attribute) {
	case XCLIENT_NAME:
		return none || take_name(s, "-._", x->name);
	case XCLIENT_ADDR:
		return !none && take_address(s, x->addr);
	case XCLIENT_PORT:
		return none || proxy_port(s, &x->port);
	case XCLIENT_PROTO:
		x->esmtp = str_ieq(s, STR("ESMTP"));
		return x->esmtp || str_ieq(s, STR("SMTP"));
	case XCLIENT_HELO:
		return none || take_name(s, "-._:[]", x->helo);
	case XCLIENT_LOGIN:
		return none || take_login(s, x->login);
	case XCLIENT_DESTADDR:
		return none || take_address(s, x->local_addr);
	case XCLIENT_DESTPORT:
		return none || proxy_port(s, &x->local_port);
	}
	return false;
}

static bool
take_word(struct xclient *x, struct str word)
{
	char text[XCLIENT_TEXT_MAX + 1];
	struct str key, value;
	size_t n;

	if (!str_cut(word, '=', &key, &value) || !smtp_xtext_valid(value, false) ||
		!decode(value, text, &n))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		enum xclient_attribute a = attributes[i].attribute;
		if (!str_ieq(key, attributes[i].name))
			continue;
		if ((x->given & a) != 0)
			return false;
		x->given |= a;
		return take(x, a, str_n(text, n));
	}
	return false;
}

enum err
xclient_parse(struct str arg, struct xclient *out)
{
	struct str word;
	bool more = true;

	memset(out, 0, sizeof(*out));
	while (more) {
		more = str_cut(arg, ' ', &word, &arg);
		if (word.n > 0 && !take_word(out, word))
			return ERR_SYNTAX;
	}
	return out->given != 0 ? ERR_OK : ERR_SYNTAX;
}
