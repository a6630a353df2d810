#ifndef POSTROOM_REMOTE_ROUTE_H
#define POSTROOM_REMOTE_ROUTE_H

#include "config/settings.h"
#include "delivery/relay/relay.h"

/* Where a job goes, and what is asked of TLS there: pure functions. */
struct route {
	bool mx;		       /* MX records lead on */
	bool literal;		       /* host is an address */
	char host[RELAY_NAME_MAX + 1]; /* lower case; without "IPv6:" and brackets */
	uint16_t port;		       /* 0: not named */
};
/* As relay.h says. ERR_SYNTAX. RFC 5321 4.1.3. */
MUST_USE enum err
route_parse(struct str text, struct route *out);

enum tls_level {
	LEVEL_NONE,
	LEVEL_MAY,
	LEVEL_ENCRYPT,
	LEVEL_DANE,
	LEVEL_DANE_ONLY,
	LEVEL_VERIFY,
	LEVEL_SECURE,
};
struct tls_plan {
	enum tls_level level;
	const struct str_list *names; /* more names; NULL: none */
};
/* section: NULL for none. tls_policy sections count where section says nothing. */
struct tls_plan
route_tls_plan(
	const struct settings *s, const struct settings_relay *section, const struct route *r);
/* NULL: there is none of this name. */
const struct settings_relay *
route_section(const struct settings *s, struct str name);

/* One host of a domain. */
struct route_host {
	char name[RELAY_NAME_MAX + 1];
	uint16_t preference;
	uint64_t shuffle; /* random: the order among equals */
};
enum { ROUTE_HOSTS_MAX = 64 };
/* By preference, equals by chance (RFC 5321 5.1); without those that are no better than self.
 * Returns how many are left; *loop_out: self was among them. */
size_t
route_order(struct route_host *v, size_t n, struct str self, bool *loop_out);

#endif
