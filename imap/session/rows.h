#ifndef POSTROOM_IMAP_ROWS_H
#define POSTROOM_IMAP_ROWS_H

#include "imap/session/session.h"

/* The entries of the selected mailbox in one read step, asked for by ascending UID: FETCH, STORE's
 * answer and SEARCH walk the view with it. Begin, read, end within one step. */
struct rows {
	struct txn *txn;
	struct keywords keywords;
	struct entry_scan scan;
	struct entry entry;
	bool have, ended;
};

/* ERR_AGAIN as session_read. */
MUST_USE enum err
rows_begin(struct rows *r, struct imap_session *s, uint32_t from_uid);
void
rows_end(struct rows *r);
/* ERR_NOTFOUND: expunged since the view was made; ERR_CORRUPT. *out dies with the next call. */
MUST_USE enum err
rows_get(struct rows *r, uint32_t uid, const struct entry **out);

/* Where a walk over a set of UIDs stands. */
struct walk {
	size_t range;
	uint32_t uid; /* 0: at the range's start */
};
/* The UID to look at now; false at the end. walk_step goes on to the next. */
bool
walk_at(struct walk *w, const struct uidset *set, uint32_t *uid_out);
void
walk_step(struct walk *w, const struct uidset *set);

#endif
