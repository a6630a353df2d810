#ifndef POSTROOM_AUTHCLIENT_SOCKETMAP_H
#define POSTROOM_AUTHCLIENT_SOCKETMAP_H

#include "core/base/str.h"
#include "core/event/loop.h"

/* Client of the directory service: the socketmap protocol, netstrings "map key" and replies
 * "OK value", "NOTFOUND ", "TEMP reason", "TIMEOUT reason", "PERM reason". Up to
 * SOCKETMAP_CONNECTIONS connections, requests pipelined on each; answers come in order on one
 * connection, so a slow one holds up only those behind it.
 *
 * Every lookup ends in exactly one call of its fn, from the loop, or in socketmap_cancel. No
 * connection, no answer within the deadline, an answer that is no socketmap or over the limit:
 * ERR_TEMP. ERR_NOTFOUND is only ever what the service said. */
struct socketmap;
struct socketmap_request;

enum { SOCKETMAP_CONNECTIONS = 4, SOCKETMAP_DEADLINE_MS = 10000 };

/* value: with ERR_OK the value; with ERR_TEMP and ERR_DENIED (PERM) the reason. Borrowed. */
typedef void (*socketmap_fn)(void *arg, enum err e, struct str value);

/* address: "unix:/run/postroom/directory". reply_max_bytes: a longer reply is ERR_TEMP
 * and ends its connection; 4 MiB where 0. */
struct socketmap *
socketmap_new(struct loop *l, struct str address, size_t reply_max_bytes);
/* Pending lookups are dropped without a call. */
void
socketmap_free(struct socketmap *s);

/* map: "domain", "mailbox", "alias", "alias-large", "sender". Copies both. NULL, and no call,
 * when the key is over 4,096 bytes or holds a control character: treat it as not found. */
struct socketmap_request *
socketmap_lookup(struct socketmap *s, struct str map, struct str key, socketmap_fn fn, void *arg);
/* fn will not be called. */
void
socketmap_cancel(struct socketmap_request *r);

#endif
