#ifndef POSTROOM_CONFIG_DNSBL_H
#define POSTROOM_CONFIG_DNSBL_H

#include "core/base/str.h"

/* Which answers of a DNS list count (RFC 5782 2.1): an IPv4 address whose parts are numbers or
 * ranges, as "127.0.0.2", "127.0.0.2-11" or "127.0.0-255.1-3". */
struct dnsbl_filter {
	uint8_t from[4], to[4];
};
/* ERR_SYNTAX: also for what lies outside 127.0.0.0/8: no list answers that, but a zone that was
 * given up and sold does. */
MUST_USE enum err
dnsbl_filter_parse(struct str s, struct dnsbl_filter *out);
/* address: as text. */
bool
dnsbl_filter_match(const struct dnsbl_filter *f, struct str address);
/* Can the zone of a list be asked, with an IPv6 address in front? */
bool
dnsbl_zone_valid(struct str zone);

#endif
