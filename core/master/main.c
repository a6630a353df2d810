/* The program `postroom`: options, then one row of the command table. */
#include "config.h"

#include <signal.h>
#include <stdio.h>

#include "core/master/commands.h"

static void
print_help(FILE *to)
{
	(void)fprintf(to, "usage: postroom [--config FILE] COMMAND [ARGUMENTS]\n\n");
	for (const struct command *c = commands; c->name != NULL; c++)
		(void)fprintf(to, "  %-8s %s\n", c->name, c->help);
	(void)fprintf(to,
		"\n  --config FILE   instead of " POSTROOM_SYSCONFDIR "/postroom/postroom.conf\n"
		"  --version       print the version\n"
		"  --help          print this; behind a command: how to use it\n");
}

/* Takes --config out of the arguments, wherever it stands. False: its value is missing. */
static bool
take_config(int *argc, char **argv, const char **config)
{
	static const char option[] = "--config";
	int kept = 1;

	for (int i = 1; i < *argc; i++) {
		struct str arg = str_of(argv[i]);
		if (str_eq(arg, STR("--config")) || str_eq(arg, STR("-c"))) {
			if (i + 1 >= *argc)
				return false;
			*config = argv[++i];
		} else if (str_starts(arg, STR("--config="))) {
			*config = argv[i] + sizeof option;
		} else {
			argv[kept++] = argv[i];
		}
	}
	*argc = kept;
	return true;
}

static const struct command *
find(struct str name)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (str_eq(name, str_of(c->name)))
			return c;
	return NULL;
}

static bool
is_help(const char *arg)
{
	return str_eq(str_of(arg), STR("--help")) || str_eq(str_of(arg), STR("-h"));
}

static bool
wants_help(const struct command_args *a)
{
	for (int i = 0; i < a->argc; i++)
		if (is_help(a->argv[i]))
			return true;
	return false;
}

static int
run(const struct command *c, const struct command_args *a)
{
	if (wants_help(a)) {
		command_print_usage(stdout, c);
		(void)printf("\n%s; see postroom(8)\n", c->help);
		return 0;
	}
	if (a->argc < c->args_min || a->argc > c->args_max) {
		command_print_usage(stderr, c);
		return EXIT_USAGE;
	}
	return c->fn(a);
}

/* `mailq [--json]`, a link to us, is `postroom queue list`. */
static bool
is_mailq(const char *path)
{
	struct str name = str_of(path);
	size_t slash = str_rchr(name, '/');

	return str_eq(slash < name.n ? str_from(name, slash + 1) : name, STR("mailq"));
}

static int
mailq(struct command_args *a, int argc, char **argv)
{
	static char list[] = "list";

	a->argc = argc;
	a->argv = argv;
	argv[0] = list;
	return run(find(STR("queue")), a);
}

int
main(int argc, char **argv)
{
	struct command_args a = { .config = POSTROOM_SYSCONFDIR "/postroom/postroom.conf" };
	const struct command *c;

	(void)signal(SIGPIPE, SIG_IGN);
	if (!take_config(&argc, argv, &a.config)) {
		(void)fprintf(stderr, "postroom: --config needs a file\n");
		return EXIT_USAGE;
	}
	if (argc > 0 && is_mailq(argv[0]))
		return mailq(&a, argc, argv);
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (str_eq(str_of(argv[1]), STR("--version"))) {
		(void)printf("postroom " PACKAGE_VERSION "\n");
		return 0;
	}
	if (is_help(argv[1]) || str_eq(str_of(argv[1]), STR("help"))) {
		print_help(stdout);
		return 0;
	}
	c = find(str_of(argv[1]));
	if (c == NULL) {
		(void)fprintf(
			stderr, "postroom: no command %s; postroom --help lists them\n", argv[1]);
		return EXIT_USAGE;
	}
	a.argc = argc - 2;
	a.argv = argv + 2;
	return run(c, &a);
}
