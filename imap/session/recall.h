#ifndef POSTROOM_IMAP_RECALL_H
#define POSTROOM_IMAP_RECALL_H

#include "core/event/loop.h"
#include "core/store/store.h"
#include "core/store/uidset.h"

/* What SORT and THREAD of a worker found out, kept for the next time. A message never changes, so
 * the order of given UIDs, and their threads, stay right for as long as the mailbox has its
 * UIDVALIDITY: what changes is which UIDs are asked for. Of all, bytes_max octets are kept, those
 * that were used last, and none longer than idle_ms after its last use. */
struct recall;

/* Immutable, counted. */
struct recalled {
	struct uidset uids; /* what it was made from */
	const uint32_t *v;  /* SORT: uids in their order; THREAD: see thread_job.c */
	size_t n;
	/* private */
	unsigned refs;
};

struct recall_key {
	struct home *home;
	uint32_t mailbox, uidvalidity;
	struct str
		how; /* what was asked for, in octets of the caller's own; at most RECALL_HOW_MAX */
};

/* Fewer messages are put in order again in less time than it takes to remember it. */
enum { RECALL_LEAST = 64 };
enum { RECALL_HOW_MAX = 24 };
enum { RECALL_BYTES_MAX = 32 * 1024 * 1024, RECALL_IDLE_MS = 5 * 60 * 1000 };

struct recall *
recall_new(struct loop *l, size_t bytes_max, int64_t idle_ms);
void
recall_free(struct recall *r); /* NULL is allowed; what others hold lives on */
/* A reference, or NULL. */
struct recalled *
recall_get(struct recall *r, const struct recall_key *k);
/* In place of what was there; keeps references of its own to what and to the home. What is larger
 * than half of bytes_max is not kept. */
void
recall_put(struct recall *r, const struct recall_key *k, struct recalled *what);

/* uids is copied, v is taken. A reference. */
struct recalled *
recalled_new(const struct uidset *uids, uint32_t *v, size_t n);
struct recalled *
recalled_ref(struct recalled *w);
void
recalled_unref(struct recalled *w); /* NULL is allowed */

#endif
