/* delivery/relay: the messages of the channel as bytes, and queue's half of it against a scripted
 * relay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "core/event/ipc.h"
#include "core/event/listener.h"
#include "delivery/relay/relay.h"

static struct relay_rcpt two[] = {
	{ .address = { "otto@example.net", 16 },
		.notify = RELAY_NOTIFY_SUCCESS | RELAY_NOTIFY_DELAY,
		.orcpt = { "rfc822;Otto@example.net", 23 } },
	{ .address = { "\"a <b> \\\"c\"@example.net", 23 }, .notify = RELAY_NOTIFY_NEVER },
};

static struct relay_request
request(void)
{
	return (struct relay_request){ .id = 7,
		.qid = STR("0123456789abcdef"),
		.sender = STR("anna@example.org"),
		.flags = RELAY_8BIT | RELAY_SMTPUTF8,
		.body_off = 4096,
		.body_len = 12345,
		.body_crc = 0xdeadbeef,
		.ret = RELAY_RET_HDRS,
		.envid = STR("QQ314159"),
		.route = STR("example.net"),
		.section = STR("provider"),
		.rcpts = two,
		.rcpts_count = 2 };
}

static void
test_request(void **state)
{
	struct relay_request r = request(), back;
	struct arena *a = arena_new(65536);
	struct buf b;

	(void)state;
	buf_init(&b, IPC_PAYLOAD_MAX);
	assert_int_equal(relay_request_encode(&r, &b), ERR_OK);
	assert_int_equal(relay_request_decode(buf_str(&b), a, &back), ERR_OK);
	assert_int_equal(back.id, 7);
	assert_true(str_eq(back.qid, r.qid) && str_eq(back.sender, r.sender));
	assert_true(str_eq(back.envid, r.envid) && str_eq(back.route, r.route));
	assert_true(str_eq(back.section, r.section));
	assert_int_equal(back.flags, r.flags);
	assert_int_equal(back.body_off, 4096);
	assert_int_equal(back.body_len, 12345);
	assert_int_equal(back.body_crc, 0xdeadbeef);
	assert_int_equal(back.ret, RELAY_RET_HDRS);
	assert_int_equal(back.rcpts_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(str_eq(back.rcpts[i].address, two[i].address));
		assert_true(str_eq(back.rcpts[i].orcpt, two[i].orcpt));
		assert_int_equal(back.rcpts[i].notify, two[i].notify);
	}
	/* every cut is refused, and so is a byte more */
	for (size_t n = 0; n < b.n; n++)
		assert_int_not_equal(
			relay_request_decode(str_sub(buf_str(&b), 0, n), a, &back), ERR_OK);
	buf_addc(&b, 'x');
	assert_int_equal(relay_request_decode(buf_str(&b), a, &back), ERR_SYNTAX);
	buf_fini(&b);
	arena_free(a);
}

/* What could become a second command, or is too long, is not even encoded. */
static void
test_request_refused(void **state)
{
	static char long_text[1000];
	struct relay_rcpt one = two[0];
	struct buf b;

	(void)state;
	memset(long_text, 'x', sizeof long_text);
	buf_init(&b, IPC_PAYLOAD_MAX);
	for (int i = 0; i < 16; i++) {
		struct relay_request r = request();
		r.rcpts = &one;
		r.rcpts_count = 1;
		one = two[0];
		switch (i) {
		case 0:
			r.sender = STR("a@b>\r\nRCPT TO:<c@d");
			break;
		case 1:
			one.address = STR("a@b\nc");
			break;
		case 2:
			one.address = STR("a@b> x=<");
			break;
		case 3:
			one.orcpt = STR("rfc822;a b");
			break;
		case 4:
			one.notify = RELAY_NOTIFY_NEVER | RELAY_NOTIFY_SUCCESS;
			break;
		case 5:
			one.notify = 16;
			break;
		case 6:
			r.envid = STR("a\rb");
			break;
		case 7:
			r.rcpts_count = 0;
			break;
		case 8:
			r.rcpts_count = RELAY_RCPTS_MAX + 1;
			break;
		case 9:
			r.route = r.section = STR_EMPTY;
			break;
		case 10:
			r.flags = 64;
			break;
		case 11:
			r.body_off = INT64_MAX;
			break;
		case 12:
			one.address = str_n(long_text, RELAY_ADDRESS_MAX + 1);
			break;
		case 13:
			one.address = STR("\"open@example.net");
			break;
		case 14:
			one.address = STR_EMPTY;
			break;
		case 15:
			one.address = STR("a\xff@example.net");
			break;
		}
		buf_reset(&b);
		assert_int_equal(relay_request_encode(&r, &b), ERR_LIMIT);
	}
	buf_fini(&b);
}

/* The largest request fits into one message. */
static void
test_request_largest(void **state)
{
	static struct relay_rcpt all[RELAY_RCPTS_MAX];
	static char text[1000];
	struct relay_request r = request(), back;
	struct arena *a = arena_new(65536);
	struct buf b;

	(void)state;
	memset(text, 'x', sizeof text);
	for (size_t i = 0; i < RELAY_RCPTS_MAX; i++)
		all[i] = (struct relay_rcpt){ .address = str_n(text, RELAY_ADDRESS_MAX),
			.orcpt = str_n(text, RELAY_ORCPT_MAX) };
	r.sender = str_n(text, RELAY_ADDRESS_MAX);
	r.route = str_n(text, RELAY_ROUTE_MAX);
	r.envid = str_n(text, RELAY_ENVID_MAX);
	r.rcpts = all;
	r.rcpts_count = RELAY_RCPTS_MAX;
	buf_init(&b, IPC_PAYLOAD_MAX);
	assert_int_equal(relay_request_encode(&r, &b), ERR_OK);
	assert_int_equal(relay_request_decode(buf_str(&b), a, &back), ERR_OK);
	buf_fini(&b);
	arena_free(a);
	/* and an arena that is too small is a limit */
	buf_init(&b, IPC_PAYLOAD_MAX);
	a = arena_new(64);
	assert_int_equal(relay_request_encode(&r, &b), ERR_OK);
	assert_int_equal(relay_request_decode(buf_str(&b), a, &back), ERR_LIMIT);
	buf_fini(&b);
	arena_free(a);
}

static void
test_answers(void **state)
{
	struct relay_result r = { .id = 7,
		.index = 1,
		.code = 250,
		.status = STR("2.1.5"),
		.text = STR("Ok, taken"),
		.host = STR("mx.example.net"),
		.address = STR("192.0.2.7"),
		.dsn_passed = true };
	struct relay_end e = { .id = 7,
		.how = ERR_DENIED,
		.code = 556,
		.status = STR("5.1.10"),
		.text = STR("takes no mail"),
		.tls = STR("TLSv1.3 X dane"),
		.own = true };
	struct relay_result r2;
	struct relay_end e2;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(relay_result_encode(&r, &b), ERR_OK);
	assert_int_equal(relay_result_decode(buf_str(&b), &r2), ERR_OK);
	assert_true(r2.id == 7 && r2.index == 1 && r2.code == 250 && r2.dsn_passed);
	assert_true(str_eq(r2.text, r.text) && str_eq(r2.host, r.host));
	for (size_t n = 0; n < b.n; n++)
		assert_int_not_equal(relay_result_decode(str_sub(buf_str(&b), 0, n), &r2), ERR_OK);
	buf_reset(&b);
	assert_int_equal(relay_end_encode(&e, &b), ERR_OK);
	assert_int_equal(relay_end_decode(buf_str(&b), &e2), ERR_OK);
	assert_true(e2.how == ERR_DENIED && e2.code == 556 && str_eq(e2.tls, e.tls) && e2.own);
	for (size_t n = 0; n < b.n; n++)
		assert_int_not_equal(relay_end_decode(str_sub(buf_str(&b), 0, n), &e2), ERR_OK);
	buf_reset(&b);
	r.code = 199;
	assert_int_equal(relay_result_encode(&r, &b), ERR_LIMIT);
	r.code = 250;
	r.text = STR("a\nb");
	assert_int_equal(relay_result_encode(&r, &b), ERR_LIMIT);
	e.how = ERR_QUOTA;
	assert_int_equal(relay_end_encode(&e, &b), ERR_LIMIT);
	buf_fini(&b);
}

/* ---- the client ---- */

struct world {
	struct loop *loop;
	char folder[64], path[80];
	struct listener *listener;
	struct ipc *server;
	struct relay_client *client;
	struct relay_job jobs[3];
	struct loop_timer watchdog;
	/* what the scripted relay does with a JOB */
	void (*script)(struct world *w, const struct relay_request *r);
	int fd_bytes; /* read from the descriptor that came along */
	int results, ends, cancels;
	enum err last_end;
	bool free_client;
};

static void
send_result(struct world *w, uint64_t id, uint32_t index)
{
	const struct relay_result r = {
		.id = id, .index = index, .code = 250, .status = STR("2.0.0"), .text = STR("ok")
	};
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(relay_result_encode(&r, &b), ERR_OK);
	assert_int_equal(ipc_send(w->server, RELAY_MSG_RCPT, buf_str(&b), NULL, 0), ERR_OK);
	buf_fini(&b);
}

static void
send_end(struct world *w, uint64_t id, enum err how)
{
	const struct relay_end e = { .id = id, .how = how, .code = 250, .status = STR("2.0.0") };
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(relay_end_encode(&e, &b), ERR_OK);
	assert_int_equal(ipc_send(w->server, RELAY_MSG_END, buf_str(&b), NULL, 0), ERR_OK);
	buf_fini(&b);
}

static void
server_message(void *arg, struct ipc *c, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct world *w = arg;
	struct arena *a = arena_new(65536);
	struct relay_request r;
	char text[16];

	(void)c;
	if (type == RELAY_MSG_CANCEL) {
		w->cancels++;
		loop_stop(w->loop);
	} else {
		assert_int_equal(type, RELAY_MSG_JOB);
		assert_int_equal(fds_count, 1);
		w->fd_bytes += (int)pread(fds[0], text, sizeof text, 0);
		(void)close(fds[0]);
		assert_int_equal(relay_request_decode(payload, a, &r), ERR_OK);
		w->script(w, &r);
	}
	arena_free(a);
}

static void
server_end(void *arg, struct ipc *c, enum err why)
{
	struct world *w = arg;

	(void)c;
	(void)why;
	ipc_free(w->server);
	w->server = NULL;
}

static const struct ipc_ops server_ops = { .on_message = server_message, .on_end = server_end };

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	struct world *w = arg;

	(void)peer;
	if (w->server != NULL)
		ipc_free(w->server);
	w->server = ipc_new(w->loop, fd, &server_ops, w);
}

static void
job_rcpt(struct relay_job *j, const struct relay_result *r)
{
	struct world *w = j->arg;

	assert_int_equal(r->code, 250);
	w->results++;
}

static void
job_end(struct relay_job *j, const struct relay_end *e)
{
	struct world *w = j->arg;

	w->ends++;
	w->last_end = e->how;
	if (w->free_client) {
		relay_client_free(w->client);
		w->client = NULL;
	}
	loop_stop(w->loop);
}

static void
on_watchdog(struct loop_timer *t)
{
	(void)t;
	fail_msg("nothing happened");
}

static void
on_pause(struct loop_timer *t)
{
	struct world *w = t->arg;

	loop_stop(w->loop);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	const struct listen_options o = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	const char *why = "";
	char address[100];
	int fd;

	w->loop = loop_new();
	(void)snprintf(w->folder, sizeof w->folder, "/tmp/test-relay-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	(void)snprintf(w->path, sizeof w->path, "%s/s", w->folder);
	(void)snprintf(address, sizeof address, "seqpacket:%s", w->path);
	assert_int_equal(listen_bind(str_of(address), &o, &fd, &why), ERR_OK);
	w->listener = listener_new(w->loop, fd, on_accept, w);
	w->client = relay_client_new(w->loop, w->path);
	for (size_t i = 0; i < ARRAY_LEN(w->jobs); i++)
		w->jobs[i] = (struct relay_job){
			.request = request(), .on_rcpt = job_rcpt, .on_end = job_end, .arg = w
		};
	loop_timer_init(&w->watchdog, w->loop, on_watchdog, w);
	loop_timer_start(&w->watchdog, 60000);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	loop_timer_stop(&w->watchdog);
	relay_client_free(w->client);
	if (w->server != NULL)
		ipc_free(w->server);
	listener_free(w->listener);
	(void)unlink(w->path);
	(void)rmdir(w->folder);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void
submit(struct world *w, size_t i)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(relay_submit(w->client, &w->jobs[i], fd), ERR_OK);
}

static void
script_ok(struct world *w, const struct relay_request *r)
{
	for (uint32_t i = 0; i < r->rcpts_count; i++)
		send_result(w, r->id, i);
	send_end(w, r->id, ERR_OK);
}

static void
script_nothing(struct world *w, const struct relay_request *r)
{
	(void)r;
	loop_stop(w->loop);
}

static void
script_vanish(struct world *w, const struct relay_request *r)
{
	send_result(w, r->id, 0);
	ipc_free(w->server);
	w->server = NULL;
}

static void
script_twice(struct world *w, const struct relay_request *r)
{
	send_result(w, r->id, 1);
	send_result(w, r->id, 1);
}

static void
script_early_end(struct world *w, const struct relay_request *r)
{
	send_result(w, r->id, 1);
	send_end(w, r->id, ERR_OK);
}

static void
test_client(void **state)
{
	struct world *w = *state;

	w->script = script_ok;
	submit(w, 0);
	submit(w, 1);
	assert_int_equal(relay_client_jobs(w->client), 2);
	while (w->ends < 2)
		loop_run(w->loop);
	assert_int_equal(w->results, 4);
	assert_true(w->fd_bytes > 0);
	assert_int_equal(w->last_end, ERR_OK);
	assert_int_equal(relay_client_jobs(w->client), 0);
}

/* A lost channel ends every job; the next job makes a new one. */
static void
test_client_lost(void **state)
{
	struct world *w = *state;

	w->script = script_vanish;
	submit(w, 0);
	submit(w, 1);
	while (w->ends < 2)
		loop_run(w->loop);
	assert_int_equal(w->last_end, ERR_EOF);
	assert_int_equal(w->results, 1);
	/* at once: the back-off still runs, and the descriptor is closed */
	assert_int_equal(
		relay_submit(w->client, &w->jobs[2], open("/dev/null", O_RDONLY)), ERR_TEMP);
	struct loop_timer t;

	loop_timer_init(&t, w->loop, on_pause, w);
	loop_timer_start(&t, 60);
	loop_run(w->loop);
	w->script = script_ok;
	submit(w, 2);
	while (w->ends < 3)
		loop_run(w->loop);
	assert_int_equal(w->last_end, ERR_OK);
}

static void
test_client_cancel(void **state)
{
	struct world *w = *state;
	uint64_t id;

	w->script = script_nothing;
	submit(w, 0);
	loop_run(w->loop);
	id = w->jobs[0].request.id;
	relay_cancel(w->client, &w->jobs[0]);
	relay_cancel(w->client, &w->jobs[0]);
	while (w->cancels == 0)
		loop_run(w->loop);
	assert_int_equal(w->cancels, 1);
	/* words about a cancelled job disturb nobody */
	send_result(w, id, 0);
	send_end(w, id, ERR_TEMP);
	w->script = script_ok;
	submit(w, 1);
	while (w->ends < 1)
		loop_run(w->loop);
	assert_int_equal(w->last_end, ERR_OK);
	assert_int_equal(w->results, 2);
}

/* A job that is to end is not forgotten: its own end is still to come. */
static void
test_client_finish(void **state)
{
	struct world *w = *state;

	w->script = script_nothing;
	submit(w, 0);
	loop_run(w->loop);
	relay_finish(w->client, &w->jobs[0]);
	while (w->cancels == 0)
		loop_run(w->loop);
	assert_int_equal(relay_client_jobs(w->client), 1);
	send_result(w, w->jobs[0].request.id, 0);
	send_end(w, w->jobs[0].request.id, ERR_TEMP);
	while (w->ends < 1)
		loop_run(w->loop);
	assert_int_equal(w->results, 1);
	assert_int_equal(w->last_end, ERR_TEMP);
	relay_finish(w->client, &w->jobs[0]);
	assert_int_equal(relay_client_jobs(w->client), 0);
}

/* A relay that says too much or too little is not believed. */
static void
test_client_nonsense(void **state)
{
	struct world *w = *state;

	w->script = script_twice;
	submit(w, 0);
	while (w->ends < 1)
		loop_run(w->loop);
	assert_int_equal(w->last_end, ERR_EOF);
	assert_int_equal(w->results, 1);
	relay_client_free(w->client);
	w->client = relay_client_new(w->loop, w->path);
	w->script = script_early_end;
	submit(w, 1);
	while (w->ends < 2)
		loop_run(w->loop);
	assert_int_equal(w->last_end, ERR_EOF);
}

static void
test_client_freed_in_callback(void **state)
{
	struct world *w = *state;

	w->script = script_vanish;
	w->free_client = true;
	submit(w, 0);
	submit(w, 1);
	loop_run(w->loop);
	assert_int_equal(w->ends, 1);
	assert_null(w->client);
}

static void
test_client_limits(void **state)
{
	struct world *w = *state;

	w->jobs[0].request.rcpts_count = 0;
	assert_int_equal(
		relay_submit(w->client, &w->jobs[0], open("/dev/null", O_RDONLY)), ERR_LIMIT);
	assert_int_equal(relay_client_jobs(w->client), 0);
	(void)unlink(w->path);
	relay_client_free(w->client);
	w->client = relay_client_new(w->loop, w->path);
	assert_int_equal(
		relay_submit(w->client, &w->jobs[1], open("/dev/null", O_RDONLY)), ERR_TEMP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_refused),
		cmocka_unit_test(test_request_largest),
		cmocka_unit_test(test_answers),
		cmocka_unit_test_setup_teardown(test_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_finish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_freed_in_callback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_limits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
