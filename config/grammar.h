#ifndef POSTROOM_CONFIG_GRAMMAR_H
#define POSTROOM_CONFIG_GRAMMAR_H

#include "config/rows.h"
#include "config/scan.h"

/* libConfuse behind one call: the text of a file into the values that it gives. */
struct grammar_sink {
	/* Called for every titled section once, in order, before its values. */
	void (*section)(void *arg, const struct setting_section *section, struct str title);
	/* Values die with the call. instance counts the titled sections of one kind. */
	void (*value)(void *arg, const struct setting_section *section, size_t instance,
		const struct setting_row *row, const struct str *values, size_t count);
	void *arg;
};

/* text: as scan_new left it (no comments). ERR_SYNTAX with "path:line: reason" in err_out. */
MUST_USE enum err
grammar_parse(
	const char *path, struct str text, const struct grammar_sink *sink, struct buf *err_out);

#endif
