/* delivery/spool/server: a done message's file becomes an empty slot, and when it must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "delivery/spool/server.h"
#include "tests/unit/leave_out.h"

enum { SLOT_BYTES = 8192 };

struct world {
	struct loop *loop;
	struct pool *pool;
	struct spool_server *server;
	struct loop_timer timeout, poll;
	char dir[64], slots[96];
	/* the last message */
	struct spool_writer *writer;
	char name[SPOOL_NAME_LEN + 1];
	bool committed;
	int (*until)(struct world *w);
};

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
	fail_msg("nothing came in 30 s");
}

static void
run_until(struct world *w, int (*until)(struct world *w))
{
	w->until = until;
	loop_timer_start(&w->timeout, 30000);
	loop_timer_start(&w->poll, 0);
	loop_run(w->loop);
	loop_timer_stop(&w->timeout);
}

static void
on_message(void *arg, struct str name, bool adopted)
{
	(void)arg;
	(void)name;
	(void)adopted;
	fail_msg("no worker is there");
}

static const struct spool_server_ops server_ops = { .on_message = on_message };

static void
server_start(struct world *w)
{
	struct spool_server_options o = { .dir = w->dir, .ahead = 6, .preallocate = SLOT_BYTES };
	const char *text = NULL;

	assert_int_equal(
		spool_server_new(w->loop, w->pool, &o, &server_ops, w, &w->server, &text), ERR_OK);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	log_set_level(LVL_ERROR);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/postroom-reuse-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->slots, sizeof(w->slots), "%s/slots", w->dir);
	w->loop = loop_new();
	w->pool = pool_new(w->loop, 4);
	loop_timer_init(&w->timeout, w->loop, on_timeout, w);
	loop_timer_init(&w->poll, w->loop, on_poll, w);
	server_start(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	static const char *const rest[] = { "slots", "corrupt" };
	struct world *w = *state;
	char path[96];

	spool_server_free(w->server);
	pool_free(w->pool);
	loop_free(w->loop);
	for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->dir, rest[i]);
		assert_int_equal(rmdir(path), 0); /* the server left nothing behind */
	}
	(void)snprintf(path, sizeof(path), "%s/lock", w->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static int
taken(struct world *w)
{
	return spool_server_take(w->server, &w->writer) == ERR_OK;
}

static int
committed(struct world *w)
{
	return w->committed;
}

static int
pool_idle(struct world *w)
{
	return pool_busy(w->pool) == 0;
}

static void
on_commit(void *arg, struct spool_writer *wr, enum err e)
{
	struct world *w = arg;

	(void)wr;
	assert_int_equal(e, ERR_OK);
	w->committed = true;
}

static void
path_of(struct world *w, const char *name, char path[160])
{
	(void)snprintf(path, 160, "%s/%s", w->slots, name);
}

/* A message of n octets; returns its file's inode. */
static ino_t
accepted(struct world *w, size_t n)
{
	static const struct spool_rcpt rcpt = { .address = { "ben@example.org", 15 } };
	struct spool_envelope e = { .sender = STR("anna@example.org"),
		.received_ms = 1234567890123,
		.rcpts = &rcpt,
		.rcpts_count = 1 };
	char *body = xmalloc(n), path[160];
	struct stat st;

	memset(body, 'x', n);
	run_until(w, taken);
	memcpy(w->name, spool_writer_name(w->writer).p, SPOOL_NAME_LEN);
	spool_write(w->writer, str_n(body, n));
	w->committed = false;
	spool_commit(w->writer, &e, on_commit, w);
	run_until(w, committed);
	free(body);
	path_of(w, w->name, path);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

/* The slot that is this file; false: there is none. */
static bool
slot_of(struct world *w, ino_t inode, char name[SPOOL_NAME_LEN + 1])
{
	DIR *d = opendir(w->slots);
	struct dirent *entry;
	struct stat st;
	bool found = false;

	assert_non_null(d);
	while (!found && (entry = readdir(d)) != NULL) {
		/* not d_ino, which is another on some overlays */
		found = strlen(entry->d_name) == SPOOL_NAME_LEN &&
			fstatat(dirfd(d), entry->d_name, &st, 0) == 0 && st.st_ino == inode;
		if (found)
			memcpy(name, entry->d_name, SPOOL_NAME_LEN + 1);
	}
	closedir(d);
	return found;
}

static bool
leases_work(struct world *w)
{
	char path[96];
	int fd;
	bool works;

	(void)snprintf(path, sizeof(path), "%s/lease", w->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	works = fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
	close(fd);
	assert_int_equal(unlink(path), 0);
	return works;
}

static void
check_empty(struct world *w, const char *name)
{
	char path[160], content[SLOT_BYTES + 1];
	struct spool_message *m;
	int fd;

	assert_int_equal(spool_open(w->server, str_of(name), &m), ERR_NOTFOUND);
	path_of(w, name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, content, sizeof(content)), SLOT_BYTES);
	close(fd);
	for (size_t i = 0; i < SLOT_BYTES; i++)
		assert_int_equal(content[i], 0);
}

static void
check_message(struct world *w, size_t n)
{
	struct spool_message *m;

	assert_int_equal(spool_open(w->server, str_of(w->name), &m), ERR_OK);
	assert_int_equal(m->body_len, n);
	assert_int_equal(spool_body_check(m), ERR_OK);
	spool_message_close(m);
}

/* Whatever its message's length was, it is an empty slot under a new name, and holds another
 * message in its time. */
static void
test_reuse(void **state)
{
	static const size_t sizes[] = { 100, 4096, 300000 };
	struct world *w = *state;
	char old[SPOOL_NAME_LEN + 1], name[SPOOL_NAME_LEN + 1] = "";
	struct spool_message *m;

	if (!leases_work(w))
		LEAVE_OUT("no leases on this file system");
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		ino_t inode = accepted(w, sizes[i]);
		memcpy(old, w->name, sizeof(old));
		run_until(w, pool_idle);
		spool_reuse(w->server, str_of(old));
		run_until(w, pool_idle);
		assert_int_equal(spool_open(w->server, str_of(old), &m), ERR_NOTFOUND);
		assert_true(slot_of(w, inode, name));
		assert_string_not_equal(name, old);
		check_empty(w, name);
		for (int n = 0; n < 100 && accepted(w, 5000) != inode; n++)
			spool_remove(w->server, str_of(w->name));
		assert_string_equal(w->name, name);
		check_message(w, 5000);
		spool_remove(w->server, str_of(name));
	}
	run_until(w, pool_idle);
}

static void
send_fd(int socket, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char octet = 0;
	struct iovec iov = { .iov_base = &octet, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	assert_int_equal(sendmsg(socket, &m, 0), 1);
}

/* Not when somebody may still write into it or read on in it: by a descriptor, one under way, a
 * mapping, or another name. It goes away as it always did. */
static void
test_held(void **state)
{
	enum { WRITER, READER, WRITER_SENT, READER_SENT, WRITER_MAPS, READER_MAPS, LINKED, CASES };
	struct world *w = *state;
	char name[SPOOL_NAME_LEN + 1], path[160], link_path[96];

	(void)snprintf(link_path, sizeof(link_path), "%s/link", w->dir);
	for (int how = 0; how < CASES; how++) {
		ino_t inode = accepted(w, 100);
		bool reads = how == READER || how == READER_SENT || how == READER_MAPS;
		bool maps = how == WRITER_MAPS || how == READER_MAPS;
		bool holds = how == WRITER || how == READER;
		void *map = MAP_FAILED;
		int fd, pair[2];

		path_of(w, w->name, path);
		fd = open(path, (reads ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		if (how == WRITER_SENT || how == READER_SENT)
			send_fd(pair[0], fd);
		if (maps)
			map = mmap(NULL, 4096, reads ? PROT_READ : PROT_READ | PROT_WRITE,
				MAP_SHARED, fd, 0);
		assert_true((map != MAP_FAILED) == maps);
		if (how == LINKED)
			assert_int_equal(link(path, link_path), 0);
		if (!holds)
			close(fd);
		spool_reuse(w->server, str_of(w->name));
		run_until(w, pool_idle);
		assert_false(slot_of(w, inode, name));
		if (holds)
			close(fd);
		if (maps)
			assert_int_equal(munmap(map, 4096), 0);
		if (how == LINKED)
			assert_int_equal(unlink(link_path), 0);
		close(pair[0]);
		close(pair[1]);
	}
}

/* A name that is gone already, and what is none. */
static void
test_names(void **state)
{
	struct world *w = *state;
	char path[160];

	(void)accepted(w, 100);
	path_of(w, w->name, path);
	assert_int_equal(unlink(path), 0);
	spool_reuse(w->server, str_of(w->name));
	spool_reuse(w->server, STR("00000000000000aa"));
	spool_reuse(w->server, STR("../lock"));
	run_until(w, pool_idle);
	assert_int_equal(access(path, F_OK), -1);
	(void)snprintf(path, sizeof(path), "%s/lock", w->dir);
	assert_int_equal(access(path, F_OK), 0);
}

/* What became an empty slot goes with the server, and so does what was about to: teardown finds the
 * folder empty. */
static void
test_end(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 3; i++) {
		(void)accepted(w, 100);
		spool_reuse(w->server, str_of(w->name));
		run_until(w, pool_idle);
	}
	(void)accepted(w, 100);
	spool_reuse(w->server, str_of(w->name));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
