#ifndef POSTROOM_REMOTE_FINDER_H
#define POSTROOM_REMOTE_FINDER_H

#include "core/dns/dns.h"
#include "core/event/tls.h"
#include "delivery/remote/answer.h"
#include "delivery/remote/route.h"

/* The DNS side of a job: the hosts of a domain, then the addresses and TLSA records of one host.
 * RFC 5321 5.1, 7505, 7672 2. One question at a time; finder_free cancels. */
struct finder;

enum { FINDER_ADDRESSES_MAX = 32, FINDER_TLSA_MAX = 32 };

struct finder_options {
	struct dns *dns;
	struct loop *loop;
	int64_t timeout_ms;
	struct str self; /* our own name: the end of loops */
	bool ipv4, ipv6, ipv6_first;
};

struct finder_hosts {
	/* ERR_OK; ERR_DENIED: there is nothing to send to, and never will be; ERR_TEMP. Not ERR_OK:
	 * answer says why. */
	enum err err;
	struct answer answer;
	struct route_host v[ROUTE_HOSTS_MAX]; /* in the order in which to try them */
	size_t n;
	bool secure;   /* DNSSEC vouches for the list */
	bool implicit; /* no MX: the domain itself */
};
struct finder_address {
	char text[48];
	bool ipv6;
};
struct finder_peer {
	/* ERR_OK; ERR_NOTFOUND: no such host, or no address that we may use; ERR_TEMP */
	enum err err;
	struct answer answer;
	struct finder_address v[FINDER_ADDRESSES_MAX];
	size_t n;
	char base[RELAY_NAME_MAX + 1]; /* the name that the TLSA records are of */
	struct tls_tlsa tlsa[FINDER_TLSA_MAX];
	size_t tlsa_count;
	struct buf tlsa_data;
};

/* Copies o, but for self, which is kept. */
struct finder *
finder_new(const struct finder_options *o);
void
finder_free(struct finder *f);
/* fn is called once, later. The results live in f until its next question. */
void
finder_hosts(struct finder *f, struct str domain, void (*fn)(void *arg), void *arg);
/* dane: ask for TLSA records of port too, where DNSSEC vouches for the addresses. */
void
finder_addresses(struct finder *f, struct str host, bool dane, uint16_t port, void (*fn)(void *arg),
	void *arg);
const struct finder_hosts *
finder_hosts_result(const struct finder *f);
const struct finder_peer *
finder_peer_result(const struct finder *f);

#endif
