/* Allocation that cannot fail; see xalloc.h. */
#include "core/base/xalloc.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"

static void *
checked(void *p)
{
	if (p == NULL) {
		log_event(LVL_ERROR, "oom", log_z("reason", "out of memory"));
		abort();
	}
	return p;
}

void *
xmalloc(size_t n)
{
	return checked(malloc(n != 0 ? n : 1));
}

void *
xcalloc(size_t n, size_t size)
{
	return checked(calloc(n != 0 ? n : 1, size != 0 ? size : 1));
}

void *
xrealloc(void *p, size_t n)
{
	return checked(realloc(p, n != 0 ? n : 1));
}

char *
xstrdup(const char *z)
{
	return checked(strdup(z));
}
