/* What single values of the outbound, relay and tls_policy sections cannot show; see rows.h. Used
 * by settings_cross_check. */
#include <arpa/inet.h>
#include <stdio.h>

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
check_level(struct str level, struct checking *c, const char *where, struct str title)
{
	if (is_level(level))
		return;
	check_complain(c,
		"%s%s%.*s%s: there is no tls = %.*s; it is none, may, encrypt, dane, dane-only, "
		"verify or secure",
		where, title.n != 0 ? " \"" : "", STR_FMT(title), title.n != 0 ? "\"" : "",
		STR_FMT(level));
}

/* Did the file say it? Of files themselves only this is known when they are not read. */
static bool
was_set(const struct settings *s, const char *section, size_t instance, const char *row)
{
	for (const struct setting_source *src = s->sources; src != NULL; src = src->next)
		if (str_eq(str_of(src->section->name), str_of(section)) &&
			src->instance == instance && str_eq(str_of(src->row->name), str_of(row)))
			return src->values_count != 0 && src->values[0].n != 0;
	return false;
}

static bool
is_dane(struct str level)
{
	return str_eq(level, STR("dane")) || str_eq(level, STR("dane-only"));
}

/* libunbound believes nothing without it, and every destination would count as one without TLSA
 * records. RFC 7672 2.2 */
static void
check_dane(const struct settings *s, struct checking *c)
{
	bool wanted = is_dane(s->outbound.tls);

	for (size_t i = 0; i < s->relays_count; i++)
		wanted = wanted || is_dane(s->relays[i].tls);
	for (size_t i = 0; i < s->tls_policies_count; i++)
		wanted = wanted || is_dane(s->tls_policies[i].tls);
	if (wanted && !was_set(s, "", 0, "dns_trust_anchor"))
		check_complain(c, "tls = dane needs dns_trust_anchor, such as "
				  "\"/usr/share/dns/root.key\" (Debian's dns-root-data)");
}

/* "192.0.2.1", "192.0.2.1@5353" */
static void
check_dns_servers(const struct str_list *list, struct checking *c)
{
	for (size_t i = 0; i < list->n; i++) {
		struct str host, port;
		bool named = str_cut(list->v[i], '@', &host, &port);
		char text[64];
		unsigned char raw[16];
		uint32_t n;
		(void)snprintf(text, sizeof text, "%.*s", STR_FMT(host));
		if ((inet_pton(AF_INET, text, raw) != 1 && inet_pton(AF_INET6, text, raw) != 1) ||
			(named && (str_to_u32(port, 65535, &n) != ERR_OK || n == 0)))
			check_complain(c,
				"dns_servers: \"%.*s\" is no address such as 192.0.2.1 or "
				"192.0.2.1@5353",
				STR_FMT(list->v[i]));
	}
}

static bool
is_host(struct str host)
{
	for (size_t i = 0; i < host.n; i++) {
		unsigned char ch = (unsigned char)host.p[i];
		if (!ascii_is_alnum(ch) && !ascii_is_among(ch, "-_.:"))
			return false;
	}
	return host.n != 0 && host.n <= 255 && str_find(host, STR("..")) == host.n;
}

/* As postroom-relay reads it: "[name]:587", "[192.0.2.1]", "name:25", "name". */
static bool
is_route(struct str text)
{
	struct str host = text, port = STR_EMPTY;
	uint32_t n;

	if (str_istarts(text, STR("smtp:")))
		host = text = str_from(text, 5);
	if (text.n != 0 && text.p[0] == '[') {
		size_t close = str_chr(text, ']');
		if (close == text.n)
			return false;
		host = str_sub(text, 1, close - 1);
		port = str_from(text, close + 1);
	} else {
		host = str_sub(text, 0, str_chr(text, ':'));
		port = str_from(text, host.n);
	}
	if (port.n != 0 &&
		(port.p[0] != ':' || str_to_u32(str_from(port, 1), 65535, &n) != ERR_OK || n == 0))
		return false;
	return is_host(host);
}

static void
check_domains(const struct settings_relay *r, const struct str_list *list, const char *name,
	struct checking *c)
{
	for (size_t i = 0; i < list->n; i++) {
		struct str d = list->v[i];
		if (str_eq(d, STR("*")))
			continue;
		if (str_has_8bit(d))
			check_complain(c, "relay \"%.*s\": %s: write %.*s in A-labels (xn--...)",
				STR_FMT(r->title), name, STR_FMT(d));
		else if (str_chr(d, ':') < d.n || !is_host(d))
			check_complain(c,
				"relay \"%.*s\": %s: \"%.*s\" is no domain such as example.net or "
				".example.net",
				STR_FMT(r->title), name, STR_FMT(d));
	}
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
	if (r->tls.n != 0)
		check_level(r->tls, c, "relay", r->title);
	if (r->host.n != 0 && !is_route(r->host))
		check_complain(c,
			"relay \"%.*s\": host: \"%.*s\" is no host such as [smtp.example.net]:587",
			STR_FMT(r->title), STR_FMT(r->host));
	check_domains(r, &r->domains, "domains", c);
	check_domains(r, &r->sender_domains, "sender_domains", c);
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

	check_level(o->tls, &c, "outbound", STR_EMPTY);
	check_dane(s, &c);
	check_dns_servers(&s->dns_servers, &c);
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
	for (size_t i = 0; i < s->relays_count; i++) {
		check_section(&s->relays[i], &c);
		if (s->relays[i].username.n != 0 && !was_set(s, "relay", i, "password"))
			check_complain(&c, "relay \"%.*s\": username needs password",
				STR_FMT(s->relays[i].title));
	}
	check_schedule(o, &c);
	check_smarthost(s, &c);
	for (size_t i = 0; i < s->tls_policies_count; i++)
		check_level(s->tls_policies[i].tls, &c, "tls_policy", s->tls_policies[i].title);
	return c.failed ? ERR_SYNTAX : ERR_OK;
}
