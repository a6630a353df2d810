/* core/mail: header sections, addresses, message ids, envelopes. */
#include "tests/unit/mailtest.h"

#include "core/base/xalloc.h"
#include "core/mail/address.h"
#include "core/mail/envelope.h"
#include "core/mail/header.h"
#include "core/mail/imaptext.h"
#include "core/mail/msgid.h"

static void
test_header_next(void **state)
{
	static const struct {
		const char *in;
		const char *want; /* name=value| for each, then ~ and what is left */
	} table[] = {
		{ "", "~" },
		{ "\r\nbody", "~\r\nbody" },
		{ "\nbody", "~\nbody" },
		{ "A: b", "A=b|~" },
		{ "A: b\n\nx", "A=b|~\nx" },
		{ "A : b \r\nC:d\r\n\r\n", "A=b |C=d|~\r\n" },
		{ "A:\r\n b\r\n\tc\r\nD: e\r\n", "A=b\r\n\tc|D=e|~" },
		{ "no colon\r\nA: b\r\n", "=no colon|A=b|~" },
		{ " begins folded\r\nA: b\r\n", "= begins folded|A=b|~" },
		{ "A\r\n b: c\r\n", "=A\r\n b: c|~" },
		{ ": nameless\r\n", "=nameless|~" },
		{ "A: x\ry\r\n", "A=x\ry|~" },
		{ "A: b\r\n \r\nC: d\r\n\r\n", "A=b\r\n |C=d|~\r\n" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct header_iter it;
		struct header_field f;
		struct buf b;
		size_t whole = 0;

		buf_init(&b, 1000);
		header_iter_init(&it, str_of(table[i].in));
		while (header_next(&it, &f)) {
			buf_add(&b, f.name);
			buf_addc(&b, '=');
			buf_add(&b, f.value);
			buf_addc(&b, '|');
			whole += f.whole.n;
		}
		buf_addc(&b, '~');
		buf_add(&b, it.rest);
		check_text(buf_str(&b), table[i].want, table[i].in);
		assert_int_equal(whole + it.rest.n, strlen(table[i].in));
		buf_fini(&b);
	}
}

static void
test_header_length(void **state)
{
	static const struct {
		const char *in;
		size_t want;
	} table[] = {
		{ "", 0 },
		{ "A: b", 4 },
		{ "A: b\r\n", 6 },
		{ "A: b\r\n\r\nbody", 8 },
		{ "A: b\n\nbody\n\n", 6 },
		{ "\nbody", 1 },
		{ "A: b\r\n \r\nC: d\r\n\r\nx", 17 },
		{ "A: b\r\r\nbody", 11 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_int_equal(header_length(str_of(table[i].in)), table[i].want);
}

static void
test_header_find(void **state)
{
	struct str h = STR("To: a\r\nreceived: 1\r\nRECEIVED: 2\r\n\r\nReceived: body\r\n");
	struct header_field f;

	(void)state;
	assert_int_equal(header_count(h, STR("Received")), 2);
	assert_true(header_find(h, STR("Received"), 1, &f));
	check_text(f.value, "2", "second");
	assert_false(header_find(h, STR("Received"), 2, &f));
	assert_false(header_find(h, STR("Receive"), 0, &f));
	assert_true(header_name_ok(STR("X-Y")));
	assert_false(header_name_ok(STR("")));
	assert_false(header_name_ok(STR("a b")));
	assert_false(header_name_ok(STR("a:")));
	assert_false(header_name_ok(STR("\xc3\xa9")));
}

static void
test_header_select(void **state)
{
	static const struct {
		const char *in;
		const char *names[3];
		bool negate;
		const char *want;
	} table[] = {
		{ "A: 1\r\nB: 2\r\nC: 3\r\n\r\nx", { "b" }, false, "B: 2\r\n\r\n" },
		{ "A: 1\r\nB: 2\r\nC: 3\r\n\r\nx", { "b", "a" }, false, "A: 1\r\nB: 2\r\n\r\n" },
		{ "A: 1\r\nB: 2\r\n c\r\nC: 3\r\n\r\nx", { "B" }, true, "A: 1\r\nC: 3\r\n\r\n" },
		{ "A: 1\nB: 2\n\nx", { "B" }, false, "B: 2\n\n" },
		{ "A: 1\r\nB: 2", { "B" }, false, "B: 2\r\n\r\n" },
		{ "A: 1\r\n", { "Z" }, false, "\r\n" },
		{ "A: 1\r\njunk\r\nA: 2\r\n\r\n", { "a" }, true, "junk\r\n\r\n" },
		{ "", { "a" }, true, "\r\n" },
	};
	struct arena *a = arena_new(10000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str names[3];
		size_t n = 0;
		struct header_set set;
		struct buf b;

		while (n < 3 && table[i].names[n] != NULL) {
			names[n] = str_of(table[i].names[n]);
			n++;
		}
		assert_int_equal(header_set_init(&set, a, names, n), ERR_OK);
		buf_init(&b, 1000);
		header_select(&b, str_of(table[i].in), &set, table[i].negate);
		check_text(buf_str(&b), table[i].want, table[i].in);
		buf_fini(&b);
	}
	arena_free(a);
}

static void
test_unfold(void **state)
{
	static const char *const table[][2] = {
		{ "a", "a" },
		{ "a\r\n b", "a b" },
		{ "a\n\tb \r\n  c  ", "a\tb   c" },
		{ "a\rb", "a\rb" },
		{ "a\r\n ", "a" },
		{ "", "" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;

		buf_init(&b, 1000);
		header_unfold(&b, str_of(table[i][0]));
		check_text(buf_str(&b), table[i][1], table[i][0]);
		buf_fini(&b);
	}
}

static void
put_part(struct buf *b, struct str s)
{
	if (s.p == NULL)
		buf_addc(b, '-');
	else
		buf_add(b, s);
	buf_addc(b, ',');
}

static void
show_addresses(struct buf *b, const struct address_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct address *a = &l->v[i];

		switch (a->kind) {
		case ADDRESS_GROUP_START:
			buf_addz(b, "G{");
			buf_add(b, a->local);
			buf_addc(b, ':');
			continue;
		case ADDRESS_GROUP_END:
			buf_addz(b, a->bad ? "}!" : "}");
			continue;
		case ADDRESS_MAILBOX:
			put_part(b, a->name);
			put_part(b, a->route);
			put_part(b, a->local);
			put_part(b, a->domain);
			buf_addz(b, a->bad ? "!;" : ";");
		}
	}
}

/* name,route,local,domain, then ! if something was wrong */
static const char *const address_table[][2] = {
	{ "", "" },
	{ " , ,", "" },
	{ "a@b", "-,-,a,b,;" },
	{ "<a@b>", "-,-,a,b,;" },
	{ "Joe <a@b>", "Joe,-,a,b,;" },
	{ "Joe Q. Public <john.q.public@example.com>",
		"Joe Q. Public,-,john.q.public,example.com,;" },
	{ "\"Joe \\\"Q\\\" P\" <a@b>", "Joe \"Q\" P,-,a,b,;" },
	{ "\"a,b\" <a@b>, c@d", "a,b,-,a,b,;-,-,c,d,;" },
	{ "Joe\r\n\tPublic <a@b>", "Joe Public,-,a,b,;" },
	{ "\"Joe\r\n Public\" <a@b>", "Joe Public,-,a,b,;" },
	{ "Joe <@x,@y:a@b>", "Joe,@x,@y,a,b,;" },
	{ "a@b (Joe P)", "Joe P,-,a,b,;" },
	{ "a@b (Joe (the) \\(P)", "Joe (the) (P,-,a,b,;" },
	{ "(first) a (x) @ (y) b . c", "y,-,a,b.c,;" },
	{ "a . b @ c . d", "-,-,a.b,c.d,;" },
	{ "\"a b\"@c", "-,-,a b,c,;" },
	{ "\"a\\\"b\".c@d", "-,-,a\"b.c,d,;" },
	{ "a@[192.0.2.1]", "-,-,a,[192.0.2.1],;" },
	{ "a@[192.0.2.1", "-,-,a,[192.0.2.1,!;" },
	{ "undisclosed-recipients:;", "G{undisclosed-recipients:}" },
	{ "A Group:Ed <e@x>,j@y;, z@z", "G{A Group:Ed,-,e,x,;-,-,j,y,;}-,-,z,z,;" },
	{ "G: a@b", "G{G:-,-,a,b,;}!" },
	{ "G:,;", "G{G:}" },
	{ "G: H: a@b;", "G{G:-,-,H,-,!;}" },
	{ "root", "-,-,root,-,!;" },
	{ "root (Super User)", "Super User,-,root,-,!;" },
	{ "All Staff, \"x y\" z@a", "All Staff,-,-,-,!;-,-,x y,-,!;" },
	{ "a@", "-,-,a,-,!;" },
	{ "@b", "-,-,-,b,!;" },
	{ "<>", "-,-,-,-,!;" },
	{ "Joe <>", "Joe,-,-,-,!;" },
	{ "Joe <a@b", "Joe,-,a,b,!;" },
	{ "a@b junk, c@d", "-,-,a,b,!;-,-,c,d,;" },
	{ "a b c, d@e", "a b c,-,-,-,!;-,-,d,e,;" },
	{ "\"open, a@b", "-,-,open, a@b,-,!;" },
	{ "(open a@b", "" },
	{ "=?utf-8?q?J=C3=B6?= <j@x>", "=?utf-8?q?J=C3=B6?=,-,j,x,;" },
	{ "J\xc3\xb6rg <j\xc3\xb6@x>", "J\xc3\xb6rg,-,j\xc3\xb6,x,;" },
	{ "a@b;c@d", "-,-,a,b,!;" },
	{ "a@b,,c@d", "-,-,a,b,;-,-,c,d,;" },
	{ ":", "-,-,-,-,!;" },
	{ "a..b@c", "-,-,a..b,c,;" },
	{ "John <a@b> (c)", "John,-,a,b,;" },
	{ "\"\" <a@b>", "-,-,a,b,;" },
};

static void
test_addresses(void **state)
{
	struct arena *a = arena_new(100000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(address_table); i++) {
		struct address_list l;
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(
			address_parse_list(str_of(address_table[i][0]), 100, a, &l), ERR_OK);
		show_addresses(&b, &l);
		check_text(buf_str(&b), address_table[i][1], address_table[i][0]);
		buf_fini(&b);
		arena_reset(a);
	}
	struct address_list l;

	assert_int_equal(address_parse_list(STR("a@b,c@d,e@f"), 2, a, &l), ERR_OK);
	assert_true(l.n == 2 && l.cut);
	arena_free(a);
	a = arena_new(100);
	assert_int_equal(address_parse_list(STR("a@b,c@d,e@f"), 2, a, &l), ERR_LIMIT);
	arena_free(a);
}

/* Every beginning of every row is parsed to its end. */
static void
test_addresses_cut(void **state)
{
	struct arena *a = arena_new(100000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(address_table); i++) {
		struct str in = str_of(address_table[i][0]);

		for (size_t n = 0; n <= in.n; n++) {
			struct address_list l;
			char *copy = str_dup(str_sub(in, 0, n));

			assert_int_equal(address_parse_list(str_n(copy, n), 100, a, &l), ERR_OK);
			assert_true(l.n <= n + 1);
			free(copy);
			arena_reset(a);
		}
	}
	arena_free(a);
}

static const struct {
	const char *in, *want; /* NULL: refused */
} mailbox_table[] = {
	{ "a@b", "a@b" },
	{ "First.Last+tag@EXAMPLE.Com", "First.Last+tag@example.com" },
	{ "\"a\"@b", "a@b" },
	{ "\"a b\"@b", "\"a b\"@b" },
	{ "\"a\\\"\\b\"@b", "\"a\\\"b\"@b" },
	{ "\"\"@b", "\"\"@b" },
	{ "\"a@c\"@b", "\"a@c\"@b" },
	{ "a@[192.0.2.1]", "a@[192.0.2.1]" },
	{ "a@[IPv6:2001:db8::1]", "a@[ipv6:2001:db8::1]" },
	{ "j\xc3\xb6@\xc3\xa9.example", "j\xc3\xb6@\xc3\xa9.example" },
	{ "", NULL },
	{ "a", NULL },
	{ "@b", NULL },
	{ "a@", NULL },
	{ "a@b@c", NULL },
	{ "a b@c", NULL },
	{ ".a@b", NULL },
	{ "a.@b", NULL },
	{ "a..b@c", NULL },
	{ "a@.b", NULL },
	{ "a@b.", NULL },
	{ "a@b..c", NULL },
	{ "a@-b", NULL },
	{ "a@b-", NULL },
	{ "a@b-.c", NULL },
	{ "a@b c", NULL },
	{ "a@(x)b", NULL },
	{ "a(x)@b", NULL },
	{ "<a@b>", NULL },
	{ "a@[192.0.2.1", NULL },
	{ "a@[]", NULL },
	{ "\"a@b", NULL },
	{ "\"a\"b@c", NULL },
	{ "\"a\n\"@b", NULL },
	{ "a\xff@b", NULL },
	{ "a*@b/../c", NULL },
};

static void
test_mailbox(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mailbox_table); i++) {
		struct buf b, again;
		enum err want = mailbox_table[i].want != NULL ? ERR_OK : ERR_SYNTAX;

		buf_init(&b, 1000);
		buf_init(&again, 1000);
		if (address_normalise(&b, str_of(mailbox_table[i].in)) != want)
			fail_msg("%s", mailbox_table[i].in);
		if (want == ERR_OK) {
			check_text(buf_str(&b), mailbox_table[i].want, mailbox_table[i].in);
			assert_int_equal(address_normalise(&again, buf_str(&b)), ERR_OK);
			check_text(buf_str(&again), mailbox_table[i].want, "again");
		}
		buf_fini(&b);
		buf_fini(&again);
	}
	struct str user, tag, local, domain;

	assert_int_equal(address_split(str_n("a\0b@c", 5), &local, &domain), ERR_SYNTAX);
	assert_true(address_split_tag(STR("a+b+c"), '+', &user, &tag));
	check_text(user, "a", "user");
	check_text(tag, "b+c", "tag");
	assert_false(address_split_tag(STR("+b"), '+', &user, &tag));
	check_text(user, "+b", "no user");
	assert_false(address_split_tag(STR("ab"), '+', &user, &tag));
}

static void
test_msgid(void **state)
{
	static const char *const table[][2] = {
		{ "<a@b>", "a@b|" },
		{ "<a@b> <c@d>\r\n <e@f>", "a@b|c@d|e@f|" },
		{ "<a@b><c@d>", "a@b|c@d|" },
		{ "Your message of <Mon, 1 Jan> <a@b>", "a@b|" },
		{ "<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>", "01KF8JCEOCBS0045PS@xxx.yyy.com|" },
		{ "< a @ b (c) >", "a@b|" },
		{ "<a@b", "" },
		{ "a@b", "" },
		{ "<@b> <a@> <> <c@d>", "c@d|" },
		{ "<a@<b@c>", "b@c|" },
		{ "<\"a>b\"@c>", "a>b@c|" },
		{ "<\"a@b> <c@d>", "" },
	};
	struct arena *a = arena_new(100000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str rest = str_of(table[i][0]), id;
		struct buf b;

		buf_init(&b, 1000);
		while (msgid_next(&rest, a, &id) == ERR_OK) {
			buf_add(&b, id);
			buf_addc(&b, '|');
		}
		check_text(buf_str(&b), table[i][1], table[i][0]);
		buf_fini(&b);
	}
	arena_free(a);
}

static void
test_imaptext(void **state)
{
	static const struct {
		struct str in;
		const char *want;
	} table[] = {
		{ { NULL, 0 }, "NIL" },
		{ { "", 0 }, "\"\"" },
		{ { "a\\b\"c", 5 }, "\"a\\\\b\\\"c\"" },
		{ { "\xc3\xa9", 2 }, "{2}\r\n\xc3\xa9" },
		{ { "a\rb", 3 }, "{3}\r\na\rb" },
		{ { "a\0b", 3 }, "{5}\r\na\xef\xbf\xbd"
				 "b" },
		{ { "\0", 1 }, "{3}\r\n\xef\xbf\xbd" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;

		buf_init(&b, 1000);
		imaptext_nstring(&b, table[i].in);
		check_text(buf_str(&b), table[i].want, "row");
		buf_fini(&b);
	}
}

#define NILS " NIL NIL NIL NIL NIL NIL NIL NIL"

static void
test_envelope(void **state)
{
	static const char *const table[][2] = {
		{ "", "(NIL NIL" NILS ")" },
		{ "Subject:\r\n\r\nFrom: body@x", "(NIL \"\"" NILS ")" },
		{ "Subject: a\r\n  b\r\n", "(NIL \"a  b\"" NILS ")" },
		{ "date: x\r\nSUBJECT: y \r\n", "(\"x\" \"y\"" NILS ")" },
		{ "From: a@b\r\n", "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL "
				   "NIL \"a\" \"b\"))"
				   " NIL NIL NIL NIL NIL)" },
		{ "From: a@b\r\nSender:\r\nReply-To: \"X \\\" Y\" <c@d>\r\n",
			"(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\"))"
			" ((\"X \\\" Y\" NIL \"c\" \"d\")) NIL NIL NIL NIL NIL)" },
		{ "To: a@b\r\nTo: c@d\r\nTo: e@f\r\n",
			"(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")(NIL NIL "
			"\"e\" \"f\")) NIL NIL NIL NIL)" },
		{ "Cc: root, G:x@y;\r\nTo: u:;\r\n",
			"(NIL NIL NIL NIL NIL ((NIL NIL \"u\" NIL)(NIL NIL NIL NIL)) ((NIL NIL "
			"\"root\" \"MISSING_DOMAIN\")(NIL NIL \"G\" NIL)(NIL NIL \"x\" \"y\")(NIL "
			"NIL NIL NIL)) NIL NIL NIL)" },
		{ "Bcc: <>, <a b>\r\n",
			"(NIL NIL NIL NIL NIL NIL NIL ((NIL NIL \"MISSING_MAILBOX\" "
			"\"MISSING_DOMAIN\")(NIL NIL \"a\" \"SYNTAX_ERROR\")) NIL NIL)" },
		{ "Message-ID: <a@b>\r\nIn-Reply-To: <c@d>\r\n",
			"(NIL NIL NIL NIL NIL NIL NIL NIL \"<c@d>\" \"<a@b>\")" },
		{ "Subject: \xc3\xa9\r\n", "(NIL {2}\r\n\xc3\xa9" NILS ")" },
		{ "From: Joe <@x:a@b>\r\n",
			"(NIL NIL ((\"Joe\" \"@x\" \"a\" \"b\")) ((\"Joe\" \"@x\" \"a\" \"b\")) "
			"((\"Joe\" \"@x\" \"a\" \"b\")) NIL NIL NIL NIL NIL)" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;

		buf_init(&b, 10000);
		assert_int_equal(envelope_format(&b, str_of(table[i][0])), ERR_OK);
		check_text(buf_str(&b), table[i][1], table[i][0]);
		buf_fini(&b);
		buf_init(&b, 20);
		assert_int_equal(envelope_format(&b, str_of(table[i][0])), ERR_LIMIT);
		buf_fini(&b);
	}
}

static void
test_envelope_growth(void **state)
{
	static const char *const pieces[] = { "<,", "a,", "g:;", "g:a,;", ":", "<@", "\"\\", "=," };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct buf in, out;

		buf_init(&in, 100000);
		buf_init(&out, 10000000);
		buf_addz(&in, "From: ");
		for (int k = 0; k < 1000; k++)
			buf_addz(&in, pieces[i]);
		assert_int_equal(envelope_format(&out, buf_str(&in)), ERR_OK);
		assert_true(out.n <= in.n * ENVELOPE_GROWTH + 4096);
		buf_fini(&in);
		buf_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_next),
		cmocka_unit_test(test_header_length),
		cmocka_unit_test(test_header_find),
		cmocka_unit_test(test_header_select),
		cmocka_unit_test(test_unfold),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_addresses_cut),
		cmocka_unit_test(test_mailbox),
		cmocka_unit_test(test_msgid),
		cmocka_unit_test(test_imaptext),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_envelope_growth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
