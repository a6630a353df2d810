/* Arena allocator; see arena.h. Chunks double up to 64 KiB; larger objects get their own. */
#include "core/base/arena.h"

#include <stdlib.h>

#include "core/base/xalloc.h"

#if defined(__SANITIZE_ADDRESS__) || defined(ARENA_PLAIN)
#define ARENA_EACH 1
#else
#define ARENA_EACH 0
#endif

enum { CHUNK_MIN = 1024, CHUNK_MAX = 64 * 1024, ALIGN = 16 };

struct chunk {
	struct chunk *next;
	size_t cap;
	size_t used;
	size_t pad;
};

_Static_assert(sizeof(struct chunk) % ALIGN == 0, "objects behind the header are aligned");

struct arena {
	struct chunk *chunks; /* the newest first */
	size_t max;
	size_t used;
	size_t next_cap;
};

struct arena *
arena_new(size_t max_bytes)
{
	struct arena *a = xcalloc(1, sizeof *a);

	a->max = max_bytes;
	a->next_cap = CHUNK_MIN;
	return a;
}

static void
drop(struct arena *a, struct chunk *keep)
{
	for (struct chunk *c = a->chunks, *next; c != NULL; c = next) {
		next = c->next;
		if (c != keep)
			free(c);
	}
	a->chunks = keep;
	if (keep != NULL) {
		keep->next = NULL;
		keep->used = 0;
	}
	a->used = 0;
}

void
arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	drop(a, NULL);
	free(a);
}

void
arena_reset(struct arena *a)
{
	struct chunk *keep = a->chunks;

	if (ARENA_EACH || (keep != NULL && keep->cap > CHUNK_MAX))
		keep = NULL;
	drop(a, keep);
	if (keep == NULL)
		a->next_cap = CHUNK_MIN;
}

static struct chunk *
add_chunk(struct arena *a, size_t need)
{
	size_t cap = ARENA_EACH || need > a->next_cap ? need : a->next_cap;
	struct chunk *c = xmalloc(sizeof *c + cap);

	*c = (struct chunk){ .next = a->chunks, .cap = cap };
	a->chunks = c;
	if (a->next_cap < CHUNK_MAX)
		a->next_cap *= 2;
	return c;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	size_t need = n;

	if (!ARENA_EACH) {
		if (n > SIZE_MAX - ALIGN)
			return NULL;
		need = (n + ALIGN - 1) / ALIGN * ALIGN;
	}
	if (need > a->max - a->used)
		return NULL;
	struct chunk *c = a->chunks;

	if (ARENA_EACH || c == NULL || c->cap - c->used < need)
		c = add_chunk(a, need);
	void *p = (char *)(c + 1) + c->used;

	c->used += need;
	a->used += need;
	return p;
}

void *
arena_calloc(struct arena *a, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	void *p = arena_alloc(a, bytes);

	if (p != NULL)
		memset(p, 0, bytes);
	return p;
}

enum err
arena_str(struct arena *a, struct str s, struct str *out)
{
	char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

	if (p == NULL)
		return ERR_LIMIT;
	if (s.n != 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	*out = str_n(p, s.n);
	return ERR_OK;
}

size_t
arena_used(const struct arena *a)
{
	return a->used;
}
