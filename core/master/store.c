/* `postroom store check [--repair] [--home PATH | USER]`: reads one home whole and says what is
 * wrong with it. A user is asked for at auth-userdb; as root it becomes the mail user before it
 * opens anything. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/authclient/userdb.h"
#include "core/event/loop.h"
#include "core/master/commands.h"
#include "core/master/system.h"
#include "core/store/check.h"

struct wanted {
	bool repair;
	const char *home, *user;
};

struct answer {
	struct loop *loop;
	enum err e;
	char *home;
};

static bool
parse(const struct command_args *a, struct wanted *w)
{
	if (a->argc < 2 || !str_eq(str_of(a->argv[0]), STR("check")))
		return false;
	for (int i = 1; i < a->argc; i++) {
		struct str arg = str_of(a->argv[i]);

		if (str_eq(arg, STR("--repair")))
			w->repair = true;
		else if (str_eq(arg, STR("--home")) && i + 1 < a->argc)
			w->home = a->argv[++i];
		else if (!str_starts(arg, STR("--")) && w->user == NULL)
			w->user = a->argv[i];
		else
			return false;
	}
	return (w->home == NULL) != (w->user == NULL);
}

static void
on_user(void *arg, enum err e, const struct userdb_user *u)
{
	struct answer *a = arg;

	a->e = e;
	if (e == ERR_OK)
		a->home = str_dup(u->home);
	loop_stop(a->loop);
}

/* The home of a user, or NULL after a line on stderr. */
static char *
find_home(const struct settings *s, const char *user, int *status_out)
{
	struct answer a = { .loop = loop_new(), .e = ERR_TEMP };
	struct buf address;

	buf_init(&address, 4096);
	buf_addf(&address, "unix:%.*s/auth-userdb", STR_FMT(s->runtime_dir));
	struct userdb *u = userdb_new(a.loop, buf_str(&address));

	(void)userdb_lookup(u, str_of(user), STR("imap"), on_user, &a);
	loop_run(a.loop);
	userdb_free(u);
	loop_free(a.loop);
	buf_fini(&address);
	if (a.e == ERR_OK && a.home[0] == '\0')
		a.e = ERR_NOTFOUND;
	if (a.e == ERR_OK)
		return a.home;
	free(a.home);
	(void)fprintf(stderr, "postroom: %s: %s\n", user,
		a.e == ERR_NOTFOUND ? "no such user"
				    : "the auth service does not answer (is the server running? "
				      "without it: --home PATH)");
	*status_out = a.e == ERR_NOTFOUND ? 1 : EXIT_UNAVAILABLE;
	return NULL;
}

/* Root's files in a home would lock out those who serve it. */
static bool
become_mail_user(const struct settings *s)
{
	uid_t uid;

	if (geteuid() != 0)
		return true;
	if (system_uid(s->user_mail, &uid) != ERR_OK) {
		(void)fprintf(stderr, "postroom: there is no user %.*s\n", STR_FMT(s->user_mail));
		return false;
	}
	struct passwd *pw = getpwuid(uid);
	gid_t gid = pw != NULL ? pw->pw_gid : (gid_t)uid;

	if (uid == 0)
		return true;
	if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0 ||
		setresuid(uid, uid, uid) != 0) {
		(void)fprintf(stderr, "postroom: giving up root: %s\n", strerror(errno));
		return false;
	}
	return true;
}

static void
on_problem(void *arg, const char *kind, const char *text)
{
	(void)arg;
	(void)printf("%s: %s\n", kind, text);
}

static int
check_home(const char *home, bool repair)
{
	const struct check_options o = { .repair_orphans = repair, .read_bodies = true };
	struct check_counts n;
	enum err e = store_check(home, &o, on_problem, NULL, &n);

	if (e == ERR_NOTFOUND) {
		(void)fprintf(stderr, "postroom: no mail at %s yet\n", home);
		return 1;
	}
	if (e != ERR_OK) {
		(void)fprintf(stderr, "postroom: %s cannot be checked: %s\n", home, err_name(e));
		return e == ERR_CORRUPT ? 1 : EXIT_TEMPFAIL;
	}
	(void)printf("%s: %llu mailboxes, %llu messages, %llu entries, %llu files, %llu problems",
		home, (unsigned long long)n.mailboxes, (unsigned long long)n.messages,
		(unsigned long long)n.entries, (unsigned long long)n.files,
		(unsigned long long)n.problems);
	if (n.orphans_removed > 0)
		(void)printf(", %llu orphans removed", (unsigned long long)n.orphans_removed);
	(void)printf("\n");
	return n.problems == 0 || n.orphans_removed == n.problems ? 0 : 1;
}

int
command_store(const struct command_args *a)
{
	struct wanted w = { .repair = false };
	struct settings *s = NULL;
	int status = 1;

	if (!parse(a, &w)) {
		return command_usage("store");
	}
	/* For a path, only root needs to know more: whom to become. */
	if (w.user != NULL || geteuid() == 0) {
		s = command_settings(a, false);
		if (s == NULL)
			return EXIT_CONFIG;
	}
	char *home = w.home != NULL ? str_dup(str_of(w.home)) : find_home(s, w.user, &status);

	if (home != NULL && become_mail_user(s))
		status = check_home(home, w.repair);
	free(home);
	settings_free(s);
	return status;
}
