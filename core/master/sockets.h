#ifndef POSTROOM_MASTER_SOCKETS_H
#define POSTROOM_MASTER_SOCKETS_H

#include "core/master/system.h"
#include "core/role/role.h"

/* Every listening socket of the server, bound once by master, which keeps the descriptors: a role
 * that is started again loses no path and no connection in the backlog. */
struct bound {
	char address[160]; /* as listen_bind took it */
	char protocol[24]; /* as in struct role_listener */
	enum listen_tls tls;
	unsigned role; /* ROLE_… bit of the role that gets it */
	int worker;    /* of this worker only; -1: of all */
	int fd;
};

struct sockets {
	struct bound *v;
	size_t n;
};

/* imap_workers: how many hand-over sockets. On an error everything is closed again and a line
 * stands in why. */
MUST_USE enum err
sockets_bind(struct sockets *k, const struct settings *s, const struct system_ids *ids,
	unsigned imap_workers, struct buf *why);
/* Can the addresses in the settings be understood, and are the owners of extra sockets there?
 * Nothing is bound. ERR_SYNTAX with a line for each that is wrong in why. */
MUST_USE enum err
sockets_check(const struct settings *s, struct buf *why);
/* Closes all; unlinks the unix sockets below runtime_dir. */
void
sockets_close(struct sockets *k, const struct settings *s);

#endif
