/* Attributes that a server hands out in parts (Active Directory: "member;range=0-1499", then
 * "…;range=1500-*"): fetched to their end, one base search for each part, and put together under
 * the plain name. search.c calls it after each answer. Invariant: an attribute is whole before a
 * caller sees it, and a server that does not get on ends the search as ERR_TEMP. */
#include <stdio.h>

#include "auth-ldap/ldap/search_impl.h"

enum { ROUNDS_MAX = 20000 }; /* of one search: parts of 500 of ten million members */

static void
ranges_next(struct ldap_search *s);

/* "range=0-1499" or "range=1500-*" */
static enum err
option_parse(struct str option, uint32_t *from_out, uint32_t *to_out)
{
	struct str from, to;
	if (!str_istarts(option, STR("range=")))
		return ERR_NOTFOUND;
	if (!str_cut(str_from(option, 6), '-', &from, &to) ||
		str_to_u32(from, INT32_MAX, from_out) != ERR_OK)
		return ERR_SYNTAX;
	*to_out = UINT32_MAX;
	if (str_eq(to, STR("*")))
		return ERR_OK;
	return str_to_u32(to, INT32_MAX, to_out) == ERR_OK && *to_out >= *from_out ? ERR_OK
										   : ERR_SYNTAX;
}

enum err
range_parse(struct arena *a, struct str name, struct str *plain_out, uint32_t *from_out,
	uint32_t *to_out)
{
	size_t at = str_ifind(name, STR(";range="));
	if (at == name.n)
		return ERR_NOTFOUND;
	struct str rest = str_from(name, at + 1), option, behind;
	bool more = str_cut(rest, ';', &option, &behind);
	enum err e = option_parse(option, from_out, to_out);
	if (e != ERR_OK)
		return ERR_SYNTAX;
	*plain_out = str_sub(name, 0, at);
	if (!more)
		return ERR_OK;
	struct buf b;
	buf_init(&b, 64 * 1024);
	buf_add(&b, *plain_out);
	buf_addc(&b, ';');
	buf_add(&b, behind);
	e = buf_check(&b) == ERR_OK ? arena_str(a, buf_str(&b), plain_out) : ERR_LIMIT;
	buf_fini(&b);
	return e;
}

static bool
is_range(struct str name)
{
	return str_ifind(name, STR(";range=")) < name.n;
}

bool
ranges_has(const struct ldap_entry *e)
{
	for (size_t i = 0; i < e->attrs_count; i++)
		if (is_range(e->attrs[i].name))
			return true;
	return false;
}

/* Beside the part a server also lists the attribute itself, without values. */
static void
drop_empty(struct ldap_entry *e)
{
	size_t n = 0;
	for (size_t i = 0; i < e->attrs_count; i++)
		if (e->attrs[i].count > 0)
			e->attrs[n++] = e->attrs[i];
	e->attrs_count = n;
}

/* Room doubles: what was outgrown stays in the arena, at most as much again. */
static bool
append_values(struct ldap_search *s, const struct ldap_attr *more)
{
	struct ldap_attr *to = s->range_attr;
	size_t need = to->count + more->count;
	if (need > s->range_room) {
		struct str *values = arena_calloc(s->arena, need * 2, sizeof *values);
		if (values == NULL)
			return false;
		if (to->count > 0)
			memcpy(values, to->values, to->count * sizeof *values);
		to->values = values;
		s->range_room = need * 2;
	}
	for (size_t i = 0; i < more->count; i++)
		if (arena_str(s->arena, more->values[i], &to->values[to->count++]) != ERR_OK)
			return false;
	return true;
}

static void
on_range(void *arg, const struct ldap_op *op);

static void
range_ask(struct ldap_search *s, struct str plain)
{
	struct buf name;
	if (++s->range_rounds > ROUNDS_MAX) {
		search_fail(s, ERR_TEMP, "an attribute has too many parts");
		return;
	}
	buf_init(&name, 64 * 1024);
	buf_add(&name, plain);
	buf_addf(&name, ";range=%u-*", s->range_next);
	const struct str attrs[] = { buf_str(&name) };
	const struct ldap_query q = { .base = s->range_entry->dn,
		.filter = STR("(objectClass=*)"),
		.scope = SCOPE_BASE,
		.attrs = attrs,
		.attrs_count = 1 };
	s->asked = ldap_pool_search(s->leg->pool, &q, on_range, s);
	buf_fini(&name);
}

/* The part of the attribute at hand in e. */
static const struct ldap_attr *
find_part(struct ldap_search *s, const struct ldap_entry *e, uint32_t *from, uint32_t *to)
{
	for (size_t i = 0; i < e->attrs_count; i++) {
		struct str plain;
		if (range_parse(s->arena, e->attrs[i].name, &plain, from, to) == ERR_OK &&
			str_ieq(plain, s->range_attr->name))
			return &e->attrs[i];
	}
	return NULL;
}

static void
on_range(void *arg, const struct ldap_op *op)
{
	struct ldap_search *s = arg;
	uint32_t from = 0, to = 0;
	s->asked = NULL;
	s->answer.ms += op->ms;
	const struct ldap_entry *e = op->entries;
	if (op->err != ERR_OK || e == NULL) {
		char why[sizeof op->text + 40];
		(void)snprintf(why, sizeof why, "the rest of %.*s: %s",
			STR_FMT(str_sub(s->range_attr->name, 0, 30)),
			op->err != ERR_OK ? op->text : "the entry is gone");
		search_fail(s, ERR_TEMP, why);
		return;
	}
	const struct ldap_attr *part = find_part(s, e, &from, &to);
	/* Values that went meanwhile: nothing is left from here on. */
	bool emptied = part == NULL && !ranges_has(e);
	if (!emptied && (part == NULL || from != s->range_next)) {
		search_fail(s, ERR_TEMP, "a part of an attribute that was not asked for");
		return;
	}
	if (part != NULL && !append_values(s, part)) {
		search_fail(s, ERR_TEMP, "the answer is too large");
		return;
	}
	if (emptied || to == UINT32_MAX) {
		ranges_next(s);
		return;
	}
	s->range_next = to + 1;
	range_ask(s, s->range_attr->name);
}

/* The next attribute of the entry at hand that came in part, into s. ERR_NOTFOUND: there is none
 * (more); ERR_SYNTAX: one that cannot be. */
static enum err
part_next(struct ldap_search *s)
{
	struct ldap_entry *e = s->range_entry;
	for (size_t i = 0; i < e->attrs_count; i++) {
		struct ldap_attr *at = &e->attrs[i];
		struct str plain;
		uint32_t from = 0, to = 0;
		if (!is_range(at->name))
			continue;
		if (range_parse(s->arena, at->name, &plain, &from, &to) != ERR_OK || from != 0)
			return ERR_SYNTAX;
		at->name = plain;
		if (to == UINT32_MAX)
			continue;
		s->range_attr = at;
		s->range_room = 0;
		s->range_next = to + 1;
		return ERR_OK;
	}
	return ERR_NOTFOUND;
}

static void
ranges_next(struct ldap_search *s)
{
	while (s->range_entry != NULL) {
		enum err e = part_next(s);
		if (e == ERR_OK) {
			range_ask(s, s->range_attr->name);
			return;
		}
		if (e != ERR_NOTFOUND) {
			search_fail(s, ERR_TEMP, "a part of an attribute that is none");
			return;
		}
		drop_empty(s->range_entry);
		s->range_entry = s->range_entry->next;
	}
	search_ranges_done(s);
}

void
ranges_begin(struct ldap_search *s)
{
	s->range_entry = *s->fresh;
	ranges_next(s);
}
