#ifndef POSTROOM_AUTH_DIRECTORY_MEMBERS_IMPL_H
#define POSTROOM_AUTH_DIRECTORY_MEMBERS_IMPL_H

#include "auth-ldap/directory/members.h"
#include "auth-ldap/directory/result.h"
#include "core/base/arena.h"
#include "core/base/list.h"

/* What members.c, entry_members.c, member_batch.c, rights.c and transport.c share. Not for others.
 */

enum { ENTRIES_MAX = 1000 /* with one address */ };

/* References, the values of MEMBER_REF: a DN, an LDAP URL, or one of these and a value. A DN begins
 * with neither. */
#define REF_NAME   "name:"    /* a value of member_name_attributes */
#define REF_FILTER "members:" /* a group's DN, for members_filter */

/* One search of a request; several may be under way. */
struct probe {
	struct list link; /* members_state.probes */
	struct backend_request *r;
	struct ldap_search *search;
	bool owner; /* asks for a group's owner, not for members */
};

struct members_state {
	struct arena *arena;
	struct auth_member *v;
	size_t n, cap;
	struct str owner;
	struct list probes;
	size_t entries; /* that matched */
	bool by_dn, by_filter;
	bool restricted; /* ASK_POST: not everyone may */
	/* the first thing that went wrong */
	enum err err;
	enum auth_reason reason;
	struct str detail;
	/* what to do with an entry, and at the end of all searches */
	void (*take)(struct backend_request *r, const struct ldap_entry *e);
	void (*done)(struct backend_request *r);
	/* member_batch.c */
	struct list wait; /* in the queue, or in a batch */
	struct batch *batch;
	struct backend_request *r;
	struct str dn;
	struct str siblings, key; /* type and parent, and with the value: equal for one entry */
	struct str rdn_value;	  /* unescaped; no siblings: not to be asked with others */
};

/* Of one section: made with its first question. */
struct members_section {
	struct str *attrs; /* what every search asks for */
	size_t attrs_count;
	bool in_chain; /* members_filter looks into groups by itself */
	struct batches *batches;
	uint64_t batches_count, searches_count;
	int64_t single_ms; /* what the last other search took: how far away the directory is */
};

/* ---- member_settings.c ---- */

struct members_section *
members_section_new(const struct settings_directory *s);

/* ---- members.c ---- */

/* r->members, made; the section's part too. */
void
members_begin(struct backend_request *r,
	void (*take)(struct backend_request *r, const struct ldap_entry *e),
	void (*done)(struct backend_request *r));
/* A search in r's name: take for each entry, done when no search is under way. filter: expanded. */
void
members_search(struct backend_request *r, struct str base, enum ldap_scope scope, struct str filter,
	int size_limit, bool many);
/* The same with templates of the settings, below user_base and group_base; as one search where
 * these are the same. A filter may be empty: nobody matches it. */
void
members_search_pair(struct backend_request *r, struct str user_filter, struct str group_filter);
/* Answer with what was found; entries 0: ERR_NOTFOUND. */
void
members_finish(struct backend_request *r);
void
members_fail(struct members_state *m, enum err e, enum auth_reason reason, struct str detail);
/* value is copied. */
void
members_add(struct members_state *m, enum member_kind kind, struct str value);
/* prefix and value together. */
void
members_add_prefixed(
	struct members_state *m, enum member_kind kind, struct str prefix, struct str value);
bool
value_is_url(struct str v);
/* value, which stands where a URL of members does (dn: in that entry), is none. */
void
log_no_url(const struct backend_request *r, struct str dn, struct str value);
/* A value that may be a DN, an LDAP URL, an address or a name. False: none of them. */
bool
members_add_any(struct members_state *m, struct str value);

/* ---- entry_members.c ---- */

bool
entry_is_group(const struct section *s, const struct ldap_entry *e);
/* TRUE, yes, on or 1. */
bool
entry_flag(const struct ldap_entry *e, struct str attribute);
/* What e stands for, into r->members. */
void
entry_members(struct backend_request *r, const struct ldap_entry *e);
/* Is host, a value of mail_host_attribute, this server? */
bool
host_is_local(const struct section *s, struct str host);
/* A value that looks like a DN and not like an address. */
bool
value_is_dn(struct str v);

/* ---- member_batch.c ---- */

/* Asks for the entry r->members->dn, together with others: take (unless there is no such entry),
 * then done. */
void
batch_add(struct backend_request *r);
void
batch_remove(struct members_state *m);
void
batches_free(struct batches *b);

#endif
