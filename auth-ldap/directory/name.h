#ifndef POSTROOM_AUTH_NAME_H
#define POSTROOM_AUTH_NAME_H

#include "core/base/buf.h"

/* Names of users and addresses as clients type them, and where they may go: into filters,
 * DNs and paths. Pure functions over bytes. */

enum { NAME_MAX_BYTES = 512 };

/* A name that passed name_parse, in lower case. The strings point into text. */
struct name {
	char text[NAME_MAX_BYTES + 256 + 2];
	struct str user;    /* as given */
	struct str local;   /* before the "@" */
	struct str domain;  /* behind it, or the default domain; may be empty */
	struct str address; /* local@domain; the same as user when there is no domain */
	bool has_domain;    /* as given, not by default */
};

/* raw: "anna.berg" or "Anna.Berg@example.org". Control characters, blanks, * ( ) \ , " < > ; : /,
 * bytes that are no UTF-8, a second "@", an empty half, a leading dot, anything but letters,
 * digits,
 * "-", "_" and single dots in the domain: ERR_SYNTAX. ERR_LIMIT: over NAME_MAX_BYTES. */
MUST_USE enum err
name_parse(struct str raw, struct str default_domain, struct name *out);
/* A name can be copied by value only through this. */
void
name_copy(struct name *to, const struct name *from);
/* Cut the tag: "anna+lists@example.org" becomes "anna@example.org". False, and n as it was, when
 * there is no tag. */
bool
name_cut_tag(struct name *n, char delimiter);

/* Appended to out, fit for an assertion value in a filter (RFC 4515 3) or an attribute value in a
 * DN (RFC 4514 2.4): every byte that is not plainly harmless as "\xx". */
void
escape_filter(struct buf *out, struct str value);
void
escape_dn(struct buf *out, struct str value);

enum template_use {
	TEMPLATE_FILTER,
	TEMPLATE_DN,
	TEMPLATE_PATH, /* a value with "/" or that begins with "." is refused */
	TEMPLATE_ALL,  /* a filter in which every variable stands for anything: "*" */
};
/* t: "(uid=%{user})" with %{user} %{local} %{domain} %{address} and %% for a percent sign,
 * appended to out. ERR_SYNTAX: an unknown variable (n may be NULL: only checked then, nothing is
 * added); ERR_DENIED: TEMPLATE_PATH and a value that may not be there; ERR_LIMIT: out is full. */
MUST_USE enum err
template_expand(struct buf *out, struct str t, const struct name *n, enum template_use use);

/* home is absolute, below root, without empty, "." or ".." components, control characters or a
 * slash at its end. root: "/var/lib/postroom/mail", a slash at its end is ignored. */
bool
home_is_safe(struct str home, struct str root);

#endif
