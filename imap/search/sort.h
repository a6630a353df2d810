#ifndef POSTROOM_IMAP_SORT_H
#define POSTROOM_IMAP_SORT_H

#include "imap/search/result.h"

/* SORT of what was found: keys from the index, some messages at a step, then the order, some moves
 * at a step. 16 octets a message, and its key beyond 8 octets. The order is remembered
 * (imap/session/recall.h), so the next time only what came since needs keys. RFC 5256 3. */
struct sort;

/* Borrows a. Returned owned. */
struct sort *
sort_new(const struct args_search *a);
void
sort_free(struct sort *t); /* NULL is allowed */
/* ERR_AGAIN: call it again at the next step. ERR_OK: r->order is set and borrows from t; messages
 * that are gone meanwhile left r, and *missing is set. ERR_LIMIT, ERR_TEMP, ERR_CORRUPT. */
MUST_USE enum err
sort_run(struct imap_session *s, struct cmd *c, struct sort *t, struct search_result *r,
	bool *missing);

#endif
