/* An attempt's recipients with a mailbox here: transactions with lmtp, one at a time. Called by
 * attempt.c. Invariant: a recipient without a line of its own in the reply is tried again, as its
 * delivery id lets the store tell whether it has the message. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "delivery/queue/attempt_impl.h"

enum { RCPTS_AT_ONCE = 1000 };

static void
on_rcpt(void *arg, size_t i, const struct reply *r)
{
	struct attempt *a = arg;

	attempt_result(a, a->job_index[i], r, NULL);
}

/* The connection was lost: those without a line are tried again soon, as nobody refused them. */
static void
connection_lost(struct attempt *a, const char *text)
{
	int64_t next = attempt_soft_retry_at(a);
	struct reply r;

	reply_set(&r, 451, "4.4.2", text);
	log_event(LVL_WARN, "queue.lmtp", log_s("sid", a->r.sid), log_s("qid", a->r.id),
		log_z("res", "lost"), log_z("reason", text));
	for (size_t i = 0; i < a->job.rcpts_count; i++) {
		if (!a->job_rcpts[i].answered)
			attempt_put_off(a, a->job_index[i], &r, NULL, next);
	}
}

static void
on_end(void *arg, enum err how, const char *text)
{
	struct attempt *a = arg;

	a->job_running = false;
	if (how == ERR_CORRUPT) {
		attempt_slot_bad(a, ERR_CORRUPT);
		return;
	}
	if (how == ERR_OK)
		a->m->lost = 0;
	else
		connection_lost(a, text);
	for (size_t i = 0; i < a->job.rcpts_count; i++)
		a->spots[a->job_index[i]].state = SPOT_IDLE;
	attempt_step(a);
}

static enum err
job_read(void *arg, uint64_t off, void *p, size_t n)
{
	const struct attempt *a = arg;

	return spool_body_read(a->sm, off, p, n);
}

/* Collect those with one envelope sender; the others come in the next transaction. */
static size_t
collect(struct attempt *a)
{
	size_t n = 0;

	if (a->job_rcpts == NULL) {
		size_t room = a->r.rcpts_count < RCPTS_AT_ONCE ? a->r.rcpts_count : RCPTS_AT_ONCE;
		a->job_rcpts = xcalloc(room + 1, sizeof(*a->job_rcpts));
		a->job_index = xcalloc(room + 1, sizeof(*a->job_index));
	}
	for (uint32_t i = 0; i < a->r.rcpts_count && n < RCPTS_AT_ONCE; i++) {
		const struct record_rcpt *c = &a->r.rcpts[i];
		if (a->spots[i].state != SPOT_LOCAL ||
			(n != 0 && c->sender != a->r.rcpts[a->job_index[0]].sender))
			continue;
		a->spots[i].state = SPOT_BUSY;
		a->job_rcpts[n].address = c->address;
		record_delivery_id(&a->r, i, a->job_rcpts[n].delivery_id);
		a->job_index[n++] = i;
	}
	return n;
}

void
attempt_local(struct attempt *a)
{
	size_t n = a->job_running ? 0 : collect(a);

	if (n == 0)
		return;
	a->job = (struct client_job){ .sender = record_sender(&a->r, &a->r.rcpts[a->job_index[0]]),
		.qid = a->r.id,
		.eight_bit = (a->r.flags & SPOOL_8BITMIME) != 0,
		.binary = (a->r.flags & SPOOL_BINARY) != 0,
		.smtputf8 = (a->r.flags & SPOOL_SMTPUTF8) != 0,
		.body_len = a->sm->body_len,
		.body_crc = a->sm->fixed.body_crc,
		.read = job_read,
		.rcpts = a->job_rcpts,
		.rcpts_count = n,
		.on_rcpt = on_rcpt,
		.on_end = on_end,
		.arg = a };
	a->begin_ms = clock_ms();
	a->job_running = true;
	clients_submit(a->q->clients, &a->job);
}

void
attempt_local_free(struct attempt *a)
{
	if (a->job_running)
		clients_cancel(&a->job);
	free(a->job_rcpts);
	free(a->job_index);
}
