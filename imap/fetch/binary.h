#ifndef POSTROOM_IMAP_BINARY_H
#define POSTROOM_IMAP_BINARY_H

#include "imap/fetch/section.h"
#include "imap/session/section_range.h"

/* BINARY[...] and BINARY.SIZE[...]: sections of one message with their Content-Transfer-Encoding
 * taken off, read from the file in pieces over as many steps as it takes. They are the last items
 * of their row: everything else stands in the output when they begin. Memory: two pieces of 32 KiB
 * while one is at work, nothing else. A section is decoded twice, to count and to send, because a
 * literal says its size first. RFC 3516 4.2, RFC 9051 6.4.5. */

struct binary_item {
	const struct fetch_item *item;
	struct str name;   /* "BINARY[1.2]<0>" */
	uint64_t off, len; /* stored octets in the file */
	enum mime_encoding encoding;
	bool absent; /* no such part */
};

/* Where decoding stands. */
struct binary_point {
	struct transfer transfer;
	uint64_t raw;  /* stored octets taken */
	uint64_t made; /* octets they gave */
};

struct binary {
	struct section_file *file; /* the row's */
	uint64_t msg;
	struct binary_item *v; /* in the command's arena */
	size_t n, max;
	size_t at;
	unsigned phase;
	struct binary_point now, begin; /* begin: the last one not behind from */
	uint64_t from, until;		/* decoded octets that are wanted */
	bool nul;
	bool first; /* nothing of its row was said: no space in front */
	struct buf raw, text;
};

/* Room for max items. ERR_LIMIT. */
MUST_USE enum err
binary_init(struct binary *b, struct arena *a, size_t max);
void
binary_fini(struct binary *b);
/* One more item of the row that is being written. ERR_DENIED: encoded in a way that is not known
 * here, to be answered with UNKNOWN-CTE. Other errors as section_find. */
MUST_USE enum err
binary_add(struct binary *b, const struct fetch_item *item, const struct section_plan *p,
	struct message *m, uint64_t size);
static inline bool
binary_waiting(const struct binary *b)
{
	return b->n != 0;
}
/* The row is written but for these items. Keeps file until binary_end. */
void
binary_start(struct binary *b, struct section_file *file, uint64_t msg, bool first);
static inline bool
binary_started(const struct binary *b)
{
	return b->file != NULL;
}
/* Says more, " NAME value" each. ERR_OK: all is said; ERR_AGAIN: the step is full; ERR_BUSY as
 * section_file_read, to be called again; else binary_promised says whether the row can be ended. */
MUST_USE enum err
binary_step(struct binary *b, struct imap_session *s, int64_t began);
/* Octets are owed that a literal's header has promised. */
bool
binary_promised(const struct binary *b);
/* The row is over: its items are forgotten. */
void
binary_end(struct binary *b);

#endif
