/* DEFLATE below a stream (RFC 1951, for RFC 4978). */
#include "tests/unit/stream_case.h"

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
		T(test_deflate_both_ways),
		T(test_deflate_files),
		T(test_deflate_bomb),
		T(test_deflate_streams),
		T(test_deflate_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
