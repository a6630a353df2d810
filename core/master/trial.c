/* A role program that only looks at its settings; see trial.h. `postroom check` asks for it,
 * because filters, templates, certificates of directories and keytabs are known to that program
 * alone. Invariant: the settings go over the control socket, as at a real start, never on disk. */
#include "core/master/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/event/ipc.h"
#include "core/master/children.h"
#include "core/role/control.h"

static bool
complain(const char *what)
{
	(void)fprintf(stderr, "postroom: %s: %s\n", what, strerrordesc_np(errno));
	return false;
}

static enum err
send_settings(const struct settings *s, unsigned bit, int fd)
{
	struct buf packed;
	enum err e = ERR_OK;

	buf_init_secret(&packed, CONTROL_SETTINGS_MAX);
	settings_pack(s, bit, &packed);
	for (struct str rest = buf_str(&packed); e == ERR_OK && rest.n != 0;
		rest = str_from(rest, CONTROL_PART_BYTES))
		e = ipc_send_blocking(
			fd, CONTROL_SETTINGS_PART, str_sub(rest, 0, CONTROL_PART_BYTES), NULL, 0);
	if (e == ERR_OK)
		e = ipc_send_blocking(fd, CONTROL_SETTINGS_END, STR_EMPTY, NULL, 0);
	buf_fini(&packed);
	return e;
}

/* What a worker is told before it begins. When it does not listen, its end says why. */
static void
feed(const struct settings *s, unsigned bit, int fd, int log_fd)
{
	struct buf b;

	buf_init(&b, 64);
	ipc_put_u64(&b, 0);
	ipc_put_u64(&b, 1);
	if (ipc_send_blocking(fd, CONTROL_START, buf_str(&b), &log_fd, 1) == ERR_OK &&
		send_settings(s, bit, fd) == ERR_OK)
		(void)!ipc_send_blocking(fd, CONTROL_GO, STR_EMPTY, NULL, 0);
	buf_fini(&b);
}

/* The program's words, until it has ended. */
static void
pass_on(int fd)
{
	char text[4096];
	ssize_t n;

	while ((n = read(fd, text, sizeof text)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			(void)fwrite(text, 1, (size_t)n, stderr);
}

bool
trial_run(const struct settings *s, const char *name, unsigned bit, bool online)
{
	char folder[1024];
	int control[2], words[2], status = 0;
	pid_t pid;

	(void)snprintf(folder, sizeof folder, "%.*s",
		STR_FMT(s->libexec_dir.n != 0 ? s->libexec_dir : STR(POSTROOM_LIBEXECDIR)));
	if (pipe2(words, O_CLOEXEC) != 0)
		return complain("pipe");
	if (ipc_pair(control) != ERR_OK) {
		(void)close(words[0]);
		(void)close(words[1]);
		return complain("socketpair");
	}
	pid = fork();
	if (pid == 0)
		children_exec(
			folder, name, online ? "--check-online" : "--check", control[1], words[1]);
	(void)close(control[1]);
	if (pid > 0)
		feed(s, bit, control[0], words[1]);
	(void)close(words[1]);
	if (pid > 0)
		pass_on(words[0]);
	(void)close(words[0]);
	(void)close(control[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return complain("fork");
	if (WIFSIGNALED(status))
		(void)fprintf(stderr, "postroom-%s: ended by signal %d\n", name, WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
