#ifndef POSTROOM_AUTH_HOMES_H
#define POSTROOM_AUTH_HOMES_H

#include "core/base/hmap.h"

/* Homes that were seen, and whose they are. A home and all below it belong to the first user who
 * was seen with it. Paths: home_is_safe, absolute or not. Whatever is asked costs as much as that
 * user has homes and a path has folders, however many homes there are. */
struct homes {
	struct hmap paths;  /* homes and the folders above them */
	struct hmap owners; /* users who have homes */
};

void
homes_init(struct homes *h);
void
homes_fini(struct homes *h);
/* False: it is another's, or inside another's, or has another's inside. Of homes beyond a million
 * nothing is kept. */
bool
homes_claim(struct homes *h, struct str path, struct str user);
/* After a false: one of those who are in the way; dies with the next change. Empty: nobody is. */
struct str
homes_in_the_way(const struct homes *h, struct str path, struct str user);
/* What user was seen with is nobody's until the next claim. */
void
homes_forget(struct homes *h, struct str user);
/* Are they one, or one inside the other? */
bool
homes_touch(struct str a, struct str b);

#endif
