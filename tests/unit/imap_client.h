#ifndef POSTROOM_TESTS_IMAP_CLIENT_H
#define POSTROOM_TESTS_IMAP_CLIENT_H

/* A worker of imap in this process and clients on socketpairs, for unit tests: say a line, run the
 * loop until the tagged answer came, look at what was said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/internal.h"
#include "imap/session/session.h"

enum { CLIENT_IN_MAX = 64 * 1024 * 1024, CLIENT_WAIT_MS = 120000 };

struct world {
	struct loop *loop;
	struct pool *pool;
	struct store *store;
	struct settings *settings;
	struct imap imap;
	char dir[64];
	unsigned homes;
};

struct client {
	struct world *w;
	int fd;
	struct loop_io io;
	struct loop_timer timer;
	struct buf in;	       /* of the last answer, whole */
	const char *awaited;   /* a tag, "+" or a piece of text */
	bool awaited_anywhere; /* text: anywhere in what came */
	bool came, ended, patient;
	unsigned tags;
};

static inline void
world_start_in(struct world *w, const char *dir)
{
	*w = (struct world){ .homes = 0 };
	(void)snprintf(w->dir, sizeof w->dir, "%s/imap-test.XXXXXX", dir);
	assert_non_null(mkdtemp(w->dir));
	log_setup("test", LVL_WARN, 2);
	commit_set_patience(CLIENT_WAIT_MS); /* a slow disk refuses nothing */
	w->loop = loop_new();
	w->pool = pool_new(w->loop, 4);
	w->settings = settings_defaults();
	w->store = store_new(w->loop, w->pool, w->settings);
	imap_init(&w->imap, w->loop, w->store, w->settings);
	w->imap.pool = w->pool;
}

static inline void
world_start(struct world *w)
{
	world_start_in(w, "/tmp");
}

static inline void
world_on_timer(struct loop_timer *t)
{
	const struct world *w = t->arg;

	loop_stop(w->loop);
}

static inline void
world_stop(struct world *w)
{
	char cmd[128];

	imap_fini(&w->imap);
	/* streams that linger see their clients gone */
	struct loop_timer t;

	loop_timer_init(&t, w->loop, world_on_timer, w);
	loop_timer_start(&t, 50);
	loop_run(w->loop);
	store_free(w->store);
	pool_free(w->pool);
	loop_free(w->loop);
	settings_free(w->settings);
	(void)snprintf(cmd, sizeof cmd, "%s", w->dir);
	char *const argv[] = { (char *)(uintptr_t) "rm", (char *)(uintptr_t) "-rf", cmd, NULL };

	pid_t pid = fork();

	if (pid == 0) {
		(void)execvp(argv[0], argv);
		_exit(1);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0)
		continue;
}

static inline bool
client_has_line(struct str s, const char *start)
{
	struct str want = str_of(start);

	while (s.n != 0) {
		size_t lf = str_chr(s, '\n');

		if (lf < s.n && str_starts(s, want))
			return true;
		s = str_from(s, lf + 1);
	}
	return false;
}

static inline void
client_look(struct client *c)
{
	struct str s = buf_str(&c->in);

	if (c->awaited == NULL)
		return;
	c->came = c->awaited_anywhere ? str_find(s, str_of(c->awaited)) < s.n
				      : client_has_line(s, c->awaited);
	if (c->came || c->ended)
		loop_stop(c->w->loop);
}

static inline void
client_on_io(struct loop_io *io, int events UNUSED)
{
	struct client *c = io->arg;
	char tmp[65536];
	ssize_t n = recv(c->fd, tmp, sizeof tmp, MSG_DONTWAIT);

	if (n > 0) {
		buf_add(&c->in, str_n(tmp, (size_t)n));
		/* on a slow disk much takes long: as long as something comes, it goes on */
		if (c->patient)
			loop_timer_start(&c->timer, CLIENT_WAIT_MS);
	} else if (n == 0) {
		c->ended = true;
	}
	if (c->ended)
		loop_io_set(&c->io, 0);
	client_look(c);
}

static inline void
client_on_timer(struct loop_timer *t)
{
	struct client *c = t->arg;

	loop_stop(c->w->loop);
}

/* Runs the loop until a line begins with start, or the server hung up. */
static inline bool
client_await(struct client *c, const char *start, bool anywhere, int64_t ms)
{
	c->awaited = start;
	c->awaited_anywhere = anywhere;
	c->came = false;
	client_look(c);
	if (!c->came && !c->ended) {
		c->patient = ms >= CLIENT_WAIT_MS;
		loop_timer_start(&c->timer, ms);
		loop_run(c->w->loop);
		loop_timer_stop(&c->timer);
		c->patient = false;
	}
	c->awaited = NULL;
	return c->came;
}

static inline void
client_send(struct client *c, struct str s)
{
	while (s.n != 0) {
		ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			/* let the server read */
			loop_timer_start(&c->timer, 1);
			loop_run(c->w->loop);
			continue;
		}
		s = str_from(s, (size_t)n);
	}
}

static inline void
client_sendz(struct client *c, const char *z)
{
	client_send(c, str_of(z));
}

/* Commands without a tag; returns the status word behind the tag ("OK ...") of the answer, which
 * stays in c->in. A literal may be in the line as it is (non-synchronising). */
__attribute__((format(printf, 2, 3))) static inline const char *
say(struct client *c, const char *fmt, ...)
{
	static char status[512];
	char tag[24];
	struct buf line;
	va_list ap;

	(void)snprintf(tag, sizeof tag, "t%u ", ++c->tags);
	buf_init(&line, 1024 * 1024);
	buf_addz(&line, tag);
	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	buf_addz(&line, "\r\n");
	buf_reset(&c->in);
	client_send(c, buf_str(&line));
	buf_fini(&line);
	if (!client_await(c, tag, false, CLIENT_WAIT_MS)) {
		print_error("no answer to %s: %.*s\n", fmt, STR_FMT(buf_str(&c->in)));
		fail();
	}
	struct str s = buf_str(&c->in);
	size_t at = 0;

	while (!str_starts(str_from(s, at), str_of(tag)))
		at += str_chr(str_from(s, at), '\n') + 1;
	s = str_from(s, at + strlen(tag));
	(void)snprintf(status, sizeof status, "%.*s", (int)str_chr(s, '\r'), s.p);
	return status;
}

static inline bool
said(const struct client *c, const char *text)
{
	struct str s = buf_str(&c->in);

	return str_find(s, str_of(text)) < s.n;
}

static inline void
expect_at(const char *got, const char *want, const struct client *c, const char *file, int line)
{
	if (strncmp(got, want, strlen(want)) == 0)
		return;
	print_error("%s:%d: wanted \"%s\", got \"%s\" in:\n%.*s\n", file, line, want, got,
		STR_FMT(buf_str(&c->in)));
	fail();
}

static inline void
said_at(const struct client *c, const char *text, bool want, const char *file, int line)
{
	if (said(c, text) == want)
		return;
	print_error("%s:%d: %s \"%s\" in:\n%.*s\n", file, line, want ? "missing" : "unwanted", text,
		STR_FMT(buf_str(&c->in)));
	fail();
}

/* EXPECT(c, "OK", "SELECT %s", name): the answer begins with OK. SAID, SILENT: what was said. */
#define EXPECT(c, want, ...) expect_at(say(c, __VA_ARGS__), want, c, __FILE__, __LINE__)
#define SAID(c, text)	     said_at(c, text, true, __FILE__, __LINE__)
#define SILENT(c, text)	     said_at(c, text, false, __FILE__, __LINE__)

static inline struct client *
client_login(struct world *w, const char *user, struct str input)
{
	struct client *c = xcalloc(1, sizeof *c);
	int fds[2], room = 104 * 1024; /* of sockets, the same on every machine */
	char home[200];

	c->w = w;
	(void)snprintf(home, sizeof home, "%s/%s", w->dir, user);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
	c->fd = fds[0];
	buf_init(&c->in, CLIENT_IN_MAX);
	loop_io_init(&c->io, w->loop, c->fd, client_on_io, c);
	loop_io_set(&c->io, LOOP_READ);
	loop_timer_init(&c->timer, w->loop, client_on_timer, c);
	const struct imap_login login = { .user = str_of(user),
		.home = str_of(home),
		.sid = STR("s1"),
		.tag = STR("login"),
		.input = input };

	imap_session_start(&w->imap, &login, fds[1]);
	assert_true(client_await(c, "login ", false, CLIENT_WAIT_MS));
	return c;
}

static inline void
client_free(struct client *c)
{
	loop_timer_stop(&c->timer);
	loop_io_set(&c->io, 0);
	(void)close(c->fd);
	buf_fini(&c->in);
	free(c);
}

/* Runs the loop for a while, for what is not answered. */
static inline void
client_rest(struct client *c, int64_t ms)
{
	loop_timer_start(&c->timer, ms);
	loop_run(c->w->loop);
}

static inline void
append(struct client *c, const char *mailbox, const char *flags, const char *message)
{
	EXPECT(c, "OK", "APPEND %s %s {%zu+}\r\n%s", mailbox, flags, strlen(message), message);
}

#endif
