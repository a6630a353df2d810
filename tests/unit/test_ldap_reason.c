/* Why a bind was refused: the password policy control's BER, Active Directory's sub-codes, and
 * what of it a stranger could hear as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth-ldap/ldap/reason.h"

#define AD(sub)                                                                             \
	"80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data " sub \
	", v3839"

static const struct {
	const char *ber;
	size_t n;
	enum err err;
	int64_t expires, grace;
	int error;
} bers[] = {
	{ "\x30\x00", 2, ERR_OK, -1, -1, -1 },
	{ "\x30\x03\x81\x01\x00", 5, ERR_OK, -1, -1, 0 },
	{ "\x30\x03\x81\x01\x02", 5, ERR_OK, -1, -1, 2 },
	{ "\x30\x05\xa0\x03\x80\x01\x3c", 7, ERR_OK, 60, -1, -1 },
	{ "\x30\x06\xa0\x04\x80\x02\x0e\x10", 8, ERR_OK, 3600, -1, -1 },
	{ "\x30\x05\xa0\x03\x81\x01\x03", 7, ERR_OK, -1, 3, -1 },
	{ "\x30\x08\xa0\x03\x81\x01\x00\x81\x01\x00", 10, ERR_OK, -1, 0, 0 },
	{ "\x30\x81\x03\x81\x01\x01", 6, ERR_OK, -1, -1, 1 }, /* long form of the length */
	{ "\x30\x08\xa0\x06\x80\x04\x7f\xff\xff\xff", 10, ERR_OK, 0x7fffffff, -1, -1 },
	{ "\x30\x09\xa0\x07\x80\x05\x00\xff\xff\xff\xff", 11, ERR_LIMIT, 0, 0, 0 },
	{ "\x30\x05\xa0\x03\x80\x01\xff", 7, ERR_SYNTAX, 0, 0, 0 }, /* negative */
	{ "\x30\x05\xa0\x03\x80\x00\x00", 7, ERR_SYNTAX, 0, 0, 0 }, /* no number, one byte over */
	{ "\x30\x04\xa0\x02\x80\x00", 6, ERR_SYNTAX, 0, 0, 0 },
	{ "\x30\x02\xa0\x00", 4, ERR_SYNTAX, 0, 0, 0 },
	{ "\x30\x05\xa0\x03\x82\x01\x01", 7, ERR_SYNTAX, 0, 0, 0 },
	{ "\x30\x03\x82\x01\x01", 5, ERR_SYNTAX, 0, 0, 0 },
	{ "\x30\x04\x81\x01\x01\x00", 6, ERR_SYNTAX, 0, 0, 0 }, /* a byte behind */
	{ "\x30\x03\x81\x01\x01\x00", 6, ERR_SYNTAX, 0, 0, 0 },
	{ "\x30\x04\x81\x01\x01", 5, ERR_SYNTAX, 0, 0, 0 }, /* cut */
	{ "\x30\x80\x81\x01\x01", 5, ERR_SYNTAX, 0, 0, 0 }, /* indefinite */
	{ "\x30\x85\x00\x00\x00\x00\x03\x81\x01\x01", 10, ERR_SYNTAX, 0, 0, 0 },
	{ "\x30\x84\xff\xff\xff\xff\x81", 7, ERR_SYNTAX, 0, 0, 0 },
	{ "\x31\x00", 2, ERR_SYNTAX, 0, 0, 0 },
	{ "\x30", 1, ERR_SYNTAX, 0, 0, 0 },
	{ "", 0, ERR_SYNTAX, 0, 0, 0 },
};

static void
test_control(void **state UNUSED)
{
	for (size_t i = 0; i < sizeof bers / sizeof *bers; i++) {
		struct ppolicy_answer a;
		struct str in = str_n(bers[i].ber, bers[i].n);
		print_message("row %zu\n", i);
		assert_int_equal(ppolicy_parse(in, &a), bers[i].err);
		if (bers[i].err != ERR_OK)
			continue;
		assert_int_equal(a.expires_sec, bers[i].expires);
		assert_int_equal(a.grace, bers[i].grace);
		assert_int_equal(a.error, bers[i].error);
		/* Cut anywhere it is not the same any more. */
		for (size_t n = 0; n < in.n; n++)
			assert_int_equal(ppolicy_parse(str_sub(in, 0, n), &a), ERR_SYNTAX);
	}
}

static void
test_subcode(void **state UNUSED)
{
	static const struct {
		const char *text;
		unsigned code;
	} table[] = {
		{ AD("52e"), 0x52e },
		{ AD("773"), 0x773 },
		{ AD("0"), 0 },
		{ AD("52E"), 0x52e },
		{ "80090308: LdapErr: DSID-0C0904DC, comment: AcceptSecurityContext error, data "
		  "532, v1db1\r",
			0x532 },
		{ AD("52e52e"), 0 },
		{ AD("52x"), 0 },
		{ AD(""), 0 },
		{ "comment: AcceptSecurityContext error, data 533", 0x533 },
		{ "comment: AcceptSecurityContext error, data ", 0 },
		{ "AcceptSecurityContext error", 0 },
		{ "bad user, data 533, sorry", 0 },
		{ "", 0 },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		print_message("%s\n", table[i].text);
		assert_int_equal(ad_subcode(str_of(table[i].text)), table[i].code);
	}
}

#define NONE                            \
	{                               \
		{                       \
			{ NULL, 0 },    \
			{               \
				NULL, 0 \
			}               \
		}                       \
	}
#define PP(bytes)                                       \
	{                                               \
		{                                       \
			STR(PPOLICY_OID),               \
			{                               \
				bytes, sizeof bytes - 1 \
			}                               \
		}                                       \
	}
#define OLD(number, text)                                     \
	{                                                     \
		{                                             \
			STR("2.16.840.1.113730.3.4." number), \
			{                                     \
				text, sizeof text - 1         \
			}                                     \
		}                                             \
	}

static const struct {
	const char *what;
	int result;
	const char *diagnostic;
	struct ldap_control controls[1];
	enum ldap_bind_reason reason;
	bool told, bound;
	int64_t expires;
	int grace;
} facts[] = {
	{ "plain yes", 0, "", NONE, LDAP_BIND_FINE, true, true, -1, -1 },
	{ "plain no", 49, "", NONE, LDAP_BIND_PASSWORD, false, false, -1, -1 },
	{ "no such object", 32, "", NONE, LDAP_BIND_UNKNOWN, false, false, -1, -1 },
	/* OpenLDAP */
	{ "expired", 49, "", PP("\x30\x03\x81\x01\x00"), LDAP_BIND_PASSWORD_EXPIRED, true, false,
		-1, -1 },
	{ "locked", 49, "", PP("\x30\x03\x81\x01\x01"), LDAP_BIND_LOCKED, false, false, -1, -1 },
	{ "reset", 0, "", PP("\x30\x03\x81\x01\x02"), LDAP_BIND_MUST_CHANGE, true, true, -1, -1 },
	{ "expires", 0, "", PP("\x30\x05\xa0\x03\x80\x01\x3c"), LDAP_BIND_FINE, true, true, 60,
		-1 },
	{ "grace", 0, "", PP("\x30\x05\xa0\x03\x81\x01\x02"), LDAP_BIND_FINE, true, true, -1, 2 },
	{ "an error of changes", 49, "", PP("\x30\x03\x81\x01\x05"), LDAP_BIND_PASSWORD, false,
		false, -1, -1 },
	{ "garbage", 49, "", PP("\x30\x03\x81\x09\x00"), LDAP_BIND_PASSWORD, false, false, -1, -1 },
	{ "empty control", 49, "", PP("\x30\x00"), LDAP_BIND_PASSWORD, false, false, -1, -1 },
	/* 389 DS */
	{ "old expired", 49, "password expired!", OLD("4", "0"), LDAP_BIND_PASSWORD_EXPIRED, true,
		false, -1, -1 },
	{ "old must change", 0, "", OLD("4", "0"), LDAP_BIND_MUST_CHANGE, true, true, -1, -1 },
	{ "old expiring", 0, "", OLD("5", "86400"), LDAP_BIND_FINE, true, true, 86400, -1 },
	{ "old expiring, no number", 0, "", OLD("5", "soon"), LDAP_BIND_FINE, true, true, -1, -1 },
	{ "retry limit", 19, "Exceed password retry limit. Please try later.", NONE,
		LDAP_BIND_LOCKED, false, false, -1, -1 },
	{ "inactivated", 53, "Account inactivated. Contact system administrator.", NONE,
		LDAP_BIND_DISABLED, false, false, -1, -1 },
	{ "inactivated, and the control", 53, "Account inactivated. Contact system administrator.",
		PP("\x30\x03\x81\x01\x01"), LDAP_BIND_DISABLED, false, false, -1, -1 },
	{ "IPA locked", 53, "Too many failed logins.\n", NONE, LDAP_BIND_LOCKED, false, false, -1,
		-1 },
	{ "IPA expired", 53, "Account (Kerberos principal) is expired", NONE,
		LDAP_BIND_ACCOUNT_EXPIRED, false, false, -1, -1 },
	{ "unwilling", 53, "", NONE, LDAP_BIND_REFUSED, false, false, -1, -1 },
	{ "no access", 50, "account inactivated", NONE, LDAP_BIND_REFUSED, false, false, -1, -1 },
	/* Active Directory */
	{ "AD unknown", 49, AD("525"), NONE, LDAP_BIND_UNKNOWN, false, false, -1, -1 },
	{ "AD wrong", 49, AD("52e"), NONE, LDAP_BIND_PASSWORD, false, false, -1, -1 },
	{ "AD hours", 49, AD("530"), NONE, LDAP_BIND_HOURS, true, false, -1, -1 },
	{ "AD machine", 49, AD("531"), NONE, LDAP_BIND_WORKSTATION, true, false, -1, -1 },
	{ "AD expired", 49, AD("532"), NONE, LDAP_BIND_PASSWORD_EXPIRED, true, false, -1, -1 },
	{ "AD disabled", 49, AD("533"), NONE, LDAP_BIND_DISABLED, true, false, -1, -1 },
	{ "AD account expired", 49, AD("701"), NONE, LDAP_BIND_ACCOUNT_EXPIRED, true, false, -1,
		-1 },
	{ "AD must change", 49, AD("773"), NONE, LDAP_BIND_MUST_CHANGE, true, false, -1, -1 },
	{ "AD locked", 49, AD("775"), NONE, LDAP_BIND_LOCKED, false, false, -1, -1 },
	{ "AD's words with another code", 53, AD("773"), NONE, LDAP_BIND_REFUSED, false, false, -1,
		-1 },
	{ "AD something new", 49, AD("7ff"), NONE, LDAP_BIND_PASSWORD, false, false, -1, -1 },
};

static void
test_facts(void **state UNUSED)
{
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
		size_t n = facts[i].controls[0].oid.n > 0 ? 1 : 0;
		struct ldap_bind_facts f = ldap_bind_facts_of(
			facts[i].result, str_of(facts[i].diagnostic), facts[i].controls, n);
		print_message("%s: %s\n", facts[i].what, ldap_bind_reason_text(f.reason));
		assert_int_equal(f.reason, facts[i].reason);
		assert_int_equal(f.after_right_password, facts[i].told);
		assert_int_equal(f.bound, facts[i].bound);
		assert_int_equal(f.expires_sec, facts[i].expires);
		assert_int_equal(f.grace, facts[i].grace);
	}
}

/* 389 DS sends both kinds: the newer one's word stays. */
static void
test_both(void **state UNUSED)
{
	const struct ldap_control both[] = {
		{ STR("2.16.840.1.113730.3.4.4"), STR("0") },
		{ STR(PPOLICY_OID), { "\x30\x05\xa0\x03\x81\x01\x02", 7 } },
	};
	struct ldap_bind_facts f = ldap_bind_facts_of(0, STR_EMPTY, both, 2);
	assert_int_equal(f.reason, LDAP_BIND_FINE);
	assert_int_equal(f.grace, 2);
	f = ldap_bind_facts_of(49, STR_EMPTY, both, 1);
	assert_int_equal(f.reason, LDAP_BIND_PASSWORD_EXPIRED);
	assert_false(f.bound);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_subcode),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_both),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
