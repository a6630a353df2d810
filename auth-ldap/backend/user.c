/* The record of a user, copied into one piece of memory so that caches can count and drop it. */
#include "auth-ldap/backend/user.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/xalloc.h"

/* Walks over every string: counts bytes without `at`, copies there with it. */
static struct str
put(struct str s, char **at, size_t *bytes)
{
	*bytes += s.n + 1;
	if (*at == NULL)
		return s;
	char *to = *at;
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	*at += s.n + 1;
	return str_n(to, s.n);
}

static size_t
arrays_count(const struct auth_user *u)
{
	return u->aliases_count + u->services_count + u->networks_count;
}

static const struct str *
put_array(struct str *to, const struct str *from, size_t n, char **at, size_t *bytes)
{
	for (size_t i = 0; i < n; i++) {
		struct str s = put(from[i], at, bytes);
		if (to != NULL)
			to[i] = s;
	}
	return to != NULL ? to : from;
}

static void
put_all(struct auth_user *u, struct str *arrays, char **at, size_t *bytes)
{
	struct str *const all[] = { &u->user, &u->home, &u->source, &u->backend, &u->display_name,
		&u->mail_host, &u->quota, &u->fields };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		*all[i] = put(*all[i], at, bytes);
	struct str *next = arrays;
	u->aliases = put_array(next, u->aliases, u->aliases_count, at, bytes);
	next = next != NULL ? next + u->aliases_count : NULL;
	u->services = put_array(next, u->services, u->services_count, at, bytes);
	next = next != NULL ? next + u->services_count : NULL;
	u->networks = put_array(next, u->networks, u->networks_count, at, bytes);
}

size_t
auth_user_size(const struct auth_user *u)
{
	struct auth_user copy = *u;
	char *none = NULL;
	size_t bytes = sizeof copy + arrays_count(u) * sizeof(struct str);
	put_all(&copy, NULL, &none, &bytes);
	return bytes;
}

struct auth_user *
auth_user_new(const struct auth_user *u)
{
	size_t bytes = 0;
	char *m = xcalloc(1, auth_user_size(u));
	struct auth_user *copy = (struct auth_user *)(void *)m;
	struct str *arrays = (struct str *)(void *)(m + sizeof *copy);
	char *at = (char *)(arrays + arrays_count(u));
	*copy = *u;
	put_all(copy, arrays, &at, &bytes);
	copy->refs = 1;
	return copy;
}

struct auth_user *
auth_user_ref(struct auth_user *u)
{
	u->refs++;
	return u;
}

void
auth_user_unref(struct auth_user *u)
{
	if (u != NULL && --u->refs == 0)
		free(u);
}

static bool
arrays_equal(const struct str *a, size_t a_count, const struct str *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (!str_eq(a[i], b[i]))
			return false;
	return true;
}

bool
auth_user_equal(const struct auth_user *a, const struct auth_user *b)
{
	return str_eq(a->user, b->user) && str_eq(a->home, b->home) &&
	       str_eq(a->source, b->source) && str_eq(a->backend, b->backend) &&
	       str_eq(a->display_name, b->display_name) && str_eq(a->mail_host, b->mail_host) &&
	       str_eq(a->quota, b->quota) && str_eq(a->fields, b->fields) &&
	       arrays_equal(a->aliases, a->aliases_count, b->aliases, b->aliases_count) &&
	       a->disabled == b->disabled && a->expires_sec == b->expires_sec &&
	       a->services_given == b->services_given &&
	       arrays_equal(a->services, a->services_count, b->services, b->services_count) &&
	       arrays_equal(a->networks, a->networks_count, b->networks, b->networks_count);
}
