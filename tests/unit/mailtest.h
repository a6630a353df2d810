#ifndef POSTROOM_TESTS_MAILTEST_H
#define POSTROOM_TESTS_MAILTEST_H

/* What the core/mail tests share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/buf.h"

/* Says which row of a table failed. */
static inline void
check_text(struct str got, const char *want, const char *what)
{
	if (str_eq(got, str_of(want)))
		return;
	print_error("%s\n   got \"%.*s\"\n  want \"%s\"\n", what, STR_FMT(got), want);
	fail();
}

#endif
