#ifndef POSTROOM_AUTH_LDAP_CONN_H
#define POSTROOM_AUTH_LDAP_CONN_H

#include "auth-ldap/ldap/op.h"
#include "core/event/loop.h"
#include "core/event/tls.h"

/* One connection to a directory server, wholly asynchronous: connected by core/event/connect,
 * encrypted by core/event/tls (ldaps://, or StartTLS before anything else), identified as the
 * service account when the options name one; libldap only encodes and decodes, out of memory. */
struct ldap_conn;
struct ldap_gss;

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

/* How the service account says who it is. */
enum ldap_bind_method {
	LDAP_METHOD_SIMPLE,   /* bind_dn and bind_password; anonymous without bind_dn */
	LDAP_METHOD_NONE,     /* anonymous */
	LDAP_METHOD_EXTERNAL, /* SASL: the peer of ldapi, or the client's certificate */
	LDAP_METHOD_GSSAPI,   /* SASL: Kerberos, see ldap/gss.h */
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
	enum ldap_bind_method method;
	struct ldap_gss *gss; /* kept; LDAP_METHOD_GSSAPI */
	struct str bind_dn;   /* empty: stays anonymous */
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
/* Unique in this process, never 0: pages of one search must go through one connection. */
uint64_t
ldap_conn_id(const struct ldap_conn *c);
/* When the last answer of any kind came. */
int64_t
ldap_conn_heard_ms(const struct ldap_conn *c);
/* "TLSv1.3 …" or "" */
const char *
ldap_conn_tls(const struct ldap_conn *c);

#endif
