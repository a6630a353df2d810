/* `postroom check` and `postroom config`: what the configuration file says. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/event/tls.h"
#include "core/master/commands.h"
#include "core/master/trial.h"
#include "core/passwd/passwd.h"

/* The certificate and key must fit, or no client could ever start TLS. */
static int
check_tls(const struct settings *s)
{
	struct tls_server_options o = {
		.certificate_pem = s->tls.certificate, .key_pem = s->tls.key, .min_version = 12
	};
	struct tls_ctx *ctx = NULL;
	const char *why = "";

	if (o.certificate_pem.n == 0 && o.key_pem.n == 0)
		return 0;
	if (tls_ctx_new_server(&o, &ctx, &why) != ERR_OK) {
		(void)fprintf(stderr, "tls: %s\n", why);
		return 1;
	}
	tls_ctx_unref(ctx);
	return 0;
}

static bool
complain(const char *section, struct str title, struct str what, const char *why)
{
	(void)fprintf(
		stderr, "%s \"%.*s\": %.*s: %s\n", section, STR_FMT(title), STR_FMT(what), why);
	return false;
}

static bool
check_scheme(const char *section, struct str title, struct str scheme)
{
	return passwd_scheme_known(scheme) ||
	       complain(section, title, scheme, "no such scheme (postroom pw -l lists them)");
}

/* The helpers refuse a file that others can read; whether they themselves can is theirs to say. */
static bool
check_passwd_file(const struct settings_passwd_file *f)
{
	struct stat st;

	if (stat(f->path.p, &st) != 0)
		return complain("passwd_file", f->title, f->path, strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return complain("passwd_file", f->title, f->path, "is not a regular file");
	return (st.st_mode & S_IRWXO) == 0 ||
	       complain("passwd_file", f->title, f->path, "others can read it (chmod o-rwx)");
}

static bool
check_sql(const struct settings_sql *q)
{
	return q->ca.n == 0 || access(q->ca.p, R_OK) == 0 ||
	       complain("sql", q->title, q->ca, strerrordesc_np(errno));
}

/* PAM asks the service "other" where there is no file, which refuses everybody. */
static bool
check_pam(const struct settings_pam *p)
{
	struct buf path;
	bool good = true;

	if (str_find(p->service, STR("%{")) != p->service.n)
		return true;
	buf_init(&path, 4096);
	buf_addf(&path, "%.*s/%.*s",
		STR_FMT(p->config_dir.n != 0 ? p->config_dir : STR("/etc/pam.d")),
		STR_FMT(p->service));
	if (access(buf_z(&path), F_OK) != 0)
		good = complain("pam", p->title, buf_str(&path), strerrordesc_np(errno));
	buf_fini(&path);
	return good;
}

static int
check_workers(const struct settings *s)
{
	bool good = true;

	for (size_t i = 0; i < s->passwd_files_count; i++) {
		const struct settings_passwd_file *f = &s->passwd_files[i];
		good &= check_passwd_file(f);
		good &= check_scheme("passwd_file", f->title, f->default_scheme);
	}
	for (size_t i = 0; i < s->sqls_count; i++) {
		const struct settings_sql *q = &s->sqls[i];
		good &= check_sql(q);
		good &= check_scheme("sql", q->title, q->default_scheme);
	}
	for (size_t i = 0; i < s->pams_count; i++)
		good &= check_pam(&s->pams[i]);
	return good ? 0 : 1;
}

int
command_check(const struct command_args *a)
{
	if (a->argc == 1 && !str_eq(str_of(a->argv[0]), STR("--online")))
		return command_usage("check");
	struct settings *s = command_settings(a, true);
	bool online = a->argc == 1;
	int status;

	if (s == NULL)
		return EXIT_CONFIG;
	status = check_tls(s) | check_workers(s);
	if (!trial_run(s, "auth", ROLE_AUTH, online))
		status = 1;
	settings_free(s);
	if (status == 0)
		(void)printf("%s: ok\n", a->config);
	return status;
}

int
command_config(const struct command_args *a)
{
	struct settings *s;
	struct buf out;

	if (a->argc == 1 && !str_eq(str_of(a->argv[0]), STR("-n"))) {
		return command_usage("config");
	}
	s = command_settings(a, false);
	if (s == NULL)
		return EXIT_CONFIG;
	buf_init(&out, 16 * 1024 * 1024);
	settings_print(s, a->argc == 1, &out);
	(void)fwrite(buf_str(&out).p, 1, out.n, stdout);
	buf_fini(&out);
	settings_free(s);
	return 0;
}
