/* The table of password schemes and what passwd.h promises of them. Called by the helper processes
 * of auth and by `postroom pw`. Invariant: a stored password that is not wholly understood never
 * matches. */
#include "core/passwd/passwd.h"

#include "core/base/codec.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/passwd/scheme.h"

enum {
	SALT_BYTES = 8,
	SALT_MAX = 64,
	PBKDF2_ROUNDS = 5000,
	PBKDF2_ROUNDS_MAX = 1000000,
	PBKDF2_BYTES = 20,
	PBKDF2_SALT = 16,
};

static enum err
plain_verify(const struct scheme *s, struct str hash, struct str password)
{
	(void)s;
	return secret_eq(hash, password) ? ERR_OK : ERR_DENIED;
}

static enum err
plain_make(const struct scheme *s, struct str password, struct buf *out)
{
	(void)s;
	if (str_has_nul(password) || str_chr(password, '\n') != password.n)
		return ERR_SYNTAX;
	buf_add(out, password);
	return buf_check(out);
}

/* hash: the raw digest, salt behind it. Salted or not is a matter of the length. */
static enum err
digest_verify(const struct scheme *s, struct str hash, struct str password)
{
	unsigned char made[DIGEST_BYTES_MAX];
	enum err e = digest_bytes(
		(enum digest)s->param, password, str_from(hash, s->digest_bytes), made);

	if (e == ERR_OK &&
		!secret_eq(str_n(made, s->digest_bytes), str_sub(hash, 0, s->digest_bytes)))
		e = ERR_DENIED;
	explicit_bzero(made, sizeof made);
	return e;
}

static bool
is_salted(const struct scheme *s)
{
	return s->name[0] == 'S' && (s->name[1] == 'S' || s->name[1] == 'M');
}

static enum err
digest_make(const struct scheme *s, struct str password, struct buf *out)
{
	unsigned char raw[DIGEST_BYTES_MAX + SALT_BYTES], salt[SALT_BYTES];
	struct str salted = is_salted(s) ? str_n(salt, sizeof salt) : STR_EMPTY;
	enum err e;

	rand_bytes(salt, sizeof salt);
	e = digest_bytes((enum digest)s->param, password, salted, raw);
	if (e != ERR_OK)
		return e;
	memcpy(raw + s->digest_bytes, salt, salted.n);
	if (str_eq(str_of(s->form), STR("hex")))
		hex_encode(out, str_n(raw, s->digest_bytes));
	else
		base64_encode(out, str_n(raw, s->digest_bytes + salted.n));
	return buf_check(out);
}

/* "$1$salt$rounds$" and 40 hex digits. */
static enum err
pbkdf2_split(struct str hash, struct str *salt_out, uint32_t *rounds_out, struct str *hex_out)
{
	struct str rounds, rest = str_from(hash, 3);

	if (!str_starts(hash, STR("$1$")) || !str_cut(rest, '$', salt_out, &rest) ||
		!str_cut(rest, '$', &rounds, hex_out) || salt_out->n == 0 ||
		hex_out->n != 2 * PBKDF2_BYTES)
		return ERR_SYNTAX;
	enum err e = str_to_u32(rounds, PBKDF2_ROUNDS_MAX, rounds_out);

	return e == ERR_OK && *rounds_out == 0 ? ERR_SYNTAX : e;
}

static enum err
pbkdf2_check(const struct scheme *s, struct str hash)
{
	struct str salt, hex;
	uint32_t rounds;

	(void)s;
	return pbkdf2_split(hash, &salt, &rounds, &hex);
}

static enum err
pbkdf2_hex(struct str password, struct str salt, uint32_t rounds, struct buf *out)
{
	unsigned char made[PBKDF2_BYTES];
	enum err e = digest_pbkdf2(DIGEST_SHA1, password, salt, rounds, sizeof made, made);

	if (e == ERR_OK)
		hex_encode(out, str_n(made, sizeof made));
	explicit_bzero(made, sizeof made);
	return e == ERR_OK ? buf_check(out) : e;
}

static enum err
pbkdf2_verify(const struct scheme *s, struct str hash, struct str password)
{
	struct str salt, hex;
	uint32_t rounds;
	struct buf made;
	enum err e = pbkdf2_split(hash, &salt, &rounds, &hex);

	(void)s;
	if (e != ERR_OK)
		return e;
	buf_init_secret(&made, 256);
	e = pbkdf2_hex(password, salt, rounds, &made);
	if (e == ERR_OK && !secret_eq(buf_str(&made), hex))
		e = ERR_DENIED;
	buf_fini(&made);
	return e;
}

static enum err
pbkdf2_make(const struct scheme *s, struct str password, struct buf *out)
{
	static const char letters[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV./";
	char salt[PBKDF2_SALT];

	(void)s;
	rand_bytes(salt, sizeof salt);
	for (size_t i = 0; i < sizeof salt; i++)
		salt[i] = letters[(unsigned char)salt[i] % (sizeof letters - 1)];
	buf_addf(out, "$1$%.*s$%d$", (int)sizeof salt, salt, PBKDF2_ROUNDS);
	return pbkdf2_hex(password, str_n(salt, sizeof salt), PBKDF2_ROUNDS, out);
}

#define CRYPT(name_, form_)                                                                     \
	{                                                                                       \
		.name = (name_), .form = (form_), .check = crypt_check, .verify = crypt_verify, \
		.make = crypt_make                                                              \
	}
#define DIGEST(name_, digest_, bytes_, form_)                                                   \
	{                                                                                       \
		.name = (name_), .form = (form_), .param = (digest_), .digest_bytes = (bytes_), \
		.verify = digest_verify, .make = digest_make                                    \
	}
#define ARGON2(name_, form_, param_)                                                        \
	{                                                                                   \
		.name = (name_), .form = (form_), .param = (param_), .check = argon2_check, \
		.verify = argon2_check_password, .make = argon2_make                        \
	}
#define SCRAM(name_, digest_)                                                          \
	{                                                                              \
		.name = (name_), .form = "", .param = (digest_), .check = scram_check, \
		.verify = scram_verify, .make = scram_make                             \
	}
#define PLAIN(name_)                                                                    \
	{                                                                               \
		.name = (name_), .form = "", .verify = plain_verify, .make = plain_make \
	}

/* "hex" as a digest's form: written so; base64 is read as well, as in the others. */
static const struct scheme schemes[] = {
	ARGON2("ARGON2ID", "$argon2id$", SCHEME_ARGON2ID),
	ARGON2("ARGON2I", "$argon2i$", SCHEME_ARGON2I),
	CRYPT("CRYPT", ""),
	CRYPT("SHA512-CRYPT", "$6$"),
	CRYPT("SHA256-CRYPT", "$5$"),
	CRYPT("BLF-CRYPT", "$2"),
	CRYPT("MD5-CRYPT", "$1$"),
	{ .name = "MD5", .form = "$1$", .check = crypt_check, .verify = crypt_verify },
	{ .name = "DES-CRYPT", .form = "", .check = crypt_check, .verify = crypt_verify },
	{ .name = "PBKDF2",
		.form = "$1$",
		.check = pbkdf2_check,
		.verify = pbkdf2_verify,
		.make = pbkdf2_make },
	SCRAM("SCRAM-SHA-256", DIGEST_SHA256),
	SCRAM("SCRAM-SHA-1", DIGEST_SHA1),
	DIGEST("SSHA512", DIGEST_SHA512, 64, ""),
	DIGEST("SSHA256", DIGEST_SHA256, 32, ""),
	DIGEST("SSHA", DIGEST_SHA1, 20, ""),
	DIGEST("SHA512", DIGEST_SHA512, 64, ""),
	DIGEST("SHA256", DIGEST_SHA256, 32, ""),
	DIGEST("SHA", DIGEST_SHA1, 20, ""),
	DIGEST("SHA1", DIGEST_SHA1, 20, ""),
	DIGEST("SMD5", DIGEST_MD5, 16, ""),
	DIGEST("LDAP-MD5", DIGEST_MD5, 16, ""),
	DIGEST("PLAIN-MD5", DIGEST_MD5, 16, "hex"),
	PLAIN("PLAIN"),
	PLAIN("CLEARTEXT"),
	PLAIN("CLEAR"),
};

static const struct scheme *
find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (str_ieq(name, str_of(schemes[i].name)))
			return &schemes[i];
	return NULL;
}

bool
passwd_scheme_known(struct str scheme)
{
	return find(scheme) != NULL;
}

enum err
scheme_split(struct str stored, struct str default_scheme, const struct scheme **scheme_out,
	struct str *encoding_out, struct str *hash_out)
{
	struct str name = default_scheme.n != 0 ? default_scheme : STR("CRYPT");

	*hash_out = stored;
	*encoding_out = STR_EMPTY;
	if (stored.n != 0 && stored.p[0] == '{') {
		size_t end = str_chr(stored, '}');
		if (end == stored.n)
			return ERR_SYNTAX;
		*hash_out = str_from(stored, end + 1);
		(void)str_cut(str_sub(stored, 1, end - 1), '.', &name, encoding_out);
	}
	*scheme_out = find(name);
	return *scheme_out != NULL ? ERR_OK : ERR_SYNTAX;
}

static enum err
hex_decode(struct buf *out, struct str in)
{
	for (size_t i = 0; i + 1 < in.n; i += 2) {
		int high = ascii_hex_value(in.p[i]), low = ascii_hex_value(in.p[i + 1]);
		if (high < 0 || low < 0)
			return ERR_SYNTAX;
		buf_addc(out, (char)(high * 16 + low));
	}
	return in.n % 2 == 0 ? buf_check(out) : ERR_SYNTAX;
}

/* The hash as its scheme works on it, in raw: digests decoded, the rest as it stands. */
static enum err
decode(const struct scheme *s, struct str encoding, struct str hash, struct buf *raw)
{
	bool hex = str_ieq(encoding, STR("HEX"));
	bool base64 = str_ieq(encoding, STR("B64")) || str_ieq(encoding, STR("BASE64"));
	enum err e;

	if (encoding.n != 0 && !hex && !base64)
		return ERR_SYNTAX;
	/* without a word about it the length tells, where it is fixed */
	if (encoding.n == 0 && s->digest_bytes != 0) {
		hex = !is_salted(s) && hash.n == 2 * s->digest_bytes;
		base64 = !hex;
	}
	if (hex)
		e = hex_decode(raw, hash);
	else if (base64)
		e = base64_decode(raw, hash);
	else {
		buf_add(raw, hash);
		e = buf_check(raw);
	}
	if (e != ERR_OK)
		return ERR_SYNTAX;
	if (s->digest_bytes != 0 &&
		(raw->n < s->digest_bytes || raw->n > s->digest_bytes + SALT_MAX ||
			(!is_salted(s) && raw->n != s->digest_bytes) ||
			(is_salted(s) && raw->n == s->digest_bytes)))
		return ERR_SYNTAX;
	return s->check != NULL ? s->check(s, buf_str(raw)) : ERR_OK;
}

static bool
is_locked(struct str hash)
{
	return hash.n != 0 && (hash.p[0] == '!' || hash.p[0] == '*');
}

enum err
passwd_verify(struct str stored, struct str default_scheme, struct str password)
{
	const struct scheme *s;
	struct str encoding, hash;
	struct buf raw;
	enum err e;

	if (stored.n > PASSWD_STORED_MAX)
		return ERR_SYNTAX;
	e = scheme_split(stored, default_scheme, &s, &encoding, &hash);
	if (e != ERR_OK)
		return e;
	if (hash.n == 0)
		return ERR_SYNTAX;
	/* NUL: crypt would stop there, and HMAC pads its key with them */
	if (password.n == 0 || password.n > PASSWD_PASSWORD_MAX || str_has_nul(password) ||
		(s->verify != plain_verify && is_locked(hash)))
		return ERR_DENIED;
	buf_init_secret(&raw, PASSWD_STORED_MAX);
	e = decode(s, encoding, hash, &raw);
	if (e == ERR_OK)
		e = s->verify(s, buf_str(&raw), password);
	buf_fini(&raw);
	return e;
}

enum err
passwd_check(struct str stored, struct str default_scheme)
{
	const struct scheme *s;
	struct str encoding, hash;
	struct buf raw;
	enum err e;

	if (stored.n > PASSWD_STORED_MAX)
		return ERR_SYNTAX;
	e = scheme_split(stored, default_scheme, &s, &encoding, &hash);
	if (e != ERR_OK || hash.n == 0)
		return ERR_SYNTAX;
	if (s->verify != plain_verify && is_locked(hash))
		return ERR_OK;
	buf_init_secret(&raw, PASSWD_STORED_MAX);
	e = decode(s, encoding, hash, &raw);
	buf_fini(&raw);
	return e;
}

enum err
passwd_make(struct str scheme, struct str password, struct buf *out)
{
	const struct scheme *s = find(scheme.n != 0 ? scheme : STR("ARGON2ID"));

	if (s == NULL || s->make == NULL)
		return ERR_NOTFOUND;
	if (password.n == 0 || password.n > PASSWD_PASSWORD_MAX || str_has_nul(password))
		return ERR_SYNTAX;
	buf_addf(out, "{%s}", s->name);
	return s->make(s, password, out);
}

void
passwd_list(struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		buf_addf(out, "%s%s\n", schemes[i].name,
			schemes[i].make == NULL ? " (only read)" : "");
}

enum err
passwd_scram(struct str stored, struct str default_scheme, bool sha256, struct str salt,
	uint32_t iterations, struct passwd_scram *out)
{
	const struct scheme *wanted = find(sha256 ? STR("SCRAM-SHA-256") : STR("SCRAM-SHA-1")), *s;
	struct str encoding, hash;

	if (stored.n > PASSWD_STORED_MAX ||
		scheme_split(stored, default_scheme, &s, &encoding, &hash) != ERR_OK)
		return ERR_SYNTAX;
	if (s == wanted && encoding.n == 0)
		return scram_parse(s, hash, out);
	if (s->verify != plain_verify || hash.n == 0 || encoding.n != 0)
		return ERR_NOTFOUND;
	*out = (struct passwd_scram){ .salt_n = salt.n, .iterations = iterations };
	if (salt.n > sizeof out->salt)
		return ERR_SYNTAX;
	memcpy(out->salt, salt.p, salt.n);
	return scram_derive(wanted, hash, out);
}
