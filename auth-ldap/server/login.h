#ifndef POSTROOM_AUTH_LOGIN_H
#define POSTROOM_AUTH_LOGIN_H

#include "auth-ldap/server/service.h"
#include "core/base/log.h"

/* Inside server/: what auth_server.c (connections, lines) and login.c (one login after the other)
 * share. */
enum { AUTH_COOKIE_BYTES = 16 };

struct auth_conn {
	struct conn c;
	char cookie[2 * AUTH_COOKIE_BYTES + 1];
	struct hmap_node by_cookie;
	bool has_version, has_pid;
	uint32_t minor;
	uint32_t pid;
	struct loop_task hang_up;
	struct hmap logins; /* by number */
	size_t active;	    /* logins that have no answer yet */
	size_t verified_count;
	struct list verified; /* logins that succeeded, oldest first */
	struct loop_timer expire;
};

enum login_state {
	LOGIN_CLIENT,	 /* the client's answer is due */
	LOGIN_DIRECTORY, /* the directory's, the token service's, or a thread's */
	LOGIN_DELAY,	 /* refused; the answer waits */
	LOGIN_VERIFIED,	 /* succeeded; REQUEST may ask */
};

struct login_step;
struct login {
	struct auth_conn *conn;
	struct hmap_node node;
	struct list link; /* conn->verified */
	uint32_t id;
	enum login_state state;
	bool nologin, secured;
	bool counted; /* its failure is */
	char sid[64], service[32], remote[64], local[64];
	const char *mechanism; /* "" when it is none of ours */
	struct sasl_exchange *exchange;
	struct login_step *step; /* on a thread, and the exchange with it */
	struct front_request *request;
	struct token_request *token;
	struct loop_timer timer;
	int64_t start_ms;    /* LOGIN_VERIFIED: of the time in which REQUEST may ask */
	int64_t answered_ms; /* when the client gave its last response */
	struct buf reply;    /* LOGIN_DELAY */
	struct buf detail;   /* why a token was refused */
	struct buf user, home, quota, check; /* LOGIN_VERIFIED */
	struct buf keys_user, keys_backend;  /* SCRAM: whose keys were found */
};

/* A new login; false: the client broke the protocol. */
bool
login_start(struct auth_conn *c, const struct auth_line *line);
/* The client's answer to a challenge, in base64. */
void
login_continue(struct login *l, struct str encoded);
/* No answer will be given. */
void
login_free(struct login *l);
/* NULL: none with this number. */
struct login *
login_find(const struct auth_conn *c, uint32_t id);
/* Whatever is asked of others is given up, and the exchange ends. */
void
login_quiet(struct login *l);

/* login_answer.c. l may be gone after each but the first four. */
struct auth_context
login_context(const struct login *l);
/* As the client typed it, as far as it is known. */
struct str
login_name(const struct login *l);
/* a may be NULL; detail stands before a's. */
void
login_log(const struct login *l, enum log_level level, const char *res, enum auth_reason reason,
	const struct auth_answer *a, struct str detail);
/* The failure counts against name and address, once. */
void
login_count(struct login *l);
void
login_ok(struct login *l, const struct auth_answer *a);
/* Refuse, after the delay. */
void
login_deny(struct login *l, enum auth_reason reason);
/* The same before the front was asked: counts, logs, refuses. */
void
login_refuse(struct login *l, enum auth_reason reason, struct str detail);
/* Nobody can say. */
void
login_temp(struct login *l);
/* The same, for a failure of ours. */
void
login_broken(struct login *l, const char *what);
/* What a client is told that cannot even be taken on. */
extern const char login_temp_words[];

#endif
