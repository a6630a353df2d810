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
	uint32_t closes, opens;
};
/* { 0 } is an empty one. Up to THREAD_END, which is added too. */
void
thread_words_add(struct thread_words *w, enum thread_token token, uint32_t uid);

struct thread_reader {
	const uint32_t *v; /* borrowed */
	size_t n;
	/* private */
	size_t at;
	uint32_t closes, opens;
	bool behind_number;
};
/* The tokens again; THREAD_NUMBER comes with *uid_out. */
enum thread_token
thread_reader_next(struct thread_reader *r, uint32_t *uid_out);

#endif
