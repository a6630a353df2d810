#ifndef POSTROOM_MASTER_SYSTEM_H
#define POSTROOM_MASTER_SYSTEM_H

#include <sys/types.h>

#include "config/settings.h"

/* What master needs of the machine: users, folders, the lock of a running server. */
struct system_ids {
	bool root; /* false: everything runs as the caller, the ids are -1 */
	gid_t group;
	uid_t auth, gate, smtp, queue, mail;
};

/* ERR_NOTFOUND with a line in why: a user or the group is missing (asked for as root only). */
MUST_USE enum err
system_find_ids(const struct settings *s, struct system_ids *out, struct buf *why);

/* A user or group of the system by name or number. ERR_NOTFOUND. */
MUST_USE enum err
system_uid(struct str name, uid_t *out);
MUST_USE enum err
system_gid(struct str name, gid_t *out);

/* Makes the runtime folder and its gate/ (root:postroom 0750), the mail root (vmail 0700) and the
 * spool (queue 0700) where they are missing, parents too. ERR_TEMP with a line in why. */
MUST_USE enum err
system_make_folders(const struct settings *s, const struct system_ids *ids, struct buf *why);

/* The lock on <runtime_dir>/master.pid, which holds our pid. ERR_BUSY: another master runs;
 * ERR_TEMP with a line in why. The lock lives as long as fd_out. */
MUST_USE enum err
system_lock(const struct settings *s, int *fd_out, struct buf *why);
/* Orderly end: the file goes, then the lock. */
void
system_unlock(const struct settings *s, int fd);

/* Processors that this process may use, at least 1. */
unsigned
system_cores(void);

#endif
