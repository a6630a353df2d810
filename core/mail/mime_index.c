/* Looking things up in a table of parts, and the table's compact form; called by imap (FETCH) and
 * the store. Invariant: a table that mime_decode accepts has every range inside its parent's body,
 * parents before children, siblings in order. */
#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/mail/mime.h"

uint32_t
mime_first_child(const struct mime *m, uint32_t i)
{
	return m->parts[i].child_count != 0 ? i + 1 : MIME_NONE;
}

/* The part that number names below part i (a message's root, or the part behind the numbers so
 * far). *empty_out: the part that a multipart without parts is shown to have. */
static uint32_t
step(const struct mime *m, uint32_t i, uint32_t number, bool root, bool *empty_out)
{
	if (m->parts[i].kind == MIME_MESSAGE && !root) {
		i = mime_first_child(m, i);
		if (i == MIME_NONE)
			return MIME_NONE;
		root = true;
	}
	if (m->parts[i].kind != MIME_MULTIPART)
		return root && number == 1 ? i : MIME_NONE;
	*empty_out = m->parts[i].child_count == 0 && number == 1;
	if (number == 0 || number > m->parts[i].child_count)
		return MIME_NONE;
	for (i++; number > 1; number--)
		i = m->parts[i].next;
	return i;
}

static enum err
range_of(const struct mime *m, uint32_t i, bool by_number, enum mime_want want,
	struct mime_range *out)
{
	const struct mime_part *p = &m->parts[i];

	if (by_number && (want == MIME_WANT_HEADER || want == MIME_WANT_TEXT)) {
		if (p->kind != MIME_MESSAGE || p->child_count == 0)
			return ERR_NOTFOUND;
		p = &m->parts[++i];
	}
	out->part = i;
	if (want == MIME_WANT_HEADER || want == MIME_WANT_MIME) {
		out->off = p->header_off;
		out->len = p->header_len;
	} else {
		out->off = p->body_off;
		out->len = p->body_len;
	}
	return ERR_OK;
}

enum err
mime_find(const struct mime *m, struct str path, enum mime_want want, struct mime_range *out)
{
	uint32_t i = 0;
	bool root = true;

	if (path.n == 0) {
		if (want == MIME_WANT_MIME)
			return ERR_NOTFOUND;
		(void)range_of(m, 0, false, want, out);
		if (want == MIME_WANT_BODY)
			*out = (struct mime_range){ 0,
				m->parts[0].header_len + m->parts[0].body_len, 0 };
		return ERR_OK;
	}
	/* The whole path is checked, though the walk may end before its end. */
	bool none = false, empty = false;

	for (bool more = true; more;) {
		struct str word;
		uint32_t number;

		more = str_cut(path, '.', &word, &path);
		if (str_to_u32(word, UINT32_MAX, &number) != ERR_OK || number == 0)
			return ERR_SYNTAX;
		if (none || empty) {
			none = true;
			continue;
		}
		uint32_t child = step(m, i, number, root, &empty);

		if (child == MIME_NONE && !empty)
			none = true;
		root = false;
		i = child != MIME_NONE ? child : i;
	}
	if (none)
		return ERR_NOTFOUND;
	if (!empty)
		return range_of(m, i, true, want, out);
	if (want == MIME_WANT_HEADER || want == MIME_WANT_TEXT)
		return ERR_NOTFOUND;
	*out = (struct mime_range){ m->parts[i].body_off, 0, MIME_NONE };
	return ERR_OK;
}

void
mime_path(struct buf *out, const struct mime *m, uint32_t i)
{
	uint32_t numbers[MIME_DEPTH_MAX + 1];
	size_t n = 0;

	/* the single body of a message is part 1 of it */
	for (uint32_t at = i; i != 0 && at != MIME_NONE && n < ARRAY_LEN(numbers);
		at = m->parts[at].parent) {
		if (m->parts[at].number != 0)
			numbers[n++] = m->parts[at].number;
		else if (m->parts[at].kind != MIME_MULTIPART)
			numbers[n++] = 1;
	}
	while (n != 0) {
		buf_addu(out, numbers[--n]);
		if (n != 0)
			buf_addc(out, '.');
	}
}

/* --- compact form ----------------------------------------------------------------------- */

enum { FORM_VERSION = 1, PARTS_MAX = 1000000 };

static void
put(struct buf *out, uint64_t v)
{
	while (v >= 0x80) {
		buf_addc(out, (char)(v | 0x80));
		v >>= 7;
	}
	buf_addc(out, (char)v);
}

static enum err
get(struct str *in, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 63 && in->n != 0; shift += 7) {
		unsigned char c = (unsigned char)in->p[0];

		*in = str_from(*in, 1);
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80) {
			*out = v;
			return ERR_OK;
		}
	}
	return ERR_CORRUPT;
}

void
mime_encode(struct buf *out, const struct mime *m)
{
	put(out, FORM_VERSION);
	put(out, m->cut);
	put(out, m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		const struct mime_part *p = &m->parts[i];
		uint64_t base = i != 0 ? m->parts[i - 1].body_off : 0;

		put(out, i != 0 ? i - p->parent : 0);
		put(out, (uint64_t)p->kind | (uint64_t)p->encoding << 2 |
				 (uint64_t)p->is_mime << 5 | (uint64_t)p->digest << 6);
		put(out, p->header_off - base);
		put(out, p->header_len);
		put(out, p->body_len);
		put(out, p->header_lines);
		put(out, p->body_lines);
	}
}

static bool
inside(uint64_t off, uint64_t len, uint64_t low, uint64_t high)
{
	return off >= low && off <= high && len <= high - off;
}

/* What decoding remembers of each part. */
struct link {
	uint32_t last_child;
	uint32_t depth;
};

/* Tie part i to its parent; false when that cannot be. */
static bool
link_part(struct mime *m, uint32_t i, uint64_t back, struct link *links)
{
	struct mime_part *p = &m->parts[i];

	if (back == 0 || back > i)
		return false;
	p->parent = i - (uint32_t)back;
	struct mime_part *parent = &m->parts[p->parent];
	uint64_t low = parent->body_off;

	if (parent->kind == MIME_MESSAGE) {
		if (parent->child_count != 0 || back != 1)
			return false;
	} else if (parent->kind == MIME_MULTIPART) {
		if (parent->child_count == 0 ? back != 1 : false)
			return false;
		p->number = parent->child_count + 1;
		if (p->number > 1) {
			struct mime_part *prev = &m->parts[links[p->parent].last_child];

			prev->next = i;
			low = prev->body_off + prev->body_len;
		}
	} else {
		return false;
	}
	parent->child_count++;
	links[p->parent].last_child = i;
	links[i].depth = links[p->parent].depth + 1;
	if (links[i].depth >= MIME_DEPTH_MAX)
		return false;
	return inside(p->header_off, p->header_len, low, parent->body_off + parent->body_len) &&
	       inside(p->body_off, p->body_len, p->body_off, parent->body_off + parent->body_len);
}

static enum err
decode_part(struct mime *m, uint32_t i, struct str *in, uint64_t msg_len, struct link *links)
{
	uint64_t v[7];
	struct mime_part *p = &m->parts[i];

	for (size_t k = 0; k < ARRAY_LEN(v); k++) {
		if (get(in, &v[k]) != ERR_OK || (k >= 2 && v[k] > msg_len))
			return ERR_CORRUPT;
	}
	*p = (struct mime_part){
		.header_off = v[2] + (i != 0 ? m->parts[i - 1].body_off : 0),
		.header_len = v[3],
		.body_len = v[4],
		.header_lines = v[5],
		.body_lines = v[6],
		.parent = MIME_NONE,
		.next = MIME_NONE,
		.kind = (enum mime_kind)(v[1] & 3),
		.encoding = (enum mime_encoding)(v[1] >> 2 & 7),
		.is_mime = (v[1] & 32) != 0,
		.digest = (v[1] & 64) != 0,
	};
	p->body_off = p->header_off + p->header_len;
	if (v[1] > 127 || p->encoding > MIME_ENC_OTHER || p->header_lines > p->header_len ||
		p->body_lines > p->body_len)
		return ERR_CORRUPT;
	if (i == 0)
		return v[0] == 0 && p->header_off == 0 &&
				       inside(p->body_off, p->body_len, 0, msg_len) &&
				       p->body_off + p->body_len == msg_len
			       ? ERR_OK
			       : ERR_CORRUPT;
	return link_part(m, i, v[0], links) ? ERR_OK : ERR_CORRUPT;
}

enum err
mime_decode(struct mime *m, struct str in, uint64_t msg_len)
{
	uint64_t version, cut, n;

	*m = (struct mime){ 0 };
	if (get(&in, &version) != ERR_OK || get(&in, &cut) != ERR_OK || get(&in, &n) != ERR_OK)
		return ERR_CORRUPT;
	/* Each part takes at least seven octets: a false count cannot take memory. */
	if (version != FORM_VERSION || cut > 1 || n == 0 || n > PARTS_MAX || n > in.n / 7)
		return ERR_CORRUPT;
	m->cut = cut != 0;
	m->cap = m->n = (uint32_t)n;
	m->parts = xcalloc(n, sizeof *m->parts);
	struct link *links = xcalloc(n, sizeof *links);
	enum err e = ERR_OK;

	for (uint32_t i = 0; i < m->n && e == ERR_OK; i++)
		e = decode_part(m, i, &in, msg_len, links);
	for (uint32_t i = 0; i < m->n && e == ERR_OK; i++)
		if (m->parts[i].kind == MIME_MESSAGE && m->parts[i].child_count != 1)
			e = ERR_CORRUPT;
	free(links);
	return e == ERR_OK && in.n != 0 ? ERR_CORRUPT : e;
}
