/* core/dns: the data of records, good and bad, and a resolver that is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/base/clock.h"
#include "core/dns/dns.h"

#define DATA(lit)                      \
	{                              \
		(lit), sizeof(lit) - 1 \
	}

static void
test_records(void **state)
{
	(void)state;
	static const struct {
		enum dns_type type;
		struct str data;
		enum err err;
		const char *name;
		unsigned port;
	} rows[] = {
		{ DNS_A, DATA("\x7f\0\0\x01"), ERR_OK, "127.0.0.1", 0 },
		{ DNS_A, DATA("\x7f\0\0"), ERR_SYNTAX, NULL, 0 },
		{ DNS_A, DATA(""), ERR_SYNTAX, NULL, 0 },
		{ DNS_AAAA, DATA("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"), ERR_OK,
			"2001:db8::7", 0 },
		{ DNS_AAAA, DATA("\x20\x01"), ERR_SYNTAX, NULL, 0 },
		{ DNS_SRV,
			DATA("\0\x0a\0\x3c\x01\x85\x03"
			     "DC1\x07"
			     "example\x03org\0"),
			ERR_OK, "dc1.example.org", 389 },
		{ DNS_SRV, DATA("\0\0\0\0\0\0\0"), ERR_OK, "", 0 },
		{ DNS_SRV, DATA("\0\0\0\0\0\0"), ERR_SYNTAX, NULL, 0 },
		{ DNS_SRV,
			DATA("\0\0\0\0\x01\x85\x03"
			     "dc1"),
			ERR_SYNTAX, NULL, 0 },
		{ DNS_SRV,
			DATA("\0\0\0\0\x01\x85\x09"
			     "dc1\0"),
			ERR_SYNTAX, NULL, 0 },
		{ DNS_SRV,
			DATA("\0\0\0\0\x01\x85\x03"
			     "d.1\0"),
			ERR_SYNTAX, NULL, 0 },
		{ DNS_SRV,
			DATA("\0\0\0\0\x01\x85\x03"
			     "d\0c\0"),
			ERR_SYNTAX, NULL, 0 },
		{ DNS_SRV, DATA("\0\0\0\0\x01\x85\xc0\x0c"), ERR_SYNTAX, NULL, 0 },
		{ DNS_SRV,
			DATA("\0\0\0\0\x01\x85\x01"
			     "a\0x"),
			ERR_SYNTAX, NULL, 0 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct dns_record r;
		assert_int_equal(dns_parse_record(rows[i].type, rows[i].data, &r), rows[i].err);
		if (rows[i].err != ERR_OK)
			continue;
		assert_string_equal(r.name, rows[i].name);
		assert_int_equal(r.port, rows[i].port);
	}
	struct dns_record r;
	assert_int_equal(dns_parse_record(DNS_SRV, str_n("\1\2\3\4\5\6\0", 7), &r), ERR_OK);
	assert_int_equal(r.priority, 0x102);
	assert_int_equal(r.weight, 0x304);
	assert_int_equal(r.port, 0x506);
}

static void
test_mail_records(void **state)
{
	struct dns_record r;

	(void)state;
	assert_int_equal(
		dns_parse_record(DNS_MX, str_n("\0\x0a\2MX\7example\3net\0", 18), &r), ERR_OK);
	assert_int_equal(r.priority, 10);
	assert_string_equal(r.name, "mx.example.net");
	/* the null MX */
	assert_int_equal(dns_parse_record(DNS_MX, str_n("\0\0\0", 3), &r), ERR_OK);
	assert_string_equal(r.name, "");
	assert_int_equal(dns_parse_record(DNS_MX, str_n("\0\0", 2), &r), ERR_SYNTAX);
	assert_int_equal(dns_parse_record(DNS_MX, str_n("\0\x0a\3a b\0", 7), &r), ERR_SYNTAX);
	assert_int_equal(dns_parse_record(DNS_MX, str_n("\0\x0a\2mx", 5), &r), ERR_SYNTAX);
	assert_int_equal(dns_parse_record(DNS_TLSA, str_n("\3\1\1abc", 6), &r), ERR_OK);
	assert_true(r.usage == 3 && r.selector == 1 && r.matching == 1);
	assert_true(str_eq(r.data, STR("abc")));
	assert_int_equal(dns_parse_record(DNS_TLSA, str_n("\3\1\1", 3), &r), ERR_SYNTAX);
	assert_int_equal(dns_parse_record(DNS_TLSA, STR_EMPTY, &r), ERR_SYNTAX);
	assert_int_equal(dns_parse_record(DNS_PTR, str_n("\2MX\7example\3net\0", 16), &r), ERR_OK);
	assert_string_equal(r.name, "mx.example.net");
	assert_int_equal(dns_parse_record(DNS_PTR, str_n("\2m\n\7example\0", 12), &r), ERR_SYNTAX);
	assert_int_equal(dns_parse_record(DNS_PTR, str_n("\4<m>.\0", 6), &r), ERR_SYNTAX);
	assert_int_equal(dns_parse_record(DNS_PTR, STR_EMPTY, &r), ERR_SYNTAX);
}

static void
test_text_records(void **state)
{
	char data[2 * 256];
	struct dns_record r;

	(void)state;
	assert_int_equal(dns_parse_record(DNS_TXT, str_n("\3see\0\5 here", 11), &r), ERR_OK);
	assert_string_equal(r.name, "see here");
	assert_int_equal(dns_parse_record(DNS_TXT, str_n("\4a\r\n\xff", 5), &r), ERR_OK);
	assert_string_equal(r.name, "a???");
	assert_int_equal(dns_parse_record(DNS_TXT, str_n("\4see", 4), &r), ERR_SYNTAX);
	assert_int_equal(dns_parse_record(DNS_TXT, STR_EMPTY, &r), ERR_OK);
	memset(data, 'a', sizeof data);
	data[0] = data[256] = (char)255;
	assert_int_equal(dns_parse_record(DNS_TXT, str_n(data, sizeof data), &r), ERR_OK);
	assert_int_equal(strlen(r.name), 255);
}

static void
test_long_names(void **state)
{
	char data[6 + 300] = { 0 };
	struct dns_record r;
	(void)state;
	/* four labels of 62: 4 * 63 + 1 = 253 octets are a name, with one of 1 it is 255 */
	for (size_t l = 0; l < 4; l++) {
		data[6 + l * 63] = 62;
		memset(data + 7 + l * 63, 'a', 62);
	}
	assert_int_equal(dns_parse_record(DNS_SRV, str_n(data, 6 + 253), &r), ERR_OK);
	assert_int_equal(strlen(r.name), 251);
	memcpy(data + 6 + 252, "\1a", 3);
	assert_int_equal(dns_parse_record(DNS_SRV, str_n(data, 6 + 255), &r), ERR_OK);
	memcpy(data + 6 + 252, "\2aa", 4);
	assert_int_equal(dns_parse_record(DNS_SRV, str_n(data, 6 + 256), &r), ERR_SYNTAX);
}

struct waiting {
	struct loop *loop;
	unsigned calls;
	enum err err;
};

static void
on_answer(void *arg, const struct dns_answer *a)
{
	struct waiting *w = arg;
	w->calls++;
	w->err = a->err;
	loop_stop(w->loop);
}

static void
never(void *arg, const struct dns_answer *a)
{
	(void)arg;
	(void)a;
	fail();
}

/* A server that does not answer costs its time and nothing else; equal options share a context. */
static void
test_silent_server(void **state)
{
	(void)state;
	struct waiting w = { .loop = loop_new() };
	const struct str server = STR("127.0.0.1@9");
	const struct dns_options o = { .servers = &server, .servers_count = 1 };
	struct dns *d = NULL, *same = NULL, *other = NULL;
	const char *text = NULL;
	assert_int_equal(dns_open(w.loop, &o, &d, &text), ERR_OK);
	assert_int_equal(dns_open(w.loop, &o, &same, &text), ERR_OK);
	assert_ptr_equal(d, same);
	const struct dns_options none = { 0 };
	assert_int_equal(dns_open(w.loop, &none, &other, &text), ERR_OK);
	assert_ptr_not_equal(d, other);
	dns_close(other);
	int64_t begin = clock_ms();
	struct dns_query *gone = dns_ask(d, STR("x.example.org"), DNS_A, 50, never, NULL);
	(void)dns_ask(d, STR("_ldap._tcp.example.org"), DNS_SRV, 200, on_answer, &w);
	dns_cancel(gone);
	loop_run(w.loop);
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.err, ERR_TEMP);
	assert_true(clock_ms() - begin < 5000);
	(void)dns_ask(d, STR(""), DNS_A, 1000, on_answer, &w);
	loop_run(w.loop);
	assert_int_equal(w.calls, 2);
	assert_int_equal(w.err, ERR_TEMP);
	/* closing with a question under way */
	(void)dns_ask(d, STR("y.example.org"), DNS_A, 1000, never, NULL);
	dns_close(same);
	dns_close(d);
	loop_free(w.loop);
}

static void
test_options(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct dns *d = NULL;
	const char *text = NULL;
	const struct str bad = STR("not an address");
	const struct dns_options o = { .servers = &bad, .servers_count = 1 };
	assert_int_equal(dns_open(l, &o, &d, &text), ERR_SYNTAX);
	assert_non_null(text);
	const struct dns_options t = { .trust_anchor = STR("nonsense\n") };
	text = NULL;
	assert_int_equal(dns_open(l, &t, &d, &text), ERR_SYNTAX);
	assert_non_null(text);
	loop_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_mail_records),
		cmocka_unit_test(test_text_records),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_silent_server),
		cmocka_unit_test(test_options),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
