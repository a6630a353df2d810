/* The number of messages a command may touch; see limit.h. Called by the commands that take sets,
 * and by step.c at their end. Invariant: what a command left out has lower UIDs than all that it
 * took. RFC 9738. */
#include "imap/session/limit.h"

bool
limit_exceeded(const struct imap_session *s, uint64_t messages)
{
	uint64_t most = s->imap->limits.message_limit;

	return most != 0 && messages > most;
}

void
limit_uids(const struct imap_session *s, struct cmd *c, struct uidset *uids)
{
	uint64_t total = uidset_count(uids);

	if (!limit_exceeded(s, total))
		return;
	uint64_t over = total - s->imap->limits.message_limit;
	size_t i = 0;

	/* whole ranges that go, then the part of one */
	for (uint64_t n; (n = (uint64_t)uids->v[i].hi - uids->v[i].lo + 1) <= over; i++)
		over -= n;
	c->limit_uid = uids->v[i].lo + (uint32_t)over;
	uidset_remove(uids, 1, c->limit_uid - 1);
}

void
limit_range(const struct imap_session *s, struct cmd *c, uint32_t *from, uint32_t to)
{
	const struct view *v = s->sel.view;
	uint32_t below = view_rank(v, *from);
	uint32_t until = to >= view_last_uid(v) ? view_count(v) : view_rank(v, to + 1);

	if (until <= below || !limit_exceeded(s, until - below))
		return;
	/* a message's number is one more than its rank */
	*from = view_uid_of_seq(v, until - s->imap->limits.message_limit + 1);
	c->limit_uid = *from;
}

enum step
limit_refuse(struct imap_session *s, struct cmd *c)
{
	c->limit_uid = 0;
	buf_addf(&s->reply, "MESSAGELIMIT %u", s->imap->limits.message_limit);
	return cmd_no(c, NULL, "More messages than one command may touch");
}

enum step
limit_refuse_set(struct imap_session *s, struct cmd *c, struct uidset *uids)
{
	limit_uids(s, c, uids);
	uint32_t uid = c->limit_uid;
	enum step step = limit_refuse(s, c);

	buf_addf(&s->reply, " %u", uid);
	return step;
}

/* All that was taken was done, but for messages that are gone. */
static bool
is_done(const struct cmd *c)
{
	return c->result == RESULT_OK ||
	       (c->code != NULL && str_eq(str_of(c->code), STR("EXPUNGEISSUED")));
}

void
limit_say(struct imap_session *s, const struct cmd *c)
{
	/* that of UID EXPUNGE and MOVE is HIGHESTMODSEQ's with QRESYNC: RFC 7162 3.2.9 */
	bool taken = s->sel.tell_highest && c->def->sync == SYNC_ALL;
	bool tagged = c->result == RESULT_OK && c->code == NULL && s->reply.n == 0 && !taken;
	struct buf *out = tagged ? &s->reply : session_out(s);

	if (c->limit_uid == 0 || !is_done(c))
		return;
	if (!tagged)
		buf_addz(out, "* NO [");
	buf_addf(out, "MESSAGELIMIT %u %u", s->imap->limits.message_limit, c->limit_uid);
	if (!tagged)
		buf_addz(out, "] Some messages are left\r\n");
}
