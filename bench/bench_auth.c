/* Load generator for the auth service: logins on an auth socket (ours or Dovecot's), lookups on a
 * directory socket, or bare binds in a directory through our bind pool, a number of them always in
 * flight. bench/run starts it.
 *
 *   bench_auth --login USER --password PW SOCKET
 *   bench_auth --map alias --key ADDRESS SOCKET
 *   bench_auth --bind DN --password PW --ca FILE LDAP-URI
 *
 * "{}" in USER, ADDRESS and DN becomes a number below --count. The first --warm questions are not
 * in the figures: with them connections open and caches fill. A failed one counts always. Prints
 * one line, JSON: rate a second, p50 and p99 in ms, failures, our own CPU time. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth-ldap/ldap/pool.h"
#include "auth-ldap/server/proto.h"
#include "core/base/clock.h"
#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "core/event/stream.h"

static struct {
	const char *login, *map, *key, *bind, *password, *ca, *where;
	uint64_t count, flight, total, warm; /* total: with warm */
} opt = { .password = "", .count = 1, .flight = 20, .total = 10000 };

static struct loop *loop;
static struct stream *stream;
static struct ldap_pool *pool;
static struct loop_timer stall;
static uint64_t begun, finished, failures;
static int64_t clock_from_us; /* when the last of the warm ones ended */
static int64_t *begin_us;     /* by number */
static uint32_t *latency_us;
static char last_failure[200];
static bool ready;

static void
pump(void);

static void
fill_in(struct buf *out, const char *pattern, uint64_t number)
{
	struct str s = str_of(pattern);
	size_t at = str_find(s, STR("{}"));
	buf_add(out, str_sub(s, 0, at));
	if (at == s.n)
		return;
	buf_addu(out, number % opt.count);
	buf_add(out, str_from(s, at + 2));
}

static void
over(uint64_t number, bool good, struct str text)
{
	if (number >= opt.total || begin_us[number] == 0)
		return;
	latency_us[finished++] = (uint32_t)(clock_us() - begin_us[number]);
	begin_us[number] = 0;
	if (!good) {
		failures++;
		(void)snprintf(last_failure, sizeof last_failure, "%.*s",
			(int)(text.n < 150 ? text.n : 150), text.p);
	}
	loop_timer_start(&stall, 60000);
	if (finished == opt.warm)
		clock_from_us = clock_us();
	if (finished == opt.total)
		loop_stop(loop);
	else
		pump();
}

static void
say_login(uint64_t number)
{
	struct buf plain, encoded;
	buf_init(&plain, 4096);
	buf_init(&encoded, 8192);
	buf_addc(&plain, '\0');
	fill_in(&plain, opt.login, number);
	buf_addc(&plain, '\0');
	buf_addz(&plain, opt.password);
	base64_encode(&encoded, buf_str(&plain));
	stream_writef(stream, "AUTH\t%llu\tPLAIN\tservice=smtp\tnologin\tsecured\tresp=%.*s\n",
		(unsigned long long)number + 1, STR_FMT(buf_str(&encoded)));
	buf_fini(&plain);
	buf_fini(&encoded);
}

static void
say_lookup(uint64_t number)
{
	struct buf key;
	buf_init(&key, 4096);
	fill_in(&key, opt.key, number);
	stream_writef(stream, "%zu:%s %.*s,", strlen(opt.map) + 1 + key.n, opt.map,
		STR_FMT(buf_str(&key)));
	buf_fini(&key);
}

static void
on_bound(void *arg, const struct ldap_op *op)
{
	over((uint64_t)(uintptr_t)arg, op->err == ERR_OK, str_of(op->text));
}

static void
say_bind(uint64_t number)
{
	struct buf dn;
	buf_init(&dn, 4096);
	fill_in(&dn, opt.bind, number);
	(void)ldap_pool_bind(
		pool, buf_str(&dn), str_of(opt.password), on_bound, (void *)(uintptr_t)number);
	buf_fini(&dn);
}

static void
pump(void)
{
	while (ready && begun < opt.total && begun - finished < opt.flight) {
		begin_us[begun] = clock_us();
		if (opt.login != NULL)
			say_login(begun++);
		else if (opt.map != NULL)
			say_lookup(begun++);
		else
			say_bind(begun++);
	}
}

static void
auth_line(struct str line)
{
	struct str verb, rest, number;
	uint64_t n;
	(void)str_cut(line, '\t', &verb, &rest);
	if (str_eq(verb, STR("DONE"))) {
		stream_writef(stream, "VERSION\t1\t2\nCPID\t%d\n", (int)getpid());
		ready = true;
		pump();
		return;
	}
	(void)str_cut(rest, '\t', &number, &rest);
	bool ok = str_eq(verb, STR("OK"));
	if ((ok || str_eq(verb, STR("FAIL"))) && str_to_u64(number, UINT64_MAX, &n) == ERR_OK)
		over(n - 1, ok, line);
}

static void
on_read(struct stream *st, void *arg UNUSED)
{
	struct buf *in = stream_in(st);
	struct str payload;
	size_t size;
	while (opt.map != NULL &&
		netstring_parse(buf_str(in), SOCKETMAP_LARGE_MAX, &payload, &size) == ERR_OK) {
		over(finished, str_starts(payload, STR("OK ")), payload); /* in order */
		buf_consume(in, size);
	}
	while (opt.login != NULL && in->n > 0) {
		size_t n = str_chr(buf_str(in), '\n');
		if (n == in->n)
			return;
		auth_line(str_sub(buf_str(in), 0, n));
		buf_consume(in, n + 1);
	}
}

static void
on_end(struct stream *st UNUSED, void *arg UNUSED, enum err why)
{
	(void)fprintf(stderr, "bench_auth: the connection ended: %s\n", err_name(why));
	exit(1);
}

static void
on_stall(struct loop_timer *t UNUSED)
{
	(void)fprintf(stderr, "bench_auth: no answer for 60 s\n");
	exit(1);
}

static void
open_stream(void)
{
	static const struct stream_ops ops = { .on_read = on_read, .on_end = on_end };
	const struct stream_options o = { .in_max_bytes = 8 * 1024 * 1024 };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", opt.where);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
		(void)fprintf(stderr, "bench_auth: %s: %s\n", opt.where, strerror(errno));
		exit(1);
	}
	stream = stream_new(loop, fd, &ops, NULL, &o);
	ready = opt.map != NULL;
}

static void
open_pool(void)
{
	static struct buf ca;
	const struct str uri = str_of(opt.where);
	const char *text = "";
	buf_init(&ca, 1024 * 1024);
	FILE *f = opt.ca != NULL ? fopen(opt.ca, "r") : NULL;
	for (int c; f != NULL && (c = getc(f)) != EOF;)
		buf_addc(&ca, (char)c);
	if (f != NULL)
		(void)fclose(f);
	const struct ldap_pool_options o = { .name = STR("bench"),
		.uris = &uri,
		.uris_count = 1,
		.starttls = opt.ca != NULL,
		.verify = true,
		.ca_pem = buf_str(&ca),
		.tls_min_version = 12,
		.connect_ms = 1000,
		.setup_ms = 5000,
		.search_ms = 5000,
		.bind_ms = 30000,
		.binds_min = 2,
		.binds_max = 64,
		.bind_idle_ms = 60000,
		.bind_queue_max = 100000 };
	ldap_conn_setup();
	if (ldap_pool_new(loop, &o, &pool, &text) != ERR_OK) {
		(void)fprintf(stderr, "bench_auth: %s: %s\n", opt.where, text);
		exit(1);
	}
	ready = true;
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static _Noreturn void
usage(void)
{
	(void)fprintf(stderr, "bench_auth: see the head of bench/bench_auth.c\n");
	exit(2);
}

static double
cpu_seconds(void)
{
	struct rusage r;
	(void)getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void
report(void)
{
	double seconds = (double)(clock_us() - clock_from_us) / 1e6;
	uint32_t *counted = latency_us + opt.warm;
	uint64_t n = finished - opt.warm;
	qsort(counted, n, sizeof *counted, by_value);
	(void)printf("{\"per_second\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"failures\": "
		     "%llu, \"client_cpu_seconds\": %.3f}\n",
		(double)n / seconds, counted[n / 2] / 1e3, counted[n * 99 / 100] / 1e3,
		(unsigned long long)failures, cpu_seconds());
	if (failures > 0)
		(void)fprintf(stderr, "bench_auth: %llu failed, the last: %s\n",
			(unsigned long long)failures, last_failure);
}

static void
parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "login", 1, NULL, 'l' },
		{ "map", 1, NULL, 'm' },
		{ "key", 1, NULL, 'k' },
		{ "bind", 1, NULL, 'b' },
		{ "password", 1, NULL, 'p' },
		{ "ca", 1, NULL, 'a' },
		{ "count", 1, NULL, 'c' },
		{ "in-flight", 1, NULL, 'f' },
		{ "total", 1, NULL, 'n' },
		{ "warm", 1, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	enum err e = ERR_OK;
	for (int c; e == ERR_OK && (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (c) {
		case 'l':
			opt.login = optarg;
			break;
		case 'm':
			opt.map = optarg;
			break;
		case 'k':
			opt.key = optarg;
			break;
		case 'b':
			opt.bind = optarg;
			break;
		case 'p':
			opt.password = optarg;
			break;
		case 'a':
			opt.ca = optarg;
			break;
		case 'c':
			e = str_to_u64(str_of(optarg), 1000000, &opt.count);
			break;
		case 'f':
			e = str_to_u64(str_of(optarg), 100000, &opt.flight);
			break;
		case 'n':
			e = str_to_u64(str_of(optarg), 10000000, &opt.total);
			break;
		case 'w':
			e = str_to_u64(str_of(optarg), 10000000, &opt.warm);
			break;
		default:
			e = ERR_SYNTAX;
		}
	if (e != ERR_OK)
		usage();
	int kinds = (opt.login != NULL) + (opt.map != NULL && opt.key != NULL) + (opt.bind != NULL);
	if (optind + 1 != argc || kinds != 1 || opt.count == 0 || opt.flight == 0 || opt.total == 0)
		usage();
	opt.where = argv[optind];
	opt.total += opt.warm;
}

int
main(int argc, char **argv)
{
	parse(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	loop = loop_new();
	begin_us = xcalloc(opt.total, sizeof *begin_us);
	latency_us = xcalloc(opt.total, sizeof *latency_us);
	loop_timer_init(&stall, loop, on_stall, NULL);
	loop_timer_start(&stall, 60000);
	if (opt.bind != NULL)
		open_pool();
	else
		open_stream();
	clock_from_us = clock_us();
	pump();
	loop_run(loop);
	report();
	return failures > 0 ? 1 : 0;
}
