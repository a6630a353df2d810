/* core/mail: the table of parts, its compact form, BODY[...] paths, Content- fields, body
 * structures. */
#include "tests/unit/mailtest.h"

#include "core/base/xalloc.h"
#include "core/mail/bodystructure.h"
#include "core/mail/content.h"

#define CT_MIXED(b) "Content-Type: multipart/mixed; boundary=" b "\r\n"

static const char kind_letters[] = "LTPM";

/* "P(T(...)" as kind, body in quotes, children in brackets */
static void
show(struct buf *b, const struct mime *m, struct str msg)
{
	for (uint32_t i = 0; i < m->n; i++) {
		const struct mime_part *p = &m->parts[i];
		struct buf path;

		buf_init(&path, 1000);
		mime_path(&path, m, i);
		buf_addf(b, "%c[%.*s]", kind_letters[p->kind], STR_FMT(buf_str(&path)));
		if (p->child_count == 0)
			buf_addf(b, "'%.*s'", STR_FMT(mime_body(p, msg)));
		buf_fini(&path);
	}
}

static const struct {
	const char *in;
	const char *want;
} parse_table[] = {
	{ "", "T[]''" },
	{ "A: b", "T[]''" },
	{ "A: b\r\n\r\nx\r\n", "T[]'x\r\n'" },
	{ "A: b\n\nx\n", "T[]'x\n'" },
	{ "Content-Type: image/png\r\n\r\nx", "L[]'x'" },
	{ "Content-Type: text\r\n\r\nx", "T[]'x'" },
	{ "Content-Type: ;\r\n\r\nx", "T[]'x'" },
	/* one and two parts, preamble, epilogue */
	{ CT_MIXED("b") "\r\npre\r\n--b\r\n\r\none\r\n--b\r\nA: b\r\n\r\ntwo\r\n\r\n--b--\r\nepi",
		"P[]T[1]'one'T[2]'two\r\n'" },
	{ "Content-Type: multipart/mixed; boundary=\"a b\"\n\n--a b\n\none\n--a b--\n",
		"P[]T[1]'one'" },
	/* the boundary begins the body; nothing between boundaries */
	{ CT_MIXED("b") "\r\n--b\r\n--b\r\n\r\n--b--", "P[]T[1]''T[2]''" },
	/* no boundary, no closing boundary, no parts at all */
	{ "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\none", "T[]'--b\r\n\r\none'" },
	{ CT_MIXED("b") "\r\n--b\r\n\r\none", "P[]T[1]'one'" },
	{ CT_MIXED("b") "\r\none", "P[]'one'" },
	{ CT_MIXED("b") "\r\n--b", "P[]'--b'" },
	{ CT_MIXED("b") "\r\n--b--\r\n--b\r\n\r\nx", "P[]'--b--\r\n--b\r\n\r\nx'" },
	/* text behind a boundary is no harm; a line that only begins alike is one too */
	{ CT_MIXED("b") "\r\n--b  \r\n\r\none\r\n--bx\r\n\r\ntwo", "P[]T[1]'one'T[2]'two'" },
	{ CT_MIXED("b") "\r\n--b\r\n\r\n-- b\r\n -b\r\n-b\r\n--b--", "P[]T[1]'-- b\r\n -b\r\n-b'" },
	/* nested, inner not closed, the longest boundary wins */
	{ CT_MIXED("b") "\r\n--b\r\n" CT_MIXED("c") "\r\n--c\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--",
		"P[]P[1]T[1.1]'one'T[2]'two'" },
	{ CT_MIXED("b") "\r\n--b\r\n" CT_MIXED("bb") "\r\n--bb\r\n\r\none\r\n--bb--\r\n--b--",
		"P[]P[1]T[1.1]'one'" },
	{ CT_MIXED("bb") "\r\n--bb\r\n" CT_MIXED("b") "\r\n--b\r\n\r\none\r\n--bb\r\n\r\ntwo",
		"P[]P[1]T[1.1]'one'T[2]'two'" },
	/* a boundary inside a header */
	{ CT_MIXED("b") "\r\n--b\r\nA: b\r\n--b\r\n\r\ntwo", "P[]T[1]''T[2]'two'" },
	{ CT_MIXED("b") "\r\n--b\r\nContent-Type: message/rfc822\r\n--b--", "P[]M[1]T[1.1]''" },
	/* messages */
	{ "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx", "M[]T[1.1]'x'" },
	{ CT_MIXED("b") "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" CT_MIXED(
		  "c") "\r\n--c\r\n\r\none\r\n--c\r\n\r\ntwo\r\n--c--\r\n--b--",
		"P[]M[1]P[1]T[1.1]'one'T[1.2]'two'" },
	{ "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nS: x\r\n\r\nbody\r\n--b\r\n"
	  "Content-Type: text/plain\r\n\r\nplain\r\n--b--",
		"P[]M[1]T[1.1]'body'T[2]'plain'" },
	/* the first Content-Type counts, a fold belongs to it */
	{ "Content-Type: multipart/mixed;\r\n\tboundary=b\r\nContent-Type: "
	  "text/plain\r\n\r\n--b\r\n\r\nx",
		"P[]T[1]'x'" },
	{ "content-type:multipart/mixed(c);(d)boundary=(e)\"b\"\n\n--b\n\nx", "P[]T[1]'x'" },
	{ "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\n\n--ab\n\nx", "P[]T[1]'x'" },
	{ "Content-Type: multipart/mixed;; Boundary = b;\n\n--b\n\nx", "P[]T[1]'x'" },
};

static void
test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parse_table); i++) {
		struct str msg = str_of(parse_table[i].in);
		struct mime m;
		struct buf b;

		buf_init(&b, 10000);
		mime_parse(&m, msg, &mime_limits_default);
		show(&b, &m, msg);
		check_text(buf_str(&b), parse_table[i].want, parse_table[i].in);
		buf_fini(&b);
		mime_fini(&m);
	}
}

static uint64_t
count_lines(struct str s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

static void
check_same(const struct mime_part *a, const struct mime_part *b)
{
	assert_true(a->header_off == b->header_off && a->header_len == b->header_len);
	assert_true(a->body_off == b->body_off && a->body_len == b->body_len);
	assert_true(a->header_lines == b->header_lines && a->body_lines == b->body_lines);
	assert_true(a->parent == b->parent && a->number == b->number && a->next == b->next);
	assert_true(a->child_count == b->child_count && a->kind == b->kind);
	assert_true(a->encoding == b->encoding && a->is_mime == b->is_mime);
	assert_true(a->digest == b->digest);
}

static void
check_table(const struct mime *m, struct str msg)
{
	struct mime back;
	struct buf b;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct mime_part *p = &m->parts[i];

		assert_true(p->header_off + p->header_len == p->body_off);
		assert_true(p->body_off + p->body_len <= msg.n);
		assert_true(p->header_lines == count_lines(mime_header(p, msg)));
		assert_true(p->body_lines == count_lines(mime_body(p, msg)));
	}
	buf_init(&b, 100000);
	mime_encode(&b, m);
	assert_int_equal(mime_decode(&back, buf_str(&b), msg.n), ERR_OK);
	assert_int_equal(back.n, m->n);
	for (uint32_t i = 0; i < m->n; i++)
		check_same(&back.parts[i], &m->parts[i]);
	mime_fini(&back);
	for (size_t n = 0; n < b.n; n++) {
		assert_int_equal(
			mime_decode(&back, str_sub(buf_str(&b), 0, n), msg.n), ERR_CORRUPT);
		mime_fini(&back);
	}
	buf_addc(&b, 0);
	assert_int_equal(mime_decode(&back, buf_str(&b), msg.n), ERR_CORRUPT);
	mime_fini(&back);
	buf_fini(&b);
}

/* Every beginning of every row: ranges, line counts and the compact form hold. */
static void
test_parse_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parse_table); i++) {
		struct str in = str_of(parse_table[i].in);

		for (size_t n = 0; n <= in.n; n++) {
			char *copy = str_dup(str_sub(in, 0, n));
			struct mime m;
			struct buf b;

			mime_parse(&m, str_n(copy, n), &mime_limits_default);
			check_table(&m, str_n(copy, n));
			buf_init(&b, 10000);
			assert_int_equal(
				bodystructure_format(&b, &m, str_n(copy, n), true), ERR_OK);
			buf_fini(&b);
			mime_fini(&m);
			free(copy);
		}
	}
}

static void
test_decode_damaged(void **state)
{
	static const struct {
		unsigned char in[16];
		size_t n;
	} table[] = {
		{ { 0 }, 0 }, { { 2, 0, 1, 0, 1, 0, 0, 10, 0, 0 }, 10 }, /* version */
		{ { 1, 0, 0 }, 3 },					 /* no part */
		{ { 1, 0, 2, 0, 1, 0, 0, 10, 0, 0 }, 10 },		 /* a part short */
		{ { 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0 }, 10 }, /* a count of 4 G */
		{ { 1, 0, 1, 0, 1, 0, 4, 7, 0, 0 }, 10 },	     /* longer than the message */
		{ { 1, 0, 1, 0, 1, 1, 0, 9, 0, 0 }, 10 },	     /* does not begin at 0 */
		{ { 1, 0, 1, 1, 1, 0, 0, 10, 0, 0 }, 10 },	     /* a root with a parent */
		{ { 1, 0, 1, 0, 3, 0, 0, 10, 0, 0 }, 10 },	     /* a message without child */
		{ { 1, 0, 1, 0, 1, 0, 0, 10, 0, 11 }, 10 },	     /* more lines than octets */
		{ { 1, 0, 1, 0, 0x80 | 1, 1, 0, 0, 10, 0, 0 }, 11 }, /* unknown kind bits */
	};
	struct mime m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(mime_decode(&m, str_n(table[i].in, table[i].n), 10), ERR_CORRUPT);
		mime_fini(&m);
	}
	static const unsigned char good[] = { 1, 0, 1, 0, 1, 0, 0, 10, 0, 0 };

	assert_int_equal(mime_decode(&m, str_n(good, sizeof good), 10), ERR_OK);
	mime_fini(&m);
}

static const char find_msg[] = "S: top\r\n" CT_MIXED(
	"b") "\r\n--b\r\nA: 1\r\n\r\none\r\n--b\r\n"
	     "Content-Type: message/rfc822\r\n\r\nS: two\r\n" CT_MIXED(
		     "c") "\r\n--c\r\nA: 21\r\n\r\ntwo-one\r\n--c--\r\n--b\r\nContent-Type: "
			  "message/rfc822\r\n\r\n"
			  "S: three\r\n\r\nthree\r\n--b\r\n" CT_MIXED("d") "\r\nnone\r\n--b--\r\n";

static const struct {
	const char *path;
	enum mime_want want;
	enum err err;
	const char *begins;
} find_table[] = {
	{ "", MIME_WANT_HEADER, ERR_OK, "S: top" },
	{ "", MIME_WANT_TEXT, ERR_OK, "--b" },
	{ "", MIME_WANT_MIME, ERR_NOTFOUND, "" },
	{ "1", MIME_WANT_BODY, ERR_OK, "one" },
	{ "1", MIME_WANT_MIME, ERR_OK, "A: 1" },
	{ "1", MIME_WANT_HEADER, ERR_NOTFOUND, "" },
	{ "1.1", MIME_WANT_BODY, ERR_NOTFOUND, "" },
	{ "2", MIME_WANT_BODY, ERR_OK, "S: two" },
	{ "2", MIME_WANT_HEADER, ERR_OK, "S: two" },
	{ "2", MIME_WANT_TEXT, ERR_OK, "--c" },
	{ "2", MIME_WANT_MIME, ERR_OK, "Content-Type: message" },
	{ "2.1", MIME_WANT_BODY, ERR_OK, "two-one" },
	{ "2.1", MIME_WANT_MIME, ERR_OK, "A: 21" },
	{ "2.2", MIME_WANT_BODY, ERR_NOTFOUND, "" },
	{ "3.1", MIME_WANT_BODY, ERR_OK, "three" },
	{ "3.1", MIME_WANT_MIME, ERR_OK, "S: three" },
	{ "3.1.1", MIME_WANT_BODY, ERR_NOTFOUND, "" },
	{ "4", MIME_WANT_BODY, ERR_OK, "none" },
	{ "4.1", MIME_WANT_BODY, ERR_OK, "" },
	{ "4.1.1", MIME_WANT_BODY, ERR_NOTFOUND, "" },
	{ "4.1", MIME_WANT_HEADER, ERR_NOTFOUND, "" },
	{ "5", MIME_WANT_BODY, ERR_NOTFOUND, "" },
	{ "0", MIME_WANT_BODY, ERR_SYNTAX, "" },
	{ "1.", MIME_WANT_BODY, ERR_SYNTAX, "" },
	{ ".1", MIME_WANT_BODY, ERR_SYNTAX, "" },
	{ "9.x", MIME_WANT_BODY, ERR_SYNTAX, "" },
	{ "4294967297", MIME_WANT_BODY, ERR_SYNTAX, "" },
};

static void
test_find(void **state)
{
	struct str msg = str_n(find_msg, sizeof find_msg - 1);
	struct mime m;

	(void)state;
	mime_parse(&m, msg, &mime_limits_default);
	for (size_t i = 0; i < ARRAY_LEN(find_table); i++) {
		struct mime_range r;
		enum err e = mime_find(&m, str_of(find_table[i].path), find_table[i].want, &r);

		if (e != find_table[i].err)
			fail_msg("%s: %s", find_table[i].path, err_name(e));
		if (e != ERR_OK)
			continue;
		struct str got = str_sub(msg, r.off, r.len);

		if (!str_starts(got, str_of(find_table[i].begins)))
			fail_msg("%s: %.*s", find_table[i].path, STR_FMT(got));
		assert_true(r.off + r.len <= msg.n);
		assert_true((find_table[i].begins[0] == '\0') == (got.n == 0));
	}
	struct mime_range r;

	assert_int_equal(mime_find(&m, STR_EMPTY, MIME_WANT_BODY, &r), ERR_OK);
	assert_true(r.off == 0 && r.len == msg.n);
	mime_fini(&m);
	/* a single body is part 1 of its message */
	mime_parse(&m, STR("A: b\r\n\r\nbody"), &mime_limits_default);
	assert_int_equal(mime_find(&m, STR("1"), MIME_WANT_BODY, &r), ERR_OK);
	assert_true(r.off == 8 && r.len == 4);
	assert_int_equal(mime_find(&m, STR("1.1"), MIME_WANT_BODY, &r), ERR_NOTFOUND);
	mime_fini(&m);
}

static void
test_limits(void **state)
{
	struct mime_limits limits = { .depth = 3, .parts = 4 };
	struct str deep = STR(CT_MIXED("a") "\r\n--a\r\n" CT_MIXED("b") "\r\n--b\r\n" CT_MIXED(
		"c") "\r\n--c\r\n\r\nx\r\n--c--");
	struct str many = STR(CT_MIXED(
		"a") "\r\n--a\r\n\r\n1\r\n--a\r\n\r\n2\r\n--a\r\n\r\n3\r\n--a\r\n\r\n4\r\n--a--");
	struct mime m;

	(void)state;
	mime_parse(&m, deep, &limits);
	assert_true(m.n == 3 && m.cut && m.parts[2].kind == MIME_LEAF);
	struct buf b;

	buf_init(&b, 10000);
	assert_int_equal(bodystructure_format(&b, &m, deep, false), ERR_OK);
	check_text(buf_str(&b),
		"(((\"application\" \"octet-stream\" (\"boundary\" \"c\") NIL NIL \"7bit\" 15) "
		"\"mixed\") \"mixed\")",
		"cut");
	buf_fini(&b);
	check_table(&m, deep);
	mime_fini(&m);
	mime_parse(&m, many, &limits);
	assert_true(m.n == 4 && m.cut && m.parts[0].child_count == 3);
	check_table(&m, many);
	mime_fini(&m);
	mime_parse(&m, many, &mime_limits_default);
	assert_true(m.n == 5 && !m.cut);
	mime_fini(&m);
}

static void
put_params(struct buf *b, const struct content_params *ps)
{
	for (size_t i = 0; i < ps->n; i++)
		buf_addf(b, "%.*s=%.*s|", STR_FMT(ps->v[i].name), STR_FMT(ps->v[i].value));
}

static void
test_params(void **state)
{
	static const char *const table[][2] = {
		{ "text/plain", "" },
		{ "text/plain; charset=us-ascii (comment)", "charset=us-ascii|" },
		{ "text/plain; charset=\"us\\-ascii\"; format=flowed",
			"charset=us-ascii|format=flowed|" },
		{ "text/plain;charset = x;; ;y", "charset=x|" },
		{ "text/plain; a=\"x;y\"; b=z", "a=x;y|b=z|" },
		{ "text/plain; a=\"x\r\n y\"", "a=x y|" },
		{ "text/plain; a=\"open; b=z", "a=open; b=z|" },
		{ "text/plain; =x; b=", "b=|" },
		{ "text/plain a=b; c=d", "c=d|" },
		/* RFC 2231 */
		{ "x/y; f*=utf-8''a%20b", "f*=utf-8''a%20b|" },
		{ "x/y; f*1=b; f*0=a; g=h; f*2=c", "g=h|f=abc|" },
		{ "x/y; f*0*=utf-8''a%20; f*1=\"b c\"", "f*=utf-8''a%20b%20c|" },
		{ "x/y; f*0=a; f*1*=%20", "f*=''a%20|" },
		{ "x/y; f*0=a; f*2=c", "f*2=c|f=a|" },
		{ "x/y; f*1=b", "f*1=b|" },
		{ "x/y; f*x=b; *=c; *0=d", "f*x=b|*=c|*0=d|" },
		{ "x/y; f*0=a; F*1=b", "f=ab|" },
		{ "x/y; f*99999=b", "f*99999=b|" },
	};
	struct arena *a = arena_new(100000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str type, subtype;
		struct content_params ps;
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(
			content_value_parse(str_of(table[i][0]), true, a, &type, &subtype, &ps),
			ERR_OK);
		put_params(&b, &ps);
		check_text(buf_str(&b), table[i][1], table[i][0]);
		buf_fini(&b);
		arena_reset(a);
	}
	struct str type, subtype;
	struct content_params ps;

	assert_int_equal(
		content_value_parse(STR(" ;x=y"), true, a, &type, &subtype, &ps), ERR_SYNTAX);
	arena_free(a);
}

static void
test_param_get(void **state)
{
	static const char *const table[][2] = {
		{ "x/y; f=a", "a" },
		{ "x/y; f*=utf-8''caf%C3%A9", "caf\xc3\xa9" },
		{ "x/y; f*=iso-8859-1'fr'caf%E9; f=x", "caf\xc3\xa9" },
		{ "x/y; f*0*=utf-8''caf%C3; f*1*=%A9; f*2=.txt", "caf\xc3\xa9.txt" },
		{ "x/y; f=\"=?utf-8?q?caf=C3=A9?=\"", "caf\xc3\xa9" },
		{ "x/y; f*=utf-8''100%;", "100%" },
		{ "x/y; f*=utf-8''%4", "%4" },
		{ "x/y; f*=no-quotes%20here", "no-quotes here" },
		{ "x/y; f*=nonsense''%E9", "\xc3\xa9" },
	};
	struct arena *a = arena_new(100000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str type, subtype, got;
		struct content_params ps;

		assert_int_equal(
			content_value_parse(str_of(table[i][0]), true, a, &type, &subtype, &ps),
			ERR_OK);
		assert_int_equal(content_param_get(&ps, STR("F"), a, &got), ERR_OK);
		check_text(got, table[i][1], table[i][0]);
		assert_int_equal(content_param_get(&ps, STR("g"), a, &got), ERR_NOTFOUND);
		arena_reset(a);
	}
	arena_free(a);
}

#define ENV   "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
#define ASCII "(\"charset\" \"us-ascii\")"

static const char *const structure_table[][3] = {
	{ "\r\nx\r\n", "(\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 3 1)",
		"(\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 3 1 NIL NIL NIL NIL)" },
	{ "Content-Transfer-Encoding: base64\r\n\r\nx",
		"(\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 1 0)",
		"(\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL)" },
	{ "Content-Type: Image/PNG; name=\"a \\\"b\"\r\nContent-ID: <x@y>\r\n"
	  "Content-Description: d\r\n e\r\nContent-MD5: m==\r\nContent-Language: en, de\r\n"
	  "Content-Location: http://x/\r\nContent-Transfer-Encoding: BASE64\r\n"
	  "Content-Disposition: attachment; filename=f\r\n\r\n",
		"(\"Image\" \"PNG\" (\"name\" \"a \\\"b\") \"<x@y>\" \"d e\" \"BASE64\" 0)",
		"(\"Image\" \"PNG\" (\"name\" \"a \\\"b\") \"<x@y>\" \"d e\" \"BASE64\" 0 "
		"\"m==\" (\"attachment\" (\"filename\" \"f\")) (\"en\" \"de\") "
		"\"http://x/\")" },
	{ CT_MIXED("b") "Content-Disposition: inline\r\n\r\n--b\r\n\r\nx\r\n--b--",
		"((\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 1 0) \"mixed\")",
		"((\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL) "
		"\"mixed\" (\"boundary\" \"b\") (\"inline\" NIL) NIL NIL)" },
	{ CT_MIXED("b") "\r\n", "((\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 0 0) \"mixed\")",
		"((\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL) "
		"\"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx\r\n",
		"(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 11 " ENV " (\"text\" \"plain\" " ASCII
		" NIL NIL \"7bit\" 3 1) 3)",
		"(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 11 " ENV " (\"text\" \"plain\" " ASCII
		" NIL NIL \"7bit\" 3 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)" },
	{ "Content-Type: text/x; y=\"\xc3\xa9\"\r\n\r\n",
		"(\"text\" \"x\" (\"y\" {2}\r\n\xc3\xa9 \"charset\" \"us-ascii\") NIL NIL "
		"\"7bit\" 0 0)",
		"(\"text\" \"x\" (\"y\" {2}\r\n\xc3\xa9 \"charset\" \"us-ascii\") NIL NIL "
		"\"7bit\" 0 0 "
		"NIL NIL NIL NIL)" },
	{ "Content-Type: multipart/mixed; charset=x\r\n\r\n",
		"(\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 0 0)",
		"(\"text\" \"plain\" " ASCII " NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)" },
};

static void
test_bodystructure(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(structure_table); i++) {
		struct str msg = str_of(structure_table[i][0]);
		struct mime m;
		struct buf b, made;

		buf_init(&b, 10000);
		buf_init(&made, 10000);
		mime_parse(&m, msg, &mime_limits_default);
		assert_int_equal(bodystructure_format(&b, &m, msg, false), ERR_OK);
		check_text(buf_str(&b), structure_table[i][1], structure_table[i][0]);
		buf_reset(&b);
		assert_int_equal(bodystructure_format(&b, &m, msg, true), ERR_OK);
		check_text(buf_str(&b), structure_table[i][2], structure_table[i][0]);
		assert_int_equal(bodystructure_to_body(&made, buf_str(&b)), ERR_OK);
		check_text(buf_str(&made), structure_table[i][1], "made of BODYSTRUCTURE");
		for (size_t n = 0; n < b.n; n++) {
			buf_reset(&made);
			assert_int_equal(bodystructure_to_body(&made, str_sub(buf_str(&b), 0, n)),
				ERR_CORRUPT);
		}
		mime_fini(&m);
		buf_fini(&b);
		buf_fini(&made);
	}
}

static void
test_encoding(void **state)
{
	static const struct {
		const char *in;
		enum mime_encoding want;
	} table[] = {
		{ "", MIME_ENC_7BIT },
		{ "7BIT", MIME_ENC_7BIT },
		{ "8bit", MIME_ENC_8BIT },
		{ "binary", MIME_ENC_BINARY },
		{ "(x) Quoted-Printable (y)", MIME_ENC_QP },
		{ "BASE64;", MIME_ENC_BASE64 },
		{ "8 bit", MIME_ENC_7BIT },
		{ "x-uuencode", MIME_ENC_OTHER },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_int_equal(content_encoding(str_of(table[i].in)), table[i].want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_cut),
		cmocka_unit_test(test_decode_damaged),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_param_get),
		cmocka_unit_test(test_bodystructure),
		cmocka_unit_test(test_encoding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
