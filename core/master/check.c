/* `postroom check` and `postroom config`: what the configuration file says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/event/tls.h"
#include "core/master/commands.h"
#include "core/master/sockets.h"
#include "core/master/system.h"
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

static void
add_date(struct buf *out, int64_t sec)
{
	enum { DATE_BYTES = 10 };
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(sec * 1000, text);
	buf_add(out, str_n(text, DATE_BYTES));
}

/* What every mail program will complain of. Warnings: the server runs all the same, and mail from
 * other servers must come in while somebody renews the certificate. */
static void
warn_certificate(const struct settings *s, struct buf *out)
{
	enum { DAY = 24 * 3600, SOON_DAYS = 14 };
	struct tls_certificate c;
	int64_t now = clock_wall_ms() / 1000;

	if (tls_certificate_read(s->tls.certificate, s->hostname, &c) != ERR_OK)
		return;
	if (c.ends_sec <= now || c.ends_sec - now < (int64_t)SOON_DAYS * DAY) {
		buf_addz(out, c.ends_sec <= now ? "warning: tls.certificate ended on "
						: "warning: tls.certificate ends on ");
		add_date(out, c.ends_sec);
		buf_addz(out, ": renew it, then run postroom reload\n");
	}
	if (c.begins_sec > now) {
		buf_addz(out, "warning: tls.certificate begins on ");
		add_date(out, c.begins_sec);
		buf_addz(out, " only: is this machine's clock right?\n");
	}
	if (s->hostname.n > 0 && !c.names_host)
		buf_addf(out,
			"warning: tls.certificate does not name hostname, %.*s: programs that "
			"connect by that name refuse it\n",
			STR_FMT(s->hostname));
}

/* The mount point of a new disk is root's, and nothing could be written there. A warning: groups
 * and ACLs may allow it all the same. Folders that are missing are made at the start. */
static void
warn_owner(const char *setting, struct str folder, struct str user, struct buf *out)
{
	struct stat st;
	char *z = str_dup(folder);
	uid_t uid;

	if (geteuid() == 0 && system_uid(user, &uid) == ERR_OK && stat(z, &st) == 0 &&
		st.st_uid != uid)
		buf_addf(out,
			"warning: %s: %s belongs to another user than %.*s, who must be able to "
			"write there: chown %.*s %s\n",
			setting, z, STR_FMT(user), STR_FMT(user), z);
	free(z);
}

/* The log's folder is there; the file need not be. */
static bool
check_log(const struct settings *s, struct buf *out)
{
	struct str folder = str_sub(s->log.file, 0, str_rchr(s->log.file, '/'));
	struct stat st;
	char *z;
	bool good;

	if (folder.n == 0 || folder.n == s->log.file.n)
		return true;
	z = str_dup(folder);
	good = stat(z, &st) == 0;
	if (!good)
		buf_addf(out, "log.file: %s: %s\n", z, strerrordesc_np(errno));
	free(z);
	return good;
}

/* What else a start would refuse. */
static int
check_start(const struct settings *s, struct buf *out)
{
	struct system_ids ids;
	bool good = sockets_check(s, out) == ERR_OK;

	good &= system_find_ids(s, &ids, out) == ERR_OK;
	good &= check_log(s, out);
	return good ? 0 : 1;
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
	struct buf words;
	int status;

	if (s == NULL)
		return EXIT_CONFIG;
	buf_init(&words, 64 * 1024);
	status = check_tls(s) | check_workers(s) | check_start(s, &words);
	if (s->tls.certificate.n > 0)
		warn_certificate(s, &words);
	warn_owner("mail_root", s->mail_root, s->user_mail, &words);
	warn_owner("spool_dir", s->spool_dir, s->user_queue, &words);
	(void)fwrite(buf_str(&words).p, 1, words.n, stderr);
	buf_fini(&words);
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
