#ifndef POSTROOM_PASSWD_H
#define POSTROOM_PASSWD_H

#include "core/base/buf.h"

/* Stored passwords: "{SCHEME}hash", as password files and databases keep them; the names and forms
 * are Dovecot's and OpenLDAP's. "{SCHEME.B64}" and "{SCHEME.HEX}" name an encoding for the schemes
 * that are plain digests. Checking costs time on purpose: never call this in a loop that others
 * wait for. */
enum { PASSWD_STORED_MAX = 1024, PASSWD_PASSWORD_MAX = 1024 };

/* stored: "{SSHA256}…", or without a scheme (default_scheme counts then; empty: CRYPT). Compares
 * in constant time. ERR_OK; ERR_DENIED: another password, or a locked one ("!…", "*…"); ERR_SYNTAX:
 * an unknown scheme, or not of its form; ERR_LIMIT: asks for more memory or work than we grant. */
MUST_USE enum err
passwd_verify(struct str stored, struct str default_scheme, struct str password);
/* stored is of the form that its scheme wants: as passwd_verify, without the work. */
MUST_USE enum err
passwd_check(struct str stored, struct str default_scheme);
/* "ARGON2ID", in any case, without encoding. */
bool
passwd_scheme_known(struct str scheme);

/* "{SCHEME}hash" appended to out, with a new salt. scheme empty: ARGON2ID. ERR_NOTFOUND: no such
 * scheme, or one that is only read; ERR_SYNTAX: a password that the scheme cannot take (empty, NUL,
 * too long); ERR_TEMP; ERR_LIMIT. */
MUST_USE enum err
passwd_make(struct str scheme, struct str password, struct buf *out);
/* The schemes, one a line, those that are only read marked so. */
void
passwd_list(struct buf *out);

/* Keys of SCRAM (RFC 5802 3) with either hash, as bytes. */
struct passwd_scram {
	unsigned char salt[64], stored_key[32], server_key[32];
	size_t salt_n, key_n;
	uint32_t iterations;
};
/* Out of "{SCRAM-SHA-256}iterations,salt,stored,server", or made out of a readable password
 * ("{PLAIN}…") with this salt (at most 64 bytes) and count, which should be the same each time:
 * SCRAM shows them to strangers. sha256: else SHA-1. ERR_NOTFOUND: this stored form gives no such
 * keys; ERR_SYNTAX. The caller wipes out. */
MUST_USE enum err
passwd_scram(struct str stored, struct str default_scheme, bool sha256, struct str salt,
	uint32_t iterations, struct passwd_scram *out);

#endif
