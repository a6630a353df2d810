/* XCLIENT in a session: who may say it, and the new client. Called by session.c's verb table.
 * Invariants: from any other address than those of smtp.xclient_networks it changes nothing; after
 * it nothing of the old client is left but TLS and the permission. */
#include <stdio.h>

#include "delivery/smtp/session.h"
#include "delivery/smtp/session_check.h"
#include "delivery/smtp/xclient.h"

void
session_xclient_offer(struct smtp_session *s)
{
	if (s->may_xclient)
		stream_writef(s->stream,
			"250-XCLIENT NAME ADDR PORT PROTO HELO%s DESTADDR DESTPORT\r\n",
			s->server->o.xclient_login ? " LOGIN" : "");
}

/* As the command has it; of what is not given address, port and both of ours stay. */
static struct peer
new_peer(const struct smtp_session *s, const struct xclient *x)
{
	struct peer p = s->peer;

	if ((x->given & XCLIENT_ADDR) != 0) {
		memcpy(p.addr, x->addr, sizeof(p.addr));
		p.port = 0;
	}
	if ((x->given & XCLIENT_PORT) != 0)
		p.port = x->port;
	if (x->local_addr[0] != '\0')
		memcpy(p.local_addr, x->local_addr, sizeof(p.local_addr));
	if (x->local_port != 0)
		p.local_port = x->local_port;
	return p;
}

static void
become(struct smtp_session *s, const struct xclient *x)
{
	const struct peer peer = new_peer(s, x);
	enum smtp_reply r = server_new_peer(s->server, s, &peer);

	log_event(LVL_INFO, "smtp.xclient", log_z("sid", s->sid), log_z("by", s->first_addr),
		log_z("peer", peer.addr), log_z("name", x->name), log_z("helo", x->helo),
		log_z("user", x->login), log_z("res", r == REPLY_OK ? "ok" : "deny"));
	session_reset(s);
	if (r != REPLY_OK) {
		session_close(s, r);
		return;
	}
	s->named = server_is_named(s->server, s->policy, s->peer.addr);
	cidr_place(s->peer.addr, s->place);
	buf_reset(&s->subject);
	buf_reset(&s->user);
	buf_addz(&s->user, x->login);
	s->esmtp = x->esmtp;
	/* One that EHLO would refuse has not greeted. */
	if (smtp_domain_full(str_of(x->helo)) || !s->server->o.helo_fqdn || !session_stranger(s))
		(void)snprintf(s->helo, sizeof(s->helo), "%s", x->helo);
	else
		s->helo[0] = '\0';
	(void)snprintf(s->client_name, sizeof(s->client_name), "%s", x->name);
	session_checks_end(s);
	session_checks_begin(s);
	s->errors = s->failed_logins = 0;
	session_greet(s);
}

void
session_xclient(struct smtp_session *s, const struct smtp_cmd *c)
{
	struct xclient x;
	enum smtp_reply r = REPLY_OK;

	if (!s->may_xclient)
		r = REPLY_XCLIENT_DENIED;
	else if (s->tx.arena != NULL)
		r = REPLY_NESTED_MAIL;
	else if (xclient_parse(c->arg, &x) != ERR_OK ||
		 ((x.given & XCLIENT_LOGIN) != 0 && !s->server->o.xclient_login))
		r = REPLY_BAD_SYNTAX;
	if (r != REPLY_OK)
		session_reply(s, r, "cmd", STR("XCLIENT"));
	else
		become(s, &x);
}
