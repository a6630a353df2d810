#ifndef POSTROOM_AUTH_PENALTY_H
#define POSTROOM_AUTH_PENALTY_H

#include "core/base/buf.h"
#include "core/base/cidr.h"

/* Failures of logins, counted by address, by user and by user from one address, over all services.
 * Pure: the caller says what time it is, and what a failure is.
 *
 * - Counts leak: the limit's number of failures is forgotten in window_ms.
 * - An address (IPv4; an IPv6 /64) that reaches its limit is blocked, first for block_ms, then for
 *   twice as long each time. Users who logged in from there lately raise its limit, and they still
 *   may while it is blocked.
 * - A user who is tried in vain `user` times from one address is blocked for that address only:
 *   strangers cannot lock anybody out. Failures from everywhere only make refusals slower.
 * - A login that succeeds takes back what that user failed from that address.
 * - Trusted addresses and an empty address are neither counted nor blocked.
 * Memory is bounded; the longest unused is forgotten first. */
struct penalty;

struct penalty_limits {
	int64_t address, user; /* 0: never */
	int64_t window_ms, block_ms, block_max_ms;
	int64_t delay_ms, delay_max_ms;
	const struct cidr *trusted; /* copied */
	size_t trusted_count;
};

struct penalty *
penalty_new(const struct penalty_limits *l);
void
penalty_free(struct penalty *p);
/* Counts and blocks go on. */
void
penalty_set_limits(struct penalty *p, const struct penalty_limits *l);

/* name: lower case, may be empty; address: "192.0.2.7", "2001:db8::7" or empty. */
bool
penalty_blocked(struct penalty *p, struct str address, struct str name, int64_t now_ms);

struct penalty_event {
	bool counted;		  /* by address */
	int64_t address_block_ms; /* > 0: from now on it is blocked */
	int64_t user_block_ms;	  /* the same for this user from this address */
	int64_t failures;	  /* of the address */
};
void
penalty_failed(struct penalty *p, struct str address, struct str name, int64_t now_ms,
	struct penalty_event *out);
void
penalty_succeeded(struct penalty *p, struct str address, struct str name, int64_t now_ms);
/* How long a refusal waits: delay_ms after the first failure, twice that after the next …; the
 * longest while it is blocked. */
int64_t
penalty_delay_ms(struct penalty *p, struct str address, struct str name, int64_t now_ms);

/* An address (also as penalty_status shows it), a user, or all (empty). Returns how many counts
 * were forgotten. */
size_t
penalty_forget(struct penalty *p, struct str key);
/* "penalties addresses=3 …\n", and "blocked address=192.0.2.0 seconds=55\n" for each block, at most
 * 1000. */
void
penalty_status(const struct penalty *p, int64_t now_ms, struct buf *out);

#endif
