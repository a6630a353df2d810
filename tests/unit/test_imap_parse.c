/* The IMAP grammar, the collector of commands and LIST's patterns: table by table; the reader's
 * table is fed whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/xalloc.h"
#include "core/store/entry.h"
#include "imap/grammar/args_append.h"
#include "imap/grammar/args_fetch.h"
#include "imap/grammar/args_list.h"
#include "imap/grammar/args_mailbox.h"
#include "imap/grammar/args_search.h"
#include "imap/grammar/pattern.h"
#include "imap/grammar/reader.h"

static struct arena *arena;

static int
setup(void **state)
{
	(void)state;
	arena = arena_new(1024 * 1024);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

/* A copy of exact size, so that the sanitizer sees a read past the end. */
static struct str
exact(struct str s)
{
	static char *last;

	free(last);
	last = xmalloc(s.n != 0 ? s.n : 1);
	memcpy(last, s.p, s.n);
	return str_n(last, s.n);
}

static struct parser
parser_of(const char *z)
{
	struct parser p;

	arena_reset(arena);
	parser_init(&p, exact(str_of(z)), arena);
	return p;
}

static void
test_strings(void **state)
{
	static const struct {
		const char *in;
		const char *want; /* NULL: an error */
	} rows[] = {
		{ "abc def", "abc" },
		{ "a]b c", "a]b" },
		{ "\"\"", "" },
		{ "\"a b\"", "a b" },
		{ "\"a\\\"b\\\\\"", "a\"b\\" },
		{ "\"a\\b\"", NULL },
		{ "\"a", NULL },
		{ "\"a\r\nb\"", NULL },
		{ "\"a\\", NULL },
		{ "{3}\r\na\"b", "a\"b" },
		{ "{3+}\r\nabc", "abc" },
		{ "{0}\r\n", "" },
		{ "{4}\r\nabc", NULL },
		{ "{99999999999999999999}\r\nabc", NULL },
		{ "{-1}\r\nabc", NULL },
		{ "{3\r\nabc", NULL },
		{ "(abc)", NULL },
		{ "", NULL },
		{ "%", NULL },
		{ "\x80", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct parser p = parser_of(rows[i].in);
		struct str got;
		enum err e = parse_astring(&p, &got);

		assert_int_equal(e == ERR_OK, rows[i].want != NULL);
		if (e == ERR_OK)
			assert_true(str_eq(got, str_of(rows[i].want)));
	}
	struct parser p;
	struct str got;

	parser_init(&p, STR("{3}\r\na\0b"), arena);
	assert_int_equal(parse_string(&p, &got), ERR_SYNTAX);
	parser_init(&p, STR("\"a\0b\""), arena);
	assert_int_equal(parse_string(&p, &got), ERR_SYNTAX);
}

static void
test_sets(void **state)
{
	static const struct {
		const char *in;
		uint32_t largest;
		const char *want; /* resolved; NULL: an error */
	} rows[] = {
		{ "1", 9, "1:1" },
		{ "1:3,2:5,7", 9, "1:5,7:7" },
		{ "*", 9, "9:9" },
		{ "*:4", 9, "4:9" },
		{ "12:*", 9, "9:12" },
		{ "5:2", 9, "2:5" },
		{ "7,1,3,2", 9, "1:3,7:7" },
		{ "4294967295,1", 9, "1:1,4294967295:4294967295" },
		{ "1:*", 0, "" },
		{ "0", 9, NULL },
		{ "1,", 9, NULL },
		{ ",1", 9, NULL },
		{ "1:", 9, NULL },
		{ "1::2", 9, NULL },
		{ "4294967296", 9, NULL },
		{ "12345678901234567890", 9, NULL },
		{ "a", 9, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct parser p = parser_of(rows[i].in);
		struct seq_set set;
		enum err e = parse_seq_set(&p, &set);
		char text[200] = "";
		size_t n = 0;

		assert_int_equal(e == ERR_OK, rows[i].want != NULL);
		if (e != ERR_OK)
			continue;
		seq_set_resolve(&set, rows[i].largest);
		for (size_t k = 0; k < set.n; k++)
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%u:%u",
				k != 0 ? "," : "", set.r[k].lo, set.r[k].hi);
		assert_string_equal(text, rows[i].want);
		for (size_t k = 0; k < set.n; k++) {
			assert_true(seq_set_has(&set, set.r[k].lo));
			assert_true(seq_set_has(&set, set.r[k].hi));
			assert_false(seq_set_has(&set, set.r[k].lo - 1) &&
				     (k == 0 || set.r[k - 1].hi != set.r[k].lo - 1));
		}
	}
}

static void
test_flags(void **state)
{
	static const struct {
		const char *in;
		bool ok;
		unsigned system;
		size_t keywords;
	} rows[] = {
		{ "()", true, 0, 0 },
		{ "(\\Seen)", true, FLAG_SEEN, 0 },
		{ "(\\sEEN \\Deleted $Junk junk JUNK)", true, FLAG_SEEN | FLAG_DELETED, 2 },
		{ "\\Seen \\Draft", true, FLAG_SEEN | FLAG_DRAFT, 0 },
		{ "kw", true, 0, 1 },
		{ "(\\Recent)", false, 0, 0 },
		{ "(\\*)", false, 0, 0 },
		{ "(\\Foo)", false, 0, 0 },
		{ "(a", false, 0, 0 },
		{ "(a  b)", false, 0, 0 },
		{ "", false, 0, 0 },
		{ "(a]b)", false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct parser p = parser_of(rows[i].in);
		struct flag_list f;
		enum err e = parse_flags(&p, &f);

		assert_int_equal(e == ERR_OK, rows[i].ok);
		if (e != ERR_OK)
			continue;
		assert_int_equal(f.system, rows[i].system);
		assert_int_equal(f.keywords_count, rows[i].keywords);
	}
}

static void
test_dates(void **state)
{
	static const struct {
		const char *in;
		int64_t sec; /* -1: an error */
		int zone;
	} times[] = {
		{ "\" 1-Feb-1994 12:00:00 +0000\"", 760104000, 0 },
		{ "\"21-Nov-2026 08:00:00 +0100\"", 1795244400, 60 },
		{ "\"29-Feb-2024 00:00:00 -0130\"", 1709170200, -90 },
		{ "\"29-Feb-2023 00:00:00 +0000\"", -1, 0 },
		{ "\"31-Apr-2023 00:00:00 +0000\"", -1, 0 },
		{ "\"00-Jan-2023 00:00:00 +0000\"", -1, 0 },
		{ "\"01-Jan-2023 24:00:00 +0000\"", -1, 0 },
		{ "\"01-Jan-2023 00:00:00\"", -1, 0 },
		{ "\"1-Jan-2023 00:00:00 +0000\"", -1, 0 },
	};
	static const struct {
		const char *in;
		int32_t days; /* -1: an error */
	} days[] = {
		{ "1-Jan-1970", 0 },
		{ "01-feb-1994", 8797 },
		{ "\"1-Feb-1994\"", 8797 },
		{ "\"1-Feb-1994", -1 },
		{ "1-Foo-1994", -1 },
		{ "1-Feb-94", -1 },
		{ "32-Jan-1994", -1 },
		{ "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		struct parser p = parser_of(times[i].in);
		int64_t sec;
		int32_t zone = 0;
		enum err e = parse_date_time(&p, &sec, &zone);

		assert_int_equal(e == ERR_OK, times[i].sec >= 0);
		if (e != ERR_OK)
			continue;
		assert_int_equal(sec, times[i].sec);
		assert_int_equal(zone, times[i].zone);
	}
	for (size_t i = 0; i < ARRAY_LEN(days); i++) {
		struct parser p = parser_of(days[i].in);
		int32_t n;
		enum err e = parse_date(&p, &n);

		assert_int_equal(e == ERR_OK, days[i].days >= 0);
		if (e == ERR_OK)
			assert_int_equal(n, days[i].days);
	}
	for (int32_t n = -800000; n < 3000000; n += 97) {
		int y;
		unsigned m, d;

		civil_from_days(n, &y, &m, &d);
		assert_int_equal(days_from_civil(y, m, d), n);
	}
}

static void
test_fetch(void **state)
{
	static const struct {
		const char *in;
		size_t items; /* 0: an error */
		enum fetch_kind last;
		enum section_kind section;
	} rows[] = {
		{ "1 FLAGS", 1, FETCH_FLAGS, SECTION_ALL },
		{ "1:* (UID flags INTERNALDATE RFC822.SIZE)", 4, FETCH_SIZE, SECTION_ALL },
		{ "1 ALL", 4, FETCH_ENVELOPE, SECTION_ALL },
		{ "1 FULL", 5, FETCH_BODY, SECTION_ALL },
		{ "1 FAST", 3, FETCH_SIZE, SECTION_ALL },
		{ "1 BODY", 1, FETCH_BODY, SECTION_ALL },
		{ "1 BODYSTRUCTURE", 1, FETCH_BODYSTRUCTURE, SECTION_ALL },
		{ "1 (BODY[])", 1, FETCH_SECTION, SECTION_ALL },
		{ "1 BODY.PEEK[]<0.100>", 1, FETCH_SECTION, SECTION_ALL },
		{ "1 BODY[1.2.MIME]", 1, FETCH_SECTION, SECTION_MIME },
		{ "1 BODY[HEADER.FIELDS (Subject \"From\")]", 1, FETCH_SECTION, SECTION_FIELDS },
		{ "1 BODY[2.HEADER.FIELDS.NOT (To)]<5.6>", 1, FETCH_SECTION, SECTION_FIELDS_NOT },
		{ "1 (RFC822 RFC822.HEADER RFC822.TEXT)", 3, FETCH_RFC822_TEXT, SECTION_TEXT },
		{ "1 BODY[MIME]", 0, 0, 0 },
		{ "1 BODY[1.]", 0, 0, 0 },
		{ "1 BODY[0]", 0, 0, 0 },
		{ "1 BODY[HEADER.FIELDS ()]", 0, 0, 0 },
		{ "1 BODY[HEADER.FIELDS]", 0, 0, 0 },
		{ "1 BODY[]<0>", 0, 0, 0 },
		{ "1 BODY[]<0.0>", 0, 0, 0 },
		{ "1 BODY.PEEK", 0, 0, 0 },
		{ "1 BODY[", 0, 0, 0 },
		{ "1 (ALL)", 0, 0, 0 },
		{ "1 ()", 0, 0, 0 },
		{ "1 (FLAGS", 0, 0, 0 },
		{ "1 FOO", 0, 0, 0 },
		{ "0 FLAGS", 0, 0, 0 },
		{ "FLAGS", 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct parser p = parser_of(rows[i].in);
		struct args_fetch a;
		enum err e = parse_fetch(&p, &a);

		if (e == ERR_OK && p.at != p.in.n)
			e = ERR_SYNTAX;
		assert_int_equal(e == ERR_OK, rows[i].items != 0);
		if (e != ERR_OK)
			continue;
		assert_int_equal(a.items_count, rows[i].items);
		assert_int_equal(a.items[a.items_count - 1].kind, rows[i].last);
		assert_int_equal(a.items[a.items_count - 1].section.kind, rows[i].section);
	}
}

static void
test_search(void **state)
{
	static const struct {
		const char *in;
		bool ok;
	} rows[] = {
		{ "ALL", true },
		{ "CHARSET utf-8 TEXT {3}\r\nabc", true },
		{ "1:* UID 5:* UNSEEN", true },
		{ "OR FROM a (TO b SUBJECT \"c d\")", true },
		{ "NOT NOT OR SEEN NOT DRAFT", true },
		{ "HEADER X-Foo \"\"", true },
		{ "SINCE 1-Feb-1994 BEFORE \"2-Feb-1994\" SENTON 3-Feb-1994", true },
		{ "LARGER 100 SMALLER 9999999999", true },
		{ "KEYWORD $Forwarded UNKEYWORD x", true },
		{ "((((ALL))))", true },
		{ "", false },
		{ "()", false },
		{ "OR SEEN", false },
		{ "NOT", false },
		{ "FROM", false },
		{ "BEFORE yesterday", false },
		{ "LARGER x", false },
		{ "(SEEN", false },
		{ "FOO", false },
		{ "CHARSET utf-8", false },
		{ "KEYWORD \\Seen", false },
		{ "RETURN () ALL", true },
		{ "return (min MAX all COUNT save) CHARSET utf-8 ALL", true },
		{ "RETURN (PARTIAL 1:500) ALL", true },
		{ "RETURN (SAVE PARTIAL -1:-500) ALL", true },
		{ "RETURN (PARTIAL 1:*) ALL", false },
		{ "RETURN (PARTIAL 1) ALL", false },
		{ "RETURN (PARTIAL 1:2 ALL) ALL", false },
		{ "RETURN (MIN) (ALL) ", false },
		{ "RETURN (MIN", false },
		{ "RETURN (MIN )ALL", false },
		{ "RETURN () ", false },
		{ "$ UID $ NOT $", true },
		{ "$,1", false },
		{ "OLDER 1 YOUNGER 4294967295", true },
		{ "OLDER 0", false },
		{ "MODSEQ 0 MODSEQ 9223372036854775807", true },
		{ "MODSEQ 9223372036854775808", false },
		{ "MODSEQ \"/flags/\\\\draft\" all 620162338", true },
		{ "MODSEQ \"/flags/x\" 620162338", false },
		{ "SAVEDBEFORE 1-Feb-1994 SAVEDON 1-Feb-1994 SAVEDSINCE 1-Feb-1994", true },
		{ "SAVEDATESUPPORTED", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct parser p = parser_of(rows[i].in);
		struct args_search a;
		enum err e = parse_search(&p, &a);

		if (e == ERR_OK && p.at != p.in.n)
			e = ERR_SYNTAX;
		assert_int_equal(e == ERR_OK, rows[i].ok);
	}
}

static void
test_search_limits(void **state)
{
	struct args_search a;
	struct buf b;

	(void)state;
	buf_init(&b, 1024 * 1024);
	for (int i = 0; i < 10000; i++)
		buf_addz(&b, "(");
	struct parser p = parser_of(buf_z(&b));

	assert_int_equal(parse_search(&p, &a), ERR_LIMIT);
	buf_reset(&b);
	for (int i = 0; i < 10000; i++)
		buf_addz(&b, "NOT ");
	p = parser_of(buf_z(&b));
	assert_int_equal(parse_search(&p, &a), ERR_LIMIT);
	buf_reset(&b);
	for (int i = 0; i < 10000; i++)
		buf_addz(&b, "ALL ");
	p = parser_of(buf_z(&b));
	assert_int_equal(parse_search(&p, &a), ERR_LIMIT);
	buf_fini(&b);
}

static void
test_others(void **state)
{
	struct parser p =
		parser_of("x APPEND \"Sent Items\" (\\Seen) \" 1-Feb-1994 12:00:00 +0000\" ");
	struct args_append append;
	struct args_store store;
	struct args_create create;
	struct args_id id;
	struct args_list list;
	struct args_status status;

	(void)state;
	assert_int_equal(parse_append(&p, APPEND_AT_START, &append), ERR_OK);
	assert_true(append.more && append.next == APPEND_BEHIND_MESSAGE);
	assert_true(append.events[0].has_date);
	assert_int_equal(append.events[0].flags.system, FLAG_SEEN);
	p = parser_of("x APPEND ");
	assert_int_equal(parse_append(&p, APPEND_AT_START, &append), ERR_SYNTAX);
	p = parser_of("x APPEND a");
	assert_int_equal(parse_append(&p, APPEND_AT_START, &append), ERR_SYNTAX);
	p = parser_of("1:5 -FLAGS.SILENT (\\Deleted)");
	assert_int_equal(parse_store(&p, &store), ERR_OK);
	assert_true(store.silent);
	assert_int_equal(store.mode, STORE_REMOVE);
	p = parser_of("1 *FLAGS x");
	assert_int_equal(parse_store(&p, &store), ERR_SYNTAX);
	p = parser_of("a/b (USE (\\Drafts \\Sent))");
	assert_int_equal(parse_create(&p, &create), ERR_OK);
	assert_int_equal(create.uses_count, 2);
	assert_true(str_eq(create.uses[1], STR("\\Sent")));
	p = parser_of("(\"name\" \"x\" \"y\" NIL)");
	assert_int_equal(parse_id(&p, &id), ERR_OK);
	assert_int_equal(id.pairs_count, 4);
	assert_null(id.pairs[3].p);
	p = parser_of("(name nilly {1}\r\ny nil)");
	assert_int_equal(parse_id(&p, &id), ERR_OK);
	assert_true(str_eq(id.pairs[1], STR("nilly")) && str_eq(id.pairs[2], STR("y")));
	assert_null(id.pairs[3].p);
	p = parser_of("(NIL \"x\")");
	assert_int_equal(parse_id(&p, &id), ERR_SYNTAX);
	p = parser_of("(\"name\")");
	assert_int_equal(parse_id(&p, &id), ERR_SYNTAX);
	p = parser_of("(SPECIAL-USE) \"\" % RETURN (SPECIAL-USE CHILDREN)");
	assert_int_equal(parse_list(&p, &list), ERR_OK);
	assert_int_equal(list.select, LIST_SPECIAL_USE);
	assert_int_equal(list.returns, LIST_SPECIAL_USE | LIST_CHILDREN);
	p = parser_of("INBOX (MESSAGES UNSEEN)");
	assert_int_equal(parse_status(&p, &status), ERR_OK);
	assert_int_equal(status.items, STATUS_MESSAGES | STATUS_UNSEEN);
	p = parser_of("INBOX ()");
	assert_int_equal(parse_status(&p, &status), ERR_SYNTAX);
}

/* ---- reader ---- */

static const struct reader_limits limits = {
	.line_max = 60, .literal_max = 20, .message_max = 100, .swallow_max = 1000
};

/* Letters of the events in their order: C command, + continuation, M message, B too big,
 * L too large, W wrong, F fatal. A message's octets are taken by the test. */
static void
run_reader(const char *in, size_t piece, char *out)
{
	struct reader r;
	struct buf b;
	size_t n = strlen(in), at = 0;
	uint64_t message = 0;

	reader_init(&r);
	buf_init(&b, 100000);
	for (;;) {
		struct read_result res;
		size_t take = message < b.n ? (size_t)message : b.n;

		buf_consume(&b, take);
		message -= take;
		enum read_event ev = message != 0 ? READ_MORE : reader_step(&r, &limits, &b, &res);

		if (ev == READ_MORE) {
			size_t add = n - at < piece ? n - at : piece;

			if (add == 0)
				break;
			buf_add(&b, str_n(in + at, add));
			at += add;
			continue;
		}
		*out++ = "?C+MLBWF"[ev];
		if (ev == READ_COMMAND || ev == READ_MESSAGE)
			buf_consume(&b, res.n);
		if (ev == READ_MESSAGE)
			message = res.literal;
		if (ev == READ_FATAL)
			break;
	}
	*out = '\0';
	buf_fini(&b);
}

/* What this thread has worked, whatever else the machine does. */
static int64_t
worked_us(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The best of some tries, for all of the command at once. */
static int64_t
flood_us(const char *begin, const char *each, size_t times)
{
	const struct reader_limits wide = {
		.line_max = 65536, .literal_max = 65536, .message_max = 100, .swallow_max = 1000
	};
	int64_t best = INT64_MAX;
	struct buf b;

	buf_init(&b, 200000);
	buf_addz(&b, begin);
	for (size_t i = 0; i < times; i++)
		buf_addz(&b, each);
	buf_addz(&b, "\r\n");
	assert_true(b.n < wide.line_max);
	for (int i = 0; i < 5; i++) {
		struct read_result res;
		struct reader r;
		int64_t began = worked_us();

		reader_init(&r);
		assert_int_equal(reader_step(&r, &wide, &b, &res), READ_COMMAND);
		assert_int_equal(res.n, b.n);
		int64_t took = worked_us() - began;

		best = took < best ? took : best;
	}
	buf_fini(&b);
	return best;
}

/* Eight times as many pieces are 8 times the work, and not 64 times. */
static void
check_flood(const char *begin, const char *each, size_t times)
{
	assert_true(flood_us(begin, each, times) < flood_us(begin, each, times / 8) * 30 + 20000);
}

/* An APPEND is not read again from its beginning for each of thousands of literals: it was 14 s
 * with the sanitizers. */
static void
test_reader_floods(void **state)
{
	static char begin[9000] = "a APPEND x CATENATE (";
	char *p = begin + strlen(begin);

	(void)state;
	for (int i = 0; i < 1030; i++, p += 6)
		memcpy(p, "URL u ", 7);
	check_flood(begin, "{0+}\r\n", 9000);
	check_flood("a APPEND x y ", "{0+}\r\n", 9000);
	check_flood("a APPEND x CATENATE (", "URL {1+}\r\nu ", 4000);
}

static void
test_reader(void **state)
{
	static const struct {
		const char *in;
		const char *want;
	} rows[] = {
		{ "a NOOP\r\n", "C" },
		{ "a NOOP\n", "C" },
		{ "a NOOP\r\nb NOOP\r\n", "CC" },
		{ "a NOOP", "" },
		{ "\r\n", "C" },
		{ "a LOGIN {3}\r\nabc {2+}\r\nde\r\nb NOOP\r\n", "+CC" },
		{ "a LOGIN {3+}\r\n\r\nx {1}\r\ny\r\n", "+C" },
		{ "a SELECT {21}\r\nb NOOP\r\n", "LC" },
		{ "a SELECT {21+}\r\n123456789012345678901\r\nb NOOP\r\n", "LC" },
		{ "a S {15}\r\n123456789012345 {15+}\r\n123456789012345\r\nb NOOP\r\n", "+LC" },
		{ "a S {99999999999999999999}\r\nb NOOP\r\n", "LC" },
		{ "a S {99999999999999999999+}\r\nb NOOP\r\n", "" },
		{ "a S {21+}\r\n123456789012345678901 {2+}\r\nxx {5}\r\nb NOOP\r\n", "LC" },
		{ "a APPEND x {5}\r\nhello\r\nb NOOP\r\n", "MCC" },
		{ "a APPEND {1+}\r\nx {1+}\r\nh {1+}\r\ni\r\nb NOOP\r\n", "MMCC" },
		{ "a APPEND x y {1+}\r\nx {1+}\r\nh\r\nb NOOP\r\n", "CC" },
		{ "a APPEND x {5}\r\nhello ~{1+}\r\n\n (a) {1}\r\nx\r\nb NOOP\r\n", "MMMCC" },
		{ "a APPEND x UTF8 (~{1}\r\na) {2+}\r\nab\r\nb NOOP\r\n", "MMCC" },
		{ "a UID REPLACE 1 x CATENATE (TEXT {1+}\r\na URL {1}\r\nb TEXT {1}\r\nc)\r\n",
			"M+MC" },
		{ "a APPEND x {2+}\r\nab {101+}\r\n", "M" },
		{ "a APPEND x {2+}\r\nab {101}\r\nb NOOP\r\n", "MBC" },
		{ "a APPEND x {2+}\r\nab x {21}\r\nb NOOP\r\n", "MWC" },
		{ "a APPEND x {2+}\r\nab x {21+}\r\n123456789012345678901\r\nb NOOP\r\n", "MLC" },
		{ "a APPEND x (\\No) {5}\r\nb NOOP\r\n", "WC" },
		{ "a APPEND x (\\No) {5+}\r\nhello\r\nb NOOP\r\n", "CC" },
		{ "a APPEND x (\\No) {2+}\r\nab {5}\r\nb NOOP\r\n", "WC" },
		{ "a UID REPLACE x y {5}\r\nb NOOP\r\n", "WC" },
		{ "a APPEND x {2}\r\nab (\\No) {5}\r\nb NOOP\r\n", "MWC" },
		{ "a S {13+}\r\na APPEND x {1\r\nb NOOP\r\n", "CC" },
		{ "a append {1+}\r\nx (\\Seen) {5+}\r\nhello\r\nb NOOP\r\n", "MCC" },
		{ "a APPEND x {101}\r\nb NOOP\r\n", "BC" },
		{ "a APPEND {30}\r\nb NOOP\r\n", "LC" },
		{ "0123456789012345678901234567890123456789012345678901234567890123456789\r\nb "
		  "N\r\n",
			"LC" },
		{ "a x{}\r\n", "C" },
		{ "a x{5\r\n", "C" },
		{ "a x{-5}\r\n", "C" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static const size_t pieces[] = { 100000, 1, 2, 3, 7 };

		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			char got[64];

			run_reader(rows[i].in, pieces[k], got);
			assert_string_equal(got, rows[i].want);
		}
	}
}

static void
test_reader_swallows_to_a_limit(void **state)
{
	struct buf b;
	char got[64];

	(void)state;
	buf_init(&b, 100000);
	buf_addz(&b, "a SELECT {5000+}\r\n");
	for (int i = 0; i < 5000; i++)
		buf_addc(&b, 'x');
	buf_addz(&b, "\r\nb NOOP\r\n");
	run_reader(buf_z(&b), 100000, got);
	assert_string_equal(got, "F");
	run_reader(buf_z(&b), 1, got);
	assert_string_equal(got, "F");
	buf_reset(&b);
	/* a line without an end */
	for (int i = 0; i < 5000; i++)
		buf_addc(&b, 'x');
	run_reader(buf_z(&b), 10, got);
	assert_string_equal(got, "F");
	buf_fini(&b);
}

static void
test_patterns(void **state)
{
	static const struct {
		const char *pattern;
		const char *name;
		bool want;
	} rows[] = {
		{ "*", "a/b/c", true },
		{ "%", "a", true },
		{ "%", "a/b", false },
		{ "a/%", "a/b", true },
		{ "a/%", "a/b/c", false },
		{ "a*c", "a/b/c", true },
		{ "%/%", "a/b", true },
		{ "inbox", "INBOX", true },
		{ "inbox*", "INBOX/x", true },
		{ "InBoX/%", "INBOX/x", true },
		{ "inboxes", "INBOX", false },
		{ "in%", "INBOX", false },
		{ "IN%", "INBOX", true },
		{ "Sent", "SENT", false },
		{ "", "a", false },
		{ "a", "", false },
		{ "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(pattern_matches(str_of(rows[i].pattern), str_of(rows[i].name)),
			rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_search_limits),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_reader_floods),
		cmocka_unit_test(test_reader_swallows_to_a_limit),
		cmocka_unit_test(test_patterns),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
