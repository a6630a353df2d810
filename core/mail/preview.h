#ifndef POSTROOM_MAIL_PREVIEW_H
#define POSTROOM_MAIL_PREVIEW_H

#include "core/mail/mime.h"

/* The beginning of a message's text, for lists of messages. RFC 8970 3.1, 3.2. */
enum {
	PREVIEW_CHARS_MAX = 200,
	PREVIEW_BYTES_MAX = 4 * PREVIEW_CHARS_MAX,
};

/* Appends at most 200 characters of UTF-8 without control characters: of the first text part that
 * says something and is no attachment, decoded, runs of white space as one space, without quoted
 * lines where there is other text, HTML without its markup. A character is never cut from its
 * combining marks. Nothing: there is no text. msg: what m was made of. Looks at 128 KiB of each of
 * the first 8 texts. */
void
preview_make(struct buf *out, const struct mime *m, struct str msg);

#endif
