#ifndef POSTROOM_STORE_RECORD_H
#define POSTROOM_STORE_RECORD_H

#include "core/base/buf.h"

/* The rows `message` and `cache` of one message: what clients list mailboxes with, made once when
 * the message comes in. Format and its version live in record.c alone. Internal to core/store. */
enum record_section {
	RECORD_ENVELOPE,  /* IMAP text */
	RECORD_FIELDS,	  /* raw lines of the kept header fields */
	RECORD_STRUCTURE, /* BODYSTRUCTURE's text */
	RECORD_PARTS,	  /* mime_encode */
	RECORD_PREVIEW,	  /* UTF-8, at most PREVIEW_BYTES_MAX; never in the cache */
	RECORD_IDS,	  /* thread_ids; never in the cache */
	RECORD_SECTIONS,
};

struct record {
	uint64_t size, header_size;
	int64_t sent_sec;
	int32_t sent_zone_min;
	bool has_sent;
	unsigned char version;
	uint64_t thread; /* 0 until record_join */
	uint32_t len[RECORD_SECTIONS];
	unsigned in_cache; /* bit a section */
	struct str body;   /* the sections that are not in the cache, in order */
};

enum { RECORD_BYTES_MAX = 2000 };

/* Parse msg and append its rows; cache stays empty when everything fits into 2,000 bytes. Pool
 * threads. ERR_LIMIT: the derived texts are beyond all bounds. */
MUST_USE enum err
record_make(struct str msg, struct buf *record, struct buf *cache);

/* The same of rows of the version before, as far as they go: without a preview. For a message whose
 * file cannot be read. Borrows row and old_cache. ERR_CORRUPT. */
MUST_USE enum err
record_convert(struct str row, struct str old_cache, struct buf *record, struct buf *cache);

/* record_make's row with the thread put in, as it is written. ERR_CORRUPT: it is none. */
MUST_USE enum err
record_join(struct str row, uint64_t thread, unsigned char out[RECORD_BYTES_MAX]);

/* out borrows from row. ERR_CORRUPT. */
MUST_USE enum err
record_decode(struct str row, struct record *out);
/* A row of the version before, which upgrade.c makes again. */
bool
record_is_older(struct str row);
/* Octets of the message that the older row is of. ERR_CORRUPT. */
MUST_USE enum err
record_older_size(struct str row, uint64_t *size_out);
/* A section; cache: the cache row when in_cache has the section's bit. ERR_CORRUPT. */
MUST_USE enum err
record_section(const struct record *r, struct str cache, enum record_section s, struct str *out);

bool
record_keeps_field(struct str name);

#endif
