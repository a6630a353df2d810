#ifndef POSTROOM_AUTH_ACCESS_H
#define POSTROOM_AUTH_ACCESS_H

#include "config/settings.h"
#include "core/event/listener.h"

/* May this peer use a socket of the auth service at all? By unix socket: yes, the file's owner and
 * mode said so already. By TCP: from auth.networks; a refusal is logged. socket: "auth". */
bool
access_allowed(const struct settings *s, const struct peer *peer, const char *socket);

#endif
