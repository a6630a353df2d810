#ifndef POSTROOM_AUTH_LDAP_CONN_H
#define POSTROOM_AUTH_LDAP_CONN_H

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/event/loop.h"
#include "core/event/tls.h"

/* One connection to a directory server, wholly asynchronous: connected by core/event/connect,
 * encrypted by core/event/tls (ldaps://, or StartTLS before anything else), identified by a simple
 * bind when the options name one; libldap only encodes and decodes, out of memory. The only
 * module that knows libldap. */
struct ldap_conn;

/* A server: "ldap://host[:port]", "ldaps://host[:port]", "ldapi://%2Fpath%2Fsocket". */
struct ldap_target {
	char uri[300];
	char address[300]; /* for connect_start */
	char host[256];	   /* what its certificate must name */
	bool tls;	   /* ldaps */
	bool local;	   /* ldapi: never StartTLS */
};
/* ERR_SYNTAX: no such URI, or one with a DN, filter or unknown scheme. */
MUST_USE enum err
ldap_target_parse(struct str uri, struct ldap_target *out);

struct ldap_attr {
	struct str name;
	struct str *values;
	size_t count;
};

struct ldap_entry {
	struct ldap_entry *next;
	struct str dn;
	struct ldap_attr *attrs;
	size_t attrs_count;
};

enum ldap_op_type { LDAP_OP_SEARCH, LDAP_OP_BIND };

/* A question and its answer. Made and kept by ldap/pool.c; everything lives in the arena, except
 * the password. */
struct ldap_op {
	struct list link; /* the connection's or the pool's list */
	enum ldap_op_type type;
	int msgid;
	int64_t sent_ms;
	struct arena *arena;
	/* search */
	struct str base, filter;
	bool base_scope; /* the entry itself; otherwise the whole tree below base */
	char **attrs;	 /* ends with NULL */
	int size_limit;	 /* 0: none */
	/* bind */
	struct str dn;
	struct buf password;
	/* answer */
	struct ldap_entry *entries, **entries_end;
	size_t entries_count;
	enum err err;	/* ERR_OK, ERR_LIMIT (size limit: entries is a part), ERR_NOTFOUND (no such
			   base), ERR_DENIED (bind refused), ERR_TEMP */
	int code;	/* LDAP result code, for the log */
	char text[160]; /* the server's diagnostic, or ours */
};

struct ldap_conn_ops {
	/* Connected, encrypted, identified. */
	void (*on_ready)(void *arg, struct ldap_conn *c);
	/* An answer is complete; op is no longer the connection's. */
	void (*on_done)(void *arg, struct ldap_conn *c, struct ldap_op *op);
	/* The connection is of no more use: take its ops (ldap_conn_take), then free it.
	 * was_ready: it had worked. */
	void (*on_dead)(void *arg, struct ldap_conn *c, bool was_ready, const char *why);
};

struct ldap_conn_options {
	const struct ldap_target *target; /* kept */
	bool starttls;
	struct tls_ctx *tls; /* kept */
	struct str bind_dn;  /* empty: stays anonymous */
	struct str bind_password;
	int64_t connect_ms; /* until TCP is connected */
	int64_t setup_ms;   /* from then until ready */
};

/* Before the first connection of a process. */
void
ldap_conn_setup(void);
/* Begins to connect; callbacks come from the loop only. Keeps o, ops and arg. */
struct ldap_conn *
ldap_conn_open(struct loop *l, const struct ldap_conn_options *o, const struct ldap_conn_ops *ops,
	void *arg);
/* Allowed inside callbacks. Its ops must have been taken or are forgotten. */
void
ldap_conn_free(struct ldap_conn *c);

/* Send; only when ready. op is the connection's until on_done, ldap_conn_abandon or ldap_conn_take.
 * ERR_SYNTAX: the filter is none; op was not taken. */
MUST_USE enum err
ldap_conn_send(struct ldap_conn *c, struct ldap_op *op);
/* op's answer is of no interest any more (searches only). */
void
ldap_conn_abandon(struct ldap_conn *c, struct ldap_op *op);
/* The first op in flight, taken off the connection; NULL when there is none. */
struct ldap_op *
ldap_conn_take(struct ldap_conn *c);
/* When the last answer of any kind came. */
int64_t
ldap_conn_heard_ms(const struct ldap_conn *c);
/* "TLSv1.3 …" or "" */
const char *
ldap_conn_tls(const struct ldap_conn *c);

/* The values of an attribute, by name without regard to case and options; NULL: none. */
const struct ldap_attr *
ldap_entry_attr(const struct ldap_entry *e, struct str name);

#endif
