/* CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE: one update of the store each. Called by
 * step.c through the table. RFC 3501 6.3.3 to 6.3.7; RFC 6154 for CREATE's USE. */
#include "imap/session/commands.h"

static void
on_done(void *arg, enum err e, const struct mailbox_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;

	c->op = NULL;
	c->op_err = e;
	/* the client that deletes its own selected mailbox knows that it is gone */
	if (e == ERR_OK && c->def->run == run_delete && s->sel.view != NULL && r != NULL &&
		r->id == view_mailbox(s->sel.view))
		session_deselect(s);
	session_resume(s);
}

static enum step
finish(struct imap_session *s, struct cmd *c, const char *text)
{
	return c->op_err == ERR_OK ? cmd_ok(c, text) : cmd_fail(s, c, c->op_err);
}

/* True when another mailbox has one of these uses already: fn of mailbox_walk. */
static enum err
has_use(void *arg, const struct mailbox_info *m)
{
	const unsigned *uses = arg;

	return (m->special_use & *uses) != 0 ? ERR_EOF : ERR_OK;
}

/* ERR_EXISTS: the use is taken; ERR_NOTFOUND: unknown; ERR_AGAIN. */
static enum err
check_uses(struct imap_session *s, struct cmd *c, unsigned *uses_out)
{
	struct txn *t;

	*uses_out = 0;
	for (size_t i = 0; i < c->a.create.uses_count; i++) {
		unsigned bit = special_use_parse(c->a.create.uses[i]);

		/* \All and \Flagged are views of other mailboxes, which we do not make */
		if (bit == 0 || (bit & (USE_ALL | USE_FLAGGED)) != 0)
			return ERR_NOTFOUND;
		*uses_out |= bit;
	}
	if (*uses_out == 0)
		return ERR_OK;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	e = mailbox_walk(t, has_use, uses_out);
	store_read_end(t);
	return e == ERR_EOF ? ERR_EXISTS : e;
}

enum step
run_create(struct imap_session *s, struct cmd *c)
{
	struct str name;
	unsigned uses;

	if (c->phase != 0)
		return finish(s, c, "Created");
	enum err e = session_mailbox(s, c->a.create.mailbox, &name);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	e = check_uses(s, c, &uses);
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e == ERR_NOTFOUND || e == ERR_EXISTS)
		return cmd_no(c, "USEATTR", "Special use is unknown here or taken");
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	c->phase = 1;
	c->op = store_create(s->home, name, uses, on_done, s);
	return STEP_WAIT;
}

enum step
run_delete(struct imap_session *s, struct cmd *c)
{
	struct str name;

	if (c->phase != 0) {
		if (c->op_err == ERR_DENIED)
			return cmd_no(c, "CANNOT", "INBOX, or a name with mailboxes below it");
		return finish(s, c, "Deleted");
	}
	enum err e = session_mailbox(s, c->a.names.a, &name);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	c->phase = 1;
	c->op = store_delete(s->home, name, on_done, s);
	return STEP_WAIT;
}

enum step
run_rename(struct imap_session *s, struct cmd *c)
{
	struct str from, to;

	if (c->phase != 0)
		return finish(s, c, "Renamed");
	enum err e = session_mailbox(s, c->a.names.a, &from);

	if (e == ERR_OK)
		e = session_mailbox(s, c->a.names.b, &to);
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	c->phase = 1;
	c->op = store_rename(s->home, from, to, on_done, s);
	return STEP_WAIT;
}

static enum step
subscribe(struct imap_session *s, struct cmd *c, bool on)
{
	struct str name;

	if (c->phase != 0) {
		/* unsubscribing what is not subscribed leaves what was asked for */
		if (!on && c->op_err == ERR_NOTFOUND)
			c->op_err = ERR_OK;
		return finish(s, c, on ? "Subscribed" : "Unsubscribed");
	}
	enum err e = session_mailbox(s, c->a.names.a, &name);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	c->phase = 1;
	c->op = store_subscribe(s->home, name, on, on_done, s);
	return STEP_WAIT;
}

enum step
run_subscribe(struct imap_session *s, struct cmd *c)
{
	return subscribe(s, c, true);
}

enum step
run_unsubscribe(struct imap_session *s, struct cmd *c)
{
	return subscribe(s, c, false);
}
