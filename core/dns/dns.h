#ifndef POSTROOM_DNS_H
#define POSTROOM_DNS_H

#include "core/base/str.h"
#include "core/event/loop.h"

/* DNS lookups that never block the loop: libunbound, which answers from a thread of its own, with
 * its cache. Of a process, all who ask with the same options share one. */
struct dns;
struct dns_query;

struct dns_options {
	const struct str *servers; /* "192.0.2.1", "192.0.2.1@5353"; none: /etc/resolv.conf */
	size_t servers_count;
	struct str trust_anchor; /* DS or DNSKEY records, one a line; empty: no DNSSEC */
};
/* Copies o. ERR_SYNTAX with text in err_out (static): an address or trust anchor that is none. */
MUST_USE enum err
dns_open(struct loop *l, const struct dns_options *o, struct dns **out, const char **err_out);
/* Its user's queries must be over or cancelled. NULL is allowed. */
void
dns_close(struct dns *d);

/* The numbers of RFC 1035, RFC 2782 and RFC 6698. */
enum dns_type {
	DNS_A = 1,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_TLSA = 52,
};

struct dns_record {
	uint16_t priority, weight, port;   /* SRV; MX: priority is the preference */
	char name[256];			   /* SRV, MX, PTR: the target without the last dot, lower
					      case, empty for "." (no such service: RFC 2782, RFC
					      7505); A, AAAA: the address, "192.0.2.7",
					      "2001:db8::7"; TXT: the strings as one, printable ASCII
					      ('?' for what is not), 255 of it at most */
	uint8_t usage, selector, matching; /* TLSA, RFC 6698 2.1 */
	struct str data;		   /* TLSA: the association, not empty; borrowed */
};

struct dns_answer {
	enum err err;	  /* ERR_OK; ERR_NOTFOUND: no such name, or it has no such records;
			     ERR_TEMP: nobody knows, or DNSSEC says that it was forged */
	const char *text; /* why, for the log */
	uint32_t ttl_sec;
	bool secure;	   /* DNSSEC vouches for it */
	bool no_such_name; /* ERR_NOTFOUND, and there are no records of other types either */
	size_t bad;	   /* records that could not be read and are left out */
	const char *name;  /* where CNAMEs led; "" when there were none */
	const struct dns_record *records; /* 64 at most; of more MX or SRV those of low priority */
	size_t count;
};
/* a dies when fn returns. */
typedef void (*dns_fn)(void *arg, const struct dns_answer *a);

/* fn is called once, from the loop, never inside this call; after timeout_ms with ERR_TEMP. */
struct dns_query *
dns_ask(struct dns *d, struct str name, enum dns_type type, int64_t timeout_ms, dns_fn fn,
	void *arg);
/* fn will not be called. NULL is allowed. */
void
dns_cancel(struct dns_query *q);

/* One record's data, names not compressed (RFC 1035 3.3, RFC 2782, RFC 3596). ERR_SYNTAX: cut,
 * too long, or a target that is no host name; "." is the empty name. Public for tests. */
MUST_USE enum err
dns_parse_record(enum dns_type type, struct str data, struct dns_record *out);

#endif
