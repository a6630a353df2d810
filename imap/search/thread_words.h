#ifndef POSTROOM_IMAP_THREAD_WORDS_H
#define POSTROOM_IMAP_THREAD_WORDS_H

#include "imap/search/thread.h"

/* THREAD's answer as a row of words, which is small enough to be kept: a UID each, and where
 * brackets stand between two of them, 0, how many close, how many open. Spaces follow from these.
 */
struct thread_words {
	uint32_t *v; /* owned */
	size_t n;
	/* private */
	size_t cap;
};
/* { 0 } is an empty one. */
void
thread_words_add(struct thread_words *w, const struct thread_piece *piece);

struct thread_reader {
	const uint32_t *v; /* borrowed */
	size_t n;
	/* private */
	size_t at;
};
/* The pieces again; false: it is over. */
bool
thread_reader_next(struct thread_reader *r, struct thread_piece *out);

#endif
