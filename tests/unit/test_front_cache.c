/* auth-ldap/front/cache: its keys, proofs and bounds. */
#include "front_case.h"

/* ---- the cache itself ---- */

static void
make_key(struct buf *key, char kind, const struct str *parts, size_t n)
{
	buf_init(key, CACHE_KEY_MAX);
	cache_key_begin(key, kind);
	for (size_t i = 0; i < n; i++)
		cache_key_add(key, parts[i]);
}

/* No two lists of parts make one key. */
static void
test_keys(void **state UNUSED)
{
	static const struct {
		struct str parts[3];
		size_t n;
	} table[] = {
		{ { { "a", 1 }, { "b", 1 } }, 2 },
		{ { { "ab", 2 }, { "", 0 } }, 2 },
		{ { { "", 0 }, { "ab", 2 } }, 2 },
		{ { { "a\0\001b", 4 } }, 1 },
		{ { { "a", 1 }, { "b", 1 }, { "", 0 } }, 3 },
		{ { { "", 0 } }, 1 },
		{ { { "", 0 }, { "", 0 } }, 2 },
		{ { { "\0\0", 2 } }, 1 },
		{ { { "anna@a", 6 }, { "b", 1 } }, 2 },
		{ { { "anna", 4 }, { "@ab", 3 } }, 2 },
		{ { { "anna\t", 5 }, { "imap", 4 } }, 2 },
		{ { { "anna", 4 }, { "\timap", 5 } }, 2 },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		for (size_t k = 0; k < ARRAY_LEN(table); k++) {
			struct buf a, b;
			make_key(&a, 'L', table[i].parts, table[i].n);
			make_key(&b, 'L', table[k].parts, table[k].n);
			assert_int_equal(str_eq(buf_str(&a), buf_str(&b)), i == k);
			buf_fini(&a);
			buf_fini(&b);
		}
	struct buf long_key;
	char *big = xcalloc(1, 70000);
	make_key(&long_key, 'L', (struct str[]){ { big, 70000 } }, 1);
	assert_int_equal(buf_check(&long_key), ERR_LIMIT);
	buf_fini(&long_key);
	free(big);
}

static void
test_proofs(void **state UNUSED)
{
	unsigned char a[32], b[32];
	cache_proof(STR("ab"), STR("c"), a);
	cache_proof(STR("a"), STR("bc"), b);
	assert_memory_not_equal(a, b, 32);
	cache_proof(STR("ab"), STR("c"), b);
	assert_memory_equal(a, b, 32);
	/* RFC 4231, test case 2 */
	static const unsigned char want[] = { 0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e };
	struct hmac_sha256 *h = hmac_sha256_new(STR("Jefe"));
	hmac_sha256_of(h, STR("what do ya want for nothing?"), a);
	assert_memory_equal(a, want, sizeof want);
	hmac_sha256_of(h, STR("something else"), b);
	assert_memory_not_equal(a, b, sizeof want);
	hmac_sha256_of(h, STR("what do ya want for nothing?"), b);
	assert_memory_equal(a, b, 32);
	hmac_sha256_free(h);
}

static void
put_number(struct cache *c, int i, bool with_user)
{
	char text[64];
	struct buf key;
	int n = snprintf(text, sizeof text, "user%06d@example.org", i);
	struct str name = str_n(text, (size_t)n);
	struct auth_user u = { .user = name,
		.home = name,
		.source = STR("uid=user000000,ou=people,dc=example,dc=org"),
		.backend = STR("main"),
		.display_name = STR("A User of Average Name") };
	struct auth_user *copy_of = with_user ? auth_user_new(&u) : NULL;
	make_key(&key, with_user ? 'L' : 'A', &name, 1);
	unsigned char proof[32] = { 0 };
	const struct cached a = {
		.user = copy_of, .value = name, .proof = with_user ? proof : NULL
	};
	cache_put(c, buf_str(&key), &a, i);
	auth_user_unref(copy_of);
	buf_fini(&key);
}

static void
test_cache_is_bounded(void **state UNUSED)
{
	struct cache *c = cache_new(100000);
	struct cache_figures f;
	for (int i = 0; i < 5000; i++) {
		put_number(c, i, i % 2 == 0);
		cache_figures(c, &f);
		assert_true(f.bytes <= 100000);
	}
	assert_true(f.entries > 100);
	assert_true(f.dropped > 4000);
	assert_int_equal(cache_forget(c, STR("user004998@example.org")), 1);
	assert_int_equal(cache_forget(c, STR_EMPTY), f.entries - 1);
	cache_figures(c, &f);
	assert_int_equal(f.bytes, 0);
	assert_int_equal(f.entries, 0);
	cache_free(c);
}

/* What 100,000 users take: the figure of docs/performance.md. */
static void
test_cache_of_100000(void **state UNUSED)
{
	struct cache *c = cache_new((size_t)1 << 30);
	struct cache_figures f;
	for (int i = 0; i < 100000; i++)
		put_number(c, i, true);
	cache_figures(c, &f);
	print_message("%zu entries, %zu bytes each\n", f.entries, f.bytes / f.entries);
	assert_int_equal(f.entries, 100000);
	assert_true(f.bytes / f.entries < 800);
	cache_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_keys),
		TEST(test_proofs),
		TEST(test_cache_is_bounded),
		TEST(test_cache_of_100000),
	};
	log_setup("test", LVL_ERROR, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
