#ifndef POSTROOM_EVENT_IPC_CLIENT_H
#define POSTROOM_EVENT_IPC_CLIENT_H

#include "core/event/ipc.h"

/* The way of a role to a socket of another: connected when there is something to say, and after a
 * failure not before a wait, which doubles from 50 ms to 5 s until the other end has spoken. */
struct ipc_client {
	struct loop *loop;
	char *path;
	struct ipc *ipc; /* NULL: not connected */
	int64_t wait_ms, not_before_ms;
};

/* Copies path. */
void
ipc_client_init(struct ipc_client *c, struct loop *l, const char *path);
void
ipc_client_fini(struct ipc_client *c);
/* Connects where there is no channel. ERR_TEMP: nobody is there, or nobody was a moment ago. */
MUST_USE enum err
ipc_client_open(struct ipc_client *c, const struct ipc_ops *ops, void *arg);
/* The channel is over, or of no more use: frees it. */
void
ipc_client_lost(struct ipc_client *c);
/* The other end said something sensible: the next wait is short again. */
void
ipc_client_works(struct ipc_client *c);

#endif
