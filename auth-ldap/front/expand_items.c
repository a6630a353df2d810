/* The work of an expansion: what was seen, what is to be asked about, what has come out. Called by
 * expand.c, which asks and understands the answers.
 *
 * Invariant: nothing is added twice, and nothing beyond the limits. */
#include "auth-ldap/directory/rdn.h"
#include "auth-ldap/front/expand_impl.h"
#include "core/base/xalloc.h"

static void
items_drop(struct expansion *x, struct list *items)
{
	while (!list_empty(items)) {
		struct item *i = CONTAINER_OF(items->next, struct item, link);
		list_remove(&i->link);
		if (i->request != NULL)
			x->b->v[i->backend]->ops->cancel(i->request);
		i->request = NULL;
	}
}

void
expansion_drop_items(struct expansion *x)
{
	items_drop(x, &x->todo);
	items_drop(x, &x->todo_refs);
	items_drop(x, &x->asked);
	items_drop(x, &x->asked_refs);
	x->asked_count = x->asked_refs_count = 0;
}

void
expansion_fail(struct expansion *x, enum err e, enum auth_reason reason, struct str detail)
{
	if (x->err != ERR_OK)
		return;
	x->err = e;
	x->reason = reason;
	size_t n = detail.n < sizeof x->detail ? detail.n : sizeof x->detail - 1;
	if (n > 0)
		memcpy(x->detail, detail.p, n);
	x->detail[n] = '\0';
	trace_addf(x->context.trace, "%.*s: ends, %s %.*s", STR_FMT(x->self.address),
		reason_text(reason), STR_FMT(detail));
	expansion_drop_items(x);
	loop_task_queue(&x->task);
}

void
expansion_fail_size(struct expansion *x)
{
	expansion_fail(x, ERR_DENIED, REASON_LIMIT, STR("stands for too many"));
}

/* ---- what was seen ---- */

static void
key_make(struct buf *b, char kind, size_t backend, struct str key)
{
	buf_addc(b, kind);
	if (kind == 'd') {
		buf_addf(b, "%zu ", backend);
		dn_add_folded(b, key);
		return;
	}
	for (size_t i = 0; i < key.n; i++)
		buf_addc(b, (char)ascii_lower((unsigned char)key.p[i]));
}

bool
expansion_mark(struct expansion *x, char kind, size_t backend, struct str key)
{
	struct buf b;
	bool fresh = false;
	buf_init(&b, KEY_MAX);
	key_make(&b, kind, backend, key);
	if (buf_check(&b) != ERR_OK) {
		log_event(LVL_WARN, "auth.alias", log_s("key", x->self.address),
			log_s("member", key), log_z("reason", "too long: left out"));
	} else if (hmap_get(&x->seen, buf_str(&b)) == NULL) {
		struct seen *s = arena_calloc(x->arena, 1, sizeof *s);
		struct str copy;
		if (s == NULL || arena_str(x->arena, buf_str(&b), &copy) != ERR_OK) {
			expansion_fail_size(x);
		} else {
			hmap_put(&x->seen, &s->node, copy);
			fresh = true;
		}
	}
	buf_fini(&b);
	return fresh;
}

/* ---- items ---- */

struct item *
item_new(struct expansion *x, enum item_kind kind, struct str text, unsigned depth)
{
	struct item *i = arena_calloc(x->arena, 1, sizeof *i);
	if (i == NULL || x->seen.n / 2 > x->results_max + 50 ||
		arena_str(x->arena, text, &i->text) != ERR_OK) {
		expansion_fail_size(x);
		return NULL;
	}
	i->x = x;
	i->kind = kind;
	i->depth = depth;
	list_init(&i->link);
	return i;
}

void
item_todo(struct item *i)
{
	if (i->x->err == ERR_OK)
		list_push_back(i->kind == ITEM_REF ? &i->x->todo_refs : &i->x->todo, &i->link);
}

bool
item_name(const struct item *i, struct name *out)
{
	const struct expansion *x = i->x;
	if (i->kind == ITEM_REF) {
		name_copy(out, &x->self);
		return true;
	}
	if (name_parse(i->text, x->b->settings->auth.default_domain, out) != ERR_OK)
		return false;
	return !i->tag_cut || name_cut_tag(out, x->b->settings->recipient_delimiter.p[0]);
}

void
expansion_left_out(struct expansion *x, enum log_level level, struct str member, const char *why)
{
	log_event(level, "auth.alias", log_z("sid", x->context.sid.n > 0 ? x->context.sid.p : ""),
		log_s("key", x->self.address), log_s("member", member), log_z("reason", why));
	trace_addf(x->context.trace, "%.*s: %s", STR_FMT(member), why);
}

/* text: as it was written; out: checked. The spelling of the local part is kept for what is sent
 * elsewhere. */
static bool
address_check(struct expansion *x, struct str text, struct name *out, struct str *shown)
{
	if (name_parse(text, x->b->settings->auth.default_domain, out) != ERR_OK ||
		out->domain.n == 0) {
		expansion_left_out(x, LVL_WARN, text, "not an address: left out");
		return false;
	}
	*shown = out->has_domain ? text : out->address;
	return true;
}

void
expansion_add_address(struct expansion *x, struct str address, unsigned depth)
{
	struct name n;
	struct str shown;
	if (!address_check(x, address, &n, &shown))
		return;
	if (!expansion_mark(x, 'a', 0, n.address)) {
		x->circle = true;
		return;
	}
	struct item *i = item_new(x, ITEM_ADDRESS, shown, depth);
	if (i != NULL)
		item_todo(i);
}

void
expansion_add_ref(struct expansion *x, size_t backend, struct str ref, unsigned depth)
{
	if (!expansion_mark(x, 'd', backend, ref)) {
		x->circle = true;
		return;
	}
	struct item *i = item_new(x, ITEM_REF, ref, depth);
	if (i == NULL)
		return;
	i->backend = backend;
	item_todo(i);
}

void
expansion_add_result(struct expansion *x, struct str address)
{
	struct name n;
	struct str shown;
	if (!address_check(x, address, &n, &shown) || !expansion_mark(x, 'r', 0, n.address))
		return;
	if (x->out_count > 0)
		buf_addc(&x->out, ',');
	buf_add(&x->out, shown);
	x->out_count++;
	if (!str_eq(n.address, x->self.address))
		x->only_self = false;
	if (buf_check(&x->out) != ERR_OK || x->out_count > x->results_max)
		expansion_fail_size(x);
}
