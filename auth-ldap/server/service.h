#ifndef POSTROOM_AUTH_SERVICE_H
#define POSTROOM_AUTH_SERVICE_H

#include "auth-ldap/directory/directory.h"
#include "auth-ldap/server/proto.h"
#include "core/base/hmap.h"
#include "core/event/listener.h"
#include "core/event/stream.h"

enum { AUTH_VERIFY_MS = 60000 };

/* What the three servers of this process share. */
struct service {
	struct loop *loop;
	const struct settings *settings;
	struct dirs *dirs;
	uid_t userdb_uids[8]; /* who may use auth-userdb, beside root */
	size_t userdb_uids_count;
	struct hmap auth_conns; /* by cookie */
	struct list conns;	/* of all three servers */
	size_t conns_count;
	uint32_t last_cuid;
	size_t requests;   /* logins in progress */
	int64_t verify_ms; /* how long REQUEST may ask about a login: AUTH_VERIFY_MS */
};

/* Common to the connections of the three servers. */
struct conn {
	struct list link;
	struct service *service;
	struct stream *stream;
	void (*end)(struct conn *c); /* frees it */
};
/* Adds c to the service; false when there are too many (nothing was done). */
bool
conn_open(struct conn *c, struct service *s, int fd, const struct stream_ops *ops,
	size_t in_max_bytes, void (*end)(struct conn *));
/* Takes c out and closes the stream, what is queued first. */
void
conn_close(struct conn *c);

/* listener_fn's: arg is the struct service. They take fd. */
void
auth_server_accept(void *arg, int fd, const struct peer *peer);
void
userdb_server_accept(void *arg, int fd, const struct peer *peer);
void
socketmap_server_accept(void *arg, int fd, const struct peer *peer);

/* Whose login was that? Added to the two buffers. ERR_OK once, within verify_ms of the login;
 * ERR_NOTFOUND otherwise. */
MUST_USE enum err
auth_server_verify(struct service *s, struct str cookie, uint32_t client_pid, uint32_t request_id,
	struct buf *user_out, struct buf *home_out);

#endif
