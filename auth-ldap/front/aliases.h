#ifndef POSTROOM_AUTH_ALIASES_H
#define POSTROOM_AUTH_ALIASES_H

#include "auth-ldap/name/name.h"
#include "config/settings.h"

/* The alias sections of the settings: addresses of the system (root, postmaster, abuse) that stand
 * for others whatever the backends know. A section is named after a whole address, or after a
 * local part: then it is for every domain of ours. The whole address counts first. */

/* The section for an address; NULL: none. *needs_domain_out: it is named after the local part, so
 * it counts only where the domain is ours. */
const struct settings_alias *
alias_find(const struct settings *s, const struct name *n, bool *needs_domain_out);
/* One of its addresses, with the domain of the address n where it has none. Appended. */
void
alias_target(struct str to, const struct name *n, struct buf *out);

#endif
