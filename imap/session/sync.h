#ifndef POSTROOM_IMAP_SYNC_H
#define POSTROOM_IMAP_SYNC_H

#include "imap/session/session.h"

/* What a client is told of changes that it did not make. */

/* Look at the mailbox and begin to announce. allow_expunge false: only when no sequence number
 * would change. ERR_OK: sync_step until it says ERR_OK; ERR_AGAIN: as session_read;
 * ERR_NOTFOUND: the mailbox is gone. */
MUST_USE enum err
sync_begin(struct imap_session *s, bool allow_expunge);
/* ERR_AGAIN: more to say, call again when drained. */
MUST_USE enum err
sync_step(struct imap_session *s, bool with_uid);
void
sync_end(struct imap_session *s);
/* The mailbox is out of reach: what was begun is told another time; where a part of it was said
 * already, the session ends. */
void
sync_give_up(struct imap_session *s);
/* "* 12 FETCH (", or with UIDONLY "* 4711 UIDFETCH (". RFC 9586 3.3. */
void
sync_row_begin(struct imap_session *s, uint32_t seq, uint32_t uid);
/* A FETCH that no FETCH asked for; UID and MODSEQ are added for whom knows modseqs. RFC 7162 3.2.4.
 */
enum { TELL_UID = 1 << 0, TELL_FLAGS = 1 << 1 };
void
sync_tell(struct imap_session *s, uint32_t seq, const struct entry *entry, const struct keywords *k,
	unsigned items);
/* "* VANISHED (EARLIER) 4,7:9" of the first *left ranges of set, some of them in a line; counts
 * left down. ERR_AGAIN: the step is full. RFC 7162 3.2.10. */
MUST_USE enum err
sync_vanished(struct imap_session *s, const struct uidset *set, size_t *left, bool earlier);
/* Must the command end, or IDLE's look at the mailbox, with the view's HIGHESTMODSEQ? True when
 * MODSEQs above it were told while older changes were not. RFC 7162 3.2, 6. */
bool
sync_highest_due(const struct imap_session *s);
/* "HIGHESTMODSEQ 17" appended. */
void
sync_highest_write(struct imap_session *s, struct buf *out);
/* "* FLAGS" and PERMANENTFLAGS, when there are more keywords than the client knows; always
 * with force. */
MUST_USE enum err
sync_keywords(struct imap_session *s, struct txn *t, bool force);

#endif
