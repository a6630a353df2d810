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

/* Message files that are looked into soon: so many octets from their beginning. */
struct aside_soon {
	uint64_t msg, len;
};
enum { ASIDE_SOON_MAX = 16 };

/* A question that aside_start asks. */
struct aside *
aside_new(const struct aside_question *q);
/* Once; the disk is told of what is wanted soon, at most ASIDE_SOON_MAX of q's home, before it is
 * waited for. fn is called from the loop, once, unless aside_forget came first; the result is asked
 * for then. */
void
aside_start(struct aside *a, struct pool *p, const struct aside_soon *soon, size_t n,
	void (*fn)(void *arg), void *arg);
bool
aside_is_started(const struct aside *a);
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
