/* The channel to queue, relay's end; see server.h. main.c makes it. Invariants: each JOB gets one
 * END, whatever happens, while its channel lives; with the channel its jobs end. */
#include "delivery/remote/server.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc.h"

struct server {
	struct job_world *w;
	struct list channels;
	size_t jobs;
	bool stopping;
	void (*done)(void *arg);
	void *done_arg;
	struct loop_task task;
	struct loop_timer wait; /* stopping: for what is not said yet */
};

enum { QUEUED_MAX = 1024, LATER_MS = 10 };

struct channel {
	struct list link;
	struct server *server;
	struct ipc *ipc;
	struct list jobs;
	struct list unsaid; /* words that wait for room in the channel, while queue is busy */
	struct loop_timer later;
};

struct word {
	struct list link;
	uint32_t type;
	struct buf payload;
};

static void
word_free(struct word *w)
{
	list_remove(&w->link);
	buf_fini(&w->payload);
	free(w);
}

static void
channel_free(struct channel *c)
{
	LIST_FOREACH (l, &c->unsaid)
		word_free(CONTAINER_OF(l, struct word, link));
	loop_timer_stop(&c->later);
	LIST_FOREACH (l, &c->jobs) {
		job_free(job_of(l));
		c->server->jobs--;
	}
	list_remove(&c->link);
	ipc_free(c->ipc);
	free(c);
}

static void
check_done(struct server *s)
{
	if (s->stopping && s->jobs == 0)
		loop_task_queue(&s->task);
}

static void
say_now(struct channel *c, uint32_t type, struct str payload)
{
	enum err how = ipc_send(c->ipc, type, payload, NULL, 0);

	if (how != ERR_OK && how != ERR_EOF)
		log_event(LVL_ERROR, "relay.channel", log_e("res", how));
}

static void
say_later(struct loop_timer *t)
{
	struct channel *c = t->arg;

	while (!list_empty(&c->unsaid) && ipc_queued(c->ipc) < QUEUED_MAX) {
		struct word *w = CONTAINER_OF(c->unsaid.next, struct word, link);
		say_now(c, w->type, buf_str(&w->payload));
		word_free(w);
	}
	if (!list_empty(&c->unsaid))
		loop_timer_start(t, LATER_MS);
}

/* Takes payload. Nothing is left out when queue does not read for a while: a result would be a
 * second delivery, and an end a place that no job gets again. What waits is bounded by the jobs. */
static void
say(struct channel *c, uint32_t type, struct buf *payload)
{
	struct word *w;

	if (list_empty(&c->unsaid) && ipc_queued(c->ipc) < QUEUED_MAX) {
		say_now(c, type, buf_str(payload));
		buf_fini(payload);
		return;
	}
	w = xcalloc(1, sizeof *w);
	w->type = type;
	w->payload = *payload;
	list_push_back(&c->unsaid, &w->link);
	if (!loop_timer_active(&c->later))
		loop_timer_start(&c->later, LATER_MS);
}

static void
send_end(struct channel *c, const struct relay_end *e)
{
	struct buf b;

	buf_init(&b, IPC_PAYLOAD_MAX);
	if (relay_end_encode(e, &b) == ERR_OK) {
		say(c, RELAY_MSG_END, &b);
		return;
	}
	log_event(LVL_ERROR, "relay.channel", log_z("reason", "an end that cannot be said"));
	buf_fini(&b);
}

static void
on_result(void *arg, const struct relay_result *r)
{
	struct buf b;

	buf_init(&b, IPC_PAYLOAD_MAX);
	if (relay_result_encode(r, &b) == ERR_OK) {
		say(arg, RELAY_MSG_RCPT, &b);
		return;
	}
	log_event(LVL_ERROR, "relay.channel", log_z("reason", "a result that cannot be said"));
	buf_fini(&b);
}

static void
on_job_end(void *arg, struct job *j, const struct relay_end *e)
{
	struct channel *c = arg;

	(void)j;
	send_end(c, e);
	c->server->jobs--;
	check_done(c->server);
}

static const struct job_ops job_ops = { .on_result = on_result, .on_end = on_job_end };

static struct job *
find(struct channel *c, uint64_t id)
{
	LIST_FOREACH (l, &c->jobs)
		if (job_id(job_of(l)) == id)
			return job_of(l);
	return NULL;
}

static void
refuse(struct channel *c, uint64_t id, enum err how, const char *status, const char *text)
{
	const struct relay_end e = {
		.id = id, .how = how, .code = 451, .status = str_of(status), .text = str_of(text)
	};

	send_end(c, &e);
}

/* Takes fd. */
static enum err
on_job(struct channel *c, struct str payload, int fd)
{
	struct server *s = c->server;
	struct arena *a = arena_new(IPC_PAYLOAD_MAX);
	struct relay_request r;
	enum err e = relay_request_decode(payload, a, &r);
	uint64_t id = r.id;
	struct job *j;

	arena_free(a);
	if (e != ERR_OK || find(c, id) != NULL) {
		(void)close(fd);
		return ERR_SYNTAX;
	}
	if (s->stopping || s->jobs >= (size_t)s->w->settings->outbound.jobs_max) {
		(void)close(fd);
		refuse(c, id, s->stopping ? ERR_TEMP : ERR_BUSY, "4.3.2", "relay is busy");
		return ERR_OK;
	}
	j = job_new(s->w, payload, fd, &job_ops, c);
	if (j == NULL)
		return ERR_SYNTAX;
	list_push_back(&c->jobs, job_link(j));
	s->jobs++;
	return ERR_OK;
}

static void
on_message(void *arg, struct ipc *ipc UNUSED, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct channel *c = arg;
	enum err e = ERR_SYNTAX;
	uint64_t id;
	struct job *j;

	if (type == RELAY_MSG_JOB && fds_count == 1) {
		e = on_job(c, payload, fds[0]);
	} else {
		for (size_t i = 0; i < fds_count; i++)
			(void)close(fds[i]);
		if (type == RELAY_MSG_CANCEL)
			e = ipc_get_u64(&payload, &id);
		j = e == ERR_OK ? find(c, id) : NULL;
		if (j != NULL)
			job_cancel(j);
	}
	if (e == ERR_OK)
		return;
	log_event(LVL_ERROR, "relay.channel", log_e("res", e), log_z("reason", "not our protocol"));
	struct server *s = c->server;

	channel_free(c);
	check_done(s);
}

static void
on_end(void *arg, struct ipc *ipc UNUSED, enum err why)
{
	struct channel *c = arg;
	struct server *s = c->server;

	log_event(LVL_INFO, "relay.channel", log_e("res", why));
	channel_free(c);
	check_done(s);
}

static const struct ipc_ops ops = { .on_message = on_message, .on_end = on_end };

void
server_add(struct server *s, int fd)
{
	struct channel *c = xcalloc(1, sizeof *c);

	c->server = s;
	list_init(&c->jobs);
	list_init(&c->unsaid);
	loop_timer_init(&c->later, s->w->loop, say_later, c);
	list_push_back(&s->channels, &c->link);
	c->ipc = ipc_new(s->w->loop, fd, &ops, c);
}

/* An end that is not said is a message that goes out again. */
static void
on_task(struct loop_task *t)
{
	struct server *s = t->arg;

	LIST_FOREACH (l, &s->channels) {
		struct channel *c = CONTAINER_OF(l, struct channel, link);
		if (list_empty(&c->unsaid) && ipc_queued(c->ipc) == 0)
			continue;
		loop_timer_start(&s->wait, LATER_MS);
		return;
	}
	conn_close_idle(&s->w->idle);
	s->done(s->done_arg);
}

static void
on_wait(struct loop_timer *t)
{
	check_done(t->arg);
}

struct server *
server_new(struct job_world *w)
{
	struct server *s = xcalloc(1, sizeof *s);

	s->w = w;
	list_init(&s->channels);
	loop_task_init(&s->task, w->loop, on_task, s);
	loop_timer_init(&s->wait, w->loop, on_wait, s);
	return s;
}

void
server_stop(struct server *s, void (*done)(void *arg), void *arg)
{
	s->stopping = true;
	s->done = done;
	s->done_arg = arg;
	check_done(s);
}

void
server_free(struct server *s)
{
	loop_task_cancel(&s->task);
	loop_timer_stop(&s->wait);
	LIST_FOREACH (l, &s->channels)
		channel_free(CONTAINER_OF(l, struct channel, link));
	LIST_FOREACH (l, &s->w->idle)
		conn_free(conn_of(l));
	free(s);
}
