#ifndef POSTROOM_TESTS_SMTP_SAY_H
#define POSTROOM_TESTS_SMTP_SAY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/smtp_fakes.h"

/* A session with the server of smtp_fakes.h, one line and its answer at a time. */

/* The last line of what came back, without its end. */
UNUSED static struct str
last_line(void)
{
	struct str out = buf_str(&fakes.output);
	size_t at;

	out.n -= out.n > 1 ? 2 : 0;
	at = str_rchr(out, '\n');
	return at < out.n ? str_from(out, at + 1) : out;
}

/* Sends what, in pieces of step (0: at once), and runs until the last line of what comes back
 * begins with want. */
UNUSED static void
say_bytes(struct str what, size_t step, const char *want)
{
	buf_reset(&fakes.output);
	fakes_send(what, step);
	for (int i = 0; i < 2000; i++) { /* a loaded machine takes longer */
		if (str_starts(last_line(), str_of(want)))
			return;
		if (fakes.client < 0)
			break;
		fakes_run(5);
	}
	fail_msg("%.*s\ngot  %.*s\nwant %s", STR_FMT(what), STR_FMT(last_line()), want);
}

UNUSED static void
say(const char *what, const char *want)
{
	say_bytes(str_of(what), 0, want);
}

#endif
