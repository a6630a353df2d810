/* SELECT, EXAMINE, CLOSE, UNSELECT. Called by step.c through the table. Invariant: what SELECT
 * says (EXISTS, UIDNEXT, UNSEEN) and the view come from one snapshot. RFC 3501 6.3.1, 6.3.2,
 * 6.4.2; RFC 3691; RFC 7162 3.1.2, 3.1.8. */
#include "imap/session/commands.h"

enum { SELECT_LOOK, SELECT_CLAIMING, SELECT_OPEN };

struct select_state {
	struct imap_session *s;
	struct cmd *c;
	struct str name;
	bool read_only;
	bool claimed;
	uint32_t recent_from, recent_until;
};

static void
on_watch(struct home_watch *w)
{
	struct imap_session *s = w->arg;

	s->sel.dirty = true;
	if (s->state == SESSION_IDLE && !s->stepping)
		session_resume(s);
}

static void
on_claimed(void *arg, enum err e, const struct recent_result *r)
{
	struct select_state *st = arg;

	st->c->op = NULL;
	st->c->op_err = e;
	if (e == ERR_OK) {
		st->recent_from = r->from;
		st->recent_until = r->until;
	}
	session_resume(st->s);
}

static void
write_line(struct buf *out, const char *before, uint64_t n, const char *after)
{
	buf_addz(out, before);
	buf_addu(out, n);
	buf_addz(out, after);
}

static enum err
announce(struct imap_session *s, struct txn *t, const struct mailbox_info *m)
{
	struct buf *out = session_out(s);
	const struct selected *sel = &s->sel;
	uint32_t uid;
	enum err e = sync_keywords(s, t, true);

	if (e != ERR_OK)
		return e;
	write_line(out, "* ", view_count(sel->view), " EXISTS\r\n");
	write_line(out, "* ", sel->told_recent, " RECENT\r\n");
	e = mailbox_first_unseen(t, m->id, 1, &uid);
	if (e == ERR_OK)
		write_line(out, "* OK [UNSEEN ", view_seq_of_uid(sel->view, uid),
			"] First unseen\r\n");
	else if (e != ERR_NOTFOUND)
		return e;
	write_line(out, "* OK [UIDVALIDITY ", m->uidvalidity, "] UIDs valid\r\n");
	write_line(out, "* OK [UIDNEXT ", m->uidnext, "] Next UID\r\n");
	write_line(out, "* OK [HIGHESTMODSEQ ", view_modseq(sel->view), "] Highest\r\n");
	return ERR_OK;
}

static enum err
open_mailbox(struct imap_session *s, struct select_state *st, struct txn *t,
	const struct mailbox_info *m)
{
	struct selected *sel = &s->sel;
	struct view *view;
	enum err e = view_open(t, m->id, &view);

	if (e != ERR_OK)
		return e;
	*sel = (struct selected){ .view = view, .read_only = st->read_only };
	sel->recent_from = st->claimed ? st->recent_from : m->recent_from;
	sel->claimed_until = st->claimed ? st->recent_until : m->recent_from;
	sel->told_recent = view_count(view) - view_rank(view, sel->recent_from);
	home_watch_start(&sel->watch, s->home, on_watch, s);
	/* starting a watch says nothing about what came just before */
	sel->dirty = true;
	return announce(s, t, m);
}

/* ERR_AGAIN: the session opens the index again; ERR_BUSY: a claim is on its way. */
static enum err
look(struct imap_session *s, struct cmd *c, struct select_state *st)
{
	struct mailbox_info m;
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	e = mailbox_find(t, st->name, &m);
	if (e == ERR_OK && m.noselect)
		e = ERR_NOTFOUND;
	if (e == ERR_OK && !st->read_only && !st->claimed && m.recent_from < m.uidnext) {
		st->claimed = true;
		c->op = store_claim_recent(s->home, m.id, on_claimed, st);
		e = ERR_BUSY;
	} else if (e == ERR_OK) {
		e = open_mailbox(s, st, t, &m);
	}
	store_read_end(t);
	return e;
}

static enum step
run(struct imap_session *s, struct cmd *c, bool read_only)
{
	struct select_state *st = c->state;

	if (st == NULL) {
		/* a SELECT that fails leaves nothing selected: RFC 3501 6.3.1 */
		if (s->sel.view != NULL)
			buf_addz(session_out(s), "* OK [CLOSED] Previous mailbox closed\r\n");
		session_deselect(s);
		if (c->a.select.condstore)
			session_condstore(s);
		st = arena_calloc(s->arena, 1, sizeof *st);
		if (st == NULL)
			return cmd_fail(s, c, ERR_LIMIT);
		*st = (struct select_state){ .s = s, .c = c, .read_only = read_only };
		enum err name_err = session_mailbox(s, c->a.select.mailbox, &st->name);

		if (name_err != ERR_OK)
			return cmd_fail(s, c, name_err);
		c->state = st;
	}
	enum err e = c->op_err;

	if (e == ERR_OK)
		e = look(s, c, st);
	if (e == ERR_BUSY)
		return STEP_WAIT;
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK) {
		session_deselect(s);
		return cmd_fail(s, c, e);
	}
	c->code = read_only ? "READ-ONLY" : "READ-WRITE";
	return cmd_ok(c, "Selected");
}

void
end_select(struct cmd *c)
{
	c->state = NULL;
}

enum step
run_select(struct imap_session *s, struct cmd *c)
{
	return run(s, c, false);
}

enum step
run_examine(struct imap_session *s, struct cmd *c)
{
	return run(s, c, true);
}

static void
on_closed(void *arg, enum err e, const struct expunge_result *r UNUSED)
{
	struct imap_session *s = arg;

	s->cmd->op = NULL;
	s->cmd->op_err = e;
	session_resume(s);
}

enum step
run_close(struct imap_session *s, struct cmd *c)
{
	if (!s->sel.read_only && c->phase++ == 0) {
		c->op = store_expunge(s->home, view_mailbox(s->sel.view), NULL, on_closed, s);
		return STEP_WAIT;
	}
	session_deselect(s);
	if (c->op_err != ERR_OK && c->op_err != ERR_NOTFOUND)
		return cmd_fail(s, c, c->op_err);
	return cmd_ok(c, "Closed");
}

enum step
run_unselect(struct imap_session *s, struct cmd *c)
{
	session_deselect(s);
	return cmd_ok(c, "Unselected");
}
