/* Fuzzes passwd-files and the stored passwords in them: who is in the table has a name that is one,
 * is found by it, and no password but the right one opens a hash that is cheap to try. */
#include <stdlib.h>

#include "auth-ldap/worker/passwd_file.h"
#include "core/passwd/passwd.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void
on_bad(void *arg, unsigned line, const char *why)
{
	unsigned *last = arg;

	CHECK(line > *last && why[0] != '\0');
	*last = line;
}

/* crypt, argon2 and PBKDF2 take too long here. */
static bool
is_cheap(struct str stored)
{
	return str_istarts(stored, STR("{SSHA")) || str_istarts(stored, STR("{SHA1}")) ||
	       str_istarts(stored, STR("{SMD5")) || str_istarts(stored, STR("{PLAIN"));
}

static void
check_account(const struct passwd_table *t, const struct account *a)
{
	struct account again;
	struct name n;
	struct passwd_scram k;

	CHECK(name_parse(a->user.user, STR("example.org"), &n) == ERR_OK);
	CHECK(str_eq(n.address, a->user.user));
	CHECK(passwd_table_find(t, &n, &again) == ERR_OK);
	CHECK(str_eq(again.password, a->password));
	CHECK(n.domain.n == 0 || passwd_table_has_domain(t, n.domain));
	CHECK(passwd_check(a->password, STR("SSHA")) == ERR_OK);
	CHECK(passwd_verify(a->password, STR("SSHA"), STR("")) != ERR_OK);
	if (is_cheap(a->password)) {
		enum err e = passwd_verify(a->password, STR("SSHA"), STR("unlikely to be right"));
		CHECK(e == ERR_DENIED ||
			str_istarts(a->password, STR("{PLAIN}unlikely to be right")));
	}
	if (str_istarts(a->password, STR("{SCRAM")) &&
		passwd_scram(a->password, STR(""), true, STR("0123456789abcdef"), 5000, &k) ==
			ERR_OK)
		CHECK(k.key_n == 32 && k.salt_n > 0 && k.iterations > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct passwd_table *t = NULL;
	struct account a;
	struct buf text;
	unsigned last = 0;
	size_t cursor = 0, n = 0;

	buf_init_secret(&text, 1 << 20);
	buf_add(&text, str_n(data, size));
	if (buf_check(&text) == ERR_OK && passwd_table_new(&text, STR("example.org"), STR("SSHA"),
						  on_bad, &last, &t) == ERR_OK) {
		while (passwd_table_next(t, &cursor, &a)) {
			check_account(t, &a);
			n++;
		}
		CHECK(n <= passwd_table_users(t));
	}
	passwd_table_free(t);
	buf_fini(&text);
	return 0;
}
