/* APPEND: the body becomes durable, then one update makes its entry. Called by imap. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/store/blob.h"
#include "core/store/op.h"
#include "core/store/put.h"

struct append_op {
	struct store_op op;
	struct home_wait wait;
	struct body *body;
	struct str mailbox;
	struct str *keywords;
	struct append_args a;
	append_fn done;
	void *arg;
	bool pinned;
	struct append_result r;
};

struct drop {
	char *home;
	uint64_t id;
};

static void
drop_run(void *arg)
{
	struct drop *d = arg;

	/* What stays is an orphan, for the check. */
	(void)blob_drop(d->home, d->id);
	free(d->home);
	free(d);
}

static void
finish(struct append_op *op, enum err e)
{
	struct home *h = op->op.home;

	/* The index never named it. After ERR_TEMP that is not certain: the check decides. */
	if (op->body != NULL && e != ERR_OK && e != ERR_TEMP && body_stored(op->body)->id != 0) {
		struct drop *d = xcalloc(1, sizeof *d);

		d->home = str_dup(home_path(h));
		d->id = body_stored(op->body)->id;
		store_background(home_store(h), POOL_SYNC, drop_run, d);
	}
	if (!op->op.forgotten)
		op->done(op->arg, e, &op->r);
	if (op->pinned)
		home_unpin(h);
	body_free(op->body);
	for (size_t i = 0; i < op->a.keywords_count; i++)
		free((char *)(uintptr_t)op->keywords[i].p);
	free(op->keywords);
	free((char *)(uintptr_t)op->mailbox.p);
	op_fini(&op->op);
	free(op);
}

static enum err
append_run(struct update *u, struct txn *t)
{
	struct append_op *op = CONTAINER_OF(u, struct append_op, op.update);
	const struct stored *s = body_stored(op->body);
	struct mailbox_row row;
	struct chunk_edit chunk = { .loaded = false };
	int64_t now = clock_wall_ms();
	struct entry entry = {
		.msg = s->id,
		.flags = op->a.flags & FLAG_ALL,
		.internal_sec = op->a.has_internal_date ? op->a.internal_sec : now / 1000,
		.internal_zone_min = op->a.has_internal_date ? op->a.internal_zone_min : 0,
		.save_ms = now,
		.size = s->size,
	};
	enum err e = op_row_by_path(t, op->mailbox, &row);

	if (e == ERR_OK)
		e = keywords_bits(
			t, row.id, op->keywords, op->a.keywords_count, true, &entry.keywords);
	if (e == ERR_OK)
		e = stored_write(t, s->id, s->put_ms, s);
	if (e != ERR_OK)
		return e;
	row.highestmodseq++;
	if ((e = entry_append(t, &row, &chunk, &entry)) != ERR_OK)
		return e;
	chunk_edit_flush(&chunk, t);
	mailbox_row_put(t, &row);
	op->r = (struct append_result){
		.mailbox = row.id,
		.uidvalidity = row.uidvalidity,
		.uid = entry.uid,
		.modseq = entry.modseq,
	};
	return ERR_OK;
}

static void
append_done(struct update *u, enum err e)
{
	finish(CONTAINER_OF(u, struct append_op, op.update), e);
}

static void
on_put(void *arg, enum err e)
{
	struct append_op *op = arg;

	if (e != ERR_OK)
		finish(op, e);
	else
		home_submit(op->op.home, &op->op.update);
}

static void
on_pin(struct home_wait *w, enum err e)
{
	struct append_op *op = w->arg;

	op->pinned = e == ERR_OK;
	if (e != ERR_OK)
		finish(op, e == ERR_CORRUPT ? e : ERR_TEMP);
	else
		body_put(op->body, op->op.home, on_put, op);
}

/* The pool is a way to answer later, for the case that nothing can be done. */
static void
on_refused(void *arg, enum err e)
{
	(void)e;
	finish(arg, ERR_TEMP);
}

struct store_op *
store_append(struct home *h, const struct append_args *a, append_fn done, void *arg)
{
	struct append_op *op = xcalloc(1, sizeof *op);

	op_init(&op->op, h, append_run, append_done);
	op->a = *a;
	op->body = a->body;
	op->mailbox = str_n(str_dup(a->mailbox), a->mailbox.n);
	op->keywords = xcalloc(a->keywords_count, sizeof *op->keywords);
	for (size_t i = 0; i < a->keywords_count; i++)
		op->keywords[i] = str_n(str_dup(a->keywords[i]), a->keywords[i].n);
	op->done = done;
	op->arg = arg;
	op->wait.fn = on_pin;
	op->wait.arg = op;
	enum err e = home_pin(h, &op->wait);

	op->pinned = e == ERR_OK;
	if (e == ERR_OK)
		body_put(op->body, h, on_put, op);
	else if (e != ERR_AGAIN)
		body_put_refused(op->body, on_refused, op);
	return &op->op;
}
