#ifndef POSTROOM_TESTS_IMAP_DISK_H
#define POSTROOM_TESTS_IMAP_DISK_H

/* What is in memory of message files is the test's word, and so is what the disk can read: preadv2,
 * mincore and the like are wrapped (imap/module.mk). */
#include "imap_case.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "core/store/blob.h"
#include "core/store/internal.h"
#include "core/store/message.h"

enum { FILES_MAX = 64, LARGE = 300000 };

/* ---- what is in memory ---- */

static struct {
	pthread_mutex_t lock;
	pthread_t loop;
	bool on;     /* nothing is in memory but what the pool has read, or was told to */
	bool always; /* nothing ever is */
	bool names;  /* nor are the files' names */
	ino_t there[FILES_MAX];
	size_t there_count;
	ino_t broken;	/* an input/output error */
	unsigned waits; /* the loop read what was not in memory */
	unsigned pool_reads, pool_tells;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

UNUSED static ino_t
inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

UNUSED static bool
is_there(ino_t ino)
{
	bool there = !disk.on;

	for (size_t i = 0; i < disk.there_count && !disk.always; i++)
		there = there || disk.there[i] == ino;
	return there;
}

UNUSED static void
comes_in(ino_t ino)
{
	if (disk.there_count < FILES_MAX)
		disk.there[disk.there_count++] = ino;
}

ssize_t
__real_preadv2(int fd, const struct iovec *v, int n, off_t off, int flags);
ssize_t
__wrap_preadv2(int fd, const struct iovec *v, int n, off_t off, int flags);
ssize_t
__wrap_preadv2(int fd, const struct iovec *v, int n, off_t off, int flags)
{
	ino_t ino = inode_of(fd);

	(void)pthread_mutex_lock(&disk.lock);
	bool there = is_there(ino), broken = ino == disk.broken;

	disk.waits += !there && !disk.always && (flags & RWF_NOWAIT) == 0;
	(void)pthread_mutex_unlock(&disk.lock);
	if (!there && (flags & RWF_NOWAIT) != 0) {
		errno = EAGAIN;
		return -1;
	}
	if (broken) {
		errno = EIO;
		return -1;
	}
	return __real_preadv2(fd, v, n, off, flags & ~RWF_NOWAIT);
}

ssize_t
__real_pread(int fd, void *to, size_t n, off_t off);
ssize_t
__wrap_pread(int fd, void *to, size_t n, off_t off);
ssize_t
__wrap_pread(int fd, void *to, size_t n, off_t off)
{
	ino_t ino = inode_of(fd);

	(void)pthread_mutex_lock(&disk.lock);
	bool broken = ino != 0 && ino == disk.broken;

	if (!pthread_equal(pthread_self(), disk.loop)) {
		disk.pool_reads += !is_there(ino) || disk.always;
		comes_in(ino);
	}
	(void)pthread_mutex_unlock(&disk.lock);
	if (broken) {
		errno = EIO;
		return -1;
	}
	return __real_pread(fd, to, n, off);
}

int
__wrap_posix_fadvise(int fd, off_t off, off_t n, int advice);
int
__wrap_posix_fadvise(int fd, off_t off, off_t n, int advice)
{
	(void)off;
	(void)n;
	(void)pthread_mutex_lock(&disk.lock);
	assert_int_equal(advice, POSIX_FADV_WILLNEED);
	if (!is_there(inode_of(fd))) {
		disk.pool_tells++;
		/* the first one is waited for */
		if (disk.pool_tells > 1)
			comes_in(inode_of(fd));
	}
	(void)pthread_mutex_unlock(&disk.lock);
	return 0;
}

int
__wrap_mincore(void *at, size_t n, unsigned char *out);
int
__wrap_mincore(void *at, size_t n, unsigned char *out)
{
	(void)at;
	memset(out, disk.on ? 0 : 1, (n + 4095) / 4096);
	return 0;
}

/* Pages of a map that cannot be read. */
int
__real_madvise(void *at, size_t n, int advice);
int
__wrap_madvise(void *at, size_t n, int advice);
int
__wrap_madvise(void *at, size_t n, int advice)
{
	(void)pthread_mutex_lock(&disk.lock);
	bool broken = disk.broken != 0;

	(void)pthread_mutex_unlock(&disk.lock);
	if (advice == MADV_POPULATE_READ && broken) {
		errno = EFAULT;
		return -1;
	}
	return __real_madvise(at, n, advice);
}

enum err
__real_blob_open_cached(const char *home, uint64_t id, int *fd_out);
enum err
__wrap_blob_open_cached(const char *home, uint64_t id, int *fd_out);
enum err
__wrap_blob_open_cached(const char *home, uint64_t id, int *fd_out)
{
	return disk.names ? ERR_AGAIN : __real_blob_open_cached(home, id, fd_out);
}

/* The index fails, and no file does. */
static bool index_fails;

enum err
__real_message_envelope(struct message *m, struct str *out);
enum err
__wrap_message_envelope(struct message *m, struct str *out);
enum err
__wrap_message_envelope(struct message *m, struct str *out)
{
	return index_fails ? ERR_TEMP : __real_message_envelope(m, out);
}

UNUSED static void
all_cold(bool names)
{
	(void)pthread_mutex_lock(&disk.lock);
	disk.on = true;
	disk.names = names;
	disk.always = false;
	disk.there_count = 0;
	disk.waits = disk.pool_reads = disk.pool_tells = 0;
	(void)pthread_mutex_unlock(&disk.lock);
}

UNUSED static void
all_warm(void)
{
	(void)pthread_mutex_lock(&disk.lock);
	disk.on = disk.names = disk.always = false;
	disk.broken = 0;
	(void)pthread_mutex_unlock(&disk.lock);
}

UNUSED static int
warm_teardown(void **state)
{
	all_warm();
	return each_teardown(state);
}

/* ---- a pool whose threads for files are busy ---- */

enum { HOLDERS = 2 }; /* half of the threads: imap_client.h */
static sem_t hold_begun, hold_end;
static struct pool_job holders[HOLDERS];

UNUSED static void
hold_run(struct pool_job *j UNUSED)
{
	(void)sem_post(&hold_begun);
	while (sem_wait(&hold_end) != 0)
		continue;
}

UNUSED static void
hold(void)
{
	for (int i = 0; i < HOLDERS; i++) {
		holders[i] = (struct pool_job){ .run = hold_run, .class = POOL_SYNC };
		pool_submit(w.pool, &holders[i]);
	}
	for (int i = 0; i < HOLDERS; i++)
		while (sem_wait(&hold_begun) != 0)
			continue;
}

UNUSED static void
let_go(void)
{
	for (int i = 0; i < HOLDERS; i++)
		(void)sem_post(&hold_end);
}

/* ---- messages ---- */

UNUSED static char *
large_text(void)
{
	char *text = xmalloc(LARGE + 1);

	memset(text, 'y', LARGE);
	for (size_t i = 77; i < LARGE; i += 78)
		text[i] = '\n';
	text[LARGE] = '\0';
	return text;
}

UNUSED static void
append_large(void)
{
	char *text = large_text();

	EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\nSubject: large\r\nX-Odd: no\r\n\r\n%s",
		strlen("Subject: large\r\nX-Odd: no\r\n\r\n") + LARGE, text);
	free(text);
}

/* The file of the message with this UID of INBOX. */
UNUSED static void
path_of(uint32_t uid, char out[MESSAGE_PATH_MAX])
{
	char id[64];
	unsigned long long msg = 0;
	struct home *h;
	char home[200];

	EXPECT(c, "OK", "UID FETCH %u EMAILID", uid);
	struct str in = buf_str(&c->in);
	size_t at = str_find(in, STR("EMAILID (M"));

	assert_true(at < in.n);
	in = str_from(in, at + strlen("EMAILID (M"));
	(void)snprintf(id, sizeof id, "%.*s", (int)str_chr(in, ')'), in.p);
	msg = strtoull(id, NULL, 16);
	(void)snprintf(home, sizeof home, "%s/user%u", w.dir, w.homes);
	assert_int_equal(home_get(w.store, str_of(home), &h), ERR_OK);
	assert_int_equal(message_path(h, msg, out), ERR_OK);
	home_unref(h);
	assert_int_equal(access(out, R_OK), 0);
}

UNUSED static void
break_file(uint32_t uid)
{
	char path[MESSAGE_PATH_MAX];
	struct stat st;

	path_of(uid, path);
	assert_int_equal(stat(path, &st), 0);
	disk.broken = st.st_ino;
}

/* First in main. */
static void
disk_setup(void)
{
	disk.loop = pthread_self();
	(void)sem_init(&hold_begun, 0, 0);
	(void)sem_init(&hold_end, 0, 0);
}

#define COLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, each_setup, warm_teardown)

#endif
