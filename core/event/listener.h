#ifndef POSTROOM_EVENT_LISTENER_H
#define POSTROOM_EVENT_LISTENER_H

#include <sys/types.h>

#include "core/base/str.h"
#include "core/event/loop.h"

/* Accepts connections on a bound, listening socket. */
struct listener;

struct peer {
	char addr[64]; /* "192.0.2.1", "2001:db8::1"; "" for a unix socket */
	uint16_t port;
	char local_addr[64];
	uint16_t local_port;
	bool is_unix;
	uid_t uid; /* unix sockets: SO_PEERCRED */
	pid_t pid;
};

typedef void (*listener_fn)(void *arg, int fd, const struct peer *peer);

/* Takes fd. fn takes each accepted fd (non-blocking, close-on-exec, TCP_NODELAY).
 * On EMFILE and its like accepting rests for 100 ms. */
struct listener *
listener_new(struct loop *l, int fd, listener_fn fn, void *arg);
void
listener_free(struct listener *s);
/* A full or draining worker stops taking connections. */
void
listener_set_accepting(struct listener *s, bool on);

/* Bind. "unix:/path", "seqpacket:/path" (for core/event/ipc.h), "127.0.0.1:1143", "[::1]:1143",
 * "*:143". Non-blocking, listening, backlog 1024; mode, uid and gid only for unix sockets (uid
 * (uid_t)-1: as is). A stale unix socket is replaced. ERR_SYNTAX: address; ERR_DENIED, ERR_EXISTS,
 * ERR_TEMP: errno's text in err_out (static storage). */
struct listen_options {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	bool reuse_port;
};
MUST_USE enum err
listen_bind(struct str address, const struct listen_options *o, int *fd_out, const char **err_out);
/* Would listen_bind understand it? ERR_SYNTAX with the text that it has; nothing is bound. */
MUST_USE enum err
listen_check(struct str address, const char **err_out);

#endif
