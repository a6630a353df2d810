/* Load generator for SMTP submission and LMTP delivery: N connections, each sends one message
 * after the other; prints messages a second, latencies and its own share of the CPU. bench/run
 * starts it against Postroom and against the incumbents alike.
 * A message's time runs from its MAIL command to its last final reply (a new connection for each
 * message: from the connect). Invariant: a message counts only when every recipient got a 250. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "core/event/loop.h"
#include "core/event/tls.h"

enum tls_mode { TLS_NONE, TLS_STARTTLS, TLS_IMPLICIT };

enum state {
	S_GREETING,
	S_HELLO,
	S_STARTTLS,
	S_HANDSHAKE,
	S_AUTH,
	S_ENVELOPE,
	S_FINAL,
	S_QUIT,
};

struct options {
	bool lmtp;
	struct str address;
	uint64_t conns, messages, size, rcpts, count, per_conn, stall_ms;
	const char *to, *from, *login, *password, *tls_name;
	enum tls_mode tls;
	bool pipelining, json, quiet;
};

struct conn {
	unsigned index;
	int fd;
	int events; /* registered */
	enum state state;
	struct tls *tls;
	struct buf in, out;
	uint64_t number;    /* of the message */
	uint64_t sent_here; /* messages on this connection */
	unsigned step;	    /* envelope replies that came */
	unsigned accepted;  /* recipients */
	unsigned finals;    /* final replies still to come */
	int64_t since_us;
	bool hello_again;
	bool done;
};

static struct options opt = { .conns = 1,
	.messages = 1000,
	.size = 8192,
	.rcpts = 1,
	.count = 1,
	.stall_ms = 60000,
	.from = "bench@example.org",
	.tls_name = "none",
	.pipelining = true };
static int epoll_fd;
static struct tls_ctx *tls_client;
static struct str body;
static uint64_t next_number, failures, completed;
static uint32_t *latency_us;
static unsigned active;
static char date_now[64];

static void
die(const char *what)
{
	fprintf(stderr, "bench_smtp: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* pattern with every {} replaced by n. */
static void
add_numbered(struct buf *b, const char *pattern, uint64_t n)
{
	struct str s = str_of(pattern);

	for (;;) {
		size_t at = str_find(s, STR("{}"));
		buf_add(b, str_sub(s, 0, at));
		if (at == s.n)
			return;
		buf_addu(b, n);
		s = str_from(s, at + 2);
	}
}

static int
connect_unix(struct str path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (path.n >= sizeof(sa.sun_path))
		die("path too long");
	memcpy(sa.sun_path, path.p, path.n);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		die("connect");
	return fd;
}

static int
connect_tcp(struct str address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai = NULL;
	size_t colon = str_rchr(address, ':');
	char *host = str_dup(str_sub(address, 0, colon)),
	     *port = str_dup(str_from(address, colon + 1));
	int one = 1, fd;

	if (getaddrinfo(host, port, &hints, &ai) != 0)
		die("address");
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) != 0)
		die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	freeaddrinfo(ai);
	free(host);
	free(port);
	return fd;
}

static void
watch(struct conn *c, int events)
{
	struct epoll_event ev = { .events = (uint32_t)events, .data.ptr = c };

	if (events == c->events)
		return;
	if (epoll_ctl(epoll_fd, c->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &ev) != 0)
		die("epoll_ctl");
	c->events = events;
}

static void
conn_open(struct conn *c)
{
	struct str path = opt.address;

	c->since_us = clock_us();
	if (str_starts(path, STR("unix:")))
		c->fd = connect_unix(str_from(path, 5));
	else
		c->fd = connect_tcp(path);
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
		die("fcntl");
	c->state = opt.tls == TLS_IMPLICIT ? S_HANDSHAKE : S_GREETING;
	c->events = 0;
	c->sent_here = 0;
	c->hello_again = false;
	buf_reset(&c->in);
	buf_reset(&c->out);
	if (opt.tls == TLS_IMPLICIT)
		c->tls = tls_new_client(tls_client, c->fd, STR("localhost"));
	watch(c, EPOLLIN | (opt.tls == TLS_IMPLICIT ? EPOLLOUT : 0));
}

static void
conn_close(struct conn *c)
{
	if (c->tls != NULL) {
		enum err e = tls_shutdown(c->tls);
		(void)e;
		tls_free(c->tls);
		c->tls = NULL;
	}
	close(c->fd);
	c->fd = -1;
}

static void
send_hello(struct conn *c)
{
	buf_addz(&c->out, opt.lmtp ? "LHLO bench.invalid\r\n" : "EHLO bench.invalid\r\n");
	c->state = S_HELLO;
}

static void
send_rcpt(struct conn *c, unsigned j)
{
	buf_addz(&c->out, "RCPT TO:<");
	add_numbered(&c->out, opt.to, (c->number * opt.rcpts + j) % opt.count + 1);
	buf_addz(&c->out, ">\r\n");
}

/* The next envelope command: MAIL, RCPT…, DATA. */
static void
send_step(struct conn *c, unsigned step)
{
	if (step == 0) {
		buf_addz(&c->out, "MAIL FROM:<");
		add_numbered(&c->out, opt.from, c->index % opt.count + 1);
		buf_addz(&c->out, ">\r\n");
	} else if (step <= opt.rcpts) {
		send_rcpt(c, step - 1);
	} else {
		buf_addz(&c->out, "DATA\r\n");
	}
}

static void
begin_message(struct conn *c)
{
	if (next_number >= opt.messages || (opt.per_conn != 0 && c->sent_here == opt.per_conn)) {
		buf_addz(&c->out, "QUIT\r\n");
		c->state = S_QUIT;
		return;
	}
	c->number = next_number++;
	if (c->sent_here++ > 0 || opt.per_conn == 0)
		c->since_us = clock_us();
	c->step = 0;
	c->accepted = 0;
	c->state = S_ENVELOPE;
	for (unsigned i = 0; i < (opt.pipelining ? opt.rcpts + 2 : 1); i++)
		send_step(c, i);
}

static void
send_message(struct conn *c)
{
	buf_addz(&c->out, "From: Bench <");
	add_numbered(&c->out, opt.from, c->index % opt.count + 1);
	buf_addf(&c->out,
		">\r\nTo: Bench <list@bench.invalid>\r\nSubject: Message %llu\r\nDate: %s\r\n"
		"Message-ID: <%llu.%d@bench.invalid>\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n\r\n",
		(unsigned long long)c->number, date_now, (unsigned long long)c->number,
		(int)getpid());
	buf_add(&c->out, body);
	buf_addz(&c->out, ".\r\n");
	c->finals = opt.lmtp ? c->accepted : 1;
	c->state = S_FINAL;
}

static void
fail(struct conn *c, struct str line)
{
	if (failures++ < 5 && !opt.quiet)
		fprintf(stderr, "bench_smtp: message %llu, state %d: %.*s\n",
			(unsigned long long)c->number, (int)c->state, STR_FMT(line));
	c->done = true;
}

static void
send_auth(struct conn *c)
{
	struct buf plain;

	if (opt.login == NULL) {
		begin_message(c);
		return;
	}
	buf_init(&plain, 1024);
	buf_addc(&plain, 0);
	add_numbered(&plain, opt.login, c->index % opt.count + 1);
	buf_addc(&plain, 0);
	buf_addz(&plain, opt.password);
	buf_addz(&c->out, "AUTH PLAIN ");
	base64_encode(&c->out, buf_str(&plain));
	buf_addz(&c->out, "\r\n");
	buf_fini(&plain);
	c->state = S_AUTH;
}

static void
on_envelope_reply(struct conn *c, struct str line)
{
	unsigned step = c->step++;

	if (step == opt.rcpts + 1) {
		if (line.p[0] != '3' || c->accepted != opt.rcpts)
			fail(c, line);
		else
			send_message(c);
		return;
	}
	if (line.p[0] != '2') {
		fail(c, line);
		return;
	}
	if (step > 0)
		c->accepted++;
	if (!opt.pipelining)
		send_step(c, c->step);
}

static void
on_final(struct conn *c, struct str line)
{
	if (line.p[0] != '2') {
		fail(c, line);
		return;
	}
	if (--c->finals > 0)
		return;
	latency_us[completed++] = (uint32_t)(clock_us() - c->since_us);
	begin_message(c);
}

/* line: the last line of a reply. */
static void
on_reply(struct conn *c, struct str line)
{
	bool good = line.n >= 3 && (line.p[0] == '2' || line.p[0] == '3');

	if (c->state == S_ENVELOPE && line.n >= 3) {
		on_envelope_reply(c, line);
		return;
	}
	if (c->state == S_FINAL && line.n >= 3) {
		on_final(c, line);
		return;
	}
	if (!good) {
		fail(c, line);
		return;
	}
	switch (c->state) {
	case S_GREETING:
		send_hello(c);
		return;
	case S_HELLO:
		if (opt.tls == TLS_STARTTLS && !c->hello_again) {
			buf_addz(&c->out, "STARTTLS\r\n");
			c->state = S_STARTTLS;
		} else {
			send_auth(c);
		}
		return;
	case S_STARTTLS:
		c->tls = tls_new_client(tls_client, c->fd, STR("localhost"));
		c->state = S_HANDSHAKE;
		return;
	case S_AUTH:
		begin_message(c);
		return;
	case S_QUIT:
		c->done = true;
		return;
	case S_HANDSHAKE:
	case S_ENVELOPE:
	case S_FINAL:
		return;
	}
}

static enum err
conn_read(struct conn *c)
{
	for (;;) {
		char *p = buf_reserve(&c->in, 4096);
		size_t got = 0;
		if (p == NULL)
			return ERR_LIMIT;
		if (c->tls != NULL) {
			enum err e = tls_read(c->tls, p, 4096, &got);
			if (e != ERR_OK)
				return e;
		} else {
			ssize_t n = recv(c->fd, p, 4096, 0);
			if (n < 0)
				return errno == EAGAIN ? ERR_AGAIN : ERR_TEMP;
			if (n == 0)
				return ERR_EOF;
			got = (size_t)n;
		}
		buf_commit(&c->in, got);
	}
}

static enum err
conn_write(struct conn *c)
{
	while (c->out.n > 0) {
		struct str s = buf_str(&c->out);
		size_t put = 0;
		if (c->tls != NULL) {
			enum err e = tls_write(c->tls, s.p, s.n, &put);
			if (e != ERR_OK)
				return e;
		} else {
			ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL);
			if (n < 0)
				return errno == EAGAIN ? ERR_AGAIN : ERR_TEMP;
			put = (size_t)n;
		}
		buf_consume(&c->out, put);
	}
	return ERR_OK;
}

static void
conn_lines(struct conn *c)
{
	while (!c->done && c->state != S_HANDSHAKE) {
		struct str in = buf_str(&c->in);
		size_t nl = str_chr(in, '\n');
		if (nl == in.n)
			return;
		if (nl < 4 || in.p[3] != '-')
			on_reply(c, str_trim(str_sub(in, 0, nl)));
		buf_consume(&c->in, nl + 1);
	}
}

/* Returns false while the hand-shake goes on. */
static bool
conn_handshake(struct conn *c)
{
	enum err e = tls_handshake(c->tls);

	if (e == ERR_AGAIN) {
		watch(c, tls_wants(c->tls) & LOOP_WRITE ? EPOLLOUT : EPOLLIN);
		return false;
	}
	if (e != ERR_OK) {
		fail(c, str_of(tls_error(c->tls)));
		return true;
	}
	if (opt.tls == TLS_IMPLICIT) {
		c->state = S_GREETING;
	} else {
		c->hello_again = true;
		send_hello(c);
	}
	return true;
}

static void
conn_event(struct conn *c)
{
	enum err r = ERR_AGAIN, w;

	if (c->state == S_HANDSHAKE && !conn_handshake(c))
		return;
	if (!c->done)
		r = conn_read(c);
	conn_lines(c);
	w = conn_write(c);
	if (c->state == S_HANDSHAKE && !c->done && c->out.n == 0) {
		if (!conn_handshake(c))
			return;
		w = conn_write(c);
	}
	if (!c->done && ((r != ERR_AGAIN && c->state != S_QUIT) || (w != ERR_OK && w != ERR_AGAIN)))
		fail(c, STR("connection lost"));
	if (!c->done && r == ERR_EOF)
		c->done = true;
	if (!c->done) {
		watch(c, EPOLLIN | (c->out.n > 0 ? EPOLLOUT : 0));
		return;
	}
	c->done = false;
	conn_close(c);
	if (next_number < opt.messages)
		conn_open(c);
	else
		active--;
}

static void
make_body(void)
{
	static const char line[] =
		"The quick brown fox jumps over the lazy dog, again and again it "
		"does.\r\n";
	struct buf b;
	size_t want = opt.size > 300 ? opt.size - 300 : 1;

	buf_init(&b, want + 200);
	while (b.n < want)
		buf_addz(&b, line);
	body = (struct str){ str_dup(buf_str(&b)), b.n };
	buf_fini(&b);
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double
percentile_ms(double p)
{
	return completed == 0 ? 0 : latency_us[(uint64_t)(p * (double)(completed - 1))] / 1000.0;
}

static void
report(double seconds)
{
	struct rusage u;
	double cpu, rate = (double)completed / seconds;

	(void)getrusage(RUSAGE_SELF, &u);
	cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	      (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	qsort(latency_us, completed, sizeof(*latency_us), by_value);
	if (opt.json)
		printf("{\"messages\": %llu, \"failures\": %llu, \"seconds\": %.3f, "
		       "\"messages_per_second\": %.1f, \"recipients_per_second\": %.1f, "
		       "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, "
		       "\"client_cpu_seconds\": %.3f}\n",
			(unsigned long long)completed, (unsigned long long)failures, seconds, rate,
			rate * (double)opt.rcpts, percentile_ms(.5), percentile_ms(.99),
			percentile_ms(1), cpu);
	else
		printf("%llu messages, %llu failed, %.2f s: %.0f msg/s, %.0f rcpt/s, p50 %.2f ms, "
		       "p99 %.2f ms, max %.2f ms, client CPU %.2f s\n",
			(unsigned long long)completed, (unsigned long long)failures, seconds, rate,
			rate * (double)opt.rcpts, percentile_ms(.5), percentile_ms(.99),
			percentile_ms(1), cpu);
}

static uint64_t
number_of(const char *z, uint64_t max)
{
	uint64_t v;

	if (str_to_u64(str_of(z), max, &v) != ERR_OK) {
		fprintf(stderr, "bench_smtp: not a number: %s\n", z);
		exit(2);
	}
	return v;
}

static void
usage(void)
{
	fputs("usage: bench_smtp [options] unix:/path | host:port\n"
	      "  --lmtp               LMTP (LHLO, one final reply a recipient)\n"
	      "  --connections N      (1)   --messages N (1000)   --size BYTES (8192)\n"
	      "  --to ADDRESS         {} becomes 1 … --count, in turn\n"
	      "  --count N            how many numbers (1)   --recipients N  a message (1)\n"
	      "  --from ADDRESS --login NAME --password TEXT   {}: number of the connection\n"
	      "  --tls none|starttls|implicit   --per-connection N  messages, 0: kept (0)\n"
	      "  --no-pipelining --json --quiet\n"
	      "exit status 1 when a message failed\n",
		stderr);
	exit(2);
}

static enum tls_mode
tls_mode_of(struct str s)
{
	if (str_eq(s, STR("starttls")))
		return TLS_STARTTLS;
	if (str_eq(s, STR("implicit")))
		return TLS_IMPLICIT;
	if (!str_eq(s, STR("none")))
		usage();
	return TLS_NONE;
}

/* Where an option's value goes: a number up to max, a text, or a flag. */
static const struct load_option {
	struct option option;
	uint64_t *number;
	uint64_t max;
	const char **text;
	bool *flag;
	bool value; /* of the flag */
} table[] = {
	{ { "connections", 1, NULL, 0 }, .number = &opt.conns, .max = 10000 },
	{ { "messages", 1, NULL, 0 }, .number = &opt.messages, .max = 100000000 },
	{ { "size", 1, NULL, 0 }, .number = &opt.size, .max = 100000000 },
	{ { "count", 1, NULL, 0 }, .number = &opt.count, .max = 100000000 },
	{ { "recipients", 1, NULL, 0 }, .number = &opt.rcpts, .max = 100000 },
	{ { "per-connection", 1, NULL, 0 }, .number = &opt.per_conn, .max = 100000000 },
	{ { "to", 1, NULL, 0 }, .text = &opt.to },
	{ { "from", 1, NULL, 0 }, .text = &opt.from },
	{ { "login", 1, NULL, 0 }, .text = &opt.login },
	{ { "password", 1, NULL, 0 }, .text = &opt.password },
	{ { "tls", 1, NULL, 0 }, .text = &opt.tls_name },
	{ { "lmtp", 0, NULL, 0 }, .flag = &opt.lmtp, .value = true },
	{ { "no-pipelining", 0, NULL, 0 }, .flag = &opt.pipelining, .value = false },
	{ { "json", 0, NULL, 0 }, .flag = &opt.json, .value = true },
	{ { "quiet", 0, NULL, 0 }, .flag = &opt.quiet, .value = true },
};

static void
parse_options(int argc, char **argv)
{
	struct option longs[ARRAY_LEN(table) + 1] = { { NULL, 0, NULL, 0 } };
	int o, index = 0;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		longs[i] = table[i].option;
	while ((o = getopt_long(argc, argv, "", longs, &index)) != -1) {
		const struct load_option *t = &table[index];
		if (o != 0)
			usage();
		if (t->number != NULL)
			*t->number = number_of(optarg, t->max);
		else if (t->text != NULL)
			*t->text = optarg;
		else
			*t->flag = t->value;
	}
	opt.tls = tls_mode_of(str_of(opt.tls_name));
	if (optind != argc - 1 || opt.to == NULL || opt.conns == 0 || opt.count == 0 ||
		opt.rcpts == 0 || (opt.login != NULL && opt.password == NULL))
		usage();
	opt.address = str_of(argv[optind]);
}

static double
run(struct conn *conns)
{
	struct epoll_event events[256];
	int64_t begin = clock_us();

	for (unsigned i = 0; i < opt.conns; i++) {
		conns[i].index = i;
		buf_init(&conns[i].in, 1 << 20);
		buf_init(&conns[i].out, (1 << 20) + 2 * opt.size + 512 * opt.rcpts);
		conn_open(&conns[i]);
		active++;
	}
	while (active > 0) {
		int n = epoll_wait(epoll_fd, events, 256, (int)opt.stall_ms);
		if (n == 0) {
			fputs("bench_smtp: nothing moved for a minute\n", stderr);
			failures++;
			break;
		}
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++)
			conn_event(events[i].data.ptr);
		if (failures > 1000)
			break;
	}
	return (double)(clock_us() - begin) / 1e6;
}

int
main(int argc, char **argv)
{
	const struct tls_client_options to = { .min_version = 12, .insecure = true };
	const char *text = "";
	struct conn *conns;
	time_t now = time(NULL);
	struct tm tm;

	(void)signal(SIGPIPE, SIG_IGN);
	parse_options(argc, argv);
	(void)strftime(
		date_now, sizeof(date_now), "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&now, &tm));
	make_body();
	if (opt.tls != TLS_NONE && tls_ctx_new_client(&to, &tls_client, &text) != ERR_OK) {
		fprintf(stderr, "bench_smtp: TLS: %s\n", text);
		return 2;
	}
	latency_us = xcalloc(opt.messages + 1, sizeof(*latency_us));
	conns = xcalloc(opt.conns, sizeof(*conns));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	report(run(conns));
	return failures > 0 || completed != opt.messages;
}
