/* The reading end of the log socket; see logsink.h. serve.c owns it. Invariant: one datagram is
 * some whole lines, and they reach the file whole and in order of arrival, after REST_MS at most.
 */
#include "core/master/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"

enum {
	LINE_MAX_BYTES = 4096,
	BATCH_BYTES = 64 * 1024,
	BATCHES_A_CALLBACK = 8,
	SOCKET_BYTES = 4 * 1024 * 1024,
	REST_MS = 5, /* between two batches, while there is much to write */
};

struct logsink {
	struct loop_io io;
	struct loop_io err_io;
	struct loop_timer rest;
	int64_t passed_ms; /* the last batch */
	int err_fd;	   /* the roles' end */
	int write_fd;
	int out_fd;
	char batch[BATCH_BYTES];
};

static void
write_all(int fd, const char *p, size_t n)
{
	while (n != 0) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) /* a full disk: these lines are lost, the server goes on */
			return;
		p += done;
		n -= (size_t)done;
	}
}

/* One batch; false when that was all. */
static bool
pass_batch(struct logsink *k)
{
	bool more = true;
	size_t n = 0;

	while (n + LINE_MAX_BYTES <= sizeof k->batch) {
		ssize_t got = recv(k->io.fd, k->batch + n, LINE_MAX_BYTES, MSG_DONTWAIT);
		more = got > 0;
		if (!more)
			break;
		n += (size_t)got;
	}
	if (n > 0)
		k->passed_ms = clock_ms();
	write_all(k->out_fd, k->batch, n);
	return more;
}

static void
pass_batches(struct logsink *k)
{
	for (int i = 0; i < BATCHES_A_CALLBACK; i++)
		if (!pass_batch(k))
			return;
}

/* Lines that follow each other closely gather in the socket: they are not worth a wake-up each,
 * here and in those who send them. */
static void
on_io(struct loop_io *io, int events)
{
	struct logsink *k = io->arg;
	bool close = clock_ms() - k->passed_ms < REST_MS;

	(void)events;
	pass_batches(k);
	if (!close)
		return;
	loop_io_set(&k->io, 0);
	loop_timer_start(&k->rest, REST_MS);
}

static void
on_rest(struct loop_timer *t)
{
	struct logsink *k = t->arg;
	int64_t now = clock_ms();

	pass_batches(k);
	if (k->passed_ms >= now)
		loop_timer_start(&k->rest, REST_MS);
	else
		loop_io_set(&k->io, LOOP_READ);
}

static bool
pass_words(struct logsink *k)
{
	ssize_t got = read(k->err_io.fd, k->batch, sizeof k->batch);

	if (got > 0)
		write_all(2, k->batch, (size_t)got);
	return got > 0;
}

static void
on_words(struct loop_io *io, int events)
{
	(void)events;
	(void)pass_words(io->arg);
}

static enum err
open_file(struct str file, int *fd_out)
{
	char *path;

	if (file.n == 0) {
		*fd_out = fcntl(2, F_DUPFD_CLOEXEC, 10);
	} else {
		path = str_dup(file);
		*fd_out = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
		free(path);
	}
	return *fd_out >= 0 ? ERR_OK : ERR_TEMP;
}

enum err
logsink_new(struct loop *l, struct str file, struct logsink **out)
{
	struct logsink *k = xcalloc(1, sizeof *k);
	int size = SOCKET_BYTES;
	int fds[2], words[2];

	if (open_file(file, &k->out_fd) != ERR_OK)
		goto no_file;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
		goto no_socket;
	if (pipe2(words, O_CLOEXEC) != 0)
		goto no_pipe;
	(void)fcntl(words[0], F_SETFL, O_NONBLOCK);
	k->write_fd = fds[1];
	k->err_fd = words[1];
	/* all roles share this queue: root may ask for more than the system's maximum */
	if (setsockopt(k->write_fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
		(void)setsockopt(k->write_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	k->passed_ms = clock_ms() - REST_MS;
	loop_timer_init(&k->rest, l, on_rest, k);
	loop_io_init(&k->io, l, fds[0], on_io, k);
	loop_io_set(&k->io, LOOP_READ);
	loop_io_init(&k->err_io, l, words[0], on_words, k);
	loop_io_set(&k->err_io, LOOP_READ);
	*out = k;
	return ERR_OK;
no_pipe:
	(void)close(fds[0]);
	(void)close(fds[1]);
no_socket:
	(void)close(k->out_fd);
no_file:
	free(k);
	return ERR_TEMP;
}

void
logsink_drain(struct logsink *k)
{
	while (pass_batch(k) || pass_words(k))
		continue;
}

void
logsink_free(struct logsink *k)
{
	if (k == NULL)
		return;
	logsink_drain(k);
	loop_timer_stop(&k->rest);
	loop_io_set(&k->io, 0);
	loop_io_set(&k->err_io, 0);
	(void)close(k->io.fd);
	(void)close(k->err_io.fd);
	(void)close(k->err_fd);
	(void)close(k->write_fd);
	(void)close(k->out_fd);
	free(k);
}

int
logsink_socket(const struct logsink *k)
{
	return k->write_fd;
}

int
logsink_stderr(const struct logsink *k)
{
	return k->err_fd;
}

int
logsink_fd(const struct logsink *k)
{
	return k->out_fd;
}

enum err
logsink_reopen(struct logsink *k, struct str file)
{
	int fd;

	if (open_file(file, &fd) != ERR_OK)
		return ERR_TEMP;
	while (pass_batch(k))
		continue;
	int rc = dup3(fd, k->out_fd, O_CLOEXEC);

	(void)close(fd);
	return rc >= 0 ? ERR_OK : ERR_TEMP;
}
