#ifndef POSTROOM_AUTHCLIENT_USERDB_H
#define POSTROOM_AUTHCLIENT_USERDB_H

#include "core/authclient/auth.h"

/* Client of auth-userdb: the Dovecot master protocol 1.x over a unix socket. Any number of
 * requests at once over one connection, which is made again, with back-off, whenever it ends.
 *
 * Every request ends in exactly one call of its fn, from the loop, or in userdb_cancel. Without
 * an answer in 10 s (LIST: since its last line), or when the connection ends, it is ERR_TEMP;
 * ERR_NOTFOUND is only ever what the service said. */
struct userdb;
struct userdb_request;

struct userdb_user {
	struct str user;   /* canonical name */
	struct str home;   /* absolute path; empty when the service gave none */
	struct str fields; /* all fields, tab separated, escaped: auth_field */
};

/* u: only with ERR_OK, borrowed. ERR_NOTFOUND: there is no such user; ERR_DENIED: only from
 * userdb_verify, that login did not succeed (or was asked about before, or is too old), and from
 * userdb_check;
 * ERR_TEMP. */
typedef void (*userdb_fn)(void *arg, enum err e, const struct userdb_user *u);

/* address: "unix:/run/postroom/auth-userdb". */
struct userdb *
userdb_new(struct loop *l, struct str address);
/* Pending requests are dropped without a call. */
void
userdb_free(struct userdb *u);

/* Who is name (a login name or an address), for service "imap" or "lmtp"? */
struct userdb_request *
userdb_lookup(struct userdb *u, struct str name, struct str service, userdb_fn fn, void *arg);
/* Did the login that the ticket names succeed, and for whom? The service says so once. */
struct userdb_request *
userdb_verify(struct userdb *u, const struct auth_ticket *ticket, struct str session, userdb_fn fn,
	void *arg);
/* May the user of a login that userdb_verify confirmed go on? token: the field check of that
 * answer, or empty (then user itself is asked about). An answer from auth's memory may be
 * max_age_ms old. fn: ERR_OK, u->fields with quota_rule= if there is a quota; ERR_DENIED, u->fields
 * with reason= and code= (RFC 5530, may be empty); ERR_TEMP: nobody could say. */
struct userdb_check {
	struct str token, user, service;
	int64_t max_age_ms;
};
struct userdb_request *
userdb_check(struct userdb *u, const struct userdb_check *check, userdb_fn fn, void *arg);
/* All users: one call of fn with ERR_OK for each (home is empty), then one with another
 * code: ERR_EOF at the end of a whole list, ERR_TEMP when it was cut. */
struct userdb_request *
userdb_list(struct userdb *u, struct str service, userdb_fn fn, void *arg);
/* fn will not be called any more. Allowed inside fn for a list. */
void
userdb_cancel(struct userdb_request *r);

#endif
