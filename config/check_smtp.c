/* What single values of smtp's checks cannot show; see rows.h, and dnsbl.h for the filters, which
 * smtp reads with the same functions. Used by settings_cross_check. */
#include "config/dnsbl.h"
#include "config/rows.h"
#include "core/base/cidr.h"

enum { LISTS_MAX = 32 };

static void
check_word(struct str value, const char *const *words, const char *name, struct checking *c)
{
	for (size_t i = 0; words[i] != NULL; i++)
		if (str_eq(value, str_of(words[i])))
			return;
	check_complain(c, "smtp.%s: there is no %.*s; it is %s", name, STR_FMT(value),
		words[2] != NULL ? "off, log, defer or refuse" : "pass or defer");
}

static void
check_list(const char *kind, struct str title, struct str zone, const struct str_list *reply,
	struct checking *c)
{
	struct dnsbl_filter f;

	if (!dnsbl_zone_valid(zone.n > 0 ? zone : title))
		check_complain(c, "%s \"%.*s\": \"%.*s\" is no zone of a list", kind,
			STR_FMT(title), STR_FMT(zone.n > 0 ? zone : title));
	for (size_t i = 0; i < reply->n; i++)
		if (dnsbl_filter_parse(reply->v[i], &f) != ERR_OK)
			check_complain(c,
				"%s \"%.*s\": reply \"%.*s\" is no answer such as 127.0.0.2 or "
				"127.0.0.2-11",
				kind, STR_FMT(title), STR_FMT(reply->v[i]));
}

enum err
settings_check_smtp(const struct settings *s, struct buf *err_out)
{
	static const char *const modes[] = { "off", "log", "defer", "refuse", NULL };
	static const char *const failures[] = { "pass", "defer", NULL };
	struct checking c = { .out = err_out };
	struct cidr net;

	check_word(s->smtp.client_ptr, modes, "client_ptr", &c);
	check_word(s->smtp.client_confirmed, modes, "client_confirmed", &c);
	check_word(s->smtp.helo_known, modes, "helo_known", &c);
	check_word(s->smtp.sender_known, modes, "sender_known", &c);
	check_word(s->smtp.recipient_known, modes, "recipient_known", &c);
	check_word(s->smtp.dnsbl_action, modes, "dnsbl_action", &c);
	check_word(s->smtp.dns_failure, failures, "dns_failure", &c);
	for (size_t i = 0; i < s->smtp.check_exempt_networks.n; i++)
		if (cidr_parse(s->smtp.check_exempt_networks.v[i], &net) != ERR_OK)
			check_complain(&c,
				"smtp.check_exempt_networks: \"%.*s\" is no network such as "
				"192.0.2.0/24",
				STR_FMT(s->smtp.check_exempt_networks.v[i]));
	if (s->dnsbls_count + s->dnswls_count > LISTS_MAX)
		check_complain(&c, "more than %d dnsbl and dnswl sections", LISTS_MAX);
	for (size_t i = 0; i < s->dnsbls_count; i++)
		check_list("dnsbl", s->dnsbls[i].title, s->dnsbls[i].zone, &s->dnsbls[i].reply, &c);
	for (size_t i = 0; i < s->dnswls_count; i++)
		check_list("dnswl", s->dnswls[i].title, s->dnswls[i].zone, &s->dnswls[i].reply, &c);
	return c.failed ? ERR_SYNTAX : ERR_OK;
}

bool
settings_smtp_asks_dns(const struct settings *s)
{
	const struct str modes[] = { s->smtp.client_ptr, s->smtp.client_confirmed,
		s->smtp.helo_known, s->smtp.sender_known, s->smtp.recipient_known };

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (!str_eq(modes[i], STR("off")))
			return true;
	return s->dnsbls_count + s->dnswls_count > 0 && !str_eq(s->smtp.dnsbl_action, STR("off"));
}
