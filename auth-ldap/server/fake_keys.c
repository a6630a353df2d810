/* Keys for users who have none; see fake_keys.h. */
#include "auth-ldap/server/fake_keys.h"

#include "auth-ldap/front/same_name.h"
#include "core/base/rand.h"

void
fake_keys_setup(struct fake_keys *f, const struct settings *s)
{
	scram_seed_make(&f->seed, s->auth.scram_seed);
}

void
fake_keys_make(const struct fake_keys *f, const struct settings *s, struct str name, bool sha256,
	struct fake_keys_room *room, struct sasl_keys *out)
{
	size_t n = sha256 ? 32 : 20;
	struct name one;
	/* Several salts for what would be one user would say that there is none. */
	if (same_name(s, name, &one) == ERR_OK)
		name = one.address;
	scram_salt_make(&f->seed, name, sha256, room->salt);
	rand_bytes(room->secret, sizeof room->secret);
	*out = (struct sasl_keys){ .salt = str_n(room->salt, sizeof room->salt),
		.stored_key = str_n(room->secret, n),
		.server_key = str_n(room->secret + 32, n),
		.iterations = (uint32_t)s->auth.scram_iterations };
}
