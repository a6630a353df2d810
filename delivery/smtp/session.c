/* A session's life: lines in, the verb table, replies, timers, the end. Called by server.c and by
 * the stream. Invariant: every command gets exactly one reply, in order; while somebody is being
 * asked no further input is looked at. */
#include "delivery/smtp/session.h"
#include "delivery/smtp/session_ahead.h"
#include "delivery/smtp/session_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/xalloc.h"

enum {
	AUTH_LINE_MAX_BYTES = 12288, /* RFC 4954 4 */
	INPUT_MAX = 64 * 1024,
	SUBJECT_MAX = 1000,
	COMMANDS_A_TURN = 64,
	LINGER_MS = 5000,
	PROGRESS_BYTES = 1024, /* what counts as progress of a message */
};

void
session_set_state(struct smtp_session *s, enum smtp_state state)
{
	s->state = state;
	s->moved_ms = loop_now_ms(s->server->peers.loop);
	s->moved_bytes = stream_bytes_in(s->stream);
}

static void
count_error(struct smtp_session *s)
{
	const struct smtp_options *o = &s->server->o;

	s->errors++;
	if (s->user.n > 0 || s->named)
		return;
	if (!rates_take(s->server->rates, RATE_ERRORS, str_of(s->place), o->rates.errors))
		s->errors = o->errors_max + 1;
}

void
session_reply(struct smtp_session *s, enum smtp_reply r, const char *what, struct str value)
{
	session_reply_more(s, r, STR_EMPTY, what, value);
}

void
session_reply_more(struct smtp_session *s, enum smtp_reply r, struct str more, const char *what,
	struct str value)
{
	const struct smtp_reply_row *row = smtp_reply_row(r);
	struct buf b;

	buf_init(&b, 1024);
	smtp_reply_format(&b, r, more);
	stream_write(s->stream, buf_str(&b));
	buf_fini(&b);
	if (row->code < 400)
		return;
	/* What is put off, recipients above the limit too, is no fault. RFC 5321 4.5.3.1.10 */
	if (r != REPLY_TOO_MANY_RCPTS && r != REPLY_FAST_MESSAGES && r != REPLY_FAST_RCPTS)
		count_error(s);
	log_event(LVL_INFO, "smtp.refuse", log_z("sid", s->sid), log_s("user", buf_str(&s->user)),
		log_s(what, value), log_n("code", row->code), log_z("status", row->status),
		log_z("reason", row->reason));
}

void
session_close(struct smtp_session *s, enum smtp_reply r)
{
	if (s->state == SMTP_CLOSED)
		return;
	session_reply(s, r, "peer", str_of(s->peer.addr));
	session_set_state(s, SMTP_CLOSED);
}

void
session_free(struct smtp_session *s)
{
	struct smtp_server *v = s->server;

	log_event(LVL_INFO, "smtp.end", log_z("sid", s->sid), log_s("user", buf_str(&s->user)),
		log_n("messages", s->messages), log_n("errors", s->errors),
		log_n("in", (int64_t)stream_bytes_in(s->stream)),
		log_n("ms", loop_now_ms(v->peers.loop) - s->started_ms));
	if (s->auth != NULL)
		auth_request_cancel(s->auth);
	session_reset(s);
	session_checks_end(s);
	loop_timer_stop(&s->timer);
	stream_close(s->stream, LINGER_MS);
	buf_fini(&s->user);
	buf_fini(&s->subject);
	server_session_gone(v, s);
	free(s);
}

void
session_stop(struct smtp_session *s)
{
	s->stopping = true;
	session_update(s);
}

bool
session_trusted(const struct smtp_session *s)
{
	return !s->policy->mx || s->user.n > 0 || s->named;
}

bool
session_may_login(const struct smtp_session *s)
{
	return !s->policy->local && (!s->policy->mx || s->server->o.mx_login);
}

bool
session_stranger(const struct smtp_session *s)
{
	return !session_trusted(s);
}

bool
session_checks_sender(const struct smtp_session *s)
{
	return s->policy->check_sender || s->user.n > 0;
}

/* Commands. */

static void
hello(struct smtp_session *s, const struct smtp_cmd *c)
{
	const struct smtp_options *o = &s->server->o;
	bool auth = (s->tls || !s->policy->require_tls) && s->user.n == 0 && session_may_login(s);

	if (o->helo_fqdn && session_stranger(s) && !smtp_domain_full(c->arg)) {
		session_reply(s, REPLY_HELO_NOT_FULL, "helo", c->arg);
		return;
	}
	session_reset(s);
	s->esmtp = c->verb == VERB_EHLO;
	(void)snprintf(s->helo, sizeof(s->helo), "%.*s", STR_FMT(c->arg));
	if (!s->esmtp) {
		stream_writef(s->stream, "250 %.*s\r\n", STR_FMT(o->hostname));
		return;
	}
	stream_writef(s->stream, "250-%.*s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n",
		STR_FMT(o->hostname), (unsigned long long)o->message_max);
	if (!s->tls && s->server->peers.tls != NULL && !s->policy->no_starttls)
		stream_write(s->stream, STR("250-STARTTLS\r\n"));
	if (auth) {
		struct buf mechanisms;
		buf_init(&mechanisms, 1024);
		session_mechanisms(s, &mechanisms);
		if (mechanisms.n > 0)
			stream_writef(s->stream, "250-AUTH%.*s\r\n", STR_FMT(buf_str(&mechanisms)));
		buf_fini(&mechanisms);
	}
	if (s->policy->local && o->local_domain.n > 0)
		stream_writef(s->stream, "250-XORIGIN %.*s\r\n", STR_FMT(o->local_domain));
	session_xclient_offer(s);
	stream_writef(s->stream, "250-LIMITS RCPTMAX=%u\r\n", o->recipients_max);
	stream_write(s->stream, STR("250-8BITMIME\r\n250-BINARYMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
				    "250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n"));
}

static void
starttls(struct smtp_session *s)
{
	if (s->tls) {
		session_reply(s, REPLY_TLS_ACTIVE, "cmd", STR("STARTTLS"));
		return;
	}
	if (s->server->peers.tls == NULL || s->policy->no_starttls) {
		session_reply(s, REPLY_TLS_NOT_AVAILABLE, "cmd", STR("STARTTLS"));
		return;
	}
	session_reset(s);
	session_reply(s, REPLY_TLS_READY, "", STR_EMPTY);
	/* What came behind the command in clear is thrown away with this. */
	stream_start_tls_server(s->stream, s->server->peers.tls);
	session_set_state(s, SMTP_HANDSHAKE);
}

/* What stands before any command; REPLY_OK: go on. */
static enum smtp_reply
gate_command(const struct smtp_session *s, enum smtp_verb v)
{
	bool open = v == VERB_HELO || v == VERB_EHLO || v == VERB_STARTTLS || v == VERB_NOOP ||
		    v == VERB_QUIT || v == VERB_RSET || v == VERB_HELP || v == VERB_XCLIENT ||
		    ((s->policy->mx || s->policy->local) && (v == VERB_VRFY || v == VERB_EXPN));

	if (open)
		return REPLY_OK;
	if (s->policy->require_tls && !s->tls)
		return REPLY_NEED_TLS;
	if (s->helo[0] == '\0')
		return REPLY_NEED_HELLO;
	if (v == VERB_AUTH && !session_may_login(s))
		return REPLY_NO_LOGIN;
	if (v != VERB_AUTH && s->policy->require_auth && s->user.n == 0)
		return REPLY_NEED_AUTH;
	return REPLY_OK;
}

static void
run_command(struct smtp_session *s, const struct smtp_cmd *c)
{
	switch (c->verb) {
	case VERB_HELO:
	case VERB_EHLO:
		hello(s, c);
		return;
	case VERB_STARTTLS:
		starttls(s);
		return;
	case VERB_AUTH:
		session_auth(s, c);
		return;
	case VERB_XCLIENT:
		session_xclient(s, c);
		return;
	case VERB_MAIL:
		session_mail(s, c);
		return;
	case VERB_RCPT:
		session_rcpt(s, c);
		return;
	case VERB_DATA:
		session_data(s);
		return;
	case VERB_BDAT:
		session_bdat(s, c);
		return;
	case VERB_RSET:
		session_reset(s);
		session_reply(s, REPLY_FLUSHED, "", STR_EMPTY);
		return;
	case VERB_NOOP:
		session_reply(s, REPLY_OK, "", STR_EMPTY);
		return;
	case VERB_VRFY:
	case VERB_EXPN:
		session_reply(s, REPLY_VRFY, "", STR_EMPTY);
		return;
	case VERB_HELP:
		session_reply(s, REPLY_HELP, "", STR_EMPTY);
		return;
	case VERB_QUIT:
		session_reply(s, REPLY_BYE, "", STR_EMPTY);
		session_set_state(s, SMTP_CLOSED);
		return;
	case VERB_UNKNOWN:
		return;
	}
}

/* Commands whose reply decides what comes next: nothing may stand behind them yet. RFC 2920 3.1;
 * DATA and its text in one go is how a message becomes commands when DATA is refused. */
static bool
talks_on(const struct smtp_session *s, enum smtp_verb v)
{
	bool last = v == VERB_HELO || v == VERB_EHLO || v == VERB_DATA || v == VERB_XCLIENT ||
		    (!s->esmtp && (v == VERB_MAIL || v == VERB_RCPT));

	return s->more && last && s->server->o.pipelining_check && session_stranger(s);
}

static void
on_command(struct smtp_session *s, struct str line)
{
	struct smtp_cmd c;
	enum smtp_reply r = smtp_command_parse(line, &c);
	enum smtp_reply gate = c.verb == VERB_UNKNOWN ? r : gate_command(s, c.verb);

	if (talks_on(s, c.verb)) {
		session_close(s, REPLY_PIPELINING);
		return;
	}
	/* A chunk's bytes follow its command, whatever the answer is. */
	if (c.verb == VERB_BDAT && r == REPLY_OK && gate != REPLY_OK) {
		c.last = true;
		s->tx.reject = gate;
		session_bdat(s, &c);
		return;
	}
	if (r == REPLY_OK || gate != REPLY_OK)
		r = gate;
	if (r != REPLY_OK) {
		session_reply(s, r, "cmd", str_of(smtp_verb_name(c.verb)));
		return;
	}
	run_command(s, &c);
}

/* Takes one line off the input. False: none is complete. */
static bool
on_line(struct smtp_session *s)
{
	struct buf *in = stream_in(s->stream);
	struct str all = buf_str(in), line;
	size_t nl = str_chr(all, '\n');
	size_t max = s->state == SMTP_AUTH || str_istarts(all, STR("AUTH ")) ? AUTH_LINE_MAX_BYTES
									     : SMTP_LINE_MAX_BYTES;

	if (s->swallow) {
		s->swallow = nl == all.n;
		buf_consume(in, nl < all.n ? nl + 1 : nl);
		return !s->swallow;
	}
	if (nl > max) {
		bool auth = s->state == SMTP_AUTH;
		s->swallow = nl == all.n;
		buf_consume(in, nl < all.n ? nl + 1 : nl);
		if (auth && s->auth != NULL) {
			auth_request_cancel(s->auth);
			s->auth = NULL;
		}
		session_set_state(s, SMTP_COMMAND);
		session_reply(s, auth ? REPLY_AUTH_TOO_LONG : REPLY_LINE_TOO_LONG, "peer",
			str_of(s->peer.addr));
		return true;
	}
	if (nl == all.n)
		return false;
	s->more = all.n > nl + 1;
	line = str_sub(all, 0, nl > 0 && all.p[nl - 1] == '\r' ? nl - 1 : nl);
	session_set_state(s, s->state);
	if (s->state == SMTP_AUTH)
		session_auth_line(s, line);
	else
		on_command(s, line);
	if (max == AUTH_LINE_MAX_BYTES)
		explicit_bzero(in->mem + in->head, nl); /* a password may stand there */
	if (s->state != SMTP_HANDSHAKE)
		buf_consume(in, nl + 1);
	session_ahead_consumed(s, nl + 1);
	return true;
}

/* One step of what the state allows. False: nothing to do now. */
static bool
step(struct smtp_session *s)
{
	switch (s->state) {
	case SMTP_COMMAND:
	case SMTP_AUTH:
		return on_line(s);
	case SMTP_DATA:
	case SMTP_BDAT:
		return session_content(s);
	case SMTP_GREET:
		if (stream_in(s->stream)->n > 0)
			session_close(s, REPLY_EARLY_TALKER);
		return false;
	case SMTP_HANDSHAKE:
	case SMTP_WAIT:
	case SMTP_CLOSED:
		break;
	}
	return false;
}

static void
run(struct smtp_session *s)
{
	for (int i = 0; i < COMMANDS_A_TURN; i++) {
		if (stream_full(s->stream))
			return; /* on_drain goes on */
		if (s->errors > s->server->o.errors_max) {
			session_close(s, REPLY_TOO_MANY_ERRORS);
			return;
		}
		if (s->stopping && s->state == SMTP_COMMAND && s->tx.arena == NULL) {
			session_close(s, REPLY_CLOSING);
			return;
		}
		if (!step(s))
			return;
	}
	stream_read_again(s->stream);
}

void
session_greet(struct smtp_session *s)
{
	stream_writef(s->stream, "220 %.*s ESMTP\r\n", STR_FMT(s->server->o.hostname));
	session_set_state(s, SMTP_COMMAND);
}

/* Time. */

static int64_t
deadline(const struct smtp_session *s)
{
	const struct smtp_options *o = &s->server->o;
	int64_t until = s->moved_ms + o->command_timeout_ms;

	if (s->state == SMTP_DATA || s->state == SMTP_BDAT)
		until = s->moved_ms + o->data_timeout_ms;
	if (s->waiting_slot)
		return s->slot_deadline_ms;
	if (s->state == SMTP_GREET)
		return s->started_ms + o->greet_delay_ms;
	if (s->state == SMTP_WAIT)
		return until; /* who is asked has a deadline of its own */
	if (s->policy->require_auth && s->user.n == 0 &&
		s->started_ms + o->login_timeout_ms < until)
		until = s->started_ms + o->login_timeout_ms;
	return until;
}

static void
on_timer(struct loop_timer *t)
{
	struct smtp_session *s = t->arg;

	s->armed_ms = 0;
	if (loop_now_ms(s->server->peers.loop) >= deadline(s)) {
		if (s->waiting_slot)
			session_slot_timeout(s);
		else if (s->state == SMTP_GREET)
			session_greet(s);
		else if (s->state == SMTP_HANDSHAKE)
			session_set_state(s, SMTP_CLOSED);
		else if (s->state != SMTP_WAIT)
			session_close(s, REPLY_TIMEOUT);
		else
			s->moved_ms = loop_now_ms(s->server->peers.loop);
	}
	session_update(s);
}

static void
arm_timer(struct smtp_session *s)
{
	int64_t at = deadline(s), now = loop_now_ms(s->server->peers.loop);

	if (s->armed_ms != 0 && s->armed_ms <= at)
		return; /* it fires early and looks again */
	s->armed_ms = at;
	loop_timer_start(&s->timer, at > now ? at - now : 0);
}

/* The client has ended its side: does anything stand there that run() will come to? It only ended
 * its turn, or the spool has no room for more of the message now. */
static bool
comes_to_more(const struct smtp_session *s)
{
	struct str rest = buf_str(stream_in(s->stream));

	switch (s->state) {
	case SMTP_DATA:
		return rest.n > 0;
	case SMTP_BDAT:
		return rest.n > 0 || s->tx.chunk_left == 0;
	case SMTP_GREET:
	case SMTP_COMMAND:
	case SMTP_AUTH:
		return str_chr(rest, '\n') < rest.n;
	case SMTP_WAIT:
		return true; /* what was asked for is still answered */
	case SMTP_HANDSHAKE:
	case SMTP_CLOSED:
		break;
	}
	return false;
}

void
session_update(struct smtp_session *s)
{
	run(s);
	if (s->eof && s->state != SMTP_CLOSED && !stream_full(s->stream) && !comes_to_more(s))
		session_set_state(s, SMTP_CLOSED);
	if (s->state == SMTP_CLOSED) {
		session_free(s);
		return;
	}
	session_ahead_look(s);
	arm_timer(s);
}

/* The stream. */

static void
on_read(struct stream *stream, void *arg)
{
	struct smtp_session *s = arg;

	/* A dribble is no progress; a command's line is (session_set_state). */
	if (stream_bytes_in(stream) - s->moved_bytes >= PROGRESS_BYTES &&
		(s->state == SMTP_DATA || s->state == SMTP_BDAT))
		session_set_state(s, s->state);
	session_update(s);
}

static void
on_drain(struct stream *stream, void *arg)
{
	(void)stream;
	session_update(arg);
}

static void
on_tls(struct stream *stream, void *arg)
{
	struct smtp_session *s = arg;

	s->tls = true;
	if (tls_peer_subject(stream_tls(stream), &s->subject) != ERR_OK)
		buf_reset(&s->subject);
	log_event(LVL_INFO, "smtp.tls", log_z("sid", s->sid),
		log_z("tls", tls_description(stream_tls(stream))),
		log_s("certificate", buf_str(&s->subject)));
	/* What was said in clear is forgotten, who logged in too: RFC 3207 4.2. */
	s->helo[0] = '\0';
	buf_reset(&s->user);
	if (s->policy->implicit_tls)
		session_greet(s);
	else
		session_set_state(s, SMTP_COMMAND);
	session_update(s);
}

static void
on_end(struct stream *stream, void *arg, enum err why)
{
	struct smtp_session *s = arg;

	s->eof = true;
	if (why != ERR_EOF) {
		log_event(LVL_INFO, "smtp.lost", log_z("sid", s->sid),
			log_z("reason", stream_error(stream)));
		session_set_state(s, SMTP_CLOSED);
	}
	session_update(s);
}

static const struct stream_ops stream_ops = {
	.on_read = on_read, .on_drain = on_drain, .on_tls = on_tls, .on_end = on_end
};

struct smtp_session *
session_start(
	struct smtp_server *v, int fd, const struct peer *peer, const struct smtp_policy *policy)
{
	static const struct stream_options so = { .in_max_bytes = INPUT_MAX };
	struct smtp_session *s = xcalloc(1, sizeof(*s));

	s->server = v;
	s->policy = policy;
	s->peer = *peer;
	rand_id(s->sid);
	s->named = server_is_named(v, policy, peer->addr);
	s->may_xclient = server_may_xclient(v, policy, peer->addr);
	memcpy(s->first_addr, peer->addr, sizeof(s->first_addr));
	cidr_place(peer->addr, s->place);
	buf_init(&s->user, 1024);
	buf_init(&s->subject, SUBJECT_MAX);
	s->stream = stream_new(v->peers.loop, fd, &stream_ops, s, &so);
	s->started_ms = loop_now_ms(v->peers.loop);
	loop_timer_init(&s->timer, v->peers.loop, on_timer, s);
	list_push_back(&v->sessions, &s->link);
	v->count++;
	log_event(LVL_INFO, "smtp.connect", log_z("sid", s->sid), log_z("peer", peer->addr),
		log_n("port", peer->local_port), log_z("protocol", policy->protocol));
	session_checks_begin(s);
	if (policy->implicit_tls) {
		session_set_state(s, SMTP_HANDSHAKE);
		stream_start_tls_server(s->stream, v->peers.tls);
	} else if (v->o.greet_delay_ms > 0 && session_stranger(s)) {
		session_set_state(s, SMTP_GREET);
	} else {
		session_greet(s);
	}
	arm_timer(s);
	return s;
}
