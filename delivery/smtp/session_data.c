/* DATA and BDAT: the content on its way into a spool slot, and the end of a message. Called by
 * session.c; the spool's and the directory's answers come back here. Invariants: nothing of the
 * content is held but its header; a refusal found on the way is answered at the end of the content;
 * the 250 is written by on_commit and nowhere else. */
#include <stdlib.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/rand.h"
#include "core/mail/date.h"
#include "delivery/smtp/session.h"
#include "delivery/smtp/session_check.h"

enum { PIECE = 16 * 1024 };

/* From here on the content is thrown away; the first reason counts. */
static void
reject(struct smtp_session *s, enum smtp_reply r)
{
	if (s->tx.reject == REPLY_OK)
		s->tx.reject = r;
	if (s->tx.writer != NULL)
		spool_abort(s->tx.writer);
	s->tx.writer = NULL;
}

/* The message is over, with a reply. */
static void
finish(struct smtp_session *s, enum smtp_reply r)
{
	session_set_state(s, SMTP_COMMAND);
	session_reply(s, r, "sender", s->tx.sender);
	session_reset(s);
}

static void
on_commit(void *arg, struct spool_writer *w, enum err e)
{
	struct smtp_session *s = arg;
	struct smtp_tx *tx = &s->tx;
	struct str name = spool_writer_name(w);

	tx->writer = NULL; /* freed behind this call */
	if (e != ERR_OK) {
		log_event(LVL_ERROR, "smtp.spool", log_z("sid", s->sid), log_s("qid", name),
			log_z("reason", spool_writer_error(w)));
		finish(s, spool_writer_failed(w) ? REPLY_WRITE_FAILED : REPLY_QUEUE_AWAY);
		session_update(s);
		return;
	}
	s->messages++;
	stream_writef(s->stream, "250 2.0.0 Ok: queued as %.*s\r\n", STR_FMT(name));
	log_event(LVL_INFO, "smtp.accept", log_z("sid", s->sid), log_s("qid", name),
		log_s("user", buf_str(&s->user)), log_s("sender", tx->sender),
		log_s("rcpt", tx->rcpts[0].address), log_n("rcpts", (int64_t)tx->rcpts_count),
		log_n("size", (int64_t)tx->size), log_s("msgid", tx->facts.message_id),
		log_z("name", s->checks != NULL ? checks_client_name(s->checks) : ""),
		log_n("ms", loop_now_ms(s->server->peers.loop) - tx->begun_ms));
	session_set_state(s, SMTP_COMMAND);
	session_reset(s);
	session_update(s);
}

/* What the message needs of those who carry it on. What is ASCII needs nothing, whatever MAIL said,
 * and an address beyond ASCII speaks for itself. */
static unsigned
message_flags(const struct smtp_tx *tx)
{
	unsigned flags = 0;

	if (tx->declared_8bit || tx->has_8bit)
		flags |= SPOOL_8BITMIME;
	if (tx->smtputf8 && tx->has_8bit)
		flags |= SPOOL_SMTPUTF8;
	if (tx->binary && tx->dots.odd)
		flags |= SPOOL_BINARY;
	return flags;
}

/* Everything has come. The place for checks at the end of a message: they run in SMTP_WAIT, and
 * the last one calls this again. */
static void
conclude(struct smtp_session *s)
{
	struct smtp_tx *tx = &s->tx;
	struct spool_envelope e = {
		.sender = tx->sender,
		.auth_user = buf_str(&s->user),
		.sid = str_of(s->sid),
		.client = str_of(s->peer.addr),
		.received_ms = clock_wall_ms(),
		.flags = message_flags(tx),
		.ret = tx->ret,
		.envid = tx->envid,
		.rcpts = tx->rcpts,
		.rcpts_count = tx->rcpts_count,
	};

	if (tx->reject == REPLY_OK && tx->lookups_pending > 0) {
		session_set_state(s, SMTP_WAIT);
		return;
	}
	if (tx->reject != REPLY_OK) {
		finish(s, tx->reject);
		return;
	}
	s->committing = true;
	session_set_state(s, SMTP_WAIT);
	spool_commit(tx->writer, &e, on_commit, s);
}

/* The header. */

static void
on_owner(void *arg, enum lookup_answer a)
{
	struct smtp_tx_lookup *l = arg;
	struct smtp_session *s = l->session;

	l->lookup = NULL;
	s->tx.lookups_pending--;
	switch (a) {
	case LOOKUP_YES:
		break;
	case LOOKUP_ALIAS:
	case LOOKUP_NO:
	case LOOKUP_FOREIGN:
		reject(s, l->no);
		break;
	case LOOKUP_TEMP:
		reject(s, REPLY_LOOKUP_FAILED);
		break;
	}
	if (s->tx.ended && s->state == SMTP_WAIT)
		conclude(s);
	session_update(s);
}

/* MAIL's own address was found to be the user's already. */
static void
ask_owner(struct smtp_session *s, struct str address, enum smtp_reply no)
{
	struct smtp_tx *tx = &s->tx;
	struct smtp_tx_lookup *l = &tx->lookups[tx->lookups_count];

	if (str_ieq(address, tx->sender))
		return;
	tx->lookups_count++;
	tx->lookups_pending++;
	*l = (struct smtp_tx_lookup){ .session = s, .no = no };
	l->lookup = lookup_sender(s->server->peers.loop, s->server->peers.directory, address,
		buf_str(&s->user), on_owner, l);
}

/* RFC 3848, RFC 6531 4.3 */
static const char *
protocol_name(const struct smtp_session *s)
{
	if (!s->esmtp)
		return "SMTP";
	return s->tx.smtputf8 ? "UTF8SMTP" : "ESMTP";
}

/* "Received: from … by … with ESMTPSA id …; date". RFC 5321 4.4. No "for": it would tell one
 * recipient of another. */
static void
add_received(const struct smtp_session *s, struct str date, struct buf *out)
{
	if (s->policy->local) {
		buf_addf(out, "Received: from %s (uid %lu)\r\n", s->helo,
			(unsigned long)s->peer.uid);
	} else {
		buf_addf(out, "Received: from %s (", s->helo);
		session_client_text(s, out);
		buf_addz(out, ")\r\n");
	}
	if (s->tls)
		buf_addf(out, "\t(using %s)\r\n", tls_description(stream_tls(s->stream)));
	buf_addf(out, "\tby %.*s with %s%s%s id %.*s;\r\n\t%.*s\r\n",
		STR_FMT(s->server->o.hostname), protocol_name(s), s->esmtp && s->tls ? "S" : "",
		s->esmtp && s->user.n > 0 ? "A" : "", STR_FMT(spool_writer_name(s->tx.writer)),
		STR_FMT(date));
}

/* The place for checks at the end of the header: they begin here and are waited for by conclude. */
static void
on_header(struct smtp_session *s, struct str header)
{
	const struct smtp_options *o = &s->server->o;
	struct smtp_tx *tx = &s->tx;
	char id[RAND_ID_SIZE];
	struct buf received, date, message_id, out;
	struct header_context c = { .hops_max = o->hops_max,
		.hostname = o->hostname,
		.complete = session_trusted(s),
		.utf8 = tx->smtputf8,
		.demand_from = session_checks_sender(s) };
	time_t now = time(NULL);
	enum smtp_reply r;

	rand_id(id);
	buf_init(&received, 4096);
	buf_init(&date, 128);
	buf_init(&message_id, 512);
	buf_init(&out, o->header_max + 8192);
	date_format(&date, now, date_local_zone(now));
	session_auth_results(s, &received);
	add_received(s, buf_str(&date), &received);
	buf_addf(&message_id, "<%s@%.*s>", id, STR_FMT(o->hostname));
	c.received = buf_str(&received);
	c.date = buf_str(&date);
	c.message_id = buf_str(&message_id);
	r = header_rewrite(header, &c, tx->arena, &out, &tx->facts);
	if (r == REPLY_OK &&
		arena_str(tx->arena, tx->facts.message_id, &tx->facts.message_id) != ERR_OK)
		r = REPLY_HEADER_TOO_LARGE;
	if (r == REPLY_OK) {
		spool_write(tx->writer, buf_str(&out));
		for (size_t i = 0; c.demand_from && i < tx->facts.from_count; i++)
			ask_owner(s, tx->facts.from[i], REPLY_FROM_DENIED);
		for (size_t i = 0; c.demand_from && i < tx->facts.sender_count; i++)
			ask_owner(s, tx->facts.sender[i], REPLY_SENDER_HEADER_DENIED);
	} else {
		reject(s, r);
	}
	buf_fini(&received);
	buf_fini(&date);
	buf_fini(&message_id);
	buf_fini(&out);
}

/* A binary message's body may be anything, its header is lines. RFC 3030 3, RFC 2045 2.9 */
static enum smtp_reply
lines_only(struct str header)
{
	if (str_has_nul(header))
		return REPLY_HAS_NUL;
	for (size_t i = 0; i < header.n; i++) {
		bool lf_follows = i + 1 < header.n && header.p[i + 1] == '\n';
		if ((header.p[i] == '\r' && !lf_follows) ||
			(header.p[i] == '\n' && (i == 0 || header.p[i - 1] != '\r')))
			return REPLY_BARE_NEWLINE;
	}
	return header.n == 0 || str_ends(header, STR("\r\n")) ? REPLY_OK : REPLY_BAD_HEADER;
}

/* It is whole. */
static void
take_header(struct smtp_session *s, struct str header)
{
	enum smtp_reply r = s->tx.binary ? lines_only(header) : REPLY_OK;

	s->tx.header_done = true;
	if (r == REPLY_OK)
		on_header(s, header);
	else
		reject(s, r);
}

/* Decoded bytes while the header has not ended. */
static void
feed_header(struct smtp_session *s, struct str clean)
{
	struct smtp_tx *tx = &s->tx;
	size_t had = tx->header.n, room = buf_room(&tx->header), end;
	size_t fit = clean.n < room ? clean.n : room;

	buf_add(&tx->header, str_sub(clean, 0, fit));
	end = header_end(buf_str(&tx->header), had);
	if (end == 0) {
		if (fit < clean.n)
			reject(s, REPLY_HEADER_TOO_LARGE);
		return;
	}
	take_header(s, str_sub(buf_str(&tx->header), 0, end));
	if (tx->reject == REPLY_OK) {
		spool_write(tx->writer, str_from(buf_str(&tx->header), end));
		spool_write(tx->writer, str_from(clean, fit));
	}
	buf_release(&tx->header);
}

static void
feed(struct smtp_session *s, struct str clean)
{
	const struct smtp_options *o = &s->server->o;
	struct smtp_tx *tx = &s->tx;

	tx->size += clean.n;
	if (tx->size > o->message_max)
		reject(s, REPLY_TOO_LARGE);
	if (tx->dots.bare && !s->policy->normalise_newline && !session_trusted(s))
		reject(s, REPLY_BARE_NEWLINE);
	if (!tx->binary && str_has_nul(clean))
		reject(s, REPLY_HAS_NUL);
	tx->has_8bit = tx->has_8bit || str_has_8bit(clean);
	if (tx->reject != REPLY_OK)
		return;
	if (tx->header_done)
		spool_write(tx->writer, clean);
	else
		feed_header(s, clean);
	if (tx->writer != NULL && spool_writer_failed(tx->writer))
		reject(s, REPLY_WRITE_FAILED);
}

/* The last byte came. */
static void
content_end(struct smtp_session *s)
{
	struct smtp_tx *tx = &s->tx;

	tx->ended = true;
	if (tx->reject == REPLY_OK && !tx->header_done)
		take_header(s, buf_str(&tx->header));
	conclude(s);
}

static void
chunk_end(struct smtp_session *s)
{
	struct smtp_tx *tx = &s->tx;

	if (tx->chunk_last) {
		buf_reset(&s->server->scratch);
		dots_finish(&tx->dots, &s->server->scratch);
		if (tx->arena != NULL)
			feed(s, buf_str(&s->server->scratch));
		content_end(s);
		return;
	}
	session_set_state(s, SMTP_COMMAND);
	if (tx->reject == REPLY_OK) {
		session_reply(s, REPLY_CHUNK_OK, "", STR_EMPTY);
		return;
	}
	session_reply(s, tx->reject, "sender", tx->sender);
	tx->broken = true;
}

bool
session_content(struct smtp_session *s)
{
	struct smtp_tx *tx = &s->tx;
	struct buf *in = stream_in(s->stream), *clean = &s->server->scratch;
	bool bdat = s->state == SMTP_BDAT;
	struct str piece = str_sub(buf_str(in), 0, PIECE);
	size_t used;

	if (bdat && tx->chunk_left == 0) {
		chunk_end(s);
		return true;
	}
	if (piece.n == 0 || (tx->writer != NULL && spool_writer_full(tx->writer)))
		return false;
	if (bdat && piece.n > tx->chunk_left)
		piece.n = (size_t)tx->chunk_left;
	buf_reset(clean);
	used = dots_feed(&tx->dots, piece, clean);
	if (bdat)
		tx->chunk_left -= used;
	feed(s, buf_str(clean));
	buf_consume(in, used);
	if (tx->size > 2 * s->server->o.message_max + (1 << 20))
		session_close(s, REPLY_FLOOD);
	else if (!bdat && tx->dots.state == DOTS_END)
		content_end(s);
	return true;
}

/* Slots. */

static void
on_writer_drain(void *arg)
{
	session_update(arg);
}

static void
go(struct smtp_session *s)
{
	struct smtp_tx *tx = &s->tx;
	bool bdat = tx->dots.raw;

	if (tx->writer != NULL)
		spool_writer_on_drain(tx->writer, on_writer_drain, s);
	session_set_state(s, bdat ? SMTP_BDAT : SMTP_DATA);
	if (!bdat)
		session_reply(s, REPLY_DATA_GO, "", STR_EMPTY);
}

/* No slot: DATA is answered at once, a chunk is swallowed first. */
static void
no_slot(struct smtp_session *s, enum smtp_reply r)
{
	if (s->tx.dots.raw) {
		reject(s, r);
		go(s);
	} else {
		finish(s, r);
	}
}

static void
on_slot(struct spool_waiter *w);

static void
take_slot(struct smtp_session *s)
{
	const int64_t now = loop_now_ms(s->server->peers.loop);
	enum err e = spool_take(s->server->peers.spool, &s->tx.writer);

	if (e == ERR_OK) {
		s->waiting_slot = false;
		go(s);
		return;
	}
	if (e == ERR_BUSY) {
		if (!s->waiting_slot)
			s->slot_deadline_ms = now + s->server->o.slot_timeout_ms;
		s->waiting_slot = true;
		session_set_state(s, SMTP_WAIT);
		s->slot_waiter.fn = on_slot;
		s->slot_waiter.arg = s;
		spool_wait(s->server->peers.spool, &s->slot_waiter);
		return;
	}
	s->waiting_slot = false;
	no_slot(s, e == ERR_LIMIT ? REPLY_NO_SPACE : REPLY_QUEUE_AWAY);
}

static void
on_slot(struct spool_waiter *w)
{
	struct smtp_session *s = w->arg;

	take_slot(s);
	session_update(s);
}

void
session_slot_timeout(struct smtp_session *s)
{
	spool_wait_cancel(&s->slot_waiter);
	s->waiting_slot = false;
	no_slot(s, REPLY_NO_SLOT);
}

static enum smtp_reply
content_allowed(const struct smtp_session *s)
{
	if (s->tx.arena == NULL)
		return REPLY_NEED_MAIL;
	if (s->tx.rcpts_count == 0)
		return s->tx.rcpts_refused > 0 ? REPLY_NO_VALID_RCPTS : REPLY_NEED_RCPT;
	return REPLY_OK;
}

void
session_data(struct smtp_session *s)
{
	enum smtp_reply r = content_allowed(s);

	if (s->tx.broken)
		r = REPLY_BDAT_BROKEN;
	if (r == REPLY_OK && s->tx.content)
		r = REPLY_BAD_SEQUENCE; /* after BDAT: RFC 3030 2 */
	if (r == REPLY_OK && s->tx.binary)
		r = REPLY_BINARY_NEEDS_BDAT; /* RFC 3030 3 */
	if (r != REPLY_OK) {
		session_reply(s, r, "cmd", STR("DATA"));
		return;
	}
	s->tx.content = true;
	dots_init(&s->tx.dots, false);
	take_slot(s);
}

void
session_bdat(struct smtp_session *s, const struct smtp_cmd *c)
{
	struct smtp_tx *tx = &s->tx;
	enum smtp_reply r = tx->reject != REPLY_OK ? tx->reject : content_allowed(s);

	tx->chunk_left = c->chunk;
	tx->chunk_last = c->last;
	if (tx->broken)
		tx->reject = REPLY_BDAT_BROKEN;
	if (!tx->content || r != REPLY_OK) {
		if (tx->binary)
			dots_init_binary(&tx->dots);
		else
			dots_init(&tx->dots, true);
	}
	if (r != REPLY_OK) {
		reject(s, tx->broken ? REPLY_BDAT_BROKEN : r);
		session_set_state(s, SMTP_BDAT);
		return;
	}
	if (tx->content) {
		session_set_state(s, SMTP_BDAT);
		return;
	}
	tx->content = true;
	take_slot(s);
}
