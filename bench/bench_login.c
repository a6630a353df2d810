/* Load generator for IMAP: logins and logouts as fast as N connections get them, or N sessions
 * that lie in IDLE until standard input ends. bench/run starts it against Postroom and against
 * Dovecot alike. A login's time runs from the connect to the end of the connection; it counts
 * only when LOGIN and LOGOUT were answered OK. Every TLS hand-shake is a full one. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/event/loop.h"
#include "core/event/stream.h"
#include "core/event/tls.h"
#include "tests/unit/tls_pem.h"

enum state { S_HANDSHAKE, S_GREETING, S_LOGIN, S_SELECT, S_IDLE, S_LOGOUT, S_END };

struct options {
	const char *user, *password, *host;
	uint64_t conns, logins, count, idle, port, stall_ms;
	bool tls, json;
};

struct conn {
	struct stream *stream;
	enum state state;
	int64_t since_us;
	uint64_t number; /* of the login */
	bool good;
};

static struct options opt = {
	.user = "user{}", .password = "", .conns = 20, .logins = 1000, .count = 1, .stall_ms = 60000
};
static struct loop *loop;
static struct tls_ctx *tls_client;
static struct loop_timer stall;
static struct loop_io standard_input;
static uint64_t started, finished, failures, idling;
static uint32_t *latency_us;
static char last_failure[200];

static void
conn_start(struct conn *c);

static void
conn_over(struct conn *c)
{
	stream_free(c->stream);
	c->stream = NULL;
	if (c->good)
		latency_us[finished - failures] = (uint32_t)(clock_us() - c->since_us);
	else
		failures++;
	finished++;
	loop_timer_start(&stall, (int64_t)opt.stall_ms);
	if (finished == opt.logins || opt.idle > 0) /* an idle session does not end */
		loop_stop(loop);
	else if (started < opt.logins)
		conn_start(c);
}

static void
keep_failure(struct str line)
{
	snprintf(last_failure, sizeof(last_failure), "%.*s", (int)(line.n < 150 ? line.n : 150),
		line.p);
}

static void
say_login(struct conn *c)
{
	struct str user = str_of(opt.user);
	size_t at = str_find(user, STR("{}"));
	uint64_t number = c->number % opt.count;
	if (at == user.n)
		stream_writef(c->stream, "a LOGIN \"%s\" \"%s\"\r\n", opt.user, opt.password);
	else
		stream_writef(c->stream, "a LOGIN \"%.*s%llu%.*s\" \"%s\"\r\n", (int)at, user.p,
			(unsigned long long)number, STR_FMT(str_from(user, at + 2)), opt.password);
}

static void
went_idle(struct conn *c)
{
	c->state = S_IDLE;
	stream_release_buffers(c->stream);
	loop_timer_start(&stall, (int64_t)opt.stall_ms);
	if (++idling == opt.idle) {
		printf("idle %llu\n", (unsigned long long)idling);
		fflush(stdout);
		loop_timer_stop(&stall);
	}
}

/* The next step, at a line that ends what was asked. False: the server refused. */
static bool
step(struct conn *c, struct str line)
{
	bool ok = str_starts(line, STR("a OK"));
	switch (c->state) {
	case S_HANDSHAKE:
	case S_GREETING:
		if (!str_starts(line, STR("* OK")))
			return false;
		say_login(c);
		c->state = S_LOGIN;
		return true;
	case S_LOGIN:
		if (!str_starts(line, STR("a ")))
			return true;
		stream_write(
			c->stream, opt.idle > 0 ? STR("a SELECT INBOX\r\n") : STR("a LOGOUT\r\n"));
		c->state = opt.idle > 0 ? S_SELECT : S_LOGOUT;
		return ok;
	case S_SELECT:
		if (!str_starts(line, STR("a ")))
			return true;
		stream_write(c->stream, STR("a IDLE\r\n"));
		c->state = S_IDLE;
		return ok;
	case S_IDLE:
		if (str_starts(line, STR("+")))
			went_idle(c);
		return !str_starts(line, STR("a "));
	case S_LOGOUT:
		c->good = c->good || ok;
		return ok || str_starts(line, STR("* "));
	case S_END:
		break;
	}
	return false;
}

static void
on_read(struct stream *s, void *arg)
{
	struct conn *c = arg;
	struct buf *in = stream_in(s);
	struct str line, rest;
	while (str_cut(buf_str(in), '\n', &line, &rest)) {
		if (!step(c, line)) {
			keep_failure(line);
			c->good = false;
			conn_over(c);
			return;
		}
		buf_consume(in, line.n + 1);
	}
}

static void
on_tls(struct stream *s, void *arg)
{
	(void)s;
	((struct conn *)arg)->state = S_GREETING;
}

static void
on_end(struct stream *s, void *arg, enum err why)
{
	struct conn *c = arg;
	if (!c->good)
		keep_failure(why == ERR_EOF ? STR("the server closed the connection")
					    : str_of(stream_error(s)));
	conn_over(c);
}

static const struct stream_ops OPS = { .on_read = on_read, .on_tls = on_tls, .on_end = on_end };

static int
connect_to_server(void)
{
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
	if (fd < 0 || inet_pton(AF_INET, opt.host, &a.sin_addr) != 1)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

static void
conn_start(struct conn *c)
{
	const struct stream_options o = { .in_max_bytes = 64 * 1024 };
	int fd = connect_to_server();
	if (fd < 0) {
		perror("connect");
		exit(1);
	}
	c->number = started++;
	c->since_us = clock_us();
	c->good = false;
	c->state = opt.tls ? S_HANDSHAKE : S_GREETING;
	c->stream = stream_new(loop, fd, &OPS, c, &o);
	if (opt.tls)
		stream_start_tls_client(c->stream, tls_client, STR("localhost"));
}

static void
on_stall(struct loop_timer *t)
{
	fprintf(stderr, "bench_login: nothing moves: %llu of %llu, %llu idle; %s\n",
		(unsigned long long)finished, (unsigned long long)opt.logins,
		(unsigned long long)idling, last_failure);
	(void)t;
	exit(1);
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static double
cpu_seconds(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void
report(double seconds)
{
	uint64_t n = finished - failures;
	double rate = (double)n / seconds;
	qsort(latency_us, n, sizeof(*latency_us), by_size);
	double p50 = n > 0 ? latency_us[n / 2] / 1000.0 : 0;
	double p99 = n > 0 ? latency_us[n * 99 / 100] / 1000.0 : 0;
	printf(opt.json ? "{\"logins\": %llu, \"failures\": %llu, \"seconds\": %.3f, "
			  "\"logins_per_second\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
			  "\"client_cpu_seconds\": %.3f}\n"
			: "%llu logins, %llu failed, %.3f s: %.1f logins/s, p50 %.2f ms, p99 %.2f "
			  "ms, "
			  "client CPU %.3f s\n",
		(unsigned long long)n, (unsigned long long)failures, seconds, rate, p50, p99,
		cpu_seconds());
	if (failures > 0)
		fprintf(stderr, "bench_login: %s\n", last_failure);
}

static int
run_logins(void)
{
	struct conn *conns = xcalloc(opt.conns, sizeof(*conns));
	latency_us = xcalloc(opt.logins, sizeof(*latency_us));
	int64_t begin = clock_us();
	for (uint64_t i = 0; i < opt.conns && started < opt.logins; i++)
		conn_start(&conns[i]);
	loop_run(loop);
	report((double)(clock_us() - begin) / 1e6);
	free(conns);
	free(latency_us);
	return failures == 0 ? 0 : 1;
}

static void
on_standard_input(struct loop_io *io, int events)
{
	char block[256];
	(void)events;
	if (read(io->fd, block, sizeof(block)) <= 0)
		loop_stop(loop);
}

/* A few at a time, so that the listen queue is never the limit. */
static void
on_more(struct loop_timer *t)
{
	struct conn *conns = t->arg;
	while (started < opt.idle && started - idling < opt.conns)
		conn_start(&conns[started]);
	if (started < opt.idle)
		loop_timer_start(t, 1);
}

static int
run_idle(void)
{
	struct conn *conns = xcalloc(opt.idle, sizeof(*conns));
	struct loop_timer more;
	latency_us = xcalloc(opt.idle, sizeof(*latency_us));
	opt.logins = opt.idle;
	loop_timer_init(&more, loop, on_more, conns);
	loop_timer_start(&more, 0);
	loop_io_init(&standard_input, loop, 0, on_standard_input, NULL);
	loop_io_set(&standard_input, LOOP_READ);
	loop_run(loop);
	int code = failures == 0 && idling == opt.idle ? 0 : 1;
	if (code != 0)
		fprintf(stderr, "bench_login: %s\n", last_failure);
	for (uint64_t i = 0; i < opt.idle; i++)
		stream_free(conns[i].stream);
	free(conns);
	free(latency_us);
	return code;
}

static uint64_t
number(const char *text)
{
	uint64_t n = 0;
	if (str_to_u64(str_of(text), 100000000, &n) != ERR_OK) {
		fprintf(stderr, "bench_login: %s is no number\n", text);
		exit(2);
	}
	return n;
}

static const struct option OPTIONS[] = {
	{ "connections", required_argument, NULL, 'c' },
	{ "logins", required_argument, NULL, 'n' },
	{ "idle", required_argument, NULL, 'i' },
	{ "user", required_argument, NULL, 'u' },
	{ "password", required_argument, NULL, 'p' },
	{ "count", required_argument, NULL, 'k' },
	{ "tls", no_argument, NULL, 't' },
	{ "json", no_argument, NULL, 'j' },
	{ NULL, 0, NULL, 0 },
};

static _Noreturn void
usage(void)
{
	fprintf(stderr,
		"bench_login [--tls] [--json] [--connections N] [--logins N | --idle N]\n"
		"    --user NAME{} --password WORD [--count USERS] ADDRESS:PORT\n"
		"{} is a number from 0 to USERS - 1. --idle holds N sessions in IDLE until\n"
		"standard input ends.\n");
	exit(2);
}

static void
parse(int argc, char **argv)
{
	int o;
	while ((o = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
		switch (o) {
		case 'c':
			opt.conns = number(optarg);
			break;
		case 'n':
			opt.logins = number(optarg);
			break;
		case 'i':
			opt.idle = number(optarg);
			break;
		case 'u':
			opt.user = optarg;
			break;
		case 'p':
			opt.password = optarg;
			break;
		case 'k':
			opt.count = number(optarg);
			break;
		case 't':
			opt.tls = true;
			break;
		case 'j':
			opt.json = true;
			break;
		default:
			usage();
		}
	}
	struct str host, port;
	if (optind + 1 != argc || opt.count == 0 || opt.conns == 0 || opt.logins == 0 ||
		!str_cut(str_of(argv[optind]), ':', &host, &port))
		usage();
	opt.host = str_dup(host);
	opt.port = number(port.p);
}

int
main(int argc, char **argv)
{
	/* Some authority: with the system's, OpenSSL reads its folder in every hand-shake. */
	const struct tls_client_options o = {
		.ca_pem = STR(TEST_CERTIFICATE), .min_version = 12, .insecure = true
	};
	const char *text = "";
	struct rlimit files = { 1048576, 1048576 };
	parse(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (tls_ctx_new_client(&o, &tls_client, &text) != ERR_OK) {
		fprintf(stderr, "bench_login: %s\n", text);
		return 1;
	}
	loop = loop_new();
	loop_timer_init(&stall, loop, on_stall, NULL);
	loop_timer_start(&stall, (int64_t)opt.stall_ms);
	return opt.idle > 0 ? run_idle() : run_logins();
}
