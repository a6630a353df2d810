/* `postroom pw`: makes the hash of a password, or tries one. The password never stands on the
 * command line, where other users of the machine could read it. */
#include <stdio.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/master/commands.h"
#include "core/master/password.h"
#include "core/passwd/passwd.h"

static bool
complain(const char *what)
{
	(void)fprintf(stderr, "postroom pw: %s\n", what);
	return false;
}

/* twice: a typing mistake on a terminal would lock its user out. */
static bool
get_password(bool twice, struct buf *out)
{
	struct buf again;
	bool same = true;
	enum err e = password_read("Password: ", out);

	if (e != ERR_OK)
		return complain(e == ERR_LIMIT ? "the password is too long" : "no password");
	if (!twice || isatty(STDIN_FILENO) != 1)
		return true;
	buf_init_secret(&again, PASSWD_PASSWORD_MAX);
	same = password_read("Again: ", &again) == ERR_OK &&
	       secret_eq(buf_str(out), buf_str(&again));
	buf_fini(&again);
	return same || complain("the two differ");
}

static int
list(void)
{
	struct buf out;

	buf_init(&out, 16 * 1024);
	passwd_list(&out);
	(void)fwrite(buf_str(&out).p, 1, out.n, stdout);
	buf_fini(&out);
	return 0;
}

static int
test(struct str stored, struct str password)
{
	switch (passwd_verify(stored, STR_EMPTY, password)) {
	case ERR_OK:
		(void)printf("verified\n");
		return 0;
	case ERR_SYNTAX:
		(void)fprintf(stderr, "postroom pw: not a hash of a known scheme\n");
		return EXIT_USAGE;
	case ERR_LIMIT:
		(void)fprintf(stderr, "postroom pw: the hash costs more than is granted\n");
		return EXIT_USAGE;
	case ERR_TEMP:
		(void)fprintf(stderr, "postroom pw: out of memory\n");
		return EXIT_TEMPFAIL;
	case ERR_DENIED:
	case ERR_AGAIN:
	case ERR_EOF:
	case ERR_NOTFOUND:
	case ERR_EXISTS:
	case ERR_BUSY:
	case ERR_CORRUPT:
	case ERR_QUOTA:
	case ERR_BUG:
		break;
	}
	(void)printf("another password\n");
	return 1;
}

static int
make(struct str scheme, struct str password)
{
	struct buf out;
	enum err e;

	buf_init_secret(&out, 2 * PASSWD_STORED_MAX);
	e = passwd_make(scheme, password, &out);
	if (e == ERR_OK)
		(void)printf("%.*s\n", STR_FMT(buf_str(&out)));
	else if (e == ERR_NOTFOUND)
		(void)fprintf(
			stderr, "postroom pw: no scheme %.*s; -l lists them\n", STR_FMT(scheme));
	else
		(void)fprintf(stderr, "postroom pw: %s\n",
			e == ERR_SYNTAX ? "the scheme cannot take this password" : err_name(e));
	buf_fini(&out);
	return e == ERR_OK ? 0 : e == ERR_TEMP ? EXIT_TEMPFAIL : EXIT_USAGE;
}

int
command_pw(const struct command_args *a)
{
	struct str scheme = STR_EMPTY, stored = STR_EMPTY;
	struct buf password;
	int status = 1;

	for (int i = 0; i < a->argc; i++) {
		struct str arg = str_of(a->argv[i]);
		bool more = i + 1 < a->argc;
		if (str_eq(arg, STR("-l")))
			return list();
		if (str_eq(arg, STR("-s")) && more)
			scheme = str_of(a->argv[++i]);
		else if (str_eq(arg, STR("-t")) && more)
			stored = str_of(a->argv[++i]);
		else
			return command_usage("pw");
	}
	if (scheme.n != 0 && stored.n != 0)
		return command_usage("pw");
	buf_init_secret(&password, PASSWD_PASSWORD_MAX);
	if (get_password(stored.n == 0, &password))
		status = stored.n != 0 ? test(stored, buf_str(&password))
				       : make(scheme, buf_str(&password));
	buf_fini(&password);
	return status;
}
