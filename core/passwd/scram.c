/* Keys of SCRAM as a stored password: "iterations,salt,StoredKey,ServerKey", the last three in
 * base64 (RFC 5802 3, RFC 7677). */
#include "core/base/codec.h"
#include "core/base/rand.h"
#include "core/passwd/scheme.h"

enum { ITERATIONS_MIN = 1, ITERATIONS_MAX = 1000000, MAKE_ITERATIONS = 4096, MAKE_SALT = 16 };

static size_t
key_bytes(const struct scheme *s)
{
	return s->param == DIGEST_SHA256 ? 32 : 20;
}

/* exact: 0 for any length. */
static enum err
take_base64(struct str in, size_t exact, unsigned char *out, size_t max, size_t *n_out)
{
	struct buf b;
	enum err e;

	buf_init_secret(&b, 256);
	e = in.n <= 256 ? base64_decode(&b, in) : ERR_SYNTAX;
	if (e == ERR_OK && (b.n == 0 || b.n > max || (exact != 0 && b.n != exact)))
		e = ERR_SYNTAX;
	if (e == ERR_OK) {
		memcpy(out, buf_str(&b).p, b.n);
		*n_out = b.n;
	}
	buf_fini(&b);
	return e == ERR_OK ? ERR_OK : ERR_SYNTAX;
}

enum err
scram_parse(const struct scheme *s, struct str hash, struct passwd_scram *out)
{
	struct str part, rest = hash;
	size_t n;

	*out = (struct passwd_scram){ .key_n = key_bytes(s) };
	(void)str_cut(rest, ',', &part, &rest);
	if (str_to_u32(part, ITERATIONS_MAX, &out->iterations) != ERR_OK ||
		out->iterations < ITERATIONS_MIN)
		return ERR_SYNTAX;
	(void)str_cut(rest, ',', &part, &rest);
	if (take_base64(part, 0, out->salt, sizeof out->salt, &out->salt_n) != ERR_OK)
		return ERR_SYNTAX;
	(void)str_cut(rest, ',', &part, &rest);
	if (take_base64(part, out->key_n, out->stored_key, sizeof out->stored_key, &n) != ERR_OK)
		return ERR_SYNTAX;
	return take_base64(rest, out->key_n, out->server_key, sizeof out->server_key, &n);
}

enum err
scram_check(const struct scheme *s, struct str hash)
{
	struct passwd_scram k;
	enum err e = scram_parse(s, hash, &k);

	explicit_bzero(&k, sizeof k);
	return e;
}

/* salt and iterations are given. */
enum err
scram_derive(const struct scheme *s, struct str password, struct passwd_scram *io)
{
	unsigned char salted[DIGEST_BYTES_MAX], client[DIGEST_BYTES_MAX], key[DIGEST_BYTES_MAX];
	enum digest d = (enum digest)s->param;
	enum err e;

	io->key_n = key_bytes(s);
	struct str k = str_n(salted, io->key_n);

	e = digest_pbkdf2(
		d, password, str_n(io->salt, io->salt_n), io->iterations, io->key_n, salted);
	if (e == ERR_OK)
		e = digest_hmac(d, k, STR("Client Key"), client);
	if (e == ERR_OK)
		e = digest_bytes(d, str_n(client, io->key_n), STR_EMPTY, key);
	if (e == ERR_OK)
		memcpy(io->stored_key, key, io->key_n);
	if (e == ERR_OK)
		e = digest_hmac(d, k, STR("Server Key"), key);
	if (e == ERR_OK)
		memcpy(io->server_key, key, io->key_n);
	explicit_bzero(salted, sizeof salted);
	explicit_bzero(client, sizeof client);
	explicit_bzero(key, sizeof key);
	return e;
}

enum err
scram_verify(const struct scheme *s, struct str hash, struct str password)
{
	struct passwd_scram want, have;
	enum err e = scram_parse(s, hash, &want);

	if (e != ERR_OK)
		return e;
	have = want;
	e = scram_derive(s, password, &have);
	if (e == ERR_OK &&
		!secret_eq(str_n(want.stored_key, want.key_n), str_n(have.stored_key, have.key_n)))
		e = ERR_DENIED;
	explicit_bzero(&want, sizeof want);
	explicit_bzero(&have, sizeof have);
	return e;
}

enum err
scram_make(const struct scheme *s, struct str password, struct buf *out)
{
	struct passwd_scram k = { .salt_n = MAKE_SALT, .iterations = MAKE_ITERATIONS };
	enum err e;

	rand_bytes(k.salt, k.salt_n);
	e = scram_derive(s, password, &k);
	if (e == ERR_OK) {
		buf_addf(out, "%u,", k.iterations);
		base64_encode(out, str_n(k.salt, k.salt_n));
		buf_addc(out, ',');
		base64_encode(out, str_n(k.stored_key, k.key_n));
		buf_addc(out, ',');
		base64_encode(out, str_n(k.server_key, k.key_n));
		e = buf_check(out);
	}
	explicit_bzero(&k, sizeof k);
	return e;
}
