#ifndef POSTROOM_REMOTE_SERVER_H
#define POSTROOM_REMOTE_SERVER_H

#include "delivery/remote/job.h"

/* relay's end of the channel: takes jobs from queue, sends their results. */
struct server;

struct server *
server_new(struct job_world *w);
/* A connection accepted on `relay`; takes fd. The caller checked the peer's uid. */
void
server_add(struct server *s, int fd);
/* No more jobs; those under way end by themselves, then done is called once. */
void
server_stop(struct server *s, void (*done)(void *arg), void *arg);
void
server_free(struct server *s);

#endif
