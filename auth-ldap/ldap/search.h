#ifndef POSTROOM_AUTH_LDAP_SEARCH_H
#define POSTROOM_AUTH_LDAP_SEARCH_H

#include "auth-ldap/ldap/pool.h"

/* Whole searches of one directory: a pool, and on top of its single questions what a server may
 * need several of them for. Callers above ldap/ use this, and the pool itself for binds.
 *
 * - Pages (RFC 2696). A query with `many` is asked for page by page; one without is when the
 *   server cuts its answer at a limit of its own. A server without the control: one plain search.
 * - Ranges (Active Directory's "member;range=0-1499"): the rest is fetched; the attribute arrives
 *   whole, under its plain name.
 * - Referrals and continuation references: ignored, unless the options allow them; then followed
 *   to allowed hosts only, with the same TLS demands and service account, to a small depth.
 *
 * The answer has the shape of a single search's. ERR_OK: whole. ERR_LIMIT: more than size_limit.
 * ERR_NOTFOUND: the base of a SCOPE_BASE query is not there. ERR_TEMP: anything missing, also a
 * base that only a referral knows and that may not be followed, and one reference of several that
 * could not be asked: never a silent part. */
struct ldap_client;
struct ldap_search;

struct ldap_client_options {
	struct ldap_pool_options pool;
	struct str keytab, principal; /* LDAP_METHOD_GSSAPI; pool.gss is filled in */
	int page_size;		      /* 0: never pages */
	bool referrals;
	const struct str *referral_hosts; /* "dc2.example.org", "*.example.org" */
	size_t referral_hosts_count;
};

/* Keeps the strings of o. Errors as ldap_pool_new. */
MUST_USE enum err
ldap_client_new(struct loop *l, const struct ldap_client_options *o, struct ldap_client **out,
	const char **err_out);
/* Questions are dropped without a call. */
void
ldap_client_free(struct ldap_client *c);
/* For ldap_pool_bind, ldap_pool_status. */
struct ldap_pool *
ldap_client_pool(struct ldap_client *c);

/* Copies q. fn is called from the loop, once; with q->many and q->stream for every page, op->more
 * true for all but the last call. op dies when fn returns. */
struct ldap_search *
ldap_search(struct ldap_client *c, const struct ldap_query *q, ldap_fn fn, void *arg);
/* fn will not be called (again). Allowed inside fn. NULL is allowed. */
void
ldap_search_cancel(struct ldap_search *s);

#endif
