#ifndef POSTROOM_MAIL_IDN_H
#define POSTROOM_MAIL_IDN_H

#include "core/base/buf.h"

/* Addresses beyond ASCII: RFC 6531, RFC 6532, RFC 5890 to 5893. Pure functions over bytes.
 *
 * One spelling for what several mean: domains are kept in A-labels ("xn--strae-oqa.example"), whose
 * form every server, DNS and directory knows; a local part is compared in NFC. Only who owns a
 * local part may change it, so other domains' go on as they were written. */

enum { IDN_DOMAIN_MAX = 255 };

/* Appends domain in A-labels and lower case: "Straße.example" becomes "xn--strae-oqa.example"
 * (IDNA2008, after UTS 46's mapping, not transitional). ASCII is copied in lower case, whatever it
 * is. ERR_SYNTAX: not UTF-8, or no domain by these rules; ERR_LIMIT: longer than IDN_DOMAIN_MAX, or
 * out is full. */
MUST_USE enum err
idn_domain(struct buf *out, struct str domain);

/* Appends "local@domain" in the spelling for comparing: NFC, and the domain in A-labels. An address
 * without "@" is a local part. Errors as above. */
MUST_USE enum err
idn_address(struct buf *out, struct str address);

/* Appends the same with the local part as it is. */
MUST_USE enum err
idn_address_domain(struct buf *out, struct str address);

/* Has s control characters beyond ASCII's (U+0080 to U+009F), or line or paragraph separators
 * (U+2028, U+2029)? s is UTF-8. */
bool
idn_has_controls(struct str s);

#endif
