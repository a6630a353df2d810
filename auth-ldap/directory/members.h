#ifndef POSTROOM_AUTH_DIRECTORY_MEMBERS_H
#define POSTROOM_AUTH_DIRECTORY_MEMBERS_H

#include "auth-ldap/directory/section_impl.h"

/* What an address stands for, who may send as it, who may post to it and where its mail goes: the
 * rows of section.c's table for ASK_MEMBERS, ASK_CATCHALL, ASK_SENDER, ASK_POST, ASK_TRANSPORT. */
void
section_members(struct backend_request *r); /* ASK_MEMBERS, ASK_CATCHALL: members.c */
void
section_sender(struct backend_request *r); /* rights.c */
void
section_post(struct backend_request *r); /* rights.c */
void
section_transport(struct backend_request *r); /* transport.c */

/* ERR_SYNTAX: one of the settings that these use is none; a line in err_out. */
MUST_USE enum err
members_check(const struct settings_directory *s, struct buf *err_out);

/* With the request. NULL is allowed. */
void
members_state_free(struct members_state *m);
/* With the section, when no request is left. NULL is allowed. */
void
members_section_free(struct members_section *m);
/* A line of `postroom auth status`: "members directory=main searches=12 batches=3\n". */
void
members_section_status(const struct members_section *m, struct str title, struct buf *out);

#endif
