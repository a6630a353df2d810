/* Questions to the helper processes: a queue for each section of the settings, connections that
 * carry one question at a time. The backends of worker_backend.c ask here. Invariants: an ask ends
 * in exactly one WORKER_END or in workers_cancel; a helper that still works on a question that
 * nobody waits for any more keeps counting against that question's section; and however many
 * sections hang, each of the others finds a helper and a queue. */
#include "auth-ldap/backend/workers.h"

#include <stdlib.h>

#include "core/authclient/wire.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/connect.h"
#include "core/event/stream.h"

enum {
	TRIES_MAX = 2,
	CONNECT_MS = 2000,
	LINES_PER_STEP = 64,
	/* a helper ends itself when it works on one question for too long; then a bit more */
	LATE_MS = 5000,
};

struct worker_section {
	struct workers *workers;
	struct list link;
	struct list queue; /* of asks */
	size_t queued;
	unsigned busy; /* connections that work for it */
};

enum conn_state { CONN_CONNECTING, CONN_GREETING, CONN_IDLE, CONN_BUSY };

struct worker_conn {
	struct list link;
	struct workers *workers;
	enum conn_state state;
	struct connecting *connecting;
	struct stream *stream;
	struct worker_ask *ask;		/* NULL while busy: nobody waits any more */
	struct worker_section *section; /* busy for it; NULL: it is gone */
	uint32_t id;
	struct loop_timer late;
};

struct worker_ask {
	struct list link;
	struct worker_section *section;
	struct worker_conn *conn; /* NULL: in the queue */
	struct buf line;
	uint32_t id;
	unsigned tries;
	bool begun; /* a line of the answer was passed on */
	bool list;
	bool once; /* asked again it could count as a second attempt */
	struct loop_timer deadline;
	struct loop_task failed; /* could not even be queued */
	worker_fn fn;
	void *arg;
};

struct workers {
	struct loop *loop;
	const struct settings *settings;
	struct arena *arena; /* of one line */
	char *address;
	struct list sections;
	struct list conns;
	unsigned conns_count;
	size_t sections_count, queued;
	uint32_t last_id;
	bool away; /* said so */
};

static void
pump(struct workers *w);

/* Helpers that one section may have while the others are idle. */
static unsigned
share(const struct workers *w)
{
	unsigned n = (unsigned)w->settings->worker.processes;
	unsigned others = w->sections_count > 1 ? (unsigned)w->sections_count - 1 : 0;

	return n > others + 1 ? n - others : 1;
}

/* Helpers that are neither at work nor kept for a section that has none. */
static unsigned
spare(const struct workers *w)
{
	unsigned taken = 0, n = (unsigned)w->settings->worker.processes;

	LIST_FOREACH (at, &w->conns)
		taken += CONTAINER_OF(at, struct worker_conn, link)->state == CONN_BUSY;
	LIST_FOREACH (at, &w->sections)
		taken += CONTAINER_OF(at, struct worker_section, link)->busy == 0;
	return n > taken ? n - taken : 0;
}

static void
leave_queue(struct worker_ask *a)
{
	list_remove(&a->link);
	a->section->queued--;
	a->section->workers->queued--;
}

static void
ask_free(struct worker_ask *a)
{
	loop_timer_stop(&a->deadline);
	loop_task_cancel(&a->failed);
	buf_fini(&a->line);
	free(a);
}

/* Neither in a queue nor on a connection any more. */
static void
end_temp(struct worker_ask *a, const char *why)
{
	const struct worker_answer end = { .line = WORKER_END,
		.id = a->id,
		.err = ERR_TEMP,
		.reason = REASON_DIRECTORY,
		.detail = str_of(why) };
	worker_fn fn = a->fn;
	void *arg = a->arg;

	ask_free(a);
	fn(arg, &end);
}

static void
conn_idle(struct worker_conn *c)
{
	loop_timer_stop(&c->late);
	if (c->section != NULL)
		c->section->busy--;
	c->section = NULL;
	c->ask = NULL;
	c->state = CONN_IDLE;
}

static void
conn_free(struct worker_conn *c)
{
	loop_timer_stop(&c->late);
	if (c->connecting != NULL)
		connect_cancel(c->connecting);
	if (c->stream != NULL)
		stream_free(c->stream);
	if (c->section != NULL)
		c->section->busy--;
	list_remove(&c->link);
	c->workers->conns_count--;
	free(c);
}

static bool
may_repeat(const struct worker_ask *a)
{
	return a->tries < TRIES_MAX && !a->begun && !a->once;
}

/* The helper is gone, or makes no sense: its question is asked once more if that cannot be seen. */
static void
conn_drop(struct worker_conn *c, const char *why)
{
	struct workers *w = c->workers;
	struct worker_ask *a = c->ask;

	if (c->state == CONN_BUSY)
		log_event(LVL_WARN, "auth.worker", log_z("reason", why),
			log_z("question", a == NULL	  ? "given up before"
					  : may_repeat(a) ? ""
							  : "failed"));
	conn_free(c);
	if (a != NULL) {
		a->conn = NULL;
		if (may_repeat(a)) {
			list_push_front(&a->section->queue, &a->link);
			a->section->queued++;
			w->queued++;
		} else {
			end_temp(a, why);
		}
	}
	pump(w);
}

static void
on_late(struct loop_timer *t)
{
	conn_drop(t->arg, "the helper did not answer in time");
}

/* One line of the answer. False: c is gone, or idle again. */
static bool
take_answer(struct worker_conn *c, const struct worker_answer *r)
{
	struct worker_ask *a = c->ask;
	bool end = r->line == WORKER_END;

	if (end)
		conn_idle(c);
	if (a == NULL)
		return !end;
	a->begun = true;
	if (!end) {
		/* who is still speaking has not run out of time */
		if (a->list) {
			loop_timer_start(&a->deadline, c->workers->settings->worker.timeout);
			loop_timer_start(&c->late, c->workers->settings->worker.timeout + LATE_MS);
		}
		a->fn(a->arg, r);
		return true;
	}
	worker_fn fn = a->fn;
	void *arg = a->arg;

	ask_free(a);
	fn(arg, r);
	return false;
}

static bool
take_line(struct worker_conn *c, struct str line)
{
	struct workers *w = c->workers;
	struct worker_answer r;
	bool more;

	arena_reset(w->arena);
	enum err e = worker_answer_get(line, w->arena, &r);
	bool hello = e == ERR_OK && r.line == WORKER_HELLO;

	if (e != ERR_OK || hello != (c->state == CONN_GREETING) ||
		(!hello && (c->state != CONN_BUSY || r.id != c->id))) {
		conn_drop(c, "the helper's answer makes no sense");
		return false;
	}
	if (hello) {
		c->state = CONN_IDLE;
		pump(w);
		return false;
	}
	more = take_answer(c, &r);
	if (!more)
		pump(w);
	return more;
}

static void
on_read(struct stream *s, void *arg)
{
	struct worker_conn *c = arg;
	struct str line;

	for (int i = 0; i < LINES_PER_STEP; i++) {
		struct buf *in = stream_in(s), copy;
		enum err e = wire_line(in, WORKER_LINE_MAX, &line);
		if (e == ERR_AGAIN)
			return;
		if (e != ERR_OK) {
			conn_drop(c, "the helper's answer makes no sense");
			return;
		}
		buf_init_secret(&copy, WORKER_LINE_MAX + 1);
		buf_add(&copy, line);
		buf_consume(in, line.n + 1);
		bool more = take_line(c, buf_str(&copy));
		buf_fini(&copy);
		if (!more)
			return;
	}
	stream_read_again(s);
}

static void
on_end(struct stream *s, void *arg, enum err why)
{
	(void)s;
	(void)why;
	conn_drop(arg, "the helper ended");
}

static const struct stream_ops stream_ops = { .on_read = on_read, .on_end = on_end };

/* Nobody listens: no helper was started. Waiting would not help. */
static void
fail_all(struct workers *w, const char *why)
{
	LIST_FOREACH (at, &w->sections) {
		struct worker_section *s = CONTAINER_OF(at, struct worker_section, link);
		LIST_FOREACH (q, &s->queue) {
			struct worker_ask *a = CONTAINER_OF(q, struct worker_ask, link);
			/* fn may ask again, which must not happen in this walk */
			loop_task_queue(&a->failed);
		}
	}
	if (!w->away)
		log_event(LVL_ERROR, "auth.worker", log_z("address", w->address),
			log_z("reason", why));
	w->away = true;
}

static void
on_connected(void *arg, int fd, enum err e, const char *text)
{
	struct worker_conn *c = arg;
	struct workers *w = c->workers;
	const struct stream_options o = { .in_max_bytes = 2 * WORKER_LINE_MAX };

	c->connecting = NULL;
	if (e != ERR_OK) {
		conn_free(c);
		if (w->conns_count == 0)
			fail_all(w, text);
		return;
	}
	w->away = false;
	c->state = CONN_GREETING;
	c->stream = stream_new(w->loop, fd, &stream_ops, c, &o);
}

static void
open_conn(struct workers *w)
{
	struct worker_conn *c = xcalloc(1, sizeof *c);

	c->workers = w;
	c->state = CONN_CONNECTING;
	loop_timer_init(&c->late, w->loop, on_late, c);
	list_push_back(&w->conns, &c->link);
	w->conns_count++;
	c->connecting = connect_start(w->loop, str_of(w->address), CONNECT_MS, on_connected, c);
}

static void
send_ask(struct worker_conn *c, struct worker_ask *a)
{
	leave_queue(a);
	a->conn = c;
	a->tries++;
	c->state = CONN_BUSY;
	c->ask = a;
	c->id = a->id;
	c->section = a->section;
	a->section->busy++;
	loop_timer_start(&c->late, c->workers->settings->worker.timeout + LATE_MS);
	stream_write(c->stream, buf_str(&a->line));
}

/* The first question of a section that may have one more helper; sections take turns. */
static struct worker_ask *
next_ask(struct workers *w)
{
	unsigned room = spare(w);

	LIST_FOREACH (at, &w->sections) {
		struct worker_section *s = CONTAINER_OF(at, struct worker_section, link);
		if (list_empty(&s->queue) || (s->busy != 0 && room == 0))
			continue;
		list_remove(&s->link);
		list_push_back(&w->sections, &s->link);
		return CONTAINER_OF(s->queue.next, struct worker_ask, link);
	}
	return NULL;
}

static struct worker_conn *
idle_conn(struct workers *w, unsigned *coming_out)
{
	*coming_out = 0;
	LIST_FOREACH (at, &w->conns) {
		struct worker_conn *c = CONTAINER_OF(at, struct worker_conn, link);
		if (c->state == CONN_IDLE)
			return c;
		if (c->state != CONN_BUSY)
			(*coming_out)++;
	}
	return NULL;
}

/* Questions that could be at a helper now. */
static size_t
sendable(const struct workers *w)
{
	size_t first = 0, more = 0, room = spare(w);

	LIST_FOREACH (at, &w->sections) {
		const struct worker_section *s = CONTAINER_OF(at, struct worker_section, link);
		bool kept = s->busy == 0 && s->queued != 0;
		first += kept;
		more += s->queued - kept;
	}
	return first + (more < room ? more : room);
}

static void
pump(struct workers *w)
{
	unsigned coming;

	for (;;) {
		struct worker_conn *c = idle_conn(w, &coming);
		struct worker_ask *a;
		if (c == NULL) {
			if (coming < sendable(w) && w->conns_count < w->settings->worker.processes)
				open_conn(w);
			return;
		}
		a = next_ask(w);
		if (a == NULL)
			return;
		send_ask(c, a);
	}
}

static void
on_deadline(struct loop_timer *t)
{
	struct worker_ask *a = t->arg;

	if (a->conn == NULL) {
		leave_queue(a);
		end_temp(a, "no helper was free in time");
		return;
	}
	/* the helper stays busy until it answers or ends itself */
	a->conn->ask = NULL;
	end_temp(a, "no answer of the helper in time");
}

static void
on_failed(struct loop_task *t)
{
	struct worker_ask *a = t->arg;
	bool full = list_empty(&a->link);

	/* taken by a connection that came up meanwhile */
	if (a->conn != NULL)
		return;
	if (!full)
		leave_queue(a);
	end_temp(a, full ? "worker.queue_max questions of the section wait" : "no helper runs");
}

struct worker_ask *
workers_ask(struct worker_section *s, const struct worker_question *q, worker_fn fn, void *arg)
{
	struct workers *w = s->workers;
	struct worker_ask *a = xcalloc(1, sizeof *a);
	struct worker_question numbered = *q;

	a->section = s;
	a->fn = fn;
	a->arg = arg;
	a->list = q->kind == ASK_LIST;
	/* modules of PAM count attempts and lock accounts */
	a->once = q->kind == ASK_LOGIN && q->section == WORKER_PAM;
	numbered.id = a->id = ++w->last_id;
	list_init(&a->link);
	loop_timer_init(&a->deadline, w->loop, on_deadline, a);
	loop_task_init(&a->failed, w->loop, on_failed, a);
	buf_init_secret(&a->line, WORKER_LINE_MAX);
	worker_question_put(&a->line, &numbered);
	if (buf_check(&a->line) != ERR_OK || s->queued >= (size_t)w->settings->worker.queue_max) {
		loop_task_queue(&a->failed);
		return a;
	}
	list_push_back(&s->queue, &a->link);
	s->queued++;
	w->queued++;
	loop_timer_start(&a->deadline, w->settings->worker.timeout);
	pump(w);
	return a;
}

void
workers_cancel(struct worker_ask *a)
{
	if (a->conn != NULL)
		a->conn->ask = NULL;
	else if (!list_empty(&a->link))
		leave_queue(a);
	ask_free(a);
}

struct loop *
workers_loop(const struct workers *w)
{
	return w->loop;
}

struct worker_section *
workers_section_new(struct workers *w)
{
	struct worker_section *s = xcalloc(1, sizeof *s);

	s->workers = w;
	list_init(&s->queue);
	list_push_back(&w->sections, &s->link);
	w->sections_count++;
	return s;
}

void
workers_section_free(struct worker_section *s)
{
	LIST_FOREACH (at, &s->workers->conns) {
		struct worker_conn *c = CONTAINER_OF(at, struct worker_conn, link);
		if (c->section == s)
			c->section = NULL;
	}
	list_remove(&s->link);
	s->workers->sections_count--;
	free(s);
}

void
workers_section_load(const struct worker_section *s, size_t *queued_out, size_t *busy_out)
{
	*queued_out = s->queued;
	*busy_out = s->busy;
}

struct workers *
workers_new(struct loop *l, const struct settings *s)
{
	struct workers *w = xcalloc(1, sizeof *w);
	struct buf address;

	w->loop = l;
	w->settings = s;
	w->arena = arena_new((size_t)4 * WORKER_LINE_MAX);
	list_init(&w->sections);
	list_init(&w->conns);
	buf_init(&address, 1024);
	buf_addf(&address, "unix:%.*s/auth-worker", STR_FMT(s->runtime_dir));
	w->address = str_dup(buf_str(&address));
	buf_fini(&address);
	return w;
}

void
workers_free(struct workers *w)
{
	if (w == NULL)
		return;
	while (!list_empty(&w->conns))
		conn_free(CONTAINER_OF(w->conns.next, struct worker_conn, link));
	arena_free(w->arena);
	free(w->address);
	free(w);
}

void
workers_status(const struct workers *w, struct buf *out)
{
	unsigned busy = 0, idle = 0;

	LIST_FOREACH (at, &w->conns) {
		const struct worker_conn *c = CONTAINER_OF(at, struct worker_conn, link);
		busy += c->state == CONN_BUSY;
		idle += c->state == CONN_IDLE;
	}
	buf_addf(out, "workers processes=%lld busy=%u idle=%u queued=%zu share=%u\n",
		(long long)w->settings->worker.processes, busy, idle, w->queued, share(w));
}
