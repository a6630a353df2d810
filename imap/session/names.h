#ifndef POSTROOM_IMAP_NAMES_H
#define POSTROOM_IMAP_NAMES_H

#include "imap/session/session.h"

/* What clients call mailboxes is not always what the store does. */

/* A name of the store as LIST's patterns see it, with "/" between its parts and the prefix of the
 * personal namespace in front, appended. */
void
session_outer_name(const struct imap_session *s, struct str name, struct buf *out);
/* The way back. False: no mailbox is called so. *out borrows outer. */
bool
session_inner_name(const struct imap_session *s, struct str outer, struct str *out);
/* The same as it is written to the client: quoted, in modified UTF-7 or, where the session has
 * that, UTF-8, with its separator. RFC 3501 5.1.3; RFC 9051 5.1; RFC 9755 3. */
void
session_write_mailbox(const struct imap_session *s, struct buf *out, struct str name);
void
session_write_outer(const struct imap_session *s, struct buf *out, struct str outer);
/* Is raw, as a client of IMAP4rev2 wrote it, just what session_write_mailbox says? */
bool
session_is_called(const struct imap_session *s, struct str name, struct str raw);
/* A reference and a pattern of LIST as an outer pattern, in the arena. ERR_SYNTAX, ERR_LIMIT: no
 * mailbox can match. */
MUST_USE enum err
session_pattern(struct imap_session *s, struct str reference, struct str pattern, struct str *out);

#endif
