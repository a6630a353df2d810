#ifndef POSTROOM_AUTH_DIRECTORY_SECTION_IMPL_H
#define POSTROOM_AUTH_DIRECTORY_SECTION_IMPL_H

#include "auth-ldap/directory/section.h"
#include "auth-ldap/name/template.h"
#include "auth-ldap/ldap/search.h"

struct members_section; /* member_settings.c */

/* What the files of a directory section share: section.c (the backend and its requests), users.c
 * (who is a user), members.c (what an address stands for). Not for others. */

enum {
	MATCHES_SHOWN = 5, /* entries that a search for one user may find */
	FILTER_MAX = 32 * 1024,
	BASE_MAX = 8 * 1024,
	VALUE_MAX = 8 * 1024 * 1024,
};

struct section {
	struct backend base;
	struct loop *loop;
	const struct settings *settings;
	const struct settings_directory *s;
	struct ldap_client *client;
	struct str *user_attrs; /* what is read of a user; the names are the settings' */
	size_t user_attrs_count;
	struct members_section *members; /* made by the first question for members */
};

struct user_state; /* users.c */

/* A question that is being answered. */
struct backend_request {
	struct section *section;
	enum ask_kind kind;
	struct name name;  /* empty strings when the question has none */
	struct buf memory; /* other, service, remote_ip, local_ip, sid point into it */
	struct str other, service, remote_ip, local_ip, sid;
	struct buf password;
	bool secured, people; /* people: auth_question's */
	struct trace *trace;
	/* The one question under way; cancelled with the request. */
	struct ldap_search *search;
	struct ldap_op *bind;
	bool base_varies;	       /* of the search: made of the name */
	struct template_vars vars;     /* of the above; steps add home, dn, more */
	struct user_state *user;       /* freed by user_state_free */
	struct members_state *members; /* freed by members_state_free */
	bool *cancelled; /* set when r dies while its fn runs: for answers of several calls */
	/* section.c's own */
	struct loop_task task;
	struct auth_answer early;
	struct buf early_detail;
	void (*found)(struct backend_request *r, const struct ldap_op *op);
	auth_fn fn;
	void *arg;
};

/* Begin to answer, by kind; runs inside ask, so it answers with section_finish_soon at the
 * earliest. A row of the table in section.c for each kind; one without is ERR_NOTFOUND. */
typedef void (*section_fn)(struct backend_request *r);
void
section_login(struct backend_request *r); /* users.c */
void
section_user(struct backend_request *r); /* users.c: ASK_USER, ASK_ADDRESS */
void
section_certificate(struct backend_request *r); /* users.c */
void
section_secret(struct backend_request *r); /* users.c */
void
section_master(struct backend_request *r); /* users.c */
void
section_list(struct backend_request *r); /* users.c */
void
section_domain(struct backend_request *r); /* users.c */

/* An answer with nothing else in it. */
struct auth_answer
section_answer(enum err e, enum auth_reason reason, struct str detail);
/* Answer and free r. Not inside ask. */
void
section_finish(struct backend_request *r, const struct auth_answer *a);
void
section_finish_error(
	struct backend_request *r, enum err e, enum auth_reason reason, struct str detail);
/* The same from the loop; detail is copied. */
void
section_finish_soon(
	struct backend_request *r, enum err e, enum auth_reason reason, struct str detail);
/* ERR_OK with value, which must live as long as r. */
void
section_finish_value_soon(struct backend_request *r, struct str value);
/* ERR_TEMP with what the directory said. */
void
section_finish_failed(struct backend_request *r, const struct ldap_op *op);

/* A search with templates, traced; fn gets every answer, also a failed one. One at a time (r->op).
 * What cannot be expanded ends r with an error. */
struct section_search {
	struct str base;       /* template; empty: the settings' base */
	bool base_is_dn;       /* base as it is, not a template */
	bool entry_only;       /* the base itself, whatever scope says */
	struct str filter;     /* template */
	enum template_use use; /* of the filter: TEMPLATE_FILTER or TEMPLATE_ALL */
	const struct str *attrs;
	size_t attrs_count;
	int size_limit; /* 0: none */
	bool many; /* a long list; fn is called for each part, op->more with all but the last */
};
void
section_search(struct backend_request *r, const struct section_search *q,
	void (*fn)(struct backend_request *r, const struct ldap_op *op));
/* The answer says that its base is not there, and no wonder: it was made of the name. Of a base
 * that the settings spell out it is a mistake of theirs, ERR_TEMP. */
bool
section_no_base(const struct backend_request *r, const struct ldap_op *op);
/* Where searches of a kind start, appended to out: kind_base ("" for base) with the variables of v.
 * ERR_DENIED: a value is missing; ERR_LIMIT. */
MUST_USE enum err
section_base(const struct section *s, struct str kind_base, const struct template_vars *v,
	struct buf *out);
/* The lines of explanation for a search that a file sent by itself. */
void
section_trace_search(struct backend_request *r, const struct ldap_op *op);

/* The user's canonical name out of an entry: user_attribute or its fallback, with the section's
 * domain where it has none. ERR_NOTFOUND: neither is there; ERR_DENIED: several values, or one that
 * is no name. */
MUST_USE enum err
entry_user(const struct section *s, const struct ldap_entry *e, struct name *out);
/* The domain of names without one: auth.default_domain, or the section's first when it lists
 * domains and not that one. */
struct str
section_domain_default(const struct section *s);
bool
section_lists_domain(const struct section *s, struct str domain);

/* entry.c: section->user_attrs out of the settings. */
void
section_user_attrs(struct section *s);
/* The user that an entry describes. ERR_OK: out, one reference the caller's; ERR_NOTFOUND: it has
 * no name; ERR_DENIED: a value that cannot be used, which one in why: reason_out is REASON_ENTRY,
 * or REASON_HOME and out is the user without a home. e may be NULL: a user of that name and dn of
 * whom no more is known. */
MUST_USE enum err
entry_to_user(const struct section *s, const struct ldap_entry *e, const struct name *name,
	struct str dn, struct auth_user **out, bool *home_given_out, enum auth_reason *reason_out,
	struct buf *why);

void
user_state_free(struct user_state *u);

#endif
