/* AUTH: the exchange between the client and the auth service (RFC 4954). Called by session.c's verb
 * table and line reader. Invariants: s->auth is set exactly while a login is open; a login that
 * fails while the client owes a line is answered at that line; responses pass through wiped memory
 * only. */
#include "core/base/codec.h"
#include "core/sasl/mechanism.h"
#include "delivery/smtp/session.h"

static void
refuse(struct smtp_session *s, enum smtp_reply r, struct str mechanism)
{
	session_set_state(s, SMTP_COMMAND);
	session_reply(s, r, "mech", mechanism);
}

static void
on_continue(void *arg, struct auth_request *r, struct str challenge)
{
	struct smtp_session *s = arg;
	struct buf b;

	(void)r;
	buf_init(&b, AUTH_RESPONSE_MAX * 2);
	buf_add(&b, STR("334 "));
	base64_encode(&b, challenge);
	buf_add(&b, STR("\r\n"));
	stream_write(s->stream, buf_str(&b));
	buf_fini(&b);
	session_set_state(s, SMTP_AUTH);
	session_update(s);
}

static void
on_ok(void *arg, struct auth_request *r, struct str user, struct str fields,
	const struct auth_ticket *ticket)
{
	struct smtp_session *s = arg;

	(void)r;
	(void)fields;
	(void)ticket;
	s->auth = NULL;
	session_set_state(s, SMTP_COMMAND);
	buf_add(&s->user, user);
	if (user.n == 0 || buf_check(&s->user) != ERR_OK) {
		buf_reset(&s->user);
		refuse(s, REPLY_AUTH_TEMP, STR_EMPTY);
	} else {
		session_reply(s, REPLY_AUTH_OK, "", STR_EMPTY);
		log_event(LVL_INFO, "smtp.auth", log_z("sid", s->sid), log_s("user", user),
			log_z("res", "ok"), log_z("peer", s->peer.addr));
	}
	session_update(s);
}

static enum smtp_reply
reply_of(enum auth_fail why)
{
	switch (why) {
	case AUTH_FAIL_CREDENTIALS:
		return REPLY_AUTH_FAILED;
	case AUTH_FAIL_AUTHZ:
		return REPLY_NOT_AUTHORISED;
	case AUTH_FAIL_TEMP:
		return REPLY_AUTH_TEMP;
	case AUTH_FAIL_EXPIRED:
		return REPLY_PASSWORD_EXPIRED;
	case AUTH_FAIL_DISABLED:
		return REPLY_USER_DISABLED;
	case AUTH_FAIL_MECHANISM:
		return REPLY_AUTH_MECHANISM;
	}
	return REPLY_AUTH_TEMP;
}

static void
on_fail(void *arg, struct auth_request *r, enum auth_fail why, struct str reason)
{
	struct smtp_session *s = arg;

	(void)r;
	(void)reason;
	s->auth = NULL;
	if (s->state == SMTP_AUTH) {
		s->auth_late = reply_of(why);
		session_update(s);
		return;
	}
	refuse(s, reply_of(why), STR_EMPTY);
	if (why != AUTH_FAIL_TEMP && ++s->failed_logins >= s->server->o.logins_max)
		session_close(s, REPLY_TOO_MANY_LOGINS);
	session_update(s);
}

static const struct auth_ops auth_ops = {
	.on_continue = on_continue, .on_ok = on_ok, .on_fail = on_fail
};

static bool
offered(const struct smtp_session *s, struct str mechanism)
{
	const struct sasl_client client = { .service = STR("smtp"),
		.secured = s->tls || s->policy->clear_auth,
		.certificate = s->subject.n > 0 };
	return sasl_offered(s->server->o.settings, &client, mechanism);
}

void
session_mechanisms(const struct smtp_session *s, struct buf *out)
{
	const struct str_list *all = &s->server->o.settings->auth.sasl_mechanisms;
	for (size_t i = 0; i < all->n; i++)
		if (offered(s, all->v[i]))
			buf_addf(out, " %.*s", STR_FMT(all->v[i]));
}

/* initial: decoded. */
static void
begin(struct smtp_session *s, const struct smtp_cmd *c, struct str initial)
{
	char upper[24] = "";
	struct auth_login login = {
		.service = STR("smtp"),
		.session = str_of(s->sid),
		.local_addr = str_of(s->peer.local_addr),
		.remote_addr = str_of(s->peer.addr),
		.local_port = s->peer.local_port,
		.remote_port = s->peer.port,
		.secured = s->tls || s->policy->clear_auth,
		.has_initial = c->has_initial,
		.initial = initial,
		.certificate = buf_str(&s->subject),
	};

	for (size_t i = 0; i < c->arg.n && i < sizeof(upper) - 1; i++)
		upper[i] = (char)ascii_upper(c->arg.p[i]);
	login.mechanism = str_of(upper);
	s->auth = auth_request_start(s->server->peers.auth, &login, &auth_ops, s);
	if (s->auth == NULL) {
		refuse(s, REPLY_AUTH_FAILED, c->arg);
		return;
	}
	session_set_state(s, SMTP_WAIT);
}

void
session_auth(struct smtp_session *s, const struct smtp_cmd *c)
{
	struct buf initial;

	if (s->user.n > 0) {
		refuse(s, REPLY_AUTH_AGAIN, c->arg);
		return;
	}
	if (s->tx.arena != NULL) {
		refuse(s, REPLY_BAD_SEQUENCE, c->arg);
		return;
	}
	if (!offered(s, c->arg)) {
		refuse(s, REPLY_AUTH_MECHANISM, c->arg);
		return;
	}
	buf_init_secret(&initial, AUTH_RESPONSE_MAX);
	if (c->has_initial && !str_eq(c->initial, STR("=")) &&
		base64_decode(&initial, c->initial) != ERR_OK)
		refuse(s, REPLY_BAD_BASE64, c->arg);
	else
		begin(s, c, buf_str(&initial));
	buf_fini(&initial);
}

static void
cancel(struct smtp_session *s, enum smtp_reply r)
{
	if (s->auth != NULL)
		auth_request_cancel(s->auth);
	s->auth = NULL;
	refuse(s, r, STR_EMPTY);
}

void
session_auth_line(struct smtp_session *s, struct str line)
{
	struct buf response;
	enum err e;

	if (str_eq(line, STR("*"))) {
		cancel(s, REPLY_AUTH_CANCELLED);
		return;
	}
	if (s->auth == NULL) {
		refuse(s, s->auth_late, STR_EMPTY);
		return;
	}
	buf_init_secret(&response, AUTH_RESPONSE_MAX);
	e = base64_decode(&response, line);
	if (e != ERR_OK) {
		cancel(s, REPLY_BAD_BASE64);
	} else {
		session_set_state(s, SMTP_WAIT);
		e = auth_request_continue(s->auth, buf_str(&response));
		if (e != ERR_OK)
			cancel(s, REPLY_AUTH_TOO_LONG);
	}
	buf_fini(&response);
}
