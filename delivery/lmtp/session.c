/* One LMTP session: its life, the commands, the order of replies. Started by main.c for every
 * connection. Invariants: replies leave in the order of the commands, whatever order lookups and
 * deliveries end in; a recipient's 250 after the data is written only after the store said
 * ERR_OK; nothing of a message is delivered before its final CRLF.CRLF. RFC 2033. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "delivery/lmtp/session_impl.h"

enum {
	COMMANDS_PER_STEP = 64,
	ERRORS_MAX = 20,
	CLOSE_LINGER_MS = 5000,
	IN_MAX_BYTES = 128 * 1024,
};

void
lmtp_reply(struct session *s, const char *line)
{
	stream_writef(s->stream, "%s\r\n", line);
}

void
lmtp_transaction_reset(struct session *s)
{
	LIST_FOREACH (l, &s->rcpts)
		lmtp_rcpt_free(rcpt_of(l));
	if (s->body != NULL) {
		/* it may have stopped the reading, and will not say when it has room */
		stream_set_reading(s->stream, true);
		body_free(s->body);
	}
	if (s->deliver != NULL)
		store_deliver_forget(s->deliver);
	free(s->targets);
	s->body = NULL;
	s->deliver = NULL;
	s->targets = NULL;
	s->targets_count = s->targets_said = 0;
	s->rcpts_count = s->rcpts_accepted = s->rcpts_pending = 0;
	s->mail = s->smtputf8 = s->binary = s->ask_room = false;
	s->bdat = s->chunk_last = false;
	s->chunk_left = 0;
	s->chunk_refused = NULL;
	s->size = 0;
	s->sender[0] = '\0';
}

void
lmtp_session_end(struct session *s, bool linger)
{
	struct lmtp_server *v = s->server;

	s->state = SESSION_CLOSING;
	lmtp_transaction_reset(s);
	loop_timer_stop(&s->timer);
	if (linger)
		stream_close(s->stream, CLOSE_LINGER_MS);
	else
		stream_free(s->stream);
	list_remove(&s->link);
	free(s);
	v->sessions_count--;
	if (v->stopping && v->sessions_count == 0 && v->on_idle != NULL)
		v->on_idle(v->on_idle_arg);
}

/* Not yet answered for anything: the moment at which a stop or an EOF may end the session. */
static bool
session_idle(const struct session *s)
{
	return s->state == SESSION_COMMAND && s->rcpts_pending == 0;
}

void
lmtp_watch_time(struct session *s)
{
	if (s->state == SESSION_DELIVER)
		loop_timer_stop(&s->timer);
	else
		loop_timer_start(&s->timer, s->server->command_timeout_ms);
}

bool
lmtp_refuse(struct session *s, const char *line)
{
	lmtp_reply(s, line);
	if (++s->errors <= ERRORS_MAX)
		return true;
	log_event(LVL_WARN, "lmtp.close", log_z("sid", s->sid), log_z("reason", "too many errors"));
	lmtp_reply(s, "421 4.7.0 Too many errors");
	lmtp_session_end(s, true);
	return false;
}

/* The other commands */

static bool
may_start_tls(const struct session *s)
{
	return s->tls_mode == LISTEN_TLS_STARTTLS && !s->tls && s->server->tls != NULL;
}

/* Nothing that was said in clear counts, and what came behind the command is thrown away: RFC 3207
 * 4.2. */
static bool
command_starttls(struct session *s)
{
	if (!may_start_tls(s))
		return lmtp_refuse(s, s->tls ? "503 5.5.1 TLS is on" : "502 5.5.1 No TLS here");
	lmtp_transaction_reset(s);
	s->greeted = false;
	lmtp_reply(s, "220 2.0.0 Go ahead");
	s->state = SESSION_TLS;
	stream_start_tls_server(s->stream, s->server->tls);
	return true;
}

static bool
command_lhlo(struct session *s, const struct lmtp_command *c)
{
	lmtp_transaction_reset(s);
	s->greeted = true;
	(void)snprintf(s->lhlo, sizeof(s->lhlo), "%.*s", STR_FMT(c->arg));
	for (char *p = s->lhlo; *p != '\0'; p++) {
		/* It goes into a Received field: no comments, no specials. */
		if (!ascii_is_alnum((unsigned char)*p) && !ascii_is_among(*p, ".-_:[]"))
			*p = '?';
	}
	stream_writef(s->stream, "250-%.*s\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n",
		STR_FMT(s->server->hostname));
	if (s->peer.is_unix && s->peer.uid == s->server->queue_uid)
		lmtp_reply(s, "250-XDELIVERYID");
	if (may_start_tls(s))
		lmtp_reply(s, "250-STARTTLS");
	stream_writef(s->stream,
		"250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n"
		"250-SMTPUTF8\r\n250 SIZE %llu\r\n",
		(unsigned long long)s->server->message_max_bytes);
	return true;
}

static bool
command_broken(struct session *s, enum err e)
{
	switch (e) {
	case ERR_LIMIT:
		return lmtp_refuse(s, "501 5.5.4 Argument too long");
	case ERR_DENIED:
	case ERR_OK:
	case ERR_SYNTAX:
	case ERR_AGAIN:
	case ERR_EOF:
	case ERR_NOTFOUND:
	case ERR_EXISTS:
	case ERR_BUSY:
	case ERR_TEMP:
	case ERR_CORRUPT:
	case ERR_QUOTA:
	case ERR_BUG:
		break;
	}
	return lmtp_refuse(s, "501 5.5.2 Syntax error");
}

/* False: s is gone. */
static bool
command_run(struct session *s, struct str line)
{
	struct lmtp_command c;
	enum err e = lmtp_command_parse(line, &c);

	if (e != ERR_OK && c.verb != LMTP_UNKNOWN && c.verb != LMTP_HELO)
		return command_broken(s, e);
	switch (c.verb) {
	case LMTP_LHLO:
		return command_lhlo(s, &c);
	case LMTP_MAIL:
		return lmtp_command_mail(s, &c);
	case LMTP_RCPT:
		return lmtp_command_rcpt(s, &c);
	case LMTP_DATA:
		return lmtp_command_data(s);
	case LMTP_BDAT:
		return lmtp_command_bdat(s, &c);
	case LMTP_RSET:
		lmtp_transaction_reset(s);
		lmtp_reply(s, "250 2.0.0 OK");
		return true;
	case LMTP_NOOP:
		lmtp_reply(s, "250 2.0.0 OK");
		return true;
	case LMTP_VRFY:
		lmtp_reply(s, "252 2.5.0 Send a message and see");
		return true;
	case LMTP_STARTTLS:
		return command_starttls(s);
	case LMTP_QUIT:
		lmtp_reply(s, "221 2.0.0 Bye");
		lmtp_session_end(s, true);
		return false;
	case LMTP_HELO:
		return lmtp_refuse(s, "500 5.5.1 This is LMTP, say LHLO");
	case LMTP_UNKNOWN:
		return lmtp_refuse(s, "500 5.5.1 Command unknown");
	}
	return true;
}

/* RCPT lookups run side by side; whatever is answered at once waits for the replies before its
 * own. */
static bool
must_wait(const struct session *s, struct str line)
{
	struct lmtp_command c;
	struct str id;

	if (s->rcpts_pending == 0)
		return false;
	return lmtp_command_parse(line, &c) != ERR_OK || c.verb != LMTP_RCPT ||
	       lmtp_rcpt_objection(s, &c, &id) != NULL;
}

/* Takes one line out of the input and runs it. ERR_AGAIN: nothing to do now; ERR_EOF: s is
 * gone. */
static enum err
command_next(struct session *s)
{
	struct buf *in = stream_in(s->stream);
	struct str have = buf_str(in), line;
	size_t end = str_find(str_sub(have, 0, LMTP_LINE_MAX + 2), STR("\r\n"));
	char copy[LMTP_LINE_MAX];

	if (s->skip_line) {
		size_t lf = str_chr(have, '\n');
		s->skip_line = lf == have.n;
		buf_consume(in, s->skip_line ? have.n : lf + 1);
		return s->skip_line ? ERR_AGAIN : ERR_OK;
	}
	if (end >= have.n || end > LMTP_LINE_MAX) {
		if (have.n < LMTP_LINE_MAX + 2)
			return ERR_AGAIN;
		s->skip_line = true;
		return lmtp_refuse(s, "500 5.5.2 Line too long") ? ERR_OK : ERR_EOF;
	}
	line = str_sub(have, 0, end);
	if (must_wait(s, line))
		return ERR_AGAIN;
	memcpy(copy, line.p, line.n);
	line.p = copy;
	buf_consume(in, end + 2);
	return command_run(s, line) ? ERR_OK : ERR_EOF;
}

/* Works off the input, as far as it goes. */
static void
session_step(struct session *s)
{
	unsigned budget = COMMANDS_PER_STEP;

	while (stream_in(s->stream)->n != 0) {
		enum err e;
		if (s->state == SESSION_DELIVER || s->state == SESSION_TLS ||
			stream_full(s->stream))
			return;
		if (budget-- == 0) {
			stream_read_again(s->stream);
			return;
		}
		if (s->state == SESSION_DATA) {
			lmtp_data_next(s);
			return; /* the message may be delivered, and s gone */
		}
		e = command_next(s);
		if (e == ERR_EOF)
			return;
		if (e != ERR_OK)
			break;
	}
	if (s->eof && (session_idle(s) || s->state == SESSION_DATA))
		lmtp_session_end(s, true);
}

static void
on_read(struct stream *stream, void *arg)
{
	struct session *s = arg;

	(void)stream;
	lmtp_watch_time(s);
	session_step(s);
}

static void
on_drain(struct stream *stream, void *arg)
{
	(void)stream;
	session_step(arg);
}

static void
on_end(struct stream *stream, void *arg, enum err why)
{
	struct session *s = arg;

	s->eof = true;
	if (why == ERR_EOF && (s->state == SESSION_DELIVER || s->rcpts_pending != 0))
		return; /* what was asked for is still answered */
	if (why == ERR_EOF && stream_in(stream)->n != 0 && s->state == SESSION_COMMAND) {
		stream_read_again(stream);
		return;
	}
	if (s->state == SESSION_DATA || s->state == SESSION_TLS)
		log_event(LVL_WARN, "lmtp.lost", log_z("sid", s->sid),
			log_z("state", s->state == SESSION_DATA ? "data" : "tls"),
			log_z("reason", stream_error(stream)));
	lmtp_session_end(s, why == ERR_EOF);
}

static void
greet(struct session *s)
{
	stream_writef(s->stream, "220 %.*s LMTP\r\n", STR_FMT(s->server->hostname));
}

static void
on_tls(struct stream *stream, void *arg)
{
	struct session *s = arg;

	log_event(LVL_DEBUG, "lmtp.tls", log_z("sid", s->sid),
		log_z("tls", tls_description(stream_tls(stream))));
	s->tls = true;
	s->state = SESSION_COMMAND;
	if (s->tls_mode == LISTEN_TLS_IMPLICIT)
		greet(s);
	lmtp_watch_time(s);
	session_step(s);
}

static void
on_timeout(struct loop_timer *t)
{
	struct session *s = t->arg;

	log_event(LVL_INFO, "lmtp.close", log_z("sid", s->sid), log_z("reason", "timeout"));
	if (s->state != SESSION_TLS)
		lmtp_reply(s, "421 4.4.2 Timeout");
	lmtp_session_end(s, s->state != SESSION_TLS);
}

static const struct stream_ops session_ops = {
	.on_read = on_read,
	.on_drain = on_drain,
	.on_tls = on_tls,
	.on_end = on_end,
};

static bool
peer_allowed(const struct lmtp_server *v, const struct peer *p)
{
	if (p->is_unix)
		return true;
	for (size_t i = 0; i < v->networks_count; i++) {
		if (cidr_contains(&v->networks[i], str_of(p->addr)))
			return true;
	}
	return false;
}

void
lmtp_session_start(struct lmtp_server *v, int fd, const struct peer *peer, enum listen_tls tls)
{
	struct session *s = xcalloc(1, sizeof(*s));
	bool allowed = peer_allowed(v, peer);
	const struct stream_options o = { .in_max_bytes = IN_MAX_BYTES };

	s->server = v;
	s->tls_mode = tls;
	s->peer = *peer;
	rand_id(s->sid);
	list_init(&s->rcpts);
	list_push_back(&v->sessions, &s->link);
	v->sessions_count++;
	s->stream = stream_new(v->loop, fd, &session_ops, s, &o);
	loop_timer_init(&s->timer, v->loop, on_timeout, s);
	if (!allowed || v->sessions_count > v->connections_max) {
		log_event(LVL_WARN, "lmtp.refuse", log_z("sid", s->sid), log_z("addr", peer->addr),
			log_z("reason", allowed ? "too many connections" : "not in lmtp.networks"));
		if (tls != LISTEN_TLS_IMPLICIT)
			lmtp_reply(s, allowed ? "421 4.3.2 Too many connections"
					      : "421 4.7.1 Not from there");
		lmtp_session_end(s, true);
		return;
	}
	log_event(LVL_DEBUG, "lmtp.connect", log_z("sid", s->sid), log_z("addr", peer->addr),
		log_n("uid", peer->is_unix ? (int64_t)peer->uid : -1));
	if (tls == LISTEN_TLS_IMPLICIT) {
		s->state = SESSION_TLS;
		stream_start_tls_server(s->stream, v->tls);
	} else {
		greet(s);
	}
	lmtp_watch_time(s);
}

void
lmtp_server_stop(struct lmtp_server *v)
{
	bool none = v->sessions_count == 0;

	v->stopping = true;
	LIST_FOREACH (l, &v->sessions) {
		struct session *s = CONTAINER_OF(l, struct session, link);
		if (s->state == SESSION_TLS) {
			lmtp_session_end(s, false);
		} else if (session_idle(s) && !s->mail) {
			lmtp_reply(s, "421 4.3.2 Shutting down");
			lmtp_session_end(s, true);
		}
	}
	if (none && v->on_idle != NULL)
		v->on_idle(v->on_idle_arg);
}
