#ifndef POSTROOM_AUTH_LDAP_POOL_H
#define POSTROOM_AUTH_LDAP_POOL_H

#include "auth-ldap/ldap/conn.h"

/* All connections to one directory: one for searches, as the service account, with many
 * questions in flight, and a pool for password checks, one bind in flight on each, so that
 * waiting binds never hold up a lookup.
 *
 * Servers, as the settings name them or DNS does, are used in their order. One that fails rests,
 * from 100 ms to 1 s, and is tried again about every second; one that is slow to say it is ready,
 * or silent, is overtaken by the next within a second; a better one that came back is used again
 * once it was well for failback_ms.
 *
 * Every question ends in exactly one call of its fn, from the loop, or in ldap_op_cancel. No
 * server, no answer in time, a full queue: ERR_TEMP. */
struct ldap_pool;

/* ldap/options.h makes one from a section of the settings. */
struct ldap_pool_options {
	struct str name; /* for the log: the directory section's */
	const struct str *uris;
	size_t uris_count;
	struct str srv_domain, srv_site; /* instead of uris */
	const struct str *srv_targets; /* domains in which SRV targets must lie; none: srv_domain */
	size_t srv_targets_count;
	unsigned srv_ldaps_port; /* 0: ldap:// on the port that SRV says */
	const struct str *dns_servers;
	size_t dns_servers_count;
	struct str dns_trust_anchor;
	bool starttls, verify;
	struct str ca_pem, client_certificate_pem, client_key_pem;
	int tls_min_version;	      /* 12 or 13 */
	enum ldap_bind_method method; /* of the service account */
	struct str bind_dn, bind_password;
	struct ldap_gss *gss; /* kept; LDAP_METHOD_GSSAPI */
	int64_t connect_ms, setup_ms, search_ms, bind_ms, failback_ms;
	unsigned binds_min, binds_max;
	unsigned bind_queue_max;
	int64_t bind_idle_ms; /* those beyond binds_min are closed when not used for this long */
};

/* Keeps the strings of o. ERR_SYNTAX with text in err_out (static or thread storage): a URI that is
 * none, or a CA that cannot be read. */
MUST_USE enum err
ldap_pool_new(struct loop *l, const struct ldap_pool_options *o, struct ldap_pool **out,
	const char **err_out);
/* Questions are dropped without a call. */
void
ldap_pool_free(struct ldap_pool *p);

/* op: the answer, err as in ldap/conn.h; dies when fn returns. */
typedef void (*ldap_fn)(void *arg, const struct ldap_op *op);

struct ldap_query {
	struct str base;
	struct str filter;
	enum ldap_scope scope;
	const struct str *attrs;
	size_t attrs_count;
	int size_limit; /* 0: none */
	/* for ldap/search.h */
	bool many;   /* a long list is expected */
	bool stream; /* with many: hand out page by page */
	/* by ldap/search.c */
	int page_size;
	struct str page;
	uint64_t conn_id; /* only through this connection, ERR_TEMP when it is gone; 0: any */
};
/* Copies q. */
struct ldap_op *
ldap_pool_search(struct ldap_pool *p, const struct ldap_query *q, ldap_fn fn, void *arg);
/* Is password the one of dn? ERR_OK, ERR_DENIED, ERR_TEMP. Copies both; an empty one of them is
 * ERR_DENIED without a question. */
struct ldap_op *
ldap_pool_bind(struct ldap_pool *p, struct str dn, struct str password, ldap_fn fn, void *arg);
/* fn will not be called. NULL is allowed. */
void
ldap_op_cancel(struct ldap_op *op);

struct ldap_pool_status {
	unsigned binds, binds_ready, binds_waiting, searches_waiting, searches_sent;
	bool search_ready;
};
void
ldap_pool_status(const struct ldap_pool *p, struct ldap_pool_status *out);
/* Lines for `postroom auth status`, one for the pool and one for each server:
 * "directory=main uri=ldap://a state=up active=yes since_sec=17 connections=3 in_flight=1 …\n". */
void
ldap_pool_status_text(const struct ldap_pool *p, struct buf *out);

#endif
