/* The admin socket of the queue; see admin.h. main.c accepts, admin_list.c shows. Invariant: a
 * message whose record is changed is MESSAGE_TAKEN from the read of its record until the new one is
 * durable, whether or not the one who asked is still there. */
#include "delivery/queue/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/authclient/wire.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "delivery/queue/admin_impl.h"
#include "delivery/queue/stored.h"

enum {
	REQUEST_MAX = 4096,
	AGAIN_MS = 50,
	LINGER_MS = 1000,
	IDS_MAX = 256 * 1024 * 1024,
	MEMORY_MAX = 512 * 1024 * 1024,
};

struct admin {
	struct queue *q;
	struct list conns;
	unsigned conns_count;
};

struct change {
	struct queue *q;
	struct message *m;
	struct admin_conn *conn; /* NULL: went away */
	bool was_held;
	struct arena *arena;
	struct record r;
};

static void
conn_free(struct admin_conn *c)
{
	if (c->change != NULL)
		c->change->conn = NULL;
	loop_timer_stop(&c->again);
	loop_task_cancel(&c->step);
	arena_free(c->arena);
	list_remove(&c->link);
	c->admin->conns_count--;
	stream_close(c->stream, LINGER_MS);
	buf_fini(&c->verb);
	buf_fini(&c->id);
	buf_fini(&c->ids);
	free(c);
}

void
admin_finish(struct admin_conn *c, const char *word, const char *text)
{
	log_event(LVL_INFO, "queue.admin", log_s("verb", buf_str(&c->verb)),
		log_s("qid", buf_str(&c->id)), log_z("res", word), log_z("text", text),
		log_n("ms", clock_ms() - c->start_ms));
	stream_writef(c->stream, "%s\t%s\n", word, text);
	c->over = true;
}

/* Changes of one message. */

static void
log_deleted(const struct record *r)
{
	for (uint32_t i = 0; i < r->origs_count; i++) {
		if (!r->origs[i].expanded)
			log_event(LVL_WARN, "queue.delete", log_s("sid", r->sid),
				log_s("qid", r->id), log_s("sender", r->sender),
				log_s("rcpt", r->origs[i].address));
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		const struct record_rcpt *c = &r->rcpts[i];
		if (c->state == RCPT_WAITING || c->state == RCPT_FAILED)
			log_event(LVL_WARN, "queue.delete", log_s("sid", r->sid),
				log_s("qid", r->id), log_s("sender", r->sender),
				log_s("rcpt", c->address), log_s("reason", c->reply));
	}
}

static void
change_durable(void *arg, enum err e)
{
	struct change *x = arg;
	struct queue *q = x->q;
	const char *text = x->r.done ? "deleted" : x->r.held ? "held" : "released";

	if (e != ERR_OK)
		queue_disk_failed(q);
	if (x->r.done) {
		log_deleted(&x->r);
		queue_finish(q, x->m);
	} else if (x->r.held) {
		queue_give_back(q, x->m, true);
	} else {
		queue_hurry(q, x->m);
	}
	if (x->conn != NULL) {
		x->conn->change = NULL;
		admin_finish(x->conn, "OK", text);
	}
	arena_free(x->arena);
	free(x);
	queue_put_done(q, ERR_OK);
}

static void
change_put(struct admin_conn *c, struct message *m, struct change *x)
{
	struct state_write w = { .id = str_of(m->id) };
	struct buf b;

	buf_init(&b, RECORD_MAX);
	if (record_encode(&x->r, &b) != ERR_OK) {
		queue_give_back(c->q, m, x->was_held);
		admin_finish(c, "TEMP", "the record is too large");
		arena_free(x->arena);
		free(x);
	} else {
		m->recorded = true;
		w.record = buf_str(&b);
		c->change = x;
		state_put(c->q->state, &w, 1, change_durable, x);
	}
	buf_fini(&b);
}

/* m is taken. */
static void
change_record(struct admin_conn *c, struct message *m, bool was_held)
{
	struct change *x = xcalloc(1, sizeof(*x));
	enum err e;

	x->q = c->q;
	x->m = m;
	x->conn = c;
	x->was_held = was_held;
	x->arena = arena_new(MEMORY_MAX);
	e = stored_load(c->q, m, x->arena, &x->r);
	if (e != ERR_OK) {
		queue_give_back(c->q, m, was_held);
		admin_finish(c, "TEMP", "the message cannot be read");
		arena_free(x->arena);
		free(x);
		return;
	}
	x->r.held = str_eq(buf_str(&c->verb), STR("HOLD"));
	x->r.done = str_eq(buf_str(&c->verb), STR("DELETE"));
	change_put(c, m, x);
}

static void
try_change(struct loop_timer *t)
{
	struct admin_conn *c = t->arg;
	struct str verb = buf_str(&c->verb);
	struct hmap_node *n = hmap_get(&c->q->messages, buf_str(&c->id));
	struct message *m = n != NULL ? CONTAINER_OF(n, struct message, node) : NULL;
	bool held = m != NULL && m->state == MESSAGE_HELD;

	if (m == NULL)
		admin_finish(c, "NOTFOUND", "no such message");
	else if (held && str_eq(verb, STR("HOLD")))
		admin_finish(c, "OK", "held already");
	else if (held && str_eq(verb, STR("RETRY")))
		admin_finish(c, "DENY", "the message is held; release it");
	else if (queue_take(c->q, m) == ERR_OK) {
		if (str_eq(verb, STR("RETRY"))) {
			queue_hurry(c->q, m);
			admin_finish(c, "OK", "will be tried now");
		} else if (!held && str_eq(verb, STR("RELEASE"))) {
			queue_give_back(c->q, m, false);
			admin_finish(c, "DENY", "the message is not held");
		} else {
			change_record(c, m, held);
		}
	} else if (clock_ms() - c->start_ms >= ADMIN_BUSY_MS)
		admin_finish(c, "TEMP", "the message is being delivered; try again");
	else
		loop_timer_start(&c->again, AGAIN_MS);
}

static void
change(struct admin_conn *c)
{
	try_change(&c->again);
}

static void
flush(struct admin_conn *c)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%zu", queue_flush(c->q));
	admin_finish(c, "OK", text);
}

/* Requests. */

static const struct {
	const char *name;
	bool id;
	void (*fn)(struct admin_conn *c);
} verbs[] = {
	{ "LIST", false, admin_list },
	{ "SHOW", true, admin_show },
	{ "HOLD", true, change },
	{ "RELEASE", true, change },
	{ "RETRY", true, change },
	{ "DELETE", true, change },
	{ "FLUSH", false, flush },
};

static void
dispatch(struct admin_conn *c, struct str line)
{
	struct str verb = STR_EMPTY, id = STR_EMPTY, more;

	(void)wire_next(&line, &verb);
	bool has_id = wire_next(&line, &id), too_many = wire_next(&line, &more);

	buf_add(&c->verb, verb);
	if (wire_unescape(&c->id, id) != ERR_OK)
		too_many = true;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (str_eq(verb, str_of(verbs[i].name)) && has_id == verbs[i].id && !too_many) {
			verbs[i].fn(c);
			return;
		}
	}
	admin_finish(c, "SYNTAX", "no such request");
}

static void
on_read(struct stream *s, void *arg)
{
	struct admin_conn *c = arg;
	struct buf *in = stream_in(s);
	struct str line;
	enum err e;

	if (c->asked) {
		buf_reset(in);
		return;
	}
	e = wire_line(in, REQUEST_MAX, &line);
	if (e == ERR_AGAIN)
		return;
	if (e != ERR_OK) {
		conn_free(c);
		return;
	}
	c->asked = true;
	c->start_ms = clock_ms();
	dispatch(c, line);
	buf_reset(in);
}

static void
on_drain(struct stream *s UNUSED, void *arg)
{
	struct admin_conn *c = arg;

	if (!c->over)
		loop_task_queue(&c->step);
}

static void
on_empty(struct stream *s UNUSED, void *arg)
{
	struct admin_conn *c = arg;

	if (c->over)
		conn_free(c);
}

static void
on_end(struct stream *s UNUSED, void *arg, enum err why UNUSED)
{
	conn_free(arg);
}

static const struct stream_ops conn_ops = {
	.on_read = on_read, .on_drain = on_drain, .on_empty = on_empty, .on_end = on_end
};

void
admin_accept(struct admin *a, int fd, const struct peer *peer)
{
	const struct stream_options o = { .in_max_bytes = REQUEST_MAX + 1 };
	bool allowed = peer->is_unix && (peer->uid == 0 || peer->uid == geteuid());
	struct admin_conn *c;

	if (!allowed || a->conns_count >= ADMIN_CONNS_MAX) {
		log_event(LVL_WARN, "queue.admin", log_z("res", "deny"),
			log_n("uid", (int64_t)peer->uid), log_n("pid", peer->pid),
			log_z("reason", allowed ? "too many connections" : "not root"));
		(void)close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->admin = a;
	c->q = a->q;
	a->conns_count++;
	list_push_back(&a->conns, &c->link);
	buf_init(&c->verb, REQUEST_MAX);
	buf_init(&c->id, REQUEST_MAX);
	buf_init(&c->ids, IDS_MAX);
	loop_timer_init(&c->again, a->q->loop, try_change, c);
	loop_task_init(&c->step, a->q->loop, admin_list_step, c);
	c->stream = stream_new(a->q->loop, fd, &conn_ops, c, &o);
}

struct admin *
admin_new(struct queue *q)
{
	struct admin *a = xcalloc(1, sizeof(*a));

	a->q = q;
	list_init(&a->conns);
	return a;
}

void
admin_free(struct admin *a)
{
	LIST_FOREACH (l, &a->conns)
		conn_free(CONTAINER_OF(l, struct admin_conn, link));
	free(a);
}
