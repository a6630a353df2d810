/* The memory of which domains are ours; see domains.h. expand.c and route.c ask. Invariant: only
 * what the directory said itself is remembered, never that it was away. */
#include "delivery/queue/domains.h"

#include <stdlib.h>

#include "core/base/hmap.h"
#include "core/base/xalloc.h"

enum { PLACES = 1024, KEPT_MS = 10000, NAME_MAX_BYTES = 255 };

struct place {
	char name[NAME_MAX_BYTES]; /* in lower case */
	uint8_t len;		   /* 0: empty */
	bool ours;
	int64_t asked_ms;
};

struct domains {
	struct loop *loop;
	struct place places[PLACES];
};

struct domains *
domains_new(struct loop *l)
{
	struct domains *d = xcalloc(1, sizeof(*d));

	d->loop = l;
	return d;
}

void
domains_free(struct domains *d)
{
	free(d);
}

/* Where name lies, or would; lower gets it in lower case. */
static size_t
place_of(struct str name, char lower[NAME_MAX_BYTES])
{
	for (size_t i = 0; i < name.n; i++)
		lower[i] = (char)ascii_lower((unsigned char)name.p[i]);
	return hash_bytes(str_n(lower, name.n)) % PLACES;
}

enum domain_is
domains_known(const struct domains *d, struct str name)
{
	char lower[NAME_MAX_BYTES];
	const struct place *p;

	if (name.n == 0 || name.n > NAME_MAX_BYTES)
		return DOMAIN_UNKNOWN;
	p = &d->places[place_of(name, lower)];
	if (!str_eq(str_n(p->name, p->len), str_n(lower, name.n)) ||
		loop_now_ms(d->loop) - p->asked_ms >= KEPT_MS)
		return DOMAIN_UNKNOWN;
	return p->ours ? DOMAIN_OURS : DOMAIN_OTHERS;
}

enum domain_is
domains_learn(struct domains *d, struct str name, enum err e)
{
	char lower[NAME_MAX_BYTES];
	struct place *p;

	if (e != ERR_OK && e != ERR_NOTFOUND)
		return DOMAIN_UNKNOWN;
	if (name.n != 0 && name.n <= NAME_MAX_BYTES) {
		p = &d->places[place_of(name, lower)];
		memcpy(p->name, lower, name.n);
		p->len = (uint8_t)name.n;
		p->ours = e == ERR_OK;
		p->asked_ms = loop_now_ms(d->loop);
	}
	return e == ERR_OK ? DOMAIN_OURS : DOMAIN_OTHERS;
}
