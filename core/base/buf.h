#ifndef POSTROOM_BASE_BUF_H
#define POSTROOM_BASE_BUF_H

#include <stdarg.h>

#include "core/base/str.h"

/* A growable run of bytes with a maximum given at init. An add that does not
 * fit adds nothing and sets `over`, and later adds do nothing, so a formatter
 * adds freely and asks buf_check once at its end. Consuming from the front is
 * cheap (the space is taken back at the next growth).
 * Owned by the embedding object: buf_init, buf_fini. */
struct buf {
	char *mem;
	size_t head; /* offset of the first byte that was not consumed */
	size_t n;    /* bytes held, from head */
	size_t cap;
	size_t max;
	bool over;
	bool secret; /* wiped whenever memory is given back */
};

void
buf_init(struct buf *b, size_t max_bytes);
/* The same for passwords and keys: memory is wiped before it is freed. */
void
buf_init_secret(struct buf *b, size_t max_bytes);
void
buf_fini(struct buf *b);
/* Empty, `over` cleared, memory kept. */
void
buf_reset(struct buf *b);
/* Empty, memory given back: for idle sessions. */
void
buf_release(struct buf *b);

/* ERR_LIMIT when an add since the last reset did not fit. */
MUST_USE enum err
buf_check(const struct buf *b);

void
buf_add(struct buf *b, struct str s);
void
buf_addz(struct buf *b, const char *z);
void
buf_addc(struct buf *b, char c);
/* A character as UTF-8; at most 0x10ffff. */
void
buf_add_utf8(struct buf *b, uint32_t c);
/* s as a part of one line that a terminal may show: control characters (C1 and the separators of
 * lines beyond ASCII, too) and what is no UTF-8 as "\xNN", as in the log. */
void
buf_add_shown(struct buf *b, struct str s);
void
buf_addu(struct buf *b, uint64_t v);
void
buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void
buf_addv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* At least n free bytes at the end, NULL when that is over the maximum (over is
 * not set). Write there, then buf_commit. Dies with the next call on b. */
char *
buf_reserve(struct buf *b, size_t n);
void
buf_commit(struct buf *b, size_t n);
/* Free bytes before the maximum. */
size_t
buf_room(const struct buf *b);

/* Drop n bytes from the front; n <= b->n. */
void
buf_consume(struct buf *b, size_t n);
/* Keep only the first n bytes. */
void
buf_truncate(struct buf *b, size_t n);

/* What is held; dies with the next call on b. */
static inline struct str
buf_str(const struct buf *b)
{
	return str_n(b->mem != NULL ? b->mem + b->head : "", b->n);
}
/* The same, NUL-ended. Adds a byte behind; needs room for it: asserts that the maximum is not
 * reached. */
const char *
buf_z(struct buf *b);

#endif
