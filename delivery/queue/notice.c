/* When senders hear of delays, for attempt.c and queue.c: the time; whom, says owed.c. Invariant:
 * what notice_at_ms finds owed is what the notice names and owed_mark marks, so that an attempt
 * that was made for the notice alone does not come again. */
#include "delivery/queue/notice.h"

#include "delivery/queue/owed.h"

int64_t
notice_at_ms(const struct record *r, const struct queue_options *o, int64_t now_ms)
{
	if (o->delay_notice_ms == 0 || o->delay_notice_ms >= o->lifetime_ms ||
		now_ms - r->received_ms >= o->lifetime_ms || !owed_delays(r))
		return INT64_MAX;
	return r->received_ms + o->delay_notice_ms;
}

int64_t
notice_next_ms(const struct record *r, const struct queue_options *o, int64_t now_ms)
{
	int64_t next = record_next_ms(r), notice = notice_at_ms(r, o, now_ms);

	return notice < next ? notice : next;
}
