/* Modified UTF-7. Properties: one spelling for each name: what is accepted is written the same
 * again; all UTF-8 without NUL makes the round trip. */
#include <stdlib.h>

#include "core/mail/utf7.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	struct buf a, b;

	if (size > 4096)
		return 0;
	buf_init(&a, 65536);
	buf_init(&b, 65536);
	if (utf7_to_utf8(&a, in) == ERR_OK) {
		CHECK(str_is_utf8(buf_str(&a)));
		CHECK(utf7_from_utf8(&b, buf_str(&a)) == ERR_OK && str_eq(buf_str(&b), in));
	} else {
		CHECK(a.n == 0);
	}
	buf_reset(&a);
	buf_reset(&b);
	if (utf7_from_utf8(&a, in) == ERR_OK)
		CHECK(utf7_to_utf8(&b, buf_str(&a)) == ERR_OK && str_eq(buf_str(&b), in));
	buf_fini(&a);
	buf_fini(&b);
	return 0;
}
