#ifndef POSTROOM_SMTP_LOOKUP_H
#define POSTROOM_SMTP_LOOKUP_H

#include "core/authclient/socketmap.h"

/* The questions that smtp asks the directory: is this recipient known here, may this user send as
 * this address. Each ends in one call of its fn, from the loop, or in lookup_cancel. Later checks
 * (policy, block lists) have the same shape. */
struct lookup;

enum lookup_answer {
	LOOKUP_YES,
	LOOKUP_ALIAS,	/* recipient: known, and it stands for others (posting.h) */
	LOOKUP_NO,	/* recipient: no such user; sender: not theirs */
	LOOKUP_FOREIGN, /* recipient: the domain is not ours */
	LOOKUP_TEMP,	/* the directory could not say: 451, never a no */
};
typedef void (*lookup_fn)(void *arg, enum lookup_answer a);

/* address: "ben+tag@example.org", normalised (command.h). Known means: a mailbox, an alias or a
 * group, or a mailbox without the tag behind delimiter ('\0': no tags). fn NULL: lookup_take
 * follows. */
struct lookup *
lookup_recipient(struct loop *l, struct socketmap *map, struct str address, char delimiter,
	lookup_fn fn, void *arg);
/* May user (login name) send as address? */
struct lookup *
lookup_sender(struct loop *l, struct socketmap *map, struct str address, struct str user,
	lookup_fn fn, void *arg);
/* Of a question asked ahead (fn NULL), whose answer is kept: fn is told, from the loop. */
void
lookup_take(struct lookup *k, lookup_fn fn, void *arg);
/* Is it about this address? */
bool
lookup_is_about(const struct lookup *k, struct str address);
/* fn will not be called. NULL is allowed. */
void
lookup_cancel(struct lookup *k);

/* names: "anna, anna@example.org": is user among them? Exposed for tests. */
bool
lookup_names_hold(struct str names, struct str user);

#endif
