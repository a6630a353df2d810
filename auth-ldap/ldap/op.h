#ifndef POSTROOM_AUTH_LDAP_OP_H
#define POSTROOM_AUTH_LDAP_OP_H

#include "auth-ldap/ldap/reason.h"
#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/list.h"

/* Questions to a directory server and their answers. */

struct ldap_attr {
	struct str name; /* as the server wrote it, with options: "mail;lang-de" */
	struct str *values;
	size_t count;
};

struct ldap_entry {
	struct ldap_entry *next;
	struct str dn;
	struct ldap_attr *attrs;
	size_t attrs_count;
};

/* The values of an attribute, by name without regard to case: the attribute of exactly that name,
 * otherwise the first one with options ("mail;lang-de" for "mail"); NULL: none. Names of ranges
 * ("member;range=0-1499") are found too: ldap/search.h makes them whole. */
const struct ldap_attr *
ldap_entry_attr(const struct ldap_entry *e, struct str name);
/* The same, but where there is no exact match the values of all with that base name together.
 * Empty values: none. False: a's maximum is reached. The values are e's. */
MUST_USE bool
ldap_entry_values(
	struct arena *a, const struct ldap_entry *e, struct str name, struct ldap_attr *out);
/* A deep copy; NULL: a's maximum is reached. */
struct ldap_entry *
ldap_entry_copy(struct arena *a, const struct ldap_entry *e);

/* "Ask elsewhere": the URIs of a referral or of a continuation reference, one of which serves. */
struct ldap_reference {
	struct ldap_reference *next;
	struct str *uris;
	size_t count;
};

enum ldap_op_type { LDAP_OP_SEARCH, LDAP_OP_BIND };

enum ldap_scope {
	SCOPE_SUB,  /* the base and all below it */
	SCOPE_BASE, /* the base itself */
	SCOPE_ONE,  /* its children */
};

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
	enum ldap_scope scope;
	char **attrs;	 /* ends with NULL */
	int size_limit;	 /* 0: none */
	int page_size;	 /* 0: no paging; RFC 2696 */
	struct str page; /* cookie of the page before; answer: of the next one, empty at the end */
	/* bind */
	struct str dn;
	struct buf password;
	/* answer */
	struct ldap_entry *entries, **entries_end;
	size_t entries_count;
	struct ldap_reference *references; /* continuations, and the referral of ERR_NOTFOUND */
	size_t references_count;
	bool referred;	  /* the base is not here but at references, so nobody has looked */
	bool more;	  /* ldap/search.h: another call of fn follows */
	uint64_t conn_id; /* the connection that answered */
	struct ldap_bind_facts facts; /* bind: why, and what else was said; ldap/reason.h */
	enum err err;	 /* ERR_OK, ERR_LIMIT (size limit: entries is a part), ERR_NOTFOUND (no such
			    base), ERR_DENIED (bind refused), ERR_TEMP */
	int code;	 /* LDAP result code, for the log */
	const char *uri; /* who answered, or was asked last; NULL: nobody. Of the arena */
	int64_t ms;	 /* from the question to its end, the wait for a connection included */
	char text[256];	 /* the server's diagnostic, or ours */
};

#endif
