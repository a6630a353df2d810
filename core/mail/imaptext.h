#ifndef POSTROOM_MAIL_IMAPTEXT_H
#define POSTROOM_MAIL_IMAPTEXT_H

#include "core/base/buf.h"

/* Strings in IMAP responses, appended. RFC 3501 4.3. */

/* "quoted" where it can be (no 8-bit, CR, LF, NUL; short), else a literal "{5}\r\n...". NUL becomes
 * U+FFFD, as no literal may hold it. */
void
imaptext_string(struct buf *out, struct str s);
/* NIL when s.p is NULL. */
void
imaptext_nstring(struct buf *out, struct str s);
/* Like imaptext_nstring, for a header value: unfolded first. */
void
imaptext_nstring_unfold(struct buf *out, struct str s);

#endif
