#ifndef POSTROOM_SMTP_PROXY_H
#define POSTROOM_SMTP_PROXY_H

#include "core/event/listener.h"

/* The PROXY protocol, version 1 and 2: what a load balancer says in front of a connection about the
 * client behind it. (haproxy.org, proxy-protocol.txt.) */

struct proxy_header {
	bool own; /* UNKNOWN, LOCAL, or no address of the internet: the balancer itself speaks */
	char addr[64];
	uint16_t port;
	char local_addr[64];
	uint16_t local_port;
};
enum { PROXY_HEADER_MAX = 1024 };

/* The header that in begins with; used_out: its octets. ERR_AGAIN: more has to come first;
 * ERR_SYNTAX: there is none. */
MUST_USE enum err
proxy_parse(struct str in, struct proxy_header *out, size_t *used_out);

/* An address as inet_ntop writes it, one of IPv4 inside IPv6 (::ffff:192.0.2.1) without that; a
 * number up to 65535. False: it is none. */
bool
proxy_address(int family, struct str s, char out[64]);
bool
proxy_port(struct str s, uint16_t *out);

/* Waits for the header on a new connection, takes it off, and nothing behind it. */
struct proxy_wait;

/* Once, from the loop. fd is the receiver's, or -1: closed, why says the reason; peer as the header
 * has it. */
typedef void (*proxy_fn)(void *arg, int fd, const struct peer *peer, const char *why);

/* Takes fd. The header must come within timeout_ms. */
struct proxy_wait *
proxy_wait_new(struct loop *l, int fd, const struct peer *peer, int64_t timeout_ms, proxy_fn fn,
	void *arg);
/* Closes the connection; fn is not called. */
void
proxy_wait_cancel(struct proxy_wait *w);

#endif
