/* Expansion of aliases and groups to final addresses, for the socketmap's alias maps. Called by
 * directory.c; asks ldap/pool.c.
 *
 * Work is a list of items (an address, or a member's DN), a bounded number of them being asked at
 * once. Invariants: no address and no DN is looked at twice, so loops end; depth and size have
 * limits; one failing answer makes the whole expansion temporary, because a part of a group is
 * never an answer. */
#include <stdlib.h>

#include "auth-ldap/directory/directory_impl.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	FLIGHT = 64, /* questions of one expansion at once: others want to ask too */
	OUT_MAX = 8 * 1024 * 1024,
	FILTER_MAX = 32 * 1024,
	KEY_MAX = 16 * 1024,
	ENTRIES_MAX = 1000, /* with one address */
	ATTRS_MAX = 40,
};

struct item {
	struct list link; /* x->todo or x->asked */
	struct expansion *x;
	struct ldap_op *op;
	unsigned depth;
	size_t section;
	bool tag_cut;
	bool by_dn;
	struct str dn;	   /* by_dn */
	struct name *name; /* otherwise */
};

struct seen {
	struct hmap_node node;
};

struct expansion {
	struct dirs *d;
	dir_fn fn;
	void *arg;
	struct arena *arena;
	struct list todo, asked;
	unsigned asked_count;
	struct hmap seen; /* 'd' + DN, 'a' + address looked up, 'r' + address in out */
	struct buf out;
	size_t out_count;
	bool only_self; /* every address of out is the one that was asked for */
	struct name self;
	struct loop_task task;
	enum err err;
	const char *reason;
	char detail[160];
};

static void
pump(struct expansion *x);

static void
items_drop(struct list *items)
{
	while (!list_empty(items)) {
		struct item *i = CONTAINER_OF(items->next, struct item, link);
		list_remove(&i->link);
		ldap_op_cancel(i->op);
		i->op = NULL;
	}
}

static void
expansion_free(struct expansion *x)
{
	items_drop(&x->todo);
	items_drop(&x->asked);
	loop_task_cancel(&x->task);
	hmap_fini(&x->seen);
	buf_fini(&x->out);
	arena_free(x->arena); /* items, keys and nodes */
	dirs_unref(x->d);
	free(x);
}

void
dir_expansion_cancel(struct expansion *x)
{
	if (x != NULL)
		expansion_free(x);
}

static void
fail(struct expansion *x, enum err e, const char *reason, const char *detail)
{
	if (x->err != ERR_OK)
		return;
	x->err = e;
	x->reason = reason;
	size_t n = strlen(detail) < sizeof x->detail ? strlen(detail) : sizeof x->detail - 1;
	memcpy(x->detail, detail, n);
	x->detail[n] = '\0';
	items_drop(&x->todo);
	items_drop(&x->asked);
	x->asked_count = 0;
	loop_task_queue(&x->task);
}

static void
on_done(struct loop_task *t)
{
	struct expansion *x = t->arg;
	struct dir_answer a = { .err = x->err, .reason = x->reason, .detail = str_of(x->detail) };
	if (a.err == ERR_OK && (x->out_count == 0 || x->only_self)) {
		a.err = ERR_NOTFOUND;
		a.reason = x->out_count == 0 ? "stands for nobody" : "no alias";
	} else if (a.err == ERR_OK) {
		a.value = buf_str(&x->out);
	}
	x->fn(x->arg, &a);
	expansion_free(x);
}

/* True when the key is new. DNs that differ in case or in blanks behind commas are the same. */
static bool
mark(struct expansion *x, char kind, struct str key)
{
	struct buf b;
	bool fresh = false;
	buf_init(&b, KEY_MAX);
	buf_addc(&b, kind);
	for (size_t i = 0; i < key.n; i++)
		if (kind != 'd' || key.p[i] != ' ' || i == 0 || key.p[i - 1] != ',')
			buf_addc(&b, (char)ascii_lower((unsigned char)key.p[i]));
	if (buf_check(&b) == ERR_OK && hmap_get(&x->seen, buf_str(&b)) == NULL) {
		struct seen *s = arena_calloc(x->arena, 1, sizeof *s);
		struct str copy;
		if (s == NULL || arena_str(x->arena, buf_str(&b), &copy) != ERR_OK) {
			fail(x, ERR_DENIED, "the alias stands for too many", "");
		} else {
			hmap_put(&x->seen, &s->node, copy);
			fresh = true;
		}
	}
	buf_fini(&b);
	return fresh;
}

static struct item *
item_new(struct expansion *x, unsigned depth)
{
	struct item *i = arena_calloc(x->arena, 1, sizeof *i);
	size_t limit = (size_t)x->d->settings->directories[0].expansion_max;
	if (i == NULL || x->seen.n > 2 * limit + 100) {
		fail(x, ERR_DENIED, "the alias stands for too many", "");
		return NULL;
	}
	i->x = x;
	i->depth = depth;
	list_init(&i->link);
	return i;
}

static void
add_address(struct expansion *x, struct str address, unsigned depth)
{
	struct item *i = item_new(x, depth);
	if (i == NULL)
		return;
	i->name = arena_alloc(x->arena, sizeof *i->name);
	if (i->name == NULL) {
		fail(x, ERR_DENIED, "the alias stands for too many", "");
		return;
	}
	if (name_parse(address, x->d->settings->auth.default_domain, i->name) != ERR_OK ||
		i->name->domain.n == 0) {
		log_event(LVL_WARN, "auth.alias", log_s("key", x->self.address),
			log_s("member", address), log_z("reason", "not an address: left out"));
		return;
	}
	if (mark(x, 'a', i->name->address))
		list_push_back(&x->todo, &i->link);
}

static void
add_dn(struct expansion *x, size_t section, struct str dn, unsigned depth)
{
	/* "dn#uid" is the Name and Optional UID syntax of uniqueMember (RFC 4517 3.3.21). */
	size_t hash = str_find(dn, STR("#'"));
	dn = str_sub(dn, 0, hash);
	struct item *i = item_new(x, depth);
	if (i == NULL || dn.n == 0 || str_has_nul(dn) || !mark(x, 'd', dn))
		return;
	i->by_dn = true;
	i->section = section;
	if (arena_str(x->arena, dn, &i->dn) != ERR_OK) {
		fail(x, ERR_DENIED, "the alias stands for too many", "");
		return;
	}
	list_push_back(&x->todo, &i->link);
}

static void
add_result(struct expansion *x, struct str address)
{
	if (!mark(x, 'r', address))
		return;
	if (x->out_count > 0)
		buf_addc(&x->out, ',');
	buf_add(&x->out, address);
	x->out_count++;
	if (!str_eq(address, x->self.address))
		x->only_self = false;
	if (buf_check(&x->out) != ERR_OK ||
		x->out_count > (size_t)x->d->settings->directories[0].expansion_max)
		fail(x, ERR_DENIED, "the alias stands for too many", "");
}

/* A group's or alias's members go to work; false when e is neither. */
static bool
add_members(struct item *i, const struct ldap_entry *e)
{
	struct expansion *x = i->x;
	const struct settings_directory *s = x->d->v[i->section].s;
	bool some = false;
	for (int forward = 0; forward < 2; forward++) {
		const struct str_list *names =
			forward ? &s->forward_attributes : &s->member_attributes;
		for (size_t k = 0; k < names->n; k++) {
			const struct ldap_attr *a = ldap_entry_attr(e, names->v[k]);
			for (size_t v = 0; a != NULL && v < a->count && x->err == ERR_OK; v++) {
				some = true;
				if (i->depth >= (unsigned)s->depth_max)
					fail(x, ERR_DENIED, "aliases inside each other too deep",
						"");
				else if (forward)
					add_address(x, a->values[v], i->depth + 1);
				else
					add_dn(x, i->section, a->values[v], i->depth + 1);
			}
		}
	}
	return some;
}

static void
handle_entry(struct item *i, const struct ldap_entry *e)
{
	struct expansion *x = i->x;
	const struct dir *dir = &x->d->v[i->section];
	struct name user;
	if (!i->by_dn && !mark(x, 'd', e->dn))
		return;
	if (add_members(i, e))
		return;
	const struct ldap_attr *mail = ldap_entry_attr(e, dir->s->mail_attribute);
	if (entry_user(x->d, dir, e, &user) == ERR_OK)
		/* "anna+lists@" of anna@: the tag is no reason to call that an alias. */
		add_result(x, i->depth == 0 && i->tag_cut && str_eq(user.address, i->name->address)
				      ? x->self.address
				      : user.address);
	else if (mail != NULL &&
		 name_parse(mail->values[0], x->d->settings->auth.default_domain, &user) ==
			 ERR_OK &&
		 user.domain.n > 0)
		add_result(x, user.address);
	else
		log_event(LVL_WARN, "auth.alias", log_s("key", x->self.address), log_s("dn", e->dn),
			log_z("reason", "member without an address"));
}

/* No section knows the address. */
static void
unknown_address(struct item *i)
{
	struct expansion *x = i->x;
	struct str delimiter = x->d->settings->recipient_delimiter;
	if (!i->tag_cut && delimiter.n > 0) {
		struct name whole;
		name_copy(&whole, i->name);
		i->tag_cut = true;
		if (name_cut_tag(i->name, delimiter.p[0])) {
			i->section = dirs_next(x->d, 0, i->name->domain);
			if (i->section < x->d->n && mark(x, 'a', i->name->address)) {
				list_push_back(&x->todo, &i->link);
				return;
			}
			name_copy(i->name, &whole);
		}
	}
	if (i->depth > 0)
		add_result(x, i->name->address); /* somewhere else, or unknown: the queue's part */
}

static void
on_answer(void *arg, const struct ldap_op *op)
{
	struct item *i = arg;
	struct expansion *x = i->x;
	i->op = NULL;
	list_remove(&i->link);
	x->asked_count--;
	if (op->err != ERR_OK && op->err != ERR_NOTFOUND) {
		fail(x, ERR_TEMP, "directory failed", op->text);
		return;
	}
	for (const struct ldap_entry *e = op->entries; e != NULL && x->err == ERR_OK; e = e->next)
		handle_entry(i, e);
	if (op->entries_count == 0 && i->by_dn) {
		log_event(LVL_DEBUG, "auth.alias", log_s("key", x->self.address),
			log_s("dn", i->dn), log_z("reason", "no such member"));
	} else if (op->entries_count == 0) {
		i->section = dirs_next(x->d, i->section + 1, i->name->domain);
		if (i->section < x->d->n)
			list_push_back(&x->todo, &i->link);
		else
			unknown_address(i);
	}
	pump(x);
}

static void
ask(struct item *i)
{
	struct expansion *x = i->x;
	const struct dir *dir = &x->d->v[i->section];
	const struct settings_directory *s = dir->s;
	struct str attrs[ATTRS_MAX];
	size_t n = 0;
	struct buf f;
	attrs[n++] = s->user_attribute;
	attrs[n++] = s->mail_attribute;
	for (size_t k = 0; k < s->member_attributes.n; k++)
		attrs[n++] = s->member_attributes.v[k];
	for (size_t k = 0; k < s->forward_attributes.n; k++)
		attrs[n++] = s->forward_attributes.v[k];
	buf_init(&f, FILTER_MAX);
	enum err e = ERR_OK;
	if (i->by_dn)
		buf_addz(&f, "(objectClass=*)");
	else
		e = template_expand(&f, buf_str(&dir->address_filter), i->name, TEMPLATE_FILTER);
	const struct ldap_query q = { .base = i->by_dn ? i->dn : s->base,
		.filter = buf_str(&f),
		.scope = i->by_dn ? SCOPE_BASE : SCOPE_SUB,
		.attrs = attrs,
		.attrs_count = n,
		.size_limit = i->by_dn ? 1 : ENTRIES_MAX };
	list_push_back(&x->asked, &i->link);
	x->asked_count++;
	if (e == ERR_OK)
		i->op = ldap_pool_search(dir->pool, &q, on_answer, i);
	else
		fail(x, ERR_TEMP, "the filter is too long", "");
	buf_fini(&f);
}

static void
pump(struct expansion *x)
{
	while (x->err == ERR_OK && x->asked_count < FLIGHT && !list_empty(&x->todo)) {
		struct item *i = CONTAINER_OF(x->todo.next, struct item, link);
		list_remove(&i->link);
		if (!i->by_dn)
			i->section = dirs_next(x->d, i->section, i->name->domain);
		if (i->section < x->d->n)
			ask(i);
		else
			unknown_address(i);
	}
	if (x->err == ERR_OK && x->asked_count == 0 && list_empty(&x->todo))
		loop_task_queue(&x->task);
}

struct expansion *
dir_expansion_start(struct dirs *d, const struct name *address, dir_fn fn, void *arg)
{
	struct expansion *x = xcalloc(1, sizeof *x);
	x->d = dirs_ref(d);
	x->fn = fn;
	x->arg = arg;
	x->arena = arena_new(64 * 1024 * 1024);
	x->only_self = true;
	list_init(&x->todo);
	list_init(&x->asked);
	hmap_init(&x->seen);
	buf_init(&x->out, OUT_MAX);
	name_copy(&x->self, address);
	loop_task_init(&x->task, d->loop, on_done, x);
	add_address(x, address->address, 0);
	pump(x);
	return x;
}
