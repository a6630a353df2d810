/* What the DNS says, in a session: the checks of strangers begin at connect and decide at RCPT; the
 * names that Received and Authentication-Results tell. Called by session.c, session_mail.c and
 * session_data.c. Invariant: while a verdict is waited for the session is in SMTP_WAIT, and RCPT is
 * answered exactly once. */
#include "delivery/smtp/session_check.h"

#include "delivery/smtp/domain.h"

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

/* REPLY_RCPT_OK: it is taken. */
static enum smtp_reply
domain_reply(const struct check_options *o, enum domain_state d)
{
	bool null = d == DOMAIN_NULL_MX;

	if (d == DOMAIN_FOUND || o->recipient_known == CHECK_LOG)
		return REPLY_RCPT_OK;
	if (d == DOMAIN_TEMP)
		return o->failure_defers ? REPLY_DNS_FAILED : REPLY_RCPT_OK;
	if (o->recipient_known == CHECK_DEFER)
		return null ? REPLY_RCPT_NULL_MX_YET : REPLY_RCPT_DOMAIN_UNKNOWN_YET;
	return null ? REPLY_RCPT_NULL_MX : REPLY_RCPT_DOMAIN_UNKNOWN;
}

static struct str
asked_domain(const struct smtp_session *s)
{
	return str_from(s->asked, str_rchr(s->asked, '@') + 1);
}

static void
domain_done(struct smtp_session *s, enum domain_state d)
{
	enum smtp_reply r = domain_reply(&s->server->o.checks, d);
	enum smtp_reply found =
		d == DOMAIN_NULL_MX ? REPLY_RCPT_NULL_MX : REPLY_RCPT_DOMAIN_UNKNOWN;

	if (d != DOMAIN_FOUND)
		log_event(LVL_INFO, "smtp.check", log_z("sid", s->sid),
			log_s("user", buf_str(&s->user)), log_z("peer", s->peer.addr),
			log_z("check", "recipient domain"), log_s("value", asked_domain(s)),
			log_z("reason",
				d == DOMAIN_TEMP ? "no answer" : smtp_reply_row(found)->reason),
			log_z("res", r == REPLY_RCPT_OK		     ? "pass"
				     : smtp_reply_row(r)->code < 500 ? "defer"
								     : "refuse"));
	session_recipient_done(s, r);
}

static void
on_rcpt_domain(void *arg, enum domain_state d)
{
	struct smtp_session *s = arg;

	s->rcpt_domain = NULL;
	session_set_state(s, SMTP_COMMAND);
	if (d == DOMAIN_TEMP)
		s->tx.dns_lost_ms += loop_now_ms(s->server->peers.loop) - s->rcpt_domain_ms;
	domain_done(s, d);
}

/* Is it one of those whose MX is asked when the mail goes out? */
static bool
asks_domain(const struct smtp_session *s)
{
	const struct smtp_options *o = &s->server->o;
	struct str sender = str_from(s->tx.sender, str_rchr(s->tx.sender, '@') + 1);
	const struct settings_relay *x;

	if (o->checks.recipient_known == CHECK_OFF || s->server->peers.resolver == NULL ||
		s->asked_postmaster)
		return false;
	for (size_t i = 0; i < o->checks.exempt_count; i++)
		if (cidr_contains(&o->checks.exempt[i], str_of(s->peer.addr)))
			return false;
	x = settings_relay_for(o->settings, asked_domain(s), sender);
	return x == NULL || x->host.n == 0;
}

bool
session_ask_domain(struct smtp_session *s)
{
	int64_t left = s->server->o.checks.timeout_ms - s->tx.dns_lost_ms;
	struct buf b;
	struct str name;

	if (!asks_domain(s))
		return false;
	buf_init(&b, 255);
	name = domain_name(asked_domain(s), &b);
	if (name.n > 0 && left > 0) {
		session_set_state(s, SMTP_WAIT);
		s->rcpt_domain_ms = loop_now_ms(s->server->peers.loop);
		s->rcpt_domain =
			domain_ask(s->server->peers.resolver, name, left, on_rcpt_domain, s);
	}
	buf_fini(&b);
	if (name.n > 0 && left <= 0)
		domain_done(s, DOMAIN_TEMP);
	return name.n > 0;
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
