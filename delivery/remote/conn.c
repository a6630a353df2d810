/* Connections to other servers; see conn.h. job.c uses them. Invariants: every wait has a deadline;
 * the end of a message is sent only when all of it was read and its sum was right; a password goes
 * out only through TLS whose certificate the plan accepted, or where the settings say so. */
#include "delivery/remote/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/connect.h"
#include "core/event/stream.h"
#include "core/sasl/login.h"
#include "core/sasl/mechanism.h"

enum { READ_BYTES = 32 * 1024, IN_MAX = 16 * 1024, LINGER_MS = 2000, IDLE_MAX = 500 };

/* Connections that wait for a message, in all pools. */
static size_t idle_count;

struct conn {
	struct list link; /* in pool while it can be taken */
	struct list *pool;
	struct conn_options o;
	char *key, *host, *address, *hostname;
	char tls[128];
	char mechanisms[512];
	struct connecting *connecting;
	struct stream *stream;
	struct dialog *dialog;
	struct dialog_sasl sasl;
	struct sasl_login *login;
	struct loop_timer timer;
	uint64_t progress;
	bool handshake;
	/* the user */
	const struct conn_user *user; /* NULL: idle */
	void *arg;
	struct conn_message message;
	bool begun, kept, heard;
	uint64_t sent;
	uint32_t crc;
	bool corrupt;
	unsigned messages;
};

static void
pump(struct conn *c);

static void
out_of_pool(struct conn *c)
{
	if (!list_empty(&c->link))
		idle_count--;
	list_remove(&c->link);
}

void
conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	out_of_pool(c);
	loop_timer_stop(&c->timer);
	connect_cancel(c->connecting);
	if (c->stream != NULL)
		stream_free(c->stream);
	dialog_free(c->dialog);
	sasl_login_free(c->login);
	free(c->key);
	free(c->host);
	free(c->address);
	free(c->hostname);
	free(c);
}

struct str
conn_host(const struct conn *c)
{
	return str_of(c->host);
}

struct str
conn_address(const struct conn *c)
{
	return str_of(c->address);
}

struct str
conn_tls(const struct conn *c)
{
	return str_of(c->tls);
}

bool
conn_unsure(const struct conn *c)
{
	return c->dialog != NULL && dialog_unsure(c->dialog);
}

struct conn *
conn_of(struct list *link)
{
	return CONTAINER_OF(link, struct conn, link);
}

/* Tells the user, if any, and is gone. */
static void
fail(struct conn *c, enum dialog_failed why, const struct answer *a, bool tls_failed)
{
	const struct conn_user *user = c->user;
	const struct conn_failure f = { .why = why,
		.answer = a,
		.unsure = c->dialog != NULL && dialog_unsure(c->dialog),
		.corrupt = c->corrupt,
		.tls = tls_failed,
		.connected = c->stream != NULL,
		.idle_death = c->kept && !c->heard };

	c->user = NULL;
	if (user != NULL)
		user->on_failed(c->arg, &f);
	conn_free(c);
}

static void
fail_text(struct conn *c, const char *status, const char *text, bool tls_failed)
{
	struct answer a;

	answer_set(&a, 451, status, text);
	fail(c, tls_failed ? DIALOG_FAILED_TLS : DIALOG_FAILED_HOST, &a, tls_failed);
}

/* Good-bye, without waiting for the answer. */
static void
leave(struct conn *c)
{
	struct buf *out = dialog_output(c->dialog);

	if (dialog_phase(c->dialog) == DIALOG_READY)
		dialog_quit(c->dialog);
	stream_write(c->stream, buf_str(out));
	stream_close(c->stream, LINGER_MS);
	c->stream = NULL;
	conn_free(c);
}

/* ---- login ---- */

static enum err
sasl_start(void *arg, struct str offered, bool tls, const char **mechanism_out,
	struct str *response_out)
{
	struct conn *c = arg;
	const struct conn_login *l = c->o.login;
	const struct sasl_login_options o = {
		.service = "smtp", .host = c->host, .user = l->user, .password = l->password
	};
	struct str word, rest = offered;
	size_t n = 0;

	while (rest.n != 0) {
		(void)str_cut(rest, ' ', &word, &rest);
		const struct sasl_mechanism *m = sasl_mechanism_find(word);
		struct str allowed, more = l->mechanisms;
		bool ok = false;
		while (m != NULL && more.n != 0 && !ok) {
			(void)str_cut(more, ' ', &allowed, &more);
			ok = str_ieq(allowed, word);
		}
		if (!ok || (!tls && !l->plaintext))
			continue;
		n += (size_t)snprintf(c->mechanisms + n, sizeof c->mechanisms - n, "%s ", m->name);
		if (n >= sizeof c->mechanisms - 32)
			break;
	}
	if (n == 0)
		return ERR_NOTFOUND;
	enum err e = sasl_login_new(&o, &c->login);

	return e == ERR_OK ? sasl_login_start(c->login, c->mechanisms, mechanism_out, response_out)
			   : e;
}

static enum err
sasl_step(void *arg, struct str challenge, struct str *response_out)
{
	struct conn *c = arg;

	return sasl_login_step(c->login, challenge, response_out);
}

static bool
sasl_complete(void *arg)
{
	const struct conn *c = arg;

	return sasl_login_complete(c->login);
}

/* ---- the message ---- */

static void
dialog_result(void *arg, size_t i, const struct answer *a, bool passed)
{
	struct conn *c = arg;

	c->heard = true;
	if (c->user != NULL)
		c->user->on_result(c->arg, i, a, passed);
}

static void
begin(struct conn *c)
{
	c->begun = true;
	c->sent = 0;
	c->crc = 0;
	c->messages++;
	dialog_begin(c->dialog, c->message.request);
}

/* More of the message, until the stream is full. */
static void
send_body(struct conn *c)
{
	const struct relay_request *r = c->message.request;
	char data[READ_BYTES];

	if (c->sent < r->body_len) {
		uint64_t left = r->body_len - c->sent;
		size_t n = left < sizeof data ? (size_t)left : sizeof data;
		ssize_t got = pread(c->message.fd, data, n, (off_t)(r->body_off + c->sent));
		if (got <= 0) {
			c->corrupt = true;
			dialog_body_end(c->dialog, false);
			return;
		}
		c->crc = crc32c(c->crc, str_n(data, (size_t)got));
		c->sent += (uint64_t)got;
		dialog_body(c->dialog, str_n(data, (size_t)got));
		return;
	}
	c->corrupt = c->crc != r->body_crc;
	dialog_body_end(c->dialog, !c->corrupt);
}

/* The transaction is over. The connection goes into the pool as soon as it is READY. */
static void
message_done(struct conn *c)
{
	const struct conn_user *user = c->user;

	c->user = NULL;
	c->begun = false;
	if (user != NULL)
		user->on_done(c->arg);
}

/* Nobody uses it and it could be used. False: it is gone. */
static bool
rest(struct conn *c)
{
	if (c->messages >= c->o.reuse_max || c->o.idle_ms == 0 ||
		(list_empty(&c->link) && idle_count >= IDLE_MAX)) {
		leave(c);
		return false;
	}
	if (list_empty(&c->link)) {
		list_push_back(c->pool, &c->link);
		idle_count++;
		loop_timer_start(&c->timer, c->o.idle_ms);
	}
	c->kept = true;
	return true;
}

/* ---- the loop ---- */

static void
flush(struct conn *c)
{
	struct buf *out = dialog_output(c->dialog);

	if (out->n == 0)
		return;
	stream_write(c->stream, buf_str(out));
	buf_reset(out);
}

static void
watch(struct conn *c)
{
	uint64_t now = dialog_progress(c->dialog);

	if (now == c->progress && loop_timer_active(&c->timer))
		return;
	c->progress = now;
	loop_timer_start(&c->timer, dialog_timeout_ms(c->dialog));
}

/* Does what the dialog asks for, until it waits. c may be gone afterwards. */
static void
pump(struct conn *c)
{
	const struct answer *a;

	for (;;) {
		flush(c);
		if (c->begun && !dialog_in_transaction(c->dialog))
			message_done(c);
		switch (dialog_phase(c->dialog)) {
		case DIALOG_WAIT:
			watch(c);
			return;
		case DIALOG_TLS:
			if (!c->handshake)
				stream_start_tls_peer(c->stream, c->o.tls_ctx, &c->o.peer);
			c->handshake = true;
			loop_timer_start(&c->timer, dialog_timeout_ms(c->dialog));
			return;
		case DIALOG_READY:
			if (c->user == NULL) {
				(void)rest(c);
				return;
			}
			begin(c);
			break;
		case DIALOG_BODY:
			if (stream_full(c->stream)) {
				loop_timer_start(&c->timer, dialog_timeout_ms(c->dialog));
				return;
			}
			send_body(c);
			break;
		case DIALOG_OVER: {
			enum dialog_failed why = dialog_failure(c->dialog, &a);
			fail(c, why, a, false);
			return;
		}
		}
	}
}

static void
on_read(struct stream *s, void *arg)
{
	struct conn *c = arg;

	dialog_input(c->dialog, stream_in(s));
	pump(c);
}

static void
on_drain(struct stream *s UNUSED, void *arg)
{
	pump(arg);
}

static void
on_empty(struct stream *s UNUSED, void *arg)
{
	struct conn *c = arg;

	/* the wait for the answer begins when the last octet is gone */
	if (c->dialog != NULL && c->user != NULL && dialog_phase(c->dialog) == DIALOG_WAIT)
		loop_timer_start(&c->timer, dialog_timeout_ms(c->dialog));
}

static const char *const checks[] = {
	[TLS_CHECK_NONE] = "", [TLS_CHECK_NAME] = " verified", [TLS_CHECK_DANE] = " dane"
};

static void
start_dialog(struct conn *c)
{
	struct dialog_options o = c->o.dialog;

	o.hostname = str_of(c->hostname);
	o.on_result = dialog_result;
	o.arg = c;
	c->sasl = (struct dialog_sasl){
		.start = sasl_start, .step = sasl_step, .complete = sasl_complete, .arg = c
	};
	o.sasl = c->o.login != NULL ? &c->sasl : NULL;
	c->dialog = dialog_new(&o);
}

static void
on_tls(struct stream *s, void *arg)
{
	struct conn *c = arg;
	const struct tls *t = stream_tls(s);

	(void)snprintf(c->tls, sizeof c->tls, "%s%s", tls_description(t), checks[tls_checked(t)]);
	c->handshake = false;
	if (c->dialog == NULL)
		start_dialog(c);
	else
		dialog_tls_done(c->dialog);
	pump(c);
}

static void
on_end(struct stream *s, void *arg, enum err why)
{
	struct conn *c = arg;
	char text[256];

	if (c->handshake) {
		(void)snprintf(text, sizeof text, "TLS: %s", stream_error(s));
		fail_text(c, "4.7.5", text, true);
		return;
	}
	(void)snprintf(text, sizeof text, "%s",
		why == ERR_EOF ? "the server closed the connection" : stream_error(s));
	dialog_lost(c->dialog, text);
	if (c->user == NULL)
		conn_free(c);
	else
		pump(c);
}

static const struct stream_ops ops = { .on_read = on_read,
	.on_drain = on_drain,
	.on_empty = on_empty,
	.on_tls = on_tls,
	.on_end = on_end };

static void
on_timer(struct loop_timer *t)
{
	struct conn *c = t->arg;

	if (c->dialog != NULL && dialog_phase(c->dialog) == DIALOG_READY) {
		leave(c);
	} else if (c->user == NULL) {
		conn_free(c);
	} else if (c->handshake) {
		fail_text(c, "4.4.2", "TLS: no hand-shake in time", true);
	} else {
		static const char *const stages[] = { [DIALOG_STAGE_GREETING] = "a greeting",
			[DIALOG_STAGE_EHLO] = "an answer to EHLO",
			[DIALOG_STAGE_STARTTLS] = "an answer to STARTTLS",
			[DIALOG_STAGE_AUTH] = "an answer to AUTH",
			[DIALOG_STAGE_MAIL] = "an answer to MAIL",
			[DIALOG_STAGE_RCPT] = "an answer to RCPT",
			[DIALOG_STAGE_DATA] = "an answer to DATA",
			[DIALOG_STAGE_BODY] = "room for more of the message",
			[DIALOG_STAGE_END] = "an answer to the message",
			[DIALOG_STAGE_QUIT] = "an answer to RSET" };
		char text[100];
		(void)snprintf(text, sizeof text, "the server did not send %s in time",
			stages[dialog_stage(c->dialog)]);
		dialog_lost(c->dialog, text);
		pump(c);
	}
}

static void
on_connect(void *arg, int fd, enum err e, const char *text)
{
	struct conn *c = arg;
	const struct stream_options o = { .in_max_bytes = IN_MAX };

	c->connecting = NULL;
	if (e != ERR_OK) {
		fail_text(c, "4.4.1", text, false);
		return;
	}
	c->stream = stream_new(c->o.loop, fd, &ops, c, &o);
	if (c->o.tls_implicit) {
		c->handshake = true;
		stream_start_tls_peer(c->stream, c->o.tls_ctx, &c->o.peer);
		loop_timer_start(&c->timer, c->o.dialog.timeout_ms[DIALOG_STAGE_STARTTLS]);
		return;
	}
	start_dialog(c);
	pump(c);
}

struct conn *
conn_new(const struct conn_options *o, struct str key, struct list *pool,
	const struct conn_message *m, const struct conn_user *user, void *arg)
{
	struct conn *c = xcalloc(1, sizeof *c);
	char where[80];

	c->o = *o;
	c->key = str_dup(key);
	c->host = str_dup(o->host);
	c->address = str_dup(o->address);
	c->hostname = str_dup(o->hostname);
	c->pool = pool;
	c->message = *m;
	c->user = user;
	c->arg = arg;
	list_init(&c->link);
	loop_timer_init(&c->timer, o->loop, on_timer, c);
	(void)snprintf(where, sizeof where, "[%.*s]:%u", STR_FMT(o->address), (unsigned)o->port);
	c->connecting = connect_start_from(
		o->loop, str_of(where), o->source, o->connect_timeout_ms, on_connect, c);
	return c;
}

struct conn *
conn_take(struct list *pool, struct str key, const struct conn_message *m,
	const struct conn_user *user, void *arg)
{
	LIST_FOREACH (l, pool) {
		struct conn *c = CONTAINER_OF(l, struct conn, link);
		if (!str_eq(str_of(c->key), key))
			continue;
		out_of_pool(c);
		loop_timer_stop(&c->timer);
		c->message = *m;
		c->user = user;
		c->arg = arg;
		c->heard = c->corrupt = false;
		/* results may come at once, and not inside this call */
		stream_read_again(c->stream);
		loop_timer_start(&c->timer, c->o.dialog.timeout_ms[DIALOG_STAGE_MAIL]);
		return c;
	}
	return NULL;
}

void
conn_close_idle(struct list *pool)
{
	LIST_FOREACH (l, pool)
		leave(CONTAINER_OF(l, struct conn, link));
}
