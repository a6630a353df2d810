#ifndef POSTROOM_IMAP_PARTIAL_H
#define POSTROOM_IMAP_PARTIAL_H

#include "core/store/uidset.h"
#include "imap/grammar/args_fetch.h"

/* Only the lo-th to the hi-th of set stay, counted from its beginning or its end; none where it is
 * shorter. RFC 9394 3.3. */
void
partial_keep(struct uidset *set, const struct partial_range *p);

#endif
