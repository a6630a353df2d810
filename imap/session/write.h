#ifndef POSTROOM_IMAP_WRITE_H
#define POSTROOM_IMAP_WRITE_H

#include "core/base/buf.h"
#include "core/store/entry.h"

/* Pieces of responses, appended. Written for rows of 100,000 messages: no printf. */

/* "(\Seen \Recent $Forwarded)" */
void
write_flags(struct buf *out, const struct entry *e, bool recent, const struct keywords *k);
/* "\"21-Nov-2026 08:00:00 +0100\"": the time in the zone it came with. */
void
write_internal_date(struct buf *out, int64_t sec, int32_t zone_min);
/* The same into memory with room for PUT_MAX octets each; return the end. */
enum { PUT_MAX = 80 };
char *
put_number(char *p, uint64_t v);
char *
put_str(char *p, struct str s);
char *
put_system_flags(char *p, uint32_t flags, bool recent);
char *
put_internal_date(char *p, int64_t sec, int32_t zone_min);

/* "* 12 FETCH (" */
void
write_fetch_begin(struct buf *out, uint32_t seq);
/* An UTF-8 mailbox name in modified UTF-7, quoted. */
void
write_mailbox(struct buf *out, struct str name);
/* Quoted, whatever octets it has but controls: UTF-8 where the client has that. */
void
write_utf8_quoted(struct buf *out, struct str s);
/* An astring: as an atom where it can be, else quoted or a literal. */
void
write_astring(struct buf *out, struct str s);
/* Text without control characters: quoted, or, with 8-bit octets that the client does not take in
 * quotes (utf8 false), a literal. RFC 9755 3, RFC 9051 4.3. */
void
write_string(struct buf *out, struct str s, bool utf8);
/* Decimal, appended; faster than buf_addu for many. */
void
write_number(struct buf *out, uint64_t v);

#endif
