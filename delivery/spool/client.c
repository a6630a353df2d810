/* smtp's end of the slots channel: keeps some free slots at hand, hands them to writers, and tells
 * queue what became of them. Called by smtp sessions through spool.h. Invariant: a commit is
 * confirmed only while the channel that brought the slot is still open after the sync, because
 * queue closes a channel before it judges the slots that it had given out there. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc.h"
#include "delivery/spool/writer.h"

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 2000 };

struct free_slot {
	struct list link;
	int fd;
	char name[SPOOL_NAME_LEN];
};

struct spool_client {
	struct loop *loop;
	struct pool *pool;
	char *path;
	unsigned ahead;
	struct ipc *ipc; /* NULL while not connected */
	int fd;		 /* ipc's, to look whether the other end is open */
	struct loop_timer retry;
	struct loop_task wake;
	int64_t backoff_ms;
	struct list free_slots;
	size_t free_count;
	size_t asked; /* slots on their way */
	bool full;    /* disk space below the reserve */
	struct list waiters;
	struct list writers;
};

static void
client_connect(struct spool_client *c);

static void
retry_later(struct spool_client *c)
{
	loop_timer_start(&c->retry, c->backoff_ms);
	c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void
drop_channel(struct spool_client *c)
{
	if (c->ipc != NULL)
		ipc_free(c->ipc);
	c->ipc = NULL;
	c->fd = -1;
	LIST_FOREACH (l, &c->free_slots) {
		struct free_slot *s = CONTAINER_OF(l, struct free_slot, link);
		list_remove(l);
		close(s->fd);
		free(s);
	}
	c->free_count = 0;
	c->asked = 0;
	c->full = false;
	LIST_FOREACH (w, &c->writers)
		spool_writer_orphan(w);
}

static void
channel_lost(struct spool_client *c, enum err why)
{
	log_event(LVL_WARN, "spool.channel_lost", log_e("err", why));
	drop_channel(c);
	loop_task_queue(&c->wake);
	retry_later(c);
}

/* Keeps `ahead` slots at hand or on their way; asks in lumps. */
static void
ask_more(struct spool_client *c)
{
	size_t have = c->free_count + c->asked;
	struct buf b;

	if (c->ipc == NULL || have > (size_t)c->ahead * 3 / 4)
		return;
	buf_init(&b, 64);
	ipc_put_u64(&b, c->ahead - have);
	if (ipc_send(c->ipc, SPOOL_MSG_WANT, buf_str(&b), NULL, 0) == ERR_OK)
		c->asked = c->ahead - c->free_count;
	buf_fini(&b);
}

/* Takes fd. */
static enum err
add_slot(struct spool_client *c, struct str name, int fd)
{
	struct free_slot *s;

	if (!spool_name_valid(name)) {
		close(fd);
		return ERR_SYNTAX;
	}
	s = xcalloc(1, sizeof(*s));
	s->fd = fd;
	memcpy(s->name, name.p, SPOOL_NAME_LEN);
	list_push_back(&c->free_slots, &s->link);
	c->free_count++;
	c->asked -= c->asked > 0;
	return ERR_OK;
}

static enum err
on_slots(struct spool_client *c, struct str payload, const int *fds, size_t fds_count)
{
	enum err e = ERR_OK;
	struct str name;

	for (size_t i = 0; i < fds_count; i++) {
		if (e == ERR_OK)
			e = ipc_get_str(&payload, &name);
		if (e == ERR_OK)
			e = add_slot(c, name, fds[i]);
		else
			close(fds[i]);
	}
	return e == ERR_OK && payload.n > 0 ? ERR_SYNTAX : e;
}

static void
on_message(void *arg, struct ipc *ipc, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct spool_client *c = arg;
	enum err e = ERR_SYNTAX;
	uint64_t v;

	(void)ipc;
	if (type == SPOOL_MSG_SLOTS) {
		e = on_slots(c, payload, fds, fds_count);
	} else {
		for (size_t i = 0; i < fds_count; i++)
			close(fds[i]);
		if (type == SPOOL_MSG_STATE)
			e = ipc_get_u64(&payload, &v);
		if (e == ERR_OK)
			c->full = v != 0;
	}
	if (e != ERR_OK) {
		channel_lost(c, e);
		return;
	}
	c->backoff_ms = BACKOFF_MIN_MS;
	loop_task_queue(&c->wake);
}

static void
on_end(void *arg, struct ipc *ipc, enum err why)
{
	(void)ipc;
	channel_lost(arg, why);
}

static const struct ipc_ops channel_ops = { .on_message = on_message, .on_end = on_end };

static void
client_connect(struct spool_client *c)
{
	int fd;

	if (ipc_connect(c->path, &fd) != ERR_OK) {
		retry_later(c);
		return;
	}
	c->fd = fd;
	c->ipc = ipc_new(c->loop, fd, &channel_ops, c);
	ask_more(c);
}

static void
on_retry(struct loop_timer *t)
{
	client_connect(t->arg);
}

/* One task wakes all: each waiter tries again and may wait again. */
static void
on_wake(struct loop_task *t)
{
	struct spool_client *c = t->arg;
	struct list now;

	if (list_empty(&c->waiters))
		return;
	now = c->waiters;
	now.next->prev = now.prev->next = &now;
	list_init(&c->waiters);
	while (!list_empty(&now)) {
		struct spool_waiter *w = CONTAINER_OF(now.next, struct spool_waiter, link);
		list_remove(&w->link);
		w->fn(w);
	}
}

struct spool_client *
spool_client_new(struct loop *l, struct pool *p, const char *path, unsigned ahead)
{
	struct spool_client *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->pool = p;
	c->path = xstrdup(path);
	c->ahead = ahead > 0 ? ahead : 1;
	c->fd = -1;
	c->backoff_ms = BACKOFF_MIN_MS;
	list_init(&c->free_slots);
	list_init(&c->waiters);
	list_init(&c->writers);
	loop_timer_init(&c->retry, l, on_retry, c);
	loop_task_init(&c->wake, l, on_wake, c);
	client_connect(c);
	return c;
}

void
spool_client_free(struct spool_client *c)
{
	drop_channel(c);
	loop_timer_stop(&c->retry);
	loop_task_cancel(&c->wake);
	LIST_FOREACH (w, &c->waiters)
		list_remove(w);
	free(c->path);
	free(c);
}

bool
spool_client_ready(const struct spool_client *c)
{
	return c->ipc != NULL;
}

static void
tell(struct spool_client *c, enum spool_msg type, struct str name, enum err *e_out)
{
	struct buf b;

	buf_init(&b, 64);
	ipc_put_str(&b, name);
	*e_out = ipc_send(c->ipc, type, buf_str(&b), NULL, 0);
	buf_fini(&b);
}

static enum err
slot_committed(void *owner, struct str name, const char **text_out)
{
	struct spool_client *c = owner;
	struct pollfd p = { .fd = c->fd, .events = POLLRDHUP };
	enum err e;

	/* The loop may not have seen yet that queue is gone, or that it judged this slot. */
	if (poll(&p, 1, 0) != 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) != 0) {
		*text_out = "queue is away";
		return ERR_TEMP;
	}
	tell(c, SPOOL_MSG_ACCEPTED, name, &e);
	if (e != ERR_OK)
		*text_out = "queue does not listen";
	return e == ERR_OK ? ERR_OK : ERR_TEMP;
}

static void
slot_dropped(void *owner, struct str name)
{
	enum err e;

	tell(owner, SPOOL_MSG_DROPPED, name, &e);
	(void)e; /* a lost word: the slot goes when the channel ends */
}

static const struct spool_owner_ops client_owner = { .committed = slot_committed,
	.dropped = slot_dropped };

enum err
spool_peek(const struct spool_client *c)
{
	if (c->ipc == NULL)
		return ERR_TEMP;
	if (c->full)
		return ERR_LIMIT;
	return c->free_count == 0 ? ERR_BUSY : ERR_OK;
}

enum err
spool_take(struct spool_client *c, struct spool_writer **out)
{
	enum err e = spool_peek(c);
	struct free_slot *s;

	if (e != ERR_OK)
		return e;
	s = CONTAINER_OF(c->free_slots.next, struct free_slot, link);
	list_remove(&s->link);
	c->free_count--;
	*out = spool_writer_new(
		c->pool, s->fd, str_n(s->name, SPOOL_NAME_LEN), &client_owner, c, &c->writers);
	free(s);
	ask_more(c);
	return ERR_OK;
}

void
spool_wait(struct spool_client *c, struct spool_waiter *w)
{
	list_remove(&w->link);
	list_push_back(&c->waiters, &w->link);
	ask_more(c);
}

void
spool_wait_cancel(struct spool_waiter *w)
{
	list_remove(&w->link);
}
