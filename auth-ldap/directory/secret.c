/* SCRAM keys as directories keep them. Called by users.c for ASK_SECRET. Keys are never made of a
 * password in clear: that costs milliseconds on purpose, and the loop must not wait. */
#include "auth-ldap/directory/secret.h"

#include "core/base/codec.h"
#include "core/base/xalloc.h"

enum { ITERATIONS_MAX = 10000000, SALT_MAX = 1024, BYTES_MAX = 4096 };

void
secret_keys_init(struct secret_keys *k)
{
	k->secret = (struct auth_secret){ 0 };
	buf_init_secret(&k->bytes, BYTES_MAX);
}

void
secret_keys_fini(struct secret_keys *k)
{
	k->secret = (struct auth_secret){ 0 };
	buf_fini(&k->bytes);
}

bool
secret_keys_any(const struct secret_keys *k)
{
	return k->secret.sha1.stored_key.n > 0 || k->secret.sha256.stored_key.n > 0;
}

/* Up to any of the bytes in ends; rest behind it. */
static struct str
take_part(struct str *rest, const char *ends)
{
	size_t n = 0;
	while (n < rest->n && !ascii_is_among(rest->p[n], ends))
		n++;
	struct str part = str_trim(str_sub(*rest, 0, n));
	*rest = str_from(*rest, n + 1);
	return part;
}

/* exact: 0 for any length up to SALT_MAX. */
static enum err
take_key(struct secret_keys *k, struct str part, size_t exact, struct str *out)
{
	size_t at = k->bytes.n;
	if (base64_decode(&k->bytes, part) != ERR_OK)
		return ERR_SYNTAX;
	*out = str_from(buf_str(&k->bytes), at);
	bool fits = exact > 0 ? out->n == exact : out->n > 0 && out->n <= SALT_MAX;
	return fits ? ERR_OK : ERR_SYNTAX;
}

static enum err
parse(struct secret_keys *k, struct str rest, size_t key_bytes, struct auth_scram *out)
{
	struct auth_scram got = { 0 };
	size_t before = k->bytes.n;
	/* What points into it must stay where it is. */
	if (before == 0)
		(void)buf_reserve(&k->bytes, BYTES_MAX - 1);
	struct str iterations = take_part(&rest, ":,");
	struct str salt = take_part(&rest, "$,");
	struct str stored = take_part(&rest, ":,");
	struct str server = str_trim(rest);
	if (str_to_u32(iterations, ITERATIONS_MAX, &got.iterations) == ERR_OK &&
		got.iterations > 0 && take_key(k, salt, 0, &got.salt) == ERR_OK &&
		take_key(k, stored, key_bytes, &got.stored_key) == ERR_OK &&
		take_key(k, server, key_bytes, &got.server_key) == ERR_OK) {
		*out = got;
		return ERR_OK;
	}
	buf_truncate(&k->bytes, before);
	return ERR_SYNTAX;
}

enum err
secret_keys_add(struct secret_keys *k, struct str value)
{
	const struct {
		struct str name;
		size_t key_bytes;
		struct auth_scram *to;
	} schemes[] = {
		{ STR("SCRAM-SHA-256"), 32, &k->secret.sha256 },
		{ STR("SCRAM-SHA-1"), 20, &k->secret.sha1 },
	};
	struct str scheme, rest = value;
	value = str_trim(value);
	bool braces = value.n > 0 && value.p[0] == '{';
	if (!str_cut(str_from(value, braces), braces ? '}' : '$', &scheme, &rest))
		return ERR_NOTFOUND;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (str_ieq(str_trim(scheme), schemes[i].name))
			return schemes[i].to->stored_key.n > 0
				       ? ERR_OK
				       : parse(k, rest, schemes[i].key_bytes, schemes[i].to);
	return ERR_NOTFOUND;
}
