#ifndef POSTROOM_MAIL_HEADER_H
#define POSTROOM_MAIL_HEADER_H

#include "core/base/arena.h"
#include "core/base/buf.h"

/* Header sections of messages and MIME parts, as they are: LF or CR LF, folded,
 * 8-bit, with lines that have no colon. A section ends at the first empty line
 * or where its bytes end. Everything here borrows and never copies unless it
 * says so. RFC 5322 2.2. */

/* One field: "Subject: a\r\n b\r\n". */
struct header_field {
	struct str name;  /* "Subject"; white space before the colon is not in it; empty
			   * for a line without a colon */
	struct str value; /* behind the colon, folds as they are, no white space at the
			   * start, no line end at the end */
	struct str whole; /* all its octets, the last line end included */
};

struct header_iter {
	struct str rest;
};

/* in begins at a field; it may go on behind the section (a whole message). */
void
header_iter_init(struct header_iter *it, struct str in);
/* False at the end of the section; then it->rest begins at the empty line (or is empty). */
bool
header_next(struct header_iter *it, struct header_field *out);

/* Octets of the header section that msg begins with, its empty line included. */
size_t
header_length(struct str msg);

/* The n-th (from 0) field called name (no ASCII case) of the section. */
bool
header_find(struct str header, struct str name, unsigned n, struct header_field *out);
/* How many there are. */
unsigned
header_count(struct str header, struct str name);

/* value unfolded: line ends dropped, white space kept, trailing white space cut. Appended.
 * RFC 5322 2.2.3. */
void
header_unfold(struct buf *out, struct str value);

/* A set of field names, for HEADER.FIELDS with many of them. Keeps names in the arena's
 * life; the strings are borrowed and must outlive the set. */
struct header_set {
	struct str *names; /* sorted, no ASCII case */
	size_t n;
};
MUST_USE enum err
header_set_init(struct header_set *set, struct arena *a, const struct str *names, size_t n);
bool
header_set_has(const struct header_set *set, struct str name);

/* BODY[HEADER.FIELDS (...)] or, with negate, HEADER.FIELDS.NOT: the fields' own octets in
 * their order, then the empty line. header: a section with or without its empty line.
 * Appended. RFC 3501 6.4.5: the delimiting blank line is always included (unless the section
 * has none and nothing matched: then it is CR LF all the same). */
void
header_select(struct buf *out, struct str header, const struct header_set *set, bool negate);

/* Is name a field name: printable ASCII without colon, at least one. RFC 5322 3.6.8. */
bool
header_name_ok(struct str name);

#endif
