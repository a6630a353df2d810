#ifndef POSTROOM_AUTHCLIENT_WIRE_H
#define POSTROOM_AUTHCLIENT_WIRE_H

#include "core/base/buf.h"

/* The text form that the Dovecot auth and master protocols share: lines of tab separated fields;
 * NUL, 0x01, tab, CR and LF inside a field are written as 0x01 and one of "01trn". */

/* Appended to out. */
void
wire_escape(struct buf *out, struct str field);
/* Appended to out. ERR_SYNTAX: an unknown or cut escape; ERR_LIMIT. */
MUST_USE enum err
wire_unescape(struct buf *out, struct str field);

/* The next field of *rest, which loses it; false at the end. Both borrow. */
bool
wire_next(struct str *rest, struct str *field_out);

/* The first line of in, without its LF; consume line_out->n + 1 afterwards. ERR_AGAIN: no
 * whole line; ERR_LIMIT: none within max_bytes; ERR_SYNTAX: it holds a NUL or CR. */
MUST_USE enum err
wire_line(const struct buf *in, size_t max_bytes, struct str *line_out);

#endif
