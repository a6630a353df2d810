#ifndef POSTROOM_QUEUE_NOTICE_H
#define POSTROOM_QUEUE_NOTICE_H

#include "delivery/queue/queue.h"

/* Notices to senders that recipients wait for long, once for each: when, and for whom. RFC 3464
 * 2.3.3, action "delayed". */

/* Wall time from which on a notice is owed; INT64_MAX: never, as nobody waits whose sender is to
 * hear of it and does not know yet, or the message's time is over by now. */
int64_t
notice_at_ms(const struct record *r, const struct queue_options *o, int64_t now_ms);
/* The earliest of that and record_next_ms. */
int64_t
notice_next_ms(const struct record *r, const struct queue_options *o, int64_t now_ms);

#endif
