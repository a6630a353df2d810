/* The list of writes of one update; see writes.h. Called by the updates (op_*.c) and applied by
 * commit.c, on the pool thread that runs the batch. */
#include "core/store/writes.h"

#include <stdlib.h>

#include "core/base/hmap.h"
#include "core/base/xalloc.h"

enum { BLOCK_BYTES = 16 * 1024, ITEMS_KEPT = 4096 };

struct item {
	struct str key, value;
	enum kv_table table;
	bool del;
};

struct block {
	struct block *next;
	size_t used, cap;
	char mem[];
};

struct writes {
	struct item *items;
	size_t n, cap;
	uint32_t *slots; /* index + 1 into items, open addressing; 0: free */
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
	free(w->items);
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
	if (w->cap > ITEMS_KEPT) {
		free(w->items);
		w->items = NULL;
		w->cap = 0;
	}
	if (w->slot_count > (size_t)2 * ITEMS_KEPT) {
		free(w->slots);
		w->slots = NULL;
		w->slot_count = 0;
	} else if (w->indexed > 0) {
		memset(w->slots, 0, w->slot_count * sizeof *w->slots);
	}
	w->n = w->indexed = 0;
}

size_t
writes_count(const struct writes *w)
{
	return w->n;
}

static struct str
keep_bytes(struct writes *w, struct str s)
{
	struct block *b = w->blocks;

	if (b == NULL || b->cap - b->used < s.n) {
		size_t cap = s.n > BLOCK_BYTES ? s.n : BLOCK_BYTES;

		b = xmalloc(sizeof *b + cap);
		b->next = w->blocks;
		b->used = 0;
		b->cap = cap;
		w->blocks = b;
	}
	char *at = b->mem + b->used;

	if (s.n > 0)
		memcpy(at, s.p, s.n);
	b->used += s.n;
	return str_n(at, s.n);
}

static size_t
slot_of(const struct writes *w, enum kv_table table, struct str key)
{
	size_t at = (size_t)(hash_bytes(key) + (uint64_t)table * 0x9E3779B97F4A7C15u) &
		    (w->slot_count - 1);

	for (; w->slots[at] != 0; at = (at + 1) & (w->slot_count - 1)) {
		const struct item *it = &w->items[w->slots[at] - 1];

		if (it->table == table && str_eq(it->key, key))
			break;
	}
	return at;
}

static void
grow_index(struct writes *w)
{
	size_t old_count = w->slot_count;
	uint32_t *old = w->slots;

	w->slot_count = old_count != 0 ? old_count * 2 : 64;
	w->slots = xcalloc(w->slot_count, sizeof *w->slots);
	for (size_t i = 0; i < old_count; i++)
		if (old[i] != 0) {
			const struct item *it = &w->items[old[i] - 1];

			w->slots[slot_of(w, it->table, it->key)] = old[i];
		}
	free(old);
}

static struct item *
add_item(struct writes *w, enum kv_table table, struct str key)
{
	if (w->n == w->cap) {
		w->cap = w->cap != 0 ? w->cap * 2 : 32;
		w->items = xrealloc(w->items, w->cap * sizeof *w->items);
	}
	struct item *it = &w->items[w->n++];

	*it = (struct item){ .key = keep_bytes(w, key), .table = table };
	return it;
}

static struct item *
indexed_item(struct writes *w, enum kv_table table, struct str key)
{
	if (w->indexed * 2 >= w->slot_count)
		grow_index(w);
	size_t at = slot_of(w, table, key);

	if (w->slots[at] != 0)
		return &w->items[w->slots[at] - 1];
	struct item *it = add_item(w, table, key);

	w->slots[at] = (uint32_t)w->n;
	w->indexed++;
	return it;
}

static void
set_item(struct writes *w, struct item *it, struct str value, bool del)
{
	it->del = del;
	if (!del && it->value.n == value.n && value.n > 0)
		memmove((char *)(uintptr_t)it->value.p, value.p, value.n);
	else
		it->value = del ? STR_EMPTY : keep_bytes(w, value);
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
	add_item(w, table, key)->value = keep_bytes(w, value);
}

void
writes_del_once(struct writes *w, enum kv_table table, struct str key)
{
	add_item(w, table, key)->del = true;
}

enum writes_found
writes_get(const struct writes *w, enum kv_table table, struct str key, struct str *value_out)
{
	if (w->indexed == 0)
		return WRITES_NONE;
	size_t at = slot_of(w, table, key);

	if (w->slots[at] == 0)
		return WRITES_NONE;
	const struct item *it = &w->items[w->slots[at] - 1];

	if (it->del)
		return WRITES_DEL;
	*value_out = it->value;
	return WRITES_PUT;
}

enum err
writes_apply(const struct writes *w, struct kv_txn *t)
{
	enum err e = ERR_OK;

	for (size_t i = 0; i < w->n && e == ERR_OK; i++) {
		const struct item *it = &w->items[i];

		e = it->del ? kv_del(t, it->table, it->key)
			    : kv_put(t, it->table, it->key, it->value);
	}
	return e;
}
