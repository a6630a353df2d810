/* core/mail/srs: there and back, what is refused. The first rows of test_forms were computed by
 * another program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/xalloc.h"
#include "core/mail/srs.h"

#define NOW 1700000000
#define DAY 86400
#define OLD "another horse battery"

#define BOTH "correct horse battery\n  " OLD " \n\n"
#define TEXT(z)                        \
	{                              \
		"" z "", sizeof(z) - 1 \
	}

static const struct srs ours = { .domain = TEXT("ours.example"), .secrets = TEXT(BOTH) };
static const struct srs old = { .domain = TEXT("ours.example"), .secrets = TEXT(OLD) };
static const struct srs strange = { .domain = TEXT("ours.example"),
	.secrets = TEXT("nobody knows this one") };

static const char *
forward(const struct srs *s, const char *sender, enum err want)
{
	static struct buf out;

	buf_fini(&out);
	buf_init(&out, 4096);
	assert_int_equal(srs_forward(s, str_of(sender), NOW, &out), want);
	return buf_z(&out);
}

static const char *
back(const struct srs *s, struct str address, int64_t now, enum err want)
{
	static struct buf out;

	buf_fini(&out);
	buf_init(&out, 4096);
	assert_int_equal(srs_reverse(s, address, now, &out), want);
	return buf_z(&out);
}

static void
test_forms(void **state)
{
	static const struct {
		const char *sender, *there, *back;
	} t[] = {
		{ "Ben@far.example", "SRS0=b90gB+ha=G3=far.example=Ben@ours.example", NULL },
		{ "SRS0=xxxx=TT=a.example=ben@b.example",
			"SRS1=tNl1bmDr=b.example==xxxx=TT=a.example=ben@ours.example", NULL },
		{ "SRS0+xxxx=TT=a.example=ben@b.example", NULL, NULL },
		{ "SRS1=yyyy=b.example==xxxx=TT=a.example=ben@c.example",
			"SRS1=tNl1bmDr=b.example==xxxx=TT=a.example=ben@ours.example",
			"SRS0=xxxx=TT=a.example=ben@b.example" },
		{ "srs0@far.example", NULL, NULL },
		{ "a=b+c@far.example", NULL, NULL },
		{ "\"a b\"@far.example", NULL, NULL },
		{ "\"a\\\"b\"@far.example", NULL, NULL },
		{ "x@[192.0.2.1]", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct str there = str_of(forward(&ours, t[i].sender, ERR_OK));
		if (t[i].there != NULL)
			assert_string_equal(there.p, t[i].there);
		assert_true(srs_is_ours(&ours, there));
		assert_string_equal(back(&ours, there, NOW, ERR_OK),
			t[i].back != NULL ? t[i].back : t[i].sender);
	}
}

/* Servers on the way may fold the whole local part. */
static void
test_folded(void **state)
{
	struct buf lower;
	struct str there = str_of(forward(&ours, "Ben@far.example", ERR_OK));

	(void)state;
	buf_init(&lower, 1000);
	for (size_t i = 0; i < there.n; i++)
		buf_addc(&lower, (char)ascii_lower((unsigned char)there.p[i]));
	assert_string_equal(back(&ours, buf_str(&lower), NOW, ERR_OK), "ben@far.example");
	buf_reset(&lower);
	for (size_t i = 0; i < there.n; i++)
		buf_addc(&lower, (char)ascii_upper((unsigned char)there.p[i]));
	assert_string_equal(back(&ours, buf_str(&lower), NOW, ERR_OK), "BEN@FAR.EXAMPLE");
	buf_fini(&lower);
}

static void
test_secrets(void **state)
{
	static const struct {
		const char *text;
		enum err want;
	} t[] = {
		{ "", ERR_SYNTAX },
		{ "\n \n", ERR_SYNTAX },
		{ "short", ERR_SYNTAX },
		{ "sixteen octets!!", ERR_OK },
		{ "sixteen octets!!\nshort\n", ERR_SYNTAX },
		{ "\n sixteen octets!!\nsixteen octets??\n", ERR_OK },
	};
	struct str there;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(srs_check_secrets(str_of(t[i].text)), t[i].want);
	/* made with the second, read by the pair; the pair makes with the first */
	there = str_of(forward(&old, "ben@far.example", ERR_OK));
	assert_string_equal(back(&ours, there, NOW, ERR_OK), "ben@far.example");
	there = str_of(forward(&ours, "ben@far.example", ERR_OK));
	(void)back(&old, there, NOW, ERR_DENIED);
	(void)back(&strange, there, NOW, ERR_DENIED);
}

static void
test_age(void **state)
{
	struct str there = str_of(forward(&ours, "ben@far.example", ERR_OK));

	(void)state;
	(void)back(&ours, there, NOW - DAY, ERR_OK); /* a clock that is behind */
	(void)back(&ours, there, NOW - 2 * DAY, ERR_EOF);
	(void)back(&ours, there, NOW + SRS_DAYS * DAY, ERR_OK);
	(void)back(&ours, there, NOW + (SRS_DAYS + 1) * DAY, ERR_EOF);
	(void)back(&ours, there, NOW + 1000 * DAY, ERR_EOF);
	for (int64_t day = 0; day < 1100; day++) {
		struct buf out;
		buf_init(&out, 1000);
		assert_int_equal(srs_forward(&ours, STR("b@far.example"), day * DAY, &out), ERR_OK);
		(void)back(&ours, buf_str(&out), (day + 20) * DAY, ERR_OK);
		(void)back(&ours, buf_str(&out), (day + 22) * DAY, ERR_EOF);
		buf_fini(&out);
	}
}

/* Any octet that changes makes it somebody else's. */
static void
test_forged(void **state)
{
	struct str there = str_of(forward(&ours, "ben@far.example", ERR_OK));
	struct buf b, out;

	(void)state;
	buf_init(&b, 1000);
	buf_init(&out, 1000);
	for (size_t i = 5; i < str_rchr(there, '@'); i++) {
		buf_reset(&b);
		buf_reset(&out);
		buf_add(&b, there);
		b.mem[i] = b.mem[i] == '3' ? '4' : '3';
		assert_int_not_equal(srs_reverse(&ours, buf_str(&b), NOW, &out), ERR_OK);
		assert_int_equal(out.n, 0);
	}
	buf_fini(&b);
	buf_fini(&out);
}

static void
test_not_ours(void **state)
{
	static const char *const none[] = { "", "@", "ben@ours.example", "SRS0@ours.example",
		"SRS0=@other.example", "SRS2=a=b=c=d@ours.example", "SRS0a=b=c=d@ours.example",
		"SRS0=a=b=c=d@sub.ours.example", "SRS0=a=b=c=d", "SRS0=@ours.example" };
	static const char *const bad[] = { "SRS0==@ours.example", "SRS0=abcdefgh=@ours.example",
		"SRS0=a=b=c=d@OURS.example", "SRS1=abcdefgh=b.example@ours.example",
		"\"SRS0=a\"@ours.example" };
	const struct srs off = { .domain = STR_EMPTY, .secrets = STR_EMPTY };
	struct buf long_name;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		assert_false(srs_is_ours(&ours, str_of(none[i])));
		(void)back(&ours, str_of(none[i]), NOW, ERR_SYNTAX);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf out;
		buf_init(&out, 1000);
		assert_true(srs_is_ours(&ours, str_of(bad[i])));
		assert_int_not_equal(srs_reverse(&ours, str_of(bad[i]), NOW, &out), ERR_OK);
		assert_false(srs_is_ours(&off, str_of(bad[i])));
		buf_fini(&out);
	}
	(void)forward(&ours, "nobody", ERR_SYNTAX);
	(void)forward(&ours, "", ERR_SYNTAX);
	buf_init(&long_name, 1000);
	for (int i = 0; i < 240; i++)
		buf_addc(&long_name, 'x');
	buf_addz(&long_name, "@far.example");
	(void)forward(&ours, buf_z(&long_name), ERR_LIMIT);
	buf_fini(&long_name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_folded),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
