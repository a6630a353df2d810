#ifndef POSTROOM_MASTER_LOGSINK_H
#define POSTROOM_MASTER_LOGSINK_H

#include "core/base/str.h"
#include "core/event/loop.h"

/* The log socket: roles send datagrams and never block; master writes them to log.file or to
 * standard error, those that follow each other closely together and up to 5 ms late. */
struct logsink;

/* file: empty for standard error. ERR_TEMP: it cannot be opened, the text is in errno's. */
MUST_USE enum err
logsink_new(struct loop *l, struct str file, struct logsink **out);
/* Writes what waits, so that master's next line stands behind it. */
void
logsink_drain(struct logsink *k);
/* Drains first. */
void
logsink_free(struct logsink *k);
/* The end that every role gets a duplicate of. Borrowed. */
int
logsink_socket(const struct logsink *k);
/* What roles get as their standard error: a pipe, so that last words (an assertion, a
 * sanitizer's report) pass where a role may not write to files. They go to master's standard
 * error as they are. Borrowed. */
int
logsink_stderr(const struct logsink *k);
/* Where the lines go: for master's own. Stays the same over logsink_reopen. Borrowed. */
int
logsink_fd(const struct logsink *k);
/* After a rotation, or with another file. On an error the old one stays. */
MUST_USE enum err
logsink_reopen(struct logsink *k, struct str file);

#endif
