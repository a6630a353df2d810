#ifndef POSTROOM_MAIL_UTF7_H
#define POSTROOM_MAIL_UTF7_H

#include "core/base/buf.h"

/* Mailbox names of IMAP4rev1: modified UTF-7. RFC 3501 5.1.3. */

/* Appends UTF-8. ERR_SYNTAX: 8-bit or control octets, an open or empty shift that is not "&-",
 * base64 of what needs none, two shifts where one would do, lone surrogates, bits left over:
 * every name has one spelling only. ERR_LIMIT. On an error nothing is appended. */
MUST_USE enum err
utf7_to_utf8(struct buf *out, struct str in);
/* Appends modified UTF-7. ERR_SYNTAX: in is not UTF-8; ERR_LIMIT. */
MUST_USE enum err
utf7_from_utf8(struct buf *out, struct str in);

#endif
