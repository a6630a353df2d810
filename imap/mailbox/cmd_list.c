/* LIST, LSUB, STATUS. Called by step.c through the table. One read step each: a home has some
 * hundreds of mailboxes, and their names are read in one walk. RFC 3501 6.3.8 to 6.3.10;
 * RFC 3348, RFC 6154. */
#include "core/mail/charset.h"
#include "core/mail/utf7.h"
#include "imap/session/commands.h"
#include "imap/grammar/pattern.h"
#include "imap/session/write.h"

struct lister {
	struct buf *out;
	struct txn *txn;
	struct str pattern; /* UTF-8, the reference in front */
	bool special_use_only;
	struct str last; /* LSUB: the parent said last; points into last_buf */
	struct buf last_buf;
};

static void
write_attributes(struct buf *out, const struct mailbox_info *m)
{
	buf_addz(out, m->has_children ? "(\\HasChildren" : "(\\HasNoChildren");
	if (m->noselect)
		buf_addz(out, " \\Noselect");
	for (unsigned bits = m->special_use; bits != 0; bits &= bits - 1) {
		buf_addc(out, ' ');
		buf_addz(out, special_use_name(bits & -bits));
	}
	buf_addc(out, ')');
}

static enum err
list_one(void *arg, const struct mailbox_info *m)
{
	struct lister *l = arg;

	if ((l->special_use_only && m->special_use == 0) || !pattern_matches(l->pattern, m->name))
		return ERR_OK;
	buf_addz(l->out, "* LIST ");
	write_attributes(l->out, m);
	buf_addz(l->out, " \"/\" ");
	write_mailbox(l->out, m->name);
	buf_addz(l->out, "\r\n");
	return ERR_OK;
}

static void
lsub_line(struct lister *l, const char *attributes, struct str name)
{
	buf_addz(l->out, "* LSUB (");
	buf_addz(l->out, attributes);
	buf_addz(l->out, ") \"/\" ");
	write_mailbox(l->out, name);
	buf_addz(l->out, "\r\n");
}

/* RFC 3501 6.3.9: with "%", a parent of something subscribed is named with \Noselect. */
static enum err
lsub_one(void *arg, struct str name)
{
	struct lister *l = arg;

	if (pattern_matches(l->pattern, name)) {
		lsub_line(l, "", name);
		return ERR_OK;
	}
	if (l->pattern.n == 0 || l->pattern.p[l->pattern.n - 1] != '%')
		return ERR_OK;
	for (size_t n = str_rchr(name, '/'); n < name.n; n = str_rchr(name, '/')) {
		name = str_sub(name, 0, n);
		if (!pattern_matches(l->pattern, name))
			continue;
		/* names come in order, so those of one parent are neighbours; one that is
		 * subscribed itself has its own line */
		if (!str_eq(l->last, name) && !subscribed_has(l->txn, name))
			lsub_line(l, "\\Noselect", name);
		buf_reset(&l->last_buf);
		buf_add(&l->last_buf, name);
		l->last = buf_str(&l->last_buf);
		break;
	}
	return ERR_OK;
}

/* Reference and pattern in one, in the form that names have here; false: no mailbox can match. */
static bool
make_pattern(struct imap_session *s, struct cmd *c, struct str *out)
{
	struct buf utf8, nfc;
	bool ok;

	buf_init(&utf8, 4096);
	buf_init(&nfc, 4096);
	ok = utf7_to_utf8(&utf8, c->a.names.a) == ERR_OK &&
	     utf7_to_utf8(&utf8, c->a.names.b) == ERR_OK &&
	     charset_nfc(&nfc, buf_str(&utf8)) == ERR_OK && buf_check(&nfc) == ERR_OK &&
	     arena_str(s->arena, buf_str(&nfc), out) == ERR_OK;
	buf_fini(&utf8);
	buf_fini(&nfc);
	return ok;
}

static enum step
run(struct imap_session *s, struct cmd *c, bool subscribed)
{
	struct lister l = { .out = session_out(s),
		.special_use_only = c->a.names.special_use_only,
		.last = STR_EMPTY };
	struct txn *t;

	/* LIST "" "": the separator is asked for */
	if (!subscribed && c->a.names.b.n == 0) {
		buf_addz(l.out, "* LIST (\\Noselect) \"/\" \"\"\r\n");
		return cmd_ok(c, "List completed");
	}
	if (!make_pattern(s, c, &l.pattern))
		return cmd_ok(c, "List completed");
	enum err e = session_read(s, &t);

	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	l.txn = t;
	buf_init(&l.last_buf, 4096);
	e = subscribed ? subscribed_walk(t, lsub_one, &l) : mailbox_walk(t, list_one, &l);
	buf_fini(&l.last_buf);
	store_read_end(t);
	return e == ERR_OK ? cmd_ok(c, "List completed") : cmd_fail(s, c, e);
}

enum step
run_list(struct imap_session *s, struct cmd *c)
{
	return run(s, c, false);
}

enum step
run_lsub(struct imap_session *s, struct cmd *c)
{
	return run(s, c, true);
}

/* ---- STATUS ---- */

static void
write_status(struct buf *out, struct str name, unsigned items, const struct mailbox_info *m,
	uint32_t recent)
{
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
		{ STATUS_HIGHESTMODSEQ, "HIGHESTMODSEQ ", m->highestmodseq },
	};
	bool first = true;

	buf_addz(out, "* STATUS ");
	write_mailbox(out, name);
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
	buf_addz(out, ")\r\n");
}

enum step
run_status(struct imap_session *s, struct cmd *c)
{
	struct mailbox_info m;
	struct str name;
	struct txn *t;
	uint32_t recent = 0;
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
	if (e == ERR_OK && (c->a.status.items & STATUS_RECENT) != 0)
		e = mailbox_recent(t, &m, &recent);
	if (e == ERR_OK && (c->a.status.items & STATUS_HIGHESTMODSEQ) != 0)
		session_condstore(s);
	/* of the selected mailbox, what was announced: RFC 7162 3.2 */
	if (e == ERR_OK && s->sel.view != NULL && view_mailbox(s->sel.view) == m.id)
		m.highestmodseq = view_modseq(s->sel.view);
	if (e == ERR_OK)
		write_status(session_out(s), name, c->a.status.items, &m, recent);
	store_read_end(t);
	return e == ERR_OK ? cmd_ok(c, "Status completed") : cmd_fail(s, c, e);
}
