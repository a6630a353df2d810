/* Binary parts become base64; see textual.h. Called by core/store's body.c for what IMAP's APPEND
 * brings. Invariant: what is not such a part's body or its Content-Transfer-Encoding is copied. */
#include "core/mail/textual.h"

#include "core/base/codec.h"
#include "core/mail/header.h"
#include "core/mail/mime.h"

enum { LINE_OCTETS = 57 }; /* 76 characters: RFC 2045 6.8 */

static bool
is_binary(const struct mime_part *p, struct str msg)
{
	bool leaf = p->kind == MIME_LEAF || p->kind == MIME_TEXT;

	return leaf && p->encoding == MIME_ENC_BINARY && str_has_nul(mime_body(p, msg));
}

static void
add_base64(struct buf *out, struct str body)
{
	while (body.n != 0) {
		size_t n = body.n < LINE_OCTETS ? body.n : LINE_OCTETS;

		base64_encode(out, str_sub(body, 0, n));
		body = str_from(body, n);
		/* the last line's end is the next boundary's, or none is needed */
		if (body.n != 0)
			buf_add(out, STR("\r\n"));
	}
}

/* From *at up to the part's end. */
static void
add_part(struct buf *out, const struct mime_part *p, struct str msg, size_t *at)
{
	struct header_field f;

	if (!header_find(mime_header(p, msg), STR("Content-Transfer-Encoding"), 0, &f))
		return;
	size_t field = (size_t)(f.whole.p - msg.p);

	buf_add(out, str_sub(msg, *at, field - *at));
	buf_add(out, STR("Content-Transfer-Encoding: base64\r\n"));
	*at = field + f.whole.n;
	buf_add(out, str_sub(msg, *at, (size_t)p->body_off - *at));
	add_base64(out, mime_body(p, msg));
	*at = (size_t)(p->body_off + p->body_len);
}

bool
textual_make(struct buf *out, struct str msg)
{
	struct mime m;
	size_t at = 0;

	if (!str_has_nul(msg))
		return false;
	mime_parse(&m, msg, &mime_limits_default);
	for (uint32_t i = 0; i < m.n; i++)
		if (is_binary(&m.parts[i], msg))
			add_part(out, &m.parts[i], msg, &at);
	mime_fini(&m);
	if (at != 0)
		buf_add(out, str_from(msg, at));
	return at != 0;
}
