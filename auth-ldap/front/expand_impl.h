#ifndef POSTROOM_AUTH_EXPAND_IMPL_H
#define POSTROOM_AUTH_EXPAND_IMPL_H

#include "auth-ldap/front/expand.h"
#include "core/base/arena.h"
#include "core/base/log.h"

/* What expand.c and expand_items.c share. Not for others. */

enum {
	OUT_MAX = 8 * 1024 * 1024,
	KEY_MAX = 16 * 1024, /* of a key of what was seen */
};

enum item_kind {
	ITEM_FIRST, /* the address that was asked for */
	ITEM_ADDRESS,
	ITEM_REF,
	ITEM_CATCHALL, /* of text's domain */
	ITEM_WHO,      /* the sender who wants to post */
};

struct item {
	struct list link; /* x->todo or x->asked, x->todo_refs or x->asked_refs, or a catch-all's */
	struct expansion *x;
	struct backend_request *request;
	const struct settings_alias *alias; /* of the settings: is its domain ours? */
	bool no_alias;			    /* none of the settings counts */
	enum item_kind kind;
	unsigned depth;
	size_t backend; /* ITEM_REF: whose; otherwise: who is asked */
	bool tag_cut;
	struct str text; /* an address with its domain, or a reference */
};

struct seen {
	struct hmap_node node;
};

struct catchall {
	struct hmap_node node; /* 'c' + domain */
	struct list waiting;   /* items of unknown addresses */
	bool known, exists;
};

struct expansion {
	struct backends *b;
	size_t results_max;
	unsigned depth_max;
	enum expansion_kind kind;
	auth_fn fn;
	void *arg;
	struct arena *arena;
	struct auth_context context;
	struct list todo, asked, todo_refs, asked_refs;
	unsigned asked_count, asked_refs_count;
	struct hmap seen; /* 'd' + backend + reference, 'a' + address looked up, 'r' + address in
			     out, 'w' + what the sender is */
	struct hmap catchalls;
	struct buf out;
	size_t out_count;
	bool only_self; /* every address of out is the one that was asked for */
	bool known;	/* a backend knows the address */
	bool circle;	/* something stands for what was looked at before */
	bool allowed, for_users;
	struct name self;
	struct str owner;
	struct loop_task task;
	enum err err;
	enum auth_reason reason;
	char detail[160];
};

/* Nothing is asked any more; what was under way is cancelled. */
void
expansion_drop_items(struct expansion *x);
/* The whole ends so; the first one counts. Told from the loop. */
void
expansion_fail(struct expansion *x, enum err e, enum auth_reason reason, struct str detail);
void
expansion_fail_size(struct expansion *x);
/* Key of a kind (see seen) as looked at; true when it is new. backend: of 'd'. */
bool
expansion_mark(struct expansion *x, char kind, size_t backend, struct str key);

/* text is copied. NULL: x has failed. */
struct item *
item_new(struct expansion *x, enum item_kind kind, struct str text, unsigned depth);
/* To be asked about. */
void
item_todo(struct item *i);
/* The name that an item asks about; what was an address once is one again. */
bool
item_name(const struct item *i, struct name *out);

/* A line of the log and of the explanation about a member that does not count. */
void
expansion_left_out(struct expansion *x, enum log_level level, struct str member, const char *why);
/* Members of the depth, unless they were seen; what comes out. */
void
expansion_add_address(struct expansion *x, struct str address, unsigned depth);
void
expansion_add_ref(struct expansion *x, size_t backend, struct str ref, unsigned depth);
void
expansion_add_result(struct expansion *x, struct str address);

#endif
