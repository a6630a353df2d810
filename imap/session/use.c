/* What the commands use of their session: results, the read step and sets. Called by the
 * cmd_ files. Invariant: an enum err becomes a response code here and nowhere else. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "imap/session/session.h"
#include "imap/session/write.h"
#include "imap/session/sync.h"

/* ---- results ---- */

enum step
cmd_ok(struct cmd *c, const char *text)
{
	c->result = RESULT_OK;
	c->text = text;
	return STEP_DONE;
}

enum step
cmd_no(struct cmd *c, const char *code, const char *text)
{
	c->result = RESULT_NO;
	c->code = code;
	c->text = text;
	return STEP_DONE;
}

enum step
cmd_bad(struct cmd *c, const char *text)
{
	c->result = RESULT_BAD;
	c->text = text;
	return STEP_DONE;
}

enum step
cmd_uid_required(struct cmd *c)
{
	c->code = "UIDREQUIRED";
	return cmd_bad(c, "Message numbers cannot be used with UIDONLY");
}

enum step
cmd_fail(struct imap_session *s, struct cmd *c, enum err e)
{
	if (e == ERR_TEMP || e == ERR_BUSY || e == ERR_AGAIN || e == ERR_EOF || e == ERR_CORRUPT ||
		e == ERR_BUG)
		log_event(LVL_WARN, "imap.fail", log_z("sid", s->sid), log_z("cmd", c->def->name),
			log_e("err", e), log_z("reason", home_error(s->home)));
	switch (e) {
	case ERR_NOTFOUND:
		return cmd_no(c, "NONEXISTENT", "No such mailbox");
	case ERR_EXISTS:
		return cmd_no(c, "ALREADYEXISTS", "Mailbox exists already");
	case ERR_DENIED:
		return cmd_no(c, "CANNOT", "Not possible here");
	case ERR_LIMIT:
		return cmd_no(c, "LIMIT", "Over a limit of this server");
	case ERR_SYNTAX:
		return cmd_no(c, "CANNOT", "Invalid mailbox name");
	case ERR_QUOTA:
		return cmd_no(c, "OVERQUOTA", "The quota of this account is used up");
	case ERR_CORRUPT:
		return cmd_no(c, "CORRUPTION", "Mailbox is damaged");
	case ERR_TEMP:
	case ERR_BUSY:
	case ERR_AGAIN:
	case ERR_EOF:
		return cmd_no(c, "UNAVAILABLE", "Mail store is not available now, try again");
	case ERR_OK:
	case ERR_BUG:
		break;
	}
	return cmd_no(c, "SERVERBUG", "Internal error");
}

/* ---- what the commands use ---- */

enum err
session_read(struct imap_session *s, struct txn **out)
{
	enum err e = store_read_begin(s->home, out);

	/* the index is opened anew: the next step pins again */
	if (e == ERR_AGAIN)
		session_unpin(s);
	return e;
}

void
session_condstore(struct imap_session *s)
{
	struct buf *out = session_out(s);

	if ((s->modes & MODE_CONDSTORE) != 0)
		return;
	s->modes |= MODE_CONDSTORE;
	if (s->sel.view == NULL)
		return;
	buf_addz(out, "* OK [");
	sync_highest_write(s, out);
	buf_addz(out, "] Highest\r\n");
}

enum read_event
session_next(struct imap_session *s, struct read_result *out)
{
	return reader_step(&s->reader, &s->imap->limits.reader, stream_in(s->stream), out);
}

enum err
session_select_set(struct imap_session *s, struct cmd *c, struct seq_set *set, struct uidset *out)
{
	const struct view *v = s->sel.view;
	struct uidset named;

	if (set->saved) {
		view_select_uids(v, &s->sel.saved, out);
		return ERR_OK;
	}
	uidset_init(&named);
	seq_set_resolve(set, c->uid ? view_last_uid(v) : view_count(v));
	bool beyond = !c->uid && (set->n == 0 || set->r[set->n - 1].hi > view_count(v));

	if (!beyond) {
		for (size_t i = 0; i < set->n; i++)
			uidset_add(&named, set->r[i].lo, set->r[i].hi);
		if (c->uid)
			view_select_uids(v, &named, out);
		else
			view_select_seqs(v, &named, out);
	}
	uidset_fini(&named);
	return beyond ? ERR_SYNTAX : ERR_OK;
}

void
session_progress(struct imap_session *s, struct cmd *c, uint64_t done, uint64_t total)
{
	struct buf *out = session_out(s);
	int64_t now = clock_us();
	int64_t since = c->progress_us != 0 ? c->progress_us : s->command_us;

	if (now - since < s->imap->limits.progress_ms * 1000)
		return;
	/* all is done but for the end of it: RFC 9585 4 wants less than the goal */
	if (c->progress_past != 0)
		total = 0;
	else if (total != 0 && done >= total)
		return;
	c->progress_us = now;
	buf_addz(out, "* OK [INPROGRESS (");
	/* no code may contain the bracket that ends it */
	if (str_chr(c->tag, ']') == c->tag.n) {
		buf_addc(out, '"');
		buf_add(out, c->tag);
		buf_addc(out, '"');
	} else {
		buf_addz(out, "NIL");
	}
	buf_addc(out, ' ');
	write_number(out, c->progress_past + done);
	buf_addc(out, ' ');
	if (total != 0)
		write_number(out, total);
	else
		buf_addz(out, "NIL");
	buf_addz(out, ")] Still working\r\n");
}
