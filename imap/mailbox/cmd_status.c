/* STATUS. Called by step.c through the table. One read step, whatever the mailbox holds. RFC 3501
 * 6.3.10; RFC 9051 6.3.11; RFC 8438. */
#include "imap/session/commands.h"
#include "imap/session/listing.h"

enum step
run_status(struct imap_session *s, struct cmd *c)
{
	struct mailbox_info m;
	struct str name;
	struct txn *t;
	enum err e = session_mailbox(s, c->a.status.mailbox, &name);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	e = session_read(s, &t);
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	e = mailbox_find(t, name, &m);
	if (e == ERR_OK && m.noselect)
		e = ERR_NOTFOUND;
	if (e == ERR_OK && (c->a.status.items & STATUS_HIGHESTMODSEQ) != 0)
		session_condstore(s);
	if (e == ERR_OK)
		e = status_write(s, t, &m, name, c->a.status.items);
	store_read_end(t);
	return e == ERR_OK ? cmd_ok(c, "Status completed") : cmd_fail(s, c, e);
}
