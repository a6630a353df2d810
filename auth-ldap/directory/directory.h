#ifndef POSTROOM_AUTH_DIRECTORY_H
#define POSTROOM_AUTH_DIRECTORY_H

#include "auth-ldap/ldap/pool.h"
#include "auth-ldap/directory/name.h"
#include "config/settings.h"

/* What is a user, a domain, an alias, a sender: the directory sections of the settings, asked in
 * order, each only about its domains. The first that knows the name answers; one that fails makes
 * the whole answer ERR_TEMP, because "no" would be a guess.
 *
 * Every question ends in exactly one call of its fn, from the loop, or in dir_cancel. */
struct dirs;
struct dir_request;

/* Keeps s. ERR_SYNTAX: a template, filter or URI is none; text in err_out. */
MUST_USE enum err
dirs_new(struct loop *l, const struct settings *s, struct dirs **out, struct buf *err_out);
/* Counted; a request holds one. The last one frees it from the loop. */
struct dirs *
dirs_ref(struct dirs *d);
void
dirs_unref(struct dirs *d);
/* The same at the end of the process, when no loop will run any more. */
void
dirs_close(struct dirs *d);

struct dir_answer {
	enum err err;
	/* ERR_OK only. All borrowed. */
	struct str user; /* canonical: "anna.berg@example.org" */
	struct str home; /* absolute */
	struct str dn;
	/* dir_lookup: the map's value; dir_list: the same as user. */
	struct str value;
	/* Why not, for the log; never for a stranger. */
	const char *reason;
	struct str detail; /* the server's text, or the DNs that matched */
};
typedef void (*dir_fn)(void *arg, const struct dir_answer *a);

/* Does password belong to name? ERR_OK; ERR_DENIED (unknown user, wrong password, two matches …);
 * ERR_TEMP. Copies what it needs. */
struct dir_request *
dir_login(struct dirs *d, struct str name, struct str password, dir_fn fn, void *arg);
/* Who is name? by_address: by mailbox_filter, as a recipient. ERR_OK, ERR_NOTFOUND, ERR_TEMP. */
struct dir_request *
dir_user(struct dirs *d, struct str name, bool by_address, dir_fn fn, void *arg);
/* One call with ERR_OK for each user of all sections, then one with ERR_EOF, or ERR_TEMP when the
 * list is not whole. */
struct dir_request *
dir_list(struct dirs *d, dir_fn fn, void *arg);

enum dir_map { DIR_DOMAIN, DIR_MAILBOX, DIR_ALIAS, DIR_SENDER };
/* The socketmap's questions. ERR_OK with value (domain: itself; mailbox: the user; alias: final
 * addresses, comma separated; sender: users, comma separated), ERR_NOTFOUND, ERR_DENIED (an alias
 * beyond the limits of depth and size), ERR_TEMP. */
struct dir_request *
dir_lookup(struct dirs *d, enum dir_map map, struct str key, dir_fn fn, void *arg);

/* fn will not be called. NULL is allowed. */
void
dir_cancel(struct dir_request *r);

#endif
