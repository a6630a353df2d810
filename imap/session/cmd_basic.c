/* The commands without much to do: CAPABILITY, NOOP (and CHECK), LOGOUT, ID, ENABLE, NAMESPACE,
 * IDLE. Called by step.c through the table. What NOOP is for, the session does at every
 * command's end. */
#include "core/base/log.h"
#include "core/mail/imaptext.h"
#include "imap/session/commands.h"

enum step
run_capability(struct imap_session *s, struct cmd *c)
{
	struct buf *out = session_out(s);

	buf_addz(out, "* ");
	capability_write(s);
	buf_addz(out, "\r\n");
	return cmd_ok(c, "Capability completed");
}

enum step
run_noop(struct imap_session *s UNUSED, struct cmd *c)
{
	return cmd_ok(c, "Completed");
}

enum step
run_logout(struct imap_session *s, struct cmd *c)
{
	session_deselect(s);
	buf_addz(session_out(s), "* BYE Logging out\r\n");
	s->closing = true;
	return cmd_ok(c, "Logout completed");
}

/* RFC 2971. What the client says of itself goes into the log, cut short. */
enum step
run_id(struct imap_session *s, struct cmd *c)
{
	struct str name = STR_EMPTY, version = STR_EMPTY;

	for (size_t i = 0; i + 1 < c->a.id.pairs_count; i += 2) {
		if (str_ieq(c->a.id.pairs[i], STR("name")))
			name = c->a.id.pairs[i + 1];
		else if (str_ieq(c->a.id.pairs[i], STR("version")))
			version = c->a.id.pairs[i + 1];
	}
	if (name.n != 0)
		log_event(LVL_INFO, "imap.client", log_z("sid", s->sid),
			log_s("name", str_sub(name, 0, 80)),
			log_s("version", str_sub(version, 0, 80)));
	buf_addz(session_out(s), "* ID (\"name\" \"Postroom\")\r\n");
	return cmd_ok(c, "ID completed");
}

static bool
names_has(const struct args_enable *a, const char *name)
{
	for (size_t i = 0; i < a->names_count; i++)
		if (str_ieq(a->names[i], str_of(name)))
			return true;
	return false;
}

/* RFC 5161: names that mean nothing here are passed over; what is said is what became new. */
enum step
run_enable(struct imap_session *s, struct cmd *c)
{
	struct buf *out = session_out(s);
	unsigned before = s->modes, modes = before;

	buf_addz(out, "* ENABLED");
	for (const struct enable *e = imap_enables; e->name != NULL; e++) {
		if ((before & e->modes) == e->modes || !names_has(&c->a.enable, e->name))
			continue;
		modes |= e->modes;
		buf_addc(out, ' ');
		buf_addz(out, e->name);
	}
	buf_addz(out, "\r\n");
	if ((modes & MODE_CONDSTORE) != 0)
		session_condstore(s);
	s->modes |= modes;
	return cmd_ok(c, "Enabled");
}

/* RFC 2342: personal mailboxes only; other users' and shared ones come with sharing. */
enum step
run_namespace(struct imap_session *s, struct cmd *c)
{
	const char sep[] = { s->imap->separator, '\0' };
	struct buf *out = session_out(s);

	buf_addz(out, "* NAMESPACE ((\"");
	if (s->imap->inbox_prefix) {
		buf_addz(out, "INBOX");
		buf_addz(out, sep);
	}
	buf_addz(out, "\" \"");
	buf_addz(out, sep);
	buf_addz(out, "\")) NIL NIL\r\n");
	return cmd_ok(c, "Namespace completed");
}

/*
 * RFC 4978. From the tagged line on; so nothing may be on its way behind the command.
 * A second one is BAD: NO is for a layer below, and there is none that compresses.
 */
enum step
run_compress(struct imap_session *s, struct cmd *c)
{
	if (!str_ieq(c->a.names.a, STR("DEFLATE")))
		return cmd_bad(c, "Only DEFLATE is known");
	if (s->compressed) {
		c->code = "COMPRESSIONACTIVE";
		return cmd_bad(c, "DEFLATE is active");
	}
	if (stream_in(s->stream)->n != 0)
		return cmd_bad(c, "Nothing may follow COMPRESS before its answer");
	s->compressed = s->compress_next = true;
	return cmd_ok(c, "DEFLATE active");
}

/* RFC 2177. The session goes on from here: what changed since the last command is said, then "+".
 */
enum step
run_idle(struct imap_session *s, struct cmd *c UNUSED)
{
	s->state = SESSION_IDLE;
	s->sel.dirty = true;
	s->last_probe_ms = loop_now_ms(s->imap->loop);
	return STEP_MORE;
}
