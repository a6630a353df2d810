/* Accepting connections and binding addresses; see listener.h. Roles accept, master binds.
 * Invariant: an accepted descriptor is non-blocking, close-on-exec and belongs to fn. */
#include "core/event/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/xalloc.h"

enum { ACCEPTS_A_CALLBACK = 16, REST_MS = 100, BACKLOG = 1024 };

struct listener {
	struct loop_io io;
	struct loop_timer rest;
	listener_fn fn;
	void *arg;
	bool accepting;
	bool *freed; /* set while fn runs */
};

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
	struct sockaddr_storage any;
};

static void
name_of(const union address *a, char *out, size_t size, uint16_t *port_out)
{
	out[0] = '\0';
	*port_out = 0;
	if (a->sa.sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &a->v4.sin_addr, out, (socklen_t)size);
		*port_out = ntohs(a->v4.sin_port);
	} else if (a->sa.sa_family == AF_INET6) {
		const unsigned char *b = a->v6.sin6_addr.s6_addr;
		if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
			(void)inet_ntop(AF_INET, b + 12, out, (socklen_t)size);
		else
			(void)inet_ntop(AF_INET6, b, out, (socklen_t)size);
		*port_out = ntohs(a->v6.sin6_port);
	}
}

static void
describe(int fd, const union address *from, struct peer *p)
{
	union address local = { .sa = { .sa_family = AF_UNSPEC } };
	socklen_t n = sizeof local;
	int on = 1;

	memset(p, 0, sizeof *p);
	p->uid = (uid_t)-1;
	if (from->sa.sa_family == AF_UNIX) {
		struct ucred cred;
		socklen_t size = sizeof cred;
		p->is_unix = true;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0) {
			p->uid = cred.uid;
			p->pid = cred.pid;
		}
		return;
	}
	name_of(from, p->addr, sizeof p->addr, &p->port);
	if (getsockname(fd, &local.sa, &n) == 0)
		name_of(&local, p->local_addr, sizeof p->local_addr, &p->local_port);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void
listener_update(struct listener *s)
{
	bool on = s->accepting && !loop_timer_active(&s->rest);

	loop_io_set(&s->io, on ? LOOP_READ : 0);
}

static void
on_rest(struct loop_timer *t)
{
	listener_update(t->arg);
}

static void
on_io(struct loop_io *io, int events)
{
	struct listener *s = io->arg;
	bool freed = false;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_CALLBACK && s->accepting; i++) {
		union address from = { .sa = { .sa_family = AF_UNIX } };
		socklen_t n = sizeof from;
		struct peer peer;
		int fd = accept4(io->fd, &from.sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && errno == EAGAIN)
			break;
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
				      errno == ENOMEM)) {
			loop_timer_start(&s->rest, REST_MS);
			break;
		}
		if (fd < 0) /* the connection's own trouble: ECONNABORTED and its like */
			continue;
		describe(fd, &from, &peer);
		s->freed = &freed;
		s->fn(s->arg, fd, &peer);
		if (freed)
			return;
		s->freed = NULL;
	}
	listener_update(s);
}

struct listener *
listener_new(struct loop *l, int fd, listener_fn fn, void *arg)
{
	struct listener *s = xcalloc(1, sizeof *s);

	s->fn = fn;
	s->arg = arg;
	s->accepting = true;
	loop_io_init(&s->io, l, fd, on_io, s);
	loop_timer_init(&s->rest, l, on_rest, s);
	listener_update(s);
	return s;
}

void
listener_free(struct listener *s)
{
	if (s == NULL)
		return;
	if (s->freed != NULL)
		*s->freed = true;
	loop_timer_stop(&s->rest);
	/* other workers hold the same socket */
	loop_io_forget(&s->io);
	(void)close(s->io.fd);
	free(s);
}

void
listener_set_accepting(struct listener *s, bool on)
{
	s->accepting = on;
	listener_update(s);
}

/* errno's kind, with its text. */
static enum err
failed(const char **err_out)
{
	int code = errno;

	*err_out = strerrordesc_np(code);
	if (code == EACCES || code == EPERM || code == EROFS)
		return ERR_DENIED;
	return code == EADDRINUSE ? ERR_EXISTS : ERR_TEMP;
}

/* A socket file that nobody listens on any more. */
static bool
is_stale(const struct sockaddr_un *un, int type)
{
	struct stat st;
	int fd, rc;

	if (lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	rc = connect(fd, (const struct sockaddr *)un, sizeof *un);
	rc = rc == 0 ? 0 : errno;
	(void)close(fd);
	return rc == ECONNREFUSED;
}

static const char bad_path[] = "path of a unix socket is empty or too long";
static const char bad_address[] =
	"not an address: want 127.0.0.1:143, [::1]:143, *:143 or unix:/path";

static bool
path_ok(struct str path)
{
	struct sockaddr_un un;

	return path.n > 0 && path.n < sizeof un.sun_path && !str_has_nul(path);
}

static enum err
bind_unix(struct str path, int type, const struct listen_options *o, int *fd_out,
	const char **err_out)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	enum err e = ERR_OK;
	mode_t mask;
	int fd, rc;

	if (!path_ok(path)) {
		*err_out = bad_path;
		return ERR_SYNTAX;
	}
	memcpy(un.sun_path, path.p, path.n);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return failed(err_out);
	/* the mode comes from bind itself: no chmod by path, which could follow a link */
	mask = umask(0777 & ~o->mode);
	rc = bind(fd, (const struct sockaddr *)&un, sizeof un);
	if (rc != 0 && errno == EADDRINUSE) {
		if (is_stale(&un, type) && unlink(un.sun_path) == 0)
			rc = bind(fd, (const struct sockaddr *)&un, sizeof un);
		else
			errno = EADDRINUSE;
	}
	if (rc != 0)
		e = failed(err_out);
	(void)umask(mask);
	if (e == ERR_OK && o->uid != (uid_t)-1 && lchown(un.sun_path, o->uid, o->gid) != 0)
		e = failed(err_out);
	if (e == ERR_OK && listen(fd, BACKLOG) != 0)
		e = failed(err_out);
	if (e != ERR_OK)
		(void)close(fd);
	else
		*fd_out = fd;
	return e;
}

/* "127.0.0.1:25", "[::1]:25", "*:25" */
static enum err
parse_inet(struct str address, union address *a, socklen_t *n_out)
{
	struct str host, port;
	size_t colon = str_rchr(address, ':');
	char text[64];
	uint32_t number;

	memset(a, 0, sizeof *a);
	if (colon == address.n)
		return ERR_SYNTAX;
	host = str_sub(address, 0, colon);
	port = str_from(address, colon + 1);
	if (str_to_u32(port, 65535, &number) != ERR_OK || host.n >= sizeof text)
		return ERR_SYNTAX;
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_sub(host, 1, host.n - 2);
	else if (str_chr(host, ':') != host.n)
		return ERR_SYNTAX;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (str_eq(host, STR("*")) || inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)number);
		*n_out = sizeof a->v6;
		return ERR_OK;
	}
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) != 1)
		return ERR_SYNTAX;
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons((uint16_t)number);
	*n_out = sizeof a->v4;
	return ERR_OK;
}

static enum err
bind_inet(struct str address, const struct listen_options *o, int *fd_out, const char **err_out)
{
	union address a;
	socklen_t n;
	int on = 1, off = 0;
	int fd;

	if (parse_inet(address, &a, &n) != ERR_OK) {
		*err_out = bad_address;
		return ERR_SYNTAX;
	}
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && address.p[0] == '*') {
		uint16_t port = a.v6.sin6_port;
		a = (union address){ .v4 = { .sin_family = AF_INET, .sin_port = port } };
		n = sizeof a.v4;
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (fd < 0)
		return failed(err_out);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (o->reuse_port)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	if (a.sa.sa_family == AF_INET6)
		(void)setsockopt(
			fd, IPPROTO_IPV6, IPV6_V6ONLY, address.p[0] == '*' ? &off : &on, sizeof on);
	if (bind(fd, &a.sa, n) != 0 || listen(fd, BACKLOG) != 0) {
		enum err e = failed(err_out);
		(void)close(fd);
		return e;
	}
	*fd_out = fd;
	return ERR_OK;
}

enum err
listen_bind(struct str address, const struct listen_options *o, int *fd_out, const char **err_out)
{
	*err_out = "";
	if (str_starts(address, STR("unix:")))
		return bind_unix(str_from(address, 5), SOCK_STREAM, o, fd_out, err_out);
	if (str_starts(address, STR("seqpacket:")))
		return bind_unix(str_from(address, 10), SOCK_SEQPACKET, o, fd_out, err_out);
	return bind_inet(address, o, fd_out, err_out);
}

enum err
listen_check(struct str address, const char **err_out)
{
	union address a;
	socklen_t n;

	*err_out = "";
	if (str_starts(address, STR("unix:")))
		*err_out = path_ok(str_from(address, 5)) ? "" : bad_path;
	else if (parse_inet(address, &a, &n) != ERR_OK)
		*err_out = bad_address;
	return **err_out == '\0' ? ERR_OK : ERR_SYNTAX;
}
