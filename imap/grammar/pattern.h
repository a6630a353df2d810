#ifndef POSTROOM_IMAP_PATTERN_H
#define POSTROOM_IMAP_PATTERN_H

#include "core/base/str.h"

/* Does a mailbox name match a pattern of LIST? "*" stands for anything, "%" for anything without
 * a separator; "INBOX" as the first component matches in any case. Time is pattern.n * name.n,
 * whatever the pattern. RFC 3501 6.3.8. */
bool
pattern_matches(struct str pattern, struct str name);

#endif
