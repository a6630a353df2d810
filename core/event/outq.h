#ifndef POSTROOM_EVENT_OUTQ_H
#define POSTROOM_EVENT_OUTQ_H

#include "core/base/str.h"
#include "core/base/list.h"
#include "core/event/stream.h"

/* What waits to be sent: a chain of memory chunks and file ranges. Small adds share a chunk.
 * Only stream.c uses it. */
struct outq {
	struct list chunks;
	size_t bytes;	  /* all that waits */
	size_t mem_bytes; /* what of it lies in memory */
};

void
outq_init(struct outq *q);
/* Drops everything; the memory is given back. */
void
outq_clear(struct outq *q);
void
outq_add(struct outq *q, struct str s);
/* Takes one reference to f. */
void
outq_add_file(struct outq *q, struct stream_file *f, uint64_t off, uint64_t n);

/* Send at most max bytes from the front to a plain socket. fin_follows: shutdown is next, so the
 * end may wait for it in the kernel. ERR_OK: sent_out > 0; ERR_AGAIN; ERR_TEMP with errno;
 * ERR_CORRUPT: a file was shorter than its range. The queue may not be empty. */
MUST_USE enum err
outq_send_plain(struct outq *q, int fd, size_t max, bool fin_follows, size_t *sent_out);
/* The first bytes in memory (read from their file where they lie in one), at most 16 KiB: one
 * TLS record. Dies with the next call that changes q. ERR_CORRUPT as above. */
MUST_USE enum err
outq_front(struct outq *q, struct str *out);
/* Drop n bytes of what outq_front gave. */
void
outq_consume(struct outq *q, size_t n);

#endif
