#ifndef POSTROOM_STORE_KV_H
#define POSTROOM_STORE_KV_H

#include "core/base/str.h"

/* An ordered, transactional key-value space, one a user: the small interface below all mailbox
 * logic. Keys 1 to 511 bytes, in byte order; values up to some MiB. Everything that a
 * transaction returns dies with it. One open handle of a path in a process (the home table
 * sees to that). Calls that may wait are for pool threads: open, close, sync, write_begin, commit.
 */
enum kv_table {
	KV_META,
	KV_MAILBOX,
	KV_NAME,
	KV_SUBSCRIBED,
	KV_ENTRY,
	KV_UIDS,
	KV_CHANGE,
	KV_MESSAGE,
	KV_CACHE,
	KV_REF,
	KV_GARBAGE,
	KV_KEYWORD,
	KV_DELIVERED,
	KV_METADATA,
	KV_THREAD,
	KV_TABLES,
};

struct kv;
struct kv_txn;
struct kv_cursor;

struct kv_options {
	uint64_t map_bytes; /* at least this; a larger file gets what it needs */
	bool create;
};

/* path: the index file. *why_out: static text that explains a failure. ERR_NOTFOUND (no file, not
 * create), ERR_DENIED (network file system; not create, and an older version made the file),
 * ERR_CORRUPT, ERR_TEMP. */
MUST_USE enum err
kv_open(const char *path, const struct kv_options *o, struct kv **out, const char **why_out);
/* No transaction may be open. NULL is allowed. */
void
kv_close(struct kv *kv);
/* Everything committed, by whomever, is on disk afterwards. ERR_TEMP: this handle is done for. */
MUST_USE enum err
kv_sync(struct kv *kv);
/* Frees the slots of readers whose process died; the number of them. */
unsigned
kv_reader_check(struct kv *kv);
/* Slots in use, of any process. */
unsigned
kv_reader_count(struct kv *kv);
/* The file that is open is still the one at its path. */
bool
kv_in_place(const struct kv *kv);
uint64_t
kv_map_bytes(const struct kv *kv);
/* The number of the last commit as the file says: it may be ahead of what a new snapshot sees. */
uint64_t
kv_file_version(struct kv *kv);
/* Explains the last failure; static text. */
const char *
kv_why(const struct kv *kv);

/* A snapshot. One thread at a time takes snapshots of a handle (the loop's). ERR_AGAIN: the map is
 * too small now, close and open; ERR_TEMP. */
MUST_USE enum err
kv_read_begin(struct kv *kv, struct kv_txn **out);
void
kv_read_end(struct kv_txn *t);
/* Waits for other writers, of other processes too. Errors as kv_read_begin. */
MUST_USE enum err
kv_write_begin(struct kv *kv, struct kv_txn **out);
/* ERR_OK: on disk. t is gone in any case. ERR_LIMIT: the map is full; ERR_DENIED: no
 * space left on the disk; ERR_TEMP: failed, and the handle
 * may not be trusted with another sync. */
MUST_USE enum err
kv_commit(struct kv_txn *t);
void
kv_abort(struct kv_txn *t);
/* Of the snapshot; a write transaction has the next one's. */
uint64_t
kv_version(const struct kv_txn *t);

/* ERR_NOTFOUND, ERR_CORRUPT. */
MUST_USE enum err
kv_get(struct kv_txn *t, enum kv_table table, struct str key, struct str *value_out);
/* ERR_LIMIT: the map is full; ERR_TEMP. */
MUST_USE enum err
kv_put(struct kv_txn *t, enum kv_table table, struct str key, struct str value);
/* A key that is not there is no error. */
MUST_USE enum err
kv_del(struct kv_txn *t, enum kv_table table, struct str key);
MUST_USE enum err
kv_count(struct kv_txn *t, enum kv_table table, uint64_t *out);

/* A cursor reads; in a write transaction it must be closed before the next put. */
MUST_USE enum err
kv_cursor_open(struct kv_txn *t, enum kv_table table, struct kv_cursor **out);
void
kv_cursor_close(struct kv_cursor *c);
/* The first key >= key; ERR_EOF: none. */
MUST_USE enum err
kv_cursor_seek(struct kv_cursor *c, struct str key, struct str *key_out, struct str *value_out);
MUST_USE enum err
kv_cursor_next(struct kv_cursor *c, struct str *key_out, struct str *value_out);
/* Behind a seek or next, where many rows of some hundred octets are read one after the other:
 * fetches what lies beside the value, so that the next ones need not be waited for one by one. */
void
kv_cursor_ahead(struct kv_cursor *c, struct str value);
MUST_USE enum err
kv_cursor_prev(struct kv_cursor *c, struct str *key_out, struct str *value_out);
MUST_USE enum err
kv_cursor_last(struct kv_cursor *c, struct str *key_out, struct str *value_out);

#endif
