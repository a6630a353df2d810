#ifndef POSTROOM_AUTH_LDAP_SEARCH_IMPL_H
#define POSTROOM_AUTH_LDAP_SEARCH_IMPL_H

#include "auth-ldap/ldap/gss.h"
#include "auth-ldap/ldap/search.h"
#include "auth-ldap/ldap/url.h"

/* What search.c (legs and pages), ranges.c (attributes in parts) and referral.c (where references
 * may lead) share. */
enum { REFERRAL_POOLS_MAX = 16 };

/* The pool of a host that a reference named. */
struct referral_pool {
	char uri[300];
	struct str uri_str; /* what the pool's options keep */
	struct ldap_pool *pool;
};

struct ldap_client {
	struct loop *loop;
	struct ldap_client_options o;
	struct ldap_gss *gss;
	struct ldap_pool *pool;
	struct list searches;
	struct ldap_search *paging; /* the one that is between pages */
	int page_size;		    /* the option, or what the servers allow of it */
	struct list paging_waiting;
	unsigned paging_waiting_count;
	struct loop_task paging_task;
	bool ending;
	struct referral_pool *referrals[REFERRAL_POOLS_MAX];
};

/* A question as one pool is asked it. In the search's query arena. */
struct leg {
	struct leg *next;
	struct ldap_pool *pool;
	struct str base, filter;
	enum ldap_scope scope;
	unsigned depth; /* references on the way here */
};

struct ldap_search {
	struct list link; /* client->searches */
	struct ldap_client *client;
	ldap_fn fn;
	void *arg;
	struct loop_task task;
	struct ldap_query q;	   /* strings in query_arena */
	struct arena *query_arena; /* lives as long as the search */
	struct arena *arena;   /* of an answer in parts, NULL before; with q.stream emptied after
				  each page */
	struct ldap_op answer; /* link, password: unused */
	char uri[sizeof((struct ldap_target *)0)->uri]; /* answer's */
	struct ldap_op *asked;				/* in a pool */
	size_t entries_count;				/* of all pages */
	/* legs */
	struct leg *legs, **legs_end, *leg;
	unsigned legs_count;
	bool referred; /* of the answer at hand */
	/* pages */
	struct list paging_link;
	struct loop_timer paging_deadline; /* of the wait for its turn */
	bool paged, paging_waits;
	struct buf page; /* cookie of the next page */
	unsigned empty_pages;
	uint64_t conn_id;
	/* ranges: the attribute that is being completed */
	struct ldap_entry **fresh; /* the first entry of the answer at hand */
	struct ldap_entry *range_entry;
	struct ldap_attr *range_attr;
	size_t range_room; /* values that range_attr has room for; 0: it is still the server's */
	uint32_t range_next;
	unsigned range_rounds;
	bool calling, cancelled;
};

/* search.c */
void
search_free(struct ldap_search *s);
/* s is gone afterwards. */
void
search_fail(struct ldap_search *s, enum err e, const char *why);
/* Every attribute of the entries at hand is whole. s may be gone afterwards. */
void
search_ranges_done(struct ldap_search *s);

/* ranges.c */

/* An attribute of e came in part. */
bool
ranges_has(const struct ldap_entry *e);
/* Complete the entries of s->answer; then search_ranges_done, or search_fail. */
void
ranges_begin(struct ldap_search *s);
/* "member;range=0-1499": plain: its name without that option (a's), from, to (UINT32_MAX: "*").
 * ERR_NOTFOUND: no such option; ERR_SYNTAX: one that is none; ERR_LIMIT: a is full. */
MUST_USE enum err
range_parse(struct arena *a, struct str name, struct str *plain_out, uint32_t *from_out,
	uint32_t *to_out);

/* referral.c */

/* The pool for a reference, made when first needed. ERR_DENIED: not allowed; ERR_LIMIT: too many
 * hosts; ERR_TEMP. */
MUST_USE enum err
referral_pool(struct ldap_client *c, const struct ldap_url *url, struct ldap_pool **out);
void
referral_pools_free(struct ldap_client *c);
/* "dc2.example.org" and "*.example.org" against a host name without its port. */
bool
referral_host_allowed(const struct str *hosts, size_t count, struct str host);

#endif
