#ifndef POSTROOM_MASTER_FIXED_H
#define POSTROOM_MASTER_FIXED_H

#include "config/settings.h"

/* Do old and new differ in nothing that a running server cannot take? Addresses and TLS of its
 * sockets, numbers of workers, users and folders, which parts there are, names, the store's
 * settings and sizes of smtp wait for the next start; postroom(8) names them. */
bool
fixed_same(const struct settings *old, const struct settings *new);

#endif
