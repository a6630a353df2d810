/* Two ends of a stream on one loop, in TLS or not; for the tests of core/event/stream. */
#ifndef POSTROOM_TESTS_STREAM_CASE_H
#define POSTROOM_TESTS_STREAM_CASE_H

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

static UNUSED void
on_guard(struct loop_timer *t)
{
	timed_out = true;
	loop_stop(t->loop);
}

static UNUSED int
setup(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	loop = loop_new();
	timed_out = false;
	loop_timer_init(&guard, loop, on_guard, NULL);
	return 0;
}

static UNUSED int
teardown(void **state)
{
	(void)state;
	loop_timer_stop(&guard);
	loop_free(loop);
	return 0;
}

/* Runs until a callback stops the loop; fails after 30 s. */
static UNUSED void
run(void)
{
	loop_timer_start(&guard, 30000);
	loop_run(loop);
	assert_false(timed_out);
}

/* Runs for a moment: to see that something does not happen. */
static UNUSED void
run_for(int64_t ms)
{
	loop_timer_start(&guard, ms);
	loop_run(loop);
	timed_out = false;
}

static UNUSED void
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

static UNUSED void
on_drain(struct stream *s, void *arg)
{
	struct end *e = arg;

	(void)s;
	e->drains++;
}

static UNUSED void
on_empty(struct stream *s, void *arg)
{
	struct end *e = arg;

	(void)s;
	e->empties++;
}

static UNUSED void
on_tls(struct stream *s, void *arg)
{
	struct end *e = arg;

	(void)s;
	e->tls++;
}

static UNUSED void
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

static UNUSED void
end_init(struct end *e, int fd, size_t in_max)
{
	*e = (struct end){ .loop = loop };
	buf_init(&e->got, 64 * 1024 * 1024);
	if (fd >= 0)
		e->s = stream_new(
			loop, fd, &ops, e, &(struct stream_options){ .in_max_bytes = in_max });
}

static UNUSED void
end_fini(struct end *e)
{
	stream_free(e->s);
	buf_fini(&e->got);
}

static UNUSED void
pair(int fds[2])
{
	int room = 104 * 1024; /* the same on every machine */

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
}

static UNUSED struct tls_ctx *
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

static UNUSED struct tls_ctx *
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
static UNUSED void
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
static UNUSED void
shake_hands(const struct end *a, const struct end *b, bool tls)
{
	for (int i = 0; i < 250 && tls && (a->tls == 0 || b->tls == 0); i++)
		run_for(20);
	assert_true(!tls || (a->tls == 1 && b->tls == 1));
}

static UNUSED char *
pattern(size_t n)
{
	char *p = xmalloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
