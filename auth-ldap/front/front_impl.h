#ifndef POSTROOM_AUTH_FRONT_IMPL_H
#define POSTROOM_AUTH_FRONT_IMPL_H

#include "auth-ldap/front/front.h"
#include "auth-ldap/front/memory.h"
#include "auth-ldap/front/penalty.h"
#include "auth-ldap/front/walk.h"

/* What front.c and login.c share. Not for others. */

struct front {
	struct loop *loop;
	const struct settings *settings;
	struct backends *backends;
	struct memory *memory;
	struct penalty *penalty;
	struct list requests;
	int64_t (*now_ms)(void);
	int64_t (*wall_ms)(void);
};

/* A question of a server. The strings of context and login point into text. */
struct front_request {
	struct list link;
	struct front *f;
	struct backends *b;
	auth_fn fn;
	void *arg;
	struct asking asking;
	struct walk *walk;
	struct loop_task task; /* for answers that need no question */
	enum err early;
	enum auth_reason early_reason;
	/* front_login */
	struct buf text;
	struct auth_context context;
	struct str typed, authzid;
	struct str keys_user, keys_backend;
	struct name name;
	bool has_name;
	bool delivery;		  /* for those who bring mail */
	bool list;		  /* more than one answer */
	bool owner;		  /* MAP_OWNER */
	struct auth_user *user;	  /* whose password was right */
	struct auth_user *target; /* whom he wants to act as */
	int64_t password_expires_sec;
	int grace_logins;
	/* front_check; token and user are typed and authzid */
	int64_t max_age_ms;
	bool anew;
};

struct front_request *
request_new(struct front *f, const struct auth_context *c, auth_fn fn, void *arg);
/* Calls fn and frees r. */
void
request_finish(struct front_request *r, const struct auth_answer *a);
void
request_finish_error(
	struct front_request *r, enum err e, enum auth_reason reason, struct str detail);
/* The same, later, from the loop. */
void
request_finish_soon(struct front_request *r, enum err e, enum auth_reason reason);
/* The name of a login, in lower case. */
MUST_USE enum err
front_login_name(const struct front *f, struct str raw, struct name *out);

/* The first letter of a token of front_check: what follows is a login name, or the subject of a
 * certificate. */
enum { CHECK_NAME = 'U', CHECK_CERTIFICATE = 'C', CHECK_TOKEN_MAX = 4096 };

/* For tests. NULL: the real ones. */
void
front_set_clocks(struct front *f, int64_t (*now_ms)(void), int64_t (*wall_ms)(void));
/* A front around backends that are there already. Takes b. */
struct front *
front_of(struct loop *l, struct backends *b);

#endif
