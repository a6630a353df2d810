#ifndef POSTROOM_AUTH_KINDS_H
#define POSTROOM_AUTH_KINDS_H

#include "auth-ldap/backend/backend.h"
#include "config/settings.h"

/* The backends whose answers come from helper processes (postroom-authworker), because what is
 * behind them blocks: sections passwd_file, pam and sql of the settings.
 *
 *   struct workers *w = workers_new(loop, settings);
 *   enum err e = worker_backend_new(w, settings, WORKER_SQL, 0, &backend, &why);
 *   … backend->ops->free(backend); workers_free(w); */
enum worker_kind { WORKER_PASSWD_FILE, WORKER_PAM, WORKER_SQL, WORKER_KINDS };

/* "passwd_file", "pam", "sql": the names of the sections. */
const char *
worker_kind_name(enum worker_kind k);
/* How many sections of that kind there are. */
size_t
worker_kind_count(const struct settings *s, enum worker_kind k);
/* Title of the index-th one. */
struct str
worker_kind_title(const struct settings *s, enum worker_kind k, size_t index);

/* The connections to the helpers, at most worker.processes, opened when needed, one question in
 * flight on each; a bounded queue in front of them. No section gets all of them while there are
 * others, so one that hangs holds up nobody else. One for all backends; keeps s. */
struct workers;

struct workers *
workers_new(struct loop *l, const struct settings *s);
/* After the backends. NULL is allowed. */
void
workers_free(struct workers *w);
/* "workers processes=4 busy=1 …\n" for `postroom auth status`. */
void
workers_status(const struct workers *w, struct buf *out);

/* Keeps w and s. ERR_SYNTAX: the section makes no sense, text in err_out. */
MUST_USE enum err
worker_backend_new(struct workers *w, const struct settings *s, enum worker_kind k, size_t index,
	struct backend **out, struct buf *err_out);

#endif
