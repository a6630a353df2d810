/* delivery/remote/server: every job that queue hands over hears of its end, also when queue does
 * not read for a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc.h"
#include "delivery/remote/server.h"

enum { JOBS = 6000, AT_ONCE = 20 };

static void
on_turn(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void
turn(struct loop *l, int64_t ms)
{
	struct loop_timer t;

	loop_timer_init(&t, l, on_turn, l);
	loop_timer_start(&t, ms);
	loop_run(l);
}

/* Until the server, whose end this is, has taken all that was handed over: what it takes only when
 * it is stopping has another end. */
static void
turn_until_taken(struct loop *l, int channel)
{
	struct pollfd p = { .fd = channel, .events = POLLIN };

	do
		turn(l, 1);
	while (poll(&p, 1, 0) == 1);
}

static void
hand_over(int channel, uint64_t id)
{
	struct relay_rcpt rcpt = { .address = STR("otto@example.net") };
	const struct relay_request r = { .id = id,
		.qid = STR("0123456789abcdef"),
		.section = STR("none of ours"),
		.rcpts = &rcpt,
		.rcpts_count = 1 };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct buf b;

	assert_true(fd >= 0);
	buf_init(&b, IPC_PAYLOAD_MAX);
	assert_int_equal(relay_request_encode(&r, &b), ERR_OK);
	assert_int_equal(ipc_send_blocking(channel, RELAY_MSG_JOB, buf_str(&b), &fd, 1), ERR_OK);
	buf_fini(&b);
}

struct reader {
	unsigned ends;
	bool seen[JOBS + 1];
};

static void
on_message(void *arg, struct ipc *c, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct reader *r = arg;
	struct relay_end e;

	(void)c, (void)fds;
	assert_int_equal(fds_count, 0);
	assert_int_equal(type, RELAY_MSG_END);
	assert_int_equal(relay_end_decode(payload, &e), ERR_OK);
	assert_in_range(e.id, 1, JOBS);
	assert_false(r->seen[e.id]);
	assert_int_equal(e.how, ERR_SYNTAX);
	r->seen[e.id] = true;
	r->ends++;
}

static void
on_end(void *arg, struct ipc *c, enum err why)
{
	(void)arg, (void)c;
	fail_msg("the channel ended: %s", err_name(why));
}

static const struct ipc_ops ops = { .on_message = on_message, .on_end = on_end };

static void
on_stopped(void *arg)
{
	*(bool *)arg = true;
}

static void
test_slow_queue(void **state)
{
	struct str kinds[] = { STR("ipv4") };
	struct settings *s = xcalloc(1, sizeof *s);
	struct job_world w = { .loop = loop_new(), .settings = s, .hostname = STR("x.example") };
	struct reader *r = xcalloc(1, sizeof *r);
	struct server *server;
	struct ipc *queue;
	bool stopped = false;
	int fds[2];

	(void)state;
	log_set_level(LVL_ERROR);
	s->outbound.jobs_max = 1000;
	s->outbound.addresses = (struct str_list){ kinds, 1 };
	list_init(&w.idle);
	server = server_new(&w);
	assert_int_equal(ipc_pair(fds), ERR_OK);
	server_add(server, fds[0]);
	for (uint64_t id = 1; id <= JOBS; id++) {
		hand_over(fds[1], id);
		if (id % AT_ONCE == 0)
			turn_until_taken(w.loop, fds[0]);
	}
	server_stop(server, on_stopped, &stopped);
	turn(w.loop, 50);
	assert_false(stopped);
	queue = ipc_new(w.loop, fds[1], &ops, r);
	for (unsigned i = 0; r->ends < JOBS || !stopped; i++) {
		if (i > 3000)
			fail_msg("%u ends of %u", r->ends, (unsigned)JOBS);
		turn(w.loop, 10);
	}
	ipc_free(queue);
	server_free(server);
	loop_free(w.loop);
	free(s);
	free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_slow_queue) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
