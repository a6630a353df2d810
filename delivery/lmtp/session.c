/* One LMTP session: the state machine from the greeting to QUIT. Started by main.c for every
 * connection. Invariants: replies leave in the order of the commands, whatever order lookups and
 * deliveries end in; a recipient's 250 after the data is written only after the store said
 * ERR_OK; nothing of a message is delivered before its final CRLF.CRLF. RFC 2033. */
#include "delivery/lmtp/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/event/stream.h"
#include "core/mail/date.h"
#include "delivery/lmtp/command.h"
#include "delivery/lmtp/dot.h"

enum {
	COMMANDS_PER_STEP = 64,
	ERRORS_MAX = 20,
	CLOSE_LINGER_MS = 5000,
	IN_MAX_BYTES = 128 * 1024,
};

enum session_state {
	SESSION_COMMAND, /* reads commands */
	SESSION_DATA,	 /* reads the message */
	SESSION_DELIVER, /* waits for the store; reads nothing */
	SESSION_CLOSING, /* its end is decided; nothing touches it after this */
};

enum rcpt_stage {
	RCPT_LOOKUP_WHOLE, /* asking for the address as given */
	RCPT_LOOKUP_BARE,  /* asking without the tag */
	RCPT_ACCEPTED,
	RCPT_REFUSED,
};

struct rcpt {
	struct list link;
	struct session *session;
	struct userdb_request *request;
	enum rcpt_stage stage;
	enum err why;  /* refused */
	bool replied;  /* to RCPT */
	bool answered; /* after the data: result is there */
	enum err result;
	struct home *home;
	char delivery_id[DELIVERY_ID_MAX + 1];
	size_t address_len;
	char address[]; /* NUL-ended */
};

struct session {
	struct list link;
	struct lmtp_server *server;
	struct stream *stream;
	struct loop_timer timer;
	enum session_state state;
	struct peer peer;
	char sid[RAND_ID_SIZE];
	char lhlo[256];
	bool greeted; /* LHLO seen */
	bool eof;
	bool skip_line; /* the rest of an over-long line is thrown away */
	unsigned errors;

	/* The transaction. */
	bool mail;
	char sender[LMTP_PATH_MAX + 1];
	struct list rcpts;
	uint32_t rcpts_count; /* in the list: accepted, or not decided yet */
	uint32_t rcpts_accepted;
	uint32_t rcpts_pending;
	struct dot_decoder dot;
	struct body *body;
	enum err body_result;
	struct rcpt **targets; /* accepted ones, in order, while delivering */
	uint32_t targets_count;
	uint32_t targets_said; /* replies written */
	struct deliver *deliver;
	int64_t data_ms;
};

static void
reply(struct session *s, const char *line)
{
	stream_writef(s->stream, "%s\r\n", line);
}

static struct rcpt *
rcpt_of(struct list *l)
{
	return CONTAINER_OF(l, struct rcpt, link);
}

static void
rcpt_free(struct rcpt *r)
{
	if (r->request != NULL)
		r->session->server->lookup_cancel(r->request);
	if (r->home != NULL)
		home_unref(r->home);
	list_remove(&r->link);
	free(r);
}

static void
transaction_reset(struct session *s)
{
	LIST_FOREACH(l, &s->rcpts)
	rcpt_free(rcpt_of(l));
	if (s->body != NULL)
		body_free(s->body);
	if (s->deliver != NULL)
		store_deliver_forget(s->deliver);
	free(s->targets);
	s->body = NULL;
	s->deliver = NULL;
	s->targets = NULL;
	s->targets_count = s->targets_said = 0;
	s->rcpts_count = s->rcpts_accepted = s->rcpts_pending = 0;
	s->mail = false;
	s->sender[0] = '\0';
}

/* s is gone afterwards. */
static void
session_end(struct session *s, bool linger)
{
	struct lmtp_server *v = s->server;

	s->state = SESSION_CLOSING;
	transaction_reset(s);
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

static void
watch_time(struct session *s)
{
	if (s->state == SESSION_DELIVER)
		loop_timer_stop(&s->timer);
	else
		loop_timer_start(&s->timer, s->server->command_timeout_ms);
}

/* A refused command. False: that was one too many, s is gone. */
static bool
refuse(struct session *s, const char *line)
{
	reply(s, line);
	if (++s->errors <= ERRORS_MAX)
		return true;
	log_event(LVL_WARN, "lmtp.close", log_z("sid", s->sid), log_z("reason", "too many errors"));
	reply(s, "421 4.7.0 Too many errors");
	session_end(s, true);
	return false;
}

/* RCPT */

static void
rcpt_reply(struct session *s, struct rcpt *r)
{
	const char *text = NULL;

	r->replied = true;
	if (r->stage == RCPT_ACCEPTED) {
		reply(s, "250 2.1.5 OK");
		return;
	}
	switch (r->why) {
	case ERR_NOTFOUND:
		text = "550 5.1.1 No such user here";
		break;
	case ERR_TEMP:
	case ERR_BUSY:
	case ERR_AGAIN:
	case ERR_EOF:
		text = "451 4.4.3 Directory not available";
		break;
	case ERR_OK:
	case ERR_SYNTAX:
	case ERR_LIMIT:
	case ERR_EXISTS:
	case ERR_DENIED:
	case ERR_CORRUPT:
	case ERR_BUG:
		text = "451 4.3.5 The user's home is not usable";
		break;
	}
	reply(s, text);
	log_event(LVL_INFO, "lmtp.rcpt", log_z("sid", s->sid), log_z("rcpt", r->address),
		log_z("res", r->why == ERR_NOTFOUND ? "unknown" : "defer"),
		log_e("reason", r->why));
	s->rcpts_count--;
	rcpt_free(r);
}

/* Write the replies that are due in order; r was decided just now. */
static void
rcpt_decided(struct rcpt *r, enum rcpt_stage stage, enum err why)
{
	struct session *s = r->session;

	r->stage = stage;
	r->why = why;
	s->rcpts_pending--;
	if (stage == RCPT_ACCEPTED)
		s->rcpts_accepted++;
	LIST_FOREACH(l, &s->rcpts)
	{
		struct rcpt *first = rcpt_of(l);
		if (first->replied)
			continue;
		if (first->stage != RCPT_ACCEPTED && first->stage != RCPT_REFUSED)
			break;
		rcpt_reply(s, first);
	}
	if (s->rcpts_pending == 0)
		stream_read_again(s->stream);
}

static enum err
rcpt_take_home(struct rcpt *r, struct str home)
{
	struct str root = r->session->server->mail_root;

	if (!str_starts(home, root) || home.n <= root.n + 1 ||
		(home.p[root.n] != '/' && !str_ends(root, STR("/"))))
		return ERR_DENIED;
	return home_get(r->session->server->store, home, &r->home);
}

static void
rcpt_lookup(struct rcpt *r);

static void
rcpt_found(void *arg, enum err e, const struct userdb_user *u)
{
	struct rcpt *r = arg;

	r->request = NULL;
	if (e == ERR_OK) {
		e = rcpt_take_home(r, u->home);
		if (e == ERR_OK) {
			user_cache_put(r->session->server->cache, str_n(r->address, r->address_len),
				u->home, loop_now_ms(r->session->server->loop));
			rcpt_decided(r, RCPT_ACCEPTED, ERR_OK);
			return;
		}
		log_event(LVL_ERROR, "lmtp.home", log_z("sid", r->session->sid),
			log_z("rcpt", r->address), log_s("home", u->home), log_e("reason", e));
		rcpt_decided(r, RCPT_REFUSED, ERR_DENIED);
		return;
	}
	if (e == ERR_NOTFOUND && r->stage == RCPT_LOOKUP_WHOLE) {
		r->stage = RCPT_LOOKUP_BARE;
		rcpt_lookup(r);
		return;
	}
	rcpt_decided(r, RCPT_REFUSED, e == ERR_NOTFOUND ? ERR_NOTFOUND : ERR_TEMP);
}

static void
rcpt_lookup(struct rcpt *r)
{
	struct lmtp_server *v = r->session->server;
	struct str name = str_n(r->address, r->address_len);
	char bare[LMTP_PATH_MAX + 1];
	size_t bare_len;

	if (r->stage == RCPT_LOOKUP_BARE) {
		if (!lmtp_address_without_tag(name, v->delimiter, bare, &bare_len)) {
			rcpt_decided(r, RCPT_REFUSED, ERR_NOTFOUND);
			return;
		}
		name = str_n(bare, bare_len);
	}
	r->request = v->lookup(v->users, name, STR("lmtp"), rcpt_found, r);
}

/* What can be said against a RCPT before anybody is asked; NULL: nothing. id_out: the value of
 * XDELIVERYID, or empty. */
static const char *
rcpt_objection(const struct session *s, const struct lmtp_command *c, struct str *id_out)
{
	*id_out = STR_EMPTY;
	if (!s->mail)
		return "503 5.5.1 MAIL first";
	if (s->rcpts_count >= s->server->recipients_max)
		return "452 4.5.3 Too many recipients";
	for (size_t i = 0; i < c->params_count; i++) {
		const struct lmtp_param *p = &c->params[i];
		if (!str_ieq(p->key, STR("XDELIVERYID")))
			return "555 5.5.4 Parameter not known";
		if (!s->peer.is_unix || s->peer.uid != s->server->queue_uid)
			return "550 5.7.1 XDELIVERYID is not for you";
		if (p->value.n <= 16 || p->value.n > DELIVERY_ID_MAX)
			return "501 5.5.4 Bad delivery id";
		*id_out = p->value;
	}
	return NULL;
}

static bool
command_rcpt(struct session *s, const struct lmtp_command *c)
{
	struct str address = lmtp_command_path(c), id, home;
	const char *objection = rcpt_objection(s, c, &id);
	struct rcpt *r;

	if (objection != NULL)
		return refuse(s, objection);
	r = xcalloc(1, sizeof(*r) + address.n + 1);
	r->session = s;
	memcpy(r->address, address.p, address.n);
	r->address_len = address.n;
	memcpy(r->delivery_id, id.p, id.n);
	list_push_back(&s->rcpts, &r->link);
	s->rcpts_count++;
	s->rcpts_pending++;
	r->stage = RCPT_LOOKUP_WHOLE;
	if (user_cache_get(s->server->cache, address, loop_now_ms(s->server->loop), &home) &&
		rcpt_take_home(r, home) == ERR_OK)
		rcpt_decided(r, RCPT_ACCEPTED, ERR_OK);
	else
		rcpt_lookup(r);
	return true;
}

/* MAIL */

static bool
mail_params(struct session *s, const struct lmtp_command *c, const char **line_out)
{
	for (size_t i = 0; i < c->params_count; i++) {
		const struct lmtp_param *p = &c->params[i];
		uint64_t size;
		if (str_ieq(p->key, STR("SIZE"))) {
			if (str_to_u64(p->value, UINT64_MAX, &size) != ERR_OK) {
				*line_out = "501 5.5.4 Bad SIZE";
				return false;
			}
			if (size > s->server->message_max_bytes) {
				*line_out = "552 5.3.4 Message too large";
				return false;
			}
		} else if (str_ieq(p->key, STR("BODY"))) {
			if (!str_ieq(p->value, STR("7BIT")) &&
				!str_ieq(p->value, STR("8BITMIME"))) {
				*line_out = "501 5.5.4 Bad BODY";
				return false;
			}
		} else {
			*line_out = "555 5.5.4 Parameter not known";
			return false;
		}
	}
	return true;
}

static bool
command_mail(struct session *s, const struct lmtp_command *c)
{
	const char *line = NULL;

	if (!s->greeted)
		return refuse(s, "503 5.5.1 LHLO first");
	if (s->mail)
		return refuse(s, "503 5.5.1 Sender already given");
	if (!mail_params(s, c, &line))
		return refuse(s, line);
	s->mail = true;
	memcpy(s->sender, c->path, c->path_len + 1);
	reply(s, "250 2.1.0 OK");
	return true;
}

/* DATA */

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
	buf_addf(&b, "\r\n\tby %.*s with LMTP id %s", STR_FMT(s->server->hostname), s->sid);
	if (s->rcpts_accepted == 1)
		buf_addf(&b, "\r\n\tfor <%s>", only->address);
	buf_addz(&b, "; ");
	date_format(&b, clock_wall_ms() / 1000, 0);
	buf_addz(&b, "\r\n");
	body_put(s, buf_str(&b));
	buf_fini(&b);
}

static bool
command_data(struct session *s)
{
	if (!s->mail)
		return refuse(s, "503 5.5.1 MAIL first");
	if (s->rcpts_accepted == 0)
		return refuse(s, "503 5.5.1 No valid recipients");
	s->state = SESSION_DATA;
	s->body_result = ERR_OK;
	s->body = body_new(rcpt_of(s->rcpts.next)->home, s->server->message_max_bytes + 4096);
	body_on_room(s->body, body_room, s);
	body_put_trace(s);
	dot_init(&s->dot);
	reply(s, "354 Go ahead");
	return true;
}

static const char *
result_line(enum err e)
{
	switch (e) {
	case ERR_OK:
		return "250 2.0.0 Delivered";
	case ERR_LIMIT:
		return "552 5.3.4 Message too large";
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
		reply(s, result_line(r->result));
		s->targets_said++;
	}
	transaction_reset(s);
	s->state = SESSION_COMMAND;
	if (s->server->stopping) {
		reply(s, "421 4.3.2 Shutting down");
		session_end(s, true);
		return;
	}
	if (s->eof) {
		session_end(s, true);
		return;
	}
	watch_time(s);
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
	watch_time(s);
	s->targets = xcalloc(s->rcpts_accepted, sizeof(struct rcpt *));
	LIST_FOREACH(l, &s->rcpts)
	{
		struct rcpt *r = rcpt_of(l);
		to[n].home = r->home;
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

/* The other commands */

static bool
command_lhlo(struct session *s, const struct lmtp_command *c)
{
	transaction_reset(s);
	s->greeted = true;
	(void)snprintf(s->lhlo, sizeof(s->lhlo), "%.*s", STR_FMT(c->arg));
	for (char *p = s->lhlo; *p != '\0'; p++) {
		/* It goes into a Received field: no comments, no specials. */
		if (!ascii_is_alnum((unsigned char)*p) && strchr(".-_:[]", *p) == NULL)
			*p = '?';
	}
	stream_writef(s->stream, "250-%.*s\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n",
		STR_FMT(s->server->hostname));
	if (s->peer.is_unix && s->peer.uid == s->server->queue_uid)
		reply(s, "250-XDELIVERYID");
	stream_writef(s->stream, "250-8BITMIME\r\n250 SIZE %llu\r\n",
		(unsigned long long)s->server->message_max_bytes);
	return true;
}

static bool
command_broken(struct session *s, enum err e)
{
	switch (e) {
	case ERR_LIMIT:
		return refuse(s, "501 5.5.4 Argument too long");
	case ERR_DENIED:
		return refuse(s, "553 5.6.7 Addresses are ASCII here");
	case ERR_OK:
	case ERR_SYNTAX:
	case ERR_AGAIN:
	case ERR_EOF:
	case ERR_NOTFOUND:
	case ERR_EXISTS:
	case ERR_BUSY:
	case ERR_TEMP:
	case ERR_CORRUPT:
	case ERR_BUG:
		break;
	}
	return refuse(s, "501 5.5.2 Syntax error");
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
		return command_mail(s, &c);
	case LMTP_RCPT:
		return command_rcpt(s, &c);
	case LMTP_DATA:
		return command_data(s);
	case LMTP_RSET:
		transaction_reset(s);
		reply(s, "250 2.0.0 OK");
		return true;
	case LMTP_NOOP:
		reply(s, "250 2.0.0 OK");
		return true;
	case LMTP_VRFY:
		reply(s, "252 2.5.0 Send a message and see");
		return true;
	case LMTP_QUIT:
		reply(s, "221 2.0.0 Bye");
		session_end(s, true);
		return false;
	case LMTP_HELO:
		return refuse(s, "500 5.5.1 This is LMTP, say LHLO");
	case LMTP_UNKNOWN:
		return refuse(s, "500 5.5.1 Command unknown");
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
	       rcpt_objection(s, &c, &id) != NULL;
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
		return refuse(s, "500 5.5.2 Line too long") ? ERR_OK : ERR_EOF;
	}
	line = str_sub(have, 0, end);
	if (must_wait(s, line))
		return ERR_AGAIN;
	memcpy(copy, line.p, line.n);
	line.p = copy;
	buf_consume(in, end + 2);
	return command_run(s, line) ? ERR_OK : ERR_EOF;
}

static void
data_next(struct session *s)
{
	struct buf *in = stream_in(s->stream);
	size_t used = dot_decode(&s->dot, buf_str(in), body_put, s);

	buf_consume(in, used);
	if (!dot_ended(&s->dot))
		return;
	body_on_room(s->body, NULL, NULL);
	stream_set_reading(s->stream, true);
	deliver_start(s);
}

/* Works off the input, as far as it goes. */
static void
session_step(struct session *s)
{
	unsigned budget = COMMANDS_PER_STEP;

	while (stream_in(s->stream)->n != 0) {
		enum err e;
		if (s->state == SESSION_DELIVER || stream_full(s->stream))
			return;
		if (budget-- == 0) {
			stream_read_again(s->stream);
			return;
		}
		if (s->state == SESSION_DATA) {
			data_next(s);
			return; /* the message may be delivered, and s gone */
		}
		e = command_next(s);
		if (e == ERR_EOF)
			return;
		if (e != ERR_OK)
			break;
	}
	if (s->eof && (session_idle(s) || s->state == SESSION_DATA))
		session_end(s, true);
}

static void
on_read(struct stream *stream, void *arg)
{
	struct session *s = arg;

	(void)stream;
	watch_time(s);
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
	if (s->state == SESSION_DATA)
		log_event(LVL_WARN, "lmtp.lost", log_z("sid", s->sid), log_z("state", "data"));
	session_end(s, why == ERR_EOF);
}

static void
on_timeout(struct loop_timer *t)
{
	struct session *s = t->arg;

	log_event(LVL_INFO, "lmtp.close", log_z("sid", s->sid), log_z("reason", "timeout"));
	reply(s, "421 4.4.2 Timeout");
	session_end(s, true);
}

static const struct stream_ops session_ops = {
	.on_read = on_read,
	.on_drain = on_drain,
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
lmtp_session_start(struct lmtp_server *v, int fd, const struct peer *peer)
{
	struct session *s = xcalloc(1, sizeof(*s));
	bool allowed = peer_allowed(v, peer);
	const struct stream_options o = { .in_max_bytes = IN_MAX_BYTES };

	s->server = v;
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
		reply(s, allowed ? "421 4.3.2 Too many connections" : "421 4.7.1 Not from there");
		session_end(s, true);
		return;
	}
	log_event(LVL_DEBUG, "lmtp.connect", log_z("sid", s->sid), log_z("addr", peer->addr),
		log_n("uid", peer->is_unix ? (int64_t)peer->uid : -1));
	stream_writef(s->stream, "220 %.*s LMTP\r\n", STR_FMT(v->hostname));
	watch_time(s);
}

void
lmtp_server_stop(struct lmtp_server *v)
{
	bool none = v->sessions_count == 0;

	v->stopping = true;
	LIST_FOREACH(l, &v->sessions)
	{
		struct session *s = CONTAINER_OF(l, struct session, link);
		if (session_idle(s) && !s->mail) {
			reply(s, "421 4.3.2 Shutting down");
			session_end(s, true);
		}
	}
	if (none && v->on_idle != NULL)
		v->on_idle(v->on_idle_arg);
}
