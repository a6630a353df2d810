/* Routes, TLS policies and the order of MX hosts; see route.h. job.c asks. Invariant: a host that
 * comes out of here is a name or an address, with nothing in it that could be read otherwise. */
#include "delivery/remote/route.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "core/base/xalloc.h"

static bool
is_address(const char *z)
{
	unsigned char raw[16];

	return inet_pton(AF_INET, z, raw) == 1 || inet_pton(AF_INET6, z, raw) == 1;
}

static bool
take_host(struct str host, struct route *out)
{
	if (str_istarts(host, STR("IPv6:")))
		host = str_from(host, 5);
	if (str_ends(host, STR(".")))
		host.n--;
	if (host.n == 0 || host.n > RELAY_NAME_MAX)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		int c = (unsigned char)host.p[i];
		if (!ascii_is_alnum(c) && c != '-' && c != '_' && c != '.' && c != ':')
			return false;
		out->host[i] = (char)ascii_lower(c);
	}
	out->host[host.n] = '\0';
	out->literal = is_address(out->host);
	return out->literal || str_chr(host, ':') == host.n;
}

enum err
route_parse(struct str text, struct route *out)
{
	struct str host = text, port = STR_EMPTY;
	uint32_t number = 0;
	size_t close;

	*out = (struct route){ .mx = true };
	if (str_istarts(text, STR("smtp:")))
		host = text = str_from(text, 5);
	if (text.n > 0 && text.p[0] == '[') {
		close = str_chr(text, ']');
		if (close == text.n)
			return ERR_SYNTAX;
		out->mx = false;
		host = str_sub(text, 1, close - 1);
		port = str_from(text, close + 1);
		if (port.n > 0 && port.p[0] != ':')
			return ERR_SYNTAX;
	} else if (str_chr(text, ':') < text.n) {
		host = str_sub(text, 0, str_chr(text, ':'));
		port = str_from(text, host.n);
	}
	if (port.n > 0 && (str_to_u32(str_from(port, 1), 65535, &number) != ERR_OK || number == 0))
		return ERR_SYNTAX;
	out->port = (uint16_t)number;
	if (!take_host(host, out))
		return ERR_SYNTAX;
	/* an address without brackets is no domain */
	return out->mx && out->literal ? ERR_SYNTAX : ERR_OK;
}

static bool
level_of(struct str word, enum tls_level *out)
{
	static const char *const words[] = { [LEVEL_NONE] = "none",
		[LEVEL_MAY] = "may",
		[LEVEL_ENCRYPT] = "encrypt",
		[LEVEL_DANE] = "dane",
		[LEVEL_DANE_ONLY] = "dane-only",
		[LEVEL_VERIFY] = "verify",
		[LEVEL_SECURE] = "secure" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(word, str_of(words[i]))) {
			*out = (enum tls_level)i;
			return true;
		}
	return false;
}

/* The section named as the host, else the longest ".example.net" above it. */
static const struct settings_tls_policy *
policy_of(const struct settings *s, struct str host)
{
	const struct settings_tls_policy *best = NULL;

	for (size_t i = 0; i < s->tls_policies_count; i++) {
		const struct settings_tls_policy *p = &s->tls_policies[i];
		struct str t = p->title;
		if (str_ieq(t, host))
			return p;
		if (t.n > 1 && t.p[0] == '.' && host.n > t.n &&
			str_ieq(str_from(host, host.n - t.n), t) &&
			(best == NULL || t.n > best->title.n))
			best = p;
	}
	return best;
}

struct tls_plan
route_tls_plan(
	const struct settings *s, const struct settings_relay *section, const struct route *r)
{
	/* what cannot be read is taken for the strictest */
	struct tls_plan plan = { .level = LEVEL_SECURE };
	const struct settings_tls_policy *p = policy_of(s, str_of(r->host));
	struct str word = s->outbound.tls;

	if (p != NULL) {
		word = p->tls;
		plan.names = &p->tls_names;
	}
	if (section != NULL && section->tls_names.n != 0)
		plan.names = &section->tls_names;
	if (section != NULL && section->tls.n != 0)
		word = section->tls;
	else if (section != NULL && section->username.n != 0 && p == NULL)
		word = STR("secure");
	if (!level_of(word, &plan.level))
		plan.level = LEVEL_SECURE;
	return plan;
}

const struct settings_relay *
route_section(const struct settings *s, struct str name)
{
	for (size_t i = 0; i < s->relays_count; i++)
		if (str_eq(s->relays[i].title, name))
			return &s->relays[i];
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	const struct route_host *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	return x->shuffle < y->shuffle ? -1 : x->shuffle > y->shuffle;
}

size_t
route_order(struct route_host *v, size_t n, struct str self, bool *loop_out)
{
	*loop_out = false;
	qsort(v, n, sizeof *v, compare);
	for (size_t i = 0; i < n; i++)
		if (str_ieq(str_of(v[i].name), self)) {
			*loop_out = true;
			/* those as far away as we are would send it back */
			while (i > 0 && v[i - 1].preference == v[i].preference)
				i--;
			return i;
		}
	return n;
}
