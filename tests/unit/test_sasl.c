/* core/sasl: what clients claim by PLAIN and LOGIN is taken down, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"
#include "core/sasl/exchange.h"

static int
setup(void **state UNUSED)
{
	const struct str mechanisms[] = { STR("PLAIN"), STR("LOGIN") };
	struct str missing;
	return sasl_exchange_setup(mechanisms, 2, &missing) == ERR_OK ? 0 : -1;
}

static int
teardown(void **state UNUSED)
{
	sasl_exchange_teardown();
	return 0;
}

static void
test_offers(void **state UNUSED)
{
	assert_true(sasl_exchange_offers(STR("PLAIN")));
	assert_true(sasl_exchange_offers(STR("login")));
	assert_false(sasl_exchange_offers(STR("NTLM")));
	assert_false(sasl_exchange_offers(STR("PLAIN LOGIN")));
	assert_false(sasl_exchange_offers(STR_EMPTY));
	struct sasl_exchange *s = NULL;
	assert_int_equal(sasl_exchange_new(STR("ANONYMOUS"), "imap", &s), ERR_NOTFOUND);
	struct str missing;
	const struct str unknown[] = { STR("PLAIN"), STR("MAGIC") };
	assert_int_equal(sasl_exchange_setup(unknown, 2, &missing), ERR_NOTFOUND);
	assert_true(str_eq(missing, STR("MAGIC")));
	assert_int_equal(setup(NULL), 0);
}

static void
test_plain(void **state UNUSED)
{
	static const struct {
		struct str in;
		enum err want;
		const char *authzid, *name, *password;
	} table[] = {
		{ STR("\0anna\0pw"), ERR_OK, "", "anna", "pw" },
		{ STR("anna\0anna\0pw"), ERR_OK, "", "anna", "pw" },
		{ STR("boss\0anna\0pw"), ERR_OK, "boss", "anna", "pw" },
		{ STR("\0anna@example.org\0p w"), ERR_OK, "", "anna@example.org", "p w" },
		{ STR("\0 anna\0pw"), ERR_DENIED, NULL, NULL, NULL },
		{ STR("\0anna\n\0pw"), ERR_DENIED, NULL, NULL, NULL },
		{ STR(" b\0anna\0pw"), ERR_DENIED, NULL, NULL, NULL },
		{ STR("\0)(uid=*\0pw"), ERR_OK, "", ")(uid=*", "pw" },
		{ STR("\0anna\0"), ERR_DENIED, NULL, NULL, NULL },
		{ STR("\0\0pw"), ERR_DENIED, NULL, NULL, NULL },
		{ STR("\0  \0pw"), ERR_DENIED, NULL, NULL, NULL },
		{ STR("\0anna\0p\0w"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("\0anna"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("anna"), ERR_SYNTAX, NULL, NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		for (int initial = 0; initial < 2; initial++) {
			struct sasl_exchange *s;
			struct str challenge;
			assert_int_equal(sasl_exchange_new(STR("plain"), "imap", &s), ERR_OK);
			if (!initial) {
				assert_int_equal(
					sasl_exchange_step(s, (struct str){ NULL, 0 }, &challenge),
					ERR_AGAIN);
				assert_int_equal(challenge.n, 0);
			}
			assert_int_equal(
				sasl_exchange_step(s, table[i].in, &challenge), table[i].want);
			if (table[i].want == ERR_OK) {
				const struct sasl_claim *c = sasl_exchange_claim(s);
				assert_true(str_eq(c->authzid, str_of(table[i].authzid)));
				assert_true(str_eq(c->name, str_of(table[i].name)));
				assert_true(str_eq(c->password, str_of(table[i].password)));
			}
			sasl_exchange_free(s);
		}
}

static void
test_login(void **state UNUSED)
{
	static const struct {
		struct str name, password;
		enum err want;
	} table[] = {
		{ STR("anna"), STR("pw"), ERR_OK },
		{ STR("an\0na"), STR("pw"), ERR_SYNTAX },
		{ STR("anna"), STR("p\0w"), ERR_SYNTAX },
		{ STR("anna"), STR(""), ERR_DENIED },
		{ STR(""), STR("pw"), ERR_DENIED },
		{ STR(" \v\f"), STR("pw"), ERR_DENIED },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sasl_exchange *s;
		struct str challenge;
		assert_int_equal(sasl_exchange_new(STR("LOGIN"), "smtp", &s), ERR_OK);
		assert_int_equal(
			sasl_exchange_step(s, (struct str){ NULL, 0 }, &challenge), ERR_AGAIN);
		assert_true(str_eq(challenge, STR("Username:")));
		enum err e = sasl_exchange_step(s, table[i].name, &challenge);
		if (e == ERR_AGAIN) {
			assert_true(str_eq(challenge, STR("Password:")));
			e = sasl_exchange_step(s, table[i].password, &challenge);
		}
		assert_int_equal(e, table[i].want);
		if (e == ERR_OK) {
			assert_true(str_eq(sasl_exchange_claim(s)->name, STR("anna")));
			assert_true(str_eq(sasl_exchange_claim(s)->password, STR("pw")));
		}
		sasl_exchange_free(s);
	}
}

static void
test_limits(void **state UNUSED)
{
	struct buf b;
	struct sasl_exchange *s;
	struct str challenge;
	buf_init(&b, SASL_RESPONSE_MAX + 1);
	buf_add(&b, STR("\0a\0"));
	while (b.n < SASL_RESPONSE_MAX)
		buf_addc(&b, 'x');
	assert_int_equal(sasl_exchange_new(STR("PLAIN"), "imap", &s), ERR_OK);
	assert_int_equal(sasl_exchange_step(s, buf_str(&b), &challenge), ERR_OK);
	assert_int_equal(sasl_exchange_claim(s)->password.n, SASL_RESPONSE_MAX - 3);
	sasl_exchange_free(s);
	buf_addc(&b, 'x');
	assert_int_equal(sasl_exchange_new(STR("PLAIN"), "imap", &s), ERR_OK);
	assert_int_equal(sasl_exchange_step(s, buf_str(&b), &challenge), ERR_LIMIT);
	sasl_exchange_free(s);
	/* A name longer than the library's own limit. */
	buf_reset(&b);
	buf_add(&b, STR("\0"));
	while (b.n < 4000)
		buf_addc(&b, 'n');
	buf_add(&b, STR("\0pw"));
	assert_int_equal(sasl_exchange_new(STR("PLAIN"), "imap", &s), ERR_OK);
	assert_int_equal(sasl_exchange_step(s, buf_str(&b), &challenge), ERR_LIMIT);
	sasl_exchange_free(s);
	buf_fini(&b);
	sasl_exchange_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
