#ifndef POSTROOM_AUTH_NAME_H
#define POSTROOM_AUTH_NAME_H

#include "core/base/buf.h"

/* Names of users and addresses as clients type them, and where they may go: into filters,
 * DNs and paths. Pure functions over bytes. */

enum { NAME_MAX_BYTES = 512, NETBIOS_MAX_BYTES = 15 };

/* A name that passed name_parse, in lower case. The strings point into text. */
struct name {
	char text[NAME_MAX_BYTES + 256 + 2 + NETBIOS_MAX_BYTES];
	struct str user;    /* as given */
	struct str local;   /* before the "@" */
	struct str domain;  /* behind it, or the default domain; may be empty */
	struct str address; /* local@domain; the same as user when there is no domain */
	struct str netbios; /* of "EXAMPLE\\anna", in lower case; mostly empty */
	bool has_domain;    /* as given, not by default */
};

/* raw: "anna.berg" or "Anna.Berg@example.org". Control characters, blanks, * ( ) \ , " < > ; : /,
 * bytes that are no UTF-8, a second "@", an empty half, a leading dot, anything but letters,
 * digits,
 * "-", "_" and single dots in the domain: ERR_SYNTAX. ERR_LIMIT: over NAME_MAX_BYTES. What is
 * beyond ASCII is kept in one spelling: the local part in NFC, the domain in A-labels
 * (core/mail/idn.h). */
MUST_USE enum err
name_parse(struct str raw, struct str default_domain, struct name *out);
/* The name of a login, which may also be "EXAMPLE\\anna": then there is netbios, and no domain. The
 * backend with this netbios knows whose it is. */
MUST_USE enum err
name_parse_login(struct str raw, struct str default_domain, struct name *out);
/* A name can be copied by value only through this. */
void
name_copy(struct name *to, const struct name *from);
/* Cut the tag: "anna+lists@example.org" becomes "anna@example.org". False, and n as it was, when
 * there is no tag. */
bool
name_cut_tag(struct name *n, char delimiter);

/* home is absolute, below root, without empty, "." or ".." components, control characters or a
 * slash at its end. root: "/var/lib/postroom/mail", a slash at its end is ignored. */
bool
home_is_safe(struct str home, struct str root);

#endif
