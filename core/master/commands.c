/* The table of subcommands; main.c walks it. Invariant: help, usage and dispatch come from these
 * rows alone. */
#include "core/master/commands.h"

#include <limits.h>

const struct command commands[] = {
	{ "serve", "", "run the mail server in the foreground", command_serve, 0, 0 },
	{ "check", "[--online]",
		"try the configuration file and the files it names; --online: the directories too",
		command_check, 0, 1 },
	{ "config", "[-n]", "print every setting; -n: only what differs from its default",
		command_config, 0, 1 },
	{ "reload", "", "let a running server read its configuration again", command_reload, 0, 0 },
	{ "stop", "", "stop a running server and wait until it ended", command_stop, 0, 0 },
	{ "lookup", "[-q] MAP KEY",
		"explain: user, domain, mailbox, alias, sender, transport, post, owner",
		command_lookup, 2, 3 },
	{ "auth",
		"test [--as-service imap] [--from ADDRESS] [--as USER] [--no-password] [-q] USER\n"
		"status\n"
		"forget USER | ADDRESS | --all",
		"try a login step by step; servers, caches and blocks; forget", command_auth, 1,
		10 },
	{ "pw", "[-s SCHEME | -t HASH | -l]",
		"make the hash of a password; -t: try one; -l: list the schemes", command_pw, 0,
		2 },
	{ "queue",
		"list [--json]\n"
		"show [--json] ID...\n"
		"hold | release | retry | delete ID...\n"
		"flush",
		"what waits and why; hold, release, try now, delete", command_queue, 1, INT_MAX },
	{ "store", "check [--repair] USER | --home PATH",
		"read a user's mail store whole and say what is wrong with it", command_store, 2,
		4 },
	{ NULL, NULL, NULL, NULL, 0, 0 },
};

void
command_print_usage(FILE *to, const struct command *c)
{
	struct str rest = str_of(c->usage), line;

	do {
		(void)str_cut(rest, '\n', &line, &rest);
		(void)fprintf(to, "%s postroom %s%s%.*s\n",
			line.p == c->usage ? "usage:" : "      ", c->name, line.n > 0 ? " " : "",
			STR_FMT(line));
	} while (rest.n > 0);
}

int
command_usage(const char *name)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (str_eq(str_of(c->name), str_of(name)))
			command_print_usage(stderr, c);
	return EXIT_USAGE;
}

struct settings *
command_settings(const struct command_args *a, bool read_files)
{
	struct settings *s = NULL;
	struct buf why;
	enum err e;

	buf_init(&why, 64 * 1024);
	e = settings_load(a->config, read_files, &s, &why);
	if (e != ERR_OK) {
		if (why.n == 0)
			buf_addf(&why, "%s: %s\n", a->config, err_name(e));
		(void)fwrite(buf_str(&why).p, 1, why.n, stderr);
		s = NULL;
	}
	buf_fini(&why);
	return s;
}
