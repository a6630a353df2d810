/* APPEND: the message goes from the socket into the store's body as it arrives and is never
 * whole in memory. Called by step.c through the table, again for every piece of input.
 * Invariant: the message's octets and the rest of its line are consumed in any case before the
 * answer, unless the client was never told to send them. RFC 3501 6.3.11; RFC 4315. */
#include "imap/session/commands.h"

enum { APPEND_CHECK, APPEND_MESSAGE, APPEND_TAIL, APPEND_COMMIT };

struct append_state {
	struct body *body; /* NULL: what comes is dropped */
	struct str mailbox;
	uint64_t left;
	enum err err; /* why it is dropped */
	bool stopped; /* the disk has to catch up */
};

void
end_append(struct cmd *c)
{
	struct append_state *st = c->state;

	if (st != NULL && st->body != NULL)
		body_free(st->body);
	if (st != NULL)
		st->body = NULL;
}

static void
on_room(void *arg)
{
	struct imap_session *s = arg;
	struct append_state *st = s->cmd->state;

	st->stopped = false;
	session_resume(s);
}

static void
on_appended(void *arg, enum err e, const struct append_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;

	c->op = NULL;
	c->op_err = e;
	if (e == ERR_OK)
		buf_addf(&s->reply, "APPENDUID %u %u", r->uidvalidity, r->uid);
	session_resume(s);
}

static enum step
fail(struct imap_session *s, struct cmd *c, enum err e)
{
	if (e == ERR_NOTFOUND)
		return cmd_no(c, "TRYCREATE", "No such mailbox");
	return cmd_fail(s, c, e);
}

static enum err
find_target(struct imap_session *s, struct append_state *st)
{
	struct mailbox_info m;
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	e = mailbox_find(t, st->mailbox, &m);
	if (e == ERR_OK && m.noselect)
		e = ERR_DENIED;
	store_read_end(t);
	return e;
}

/* Before the first octet: is there a mailbox? A client that waits hears it now. */
static enum step
begin(struct imap_session *s, struct cmd *c)
{
	struct append_state *st = c->state;

	if (st == NULL) {
		st = arena_calloc(s->arena, 1, sizeof *st);
		if (st == NULL)
			return cmd_fail(s, c, ERR_LIMIT);
		c->state = st;
		st->left = c->a.append.literal;
		st->err = session_mailbox(s, c->a.append.mailbox, &st->mailbox);
	}
	enum err e = st->err != ERR_OK ? st->err : find_target(s, st);

	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK && c->a.append.sync)
		return fail(s, c, e);
	st->err = e;
	if (e == ERR_OK) {
		st->body = body_new(s->home, c->a.append.literal);
		body_on_room(st->body, on_room, s);
	}
	if (c->a.append.sync)
		buf_addz(session_out(s), "+ OK\r\n");
	c->phase = APPEND_MESSAGE;
	c->wants_input = true;
	c->unpinned = true;
	session_unpin(s);
	return STEP_MORE;
}

static enum step
take_message(struct imap_session *s, struct cmd *c)
{
	struct append_state *st = c->state;
	struct buf *in = stream_in(s->stream);
	size_t n = st->left < in->n ? (size_t)st->left : in->n;

	if (st->stopped)
		return STEP_WAIT;
	if (n != 0 && st->body != NULL) {
		enum err e = body_write(st->body, str_sub(buf_str(in), 0, n));

		st->stopped = e == ERR_AGAIN;
		if (e != ERR_OK && e != ERR_AGAIN) {
			st->err = e;
			end_append(c);
		}
	}
	buf_consume(in, n);
	st->left -= n;
	if (st->left == 0) {
		c->phase = APPEND_TAIL;
		return STEP_MORE;
	}
	return STEP_WAIT;
}

/* The rest of the line, which must be empty. */
static enum step
take_tail(struct imap_session *s, struct cmd *c)
{
	struct append_state *st = c->state;
	struct read_result r;
	struct buf *in = stream_in(s->stream);
	enum read_event ev = reader_step(&s->reader, &s->imap->limits.reader, in, &r);

	if (ev == READ_MORE)
		return STEP_WAIT;
	if (ev == READ_CONTINUE) {
		buf_addz(session_out(s), "+ OK\r\n");
		return STEP_MORE;
	}
	c->wants_input = false;
	bool empty = ev == READ_COMMAND && str_trim(str_sub(buf_str(in), 0, r.n)).n == 0;

	if (ev == READ_COMMAND || ev == READ_MESSAGE)
		buf_consume(in, r.n);
	if (ev == READ_FATAL)
		session_bye(s, "Too much data");
	if (!empty) {
		reader_init(&s->reader);
		return cmd_bad(c, "Only one message at a time");
	}
	if (st->err != ERR_OK)
		return fail(s, c, st->err);
	c->phase = APPEND_COMMIT;
	struct append_args a = {
		.mailbox = st->mailbox,
		.body = st->body,
		.flags = c->a.append.flags.system,
		.keywords = c->a.append.flags.keywords,
		.keywords_count = c->a.append.flags.keywords_count,
		.has_internal_date = c->a.append.has_date,
		.internal_sec = c->a.append.date_sec,
		.internal_zone_min = c->a.append.date_zone_min,
	};
	body_on_room(st->body, NULL, NULL);
	st->body = NULL;
	c->op = store_append(s->home, &a, on_appended, s);
	return STEP_WAIT;
}

enum step
run_append(struct imap_session *s, struct cmd *c)
{
	switch (c->phase) {
	case APPEND_CHECK:
		return begin(s, c);
	case APPEND_MESSAGE:
		return take_message(s, c);
	case APPEND_TAIL:
		return take_tail(s, c);
	}
	return c->op_err == ERR_OK ? cmd_ok(c, "Appended") : fail(s, c, c->op_err);
}
