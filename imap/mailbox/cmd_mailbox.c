/* CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE: one update of the store each. Called by
 * step.c through the table. RFC 3501 6.3.3 to 6.3.7; RFC 6154 for CREATE's USE;
 * RFC 9051 6.3.4 to 6.3.8 for OLDNAME and HASCHILDREN. */
#include "imap/session/commands.h"
#include "imap/session/listing.h"
#include "imap/session/write.h"
#include "imap/session/names.h"
#include "imap/session/notify.h"
#include "imap/session/objectid.h"

static void
on_done(void *arg, enum err e, const struct mailbox_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;

	c->op = NULL;
	c->op_err = e;
	if (e == ERR_OK && c->def->run == run_create && r != NULL) {
		buf_addz(&s->reply, "MAILBOXID ");
		write_objectid(&s->reply, OBJECT_MAILBOX, objectid_mailbox(r->id, r->uidvalidity));
	}
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

/* What a mailbox is called now, and how a client of IMAP4rev2 called it before. */
struct naming {
	struct str name;
	struct str old; /* as it was written; empty: nothing to tell */
};

static struct naming *
new_naming(struct imap_session *s, struct cmd *c, struct str name)
{
	struct naming *n = arena_calloc(s->arena, 1, sizeof *n);

	if (n != NULL)
		*n = (struct naming){ .name = name, .old = STR_EMPTY };
	c->state = n;
	return n;
}

/* "* LIST () "/" "new" ("OLDNAME" ("old"))". ERR_AGAIN as session_read. RFC 9051 6.3.4, 6.3.6,
 * 6.3.9.7. */
static enum err
tell_name(struct imap_session *s, const struct naming *n)
{
	struct mailbox_info m;
	struct buf outer;
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	buf_init(&outer, 2048);
	session_outer_name(s, n->name, &outer);
	const struct list_line line = {
		.outer = buf_str(&outer), .m = &m, .flags = LINE_EXTENDED, .old = n->old
	};

	/* gone again meanwhile: there is nothing to tell */
	if (mailbox_find(t, n->name, &m) == ERR_OK)
		list_line_write(s, session_out(s), &line);
	store_read_end(t);
	buf_fini(&outer);
	return ERR_OK;
}

static enum step
finish_naming(struct imap_session *s, struct cmd *c, const char *text)
{
	const struct naming *n = c->state;

	/* the change is made: what cannot be told now is no failure */
	if (c->op_err == ERR_OK && n->old.n != 0 && tell_name(s, n) == ERR_AGAIN)
		return STEP_MORE;
	return finish(s, c, text);
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
		return finish_naming(s, c, "Created");
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
	struct naming *n = new_naming(s, c, name);

	if (n == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	/* a name that is kept in another form than it was sent in */
	if ((s->modes & MODE_REV2) != 0 && !session_is_called(s, name, c->a.create.mailbox))
		n->old = c->a.create.mailbox;
	c->phase = 1;
	notify_own(s, name);
	c->op = store_create(s->home, name, uses, on_done, s);
	return STEP_WAIT;
}

static bool
is_inbox(struct imap_session *s, struct str raw)
{
	struct str name;

	return session_mailbox(s, raw, &name) == ERR_OK && str_eq(name, STR("INBOX"));
}

enum step
run_delete(struct imap_session *s, struct cmd *c)
{
	struct str name;

	if (c->phase != 0) {
		if (c->op_err == ERR_DENIED && !is_inbox(s, c->a.names.a))
			return cmd_no(c, "HASCHILDREN", "Only a name for the mailboxes below it");
		return finish(s, c, "Deleted");
	}
	enum err e = session_mailbox(s, c->a.names.a, &name);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	c->phase = 1;
	notify_own(s, name);
	c->op = store_delete(s->home, name, on_done, s);
	return STEP_WAIT;
}

enum step
run_rename(struct imap_session *s, struct cmd *c)
{
	struct str from, to;

	if (c->phase != 0)
		return finish_naming(s, c, "Renamed");
	enum err e = session_mailbox(s, c->a.names.a, &from);

	if (e == ERR_OK)
		e = session_mailbox(s, c->a.names.b, &to);
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	struct naming *n = new_naming(s, c, to);

	if (n == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	/* RENAME INBOX leaves an INBOX: nothing has another name */
	if ((s->modes & MODE_REV2) != 0 && !str_eq(from, STR("INBOX")))
		n->old = c->a.names.a;
	c->phase = 1;
	notify_own(s, from);
	notify_own(s, to);
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
	notify_own(s, name);
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
