#ifndef POSTROOM_IMAP_MATCH_H
#define POSTROOM_IMAP_MATCH_H

#include "core/store/entry.h"
#include "core/store/message.h"
#include "imap/grammar/args_search.h"

/* SEARCH's tree against one message. What a key needs is loaded when it is first asked for: the
 * entry is there, the record comes from the index, the text from the message's file. */
struct matcher {
	struct search_node *root;
	struct home *home;
	struct buf file_buf; /* small messages are read into it */
};

/* Texts become keys of core/mail, sets are resolved against the view's largest numbers, cheap
 * keys go before dear ones. charset: empty is UTF-8. ERR_NOTFOUND: unknown charset; ERR_SYNTAX: a
 * text is not of that charset, or a field name is none; ERR_LIMIT. */
MUST_USE enum err
matcher_init(struct matcher *m, struct search_node *root, struct str charset, struct home *h,
	uint32_t largest_seq, uint32_t largest_uid, struct arena *a);
void
matcher_fini(struct matcher *m);

struct match_step {
	struct txn *txn;
	const struct keywords *keywords;
	uint32_t recent_from;
};
/* *out: does it match? ERR_NOTFOUND: the message is gone; ERR_TEMP, ERR_CORRUPT. *cost_out: grows
 * with what had to be read; an entry alone is 1. */
MUST_USE enum err
matcher_run(struct matcher *m, const struct match_step *step, uint32_t seq,
	const struct entry *entry, bool *out, uint64_t *cost_out);

/* The range of UIDs outside of which nothing matches, by the keys that all must hold. */
void
matcher_bounds(const struct matcher *m, uint32_t *lo_out, uint32_t *hi_out);

#endif
