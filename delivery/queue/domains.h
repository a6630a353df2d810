#ifndef POSTROOM_QUEUE_DOMAINS_H
#define POSTROOM_QUEUE_DOMAINS_H

#include "core/base/str.h"
#include "core/event/loop.h"

/* What the directory's map "domain" said lately of domains: believed for ten seconds, by expansion
 * and routes alike. Names without regard to case. Bounded: of two names on one place the newer is
 * known. */
struct domains;

enum domain_is {
	DOMAIN_UNKNOWN, /* to be asked about; or the directory cannot say */
	DOMAIN_OURS,
	DOMAIN_OTHERS,
};

struct domains *
domains_new(struct loop *l);
void
domains_free(struct domains *d);

enum domain_is
domains_known(const struct domains *d, struct str name);
/* e: of the lookup. ERR_OK and ERR_NOTFOUND are answers, and remembered; all else is
 * DOMAIN_UNKNOWN and a temporary failure, never a "no". */
enum domain_is
domains_learn(struct domains *d, struct str name, enum err e);

#endif
