#ifndef POSTROOM_RESOLVER_RESOLVER_H
#define POSTROOM_RESOLVER_RESOLVER_H

#include "core/base/buf.h"
#include "core/dns/dns.h"
#include "core/event/loop.h"

/* Questions to the DNS of those whose cage has no network: smtp. They go over the seqpacket socket
 * `resolver` in the runtime folder, served by postroom-resolver, only for smtp's user. Fields of
 * core/event/ipc.h in the order of the structs below.
 *
 *   smtp ── ASK (id, type, name) ──▶ resolver
 *   smtp ◀─ ANSWER (once for each) ─ resolver
 *
 * What a DNS server says is believed no further than this: names are of letters, digits, '-', '_'
 * and dots, 253 octets at most, labels 63; a record that is not so is left out, and so is what
 * comes behind RESOLVER_RECORDS_MAX. A loop of CNAMEs is RESOLVER_TEMP, as every server that fails.
 */
enum resolver_msg { RESOLVER_MSG_ASK = 1, RESOLVER_MSG_ANSWER };

enum { RESOLVER_RECORDS_MAX = 32, RESOLVER_NAME_MAX = 253, RESOLVER_TEXT_MAX = 255 };

/* type: DNS_A, DNS_AAAA, DNS_MX, DNS_PTR or DNS_TXT. */
struct resolver_question {
	uint64_t id; /* unique on the channel */
	enum dns_type type;
	struct str name; /* in ASCII, without the last dot */
};

enum resolver_state {
	RESOLVER_FOUND,	  /* records follow */
	RESOLVER_NONE,	  /* the name exists, or may; it has no records of that type */
	RESOLVER_NO_NAME, /* no such name (NXDOMAIN) */
	RESOLVER_TEMP, /* nobody knows: no answer in time, a failing server, DNSSEC says forged */
};

struct resolver_record {
	uint16_t preference; /* MX; else 0 */
	struct str text; /* A, AAAA: "192.0.2.7", "2001:db8::7"; MX, PTR: a name in lower case, MX:
			    empty for "." (RFC 7505); TXT: printable ASCII */
};

struct resolver_answer {
	uint64_t id;
	enum dns_type type;
	enum resolver_state state;
	bool secure; /* DNSSEC vouches for it */
	uint32_t ttl_sec;
	size_t count; /* 0 unless RESOLVER_FOUND */
	struct resolver_record records[RESOLVER_RECORDS_MAX];
};

/* Encoders append; ERR_LIMIT: not as said above, or out is full. Decoders borrow in, which must be
 * the whole payload; ERR_SYNTAX. */
MUST_USE enum err
resolver_question_encode(const struct resolver_question *q, struct buf *out);
MUST_USE enum err
resolver_question_decode(struct str in, struct resolver_question *out);
MUST_USE enum err
resolver_answer_encode(const struct resolver_answer *a, struct buf *out);
MUST_USE enum err
resolver_answer_decode(struct str in, struct resolver_answer *out);

/* The name below zone that stands for an address: "7.2.0.192.in-addr.arpa" (zone empty: that of
 * PTR records), "7.2.0.192.zen.example.org"; IPv6 by nibbles (RFC 3596 2.5, RFC 5782 2.4).
 * Appended. ERR_SYNTAX: not an address; ERR_LIMIT: too long. */
MUST_USE enum err
resolver_address_name(struct str address, struct str zone, struct buf *out);

/* smtp's half. It connects when the first question comes, again after a loss (with back-off). */
struct resolver_client;
struct resolver_query;

/* path: of the socket; copied. */
struct resolver_client *
resolver_client_new(struct loop *l, const char *path);
/* Queries must be over or cancelled. NULL is allowed. */
void
resolver_client_free(struct resolver_client *c);

/* a dies when fn returns. */
typedef void (*resolver_fn)(void *arg, const struct resolver_answer *a);
/* fn is called once, from the loop, never inside this call; after timeout_ms at the latest, and
 * when resolver cannot be reached, with RESOLVER_TEMP. A name that cannot be one is
 * RESOLVER_NO_NAME. */
struct resolver_query *
resolver_ask(struct resolver_client *c, struct str name, enum dns_type type, int64_t timeout_ms,
	resolver_fn fn, void *arg);
/* fn will not be called. NULL is allowed. */
void
resolver_cancel(struct resolver_query *q);

#endif
