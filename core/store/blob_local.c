/* blob on a local file system; see blob.h. Called by body.c, deliver.c, garbage.c and check.c on
 * pool threads. A body is written below tmp/, renamed to its place, and synced after the rename: on
 * ext4 and xfs that makes the name durable too, elsewhere the folder is synced as well. */
#include "core/store/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/store/fault.h"

#define EXT4_MAGIC 0xEF53L
#define XFS_MAGIC  0x58465342L
enum {
	RANDOM_BITS = 20,
	STEP_BITS = 4,
	BACK_MAX_MS = 1000,
	COPY_BYTES = 128 * 1024,
	WARM_BYTES = 64 * 1024,
	ID_DIGITS = 16
};

uint64_t
blob_id_new(int64_t wall_ms)
{
	static _Atomic uint64_t last;
	uint64_t random = rand_u64(), was = atomic_load(&last), id;

	do {
		id = (uint64_t)wall_ms << RANDOM_BITS | (random & ((1u << RANDOM_BITS) - 1));
		if (id <= was && was - id < (uint64_t)BACK_MAX_MS << RANDOM_BITS)
			id = was + 1 + (random & ((1u << STEP_BITS) - 1));
	} while (!atomic_compare_exchange_weak(&last, &was, id));
	return id;
}

int64_t
blob_id_ms(uint64_t id)
{
	return (int64_t)(id >> RANDOM_BITS);
}

static enum err
print_path(char out[BLOB_PATH_MAX], int n)
{
	if (n < 0 || n >= BLOB_PATH_MAX) {
		out[0] = '\0';
		return ERR_LIMIT;
	}
	return ERR_OK;
}

static enum err
bucket_path(const char *home, uint64_t id, char out[BLOB_PATH_MAX])
{
	time_t sec = (time_t)(blob_id_ms(id) / 1000);
	struct tm tm;

	if (gmtime_r(&sec, &tm) == NULL)
		return ERR_LIMIT;
	return print_path(out, snprintf(out, BLOB_PATH_MAX, "%s/msg/%04d-%02d", home,
				       tm.tm_year + 1900, tm.tm_mon + 1));
}

enum err
blob_path(const char *home, uint64_t id, char out[BLOB_PATH_MAX])
{
	char bucket[BLOB_PATH_MAX];
	enum err e = bucket_path(home, id, bucket);

	if (e != ERR_OK)
		return e;
	return print_path(
		out, snprintf(out, BLOB_PATH_MAX, "%s/%016llx", bucket, (unsigned long long)id));
}

static enum err
sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_TEMP;
	int rc = fault_hit(FAULT_SYNC) ? -1 : fsync(fd);

	close(fd);
	return rc == 0 ? ERR_OK : ERR_TEMP;
}

enum err
blob_sync_parent(const char *path)
{
	char dir[BLOB_PATH_MAX];
	size_t n = str_rchr(str_of(path), '/');

	if (n >= sizeof dir)
		return ERR_LIMIT;
	memcpy(dir, path, n);
	dir[n] = '\0';
	return sync_path(n != 0 ? dir : "/");
}

/* mkdir of one folder; made_out is left alone when it was there. */
static enum err
make_dir(const char *path, bool sync, const char **why_out)
{
	if (mkdir(path, 0700) != 0) {
		if (errno == EEXIST)
			return ERR_OK;
		*why_out = strerrordesc_np(errno);
		return ERR_TEMP;
	}
	if (sync && blob_sync_parent(path) != ERR_OK) {
		*why_out = "the folder cannot be synced";
		return ERR_TEMP;
	}
	return ERR_OK;
}

/* ext4 puts a folder near its parent, unless that is marked as one of folders that have nothing to
 * do with each other, like /home: without it all homes, and whatever else lies there, share the
 * same few groups of inodes and look for a free one past each other's. A hint, which may fail.
 * chattr(1), T. */
static void
spread_homes(const char *home)
{
	char dir[BLOB_PATH_MAX];
	size_t n = str_rchr(str_of(home), '/');
	struct statfs fs;
	int flags = 0;

	memcpy(dir, home, n);
	dir[n] = '\0';
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fstatfs(fd, &fs) == 0 && fs.f_type == EXT4_MAGIC &&
		ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_TOPDIR_FL) == 0) {
		flags |= FS_TOPDIR_FL;
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	close(fd);
}

enum err
blob_make_home(const char *home, bool sync, const char **why_out)
{
	static const char *const below[] = { "", "/msg", "/tmp" };
	char path[BLOB_PATH_MAX];
	size_t n = strlen(home);
	struct stat st;
	enum err e;

	if (n + 5 >= sizeof path) {
		*why_out = "the path is too long";
		return ERR_LIMIT;
	}
	memcpy(path, home, n + 1);
	if (stat(home, &st) != 0) {
		for (size_t i = 1; i < n; i++) {
			if (path[i] != '/')
				continue;
			path[i] = '\0';
			/* Only what is missing: a parent may not even be ours to ask about. */
			e = access(path, F_OK) == 0 ? ERR_OK : make_dir(path, sync, why_out);
			if (e != ERR_OK)
				return e;
			path[i] = '/';
		}
		spread_homes(home);
	}
	for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
		memcpy(path + n, below[i], strlen(below[i]) + 1);
		if ((e = make_dir(path, sync, why_out)) != ERR_OK)
			return e;
	}
	return ERR_OK;
}

bool
blob_needs_dir_sync(const char *home)
{
	struct statfs fs;

	return statfs(home, &fs) != 0 || (fs.f_type != EXT4_MAGIC && fs.f_type != XFS_MAGIC);
}

enum err
blob_create(const char *home, struct blob_file *out)
{
	char id[RAND_ID_SIZE];

	rand_id(id);
	enum err e = print_path(out->tmp, snprintf(out->tmp, BLOB_PATH_MAX, "%s/tmp/%s", home, id));

	out->fd = -1;
	if (e != ERR_OK)
		return e;
	out->fd = open(out->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return out->fd >= 0 ? ERR_OK : ERR_TEMP;
}

enum err
blob_write(const struct blob_file *f, struct str bytes)
{
	while (bytes.n > 0) {
		if (fault_hit(FAULT_WRITE))
			return ERR_TEMP;
		ssize_t n = write(f->fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_TEMP;
		bytes = str_from(bytes, (size_t)n);
	}
	return ERR_OK;
}

enum err
blob_truncate(const struct blob_file *f, uint64_t size)
{
	return ftruncate(f->fd, (off_t)size) == 0 && lseek(f->fd, (off_t)size, SEEK_SET) >= 0
		       ? ERR_OK
		       : ERR_TEMP;
}

static int
rename_new(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

static enum err
copy_file(const char *from_path, const char *to_home, uint64_t to_id, bool *sync_failed_out);

/* The month's folder is made by the first message of the month. */
static enum err
with_bucket(const char *home, uint64_t id, bool sync_dir)
{
	char bucket[BLOB_PATH_MAX];
	const char *why;
	enum err e = bucket_path(home, id, bucket);

	return e == ERR_OK ? make_dir(bucket, sync_dir, &why) : e;
}

enum err
blob_publish(
	struct blob_file *f, const char *home, uint64_t id, bool sync_dir, bool *sync_failed_out)
{
	char path[BLOB_PATH_MAX];
	enum err e = blob_path(home, id, path);

	if (e != ERR_OK)
		return e;
	int rc = rename_new(f->tmp, path);

	if (rc != 0 && errno == ENOENT) {
		if ((e = with_bucket(home, id, sync_dir)) != ERR_OK)
			return e;
		rc = rename_new(f->tmp, path);
	}
	if (rc != 0 && errno == EEXIST)
		return ERR_EXISTS;
	if (rc != 0 && errno == EXDEV) {
		/* The first home of a batch failed, and the next lies on another file system. */
		if ((e = copy_file(f->tmp, home, id, sync_failed_out)) == ERR_OK)
			blob_discard(f);
		return e;
	}
	if (rc != 0)
		return ERR_TEMP;
	if (fault_hit(FAULT_SYNC) || fsync(f->fd) != 0 ||
		(sync_dir && blob_sync_parent(path) != ERR_OK)) {
		*sync_failed_out = true;
		(void)unlink(path);
		return ERR_TEMP;
	}
	close(f->fd);
	f->fd = -1;
	return ERR_OK;
}

void
blob_discard(struct blob_file *f)
{
	if (f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
	(void)unlink(f->tmp);
}

static enum err
copy_bytes(int from, const struct blob_file *to)
{
	char *buf = malloc(COPY_BYTES);
	enum err e = buf != NULL ? ERR_OK : ERR_TEMP;

	while (e == ERR_OK) {
		ssize_t n = read(from, buf, COPY_BYTES);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			e = ERR_TEMP;
		else if (n > 0)
			e = blob_write(to, str_n(buf, (size_t)n));
	}
	free(buf);
	return e;
}

static enum err
copy_file(const char *from_path, const char *to_home, uint64_t to_id, bool *sync_failed_out)
{
	struct blob_file f;
	int fd = open(from_path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_TEMP;
	enum err e = blob_create(to_home, &f);

	if (e == ERR_OK && (e = copy_bytes(fd, &f)) != ERR_OK)
		blob_discard(&f);
	close(fd);
	if (e != ERR_OK)
		return e;
	e = blob_publish(&f, to_home, to_id, blob_needs_dir_sync(to_home), sync_failed_out);
	blob_discard(&f);
	return e;
}

enum err
blob_link(const char *from_home, uint64_t from_id, const char *to_home, uint64_t to_id,
	bool *linked_out, bool *sync_failed_out)
{
	char from[BLOB_PATH_MAX], to[BLOB_PATH_MAX];
	enum err e = blob_path(from_home, from_id, from);

	*linked_out = true;
	if (e != ERR_OK || (e = blob_path(to_home, to_id, to)) != ERR_OK)
		return e;
	int rc = link(from, to);

	if (rc != 0 && errno == ENOENT) {
		/* Once a month a home: synced whatever the file system. */
		if ((e = with_bucket(to_home, to_id, true)) != ERR_OK)
			return e;
		rc = link(from, to);
	}
	if (rc == 0)
		return ERR_OK;
	switch (errno) {
	case EEXIST:
		return ERR_EXISTS;
	case ENOENT:
		return ERR_NOTFOUND;
	case EXDEV:
	case EMLINK:
	case EPERM:
		*linked_out = false;
		return copy_file(from, to_home, to_id, sync_failed_out);
	default:
		return ERR_TEMP;
	}
}

enum err
blob_sync(const char *home, uint64_t id, bool sync_dir)
{
	char path[BLOB_PATH_MAX];
	enum err e = blob_path(home, id, path);

	if (e == ERR_OK)
		e = sync_path(path);
	if (e == ERR_OK && sync_dir)
		e = blob_sync_parent(path);
	return e;
}

enum err
blob_drop(const char *home, uint64_t id)
{
	char path[BLOB_PATH_MAX];
	enum err e = blob_path(home, id, path);

	if (e != ERR_OK)
		return e;
	return unlink(path) == 0 || errno == ENOENT ? ERR_OK : ERR_TEMP;
}

static enum err
opened(int fd, int *fd_out)
{
	*fd_out = fd;
	if (fd >= 0)
		return ERR_OK;
	return errno == ENOENT ? ERR_NOTFOUND : ERR_TEMP;
}

enum err
blob_open(const char *home, uint64_t id, int *fd_out)
{
	char path[BLOB_PATH_MAX];
	enum err e = blob_path(home, id, path);

	if (e != ERR_OK)
		return e;
	return opened(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), fd_out);
}

enum err
blob_open_cached(const char *home, uint64_t id, int *fd_out)
{
	const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_CACHED };
	char path[BLOB_PATH_MAX];
	enum err e = blob_path(home, id, path);

	if (e != ERR_OK)
		return e;
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

	if (fd < 0 && errno == EAGAIN)
		return ERR_AGAIN;
	/* a kernel without it, or one that does not allow it */
	if (fd < 0 && (errno == ENOSYS || errno == EINVAL || errno == EPERM))
		return blob_open(home, id, fd_out);
	return opened(fd, fd_out);
}

enum err
blob_warm(int fd, uint64_t off, uint64_t len)
{
	char *scratch = xmalloc(WARM_BYTES);
	enum err e = ERR_OK;

	for (uint64_t at = 0; e == ERR_OK && at < len;) {
		size_t want = len - at < WARM_BYTES ? (size_t)(len - at) : WARM_BYTES;
		ssize_t n = pread(fd, scratch, want, (off_t)(off + at));

		if (n < 0 && errno != EINTR)
			e = ERR_TEMP;
		else if (n == 0)
			e = ERR_CORRUPT;
		else if (n > 0)
			at += (uint64_t)n;
	}
	int code = errno;

	free(scratch);
	errno = code;
	return e;
}

static enum err
bring_in(int fd, uint64_t off, uint64_t len, void *map, size_t map_len)
{
	if (fault_hit(FAULT_READ)) {
		errno = EIO;
		return ERR_TEMP;
	}
	/* a kernel before 5.14 does not know it, and why it failed is read's to say */
	return madvise(map, map_len, MADV_POPULATE_READ) == 0 ? ERR_OK : blob_warm(fd, off, len);
}

static size_t
in_page(uint64_t at)
{
	return (size_t)(at % (uint64_t)sysconf(_SC_PAGESIZE));
}

enum err
blob_map(int fd, uint64_t off, uint64_t len, struct str *out)
{
	size_t before = in_page(off), map_len = before + (size_t)len;
	struct stat st;

	*out = STR_EMPTY;
	if (fstat(fd, &st) != 0)
		return ERR_TEMP;
	if (off > (uint64_t)st.st_size || len > (uint64_t)st.st_size - off)
		return ERR_CORRUPT;
	if (len == 0)
		return ERR_OK;
	char *map = mmap(NULL, map_len, PROT_READ, MAP_PRIVATE, fd, (off_t)(off - before));

	if (map == MAP_FAILED)
		return ERR_TEMP;
	enum err e = bring_in(fd, off, len, map, map_len);
	int code = errno;

	if (e == ERR_OK)
		*out = str_n(map + before, (size_t)len);
	else
		(void)munmap(map, map_len);
	errno = code;
	return e;
}

void
blob_unmap(struct str octets)
{
	size_t before = in_page((uintptr_t)octets.p);

	if (octets.n > 0)
		(void)munmap((char *)(uintptr_t)octets.p - before, before + octets.n);
}

/* 0: not a message's name. */
static uint64_t
parse_id(const char *name)
{
	uint64_t id = 0;

	if (strlen(name) != ID_DIGITS)
		return 0;
	for (const char *p = name; *p != '\0'; p++) {
		int digit = ascii_is_digit(*p)	     ? *p - '0'
			    : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10
						     : -1;
		if (digit < 0)
			return 0;
		id = id << 4 | (uint64_t)digit;
	}
	return id;
}

/* Symbolic links are not followed, so that a walk that unlinks stays inside the home; they and
 * plain files are ERR_NOTFOUND like folders that are gone. */
static enum err
open_folder(const char *path, DIR **out)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? ERR_NOTFOUND
									     : ERR_TEMP;
	*out = fdopendir(fd);
	if (*out == NULL)
		close(fd);
	return *out != NULL ? ERR_OK : ERR_TEMP;
}

static enum err
walk_files(const char *dir, bool is_tmp, blob_fn fn, void *arg)
{
	char path[BLOB_PATH_MAX];
	struct stat st;
	enum err e = ERR_OK;
	DIR *d;

	if ((e = open_folder(dir, &d)) != ERR_OK)
		return e == ERR_NOTFOUND ? ERR_OK : e;
	for (struct dirent *ent; e == ERR_OK && (ent = readdir(d)) != NULL;) {
		if (ent->d_name[0] == '.')
			continue;
		uint64_t id = is_tmp ? 0 : parse_id(ent->d_name);

		e = print_path(path, snprintf(path, sizeof path, "%s/%s", dir, ent->d_name));
		/* Unlinked meanwhile, or none of ours: passed over. */
		if (e == ERR_OK && (id != 0 || is_tmp) && lstat(path, &st) == 0 &&
			S_ISREG(st.st_mode))
			e = fn(arg, id, path, (uint64_t)st.st_size, st.st_ctim.tv_sec);
	}
	closedir(d);
	return e;
}

enum err
blob_walk(const char *home, blob_fn fn, void *arg)
{
	char dir[BLOB_PATH_MAX], msg[BLOB_PATH_MAX];
	enum err e = print_path(dir, snprintf(dir, sizeof dir, "%s/tmp", home));

	if (e == ERR_OK)
		e = walk_files(dir, true, fn, arg);
	if (e == ERR_OK)
		e = print_path(msg, snprintf(msg, sizeof msg, "%s/msg", home));
	if (e != ERR_OK)
		return e;
	DIR *d;

	if ((e = open_folder(msg, &d)) != ERR_OK)
		return e == ERR_NOTFOUND ? ERR_OK : e;
	for (struct dirent *ent; e == ERR_OK && (ent = readdir(d)) != NULL;) {
		if (ent->d_name[0] == '.')
			continue;
		e = print_path(dir, snprintf(dir, sizeof dir, "%s/%s", msg, ent->d_name));
		if (e == ERR_OK)
			e = walk_files(dir, false, fn, arg);
	}
	closedir(d);
	return e;
}
