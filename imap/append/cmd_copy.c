/* COPY, MOVE, EXPUNGE and their UID forms. Called by step.c through the table. The EXPUNGE lines
 * come from the session's look at the mailbox when the command ends. RFC 3501 6.4.3, 6.4.7;
 * RFC 4315; RFC 6851. */
#include "core/base/clock.h"
#include "imap/session/commands.h"
#include "imap/session/limit.h"
#include "imap/session/rows.h"

enum { LOOK_EVERY = 512 };
enum { EXPUNGE_BEGIN, EXPUNGE_MARKED, EXPUNGE_REMOVE, EXPUNGE_DONE };

struct copy_state {
	struct uidset uids;
	bool moves;
	bool missing; /* some of what message numbers name is gone already */
	/* of UID EXPUNGE over more than one command may touch: those with \Deleted */
	struct uidset marked;
	struct walk walk;
};

void
end_copy(struct cmd *c)
{
	struct copy_state *st = c->state;

	if (st != NULL) {
		uidset_fini(&st->uids);
		uidset_fini(&st->marked);
	}
	c->state = NULL;
}

static struct copy_state *
new_state(struct imap_session *s, struct cmd *c)
{
	struct copy_state *st = arena_calloc(s->arena, 1, sizeof *st);

	if (st != NULL) {
		uidset_init(&st->uids);
		uidset_init(&st->marked);
	}
	c->state = st;
	return st;
}

/* "COPYUID 38505 304,319:320 3956:3958" */
static void
write_copyuid(struct buf *out, const struct copy_result *r)
{
	buf_addf(out, "COPYUID %u ", r->uidvalidity);
	uidset_format(&r->source, out);
	buf_addc(out, ' ');
	uidset_format(&r->target, out);
}

static void
on_copied(void *arg, enum err e, const struct copy_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;
	struct copy_state *st = c->state;

	c->op = NULL;
	c->op_err = e;
	st->missing = e == ERR_NOTFOUND && r->gone;
	if (e == ERR_OK && st->moves && !c->uid)
		st->missing = uidset_count(&r->source) != uidset_count(&st->uids);
	if (r != NULL && r->target.n != 0 && r->to == view_mailbox(s->sel.view))
		uidset_copy(&s->sel.made, &r->target);
	/* a MOVE says it before the EXPUNGEs, and of what was moved before an error too:
	 * RFC 6851 4.3 */
	if (r != NULL && r->source.n != 0 && (e == ERR_OK || st->moves)) {
		struct buf *out = st->moves ? session_out(s) : &s->reply;

		if (st->moves)
			buf_addz(out, "* OK [");
		write_copyuid(out, r);
		if (st->moves)
			buf_addz(out, "] Moved\r\n");
	}
	session_resume(s);
}

/* What UIDs name may be gone: RFC 9051 6.4.9. What numbers name the client still has, and an OK
 * would say that it was copied: RFC 9051 6.4.7, RFC 2180 4.4. */
static enum step
copied(struct imap_session *s, struct cmd *c, bool moves)
{
	const struct copy_state *st = c->state;

	if (st->missing)
		return cmd_no(c, "EXPUNGEISSUED", "Some of the messages no longer exist");
	if (c->op_err == ERR_NOTFOUND)
		return cmd_no(c, "TRYCREATE", "No such mailbox");
	if (c->op_err != ERR_OK)
		return cmd_fail(s, c, c->op_err);
	return cmd_ok(c, moves ? "Moved" : "Copied");
}

static enum step
run(struct imap_session *s, struct cmd *c, bool moves)
{
	struct copy_args a = { .from = view_mailbox(s->sel.view) };

	if (c->state != NULL)
		return copied(s, c, moves);
	if (moves && s->sel.read_only)
		return cmd_no(c, "READ-ONLY", "The mailbox is open for reading only");
	enum err e = session_mailbox(s, c->a.copy.mailbox, &a.to);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	struct copy_state *st = new_state(s, c);

	if (st == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	st->moves = moves;
	if (session_select_set(s, c, &c->a.copy.set, &st->uids) != ERR_OK)
		return cmd_bad(c, "No such message");
	/* nothing to do is no error with UIDs, and without them the set is never empty */
	if (st->uids.n == 0)
		return cmd_ok(c, "No matching messages");
	/* COPY does all or nothing: RFC 9051 6.4.7 */
	if (!moves && limit_exceeded(s, uidset_count(&st->uids)))
		return limit_refuse_set(s, c, &st->uids);
	limit_uids(s, c, &st->uids);
	a.uids = &st->uids;
	a.whole = !c->uid;
	c->op = moves ? store_move(s->home, &a, on_copied, s)
		      : store_copy(s->home, &a, on_copied, s);
	return STEP_WAIT;
}

enum step
run_copy(struct imap_session *s, struct cmd *c)
{
	return run(s, c, false);
}

enum step
run_move(struct imap_session *s, struct cmd *c)
{
	return run(s, c, true);
}

static void
on_expunged(void *arg, enum err e, const struct expunge_result *r UNUSED)
{
	struct imap_session *s = arg;

	s->cmd->op = NULL;
	s->cmd->op_err = e;
	session_resume(s);
}

static enum err
find_some_marked(struct imap_session *s, struct copy_state *st, struct rows *r)
{
	int64_t began = clock_us();
	uint32_t uid;

	for (unsigned n = 1; walk_at(&st->walk, &st->uids, &uid); n++) {
		const struct entry *entry;
		enum err e = rows_get(r, uid, &entry);

		if (e == ERR_OK && (entry->flags & FLAG_DELETED) != 0)
			uidset_add(&st->marked, uid, uid);
		if (e != ERR_OK && e != ERR_NOTFOUND)
			return e;
		walk_step(&st->walk, &st->uids);
		if (n % LOOK_EVERY == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	return ERR_OK;
}

/* Only what would go counts: RFC 9738 3.1. ERR_AGAIN: the step is full. */
static enum err
find_marked(struct imap_session *s, struct cmd *c)
{
	struct copy_state *st = c->state;
	struct rows r;
	uint32_t uid;
	enum err e = ERR_OK;

	if (walk_at(&st->walk, &st->uids, &uid)) {
		e = rows_begin(&r, s, uid);
		if (e != ERR_OK)
			return e;
		e = find_some_marked(s, st, &r);
		rows_end(&r);
	}
	if (e == ERR_OK) {
		uidset_copy(&st->uids, &st->marked);
		limit_uids(s, c, &st->uids);
	}
	return e;
}

/* STEP_MORE: what is to go is known, or has to be looked for. */
static enum step
begin_expunge(struct imap_session *s, struct cmd *c)
{
	c->phase = EXPUNGE_REMOVE;
	if (s->sel.read_only)
		return cmd_no(c, "READ-ONLY", "The mailbox is open for reading only");
	if (!c->uid)
		return STEP_MORE;
	struct copy_state *st = new_state(s, c);

	if (st == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	if (session_select_set(s, c, &c->a.copy.set, &st->uids) != ERR_OK)
		return cmd_bad(c, "No such message");
	if (limit_exceeded(s, uidset_count(&st->uids)))
		c->phase = EXPUNGE_MARKED;
	return STEP_MORE;
}

enum step
run_expunge(struct imap_session *s, struct cmd *c)
{
	if (c->phase == EXPUNGE_DONE)
		return c->op_err == ERR_OK ? cmd_ok(c, "Expunged") : cmd_fail(s, c, c->op_err);
	if (c->phase == EXPUNGE_BEGIN && begin_expunge(s, c) != STEP_MORE)
		return STEP_DONE;
	if (c->phase == EXPUNGE_MARKED) {
		enum err e = find_marked(s, c);

		if (e != ERR_OK)
			return e == ERR_AGAIN ? STEP_MORE : cmd_fail(s, c, e);
	}
	struct copy_state *st = c->state;

	if (c->uid && st->uids.n == 0)
		return cmd_ok(c, "No matching messages");
	c->phase = EXPUNGE_DONE;
	c->op = store_expunge(
		s->home, view_mailbox(s->sel.view), c->uid ? &st->uids : NULL, on_expunged, s);
	return STEP_WAIT;
}
