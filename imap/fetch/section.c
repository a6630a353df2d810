/* The octets of BODY[...]; see section.h. Called by cmd_fetch.c for each row. Invariant: what a
 * literal's header promises is what follows, because the range was cut to the file's size
 * before. RFC 3501 6.4.5. */
#include "imap/fetch/section.h"

#include <sys/stat.h>
#include <unistd.h>

#include "imap/session/write.h"
#include "imap/session/section_range.h"

enum {
	COPY_BYTES = 32 * 1024, /* larger ranges are read when the socket takes them */
	SEND_BYTES = COLD_LOOK_BYTES,
	AHEAD_HEADER_BYTES = 16 * 1024,
	AHEAD_BYTES = 256 * 1024,
	ROUNDS_MAX = 200, /* twice the items of a FETCH */
};

uint64_t
section_ahead(const struct fetch_item *item)
{
	switch (item->section.kind) {
	case SECTION_HEADER:
	case SECTION_FIELDS:
	case SECTION_FIELDS_NOT:
		return AHEAD_HEADER_BYTES;
	case SECTION_ALL:
	case SECTION_TEXT:
	case SECTION_MIME:
		break;
	}
	if (item->partial && item->off < AHEAD_BYTES && item->len < AHEAD_BYTES - item->off)
		return item->off + item->len;
	return AHEAD_BYTES;
}

/* ---- files ---- */

void
section_file_init(struct section_file *f)
{
	*f = (struct section_file){ .fd = -1 };
	buf_init(&f->text, 16);
}

enum err
section_file_take(struct section_file *f, int fd, uint64_t size)
{
	struct stat st;

	f->fd = fd;
	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != size) {
		section_file_close(f);
		return ERR_CORRUPT;
	}
	f->size = size;
	return ERR_OK;
}

enum err
section_file_open(struct section_file *f, struct imap_session *s, uint64_t msg, uint64_t size)
{
	int fd;
	enum err e = cold_open(s, msg, false, &fd, &f->code);

	return e == ERR_OK ? section_file_take(f, fd, size) : e;
}

void
section_file_close(struct section_file *f)
{
	if (f->shared != NULL)
		stream_file_unref(f->shared);
	else if (f->fd >= 0)
		(void)close(f->fd);
	buf_fini(&f->text);
	section_file_init(f);
}

enum err
section_file_read(struct section_file *f, struct imap_session *s, char *to, size_t n, uint64_t off)
{
	bool wait = f->warm || f->rounds > ROUNDS_MAX;
	enum err e = cold_read(s, f->fd, wait, to, n, off, &f->code);

	f->warm = false;
	f->cold_off = off;
	f->cold_len = n;
	return e;
}

/* ---- names ---- */

static void
write_fields(struct buf *out, const struct section *sec)
{
	buf_addz(out, " (");
	for (size_t i = 0; i < sec->fields_count; i++) {
		if (i != 0)
			buf_addc(out, ' ');
		write_astring(out, sec->fields[i]);
	}
	buf_addc(out, ')');
}

static void
write_name(struct buf *out, const struct fetch_item *item)
{
	static const char *const kinds[] = { "", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT",
		"TEXT", "MIME" };
	const struct section *sec = &item->section;

	if (item->kind == FETCH_RFC822)
		buf_addz(out, "RFC822");
	else if (item->kind == FETCH_RFC822_HEADER)
		buf_addz(out, "RFC822.HEADER");
	else if (item->kind == FETCH_RFC822_TEXT)
		buf_addz(out, "RFC822.TEXT");
	if (item->kind == FETCH_SECTION)
		buf_addz(out, "BODY[");
	else if (item->kind == FETCH_BINARY)
		buf_addz(out, "BINARY[");
	else if (item->kind == FETCH_BINARY_SIZE)
		buf_addz(out, "BINARY.SIZE[");
	else
		return;
	buf_add(out, sec->path);
	if (sec->path.n != 0 && sec->kind != SECTION_ALL)
		buf_addc(out, '.');
	buf_addz(out, kinds[sec->kind]);
	if (sec->kind == SECTION_FIELDS || sec->kind == SECTION_FIELDS_NOT)
		write_fields(out, sec);
	buf_addc(out, ']');
	if (item->partial) {
		buf_addc(out, '<');
		write_number(out, item->off);
		buf_addc(out, '>');
	}
}

static enum err
plan_name(struct section_plan *p, const struct fetch_item *item, struct arena *a)
{
	struct buf name;

	buf_init(&name, 256 * 1024);
	write_name(&name, item);
	enum err e = buf_check(&name);

	if (e == ERR_OK)
		e = arena_str(a, buf_str(&name), &p->name);
	buf_fini(&name);
	return e;
}

enum err
section_plan(struct section_plan *p, const struct fetch_item *item, struct arena *a)
{
	const struct section *sec = &item->section;
	bool fields = sec->kind == SECTION_FIELDS || sec->kind == SECTION_FIELDS_NOT;

	*p = (struct section_plan){ .needs_message = true, .needs_file = true };
	enum err e = plan_name(p, item, a);

	if (e != ERR_OK)
		return e;
	if (!fields) {
		/* the whole message needs nothing but its size */
		p->needs_message = sec->kind != SECTION_ALL || sec->path.n != 0;
		return ERR_OK;
	}
	p->kept = sec->path.n == 0 && sec->kind == SECTION_FIELDS;
	for (size_t i = 0; i < sec->fields_count; i++)
		p->kept = p->kept && message_field_kept(sec->fields[i]);
	p->needs_file = !p->kept;
	field_name_set_init(&p->kept_fields, sec->fields, sec->fields_count);
	return header_set_init(&p->fields, a, sec->fields, sec->fields_count);
}

static void
write_literal_header(struct buf *out, uint64_t n)
{
	buf_addz(out, " {");
	write_number(out, n);
	buf_addz(out, "}\r\n");
}

/* ---- ranges ---- */

static void
cut_partial(const struct fetch_item *item, uint64_t *off, uint64_t *len)
{
	if (!item->partial)
		return;
	uint64_t skip = item->off < *len ? item->off : *len;

	*off += skip;
	*len -= skip;
	if (*len > item->len)
		*len = item->len;
}

static void
write_text(struct buf *out, const struct fetch_item *item, struct str text)
{
	uint64_t off = 0, len = text.n;

	cut_partial(item, &off, &len);
	write_literal_header(out, len);
	buf_add(out, str_sub(text, (size_t)off, (size_t)len));
}

static enum err
write_range(struct imap_session *s, struct section_file *f, uint64_t off, uint64_t len)
{
	struct buf *out = session_out(s);

	write_literal_header(out, len);
	if (len > COPY_BYTES) {
		f->off = off;
		f->left = len;
		return ERR_OK;
	}
	char *to = buf_reserve(out, (size_t)len);

	if (to == NULL)
		return ERR_LIMIT;
	enum err e = section_file_read(f, s, to, (size_t)len, off);

	if (e == ERR_OK)
		buf_commit(out, (size_t)len);
	return e;
}

static enum err
send_text(struct imap_session *s, struct section_file *f)
{
	session_flush(s);
	while (f->left != 0) {
		size_t n = f->left < SEND_BYTES ? (size_t)f->left : SEND_BYTES;

		if (stream_full(s->stream))
			return ERR_AGAIN;
		stream_write(s->stream, str_sub(buf_str(&f->text), (size_t)f->off, n));
		f->off += n;
		f->left -= n;
	}
	buf_release(&f->text);
	f->selected = false;
	return ERR_OK;
}

enum err
section_send(struct imap_session *s, struct section_file *f)
{
	if (f->left == 0)
		return ERR_OK;
	if (f->selected)
		return send_text(s, f);
	if (f->shared == NULL)
		f->shared = stream_file_new(f->fd);
	session_flush(s);
	while (f->left != 0) {
		size_t n = f->left < SEND_BYTES ? (size_t)f->left : SEND_BYTES;

		if (stream_full(s->stream))
			return ERR_AGAIN;
		if (!f->warm && !cold_is_there(s, f->fd, f->off, n)) {
			f->cold_off = f->off;
			f->cold_len = n;
			return ERR_BUSY;
		}
		f->warm = false;
		stream_write_file(s->stream, f->shared, f->off, n);
		f->off += n;
		f->left -= n;
	}
	return ERR_OK;
}

/* ---- header fields ---- */

enum { PIECES_MAX = 64 };

/* The fields asked for, neighbours in one piece; the octets in all, or SIZE_MAX: too many pieces.
 */
static size_t
gather_fields(const struct section_plan *p, struct str run, struct str *pieces, size_t *n_out)
{
	struct str name, value, whole;
	size_t n = 0, bytes = 0;

	while (field_next(&run, &name, &value, &whole)) {
		if (!field_name_set_has(&p->kept_fields, name))
			continue;
		bytes += whole.n;
		if (n != 0 && pieces[n - 1].p + pieces[n - 1].n == whole.p) {
			pieces[n - 1].n += whole.n;
			continue;
		}
		if (n == PIECES_MAX)
			return SIZE_MAX;
		pieces[n++] = whole;
	}
	*n_out = n;
	return bytes;
}

static enum err
write_kept_fields(struct buf *out, const struct fetch_item *item, const struct section_plan *p,
	struct message *m)
{
	struct str run, pieces[PIECES_MAX];
	struct buf text;
	size_t n = 0, bytes = SIZE_MAX;
	enum err e = message_fields(m, &run);

	if (e != ERR_OK)
		return e;
	if (p->kept_fields.unique && !item->partial)
		bytes = gather_fields(p, run, pieces, &n);
	if (bytes != SIZE_MAX) {
		write_literal_header(out, bytes + 2);
		for (size_t i = 0; i < n; i++)
			buf_add(out, pieces[i]);
		buf_add(out, STR("\r\n"));
		return ERR_OK;
	}
	buf_init(&text, run.n + 16);
	header_select(&text, run, &p->fields, false);
	write_text(out, item, buf_str(&text));
	buf_fini(&text);
	return ERR_OK;
}

/* A header that would hold up the loop. */
static enum err
write_large_fields(struct imap_session *s, const struct fetch_item *item,
	const struct section_plan *p, const struct mime_range *r, struct section_file *f)
{
	if (!f->selected) {
		f->select = &p->fields;
		f->negate = item->section.kind == SECTION_FIELDS_NOT;
		f->cold_off = r->off;
		f->cold_len = r->len;
		return ERR_BUSY;
	}
	f->warm = false;
	f->off = 0;
	f->left = f->text.n;
	cut_partial(item, &f->off, &f->left);
	write_literal_header(session_out(s), f->left);
	f->selected = f->left != 0;
	return ERR_OK;
}

static enum err
write_file_fields(struct imap_session *s, const struct fetch_item *item,
	const struct section_plan *p, const struct mime_range *r, struct section_file *f)
{
	struct buf header, text;
	enum err e = ERR_LIMIT;

	if (r->len > COLD_SELECT_BYTES && s->imap->pool != NULL)
		return write_large_fields(s, item, p, r, f);
	buf_init(&header, (size_t)r->len + 1);
	buf_init(&text, (size_t)r->len + 16);
	char *to = buf_reserve(&header, (size_t)r->len + 1);

	if (to != NULL)
		e = section_file_read(f, s, to, (size_t)r->len, r->off);
	if (e == ERR_OK) {
		buf_commit(&header, (size_t)r->len);
		header_select(&text, buf_str(&header), &p->fields,
			item->section.kind == SECTION_FIELDS_NOT);
		write_text(session_out(s), item, buf_str(&text));
	}
	buf_fini(&text);
	buf_fini(&header);
	return e;
}

enum err
section_write(struct imap_session *s, const struct fetch_item *item, const struct section_plan *p,
	struct message *m, struct section_file *f)
{
	struct buf *out = session_out(s);
	struct mime_range r;

	buf_add(out, p->name);
	if (p->kept)
		return write_kept_fields(out, item, p, m);
	enum err e = section_range(&item->section, m, f->size, &r);

	if (e == ERR_NOTFOUND) {
		buf_addz(out, " NIL");
		return ERR_OK;
	}
	if (e != ERR_OK)
		return e;
	if (item->section.kind == SECTION_FIELDS || item->section.kind == SECTION_FIELDS_NOT)
		return write_file_fields(s, item, p, &r, f);
	cut_partial(item, &r.off, &r.len);
	return write_range(s, f, r.off, r.len);
}
