#ifndef POSTROOM_AUTH_WALK_H
#define POSTROOM_AUTH_WALK_H

#include "auth-ldap/front/backends.h"

/* One question to the backends in their order. The first that knows the name answers; one that
 * fails makes the answer ERR_TEMP. Of a user it is checked that the domain is the backend's and
 * that the home is nobody else's: whoever was seen with it before is asked about, and has lost it
 * when he is gone or has another now (users are renamed). ASK_ADDRESS, ASK_SENDER and ASK_TRANSPORT
 * ask again without the tag of "user+tag" (settings' recipient_delimiter) when nobody knows the
 * whole; not so with whole_only. Nobody knows it: ERR_NOTFOUND (ASK_LOGIN: ERR_DENIED). ASK_LIST:
 * as in backend.h, over all backends. */
struct walk;

struct walk_options {
	bool whole_only;
	const struct backend *only; /* NULL: all of the name's domain */
	bool homes_open;	    /* whose home it is does not matter, and is not noted */
};

/* Copies q and o; q->context->trace is kept. fn is called from the loop. */
struct walk *
walk_start(struct backends *b, const struct auth_question *q, const struct walk_options *o,
	auth_fn fn, void *arg);
/* NULL is allowed. */
void
walk_cancel(struct walk *w);

#endif
