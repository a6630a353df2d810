/* APPEND and REPLACE: bodies become durable one by one as they come, then one update makes all
 * their entries. A single small one becomes durable in the update's own job while nothing else of
 * the home is under way: one way to the pool and back instead of two. Called by imap. Invariant: a
 * body that no entry will name is dropped, whether the set is given up before the update or the
 * update fails; only after a commit of unknown end it stays for the check. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/store/blob.h"
#include "core/store/op.h"
#include "core/store/put.h"

enum {
	PUTS_MAX = 4,			  /* of one set, at once */
	SET_ROWS_BYTES = 16 * 1024 * 1024 /* rows of a set's messages wait in memory */
};

struct message {
	struct list link;
	struct append_set *set;
	struct body *body;
	struct home_wait wait;
	struct append_args a;
	struct str *keywords;
	bool pinned, durable;
};

struct append_set {
	struct store_op op;
	struct list messages;
	struct message *late; /* becomes durable with the commit */
	size_t count, unsettled;
	size_t rows_bytes;
	enum err err; /* why it cannot be committed any more */
	bool committing, abandoned;
	void (*room)(void *arg);
	void *room_arg;
	bool wants_room;
	char *mailbox;
	struct append_commit a;
	append_fn done;
	void *arg;
	struct append_result r;
};

struct drop {
	char *home;
	size_t n;
	uint64_t id[];
};

static void
drop_run(void *arg)
{
	struct drop *d = arg;

	/* What stays is an orphan, for the check. */
	for (size_t i = 0; i < d->n; i++)
		(void)blob_drop(d->home, d->id[i]);
	free(d->home);
	free(d);
}

static struct message *
message_of(struct list *node)
{
	return CONTAINER_OF(node, struct message, link);
}

/* The index never named them. */
static void
drop_bodies(struct append_set *set)
{
	struct home *h = set->op.home;
	struct drop *d = xcalloc(1, sizeof *d + set->count * sizeof d->id[0]);

	LIST_FOREACH (n, &set->messages) {
		const struct message *m = message_of(n);

		/* an id that was not put may be another message's */
		if (m->durable)
			d->id[d->n++] = body_stored(m->body)->id;
	}
	d->home = str_dup(home_path(h));
	store_background(home_store(h), POOL_SYNC, drop_run, d);
}

static void
set_free(struct append_set *set)
{
	while (!list_empty(&set->messages)) {
		struct message *m = message_of(set->messages.next);

		list_remove(&m->link);
		body_free(m->body);
		for (size_t i = 0; i < m->a.keywords_count; i++)
			free((char *)(uintptr_t)m->keywords[i].p);
		free(m->keywords);
		free(m);
	}
	free(set->mailbox);
	op_fini(&set->op);
	free(set);
}

static void
finish(struct append_set *set, enum err e)
{
	/* After ERR_TEMP of a commit it is not certain that the index does not name them. */
	if (set->count != 0 && e != ERR_OK && (e != ERR_TEMP || set->err != ERR_OK))
		drop_bodies(set);
	if (!set->op.forgotten)
		set->done(set->arg, e, &set->r);
	set_free(set);
}

/* REPLACE: the old message goes in the same transaction. to: the row of the target, which may be
 * the same mailbox; edited, not put. RFC 8508 3. */
static enum err
remove_replaced(struct append_set *set, struct txn *t, struct mailbox_row *to, int64_t now)
{
	struct mailbox_row other, *row = to;
	struct chunk_edit chunk = { .loaded = false };
	struct uidset gone;
	struct entry entry;
	struct key k;
	uint32_t uid = set->a.replaced_uid;
	enum err e = ERR_OK;

	if (set->a.replaced_mailbox != to->id) {
		row = &other;
		e = op_row_by_id(t, set->a.replaced_mailbox, row);
	}
	if (e == ERR_OK)
		e = entry_get(t, row->id, uid, &entry);
	set->r.replaced_gone = e == ERR_NOTFOUND;
	if (e != ERR_OK)
		return e;
	row_count_out(t, row, &entry);
	row->highestmodseq++;
	writes_del_once(t->writes, KV_ENTRY, key_2u32(&k, row->id, uid));
	e = chunk_edit_set(&chunk, t, row->id, uid, false, false);
	chunk_edit_flush(&chunk, t);
	if (e == ERR_OK)
		e = ref_drop(t, entry.msg, now);
	if (e != ERR_OK)
		return e;
	uidset_init(&gone);
	uidset_add(&gone, uid, uid);
	e = change_add(t, row, CHANGE_EXPUNGE, &gone);
	uidset_fini(&gone);
	if (row != to)
		mailbox_row_put(t, row);
	return e;
}

static enum err
append_one(struct txn *t, struct message *m, struct mailbox_row *row, struct chunk_edit *chunk,
	int64_t now)
{
	const struct stored *s = body_stored(m->body);
	struct entry entry = {
		.msg = s->id,
		.flags = m->a.flags & FLAG_ALL,
		.internal_sec = m->a.has_internal_date ? m->a.internal_sec : now / 1000,
		.internal_zone_min = m->a.has_internal_date ? m->a.internal_zone_min : 0,
		.save_ms = now,
		.size = s->size,
	};
	enum err e =
		keywords_bits(t, row->id, m->keywords, m->a.keywords_count, true, &entry.keywords);

	if (e == ERR_OK)
		e = stored_write(t, s->id, s->put_ms, s);
	return e == ERR_OK ? entry_append(t, row, chunk, &entry) : e;
}

static enum err
append_run(struct update *u, struct txn *t)
{
	struct append_set *set = CONTAINER_OF(u, struct append_set, op.update);
	struct mailbox_row row;
	struct chunk_edit chunk = { .loaded = false };
	int64_t now = clock_wall_ms();

	set->r = (struct append_result){ .uid = 0 };
	enum err e = set->err != ERR_OK ? set->err : op_row_by_path(t, str_of(set->mailbox), &row);

	if (e == ERR_OK && set->a.replaced_uid != 0)
		e = remove_replaced(set, t, &row, now);
	if (e != ERR_OK)
		return e;
	row.highestmodseq++;
	set->r = (struct append_result){
		.mailbox = row.id,
		.uidvalidity = row.uidvalidity,
		.uid = row.uidnext,
		.count = (uint32_t)set->count,
		.modseq = row.highestmodseq,
	};
	LIST_FOREACH (n, &set->messages) {
		e = append_one(t, message_of(n), &row, &chunk, now);
		if (e != ERR_OK)
			return e;
	}
	chunk_edit_flush(&chunk, t);
	mailbox_row_put(t, &row);
	return ERR_OK;
}

static enum err
append_prepare(struct update *u)
{
	struct append_set *set = CONTAINER_OF(u, struct append_set, op.update);
	enum err e = ERR_TEMP;

	if (!commit_too_late(u->queued_ms))
		e = body_put_now(set->late->body, set->op.home);
	set->late->durable = e == ERR_OK;
	return e;
}

static void
append_done(struct update *u, enum err e)
{
	struct append_set *set = CONTAINER_OF(u, struct append_set, op.update);

	if (set->late != NULL)
		body_put_ended(set->late->body);
	finish(set, e);
}

/* A body is durable, or failed: go on with what waited for it. */
static void
settled(struct append_set *set)
{
	if (set->unsettled == 0 && set->abandoned) {
		drop_bodies(set);
		set_free(set);
		return;
	}
	if (set->unsettled == 0 && set->committing) {
		if (set->err != ERR_OK)
			finish(set, set->err);
		else
			home_submit(set->op.home, &set->op.update);
		return;
	}
	if (set->wants_room && !append_set_full(set)) {
		set->wants_room = false;
		if (set->room != NULL)
			set->room(set->room_arg);
	}
}

static void
on_put(void *arg, enum err e)
{
	struct message *m = arg;
	struct append_set *set = m->set;
	const struct stored *s = body_stored(m->body);

	if (m->pinned)
		home_unpin(set->op.home);
	m->pinned = false;
	m->durable = e == ERR_OK;
	set->unsettled--;
	body_settle(m->body);
	set->rows_bytes += s->record.cap + s->cache.cap;
	if (e == ERR_OK && set->count > 1 && set->rows_bytes > SET_ROWS_BYTES)
		e = ERR_LIMIT;
	if (set->err == ERR_OK)
		set->err = e;
	settled(set);
}

static void
on_pin(struct home_wait *w, enum err e)
{
	struct message *m = w->arg;

	m->pinned = e == ERR_OK;
	if (e == ERR_OK) {
		body_put(m->body, m->set->op.home, on_put, m);
		return;
	}
	on_put(m, e == ERR_CORRUPT ? e : ERR_TEMP);
}

struct append_set *
append_set_new(struct home *h)
{
	struct append_set *set = xcalloc(1, sizeof *set);

	op_init(&set->op, h, append_run, append_done);
	list_init(&set->messages);
	return set;
}

void
append_set_on_room(struct append_set *set, void (*room)(void *arg), void *arg)
{
	set->room = room;
	set->room_arg = arg;
}

bool
append_set_full(struct append_set *set)
{
	set->wants_room = set->unsettled >= PUTS_MAX;
	return set->wants_room;
}

enum err
append_set_error(const struct append_set *set)
{
	return set->err;
}

size_t
append_set_count(const struct append_set *set)
{
	return set->count;
}

static void
put_start(struct message *m)
{
	struct append_set *set = m->set;
	struct home *h = set->op.home;

	set->unsettled++;
	m->wait.fn = on_pin;
	m->wait.arg = m;
	enum err e = home_pin(h, &m->wait);

	m->pinned = e == ERR_OK;
	if (e == ERR_OK)
		body_put(m->body, h, on_put, m);
	else if (e != ERR_AGAIN)
		body_put_refused(m->body, on_put, m);
}

static void
put_late(struct append_set *set)
{
	struct message *m = set->late;

	set->late = NULL;
	if (m != NULL)
		put_start(m);
}

void
append_set_add(struct append_set *set, const struct append_args *a)
{
	struct message *m = xcalloc(1, sizeof *m);

	put_late(set);
	m->set = set;
	m->a = *a;
	m->body = a->body;
	m->keywords = xcalloc(a->keywords_count, sizeof *m->keywords);
	for (size_t i = 0; i < a->keywords_count; i++)
		m->keywords[i] = str_n(str_dup(a->keywords[i]), a->keywords[i].n);
	list_push_back(&set->messages, &m->link);
	set->count++;
	if (set->count == 1 && a->last && body_in_memory(m->body))
		set->late = m;
	else
		put_start(m);
}

void
append_set_free(struct append_set *set)
{
	if (set == NULL)
		return;
	set->room = NULL;
	set->abandoned = true;
	if (set->count == 0)
		set_free(set);
	else if (set->unsettled == 0)
		settled(set);
}

struct store_op *
append_set_commit(struct append_set *set, const struct append_commit *a, append_fn done, void *arg)
{
	set->room = NULL;
	set->mailbox = str_dup(a->mailbox);
	set->a = *a;
	set->done = done;
	set->arg = arg;
	set->committing = true;
	if (set->late != NULL && home_rests(set->op.home))
		set->op.update.prepare = append_prepare;
	else
		put_late(set);
	/* what failed before is answered by the update: never inside this call */
	if (set->unsettled == 0)
		home_submit(set->op.home, &set->op.update);
	return &set->op;
}

struct store_op *
store_append(struct home *h, const struct append_args *a, append_fn done, void *arg)
{
	struct append_set *set = append_set_new(h);
	const struct append_commit c = { .mailbox = a->mailbox };
	struct append_args last = *a;

	last.last = true;
	append_set_add(set, &last);
	return append_set_commit(set, &c, done, arg);
}
