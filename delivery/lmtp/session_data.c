/* DATA: the message into a body of the store, then its delivery and the replies, each as soon as
 * those before it are known. For session.c. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/mail/date.h"
#include "delivery/lmtp/session_impl.h"

static void
body_put(void *arg, struct str bytes)
{
	struct session *s = arg;
	enum err e;

	if (s->body_result != ERR_OK)
		return;
	e = body_write(s->body, bytes);
	if (e == ERR_AGAIN)
		stream_set_reading(s->stream, false);
	else
		s->body_result = e;
}

static void
body_room(void *arg)
{
	struct session *s = arg;

	stream_set_reading(s->stream, true);
	stream_read_again(s->stream);
}

/* Return-Path and Received, in front of the message. RFC 5321 4.4. */
/* RFC 3848, RFC 6531 4.3 */
static const char *
protocol_name(const struct session *s)
{
	if (s->tls)
		return s->smtputf8 ? "UTF8LMTPS" : "LMTPS";
	return s->smtputf8 ? "UTF8LMTP" : "LMTP";
}

static void
body_put_trace(struct session *s)
{
	struct buf b;
	struct rcpt *only = rcpt_of(s->rcpts.next);

	buf_init(&b, 4096);
	buf_addf(&b, "Return-Path: <%s>\r\nReceived: from %s", s->sender, s->lhlo);
	if (!s->peer.is_unix)
		buf_addf(&b, " ([%s%s])", strchr(s->peer.addr, ':') != NULL ? "IPv6:" : "",
			s->peer.addr);
	buf_addf(&b, "\r\n\tby %.*s with %s id %s", STR_FMT(s->server->hostname), protocol_name(s),
		s->sid);
	if (s->rcpts_accepted == 1)
		buf_addf(&b, "\r\n\tfor <%s>", only->address);
	buf_addz(&b, "; ");
	date_format(&b, clock_wall_ms() / 1000, 0);
	buf_addz(&b, "\r\n");
	body_put(s, buf_str(&b));
	buf_fini(&b);
}

static const char *
data_objection(const struct session *s)
{
	if (!s->mail)
		return "503 5.5.1 MAIL first";
	if (s->ask_room)
		return "503 5.5.1 XROOM only asks";
	return s->rcpts_accepted == 0 ? "503 5.5.1 No valid recipients" : NULL;
}

static void
body_begin(struct session *s)
{
	s->body_result = ERR_OK;
	s->body = body_new(rcpt_of(s->rcpts.next)->home, s->server->message_max_bytes + 4096);
	body_on_room(s->body, body_room, s);
	if (s->binary)
		body_textual(s->body);
	body_put_trace(s);
}

bool
lmtp_command_data(struct session *s)
{
	const char *objection = data_objection(s);

	/* RFC 3030 2 and 3 */
	if (objection == NULL && s->bdat)
		objection = "503 5.5.1 The message comes with BDAT";
	if (objection == NULL && s->binary)
		objection = "503 5.5.1 Binary messages come with BDAT only";
	if (objection != NULL)
		return lmtp_refuse(s, objection);
	s->state = SESSION_DATA;
	body_begin(s);
	dot_init(&s->dot);
	lmtp_reply(s, "354 Go ahead");
	return true;
}

bool
lmtp_command_bdat(struct session *s, const struct lmtp_command *c)
{
	/* The octets follow whatever the answer is. */
	if (s->chunk_refused == NULL)
		s->chunk_refused = data_objection(s);
	if (s->chunk_refused == NULL && s->body == NULL)
		body_begin(s);
	s->bdat = true;
	s->chunk_left = c->chunk;
	s->chunk_last = c->last;
	s->state = SESSION_DATA;
	if (c->chunk != 0)
		return true;
	lmtp_data_next(s); /* no octet will come that leads there */
	return false;
}

static const char *
result_line(const struct lmtp_server *v, enum err e)
{
	switch (e) {
	case ERR_OK:
		return "250 2.0.0 Delivered";
	case ERR_LIMIT:
		return "552 5.3.4 Message too large";
	case ERR_QUOTA:
		return v->full_is_temporary ? "452 4.2.2 Mailbox is full"
					    : "552 5.2.2 Mailbox is full";
	case ERR_SYNTAX:
		return "501 5.5.4 Bad delivery id";
	case ERR_CORRUPT:
		return "451 4.3.0 The mailbox is damaged";
	case ERR_AGAIN:
	case ERR_EOF:
	case ERR_NOTFOUND:
	case ERR_EXISTS:
	case ERR_DENIED:
	case ERR_BUSY:
	case ERR_TEMP:
	case ERR_BUG:
		return "451 4.3.0 Cannot store the message now";
	}
	return "451 4.3.0 Cannot store the message now";
}

static void
log_result(const struct session *s, const struct rcpt *r)
{
	struct str id = str_of(r->delivery_id);
	bool has_qid = id.n > 17 + 16;

	log_event(r->result == ERR_OK ? LVL_INFO : LVL_WARN, "lmtp.deliver", log_z("sid", s->sid),
		log_s("qid", has_qid ? str_sub(id, 17, 16) : STR_EMPTY), log_z("rcpt", r->address),
		log_z("res", r->result == ERR_OK ? "ok" : "fail"),
		log_z("reason", r->result == ERR_OK ? "" : err_name(r->result)),
		log_z("detail", r->result == ERR_OK ? "" : home_error(r->home)),
		log_n("ms", clock_ms() - s->data_ms));
}

/* Replies that are due in order; after the last one the session goes on. s may be gone. */
static void
deliver_replies(struct session *s)
{
	while (s->targets_said < s->targets_count) {
		struct rcpt *r = s->targets[s->targets_said];
		if (!r->answered)
			return;
		lmtp_reply(s, result_line(s->server, r->result));
		s->targets_said++;
	}
	lmtp_transaction_reset(s);
	s->state = SESSION_COMMAND;
	if (s->server->stopping) {
		lmtp_reply(s, "421 4.3.2 Shutting down");
		lmtp_session_end(s, true);
		return;
	}
	if (s->eof) {
		lmtp_session_end(s, true);
		return;
	}
	lmtp_watch_time(s);
	stream_read_again(s->stream);
}

static void
deliver_done(void *arg, size_t index, enum err e, size_t left)
{
	struct session *s = arg;
	struct rcpt *r = s->targets[index];

	if (left == 0)
		s->deliver = NULL;
	r->answered = true;
	r->result = e;
	log_result(s, r);
	deliver_replies(s);
}

static void
deliver_start(struct session *s)
{
	struct deliver_rcpt *to = xcalloc(s->rcpts_accepted, sizeof(*to));
	struct deliver_batch batch = { .body = s->body,
		.rcpt = to,
		.count = s->rcpts_accepted,
		.timeout_ms = s->server->store_timeout_ms };
	uint32_t n = 0;

	s->state = SESSION_DELIVER;
	s->data_ms = clock_ms();
	lmtp_watch_time(s);
	s->targets = xcalloc(s->rcpts_accepted, sizeof(struct rcpt *));
	LIST_FOREACH (l, &s->rcpts) {
		struct rcpt *r = rcpt_of(l);
		to[n].home = r->home;
		if (r->mailbox != NULL) {
			to[n].mailbox = str_of(r->mailbox);
			to[n].by_sender = true;
			to[n].create_below = s->server->tag_creates;
		}
		to[n].delivery_id = str_of(r->delivery_id);
		s->targets[n++] = r;
	}
	s->targets_count = n;
	if (s->body_result != ERR_OK) {
		for (uint32_t i = 0; i < n; i++) {
			s->targets[i]->answered = true;
			s->targets[i]->result = s->body_result;
			log_result(s, s->targets[i]);
		}
		free(to);
		deliver_replies(s);
		return;
	}
	s->body = NULL;
	s->deliver = store_deliver(s->server->store, &batch, deliver_done, s);
	free(to);
}

/* All octets of a chunk came. s may be gone. */
static void
chunk_end(struct session *s)
{
	const char *refused = s->chunk_refused;

	s->state = SESSION_COMMAND;
	if (refused != NULL) {
		/* Without MAIL there is nothing that a RSET would end. */
		if (!s->mail)
			lmtp_transaction_reset(s);
		if (lmtp_refuse(s, refused))
			stream_read_again(s->stream);
		return;
	}
	if (!s->chunk_last) {
		lmtp_reply(s, "250 2.0.0 Go on");
		stream_read_again(s->stream);
		return;
	}
	body_on_room(s->body, NULL, NULL);
	stream_set_reading(s->stream, true);
	deliver_start(s);
}

static void
chunk_next(struct session *s)
{
	struct buf *in = stream_in(s->stream);
	struct str bytes = buf_str(in);

	if (bytes.n > s->chunk_left)
		bytes.n = (size_t)s->chunk_left;
	if (s->chunk_refused == NULL && bytes.n != 0)
		body_put(s, bytes);
	s->chunk_left -= bytes.n;
	buf_consume(in, bytes.n);
	if (s->chunk_left == 0)
		chunk_end(s);
}

void
lmtp_data_next(struct session *s)
{
	struct buf *in = stream_in(s->stream);

	if (s->bdat) {
		chunk_next(s);
		return;
	}
	buf_consume(in, dot_decode(&s->dot, buf_str(in), body_put, s));
	if (!dot_ended(&s->dot))
		return;
	body_on_room(s->body, NULL, NULL);
	stream_set_reading(s->stream, true);
	deliver_start(s);
}
