/* core/event beside streams: loop, ipc, listeners, connecting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/event/connect.h"
#include "core/event/ipc.h"
#include "core/event/listener.h"

static struct loop *loop;
static struct loop_timer guard;
static bool timed_out;
static char folder[64];

static void
on_guard(struct loop_timer *t)
{
	timed_out = true;
	loop_stop(t->loop);
}

static int
setup(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	loop = loop_new();
	timed_out = false;
	loop_timer_init(&guard, loop, on_guard, NULL);
	(void)snprintf(folder, sizeof folder, "/tmp/postroom-event-XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	loop_timer_stop(&guard);
	loop_free(loop);
	(void)rmdir(folder);
	return 0;
}

static void
run(void)
{
	loop_timer_start(&guard, 30000);
	loop_run(loop);
	assert_false(timed_out);
}

static void
run_for(int64_t ms)
{
	loop_timer_start(&guard, ms);
	loop_run(loop);
	timed_out = false;
}

/* Loop: after a stall, what came meanwhile is read before the deadlines of who waits for it. */
struct awaited {
	struct loop_io io;
	struct loop_timer deadline;
	bool came, late;
};

static void
on_awaited(struct loop_io *io, int events)
{
	struct awaited *a = io->arg;
	(void)events;
	a->came = true;
	loop_io_set(io, 0);
	loop_timer_stop(&a->deadline);
	loop_stop(io->loop);
}

static void
on_awaited_deadline(struct loop_timer *t)
{
	struct awaited *a = t->arg;
	a->late = true;
}

static void
stall(struct loop_task *t)
{
	const int *fd = t->arg;
	assert_int_equal(write(*fd, "x", 1), 1);
	(void)usleep(50000);
}

static void
test_answer_before_deadline(void **state)
{
	struct awaited a = { .came = false };
	struct loop_task task;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	loop_io_init(&a.io, loop, fds[0], on_awaited, &a);
	loop_io_set(&a.io, LOOP_READ);
	loop_timer_init(&a.deadline, loop, on_awaited_deadline, &a);
	loop_timer_start(&a.deadline, 10);
	loop_task_init(&task, loop, stall, &fds[1]);
	loop_task_queue(&task);
	run();
	assert_true(a.came);
	assert_false(a.late);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* Loop: tasks run behind pending events and before the loop sleeps; one that queues itself does
 * not starve a socket. */
struct ticker {
	struct loop_task task;
	struct loop_io io;
	unsigned runs;
	bool readable;
};

static void
on_tick(struct loop_task *t)
{
	struct ticker *k = t->arg;

	k->runs++;
	if (!k->readable && k->runs < 1000000)
		loop_task_queue(t);
	else
		loop_stop(t->loop);
}

static void
on_readable(struct loop_io *io, int events)
{
	struct ticker *k = io->arg;

	assert_int_equal(events, LOOP_READ);
	k->readable = true;
	loop_io_set(io, 0);
}

static void
test_loop_tasks(void **state)
{
	struct ticker k = { .runs = 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	loop_task_init(&k.task, loop, on_tick, &k);
	loop_io_init(&k.io, loop, fds[0], on_readable, &k);
	loop_io_set(&k.io, LOOP_READ);
	assert_int_equal(write(fds[1], "x", 1), 1);
	loop_task_queue(&k.task);
	loop_task_queue(&k.task);
	run();
	assert_true(k.readable);
	assert_true(k.runs < 10);
	k.runs = 0;
	loop_task_queue(&k.task);
	loop_task_cancel(&k.task);
	run_for(5);
	assert_int_equal(k.runs, 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* Loop: late tasks run in their order, behind the others, and sockets are looked at in between. */
struct late {
	struct loop_task task;
	struct ticker *ticker;
	unsigned at; /* when it ran */
	bool other;  /* an ordinary task */
};

static void
on_late(struct loop_task *t)
{
	struct late *late = t->arg;
	struct ticker *k = late->ticker;
	int64_t began = clock_us();

	late->at = ++k->runs;
	while (!late->other && clock_us() - began < 3000)
		;
	if (k->runs == 21)
		loop_stop(t->loop);
}

static void
on_between(struct loop_io *io, int events UNUSED)
{
	struct ticker *k = io->arg;

	k->readable = k->runs < 10;
	loop_io_set(io, 0);
}

static void
test_loop_late_tasks(void **state)
{
	struct ticker k = { .runs = 0 };
	struct late late[20], other = { .ticker = &k, .other = true };
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	loop_io_init(&k.io, loop, fds[0], on_between, &k);
	for (size_t i = 0; i < ARRAY_LEN(late); i++) {
		late[i] = (struct late){ .ticker = &k };
		loop_task_init(&late[i].task, loop, on_late, &late[i]);
		loop_task_queue_late(&late[i].task);
	}
	loop_task_init(&other.task, loop, on_late, &other);
	loop_task_queue(&other.task);
	run_for(1);
	assert_int_equal(other.at, 1);
	assert_true(k.runs > 1 && k.runs < 10);
	loop_io_set(&k.io, LOOP_READ);
	assert_int_equal(write(fds[1], "x", 1), 1);
	run();
	assert_true(k.readable);
	for (size_t i = 0; i < ARRAY_LEN(late); i++)
		assert_int_equal(late[i].at, i + 2);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
on_once(struct loop_timer *t)
{
	int64_t *at = t->arg;

	*at = clock_ms();
	loop_stop(t->loop);
}

static void
test_loop_timer(void **state)
{
	struct loop_timer t;
	int64_t at = 0, begin = clock_ms();

	(void)state;
	loop_timer_init(&t, loop, on_once, &at);
	assert_false(loop_timer_active(&t));
	loop_timer_start(&t, 1);
	loop_timer_start(&t, 30); /* the later one counts */
	assert_true(loop_timer_active(&t));
	run();
	assert_false(loop_timer_active(&t));
	assert_true(at - begin >= 29);
	assert_true(loop_now_ms(loop) >= at);
	loop_timer_start(&t, 10);
	loop_timer_stop(&t);
	at = 0;
	run_for(20);
	assert_int_equal(at, 0);
}

static void
on_signal(struct loop_signal *s, int signum)
{
	int *got = s->arg;

	*got = signum;
	loop_stop(s->loop);
}

static void
test_loop_signal(void **state)
{
	struct loop_signal s;
	int got = 0;

	(void)state;
	loop_signal_start(&s, loop, SIGUSR1, on_signal, &got);
	(void)raise(SIGUSR1);
	run();
	assert_int_equal(got, SIGUSR1);
	loop_signal_stop(&s);
}

/* Is fd in one of this process's epoll sets? */
static bool
is_watched(int fd)
{
	char path[64], line[256];
	bool found = false;

	for (int set = 0; set < 256; set++) {
		(void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", set);
		FILE *f = fopen(path, "re");
		while (f != NULL && fgets(line, sizeof line, f) != NULL) {
			struct str head, rest;
			uint32_t n;
			if (str_starts(str_of(line), STR("tfd:")) &&
				str_cut(str_trim(str_from(str_of(line), 4)), ' ', &head, &rest) &&
				str_to_u32(head, 10000, &n) == ERR_OK && (int)n == fd)
				found = true;
		}
		if (f != NULL)
			(void)fclose(f);
	}
	return found;
}

/* A descriptor that goes to another process must leave the kernel's set before it is closed here,
 * or its events would go on arriving. */
static void
test_loop_forget(void **state)
{
	struct ticker k = { .runs = 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	loop_io_init(&k.io, loop, fds[0], on_readable, &k);
	loop_io_set(&k.io, LOOP_READ);
	run_for(5);
	assert_true(is_watched(fds[0]));
	loop_io_set(&k.io, 0);
	run_for(5);
	assert_true(is_watched(fds[0])); /* libev leaves that to close() */
	loop_io_set(&k.io, LOOP_READ);
	run_for(5);
	loop_io_forget(&k.io);
	run_for(5);
	assert_false(is_watched(fds[0]));
	/* and it can come back */
	assert_int_equal(write(fds[1], "x", 1), 1);
	loop_io_set(&k.io, LOOP_READ);
	run_for(5);
	assert_true(k.readable);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* IPC */
struct side {
	struct ipc *c;
	unsigned messages, ends;
	enum err why;
	uint32_t type;
	struct buf payload;
	int fds[IPC_FDS_MAX];
	size_t fds_count;
	unsigned stop_at;
	bool free_on_message;
};

static void
on_message(void *arg, struct ipc *c, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct side *s = arg;

	assert_int_equal(s->ends, 0);
	s->messages++;
	s->type = type;
	buf_reset(&s->payload);
	buf_add(&s->payload, payload);
	for (size_t i = 0; i < s->fds_count; i++)
		(void)close(s->fds[i]);
	if (fds_count != 0)
		memcpy(s->fds, fds, sizeof(int) * fds_count);
	s->fds_count = fds_count;
	if (s->free_on_message) {
		ipc_free(c);
		s->c = NULL;
		loop_stop(loop);
	}
	if (s->messages == s->stop_at)
		loop_stop(loop);
}

static void
on_end(void *arg, struct ipc *c, enum err why)
{
	struct side *s = arg;

	(void)c;
	s->ends++;
	s->why = why;
	loop_stop(loop);
}

static const struct ipc_ops ops = { on_message, on_end };

static void
side_init(struct side *s, int fd)
{
	*s = (struct side){ .c = ipc_new(loop, fd, &ops, s) };
	buf_init(&s->payload, IPC_PAYLOAD_MAX);
}

static void
side_fini(struct side *s)
{
	ipc_free(s->c);
	for (size_t i = 0; i < s->fds_count; i++)
		(void)close(s->fds[i]);
	buf_fini(&s->payload);
}

static unsigned
open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
test_ipc(void **state)
{
	struct side a, b;
	struct buf big;
	unsigned before, uid;
	int fds[2], pid, pass[2];
	char c = 0;

	(void)state;
	assert_int_equal(ipc_pair(fds), ERR_OK);
	side_init(&a, fds[0]);
	side_init(&b, fds[1]);
	before = open_fds();
	assert_int_equal(pipe2(pass, O_CLOEXEC), 0);
	b.stop_at = 1;
	assert_int_equal(ipc_send(a.c, 7, STR("hello"), pass, 2), ERR_OK);
	assert_int_equal(open_fds(), before); /* taken and closed here */
	run();
	assert_int_equal(b.type, 7);
	assert_true(str_eq(buf_str(&b.payload), STR("hello")));
	assert_int_equal(b.fds_count, 2);
	assert_true(fcntl(b.fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(b.fds[1], "z", 1), 1);
	assert_int_equal(read(b.fds[0], &c, 1), 1);
	assert_int_equal(c, 'z');
	assert_int_equal(ipc_send(a.c, 8, STR_EMPTY, NULL, 0), ERR_OK);
	b.stop_at = 2;
	run();
	assert_int_equal(b.type, 8);
	assert_int_equal(b.payload.n, 0);
	buf_init(&big, IPC_PAYLOAD_MAX + 1);
	memset(buf_reserve(&big, IPC_PAYLOAD_MAX + 1), 'x', IPC_PAYLOAD_MAX + 1);
	buf_commit(&big, IPC_PAYLOAD_MAX + 1);
	assert_int_equal(ipc_send(a.c, 9, buf_str(&big), NULL, 0), ERR_LIMIT);
	b.stop_at = 3;
	assert_int_equal(
		ipc_send(a.c, 9, str_n(big.mem + big.head, IPC_PAYLOAD_MAX), NULL, 0), ERR_OK);
	run();
	assert_int_equal(b.payload.n, IPC_PAYLOAD_MAX);
	assert_int_equal(ipc_peer(a.c, &uid, &pid), ERR_OK);
	assert_int_equal(uid, getuid());
	assert_int_equal(pid, getpid());
	buf_fini(&big);
	side_fini(&a);
	run();
	assert_int_equal(b.ends, 1);
	assert_int_equal(b.why, ERR_EOF);
	assert_int_equal(ipc_send(b.c, 1, STR("x"), NULL, 0), ERR_EOF);
	side_fini(&b);
}

/* A full socket queues; everything arrives once, in order; the queue has an end. */
static void
test_ipc_queue(void **state)
{
	struct side a, b;
	char payload[4096] = { 0 };
	unsigned sent = 0;
	int fds[2];

	(void)state;
	assert_int_equal(ipc_pair(fds), ERR_OK);
	side_init(&a, fds[0]);
	while (ipc_send(a.c, sent, str_n(payload, sizeof payload), NULL, 0) == ERR_OK)
		sent++;
	assert_int_equal(ipc_queued(a.c), 4096);
	assert_true(sent > 4096);
	side_init(&b, fds[1]);
	b.stop_at = sent;
	run();
	assert_int_equal(b.messages, sent);
	assert_int_equal(b.type, sent - 1);
	assert_int_equal(ipc_queued(a.c), 0);
	side_fini(&a);
	side_fini(&b);
}

/* What a process wrote before it died is read, even when it left input unread, which makes the
 * kernel report a reset first. */
static void
test_ipc_last_words(void **state)
{
	struct side b;
	int fds[2];

	(void)state;
	assert_int_equal(ipc_pair(fds), ERR_OK);
	side_init(&b, fds[1]);
	assert_int_equal(ipc_send(b.c, 1, STR("never read"), NULL, 0), ERR_OK);
	assert_int_equal(ipc_send_blocking(fds[0], 2, STR("accepted a"), NULL, 0), ERR_OK);
	assert_int_equal(ipc_send_blocking(fds[0], 3, STR("accepted b"), NULL, 0), ERR_OK);
	(void)close(fds[0]);
	run();
	assert_int_equal(b.messages, 2);
	assert_int_equal(b.type, 3);
	assert_int_equal(b.why, ERR_EOF);
	side_fini(&b);
}

static void
send_raw(int fd, const void *p, size_t n, size_t fds_count)
{
	union {
		char room[CMSG_SPACE(sizeof(int) * 32)];
		struct cmsghdr align;
	} c;
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	memset(&c, 0, sizeof c);
	if (fds_count != 0) {
		m.msg_control = c.room;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * fds_count);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * fds_count);
		for (size_t i = 0; i < fds_count; i++)
			memcpy(CMSG_DATA(h) + i * sizeof(int), &fd, sizeof fd);
	}
	assert_int_equal(sendmsg(fd, &m, 0), (ssize_t)n);
}

/* Packets that a peer of ours would never send end the channel, and leak no descriptor. */
static void
test_ipc_malformed(void **state)
{
	static const struct {
		size_t n, fds;
		bool ok;
	} table[] = {
		{ 1, 0, false },
		{ 3, 1, false },
		{ 4, 0, true },
		{ 4, IPC_FDS_MAX, true },
		{ 4, IPC_FDS_MAX + 1, false },
		{ 20, 20, false },
		{ IPC_PAYLOAD_MAX + 4, 0, true },
		{ IPC_PAYLOAD_MAX + 5, 0, false },
		{ IPC_PAYLOAD_MAX + 100, 2, false },
	};
	char *bytes = xcalloc(1, IPC_PAYLOAD_MAX + 100);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		unsigned before = open_fds();
		struct side b;
		int fds[2];
		assert_int_equal(ipc_pair(fds), ERR_OK);
		side_init(&b, fds[1]);
		b.stop_at = 1;
		send_raw(fds[0], bytes, table[i].n, table[i].fds);
		run();
		assert_int_equal(b.messages, table[i].ok ? 1 : 0);
		assert_int_equal(b.ends, table[i].ok ? 0 : 1);
		assert_int_equal(b.why, table[i].ok ? ERR_OK : ERR_SYNTAX);
		side_fini(&b);
		(void)close(fds[0]);
		assert_int_equal(open_fds(), before);
	}
	free(bytes);
}

static void
test_ipc_free_in_callback(void **state)
{
	struct side b;
	int fds[2];

	(void)state;
	assert_int_equal(ipc_pair(fds), ERR_OK);
	side_init(&b, fds[1]);
	b.free_on_message = true;
	assert_int_equal(ipc_send_blocking(fds[0], 1, STR("a"), NULL, 0), ERR_OK);
	assert_int_equal(ipc_send_blocking(fds[0], 2, STR("b"), NULL, 0), ERR_OK);
	run();
	assert_int_equal(b.messages, 1);
	(void)close(fds[0]);
	side_fini(&b);
}

static void
test_ipc_blocking(void **state)
{
	struct buf payload;
	int fds[2], got[IPC_FDS_MAX], pass;
	size_t count = IPC_FDS_MAX;
	uint32_t type;

	(void)state;
	assert_int_equal(ipc_pair(fds), ERR_OK);
	buf_init(&payload, 4);
	pass = dup(0);
	assert_int_equal(ipc_send_blocking(fds[0], 5, STR("four"), &pass, 1), ERR_OK);
	assert_int_equal(ipc_recv_blocking(fds[1], &type, &payload, got, &count), ERR_OK);
	assert_int_equal(type, 5);
	assert_int_equal(count, 1);
	(void)close(got[0]);
	assert_true(str_eq(buf_str(&payload), STR("four")));
	/* no room for the descriptor */
	pass = dup(0);
	buf_reset(&payload);
	count = 0;
	assert_int_equal(ipc_send_blocking(fds[0], 5, STR("four"), &pass, 1), ERR_OK);
	assert_int_equal(ipc_recv_blocking(fds[1], &type, &payload, got, &count), ERR_SYNTAX);
	/* no room for the payload */
	buf_reset(&payload);
	assert_int_equal(ipc_send_blocking(fds[0], 5, STR("five!"), NULL, 0), ERR_OK);
	assert_int_equal(ipc_recv_blocking(fds[1], &type, &payload, got, &count), ERR_SYNTAX);
	(void)close(fds[0]);
	assert_int_equal(ipc_recv_blocking(fds[1], &type, &payload, got, &count), ERR_EOF);
	(void)close(fds[1]);
	buf_fini(&payload);
}

static void
test_ipc_fields(void **state)
{
	struct buf b;
	struct str in, s;
	uint64_t v;

	(void)state;
	buf_init(&b, 1000);
	ipc_put_str(&b, STR("ab"));
	ipc_put_u64(&b, UINT64_MAX - 1);
	ipc_put_str(&b, STR_EMPTY);
	for (size_t cut = 0; cut < b.n; cut++) {
		in = str_sub(buf_str(&b), 0, cut);
		bool all = ipc_get_str(&in, &s) == ERR_OK && ipc_get_u64(&in, &v) == ERR_OK &&
			   ipc_get_str(&in, &s) == ERR_OK;
		assert_false(all);
	}
	in = buf_str(&b);
	assert_int_equal(ipc_get_str(&in, &s), ERR_OK);
	assert_true(str_eq(s, STR("ab")));
	assert_int_equal(ipc_get_u64(&in, &v), ERR_OK);
	assert_true(v == UINT64_MAX - 1);
	assert_int_equal(ipc_get_str(&in, &s), ERR_OK);
	assert_int_equal(s.n + in.n, 0);
	in = STR("\xff\xff\xff\xff"
		 "abc");
	assert_int_equal(ipc_get_str(&in, &s), ERR_SYNTAX);
	buf_fini(&b);
}

/* Listening and connecting */
struct meeting {
	int accepted, connected;
	struct peer peer;
	enum err e;
	char text[200];
	unsigned calls;
};

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	struct meeting *m = arg;

	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	m->accepted = fd;
	m->peer = *peer;
	if (m->calls != 0)
		loop_stop(loop);
}

static void
on_connect(void *arg, int fd, enum err e, const char *text)
{
	struct meeting *m = arg;

	m->calls++;
	m->connected = fd;
	m->e = e;
	(void)snprintf(m->text, sizeof m->text, "%s", text);
	if (m->accepted >= 0 || e != ERR_OK)
		loop_stop(loop);
}

static int
bind_to(const char *address)
{
	struct listen_options o = { .mode = 0660, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	const char *why;
	int fd = -1;

	assert_int_equal(listen_bind(str_of(address), &o, &fd, &why), ERR_OK);
	return fd;
}

static unsigned
port_of(int fd)
{
	struct sockaddr_storage any;
	socklen_t n = sizeof any;
	const unsigned char *p = (const unsigned char *)&any + 2; /* of both families */

	assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &n), 0);
	return (unsigned)p[0] << 8 | p[1];
}

static void
check_meeting(const char *bind_address, const char *connect_format, const char *seen)
{
	struct meeting m = { .accepted = -1, .connected = -1 };
	int fd = bind_to(bind_address);
	struct listener *l = listener_new(loop, fd, on_accept, &m);
	char address[128];

	(void)snprintf(address, sizeof address, "%s", connect_format);
	if (connect_format[strlen(connect_format) - 1] == ':')
		(void)snprintf(address, sizeof address, "%s%u", connect_format, port_of(fd));
	(void)connect_start(loop, str_of(address), 2000, on_connect, &m);
	assert_int_equal(m.calls, 0);
	run();
	assert_int_equal(m.e, ERR_OK);
	assert_true(m.connected >= 0 && m.accepted >= 0);
	assert_int_equal(m.calls, 1);
	assert_string_equal(m.peer.addr, seen);
	assert_int_equal(m.peer.is_unix, seen[0] == '\0');
	if (m.peer.is_unix) {
		assert_int_equal(m.peer.uid, getuid());
		assert_int_equal(m.peer.pid, getpid());
	} else {
		assert_string_equal(m.peer.local_addr, seen);
		assert_int_equal(m.peer.local_port, port_of(fd));
		assert_int_equal(m.peer.port, port_of(m.connected));
	}
	(void)close(m.accepted);
	(void)close(m.connected);
	listener_free(l);
}

static void
test_meet(void **state)
{
	char bind_address[128];

	(void)state;
	check_meeting("127.0.0.1:0", "127.0.0.1:", "127.0.0.1");
	check_meeting("*:0", "127.0.0.1:", "127.0.0.1");
	check_meeting("127.0.0.1:0", "localhost:", "127.0.0.1"); /* after ::1 refused */
	(void)snprintf(bind_address, sizeof bind_address, "unix:%s/s", folder);
	check_meeting(bind_address, bind_address, "");
	(void)unlink(bind_address + 5);
	(void)snprintf(bind_address, sizeof bind_address, "seqpacket:%s/s", folder);
	check_meeting(bind_address, bind_address, "");
	(void)unlink(bind_address + 10);
}

static void
test_connect_failures(void **state)
{
	/* bound, and nobody listens; a port that was closed may be another's by now */
	const struct sockaddr in = { .sa_family = AF_INET, .sa_data = { 0, 0, 127, 0, 0, 1 } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char closed[32];
	const struct {
		const char *address;
		enum err want;
		const char *text;
	} table[] = {
		{ closed, ERR_TEMP, "Connection refused" },
		{ "unix:/nonexistent/socket", ERR_TEMP, "No such file" },
		{ "unix:", ERR_SYNTAX, "not an address" },
		{ "127.0.0.1", ERR_SYNTAX, "not an address" },
		{ "127.0.0.1:99999", ERR_SYNTAX, "not an address" },
		{ ":25", ERR_SYNTAX, "not an address" },
		{ "name.invalid:25", ERR_NOTFOUND, "" },
	};

	(void)state;
	assert_int_equal(bind(fd, &in, sizeof in), 0);
	(void)snprintf(closed, sizeof closed, "127.0.0.1:%u", port_of(fd));
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct meeting m = { .accepted = -1, .connected = -1 };
		(void)connect_start(loop, str_of(table[i].address), 4000, on_connect, &m);
		assert_int_equal(m.calls, 0);
		run();
		/* a machine without DNS cannot tell that a name does not exist */
		if (table[i].want == ERR_NOTFOUND)
			assert_true(m.e == ERR_NOTFOUND || m.e == ERR_TEMP);
		else
			assert_int_equal(m.e, table[i].want);
		assert_int_equal(m.connected, -1);
		assert_int_equal(m.calls, 1);
		assert_non_null(strstr(m.text, table[i].text));
	}
	(void)close(fd);
}

/* A unix socket with a full backlog: waited for, up to the time given; a canceled one is silent. */
static void
test_connect_timeout(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char address[128];
	struct meeting m = { .accepted = -1, .connected = -1 }, quiet = m;
	struct connecting *c;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), first;
	int64_t begin;

	(void)state;
	(void)snprintf(un.sun_path, sizeof un.sun_path, "%s/s", folder);
	(void)snprintf(address, sizeof address, "unix:%s", un.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	assert_int_equal(listen(fd, 0), 0);
	first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(first, (struct sockaddr *)&un, sizeof un), 0);
	begin = clock_ms();
	(void)connect_start(loop, str_of(address), 100, on_connect, &m);
	c = connect_start(loop, str_of(address), 20000, on_connect, &quiet);
	run_for(30);
	connect_cancel(c);
	run();
	assert_int_equal(m.e, ERR_TEMP);
	assert_true(clock_ms() - begin >= 90);
	assert_int_equal(quiet.calls, 0);
	/* room comes: the next one gets through */
	m.accepted = 0; /* on_connect has nothing else to wait for */
	(void)connect_start(loop, str_of(address), 3000, on_connect, &m);
	run_for(30);
	(void)close(accept(fd, NULL, NULL));
	run();
	assert_int_equal(m.calls, 2);
	assert_int_equal(m.e, ERR_OK);
	(void)close(m.connected);
	(void)close(first);
	(void)close(fd);
	(void)unlink(un.sun_path);
}

/* Who starts slowly has lost nothing of the time: it runs from the loop's first turn on. */
static void
test_connect_after_a_slow_start(void **state)
{
	struct meeting m = { .accepted = -1, .connected = -1 };
	int fd = bind_to("127.0.0.1:0");
	struct listener *l = listener_new(loop, fd, on_accept, &m);
	char address[32];

	(void)state;
	(void)snprintf(address, sizeof address, "127.0.0.1:%u", port_of(fd));
	(void)connect_start(loop, str_of(address), 1000, on_connect, &m);
	(void)usleep(1100 * 1000);
	run();
	assert_int_equal(m.e, ERR_OK);
	assert_int_equal(m.calls, 1);
	(void)close(m.accepted);
	(void)close(m.connected);
	listener_free(l);
}

static void
test_connect_cancel_lookup(void **state)
{
	struct meeting m = { .accepted = -1, .connected = -1 };
	struct connecting *c = connect_start(loop, STR("localhost:1"), 1000, on_connect, &m);

	(void)state;
	connect_cancel(c);
	c = connect_start(loop, STR("localhost:1"), 1000, on_connect, &m);
	run_for(1);
	unsigned calls = m.calls; /* refused already, or still looking up */
	if (calls == 0)
		connect_cancel(c);
	run_for(20);
	assert_int_equal(m.calls, calls);
}

static void
test_listen_bind(void **state)
{
	static const char *const wrong[] = { "", "143", "localhost:143", "127.0.0.1:", "::1:143",
		"127.0.0.1:65536", "[::1:143", "unix:", "*", "256.0.0.1:1" };
	struct listen_options o = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	char address[128];
	const char *why = NULL;
	struct stat st;
	int fd, other, file;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(listen_bind(str_of(wrong[i]), &o, &fd, &why), ERR_SYNTAX);
		assert_true(why[0] != '\0');
		assert_int_equal(listen_check(str_of(wrong[i]), &why), ERR_SYNTAX);
	}
	assert_int_equal(listen_check(STR("*:143"), &why), ERR_OK);
	(void)snprintf(address, sizeof address, "unix:%s/s", folder);
	assert_int_equal(listen_bind(str_of(address), &o, &fd, &why), ERR_OK);
	assert_int_equal(stat(address + 5, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* somebody listens: not replaced; nobody any more: replaced */
	assert_int_equal(listen_bind(str_of(address), &o, &other, &why), ERR_EXISTS);
	(void)close(fd);
	assert_int_equal(listen_bind(str_of(address), &o, &fd, &why), ERR_OK);
	(void)close(fd);
	(void)unlink(address + 5);
	/* a file that is no socket stays */
	file = open(address + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)close(file);
	assert_int_equal(listen_bind(str_of(address), &o, &fd, &why), ERR_EXISTS);
	assert_int_equal(stat(address + 5, &st), 0);
	(void)unlink(address + 5);
	fd = bind_to("127.0.0.1:0");
	(void)snprintf(address, sizeof address, "127.0.0.1:%u", port_of(fd));
	assert_int_equal(listen_bind(str_of(address), &o, &other, &why), ERR_EXISTS);
	(void)close(fd);
}

/* A resting listener leaves connections in the backlog; woken up, it takes them. */
static void
test_listener_rest(void **state)
{
	struct meeting m = { .accepted = -1, .connected = -1 };
	int fd = bind_to("127.0.0.1:0");
	struct listener *l = listener_new(loop, fd, on_accept, &m);
	char address[32];

	(void)state;
	listener_set_accepting(l, false);
	(void)snprintf(address, sizeof address, "127.0.0.1:%u", port_of(fd));
	(void)connect_start(loop, str_of(address), 1000, on_connect, &m);
	while (m.calls == 0)
		run_for(30);
	assert_int_equal(m.accepted, -1);
	listener_set_accepting(l, true);
	run();
	assert_true(m.accepted >= 0);
	(void)close(m.accepted);
	(void)close(m.connected);
	listener_free(l);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_answer_before_deadline),
		T(test_loop_tasks),
		T(test_loop_late_tasks),
		T(test_loop_timer),
		T(test_loop_signal),
		T(test_loop_forget),
		T(test_ipc),
		T(test_ipc_queue),
		T(test_ipc_last_words),
		T(test_ipc_malformed),
		T(test_ipc_free_in_callback),
		T(test_ipc_blocking),
		T(test_ipc_fields),
		T(test_meet),
		T(test_connect_failures),
		T(test_connect_timeout),
		T(test_connect_after_a_slow_start),
		T(test_connect_cancel_lookup),
		T(test_listen_bind),
		T(test_listener_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
