#ifndef POSTROOM_AUTH_TRACE_H
#define POSTROOM_AUTH_TRACE_H

#include "core/base/buf.h"

/* An explanation in the making (`postroom lookup`, `postroom auth test`): each step of a question,
 * one line, with the milliseconds since its begin. Questions carry a pointer to it that is NULL
 * when nobody asked why; every function takes that NULL. Never a password. */
struct trace;

struct trace *
trace_new(void);
void
trace_free(struct trace *t);
/* "3 ms  directory main: search …" is appended; control characters are shown as "\xx". Beyond
 * 1 MiB one line says that more is missing. */
void
trace_addf(struct trace *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The lines so far, each with LF. Dies with the next call. */
struct str
trace_text(const struct trace *t);

#endif
