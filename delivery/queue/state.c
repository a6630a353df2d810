/* The one file that knows LMDB in the queue. Reads run on the loop, commits on the pool, one at a
 * time. Invariant: a put is reported only after the transaction that holds it was committed with
 * LMDB's default, fully synced flags; puts take effect in the order in which they were made. */
#include "delivery/queue/state.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/base/xalloc.h"

enum { PROBE_BYTES = 256 * 1024 };

struct state_op {
	struct list link;
	state_fn done;
	void *arg;
	size_t count;
	struct op_write {
		struct str id, record; /* in bytes */
	} * writes;
	char *bytes;
};

struct state {
	MDB_env *env;
	MDB_dbi dbi;
	struct pool *pool;
	struct list waiting; /* ops for the next commit */
	struct list running; /* ops of the commit on the pool */
	struct pool_job job;
	bool job_on;
	enum err job_result;
	unsigned busy;
	/* Growing the map in a pool thread must not pull it from under a read of the loop. */
	pthread_rwlock_t map_lock;
};

static enum err
err_of(int rc)
{
	switch (rc) {
	case 0:
		return ERR_OK;
	case MDB_NOTFOUND:
		return ERR_NOTFOUND;
	case MDB_CORRUPTED:
	case MDB_INVALID:
	case MDB_PAGE_NOTFOUND:
	case MDB_VERSION_MISMATCH:
	case MDB_PANIC:
		return ERR_CORRUPT;
	default:
		return ERR_TEMP;
	}
}

static int
env_setup(struct state *s, const char *path, size_t map_bytes)
{
	MDB_txn *txn = NULL;
	int rc = mdb_env_create(&s->env);

	if (rc == 0)
		rc = mdb_env_set_mapsize(s->env, map_bytes);
	if (rc == 0)
		rc = mdb_env_open(s->env, path, MDB_NOSUBDIR | MDB_NOTLS, 0600);
	/* A writer that was killed inside its last write may have left pages that are not on
	 * the disk yet: they are, before anything is read. */
	if (rc == 0)
		rc = mdb_env_sync(s->env, 1);
	if (rc == 0)
		rc = mdb_reader_check(s->env, NULL);
	if (rc == 0)
		rc = mdb_txn_begin(s->env, NULL, 0, &txn);
	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

/* Copies w. */
static struct state_op *
op_new(const struct state_write *w, size_t count, state_fn done, void *arg)
{
	struct state_op *op = xcalloc(1, sizeof(*op));
	size_t total = 0;
	char *p;

	for (size_t i = 0; i < count; i++)
		total += w[i].id.n + w[i].record.n;
	op->bytes = p = xmalloc(total + 1);
	op->writes = xcalloc(count + 1, sizeof(*op->writes));
	op->count = count;
	op->done = done;
	op->arg = arg;
	for (size_t i = 0; i < count; i++) {
		op->writes[i].id = str_n(p, w[i].id.n);
		memcpy(p, w[i].id.p, w[i].id.n);
		p += w[i].id.n;
		op->writes[i].record = str_n(p, w[i].record.n);
		if (w[i].record.n != 0)
			memcpy(p, w[i].record.p, w[i].record.n);
		p += w[i].record.n;
	}
	return op;
}

static void
op_free(struct state_op *op)
{
	free(op->writes);
	free(op->bytes);
	free(op);
}

static int
write_op(struct state *s, MDB_txn *txn, const struct state_op *op)
{
	for (size_t i = 0; i < op->count; i++) {
		struct str id = op->writes[i].id, record = op->writes[i].record;
		MDB_val k = { id.n, (void *)(uintptr_t)id.p };
		MDB_val v = { record.n, (void *)(uintptr_t)record.p };
		int rc = record.n != 0 ? mdb_put(txn, s->dbi, &k, &v, 0)
				       : mdb_del(txn, s->dbi, &k, NULL);
		if (rc != 0 && rc != MDB_NOTFOUND)
			return rc;
	}
	return 0;
}

static int
commit_once(struct state *s)
{
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(s->env, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	LIST_FOREACH (l, &s->running) {
		rc = write_op(s, txn, CONTAINER_OF(l, struct state_op, link));
		if (rc != 0) {
			mdb_txn_abort(txn);
			return rc;
		}
	}
	return mdb_txn_commit(txn);
}

static int
grow(struct state *s)
{
	MDB_envinfo info;
	int rc;

	(void)pthread_rwlock_wrlock(&s->map_lock);
	rc = mdb_env_info(s->env, &info);
	if (rc == 0)
		rc = mdb_env_set_mapsize(s->env, info.me_mapsize * 2);
	(void)pthread_rwlock_unlock(&s->map_lock);
	return rc;
}

static void
commit_run(struct pool_job *j)
{
	struct state *s = CONTAINER_OF(j, struct state, job);
	int rc = commit_once(s);

	for (int i = 0; i < 16 && rc == MDB_MAP_FULL; i++) {
		rc = grow(s);
		if (rc == 0)
			rc = commit_once(s);
	}
	s->job_result = rc == 0 ? ERR_OK : ERR_TEMP;
}

/* Something of use is written and taken out again. A queue that cannot store what became of mail
 * must not deliver any: with every start it would go to other servers once more. What this took of
 * the disk is room for the first records. */
static enum err
probe(struct state *s)
{
	char *zeros = xcalloc(1, PROBE_BYTES);
	const struct state_write w[] = { { STR("probe"), str_n(zeros, PROBE_BYTES) },
		{ STR("probe"), STR_EMPTY } };

	s->job_result = ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(w) && s->job_result == ERR_OK; i++) {
		struct state_op *op = op_new(&w[i], 1, NULL, NULL);
		list_push_back(&s->running, &op->link);
		commit_run(&s->job);
		list_remove(&op->link);
		op_free(op);
	}
	free(zeros);
	return s->job_result;
}

enum err
state_open(struct pool *p, const char *path, size_t map_bytes, struct state **out,
	const char **err_out)
{
	struct state *s = xcalloc(1, sizeof(*s));
	int rc;

	s->pool = p;
	list_init(&s->waiting);
	list_init(&s->running);
	(void)pthread_rwlock_init(&s->map_lock, NULL);
	rc = env_setup(s, path, map_bytes);
	if (rc != 0) {
		*err_out = mdb_strerror(rc);
		state_close(s);
		return err_of(rc) == ERR_CORRUPT ? ERR_CORRUPT : ERR_TEMP;
	}
	if (probe(s) != ERR_OK) {
		*err_out = "queue.mdb cannot be written";
		state_close(s);
		return ERR_TEMP;
	}
	*out = s;
	return ERR_OK;
}

static void
commit_next(struct state *s);

static void
commit_done(struct pool_job *j)
{
	struct state *s = CONTAINER_OF(j, struct state, job);
	struct list done;
	enum err e;

	/* The next commit begins before the callbacks: they may take their time, and put more. */
	list_init(&done);
	LIST_FOREACH (l, &s->running) {
		list_remove(l);
		list_push_back(&done, l);
	}
	s->job_on = false;
	e = s->job_result;
	commit_next(s);
	LIST_FOREACH (l, &done) {
		struct state_op *op = CONTAINER_OF(l, struct state_op, link);
		list_remove(l);
		s->busy--;
		if (op->done != NULL)
			op->done(op->arg, e);
		op_free(op);
	}
}

static void
commit_next(struct state *s)
{
	if (s->job_on || list_empty(&s->waiting))
		return;
	LIST_FOREACH (l, &s->waiting) {
		list_remove(l);
		list_push_back(&s->running, l);
	}
	s->job_on = true;
	s->job = (struct pool_job){ .run = commit_run, .done = commit_done, .class = POOL_COMMIT };
	pool_submit(s->pool, &s->job);
}

void
state_put(struct state *s, const struct state_write *w, size_t count, state_fn done, void *arg)
{
	s->busy++;
	list_push_back(&s->waiting, &op_new(w, count, done, arg)->link);
	commit_next(s);
}

unsigned
state_busy(const struct state *s)
{
	return s->busy;
}

enum err
state_each(struct state *s, void (*fn)(void *arg, struct str id, struct str record), void *arg)
{
	MDB_txn *txn = NULL;
	MDB_cursor *cursor = NULL;
	MDB_val k, v;
	int rc;

	(void)pthread_rwlock_rdlock(&s->map_lock);
	rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (rc == 0)
		rc = mdb_cursor_open(txn, s->dbi, &cursor);
	while (rc == 0) {
		rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
		if (rc == 0)
			fn(arg, str_n(k.mv_data, k.mv_size), str_n(v.mv_data, v.mv_size));
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	if (txn != NULL)
		mdb_txn_abort(txn);
	(void)pthread_rwlock_unlock(&s->map_lock);
	return rc == MDB_NOTFOUND ? ERR_OK : err_of(rc);
}

enum err
state_get(struct state *s, struct str id, struct buf *out)
{
	MDB_txn *txn = NULL;
	MDB_val k = { id.n, (void *)(uintptr_t)id.p }, v;
	int rc;
	enum err e;

	buf_reset(out);
	(void)pthread_rwlock_rdlock(&s->map_lock);
	rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (rc == 0)
		rc = mdb_get(txn, s->dbi, &k, &v);
	e = err_of(rc);
	if (e == ERR_OK) {
		buf_add(out, str_n(v.mv_data, v.mv_size));
		e = buf_check(out);
	}
	if (txn != NULL)
		mdb_txn_abort(txn);
	(void)pthread_rwlock_unlock(&s->map_lock);
	return e;
}

void
state_close(struct state *s)
{
	LIST_FOREACH (l, &s->waiting)
		op_free(CONTAINER_OF(l, struct state_op, link));
	LIST_FOREACH (l, &s->running)
		op_free(CONTAINER_OF(l, struct state_op, link));
	if (s->env != NULL)
		mdb_env_close(s->env);
	(void)pthread_rwlock_destroy(&s->map_lock);
	free(s);
}
