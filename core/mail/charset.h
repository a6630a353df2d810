#ifndef POSTROOM_MAIL_CHARSET_H
#define POSTROOM_MAIL_CHARSET_H

#include "core/base/buf.h"

/* Charsets, Unicode normalisation and case: the only file that knows ICU. Works in a
 * chroot. */

/* Is name a charset that we can read ("UTF-8", "iso-8859-1", "US-ASCII")? */
bool
charset_known(struct str name);

/* in from charset name to UTF-8, appended; octets that mean nothing there become U+FFFD.
 * US-ASCII with 8-bit octets, and unknown names, are read as UTF-8 if in is that, else as
 * windows-1252. A full out is seen by buf_check. */
void
charset_to_utf8(struct buf *out, struct str name, struct str in);
/* The same with a refusal: ERR_NOTFOUND unknown charset, ERR_SYNTAX octets that mean nothing,
 * ERR_LIMIT. For SEARCH CHARSET. */
MUST_USE enum err
charset_to_utf8_strict(struct buf *out, struct str name, struct str in);

/* A conversion in pieces. Returned owned; NULL: nothing to convert (UTF-8, ASCII: the bytes
 * are taken as they are, see charset_stream_add) is never returned. */
struct charset_stream;
struct charset_stream *
charset_stream_new(struct str name);
void
charset_stream_free(struct charset_stream *s);
/* Appends UTF-8; may hold back an unfinished character until last. */
void
charset_stream_add(struct charset_stream *s, struct buf *out, struct str in, bool last);

/* What SEARCH and SORT compare: titlecase of each character, then compatibility
 * decomposition; ASCII letters end as capitals. in is UTF-8 (bad octets become U+FFFD).
 * Appended. RFC 5051 2 (i;unicode-casemap). */
void
charset_fold(struct buf *out, struct str in);
/* Appends what of in (UTF-8) somebody compares who compares as loosely as directories do: folded as
 * above, without accents and other marks, blanks, and what shows nothing. ERR_SYNTAX: in is not
 * UTF-8; ERR_LIMIT. */
MUST_USE enum err
charset_loose(struct buf *out, struct str in);
/* Normalisation form C of in (UTF-8), appended. ERR_SYNTAX: in is not UTF-8; ERR_LIMIT. */
MUST_USE enum err
charset_nfc(struct buf *out, struct str in);

#endif
