#ifndef POSTROOM_QUEUE_ADMIN_H
#define POSTROOM_QUEUE_ADMIN_H

#include "core/event/listener.h"
#include "delivery/queue/queue.h"

/* The socket `queue-admin`, for root alone (`postroom queue`). The protocol is that of `auth-admin`
 * (core/master/client.h): one request a connection,
 *   LIST | SHOW id | HOLD id | RELEASE id | RETRY id | DELETE id | FLUSH
 * with fields separated by tabs. LIST and SHOW answer with lines of
 *   MESSAGE id state size received_ms next_ms sender sid recipients open hop hop_ms hop_reply
 *   RCPT address original state attempts next_ms reply
 * each message's recipients behind it: with LIST the first ADMIN_RCPTS_SHOWN that are open (neither
 * delivered nor reported), with SHOW all of them. Times are wall-clock milliseconds, 0: now or
 * unknown. hop is a destination whose line the message stands in (then next_ms is the end of its
 * lifetime at the latest), hop_ms when that is tried again if it rests, hop_reply why. A message's
 * state: waiting, ready, active, held; a recipient's: new (the directory was
 * not asked with success yet), waiting, delivered, failed, reported. The last line is OK and a text
 * (LIST, FLUSH: how many), NOTFOUND: no such message, DENY: not in this state, TEMP, SYNTAX.
 *
 * HOLD, RELEASE and DELETE answer when the change is durable. A message that is being delivered is
 * waited for, up to ADMIN_BUSY_MS, then the answer is TEMP. */
enum { ADMIN_RCPTS_SHOWN = 10, ADMIN_BUSY_MS = 10000, ADMIN_CONNS_MAX = 64 };

struct admin;

struct admin *
admin_new(struct queue *q);
/* Ends every connection; changes that are on their way to the disk go on. Before queue_close. */
void
admin_free(struct admin *a);
/* A connection; takes fd. Others than root and our own user are refused. */
void
admin_accept(struct admin *a, int fd, const struct peer *peer);

#endif
