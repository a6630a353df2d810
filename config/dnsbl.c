/* Which answers of DNS lists count; see dnsbl.h. settings_check_smtp judges with it what smtp reads
 * with it. */
#include "config/dnsbl.h"

enum { ZONE_MAX = 180, LABEL_MAX = 63, LOOPBACK = 127 };

static bool
parse_part(struct str s, uint8_t *from, uint8_t *to)
{
	struct str low, high;
	uint32_t a, b;

	if (!str_cut(s, '-', &low, &high))
		high = low;
	if (str_to_u32(low, UINT8_MAX, &a) != ERR_OK || str_to_u32(high, UINT8_MAX, &b) != ERR_OK ||
		a > b)
		return false;
	*from = (uint8_t)a;
	*to = (uint8_t)b;
	return true;
}

enum err
dnsbl_filter_parse(struct str s, struct dnsbl_filter *out)
{
	struct str part;

	for (size_t i = 0; i < 4; i++)
		if (str_cut(s, '.', &part, &s) != (i < 3) ||
			!parse_part(part, &out->from[i], &out->to[i]))
			return ERR_SYNTAX;
	return out->from[0] == LOOPBACK && out->to[0] == LOOPBACK ? ERR_OK : ERR_SYNTAX;
}

bool
dnsbl_filter_match(const struct dnsbl_filter *f, struct str address)
{
	struct str part;
	uint32_t v;

	for (size_t i = 0; i < 4; i++)
		if (str_cut(address, '.', &part, &address) != (i < 3) ||
			str_to_u32(part, UINT8_MAX, &v) != ERR_OK || v < f->from[i] || v > f->to[i])
			return false;
	return true;
}

bool
dnsbl_zone_valid(struct str zone)
{
	size_t label = 0, dots = 0;

	for (size_t i = 0; i < zone.n; i++) {
		int c = (unsigned char)zone.p[i];
		if (c == '.' ? label == 0 : !ascii_is_alnum(c) && c != '-' && c != '_')
			return false;
		dots += c == '.';
		label = c == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return false;
	}
	return label > 0 && dots > 0 && zone.n <= ZONE_MAX;
}
