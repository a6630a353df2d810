#ifndef POSTROOM_PASSWD_SCHEME_H
#define POSTROOM_PASSWD_SCHEME_H

#include "core/base/digest.h"
#include "core/passwd/passwd.h"

/* One scheme. Private to core/passwd. */
struct scheme {
	const char *name;
	const char *form; /* the hash begins with this; "" when nothing is fixed */
	int param;	  /* a digest of digest.c; else the scheme's own */
	/* Is hash of the right form, and affordable? NULL: form says all. */
	enum err (*check)(const struct scheme *s, struct str hash);
	enum err (*verify)(const struct scheme *s, struct str hash, struct str password);
	/* Appends the hash. NULL: only read. */
	enum err (*make)(const struct scheme *s, struct str password, struct buf *out);
	size_t digest_bytes; /* plain digests: base64 or hex, salt behind; else 0 */
};

/* param of argon2.c's schemes */
enum { SCHEME_ARGON2I, SCHEME_ARGON2ID };

/* crypt.c: crypt(3). form is its prefix. */
MUST_USE enum err
crypt_check(const struct scheme *s, struct str hash);
MUST_USE enum err
crypt_verify(const struct scheme *s, struct str hash, struct str password);
MUST_USE enum err
crypt_make(const struct scheme *s, struct str password, struct buf *out);

/* argon2.c */
MUST_USE enum err
argon2_check(const struct scheme *s, struct str hash);
MUST_USE enum err
argon2_check_password(const struct scheme *s, struct str hash, struct str password);
MUST_USE enum err
argon2_make(const struct scheme *s, struct str password, struct buf *out);

/* scram.c: param DIGEST_SHA1 or DIGEST_SHA256. */
MUST_USE enum err
scram_check(const struct scheme *s, struct str hash);
MUST_USE enum err
scram_verify(const struct scheme *s, struct str hash, struct str password);
MUST_USE enum err
scram_make(const struct scheme *s, struct str password, struct buf *out);
MUST_USE enum err
scram_parse(const struct scheme *s, struct str hash, struct passwd_scram *out);
MUST_USE enum err
scram_derive(const struct scheme *s, struct str password, struct passwd_scram *io);

/* The row of "{SCHEME.ENC}" or of default_scheme. encoding_out: "", "B64", "HEX" (any case).
 * ERR_SYNTAX: no such scheme. */
MUST_USE enum err
scheme_split(struct str stored, struct str default_scheme, const struct scheme **scheme_out,
	struct str *encoding_out, struct str *hash_out);

#endif
