/* A role that does nothing but tell: the tests of master and of the cage put it in the place of
 * every role program. Its name comes from argv[0] ("postroom-imap"). On its listening sockets it
 * answers each line: "pid", "hostname", "crash", "try WHAT ARG" (is it possible in the cage?), and
 * echoes the rest. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/stream.h"
#include "core/role/role.h"

static struct role_ctx *ctx;
static int open_before;
static struct listener *listeners[16];
static size_t listeners_count;
static struct stream *sessions[64];

static int
try_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

/* As the store opens messages on the loop: only where the name is in memory. */
static int
try_open_cached(const char *path)
{
	const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_CACHED };
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

static int
try_create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	ssize_t n = write(fd, "x", 1);
	int code = n == 1 ? 0 : errno;

	(void)close(fd);
	(void)unlink(path);
	return code;
}

static int
try_rename(const char *path)
{
	char from[512];

	(void)snprintf(from, sizeof from, "%s.from", path);
	int fd = open(from, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	(void)close(fd);
	int code = rename(from, path) == 0 ? 0 : errno;

	(void)unlink(code == 0 ? path : from);
	return code;
}

static int
try_exec(const char *path)
{
	char *argv[] = { (char *)(uintptr_t)path, NULL };

	(void)execv(path, argv);
	return errno;
}

static int
try_socket(const char *arg)
{
	int family = str_eq(str_of(arg), STR("inet"))	 ? AF_INET
		     : str_eq(str_of(arg), STR("inet6")) ? AF_INET6
							 : AF_UNIX;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

static int
try_connect(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	memcpy(un.sun_path, path, strlen(path) < sizeof un.sun_path ? strlen(path) : 100);
	int code = connect(fd, (const struct sockaddr *)&un, sizeof un) == 0 ? 0 : errno;

	(void)close(fd);
	return code;
}

/* A file that was open before the cage, grown to so many bytes. */
static int
try_write(const char *arg)
{
	uint64_t n;

	if (str_to_u64(str_of(arg), INT64_MAX, &n) != ERR_OK || n == 0)
		return EINVAL;
	return pwrite(open_before, "x", 1, (off_t)(n - 1)) == 1 ? 0 : errno;
}

static int
try_root(const char *arg)
{
	(void)arg;
	return setuid(0) == 0 ? 0 : errno;
}

static const struct {
	const char *word;
	int (*fn)(const char *arg);
} tries[] = {
	{ "open", try_open },
	{ "open-cached", try_open_cached },
	{ "create", try_create },
	{ "rename", try_rename },
	{ "exec", try_exec },
	{ "socket", try_socket },
	{ "connect", try_connect },
	{ "write", try_write },
	{ "root", try_root },
};

static void
answer_try(struct stream *s, struct str rest)
{
	struct str word, arg;

	(void)str_cut(rest, ' ', &word, &arg);
	for (size_t i = 0; i < ARRAY_LEN(tries); i++)
		if (str_eq(word, str_of(tries[i].word))) {
			char *z = str_dup(arg);
			int code = tries[i].fn(z);
			free(z);
			stream_writef(s, "%s\n", code == 0 ? "OK" : strerrorname_np(code));
			return;
		}
	stream_write(s, STR("UNKNOWN\n"));
}

static void
answer(struct stream *s, struct str line)
{
	if (str_eq(line, STR("pid")))
		stream_writef(s, "%d\n", (int)getpid());
	else if (str_eq(line, STR("worker")))
		stream_writef(s, "%u/%u\n", role_worker(ctx), role_worker_count(ctx));
	else if (str_eq(line, STR("uid")))
		stream_writef(s, "%u\n", (unsigned)geteuid());
	else if (str_eq(line, STR("hostname")))
		stream_writef(s, "%.*s\n", STR_FMT(role_settings(ctx)->hostname));
	else if (str_eq(line, STR("crash")))
		(void)raise(SIGKILL);
	else if (str_starts(line, STR("try ")))
		answer_try(s, str_from(line, 4));
	else
		stream_writef(s, "%.*s\n", STR_FMT(line));
}

static void
on_read(struct stream *s, void *arg)
{
	struct buf *in = stream_in(s);
	struct str line, rest;

	(void)arg;
	while (str_cut(buf_str(in), '\n', &line, &rest)) {
		answer(s, line);
		buf_consume(in, line.n + 1);
	}
}

static void
on_end(struct stream *s, void *arg, enum err why)
{
	struct stream **place = arg;

	(void)why;
	*place = NULL;
	stream_free(s);
}

static const struct stream_ops ops = { .on_read = on_read, .on_end = on_end };

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	(void)arg;
	(void)peer;
	for (size_t i = 0; i < ARRAY_LEN(sessions); i++)
		if (sessions[i] == NULL) {
			sessions[i] = stream_new(role_loop(ctx), fd, &ops, &sessions[i],
				&(struct stream_options){ .in_max_bytes = 4096 });
			return;
		}
	(void)close(fd);
}

static enum err
check(struct role_ctx *c, struct buf *why)
{
	(void)c;
	(void)why;
	return ERR_OK;
}

static enum err
init(struct role_ctx *c)
{
	(void)c;
	open_before = memfd_create("open_before", MFD_CLOEXEC);
	return open_before >= 0 ? ERR_OK : ERR_TEMP;
}

static enum err
start(struct role_ctx *c)
{
	size_t n;
	const struct role_listener *l = role_listeners(c, &n);

	ctx = c;
	for (size_t i = 0; i < n; i++) {
		log_event(LVL_INFO, "tiny.listener", log_z("protocol", l[i].protocol),
			log_n("tls", (int64_t)l[i].tls));
		if (!str_eq(str_of(l[i].protocol), STR("slots")) &&
			!str_eq(str_of(l[i].protocol), STR("handover")))
			listeners[listeners_count++] =
				listener_new(role_loop(c), l[i].fd, on_accept, NULL);
	}
	return ERR_OK;
}

/* A host name that begins with the role's own is refused; "ROLE-hangs…" and "ROLE-dies…" speak for
 * themselves. */
static enum err
reload(struct role_ctx *c, struct buf *why)
{
	struct str host = role_settings(c)->hostname, name = str_of(program_invocation_short_name);

	log_event(LVL_INFO, "tiny.reload", log_s("hostname", host));
	name = str_from(name, str_rchr(name, '-') + 1);
	if (!str_starts(host, name))
		return ERR_OK;
	host = str_from(host, name.n);
	if (str_starts(host, STR("-dies")))
		_exit(1);
	buf_addf(why, "hostname: not to the taste of %.*s\033[1m\nauth: \302\233!", STR_FMT(name));
	return ERR_SYNTAX;
}

static void
child_died(struct role_ctx *c, struct str role, int pid)
{
	(void)c;
	log_event(LVL_INFO, "tiny.child_died", log_s("child", role), log_n("child_pid", pid));
}

static void
stop(struct role_ctx *c)
{
	log_event(LVL_INFO, "tiny.stop", log_n("worker", role_worker(c)));
	while (listeners_count != 0)
		listener_free(listeners[--listeners_count]);
	for (size_t i = 0; i < ARRAY_LEN(sessions); i++)
		stream_free(sessions[i]);
	if (getenv("TINY_HANG") == NULL)
		role_leave(c);
}

static struct str
user_of(const struct settings *s)
{
	return str_starts(str_of(program_invocation_short_name), STR("postroom-gate"))
		       ? s->user_gate
	       : str_starts(str_of(program_invocation_short_name), STR("postroom-smtp"))
		       ? s->user_smtp
	       : str_starts(str_of(program_invocation_short_name), STR("postroom-auth"))
		       ? s->user_auth
	       : str_starts(str_of(program_invocation_short_name), STR("postroom-queue"))
		       ? s->user_queue
		       : s->user_mail;
}

/* The cages that the real roles have. */
static const struct role roles[] = {
	{ .name = "auth", .bit = ROLE_AUTH },
	{ .name = "gate",
		.bit = ROLE_GATE,
		.cage = { .chroot_below_runtime = "gate",
			.no_file_writes = true,
			.allow_syscalls = role_syscalls_common,
			.no_inet = true } },
	{ .name = "imap",
		.bit = ROLE_IMAP,
		.cage = { .landlock_mail_root = true,
			.allow_syscalls = role_syscalls_files,
			.no_inet = true } },
	{ .name = "lmtp",
		.bit = ROLE_LMTP,
		.cage = { .landlock_mail_root = true,
			.allow_syscalls = role_syscalls_files,
			.no_inet = true } },
	{ .name = "smtp",
		.bit = ROLE_SMTP,
		.cage = { .limit_message_size = true,
			.landlock_no_files = true,
			.allow_syscalls = role_syscalls_files,
			.no_inet = true } },
	{ .name = "queue", .bit = ROLE_QUEUE },
};

int
main(int argc, char **argv)
{
	struct str name = str_of(program_invocation_short_name);

	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		struct role r = roles[i];
		if (!str_ends(name, str_of(r.name)))
			continue;
		r.user = user_of;
		r.check = check;
		r.init = init;
		r.start = start;
		r.reload = reload;
		r.child_died = child_died;
		r.stop = stop;
		return role_main(argc, argv, &r);
	}
	return 2;
}
