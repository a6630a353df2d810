#ifndef POSTROOM_MAIL_TEXTUAL_H
#define POSTROOM_MAIL_TEXTUAL_H

#include "core/base/buf.h"

/* Parts that say Content-Transfer-Encoding: binary and hold NUL, which no literal but literal8 may
 * carry: BODY[...] of them must be text (RFC 3516 4.2, RFC 9051 4.3.1). Such a part is kept as
 * base64, and BINARY[...] gives its octets back. */

/* Appends msg with these parts in base64, and their fields changed; all else as it is. False, and
 * nothing appended: there is none. Pool threads; time is linear in msg.n. */
bool
textual_make(struct buf *out, struct str msg);

#endif
