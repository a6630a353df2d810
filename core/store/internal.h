#ifndef POSTROOM_STORE_INTERNAL_H
#define POSTROOM_STORE_INTERNAL_H

#include "core/base/hmap.h"
#include "core/store/rows.h"
#include "core/store/store.h"

/* What the files of core/store share about homes and their queues of updates. Everything runs on
 * the loop unless it says pool. */

enum sync_dirs { SYNC_DIRS_AUTO, SYNC_DIRS_YES, SYNC_DIRS_NO };

struct default_mailbox {
	char *name;
	unsigned special_use;
};

struct store {
	struct loop *loop;
	struct pool *pool;
	struct hmap homes;   /* by path */
	struct list idle;    /* open, unpinned: the oldest first */
	struct list busy;    /* homes with queued updates */
	struct list claimed; /* claims that are not written yet, a home each */
	unsigned open_count, closing_count, open_max;
	int64_t rest_ms; /* 0: idle homes stay open */
	uint64_t map_initial;
	enum sync_dirs sync_dirs;
	struct default_mailbox *defaults;
	size_t defaults_count;
	unsigned background; /* fire-and-forget jobs on the pool */
	bool stopping;
	struct loop_timer tick;
	/* watch.c */
	int inotify;
	struct loop_io inotify_io;
	struct loop_timer inotify_rest; /* nothing is read meanwhile */
	struct hmap watched;		/* by watch descriptor */
	unsigned watch_count;
	int64_t poll_ms;
};

enum home_state {
	HOME_CLOSED,
	HOME_WORKING, /* the pool opens, closes or syncs it */
	HOME_OPEN,
	HOME_POISONED, /* a sync failed: nothing is read or written until retry_ms */
};

enum batch_outcome {
	BATCH_DONE,   /* results stand in the updates */
	BATCH_GROW,   /* the map is full */
	BATCH_REOPEN, /* the map was resized, or the file replaced */
	BATCH_SPLIT,  /* one of several updates spoiled it: run them one by one */
	BATCH_POISON, /* the commit failed */
};

/* A change: run on the pool, maybe more than once, with nothing of the loop's; done on the loop
 * after the commit. Both get u back. run resets its results, reads t, adds to t->writes. */
struct update {
	enum err (*run)(struct update *u, struct txn *t);
	void (*done)(struct update *u, enum err e);
	/* NULL, or what has to be durable before: called once, on the pool, before the batch takes
	 * the write lock. Unless it returns ERR_OK that is the update's result, and run is not
	 * called. Others of the home wait for it, so only who finds home_rests gives one. */
	enum err (*prepare)(struct update *u);
	/* private to commit.c */
	struct list link;
	struct home *home;
	int64_t queued_ms;
	enum err prepared; /* what prepare returned */
	enum err result;
	bool reached;
	bool garbage;
};

struct home {
	struct hmap_node node;
	struct store *store;
	char *path, *index_path;
	unsigned refs, pins, reads;
	enum home_state state;
	struct kv *kv;
	bool sync_dir, dirs_known;
	struct list idle_link;
	int64_t idle_ms; /* since when */
	struct list waiters;
	struct list views;
	const char *why;

	/* The pool's work on the handle. */
	struct pool_job job;
	bool job_busy, job_close, job_open, job_sync;
	enum err job_result;
	uint64_t job_version;
	bool job_garbage, job_sync_failed;
	bool want_close, want_reopen, want_sync;
	uint64_t map_bytes; /* 0: as configured */
	int64_t retry_ms, backoff_ms;

	/* Updates: waiting, and the batch that the pool runs. */
	struct list queue;
	struct list busy_link;
	struct list batch;
	struct pool_job batch_job;
	bool batch_busy;
	enum batch_outcome outcome;
	unsigned single_left;		       /* so many updates run alone */
	struct quota_limit quota, batch_quota; /* what the loop set, what the batch goes by */
	uint64_t batch_version;
	struct claims *claims; /* claim.c; NULL: none */

	/* watch.c */
	struct list watches;
	unsigned watch_n;
	struct hmap_node watch_node;
	int wd;
	uint64_t seen_version;
	struct loop_timer look_timer;
	unsigned look_step;

	/* garbage.c */
	struct loop_timer garbage_timer;
	bool garbage_busy, garbage_again, garbage_again_now;
	bool garbage_left;   /* a walk over its rows passed some that stay */
	uint64_t garbage_at; /* where that walk goes on; 0: at the beginning */
};

/* home.c */
/* Starts whatever the state asks for: the one place that does. */
void
home_step(struct home *h);
/* ERR_TEMP for all who wait, closed when idle, tried again after a back-off. */
void
home_poison(struct home *h, const char *why);
/* A pin for somebody who knows that the home is open. */
void
home_pin_again(struct home *h);

/* commit.c */
void
home_submit(struct home *h, struct update *u);
/* The same, and the caller calls home_step. */
void
home_enqueue(struct home *h, struct update *u);
/* No update of it waits or runs, and one that is submitted now will be tried. */
bool
home_rests(const struct home *h);
/* Starts a batch when the home is open, idle and has updates. True: one runs. */
bool
commit_start(struct home *h);
/* Everything queued fails. */
void
commit_fail_all(struct home *h, enum err e);
/* Updates queued for longer than 10 s fail. */
void
commit_expire(struct home *h, int64_t now_ms);
/* A job of the pool that waited longer than that is not begun any more. Any thread. */
bool
commit_too_late(int64_t queued_ms);
/* Ten seconds; shorter for tests. */
void
commit_set_patience(int64_t ms);

/* setup.c, on the pool: schema, INBOX and the default mailboxes where they are missing; a read of
 * every mailbox row after poisoning. */
MUST_USE enum err
home_setup(struct store *s, struct pool *p, struct kv *kv, const char *home, bool *has_garbage_out);

/* upgrade.c, on the pool: from SCHEMA_OLDER to SCHEMA_VERSION, as long as it takes (every message
 * is read once), in commits that may be interrupted and gone on with. ERR_LIMIT: the map is full;
 * ERR_DENIED: no space on the disk; ERR_TEMP, ERR_CORRUPT. */
MUST_USE enum err
home_upgrade(struct pool *p, struct kv *kv, const char *home);

/* claim.c */
/* Into the queue with what was claimed: whoever is about to start a batch. */
void
claims_join(struct home *h);
/* What nothing took along for a second is written by itself; at once when the store stops. */
void
claims_tick(struct store *s, int64_t now_ms);
void
claims_free(struct home *h);

/* watch.c */
void
watch_init(struct store *s);
void
watch_fini(struct store *s);
/* The home's index was opened, or a batch was committed: version is what a snapshot has. */
void
watch_seen(struct home *h, uint64_t version, bool tell);
void
watch_home_init(struct home *h);
void
watch_home_fini(struct home *h);
void
watch_tick(struct store *s, int64_t now_ms);

/* op.c */
/* Entries that one update changes: 16,384; fewer for tests, before anything is changed. */
void
op_set_entries_max(size_t n);

/* garbage.c */
void
garbage_init(struct home *h);
/* The home has garbage: look again when it is old enough. */
void
garbage_schedule(struct home *h);
/* A mailbox was deleted: take it apart soon. */
void
garbage_schedule_now(struct home *h);
/* Ten minutes; shorter for tests. */
void
garbage_set_grace(int64_t ms);

/* Runs fn(arg) on the pool and forgets it; store_free waits for it. */
void
store_background(struct store *s, enum pool_class class, void (*fn)(void *arg), void *arg);

#endif
