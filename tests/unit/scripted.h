#ifndef POSTROOM_TESTS_SCRIPTED_H
#define POSTROOM_TESTS_SCRIPTED_H

/* A unix socket whose other side says what a test wrote down; and a loop that runs until something
 * is true. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/event/listener.h"
#include "core/event/loop.h"

enum { SCRIPTED_CONNECTIONS = 64 };

struct scripted;

struct scripted_connection {
	struct scripted *server;
	int fd;
	struct loop_io io;
	struct buf got;
};

struct scripted {
	struct loop *loop;
	char folder[64];
	char path[96];
	char address[112];
	struct listener *listener;
	struct scripted_connection connections[SCRIPTED_CONNECTIONS];
	size_t count;
	const char *greeting;
	bool byte_by_byte;
	/* More input lies in c->got. */
	void (*on_input)(struct scripted_connection *c);
	void *arg;
};

static inline void
scripted_say(struct scripted_connection *c, struct str bytes)
{
	size_t step = c->server->byte_by_byte ? 1 : bytes.n;
	for (size_t i = 0; i < bytes.n && c->fd >= 0; i += step) {
		ssize_t n = send(c->fd, bytes.p + i, step, MSG_NOSIGNAL);
		if (n < 0)
			return;
	}
}

static inline void
scripted_sayz(struct scripted_connection *c, const char *z)
{
	scripted_say(c, str_of(z));
}

static inline void
scripted_close(struct scripted_connection *c)
{
	if (c->fd < 0)
		return;
	loop_io_set(&c->io, 0);
	close(c->fd);
	c->fd = -1;
}

static inline void
scripted_read(struct loop_io *io, int events)
{
	struct scripted_connection *c = io->arg;
	char block[4096];
	(void)events;
	ssize_t n = recv(c->fd, block, sizeof(block), MSG_DONTWAIT);
	if (n <= 0) {
		scripted_close(c);
		return;
	}
	buf_add(&c->got, str_n(block, (size_t)n));
	if (c->server->on_input != NULL)
		c->server->on_input(c);
}

static inline void
scripted_accept(void *arg, int fd, const struct peer *peer)
{
	struct scripted *s = arg;
	(void)peer;
	assert_true(s->count < SCRIPTED_CONNECTIONS);
	struct scripted_connection *c = &s->connections[s->count++];
	c->server = s;
	c->fd = fd;
	buf_init(&c->got, 16 * 1024 * 1024);
	loop_io_init(&c->io, s->loop, fd, scripted_read, c);
	loop_io_set(&c->io, LOOP_READ);
	if (s->greeting != NULL)
		scripted_sayz(c, s->greeting);
}

static inline void
scripted_listen(struct scripted *s)
{
	const struct listen_options o = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	const char *text = "";
	int fd = -1;
	assert_int_equal(listen_bind(str_of(s->address), &o, &fd, &text), ERR_OK);
	s->listener = listener_new(s->loop, fd, scripted_accept, s);
}

static inline void
scripted_init(struct scripted *s, struct loop *l)
{
	*s = (struct scripted){ .loop = l };
	snprintf(s->folder, sizeof(s->folder), "/tmp/postroom-test-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->path, sizeof(s->path), "%s/s", s->folder);
	snprintf(s->address, sizeof(s->address), "unix:%s", s->path);
}

static inline void
scripted_fini(struct scripted *s)
{
	listener_free(s->listener);
	for (size_t i = 0; i < s->count; i++) {
		scripted_close(&s->connections[i]);
		buf_fini(&s->connections[i].got);
	}
	unlink(s->path);
	rmdir(s->folder);
}

struct until {
	struct loop_timer timer;
	bool (*fn)(void *arg);
	void *arg;
	int64_t deadline_ms;
	bool happened;
};

static inline void
until_tick(struct loop_timer *t)
{
	struct until *u = t->arg;
	u->happened = u->fn != NULL && u->fn(u->arg);
	if (u->happened || clock_ms() > u->deadline_ms)
		loop_stop(t->loop);
	else
		loop_timer_start(t, 1);
}

/* Runs the loop until fn says true: true; or for ms: false. */
static inline bool
run_until(struct loop *l, bool (*fn)(void *arg), void *arg, int64_t ms)
{
	struct until u = { .fn = fn, .arg = arg, .deadline_ms = clock_ms() + ms };
	loop_timer_init(&u.timer, l, until_tick, &u);
	loop_timer_start(&u.timer, 0);
	loop_run(l);
	loop_timer_stop(&u.timer);
	return u.happened;
}

#endif
