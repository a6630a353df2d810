/* An attempt's routes, and its recipients on other servers: jobs for relay, as many at once as the
 * hops have room for. Called by attempt.c. Invariants: each job belongs to one place of its hop,
 * given back at its end; a recipient is in one job at most, and free again only when that job has
 * ended, so that no second server is asked while the first may still take the message. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "delivery/queue/attempt_impl.h"

enum { ROUTES_AT_ONCE = 64 };

/* A job for relay. */
struct run {
	struct list link; /* of the attempt's runs */
	struct attempt *a;
	struct hop *hop;
	int64_t began_ms;
	size_t count, taken;
	bool submitted;
	struct relay_job job;
	struct relay_rcpt rcpts[RELAY_RCPTS_MAX];
	uint32_t index[RELAY_RCPTS_MAX]; /* their places in the record */
	bool answered[RELAY_RCPTS_MAX];
	bool full[RELAY_RCPTS_MAX]; /* answered 452; what it means is known at the end */
	struct reply full_reply;
};

/* ---- routes ---- */

static void
route_fail(struct attempt *a, uint32_t i, const struct route_answer *w)
{
	struct reply r;

	a->spots[i].state = SPOT_IDLE;
	reply_set(&r, w->code, w->status, w->text);
	if (w->kind == ROUTE_LATER)
		attempt_put_off(a, i, &r, NULL, attempt_soft_retry_at(a));
	else
		attempt_result(a, i, &r, NULL);
}

static void
take_route(struct attempt *a, uint32_t i, const struct route_answer *w)
{
	static const struct route_answer bad = { .kind = ROUTE_NEVER,
		.code = 550,
		.status = "5.1.3",
		.text = "No other server can be given this address" };
	struct spot *s = &a->spots[i];

	switch (w->kind) {
	case ROUTE_LOCAL:
		s->state = SPOT_LOCAL;
		return;
	case ROUTE_RELAY:
		if (!relay_address_valid(a->r.rcpts[i].address)) {
			route_fail(a, i, &bad);
			return;
		}
		s->state = SPOT_REMOTE;
		s->hop = hops_get(a->q->hops, w->route, w->section);
		return;
	case ROUTE_NEVER:
	case ROUTE_LATER:
		route_fail(a, i, w);
		return;
	}
}

static void
on_route(void *arg, const struct route_answer *w)
{
	struct spot *s = arg;
	struct attempt *a = s->a;

	s->request = NULL;
	a->routing--;
	take_route(a, (uint32_t)(s - a->spots), w);
	attempt_step(a);
}

static void
find_route(struct attempt *a, uint32_t i, int64_t now)
{
	const struct record_rcpt *c = &a->r.rcpts[i];
	struct spot *s = &a->spots[i];
	struct route_answer w;

	if (s->state == SPOT_PARKED && hop_called(&a->m->waits, s->hop))
		s->state = SPOT_REMOTE;
	if (s->state != SPOT_IDLE || c->state != RCPT_WAITING || c->next_ms > now)
		return;
	s->state = SPOT_ROUTING;
	if (route_find(a->q->router, c->address, record_sender(&a->r, c), &w, on_route, s,
		    &s->request) == ERR_OK)
		take_route(a, i, &w);
	else
		a->routing++;
}

bool
attempt_route(struct attempt *a)
{
	int64_t now = clock_wall_ms();

	while (a->scan < a->r.rcpts_count && a->routing < ROUTES_AT_ONCE)
		find_route(a, a->scan++, now);
	if (a->routing != 0)
		return false;
	a->scan = 0;
	return true;
}

/* ---- the end of a job ---- */

static void
run_free(struct run *x)
{
	for (size_t i = 0; i < x->count; i++)
		x->a->spots[x->index[i]].state = SPOT_IDLE;
	list_remove(&x->link);
	free(x);
}

static void
on_rcpt(struct relay_job *j, const struct relay_result *w)
{
	struct run *x = j->arg;
	struct attempt *a = x->a;
	const struct attempt_peer p = {
		.host = w->host, .address = w->address, .relayed = true, .passed = w->dsn_passed
	};
	char status[RELAY_STATUS_MAX + 1], text[RELAY_TEXT_MAX + 1];
	struct reply r;

	x->answered[w->index] = true;
	if (w->code / 100 == 2)
		x->taken++;
	(void)snprintf(status, sizeof(status), "%.*s", STR_FMT(w->status));
	(void)snprintf(text, sizeof(text), "%.*s", STR_FMT(w->text));
	reply_set(&r, w->code, status, text);
	if (w->code == 452) {
		x->full[w->index] = true;
		x->full_reply = r;
	} else {
		attempt_result(a, x->index[w->index], &r, &p);
	}
}

/* A server that took some takes no more at once: the others come right after. One that took none
 * has no room. RFC 5321 4.5.3.1.10 */
static void
settle_full(struct run *x, const struct attempt_peer *p)
{
	for (size_t i = 0; i < x->count; i++) {
		if (x->full[i] && x->taken != 0)
			attempt_put_off(x->a, x->index[i], &x->full_reply, p, 0);
		else if (x->full[i])
			attempt_result(x->a, x->index[i], &x->full_reply, p);
	}
}

/* Those without a result. next_ms: 0 for the usual wait of each. */
static void
put_off(struct run *x, const struct reply *r, const struct attempt_peer *p, int64_t next_ms)
{
	for (size_t i = 0; i < x->count; i++) {
		if (x->answered[i])
			continue;
		if (next_ms != 0)
			attempt_put_off(x->a, x->index[i], r, p, next_ms);
		else
			attempt_result(x->a, x->index[i], r, p);
	}
}

/* relay could not read the message: is it the message? a may be gone then. */
static bool
is_damaged(struct attempt *a)
{
	enum err e = spool_body_check(a->sm);

	log_event(LVL_ERROR, "queue.relay", log_s("sid", a->r.sid), log_s("qid", a->r.id),
		log_z("res", "corrupt"), log_e("check", e));
	return e == ERR_CORRUPT;
}

static enum hop_result
hop_result_of(const struct run *x, enum err how)
{
	bool heard = false;

	for (size_t i = 0; i < x->count; i++)
		heard = heard || x->answered[i];
	if (how == ERR_OK)
		return HOP_OK;
	return how == ERR_TEMP && !heard && !x->a->q->stopping ? HOP_FAILED : HOP_NOTHING;
}

/* What no server said names the one that it is about. */
static void
text_of_end(const struct relay_end *e, char text[RELAY_TEXT_MAX + 1])
{
	bool about = e->own && e->host.n != 0;
	bool address = about && e->address.n != 0 && !str_eq(e->host, e->address);

	(void)snprintf(text, RELAY_TEXT_MAX + 1, "%.*s%s%.*s%s%.*s",
		STR_FMT(about ? e->host : STR_EMPTY), address ? " [" : "",
		STR_FMT(address ? e->address : STR_EMPTY),
		address ? "]: "
		: about ? ": "
			: "",
		STR_FMT(e->text));
}

static void
on_end(struct relay_job *j, const struct relay_end *e)
{
	struct run *x = j->arg;
	struct attempt *a = x->a;
	const struct attempt_peer p = { .host = e->own ? STR_EMPTY : e->host,
		.address = e->own ? STR_EMPTY : e->address };
	char status[RELAY_STATUS_MAX + 1], text[RELAY_TEXT_MAX + 1], line[RELAY_TEXT_MAX + 32];
	struct reply r;

	(void)snprintf(status, sizeof(status), "%.*s", STR_FMT(e->status));
	text_of_end(e, text);
	(void)snprintf(line, sizeof(line), "%u %s %s", e->code, status, text);
	reply_set(&r, e->code, status, text);
	hop_leave(x->hop, hop_result_of(x, e->how), x->began_ms, str_of(line));
	settle_full(x, &p);
	if (e->how == ERR_OK) {
		a->m->lost = 0;
	} else if (e->how == ERR_CORRUPT && is_damaged(a)) {
		list_remove(&x->link);
		free(x);
		attempt_slot_bad(a, ERR_CORRUPT);
		return;
	} else if (a->q->stopping) {
		/* Nothing was said about them: they are as they were. */
	} else if (e->how == ERR_TEMP || e->how == ERR_DENIED || e->how == ERR_SYNTAX) {
		put_off(x, &r, &p, 0);
	} else {
		put_off(x, &r, NULL, attempt_soft_retry_at(a));
	}
	run_free(x);
	attempt_step(a);
}

/* ---- the beginning ---- */

static unsigned
relay_flags(unsigned flags)
{
	return ((flags & SPOOL_8BITMIME) != 0 ? RELAY_8BIT : 0) |
	       ((flags & SPOOL_SMTPUTF8) != 0 ? RELAY_SMTPUTF8 : 0) |
	       ((flags & SPOOL_BINARY) != 0 ? RELAY_BINARY : 0);
}

static void
add_rcpt(struct run *x, uint32_t i)
{
	struct attempt *a = x->a;
	const struct record_rcpt *c = &a->r.rcpts[i];
	struct relay_rcpt *to = &x->rcpts[x->count];
	struct buf orcpt;

	buf_init(&orcpt, 4096);
	*to = (struct relay_rcpt){ .address = c->address,
		.notify = owed_pass_on(&a->r, c, &orcpt) };
	if (orcpt.n > RELAY_ORCPT_MAX ||
		arena_str(a->memory, buf_str(&orcpt), &to->orcpt) != ERR_OK)
		to->orcpt = STR_EMPTY;
	buf_fini(&orcpt);
	x->index[x->count++] = i;
	a->spots[i].state = SPOT_BUSY;
}

static void
submit(struct run *x)
{
	struct attempt *a = x->a;
	const struct record_rcpt *first = &a->r.rcpts[x->index[0]];
	int fd = fcntl(a->sm->fd, F_DUPFD_CLOEXEC, 0);
	enum err e = fd >= 0 ? ERR_OK : ERR_TEMP;
	struct reply r;

	x->job = (struct relay_job){ .request = { .qid = a->r.id,
					     .sender = record_sender(&a->r, first),
					     .flags = relay_flags(a->r.flags),
					     .body_off = a->sm->body_off,
					     .body_len = a->sm->body_len,
					     .body_crc = a->sm->fixed.body_crc,
					     .ret = first->list ? RELAY_RET_NONE
								: (enum relay_ret)a->r.ret,
					     .envid = first->list ? STR_EMPTY : a->r.envid,
					     .route = hop_route(x->hop),
					     .section = hop_section(x->hop),
					     .rcpts = x->rcpts,
					     .rcpts_count = x->count },
		.on_rcpt = on_rcpt,
		.on_end = on_end,
		.arg = x };
	if (e == ERR_OK)
		e = relay_submit(a->q->relay, &x->job, fd);
	if (e == ERR_OK)
		return;
	hop_leave(x->hop, HOP_NOTHING, x->began_ms, STR_EMPTY);
	if (e == ERR_TEMP) {
		reply_set(&r, 451, "4.3.0", "relay cannot be reached");
		put_off(x, &r, NULL, attempt_soft_retry_at(a));
	} else {
		reply_set(&r, 550, "5.1.7", "No other server can be given this sender or route");
		put_off(x, &r, NULL, 0);
	}
	run_free(x);
}

/* Who stands in line hears why, once; who is over time is not kept for it. */
static void
park(struct attempt *a, uint32_t i, struct hop *p)
{
	struct record_rcpt *c = &a->r.rcpts[i];
	struct str text = hop_reply(p);

	if (attempt_expired(a)) {
		a->spots[i].state = SPOT_IDLE;
		attempt_expire(a, i, text);
		return;
	}
	a->spots[i].state = SPOT_PARKED;
	a->m->hurried = a->m->hurried || a->hurried;
	if (c->reply.n == 0 && text.n != 0 && arena_str(a->memory, text, &c->reply) == ERR_OK)
		attempt_changed(a);
}

struct choice {
	struct hop *hop;
	uint32_t sender, index;
	bool list;
};

static int
by_hop(const void *left, const void *right)
{
	const struct choice *x = left, *y = right;

	if (x->hop != y->hop)
		return (uintptr_t)x->hop < (uintptr_t)y->hop ? -1 : 1;
	if (x->sender != y->sender)
		return x->sender < y->sender ? -1 : 1;
	if (x->list != y->list)
		return y->list ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

/* The first n of v share hop and sender: jobs for them while there is room. */
static void
run_some(struct attempt *a, const struct choice *v, size_t n)
{
	struct hop *p = v[0].hop;

	if (a->wake && hop_rests_ms(p) != 0)
		hop_wake(p);
	for (size_t at = 0; at < n;) {
		struct run *x;
		if (!hop_enter(p, &a->m->waits)) {
			for (; at < n; at++)
				park(a, v[at].index, p);
			return;
		}
		x = xcalloc(1, sizeof(*x));
		x->a = a;
		x->hop = p;
		x->began_ms = loop_now_ms(a->q->loop);
		list_push_back(&a->runs, &x->link);
		while (at < n && x->count < RELAY_RCPTS_MAX)
			add_rcpt(x, v[at++].index);
		submit(x);
	}
}

void
attempt_relay(struct attempt *a)
{
	struct choice *v;
	size_t n = 0;

	for (uint32_t i = 0; i < a->r.rcpts_count; i++)
		n += a->spots[i].state == SPOT_REMOTE;
	v = n != 0 ? xcalloc(n, sizeof(*v)) : NULL;
	n = 0;
	for (uint32_t i = 0; v != NULL && i < a->r.rcpts_count; i++) {
		const struct record_rcpt *c = &a->r.rcpts[i];
		if (a->spots[i].state == SPOT_REMOTE)
			v[n++] = (struct choice){ a->spots[i].hop, c->sender, i, c->list };
	}
	if (n > 1)
		qsort(v, n, sizeof(*v), by_hop);
	for (size_t at = 0, end; at < n; at = end) {
		for (end = at + 1; end < n && v[end].hop == v[at].hop &&
				   v[end].sender == v[at].sender && v[end].list == v[at].list;)
			end++;
		run_some(a, &v[at], end - at);
	}
	free(v);
	a->wake = false;
	/* Places of hops where nobody goes any more. */
	hop_waits_release(&a->m->waits);
}

void
attempt_relay_stop(struct attempt *a)
{
	LIST_FOREACH (l, &a->runs)
		relay_finish(a->q->relay, &CONTAINER_OF(l, struct run, link)->job);
}

void
attempt_relay_free(struct attempt *a)
{
	for (uint32_t i = 0; i < a->r.rcpts_count; i++) {
		if (a->spots[i].request != NULL)
			route_cancel(a->spots[i].request);
	}
	LIST_FOREACH (l, &a->runs) {
		struct run *x = CONTAINER_OF(l, struct run, link);
		relay_cancel(a->q->relay, &x->job);
		hop_leave(x->hop, HOP_NOTHING, x->began_ms, STR_EMPTY);
		free(x);
	}
	list_init(&a->runs);
}
