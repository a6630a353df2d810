#ifndef POSTROOM_STORE_QUOTA_H
#define POSTROOM_STORE_QUOTA_H

#include "core/store/store.h"

/* What a home holds, and how much it may. Every entry counts: a message that was copied counts
 * once in each mailbox, as clients add it up, whatever the disk needs. The use is kept in the
 * index, changed in the transaction that changes entries; `store check` counts it again.
 * RFC 9208 5.1, 5.2. */
struct quota_use {
	uint64_t messages, bytes;
};
/* 0: no limit. */
struct quota_limit {
	uint64_t messages, bytes;
};

/* From now on no update of this process that lets the home grow goes beyond the limit: it fails as
 * a whole with ERR_QUOTA. What makes it smaller, or moves within it, always may. The limit is
 * the handle's: who serves the user sets it, as the directory says, before the first change. */
void
home_set_quota(struct home *h, struct quota_limit limit);
struct quota_limit
home_quota(const struct home *h);

/* ERR_CORRUPT. */
MUST_USE enum err
quota_use_get(struct txn *t, struct quota_use *out);
/* Would so much more go beyond the limit? Never when nothing is added. */
bool
quota_exceeded(struct quota_limit limit, struct quota_use use, struct quota_use more);

/* A limit as directories write it: "2147483648" or "2G" are bytes (suffixes B, K, M, G, T; powers
 * of 1024), "2G:messages=1000" both; "2097152S,1000C" is Maildir++'s way, and
 * "*:storage=2048:messages=10" Dovecot's (storage in KiB). Empty, 0: none. ERR_SYNTAX, ERR_LIMIT.
 */
MUST_USE enum err
quota_parse(struct str text, struct quota_limit *out);

#endif
