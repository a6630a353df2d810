#ifndef POSTROOM_AUTH_SERVICE_H
#define POSTROOM_AUTH_SERVICE_H

#include "auth-ldap/front/front.h"
#include "auth-ldap/server/fake_keys.h"
#include "auth-ldap/server/proto.h"
#include "auth-ldap/server/token.h"
#include "core/base/hmap.h"
#include "core/event/listener.h"
#include "core/event/stream.h"

enum { AUTH_VERIFY_MS = 60000 };

/* What the servers of this process share. */
struct service {
	struct loop *loop;
	const struct settings *settings;
	struct front *front;
	struct tokens *tokens;
	struct pool *threads; /* for SASL steps that may wait for files (GSSAPI) */
	struct fake_keys fake_keys;
	char machine[256];    /* its name, where hostname is not set */
	uid_t userdb_uids[8]; /* who may use auth-userdb, beside root */
	size_t userdb_uids_count;
	uid_t own_uids[8]; /* our roles, beside root: a part of clients_max is theirs alone */
	size_t own_uids_count;
	struct hmap auth_conns; /* by cookie */
	struct list conns;	/* of all servers */
	size_t conns_count;
	bool ending; /* connections are closed at once */
	uint32_t last_cuid;
	size_t requests;   /* logins in progress */
	int64_t verify_ms; /* how long REQUEST may ask about a login: AUTH_VERIFY_MS */
};

struct conn;

/* What a server does with the bytes of its connections. */
struct conn_kind {
	const char *socket; /* "auth", for the log */
	const char *broken; /* "not the auth protocol" */
	size_t in_max_bytes;
	/* One line or request from the front of in. ERR_OK: used_out bytes are done with;
	 * ERR_AGAIN: it is not whole, or not now (stream_read_again wakes it); anything else: the
	 * peer broke the protocol, the connection ends. Does not end it itself. */
	enum err (*take)(struct conn *c, struct buf *in, size_t *used_out);
	/* Does somebody still wait for an answer? Such a connection is not idle. */
	bool (*busy)(struct conn *c);
	void (*end)(struct conn *c); /* frees it */
};

/* Common to the connections of all servers; the first member of theirs. */
struct conn {
	struct list link;
	struct service *service;
	struct stream *stream;
	const struct conn_kind *kind;
	bool own; /* one of our roles, or root */
	uid_t uid;
	pid_t pid; /* 0: by TCP */
	char address[64];
	bool heard;
	int64_t heard_ms;
	struct loop_timer idle;
};
/* Adds c to the service, takes fd. False, and fd is closed: not from there, or too many. */
bool
conn_open(struct conn *c, struct service *s, int fd, const struct peer *peer,
	const struct conn_kind *kind);
/* Takes c out and closes the stream, what is queued first. */
void
conn_close(struct conn *c);

/* listener_fn's: arg is the struct service. They take fd. */
void
auth_server_accept(void *arg, int fd, const struct peer *peer);
/* Other settings: our own roles hear of mechanisms that were not there when they connected. */
void
auth_server_reload(struct service *s);
void
userdb_server_accept(void *arg, int fd, const struct peer *peer);
void
socketmap_server_accept(void *arg, int fd, const struct peer *peer);
/* For root alone. */
void
admin_server_accept(void *arg, int fd, const struct peer *peer);

/* Whose login was that? Added to the buffers; check: for front_check. ERR_OK once, within
 * verify_ms of the login; ERR_NOTFOUND otherwise. */
struct verified {
	struct buf user, home, quota, check;
};
MUST_USE enum err
auth_server_verify(struct service *s, struct str cookie, uint32_t client_pid, uint32_t request_id,
	struct verified *out);

#endif
