#ifndef POSTROOM_IMAP_OBJECTID_H
#define POSTROOM_IMAP_OBJECTID_H

#include "core/base/buf.h"
#include "core/store/mailbox.h"

/* Object ids as clients see them: a letter for the kind, then hexadecimal digits of the store's own
 * number. RFC 8474 7. A message keeps its id by COPY and MOVE, a mailbox by RENAME; none is used
 * again. */
enum object_kind {
	OBJECT_EMAIL = 'M',
	OBJECT_THREAD = 'T',
	OBJECT_MAILBOX = 'F',
};

/* "(M018f3a...)" */
void
write_objectid(struct buf *out, enum object_kind kind, uint64_t id);
/* The number of "M018f3a..." as SEARCH EMAILID and THREADID get it. False: no id of this kind was
 * ever written so (any atom may be asked for). */
bool
objectid_parse(struct str s, enum object_kind kind, uint64_t *id_out);

/* A mailbox's: in CREATE's and SELECT's MAILBOXID, in STATUS. */
uint64_t
objectid_mailbox(uint32_t id, uint32_t uidvalidity);

#endif
