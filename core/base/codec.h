#ifndef POSTROOM_BASE_CODEC_H
#define POSTROOM_BASE_CODEC_H

#include "core/base/buf.h"

/* Base64 with padding, no line breaks, appended to out. RFC 4648 4. */
void
base64_encode(struct buf *out, struct str in);
/* Strict: full quartets, padding at the end only, nothing else; appended to out.
 * ERR_SYNTAX, ERR_LIMIT (out is full). RFC 4648 4, 3.5. (MIME's lenient decoder is
 * core/mail's.) */
MUST_USE enum err
base64_decode(struct buf *out, struct str in);

/* Lower-case hex, appended. */
void
hex_encode(struct buf *out, struct str in);

/* CRC32C (Castagnoli) of in, continued from crc (0 at the start). RFC 3720 B.4. */
uint32_t
crc32c(uint32_t crc, struct str in);

/* Equal, in a time that does not depend on the content. */
bool
secret_eq(struct str a, struct str b);

#endif
