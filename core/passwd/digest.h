#ifndef POSTROOM_PASSWD_DIGEST_H
#define POSTROOM_PASSWD_DIGEST_H

#include "core/base/str.h"

/* Hashes (OpenSSL). ERR_TEMP: the library refuses. */
enum digest { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512 };
enum { DIGEST_BYTES_MAX = 64 };
/* out: DIGEST_BYTES_MAX. */
MUST_USE enum err
digest_bytes(enum digest d, struct str a, struct str b, unsigned char *out);
MUST_USE enum err
digest_hmac(enum digest d, struct str key, struct str text, unsigned char *out);
MUST_USE enum err
digest_pbkdf2(enum digest d, struct str password, struct str salt, uint32_t rounds, size_t n,
	unsigned char *out);

#endif
