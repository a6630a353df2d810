/* Digests, HMAC and PBKDF2: OpenSSL's libcrypto behind a few calls, for stored passwords, made-up
 * salts, and the cache of the auth service, which keeps no password. */
#include "core/base/digest.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"

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

struct hmac_sha256 {
	EVP_MAC_CTX *keyed;
};

static _Noreturn void
hmac_missing(void)
{
	log_event(LVL_ERROR, "digest", log_z("reason", "libcrypto has no HMAC-SHA-256"));
	abort();
}

struct hmac_sha256 *
hmac_sha256_new(struct str key)
{
	struct hmac_sha256 *h = xcalloc(1, sizeof *h);
	char name[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	h->keyed = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	if (h->keyed == NULL ||
		EVP_MAC_init(h->keyed, (const unsigned char *)key.p, key.n, params) != 1)
		hmac_missing();
	return h;
}

void
hmac_sha256_of(struct hmac_sha256 *h, struct str data, unsigned char out[DIGEST_SHA256_BYTES])
{
	size_t n = 0;

	/* without a key it begins again with the one it has */
	if (EVP_MAC_init(h->keyed, NULL, 0, NULL) != 1 ||
		EVP_MAC_update(h->keyed, (const unsigned char *)data.p, data.n) != 1 ||
		EVP_MAC_final(h->keyed, out, &n, DIGEST_SHA256_BYTES) != 1 ||
		n != DIGEST_SHA256_BYTES)
		hmac_missing();
}

void
hmac_sha256_free(struct hmac_sha256 *h)
{
	if (h == NULL)
		return;
	EVP_MAC_CTX_free(h->keyed);
	free(h);
}

void
hmac_sha256(struct str key, struct str data, unsigned char out[DIGEST_SHA256_BYTES])
{
	struct hmac_sha256 *h = hmac_sha256_new(key);

	hmac_sha256_of(h, data, out);
	hmac_sha256_free(h);
}
