#ifndef POSTROOM_IMAP_SORT_INSERT_H
#define POSTROOM_IMAP_SORT_INSERT_H

#include "imap/search/order.h"
#include "imap/search/sortkey.h"
#include "imap/session/recall.h"
#include "imap/session/session.h"

/* The order of some UIDs by an order that is remembered: those of it that were found, and a few
 * that came since, each put in its place by looking at the keys of about log2(n) others. Some of it
 * at a step. */
struct sort_insert {
	struct recalled *known;
	const struct uidset *found; /* borrowed; all of them are in known or in fresh */
	const struct order *fresh;  /* borrowed; sorted */
	uint32_t *uids;		    /* the result: count of them; owned */
	size_t count;
	/* private */
	uint32_t *places; /* of the fresh ones: how many of known come before each */
	size_t at, kept, placed;
	struct sortkey key, probe;
};

/* Keeps a reference of its own to known. */
void
sort_insert_init(struct sort_insert *t, struct recalled *known, const struct uidset *found,
	const struct order *fresh, const struct args_search *a);
void
sort_insert_fini(struct sort_insert *t); /* zeroed is allowed */
/* ERR_OK: the result stands. ERR_AGAIN: call it again at the next step. ERR_NOTFOUND: one of them
 * is gone meanwhile, and nothing can be said. Others as sortkey_make. */
MUST_USE enum err
sort_insert_run(struct sort_insert *t, struct imap_session *s);

#endif
