/* References to messages; see rows.h. Edited by the updates only. Invariant: the row of a message
 * with one reference is gone, and one without is in garbage, in the same transaction. */
#include <stdlib.h>

#include "core/store/rows.h"

enum { SEEK_AFTER = 16 }; /* rows that are cheaper to pass than to search */

static uint32_t
count_of(struct str v)
{
	uint32_t le;

	memcpy(&le, v.p, sizeof le);
	return le32toh(le);
}

enum err
ref_get(struct txn *t, uint64_t msg, uint32_t *out)
{
	struct key k;
	struct str v;
	enum err e = txn_get(t, KV_REF, key_id(&k, msg), &v);

	*out = 1;
	if (e == ERR_NOTFOUND)
		return ERR_OK;
	if (e == ERR_OK && v.n != 4)
		return ERR_CORRUPT;
	if (e == ERR_OK)
		*out = count_of(v);
	return e;
}

static void
ref_put(struct txn *t, uint64_t msg, uint32_t n)
{
	uint32_t le = htole32(n);
	struct key k;

	if (n == 1)
		writes_del(t->writes, KV_REF, key_id(&k, msg));
	else
		writes_put(t->writes, KV_REF, key_id(&k, msg), str_n(&le, sizeof le));
}

static void
garbage_put(struct txn *t, uint64_t msg, int64_t now_ms)
{
	uint64_t le = htole64((uint64_t)now_ms);
	struct key k;

	writes_put_once(t->writes, KV_GARBAGE, key_id(&k, msg), str_n(&le, sizeof le));
	t->garbage = true;
}

enum err
ref_drop(struct txn *t, uint64_t msg, int64_t now_ms)
{
	uint32_t n;
	enum err e = ref_get(t, msg, &n);

	if (e != ERR_OK)
		return e;
	if (n > 1) {
		ref_put(t, msg, n - 1);
		return ERR_OK;
	}
	garbage_put(t, msg, now_ms);
	return ERR_OK;
}

/* ---- many at once ---- */

static int
by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Messages come mostly in the order of their ids. */
static void
sort_ids(uint64_t *ids, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (ids[i] < ids[i - 1]) {
			qsort(ids, n, sizeof *ids, by_id);
			return;
		}
}

/* A walk over the rows by ascending id. */
struct ref_walk {
	struct kv_cursor *cursor;
	struct str key, value;
	bool started, ended;
};

/* 1 when there is no row. */
static enum err
ref_walk_to(struct ref_walk *w, uint64_t msg, uint32_t *out)
{
	struct key k;
	enum err e = ERR_OK;

	for (unsigned n = 0; e == ERR_OK && !w->ended; n++) {
		if (w->started && (w->key.n != 8 || w->value.n != 4))
			return ERR_CORRUPT;
		if (w->started && be64_at(w->key, 0) >= msg)
			break;
		e = w->started && n < SEEK_AFTER
			    ? kv_cursor_next(w->cursor, &w->key, &w->value)
			    : kv_cursor_seek(w->cursor, key_id(&k, msg), &w->key, &w->value);
		w->started = true;
		w->ended = e == ERR_EOF;
	}
	bool found = !w->ended && e == ERR_OK && be64_at(w->key, 0) == msg;

	*out = found ? count_of(w->value) : 1;
	return e == ERR_EOF ? ERR_OK : e;
}

static void
take_from(struct txn *t, uint64_t msg, uint32_t had, size_t drop, int64_t now_ms)
{
	uint32_t le = htole32(had > drop ? had - (uint32_t)drop : 0);
	struct key k;

	if (had > drop && had - drop > 1)
		writes_put_once(t->writes, KV_REF, key_id(&k, msg), str_n(&le, sizeof le));
	else if (had > 1)
		writes_del_once(t->writes, KV_REF, key_id(&k, msg));
	if (had <= drop)
		garbage_put(t, msg, now_ms);
}

static enum err
add_to(struct txn *t, uint64_t msg, uint32_t had, size_t add)
{
	struct key k;

	if (add > UINT32_MAX - had)
		return ERR_LIMIT;
	uint32_t le = htole32(had + (uint32_t)add);

	writes_put_once(t->writes, KV_REF, key_id(&k, msg), str_n(&le, sizeof le));
	return ERR_OK;
}

/* now_ms: of those whose last reference goes. */
static enum err
count_each(struct txn *t, uint64_t *ids, size_t n, bool add, int64_t now_ms)
{
	struct ref_walk w = { .started = false };
	enum err e = n > 0 ? kv_cursor_open(t->kv, KV_REF, &w.cursor) : ERR_OK;

	sort_ids(ids, n);
	for (size_t i = 0, next; e == ERR_OK && i < n; i = next) {
		uint32_t had;

		for (next = i + 1; next < n && ids[next] == ids[i];)
			next++;
		e = ref_walk_to(&w, ids[i], &had);
		if (e == ERR_OK && add)
			e = add_to(t, ids[i], had, next - i);
		else if (e == ERR_OK)
			take_from(t, ids[i], had, next - i, now_ms);
	}
	kv_cursor_close(w.cursor);
	return e;
}

enum err
refs_add(struct txn *t, uint64_t *ids, size_t n)
{
	return count_each(t, ids, n, true, 0);
}

enum err
refs_drop(struct txn *t, uint64_t *ids, size_t n, int64_t now_ms)
{
	return count_each(t, ids, n, false, now_ms);
}
