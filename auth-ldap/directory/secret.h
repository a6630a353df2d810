#ifndef POSTROOM_AUTH_DIRECTORY_SECRET_H
#define POSTROOM_AUTH_DIRECTORY_SECRET_H

#include "auth-ldap/backend/backend.h"

/* Keys of SCRAM out of the values of a directory. */
struct secret_keys {
	struct auth_secret secret; /* points into bytes */
	struct buf bytes;
};
void
secret_keys_init(struct secret_keys *k);
/* Wipes. */
void
secret_keys_fini(struct secret_keys *k);

/* A value of authPassword, "SCRAM-SHA-256$4096:salt$stored:server" (RFC 5803), or of userPassword,
 * the same behind "{SCRAM-SHA-256}", also with commas as Dovecot writes it; SHA-1 likewise. The
 * first value for each hash counts. ERR_OK: taken, or known already; ERR_NOTFOUND: something else
 * (a hash, a password: no keys are made of it); ERR_SYNTAX: not of its form. */
MUST_USE enum err
secret_keys_add(struct secret_keys *k, struct str value);
/* Are there keys of either hash? */
bool
secret_keys_any(const struct secret_keys *k);

#endif
