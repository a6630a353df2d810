/* The lines of an explanation. Filled by the front, the backends and the LDAP pool while a question
 * with a trace is under way; printed by the admin server. */
#include "auth-ldap/backend/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"

enum { TRACE_MAX = 1024 * 1024, LINE_MAX_BYTES = 8 * 1024 };

struct trace {
	int64_t start_ms;
	bool full;
	struct buf text;
};

struct trace *
trace_new(void)
{
	struct trace *t = xcalloc(1, sizeof *t);
	t->start_ms = clock_ms();
	buf_init(&t->text, TRACE_MAX + 200);
	return t;
}

void
trace_free(struct trace *t)
{
	if (t == NULL)
		return;
	buf_fini(&t->text);
	free(t);
}

void
trace_addf(struct trace *t, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;
	if (t == NULL || t->full)
		return;
	va_start(args, format);
	int n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (n < 0)
		return;
	size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
	if (t->text.n + 4 * len > TRACE_MAX) {
		t->full = true;
		buf_addz(&t->text, "… more is left out\n");
		return;
	}
	buf_addf(&t->text, "%6lld ms  ", (long long)(clock_ms() - t->start_ms));
	buf_add_shown(&t->text, str_n(line, len));
	buf_addc(&t->text, '\n');
}

struct str
trace_text(const struct trace *t)
{
	return buf_str(&t->text);
}
