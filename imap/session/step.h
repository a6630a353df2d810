#ifndef POSTROOM_IMAP_STEP_H
#define POSTROOM_IMAP_STEP_H

#include "imap/session/session.h"

/* What session.c (a client's life) and step.c (its commands) need of each other. */

enum { SESSION_RELEASE_MS = 3000 }; /* quiet for so long: buffers are given back */

/* How a part of a step ended: the next may come at once; later, the loop's others first; when a
 * callback or input comes. */
enum go { GO_ON, GO_LATER, GO_WAIT };

/* Goes on with whatever the session was at; frees it when it is dead. */
void
session_step(struct imap_session *s);
/* ERR_OK: pinned; ERR_AGAIN: session_step will be called. */
MUST_USE enum err
session_pin(struct imap_session *s);
/* "HIGHESTMODSEQ" where it is due, in c's tagged line or, with NULL, by itself. */
void
session_say_highest(struct imap_session *s, struct cmd *c);
/* The command's end: its operation is forgotten, its memory given back. */
void
session_command_free(struct imap_session *s);
/* Never inside of a step: there, set s->dead. */
void
session_free(struct imap_session *s);
/* No command runs but those that wait for their client. */
bool
session_waits(const struct imap_session *s);
/* What a session hears when the service stops: the client may come again. RFC 5530 3. */
#define SESSION_BYE_STOP "[UNAVAILABLE] Server is going down, please connect again"
/* BYE (not with NULL) and session_free: outside of any step. */
void
session_end(struct imap_session *s, const char *text);

#endif
