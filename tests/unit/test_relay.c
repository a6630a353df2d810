/* The relay between a client's stream and imap's end of a socketpair: whole bytes both ways,
 * bounded memory on a stalled side, and the two ways to end. The stream is plain here; TLS changes
 * nothing above core/event. */
#include "tests/unit/scripted.h"

#include "core/gate/relay.h"

enum { STALL_MS = 1000 };

struct world {
	struct loop *loop;
	struct stream *stream;
	struct relay *relay;
	int client, imap;
	int ends;
	bool clean;
};

static void
on_read(struct stream *s, void *arg)
{
	(void)s;
	relay_on_read(((struct world *)arg)->relay);
}

static void
on_drain(struct stream *s, void *arg)
{
	(void)s;
	relay_on_drain(((struct world *)arg)->relay);
}

static void
on_empty(struct stream *s, void *arg)
{
	(void)s;
	relay_on_empty(((struct world *)arg)->relay);
}

static void
on_end(struct stream *s, void *arg, enum err why)
{
	(void)s;
	relay_on_end(((struct world *)arg)->relay, why);
}

static const struct stream_ops OPS = {
	.on_read = on_read,
	.on_drain = on_drain,
	.on_empty = on_empty,
	.on_end = on_end,
};

static void
on_relay_end(void *arg, bool clean)
{
	struct world *w = arg;
	w->ends++;
	w->clean = clean;
}

static void
world_init(struct world *w)
{
	const struct stream_options o = { .in_max_bytes = 64 * 1024 };
	int a[2], b[2], room = 104 * 1024; /* of sockets, the same on every machine */
	*w = (struct world){ .loop = loop_new() };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(setsockopt(a[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
		assert_int_equal(setsockopt(b[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	}
	w->client = a[0];
	w->imap = b[0];
	w->stream = stream_new(w->loop, a[1], &OPS, w, &o);
	w->relay = relay_new(w->loop, w->stream, b[1], STALL_MS, on_relay_end, w);
}

static void
world_fini(struct world *w)
{
	relay_free(w->relay);
	stream_free(w->stream);
	if (w->client >= 0)
		close(w->client);
	if (w->imap >= 0)
		close(w->imap);
	loop_free(w->loop);
}

static void
turn(struct world *w, int64_t ms)
{
	assert_false(run_until(w->loop, NULL, NULL, ms));
}

static void
expect(int fd, const char *text)
{
	char got[64] = "";
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	assert_int_equal(n, (ssize_t)strlen(text));
	assert_string_equal(got, text);
}

static void
test_both_ways(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	assert_int_equal(send(w.client, "a NOOP\r\n", 8, 0), 8);
	assert_int_equal(send(w.imap, "* OK\r\n", 6, 0), 6);
	turn(&w, 20);
	expect(w.imap, "a NOOP\r\n");
	expect(w.client, "* OK\r\n");
	assert_int_equal(w.ends, 0);
	world_fini(&w);
}

/* Writes until nothing is taken any more; the relay gets its turns. */
static size_t
push_until_full(struct world *w, int fd)
{
	static char block[16384];
	size_t total = 0;
	for (int quiet = 0; quiet < 3;) {
		ssize_t n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			total += (size_t)n;
			quiet = 0;
			continue;
		}
		turn(w, 5);
		quiet++;
		assert_true(total < 64 * 1024 * 1024);
	}
	return total;
}

static size_t
drain(struct world *w, int fd)
{
	static char block[65536];
	size_t total = 0;
	for (int quiet = 0; quiet < 5;) {
		ssize_t n = recv(fd, block, sizeof(block), MSG_DONTWAIT);
		if (n > 0) {
			total += (size_t)n;
			quiet = 0;
			continue;
		}
		turn(w, 3);
		quiet++;
	}
	return total;
}

static void
test_stalled_client(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	size_t sent = push_until_full(&w, w.imap);
	assert_true(stream_queued(w.stream) <= 160 * 1024);
	assert_true(sent < 2 * 1024 * 1024);
	assert_int_equal(drain(&w, w.client), sent);
	assert_int_equal(send(w.imap, "x", 1, 0), 1);
	turn(&w, 20);
	expect(w.client, "x");
	world_fini(&w);
}

/* A client that reads a little now and then stays; one that never does is given up, also when
 * imap left long ago. */
static void
test_client_that_never_reads(void **state)
{
	static char block[256 * 1024];
	struct world w;
	(void)state;
	world_init(&w);
	(void)push_until_full(&w, w.imap);
	close(w.imap);
	w.imap = -1;
	turn(&w, STALL_MS - 400);
	assert_true(recv(w.client, block, sizeof(block), MSG_DONTWAIT) > 0);
	turn(&w, STALL_MS - 200);
	assert_int_equal(w.ends, 0);
	turn(&w, STALL_MS + 400);
	assert_int_equal(w.ends, 1);
	assert_false(w.clean);
	world_fini(&w);
}

static void
test_stalled_imap(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	size_t sent = push_until_full(&w, w.client);
	assert_true(stream_in(w.stream)->n <= 64 * 1024);
	assert_true(sent < 2 * 1024 * 1024);
	assert_int_equal(drain(&w, w.imap), sent);
	world_fini(&w);
}

/* The client's end arrives behind its last bytes, and output still comes out. */
static void
test_client_ends(void **state)
{
	struct world w;
	char c;
	(void)state;
	world_init(&w);
	size_t sent = push_until_full(&w, w.client);
	shutdown(w.client, SHUT_WR);
	turn(&w, 10);
	assert_int_equal(drain(&w, w.imap), sent);
	assert_int_equal(recv(w.imap, &c, 1, MSG_DONTWAIT), 0);
	assert_int_equal(w.ends, 0);
	assert_int_equal(send(w.imap, "* BYE\r\n", 7, 0), 7);
	turn(&w, 20);
	expect(w.client, "* BYE\r\n");
	close(w.imap);
	w.imap = -1;
	turn(&w, 20);
	assert_int_equal(w.ends, 1);
	assert_true(w.clean);
	world_fini(&w);
}

/* All that imap wrote is queued before its end is reported, also when it never read what the
 * client sent. */
static void
test_imap_ends(void **state)
{
	(void)state;
	for (int unread = 0; unread < 2; unread++) {
		struct world w;
		world_init(&w);
		if (unread == 1) {
			assert_int_equal(send(w.client, "a NOOP\r\n", 8, 0), 8);
			turn(&w, 20);
		}
		size_t sent = push_until_full(&w, w.imap);
		close(w.imap);
		w.imap = -1;
		turn(&w, 10);
		assert_int_equal(w.ends, 0);
		size_t got = drain(&w, w.client);
		assert_int_equal(w.ends, 1);
		assert_true(w.clean);
		assert_int_equal(got + stream_queued(w.stream), sent);
		world_fini(&w);
	}
}

static void
test_client_breaks(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	(void)push_until_full(&w, w.imap);
	close(w.client);
	w.client = -1;
	turn(&w, 20);
	assert_int_equal(w.ends, 1);
	assert_false(w.clean);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_stalled_client),
		cmocka_unit_test(test_client_that_never_reads),
		cmocka_unit_test(test_stalled_imap),
		cmocka_unit_test(test_client_ends),
		cmocka_unit_test(test_imap_ends),
		cmocka_unit_test(test_client_breaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
