/* auth-ldap/directory: what values of attributes mean, and keys of SCRAM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth-ldap/directory/attributes.h"
#include "auth-ldap/directory/secret.h"
#include "core/base/codec.h"
#include "core/base/xalloc.h"

static void
test_expiry(void **state UNUSED)
{
	static const struct {
		const char *value, *format;
		int64_t want; /* -1: not understood */
	} table[] = {
		{ "20271231235959Z", "generalized-time", 1830297599 },
		{ "20271231235959Z", "auto", 1830297599 },
		{ "202712312359Z", "auto", 1830297540 },
		{ "2027123123Z", "auto", 1830294000 },
		{ "20271231235959.123Z", "auto", 1830297599 },
		{ "20271231235959,5Z", "auto", 1830297599 },
		{ "20271231235959+0100", "auto", 1830293999 },
		{ "20271231235959-0530", "auto", 1830317399 },
		{ "20271231235959+01", "auto", 1830293999 },
		{ "20280229000000Z", "auto", 1835395200 },
		{ "19700101000000Z", "auto", 1 },
		{ "16010101000000Z", "auto", 1 },
		{ "20270229000000Z", "auto", -1 },
		{ "21000229000000Z", "auto", -1 },
		{ "20271301000000Z", "auto", -1 },
		{ "20270001000000Z", "auto", -1 },
		{ "20270100000000Z", "auto", -1 },
		{ "20270432000000Z", "auto", -1 },
		{ "20270431000000Z", "auto", -1 },
		{ "20271231240000Z", "auto", -1 },
		{ "20271231236000Z", "auto", -1 },
		{ "20271231235961Z", "auto", -1 },
		{ "20271231235959", "auto", -1 },
		{ "20271231235959z", "auto", -1 },
		{ "20271231235959.Z", "auto", -1 },
		{ "20271231235959+1", "auto", -1 },
		{ "20271231235959+2400", "auto", -1 },
		{ "20271231235959+0160", "auto", -1 },
		{ "20271231235959ZZ", "auto", -1 },
		{ "20271231", "auto", -1 },
		{ "never", "auto", -1 },
		{ "", "auto", -1 },
		{ " 20271231235959Z", "auto", -1 },
		{ "1830297599", "generalized-time", -1 },
		{ "132857856000000000", "filetime", 1641312000 },
		{ "132857856000000000", "auto", 1641312000 },
		{ "0", "filetime", 0 },
		{ "9223372036854775807", "filetime", 0 },
		{ "9223372036854775807", "auto", 0 },
		{ "1", "filetime", 1 },
		{ "9223372036854775808", "filetime", -1 },
		{ "-1", "filetime", -1 },
		{ "21184", "days", 1830297600 },
		{ "21184", "auto", 1830297600 },
		{ "0", "days", 1 },
		{ "-1", "days", 0 },
		{ "-1", "auto", 0 },
		{ "-2", "days", -1 },
		{ "999999999999999999", "days", -1 },
		{ "0", "auto", -1 },
		{ "1830297600", "seconds", 1830297600 },
		{ "1830297600", "auto", 1830297600 },
		{ "0", "seconds", 1 },
		{ "-1", "seconds", -1 },
		{ "12345678", "auto", -1 },
		{ "1830297600x", "auto", -1 },
		{ "21184", "weeks", -1 },
		{ "20271231235959Z", "days", -1 },
		{ "20271231235959Z", "seconds", -1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int64_t sec = -1;
		enum err e = expiry_parse(str_of(table[i].value), str_of(table[i].format), &sec);
		if (e != (table[i].want < 0 ? ERR_SYNTAX : ERR_OK) || sec != table[i].want)
			fail_msg("%s as %s: %s %lld", table[i].value, table[i].format, err_name(e),
				(long long)sec);
	}
}

static struct str_list
list_of(const char *words, struct str *v)
{
	struct str_list l = { v, 0 };
	struct str rest = str_of(words), word = word_take(&rest);
	for (; word.n > 0; word = word_take(&rest))
		v[l.n++] = word;
	return l;
}

static void
test_enabled(void **state UNUSED)
{
	static const struct {
		const char *values, *enabled, *disabled;
		int want; /* 0: on, 1: off, -1: not understood */
	} table[] = {
		/* FreeIPA, 389 DS */
		{ "TRUE", "false", "true", 1 },
		{ "False", "false", "true", 0 },
		{ "", "false", "true", 0 },
		{ "maybe", "false", "true", -1 },
		{ "false true", "false", "true", 1 },
		{ "false maybe", "false", "true", -1 },
		{ "maybe true", "false", "true", 1 },
		/* Active Directory */
		{ "512", "", "bit:2", 0 },
		{ "514", "", "bit:2", 1 },
		{ "66050", "", "bit:2", 1 },
		{ "66048", "", "bit:2", 0 },
		{ "-2147483646", "", "bit:2", 1 },
		{ "-2147483648", "", "bit:2", 0 },
		{ "x", "", "bit:2", -1 },
		{ "2x", "", "bit:2", -1 },
		{ "512", "", "bit:x", -1 },
		{ "99999999999999999999", "", "bit:2", -1 },
		/* OpenLDAP */
		{ "000001010000Z", "*", "000001010000Z", 1 },
		{ "20270101000000Z", "*", "000001010000Z", 0 },
		/* own schemas */
		{ "active", "active enabled", "disabled", 0 },
		{ "Disabled", "active enabled", "disabled", 1 },
		{ "suspended", "active enabled", "disabled", -1 },
		{ "suspended", "active", "*", 1 },
		{ "x", "", "", -1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str values[4], on[4], off[4];
		struct str_list v = list_of(table[i].values, values);
		struct str_list enabled = list_of(table[i].enabled, on);
		struct str_list disabled = list_of(table[i].disabled, off);
		bool is_off = false;
		enum err e = enabled_parse(v.v, v.n, &enabled, &disabled, &is_off);
		if (e != (table[i].want < 0 ? ERR_SYNTAX : ERR_OK) ||
			(e == ERR_OK && is_off != (table[i].want == 1)))
			fail_msg("%s among %s, %s: %s %d", table[i].values, table[i].enabled,
				table[i].disabled, err_name(e), is_off);
	}
}

static void
test_words(void **state UNUSED)
{
	static const struct {
		const char *word;
		bool want;
	} services[] = {
		{ "imap", true },
		{ "!smtp", true },
		{ "managesieve-2", true },
		{ "", false },
		{ "!", false },
		{ "!!imap", false },
		{ "im ap", false },
		{ "imap*", false },
		{ "im\xc3\xa4p", false },
	};
	static const struct {
		const char *value, *want;
	} addresses[] = {
		{ "anna@example.org", "anna@example.org" },
		{ "smtp:anna@example.org", "anna@example.org" },
		{ "SMTP:Anna@example.org", "Anna@example.org" },
		{ "X500:/o=x/cn=anna", "" },
		{ "sip:anna@example.org", "" },
		{ "smtp:", "" },
		{ "", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		assert_int_equal(service_ok(str_of(services[i].word)), services[i].want);
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
		assert_true(str_eq(
			address_value(str_of(addresses[i].value)), str_of(addresses[i].want)));
	struct str rest = STR(" imap,,smtp\tpop3 , "), word;
	static const char *const want[] = { "imap", "smtp", "pop3", "", "" };
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		word = word_take(&rest);
		assert_true(str_eq(word, str_of(want[i])));
	}
}

/* RFC 7677 3: user "user", password "pencil". */
#define SALT	"W22ZaJ0SNY7soEsUEjb6gQ=="
#define STORED	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define STORED1 "6dlGYMOdZcOPutkcNY8U2g7vK9Y="
#define SERVER1 "D+CSWLOshSulAsxiupA+qs2/fTE="
#define SALT1	"QSXCR+Q6sek8bf92"

static void
test_secrets(void **state UNUSED)
{
	static const struct {
		const char *value;
		enum err want;
		bool sha256, sha1;
	} table[] = {
		{ "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER, ERR_OK, true, false },
		{ " scram-sha-256 $ 4096:" SALT " $ " STORED ":" SERVER " ", ERR_OK, true, false },
		{ "{SCRAM-SHA-256}4096:" SALT "$" STORED ":" SERVER, ERR_OK, true, false },
		{ "{SCRAM-SHA-256}4096," SALT "," STORED "," SERVER, ERR_OK, true, false },
		{ "{scram-sha-1}4096," SALT1 "," STORED1 "," SERVER1, ERR_OK, false, true },
		{ "SCRAM-SHA-1$4096:" SALT1 "$" STORED1 ":" SERVER1, ERR_OK, false, true },
		{ "SCRAM-SHA-512$4096:" SALT "$" STORED ":" SERVER, ERR_NOTFOUND, false, false },
		{ "{SSHA}W22ZaJ0SNY7soEsUEjb6gQ==", ERR_NOTFOUND, false, false },
		{ "pencil", ERR_NOTFOUND, false, false },
		{ "", ERR_NOTFOUND, false, false },
		{ "{SCRAM-SHA-256}", ERR_SYNTAX, false, false },
		{ "SCRAM-SHA-256$0:" SALT "$" STORED ":" SERVER, ERR_SYNTAX, false, false },
		{ "SCRAM-SHA-256$-1:" SALT "$" STORED ":" SERVER, ERR_SYNTAX, false, false },
		{ "SCRAM-SHA-256$99999999:" SALT "$" STORED ":" SERVER, ERR_SYNTAX, false, false },
		{ "SCRAM-SHA-256$4096:$" STORED ":" SERVER, ERR_SYNTAX, false, false },
		{ "SCRAM-SHA-256$4096:" SALT "$" STORED1 ":" SERVER, ERR_SYNTAX, false, false },
		{ "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER1, ERR_SYNTAX, false, false },
		{ "SCRAM-SHA-256$4096:" SALT "$" STORED, ERR_SYNTAX, false, false },
		{ "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER ":x", ERR_SYNTAX, false, false },
		{ "SCRAM-SHA-1$4096:" SALT "$" STORED ":" SERVER, ERR_SYNTAX, false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct secret_keys k;
		struct buf want;
		secret_keys_init(&k);
		buf_init(&want, 100);
		enum err e = secret_keys_add(&k, str_of(table[i].value));
		if (e != table[i].want)
			fail_msg("%s: %s", table[i].value, err_name(e));
		assert_int_equal(k.secret.sha256.stored_key.n, table[i].sha256 ? 32 : 0);
		assert_int_equal(k.secret.sha1.stored_key.n, table[i].sha1 ? 20 : 0);
		assert_int_equal(secret_keys_any(&k), table[i].sha256 || table[i].sha1);
		if (table[i].sha256) {
			assert_int_equal(k.secret.sha256.iterations, 4096);
			assert_int_equal(base64_decode(&want, STR(SERVER)), ERR_OK);
			assert_true(str_eq(k.secret.sha256.server_key, buf_str(&want)));
			buf_reset(&want);
			assert_int_equal(base64_decode(&want, STR(SALT)), ERR_OK);
			assert_true(str_eq(k.secret.sha256.salt, buf_str(&want)));
		}
		buf_fini(&want);
		secret_keys_fini(&k);
	}
}

/* Both hashes together; a second value of the same hash and broken ones change nothing. */
static void
test_several_secrets(void **state UNUSED)
{
	struct secret_keys k;
	secret_keys_init(&k);
	assert_int_equal(secret_keys_add(&k, STR("SCRAM-SHA-256$4096:" SALT "$x:y")), ERR_SYNTAX);
	assert_int_equal(
		secret_keys_add(&k, STR("SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER)), ERR_OK);
	assert_int_equal(
		secret_keys_add(&k, STR("SCRAM-SHA-1$5000:" SALT1 "$" STORED1 ":" SERVER1)),
		ERR_OK);
	assert_int_equal(
		secret_keys_add(&k, STR("SCRAM-SHA-256$1:" SALT1 "$" STORED ":" SERVER)), ERR_OK);
	assert_int_equal(k.secret.sha256.iterations, 4096);
	assert_int_equal(k.secret.sha256.salt.n, 16);
	assert_int_equal(k.secret.sha1.iterations, 5000);
	assert_int_equal(k.secret.sha1.salt.n, 12);
	for (int i = 0; i < 1000; i++) {
		enum err e = secret_keys_add(&k, STR("{SCRAM-SHA-1}1,AA==,AA==,AA=="));
		assert_int_equal(e, ERR_OK);
	}
	secret_keys_fini(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_enabled),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_several_secrets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
