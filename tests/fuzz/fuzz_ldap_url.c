/* Fuzzes LDAP URLs, DNs and result templates, which directories and administrators write. A URL
 * that is read comes out the same when it is written and read again; a template that passes the
 * check can be expanded, and none that does not. */
#include <stdlib.h>

#include "auth-ldap/directory/rdn.h"
#include "auth-ldap/directory/result.h"
#include "auth-ldap/name/template.h"
#include "auth-ldap/ldap/url.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void
check_url(struct str in)
{
	struct arena *a = arena_new(1 << 20);
	struct ldap_url u, v;
	if (ldap_url_parse(in, a, &u) == ERR_OK) {
		struct buf b;
		buf_init(&b, 1 << 18);
		CHECK(str_is_utf8(u.dn) && !str_has_nul(u.dn));
		CHECK(u.filter.n > 2 && u.filter.p[0] == '(' && u.filter.p[u.filter.n - 1] == ')');
		ldap_url_write(&b, &u);
		if (b.n <= 16 * 1024) {
			CHECK(ldap_url_parse(buf_str(&b), a, &v) == ERR_OK);
			CHECK(str_eq(u.dn, v.dn) && str_eq(u.filter, v.filter));
			CHECK(u.scope == v.scope && u.attrs_count == v.attrs_count);
			for (size_t i = 0; i < u.attrs_count; i++)
				CHECK(str_eq(u.attrs[i], v.attrs[i]));
		}
		buf_fini(&b);
	}
	arena_free(a);
}

static void
on_result(void *arg, struct str value)
{
	size_t *n = arg;
	CHECK(value.n <= 4096 && !str_has_nul(value));
	(*n)++;
}

/* in: a template, and behind its first line a value. */
static void
check_result(struct str in)
{
	struct str t, value, address;
	(void)str_cut(in, '\n', &t, &value);
	struct str values[] = { value, STR("x@y") };
	struct ldap_attr attrs[] = { { STR("mail"), values, 2 }, { STR("uid"), values, 1 } };
	const struct ldap_entry e = { .attrs = attrs, .attrs_count = 2 };
	struct name key;
	size_t n = 0;
	CHECK(name_parse(STR("a+b@example.org"), STR_EMPTY, &key) == ERR_OK);
	if (result_check(t) == ERR_OK) {
		CHECK(result_expand(t, &e, &key, on_result, &n) == n);
		CHECK(n <= 2);
	}
	if (address_in_value(value, &address))
		CHECK(address.n > 0 && address.p + address.n == value.p + value.n);
}

/* What a DN is split into makes a DN of the same key again. */
static void
check_rdn(struct str in)
{
	struct str type, parent;
	struct buf value, key, again, other;
	size_t n, m;
	buf_init(&value, RDN_KEY_MAX);
	buf_init(&key, RDN_KEY_MAX);
	buf_init(&other, RDN_KEY_MAX);
	buf_init(&again, 1 << 20);
	if (rdn_key(in, &key, &n, &value) && rdn_split(in, &type, &again, &parent)) {
		CHECK(n < key.n && str_eq(buf_str(&value), buf_str(&again)));
		buf_reset(&again);
		buf_add(&again, type);
		buf_addc(&again, '=');
		escape_dn(&again, buf_str(&value));
		buf_addc(&again, ',');
		buf_add(&again, parent);
		if (again.n <= RDN_KEY_MAX / 2) {
			CHECK(rdn_key(buf_str(&again), &other, &m, &value));
			CHECK(n == m && str_eq(buf_str(&key), buf_str(&other)));
		}
	}
	buf_fini(&value);
	buf_fini(&key);
	buf_fini(&other);
	buf_fini(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_rdn(str_n(data, size));
	check_url(str_n(data, size));
	check_result(str_n(data, size));
	return 0;
}
