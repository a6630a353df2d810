#ifndef POSTROOM_TESTS_LDAP_SYNTAX_H
#define POSTROOM_TESTS_LDAP_SYNTAX_H

#include <ldap.h>
#include <stdlib.h>

#include "core/base/buf.h"

/* A reader of filters (RFC 4515) and DNs (RFC 4514), written from the grammar and from nothing in
 * auth-ldap: what it finds is what a server would. For tests of templates. */

struct leaf {
	char attribute[64];
	char value[16 * 1024];
	size_t n;
	unsigned stars; /* unescaped: the value is a pattern */
};
struct leaves {
	struct leaf v[4];
	size_t n;
};

static inline int
syntax_hex(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static inline bool
syntax_item(struct str *s, struct leaf *out)
{
	size_t eq = str_chr(*s, '=');
	if (eq == 0 || eq >= s->n || eq >= sizeof out->attribute)
		return false;
	for (size_t i = 0; i < eq; i++)
		if (!ascii_is_alnum((unsigned char)s->p[i]) && s->p[i] != '-' && s->p[i] != '.')
			return false;
	memcpy(out->attribute, s->p, eq);
	out->attribute[eq] = '\0';
	out->n = 0;
	out->stars = 0;
	*s = str_from(*s, eq + 1);
	while (s->n > 0 && s->p[0] != ')') {
		unsigned char c = (unsigned char)s->p[0];
		if (c == '(' || c == '\0' || out->n == sizeof out->value)
			return false;
		if (c == '*') {
			out->stars++;
			*s = str_from(*s, 1);
			continue;
		}
		if (c == '\\') {
			int high = s->n > 2 ? syntax_hex((unsigned char)s->p[1]) : -1;
			int low = s->n > 2 ? syntax_hex((unsigned char)s->p[2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (unsigned char)(high * 16 + low);
			*s = str_from(*s, 2);
		}
		out->value[out->n++] = (char)c;
		*s = str_from(*s, 1);
	}
	return true;
}

/* One filter at the start of s; its leaves are added to out. */
static inline bool
syntax_filter(struct str *s, struct leaves *out, int depth)
{
	if (s->n < 3 || s->p[0] != '(' || depth > 8)
		return false;
	*s = str_from(*s, 1);
	if (s->p[0] == '&' || s->p[0] == '|' || s->p[0] == '!') {
		*s = str_from(*s, 1);
		while (s->n > 0 && s->p[0] == '(')
			if (!syntax_filter(s, out, depth + 1))
				return false;
	} else {
		if (out->n == sizeof out->v / sizeof out->v[0] || !syntax_item(s, &out->v[out->n]))
			return false;
		out->n++;
	}
	if (s->n == 0 || s->p[0] != ')')
		return false;
	*s = str_from(*s, 1);
	return true;
}

static inline bool
filter_leaves(struct str filter, struct leaves *out)
{
	out->n = 0;
	return syntax_filter(&filter, out, 0) && filter.n == 0;
}

/* The DN by libldap: one leaf for each RDN; an RDN of several values is no DN here. */
static inline bool
dn_leaves(struct str text, struct leaves *out)
{
	LDAPDN dn = NULL;
	char *z = str_dup(text);
	bool ok = strlen(z) == text.n && ldap_str2dn(z, &dn, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS;
	out->n = 0;
	for (size_t i = 0; ok && dn != NULL && dn[i] != NULL; i++) {
		const LDAPAVA *a = dn[i][0];
		ok = out->n < sizeof out->v / sizeof out->v[0] && dn[i][1] == NULL &&
		     a->la_attr.bv_len < sizeof out->v[0].attribute &&
		     a->la_value.bv_len <= sizeof out->v[0].value;
		if (!ok)
			break;
		struct leaf *leaf = &out->v[out->n++];
		memcpy(leaf->attribute, a->la_attr.bv_val, a->la_attr.bv_len);
		leaf->attribute[a->la_attr.bv_len] = '\0';
		if (a->la_value.bv_len > 0)
			memcpy(leaf->value, a->la_value.bv_val, a->la_value.bv_len);
		leaf->n = a->la_value.bv_len;
		leaf->stars = 0;
	}
	if (dn != NULL)
		ldap_dnfree(dn);
	free(z);
	return ok;
}

static inline bool
leaf_is(const struct leaf *l, const char *attribute, struct str before, struct str value,
	struct str after)
{
	struct str all = str_n(l->value, l->n);
	return strcmp(l->attribute, attribute) == 0 && l->stars == 0 &&
	       all.n == before.n + value.n + after.n && str_starts(all, before) &&
	       str_ends(all, after) && str_eq(str_sub(all, before.n, value.n), value);
}

/* What ldap_search_ext calls; in none of libldap's public headers. */
int
ldap_pvt_put_filter(BerElement *ber, const char *filter);

static inline bool
libldap_takes(struct str filter)
{
	BerElement *ber = ber_alloc_t(LBER_USE_DER);
	char *z = strndup(filter.p, filter.n);
	if (ber == NULL || z == NULL)
		abort();
	bool ok = ldap_pvt_put_filter(ber, z) >= 0;
	ber_free(ber, 1);
	free(z);
	return ok;
}

#endif
