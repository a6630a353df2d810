/* Runs one role without master, for tests and benchmarks:
 *
 *   run_role CONF PROGRAM PROTOCOL=ADDRESS ...
 *   run_role auth.conf ./postroom-auth auth=unix:/tmp/t/auth directory=unix:/tmp/t/directory
 *
 * Binds the sockets, hands over the settings, prints "ready PID", reloads at SIGHUP, and ends the
 * role at SIGTERM or SIGINT; the exit status is the role's. It speaks core/role/control.h as master
 * does. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/settings.h"
#include "core/base/buf.h"
#include "core/event/ipc.h"
#include "core/event/listener.h"
#include "core/role/control.h"

static int control[2];
static pid_t child;

static bool
say(uint32_t type, struct str payload, const int *fds, size_t n)
{
	return ipc_send_blocking(control[0], type, payload, fds, n) == ERR_OK;
}

static bool
send_settings(const char *conf, unsigned bit)
{
	struct settings *s = NULL;
	struct buf err, packed;
	buf_init(&err, 64 * 1024);
	buf_init_secret(&packed, CONTROL_SETTINGS_MAX);
	enum err e = settings_load(conf, true, &s, &err);
	if (e == ERR_OK)
		settings_pack(s, bit, &packed);
	else
		(void)fprintf(stderr, "%.*s\n", STR_FMT(buf_str(&err)));
	bool ok = e == ERR_OK;
	for (size_t at = 0; ok && at < packed.n; at += CONTROL_PART_BYTES)
		ok = say(CONTROL_SETTINGS_PART, str_sub(buf_str(&packed), at, CONTROL_PART_BYTES),
			NULL, 0);
	ok = ok && say(CONTROL_SETTINGS_END, STR_EMPTY, NULL, 0);
	settings_free(s);
	buf_fini(&packed);
	buf_fini(&err);
	return ok;
}

static bool
send_listener(const char *arg)
{
	struct str protocol, address;
	const struct listen_options o = { .mode = 0666, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	const char *why = "";
	struct buf b;
	int fd;
	if (!str_cut(str_of(arg), '=', &protocol, &address) ||
		listen_bind(address, &o, &fd, &why) != ERR_OK) {
		(void)fprintf(stderr, "%s: %s\n", arg, why);
		return false;
	}
	buf_init(&b, 4096);
	ipc_put_str(&b, protocol);
	ipc_put_u64(&b, 0);
	bool ok = say(CONTROL_LISTENER, buf_str(&b), &fd, 1);
	buf_fini(&b);
	return ok;
}

static bool
send_start(void)
{
	struct buf b;
	int log_fd = dup(2);
	buf_init(&b, 64);
	ipc_put_u64(&b, 0);
	ipc_put_u64(&b, 1);
	bool ok = say(CONTROL_START, buf_str(&b), &log_fd, 1);
	buf_fini(&b);
	return ok;
}

static unsigned
role_bit(const char *program)
{
	static const struct {
		const char *name;
		unsigned bit;
	} table[] = {
		{ "auth", ROLE_AUTH },
		{ "authworker", ROLE_AUTHWORKER },
		{ "gate", ROLE_GATE },
		{ "imap", ROLE_IMAP },
		{ "lmtp", ROLE_LMTP },
		{ "smtp", ROLE_SMTP },
		{ "queue", ROLE_QUEUE },
		{ "relay", ROLE_RELAY },
		{ "resolver", ROLE_RESOLVER },
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (str_ends(str_of(program), str_of(table[i].name)))
			return table[i].bit;
	return 0;
}

static bool
spawn(char *program)
{
	if (ipc_pair(control) != ERR_OK)
		return false;
	child = fork();
	if (child == 0) {
		char *argv[] = { program, NULL };
		if (control[1] == CONTROL_FD)
			(void)fcntl(CONTROL_FD, F_SETFD, 0);
		else if (dup2(control[1], CONTROL_FD) < 0)
			_exit(126);
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execv(program, argv);
		_exit(127);
	}
	close(control[1]);
	return child > 0;
}

static bool
wait_ready(void)
{
	struct buf b;
	int fds[IPC_FDS_MAX];
	size_t n = IPC_FDS_MAX;
	uint32_t type = 0;
	buf_init(&b, IPC_PAYLOAD_MAX);
	enum err e = ipc_recv_blocking(control[0], &type, &b, fds, &n);
	buf_fini(&b);
	return e == ERR_OK && type == CONTROL_READY;
}

int
main(int argc, char **argv)
{
	sigset_t set;
	int status, signum;
	if (argc < 3) {
		(void)fprintf(stderr, "usage: run_role CONF PROGRAM PROTOCOL=ADDRESS ...\n");
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	bool ok = spawn(argv[2]) && send_start() && send_settings(argv[1], role_bit(argv[2]));
	for (int i = 3; ok && i < argc; i++)
		ok = send_listener(argv[i]);
	ok = ok && say(CONTROL_GO, STR_EMPTY, NULL, 0) && wait_ready();
	if (ok) {
		(void)printf("ready %d\n", (int)child);
		(void)fflush(stdout);
	}
	while (ok && sigwait(&set, &signum) == 0 && (signum == SIGHUP || signum == SIGCHLD)) {
		if (signum == SIGHUP)
			(void)send_settings(argv[1], role_bit(argv[2]));
		else if (waitpid(child, &status, WNOHANG) == child)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	close(control[0]);
	while (waitpid(child, &status, 0) != child)
		;
	return !ok ? 1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
