/* SEARCH on message text; called by imap. Invariants: a match is found wherever the pieces are cut
 * (needle.n - 1 octets are carried over), memory is bounded by the piece size. */
#include "core/mail/search.h"

#include <stdlib.h>

#include "core/mail/charset.h"
#include "core/mail/content.h"
#include "core/mail/encoded.h"
#include "core/mail/header.h"
#include "core/mail/transfer.h"

enum {
	NEEDLE_MAX = 64 * 1024,
	PIECE = 64 * 1024,
	/* folding makes at most 18 UTF-16 units of a character, three octets each */
	FOLD_GROWTH = 54,
};

enum err
search_key_init(struct search_key *k, struct str needle)
{
	buf_init(&k->folded, (size_t)NEEDLE_MAX * FOLD_GROWTH);
	if (needle.n > NEEDLE_MAX)
		return ERR_LIMIT;
	charset_fold(&k->folded, needle);
	return buf_check(&k->folded);
}

void
search_key_fini(struct search_key *k)
{
	buf_fini(&k->folded);
}

static bool
contains(const struct search_key *k, struct str folded)
{
	struct str needle = buf_str(&k->folded);

	return needle.n == 0 || str_find(folded, needle) != folded.n;
}

bool
search_text(const struct search_key *k, struct str utf8)
{
	struct buf b;

	buf_init(&b, utf8.n * FOLD_GROWTH + 1);
	charset_fold(&b, utf8);
	bool found = contains(k, buf_str(&b));

	buf_fini(&b);
	return found;
}

bool
search_value(const struct search_key *k, struct str value)
{
	struct buf b;

	buf_init(&b, value.n * 4 + 16);
	encoded_decode(&b, str_trim(value));
	bool found = search_text(k, buf_str(&b));

	buf_fini(&b);
	return found;
}

bool
search_header(const struct search_key *k, struct str header, struct str name)
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, header);
	while (header_next(&it, &f))
		if (str_ieq(f.name, name) && (k->folded.n == 0 || search_value(k, f.value)))
			return true;
	return false;
}

/* Any field, with its name: "Subject: text". */
static bool
search_all_fields(const struct search_key *k, struct str header)
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, header);
	while (header_next(&it, &f))
		if (search_value(k, f.whole))
			return true;
	return false;
}

/* --- bodies ----------------------------------------------------------------------------- */

struct scan {
	const struct search_key *k;
	struct transfer transfer;
	struct charset_stream *charset;
	struct buf raw;	   /* transfer decoded */
	struct buf text;   /* UTF-8; what is not folded yet */
	struct buf folded; /* with what is carried over in front */
};

/* Octets of text that may be folded now: whole characters, up to the last ASCII one, as combining
 * marks behind it belong to it. */
static size_t
safe_length(struct str text, bool last)
{
	size_t n = text.n;

	if (last)
		return n;
	while (n != 0 && (text.p[n - 1] & 0x80) != 0)
		n--;
	if (n != 0)
		return n - 1;
	return text.n > PIECE ? text.n - 4 : 0;
}

static bool
scan_piece(struct scan *s, struct str in, bool last)
{
	size_t carry = s->k->folded.n - 1;

	buf_reset(&s->raw);
	transfer_add(&s->transfer, &s->raw, in, last);
	charset_stream_add(s->charset, &s->text, buf_str(&s->raw), last);
	size_t n = safe_length(buf_str(&s->text), last);

	if (s->folded.n > carry)
		buf_consume(&s->folded, s->folded.n - carry);
	charset_fold(&s->folded, str_sub(buf_str(&s->text), 0, n));
	buf_consume(&s->text, n);
	return contains(s->k, buf_str(&s->folded));
}

static bool
scan_body(const struct search_key *k, struct str body, enum mime_encoding encoding,
	struct str charset)
{
	struct scan s = { .k = k };
	bool found = false;

	if (k->folded.n == 0)
		return true;
	transfer_init(&s.transfer, encoding);
	s.charset = charset_stream_new(charset);
	buf_init(&s.raw, 2 * PIECE);
	buf_init(&s.text, 16 * PIECE);
	buf_init(&s.folded, (size_t)16 * PIECE * FOLD_GROWTH + k->folded.n);
	do {
		struct str piece = str_sub(body, 0, PIECE);

		body = str_from(body, piece.n);
		found = scan_piece(&s, piece, body.n == 0);
	} while (!found && body.n != 0);
	charset_stream_free(s.charset);
	buf_fini(&s.raw);
	buf_fini(&s.text);
	buf_fini(&s.folded);
	return found;
}

/* What reads as text: also what message/partial, message/external-body and the like carry. */
static bool
scan_part(const struct search_key *k, const struct mime_part *p, struct str msg)
{
	struct arena *a = arena_new(1024 * 1024);
	struct str charset = STR_EMPTY;
	bool is_text = p->kind == MIME_TEXT;
	struct content c;

	/* a Content-Type too large for the arena leaves the charset to be guessed */
	if (p->is_mime && content_parse(&c, mime_header(p, msg), a) == ERR_OK) {
		is_text = is_text || str_ieq(c.type, STR("message"));
		for (size_t i = 0; i < c.params.n; i++)
			if (str_ieq(c.params.v[i].name, STR("charset")))
				charset = c.params.v[i].value;
	}
	bool found = is_text && scan_body(k, mime_body(p, msg), p->encoding, charset);

	arena_free(a);
	return found;
}

bool
search_body(const struct search_key *k, const struct mime *m, struct str msg, bool with_header)
{
	for (uint32_t i = 0; i < m->n; i++) {
		const struct mime_part *p = &m->parts[i];

		if (with_header && search_all_fields(k, mime_header(p, msg)))
			return true;
		if ((p->kind == MIME_TEXT || p->kind == MIME_LEAF) && scan_part(k, p, msg))
			return true;
	}
	return false;
}
