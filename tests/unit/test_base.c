/* core/base: strings, buffers, arenas, hash map, codecs, log escaping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "core/base/codec.h"
#include "core/base/hmap.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

static void
test_numbers(void **state)
{
	static const struct {
		const char *in;
		uint64_t max;
		enum err want;
		uint64_t value;
	} table[] = {
		{ "0", 10, ERR_OK, 0 },
		{ "10", 10, ERR_OK, 10 },
		{ "11", 10, ERR_LIMIT, 0 },
		{ "", 10, ERR_SYNTAX, 0 },
		{ "-1", 10, ERR_SYNTAX, 0 },
		{ " 1", 10, ERR_SYNTAX, 0 },
		{ "1x", 10, ERR_SYNTAX, 0 },
		{ "18446744073709551615", UINT64_MAX, ERR_OK, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, ERR_LIMIT, 0 },
		{ "99999999999999999999999999x", UINT64_MAX, ERR_SYNTAX, 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint64_t v = 77;
		assert_int_equal(str_to_u64(str_of(table[i].in), table[i].max, &v), table[i].want);
		if (table[i].want == ERR_OK)
			assert_true(v == table[i].value);
		else
			assert_true(v == 77);
	}
}

static void
test_str(void **state)
{
	struct str head, tail;

	(void)state;
	assert_true(str_ieq(STR("INBOX"), STR("inBox")));
	assert_false(str_ieq(STR("a"), STR("ab")));
	assert_true(str_cut(STR("a=b=c"), '=', &head, &tail));
	assert_true(str_eq(head, STR("a")) && str_eq(tail, STR("b=c")));
	assert_false(str_cut(STR("abc"), '=', &head, &tail));
	assert_true(str_eq(head, STR("abc")) && tail.n == 0);
	assert_true(str_eq(str_trim(STR(" \r\n x y\t")), STR("x y")));
	assert_int_equal(str_ifind(STR("Hello World"), STR("WORLD")), 6);
	assert_int_equal(str_find(STR("Hello"), STR("z")), 5);
	assert_true(str_eq(str_sub(STR("abc"), 1, 100), STR("bc")));
	assert_true(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")));
	assert_true(str_ends((struct str){ NULL, 0 }, STR("")));
	assert_false(str_ends((struct str){ NULL, 0 }, STR("x")));
	assert_true(str_eq(str_from(STR("abc"), 9), STR("")));
	assert_true(str_is_utf8(STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80")));
	assert_false(str_is_utf8(STR("\xc0\x80")));
	assert_false(str_is_utf8(STR("\xed\xa0\x80")));
	assert_false(str_is_utf8(STR("\xf4\x90\x80\x80")));
	assert_false(str_is_utf8(STR("\xe2\x82")));
}

static void
test_buf(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	buf_addz(&b, "abc");
	buf_addu(&b, 12345);
	assert_int_equal(buf_check(&b), ERR_OK);
	assert_true(str_eq(buf_str(&b), STR("abc12345")));
	buf_addc(&b, 'x');
	assert_int_equal(buf_check(&b), ERR_LIMIT);
	assert_int_equal(b.n, 8);
	buf_consume(&b, 6);
	buf_reset(&b);
	buf_addf(&b, "%s-%d", "q", 7);
	assert_true(str_eq(buf_str(&b), STR("q-7")));
	assert_null(buf_reserve(&b, 6));
	assert_non_null(buf_reserve(&b, 5));
	buf_fini(&b);
	assert_non_null(buf_reserve(&b, 0));
	buf_fini(&b);

	/* a queue that is filled and drained does not grow */
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 10000; i++) {
		buf_addz(&b, "0123456789");
		if (i > 2)
			buf_consume(&b, 10);
	}
	assert_true(b.cap <= 256);
	buf_fini(&b);

	/* a secret that moves to the front leaves nothing behind */
	buf_init_secret(&b, 1000);
	for (int i = 0; i < 58; i++)
		buf_addc(&b, '.');
	buf_addz(&b, "secret");
	buf_consume(&b, 58);
	buf_addz(&b, "!");
	assert_true(str_eq(buf_str(&b), STR("secret!")));
	assert_null(memmem(b.mem + b.n, b.cap - b.n, "secret", 6));
	buf_fini(&b);
}

static void
test_arena(void **state)
{
	struct arena *a = arena_new(4096);
	struct str s;

	(void)state;
	assert_null(arena_alloc(a, 5000));
	assert_int_equal(arena_str(a, STR("hello"), &s), ERR_OK);
	assert_string_equal(s.p, "hello");
	for (int i = 0; i < 10; i++)
		assert_non_null(arena_calloc(a, 10, 30));
	assert_null(arena_calloc(a, SIZE_MAX / 2, 3));
	assert_null(arena_alloc(a, 4096));
	arena_reset(a);
	assert_int_equal(arena_used(a), 0);
	assert_non_null(arena_alloc(a, 4096));
	arena_free(a);
}

struct item {
	struct hmap_node node;
	char key[16];
};

static void
test_hmap(void **state)
{
	struct hmap m;
	struct item *items = xcalloc(1000, sizeof *items);
	size_t seen = 0;

	(void)state;
	hmap_init(&m);
	assert_null(hmap_get(&m, STR("x")));
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(items[i].key, sizeof items[i].key, "key%d", i);
		hmap_put(&m, &items[i].node, str_of(items[i].key));
	}
	for (int i = 0; i < 1000; i++)
		assert_ptr_equal(hmap_get(&m, str_of(items[i].key)), &items[i].node);
	for (int i = 0; i < 1000; i += 2)
		hmap_remove(&m, &items[i].node);
	for (struct hmap_node *n = hmap_next(&m, NULL); n != NULL; n = hmap_next(&m, n))
		seen++;
	assert_int_equal(seen, 500);
	assert_null(hmap_get(&m, STR("key0")));
	assert_non_null(hmap_get(&m, STR("key1")));
	hmap_fini(&m);
	free(items);
}

static void
test_codec(void **state)
{
	static const struct {
		const char *plain, *coded;
	} table[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Zg=", "Zg", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n",
		"Zg==Zg==", "Z.==" };
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		buf_reset(&b);
		base64_encode(&b, str_of(table[i].plain));
		assert_true(str_eq(buf_str(&b), str_of(table[i].coded)));
		buf_reset(&b);
		assert_int_equal(base64_decode(&b, str_of(table[i].coded)), ERR_OK);
		assert_true(str_eq(buf_str(&b), str_of(table[i].plain)));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_reset(&b);
		assert_int_equal(base64_decode(&b, str_of(bad[i])), ERR_SYNTAX);
	}
	buf_fini(&b);
	/* RFC 3720 B.4 and the usual check value */
	assert_int_equal(crc32c(0, STR("123456789")), 0xe3069283);
	assert_int_equal(crc32c(crc32c(0, STR("1234")), STR("56789")), 0xe3069283);
}

static void
test_log(void **state)
{
	char line[4096];
	int sv[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	log_setup("test", LVL_INFO, sv[0]);
	log_event(LVL_INFO, "a.b", log_s("v", STR("x\n\"y\" \xff")), log_n("n", -3),
		log_z("empty", ""), log_e("err", ERR_TEMP));
	ssize_t n = recv(sv[1], line, sizeof line - 1, 0);
	assert_true(n > 0);
	line[n] = '\0';
	assert_non_null(strstr(line, " ev=a.b v=\"x\\x0a\\\"y\\\" \\xff\" n=-3 err=temp\n"));
	assert_non_null(strstr(line, " lvl=info role=test pid="));
	/* what terminals obey, and what ends lines elsewhere; other UTF-8 is as it is */
	log_event(LVL_INFO, "a.b",
		log_s("v", STR("\xc3\xa4\xc2\x9b\xc2\xa0\xe2\x80\xa8\xe2\x80\xaa\xc2\x80")));
	n = recv(sv[1], line, sizeof line - 1, 0);
	assert_true(n > 0);
	line[n] = '\0';
	assert_non_null(strstr(line, " v=\"\xc3\xa4\\xc2\\x9b\xc2\xa0\\xe2\\x80\\xa8\xe2\x80\xaa"
				     "\\xc2\\x80\"\n"));
	/* the longest number, runs between what is escaped */
	log_event(LVL_INFO, "a.b", log_n("n", INT64_MIN), log_n("m", INT64_MAX), log_n("z", 0),
		log_s("v", STR("cn=a b,\tdc=\"c\\\"")), log_s("w", STR("=")),
		log_s("x", STR("\n")));
	n = recv(sv[1], line, sizeof line - 1, 0);
	assert_true(n > 0);
	line[n] = '\0';
	assert_non_null(strstr(line, " n=-9223372036854775808 m=9223372036854775807 z=0 "
				     "v=\"cn=a b,\\x09dc=\\\"c\\\\\\\"\" w=\"=\" x=\"\\x0a\"\n"));
	/* a line that is too long ends where its room does, inside a value */
	char wide[400];
	memset(wide, ' ', sizeof wide);
	struct str w = str_n(wide, sizeof wide);
	log_event(LVL_INFO, "long", log_s("a", w), log_s("b", w), log_s("c", w), log_s("d", w),
		log_s("e", w), log_s("f", w), log_s("g", w), log_s("h", w), log_s("i", w),
		log_s("j", w), log_s("k", w));
	n = recv(sv[1], line, sizeof line, 0);
	assert_int_equal(n, sizeof line);
	assert_int_equal(line[n - 1], '\n');
	assert_int_equal(line[n - 2], ' ');
	assert_null(memchr(line, '\n', (size_t)n - 1));
	log_event(LVL_DEBUG, "hidden", log_n("n", 1));
	assert_int_equal(recv(sv[1], line, sizeof line, MSG_DONTWAIT), -1);
	/* a full socket drops and says so */
	int sent = 0;
	for (; sent < 100000; sent++) {
		log_event(LVL_INFO, "fill", log_n("n", sent));
		if (sent % 1000 == 999)
			break;
	}
	while (recv(sv[1], line, sizeof line, MSG_DONTWAIT) > 0)
		continue;
	log_event(LVL_INFO, "after", log_n("n", 1));
	n = recv(sv[1], line, sizeof line - 1, 0);
	assert_true(n > 0);
	line[n] = '\0';
	assert_non_null(strstr(line, " drops="));
	log_setup("test", LVL_INFO, 2);
	close(sv[0]);
	close(sv[1]);
}

static size_t
lines_in(int fd, char *line, size_t size)
{
	ssize_t n = recv(fd, line, size - 1, MSG_DONTWAIT);
	size_t lines = 0;

	line[n > 0 ? n : 0] = '\0';
	for (const char *p = line; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	return lines;
}

/* Gathered lines leave whole, in their order, when told to, or when the room or the patience ends.
 */
static void
test_log_gather(void **state)
{
	char line[4097];
	int sv[2];
	size_t seen = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	log_setup("test", LVL_INFO, sv[0]);
	log_gather(true);
	log_event(LVL_INFO, "a", log_n("n", 1));
	log_event(LVL_INFO, "b", log_n("n", 2));
	assert_int_equal(lines_in(sv[1], line, sizeof line), 0);
	log_flush();
	assert_int_equal(lines_in(sv[1], line, sizeof line), 2);
	assert_true(strstr(line, " ev=a n=1\n") < strstr(line, " ev=b n=2\n"));
	log_flush();
	assert_int_equal(lines_in(sv[1], line, sizeof line), 0);
	/* a warning waits for nothing, and stands behind what came before */
	log_event(LVL_INFO, "c", log_n("n", 3));
	log_event(LVL_WARN, "d", log_n("n", 4));
	assert_int_equal(lines_in(sv[1], line, sizeof line), 2);
	/* more than there is room for */
	for (int i = 0; i < 200; i++)
		log_event(LVL_INFO, "many", log_n("n", i));
	log_gather(false);
	for (size_t n; (n = lines_in(sv[1], line, sizeof line)) > 0; seen += n)
		assert_true(line[strlen(line) - 1] == '\n');
	assert_int_equal(seen, 200);
	log_event(LVL_INFO, "alone", log_n("n", 5));
	assert_int_equal(lines_in(sv[1], line, sizeof line), 1);
	log_setup("test", LVL_INFO, 2);
	close(sv[0]);
	close(sv[1]);
}

static void
test_clock(void **state)
{
	char out[CLOCK_RFC3339_SIZE];

	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} table[] = {
		{ 1767225600123, "2026-01-01T00:00:00.123Z" },
		{ 1767225600999, "2026-01-01T00:00:00.999Z" }, /* of the same second */
		{ 1767225601000, "2026-01-01T00:00:01.000Z" },
		{ 1767225600007, "2026-01-01T00:00:00.007Z" }, /* a clock that was set back */
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 1709208000050, "2024-02-29T12:00:00.050Z" },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		clock_rfc3339(table[i].ms, out);
		assert_string_equal(out, table[i].text);
	}
}

/* Text that is formatted, below and above what is tried first. */
static void
test_formatted(void **state)
{
	char text[1001];

	(void)state;
	memset(text, 'x', sizeof text);
	for (int secret = 0; secret < 2; secret++)
		for (int n = 0; n <= 1000; n = n < 250 || n > 260 ? n + 125 : n + 1) {
			struct buf b;

			if (secret != 0)
				buf_init_secret(&b, 600);
			else
				buf_init(&b, 600);
			buf_addc(&b, '<');
			buf_addf(&b, "%.*s", n, text);
			assert_int_equal(buf_check(&b), n > 599 ? ERR_LIMIT : ERR_OK);
			assert_int_equal(b.n, n > 599 ? 1 : (size_t)n + 1);
			assert_memory_equal(buf_str(&b).p + 1, text, b.n - 1);
			buf_fini(&b);
		}
}

static void
test_shown(void **state)
{
	static const struct {
		const char *in, *out;
	} table[] = {
		{ "", "" },
		{ "Käthe \xe2\x82\xac = 1", "Käthe \xe2\x82\xac = 1" },
		{ "a\x1b[1m\r\n\tb\x7f", "a\\x1b[1m\\x0d\\x0a\\x09"
					 "b\\x7f" },
		{ "\xc2\x9b"
		  "1m\xc2\xa0",
			"\\xc2\\x9b1m\xc2\xa0" },
		{ "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa",
			"\\xe2\\x80\\xa8\\xe2\\x80\\xa9\xe2\x80\xaa" },
		{ "\x9b"
		  "1m \xc3\xa4 \xc2",
			"\\x9b1m \\xc3\\xa4 \\xc2" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;

		buf_init(&b, 100);
		buf_add_shown(&b, str_of(table[i].in));
		assert_string_equal(buf_z(&b), table[i].out);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_str),
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_hmap),
		cmocka_unit_test(test_codec),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_log_gather),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_formatted),
		cmocka_unit_test(test_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
