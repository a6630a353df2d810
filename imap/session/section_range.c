/* Where a section stands in its message; see section_range.h. Called for FETCH and for the URLs of
 * CATENATE. Invariant: what is found lies inside the message's size. */
#include "imap/session/section_range.h"

static enum mime_want
want_of(enum section_kind kind)
{
	switch (kind) {
	case SECTION_ALL:
		return MIME_WANT_BODY;
	case SECTION_HEADER:
	case SECTION_FIELDS:
	case SECTION_FIELDS_NOT:
		return MIME_WANT_HEADER;
	case SECTION_TEXT:
		return MIME_WANT_TEXT;
	case SECTION_MIME:
		return MIME_WANT_MIME;
	}
	return MIME_WANT_BODY;
}

static enum mime_encoding
encoding_of(const struct mime *m, uint32_t i)
{
	const struct mime_part *p = i < m->n ? &m->parts[i] : NULL;

	if (p == NULL || p->kind == MIME_MULTIPART || p->kind == MIME_MESSAGE)
		return MIME_ENC_BINARY;
	return p->encoding;
}

enum err
section_range(const struct section *sec, struct message *m, uint64_t size, struct mime_range *out)
{
	enum mime_encoding encoding;

	return section_find(sec, m, size, out, &encoding);
}

enum err
section_find(const struct section *sec, struct message *m, uint64_t size, struct mime_range *out,
	enum mime_encoding *encoding_out)
{
	struct mime mime;

	*encoding_out = MIME_ENC_BINARY;
	*out = (struct mime_range){ .off = 0, .len = size };
	if (sec->path.n == 0 && sec->kind == SECTION_ALL)
		return ERR_OK;
	if (sec->path.n == 0 && m->header_size <= size) {
		bool text = sec->kind == SECTION_TEXT;

		out->off = text ? m->header_size : 0;
		out->len = text ? size - m->header_size : m->header_size;
		return ERR_OK;
	}
	enum err e = message_mime(m, &mime);

	if (e != ERR_OK)
		return e;
	e = mime_find(&mime, sec->path, want_of(sec->kind), out);
	if (e == ERR_OK && sec->kind == SECTION_ALL)
		*encoding_out = encoding_of(&mime, out->part);
	mime_fini(&mime);
	if (e == ERR_SYNTAX)
		e = ERR_NOTFOUND;
	if (e == ERR_OK && (out->off > size || out->len > size - out->off))
		e = ERR_CORRUPT;
	return e;
}
