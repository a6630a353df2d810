#ifndef POSTROOM_AUTH_CACHE_H
#define POSTROOM_AUTH_CACHE_H

#include "auth-ldap/backend/reason.h"
#include "auth-ldap/backend/user.h"
#include "core/base/buf.h"
#include "core/base/digest.h"

/* Answers remembered by their question, in bounded memory: the longest unused goes first. Pure:
 * what time it is, and how old an answer may be, is the caller's. */
struct cache;

/* Of one answer. All borrowed: into cache_put it is copied (user is counted), out of cache_get it
 * dies with the next call that changes the cache. */
struct cached {
	enum err err;
	enum auth_reason reason;
	struct auth_user *user;
	struct str value, owner;
	const unsigned char *proof; /* DIGEST_SHA256_BYTES, see cache_proof; or NULL */
	int64_t stored_ms;	    /* out only */
};

struct cache *
cache_new(size_t max_bytes);
void
cache_free(struct cache *c);
/* Another maximum; what is too much goes. */
void
cache_resize(struct cache *c, size_t max_bytes);

bool
cache_get(struct cache *c, struct str key, struct cached *out);
/* Replaces what was there. An answer larger than an eighth of the cache is not kept. */
void
cache_put(struct cache *c, struct str key, const struct cached *a, int64_t now_ms);
/* Forgets answers from before `before_ms` at the long unused end, a few at a time. */
void
cache_expire(struct cache *c, int64_t before_ms);
bool
cache_drop(struct cache *c, struct str key);
/* Everything of a user: answers with this canonical name (user), and those whose question names
 * it. Empty: all. Returns how many. */
size_t
cache_forget(struct cache *c, struct str user);
/* The same; name may also be another name of the user: all of his go. */
size_t
cache_forget_all_of(struct cache *c, struct str name);

struct cache_figures {
	size_t entries, bytes, max_bytes;
	uint64_t hits, misses, dropped;
};
void
cache_figures(const struct cache *c, struct cache_figures *out);

/* A key: parts, each with its length before it, so that no two different lists of parts make the
 * same key, whatever bytes are in them. */
enum { CACHE_KEY_MAX = 4096 };
void
cache_key_begin(struct buf *key, char kind);
void
cache_key_add(struct buf *key, struct str part);
/* The part at `at` (0: the first that was added); empty when there is none. */
struct str
cache_key_part(struct str key, size_t at);

/* What is kept in place of a password: HMAC-SHA-256 under a random key of this process, over the
 * question's key and the password. */
void
cache_proof(struct str key, struct str password, unsigned char out[DIGEST_SHA256_BYTES]);

#endif
