/* Salts for users who have none; see salt.h. Called by auth for users that may not exist and by its
 * helpers for those with a readable password. The seed never leaves this file but through
 * HMAC-SHA-256, so what a stranger sees of many names says nothing about another's salt. */
#include "auth-ldap/backend/salt.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/rand.h"

enum { NAME_BYTES = 128 * 1024 };

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
scram_seed_make(struct scram_seed *out, struct str secret)
{
	char id[64];
	if (secret.n == 0)
		secret = str_n(id, machine_id(id, sizeof id));
	/* The machine's id itself is not for strangers: machine-id(5). */
	if (secret.n == 0 || digest_hmac(DIGEST_SHA256, secret, STR("postroom scram salt"),
				     out->bytes) != ERR_OK)
		rand_bytes(out->bytes, sizeof out->bytes);
	explicit_bzero(id, sizeof id);
}

void
scram_salt_make(const struct scram_seed *s, struct str name, bool sha256,
	unsigned char out[SCRAM_SALT_BYTES])
{
	unsigned char made[DIGEST_SHA256_BYTES];
	struct buf text;
	buf_init(&text, NAME_BYTES);
	/* The hash's name keeps the salts of one user apart. */
	buf_addc(&text, sha256 ? '2' : '1');
	for (size_t i = 0; i < name.n; i++)
		buf_addc(&text, (char)ascii_lower((unsigned char)name.p[i]));
	if (digest_hmac(DIGEST_SHA256, str_n(s->bytes, sizeof s->bytes), buf_str(&text), made) !=
		ERR_OK)
		rand_bytes(made, sizeof made);
	buf_fini(&text);
	memcpy(out, made, SCRAM_SALT_BYTES);
}
