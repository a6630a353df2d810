/* Fuzz the decoders of index rows: message records, their cache row, mailbox rows, change rows,
 * bitmaps. Input: a byte that picks the decoder, then (records) a u16 that splits the rest into
 * record and cache. Properties: nothing outside the row is touched; what record_make writes decodes
 * again to the same message size. */
#include "core/store/record.h"

#include <assert.h>

#include "core/mail/mime.h"
#include "core/store/rows.h"

enum { ROUND_TRIP_MAX = 1024 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_record(struct str row, struct str cache)
{
	struct record r;
	struct mime m;
	struct str s;
	unsigned sum = 0;

	if (record_decode(row, &r) != ERR_OK)
		return;
	for (int i = 0; i < RECORD_SECTIONS; i++) {
		if (record_section(&r, cache, (enum record_section)i, &s) != ERR_OK)
			continue;
		for (size_t k = 0; k < s.n; k++)
			sum += (unsigned char)s.p[k];
		if (i != RECORD_PARTS || mime_decode(&m, s, r.size) != ERR_OK)
			continue;
		for (uint32_t k = 0; k < m.n; k++)
			assert(m.parts[k].body_off + m.parts[k].body_len <= r.size);
		mime_fini(&m);
	}
	(void)sum;
}

static void
round_trip(struct str msg)
{
	struct buf record, cache;
	struct record r;
	struct str s;

	buf_init(&record, 64 * 1024 * 1024);
	buf_init(&cache, 64 * 1024 * 1024);
	if (record_make(msg, &record, &cache) == ERR_OK) {
		assert(record.n <= RECORD_BYTES_MAX);
		assert(record_decode(buf_str(&record), &r) == ERR_OK);
		assert(r.size == msg.n);
		for (int i = 0; i < RECORD_SECTIONS; i++)
			assert(record_section(&r, buf_str(&cache), (enum record_section)i, &s) ==
				ERR_OK);
		read_record(buf_str(&record), buf_str(&cache));
	}
	buf_fini(&record);
	buf_fini(&cache);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	struct mailbox_row row;
	struct chunk_row chunk;
	struct entry entry;
	struct uidset set = { 0 };
	enum change_kind kind;
	enum err e = ERR_OK;

	if (size < 3)
		return 0;
	struct str rest = str_from(in, 3);
	size_t split = ((size_t)data[1] << 8 | data[2]) % (rest.n + 1);

	switch (data[0] % 16) {
	default:
		read_record(str_sub(rest, 0, split), str_from(rest, split));
		break;
	case 1:
		/* Slow beside the others; the parser has its own targets. */
		if (rest.n <= ROUND_TRIP_MAX)
			round_trip(rest);
		break;
	case 2:
		e = mailbox_row_decode(1, rest, &row);
		assert(e != ERR_OK || row.name_len <= sizeof row.name);
		break;
	case 3:
		e = change_decode(rest, &kind, &set);
		for (size_t i = 0; i < set.n; i++)
			assert(set.v[i].lo > 0 && set.v[i].lo <= set.v[i].hi);
		uidset_fini(&set);
		break;
	case 4:
		e = chunk_decode(rest, &chunk);
		break;
	case 5:
		e = entry_decode(1, rest, &entry);
		break;
	}
	return e == ERR_BUG;
}
