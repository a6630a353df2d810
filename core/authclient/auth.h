#ifndef POSTROOM_AUTHCLIENT_AUTH_H
#define POSTROOM_AUTHCLIENT_AUTH_H

#include "core/base/str.h"
#include "core/event/loop.h"

/* Client of the auth service: the Dovecot auth client protocol 1.x over a unix socket. One
 * connection carries any number of logins at once; it is made at auth_client_new and made
 * again, with back-off from 50 ms to 2 s, whenever it ends.
 *
 * Every login ends in exactly one of on_ok, on_fail or auth_request_cancel. A login that cannot
 * be asked (no connection within 2 s, 4,096 in flight), or whose connection ends, or that gets
 * no answer in 60 s, fails with AUTH_FAIL_TEMP: a failure of ours is never a "no". */
struct auth_client;
struct auth_request;

/* What a hand-over names so that another process can ask auth-userdb whether this login
 * succeeded. Without NULs; the cookie is 32 hex digits for our own service. */
struct auth_ticket {
	char cookie[65];
	uint32_t client_pid; /* this process, as told to the service (CPID) */
	uint32_t request_id;
	uint32_t server_pid; /* SPID */
};

enum auth_fail {
	AUTH_FAIL_CREDENTIALS, /* wrong password, no such user, not allowed: not told apart */
	AUTH_FAIL_TEMP,	       /* nobody could say: the directory or the service is away */
	AUTH_FAIL_EXPIRED,     /* right password, but it has expired (or must be changed) */
	AUTH_FAIL_DISABLED,    /* right password, but the account is locked */
	AUTH_FAIL_AUTHZ,       /* right password, but not allowed: this service, from there, at
				  this time, or to act as another user */
	AUTH_FAIL_MECHANISM,   /* the service does not offer this mechanism */
};

struct auth_ops {
	/* The service wants more: answer with auth_request_continue. challenge: decoded
	 * bytes, borrowed. */
	void (*on_continue)(void *arg, struct auth_request *r, struct str challenge);
	/* user: the canonical name; fields: the reply's other fields, tab separated and still
	 * escaped (auth_field reads them). r is dead afterwards. */
	void (*on_ok)(void *arg, struct auth_request *r, struct str user, struct str fields,
		const struct auth_ticket *ticket);
	/* reason: text that the client may see, mostly empty. r is dead afterwards. */
	void (*on_fail)(void *arg, struct auth_request *r, enum auth_fail why, struct str reason);
};

/* address: "unix:/run/postroom/auth". */
struct auth_client *
auth_client_new(struct loop *l, struct str address);
/* Pending logins are dropped without a call. */
void
auth_client_free(struct auth_client *c);
/* The hand-shake is done and the connection lives. */
bool
auth_client_ready(const struct auth_client *c);
/* True when the service named this mechanism (any case) in its hand-shake. */
bool
auth_client_has_mechanism(const struct auth_client *c, struct str mechanism);

struct auth_login {
	struct str mechanism; /* "PLAIN" */
	struct str service;   /* "imap", "smtp" */
	struct str session;   /* session id for the log */
	struct str local_addr, remote_addr;
	uint16_t local_port, remote_port;
	bool secured;		/* TLS, or the peer is on this machine */
	bool has_initial;	/* an initial response was given, which may be empty */
	struct str initial;	/* decoded bytes */
	struct str certificate; /* subject of the client's, verified by TLS; empty: none */
};

enum { AUTH_RESPONSE_MAX = 16 * 1024 }; /* decoded bytes of one response */

/* Begins; callbacks come from the loop only. Borrows login, keeps ops (static) and arg. NULL
 * when the initial response is over AUTH_RESPONSE_MAX or a value holds what the protocol
 * cannot carry: the login is the client's mistake. */
struct auth_request *
auth_request_start(struct auth_client *c, const struct auth_login *login,
	const struct auth_ops *ops, void *arg);
/* The answer to a challenge, decoded bytes. ERR_LIMIT: over AUTH_RESPONSE_MAX; the login is
 * still open, cancel it. */
MUST_USE enum err
auth_request_continue(struct auth_request *r, struct str response);
/* No callback comes any more; the service is told. */
void
auth_request_cancel(struct auth_request *r);

/* "credentials", "temp" …: for the log. Static storage. */
const char *
auth_fail_name(enum auth_fail why);

/* The value of one of a reply's fields, unescaped into out (reset first). ERR_NOTFOUND;
 * ERR_LIMIT. */
struct buf;
MUST_USE enum err
auth_field(struct str fields, const char *name, struct buf *out);

#endif
