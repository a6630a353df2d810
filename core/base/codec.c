/* Base64, hex and CRC32C; see codec.h. */
#include "core/base/codec.h"

#include <pthread.h>

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct buf *out, struct str in)
{
	const unsigned char *p = (const unsigned char *)in.p;

	for (size_t i = 0; i < in.n; i += 3) {
		size_t left = in.n - i;
		uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0);
		char q[4] = { base64_digits[v >> 18], base64_digits[v >> 12 & 63],
			left > 1 ? base64_digits[v >> 6 & 63] : '=',
			left > 2 ? base64_digits[v & 63] : '=' };
		buf_add(out, str_n(q, 4));
	}
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

enum err
base64_decode(struct buf *out, struct str in)
{
	size_t pad = 0;

	if (in.n % 4 != 0)
		return ERR_SYNTAX;
	if (in.n != 0 && in.p[in.n - 1] == '=')
		pad = in.p[in.n - 2] == '=' ? 2 : 1;
	for (size_t i = 0; i < in.n; i += 4) {
		size_t digits = i + 4 == in.n ? 4 - pad : 4;
		uint32_t v = 0;
		for (size_t k = 0; k < digits; k++) {
			int d = base64_value(in.p[i + k]);
			if (d < 0)
				return ERR_SYNTAX;
			v |= (uint32_t)d << (18 - 6 * k);
		}
		if (v & (digits == 2 ? 0xffff : digits == 3 ? 0xff : 0))
			return ERR_SYNTAX;
		char b[3] = { (char)(v >> 16), (char)(v >> 8), (char)v };
		buf_add(out, str_n(b, digits - 1));
	}
	return buf_check(out);
}

void
hex_encode(struct buf *out, struct str in)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];
		buf_addc(out, digits[c >> 4]);
		buf_addc(out, digits[c & 15]);
	}
}

static uint32_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void
crc_setup(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78 : c >> 1;
		crc_table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			crc_table[t][i] =
				crc_table[t - 1][i] >> 8 ^ crc_table[0][crc_table[t - 1][i] & 255];
}

uint32_t
crc32c(uint32_t crc, struct str in)
{
	const unsigned char *p = (const unsigned char *)in.p;
	size_t n = in.n;

	(void)pthread_once(&crc_once, crc_setup);
	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		w ^= crc;
		crc = 0;
		for (int k = 0; k < 8; k++)
			crc ^= crc_table[7 - k][w >> (8 * k) & 255];
	}
	for (; n != 0; n--, p++)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 255];
	return ~crc;
}

bool
secret_eq(struct str a, struct str b)
{
	volatile unsigned char diff = 0;

	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		diff = (unsigned char)(diff | (a.p[i] ^ b.p[i]));
	return diff == 0;
}
