#ifndef POSTROOM_SMTP_ROOM_H
#define POSTROOM_SMTP_ROOM_H

#include "core/base/str.h"
#include "core/event/loop.h"

/* Has a mailbox room for one more message? Asked of lmtp over its socket, on one connection that is
 * kept, pipelined: MAIL with XROOM, RCPT, RSET (nothing is delivered in such a transaction). lmtp
 * alone knows limits and use. */
struct room;
struct room_question;

enum room_answer {
	ROOM_YES,	/* or nobody knows: the delivery will see */
	ROOM_FULL,	/* and will not be asked again: 552 5.2.2 */
	ROOM_FULL_TEMP, /* lmtp.full_is_temporary: 452 4.2.2 */
};
typedef void (*room_fn)(void *arg, enum room_answer a);

enum { ROOM_QUESTIONS_MAX = 1000, ROOM_TIMEOUT_MS = 2000 };

/* address: "unix:/path". Connects when the first question comes. */
struct room *
room_new(struct loop *l, struct str address);
/* Questions must be over or cancelled. NULL is allowed. */
void
room_free(struct room *r);
/* mailbox: an address of ours; size in octets, 0: unknown. fn is called once, from the loop, never
 * inside this call, after ROOM_TIMEOUT_MS at the latest. */
struct room_question *
room_ask(struct room *r, struct str mailbox, uint64_t size, room_fn fn, void *arg);
/* fn will not be called. NULL is allowed. */
void
room_cancel(struct room_question *q);

#endif
