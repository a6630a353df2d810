#ifndef POSTROOM_AUTH_USER_H
#define POSTROOM_AUTH_USER_H

#include "core/base/str.h"

/* A user as a backend knows it. Immutable and counted, in one piece of memory. */
struct auth_user {
	struct str user;    /* canonical: "anna.berg@example.org" */
	struct str home;    /* absolute */
	struct str source;  /* the DN, or what stands for it */
	struct str backend; /* title of the section */
	struct str display_name;
	struct str mail_host;	   /* the server that keeps the mailbox; empty: this one */
	struct str quota;	   /* as the directory has it: "2147483648", "2G"; empty: none */
	struct str fields;	   /* more for auth-userdb: "key=value" tab separated, escaped */
	const struct str *aliases; /* further addresses of the user */
	size_t aliases_count;
	/* policy, see front/policy.h */
	bool disabled;
	int64_t expires_sec;	    /* unix time; 0: never */
	bool services_given;	    /* services is the whole list of what the user may use */
	const struct str *services; /* "imap", "smtp", …; "!imap": all but this one */
	size_t services_count;
	const struct str *networks; /* "192.0.2.0/24"; none: from anywhere */
	size_t networks_count;
	unsigned refs; /* auth_user_ref, auth_user_unref */
};

/* A copy of all of u with one reference. */
struct auth_user *
auth_user_new(const struct auth_user *u);
struct auth_user *
auth_user_ref(struct auth_user *u);
/* NULL is allowed. */
void
auth_user_unref(struct auth_user *u);
/* The same in everything. */
bool
auth_user_equal(const struct auth_user *a, const struct auth_user *b);
/* Bytes of memory that u takes. */
size_t
auth_user_size(const struct auth_user *u);

#endif
