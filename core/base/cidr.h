#ifndef POSTROOM_BASE_CIDR_H
#define POSTROOM_BASE_CIDR_H

#include "core/base/str.h"

/* A network: "127.0.0.0/8", "2001:db8::/32", or one address without a length. */
struct cidr {
	unsigned char addr[16];
	bool v6;
	uint8_t bits;
};

/* Bits behind the length must be zero. ERR_SYNTAX. */
MUST_USE enum err
cidr_parse(struct str s, struct cidr *out);
/* address: "192.0.2.1" or "2001:db8::1"; what is no address is in no network. An IPv4 address
 * mapped into IPv6 ("::ffff:192.0.2.1") counts as IPv4. */
bool
cidr_contains(const struct cidr *c, struct str address);

/* What of a client's address is one place, for limits: all of an IPv4 address (mapped into IPv6
 * too), the /64 of an IPv6 one, whose holder has all of it. What is no address is itself. */
enum { CIDR_PLACE_SIZE = 64 };
void
cidr_place(const char *address, char out[CIDR_PLACE_SIZE]);

#endif
