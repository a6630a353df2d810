/* LIST and STATUS responses; see listing.h. Called by the commands about mailboxes. Invariant: one
 * line a mailbox, whole. RFC 3501 7.2.2, 7.2.4; RFC 5258; RFC 9051 7.3.1, 7.3.4. */
#include "imap/session/listing.h"

#include "core/mail/imaptext.h"
#include "imap/session/objectid.h"
#include "imap/session/write.h"
#include "imap/session/names.h"

static void
add_attribute(struct buf *out, bool *first, const char *name)
{
	if (!*first)
		buf_addc(out, ' ');
	buf_addz(out, name);
	*first = false;
}

static void
write_attributes(struct buf *out, const struct list_line *l)
{
	const struct mailbox_info *m = l->m;
	bool children = m != NULL && m->has_children, exists = m != NULL && !m->noselect;
	bool first = true;

	buf_addc(out, '(');
	if ((l->flags & LINE_NO_CHILDREN) == 0)
		add_attribute(out, &first, children ? "\\HasChildren" : "\\HasNoChildren");
	if (!exists)
		add_attribute(out, &first,
			(l->flags & LINE_EXTENDED) != 0 ? "\\NonExistent" : "\\Noselect");
	if ((l->flags & LINE_SUBSCRIBED) != 0)
		add_attribute(out, &first, "\\Subscribed");
	for (unsigned bits = m != NULL ? m->special_use : 0; bits != 0; bits &= bits - 1)
		add_attribute(out, &first, special_use_name(bits & -bits));
	buf_addc(out, ')');
}

static void
write_separator(const struct imap_session *s, struct buf *out)
{
	buf_addz(out, " \"");
	buf_addc(out, s->imap->separator);
	buf_addz(out, "\" ");
}

/* "("CHILDINFO" ("SUBSCRIBED") "OLDNAME" ("before"))" */
static void
write_extended(const struct imap_session *s, struct buf *out, const struct list_line *l)
{
	bool subscribed = (l->flags & LINE_CHILD_SUBSCRIBED) != 0;
	bool special = (l->flags & LINE_CHILD_SPECIAL_USE) != 0;

	bool renamed = l->old.n != 0 || l->old_name.n != 0;

	if (!subscribed && !special && !renamed)
		return;
	buf_addz(out, " (");
	if (subscribed || special) {
		buf_addz(out, "\"CHILDINFO\" (");
		buf_addz(out, subscribed ? "\"SUBSCRIBED\"" : "");
		buf_addz(out, subscribed && special ? " " : "");
		buf_addz(out, special ? "\"SPECIAL-USE\"" : "");
		buf_addc(out, ')');
	}
	if (renamed) {
		buf_addz(out, subscribed || special ? " \"OLDNAME\" (" : "\"OLDNAME\" (");
		if (l->old.n != 0)
			write_utf8_quoted(out, l->old);
		else
			session_write_outer(s, out, l->old_name);
		buf_addc(out, ')');
	}
	buf_addc(out, ')');
}

void
list_line_write(const struct imap_session *s, struct buf *out, const struct list_line *l)
{
	buf_addz(out, "* LIST ");
	write_attributes(out, l);
	write_separator(s, out);
	session_write_outer(s, out, l->outer);
	write_extended(s, out, l);
	buf_addz(out, "\r\n");
}

static enum err
has_others(void *arg, const struct mailbox_info *m)
{
	bool *found = arg;

	*found = !str_eq(m->name, STR("INBOX"));
	return *found ? ERR_EOF : ERR_OK;
}

enum err
listing_children(const struct imap_session *s, struct txn *t, struct mailbox_info *m)
{
	if (!s->imap->inbox_prefix || !str_eq(m->name, STR("INBOX")))
		return ERR_OK;
	m->has_children = false;
	enum err e = mailbox_walk(t, has_others, &m->has_children);

	return e == ERR_EOF ? ERR_OK : e;
}

void
metadata_write(const struct imap_session *s, struct str name, struct str entry, struct str value,
	bool first)
{
	struct buf *out = &s->imap->out;

	if (first) {
		buf_addz(out, "* METADATA ");
		if (name.n != 0)
			session_write_mailbox(s, out, name);
		else
			buf_addz(out, "\"\"");
		buf_addz(out, " (");
	} else {
		buf_addc(out, ' ');
	}
	write_astring(out, entry);
	buf_addc(out, ' ');
	if (value.p != NULL && str_has_nul(value)) {
		buf_addf(out, "~{%zu}\r\n", value.n);
		buf_add(out, value);
	} else {
		imaptext_nstring(out, value);
	}
}

struct str
metadata_use(unsigned uses, struct buf *b)
{
	for (; uses != 0; uses &= uses - 1) {
		buf_addz(b, b->n != 0 ? " " : "");
		buf_addz(b, special_use_name(uses & -uses));
	}
	return b->n != 0 ? buf_str(b) : (struct str){ NULL, 0 };
}

enum err
status_write(struct imap_session *s, struct txn *t, const struct mailbox_info *m, struct str name,
	unsigned items)
{
	struct buf *out = session_out(s);
	bool selected = s->sel.view != NULL && view_mailbox(s->sel.view) == m->id;
	uint32_t recent = 0;
	bool first = true;
	enum err e = (items & STATUS_RECENT) != 0 ? mailbox_recent(t, m, &recent) : ERR_OK;
	const struct {
		unsigned bit;
		const char *name;
		uint64_t value;
	} rows[] = {
		{ STATUS_MESSAGES, "MESSAGES ", m->messages },
		{ STATUS_RECENT, "RECENT ", recent },
		{ STATUS_UIDNEXT, "UIDNEXT ", m->uidnext },
		{ STATUS_UIDVALIDITY, "UIDVALIDITY ", m->uidvalidity },
		{ STATUS_UNSEEN, "UNSEEN ", m->unseen },
		{ STATUS_HIGHESTMODSEQ, "HIGHESTMODSEQ ",
			/* of the selected mailbox, what was announced: RFC 7162 3.2 */
			selected ? session_known_modseq(s) : m->highestmodseq },
		{ STATUS_SIZE, "SIZE ", m->bytes },
		{ STATUS_DELETED, "DELETED ", m->deleted },
		{ STATUS_DELETED_STORAGE, "DELETED-STORAGE ", m->deleted_bytes },
		{ STATUS_APPENDLIMIT, "APPENDLIMIT ", s->imap->limits.reader.message_max },
	};

	if (e != ERR_OK)
		return e;
	buf_addz(out, "* STATUS ");
	session_write_mailbox(s, out, name);
	buf_addz(out, " (");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if ((items & rows[i].bit) == 0)
			continue;
		if (!first)
			buf_addc(out, ' ');
		buf_addz(out, rows[i].name);
		buf_addu(out, rows[i].value);
		first = false;
	}
	if ((items & STATUS_MAILBOXID) != 0) {
		buf_addz(out, first ? "MAILBOXID " : " MAILBOXID ");
		write_objectid(out, OBJECT_MAILBOX, objectid_mailbox(m->id, m->uidvalidity));
	}
	buf_addz(out, ")\r\n");
	return ERR_OK;
}
