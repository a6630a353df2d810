/* The order of SRV records (RFC 2782) and which targets may be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "auth-ldap/ldap/srv.h"
#include "core/base/xalloc.h"

/* Numbers to hand out in turn, clipped to what is asked for. */
struct script {
	const uint32_t *numbers;
	size_t at;
};

static uint32_t
scripted(void *arg, uint32_t below)
{
	struct script *s = arg;
	uint32_t v = s->numbers[s->at++];
	assert_true(below > 0);
	return v < below ? v : below - 1;
}

static struct dns_record
record(uint16_t priority, uint16_t weight, const char *name)
{
	struct dns_record r = { .priority = priority, .weight = weight, .port = 389 };
	memcpy(r.name, name, strlen(name));
	return r;
}

static void
check_order(struct dns_record *v, size_t n, const uint32_t *numbers, const char *want)
{
	struct script s = { .numbers = numbers };
	char got[64] = "";
	ldap_srv_order(v, n, scripted, &s);
	for (size_t i = 0; i < n; i++)
		got[i] = v[i].name[0];
	assert_string_equal(got, want);
}

static void
test_order(void **state)
{
	(void)state;
	/* priorities before weights; a number up to the first's weight takes the first */
	static const struct {
		uint32_t numbers[4];
		const char *want;
	} rows[] = {
		{ { 0, 0, 0, 0 }, "abcd" },
		{ { 10, 0, 0, 0 }, "abcd" },
		{ { 11, 0, 0, 0 }, "bacd" },
		{ { 40, 0, 0, 0 }, "bacd" },
		{ { 41, 0, 0, 0 }, "cabd" },
		{ { 100, 30, 0, 0 }, "cbad" },
		{ { 9999, 9999, 9999, 9999 }, "cbad" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dns_record v[] = { record(20, 5, "d"), record(10, 10, "a"),
			record(10, 30, "b"), record(10, 60, "c") };
		check_order(v, ARRAY_LEN(v), rows[i].numbers, rows[i].want);
	}
}

static void
test_weight_zero(void **state)
{
	(void)state;
	/* those without weight stand in front before the draw, so that 0 finds them */
	struct dns_record v[] = { record(1, 10, "a"), record(1, 0, "z") };
	check_order(v, 2, (const uint32_t[]){ 0, 0 }, "za");
	struct dns_record w[] = { record(1, 10, "a"), record(1, 0, "z") };
	check_order(w, 2, (const uint32_t[]){ 1, 0 }, "az");
	struct dns_record all[] = { record(1, 0, "x"), record(1, 0, "y"), record(0, 0, "w") };
	check_order(all, 3, (const uint32_t[]){ 0, 0, 0 }, "wxy");
	check_order(all, 1, (const uint32_t[]){ 7 }, "w");
	ldap_srv_order(NULL, 0, scripted, NULL);
}

static uint32_t
noise(void *arg, uint32_t below)
{
	uint32_t *x = arg;
	*x = *x * 1664525u + 1013904223u;
	return (*x >> 8) % below;
}

/* Shares follow the weights, and nobody is lost or doubled. */
static void
test_shares(void **state)
{
	(void)state;
	unsigned first[3] = { 0 };
	uint32_t seed = 7;
	for (unsigned i = 0; i < 10000; i++) {
		struct dns_record v[] = { record(0, 10, "a"), record(0, 30, "b"),
			record(0, 60, "c") };
		unsigned seen = 0;
		ldap_srv_order(v, 3, noise, &seed);
		for (size_t k = 0; k < 3; k++)
			seen |= 1u << (v[k].name[0] - 'a');
		assert_int_equal(seen, 7);
		first[v[0].name[0] - 'a']++;
	}
	assert_in_range(first[0], 800, 1300);
	assert_in_range(first[1], 2700, 3300);
	assert_in_range(first[2], 5600, 6400);
}

static void
test_allowed(void **state)
{
	(void)state;
	const struct str own[] = { STR("example.org"), STR("AD.example.net.") };
	static const struct {
		const char *name;
		bool ok;
	} rows[] = { { "dc1.example.org", true }, { "DC1.EXAMPLE.ORG", true },
		{ "example.org", true }, { "evilexample.org", false },
		{ "example.org.evil", false }, { "dc.ad.example.net", true },
		{ "dc.example.net", false }, { "", false }, { "org", false } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(ldap_srv_allowed(rows[i].name, own, 2), rows[i].ok);
	assert_false(ldap_srv_allowed("dc1.example.org", own, 0));
	const struct str none[] = { STR(""), STR(".") };
	assert_false(ldap_srv_allowed("dc1.example.org", none, 2));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_weight_zero),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_allowed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
