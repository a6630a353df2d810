#ifndef POSTROOM_MAIL_SUBJECT_H
#define POSTROOM_MAIL_SUBJECT_H

#include "core/base/buf.h"

/* The base subject of a Subject value (raw, with RFC 2047 words), folded for comparison
 * (charset_fold). Appended; may be nothing. is_reply_out (may be NULL): it was a reply or a
 * forward. RFC 5256 2.1. */
void
subject_base(struct buf *out, struct str value, bool *is_reply_out);

#endif
