#ifndef POSTROOM_STORE_CHECK_H
#define POSTROOM_STORE_CHECK_H

#include "config/settings.h"

/* Reads one home whole and says what is wrong with it. Blocking: for admin commands, tests, and
 * never in a process that has the home open. */
struct check_options {
	int64_t age_sec;     /* of an orphan; 0: the hour; -1: any, for tests */
	bool repair_orphans; /* unlink message files that nothing names, older than an hour */
	bool read_bodies; /* compare every file's size with its record (stat), else existence only
			   */
};
struct check_counts {
	uint64_t mailboxes, messages, entries, files, problems, orphans_removed;
};
/* kind: a word such as "body-missing"; text: one line with the ids. Both die with the call. */
typedef void (*check_fn)(void *arg, const char *kind, const char *text);

/* ERR_OK: read to the end, problems are counted; ERR_NOTFOUND: no home there; ERR_CORRUPT: the
 * index cannot be read; ERR_TEMP. */
MUST_USE enum err
store_check(const char *home, const struct check_options *o, check_fn report, void *arg,
	struct check_counts *out);

#endif
