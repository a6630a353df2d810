/* Writes reports into the spool, for attempt.c. Invariant: fn says ERR_OK only after the report's
 * slot is durable. A report whose record never came is thrown away at the next start (queue.c),
 * because the original still says RCPT_FAILED and will be reported again. */
#include "delivery/queue/report.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "delivery/queue/dsn.h"

enum {
	SLOT_WAIT_MS = 50,
	SLOT_TRIES = 200,
	HEADER_MAX = 32 * 1024,
	REPORT_MAX = 64 * 1024 * 1024,
};

struct report {
	struct queue *q;
	const struct record *r;
	const struct spool_message *sm;
	struct spool_writer *writer;
	struct loop_timer timer;
	unsigned tries;
	bool notice;
	int64_t now_ms;
	uint64_t size;
	char id[SPOOL_NAME_LEN + 1];
	report_fn fn;
	void *arg;
};

static void
report_end(struct report *p, enum err e)
{
	struct record_orig orig = { .address = p->r->sender, .notify = SPOOL_NOTIFY_NEVER };
	struct record record = { .id = str_of(p->id),
		.sid = p->r->sid,
		.received_ms = p->now_ms,
		.size = p->size,
		.flags = (p->sm->envelope.flags & SPOOL_8BITMIME) | SPOOL_REPORT,
		.origs = &orig,
		.origs_count = 1 };
	report_fn fn = p->fn;
	void *arg = p->arg;

	loop_timer_stop(&p->timer);
	if (e == ERR_OK)
		log_event(LVL_INFO, "queue.report", log_s("sid", p->r->sid), log_s("qid", p->r->id),
			log_z("report", p->id), log_z("kind", p->notice ? "delayed" : "failed"),
			log_s("to", p->r->sender));
	fn(arg, e, e == ERR_OK ? &record : NULL);
	free(p);
}

static void
committed(void *arg, struct spool_writer *w, enum err e)
{
	struct report *p = arg;

	if (e != ERR_OK)
		log_event(LVL_ERROR, "queue.report", log_s("qid", p->r->id),
			log_z("reason", spool_writer_error(w)), log_e("res", e));
	p->writer = NULL;
	report_end(p, e == ERR_OK ? ERR_OK : ERR_TEMP);
}

static void
build(struct report *p, struct buf *out)
{
	const struct record *r = p->r;
	struct dsn_rcpt *rcpts =
		xcalloc((size_t)r->rcpts_count + r->origs_count + 1, sizeof(*rcpts));
	char *header = xmalloc(HEADER_MAX);
	size_t header_n = p->sm->body_len < HEADER_MAX ? (size_t)p->sm->body_len : HEADER_MAX;
	struct dsn d = { .hostname = p->q->o.hostname,
		.to = r->sender,
		.qid = r->id,
		.report_qid = str_of(p->id),
		.now_ms = p->now_ms,
		.received_ms = r->received_ms,
		.delayed = p->notice,
		.until_ms = r->received_ms + p->q->o.lifetime_ms,
		.rcpts = rcpts };

	for (uint32_t i = 0; p->notice && i < r->origs_count; i++) {
		const struct record_orig *o = &r->origs[i];
		if (!o->expanded && !o->told)
			rcpts[d.rcpts_count++] =
				(struct dsn_rcpt){ .address = o->address, .orig = o->address };
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		const struct record_rcpt *c = &r->rcpts[i];
		if (p->notice ? c->state == RCPT_WAITING && !c->told : c->state == RCPT_FAILED)
			rcpts[d.rcpts_count++] = (struct dsn_rcpt){ .address = c->address,
				.orig = r->origs[c->orig].address,
				.reply = c->reply };
	}
	if (spool_body_read(p->sm, 0, header, header_n) == ERR_OK)
		d.header = dsn_header_of(str_n(header, header_n), HEADER_MAX);
	if (dsn_build(&d, out) != ERR_OK)
		buf_reset(out);
	free(header);
	free(rcpts);
}

static void
write_report(struct report *p)
{
	struct spool_rcpt rcpt = { .address = p->r->sender, .notify = SPOOL_NOTIFY_NEVER };
	struct spool_envelope envelope = { .sid = p->r->sid,
		.received_ms = p->now_ms,
		.flags = (p->sm->envelope.flags & SPOOL_8BITMIME) | SPOOL_REPORT,
		.rcpts = &rcpt,
		.rcpts_count = 1 };
	struct buf b;

	memcpy(p->id, spool_writer_name(p->writer).p, SPOOL_NAME_LEN);
	p->now_ms = clock_wall_ms();
	buf_init(&b, REPORT_MAX);
	build(p, &b);
	p->size = b.n;
	spool_write(p->writer, buf_str(&b));
	buf_fini(&b);
	spool_commit(p->writer, &envelope, committed, p);
}

static void
take_slot(struct loop_timer *t)
{
	struct report *p = t->arg;
	enum err e = spool_server_take(p->q->spool, &p->writer);

	if (e == ERR_OK) {
		write_report(p);
		return;
	}
	p->writer = NULL;
	if (++p->tries > SLOT_TRIES)
		report_end(p, ERR_TEMP);
	else
		loop_timer_start(&p->timer, SLOT_WAIT_MS);
}

struct report *
report_start(struct queue *q, const struct record *r, const struct spool_message *sm, bool notice,
	report_fn fn, void *arg)
{
	struct report *p = xcalloc(1, sizeof(*p));

	p->q = q;
	p->r = r;
	p->sm = sm;
	p->notice = notice;
	p->fn = fn;
	p->arg = arg;
	loop_timer_init(&p->timer, q->loop, take_slot, p);
	loop_timer_start(&p->timer, 0);
	return p;
}

void
report_cancel(struct report *p)
{
	if (p->writer != NULL)
		spool_abort(p->writer);
	loop_timer_stop(&p->timer);
	free(p);
}
