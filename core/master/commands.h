#ifndef POSTROOM_MASTER_COMMANDS_H
#define POSTROOM_MASTER_COMMANDS_H

#include <stdio.h>

#include "config/settings.h"

/* The subcommands of `postroom`: one row each, one small file each. */
struct command_args {
	const char *config; /* --config FILE, or the default path */
	int argc;	    /* what stands behind the command's name */
	char **argv;
};

struct command {
	const char *name;  /* "lookup" */
	const char *usage; /* "MAP KEY"; several lines: several ways to use it */
	const char *help;  /* one line */
	/* The exit status. args_min and args_max were checked. */
	int (*fn)(const struct command_args *a);
	int args_min, args_max;
};

/* Ends with a row whose name is NULL. */
extern const struct command commands[];
/* How to use the command of this name, to stderr. Returns EXIT_USAGE. */
int
command_usage(const char *name);
void
command_print_usage(FILE *to, const struct command *c);

/* Exit statuses beside 0 and 1; sysexits.h has the same numbers, but for usage. */
enum { EXIT_USAGE = 2, EXIT_UNAVAILABLE = 69, EXIT_TEMPFAIL = 75, EXIT_CONFIG = 78 };

int
command_serve(const struct command_args *a);
int
command_check(const struct command_args *a);
int
command_config(const struct command_args *a);
int
command_reload(const struct command_args *a);
int
command_stop(const struct command_args *a);
int
command_lookup(const struct command_args *a);
int
command_auth(const struct command_args *a);
int
command_queue(const struct command_args *a);
int
command_pw(const struct command_args *a);
int
command_store(const struct command_args *a);

/* The settings, or NULL after the errors went to stderr. read_files: secrets and certificates
 * too. Returned owned. */
struct settings *
command_settings(const struct command_args *a, bool read_files);

#endif
