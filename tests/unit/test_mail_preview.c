/* core/mail: previews. */
#include "tests/unit/mailtest.h"

#include "core/base/xalloc.h"
#include "core/mail/gist.h"
#include "core/mail/preview.h"

static void
check_preview(const char *msg, size_t n, const char *want)
{
	struct buf out;
	struct mime m;

	buf_init(&out, PREVIEW_BYTES_MAX);
	mime_parse(&m, str_n(msg, n), &mime_limits_default);
	preview_make(&out, &m, str_n(msg, n));
	assert_int_equal(buf_check(&out), ERR_OK);
	check_text(buf_str(&out), want, msg);
	assert_true(str_is_utf8(buf_str(&out)));
	mime_fini(&m);
	buf_fini(&out);
}

#define MIME "MIME-Version: 1.0\r\nContent-Type: "

static void
test_messages(void **state)
{
	static const struct {
		const char *msg, *want;
	} table[] = {
		{ "", "" },
		{ "Subject: a\r\n\r\n", "" },
		{ "Subject: a\r\n\r\nHello\r\n\r\n\t world \r\n", "Hello world" },
		{ "no colon\r\n\r\nHello", "Hello" },
		/* quoted lines are left out where there is something else */
		{ "A: b\r\n\r\n> old\r\n>older\r\nnew > text\r\n > x", "new > text" },
		{ "A: b\r\n\r\n> old\r\n>older\r\n", "> old >older" },
		/* charsets and encodings */
		{ MIME "text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9", "caf\xc3\xa9" },
		{ MIME "text/plain; charset=\"iso-2022-jp\"\r\n\r\n\x1b$B;3\x1b(B!",
			"\xe5\xb1\xb1!" },
		{ MIME "text/plain; charset=no-such\r\n\r\ncaf\xc3\xa9", "caf\xc3\xa9" },
		{ MIME "text/plain\r\n\r\n\xff\xfe", "\xc3\xbf\xc3\xbe" },
		{ MIME "text/plain; charset=utf-8\r\n\r\na\xc3(\xf0\x9f\x98",
			"a\xef\xbf\xbd(\xef\xbf\xbd" },
		{ MIME "text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		       "Y2Fmw6k=\r\n",
			"caf\xc3\xa9" },
		{ MIME "text/plain\r\nContent-Transfer-Encoding: "
		       "quoted-printable\r\n\r\na=\r\nb=20=",
			"ab" },
		{ MIME "text/plain\r\nContent-Transfer-Encoding: x-odd\r\n\r\nabc", "" },
		/* which part */
		{ MIME "multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\n"
		       "Content-Type: text/html\r\n\r\n<p>html\r\n--b--\r\n",
			"plain" },
		{ MIME "multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n \r\n--b\r\n"
		       "Content-Type: text/html\r\n\r\n<p>html\r\n--b--\r\n",
			"html" },
		{ MIME "multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n"
		       "Content-Disposition: attachment; filename=x\r\n\r\nnot me\r\n--b\r\n"
		       "Content-Type: text/calendar\r\n\r\nnor me\r\n--b\r\n\r\nme\r\n--b--\r\n",
			"me" },
		{ MIME "multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "
		       "message/rfc822\r\n\r\n"
		       "Subject: x\r\n\r\nenclosed\r\n--b--\r\n",
			"enclosed" },
		{ MIME "multipart/encrypted; boundary=b\r\n\r\n--b\r\n"
		       "Content-Type: application/octet-stream\r\n\r\nsecret\r\n--b--\r\n",
			"" },
		{ MIME "application/pdf\r\n\r\n%PDF", "" },
		{ MIME "text/html; charset=windows-1252\r\n\r\n<b>H</b>i \x93you\x94",
			"Hi \xe2\x80\x9cyou\xe2\x80\x9d" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		check_preview(table[i].msg, strlen(table[i].msg), table[i].want);
	check_preview("A: b\r\n\r\na\0b\x01\x7f\x1b[0mc", 18, "ab[0mc");
}

static const struct {
	const char *in, *want;
} html[] = {
	{ "", "" },
	{ "text", "text" },
	{ "<html><head><title>No</title><style>p > a { x }</style></head><body><p>One<p>two</body>",
		"One two" },
	{ "H<b>e</b>llo<br>there<br/>you", "Hello there you" },
	{ "a<script>if (a < b && c > d) '</scr'+'ipt>'</script >b", "ab" },
	{ "a<SCRIPT src='x>y'></SCRIPT>b", "ab" },
	{ "a<style>never ends", "a" },
	{ "a<!-- <p>hidden -- > still --><!DOCTYPE x>b<?xml ?>c", "abc" },
	{ "a<!-->b-->c", "ab-->c" },
	{ "1 < 2 && 3 > 2 <3", "1 < 2 && 3 > 2 <3" },
	{ "<a href=\"x>y\" title='a\"b>'>link</a>", "link" },
	{ "&lt;b&gt; &amp;amp; &quot;&#65;&#x42;&#X43;&quot; &euro;",
		"<b> &amp; \"ABC\" \xe2\x82\xac" },
	{ "a&nbsp;&nbsp;b&#160;c&zwnj;&#847;&shy;d", "a b c\xe2\x80\x8c"
						     "d" },
	{ "&unknown; &; &#; &#x; &toolongtobeanentity; AT&T &amp x",
		"&unknown; &; &#; &#x; "
		"&toolongtobeanentity; AT&T & x" },
	{ "&#128;&#0;&#xd800;&#x110000;&#99999999999;",
		"\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		"\xef\xbf\xbd" },
	{ "new<blockquote>old<blockquote>older</blockquote>old</blockquote>text", "new text" },
	{ "</blockquote>a", "a" },
	{ "a</>b</ c>d", "abd" },
	{ "a<br", "a" },
	{ "x<p", "x" },
	{ "<table><tr><td>1<td>2<tr><td>3</table>4", "1 2 3 4" },
};

/* Whole, and cut into pieces of every size that keeps characters whole. */
static void
test_html(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(html); i++)
		for (size_t step = 1; step < 20; step++) {
			struct str in = str_of(html[i].in);
			struct buf out;
			struct gist g;

			buf_init(&out, 4096);
			gist_init(&g, &out, 200, false);
			for (; in.n != 0; in = str_from(in, step))
				gist_html(&g, str_sub(in, 0, step));
			check_text(buf_str(&out), html[i].want, html[i].in);
			buf_fini(&out);
		}
}

/* What is at the limit: n characters of a text of more. */
static void
test_limit(void **state)
{
	static const struct {
		unsigned max;
		const char *in, *want;
	} table[] = {
		{ 5, "abcde", "abcde" },
		{ 5, "abcdef", "abcde" },
		{ 5, "abcd ef", "abcd" },
		{ 5, "abcde  ", "abcde" },
		{ 5, "abc d", "abc d" },
		{ 3, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80",
			"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80" },
		/* e with a combining acute is not taken apart */
		{ 4, "abce\xcc\x81x", "abc" },
		{ 5, "abce\xcc\x81x", "abce\xcc\x81" },
		/* nor are a hand with its colour, and a family */
		{ 2, "a\xf0\x9f\x91\x8b\xf0\x9f\x8f\xbd", "a" },
		{ 3, "a\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9", "a" },
		{ 3, "a \xf0\x9f\x91\x8b\xf0\x9f\x8f\xbd", "a" },
		{ 1, "e\xcc\x81", "" },
		{ 3,
			"\xcc\x81"
			"ab",
			"\xcc\x81"
			"ab" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf out;
		struct gist g;

		buf_init(&out, 4096);
		gist_init(&g, &out, table[i].max, false);
		gist_plain(&g, str_of(table[i].in));
		check_text(buf_str(&out), table[i].want, table[i].in);
		buf_fini(&out);
	}
}

/* Whatever comes: well-formed, within its limits, no control characters. */
static void
test_random(void **state)
{
	static const char *const pieces[] = { "<", ">", "&", ";", "<!--", "-->", "<script>",
		"</script>", "&#x", "\xcc\x81", "\xe2\x80\x8d", "\xf0\x9f\x98\x80", "\xff", "\xc3",
		" ", "\r\n", ">", "a", "<blockquote>", "</blockquote>", "\x01", "&nbsp;", "'", "\"",
		"\xe2\x80\xae" };
	uint32_t x = 7;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct buf in, out;
		struct gist g;

		buf_init(&in, 64 * 1024);
		buf_init(&out, PREVIEW_BYTES_MAX);
		for (int i = 0; i < 300; i++) {
			x = x * 1103515245 + 12345;
			buf_addz(&in, pieces[(x >> 16) % ARRAY_LEN(pieces)]);
		}
		gist_init(&g, &out, PREVIEW_CHARS_MAX, (round & 2) != 0);
		if ((round & 1) != 0)
			gist_html(&g, buf_str(&in));
		else
			gist_plain(&g, buf_str(&in));
		struct str s = buf_str(&out);

		assert_int_equal(buf_check(&out), ERR_OK);
		assert_true(str_is_utf8(s));
		for (size_t i = 0; i < s.n; i++)
			assert_true((unsigned char)s.p[i] >= ' ' && s.p[i] != 0x7f);
		assert_true(s.n == 0 || (s.p[0] != ' ' && s.p[s.n - 1] != ' '));
		buf_fini(&in);
		buf_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_html),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
