#ifndef POSTROOM_STORE_DELIVER_H
#define POSTROOM_STORE_DELIVER_H

#include "core/store/body.h"

/* One message into many homes: written once, hard-linked (copied across file systems). */
enum { DELIVERY_ID_MAX = 100 };

struct deliver_rcpt {
	struct home *home;  /* a reference is taken; a home may stand more than once */
	struct str mailbox; /* empty: INBOX. One that does not exist, or cannot: INBOX */
	/* Who sends chose mailbox, as by the tag of an address: any bytes. It is INBOX where the
	 * user's \Sent, \Drafts or \Trash, or a mailbox below one, is meant. */
	bool by_sender;
	/* by_sender: one that is missing is made, and subscribed, while the home has fewer
	 * mailboxes than this. 0: never. */
	uint32_t create_below;
	/* Delivered once: the first 16 characters are the accept time, milliseconds since 1970 in
	 * lower-case hex, the rest is opaque; empty: none. A repeat is ERR_OK and stores nothing.
	 */
	struct str delivery_id;
};
struct deliver_batch {
	struct body *body; /* finished writing; taken */
	const struct deliver_rcpt *rcpt;
	size_t count;
	int64_t timeout_ms; /* 20,000 where 0 */
};

struct deliver;
/* index: of the recipient. ERR_OK: durable. ERR_TEMP: not now (or the time was up: it may still be
 * committed, the delivery id covers that). ERR_SYNTAX: bad delivery id; ERR_QUOTA. Called once for
 * each recipient, from the loop, in order of completion; the last call ends the batch (left == 0).
 */
typedef void (*deliver_fn)(void *arg, size_t index, enum err e, size_t left);

/* Copies the batch. Never NULL. Dies with the last call of done. */
struct deliver *
store_deliver(struct store *s, const struct deliver_batch *b, deliver_fn done, void *arg);
/* done is not called any more; what is on its way goes on. */
void
store_deliver_forget(struct deliver *d);

#endif
