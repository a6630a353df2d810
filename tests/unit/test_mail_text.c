/* core/mail: dates, charsets, encoded words, transfer encodings, modified UTF-7, base subjects,
 * search. */
#include "tests/unit/mailtest.h"

#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "core/mail/charset.h"
#include "core/mail/date.h"
#include "core/mail/encoded.h"
#include "core/mail/search.h"
#include "core/mail/subject.h"
#include "core/mail/transfer.h"
#include "core/mail/utf7.h"

static void
test_date(void **state)
{
	static const struct {
		const char *in;
		enum err err;
		int64_t unix_sec;
		int zone;
	} table[] = {
		{ "Thu, 01 Jan 1970 00:00:00 +0000", ERR_OK, 0, 0 },
		{ "Fri, 21 Nov 1997 09:55:06 -0600", ERR_OK, 880127706, -360 },
		{ "21 Nov 97 09:55:06 GMT", ERR_OK, 880106106, 0 },
		{ "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", ERR_OK, 880127706, -360 },
		{ "Thu,\r\n      13\r\n        Feb\r\n 1969\r\n     23:32\r\n   -0330 (NST)",
			ERR_OK, -27723480, -210 },
		{ "Tue, 1 Jul 2003 10:52:37 +0200 (CEST)", ERR_OK, 1057049557, 120 },
		{ "1 Jan 49 00:00 EST", ERR_OK, 2493090000, -300 },
		{ "1 Jan 50 00:00 PDT", ERR_OK, -631126800, -420 },
		{ "1 Jan 102 00:00:00 Z", ERR_OK, 1009843200, 0 },
		{ "29 Feb 2000 12:00:00 +0000", ERR_OK, 951825600, 0 },
		{ "31 Dec 2016 23:59:60 +0000", ERR_OK, 1483228800, 0 },
		{ "1 Jan 2000 00:00:00", ERR_OK, 946684800, 0 },
		{ "1 Jan 2000 00:00:00 XYZ", ERR_OK, 946684800, 0 },
		{ "Sat, 1-Jan-2000 00:00:00 GMT", ERR_OK, 946684800, 0 },
		{ "Sat, 01 Jan 2000 1.2.3 +0000", ERR_OK, 946688523, 0 },
		{ "", ERR_SYNTAX, 0, 0 },
		{ "Mon", ERR_SYNTAX, 0, 0 },
		{ "Mon, 32 Jan 2000 00:00:00 +0000", ERR_SYNTAX, 0, 0 },
		{ "29 Feb 1900 00:00:00 +0000", ERR_SYNTAX, 0, 0 },
		{ "0 Jan 2000 00:00:00 +0000", ERR_SYNTAX, 0, 0 },
		{ "1 Foo 2000 00:00:00 +0000", ERR_SYNTAX, 0, 0 },
		{ "1 Jan 2000 24:00:00 +0000", ERR_SYNTAX, 0, 0 },
		{ "1 Jan 2000 00:60:00 +0000", ERR_SYNTAX, 0, 0 },
		{ "1 Jan 20000 00:00:00 +0000", ERR_SYNTAX, 0, 0 },
		{ "1 Jan 2000", ERR_SYNTAX, 0, 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int64_t t = 0;
		int zone = 0;

		if (date_parse(str_of(table[i].in), &t, &zone) != table[i].err)
			fail_msg("%s", table[i].in);
		if (table[i].err == ERR_OK && (t != table[i].unix_sec || zone != table[i].zone))
			fail_msg("%s: %lld %d", table[i].in, (long long)t, zone);
	}
}

/* What is written is read again, over years and zones. */
static void
test_date_round(void **state)
{
	(void)state;
	for (int64_t t = -62135596800; t < 253402300000; t += 86400 * 97 + 12345) {
		struct buf b;
		int64_t back = 0;
		int zone = 0, want = (int)(t % 840);

		if (t + want * 60 > 253402300799 || t + want * 60 < -62135596800)
			continue;
		buf_init(&b, 100);
		date_format(&b, t, want);
		assert_int_equal(date_parse(buf_str(&b), &back, &zone), ERR_OK);
		/* three digits would be read as years since 1900 */
		if (back != t || zone != want)
			fail_msg("%.*s", STR_FMT(buf_str(&b)));
		buf_reset(&b);
		date_format_imap(&b, t);
		assert_int_equal(date_parse_imap(buf_str(&b), &back), ERR_OK);
		assert_true(back == t);
		buf_fini(&b);
	}
	struct buf b;

	buf_init(&b, 100);
	date_format(&b, 1795248000, 60);
	check_text(buf_str(&b), "Sat, 21 Nov 2026 09:00:00 +0100", "date_format");
	buf_reset(&b);
	date_format_imap(&b, 1795248000);
	check_text(buf_str(&b), "21-Nov-2026 08:00:00 +0000", "date_format_imap");
	buf_fini(&b);
}

static void
test_date_imap(void **state)
{
	static const struct {
		const char *in;
		enum err err;
		int64_t value;
	} table[] = {
		{ "17-Jul-1996 02:44:25 -0700", ERR_OK, 837596665 },
		{ " 1-Feb-1994 00:00:00 +0000", ERR_OK, 760060800 },
		{ "1-Feb-1994 00:00:00 +0000", ERR_SYNTAX, 0 },
		{ " 11-Feb-1994 00:00:00 +0000", ERR_SYNTAX, 0 },
		{ "01-Feb-1994 00:00:00", ERR_SYNTAX, 0 },
		{ "01-Feb-1994 00:00:00 +0000 ", ERR_SYNTAX, 0 },
		{ "31-Feb-1994 00:00:00 +0000", ERR_SYNTAX, 0 },
		{ "01-feb-1994 00:00:00 +2400", ERR_SYNTAX, 0 },
		{ "", ERR_SYNTAX, 0 },
	}, days[] = {
		{ "1-Jan-1970", ERR_OK, 0 },
		{ "01-Feb-1994", ERR_OK, 8797 },
		{ "31-dec-1969", ERR_OK, -1 },
		{ "1-Jan-70", ERR_SYNTAX, 0 },
		{ "1-Jan-1970 ", ERR_SYNTAX, 0 },
		{ "001-Jan-1970", ERR_SYNTAX, 0 },
		{ "30-Feb-1970", ERR_SYNTAX, 0 },
	};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		v = 0;
		if (date_parse_imap(str_of(table[i].in), &v) != table[i].err || v != table[i].value)
			fail_msg("%s: %lld", table[i].in, (long long)v);
	}
	for (size_t i = 0; i < ARRAY_LEN(days); i++) {
		v = 0;
		if (date_parse_imap_day(str_of(days[i].in), &v) != days[i].err ||
			v != days[i].value)
			fail_msg("%s: %lld", days[i].in, (long long)v);
	}
	assert_true(date_day(-1, 0) == -1 && date_day(86399, 1) == 1 && date_day(0, -1) == -1);
}

/* A leap second, or a zone, puts the time of a year of four digits into one of five, or before year
 * 0: what is written of it can still be read. */
static void
test_date_ends(void **state)
{
	static const struct {
		const char *in, *imap, *field;
	} table[] = {
		{ "31-Dec-9999 23:59:60 +0000", "31-Dec-9999 23:59:59 +0000",
			"Fri, 31 Dec 9999 23:59:59 +0000" },
		{ "31-Dec-9999 23:59:60 +0100", "31-Dec-9999 22:59:59 +0000",
			"Fri, 31 Dec 9999 22:59:59 +0000" },
		{ "31-Dec-9999 23:59:59 -1400", "31-Dec-9999 23:59:59 +0000",
			"Fri, 31 Dec 9999 23:59:59 +0000" },
		{ "01-Jan-0000 00:00:00 +1400", "01-Jan-0000 00:00:00 +0000",
			"Sat, 01 Jan 0000 00:00:00 +0000" },
	};
	struct buf b;
	int64_t t, back;
	int zone;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		buf_reset(&b);
		assert_int_equal(date_parse_imap(str_of(table[i].in), &t), ERR_OK);
		date_format_imap(&b, t);
		check_text(buf_str(&b), table[i].imap, table[i].in);
		buf_reset(&b);
		date_format(&b, t, 0);
		check_text(buf_str(&b), table[i].field, table[i].in);
	}
	assert_int_equal(date_parse(STR("31 Dec 9999 23:59:60 -0100"), &t, &zone), ERR_OK);
	buf_reset(&b);
	date_format(&b, t, zone);
	check_text(buf_str(&b), "Fri, 31 Dec 9999 23:59:59 -0100", "with its zone");
	assert_int_equal(date_parse(buf_str(&b), &back, &zone), ERR_OK);
	assert_true(back == t && zone == -60);
	buf_fini(&b);
}

static void
test_charset(void **state)
{
	static const struct {
		const char *name, *in, *want;
		enum err strict;
	} table[] = {
		{ "utf-8", "caf\xc3\xa9", "caf\xc3\xa9", ERR_OK },
		{ "UTF-8",
			"a\xff"
			"b",
			"a\xef\xbf\xbd"
			"b",
			ERR_SYNTAX },
		{ "iso-8859-1", "caf\xe9", "caf\xc3\xa9", ERR_OK },
		{ "Windows-1252", "\x80", "\xe2\x82\xac", ERR_OK },
		{ "koi8-r", "\xf4", "\xd0\xa2", ERR_OK },
		{ "iso-2022-jp", "\x1b$B$\"\x1b(B", "\xe3\x81\x82", ERR_OK },
		{ "shift_jis", "\x82\xa0", "\xe3\x81\x82", ERR_OK },
		{ "big5", "\xa4\xa4", "\xe4\xb8\xad", ERR_OK },
		{ "gb18030", "\x81\x30\x81\x30", "\xc2\x80", ERR_OK },
		{ "utf-16be", "\x04\x22", "\xd0\xa2", ERR_OK },
		{ "utf-7", "+BCI-", "\xd0\xa2", ERR_OK },
		{ "us-ascii", "abc", "abc", ERR_OK },
		{ "us-ascii", "\xc3\xa9", "\xc3\xa9", ERR_SYNTAX },
		{ "us-ascii", "\xe9", "\xc3\xa9", ERR_SYNTAX },
		{ "", "\xe9", "\xc3\xa9", ERR_NOTFOUND },
		{ "no-such-charset", "x\xe9", "x\xc3\xa9", ERR_NOTFOUND },
		{ "utf-8,swaplfnl", "x", "x", ERR_NOTFOUND },
		{ "../../etc/passwd", "x", "x", ERR_NOTFOUND },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str name = str_of(table[i].name), in = str_of(table[i].in);
		struct buf b;

		buf_init(&b, 1000);
		charset_to_utf8(&b, name, in);
		check_text(buf_str(&b), table[i].want, table[i].name);
		buf_reset(&b);
		assert_int_equal(charset_known(name), table[i].strict != ERR_NOTFOUND);
		if (charset_to_utf8_strict(&b, name, in) != table[i].strict)
			fail_msg("%s strict", table[i].name);
		check_text(buf_str(&b), table[i].strict == ERR_OK ? table[i].want : "", "strict");
		/* byte by byte */
		struct charset_stream *s = charset_stream_new(name);

		buf_reset(&b);
		for (size_t k = 0; k < in.n; k++)
			charset_stream_add(s, &b, str_sub(in, k, 1), k + 1 == in.n);
		charset_stream_free(s);
		check_text(buf_str(&b), table[i].want, table[i].name);
		buf_fini(&b);
	}
}

static void
test_fold(void **state)
{
	static const char *const table[][2] = {
		{ "", "" },
		{ "Hello, World 42[]`{", "HELLO, WORLD 42[]`{" },
		{ "caf\xc3\xa9", "CAFE\xcc\x81" },
		{ "CAF\xc3\x89", "CAFE\xcc\x81" },
		{ "cafe\xcc\x81", "CAFE\xcc\x81" },
		{ "\xd1\x82\xd0\xb5\xd1\x81\xd1\x82", "\xd0\xa2\xd0\x95\xd0\xa1\xd0\xa2" },
		{ "\xef\xac\x81", "FI" },		    /* fi ligature */
		{ "\xef\xbd\x81", "A" },		    /* full-width a */
		{ "\xcf\x82\xcf\x83", "\xce\xa3\xce\xa3" }, /* both small sigmas */
		{ "\xf0\x90\x90\xa8", "\xf0\x90\x90\x80" }, /* Deseret */
		{ "a\xff", "A\xef\xbf\xbd" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b, again;

		buf_init(&b, 1000);
		buf_init(&again, 1000);
		charset_fold(&b, str_of(table[i][0]));
		check_text(buf_str(&b), table[i][1], table[i][0]);
		charset_fold(&again, buf_str(&b));
		check_text(buf_str(&again), table[i][1], "folded again");
		buf_fini(&b);
		buf_fini(&again);
	}
	/* a run longer than one piece, cut between characters */
	struct buf in, out;

	buf_init(&in, 10000);
	buf_init(&out, 10000);
	for (int i = 0; i < 1500; i++)
		buf_addz(&in, "\xd1\x82");
	charset_fold(&out, buf_str(&in));
	assert_int_equal(out.n, 3000);
	for (size_t i = 0; i < out.n; i += 2)
		assert_memory_equal(buf_str(&out).p + i, "\xd0\xa2", 2);
	buf_reset(&out);
	assert_int_equal(charset_nfc(&out, STR("cafe\xcc\x81")), ERR_OK);
	check_text(buf_str(&out), "caf\xc3\xa9", "nfc");
	assert_int_equal(charset_nfc(&out, STR("\xff")), ERR_SYNTAX);
	buf_fini(&in);
	buf_fini(&out);
}

static void
test_loose(void **state)
{
	static const char *const table[][2] = {
		{ "Anna.Berg", "ANNA.BERG" },
		{ "zo\xc3\xab", "ZOE" },
		{ "zoe\xcc\x88", "ZOE" },
		{ "\xef\xbc\xa1nna", "ANNA" },		 /* a wide A */
		{ " anna\xc2\xa0\xe3\x80\x80", "ANNA" }, /* blanks */
		{ "an\xe2\x80\x8bn\xc2\xad\xe3\x85\xa4"
		  "a",
			"ANNA" }, /* what shows nothing */
		{ "\xe2\x80\x8b", "" },
		{ "", "" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		buf_reset(&out);
		assert_int_equal(charset_loose(&out, str_of(table[i][0])), ERR_OK);
		check_text(buf_str(&out), table[i][1], table[i][0]);
	}
	assert_int_equal(charset_loose(&out, STR("a\xff")), ERR_SYNTAX);
	buf_fini(&out);
	buf_init(&out, 3);
	assert_int_equal(charset_loose(&out, STR("anna")), ERR_LIMIT);
	buf_fini(&out);
}

/* Marks are put in order (the one below the letter first), also where a long run is cut. */
static void
test_fold_marks(void **state)
{
	struct buf in, out, again;

	(void)state;
	buf_init(&in, 10000);
	buf_init(&out, 10000);
	buf_init(&again, 10000);
	for (unsigned shift = 0; shift < 6; shift++) {
		buf_reset(&in);
		buf_reset(&out);
		buf_reset(&again);
		buf_add(&in,
			str_sub(STR("\xd0\x90\xd0\x90\xd0\x90\xd0\x90\xd0\x90"), 0, shift * 2));
		for (int i = 0; i < 400; i++)
			buf_addz(&in, "\xd0\x90\xcc\x81\xcc\xa3");
		charset_fold(&out, buf_str(&in));
		assert_int_equal(out.n, in.n);
		for (size_t i = shift * 2; i < out.n; i += 6)
			assert_memory_equal(buf_str(&out).p + i, "\xd0\x90\xcc\xa3\xcc\x81", 6);
		charset_fold(&again, buf_str(&out));
		assert_true(str_eq(buf_str(&again), buf_str(&out)));
	}
	/* nothing but marks, and octets that are no characters: whole, whatever the order */
	buf_reset(&in);
	buf_reset(&out);
	for (int i = 0; i < 1500; i++)
		buf_addz(&in, i < 1100 ? "\xcc\x81\xcc\xa3" : "\x82");
	charset_fold(&out, buf_str(&in));
	assert_int_equal(out.n, 1100 * 4 + 400 * 3);
	buf_fini(&in);
	buf_fini(&out);
	buf_fini(&again);
}

static void
test_encoded(void **state)
{
	static const char *const table[][2] = {
		{ "plain", "plain" },
		{ "=?utf-8?Q?caf=C3=A9?=", "caf\xc3\xa9" },
		{ "=?UTF-8?b?Y2Fmw6k=?=", "caf\xc3\xa9" },
		{ "=?iso-8859-1?q?a_b=20c?= d", "a b c d" },
		{ "(=?ISO-8859-1?Q?a?=)", "(a)" },
		{ "(=?ISO-8859-1?Q?a?= b)", "(a b)" },
		{ "(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)" },
		{ "=?ISO-8859-1?Q?a?=\r\n  =?ISO-8859-1?Q?_b?=", "a b" },
		{ "=?utf-8?b?0KI=?= =?utf-8?b?0Q==?= =?utf-8?b?gg==?=", "\xd0\xa2\xd1\x82" },
		{ "=?utf-8?q?=D0?= =?utf-8?q?=A2?=", "\xd0\xa2" },
		{ "=?utf-8?q?=D0?= =?koi8-r?q?=F4?=", "\xef\xbf\xbd\xd0\xa2" },
		{ "=?us-ascii*en?q?x?=", "x" },
		{ "=?utf-8?x?a?=", "=?utf-8?x?a?=" },
		{ "=?utf-8?q?a", "=?utf-8?q?a" },
		{ "=?utf-8?q?a?b?=", "=?utf-8?q?a?b?=" },
		{ "=??q?a?=", "=??q?a?=" },
		{ "=?=?utf-8?q?a?=", "=?a" },
		{ "=?utf-8?q?=ZZ=4?=", "=ZZ=4" },
		{ "=?utf-8?q?"
		  "?= x",
			" x" },
		{ "a =?utf-8?q?b c?= d", "a b c d" },
		{ "caf\xe9", "caf\xc3\xa9" },
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "=?", "=?" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;

		buf_init(&b, 1000);
		encoded_decode(&b, str_of(table[i][0]));
		check_text(buf_str(&b), table[i][1], table[i][0]);
		buf_fini(&b);
	}
}

static const struct {
	enum mime_encoding encoding;
	const char *in, *want;
	bool bad;
} transfer_table[] = {
	{ MIME_ENC_7BIT, "a=3D\r\n", "a=3D\r\n", false },
	{ MIME_ENC_OTHER, "\xff", "\xff", false },
	{ MIME_ENC_BASE64, "YWJj\r\nZGVm\r\n", "abcdef", false },
	{ MIME_ENC_BASE64, "YQ==", "a", false },
	{ MIME_ENC_BASE64, "YWI=", "ab", false },
	{ MIME_ENC_BASE64, "YW", "a", false },
	{ MIME_ENC_BASE64, "YWI", "ab", false },
	{ MIME_ENC_BASE64, "YWJ!j", "abc", true },
	{ MIME_ENC_BASE64, "YQ==YQ==", "aa", false },
	{ MIME_ENC_BASE64, "Y", "", true },
	{ MIME_ENC_BASE64, "", "", false },
	{ MIME_ENC_BASE64, "\r\n=\r\n", "", false },
	{ MIME_ENC_QP, "caf=C3=A9\r\n", "caf\xc3\xa9\r\n", false },
	{ MIME_ENC_QP, "a=\r\nb=\nc", "abc", false },
	{ MIME_ENC_QP, "a= \t\r\nb", "ab", false },
	{ MIME_ENC_QP, "a  \r\nb \nc ", "a\r\nb\nc", false },
	{ MIME_ENC_QP, "a b\tc", "a b\tc", false },
	{ MIME_ENC_QP, "=3d=3D", "==", false },
	{ MIME_ENC_QP, "=ZZ =4 =4Z", "=ZZ =4 =4Z", true },
	{ MIME_ENC_QP, "= x", "= x", true },
	{ MIME_ENC_QP, "==41", "=A", true },
	{ MIME_ENC_QP, "a=", "a", false },
	{ MIME_ENC_QP, "a=4", "a=4", true },
	{ MIME_ENC_QP, "a\rb", "a\rb", false },
	{ MIME_ENC_QP, "", "", false },
};

static void
test_transfer(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(transfer_table); i++) {
		struct str in = str_of(transfer_table[i].in);

		/* whole, then cut into two at every place, then byte by byte */
		for (size_t cut = 0; cut <= in.n + 1; cut++) {
			struct transfer t;
			struct buf b;

			buf_init(&b, 1000);
			transfer_init(&t, transfer_table[i].encoding);
			if (cut <= in.n) {
				transfer_add(&t, &b, str_sub(in, 0, cut), false);
				transfer_add(&t, &b, str_from(in, cut), true);
			} else {
				for (size_t k = 0; k < in.n; k++)
					transfer_add(&t, &b, str_sub(in, k, 1), false);
				transfer_add(&t, &b, STR_EMPTY, true);
			}
			check_text(buf_str(&b), transfer_table[i].want, transfer_table[i].in);
			assert_int_equal(t.bad, transfer_table[i].bad);
			buf_fini(&b);
		}
	}
	/* more white space than is kept back */
	struct buf in, out;
	struct transfer t;

	buf_init(&in, 10000);
	buf_init(&out, 10000);
	for (int i = 0; i < 500; i++)
		buf_addc(&in, ' ');
	buf_addc(&in, 'x');
	transfer_init(&t, MIME_ENC_QP);
	transfer_add(&t, &out, buf_str(&in), true);
	assert_true(str_eq(buf_str(&in), buf_str(&out)));
	buf_fini(&in);
	buf_fini(&out);
}

static void
test_utf7(void **state)
{
	static const char *const good[][2] = {
		{ "", "" },
		{ "INBOX", "INBOX" },
		{ "a&-b", "a&b" },
		{ "&-&-", "&&" },
		{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
						     "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e" },
		{ "&AOk-", "\xc3\xa9" },
		{ "&AOk-&-", "\xc3\xa9&" },
		{ "&2AHcNw-", "\xf0\x90\x90\xb7" },
		{ "&AAo-", "\n" },
		{ "&IKwgrA-x", "\xe2\x82\xac\xe2\x82\xacx" },
	};
	static const char *const bad[] = { "&", "&AOk", "a&AOk", "&AGE-", "&ACY-", "&AOl-", "&AO-",
		"&A-", "&AOk=-", "&AOkA-", "&AOkAAA-", "&AOk-&AOk-", "&2AE-", "&3Dc-", "&3DfYAQ-",
		"&AOk/-", "\xc3\xa9", "a\n", "a\x7f", "&AAA-", "&!-", "&AOk-&", "&2AEA6Q-" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct buf b;

		buf_init(&b, 1000);
		if (utf7_to_utf8(&b, str_of(good[i][0])) != ERR_OK)
			fail_msg("%s", good[i][0]);
		check_text(buf_str(&b), good[i][1], good[i][0]);
		buf_reset(&b);
		assert_int_equal(utf7_from_utf8(&b, str_of(good[i][1])), ERR_OK);
		check_text(buf_str(&b), good[i][0], good[i][1]);
		buf_fini(&b);
	}
	struct buf b;

	buf_init(&b, 100);
	buf_addz(&b, "kept");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (utf7_to_utf8(&b, str_of(bad[i])) != ERR_SYNTAX)
			fail_msg("%s accepted", bad[i]);
		check_text(buf_str(&b), "kept", bad[i]);
	}
	assert_int_equal(utf7_from_utf8(&b, STR("\xed\xa0\x80")), ERR_SYNTAX);
	assert_int_equal(utf7_from_utf8(&b, STR("\xff")), ERR_SYNTAX);
	buf_fini(&b);
	buf_init(&b, 3);
	assert_int_equal(utf7_to_utf8(&b, STR("abcd")), ERR_LIMIT);
	buf_fini(&b);
}

static void
test_subject(void **state)
{
	static const struct {
		const char *in, *want;
		bool reply;
	} table[] = {
		{ "hello", "HELLO", false },
		{ "Re: hello", "HELLO", true },
		{ "RE : re: Fwd:hello", "HELLO", true },
		{ "Re[2]: hello", "HELLO", true },
		{ "fw [x] : hello", "HELLO", true },
		{ "[list] Re: hello", "HELLO", true },
		{ "[a][b] hello", "HELLO", false },
		{ "[list]", "[LIST]", false },
		{ "[a] [b]", "[B]", false },
		{ "hello (fwd) (FWD)", "HELLO", true },
		{ "[Fwd: Re: hello]", "HELLO", true },
		{ "[fwd: [fwd: hello] (fwd)]", "HELLO", true },
		{ "  he \t llo\r\n  x ", "HE LLO X", false },
		{ "=?utf-8?q?Re=3A_caf=C3=A9?=", "CAFE\xcc\x81", true },
		{ "Re:", "", true },
		{ "", "", false },
		{ "Regarding: x", "REGARDING: X", false },
		{ "Re hello", "RE HELLO", false },
		{ "[fwd: x] y", "Y", false },
		{ "[open Re: x", "[OPEN RE: X", false },
		{ "[fwd:]", "", true },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;
		bool reply;

		buf_init(&b, 1000);
		subject_base(&b, str_of(table[i].in), &reply);
		check_text(buf_str(&b), table[i].want, table[i].in);
		assert_int_equal(reply, table[i].reply);
		buf_fini(&b);
	}
}

static void
test_search(void **state)
{
	static const char msg_text[] =
		"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus\r\n Berlin\r\n"
		"From: Joe <joe@example.org>\r\n"
		"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
		"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nDas Caf=E9 ist "
		"ge=\r\nschlossen\r\n"
		"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
		"base64\r\n\r\n"
		"0J/RgNC40LLQtdGCLCDQvNC40YA=\r\n"
		"--b\r\nContent-Type: application/x; name=\"=?utf-8?q?=C3=9Cbersicht?=.xls\"\r\n"
		"\r\nbinary needle\r\n"
		"--b\r\nContent-Type: message/partial; id=x\r\n\r\nthe first piece\r\n"
		"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: enclosed\r\n\r\ninner "
		"text\r\n--b--\r\n";
	static const struct {
		const char *needle;
		bool body, text;
	} table[] = {
		{ "cafe\xcc\x81 IST", true, true },
		{ "geschlossen", true, true },
		{ "\xd0\x9f\xd0\xa0\xd0\x98\xd0\x92\xd0\x95\xd0\xa2", true, true },
		{ "inner TEXT", true, true },
		{ "Subject: Enclosed", false, true },
		{ "\xc3\xbc"
		  "bersicht.xls",
			false, true },
		{ "MESSAGE/partial", false, true },
		{ "first piece", true, true },
		{ "joe@example", false, true },
		{ "gr\xc3\xbc\xc3\x9f"
		  "e aus berlin",
			false, true },
		{ "needle", false, false },
		{ "preamble", false, false },
		{ "nowhere", false, false },
		{ "", true, true },
	};
	struct str msg = str_n(msg_text, sizeof msg_text - 1);
	struct mime m;

	(void)state;
	mime_parse(&m, msg, &mime_limits_default);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct search_key k;

		assert_int_equal(search_key_init(&k, str_of(table[i].needle)), ERR_OK);
		if (search_body(&k, &m, msg, false) != table[i].body ||
			search_body(&k, &m, msg, true) != table[i].text)
			fail_msg("%s", table[i].needle);
		search_key_fini(&k);
	}
	mime_fini(&m);
	struct search_key k;

	assert_int_equal(search_key_init(&k, STR("GR\xc3\x9c")), ERR_OK);
	assert_true(search_header(&k, msg, STR("subject")));
	assert_false(search_header(&k, msg, STR("from")));
	search_key_fini(&k);
	assert_int_equal(search_key_init(&k, STR("")), ERR_OK);
	assert_true(search_header(&k, msg, STR("from")));
	assert_false(search_header(&k, msg, STR("to")));
	search_key_fini(&k);
	assert_int_equal(search_key_init(&k, STR(" ")), ERR_OK);
	assert_false(search_value(&k, STR(" =?utf-8?q?one?=\r\n")));
	assert_true(search_value(&k, STR(" =?utf-8?q?one_two?=\r\n")));
	search_key_fini(&k);
}

/* A needle is found wherever the pieces of a long body are cut. */
static void
test_search_long(void **state)
{
	struct search_key k;
	struct buf text;
	struct mime m;

	(void)state;
	assert_int_equal(search_key_init(&k, STR("needle \xc3\xa9 end")), ERR_OK);
	buf_init(&text, 1024 * 1024);
	for (size_t at = 65536 - 40; at < 65536 + 10; at++) {
		buf_reset(&text);
		buf_addz(&text, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
		size_t head = text.n;

		while (text.n < head + at)
			buf_addz(&text, text.n % 70 == 0 ? "\n" : "x");
		buf_addz(&text, "Needle E\xcc\x81 END");
		for (int i = 0; i < 1000; i++)
			buf_addz(&text, "y");
		mime_parse(&m, buf_str(&text), &mime_limits_default);
		assert_true(search_body(&k, &m, buf_str(&text), false));
		mime_fini(&m);
	}
	search_key_fini(&k);
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_date),
		cmocka_unit_test(test_date_round),
		cmocka_unit_test(test_date_imap),
		cmocka_unit_test(test_date_ends),
		cmocka_unit_test(test_charset),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_loose),
		cmocka_unit_test(test_fold_marks),
		cmocka_unit_test(test_encoded),
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_utf7),
		cmocka_unit_test(test_subject),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_search_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
