/* What single values cannot show: that listeners, directories and paths fit together. Used by
 * settings_load, so that `postroom check` and a start refuse the same things. */
#include "config/rows.h"
#include "core/base/cidr.h"
#include "core/base/xalloc.h"

enum {
	MESSAGE_LIMIT_LEAST = 1000, /* RFC 9738 3 */
	IP4_BITS_LEAST = 8,
	IP6_BITS_LEAST = 32,
	SRS_SECRET_LEAST = 16,
};

void
check_complain(struct checking *c, const char *fmt, ...)
{
	va_list ap;

	c->failed = true;
	va_start(ap, fmt);
	buf_addv(c->out, fmt, ap);
	va_end(ap);
	buf_addc(c->out, '\n');
}

static bool
one_of(struct str s, const char *const *words)
{
	for (; *words != NULL; words++)
		if (str_eq(s, str_of(*words)))
			return true;
	return false;
}

static void
check_absolute(struct str path, const char *name, struct checking *c)
{
	if (path.n == 0 || path.p[0] != '/' || str_find(path, STR("/../")) != path.n ||
		str_ends(path, STR("/..")))
		check_complain(c, "%s: \"%.*s\" is not an absolute path without \"..\"", name,
			STR_FMT(path));
}

static bool
names(struct str template, struct str variable)
{
	return str_find(template, variable) != template.n;
}

/* Two people of two domains must never get one home. */
static void
check_home(struct str template, struct checking *c)
{
	if (names(template, STR("%{user}")) || names(template, STR("%{address}")) ||
		(names(template, STR("%{local}")) && names(template, STR("%{domain}"))))
		return;
	check_complain(c,
		"mail_home: \"%.*s\" would give several users one home; it needs %%{local} and "
		"%%{domain}, or %%{user}",
		STR_FMT(template));
}

static void
check_networks(const struct str_list *networks, const char *name, struct checking *c)
{
	struct cidr net;

	for (size_t i = 0; i < networks->n; i++)
		if (cidr_parse(networks->v[i], &net) != ERR_OK)
			check_complain(c, "%s: \"%.*s\" is no network such as 192.0.2.0/24", name,
				STR_FMT(networks->v[i]));
}

/* Networks that may do what others may not: nobody means half of the internet by one. */
static void
check_narrow_networks(const struct str_list *networks, const char *name, struct checking *c)
{
	struct cidr net;

	check_networks(networks, name, c);
	for (size_t i = 0; i < networks->n; i++)
		if (cidr_parse(networks->v[i], &net) == ERR_OK &&
			net.bits < (net.v6 ? IP6_BITS_LEAST : IP4_BITS_LEAST))
			check_complain(c, "%s: \"%.*s\" is wider than /%d", name,
				STR_FMT(networks->v[i]), net.v6 ? IP6_BITS_LEAST : IP4_BITS_LEAST);
}

static void
check_listen(const struct settings *s, const struct settings_listen *l, struct checking *c)
{
	static const char *const protocols[] = { "imap", "submission", "smtp", "lmtp", NULL };
	static const char *const modes[] = { "none", "starttls", "implicit", NULL };
	bool clear = str_eq(l->tls, STR("none"));

	if (!one_of(l->protocol, protocols))
		check_complain(c,
			"listen \"%.*s\": protocol must be imap, submission, smtp or lmtp",
			STR_FMT(l->title));
	if (!one_of(l->tls, modes))
		check_complain(c, "listen \"%.*s\": tls must be none, starttls or implicit",
			STR_FMT(l->title));
	if (l->address.n == 0)
		check_complain(c, "listen \"%.*s\": address is missing", STR_FMT(l->title));
	if (str_eq(l->protocol, STR("submission")) && clear)
		check_complain(c, "listen \"%.*s\": submission needs tls = starttls or implicit",
			STR_FMT(l->title));
	if (str_eq(l->protocol, STR("smtp")) && str_eq(l->tls, STR("implicit")))
		check_complain(
			c, "listen \"%.*s\": smtp needs tls = starttls or none", STR_FMT(l->title));
	if (str_eq(l->protocol, STR("smtp")) && s->smtp.postmaster.n == 0)
		check_complain(c,
			"listen \"%.*s\": smtp needs smtp.postmaster, who reads mail to postmaster",
			STR_FMT(l->title));
	for (const struct setting_source *src = s->sources; src != NULL && !clear; src = src->next)
		if (str_eq(str_of(src->section->name), STR("tls")))
			return;
	if (!clear)
		check_complain(c, "listen \"%.*s\": TLS needs tls.certificate and tls.key",
			STR_FMT(l->title));
}

/* How the service account binds, and where references may lead. */
static void
check_service_account(const struct settings_directory *d, struct checking *c)
{
	static const char *const methods[] = { "simple", "external", "gssapi", "none", NULL };
	bool local = false;

	for (size_t i = 0; i < d->uris.n; i++)
		local |= str_starts(d->uris.v[i], STR("ldapi://"));
	if (!one_of(d->bind_method, methods))
		check_complain(c,
			"directory \"%.*s\": bind_method must be simple, external, gssapi or none",
			STR_FMT(d->title));
	if (str_eq(d->bind_method, STR("gssapi")) &&
		(d->bind_keytab.n == 0 || d->bind_keytab.p[0] != '/'))
		check_complain(c,
			"directory \"%.*s\": bind_method = gssapi needs bind_keytab, an absolute "
			"path",
			STR_FMT(d->title));
	if (str_eq(d->bind_method, STR("external")) && !local && d->client_certificate.n == 0)
		check_complain(c,
			"directory \"%.*s\": bind_method = external needs ldapi:// or "
			"client_certificate",
			STR_FMT(d->title));
	if (d->referrals && d->referral_hosts.n == 0)
		check_complain(c, "directory \"%.*s\": referrals = yes needs referral_hosts",
			STR_FMT(d->title));
}

static void
check_directory(const struct settings_directory *d, struct checking *c)
{
	static const char *const schemes[] = { "ldap://", "ldaps://", "ldapi://", NULL };
	static const char *const versions[] = { "1.2", "1.3", NULL };
	static const char *const schemas[] = { "openldap", "freeipa", "389ds", "active-directory",
		NULL };
	static const char *const scopes[] = { "sub", "one", "base", NULL };
	static const char *const formats[] = { "auto", "days", "seconds", "filetime",
		"generalized-time", NULL };

	if (!one_of(d->schema, schemas))
		check_complain(c,
			"directory \"%.*s\": schema must be openldap, freeipa, 389ds or "
			"active-directory",
			STR_FMT(d->title));
	if (!one_of(d->scope, scopes))
		check_complain(
			c, "directory \"%.*s\": scope must be sub, one or base", STR_FMT(d->title));
	if (!one_of(d->expiry_format, formats))
		check_complain(c,
			"directory \"%.*s\": expiry_format must be auto, days, seconds, filetime "
			"or "
			"generalized-time",
			STR_FMT(d->title));
	if (d->uris.n == 0 && d->srv_domain.n == 0)
		check_complain(c, "directory \"%.*s\": uris is missing (or srv_domain)",
			STR_FMT(d->title));
	if (d->uris.n > 0 && d->srv_domain.n > 0)
		check_complain(c, "directory \"%.*s\": uris and srv_domain exclude each other",
			STR_FMT(d->title));
	if (d->srv_site.n > 0 && d->srv_domain.n == 0)
		check_complain(
			c, "directory \"%.*s\": srv_site needs srv_domain", STR_FMT(d->title));
	if (!one_of(d->tls_min_version, versions))
		check_complain(c, "directory \"%.*s\": tls_min_version must be 1.2 or 1.3",
			STR_FMT(d->title));
	check_service_account(d, c);
	for (size_t i = 0; i < d->uris.n; i++) {
		bool known = false;
		for (const char *const *w = schemes; *w != NULL; w++)
			known |= str_starts(d->uris.v[i], str_of(*w));
		if (!known)
			check_complain(c,
				"directory \"%.*s\": \"%.*s\" is none of ldap://, ldaps://, "
				"ldapi://",
				STR_FMT(d->title), STR_FMT(d->uris.v[i]));
	}
}

/* Did the file give row of directory section i a value? */
static bool
directory_says(const struct settings *s, size_t i, const char *row)
{
	for (const struct setting_source *src = s->sources; src != NULL; src = src->next)
		if (src->instance == i && src->values_count > 0 && src->values[0].n > 0 &&
			str_eq(str_of(src->section->name), STR("directory")) &&
			str_eq(str_of(src->row->name), str_of(row)))
			return true;
	return false;
}

/* A login by user_dn alone never sees the entry: who asks for a rule there must not believe that
 * it is kept. What a preset says is the directory's to keep, at the bind. */
static void
check_rules_are_read(const struct settings *s, size_t i, struct checking *c)
{
	static const char *const rules[] = { "enabled_attribute", "expiry_attribute",
		"services_attribute", "networks_attribute" };
	const struct settings_directory *d = &s->directories[i];
	bool simple = str_eq(d->bind_method, STR("simple"));
	bool account = simple ? d->bind_dn.n > 0 : !str_eq(d->bind_method, STR("none"));

	if (d->user_dn.n == 0 || (d->user_dn_read && account))
		return;
	for (size_t k = 0; k < ARRAY_LEN(rules); k++)
		if (directory_says(s, i, rules[k]))
			check_complain(c,
				"directory \"%.*s\": %s would be ignored: user_dn reads the entry "
				"only with user_dn_read = yes and a service account",
				STR_FMT(d->title), rules[k]);
}

static bool
lists(const struct str_list *l, struct str word)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_ieq(l->v[i], word))
			return true;
	return false;
}

/* Every mechanism of l is one of ours and stands in all as well. */
static void
check_mechanisms(
	const struct str_list *l, const struct str_list *all, const char *name, struct checking *c)
{
	static const char *const known[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1",
		"GSSAPI", "EXTERNAL", "OAUTHBEARER", "XOAUTH2", NULL };

	for (size_t i = 0; i < l->n; i++) {
		bool ours = false;
		for (const char *const *w = known; *w != NULL; w++)
			ours |= str_ieq(l->v[i], str_of(*w));
		if (!ours)
			check_complain(c, "%s: \"%.*s\" is no mechanism that we know", name,
				STR_FMT(l->v[i]));
		else if (!lists(all, l->v[i]))
			check_complain(c, "%s: \"%.*s\" is not in auth.sasl_mechanisms", name,
				STR_FMT(l->v[i]));
	}
}

static bool
url_ok(struct str url)
{
	static const char *const starts[] = { "https://", "http://127.0.0.1", "http://[::1]",
		"http://localhost", NULL };

	for (const char *const *w = starts; *w != NULL; w++) {
		struct str rest = str_from(url, str_of(*w).n);
		if (!str_istarts(url, str_of(*w)))
			continue;
		if (str_ends(str_of(*w), STR("/")))
			return rest.n > 0 && rest.p[0] != '/';
		return rest.n == 0 || rest.p[0] == '/' || rest.p[0] == ':';
	}
	return false;
}

static bool
source_has(const struct settings *s, const char *section, const char *row)
{
	for (const struct setting_source *src = s->sources; src != NULL; src = src->next)
		if (str_eq(str_of(src->section->name), str_of(section)) &&
			str_eq(str_of(src->row->name), str_of(row)))
			return true;
	return false;
}

static void
check_srs(const struct settings *s, struct checking *c)
{
	const struct settings_queue *q = &s->queue;

	if (q->srs_domain.n == 0)
		return;
	if (str_chr(q->srs_domain, '@') < q->srs_domain.n || str_chr(q->srs_domain, '.') == 0 ||
		str_chr(q->srs_domain, ' ') < q->srs_domain.n)
		check_complain(
			c, "queue.srs_domain: \"%.*s\" is no domain", STR_FMT(q->srs_domain));
	if (!source_has(s, "queue", "srs_secret"))
		check_complain(c, "queue.srs_domain needs queue.srs_secret");
	for (struct str rest = q->srs_secret, line; rest.n > 0;) {
		(void)str_cut(rest, '\n', &line, &rest);
		line = str_trim(line);
		if (line.n > 0 && line.n < SRS_SECRET_LEAST)
			check_complain(c,
				"queue.srs_secret: a secret is shorter than %d characters",
				SRS_SECRET_LEAST);
	}
}

/* Mechanisms that would refuse everybody, because no section can answer them. */
static void
check_sasl_backends(const struct settings *s, struct checking *c)
{
	const struct str_list *all = &s->auth.sasl_mechanisms;
	bool keys = s->passwd_files_count + s->sqls_count > 0, certificates = false;

	for (size_t i = 0; i < s->directories_count; i++) {
		keys |= s->directories[i].secret_attributes.n > 0;
		certificates |= s->directories[i].certificate_filter.n > 0;
	}
	if ((lists(all, STR("SCRAM-SHA-256")) || lists(all, STR("SCRAM-SHA-1"))) && !keys)
		check_complain(c,
			"auth.sasl_mechanisms: SCRAM needs secret_attributes in a directory "
			"section, or a passwd_file or sql section");
	if (lists(all, STR("EXTERNAL")) && !certificates)
		check_complain(c,
			"auth.sasl_mechanisms: EXTERNAL needs certificate_filter in a directory "
			"section");
}

/* What a mechanism needs beside its name. */
static void
check_auth(const struct settings *s, struct checking *c)
{
	const struct str_list *all = &s->auth.sasl_mechanisms;
	static const char *const clear[] = { "SCRAM-SHA-256", "SCRAM-SHA-1", "GSSAPI", NULL };

	check_mechanisms(all, all, "auth.sasl_mechanisms", c);
	check_mechanisms(&s->auth.sasl_without_tls, all, "auth.sasl_without_tls", c);
	check_mechanisms(&s->imap.sasl_mechanisms, all, "imap.sasl_mechanisms", c);
	check_mechanisms(&s->smtp.sasl_mechanisms, all, "smtp.sasl_mechanisms", c);
	for (size_t i = 0; i < s->auth.sasl_without_tls.n; i++)
		if (!one_of(s->auth.sasl_without_tls.v[i], clear))
			check_complain(c, "auth.sasl_without_tls: \"%.*s\" needs TLS",
				STR_FMT(s->auth.sasl_without_tls.v[i]));
	if (lists(all, STR("GSSAPI")) && s->auth.gssapi_keytab.n == 0)
		check_complain(c, "auth.sasl_mechanisms: GSSAPI needs auth.gssapi_keytab");
	if (s->auth.gssapi_keytab.n > 0)
		check_absolute(s->auth.gssapi_keytab, "auth.gssapi_keytab", c);
	for (size_t i = 0; i < s->auth.gssapi_domains.n; i++) {
		struct str realm, domain;
		if (!str_cut(s->auth.gssapi_domains.v[i], '=', &realm, &domain) || realm.n == 0 ||
			domain.n == 0)
			check_complain(c, "auth.gssapi_domains: \"%.*s\" is not REALM=domain",
				STR_FMT(s->auth.gssapi_domains.v[i]));
	}
	if ((lists(all, STR("OAUTHBEARER")) || lists(all, STR("XOAUTH2"))) &&
		s->auth.oauth_introspection_url.n == 0)
		check_complain(c, "auth.sasl_mechanisms: OAUTHBEARER and XOAUTH2 need "
				  "auth.oauth_introspection_url");
	if (s->auth.oauth_introspection_url.n > 0 && !url_ok(s->auth.oauth_introspection_url))
		check_complain(c, "auth.oauth_introspection_url: must begin with https:// "
				  "(http:// only on this machine)");
	if (lists(all, STR("EXTERNAL")) && !source_has(s, "tls", "client_ca"))
		check_complain(c, "auth.sasl_mechanisms: EXTERNAL needs tls.client_ca");
	check_sasl_backends(s, c);
	if (s->auth.outage_login > 0 && s->auth.cache_size == 0)
		check_complain(c, "auth.outage_login needs memory, and auth.cache_size is 0");
}

/* Parts of ours compare domains, and each takes A-labels for the one form. RFC 5890 2.3.2.1 */
static void
check_a_labels(const struct settings *s, struct checking *c)
{
	if (str_has_8bit(s->hostname))
		check_complain(c, "hostname: write it in A-labels (xn--...)");
	if (str_has_8bit(s->auth.default_domain))
		check_complain(c, "auth.default_domain: write it in A-labels (xn--...)");
	if (str_has_8bit(s->smtp.local_domain))
		check_complain(c, "smtp.local_domain: write it in A-labels (xn--...)");
	for (size_t i = 0; i < s->directories_count; i++)
		for (size_t k = 0; k < s->directories[i].domains.n; k++)
			if (str_has_8bit(s->directories[i].domains.v[k]))
				check_complain(c,
					"directory \"%.*s\": domains: write %.*s in A-labels "
					"(xn--...)",
					STR_FMT(s->directories[i].title),
					STR_FMT(s->directories[i].domains.v[k]));
}

enum err
settings_cross_check(const struct settings *s, struct buf *err_out)
{
	static const char *const versions[] = { "1.2", "1.3", NULL };
	static const char *const separators[] = { "/", ".", NULL };
	static const char *const details[] = { "ignore", "folder", "create", NULL };
	static const char *const levels[] = { "error", "warn", "info", "debug", NULL };
	static const char *const sync[] = { "yes", "no", "auto", NULL };

	struct checking c = { .out = err_out };

	check_absolute(s->runtime_dir, "runtime_dir", &c);
	check_absolute(s->mail_root, "mail_root", &c);
	check_absolute(s->spool_dir, "spool_dir", &c);
	check_home(s->mail_home, &c);
	if (!one_of(s->lmtp.detail, details))
		check_complain(&c, "lmtp.detail must be ignore, folder or create");
	if (!one_of(s->imap.separator, separators))
		check_complain(&c, "imap.separator must be / or .");
	if (s->imap.message_limit != 0 && s->imap.message_limit < MESSAGE_LIMIT_LEAST)
		check_complain(&c, "imap.message_limit must be 0 or at least 1000");
	if (!one_of(s->tls.min_version, versions))
		check_complain(&c, "tls.min_version must be 1.2 or 1.3");
	if (!one_of(s->log.level, levels))
		check_complain(&c, "log.level must be error, warn, info or debug");
	if (!one_of(s->store.sync_directories, sync))
		check_complain(&c, "store.sync_directories must be yes, no or auto");
	if (s->queue.retry_min > s->queue.retry_max)
		check_complain(&c, "queue.retry_min is larger than queue.retry_max");
	check_auth(s, &c);
	check_networks(&s->auth.networks, "auth.networks", &c);
	check_networks(&s->auth.trusted_networks, "auth.trusted_networks", &c);
	check_networks(&s->lmtp.networks, "lmtp.networks", &c);
	check_narrow_networks(&s->smtp.relay_networks, "smtp.relay_networks", &c);
	check_narrow_networks(&s->smtp.proxy_networks, "smtp.proxy_networks", &c);
	check_narrow_networks(&s->smtp.xclient_networks, "smtp.xclient_networks", &c);
	check_a_labels(s, &c);
	if (s->smtp.postmaster.n > 0 && str_chr(s->smtp.postmaster, '@') == s->smtp.postmaster.n)
		check_complain(&c, "smtp.postmaster must be an address such as help@example.org");
	check_srs(s, &c);
	if (s->queue.postmaster.n > 0 && str_chr(s->queue.postmaster, '@') == s->queue.postmaster.n)
		check_complain(&c, "queue.postmaster must be an address such as help@example.org");
	if (s->directories_count + settings_worker_sections(s) == 0 && !s->outbound.null_client)
		check_complain(&c,
			"no directory section, nor passwd_file, pam or sql: where do the "
			"users come from?");
	if (settings_check_backends(s, err_out) != ERR_OK)
		c.failed = true;
	if (settings_check_relay(s, err_out) != ERR_OK)
		c.failed = true;
	if (settings_check_smtp(s, err_out) != ERR_OK)
		c.failed = true;
	if (settings_check_aliases(s, err_out) != ERR_OK)
		c.failed = true;
	for (size_t i = 0; i < s->listens_count; i++)
		check_listen(s, &s->listens[i], &c);
	for (size_t i = 0; i < s->directories_count; i++) {
		check_directory(&s->directories[i], &c);
		check_rules_are_read(s, i, &c);
	}
	return c.failed ? ERR_SYNTAX : ERR_OK;
}
