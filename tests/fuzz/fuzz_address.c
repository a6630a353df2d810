/* Address lists, bare addresses and message ids. Properties: the iterator ends, texts are no longer
 * than their source, what address_normalise wrote is its own normal form, split parts lie inside.
 */
#include <stdlib.h>

#include "core/mail/address.h"
#include "core/mail/msgid.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void
check_list(struct str in)
{
	struct address_iter it;
	struct address a;
	size_t n = 0, groups = 0;

	address_iter_init(&it, in);
	while (address_next(&it, &a)) {
		CHECK(n++ <= in.n + 1);
		CHECK(!it.text.over);
		CHECK(a.name.n + a.route.n + a.local.n + a.domain.n <= 2 * in.n);
		groups += a.kind == ADDRESS_GROUP_START;
		if (a.kind == ADDRESS_GROUP_END)
			CHECK(groups-- == 1);
	}
	CHECK(groups == 0);
	address_iter_fini(&it);
}

static void
check_bare(struct str in)
{
	struct str local, domain;
	struct buf once, twice;

	if (address_split(in, &local, &domain) != ERR_OK)
		return;
	CHECK(local.p == in.p && local.n + 1 + domain.n == in.n);
	buf_init(&once, 4 * in.n + 16);
	buf_init(&twice, 4 * in.n + 16);
	CHECK(address_normalise(&once, in) == ERR_OK);
	CHECK(address_normalise(&twice, buf_str(&once)) == ERR_OK);
	CHECK(str_eq(buf_str(&once), buf_str(&twice)));
	buf_fini(&once);
	buf_fini(&twice);
}

static void
check_ids(struct str in)
{
	struct arena *a = arena_new(1 << 20);
	struct str rest = in, id;

	for (size_t n = 0; msgid_next(&rest, a, &id) == ERR_OK; n++) {
		CHECK(n <= in.n && id.n <= in.n && id.n >= 2);
		CHECK(str_chr(id, '@') != id.n);
	}
	arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);

	if (size > 4096)
		return 0;
	check_list(in);
	check_bare(in);
	check_ids(in);
	return 0;
}
