#ifndef POSTROOM_EVENT_IPC_H
#define POSTROOM_EVENT_IPC_H

#include "core/base/buf.h"
#include "core/event/loop.h"

/* Messages with file descriptors over a SOCK_SEQPACKET unix socket: one packet
 * is one message: u32 type, then the payload. Used between master and roles
 * (control socket), gate and imap (hand-over), queue and smtp (spool slots). */
struct ipc;

enum { IPC_FDS_MAX = 8, IPC_PAYLOAD_MAX = 128 * 1024 };

struct ipc_ops {
	/* fds_count fds, owned by the callee. A packet that was cut, or that carries more
	 * than IPC_FDS_MAX fds, never gets here: the channel ends with ERR_SYNTAX. */
	void (*on_message)(void *arg, struct ipc *c, uint32_t type, struct str payload,
		const int *fds, size_t fds_count);
	void (*on_end)(void *arg, struct ipc *c, enum err why);
};

/* Takes fd. Sends that find the socket full are queued and go in order. */
struct ipc *
ipc_new(struct loop *l, int fd, const struct ipc_ops *ops, void *arg);
void
ipc_free(struct ipc *c);
/* Borrows the payload; takes the fds (closed after the send). ERR_LIMIT: too large, or over
 * 4,096 messages queued (fds closed); ERR_EOF: the peer is gone (on_end comes, or came). */
MUST_USE enum err
ipc_send(struct ipc *c, uint32_t type, struct str payload, const int *fds, size_t fds_count);
/* Peer's uid and pid by SO_PEERCRED. */
MUST_USE enum err
ipc_peer(const struct ipc *c, unsigned *uid_out, int *pid_out);
/* Messages waiting to be sent. */
size_t
ipc_queued(const struct ipc *c);

/* Without a loop: for a role's start, before its loop runs. Blocking. ERR_EOF, ERR_SYNTAX,
 * ERR_TEMP. fds_count: in the room, out the number received. */
MUST_USE enum err
ipc_recv_blocking(int fd, uint32_t *type_out, struct buf *payload_out, int *fds, size_t *fds_count);
MUST_USE enum err
ipc_send_blocking(int fd, uint32_t type, struct str payload, const int *fds, size_t fds_count);
/* A socket connected to the one at path, close-on-exec, non-blocking. Never waits: a full backlog
 * is a failure like others. ERR_TEMP, with errno; ERR_LIMIT: the path is too long. */
MUST_USE enum err
ipc_connect(const char *path, int *fd_out);
/* A pair of connected SEQPACKET sockets, close-on-exec, non-blocking. */
MUST_USE enum err
ipc_pair(int fds_out[2]);

/* Payload encoding: a sequence of netstring-like fields, u32 length and bytes. */
void
ipc_put_str(struct buf *b, struct str s);
void
ipc_put_u64(struct buf *b, uint64_t v);
/* Consume from the front of *in. ERR_SYNTAX. */
MUST_USE enum err
ipc_get_str(struct str *in, struct str *out);
MUST_USE enum err
ipc_get_u64(struct str *in, uint64_t *out);
/* At most max, else ERR_SYNTAX. */
MUST_USE enum err
ipc_get_number(struct str *in, uint64_t max, uint64_t *out);

#endif
