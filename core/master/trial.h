#ifndef POSTROOM_MASTER_TRIAL_H
#define POSTROOM_MASTER_TRIAL_H

#include "config/settings.h"

/* Starts a role program (name "auth", bit ROLE_AUTH) with these settings and the option --check,
 * under its own user and in its cage, and passes what it says on to stderr. Nothing is bound, and
 * no server is asked anything, unless online: then, by --check-online, those that the settings
 * name. True: it would start, and with online they answer as they should. */
bool
trial_run(const struct settings *s, const char *name, unsigned bit, bool online);

#endif
