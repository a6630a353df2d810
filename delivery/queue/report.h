#ifndef POSTROOM_QUEUE_REPORT_H
#define POSTROOM_QUEUE_REPORT_H

#include "delivery/queue/owed.h"
#include "delivery/queue/queue.h"
#include "delivery/queue/record.h"

/* One report (owed.h) as a new message in the spool. It counts only once queue.mdb has a record of
 * it, put together with the original's. What it holds of the message: where something failed, all
 * of it, unless the sender said RET=HDRS or it is larger than bounce_size_max; else the header. */
struct report;

/* record: of the report; borrowed for the call, to be put by the caller. ERR_TEMP: there is no
 * report, try again later. */
typedef void (*report_fn)(void *arg, enum err e, const struct record *record);
/* Keeps r and sm until fn was called or the report was cancelled; w is copied. fn is never called
 * inside. */
struct report *
report_start(struct queue *q, const struct record *r, const struct spool_message *sm,
	const struct owed *w, report_fn fn, void *arg);
void
report_cancel(struct report *p);

#endif
