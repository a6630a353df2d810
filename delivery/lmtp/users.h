#ifndef POSTROOM_LMTP_USERS_H
#define POSTROOM_LMTP_USERS_H

#include "core/base/str.h"
#include "core/store/quota.h"

/* What auth-userdb said lately: the home behind an address, its quota, and whether that was said
 * of the address without its tag; remembered for a few seconds, so that a burst of mail to the same
 * people asks once. Only found users are remembered; who is unknown, or cannot be asked about, is
 * asked about again. */
struct user_cache;

enum { USER_CACHE_MS = 5000, USER_CACHE_MAX = 10000 };

struct user_known {
	struct str home;
	struct quota_limit quota;
	bool tagged;
};
struct user_cache *
user_cache_new(void);
void
user_cache_free(struct user_cache *c); /* NULL is allowed */
/* Addresses are compared byte by byte. now_ms: monotonic. out's home: borrowed until the next call
 * on c. False: not known, or too old. */
bool
user_cache_get(struct user_cache *c, struct str address, int64_t now_ms, struct user_known *out);
/* Copies all. */
void
user_cache_put(
	struct user_cache *c, struct str address, const struct user_known *u, int64_t now_ms);
void
user_cache_clear(struct user_cache *c);

#endif
