/* delivery/sendmail: the command line, lines of standard input, headers, recipients, From. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "delivery/sendmail/compose.h"
#include "delivery/sendmail/options.h"
#include "delivery/sendmail/talk.h"

/* ---- lines ---- */

static void
lines(const char *in, size_t n, bool dot_is_text, size_t step, const char *want)
{
	struct compose_lines l;
	struct buf out;
	struct str rest = str_n(in, n);

	buf_init(&out, 1 << 20);
	compose_lines_init(&l, dot_is_text);
	while (rest.n > 0) {
		size_t take = step < rest.n ? step : rest.n;
		compose_lines_feed(&l, str_sub(rest, 0, take), &out);
		rest = str_from(rest, take);
	}
	compose_lines_end(&l, &out);
	assert_string_equal(buf_z(&out), want);
	compose_lines_fini(&l);
	buf_fini(&out);
}

static void
test_lines(void **state)
{
	static const struct {
		const char *in;
		bool dot_is_text;
		const char *want;
	} t[] = {
		{ "", false, "" },
		{ "a\n", false, "a\r\n" },
		{ "a", false, "a\r\n" },
		{ "a\r\nb\r\n", false, "a\r\nb\r\n" },
		{ "a\r", false, "a\r\n" },
		{ "a\rb\n", false, "a\rb\r\n" },
		{ "a\r\rb\n", false, "a\r\rb\r\n" },
		{ "\r\n\n", false, "\r\n\r\n" },
		{ "a\n.\nb\n", false, "a\r\n" },
		{ "a\r\n.\r\nb\r\n", false, "a\r\n" },
		{ "a\n.", false, "a\r\n" },
		{ "a\n.\r", false, "a\r\n" },
		{ "a\n.\nb\n", true, "a\r\n.\r\nb\r\n" },
		{ "a\n..\n.b\n", false, "a\r\n..\r\n.b\r\n" },
		{ ".\r\r\n.\n", false, ".\r\r\n" },
		{ ".\n", false, "" },
		{ "From a Sat Nov 21\nTo: b\n\nFrom here\n", false, "To: b\r\n\r\nFrom here\r\n" },
		{ ">From a\nFrom b\nx\n", false, "x\r\n" },
		{ "From", false, "From\r\n" },
		{ "From ", false, "" },
		{ "From: a\n", false, "From: a\r\n" },
		{ "Fro\n", false, "Fro\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		for (size_t step = 1; step < 40; step += 13)
			lines(t[i].in, strlen(t[i].in), t[i].dot_is_text, step, t[i].want);
}

static void
test_nul(void **state)
{
	struct compose_lines l;
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	compose_lines_init(&l, false);
	compose_lines_feed(&l, STR("ab"), &out);
	assert_false(l.has_nul);
	compose_lines_feed(&l, str_n("c\0d", 3), &out);
	assert_true(l.has_nul);
	compose_lines_fini(&l);
	buf_fini(&out);
}

/* ---- the header's end ---- */

static void
test_split(void **state)
{
	static const struct {
		const char *text;
		size_t fields, body;
	} t[] = {
		{ "", 0, 0 },
		{ "\r\nx", 0, 2 },
		{ "A: b\r\n\r\nx", 6, 8 },
		{ "A: b\r\n c\r\n\r\nx", 10, 12 },
		{ "hello\r\n", 0, 0 },
		{ "A: b\r\nhello\r\n", 6, 6 },
		{ " A: b\r\n", 0, 0 },
		{ "A: b\r\n", 6, 6 },
		{ "http://example.org/\r\n", 21, 21 },
		{ ": x\r\n", 0, 0 },
		{ "two words: x\r\n", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct compose_split s = compose_split(str_of(t[i].text));
		assert_int_equal(s.fields, t[i].fields);
		assert_int_equal(s.body, t[i].body);
	}
}

/* ---- recipients ---- */

static void
recipients(bool header, const char *text, const char *want)
{
	struct compose_list l = { .arena = arena_new(1 << 20) };
	struct buf got;
	enum err e =
		header ? compose_add_header(&l, str_of(text)) : compose_add_list(&l, str_of(text));

	buf_init(&got, 4096);
	for (size_t i = 0; i < l.n; i++)
		buf_addf(&got, "%s%.*s", i > 0 ? " " : "", STR_FMT(l.v[i]));
	if (want == NULL)
		assert_int_equal(e, ERR_SYNTAX);
	else
		assert_string_equal(buf_z(&got), want);
	buf_fini(&got);
	free(l.v);
	arena_free(l.arena);
}

static void
test_recipients(void **state)
{
	static const struct {
		const char *text, *want;
	} t[] = {
		{ "a@b.org", "a@b.org" },
		{ "root", "root" },
		{ "a@b.org, c@d.org", "a@b.org c@d.org" },
		{ "a@b.org, A@B.org", "a@b.org" },
		{ "Anna Berg <a@b.org>", "a@b.org" },
		{ "\"Berg, Anna\" <a@b.org>", "a@b.org" },
		{ "a@b.org (comment, with <x@y.org>)", "a@b.org" },
		{ "Friends: a@b.org, c@d.org;, e@f.org", "a@b.org c@d.org e@f.org" },
		{ "undisclosed-recipients:;", "" },
		{ "\"a b\"@c.org", "\"a b\"@c.org" },
		{ "a@b.org,\r\n\tc@d.org", "a@b.org c@d.org" },
		{ "<@x.org,@y.org:a@b.org>", "a@b.org" },
		{ "\"a\rRSET\n\"@b.org", NULL },
		{ "<a@b.org> SIZE=1 <", NULL },
		{ "Anna <>", NULL },
	};
	static const struct {
		const char *text, *want;
	} headers[] = {
		{ "To: a@b.org\r\nCc: c@d.org\r\nBcc: e@f.org\r\nFrom: g@h.org\r\n",
			"a@b.org c@d.org e@f.org" },
		{ "to: a@b.org\r\nTO : c@d.org\r\n", "a@b.org c@d.org" },
		{ "To: a@b.org\r\nResent-To: c@d.org\r\nResent-Bcc: e@f.org\r\n",
			"c@d.org e@f.org" },
		{ "To:\r\nBcc: a@b.org\r\n", "a@b.org" },
		{ "X-To: a@b.org\r\nReply-To: c@d.org\r\n", "" },
		{ "To: a@b.org\r\nCc: Anna <>\r\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		recipients(false, t[i].text, t[i].want);
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		recipients(true, headers[i].text, headers[i].want);
}

static void
test_recipients_limit(void **state)
{
	struct compose_list l = { .arena = arena_new(1 << 16) };
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 20000; i++)
		buf_addf(&b, "u%d@example.org,", i);
	assert_int_equal(compose_add_list(&l, buf_str(&b)), ERR_LIMIT);
	buf_fini(&b);
	free(l.v);
	arena_free(l.arena);
}

/* ---- From ---- */

static void
test_from(void **state)
{
	static const struct {
		const char *header, *name, *want;
	} t[] = {
		{ "", "", "From: a@b.org\r\n" },
		{ "", "Anna Berg", "From: \"Anna Berg\" <a@b.org>\r\n" },
		{ "", "a \"b\" \\", "From: \"a \\\"b\\\" \\\\\" <a@b.org>\r\n" },
		{ "", "J\xc3\xbcrgen", "From: =?UTF-8?B?SsO8cmdlbg==?= <a@b.org>\r\n" },
		{ "", "\xff", "From: a@b.org\r\n" },
		{ "", "a\r\nBcc: x@y.org", "From: a@b.org\r\n" },
		{ "From: x@y.org\r\n", "Anna", "" },
		{ "FROM: x@y.org\r\n", "Anna", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct buf out;
		buf_init(&out, 4096);
		compose_from(str_of(t[i].header), str_of(t[i].name), STR("a@b.org"), &out);
		assert_string_equal(buf_z(&out), t[i].want);
		buf_fini(&out);
	}
}

/* A long name is cut between characters, into words of at most 75 octets. */
static void
test_from_long(void **state)
{
	struct buf name, out;
	struct str rest, line;
	bool more = true;

	(void)state;
	buf_init(&name, 4096);
	buf_init(&out, 4096);
	for (int i = 0; i < 60; i++)
		buf_addz(&name, "\xc3\xbc");
	compose_from(STR_EMPTY, buf_str(&name), STR("a@b.org"), &out);
	rest = str_from(buf_str(&out), sizeof("From:") - 1);
	while (more) {
		struct str word, tail;
		more = str_cut(rest, '\n', &line, &rest);
		(void)str_cut(str_trim(line), ' ', &word, &tail);
		assert_true(word.n <= 75);
	}
	buf_fini(&name);
	buf_fini(&out);
}

/* ---- options ---- */

enum { ARGS_MAX = 12 };

static enum err
parse(const char *const *args, struct sendmail_options *o)
{
	static char *argv[ARGS_MAX + 1];
	static const char *why;
	int n = 0;

	for (; n < ARGS_MAX && args[n] != NULL; n++)
		argv[n] = (char *)(uintptr_t)args[n];
	argv[n] = NULL;
	optind = 0;
	return sendmail_options_parse(n, argv, o, &why);
}

static void
test_options(void **state)
{
	struct sendmail_options o;

	(void)state;
	assert_int_equal(parse((const char *[]){ "sendmail", "-oem", "-oi", "-f", "a@b.org", "-t",
				       "-FAnna", "--", "-x@y.org", NULL },
				 &o),
		ERR_OK);
	assert_true(o.mode == SENDMAIL_DELIVER && o.from_header && o.dot_is_text);
	assert_string_equal(o.sender, "a@b.org");
	assert_string_equal(o.name, "Anna");
	assert_int_equal(o.recipients_count, 1);
	assert_string_equal(o.recipients[0], "-x@y.org");

	assert_int_equal(parse((const char *[]){ "/usr/sbin/sendmail", "-r", "<>", "-B8BITMIME",
				       "-Nsuccess,failure", "-R", "hdrs", "-V", "id", "x", NULL },
				 &o),
		ERR_OK);
	assert_string_equal(o.body, "8BITMIME");
	assert_string_equal(o.notify, "success,failure");
	assert_string_equal(o.ret, "hdrs");
	assert_string_equal(o.envid, "id");
	assert_string_equal(o.sender, "<>");
	assert_false(o.dot_is_text);
}

static void
test_modes(void **state)
{
	static const struct {
		const char *args[4];
		enum sendmail_mode mode;
	} t[] = {
		{ { "sendmail", "-bm", "x" }, SENDMAIL_DELIVER },
		{ { "sendmail", "-bs" }, SENDMAIL_SMTP },
		{ { "sendmail", "-bp" }, SENDMAIL_LIST },
		{ { "/usr/bin/mailq" }, SENDMAIL_LIST },
		{ { "sendmail", "-bi" }, SENDMAIL_NEWALIASES },
		{ { "newaliases" }, SENDMAIL_NEWALIASES },
		{ { "sendmail", "-q" }, SENDMAIL_FLUSH },
		{ { "sendmail", "-q30m" }, SENDMAIL_FLUSH },
		{ { "sendmail", "-G", "-odi", "-L" }, SENDMAIL_DELIVER },
	};
	static const char *const bad[][3] = { { "sendmail", "-bd" }, { "sendmail", "-Bx" },
		{ "sendmail", "-Nmaybe" }, { "sendmail", "-Rno" }, { "sendmail", "-K" },
		{ "sendmail", "-f" } };
	struct sendmail_options o;

	(void)state;
	for (size_t i = 0; i + 1 < ARRAY_LEN(t); i++) {
		assert_int_equal(parse(t[i].args, &o), ERR_OK);
		assert_int_equal(o.mode, t[i].mode);
	}
	assert_int_equal(parse(t[ARRAY_LEN(t) - 1].args, &o), ERR_SYNTAX); /* -L without a value */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse(bad[i], &o), ERR_SYNTAX);
}

/* ---- connecting ---- */

static void
test_nothing_to_connect_with(void **state)
{
	const struct talk_options o = { .socket = "/nonexistent/submission" };
	struct rlimit was, none;
	struct talk *t = NULL;
	int free_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = (rlim_t)free_fd;
	assert_true(free_fd >= 0);
	(void)close(free_fd);
	assert_int_equal(talk_open(&o, false, &t), EX_TEMPFAIL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int code = talk_open(&o, false, &t);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(code, EX_TEMPFAIL);
	assert_null(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_recipients_limit),
		cmocka_unit_test(test_from),
		cmocka_unit_test(test_from_long),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_nothing_to_connect_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
