/* auth-ldap/server/token.c: what a token service's answer says, and what is no answer; and salts
 * for users who have none (fake_keys.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "auth-ldap/server/fake_keys.h"
#include "auth-ldap/server/token.h"
#include "core/base/buf.h"
#include "core/base/xalloc.h"

enum { NOW = 1000000 };

static void
test_answers(void **state UNUSED)
{
	static const struct {
		const char *json;
		enum err want;
		const char *name, *status;
		int64_t expires;
	} table[] = {
		{ "{\"active\":true,\"username\":\"anna\",\"scope\":\"mail\",\"aud\":\"us\"}",
			ERR_OK, "anna", "", 0 },
		{ " {\"active\":true,\"username\":\"anna\",\"scope\":\"a mail "
		  "b\",\"aud\":[\"x\",\"us\"],"
		  "\"exp\":1000001}\r\n",
			ERR_OK, "anna", "", 1000001 },
		{ "{\"active\":false}", ERR_DENIED, NULL, "invalid_token", 0 },
		{ "{\"active\":true,\"username\":\"anna\",\"scope\":\"mail\",\"aud\":\"us\","
		  "\"exp\":1000000}",
			ERR_DENIED, NULL, "invalid_token", 0 },
		{ "{\"active\":true,\"username\":\"anna\",\"scope\":\"mail\",\"aud\":\"us\","
		  "\"nbf\":1000001}",
			ERR_DENIED, NULL, "invalid_token", 0 },
		{ "{\"active\":true,\"username\":\"anna\",\"scope\":\"mailx\",\"aud\":\"us\"}",
			ERR_DENIED, NULL, "insufficient_scope", 0 },
		{ "{\"active\":true,\"username\":\"anna\",\"aud\":\"us\"}", ERR_DENIED, NULL,
			"insufficient_scope", 0 },
		{ "{\"active\":true,\"username\":\"anna\",\"scope\":\"mail\",\"aud\":[\"usx\",1]}",
			ERR_DENIED, NULL, "invalid_token", 0 },
		{ "{\"active\":true,\"username\":\"anna\",\"scope\":\"mail\"}", ERR_DENIED, NULL,
			"invalid_token", 0 },
		{ "{\"active\":true,\"scope\":\"mail\",\"aud\":\"us\"}", ERR_DENIED, NULL,
			"invalid_token", 0 },
		{ "{\"active\":true,\"username\":\"\",\"scope\":\"mail\",\"aud\":\"us\"}",
			ERR_DENIED, NULL, "invalid_token", 0 },
		{ "{\"active\":true,\"username\":7,\"scope\":\"mail\",\"aud\":\"us\"}", ERR_DENIED,
			NULL, "invalid_token", 0 },
		{ "{\"active\":true,\"username\":\"an\\u0000na\",\"scope\":\"mail\",\"aud\":"
		  "\"us\"}",
			ERR_DENIED, NULL, "invalid_token", 0 },
		/* No answer at all. */
		{ "{\"active\":\"true\",\"username\":\"anna\",\"scope\":\"mail\",\"aud\":\"us\"}",
			ERR_SYNTAX, NULL, "", 0 },
		{ "{\"active\":1,\"username\":\"anna\"}", ERR_SYNTAX, NULL, "", 0 },
		{ "{\"active\":true,\"exp\":\"soon\"}", ERR_SYNTAX, NULL, "", 0 },
		{ "{\"active\":true,\"exp\":-1}", ERR_SYNTAX, NULL, "", 0 },
		{ "{}", ERR_SYNTAX, NULL, "", 0 },
		{ "", ERR_SYNTAX, NULL, "", 0 },
		{ "null", ERR_SYNTAX, NULL, "", 0 },
		{ "true", ERR_SYNTAX, NULL, "", 0 },
		{ "[{\"active\":true}]", ERR_SYNTAX, NULL, "", 0 },
		{ "{\"active\":true,\"username\":\"anna\"", ERR_SYNTAX, NULL, "", 0 },
		{ "{\"active\":false}{\"active\":true}", ERR_SYNTAX, NULL, "", 0 },
		{ "{\"active\":true,\"username\":\"\xff\"}", ERR_SYNTAX, NULL, "", 0 },
		{ "{active:true}", ERR_SYNTAX, NULL, "", 0 },
		{ "<html></html>", ERR_SYNTAX, NULL, "", 0 },
		{ "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", ERR_SYNTAX, NULL, "", 0 },
	};
	struct settings_auth s = { .oauth_user_claim = STR("username"),
		.oauth_scope = STR("mail"),
		.oauth_audience = STR("us") };
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf name;
		int64_t expires;
		const char *status, *why;
		buf_init(&name, 100);
		enum err e = token_answer_read(
			str_of(table[i].json), &s, NOW, &name, &expires, &status, &why);
		if (e != table[i].want)
			print_message("%s: %s\n", table[i].json, why);
		assert_int_equal(e, table[i].want);
		if (e == ERR_OK) {
			assert_true(str_eq(buf_str(&name), str_of(table[i].name)));
			assert_int_equal(expires, table[i].expires);
		} else {
			assert_string_equal(status, table[i].status);
			assert_true(why[0] != '\0');
			assert_int_equal(name.n, 0);
		}
		buf_fini(&name);
	}
}

static void
test_another_claim(void **state UNUSED)
{
	struct settings_auth s = { .oauth_user_claim = STR("email"), .oauth_scope = STR_EMPTY };
	struct buf name;
	int64_t expires;
	const char *status, *why;
	buf_init(&name, 8);
	assert_int_equal(token_answer_read(STR("{\"active\":true,\"email\":\"a@b.c\"}"), &s, NOW,
				 &name, &expires, &status, &why),
		ERR_OK);
	assert_true(str_eq(buf_str(&name), STR("a@b.c")));
	buf_reset(&name);
	assert_int_equal(token_answer_read(STR("{\"active\":true,\"email\":\"far.too@long\"}"), &s,
				 NOW, &name, &expires, &status, &why),
		ERR_DENIED);
	buf_fini(&name);
}

static void
test_made_up_salts(void **state UNUSED)
{
	struct settings *s = xcalloc(1, sizeof *s);
	struct fake_keys a, b;
	struct fake_keys_room room[5];
	struct sasl_keys k[5];
	s->auth.scram_iterations = 5000;
	s->auth.scram_seed = STR("0123456789abcdef");
	fake_keys_setup(&a, s);
	fake_keys_setup(&b, s); /* another process, or another day */
	fake_keys_make(&a, s, STR("nobody"), true, &room[0], &k[0]);
	fake_keys_make(&b, s, STR("NoBody"), true, &room[1], &k[1]);
	fake_keys_make(&a, s, STR("nobody"), false, &room[2], &k[2]);
	fake_keys_make(&a, s, STR("nobodz"), true, &room[3], &k[3]);
	s->auth.scram_seed = STR("0123456789abcdeg");
	fake_keys_setup(&b, s);
	fake_keys_make(&b, s, STR("nobody"), true, &room[4], &k[4]);
	assert_int_equal(k[0].salt.n, 16);
	assert_int_equal(k[0].iterations, 5000);
	assert_int_equal(k[0].stored_key.n, 32);
	assert_int_equal(k[2].stored_key.n, 20);
	assert_true(str_eq(k[0].salt, k[1].salt));
	for (int i = 2; i < 5; i++)
		assert_false(str_eq(k[0].salt, k[i].salt));
	/* And nothing that could be searched for a password. */
	assert_false(str_eq(k[0].stored_key, k[1].stored_key));
	/* All names of what would be one user. */
	struct settings_directory d = { .netbios_domain = STR("CORP"),
		.domains = { (struct str[]){ STR("example.com") }, 1 } };
	s->auth.default_domain = STR("example.org");
	s->directories = &d;
	s->directories_count = 1;
	static const char *const same[][2] = { { "nobody", "Nobody@Example.org" },
		{ "CORP\\nobody", "nobody@example.com" }, { "OTHER\\nobody", "nobody" } };
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		fake_keys_make(&a, s, str_of(same[i][0]), true, &room[1], &k[1]);
		fake_keys_make(&a, s, str_of(same[i][1]), true, &room[2], &k[2]);
		assert_true(str_eq(k[1].salt, k[2].salt));
	}
	fake_keys_make(&a, s, STR("CORP\\nobody"), true, &room[1], &k[1]);
	fake_keys_make(&a, s, STR("nobody"), true, &room[2], &k[2]);
	assert_false(str_eq(k[1].salt, k[2].salt));
	s->directories_count = 0;
	/* Without a seed: this machine's. */
	s->auth.scram_seed = STR_EMPTY;
	fake_keys_setup(&a, s);
	fake_keys_make(&a, s, STR("nobody"), true, &room[1], &k[1]);
	assert_false(str_eq(k[0].salt, k[1].salt));
	free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_another_claim),
		cmocka_unit_test(test_made_up_salts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
