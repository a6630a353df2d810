/* `postroom reload` and `postroom stop`: signals to the master that holds the lock on the runtime
 * directory's pid file, and the wait for what becomes of them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/master/commands.h"
#include "core/master/reload.h"

enum { STOP_WAIT_MS = 90000, RELOAD_WAIT_MS = 60000, STEP_MS = 50 };

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

/* The master has ended: its lock can be had. */
static bool
has_ended(int fd)
{
	return flock(fd, LOCK_SH | LOCK_NB) == 0;
}

static int
wait_end(const struct settings *s UNUSED, int fd, int pid, uint64_t since UNUSED)
{
	for (int ms = 0; !has_ended(fd); ms += STEP_MS) {
		if (ms >= STOP_WAIT_MS) {
			(void)fprintf(stderr, "postroom: process %d does not end\n", pid);
			return 1;
		}
		(void)poll(NULL, 0, STEP_MS);
	}
	return 0;
}

static int
show_refused(struct str lines)
{
	struct str line;
	int status = 0;

	while (lines.n != 0) {
		(void)str_cut(lines, '\n', &line, &lines);
		(void)fprintf(stderr, "postroom: not reloaded: %.*s\n", STR_FMT(line));
		status = EXIT_CONFIG;
	}
	return status;
}

/* since: how many had begun before the signal; a later one has read what we want it to. When yet
 * another has begun, its end is the one to wait for: what became of ours is not kept. */
static int
wait_reloaded(const struct settings *s, int fd, int pid, uint64_t since)
{
	struct reload_state r = { .begun = 0 };
	int status = EXIT_TEMPFAIL;
	bool known = false;

	buf_init(&r.refused, RELOAD_TEXT_MAX);
	for (int ms = 0; !known && ms < RELOAD_WAIT_MS && !has_ended(fd); ms += STEP_MS) {
		known = reload_read(s, &r) == ERR_OK && r.done > since && r.done == r.begun;
		if (!known)
			(void)poll(NULL, 0, STEP_MS);
	}
	if (known && r.waits)
		(void)fprintf(stderr,
			"postroom: some of what was changed counts when the server is "
			"started again, not before (postroom(8), reload)\n");
	if (known)
		status = show_refused(buf_str(&r.refused));
	else
		(void)fprintf(stderr, "postroom: process %d: %s\n", pid,
			has_ended(fd)
				? "the server has ended"
				: "not every part of the server has answered yet; see the log");
	buf_fini(&r.refused);
	return status;
}

/* The settings were just read: the server may be there with those from before. */
static void
not_running(const struct settings *s)
{
	(void)fprintf(stderr,
		"postroom: the server is not running: nobody holds %.*s/master.pid (one that was "
		"started with another runtime_dir is not found here; it takes a new one only when "
		"it is started anew)\n",
		STR_FMT(s->runtime_dir));
}

static int
send_signal(const struct command_args *a, int signum,
	int (*wait)(const struct settings *s, int fd, int pid, uint64_t since))
{
	struct settings *s = command_settings(a, false);
	struct reload_state r = { .begun = 0 };
	int fd, pid, status = 1;

	if (s == NULL)
		return EXIT_CONFIG;
	pid = running_pid(s, &fd);
	buf_init(&r.refused, RELOAD_TEXT_MAX);
	if (reload_read(s, &r) != ERR_OK)
		r.begun = 0;
	if (pid == 0)
		not_running(s);
	else if (pid > 0 && kill(pid, signum) != 0)
		(void)fprintf(stderr, "postroom: process %d: %s\n", pid, strerrordesc_np(errno));
	else if (pid > 0)
		status = wait(s, fd, pid, r.begun);
	if (fd >= 0)
		(void)close(fd);
	buf_fini(&r.refused);
	settings_free(s);
	return status;
}

int
command_reload(const struct command_args *a)
{
	return send_signal(a, SIGHUP, wait_reloaded);
}

int
command_stop(const struct command_args *a)
{
	return send_signal(a, SIGTERM, wait_end);
}
