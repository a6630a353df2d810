/* The SMTP client from the greeting to the login; see dialog.h. session.c owns dialogs. Invariants:
 * what was learned before TLS is forgotten after it; a secret is written only to a server that
 * dialog_sasl's owner agreed to; once OVER nothing is written any more. */
#include "delivery/remote/dialog.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "delivery/remote/dialog_impl.h"

enum { OUT_MAX = 1024 * 1024, CHALLENGE_MAX = 16 * 1024, INITIAL_LINE_MAX = 500 };

struct dialog *
dialog_new(const struct dialog_options *o)
{
	struct dialog *d = xcalloc(1, sizeof *d);

	d->o = *o;
	d->hostname = str_dup(o->hostname);
	d->tls_done = o->tls == DIALOG_TLS_DONE;
	answer_init(&d->answer);
	buf_init_secret(&d->out, OUT_MAX);
	buf_init(&d->chunk, 4 * CHUNK_BYTES);
	buf_init_secret(&d->pending, CHALLENGE_MAX);
	return d;
}

void
dialog_free(struct dialog *d)
{
	if (d == NULL)
		return;
	buf_fini(&d->out);
	buf_fini(&d->chunk);
	buf_fini(&d->pending);
	free(d->hostname);
	free(d);
}

enum dialog_phase
dialog_phase(const struct dialog *d)
{
	switch (d->state) {
	case STATE_HANDSHAKE:
		return DIALOG_TLS;
	case STATE_READY:
		return DIALOG_READY;
	case STATE_BODY:
		return d->chunks >= CHUNKS_AHEAD ? DIALOG_WAIT : DIALOG_BODY;
	case STATE_OVER:
		return DIALOG_OVER;
	case STATE_GREETING:
	case STATE_EHLO:
	case STATE_HELO:
	case STATE_STARTTLS:
	case STATE_AUTH:
	case STATE_MAIL:
	case STATE_RCPT:
	case STATE_DATA:
	case STATE_END:
	case STATE_DISCARD:
	case STATE_RSET:
	case STATE_QUIT:
		break;
	}
	return DIALOG_WAIT;
}

enum dialog_stage
dialog_stage(const struct dialog *d)
{
	switch (d->state) {
	case STATE_GREETING:
		return DIALOG_STAGE_GREETING;
	case STATE_EHLO:
	case STATE_HELO:
		return DIALOG_STAGE_EHLO;
	case STATE_STARTTLS:
	case STATE_HANDSHAKE:
		return DIALOG_STAGE_STARTTLS;
	case STATE_AUTH:
		return DIALOG_STAGE_AUTH;
	case STATE_MAIL:
		return DIALOG_STAGE_MAIL;
	case STATE_RCPT:
		return DIALOG_STAGE_RCPT;
	case STATE_DATA:
		return DIALOG_STAGE_DATA;
	case STATE_BODY:
		return DIALOG_STAGE_BODY;
	case STATE_END:
	case STATE_DISCARD:
		return DIALOG_STAGE_END;
	case STATE_READY:
	case STATE_RSET:
	case STATE_QUIT:
	case STATE_OVER:
		break;
	}
	return DIALOG_STAGE_QUIT;
}

struct buf *
dialog_output(struct dialog *d)
{
	return &d->out;
}

int64_t
dialog_timeout_ms(const struct dialog *d)
{
	return d->o.timeout_ms[dialog_stage(d)];
}

uint64_t
dialog_progress(const struct dialog *d)
{
	return d->progress;
}

enum dialog_failed
dialog_failure(const struct dialog *d, const struct answer **a_out)
{
	*a_out = &d->failure;
	return d->failed;
}

struct str
dialog_peer_name(const struct dialog *d)
{
	return str_of(d->peer);
}

bool
dialog_unsure(const struct dialog *d)
{
	return d->unsure;
}

void
dialog_fail(struct dialog *d, enum dialog_failed why, const struct answer *a)
{
	if (d->state == STATE_OVER)
		return;
	d->state = STATE_OVER;
	d->failed = why;
	d->failure = *a;
}

void
dialog_fail_text(struct dialog *d, enum dialog_failed why, const char *status, const char *text)
{
	struct answer a;

	answer_set(&a, status[0] == '5' ? 554 : 451, status, text);
	dialog_fail(d, why, &a);
}

void
dialog_lost(struct dialog *d, const char *text)
{
	if (d->state == STATE_QUIT)
		d->state = STATE_OVER;
	dialog_fail_text(d, DIALOG_FAILED_HOST, "4.4.2", text);
}

/* ---- EHLO ---- */

static void
send_ehlo(struct dialog *d, const char *verb)
{
	d->ext = 0;
	d->size_max = 0;
	d->mechanisms[0] = '\0';
	d->ehlo_seen = false;
	buf_addf(&d->out, "%s %s\r\n", verb, d->hostname);
}

/* Like "AUTH PLAIN LOGIN", or the "AUTH=PLAIN" of old servers. RFC 4954 3. */
static void
add_mechanisms(struct dialog *d, struct str rest)
{
	size_t n = strlen(d->mechanisms);

	if (n + 1 + rest.n >= sizeof d->mechanisms || str_has_nul(rest))
		return;
	if (n != 0)
		d->mechanisms[n++] = ' ';
	memcpy(d->mechanisms + n, rest.p, rest.n);
	d->mechanisms[n + rest.n] = '\0';
	d->ext |= EXT_AUTH;
}

static void
ehlo_keyword(struct dialog *d, struct str word, struct str rest)
{
	static const struct {
		const char *name;
		unsigned ext;
	} table[] = { { "PIPELINING", EXT_PIPELINING }, { "SIZE", EXT_SIZE },
		{ "8BITMIME", EXT_8BITMIME }, { "SMTPUTF8", EXT_SMTPUTF8 },
		{ "CHUNKING", EXT_CHUNKING }, { "BINARYMIME", EXT_BINARYMIME },
		{ "STARTTLS", EXT_STARTTLS }, { "DSN", EXT_DSN } };
	uint64_t v;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (str_ieq(word, str_of(table[i].name)))
			d->ext |= table[i].ext;
	if (str_ieq(word, STR("SIZE")) && str_to_u64(str_trim(rest), UINT64_MAX, &v) == ERR_OK)
		d->size_max = v;
	if (str_ieq(word, STR("AUTH")))
		add_mechanisms(d, str_trim(rest));
	else if (str_istarts(word, STR("AUTH=")))
		add_mechanisms(d, str_from(word, 5));
}

static void
ehlo_line(struct dialog *d, struct str line)
{
	struct str word, rest;
	size_t n = 0;

	(void)str_cut(str_trim(str_from(line, 4)), ' ', &word, &rest);
	if (d->ehlo_seen) {
		ehlo_keyword(d, word, rest);
		return;
	}
	d->ehlo_seen = true;
	for (; n < word.n && n < RELAY_NAME_MAX; n++)
		d->peer[n] = (unsigned char)word.p[n] > 0x20 && (unsigned char)word.p[n] < 0x7f
				     ? word.p[n]
				     : '?';
	d->peer[n] = '\0';
}

/* ---- AUTH ---- */

/* A response as a line; the first one behind the command. "=" is the empty initial response. */
static void
send_response(struct dialog *d, struct str response, bool initial)
{
	if (response.n == 0 && initial)
		buf_addc(&d->out, '=');
	base64_encode(&d->out, response);
	buf_add(&d->out, STR("\r\n"));
}

static void
auth_failed(struct dialog *d, const char *text)
{
	dialog_fail_text(d, DIALOG_FAILED_AUTH, "4.7.8", text);
}

static void
start_auth(struct dialog *d)
{
	const struct dialog_sasl *s = d->o.sasl;
	const char *mechanism = "";
	struct str response = { NULL, 0 };
	enum err e;

	if ((d->ext & EXT_AUTH) == 0) {
		auth_failed(d, "a login is asked for here, and the server offers none");
		return;
	}
	e = s->start(s->arg, str_of(d->mechanisms), d->tls_done, &mechanism, &response);
	if (e != ERR_OK) {
		auth_failed(d, e == ERR_NOTFOUND ? "the server offers no mechanism that we may use"
						 : "the login could not be begun");
		return;
	}
	buf_addf(&d->out, "AUTH %s", mechanism);
	d->state = STATE_AUTH;
	/* a long one waits for its challenge: the command line is short. RFC 4954 4 */
	if (response.p != NULL && response.n <= INITIAL_LINE_MAX * 3 / 4) {
		buf_addc(&d->out, ' ');
		send_response(d, response, true);
		return;
	}
	buf_add(&d->out, STR("\r\n"));
	if (response.p != NULL)
		buf_add(&d->pending, response); /* for the empty challenge */
}

static void
auth_challenge(struct dialog *d, struct str text)
{
	const struct dialog_sasl *s = d->o.sasl;
	struct str response = STR_EMPTY;
	struct buf challenge;
	enum err e;

	if (d->pending.n != 0) {
		send_response(d, buf_str(&d->pending), false);
		buf_release(&d->pending);
		return;
	}
	buf_init_secret(&challenge, CHALLENGE_MAX);
	e = base64_decode(&challenge, str_trim(text));
	if (e == ERR_OK)
		e = s->step(s->arg, buf_str(&challenge), &response);
	if (e == ERR_OK) {
		send_response(d, response, false);
	} else {
		buf_add(&d->out, STR("*\r\n")); /* gives up, RFC 4954 4 */
		auth_failed(d, "the server's part of the login is wrong");
	}
	buf_fini(&challenge);
}

static void
got_auth(struct dialog *d, struct str line)
{
	if (d->answer.code == 334) {
		auth_challenge(d, str_from(line, 4));
		return;
	}
	buf_release(&d->pending);
	if (d->answer.code != 235) {
		/* not the message's fault: never a bounce */
		struct answer a = d->answer;
		if (a.code / 100 == 5)
			answer_set(&a, 451, "4.7.8", d->answer.text);
		dialog_fail(d, DIALOG_FAILED_AUTH, &a);
	} else if (!d->o.sasl->complete(d->o.sasl->arg)) {
		auth_failed(d, "the server did not prove that it knows us");
	} else {
		d->state = STATE_READY;
	}
}

/* ---- the way to READY ---- */

static void
after_ehlo(struct dialog *d)
{
	bool want = d->o.tls == DIALOG_TLS_MAY || d->o.tls == DIALOG_TLS_MUST;

	if (str_ieq(str_of(d->peer), str_of(d->hostname))) {
		dialog_fail_text(d, DIALOG_FAILED_LOOP, "5.4.6", "this server is ourselves");
		return;
	}
	if (want && !d->tls_done && (d->ext & EXT_STARTTLS) != 0) {
		buf_add(&d->out, STR("STARTTLS\r\n"));
		d->state = STATE_STARTTLS;
	} else if (d->o.tls == DIALOG_TLS_MUST && !d->tls_done) {
		dialog_fail_text(d, DIALOG_FAILED_TLS, "4.7.4",
			"TLS is required, and the server does not offer it");
	} else if (d->o.sasl != NULL) {
		start_auth(d);
	} else {
		d->state = STATE_READY;
	}
}

static void
got_greeting(struct dialog *d)
{
	if (!answer_is(&d->answer, 2)) {
		dialog_fail(d, d->answer.code == 521 ? DIALOG_FAILED_NEVER : DIALOG_FAILED_HOST,
			&d->answer);
		return;
	}
	send_ehlo(d, "EHLO");
	d->state = STATE_EHLO;
}

static void
got_ehlo(struct dialog *d)
{
	if (answer_is(&d->answer, 2)) {
		after_ehlo(d);
	} else if (d->state == STATE_EHLO && answer_is(&d->answer, 5) && !d->tls_done &&
		   d->o.tls != DIALOG_TLS_MUST && d->o.sasl == NULL) {
		send_ehlo(d, "HELO"); /* RFC 5321 3.2 */
		d->state = STATE_HELO;
	} else {
		dialog_fail(d, d->answer.code == 521 ? DIALOG_FAILED_NEVER : DIALOG_FAILED_HOST,
			&d->answer);
	}
}

static void
got_helo(struct dialog *d)
{
	d->ext = 0; /* words in HELO's reply promise nothing */
	if (answer_is(&d->answer, 2))
		after_ehlo(d);
	else
		dialog_fail(d, DIALOG_FAILED_HOST, &d->answer);
}

static void
got_starttls(struct dialog *d, const struct buf *in)
{
	if (d->answer.code == 220) {
		/* what follows in clear would be believed as if it came through TLS. RFC 3207 6 */
		if (in->n != 0)
			dialog_fail_text(d, DIALOG_FAILED_HOST, "4.7.0",
				"the server said something between STARTTLS and TLS");
		else
			d->state = STATE_HANDSHAKE;
		return;
	}
	if (d->o.tls == DIALOG_TLS_MUST) {
		dialog_fail_text(d, DIALOG_FAILED_TLS, "4.7.4",
			"TLS is required, and the server refused STARTTLS");
		return;
	}
	if (d->o.sasl != NULL)
		start_auth(d);
	else
		d->state = STATE_READY;
}

void
dialog_tls_done(struct dialog *d)
{
	d->tls_done = true;
	d->progress++;
	answer_init(&d->answer);
	if (d->state != STATE_HANDSHAKE)
		return;
	send_ehlo(d, "EHLO");
	d->state = STATE_EHLO;
}

static void
got_reply(struct dialog *d, struct str line, const struct buf *in)
{
	d->progress++;
	switch (d->state) {
	case STATE_GREETING:
		got_greeting(d);
		return;
	case STATE_EHLO:
		got_ehlo(d);
		return;
	case STATE_HELO:
		got_helo(d);
		return;
	case STATE_STARTTLS:
		if (d->answer.code == 421)
			dialog_fail(d, DIALOG_FAILED_HOST, &d->answer);
		else
			got_starttls(d, in);
		return;
	case STATE_AUTH:
		got_auth(d, line);
		return;
	case STATE_MAIL:
	case STATE_RCPT:
	case STATE_DATA:
	case STATE_BODY:
	case STATE_END:
	case STATE_DISCARD:
	case STATE_RSET:
		transfer_reply(d);
		return;
	case STATE_QUIT:
		d->state = STATE_OVER;
		return;
	case STATE_READY:
		/* the one thing that a server may say unasked is good-bye */
		if (d->answer.code == 421) {
			dialog_fail(d, DIALOG_FAILED_HOST, &d->answer);
			return;
		}
		break;
	case STATE_HANDSHAKE:
	case STATE_OVER:
		break;
	}
	dialog_fail_text(
		d, DIALOG_FAILED_HOST, "4.5.0", "the server sent a reply that nobody asked for");
}

static void
got_line(struct dialog *d, struct str line, const struct buf *in)
{
	enum err e = answer_add(&d->answer, line);

	if (e != ERR_OK && e != ERR_AGAIN) {
		dialog_fail_text(d, DIALOG_FAILED_HOST, "4.5.0",
			e == ERR_LIMIT ? "the server's reply does not end"
				       : "the server sent something that is no SMTP reply");
		return;
	}
	if (d->state == STATE_EHLO || d->state == STATE_HELO)
		ehlo_line(d, line);
	if (e == ERR_OK)
		got_reply(d, line, in);
}

void
dialog_input(struct dialog *d, struct buf *in)
{
	while (d->state != STATE_OVER && d->state != STATE_HANDSHAKE && in->n != 0) {
		struct str have = buf_str(in), line;
		size_t lf = str_chr(str_sub(have, 0, ANSWER_LINE_MAX), '\n');
		char copy[ANSWER_LINE_MAX];
		if (lf == have.n && lf < ANSWER_LINE_MAX)
			return;
		if (lf >= ANSWER_LINE_MAX) {
			dialog_fail_text(d, DIALOG_FAILED_HOST, "4.5.0",
				"a line of the server's reply does not end");
			return;
		}
		memcpy(copy, have.p, lf);
		line = str_n(copy, lf);
		if (str_ends(line, STR("\r")))
			line.n--;
		buf_consume(in, lf + 1);
		got_line(d, line, in);
	}
}

void
dialog_quit(struct dialog *d)
{
	if (d->state == STATE_OVER || d->state == STATE_HANDSHAKE)
		return;
	buf_add(&d->out, STR("QUIT\r\n"));
	d->state = STATE_QUIT;
}
