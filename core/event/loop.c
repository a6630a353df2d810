/* The event loop over libev, the only file that sees it. Every role and test calls it. Invariant:
 * the opaque storage in loop.h holds one libev watcher, a task runs before the loop sleeps, and
 * timers run behind sockets. */
#include "core/event/loop.h"

#include <assert.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

struct loop {
	struct ev_loop *ev;
	ev_prepare prepare;
	ev_check check;
	ev_idle idle; /* active while tasks wait: the poll returns at once */
	struct list tasks, late;
	int64_t now_ms;
	int epoll_fd; /* libev's, as far as we know; see loop_io_forget */
	void *rooms[LOOP_ROOMS];
	size_t room_sizes[LOOP_ROOMS];
	bool running;
};

_Static_assert(sizeof(ev_io) <= sizeof(((struct loop_io *)0)->priv), "priv of loop_io");
_Static_assert(sizeof(ev_timer) <= sizeof(((struct loop_timer *)0)->priv), "priv of loop_timer");
_Static_assert(sizeof(ev_signal) <= sizeof(((struct loop_signal *)0)->priv), "priv of loop_signal");
_Static_assert(sizeof(ev_async) <= sizeof(((struct loop_async *)0)->priv), "priv of loop_async");
_Static_assert((int)LOOP_READ == (int)EV_READ && (int)LOOP_WRITE == (int)EV_WRITE, "event bits");

static ev_io *
io_of(struct loop_io *io)
{
	return (ev_io *)(void *)io->priv;
}

static ev_timer *
timer_of(struct loop_timer *t)
{
	return (ev_timer *)(void *)t->priv;
}

static ev_signal *
signal_of(struct loop_signal *s)
{
	return (ev_signal *)(void *)s->priv;
}

static ev_async *
async_of(struct loop_async *a)
{
	return (ev_async *)(void *)a->priv;
}

enum { LATE_US = 2000 }; /* of late tasks between two looks at the sockets */

static void
take_list(struct list *from, struct list *to)
{
	list_init(to);
	if (list_empty(from))
		return;
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	list_init(from);
}

static void
run_first(struct list *due)
{
	struct loop_task *t = CONTAINER_OF(due->next, struct loop_task, link);

	list_remove(&t->link);
	t->fn(t);
}

/* What was queued up to now runs now; what these tasks queue runs after the next poll, so that
 * long work in steps never starves the sockets. Of late tasks the rest goes on then, in its
 * order. */
static void
run_tasks(struct loop *l, struct ev_loop *ev)
{
	struct list due;

	take_list(&l->tasks, &due);
	while (!list_empty(&due))
		run_first(&due);
	if (!list_empty(&l->late)) {
		int64_t began = clock_us();

		take_list(&l->late, &due);
		do
			run_first(&due);
		while (!list_empty(&due) && clock_us() - began < LATE_US);
	}
	while (!list_empty(&due)) {
		struct list *last = due.prev;

		list_remove(last);
		list_push_front(&l->late, last);
	}
	if (list_empty(&l->tasks) && list_empty(&l->late))
		ev_idle_stop(ev, &l->idle);
}

static void
on_prepare(struct ev_loop *ev, ev_prepare *w, int revents)
{
	(void)revents;
	run_tasks(w->data, ev);
	log_flush();
}

static void
on_check(struct ev_loop *ev, ev_check *w, int revents)
{
	struct loop *l = w->data;

	(void)ev;
	(void)revents;
	l->now_ms = clock_ms();
}

static void
on_idle(struct ev_loop *ev, ev_idle *w, int revents)
{
	(void)ev;
	(void)w;
	(void)revents;
}

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof *l);
	/* libev's epoll descriptor is the lowest free one; see loop_io_forget */
	int probe = dup(2);

	if (probe >= 0)
		(void)close(probe);
	l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (l->ev == NULL)
		abort();
	l->epoll_fd = probe;
	l->now_ms = clock_ms();
	list_init(&l->tasks);
	list_init(&l->late);
	ev_prepare_init(&l->prepare, on_prepare);
	l->prepare.data = l;
	ev_prepare_start(l->ev, &l->prepare);
	ev_check_init(&l->check, on_check);
	ev_set_priority(&l->check, EV_MAXPRI);
	l->check.data = l;
	ev_check_start(l->ev, &l->check);
	ev_idle_init(&l->idle, on_idle);
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	ev_loop_destroy(l->ev);
	for (size_t i = 0; i < LOOP_ROOMS; i++) {
		if (l->rooms[i] != NULL)
			explicit_bzero(l->rooms[i], l->room_sizes[i]);
		free(l->rooms[i]);
	}
	free(l);
}

void *
loop_room(struct loop *l, enum loop_room purpose, size_t n)
{
	if (l->rooms[purpose] == NULL) {
		l->rooms[purpose] = xcalloc(1, n);
		l->room_sizes[purpose] = n;
	}
	assert(l->room_sizes[purpose] == n);
	return l->rooms[purpose];
}

void
loop_run(struct loop *l)
{
	l->running = true;
	l->now_ms = clock_ms();
	(void)ev_run(l->ev, 0);
	l->running = false;
}

void
loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ALL);
}

int64_t
loop_now_ms(const struct loop *l)
{
	return l->running ? l->now_ms : clock_ms();
}

static void
on_io(struct ev_loop *ev, ev_io *w, int revents)
{
	struct loop_io *io = w->data;

	(void)ev;
	/* libev reports a bad descriptor as EV_ERROR; the next read or write tells the owner */
	if (revents & (int)EV_ERROR)
		revents |= EV_READ | EV_WRITE;
	io->fn(io, revents & (LOOP_READ | LOOP_WRITE));
}

void
loop_io_init(
	struct loop_io *io, struct loop *l, int fd, void (*fn)(struct loop_io *, int), void *arg)
{
	ev_io *w;

	memset(io, 0, sizeof *io);
	io->fn = fn;
	io->arg = arg;
	io->loop = l;
	io->fd = fd;
	w = io_of(io);
	ev_io_init(w, on_io, fd, 0);
	w->data = io;
}

void
loop_io_set(struct loop_io *io, int events)
{
	ev_io *w = io_of(io);

	if (events == io->events)
		return;
	ev_io_stop(io->loop->ev, w);
	io->events = events;
	ev_io_set(w, io->fd, events);
	if (events != 0)
		ev_io_start(io->loop->ev, w);
}

void
loop_io_forget(struct loop_io *io)
{
	struct epoll_event none = { .events = 0 };

	loop_io_set(io, 0);
	/* libev leaves the registration to close(); while another process holds the socket it
	 * would outlive our descriptor, and libev would rebuild its whole set at each event */
	(void)epoll_ctl(io->loop->epoll_fd, EPOLL_CTL_DEL, io->fd, &none);
}

static void
on_timer(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct loop_timer *t = w->data;

	(void)ev;
	(void)revents;
	t->fn(t);
}

void
loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(struct loop_timer *), void *arg)
{
	ev_timer *w;

	memset(t, 0, sizeof *t);
	t->fn = fn;
	t->arg = arg;
	t->loop = l;
	w = timer_of(t);
	ev_init(w, on_timer);
	/* behind the sockets: after a stall, what came in time is read before its deadline ends it
	 */
	ev_set_priority(w, -1);
	w->data = t;
}

void
loop_timer_start(struct loop_timer *t, int64_t ms)
{
	struct ev_loop *ev = t->loop->ev;
	ev_timer *w = timer_of(t);

	/* outside a run libev's clock stands still */
	if (!t->loop->running)
		ev_now_update(ev);
	ev_timer_stop(ev, w);
	ev_timer_set(w, ms > 0 ? (double)ms / 1000.0 : 0.0, 0.0);
	ev_timer_start(ev, w);
}

void
loop_timer_stop(struct loop_timer *t)
{
	ev_timer_stop(t->loop->ev, timer_of(t));
}

bool
loop_timer_active(const struct loop_timer *t)
{
	const ev_timer *w = (const ev_timer *)(const void *)t->priv;

	/* ev_is_active casts the const away, which clang refuses. */
	return w->active != 0;
}

static void
on_signal(struct ev_loop *ev, ev_signal *w, int revents)
{
	struct loop_signal *s = w->data;

	(void)ev;
	(void)revents;
	s->fn(s, w->signum);
}

void
loop_signal_start(struct loop_signal *s, struct loop *l, int signum,
	void (*fn)(struct loop_signal *, int), void *arg)
{
	ev_signal *w;

	memset(s, 0, sizeof *s);
	s->fn = fn;
	s->arg = arg;
	s->loop = l;
	w = signal_of(s);
	ev_signal_init(w, on_signal, signum);
	w->data = s;
	ev_signal_start(l->ev, w);
}

void
loop_signal_stop(struct loop_signal *s)
{
	ev_signal_stop(s->loop->ev, signal_of(s));
}

static void
on_async(struct ev_loop *ev, ev_async *w, int revents)
{
	struct loop_async *a = w->data;

	(void)ev;
	(void)revents;
	a->fn(a);
}

void
loop_async_start(struct loop_async *a, struct loop *l, void (*fn)(struct loop_async *), void *arg)
{
	ev_async *w;

	memset(a, 0, sizeof *a);
	a->fn = fn;
	a->arg = arg;
	a->loop = l;
	w = async_of(a);
	ev_async_init(w, on_async);
	w->data = a;
	ev_async_start(l->ev, w);
}

void
loop_async_stop(struct loop_async *a)
{
	ev_async_stop(a->loop->ev, async_of(a));
}

void
loop_async_send(struct loop_async *a)
{
	ev_async_send(a->loop->ev, async_of(a));
}

void
loop_task_init(struct loop_task *t, struct loop *l, void (*fn)(struct loop_task *), void *arg)
{
	*t = (struct loop_task){ .fn = fn, .arg = arg, .loop = l };
	list_init(&t->link);
}

static void
queue(struct loop_task *t, struct list *tasks)
{
	if (!list_empty(&t->link))
		return;
	list_push_back(tasks, &t->link);
	ev_idle_start(t->loop->ev, &t->loop->idle);
}

void
loop_task_queue(struct loop_task *t)
{
	queue(t, &t->loop->tasks);
}

void
loop_task_queue_late(struct loop_task *t)
{
	queue(t, &t->loop->late);
}

void
loop_task_cancel(struct loop_task *t)
{
	list_remove(&t->link);
}
