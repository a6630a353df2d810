#ifndef POSTROOM_SMTP_SESSION_AHEAD_H
#define POSTROOM_SMTP_SESSION_AHEAD_H

#include "delivery/smtp/session.h"

/* Inside delivery/smtp: questions about RCPTs that stand behind the one that is answered. */

enum { SMTP_LINE_MAX_BYTES = 2048 }; /* RFC 5321 4.5.3.1.4 and room for parameters */

/* The session waits: asks about the RCPTs behind. */
void
session_ahead_look(struct smtp_session *s);
/* The question about the RCPT that is run now, counted already; owned by the caller. NULL: none. */
struct lookup *
session_ahead_take(struct smtp_session *s);
/* So much was taken off the input. */
void
session_ahead_consumed(struct smtp_session *s, size_t octets);
void
session_ahead_drop(struct smtp_session *s);

#endif
