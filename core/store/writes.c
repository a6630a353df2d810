/* The list of writes of one update; see writes.h. Called by the updates (op_*.c) and applied by
 * commit.c, on the pool thread that runs the batch. */
#include "core/store/writes.h"

#include <stdlib.h>

#include "core/base/hmap.h"
#include "core/base/xalloc.h"

enum { BLOCK_BYTES = 16 * 1024, SLOTS_KEPT = 8192 };

/* One write: small, as a command may want 16,384 of them. */
struct item {
	struct item *next;
	const char *value;
	uint32_t value_n;
	uint16_t key_n;
	uint8_t table;
	bool del;
	char key[];
};

struct block {
	struct block *next;
	size_t used, cap;
	_Alignas(8) char mem[];
};

struct writes {
	struct item *first, *last;
	size_t n;
	struct item **slots; /* open addressing; NULL: free */
	size_t slot_count, indexed;
	struct block *blocks;
};

struct writes *
writes_new(void)
{
	return xcalloc(1, sizeof(struct writes));
}

static void
free_blocks(struct writes *w, struct block *keep)
{
	for (struct block *b = w->blocks, *next; b != NULL; b = next) {
		next = b->next;
		if (b != keep)
			free(b);
	}
	w->blocks = keep;
	if (keep != NULL) {
		keep->next = NULL;
		keep->used = 0;
	}
}

void
writes_free(struct writes *w)
{
	if (w == NULL)
		return;
	free_blocks(w, NULL);
	free(w->slots);
	free(w);
}

void
writes_reset(struct writes *w)
{
	struct block *keep = w->blocks;

	while (keep != NULL && keep->cap != BLOCK_BYTES)
		keep = keep->next;
	free_blocks(w, keep);
	if (w->slot_count > SLOTS_KEPT) {
		free(w->slots);
		w->slots = NULL;
		w->slot_count = 0;
	} else if (w->indexed > 0) {
		memset(w->slots, 0, w->slot_count * sizeof *w->slots);
	}
	w->first = w->last = NULL;
	w->n = w->indexed = 0;
}

size_t
writes_count(const struct writes *w)
{
	return w->n;
}

static char *
take_room(struct writes *w, size_t n)
{
	struct block *b = w->blocks;

	n = (n + 7) / 8 * 8;
	if (b == NULL || b->cap - b->used < n) {
		size_t cap = n > BLOCK_BYTES ? n : BLOCK_BYTES;

		b = xmalloc(sizeof *b + cap);
		b->next = w->blocks;
		b->used = 0;
		b->cap = cap;
		w->blocks = b;
	}
	char *at = b->mem + b->used;

	b->used += n;
	return at;
}

static inline struct str
item_key(const struct item *it)
{
	return str_n(it->key, it->key_n);
}

static size_t
slot_of(const struct writes *w, enum kv_table table, struct str key)
{
	size_t at = (size_t)(hash_bytes(key) + (uint64_t)table * 0x9E3779B97F4A7C15u) &
		    (w->slot_count - 1);

	for (; w->slots[at] != NULL; at = (at + 1) & (w->slot_count - 1)) {
		const struct item *it = w->slots[at];

		if (it->table == table && str_eq(item_key(it), key))
			break;
	}
	return at;
}

static void
grow_index(struct writes *w)
{
	size_t old_count = w->slot_count;
	struct item **old = w->slots;

	w->slot_count = old_count != 0 ? old_count * 2 : 64;
	w->slots = xcalloc(w->slot_count, sizeof *w->slots);
	for (size_t i = 0; i < old_count; i++)
		if (old[i] != NULL)
			w->slots[slot_of(w, old[i]->table, item_key(old[i]))] = old[i];
	free(old);
}

/* With room for a value behind its key. */
static struct item *
add_item(struct writes *w, enum kv_table table, struct str key, size_t value_n)
{
	struct item *it = (struct item *)(void *)take_room(w, sizeof *it + key.n + value_n);

	it->next = NULL;
	it->value = it->key + key.n;
	it->value_n = 0;
	it->key_n = (uint16_t)key.n;
	it->table = (uint8_t)table;
	it->del = false;
	if (key.n > 0)
		memcpy(it->key, key.p, key.n);
	if (w->last != NULL)
		w->last->next = it;
	else
		w->first = it;
	w->last = it;
	w->n++;
	return it;
}

static struct item *
indexed_item(struct writes *w, enum kv_table table, struct str key)
{
	if (w->indexed * 2 >= w->slot_count)
		grow_index(w);
	size_t at = slot_of(w, table, key);

	if (w->slots[at] == NULL) {
		w->slots[at] = add_item(w, table, key, 0);
		w->indexed++;
	}
	return w->slots[at];
}

static void
set_item(struct writes *w, struct item *it, struct str value, bool del)
{
	it->del = del;
	if (it->value_n != value.n)
		it->value = take_room(w, value.n);
	it->value_n = (uint32_t)value.n;
	if (value.n > 0)
		memmove((char *)(uintptr_t)it->value, value.p, value.n);
}

void
writes_put(struct writes *w, enum kv_table table, struct str key, struct str value)
{
	set_item(w, indexed_item(w, table, key), value, false);
}

void
writes_del(struct writes *w, enum kv_table table, struct str key)
{
	set_item(w, indexed_item(w, table, key), STR_EMPTY, true);
}

void
writes_put_once(struct writes *w, enum kv_table table, struct str key, struct str value)
{
	struct item *it = add_item(w, table, key, value.n);

	it->value_n = (uint32_t)value.n;
	if (value.n > 0)
		memcpy(it->key + key.n, value.p, value.n);
}

void
writes_del_once(struct writes *w, enum kv_table table, struct str key)
{
	add_item(w, table, key, 0)->del = true;
}

enum writes_found
writes_get(const struct writes *w, enum kv_table table, struct str key, struct str *value_out)
{
	if (w->indexed == 0)
		return WRITES_NONE;
	size_t at = slot_of(w, table, key);

	const struct item *it = w->slots[at];

	if (it == NULL)
		return WRITES_NONE;
	if (it->del)
		return WRITES_DEL;
	*value_out = str_n(it->value, it->value_n);
	return WRITES_PUT;
}

enum err
writes_apply(const struct writes *w, struct kv_txn *t)
{
	enum err e = ERR_OK;

	for (const struct item *it = w->first; it != NULL && e == ERR_OK; it = it->next)
		e = it->del ? kv_del(t, it->table, item_key(it))
			    : kv_put(t, it->table, item_key(it), str_n(it->value, it->value_n));
	return e;
}
