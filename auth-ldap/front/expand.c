/* Expansion of aliases and groups to final addresses, of an address to those who may send as it,
 * and of a group to those who may post to it. Called by front/; asks the backends.
 *
 * Work is a list of items (an address, or a backend's reference), a bounded number of them being
 * asked at once. Invariants: no address and no reference is looked at twice, so loops end; depth
 * and size have limits; one failing answer makes the whole expansion temporary, because a part of a
 * group is never an answer. */
#include "auth-ldap/front/aliases.h"
#include "auth-ldap/front/expand_impl.h"

#include <stdlib.h>

#include "core/base/xalloc.h"

enum {
	FLIGHT_ADDRESSES = 64, /* questions of one expansion at once: others want to ask too */
	FLIGHT_REFS = 1024,    /* more: a backend may answer many of them by one search */
	ITEM_BYTES = 1024,     /* of memory for one result, names and all: generous */
	ARENA_BYTES = 16 * 1024 * 1024,
	RESULTS_MAX = 50000, /* where the backend has no limits of its own */
	DEPTH_MAX = 50,
};

static void
pump(struct expansion *x);

static void
expansion_free(struct expansion *x)
{
	expansion_drop_items(x);
	loop_task_cancel(&x->task);
	hmap_fini(&x->seen);
	hmap_fini(&x->catchalls);
	buf_fini(&x->out);
	arena_free(x->arena); /* items, keys and nodes */
	backends_unref(x->b);
	free(x);
}

void
expansion_cancel(struct expansion *x)
{
	if (x != NULL)
		expansion_free(x);
}

/* ---- answers ---- */

/* A user that was found by an address without its tag gets the tag again: delivery wants it. */
static void
add_user(struct item *i, struct str user, bool alone)
{
	struct expansion *x = i->x;
	struct name whole, cut;
	struct str local, domain;
	if (x->kind != EXPAND_ALIAS || !i->tag_cut || !alone ||
		!str_cut(user, '@', &local, &domain) ||
		name_parse(i->text, x->b->settings->auth.default_domain, &whole) != ERR_OK ||
		!item_name(i, &cut)) {
		expansion_add_result(x, user);
		return;
	}
	struct buf b;
	buf_init(&b, 2 * NAME_MAX_BYTES);
	buf_add(&b, local);
	buf_add(&b, str_from(whole.local, cut.local.n));
	buf_addc(&b, '@');
	buf_add(&b, domain);
	expansion_add_result(x, buf_check(&b) == ERR_OK ? buf_str(&b) : user);
	buf_fini(&b);
}

static void
trace_member(const struct item *i, const struct auth_member *m)
{
	static const char *const kinds[] = { [MEMBER_USER] = "user",
		[MEMBER_ADDRESS] = "address",
		[MEMBER_FINAL] = "final address",
		[MEMBER_REF] = "entry",
		[MEMBER_EVERYONE] = "everyone",
		[MEMBER_EVERY_USER] = "every user" };
	trace_addf(i->x->context.trace, "%.*s: stands for %s %.*s", STR_FMT(i->text),
		kinds[m->kind], STR_FMT(m->value));
}

/* Only what the sender itself is counts, not what it stands for. */
static void
take_who(struct item *i, const struct auth_answer *a)
{
	for (size_t k = 0; k < a->members_count; k++)
		if (a->members[k].kind == MEMBER_USER) {
			trace_member(i, &a->members[k]);
			i->x->for_users = true;
			(void)expansion_mark(i->x, 'w', 0, a->members[k].value);
		}
}

static void
take_member(struct item *i, const struct auth_member *m, bool alone)
{
	struct expansion *x = i->x;
	trace_member(i, m);
	bool deeper = m->kind == MEMBER_ADDRESS || m->kind == MEMBER_REF;
	if (deeper && i->depth >= x->depth_max) {
		expansion_fail(
			x, ERR_DENIED, REASON_LIMIT, STR("aliases inside each other too deep"));
		return;
	}
	switch (m->kind) {
	case MEMBER_USER:
		add_user(i, m->value, alone);
		break;
	case MEMBER_ADDRESS:
		expansion_add_address(x, m->value, i->depth + 1);
		break;
	case MEMBER_FINAL:
		if (x->kind != EXPAND_SENDER)
			expansion_add_result(x, m->value);
		break;
	case MEMBER_REF:
		expansion_add_ref(x, i->backend, m->value, i->depth + 1);
		break;
	case MEMBER_EVERYONE:
	case MEMBER_EVERY_USER:
		if (x->kind == EXPAND_POST && i->kind == ITEM_FIRST)
			(void)expansion_mark(
				x, m->kind == MEMBER_EVERYONE ? 'E' : 'U', 0, STR_EMPTY);
		break;
	}
}

/* The backend that knows the first address says how far it goes. */
static void
limits_of(struct expansion *x, const struct backend *b)
{
	x->results_max = b->expansion_max > 0 ? b->expansion_max : RESULTS_MAX;
	x->depth_max = b->depth_max > 0 ? b->depth_max : DEPTH_MAX;
}

static void
take(struct item *i, const struct auth_answer *a)
{
	struct expansion *x = i->x;
	struct str rest = a->value, one;
	if (i->kind == ITEM_WHO) {
		take_who(i, a);
		return;
	}
	if (i->kind == ITEM_FIRST || (i->kind == ITEM_CATCHALL && i->depth == 0))
		limits_of(x, x->b->v[i->backend]);
	if (i->kind == ITEM_FIRST) {
		x->known = true;
		if (a->owner.n > 0 && arena_str(x->arena, a->owner, &x->owner) != ERR_OK)
			expansion_fail_size(x);
		if (x->kind == EXPAND_POST && a->members_count == 0)
			(void)expansion_mark(x, 'E', 0, STR_EMPTY);
		while (x->kind == EXPAND_SENDER && rest.n > 0) {
			(void)str_cut(rest, ',', &one, &rest);
			expansion_add_result(x, one);
		}
	}
	if (a->members_count == 0)
		trace_addf(x->context.trace, "%.*s: stands for nobody", STR_FMT(i->text));
	for (size_t k = 0; k < a->members_count && x->err == ERR_OK; k++)
		take_member(i, &a->members[k], a->members_count == 1);
}

/* ---- nobody knows the address ---- */

/* The end of an address: somewhere else, or unknown: that is the queue's part. */
static void
end_unknown(struct item *i)
{
	trace_addf(i->x->context.trace, "%.*s: %s", STR_FMT(i->text),
		i->depth > 0 ? "no backend knows it: stays as it is" : "no backend knows it");
	if (i->depth > 0 && i->x->kind != EXPAND_SENDER)
		expansion_add_result(i->x, i->text);
}

static struct catchall *
catchall_find(struct expansion *x, struct str domain)
{
	struct hmap_node *node = hmap_get(&x->catchalls, domain);
	return node != NULL ? CONTAINER_OF(node, struct catchall, node) : NULL;
}

static void
catchall_ask(struct item *i, struct str domain)
{
	struct expansion *x = i->x;
	struct catchall *c = catchall_find(x, domain);
	if (c == NULL) {
		struct item *question = item_new(x, ITEM_CATCHALL, i->text, i->depth);
		struct str key;
		c = arena_calloc(x->arena, 1, sizeof *c);
		if (question == NULL || c == NULL || arena_str(x->arena, domain, &key) != ERR_OK) {
			expansion_fail_size(x);
			return;
		}
		list_init(&c->waiting);
		hmap_put(&x->catchalls, &c->node, key);
		item_todo(question);
	}
	if (!c->known)
		list_push_back(&c->waiting, &i->link);
	else if (!c->exists)
		end_unknown(i);
}

static void
catchall_done(struct item *i, bool exists)
{
	struct expansion *x = i->x;
	struct name n;
	struct catchall *c = item_name(i, &n) ? catchall_find(x, n.domain) : NULL;
	if (c == NULL)
		return;
	c->known = true;
	c->exists = exists;
	while (!list_empty(&c->waiting)) {
		struct item *w = CONTAINER_OF(c->waiting.next, struct item, link);
		list_remove(&w->link);
		if (!exists)
			end_unknown(w);
		else if (w->depth == 0)
			x->known = true;
	}
}

/* No backend knows the address: as it is, without its tag, by its domain. */
static void
unknown_address(struct item *i)
{
	struct expansion *x = i->x;
	struct name n;
	if (i->kind == ITEM_CATCHALL) {
		catchall_done(i, false);
		return;
	}
	if (!i->tag_cut && x->b->settings->recipient_delimiter.n > 0) {
		i->tag_cut = true;
		/* what stands for others is not asked twice, whatever its tag */
		if (item_name(i, &n) &&
			(i->kind == ITEM_WHO || expansion_mark(x, 'a', 0, n.address))) {
			i->backend = 0;
			i->no_alias = false;
			item_todo(i);
			return;
		}
		i->tag_cut = false;
	}
	i->tag_cut = false;
	if (i->kind == ITEM_WHO)
		return;
	if (x->kind == EXPAND_ALIAS && item_name(i, &n))
		catchall_ask(i, n.domain);
	else
		end_unknown(i);
}

/* ---- aliases of the settings ---- */

static void
take_alias(struct item *i, const struct settings_alias *alias, const struct name *n)
{
	struct expansion *x = i->x;
	x->known |= i->kind == ITEM_FIRST;
	trace_addf(x->context.trace, "%.*s: alias \"%.*s\" of the settings", STR_FMT(i->text),
		STR_FMT(alias->title));
	for (size_t k = 0; k < alias->to.n && x->err == ERR_OK; k++) {
		struct buf to;
		buf_init(&to, 2 * NAME_MAX_BYTES);
		alias_target(alias->to.v[k], n, &to);
		struct auth_member m = { .kind = MEMBER_ADDRESS, .value = buf_str(&to) };
		take_member(i, &m, false);
		buf_fini(&to);
	}
}

/* The domain is ours. */
static void
take_alias_here(struct item *i)
{
	struct name n;
	if (item_name(i, &n))
		take_alias(i, i->alias, &n);
}

/* Before the backends. False: they are to be asked; with i->alias set about the domain. */
static bool
by_alias(struct item *i, const struct name *n)
{
	struct expansion *x = i->x;
	bool needs_domain;
	if (x->kind != EXPAND_ALIAS || i->kind == ITEM_CATCHALL || i->no_alias || i->alias != NULL)
		return false;
	i->alias = alias_find(x->b->settings, n, &needs_domain);
	if (i->alias == NULL || needs_domain)
		return false;
	take_alias(i, i->alias, n);
	return true;
}

/* No backend knows the domain: then the address is one like any other. */
static void
alias_not_here(struct item *i)
{
	i->alias = NULL;
	i->no_alias = true;
	i->backend = 0;
	item_todo(i);
}

/* ---- questions ---- */

static void
on_answer(void *arg, const struct auth_answer *a)
{
	struct item *i = arg;
	struct expansion *x = i->x;
	i->request = NULL;
	list_remove(&i->link);
	if (i->kind == ITEM_REF)
		x->asked_refs_count--;
	else
		x->asked_count--;
	if (a->err == ERR_OK) {
		if (i->kind == ITEM_CATCHALL)
			catchall_done(i, true);
		if (i->alias != NULL)
			take_alias_here(i);
		else
			take(i, a);
	} else if (a->err == ERR_NOTFOUND && i->kind == ITEM_REF) {
		expansion_left_out(x, LVL_DEBUG, i->text, "no such member");
	} else if (a->err == ERR_NOTFOUND) {
		i->backend++;
		item_todo(i);
	} else if (a->err == ERR_DENIED) {
		expansion_fail(x, ERR_DENIED, a->reason != REASON_NONE ? a->reason : REASON_AUTHZ,
			a->detail);
	} else {
		expansion_fail(x, ERR_TEMP, a->reason != REASON_NONE ? a->reason : REASON_DIRECTORY,
			a->detail);
	}
	pump(x);
}

static enum ask_kind
item_ask_kind(const struct item *i)
{
	static const enum ask_kind first[] = {
		[EXPAND_ALIAS] = ASK_MEMBERS, [EXPAND_SENDER] = ASK_SENDER, [EXPAND_POST] = ASK_POST
	};
	if (i->kind == ITEM_CATCHALL)
		return ASK_CATCHALL;
	if (i->alias != NULL)
		return ASK_DOMAIN;
	return i->kind == ITEM_FIRST ? first[i->x->kind] : ASK_MEMBERS;
}

static void
ask(struct item *i, const struct name *n)
{
	struct expansion *x = i->x;
	struct backend *b = x->b->v[i->backend];
	const struct auth_question q = { .kind = item_ask_kind(i),
		.name = n,
		.other = i->kind == ITEM_REF ? i->text : STR_EMPTY,
		.people = x->kind != EXPAND_ALIAS,
		.context = &x->context };
	bool ref = i->kind == ITEM_REF;
	list_push_back(ref ? &x->asked_refs : &x->asked, &i->link);
	if (ref)
		x->asked_refs_count++;
	else
		x->asked_count++;
	i->request = b->ops->ask(b, &q, on_answer, i);
}

static void
next_address(struct expansion *x)
{
	struct item *i = CONTAINER_OF(x->todo.next, struct item, link);
	struct name n;
	list_remove(&i->link);
	if (!item_name(i, &n) || by_alias(i, &n))
		return;
	i->backend = backends_next(x->b, i->backend, n.domain);
	if (i->backend < x->b->n)
		ask(i, &n);
	else if (i->alias != NULL)
		alias_not_here(i);
	else
		unknown_address(i);
}

static void
pump(struct expansion *x)
{
	while (x->err == ERR_OK && x->asked_count < FLIGHT_ADDRESSES && !list_empty(&x->todo))
		next_address(x);
	while (x->err == ERR_OK && x->asked_refs_count < FLIGHT_REFS &&
		!list_empty(&x->todo_refs)) {
		struct item *i = CONTAINER_OF(x->todo_refs.next, struct item, link);
		list_remove(&i->link);
		ask(i, &x->self);
	}
	if (x->err == ERR_OK && x->asked_count + x->asked_refs_count == 0)
		loop_task_queue(&x->task);
}

/* ---- the end ---- */

/* Is the sender among those who may? */
static bool
may_post(const struct expansion *x)
{
	if (hmap_get(&x->seen, STR("E")) != NULL ||
		(x->for_users && hmap_get(&x->seen, STR("U")) != NULL))
		return true;
	for (struct hmap_node *n = hmap_next(&x->seen, NULL); n != NULL;
		n = hmap_next(&x->seen, n)) {
		if (n->key.p[0] != 'w')
			continue;
		struct buf b;
		buf_init(&b, KEY_MAX);
		buf_addc(&b, 'r');
		buf_add(&b, str_from(n->key, 1));
		bool listed = hmap_get(&x->seen, buf_str(&b)) != NULL;
		buf_fini(&b);
		if (listed)
			return true;
	}
	return false;
}

static void
on_done(struct loop_task *t)
{
	struct expansion *x = t->arg;
	struct auth_answer a = { .err = x->err,
		.reason = x->reason,
		.detail = str_of(x->detail),
		.owner = x->owner,
		.password_expires_sec = -1,
		.grace_logins = -1 };
	if (a.err == ERR_OK && !x->known) {
		a.err = ERR_NOTFOUND;
		a.reason = REASON_UNKNOWN;
	} else if (a.err == ERR_OK && x->kind == EXPAND_POST) {
		a.err = may_post(x) ? ERR_OK : ERR_DENIED;
		a.reason = a.err == ERR_OK ? REASON_NONE : REASON_AUTHZ;
	} else if (a.err == ERR_OK &&
		   (x->out_count == 0 || (x->kind == EXPAND_ALIAS && x->only_self))) {
		a.err = ERR_NOTFOUND;
		a.known = x->out_count != 0;
		a.reason = x->out_count == 0 && x->circle ? REASON_LOOP : REASON_NONE;
		a.detail = x->out_count == 0 ? STR("stands for nobody")
					     : STR("stands for itself only");
	} else if (a.err == ERR_OK) {
		a.value = buf_str(&x->out);
	}
	trace_addf(x->context.trace, "%.*s: %zu at the end, %s", STR_FMT(x->self.address),
		x->out_count, err_name(a.err));
	x->fn(x->arg, &a);
	expansion_free(x);
}

static void
context_copy(struct expansion *x, const struct auth_context *c)
{
	x->context = *c;
	if (arena_str(x->arena, c->service, &x->context.service) != ERR_OK ||
		arena_str(x->arena, c->remote_ip, &x->context.remote_ip) != ERR_OK ||
		arena_str(x->arena, c->local_ip, &x->context.local_ip) != ERR_OK ||
		arena_str(x->arena, c->sid, &x->context.sid) != ERR_OK)
		expansion_fail_size(x);
}

/* What other, who wants to post, is: itself, and the user whose address it is. */
static void
start_who(struct expansion *x, struct str other)
{
	struct name n;
	if (name_parse(other, x->b->settings->auth.default_domain, &n) != ERR_OK || n.domain.n == 0)
		return; /* "<>" and the like: whoever may post is not this */
	(void)expansion_mark(x, 'w', 0, n.address);
	struct item *i = item_new(x, ITEM_WHO, n.address, 0);
	if (i != NULL)
		item_todo(i);
}

struct expansion *
expansion_start(struct backends *b, enum expansion_kind kind, const struct name *address,
	struct str other, const struct auth_context *c, auth_fn fn, void *arg)
{
	struct expansion *x = xcalloc(1, sizeof *x);
	x->b = backends_ref(b);
	x->results_max = RESULTS_MAX;
	x->depth_max = DEPTH_MAX;
	for (size_t k = 0; k < b->n; k++)
		if (b->v[k]->expansion_max > x->results_max)
			x->results_max = b->v[k]->expansion_max;
	x->kind = kind;
	x->fn = fn;
	x->arg = arg;
	x->arena = arena_new(ARENA_BYTES + x->results_max * ITEM_BYTES);
	x->only_self = true;
	list_init(&x->todo);
	list_init(&x->asked);
	list_init(&x->todo_refs);
	list_init(&x->asked_refs);
	hmap_init(&x->seen);
	hmap_init(&x->catchalls);
	buf_init(&x->out, OUT_MAX);
	name_copy(&x->self, address);
	loop_task_init(&x->task, b->loop, on_done, x);
	context_copy(x, c);
	(void)expansion_mark(x, 'a', 0, address->address);
	struct item *i = item_new(x, ITEM_FIRST, address->address, 0);
	if (i != NULL)
		item_todo(i);
	if (kind == EXPAND_POST)
		start_who(x, other);
	pump(x);
	return x;
}
