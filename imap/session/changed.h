#ifndef POSTROOM_IMAP_CHANGED_H
#define POSTROOM_IMAP_CHANGED_H

#include "core/store/since.h"
#include "imap/session/rows.h"

/* Which messages of the selected mailbox changed after a modseq, and which are gone since, found
 * step by step: FETCH (CHANGEDSINCE n VANISHED) and SELECT (QRESYNC ...). RFC 7162 3.1.4.1, 3.2.5,
 * 3.2.6. From the change table where it reaches back, else from the entries. */
struct changed {
	uint64_t after;
	struct since since;
	bool gathered;
	struct walk walk; /* over the entries */
	struct uidset kept;
};
void
changed_init(struct changed *c, struct imap_session *s, uint64_t after);
void
changed_fini(struct changed *c);
/* Leaves in uids (which the view holds, the same in every call) those that changed. ERR_AGAIN: the
 * step is full, or the home is opened again; ERR_NOTFOUND: the mailbox is gone. */
MUST_USE enum err
changed_filter(struct changed *c, struct imap_session *s, struct uidset *uids);
/* After changed_filter's ERR_OK: those of asked that were expunged, out is reset first. Nothing
 * that the view still holds: its end is announced by sync.c. */
void
changed_vanished(const struct changed *c, const struct view *v, const struct uidset *asked,
	struct uidset *out);

#endif
