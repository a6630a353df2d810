/* FETCH: which messages, \Seen, and row by row (row.c), in steps. Called by step.c through the
 * table. \Seen is set first, by one update, so that every row can say the flags as they are; when
 * that fails (no space) the messages are given all the same.
 * RFC 3501 6.4.5, 7.4.2; RFC 7162 3.1.4; RFC 3516, RFC 8474, RFC 8514, RFC 8970, RFC 9394. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "imap/session/commands.h"
#include "imap/session/limit.h"
#include "imap/fetch/partial.h"
#include "imap/fetch/row.h"
#include "imap/session/write.h"
#include "imap/session/sync.h"

enum { LOOK_EVERY = 32, LOOK_LIGHT_EVERY = 512 };
enum { FETCH_BEGIN, FETCH_FILTER, FETCH_VANISHED, FETCH_MARKING, FETCH_ROWS };

void
end_fetch(struct cmd *c)
{
	struct fetch_state *st = c->state;

	if (st == NULL)
		return;
	uidset_fini(&st->uids);
	uidset_fini(&st->seen);
	uidset_fini(&st->asked);
	changed_fini(&st->changed);
	binary_fini(&st->binary);
	fetch_row_fini(&st->row);
	c->state = NULL;
}

static enum err
plan(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	const struct args_fetch *a = &c->a.fetch;
	bool light = true;

	st->plans = arena_calloc(s->arena, a->items_count + 1, sizeof *st->plans);
	if (st->plans == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < a->items_count; i++) {
		const struct fetch_item *item = &a->items[i];
		enum err e = ERR_OK;

		switch (item->kind) {
		case FETCH_UID:
			st->has_uid = true;
			break;
		case FETCH_FLAGS:
			st->has_flags = true;
			break;
		case FETCH_MODSEQ:
			st->has_modseq = true;
			break;
		case FETCH_INTERNALDATE:
		case FETCH_SIZE:
			break;
		case FETCH_SAVEDATE:
		case FETCH_EMAILID:
			light = false;
			break;
		case FETCH_THREADID:
		case FETCH_PREVIEW:
		case FETCH_ENVELOPE:
		case FETCH_BODY:
		case FETCH_BODYSTRUCTURE:
			st->needs_message = true;
			break;
		case FETCH_BINARY:
		case FETCH_BINARY_SIZE:
		case FETCH_SECTION:
		case FETCH_RFC822:
		case FETCH_RFC822_HEADER:
		case FETCH_RFC822_TEXT:
			e = section_plan(&st->plans[i], item, s->arena);
			st->needs_message |= st->plans[i].needs_message;
			if (st->plans[i].needs_file && section_ahead(item) > st->ahead_bytes)
				st->ahead_bytes = section_ahead(item);
			st->needs_file |= st->plans[i].needs_file;
			st->marks_seen |= !item->peek && !s->sel.read_only;
			break;
		}
		if (e != ERR_OK)
			return e;
	}
	st->plain =
		light && !st->needs_message && !st->needs_file && a->items_count <= PLAIN_ITEMS_MAX;
	return ERR_OK;
}

/* ---- \Seen ---- */

static void
on_marked(void *arg, enum err e, const struct flags_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;
	struct fetch_state *st = c->state;

	c->op = NULL;
	/* where nothing can be written mail can be read all the same; without a mailbox it cannot
	 */
	if (e == ERR_NOTFOUND)
		c->op_err = e;
	if (e == ERR_OK && r->changed.n != 0) {
		uidset_copy(&st->seen, &r->changed);
		told_set(&s->sel.told, &r->changed, r->modseq);
	}
	session_resume(s);
}

/* ERR_EXISTS: at least one message lacks \Seen; ERR_AGAIN: the step is full. */
static enum err
look_for_unseen(struct imap_session *s, struct fetch_state *st)
{
	int64_t began = clock_us();
	struct walk *w = &st->look;
	struct rows r;
	uint32_t uid;

	if (!walk_at(w, &st->uids, &uid))
		return ERR_OK;
	enum err e = rows_begin(&r, s, uid);

	if (e != ERR_OK)
		return e;
	for (unsigned n = 1; e == ERR_OK && walk_at(w, &st->uids, &uid); n++) {
		const struct entry *entry;

		e = rows_get(&r, uid, &entry);
		if (e == ERR_NOTFOUND)
			e = ERR_OK;
		else if (e == ERR_OK && (entry->flags & FLAG_SEEN) == 0)
			e = ERR_EXISTS;
		walk_step(w, &st->uids);
		if (e == ERR_OK && n % LOOK_LIGHT_EVERY == 0 && session_enough(s, began))
			e = ERR_AGAIN;
	}
	rows_end(&r);
	return e;
}

static enum step
mark(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	enum err e = look_for_unseen(s, st);

	if (e == ERR_AGAIN)
		return STEP_MORE;
	c->phase = FETCH_ROWS;
	if (e == ERR_OK)
		return STEP_MORE;
	if (e != ERR_EXISTS)
		return cmd_fail(s, c, e);
	struct flags_args args = {
		.mailbox = view_mailbox(s->sel.view),
		.uids = &st->uids,
		.mode = FLAGS_ADD,
		.flags = FLAG_SEEN,
	};
	c->op = store_flags(s->home, &args, on_marked, s);
	return STEP_WAIT;
}

/* ---- rows ---- */

/* ERR_AGAIN: the step is full; ERR_BUSY: as fetch_row_write. */
static enum err
write_rows(struct imap_session *s, struct cmd *c, struct fetch_state *st, struct rows *rows)
{
	int64_t began = clock_us();
	unsigned look_every = st->needs_file ? 1 : st->needs_message ? 4 : LOOK_EVERY;
	uint32_t uid;

	for (unsigned n = 1; walk_at(&st->walk, &st->uids, &uid); n++) {
		const struct entry *entry = &st->row.entry;
		enum err e = st->row.left ? ERR_OK : rows_get(rows, uid, &entry);

		if (e == ERR_OK)
			e = fetch_row_write(s, c, st, rows, entry, began);
		if (e == ERR_NOTFOUND) {
			st->missing = true;
			if (st->row.active)
				fetch_row_drop(s, c, st);
		} else if (e != ERR_OK) {
			return e;
		}
		walk_step(&st->walk, &st->uids);
		if (n % look_every == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	return ERR_OK;
}

void
fetch_give_up(struct imap_session *s, struct cmd *c)
{
	struct fetch_state *st = c->state;

	if (st != NULL && st->row.active)
		fetch_row_drop(s, c, st);
}

static enum step
fail_rows(struct imap_session *s, struct cmd *c, enum err e)
{
	fetch_give_up(s, c);
	return cmd_fail(s, c, e);
}

/* What could not be given is the client's to know, whatever else there is to say. */
static enum step
end_rows(struct cmd *c, const struct fetch_state *st)
{
	if (st->failed)
		return cmd_no(c, "SERVERBUG", "Some of the messages cannot be read");
	if (st->damaged)
		return cmd_no(c, "CORRUPTION", "Some of the messages are damaged");
	if (st->gone)
		return cmd_no(c, "EXPUNGEISSUED", "Some of the messages are not there any more");
	if (st->unknown_encoding)
		return cmd_no(c, "UNKNOWN-CTE", "A part is encoded in a way unknown here");
	if (st->missing && !c->uid)
		return cmd_no(c, "EXPUNGEISSUED", "Some of the messages no longer exist");
	return cmd_ok(c, "Fetched");
}

static enum step
fetch_rows(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	struct rows rows;
	uint32_t uid;

	if (walk_at(&st->walk, &st->uids, &uid)) {
		enum err e = rows_begin(&rows, s, uid);

		if (e == ERR_AGAIN)
			return STEP_MORE;
		if (e != ERR_OK)
			return fail_rows(s, c, e);
		e = write_rows(s, c, st, &rows);
		rows_end(&rows);
		if (e == ERR_AGAIN)
			return STEP_MORE;
		if (e == ERR_BUSY)
			return STEP_WAIT;
		if (e != ERR_OK)
			return fail_rows(s, c, e);
	}
	if (st->troubles_count > TROUBLES_LOGGED)
		log_event(LVL_ERROR, "imap.unreadable", log_z("sid", s->sid),
			log_n("files", (int64_t)st->troubles_count));
	return end_rows(c, st);
}

/* Before the set is cut down to what the view holds: "*" is the last UID that ever was. */
static enum err
ask_for_vanished(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	struct seq_set set = c->a.fetch.set;

	if (set.saved) {
		uidset_copy(&st->asked, &s->sel.saved);
		return ERR_OK;
	}
	set.r = arena_alloc(s->arena, set.n * sizeof *set.r);
	if (set.r == NULL)
		return ERR_LIMIT;
	memcpy(set.r, c->a.fetch.set.r, set.n * sizeof *set.r);
	seq_set_resolve(&set, view_uidnext(s->sel.view) - 1);
	for (size_t i = 0; i < set.n; i++)
		uidset_add(&st->asked, set.r[i].lo, set.r[i].hi);
	return ERR_OK;
}

static enum step
begin(struct imap_session *s, struct cmd *c)
{
	struct fetch_state *st = arena_calloc(s->arena, 1, sizeof *st);

	if (st == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	uidset_init(&st->uids);
	uidset_init(&st->seen);
	fetch_row_init(&st->row);
	c->state = st;
	enum err e = binary_init(&st->binary, s->arena, c->a.fetch.items_count);

	if (e == ERR_OK)
		e = plan(s, c, st);
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	if (c->a.fetch.vanished && (!c->uid || (s->modes & MODE_QRESYNC) == 0))
		return cmd_bad(c, "VANISHED needs UID FETCH, and ENABLE QRESYNC before");
	if (c->a.fetch.has_partial && !c->uid)
		return cmd_bad(c, "PARTIAL needs UID FETCH");
	if (c->a.fetch.vanished && ask_for_vanished(s, c, st) != ERR_OK)
		return cmd_fail(s, c, ERR_LIMIT);
	if (session_select_set(s, c, &c->a.fetch.set, &st->uids) != ERR_OK)
		return cmd_bad(c, "No such message");
	/* first the range, then what of it has changed: RFC 9394 3.4 */
	if (c->a.fetch.has_partial)
		partial_keep(&st->uids, &c->a.fetch.partial);
	if (c->a.fetch.has_partial && limit_exceeded(s, uidset_count(&st->uids)))
		return limit_refuse(s, c);
	if (st->has_modseq)
		session_condstore(s);
	if (c->a.fetch.has_changed_since)
		changed_init(&st->changed, s, c->a.fetch.changed_since);
	c->phase = FETCH_FILTER;
	return STEP_MORE;
}

/* Leaves only what changed since; then \Seen is set on those alone. */
static enum step
filter(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	if (c->a.fetch.has_changed_since) {
		enum err e = changed_filter(&st->changed, s, &st->uids);

		if (e == ERR_AGAIN)
			return STEP_MORE;
		if (e != ERR_OK)
			return cmd_fail(s, c, e);
	}
	if (!c->own)
		limit_uids(s, c, &st->uids);
	if (c->a.fetch.vanished) {
		struct uidset gone = { 0 };

		changed_vanished(&st->changed, s->sel.view, &st->asked, &gone);
		uidset_fini(&st->asked);
		st->asked = gone;
		st->vanished_left = gone.n;
	}
	c->phase = FETCH_VANISHED;
	return STEP_MORE;
}

enum step
run_fetch(struct imap_session *s, struct cmd *c)
{
	struct fetch_state *st = c->state;

	if (c->op_err != ERR_OK)
		return cmd_fail(s, c, c->op_err);
	if (c->phase == FETCH_BEGIN) {
		enum step step = begin(s, c);

		st = c->state;
		if (step != STEP_MORE)
			return step;
	}
	if (c->phase == FETCH_FILTER) {
		enum step step = filter(s, c, st);

		if (c->phase == FETCH_FILTER)
			return step;
	}
	if (c->phase == FETCH_VANISHED) {
		if (sync_vanished(s, &st->asked, &st->vanished_left, true) == ERR_AGAIN)
			return STEP_MORE;
		c->phase = st->marks_seen && st->uids.n != 0 ? FETCH_MARKING : FETCH_ROWS;
	}
	if (c->phase == FETCH_MARKING)
		return mark(s, c, st);
	return fetch_rows(s, c, st);
}
