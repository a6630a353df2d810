/* Keyed digests: OpenSSL's libcrypto behind one call. For the cache of the auth service, which
 * keeps no password. */
#include "core/base/digest.h"

#include <openssl/hmac.h>
#include <stdlib.h>

#include "core/base/log.h"

void
hmac_sha256(struct str key, struct str data, unsigned char out[DIGEST_SHA256_BYTES])
{
	unsigned int n = 0;
	const unsigned char *done = HMAC(
		EVP_sha256(), key.p, (int)key.n, (const unsigned char *)data.p, data.n, out, &n);
	if (done == NULL || n != DIGEST_SHA256_BYTES) {
		log_event(LVL_ERROR, "digest", log_z("reason", "libcrypto has no HMAC-SHA-256"));
		abort();
	}
}
