/* Events per minute; see rates.h. Called by server.c and the sessions. Invariant: what stands in an
 * entry's slices is in counts as well, and leaves it when its slice is the oldest. */
#include "delivery/smtp/rates.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/hmap.h"
#include "core/base/xalloc.h"

enum {
	SLICES = 6,
	SLICE_MS = 10000,
	KEY_MAX = 200,
	/* Half of what counts holds: the other half is for connections. What finds no place is not
	 * limited. */
	ENTRIES_MAX = 8192,
	/* … of which so many are kept for users: whoever comes from thousands of places must not
	 * crowd them out. */
	ENTRIES_OF_USERS = 2048,
};

struct entry {
	struct hmap_node node;
	unsigned slices[SLICES];
	unsigned total;
	bool of_user;
	char key[KEY_MAX];
};

struct rates {
	struct counts *counts;
	struct hmap entries;
	size_t places; /* entries that are no user's */
	unsigned now;  /* the slice that is being filled */
	struct loop_timer timer;
};

/* The oldest slice is emptied and filled again. */
static void
turn(struct rates *r)
{
	struct hmap_node *n = hmap_next(&r->entries, NULL);

	r->now = (r->now + 1) % SLICES;
	while (n != NULL) {
		struct entry *e = CONTAINER_OF(n, struct entry, node);
		n = hmap_next(&r->entries, n);
		for (unsigned i = 0; i < e->slices[r->now]; i++)
			counts_remove(r->counts, e->node.key);
		e->total -= e->slices[r->now];
		e->slices[r->now] = 0;
		if (e->total > 0)
			continue;
		hmap_remove(&r->entries, &e->node);
		r->places -= !e->of_user;
		free(e);
	}
}

static void
on_timer(struct loop_timer *t)
{
	struct rates *r = t->arg;

	turn(r);
	if (r->entries.n > 0)
		loop_timer_start(&r->timer, SLICE_MS);
}

void
rates_forget(struct rates *r)
{
	for (unsigned i = 0; i < SLICES; i++)
		turn(r);
}

struct rates *
rates_new(struct loop *l, struct counts *counts)
{
	struct rates *r = xcalloc(1, sizeof(*r));

	r->counts = counts;
	hmap_init(&r->entries);
	loop_timer_init(&r->timer, l, on_timer, r);
	return r;
}

void
rates_free(struct rates *r)
{
	loop_timer_stop(&r->timer);
	rates_forget(r);
	hmap_fini(&r->entries);
	free(r);
}

static struct str
key_of(enum rate_kind kind, struct str who, char out[KEY_MAX])
{
	int n = snprintf(out, KEY_MAX, "%u/%.*s", (unsigned)kind, STR_FMT(who));

	return str_n(out, n < KEY_MAX ? (size_t)n : KEY_MAX - 1);
}

static unsigned
count_of(const struct rates *r, const struct entry *e, struct str key)
{
	size_t all = counts_get(r->counts, key);
	unsigned own = e != NULL ? e->total : 0;

	return all > own ? (unsigned)all : own;
}

static struct entry *
find(const struct rates *r, struct str key)
{
	struct hmap_node *n = hmap_get(&r->entries, key);

	return n != NULL ? CONTAINER_OF(n, struct entry, node) : NULL;
}

bool
rates_over(const struct rates *r, enum rate_kind kind, struct str who, unsigned limit)
{
	char text[KEY_MAX];
	struct str key = key_of(kind, who, text);

	return limit != 0 && count_of(r, find(r, key), key) >= limit;
}

/* Is there a place for one more that was not counted yet? */
static bool
has_place(const struct rates *r, bool of_user)
{
	return r->entries.n < ENTRIES_MAX &&
	       (of_user || r->places < ENTRIES_MAX - ENTRIES_OF_USERS);
}

bool
rates_take(struct rates *r, enum rate_kind kind, struct str who, unsigned limit)
{
	char text[KEY_MAX];
	struct str key = key_of(kind, who, text);
	struct entry *e = find(r, key);
	bool of_user = kind == RATE_USER_MESSAGES || kind == RATE_USER_RECIPIENTS;

	if (limit == 0)
		return true;
	if (count_of(r, e, key) >= limit)
		return false;
	if (e == NULL && !has_place(r, of_user))
		return true;
	if (e == NULL) {
		if (r->entries.n == 0)
			loop_timer_start(&r->timer, SLICE_MS);
		e = xcalloc(1, sizeof(*e));
		e->of_user = of_user;
		r->places += !of_user;
		memcpy(e->key, key.p, key.n);
		hmap_put(&r->entries, &e->node, str_n(e->key, key.n));
	}
	e->slices[r->now]++;
	e->total++;
	counts_add(r->counts, key);
	return true;
}
