#ifndef POSTROOM_IMAP_MATCH_H
#define POSTROOM_IMAP_MATCH_H

#include "core/store/entry.h"
#include "core/store/message.h"
#include "core/store/uidset.h"
#include "imap/grammar/args_search.h"
#include "imap/search/aside.h"

/* SEARCH's tree against one message. What a key needs is loaded when it is first asked for: the
 * entry is there, the record comes from the index, the text from the message's file. */
struct matcher {
	struct search_node *root;
	struct home *home;
	const struct uidset *saved;
	int64_t now_sec;
	struct buf file_buf;	/* small messages are read into it */
	struct message message; /* the one in question, where it was not loaded before */
	/* What is large or not in memory is searched on the pool (aside.h); see matcher_use_pool.
	 */
	struct pool *pool;
	void (*fn)(void *arg);
	void *arg;
	struct aside *aside; /* the one under way */
	const struct search_node *aside_node;
	uint64_t aside_msg, warm_msg;
	bool probes;  /* matcher_wants_file: no file is looked into */
	int code;     /* errno of the last file that could not be read */
	size_t texts; /* keys that look into texts: each may have to read all of it */
};

struct matcher_options {
	struct str charset;		   /* of the texts; empty: UTF-8 */
	uint32_t largest_seq, largest_uid; /* of the view: "*" */
	const struct uidset *saved;	   /* "$"; kept */
	int64_t now_sec;		   /* for OLDER and YOUNGER */
};

/* Texts become keys of core/mail, sets are resolved, cheap keys go before dear ones.
 * ERR_NOTFOUND: unknown charset; ERR_SYNTAX: a text is not of that charset, or a field name is
 * none; ERR_LIMIT. */
MUST_USE enum err
matcher_init(struct matcher *m, struct search_node *root, const struct matcher_options *o,
	struct home *h, struct arena *a);
void
matcher_fini(struct matcher *m);
/* Texts that would hold up the loop, all the keys that look into them together, go to p, and
 * matcher_run is ERR_BUSY then: after matcher_ask fn is called from the loop when it is worth
 * running it again for the same entry. Without a pool all is done here. */
void
matcher_use_pool(struct matcher *m, struct pool *p, void (*fn)(void *arg), void *arg);

/* What of the index every message is asked for first. */
enum message_part
matcher_part(const struct matcher *m);
/* Nothing with \Seen matches, by the keys that all must hold. */
bool
matcher_wants_unseen(const struct matcher *m);
/* ALL: there is nothing to judge. */
bool
matcher_takes_all(const struct matcher *m);

struct match_step {
	struct message_scan *scan;
	struct message *loaded; /* of the entry, or NULL: it is looked up when it is needed */
	const struct keywords *keywords;
	uint32_t recent_from;
};
/* *out: does it match? ERR_NOTFOUND: the message is gone; ERR_BUSY; ERR_TEMP, ERR_CORRUPT.
 * *cost_out: grows with what had to be read; an entry alone is 1. */
MUST_USE enum err
matcher_run(struct matcher *m, const struct match_step *step, uint32_t seq,
	const struct entry *entry, bool *out, uint64_t *cost_out);
/* After matcher_run's ERR_BUSY: is the pool still to be asked, by matcher_ask? */
bool
matcher_is_to_ask(const struct matcher *m);
/* soon: what will be looked into after that. */
void
matcher_ask(struct matcher *m, const struct aside_soon *soon, size_t n);
/* Would matcher_run have to look into the message's file? That is found in the index alone. */
bool
matcher_wants_file(
	struct matcher *m, const struct match_step *step, uint32_t seq, const struct entry *entry);

/* The range of UIDs outside of which nothing matches, by the keys that all must hold. */
void
matcher_bounds(const struct matcher *m, uint32_t *lo_out, uint32_t *hi_out);

#endif
