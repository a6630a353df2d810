#ifndef POSTROOM_BASE_XALLOC_H
#define POSTROOM_BASE_XALLOC_H

#include <stddef.h>

/* Small allocations of a fixed size: they cannot fail (the process logs and
 * aborts, the master starts it again). Whatever a peer can size goes through
 * struct buf or struct arena, which have a maximum. Returned owned; free(). */
void *
xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *
xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *
xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
char *
xstrdup(const char *z) __attribute__((malloc, returns_nonnull));

#define ARRAY_LEN(a)			(sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
