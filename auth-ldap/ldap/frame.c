/* See frame.h. Pure; conn.c calls it at the begin of each message. */
#include "auth-ldap/ldap/frame.h"

enum {
	TAG_SEQUENCE = 0x30,
	TAG_INTEGER = 0x02,
	LENGTH_BYTES_MAX = 4,
	ID_BYTES_MAX = 4, /* maxInt is 2^31 - 1 */
};

/* Definite lengths only, RFC 4511 5.1; not always the shortest form. *at moves behind it. */
static enum err
read_length(struct str in, size_t *at, size_t *out)
{
	if (*at >= in.n)
		return ERR_AGAIN;
	unsigned char first = (unsigned char)in.p[(*at)++];
	if (first < 0x80) {
		*out = first;
		return ERR_OK;
	}
	size_t n = first & 0x7f, v = 0;
	if (n == 0 || n > LENGTH_BYTES_MAX)
		return ERR_SYNTAX;
	if (*at + n > in.n)
		return ERR_AGAIN;
	while (n-- > 0)
		v = v << 8 | (unsigned char)in.p[(*at)++];
	*out = v;
	return ERR_OK;
}

static bool
is_answer(uint8_t op)
{
	return op == 0x61 || op == 0x64 || op == 0x65 || op == 0x73 || op == 0x78 || op == 0x79;
}

static enum err
read_id(struct str in, size_t *at, size_t end, uint32_t *out)
{
	size_t n = 0;
	if (*at + 3 >= end) /* a number of one byte, and an operation */
		return ERR_SYNTAX;
	if (*at >= in.n)
		return ERR_AGAIN;
	if (in.p[(*at)++] != TAG_INTEGER)
		return ERR_SYNTAX;
	enum err e = read_length(in, at, &n);
	if (e != ERR_OK)
		return e;
	if (n == 0 || n > ID_BYTES_MAX || *at + n >= end)
		return ERR_SYNTAX;
	if (*at + n > in.n)
		return ERR_AGAIN;
	uint32_t v = 0;
	if ((unsigned char)in.p[*at] >= 0x80)
		return ERR_SYNTAX; /* negative */
	while (n-- > 0)
		v = v << 8 | (unsigned char)in.p[(*at)++];
	*out = v;
	return ERR_OK;
}

enum err
frame_read(struct str in, size_t max_bytes, struct frame *out)
{
	size_t at = 1, body = 0;
	*out = (struct frame){ 0 };
	if (in.n == 0)
		return ERR_AGAIN;
	if (in.p[0] != TAG_SEQUENCE)
		return ERR_SYNTAX;
	enum err e = read_length(in, &at, &body);
	if (e != ERR_OK)
		return e;
	if (body > max_bytes || at + body > max_bytes)
		return ERR_LIMIT;
	out->size = at + body;
	e = read_id(in, &at, out->size, &out->id);
	if (e != ERR_OK)
		return e;
	if (at >= out->size)
		return ERR_SYNTAX;
	if (at >= in.n)
		return ERR_AGAIN;
	out->op = (uint8_t)in.p[at];
	return is_answer(out->op) ? ERR_OK : ERR_SYNTAX;
}
