/* MAIL and RCPT: who sends, to whom. Called by session.c's verb table; the answers of the directory
 * come back through lookup.h. Invariant: a recipient is in tx.rcpts only after the directory said
 * that it is known here, or that its domain is not ours and the client may relay; nothing but its
 * own "no" refuses one for good. */
#include <stdlib.h>
#include <time.h>

#include "core/base/xalloc.h"
#include "core/mail/srs.h"
#include "core/mail/idn.h"
#include "delivery/smtp/domain.h"
#include "delivery/smtp/posting.h"
#include "delivery/smtp/session.h"
#include "delivery/smtp/session_ahead.h"
#include "delivery/smtp/session_check.h"

enum { ADDRESS_MAX = 1024, ARENA_EXTRA = 64 * 1024 };

void
session_reset(struct smtp_session *s)
{
	struct smtp_tx *tx = &s->tx;

	for (unsigned i = 0; i < tx->lookups_count; i++)
		lookup_cancel(tx->lookups[i].lookup);
	lookup_cancel(s->lookup);
	s->lookup = NULL;
	lookup_cancel(s->asked_ahead);
	s->asked_ahead = NULL;
	session_ahead_drop(s);
	posting_cancel(s->posting);
	s->posting = NULL;
	room_cancel(s->room);
	s->room = NULL;
	domain_cancel(s->rcpt_domain);
	s->rcpt_domain = NULL;
	if (s->checks != NULL)
		checks_forget(s->checks);
	spool_wait_cancel(&s->slot_waiter);
	s->waiting_slot = false;
	if (tx->writer != NULL)
		spool_abort(tx->writer);
	s->committing = false;
	if (tx->header.mem != NULL)
		buf_fini(&tx->header);
	free(tx->rcpts);
	if (tx->arena != NULL)
		arena_free(tx->arena);
	*tx = (struct smtp_tx){ .reject = REPLY_OK };
}

static void
begin(struct smtp_session *s, const struct smtp_cmd *c)
{
	const struct smtp_options *o = &s->server->o;
	struct smtp_tx *tx = &s->tx;

	session_reset(s);
	tx->arena = arena_new(
		(size_t)o->recipients_max * 2 * ADDRESS_MAX + 8 * o->header_max + ARENA_EXTRA);
	tx->declared_size = c->has_size ? c->size : 0;
	tx->declared_8bit = c->body == BODY_8BITMIME;
	tx->smtputf8 = c->smtputf8;
	tx->binary = c->body == BODY_BINARYMIME;
	tx->begun_ms = loop_now_ms(s->server->peers.loop);
	buf_init(&tx->header, o->header_max);
}

/* The path's address into the arena. */
static enum err
keep_address(struct smtp_session *s, const struct smtp_path *p, struct str *out)
{
	struct buf b;
	enum err e;

	buf_init(&b, ADDRESS_MAX);
	smtp_path_address(
		p, s->policy->local ? s->server->o.local_domain : s->server->o.default_domain, &b);
	e = buf_check(&b);
	if (e == ERR_OK)
		e = arena_str(s->tx.arena, buf_str(&b), out);
	buf_fini(&b);
	return e;
}

static void
on_sender(void *arg, enum lookup_answer a)
{
	struct smtp_session *s = arg;
	enum smtp_reply r = REPLY_LOOKUP_FAILED;

	s->lookup = NULL;
	session_set_state(s, SMTP_COMMAND);
	switch (a) {
	case LOOKUP_YES:
		r = REPLY_SENDER_OK;
		break;
	case LOOKUP_ALIAS:
	case LOOKUP_NO:
	case LOOKUP_FOREIGN:
		r = REPLY_NOT_OWNER;
		break;
	case LOOKUP_TEMP:
		break;
	}
	session_reply(s, r, "sender", s->tx.sender);
	if (r != REPLY_SENDER_OK)
		session_reset(s);
	session_update(s);
}

/* One more of what is limited per minute: of the user, else of the address. */
static bool
in_time(struct smtp_session *s, enum rate_kind address, unsigned address_limit, enum rate_kind user,
	unsigned user_limit)
{
	if (s->user.n > 0)
		return rates_take(s->server->rates, user, buf_str(&s->user), user_limit);
	return s->named || rates_take(s->server->rates, address, str_of(s->place), address_limit);
}

static enum smtp_reply
mail_allowed(struct smtp_session *s, const struct smtp_cmd *c)
{
	const struct smtp_options *o = &s->server->o;

	if (s->tx.arena != NULL)
		return REPLY_NESTED_MAIL;
	if (c->has_size && c->size > o->message_max)
		return REPLY_TOO_LARGE;
	if (o->sender_fqdn && session_stranger(s) && !c->path.null &&
		!smtp_domain_full(c->path.domain))
		return REPLY_SENDER_NOT_FULL;
	switch (spool_peek(s->server->peers.spool)) {
	case ERR_LIMIT:
		return REPLY_NO_SPACE;
	case ERR_TEMP:
		return REPLY_QUEUE_AWAY;
	case ERR_OK:
	case ERR_BUSY: /* DATA waits for one */
	case ERR_AGAIN:
	case ERR_EOF:
	case ERR_SYNTAX:
	case ERR_NOTFOUND:
	case ERR_EXISTS:
	case ERR_DENIED:
	case ERR_CORRUPT:
	case ERR_QUOTA:
	case ERR_BUG:
		break;
	}
	return in_time(s, RATE_MESSAGES, o->rates.messages, RATE_USER_MESSAGES,
		       o->rates.user_messages)
		       ? REPLY_OK
		       : REPLY_FAST_MESSAGES;
}

void
session_mail(struct smtp_session *s, const struct smtp_cmd *c)
{
	enum smtp_reply r = mail_allowed(s, c);

	if (r != REPLY_OK) {
		session_reply(s, r, "cmd", STR("MAIL"));
		return;
	}
	begin(s, c);
	s->tx.ret = c->ret;
	if (keep_address(s, &c->path, &s->tx.sender) != ERR_OK ||
		arena_str(s->tx.arena, c->envid, &s->tx.envid) != ERR_OK) {
		session_reset(s);
		session_reply(s, REPLY_BAD_SENDER, "cmd", STR("MAIL"));
		return;
	}
	/* The greeting not before: MAIL is limited per minute, EHLO is not. */
	if (s->checks != NULL) {
		checks_helo(s->checks, str_of(s->helo));
		checks_sender(s->checks, c->path.domain);
	}
	/* <> is allowed: From is checked then, as always. */
	if (c->path.null || !session_checks_sender(s)) {
		session_reply(s, REPLY_SENDER_OK, "", STR_EMPTY);
		return;
	}
	session_set_state(s, SMTP_WAIT);
	s->lookup = lookup_sender(s->server->peers.loop, s->server->peers.directory, s->tx.sender,
		buf_str(&s->user), on_sender, s);
}

static void
add_rcpt(struct smtp_session *s)
{
	struct smtp_tx *tx = &s->tx;

	if (tx->rcpts_count == tx->rcpts_room) {
		tx->rcpts_room = tx->rcpts_room == 0 ? 8 : tx->rcpts_room * 2;
		tx->rcpts = xrealloc(tx->rcpts, tx->rcpts_room * sizeof(*tx->rcpts));
	}
	tx->rcpts[tx->rcpts_count++] = (struct spool_rcpt){
		.address = s->asked, .notify = s->asked_notify, .orcpt = s->asked_orcpt
	};
}

/* An address of ours as it is compared, so that two spellings of it are one recipient. Another
 * domain's local part is not ours to change. */
static struct str
one_spelling(struct smtp_tx *tx, struct str address)
{
	struct buf b;
	struct str out = address;

	if (!str_has_8bit(address))
		return address;
	buf_init(&b, ADDRESS_MAX);
	if (idn_address(&b, address) != ERR_OK || arena_str(tx->arena, buf_str(&b), &out) != ERR_OK)
		out = address;
	buf_fini(&b);
	return out;
}

static void
ask_recipient(struct smtp_session *s);

/* RFC 5321 4.5.1: somebody reads mail to postmaster. False: nobody was named for it. */
static bool
ask_postmaster(struct smtp_session *s)
{
	struct str local = str_sub(s->asked, 0, str_rchr(s->asked, '@'));

	if (s->asked_postmaster || s->server->o.postmaster.n == 0 ||
		!str_ieq(local, STR("postmaster")))
		return false;
	s->asked_postmaster = true;
	s->asked = s->server->o.postmaster;
	ask_recipient(s);
	return true;
}

void
session_recipient_done(struct smtp_session *s, enum smtp_reply r)
{
	if (r == REPLY_RCPT_OK)
		add_rcpt(s);
	s->tx.rcpts_refused += r != REPLY_RCPT_OK;
	session_reply(s, r, "rcpt", s->asked);
	session_update(s);
}

static void
on_posting(void *arg, enum lookup_answer a)
{
	struct smtp_session *s = arg;
	enum smtp_reply r = REPLY_LOOKUP_FAILED;

	s->posting = NULL;
	session_set_state(s, SMTP_COMMAND);
	if (a == LOOKUP_YES)
		r = REPLY_RCPT_OK;
	else if (a == LOOKUP_NO)
		r = REPLY_GROUP_CLOSED;
	session_recipient_done(s, r);
}

/* RFC 5321 4.5.1: whoever writes to postmaster is heard. */
static bool
is_postmaster(const struct smtp_session *s)
{
	return s->asked_postmaster ||
	       str_ieq(str_sub(s->asked, 0, str_rchr(s->asked, '@')), STR("postmaster"));
}

static void
ask_posting(struct smtp_session *s)
{
	struct posting_question q = { .group = s->asked,
		.sender = s->tx.sender,
		.user = buf_str(&s->user),
		.trusted = session_trusted(s) };

	session_set_state(s, SMTP_WAIT);
	s->posting =
		posting_ask(s->server->peers.loop, s->server->peers.directory, &q, on_posting, s);
}

/* To a domain that is not ours: for users and networks of ours, if anything carries it there. */
static enum smtp_reply
foreign_allowed(const struct smtp_session *s)
{
	if (!session_trusted(s))
		return REPLY_RELAY_DENIED;
	return s->server->o.outbound ? REPLY_RCPT_OK : REPLY_RELAYING;
}

/* The place for checks after RCPT: what follows the directory's answer (quota, policy, limits)
 * is asked from here, in SMTP_WAIT, before the reply. */
static void
on_recipient(void *arg, enum lookup_answer a)
{
	struct smtp_session *s = arg;
	enum smtp_reply r = REPLY_LOOKUP_FAILED;

	s->lookup = NULL;
	session_set_state(s, SMTP_COMMAND);
	if (a == LOOKUP_YES || a == LOOKUP_ALIAS)
		s->asked = one_spelling(&s->tx, s->asked);
	switch (a) {
	case LOOKUP_ALIAS:
		if (!is_postmaster(s)) {
			ask_posting(s);
			return;
		}
		r = REPLY_RCPT_OK;
		break;
	case LOOKUP_YES:
		if (session_ask_room(s))
			return;
		r = REPLY_RCPT_OK;
		break;
	case LOOKUP_NO:
		if (ask_postmaster(s))
			return;
		r = REPLY_UNKNOWN_RCPT;
		break;
	case LOOKUP_FOREIGN:
		r = foreign_allowed(s);
		if (r == REPLY_RCPT_OK && session_ask_domain(s))
			return;
		break;
	case LOOKUP_TEMP:
		break;
	}
	session_recipient_done(s, r);
}

/* Was it asked about ahead, and counted then? */
static bool
was_asked(const struct smtp_session *s)
{
	return s->asked_ahead != NULL && lookup_is_about(s->asked_ahead, s->asked);
}

static void
ask_recipient(struct smtp_session *s)
{
	session_set_state(s, SMTP_WAIT);
	s->tx.asked = true;
	if (was_asked(s)) {
		s->lookup = s->asked_ahead;
		s->asked_ahead = NULL;
		lookup_take(s->lookup, on_recipient, s);
	} else {
		s->lookup = lookup_recipient(s->server->peers.loop, s->server->peers.directory,
			s->asked, s->server->o.delimiter, on_recipient, s);
	}
}

/* "<Postmaster>" where no domain is set that would complete it. */
static bool
is_bare_postmaster(struct smtp_session *s)
{
	if (!str_ieq(s->asked, STR("postmaster")) || s->server->o.postmaster.n == 0)
		return false;
	s->asked_postmaster = true;
	s->asked = s->server->o.postmaster;
	return true;
}

/* As any server can be told. False: it was given in UTF-8 without SMTPUTF8, or is too long so. */
static bool
keep_orcpt(struct smtp_session *s, struct str orcpt)
{
	struct buf b;
	bool ok;

	if (str_has_8bit(orcpt) && !s->tx.smtputf8)
		return false;
	buf_init(&b, SPOOL_ORCPT_MAX);
	smtp_orcpt_ascii(orcpt, &b);
	ok = buf_check(&b) == ERR_OK &&
	     arena_str(s->tx.arena, buf_str(&b), &s->asked_orcpt) == ERR_OK;
	buf_fini(&b);
	return ok;
}

/* Is the recipient the way back to somebody whose mail we sent on? REPLY_OK: it is no such
 * address. The queue turns it into the sender's (queue/expand.h). */
static enum smtp_reply
return_address(const struct smtp_session *s)
{
	const struct settings_queue *q = &s->server->o.settings->queue;
	const struct srs srs = { .domain = q->srs_domain, .secrets = q->srs_secret };
	struct buf sender;
	enum err e;

	if (!srs_is_ours(&srs, s->asked))
		return REPLY_OK;
	buf_init(&sender, ADDRESS_MAX);
	e = srs_reverse(&srs, s->asked, time(NULL), &sender);
	buf_fini(&sender);
	return e == ERR_OK ? REPLY_RCPT_OK : REPLY_NOT_FORWARDED;
}

bool
session_rcpt_in_time(struct smtp_session *s)
{
	const struct smtp_options *o = &s->server->o;

	return in_time(s, RATE_RECIPIENTS, o->rates.recipients, RATE_USER_RECIPIENTS,
		o->rates.user_recipients);
}

void
session_ask_recipient(struct smtp_session *s)
{
	/* A null client has nothing of its own, and asks no directory. */
	enum smtp_reply r = s->server->o.null_client ? foreign_allowed(s) : return_address(s);

	if (r == REPLY_OK) {
		ask_recipient(s);
		return;
	}
	if (r == REPLY_RCPT_OK)
		add_rcpt(s);
	s->tx.rcpts_refused += r != REPLY_RCPT_OK;
	session_reply(s, r, "rcpt", s->asked);
}

void
session_rcpt(struct smtp_session *s, const struct smtp_cmd *c)
{
	const struct smtp_options *o = &s->server->o;
	enum smtp_reply r = REPLY_OK;

	lookup_cancel(s->asked_ahead);
	s->asked_ahead = session_ahead_take(s);
	s->asked_postmaster = false;
	s->asked_notify = c->notify;
	if (s->tx.arena == NULL)
		r = REPLY_NEED_MAIL;
	else if (s->tx.content)
		r = REPLY_BAD_SEQUENCE;
	else if (c->path.utf8 && !s->tx.smtputf8)
		r = REPLY_NEEDS_UTF8;
	else if (s->tx.rcpts_count >= o->recipients_max || s->tx.rcpts_refused >= o->recipients_max)
		r = REPLY_TOO_MANY_RCPTS;
	else if (keep_address(s, &c->path, &s->asked) != ERR_OK ||
		 (str_chr(s->asked, '@') == s->asked.n && !is_bare_postmaster(s)))
		r = REPLY_BAD_RCPT;
	else if (!keep_orcpt(s, c->orcpt))
		r = REPLY_BAD_SYNTAX;
	else if (!was_asked(s) && !session_rcpt_in_time(s))
		r = REPLY_FAST_RCPTS;
	if (r != REPLY_OK) {
		session_reply(s, r, "cmd", STR("RCPT"));
		return;
	}
	session_check_recipient(s);
}
