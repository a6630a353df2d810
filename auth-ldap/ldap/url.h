#ifndef POSTROOM_AUTH_LDAP_URL_H
#define POSTROOM_AUTH_LDAP_URL_H

#include "auth-ldap/ldap/op.h"

/* LDAP URLs as entries hold them (memberURL) and as servers refer to each other. */
struct ldap_url {
	struct str scheme; /* "ldap", "ldaps", "ldapi"; as written */
	struct str host;   /* "dc1.example.org:389", "[2001:db8::1]"; empty: the directory itself */
	struct str dn;	   /* decoded; may be empty */
	struct str *attrs; /* decoded; none: all */
	size_t attrs_count;
	enum ldap_scope scope; /* SCOPE_BASE where none is given */
	struct str filter;     /* decoded; "(objectClass=*)" where none is given */
	bool scope_given, filter_given;
};

/* url: "ldap:///ou=people,dc=example,dc=org?mail?sub?(l=Paris)". Strings are a's or url's own.
 * ERR_SYNTAX: no such URL; control characters; a %-escape that is none, or of a NUL; bytes that are
 * no UTF-8; a filter without its parentheses, or with more than 32 of them inside each other; a
 * critical extension (all are unknown here). ERR_LIMIT: over 16 KiB, 100 attributes, or a is full.
 * RFC 4516 2. */
MUST_USE enum err
ldap_url_parse(struct str url, struct arena *a, struct ldap_url *out);
/* url in that form again, appended; a parsed one comes out the same when it is parsed again. */
void
ldap_url_write(struct buf *out, const struct ldap_url *url);

#endif
