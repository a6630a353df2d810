#ifndef POSTROOM_RESOLVER_SERVICE_H
#define POSTROOM_RESOLVER_SERVICE_H

#include "core/dns/dns.h"
#include "core/event/loop.h"

/* The role's side of the channel (resolver.h): equal questions under way are asked once, and
 * answers are remembered by libunbound, for their TTL, in memory that it bounds (8 MiB). */
struct resolver_service;

struct resolver_limits {
	size_t questions; /* different ones under way; more are answered RESOLVER_TEMP at once */
	size_t waiting;	  /* who waits for them, on all channels */
	int64_t timeout_ms;
};

/* dns: kept. */
struct resolver_service *
resolver_service_new(struct loop *l, struct dns *dns, const struct resolver_limits *limits);
/* Ends all channels. NULL is allowed. */
void
resolver_service_free(struct resolver_service *s);
/* Takes fd, a client's end. */
void
resolver_service_add(struct resolver_service *s, int fd);
/* Questions under way. */
size_t
resolver_service_questions(const struct resolver_service *s);

#endif
