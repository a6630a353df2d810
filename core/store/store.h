#ifndef POSTROOM_STORE_STORE_H
#define POSTROOM_STORE_STORE_H

#include "config/settings.h"
#include "core/event/loop.h"
#include "core/event/pool.h"

/* The mail store of one process: one table of homes, a bounded number of them open.
 * All calls run on the loop's thread; what may wait for a disk or for another
 * process's lock runs on the pool and answers by a callback from the loop, never
 * inside the call that asked. No process forks with a store. */
struct store;

/* Keeps l and p; copies what it needs of set (store.*, imap.mailboxes_default, mail_root). */
struct store *
store_new(struct loop *l, struct pool *p, const struct settings *set);
/* Finishes what was asked for (callbacks come before this returns; forget the ops whose owners are
 * gone), closes every home. Handles die with it: views, watches and references are given
 * back before. Before pool_free, not from inside a callback of the store or the pool. */
void
store_free(struct store *s);
/* Homes that nobody has pinned for so long are closed, not only those beyond the bound: an open one
 * holds 30 KiB and the pages of its index that were looked at. Opening it again takes about as long
 * as a commit. */
void
store_close_resting(struct store *s, int64_t rest_ms);
/* Another process that opens homes died (role's child_died): open homes are synced and
 * their dead readers dropped before anything is read again. */
void
store_child_died(struct store *s);

/* One user's home, by its absolute path; one handle for all who ask. Holding a reference
 * keeps no file open: an idle session has a reference and no pin. */
struct home;

/* path: absolute, canonical, at most 1,000 bytes. ERR_SYNTAX. *out: a reference. */
MUST_USE enum err
home_get(struct store *s, struct str path, struct home **out);
struct home *
home_ref(struct home *h);
void
home_unref(struct home *h);
struct str
home_path(const struct home *h);
struct store *
home_store(const struct home *h);
/* Why the last open or commit failed, for the log. Dies with the next call on h. */
const char *
home_error(const struct home *h);

/* A pin keeps the index open; take one for a step or a command, not for a session.
 * A home that is not there yet is created with INBOX and the default mailboxes. */
struct home_wait {
	/* ERR_OK: pinned now. ERR_TEMP: cannot be opened now (home_error); not pinned.
	 * ERR_CORRUPT: damaged index. ERR_DENIED: on NFS. */
	void (*fn)(struct home_wait *w, enum err e);
	void *arg;
	/* private */
	struct list link;
	struct home *home;
	bool active;
};
/* ERR_OK: open, pinned, w is not used. ERR_AGAIN: w->fn (set it and arg before) is called
 * later; keeps w until then. ERR_TEMP: poisoned, try later. */
MUST_USE enum err
home_pin(struct home *h, struct home_wait *w);
/* w->fn will not be called, the pin is given back. Harmless when w does not wait. */
void
home_pin_cancel(struct home_wait *w);
void
home_unpin(struct home *h);

/* One read step: begin, read, end, all before the callback returns to the loop. Everything
 * read in between comes from one snapshot and dies with store_read_end.
 * h must be pinned. ERR_AGAIN: the index is being reopened (it grew, or a process died):
 * end the step, home_unpin, home_pin again. ERR_TEMP: poisoned. */
struct txn;
MUST_USE enum err
store_read_begin(struct home *h, struct txn **out);
void
store_read_end(struct txn *t);
struct home *
txn_home(const struct txn *t);
/* Grows with every commit of any process; equal numbers mean nothing changed in between. */
uint64_t
txn_version(const struct txn *t);

/* "Something changed, look": called from the loop after a commit of this or another process
 * to the home; may come without reason, several may merge into one. A watch keeps a
 * reference and no pin. Starting it says nothing about the past: look once after it. */
struct home_watch {
	void (*fn)(struct home_watch *w);
	void *arg;
	/* private */
	struct list link;
	struct home *home;
};
void
home_watch_start(struct home_watch *w, struct home *h, void (*fn)(struct home_watch *), void *arg);
/* Harmless when not started (zeroed). */
void
home_watch_stop(struct home_watch *w);

#endif
