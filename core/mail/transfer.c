/* Lenient decoders for base64 and quoted-printable, in pieces; called by search.c and imap (FETCH
 * BINARY). Invariant: any cut of the input into pieces gives the same output. */
#include "core/mail/transfer.h"

#include "core/mail/token.h"

/* clang-format off */
/* 0..63; PAD: "="; NONE: not of the alphabet. */
enum { PAD = 64, NONE = 65 };
static const uint8_t base64_values[256] = {
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 62, 65, 65, 65, 63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 65, 65, 65, 64, 65, 65,
	65, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 65, 65, 65, 65, 65,
	65, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
};
/* clang-format on */

void
transfer_init(struct transfer *t, enum mime_encoding encoding)
{
	*t = (struct transfer){ .encoding = encoding };
}

/* --- base64 ----------------------------------------------------------------------------- */

/* The octets of an open quartet that ends early: two digits make one octet, three make two. */
static void
base64_flush(struct transfer *t, struct buf *out)
{
	if (t->count >= 2)
		buf_addc(out, (char)(t->count == 2 ? t->bits >> 4 : t->bits >> 10));
	if (t->count == 3)
		buf_addc(out, (char)(t->bits >> 2));
	t->bad |= t->count == 1;
	t->bits = t->count = 0;
}

static void
base64_slow(struct transfer *t, struct buf *out, unsigned char c)
{
	uint8_t v = base64_values[c];

	if (v == PAD) {
		base64_flush(t, out);
	} else if (v == NONE) {
		t->bad |= !ascii_is_space(c);
	} else {
		t->bits = t->bits << 6 | v;
		if (++t->count == 4) {
			char three[3] = { (char)(t->bits >> 16), (char)(t->bits >> 8),
				(char)t->bits };

			buf_add(out, str_n(three, 3));
			t->bits = t->count = 0;
		}
	}
}

/* Whole quartets straight into p; returns how many octets of in were used. */
static size_t
base64_fast(char *p, struct str in, size_t *made_out)
{
	const unsigned char *s = (const unsigned char *)in.p;
	size_t i = 0, n = 0;

	for (; in.n - i >= 4; i += 4, n += 3) {
		uint8_t a = base64_values[s[i]], b = base64_values[s[i + 1]];
		uint8_t c = base64_values[s[i + 2]], d = base64_values[s[i + 3]];

		if ((a | b | c | d) >= PAD)
			break;
		uint32_t v = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;

		p[n] = (char)(v >> 16);
		p[n + 1] = (char)(v >> 8);
		p[n + 2] = (char)v;
	}
	*made_out = n;
	return i;
}

static void
base64_add(struct transfer *t, struct buf *out, struct str in)
{
	while (in.n != 0) {
		char *p = t->count == 0 ? buf_reserve(out, in.n / 4 * 3 + 3) : NULL;
		size_t used = 0, made = 0;

		if (p != NULL) {
			used = base64_fast(p, in, &made);
			buf_commit(out, made);
		}
		if (used == 0) {
			base64_slow(t, out, (unsigned char)in.p[0]);
			used = 1;
		}
		in = str_from(in, used);
	}
}

/* --- quoted-printable ------------------------------------------------------------------- */

/* transfer.count in quoted-printable: what was seen last. */
enum { QP_TEXT, QP_EQUALS, QP_HEX };

/* White space inside a line is text; at its end it was added on the way and is dropped. */
static void
qp_keep_space(struct transfer *t, struct buf *out)
{
	buf_add(out, str_n(t->space_buf, t->spaces));
	t->spaces = 0;
}

static void
qp_space(struct transfer *t, struct buf *out, char c)
{
	if (t->spaces == sizeof t->space_buf)
		qp_keep_space(t, out);
	t->space_buf[t->spaces++] = c;
}

/* c behind "=" and maybe a digit or blanks. False: it was no escape, c is still to be done. */
static bool
qp_escape(struct transfer *t, struct buf *out, char c)
{
	int v = ascii_hex_value(c);

	if (t->count == QP_EQUALS && v >= 0) {
		t->hex = c;
		t->count = QP_HEX;
		return true;
	}
	if (t->count == QP_HEX && v >= 0) {
		buf_addc(out, (char)(ascii_hex_value(t->hex) * 16 + v));
		t->count = QP_TEXT;
		return true;
	}
	if (t->count == QP_EQUALS && c == '\n') {
		t->spaces = 0;
		t->count = QP_TEXT;
		return true;
	}
	if (t->count == QP_EQUALS && ascii_is_space((unsigned char)c) &&
		t->spaces < sizeof t->space_buf) {
		qp_space(t, out, c);
		return true;
	}
	buf_addc(out, '=');
	if (t->count == QP_HEX)
		buf_addc(out, t->hex);
	qp_keep_space(t, out);
	t->bad = true;
	t->count = QP_TEXT;
	return false;
}

static void
qp_byte(struct transfer *t, struct buf *out, char c)
{
	if (t->count != QP_TEXT && qp_escape(t, out, c))
		return;
	if (c == '=') {
		qp_keep_space(t, out);
		t->count = QP_EQUALS;
	} else if (c == '\n') {
		bool cr = t->spaces != 0 && t->space_buf[t->spaces - 1] == '\r';

		t->spaces = 0;
		buf_add(out, cr ? STR("\r\n") : STR("\n"));
	} else if (c == ' ' || c == '\t' || c == '\r') {
		qp_space(t, out, c);
	} else {
		qp_keep_space(t, out);
		buf_addc(out, c);
	}
}

static void
qp_add(struct transfer *t, struct buf *out, struct str in)
{
	while (in.n != 0) {
		size_t n = 0;

		if (t->count == QP_TEXT && t->spaces == 0)
			while (n < in.n && (unsigned char)in.p[n] > ' ' && in.p[n] != '=')
				n++;
		buf_add(out, str_sub(in, 0, n));
		if (n < in.n)
			qp_byte(t, out, in.p[n++]);
		in = str_from(in, n);
	}
}

static void
qp_end(struct transfer *t, struct buf *out)
{
	/* "=" as the last octet is a soft break whose line end was lost */
	if (t->count == QP_HEX) {
		buf_addc(out, '=');
		buf_addc(out, t->hex);
		t->bad = true;
	}
	t->spaces = 0;
	t->count = QP_TEXT;
}

void
transfer_add(struct transfer *t, struct buf *out, struct str in, bool last)
{
	switch (t->encoding) {
	case MIME_ENC_BASE64:
		base64_add(t, out, in);
		if (last)
			base64_flush(t, out);
		break;
	case MIME_ENC_QP:
		qp_add(t, out, in);
		if (last)
			qp_end(t, out);
		break;
	case MIME_ENC_7BIT:
	case MIME_ENC_8BIT:
	case MIME_ENC_BINARY:
	case MIME_ENC_OTHER:
		buf_add(out, in);
		break;
	}
}
