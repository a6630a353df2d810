/* When senders hear of delays, for attempt.c and queue.c. Invariant: what notice_at_ms finds owed
 * is what the notice names and notice_mark marks, so that an attempt that was made for the notice
 * alone does not come again. */
#include "delivery/queue/notice.h"

static bool
somebody_waits_untold(const struct record *r)
{
	for (uint32_t i = 0; i < r->origs_count; i++) {
		if (!r->origs[i].expanded && !r->origs[i].told)
			return true;
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		if (r->rcpts[i].state == RCPT_WAITING && !r->rcpts[i].told)
			return true;
	}
	return false;
}

int64_t
notice_at_ms(const struct record *r, const struct queue_options *o, int64_t now_ms)
{
	if (o->delay_notice_ms == 0 || r->sender.n == 0 || o->delay_notice_ms >= o->lifetime_ms ||
		now_ms - r->received_ms >= o->lifetime_ms || !somebody_waits_untold(r))
		return INT64_MAX;
	return r->received_ms + o->delay_notice_ms;
}

int64_t
notice_next_ms(const struct record *r, const struct queue_options *o, int64_t now_ms)
{
	int64_t next = record_next_ms(r), notice = notice_at_ms(r, o, now_ms);

	return notice < next ? notice : next;
}

void
notice_mark(struct record *r)
{
	for (uint32_t i = 0; i < r->origs_count; i++) {
		if (!r->origs[i].expanded)
			r->origs[i].told = true;
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		if (r->rcpts[i].state == RCPT_WAITING)
			r->rcpts[i].told = true;
	}
}
