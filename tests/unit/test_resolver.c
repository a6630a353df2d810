/* delivery/resolver: messages, names of addresses, and both ends of the channel over a DNS of the
 * test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc.h"
#include "core/event/listener.h"
#include "delivery/resolver/resolver.h"
#include "delivery/resolver/service.h"

/* The DNS: questions wait until the test answers them. */
struct dns_query {
	char name[256];
	enum dns_type type;
	dns_fn fn;
	void *arg;
	struct dns_query *next;
};
static struct dns_query *open_queries;
static unsigned asked;

struct dns_query *
dns_ask(struct dns *d, struct str name, enum dns_type type, int64_t timeout_ms, dns_fn fn,
	void *arg)
{
	struct dns_query *q = xcalloc(1, sizeof *q);

	(void)d;
	(void)timeout_ms;
	(void)snprintf(q->name, sizeof q->name, "%.*s", STR_FMT(name));
	q->type = type;
	q->fn = fn;
	q->arg = arg;
	q->next = open_queries;
	open_queries = q;
	asked++;
	return q;
}

void
dns_cancel(struct dns_query *q)
{
	for (struct dns_query **at = &open_queries; *at != NULL; at = &(*at)->next)
		if (*at == q) {
			*at = q->next;
			free(q);
			return;
		}
}

static void
dns_says(const struct dns_answer *a)
{
	struct dns_query *q = open_queries;

	assert_non_null(q);
	open_queries = q->next;
	q->fn(q->arg, a);
	free(q);
}

/* One service, one client, in one loop. */
static struct loop *loop;
static struct resolver_service *service;
static struct resolver_client *client;
static struct listener *listener;
static char folder[64], path[80];
static struct loop_timer stop;
static unsigned answers;
static struct resolver_answer last;
static char last_text[4096];

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	(void)arg;
	(void)peer;
	resolver_service_add(service, fd);
}

static void
on_stop(struct loop_timer *t)
{
	loop_stop(t->loop);
}

static void
run(int64_t ms)
{
	loop_timer_start(&stop, ms);
	loop_run(loop);
}

/* Until *counter is n, for 30 s at most. */
static void
until(const unsigned *counter, unsigned n)
{
	for (unsigned i = 0; *counter < n && i < 15000; i++)
		run(2);
	assert_int_equal(*counter, n);
}

static void
on_answer(void *arg, const struct resolver_answer *a)
{
	size_t n = 0;

	(void)arg;
	answers++;
	last = *a;
	last_text[0] = '\0';
	for (size_t i = 0; i < a->count; i++)
		n += (size_t)snprintf(last_text + n, sizeof last_text - n, "%u:%.*s ",
			a->records[i].preference, STR_FMT(a->records[i].text));
}

static void
open_listener(void)
{
	struct listen_options o = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	const char *why = "";
	char address[100];
	int fd;

	(void)snprintf(address, sizeof address, "seqpacket:%s", path);
	assert_int_equal(listen_bind(str_of(address), &o, &fd, &why), ERR_OK);
	listener = listener_new(loop, fd, on_accept, NULL);
}

static int
setup(void **state)
{
	const struct resolver_limits limits = { .questions = 3, .waiting = 6, .timeout_ms = 60000 };

	(void)state;
	log_set_level(LVL_ERROR);
	loop = loop_new();
	loop_timer_init(&stop, loop, on_stop, NULL);
	(void)snprintf(folder, sizeof folder, "/tmp/test-resolver-XXXXXX");
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/s", folder);
	service = resolver_service_new(loop, NULL, &limits);
	client = resolver_client_new(loop, path);
	open_listener();
	answers = asked = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	resolver_client_free(client);
	resolver_service_free(service);
	if (listener != NULL)
		listener_free(listener);
	listener = NULL;
	(void)unlink(path);
	(void)rmdir(folder);
	run(1);
	loop_free(loop);
	assert_null(open_queries);
	return 0;
}

static void
test_names(void **state)
{
	char longest[181], too_long[260];
	static const struct {
		const char *address, *zone, *want;
	} rows[] = {
		{ "192.0.2.7", "", "7.2.0.192.in-addr.arpa" },
		{ "192.0.2.7", "zen.example.org", "7.2.0.192.zen.example.org" },
		{ "2001:db8::567:89ab", "",
			"b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6."
			"arpa" },
		{ "::1", "l.org",
			"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.l.org" },
		{ "", "", NULL },
		{ "192.0.2", "", NULL },
		{ "192.0.2.7x", "", NULL },
		{ "x:y", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b;
		buf_init(&b, 1024);
		assert_int_equal(
			resolver_address_name(str_of(rows[i].address), str_of(rows[i].zone), &b),
			rows[i].want != NULL ? ERR_OK : ERR_SYNTAX);
		if (rows[i].want != NULL)
			assert_string_equal(buf_z(&b), rows[i].want);
		buf_fini(&b);
	}
	memset(longest, 'z', sizeof longest - 1);
	longest[180] = '\0';
	memset(too_long, 'z', sizeof too_long - 1);
	too_long[259] = '\0';
	struct buf b;
	buf_init(&b, 4096);
	assert_int_equal(resolver_address_name(STR("::1"), str_of(longest), &b), ERR_OK);
	buf_reset(&b);
	assert_int_equal(resolver_address_name(STR("::1"), str_of(too_long), &b), ERR_LIMIT);
	buf_fini(&b);
}

static void
test_answers_that_lie(void **state)
{
	static const struct {
		enum dns_type type;
		unsigned preference;
		const char *text;
		bool good;
	} rows[] = {
		{ DNS_A, 0, "192.0.2.7", true },
		{ DNS_A, 0, "192.0.2.7\r\n", false },
		{ DNS_A, 0, "2001:db8::1", false },
		{ DNS_A, 1, "192.0.2.7", false },
		{ DNS_AAAA, 0, "2001:db8::1", true },
		{ DNS_AAAA, 0, "", false },
		{ DNS_MX, 10, "mx.example.org", true },
		{ DNS_MX, 0, "", true },
		{ DNS_MX, 10, "mx..example.org", false },
		{ DNS_PTR, 0, "mx.example.org", true },
		{ DNS_PTR, 0, "", false },
		{ DNS_PTR, 0, "mx.example.org)\r\n\tby us (", false },
		{ DNS_PTR, 0, "mx .org", false },
		{ DNS_PTR, 0, ".org", false },
		{ DNS_PTR, 0, "org.", false },
		{ DNS_PTR, 0, "m\xc3\xbcx.org", false },
		{ DNS_TXT, 0, "see https://example.org/?a=b", true },
		{ DNS_TXT, 0, "", true },
		{ DNS_TXT, 0, "a\r\nb", false },
		{ DNS_SRV, 0, "mx.example.org", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct resolver_answer a = { .id = 7,
			.type = rows[i].type,
			.state = RESOLVER_FOUND,
			.secure = true,
			.ttl_sec = 60,
			.count = 1 };
		struct resolver_answer back;
		struct buf b;
		a.records[0].preference = (uint16_t)rows[i].preference;
		a.records[0].text = str_of(rows[i].text);
		buf_init(&b, 65536);
		assert_int_equal(resolver_answer_encode(&a, &b), rows[i].good ? ERR_OK : ERR_LIMIT);
		if (rows[i].good) {
			assert_int_equal(resolver_answer_decode(buf_str(&b), &back), ERR_OK);
			assert_true(str_eq(back.records[0].text, a.records[0].text));
			assert_true(back.secure && back.ttl_sec == 60 && back.id == 7);
			assert_int_equal(
				resolver_answer_decode(str_sub(buf_str(&b), 0, b.n - 1), &back),
				ERR_SYNTAX);
		}
		buf_fini(&b);
	}
}

static void
test_question_and_answer(void **state)
{
	const struct dns_record mx[] = { { .priority = 10, .name = "mx1.example.org" },
		{ .priority = 20, .name = "mx2.example.org" } };
	const struct dns_answer found = {
		.err = ERR_OK, .secure = true, .ttl_sec = 300, .records = mx, .count = 2
	};
	const struct dns_answer none = { .err = ERR_NOTFOUND },
				no_name = { .err = ERR_NOTFOUND, .no_such_name = true },
				temp = { .err = ERR_TEMP, .text = "servfail" };
	static const enum resolver_state states[] = { RESOLVER_FOUND, RESOLVER_NONE,
		RESOLVER_NO_NAME, RESOLVER_TEMP };
	const struct dns_answer *says[] = { &found, &none, &no_name, &temp };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(says); i++) {
		answers = 0;
		resolver_ask(client, STR("example.org"), DNS_MX, 1000, on_answer, NULL);
		assert_int_equal(answers, 0);
		until(&asked, (unsigned)i + 1);
		dns_says(says[i]);
		until(&answers, 1);
		assert_int_equal(last.state, states[i]);
		assert_string_equal(
			last_text, i == 0 ? "10:mx1.example.org 20:mx2.example.org " : "");
		assert_int_equal(last.secure, i == 0);
	}
	assert_int_equal(asked, 4);
}

/* Names that are none never reach the DNS. */
static void
test_bad_names(void **state)
{
	char label[70];
	const char *names[] = { "", ".", "a..b", "a b", "a\r\nb", "m\xc3\xbc.org", "[192.0.2.1]",
		label };

	(void)state;
	memset(label, 'a', sizeof label);
	label[64] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		resolver_ask(client, str_of(names[i]), DNS_A, 1000, on_answer, NULL);
		until(&answers, (unsigned)i + 1);
		assert_int_equal(last.state, RESOLVER_NO_NAME);
	}
	assert_int_equal(asked, 0);
}

/* Thousands of records are a few, and the odd ones among them none. */
static void
test_many_records(void **state)
{
	static struct dns_record many[64];
	const struct dns_answer a = { .err = ERR_OK, .records = many, .count = ARRAY_LEN(many) };
	const struct dns_record nothing = { .name = "" };
	const struct dns_answer root = { .err = ERR_OK, .records = &nothing, .count = 1 };

	(void)state;
	for (size_t i = 1; i < ARRAY_LEN(many); i++)
		(void)snprintf(many[i].name, sizeof many[i].name, "n%zu.example.org", i);
	resolver_ask(client, STR("7.2.0.192.in-addr.arpa"), DNS_PTR, 1000, on_answer, NULL);
	until(&asked, 1);
	dns_says(&a);
	until(&answers, 1);
	assert_int_equal(last.count, RESOLVER_RECORDS_MAX);
	assert_true(strncmp(last_text, "0:n1.example.org ", 17) == 0);
	resolver_ask(client, STR("7.2.0.192.in-addr.arpa"), DNS_PTR, 1000, on_answer, NULL);
	until(&asked, 2);
	dns_says(&root);
	until(&answers, 2);
	assert_int_equal(last.state, RESOLVER_NONE);
}

static void
test_joined(void **state)
{
	const struct dns_record a4 = { .name = "192.0.2.7" };
	const struct dns_answer a = { .err = ERR_OK, .records = &a4, .count = 1 };

	(void)state;
	for (size_t i = 0; i < 5; i++)
		resolver_ask(client, i % 2 ? STR("A.example.org") : STR("a.example.ORG"), DNS_A,
			1000, on_answer, NULL);
	until(&asked, 1);
	run(50);
	assert_int_equal(asked, 1);
	dns_says(&a);
	until(&answers, 5);
	/* the same name, another type */
	resolver_ask(client, STR("a.example.org"), DNS_AAAA, 200, on_answer, NULL);
	until(&answers, 6);
	assert_int_equal(asked, 2);
	assert_int_equal(last.state, RESOLVER_TEMP);
	resolver_service_free(service);
	service = resolver_service_new(
		loop, NULL, &(struct resolver_limits){ .questions = 3, .waiting = 6 });
}

static void
test_limits(void **state)
{
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof name, "n%u.example.org", i);
		resolver_ask(client, str_of(name), DNS_A, 60000, on_answer, NULL);
	}
	until(&answers, 2); /* too many: nobody knows */
	assert_int_equal(asked, 3);
	assert_int_equal(last.state, RESOLVER_TEMP);
	for (unsigned i = 0; i < 5; i++)
		resolver_ask(client, STR("n1.example.org"), DNS_A, 60000, on_answer, NULL);
	until(&answers, 4);
	assert_int_equal(resolver_service_questions(service), 3);
	/* who asked goes away: what was asked stays bounded, and nobody hears */
	resolver_service_free(service);
	service = NULL;
	until(&answers, 10);
	assert_int_equal(last.state, RESOLVER_TEMP);
}

static void
test_cancel(void **state)
{
	struct resolver_query *q;
	const struct dns_answer none = { .err = ERR_NOTFOUND };

	(void)state;
	q = resolver_ask(client, STR("a.example.org"), DNS_A, 60000, on_answer, NULL);
	resolver_ask(client, STR("a.example.org"), DNS_A, 60000, on_answer, NULL);
	until(&asked, 1);
	resolver_cancel(q);
	resolver_cancel(NULL);
	run(50); /* the second question, too */
	dns_says(&none);
	until(&answers, 1);
	run(20);
	assert_int_equal(answers, 1);
}

/* No resolver: temporary, at once; when it is there again, answers come again. */
static void
test_resolver_away(void **state)
{
	const struct dns_answer none = { .err = ERR_NOTFOUND };
	unsigned tries = 0;

	(void)state;
	listener_free(listener);
	(void)unlink(path);
	resolver_ask(client, STR("a.example.org"), DNS_A, 60000, on_answer, NULL);
	assert_int_equal(answers, 0);
	until(&answers, 1);
	assert_int_equal(last.state, RESOLVER_TEMP);
	open_listener();
	while (asked == 0 && tries++ < 200) {
		resolver_ask(client, STR("a.example.org"), DNS_A, 60000, on_answer, NULL);
		run(30);
	}
	tries = answers;
	dns_says(&none);
	for (unsigned i = 0; answers == tries && i < 15000; i++)
		run(2);
	assert_int_equal(last.state, RESOLVER_NONE);
}

/* A resolver that talks nonsense is left, and whoever waited is told. */
static void
on_nonsense(void *arg, int fd, const struct peer *peer)
{
	(void)arg;
	(void)peer;
	assert_int_equal(
		ipc_send_blocking(fd, RESOLVER_MSG_ANSWER, STR("\1\2\3"), NULL, 0), ERR_OK);
	(void)close(fd);
}

static void
test_nonsense(void **state)
{
	struct listen_options o = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	char address[100];
	const char *why = "";
	int fd;

	(void)state;
	listener_free(listener);
	(void)unlink(path);
	(void)snprintf(address, sizeof address, "seqpacket:%s", path);
	assert_int_equal(listen_bind(str_of(address), &o, &fd, &why), ERR_OK);
	listener = listener_new(loop, fd, on_nonsense, NULL);
	resolver_ask(client, STR("a.example.org"), DNS_A, 60000, on_answer, NULL);
	until(&answers, 1);
	assert_int_equal(last.state, RESOLVER_TEMP);
}

/* A client that talks nonsense is hung up on. */
static void
test_bad_client(void **state)
{
	static const char *const payloads[] = { "", "x", "\1\0\0\0" };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)state;
	memcpy(sa.sun_path, path, strlen(path));
	for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
		char end[16];
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
		assert_int_equal(
			ipc_send_blocking(fd, RESOLVER_MSG_ASK, str_of(payloads[i]), NULL, 0),
			ERR_OK);
		while (recv(fd, end, sizeof end, MSG_DONTWAIT) < 0)
			run(2);
		(void)close(fd);
	}
	assert_int_equal(asked, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_answers_that_lie),
		cmocka_unit_test_setup_teardown(test_question_and_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_joined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolver_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_client, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
