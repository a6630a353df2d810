/* Fuzzes the directory socket's requests: netstrings and the keys in them. What is parsed lies
 * inside the input, comes out the same when it is written again, and cut anywhere it is "not
 * whole". */
#include <stdlib.h>

#include "auth-ldap/name/name.h"
#include "auth-ldap/name/template.h"
#include "auth-ldap/server/proto.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void
check_key(struct str payload)
{
	struct str map, key;
	struct name n;
	if (!str_cut(payload, ' ', &map, &key) || name_parse(key, STR("example.org"), &n) != ERR_OK)
		return;
	struct buf f;
	buf_init(&f, 64 * 1024);
	enum err e = template_expand(&f, STR("(mail=%{address})"), &n, TEMPLATE_FILTER);
	CHECK(e == ERR_OK);
	struct str value = str_sub(buf_str(&f), 6, f.n - 7);
	CHECK(str_chr(value, '(') == value.n && str_chr(value, ')') == value.n);
	CHECK(str_chr(value, '*') == value.n && !str_has_nul(value));
	buf_fini(&f);
	if (name_cut_tag(&n, '+'))
		CHECK(n.local.n > 0 && str_chr(n.local, '+') == n.local.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size), payload;
	size_t used;
	while (netstring_parse(in, SOCKETMAP_REQUEST_MAX, &payload, &used) == ERR_OK) {
		CHECK(used <= in.n && payload.n < used);
		CHECK(payload.p >= in.p && payload.p + payload.n < in.p + used);
		struct str cut = str_sub(in, 0, used - 1), p;
		size_t u;
		CHECK(netstring_parse(cut, SOCKETMAP_REQUEST_MAX, &p, &u) == ERR_AGAIN);
		struct buf again;
		buf_init(&again, 64 * 1024);
		netstring_reply(&again, "OK", payload);
		CHECK(netstring_parse(buf_str(&again), 64 * 1024, &p, &u) == ERR_OK);
		CHECK(u == again.n && str_eq(str_from(p, 3), payload));
		buf_fini(&again);
		check_key(payload);
		in = str_from(in, used);
	}
	return 0;
}
