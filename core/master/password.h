#ifndef POSTROOM_MASTER_PASSWORD_H
#define POSTROOM_MASTER_PASSWORD_H

#include "core/base/buf.h"

/* A password for an admin command: from the terminal without echo, after prompt on stderr, or the
 * first line of standard input when that is none. Added to out (a secret buffer). ERR_EOF: there
 * was none; ERR_LIMIT. */
MUST_USE enum err
password_read(const char *prompt, struct buf *out);

#endif
