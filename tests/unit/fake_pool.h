#ifndef POSTROOM_TESTS_FAKE_POOL_H
#define POSTROOM_TESTS_FAKE_POOL_H

#include <stdlib.h>

#include "auth-ldap/ldap/search.h"
#include "core/base/xalloc.h"

/* A directory that a test plays itself: instead of ldap/search.c and
 * ldap/pool.c. The question under way stands in
 * `asked`; fake_answer gives entries, fake_end a result without any. */
struct fake_op {
	struct ldap_op op; /* first: both kinds of cancelling get its address */
	ldap_fn fn;
	void *arg;
	struct buf base, filter, dn, password, attrs; /* attrs: " mail uid" */
	int size_limit;
};
static struct fake_op *asked;
static unsigned questions, cancelled_questions;
static bool fake_cancelled_inside;

struct fake_attr {
	const char *name;
	const char *values[4]; /* ended by NULL */
};
struct fake_entry {
	const char *dn; /* NULL: the end */
	struct fake_attr attrs[16];
};

static inline void
fake_free(struct fake_op *f)
{
	buf_fini(&f->base);
	buf_fini(&f->filter);
	buf_fini(&f->dn);
	buf_fini(&f->password);
	buf_fini(&f->attrs);
	free(f);
}

static inline struct ldap_op *
fake_new(enum ldap_op_type type, ldap_fn fn, void *arg)
{
	struct fake_op *f = xcalloc(1, sizeof *f);
	struct buf *const all[] = { &f->base, &f->filter, &f->dn, &f->password, &f->attrs };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		buf_init(all[i], 64 * 1024);
	f->op.type = type;
	f->op.uri = "ldap://fake";
	f->op.ms = 1;
	f->op.facts = (struct ldap_bind_facts){ .expires_sec = -1, .grace = -1 };
	f->fn = fn;
	f->arg = arg;
	questions++;
	if (asked != NULL)
		abort(); /* one at a time is a promise of section.c */
	asked = f;
	return &f->op;
}

static char fake_client;

enum err
ldap_client_new(struct loop *l UNUSED, const struct ldap_client_options *o UNUSED,
	struct ldap_client **out, const char **err_out UNUSED)
{
	*out = (struct ldap_client *)(void *)&fake_client;
	return ERR_OK;
}

void
ldap_client_free(struct ldap_client *c UNUSED)
{
}

struct ldap_pool *
ldap_client_pool(struct ldap_client *c)
{
	return (struct ldap_pool *)(void *)c;
}

struct ldap_search *
ldap_search(struct ldap_client *c UNUSED, const struct ldap_query *q, ldap_fn fn, void *arg)
{
	struct ldap_op *op = fake_new(LDAP_OP_SEARCH, fn, arg);
	buf_add(&asked->base, q->base);
	buf_add(&asked->filter, q->filter);
	for (size_t i = 0; i < q->attrs_count; i++)
		buf_addf(&asked->attrs, " %.*s", STR_FMT(q->attrs[i]));
	asked->size_limit = q->size_limit;
	op->scope = q->scope;
	op->base = buf_str(&asked->base);
	op->filter = buf_str(&asked->filter);
	return (struct ldap_search *)(void *)asked;
}

struct ldap_op *
ldap_pool_bind(
	struct ldap_pool *p UNUSED, struct str dn, struct str password, ldap_fn fn, void *arg)
{
	struct ldap_op *op = fake_new(LDAP_OP_BIND, fn, arg);
	buf_add(&asked->dn, dn);
	buf_add(&asked->password, password);
	op->dn = buf_str(&asked->dn);
	return op;
}

void
ldap_op_cancel(struct ldap_op *op)
{
	if (op == NULL)
		return;
	if (asked == NULL || op != &asked->op || op->type != LDAP_OP_BIND)
		abort();
	cancelled_questions++;
	fake_free(asked);
	asked = NULL;
}

void
ldap_search_cancel(struct ldap_search *s)
{
	if (s == NULL)
		return;
	/* inside its own call of fn it is not the one under way any more */
	if (asked == NULL) {
		fake_cancelled_inside = true;
		return;
	}
	if ((void *)s != (void *)asked || asked->op.type != LDAP_OP_SEARCH)
		abort();
	cancelled_questions++;
	fake_free(asked);
	asked = NULL;
}

void
ldap_pool_status(const struct ldap_pool *p UNUSED, struct ldap_pool_status *out)
{
	*out = (struct ldap_pool_status){ 0 };
}

void
ldap_pool_status_text(const struct ldap_pool *p UNUSED, struct buf *out)
{
	buf_addz(out, "directory=fake\n");
}

/* One of several parts, when op.more is set; the question stays under way then. */
static inline void
fake_say(struct fake_op *f)
{
	asked = NULL;
	fake_cancelled_inside = false;
	f->fn(f->arg, &f->op);
	if (f->op.more && !fake_cancelled_inside) {
		f->op.entries = NULL;
		f->op.entries_count = 0;
		f->op.more = false;
		asked = f;
		return;
	}
	fake_free(f);
}

/* code, facts and text may be set in asked->op before. */
static inline void
fake_end(enum err e, const char *text)
{
	struct fake_op *f = asked;
	if (f == NULL)
		abort();
	f->op.err = e;
	if (text != NULL)
		(void)snprintf(f->op.text, sizeof f->op.text, "%s", text);
	fake_say(f);
}

/* Entries are copied, so that whoever wipes or keeps values is seen. */
static inline void
fake_answer(enum err e, const struct fake_entry *entries)
{
	struct fake_op *f = asked;
	struct arena *a = arena_new(1 << 20);
	if (f == NULL)
		abort();
	f->op.entries_end = &f->op.entries;
	for (; entries->dn != NULL; entries++) {
		struct ldap_entry *to = arena_calloc(a, 1, sizeof *to);
		(void)!arena_str(a, str_of(entries->dn), &to->dn);
		to->attrs = arena_calloc(a, ARRAY_LEN(entries->attrs), sizeof *to->attrs);
		for (const struct fake_attr *from = entries->attrs; from->name != NULL; from++) {
			struct ldap_attr *attr = &to->attrs[to->attrs_count++];
			(void)!arena_str(a, str_of(from->name), &attr->name);
			attr->values = arena_calloc(a, 4, sizeof *attr->values);
			for (size_t i = 0; i < 4 && from->values[i] != NULL; i++)
				(void)!arena_str(
					a, str_of(from->values[i]), &attr->values[attr->count++]);
		}
		*f->op.entries_end = to;
		f->op.entries_end = &to->next;
		f->op.entries_count++;
	}
	f->op.err = e;
	fake_say(f);
	arena_free(a);
}

#endif
