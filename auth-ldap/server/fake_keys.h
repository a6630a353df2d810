#ifndef POSTROOM_AUTH_FAKE_KEYS_H
#define POSTROOM_AUTH_FAKE_KEYS_H

#include "auth-ldap/backend/salt.h"
#include "config/settings.h"
#include "core/sasl/exchange.h"

/* Keys of SCRAM for those who have none; their salt is that of salt.h. */
struct fake_keys {
	struct scram_seed seed;
};
struct fake_keys_room {
	unsigned char salt[SCRAM_SALT_BYTES], secret[64];
};

/* From auth.scram_seed, else /etc/machine-id (read it before the cage), else random. */
void
fake_keys_setup(struct fake_keys *f, const struct settings *s);
/* Keys that no password fits. sha256: else SHA-1. What out points to is in room. */
void
fake_keys_make(const struct fake_keys *f, const struct settings *s, struct str name, bool sha256,
	struct fake_keys_room *room, struct sasl_keys *out);

#endif
