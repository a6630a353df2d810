/* The hand-over: its bytes, and both sides of it against each other with a scripted auth-userdb.
 * Nothing but a confirmed login on a channel of the gate's uid may reach imap. */
#include "tests/unit/scripted.h"

#include <fcntl.h>
#include <sys/un.h>

#include "core/event/ipc.h"
#include "core/gate/handover.h"

static struct handover_login
sample(void)
{
	struct handover_login l = {
		.number = 7,
		.deadline_ms = 123456789,
		.sid = STR("0011223344556677"),
		.tag = STR("a1"),
		.ticket = { .cookie = "c00c1e", .client_pid = 1, .request_id = 2, .server_pid = 3 },
		.tls = true,
		.tls_description = STR("TLSv1.3 TLS_AES_256_GCM_SHA384"),
		.remote_addr = STR("2001:db8::1"),
		.local_addr = STR("192.0.2.1"),
		.remote_port = 65535,
		.local_port = 993,
		.input = STR("a2 SELECT INBOX\r\na\0b"),
	};
	return l;
}

static void
test_round_trip(void **state)
{
	struct handover_login in = sample(), out;
	struct buf b;
	(void)state;
	buf_init(&b, IPC_PAYLOAD_MAX);
	assert_int_equal(handover_encode(&in, &b), ERR_OK);
	assert_int_equal(handover_decode(buf_str(&b), &out), ERR_OK);
	assert_int_equal(out.number, in.number);
	assert_int_equal(out.deadline_ms, in.deadline_ms);
	assert_true(str_eq(out.sid, in.sid) && str_eq(out.tag, in.tag));
	assert_memory_equal(&out.ticket, &in.ticket, sizeof(in.ticket));
	assert_true(out.tls && str_eq(out.tls_description, in.tls_description));
	assert_true(str_eq(out.remote_addr, in.remote_addr));
	assert_true(str_eq(out.local_addr, in.local_addr));
	assert_int_equal(out.remote_port, in.remote_port);
	assert_int_equal(out.local_port, in.local_port);
	assert_true(str_eq(out.input, in.input));
	/* Cut anywhere, or longer by anything: refused. */
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(handover_decode(str_sub(buf_str(&b), 0, n), &out), ERR_SYNTAX);
	buf_addc(&b, 'x');
	assert_int_equal(handover_decode(buf_str(&b), &out), ERR_SYNTAX);
	buf_fini(&b);
}

static void
test_encode_limits(void **state)
{
	struct handover_login l = sample();
	char *big = xcalloc(1, HANDOVER_INPUT_MAX + 1);
	struct buf b;
	(void)state;
	buf_init(&b, IPC_PAYLOAD_MAX);
	l.input = str_n(big, HANDOVER_INPUT_MAX);
	assert_int_equal(handover_encode(&l, &b), ERR_OK);
	l.input.n++;
	assert_int_equal(handover_encode(&l, &b), ERR_LIMIT);
	l = sample();
	l.tag = STR("a1\r\n* OK");
	assert_int_equal(handover_encode(&l, &b), ERR_LIMIT);
	l = sample();
	l.sid = STR_EMPTY;
	assert_int_equal(handover_encode(&l, &b), ERR_LIMIT);
	buf_fini(&b);
	free(big);
}

/* Two imap workers, one auth-userdb, one gate. */
enum { WORKERS = 2 };

struct worker {
	struct handover_server *server;
	bool busy;
	int accepted, fd;
	char user[64], home[64], tag[32], input[64];
};

struct world {
	struct loop *loop;
	struct scripted auth;
	const char *answer;
	char asked[256];
	struct userdb *userdb;
	char base[80]; /* of the workers' sockets */
	struct worker workers[WORKERS];
	struct handover_client *gate;
	int answers;
	enum err e;
};

static void
keep(char *out, size_t n, struct str s)
{
	snprintf(out, n, "%.*s", STR_FMT(s));
}

static bool
ready(void *arg)
{
	return !((struct worker *)arg)->busy;
}

static void
on_accept_login(void *arg, const struct handover_login *l, int fd)
{
	struct worker *w = arg;
	w->accepted++;
	w->fd = fd;
	keep(w->user, sizeof(w->user), l->user);
	keep(w->home, sizeof(w->home), l->home);
	keep(w->tag, sizeof(w->tag), l->tag);
	keep(w->input, sizeof(w->input), l->input);
}

static const struct handover_server_ops OPS = { .ready = ready, .accept = on_accept_login };

static void
answer_userdb(struct scripted_connection *c)
{
	struct world *w = c->server->arg;
	size_t at = str_find(buf_str(&c->got), STR("REQUEST"));
	if (at == c->got.n || !str_ends(buf_str(&c->got), STR("\n")))
		return;
	keep(w->asked, sizeof(w->asked), str_from(buf_str(&c->got), at));
	buf_reset(&c->got);
	scripted_sayz(c, w->answer);
}

static struct handover_server *
worker_new(struct world *w, int i, uid_t gate_uid)
{
	const struct listen_options o = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	char address[160];
	const char *text;
	int fd = -1;
	snprintf(address, sizeof(address), "seqpacket:%s%d", w->base, i);
	assert_int_equal(listen_bind(str_of(address), &o, &fd, &text), ERR_OK);
	return handover_server_new(w->loop, fd, gate_uid, w->userdb, &OPS, &w->workers[i]);
}

static void
world_init(struct world *w, const char *answer, uid_t gate_uid)
{
	*w = (struct world){ .loop = loop_new(), .answer = answer };
	scripted_init(&w->auth, w->loop);
	w->auth.greeting = "VERSION\t1\t1\n";
	w->auth.on_input = answer_userdb;
	w->auth.arg = w;
	scripted_listen(&w->auth);
	w->userdb = userdb_new(w->loop, str_of(w->auth.address));
	snprintf(w->base, sizeof(w->base), "%s/imap.", w->auth.folder);
	for (int i = 0; i < WORKERS; i++) {
		w->workers[i].fd = -1;
		w->workers[i].server = worker_new(w, i, gate_uid);
	}
	w->gate = handover_client_new(w->loop, w->base, WORKERS);
}

static void
world_fini(struct world *w)
{
	handover_client_free(w->gate);
	for (int i = 0; i < WORKERS; i++) {
		char path[160];
		handover_server_free(w->workers[i].server);
		if (w->workers[i].fd >= 0)
			close(w->workers[i].fd);
		snprintf(path, sizeof(path), "%s%d", w->base, i);
		unlink(path);
	}
	userdb_free(w->userdb);
	scripted_fini(&w->auth);
	loop_free(w->loop);
}

static void
on_answer(void *arg, enum err e)
{
	struct world *w = arg;
	w->answers++;
	w->e = e;
}

static bool
answered(void *arg)
{
	return ((struct world *)arg)->answers > 0;
}

/* Offers one end of a pair; returns the other. */
static int
offer(struct world *w, const char *user)
{
	struct handover_login l = sample();
	int pair[2];
	l.input = STR("a2 NOOP\r\n");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_non_null(handover_offer_start(w->gate, &l, str_of(user), pair[1], on_answer, w));
	return pair[0];
}

/* True when the other end of the pair is closed everywhere. */
static bool
closed_everywhere(int fd)
{
	char c;
	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void
test_confirmed(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, "USER\t1\tjane@example.org\thome=/mail/jane\n", geteuid());
	int fd = offer(&w, "jane@example.org");
	assert_true(run_until(w.loop, answered, &w, 5000));
	assert_int_equal(w.e, ERR_OK);
	assert_int_equal(w.workers[0].accepted + w.workers[1].accepted, 1);
	struct worker *k = &w.workers[w.workers[0].accepted == 1 ? 0 : 1];
	assert_string_equal(k->user, "jane@example.org");
	assert_string_equal(k->home, "/mail/jane");
	assert_string_equal(k->tag, "a1");
	assert_string_equal(k->input, "a2 NOOP\r\n");
	assert_string_equal(w.asked, "REQUEST\t1\t1\t2\tc00c1e\tsession=0011223344556677\n");
	assert_int_equal(fcntl(k->fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl(k->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(k->fd, "x", 1), 1);
	char c = 0;
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, 'x');
	close(fd);
	world_fini(&w);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *answer;
		enum err e;
	} CASES[] = {
		{ "FAIL\t1\n", ERR_DENIED }, { "NOTFOUND\t1\n", ERR_DENIED },
		{ "FAIL\t1\ttemp\n", ERR_TEMP }, { "garbage\n", ERR_TEMP },
		{ "USER\t1\tjane\n", ERR_TEMP },		 /* no home */
		{ "USER\t1\tjane\thome=mail/jane\n", ERR_TEMP }, /* not absolute */
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct world w;
		world_init(&w, CASES[i].answer, geteuid());
		int fd = offer(&w, "jane");
		assert_true(run_until(w.loop, answered, &w, 5000));
		assert_int_equal(w.e, CASES[i].e);
		assert_int_equal(w.workers[0].accepted + w.workers[1].accepted, 0);
		assert_true(closed_everywhere(fd));
		close(fd);
		world_fini(&w);
	}
}

static void
test_busy_worker_sends_on(void **state)
{
	(void)state;
	for (int busy = 0; busy < WORKERS; busy++) {
		struct world w;
		world_init(&w, "USER\t1\tjane\thome=/mail/jane\n", geteuid());
		w.workers[busy].busy = true;
		int fd = offer(&w, "jane");
		assert_true(run_until(w.loop, answered, &w, 5000));
		assert_int_equal(w.e, ERR_OK);
		assert_int_equal(w.workers[busy].accepted, 0);
		assert_int_equal(w.workers[1 - busy].accepted, 1);
		close(fd);
		world_fini(&w);
	}
}

static void
test_all_busy(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, "USER\t1\tjane\thome=/mail/jane\n", geteuid());
	w.workers[0].busy = w.workers[1].busy = true;
	int fd = offer(&w, "jane");
	assert_true(run_until(w.loop, answered, &w, 2000));
	assert_int_equal(w.e, ERR_TEMP);
	assert_string_equal(w.asked, "");
	assert_true(closed_everywhere(fd));
	close(fd);
	world_fini(&w);
}

/* Only the gate's uid is heard: a whole, well-formed offer of another one reaches nobody. */
static void
test_foreign_uid(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, "USER\t1\tjane\thome=/mail/jane\n", geteuid() + 1);
	int fd = offer(&w, "jane");
	assert_true(run_until(w.loop, answered, &w, 12000));
	assert_int_equal(w.e, ERR_TEMP);
	assert_string_equal(w.asked, "");
	assert_int_equal(w.workers[0].accepted + w.workers[1].accepted, 0);
	assert_true(closed_everywhere(fd));
	close(fd);
	world_fini(&w);
}

static int
connect_raw(struct world *w)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s0", w->base);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* The next message on fd: its type, or -1 when the channel was closed. */
static int
next_message(int fd, uint64_t *number_out, uint64_t *why_out)
{
	struct buf b;
	uint32_t type = 0;
	int fds[IPC_FDS_MAX];
	size_t n = 0;
	buf_init(&b, 1000);
	enum err e = ipc_recv_blocking(fd, &type, &b, fds, &n);
	struct str in = buf_str(&b);
	if (e == ERR_OK && (ipc_get_u64(&in, number_out) != ERR_OK ||
				   (type == HANDOVER_NAK && ipc_get_u64(&in, why_out) != ERR_OK)))
		e = ERR_SYNTAX;
	buf_fini(&b);
	return e == ERR_OK ? (int)type : -1;
}

static void
send_offer(int channel, struct handover_login *l, int fd)
{
	struct buf b;
	buf_init(&b, IPC_PAYLOAD_MAX);
	assert_int_equal(handover_encode(l, &b), ERR_OK);
	assert_int_equal(ipc_send_blocking(channel, HANDOVER_OFFER, buf_str(&b), &fd, 1), ERR_OK);
	buf_fini(&b);
}

static void
test_too_late(void **state)
{
	struct world w;
	struct handover_login l = sample();
	uint64_t number = 0, why = 99;
	int pair[2];
	(void)state;
	world_init(&w, "USER\t1\tjane\thome=/mail/jane\n", geteuid());
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	int channel = connect_raw(&w);
	l.deadline_ms = clock_ms() - 1;
	send_offer(channel, &l, pair[1]);
	assert_false(run_until(w.loop, NULL, NULL, 50));
	assert_int_equal(next_message(channel, &number, &why), HANDOVER_NAK);
	assert_int_equal(number, 7);
	assert_int_equal(why, HANDOVER_FAILED);
	assert_int_equal(w.workers[0].accepted, 0);
	assert_true(closed_everywhere(pair[0]));
	close(channel);
	close(pair[0]);
	world_fini(&w);
}

static void
test_garbage_ends_the_channel(void **state)
{
	(void)state;
	for (int what = 0; what < 5; what++) {
		struct world w;
		struct handover_login l = sample();
		uint64_t number, why;
		int pipe_fds[2];
		world_init(&w, "USER\t1\tjane\thome=/mail/jane\n", geteuid());
		int channel = connect_raw(&w);
		assert_int_equal(pipe(pipe_fds), 0);
		l.deadline_ms = clock_ms() + 5000;
		enum err e = ERR_OK;
		if (what == 0) /* no socket */
			send_offer(channel, &l, pipe_fds[0]);
		else if (what == 1) /* no fd at all */
			e = ipc_send_blocking(channel, HANDOVER_OFFER, STR("x"), NULL, 0);
		else if (what == 2) /* no offer */
			e = ipc_send_blocking(channel, HANDOVER_ACK, STR("x"), &pipe_fds[0], 1);
		else if (what == 3) /* more than one */
			e = ipc_send_blocking(channel, HANDOVER_OFFER, STR("x"), pipe_fds, 2);
		else
			e = ipc_send_blocking(channel, 4711, STR(""), NULL, 0);
		assert_int_equal(e, ERR_OK);
		assert_false(run_until(w.loop, NULL, NULL, 50));
		assert_int_equal(next_message(channel, &number, &why), -1);
		assert_int_equal(w.workers[0].accepted, 0);
		assert_string_equal(w.asked, "");
		close(channel);
		if (what == 1 || what == 4)
			close(pipe_fds[0]);
		if (what != 3)
			close(pipe_fds[1]);
		world_fini(&w);
	}
}

static bool
asked(void *arg)
{
	return ((struct world *)arg)->asked[0] != '\0';
}

/* A worker dies while auth-userdb thinks: the other one gets the offer. */
static void
test_worker_dies(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, "", geteuid());
	int fd = offer(&w, "jane");
	assert_true(run_until(w.loop, asked, &w, 5000));
	w.answer = "USER\t2\tjane\thome=/mail/jane\n";
	/* The hash chose the worker; the one that has nothing dies without a trace. */
	for (int i = 0; i < WORKERS && w.answers == 0; i++) {
		handover_server_free(w.workers[i].server);
		w.workers[i].server = NULL;
		if (run_until(w.loop, answered, &w, 500))
			break;
		w.workers[i].server = worker_new(&w, i, geteuid());
		assert_false(run_until(w.loop, NULL, NULL, 100));
	}
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.e, ERR_OK);
	assert_int_equal(w.workers[0].accepted + w.workers[1].accepted, 1);
	close(fd);
	world_fini(&w);
}

static void
test_cancelled(void **state)
{
	struct world w;
	struct handover_login l = sample();
	int pair[2];
	(void)state;
	world_init(&w, "", geteuid());
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	struct handover_offer *o =
		handover_offer_start(w.gate, &l, STR("jane"), pair[1], on_answer, &w);
	assert_true(run_until(w.loop, asked, &w, 5000));
	handover_offer_cancel(o);
	scripted_sayz(&w.auth.connections[0], "USER\t1\tjane\thome=/mail/jane\n");
	assert_false(run_until(w.loop, answered, &w, 50));
	close(pair[0]);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_encode_limits),
		cmocka_unit_test(test_confirmed),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_busy_worker_sends_on),
		cmocka_unit_test(test_all_busy),
		cmocka_unit_test(test_foreign_uid),
		cmocka_unit_test(test_too_late),
		cmocka_unit_test(test_garbage_ends_the_channel),
		cmocka_unit_test(test_worker_dies),
		cmocka_unit_test(test_cancelled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
