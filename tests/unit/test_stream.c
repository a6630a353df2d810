/* core/event/stream: plain and TLS, over socketpairs, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "core/event/deflate.h"
#include "core/event/stream.h"
#include "tests/unit/tls_pem.h"

/* One end: what its callbacks saw. */
struct end {
	struct stream *s;
	struct buf got;
	unsigned reads, drains, empties, tls, eofs, resets, corrupt;
	bool keep; /* do not consume */
	bool free_on_read;
	size_t stop_at; /* stop the loop when got holds as much */
	struct loop *loop;
};

static struct loop *loop;
static struct loop_timer guard;
static bool timed_out;

static void
on_guard(struct loop_timer *t)
{
	timed_out = true;
	loop_stop(t->loop);
}

static int
setup(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	loop = loop_new();
	timed_out = false;
	loop_timer_init(&guard, loop, on_guard, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	loop_timer_stop(&guard);
	loop_free(loop);
	return 0;
}

/* Runs until a callback stops the loop; fails after 5 s. */
static void
run(void)
{
	loop_timer_start(&guard, 5000);
	loop_run(loop);
	assert_false(timed_out);
}

/* Runs for a moment: to see that something does not happen. */
static void
run_for(int64_t ms)
{
	loop_timer_start(&guard, ms);
	loop_run(loop);
	timed_out = false;
}

static void
on_read(struct stream *s, void *arg)
{
	struct end *e = arg;
	struct buf *in = stream_in(s);

	e->reads++;
	if (e->free_on_read) {
		stream_free(s);
		e->s = NULL;
		loop_stop(loop);
		return;
	}
	if (e->keep)
		return;
	buf_add(&e->got, buf_str(in));
	buf_consume(in, in->n);
	if (e->stop_at != 0 && e->got.n >= e->stop_at)
		loop_stop(loop);
}

static void
on_drain(struct stream *s, void *arg)
{
	struct end *e = arg;

	(void)s;
	e->drains++;
}

static void
on_empty(struct stream *s, void *arg)
{
	struct end *e = arg;

	(void)s;
	e->empties++;
}

static void
on_tls(struct stream *s, void *arg)
{
	struct end *e = arg;

	(void)s;
	e->tls++;
}

static void
on_end(struct stream *s, void *arg, enum err why)
{
	struct end *e = arg;

	(void)s;
	if (why == ERR_EOF)
		e->eofs++;
	else if (why == ERR_CORRUPT)
		e->corrupt++;
	else
		e->resets++;
	loop_stop(loop);
}

static const struct stream_ops ops = { on_read, on_drain, on_empty, on_tls, on_end };

static void
end_init(struct end *e, int fd, size_t in_max)
{
	*e = (struct end){ .loop = loop };
	buf_init(&e->got, 64 * 1024 * 1024);
	if (fd >= 0)
		e->s = stream_new(
			loop, fd, &ops, e, &(struct stream_options){ .in_max_bytes = in_max });
}

static void
end_fini(struct end *e)
{
	stream_free(e->s);
	buf_fini(&e->got);
}

static void
pair(int fds[2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static struct tls_ctx *
server_ctx(void)
{
	struct tls_ctx *c = NULL;
	const char *why = "";

	assert_int_equal(tls_ctx_new_server(&(struct tls_server_options){ .certificate_pem = STR(
										  TEST_CERTIFICATE),
						    .key_pem = STR(TEST_KEY),
						    .min_version = 12 },
				 &c, &why),
		ERR_OK);
	return c;
}

static struct tls_ctx *
client_ctx(void)
{
	struct tls_ctx *c = NULL;
	const char *why = "";

	assert_int_equal(
		tls_ctx_new_client(&(struct tls_client_options){ .ca_pem = STR(TEST_CERTIFICATE),
					   .min_version = 12 },
			&c, &why),
		ERR_OK);
	return c;
}

/* Two ends, in TLS when asked for. */
static void
connect_ends(struct end *a, struct end *b, bool tls, size_t in_max)
{
	int fds[2];

	pair(fds);
	end_init(a, fds[0], in_max);
	end_init(b, fds[1], in_max);
	if (tls) {
		struct tls_ctx *sc = server_ctx(), *cc = client_ctx();
		stream_start_tls_server(a->s, sc);
		stream_start_tls_client(b->s, cc, STR("localhost"));
		tls_ctx_unref(sc);
		tls_ctx_unref(cc);
	}
}

/* Until both are done with the hand-shake. */
static void
shake_hands(const struct end *a, const struct end *b, bool tls)
{
	for (int i = 0; i < 250 && tls && (a->tls == 0 || b->tls == 0); i++)
		run_for(20);
	assert_true(!tls || (a->tls == 1 && b->tls == 1));
}

static char *
pattern(size_t n)
{
	char *p = xmalloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

static void
check_transfer(bool tls)
{
	static const size_t sizes[] = { 1, 100, 4096, 16384, 16385, 300000, 5000000 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct end a, b;
		char *data = pattern(sizes[i]);
		size_t cut = sizes[i] / 3;
		connect_ends(&a, &b, tls, 65536);
		b.stop_at = sizes[i];
		stream_write(a.s, str_n(data, cut));
		stream_write(a.s, str_n(data + cut, sizes[i] - cut));
		assert_int_equal(stream_queued(a.s), sizes[i]);
		run();
		assert_int_equal(b.got.n, sizes[i]);
		assert_memory_equal(b.got.mem + b.got.head, data, sizes[i]);
		run_for(5);
		assert_int_equal(a.empties, 1);
		assert_int_equal(a.drains, sizes[i] >= 65536 ? 1 : 0);
		assert_int_equal(a.tls, tls ? 1 : 0);
		assert_int_equal(stream_bytes_out(a.s), sizes[i]);
		assert_int_equal(stream_bytes_in(b.s), sizes[i]);
		free(data);
		end_fini(&a);
		end_fini(&b);
	}
}

static void
test_transfer_plain(void **state)
{
	(void)state;
	check_transfer(false);
}

static void
test_transfer_tls(void **state)
{
	(void)state;
	check_transfer(true);
}

/* Bytes that come one at a time reach the owner in order; many small writes leave as one. */
static void
test_byte_feed(void **state)
{
	struct end a;
	int fds[2];
	char back[64];

	(void)state;
	pair(fds);
	end_init(&a, fds[0], 100);
	for (const char *p = "a001 NOOP\r\n"; *p != '\0'; p++) {
		assert_int_equal(write(fds[1], p, 1), 1);
		a.stop_at = a.got.n + 1;
		run();
	}
	assert_int_equal(a.reads, 11);
	assert_true(str_eq(buf_str(&a.got), STR("a001 NOOP\r\n")));
	for (int i = 0; i < 5; i++)
		stream_writef(a.s, "%d,", i);
	assert_int_equal(read(fds[1], back, sizeof back), -1); /* not before the loop's turn */
	run_for(5);
	assert_int_equal(read(fds[1], back, sizeof back), 10);
	assert_memory_equal(back, "0,1,2,3,4,", 10);
	(void)close(fds[1]);
	end_fini(&a);
}

/* Reading stops while in_max bytes wait, and goes on when the owner consumed. */
static void
check_input_limit(bool tls)
{
	struct end a, b;
	char *data = pattern(300000);

	connect_ends(&a, &b, tls, 4096);
	b.keep = true;
	shake_hands(&a, &b, tls);
	stream_write(a.s, str_n(data, 300000));
	for (int i = 0; i < 100 && stream_in(b.s)->n < 4096; i++)
		run_for(50);
	assert_int_equal(stream_in(b.s)->n, 4096);
	assert_true(stream_queued(a.s) > 0 || tls);
	unsigned reads = b.reads;

	run_for(20);
	assert_int_equal(b.reads, reads);
	b.keep = false;
	b.stop_at = 300000;
	on_read(b.s, &b); /* the owner consumes later, outside a callback */
	run();
	assert_int_equal(b.got.n, 300000);
	assert_memory_equal(b.got.mem + b.got.head, data, 300000);
	free(data);
	end_fini(&a);
	end_fini(&b);
}

static void
test_input_limit(void **state)
{
	(void)state;
	check_input_limit(false);
	check_input_limit(true);
}

static void
test_set_reading(void **state)
{
	struct end a, b;

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		connect_ends(&a, &b, tls != 0, 4096);
		run_for(20);
		stream_set_reading(b.s, false);
		stream_write(a.s, STR("hello"));
		run_for(20);
		assert_int_equal(b.got.n, 0);
		stream_set_reading(b.s, true);
		b.stop_at = 5;
		run();
		assert_true(str_eq(buf_str(&b.got), STR("hello")));
		end_fini(&a);
		end_fini(&b);
	}
}

/* A peer that reads nothing fills the queue up to its mark, then to its maximum. */
static void
test_output_limit(void **state)
{
	struct end a;
	int fds[2];
	char *data = pattern(65536);
	size_t n = 0;

	(void)state;
	pair(fds);
	end_init(&a, -1, 0);
	a.s = stream_new(loop, fds[0], &ops, &a,
		&(struct stream_options){ .in_max_bytes = 100, .out_max_bytes = 1024 * 1024 });
	while (!stream_full(a.s)) {
		stream_write(a.s, str_n(data, 65536));
		n += 65536;
		run_for(2);
	}
	assert_true(n < 1024 * 1024);
	assert_int_equal(a.drains, n > 65536 ? a.drains : 0);
	for (int i = 0; i < 20; i++)
		stream_write(a.s, str_n(data, 65536));
	run();
	assert_int_equal(a.resets, 1);
	assert_int_equal(stream_queued(a.s), 0);
	run_for(10);
	assert_int_equal(a.resets, 1);
	(void)close(fds[1]);
	free(data);
	end_fini(&a);
}

static int
temporary_file(const char *data, size_t n)
{
	char path[] = "/tmp/postroom-test-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	(void)unlink(path);
	assert_int_equal(write(fd, data, n), (ssize_t)n);
	return fd;
}

/* File ranges between text, short and long, and one that promises too much. */
static void
check_files(bool tls)
{
	struct end a, b;
	char *data = pattern(500000);
	struct stream_file *f = stream_file_new(temporary_file(data, 500000));
	struct buf want;

	connect_ends(&a, &b, tls, 65536);
	buf_init(&want, 2000000);
	stream_write(a.s, STR("* 1 FETCH {400000}\r\n"));
	stream_write_file(a.s, f, 100000, 400000);
	stream_write(a.s, STR(")\r\n"));
	stream_write_file(a.s, f, 5, 10);
	stream_write_file(a.s, f, 7, 0);
	stream_write(a.s, STR("end\r\n"));
	stream_file_unref(f);
	buf_addz(&want, "* 1 FETCH {400000}\r\n");
	buf_add(&want, str_n(data + 100000, 400000));
	buf_addz(&want, ")\r\n");
	buf_add(&want, str_n(data + 5, 10));
	buf_addz(&want, "end\r\n");
	assert_int_equal(stream_queued(a.s), want.n);
	b.stop_at = want.n;
	run();
	assert_true(str_eq(buf_str(&b.got), buf_str(&want)));
	f = stream_file_new(temporary_file(data, 1000));
	stream_write_file(a.s, f, 500, 100000);
	stream_file_unref(f);
	run();
	assert_int_equal(a.resets, 1);
	assert_string_equal(stream_error(a.s), "a file is shorter than promised");
	buf_fini(&want);
	free(data);
	end_fini(&a);
	end_fini(&b);
}

static void
test_files(void **state)
{
	(void)state;
	check_files(false);
	check_files(true);
}

/* STARTTLS: the reply leaves in clear, bytes injected behind the command are thrown away whether
 * they lie in our buffer or still in the kernel, and the queue behind the switch is encrypted. */
static void
check_starttls(bool injected_late)
{
	struct end a, b;
	struct tls_ctx *sc = server_ctx(), *cc = client_ctx();

	connect_ends(&a, &b, false, 4096);
	a.stop_at = 10;
	stream_write(b.s, injected_late ? STR("STARTTLS\r\n") : STR("STARTTLS\r\nEVIL\r\n"));
	run();
	if (injected_late)
		assert_int_equal(write(stream_fd(b.s), "EVIL\r\n", 6), 6);
	buf_reset(&a.got);
	a.stop_at = 0;
	b.stop_at = 4;
	stream_write(a.s, STR("OK\r\n"));
	stream_start_tls_server(a.s, sc);
	stream_write(a.s, STR("secret"));
	run();
	assert_true(str_eq(buf_str(&b.got), STR("OK\r\n")));
	buf_reset(&b.got);
	stream_start_tls_client(b.s, cc, STR("localhost"));
	stream_write(b.s, STR("GOOD\r\n"));
	a.stop_at = 6;
	run();
	run_for(10);
	assert_true(str_eq(buf_str(&a.got), STR("GOOD\r\n")));
	assert_true(str_eq(buf_str(&b.got), STR("secret")));
	assert_non_null(stream_tls(a.s));
	assert_int_equal(a.tls + b.tls, 2);
	tls_ctx_unref(sc);
	tls_ctx_unref(cc);
	end_fini(&a);
	end_fini(&b);
}

static void
test_starttls_injection(void **state)
{
	(void)state;
	check_starttls(false);
	check_starttls(true);
}

/* The client refuses a certificate for another name, and an unknown one. */
static void
test_verification(void **state)
{
	static const struct {
		const char *host;
		bool trusted, insecure, good;
	} table[] = {
		{ "localhost", true, false, true },
		{ "127.0.0.1", true, false, true },
		{ "example.org", true, false, false },
		{ "127.0.0.2", true, false, false },
		{ "", true, false, false },
		{ "localhost", false, false, false },
		{ "example.org", false, true, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct end a, b;
		struct tls_ctx *sc = server_ctx(), *cc = NULL;
		struct tls_client_options o = { .min_version = 12, .insecure = table[i].insecure };
		const char *why = "";
		if (table[i].trusted)
			o.ca_pem = STR(TEST_CERTIFICATE);
		assert_int_equal(tls_ctx_new_client(&o, &cc, &why), ERR_OK);
		connect_ends(&a, &b, false, 4096);
		stream_start_tls_server(a.s, sc);
		stream_start_tls_client(b.s, cc, str_of(table[i].host));
		stream_write(a.s, STR("x"));
		b.stop_at = 1;
		run();
		if (!table[i].good)
			run_for(10);
		assert_int_equal(b.got.n, table[i].good ? 1 : 0);
		assert_int_equal(b.tls, table[i].good ? 1 : 0);
		assert_int_equal(b.resets, table[i].good ? 0 : 1);
		if (!table[i].good)
			assert_true(stream_error(b.s)[0] != '\0');
		tls_ctx_unref(sc);
		tls_ctx_unref(cc);
		end_fini(&a);
		end_fini(&b);
	}
}

/* min_version 13 on one side meets a peer of today; the names for the log are there. */
static void
test_versions(void **state)
{
	struct end a, b;
	struct tls_ctx *sc = NULL, *cc = client_ctx();
	const char *why = "";

	(void)state;
	assert_int_equal(tls_ctx_new_server(&(struct tls_server_options){ .certificate_pem = STR(
										  TEST_CERTIFICATE),
						    .key_pem = STR(TEST_KEY),
						    .min_version = 13 },
				 &sc, &why),
		ERR_OK);
	connect_ends(&a, &b, false, 4096);
	stream_start_tls_server(a.s, sc);
	stream_start_tls_client(b.s, cc, STR("localhost"));
	assert_null(stream_tls(a.s));
	stream_write(a.s, STR("x"));
	b.stop_at = 1;
	run();
	assert_string_equal(tls_version(stream_tls(b.s)), "TLSv1.3");
	assert_non_null(strstr(tls_description(stream_tls(b.s)), "TLSv1.3 TLS_"));
	/* openssl x509 -fingerprint -sha256: it is signed with SHA-256 */
	static const unsigned char want[32] = "\x8a\xa2\x33\xe3\x92\xce\x99\x80\x02\x3b\xa2\x57"
					      "\xf7\x66\x1b\xf4\xbe\x30\x39\x5a\x4f\x74\x54\xbe"
					      "\x75\x92\xe7\x15\xb2\x03\xe0\x50";
	unsigned char hash[64];
	size_t n = 0;
	assert_int_equal(tls_server_end_point(stream_tls(b.s), hash, sizeof hash, &n), ERR_OK);
	assert_int_equal(n, 32);
	assert_memory_equal(hash, want, 32);
	(void)memset(hash, 0, sizeof hash);
	assert_int_equal(tls_server_end_point(stream_tls(a.s), hash, sizeof hash, &n), ERR_OK);
	assert_memory_equal(hash, want, 32);
	assert_int_equal(tls_server_end_point(stream_tls(b.s), hash, 31, &n), ERR_LIMIT);
	tls_ctx_unref(sc);
	tls_ctx_unref(cc);
	end_fini(&a);
	end_fini(&b);
}

static void
test_bad_certificates(void **state)
{
	static const struct {
		const char *cert, *key;
	} table[] = {
		{ "", TEST_KEY },
		{ TEST_CERTIFICATE, "" },
		{ "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", TEST_KEY },
		{ TEST_KEY, TEST_CERTIFICATE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct tls_ctx *c = NULL;
		const char *why = "";
		assert_int_equal(
			tls_ctx_new_server(&(struct tls_server_options){ .certificate_pem = str_of(
										 table[i].cert),
						   .key_pem = str_of(table[i].key) },
				&c, &why),
			ERR_SYNTAX);
		assert_true(why[0] != '\0');
		assert_null(c);
	}
}

/* Garbage instead of a hand-shake, and a peer that leaves in the middle of one. */
static void
test_bad_handshake(void **state)
{
	(void)state;
	for (int leave = 0; leave < 2; leave++) {
		struct end a;
		struct tls_ctx *sc = server_ctx();
		int fds[2];
		pair(fds);
		end_init(&a, fds[0], 4096);
		stream_start_tls_server(a.s, sc);
		assert_int_equal(write(fds[1], "\x16\x03\x01", 3), 3);
		run_for(5);
		if (leave)
			(void)shutdown(fds[1], SHUT_WR);
		else
			assert_int_equal(write(fds[1], "GET / HTTP/1.0\r\n\r\n", 18), 18);
		run();
		assert_int_equal(a.resets, 1);
		assert_int_equal(a.tls, 0);
		assert_true(stream_error(a.s)[0] != '\0');
		tls_ctx_unref(sc);
		(void)close(fds[1]);
		end_fini(&a);
	}
}

/* The peer ends its half: its last bytes come first, the answer still leaves. */
static void
check_half_close(bool tls)
{
	struct end a, b;

	connect_ends(&a, &b, tls, 4096);
	stream_write(b.s, STR("LOGOUT\r\n"));
	stream_shutdown(b.s);
	run();
	assert_int_equal(a.eofs, 1);
	assert_int_equal(b.eofs, 0);
	assert_true(str_eq(buf_str(&a.got), STR("LOGOUT\r\n")));
	b.stop_at = 5;
	stream_write(a.s, STR("BYE\r\n"));
	run();
	assert_true(str_eq(buf_str(&b.got), STR("BYE\r\n")));
	stream_close(a.s, 1000);
	a.s = NULL;
	run();
	assert_int_equal(b.eofs, 1);
	assert_int_equal(a.eofs + a.resets, 1);
	end_fini(&a);
	end_fini(&b);
}

static void
test_half_close(void **state)
{
	(void)state;
	check_half_close(false);
	check_half_close(true);
}

/* An output that dies after the peer's EOF is told as well. */
static void
test_reset(void **state)
{
	struct end a;
	int fds[2];

	(void)state;
	pair(fds);
	end_init(&a, fds[0], 4096);
	assert_int_equal(write(fds[1], "bye", 3), 3);
	(void)close(fds[1]);
	run();
	assert_int_equal(a.eofs, 1);
	assert_int_equal(a.resets, 0);
	assert_true(str_eq(buf_str(&a.got), STR("bye")));
	stream_write(a.s, STR("anyone?"));
	run();
	assert_int_equal(a.eofs, 1);
	assert_int_equal(a.resets, 1);
	stream_write(a.s, STR("more"));
	run_for(5);
	assert_int_equal(a.resets, 1);
	end_fini(&a);
}

/* stream_close sends what is queued, then ends, though input lies unread. */
static void
test_close_sends(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct end a, b;
		char *data = pattern(1000000);
		connect_ends(&a, &b, tls != 0, 65536);
		shake_hands(&a, &b, tls != 0);
		stream_write(b.s, STR("unread"));
		run_for(20);
		stream_write(a.s, str_n(data, 1000000));
		stream_close(a.s, 5000);
		a.s = NULL;
		run();
		assert_int_equal(b.got.n, 1000000);
		assert_int_equal(b.eofs, 1);
		end_fini(&b); /* our FIN lets the other side go */
		run_for(10);
		end_fini(&a);
		free(data);
	}
}

/* A peer that never reads cannot hold a closed stream longer than the linger time. */
static void
test_close_linger(void **state)
{
	struct end a;
	int fds[2];
	char *data = pattern(1000000), small[10];

	(void)state;
	pair(fds);
	end_init(&a, fds[0], 100);
	stream_write(a.s, str_n(data, 1000000));
	stream_close(a.s, 30);
	a.s = NULL;
	run_for(80);
	while (read(fds[1], data, 1000000) > 0)
		continue;
	assert_int_equal(read(fds[1], small, sizeof small), 0);
	(void)close(fds[1]);
	free(data);
	end_fini(&a);
}

static void
test_free_in_callback(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct end a, b;
		connect_ends(&a, &b, tls != 0, 4096);
		b.free_on_read = true;
		stream_write(a.s, STR("go"));
		run();
		assert_null(b.s);
		end_fini(&a);
		end_fini(&b);
	}
}

/* read_again calls back although nothing new came, also after the peer's EOF. */
static void
test_read_again(void **state)
{
	struct end a;
	int fds[2];

	(void)state;
	pair(fds);
	end_init(&a, fds[0], 4096);
	a.keep = true;
	assert_int_equal(write(fds[1], "two commands", 12), 12);
	run_for(5);
	assert_int_equal(a.reads, 1);
	stream_read_again(a.s);
	stream_read_again(a.s);
	assert_int_equal(a.reads, 1);
	run_for(5);
	assert_int_equal(a.reads, 2);
	(void)close(fds[1]);
	run();
	assert_int_equal(a.eofs, 1);
	stream_read_again(a.s);
	run_for(5);
	assert_int_equal(a.reads, 3);
	end_fini(&a);
}

/* The descriptor goes to somebody else, who keeps it open: no event of it reaches this loop. */
static void
test_detach(void **state)
{
	struct end a;
	struct buf rest;
	int fds[2], fd, other;

	(void)state;
	pair(fds);
	end_init(&a, fds[0], 4096);
	a.keep = true;
	buf_init(&rest, 4096);
	assert_int_equal(write(fds[1], "unread", 6), 6);
	run_for(5);
	fd = stream_detach(a.s, &rest);
	a.s = NULL;
	assert_int_equal(fd, fds[0]);
	assert_true(str_eq(buf_str(&rest), STR("unread")));
	other = dup(fd);
	(void)close(fd);
	assert_int_equal(write(fds[1], "more", 4), 4);
	run_for(5);
	assert_int_equal(a.reads, 1);
	(void)close(other);
	(void)close(fds[1]);
	buf_fini(&rest);
	end_fini(&a);
}

static void
test_release(void **state)
{
	struct end a;
	int fds[2];

	(void)state;
	pair(fds);
	end_init(&a, fds[0], 65536);
	a.stop_at = 100;
	assert_int_equal(write(fds[1], (char[100]){ 0 }, 100), 100);
	run();
	assert_true(stream_in(a.s)->cap <= 4096);
	stream_release_buffers(a.s);
	assert_int_equal(stream_in(a.s)->cap, 0);
	(void)close(fds[1]);
	end_fini(&a);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- COMPRESS ---- */

/* Words in no order: shrinks, and repeats what lies far back. */
static void
fill_text(struct buf *b, size_t n)
{
	unsigned seed = 7;

	while (b->n < n) {
		seed = seed * 1103515245 + 12345;
		buf_addf(b, "word%u ", seed >> 16 & 4095);
	}
}

static void
test_deflate_both_ways(void **state)
{
	struct end a, b;
	struct buf text;
	int fds[2];

	(void)state;
	pair(fds);
	end_init(&a, fds[0], 100000);
	end_init(&b, fds[1], 100000);
	buf_init(&text, 8 * 1024 * 1024);
	fill_text(&text, 3 * 1024 * 1024);
	stream_set_deflate_rest(30);
	stream_start_deflate(a.s);
	stream_start_deflate(b.s);
	/* three times, with a rest between: what comes later refers to what was before */
	for (size_t i = 1; i <= 3; i++) {
		b.stop_at = text.n * i;
		stream_write(a.s, buf_str(&text));
		run();
		assert_true(str_eq(str_from(buf_str(&b.got), text.n * (i - 1)), buf_str(&text)));
		a.stop_at = a.got.n + 5;
		stream_write(b.s, STR("short"));
		run();
		assert_true(stream_deflate_memory(a.s) > 100000);
		run_for(150);
		assert_true(stream_deflate_memory(a.s) < 2048);
		assert_true(stream_deflate_memory(b.s) < 32 * 1024);
	}
	assert_true(stream_bytes_out(a.s) < text.n * 3 / 2);
	assert_int_equal(stream_bytes_out(a.s), stream_bytes_in(b.s));
	assert_int_equal(stream_queued(a.s), 0);
	buf_fini(&text);
	end_fini(&a);
	end_fini(&b);
}

/* Files and memory, more than the budget of a callback, to a slow reader, then the end. */
static void
test_deflate_files(void **state)
{
	enum { N = 1024 * 1024 };
	struct end a, b;
	int fds[2];
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	for (int i = 0; i < N; i++)
		(void)fputc(i % 251, f);
	(void)fflush(f);
	pair(fds);
	end_init(&a, fds[0], 100000);
	end_init(&b, fds[1], 4096);
	stream_start_deflate(a.s);
	stream_start_deflate(b.s);
	struct stream_file *sf = stream_file_new(dup(fileno(f)));

	stream_write(a.s, STR("head"));
	stream_write_file(a.s, sf, 0, N);
	stream_write(a.s, STR("tail"));
	stream_file_unref(sf);
	stream_close(a.s, 5000);
	a.s = NULL;
	run();
	assert_int_equal(b.eofs, 1);
	assert_int_equal(b.got.n, N + 8);
	assert_int_equal((unsigned char)buf_str(&b.got).p[4 + 1000], 1000 % 251);
	assert_true(str_ends(buf_str(&b.got), STR("tail")));
	(void)fclose(f);
	end_fini(&b);
	/* the closed end goes when the other is gone */
	run_for(50);
	end_fini(&a);
}

/* What stands for much costs what the owner has room for. */
static void
test_deflate_bomb(void **state)
{
	enum { BOMB = 64 * 1024 * 1024, PIECE = 64 * 1024 };
	struct deflate *d = deflate_new();
	struct end b;
	struct buf wire;
	char *zeros = xcalloc(1, PIECE);
	int fds[2];

	(void)state;
	pair(fds);
	end_init(&b, fds[1], 10000);
	b.keep = true;
	stream_start_deflate(b.s);
	buf_init(&wire, DEFLATE_OUT_MAX * 4);
	for (size_t n = 0; n < BOMB; n += PIECE)
		deflate_add(d, str_n(zeros, PIECE), n + PIECE == BOMB, &wire);
	assert_true(wire.n < BOMB / 100);
	size_t sent = 0, most = 0, taken = 0;

	while (taken < BOMB) {
		ssize_t n = send(fds[0], buf_str(&wire).p + sent, wire.n - sent,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		run_for(taken == 0 ? 50 : 0);
		struct buf *in = stream_in(b.s);

		most = in->n > most ? in->n : most;
		taken += in->n;
		buf_consume(in, in->n);
		if (taken > 4 * 1024 * 1024)
			break;
	}
	assert_true(most <= 10000);
	assert_true(stream_deflate_memory(b.s) < 128 * 1024);
	assert_int_equal(b.resets, 0);
	free(zeros);
	buf_fini(&wire);
	deflate_free(d);
	(void)close(fds[0]);
	end_fini(&b);
}

/* Streams that end, an empty one among them, and one that goes on. */
static void
test_deflate_streams(void **state)
{
	static const char wire[] = "\x01\x03\x00\xfc\xff"
				   "abc\x03\x00\x01\x02\x00\xfd\xff"
				   "de\x00\x01\x00\xfe\xff"
				   "f";
	struct end b;
	int fds[2];

	(void)state;
	for (size_t cut = 1; cut < sizeof wire; cut++) {
		pair(fds);
		end_init(&b, fds[1], 10000);
		stream_start_deflate(b.s);
		for (size_t at = 0; at < sizeof wire - 1; at += cut) {
			size_t n = sizeof wire - 1 - at < cut ? sizeof wire - 1 - at : cut;

			assert_int_equal(send(fds[0], wire + at, n, 0), (ssize_t)n);
			run_for(2);
		}
		assert_true(str_eq(buf_str(&b.got), STR("abcdef")));
		(void)close(fds[0]);
		end_fini(&b);
	}
}

static void
test_deflate_nonsense(void **state)
{
	struct end b;
	int fds[2];

	(void)state;
	pair(fds);
	end_init(&b, fds[1], 10000);
	stream_start_deflate(b.s);
	assert_int_equal(send(fds[0], "\xff\xff\xff\xff", 4, 0), 4);
	run();
	assert_int_equal(b.corrupt, 1);
	assert_string_equal(stream_error(b.s), "bad compressed data");
	(void)close(fds[0]);
	end_fini(&b);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_transfer_plain),
		T(test_transfer_tls),
		T(test_byte_feed),
		T(test_input_limit),
		T(test_set_reading),
		T(test_output_limit),
		T(test_files),
		T(test_starttls_injection),
		T(test_verification),
		T(test_versions),
		T(test_bad_certificates),
		T(test_bad_handshake),
		T(test_half_close),
		T(test_reset),
		T(test_close_sends),
		T(test_close_linger),
		T(test_free_in_callback),
		T(test_read_again),
		T(test_detach),
		T(test_release),
		cmocka_unit_test_setup_teardown(test_deflate_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deflate_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deflate_bomb, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deflate_streams, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deflate_nonsense, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
