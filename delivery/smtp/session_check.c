/* What the DNS says, in a session: the checks of strangers begin at connect and decide at RCPT; the
 * names that Received and Authentication-Results tell. Called by session.c, session_mail.c and
 * session_data.c. Invariant: while a verdict is waited for the session is in SMTP_WAIT, and RCPT is
 * answered exactly once. */
#include "delivery/smtp/session_check.h"

void
session_checks_begin(struct smtp_session *s)
{
	const struct smtp_server *v = s->server;

	if (s->policy->mx && !s->named && v->peers.resolver != NULL && checks_wanted(&v->o.checks))
		s->checks = checks_new(
			v->peers.loop, v->peers.resolver, &v->o.checks, s->peer.addr, s->sid);
}

void
session_checks_end(struct smtp_session *s)
{
	checks_free(s->checks);
	s->checks = NULL;
}

static void
on_verdict(void *arg);

static void
decide(struct smtp_session *s)
{
	enum smtp_reply r;
	struct str more;

	if (!checks_verdict(s->checks, &r, &more, on_verdict, s)) {
		session_set_state(s, SMTP_WAIT);
		return;
	}
	if (r == REPLY_OK) {
		session_ask_recipient(s);
		return;
	}
	s->tx.rcpts_refused++;
	session_reply_more(s, r, more, "rcpt", s->asked);
}

static void
on_verdict(void *arg)
{
	struct smtp_session *s = arg;

	session_set_state(s, SMTP_COMMAND);
	decide(s);
	session_update(s);
}

/* Who was refused by mistake must be able to say so: RFC 5321 4.5.1. */
static bool
to_postmaster(const struct smtp_session *s)
{
	return str_ieq(str_sub(s->asked, 0, str_rchr(s->asked, '@')), STR("postmaster"));
}

void
session_check_recipient(struct smtp_session *s)
{
	if (s->checks == NULL || !session_stranger(s) || s->asked_postmaster || to_postmaster(s))
		session_ask_recipient(s);
	else
		decide(s);
}

static void
on_room(void *arg, enum room_answer a)
{
	struct smtp_session *s = arg;
	enum smtp_reply r = REPLY_RCPT_OK;

	s->room = NULL;
	session_set_state(s, SMTP_COMMAND);
	switch (a) {
	case ROOM_YES:
		break;
	case ROOM_FULL:
		r = REPLY_MAILBOX_FULL;
		break;
	case ROOM_FULL_TEMP:
		r = REPLY_MAILBOX_FULL_YET;
		break;
	}
	session_recipient_done(s, r);
}

bool
session_ask_room(struct smtp_session *s)
{
	if (s->server->peers.room == NULL || s->asked_postmaster)
		return false;
	session_set_state(s, SMTP_WAIT);
	s->room = room_ask(s->server->peers.room, s->asked, s->tx.declared_size, on_room, s);
	return true;
}

void
session_client_text(const struct smtp_session *s, struct buf *out)
{
	bool ip6 = str_chr(str_of(s->peer.addr), ':') < strlen(s->peer.addr);
	bool asked = s->checks != NULL && checks_client(s->checks) != CLIENT_UNASKED;
	const char *name = asked ? checks_client_name(s->checks) : s->client_name;

	if (name[0] != '\0')
		buf_addf(out, "%s ", name);
	else if (asked)
		buf_addz(out, "unknown ");
	buf_addf(out, "[%s%s]", ip6 ? "IPv6:" : "", s->peer.addr);
}

/* A value of RFC 8601 2.2: an address or a token as it is, else quoted. */
static void
add_value(struct buf *out, struct str v)
{
	bool plain =
		v.n > 0 && v.p[0] != '@' && v.p[0] != '.' && str_chr(v, '@') == str_rchr(v, '@');

	for (size_t i = 0; i < v.n; i++)
		plain = plain && (ascii_is_alnum((unsigned char)v.p[i]) ||
					 memchr("@.-_+", v.p[i], 5) != NULL);
	if (plain) {
		buf_add(out, v);
		return;
	}
	buf_addc(out, '"');
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '"' || v.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, v.p[i] >= ' ' && v.p[i] <= '~' ? v.p[i] : '?');
	}
	buf_addc(out, '"');
}

/* RFC 8601 2.7.3; NULL: nothing to say. */
static const char *
iprev(enum client_state s)
{
	switch (s) {
	case CLIENT_CONFIRMED:
		return "pass";
	case CLIENT_UNCONFIRMED:
		return "fail";
	case CLIENT_NO_PTR:
		return "permerror";
	case CLIENT_TEMP:
		return "temperror";
	case CLIENT_UNASKED:
	case CLIENT_PENDING:
		break;
	}
	return NULL;
}

void
session_auth_results(const struct smtp_session *s, struct buf *out)
{
	struct str host = s->server->o.hostname;
	const char *result = s->checks != NULL ? iprev(checks_client(s->checks)) : NULL;

	if (s->user.n > 0) {
		buf_addf(out,
			"Authentication-Results: %.*s;\r\n\tauth=pass smtp.auth=", STR_FMT(host));
		add_value(out, buf_str(&s->user));
		buf_addz(out, "\r\n");
	} else if (result != NULL) {
		const char *name = checks_client_name(s->checks);
		buf_addf(out,
			"Authentication-Results: %.*s;\r\n\tiprev=%s policy.iprev=", STR_FMT(host),
			result);
		add_value(out, str_of(s->peer.addr));
		buf_addf(out, name[0] != '\0' ? " (%s)\r\n" : "%s\r\n", name);
	}
}
