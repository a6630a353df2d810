#ifndef POSTROOM_IMAP_ASIDE_H
#define POSTROOM_IMAP_ASIDE_H

#include "core/event/pool.h"
#include "core/mail/mime.h"
#include "core/mail/search.h"
#include "core/store/store.h"

/* One text of one message, searched on a thread of the pool: what is large would hold up the
 * loop's other sessions, and what is not in memory would make them wait for the disk. */
struct aside;

struct aside_question {
	struct home *home;
	uint64_t msg, size;
	const struct search_key *key; /* copied */
	struct mime *mime; /* of BODY and TEXT: taken, left empty; NULL: a header field */
	bool with_header;  /* TEXT */
	struct str field;  /* copied */
	/* Nothing is searched: the file is read, so that it is in memory afterwards. */
	bool warm_only;
};

/* fn is called from the loop, once, unless aside_forget came first; the result is asked for then.
 */
struct aside *
aside_start(struct pool *p, const struct aside_question *q, void (*fn)(void *arg), void *arg);
/* False while it is under way. */
bool
aside_is_done(const struct aside *a);
/* Once it is done. ERR_OK: *found_out; ERR_NOTFOUND: the message is gone; ERR_TEMP: *code_out is
 * the errno; ERR_CORRUPT. */
MUST_USE enum err
aside_result(const struct aside *a, bool *found_out, int *code_out);
/* No call comes; frees it now or when it is done. NULL is allowed. */
void
aside_forget(struct aside *a);

#endif
