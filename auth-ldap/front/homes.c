/* Whose homes are whose; see homes.h. walk.c claims and forgets them.
 *
 * Invariant: a node is somebody's home or has homes below it; `below` counts those, and no two of
 * them that lie inside each other are of two users. */
#include "auth-ldap/front/homes.h"

#include <stdlib.h>

#include "core/base/list.h"
#include "core/base/xalloc.h"

enum { HOMES_MAX = 1000000 };

struct owner {
	struct hmap_node node;
	struct list homes;
	char user[];
};

/* A home, or a folder that has some below it. */
struct folder {
	struct hmap_node node;
	struct folder *up; /* NULL: none */
	struct list children, sibling;
	struct owner *owner; /* NULL: it is nobody's home */
	struct list of_owner;
	size_t below;
	char path[];
};

static struct folder *
folder_find(const struct homes *h, struct str path)
{
	struct hmap_node *n = hmap_get(&h->paths, path);
	return n != NULL ? CONTAINER_OF(n, struct folder, node) : NULL;
}

static struct owner *
owner_find(const struct homes *h, struct str user)
{
	struct hmap_node *n = hmap_get(&h->owners, user);
	return n != NULL ? CONTAINER_OF(n, struct owner, node) : NULL;
}

static struct owner *
owner_make(struct homes *h, struct str user)
{
	struct owner *o = owner_find(h, user);
	if (o != NULL)
		return o;
	o = xcalloc(1, sizeof *o + user.n);
	memcpy(o->user, user.p, user.n);
	list_init(&o->homes);
	hmap_put(&h->owners, &o->node, str_n(o->user, user.n));
	return o;
}

/* Empty: there is none. */
static struct str
parent(struct str path)
{
	size_t slash = str_rchr(path, '/');
	return slash < path.n ? str_sub(path, 0, slash) : STR_EMPTY;
}

static struct folder *
folder_new(struct homes *h, struct str path)
{
	struct folder *f = xcalloc(1, sizeof *f + path.n);
	memcpy(f->path, path.p, path.n);
	list_init(&f->children);
	hmap_put(&h->paths, &f->node, str_n(f->path, path.n));
	return f;
}

/* With all that are above it. */
static struct folder *
folder_make(struct homes *h, struct str path)
{
	struct folder *first = folder_find(h, path), *f;
	if (first != NULL)
		return first;
	first = f = folder_new(h, path);
	for (struct str up = parent(path); up.n > 0; up = parent(up)) {
		struct folder *known = folder_find(h, up);
		f->up = known != NULL ? known : folder_new(h, up);
		list_push_back(&f->up->children, &f->sibling);
		if (known != NULL)
			break;
		f = f->up;
	}
	return first;
}

/* And all above it that are of no use any more. */
static void
folder_drop(struct homes *h, struct folder *f)
{
	while (f != NULL && f->owner == NULL && f->below == 0) {
		struct folder *up = f->up;
		if (up != NULL)
			list_remove(&f->sibling);
		hmap_remove(&h->paths, &f->node);
		free(f);
		f = up;
	}
}

bool
homes_touch(struct str a, struct str b)
{
	struct str outer = a.n < b.n ? a : b, inner = a.n < b.n ? b : a;
	return str_starts(inner, outer) &&
	       (inner.n == outer.n || str_starts(str_from(inner, outer.n), STR("/")));
}

/* Are all homes below f the owner's? */
static bool
is_alone_below(const struct folder *f, const struct owner *o)
{
	size_t own = 0;
	if (f->below == 0)
		return true;
	if (o == NULL)
		return false;
	LIST_FOREACH (l, &o->homes) {
		const struct folder *home = CONTAINER_OF(l, struct folder, of_owner);
		own += home->node.key.n > f->node.key.n && homes_touch(home->node.key, f->node.key);
	}
	return own == f->below;
}

/* The user of the nearest home that path lies in, which may be there itself. */
static struct owner *
owner_above(const struct homes *h, struct str path, const struct owner *but)
{
	for (struct str up = path; up.n > 0; up = parent(up)) {
		const struct folder *f = folder_find(h, up);
		if (f != NULL && f->owner != NULL && f->owner != but)
			return f->owner;
	}
	return NULL;
}

bool
homes_claim(struct homes *h, struct str path, struct str user)
{
	struct folder *f = folder_find(h, path);
	struct owner *o = owner_find(h, user);
	if (f != NULL && f->owner != NULL)
		return f->owner == o;
	if ((f != NULL && !is_alone_below(f, o)) || owner_above(h, path, o) != NULL)
		return false;
	if (h->paths.n >= HOMES_MAX)
		return true;
	f = folder_make(h, path);
	f->owner = owner_make(h, user);
	list_push_back(&f->owner->homes, &f->of_owner);
	for (struct folder *up = f->up; up != NULL; up = up->up)
		up->below++;
	return true;
}

/* Beside the way down there are only the owner's own, so that few are looked at. */
static const struct folder *
child_in_the_way(const struct folder *f, const struct owner *o)
{
	LIST_FOREACH (l, &f->children) {
		const struct folder *child = CONTAINER_OF(l, struct folder, sibling);
		if ((child->owner != NULL && child->owner != o) || !is_alone_below(child, o))
			return child;
	}
	return NULL;
}

struct str
homes_in_the_way(const struct homes *h, struct str path, struct str user)
{
	const struct owner *o = owner_find(h, user), *other = owner_above(h, path, o);
	const struct folder *f = other == NULL ? folder_find(h, path) : NULL;
	while (f != NULL && (f->owner == NULL || f->owner == o))
		f = child_in_the_way(f, o);
	if (f != NULL)
		other = f->owner;
	return other != NULL ? other->node.key : STR_EMPTY;
}

void
homes_forget(struct homes *h, struct str user)
{
	struct owner *o = owner_find(h, user);
	if (o == NULL)
		return;
	LIST_FOREACH (l, &o->homes) {
		struct folder *f = CONTAINER_OF(l, struct folder, of_owner);
		list_remove(l);
		f->owner = NULL;
		for (struct folder *up = f->up; up != NULL; up = up->up)
			up->below--;
		folder_drop(h, f);
	}
	hmap_remove(&h->owners, &o->node);
	free(o);
}

void
homes_init(struct homes *h)
{
	hmap_init(&h->paths);
	hmap_init(&h->owners);
}

void
homes_fini(struct homes *h)
{
	struct hmap_node *n = hmap_next(&h->owners, NULL);
	while (n != NULL) {
		struct owner *o = CONTAINER_OF(n, struct owner, node);
		n = hmap_next(&h->owners, n);
		homes_forget(h, o->node.key);
	}
	hmap_fini(&h->paths);
	hmap_fini(&h->owners);
}
