#ifndef POSTROOM_AUTH_SAME_NAME_H
#define POSTROOM_AUTH_SAME_NAME_H

#include "auth-ldap/name/name.h"
#include "config/settings.h"

/* One name for all that one user is found by, as far as the settings alone tell: "anna",
 * "Anna@example.org", "EXAMPLE\\anna" and "ànna" are "anna@example.org"; it is for nothing but
 * comparing. ERR_SYNTAX, ERR_LIMIT: not the name of a login. */
MUST_USE enum err
same_name(const struct settings *s, struct str typed, struct name *out);

#endif
