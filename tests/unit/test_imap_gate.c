/* The grammar before login: where commands end, words, strings, ID; whole and byte by byte. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "core/base/xalloc.h"
#include "imap/gate/parse.h"

enum { LITERAL_MAX = 20 };

static void
test_frames(void **state)
{
	static const struct {
		const char *in;
		enum err e;
		size_t end, literal_at;
		bool coming;
	} CASES[] = {
		{ "a NOOP\r\n", ERR_OK, 8, 0, false },
		{ "a NOOP\n", ERR_OK, 7, 0, false },
		{ "\r\n", ERR_OK, 2, 0, false },
		{ "\n\n", ERR_OK, 1, 0, false },
		{ "a NOOP\r\nb NOOP\r\n", ERR_OK, 8, 0, false },
		{ "", ERR_AGAIN, 0, 0, false },
		{ "a NOOP", ERR_AGAIN, 0, 0, false },
		{ "a NOOP\r", ERR_AGAIN, 0, 0, false },
		{ "a LOGIN {4}\r\n", ERR_AGAIN, 0, 13, false },
		{ "a LOGIN {4}\r\njan", ERR_AGAIN, 0, 13, false },
		{ "a LOGIN {4}\r\njane", ERR_AGAIN, 0, 0, false },
		{ "a LOGIN {4+}\r\njan", ERR_AGAIN, 0, 0, false },
		{ "a LOGIN {4}\r\njane {2}\r\n", ERR_AGAIN, 0, 23, false },
		{ "a LOGIN {4}\r\njane {2}\r\npw\r\n", ERR_OK, 27, 0, false },
		{ "a LOGIN {4+}\r\njane {2+}\r\npw\r\nb", ERR_OK, 29, 0, false },
		{ "a LOGIN {0}\r\n\r\n", ERR_OK, 15, 0, false },
		{ "a LOGIN {2}\r\n\r\n\r\n", ERR_OK, 17, 0, false },
		{ "a LOGIN {20}\r\n", ERR_AGAIN, 0, 14, false },
		{ "a LOGIN {21}\r\n", ERR_LIMIT, 14, 0, false },
		{ "a LOGIN {21+}\r\nxx", ERR_LIMIT, 15, 0, true },
		{ "a LOGIN {9999999999}\r\n", ERR_LIMIT, 22, 0, false },
		{ "a LOGIN {4}\r\njane {21}\r\n", ERR_LIMIT, 24, 0, false },
		/* no literals */
		{ "a LOGIN {}\r\n", ERR_OK, 12, 0, false },
		{ "a LOGIN {+}\r\n", ERR_OK, 13, 0, false },
		{ "a LOGIN {-1}\r\n", ERR_OK, 14, 0, false },
		{ "a LOGIN {4} \r\n", ERR_OK, 14, 0, false },
		{ "a LOGIN 4}\r\n", ERR_OK, 12, 0, false },
		{ "a LOGIN {99999999999}\r\n", ERR_OK, 23, 0, false },
		{ "}\r\n", ERR_OK, 3, 0, false },
		{ "+}\r\n", ERR_OK, 4, 0, false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct gate_frame f;
		struct str in = str_of(CASES[i].in);
		assert_int_equal(gate_frame(in, LITERAL_MAX, &f), CASES[i].e);
		if (CASES[i].e == ERR_AGAIN)
			assert_int_equal(f.literal_at, CASES[i].literal_at);
		else
			assert_int_equal(f.end, CASES[i].end);
		assert_int_equal(f.literal_coming, CASES[i].coming);
		/* A shorter input never ends later, and never somewhere else. */
		for (size_t n = 0; n < in.n; n++) {
			struct gate_frame g;
			enum err e = gate_frame(str_sub(in, 0, n), LITERAL_MAX, &g);
			if (e != ERR_AGAIN)
				assert_int_equal(g.end, CASES[i].end);
		}
	}
}

static void
test_commands(void **state)
{
	static const struct {
		const char *in;
		enum err e;
		const char *tag, *name, *args;
		bool has_args;
	} CASES[] = {
		{ "a1 NOOP\r\n", ERR_OK, "a1", "NOOP", "", false },
		{ "a1 noop\n", ERR_OK, "a1", "noop", "", false },
		{ "a1 NOOP \r\n", ERR_OK, "a1", "NOOP", "", true },
		{ "a1 LOGIN a b\r\n", ERR_OK, "a1", "LOGIN", "a b", true },
		{ "a] NOOP\r\n", ERR_OK, "a]", "NOOP", "", false },
		{ "\r\n", ERR_SYNTAX, "", "", "", false },
		{ " NOOP\r\n", ERR_SYNTAX, "", "", "", false },
		{ "a1\r\n", ERR_SYNTAX, "a1", "", "", false },
		{ "a1 \r\n", ERR_SYNTAX, "a1", "", "", false },
		{ "a1  NOOP\r\n", ERR_SYNTAX, "a1", "", "", false },
		{ "a+ NOOP\r\n", ERR_SYNTAX, "", "", "", false },
		{ "* NOOP\r\n", ERR_SYNTAX, "", "", "", false },
		{ "a\"b NOOP\r\n", ERR_SYNTAX, "", "", "", false },
		{ "a\xc3\xa4 NOOP\r\n", ERR_SYNTAX, "", "", "", false },
		{ "\x16\x03\x01\x02 x\r\n", ERR_SYNTAX, "", "", "", false },
		{ "a1 NO\"OP\r\n", ERR_SYNTAX, "a1", "NO\"OP", "", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct gate_command c;
		assert_int_equal(gate_command(str_of(CASES[i].in), &c), CASES[i].e);
		assert_true(str_eq(c.tag, str_of(CASES[i].tag)));
		if (CASES[i].e != ERR_OK)
			continue;
		assert_true(str_eq(c.name, str_of(CASES[i].name)));
		assert_true(str_eq(c.args, str_of(CASES[i].args)));
		assert_int_equal(c.has_args, CASES[i].has_args);
	}
	/* A tag may have 256 characters, not one more. */
	char *tag = xcalloc(1, 300);
	struct gate_command c;
	memset(tag, 'a', 256);
	memcpy(tag + 256, " NOOP", 5);
	assert_int_equal(gate_command(str_of(tag), &c), ERR_OK);
	memset(tag, 'a', 257);
	memcpy(tag + 257, " NOOP", 5);
	assert_int_equal(gate_command(str_of(tag), &c), ERR_SYNTAX);
	free(tag);
}

static void
test_astrings(void **state)
{
	static const struct {
		struct str in;
		enum err e;
		struct str value, rest;
	} CASES[] = {
		{ { "jane pw", 7 }, ERR_OK, { "jane", 4 }, { " pw", 3 } },
		{ { "jane@example.org", 16 }, ERR_OK, { "jane@example.org", 16 }, { "", 0 } },
		{ { "a]b", 3 }, ERR_OK, { "a]b", 3 }, { "", 0 } },
		{ { "\"a b\" x", 7 }, ERR_OK, { "a b", 3 }, { " x", 2 } },
		{ { "\"\"", 2 }, ERR_OK, { "", 0 }, { "", 0 } },
		{ { "\"\\\"\\\\\"", 6 }, ERR_OK, { "\"\\", 2 }, { "", 0 } },
		{ { "\"\xc3\xa4\"", 4 }, ERR_OK, { "\xc3\xa4", 2 }, { "", 0 } },
		{ { "{3}\r\na b x", 10 }, ERR_OK, { "a b", 3 }, { " x", 2 } },
		{ { "{3+}\r\na\r\n", 9 }, ERR_OK, { "a\r\n", 3 }, { "", 0 } },
		{ { "{0}\r\n", 5 }, ERR_OK, { "", 0 }, { "", 0 } },
		{ { "{1}\nx", 5 }, ERR_OK, { "x", 1 }, { "", 0 } },
		{ { "", 0 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { " x", 2 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "*", 1 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "(a)", 3 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "\"a", 2 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "\"a\\", 3 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "\"a\\n\"", 5 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "\"a\0b\"", 5 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "\"a\nb\"", 5 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "{3}\r\na\0b", 8 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "{4}\r\nabc", 8 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "{3}", 3 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "{3}x{1}\r\nabc", 12 }, ERR_SYNTAX, { NULL, 0 }, { NULL, 0 } },
		{ { "0123456789012345678901234567890123", 34 }, ERR_LIMIT, { NULL, 0 },
			{ NULL, 0 } },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct str args = CASES[i].in;
		struct buf b;
		buf_init(&b, 32);
		assert_int_equal(gate_astring(&args, &b), CASES[i].e);
		if (CASES[i].e == ERR_OK) {
			assert_true(str_eq(buf_str(&b), CASES[i].value));
			assert_true(str_eq(args, CASES[i].rest));
		}
		buf_fini(&b);
	}
}

static void
count_pair(void *arg, struct str key, struct str value)
{
	struct buf *b = arg;
	buf_addf(b, "%.*s=%.*s;", STR_FMT(key), STR_FMT(value));
}

static void
test_id(void **state)
{
	static const struct {
		const char *in;
		enum err e;
		const char *pairs;
	} CASES[] = {
		{ "NIL", ERR_OK, "" },
		{ "nil", ERR_OK, "" },
		{ "()", ERR_OK, "" },
		{ "(\"name\" \"x\")", ERR_OK, "name=x;" },
		{ "(\"name\" NIL \"version\" \"1\")", ERR_OK, "name=;version=1;" },
		{ "({4}\r\nname {1}\r\nx)", ERR_OK, "name=x;" },
		{ "(name x version NIL)", ERR_OK, "name=x;version=;" },
		{ "(nile nilly \"a\" nil)", ERR_OK, "nile=nilly;a=;" },
		{ "", ERR_SYNTAX, "" },
		{ "(", ERR_SYNTAX, "" },
		{ "(\"name\")", ERR_SYNTAX, "" },
		{ "(NIL \"x\")", ERR_SYNTAX, "" },
		{ "(nil x)", ERR_SYNTAX, "" },
		{ "(name (x))", ERR_SYNTAX, "" },
		{ "(name x\"y\")", ERR_SYNTAX, "name=x;" },
		{ "(\"name\" \"x\"", ERR_SYNTAX, "name=x;" },
		{ "(\"name\" \"x\") y", ERR_SYNTAX, "name=x;" },
		{ "(\"name\" \"x\" )", ERR_SYNTAX, "name=x;" },
		{ "NILNIL", ERR_SYNTAX, "" },
	};
	struct buf b;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		buf_init(&b, 200);
		assert_int_equal(gate_id_list(str_of(CASES[i].in), count_pair, &b), CASES[i].e);
		assert_true(str_eq(buf_str(&b), str_of(CASES[i].pairs)));
		buf_fini(&b);
	}
	/* 30 pairs, not 31. RFC 2971 3.3 */
	for (int pairs = 30; pairs <= 31; pairs++) {
		buf_init(&b, 2000);
		buf_addc(&b, '(');
		for (int i = 0; i < pairs; i++)
			buf_addf(&b, "%s\"k%d\" \"v\"", i == 0 ? "" : " ", i);
		buf_addc(&b, ')');
		assert_int_equal(
			gate_id_list(buf_str(&b), NULL, NULL), pairs == 30 ? ERR_OK : ERR_SYNTAX);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_astrings),
		cmocka_unit_test(test_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
