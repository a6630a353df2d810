#ifndef POSTROOM_IMAP_THREAD_JOB_H
#define POSTROOM_IMAP_THREAD_JOB_H

#include "imap/search/result.h"

/* THREAD of what was found: ids and subjects from the index, some messages at a step, then the
 * threads (thread.h), then the answer. RFC 5256 3, 4. */
struct thread_job;

/* Returned owned. */
struct thread_job *
thread_job_new(struct imap_session *s, const struct args_search *a, const struct search_result *r);
void
thread_job_free(struct thread_job *j); /* NULL is allowed */
/* ERR_AGAIN: call it again at the next step. Messages that are gone meanwhile are left out, and
 * *missing is set. ERR_LIMIT, ERR_TEMP, ERR_CORRUPT. */
MUST_USE enum err
thread_job_run(struct imap_session *s, struct cmd *c, struct thread_job *j, bool *missing);
/* STEP_MORE until the whole line is said. */
enum step
thread_job_say(struct imap_session *s, const struct cmd *c, struct thread_job *j);

#endif
