#ifndef POSTROOM_AUTH_FAKE_KEYS_H
#define POSTROOM_AUTH_FAKE_KEYS_H

#include "config/settings.h"
#include "core/sasl/exchange.h"

/* SCRAM shows a user's salt to whoever names the user. For those who have none it is made up: from
 * the name and a secret, so that it is always the same and nobody can tell. */
struct fake_keys {
	unsigned char seed[32];
};
struct fake_keys_room {
	unsigned char salt[64], secret[64];
};

/* From auth.scram_seed, else /etc/machine-id (read it before the cage), else random. */
void
fake_keys_setup(struct fake_keys *f, const struct settings *s);
/* Keys that no password fits. sha256: else SHA-1. What out points to is in room. */
void
fake_keys_make(const struct fake_keys *f, const struct settings *s, struct str name, bool sha256,
	struct fake_keys_room *room, struct sasl_keys *out);

#endif
