/* Reads one home whole and says what is wrong with it; see check.h. Called by `postroom store
 * check` and by tests. One snapshot of the index is compared with itself and with the files;
 * message rows come sorted by id, so everything is looked up in one array. */
#include "core/store/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"
#include "core/mail/mime.h"
#include "core/store/blob.h"
#include "core/store/metadata.h"
#include "core/store/record.h"
#include "core/store/rows.h"
#include "core/store/thread.h"

enum { ORPHAN_AGE_SEC = 3600, ORPHANS_A_TXN = 100, MAP_BYTES = 1024 * 1024 };

struct seen_message {
	uint64_t id, size;
	uint32_t refs; /* entries that name it */
	bool garbage, has_file;
};

struct orphan {
	char *path;
	uint64_t id;
};

struct check {
	const char *home;
	const struct check_options *o;
	check_fn report;
	void *arg;
	struct check_counts *counts;
	struct kv *kv;
	struct txn t;
	struct mailbox_row *mailbox;
	size_t mailbox_count;
	struct quota_use use; /* of all entries */
	bool *named;
	struct seen_message *msg;
	size_t msg_count, msg_cap;
	struct orphan *orphan;
	size_t orphan_count;
	time_t now;
};

static void
problem(struct check *c, const char *kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void
problem(struct check *c, const char *kind, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	c->counts->problems++;
	if (c->report != NULL)
		c->report(c->arg, kind, text);
}

typedef enum err (*row_fn)(struct check *c, struct str key, struct str value);

static enum err
each_row(struct check *c, enum kv_table table, row_fn fn)
{
	struct kv_cursor *cur;
	struct str key, v;
	enum err e = kv_cursor_open(c->t.kv, table, &cur), told = ERR_OK;

	if (e != ERR_OK)
		return e;
	for (e = kv_cursor_seek(cur, STR("\x00"), &key, &v); e == ERR_OK && told == ERR_OK;
		e = kv_cursor_next(cur, &key, &v))
		told = fn(c, key, v);
	kv_cursor_close(cur);
	return told != ERR_OK ? told : e == ERR_EOF ? ERR_OK : e;
}

static struct seen_message *
find_message(struct check *c, uint64_t id)
{
	size_t lo = 0, hi = c->msg_count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->msg[mid].id == id)
			return &c->msg[mid];
		if (c->msg[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static struct mailbox_row *
find_mailbox(struct check *c, uint32_t id)
{
	for (size_t i = 0; i < c->mailbox_count; i++)
		if (c->mailbox[i].id == id)
			return &c->mailbox[i];
	return NULL;
}

/* A message's rows: decoded to the last byte. */
static void
check_record(struct check *c, uint64_t id, struct str row, struct seen_message *out)
{
	struct record r;
	struct mime mime = { .parts = NULL };
	struct key k;
	struct str cache = STR_EMPTY, s;

	if (record_decode(row, &r) != ERR_OK) {
		problem(c, "record-damaged", "message %016llx", (unsigned long long)id);
		return;
	}
	out->size = r.size;
	if (r.thread == 0)
		problem(c, "thread-missing", "message %016llx", (unsigned long long)id);
	if (r.in_cache != 0 && kv_get(c->t.kv, KV_CACHE, key_id(&k, id), &cache) != ERR_OK) {
		problem(c, "cache-missing", "message %016llx", (unsigned long long)id);
		return;
	}
	for (int i = 0; i < RECORD_SECTIONS; i++) {
		enum err e = record_section(&r, cache, (enum record_section)i, &s);

		if (e == ERR_OK && i == RECORD_PARTS) {
			e = mime_decode(&mime, s, r.size);
			mime_fini(&mime);
		}
		if (e != ERR_OK)
			problem(c, (r.in_cache & 1u << i) != 0 ? "cache-damaged" : "record-damaged",
				"message %016llx, section %d", (unsigned long long)id, i);
	}
}

static enum err
on_message(struct check *c, struct str key, struct str v)
{
	if (key.n != 8) {
		problem(c, "record-damaged", "a key of %zu bytes", key.n);
		return ERR_OK;
	}
	if (c->msg_count == c->msg_cap) {
		c->msg_cap = c->msg_cap * 2 + 1024;
		c->msg = xrealloc(c->msg, c->msg_cap * sizeof *c->msg);
	}
	struct seen_message *m = &c->msg[c->msg_count++];

	*m = (struct seen_message){ .id = be64_at(key, 0), .size = UINT64_MAX };
	check_record(c, m->id, v, m);
	c->counts->messages++;
	return ERR_OK;
}

static enum err
on_mailbox(struct check *c, struct str key, struct str v)
{
	struct mailbox_row row;

	if (key.n != 4 || mailbox_row_decode(be32_at(key, 0), v, &row) != ERR_OK) {
		problem(c, "mailbox-damaged", "a row of %zu bytes", v.n);
		return ERR_OK;
	}
	c->mailbox = xrealloc(c->mailbox, (c->mailbox_count + 1) * sizeof *c->mailbox);
	c->mailbox[c->mailbox_count++] = row;
	c->counts->mailboxes++;
	return ERR_OK;
}

static enum err
on_name(struct check *c, struct str key, struct str v)
{
	uint32_t id;

	if (key.n < 5 || v.n != 4) {
		problem(c, "name-damaged", "a row of %zu bytes", v.n);
		return ERR_OK;
	}
	memcpy(&id, v.p, sizeof id);
	id = le32toh(id);
	struct mailbox_row *row = find_mailbox(c, id);
	struct str component = str_from(key, 4);

	if (row == NULL || row->dying) {
		problem(c, "name-dangling", "\"%.*s\" leads to mailbox %u, which is not there",
			STR_FMT(component), id);
		return ERR_OK;
	}
	if (row->parent != be32_at(key, 0) || !str_eq(mailbox_row_name(row), component))
		problem(c, "name-differs", "mailbox %u", id);
	c->named[row - c->mailbox] = true;
	return ERR_OK;
}

/* What a mailbox's entries amount to, compared with its bitmaps and counters. */
struct recount {
	uint32_t messages, unseen, deleted, last_uid;
	uint64_t bytes, deleted_bytes;
	uint64_t modseq;
	struct chunk_row chunk;
	uint32_t number; /* of the chunk that is being gathered */
	bool open;
};

static void
compare_chunk(struct check *c, const struct mailbox_row *row, struct recount *r)
{
	struct chunk_row have = { .exists = { 0 } };
	struct key k;
	struct str v;
	uint64_t missing = 0, extra = 0, unseen = 0;

	if (!r->open)
		return;
	r->open = false;
	enum err e = kv_get(c->t.kv, KV_UIDS, key_2u32(&k, row->id, r->number), &v);

	if (e == ERR_OK && chunk_decode(v, &have) != ERR_OK) {
		problem(c, "uids-damaged", "mailbox %u, chunk %u", row->id, r->number);
		return;
	}
	for (int i = 0; i < CHUNK_WORDS; i++) {
		missing |= r->chunk.exists[i] & ~have.exists[i];
		extra |= have.exists[i] & ~r->chunk.exists[i];
		unseen |= (have.unseen[i] ^ r->chunk.unseen[i]) & have.exists[i];
	}
	if (missing != 0)
		problem(c, "uids-missing", "mailbox %u, chunk %u", row->id, r->number);
	if (extra != 0)
		problem(c, "uids-extra", "mailbox %u, chunk %u", row->id, r->number);
	if (unseen != 0)
		problem(c, "uids-unseen", "mailbox %u, chunk %u", row->id, r->number);
}

static void
check_entry(struct check *c, const struct mailbox_row *row, const struct keywords *kw,
	const struct entry *e)
{
	struct seen_message *m = find_message(c, e->msg);

	c->counts->entries++;
	if (m == NULL)
		problem(c, "message-missing", "mailbox %u, uid %u: message %016llx", row->id,
			e->uid, (unsigned long long)e->msg);
	else
		m->refs++;
	if (m != NULL && m->size != UINT64_MAX && m->size != e->size)
		problem(c, "size-differs", "mailbox %u, uid %u", row->id, e->uid);
	if (row->dying)
		return;
	if ((e->flags & ~(uint32_t)FLAG_ALL) != 0)
		problem(c, "flags-unknown", "mailbox %u, uid %u", row->id, e->uid);
	for (uint64_t bits = e->keywords; bits != 0; bits &= bits - 1)
		if (kw->name[__builtin_ctzll(bits)].n == 0) {
			problem(c, "keyword-unnamed", "mailbox %u, uid %u, bit %d", row->id, e->uid,
				__builtin_ctzll(bits));
			break;
		}
}

static void
gather(struct check *c, const struct mailbox_row *row, struct recount *r, const struct entry *e)
{
	uint32_t bit = e->uid % CHUNK_UIDS;
	uint64_t mask = (uint64_t)1 << (bit % 64);

	if (!r->open || r->number != e->uid / CHUNK_UIDS) {
		compare_chunk(c, row, r);
		memset(&r->chunk, 0, sizeof r->chunk);
		r->number = e->uid / CHUNK_UIDS;
		r->open = true;
	}
	r->chunk.exists[bit / 64] |= mask;
	r->messages++;
	r->bytes += e->size;
	if ((e->flags & FLAG_DELETED) != 0) {
		r->deleted++;
		r->deleted_bytes += e->size;
	}
	if ((e->flags & FLAG_SEEN) == 0) {
		r->unseen++;
		r->chunk.unseen[bit / 64] |= mask;
	}
	r->last_uid = e->uid;
	if (e->modseq > r->modseq)
		r->modseq = e->modseq;
}

static void
compare_counters(struct check *c, const struct mailbox_row *row, const struct recount *r)
{
	if (row->messages != r->messages)
		problem(c, "count-messages", "mailbox %u says %u, has %u", row->id, row->messages,
			r->messages);
	if (row->unseen != r->unseen)
		problem(c, "count-unseen", "mailbox %u says %u, has %u", row->id, row->unseen,
			r->unseen);
	if (row->deleted != r->deleted || row->deleted_bytes != r->deleted_bytes ||
		row->bytes != r->bytes)
		problem(c, "count-size",
			"mailbox %u says %llu octets, %u deleted of %llu, has %llu, %u, %llu",
			row->id, (unsigned long long)row->bytes, row->deleted,
			(unsigned long long)row->deleted_bytes, (unsigned long long)r->bytes,
			r->deleted, (unsigned long long)r->deleted_bytes);
	if (row->uidnext <= r->last_uid || row->recent_from > row->uidnext)
		problem(c, "uidnext-low", "mailbox %u: next %u, last %u", row->id, row->uidnext,
			r->last_uid);
	if (r->modseq > row->highestmodseq)
		problem(c, "modseq-high", "mailbox %u: %llu above %llu", row->id,
			(unsigned long long)r->modseq, (unsigned long long)row->highestmodseq);
}

static enum err
check_mailbox(struct check *c, const struct mailbox_row *row)
{
	struct recount r = { .open = false };
	struct keywords kw;
	struct kv_cursor *cur;
	struct entry entry;
	struct key k;
	struct str key, v;
	enum err e = keywords_get(&c->t, row->id, &kw);

	if (e != ERR_OK || (e = kv_cursor_open(c->t.kv, KV_ENTRY, &cur)) != ERR_OK)
		return e;
	/* A row that cannot be read is passed over, a page that cannot be read ends the walk. */
	for (e = kv_cursor_seek(cur, key_2u32(&k, row->id, 0), &key, &v);
		e == ERR_OK && key.n >= 4 && be32_at(key, 0) == row->id;
		e = kv_cursor_next(cur, &key, &v)) {
		if (key.n != 8 || entry_decode(be32_at(key, 4), v, &entry) != ERR_OK) {
			problem(c, "entry-damaged", "mailbox %u", row->id);
			continue;
		}
		check_entry(c, row, &kw, &entry);
		if (!row->dying)
			gather(c, row, &r, &entry);
	}
	kv_cursor_close(cur);
	if ((e != ERR_OK && e != ERR_EOF) || row->dying)
		return e == ERR_EOF ? ERR_OK : e;
	compare_chunk(c, row, &r);
	compare_counters(c, row, &r);
	c->use.messages += r.messages;
	c->use.bytes += r.bytes;
	return ERR_OK;
}

/* Rows keyed by a mailbox that is not there; bitmaps with no entry behind them. */
static enum err
on_mailbox_key(struct check *c, struct str key, struct str v)
{
	(void)v;
	if (key.n < 4 || find_mailbox(c, be32_at(key, 0)) == NULL)
		problem(c, "row-homeless", "mailbox %u", key.n < 4 ? 0 : be32_at(key, 0));
	return ERR_OK;
}

static enum err
on_metadata(struct check *c, struct str key, struct str v)
{
	uint64_t version;
	enum err e = metadata_version(&c->t, &version);

	if (e != ERR_OK)
		return e;
	if (!metadata_row_good(v, version))
		problem(c, "metadata-damaged", "mailbox %u", key.n < 4 ? 0 : be32_at(key, 0));
	/* 0: the account's own */
	if (key.n > 4 && be32_at(key, 0) == 0)
		return ERR_OK;
	return on_mailbox_key(c, key, v);
}

static enum err
on_uids(struct check *c, struct str key, struct str v)
{
	struct mailbox_row *row = key.n == 8 ? find_mailbox(c, be32_at(key, 0)) : NULL;
	struct chunk_row chunk;
	struct entry_scan scan;
	struct entry entry;

	if (row == NULL)
		return on_mailbox_key(c, key, v);
	if (row->dying || chunk_decode(v, &chunk) != ERR_OK)
		return ERR_OK; /* a damaged one was told when it was compared */
	uint64_t until = ((uint64_t)be32_at(key, 4) + 1) * CHUNK_UIDS;
	enum err e = entry_scan_begin(&scan, &c->t, row->id, be32_at(key, 4) * CHUNK_UIDS);

	if (e == ERR_OK)
		e = entry_scan_next(&scan, &entry);
	if (e == ERR_EOF || (e == ERR_OK && entry.uid >= until))
		problem(c, "uids-extra", "mailbox %u, chunk %u", row->id, be32_at(key, 4));
	entry_scan_end(&scan);
	return e == ERR_EOF || e == ERR_CORRUPT ? ERR_OK : e;
}

static enum err
on_change(struct check *c, struct str key, struct str v)
{
	struct mailbox_row *row = key.n == 12 ? find_mailbox(c, be32_at(key, 0)) : NULL;
	struct uidset set = { 0 };
	enum change_kind kind;

	if (row == NULL)
		return on_mailbox_key(c, key, v);
	if (change_decode(v, &kind, &set) != ERR_OK)
		problem(c, "change-damaged", "mailbox %u", row->id);
	if (be64_at(key, 4) > row->highestmodseq)
		problem(c, "modseq-high", "mailbox %u: a change above the highest", row->id);
	uidset_fini(&set);
	return ERR_OK;
}

static enum err
on_garbage(struct check *c, struct str key, struct str v)
{
	struct seen_message *m = key.n == 8 ? find_message(c, be64_at(key, 0)) : NULL;

	if (key.n != 8 || v.n != 8)
		problem(c, "garbage-damaged", "a row of %zu bytes", v.n);
	if (m == NULL)
		return ERR_OK;
	m->garbage = true;
	if (m->refs > 0)
		problem(c, "garbage-referenced", "message %016llx", (unsigned long long)m->id);
	return ERR_OK;
}

static enum err
on_ref(struct check *c, struct str key, struct str v)
{
	(void)v;
	if (key.n != 8 || find_message(c, be64_at(key, 0)) == NULL)
		problem(c, "ref-orphan", "a count of no message");
	return ERR_OK;
}

static enum err
on_cache(struct check *c, struct str key, struct str v)
{
	(void)v;
	if (key.n != 8 || find_message(c, be64_at(key, 0)) == NULL)
		problem(c, "cache-orphan", "a cache row of no message");
	return ERR_OK;
}

static enum err
on_thread(struct check *c, struct str key, struct str v)
{
	uint64_t thread, owner;

	if (key.n != 8 || thread_row_decode(v, &thread, &owner) != ERR_OK || thread == 0)
		problem(c, "thread-damaged", "a row of %zu bytes", v.n);
	else if (find_message(c, owner) == NULL)
		problem(c, "thread-orphan", "an id of message %016llx, which is not there",
			(unsigned long long)owner);
	return ERR_OK;
}

static enum err
check_refs(struct check *c)
{
	for (size_t i = 0; i < c->msg_count; i++) {
		struct seen_message *m = &c->msg[i];
		uint32_t want = 0;
		enum err e = ref_get(&c->t, m->id, &want);

		if (e != ERR_OK && e != ERR_CORRUPT)
			return e;
		if (m->refs == 0 && m->garbage)
			continue;
		if (e == ERR_CORRUPT || want != m->refs)
			problem(c, want < m->refs ? "ref-low" : "ref-high",
				"message %016llx: counted %u, used by %u",
				(unsigned long long)m->id, want, m->refs);
	}
	return ERR_OK;
}

static enum err
check_meta(struct check *c)
{
	uint64_t last_id, validity;
	struct quota_use use;
	enum err e = meta_get(&c->t, "mailbox", &last_id);

	if (e == ERR_OK)
		e = meta_get(&c->t, "uidvalidity", &validity);
	if (e != ERR_OK)
		return e;
	if ((e = quota_use_get(&c->t, &use)) != ERR_OK)
		return e;
	if (use.messages != c->use.messages || use.bytes != c->use.bytes)
		problem(c, "quota-use", "says %llu messages and %llu octets, has %llu and %llu",
			(unsigned long long)use.messages, (unsigned long long)use.bytes,
			(unsigned long long)c->use.messages, (unsigned long long)c->use.bytes);
	for (size_t i = 0; i < c->mailbox_count; i++) {
		const struct mailbox_row *row = &c->mailbox[i];

		if (!row->dying && !c->named[i])
			problem(c, "mailbox-unnamed", "mailbox %u \"%.*s\"", row->id,
				STR_FMT(mailbox_row_name(row)));
		if (row->id > last_id || row->uidvalidity > validity || row->uidvalidity == 0)
			problem(c, "counter-low", "mailbox %u", row->id);
	}
	return ERR_OK;
}

static int64_t
orphan_age(const struct check *c)
{
	return c->o->age_sec != 0 ? c->o->age_sec : ORPHAN_AGE_SEC;
}

static enum err
on_file(void *arg, uint64_t id, const char *path, uint64_t size, int64_t ctime_sec)
{
	struct check *c = arg;
	struct seen_message *m = id != 0 ? find_message(c, id) : NULL;

	c->counts->files += id != 0;
	if (m != NULL) {
		m->has_file = true;
		if (c->o->read_bodies && m->size != UINT64_MAX && m->size != size && !m->garbage)
			problem(c, "body-size", "%s: %llu octets instead of %llu", path,
				(unsigned long long)size, (unsigned long long)m->size);
		return ERR_OK;
	}
	/* A younger one may be on its way into the index. */
	if (c->now - ctime_sec <= orphan_age(c))
		return ERR_OK;
	problem(c, "body-orphan", "%s", path);
	c->orphan = xrealloc(c->orphan, (c->orphan_count + 1) * sizeof *c->orphan);
	c->orphan[c->orphan_count++] = (struct orphan){ .path = xstrdup(path), .id = id };
	return ERR_OK;
}

/* Tested and unlinked inside a write transaction, so that no update can name it meanwhile. */
static enum err
remove_orphans(struct check *c)
{
	struct kv_txn *t = NULL;
	enum err e = ERR_OK;

	for (size_t i = 0; i < c->orphan_count && e == ERR_OK; i++) {
		struct orphan *o = &c->orphan[i];
		struct stat st;
		struct key k;
		struct str v;

		if (i % ORPHANS_A_TXN == 0) {
			if (t != NULL)
				kv_abort(t);
			t = NULL;
			if ((e = kv_write_begin(c->kv, &t)) != ERR_OK)
				break;
		}
		if (o->id != 0 && kv_get(t, KV_MESSAGE, key_id(&k, o->id), &v) != ERR_NOTFOUND)
			continue;
		if (lstat(o->path, &st) == 0 && time(NULL) - st.st_ctim.tv_sec > orphan_age(c) &&
			unlink(o->path) == 0)
			c->counts->orphans_removed++;
	}
	if (t != NULL)
		kv_abort(t);
	return e;
}

static enum err
check_files(struct check *c)
{
	enum err e = blob_walk(c->home, on_file, c);

	for (size_t i = 0; e == ERR_OK && i < c->msg_count; i++)
		if (!c->msg[i].has_file && !c->msg[i].garbage)
			problem(c, "body-missing", "message %016llx",
				(unsigned long long)c->msg[i].id);
	return e;
}

/* Another version's rows mean something else: ERR_DENIED, told. */
static enum err
check_schema(struct check *c)
{
	uint64_t schema;
	enum err e = meta_get(&c->t, "schema", &schema);

	if (e != ERR_OK || schema == SCHEMA_VERSION)
		return e;
	problem(c, "schema", "the index is of version %llu, this program reads %d",
		(unsigned long long)schema, SCHEMA_VERSION);
	return ERR_DENIED;
}

static enum err
check_index(struct check *c)
{
	static const struct {
		enum kv_table table;
		row_fn fn;
	} later[] = {
		{ KV_ENTRY, on_mailbox_key },
		{ KV_KEYWORD, on_mailbox_key },
		{ KV_METADATA, on_metadata },
		{ KV_UIDS, on_uids },
		{ KV_CHANGE, on_change },
		{ KV_GARBAGE, on_garbage },
		{ KV_REF, on_ref },
		{ KV_CACHE, on_cache },
		{ KV_THREAD, on_thread },
	};
	enum err e = each_row(c, KV_MESSAGE, on_message);

	if (e == ERR_OK)
		e = each_row(c, KV_MAILBOX, on_mailbox);
	c->named = xcalloc(c->mailbox_count, sizeof *c->named);
	if (e == ERR_OK)
		e = each_row(c, KV_NAME, on_name);
	for (size_t i = 0; e == ERR_OK && i < c->mailbox_count; i++)
		e = check_mailbox(c, &c->mailbox[i]);
	for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(later); i++)
		e = each_row(c, later[i].table, later[i].fn);
	if (e == ERR_OK)
		e = check_refs(c);
	return e == ERR_OK ? check_meta(c) : e;
}

static enum err
open_index(struct check *c)
{
	const struct kv_options o = { .map_bytes = MAP_BYTES };
	char path[BLOB_PATH_MAX];
	const char *why = "";
	int n = snprintf(path, sizeof path, "%s/index.mdb", c->home);

	if (n < 0 || (size_t)n >= sizeof path)
		return ERR_LIMIT;
	enum err e = kv_open(path, &o, &c->kv, &why);

	if (e != ERR_OK && e != ERR_NOTFOUND)
		problem(c, "index-unreadable", "%s", why);
	return e;
}

enum err
store_check(const char *home, const struct check_options *o, check_fn report, void *arg,
	struct check_counts *out)
{
	struct check c = {
		.home = home,
		.o = o,
		.report = report,
		.arg = arg,
		.counts = out,
		.now = time(NULL),
	};

	*out = (struct check_counts){ .problems = 0 };
	enum err e = open_index(&c);

	if (e != ERR_OK)
		return e;
	e = kv_read_begin(c.kv, &c.t.kv);
	if (e == ERR_OK) {
		e = check_schema(&c);
		if (e == ERR_OK)
			e = check_index(&c);
		if (e == ERR_OK)
			e = check_files(&c);
		kv_read_end(c.t.kv);
	}
	if (e == ERR_CORRUPT)
		problem(&c, "index-unreadable", "%s", kv_why(c.kv));
	if (e == ERR_OK && o->repair_orphans)
		e = remove_orphans(&c);
	if (e == ERR_DENIED)
		e = ERR_OK;
	kv_close(c.kv);
	for (size_t i = 0; i < c.orphan_count; i++)
		free(c.orphan[i].path);
	free(c.orphan);
	free(c.msg);
	free(c.mailbox);
	free(c.named);
	return e;
}
