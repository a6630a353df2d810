#ifndef POSTROOM_EVENT_COUNTS_H
#define POSTROOM_EVENT_COUNTS_H

#include <stddef.h>

#include "core/base/str.h"

/* What the workers of one role count together: connections of an address, sessions of a user. A
 * mapping that they share, a part for each, which only its worker writes: nobody waits, and a
 * worker that is started again takes what it counted with it. Two that add at the same moment may
 * both pass a limit that has room for one.
 *
 * A part holds some 16,000 keys at once; what finds no place is not counted here, so callers count
 * their own as well and take the larger. */
struct counts;

/* A mapping for so many workers: a descriptor to give to each, or -1. */
int
counts_make(unsigned workers);
/* Takes fd. This worker's part is empty now. NULL: fd is no such mapping. */
struct counts *
counts_open(int fd, unsigned worker, unsigned workers);
/* NULL is allowed. */
void
counts_close(struct counts *c);

/* One more, or one less, in this worker. c may be NULL: nothing is counted. */
void
counts_add(struct counts *c, struct str key);
void
counts_remove(struct counts *c, struct str key);
/* Of all workers. 0 with c NULL. */
size_t
counts_get(const struct counts *c, struct str key);

#endif
