/* One IMAP session for bench/run: each line of standard input is a command, each line of standard
 * output says how long its answer took and what it held, so that no row counts an answer that is
 * short of something:
 *   MICROSECONDS OCTETS FETCHES EXPUNGES NUMBERS CPU <tab> TAGGED <tab> LAST
 * FETCHES and EXPUNGES are untagged responses of these names, NUMBERS those in the last untagged
 * response (of SEARCH, SORT, THREAD), CPU this program's microseconds, TAGGED the tagged reply
 * without its tag, LAST the beginning of the last untagged response. The first line is for the
 * greeting. Answers are read as a client reads them, literals skipped by their length. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"

enum { BLOCK = 1 << 20, LINE_MAX_BYTES = 256 << 20, TOLD = 2000, RECEIVE_SEC = 900 };

struct answer {
	uint64_t octets, fetches, expunges;
	uint64_t literal;  /* octets of it that are still to come */
	bool continued;	   /* the line goes on behind a literal */
	struct buf line;   /* the part of one that came so far */
	struct buf last;   /* the last untagged response, without its literals */
	struct buf tagged; /* empty until it came */
	struct str tag;	   /* "t1 "; empty: the greeting is awaited */
};

static int fd = -1;
static char *block;

static void
complain(const char *what)
{
	(void)fprintf(stderr, "bench_talk: %s\n", what);
	exit(1);
}

static int64_t
cpu_us(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static void
count(struct answer *a, struct str line)
{
	size_t at = 2;

	while (at < line.n && ascii_is_digit(line.p[at]))
		at++;
	struct str name = str_from(line, at);

	a->fetches += at > 2 && str_starts(name, STR(" FETCH "));
	a->expunges += at > 2 && str_starts(name, STR(" EXPUNGE"));
}

/* How long the literal is that a line ends with; 0: none. */
static uint64_t
literal_of(struct str line)
{
	uint64_t n = 0;

	if (line.n < 3 || line.p[line.n - 1] != '}')
		return 0;
	size_t open = str_rchr(line, '{');

	if (open >= line.n ||
		str_to_u64(str_sub(line, open + 1, line.n - open - 2), UINT32_MAX, &n) != ERR_OK)
		return 0;
	return n;
}

/* One line without its end. */
static void
see_line(struct answer *a, struct str line)
{
	if (line.n != 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (a->continued) {
		buf_add(&a->last, line);
	} else if (a->tag.n == 0 || str_starts(line, a->tag)) {
		buf_add(&a->tagged, str_from(line, a->tag.n));
	} else {
		count(a, line);
		buf_reset(&a->last);
		buf_add(&a->last, line);
	}
	a->literal = literal_of(line);
	a->continued = a->literal != 0;
}

static void
see(struct answer *a, struct str data)
{
	a->octets += data.n;
	while (data.n != 0) {
		if (a->literal != 0) {
			size_t n = a->literal < data.n ? (size_t)a->literal : data.n;

			a->literal -= n;
			data = str_from(data, n);
			continue;
		}
		const char *end = memchr(data.p, '\n', data.n);

		if (end == NULL) {
			buf_add(&a->line, data);
			return;
		}
		size_t n = (size_t)(end - data.p);

		if (a->line.n == 0) {
			see_line(a, str_n(data.p, n));
		} else {
			buf_add(&a->line, str_n(data.p, n));
			see_line(a, buf_str(&a->line));
			buf_reset(&a->line);
		}
		data = str_from(data, n + 1);
	}
}

static uint64_t
numbers_of(struct str s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ascii_is_digit(s.p[i]) && (i == 0 || !ascii_is_digit(s.p[i - 1]));
	return n;
}

static void
tell(const struct answer *a, int64_t us, int64_t cpu)
{
	struct str last = buf_str(&a->last), tagged = buf_str(&a->tagged);

	if (buf_check(&a->last) != ERR_OK || buf_check(&a->line) != ERR_OK)
		complain("a line without end");
	printf("%lld %llu %llu %llu %llu %lld\t%.*s\t%.*s\n", (long long)us,
		(unsigned long long)a->octets, (unsigned long long)a->fetches,
		(unsigned long long)a->expunges, (unsigned long long)numbers_of(last),
		(long long)cpu, STR_FMT(tagged), (int)(last.n < TOLD ? last.n : TOLD), last.p);
	(void)fflush(stdout);
}

static void
exchange(struct answer *a, struct str command)
{
	int64_t cpu = cpu_us(), began = clock_us();

	a->octets = a->fetches = a->expunges = 0;
	buf_reset(&a->last);
	buf_reset(&a->tagged);
	while (command.n != 0) {
		ssize_t n = send(fd, command.p, command.n, MSG_NOSIGNAL);

		if (n <= 0)
			complain("send failed");
		command = str_from(command, (size_t)n);
	}
	while (a->tagged.n == 0) {
		ssize_t n = recv(fd, block, BLOCK, 0);

		if (n <= 0)
			complain("the connection is closed or silent");
		see(a, str_n(block, (size_t)n));
	}
	int64_t us = clock_us() - began;

	tell(a, us, cpu_us() - cpu);
}

static void
connect_to(struct str where)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct timeval wait = { .tv_sec = RECEIVE_SEC };
	struct str host, port;
	uint64_t number;
	int one = 1;

	if (!str_cut(where, ':', &host, &port) || str_to_u64(port, 65535, &number) != ERR_OK)
		complain("usage: bench_talk ADDRESS:PORT");
	char *name = str_dup(host);

	to.sin_port = htons((uint16_t)number);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, name, &to.sin_addr) != 1 ||
		connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		complain("cannot connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	free(name);
}

int
main(int argc, char **argv)
{
	struct answer a = { 0 };
	struct buf command;
	char *line = NULL, tag[24];
	size_t room = 0;
	unsigned tags = 0;

	connect_to(str_of(argc == 2 ? argv[1] : ""));
	block = xmalloc(BLOCK);
	buf_init(&a.line, LINE_MAX_BYTES);
	buf_init(&a.last, LINE_MAX_BYTES);
	buf_init(&a.tagged, LINE_MAX_BYTES);
	buf_init(&command, LINE_MAX_BYTES);
	exchange(&a, STR_EMPTY);
	for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
		if (line[n - 1] == '\n')
			n--;
		(void)snprintf(tag, sizeof tag, "t%u ", ++tags);
		a.tag = str_of(tag);
		buf_reset(&command);
		buf_add(&command, a.tag);
		buf_add(&command, str_n(line, (size_t)n));
		buf_addz(&command, "\r\n");
		exchange(&a, buf_str(&command));
	}
	free(line);
	free(block);
	buf_fini(&a.line);
	buf_fini(&a.last);
	buf_fini(&a.tagged);
	buf_fini(&command);
	return 0;
}
