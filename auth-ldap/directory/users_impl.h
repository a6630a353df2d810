#ifndef POSTROOM_AUTH_DIRECTORY_USERS_IMPL_H
#define POSTROOM_AUTH_DIRECTORY_USERS_IMPL_H

#include "auth-ldap/directory/secret.h"
#include "auth-ldap/directory/section_impl.h"

/* What users.c and login.c share. */

struct user_state {
	struct auth_user *user;
	struct buf dn;
	bool home_given; /* by the directory */
	bool home_bad;	 /* and cannot be used: said only after the right password */
	struct buf home_why;
	int64_t password_expires_sec;
	int grace_logins;
	struct secret_keys keys;
};

struct user_state *
user_state_of(struct backend_request *r);
/* A search by a filter of the settings for one user, and what follows it: user_take_entry, and
 * user_bind for a login. */
void
user_search(struct backend_request *r, struct str filter,
	void (*fn)(struct backend_request *r, const struct ldap_op *op));
void
user_on_searched(struct backend_request *r, const struct ldap_op *op);
/* The record of e, into r->user. False: r is finished. name: NULL, or whose it is known to be. */
bool
user_take_entry(struct backend_request *r, const struct ldap_entry *e, const struct name *name);
/* The name that the entry gives must be no other user's as well; then user_check_home. */
void
user_check_claim(struct backend_request *r);
/* A home that the directory gave must be one entry's only; then user_done. */
void
user_check_home(struct backend_request *r);
void
user_done(struct backend_request *r);
/* "EXAMPLE\\anna" of another domain is nobody here: r answers so soon. */
bool
user_elsewhere(struct backend_request *r);

/* login.c: is r's password the one of r->user->dn? */
void
user_bind(struct backend_request *r);

#endif
