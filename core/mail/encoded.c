/* RFC 2047 words; called by search.c, subject.c and param.c. Invariant: output is UTF-8, and time
 * is linear: a word that is not one ends its own scan at the next "?". */
#include "core/mail/encoded.h"

#include "core/mail/charset.h"
#include "core/mail/header.h"
#include "core/mail/transfer.h"
#include "core/mail/token.h"

enum { CHARSET_MAX = 80 };

struct word {
	struct str charset; /* without RFC 2231's language */
	char encoding;	    /* 'b' or 'q' */
	struct str text;
	size_t n; /* octets of the whole word */
};

/* The word that s begins with. */
static bool
parse_word(struct str s, struct word *w)
{
	struct str rest, charset, text;
	size_t star;

	if (!str_starts(s, STR("=?")))
		return false;
	rest = str_from(s, 2);
	charset = str_sub(rest, 0, str_chr(str_sub(rest, 0, CHARSET_MAX), '?'));
	rest = str_from(rest, charset.n);
	star = str_chr(charset, '*');
	if (star == 0 || rest.n < 5 || rest.p[0] != '?' || rest.p[2] != '?')
		return false;
	w->encoding = (char)ascii_lower((unsigned char)rest.p[1]);
	rest = str_from(rest, 3);
	text = str_sub(rest, 0, str_chr(rest, '?'));
	if ((w->encoding != 'b' && w->encoding != 'q') || rest.n < text.n + 2 ||
		rest.p[text.n + 1] != '=')
		return false;
	w->charset = str_sub(charset, 0, star);
	w->text = text;
	w->n = (size_t)(text.p + text.n + 2 - s.p);
	return true;
}

static void
decode_text(struct buf *out, const struct word *w)
{
	struct str s = w->text;

	if (w->encoding == 'b') {
		struct transfer t;

		transfer_init(&t, MIME_ENC_BASE64);
		transfer_add(&t, out, s, true);
		return;
	}
	for (size_t i = 0; i < s.n; i++) {
		int hi = s.p[i] == '=' && s.n - i > 2 ? ascii_hex_value(s.p[i + 1]) : -1;
		int lo = hi >= 0 ? ascii_hex_value(s.p[i + 2]) : -1;

		if (lo >= 0)
			i += 2;
		buf_addc(out, lo >= 0 ? (char)(hi * 16 + lo) : s.p[i] == '_' ? ' ' : s.p[i]);
	}
}

static size_t
blank_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && (s.p[n] == ' ' || s.p[n] == '\t'))
		n++;
	return n;
}

/* The words that s begins with, with only white space between them. Octets of those of one charset
 * are put together first. Returns octets used. */
static size_t
decode_words(struct buf *out, struct str s, struct word w)
{
	struct buf raw;
	size_t used = 0;
	bool more = true;

	buf_init(&raw, s.n + 3);
	while (more) {
		struct str charset = w.charset;

		decode_text(&raw, &w);
		used += w.n;
		struct str rest = str_from(s, used);
		size_t blank = blank_length(rest);

		more = parse_word(str_from(rest, blank), &w);
		if (more)
			used += blank;
		if (!more || !str_ieq(charset, w.charset)) {
			charset_to_utf8(out, charset, buf_str(&raw));
			buf_reset(&raw);
		}
	}
	buf_fini(&raw);
	return used;
}

static void
decode_line(struct buf *out, struct str s)
{
	while (s.n != 0) {
		size_t at = str_find(s, STR("=?"));
		struct word w;

		while (at < s.n && !parse_word(str_from(s, at), &w))
			at += 2 + str_find(str_from(s, at + 2), STR("=?"));
		if (at > s.n)
			at = s.n;
		if (at != 0)
			charset_to_utf8(out, STR_EMPTY, str_sub(s, 0, at));
		s = str_from(s, at);
		if (s.n != 0)
			s = str_from(s, decode_words(out, s, w));
	}
}

void
encoded_decode(struct buf *out, struct str value)
{
	if (str_chr(value, '\n') == value.n) {
		decode_line(out, value);
		return;
	}
	struct buf line;

	buf_init(&line, value.n + 1);
	header_unfold(&line, value);
	decode_line(out, buf_str(&line));
	buf_fini(&line);
}
