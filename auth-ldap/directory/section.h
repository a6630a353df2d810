#ifndef POSTROOM_AUTH_DIRECTORY_SECTION_H
#define POSTROOM_AUTH_DIRECTORY_SECTION_H

#include "auth-ldap/backend/backend.h"
#include "config/settings.h"

/* A directory section of the settings as a backend. Keeps l, s and d (a section of s). ERR_SYNTAX:
 * a template, filter or URI is none; text in err_out. The questions that it answers: all kinds. */
MUST_USE enum err
directory_backend_new(struct loop *l, const struct settings *s, const struct settings_directory *d,
	struct backend **out, struct buf *err_out);

#endif
