/* Threads by message ids; see thread.h. thread_ids runs when a message is parsed (record.c), the
 * others inside the updates that write and remove its rows. Invariant: every row's owner is a
 * message of the home. */
#include "core/store/thread.h"

#include "core/base/arena.h"
#include "core/base/digest.h"
#include "core/mail/header.h"
#include "core/mail/msgid.h"

enum { ARENA_BYTES = 64 * 1024, FIELDS_BYTES_MAX = 64 * 1024 };

/* ---- ids ---- */

/* Everybody who writes to the user chooses ids, so the hash must be a strong one. 0 means none. */
static uint64_t
hash_id(struct str id)
{
	unsigned char d[DIGEST_BYTES_MAX];
	uint64_t h;

	if (digest_bytes(DIGEST_SHA256, id, STR_EMPTY, d) != ERR_OK)
		return 0;
	memcpy(&h, d, sizeof h);
	return h != 0 ? h : 1;
}

/* In the order of the message, each once, where it came last. */
struct ids {
	uint64_t v[THREAD_IDS_MAX];
	size_t n;
};

static void
ids_add(struct ids *ids, uint64_t h)
{
	if (h == 0)
		return;
	size_t at = 0;

	while (at < ids->n && ids->v[at] != h)
		at++;
	/* of too many, all but the very first give way */
	if (at == THREAD_IDS_MAX - 1)
		at = 1;
	if (at < ids->n) {
		ids->n--;
		memmove(ids->v + at, ids->v + at + 1, (ids->n - at) * sizeof ids->v[0]);
	}
	ids->v[ids->n++] = h;
}

static void
add_field(struct ids *ids, struct str header, struct str name, size_t max)
{
	struct arena *a = arena_new(ARENA_BYTES);
	struct header_field f;
	struct str id, rest = STR_EMPTY;

	if (header_find(header, name, 0, &f))
		rest = str_sub(f.value, 0, FIELDS_BYTES_MAX);
	for (size_t n = 0; n < max && msgid_next(&rest, a, &id) == ERR_OK; n++) {
		ids_add(ids, hash_id(id));
		arena_reset(a);
	}
	arena_free(a);
}

static void
put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, str_n(&v, sizeof v));
}

void
thread_ids(struct buf *out, struct str header)
{
	struct ids own = { .n = 0 }, refs = { .n = 0 };

	add_field(&own, header, STR("Message-ID"), 1);
	/* the order of References counts, where there is one */
	add_field(&refs, header, STR("In-Reply-To"), 4);
	add_field(&refs, header, STR("References"), SIZE_MAX);
	put_u64(out, own.n != 0 ? own.v[0] : 0);
	for (size_t i = refs.n; i-- > 0;)
		put_u64(out, refs.v[i]);
}

/* ---- rows ---- */

static uint64_t
u64_at(struct str s, size_t off)
{
	uint64_t v;

	memcpy(&v, s.p + off, sizeof v);
	return le64toh(v);
}

enum err
thread_row_decode(struct str value, uint64_t *thread_out, uint64_t *owner_out)
{
	if (value.n != THREAD_ROW_BYTES)
		return ERR_CORRUPT;
	*thread_out = u64_at(value, 0);
	*owner_out = u64_at(value, 8);
	return ERR_OK;
}

/* ERR_NOTFOUND: the id is new, or none. */
static enum err
row_get(struct txn *t, uint64_t hash, uint64_t *thread_out, uint64_t *owner_out)
{
	struct key k;
	struct str v;

	if (hash == 0)
		return ERR_NOTFOUND;
	enum err e = txn_get(t, KV_THREAD, key_id(&k, hash), &v);

	return e == ERR_OK ? thread_row_decode(v, thread_out, owner_out) : e;
}

static void
row_put(struct txn *t, uint64_t hash, uint64_t thread, uint64_t owner)
{
	uint64_t v[2] = { htole64(thread), htole64(owner) };
	struct key k;

	writes_put(t->writes, KV_THREAD, key_id(&k, hash), str_n(v, sizeof v));
}

enum err
thread_join(struct txn *t, uint64_t msg, struct str ids, uint64_t *thread_out)
{
	uint64_t owner, thread, found[THREAD_IDS_MAX] = { 0 };
	size_t n = ids.n / 8 < THREAD_IDS_MAX ? ids.n / 8 : THREAD_IDS_MAX;

	*thread_out = 0;
	for (size_t i = 0; i < n; i++) {
		enum err e = row_get(t, u64_at(ids, 8 * i), &thread, &owner);

		if (e == ERR_OK)
			found[i] = thread;
		else if (e != ERR_NOTFOUND)
			return e;
		/* what it answers comes before what answered it */
		if (i != 0 && *thread_out == 0)
			*thread_out = found[i];
	}
	if (*thread_out == 0)
		*thread_out = n != 0 && found[0] != 0 ? found[0] : msg;
	for (size_t i = 0; i < n; i++) {
		uint64_t hash = u64_at(ids, 8 * i);

		/* its own id becomes this message's: the newest is there the longest */
		if (hash != 0 && (found[i] == 0 || i == 0))
			row_put(t, hash, found[i] != 0 ? found[i] : *thread_out, msg);
	}
	return ERR_OK;
}

enum err
thread_leave(struct txn *t, uint64_t msg, struct str ids)
{
	for (size_t i = 0; i < ids.n / 8; i++) {
		uint64_t thread, owner, hash = u64_at(ids, 8 * i);
		struct key k;
		enum err e = row_get(t, hash, &thread, &owner);

		if (e == ERR_OK && owner == msg)
			writes_del(t->writes, KV_THREAD, key_id(&k, hash));
		else if (e != ERR_OK && e != ERR_NOTFOUND)
			return e;
	}
	return ERR_OK;
}
