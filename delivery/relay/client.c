/* Queue's half of the relay channel; see relay.h. Invariants: a job that was submitted hears
 * exactly one on_end unless it was cancelled, each recipient at most one on_rcpt, and neither comes
 * inside relay_submit; what relay says about a job that is not known (cancelled) is ignored. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc_client.h"
#include "delivery/relay/relay.h"

enum { QUEUED_MAX = 1024 };

struct relay_client {
	struct ipc_client channel;
	uint64_t next_id;
	struct list jobs;
	size_t jobs_count;
	bool calling; /* a callback runs … */
	bool freed;   /* … and has freed us: to be done after it */
};

static struct relay_job *
find_job(struct relay_client *c, uint64_t id)
{
	LIST_FOREACH (l, &c->jobs) {
		struct relay_job *j = CONTAINER_OF(l, struct relay_job, link);
		if (j->request.id == id)
			return j;
	}
	return NULL;
}

static void
drop_job(struct relay_client *c, struct relay_job *j)
{
	list_remove(&j->link);
	c->jobs_count--;
}

/* Callbacks are over. False: one of them freed c, and it is gone. */
static bool
called(struct relay_client *c)
{
	c->calling = false;
	if (!c->freed)
		return true;
	free(c);
	return false;
}

/* The channel is over: all jobs end. c may be gone afterwards. */
static void
channel_lost(struct relay_client *c, enum err why)
{
	struct list now;

	log_event(LVL_WARN, "relay.channel_lost", log_e("err", why),
		log_n("jobs", (int64_t)c->jobs_count));
	ipc_client_lost(&c->channel);
	/* jobs that a callback submits go into the new list */
	list_init(&now);
	while (!list_empty(&c->jobs)) {
		struct list *l = c->jobs.next;
		list_remove(l);
		list_push_back(&now, l);
	}
	c->calling = true;
	while (!c->freed && !list_empty(&now)) {
		struct relay_job *j = CONTAINER_OF(now.next, struct relay_job, link);
		const struct relay_end e = { .id = j->request.id,
			.how = ERR_EOF,
			.code = 451,
			.status = STR("4.3.0"),
			.text = STR("relay went away") };
		drop_job(c, j);
		j->on_end(j, &e);
	}
	/* freed: the rest is forgotten, as relay_client_free says */
	LIST_FOREACH (l, &now)
		list_remove(l);
	(void)called(c);
}

static enum err
on_result(struct relay_client *c, struct str payload)
{
	struct relay_result r;
	struct relay_job *j;
	enum err e = relay_result_decode(payload, &r);
	uint64_t bit;

	if (e != ERR_OK)
		return e;
	j = find_job(c, r.id);
	if (j == NULL)
		return ERR_OK;
	bit = UINT64_C(1) << (r.index % 64);
	if (r.index >= j->request.rcpts_count || (j->seen[r.index / 64] & bit) != 0)
		return ERR_SYNTAX;
	j->seen[r.index / 64] |= bit;
	j->on_rcpt(j, &r);
	return ERR_OK;
}

static bool
all_seen(const struct relay_job *j)
{
	for (size_t i = 0; i < j->request.rcpts_count; i++)
		if ((j->seen[i / 64] & UINT64_C(1) << (i % 64)) == 0)
			return false;
	return true;
}

static enum err
on_job_end(struct relay_client *c, struct str payload)
{
	struct relay_end end;
	struct relay_job *j;
	enum err e = relay_end_decode(payload, &end);

	if (e != ERR_OK)
		return e;
	j = find_job(c, end.id);
	if (j == NULL)
		return ERR_OK;
	if (end.how == ERR_OK && !all_seen(j))
		return ERR_SYNTAX;
	drop_job(c, j);
	j->on_end(j, &end);
	return ERR_OK;
}

static void
on_message(void *arg, struct ipc *ipc, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct relay_client *c = arg;
	enum err e = ERR_SYNTAX;

	(void)ipc;
	for (size_t i = 0; i < fds_count; i++)
		(void)close(fds[i]);
	c->calling = true;
	if (type == RELAY_MSG_RCPT)
		e = on_result(c, payload);
	else if (type == RELAY_MSG_END)
		e = on_job_end(c, payload);
	if (!called(c))
		return;
	if (e == ERR_OK)
		ipc_client_works(&c->channel);
	else
		channel_lost(c, e);
}

static void
on_end(void *arg, struct ipc *ipc, enum err why)
{
	(void)ipc;
	channel_lost(arg, why);
}

static const struct ipc_ops channel_ops = { .on_message = on_message, .on_end = on_end };

struct relay_client *
relay_client_new(struct loop *l, const char *path)
{
	struct relay_client *c = xcalloc(1, sizeof(*c));

	ipc_client_init(&c->channel, l, path);
	c->next_id = 1;
	list_init(&c->jobs);
	return c;
}

void
relay_client_free(struct relay_client *c)
{
	if (c == NULL)
		return;
	ipc_client_fini(&c->channel);
	LIST_FOREACH (l, &c->jobs)
		list_remove(l);
	c->freed = true;
	if (!c->calling)
		free(c);
}

enum err
relay_submit(struct relay_client *c, struct relay_job *j, int fd)
{
	struct buf b;
	enum err e = ipc_client_open(&c->channel, &channel_ops, c);

	if (e == ERR_OK && ipc_queued(c->channel.ipc) >= QUEUED_MAX)
		e = ERR_TEMP;
	if (e != ERR_OK) {
		(void)close(fd);
		return e;
	}
	j->request.id = c->next_id++;
	buf_init(&b, IPC_PAYLOAD_MAX);
	e = relay_request_encode(&j->request, &b);
	if (e != ERR_OK) {
		(void)close(fd);
	} else {
		e = ipc_send(c->channel.ipc, RELAY_MSG_JOB, buf_str(&b), &fd, 1);
		/* the end of the channel is on its way to on_end */
		if (e == ERR_EOF)
			e = ERR_TEMP;
	}
	buf_fini(&b);
	if (e != ERR_OK)
		return e;
	j->seen[0] = j->seen[1] = 0;
	list_push_back(&c->jobs, &j->link);
	c->jobs_count++;
	return ERR_OK;
}

static void
send_cancel(struct relay_client *c, const struct relay_job *j)
{
	struct buf b;
	enum err e;

	if (c->channel.ipc == NULL)
		return;
	buf_init(&b, 64);
	ipc_put_u64(&b, j->request.id);
	e = ipc_send(c->channel.ipc, RELAY_MSG_CANCEL, buf_str(&b), NULL, 0);
	buf_fini(&b);
	(void)e; /* a lost word: results are ignored, or waited for, all the same */
}

void
relay_cancel(struct relay_client *c, struct relay_job *j)
{
	if (list_empty(&j->link))
		return;
	drop_job(c, j);
	send_cancel(c, j);
}

void
relay_finish(struct relay_client *c, struct relay_job *j)
{
	if (!list_empty(&j->link))
		send_cancel(c, j);
}

size_t
relay_client_jobs(const struct relay_client *c)
{
	return c->jobs_count;
}
