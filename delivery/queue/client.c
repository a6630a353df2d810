/* The LMTP client of the queue: connections, their state machine, dots. Called by attempt.c.
 * Invariants: the final dot is sent only after the whole body was read and its sum was right, so a
 * damaged message is never delivered; a recipient's result is given once, from its own line; on a
 * connection that failed nothing is assumed about recipients without a line. */
#include "delivery/queue/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/codec.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/connect.h"
#include "core/event/stream.h"

enum { CONNECT_TIMEOUT_MS = 5000, CHUNK = 32 * 1024, CLOSE_LINGER_MS = 1000 };

enum client_state {
	CLIENT_CONNECTING,
	CLIENT_GREETING,
	CLIENT_LHLO,
	CLIENT_IDLE,
	CLIENT_MAIL, /* the next reply is MAIL's */
	CLIENT_RCPT, /* … that of recipient `at` */
	CLIENT_DATA,
	CLIENT_BODY,	/* sending; no reply is due */
	CLIENT_RESULTS, /* the next reply is recipient `at`'s result */
	CLIENT_QUIT,
};

struct client {
	struct list link;
	struct clients *all;
	enum client_state state;
	struct connecting *connecting;
	struct stream *stream;
	struct loop_timer timer;
	struct reply reply;
	bool has_xdeliveryid, has_8bitmime, has_size, has_pipelining, has_smtputf8;
	bool has_chunking, has_binarymime;
	bool used; /* a transaction went well on this connection */
	struct client_job *job;
	size_t at;
	size_t accepted;
	bool mail_refused;
	uint64_t sent;
	unsigned chunks; /* BDAT: replies that are due, but for the last chunk's */
	uint32_t crc;
	char last; /* byte sent: where a line begins */
	bool bol;
};

struct clients {
	struct loop *loop;
	struct clients_options o;
	char *address, *hostname;
	struct list list;
	unsigned count;
	struct list waiting; /* jobs */
};

static void
client_next_job(struct client *c);
static void
clients_pump(struct clients *all);

static void
client_free(struct client *c)
{
	loop_timer_stop(&c->timer);
	if (c->connecting != NULL)
		connect_cancel(c->connecting);
	if (c->stream != NULL)
		stream_free(c->stream);
	list_remove(&c->link);
	c->all->count--;
	free(c);
}

/* The connection is of no more use. Its job ends with how; where it was made for nobody in
 * particular and never became usable, the job that waits longest hears of it. c is gone. */
static void
client_fail(struct client *c, enum err how, const char *text)
{
	struct clients *all = c->all;
	struct client_job *j = c->job;
	char copy[200];

	(void)snprintf(copy, sizeof(copy), "%s", text);
	if (j == NULL && c->state != CLIENT_IDLE && !list_empty(&all->waiting)) {
		j = CONTAINER_OF(all->waiting.next, struct client_job, link);
		list_remove(&j->link);
	}
	client_free(c);
	if (j != NULL) {
		j->client = NULL;
		j->on_end(j->arg, how, copy);
	}
	clients_pump(all);
}

static void
wait_reply(struct client *c)
{
	loop_timer_start(&c->timer, c->state == CLIENT_RESULTS ? c->all->o.data_timeout_ms
							       : c->all->o.command_timeout_ms);
}

static void
give_result(struct client *c, size_t i, const struct reply *r)
{
	struct client_job *j = c->job;

	if (j->rcpts[i].answered)
		return;
	j->rcpts[i].answered = true;
	j->on_rcpt(j->arg, i, r);
}

static void
job_done(struct client *c)
{
	struct client_job *j = c->job;
	struct clients *all = c->all;

	c->job = NULL;
	j->client = NULL;
	c->used = true;
	c->state = CLIENT_IDLE;
	loop_timer_start(&c->timer, all->o.idle_ms);
	j->on_end(j->arg, ERR_OK, "");
	clients_pump(all);
}

/* Every recipient has its result; the job ends with the reply to this. */
static void
end_early(struct client *c)
{
	stream_write(c->stream, STR("RSET\r\n"));
	c->state = CLIENT_LHLO;
}

/* RFC 6531 3.1: only what needs it. */
static bool
needs_utf8(const struct client_job *j)
{
	bool needs = j->smtputf8 || str_has_8bit(j->sender);

	for (size_t i = 0; !needs && i < j->rcpts_count; i++)
		needs = str_has_8bit(j->rcpts[i].address);
	return needs;
}

static void
leave_out(struct client *c, size_t i, const struct reply *r)
{
	c->job->rcpts[i].left_out = true;
	give_result(c, i, r);
}

/* False: nobody of this transaction can be had from this server, and everybody has heard so. RFC
 * 3030 3; RFC 6531 3.5, where one recipient's address costs the others nothing. */
static bool
takes_message(struct client *c)
{
	struct client_job *j = c->job;
	bool all = j->smtputf8 || str_has_8bit(j->sender);
	size_t left = 0;
	struct reply r;

	if (j->binary && (!c->has_chunking || !c->has_binarymime)) {
		reply_set(&r, 554, "5.6.3", "the server takes no binary messages");
		for (size_t i = 0; i < j->rcpts_count; i++)
			leave_out(c, i, &r);
		return false;
	}
	if (c->has_smtputf8)
		return true;
	reply_set(&r, all ? 554 : 553, "5.6.7", "the server takes no addresses beyond ASCII");
	for (size_t i = 0; i < j->rcpts_count; i++) {
		if (!all && !str_has_8bit(j->rcpts[i].address)) {
			left++;
			continue;
		}
		leave_out(c, i, &r);
	}
	return left != 0;
}

/* MAIL, every RCPT and DATA leave in one go; without PIPELINING the replies are only read more
 * slowly, every LMTP server must take what is in its socket. */
static void
send_envelope(struct client *c)
{
	struct client_job *j = c->job;

	stream_writef(c->stream, "MAIL FROM:<%.*s>", STR_FMT(j->sender));
	if (c->has_size)
		stream_writef(c->stream, " SIZE=%llu", (unsigned long long)j->body_len);
	if (j->binary)
		stream_write(c->stream, STR(" BODY=BINARYMIME"));
	else if (c->has_8bitmime && j->eight_bit)
		stream_write(c->stream, STR(" BODY=8BITMIME"));
	if (c->has_smtputf8 && needs_utf8(j))
		stream_write(c->stream, STR(" SMTPUTF8"));
	stream_write(c->stream, STR("\r\n"));
	for (size_t i = 0; i < j->rcpts_count; i++) {
		if (j->rcpts[i].left_out)
			continue;
		stream_writef(c->stream, "RCPT TO:<%.*s>", STR_FMT(j->rcpts[i].address));
		if (c->has_xdeliveryid)
			stream_writef(c->stream, " XDELIVERYID=%s", j->rcpts[i].delivery_id);
		stream_write(c->stream, STR("\r\n"));
	}
	/* BDAT has no go-ahead: it waits until somebody was accepted. */
	if (!j->binary)
		stream_write(c->stream, STR("DATA\r\n"));
}

static void
client_next_job(struct client *c)
{
	struct clients *all = c->all;
	struct client_job *j = CONTAINER_OF(all->waiting.next, struct client_job, link);

	list_remove(&j->link);
	j->client = c;
	c->job = j;
	c->at = c->accepted = 0;
	c->mail_refused = false;
	if (takes_message(c)) {
		c->state = CLIENT_MAIL;
		send_envelope(c);
	} else {
		end_early(c);
	}
	wait_reply(c);
}

/* Bytes with a dot put before each dot that begins a line. */
static void
send_stuffed(struct client *c, struct str bytes)
{
	while (bytes.n != 0) {
		size_t line;
		if (c->bol && bytes.p[0] == '.')
			stream_write(c->stream, STR("."));
		line = str_chr(bytes, '\n');
		/* Only CR LF begins a line; a dot after a bare LF needs no stuffing. Runs without
		 * "\n." go out whole. */
		while (line + 1 < bytes.n && bytes.p[line + 1] != '.') {
			size_t more = str_chr(str_from(bytes, line + 1), '\n');
			line = line + 1 + more;
		}
		line = line < bytes.n ? line + 1 : bytes.n;
		stream_write(c->stream, str_sub(bytes, 0, line));
		c->bol = bytes.p[line - 1] == '\n' &&
			 (line >= 2 ? bytes.p[line - 2] == '\r' : c->last == '\r');
		c->last = bytes.p[line - 1];
		bytes = str_from(bytes, line);
	}
}

static void
body_end(struct client *c)
{
	if (c->crc != c->job->body_crc) {
		client_fail(c, ERR_CORRUPT, "the message fails its checksum");
		return;
	}
	if (!c->job->binary)
		stream_write(c->stream, c->bol ? STR(".\r\n") : STR("\r\n.\r\n"));
	else if (c->job->body_len == 0)
		stream_write(c->stream, STR("BDAT 0 LAST\r\n"));
	c->state = CLIENT_RESULTS;
	c->at = 0;
	while (c->at < c->job->rcpts_count && c->job->rcpts[c->at].answered)
		c->at++;
	wait_reply(c);
}

/* The last chunk, which makes the others a message, only when the sum of all is right. False: c is
 * gone. */
static bool
send_chunk(struct client *c, struct str bytes)
{
	bool last = c->sent == c->job->body_len;

	if (last && c->crc != c->job->body_crc) {
		client_fail(c, ERR_CORRUPT, "the message fails its checksum");
		return false;
	}
	stream_writef(c->stream, "BDAT %zu%s\r\n", bytes.n, last ? " LAST" : "");
	stream_write(c->stream, bytes);
	c->chunks += last ? 0 : 1;
	return true;
}

/* Sends until the stream is full; c may be gone afterwards. */
static void
body_send(struct client *c)
{
	char chunk[CHUNK];
	struct client_job *j = c->job;

	loop_timer_start(&c->timer, c->all->o.data_timeout_ms);
	while (c->sent < j->body_len) {
		enum err e;
		uint64_t left = j->body_len - c->sent;
		size_t n = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
		if (stream_full(c->stream))
			return;
		e = j->read(j->arg, c->sent, chunk, n);
		if (e != ERR_OK) {
			client_fail(
				c, e == ERR_CORRUPT ? e : ERR_TEMP, "the message cannot be read");
			return;
		}
		c->crc = crc32c(c->crc, str_n(chunk, n));
		c->sent += n;
		if (!j->binary)
			send_stuffed(c, str_n(chunk, n));
		else if (!send_chunk(c, str_n(chunk, n)))
			return;
	}
	body_end(c);
}

static void
body_begin(struct client *c)
{
	c->state = CLIENT_BODY;
	c->sent = 0;
	c->chunks = 0;
	c->crc = 0;
	c->bol = true;
	c->last = '\n';
	body_send(c);
}

/* Replies, by the state they arrive in. Each may end c: they return at once afterwards. */

static void
got_lhlo_line(struct client *c, struct str line)
{
	struct str word = str_from(line, 4), keyword, rest;

	(void)str_cut(word, ' ', &keyword, &rest);
	if (str_ieq(keyword, STR("XDELIVERYID")))
		c->has_xdeliveryid = true;
	else if (str_ieq(keyword, STR("8BITMIME")))
		c->has_8bitmime = true;
	else if (str_ieq(keyword, STR("CHUNKING")))
		c->has_chunking = true;
	else if (str_ieq(keyword, STR("BINARYMIME")))
		c->has_binarymime = true;
	else if (str_ieq(keyword, STR("SMTPUTF8")))
		c->has_smtputf8 = true;
	else if (str_ieq(keyword, STR("SIZE")))
		c->has_size = true;
}

/* `at` to the next recipient whose RCPT was sent. False: that was the last one. */
static bool
rcpt_awaited(struct client *c)
{
	while (c->at < c->job->rcpts_count && c->job->rcpts[c->at].left_out)
		c->at++;
	return c->at < c->job->rcpts_count;
}

/* c may be gone afterwards. */
static void
rcpts_done(struct client *c)
{
	if (c->job->binary && c->accepted != 0) {
		body_begin(c);
		return;
	}
	if (c->job->binary)
		end_early(c);
	else
		c->state = CLIENT_DATA;
	wait_reply(c);
}

/* Of a chunk that was not the last: what is refused once is refused whole. RFC 3030 2 */
static void
got_chunk(struct client *c)
{
	c->chunks--;
	if (reply_is(&c->reply, 2)) {
		wait_reply(c);
		return;
	}
	for (size_t i = 0; i < c->job->rcpts_count; i++)
		give_result(c, i, &c->reply);
	client_fail(c, ERR_TEMP, c->reply.text);
}

static void
got_rcpt(struct client *c)
{
	if (reply_is(&c->reply, 2) && !c->mail_refused)
		c->accepted++;
	else if (c->reply.code == 452 && c->accepted != 0)
		c->job->rcpts[c->at].answered = true; /* put off. RFC 5321 4.5.3.1.10 */
	else if (!c->mail_refused)
		give_result(c, c->at, &c->reply);
	c->at++;
	if (!rcpt_awaited(c))
		rcpts_done(c);
	else
		wait_reply(c);
}

static void
got_mail(struct client *c)
{
	if (!reply_is(&c->reply, 2)) {
		c->mail_refused = true;
		for (size_t i = 0; i < c->job->rcpts_count; i++)
			give_result(c, i, &c->reply);
	}
	(void)rcpt_awaited(c);
	c->state = CLIENT_RCPT;
	wait_reply(c);
}

static void
got_data(struct client *c)
{
	if (reply_is(&c->reply, 3)) {
		if (c->accepted == 0) {
			client_fail(c, ERR_TEMP, "DATA was accepted without a recipient");
			return;
		}
		body_begin(c);
		return;
	}
	for (size_t i = 0; i < c->job->rcpts_count; i++)
		give_result(c, i, &c->reply);
	end_early(c); /* the transaction may still be open over there */
	wait_reply(c);
}

static void
got_result(struct client *c)
{
	struct client_job *j = c->job;

	give_result(c, c->at, &c->reply);
	while (c->at < j->rcpts_count && j->rcpts[c->at].answered)
		c->at++;
	if (c->at == j->rcpts_count)
		job_done(c);
	else
		wait_reply(c);
}

static void
got_lhlo(struct client *c)
{
	if (!reply_is(&c->reply, 2)) {
		client_fail(c, ERR_TEMP, c->reply.text);
		return;
	}
	if (c->job != NULL) {
		job_done(c); /* this was RSET's, after a refused DATA */
		return;
	}
	c->state = CLIENT_IDLE;
	loop_timer_start(&c->timer, c->all->o.idle_ms);
	clients_pump(c->all);
}

static void
got_greeting(struct client *c)
{
	if (!reply_is(&c->reply, 2)) {
		client_fail(c, ERR_TEMP, c->reply.text);
		return;
	}
	stream_writef(c->stream, "LHLO %s\r\n", c->all->hostname);
	c->state = CLIENT_LHLO;
	wait_reply(c);
}

static void
got_reply(struct client *c)
{
	if (c->reply.code == 421 && c->state != CLIENT_RESULTS) {
		client_fail(c, ERR_TEMP, c->reply.text);
		return;
	}
	switch (c->state) {
	case CLIENT_GREETING:
		got_greeting(c);
		return;
	case CLIENT_LHLO:
		got_lhlo(c);
		return;
	case CLIENT_MAIL:
		got_mail(c);
		return;
	case CLIENT_RCPT:
		got_rcpt(c);
		return;
	case CLIENT_DATA:
		got_data(c);
		return;
	case CLIENT_BODY:
	case CLIENT_RESULTS:
		if (c->chunks != 0) {
			got_chunk(c);
			return;
		}
		if (c->state == CLIENT_BODY)
			break;
		got_result(c);
		return;
	case CLIENT_CONNECTING:
	case CLIENT_IDLE:
	case CLIENT_QUIT:
		break;
	}
	client_fail(c, ERR_TEMP, "a reply that nobody asked for");
}

static void
on_read(struct stream *stream, void *arg)
{
	struct client *c = arg;
	struct buf *in = stream_in(stream);
	struct str have = buf_str(in), line;
	size_t lf = str_chr(have, '\n');
	enum err e;

	if (lf == have.n) {
		if (have.n >= REPLY_LINE_MAX)
			client_fail(c, ERR_TEMP, "a reply line without an end");
		return;
	}
	line = str_sub(have, 0, lf);
	if (str_ends(line, STR("\r")))
		line.n--;
	if (c->state == CLIENT_LHLO && line.n > 4)
		got_lhlo_line(c, line);
	e = reply_add(&c->reply, line);
	buf_consume(in, lf + 1);
	if (in->n != 0)
		stream_read_again(stream);
	if (e == ERR_OK)
		got_reply(c);
	else if (e != ERR_AGAIN)
		client_fail(c, ERR_TEMP, "not an LMTP reply");
}

static void
on_drain(struct stream *stream, void *arg)
{
	struct client *c = arg;

	(void)stream;
	if (c->state == CLIENT_BODY)
		body_send(c);
}

static void
on_end(struct stream *stream, void *arg, enum err why)
{
	struct client *c = arg;

	client_fail(c, ERR_TEMP, why == ERR_EOF ? "connection closed" : stream_error(stream));
}

static void
on_timeout(struct loop_timer *t)
{
	struct client *c = t->arg;

	if (c->state == CLIENT_IDLE) {
		stream_write(c->stream, STR("QUIT\r\n"));
		stream_close(c->stream, CLOSE_LINGER_MS);
		c->stream = NULL;
		client_free(c);
		return;
	}
	client_fail(c, ERR_TEMP, "no reply in time");
}

static const struct stream_ops client_ops = {
	.on_read = on_read,
	.on_drain = on_drain,
	.on_end = on_end,
};

static void
on_connect(void *arg, int fd, enum err e, const char *text)
{
	struct client *c = arg;
	struct clients *all = c->all;
	const struct stream_options o = { .in_max_bytes = 64 * 1024 };

	c->connecting = NULL;
	if (e != ERR_OK) {
		client_fail(c, ERR_TEMP, text);
		return;
	}
	c->stream = stream_new(all->loop, fd, &client_ops, c, &o);
	c->state = CLIENT_GREETING;
	wait_reply(c);
}

static void
client_new(struct clients *all)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->all = all;
	c->state = CLIENT_CONNECTING;
	reply_init(&c->reply);
	loop_timer_init(&c->timer, all->loop, on_timeout, c);
	list_push_back(&all->list, &c->link);
	all->count++;
	c->connecting =
		connect_start(all->loop, str_of(all->address), CONNECT_TIMEOUT_MS, on_connect, c);
}

/* Gives waiting jobs to idle connections, and makes connections for the others. */
static void
clients_pump(struct clients *all)
{
	size_t coming = 0, waiting = 0;

	LIST_FOREACH (l, &all->list) {
		struct client *c = CONTAINER_OF(l, struct client, link);
		if (list_empty(&all->waiting))
			return;
		if (c->state == CLIENT_IDLE)
			client_next_job(c);
		else if (c->job == NULL)
			coming++;
	}
	LIST_FOREACH (l, &all->waiting)
		waiting++;
	for (; coming < waiting && all->count < all->o.connections_max; coming++)
		client_new(all);
}

struct clients *
clients_new(struct loop *l, const struct clients_options *o)
{
	struct clients *all = xcalloc(1, sizeof(*all));

	all->loop = l;
	all->o = *o;
	all->address = str_dup(o->address);
	all->hostname = str_dup(o->hostname);
	list_init(&all->list);
	list_init(&all->waiting);
	return all;
}

void
clients_free(struct clients *all)
{
	LIST_FOREACH (l, &all->list)
		client_free(CONTAINER_OF(l, struct client, link));
	LIST_FOREACH (l, &all->waiting)
		list_remove(l);
	free(all->address);
	free(all->hostname);
	free(all);
}

void
clients_submit(struct clients *all, struct client_job *j)
{
	j->client = NULL;
	for (size_t i = 0; i < j->rcpts_count; i++)
		j->rcpts[i].answered = j->rcpts[i].left_out = false;
	list_push_back(&all->waiting, &j->link);
	clients_pump(all);
}

void
clients_cancel(struct client_job *j)
{
	struct clients *all;

	if (j->client == NULL) {
		list_remove(&j->link);
		return;
	}
	all = j->client->all;
	j->client->job = NULL;
	client_free(j->client);
	j->client = NULL;
	clients_pump(all); /* its connection's place is free for a job that waits */
}

void
clients_close_idle(struct clients *all)
{
	LIST_FOREACH (l, &all->list) {
		struct client *c = CONTAINER_OF(l, struct client, link);
		if (c->state == CLIENT_IDLE)
			on_timeout(&c->timer);
	}
}
