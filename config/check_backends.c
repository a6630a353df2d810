/* That the sections whose questions go to helper processes (passwd_file, pam, sql) can work: see
 * settings_cross_check, which calls this. What needs a file or a scheme is `postroom check`'s. */
#include "config/rows.h"

#include "core/base/xalloc.h"

struct complaints {
	struct buf *out;
	const char *section;
	struct str title;
	bool failed;
};

__attribute__((format(printf, 2, 3))) static void
complain(struct complaints *c, const char *fmt, ...)
{
	va_list ap;

	c->failed = true;
	buf_addf(c->out, "%s \"%.*s\": ", c->section, STR_FMT(c->title));
	va_start(ap, fmt);
	buf_addv(c->out, fmt, ap);
	va_end(ap);
	buf_addc(c->out, '\n');
}

static bool
is_variable(struct str name)
{
	static const char *const known[] = { "user", "local", "domain", "address", "service",
		"remote_ip", "local_ip" };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq(name, str_of(known[i])))
			return true;
	return false;
}

/* Variables are parameters: inside quotes they would be plain text. */
static void
check_query(struct complaints *c, const char *name, struct str q)
{
	char quote = '\0';

	for (size_t i = 0; i < q.n; i++) {
		char ch = q.p[i];
		if (quote != '\0' ? ch == quote : ch == '\'' || ch == '"' || ch == '`')
			quote = quote != '\0' ? '\0' : ch;
		if (ch != '%' || i + 1 >= q.n || q.p[i + 1] != '{')
			continue;
		struct str rest = str_from(q, i + 2);
		size_t end = str_chr(rest, '}');
		if (end == rest.n || !is_variable(str_sub(rest, 0, end)))
			complain(c, "%s: no variable %%{%.*s}", name,
				STR_FMT(str_sub(rest, 0, end)));
		else if (quote != '\0')
			complain(c,
				"%s: %%{%.*s} stands in quotes; it is a parameter and needs none",
				name, STR_FMT(str_sub(rest, 0, end)));
	}
	if (quote != '\0')
		complain(c, "%s: a quote is not closed", name);
}

static void
check_sql(struct complaints *c, const struct settings_sql *q)
{
	bool socket = q->host.n != 0 && q->host.p[0] == '/';

	if (!str_eq(q->driver, STR("mysql")) && !str_eq(q->driver, STR("pgsql")))
		complain(c, "driver must be mysql or pgsql");
	if (q->host.n == 0)
		complain(c, "host is missing");
	if (q->database.n == 0)
		complain(c, "database is missing");
	if (q->user_query.n == 0)
		complain(c, "user_query is missing");
	if (!str_eq(q->tls, STR("verify")) && !str_eq(q->tls, STR("require")) &&
		!str_eq(q->tls, STR("none")))
		complain(c, "tls must be verify, require or none");
	if (q->ca.n != 0 && (socket || !str_eq(q->tls, STR("verify"))))
		complain(c, "ca is of no use without tls = verify");
	check_query(c, "user_query", q->user_query);
	check_query(c, "mailbox_query", q->mailbox_query);
	check_query(c, "alias_query", q->alias_query);
	check_query(c, "catchall_query", q->catchall_query);
	check_query(c, "domain_query", q->domain_query);
	check_query(c, "sender_query", q->sender_query);
	check_query(c, "list_query", q->list_query);
}

static void
check_pam(struct complaints *c, const struct settings_pam *p)
{
	if (!str_eq(p->users, STR("system")) && !str_eq(p->users, STR("all")) &&
		!str_eq(p->users, STR("none")))
		complain(c, "users must be system, all or none");
	if (str_chr(p->service, '/') != p->service.n)
		complain(c, "service is a name, not a path");
	if (p->config_dir.n != 0 && p->config_dir.p[0] != '/')
		complain(c, "config_dir is not an absolute path");
	check_query(c, "username", p->username);
	check_query(c, "service", p->service);
}

static void
check_passwd_file(struct complaints *c, const struct settings_passwd_file *f)
{
	if (f->path.n == 0)
		complain(c, "path is missing");
	else if (f->path.p[0] != '/')
		complain(c, "path \"%.*s\" is not absolute", STR_FMT(f->path));
}

enum err
settings_check_backends(const struct settings *s, struct buf *err_out)
{
	struct complaints c = { .out = err_out, .section = "passwd_file" };
	size_t sections = settings_worker_sections(s);

	for (size_t i = 0; i < s->passwd_files_count; i++) {
		c.title = s->passwd_files[i].title;
		check_passwd_file(&c, &s->passwd_files[i]);
	}
	c.section = "pam";
	for (size_t i = 0; i < s->pams_count; i++) {
		c.title = s->pams[i].title;
		check_pam(&c, &s->pams[i]);
	}
	c.section = "sql";
	for (size_t i = 0; i < s->sqls_count; i++) {
		c.title = s->sqls[i].title;
		check_sql(&c, &s->sqls[i]);
	}
	/* one section's slow answers must leave a helper to each of the others */
	if (sections != 0 && (size_t)s->worker.processes < sections) {
		buf_addf(err_out, "worker.processes: %zu sections need at least as many helpers\n",
			sections);
		c.failed = true;
	}
	return c.failed ? ERR_SYNTAX : ERR_OK;
}
