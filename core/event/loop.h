#ifndef POSTROOM_EVENT_LOOP_H
#define POSTROOM_EVENT_LOOP_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/list.h"

/* One event loop a process (libev behind it). Watchers are embedded in the
 * object that they serve: init once, start and stop at will, stop before the
 * memory dies. A callback does bounded work and may free its own object as the
 * last thing it does. Everything here runs on the loop's thread, except
 * loop_async_send. */
struct loop;

struct loop *
loop_new(void);
void
loop_free(struct loop *l);
/* Returns after loop_stop. */
void
loop_run(struct loop *l);
void
loop_stop(struct loop *l);
/* Monotonic milliseconds at the start of this iteration. */
int64_t
loop_now_ms(const struct loop *l);
/* Memory for what one callback reads, n octets, the same at every call with this purpose (and n);
 * it dies with the loop. Not a variable of the thread: every thread of the process would have its
 * own, touched when it is made. */
enum loop_room { LOOP_ROOM_STREAM, LOOP_ROOM_IPC, LOOP_ROOMS };
void *
loop_room(struct loop *l, enum loop_room purpose, size_t n);

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop_io {
	void (*fn)(struct loop_io *io, int events);
	void *arg;
	struct loop *loop;
	int fd;
	int events;
	alignas(16) char priv[64];
};
void
loop_io_init(
	struct loop_io *io, struct loop *l, int fd, void (*fn)(struct loop_io *, int), void *arg);
/* events: LOOP_READ | LOOP_WRITE, or 0 to stop. Cheap when nothing changes. */
void
loop_io_set(struct loop_io *io, int events);
/* Stop, and drop every trace of the fd: before it is given to another process and closed here. */
void
loop_io_forget(struct loop_io *io);

struct loop_timer {
	void (*fn)(struct loop_timer *t);
	void *arg;
	struct loop *loop;
	alignas(16) char priv[64];
};
void
loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(struct loop_timer *), void *arg);
/* Fires once, ms from now; started again, the new time counts. */
void
loop_timer_start(struct loop_timer *t, int64_t ms);
void
loop_timer_stop(struct loop_timer *t);
bool
loop_timer_active(const struct loop_timer *t);

struct loop_signal {
	void (*fn)(struct loop_signal *s, int signum);
	void *arg;
	struct loop *loop;
	alignas(16) char priv[64];
};
void
loop_signal_start(struct loop_signal *s, struct loop *l, int signum,
	void (*fn)(struct loop_signal *, int), void *arg);
void
loop_signal_stop(struct loop_signal *s);

/* Wakes the loop from another thread; sends may merge into one call of fn. */
struct loop_async {
	void (*fn)(struct loop_async *a);
	void *arg;
	struct loop *loop;
	alignas(16) char priv[64];
};
void
loop_async_start(struct loop_async *a, struct loop *l, void (*fn)(struct loop_async *), void *arg);
void
loop_async_stop(struct loop_async *a);
void
loop_async_send(struct loop_async *a);

/* Calls fn once, later in this iteration or at the start of the next, before
 * the loop sleeps: for the next step of long work. Queued once at most. */
struct loop_task {
	void (*fn)(struct loop_task *t);
	void *arg;
	struct loop *loop;
	struct list link;
};
void
loop_task_init(struct loop_task *t, struct loop *l, void (*fn)(struct loop_task *), void *arg);
/* Soon: behind the events that are already pending. */
void
loop_task_queue(struct loop_task *t);
/* Behind all others, for a step that may take milliseconds: when many wait, the sockets are looked
 * at in between. */
void
loop_task_queue_late(struct loop_task *t);
void
loop_task_cancel(struct loop_task *t);

#endif
