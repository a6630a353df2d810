#ifndef POSTROOM_BASE_DIGEST_H
#define POSTROOM_BASE_DIGEST_H

#include "core/base/str.h"

/* Hashes (OpenSSL's libcrypto). ERR_TEMP: the library refuses. */
enum digest { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512 };
enum { DIGEST_BYTES_MAX = 64, DIGEST_SHA256_BYTES = 32 };

/* Of a and b one behind the other. out: DIGEST_BYTES_MAX. */
MUST_USE enum err
digest_bytes(enum digest d, struct str a, struct str b, unsigned char *out);
/* RFC 2104. out: DIGEST_BYTES_MAX. */
MUST_USE enum err
digest_hmac(enum digest d, struct str key, struct str text, unsigned char *out);
/* RFC 8018 5.2. out: n bytes. */
MUST_USE enum err
digest_pbkdf2(enum digest d, struct str password, struct str salt, uint32_t rounds, size_t n,
	unsigned char *out);
/* HMAC-SHA-256 where there is no going on without it: aborts when the library refuses. */
void
hmac_sha256(struct str key, struct str data, unsigned char out[DIGEST_SHA256_BYTES]);
/* The same with a key that is set up once, which costs far more than a short text. One thread at a
 * time. */
struct hmac_sha256;
struct hmac_sha256 *
hmac_sha256_new(struct str key);
void
hmac_sha256_of(struct hmac_sha256 *h, struct str data, unsigned char out[DIGEST_SHA256_BYTES]);
void
hmac_sha256_free(struct hmac_sha256 *h);

#endif
