/* Who is owed a report, for attempt.c, notice.c and report.c. Invariant: whatever record_next_ms
 * calls owed is in a report of owed_next, or owed_settle ends it, so that no attempt comes again
 * for nothing. */
#include "delivery/queue/owed.h"

#include "core/base/log.h"

/* What is left when the success of several was told at once. */
static unsigned
without_success(unsigned notify)
{
	unsigned rest = notify & ~(unsigned)SPOOL_NOTIFY_SUCCESS;

	return notify != 0 && rest == 0 ? SPOOL_NOTIFY_NEVER : rest;
}

void
owed_expanded(struct record_orig *o, size_t count, bool list)
{
	o->expanded = true;
	o->list = list;
	if ((count > 1 || list) && (o->notify & SPOOL_NOTIFY_SUCCESS) != 0)
		o->success = SUCCESS_DUE;
}

/* Two addresses led to one: who wants to hear anything does. */
static unsigned
merge(unsigned a, unsigned b)
{
	unsigned both;

	if (a == SPOOL_NOTIFY_NEVER)
		return b;
	if (b == SPOOL_NOTIFY_NEVER)
		return a;
	if (a == 0 && b == 0)
		return 0;
	both = a | b;
	if (a == 0 || b == 0)
		both |= SPOOL_NOTIFY_FAILURE | SPOOL_NOTIFY_DELAY;
	return both;
}

void
owed_inherit(struct record_rcpt *c, const struct record_orig *o, size_t count, bool twice)
{
	unsigned notify = count > 1 ? without_success(o->notify) : o->notify;

	if (o->list)
		notify = 0;
	if (!twice) {
		c->list = o->list;
		c->told = o->told && !o->list;
		c->notify = notify;
	} else if (!o->list && !c->list) {
		bool before = (c->notify & SPOOL_NOTIFY_SUCCESS) != 0;
		c->notify = merge(c->notify, notify);
		if (!before && c->state == RCPT_DELIVERED &&
			(c->notify & SPOOL_NOTIFY_SUCCESS) != 0)
			c->success = SUCCESS_DUE;
	}
}

void
owed_delivered(struct record_rcpt *c, bool relayed, bool passed)
{
	c->state = RCPT_DELIVERED;
	c->relayed = relayed;
	if ((c->notify & SPOOL_NOTIFY_SUCCESS) != 0 && !passed)
		c->success = SUCCESS_DUE;
}

unsigned
owed_pass_on(const struct record *r, const struct record_rcpt *c, struct buf *out)
{
	const struct record_orig *o = &r->origs[c->orig];

	buf_reset(out);
	if (c->list)
		return 0;
	if (o->orcpt.n != 0) {
		buf_add(out, o->orcpt);
		return c->notify;
	}
	/* The address that the sender knows, where the next hop would not see it. */
	if (str_ieq(o->address, c->address) || str_has_8bit(o->address))
		return c->notify;
	buf_addz(out, "rfc822;");
	for (size_t i = 0; i < o->address.n; i++) {
		unsigned char b = (unsigned char)o->address.p[i];
		if (b < 33 || b > 126 || b == '+' || b == '=')
			buf_addf(out, "+%02X", b);
		else
			buf_addc(out, (char)b);
	}
	if (out->n > SPOOL_ORCPT_MAX)
		buf_reset(out);
	return c->notify;
}

static bool
wants(unsigned notify, unsigned what)
{
	return notify == 0 ? what != SPOOL_NOTIFY_SUCCESS : (notify & what) != 0;
}

/* A report that we made failed, and not one about a report. */
static bool
is_twice(const struct record *r)
{
	return (r->flags & SPOOL_REPORT) != 0 && (r->flags & SPOOL_DOUBLE) == 0;
}

/* Whose matter a recipient is: its list's owner's, else the message's sender's, also where the next
 * hop is given another name for that (SRS). */
static uint32_t
teller(const struct record_rcpt *c)
{
	return c->list ? c->sender : 0;
}

static bool
orig_waits(const struct record_orig *o)
{
	return !o->expanded && !o->told && wants(o->notify, SPOOL_NOTIFY_DELAY);
}

static bool
rcpt_waits(const struct record_rcpt *c)
{
	return c->state == RCPT_WAITING && !c->told && wants(c->notify, SPOOL_NOTIFY_DELAY);
}

enum action
owed_orig(const struct record *r, const struct owed *w, uint32_t i)
{
	const struct record_orig *o = &r->origs[i];

	if (w->twice || w->sender != 0)
		return ACTION_NONE;
	if (o->success == SUCCESS_DUE)
		return o->list ? ACTION_DELIVERED : ACTION_EXPANDED;
	return w->delays && orig_waits(o) ? ACTION_DELAYED : ACTION_NONE;
}

enum action
owed_rcpt(const struct record *r, const struct owed *w, uint32_t i)
{
	const struct record_rcpt *c = &r->rcpts[i];

	if (teller(c) != w->sender)
		return ACTION_NONE;
	if (c->state == RCPT_FAILED && (w->twice || wants(c->notify, SPOOL_NOTIFY_FAILURE)))
		return ACTION_FAILED;
	if (w->twice)
		return ACTION_NONE;
	if (c->success == SUCCESS_DUE)
		return c->relayed ? ACTION_RELAYED : ACTION_DELIVERED;
	return w->delays && rcpt_waits(c) ? ACTION_DELAYED : ACTION_NONE;
}

/* Who would hear of recipients with this sender; to is empty: nobody. */
static struct owed
addressed(const struct record *r, struct str postmaster, bool delays, uint32_t sender)
{
	struct owed w = { .sender = sender, .delays = delays };

	w.to = sender == 0 ? r->sender : r->senders[sender - 1];
	if (w.to.n == 0 && is_twice(r)) {
		w.to = postmaster;
		w.twice = true;
	}
	return w;
}

bool
owed_next(const struct record *r, struct str postmaster, bool delays, struct owed *out)
{
	*out = addressed(r, postmaster, delays, 0);
	for (uint32_t i = 0; out->to.n != 0 && i < r->origs_count; i++) {
		if (owed_orig(r, out, i) != ACTION_NONE)
			return true;
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		if (teller(&r->rcpts[i]) != out->sender)
			*out = addressed(r, postmaster, delays, teller(&r->rcpts[i]));
		if (out->to.n != 0 && owed_rcpt(r, out, i) != ACTION_NONE)
			return true;
	}
	return false;
}

void
owed_mark(struct record *r, const struct owed *w)
{
	for (uint32_t i = 0; i < r->origs_count; i++) {
		struct record_orig *o = &r->origs[i];
		enum action a = owed_orig(r, w, i);
		if (a == ACTION_DELAYED)
			o->told = true;
		else if (a != ACTION_NONE)
			o->success = SUCCESS_DONE;
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		struct record_rcpt *c = &r->rcpts[i];
		switch (owed_rcpt(r, w, i)) {
		case ACTION_FAILED:
			c->state = RCPT_REPORTED;
			break;
		case ACTION_DELAYED:
			c->told = true;
			break;
		case ACTION_DELIVERED:
		case ACTION_RELAYED:
		case ACTION_EXPANDED:
			c->success = SUCCESS_DONE;
			break;
		case ACTION_NONE:
			break;
		}
	}
}

bool
owed_settle(struct record *r, struct str postmaster)
{
	bool changed = false;

	for (uint32_t i = 0; r->sender.n == 0 && i < r->origs_count; i++) {
		if (r->origs[i].success != SUCCESS_DUE)
			continue;
		r->origs[i].success = SUCCESS_DONE;
		changed = true;
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		struct record_rcpt *c = &r->rcpts[i];
		struct owed w = addressed(r, postmaster, false, teller(c));
		if (c->success == SUCCESS_DUE && (w.to.n == 0 || w.twice)) {
			c->success = SUCCESS_DONE;
			changed = true;
		}
		if (c->state != RCPT_FAILED || (w.to.n != 0 && owed_rcpt(r, &w, i) != ACTION_NONE))
			continue;
		c->state = RCPT_REPORTED;
		changed = true;
		log_event(LVL_WARN, "queue.drop", log_s("sid", r->sid), log_s("qid", r->id),
			log_s("rcpt", c->address),
			log_z("why", w.to.n == 0 ? "no sender" : "not asked for"),
			log_s("reason", c->reply));
	}
	return changed;
}

bool
owed_delays(const struct record *r)
{
	for (uint32_t i = 0; r->sender.n != 0 && i < r->origs_count; i++) {
		if (orig_waits(&r->origs[i]))
			return true;
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		const struct record_rcpt *c = &r->rcpts[i];
		if (rcpt_waits(c) && (teller(c) == 0 ? r->sender : record_sender(r, c)).n != 0)
			return true;
	}
	return false;
}
