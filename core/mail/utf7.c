/* Modified UTF-7; called by imap for mailbox names. Invariant: utf7_from_utf8 of what utf7_to_utf8
 * accepted is the input again. */
#include "core/mail/utf7.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int
digit_value(char c)
{
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

static bool
is_direct(uint32_t c)
{
	return c >= 0x20 && c <= 0x7e;
}

/* One UTF-16 unit; *high: the first half of a pair that is waiting. */
static enum err
add_unit(struct buf *out, uint32_t unit, uint32_t *high)
{
	bool low_half = (unit & 0xfc00) == 0xdc00;

	if ((*high != 0) != low_half)
		return ERR_SYNTAX;
	if (low_half) {
		buf_add_utf8(out, 0x10000 + ((*high & 0x3ff) << 10) + (unit & 0x3ff));
		*high = 0;
		return ERR_OK;
	}
	if ((unit & 0xfc00) == 0xd800) {
		*high = unit;
		return ERR_OK;
	}
	if (is_direct(unit) || unit == 0)
		return ERR_SYNTAX;
	buf_add_utf8(out, unit);
	return ERR_OK;
}

/* b64: between "&" and "-", not empty. */
static enum err
decode_shift(struct buf *out, struct str b64)
{
	uint32_t bits = 0, high = 0;
	unsigned count = 0;

	for (size_t i = 0; i < b64.n; i++) {
		int v = digit_value(b64.p[i]);

		if (v < 0)
			return ERR_SYNTAX;
		bits = bits << 6 | (uint32_t)v;
		count += 6;
		if (count < 16)
			continue;
		count -= 16;
		enum err e = add_unit(out, bits >> count & 0xffff, &high);

		if (e != ERR_OK)
			return e;
		bits &= (1U << count) - 1;
	}
	return high != 0 || count >= 6 || bits != 0 ? ERR_SYNTAX : ERR_OK;
}

static enum err
decode(struct buf *out, struct str in)
{
	bool after_shift = false;

	while (in.n != 0) {
		if (!is_direct((unsigned char)in.p[0]))
			return ERR_SYNTAX;
		if (in.p[0] != '&') {
			buf_addc(out, in.p[0]);
			in = str_from(in, 1);
			after_shift = false;
			continue;
		}
		size_t end = str_chr(in, '-');

		if (end == in.n)
			return ERR_SYNTAX;
		struct str b64 = str_sub(in, 1, end - 1);

		in = str_from(in, end + 1);
		if (b64.n == 0) {
			buf_addc(out, '&');
			after_shift = false;
			continue;
		}
		enum err e = after_shift ? ERR_SYNTAX : decode_shift(out, b64);

		if (e != ERR_OK)
			return e;
		after_shift = true;
	}
	return buf_check(out);
}

enum err
utf7_to_utf8(struct buf *out, struct str in)
{
	size_t before = out->n;
	enum err e = decode(out, in);

	if (e != ERR_OK)
		buf_truncate(out, before);
	return e;
}

/* The character that s (well-formed UTF-8) begins with; *n_out its octets. */
static uint32_t
next_char(struct str s, size_t *n_out)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t v = n == 1 ? c : c & (0xffU >> (n + 1));

	for (size_t i = 1; i < n; i++)
		v = v << 6 | ((unsigned char)s.p[i] & 0x3f);
	*n_out = n;
	return v;
}

struct shift {
	uint32_t bits;
	unsigned count;
};

static void
shift_unit(struct buf *out, struct shift *sh, uint32_t unit)
{
	sh->bits = sh->bits << 16 | unit;
	sh->count += 16;
	while (sh->count >= 6) {
		sh->count -= 6;
		buf_addc(out, digits[sh->bits >> sh->count & 0x3f]);
	}
	sh->bits &= (1U << sh->count) - 1;
}

/* The characters that s begins with and that need a shift; returns their octets. */
static size_t
encode_shift(struct buf *out, struct str s)
{
	struct shift sh = { 0 };
	size_t used = 0;

	buf_addc(out, '&');
	while (used < s.n) {
		size_t n;
		uint32_t c = next_char(str_from(s, used), &n);

		if (is_direct(c))
			break;
		if (c >= 0x10000) {
			shift_unit(out, &sh, 0xd800 + ((c - 0x10000) >> 10));
			shift_unit(out, &sh, 0xdc00 + ((c - 0x10000) & 0x3ff));
		} else {
			shift_unit(out, &sh, c);
		}
		used += n;
	}
	if (sh.count != 0)
		buf_addc(out, digits[sh.bits << (6 - sh.count) & 0x3f]);
	buf_addc(out, '-');
	return used;
}

enum err
utf7_from_utf8(struct buf *out, struct str in)
{
	size_t before = out->n;

	if (!str_is_utf8(in) || str_has_nul(in))
		return ERR_SYNTAX;
	while (in.n != 0) {
		if (!is_direct((unsigned char)in.p[0])) {
			in = str_from(in, encode_shift(out, in));
			continue;
		}
		buf_addc(out, in.p[0]);
		if (in.p[0] == '&')
			buf_addc(out, '-');
		in = str_from(in, 1);
	}
	enum err e = buf_check(out);

	if (e != ERR_OK)
		buf_truncate(out, before);
	return e;
}
