#ifndef POSTROOM_EVENT_DEFLATE_H
#define POSTROOM_EVENT_DEFLATE_H

#include "core/base/buf.h"

/* Raw DEFLATE in both directions of one connection; the only file that knows zlib. About 260 KiB
 * while bytes move out and 45 KiB while they move in; deflate_rest gives nearly all of it back, and
 * the peer does not notice: blocks of a new compressor are as good as the old one's, and of the
 * other side only the last 32 KiB of text are kept (packed), which later blocks may refer to.
 * RFC 1951; RFC 4978. */
struct deflate;

struct deflate *
deflate_new(void);
void
deflate_free(struct deflate *d); /* NULL is allowed */

/* Compress in (at most 64 KiB), appended to out. flush: the peer can read all of it from what is in
 * out then; without, some may stay inside until later. out needs a maximum of DEFLATE_OUT_MAX. */
enum { DEFLATE_OUT_MAX = 512 * 1024 };
void
deflate_add(struct deflate *d, struct str in, bool flush, struct buf *out);

/* What the peer sent: copied, inflated by deflate_read. Only after that said ERR_AGAIN. */
void
deflate_feed(struct deflate *d, struct str in);
/* At most max octets of text. ERR_OK: *got_out > 0; ERR_AGAIN: feed more; ERR_CORRUPT: what came is
 * not DEFLATE: nothing will work any more. A stream that ends may be followed by another. */
MUST_USE enum err
deflate_read(struct deflate *d, char *to, size_t max, size_t *got_out);
/* deflate_read may have text without another feed. */
bool
deflate_pending(const struct deflate *d);

/* Give memory back until the next use. Only when all that was added was flushed. A peer that
 * stopped in the middle of a block keeps its half. */
void
deflate_rest(struct deflate *d);
/* Octets of memory in use, about; for tests. */
size_t
deflate_memory(const struct deflate *d);

#endif
