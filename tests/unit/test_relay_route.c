/* delivery/remote: routes, the order of hosts, TLS policies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "core/base/xalloc.h"
#include "delivery/remote/route.h"

static void
test_parse(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
		bool mx, literal;
	} rows[] = {
		{ "Example.NET", "example.net", 0, true, false },
		{ "example.net.", "example.net", 0, true, false },
		{ "example.net:2525", "example.net", 2525, true, false },
		{ "[mx.example.net]", "mx.example.net", 0, false, false },
		{ "[mx.example.net]:587", "mx.example.net", 587, false, false },
		{ "smtp:[192.0.2.7]:25", "192.0.2.7", 25, false, true },
		{ "[IPv6:2001:DB8::1]", "2001:db8::1", 0, false, true },
		{ "[2001:db8::1]:25", "2001:db8::1", 25, false, true },
		{ "", NULL, 0, false, false },
		{ "[]", NULL, 0, false, false },
		{ "[x", NULL, 0, false, false },
		{ "[x]y", NULL, 0, false, false },
		{ "[x]:", NULL, 0, false, false },
		{ "[x]:0", NULL, 0, false, false },
		{ "[x]:65536", NULL, 0, false, false },
		{ "x:y", NULL, 0, false, false },
		{ "192.0.2.7", NULL, 0, false, false },
		{ "a/b", NULL, 0, false, false },
		{ "a b", NULL, 0, false, false },
		{ "[::zz]", NULL, 0, false, false },
		{ "b\xc3\xbc"
		  "cher.example",
			NULL, 0, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct route r;
		enum err e = route_parse(str_of(rows[i].text), &r);

		if (rows[i].host == NULL) {
			if (e != ERR_SYNTAX)
				fail_msg("%s is a route", rows[i].text);
			continue;
		}
		assert_int_equal(e, ERR_OK);
		assert_string_equal(r.host, rows[i].host);
		assert_int_equal(r.port, rows[i].port);
		assert_int_equal(r.mx, rows[i].mx);
		assert_int_equal(r.literal, rows[i].literal);
	}
}

static void
test_order(void **state)
{
	struct route_host v[] = { { "c", 20, 1 }, { "b", 10, 9 }, { "us", 20, 0 }, { "a", 10, 3 },
		{ "d", 30, 0 } };
	bool loop;

	(void)state;
	assert_int_equal(route_order(v, ARRAY_LEN(v), STR("elsewhere"), &loop), 5);
	assert_false(loop);
	assert_string_equal(v[0].name, "a");
	assert_string_equal(v[1].name, "b");
	assert_string_equal(v[4].name, "d");
	/* neither the worse ones nor our equals */
	assert_int_equal(route_order(v, ARRAY_LEN(v), STR("US"), &loop), 2);
	assert_true(loop);
	assert_int_equal(route_order(v, 1, STR("a"), &loop), 0);
	assert_true(loop);
	assert_int_equal(route_order(v, 0, STR("a"), &loop), 0);
	assert_false(loop);
}

static void
test_plans(void **state)
{
	struct settings *s = settings_defaults();
	struct settings_tls_policy policies[] = { { .title = STR(".example.net"),
							  .tls = STR("encrypt") },
		{ .title = STR("mail.example.net"), .tls = STR("secure") },
		{ .title = STR(".sub.example.net"), .tls = STR("none") } };
	struct settings_relay login = { .title = STR("l"), .username = STR("u") };
	struct settings_relay plain = { .title = STR("p") };
	struct settings_relay own = {
		.title = STR("o"), .username = STR("u"), .tls = STR("encrypt")
	};
	const struct {
		const char *host;
		const struct settings_relay *section;
		enum tls_level level;
	} rows[] = {
		{ "example.org", NULL, LEVEL_MAY },
		{ "example.net", NULL, LEVEL_MAY }, /* the dot means below */
		{ "x.example.net", NULL, LEVEL_ENCRYPT },
		{ "mail.example.net", NULL, LEVEL_SECURE },
		{ "x.sub.example.net", NULL, LEVEL_NONE },
		{ "xexample.net", NULL, LEVEL_MAY },
		{ "example.org", &login, LEVEL_SECURE },
		{ "example.org", &plain, LEVEL_MAY },
		{ "example.org", &own, LEVEL_ENCRYPT },
		{ "mail.example.net", &own, LEVEL_ENCRYPT },
	};

	(void)state;
	s->tls_policies = policies;
	s->tls_policies_count = ARRAY_LEN(policies);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct route r = { 0 };
		(void)snprintf(r.host, sizeof r.host, "%s", rows[i].host);
		assert_int_equal(route_tls_plan(s, rows[i].section, &r).level, rows[i].level);
	}
	s->tls_policies = NULL;
	s->tls_policies_count = 0;
	s->relays = &login;
	s->relays_count = 1;
	assert_ptr_equal(route_section(s, STR("l")), &login);
	assert_null(route_section(s, STR("x")));
	s->relays = NULL;
	s->relays_count = 0;
	settings_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_plans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
