#ifndef POSTROOM_EVENT_POOL_H
#define POSTROOM_EVENT_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/event/loop.h"

/* Threads for what may wait for a disk or a lock: the commit pool. Jobs run on any
 * thread in the order of submission; done runs on the loop afterwards, in order of
 * completion. A job touches nothing of the loop's: its arguments are its own. */
struct pool;

enum pool_class {
	POOL_COMMIT, /* index commits, opens, closes */
	POOL_SYNC,   /* body syncs and file writes: at most half of the threads that do not wait */
};

struct pool_job {
	void (*run)(struct pool_job *j);  /* on a pool thread */
	void (*done)(struct pool_job *j); /* on the loop; may free j. NULL: none */
	enum pool_class class;
	struct list link;
	int64_t queued_ms; /* monotonic, set by pool_submit */
};

/* threads: 16 by default, grows by those that wait (pool_wait_begin) up to 256. A thread is made
 * when it is needed, and all but one leave that had nothing to do for 5 s. */
struct pool *
pool_new(struct loop *l, unsigned threads);
/* For tests: another time than these 5 s. */
void
pool_set_linger(struct pool *p, int64_t ms);
/* Waits for running jobs and calls every done. */
void
pool_free(struct pool *p);
/* Runs everything submitted to its end, what done submits too, and calls every done: for an
 * owner's orderly end. Not from inside a done. */
void
pool_drain(struct pool *p);
/* Keeps j until done returned. */
void
pool_submit(struct pool *p, struct pool_job *j);
/* Inside run, around a wait for another process's lock: this thread does not count, nor does its
 * job among those of its class. */
void
pool_wait_begin(struct pool *p);
void
pool_wait_end(struct pool *p);
/* Jobs submitted and not yet done. */
unsigned
pool_busy(const struct pool *p);

#endif
