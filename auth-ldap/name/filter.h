#ifndef POSTROOM_AUTH_NAME_FILTER_H
#define POSTROOM_AUTH_NAME_FILTER_H

#include "core/base/buf.h"

/* Is t a filter (RFC 4515), or a DN (RFC 4514), once its variables are filled in? A variable
 * (template.h) may stand in any value, for an attribute or a part of its name, and, where it makes
 * a DN (%{base}, %{domain|dc}), for parts of a DN; nowhere else. Looser than the RFCs only where
 * libldap and servers are: white space between the parts of a filter, quotes and "<GUID=…>" in DNs.
 * Pure functions; t: template_check was content.
 * ERR_SYNTAX with text in err_out: "not a filter: …" with what is wrong and where. */
MUST_USE enum err
filter_check(struct str t, struct buf *err_out);
MUST_USE enum err
base_check(struct str t, struct buf *err_out);

/* t, which filter_check and template_check took, with every variable standing for anything: what
 * finds whom t may find, appended to out. A part of which a variable is more than a piece of a
 * value (a name of an attribute, a whole value of "<=", ">=", "~=", ":=") is only asked to be
 * there. template_expand_vars does this for TEMPLATE_ALL. */
void
filter_for_all(struct buf *out, struct str t);

#endif
