/* core/passwd: every scheme against hashes that other programs made, round trips, damaged hashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/base/xalloc.h"
#include "core/passwd/passwd.h"

#define PASSWORD        \
	STR("s\xc3\xa9" \
	    "cret-1")

/* Made by doveadm pw 2.3 (-s SCHEME -p 'sécret-1'), where nothing else is said. */
static const struct {
	const char *stored;
	const char *dflt;
} known[] = {
	{ "{SSHA}fAbGAfm7EOCrnApCk0IVB2V2BW1PffYC", "" },
	{ "{SSHA256}p/8LmjnbYgVuoENksUm6nPjJ2H9jMl7pds+g8cD6LGzzkmqB", "" },
	{ "{SSHA512}Yvio20aEGxHmLhQdxHFkS9n84hdk9eLhXg1HEumMT7Vxz8X4v8Pg/"
	  "vqbspTMC7lT3+V0AQbRZbciGen1JOfPcdiAx5c=",
		"" },
	{ "{SHA}5jp1+puNgiFF+0e524BUmwlhXAc=", "" },
	{ "{SHA1}5jp1+puNgiFF+0e524BUmwlhXAc=", "" },
	{ "{SHA256}udbq8cZ7XLPFDePOs4IGhD2LJAyVB+RqyHqAmAVi0v0=", "" },
	{ "{SHA512}xzu2jUg1PguAN8GSKRGNyHq4PYCY2qcl2HzmFE9k3BJqINzUQUjDtBNan8yVSZhVhJQH75V/"
	  "F3/OlRc2F6AhVg==",
		"" },
	{ "{SMD5}gMHSlvLtK2yf+P5oX6Acss4vwEQ=", "" },
	{ "{PLAIN-MD5}700266c8ff9733634539a86027b03da5", "" },
	{ "{LDAP-MD5}cAJmyP+XM2NFOahgJ7A9pQ==", "" },
	{ "{PBKDF2}$1$DpBfSs5xq8u8XlXW$5000$51dc80ee4a75bf31970754a257b88f039e25aacd", "" },
	{ "{SCRAM-SHA-256}4096,Cn+bRtgjajfuJGiKxEB9WA==,"
	  "cfEaaJzCt6eOQFAfoxa4bsDh2Q7YrbKRBPSwa/8DLvY=,"
	  "DfRFc2DkTwa3R7X7D4qHDaFgdG6vShxKLHfUFO1M8FI=",
		"" },
	{ "{SCRAM-SHA-1}4096,cL9Ozv9cifu3C42xeBgIZQ==,4keTgzFwcUMgWT3mDNC6g2cr1ys=,"
	  "5vwItKWG/B/xel8EljyoCgpfw6Y=",
		"" },
	{ "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$mdSqA9j3VykSiXUwUZLURw$"
	  "MGsGQ5dqsKFTt5e5rovz9ChL6kq2I1kuQ1hrLg+zP7k",
		"" },
	{ "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$92Zume/bTJQkt6zFcYl1sw$"
	  "0TDQ5NpatV+AhURDgCL/VBUHN1n3YjhLz7LVo6L672E",
		"" },
	{ "{BLF-CRYPT}$2y$05$rwKq8gayoL186Tq.83ocXOudWyp6PT.vfeQUs8.zDV/yW0nGziU5K", "" },
	{ "{SHA512-CRYPT}$6$sxceLaWVPM4TY2fF$kTTlUaYdB6/0J/"
	  "SmcwZmcaTn9988.H8wH/l9Z9XMbT1h15wjx/98tTgu7kXeEnufm2QE6WnKgYaTBa144hWCd0",
		"" },
	{ "{SHA256-CRYPT}$5$2g13z93rVGqrXVRL$ztaVWQU6GGPI3baUUPGERrOTi4COdD1voytjqkRZ.oA", "" },
	{ "{MD5-CRYPT}$1$DzbF82tm$sVVC3lhfJubMWRFD8J8aV1", "" },
	{ "{MD5}$1$DzbF82tm$sVVC3lhfJubMWRFD8J8aV1", "" },
	{ "{CRYPT}$2y$05$LeNAvW24z9AEJ2yGaIZ3W.1e8a/BwC2iQUlN2VZi8Y.el.FQqCAqe", "" },
	{ "{DES-CRYPT}a3syashvrW9P6", "" },
	{ "{PLAIN}s\xc3\xa9"
	  "cret-1",
		"" },
	{ "{CLEARTEXT}s\xc3\xa9"
	  "cret-1",
		"" },
	{ "{plain}s\xc3\xa9"
	  "cret-1",
		"" },
	{ "s\xc3\xa9"
	  "cret-1",
		"PLAIN" },
	{ "{SSHA256.HEX}b81b8b841f9872d4d95bdd3083267a35bc7917239c4ab6bbda43ba066b4fc4c01048602d",
		"" },
	{ "{SHA.HEX}e63a75fa9b8d822145fb47b9db80549b09615c07", "" },
	{ "{SHA}e63a75fa9b8d822145fb47b9db80549b09615c07", "" },
	{ "{SHA512.b64}xzu2jUg1PguAN8GSKRGNyHq4PYCY2qcl2HzmFE9k3BJqINzUQUjDtBNan8yVSZhVhJQH75V/"
	  "F3/OlRc2F6AhVg==",
		"" },
	/* slappasswd -h {SSHA} */
	{ "{SSHA}f909dwZ3vCiGkrI+eOGehiHdQrZbxC0r", "" },
	/* openssl passwd -6; without a scheme it is CRYPT */
	{ "$6$abcdefgh$q0UH.sx5.71Ln8pWH0i1PZG.eWV2/"
	  "wNATO9EJw8OlnWyWtzcJ6LGNwVb4la0NjeQDtrk71isRvqVgRJUeOJ0k0",
		"" },
	{ "$6$abcdefgh$q0UH.sx5.71Ln8pWH0i1PZG.eWV2/"
	  "wNATO9EJw8OlnWyWtzcJ6LGNwVb4la0NjeQDtrk71isRvqVgRJUeOJ0k0",
		"SHA512-CRYPT" },
};

static void
test_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct str stored = str_of(known[i].stored), dflt = str_of(known[i].dflt);
		print_message("%s\n", known[i].stored);
		assert_int_equal(passwd_check(stored, dflt), ERR_OK);
		assert_int_equal(passwd_verify(stored, dflt, PASSWORD), ERR_OK);
		/* crypt's DES sees eight bytes only */
		assert_int_equal(passwd_verify(stored, dflt,
					 STR("S\xc3\xa9"
					     "cret-1")),
			ERR_DENIED);
		assert_int_equal(passwd_verify(stored, dflt,
					 STR("s\xc3\xa9"
					     "cret")),
			ERR_DENIED);
		assert_int_equal(passwd_verify(stored, dflt, STR("")), ERR_DENIED);
		assert_int_equal(passwd_verify(stored, dflt,
					 STR("s\xc3\xa9"
					     "cret-1\0")),
			ERR_DENIED);
	}
}

/* Nothing that is damaged lets anybody in, whatever the password. */
static void
test_damaged(void **state)
{
	static const char *const bad[] = { "", "{", "{}", "{NONE}x", "{SSHA", "{SSHA}",
		"{SSHA}####", "{SHA}5jp1+puNgiFF+0e524BUmwlhXAc",
		"{SHA}5jp1+puNgiFF+0e524BUmwlhXA==", "{SHA}5jp1+puNgiFF+0e524BUmwlhXAcAAAA=",
		"{SHA.ROT13}x", "{PLAIN}",
		"{SHA512-CRYPT}$5$2g13z93rVGqrXVRL$ztaVWQU6GGPI3baUUPGERrOTi4COdD1voytjqkRZ.oA",
		"{BLF-CRYPT}$6$abcdefgh$x", "{ARGON2ID}$argon2id$", "{ARGON2ID}x",
		"{ARGON2ID}$argon2i$v=19$m=32768,t=4,p=1$92Zume/bTJQkt6zFcYl1sw$0TDQ5NpatV",
		"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$$",
		"{ARGON2ID}$argon2id$v=19$m=x,t=3,p=1$a$b",
		"{PBKDF2}$1$$5000$51dc80ee4a75bf31970754a257b88f039e25aacd",
		"{PBKDF2}$1$a$0$51dc80ee4a75bf31970754a257b88f039e25aacd", "{PBKDF2}$1$a$5000$51dc",
		"{SCRAM-SHA-256}4096,Cn+bRtgjajfuJGiKxEB9WA==,cfEaaJzC,DfRFc2Dk",
		"{SCRAM-SHA-256}0,Cn+bRtgjajfuJGiKxEB9WA==,"
		"cfEaaJzCt6eOQFAfoxa4bsDh2Q7YrbKRBPSwa/8DLvY=,"
		"DfRFc2DkTwa3R7X7D4qHDaFgdG6vShxKLHfUFO1M8FI=",
		"{SCRAM-SHA-256}4096", "nonsense", "a password in clear", "a" };
	char longer[2000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		print_message("%s\n", bad[i]);
		assert_int_equal(passwd_verify(str_of(bad[i]), STR(""), PASSWORD), ERR_SYNTAX);
		assert_int_equal(
			passwd_verify(str_of(bad[i]), STR(""), str_of(bad[i])), ERR_SYNTAX);
	}
	memset(longer, 'x', sizeof longer);
	memcpy(longer, "{PLAIN}", 7);
	assert_int_equal(passwd_verify(str_n(longer, sizeof longer), STR(""),
				 str_n(longer + 7, sizeof longer - 7)),
		ERR_SYNTAX);
	/* a hash that would take a day or all memory */
	assert_int_equal(passwd_verify(STR("{ARGON2ID}$argon2id$v=19$m=4194304,t=3,p=1$"
					   "mdSqA9j3VykSiXUwUZLURw$MGsGQ5dqsKFTt5e5rovz9A"),
				 STR(""), PASSWORD),
		ERR_LIMIT);
	assert_int_equal(passwd_verify(STR("{PBKDF2}$1$a$2000000$"
					   "51dc80ee4a75bf31970754a257b88f039e25aacd"),
				 STR(""), PASSWORD),
		ERR_LIMIT);
	/* locked in the manner of shadow(5) */
	assert_int_equal(
		passwd_verify(STR("{CRYPT}!$6$abcdefgh$x"), STR(""), PASSWORD), ERR_DENIED);
	assert_int_equal(passwd_verify(STR("*"), STR(""), STR("*")), ERR_DENIED);
	assert_int_equal(passwd_verify(STR("!"), STR(""), STR("!")), ERR_DENIED);
}

static void
test_make(void **state)
{
	struct buf list, made, again;
	struct str rest, line;
	size_t count = 0;

	(void)state;
	buf_init(&list, 4096);
	buf_init(&made, 2048);
	buf_init(&again, 2048);
	passwd_list(&list);
	for (rest = buf_str(&list); rest.n != 0;) {
		(void)str_cut(rest, '\n', &line, &rest);
		assert_true(line.n != 0);
		if (str_ends(line, STR(" (only read)")))
			continue;
		assert_true(passwd_scheme_known(line));
		buf_reset(&made);
		buf_reset(&again);
		assert_int_equal(passwd_make(line, PASSWORD, &made), ERR_OK);
		assert_int_equal(passwd_make(line, PASSWORD, &again), ERR_OK);
		print_message("%.*s\n", STR_FMT(buf_str(&made)));
		assert_int_equal(passwd_verify(buf_str(&made), STR(""), PASSWORD), ERR_OK);
		assert_int_equal(
			passwd_verify(buf_str(&made), STR(""), STR("secret-1")), ERR_DENIED);
		/* a new salt each time, where there is one */
		if (str_eq(buf_str(&made), buf_str(&again)))
			assert_true(str_starts(line, STR("SHA")) || str_ends(line, STR("-MD5")) ||
				    str_starts(line, STR("PLAIN")) ||
				    str_starts(line, STR("CLEAR")));
		count++;
	}
	assert_true(count >= 20);
	buf_reset(&made);
	assert_int_equal(passwd_make(STR(""), PASSWORD, &made), ERR_OK);
	assert_true(str_starts(buf_str(&made), STR("{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$")));
	buf_reset(&made);
	assert_int_equal(passwd_make(STR("NONE"), PASSWORD, &made), ERR_NOTFOUND);
	assert_int_equal(passwd_make(STR("DES-CRYPT"), PASSWORD, &made), ERR_NOTFOUND);
	assert_int_equal(passwd_make(STR("SSHA"), STR(""), &made), ERR_SYNTAX);
	assert_int_equal(passwd_make(STR("CRYPT"), STR("a\0b"), &made), ERR_SYNTAX);
	buf_fini(&list);
	buf_fini(&made);
	buf_fini(&again);
}

static void
test_scram(void **state)
{
	/* RFC 7677 3: user "user", password "pencil" */
	static const char *const stored = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
					  "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
					  "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
	struct passwd_scram k, plain;

	(void)state;
	assert_int_equal(passwd_verify(str_of(stored), STR(""), STR("pencil")), ERR_OK);
	assert_int_equal(
		passwd_scram(str_of(stored), STR(""), true, STR("0123456789abcdef"), 5000, &k),
		ERR_OK);
	assert_int_equal(k.iterations, 4096);
	assert_int_equal(k.salt_n, 16);
	assert_int_equal(k.key_n, 32);
	assert_int_equal(k.stored_key[0], 0x58);
	assert_int_equal(
		passwd_scram(str_of(stored), STR(""), false, STR("0123456789abcdef"), 5000, &k),
		ERR_NOTFOUND);
	assert_int_equal(passwd_scram(STR("{SSHA}f909dwZ3vCiGkrI+eOGehiHdQrZbxC0r"), STR(""), true,
				 STR("0123456789abcdef"), 5000, &k),
		ERR_NOTFOUND);
	assert_int_equal(passwd_scram(STR("{SCRAM-SHA-256}x"), STR(""), true,
				 STR("0123456789abcdef"), 5000, &k),
		ERR_SYNTAX);
	assert_int_equal(passwd_scram(STR("{PLAIN}pencil"), STR(""), false, STR("0123456789abcdef"),
				 5000, &plain),
		ERR_OK);
	assert_int_equal(plain.key_n, 20);
	assert_int_equal(passwd_scram(STR("{PLAIN}pencil"), STR(""), true, STR("0123456789abcdef"),
				 5000, &plain),
		ERR_OK);
	assert_int_equal(plain.key_n, 32);
	assert_int_equal(plain.iterations, 5000);
	assert_int_equal(plain.salt_n, 16);
	assert_memory_equal(plain.salt, "0123456789abcdef", 16);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_scram),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
