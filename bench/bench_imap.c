/* Load generator for IMAP sessions: N clients, a process each, that log in, list, select, fetch,
 * store, append, expunge and log out again and again for some seconds; bench/run starts it against
 * Postroom and against Dovecot alike. With --append each session only appends. A command counts
 * when it was answered OK; anything else ends the run with an error. */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"

enum { CLIENTS_MAX = 1000, SAMPLES_MAX = 200000, IN_MAX = 64 * 1024 * 1024, RECEIVE_SEC = 60 };

struct options {
	const char *user, *password, *host;
	uint64_t clients, seconds, count, port, size;
	bool append_only;
};

/* One client's results, in memory shared with the parent. */
struct results {
	uint64_t commands, samples;
	bool failed;
	char why[200];
	uint32_t us[SAMPLES_MAX];
};

struct session {
	int fd;
	struct buf in;
	unsigned tags;
	struct results *r;
};

static struct options opt = {
	.user = "user{}", .password = "", .clients = 50, .seconds = 10, .count = 1, .size = 8192
};

static bool
failed(struct results *r, const char *what, struct str answer)
{
	r->failed = true;
	(void)snprintf(r->why, sizeof r->why, "%s: %.*s", what,
		(int)(answer.n < 120 ? answer.n : 120), answer.p);
	return false;
}

static bool
send_all(struct session *s, struct str data)
{
	while (data.n != 0) {
		ssize_t n = send(s->fd, data.p, data.n, MSG_NOSIGNAL);

		if (n <= 0)
			return failed(s->r, "send", STR_EMPTY);
		data = str_from(data, (size_t)n);
	}
	return true;
}

/* Reads until the last line that came begins so. */
static bool
read_until(struct session *s, struct str start)
{
	for (;;) {
		struct str all = buf_str(&s->in);
		bool ends = all.n != 0 && all.p[all.n - 1] == '\n';
		size_t before = ends ? str_rchr(str_sub(all, 0, all.n - 1), '\n') : 0;
		struct str last = ends && before < all.n - 1 ? str_from(all, before + 1) : all;

		if (ends && str_starts(last, start))
			return true;
		char *room = buf_reserve(&s->in, 65536);
		ssize_t n = room != NULL ? recv(s->fd, room, 65536, 0) : 0;

		if (n <= 0)
			return failed(s->r, "closed", last);
		buf_commit(&s->in, (size_t)n);
	}
}

/* One command, timed; text may hold a literal. */
static bool
command(struct session *s, struct str text)
{
	char tag[16], ok[24];
	struct buf line;
	int64_t began = clock_us();

	(void)snprintf(tag, sizeof tag, "t%u ", ++s->tags);
	(void)snprintf(ok, sizeof ok, "%sOK", tag);
	buf_init(&line, 64 * 1024 * 1024);
	buf_addz(&line, tag);
	buf_add(&line, text);
	buf_addz(&line, "\r\n");
	buf_reset(&s->in);
	bool good = send_all(s, buf_str(&line)) && read_until(s, str_of(tag));

	buf_fini(&line);
	if (!good)
		return false;
	struct str all = buf_str(&s->in);
	size_t before = str_rchr(str_sub(all, 0, all.n - 1), '\n');
	struct str last = before < all.n - 1 ? str_from(all, before + 1) : all;

	if (!str_starts(last, str_of(ok)))
		return failed(s->r, "refused", last);
	s->r->commands++;
	if (s->r->samples < SAMPLES_MAX)
		s->r->us[s->r->samples++] = (uint32_t)(clock_us() - began);
	return true;
}

static bool
commandz(struct session *s, const char *text)
{
	return command(s, str_of(text));
}

static bool
append(struct session *s)
{
	struct buf b;

	buf_init(&b, 64 * 1024 * 1024);
	buf_addf(&b, "APPEND INBOX (\\Seen) {%llu+}\r\n", (unsigned long long)opt.size);
	size_t head = b.n;

	buf_addz(&b, "From: a@example.net\r\nSubject: bench\r\n\r\n");
	while (b.n - head < opt.size)
		buf_addz(&b, "The quick brown fox jumps over the lazy dog, again and again.\r\n");
	buf_truncate(&b, head + opt.size);
	bool good = command(s, buf_str(&b));

	buf_fini(&b);
	return good;
}

static bool
log_in(struct session *s, uint64_t number)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
	struct timeval wait = { .tv_sec = RECEIVE_SEC };
	struct str user = str_of(opt.user);
	size_t at = str_find(user, STR("{}"));
	int one = 1;
	char login[600];

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, opt.host, &to.sin_addr) != 1 ||
		connect(s->fd, (struct sockaddr *)&to, sizeof to) != 0)
		return failed(s->r, "connect", STR_EMPTY);
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	(void)setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	s->tags = 0;
	buf_reset(&s->in);
	if (!read_until(s, STR("* OK")))
		return false;
	if (at < user.n)
		(void)snprintf(login, sizeof login, "LOGIN %.*s%llu%.*s %s", (int)at, user.p,
			(unsigned long long)(number % opt.count), STR_FMT(str_from(user, at + 2)),
			opt.password);
	else
		(void)snprintf(login, sizeof login, "LOGIN %s %s", opt.user, opt.password);
	return commandz(s, login);
}

/* What a client does between two logins. */
static bool
mixed(struct session *s)
{
	return commandz(s, "LIST \"\" *") && commandz(s, "SELECT INBOX") &&
	       commandz(s, "UID FETCH 1:* (FLAGS)") && append(s) && append(s) &&
	       commandz(s, "NOOP") &&
	       commandz(s, "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)") &&
	       commandz(s, "FETCH * BODY.PEEK[]") && commandz(s, "STORE * +FLAGS (\\Flagged)") &&
	       commandz(s, "STORE 1 +FLAGS (\\Deleted)") && commandz(s, "EXPUNGE") &&
	       commandz(s, "STORE 1 +FLAGS (\\Deleted)") && commandz(s, "EXPUNGE");
}

static void
client(uint64_t number, struct results *r)
{
	struct session s = { .r = r };
	int64_t until = clock_us() + (int64_t)opt.seconds * 1000000;
	bool good = true;

	buf_init(&s.in, IN_MAX);
	while (good && clock_us() < until) {
		good = log_in(&s, number);
		if (opt.append_only)
			while (good && clock_us() < until)
				good = append(&s);
		else
			good = good && mixed(&s);
		good = good && commandz(&s, "LOGOUT");
		(void)close(s.fd);
	}
	buf_fini(&s.in);
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int
summarise(const struct results *all, double seconds)
{
	uint32_t *us = xmalloc(opt.clients * SAMPLES_MAX * sizeof *us);
	uint64_t commands = 0;
	size_t n = 0;

	for (uint64_t i = 0; i < opt.clients; i++) {
		if (all[i].failed) {
			(void)fprintf(stderr, "bench_imap: %s\n", all[i].why);
			return 1;
		}
		commands += all[i].commands;
		memcpy(us + n, all[i].us, all[i].samples * sizeof *us);
		n += all[i].samples;
	}
	qsort(us, n, sizeof *us, by_value);
	printf("{\"commands_per_second\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
		(double)commands / seconds, n != 0 ? us[n / 2] / 1e3 : 0,
		n != 0 ? us[n * 99 / 100] / 1e3 : 0);
	free(us);
	return 0;
}

static void
usage(void)
{
	fprintf(stderr, "usage: bench_imap [--clients N] [--seconds N] [--append] [--size BYTES]\n"
			"       --user NAME{} --password TEXT --count USERS ADDRESS:PORT\n");
	exit(2);
}

static void
number(uint64_t *out, uint64_t max)
{
	if (str_to_u64(str_of(optarg), max, out) != ERR_OK || *out == 0)
		usage();
}

static void
parse(int argc, char **argv)
{
	static const struct option longs[] = { { "clients", 1, NULL, 'c' },
		{ "seconds", 1, NULL, 's' }, { "append", 0, NULL, 'a' }, { "size", 1, NULL, 'z' },
		{ "user", 1, NULL, 'u' }, { "password", 1, NULL, 'p' }, { "count", 1, NULL, 'n' },
		{ NULL, 0, NULL, 0 } };

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'c':
			number(&opt.clients, CLIENTS_MAX);
			break;
		case 's':
			number(&opt.seconds, 3600);
			break;
		case 'a':
			opt.append_only = true;
			break;
		case 'z':
			number(&opt.size, 32 * 1024 * 1024);
			break;
		case 'u':
			opt.user = optarg;
			break;
		case 'p':
			opt.password = optarg;
			break;
		case 'n':
			number(&opt.count, 1000000);
			break;
		default:
			usage();
		}
	}
	struct str host, port;

	if (optind + 1 != argc || !str_cut(str_of(argv[optind]), ':', &host, &port) ||
		str_to_u64(port, 65535, &opt.port) != ERR_OK)
		usage();
	opt.host = str_dup(host);
}

int
main(int argc, char **argv)
{
	parse(argc, argv);
	struct results *all = mmap(NULL, opt.clients * sizeof *all, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t began = clock_us();

	if (all == MAP_FAILED)
		return 1;
	for (uint64_t i = 0; i < opt.clients; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid != 0)
			continue;
		client(i, &all[i]);
		_exit(0);
	}
	while (wait(NULL) > 0) {
	}
	return summarise(all, (double)(clock_us() - began) / 1e6);
}
