#ifndef POSTROOM_GATE_HANDOVER_H
#define POSTROOM_GATE_HANDOVER_H

#include <sys/types.h>

#include "core/authclient/auth.h"
#include "core/authclient/userdb.h"
#include "core/base/buf.h"

/* The hand-over of a client that logged in: gate -> imap over core/event/ipc.h on the seqpacket
 * sockets gate/imap.N. The offer carries one fd: the client's socket (plain), or one end of a
 * socketpair that the gate relays to the TLS session. imap does not believe the gate: it
 * asks auth-userdb about the ticket, and only the answer says who the user is.
 * Until the acknowledgement the client is the gate's, afterwards imap's: the tagged reply to the
 * login is the first thing that imap writes. */
enum {
	HANDOVER_OFFER = 1, /* gate -> imap */
	HANDOVER_ACK = 2,   /* imap -> gate: u64 offer number */
	HANDOVER_NAK = 3,   /* imap -> gate: u64 offer number, u64 enum handover_nak */
};

enum handover_nak {
	HANDOVER_BUSY,	 /* full or stopping, nothing was asked: try the next worker */
	HANDOVER_DENIED, /* auth-userdb does not confirm this login */
	HANDOVER_FAILED, /* auth-userdb is away, or the offer came too late */
};

enum {
	HANDOVER_INPUT_MAX = 80 * 1024,
	HANDOVER_OFFER_MS = 8000, /* an offer older than this is not taken any more */
	HANDOVER_WAIT_MS = 10000, /* the gate gives up after this */
};

struct handover_login {
	uint64_t number;     /* of the offer, unique on its channel */
	int64_t deadline_ms; /* clock_ms(), the same for all processes of a machine */
	struct str sid;	     /* session id, for the log */
	struct str tag;	     /* of the login command: of the tagged OK */
	struct auth_ticket ticket;
	bool tls;
	struct str tls_description; /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or empty */
	struct str remote_addr, local_addr;
	uint16_t remote_port, local_port;
	struct str input; /* what the client sent behind the login command */
	/* Only from the server, after auth-userdb confirmed: */
	struct str user;   /* canonical name */
	struct str home;   /* absolute path */
	struct str fields; /* all that auth-userdb said: auth_field */
};

/* ERR_LIMIT: the input is over HANDOVER_INPUT_MAX. user and home are not carried. */
MUST_USE enum err
handover_encode(const struct handover_login *login, struct buf *out);
/* Everything in *out borrows payload. ERR_SYNTAX: cut, trailing bytes, a field over its
 * limit, or bytes that do not belong into it. */
MUST_USE enum err
handover_decode(struct str payload, struct handover_login *out);

/* imap's side. Channels of other uids than gate_uid are closed at once. */
struct handover_server;

struct handover_server_ops {
	/* False while full or stopping: the gate tries another worker. */
	bool (*ready)(void *arg);
	/* A confirmed login; everything in login is borrowed. Takes fd (non-blocking,
	 * close-on-exec). The acknowledgement is sent right after this returned; write to fd
	 * (through a stream, whose output leaves from the loop) the tagged OK, or NO and BYE. */
	void (*accept)(void *arg, const struct handover_login *login, int fd);
};

/* Takes the listening fd that master gave ("handover"). Borrows userdb; ops are kept (static).
 * gate_uid: the user_gate setting's, or this process's own when not started as root. */
struct handover_server *
handover_server_new(struct loop *l, int fd, uid_t gate_uid, struct userdb *userdb,
	const struct handover_server_ops *ops, void *arg);
/* Logins not yet confirmed are refused (the gate answers UNAVAILABLE). */
void
handover_server_free(struct handover_server *s);

/* The gate's side: one channel to each imap worker, made again with back-off. */
struct handover_client;
struct handover_offer;

/* ERR_OK: acknowledged; whatever the client says and hears now is imap's. ERR_DENIED:
 * auth-userdb did not confirm; ERR_TEMP: no worker took it in HANDOVER_WAIT_MS. In both cases
 * nobody else holds the client. */
typedef void (*handover_fn)(void *arg, enum err e);

/* path: "/imap." of the sockets, the worker's number follows. */
struct handover_client *
handover_client_new(struct loop *l, const char *path, unsigned workers);
/* Offers are dropped without a call. */
void
handover_client_free(struct handover_client *c);
/* fd is taken (closed here when the offer ended). user chooses the worker. Borrows login;
 * number and deadline are filled in here. NULL: login is over a limit, fd closed. */
struct handover_offer *
handover_offer_start(struct handover_client *c, const struct handover_login *login, struct str user,
	int fd, handover_fn fn, void *arg);
/* The client left before the acknowledgement. */
void
handover_offer_cancel(struct handover_offer *o);

#endif
