/* BINARY[...] and BINARY.SIZE[...]; see binary.h. Called by cmd_fetch.c once a step. Invariant:
 * what is sent is decoded from the same octets by the same pieces as what was counted, so the
 * literal is as long as its header said; a file is immutable. Who reads a large part from its
 * beginning to its end in ranges finds the decoder where the range before left it (session's
 * binary_mark). */
#include "imap/fetch/binary.h"

#include <unistd.h>

#include "imap/session/write.h"

enum { PIECE_BYTES = 32 * 1024, TEXT_BYTES_MAX = 2 * PIECE_BYTES };
enum { BINARY_BEGIN, BINARY_COUNTING, BINARY_SENDING };

enum err
binary_init(struct binary *b, struct arena *a, size_t max)
{
	*b = (struct binary){ .max = max };
	buf_init(&b->raw, PIECE_BYTES);
	buf_init(&b->text, TEXT_BYTES_MAX);
	b->v = arena_calloc(a, max + 1, sizeof *b->v);
	return b->v != NULL ? ERR_OK : ERR_LIMIT;
}

void
binary_fini(struct binary *b)
{
	buf_fini(&b->raw);
	buf_fini(&b->text);
	b->n = 0;
}

enum err
binary_add(struct binary *b, const struct fetch_item *item, const struct section_plan *p,
	struct message *m, uint64_t size)
{
	struct binary_item *v = &b->v[b->n];
	struct mime_range r;

	*v = (struct binary_item){ .item = item, .name = p->name };
	enum err e = section_find(&item->section, m, size, &r, &v->encoding);

	if (e == ERR_OK && v->encoding == MIME_ENC_OTHER)
		return ERR_DENIED;
	v->absent = e == ERR_NOTFOUND;
	if (e != ERR_OK && !v->absent)
		return e;
	if (!v->absent) {
		v->off = r.off;
		v->len = r.len;
	}
	b->n++;
	return ERR_OK;
}

void
binary_start(struct binary *b, struct section_file *file, uint64_t msg, bool first)
{
	b->first = first;
	b->file = file;
	b->msg = msg;
	b->at = 0;
	b->phase = BINARY_BEGIN;
}

static bool
is_encoded(const struct binary_item *v)
{
	return v->encoding == MIME_ENC_BASE64 || v->encoding == MIME_ENC_QP;
}

/* ---- pieces ---- */

/* The next piece of the section, decoded into b->text. */
static enum err
next_piece(struct binary *b, struct imap_session *s, const struct binary_item *v)
{
	uint64_t left = v->len - b->now.raw;
	size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;

	buf_reset(&b->raw);
	buf_reset(&b->text);
	char *to = buf_reserve(&b->raw, n);

	if (to == NULL)
		return ERR_LIMIT;
	enum err e = section_file_read(b->file, s, to, n, v->off + b->now.raw);

	if (e != ERR_OK)
		return e;
	buf_commit(&b->raw, n);
	b->now.raw += n;
	transfer_add(&b->now.transfer, &b->text, buf_str(&b->raw), b->now.raw == v->len);
	b->now.made += b->text.n;
	return buf_check(&b->text);
}

/* What of b->text is wanted. */
static struct str
wanted(const struct binary *b)
{
	uint64_t first = b->now.made - b->text.n;
	uint64_t from = b->from > first ? b->from : first;
	uint64_t until = b->until < b->now.made ? b->until : b->now.made;

	if (from >= until)
		return STR_EMPTY;
	return str_sub(buf_str(&b->text), (size_t)(from - first), (size_t)(until - from));
}

/* ---- one item ---- */

static void
begin(struct binary *b, struct imap_session *s, const struct binary_item *v)
{
	const struct fetch_item *item = v->item;
	const struct binary_mark *mark = &s->binary_mark;
	bool partial = item->partial;

	b->from = partial ? item->off : 0;
	b->until = UINT64_MAX;
	if (partial && item->len < UINT64_MAX - item->off)
		b->until = item->off + item->len;
	b->nul = false;
	b->now = (struct binary_point){ .raw = 0 };
	transfer_init(&b->now.transfer, v->encoding);
	if (partial && is_encoded(v) && mark->msg == b->msg && mark->off == v->off &&
		mark->made <= b->from) {
		b->now.transfer = mark->transfer;
		b->now.raw = mark->raw;
		b->now.made = mark->made;
	}
	if (!is_encoded(v)) {
		if (b->until > v->len)
			b->until = v->len;
		if (b->from > b->until)
			b->from = b->until;
		b->now.raw = b->now.made = b->from;
	}
	b->begin = b->now;
	b->phase = BINARY_COUNTING;
}

/* ERR_AGAIN: the step is full. */
static enum err
count(struct binary *b, struct imap_session *s, const struct binary_item *v, int64_t began)
{
	bool sized = !is_encoded(v);

	while (b->now.raw < v->len && b->now.made < b->until && !(sized && b->nul)) {
		if (b->now.made <= b->from)
			b->begin = b->now;
		enum err e = next_piece(b, s, v);

		if (e != ERR_OK)
			return e;
		b->nul = b->nul || str_has_nul(wanted(b));
		if (session_enough(s, began))
			return ERR_AGAIN;
	}
	if (!sized && b->now.made < b->until)
		b->until = b->now.made;
	if (b->from > b->until)
		b->from = b->until;
	return ERR_OK;
}

static void
write_name(struct buf *out, struct binary *b, const struct binary_item *v)
{
	if (!b->first)
		buf_addc(out, ' ');
	b->first = false;
	buf_add(out, v->name);
}

static void
write_size(struct buf *out, struct binary *b, const struct binary_item *v)
{
	write_name(out, b, v);
	buf_addz(out, b->nul ? " ~{" : " {");
	write_number(out, b->until - b->from);
	buf_addz(out, "}\r\n");
}

static void
keep_mark(struct binary *b, struct imap_session *s, const struct binary_item *v)
{
	if (!v->item->partial || !is_encoded(v))
		return;
	s->binary_mark = (struct binary_mark){
		.msg = b->msg,
		.off = v->off,
		.raw = b->begin.raw,
		.made = b->begin.made,
		.transfer = b->begin.transfer,
	};
}

static enum err
send_pieces(struct binary *b, struct imap_session *s, const struct binary_item *v, int64_t began)
{
	while (b->from < b->until && b->now.made < b->until) {
		if (b->now.raw == v->len)
			return ERR_CORRUPT;
		b->begin = b->now;
		enum err e = next_piece(b, s, v);

		if (e != ERR_OK)
			return e;
		buf_add(session_out(s), wanted(b));
		if (b->now.made < b->until && session_enough(s, began))
			return ERR_AGAIN;
	}
	keep_mark(b, s, v);
	return ERR_OK;
}

static enum err
item_step(struct binary *b, struct imap_session *s, const struct binary_item *v, int64_t began)
{
	struct buf *out = session_out(s);
	bool size_only = v->item->kind == FETCH_BINARY_SIZE;
	enum err e = ERR_OK;

	if (v->absent) {
		write_name(out, b, v);
		buf_addz(out, size_only ? " 0" : " NIL");
		return ERR_OK;
	}
	if (b->phase == BINARY_BEGIN)
		begin(b, s, v);
	if (b->phase == BINARY_COUNTING) {
		if (!size_only || is_encoded(v))
			e = count(b, s, v, began);
		if (e != ERR_OK)
			return e;
		if (size_only) {
			write_name(out, b, v);
			buf_addc(out, ' ');
			write_number(out, b->until);
			return ERR_OK;
		}
		write_size(out, b, v);
		b->now = b->begin;
		b->phase = BINARY_SENDING;
	}
	return send_pieces(b, s, v, began);
}

enum err
binary_step(struct binary *b, struct imap_session *s, int64_t began)
{
	for (; b->at < b->n; b->at++) {
		enum err e = item_step(b, s, &b->v[b->at], began);

		if (e != ERR_OK)
			return e;
		b->phase = BINARY_BEGIN;
		if (b->at + 1 < b->n && session_enough(s, began)) {
			b->at++;
			return ERR_AGAIN;
		}
	}
	return ERR_OK;
}

bool
binary_promised(const struct binary *b)
{
	return b->phase == BINARY_SENDING;
}

void
binary_end(struct binary *b)
{
	buf_release(&b->raw);
	buf_release(&b->text);
	b->file = NULL;
	b->phase = BINARY_BEGIN;
	b->n = 0;
}
