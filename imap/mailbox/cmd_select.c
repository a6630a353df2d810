/* SELECT, EXAMINE, CLOSE, UNSELECT. Called by step.c through the table. Invariant: what SELECT
 * says (EXISTS, UIDNEXT, UNSEEN) and the view come from one snapshot; what QRESYNC asked for
 * follows step by step, and says nothing of what sync.c will announce. RFC 3501 6.3.1, 6.3.2,
 * 6.4.2; RFC 3691; RFC 7162 3.1.2, 3.1.8,
 * 3.2.5; RFC 9051 6.3.2. */
#include "core/base/clock.h"
#include "imap/session/announce.h"
#include "imap/session/changed.h"
#include "imap/session/commands.h"
#include "imap/session/listing.h"
#include "imap/session/names.h"
#include "imap/session/sync.h"
#include "imap/session/objectid.h"

enum { LOOK_EVERY = 64, NAME_MAX_BYTES = 8192 };
enum { SELECT_LOOK, SELECT_FILTER, SELECT_VANISHED, SELECT_ROWS };
enum { MATCH_PAIRS_MAX = 65536 };

struct select_state {
	struct imap_session *s;
	struct cmd *c;
	struct str name;
	bool read_only;
	/* QRESYNC */
	struct changed changed;
	struct uidset known, uids, vanished; /* as the client says; of those, in the view; gone */
	size_t vanished_left;
	struct walk walk;
};

static void
on_watch(struct home_watch *w)
{
	session_changed(w->arg);
}

static void
write_line(struct buf *out, const char *before, uint64_t n, const char *after)
{
	buf_addz(out, before);
	buf_addu(out, n);
	buf_addz(out, after);
}

/* A sequence number, and nothing that IMAP4rev2 knows. */
static enum err
announce_unseen(struct imap_session *s, struct txn *t, const struct mailbox_info *m)
{
	uint32_t uid;

	if ((s->modes & (MODE_REV2 | MODE_UIDONLY)) != 0)
		return ERR_OK;
	enum err e = mailbox_first_unseen(t, m->id, 1, &uid);

	if (e == ERR_OK)
		write_line(session_out(s), "* OK [UNSEEN ", view_seq_of_uid(s->sel.view, uid),
			"] First unseen\r\n");
	return e == ERR_NOTFOUND ? ERR_OK : e;
}

/* The name as it is here, and as the client wrote it where that is not the same. */
static void
announce_name(struct imap_session *s, const struct mailbox_info *m, struct str written)
{
	struct buf outer;
	struct list_line line = { .m = m, .flags = LINE_EXTENDED, .old = STR_EMPTY };

	buf_init(&outer, NAME_MAX_BYTES);
	session_outer_name(s, m->name, &outer);
	line.outer = buf_str(&outer);
	if (!session_is_called(s, m->name, written))
		line.old = written;
	list_line_write(s, session_out(s), &line);
	buf_fini(&outer);
}

static enum err
announce(struct imap_session *s, struct txn *t, const struct mailbox_info *m, struct str written)
{
	struct buf *out = session_out(s);
	const struct selected *sel = &s->sel;
	enum err e = sync_keywords(s, t, true);

	if (e != ERR_OK)
		return e;
	write_line(out, "* ", view_count(sel->view), " EXISTS\r\n");
	if ((s->modes & MODE_REV2) == 0)
		write_line(out, "* ", sel->told_recent, " RECENT\r\n");
	e = announce_unseen(s, t, m);
	if (e != ERR_OK)
		return e;
	write_line(out, "* OK [UIDVALIDITY ", m->uidvalidity, "] UIDs valid\r\n");
	write_line(out, "* OK [UIDNEXT ", m->uidnext, "] Next UID\r\n");
	write_line(out, "* OK [HIGHESTMODSEQ ", view_modseq(sel->view), "] Highest\r\n");
	buf_addz(out, "* OK [MAILBOXID ");
	write_objectid(out, OBJECT_MAILBOX, objectid_mailbox(m->id, m->uidvalidity));
	buf_addz(out, "] Mailbox id\r\n");
	if ((s->modes & MODE_REV2) != 0)
		announce_name(s, m, written);
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
	sel->recent_from = st->read_only
				   ? home_recent_from(s->home, m->id, m->recent_from)
				   : home_claim_recent(s->home, m->id, m->recent_from, m->uidnext);
	sel->claimed_until = m->uidnext;
	sel->told_recent = view_count(view) - view_rank(view, sel->recent_from);
	home_watch_start(&sel->watch, s->home, on_watch, s);
	/* starting a watch says nothing about what came just before */
	sel->dirty = true;
	return announce(s, t, m, st->c->a.select.mailbox);
}

/* ERR_AGAIN: the session opens the index again. */
static enum err
look(struct imap_session *s, struct select_state *st)
{
	struct mailbox_info m;
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	e = mailbox_find(t, st->name, &m);
	if (e == ERR_OK && m.noselect)
		e = ERR_NOTFOUND;
	if (e == ERR_OK)
		e = open_mailbox(s, st, t, &m);
	store_read_end(t);
	return e;
}

/* ---- QRESYNC ---- */

/* The largest UID up to which the client's numbers are right: it knows of all that vanished below.
 * 0: none. RFC 7162 3.2.5.2. */
static uint32_t
matched_until(const struct view *v, const struct seq_set *seqs, const struct seq_set *uids)
{
	uint32_t best = 0, seq = 0, uid = 0;
	size_t i = 0, j = 0;

	for (unsigned pairs = 0; i < seqs->n && j < uids->n && pairs < MATCH_PAIRS_MAX; pairs++) {
		seq = seq != 0 ? seq : seqs->r[i].lo;
		uid = uid != 0 ? uid : uids->r[j].lo;
		if (view_uid_of_seq(v, seq) == uid)
			best = uid;
		if (seq++ == seqs->r[i].hi) {
			i++;
			seq = 0;
		}
		if (uid++ == uids->r[j].hi) {
			j++;
			uid = 0;
		}
	}
	return best;
}

static void
resync_begin(struct imap_session *s, struct cmd *c, struct select_state *st)
{
	const struct args_select *a = &c->a.select;

	for (size_t i = 0; a->has_known && i < a->known.n; i++)
		uidset_add(&st->known, a->known.r[i].lo, a->known.r[i].hi);
	if (!a->has_known)
		uidset_add(&st->known, 1, UINT32_MAX);
	view_select_uids(s->sel.view, &st->known, &st->uids);
	changed_init(&st->changed, s, a->modseq);
	c->phase = SELECT_FILTER;
}

static enum err
resync_filter(struct imap_session *s, struct cmd *c, struct select_state *st)
{
	const struct args_select *a = &c->a.select;
	enum err e = changed_filter(&st->changed, s, &st->uids);

	if (e != ERR_OK)
		return e;
	changed_vanished(&st->changed, s->sel.view, &st->known, &st->vanished);
	uint32_t matched = matched_until(s->sel.view, &a->match_seqs, &a->match_uids);

	if (matched != 0)
		uidset_remove(&st->vanished, 1, matched);
	st->vanished_left = st->vanished.n;
	c->phase = SELECT_VANISHED;
	return ERR_OK;
}

static enum err
resync_rows(struct imap_session *s, struct select_state *st)
{
	int64_t began = clock_us();
	struct rows r;
	uint32_t uid;

	if (!walk_at(&st->walk, &st->uids, &uid))
		return ERR_OK;
	enum err e = rows_begin(&r, s, uid);

	if (e != ERR_OK)
		return e;
	for (unsigned n = 1; e == ERR_OK && walk_at(&st->walk, &st->uids, &uid); n++) {
		const struct entry *entry;

		e = rows_get(&r, uid, &entry);
		if (e == ERR_OK)
			sync_tell(s, view_seq_of_uid(s->sel.view, uid), entry, &r.keywords,
				TELL_FLAGS);
		if (e == ERR_NOTFOUND)
			e = ERR_OK;
		if (e == ERR_OK)
			walk_step(&st->walk, &st->uids);
		if (e == ERR_OK && n % LOOK_EVERY == 0 && session_enough(s, began))
			e = ERR_AGAIN;
	}
	rows_end(&r);
	return e;
}

/* What happened since the client was here. ERR_AGAIN: more to come. */
static enum err
resync(struct imap_session *s, struct cmd *c, struct select_state *st)
{
	enum err e = ERR_OK;

	if (c->phase == SELECT_FILTER)
		e = resync_filter(s, c, st);
	if (e == ERR_OK && c->phase == SELECT_VANISHED) {
		e = sync_vanished(s, &st->vanished, &st->vanished_left, true);
		if (e == ERR_OK)
			c->phase = SELECT_ROWS;
	}
	if (e == ERR_OK)
		e = resync_rows(s, st);
	return e;
}

/* ---- the commands ---- */

static enum err
begin(struct imap_session *s, struct cmd *c, bool read_only)
{
	const struct args_select *a = &c->a.select;
	struct select_state *st;

	/* a SELECT that fails leaves nothing selected: RFC 3501 6.3.1 */
	if (s->sel.view != NULL)
		buf_addz(session_out(s), "* OK [CLOSED] Previous mailbox closed\r\n");
	session_deselect(s);
	if (a->condstore)
		session_condstore(s);
	st = arena_calloc(s->arena, 1, sizeof *st);
	if (st == NULL)
		return ERR_LIMIT;
	*st = (struct select_state){ .s = s, .c = c, .read_only = read_only };
	c->state = st;
	return session_mailbox(s, a->mailbox, &st->name);
}

static enum step
finish(struct imap_session *s, struct cmd *c, bool read_only)
{
	/* the modseqs that were told lie below what SELECT said, or will be told again */
	s->sel.told_max = 0;
	c->code = read_only ? "READ-ONLY" : "READ-WRITE";
	return cmd_ok(c, "Selected");
}

static enum step
run(struct imap_session *s, struct cmd *c, bool read_only)
{
	enum err e = c->op_err;

	if (c->a.select.qresync && (s->modes & MODE_QRESYNC) == 0)
		return cmd_bad(c, "ENABLE QRESYNC comes first");
	if (c->a.select.match_seqs.n != 0 && (s->modes & MODE_UIDONLY) != 0)
		return cmd_uid_required(c);
	if (c->state == NULL)
		e = begin(s, c, read_only);
	struct select_state *st = c->state;

	if (e == ERR_OK && c->phase == SELECT_LOOK) {
		e = look(s, st);
		if (e == ERR_OK && c->a.select.qresync &&
			c->a.select.uidvalidity == view_uidvalidity(s->sel.view))
			resync_begin(s, c, st);
	}
	if (e == ERR_OK && c->phase != SELECT_LOOK)
		e = resync(s, c, st);
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK) {
		session_deselect(s);
		return cmd_fail(s, c, e);
	}
	return finish(s, c, read_only);
}

void
end_select(struct cmd *c)
{
	struct select_state *st = c->state;

	if (st == NULL)
		return;
	changed_fini(&st->changed);
	uidset_fini(&st->known);
	uidset_fini(&st->uids);
	uidset_fini(&st->vanished);
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
