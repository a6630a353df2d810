/* Addresses of the Sender Rewriting Scheme. Properties: what comes back was made by us; what was
 * made for a sender comes back to him; lengths have limits. */
#include <stdlib.h>

#include "core/mail/srs.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)
enum { NOW = 1700000000 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct srs s = { .domain = STR("ours.example"),
		.secrets = STR("correct horse battery\nanother horse battery\n") };
	struct str in = str_n((const char *)data, size);
	/* a broken SRS1 of somebody else, maybe behind a backslash */
	bool odd = str_ifind(in, STR("SRS")) < in.n || str_chr(in, '\\') < in.n;
	struct buf there, back, again;

	buf_init(&there, 8192);
	buf_init(&back, 8192);
	buf_init(&again, 8192);
	CHECK(srs_check_secrets(in) != ERR_OK || in.n >= SRS_SECRET_MIN);
	/* nobody can guess an address of ours */
	CHECK(srs_reverse(&s, in, NOW, &back) != ERR_OK);
	CHECK(back.n == 0);
	if (srs_forward(&s, in, NOW, &there) == ERR_OK) {
		CHECK(there.n <= 2 * SRS_LOCAL_MAX + 20);
		CHECK(srs_is_ours(&s, buf_str(&there)));
		enum err e = srs_reverse(&s, buf_str(&there), NOW, &back);
		CHECK(e == ERR_OK || (e == ERR_SYNTAX && odd));
		/* the way back is the way of the sender: there again is the same address */
		if (e == ERR_OK && !odd) {
			CHECK(srs_forward(&s, buf_str(&back), NOW, &again) == ERR_OK);
			CHECK(str_eq(buf_str(&there), buf_str(&again)));
		}
	}
	buf_fini(&there);
	buf_fini(&back);
	buf_fini(&again);
	return 0;
}
