/* auth-ldap/server/service.c: who is let in, in which numbers, and for how long; with a protocol of
 * the test's own, in which every byte is a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth-ldap/server/service.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

struct echo {
	struct conn c;
	bool busy;
	unsigned taken;
};

static struct loop *loop;
static struct settings *settings;
static struct service service;
static int ends[64]; /* of the clients */
static size_t ends_count;

static enum err
echo_take(struct conn *base, struct buf *in, size_t *used_out)
{
	struct echo *e = CONTAINER_OF(base, struct echo, c);
	if (in->n == 0)
		return ERR_AGAIN;
	if (buf_str(in).p[0] == '!')
		return ERR_SYNTAX;
	e->taken++;
	*used_out = 1;
	return ERR_OK;
}

static bool
echo_busy(struct conn *base)
{
	return CONTAINER_OF(base, struct echo, c)->busy;
}

static void
echo_end(struct conn *base)
{
	conn_close(base);
	free(CONTAINER_OF(base, struct echo, c));
}

static const struct conn_kind echo_kind = {
	.socket = "echo",
	.broken = "not the test's protocol",
	.in_max_bytes = 1000,
	.take = echo_take,
	.busy = echo_busy,
	.end = echo_end,
};

static int
setup(void **state UNUSED)
{
	loop = loop_new();
	settings = settings_defaults();
	settings->auth.clients_max = 16;
	service = (struct service){ .loop = loop, .settings = settings };
	service.own_uids[0] = 500;
	service.own_uids_count = 1;
	list_init(&service.conns);
	return 0;
}

static void
on_stop(struct loop_timer *t)
{
	loop_stop(t->loop);
}

static void
run_for(int64_t ms)
{
	struct loop_timer t;
	loop_timer_init(&t, loop, on_stop, NULL);
	loop_timer_start(&t, ms);
	loop_run(loop);
	loop_timer_stop(&t);
}

static int
teardown(void **state UNUSED)
{
	while (!list_empty(&service.conns))
		echo_end(CONTAINER_OF(service.conns.next, struct conn, link));
	while (ends_count > 0)
		close(ends[--ends_count]);
	run_for(5);
	settings_free(settings);
	loop_free(loop);
	return 0;
}

/* The other end, or -1 when it was not let in. */
static int
come(const struct peer *peer, struct echo **out)
{
	int pair[2];
	struct echo *e = xcalloc(1, sizeof *e);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	if (!conn_open(&e->c, &service, pair[1], peer, &echo_kind)) {
		char c;
		assert_int_equal(read(pair[0], &c, 1), 0);
		close(pair[0]);
		free(e);
		return -1;
	}
	if (out != NULL)
		*out = e;
	ends[ends_count++] = pair[0];
	return pair[0];
}

static size_t
come_often(uid_t uid, size_t times)
{
	const struct peer peer = { .is_unix = true, .uid = uid, .pid = 1 };
	size_t let_in = 0;
	for (size_t i = 0; i < times; i++)
		let_in += come(&peer, NULL) >= 0;
	return let_in;
}

static void
test_shares(void **state UNUSED)
{
	/* Nobody has more than half of three quarters; a quarter is our own. */
	assert_int_equal(come_often(1000, 20), 6);
	assert_int_equal(come_often(1001, 20), 6);
	assert_int_equal(come_often(1002, 20), 0);
	assert_int_equal(come_often(500, 3), 3);
	assert_int_equal(come_often(0, 20), 1);
	assert_int_equal(service.conns_count, 16);
	/* Whose place came free may come again. */
	echo_end(CONTAINER_OF(service.conns.next, struct conn, link));
	assert_int_equal(come_often(1002, 1), 0);
	assert_int_equal(come_often(500, 2), 1);
}

static void
test_networks(void **state UNUSED)
{
	static struct str nets[] = { { "192.0.2.0/24", 12 } };
	struct peer peer = { .addr = "192.0.2.5" };
	settings->auth.networks = (struct str_list){ nets, 1 };
	assert_true(come(&peer, NULL) >= 0);
	peer = (struct peer){ .addr = "192.0.3.5" };
	assert_int_equal(come(&peer, NULL), -1);
	/* An address has its share as a user has. */
	size_t let_in = 1;
	peer = (struct peer){ .addr = "192.0.2.5" };
	for (int i = 0; i < 20; i++)
		let_in += come(&peer, NULL) >= 0;
	assert_int_equal(let_in, 6);
	peer = (struct peer){ .addr = "192.0.2.6" };
	assert_true(come(&peer, NULL) >= 0);
}

static void
test_lines(void **state UNUSED)
{
	const struct peer peer = { .is_unix = true, .uid = 1000 };
	struct echo *e;
	char c, many[500];
	int fd = come(&peer, &e);
	memset(many, 'x', sizeof many);
	assert_int_equal(write(fd, many, sizeof many), sizeof many);
	run_for(10);
	assert_int_equal(e->taken, sizeof many);
	assert_int_equal(write(fd, "x!x", 3), 3);
	run_for(10);
	assert_int_equal(service.conns_count, 0);
	assert_int_equal(read(fd, &c, 1), 0);
}

static void
test_silence(void **state UNUSED)
{
	const struct peer stranger = { .is_unix = true, .uid = 1000 };
	const struct peer own = { .is_unix = true, .uid = 500 };
	struct echo *waiting;
	settings->auth.idle_timeout = 60;
	int talks = come(&stranger, NULL), silent = come(&stranger, NULL);
	assert_true(come(&own, NULL) >= 0 && silent >= 0);
	assert_true(come(&stranger, &waiting) >= 0);
	waiting->busy = true;
	for (int i = 0; i < 5; i++) {
		run_for(30);
		assert_int_equal(write(talks, "x", 1), 1);
	}
	run_for(5);
	/* The silent one is gone; who talks, who waits and who is ours are not. */
	assert_int_equal(service.conns_count, 3);
	char c;
	assert_int_equal(read(silent, &c, 1), 0);
	waiting->busy = false;
	run_for(150);
	assert_int_equal(service.conns_count, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_shares),
		TEST(test_networks),
		TEST(test_lines),
		TEST(test_silence),
	};
	log_setup("test", LVL_ERROR, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
