/* Messages with descriptors over SEQPACKET sockets; see ipc.h. Master and roles, gate and imap,
 * queue and smtp call it. Invariant: every descriptor that arrives is either given to on_message or
 * closed, and every descriptor given to ipc_send is closed here. */
#include "core/event/ipc.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/xalloc.h"

enum {
	QUEUE_MAX = 4096,
	MESSAGES_A_CALLBACK = 16,
	RETRY_MS = 10,
	PACKET_MAX = IPC_PAYLOAD_MAX + 4,
};

struct ipc_out {
	struct list link;
	int fds[IPC_FDS_MAX];
	size_t fds_count;
	uint32_t type;
	size_t n;
	char payload[];
};

struct ipc {
	struct loop_io io;
	struct loop_timer retry;
	const struct ipc_ops *ops;
	void *arg;
	struct list queue;
	size_t queued;
	bool ended;
	bool out_dead;
	bool *freed; /* set while a callback runs */
};

union control {
	char room[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	struct cmsghdr align;
};

static void
close_fds(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)close(fds[i]);
}

static void
put_le(unsigned char *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t
get_le(const void *from, size_t n)
{
	const unsigned char *p = from;
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

/* ERR_AGAIN: the socket is full; ERR_BUSY: the kernel is short of something, no event will tell;
 * ERR_EOF: nobody reads any more. */
static enum err
send_packet(int fd, uint32_t type, struct str payload, const int *fds, size_t fds_count)
{
	unsigned char head[4];
	union control c;
	struct iovec iov[2] = { { head, sizeof head },
		{ (void *)(uintptr_t)payload.p, payload.n } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	put_le(head, type, sizeof head);
	if (fds_count != 0) {
		memset(&c, 0, sizeof c);
		m.msg_control = c.room;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * fds_count);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * fds_count);
		memcpy(CMSG_DATA(h), fds, sizeof(int) * fds_count);
	}
	for (;;) {
		if (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return ERR_OK;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return ERR_AGAIN;
		if (errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS)
			return ERR_BUSY;
		return errno == EMSGSIZE ? ERR_LIMIT : ERR_EOF;
	}
}

static size_t
take_fds(struct msghdr *m, int *fds)
{
	size_t count = 0;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		const unsigned char *data = CMSG_DATA(h);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, data + i * sizeof fd, sizeof fd);
			if (count < IPC_FDS_MAX)
				fds[count++] = fd;
			else
				(void)close(fd);
		}
	}
	return count;
}

/* One packet into p (PACKET_MAX + 1 bytes). */
static enum err
recv_packet(int fd, unsigned char *p, size_t *n_out, int *fds, size_t *fds_count_out)
{
	union control c;
	struct iovec iov = { p, PACKET_MAX + 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.room,
		.msg_controllen = sizeof c.room };
	ssize_t n;

	do {
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		/* a peer that closed with our packets unread: reported once, and before what
		 * it sent, which still waits */
	} while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	*fds_count_out = 0;
	if (n < 0)
		return errno == EAGAIN ? ERR_AGAIN : ERR_TEMP;
	*fds_count_out = take_fds(&m, fds);
	if (n == 0 && *fds_count_out == 0)
		return ERR_EOF;
	if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || n < 4 || n > PACKET_MAX) {
		close_fds(fds, *fds_count_out);
		*fds_count_out = 0;
		return ERR_SYNTAX;
	}
	*n_out = (size_t)n;
	return ERR_OK;
}

static void
drop_queue(struct ipc *c)
{
	LIST_FOREACH (node, &c->queue) {
		struct ipc_out *o = CONTAINER_OF(node, struct ipc_out, link);
		list_remove(node);
		close_fds(o->fds, o->fds_count);
		explicit_bzero(o->payload, o->n);
		free(o);
	}
	c->queued = 0;
}

static void
ipc_update(struct ipc *c)
{
	int events = 0;

	if (!c->ended)
		events |= LOOP_READ;
	if (!c->ended && c->queued != 0 && !loop_timer_active(&c->retry))
		events |= LOOP_WRITE;
	loop_io_set(&c->io, events);
}

static void
flush_queue(struct ipc *c)
{
	while (!list_empty(&c->queue)) {
		struct ipc_out *o = CONTAINER_OF(c->queue.next, struct ipc_out, link);
		enum err e = send_packet(
			c->io.fd, o->type, str_n(o->payload, o->n), o->fds, o->fds_count);
		if (e == ERR_AGAIN)
			return;
		if (e == ERR_BUSY) {
			loop_timer_start(&c->retry, RETRY_MS);
			return;
		}
		if (e == ERR_EOF) {
			/* the reading side finds the end, after what the peer still sent */
			c->out_dead = true;
			drop_queue(c);
			return;
		}
		list_remove(&o->link);
		close_fds(o->fds, o->fds_count);
		explicit_bzero(o->payload, o->n);
		free(o);
		c->queued--;
	}
}

static void
on_retry(struct loop_timer *t)
{
	struct ipc *c = t->arg;

	flush_queue(c);
	ipc_update(c);
}

static void
end(struct ipc *c, enum err why)
{
	c->ended = true;
	c->out_dead = true;
	drop_queue(c);
	loop_timer_stop(&c->retry);
	ipc_update(c);
	c->ops->on_end(c->arg, c, why);
}

static void
on_io(struct loop_io *io, int events)
{
	struct ipc *c = io->arg;
	/* one packet at a time is read; the content is wiped after its callback */
	unsigned char *packet = loop_room(io->loop, LOOP_ROOM_IPC, PACKET_MAX + 1);
	bool freed = false;

	if (events & LOOP_WRITE)
		flush_queue(c);
	for (int i = 0; i < MESSAGES_A_CALLBACK && (events & LOOP_READ); i++) {
		int fds[IPC_FDS_MAX];
		size_t n = 0, fds_count;
		enum err e = recv_packet(io->fd, packet, &n, fds, &fds_count);
		if (e == ERR_AGAIN)
			break;
		if (e != ERR_OK) {
			end(c, e);
			return;
		}
		c->freed = &freed;
		c->ops->on_message(c->arg, c, (uint32_t)get_le(packet, 4), str_n(packet + 4, n - 4),
			fds, fds_count);
		explicit_bzero(packet, n);
		if (freed)
			return;
		c->freed = NULL;
	}
	ipc_update(c);
}

struct ipc *
ipc_new(struct loop *l, int fd, const struct ipc_ops *ops, void *arg)
{
	struct ipc *c = xcalloc(1, sizeof *c);

	c->ops = ops;
	c->arg = arg;
	list_init(&c->queue);
	loop_io_init(&c->io, l, fd, on_io, c);
	loop_timer_init(&c->retry, l, on_retry, c);
	ipc_update(c);
	return c;
}

void
ipc_free(struct ipc *c)
{
	if (c == NULL)
		return;
	if (c->freed != NULL)
		*c->freed = true;
	drop_queue(c);
	loop_timer_stop(&c->retry);
	loop_io_set(&c->io, 0);
	(void)close(c->io.fd);
	free(c);
}

static void
enqueue(struct ipc *c, uint32_t type, struct str payload, const int *fds, size_t fds_count)
{
	struct ipc_out *o = xmalloc(sizeof *o + payload.n);

	o->type = type;
	o->n = payload.n;
	o->fds_count = fds_count;
	if (fds_count != 0)
		memcpy(o->fds, fds, sizeof(int) * fds_count);
	if (payload.n != 0)
		memcpy(o->payload, payload.p, payload.n);
	list_push_back(&c->queue, &o->link);
	c->queued++;
}

enum err
ipc_send(struct ipc *c, uint32_t type, struct str payload, const int *fds, size_t fds_count)
{
	enum err e = ERR_AGAIN;

	assert(fds_count <= IPC_FDS_MAX);
	if (payload.n > IPC_PAYLOAD_MAX || c->queued >= QUEUE_MAX)
		e = ERR_LIMIT;
	else if (c->out_dead)
		e = ERR_EOF;
	else if (list_empty(&c->queue))
		e = send_packet(c->io.fd, type, payload, fds, fds_count);
	if (e == ERR_AGAIN || e == ERR_BUSY) {
		enqueue(c, type, payload, fds, fds_count);
		if (e == ERR_BUSY)
			loop_timer_start(&c->retry, RETRY_MS);
		ipc_update(c);
		return ERR_OK;
	}
	close_fds(fds, fds_count);
	if (e == ERR_EOF)
		c->out_dead = true;
	return e;
}

enum err
ipc_peer(const struct ipc *c, unsigned *uid_out, int *pid_out)
{
	struct ucred cred;
	socklen_t n = sizeof cred;

	if (getsockopt(c->io.fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
		return ERR_TEMP;
	*uid_out = cred.uid;
	*pid_out = cred.pid;
	return ERR_OK;
}

size_t
ipc_queued(const struct ipc *c)
{
	return c->queued;
}

static enum err
wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return ERR_TEMP;
	return ERR_OK;
}

enum err
ipc_recv_blocking(int fd, uint32_t *type_out, struct buf *payload_out, int *fds, size_t *fds_count)
{
	unsigned char *packet = xmalloc(PACKET_MAX + 1);
	int got[IPC_FDS_MAX];
	size_t n = 0, count = 0, room = *fds_count;
	enum err e;

	*fds_count = 0;
	do {
		e = recv_packet(fd, packet, &n, got, &count);
		if (e == ERR_AGAIN && wait_for(fd, POLLIN) != ERR_OK)
			e = ERR_TEMP;
	} while (e == ERR_AGAIN);
	if (e == ERR_OK) {
		*type_out = (uint32_t)get_le(packet, 4);
		buf_add(payload_out, str_n(packet + 4, n - 4));
		explicit_bzero(packet, n);
	}
	free(packet);
	if (e != ERR_OK)
		return e;
	if (count > room || buf_check(payload_out) != ERR_OK) {
		close_fds(got, count);
		return ERR_SYNTAX;
	}
	memcpy(fds, got, sizeof(int) * count);
	*fds_count = count;
	return ERR_OK;
}

enum err
ipc_send_blocking(int fd, uint32_t type, struct str payload, const int *fds, size_t fds_count)
{
	enum err e = ERR_LIMIT;

	assert(fds_count <= IPC_FDS_MAX);
	while (payload.n <= IPC_PAYLOAD_MAX) {
		e = send_packet(fd, type, payload, fds, fds_count);
		if (e == ERR_BUSY)
			(void)poll(NULL, 0, RETRY_MS);
		else if (e != ERR_AGAIN || wait_for(fd, POLLOUT) != ERR_OK)
			break;
	}
	close_fds(fds, fds_count);
	return e == ERR_AGAIN ? ERR_TEMP : e;
}

enum err
ipc_connect(const char *path, int *fd_out)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd, saved;

	if (n >= sizeof sa.sun_path)
		return ERR_LIMIT;
	memcpy(sa.sun_path, path, n);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof sa) == 0) {
		*fd_out = fd;
		return ERR_OK;
	}
	saved = errno;
	if (fd >= 0)
		(void)close(fd);
	errno = saved;
	return ERR_TEMP;
}

enum err
ipc_pair(int fds_out[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds_out) == 0
		       ? ERR_OK
		       : ERR_TEMP;
}

void
ipc_put_str(struct buf *b, struct str s)
{
	unsigned char len[4];

	put_le(len, s.n, sizeof len);
	buf_add(b, str_n(len, sizeof len));
	buf_add(b, s);
}

void
ipc_put_u64(struct buf *b, uint64_t v)
{
	unsigned char p[8];

	put_le(p, v, sizeof p);
	buf_add(b, str_n(p, sizeof p));
}

enum err
ipc_get_str(struct str *in, struct str *out)
{
	size_t n;

	if (in->n < 4)
		return ERR_SYNTAX;
	n = (size_t)get_le(in->p, 4);
	if (n > in->n - 4)
		return ERR_SYNTAX;
	*out = str_n(in->p + 4, n);
	*in = str_from(*in, 4 + n);
	return ERR_OK;
}

enum err
ipc_get_u64(struct str *in, uint64_t *out)
{
	if (in->n < 8)
		return ERR_SYNTAX;
	*out = get_le(in->p, 8);
	*in = str_from(*in, 8);
	return ERR_OK;
}

enum err
ipc_get_number(struct str *in, uint64_t max, uint64_t *out)
{
	enum err e = ipc_get_u64(in, out);

	return e == ERR_OK && *out > max ? ERR_SYNTAX : e;
}
