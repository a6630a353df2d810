#ifndef POSTROOM_QUEUE_ATTEMPT_IMPL_H
#define POSTROOM_QUEUE_ATTEMPT_IMPL_H

#include "delivery/queue/owed.h"
#include "delivery/queue/queue.h"

/* An attempt as its own files see it: attempt.c begins and ends it, attempt_local.c gives
 * recipients to lmtp, attempt_relay.c to other servers. */
struct report;

struct expanding {
	struct attempt *a;
	uint32_t orig;
	struct expand_request *request; /* NULL: over */
};

enum spot_state {
	SPOT_IDLE,    /* not looked at since it was due */
	SPOT_ROUTING, /* the router was asked */
	SPOT_LOCAL,   /* for lmtp */
	SPOT_REMOTE,  /* for hop */
	SPOT_BUSY,    /* in a transaction, or a job */
	SPOT_PARKED,  /* stands in hop's line */
};

/* Where the attempt is with one of the record's recipients. */
struct spot {
	enum spot_state state;
	struct hop *hop;
	struct route_request *request;
	struct attempt *a;
};

struct attempt {
	struct list link;
	struct queue *q;
	struct message *m;
	struct arena *memory;
	struct record r;
	struct spool_message *sm;
	struct hmap finals;	     /* addresses of r.rcpts in lower case */
	struct expanding *expanding; /* one for each of r.origs */
	uint32_t expand_next, expand_running;
	bool hurried; /* by hand: all that waits was made due, in memory only */
	bool wake;    /* … and hops that rest are asked all the same */
	/* Once the recipients are known and stored. */
	struct spot *spots; /* one for each of r.rcpts */
	uint32_t scan;	    /* spots before this were looked at in this round */
	uint32_t routing;
	struct client_job job; /* lmtp's */
	bool job_running;
	struct client_rcpt *job_rcpts;
	uint32_t *job_index; /* their places in r.rcpts */
	struct list runs;    /* relay's jobs, attempt_relay.c */
	bool away;	     /* only relay works on it: it is not among the local attempts */
	int64_t soft_ms;     /* when those are tried again whom a part of ours failed; 0: unknown */
	struct loop_task again;
	struct loop_timer due;	    /* somebody else's time comes meanwhile */
	struct loop_timer progress; /* the next put */
	bool dirty;
	bool unseen; /* a put is on its way that nobody waits for */
	struct report *report;
	struct owed owed;		    /* what report is about */
	char report_id[SPOOL_NAME_LEN + 1]; /* to be taken in when its record is durable */
	int64_t begin_ms;
};

/* attempt.c */

/* The next step, whatever that is; a may be gone afterwards. */
void
attempt_step(struct attempt *a);
/* The record differs from what is stored: it is put within PROGRESS_MS. */
void
attempt_changed(struct attempt *a);
bool
attempt_expired(const struct attempt *a);
/* Somebody said "not now" for the attempts-th time. */
int64_t
attempt_retry_at(struct attempt *a, unsigned attempts);
/* A part of our own was away: it will be back soon, and nobody waits hours after that. */
int64_t
attempt_soft_retry_at(struct attempt *a);
/* Who said it; NULL: lmtp, or we ourselves. */
struct attempt_peer {
	struct str host, address;
	bool relayed; /* another server has the message now, if it took it */
	bool passed;  /* … and the duties of RFC 3461 with it */
};
/* The last word of this try about recipient i: delivered, failed, or waiting for its next time. */
void
attempt_result(struct attempt *a, uint32_t i, const struct reply *r, const struct attempt_peer *p);
/* No word about recipient i, through no fault of its own: again at next_ms, unless it expired. */
void
attempt_put_off(struct attempt *a, uint32_t i, const struct reply *r, const struct attempt_peer *p,
	int64_t next_ms);
/* Its time is over before anybody could be asked. Its last reply is the reason, else why, else
 * that.
 */
void
attempt_expire(struct attempt *a, uint32_t i, struct str why);
/* The slot is damaged (ERR_CORRUPT) or gone: nothing can be delivered from it. a is gone, unless
 * the slot could not be put aside. */
void
attempt_slot_bad(struct attempt *a, enum err e);

/* attempt_local.c: the next transaction with those in SPOT_LOCAL, if none runs. */
void
attempt_local(struct attempt *a);
/* Everything here without callbacks. */
void
attempt_local_free(struct attempt *a);

/* attempt_relay.c */

/* Routes for all that are due. False: answers are still to come. */
bool
attempt_route(struct attempt *a);
/* Jobs with those in SPOT_REMOTE or called; who may not begin is parked. */
void
attempt_relay(struct attempt *a);
/* Jobs end as soon as it is known what became of them (queue stops). */
void
attempt_relay_stop(struct attempt *a);
/* Everything here without callbacks. */
void
attempt_relay_free(struct attempt *a);

#endif
