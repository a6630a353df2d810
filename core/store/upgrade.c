/* Brings an older index up to date; see internal.h. Called by setup.c on the pool when a home is
 * opened. Invariant: each commit leaves rows that this version or a second run understands; the
 * schema's number is written last. Several processes may be at it: what one has done the others
 * pass over. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/store/blob.h"
#include "core/store/internal.h"
#include "core/store/put.h"
#include "core/store/record.h"

enum { ROWS_A_COMMIT = 256, BYTES_A_COMMIT = 16 * 1024 * 1024 };

struct upgrade {
	struct pool *pool;
	struct kv *kv;
	const char *home;
	struct writes *writes;
	uint64_t next; /* ids below are done */
	uint64_t ids[ROWS_A_COMMIT];
	size_t n;
	uint64_t bytes; /* of this commit */
	uint64_t done;
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

/* The message's rows, made again of its file. */
static enum err
make_rows(struct upgrade *u, struct txn *t, uint64_t id, struct str msg)
{
	struct stored s = { .id = id };
	struct key k;

	buf_init(&s.record, STORED_ROW_BYTES_MAX);
	buf_init(&s.cache, STORED_ROW_BYTES_MAX);
	enum err e = record_make(msg, &s.record, &s.cache);

	if (e == ERR_OK)
		e = stored_write(t, id, clock_wall_ms(), &s);
	if (e == ERR_OK && s.cache.n == 0)
		writes_del_once(u->writes, KV_CACHE, key_id(&k, id));
	/* beyond what is kept of a message: as without its file. A full map is not heard of here */
	if (e == ERR_LIMIT)
		e = ERR_OK;
	u->bytes += s.record.n + s.cache.n;
	buf_fini(&s.record);
	buf_fini(&s.cache);
	return e;
}

/* A message without its file stays as it is: garbage that is swept soon, or told by the check. */
static enum err
convert(struct upgrade *u, struct txn *t, uint64_t id)
{
	struct stat st;
	void *map = NULL;
	int fd;
	enum err e = blob_open(u->home, id, &fd);

	if (e != ERR_OK)
		return e == ERR_NOTFOUND ? ERR_OK : e;
	if (fstat(fd, &st) != 0)
		e = ERR_TEMP;
	if (e == ERR_OK && st.st_size > 0)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	if (map == MAP_FAILED)
		return ERR_TEMP;
	if (e == ERR_OK)
		e = make_rows(u, t, id, str_n(map, (size_t)st.st_size));
	if (map != NULL)
		(void)munmap(map, (size_t)st.st_size);
	u->done += e == ERR_OK;
	return e;
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
			log_n("messages", (int64_t)u.done), log_n("ms", clock_ms() - began));
	return e == ERR_EOF ? ERR_OK : e;
}
