#ifndef POSTROOM_EVENT_CONNECT_H
#define POSTROOM_EVENT_CONNECT_H

#include "core/base/str.h"
#include "core/event/loop.h"

/* Connects without ever blocking the loop: "unix:/path", "seqpacket:/path",
 * "127.0.0.1:25", "[::1]:25",
 * "host:389" (names go through getaddrinfo on a helper thread; every address is tried
 * in turn, each for its share of the time). */
struct connecting;

/* fd: owned by the callee, or -1 with e (ERR_TEMP, ERR_NOTFOUND: no such name) and text. */
typedef void (*connect_fn)(void *arg, int fd, enum err e, const char *text);

/* fn is called once, from the loop; never inside this call. */
struct connecting *
connect_start(struct loop *l, struct str address, int64_t timeout_ms, connect_fn fn, void *arg);
/* The same from an address of ours, "192.0.2.9" or "2001:db8::9", for peers of its kind. Empty:
 * any. */
struct connecting *
connect_start_from(struct loop *l, struct str address, struct str source, int64_t timeout_ms,
	connect_fn fn, void *arg);
/* fn will not be called. */
void
connect_cancel(struct connecting *c);
/* For connections that idle long: a peer that vanished without a word is noticed within about
 * 45 s, and lost_ms after something was sent that it did not take. Nothing on unix sockets. */
void
connect_watch_peer(int fd, int64_t lost_ms);

#endif
