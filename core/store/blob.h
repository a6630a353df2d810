#ifndef POSTROOM_STORE_BLOB_H
#define POSTROOM_STORE_BLOB_H

#include "core/base/str.h"

/* Immutable message bytes: the other small interface below the mailbox logic. Local: one file a
 * message, <home>/msg/<year>-<month>/<16 hex digits>. All but blob_open_cached wait for the
 * disk: pool threads only. Names of homes are NUL-ended paths. */

/* 44 bits of milliseconds since 1970 and 20 random bits: message ids sort by time. A process makes
 * each larger than the one before, also within a millisecond and while its clock goes back by less
 * than a second: upgrades take messages in the order of their ids. Any thread. */
uint64_t
blob_id_new(int64_t wall_ms);
int64_t
blob_id_ms(uint64_t id);
enum { BLOB_PATH_MAX = 1100 };
/* "<home>/msg/2026-11/0191…"; ERR_LIMIT. */
MUST_USE enum err
blob_path(const char *home, uint64_t id, char out[BLOB_PATH_MAX]);

/* Syncs the folder that holds path: the names in it. */
MUST_USE enum err
blob_sync_parent(const char *path);
/* The folders of a home, made where they are missing (parents of the home too), 0700. sync: also
 * sync the folders that were made. ERR_TEMP with errno's text. */
MUST_USE enum err
blob_make_home(const char *home, bool sync, const char **why_out);
/* Does a rename need its folder synced on the file system of home? */
bool
blob_needs_dir_sync(const char *home);

struct blob_file {
	int fd;
	char tmp[BLOB_PATH_MAX];
};
/* A new file in the home's tmp/. */
MUST_USE enum err
blob_create(const char *home, struct blob_file *out);
MUST_USE enum err
blob_write(const struct blob_file *f, struct str bytes);
/* Takes back what was written after the first `size` bytes. */
MUST_USE enum err
blob_truncate(const struct blob_file *f, uint64_t size);
/* To its place under id (bytes are there, and durable, when this returns). ERR_EXISTS: take another
 * id; ERR_TEMP: failed (sync_failed_out: a sync failed, the file is gone). Closes the file when
 * it returns ERR_OK; otherwise try again or discard. */
MUST_USE enum err
blob_publish(
	struct blob_file *f, const char *home, uint64_t id, bool sync_dir, bool *sync_failed_out);
/* Unlinks and closes a file that was not published; harmless afterwards. */
void
blob_discard(struct blob_file *f);

/* Another name for a body, in another home: a hard link, or a copy where that cannot be. Durable
 * only after blob_sync of the name (one sync serves all links of one file) – linked_out says
 * whether it is a link. ERR_EXISTS, ERR_NOTFOUND (the source is gone), ERR_TEMP. */
MUST_USE enum err
blob_link(const char *from_home, uint64_t from_id, const char *to_home, uint64_t to_id,
	bool *linked_out, bool *sync_failed_out);
MUST_USE enum err
blob_sync(const char *home, uint64_t id, bool sync_dir);
/* A name that is not there is no error. What stays is an orphan, for the check. */
enum err
blob_drop(const char *home, uint64_t id);
/* Read-only. ERR_NOTFOUND, ERR_TEMP. */
MUST_USE enum err
blob_open(const char *home, uint64_t id, int *fd_out);
/* The same for a loop: ERR_AGAIN where the name has to be read from a disk first. */
MUST_USE enum err
blob_open_cached(const char *home, uint64_t id, int *fd_out);
/* Reads len octets at off, so that they are in memory. ERR_CORRUPT: the file ends before; ERR_TEMP
 * with errno. */
MUST_USE enum err
blob_warm(int fd, uint64_t off, uint64_t len);
/* The same octets, mapped and read before: a page that cannot be read is an error here, and not the
 * end of the process (SIGBUS) where it is looked at. End with blob_unmap. */
MUST_USE enum err
blob_map(int fd, uint64_t off, uint64_t len, struct str *out);
void
blob_unmap(struct str octets);

/* Every message file and every file in tmp/ (id 0): size and seconds of ctime. Anything but ERR_OK
 * from fn ends the walk and is returned. */
typedef enum err (*blob_fn)(
	void *arg, uint64_t id, const char *path, uint64_t size, int64_t ctime_sec);
MUST_USE enum err
blob_walk(const char *home, blob_fn fn, void *arg);

#endif
