#ifndef POSTROOM_SPOOL_WRITER_H
#define POSTROOM_SPOOL_WRITER_H

#include "delivery/spool/spool.h"

/* Inside the spool library: how a writer and the side that gave its slot (client.c, server.c)
 * know each other. */
struct spool_owner_ops {
	/* The slot is synced. ERR_OK: counts as accepted. ERR_TEMP: it does not, text says why. */
	enum err (*committed)(void *owner, struct str name, const char **text_out);
	/* The slot will not be used; its file may go. */
	void (*dropped)(void *owner, struct str name);
};

/* A writer's place in its owner's list; an owner that goes first calls spool_writer_orphan on
 * each. */
struct spool_writer *
spool_writer_new(struct pool *p, int fd, struct str name, const struct spool_owner_ops *ops,
	void *owner, struct list *owner_list);
/* The channel is gone: a later commit gives ERR_TEMP, and ops are not called any more. */
void
spool_writer_orphan(struct list *link);

#endif
