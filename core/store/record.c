/* Rows of a message: encoder and decoder side by side; see record.h. The encoder runs on the pool
 * when a message comes in (body.c), the decoder in read steps (message.c) and in check.c. Whatever
 * a row holds, the decoder stays inside it. */
#include "core/store/record.h"

#include <endian.h>

#include "core/base/xalloc.h"
#include "core/mail/bodystructure.h"
#include "core/mail/date.h"
#include "core/mail/envelope.h"
#include "core/mail/header.h"
#include "core/mail/mime.h"
#include "core/mail/preview.h"
#include "core/store/thread.h"

/* version, in_cache, flags, 0, size, header_size, sent, zone, thread, lengths of the sections.
 * Version 1 (schema 2) had no thread, and of the sections those before the preview: upgrade.c. */
enum {
	VERSION = 2,
	OLDER_VERSION = 1,
	OLDER_SECTIONS = RECORD_PREVIEW,
	HAS_SENT = 1,
	THREAD_AT = 4 + 8 + 8 + 8 + 4,
	LENGTHS_AT = THREAD_AT + 8,
	HEAD_BYTES = LENGTHS_AT + 4 * RECORD_SECTIONS,
	CACHE_HEAD_BYTES = 1,
	TEXT_SLACK_BYTES = 256 * 1024,
	TEXT_MAX_BYTES = 128 * 1024 * 1024,
};

/* What cannot go into the cache fits always. */
_Static_assert(
	HEAD_BYTES + PREVIEW_BYTES_MAX + THREAD_IDS_BYTES <= RECORD_BYTES_MAX, "row too small");

/* What Thunderbird, mutt, K-9 and webmail list mailboxes with, in lower case and byte order. */
static const char *const kept[] = {
	"bcc",
	"cc",
	"content-description",
	"content-type",
	"date",
	"from",
	"in-reply-to",
	"lines",
	"list-id",
	"list-post",
	"list-subscribe",
	"list-unsubscribe",
	"message-id",
	"newsgroups",
	"priority",
	"references",
	"reply-to",
	"sender",
	"subject",
	"to",
	"x-label",
	"x-original-to",
	"x-priority",
};

static int
compare_name(struct str name, const char *z)
{
	size_t i = 0;

	for (; i < name.n && z[i] != '\0'; i++) {
		int d = ascii_lower((unsigned char)name.p[i]) - (unsigned char)z[i];

		if (d != 0)
			return d;
	}
	return i < name.n ? 1 : z[i] != '\0' ? -1 : 0;
}

bool
record_keeps_field(struct str name)
{
	size_t lo = 0, hi = ARRAY_LEN(kept);

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int d = compare_name(name, kept[mid]);

		if (d == 0)
			return true;
		if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return false;
}

static void
put_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_add(b, str_n(&v, sizeof v));
}

static void
put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, str_n(&v, sizeof v));
}

static uint32_t
get_u32(struct str s, size_t off)
{
	uint32_t v;

	memcpy(&v, s.p + off, sizeof v);
	return le32toh(v);
}

static uint64_t
get_u64(struct str s, size_t off)
{
	uint64_t v;

	memcpy(&v, s.p + off, sizeof v);
	return le64toh(v);
}

/* The sections that go into the cache: tables first, texts only when they alone are too long. */
static unsigned
choose_cache(const struct buf *section)
{
	static const enum record_section order[] = { RECORD_STRUCTURE, RECORD_PARTS };
	size_t total = HEAD_BYTES;
	unsigned in_cache = 0;

	for (int i = 0; i < RECORD_SECTIONS; i++)
		total += section[i].n;
	for (size_t i = 0; i < ARRAY_LEN(order) && total > RECORD_BYTES_MAX; i++) {
		in_cache |= 1u << order[i];
		total -= section[order[i]].n;
	}
	if (total > RECORD_BYTES_MAX) {
		bool env = section[RECORD_ENVELOPE].n > section[RECORD_FIELDS].n;

		in_cache |= 1u << (env ? RECORD_ENVELOPE : RECORD_FIELDS);
		total -= section[env ? RECORD_ENVELOPE : RECORD_FIELDS].n;
	}
	if (total > RECORD_BYTES_MAX)
		in_cache |= 1u << RECORD_ENVELOPE | 1u << RECORD_FIELDS;
	return in_cache;
}

static void
add_fields(struct buf *out, struct str header)
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, header);
	while (header_next(&it, &f))
		if (record_keeps_field(f.name))
			buf_add(out, f.whole);
}

static enum err
make_sections(struct buf *section, struct str msg, struct str header)
{
	struct mime m;

	mime_parse(&m, msg, &mime_limits_default);
	enum err e = envelope_format(&section[RECORD_ENVELOPE], header);

	if (e == ERR_OK)
		e = bodystructure_format(&section[RECORD_STRUCTURE], &m, msg, true);
	add_fields(&section[RECORD_FIELDS], header);
	preview_make(&section[RECORD_PREVIEW], &m, msg);
	thread_ids(&section[RECORD_IDS], header);
	mime_encode(&section[RECORD_PARTS], &m);
	for (int i = 0; i < RECORD_SECTIONS && e == ERR_OK; i++)
		e = buf_check(&section[i]);
	mime_fini(&m);
	return e;
}

static void
init_sections(struct buf *section, size_t max)
{
	for (int i = 0; i < RECORD_SECTIONS; i++)
		buf_init(&section[i], max < TEXT_MAX_BYTES ? max : TEXT_MAX_BYTES);
}

static void
fini_sections(struct buf *section)
{
	for (int i = 0; i < RECORD_SECTIONS; i++)
		buf_fini(&section[i]);
}

static enum err
encode(const struct record *r, const struct buf *section, struct buf *record, struct buf *cache)
{
	unsigned in_cache = choose_cache(section);

	buf_addc(record, VERSION);
	buf_addc(record, (char)in_cache);
	buf_addc(record, r->has_sent ? HAS_SENT : 0);
	buf_addc(record, 0);
	put_u64(record, r->size);
	put_u64(record, r->header_size);
	put_u64(record, r->has_sent ? (uint64_t)r->sent_sec : 0);
	put_u32(record, r->has_sent ? (uint32_t)r->sent_zone_min : 0);
	put_u64(record, 0);
	for (int i = 0; i < RECORD_SECTIONS; i++)
		put_u32(record, (uint32_t)section[i].n);
	if (in_cache != 0)
		buf_addc(cache, VERSION);
	for (int i = 0; i < RECORD_SECTIONS; i++)
		buf_add((in_cache & 1u << i) != 0 ? cache : record, buf_str(&section[i]));
	enum err e = buf_check(record);

	return e == ERR_OK ? buf_check(cache) : e;
}

enum err
record_make(struct str msg, struct buf *record, struct buf *cache)
{
	struct buf section[RECORD_SECTIONS];
	struct str header = str_sub(msg, 0, header_length(msg));
	struct record r = { .size = msg.n, .header_size = header.n };
	struct header_field date;
	int zone = 0;

	init_sections(section, msg.n * ENVELOPE_GROWTH + TEXT_SLACK_BYTES);
	enum err e = make_sections(section, msg, header);

	r.has_sent = header_find(header, STR("Date"), 0, &date) &&
		     date_parse(date.value, &r.sent_sec, &zone) == ERR_OK;
	r.sent_zone_min = zone;
	if (e == ERR_OK)
		e = encode(&r, section, record, cache);
	fini_sections(section);
	return e;
}

enum err
record_join(struct str row, uint64_t thread, unsigned char out[RECORD_BYTES_MAX])
{
	if (row.n < HEAD_BYTES || row.n > RECORD_BYTES_MAX)
		return ERR_CORRUPT;
	thread = htole64(thread);
	memcpy(out, row.p, row.n);
	memcpy(out + THREAD_AT, &thread, sizeof thread);
	return ERR_OK;
}

static inline enum err
decode(struct str row, int version, struct record *out)
{
	int sections = version == VERSION ? RECORD_SECTIONS : OLDER_SECTIONS;
	size_t lengths_at = version == VERSION ? LENGTHS_AT : THREAD_AT;
	size_t head_bytes = lengths_at + 4 * (size_t)sections;
	uint64_t inside = 0;

	if (row.n < head_bytes || row.p[0] != version)
		return ERR_CORRUPT;
	out->version = (unsigned char)version;
	out->in_cache = (unsigned char)row.p[1];
	if (out->in_cache >> sections != 0 || (row.p[2] & ~HAS_SENT) != 0 || row.p[3] != 0)
		return ERR_CORRUPT;
	out->has_sent = (row.p[2] & HAS_SENT) != 0;
	out->size = get_u64(row, 4);
	out->header_size = get_u64(row, 12);
	out->sent_sec = (int64_t)get_u64(row, 20);
	out->sent_zone_min = (int32_t)get_u32(row, 28);
	out->thread = version == VERSION ? get_u64(row, THREAD_AT) : 0;
	for (int i = 0; i < RECORD_SECTIONS; i++) {
		out->len[i] = i < sections ? get_u32(row, lengths_at + 4 * (size_t)i) : 0;
		if ((out->in_cache & 1u << i) == 0)
			inside += out->len[i];
	}
	out->body = str_from(row, head_bytes);
	return inside == out->body.n && out->header_size <= out->size ? ERR_OK : ERR_CORRUPT;
}

enum err
record_decode(struct str row, struct record *out)
{
	return decode(row, VERSION, out);
}

bool
record_is_older(struct str row)
{
	return row.n != 0 && row.p[0] == OLDER_VERSION;
}

enum err
record_section(const struct record *r, struct str cache, enum record_section s, struct str *out)
{
	bool in_cache = (r->in_cache & 1u << s) != 0;
	struct str from = r->body;
	uint64_t off = 0;

	if (in_cache) {
		if (cache.n < CACHE_HEAD_BYTES || cache.p[0] != r->version)
			return ERR_CORRUPT;
		from = str_from(cache, CACHE_HEAD_BYTES);
	}
	for (int i = 0; i < (int)s; i++)
		if (((r->in_cache & 1u << i) != 0) == in_cache)
			off += r->len[i];
	if (off + r->len[s] > from.n)
		return ERR_CORRUPT;
	*out = str_sub(from, off, r->len[s]);
	return ERR_OK;
}

enum err
record_older_size(struct str row, uint64_t *size_out)
{
	struct record r;
	enum err e = decode(row, OLDER_VERSION, &r);

	if (e == ERR_OK)
		*size_out = r.size;
	return e;
}

enum err
record_convert(struct str row, struct str old_cache, struct buf *record, struct buf *cache)
{
	struct buf section[RECORD_SECTIONS];
	struct record old;
	struct str s;
	enum err e = decode(row, OLDER_VERSION, &old);

	if (e != ERR_OK)
		return e;
	init_sections(section, row.n + old_cache.n + THREAD_IDS_BYTES);
	for (int i = 0; e == ERR_OK && i < OLDER_SECTIONS; i++) {
		e = record_section(&old, old_cache, (enum record_section)i, &s);
		if (e == ERR_OK)
			buf_add(&section[i], s);
	}
	thread_ids(&section[RECORD_IDS], buf_str(&section[RECORD_FIELDS]));
	if (e == ERR_OK)
		e = encode(&old, section, record, cache);
	fini_sections(section);
	return e;
}
