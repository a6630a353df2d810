#ifndef POSTROOM_AUTH_DIRECTORY_PROBE_H
#define POSTROOM_AUTH_DIRECTORY_PROBE_H

#include "config/settings.h"
#include "core/base/buf.h"
#include "core/event/loop.h"

/* Asks the servers of every directory section what only they can say: does each take our
 * connection, TLS and the service account; are the bases there; do the filters find anybody? A line
 * for each in out, in the order of the settings. Runs l, which nobody else runs; waits no longer
 * than the section's time-outs for each answer. ERR_NOTFOUND: something is amiss. ERR_SYNTAX: a
 * section that directory_backend_new refuses. */
MUST_USE enum err
directory_probe(struct loop *l, const struct settings *s, struct buf *out);

#endif
