/* Networks as settings name them, and whether an address is in one. Pure functions. */
#include "core/base/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool
address_parse(struct str s, unsigned char out[16], bool *v6_out)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	char z[INET6_ADDRSTRLEN];

	if (s.n == 0 || s.n >= sizeof(z) || str_has_nul(s))
		return false;
	memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	memset(out, 0, 16);
	if (inet_pton(AF_INET, z, out) == 1) {
		*v6_out = false;
		return true;
	}
	if (inet_pton(AF_INET6, z, out) != 1)
		return false;
	*v6_out = memcmp(out, mapped, sizeof(mapped)) != 0;
	if (!*v6_out) {
		memmove(out, out + 12, 4);
		memset(out + 4, 0, 12);
	}
	return true;
}

static unsigned char
mask_of(unsigned bits, size_t byte)
{
	if (bits >= (byte + 1) * 8)
		return 0xff;
	if (bits <= byte * 8)
		return 0;
	return (unsigned char)(0xffU << (8 - (bits - byte * 8)));
}

enum err
cidr_parse(struct str s, struct cidr *out)
{
	struct str addr, len;
	bool has_len = str_cut(s, '/', &addr, &len), mapped;
	uint32_t max, bits;

	if (!address_parse(addr, out->addr, &out->v6))
		return ERR_SYNTAX;
	mapped = !out->v6 && str_chr(addr, ':') < addr.n; /* its length counts 96 bits more */
	max = out->v6 || mapped ? 128 : 32;
	bits = max;
	if (has_len && str_to_u32(len, max, &bits) != ERR_OK)
		return ERR_SYNTAX;
	if (mapped && bits < 96)
		return ERR_SYNTAX;
	bits -= mapped ? 96 : 0;
	for (size_t i = 0; i < 16; i++) {
		if ((out->addr[i] & ~mask_of(bits, i)) != 0)
			return ERR_SYNTAX;
	}
	out->bits = (uint8_t)bits;
	return ERR_OK;
}

bool
cidr_contains(const struct cidr *c, struct str address)
{
	unsigned char a[16];
	bool v6;

	if (!address_parse(address, a, &v6) || v6 != c->v6)
		return false;
	for (size_t i = 0; i < 16; i++) {
		if (((a[i] ^ c->addr[i]) & mask_of(c->bits, i)) != 0)
			return false;
	}
	return true;
}

void
cidr_place(const char *address, char out[CIDR_PLACE_SIZE])
{
	unsigned char bytes[16];
	bool v6;

	if (address_parse(str_of(address), bytes, &v6)) {
		if (v6)
			memset(bytes + 8, 0, 8);
		if (inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, out, CIDR_PLACE_SIZE) != NULL)
			return;
	}
	(void)snprintf(out, CIDR_PLACE_SIZE, "%s", address);
}
