/* Brings an older index up to date; see internal.h. Called by setup.c on the pool when a home is
 * opened. Invariant: each commit leaves rows that this version or a second run understands; the
 * schema's number is written last. Several processes may be at it: what one has done the others
 * pass over. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/store/blob.h"
#include "core/store/internal.h"
#include "core/store/put.h"
#include "core/store/record.h"

enum { ROWS_A_COMMIT = 256, BYTES_A_COMMIT = 16 * 1024 * 1024, TROUBLES_LOGGED = 10 };

struct upgrade {
	struct pool *pool;
	struct kv *kv;
	const char *home;
	struct writes *writes;
	uint64_t next; /* ids below are done */
	uint64_t ids[ROWS_A_COMMIT];
	size_t n;
	uint64_t bytes; /* of this commit */
	uint64_t done, unread;
};

/* The next rows that are of the version before. */
static enum err
find_rows(struct upgrade *u, struct txn *t)
{
	struct kv_cursor *c;
	struct str key, row;
	struct key k;
	enum err e = kv_cursor_open(t->kv, KV_MESSAGE, &c);

	u->n = 0;
	if (e != ERR_OK)
		return e;
	for (e = kv_cursor_seek(c, key_id(&k, u->next), &key, &row);
		e == ERR_OK && u->n < ROWS_A_COMMIT; e = kv_cursor_next(c, &key, &row)) {
		if (key.n != 8) {
			e = ERR_CORRUPT;
			break;
		}
		if (record_is_older(row))
			u->ids[u->n++] = be64_at(key, 0);
	}
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

/* size: what the index goes by, whatever the file has become; UINT64_MAX: it does not say.
 * ERR_LIMIT: beyond what is kept of a message; a full map is not heard of here. */
static enum err
from_file(struct upgrade *u, uint64_t id, uint64_t size, struct stored *s)
{
	struct stat st;
	struct str msg;
	int fd;
	enum err e = blob_open(u->home, id, &fd);

	if (e != ERR_OK)
		return e;
	if (fstat(fd, &st) != 0)
		e = ERR_TEMP;
	else if (size != UINT64_MAX && (uint64_t)st.st_size != size)
		e = ERR_CORRUPT;
	if (e == ERR_OK)
		e = blob_map(fd, 0, (uint64_t)st.st_size, &msg);
	int code = errno;

	(void)close(fd);
	if (e == ERR_OK) {
		e = record_make(msg, &s->record, &s->cache);
		blob_unmap(msg);
	}
	errno = code;
	return e;
}

/* This process has no room just now: another time the file can be read. */
static bool
is_short_of(int code)
{
	return code == EMFILE || code == ENFILE || code == ENOMEM;
}

/* Only who read the file knows, if nobody else has looked at it since. */
static void
complain(struct upgrade *u, uint64_t id, enum err e, int code)
{
	char path[BLOB_PATH_MAX];

	if (u->unread++ >= TROUBLES_LOGGED || blob_path(u->home, id, path) != ERR_OK)
		return;
	log_event(LVL_WARN, "store.unreadable", log_z("file", path),
		log_z("reason", e == ERR_TEMP ? strerrordesc_np(code) : err_name(e)));
}

/* The message's file cannot be read, and this may never change: what its row says is kept.
 * ERR_NOTFOUND: the row is damaged too. */
static enum err
from_row(struct txn *t, uint64_t id, struct str row, struct stored *s)
{
	struct str cache = STR_EMPTY;
	struct key k;
	enum err e = kv_get(t->kv, KV_CACHE, key_id(&k, id), &cache);

	if (e != ERR_OK && e != ERR_NOTFOUND)
		return e;
	buf_reset(&s->record);
	buf_reset(&s->cache);
	e = record_convert(row, cache, &s->record, &s->cache);
	return e == ERR_OK ? ERR_OK : ERR_NOTFOUND;
}

/* The message's rows made again. Where file and row are damaged, the row stays, for the check to
 * tell.
 */
static enum err
convert(struct upgrade *u, struct txn *t, uint64_t id)
{
	struct stored s = { .id = id };
	struct str row;
	struct key k;
	uint64_t size = UINT64_MAX;
	enum err e = kv_get(t->kv, KV_MESSAGE, key_id(&k, id), &row);

	if (e != ERR_OK)
		return e;
	if (record_older_size(row, &size) != ERR_OK)
		size = UINT64_MAX;
	buf_init(&s.record, STORED_ROW_BYTES_MAX);
	buf_init(&s.cache, STORED_ROW_BYTES_MAX);
	e = from_file(u, id, size, &s);
	int code = errno;

	if (e != ERR_OK && (e != ERR_TEMP || !is_short_of(code))) {
		complain(u, id, e, code);
		e = from_row(t, id, row, &s);
	}
	if (e == ERR_OK)
		e = stored_write(t, id, clock_wall_ms(), &s);
	if (e == ERR_OK && s.cache.n == 0)
		writes_del_once(u->writes, KV_CACHE, key_id(&k, id));
	u->done += e == ERR_OK;
	u->bytes += s.record.n + s.cache.n;
	buf_fini(&s.record);
	buf_fini(&s.cache);
	return e == ERR_NOTFOUND ? ERR_OK : e;
}

/* One commit. ERR_EOF: there is nothing left to do. */
static enum err
step(struct upgrade *u)
{
	struct txn t = { .writes = u->writes };
	uint64_t schema = 0, next = u->next;

	u->bytes = 0;
	writes_reset(u->writes);
	pool_wait_begin(u->pool);
	enum err e = kv_write_begin(u->kv, &t.kv);

	pool_wait_end(u->pool);
	if (e != ERR_OK)
		return e;
	e = meta_get(&t, "schema", &schema);
	if (e == ERR_OK && schema != SCHEMA_OLDER)
		e = ERR_EOF;
	if (e == ERR_OK)
		e = find_rows(u, &t);
	if (e == ERR_OK && u->n == 0)
		meta_put(&t, "schema", SCHEMA_VERSION);
	for (size_t i = 0; e == ERR_OK && i < u->n && u->bytes < BYTES_A_COMMIT; i++) {
		e = convert(u, &t, u->ids[i]);
		next = u->ids[i] + 1;
	}
	if (e == ERR_OK)
		e = writes_apply(u->writes, t.kv);
	if (e != ERR_OK) {
		kv_abort(t.kv);
		return e;
	}
	u->next = next;
	return kv_commit(t.kv);
}

enum err
home_upgrade(struct pool *p, struct kv *kv, const char *home)
{
	struct upgrade u = { .pool = p, .kv = kv, .home = home, .writes = writes_new() };
	int64_t began = clock_ms();
	enum err e;

	while ((e = step(&u)) == ERR_OK)
		continue;
	writes_free(u.writes);
	if (e == ERR_EOF)
		log_event(LVL_INFO, "store.upgrade", log_z("home", home),
			log_n("messages", (int64_t)u.done), log_n("unread", (int64_t)u.unread),
			log_n("ms", clock_ms() - began));
	return e == ERR_EOF ? ERR_OK : e;
}
