#ifndef POSTROOM_MAIL_ENVELOPE_H
#define POSTROOM_MAIL_ENVELOPE_H

#include "core/base/buf.h"

/* Octets that ENVELOPE or BODYSTRUCTURE makes of one octet of a message, at most ("<," in From is
 * shown three times), besides 4 KiB: for limits of buffers. */
enum { ENVELOPE_GROWTH = 72 };

/* The IMAP ENVELOPE of a message: "(date subject from sender reply-to to cc bcc in-reply-to
 * message-id)", strings quoted, or literals where they must be. header: the message's header
 * section (more may follow). Appended, copied to clients as it is.
 * ERR_LIMIT: out is full. RFC 3501 7.4.2, RFC 9051 7.5.2.
 * A Sender or Reply-To that is missing or empty is From's; a mailbox without a domain (which NIL
 * would make a group) gets MISSING_DOMAIN, one without a local part MISSING_MAILBOX, unclosed
 * brackets SYNTAX_ERROR; values of address fields that are there more than once are joined, of the
 * others the last counts. */
MUST_USE enum err
envelope_format(struct buf *out, struct str header);

#endif
