/* The mailbox of a delivery; see deliver_target.h. Called by deliver.c: on the loop for names, on
 * the pool, within the update, for rows. Invariant: a sender reaches no mailbox that the user takes
 * for a record of what he did himself (sent, drafted, threw away), and makes no more mailboxes than
 * the operator allows. */
#include "core/store/deliver_target.h"

#include "core/store/op.h"

enum { OWN_USES = USE_SENT | USE_DRAFTS | USE_TRASH };

struct str
deliver_mailbox(struct str name)
{
	struct buf b;

	buf_init(&b, MAILBOX_NAME_MAX + 1);
	if (name.n == 0 || mailbox_name_check(name, &b) != ERR_OK)
		buf_reset(&b);
	struct str out = str_n(str_dup(buf_str(&b)), b.n);

	buf_fini(&b);
	return out;
}

/* Is the mailbox, or one above it, of such a use? */
static enum err
is_own(struct txn *t, struct str path, bool *out)
{
	struct mailbox_row row;

	*out = false;
	for (size_t i = 1; i <= path.n; i++) {
		if (i < path.n && path.p[i] != '/')
			continue;
		enum err e = mailbox_row_find(t, str_sub(path, 0, i), &row);

		if (e == ERR_NOTFOUND)
			return ERR_OK;
		if (e != ERR_OK)
			return e;
		if ((row.special_use & OWN_USES) != 0) {
			*out = true;
			return ERR_OK;
		}
	}
	return ERR_OK;
}

/* What clients cannot well name is not made: patterns of LIST, quotes, foreign namespaces. */
static bool
may_be_made(struct str path)
{
	for (size_t i = 0; i < path.n; i++) {
		bool first = i == 0 || path.p[i - 1] == '/';

		switch (path.p[i]) {
		case '%':
		case '*':
		case '"':
		case '\\':
			return false;
		case '#':
		case '~':
			if (first)
				return false;
			break;
		}
	}
	return true;
}

/* ERR_NOTFOUND: it is not to be made. */
static enum err
make(struct txn *t, const struct deliver_rcpt *to, struct mailbox_row *out)
{
	struct str v;
	uint64_t names;

	if (to->create_below == 0 || !may_be_made(to->mailbox))
		return ERR_NOTFOUND;
	enum err e = kv_count(t->kv, KV_NAME, &names);

	if (e != ERR_OK || names >= to->create_below)
		return e == ERR_OK ? ERR_NOTFOUND : e;
	e = path_create(t, to->mailbox, 0, out);
	if (e != ERR_OK)
		return e;
	e = txn_get(t, KV_SUBSCRIBED, to->mailbox, &v);
	if (e == ERR_NOTFOUND)
		writes_put(t->writes, KV_SUBSCRIBED, to->mailbox, STR_EMPTY);
	return e == ERR_NOTFOUND ? ERR_OK : e;
}

enum err
deliver_target(struct txn *t, const struct deliver_rcpt *to, struct mailbox_row *out)
{
	enum err e = ERR_NOTFOUND;
	bool own = false;

	if (to->mailbox.n > 0 && to->by_sender && (e = is_own(t, to->mailbox, &own)) != ERR_OK)
		return e;
	if (to->mailbox.n > 0 && !own) {
		e = op_row_by_path(t, to->mailbox, out);
		if (e == ERR_NOTFOUND && to->by_sender)
			e = make(t, to, out);
	}
	if (own || e == ERR_NOTFOUND)
		e = op_row_by_path(t, STR("INBOX"), out);
	return e;
}
