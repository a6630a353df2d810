/* The grammar of LMTP commands. Called by session.c with one whole line; pure functions over
 * bytes of a peer, so nothing here asserts. */
#include "delivery/lmtp/command.h"

#include "core/base/xalloc.h"
#include "core/mail/idn.h"
#include "core/mail/token.h"

static const struct {
	struct str name;
	enum lmtp_verb verb;
} verbs[] = {
	{ { "LHLO", 4 }, LMTP_LHLO },
	{ { "MAIL", 4 }, LMTP_MAIL },
	{ { "RCPT", 4 }, LMTP_RCPT },
	{ { "DATA", 4 }, LMTP_DATA },
	{ { "BDAT", 4 }, LMTP_BDAT },
	{ { "RSET", 4 }, LMTP_RSET },
	{ { "NOOP", 4 }, LMTP_NOOP },
	{ { "QUIT", 4 }, LMTP_QUIT },
	{ { "VRFY", 4 }, LMTP_VRFY },
	{ { "STARTTLS", 8 }, LMTP_STARTTLS },
	{ { "HELO", 4 }, LMTP_HELO },
	{ { "EHLO", 4 }, LMTP_HELO },
};

/* Names and address literals; which of them exist is the directory's business. */
static bool
is_domain_char(unsigned char c)
{
	return ascii_is_alnum(c) || c >= 0x80 || c == '-' || c == '.' || c == '_' || c == '[' ||
	       c == ']' || c == ':';
}

static bool
domain_ok(struct str d)
{
	if (d.n == 0 || d.n > 255 || d.p[0] == '.' || d.p[d.n - 1] == '.')
		return false;
	for (size_t i = 0; i < d.n; i++) {
		if (!is_domain_char((unsigned char)d.p[i]))
			return false;
	}
	return true;
}

static bool
path_add(struct lmtp_command *c, char ch)
{
	if (c->path_len >= LMTP_PATH_MAX)
		return false;
	c->path[c->path_len++] = ch;
	return true;
}

static bool
needs_quotes(struct str local)
{
	if (local.n == 0 || local.p[0] == '.' || local.p[local.n - 1] == '.')
		return true;
	for (size_t i = 0; i < local.n; i++) {
		if (!token_is_atext((unsigned char)local.p[i]) && local.p[i] != '.')
			return true;
		if (local.p[i] == '.' && local.p[i + 1] == '.')
			return true;
	}
	return false;
}

/* "local" in quotes, from in->p[0] == '"'. The content is written without its quotes, and
 * put back into them where they are needed. */
static enum err
parse_quoted(struct str *in, struct lmtp_command *c)
{
	char raw[LMTP_PATH_MAX];
	size_t n = 0, i = 1;

	for (;; i++) {
		unsigned char ch;
		if (i >= in->n)
			return ERR_SYNTAX;
		ch = (unsigned char)in->p[i];
		if (ch == '"')
			break;
		if (ch == '\\') {
			if (++i >= in->n)
				return ERR_SYNTAX;
			ch = (unsigned char)in->p[i];
		}
		if (ch < 0x20 || ch == 0x7f)
			return ERR_SYNTAX;
		if (n >= sizeof(raw))
			return ERR_LIMIT;
		raw[n++] = (char)ch;
	}
	*in = str_from(*in, i + 1);
	if (!needs_quotes(str_n(raw, n))) {
		for (size_t k = 0; k < n; k++) {
			if (!path_add(c, raw[k]))
				return ERR_LIMIT;
		}
		return ERR_OK;
	}
	if (!path_add(c, '"'))
		return ERR_LIMIT;
	for (size_t k = 0; k < n; k++) {
		if ((raw[k] == '"' || raw[k] == '\\') && !path_add(c, '\\'))
			return ERR_LIMIT;
		if (!path_add(c, raw[k]))
			return ERR_LIMIT;
	}
	return path_add(c, '"') ? ERR_OK : ERR_LIMIT;
}

static enum err
parse_local(struct str *in, struct lmtp_command *c)
{
	size_t n = 0;

	if (in->n != 0 && in->p[0] == '"')
		return parse_quoted(in, c);
	while (n < in->n && in->p[n] != '@' && in->p[n] != '>') {
		unsigned char ch = (unsigned char)in->p[n];
		if (!token_is_atext(ch) && ch != '.')
			return ERR_SYNTAX;
		if (!path_add(c, (char)ch))
			return ERR_LIMIT;
		n++;
	}
	if (n == 0)
		return ERR_SYNTAX;
	*in = str_from(*in, n);
	return ERR_OK;
}

/* "<" [source route ":"] local ["@" domain] ">" from *in. A local part alone is taken: it is
 * a user's name (postmaster at the least). */
static enum err
parse_path(struct str *in, struct lmtp_command *c)
{
	struct str domain;
	size_t end;
	enum err e;

	if (in->n < 2 || in->p[0] != '<')
		return ERR_SYNTAX;
	*in = str_from(*in, 1);
	if (in->p[0] == '>') {
		*in = str_from(*in, 1);
		return ERR_OK;
	}
	if (in->p[0] == '@') {
		size_t colon = str_chr(*in, ':');
		if (colon == in->n || str_chr(*in, '>') < colon)
			return ERR_SYNTAX;
		*in = str_from(*in, colon + 1);
	}
	e = parse_local(in, c);
	if (e != ERR_OK)
		return e;
	end = str_chr(*in, '>');
	if (end == in->n)
		return ERR_SYNTAX;
	domain = str_sub(*in, 0, end);
	*in = str_from(*in, end + 1);
	if (domain.n == 0)
		return ERR_OK;
	if (domain.p[0] != '@' || !domain_ok(str_from(domain, 1)))
		return ERR_SYNTAX;
	for (size_t i = 0; i < domain.n; i++) {
		if (!path_add(c, domain.p[i]))
			return ERR_LIMIT;
	}
	return ERR_OK;
}

static bool
param_ok(struct str key, struct str value, bool has_value)
{
	if (key.n == 0 || !ascii_is_alnum((unsigned char)key.p[0]) || (has_value && value.n == 0))
		return false;
	for (size_t i = 0; i < key.n; i++) {
		if (!ascii_is_alnum((unsigned char)key.p[i]) && key.p[i] != '-')
			return false;
	}
	for (size_t i = 0; i < value.n; i++) {
		unsigned char ch = (unsigned char)value.p[i];
		if (ch <= 0x20 || ch == 0x7f || ch == '=')
			return false;
	}
	return true;
}

static enum err
parse_params(struct str in, struct lmtp_command *c)
{
	while (in.n != 0) {
		struct str word, key, value;
		bool has_value;
		if (in.p[0] != ' ')
			return ERR_SYNTAX;
		in = str_from(in, 1);
		if (in.n == 0 || in.p[0] == ' ')
			continue; /* blanks too many: seen in the field, harmless */
		word = str_sub(in, 0, str_chr(in, ' '));
		in = str_from(in, word.n);
		has_value = str_cut(word, '=', &key, &value);
		if (!param_ok(key, value, has_value))
			return ERR_SYNTAX;
		if (c->params_count == LMTP_PARAMS_MAX)
			return ERR_LIMIT;
		c->params[c->params_count++] = (struct lmtp_param){ key, value };
	}
	return ERR_OK;
}

static enum err
parse_mail_rcpt(struct str arg, struct str keyword, struct lmtp_command *out)
{
	enum err e;

	if (!str_istarts(arg, keyword))
		return ERR_SYNTAX;
	arg = str_from(arg, keyword.n);
	while (arg.n != 0 && arg.p[0] == ' ')
		arg = str_from(arg, 1);
	if (!str_is_utf8(arg) || idn_has_controls(arg))
		return ERR_SYNTAX;
	e = parse_path(&arg, out);
	if (e != ERR_OK)
		return e;
	if (str_has_8bit(arg))
		return ERR_SYNTAX; /* in a parameter */
	out->utf8 = str_has_8bit(lmtp_command_path(out));
	if (out->verb == LMTP_RCPT && out->path_len == 0)
		return ERR_SYNTAX;
	out->path[out->path_len] = '\0';
	return parse_params(arg, out);
}

static enum err
parse_bdat(struct lmtp_command *out)
{
	struct str size, rest;

	out->last = str_cut(out->arg, ' ', &size, &rest);
	if (str_to_u64(size, INT64_MAX, &out->chunk) != ERR_OK ||
		(out->last && !str_ieq(str_trim(rest), STR("LAST"))))
		return ERR_SYNTAX;
	return ERR_OK;
}

static bool
printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];
		if (ch < 0x20 || ch == 0x7f)
			return false;
	}
	return true;
}

enum err
lmtp_command_parse(struct str line, struct lmtp_command *out)
{
	struct str verb, arg;

	out->verb = LMTP_UNKNOWN;
	out->chunk = 0;
	out->last = false;
	out->path_len = 0;
	out->utf8 = false;
	out->path[0] = '\0';
	out->params_count = 0;
	(void)str_cut(line, ' ', &verb, &arg);
	out->arg = str_trim(arg);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (str_ieq(verb, verbs[i].name))
			out->verb = verbs[i].verb;
	}
	if (!printable(line))
		return ERR_SYNTAX;
	switch (out->verb) {
	case LMTP_LHLO:
		return out->arg.n != 0 && out->arg.n <= 255 && str_chr(out->arg, ' ') == out->arg.n
			       ? ERR_OK
			       : ERR_SYNTAX;
	case LMTP_MAIL:
		return parse_mail_rcpt(arg, STR("FROM:"), out);
	case LMTP_RCPT:
		return parse_mail_rcpt(arg, STR("TO:"), out);
	case LMTP_BDAT:
		return parse_bdat(out);
	case LMTP_DATA:
	case LMTP_RSET:
	case LMTP_QUIT:
	case LMTP_STARTTLS:
		return out->arg.n == 0 ? ERR_OK : ERR_SYNTAX;
	case LMTP_VRFY:
		return out->arg.n != 0 ? ERR_OK : ERR_SYNTAX;
	case LMTP_NOOP:
	case LMTP_HELO:
	case LMTP_UNKNOWN:
		return ERR_OK;
	}
	return ERR_BUG;
}

bool
lmtp_address_without_tag(struct str address, char delimiter, char *out, size_t *len_out)
{
	size_t at = str_rchr(address, '@');
	size_t tag = str_chr(str_sub(address, 0, at), delimiter);
	struct str domain = str_from(address, at);

	if (delimiter == '\0' || tag == 0 || tag >= at || address.n > LMTP_PATH_MAX ||
		address.p[0] == '"')
		return false;
	memcpy(out, address.p, tag);
	memcpy(out + tag, domain.p, domain.n);
	*len_out = tag + domain.n;
	out[*len_out] = '\0';
	return true;
}

struct str
lmtp_address_tag(struct str address, char delimiter)
{
	struct str local = str_sub(address, 0, str_rchr(address, '@'));

	return str_from(local, str_chr(local, delimiter) + 1);
}
