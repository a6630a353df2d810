/* delivery/smtp: the checks that ask the DNS, of strangers and of those who may relay, each alone
 * and together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config/dnsbl.h"
#include "core/base/xalloc.h"
#include "delivery/smtp/checks.h"
#include "tests/unit/smtp_fakes.h"

#define TEXT "DATA\r\nSubject: s\r\n\r\nbody\r\n.\r\n"

static const struct fake_record dns[] = {
	/* a good one */
	{ "9.113.0.203.in-addr.arpa", DNS_PTR, RESOLVER_FOUND, "other.else.org" },
	{ "9.113.0.203.in-addr.arpa", DNS_PTR, RESOLVER_FOUND, "mx.else.org" },
	{ "mx.else.org", DNS_A, RESOLVER_FOUND, "203.0.113.8" },
	{ "mx.else.org", DNS_A, RESOLVER_FOUND, "203.0.113.9" },
	{ "other.else.org", DNS_A, RESOLVER_FOUND, "203.0.113.1" },
	{ "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", DNS_PTR,
		RESOLVER_FOUND, "six.else.org" },
	{ "six.else.org", DNS_AAAA, RESOLVER_FOUND, "2001:0db8:0::9" },
	/* one that lies about its name, one that nobody answers for */
	{ "10.113.0.203.in-addr.arpa", DNS_PTR, RESOLVER_FOUND, "mx.else.org" },
	{ "11.113.0.203.in-addr.arpa", DNS_PTR, RESOLVER_TEMP, "" },
	{ "12.113.0.203.in-addr.arpa", DNS_PTR, RESOLVER_FOUND, "temp.else.org" },
	{ "temp.else.org", DNS_A, RESOLVER_TEMP, "" },
	{ "14.113.0.203.in-addr.arpa", DNS_PTR, RESOLVER_NONE, "" },
	/* domains of senders */
	{ "else.org", DNS_MX, RESOLVER_FOUND, "mx.else.org" },
	{ "plain.org", DNS_A, RESOLVER_FOUND, "203.0.113.20" },
	{ "six.org", DNS_AAAA, RESOLVER_FOUND, "2001:db8::20" },
	{ "null.org", DNS_MX, RESOLVER_FOUND, "" },
	{ "null.org", DNS_A, RESOLVER_FOUND, "203.0.113.21" },
	{ "odd.org", DNS_MX, RESOLVER_FOUND, "" },
	{ "odd.org", DNS_MX, RESOLVER_FOUND, "mx.else.org" },
	{ "temp.org", DNS_MX, RESOLVER_TEMP, "" },
	{ "late.org", DNS_MX, RESOLVER_TEMP, "" }, /* the directory has no fault for it */
	{ "half.org", DNS_MX, RESOLVER_TEMP, "" },
	{ "half.org", DNS_A, RESOLVER_FOUND, "203.0.113.22" },
	{ "empty.org", DNS_MX, RESOLVER_NONE, "" },
	{ "xn--bcher-kva.org", DNS_MX, RESOLVER_FOUND, "mx.else.org" },
	/* lists */
	{ "9.113.0.203.white.list", DNS_A, RESOLVER_FOUND, "127.0.3.1" },
	{ "10.113.0.203.white.list", DNS_A, RESOLVER_FOUND, "127.0.3.0" },
	{ "9.113.0.203.black.list", DNS_A, RESOLVER_FOUND, "127.0.0.4" },
	{ "30.113.0.203.black.list", DNS_A, RESOLVER_FOUND, "127.0.0.10" },
	{ "30.113.0.203.black.list", DNS_A, RESOLVER_FOUND, "127.0.0.4" },
	{ "30.113.0.203.black.list", DNS_TXT, RESOLVER_FOUND, "see https://black.list/?30" },
	{ "31.113.0.203.black.list", DNS_A, RESOLVER_FOUND, "127.0.0.12" },
	{ "32.113.0.203.black.list", DNS_A, RESOLVER_FOUND, "203.0.113.99" },
	{ "33.113.0.203.black.list", DNS_A, RESOLVER_FOUND, "127.255.255.254" },
	{ "34.113.0.203.black.list", DNS_A, RESOLVER_TEMP, "" },
	{ "35.113.0.203.grey.list", DNS_A, RESOLVER_FOUND, "127.0.0.2" },
	{ "36.113.0.203.black.list", DNS_A, RESOLVER_FOUND, "127.0.0.2" },
	{ "36.113.0.203.grey.list", DNS_A, RESOLVER_FOUND, "127.0.0.2" },
	{ "1.3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.black.list", DNS_A,
		RESOLVER_FOUND, "127.0.0.4" },
	{ NULL, DNS_A, RESOLVER_TEMP, NULL },
};

static struct dnslist lists[3];
static const struct cidr exempt = { .addr = { 203, 0, 113, 40 }, .bits = 32 };

static void
make_lists(void)
{
	static const char *const zones[] = { "black.list", "grey.list", "white.list" };
	static const char *const replies[] = { "127.0.0.2-11", "127.0.0-254.0-255",
		"127.0.1-9.1-3" };
	static const int weights[] = { 2, 1, -5 };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		lists[i] = (struct dnslist){ .title = str_of(zones[i]),
			.zone = str_of(zones[i]),
			.weight = weights[i],
			.filters_count = 1 };
		assert_int_equal(
			dnsbl_filter_parse(str_of(replies[i]), &lists[i].filters[0]), ERR_OK);
	}
}

/* Everything on, refusing. */
static void
all_on(struct smtp_options *o)
{
	make_lists();
	o->postmaster = STR("known.admin@ok.org");
	o->checks = (struct check_options){ .client_ptr = CHECK_REFUSE,
		.client_confirmed = CHECK_REFUSE,
		.helo_known = CHECK_REFUSE,
		.sender_known = CHECK_REFUSE,
		.dnsbl = CHECK_REFUSE,
		.dnsbl_threshold = 2,
		.timeout_ms = 60000,
		.exempt = &exempt,
		.exempt_count = 1,
		.lists = lists,
		.lists_count = ARRAY_LEN(lists) };
}

static void
names_only(struct smtp_options *o)
{
	all_on(o);
	o->checks.dnsbl = o->checks.helo_known = o->checks.sender_known = CHECK_OFF;
}

static void
ptr_only(struct smtp_options *o)
{
	names_only(o);
	o->checks.client_confirmed = CHECK_OFF;
}

static void
helo_only(struct smtp_options *o)
{
	all_on(o);
	o->checks.dnsbl = o->checks.client_ptr = o->checks.client_confirmed = CHECK_OFF;
	o->checks.sender_known = CHECK_OFF;
}

static void
sender_only(struct smtp_options *o)
{
	helo_only(o);
	o->checks.helo_known = CHECK_OFF;
	o->checks.sender_known = CHECK_REFUSE;
}

static void
sender_deferred(struct smtp_options *o)
{
	sender_only(o);
	o->checks.sender_known = CHECK_DEFER;
	o->checks.failure_defers = true;
}

static void
lists_only(struct smtp_options *o)
{
	helo_only(o);
	o->checks.helo_known = CHECK_OFF;
	o->checks.dnsbl = CHECK_REFUSE;
}

static void
lists_defer(struct smtp_options *o)
{
	lists_only(o);
	o->checks.dnsbl = CHECK_DEFER;
}

static void
all_defer(struct smtp_options *o)
{
	all_on(o);
	o->checks.client_ptr = o->checks.client_confirmed = CHECK_DEFER;
	o->checks.helo_known = CHECK_DEFER;
	o->checks.sender_known = CHECK_DEFER;
	o->checks.dnsbl = CHECK_DEFER;
	o->checks.failure_defers = true;
}

static void
all_log(struct smtp_options *o)
{
	all_defer(o);
	o->checks.client_ptr = o->checks.client_confirmed = CHECK_LOG;
	o->checks.helo_known = o->checks.sender_known = o->checks.dnsbl = CHECK_LOG;
}

static void
all_off(struct smtp_options *o)
{
	all_on(o);
	o->checks = (struct check_options){ .lists = lists, .lists_count = ARRAY_LEN(lists) };
}

static const struct {
	void (*options)(struct smtp_options *o);
	const char *client, *helo, *sender, *rcpt;
	const char *want; /* the reply to RCPT begins so */
} table[] = {
	/* the client's name */
	{ names_only, "203.0.113.9", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ names_only, "2001:db8::9", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ names_only, "203.0.113.10", "x", "a@b.org", "known@ok.org", "550 5.7.25 The name" },
	{ names_only, "203.0.113.13", "x", "a@b.org", "known@ok.org", "550 5.7.25 Your address" },
	{ names_only, "203.0.113.14", "x", "a@b.org", "known@ok.org", "550 5.7.25 Your address" },
	{ names_only, "2001:db8::10", "x", "a@b.org", "known@ok.org", "550 5.7.25 Your address" },
	{ names_only, "203.0.113.11", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ names_only, "203.0.113.12", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ ptr_only, "203.0.113.10", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ ptr_only, "203.0.113.13", "x", "a@b.org", "known@ok.org", "550 5.7.25 Your address" },
	{ all_defer, "203.0.113.10", "else.org", "a@else.org", "known@ok.org", "450 4.7.25 The" },
	{ all_defer, "203.0.113.13", "else.org", "a@else.org", "known@ok.org", "450 4.7.25 Your" },
	{ all_defer, "203.0.113.11", "else.org", "a@else.org", "known@ok.org", "450 4.4.3" },
	{ all_defer, "203.0.113.12", "else.org", "a@else.org", "known@ok.org", "450 4.4.3" },
	/* the greeting */
	{ helo_only, "203.0.113.13", "mx.else.org", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ helo_only, "203.0.113.13", "six.else.org", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ helo_only, "203.0.113.13", "else.org", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ helo_only, "203.0.113.13", "null.org", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ helo_only, "203.0.113.13", "[203.0.113.13]", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ helo_only, "203.0.113.13", "nobody.org", "a@b.org", "known@ok.org",
		"550 5.7.1 The name" },
	{ helo_only, "203.0.113.13", "pc", "a@b.org", "known@ok.org", "550 5.7.1 The name" },
	{ helo_only, "203.0.113.13", "temp.org", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ all_defer, "2001:db8::9", "nobody.org", "a@else.org", "known@ok.org",
		"450 4.7.1 The name" },
	{ all_defer, "2001:db8::9", "temp.org", "a@else.org", "known@ok.org", "450 4.4.3" },
	/* the sender */
	{ sender_only, "203.0.113.13", "x", "a@else.org", "known@ok.org", "250 2.1.5" },
	{ sender_only, "203.0.113.13", "x", "a@ELSE.org", "known@ok.org", "250 2.1.5" },
	{ sender_only, "203.0.113.13", "x", "a@plain.org", "known@ok.org", "250 2.1.5" },
	{ sender_only, "203.0.113.13", "x", "a@six.org", "known@ok.org", "250 2.1.5" },
	{ sender_only, "203.0.113.13", "x", "a@odd.org", "known@ok.org", "250 2.1.5" },
	{ sender_only, "203.0.113.13", "x", "a@half.org", "known@ok.org", "250 2.1.5" },
	{ sender_only, "203.0.113.13", "x", "a@[203.0.113.13]", "known@ok.org", "250 2.1.5" },
	{ sender_only, "203.0.113.13", "x", "", "known@ok.org", "250 2.1.5" },
	{ sender_only, "203.0.113.13", "x", "a@nobody.org", "known@ok.org", "550 5.1.8" },
	{ sender_only, "203.0.113.13", "x", "a@empty.org", "known@ok.org", "550 5.1.8" },
	{ sender_only, "203.0.113.13", "x", "a@null.org", "known@ok.org", "550 5.7.27" },
	{ sender_only, "203.0.113.13", "x", "a@temp.org", "known@ok.org", "250 2.1.5" },
	{ sender_deferred, "203.0.113.13", "x", "a@nobody.org", "known@ok.org", "450 4.1.8" },
	{ sender_deferred, "203.0.113.13", "x", "a@null.org", "known@ok.org", "450 4.7.27" },
	{ sender_deferred, "203.0.113.13", "x", "a@temp.org", "known@ok.org", "450 4.4.3" },
	{ sender_deferred, "203.0.113.13", "x", "a@half.org", "known@ok.org", "250 2.1.5" },
	/* lists: answers that count, answers that do not, sums */
	{ lists_only, "203.0.113.13", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ lists_only, "203.0.113.30", "x", "a@b.org", "known@ok.org",
		"554 5.7.1 Your address is on a block list: black.list (see "
		"https://black.list/?30)" },
	{ lists_only, "203.0.113.31", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ lists_only, "203.0.113.32", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ lists_only, "203.0.113.33", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ lists_only, "203.0.113.34", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ lists_only, "203.0.113.35", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ lists_only, "203.0.113.36", "x", "a@b.org", "known@ok.org",
		"554 5.7.1 Your address is on a block list: black.list\r" },
	{ lists_only, "203.0.113.9", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ lists_only, "2001:db8::13", "x", "a@b.org", "known@ok.org", "250 2.1.5" },
	{ lists_only, "2001:db8::31", "x", "a@b.org", "known@ok.org", "554 5.7.1" },
	{ lists_defer, "203.0.113.30", "x", "a@b.org", "known@ok.org",
		"450 4.7.1 Your address is" },
	/* who is let through all the same */
	{ all_on, "203.0.113.13", "nobody.org", "a@null.org", "known@ok.org", "550 5.7.25" },
	{ all_on, "203.0.113.9", "nobody.org", "a@null.org", "known@ok.org", "250 2.1.5" },
	{ all_on, "203.0.113.10", "nobody.org", "a@null.org", "known@ok.org", "550 5.7.25" },
	{ all_on, "203.0.113.30", "nobody.org", "a@null.org", "known@ok.org", "554 5.7.1" },
	{ all_on, "203.0.113.40", "nobody.org", "a@null.org", "known@ok.org", "250 2.1.5" },
	{ all_on, "203.0.113.30", "nobody.org", "a@null.org", "postmaster@ok.org", "250 2.1.5" },
	{ all_on, "203.0.113.30", "nobody.org", "a@null.org", "Postmaster", "250 2.1.5" },
	{ all_on, "203.0.113.30", "nobody.org", "a@null.org", "postmaster@third.org", "550 5.7.1" },
	{ all_on, "192.0.2.9", "nobody.org", "a@null.org", "known@ok.org", "250 2.1.5" },
	{ all_log, "203.0.113.30", "nobody.org", "a@null.org", "known@ok.org", "250 2.1.5" },
	{ all_log, "203.0.113.11", "temp.org", "a@temp.org", "known@ok.org", "250 2.1.5" },
	{ all_off, "203.0.113.30", "nobody.org", "a@null.org", "known@ok.org", "250 2.1.5" },
	/* what the directory says still counts */
	{ names_only, "203.0.113.9", "x", "a@b.org", "nobody@ok.org", "550 5.1.1" },
	{ names_only, "203.0.113.9", "x", "a@b.org", "temp@ok.org", "451 4.4.3" },
	{ names_only, "203.0.113.9", "x", "a@b.org", "a@third.org", "550 5.7.1 Relaying" },
};

/* The n-th reply, counted from 0; continuation lines do not count. */
static struct str
reply(unsigned n)
{
	struct str rest = buf_str(&fakes.output), line;

	while (str_cut(rest, '\n', &line, &rest))
		if (line.n > 3 && line.p[3] != '-' && n-- == 0)
			return line;
	return STR_EMPTY;
}

static void
start_silent(void (*options)(struct smtp_options *o), const char *client, bool silent)
{
	fakes_start(options);
	fakes.dns = dns;
	fakes.dns_silent = silent;
	fakes_connect_mx(client);
}

static void
start(void (*options)(struct smtp_options *o), const char *client)
{
	start_silent(options, client, false);
}

static void
test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf in;
		struct str got;
		buf_init(&in, 4096);
		buf_addf(&in, "EHLO %s\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nQUIT\r\n",
			table[i].helo, table[i].sender, table[i].rcpt);
		start(table[i].options, table[i].client);
		fakes_send(buf_str(&in), 0);
		fakes_end();
		got = reply(3);
		if (!str_starts(got, str_of(table[i].want)))
			fail_msg("row %zu: %s\ngot %.*s\nwant %s", i, table[i].client, STR_FMT(got),
				table[i].want);
		assert_true(str_starts(reply(4), STR("221")));
		buf_fini(&in);
		fakes_stop();
	}
}

/* A session's questions: none where nothing is on, each once. */
static void
test_asked(void **state)
{
	static const struct {
		void (*options)(struct smtp_options *o);
		const char *client;
		unsigned asked;
	} rows[] = {
		{ all_off, "203.0.113.30", 0 }, { all_on, "192.0.2.9", 0 },
		{ ptr_only, "203.0.113.9", 3 },	   /* PTR, two names */
		{ sender_only, "203.0.113.9", 6 }, /* else.org, nobody.org */
		{ helo_only, "203.0.113.9", 3 },
		{ lists_only, "203.0.113.30", 4 }, /* the lists, TXT of one */
		{ all_on, "203.0.113.40", 1 },	   /* exempt: the name alone, for Received */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		start(rows[i].options, rows[i].client);
		fakes_send(STR("EHLO c.else.org\r\nEHLO c.else.org\r\nMAIL FROM:<a@else.org>\r\n"
			       "RCPT TO:<known@ok.org>\r\nRCPT TO:<known1@ok.org>\r\nRSET\r\n"
			       "MAIL FROM:<b@else.org>\r\nRCPT TO:<known@ok.org>\r\nRSET\r\n"
			       "MAIL FROM:<b@nobody.org>\r\nRCPT TO:<known@ok.org>\r\n"),
			0);
		fakes_end();
		if (fakes.dns_asked != rows[i].asked)
			fail_msg("row %zu: %u", i, fakes.dns_asked);
		fakes_stop();
	}
}

/* Greetings cost nobody a question before a message comes: their number has no limit. */
static void
test_greetings_ask_nothing(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	for (int i = 0; i < 100; i++)
		buf_addf(&b, "EHLO n%d.else.org\r\n", i);
	start(helo_only, "203.0.113.9");
	fakes_send(buf_str(&b), 0);
	assert_int_equal(fakes.dns_asked, 0);
	fakes_send(STR("MAIL FROM:<>\r\n"), 0);
	assert_int_equal(fakes.dns_asked, 3);
	fakes_end();
	fakes_stop();
	buf_fini(&b);
}

/* Each sender gets its own verdict, and no recipient slips in beside a refused one. */
static void
test_two_senders(void **state)
{
	(void)state;
	start(sender_only, "203.0.113.9");
	fakes_send(STR("EHLO c\r\nMAIL FROM:<a@null.org>\r\nRCPT TO:<known@ok.org>\r\n"
		       "RCPT TO:<known1@ok.org>\r\nDATA\r\nRSET\r\n"
		       "MAIL FROM:<a@else.org>\r\nRCPT TO:<known@ok.org>\r\n" TEXT
		       "MAIL FROM:<a@nobody.org>\r\nRCPT TO:<known@ok.org>\r\nQUIT\r\n"),
		0);
	fakes_end();
	assert_true(str_starts(reply(3), STR("550 5.7.27")));
	assert_true(str_starts(reply(4), STR("550 5.7.27")));
	assert_true(str_starts(reply(5), STR("554 5.5.1")));
	assert_true(str_starts(reply(8), STR("250 2.1.5")));
	assert_true(str_starts(reply(10), STR("250 2.0.0 Ok: queued")));
	assert_true(str_starts(reply(12), STR("550 5.1.8")));
	assert_int_equal(fakes.commits, 1);
	assert_string_equal(buf_z(&fakes.rcpts), "known@ok.org\n");
	fakes_stop();
}

static void
mx_login(struct smtp_options *o)
{
	all_on(o);
	o->mx_login = true;
}

/* Whoever logs in is no stranger any more. */
static void
test_login(void **state)
{
	(void)state;
	start(mx_login, "203.0.113.30");
	fakes_send(STR("EHLO nobody.org\r\nMAIL FROM:<me@ok.org>\r\nRCPT TO:<known@ok.org>\r\n"
		       "RSET\r\nAUTH PLAIN AGFubmEAZ29vZA==\r\nMAIL FROM:<me@ok.org>\r\n"
		       "RCPT TO:<known@ok.org>\r\nQUIT\r\n"),
		0);
	fakes_end();
	assert_true(str_starts(reply(3), STR("554 5.7.1")));
	assert_true(str_starts(reply(5), STR("235 ")));
	assert_true(str_starts(reply(7), STR("250 2.1.5")));
	fakes_stop();
}

static void
quick(struct smtp_options *o)
{
	all_on(o);
	o->checks.timeout_ms = 40;
}

static void
quick_defer(struct smtp_options *o)
{
	quick(o);
	o->checks.failure_defers = true;
}

/* A DNS that never answers holds up one RCPT, for its time, and refuses nothing for good. */
static void
test_silence(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		start_silent(i == 0 ? quick : quick_defer, "203.0.113.30", true);
		fakes_send(STR("EHLO c.else.org\r\nMAIL FROM:<a@else.org>\r\n"
			       "RCPT TO:<known@ok.org>\r\nRCPT TO:<known1@ok.org>\r\nQUIT\r\n"),
			0);
		fakes_end();
		assert_true(str_starts(reply(3), i == 0 ? STR("250 2.1.5") : STR("450 4.4.3")));
		assert_true(str_starts(reply(4), i == 0 ? STR("250 2.1.5") : STR("450 4.4.3")));
		assert_true(str_starts(reply(5), STR("221")));
		fakes_stop();
	}
}

/* A list that keeps everybody waiting is left out after a few. */
static void
test_silent_list(void **state)
{
	(void)state;
	start(lists_only, "203.0.113.30");
	fakes_end();
	fakes_stop();
	fakes_start(quick);
	fakes.dns = dns;
	fakes.dns_silent = true;
	for (unsigned i = 0; i < 8; i++) {
		unsigned before = fakes.dns_asked;
		fakes_connect_mx("203.0.113.30");
		fakes_send(STR("EHLO [203.0.113.30]\r\nMAIL FROM:<>\r\nRCPT TO:<known@ok.org>\r\n"
			       "QUIT\r\n"),
			0);
		fakes_end();
		assert_int_equal(fakes.dns_asked - before, i < 5 ? 4 : 1);
	}
	assert_true(lists[0].skip_until_ms > 0);
	fakes_stop();
}

/* Clients that leave while everything is being asked, at each point. */
static void
test_hang_up(void **state)
{
	static const char said[] = "EHLO c.else.org\r\nMAIL FROM:<a@else.org>\r\n"
				   "RCPT TO:<known@ok.org>\r\nRSET\r\nMAIL FROM:<b@plain.org>\r\n";

	(void)state;
	for (size_t n = 0; n < sizeof said; n += 7) {
		start_silent(quick, "203.0.113.30", n % 2 == 0);
		fakes_send(str_n(said, n), 0);
		fakes_end();
		fakes_stop();
	}
	/* … and the server, with all in flight */
	start_silent(all_on, "203.0.113.30", true);
	fakes_send(str_of(said), 0);
	fakes_stop();
}

static void
test_trace(void **state)
{
	static const struct {
		void (*options)(struct smtp_options *o);
		const char *client, *want;
	} rows[] = {
		{ names_only, "203.0.113.9",
			"Authentication-Results: mx.ok.org;\r\n\tiprev=pass "
			"policy.iprev=203.0.113.9 "
			"(mx.else.org)\r\nReceived: from c (mx.else.org [203.0.113.9])\r\n" },
		{ names_only, "2001:db8::9",
			"Authentication-Results: mx.ok.org;\r\n\tiprev=pass "
			"policy.iprev=\"2001:db8::9\" "
			"(six.else.org)\r\nReceived: from c (six.else.org "
			"[IPv6:2001:db8::9])\r\n" },
		{ all_log, "203.0.113.10",
			"Authentication-Results: mx.ok.org;\r\n\tiprev=fail "
			"policy.iprev=203.0.113.10\r\n"
			"Received: from c (unknown [203.0.113.10])\r\n" },
		{ all_log, "203.0.113.13",
			"Authentication-Results: mx.ok.org;\r\n\tiprev=permerror "
			"policy.iprev=203.0.113.13\r\nReceived: from c (unknown "
			"[203.0.113.13])\r\n" },
		{ all_log, "203.0.113.12",
			"Authentication-Results: mx.ok.org;\r\n\tiprev=temperror "
			"policy.iprev=203.0.113.12\r\nReceived: from c (unknown "
			"[203.0.113.12])\r\n" },
		{ lists_only, "203.0.113.9", "Received: from c ([203.0.113.9])\r\n" },
		{ all_on, "192.0.2.9", "Received: from c ([192.0.2.9])\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		start(rows[i].options, rows[i].client);
		fakes_send(STR("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<known@ok.org>\r\n"
			       "DATA\r\nAuthentication-Results: mx.ok.org; iprev=pass\r\n\r\n"
			       "body\r\n.\r\n"),
			0);
		fakes_end();
		assert_int_equal(fakes.commits, 1);
		if (!str_starts(buf_str(&fakes.body), str_of(rows[i].want)))
			fail_msg("row %zu: %s", i, buf_z(&fakes.body));
		/* what claims to be ours is not */
		assert_true(str_find(str_from(buf_str(&fakes.body), strlen(rows[i].want)),
				    STR("iprev")) >= fakes.body.n - strlen(rows[i].want));
		fakes_stop();
	}
}

/* Recipients elsewhere. */

#define LOGIN "AUTH PLAIN AGFubmEAZ29vZA==\r\n"

static void
rcpt_only(struct smtp_options *o)
{
	sender_only(o);
	o->checks.sender_known = CHECK_OFF;
	o->checks.recipient_known = CHECK_REFUSE;
	o->outbound = true;
	o->mx_login = true;
}

static void
rcpt_off(struct smtp_options *o)
{
	all_on(o);
	o->outbound = true;
}

static void
rcpt_refuse_defer(struct smtp_options *o)
{
	rcpt_only(o);
	o->checks.failure_defers = true;
}

static void
rcpt_deferred(struct smtp_options *o)
{
	rcpt_refuse_defer(o);
	o->checks.recipient_known = CHECK_DEFER;
}

static void
rcpt_log(struct smtp_options *o)
{
	rcpt_refuse_defer(o);
	o->checks.recipient_known = CHECK_LOG;
}

static void
rcpt_no_outbound(struct smtp_options *o)
{
	rcpt_only(o);
	o->outbound = false;
}

static void
rcpt_exempt(struct smtp_options *o)
{
	static const struct cidr ours = { .addr = { 192, 0, 2, 0 }, .bits = 24 };

	rcpt_only(o);
	o->checks.exempt = &ours;
}

static void
rcpt_null_client(struct smtp_options *o)
{
	rcpt_only(o);
	o->null_client = true;
}

static struct settings *
add_sections(struct smtp_options *o)
{
	static const struct str domains[] = { { "nobody.org", 10 }, { ".below.org", 10 } };
	static const struct str senders[] = { { "far.org", 7 } };
	static struct settings_relay relays[2];
	static struct settings s;

	rcpt_only(o);
	s = *o->settings;
	relays[0].title = STR("one");
	relays[0].host = relays[1].host = STR("[hop.else.org]");
	relays[0].domains =
		(struct str_list){ .v = (struct str *)(uintptr_t)domains, .n = ARRAY_LEN(domains) };
	relays[1].title = STR("two");
	relays[1].sender_domains =
		(struct str_list){ .v = (struct str *)(uintptr_t)senders, .n = ARRAY_LEN(senders) };
	s.relays = relays;
	s.relays_count = ARRAY_LEN(relays);
	s.outbound.smarthost = STR_EMPTY;
	o->settings = &s;
	return &s;
}

static void
rcpt_sections(struct smtp_options *o)
{
	add_sections(o);
}

/* They only say how to send. */
static void
rcpt_sections_mx(struct smtp_options *o)
{
	struct settings *s = add_sections(o);

	s->relays[0].host = s->relays[1].host = STR_EMPTY;
}

static void
rcpt_smarthost(struct smtp_options *o)
{
	add_sections(o)->outbound.smarthost = STR("two");
}

static const struct {
	void (*options)(struct smtp_options *o);
	bool login;
	const char *client, *sender, *rcpt, *want;
	unsigned asked;
} rcpt_table[] = {
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@else.org", "250 2.1.5", 3 },
	{ rcpt_only, false, "192.0.2.9", "", "a@ELSE.org", "250 2.1.5", 3 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@plain.org", "250 2.1.5", 3 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@six.org", "250 2.1.5", 3 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@odd.org", "250 2.1.5", 3 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@half.org", "250 2.1.5", 3 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@nobody.org", "550 5.1.2 The recip", 3 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@empty.org", "550 5.1.2 The recip", 3 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "postmaster@nobody.org", "550 5.1.2", 3 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@null.org", "556 5.1.10 The recip", 3 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@late.org", "250 2.1.5", 3 },
	{ rcpt_only, true, "203.0.113.13", "me@ok.org", "a@else.org", "250 2.1.5", 3 },
	{ rcpt_only, true, "203.0.113.13", "me@ok.org", "a@nobody.org", "550 5.1.2", 3 },
	{ rcpt_only, true, "203.0.113.13", "me@ok.org", "a@null.org", "556 5.1.10", 3 },
	{ rcpt_deferred, false, "192.0.2.9", "a@b.org", "a@nobody.org", "450 4.1.2", 3 },
	{ rcpt_deferred, false, "192.0.2.9", "a@b.org", "a@null.org", "450 4.1.10", 3 },
	{ rcpt_deferred, false, "192.0.2.9", "a@b.org", "a@late.org", "450 4.4.3 The DNS", 3 },
	{ rcpt_deferred, false, "192.0.2.9", "a@b.org", "a@half.org", "250 2.1.5", 3 },
	{ rcpt_refuse_defer, false, "192.0.2.9", "a@b.org", "a@nobody.org", "550 5.1.2", 3 },
	{ rcpt_refuse_defer, false, "192.0.2.9", "a@b.org", "a@late.org", "450 4.4.3", 3 },
	{ rcpt_log, false, "192.0.2.9", "a@b.org", "a@nobody.org", "250 2.1.5", 3 },
	{ rcpt_log, false, "192.0.2.9", "a@b.org", "a@null.org", "250 2.1.5", 3 },
	{ rcpt_log, false, "192.0.2.9", "a@b.org", "a@late.org", "250 2.1.5", 3 },
	/* who is not asked about */
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@[203.0.113.13]", "250 2.1.5", 0 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "known@ok.org", "250 2.1.5", 0 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "nobody@ok.org", "550 5.1.1", 0 },
	{ rcpt_only, false, "192.0.2.9", "a@b.org", "a@temp.org", "451 4.4.3", 0 },
	{ rcpt_only, false, "203.0.113.13", "a@b.org", "a@nobody.org", "550 5.7.1 Relaying", 0 },
	{ rcpt_no_outbound, false, "192.0.2.9", "a@b.org", "a@nobody.org", "550 5.7.1 Rel", 0 },
	{ rcpt_off, false, "192.0.2.9", "a@b.org", "a@nobody.org", "250 2.1.5", 0 },
	{ rcpt_exempt, false, "192.0.2.9", "a@b.org", "a@nobody.org", "250 2.1.5", 0 },
	{ rcpt_null_client, false, "192.0.2.9", "a@b.org", "a@nobody.org", "250 2.1.5", 0 },
	{ rcpt_smarthost, false, "192.0.2.9", "a@b.org", "a@null.org", "250 2.1.5", 0 },
	{ rcpt_sections, false, "192.0.2.9", "a@b.org", "a@NOBODY.org", "250 2.1.5", 0 },
	{ rcpt_sections, false, "192.0.2.9", "a@b.org", "a@x.below.org", "250 2.1.5", 0 },
	{ rcpt_sections, false, "192.0.2.9", "a@far.org", "a@null.org", "250 2.1.5", 0 },
	{ rcpt_sections, false, "192.0.2.9", "a@b.org", "a@below.org", "550 5.1.2", 3 },
	{ rcpt_sections, false, "192.0.2.9", "", "a@null.org", "556 5.1.10", 3 },
	{ rcpt_sections_mx, false, "192.0.2.9", "a@b.org", "a@nobody.org", "550 5.1.2", 3 },
	{ rcpt_sections_mx, false, "192.0.2.9", "a@far.org", "a@null.org", "556 5.1.10", 3 },
};

static void
test_recipients(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rcpt_table); i++) {
		bool login = rcpt_table[i].login;
		struct buf in;
		struct str got;
		buf_init(&in, 4096);
		buf_addf(&in, "EHLO c\r\n%sMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nQUIT\r\n",
			login ? LOGIN : "", rcpt_table[i].sender, rcpt_table[i].rcpt);
		start(rcpt_table[i].options, rcpt_table[i].client);
		fakes_send(buf_str(&in), 0);
		fakes_end();
		got = reply(login ? 4 : 3);
		if (!str_starts(got, str_of(rcpt_table[i].want)) ||
			fakes.dns_asked != rcpt_table[i].asked)
			fail_msg("row %zu: %s\ngot %.*s, asked %u\nwant %s", i, rcpt_table[i].rcpt,
				STR_FMT(got), fakes.dns_asked, rcpt_table[i].want);
		assert_true(str_starts(reply(login ? 5 : 4), STR("221")));
		buf_fini(&in);
		fakes_stop();
	}
}

/* Each recipient has its own answer, in order; the good ones get the message. In UTF-8 as well. */
static void
test_many_recipients(void **state)
{
	(void)state;
	start(rcpt_only, "192.0.2.9");
	fakes_send(STR("EHLO c\r\nMAIL FROM:<a@b.org> SMTPUTF8\r\nRCPT TO:<a@nobody.org>\r\n"
		       "RCPT TO:<a@else.org>\r\nRCPT TO:<a@null.org>\r\n"
		       "RCPT TO:<a@b\xc3\xbc"
		       "cher.org>\r\nRCPT TO:<a@k\xc3\xbc"
		       "cher.org>\r\n" TEXT "QUIT\r\n"),
		0);
	fakes_end();
	assert_true(str_starts(reply(3), STR("550 5.1.2")));
	assert_true(str_starts(reply(4), STR("250 2.1.5")));
	assert_true(str_starts(reply(5), STR("556 5.1.10")));
	assert_true(str_starts(reply(6), STR("250 2.1.5")));
	assert_true(str_starts(reply(7), STR("550 5.1.2")));
	assert_true(str_starts(reply(9), STR("250 2.0.0 Ok: queued")));
	assert_string_equal(buf_z(&fakes.rcpts), "a@else.org\na@xn--bcher-kva.org\n");
	fakes_stop();
}

static void
rcpt_quick(struct smtp_options *o)
{
	rcpt_only(o);
	o->checks.timeout_ms = 40;
}

static void
rcpt_quick_defer(struct smtp_options *o)
{
	rcpt_quick(o);
	o->checks.failure_defers = true;
}

/* A DNS that never answers holds up a message for its time, not for each recipient's. The clock
 * may lose a millisecond, so a second domain may be asked about. */
static void
test_recipients_silence(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		start_silent(i == 0 ? rcpt_quick : rcpt_quick_defer, "192.0.2.9", true);
		fakes_send(STR("EHLO c\r\nMAIL FROM:<a@b.org>\r\nRCPT TO:<a@one.org>\r\n"
			       "RCPT TO:<a@two.org>\r\nRCPT TO:<a@three.org>\r\n"
			       "RCPT TO:<a@four.org>\r\nRCPT TO:<known@ok.org>\r\nQUIT\r\n"),
			0);
		fakes_end();
		for (unsigned n = 3; n < 7; n++)
			assert_true(
				str_starts(reply(n), i == 0 ? STR("250 2.1.5") : STR("450 4.4.3")));
		assert_true(str_starts(reply(7), STR("250 2.1.5")));
		assert_true(str_starts(reply(8), STR("221")));
		assert_in_range(fakes.dns_asked, 3, 6);
		fakes_stop();
	}
}

static void
test_recipients_hang_up(void **state)
{
	static const char said[] = "EHLO c\r\nMAIL FROM:<a@b.org>\r\nRCPT TO:<a@else.org>\r\n"
				   "RSET\r\nMAIL FROM:<a@b.org>\r\nRCPT TO:<a@plain.org>\r\n";

	(void)state;
	for (size_t n = 0; n < sizeof said; n += 7) {
		start_silent(rcpt_quick, "192.0.2.9", n % 2 == 0);
		fakes_send(str_n(said, n), 0);
		fakes_end();
		fakes_stop();
	}
	/* … and the server, with the question in flight */
	start_silent(rcpt_only, "192.0.2.9", true);
	fakes_send(str_of(said), 0);
	assert_int_equal(fakes.dns_asked, 3);
	fakes_stop();
}

static void
test_filters(void **state)
{
	static const struct {
		const char *filter, *address;
		bool good, match;
	} rows[] = {
		{ "127.0.0.2", "127.0.0.2", true, true },
		{ "127.0.0.2", "127.0.0.3", true, false },
		{ "127.0.0.2-11", "127.0.0.11", true, true },
		{ "127.0.0.2-11", "127.0.0.12", true, false },
		{ "127.0.0-255.1-3", "127.0.200.3", true, true },
		{ "127.0.0-254.0-255", "127.255.255.254", true, false },
		{ "127.0.0.2", "", true, false },
		{ "127.0.0.2", "127.0.0.2.1", true, false },
		{ "127.0.0.2", "127.0.0", true, false },
		{ "128.0.0.2", "", false, false },
		{ "0-255.0.0.2", "", false, false },
		{ "127.0.0", "", false, false },
		{ "127.0.0.2.1", "", false, false },
		{ "127.0.0.3-2", "", false, false },
		{ "127.0.0.256", "", false, false },
		{ "127.0.0.2-", "", false, false },
		{ "127.0.0.x", "", false, false },
		{ "", "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dnsbl_filter f;
		assert_int_equal(dnsbl_filter_parse(str_of(rows[i].filter), &f),
			rows[i].good ? ERR_OK : ERR_SYNTAX);
		if (rows[i].good)
			assert_int_equal(
				dnsbl_filter_match(&f, str_of(rows[i].address)), rows[i].match);
	}
	assert_true(dnsbl_zone_valid(STR("zen.example.org")));
	assert_false(dnsbl_zone_valid(STR("zen")));
	assert_false(dnsbl_zone_valid(STR("zen.example.org.")));
	assert_false(dnsbl_zone_valid(STR("zen..org")));
	assert_false(dnsbl_zone_valid(STR("zen example.org")));
	assert_false(dnsbl_zone_valid(STR_EMPTY));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_greetings_ask_nothing),
		cmocka_unit_test(test_two_senders),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_silent_list),
		cmocka_unit_test(test_hang_up),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_many_recipients),
		cmocka_unit_test(test_recipients_silence),
		cmocka_unit_test(test_recipients_hang_up),
		cmocka_unit_test(test_trace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
