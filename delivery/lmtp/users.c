/* The cache of homes, for session.c. Bounded: when it is full it is emptied, which costs a question
 * for each user and needs no bookkeeping. */
#include "delivery/lmtp/users.h"

#include <stdlib.h>

#include "core/base/hmap.h"
#include "core/base/xalloc.h"

struct user {
	struct hmap_node node; /* by address */
	int64_t asked_ms;
	struct quota_limit quota;
	bool tagged;
	size_t address_len, home_len;
	char bytes[]; /* address, then home */
};

struct user_cache {
	struct hmap map;
};

struct user_cache *
user_cache_new(void)
{
	struct user_cache *c = xcalloc(1, sizeof(*c));

	hmap_init(&c->map);
	return c;
}

void
user_cache_clear(struct user_cache *c)
{
	struct hmap_node *n = hmap_next(&c->map, NULL);

	while (n != NULL) {
		struct user *u = CONTAINER_OF(n, struct user, node);
		n = hmap_next(&c->map, n);
		hmap_remove(&c->map, &u->node);
		free(u);
	}
}

void
user_cache_free(struct user_cache *c)
{
	if (c == NULL)
		return;
	user_cache_clear(c);
	hmap_fini(&c->map);
	free(c);
}

bool
user_cache_get(struct user_cache *c, struct str address, int64_t now_ms, struct user_known *out)
{
	struct hmap_node *n = hmap_get(&c->map, address);
	struct user *u;

	if (n == NULL)
		return false;
	u = CONTAINER_OF(n, struct user, node);
	if (now_ms - u->asked_ms >= USER_CACHE_MS) {
		hmap_remove(&c->map, n);
		free(u);
		return false;
	}
	*out = (struct user_known){ .home = str_n(u->bytes + u->address_len, u->home_len),
		.quota = u->quota,
		.tagged = u->tagged };
	return true;
}

void
user_cache_put(
	struct user_cache *c, struct str address, const struct user_known *known, int64_t now_ms)
{
	struct hmap_node *n = hmap_get(&c->map, address);
	struct user *u;

	if (n != NULL) {
		hmap_remove(&c->map, n);
		free(CONTAINER_OF(n, struct user, node));
	}
	if (c->map.n >= USER_CACHE_MAX)
		user_cache_clear(c);
	u = xmalloc(sizeof(*u) + address.n + known->home.n);
	u->asked_ms = now_ms;
	u->quota = known->quota;
	u->tagged = known->tagged;
	u->address_len = address.n;
	u->home_len = known->home.n;
	memcpy(u->bytes, address.p, address.n);
	memcpy(u->bytes + address.n, known->home.p, known->home.n);
	hmap_put(&c->map, &u->node, str_n(u->bytes, address.n));
}
