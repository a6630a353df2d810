#ifndef POSTROOM_BASE_ARENA_H
#define POSTROOM_BASE_ARENA_H

#include "core/base/str.h"

/* Memory of one command, transaction or request: many allocations, one reset.
 * Has a maximum; beyond it arena_alloc returns NULL and the caller answers
 * ERR_LIMIT. In sanitizer builds each object is a malloc of its own, so that
 * ASan sees overruns. */
struct arena;

struct arena *
arena_new(size_t max_bytes);
void
arena_free(struct arena *a);
/* Every object dies; one chunk is kept for the next use. */
void
arena_reset(struct arena *a);

/* n bytes, aligned for anything, not cleared; NULL above the maximum. Dies with
 * the arena's reset. */
void *
arena_alloc(struct arena *a, size_t n);
/* Cleared; NULL above the maximum or when n * size overflows. */
void *
arena_calloc(struct arena *a, size_t n, size_t size);
/* A copy of s with a NUL behind it (not counted); ERR_LIMIT. */
MUST_USE enum err
arena_str(struct arena *a, struct str s, struct str *out);
/* Bytes handed out since the last reset. */
size_t
arena_used(const struct arena *a);

#endif
