/* Messages that no entry names any more, and mailboxes that were deleted. The index forgets a
 * message by a row in garbage; ten minutes later its file is unlinked, then its rows go. Scheduled
 * by commit.c and by opening a home, so that what a dead process left behind is found. Invariant: a
 * round looks at a few thousand rows at most and the next goes on behind them, so however much was
 * expunged, the loop is not held up; what a walk has passed and left makes another walk. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/blob.h"
#include "core/store/internal.h"
#include "core/store/record.h"
#include "core/store/thread.h"

enum {
	GRACE_MS = 10 * 60 * 1000,
	SLACK_MS = 1000,
	IDS_MAX = 1000,	    /* messages a round */
	ROWS_MAX = 4096,    /* looked at by a round */
	ENTRIES_MAX = 8192, /* of a dying mailbox a round */
};

struct sweep {
	struct home *home;
	struct home_wait wait;
	struct pool_job job;
	struct update update;
	uint64_t ids[IDS_MAX];
	size_t n;
	uint32_t dying; /* a mailbox to take apart, 0: none */
	bool more;	/* rows were left: too young, or too many */
	bool full;	/* more than one round takes */
	bool now;
};

static int64_t grace_ms = GRACE_MS;

void
garbage_set_grace(int64_t ms)
{
	grace_ms = ms;
}

static void
sweep_end(struct sweep *s, bool again, bool now)
{
	struct home *h = s->home;

	/* What was made meanwhile may have come after this round looked. */
	h->garbage_left |= h->garbage_again || s->more;
	now |= h->garbage_again_now;
	again |= h->garbage_again || now;
	h->garbage_busy = h->garbage_again = h->garbage_again_now = false;
	free(s);
	if (again)
		loop_timer_start(&h->garbage_timer, now ? 1 : grace_ms + SLACK_MS);
	home_unpin(h);
	home_unref(h);
}

/* Entries of a deleted mailbox, its keywords, changes and bitmaps, and last its row. */
static enum err
drop_rows(struct txn *t, enum kv_table table, uint32_t mailbox, size_t *left)
{
	struct kv_cursor *c;
	struct key k = { .n = 0 };
	struct str key, v;
	struct entry entry;
	int64_t now = clock_wall_ms();
	enum err e = kv_cursor_open(t->kv, table, &c);

	if (e != ERR_OK)
		return e;
	key_u32(&k, mailbox);
	for (e = kv_cursor_seek(c, key_str(&k), &key, &v);
		e == ERR_OK && key.n >= 4 && be32_at(key, 0) == mailbox && *left > 0;
		e = kv_cursor_next(c, &key, &v)) {
		writes_del_once(t->writes, table, key);
		(*left)--;
		if (table == KV_ENTRY && ((e = entry_decode(0, v, &entry)) != ERR_OK ||
						 (e = ref_drop(t, entry.msg, now)) != ERR_OK))
			break;
	}
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

static enum err
drop_mailbox(struct txn *t, uint32_t mailbox, bool *more_out)
{
	static const enum kv_table tables[] = { KV_ENTRY, KV_UIDS, KV_CHANGE, KV_KEYWORD,
		KV_METADATA };
	size_t left = ENTRIES_MAX;
	struct mailbox_row row;
	struct key k = { .n = 0 };
	enum err e = mailbox_row_get(t, mailbox, &row);

	if (e == ERR_NOTFOUND)
		return ERR_OK;
	if (e != ERR_OK || !row.dying)
		return e;
	for (size_t i = 0; e == ERR_OK && left > 0 && i < ARRAY_LEN(tables); i++)
		e = drop_rows(t, tables[i], mailbox, &left);
	*more_out = true;
	if (e != ERR_OK || left == 0)
		return e;
	key_u32(&k, mailbox);
	writes_del(t->writes, KV_MAILBOX, key_str(&k));
	return ERR_OK;
}

/* The ids that a message brought. What cannot be read has none. */
static enum err
leave_thread(struct txn *t, uint64_t id)
{
	struct record r;
	struct str row, ids;
	struct key k;
	enum err e = txn_get(t, KV_MESSAGE, key_id(&k, id), &row);

	if (e == ERR_OK)
		e = record_decode(row, &r);
	if (e == ERR_OK)
		e = record_section(&r, STR_EMPTY, RECORD_IDS, &ids);
	if (e == ERR_OK)
		e = thread_leave(t, id, ids);
	return e == ERR_NOTFOUND || e == ERR_CORRUPT ? ERR_OK : e;
}

/* On the pool: the files are gone, now their rows; or a dying mailbox. */
static enum err
sweep_run(struct update *u, struct txn *t)
{
	struct sweep *s = CONTAINER_OF(u, struct sweep, update);
	static const enum kv_table tables[] = { KV_GARBAGE, KV_MESSAGE, KV_CACHE, KV_REF };
	struct key k;
	bool more = false;
	enum err e = ERR_OK;

	for (size_t i = 0; i < s->n && e == ERR_OK; i++) {
		e = leave_thread(t, s->ids[i]);
		for (size_t j = 0; j < ARRAY_LEN(tables); j++)
			writes_del_once(t->writes, tables[j], key_id(&k, s->ids[i]));
	}
	if (e == ERR_OK && s->dying != 0)
		e = drop_mailbox(t, s->dying, &more);
	s->now = more || s->full;
	return e;
}

static void
sweep_done(struct update *u, enum err e)
{
	struct sweep *s = CONTAINER_OF(u, struct sweep, update);

	if (e == ERR_OK && s->n > 0)
		log_event(LVL_INFO, "store.garbage", log_z("home", s->home->path),
			log_n("messages", (int64_t)s->n));
	/* what should have gone is still there */
	if (e != ERR_OK)
		s->home->garbage_at = 0;
	sweep_end(s, s->more || s->now || e != ERR_OK, s->now && e == ERR_OK);
}

static void
unlink_run(struct pool_job *j)
{
	struct sweep *s = CONTAINER_OF(j, struct sweep, job);
	size_t kept = 0;

	/* What cannot be unlinked keeps its row and is tried again. */
	for (size_t i = 0; i < s->n; i++)
		if (blob_drop(s->home->path, s->ids[i]) == ERR_OK)
			s->ids[kept++] = s->ids[i];
	s->more |= kept < s->n;
	s->n = kept;
}

static void
unlink_done(struct pool_job *j)
{
	struct sweep *s = CONTAINER_OF(j, struct sweep, job);

	s->home->store->background--;
	home_submit(s->home, &s->update);
}

/* Garbage that is old enough, from where the round before stopped. */
static enum err
collect_ids(struct sweep *s, struct txn *t)
{
	struct home *h = s->home;
	struct kv_cursor *c;
	struct key k;
	struct str key, v;
	int64_t since, now = clock_wall_ms();
	enum err e = kv_cursor_open(t->kv, KV_GARBAGE, &c);

	if (e != ERR_OK)
		return e;
	h->garbage_left &= h->garbage_at != 0;
	e = kv_cursor_seek(
		c, h->garbage_at != 0 ? key_id(&k, h->garbage_at) : STR("\x00"), &key, &v);
	for (size_t rows = 0; e == ERR_OK; e = kv_cursor_next(c, &key, &v), rows++) {
		if (key.n != 8 || v.n != 8)
			continue;
		if (s->n == IDS_MAX || rows >= ROWS_MAX) {
			s->full = true;
			h->garbage_at = be64_at(key, 0);
			break;
		}
		memcpy(&since, v.p, sizeof since);
		if (now - (int64_t)le64toh((uint64_t)since) < grace_ms)
			h->garbage_left = true;
		else
			s->ids[s->n++] = be64_at(key, 0);
	}
	kv_cursor_close(c);
	if (e == ERR_EOF) {
		h->garbage_at = 0;
		s->more |= h->garbage_left;
	}
	return e == ERR_EOF ? ERR_OK : e;
}

static enum err
collect(struct sweep *s, struct txn *t)
{
	struct kv_cursor *c;
	struct mailbox_row row;
	struct str key, v;
	enum err e = collect_ids(s, t);

	if (e != ERR_OK || (e = kv_cursor_open(t->kv, KV_MAILBOX, &c)) != ERR_OK)
		return e;
	for (e = kv_cursor_seek(c, STR("\x00"), &key, &v); e == ERR_OK && s->dying == 0;
		e = kv_cursor_next(c, &key, &v))
		if (key.n == 4 && mailbox_row_decode(be32_at(key, 0), v, &row) == ERR_OK &&
			row.dying)
			s->dying = row.id;
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

static void
sweep_pinned(struct home_wait *w, enum err e)
{
	struct sweep *s = w->arg;
	struct txn *t;

	if (e != ERR_OK) {
		home_pin_again(s->home); /* sweep_end gives one back */
		sweep_end(s, false, false);
		return;
	}
	e = store_read_begin(s->home, &t);
	if (e == ERR_OK) {
		e = collect(s, t);
		store_read_end(t);
	}
	if (e != ERR_OK || (s->n == 0 && s->dying == 0)) {
		bool now = e == ERR_AGAIN || (e == ERR_OK && s->full);

		sweep_end(s, now || s->more, now);
		return;
	}
	s->update.run = sweep_run;
	s->update.done = sweep_done;
	if (s->n == 0) {
		home_submit(s->home, &s->update);
		return;
	}
	s->job = (struct pool_job){ .run = unlink_run, .done = unlink_done, .class = POOL_SYNC };
	s->home->store->background++;
	pool_submit(s->home->store->pool, &s->job);
}

static void
on_garbage(struct loop_timer *t)
{
	struct home *h = t->arg;

	if (h->garbage_busy || h->store->stopping)
		return;
	struct sweep *s = xcalloc(1, sizeof *s);

	h->garbage_busy = true;
	s->home = home_ref(h);
	s->wait.fn = sweep_pinned;
	s->wait.arg = s;
	enum err e = home_pin(h, &s->wait);

	if (e != ERR_AGAIN)
		sweep_pinned(&s->wait, e);
}

void
garbage_init(struct home *h)
{
	loop_timer_init(&h->garbage_timer, h->store->loop, on_garbage, h);
}

void
garbage_schedule(struct home *h)
{
	h->garbage_again |= h->garbage_busy;
	h->garbage_left |= h->garbage_at != 0;
	if (!loop_timer_active(&h->garbage_timer) && !h->garbage_busy)
		loop_timer_start(&h->garbage_timer, grace_ms + SLACK_MS);
}

void
garbage_schedule_now(struct home *h)
{
	h->garbage_again_now |= h->garbage_busy;
	if (!h->garbage_busy)
		loop_timer_start(&h->garbage_timer, 1);
}
