#ifndef POSTROOM_MAIL_MSGID_H
#define POSTROOM_MAIL_MSGID_H

#include "core/base/arena.h"

/* Message ids in Message-ID, In-Reply-To and References. RFC 5322 3.6.4, 5256 2. */

/* The next "<local@domain>" of *rest: id without brackets, comments and white space, quotes taken
 * off where they need not be; *rest moves behind it. What is no id is skipped. ERR_NOTFOUND: none
 * left; ERR_LIMIT. id lives in a or borrows. */
MUST_USE enum err
msgid_next(struct str *rest, struct arena *a, struct str *id_out);

#endif
