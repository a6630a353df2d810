/* Charsets, normalisation and case through ICU; called by encoded.c, param.c, search.c, subject.c
 * and imap (mailbox names, SEARCH CHARSET). Invariant: whatever octets come in, what is appended is
 * well-formed UTF-8. */
#include "core/mail/charset.h"

#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/ucnv.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "core/base/xalloc.h"

enum { NAME_MAX_LEN = 60, PIVOT = 1024, RUN_MAX = 1024 };

/* name as a C string for ICU: no options, no empty name (which would be the locale's). */
static bool
clean_name(struct str name, char out[NAME_MAX_LEN + 1])
{
	if (name.n == 0 || name.n > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (!ascii_is_alnum(c) && !ascii_is_among(c, "-_.:+()"))
			return false;
		out[i] = (char)c;
	}
	out[name.n] = '\0';
	return true;
}

static UConverter *
open_converter(struct str name)
{
	char z[NAME_MAX_LEN + 1];
	UErrorCode code = U_ZERO_ERROR;

	if (!clean_name(name, z))
		return NULL;
	UConverter *c = ucnv_open(z, &code);

	return U_SUCCESS(code) ? c : NULL;
}

static bool
is_utf8_name(struct str name)
{
	return str_ieq(name, STR("utf-8")) || str_ieq(name, STR("utf8"));
}

static bool
is_ascii_name(struct str name)
{
	return str_ieq(name, STR("us-ascii")) || str_ieq(name, STR("ascii")) ||
	       str_ieq(name, STR("ansi_x3.4-1968"));
}

/* Charsets whose lower half is ASCII without states: ASCII needs no conversion. */
static bool
extends_ascii(struct str name)
{
	static const struct str prefixes[] = { { "iso-8859-", 9 }, { "windows-", 8 },
		{ "cp125", 5 }, { "koi8-", 5 } };

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (str_istarts(name, prefixes[i]))
			return true;
	return is_utf8_name(name) || is_ascii_name(name);
}

bool
charset_known(struct str name)
{
	if (is_utf8_name(name) || is_ascii_name(name))
		return true;
	UConverter *c = open_converter(name);

	if (c == NULL)
		return false;
	ucnv_close(c);
	return true;
}

/* --- streams ---------------------------------------------------------------------------- */

struct charset_stream {
	char name[NAME_MAX_LEN + 1];
	UConverter *from, *to; /* opened when first needed: most text is ASCII */
	UChar pivot[PIVOT];
	UChar *pivot_source, *pivot_target;
	bool guess;   /* no charset known: decided at the first 8-bit octet */
	bool ascii;   /* ASCII octets mean themselves */
	bool started; /* the converter holds a state */
};

static UConverter *
open_named(const char *name)
{
	UErrorCode code = U_ZERO_ERROR;
	UConverter *c = ucnv_open(name, &code);

	return U_SUCCESS(code) ? c : NULL;
}

struct charset_stream *
charset_stream_new(struct str name)
{
	struct charset_stream *s = xcalloc(1, sizeof *s);

	s->pivot_source = s->pivot_target = s->pivot;
	s->guess = is_ascii_name(name) || !clean_name(name, s->name);
	s->ascii = s->guess || extends_ascii(name);
	return s;
}

/* The converters, or, when there is none of that name, a guess. */
static void
open_both(struct charset_stream *s)
{
	if (s->to == NULL)
		s->to = open_named("UTF-8");
	if (s->from != NULL || s->guess)
		return;
	s->from = open_named(s->name);
	if (s->from == NULL)
		s->guess = s->ascii = true;
}

void
charset_stream_free(struct charset_stream *s)
{
	if (s == NULL)
		return;
	if (s->from != NULL)
		ucnv_close(s->from);
	if (s->to != NULL)
		ucnv_close(s->to);
	free(s);
}

/* Is in UTF-8, but for a character that its end may have cut? */
static bool
looks_utf8(struct str in)
{
	for (int cut = 0; cut < 4 && in.n != 0; cut++, in.n--) {
		if (str_is_utf8(in))
			return true;
		if (((unsigned char)in.p[in.n - 1] & 0x80) == 0)
			return false;
	}
	return in.n == 0;
}

static void
convert(struct charset_stream *s, struct buf *out, struct str in, bool last)
{
	const char *source = in.p, *source_end = in.p + in.n;
	UErrorCode code;

	do {
		char tmp[2048], *target = tmp;

		code = U_ZERO_ERROR;
		ucnv_convertEx(s->to, s->from, &target, tmp + sizeof tmp, &source, source_end,
			s->pivot, &s->pivot_source, &s->pivot_target, s->pivot + PIVOT, 0, last,
			&code);
		buf_add(out, str_n(tmp, (size_t)(target - tmp)));
	} while (code == U_BUFFER_OVERFLOW_ERROR && !out->over);
	s->started = !last;
}

static bool
is_ascii(struct str in)
{
	size_t i = 0;

	for (; in.n - i >= 8; i += 8) {
		uint64_t x;

		memcpy(&x, in.p + i, 8);
		if ((x & 0x8080808080808080U) != 0)
			return false;
	}
	for (; i < in.n; i++)
		if ((in.p[i] & 0x80) != 0)
			return false;
	return true;
}

void
charset_stream_add(struct charset_stream *s, struct buf *out, struct str in, bool last)
{
	if (!s->ascii)
		open_both(s);
	if (s->ascii && !s->started && is_ascii(in)) {
		buf_add(out, in);
		return;
	}
	open_both(s);
	if (s->guess) {
		bool utf8 = last ? str_is_utf8(in) : looks_utf8(in);

		s->from = open_named(utf8 ? "UTF-8" : "windows-1252");
		s->guess = false;
	}
	if (s->from == NULL || s->to == NULL) {
		out->over = true; /* ICU without its data: nothing sensible can follow */
		return;
	}
	convert(s, out, in, last);
	if (s->started && s->ascii) {
		UErrorCode code = U_ZERO_ERROR;

		s->started = ucnv_toUCountPending(s->from, &code) != 0;
	}
}

void
charset_to_utf8(struct buf *out, struct str name, struct str in)
{
	bool plain = name.n == 0 || is_utf8_name(name) || is_ascii_name(name);

	if (plain && str_is_utf8(in)) {
		buf_add(out, in);
		return;
	}
	struct charset_stream *s = charset_stream_new(name);

	charset_stream_add(s, out, in, true);
	charset_stream_free(s);
}

enum err
charset_to_utf8_strict(struct buf *out, struct str name, struct str in)
{
	if (is_utf8_name(name) || is_ascii_name(name)) {
		if (!(is_utf8_name(name) ? str_is_utf8(in) : is_ascii(in)))
			return ERR_SYNTAX;
		buf_add(out, in);
		return buf_check(out);
	}
	struct charset_stream *s = charset_stream_new(name);
	enum err e = ERR_NOTFOUND;
	size_t before = out->n;

	open_both(s);
	if (!s->guess && s->to != NULL) {
		UErrorCode code = U_ZERO_ERROR;

		ucnv_setToUCallBack(s->from, UCNV_TO_U_CALLBACK_STOP, NULL, NULL, NULL, &code);
		convert(s, out, in, true);
		char bad[16];
		int8_t n = sizeof bad;

		/* the converter keeps the octets that stopped it */
		code = U_ZERO_ERROR;
		ucnv_getInvalidChars(s->from, bad, &n, &code);
		e = n != 0 ? ERR_SYNTAX : buf_check(out);
	}
	charset_stream_free(s);
	if (e != ERR_OK)
		buf_truncate(out, before);
	return e;
}

/* --- case and normalisation ------------------------------------------------------------- */

static void
add_utf16(struct buf *out, const UChar *u, int32_t n)
{
	UErrorCode code = U_ZERO_ERROR;
	int32_t bytes = 0;
	char *p = buf_reserve(out, (size_t)n * 3);

	if (p == NULL) {
		out->over = true;
		return;
	}
	u_strToUTF8WithSub(p, n * 3, &bytes, u, n, 0xfffd, NULL, &code);
	if (U_SUCCESS(code) || code == U_STRING_NOT_TERMINATED_WARNING)
		buf_commit(out, (size_t)bytes);
}

static int32_t
title_all(UChar *u, int32_t n)
{
	int32_t i = 0;

	while (i < n) {
		UChar32 c, t;
		int32_t at = i;

		U16_NEXT(u, i, n, c);
		t = u_totitle(c);
		/* all simple title mappings stay in their plane */
		if (t != c && U16_LENGTH(t) == i - at)
			U16_APPEND_UNSAFE(u, at, t);
	}
	return n;
}

/* A run without ASCII, RUN_MAX octets at most. */
static void
fold_run(struct buf *out, struct str in)
{
	UChar u[RUN_MAX * 3];
	UChar folded[RUN_MAX * 18]; /* a character decomposes into 18 at most */
	UErrorCode code = U_ZERO_ERROR;
	int32_t n = 0;

	u_strFromUTF8WithSub(u, ARRAY_LEN(u), &n, in.p, (int32_t)in.n, 0xfffd, NULL, &code);
	if (U_FAILURE(code))
		return;
	n = title_all(u, n);
	const UNormalizer2 *nfkd = unorm2_getNFKDInstance(&code);

	n = unorm2_normalize(nfkd, u, n, folded, ARRAY_LEN(folded), &code);
	if (U_FAILURE(code))
		return;
	/* decompositions bring small letters of their own */
	n = title_all(folded, n);
	add_utf16(out, folded, n);
}

static void
fold_ascii(struct buf *out, struct str in)
{
	char *p = buf_reserve(out, in.n);

	if (p == NULL) {
		out->over = true;
		return;
	}
	for (size_t i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];

		p[i] = (char)(c - ((unsigned char)(c - 'a') < 26 ? 32 : 0));
	}
	buf_commit(out, in.n);
}

static size_t
ascii_run(struct str in)
{
	size_t i = 0;

	for (; in.n - i >= 8; i += 8) {
		uint64_t x;

		memcpy(&x, in.p + i, 8);
		if ((x & 0x8080808080808080U) != 0)
			break;
	}
	while (i < in.n && (in.p[i] & 0x80) == 0)
		i++;
	return i;
}

/* Where a run is cut: not in front of a mark, which may have to move before one that stands in
 * front of it. n when there is nothing but marks. */
static size_t
before_marks(const char *p, size_t n)
{
	UErrorCode code = U_ZERO_ERROR;
	const UNormalizer2 *nfkd = unorm2_getNFKDInstance(&code);
	int32_t i = (int32_t)n;
	UChar32 c;

	while (i > 0) {
		U8_PREV((const uint8_t *)p, 0, i, c);
		if (c >= 0 && i > 0 && unorm2_hasBoundaryBefore(nfkd, c))
			return (size_t)i;
	}
	return n;
}

/* Octets of the run without ASCII that in begins with; a long one is cut between characters. */
static size_t
other_run(struct str in)
{
	size_t n = 0;

	while (n < in.n && n < RUN_MAX && (in.p[n] & 0x80) != 0)
		n++;
	if (n < RUN_MAX)
		return n;
	for (size_t back = 1; back <= 4; back++)
		if (((unsigned char)in.p[n - back] & 0xc0) == 0xc0)
			return before_marks(in.p, n - back);
	return n;
}

void
charset_fold(struct buf *out, struct str in)
{
	while (in.n != 0 && !out->over) {
		size_t n = ascii_run(in);

		if (n != 0)
			fold_ascii(out, str_sub(in, 0, n));
		in = str_from(in, n);
		n = other_run(in);
		if (n != 0)
			fold_run(out, str_sub(in, 0, n));
		in = str_from(in, n);
	}
}

enum err
charset_loose(struct buf *out, struct str in)
{
	struct buf folded;
	UChar32 c;

	if (!str_is_utf8(in))
		return ERR_SYNTAX;
	buf_init(&folded, 18 * 4 * in.n + 1);
	charset_fold(&folded, in);
	struct str s = buf_str(&folded);

	for (int32_t i = 0, from = 0; (size_t)i < s.n; from = i) {
		U8_NEXT((const uint8_t *)s.p, i, (int32_t)s.n, c);
		if ((U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_Z_MASK | U_GC_C_MASK)) == 0 &&
			!u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT))
			buf_add(out, str_sub(s, (size_t)from, (size_t)(i - from)));
	}
	enum err e = buf_check(&folded);

	buf_fini(&folded);
	return e == ERR_OK ? buf_check(out) : e;
}

enum err
charset_nfc(struct buf *out, struct str in)
{
	UErrorCode code = U_ZERO_ERROR;
	enum err e = ERR_LIMIT;

	if (!str_is_utf8(in))
		return ERR_SYNTAX;
	if (is_ascii(in)) {
		buf_add(out, in);
		return buf_check(out);
	}
	if (in.n > 1024 * 1024)
		return ERR_LIMIT;
	/* NFC makes at most three units of one, and a unit came of at least one octet */
	int32_t cap = (int32_t)in.n * 3, n = 0;
	UChar *u = xmalloc(in.n * 4 * sizeof *u), *composed = u + in.n;

	u_strFromUTF8(u, (int32_t)in.n, &n, in.p, (int32_t)in.n, &code);
	const UNormalizer2 *nfc = unorm2_getNFCInstance(&code);

	n = unorm2_normalize(nfc, u, n, composed, cap, &code);
	if (U_SUCCESS(code)) {
		add_utf16(out, composed, n);
		e = buf_check(out);
	}
	free(u);
	return e;
}
