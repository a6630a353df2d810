#ifndef POSTROOM_AUTH_DIRECTORY_RDN_H
#define POSTROOM_AUTH_DIRECTORY_RDN_H

#include "core/base/buf.h"

enum { RDN_KEY_MAX = 8192 };

/* dn: "cn=Berg\\, Anna,ou=people,dc=example,dc=org": its type ("cn"), its value unescaped, appended
 * to value ("Berg, Anna"), and its parent ("ou=people,…"). Borrows dn. False: no DN, no parent, an
 * RDN of several values, a binary value, or quotes. RFC 4514 2. */
bool
rdn_split(struct str dn, struct str *type, struct buf *value, struct str *parent);
/* key: type, comma, parent, NUL, value; type and parent in lower case and without blanks behind
 * commas. Its first siblings_bytes are equal for all children of a parent that have the same type,
 * and nothing else is equal. key and value are reset first. False: as rdn_split, or dn is longer
 * than half of RDN_KEY_MAX. */
bool
rdn_key(struct str dn, struct buf *key, size_t *siblings_bytes, struct buf *value);
/* dn in lower case and without blanks behind the commas between its parts, appended to out: a
 * spelling that unequal DNs never share, but for case. */
void
dn_add_folded(struct buf *out, struct str dn);

#endif
