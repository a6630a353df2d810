/* `postroom auth test USER`, `postroom auth status`, `postroom auth forget KEY`: questions to the
 * admin socket of the running auth service. A login that is tried here goes the same way as a
 * client's, step by step on stderr, and counts as no failure against anybody. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/cidr.h"
#include "core/base/xalloc.h"
#include "core/master/client.h"
#include "core/master/commands.h"
#include "core/master/password.h"

static int
run(const struct settings *s, const struct admin_request *r)
{
	struct buf out;
	buf_init(&out, CLIENT_REPLY_MAX);
	int status = admin_ask(s, r, &out);
	if (status == 0)
		client_print(&out);
	if (status < 0) {
		(void)fprintf(stderr, "postroom: %.*s/auth-admin: %s%s\n", STR_FMT(s->runtime_dir),
			strerrordesc_np(errno), client_hint(errno));
		status = EXIT_TEMPFAIL;
	}
	buf_fini(&out);
	return status;
}

struct test {
	const char *user, *service, *from, *as;
	bool no_password, quiet;
};

static bool
parse_test(const struct command_args *a, struct test *t)
{
	const struct {
		const char *name;
		const char **to;
	} options[] = {
		{ "--as-service", &t->service },
		{ "--from", &t->from },
		{ "--as", &t->as },
	};
	for (int i = 1; i < a->argc; i++) {
		struct str arg = str_of(a->argv[i]);
		size_t k = 0;
		while (k < ARRAY_LEN(options) && !str_eq(arg, str_of(options[k].name)))
			k++;
		if (k < ARRAY_LEN(options) && i + 1 < a->argc)
			*options[k].to = a->argv[++i];
		else if (str_eq(arg, STR("--no-password")))
			t->no_password = true;
		else if (str_eq(arg, STR("-q")))
			t->quiet = true;
		else if (!str_starts(arg, STR("-")) && t->user == NULL)
			t->user = a->argv[i];
		else
			return false;
	}
	return t->user != NULL;
}

static int
auth_test(const struct settings *s, const struct command_args *a)
{
	struct test t = { .service = "imap", .from = "", .as = "" };
	struct cidr from;
	struct buf password;
	if (!parse_test(a, &t))
		return command_usage("auth");
	if (t.from[0] != '\0' && (cidr_parse(str_of(t.from), &from) != ERR_OK ||
					 str_chr(str_of(t.from), '/') != strlen(t.from))) {
		(void)fprintf(
			stderr, "postroom: --from %s: not an address such as 192.0.2.7\n", t.from);
		return EXIT_USAGE;
	}
	buf_init_secret(&password, 64 * 1024);
	enum err e = t.no_password ? ERR_OK : password_read("Password: ", &password);
	if (e != ERR_OK) {
		(void)fprintf(stderr, "postroom: %s\n",
			e == ERR_EOF ? "no password" : "the password is too long");
		buf_fini(&password);
		return EXIT_USAGE;
	}
	const struct str fields[] = { str_of(t.user), str_of(t.service), str_of(t.from),
		str_of(t.as), t.no_password ? STR("no") : STR("yes"), buf_str(&password) };
	const struct admin_request r = { .verb = "TEST",
		.fields = fields,
		.fields_count = ARRAY_LEN(fields),
		.quiet = t.quiet };
	int status = run(s, &r);
	buf_fini(&password);
	return status;
}

static int
auth_forget(const struct settings *s, const struct command_args *a)
{
	if (a->argc != 2)
		return command_usage("auth");
	struct str key = str_of(a->argv[1]);
	if (str_eq(key, STR("--all")))
		key = STR_EMPTY;
	else if (key.n == 0 || key.p[0] == '-')
		return command_usage("auth");
	const struct admin_request r = { .verb = "FORGET", .fields = &key, .fields_count = 1 };
	return run(s, &r);
}

int
command_auth(const struct command_args *a)
{
	static const struct admin_request status = { .verb = "STATUS" };
	struct str what = str_of(a->argv[0]);
	bool test = str_eq(what, STR("test")), forget = str_eq(what, STR("forget"));
	if (!test && !forget && (!str_eq(what, STR("status")) || a->argc != 1))
		return command_usage("auth");
	struct settings *s = command_settings(a, false);
	if (s == NULL)
		return EXIT_CONFIG;
	int rc = test ? auth_test(s, a) : forget ? auth_forget(s, a) : run(s, &status);
	settings_free(s);
	return rc;
}
