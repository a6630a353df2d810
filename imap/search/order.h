#ifndef POSTROOM_IMAP_ORDER_H
#define POSTROOM_IMAP_ORDER_H

#include "core/base/buf.h"

/* Sorting 100,000 rows in pieces of a step: a stable merge sort that stops anywhere. A row's key is
 * a run of octets compared as memcmp does, and no key may be the beginning of another one. The
 * first 8 octets lie in the row, longer keys in chunks beside. */
struct order_row {
	uint64_t head; /* first 8 octets, big-endian; a short key is padded with 0 */
	uint32_t rest; /* where the others are; 0: none */
	uint32_t id;   /* the caller's */
};
struct order {
	struct order_row *rows; /* sorted when order_step says so */
	size_t n, cap;
	/* private */
	struct order_row *other;
	char **chunks;
	size_t chunk_count, chunk_used;
	size_t width, lo, i, j, k; /* of the merge that goes on; width 0: not begun */
};

enum { ORDER_KEY_MAX = 16 * 1024, ORDER_BYTES_MAX = 256 * 1024 * 1024 };

/* Room for at most cap rows. */
void
order_init(struct order *o, size_t cap);
void
order_fini(struct order *o);
/* Rows of equal keys stay in the order in which they were added. ERR_LIMIT: the key is longer than
 * ORDER_KEY_MAX, all together are more than ORDER_BYTES_MAX, or there are cap rows. */
MUST_USE enum err
order_add(struct order *o, struct str key, uint32_t id);
/* Goes on for about budget moves of a row; true: sorted. */
bool
order_step(struct order *o, size_t budget);

#endif
