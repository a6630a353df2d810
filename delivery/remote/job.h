#ifndef POSTROOM_REMOTE_JOB_H
#define POSTROOM_REMOTE_JOB_H

#include "delivery/remote/conn.h"
#include "delivery/remote/finder.h"

/* One JOB of queue's: finds the servers, tries one address after the other, and says what became of
 * each recipient. */
struct job;

/* What all jobs share; outlives them. */
struct job_world {
	struct loop *loop;
	struct dns *dns;
	const struct settings *settings; /* the newest; older ones stay valid */
	struct str hostname;
	struct tls_ctx *tls_ctx;
	struct list idle; /* connections */
};

struct job_ops {
	void (*on_result)(void *arg, const struct relay_result *r);
	/* Once; the job is gone after this call. */
	void (*on_end)(void *arg, struct job *j, const struct relay_end *e);
};

/* payload: a JOB's, already checked by relay_request_decode, copied; takes fd. ops come from the
 * loop, never inside this call. */
struct job *
job_new(struct job_world *w, struct str payload, int fd, const struct job_ops *ops, void *arg);
uint64_t
job_id(const struct job *j);
/* Ends it with ERR_TEMP, unless the message may be delivered already: then its result is awaited.
 * on_end may come inside. */
void
job_cancel(struct job *j);
/* Without a word. */
void
job_free(struct job *j);
struct list *
job_link(struct job *j);
struct job *
job_of(struct list *link);

#endif
