/* What single values of the outbound, relay and tls_policy sections cannot show; see rows.h. Used
 * by settings_cross_check. */
#include <arpa/inet.h>

#include "config/rows.h"
#include "core/base/cidr.h"
#include "core/base/xalloc.h"

static bool
is_level(struct str s)
{
	static const char *const levels[] = { "none", "may", "encrypt", "dane", "dane-only",
		"verify", "secure" };

	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (str_eq(s, str_of(levels[i])))
			return true;
	return false;
}

static void
check_source(struct str s, int family, const char *name, struct checking *c)
{
	unsigned char raw[16];

	if (s.n != 0 && inet_pton(family, s.p, raw) != 1)
		check_complain(c, "outbound.%s: \"%.*s\" is no such address", name, STR_FMT(s));
}

static void
check_section(const struct settings_relay *r, struct checking *c)
{
	if (r->tls.n != 0 && !is_level(r->tls))
		check_complain(c, "relay \"%.*s\": there is no tls = %.*s", STR_FMT(r->title),
			STR_FMT(r->tls));
	if (r->username.n != 0 && r->host.n == 0)
		check_complain(c,
			"relay \"%.*s\": a login needs a host: nobody else gets the password",
			STR_FMT(r->title));
	if ((str_eq(r->tls, STR("none")) || str_eq(r->tls, STR("may"))) && r->username.n != 0 &&
		!r->plaintext_login && !r->tls_implicit)
		check_complain(c,
			"relay \"%.*s\": tls = %.*s would log in without TLS; use secure, verify "
			"or "
			"encrypt, or plaintext_login = yes",
			STR_FMT(r->title), STR_FMT(r->tls));
}

static void
check_schedule(const struct settings_outbound *o, struct checking *c)
{
	if (o->concurrency_start > o->concurrency_max)
		check_complain(
			c, "outbound.concurrency_start is larger than outbound.concurrency_max");
	if (o->rest_min > o->rest_max)
		check_complain(c, "outbound.rest_min is larger than outbound.rest_max");
}

static void
check_smarthost(const struct settings *s, struct checking *c)
{
	struct str title = s->outbound.smarthost;
	bool found = false;

	for (size_t i = 0; i < s->relays_count; i++)
		found = found || str_eq(s->relays[i].title, title);
	if (title.n != 0 && !found)
		check_complain(c, "outbound.smarthost: there is no relay \"%.*s\"", STR_FMT(title));
	if (s->outbound.null_client && title.n == 0)
		check_complain(c, "outbound.null_client needs outbound.smarthost");
	if (s->outbound.null_client && !s->outbound.enabled)
		check_complain(c, "outbound.null_client needs outbound.enabled");
}

enum err
settings_check_relay(const struct settings *s, struct buf *err_out)
{
	const struct settings_outbound *o = &s->outbound;
	struct checking c = { .out = err_out };

	if (!is_level(o->tls))
		check_complain(&c, "outbound.tls: there is no %.*s", STR_FMT(o->tls));
	if (!str_eq(o->tls_min_version, STR("1.2")) && !str_eq(o->tls_min_version, STR("1.3")))
		check_complain(&c, "outbound.tls_min_version must be 1.2 or 1.3");
	check_source(o->source_ipv4, AF_INET, "source_ipv4", &c);
	check_source(o->source_ipv6, AF_INET6, "source_ipv6", &c);
	for (size_t i = 0; i < o->refused_networks.n; i++) {
		struct cidr net;
		if (cidr_parse(o->refused_networks.v[i], &net) != ERR_OK)
			check_complain(&c, "outbound.refused_networks: \"%.*s\" is no network",
				STR_FMT(o->refused_networks.v[i]));
	}
	for (size_t i = 0; i < o->addresses.n; i++)
		if (!str_eq(o->addresses.v[i], STR("ipv4")) &&
			!str_eq(o->addresses.v[i], STR("ipv6")))
			check_complain(&c, "outbound.addresses: ipv6, ipv4 or both");
	for (size_t i = 0; i < s->relays_count; i++)
		check_section(&s->relays[i], &c);
	check_schedule(o, &c);
	check_smarthost(s, &c);
	for (size_t i = 0; i < s->tls_policies_count; i++)
		if (!is_level(s->tls_policies[i].tls))
			check_complain(&c, "tls_policy \"%.*s\": there is no tls = %.*s",
				STR_FMT(s->tls_policies[i].title), STR_FMT(s->tls_policies[i].tls));
	return c.failed ? ERR_SYNTAX : ERR_OK;
}
