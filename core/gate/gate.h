#ifndef POSTROOM_GATE_GATE_H
#define POSTROOM_GATE_GATE_H

#include "core/authclient/auth.h"
#include "core/base/buf.h"
#include "core/event/tls.h"
#include "core/role/role.h"

/* A client before login: accepts, does TLS, asks auth, hands over, and relays afterwards. What
 * the bytes mean is the protocol's, a table of functions (imap/gate/gate.c). All its functions are
 * called from the loop. */
struct gate;
struct gate_conn;

struct gate_protocol {
	const char *service;  /* "imap": for auth and the log */
	const char *too_many; /* greeting of a client from an address with too many connections */
	size_t in_max_bytes;  /* of one command, and of what is typed ahead */
	/* A client is there, its TLS done where that comes first: greet. Returns the session,
	 * owned by the gate until close. */
	void *(*open)(struct gate_conn *c);
	void (*close)(void *session);
	/* Input lies in in: consume whole commands while gate_listening. */
	void (*input)(void *session, struct buf *in);
	/* auth wants more: ask the client; its answer comes as input. */
	void (*challenge)(void *session, struct str challenge);
	/* The login ended badly; reason is text from the directory, mostly empty. */
	void (*failed)(void *session, enum auth_fail why, struct str reason);
	/* The login's time is over, or the gate stops: take leave. The gate hangs up then. */
	void (*leave)(void *session, bool stopping);
};

/* Queue output. */
void
gate_write(struct gate_conn *c, struct str bytes);
void
gate_writef(struct gate_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Hangs up once the output left. No function of the protocol but close is called any more. */
void
gate_hang_up(struct gate_conn *c);
/* True while the protocol may take the next command: no login in progress, not hanging up,
 * room for replies. input comes again by itself when it turns true. */
bool
gate_listening(const struct gate_conn *c);
/* The hand-shake follows what is queued; input that is already there is thrown away. */
void
gate_start_tls(struct gate_conn *c);
bool
gate_has_tls(const struct gate_conn *c);
/* STARTTLS may be offered: a certificate is there, no TLS yet. */
bool
gate_offers_tls(const struct gate_conn *c);
/* The client showed a certificate that TLS verified. */
bool
gate_has_certificate(const struct gate_conn *c);
/* Passwords may be typed here: TLS, or a client on this machine, or plaintext_login. */
bool
gate_is_secure(const struct gate_conn *c);
const char *
gate_sid(const struct gate_conn *c);
const struct settings *
gate_settings(const struct gate_conn *c);

/* Ask auth; ends in failed, or in the hand-over, after which imap answers the tag. Copies.
 * ERR_LIMIT: no such login can be asked (a mechanism's name or response that is too long). */
MUST_USE enum err
gate_login(struct gate_conn *c, struct str tag, struct str mechanism, bool has_initial,
	struct str initial);
/* The client's answer to a challenge. ERR_LIMIT: too long; gate_abort it. */
MUST_USE enum err
gate_respond(struct gate_conn *c, struct str response);
/* The client gave up the exchange; failed is not called. */
void
gate_abort(struct gate_conn *c);

struct gate_options {
	struct loop *loop;
	const struct gate_protocol *protocol; /* kept, static */
	const struct settings *settings;      /* borrowed, until gate_reload or free */
	struct str auth_address;	      /* "unix:/auth" */
	const char *handover_path;	      /* "/imap." */
	unsigned handover_workers;
	struct tls_ctx *tls;   /* NULL: no TLS; counted */
	struct counts *counts; /* connections of an address in all gates; NULL: in this one; kept */
};
struct gate *
gate_new(const struct gate_options *o);
/* Takes the listening fd. */
void
gate_listen(struct gate *g, int fd, enum listen_tls tls);
/* New settings and certificate for new connections. */
void
gate_reload(struct gate *g, const struct settings *settings, struct tls_ctx *tls);
/* Stops accepting, takes leave of clients before login; done when imap has hung up all others;
 * streams that were closed may still send. */
void
gate_stop(struct gate *g, void (*done)(void *arg), void *arg);
/* Everything ends at once. */
void
gate_free(struct gate *g);

/* The functions of a gate's struct role: role_main's init, start, reload and stop. */
enum err
gate_service_init(struct role_ctx *c);
enum err
gate_service_start(
	struct role_ctx *c, const struct gate_protocol *protocol, const char *listener_protocol);
enum err
gate_service_reload(struct role_ctx *c, struct buf *why);
void
gate_service_stop(struct role_ctx *c);
/* Who runs it: the user_gate setting. */
struct str
gate_service_user(const struct settings *s);

#endif
