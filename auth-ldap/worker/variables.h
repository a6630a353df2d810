#ifndef POSTROOM_AUTH_VARIABLES_H
#define POSTROOM_AUTH_VARIABLES_H

#include "auth-ldap/worker/worker.h"

/* %{user} %{local} %{domain} %{address} %{service} %{remote_ip} %{local_ip} of a question. False:
 * no such variable. */
bool
job_variable(const struct job *j, struct str name, struct str *out);
/* The values put into t, appended to out: for names that are asked about, never for SQL.
 * ERR_SYNTAX; ERR_LIMIT. */
MUST_USE enum err
job_expand(const struct job *j, struct str t, struct buf *out);

enum { QUERY_PARAMS_MAX = 16 };
/* A query as a database takes it: "SELECT a FROM b WHERE c = $1", and the values of $1 … apart. */
struct query {
	struct buf text;
	struct str params[QUERY_PARAMS_MAX];
	size_t params_count;
};
/* numbered: $1, $2 …, else "?". ERR_SYNTAX; ERR_LIMIT. query_fini either way. */
MUST_USE enum err
query_make(const struct job *j, struct str t, bool numbered, struct query *out);
void
query_fini(struct query *q);

#endif
