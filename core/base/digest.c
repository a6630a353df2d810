/* Digests, HMAC and PBKDF2: OpenSSL's libcrypto behind a few calls, for stored passwords, made-up
 * salts, and the cache of the auth service, which keeps no password. */
#include "core/base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "core/base/log.h"

static const EVP_MD *
algorithm(enum digest d)
{
	switch (d) {
	case DIGEST_MD5:
		return EVP_md5();
	case DIGEST_SHA1:
		return EVP_sha1();
	case DIGEST_SHA256:
		return EVP_sha256();
	case DIGEST_SHA512:
		return EVP_sha512();
	}
	return NULL;
}

enum err
digest_bytes(enum digest d, struct str a, struct str b, unsigned char *out)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c != NULL && EVP_DigestInit_ex(c, algorithm(d), NULL) == 1 &&
		  EVP_DigestUpdate(c, a.p, a.n) == 1 && EVP_DigestUpdate(c, b.p, b.n) == 1 &&
		  EVP_DigestFinal_ex(c, out, NULL) == 1;

	EVP_MD_CTX_free(c);
	return ok ? ERR_OK : ERR_TEMP;
}

enum err
digest_hmac(enum digest d, struct str key, struct str text, unsigned char *out)
{
	unsigned n = DIGEST_BYTES_MAX;

	if (HMAC(algorithm(d), key.p, (int)key.n, (const unsigned char *)text.p, text.n, out, &n) ==
		NULL)
		return ERR_TEMP;
	return ERR_OK;
}

enum err
digest_pbkdf2(enum digest d, struct str password, struct str salt, uint32_t rounds, size_t n,
	unsigned char *out)
{
	if (PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p,
		    (int)salt.n, (int)rounds, algorithm(d), (int)n, out) != 1)
		return ERR_TEMP;
	return ERR_OK;
}

void
hmac_sha256(struct str key, struct str data, unsigned char out[DIGEST_SHA256_BYTES])
{
	if (digest_hmac(DIGEST_SHA256, key, data, out) == ERR_OK)
		return;
	log_event(LVL_ERROR, "digest", log_z("reason", "libcrypto has no HMAC-SHA-256"));
	abort();
}
