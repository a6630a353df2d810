/* `postroom reload` and `postroom stop`: signals to the master that holds the lock on the runtime
 * directory's pid file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/master/commands.h"

enum { STOP_WAIT_MS = 90000, STOP_STEP_MS = 50 };

/* The pid of the running master, 0 when none runs, -1 after saying why it cannot be known. */
static int
running_pid(const struct settings *s, int *fd_out)
{
	char path[512], text[32] = "";
	ssize_t n;
	uint32_t pid;
	int fd;

	(void)snprintf(path, sizeof path, "%.*s/master.pid", STR_FMT(s->runtime_dir));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*fd_out = fd;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0) {
		(void)fprintf(stderr, "postroom: %s: %s\n", path, strerrordesc_np(errno));
		return -1;
	}
	/* a lock that we can have means that its master is gone */
	if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
		(void)flock(fd, LOCK_UN);
		return 0;
	}
	n = read(fd, text, sizeof text - 1);
	if (n <= 0 || str_to_u32(str_trim(str_n(text, (size_t)n)), INT32_MAX, &pid) != ERR_OK ||
		pid < 2) {
		(void)fprintf(stderr, "postroom: %s holds no process number\n", path);
		return -1;
	}
	return (int)pid;
}

static int
send_signal(const struct command_args *a, int signum, bool wait)
{
	struct settings *s = command_settings(a, false);
	int fd, pid, status = 1;

	if (s == NULL)
		return EXIT_CONFIG;
	pid = running_pid(s, &fd);
	settings_free(s);
	if (pid == 0)
		(void)fprintf(stderr, "postroom: the server is not running\n");
	else if (pid > 0 && kill(pid, signum) != 0)
		(void)fprintf(stderr, "postroom: process %d: %s\n", pid, strerrordesc_np(errno));
	else if (pid > 0)
		status = 0;
	for (int ms = 0; status == 0 && wait && flock(fd, LOCK_SH | LOCK_NB) != 0;
		ms += STOP_STEP_MS) {
		if (ms >= STOP_WAIT_MS) {
			(void)fprintf(stderr, "postroom: process %d does not end\n", pid);
			status = 1;
		}
		(void)poll(NULL, 0, STOP_STEP_MS);
	}
	if (fd >= 0)
		(void)close(fd);
	return status;
}

int
command_reload(const struct command_args *a)
{
	return send_signal(a, SIGHUP, false);
}

int
command_stop(const struct command_args *a)
{
	return send_signal(a, SIGTERM, true);
}
