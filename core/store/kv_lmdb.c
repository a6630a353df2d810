/* kv on LMDB: one environment a user, MDB_NOSUBDIR and MDB_NOTLS and nothing else, so that every
 * commit is synced before other processes can see it. The only file that knows LMDB. Called
 * by home.c, commit.c and check.c. A failed commit leaves the handle to be closed, never synced
 * again. */
#include "core/store/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "core/store/fault.h"

enum { NFS_MAGIC = 0x6969, READERS_MAX = 1022, MISSED_MAX = 2, TRY_EVERY = 16 };
#define SMB_MAGIC  0x517BL
#define CIFS_MAGIC 0xFF534D42L
#define SMB2_MAGIC 0xFE534D42L

struct kv_txn {
	struct kv *kv;
	MDB_txn *txn;
	bool write;
	/* Of a write transaction, one for each table that was used: keys come mostly in order, and
	 * a cursor that stands near spares the way from the root. They die with the transaction. */
	struct place {
		MDB_cursor *cursor;
		bool stands;	 /* at the key used last, or where it was deleted */
		unsigned missed; /* so often in a row it was another key than the next */
	} place[KV_TABLES];
};

struct kv {
	MDB_env *env;
	MDB_dbi dbi[KV_TABLES];
	char *path;
	_Atomic(const char *) why; /* set by the loop's reads and a pool thread's writes */
	dev_t dev;
	ino_t ino;
	uint64_t map_bytes;
	uintptr_t page_bytes;
	bool older;	      /* the first table is there, a later one is not */
	struct kv_txn reader; /* kept between snapshots, renewed */
	bool reader_busy;
};

struct kv_cursor {
	MDB_cursor *c;
	/* kv_cursor_ahead: the page that was fetched last, and how large they are; 0: they need
	 * not lie in the map */
	uintptr_t page, page_bytes;
};

static const char *const table_names[KV_TABLES] = {
	[KV_META] = "meta",
	[KV_MAILBOX] = "mailbox",
	[KV_NAME] = "name",
	[KV_SUBSCRIBED] = "subscribed",
	[KV_ENTRY] = "entry",
	[KV_UIDS] = "uids",
	[KV_CHANGE] = "change",
	[KV_MESSAGE] = "message",
	[KV_CACHE] = "cache",
	[KV_REF] = "ref",
	[KV_GARBAGE] = "garbage",
	[KV_KEYWORD] = "keyword",
	[KV_DELIVERED] = "delivered",
	[KV_METADATA] = "metadata",
	[KV_THREAD] = "thread",
};

static enum err
map_err(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return ERR_OK;
	case MDB_NOTFOUND:
		return ERR_NOTFOUND;
	case MDB_MAP_FULL:
		return ERR_LIMIT;
	case MDB_MAP_RESIZED:
		return ERR_AGAIN;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
	case MDB_PANIC:
		return ERR_CORRUPT;
	case MDB_BAD_VALSIZE:
	case MDB_BAD_TXN:
	case MDB_BAD_DBI:
		return ERR_BUG;
	case ENOENT:
		return ERR_NOTFOUND;
	default:
		return ERR_TEMP;
	}
}

static enum err
failed(struct kv *kv, int rc)
{
	if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND)
		kv->why = mdb_strerror(rc);
	return map_err(rc);
}

static inline MDB_val
to_val(struct str s)
{
	/* LMDB never writes through a key or value that it is given. */
	return (MDB_val){ .mv_size = s.n, .mv_data = (void *)(uintptr_t)s.p };
}

static inline struct str
from_val(const MDB_val *v)
{
	return str_n(v->mv_data, v->mv_size);
}

static int
open_tables(struct kv *kv, bool create)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(kv->env, NULL, create ? 0 : MDB_RDONLY, &txn);

	if (rc != MDB_SUCCESS)
		return rc;
	for (int i = 0; i < KV_TABLES && rc == MDB_SUCCESS; i++)
		if ((rc = mdb_dbi_open(txn, table_names[i], create ? MDB_CREATE : 0,
			     &kv->dbi[i])) == MDB_NOTFOUND)
			kv->older = i > KV_META;
	if (rc != MDB_SUCCESS) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static int
open_env(struct kv *kv, const struct kv_options *o)
{
	int rc = mdb_env_create(&kv->env);

	if (rc != MDB_SUCCESS)
		return rc;
	if ((rc = mdb_env_set_maxdbs(kv->env, KV_TABLES)) != MDB_SUCCESS ||
		(rc = mdb_env_set_maxreaders(kv->env, READERS_MAX)) != MDB_SUCCESS ||
		(rc = mdb_env_set_mapsize(kv->env, o->map_bytes)) != MDB_SUCCESS)
		return rc;
	if ((rc = mdb_env_open(kv->env, kv->path, MDB_NOSUBDIR | MDB_NOTLS, 0600)) != MDB_SUCCESS)
		return rc;
	rc = open_tables(kv, false);
	if (rc == MDB_NOTFOUND && o->create)
		rc = open_tables(kv, true);
	return rc == MDB_NOTFOUND ? MDB_INVALID : rc;
}

static enum err
check_place(const char *path, bool create, const char **why_out)
{
	char dir[4096];
	struct str folder = str_of(path);
	struct statfs fs;

	if (!create && access(path, F_OK) != 0) {
		*why_out = "no index there";
		return errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND : ERR_TEMP;
	}
	folder.n = str_rchr(folder, '/');
	if (folder.n >= sizeof dir)
		return ERR_LIMIT;
	memcpy(dir, folder.p, folder.n);
	dir[folder.n] = '\0';
	if (statfs(folder.n != 0 ? dir : "/", &fs) != 0) {
		*why_out = "the folder cannot be read";
		return errno == ENOENT ? ERR_NOTFOUND : ERR_TEMP;
	}
	if (fs.f_type == NFS_MAGIC || fs.f_type == SMB_MAGIC ||
		(fs.f_type & 0xFFFFFFFFL) == CIFS_MAGIC ||
		(fs.f_type & 0xFFFFFFFFL) == SMB2_MAGIC) {
		*why_out = "the index lies on a network file system";
		return ERR_DENIED;
	}
	return ERR_OK;
}

enum err
kv_open(const char *path, const struct kv_options *o, struct kv **out, const char **why_out)
{
	struct stat st;
	mdb_filehandle_t fd;
	MDB_envinfo info;
	MDB_stat pages;
	enum err e = check_place(path, o->create, why_out);

	if (e != ERR_OK)
		return e;
	struct kv *kv = xcalloc(1, sizeof *kv);

	kv->path = xstrdup(path);
	kv->why = "";
	e = failed(kv, open_env(kv, o));
	if (e == ERR_OK && (mdb_env_get_fd(kv->env, &fd) != 0 || fstat(fd, &st) != 0)) {
		kv->why = "the index cannot be read";
		e = ERR_TEMP;
	}
	if (e == ERR_CORRUPT && kv->older) {
		kv->why = "the index is of an older version; opening the home brings it up to date";
		e = ERR_DENIED;
	}
	if (e != ERR_OK) {
		*why_out = kv->why;
		kv_close(kv);
		/* A map too small for the file is what the next open cures. */
		return e == ERR_AGAIN || e == ERR_BUG ? ERR_TEMP : e;
	}
	kv->dev = st.st_dev;
	kv->ino = st.st_ino;
	(void)mdb_env_info(kv->env, &info);
	kv->map_bytes = info.me_mapsize;
	kv->page_bytes = mdb_env_stat(kv->env, &pages) == MDB_SUCCESS ? pages.ms_psize : 0;
	kv->reader.kv = kv;
	*out = kv;
	return ERR_OK;
}

void
kv_close(struct kv *kv)
{
	if (kv == NULL)
		return;
	if (kv->reader.txn != NULL)
		mdb_txn_abort(kv->reader.txn);
	if (kv->env != NULL)
		mdb_env_close(kv->env);
	free(kv->path);
	free(kv);
}

enum err
kv_sync(struct kv *kv)
{
	return failed(kv, fault_hit(FAULT_COMMIT) ? EIO : mdb_env_sync(kv->env, 1)) == ERR_OK
		       ? ERR_OK
		       : ERR_TEMP;
}

unsigned
kv_reader_check(struct kv *kv)
{
	int dead = 0;

	return mdb_reader_check(kv->env, &dead) == MDB_SUCCESS && dead > 0 ? (unsigned)dead : 0;
}

static int
count_reader(const char *line, void *arg)
{
	unsigned *n = arg;

	/* LMDB's first line is a heading, or says that there is none. */
	if (line[0] == ' ' && !str_starts(str_trim(str_of(line)), STR("pid")))
		(*n)++;
	return 0;
}

unsigned
kv_reader_count(struct kv *kv)
{
	unsigned n = 0;

	(void)mdb_reader_list(kv->env, count_reader, &n);
	return n;
}

bool
kv_in_place(const struct kv *kv)
{
	struct stat st;

	return stat(kv->path, &st) == 0 && st.st_dev == kv->dev && st.st_ino == kv->ino;
}

uint64_t
kv_map_bytes(const struct kv *kv)
{
	return kv->map_bytes;
}

uint64_t
kv_file_version(struct kv *kv)
{
	MDB_envinfo info;

	return mdb_env_info(kv->env, &info) == MDB_SUCCESS ? info.me_last_txnid : 0;
}

const char *
kv_why(const struct kv *kv)
{
	return kv->why;
}

enum err
kv_read_begin(struct kv *kv, struct kv_txn **out)
{
	int rc;

	if (kv->reader_busy) {
		struct kv_txn *t = xcalloc(1, sizeof *t);

		t->kv = kv;
		rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &t->txn);
		if (rc != MDB_SUCCESS)
			free(t);
		else
			*out = t;
		return failed(kv, rc);
	}
	if (kv->reader.txn != NULL)
		rc = mdb_txn_renew(kv->reader.txn);
	else
		rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &kv->reader.txn);
	if (rc != MDB_SUCCESS)
		return failed(kv, rc);
	kv->reader_busy = true;
	*out = &kv->reader;
	return ERR_OK;
}

void
kv_read_end(struct kv_txn *t)
{
	if (t == &t->kv->reader) {
		mdb_txn_reset(t->txn);
		t->kv->reader_busy = false;
		return;
	}
	mdb_txn_abort(t->txn);
	free(t);
}

enum err
kv_write_begin(struct kv *kv, struct kv_txn **out)
{
	struct kv_txn *t = xcalloc(1, sizeof *t);
	int rc = mdb_txn_begin(kv->env, NULL, 0, &t->txn);

	t->kv = kv;
	t->write = true;
	if (rc != MDB_SUCCESS)
		free(t);
	else
		*out = t;
	return failed(kv, rc);
}

enum err
kv_commit(struct kv_txn *t)
{
	struct kv *kv = t->kv;
	int rc;

	if (fault_hit(FAULT_COMMIT)) {
		mdb_txn_abort(t->txn);
		rc = EIO;
	} else {
		rc = mdb_txn_commit(t->txn);
	}
	free(t);
	enum err e = failed(kv, rc);

	if (rc == ENOSPC || rc == EDQUOT)
		return ERR_DENIED;
	return e == ERR_OK || e == ERR_LIMIT ? e : ERR_TEMP;
}

void
kv_abort(struct kv_txn *t)
{
	mdb_txn_abort(t->txn);
	free(t);
}

uint64_t
kv_version(const struct kv_txn *t)
{
	return mdb_txn_id(t->txn);
}

static int
place_of(struct kv_txn *t, enum kv_table table, struct place **out)
{
	struct place *p = *out = &t->place[table];

	return p->cursor != NULL ? MDB_SUCCESS
				 : mdb_cursor_open(t->txn, t->kv->dbi[table], &p->cursor);
}

/* Moves to key, if that is the one behind the last: far cheaper than a search, even in the same
 * page. After a few other keys it is tried only now and then. */
static bool
go_next(struct place *p, struct str key, MDB_val *v)
{
	MDB_val k;

	if (!p->stands || (p->missed >= MISSED_MAX && ++p->missed % TRY_EVERY != 0))
		return false;
	bool hit = mdb_cursor_get(p->cursor, &k, v, MDB_NEXT) == MDB_SUCCESS &&
		   str_eq(from_val(&k), key);

	p->missed = hit ? 0 : p->missed + 1;
	return hit;
}

static int
go_to(struct place *p, struct str key, MDB_val *v)
{
	MDB_val k = to_val(key);
	int rc = go_next(p, key, v) ? MDB_SUCCESS : mdb_cursor_get(p->cursor, &k, v, MDB_SET);

	p->stands = rc == MDB_SUCCESS;
	return rc;
}

enum err
kv_get(struct kv_txn *t, enum kv_table table, struct str key, struct str *value_out)
{
	MDB_val k = to_val(key), v;
	struct place *p;
	int rc;

	if (!t->write) {
		rc = mdb_get(t->txn, t->kv->dbi[table], &k, &v);
	} else {
		rc = place_of(t, table, &p);
		if (rc == MDB_SUCCESS)
			rc = go_to(p, key, &v);
	}
	if (rc == MDB_SUCCESS)
		*value_out = from_val(&v);
	return failed(t->kv, rc);
}

enum err
kv_put(struct kv_txn *t, enum kv_table table, struct str key, struct str value)
{
	MDB_val k = to_val(key), v = to_val(value), old;
	struct place *p;

	if (fault_hit(FAULT_PUT)) {
		t->kv->why = "put refused for a test";
		return ERR_TEMP;
	}
	int rc = place_of(t, table, &p);

	if (rc != MDB_SUCCESS)
		return failed(t->kv, rc);
	/* the same size is written in place, and the search spared */
	bool over = go_next(p, key, &old) && old.mv_size == value.n;

	rc = mdb_cursor_put(p->cursor, &k, &v, over ? MDB_CURRENT : 0);
	p->stands = rc == MDB_SUCCESS;
	return failed(t->kv, rc);
}

enum err
kv_del(struct kv_txn *t, enum kv_table table, struct str key)
{
	MDB_val v;
	struct place *p;
	int rc = place_of(t, table, &p);

	if (rc == MDB_SUCCESS)
		rc = go_to(p, key, &v);
	if (rc == MDB_SUCCESS)
		rc = mdb_cursor_del(p->cursor, 0);
	p->stands = rc == MDB_SUCCESS;
	return rc == MDB_NOTFOUND ? ERR_OK : failed(t->kv, rc);
}

enum err
kv_count(struct kv_txn *t, enum kv_table table, uint64_t *out)
{
	MDB_stat st;
	int rc = mdb_stat(t->txn, t->kv->dbi[table], &st);

	if (rc == MDB_SUCCESS)
		*out = st.ms_entries;
	return failed(t->kv, rc);
}

enum err
kv_cursor_open(struct kv_txn *t, enum kv_table table, struct kv_cursor **out)
{
	struct kv_cursor *c = xcalloc(1, sizeof *c);
	int rc = mdb_cursor_open(t->txn, t->kv->dbi[table], &c->c);

	/* what a write transaction changed lies in memory of its own */
	c->page_bytes = t->write ? 0 : t->kv->page_bytes;
	if (rc != MDB_SUCCESS)
		free(c);
	else
		*out = c;
	return failed(t->kv, rc);
}

void
kv_cursor_close(struct kv_cursor *c)
{
	if (c == NULL)
		return;
	mdb_cursor_close(c->c);
	free(c);
}

static enum err
cursor_op(struct kv_cursor *c, MDB_val *k, MDB_cursor_op op, struct str *key_out,
	struct str *value_out)
{
	MDB_val v;
	int rc = mdb_cursor_get(c->c, k, &v, op);

	if (rc == MDB_NOTFOUND)
		return ERR_EOF;
	if (rc != MDB_SUCCESS)
		return map_err(rc);
	*key_out = from_val(k);
	*value_out = from_val(&v);
	return ERR_OK;
}

enum err
kv_cursor_seek(struct kv_cursor *c, struct str key, struct str *key_out, struct str *value_out)
{
	MDB_val k = to_val(key);

	return cursor_op(c, &k, MDB_SET_RANGE, key_out, value_out);
}

enum err
kv_cursor_next(struct kv_cursor *c, struct str *key_out, struct str *value_out)
{
	MDB_val k;

	return cursor_op(c, &k, MDB_NEXT, key_out, value_out);
}

/* A page of LMDB begins with 16 octets, then come the places of its nodes, 2 octets each, up to
 * lower. Only hints are made of what stands there. */
enum { PAGE_HEAD = 16, PAGE_LOWER_AT = 12, AHEAD_MAX = 8 };

void
kv_cursor_ahead(struct kv_cursor *c, struct str value)
{
	uintptr_t page = (uintptr_t)value.p & ~(c->page_bytes - 1), was = c->page;
	uint16_t lower, at;

	if (c->page_bytes == 0 || page == was)
		return;
	const char *p = value.p - ((uintptr_t)value.p - page);

	c->page = page;
	/* pages that were filled together lie side by side */
	if (was != 0)
		__builtin_prefetch((const void *)(page + (page - was)));
	memcpy(&lower, p + PAGE_LOWER_AT, sizeof lower);
	for (size_t i = PAGE_HEAD; i < lower && i < PAGE_HEAD + 2 * AHEAD_MAX; i += 2) {
		memcpy(&at, p + i, sizeof at);
		__builtin_prefetch(p + (at & (c->page_bytes - 1)));
	}
}

enum err
kv_cursor_prev(struct kv_cursor *c, struct str *key_out, struct str *value_out)
{
	MDB_val k;

	return cursor_op(c, &k, MDB_PREV, key_out, value_out);
}

enum err
kv_cursor_last(struct kv_cursor *c, struct str *key_out, struct str *value_out)
{
	MDB_val k;

	return cursor_op(c, &k, MDB_LAST, key_out, value_out);
}
