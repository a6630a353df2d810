#ifndef POSTROOM_IMAP_LIMIT_H
#define POSTROOM_IMAP_LIMIT_H

#include "imap/session/session.h"

/* How many messages one command may touch: imap.message_limit, announced as MESSAGELIMIT=<n>.
 * FETCH, STORE, MOVE, UID EXPUNGE and SEARCH take the n messages with the highest UIDs of what they
 * were given, and their tagged OK says "[MESSAGELIMIT n <lowest UID taken>]", so that the client
 * goes on below it; COPY, APPEND, SORT, THREAD and FETCH with PARTIAL do all or nothing. EXPUNGE
 * and CLOSE have no limit. RFC 9738 3. */

/* More messages than a command may touch. */
bool
limit_exceeded(const struct imap_session *s, uint64_t messages);
/* Leaves the highest UIDs of the set that a command was given. */
void
limit_uids(const struct imap_session *s, struct cmd *c, struct uidset *uids);
/* The same for messages of the view between *from and to. */
void
limit_range(const struct imap_session *s, struct cmd *c, uint32_t *from, uint32_t to);
/* NO [MESSAGELIMIT n]: nothing was done. */
enum step
limit_refuse(struct imap_session *s, struct cmd *c);
/* The same with the lowest UID that would have been within the limit. Cuts uids. */
enum step
limit_refuse_set(struct imap_session *s, struct cmd *c, struct uidset *uids);
/* At the end of a command: the code of one that did a part. Behind HIGHESTMODSEQ's turn it would
 * find the tagged line taken; where another code has it, or needs it, this one is said in an
 * untagged NO: RFC 9738 3.1. */
void
limit_say(struct imap_session *s, const struct cmd *c);

#endif
