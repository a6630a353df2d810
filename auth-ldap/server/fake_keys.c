/* Salts for users who have none; see fake_keys.h. The seed never leaves this file but through
 * HMAC-SHA-256, so what a stranger sees of many names says nothing about another's salt. */
#include "auth-ldap/server/fake_keys.h"

#include <fcntl.h>
#include <unistd.h>

#include "auth-ldap/front/same_name.h"
#include "core/base/digest.h"
#include "core/base/rand.h"

enum { SALT_BYTES = 16 };

static size_t
machine_id(char *out, size_t size)
{
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, size) : -1;
	if (fd >= 0)
		close(fd);
	return n > 0 ? (size_t)n : 0;
}

void
fake_keys_setup(struct fake_keys *f, const struct settings *s)
{
	unsigned char out[DIGEST_BYTES_MAX];
	char id[64];
	struct str secret = s->auth.scram_seed;
	if (secret.n == 0)
		secret = str_n(id, machine_id(id, sizeof id));
	/* The machine's id itself is not for strangers: machine-id(5). */
	if (secret.n > 0 &&
		digest_hmac(DIGEST_SHA256, secret, STR("postroom scram salt"), out) == ERR_OK)
		memcpy(f->seed, out, sizeof f->seed);
	else
		rand_bytes(f->seed, sizeof f->seed);
	explicit_bzero(out, sizeof out);
	explicit_bzero(id, sizeof id);
}

void
fake_keys_make(const struct fake_keys *f, const struct settings *s, struct str name, bool sha256,
	struct fake_keys_room *room, struct sasl_keys *out)
{
	size_t n = sha256 ? 32 : 20;
	struct buf same;
	struct name one;
	/* Several salts for what would be one user would say that there is none. */
	if (same_name(s, name, &one) == ERR_OK)
		name = one.address;
	buf_init(&same, SASL_RESPONSE_MAX + 1024);
	/* The hash's name keeps the salts of one user apart. */
	buf_addc(&same, sha256 ? '2' : '1');
	for (size_t i = 0; i < name.n; i++)
		buf_addc(&same, (char)ascii_lower((unsigned char)name.p[i]));
	if (digest_hmac(DIGEST_SHA256, str_n(f->seed, sizeof f->seed), buf_str(&same),
		    room->salt) != ERR_OK)
		rand_bytes(room->salt, sizeof room->salt);
	buf_fini(&same);
	rand_bytes(room->secret, sizeof room->secret);
	*out = (struct sasl_keys){ .salt = str_n(room->salt, SALT_BYTES),
		.stored_key = str_n(room->secret, n),
		.server_key = str_n(room->secret + 32, n),
		.iterations = (uint32_t)s->auth.scram_iterations };
}
