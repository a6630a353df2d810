/* GETQUOTA, GETQUOTAROOT. Called by step.c through the table. One root for all of a user's
 * mailboxes; its limits are the directory's, so there is no SETQUOTA. Who has no limit has no root:
 * a list of no resources is not in the grammar. RFC 9208 4.1, 7. */
#include "core/store/quota.h"
#include "imap/session/commands.h"
#include "imap/session/names.h"
#include "imap/session/write.h"

static const char root[] = "User quota";

enum { STORAGE_UNIT = 1024 };

static uint64_t
in_units(uint64_t bytes)
{
	return bytes / STORAGE_UNIT + (bytes % STORAGE_UNIT != 0);
}

/* "STORAGE 10 512": resources without a limit are not named. RFC 9208 4.2.1. */
static void
write_resource(struct buf *out, bool *first, const char *name, uint64_t use, uint64_t limit)
{
	if (limit == 0)
		return;
	buf_addz(out, *first ? "" : " ");
	buf_addz(out, name);
	write_number(out, use);
	buf_addc(out, ' ');
	write_number(out, limit);
	*first = false;
}

static bool
has_root(const struct imap_session *s)
{
	struct quota_limit limit = home_quota(s->home);

	return limit.bytes != 0 || limit.messages != 0;
}

/* ERR_AGAIN as session_read. */
static enum err
write_quota(struct imap_session *s)
{
	struct quota_limit limit = home_quota(s->home);
	struct buf *out = session_out(s);
	struct quota_use use;
	bool first = true;
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	e = quota_use_get(t, &use);
	store_read_end(t);
	if (e != ERR_OK)
		return e;
	buf_addf(out, "* QUOTA \"%s\" (", root);
	write_resource(out, &first, "STORAGE ", in_units(use.bytes), in_units(limit.bytes));
	write_resource(out, &first, "MESSAGE ", use.messages, limit.messages);
	buf_addz(out, ")\r\n");
	return ERR_OK;
}

static enum step
finish(struct imap_session *s, struct cmd *c, enum err e)
{
	if (e == ERR_AGAIN)
		return STEP_MORE;
	return e == ERR_OK ? cmd_ok(c, "Quota completed") : cmd_fail(s, c, e);
}

enum step
run_getquota(struct imap_session *s, struct cmd *c)
{
	if (!str_eq(c->a.names.a, str_of(root)) || !has_root(s))
		return cmd_no(c, "NONEXISTENT", "No such quota root");
	return finish(s, c, write_quota(s));
}

/* Also for names of mailboxes that are not there yet: where they would count. */
enum step
run_getquotaroot(struct imap_session *s, struct cmd *c)
{
	struct str name;
	enum err e = session_mailbox(s, c->a.names.a, &name);

	if (e == ERR_OK && c->phase++ == 0) {
		struct buf *out = session_out(s);

		buf_addz(out, "* QUOTAROOT ");
		session_write_mailbox(s, out, name);
		if (has_root(s))
			buf_addf(out, " \"%s\"", root);
		buf_addz(out, "\r\n");
	}
	if (e == ERR_OK && has_root(s))
		e = write_quota(s);
	return finish(s, c, e);
}
