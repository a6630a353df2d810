#ifndef POSTROOM_MAIL_ENCODED_H
#define POSTROOM_MAIL_ENCODED_H

#include "core/base/buf.h"

/* RFC 2047 encoded words: "=?utf-8?Q?caf=C3=A9?=". */

/* A field's value, unfolded and its encoded words decoded, as UTF-8; appended. White space between
 * two words is dropped; a character split over two words of one charset is put together; what is no
 * word stays as it is; 8-bit text outside words is taken for UTF-8, else windows-1252. RFC 2047 6,
 * 8; RFC 6532. */
void
encoded_decode(struct buf *out, struct str value);

#endif
