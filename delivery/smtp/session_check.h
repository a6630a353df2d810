#ifndef POSTROOM_SMTP_SESSION_CHECK_H
#define POSTROOM_SMTP_SESSION_CHECK_H

#include "delivery/smtp/session.h"

/* Inside delivery/smtp: what a session asks the DNS and lmtp, and says of its client. */

/* The client is known now. */
void
session_checks_begin(struct smtp_session *s);
void
session_checks_end(struct smtp_session *s);
/* RCPT: the checks first, then the directory. */
void
session_check_recipient(struct smtp_session *s);
/* RCPT's mailbox (s->asked) is known: has it room? Ends in session_recipient_done. False: nobody is
 * asked. */
bool
session_ask_room(struct smtp_session *s);
/* RCPT's domain (s->asked) is another's, and the client may relay: does it exist, and take mail?
 * Only where its MX is the way: no relay section with a host takes its mail. Ends in
 * session_recipient_done. False: nobody is asked. */
bool
session_ask_domain(struct smtp_session *s);
/* "name [192.0.2.1]", "unknown [IPv6:2001:db8::1]", "[192.0.2.1]" where no name was asked about. */
void
session_client_text(const struct smtp_session *s, struct buf *out);
/* Our Authentication-Results, a whole field or nothing. RFC 8601. */
void
session_auth_results(const struct smtp_session *s, struct buf *out);

#endif
