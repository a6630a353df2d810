/* THREAD's answer in few octets; see thread_words.h. Called by thread_job.c. Invariant: between two
 * numbers brackets close before others open, so two counts say it all. */
#include "imap/search/thread_words.h"

#include "core/base/xalloc.h"

enum { WORDS_AT_ONCE = 4 };

void
thread_words_add(struct thread_words *w, const struct thread_piece *piece)
{
	if (w->cap - w->n < WORDS_AT_ONCE) {
		w->cap += w->cap / 2 + 256;
		w->v = xrealloc(w->v, w->cap * sizeof *w->v);
	}
	if ((piece->closes | piece->opens) != 0) {
		w->v[w->n++] = 0;
		w->v[w->n++] = piece->closes;
		w->v[w->n++] = piece->opens;
	}
	if (piece->uid != 0)
		w->v[w->n++] = piece->uid;
}

bool
thread_reader_next(struct thread_reader *r, struct thread_piece *out)
{
	size_t at = r->at;

	*out = (struct thread_piece){ .opens = 0 };
	if (r->n - at >= 3 && r->v[at] == 0) {
		out->closes = r->v[at + 1];
		out->opens = r->v[at + 2];
		at += 3;
	}
	if (at != r->n)
		out->uid = r->v[at++];
	bool any = at != r->at;

	r->at = at;
	return any;
}
