#ifndef POSTROOM_SPOOL_MESSAGE_H
#define POSTROOM_SPOOL_MESSAGE_H

#include "delivery/spool/server.h"

/* Inside the spool library: reading slots by folder; any thread. */

/* spool_open with the folder's fd. */
MUST_USE enum err
spool_open_at(int slots_fd, struct str name, struct spool_message **out);
/* Header and body verify, and the file is synced. ERR_NOTFOUND, ERR_CORRUPT: not a message;
 * ERR_TEMP: could not be read or synced. */
MUST_USE enum err
spool_verify_at(int slots_fd, struct str name);

#endif
