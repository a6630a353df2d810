/* LMTP's delivery: one message into many homes; see deliver.h. Each recipient walks PIN → READY →
 * LINK → COMMIT by itself, so that one locked home holds up nobody: the first that is ready takes
 * the body, the others link that file, up to 32 in one job with one sync (all are names of one
 * inode). A small message to one recipient, of whose home nothing else is under way, becomes
 * durable in the job of its update: READY → COMMIT. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/blob.h"
#include "core/store/deliver.h"
#include "core/store/deliver_target.h"
#include "core/store/op.h"
#include "core/store/put.h"

enum {
	TIMEOUT_MS = 20 * 1000,
	LINKS_MAX = 32,
	ID_TIME_DIGITS = 16,
	LINK_TRIES = 4,
	TRIM_ROWS = 4,
	TRIM_LOOKS = 16,
};
#define DELIVERED_KEPT_MS ((int64_t)10 * 24 * 3600 * 1000)

enum rcpt_state {
	RCPT_WAIT,   /* for the home to open */
	RCPT_READY,  /* open, waits for the body */
	RCPT_PUT,    /* the body is written into this home */
	RCPT_LINK,   /* a job links the body */
	RCPT_COMMIT, /* the update is queued */
	RCPT_DONE,
};

enum { LATE_BUSY_MAX = 4 };

struct rcpt {
	struct deliver *d;
	struct home *home;
	struct deliver_rcpt to; /* home and the strings are ours */
	struct home_wait wait;
	struct update update;
	enum rcpt_state state;
	bool pinned, told, drop;
	bool late; /* the update's own job puts the body */
	uint64_t msg;
	int64_t put_ms;
};

struct link_job {
	struct pool_job job;
	struct deliver *d;
	struct rcpt *rcpt[LINKS_MAX];
	enum err result[LINKS_MAX];
	bool linked[LINKS_MAX]; /* result ERR_OK and a name of the source's file, not a copy */
	bool sync_failed[LINKS_MAX];
	size_t n;
};

struct deliver {
	struct store *store;
	struct body *body;
	struct rcpt *rcpt;
	size_t count, left, untold;
	struct rcpt *source; /* whose home holds the body */
	bool putting;
	deliver_fn done;
	void *arg;
	struct loop_timer timer;
	struct loop_task begin;
};

static void
step(struct deliver *d);

static void
tell(struct rcpt *r, enum err e)
{
	struct deliver *d = r->d;

	if (r->told)
		return;
	r->told = true;
	d->untold--;
	if (d->done != NULL)
		d->done(d->arg, (size_t)(r - d->rcpt), e, d->untold);
}

struct drops {
	size_t n;
	struct {
		char *home;
		uint64_t id;
	} v[];
};

static void
drops_run(void *arg)
{
	struct drops *list = arg;

	for (size_t i = 0; i < list->n; i++) {
		(void)blob_drop(list->v[i].home, list->v[i].id);
		free(list->v[i].home);
	}
	free(list);
}

static void
deliver_free(struct deliver *d)
{
	struct drops *list = xcalloc(1, sizeof *list + d->count * sizeof list->v[0]);

	for (size_t i = 0; i < d->count; i++)
		if (d->rcpt[i].drop) {
			list->v[list->n].home = str_dup(home_path(d->rcpt[i].home));
			list->v[list->n++].id = d->rcpt[i].msg;
		}
	if (list->n > 0)
		store_background(d->store, POOL_SYNC, drops_run, list);
	else
		free(list);
	loop_timer_stop(&d->timer);
	loop_task_cancel(&d->begin);
	body_free(d->body);
	for (size_t i = 0; i < d->count; i++) {
		if (d->rcpt[i].pinned)
			home_unpin(d->rcpt[i].home);
		home_unref(d->rcpt[i].home);
		free((char *)(uintptr_t)d->rcpt[i].to.mailbox.p);
		free((char *)(uintptr_t)d->rcpt[i].to.delivery_id.p);
	}
	free(d->rcpt);
	free(d);
}

/* This recipient is through. The batch is freed by step, which every callback ends with. */
static void
finish(struct rcpt *r, enum err e)
{
	r->state = RCPT_DONE;
	r->d->left--;
	/* Pins are given back now; the source's file may be needed until the end, its pin not. */
	if (r->pinned) {
		r->pinned = false;
		home_unpin(r->home);
	}
	tell(r, e);
}

static bool
delivery_id_ok(struct str id)
{
	if (id.n == 0)
		return true;
	if (id.n <= ID_TIME_DIGITS || id.n > DELIVERY_ID_MAX)
		return false;
	for (size_t i = 0; i < ID_TIME_DIGITS; i++)
		if (!ascii_is_digit(id.p[i]) && (id.p[i] < 'a' || id.p[i] > 'f'))
			return false;
	return true;
}

static int64_t
delivery_id_ms(struct str id)
{
	uint64_t ms = 0;

	for (size_t i = 0; i < ID_TIME_DIGITS && i < id.n; i++) {
		int c = id.p[i];

		ms = ms << 4 | (uint64_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	return ms > INT64_MAX ? INT64_MAX : (int64_t)ms;
}

/* Mailbox, UID, and when it was delivered: a message may have waited for weeks before. Rows of an
 * earlier version end behind the UID. */
static void
delivered_put(struct txn *t, struct str id, uint32_t mailbox, uint32_t uid, int64_t now_ms)
{
	struct key value = { .n = 0 };

	key_u32(&value, mailbox);
	key_u32(&value, uid);
	key_u32(&value, (uint32_t)(now_ms / 1000));
	writes_put_once(t->writes, KV_DELIVERED, id, key_str(&value));
}

static int64_t
delivered_ms(struct str id, struct str value)
{
	return value.n == 12 ? (int64_t)be32_at(value, 8) * 1000 : delivery_id_ms(id);
}

/* Delivery ids begin with the time at which the message was taken, so the oldest are the first. */
static enum err
trim_delivered(struct txn *t, int64_t now_ms)
{
	struct kv_cursor *c;
	struct str key, v;
	enum err e = kv_cursor_open(t->kv, KV_DELIVERED, &c);
	int trimmed = 0;

	if (e != ERR_OK)
		return e;
	e = kv_cursor_seek(c, STR("\x00"), &key, &v);
	for (int n = 0; e == ERR_OK && n < TRIM_LOOKS && trimmed < TRIM_ROWS &&
			now_ms - delivery_id_ms(key) > DELIVERED_KEPT_MS;
		e = kv_cursor_next(c, &key, &v), n++) {
		if (now_ms - delivered_ms(key, v) <= DELIVERED_KEPT_MS)
			continue;
		writes_del_once(t->writes, KV_DELIVERED, key);
		trimmed++;
	}
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

/* ERR_EXISTS: delivered before. */
static enum err
record_delivery(
	struct txn *t, struct rcpt *r, const struct mailbox_row *row, uint32_t uid, int64_t now_ms)
{
	if (r->to.delivery_id.n == 0)
		return ERR_OK;
	delivered_put(t, r->to.delivery_id, row->id, uid, now_ms);
	return trim_delivered(t, now_ms);
}

static enum err
deliver_run(struct update *u, struct txn *t)
{
	struct rcpt *r = CONTAINER_OF(u, struct rcpt, update);
	const struct stored *s = body_stored(r->d->body);
	struct chunk_edit chunk = { .loaded = false };
	struct mailbox_row row;
	struct str v;
	int64_t now = clock_wall_ms();
	struct entry entry = {
		.msg = r->msg,
		.internal_sec = now / 1000,
		.save_ms = now,
		.size = s->size,
	};
	enum err e = ERR_NOTFOUND;

	if (r->to.delivery_id.n > 0)
		e = kv_get(t->kv, KV_DELIVERED, r->to.delivery_id, &v);
	if (e != ERR_NOTFOUND)
		return e == ERR_OK ? ERR_EXISTS : e;
	if ((e = deliver_target(t, &r->to, &row)) != ERR_OK)
		return e;
	row.highestmodseq++;
	if ((e = stored_write(t, r->msg, r->put_ms, s)) == ERR_OK &&
		(e = entry_append(t, &row, &chunk, &entry)) == ERR_OK)
		e = record_delivery(t, r, &row, entry.uid, now);
	if (e != ERR_OK)
		return e;
	chunk_edit_flush(&chunk, t);
	mailbox_row_put(t, &row);
	return ERR_OK;
}

static void
deliver_done(struct update *u, enum err e)
{
	struct rcpt *r = CONTAINER_OF(u, struct rcpt, update);
	struct deliver *d = r->d;

	if (r->late)
		body_put_ended(d->body);
	if (u->prepared != ERR_OK) {
		finish(r, u->prepared == ERR_LIMIT ? ERR_LIMIT : ERR_TEMP);
		step(d);
		return;
	}
	/* After ERR_TEMP it is not certain that the index does not name the file. */
	r->drop = e != ERR_OK && e != ERR_TEMP;
	if (e == ERR_EXISTS)
		e = ERR_OK;
	else if (e != ERR_OK && e != ERR_CORRUPT && e != ERR_QUOTA)
		e = ERR_TEMP;
	finish(r, e);
	step(d);
}

static void
commit(struct rcpt *r)
{
	r->state = RCPT_COMMIT;
	r->update.run = deliver_run;
	r->update.done = deliver_done;
	home_submit(r->home, &r->update);
}

static enum err
deliver_prepare(struct update *u)
{
	struct rcpt *r = CONTAINER_OF(u, struct rcpt, update);
	enum err e = ERR_TEMP;

	if (!commit_too_late(u->queued_ms))
		e = body_put_now(r->d->body, r->home);
	if (e == ERR_OK) {
		r->msg = body_stored(r->d->body)->id;
		r->put_ms = body_stored(r->d->body)->put_ms;
	}
	return e;
}

/* The last link's sync carries the others; other folders need their own. A copy is synced. */
static void
sync_links(struct link_job *l)
{
	bool synced = false;

	for (size_t i = l->n; i-- > 0;) {
		const struct rcpt *r = l->rcpt[i];

		if (!l->linked[i] || (synced && !r->home->sync_dir))
			continue;
		synced = true;
		if (blob_sync(r->home->path, r->msg, r->home->sync_dir) == ERR_OK)
			continue;
		for (size_t k = 0; k < l->n; k++)
			if (l->linked[k]) {
				l->result[k] = ERR_TEMP;
				l->sync_failed[k] = true;
			}
	}
}

/* On the pool: names for up to 32 recipients, then one sync for all that are links. */
static void
link_run(struct pool_job *j)
{
	struct link_job *l = CONTAINER_OF(j, struct link_job, job);
	const struct rcpt *src = l->d->source;

	for (size_t i = 0; i < l->n; i++) {
		struct rcpt *r = l->rcpt[i];

		l->result[i] = ERR_EXISTS;
		for (int n = 0; l->result[i] == ERR_EXISTS && n < LINK_TRIES; n++) {
			r->put_ms = clock_wall_ms();
			r->msg = blob_id_new(r->put_ms);
			l->result[i] = blob_link(src->home->path, src->msg, r->home->path, r->msg,
				&l->linked[i], &l->sync_failed[i]);
		}
		/* Only a name that this job made may be taken back. */
		r->drop = l->result[i] == ERR_OK;
		l->linked[i] &= l->result[i] == ERR_OK;
	}
	sync_links(l);
}

static void
link_done(struct pool_job *j)
{
	struct link_job *l = CONTAINER_OF(j, struct link_job, job);
	struct deliver *d = l->d;

	for (size_t i = 0; i < l->n; i++) {
		if (l->sync_failed[i])
			home_poison(l->rcpt[i]->home, "a message could not be synced");
		if (l->result[i] == ERR_OK) {
			l->rcpt[i]->drop = false;
			commit(l->rcpt[i]);
			continue;
		}
		finish(l->rcpt[i], ERR_TEMP);
	}
	free(l);
	step(d);
}

static void
on_put(void *arg, enum err e)
{
	struct rcpt *r = arg;
	struct deliver *d = r->d;

	d->putting = false;
	if (e == ERR_OK) {
		r->msg = body_stored(d->body)->id;
		r->put_ms = body_stored(d->body)->put_ms;
		d->source = r;
		commit(r);
	} else {
		finish(r, e == ERR_LIMIT ? e : ERR_TEMP);
	}
	step(d);
}

static void
link_ready(struct deliver *d)
{
	struct link_job *l = NULL;

	for (size_t i = 0; i < d->count; i++) {
		struct rcpt *r = &d->rcpt[i];

		if (r->state != RCPT_READY)
			continue;
		if (l == NULL) {
			l = xcalloc(1, sizeof *l);
			l->d = d;
			l->job = (struct pool_job){
				.run = link_run,
				.done = link_done,
				.class = POOL_SYNC,
			};
		}
		r->state = RCPT_LINK;
		l->rcpt[l->n++] = r;
		if (l->n == LINKS_MAX) {
			pool_submit(d->store->pool, &l->job);
			l = NULL;
		}
	}
	if (l != NULL)
		pool_submit(d->store->pool, &l->job);
}

/* Starts what can be started; frees the batch after its last recipient. */
static void
step(struct deliver *d)
{
	if (d->left == 0) {
		deliver_free(d);
		return;
	}
	if (d->source != NULL) {
		link_ready(d);
		return;
	}
	for (size_t i = 0; i < d->count && !d->putting; i++) {
		struct rcpt *r = &d->rcpt[i];

		if (r->state != RCPT_READY)
			continue;
		d->putting = true;
		/* while many are under way, files of some and indexes of others share the disk
		 * better */
		r->late = d->count == 1 && body_in_memory(d->body) && home_rests(r->home) &&
			  pool_busy(home_store(r->home)->pool) < LATE_BUSY_MAX;
		if (r->late) {
			r->update.prepare = deliver_prepare;
			commit(r);
			return;
		}
		r->state = RCPT_PUT;
		body_put(d->body, r->home, on_put, r);
	}
}

/* A repeat is answered before anything is written. */
static enum err
delivered_before(struct rcpt *r, bool *out)
{
	struct txn *t;
	struct str v;

	*out = false;
	if (r->to.delivery_id.n == 0)
		return ERR_OK;
	enum err e = store_read_begin(r->home, &t);

	if (e != ERR_OK)
		return e;
	e = kv_get(t->kv, KV_DELIVERED, r->to.delivery_id, &v);
	store_read_end(t);
	*out = e == ERR_OK;
	return e == ERR_NOTFOUND ? ERR_OK : e;
}

static void
on_pin(struct home_wait *w, enum err e)
{
	struct rcpt *r = w->arg;
	struct deliver *d = r->d;
	bool before = false;

	r->pinned = e == ERR_OK;
	if (e == ERR_OK)
		e = delivered_before(r, &before);
	/* Being reopened: the update asks again. */
	if (e == ERR_AGAIN)
		e = ERR_OK;
	if (e != ERR_OK || before)
		finish(r, e == ERR_OK || e == ERR_CORRUPT ? e : ERR_TEMP);
	else
		r->state = RCPT_READY;
	step(d);
}

static void
on_begin(struct loop_task *task)
{
	struct deliver *d = task->arg;

	d->left++; /* step may not free while we walk */
	for (size_t i = 0; i < d->count; i++) {
		struct rcpt *r = &d->rcpt[i];
		enum err e = delivery_id_ok(r->to.delivery_id) ? home_pin(r->home, &r->wait)
							       : ERR_SYNTAX;

		if (e == ERR_SYNTAX)
			finish(r, e);
		else if (e != ERR_AGAIN)
			on_pin(&r->wait, e);
	}
	d->left--;
	step(d);
}

/* The time is up: those who are not through are answered; what is on its way goes on. */
static void
on_timeout(struct loop_timer *timer)
{
	struct deliver *d = timer->arg;

	d->left++;
	for (size_t i = 0; i < d->count; i++) {
		struct rcpt *r = &d->rcpt[i];

		if (r->state == RCPT_WAIT && r->wait.active) {
			home_pin_cancel(&r->wait);
			finish(r, ERR_TEMP);
		} else if (r->state == RCPT_READY) {
			finish(r, ERR_TEMP);
		} else {
			tell(r, ERR_TEMP);
		}
	}
	d->left--;
	step(d);
}

struct deliver *
store_deliver(struct store *s, const struct deliver_batch *b, deliver_fn done, void *arg)
{
	struct deliver *d = xcalloc(1, sizeof *d);

	d->store = s;
	d->body = b->body;
	d->count = d->left = d->untold = b->count;
	d->rcpt = xcalloc(b->count, sizeof *d->rcpt);
	d->done = done;
	d->arg = arg;
	for (size_t i = 0; i < b->count; i++) {
		struct rcpt *r = &d->rcpt[i];
		const struct deliver_rcpt *from = &b->rcpt[i];

		r->d = d;
		r->home = home_ref(from->home);
		r->to = *from;
		r->to.mailbox = deliver_mailbox(from->mailbox);
		r->to.delivery_id = str_n(str_dup(from->delivery_id), from->delivery_id.n);
		r->wait.fn = on_pin;
		r->wait.arg = r;
	}
	loop_timer_init(&d->timer, s->loop, on_timeout, d);
	loop_timer_start(&d->timer, b->timeout_ms > 0 ? b->timeout_ms : TIMEOUT_MS);
	loop_task_init(&d->begin, s->loop, on_begin, d);
	loop_task_queue(&d->begin);
	return d;
}

void
store_deliver_forget(struct deliver *d)
{
	d->done = NULL;
}
