/* What the index knows about a message; see message.h. Called by imap in read steps: the cache row
 * is read only when something that lies there is asked for. */
#include "core/store/message.h"

#include "core/mail/header.h"
#include "core/store/blob.h"
#include "core/store/internal.h"
#include "core/store/record.h"

_Static_assert((int)MESSAGE_PATH_MAX == (int)BLOB_PATH_MAX, "paths of messages");

static enum err
from_row(struct txn *t, uint64_t id, struct str row, struct record *r, struct message *out)
{
	enum err e = record_decode(row, r);

	if (e != ERR_OK)
		return e;
	*out = (struct message){
		.id = id,
		.size = r->size,
		.header_size = r->header_size,
		.sent_sec = r->sent_sec,
		.sent_zone_min = r->sent_zone_min,
		.has_sent = r->has_sent,
		.thread = r->thread,
		.txn = t,
		.record = row,
	};
	return ERR_OK;
}

enum err
message_get(struct txn *t, uint64_t id, struct message *out)
{
	struct record r;
	struct key k;
	struct str row;
	enum err e = txn_get(t, KV_MESSAGE, key_id(&k, id), &row);

	return e == ERR_OK ? from_row(t, id, row, &r, out) : e;
}

enum { PASS_MAX = 4 }; /* rows that are cheaper to pass than to search */

enum err
message_scan_begin(struct message_scan *s, struct txn *t)
{
	*s = (struct message_scan){ .txn = t };
	return kv_cursor_open(t->kv, KV_MESSAGE, &s->cursor);
}

void
message_scan_end(struct message_scan *s)
{
	kv_cursor_close(s->cursor);
}

/* Takes the row under the cursor. */
static enum err
placed_at(struct message_scan *s, enum err e, struct str key, struct str row)
{
	if (e == ERR_OK && key.n != 8)
		e = ERR_CORRUPT;
	s->placed = e == ERR_OK;
	if (e == ERR_OK) {
		s->at = be64_at(key, 0);
		s->row = row;
		kv_cursor_ahead(s->cursor, row);
	}
	return e == ERR_EOF ? ERR_NOTFOUND : e;
}

/* The row of id into s->row. */
static enum err
find_row(struct message_scan *s, uint64_t id)
{
	struct str key = STR_EMPTY, row = STR_EMPTY;
	struct key k;
	enum err e = ERR_OK;

	for (int i = 0; i < PASS_MAX && s->placed && s->at < id; i++) {
		e = kv_cursor_next(s->cursor, &key, &row);
		e = placed_at(s, e, key, row);
		if (e != ERR_OK)
			return e;
	}
	if (!s->placed || s->at < id || s->at > id) {
		e = kv_cursor_seek(s->cursor, key_id(&k, id), &key, &row);
		e = placed_at(s, e, key, row);
	}
	if (e != ERR_OK)
		return e;
	return s->at == id ? ERR_OK : ERR_NOTFOUND;
}

enum err
message_scan_get(struct message_scan *s, uint64_t id, struct message *out)
{
	struct record r;
	enum err e = find_row(s, id);

	return e == ERR_OK ? from_row(s->txn, id, s->row, &r, out) : e;
}

/* of the envelope mostly the subject is looked at, which is near its beginning */
enum { LINE_BYTES = 64, FIELDS_AHEAD = 768, ENVELOPE_AHEAD = 192 };

/* The date comes with the row; what lies in the cache is not worth it. */
static void
fetch_ahead(const struct record *r, enum message_part part)
{
	enum record_section s = part == MESSAGE_FIELDS ? RECORD_FIELDS : RECORD_ENVELOPE;
	struct str run;

	if (part == MESSAGE_DATE || (r->in_cache & 1u << s) != 0 ||
		record_section(r, STR_EMPTY, s, &run) != ERR_OK)
		return;
	run = str_sub(run, 0, part == MESSAGE_FIELDS ? FIELDS_AHEAD : ENVELOPE_AHEAD);
	for (size_t i = 0; i < run.n; i += LINE_BYTES)
		__builtin_prefetch(run.p + i);
}

enum err
message_scan_some(struct message_scan *s, const uint64_t *ids, size_t n, enum message_part part,
	struct message *out)
{
	struct str rows[MESSAGE_SOME_MAX];

	for (size_t i = 0; i < n; i++) {
		enum err e = find_row(s, ids[i]);

		if (e != ERR_OK && e != ERR_NOTFOUND)
			return e;
		rows[i] = e == ERR_OK ? s->row : STR_EMPTY;
	}
	for (size_t i = 0; i < n; i++) {
		struct record r;

		out[i].id = 0;
		if (rows[i].n == 0)
			continue;
		enum err e = from_row(s->txn, ids[i], rows[i], &r, &out[i]);

		if (e != ERR_OK)
			return e;
		fetch_ahead(&r, part);
	}
	return ERR_OK;
}

static enum err
section(struct message *m, enum record_section s, struct str *out)
{
	struct record r;
	struct key k;
	enum err e = record_decode(m->record, &r);

	if (e != ERR_OK)
		return e;
	if ((r.in_cache & 1u << s) != 0 && !m->cache_read) {
		e = txn_get(m->txn, KV_CACHE, key_id(&k, m->id), &m->cache);
		if (e != ERR_OK)
			return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
		m->cache_read = true;
	}
	return record_section(&r, m->cache, s, out);
}

enum err
message_envelope(struct message *m, struct str *out)
{
	return section(m, RECORD_ENVELOPE, out);
}

enum err
message_bodystructure(struct message *m, struct str *out)
{
	return section(m, RECORD_STRUCTURE, out);
}

enum err
message_preview(struct message *m, struct str *out)
{
	return section(m, RECORD_PREVIEW, out);
}

enum err
message_mime(struct message *m, struct mime *out)
{
	struct str parts;
	enum err e = section(m, RECORD_PARTS, &parts);

	if (e == ERR_OK)
		return mime_decode(out, parts, m->size);
	*out = (struct mime){ .parts = NULL };
	return e;
}

bool
message_field_kept(struct str name)
{
	return record_keeps_field(name);
}

enum err
message_fields(struct message *m, struct str *out)
{
	return section(m, RECORD_FIELDS, out);
}

enum err
message_field(struct message *m, struct str name, struct str *value_out)
{
	struct header_field f;
	struct str run;
	enum err e = section(m, RECORD_FIELDS, &run);

	if (e != ERR_OK)
		return e;
	if (!header_find(run, name, 0, &f))
		return ERR_NOTFOUND;
	*value_out = f.value;
	return ERR_OK;
}

enum err
message_open(struct home *h, uint64_t id, bool wait, int *fd_out)
{
	return wait ? blob_open(h->path, id, fd_out) : blob_open_cached(h->path, id, fd_out);
}

enum err
message_path(const struct home *h, uint64_t id, char out[MESSAGE_PATH_MAX])
{
	return blob_path(h->path, id, out);
}

enum err
message_warm(int fd, uint64_t off, uint64_t len)
{
	return blob_warm(fd, off, len);
}

enum err
message_map(int fd, uint64_t off, uint64_t len, struct str *out)
{
	return blob_map(fd, off, len, out);
}

void
message_unmap(struct str octets)
{
	blob_unmap(octets);
}
