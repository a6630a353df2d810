#ifndef POSTROOM_IMAP_RESULT_H
#define POSTROOM_IMAP_RESULT_H

#include "imap/session/session.h"

/* What SEARCH or SORT found, and how it is said: "* SEARCH", "* SORT" or "* ESEARCH", some of it at
 * a step; and what "$" becomes. RFC 3501 7.2.5, 4731 3.1, 5182 2.1, 5256 4, 5267 3, 7162 3.1.6,
 * 9394 3. */
struct search_result {
	struct uidset uids;    /* found */
	const uint32_t *order; /* the same UIDs sorted; borrowed; NULL: ascending */
	uint64_t count;
	/* the highest modseq of all found, and those of the first and the last one as they are
	 * said; for has_modseq */
	uint64_t modseq, modseq_first, modseq_last;
	/* private: the list that is being said */
	bool begun, in_list, any;
	uint64_t at, from, to;	  /* positions among the found, from 0; to is behind the last */
	uint32_t next_uid;	  /* where an ascending list goes on */
	size_t range;		  /* in uids */
	struct seq_range pending; /* of a set; lo 0: none */
};

/* The UID at a position, 0 to count - 1. */
uint32_t
result_at(const struct search_result *r, uint64_t at);
/* Positions that PARTIAL names: *from to *to - 1; equal when there are none. */
void
result_partial(const struct search_result *r, const struct partial_range *p, uint64_t *from_out,
	uint64_t *to_out);
/* "$" by RFC 5182 2.1's table: what MIN, MAX and PARTIAL return, or all. */
void
result_save(const struct search_result *r, const struct args_search *a, struct uidset *out);
/* STEP_MORE until the whole line is said; then STEP_DONE, without a result of the command. */
enum step
result_say(struct imap_session *s, const struct cmd *c, struct search_result *r);

#endif
