/* STORE. Called by step.c through the table. The flags of each message as they are now, said of
 * what one update of the store made durable while the next one runs; with .SILENT, for clients that
 * know modseqs, the modseqs of what was changed, behind the last. RFC 3501 6.4.6; RFC 7162 3.1.3.
 */
#include "core/base/clock.h"
#include "imap/session/commands.h"
#include "imap/session/limit.h"
#include "imap/session/rows.h"
#include "imap/session/sync.h"

enum { LOOK_EVERY = 64 };

struct store_state {
	struct uidset uids; /* to be stored, then to be told */
	struct uidset modified, overtaken, known;
	uint64_t modseq; /* flags of what changed later than that are told even when silent */
	struct walk walk;
	uint32_t below;	   /* what may be told by now */
	enum err tell_err; /* it could not be; said when all is stored */
	bool printing;
	bool missing;
};

void
end_store(struct cmd *c)
{
	struct store_state *st = c->state;

	if (st != NULL) {
		uidset_fini(&st->uids);
		uidset_fini(&st->modified);
		uidset_fini(&st->overtaken);
		uidset_fini(&st->known);
	}
	c->state = NULL;
}

static void
stored_silently(struct imap_session *s, struct cmd *c, const struct flags_result *r)
{
	struct store_state *st = c->state;
	uint64_t known = session_known_modseq(s);

	/* what others did to them in between is news all the same */
	uidset_subtract(&r->changed, &r->overtaken, &st->known);
	told_set(&s->sel.told, &st->known, r->modseq);
	uidset_copy(&st->overtaken, &r->overtaken);
	st->modseq = r->modseq > known ? r->modseq : known;
	if (c->a.store.unchanged_since > st->modseq)
		st->modseq = c->a.store.unchanged_since;
	/* whoever set a condition is told of every message: RFC 7162 3.1.3 */
	if (!c->a.store.conditional)
		uidset_copy(&st->uids, &r->changed);
}

/* Up to here all is durable, and told from now on: it need not be announced again, unless it
 * changes later. */
static void
may_tell(struct imap_session *s, struct store_state *st, uint32_t below,
	const struct flags_result *r)
{
	if (st->below == 0) {
		told_reset(&s->sel.told);
		uidset_copy(&s->sel.told.uids, &st->uids);
	}
	told_part(&s->sel.told, below, r->seen, r->alone);
	st->below = below;
}

static void
on_part(void *arg, uint32_t below, const struct flags_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;

	may_tell(s, c->state, below, r);
	c->goes_on = true;
	session_resume(s);
}

static void
on_stored(void *arg, enum err e, const struct flags_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;
	struct store_state *st = c->state;

	c->op = NULL;
	c->op_err = e;
	if (r != NULL)
		uidset_copy(&st->modified, &r->modified);
	if (e == ERR_OK && c->a.store.silent)
		stored_silently(s, c, r);
	else if (e == ERR_OK)
		may_tell(s, st, UINT32_MAX, r);
	session_resume(s);
}

static enum step
begin(struct imap_session *s, struct cmd *c)
{
	static const enum flags_mode modes[] = { FLAGS_REPLACE, FLAGS_ADD, FLAGS_REMOVE };
	const struct args_store *a = &c->a.store;

	if (a->conditional)
		session_condstore(s);
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
	limit_uids(s, c, &st->uids);
	struct flags_args args = {
		.mailbox = view_mailbox(s->sel.view),
		.uids = &st->uids,
		.mode = modes[a->mode],
		.flags = a->flags.system,
		.keywords = a->flags.keywords,
		.keywords_count = a->flags.keywords_count,
		.conditional = a->conditional,
		.unchanged_since = a->unchanged_since,
		.known_modseq = session_known_modseq(s),
		.part = a->silent ? NULL : on_part,
	};
	c->op = store_flags(s->home, &args, on_stored, s);
	return STEP_WAIT;
}

static void
write_row(struct imap_session *s, struct cmd *c, struct rows *r, const struct entry *e)
{
	const struct store_state *st = c->state;
	bool flags = !c->a.store.silent || e->modseq > st->modseq ||
		     uidset_has(&st->modified, e->uid) || uidset_has(&st->overtaken, e->uid);

	sync_tell(s, view_seq_of_uid(s->sel.view, e->uid), e, &r->keywords,
		(flags ? TELL_FLAGS : 0) | (c->uid ? TELL_UID : 0));
}

static enum err
start_printing(struct imap_session *s, struct cmd *c, struct rows *r)
{
	struct store_state *st = c->state;

	if (st->printing || c->a.store.silent)
		return ERR_OK;
	st->printing = true;
	return sync_keywords(s, r->txn, false);
}

static bool
may_be_told(const struct cmd *c, uint32_t uid)
{
	const struct store_state *st = c->state;

	return c->op == NULL || uid < st->below;
}

/* ERR_AGAIN: the step is full. */
static enum err
print_rows(struct imap_session *s, struct cmd *c, struct store_state *st, struct rows *r)
{
	int64_t began = clock_us();
	uint32_t uid;

	for (unsigned n = 1; walk_at(&st->walk, &st->uids, &uid) && may_be_told(c, uid); n++) {
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

/* "MODIFIED 7,9": sequence numbers, or UIDs for UID STORE. */
static void
write_modified(struct imap_session *s, struct cmd *c, const struct uidset *uids)
{
	struct uidset seqs = { 0 };

	buf_addz(&s->reply, "MODIFIED ");
	/* the members of a range are neighbours in the view too */
	for (size_t i = 0; !c->uid && i < uids->n; i++) {
		uint32_t seq = view_seq_of_uid(s->sel.view, uids->v[i].lo);

		uidset_add(&seqs, seq, seq + (uids->v[i].hi - uids->v[i].lo));
	}
	uidset_format(c->uid ? uids : &seqs, &s->reply);
	uidset_fini(&seqs);
}

static enum step
finish(struct imap_session *s, struct cmd *c, struct store_state *st)
{
	if (st->modified.n != 0)
		write_modified(s, c, &st->modified);
	if (st->missing && !c->uid)
		return cmd_no(c, "EXPUNGEISSUED", "Some of the messages no longer exist");
	return cmd_ok(c, st->modified.n != 0 ? "Some were changed by others" : "Stored");
}

static enum step
wait_for_part(struct cmd *c)
{
	c->goes_on = false;
	return STEP_WAIT;
}

/* The tagged line comes when nothing is changed any more. */
static enum step
cannot_tell(struct imap_session *s, struct cmd *c, enum err e)
{
	struct store_state *st = c->state;

	st->tell_err = e;
	return c->op != NULL ? wait_for_part(c) : cmd_fail(s, c, e);
}

static enum step
print(struct imap_session *s, struct cmd *c, struct store_state *st)
{
	struct rows r;
	uint32_t uid;
	bool more = walk_at(&st->walk, &st->uids, &uid);

	if (st->tell_err != ERR_OK)
		return cannot_tell(s, c, st->tell_err);
	if (!more && c->op == NULL)
		return finish(s, c, st);
	if (!more || !may_be_told(c, uid))
		return wait_for_part(c);
	enum err e = rows_begin(&r, s, uid);

	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cannot_tell(s, c, e);
	e = start_printing(s, c, &r);
	if (e == ERR_OK)
		e = print_rows(s, c, st, &r);
	rows_end(&r);
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cannot_tell(s, c, e);
	return c->op == NULL ? finish(s, c, st) : wait_for_part(c);
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
	if (c->a.store.silent && (s->modes & MODE_CONDSTORE) == 0)
		return cmd_ok(c, "Stored");
	return print(s, c, st);
}
