/* NOTIFY. Called by step.c through the table. What other mailboxes there are is looked at in steps
 * before anything is said; a command that is refused leaves what was asked for before. RFC 5465
 * 3.1. */
#include "imap/session/commands.h"
#include "imap/session/notify.h"

static enum step
refuse(struct cmd *c, enum err e, struct imap_session *s)
{
	if (e == ERR_LIMIT)
		return cmd_no(c, "NOTIFICATIONOVERFLOW", "More than can be watched");
	return cmd_fail(s, c, e);
}

static bool
all_known(const struct args_notify *a)
{
	for (size_t i = 0; i < a->groups_count; i++)
		if ((a->groups[i].events & EVENT_UNKNOWN) != 0)
			return false;
	return true;
}

enum step
run_notify(struct imap_session *s, struct cmd *c)
{
	const struct args_notify *a = &c->a.notify;
	struct notify *n = c->state;
	enum err e = ERR_OK;

	if (!all_known(a))
		return cmd_no(c,
			"BADEVENT (MessageNew MessageExpunge FlagChange MailboxName "
			"SubscriptionChange MailboxMetadataChange ServerMetadataChange)",
			"Not all of these events are known here");
	if (n == NULL) {
		e = notify_new(s, a, &n);
		c->state = n;
	}
	if (e == ERR_OK && n->rules_count != 0)
		e = notify_look(s, n, a->status ? LOOK_STATUS : LOOK_QUIETLY);
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return refuse(c, e, s);
	notify_set(s, n);
	c->state = NULL;
	/* what accumulated in the selected mailbox is said now, as by NOOP */
	c->tells_all = !a->none;
	return cmd_ok(c, a->none ? "Nothing is watched" : "Watching");
}

void
end_notify(struct cmd *c)
{
	notify_free(c->state);
	c->state = NULL;
}
