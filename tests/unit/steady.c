/* Time for unit tests, in place of libc's: it stands still while the whole process does. Linked
 * into every unit test (LIBTEST of tests/module.mk); nobody calls it by name but for steady_skip.
 *
 * A test says "after 30 ms the other has not come yet", and a machine with more to do than it can
 * makes 300 of them, or stops the process for two seconds: deadlines pass that nobody was slow to
 * meet. So CLOCK_MONOTONIC goes on as long as somebody sleeps, by what he asked for, and by no
 * more than STEP_NS from one look at it to the next while nobody does. Who has something to do
 * does not sleep, however long the call that says so takes, and who sleeps long looks up every
 * SLICE_MS, so that what came late is at most so much too late. Invariant: the clock never goes
 * back, and, where nobody skips, never faster than the real one. The time of day is the real one.
 */
#include "tests/unit/steady.h"

#include <dlfcn.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STEP_NS INT64_C(100000)
enum { SLICE_MS = 5 };

struct epoll_event;
int
epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms);

/* The pid of who changes the rest; a child may inherit it locked by a thread that it has not. */
static atomic_int holder;
static int64_t real_last, steady, free_until;
static unsigned sleepers;

/* The next definition of a function: a sanitizer's, or libc's. */
#define NEXT(fn, name)                                \
	do {                                          \
		void *found = dlsym(RTLD_NEXT, name); \
		memcpy(&(fn), &found, sizeof found);  \
	} while (0)

static int
real_clock(clockid_t id, struct timespec *ts)
{
	static int (*_Atomic next)(clockid_t, struct timespec *);
	int (*fn)(clockid_t, struct timespec *) = atomic_load(&next);

	if (fn == NULL) {
		NEXT(fn, "clock_gettime");
		atomic_store(&next, fn);
	}
	return fn(id, ts);
}

static void
take(void)
{
	int none = 0, self = (int)getpid();

	while (!atomic_compare_exchange_strong(&holder, &none, self)) {
		if (none != self && atomic_compare_exchange_strong(&holder, &none, self))
			return;
		(void)sched_yield();
		none = 0;
	}
}

static void
give(void)
{
	atomic_store(&holder, 0);
}

/* Under the lock: what the clock says now. */
static int64_t
look(void)
{
	struct timespec ts;
	int64_t now, gone, may = free_until - steady;

	(void)real_clock(CLOCK_MONOTONIC, &ts);
	now = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	if (real_last == 0)
		steady = real_last = now;
	gone = now - real_last;
	if (sleepers == 0 || may < STEP_NS)
		may = STEP_NS;
	real_last = now;
	steady += gone < may ? gone : may;
	return steady;
}

static void
sleep_begin_ns(int64_t ns)
{
	int64_t until;

	take();
	until = look() + ns + STEP_NS;
	if (sleepers == 0 || until > free_until)
		free_until = until;
	sleepers++;
	give();
}

static void
sleep_begin(int ms)
{
	sleep_begin_ns((int64_t)ms * 1000000);
}

/* How long to sleep at a time; takes it from what is left, -1 for always. */
static int
slice_of(int *left_ms)
{
	int slice = *left_ms < 0 || *left_ms > SLICE_MS ? SLICE_MS : *left_ms;

	if (*left_ms > 0)
		*left_ms -= slice;
	return slice;
}

static void
sleep_end(void)
{
	take();
	(void)look();
	sleepers--;
	give();
}

void
steady_skip(int64_t ms)
{
	take();
	steady = look() + ms * 1000000;
	free_until += ms * 1000000;
	give();
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t now;

	if (id != CLOCK_MONOTONIC)
		return real_clock(id, ts);
	take();
	now = look();
	give();
	ts->tv_sec = (time_t)(now / 1000000000);
	ts->tv_nsec = (long)(now % 1000000000);
	return 0;
}

int
epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms)
{
	static int (*_Atomic next)(int, struct epoll_event *, int, int);
	int (*fn)(int, struct epoll_event *, int, int) = atomic_load(&next);
	int n, slice;

	if (fn == NULL) {
		NEXT(fn, "epoll_wait");
		atomic_store(&next, fn);
	}
	n = fn(fd, events, max, 0);
	while (n == 0 && timeout_ms != 0) {
		slice = slice_of(&timeout_ms);
		sleep_begin(slice);
		n = fn(fd, events, max, slice);
		sleep_end();
	}
	return n;
}

int
poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	static int (*_Atomic next)(struct pollfd *, nfds_t, int);
	int (*fn)(struct pollfd *, nfds_t, int) = atomic_load(&next);
	int n, slice;

	if (fn == NULL) {
		NEXT(fn, "poll");
		atomic_store(&next, fn);
	}
	n = fn(fds, count, 0);
	while (n == 0 && timeout_ms != 0) {
		slice = slice_of(&timeout_ms);
		sleep_begin(slice);
		n = fn(fds, count, slice);
		sleep_end();
	}
	return n;
}

int
nanosleep(const struct timespec *ask, struct timespec *left)
{
	static int (*_Atomic next)(const struct timespec *, struct timespec *);
	int (*fn)(const struct timespec *, struct timespec *) = atomic_load(&next);
	int n;

	if (fn == NULL) {
		NEXT(fn, "nanosleep");
		atomic_store(&next, fn);
	}
	sleep_begin_ns((int64_t)ask->tv_sec * 1000000000 + ask->tv_nsec);
	n = fn(ask, left);
	sleep_end();
	return n;
}

int
usleep(useconds_t us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };

	return nanosleep(&ts, NULL);
}
