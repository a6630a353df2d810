#ifndef POSTROOM_BASE_DIGEST_H
#define POSTROOM_BASE_DIGEST_H

#include "core/base/str.h"

enum { DIGEST_SHA256_BYTES = 32 };

/* HMAC-SHA-256 of data under key. RFC 2104, RFC 6234. */
void
hmac_sha256(struct str key, struct str data, unsigned char out[DIGEST_SHA256_BYTES]);

#endif
