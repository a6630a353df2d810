#ifndef POSTROOM_AUTH_WORKER_H
#define POSTROOM_AUTH_WORKER_H

#include "auth-ldap/backend/worker_wire.h"
#include "auth-ldap/name/name.h"
#include "config/settings.h"

/* postroom-authworker: a helper process of auth that answers one question at a time and may block
 * while it does. One file for each kind of section; main.c has the socket. */
struct job {
	const struct settings *settings;
	const struct worker_question *q;
	size_t index;	     /* of the section q->section, q->title */
	struct name name;    /* q->user; not for domains and lists */
	struct arena *arena; /* of this question */
	struct buf *out;     /* lines of the answer */
	/* Sends what is in out and empties it: called when much is there. */
	enum err (*flush)(struct job *j);
	void *arg;
	enum auth_reason reason; /* of the end */
	struct buf detail;
};

/* ERR_OK, ERR_NOTFOUND, ERR_DENIED or ERR_TEMP; reason and detail are set with the last two. */
MUST_USE enum err
passwd_file_answer(struct job *j);
MUST_USE enum err
pam_answer(struct job *j);
MUST_USE enum err
sql_answer(struct job *j);
/* Drops what these keep between questions. */
void
passwd_file_fini(void);
void
sql_fini(void);

/* All of a question: the lines of its answer, the end included, are in j->out or were flushed.
 * settings, q, arena, out, flush and arg are given. ERR_TEMP: flush failed. */
MUST_USE enum err
job_run(struct job *j);

/* Lines of the answer. ERR_TEMP: nobody reads any more. */
MUST_USE enum err
job_user(struct job *j, const struct worker_user *u);
MUST_USE enum err
job_value(struct job *j, struct str value);
/* Sets reason and detail, returns e. */
enum err
job_fail(struct job *j, enum err e, enum auth_reason reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A user with a stored password, out of a file's line or a database's row. */
struct account {
	struct worker_user user;
	struct str password; /* "{SCHEME}hash" */
};
void
account_init(struct account *a);
/* One named value: user password home quota display_name mail_host aliases services networks
 * enabled nologin expires. Keeps value. An empty one is the same as none. ERR_NOTFOUND: no such
 * name; ERR_SYNTAX: no value of it. */
MUST_USE enum err
account_set(struct account *a, struct str key, struct str value);
/* The answer to a question that is about this user: login, user, address, secret, members,
 * sender. */
MUST_USE enum err
account_answer(struct job *j, const struct account *a, struct str default_scheme);

/* "2027-01-31", "2027-01-31 12:00:00…" (UTC) or seconds since 1970. */
MUST_USE enum err
account_time(struct str s, int64_t *out);

#endif
