#ifndef POSTROOM_SMTP_SERVER_H
#define POSTROOM_SMTP_SERVER_H

#include "config/settings.h"
#include "core/authclient/auth.h"
#include "core/authclient/socketmap.h"
#include "core/base/cidr.h"
#include "core/event/counts.h"
#include "core/event/listener.h"
#include "core/event/loop.h"
#include "core/event/tls.h"
#include "core/role/role.h"
#include "delivery/smtp/checks.h"
#include "delivery/smtp/room.h"
#include "delivery/spool/spool.h"

/* SMTP sessions of one worker. One state machine serves every listener; what differs is the policy
 * that the listener names. */

/* What a listener demands and does. A local one has no TLS and no login: the kernel says which uid
 * is there (SO_PEERCRED), which is the client's address in logs, limits and Received ("uid:1000").
 * Its users may send as anybody, as with other mail servers, and to wherever networks of ours may;
 * addresses without a domain get local_domain, which EHLO tells ("XORIGIN example.org"). */
struct smtp_policy {
	const char *protocol;	/* "submission", "smtp" */
	bool local;		/* postroom-sendmail's unix socket: users of this machine */
	bool implicit_tls;	/* 465 */
	bool no_starttls;	/* clear text only */
	bool mx;		/* mail from anybody to our own addresses, as it is */
	bool require_tls;	/* nothing but EHLO, STARTTLS, NOOP, QUIT before it */
	bool clear_auth;	/* AUTH is as safe here without TLS as with it */
	bool require_auth;	/* no MAIL without */
	bool check_sender;	/* MAIL FROM, From and Sender must be the user's own */
	bool normalise_newline; /* a bare CR or LF becomes CR LF; otherwise the message is refused
				 */
};

/* The row for a listener's protocol and TLS mode; NULL when smtp does not serve it. */
const struct smtp_policy *
smtp_policy_find(struct str protocol, enum listen_tls tls);

/* In a minute and in all workers together; 0: any number. */
struct smtp_rate_limits {
	unsigned connections;		       /* of an address, mx only */
	unsigned errors, messages, recipients; /* of an address, without a login */
	unsigned user_messages, user_recipients;
};

struct smtp_options {
	struct str hostname;
	struct str default_domain;
	char delimiter;			 /* of tags; '\0': none */
	const struct settings *settings; /* who is offered which mechanism */
	uint64_t message_max;
	uint64_t header_max;
	unsigned recipients_max;
	unsigned connections_max;
	unsigned connections_per_address;
	struct counts *counts; /* of addresses in all workers; NULL: in this one; kept */
	unsigned errors_max;
	unsigned logins_max; /* failed ones on one connection */
	unsigned hops_max;
	bool mx_login;				       /* AUTH where the policy says mx */
	bool helo_fqdn, sender_fqdn, pipelining_check; /* of strangers: mx and not trusted */
	int64_t greet_delay_ms;			       /* … */
	struct smtp_rate_limits rates;
	struct check_options checks; /* of strangers */
	struct str postmaster;	     /* for "postmaster" where the directory has none; "": 550 */
	struct str local_domain;
	const uid_t *local_uids; /* who, beside root, may use a local listener */
	size_t local_uids_count;
	bool local_everybody;
	const struct cidr *relay_networks; /* may use an mx listener as users do */
	size_t relay_networks_count;
	bool outbound;	  /* users and these networks may send to domains that are not ours */
	bool null_client; /* no domain is ours, and the directory is not asked about recipients */
	const struct cidr *proxy_networks; /* connections begin with a PROXY header (proxy.h) */
	size_t proxy_networks_count;
	int64_t proxy_timeout_ms;	     /* … within this */
	const struct cidr *xclient_networks; /* may say XCLIENT (xclient.h) */
	size_t xclient_networks_count;
	bool xclient_login; /* … with a user, who is believed */
	int64_t command_timeout_ms, data_timeout_ms, login_timeout_ms;
	int64_t slot_timeout_ms; /* wait for a slot before 452 */
};

/* Who the sessions talk to; all kept. tls: NULL when there is no certificate. */
struct smtp_peers {
	struct loop *loop;
	struct spool_client *spool;
	struct auth_client *auth;
	struct socketmap *directory;
	struct room *room;		  /* asked about quotas; NULL: nobody */
	struct resolver_client *resolver; /* NULL: no check asks the DNS */
	struct tls_ctx *tls;
};

struct smtp_server;

/* Copies o; its strings are kept (they live as long as the settings), and so are the settings. */
struct smtp_server *
smtp_server_new(const struct smtp_options *o, const struct smtp_peers *peers);
/* Ends every session at once. */
void
smtp_server_free(struct smtp_server *v);
/* New certificates for connections from now on; counted by the server. */
void
smtp_server_set_tls(struct smtp_server *v, struct tls_ctx *tls);
/* What may change under live sessions: networks, mechanisms, limits per address, user and minute,
 * the checks without DNS, time-outs, postmaster. The rest stays: what sessions have sized their
 * memory by (message, header, recipients), what the cage was made for, what other parts are there
 * for. Networks count for connections from now on. Strings and networks of o are kept. */
void
smtp_server_set_options(struct smtp_server *v, const struct smtp_options *o);
/* Takes fd. */
void
smtp_server_accept(
	struct smtp_server *v, int fd, const struct peer *peer, const struct smtp_policy *policy);
/* More connections may come. */
bool
smtp_server_has_room(const struct smtp_server *v);
/* room_fn: called when a full server has room again. */
void
smtp_server_on_room(struct smtp_server *v, void (*fn)(void *arg), void *arg);
/* Sessions between messages get 421 now, the others after theirs; then done, once, from the loop.
 */
void
smtp_server_stop(struct smtp_server *v, void (*done)(void *arg), void *arg);
unsigned
smtp_server_count(const struct smtp_server *v);

#endif
