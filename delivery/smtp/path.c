/* Paths and domains of SMTP commands, read strictly. Called by command.c and, for its own
 * addresses, by session_mail.c. */
#include <arpa/inet.h>

#include "core/mail/idn.h"
#include "core/mail/token.h"
#include "delivery/smtp/command.h"

/* RFC 5321 4.5.3.1.1 promises 64 for a local part; senders of lists (VERP) and of forwarders (SRS)
 * are longer, and everybody takes them. */
enum { LOCAL_MAX = 256, DOMAIN_MAX = 255, LABEL_MAX = 63 };

static bool
label_valid(struct str label)
{
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++)
		if (!ascii_is_alnum(label.p[i]) && label.p[i] != '-')
			return false;
	return true;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
static bool
literal_valid(struct str s)
{
	char text[64];
	unsigned char addr[16];
	struct str inner;
	int family = AF_INET;

	if (s.n < 3 || s.p[s.n - 1] != ']')
		return false;
	inner = str_sub(s, 1, s.n - 2);
	if (str_istarts(inner, STR("IPv6:"))) {
		family = AF_INET6;
		inner = str_from(inner, 5);
	}
	if (inner.n >= sizeof(text) || str_has_nul(inner))
		return false;
	memcpy(text, inner.p, inner.n);
	text[inner.n] = '\0';
	return inet_pton(family, text, addr) == 1;
}

bool
smtp_domain_valid(struct str domain)
{
	struct str label;
	bool more = true;

	if (domain.n == 0 || domain.n > DOMAIN_MAX)
		return false;
	if (domain.p[0] == '[')
		return literal_valid(domain);
	while (more) {
		more = str_cut(domain, '.', &label, &domain);
		if (!label_valid(label))
			return false;
	}
	return true;
}

bool
smtp_domain_full(struct str domain)
{
	return smtp_domain_valid(domain) && (domain.p[0] == '[' || str_chr(domain, '.') < domain.n);
}

/* Octets of the quoted string or dot-atom at the front; 0: neither. */
static size_t
local_length(struct str s)
{
	size_t i = 0;

	if (s.n > 0 && s.p[0] == '"') {
		for (i = 1; i < s.n && s.p[i] != '"'; i++) {
			if (s.p[i] == '\\' && ++i == s.n)
				return 0;
			if ((unsigned char)s.p[i] < 32 || s.p[i] == 127)
				return 0;
		}
		return i < s.n ? i + 1 : 0;
	}
	for (; i < s.n; i++) {
		bool dot_good = s.p[i] == '.' && i > 0 && s.p[i - 1] != '.';
		if (!token_is_atext((unsigned char)s.p[i]) && !dot_good)
			break;
	}
	return i > 0 && s.p[i - 1] != '.' ? i : 0;
}

/* "@a,@b:" dropped off the front. */
static enum err
skip_route(struct str *in)
{
	size_t colon;
	struct str route, hop;
	bool more = true;

	if (in->n == 0 || in->p[0] != '@')
		return ERR_OK;
	colon = str_chr(*in, ':');
	if (colon == in->n)
		return ERR_SYNTAX;
	route = str_sub(*in, 0, colon);
	while (more) {
		more = str_cut(route, ',', &hop, &route);
		if (hop.n < 2 || hop.p[0] != '@' || !smtp_domain_valid(str_from(hop, 1)))
			return ERR_SYNTAX;
	}
	*in = str_from(*in, colon + 1);
	return ERR_OK;
}

/* The index of the ">" that ends the path: not one inside quotes. */
static size_t
path_end(struct str s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		if (quoted && s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '>' && !quoted)
			return i;
	}
	return s.n;
}

/* The domain in A-labels. */
static bool
take_domain(struct str domain, struct smtp_path *out)
{
	struct buf b;
	bool fits = true;

	if (str_has_8bit(domain)) {
		buf_init(&b, sizeof(out->ascii));
		fits = idn_domain(&b, domain) == ERR_OK;
		if (fits)
			memcpy(out->ascii, b.mem + b.head, b.n);
		domain = str_n(out->ascii, b.n);
		buf_fini(&b);
	}
	out->domain = domain;
	return fits && smtp_domain_valid(domain);
}

enum err
smtp_path_parse(struct str *in, struct smtp_path *out)
{
	struct str s;
	size_t end, n;

	*out = (struct smtp_path){ .local = STR_EMPTY, .domain = STR_EMPTY };
	if (in->n == 0 || in->p[0] != '<')
		return ERR_SYNTAX;
	end = path_end(*in);
	if (end == in->n)
		return ERR_SYNTAX;
	s = str_sub(*in, 1, end - 1);
	*in = str_from(*in, end + 1);
	if (s.n == 0) {
		out->null = true;
		return ERR_OK;
	}
	out->utf8 = str_has_8bit(s);
	if (out->utf8 && (!str_is_utf8(s) || idn_has_controls(s)))
		return ERR_SYNTAX;
	if (skip_route(&s) != ERR_OK)
		return ERR_SYNTAX;
	n = local_length(s);
	if (n == 0 || n > LOCAL_MAX)
		return ERR_SYNTAX;
	out->local = str_sub(s, 0, n);
	s = str_from(s, n);
	if (s.n == 0)
		return ERR_OK; /* no domain: ours to complete */
	return s.p[0] == '@' && take_domain(str_from(s, 1), out) ? ERR_OK : ERR_SYNTAX;
}

/* True and the content when quotes are there and not needed: "\"a.b\"" → "a.b". */
static bool
needs_no_quotes(struct str local, struct str *inner_out)
{
	struct str inner;

	if (local.n < 3 || local.p[0] != '"')
		return false;
	inner = str_sub(local, 1, local.n - 2);
	if (local_length(inner) != inner.n || inner.p[0] == '"')
		return false;
	*inner_out = inner;
	return true;
}

void
smtp_path_address(const struct smtp_path *p, struct str default_domain, struct buf *out)
{
	struct str local = p->local, domain = p->domain;

	if (p->null)
		return;
	if (needs_no_quotes(p->local, &local))
		buf_add(out, local);
	else
		buf_add(out, p->local);
	if (domain.n == 0)
		domain = default_domain;
	if (domain.n == 0)
		return;
	buf_addc(out, '@');
	for (size_t i = 0; i < domain.n; i++)
		buf_addc(out, (char)ascii_lower(domain.p[i]));
}
