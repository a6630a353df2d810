#ifndef POSTROOM_SMTP_DNSLIST_H
#define POSTROOM_SMTP_DNSLIST_H

#include "config/dnsbl.h"
#include "core/base/buf.h"
#include "delivery/resolver/resolver.h"

/* DNS block lists and allow lists (RFC 5782): one client's address is looked up in all of them at
 * once, and the weights of those that have it make its score. */
enum { DNSLIST_MAX = 32, DNSLIST_FILTERS_MAX = 16 };

/* One list, for all sessions of a worker. */
struct dnslist {
	struct str title, zone; /* zone: never empty */
	int weight;		/* negative: an allow list's */
	struct dnsbl_filter filters[DNSLIST_FILTERS_MAX];
	size_t filters_count;
	/* A list that was silent several times in a row is left out for a while. */
	unsigned silent;
	int64_t skip_until_ms;
};

struct dnslists;

/* The questions leave now. lists: kept. fn is called once, from the loop, when all have answered or
 * timeout_ms is over; what has not answered by then counts 0. */
struct dnslists *
dnslists_ask(struct loop *l, struct resolver_client *r, struct dnslist *lists, size_t count,
	struct str address, int64_t timeout_ms, void (*fn)(void *arg), void *arg);
/* fn will not be called. NULL is allowed. */
void
dnslists_free(struct dnslists *d);
bool
dnslists_done(const struct dnslists *d);
int
dnslists_score(const struct dnslists *d);
/* Of the heaviest block list that has the address: its title, and what its TXT record says
 * ("": nothing). Empty when there is none. Die with d. */
struct str
dnslists_worst(const struct dnslists *d, struct str *text_out);
/* "zen.example.org*2 other.example.org" of all that have the address. Appended. */
void
dnslists_names(const struct dnslists *d, struct buf *out);

#endif
