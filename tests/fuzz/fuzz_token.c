/* Fuzzes what we make of a token service's answer. A name is given out with ERR_OK only, and is
 * one that a login could have: whole, without NUL, within its limit. */
#include <stdlib.h>

#include "auth-ldap/server/token.h"
#include "core/base/buf.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

enum { NAME_MAX_BYTES = 100 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct settings_auth s = { .oauth_user_claim = STR("username"),
		.oauth_scope = size % 2 == 0 ? STR("mail") : STR_EMPTY,
		.oauth_audience = size % 3 == 0 ? STR("us") : STR_EMPTY };
	struct buf name;
	int64_t expires;
	const char *status, *why;
	buf_init(&name, NAME_MAX_BYTES);
	enum err e =
		token_answer_read(str_n(data, size), &s, 1000000, &name, &expires, &status, &why);
	CHECK(e == ERR_OK || e == ERR_DENIED || e == ERR_SYNTAX);
	if (e == ERR_OK) {
		CHECK(name.n > 0 && !str_has_nul(buf_str(&name)) && str_is_utf8(buf_str(&name)));
		CHECK(expires == 0 || expires > 1000000);
	} else {
		CHECK(name.n == 0 && why[0] != '\0' && (status[0] != '\0') == (e == ERR_DENIED));
	}
	buf_fini(&name);
	return 0;
}
