#ifndef POSTROOM_MAIL_BODYSTRUCTURE_H
#define POSTROOM_MAIL_BODYSTRUCTURE_H

#include "core/mail/mime.h"

/* BODYSTRUCTURE (extended) or BODY of msg, whose table is m. Appended.
 * ERR_LIMIT: out is full. RFC 3501 7.4.2, RFC 9051 7.5.2. */
MUST_USE enum err
bodystructure_format(struct buf *out, const struct mime *m, struct str msg, bool extended);

/* BODY made of the text of BODYSTRUCTURE, so that only one of them need be kept. Appended.
 * ERR_CORRUPT: in is not what bodystructure_format wrote. */
MUST_USE enum err
bodystructure_to_body(struct buf *out, struct str in);

#endif
