#ifndef POSTROOM_AUTH_DIRECTORY_TEMPLATE_H
#define POSTROOM_AUTH_DIRECTORY_TEMPLATE_H

#include "auth-ldap/name/name.h"

/* Filters, DNs, paths and results with variables in them. A value is escaped for the place where
 * it stands, after the modifiers have been at it, so that it ends as exactly one value of exactly
 * these bytes, UTF-8 or not. Pure functions over bytes. */

enum template_use {
	TEMPLATE_FILTER, /* RFC 4515; an empty value is allowed */
	TEMPLATE_DN,	 /* RFC 4514; an empty value is refused */
	TEMPLATE_PATH,	 /* a value with "/" or NUL, an empty one, one that begins with "." is
			    refused */
	TEMPLATE_TEXT,	 /* results, such as "smtp:[%{value}]"; control characters are refused */
	TEMPLATE_ALL,	 /* filter_for_all, for what template_check and filter_check took */
};

/* A variable of the asker's own. */
struct template_var {
	const char *key;
	struct str value;
};

/* What the variables stand for; what is not given is empty. All borrowed. */
struct template_vars {
	/* %{user} as typed, %{local}, %{domain}, %{address}, %{netbios}; NULL: empty */
	const struct name *name;
	struct str service, remote_ip, local_ip; /* %{service} %{remote_ip} %{local_ip} */
	struct str home, dn;			 /* %{home} %{dn}: of the user who was found */
	struct str other;			 /* %{other}: the second name of a question */
	struct str certificate;			 /* %{certificate}: subject, RFC 4514; with parts
						    %{certificate_cn} _uid _mail */
	struct str base;			 /* %{base}: a DN, inserted as it is in DNs */
	const struct template_var *more;
	size_t more_count;
};

/* t: "(uid=%{user})"; %% stands for a percent sign. Modifiers follow a variable, first to last:
 *   |upper |lower     ASCII letters
 *   |first:N          at most N characters (bytes, where they are no UTF-8)
 *   |default:text     text instead of an empty value
 *   |dc               "example.org" to "dc=example,dc=org", in DNs and filters
 * appended to out. ERR_SYNTAX: template_check refuses t; ERR_DENIED: a value may not stand there;
 * ERR_LIMIT: out is full. */
MUST_USE enum err
template_expand_vars(
	struct buf *out, struct str t, const struct template_vars *v, enum template_use use);

/* The same with the variables of n only; n NULL: only template_check. */
MUST_USE enum err
template_expand(struct buf *out, struct str t, const struct name *n, enum template_use use);

/* Are variables and modifiers known? more: names of further variables, ended by NULL, or NULL.
 * ERR_SYNTAX with text in err_out ("unknown variable %{x}"), which may be NULL. */
MUST_USE enum err
template_check(struct str t, enum template_use use, const char *const *more, struct buf *err_out);

/* Does t hold this variable ("service")? */
bool
template_uses(struct str t, const char *key);
/* Does t hold any variable but %{base}? */
bool
template_varies(struct str t);

/* Appended to out, fit for an assertion value in a filter (RFC 4515 3) or an attribute value in a
 * DN (RFC 4514 2.4): every byte that is not plainly harmless as "\xx". */
void
escape_filter(struct buf *out, struct str value);
void
escape_dn(struct buf *out, struct str value);

/* The first value of attribute type ("cn", any case) in dn ("CN=Anna Berg,OU=x", RFC 4514),
 * unescaped, appended to out. ERR_NOTFOUND; ERR_SYNTAX: dn is none. */
MUST_USE enum err
dn_value(struct buf *out, struct str dn, struct str type);

#endif
