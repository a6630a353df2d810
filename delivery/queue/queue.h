#ifndef POSTROOM_QUEUE_QUEUE_H
#define POSTROOM_QUEUE_QUEUE_H

#include "core/base/hmap.h"
#include "core/event/pool.h"
#include "delivery/queue/client.h"
#include "delivery/queue/expand.h"
#include "delivery/queue/hop.h"
#include "delivery/queue/route.h"
#include "delivery/queue/state.h"
#include "delivery/relay/relay.h"
#include "delivery/spool/server.h"

/* The queue as its own files see it: which messages wait, until when, and which are being worked
 * on. What is known of a waiting message is its id and its time; the rest is in queue.mdb and in
 * its slot. Wall-clock milliseconds everywhere, so that times survive a restart. */
struct queue_options {
	struct str spool_dir;
	struct str lmtp_address;
	struct str directory_address;
	struct str hostname;
	struct str default_domain;
	unsigned concurrency;
	int64_t retry_min_ms, retry_max_ms, lifetime_ms;
	int64_t delay_notice_ms;  /* 0: never */
	struct str postmaster;	  /* who gets what its sender cannot be told; empty: nobody */
	uint64_t bounce_size_max; /* of messages that reports hold whole */
	uint32_t expansion_max;
	uint64_t reserve_bytes;
	unsigned slots_ahead;
	size_t map_bytes;		 /* first size of queue.mdb's map */
	const char *relay_path;		 /* the socket; NULL: there is no relay */
	const struct settings *settings; /* for routes; see router_new */
};

enum message_state {
	MESSAGE_WAITING, /* in the heap until next_ms; perhaps also in lines of next hops */
	MESSAGE_READY,	 /* in the list of those that are new or called, or of the others */
	MESSAGE_ACTIVE,	 /* an attempt works on it */
	MESSAGE_TAKEN,	 /* admin.c changes its record */
	MESSAGE_HELD,	 /* until somebody releases it */
};

struct message {
	struct hmap_node node;
	struct list link;
	char id[SPOOL_NAME_LEN + 1];
	enum message_state state;
	bool recorded; /* queue.mdb has a record */
	bool urgent;   /* the next attempt is for all that waits, due or not */
	bool wake;     /* … and next hops that rest are asked all the same */
	bool hurried;  /* stands in line out of its time: urgent when it is called */
	uint16_t lost; /* connections lost in a row: for a short wait */
	uint32_t heap_index;
	int64_t next_ms;
	struct hop_waits waits;
	struct attempt *attempt; /* while it is active */
};

struct queue {
	struct loop *loop;
	struct pool *pool;
	struct queue_options o;
	struct state *state;
	struct spool_server *spool;
	struct clients *clients;
	struct domains *domains;
	struct expander *expander;
	struct hmap messages;
	struct message **heap;
	uint32_t heap_count, heap_room;
	struct router *router;
	struct hops *hops;
	struct relay_client *relay; /* NULL: there is none */
	/* New or called messages go before those whose time has come, but for each fourth one. */
	struct list fresh, ready;
	unsigned turn;
	struct list attempts;
	unsigned attempts_count; /* those that need lmtp, the directory or the disk */
	unsigned away_count;	 /* those that only relay works on */
	struct loop_timer timer;
	int64_t clock_ahead_ms; /* how far the wall clock was ahead of the other when last seen */
	struct loop_task task;
	/* Done messages whose record goes away once their file did. */
	struct buf finished; /* ids, SPOOL_NAME_LEN bytes each */
	struct loop_timer finished_timer;
	bool loading;
	bool stopping;
	void (*on_stopped)(void *arg);
	void *on_stopped_arg;
};

/* Opens spool and state, adopts what is there. Blocking, at start. Takes p; strings in o are kept.
 * ERR_TEMP,
 * ERR_BUSY (another queue runs on the folder), ERR_CORRUPT; text in err_out. */
MUST_USE enum err
queue_open(struct loop *l, struct pool *p, const struct queue_options *o, struct queue **out,
	const char **err_out);
/* Start no more attempts; fn once those that run are over and their state is on the disk. */
void
queue_stop(struct queue *q, void (*fn)(void *arg), void *arg);
/* After queue_stop's fn. Frees the pool, too. */
void
queue_close(struct queue *q);

/* Try everything that waits now, but for what is held; next hops that rest are asked again. Returns
 * how many messages that are. */
size_t
queue_flush(struct queue *q);

/* For admin.c: who changes a record takes its message out of the schedule first, so that no attempt
 * has another record of it in memory. Ends with one of the two below, or queue_finish. */

/* ERR_BUSY: it is being delivered, or somebody else has it; soon it will not be so. */
MUST_USE enum err
queue_take(struct queue *q, struct message *m);
/* Back to where it would be: held, or waiting for its time. */
void
queue_give_back(struct queue *q, struct message *m, bool held);
/* An attempt as soon as there is room, for all its recipients that wait, also at next hops that
 * rest. */
void
queue_hurry(struct queue *q, struct message *m);

/* Twice the longest wait from now: one that ends later was begun by another clock. */
int64_t
queue_latest_ms(const struct queue *q);

/* For attempt.c and report.c. */

/* A message that is new to us. recorded: queue.mdb has it. Ready at next_ms. */
struct message *
queue_add(struct queue *q, struct str id, bool recorded, int64_t next_ms);
/* An attempt is over: m waits until next_ms. */
void
queue_reschedule(struct queue *q, struct message *m, int64_t next_ms);
/* An attempt is over and nothing is left to do: the record that says so is durable. m is freed. */
void
queue_finish(struct queue *q, struct message *m);
/* An attempt is over and m cannot be delivered; its record is being removed. m is freed. */
void
queue_forget(struct queue *q, struct message *m);
/* An attempt waits for nothing but relay: its place is free for another. */
void
queue_attempt_away(struct queue *q);
/* It is over. */
void
queue_attempt_over(struct queue *q, bool away);
/* A put failed: the disk below the spool is not to be trusted. Ends the process. */
void
queue_disk_failed(struct queue *q);
/* The end of a put (arg: the queue) that nobody waits for. */
void
queue_put_done(void *arg, enum err e);

/* The settings changed: limits and routes from now on. */
void
queue_set(struct queue *q, const struct queue_options *o);

/* attempt.c: take m (MESSAGE_ACTIVE) and work on it. */
void
attempt_start(struct queue *q, struct message *m);
/* A place at a next hop is kept for it. */
void
attempt_called(struct attempt *a);
/* The queue stops. */
void
attempts_stop(struct queue *q);

#endif
