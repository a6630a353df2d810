#ifndef POSTROOM_AUTH_MEMORY_H
#define POSTROOM_AUTH_MEMORY_H

#include "auth-ldap/front/backends.h"
#include "auth-ldap/front/cache.h"
#include "auth-ldap/front/expand.h"

/* Questions to the backends, out of memory where that is allowed: answers are remembered by the
 * rules of the settings (auth.cache_*, wrong_password_ttl, outage_*), and a question that is under
 * way already is not asked twice. */
struct memory;

/* What is asked. Each has its own place in memory. */
enum memory_kind {
	MEMORY_LOGIN,	    /* name, password */
	MEMORY_USER,	    /* name */
	MEMORY_ADDRESS,	    /* name */
	MEMORY_CERTIFICATE, /* other */
	MEMORY_MASTER,	    /* name: whom to act as, other, only */
	MEMORY_DOMAIN,	    /* name */
	MEMORY_ALIAS,	    /* name: value, owner */
	MEMORY_SENDER,	    /* name */
	MEMORY_TRANSPORT,   /* name */
	MEMORY_POST,	    /* name, other */
	MEMORY_KINDS
};

struct memory_question {
	enum memory_kind kind;
	bool whole_only;	 /* MEMORY_ADDRESS: with its tag, or not at all */
	const struct name *name; /* NULL where none is named */
	struct str password;
	struct str other;
	const struct backend *only;
	const struct auth_context *context;
	int64_t max_age_ms; /* a remembered answer must not be older; 0: as the settings say */
	bool anew;	    /* no remembered answer, but in an outage */
};

enum memory_from {
	FROM_BACKENDS,
	FROM_MEMORY, /* fresh enough */
	FROM_OUTAGE, /* old, but no backend answers */
	FROM_WRONG,  /* the same wrong password as a short while ago */
	/* the backends refused it again, and it was known to be wrong; or it is one of several
	 * that they refused at once */
	FROM_REPEATED,
	/* no backend answers, and it is not the password that was right last */
	FROM_OUTAGE_WRONG
};
typedef void (*memory_fn)(void *arg, const struct auth_answer *a, enum memory_from from);

struct memory *
memory_new(struct loop *l, const struct settings *s);
/* No question is left. */
void
memory_free(struct memory *m);
/* Keeps s. */
void
memory_set(struct memory *m, const struct settings *s);

/* One question under way; embedded in who asks. */
struct asking {
	struct list link; /* of the flight's askings */
	struct flight *flight;
	struct memory *memory;
	memory_fn fn;
	void *arg;
	/* An answer that is there already is told from the loop. */
	struct loop_task task;
	struct auth_answer answer;
	struct auth_user *user;
	struct buf value;
	enum memory_from from;
	int64_t age_ms; /* FROM_OUTAGE: of the answer */
};

/* fn is called once, from the loop; b are the backends that are asked. Borrows q. A question with
 * a trace is asked of the backends whatever is remembered. */
void
memory_ask(struct memory *m, struct backends *b, const struct memory_question *q, struct asking *k,
	memory_fn fn, void *arg);
/* fn will not be called. Safe on one that has ended or is zeroed. */
void
memory_cancel(struct asking *k);

/* Everything about the user is forgotten. Empty: everything at all. Returns how many answers. */
size_t
memory_forget(struct memory *m, struct str user);
/* "cache entries=… bytes=… hits=… misses=… joined=…\n" */
void
memory_status(const struct memory *m, struct buf *out);

/* Milliseconds; tests set their own clock, NULL: clock_ms. */
void
memory_set_clock(struct memory *m, int64_t (*now_ms)(void));

#endif
