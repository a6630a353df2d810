/* Transactions of the SMTP client; see dialog.h. dialog.c gives it the replies. Invariants: every
 * recipient hears at most one result; the end of data is written only after the whole message was
 * intact and only once; a recipient counts as accepted only by the reply to its own RCPT; after a
 * transaction that did not end by itself nothing follows but RSET. */
#include <stdio.h>

#include "delivery/remote/dialog_impl.h"

static void
give_result(struct dialog *d, size_t i, const struct answer *a)
{
	struct answer other;

	if (d->answered[i])
		return;
	d->answered[i] = true;
	if (answer_is(a, 3)) { /* to MAIL, RCPT or a chunk it means nothing */
		answer_set(&other, 451, "4.5.0", "the server's answer makes no sense");
		a = &other;
	}
	d->o.on_result(d->o.arg, i, a, answer_is(a, 2) && (d->ext & EXT_DSN) != 0);
}

static void
give_all(struct dialog *d, const struct answer *a)
{
	for (size_t i = 0; i < d->r->rcpts_count; i++)
		give_result(d, i, a);
}

static void
give_accepted(struct dialog *d, const struct answer *a)
{
	for (size_t i = 0; i < d->r->rcpts_count; i++)
		if (d->accepted[i])
			give_result(d, i, a);
}

/* Our own word: the server was not asked. It names the server, which the report does not else. */
static void
own_answer(const struct dialog *d, struct answer *a, unsigned code, const char *status,
	const char *what)
{
	char text[RELAY_NAME_MAX + 128];

	(void)snprintf(text, sizeof text, "the server%s%s %s", d->peer[0] != '\0' ? " " : "",
		d->peer, what);
	answer_set(a, code, status, text);
}

static void
refuse_all(struct dialog *d, unsigned code, const char *status, const char *what)
{
	struct answer a;

	own_answer(d, &a, code, status, what);
	give_all(d, &a);
}

/* The owner may take the results and go; RSET where the server still thinks of this message. */
static void
transaction_over(struct dialog *d, bool reset)
{
	d->r = NULL;
	d->unsure = false;
	buf_release(&d->chunk);
	if (reset)
		buf_add(&d->out, STR("RSET\r\n"));
	d->state = reset ? STATE_RSET : STATE_READY;
}

bool
dialog_in_transaction(const struct dialog *d)
{
	return d->r != NULL;
}

/* ---- what this server cannot take ---- */

static bool
all_ascii(const struct relay_request *r)
{
	bool ascii = !str_has_8bit(r->sender);

	for (size_t i = 0; ascii && i < r->rcpts_count; i++)
		ascii = !str_has_8bit(r->rcpts[i].address);
	return ascii;
}

/* False, and everybody has a result: not to this server. RFC 1870 6.1, 3030 3, 6531 3.5. */
static bool
takes_message(struct dialog *d)
{
	const struct relay_request *r = d->r;
	struct answer a;

	if (d->size_max != 0 && r->body_len > d->size_max) {
		refuse_all(d, 552, "5.3.4", "does not take messages of this size (SIZE)");
		return false;
	}
	if ((r->flags & RELAY_BINARY) != 0 &&
		(~d->ext & (unsigned)(EXT_CHUNKING | EXT_BINARYMIME)) != 0) {
		refuse_all(d, 554, "5.6.3", "does not take binary messages (no BINARYMIME)");
		return false;
	}
	if ((d->ext & EXT_SMTPUTF8) != 0)
		return true;
	own_answer(d, &a, 553, "5.6.7", "does not take addresses beyond ASCII (no SMTPUTF8)");
	if (str_has_8bit(r->sender)) {
		give_all(d, &a);
		return false;
	}
	for (size_t i = 0; i < r->rcpts_count; i++)
		if (str_has_8bit(r->rcpts[i].address))
			give_result(d, i, &a);
	return true;
}

/* ---- commands ---- */

static void
send_mail(struct dialog *d)
{
	const struct relay_request *r = d->r;

	buf_addf(&d->out, "MAIL FROM:<%.*s>", STR_FMT(r->sender));
	if ((d->ext & EXT_SIZE) != 0)
		buf_addf(&d->out, " SIZE=%llu", (unsigned long long)r->body_len);
	if ((r->flags & RELAY_BINARY) != 0)
		buf_addz(&d->out, " BODY=BINARYMIME");
	else if ((r->flags & RELAY_8BIT) != 0 && (d->ext & EXT_8BITMIME) != 0)
		buf_addz(&d->out, " BODY=8BITMIME");
	if ((d->ext & EXT_SMTPUTF8) != 0 && ((r->flags & RELAY_SMTPUTF8) != 0 || !all_ascii(r)))
		buf_addz(&d->out, " SMTPUTF8");
	if ((d->ext & EXT_DSN) != 0 && r->ret != RELAY_RET_NONE)
		buf_addz(&d->out, r->ret == RELAY_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if ((d->ext & EXT_DSN) != 0 && r->envid.n != 0)
		buf_addf(&d->out, " ENVID=%.*s", STR_FMT(r->envid));
	buf_addz(&d->out, "\r\n");
}

static void
add_notify(struct buf *out, unsigned notify)
{
	static const struct {
		unsigned bit;
		const char *name;
	} table[] = { { RELAY_NOTIFY_NEVER, "NEVER" }, { RELAY_NOTIFY_SUCCESS, "SUCCESS" },
		{ RELAY_NOTIFY_FAILURE, "FAILURE" }, { RELAY_NOTIFY_DELAY, "DELAY" } };
	const char *before = " NOTIFY=";

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		if ((notify & table[i].bit) == 0)
			continue;
		buf_addf(out, "%s%s", before, table[i].name);
		before = ",";
	}
}

/* The next RCPT of a recipient without a result. False: there is none. */
static bool
send_rcpt(struct dialog *d)
{
	const struct relay_rcpt *rcpt;

	while (d->issued < d->r->rcpts_count && d->answered[d->issued])
		d->issued++;
	if (d->issued == d->r->rcpts_count)
		return false;
	rcpt = &d->r->rcpts[d->issued++];
	d->rcpts_sent++;
	buf_addf(&d->out, "RCPT TO:<%.*s>", STR_FMT(rcpt->address));
	if ((d->ext & EXT_DSN) != 0) {
		add_notify(&d->out, rcpt->notify);
		if (rcpt->orcpt.n != 0)
			buf_addf(&d->out, " ORCPT=%.*s", STR_FMT(rcpt->orcpt));
	}
	buf_addz(&d->out, "\r\n");
	return true;
}

static bool
pipelines(const struct dialog *d)
{
	return (d->ext & EXT_PIPELINING) != 0 && !d->o.no_pipelining;
}

static void
send_data(struct dialog *d)
{
	buf_addz(&d->out, "DATA\r\n");
	d->data_issued = true;
}

/* `at` to the next recipient whose RCPT is unanswered. False: none is left. */
static bool
next_rcpt(struct dialog *d)
{
	while (d->at < d->r->rcpts_count && d->answered[d->at])
		d->at++;
	return d->at < d->r->rcpts_count;
}

void
dialog_begin(struct dialog *d, const struct relay_request *r)
{
	d->r = r;
	d->issued = d->at = d->accepted_count = 0;
	d->rcpts_sent = d->rcpts_replied = 0;
	d->data_issued = d->mail_refused = d->ended = d->unsure = d->refused = false;
	d->chunks = 0;
	memset(d->answered, 0, sizeof d->answered);
	memset(d->accepted, 0, sizeof d->accepted);
	d->bdat = (d->ext & EXT_CHUNKING) != 0 &&
		  (!d->o.no_chunking || (r->flags & RELAY_BINARY) != 0);
	if (!takes_message(d) || !next_rcpt(d)) {
		transaction_over(d, false);
		return;
	}
	d->state = STATE_MAIL;
	send_mail(d);
	if (!pipelines(d))
		return;
	while (send_rcpt(d))
		;
	/* the message must not follow before somebody was accepted: BDAT has no go-ahead */
	if (!d->bdat)
		send_data(d);
}

/* ---- the message ---- */

static void
body_begin(struct dialog *d)
{
	d->state = STATE_BODY;
	lines_init(&d->lines, !d->bdat, (d->r->flags & RELAY_BINARY) != 0);
	buf_reset(&d->chunk);
}

/* True: something in the message needs what the server has not. RFC 6152 3, 6531 3.5. */
static bool
beyond_server(struct dialog *d)
{
	const bool needs_utf8 = d->lines.seen_8bit_header && (d->r->flags & RELAY_SMTPUTF8) != 0 &&
				(d->ext & EXT_SMTPUTF8) == 0;
	const char *text = NULL;
	struct answer a;

	if (needs_utf8)
		text = "does not take headers beyond ASCII (no SMTPUTF8)";
	else if (d->lines.seen_8bit && (d->ext & EXT_8BITMIME) == 0)
		text = "does not take 8-bit octets (no 8BITMIME)";
	if (text == NULL)
		return false;
	own_answer(d, &a, 554, needs_utf8 ? "5.6.9" : "5.6.3", text);
	give_accepted(d, &a);
	/* there is no way out of DATA but the end of the connection */
	if (!d->bdat) {
		d->r = NULL;
		dialog_fail_text(d, DIALOG_FAILED_HOST, "4.5.0", "left within a message");
		return true;
	}
	d->refused = true;
	buf_release(&d->chunk);
	if (d->chunks == 0)
		transaction_over(d, true);
	else
		d->state = STATE_END;
	return true;
}

static void
send_chunk(struct dialog *d, bool last)
{
	buf_addf(&d->out, "BDAT %zu%s\r\n", d->chunk.n, last ? " LAST" : "");
	buf_add(&d->out, buf_str(&d->chunk));
	buf_reset(&d->chunk);
	d->chunks++;
}

void
dialog_body(struct dialog *d, struct str bytes)
{
	while (bytes.n != 0 && d->state == STATE_BODY) {
		struct str part = str_sub(bytes, 0, CHUNK_BYTES);
		bytes = str_from(bytes, part.n);
		if (d->bdat && d->chunk.n >= CHUNK_BYTES)
			send_chunk(d, false);
		lines_add(&d->lines, part, d->bdat ? &d->chunk : &d->out);
		if (beyond_server(d))
			return;
	}
	if (d->state == STATE_BODY &&
		(buf_check(&d->out) != ERR_OK || buf_check(&d->chunk) != ERR_OK))
		dialog_fail_text(d, DIALOG_FAILED_HOST, "4.3.0", "out of memory for this message");
}

void
dialog_body_end(struct dialog *d, bool intact)
{
	if (d->state != STATE_BODY)
		return;
	if (!intact) {
		dialog_fail_text(d, DIALOG_FAILED_HOST, "4.3.0", "the message fails its checksum");
		return;
	}
	lines_end(&d->lines, d->bdat ? &d->chunk : &d->out);
	if (d->bdat)
		send_chunk(d, true);
	else
		buf_addz(&d->out, ".\r\n");
	d->ended = true;
	d->unsure = true;
	d->state = STATE_END;
	if (buf_check(&d->out) != ERR_OK || buf_check(&d->chunk) != ERR_OK) {
		d->unsure = false; /* what did not fit was not written, and the end neither */
		dialog_fail_text(d, DIALOG_FAILED_HOST, "4.3.0", "out of memory for this message");
	}
}

/* ---- replies ---- */

static void
got_mail(struct dialog *d)
{
	if (!answer_is(&d->answer, 2)) {
		d->mail_refused = true;
		give_all(d, &d->answer);
		if (!pipelines(d)) {
			transaction_over(d, false);
			return;
		}
	} else if (!pipelines(d)) {
		(void)send_rcpt(d);
	}
	d->state = STATE_RCPT;
}

/* All RCPTs are answered. */
static void
rcpts_done(struct dialog *d)
{
	if (d->data_issued) {
		d->state = STATE_DATA;
	} else if (d->accepted_count == 0) {
		transaction_over(d, !d->mail_refused);
	} else if (d->bdat) {
		body_begin(d);
	} else {
		send_data(d);
		d->state = STATE_DATA;
	}
}

/* A server that has enough says 452, some 552; those recipients go later. RFC 5321 4.5.3.1.10. */
static void
refuse_rcpt(struct dialog *d)
{
	struct answer a = d->answer;

	if (d->accepted_count != 0 && a.code == 552) {
		answer_set(&a, 452, "4.5.3", d->answer.text);
		a.own = false; /* the words are the server's */
	}
	give_result(d, d->at, &a);
}

static void
got_rcpt(struct dialog *d)
{
	size_t asked = d->at;

	if (d->mail_refused) {
		/* as many replies as there were commands */
		if (answer_is(&d->answer, 2)) {
			dialog_fail_text(d, DIALOG_FAILED_HOST, "4.5.0",
				"the server accepts recipients after it refused the sender");
			return;
		}
		if (++d->rcpts_replied >= d->rcpts_sent)
			rcpts_done(d);
		return;
	}
	if (answer_is(&d->answer, 2)) {
		d->accepted[asked] = true;
		d->accepted_count++;
	} else {
		refuse_rcpt(d);
	}
	d->at = asked + 1;
	if (!next_rcpt(d))
		rcpts_done(d);
	else if (!pipelines(d))
		(void)send_rcpt(d);
}

static void
got_data(struct dialog *d)
{
	if (d->answer.code == 354 && d->mail_refused) {
		dialog_fail_text(d, DIALOG_FAILED_HOST, "4.5.0",
			"the server takes data after it refused the sender");
	} else if (d->answer.code == 354 && d->accepted_count == 0) {
		buf_addz(&d->out, ".\r\n"); /* RFC 2920 3.1 */
		d->state = STATE_DISCARD;
	} else if (d->answer.code == 354) {
		body_begin(d);
	} else if (answer_is(&d->answer, 4) || answer_is(&d->answer, 5)) {
		give_accepted(d, &d->answer);
		transaction_over(d, true);
	} else {
		dialog_fail_text(d, DIALOG_FAILED_HOST, "4.5.0",
			"the server's answer to DATA makes no sense");
	}
}

/* A reply to a BDAT that is not the last one, or to the last one after a refusal. */
static void
got_chunk(struct dialog *d)
{
	if (!answer_is(&d->answer, 2) && !d->refused) {
		d->refused = true;
		d->unsure = false;
		give_accepted(d, &d->answer);
		buf_release(&d->chunk);
		d->state = STATE_END;
	}
	if (d->refused && d->chunks == 0)
		transaction_over(d, true);
}

static void
got_end(struct dialog *d)
{
	d->unsure = false;
	if (answer_is(&d->answer, 3)) {
		dialog_fail_text(d, DIALOG_FAILED_HOST, "4.5.0",
			"the server's answer to the message makes no sense");
		return;
	}
	give_accepted(d, &d->answer);
	transaction_over(d, !answer_is(&d->answer, 2));
}

static void
got_body(struct dialog *d)
{
	if (!d->bdat) {
		/* a server that speaks up within the message has refused it */
		if (answer_is(&d->answer, 4) || answer_is(&d->answer, 5)) {
			give_accepted(d, &d->answer);
			dialog_fail(d, DIALOG_FAILED_HOST, &d->answer);
		} else
			dialog_fail_text(d, DIALOG_FAILED_HOST, "4.5.0",
				"the server sent a reply that nobody asked for");
		return;
	}
	if (d->chunks == 0) {
		dialog_fail_text(d, DIALOG_FAILED_HOST, "4.5.0",
			"the server sent a reply that nobody asked for");
		return;
	}
	d->chunks--;
	if (d->state == STATE_END && d->ended && !d->refused && d->chunks == 0)
		got_end(d);
	else
		got_chunk(d);
}

void
transfer_reply(struct dialog *d)
{
	/* the server hangs up; to the message itself it is an answer like any other 4xx */
	if (d->answer.code == 421 && !(d->state == STATE_END && d->ended && d->chunks <= 1)) {
		dialog_fail(d, DIALOG_FAILED_HOST, &d->answer);
		return;
	}
	switch (d->state) {
	case STATE_MAIL:
		got_mail(d);
		return;
	case STATE_RCPT:
		got_rcpt(d);
		return;
	case STATE_DATA:
		got_data(d);
		return;
	case STATE_BODY:
		got_body(d);
		return;
	case STATE_END:
		if (d->bdat)
			got_body(d);
		else
			got_end(d);
		return;
	case STATE_DISCARD:
		transaction_over(d, !answer_is(&d->answer, 2));
		return;
	case STATE_RSET:
		if (answer_is(&d->answer, 2))
			d->state = STATE_READY;
		else
			dialog_fail(d, DIALOG_FAILED_HOST, &d->answer);
		return;
	case STATE_GREETING:
	case STATE_EHLO:
	case STATE_HELO:
	case STATE_STARTTLS:
	case STATE_HANDSHAKE:
	case STATE_AUTH:
	case STATE_READY:
	case STATE_QUIT:
	case STATE_OVER:
		break;
	}
}
