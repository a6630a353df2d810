/* LIST and SHOW of the admin socket (admin.c): lines are made a few milliseconds at a time and only
 * while the peer takes them. Invariant: of a whole listing only the ids and one message's record
 * are in memory; what leaves the queue meanwhile is left out. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/authclient/wire.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "delivery/queue/admin_impl.h"
#include "delivery/queue/stored.h"

enum { STEP_MS = 2, LINE_MAX_BYTES = 64 * 1024, MEMORY_MAX = 512 * 1024 * 1024 };

static const char *
message_state_name(enum message_state s)
{
	switch (s) {
	case MESSAGE_WAITING:
		return "waiting";
	case MESSAGE_READY:
		return "ready";
	case MESSAGE_ACTIVE:
	case MESSAGE_TAKEN:
		return "active";
	case MESSAGE_HELD:
		return "held";
	}
	return "";
}

static const char *
rcpt_state_name(enum rcpt_state s)
{
	switch (s) {
	case RCPT_WAITING:
		return "waiting";
	case RCPT_DELIVERED:
		return "delivered";
	case RCPT_FAILED:
		return "failed";
	case RCPT_REPORTED:
		return "reported";
	}
	return "";
}

static bool
is_open(const struct record_rcpt *c)
{
	return c->state == RCPT_WAITING || c->state == RCPT_FAILED;
}

static void
add_number(struct buf *b, uint64_t n)
{
	buf_addf(b, "\t%" PRIu64, n);
}

static void
add_text(struct buf *b, struct str s)
{
	buf_addc(b, '\t');
	wire_escape(b, s);
}

static void
send_line(struct admin_conn *c, struct buf *b)
{
	buf_addc(b, '\n');
	if (buf_check(b) == ERR_OK)
		stream_write(c->stream, buf_str(b));
	buf_fini(b);
}

struct first_hop {
	const struct hop *hop; /* one that rests, if any does */
};

static void
note_hop(void *arg, const struct hop *p)
{
	struct first_hop *f = arg;

	if (f->hop == NULL || (hop_rests_ms(f->hop) == 0 && hop_rests_ms(p) != 0))
		f->hop = p;
}

static void
add_hop(struct buf *b, const struct message *m)
{
	struct first_hop f = { NULL };
	int64_t rests;

	hop_waits_each(&m->waits, note_hop, &f);
	if (f.hop == NULL) {
		buf_addz(b, "\t\t0\t");
		return;
	}
	add_text(b, hop_route(f.hop).n != 0 ? hop_route(f.hop) : hop_section(f.hop));
	rests = hop_rests_ms(f.hop);
	add_number(b, rests != 0 ? (uint64_t)(clock_wall_ms() + rests) : 0);
	add_text(b, hop_reply(f.hop));
}

static void
send_message(struct admin_conn *c, const struct message *m)
{
	const struct record *r = &c->r;
	uint64_t open = 0, count = r->rcpts_count;
	struct buf b;

	for (uint32_t i = 0; i < r->rcpts_count; i++)
		open += is_open(&r->rcpts[i]) ? 1 : 0;
	for (uint32_t i = 0; i < r->origs_count; i++) {
		open += r->origs[i].expanded ? 0 : 1;
		count += r->origs[i].expanded ? 0 : 1;
	}
	buf_init(&b, LINE_MAX_BYTES);
	buf_addf(&b, "MESSAGE\t%s\t%s", m->id, message_state_name(m->state));
	add_number(&b, r->size);
	add_number(&b, (uint64_t)r->received_ms);
	add_number(&b, m->state == MESSAGE_WAITING ? (uint64_t)m->next_ms : 0);
	add_text(&b, r->sender);
	add_text(&b, r->sid);
	add_number(&b, count);
	add_number(&b, open);
	add_hop(&b, m);
	send_line(c, &b);
}

static void
send_rcpt(struct admin_conn *c, struct str address, struct str orig, const char *state,
	unsigned attempts, int64_t next_ms, struct str reply)
{
	struct buf b;

	buf_init(&b, LINE_MAX_BYTES);
	buf_addz(&b, "RCPT");
	add_text(&b, address);
	add_text(&b, orig);
	add_text(&b, str_of(state));
	add_number(&b, attempts);
	add_number(&b, (uint64_t)next_ms);
	add_text(&b, reply);
	send_line(c, &b);
	c->shown++;
}

/* The next of the record's recipients, if there is one. */
static bool
next_rcpt(struct admin_conn *c)
{
	const struct record *r = &c->r;

	if (!c->all && c->shown >= ADMIN_RCPTS_SHOWN)
		return false;
	while (c->orig_at < r->origs_count) {
		const struct record_orig *o = &r->origs[c->orig_at++];
		if (o->expanded)
			continue;
		send_rcpt(c, o->address, o->address, "new", o->attempts, o->next_ms,
			o->attempts != 0 ? STR("The directory cannot say who that is") : STR_EMPTY);
		return true;
	}
	while (c->rcpt_at < r->rcpts_count) {
		const struct record_rcpt *x = &r->rcpts[c->rcpt_at++];
		if (!c->all && !is_open(x))
			continue;
		send_rcpt(c, x->address, r->origs[x->orig].address, rcpt_state_name(x->state),
			x->attempts, x->state == RCPT_WAITING ? x->next_ms : 0, x->reply);
		return true;
	}
	return false;
}

/* ERR_NOTFOUND: it left the queue. */
static enum err
begin_message(struct admin_conn *c, struct str id)
{
	struct hmap_node *n = hmap_get(&c->q->messages, id);
	enum err e = ERR_NOTFOUND;
	struct arena *a;

	if (n == NULL)
		return e;
	a = arena_new(MEMORY_MAX);
	e = stored_load(c->q, CONTAINER_OF(n, struct message, node), a, &c->r);
	if (e != ERR_OK) {
		arena_free(a);
		return e;
	}
	c->arena = a;
	c->orig_at = c->rcpt_at = c->shown = 0;
	c->listed++;
	send_message(c, CONTAINER_OF(n, struct message, node));
	return ERR_OK;
}

/* A message that cannot be read is listed all the same. */
static void
send_unreadable(struct admin_conn *c, struct str id, enum err e)
{
	struct hmap_node *n = hmap_get(&c->q->messages, id);
	struct buf b;

	if (n == NULL)
		return;
	buf_init(&b, LINE_MAX_BYTES);
	buf_addf(&b, "MESSAGE\t%.*s\t%s\t0\t0\t0\t\t\t0\t0\t\t0\t", STR_FMT(id),
		message_state_name(CONTAINER_OF(n, struct message, node)->state));
	send_line(c, &b);
	send_rcpt(c, STR_EMPTY, STR_EMPTY, "new", 0, 0, str_of(err_name(e)));
	c->listed++;
}

void
admin_list_step(struct loop_task *t)
{
	struct admin_conn *c = t->arg;
	int64_t end = clock_ms() + STEP_MS;
	char count[32];

	while (!stream_full(c->stream)) {
		if (clock_ms() >= end) {
			loop_task_queue(&c->step);
			return;
		}
		if (c->arena != NULL && next_rcpt(c))
			continue;
		arena_free(c->arena);
		c->arena = NULL;
		if (c->at >= c->ids.n) {
			(void)snprintf(count, sizeof(count), "%zu", c->listed);
			admin_finish(c, "OK", count);
			return;
		}
		struct str id = str_sub(buf_str(&c->ids), c->at, SPOOL_NAME_LEN);
		c->at += SPOOL_NAME_LEN;
		enum err e = begin_message(c, id);
		if (e != ERR_OK && e != ERR_NOTFOUND)
			send_unreadable(c, id, e);
	}
}

static int
by_id(const void *a, const void *b)
{
	return memcmp(a, b, SPOOL_NAME_LEN);
}

void
admin_list(struct admin_conn *c)
{
	const struct hmap *all = &c->q->messages;
	char *p = buf_reserve(&c->ids, all->n * SPOOL_NAME_LEN + 1);
	size_t n = 0;

	if (p == NULL) {
		admin_finish(c, "TEMP", "too many messages to list");
		return;
	}
	for (struct hmap_node *i = hmap_next(all, NULL); i != NULL; i = hmap_next(all, i))
		memcpy(p + SPOOL_NAME_LEN * n++, i->key.p, SPOOL_NAME_LEN);
	/* The order of queue.mdb: neighbours lie on one page. */
	qsort(p, n, SPOOL_NAME_LEN, by_id);
	buf_commit(&c->ids, n * SPOOL_NAME_LEN);
	loop_task_queue(&c->step);
}

void
admin_show(struct admin_conn *c)
{
	enum err e;

	c->all = true;
	e = begin_message(c, buf_str(&c->id));
	if (e == ERR_OK)
		loop_task_queue(&c->step);
	else if (e == ERR_NOTFOUND)
		admin_finish(c, "NOTFOUND", "no such message");
	else
		admin_finish(c, "TEMP", "the message cannot be read");
}
