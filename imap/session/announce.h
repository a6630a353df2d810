#ifndef POSTROOM_IMAP_ANNOUNCE_H
#define POSTROOM_IMAP_ANNOUNCE_H

#include "imap/session/step.h"

/* What a session says unasked: in IDLE, and with NOTIFY between commands too. */

/* The index changed: look when the session has time. For watches. */
void
session_changed(struct imap_session *s);
/* In SESSION_READING or SESSION_IDLE. False: there is nothing to say, and nothing is pinned; else
 * *go_out is how the step ended. */
bool
announce_step(struct imap_session *s, enum go *go_out);
/* The server's own FETCH ended: back to where the session was. */
void
announce_fetched(struct imap_session *s);

#endif
