/* Entries of answers: what their attributes hold, copies of them. Everybody above ldap/conn.c uses
 * these. Pure functions over memory of an answer's arena. */
#include "auth-ldap/ldap/op.h"

static struct str
base_name(struct str name)
{
	struct str base, options;
	(void)str_cut(name, ';', &base, &options);
	return base;
}

const struct ldap_attr *
ldap_entry_attr(const struct ldap_entry *e, struct str name)
{
	const struct ldap_attr *near = NULL;
	for (size_t i = 0; i < e->attrs_count; i++) {
		const struct ldap_attr *at = &e->attrs[i];
		if (at->count == 0)
			continue;
		if (str_ieq(at->name, name))
			return at;
		if (near == NULL && str_ieq(base_name(at->name), name))
			near = at;
	}
	return near;
}

bool
ldap_entry_values(
	struct arena *a, const struct ldap_entry *e, struct str name, struct ldap_attr *out)
{
	const struct ldap_attr *first = ldap_entry_attr(e, name);
	size_t count = 0;
	*out = (struct ldap_attr){ .name = name };
	if (first == NULL)
		return true;
	if (str_ieq(first->name, name)) {
		*out = *first;
		return true;
	}
	for (size_t i = 0; i < e->attrs_count; i++)
		if (str_ieq(base_name(e->attrs[i].name), name))
			count += e->attrs[i].count;
	out->values = arena_calloc(a, count, sizeof *out->values);
	if (out->values == NULL)
		return false;
	for (size_t i = 0; i < e->attrs_count; i++) {
		const struct ldap_attr *at = &e->attrs[i];
		if (!str_ieq(base_name(at->name), name) || at->count == 0)
			continue;
		memcpy(out->values + out->count, at->values, at->count * sizeof *at->values);
		out->count += at->count;
	}
	return true;
}

static bool
copy_attr(struct arena *a, const struct ldap_attr *from, struct ldap_attr *to)
{
	if (arena_str(a, from->name, &to->name) != ERR_OK)
		return false;
	to->values = arena_calloc(a, from->count > 0 ? from->count : 1, sizeof *to->values);
	if (to->values == NULL)
		return false;
	for (; to->count < from->count; to->count++)
		if (arena_str(a, from->values[to->count], &to->values[to->count]) != ERR_OK)
			return false;
	return true;
}

struct ldap_entry *
ldap_entry_copy(struct arena *a, const struct ldap_entry *e)
{
	struct ldap_entry *copy = arena_calloc(a, 1, sizeof *copy);
	if (copy == NULL || arena_str(a, e->dn, &copy->dn) != ERR_OK)
		return NULL;
	copy->attrs = arena_calloc(a, e->attrs_count > 0 ? e->attrs_count : 1, sizeof *copy->attrs);
	if (copy->attrs == NULL)
		return NULL;
	for (; copy->attrs_count < e->attrs_count; copy->attrs_count++)
		if (!copy_attr(a, &e->attrs[copy->attrs_count], &copy->attrs[copy->attrs_count]))
			return NULL;
	return copy;
}
