/* STORE. Called by step.c through the table. One update of the store, then the flags of each
 * message as they are now. RFC 3501 6.4.6. */
#include "core/base/clock.h"
#include "imap/session/commands.h"
#include "imap/session/rows.h"
#include "imap/session/write.h"

enum { LOOK_EVERY = 64 };

struct store_state {
	struct uidset uids;
	struct walk walk;
	bool printing;
	bool missing;
};

void
end_store(struct cmd *c)
{
	struct store_state *st = c->state;

	if (st != NULL)
		uidset_fini(&st->uids);
	c->state = NULL;
}

static void
on_stored(void *arg, enum err e, const struct flags_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;

	c->op = NULL;
	c->op_err = e;
	if (e == ERR_OK && c->a.store.silent) {
		uidset_copy(&s->sel.told, &r->changed);
		/* what others did to them in between is news all the same */
		for (size_t i = 0; i < r->overtaken.n; i++)
			uidset_remove(&s->sel.told, r->overtaken.v[i].lo, r->overtaken.v[i].hi);
		s->sel.told_modseq = r->modseq;
	}
	session_resume(s);
}

static enum step
begin(struct imap_session *s, struct cmd *c)
{
	static const enum flags_mode modes[] = { FLAGS_REPLACE, FLAGS_ADD, FLAGS_REMOVE };
	const struct args_store *a = &c->a.store;

	if (s->sel.read_only)
		return cmd_no(c, "READ-ONLY", "The mailbox is open for reading only");
	struct store_state *st = arena_calloc(s->arena, 1, sizeof *st);

	if (st == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	uidset_init(&st->uids);
	c->state = st;
	if (session_select_set(s, c, &c->a.store.set, &st->uids) != ERR_OK)
		return cmd_bad(c, "No such message");
	if (st->uids.n == 0)
		return cmd_ok(c, "No matching messages");
	struct flags_args args = {
		.mailbox = view_mailbox(s->sel.view),
		.uids = &st->uids,
		.mode = modes[a->mode],
		.flags = a->flags.system,
		.keywords = a->flags.keywords,
		.keywords_count = a->flags.keywords_count,
		.known_modseq = view_modseq(s->sel.view),
	};
	c->op = store_flags(s->home, &args, on_stored, s);
	return STEP_WAIT;
}

static void
write_row(struct imap_session *s, struct cmd *c, struct rows *r, const struct entry *e)
{
	struct buf *out = session_out(s);

	write_fetch_begin(out, view_seq_of_uid(s->sel.view, e->uid));
	if (c->uid) {
		buf_addz(out, "UID ");
		write_number(out, e->uid);
		buf_addc(out, ' ');
	}
	buf_addz(out, "FLAGS ");
	write_flags(out, e, session_recent(s, e->uid), &r->keywords);
	buf_addz(out, ")\r\n");
}

/* What is printed from now on need not be announced again, unless it changes later. */
static enum err
start_printing(struct imap_session *s, struct store_state *st, struct rows *r)
{
	struct mailbox_info m;

	if (st->printing)
		return ERR_OK;
	enum err e = mailbox_get(r->txn, view_mailbox(s->sel.view), &m);

	if (e == ERR_OK)
		e = sync_keywords(s, r->txn, false);
	if (e != ERR_OK)
		return e;
	uidset_copy(&s->sel.told, &st->uids);
	s->sel.told_modseq = m.highestmodseq;
	st->printing = true;
	return ERR_OK;
}

/* ERR_AGAIN: the step is full. */
static enum err
print_rows(struct imap_session *s, struct cmd *c, struct store_state *st, struct rows *r)
{
	int64_t began = clock_us();
	uint32_t uid;

	for (unsigned n = 1; walk_at(&st->walk, &st->uids, &uid); n++) {
		const struct entry *entry;
		enum err e = rows_get(r, uid, &entry);

		if (e == ERR_OK)
			write_row(s, c, r, entry);
		else if (e == ERR_NOTFOUND)
			st->missing = true;
		else
			return e;
		walk_step(&st->walk, &st->uids);
		if (n % LOOK_EVERY == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	return ERR_OK;
}

static enum step
print(struct imap_session *s, struct cmd *c, struct store_state *st)
{
	struct rows r;
	uint32_t uid;

	if (!walk_at(&st->walk, &st->uids, &uid))
		return cmd_ok(c, "Stored");
	enum err e = rows_begin(&r, s, uid);

	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	e = start_printing(s, st, &r);
	if (e == ERR_OK)
		e = print_rows(s, c, st, &r);
	rows_end(&r);
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	if (st->missing && !c->uid)
		return cmd_no(c, "EXPUNGEISSUED", "Some of the messages no longer exist");
	return cmd_ok(c, "Stored");
}

enum step
run_store(struct imap_session *s, struct cmd *c)
{
	struct store_state *st = c->state;

	if (st == NULL)
		return begin(s, c);
	if (c->op_err == ERR_LIMIT)
		return cmd_no(c, "LIMIT", "The mailbox has as many keywords as it can");
	if (c->op_err != ERR_OK)
		return cmd_fail(s, c, c->op_err);
	if (c->a.store.silent)
		return cmd_ok(c, "Stored");
	return print(s, c, st);
}
