/* THREAD's answer in few octets; see thread_words.h. Called by thread_job.c. Invariant: between two
 * numbers brackets close before others open, so two counts say it all. */
#include "imap/search/thread_words.h"

#include "core/base/xalloc.h"

enum { WORDS_AT_ONCE = 4 };

static void
flush_brackets(struct thread_words *w)
{
	if ((w->closes | w->opens) == 0)
		return;
	w->v[w->n++] = 0;
	w->v[w->n++] = w->closes;
	w->v[w->n++] = w->opens;
	w->closes = w->opens = 0;
}

void
thread_words_add(struct thread_words *w, enum thread_token token, uint32_t uid)
{
	if (w->cap - w->n < WORDS_AT_ONCE) {
		w->cap += w->cap / 2 + 256;
		w->v = xrealloc(w->v, w->cap * sizeof *w->v);
	}
	switch (token) {
	case THREAD_OPEN:
		w->opens++;
		break;
	case THREAD_CLOSE:
		w->closes++;
		break;
	case THREAD_SPACE:
		break;
	case THREAD_NUMBER:
		flush_brackets(w);
		w->v[w->n++] = uid;
		break;
	case THREAD_END:
		flush_brackets(w);
		break;
	}
}

enum thread_token
thread_reader_next(struct thread_reader *r, uint32_t *uid_out)
{
	if (r->closes == 0 && r->opens == 0 && r->n - r->at >= 3 && r->v[r->at] == 0) {
		r->closes = r->v[r->at + 1];
		r->opens = r->v[r->at + 2];
		r->at += 3;
	}
	bool number = r->behind_number;

	r->behind_number = false;
	if (r->closes != 0) {
		r->closes--;
		return THREAD_CLOSE;
	}
	if (r->opens == 0 && r->at == r->n)
		return THREAD_END;
	if (number)
		return THREAD_SPACE;
	if (r->opens != 0) {
		r->opens--;
		return THREAD_OPEN;
	}
	*uid_out = r->v[r->at++];
	r->behind_number = true;
	return THREAD_NUMBER;
}
