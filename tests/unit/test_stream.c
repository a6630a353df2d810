/* Streams: bytes, limits, TLS and ends. */
#include "tests/unit/stream_case.h"

#include <linux/tcp.h>
#include <netinet/in.h>

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

static void
tcp_pair(int fds[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	int on = 1;
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(l >= 0);
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&a, sizeof a), 0);
	fds[0] = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fds[0] >= 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
	(void)close(l);
}

static struct tcp_info
tcp_info(int fd)
{
	struct tcp_info i;
	socklen_t n = sizeof i;

	memset(&i, 0, sizeof i);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &n), 0);
	return i;
}

/* The last words, close_notify and FIN are one packet. */
static void
test_close_in_one(void **state)
{
	struct end a, b;
	int fds[2];

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		tcp_pair(fds);
		end_init(&a, fds[0], 4096);
		end_init(&b, fds[1], 4096);
		if (tls != 0) {
			struct tls_ctx *sc = server_ctx(), *cc = client_ctx();
			stream_start_tls_server(a.s, sc);
			stream_start_tls_client(b.s, cc, STR("localhost"));
			tls_ctx_unref(sc);
			tls_ctx_unref(cc);
		}
		shake_hands(&a, &b, tls != 0);
		run_for(20); /* what follows a hand-shake is behind us */
		struct tcp_info before = tcp_info(fds[1]);

		stream_write(a.s, STR("* BYE\r\n"));
		stream_write(a.s, STR("a OK\r\n"));
		stream_close(a.s, 30000);
		a.s = NULL;
		run(); /* to b's end */
		struct tcp_info after = tcp_info(fds[1]);

		assert_true(str_eq(buf_str(&b.got), STR("* BYE\r\na OK\r\n")));
		assert_int_equal(b.eofs, 1);
		assert_int_equal(after.tcpi_data_segs_in - before.tcpi_data_segs_in, 1);
		/* and no other; with TLS the hand-shake may still be owed an acknowledgement */
		if (tls == 0)
			assert_int_equal(after.tcpi_segs_in - before.tcpi_segs_in, 1);
		end_fini(&a);
		end_fini(&b);
		run_for(5);
	}
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
		T(test_close_in_one),
		T(test_close_sends),
		T(test_close_linger),
		T(test_free_in_callback),
		T(test_read_again),
		T(test_detach),
		T(test_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
