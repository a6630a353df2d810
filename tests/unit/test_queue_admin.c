/* The admin socket of the queue: what `postroom queue` asks, against a queue that runs. */
#include "tests/unit/queue_case.h"

static struct {
	int fd;
	char text[1024 * 1024];
	size_t n;
} A;

static bool
answered(void)
{
	for (;;) {
		ssize_t n = read(A.fd, A.text + A.n, sizeof(A.text) - A.n - 1);
		if (n < 0)
			return false;
		A.n += (size_t)n;
		A.text[A.n] = '\0';
		if (n == 0)
			return true;
	}
}

static void
ask_begin(const char *verb, const char *id, uid_t uid)
{
	struct peer p = { .is_unix = true, .uid = uid };
	char line[200];
	int pair[2];

	(void)snprintf(
		line, sizeof(line), "%s%s%s\n", verb, id != NULL ? "\t" : "", id != NULL ? id : "");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_true(write(pair[1], line, strlen(line)) == (ssize_t)strlen(line));
	A.fd = pair[1];
	A.n = 0;
	A.text[0] = '\0';
	admin_accept(T.admin, pair[0], &p);
}

static const char *
ask_end(void)
{
	until(answered);
	(void)close(A.fd);
	return A.text;
}

static const char *
ask(const char *verb, const char *id)
{
	ask_begin(verb, id, geteuid());
	return ask_end();
}

static bool
tried_once(void)
{
	return T.deliveries_count == 1 && state_busy(T.queue->state) == 0 &&
	       T.queue->attempts_count == 0;
}

/* A message for ben that was deferred once and waits for an hour. */
static void
deferred(char id[17])
{
	T.queue->o.retry_min_ms = T.queue->o.retry_max_ms = 3600000;
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.2.1 Mailbox locked", 1 };
	accept_message("anna@example.org", "ben@example.org", "x\r\n", id);
	assert_non_null(queue_add(T.queue, str_n(id, 16), false, 0));
	until(tried_once);
}

static void
test_admin_hold(void **state)
{
	char id[17];

	(void)state;
	deferred(id);
	assert_non_null(strstr(ask("LIST", NULL), "\twaiting\t3\t"));
	assert_string_equal(ask("RELEASE", id), "DENY\tthe message is not held\n");
	assert_string_equal(ask("HOLD", id), "OK\theld\n");
	assert_string_equal(ask("HOLD", id), "OK\theld already\n");
	assert_string_equal(ask("RETRY", id), "DENY\tthe message is held; release it\n");
	assert_string_equal(ask("FLUSH", NULL), "OK\t0\n");
	queue_end();
	queue_begin(60000);
	turn(100);
	assert_int_equal(T.deliveries_count, 1);
	assert_non_null(strstr(ask("SHOW", id), "\theld\t3\t"));
	assert_non_null(strstr(A.text, "RCPT\tben@example.org\tben@example.org\twaiting\t1\t"));
	assert_non_null(strstr(A.text, "\t451 4.2.1 Mailbox locked\nOK\t1\n"));
	assert_string_equal(ask("RELEASE", id), "OK\treleased\n");
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
	assert_string_equal(ask("LIST", NULL), "OK\t0\n");
}

static void
test_admin_retry(void **state)
{
	char id[17];

	(void)state;
	deferred(id);
	assert_string_equal(ask("RETRY", id), "OK\twill be tried now\n");
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
	T.deliveries_count = 0;
	deferred(id);
	assert_string_equal(ask("FLUSH", NULL), "OK\t1\n");
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
}

/* Neither delivered later nor reported, also after a start. */
static void
test_admin_delete(void **state)
{
	char id[17];

	(void)state;
	deferred(id);
	assert_string_equal(ask("DELETE", id), "OK\tdeleted\n");
	assert_string_equal(ask("DELETE", id), "NOTFOUND\tno such message\n");
	queue_end();
	queue_begin(60000);
	assert_int_equal(T.queue->messages.n, 0);
	turn(100);
	assert_int_equal(T.deliveries_count, 1);
	deferred(id);
	T.deliveries_count = 0;
	assert_string_equal(ask("HOLD", id), "OK\theld\n");
	assert_string_equal(ask("DELETE", id), "OK\tdeleted\n");
	assert_int_equal(T.queue->messages.n, 0);
}

static void
test_admin_refusals(void **state)
{
	char id[17];

	(void)state;
	deferred(id);
	assert_string_equal(ask("SHOW", "0000000000000000"), "NOTFOUND\tno such message\n");
	assert_string_equal(ask("HOLD", "../queue.mdb"), "NOTFOUND\tno such message\n");
	assert_string_equal(ask("HOLD", ""), "NOTFOUND\tno such message\n");
	assert_string_equal(ask("HOLD", NULL), "SYNTAX\tno such request\n");
	assert_string_equal(ask("LIST", "x"), "SYNTAX\tno such request\n");
	assert_string_equal(ask("DELETE\tx", "y"), "SYNTAX\tno such request\n");
	assert_string_equal(ask("EAT", id), "SYNTAX\tno such request\n");
	ask_begin("DELETE", id, geteuid() + 1);
	assert_string_equal(ask_end(), "");
	assert_int_equal(T.queue->messages.n, 1);
}

/* Somebody who is working on the message is waited for; who asked may go away meanwhile. */
static void
test_admin_busy(void **state)
{
	struct message *m;
	char id[17];

	(void)state;
	deferred(id);
	m = CONTAINER_OF(hmap_get(&T.queue->messages, str_of(id)), struct message, node);
	assert_int_equal(queue_take(T.queue, m), ERR_OK);
	assert_int_equal(queue_take(T.queue, m), ERR_BUSY);
	assert_int_equal(queue_flush(T.queue), 0);
	ask_begin("HOLD", id, geteuid());
	turn(120);
	assert_false(answered());
	queue_give_back(T.queue, m, false);
	assert_string_equal(ask_end(), "OK\theld\n");
	ask_begin("DELETE", id, geteuid());
	turn(1);
	(void)close(A.fd);
	until(queue_empty);
}

/* More than a socket holds: in pieces, each once, as the reader takes them. */
static void
test_admin_long_list(void **state)
{
	enum { MANY = 3000 };
	static struct record_orig orig = { .address = STR("all@example.org"), .expanded = true };
	static struct record_rcpt rcpts[12];
	struct buf b;
	unsigned lines = 0, items = 0;

	(void)state;
	for (unsigned i = 0; i < 12; i++)
		rcpts[i] = (struct record_rcpt){ .address = STR("r@example.org"),
			.next_ms = clock_wall_ms() + 3600000,
			.reply = STR("451 4.2.1 Mailbox locked") };
	buf_init(&b, 8192);
	for (unsigned i = 0; i < MANY; i++) {
		char id[17];
		struct record r = { .id = STR("x"),
			.origs = &orig,
			.origs_count = 1,
			.rcpts = rcpts,
			.rcpts_count = i == 0 ? 12 : 1 };
		struct state_write w = { .id = str_n(id, 16) };
		(void)snprintf(id, sizeof(id), "%016x", i);
		buf_reset(&b);
		assert_int_equal(record_encode(&r, &b), ERR_OK);
		w.record = buf_str(&b);
		state_put(T.queue->state, &w, 1, queue_put_done, T.queue);
	}
	buf_fini(&b);
	queue_end();
	T.retry_max_ms = 3600000;
	queue_begin(60000);
	assert_int_equal(T.queue->messages.n, MANY);
	ask_begin("LIST", NULL, geteuid());
	turn(50);
	(void)ask_end();
	for (const char *p = A.text; (p = strstr(p, "MESSAGE\t")) != NULL; p++)
		lines++;
	for (const char *p = A.text; (p = strstr(p, "RCPT\t")) != NULL; p++)
		items++;
	assert_int_equal(lines, MANY);
	assert_int_equal(items, MANY - 1 + ADMIN_RCPTS_SHOWN);
	assert_non_null(strstr(A.text, "\nOK\t3000\n"));
	(void)ask("SHOW", "0000000000000000");
	assert_int_equal(strncmp(A.text, "MESSAGE\t0000000000000000\twaiting\t", 33), 0);
	assert_non_null(strstr(A.text, "\t12\t12\t\t0\t\nRCPT\t"));
	items = 0;
	for (const char *p = A.text; (p = strstr(p, "RCPT\t")) != NULL; p++)
		items++;
	assert_int_equal(items, 12);
}

int
main(void)
{
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T_(test_admin_hold),
		T_(test_admin_retry),
		T_(test_admin_delete),
		T_(test_admin_refusals),
		T_(test_admin_busy),
		T_(test_admin_long_list),
	};
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("queue_admin", tests, NULL, NULL);
}
