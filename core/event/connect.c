/* Connecting without blocking the loop; see connect.h. The auth and queue roles call it, for LDAP
 * servers and for sockets of ours. Invariant: fn is called once, from the loop, or never after
 * connect_cancel. A name is looked up by a thread of its own that shares only a counted block, so
 * a silent DNS server holds up nobody. */
#include "core/event/connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/xalloc.h"

enum { KEEP_IDLE_SEC = 30, KEEP_INTERVAL_SEC = 5, KEEP_COUNT = 3 };
enum { ADDRESSES_MAX = 16, BACKLOG_RETRY_MS = 20, STACK_BYTES = 512 * 1024 };

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

/* Shared by the loop and the thread; the last one frees it. */
struct lookup {
	atomic_int refs;
	int event_fd;
	char host[256];
	char port[8];
	int code; /* of getaddrinfo; valid after the event */
	union address found[ADDRESSES_MAX];
	size_t found_count;
};

struct connecting {
	struct loop *loop;
	struct loop_io io; /* the eventfd, then the socket */
	struct loop_timer timer;
	struct loop_task task;
	connect_fn fn;
	void *arg;
	struct lookup *lookup;
	union address list[ADDRESSES_MAX];
	size_t count, next;
	union address source; /* family 0: any */
	int type;
	int fd;
	int64_t timeout_ms;
	int64_t deadline_ms; /* from the loop's first turn on */
	int64_t try_until_ms;
	enum err result;
	char text[200];
	char address[128];
};

static void
lookup_unref(struct lookup *k)
{
	if (atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	(void)close(k->event_fd);
	free(k);
}

static void *
lookup_main(void *arg)
{
	struct lookup *k = arg;
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	uint64_t one = 1;

	k->code = getaddrinfo(k->host, k->port, &hints, &found);
	for (struct addrinfo *a = found; a != NULL && k->found_count < ADDRESSES_MAX;
		a = a->ai_next)
		if (a->ai_addrlen <= sizeof k->found[0])
			memcpy(&k->found[k->found_count++], a->ai_addr, a->ai_addrlen);
	if (found != NULL)
		freeaddrinfo(found);
	ssize_t rc = write(k->event_fd, &one, sizeof one);

	(void)rc;
	lookup_unref(k);
	return NULL;
}

static enum err
lookup_start(struct connecting *c, struct str host, struct str port)
{
	struct lookup *k;
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t id;
	int rc;

	if (host.n == 0 || host.n >= sizeof k->host || port.n >= sizeof k->port)
		return ERR_SYNTAX;
	k = xcalloc(1, sizeof *k);
	k->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->event_fd < 0) {
		free(k);
		return ERR_TEMP;
	}
	atomic_init(&k->refs, 2);
	memcpy(k->host, host.p, host.n);
	memcpy(k->port, port.p, port.n);
	c->lookup = k;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&id, &attr, lookup_main, k);
	(void)pthread_attr_destroy(&attr);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		atomic_fetch_sub(&k->refs, 1);
		return ERR_TEMP;
	}
	return ERR_OK;
}

static void
drop_socket(struct connecting *c)
{
	loop_io_set(&c->io, 0);
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
}

static void
drop_lookup(struct connecting *c)
{
	if (c->lookup == NULL)
		return;
	loop_io_set(&c->io, 0);
	lookup_unref(c->lookup);
	c->lookup = NULL;
}

void
connect_cancel(struct connecting *c)
{
	if (c == NULL)
		return;
	drop_lookup(c);
	drop_socket(c);
	loop_timer_stop(&c->timer);
	loop_task_cancel(&c->task);
	free(c);
}

static void
say(struct connecting *c, const char *what)
{
	(void)snprintf(c->text, sizeof c->text, "%s: %s", c->address, what);
}

/* Hand over the result. c is gone afterwards. */
static void
finish(struct connecting *c, enum err e)
{
	connect_fn fn = c->fn;
	void *arg = c->arg;
	char text[sizeof c->text];
	int fd = -1;

	memcpy(text, c->text, sizeof text);
	loop_io_set(&c->io, 0);
	if (e == ERR_OK) {
		fd = c->fd;
		c->fd = -1;
	}
	connect_cancel(c);
	fn(arg, fd, e, e == ERR_OK ? "" : text);
}

static socklen_t
length_of(const union address *a)
{
	switch (a->sa.sa_family) {
	case AF_INET:
		return sizeof a->v4;
	case AF_INET6:
		return sizeof a->v6;
	default:
		return sizeof a->un;
	}
}

enum step { STEP_CONNECTED, STEP_WAIT, STEP_NEXT };

/* Begin with the address at c->next. */
static enum step
try_address(struct connecting *c)
{
	const union address *a = &c->list[c->next];
	int on = 1;
	int rc, code;

	c->fd = socket(a->sa.sa_family, c->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		say(c, strerrordesc_np(errno));
		return STEP_NEXT;
	}
	if (a->sa.sa_family != AF_UNIX)
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (c->source.sa.sa_family == a->sa.sa_family &&
		bind(c->fd, &c->source.sa, length_of(&c->source)) != 0) {
		say(c, strerrordesc_np(errno));
		return STEP_NEXT;
	}
	do
		rc = connect(c->fd, &a->sa, length_of(a));
	while (rc != 0 && errno == EINTR);
	if (rc == 0)
		return STEP_CONNECTED;
	code = errno;
	say(c, strerrordesc_np(code));
	/* a unix socket whose backlog is full says EAGAIN and never becomes ready: ask again */
	if (code == EAGAIN && a->sa.sa_family == AF_UNIX) {
		drop_socket(c);
		c->try_until_ms = c->deadline_ms;
		loop_timer_start(&c->timer, BACKLOG_RETRY_MS);
		return STEP_WAIT;
	}
	return code == EINPROGRESS ? STEP_WAIT : STEP_NEXT;
}

static void
on_socket(struct loop_io *io, int events);

/* Go on with the addresses that are left, each with its share of the time. */
static void
proceed(struct connecting *c)
{
	for (; c->next < c->count; c->next++) {
		int64_t left = c->deadline_ms - loop_now_ms(c->loop);
		int64_t share = left / (int64_t)(c->count - c->next);
		if (left <= 0)
			break;
		c->try_until_ms = loop_now_ms(c->loop) + share;
		switch (try_address(c)) {
		case STEP_CONNECTED:
			finish(c, ERR_OK);
			return;
		case STEP_WAIT:
			if (c->fd < 0)
				return;
			loop_io_init(&c->io, c->loop, c->fd, on_socket, c);
			loop_io_set(&c->io, LOOP_WRITE);
			loop_timer_start(&c->timer, share);
			return;
		case STEP_NEXT:
			drop_socket(c);
		}
	}
	if (c->text[0] == '\0')
		say(c, "timed out");
	finish(c, ERR_TEMP);
}

static void
on_socket(struct loop_io *io, int events)
{
	struct connecting *c = io->arg;
	int code = 0;
	socklen_t n = sizeof code;

	(void)events;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &n) != 0)
		code = errno;
	if (code == 0) {
		finish(c, ERR_OK);
		return;
	}
	say(c, strerrordesc_np(code));
	drop_socket(c);
	c->next++;
	proceed(c);
}

static void
on_timer(struct loop_timer *t)
{
	struct connecting *c = t->arg;

	if (c->lookup != NULL) {
		say(c, "name lookup timed out");
		finish(c, ERR_TEMP);
		return;
	}
	if (c->fd >= 0) { /* this address had its share of the time */
		say(c, "timed out");
		drop_socket(c);
		c->next++;
	}
	proceed(c);
}

static void
on_lookup(struct loop_io *io, int events)
{
	struct connecting *c = io->arg;
	struct lookup *k = c->lookup;
	uint64_t one;

	(void)events;
	if (read(k->event_fd, &one, sizeof one) != (ssize_t)sizeof one)
		return;
	loop_timer_stop(&c->timer);
	if (k->found_count == 0) {
		enum err e =
			k->code == EAI_NONAME || k->code == EAI_NODATA ? ERR_NOTFOUND : ERR_TEMP;
		say(c, k->code != 0 ? gai_strerror(k->code) : "no address");
		finish(c, e);
		return;
	}
	memcpy(c->list, k->found, sizeof k->found[0] * k->found_count);
	c->count = k->found_count;
	drop_lookup(c);
	proceed(c);
}

static enum err
parse_unix(struct connecting *c, struct str path, int type)
{
	union address *a = &c->list[0];

	if (path.n == 0 || path.n >= sizeof a->un.sun_path || str_has_nul(path))
		return ERR_SYNTAX;
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, path.p, path.n);
	c->count = 1;
	c->type = type;
	return ERR_OK;
}

static enum err
parse_inet(struct connecting *c, struct str address)
{
	size_t colon = str_rchr(address, ':');
	struct str host = str_sub(address, 0, colon);
	struct str port = str_from(address, colon + 1);
	union address *a = &c->list[0];
	char text[64] = "";
	uint32_t number;

	if (colon == address.n || str_has_nul(address) ||
		str_to_u32(port, 65535, &number) != ERR_OK)
		return ERR_SYNTAX;
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_sub(host, 1, host.n - 2);
	if (host.n < sizeof text)
		memcpy(text, host.p, host.n);
	c->count = 1;
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons((uint16_t)number);
		return ERR_OK;
	}
	if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)number);
		return ERR_OK;
	}
	c->count = 0;
	return lookup_start(c, host, port);
}

static void
on_task(struct loop_task *t)
{
	struct connecting *c = t->arg;

	/* a role that starts on a slow machine may need seconds from its init to its first turn */
	c->deadline_ms = loop_now_ms(c->loop) + c->timeout_ms;
	if (c->result != ERR_OK) {
		finish(c, c->result);
		return;
	}
	if (c->lookup == NULL) {
		proceed(c);
		return;
	}
	loop_io_init(&c->io, c->loop, c->lookup->event_fd, on_lookup, c);
	loop_io_set(&c->io, LOOP_READ);
	loop_timer_start(&c->timer, c->deadline_ms - loop_now_ms(c->loop));
}

static enum err
parse_source(struct connecting *c, struct str source)
{
	union address *a = &c->source;
	char text[64] = "";

	if (source.n == 0)
		return ERR_OK;
	if (source.n < sizeof text)
		memcpy(text, source.p, source.n);
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1)
		a->v4.sin_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1)
		a->v6.sin6_family = AF_INET6;
	else
		return ERR_SYNTAX;
	return ERR_OK;
}

struct connecting *
connect_start(struct loop *l, struct str address, int64_t timeout_ms, connect_fn fn, void *arg)
{
	return connect_start_from(l, address, STR_EMPTY, timeout_ms, fn, arg);
}

struct connecting *
connect_start_from(struct loop *l, struct str address, struct str source, int64_t timeout_ms,
	connect_fn fn, void *arg)
{
	struct connecting *c = xcalloc(1, sizeof *c);
	size_t n = address.n < sizeof c->address ? address.n : sizeof c->address - 1;

	c->loop = l;
	c->fn = fn;
	c->arg = arg;
	c->fd = -1;
	c->type = SOCK_STREAM;
	c->timeout_ms = timeout_ms;
	memcpy(c->address, address.p, n);
	loop_io_init(&c->io, l, -1, on_socket, c);
	loop_timer_init(&c->timer, l, on_timer, c);
	loop_task_init(&c->task, l, on_task, c);
	if (str_starts(address, STR("unix:")))
		c->result = parse_unix(c, str_from(address, 5), SOCK_STREAM);
	else if (str_starts(address, STR("seqpacket:")))
		c->result = parse_unix(c, str_from(address, 10), SOCK_SEQPACKET);
	else
		c->result = parse_inet(c, address);
	if (c->result == ERR_OK)
		c->result = parse_source(c, source);
	if (c->result != ERR_OK)
		say(c, c->result == ERR_SYNTAX ? "not an address" : "no thread for the lookup");
	/* nothing happens inside this call: the owner has not stored c yet */
	loop_task_queue(&c->task);
	return c;
}

void
connect_watch_peer(int fd, int64_t lost_ms)
{
	const int on = 1, idle = KEEP_IDLE_SEC, interval = KEEP_INTERVAL_SEC, count = KEEP_COUNT;
	const unsigned lost = (unsigned)lost_ms;

	/* each may fail: not TCP, or a kernel without it; then the deadlines of questions remain */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &lost, sizeof lost);
}
