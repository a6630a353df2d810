/* APPEND and REPLACE: messages go from the socket, and from other messages, into bodies of the
 * store as they arrive and are never whole in memory; one transaction makes their entries. Called
 * by step.c through the table, again for every piece of input. Invariant: octets that the client
 * was told to send, or sends unasked, are consumed to the command's end before the answer, whatever
 * went wrong; nothing is left of a command that has not succeeded. RFC 3501 6.3.11; RFC 3502; RFC
 * 4315; RFC 4469; RFC 8508. */
#include "imap/append/url_part.h"
#include "core/store/quota.h"
#include "imap/session/commands.h"
#include "imap/session/limit.h"

enum {
	APPEND_CHECK,
	APPEND_EVENTS, /* what a text said, one by one */
	APPEND_PART,   /* octets of a URL */
	APPEND_OCTETS, /* octets of a literal */
	APPEND_TEXT,   /* the next text */
	APPEND_COMMIT,
};
enum { PIECE_BYTES = 64 * 1024 };

struct append_state {
	struct append_set *set; /* messages that are whole */
	struct body *body;	/* of the one that is coming; NULL: what comes is dropped */
	const struct append_event *message; /* its flags and date */
	struct str mailbox;
	size_t event;
	uint64_t left;
	uint64_t room; /* octets that the quota leaves, as far as is known before the commit */
	struct url_part part;
	bool stopped; /* the disk has to catch up */
	bool refused; /* the command's result is set already */
	bool replace;
	/* of the message that is coming; see header_plain */
	bool header_over, line_begun;
	uint32_t replaced_mailbox, replaced_uid;
};

static void
drop(struct append_state *st)
{
	if (st->body != NULL)
		body_free(st->body);
	st->body = NULL;
	append_set_free(st->set);
	st->set = NULL;
	url_part_close(&st->part);
}

void
end_append(struct cmd *c)
{
	if (c->state != NULL)
		drop(c->state);
}

static void
on_room(void *arg)
{
	struct imap_session *s = arg;
	struct append_state *st = s->cmd->state;

	st->stopped = false;
	session_resume(s);
}

/* ---- refusals: the first one is the command's result ---- */

static void
refuse(struct cmd *c, enum result result, const char *code, const char *text)
{
	struct append_state *st = c->state;

	if (st->refused)
		return;
	st->refused = true;
	c->result = result;
	c->code = code;
	c->text = text;
	drop(st);
}

static void
refuse_err(struct imap_session *s, struct cmd *c, enum err e)
{
	const struct append_state *st = c->state;

	if (st->refused)
		return;
	if (e == ERR_NOTFOUND)
		(void)cmd_no(c, "TRYCREATE", "No such mailbox");
	else
		(void)cmd_fail(s, c, e);
	refuse(c, c->result, c->code, c->text);
}

static void
refuse_too_big(struct cmd *c)
{
	refuse(c, RESULT_NO, "TOOBIG", "Message is too large");
}

/* `BADURL "/Drafts;UID=2"`: what cannot stand in a code is left as its hex. RFC 4469 4.2. */
static void
refuse_url(struct imap_session *s, struct cmd *c, struct str url)
{
	const struct append_state *st = c->state;
	struct buf *out = &s->reply;

	if (st->refused)
		return;
	buf_addz(out, "BADURL \"");
	for (size_t i = 0; i < url.n && i < 1000; i++) {
		unsigned char b = (unsigned char)url.p[i];

		if (b <= ' ' || b >= 0x7f || b == '"' || b == '\\' || b == ']')
			buf_addf(out, "%%%02X", b);
		else
			buf_addc(out, (char)b);
	}
	buf_addc(out, '"');
	refuse(c, RESULT_NO, NULL, "URL names nothing here");
}

/* ---- the beginning ---- */

static enum err
find_target(struct imap_session *s, struct append_state *st)
{
	const struct quota_use one = { .messages = 1, .bytes = 1 };
	const struct quota_limit limit = home_quota(s->home);
	struct quota_use use;
	struct mailbox_info m;
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	e = mailbox_find(t, st->mailbox, &m);
	if (e == ERR_OK && m.noselect)
		e = ERR_NOTFOUND;
	/* what is full is said before a message is sent; REPLACE may make it smaller */
	st->room = UINT64_MAX;
	if (e == ERR_OK && !st->replace && (e = quota_use_get(t, &use)) == ERR_OK) {
		if (quota_exceeded(limit, use, one))
			e = ERR_QUOTA;
		else if (limit.bytes != 0)
			st->room = limit.bytes - use.bytes;
	}
	store_read_end(t);
	return e;
}

/* The message that REPLACE names. */
static void
find_replaced(struct imap_session *s, struct cmd *c)
{
	const struct args_append *a = &c->a.append;
	struct append_state *st = c->state;
	const struct view *v = s->sel.view;
	uint32_t n = a->number, uid;

	if (v == NULL) {
		refuse(c, RESULT_BAD, NULL, "No mailbox is selected");
		return;
	}
	if (!a->uid && (s->modes & MODE_UIDONLY) != 0) {
		(void)cmd_uid_required(c);
		refuse(c, c->result, c->code, c->text);
		return;
	}
	if (s->sel.read_only) {
		refuse(c, RESULT_NO, "READ-ONLY", "The mailbox is open for reading only");
		return;
	}
	if (a->uid)
		uid = n == 0 ? view_last_uid(v) : view_seq_of_uid(v, n) != 0 ? n : 0;
	else
		uid = view_uid_of_seq(v, n == 0 ? view_count(v) : n);
	if (uid == 0)
		refuse(c, a->uid ? RESULT_NO : RESULT_BAD, NULL, "No such message");
	st->replaced_mailbox = view_mailbox(v);
	st->replaced_uid = uid;
}

static enum step
begin(struct imap_session *s, struct cmd *c)
{
	struct append_state *st = c->state;
	enum err e = ERR_OK;

	if (st == NULL) {
		st = arena_calloc(s->arena, 1, sizeof *st);
		if (st == NULL) {
			s->dead = true;
			return STEP_WAIT;
		}
		c->state = st;
		st->part.fd = -1;
		st->replace = c->a.append.replace;
		if (st->replace)
			find_replaced(s, c);
		e = session_mailbox(s, c->a.append.mailbox, &st->mailbox);
		if (e != ERR_OK)
			refuse_err(s, c, e);
	}
	if (c->pin_err != ERR_OK)
		refuse_err(s, c, c->pin_err);
	if (!st->refused) {
		e = find_target(s, st);
		if (e == ERR_AGAIN)
			return STEP_MORE;
		if (e != ERR_OK)
			refuse_err(s, c, e);
	}
	if (!st->refused) {
		st->set = append_set_new(s->home);
		append_set_on_room(st->set, on_room, s);
	}
	c->phase = APPEND_EVENTS;
	return STEP_MORE;
}

/* ---- what the texts say ---- */

static void
message_begins(struct imap_session *s, struct cmd *c, const struct append_event *event)
{
	struct append_state *st = c->state;
	enum err e = append_set_error(st->set);

	if (e != ERR_OK) {
		refuse_err(s, c, e);
	} else if (st->replace && append_set_count(st->set) != 0) {
		refuse(c, RESULT_BAD, NULL, "REPLACE takes one message");
	} else if (limit_exceeded(s, append_set_count(st->set) + (uint64_t)1)) {
		(void)limit_refuse(s, c);
		refuse(c, c->result, c->code, c->text);
	} else if (append_set_count(st->set) == APPEND_SET_MAX) {
		refuse(c, RESULT_NO, "LIMIT", "Too many messages at once");
	} else {
		st->message = event;
		st->header_over = st->line_begun = false;
		st->body = body_new(s->home, s->imap->limits.reader.message_max);
		body_on_room(st->body, on_room, s);
		body_textual(st->body);
	}
}

/* An empty message is how a client takes an APPEND back. RFC 3502 6.3.11. */
static void
message_ends(struct cmd *c)
{
	struct append_state *st = c->state;
	const struct append_event *m = st->message;
	struct append_args a = {
		.body = st->body,
		.flags = m->flags.system,
		.keywords = m->flags.keywords,
		.keywords_count = m->flags.keywords_count,
		.has_internal_date = m->has_date,
		.internal_sec = m->date_sec,
		.internal_zone_min = m->date_zone_min,
		.last = !c->a.append.more && st->event + 1 == c->a.append.events_count,
	};

	if (body_size(st->body) == 0) {
		refuse(c, RESULT_NO, NULL, "An empty message is not kept");
		return;
	}
	body_on_room(st->body, NULL, NULL);
	st->body = NULL;
	append_set_add(st->set, &a);
}

/* ERR_AGAIN: the index is opened anew; ERR_BUSY: the pool reads. */
static enum err
part_begins(struct imap_session *s, struct cmd *c, struct str url)
{
	struct append_state *st = c->state;
	enum err e = url_part_open(s, url, &st->part);

	if (e == ERR_NOTFOUND)
		refuse_url(s, c, url);
	else if (e != ERR_OK && e != ERR_AGAIN && e != ERR_BUSY)
		refuse_err(s, c, e);
	else if (e == ERR_OK &&
		 st->part.left > s->imap->limits.reader.message_max - body_size(st->body))
		refuse_too_big(c);
	return e == ERR_AGAIN || e == ERR_BUSY ? e : ERR_OK;
}

/* Octets of a message come next. A client that waits hears now what is wrong. */
static enum step
octets_begin(struct imap_session *s, struct cmd *c)
{
	const struct args_append *a = &c->a.append;
	struct append_state *st = c->state;

	if (!st->refused && a->literal > s->imap->limits.reader.message_max - body_size(st->body))
		refuse_too_big(c);
	if (!st->refused && a->literal > st->room)
		refuse_err(s, c, ERR_QUOTA);
	if (st->refused && a->sync) {
		reader_init(&s->reader);
		return STEP_DONE;
	}
	if (a->sync)
		buf_addz(session_out(s), "+ OK\r\n");
	st->left = a->literal;
	st->room -= st->refused ? 0 : a->literal;
	c->phase = APPEND_OCTETS;
	c->wants_input = true;
	c->unpinned = true;
	session_unpin(s);
	return STEP_MORE;
}

static void
on_appended(void *arg, enum err e, const struct append_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;
	struct append_state *st = c->state;
	struct buf *out = st->replace ? session_out(s) : &s->reply;

	c->op = NULL;
	c->op_err = e;
	if (e == ERR_NOTFOUND && r->replaced_gone)
		refuse(c, RESULT_NO, "EXPUNGEISSUED", "The message is gone already");
	if (e == ERR_OK && s->sel.view != NULL && r->mailbox == view_mailbox(s->sel.view))
		uidset_add(&s->sel.made, r->uid, r->uid + r->count - 1);
	if (e == ERR_OK) {
		/* REPLACE says it before the EXPUNGE. RFC 8508 3.4 */
		if (st->replace)
			buf_addz(out, "* OK [");
		buf_addf(out, "APPENDUID %u %u", r->uidvalidity, r->uid);
		if (r->count > 1)
			buf_addf(out, ":%u", r->uid + r->count - 1);
		if (st->replace)
			buf_addz(out, "] Replacement is stored\r\n");
	}
	session_resume(s);
}

static enum step
commit(struct imap_session *s, struct cmd *c)
{
	struct append_state *st = c->state;
	const struct append_commit a = {
		.mailbox = st->mailbox,
		.replaced_mailbox = st->replaced_mailbox,
		.replaced_uid = st->replaced_uid,
	};
	struct append_set *set = st->set;

	if (st->refused)
		return STEP_DONE;
	st->set = NULL;
	c->phase = APPEND_COMMIT;
	c->op = append_set_commit(set, &a, on_appended, s);
	return STEP_WAIT;
}

static enum step
take_events(struct imap_session *s, struct cmd *c)
{
	const struct args_append *a = &c->a.append;
	struct append_state *st = c->state;
	enum err e;

	if (c->pin_err != ERR_OK)
		refuse_err(s, c, c->pin_err);
	for (; st->event < a->events_count && !st->refused; st->event++) {
		const struct append_event *event = &a->events[st->event];

		switch (event->kind) {
		case APPEND_BEGIN:
			message_begins(s, c, event);
			break;
		case APPEND_URL:
			e = part_begins(s, c, event->url);
			if (e != ERR_OK)
				return e == ERR_BUSY ? STEP_WAIT : STEP_MORE;
			if (st->refused)
				break;
			st->event++;
			c->phase = APPEND_PART;
			return STEP_MORE;
		case APPEND_END:
			if (append_set_full(st->set))
				return STEP_WAIT;
			message_ends(c);
			break;
		}
	}
	return a->more ? octets_begin(s, c) : commit(s, c);
}

/* ---- octets ---- */

/* RFC 9755 4: the first octets of a message, up to the empty line, are ASCII. */
static bool
header_plain(struct append_state *st, struct str bytes)
{
	for (size_t i = 0; i < bytes.n && !st->header_over; i++) {
		unsigned char b = (unsigned char)bytes.p[i];

		if (b >= 0x80)
			return false;
		if (b == '\n') {
			st->header_over = !st->line_begun;
			st->line_begun = false;
		} else if (b != '\r') {
			st->line_begun = true;
		}
	}
	return true;
}

static void
put_octets(struct imap_session *s, struct cmd *c, struct str bytes)
{
	struct append_state *st = c->state;

	if (bytes.n == 0 || st->body == NULL)
		return;
	if (s->imap->limits.plain_headers && (s->modes & (MODE_UTF8 | MODE_REV2)) == 0 &&
		!header_plain(st, bytes)) {
		refuse(c, RESULT_NO, NULL, "An 8-bit header needs ENABLE UTF8=ACCEPT first");
		return;
	}
	enum err e = body_write(st->body, bytes);

	st->stopped = e == ERR_AGAIN;
	if (e == ERR_LIMIT)
		refuse_too_big(c);
	else if (e != ERR_OK && e != ERR_AGAIN)
		refuse_err(s, c, e);
}

/* A piece of what a URL names. */
static enum step
take_part(struct imap_session *s, struct cmd *c)
{
	static char piece[PIECE_BYTES];
	struct append_state *st = c->state;
	size_t n = 0;

	if (st->stopped)
		return STEP_WAIT;
	if (!st->refused && st->part.left != 0) {
		enum err e = url_part_read(s, &st->part, piece, sizeof piece, &n);

		if (e == ERR_BUSY)
			return STEP_WAIT;
		if (e != ERR_OK)
			refuse_err(s, c, e);
		else
			put_octets(s, c, str_n(piece, n));
	}
	if (!st->refused && st->part.left != 0)
		return st->stopped ? STEP_WAIT : STEP_MORE;
	url_part_close(&st->part);
	c->phase = APPEND_EVENTS;
	return st->stopped ? STEP_WAIT : STEP_MORE;
}

/* What is awaited may never come. */
static enum step
await_input(struct imap_session *s)
{
	if (s->eof)
		s->dead = true;
	return STEP_WAIT;
}

static enum step
take_octets(struct imap_session *s, struct cmd *c)
{
	struct append_state *st = c->state;
	struct buf *in = stream_in(s->stream);
	size_t n = st->left < in->n ? (size_t)st->left : in->n;

	if (st->stopped)
		return STEP_WAIT;
	put_octets(s, c, str_sub(buf_str(in), 0, n));
	buf_consume(in, n);
	st->left -= n;
	if (st->left != 0)
		return await_input(s);
	c->phase = APPEND_TEXT;
	return STEP_MORE;
}

/* What comes behind a literal is at the front of the input, n octets of it. */
static void
parse_text(struct imap_session *s, struct cmd *c, enum append_place from, bool message,
	const struct read_result *r)
{
	struct append_state *st = c->state;
	struct buf *in = stream_in(s->stream);
	struct str text = str_sub(buf_str(in), 0, r->n);
	struct args_append a = { .more = message };
	struct parser p;
	enum err e = ERR_OK;

	if (message)
		text.n = str_rchr(text, '{');
	/* of a command that was refused only its length matters */
	if (!st->refused) {
		e = arena_str(s->arena, text, &text);
		parser_init(&p, text, s->arena);
		if (e == ERR_OK)
			e = parse_append(&p, from, &a);
		if (e == ERR_SYNTAX)
			refuse(c, RESULT_BAD, NULL, p.why);
		else if (e != ERR_OK)
			refuse(c, RESULT_NO, "LIMIT", "Command too large");
	}
	if (st->refused)
		a = (struct args_append){ .more = message };
	a.literal = r->literal;
	a.sync = r->sync;
	c->a.append = a;
	st->event = 0;
	buf_consume(in, r->n);
}

static enum step
take_text(struct imap_session *s, struct cmd *c)
{
	enum append_place from = s->reader.place;
	struct read_result r;
	enum read_event ev = session_next(s, &r);

	switch (ev) {
	case READ_MORE:
		return await_input(s);
	case READ_CONTINUE:
		buf_addz(session_out(s), "+ OK\r\n");
		return STEP_MORE;
	case READ_COMMAND:
	case READ_MESSAGE:
		parse_text(s, c, from, ev == READ_MESSAGE, &r);
		c->wants_input = false;
		/* URLs are read in pinned steps */
		c->unpinned = ((struct append_state *)c->state)->refused;
		c->phase = APPEND_EVENTS;
		return STEP_MORE;
	case READ_TOO_LARGE:
		refuse(c, RESULT_BAD, "LIMIT", "Command is too large");
		break;
	case READ_TOO_BIG:
		refuse_too_big(c);
		break;
	case READ_WRONG:
		refuse(c, RESULT_BAD, NULL, r.why);
		break;
	case READ_FATAL:
		session_bye(s, "Too much data");
		return STEP_WAIT;
	}
	c->wants_input = false;
	reader_init(&s->reader);
	return STEP_DONE;
}

enum step
run_append(struct imap_session *s, struct cmd *c)
{
	const struct append_state *st = c->state;

	switch (c->phase) {
	case APPEND_CHECK:
		return begin(s, c);
	case APPEND_EVENTS:
		return take_events(s, c);
	case APPEND_PART:
		return take_part(s, c);
	case APPEND_OCTETS:
		return take_octets(s, c);
	case APPEND_TEXT:
		return take_text(s, c);
	}
	if (!st->refused && c->op_err != ERR_OK)
		refuse_err(s, c, c->op_err);
	if (st->refused)
		return STEP_DONE;
	return cmd_ok(c, st->replace ? "Replaced" : "Appended");
}
