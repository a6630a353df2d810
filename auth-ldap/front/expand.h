#ifndef POSTROOM_AUTH_EXPAND_H
#define POSTROOM_AUTH_EXPAND_H

#include "auth-ldap/front/backends.h"

/* What an address stands for in the end: aliases, groups inside groups and forwardings are followed
 * over all backends. No address and no reference is asked about twice, so circles end; depth and
 * size have limits; one failing answer makes the whole ERR_TEMP, because a part of a group is never
 * an answer. Knows nothing of what is behind a backend. */
struct expansion;

enum expansion_kind {
	EXPAND_ALIAS,  /* the final addresses, comma separated, and the group's owner */
	EXPAND_SENDER, /* the users who may send as the address, comma separated */
	EXPAND_POST,   /* may other, a sender's address, post to the group? no value */
};

/* Copies address, other and c (not c's trace). Limits are those of the backend that knows
 * the address. fn is called once, from the loop: ERR_OK; ERR_NOTFOUND: no backend knows it
 * (REASON_UNKNOWN), or it stands for nobody, or for nobody but itself (REASON_LOOP, REASON_NONE);
 * ERR_DENIED: beyond the limits (REASON_LIMIT), or other may not post (REASON_AUTHZ); ERR_TEMP
 * (REASON_DIRECTORY). */
struct expansion *
expansion_start(struct backends *b, enum expansion_kind kind, const struct name *address,
	struct str other, const struct auth_context *c, auth_fn fn, void *arg);
/* fn will not be called. NULL is allowed. */
void
expansion_cancel(struct expansion *x);

#endif
