#ifndef POSTROOM_CONFIG_SCAN_H
#define POSTROOM_CONFIG_SCAN_H

#include "core/base/buf.h"

/* A first look at the text of a configuration file, for what libConfuse 3.3 lets
 * pass or tells wrongly: a setting or section given twice, a section that is
 * never closed, "+=", and line numbers (each comment moves them by two). */
struct scan;

/* Reads text. clean_out gets the same text with comments blanked, line for line, for the
 * real parser. ERR_SYNTAX with "path:line: reason" added to err_out; the scan is made
 * all the same. Returned owned. */
MUST_USE enum err
scan_new(const char *path, struct str text, struct buf *clean_out, struct buf *err_out,
	struct scan **out);
void
scan_free(struct scan *s);

/* Line of a setting: section "" and title empty for those outside any. 0 when not given. */
unsigned
scan_line(const struct scan *s, struct str section, struct str title, struct str name);

#endif
