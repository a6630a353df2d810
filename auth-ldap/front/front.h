#ifndef POSTROOM_AUTH_FRONT_H
#define POSTROOM_AUTH_FRONT_H

#include "auth-ldap/backend/backend.h"
#include "config/settings.h"

/* The one way in which the servers ask: the backends in their order, behind the cache, the
 * penalties and the policies. The first backend that knows the name answers; one that fails makes
 * the whole answer ERR_TEMP (or one from memory, see cache.h), because "no" would be a guess.
 *
 * Every question ends in exactly one call of its fn, from the loop and never inside the call that
 * asked, or in front_cancel. */
struct front;
struct front_request;

/* Keeps s. ERR_SYNTAX: a section is none; text in err_out. */
MUST_USE enum err
front_new(struct loop *l, const struct settings *s, struct front **out, struct buf *err_out);
/* Other settings: those that b (taken; front/backends.h) was made of. Requests that have begun end
 * with the old ones; memory of users and penalties goes on. */
struct backends;
void
front_reload(struct front *f, struct backends *b);
/* At the end of the process: questions are dropped without a call. */
void
front_free(struct front *f);

struct front_login {
	struct str name;     /* as typed */
	struct str password; /* not when proven */
	struct str authzid;  /* empty: as itself */
	/* The mechanism itself proved who it is (GSSAPI, SCRAM, EXTERNAL, a token). */
	bool proven;
	bool certificate; /* name is the subject of a certificate (RFC 4514) */
	/* SCRAM: whose keys the proof fitted (user, backend); nobody else comes in. Or empty. */
	struct str keys_user, keys_backend;
	struct auth_context context;
};
/* ERR_OK with user, whom the client acts as; ERR_DENIED; ERR_TEMP. Penalties are counted here, and
 * front_delay_ms says how long a refusal must wait. Copies. */
struct front_request *
front_login(struct front *f, const struct front_login *l, auth_fn fn, void *arg);
/* A login that failed before front_login could be asked (a wrong SCRAM proof, a bad ticket):
 * counted like one. name may be empty. */
void
front_failed(struct front *f, struct str name, const struct auth_context *c);
/* front_login would refuse this client now, whoever it is. For a mechanism that shows by its own
 * answer whether a proof is right. */
bool
front_blocked(struct front *f, struct str name, const struct auth_context *c);
/* Milliseconds that a refusal to this client waits now. */
int64_t
front_delay_ms(struct front *f, struct str name, const struct auth_context *c);

/* May a user who logged in go on? token: the check of front_login's answer; user: whom it was
 * about. Asks what the login asked, without the password; an answer up to max_age_ms old may come
 * from memory, but a "no" is never said from there. ERR_OK; ERR_DENIED with the reason: disabled,
 * expired, without this service, unknown now, or the name is another user's: his logins are
 * forgotten too; ERR_TEMP. */
struct front_request *
front_check(struct front *f, struct str token, struct str user, int64_t max_age_ms,
	const struct auth_context *c, auth_fn fn, void *arg);

/* SCRAM keys of name: ERR_OK with user and secret; ERR_NOTFOUND; ERR_DENIED; ERR_TEMP. */
struct front_request *
front_secret(struct front *f, struct str name, const struct auth_context *c, auth_fn fn, void *arg);

/* Who is name? by_address: as a recipient. ERR_OK, ERR_NOTFOUND, ERR_TEMP. */
struct front_request *
front_user(struct front *f, struct str name, bool by_address, const struct auth_context *c,
	auth_fn fn, void *arg);
/* One call with ERR_OK for each user, then one with ERR_EOF, or ERR_TEMP. */
struct front_request *
front_list(struct front *f, const struct auth_context *c, auth_fn fn, void *arg);

/* The socketmap's questions: value with ERR_OK (domain: itself; mailbox: the user; alias: final
 * addresses, comma separated; sender: users, comma separated; transport: "smtp:[host]:port"; post,
 * key "group sender": "ok"; owner: a group's envelope sender), ERR_NOTFOUND, ERR_DENIED (an alias
 * beyond the limits, a sender who may not post), ERR_TEMP. */
enum front_map {
	MAP_DOMAIN,
	MAP_MAILBOX,
	MAP_ALIAS,
	MAP_SENDER,
	MAP_TRANSPORT,
	MAP_POST,
	MAP_OWNER,
};
struct front_request *
front_lookup(struct front *f, enum front_map map, struct str key, const struct auth_context *c,
	auth_fn fn, void *arg);

/* fn will not be called. NULL is allowed. */
void
front_cancel(struct front_request *r);

/* Lines for `postroom auth status`: backends, servers, pools, caches, blocks. */
void
front_status(struct front *f, struct buf *out);
/* Forget what is remembered of a user (all names and passwords), of an address's failures, or of
 * everything (key empty). Returns how many were forgotten. */
size_t
front_forget(struct front *f, struct str key);

#endif
