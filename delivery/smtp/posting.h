#ifndef POSTROOM_SMTP_POSTING_H
#define POSTROOM_SMTP_POSTING_H

#include "delivery/smtp/lookup.h"

/* May this sender write to that alias or group? Asks the directory's map `post`, whose answer
 * counts for the address that was written to, not for groups inside it.
 *
 * How far a sender is believed: of a user who logged in and of networks of ours, always (the user's
 * login name counts as well as his address). A stranger's sender is believed only where it is not
 * one of ours, in its domain or as anybody's address: inside addresses are what a forger takes. */
struct posting;

struct posting_question {
	struct str group;  /* an address that stands for others */
	struct str sender; /* "" for <> */
	struct str user;   /* login name; "" without */
	bool trusted;
};
/* LOOKUP_YES; LOOKUP_NO: it is closed to him; LOOKUP_TEMP. Strings are copied. Ends in one call of
 * fn, from the loop, or in posting_cancel. */
struct posting *
posting_ask(struct loop *l, struct socketmap *map, const struct posting_question *q, lookup_fn fn,
	void *arg);
/* NULL is allowed. */
void
posting_cancel(struct posting *p);

#endif
