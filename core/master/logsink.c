/* The reading end of the log socket; see logsink.h. serve.c owns it. Invariant: one datagram is
 * some whole lines, and they reach the file whole and in order of arrival. */
#include "core/master/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"

enum {
	LINE_MAX_BYTES = 4096,
	BATCH_BYTES = 64 * 1024,
	BATCHES_A_CALLBACK = 8,
	SOCKET_BYTES = 4 * 1024 * 1024,
};

struct logsink {
	struct loop_io io;
	struct loop_io err_io;
	int err_fd; /* the roles' end */
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

/* One batch; false when nothing was there. */
static bool
pass_batch(struct logsink *k)
{
	size_t n = 0;

	while (n + LINE_MAX_BYTES <= sizeof k->batch) {
		ssize_t got = recv(k->io.fd, k->batch + n, LINE_MAX_BYTES, MSG_DONTWAIT);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	write_all(k->out_fd, k->batch, n);
	return n != 0;
}

static void
on_io(struct loop_io *io, int events)
{
	struct logsink *k = io->arg;

	(void)events;
	for (int i = 0; i < BATCHES_A_CALLBACK; i++)
		if (!pass_batch(k))
			return;
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
