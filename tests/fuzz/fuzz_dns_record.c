/* Any bytes as the data of DNS records: refused, or a name that is a host's. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "core/dns/dns.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_SRV, DNS_MX, DNS_TLSA,
		DNS_PTR };
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		struct dns_record r;
		if (dns_parse_record(types[i], str_n(data, size), &r) != ERR_OK)
			continue;
		size_t n = strnlen(r.name, sizeof r.name);
		assert(n < sizeof r.name);
		for (size_t k = 0; k < n; k++) {
			char c = r.name[k];
			assert(ascii_is_alnum(c) || c == '-' || c == '_' || c == '.' || c == ':');
			assert(ascii_lower(c) == c);
		}
		assert(n == 0 || (r.name[0] != '.' && r.name[n - 1] != '.'));
	}
	struct dns_record text;
	if (dns_parse_record(DNS_TXT, str_n(data, size), &text) == ERR_OK)
		for (size_t k = 0; k < strnlen(text.name, sizeof text.name); k++)
			assert(text.name[k] >= ' ' && text.name[k] <= '~');
	return 0;
}
