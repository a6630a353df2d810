#ifndef POSTROOM_AUTH_WORKERS_H
#define POSTROOM_AUTH_WORKERS_H

#include "auth-ldap/backend/worker_wire.h"

/* The connections to the helper processes (see kinds.h), as the backends use them. */
struct worker_section; /* whose questions share a part of the helpers */
struct worker_ask;

/* Called for each line of an answer, from the loop; the last one is WORKER_END, made here with
 * ERR_TEMP when no helper could answer. After it, and after workers_cancel, nothing more comes.
 * Borrowed during the call. */
typedef void (*worker_fn)(void *arg, const struct worker_answer *a);

struct worker_section *
workers_section_new(struct workers *w);
/* No question of it is left. */
void
workers_section_free(struct worker_section *s);

struct loop *
workers_loop(const struct workers *w);

/* Copies q; its id is given here. */
struct worker_ask *
workers_ask(struct worker_section *s, const struct worker_question *q, worker_fn fn, void *arg);
void
workers_cancel(struct worker_ask *a);
/* Questions of s that wait, and that a helper works on. */
void
workers_section_load(const struct worker_section *s, size_t *queued_out, size_t *busy_out);

#endif
