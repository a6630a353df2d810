#ifndef POSTROOM_AUTH_LDAP_POOL_IMPL_H
#define POSTROOM_AUTH_LDAP_POOL_IMPL_H

#include "auth-ldap/ldap/pool.h"
#include "auth-ldap/ldap/srv.h"

/* What pool.c (questions), servers.c (who is well, who is used), searches.c and binders.c (the
 * connections) share. */

enum {
	SERVERS_MAX = 64,	   /* those that left and still have connections included */
	FLIGHT_MAX = 900,	   /* slapd's conn_max_pending_auth is 1,000 */
	FLIGHT_MAX_ANONYMOUS = 90, /* and conn_max_pending 100 */
	ATTEMPTS_MAX = 2,
	STEADY_MS = 1000, /* a connection that lived shorter was no good */
};

/* The pool's side of a question. op must be first: the connection hands that back. */
struct ask {
	struct ldap_op op;
	struct ldap_pool *pool;
	ldap_fn fn; /* NULL: cancelled while a bind was under way, whose answer is awaited */
	void *arg;
	struct loop_timer deadline;
	struct binder *binder;	    /* the bind connection that has it */
	struct ldap_server *server; /* the server whose search connection has it */
	int64_t begin_ms;
	unsigned attempts;
	bool finished; /* in pool->finished */
};

enum server_state {
	SERVER_UNTRIED,
	SERVER_UP,   /* the last attempt worked, or its connection stands */
	SERVER_DOWN, /* the last attempt failed */
};

struct ldap_server {
	struct ldap_pool *pool;
	struct ldap_target target;
	unsigned priority; /* lower ones are better */
	enum server_state state;
	int64_t since_ms; /* of state */
	int64_t next_try_ms, backoff_ms;
	char error[256]; /* the last one */
	bool gone;	 /* DNS does not name it any more */
	/* its search connection: at most one, so at most one attempt at a time */
	struct ldap_conn *conn;
	bool ready;
	int64_t opened_ms, ready_ms;
	unsigned flight;
	int64_t drained_ms; /* not in use, without questions since then */
	struct ldap_op ping;
	bool pinging;
	int64_t pinged_ms; /* the last time */
	/* totals */
	unsigned binders;
	uint64_t attempts, failures, answers;
};

struct binder {
	struct list link; /* pool's connecting, idle (the last used first) or busy */
	struct ldap_pool *pool;
	struct ldap_server *server;
	struct ldap_conn *conn;
	struct ask *ask;
	bool ready;
	int64_t idle_since_ms;
};

struct ldap_pool {
	struct loop *loop;
	struct ldap_pool_options o;
	struct tls_ctx *tls;
	struct ldap_srv *srv; /* NULL: uris */
	/* in order; those that are gone stand behind */
	struct ldap_server *servers[SERVERS_MAX];
	size_t servers_count;
	struct ldap_server *active; /* whom new questions go to; NULL: nobody yet */
	struct loop_timer tick;
	bool tick_fast;
	/* searches */
	unsigned search_waiting_count;
	struct list search_waiting;
	/* binds */
	struct list connecting, idle, busy;
	unsigned binders_count, connecting_count, bind_waiting_count, bind_flight;
	unsigned binder_failures; /* in a row */
	int64_t binder_next_ms;
	struct list bind_waiting;
	/* answers on their way to the callers */
	struct list finished;
	struct loop_task task;
	uint64_t binds_total, searches_total, refused_total, late_total;
};

/* ---- pool.c ---- */
/* The answer is known: the caller hears of it from the loop. a is in no list. */
void
ask_finish(struct ask *a);
void
ask_fail(struct ask *a, const char *why);
/* Its connection is lost: once more, or the end. */
void
ask_again(struct ask *a, struct list *waiting, unsigned *count, const char *why);
void
ask_free(struct ask *a);
void
ask_fail_all(struct list *waiting, unsigned *count, const char *why);
struct ldap_conn_options
pool_conn_options(const struct ldap_pool *p, const struct ldap_server *s, bool service);

/* ---- servers.c ---- */
MUST_USE enum err
servers_init(struct ldap_pool *p, const char **err_out);
void
servers_fini(struct ldap_pool *p);
/* Connect to whom it is time to, use the best one, and end what can have no answer. Call it after
 * anything that changes who is well. */
void
servers_drive(struct ldap_pool *p);
/* Its connections tell; nobody else may set the state. */
void
server_works(struct ldap_server *s);
void
server_failed(struct ldap_server *s, const char *why);
/* Look at the clock soon: a question is on its way. */
void
servers_watch(struct ldap_pool *p);
/* Every server is known to be down. */
bool
servers_all_down(const struct ldap_pool *p);

/* ---- searches.c ---- */
void
search_connect(struct ldap_server *s);
/* Its questions go to others. */
void
search_disconnect(struct ldap_server *s, const char *why);
void
search_ping(struct ldap_server *s);
void
search_pump(struct ldap_pool *p);

/* ---- binders.c ---- */
void
bind_pump(struct ldap_pool *p);
/* The bind connections that are not to the server in use end, at once or with their question.
 * hung: none of theirs will come. */
void
binders_leave(struct ldap_pool *p, const struct ldap_server *hung);
/* Close what idles, open what is missing. */
void
binders_tick(struct ldap_pool *p);
/* A bind cannot be taken back (RFC 4511 4.11): the connection ends with it. */
void
binder_drop(struct ask *a);
void
binders_fini(struct ldap_pool *p);

#endif
