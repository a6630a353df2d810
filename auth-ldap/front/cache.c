/* Answers of the backends, by their questions; see cache.h. Called by memory.c only.
 *
 * An entry is one piece of memory with its key, value and proof behind it; the record of a user is
 * counted and shared by the entries that got the same one.
 * Invariants: bytes is the sum of what the entries take and never above the maximum after a call;
 * no password is here, only proofs under a key that dies with the process. */
#include "auth-ldap/front/cache.h"

#include <stdlib.h>

#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"

enum {
	SLOT_BYTES = 16,  /* of the hash map, an entry */
	ALLOC_BYTES = 16, /* of malloc, a piece */
	EXPIRE_STEP = 4,
	PART_PREFIX = 2, /* bytes of a part's length */
};

/* A user, shared by the entries whose answers were the same. */
struct record {
	struct hmap_node node; /* by canonical name: the newest one of it */
	struct auth_user *user;
	unsigned entries;
	bool newest;
};

struct entry {
	struct hmap_node node;
	struct list link; /* cache->used, the longest unused first */
	int64_t stored_ms;
	struct record *record;
	uint32_t value_bytes, owner_bytes;
	uint8_t err, reason;
	bool has_proof;
	char text[]; /* proof, key, value, owner */
};

struct cache {
	struct hmap entries, records;
	struct list used;
	size_t bytes, max_bytes;
	uint64_t hits, misses, dropped;
};

struct cache *
cache_new(size_t max_bytes)
{
	struct cache *c = xcalloc(1, sizeof *c);
	hmap_init(&c->entries);
	hmap_init(&c->records);
	list_init(&c->used);
	c->max_bytes = max_bytes;
	return c;
}

static size_t
record_bytes(const struct auth_user *u)
{
	return sizeof(struct record) + auth_user_size(u) + SLOT_BYTES + 2 * (size_t)ALLOC_BYTES;
}

static struct record *
record_get(struct cache *c, struct auth_user *u)
{
	struct hmap_node *n = hmap_get(&c->records, u->user);
	struct record *r = n != NULL ? CONTAINER_OF(n, struct record, node) : NULL;
	if (r != NULL && auth_user_equal(r->user, u)) {
		r->entries++;
		return r;
	}
	if (r != NULL) {
		hmap_remove(&c->records, &r->node);
		r->newest = false;
	}
	r = xcalloc(1, sizeof *r);
	r->user = auth_user_ref(u);
	r->entries = 1;
	r->newest = true;
	hmap_put(&c->records, &r->node, u->user);
	c->bytes += record_bytes(u);
	return r;
}

static void
record_put(struct cache *c, struct record *r)
{
	if (r == NULL || --r->entries > 0)
		return;
	c->bytes -= record_bytes(r->user);
	if (r->newest)
		hmap_remove(&c->records, &r->node);
	auth_user_unref(r->user);
	free(r);
}

static size_t
entry_bytes(const struct entry *e)
{
	return sizeof *e + (e->has_proof ? DIGEST_SHA256_BYTES : 0) + e->node.key.n +
	       e->value_bytes + e->owner_bytes + SLOT_BYTES + ALLOC_BYTES;
}

static void
entry_free(struct cache *c, struct entry *e)
{
	c->bytes -= entry_bytes(e);
	hmap_remove(&c->entries, &e->node);
	list_remove(&e->link);
	record_put(c, e->record);
	if (e->has_proof)
		explicit_bzero(e->text, DIGEST_SHA256_BYTES);
	free(e);
}

static struct entry *
entry_of(struct list *link)
{
	return CONTAINER_OF(link, struct entry, link);
}

/* Drops the longest unused until the limit is kept. */
static void
cache_trim(struct cache *c)
{
	while (c->bytes > c->max_bytes && !list_empty(&c->used)) {
		entry_free(c, entry_of(c->used.next));
		c->dropped++;
	}
}

void
cache_resize(struct cache *c, size_t max_bytes)
{
	c->max_bytes = max_bytes;
	cache_trim(c);
}

void
cache_free(struct cache *c)
{
	if (c == NULL)
		return;
	while (!list_empty(&c->used))
		entry_free(c, entry_of(c->used.next));
	hmap_fini(&c->entries);
	hmap_fini(&c->records);
	free(c);
}

static struct entry *
entry_find(struct cache *c, struct str key)
{
	struct hmap_node *n = hmap_get(&c->entries, key);
	return n != NULL ? CONTAINER_OF(n, struct entry, node) : NULL;
}

bool
cache_get(struct cache *c, struct str key, struct cached *out)
{
	struct entry *e = entry_find(c, key);
	if (e == NULL) {
		c->misses++;
		return false;
	}
	c->hits++;
	list_remove(&e->link);
	list_push_back(&c->used, &e->link);
	const char *value = e->node.key.p + e->node.key.n;
	*out = (struct cached){ .err = (enum err)e->err,
		.reason = (enum auth_reason)e->reason,
		.user = e->record != NULL ? e->record->user : NULL,
		.value = str_n(value, e->value_bytes),
		.owner = str_n(value + e->value_bytes, e->owner_bytes),
		.proof = e->has_proof ? (const unsigned char *)e->text : NULL,
		.stored_ms = e->stored_ms };
	return true;
}

static char *
append(char *to, struct str s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	return to + s.n;
}

void
cache_put(struct cache *c, struct str key, const struct cached *a, int64_t now_ms)
{
	size_t proof_bytes = a->proof != NULL ? DIGEST_SHA256_BYTES : 0;
	size_t text_bytes = proof_bytes + key.n + a->value.n + a->owner.n;
	size_t bytes = sizeof(struct entry) + text_bytes + SLOT_BYTES + ALLOC_BYTES;
	if (a->user != NULL)
		bytes += record_bytes(a->user);
	struct entry *old = entry_find(c, key);
	/* Only now: a may point into the old one. */
	struct entry *e = NULL;
	if (bytes <= c->max_bytes / 8) {
		e = xcalloc(1, sizeof *e + text_bytes);
		char *at = append(e->text, str_n(a->proof, proof_bytes));
		e->node.key = str_n(at, key.n);
		at = append(append(append(at, key), a->value), a->owner);
		e->stored_ms = now_ms;
		e->value_bytes = (uint32_t)a->value.n;
		e->owner_bytes = (uint32_t)a->owner.n;
		e->err = (uint8_t)a->err;
		e->reason = (uint8_t)a->reason;
		e->has_proof = a->proof != NULL;
		e->record = a->user != NULL ? record_get(c, a->user) : NULL;
	}
	if (old != NULL)
		entry_free(c, old);
	if (e == NULL)
		return;
	hmap_put(&c->entries, &e->node, e->node.key);
	list_push_back(&c->used, &e->link);
	c->bytes += entry_bytes(e);
	cache_trim(c);
}

void
cache_expire(struct cache *c, int64_t before_ms)
{
	for (int i = 0; i < EXPIRE_STEP && !list_empty(&c->used); i++) {
		struct entry *e = entry_of(c->used.next);
		if (e->stored_ms >= before_ms)
			return;
		entry_free(c, e);
	}
}

bool
cache_drop(struct cache *c, struct str key)
{
	struct entry *e = entry_find(c, key);
	if (e != NULL)
		entry_free(c, e);
	return e != NULL;
}

size_t
cache_forget(struct cache *c, struct str user)
{
	size_t count = 0;
	LIST_FOREACH (link, &c->used) {
		struct entry *e = entry_of(link);
		if (user.n > 0 && !str_ieq(cache_key_part(e->node.key, 0), user) &&
			(e->record == NULL || !str_ieq(e->record->user->user, user)))
			continue;
		entry_free(c, e);
		count++;
	}
	return count;
}

size_t
cache_forget_all_of(struct cache *c, struct str name)
{
	struct auth_user *user = NULL;
	size_t count = 0;
	LIST_FOREACH (link, &c->used) {
		const struct entry *e = entry_of(link);
		if (user == NULL && name.n > 0 && e->record != NULL &&
			str_ieq(cache_key_part(e->node.key, 0), name))
			user = auth_user_ref(e->record->user);
	}
	if (user != NULL)
		count = cache_forget(c, user->user);
	auth_user_unref(user);
	return count + cache_forget(c, name);
}

void
cache_figures(const struct cache *c, struct cache_figures *out)
{
	*out = (struct cache_figures){ .entries = c->entries.n,
		.bytes = c->bytes,
		.max_bytes = c->max_bytes,
		.hits = c->hits,
		.misses = c->misses,
		.dropped = c->dropped };
}

/* ---- keys ---- */

void
cache_key_begin(struct buf *key, char kind)
{
	buf_reset(key);
	buf_addc(key, kind);
}

void
cache_key_add(struct buf *key, struct str part)
{
	/* A part that does not fit its length makes a key that buf_check refuses. */
	const char prefix[PART_PREFIX] = { (char)(part.n >> 8), (char)(part.n & 0xff) };
	if (part.n > CACHE_KEY_MAX) {
		key->over = true;
		return;
	}
	buf_add(key, str_n(prefix, sizeof prefix));
	buf_add(key, part);
}

struct str
cache_key_part(struct str key, size_t at)
{
	struct str rest = str_from(key, 1);
	for (; rest.n >= PART_PREFIX; at--) {
		size_t n = (size_t)(unsigned char)rest.p[0] << 8 | (unsigned char)rest.p[1];
		if (at == 0)
			return str_sub(rest, PART_PREFIX, n);
		rest = str_from(rest, PART_PREFIX + n);
	}
	return STR_EMPTY;
}

void
cache_proof(struct str key, struct str password, unsigned char out[DIGEST_SHA256_BYTES])
{
	static struct hmac_sha256 *keyed;
	struct buf b;
	if (keyed == NULL) {
		unsigned char secret[DIGEST_SHA256_BYTES];
		rand_bytes(secret, sizeof secret);
		keyed = hmac_sha256_new(str_n(secret, sizeof secret));
		explicit_bzero(secret, sizeof secret);
	}
	buf_init_secret(&b, key.n + password.n + 2 * PART_PREFIX + sizeof(uint64_t));
	uint64_t n = key.n;
	buf_add(&b, str_n(&n, sizeof n));
	buf_add(&b, key);
	buf_add(&b, password);
	hmac_sha256_of(keyed, buf_str(&b), out);
	buf_fini(&b);
}
