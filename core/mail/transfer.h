#ifndef POSTROOM_MAIL_TRANSFER_H
#define POSTROOM_MAIL_TRANSFER_H

#include "core/base/buf.h"
#include "core/mail/mime.h"

/* Content-Transfer-Encoding, decoded in pieces and leniently. RFC 2045 6.7, 6.8. */
struct transfer {
	enum mime_encoding encoding;
	uint32_t bits; /* base64: the digits of the open quartet */
	uint8_t count; /* base64: how many; quoted-printable: a state of transfer.c's */
	char hex;      /* quoted-printable: the first digit behind "=" */
	bool bad;      /* something was skipped or left as it was */
	size_t spaces; /* quoted-printable: white space that may end the line */
	char space_buf[80];
};

void
transfer_init(struct transfer *t, enum mime_encoding encoding);
/* Append what in decodes to. Base64: what is not of the alphabet is skipped, and after padding the
 * next quartet begins anew; quoted-printable: a bad =XX stays as it is, white space at line
 * ends is dropped. 7bit, 8bit, binary and unknown encodings pass unchanged. last: in is the end. */
void
transfer_add(struct transfer *t, struct buf *out, struct str in, bool last);

#endif
