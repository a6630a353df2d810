#ifndef POSTROOM_AUTH_SALT_H
#define POSTROOM_AUTH_SALT_H

#include "core/base/digest.h"

/* SCRAM shows a user's salt to whoever names the user. Where none is stored it is made up: of the
 * name and a secret, so that it is always the same and nobody can tell. */
struct scram_seed {
	unsigned char bytes[DIGEST_SHA256_BYTES];
};
enum { SCRAM_SALT_BYTES = 16 };

/* Out of secret, else of /etc/machine-id (so before the cage), else random. */
void
scram_seed_make(struct scram_seed *out, struct str secret);
/* name: in any case. sha256: else SHA-1. */
void
scram_salt_make(const struct scram_seed *s, struct str name, bool sha256,
	unsigned char out[SCRAM_SALT_BYTES]);

#endif
