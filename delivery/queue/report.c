/* Writes reports into the spool, for attempt.c. Invariant: fn says ERR_OK only after the report's
 * slot is durable. A report whose record never came is thrown away at the next start (queue.c),
 * because the original still says what is owed and will be reported again. */
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
	REPORT_MAX = 256 * 1024 * 1024,
};

struct report {
	struct queue *q;
	const struct record *r;
	const struct spool_message *sm;
	struct spool_writer *writer;
	struct loop_timer timer;
	unsigned tries;
	struct buf text; /* of the report, until all of it is with the writer */
	size_t written;
	struct owed what;
	int64_t now_ms;
	uint64_t size;
	unsigned flags; /* enum spool_flag, of the report */
	char id[SPOOL_NAME_LEN + 1];
	report_fn fn;
	void *arg;
};

static void
report_end(struct report *p, enum err e)
{
	struct record_orig orig = { .address = p->what.to, .notify = SPOOL_NOTIFY_NEVER };
	struct record record = { .id = str_of(p->id),
		.sid = p->r->sid,
		.received_ms = p->now_ms,
		.size = p->size,
		.flags = p->flags,
		.origs = &orig,
		.origs_count = 1 };
	report_fn fn = p->fn;
	void *arg = p->arg;

	loop_timer_stop(&p->timer);
	buf_fini(&p->text);
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

/* Does the report hold the whole message? RFC 3461 4.3: RET is about failures only. */
static bool
is_whole(const struct report *p, bool failed)
{
	return failed && p->r->ret != SPOOL_RET_HDRS &&
	       (p->sm->envelope.flags & SPOOL_BINARY) == 0 &&
	       p->sm->body_len <= p->q->o.bounce_size_max;
}

/* The recipients that it is about; true: something failed. */
static bool
add_rcpts(const struct report *p, struct dsn_rcpt *rcpts, struct dsn *d)
{
	const struct record *r = p->r;
	bool failed = false;

	for (uint32_t i = 0; i < r->origs_count; i++) {
		const struct record_orig *o = &r->origs[i];
		enum action a = owed_orig(r, &p->what, i);
		if (a == ACTION_NONE)
			continue;
		rcpts[d->rcpts_count++] = (struct dsn_rcpt){
			.action = a, .address = o->address, .orig = o->address, .orcpt = o->orcpt
		};
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		const struct record_rcpt *c = &r->rcpts[i];
		const struct record_orig *o = &r->origs[c->orig];
		enum action a = owed_rcpt(r, &p->what, i);
		if (a == ACTION_NONE)
			continue;
		failed = failed || a == ACTION_FAILED;
		rcpts[d->rcpts_count++] = (struct dsn_rcpt){ .action = a,
			.address = c->address,
			.orig = c->list ? STR_EMPTY : o->address,
			.orcpt = c->list ? STR_EMPTY : o->orcpt,
			.reply = c->reply,
			.host = c->host,
			.host_address = c->host_address,
			.last_ms = c->last_ms };
	}
	return failed;
}

static void
build(struct report *p, struct buf *out)
{
	const struct record *r = p->r;
	struct dsn_rcpt *rcpts =
		xcalloc((size_t)r->rcpts_count + r->origs_count + 1, sizeof(*rcpts));
	struct dsn d = { .hostname = p->q->o.hostname,
		.to = p->what.to,
		.qid = r->id,
		.report_qid = str_of(p->id),
		.envid = p->what.sender == 0 ? r->envid : STR_EMPTY,
		.now_ms = p->now_ms,
		.received_ms = r->received_ms,
		.until_ms = r->received_ms + p->q->o.lifetime_ms,
		.twice = p->what.twice,
		.rcpts = rcpts };
	bool failed = add_rcpts(p, rcpts, &d);
	size_t n = p->sm->body_len < HEADER_MAX ? (size_t)p->sm->body_len : HEADER_MAX;
	char *text;

	d.whole = is_whole(p, failed);
	if (d.whole)
		n = (size_t)p->sm->body_len;
	text = xmalloc(n + 1);
	if (spool_body_read(p->sm, 0, text, n) == ERR_OK)
		d.content = d.whole ? str_n(text, n) : dsn_header_of(str_n(text, n), HEADER_MAX);
	if (dsn_build(&d, (p->sm->envelope.flags & SPOOL_SMTPUTF8) != 0, out, &p->flags) != ERR_OK)
		buf_reset(out);
	p->flags |= SPOOL_REPORT | (p->what.twice ? SPOOL_DOUBLE : 0);
	log_event(LVL_INFO, "queue.report", log_s("sid", r->sid), log_s("qid", r->id),
		log_z("report", p->id), log_z("subject", dsn_subject(&d)),
		log_n("rcpts", (int64_t)d.rcpts_count), log_s("to", p->what.to));
	free(text);
	free(rcpts);
}

/* As much as the writer takes; its drain comes back here. */
static void
write_more(void *arg)
{
	struct report *p = arg;
	struct spool_rcpt rcpt = { .address = p->what.to, .notify = SPOOL_NOTIFY_NEVER };
	struct spool_envelope envelope = { .sid = p->r->sid,
		.received_ms = p->now_ms,
		.flags = p->flags,
		.rcpts = &rcpt,
		.rcpts_count = 1 };

	while (p->written < p->text.n) {
		struct str piece = str_sub(buf_str(&p->text), p->written, SPOOL_CHUNK);
		if (spool_writer_full(p->writer))
			return;
		spool_write(p->writer, piece);
		p->written += piece.n;
	}
	buf_fini(&p->text);
	spool_commit(p->writer, &envelope, committed, p);
}

static void
write_report(struct report *p)
{
	memcpy(p->id, spool_writer_name(p->writer).p, SPOOL_NAME_LEN);
	p->now_ms = clock_wall_ms();
	build(p, &p->text);
	p->size = p->text.n;
	spool_writer_on_drain(p->writer, write_more, p);
	write_more(p);
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
report_start(struct queue *q, const struct record *r, const struct spool_message *sm,
	const struct owed *w, report_fn fn, void *arg)
{
	struct report *p = xcalloc(1, sizeof(*p));

	p->q = q;
	p->r = r;
	p->sm = sm;
	p->what = *w;
	p->fn = fn;
	p->arg = arg;
	buf_init(&p->text, REPORT_MAX);
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
	buf_fini(&p->text);
	free(p);
}
