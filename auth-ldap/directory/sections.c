/* The directory sections of the settings: made and checked at start and at a reload, counted while
 * requests use them. directory.c and expand.c ask them which section answers for a domain.
 *
 * Invariant: a domain that a section names is no other section's to give users to. */
#include <stdlib.h>

#include "auth-ldap/directory/directory_impl.h"
#include "auth-ldap/ldap/options.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { FILTER_MAX = 32 * 1024, HOMES_MAX = 1000000 };

struct home {
	struct hmap_node node;
	struct buf path, user;
};

bool
dir_lists_domain(const struct dir *dir, struct str domain)
{
	const struct str_list *own = &dir->s->domains;
	for (size_t i = 0; i < own->n; i++)
		if (str_ieq(own->v[i], domain))
			return true;
	return false;
}

size_t
dirs_next(const struct dirs *d, size_t from, struct str domain)
{
	for (; from < d->n; from++)
		if (d->v[from].s->domains.n == 0 || dir_lists_domain(&d->v[from], domain))
			return from;
	return d->n;
}

bool
dirs_own_domain(const struct dirs *d, size_t at, struct str domain)
{
	if (dir_lists_domain(&d->v[at], domain))
		return true;
	for (size_t i = 0; i < d->n; i++)
		if (dir_lists_domain(&d->v[i], domain))
			return false;
	return d->v[at].s->domains.n == 0;
}

static enum err
section_check(const struct settings_directory *s, struct buf *err_out)
{
	const struct {
		const char *name;
		struct str t;
	} templates[] = {
		{ "user_dn", s->user_dn },
		{ "user_filter", s->user_filter },
		{ "domain_filter", s->domain_filter },
		{ "mailbox_filter", s->mailbox_filter },
		{ "alias_filter", s->alias_filter },
		{ "sender_filter", s->sender_filter },
	};
	for (size_t i = 0; i < ARRAY_LEN(templates); i++) {
		struct str t = templates[i].t;
		bool filter = i > 0;
		if (template_expand(NULL, t, NULL, TEMPLATE_FILTER) == ERR_OK &&
			(!filter || t.n == 0 || t.p[0] == '('))
			continue;
		buf_addf(err_out, "directory \"%.*s\": %s: %s", STR_FMT(s->title),
			templates[i].name,
			filter ? "not a filter in parentheses with known %{variables}"
			       : "an unknown %{variable}");
		return ERR_SYNTAX;
	}
	/* A name without a password is bound as nobody by many servers (RFC 4513 5.1.2). */
	if ((s->bind_dn.n > 0) != (s->bind_password.n > 0)) {
		buf_addf(err_out, "directory \"%.*s\": bind_dn and bind_password need each other",
			STR_FMT(s->title));
		return ERR_SYNTAX;
	}
	return ERR_OK;
}

static enum err
section_new(
	struct dirs *d, struct dir *dir, const struct settings_directory *s, struct buf *err_out)
{
	dir->s = s;
	enum err e = section_check(s, err_out);
	if (e != ERR_OK)
		return e;
	buf_init(&dir->address_filter, FILTER_MAX);
	buf_addf(&dir->address_filter, "(|%.*s%.*s)", STR_FMT(s->mailbox_filter),
		STR_FMT(s->alias_filter));
	struct ldap_pool_options o;
	const char *text = NULL;
	ldap_options_of(d->settings, s, &o);
	e = ldap_pool_new(d->loop, &o, &dir->pool, &text);
	if (e != ERR_OK)
		buf_addf(err_out, "directory \"%.*s\": %s", STR_FMT(s->title),
			text != NULL ? text : err_name(e));
	return e;
}

static void
homes_free(struct hmap *m)
{
	struct hmap_node *n = hmap_next(m, NULL);
	while (n != NULL) {
		struct hmap_node *next = hmap_next(m, n);
		struct home *h = CONTAINER_OF(n, struct home, node);
		hmap_remove(m, n);
		buf_fini(&h->path);
		buf_fini(&h->user);
		free(h);
		n = next;
	}
	hmap_fini(m);
}

static void
dirs_free(struct loop_task *t)
{
	struct dirs *d = t->arg;
	loop_task_cancel(&d->release);
	for (size_t i = 0; i < d->n; i++) {
		ldap_pool_free(d->v[i].pool);
		buf_fini(&d->v[i].address_filter);
	}
	homes_free(&d->homes);
	free(d->v);
	free(d);
}

enum err
dirs_new(struct loop *l, const struct settings *s, struct dirs **out, struct buf *err_out)
{
	struct dirs *d = xcalloc(1, sizeof *d);
	enum err e = ERR_OK;
	d->loop = l;
	d->refs = 1;
	d->settings = s;
	hmap_init(&d->homes);
	loop_task_init(&d->release, l, dirs_free, d);
	d->v = xcalloc(s->directories_count + 1, sizeof *d->v);
	for (size_t i = 0; e == ERR_OK && i < s->directories_count; i++) {
		d->n++;
		e = section_new(d, &d->v[i], &s->directories[i], err_out);
	}
	if (s->directories_count == 0) {
		buf_addz(err_out, "no directory section");
		e = ERR_SYNTAX;
	}
	if (e != ERR_OK) {
		dirs_free(&d->release);
		return e;
	}
	*out = d;
	return ERR_OK;
}

struct dirs *
dirs_ref(struct dirs *d)
{
	d->refs++;
	return d;
}

void
dirs_unref(struct dirs *d)
{
	/* Not here: the caller may be an answer of one of the pools. */
	if (d != NULL && --d->refs == 0)
		loop_task_queue(&d->release);
}

void
dirs_close(struct dirs *d)
{
	if (d != NULL && --d->refs == 0)
		dirs_free(&d->release);
}

bool
dirs_claim_home(struct dirs *d, struct str path, struct str user)
{
	struct hmap_node *n = hmap_get(&d->homes, path);
	if (n != NULL)
		return str_eq(buf_str(&CONTAINER_OF(n, struct home, node)->user), user);
	if (d->homes.n >= HOMES_MAX)
		return true;
	struct home *h = xcalloc(1, sizeof *h);
	buf_init(&h->path, 8192);
	buf_init(&h->user, 8192);
	buf_add(&h->path, path);
	buf_add(&h->user, user);
	hmap_put(&d->homes, &h->node, buf_str(&h->path));
	return true;
}
