#ifndef POSTROOM_AUTH_DIRECTORY_RESULT_H
#define POSTROOM_AUTH_DIRECTORY_RESULT_H

#include "auth-ldap/name/name.h"
#include "auth-ldap/ldap/op.h"

/* Result templates: what an entry stands for, made out of its attributes, such as
 * "%{maildrop}", "%{uid}@%{domain}", "%{mail|local}@backup.example.org", "smtp:[%{mailHost}]".
 * %{user} %{local} %{domain} %{address} are of the address that was asked about; every other name
 * is an attribute. |local and |domain take the half before and behind the "@" (a value without one
 * is its own local half, and has no domain), |lower and |upper change ASCII letters. %% is a
 * percent sign. */

/* ERR_SYNTAX: no such template. */
MUST_USE enum err
result_check(struct str t);
/* The i-th attribute that t names; false: there are no more. */
bool
result_attribute(struct str t, size_t i, struct str *out);

/* One call for each result. value is borrowed. */
typedef void (*result_fn)(void *arg, struct str value);
/* One result for each value of the first attribute of t; further attributes stand with their first
 * value. None when the entry lacks one of them, or a half is empty. A result over 4 KiB or with a
 * NUL is left out. The count of results is returned. */
size_t
result_expand(
	struct str t, const struct ldap_entry *e, const struct name *key, result_fn fn, void *arg);

/* An address as entries hold them: "anna@example.org", "smtp:anna@example.org" (proxyAddresses;
 * the prefix without regard to case), "mailto:anna@example.org". False: another prefix, which is no
 * address of ours ("X400:…", "SIP:…"). */
bool
address_in_value(struct str raw, struct str *out);

#endif
