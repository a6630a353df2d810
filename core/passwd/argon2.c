/* Argon2 (RFC 9106); the only file that sees libargon2. The cost stands in the stored hash: it is
 * bounded, so that one line of a file cannot eat the machine. */
#include <argon2.h>
#include <stdlib.h>

#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/passwd/scheme.h"

enum {
	COST_KIB_MAX = 1 << 20,
	COST_PASSES_MAX = 100,
	COST_LANES_MAX = 64,
	MAKE_KIB = 1 << 16,
	MAKE_PASSES = 3,
	SALT_BYTES = 16,
	HASH_BYTES = 32,
};

static argon2_type
type_of(const struct scheme *s)
{
	return s->param == SCHEME_ARGON2ID ? Argon2_id : Argon2_i;
}

/* "m=65536,t=3,p=1" */
static enum err
check_cost(struct str costs)
{
	static const struct {
		struct str name;
		uint32_t max;
	} table[] = { { STR("m="), COST_KIB_MAX }, { STR("t="), COST_PASSES_MAX },
		{ STR("p="), COST_LANES_MAX } };

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str one;
		uint32_t n;
		(void)str_cut(costs, ',', &one, &costs);
		if (!str_starts(one, table[i].name))
			return ERR_SYNTAX;
		enum err e = str_to_u32(str_from(one, 2), table[i].max, &n);
		if (e != ERR_OK)
			return e;
	}
	return costs.n == 0 ? ERR_OK : ERR_SYNTAX;
}

enum err
argon2_check(const struct scheme *s, struct str hash)
{
	struct str rest, part;

	if (!str_starts(hash, str_of(s->form)) || str_has_nul(hash))
		return ERR_SYNTAX;
	rest = str_from(hash, strlen(s->form));
	(void)str_cut(rest, '$', &part, &rest);
	if (str_starts(part, STR("v=")))
		(void)str_cut(rest, '$', &part, &rest);
	enum err e = check_cost(part);

	if (e == ERR_OK && (rest.n == 0 || str_chr(rest, '$') == rest.n))
		e = ERR_SYNTAX;
	return e;
}

enum err
argon2_check_password(const struct scheme *s, struct str hash, struct str password)
{
	char *encoded = str_dup(hash);
	int rc = argon2_verify(encoded, password.p, password.n, type_of(s));

	free(encoded);
	if (rc == ARGON2_OK)
		return ERR_OK;
	if (rc == ARGON2_MEMORY_ALLOCATION_ERROR || rc == ARGON2_THREAD_FAIL)
		return ERR_TEMP;
	return rc == ARGON2_VERIFY_MISMATCH ? ERR_DENIED : ERR_SYNTAX;
}

enum err
argon2_make(const struct scheme *s, struct str password, struct buf *out)
{
	char encoded[256];
	unsigned char salt[SALT_BYTES];

	rand_bytes(salt, sizeof salt);
	if (argon2_hash(MAKE_PASSES, MAKE_KIB, 1, password.p, password.n, salt, sizeof salt, NULL,
		    HASH_BYTES, encoded, sizeof encoded, type_of(s),
		    ARGON2_VERSION_13) != ARGON2_OK)
		return ERR_TEMP;
	buf_addz(out, encoded);
	return buf_check(out);
}
