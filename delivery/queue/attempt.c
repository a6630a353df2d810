/* One attempt at a message: read its slot and record, expand what is not expanded, store that, give
 * what is due to lmtp and relay, report failures, store the result. Started by queue.c. Invariants:
 * the record is durable before the first delivery, so places in it (and delivery ids) never change;
 * a failed recipient is RCPT_REPORTED only in the transaction that also names the report; results
 * are put within PROGRESS_MS; the end comes only when neither lmtp nor relay nor the router owes an
 * answer. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "delivery/queue/attempt_impl.h"
#include "delivery/queue/notice.h"
#include "delivery/queue/report.h"
#include "delivery/queue/retry.h"
#include "delivery/queue/stored.h"

enum {
	MEMORY_MAX = 512 * 1024 * 1024,
	EXPAND_AT_ONCE = 16,
	PROGRESS_MS = 100,
	SOFT_RETRY_MS = 500, /* first wait when the directory or lmtp was away */
	SLOT_RETRY_MS = 5000,
	SLOT_RETRY_MAX_MS = 300000,
	DUE_MAX_MS = 60000,
};

struct final_node {
	struct hmap_node node;
	uint32_t index; /* in r.rcpts */
};

static void
deliver_begin(struct attempt *a);
static void
finish_step(struct attempt *a);

static void
attempt_free(struct attempt *a)
{
	struct queue *q = a->q;
	bool away;

	for (uint32_t i = 0; a->expanding != NULL && i < a->r.origs_count; i++) {
		if (a->expanding[i].request != NULL)
			expand_cancel(a->expanding[i].request);
	}
	if (a->spots != NULL) {
		attempt_local_free(a);
		attempt_relay_free(a);
	}
	if (a->report != NULL)
		report_cancel(a->report);
	loop_timer_stop(&a->progress);
	loop_timer_stop(&a->due);
	loop_task_cancel(&a->again);
	if (a->sm != NULL)
		spool_message_close(a->sm);
	hmap_fini(&a->finals);
	list_remove(&a->link);
	free(a->expanding);
	free(a->spots);
	arena_free(a->memory);
	a->m->attempt = NULL;
	away = a->away;
	free(a);
	queue_attempt_over(q, away);
}

/* The end of an attempt that came to nothing, by the fault of the disk. */
static void
give_up_for_now(struct attempt *a)
{
	struct queue *q = a->q;
	struct message *m = a->m;

	attempt_free(a);
	hop_waits_release(&m->waits);
	if (m->lost < UINT16_MAX)
		m->lost++;
	queue_reschedule(q, m,
		clock_wall_ms() +
			retry_wait_ms(m->lost, SLOT_RETRY_MS, SLOT_RETRY_MAX_MS, rand_u64()));
}

bool
attempt_expired(const struct attempt *a)
{
	return clock_wall_ms() - a->r.received_ms >= a->q->o.lifetime_ms;
}

/* Put the record, and more (a report's) with it. */
static void
put_record(struct attempt *a, const struct record *more, state_fn done, void *arg)
{
	struct buf b, b_more;
	struct state_write w[2];
	size_t n = 0;

	buf_init(&b, RECORD_MAX);
	buf_init(&b_more, 1024 * 1024);
	if (record_encode(&a->r, &b) != ERR_OK ||
		(more != NULL && record_encode(more, &b_more) != ERR_OK)) {
		log_event(LVL_ERROR, "queue.record", log_s("qid", a->r.id),
			log_z("reason", "too large"));
		abort();
	}
	w[n++] = (struct state_write){ str_of(a->m->id), buf_str(&b) };
	if (more != NULL)
		w[n++] = (struct state_write){ more->id, buf_str(&b_more) };
	a->dirty = false;
	a->m->recorded = true;
	loop_timer_stop(&a->progress);
	state_put(a->q->state, w, n, done, arg);
	buf_fini(&b);
	buf_fini(&b_more);
}

static void
on_progress(struct loop_timer *t)
{
	struct attempt *a = t->arg;

	if (!a->dirty)
		return;
	a->unseen = true;
	put_record(a, NULL, queue_put_done, a->q);
}

void
attempt_changed(struct attempt *a)
{
	a->dirty = true;
	if (!loop_timer_active(&a->progress))
		loop_timer_start(&a->progress, PROGRESS_MS);
}

static void
set_reply(struct attempt *a, struct record_rcpt *c, const struct reply *r)
{
	char text[REPLY_TEXT_MAX + 32];

	(void)snprintf(text, sizeof(text), "%u %s %s", r->code, r->status, r->text);
	if (arena_str(a->memory, str_of(text), &c->reply) != ERR_OK)
		c->reply = STR("451 4.3.0 Out of memory");
}

/* Recipients. */

/* address in lower case, in the attempt's memory: MEMORY_MAX is far above any expansion. */
static struct str
lower_case(struct attempt *a, struct str address)
{
	char *lower = arena_alloc(a->memory, address.n + 1);

	if (lower == NULL)
		abort();
	for (size_t i = 0; i < address.n; i++)
		lower[i] = (char)ascii_lower((unsigned char)address.p[i]);
	return str_n(lower, address.n);
}

/* The recipient with this address; NULL: none yet. */
static struct record_rcpt *
final_known(struct attempt *a, struct str address)
{
	struct hmap_node *n = hmap_get(&a->finals, lower_case(a, address));

	return n != NULL ? &a->r.rcpts[CONTAINER_OF(n, struct final_node, node)->index] : NULL;
}

static void
final_note(struct attempt *a, uint32_t index)
{
	struct str lower = lower_case(a, a->r.rcpts[index].address);
	struct final_node *f = arena_calloc(a->memory, 1, sizeof(*f));

	if (f == NULL)
		abort();
	f->index = index;
	if (hmap_get(&a->finals, lower) == NULL)
		hmap_put(&a->finals, &f->node, lower);
}

/* One of count that an envelope recipient stands for; NULL: it was there already. */
static struct record_rcpt *
add_final(struct attempt *a, struct str address, uint32_t orig, size_t count)
{
	struct record_rcpt *c = final_known(a, address);

	if (c != NULL) {
		owed_inherit(c, &a->r.origs[orig], count, true);
		return NULL;
	}
	c = record_add_rcpt(&a->r, a->memory, address, orig);
	if (c == NULL)
		abort(); /* MEMORY_MAX is far above expansion_max addresses */
	final_note(a, a->r.rcpts_count - 1);
	owed_inherit(c, &a->r.origs[orig], count, false);
	return c;
}

static struct record_rcpt *
add_failed(
	struct attempt *a, struct str address, uint32_t orig, size_t count, const struct reply *r)
{
	struct record_rcpt *c = add_final(a, address, orig, count);

	if (c == NULL)
		return NULL;
	c->state = RCPT_FAILED;
	set_reply(a, c, r);
	log_event(LVL_INFO, "queue.deliver", log_s("sid", a->r.sid), log_s("qid", a->r.id),
		log_s("rcpt", address), log_z("res", "fail"), log_s("reason", c->reply));
	return c;
}

int64_t
attempt_retry_at(struct attempt *a, unsigned attempts)
{
	const struct queue_options *o = &a->q->o;

	return clock_wall_ms() +
	       retry_wait_ms(attempts, o->retry_min_ms, o->retry_max_ms, rand_u64());
}

/* A part of our own was away: it will be back soon, and nobody waits hours after that. */
static int64_t
soft_retry_at(struct attempt *a, unsigned attempts)
{
	return clock_wall_ms() +
	       retry_wait_ms(attempts, SOFT_RETRY_MS, a->q->o.retry_min_ms, rand_u64());
}

int64_t
attempt_soft_retry_at(struct attempt *a)
{
	if (a->soft_ms == 0) {
		if (a->m->lost < UINT16_MAX)
			a->m->lost++;
		a->soft_ms = soft_retry_at(a, a->m->lost);
	}
	return a->soft_ms;
}

/* Expansion. */

static void
expand_more(struct attempt *a);

static void
expand_failed(struct attempt *a, uint32_t i, enum err e, struct str text)
{
	struct record_orig *o = &a->r.origs[i];
	struct reply r;
	char line[REPLY_TEXT_MAX];

	if (e == ERR_DENIED || e == ERR_LIMIT) {
		(void)snprintf(line, sizeof(line), "The address leads nowhere: %.*s",
			text.n > 300 ? 300 : (int)text.n, text.p != NULL ? text.p : "");
		if (e == ERR_DENIED)
			reply_set(&r, 550, "5.1.0", line);
		else
			reply_set(&r, 550, "5.2.4", "The address stands for too many recipients");
	} else if (attempt_expired(a)) {
		reply_set(&r, 451, "4.4.3", "The directory could not be reached in time");
	} else {
		o->attempts++;
		o->next_ms = soft_retry_at(a, o->attempts);
		log_event(LVL_WARN, "queue.expand", log_s("sid", a->r.sid), log_s("qid", a->r.id),
			log_s("rcpt", o->address), log_z("res", "defer"), log_s("reason", text));
		return;
	}
	o->expanded = true;
	(void)add_failed(a, o->address, i, 1, &r);
}

static void
take_final(struct attempt *a, const struct expand_final *f, uint32_t orig, size_t count)
{
	struct record_rcpt *c;
	struct reply r;

	if (f->local || router_enabled(a->q->router)) {
		c = add_final(a, f->address, orig, count);
	} else {
		reply_set(&r, 550, "5.7.1", "Relaying not available: the domain is not local");
		c = add_failed(a, f->address, orig, count, &r);
	}
	if (c == NULL)
		return;
	if (f->has_sender && record_set_sender(&a->r, a->memory, c, f->sender) != ERR_OK)
		abort(); /* as in add_final */
}

static void
expand_answer(
	void *arg, enum err e, const struct expand_final *finals, size_t count, struct str text)
{
	struct expanding *x = arg;
	struct attempt *a = x->a;
	struct str address = a->r.origs[x->orig].address;

	x->request = NULL;
	a->expand_running--;
	if (e == ERR_OK && a->r.rcpts_count + count > a->q->o.expansion_max)
		e = ERR_LIMIT;
	if (e != ERR_OK) {
		expand_failed(a, x->orig, e, text);
	} else {
		owed_expanded(&a->r.origs[x->orig], count, count > 0 && finals[0].list);
		log_event(LVL_INFO, "queue.expand", log_s("sid", a->r.sid), log_s("qid", a->r.id),
			log_s("rcpt", address), log_n("count", (int64_t)count));
	}
	for (size_t i = 0; e == ERR_OK && i < count; i++)
		take_final(a, &finals[i], x->orig, count);
	expand_more(a);
}

static void
expanded_put(void *arg, enum err e)
{
	struct attempt *a = arg;

	if (e != ERR_OK)
		queue_disk_failed(a->q);
	deliver_begin(a);
}

/* Nothing is ours: an address stands for itself. */
static void
expand_null(struct attempt *a, uint32_t i)
{
	struct str address = a->r.origs[i].address, domain = a->q->o.default_domain;
	struct buf b;

	buf_init(&b, 4096);
	buf_add(&b, address);
	if (str_chr(address, '@') == address.n && domain.n != 0)
		buf_addf(&b, "@%.*s", STR_FMT(domain));
	if (buf_check(&b) == ERR_OK)
		address = buf_str(&b);
	a->r.origs[i].expanded = true;
	owed_expanded(&a->r.origs[i], 1, false);
	(void)add_final(a, address, i, 1);
	buf_fini(&b);
}

static void
expand_more(struct attempt *a)
{
	int64_t now = clock_wall_ms();

	while (a->expand_running < EXPAND_AT_ONCE && a->expand_next < a->r.origs_count) {
		uint32_t i = a->expand_next++;
		struct expanding *x = &a->expanding[i];
		if (a->r.origs[i].expanded || a->r.origs[i].next_ms > now)
			continue;
		a->dirty = true;
		if (router_null_client(a->q->router)) {
			expand_null(a, i);
			continue;
		}
		a->expand_running++;
		x->a = a;
		x->orig = i;
		x->request = expand_start(a->q->expander, a->r.origs[i].address, a->r.sender,
			a->q->o.expansion_max, expand_answer, x);
	}
	if (a->expand_running != 0)
		return;
	if (a->dirty)
		put_record(a, NULL, expanded_put, a);
	else
		deliver_begin(a);
}

/* What became of recipients. */

static void
log_deliver(struct attempt *a, const struct record_rcpt *c, const char *res)
{
	log_event(c->state == RCPT_WAITING ? LVL_WARN : LVL_INFO, "queue.deliver",
		log_s("sid", a->r.sid), log_s("qid", a->r.id), log_s("rcpt", c->address),
		log_z("res", res), log_s("host", c->host), log_s("reason", c->reply),
		log_n("ms", clock_ms() - a->begin_ms));
}

static void
set_peer(struct attempt *a, struct record_rcpt *c, const struct attempt_peer *p)
{
	c->last_ms = clock_wall_ms();
	if (arena_str(a->memory, p != NULL ? p->host : STR_EMPTY, &c->host) != ERR_OK ||
		arena_str(a->memory, p != NULL ? p->address : STR_EMPTY, &c->host_address) !=
			ERR_OK)
		c->host = c->host_address = STR_EMPTY;
}

void
attempt_result(struct attempt *a, uint32_t i, const struct reply *r, const struct attempt_peer *p)
{
	struct record_rcpt *c = &a->r.rcpts[i];

	set_reply(a, c, r);
	set_peer(a, c, p);
	if (c->attempts < UINT16_MAX)
		c->attempts++;
	if (reply_is(r, 2)) {
		owed_delivered(c, p != NULL && p->relayed, p != NULL && p->passed);
		log_deliver(a, c, "ok");
	} else if (reply_is(r, 5) || attempt_expired(a)) {
		c->state = RCPT_FAILED;
		log_deliver(a, c, "fail");
	} else {
		c->next_ms = attempt_retry_at(a, c->attempts);
		log_deliver(a, c, "defer");
	}
	attempt_changed(a);
}

void
attempt_put_off(struct attempt *a, uint32_t i, const struct reply *r, const struct attempt_peer *p,
	int64_t next_ms)
{
	struct record_rcpt *c = &a->r.rcpts[i];

	set_reply(a, c, r);
	set_peer(a, c, p);
	c->next_ms = next_ms;
	if (attempt_expired(a)) {
		c->state = RCPT_FAILED;
		log_deliver(a, c, "fail");
	}
	attempt_changed(a);
}

void
attempt_expire(struct attempt *a, uint32_t i, struct str why)
{
	struct record_rcpt *c = &a->r.rcpts[i];

	if (why.n == 0)
		why = STR("451 4.4.1 The destination could not be reached in time");
	if (c->reply.n == 0 && arena_str(a->memory, why, &c->reply) != ERR_OK)
		c->reply = STR_EMPTY;
	c->state = RCPT_FAILED;
	log_deliver(a, c, "fail");
	attempt_changed(a);
}

void
attempt_slot_bad(struct attempt *a, enum err e)
{
	struct queue *q = a->q;
	struct message *m = a->m;
	struct str id = str_of(m->id);
	struct state_write w = { id, STR_EMPTY };
	enum err moved = e == ERR_CORRUPT ? spool_quarantine(q->spool, id) : ERR_OK;

	log_event(LVL_ERROR, e == ERR_CORRUPT ? "queue.corrupt" : "queue.lost", log_s("qid", id),
		log_e("reason", e), log_z("moved", e != ERR_CORRUPT ? "" : err_name(moved)));
	if (moved == ERR_TEMP) {
		/* Without its record the next start would throw the only copy away. */
		give_up_for_now(a);
		return;
	}
	state_put(q->state, &w, 1, queue_put_done, q);
	attempt_free(a);
	queue_forget(q, m);
}

/* The steps. */

/* Somebody's time that comes while others are still being worked on. */
static void
watch_due(struct attempt *a)
{
	int64_t next = INT64_MAX, wait;

	for (uint32_t i = 0; i < a->r.rcpts_count; i++) {
		const struct record_rcpt *c = &a->r.rcpts[i];
		if (a->spots[i].state == SPOT_IDLE && c->state == RCPT_WAITING && c->next_ms < next)
			next = c->next_ms;
	}
	loop_timer_stop(&a->due);
	if (next == INT64_MAX || a->q->stopping || a->routing != 0)
		return; /* an answer of the router leads on by itself */
	wait = next - clock_wall_ms();
	loop_timer_start(&a->due, wait < 1 ? 1 : wait > DUE_MAX_MS ? DUE_MAX_MS : wait);
}

void
attempt_step(struct attempt *a)
{
	if (!a->q->stopping && attempt_route(a)) {
		attempt_local(a);
		attempt_relay(a);
	}
	if (a->routing == 0 && !a->job_running && list_empty(&a->runs)) {
		loop_timer_stop(&a->due);
		finish_step(a);
		return;
	}
	if (!a->away && !a->job_running && a->routing == 0) {
		a->away = true;
		queue_attempt_away(a->q);
	}
	watch_due(a);
}

static void
on_due(struct loop_timer *t)
{
	attempt_step(t->arg);
}

static void
on_again(struct loop_task *t)
{
	struct attempt *a = t->arg;

	/* Else the end looks whether it is called. */
	if (a->job_running || a->routing != 0 || !list_empty(&a->runs))
		attempt_step(a);
}

void
attempt_called(struct attempt *a)
{
	loop_task_queue(&a->again);
}

void
attempts_stop(struct queue *q)
{
	LIST_FOREACH (l, &q->attempts)
		attempt_relay_stop(CONTAINER_OF(l, struct attempt, link));
}

static void
deliver_begin(struct attempt *a)
{
	a->spots = xcalloc((size_t)a->r.rcpts_count + 1, sizeof(*a->spots));
	for (uint32_t i = 0; i < a->r.rcpts_count; i++)
		a->spots[i].a = a;
	a->begin_ms = clock_ms();
	attempt_step(a);
}

/* The end. */

static bool
all_done(const struct record *r)
{
	return record_next_ms(r) == INT64_MAX;
}

/* When the message is to be looked at again. Those who stand in line are called by their hop. */
static int64_t
next_ms(const struct attempt *a)
{
	int64_t now = clock_wall_ms(), end = a->r.received_ms + a->q->o.lifetime_ms;
	int64_t next = notice_at_ms(&a->r, &a->q->o, now);

	for (uint32_t i = 0; i < a->r.origs_count; i++) {
		if (!a->r.origs[i].expanded && a->r.origs[i].next_ms < next)
			next = a->r.origs[i].next_ms;
	}
	for (uint32_t i = 0; i < a->r.rcpts_count; i++) {
		const struct record_rcpt *c = &a->r.rcpts[i];
		bool parked = a->spots != NULL && a->spots[i].state == SPOT_PARKED;
		if (c->state == RCPT_WAITING && (parked ? end : c->next_ms) < next)
			next = parked ? end : c->next_ms;
	}
	/* Nobody waits, and yet it is not done: a report is owed. */
	return next == INT64_MAX ? now + SLOT_RETRY_MS : next;
}

static void
attempt_end(struct attempt *a)
{
	struct queue *q = a->q;
	struct message *m = a->m;

	if (!a->r.done) {
		int64_t next = next_ms(a);
		attempt_free(a);
		queue_reschedule(q, m, hop_called(&m->waits, NULL) ? 0 : next);
		return;
	}
	log_event(LVL_INFO, "queue.done", log_s("sid", a->r.sid), log_s("qid", a->r.id),
		log_n("rcpts", a->r.rcpts_count), log_n("ms", clock_wall_ms() - a->r.received_ms));
	attempt_free(a);
	queue_finish(q, m);
}

static void
finished_put(void *arg, enum err e)
{
	struct attempt *a = arg;

	if (e != ERR_OK)
		queue_disk_failed(a->q);
	if (a->report_id[0] == '\0') {
		attempt_end(a);
		return;
	}
	(void)queue_add(a->q, str_of(a->report_id), true, 0);
	a->report_id[0] = '\0';
	if (a->r.done)
		attempt_end(a);
	else
		finish_step(a); /* others may be owed one, too */
}

static void
put_result(struct attempt *a, const struct record *report)
{
	a->r.done = all_done(&a->r);
	/* After the end others read the record: no older one may be what they find. */
	if (a->dirty || a->unseen || a->r.done || report != NULL)
		put_record(a, report, finished_put, a);
	else
		attempt_end(a);
}

static void
unreported_put(void *arg, enum err e)
{
	struct attempt *a = arg;

	if (e != ERR_OK)
		queue_disk_failed(a->q);
	give_up_for_now(a);
}

static void
reported(void *arg, enum err e, const struct record *report)
{
	struct attempt *a = arg;

	a->report = NULL;
	if (e != ERR_OK) {
		put_record(a, NULL, unreported_put, a);
		return;
	}
	owed_mark(&a->r, &a->owed);
	memcpy(a->report_id, report->id.p, SPOOL_NAME_LEN);
	put_result(a, report);
}

static void
finish_step(struct attempt *a)
{
	const struct queue_options *o = &a->q->o;
	int64_t now = clock_wall_ms();
	bool delays = !a->q->stopping && notice_at_ms(&a->r, o, now) <= now;

	if (owed_settle(&a->r, o->postmaster))
		a->dirty = true;
	if (owed_next(&a->r, o->postmaster, delays, &a->owed))
		a->report = report_start(a->q, &a->r, a->sm, &a->owed, reported, a);
	else
		put_result(a, NULL);
}

/* The beginning. */

/* Asked for by hand: nobody waits for his time. */
static void
hurry(struct record *r)
{
	for (uint32_t i = 0; i < r->origs_count; i++)
		r->origs[i].next_ms = 0;
	for (uint32_t i = 0; i < r->rcpts_count; i++)
		r->rcpts[i].next_ms = 0;
}

/* A record that cannot be read is made again from the envelope; what was delivered already is
 * caught by the delivery ids as long as the directory says the same. */
static enum err
record_load(struct attempt *a)
{
	enum err e = ERR_NOTFOUND;

	if (a->m->recorded) {
		e = stored_get(a->q, a->m, a->memory, &a->r);
		if (e == ERR_OK || e == ERR_TEMP)
			return e;
		log_event(LVL_ERROR, "queue.record", log_z("qid", a->m->id), log_e("reason", e));
	}
	e = stored_from_envelope(str_of(a->m->id), a->sm, a->memory, &a->r);
	if (e == ERR_OK && !a->m->recorded)
		log_event(LVL_INFO, "queue.accept", log_s("sid", a->r.sid), log_s("qid", a->r.id),
			log_s("sender", a->r.sender), log_n("size", (int64_t)a->r.size),
			log_n("rcpts", a->r.origs_count));
	return e;
}

void
attempt_start(struct queue *q, struct message *m)
{
	struct attempt *a = xcalloc(1, sizeof(*a));
	bool urgent = m->urgent;
	enum err e;

	a->wake = m->wake;
	m->urgent = m->wake = false;
	m->attempt = a;
	a->q = q;
	a->m = m;
	list_init(&a->runs);
	a->memory = arena_new(MEMORY_MAX);
	hmap_init(&a->finals);
	list_push_back(&q->attempts, &a->link);
	loop_timer_init(&a->progress, q->loop, on_progress, a);
	loop_timer_init(&a->due, q->loop, on_due, a);
	loop_task_init(&a->again, q->loop, on_again, a);
	e = spool_open(q->spool, str_of(m->id), &a->sm);
	if (e == ERR_NOTFOUND || e == ERR_CORRUPT) {
		attempt_slot_bad(a, e);
		return;
	}
	if (e == ERR_OK)
		e = record_load(a);
	if (e != ERR_OK) {
		log_event(LVL_WARN, "queue.open", log_z("qid", m->id), log_e("reason", e));
		give_up_for_now(a);
		return;
	}
	a->hurried = urgent;
	if (urgent)
		hurry(&a->r);
	else
		record_limit_waits(&a->r, queue_latest_ms(q));
	for (uint32_t i = 0; i < a->r.rcpts_count; i++)
		final_note(a, i);
	a->expanding = xcalloc(a->r.origs_count + 1, sizeof(*a->expanding));
	expand_more(a);
}
