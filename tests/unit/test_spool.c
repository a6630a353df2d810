/* delivery/spool: header format, writers, the channel, and what is left after crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/listener.h"
#include "delivery/spool/message.h"
#include "delivery/spool/server.h"

/* Faults: the n-th call from now fails. */
static _Atomic int fail_sync_in, fail_write_in;

int
__real_fdatasync(int fd);
int
__wrap_fdatasync(int fd);
int
__wrap_fdatasync(int fd)
{
	if (fail_sync_in > 0 && atomic_fetch_sub(&fail_sync_in, 1) == 1) {
		errno = EIO;
		return -1;
	}
	return __real_fdatasync(fd);
}

ssize_t
__real_pwritev(int fd, const struct iovec *iov, int n, off_t off);
ssize_t
__wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off);
ssize_t
__wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	struct iovec one = iov[0];

	if (fail_write_in > 0 && atomic_fetch_sub(&fail_write_in, 1) == 1) {
		errno = ENOSPC;
		return -1;
	}
	/* short writes always: at most 1000 bytes of the first piece, or all when it is empty */
	if (one.iov_len == 0)
		return __real_pwritev(fd, iov, n, off);
	one.iov_len = one.iov_len < 1000 ? one.iov_len : 1000;
	return __real_pwritev(fd, &one, 1, off);
}

struct world {
	struct loop *loop;
	struct pool *pool;
	struct spool_server *server;
	struct spool_client *client;
	struct listener *listener;
	struct loop_timer timeout;
	char dir[64];
	char slots[96];
	char socket[96];
	/* what on_message said */
	char message[SPOOL_NAME_LEN + 1];
	unsigned messages, adopted;
	/* what a commit said */
	enum err committed;
	bool commit_done;
	int (*until)(struct world *w);
	struct loop_timer poll;
};

static void
on_message(void *arg, struct str name, bool adopted)
{
	struct world *w = arg;

	memcpy(w->message, name.p, name.n);
	w->messages++;
	w->adopted += adopted;
}

static const struct spool_server_ops server_ops = { .on_message = on_message };

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	struct world *w = arg;

	(void)peer;
	spool_server_add(w->server, fd);
}

static void
on_poll(struct loop_timer *t)
{
	struct world *w = t->arg;

	if (w->until(w))
		loop_stop(w->loop);
	else
		loop_timer_start(&w->poll, 1);
}

static void
on_timeout(struct loop_timer *t)
{
	(void)t;
	fail_msg("nothing came in a minute");
}

static void
run_until(struct world *w, int (*until)(struct world *w))
{
	w->until = until;
	loop_timer_start(&w->timeout, 60000);
	loop_timer_start(&w->poll, 0);
	loop_run(w->loop);
	loop_timer_stop(&w->timeout);
}

static void
server_start(struct world *w)
{
	struct spool_server_options o = { .dir = w->dir, .ahead = 6, .preallocate = 8192 };
	const char *text = NULL;

	assert_int_equal(
		spool_server_new(w->loop, w->pool, &o, &server_ops, w, &w->server, &text), ERR_OK);
}

static void
listen_start(struct world *w)
{
	struct listen_options lo = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	char address[128];
	const char *text;
	int fd;

	(void)snprintf(address, sizeof(address), "seqpacket:%s", w->socket);
	assert_int_equal(listen_bind(str_of(address), &lo, &fd, &text), ERR_OK);
	w->listener = listener_new(w->loop, fd, on_accept, w);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	log_set_level(LVL_ERROR);
	fail_sync_in = fail_write_in = 0;
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/postroom-spool-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->slots, sizeof(w->slots), "%s/slots", w->dir);
	(void)snprintf(w->socket, sizeof(w->socket), "%s/socket", w->dir);
	w->loop = loop_new();
	w->pool = pool_new(w->loop, 4);
	loop_timer_init(&w->timeout, w->loop, on_timeout, w);
	loop_timer_init(&w->poll, w->loop, on_poll, w);
	server_start(w);
	listen_start(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	char cmd[256];
	static const char *const files[] = { "slots", "corrupt" };

	if (w->client != NULL)
		spool_client_free(w->client);
	if (w->listener != NULL)
		listener_free(w->listener);
	spool_server_free(w->server);
	pool_free(w->pool);
	loop_free(w->loop);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(cmd, sizeof(cmd), "%s/%s", w->dir, files[i]);
		(void)rmdir(cmd);
	}
	(void)snprintf(cmd, sizeof(cmd), "%s/lock", w->dir);
	(void)unlink(cmd);
	(void)unlink(w->socket);
	(void)rmdir(w->dir);
	free(w);
	return 0;
}

static int
slot_at_hand(struct world *w)
{
	return spool_peek(w->client) == ERR_OK;
}

static int
commit_done(struct world *w)
{
	return w->commit_done;
}

static int
message_came(struct world *w)
{
	return w->messages > 0;
}

static int
pool_idle(struct world *w)
{
	return pool_busy(w->pool) == 0;
}

static int
client_away(struct world *w)
{
	return !spool_client_ready(w->client);
}

static void
on_commit(void *arg, struct spool_writer *wr, enum err e)
{
	struct world *w = arg;

	if (e != ERR_OK && spool_writer_error(wr)[0] == 0)
		fail_msg("no text");
	w->committed = e;
	w->commit_done = true;
}

static struct spool_envelope
sample(const struct spool_rcpt *rcpts, size_t n)
{
	return (struct spool_envelope){
		.sender = STR("anna@example.org"),
		.auth_user = STR("anna"),
		.sid = STR("0123"),
		.client = STR("192.0.2.1"),
		.received_ms = 1234567890123,
		.flags = SPOOL_8BITMIME,
		.rcpts = rcpts,
		.rcpts_count = n,
	};
}

static const struct spool_rcpt two_rcpts[] = {
	{ .address = { "ben@example.org", 15 } },
	{ .address = { "\"c d\"@example.org", 17 } },
};

static struct spool_writer *
take(struct world *w)
{
	struct spool_writer *wr = NULL;

	if (w->client == NULL)
		w->client = spool_client_new(w->loop, w->pool, w->socket, 4);
	run_until(w, slot_at_hand);
	assert_int_equal(spool_take(w->client, &wr), ERR_OK);
	return wr;
}

/* n bytes of a pattern, in pieces. */
static void
write_body(struct spool_writer *wr, size_t n, size_t piece)
{
	char *p = xmalloc(piece);

	for (size_t off = 0; off < n; off += piece) {
		size_t step = n - off < piece ? n - off : piece;
		for (size_t i = 0; i < step; i++)
			p[i] = (char)('a' + (off + i) % 23);
		spool_write(wr, str_n(p, step));
	}
	free(p);
}

static void
check_message(struct world *w, size_t body_len, size_t rcpts)
{
	struct spool_message *m;
	char *body = xmalloc(body_len + 1);

	assert_int_equal(spool_open(w->server, str_of(w->message), &m), ERR_OK);
	assert_true(str_eq(m->envelope.name, str_of(w->message)));
	assert_true(str_eq(m->envelope.sender, STR("anna@example.org")));
	assert_true(str_eq(m->envelope.auth_user, STR("anna")));
	assert_int_equal(m->envelope.received_ms, 1234567890123);
	assert_int_equal(m->envelope.flags, SPOOL_8BITMIME);
	assert_int_equal(m->envelope.rcpts_count, rcpts);
	assert_true(str_eq(m->envelope.rcpts[0].address, two_rcpts[0].address));
	assert_int_equal(m->body_len, body_len);
	assert_int_equal(spool_body_check(m), ERR_OK);
	assert_int_equal(spool_body_read(m, 0, body, body_len), ERR_OK);
	for (size_t i = 0; i < body_len; i++)
		assert_int_equal(body[i], 'a' + i % 23);
	assert_int_equal(spool_body_read(m, 1, body, body_len), ERR_CORRUPT);
	free(body);
	spool_message_close(m);
}

static void
test_whole(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 4096, 65535, 65536, 65537, 300000 };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct spool_envelope e = sample(two_rcpts, 2);
		struct spool_writer *wr = take(w);
		write_body(wr, sizes[i], 10007);
		assert_int_equal(spool_writer_bytes(wr), sizes[i]);
		w->commit_done = false;
		w->messages = 0;
		spool_commit(wr, &e, on_commit, w);
		run_until(w, commit_done);
		assert_int_equal(w->committed, ERR_OK);
		run_until(w, message_came);
		assert_int_equal(w->adopted, 0);
		check_message(w, sizes[i], 2);
		spool_remove(w->server, str_of(w->message));
		run_until(w, pool_idle);
		struct spool_message *m;
		assert_int_equal(spool_open(w->server, str_of(w->message), &m), ERR_NOTFOUND);
	}
}

/* An envelope that does not fit into the front block goes behind the body. */
static void
test_many_recipients(void **state)
{
	struct world *w = *state;
	struct spool_rcpt rcpts[2000];
	char text[2000][32];
	struct spool_envelope e;
	struct spool_writer *wr = take(w);
	struct spool_message *m;

	rcpts[0] = two_rcpts[0];
	for (size_t i = 1; i < 2000; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "u%zu@example.org", i);
		rcpts[i] = (struct spool_rcpt){ .address = str_of(text[i]) };
	}
	e = sample(rcpts, 2000);
	write_body(wr, 70000, 70000);
	spool_commit(wr, &e, on_commit, w);
	run_until(w, message_came);
	check_message(w, 70000, 2000);
	assert_int_equal(spool_open(w->server, str_of(w->message), &m), ERR_OK);
	for (size_t i = 0; i < 2000; i++)
		assert_true(str_eq(m->envelope.rcpts[i].address, rcpts[i].address));
	spool_message_close(m);
	spool_remove(w->server, str_of(w->message));
}

static void
test_write_fails(void **state)
{
	struct world *w = *state;
	struct spool_envelope e = sample(two_rcpts, 2);

	for (int nth = 1; nth <= 3; nth++) {
		struct spool_writer *wr = take(w);
		write_body(wr, 200000, 5000);
		fail_write_in = nth;
		w->commit_done = false;
		spool_commit(wr, &e, on_commit, w);
		run_until(w, commit_done);
		assert_int_equal(w->committed, ERR_TEMP);
		assert_int_equal(w->messages, 0);
	}
	run_until(w, pool_idle);
}

static void
test_sync_fails(void **state)
{
	struct world *w = *state;
	struct spool_envelope e = sample(two_rcpts, 2);
	struct spool_writer *wr = take(w);

	write_body(wr, 100, 100);
	fail_sync_in = 1;
	spool_commit(wr, &e, on_commit, w);
	run_until(w, commit_done);
	assert_int_equal(w->committed, ERR_TEMP);
	assert_int_equal(w->messages, 0);
}

/* Aborted writers drop their slots, also with a write in flight; a slot is never used again. */
static void
test_abort(void **state)
{
	struct world *w = *state;
	char first[SPOOL_NAME_LEN + 1] = "";
	struct spool_message *m;

	for (int i = 0; i < 20; i++) {
		struct spool_writer *wr = take(w);
		char name[SPOOL_NAME_LEN + 1] = "";
		memcpy(name, spool_writer_name(wr).p, SPOOL_NAME_LEN);
		if (i == 0)
			memcpy(first, name, sizeof(name));
		else
			assert_string_not_equal(name, first);
		write_body(wr, i % 2 == 0 ? 10 : 150000, 5000);
		spool_abort(wr);
	}
	run_until(w, pool_idle);
	assert_int_equal(spool_open(w->server, str_of(first), &m), ERR_NOTFOUND);
	assert_int_equal(w->messages, 0);
}

static int
adopted_came(struct world *w)
{
	return w->adopted > 0;
}

/* A thread of the pool has written the slot whole; the loop, which stands still here, has not heard
 * of it. A killed process has no thread left that writes on after its socket is closed. */
static void
await_written(const struct world *w, const char *name)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	int fd = open(w->slots, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	for (int left = 60000; spool_verify_at(fd, str_of(name)) != ERR_OK; left--) {
		assert_true(left > 0);
		(void)nanosleep(&moment, NULL);
	}
	close(fd);
}

/* The worker dies: what it had committed is adopted, what it had not is removed. */
static void
test_worker_dies(void **state)
{
	struct world *w = *state;
	struct spool_envelope e = sample(two_rcpts, 2);
	struct spool_writer *done = take(w), *half = take(w);
	char half_name[SPOOL_NAME_LEN + 1] = "", done_name[SPOOL_NAME_LEN + 1] = "";
	struct spool_message *m;

	memcpy(half_name, spool_writer_name(half).p, SPOOL_NAME_LEN);
	memcpy(done_name, spool_writer_name(done).p, SPOOL_NAME_LEN);
	write_body(done, 5000, 500);
	write_body(half, 500000, 5000);
	spool_commit(done, &e, on_commit, w);
	await_written(w, done_name);
	/* Freed before the job's end reaches the loop: as if killed between sync and report. */
	spool_client_free(w->client);
	w->client = NULL;
	run_until(w, commit_done);
	assert_int_equal(w->committed, ERR_TEMP); /* the session says 451 */
	run_until(w, adopted_came);
	assert_int_equal(w->messages, 1);
	check_message(w, 5000, 2);
	spool_abort(half);
	run_until(w, pool_idle);
	assert_int_equal(spool_open(w->server, str_of(half_name), &m), ERR_NOTFOUND);
	spool_remove(w->server, str_of(w->message));
}

static int
is_judged(struct world *w)
{
	return spool_server_unread(w->server) > 0;
}

/* A dead worker's slot that cannot be read at that moment may hold an acknowledged message: it is
 * looked at again without a restart. */
static void
test_slot_unreadable_for_a_while(void **state)
{
	struct world *w = *state;
	struct spool_envelope e = sample(two_rcpts, 2);
	struct spool_writer *done = take(w);
	char path[160], aside[160];

	(void)snprintf(path, sizeof(path), "%s/%.*s", w->slots, STR_FMT(spool_writer_name(done)));
	(void)snprintf(aside, sizeof(aside), "%s/aside", w->slots);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(symlink("aside", path), 0);
	write_body(done, 5000, 500);
	spool_commit(done, &e, on_commit, w);
	spool_client_free(w->client);
	w->client = NULL;
	run_until(w, commit_done);
	run_until(w, is_judged);
	assert_int_equal(w->messages, 0);
	assert_int_equal(rename(aside, path), 0);
	run_until(w, adopted_came);
	assert_int_equal(w->messages, 1);
	check_message(w, 5000, 2);
	spool_remove(w->server, str_of(w->message));
}

/* Queue goes away between the write and its end: never acknowledged, even before the loop heard of
 * the hang-up. */
static void
test_queue_dies(void **state)
{
	struct world *w = *state;
	struct spool_envelope e = sample(two_rcpts, 2);
	struct spool_writer *wr = take(w);

	write_body(wr, 5000, 500);
	spool_commit(wr, &e, on_commit, w);
	listener_free(w->listener);
	w->listener = NULL;
	spool_server_free(w->server);
	server_start(w);
	run_until(w, commit_done);
	assert_int_equal(w->committed, ERR_TEMP);
	run_until(w, client_away);
	assert_int_equal(spool_take(w->client, &wr), ERR_TEMP);
	/* and back: the client finds the new one by itself */
	listen_start(w);
	run_until(w, slot_at_hand);
}

struct scanned {
	struct world *w;
	unsigned good, bad;
};

static void
on_scan(void *arg, struct str name)
{
	struct scanned *s = arg;

	if (spool_adopt(s->w->server, name) == ERR_OK)
		s->good++;
	else
		s->bad++;
}

static void
damage(struct world *w, const char *name, off_t off, const char *bytes, size_t n)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", w->slots, name);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	if (bytes == NULL)
		assert_int_equal(ftruncate(fd, off), 0);
	else
		assert_int_equal(pwrite(fd, bytes, n, off), n);
	close(fd);
}

/* Every kind of torn file is refused at the next start, and its slot removed. */
static void
test_torn(void **state)
{
	static const struct {
		off_t off;
		const char *bytes; /* NULL: truncate at off */
		enum err open, body;
	} table[] = {
		{ 0, "\0", ERR_NOTFOUND, ERR_OK },   /* no magic: the front block never came */
		{ 9, "x", ERR_CORRUPT, ERR_OK },     /* version */
		{ 17, "x", ERR_CORRUPT, ERR_OK },    /* body length */
		{ 37, "x", ERR_CORRUPT, ERR_OK },    /* body's sum */
		{ 44, "x", ERR_CORRUPT, ERR_OK },    /* fixed part's sum */
		{ 60, "\xff", ERR_CORRUPT, ERR_OK }, /* record */
		{ 4096, "Z", ERR_OK, ERR_CORRUPT },  /* first byte of the body */
		{ 99095, "Z", ERR_OK, ERR_CORRUPT }, /* last byte of the body */
		{ 0, NULL, ERR_NOTFOUND, ERR_OK },
		{ 4000, NULL, ERR_NOTFOUND, ERR_OK },
		{ 4096, NULL, ERR_CORRUPT, ERR_OK },
		{ 99095, NULL, ERR_CORRUPT, ERR_OK },
	};
	struct world *w = *state;
	struct spool_envelope e = sample(two_rcpts, 2);

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct spool_writer *wr = take(w);
		struct spool_message *m;
		struct str name;
		write_body(wr, 95000, 5000);
		w->messages = 0;
		spool_commit(wr, &e, on_commit, w);
		run_until(w, message_came);
		name = str_of(w->message);
		damage(w, w->message, table[i].off, table[i].bytes, 1);
		assert_int_equal(spool_open(w->server, name, &m), table[i].open);
		if (table[i].open == ERR_OK) {
			assert_int_equal(spool_body_check(m), table[i].body);
			spool_message_close(m);
		}
		assert_int_not_equal(spool_adopt(w->server, name), ERR_OK);
		run_until(w, pool_idle);
		assert_int_equal(spool_open(w->server, name, &m), ERR_NOTFOUND);
		assert_int_equal(spool_adopt(w->server, name), ERR_NOTFOUND);
	}
}

/* A whole, valid slot under another name is stale blocks, not a message. */
static void
test_wrong_name(void **state)
{
	struct world *w = *state;
	struct spool_envelope e = sample(two_rcpts, 2);
	struct spool_writer *wr = take(w);
	struct spool_message *m;
	char from[160], to[160];

	write_body(wr, 50, 50);
	spool_commit(wr, &e, on_commit, w);
	run_until(w, message_came);
	(void)snprintf(from, sizeof(from), "%s/%s", w->slots, w->message);
	(void)snprintf(to, sizeof(to), "%s/00000000000000aa", w->slots);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(spool_open(w->server, STR("00000000000000aa"), &m), ERR_CORRUPT);
	assert_int_equal(spool_quarantine(w->server, STR("00000000000000aa")), ERR_OK);
	(void)snprintf(to, sizeof(to), "%s/corrupt/00000000000000aa", w->dir);
	assert_int_equal(unlink(to), 0);
}

/* A restarted queue finds what was committed, removes the rest; two queues never share a spool. */
static void
test_restart(void **state)
{
	struct world *w = *state;
	struct spool_envelope e = sample(two_rcpts, 2);
	struct spool_writer *wr = take(w);
	struct scanned s = { .w = w };
	struct spool_server_options o = { .dir = w->dir, .ahead = 6 };
	struct spool_server *second;
	const char *text;

	write_body(wr, 95000, 5000);
	spool_commit(wr, &e, on_commit, w);
	run_until(w, message_came);
	assert_int_equal(
		spool_server_new(w->loop, w->pool, &o, &server_ops, w, &second, &text), ERR_BUSY);
	spool_client_free(w->client);
	w->client = NULL;
	spool_server_free(w->server);
	run_until(w, pool_idle);
	server_start(w);
	assert_int_equal(spool_scan(w->server, on_scan, &s), ERR_OK);
	assert_int_equal(s.good, 1);
	assert_true(s.bad > 0); /* slots that the worker held and never used */
	check_message(w, 95000, 2);
	run_until(w, pool_idle);
	s = (struct scanned){ .w = w };
	assert_int_equal(spool_scan(w->server, on_scan, &s), ERR_OK);
	assert_int_equal(s.good, 1);
	spool_remove(w->server, str_of(w->message));
	run_until(w, pool_idle);
}

static int
disk_full(struct world *w)
{
	return spool_peek(w->client) == ERR_LIMIT;
}

static int
own_slot(struct world *w)
{
	struct spool_writer *wr;

	if (spool_server_take(w->server, &wr) != ERR_OK)
		return 0;
	spool_abort(wr);
	return 1;
}

/* Below the reserve smtp gets no slots, queue itself does. */
static void
test_reserve(void **state)
{
	struct world *w = *state;
	struct spool_server_options o = { .dir = w->dir, .ahead = 6, .reserve_bytes = UINT64_MAX };
	const char *text;

	spool_server_free(w->server);
	run_until(w, pool_idle);
	assert_int_equal(
		spool_server_new(w->loop, w->pool, &o, &server_ops, w, &w->server, &text), ERR_OK);
	w->client = spool_client_new(w->loop, w->pool, w->socket, 4);
	run_until(w, disk_full);
	assert_true(spool_server_full(w->server));
	run_until(w, own_slot);
	run_until(w, pool_idle);
}

static int raw_ended;

static void
raw_message(void *arg, struct ipc *c, uint32_t type, struct str payload, const int *fds, size_t n)
{
	(void)arg;
	(void)c;
	(void)type;
	(void)payload;
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static void
raw_end(void *arg, struct ipc *c, enum err why)
{
	(void)arg;
	(void)c;
	(void)why;
	raw_ended = 1;
}

static int
raw_is_over(struct world *w)
{
	(void)w;
	return raw_ended;
}

/* A worker that was taken over: names it does not hold, odd messages, endless wishes. */
static void
test_bad_worker(void **state)
{
	static const struct ipc_ops ops = { .on_message = raw_message, .on_end = raw_end };
	static const struct {
		uint32_t type;
		const char *payload;
		size_t n;
	} table[] = {
		{ SPOOL_MSG_ACCEPTED,
			"\x10\0\0\0"
			"00000000000000aa",
			20 },
		{ SPOOL_MSG_ACCEPTED, "\x05\0\0\0../..", 9 },
		{ SPOOL_MSG_DROPPED,
			"\x10\0\0\0"
			"00000000000000aa",
			20 },
		{ SPOOL_MSG_DROPPED, "", 0 },
		{ SPOOL_MSG_WANT, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8 },
		{ SPOOL_MSG_WANT, "\x01", 1 },
		{ SPOOL_MSG_SLOTS, "", 0 },
		{ 77, "x", 1 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sockaddr_un sa = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
		struct ipc *c;
		memcpy(sa.sun_path, w->socket, strlen(w->socket));
		assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
		raw_ended = 0;
		c = ipc_new(w->loop, fd, &ops, w);
		assert_int_equal(
			ipc_send(c, table[i].type, str_n(table[i].payload, table[i].n), NULL, 0),
			ERR_OK);
		run_until(w, raw_is_over);
		ipc_free(c);
		assert_int_equal(w->messages, 0);
	}
	run_until(w, pool_idle);
}

static void
test_names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} table[] = { { "0123456789abcdef", true }, { "0123456789abcdeF", false },
		{ "0123456789abcde", false }, { "0123456789abcdef0", false },
		{ "../../../etc/pas", false }, { "", false } };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_int_equal(spool_name_valid(str_of(table[i].name)), table[i].good);
}

/* Every cut and every flipped byte of a record is refused or decodes without harm. */
static void
test_record(void **state)
{
	struct spool_envelope e = sample(two_rcpts, 2), got;
	struct arena *a = arena_new(65536);
	struct buf b;

	(void)state;
	e.name = STR("0123456789abcdef");
	buf_init(&b, 4096);
	assert_int_equal(spool_record_encode(&e, &b), ERR_OK);
	assert_int_equal(spool_record_decode(buf_str(&b), a, &got), ERR_OK);
	assert_true(str_eq(got.rcpts[1].address, two_rcpts[1].address));
	for (size_t n = 0; n < b.n; n++) {
		enum err r;
		arena_reset(a);
		r = spool_record_decode(str_sub(buf_str(&b), 0, n), a, &got);
		/* a cut between the recipients leaves a shorter list: that is what the sum is for
		 */
		assert_true(r == ERR_CORRUPT || got.rcpts_count == 1);
	}
	/* an unknown optional field is skipped, an unknown other one is not */
	buf_add(&b, str_n("\xf1\x01\0\0\0x", 6));
	arena_reset(a);
	assert_int_equal(spool_record_decode(buf_str(&b), a, &got), ERR_OK);
	buf_add(&b, str_n("\x7f\x01\0\0\0x", 6));
	arena_reset(a);
	assert_int_equal(spool_record_decode(buf_str(&b), a, &got), ERR_CORRUPT);
	buf_fini(&b);
	arena_free(a);
}

/* What senders ask for stands behind its recipient, and only there. */
static void
test_wishes(void **state)
{
	static const struct spool_rcpt rcpts[] = {
		{ { "a@example.org", 13 }, SPOOL_NOTIFY_NEVER, { "rfc822;A@example.org", 20 } },
		{ { "b@example.org", 13 }, 0, { "", 0 } },
		{ { "c@example.org", 13 }, 14, { "", 0 } },
		{ { "d@example.org", 13 }, 0, { "utf-8;d@example.org", 19 } },
	};
	static const struct {
		const char *field;
		size_t n;
	} bad[] = { { "\x80\1\0\0\0\3", 6 }, { "\x80\1\0\0\0\xff", 6 }, { "\x80\0\0\0\0", 5 },
		{ "\x82\1\0\0\0\x10", 6 }, { "\x82\1\0\0\0\3", 6 }, { "\x82\2\0\0\0\2\2", 7 },
		{ "\x81\xff\0\0\0", 5 } };
	struct spool_envelope e = sample(rcpts, 4), got;
	struct arena *a = arena_new(65536);
	char longer[SPOOL_ORCPT_MAX + 1];
	struct buf b;
	size_t whole;

	(void)state;
	e.name = STR("0123456789abcdef");
	e.ret = SPOOL_RET_FULL;
	e.envid = STR("x+3D");
	buf_init(&b, 65536);
	assert_int_equal(spool_record_encode(&e, &b), ERR_OK);
	whole = b.n;
	assert_int_equal(spool_record_decode(buf_str(&b), a, &got), ERR_OK);
	assert_true(got.ret == SPOOL_RET_FULL && str_eq(got.envid, e.envid));
	assert_int_equal(got.rcpts_count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_true(str_eq(got.rcpts[i].address, rcpts[i].address));
		assert_int_equal(got.rcpts[i].notify, rcpts[i].notify);
		assert_true(str_eq(got.rcpts[i].orcpt, rcpts[i].orcpt));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_add(&b, str_n(bad[i].field, bad[i].n));
		arena_reset(a);
		assert_int_equal(spool_record_decode(buf_str(&b), a, &got), ERR_CORRUPT);
		buf_truncate(&b, whole);
	}
	/* of no recipient */
	arena_reset(a);
	assert_int_equal(spool_record_decode(STR("\x82\1\0\0\0\2"), a, &got), ERR_CORRUPT);
	buf_reset(&b);
	memset(longer, 'x', sizeof(longer));
	e.envid = str_n(longer, SPOOL_ENVID_MAX + 1);
	assert_int_equal(spool_record_encode(&e, &b), ERR_OK);
	assert_int_equal(spool_record_decode(buf_str(&b), a, &got), ERR_CORRUPT);
	buf_fini(&b);
	arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_recipients, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sync_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worker_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slot_unreadable_for_a_while, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserve, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_worker, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
