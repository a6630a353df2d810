/* The backends of one generation of the settings; see backends.h. front.c makes them at start and
 * at a reload, walk.c and expand.c ask which of them answers for a domain.
 *
 * Invariant: a domain that one backend names is no other's to give users to. */
#include "auth-ldap/front/backends.h"

#include <stdlib.h>

#include "auth-ldap/backend/kinds.h"
#include "auth-ldap/directory/section.h"
#include "core/base/xalloc.h"

static bool
lists_domain(const struct backend *b, struct str domain)
{
	for (size_t i = 0; i < b->domains_count; i++)
		if (str_ieq(b->domains[i], domain))
			return true;
	return false;
}

size_t
backends_next(const struct backends *b, size_t from, struct str domain)
{
	for (; from < b->n; from++)
		if (b->v[from]->domains_count == 0 || lists_domain(b->v[from], domain))
			return from;
	return b->n;
}

bool
backends_own_domain(const struct backends *b, size_t at, struct str domain)
{
	if (lists_domain(b->v[at], domain))
		return true;
	for (size_t i = 0; i < b->n; i++)
		if (lists_domain(b->v[i], domain))
			return false;
	return b->v[at]->domains_count == 0;
}

struct backend *
backends_find(const struct backends *b, struct str title)
{
	for (size_t i = 0; i < b->n; i++)
		if (str_eq(b->v[i]->title, title))
			return b->v[i];
	return NULL;
}

/* ---- making them ---- */

static void
backends_free(struct loop_task *t)
{
	struct backends *b = t->arg;
	loop_task_cancel(&b->release);
	for (size_t i = 0; i < b->n; i++)
		b->v[i]->ops->free(b->v[i]);
	homes_fini(&b->homes);
	workers_free(b->workers);
	free(b->v);
	free(b);
}

static struct backends *
backends_alloc(struct loop *l, const struct settings *s, size_t room)
{
	struct backends *b = xcalloc(1, sizeof *b);
	b->loop = l;
	b->settings = s;
	b->refs = 1;
	b->v = xcalloc(room + 1, sizeof(struct backend *));
	homes_init(&b->homes);
	loop_task_init(&b->release, l, backends_free, b);
	return b;
}

static void
backends_flags(struct backends *b)
{
	for (size_t i = 0; i < b->n; i++) {
		b->by_service |= b->v[i]->by_service;
		b->by_remote_ip |= b->v[i]->by_remote_ip;
		b->by_local_ip |= b->v[i]->by_local_ip;
	}
}

/* Into the order of auth.backends; those that it leaves out are a mistake, and so are titles that
 * stand for two. */
static enum err
backends_order(struct backends *b, const struct str_list *order, struct buf *err_out)
{
	for (size_t i = 0; i < b->n; i++)
		for (size_t k = 0; k < i; k++)
			if (str_eq(b->v[i]->title, b->v[k]->title)) {
				buf_addf(err_out, "%s \"%.*s\": a %s has this title too",
					b->v[i]->kind, STR_FMT(b->v[i]->title), b->v[k]->kind);
				return ERR_SYNTAX;
			}
	if (order->n == 0)
		return ERR_OK;
	for (size_t i = 0; i < order->n; i++) {
		size_t at = i;
		while (at < b->n && !str_eq(b->v[at]->title, order->v[i]))
			at++;
		if (at >= b->n) {
			buf_addf(err_out, "auth.backends: \"%.*s\" is no section, or named twice",
				STR_FMT(order->v[i]));
			return ERR_SYNTAX;
		}
		struct backend *found = b->v[at];
		memmove(b->v + i + 1, b->v + i, (at - i) * sizeof(struct backend *));
		b->v[i] = found;
	}
	if (order->n < b->n) {
		buf_addf(err_out, "auth.backends: \"%.*s\" is left out",
			STR_FMT(b->v[order->n]->title));
		return ERR_SYNTAX;
	}
	return ERR_OK;
}

/* Every section, directories first. */
static enum err
backends_make(struct backends *b, struct buf *err_out)
{
	const struct settings *s = b->settings;
	enum err e = ERR_OK;
	for (size_t i = 0; e == ERR_OK && i < s->directories_count; i++, b->n++)
		e = directory_backend_new(b->loop, s, &s->directories[i], &b->v[b->n], err_out);
	for (int k = 0; k < WORKER_KINDS; k++) {
		size_t count = worker_kind_count(s, (enum worker_kind)k);
		if (count > 0 && b->workers == NULL)
			b->workers = workers_new(b->loop, s);
		for (size_t i = 0; e == ERR_OK && i < count; i++, b->n++)
			e = worker_backend_new(
				b->workers, s, (enum worker_kind)k, i, &b->v[b->n], err_out);
	}
	if (e != ERR_OK)
		b->n--; /* the one that failed is none */
	return e;
}

enum err
backends_new(struct loop *l, const struct settings *s, struct backends **out, struct buf *err_out)
{
	size_t room = s->directories_count;
	for (int k = 0; k < WORKER_KINDS; k++)
		room += worker_kind_count(s, (enum worker_kind)k);
	struct backends *b = backends_alloc(l, s, room);
	enum err e = backends_make(b, err_out);
	if (e == ERR_OK)
		e = backends_order(b, &s->auth.backends, err_out);
	if (e != ERR_OK) {
		backends_free(&b->release);
		return e;
	}
	backends_flags(b);
	*out = b;
	return ERR_OK;
}

struct backends *
backends_of(struct loop *l, const struct settings *s, struct backend *const *v, size_t n)
{
	struct backends *b = backends_alloc(l, s, n);
	for (; b->n < n; b->n++)
		b->v[b->n] = v[b->n];
	backends_flags(b);
	return b;
}

struct backends *
backends_ref(struct backends *b)
{
	b->refs++;
	return b;
}

void
backends_unref(struct backends *b)
{
	/* Not here: the caller may be an answer of one of the backends. */
	if (b != NULL && --b->refs == 0)
		loop_task_queue(&b->release);
}

void
backends_close(struct backends *b)
{
	if (b != NULL && --b->refs == 0)
		backends_free(&b->release);
}
