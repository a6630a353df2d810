/* What a worker remembers of SORT and THREAD; see recall.h. Called by sort.c and thread_job.c.
 * Invariant: the items stand in the order of their last use, and their sizes add up to bytes. */
#include "imap/session/recall.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/base/xalloc.h"

enum { KEY_MAX = RECALL_HOW_MAX + sizeof(struct home *) + 2 * sizeof(uint32_t) };

struct item {
	struct hmap_node node;
	struct list link;
	struct home *home;
	struct recalled *what;
	size_t bytes;
	int64_t used_ms;
	char key[KEY_MAX];
};

struct recall {
	struct hmap items;
	struct list used; /* the longest unused first */
	size_t bytes, bytes_max;
	int64_t idle_ms;
	struct loop_timer timer;
};

/* ---- what is kept ---- */

struct recalled *
recalled_new(const struct uidset *uids, uint32_t *v, size_t n)
{
	struct recalled *w = xcalloc(1, sizeof *w);

	uidset_copy(&w->uids, uids);
	w->v = v;
	w->n = n;
	w->refs = 1;
	return w;
}

struct recalled *
recalled_ref(struct recalled *w)
{
	w->refs++;
	return w;
}

void
recalled_unref(struct recalled *w)
{
	if (w == NULL || --w->refs != 0)
		return;
	uidset_fini(&w->uids);
	free((uint32_t *)(uintptr_t)w->v);
	free(w);
}

/* ---- the items ---- */

static struct str
write_key(const struct recall_key *k, char *to)
{
	size_t n = 0;

	memcpy(to, &k->home, sizeof k->home);
	n += sizeof k->home;
	memcpy(to + n, &k->mailbox, sizeof k->mailbox);
	n += sizeof k->mailbox;
	memcpy(to + n, &k->uidvalidity, sizeof k->uidvalidity);
	n += sizeof k->uidvalidity;
	memcpy(to + n, k->how.p, k->how.n);
	return str_n(to, n + k->how.n);
}

static void
drop(struct recall *r, struct item *i)
{
	r->bytes -= i->bytes;
	hmap_remove(&r->items, &i->node);
	list_remove(&i->link);
	recalled_unref(i->what);
	home_unref(i->home);
	free(i);
}

static struct item *
oldest(const struct recall *r)
{
	return list_empty(&r->used) ? NULL : CONTAINER_OF(r->used.next, struct item, link);
}

static void
on_timer(struct loop_timer *timer)
{
	struct recall *r = timer->arg;
	int64_t now = clock_ms();
	struct item *i;

	while ((i = oldest(r)) != NULL && now - i->used_ms >= r->idle_ms)
		drop(r, i);
	if (i != NULL)
		loop_timer_start(&r->timer, i->used_ms + r->idle_ms - now);
}

static void
touch(struct recall *r, struct item *i)
{
	i->used_ms = clock_ms();
	list_remove(&i->link);
	list_push_back(&r->used, &i->link);
	if (!loop_timer_active(&r->timer))
		loop_timer_start(&r->timer, r->idle_ms);
}

struct recall *
recall_new(struct loop *l, size_t bytes_max, int64_t idle_ms)
{
	struct recall *r = xcalloc(1, sizeof *r);

	hmap_init(&r->items);
	list_init(&r->used);
	r->bytes_max = bytes_max;
	r->idle_ms = idle_ms;
	loop_timer_init(&r->timer, l, on_timer, r);
	return r;
}

void
recall_free(struct recall *r)
{
	struct item *i;

	if (r == NULL)
		return;
	while ((i = oldest(r)) != NULL)
		drop(r, i);
	loop_timer_stop(&r->timer);
	hmap_fini(&r->items);
	free(r);
}

static struct item *
find(const struct recall *r, struct str key)
{
	struct hmap_node *n = hmap_get(&r->items, key);

	return n != NULL ? CONTAINER_OF(n, struct item, node) : NULL;
}

struct recalled *
recall_get(struct recall *r, const struct recall_key *k)
{
	char key[KEY_MAX];
	struct item *i = k->how.n <= RECALL_HOW_MAX ? find(r, write_key(k, key)) : NULL;

	if (i == NULL)
		return NULL;
	touch(r, i);
	return recalled_ref(i->what);
}

static size_t
bytes_of(const struct recalled *w)
{
	return sizeof(struct item) + sizeof *w + w->n * sizeof *w->v +
	       w->uids.n * sizeof *w->uids.v;
}

void
recall_put(struct recall *r, const struct recall_key *k, struct recalled *what)
{
	size_t bytes = bytes_of(what);
	char key[KEY_MAX];

	if (k->how.n > RECALL_HOW_MAX || bytes > r->bytes_max / 2)
		return;
	struct item *i = find(r, write_key(k, key));

	if (i != NULL)
		drop(r, i);
	while (r->bytes + bytes > r->bytes_max)
		drop(r, oldest(r));
	i = xcalloc(1, sizeof *i);
	i->home = home_ref(k->home);
	i->what = recalled_ref(what);
	i->bytes = bytes;
	hmap_put(&r->items, &i->node, write_key(k, i->key));
	r->bytes += bytes;
	touch(r, i);
}
