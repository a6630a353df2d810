/* PREVIEW's text; see preview.h. Called by the store when a message comes in. Invariant: the work
 * is bounded whatever the message is, most of them need one piece of one part. */
#include "core/mail/preview.h"

#include "core/mail/charset.h"
#include "core/mail/content.h"
#include "core/mail/gist.h"
#include "core/mail/transfer.h"

enum {
	PIECE_BYTES = 4 * 1024,
	TEXT_BYTES_MAX = 128 * 1024, /* of one part that are looked at */
	TEXTS_MAX = 8,
	PARTS_MAX = 1000, /* that are passed by on the way to them */
	ARENA_BYTES = 256 * 1024,
};

struct text {
	struct str body;
	enum mime_encoding encoding;
	struct str charset;
	bool html;
};

static void
reduce(struct buf *out, const struct text *t, bool keep_quotes)
{
	struct transfer transfer;
	struct charset_stream *charset = charset_stream_new(t->charset);
	struct str rest = t->body;
	struct gist g;
	struct buf raw, utf8;

	transfer_init(&transfer, t->encoding);
	gist_init(&g, out, PREVIEW_CHARS_MAX, keep_quotes);
	buf_init(&raw, (size_t)2 * PIECE_BYTES);
	buf_init(&utf8, (size_t)32 * PIECE_BYTES);
	do {
		struct str piece = str_sub(rest, 0, PIECE_BYTES);

		rest = str_from(rest, piece.n);
		buf_reset(&raw);
		buf_reset(&utf8);
		transfer_add(&transfer, &raw, piece, rest.n == 0);
		charset_stream_add(charset, &utf8, buf_str(&raw), rest.n == 0);
		if (t->html)
			gist_html(&g, buf_str(&utf8));
		else
			gist_plain(&g, buf_str(&utf8));
	} while (rest.n != 0 && !gist_full(&g));
	charset_stream_free(charset);
	buf_fini(&raw);
	buf_fini(&utf8);
}

/* Is part p a text for readers? */
static bool
text_of(const struct mime_part *p, struct str msg, struct arena *a, struct text *out)
{
	struct content c = { .type = STR_EMPTY };

	if (p->kind != MIME_TEXT || p->encoding == MIME_ENC_OTHER)
		return false;
	*out = (struct text){
		.body = str_sub(mime_body(p, msg), 0, TEXT_BYTES_MAX),
		.encoding = p->encoding,
		.charset = STR_EMPTY,
	};
	if (!p->is_mime || content_parse(&c, mime_header(p, msg), a) != ERR_OK || c.type.n == 0)
		return true;
	if (str_ieq(c.disposition, STR("attachment")))
		return false;
	for (size_t i = 0; i < c.params.n; i++)
		if (str_ieq(c.params.v[i].name, STR("charset")))
			out->charset = c.params.v[i].value;
	out->html = str_ieq(c.subtype, STR("html")) || str_ieq(c.subtype, STR("enriched"));
	return out->html || !str_ieq(c.type, STR("text")) || str_ieq(c.subtype, STR("plain"));
}

void
preview_make(struct buf *out, const struct mime *m, struct str msg)
{
	struct arena *a = arena_new(ARENA_BYTES);
	size_t before = out->n;

	for (uint32_t i = 0, texts = 0; i < m->n && i < PARTS_MAX && texts < TEXTS_MAX; i++) {
		struct text t;

		arena_reset(a);
		if (!text_of(&m->parts[i], msg, a, &t))
			continue;
		texts++;
		reduce(out, &t, false);
		if (out->n == before)
			reduce(out, &t, true);
		if (out->n != before)
			break;
	}
	arena_free(a);
}
