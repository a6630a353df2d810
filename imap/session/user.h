#ifndef POSTROOM_IMAP_USER_H
#define POSTROOM_IMAP_USER_H

#include "imap/session/session.h"

/* Users with live sessions: how many they have, and whether they may go on. */

/* One session more. check: borrowed. */
struct imap_user *
user_get(struct imap *i, struct str name, struct str check);
/* The limit of a home as the directory writes it. False: it cannot be read, and there is none. */
bool
user_quota(struct home *h, struct str text);
/* One session less; with the last one u is gone. */
void
user_put(struct imap_user *u);
/* New limits: users that nobody asks about are asked about from now on. */
void
users_check(struct imap *i);
/* His sessions, in all workers, are more than he may have. */
bool
user_has_too_many(const struct imap_user *u);

#endif
