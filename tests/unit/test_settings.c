/* config: the file's grammar, each type, the guards, slices for roles, printing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/settings.h"
#include "core/base/xalloc.h"

#define DIRECTORY "directory \"d\" { uris = { \"ldap://127.0.0.1\" } }\n"

static char dir[] = "/tmp/postroom-settings-XXXXXX";
static char path[64];

static void
put_file(const char *name, const char *text, mode_t mode)
{
	char full[128];

	(void)snprintf(full, sizeof full, "%s/%s", dir, name);
	FILE *f = fopen(full, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(full, mode), 0);
}

static enum err
load(const char *text, bool read_files, struct settings **out, struct buf *err)
{
	put_file("postroom.conf", text, 0600);
	buf_reset(err);
	*out = NULL;
	return settings_load(path, read_files, out, err);
}

static void
test_good(void **state)
{
	struct settings *s;
	struct buf err;

	(void)state;
	buf_init(&err, 4096);
	assert_int_equal(
		load("# comment\n"
		     "hostname = mail.example.org // more\n"
		     "/* and\n more */\n"
		     "imap { line_max = 128K\n idle_timeout = 45m\n plaintext_login = yes }\n"
		     "directory \"one\" { uris = { \"ldap://a\", 'ldaps://b' } base = 'dc=x' }\n"
		     "directory \"two\" { uris = { \"ldap://c\" } starttls = no }\n",
			false, &s, &err),
		ERR_OK);
	assert_int_equal(err.n, 0);
	assert_true(str_eq(s->hostname, STR("mail.example.org")));
	assert_int_equal(s->imap.line_max, 131072);
	assert_int_equal(s->imap.idle_timeout, 45 * 60000);
	assert_true(s->imap.plaintext_login);
	assert_int_equal(s->imap.pipeline_max, 32);
	assert_int_equal(s->directories_count, 2);
	assert_true(str_eq(s->directories[0].title, STR("one")));
	assert_int_equal(s->directories[0].uris.n, 2);
	assert_true(str_eq(s->directories[0].uris.v[1], STR("ldaps://b")));
	assert_true(s->directories[0].starttls);
	assert_false(s->directories[1].starttls);
	assert_true(str_eq(s->imap.mailboxes_default.v[0], STR("Drafts:\\Drafts")));
	settings_free(s);
	buf_fini(&err);
}

static void
test_bad(void **state)
{
	static const struct {
		const char *text, *want;
	} table[] = {
		{ "# a\n# b\n\nhostnam = x\n", "postroom.conf:4: " },
		{ "sql \"a\" { driver = oracle host = h database = d user_query = x }\n",
			"sql \"a\": driver must be mysql or pgsql" },
		{ "sql \"a\" { driver = mysql }\n", "sql \"a\": host is missing" },
		{ "sql \"a\" { driver = mysql host = h database = d }\n",
			"sql \"a\": user_query is missing" },
		{ "sql \"a\" { driver = mysql host = h database = d\n"
		  "user_query = \"SELECT a FROM b WHERE c = '%{user}'\" }\n",
			"%{user} stands in quotes" },
		{ "sql \"a\" { driver = mysql host = h database = d\n"
		  "user_query = \"SELECT a FROM b WHERE c = %{login}\" }\n",
			"no variable %{login}" },
		{ "sql \"a\" { driver = mysql host = h database = d\n"
		  "user_query = \"SELECT 'a FROM b\" }\n",
			"a quote is not closed" },
		{ "sql \"a\" { driver = mysql host = h database = d user_query = x tls = maybe }\n",
			"tls must be verify, require or none" },
		{ "passwd_file \"a\" { }\n", "passwd_file \"a\": path is missing" },
		{ "passwd_file \"a\" { path = users }\n", "is not absolute" },
		{ "pam \"a\" { users = some }\n", "users must be system, all or none" },
		{ "pam \"a\" { service = \"../x\" }\n", "service is a name" },
		{ "worker { processes = 1 }\npam \"a\" { }\npam \"b\" { }\n",
			"2 sections need at least as many helpers" },
		{ "hostname = a\n# c\nhostname = b\n",
			":3: setting \"hostname\" is given twice, first in line 1" },
		{ "imap {\n line_max = 64K\n}\nimap { }\n", ":4: section \"imap\" is given twice" },
		{ "imap {\n line_max = 64K\n line_max = 65K\n}\n", ":3: setting \"line_max\"" },
		{ "log { level = info }\nimap {\n line_max = 64K\n",
			":2: section is not closed: \"imap\"" },
		{ "imap {\nsmtp { workers = 1 }\n", ":1: section \"imap\" is not closed" },
		{ "imap { line_max = 64Q }\n", ":1: line_max: \"64Q\" is no size" },
		{ "imap {\n\n line_max = 1 }\n", ":3: line_max: must lie between 1024 and" },
		{ "imap { idle_timeout = 30 }\n", "idle_timeout: \"30\" is no time" },
		/* RFC 3501 5.4 */
		{ "imap { idle_timeout = 29m }\n", "idle_timeout: must lie between 1800000 and" },
		{ "imap { pipeline_max = many }\n", "is no whole number" },
		{ "imap { plaintext_login = maybe }\n", "is neither yes nor no" },
		{ "imap { pipeline_max = 99999999999999999999 }\n", "is no whole number" },
		{ DIRECTORY DIRECTORY, ":2: section \"directory\" is given twice" },
		{ "hostname = \"abc\n", ":1: string is not closed" },
		{ "/* abc\n", ":1: comment is not closed" },
		{ "}\n", ":1: unexpected \"}\"" },
		{ "nosuch { }\n", ":1: " },
		{ "hostname = a=b\n", ":1: text with blanks or any of { } = \" , # stands in "
				      "quotes, not so: \"=\"" },
		{ "hostname = \"a\nimap {\n}\nrecipient_delimiter = \"+\"\n",
			"(the text in quotes that begins in line 1 ends in line 4: is a quote "
			"missing?)" },
		{ "hostname += x\n", "\"+=\" is not known" },
		{ "hostname\n", "is missing behind \"hostname\"" },
		{ "directory \"d\" {\n uris = { \"ldap://x\",\n", "list is not closed" },
		{ "", "no directory section" },
		{ "directory \"d\" { base = x }", "uris is missing" },
		{ "directory \"d\" { srv_domain = x uris = { \"ldap://a\" } }",
			"exclude each other" },
		{ "directory \"d\" { uris = { \"ldap://a\" } srv_site = x }", "srv_site needs" },
		{ "directory \"d\" { uris = { \"ldap://a\" } tls_min_version = 1.1 }",
			"tls_min_version must" },
		{ "directory \"d\" { uris = { \"http://x\" } }", "is none of ldap://" },
		{ DIRECTORY "mail_root = mail\n", "mail_root: \"mail\" is not an absolute path" },
		{ DIRECTORY "mail_home = '%{local}'\n", "would give several users one home" },
		{ DIRECTORY "auth { networks = { '10.0.0.1/8' } }\n", "auth.networks" },
		{ DIRECTORY "auth { trusted_networks = { 'proxy' } }\n", "auth.trusted_networks" },
		{ DIRECTORY "lmtp { networks = { 'here' } }\n", "lmtp.networks" },
		{ DIRECTORY "smtp { relay_networks = { 'here' } }\n", "smtp.relay_networks" },
		{ DIRECTORY "alias 'root' { }\n", "alias \"root\": to is missing" },
		{ DIRECTORY "alias 'ro ot' { to = { 'a' } }\n", "want a local part" },
		{ DIRECTORY "alias '@x.org' { to = { 'a' } }\n", "want a local part" },
		{ DIRECTORY "alias 'root' { to = { 'a,b' } }\n", "\"a,b\" is no address" },
		{ DIRECTORY "alias 'root' { to = { 'a@b@c' } }\n", "\"a@b@c\" is no address" },
		{ DIRECTORY "alias 'root' { to = { 'a' } }\nalias 'Root' { to = { 'b' } }\n",
			"alias \"Root\" stands twice" },
		{ DIRECTORY "alias 'root' { to = { 'Root' } }\n", "leads to a circle" },
		{ DIRECTORY "alias 'a' { to = { 'b' } }\nalias 'b' { to = { 'x@y.org', 'c' } }\n"
			    "alias 'c' { to = { 'a' } }\n",
			"leads to a circle" },
		{ DIRECTORY "alias 'a@b.org' { to = { 'c' } }\nalias 'c@b.org' { to = { 'a' } }\n",
			"leads to a circle" },
		{ DIRECTORY "auth { default_domain = 'b.org' }\n"
			    "alias 'root' { to = { 'root@b.org' } }\n",
			"leads to a circle" },
		{ DIRECTORY "queue { srs_domain = 'example.org' }\n",
			"queue.srs_domain needs queue.srs_secret" },
		{ DIRECTORY "queue { srs_domain = 'a@b.org' srs_secret = '/x' }\n",
			"queue.srs_domain: \"a@b.org\" is no domain" },
		{ "hostname = \"m\xc3\xa4il.example\"\n", "hostname: write it in A-labels" },
		{ "auth { default_domain = \"\xc3\xa4.example\" }\n",
			"auth.default_domain: write it in A-labels" },
		{ "smtp { local_domain = \"\xc3\xa4.example\" }\n",
			"smtp.local_domain: write it in A-labels" },
		{ DIRECTORY "smtp { relay_networks = { '10.0.0.0/8', '0.0.0.0/7' } }\n",
			"\"0.0.0.0/7\" is wider than /8" },
		{ DIRECTORY "smtp { relay_networks = { '2001:db8::/32', '2000::/31' } }\n",
			"\"2000::/31\" is wider than /32" },
		{ DIRECTORY "smtp { xclient_networks = { '10.0.0.0/7' } }\n",
			"smtp.xclient_networks: \"10.0.0.0/7\" is wider than /8" },
		{ DIRECTORY "smtp { proxy_networks = { '::/0' } }\n",
			"\"::/0\" is wider than /32" },
		{ DIRECTORY "smtp { postmaster = root }\n", "smtp.postmaster" },
		{ DIRECTORY "queue { postmaster = root }\n", "queue.postmaster" },
		{ DIRECTORY "listen 'mx' { protocol = smtp address = { '*:25' } }\n",
			"smtp needs smtp.postmaster" },
		{ DIRECTORY "smtp { postmaster = 'a@b.c' }\n"
			    "listen 'mx' { protocol = smtp address = { '*:25' } tls = implicit }\n",
			"smtp needs tls = starttls or none" },
		{ DIRECTORY "listen \"a\" { protocol = pop3 address = { \"*:1\" } }",
			"must be imap" },
		{ DIRECTORY "listen \"a\" { protocol = imap tls = implicit address = { \"*:1\" } }",
			"TLS needs tls.certificate" },
		{ DIRECTORY "listen \"a\" { protocol = submission address = { \"*:1\" } }",
			"submission needs tls" },
		{ "directory \"d\" { uris = { \"ldap://x\" } bind_method = magic }",
			"bind_method must be" },
		{ "directory \"d\" { uris = { \"ldap://x\" } bind_method = gssapi }",
			"needs bind_keytab" },
		{ "directory \"d\" { uris = { \"ldap://x\" } bind_method = external }",
			"needs ldapi:// or client_certificate" },
		{ "directory \"d\" { uris = { \"ldap://x\" } user_dn = \"uid=%{local},dc=x\" "
		  "enabled_attribute = active }",
			"enabled_attribute would be ignored" },
		{ "directory \"d\" { uris = { \"ldap://x\" } user_dn = \"uid=%{local},dc=x\" "
		  "user_dn_read = no bind_method = external client_certificate = /x "
		  "client_key = /x networks_attribute = host }",
			"networks_attribute would be ignored" },
		{ "directory \"d\" { uris = { \"ldap://x\" } referrals = yes }",
			"needs referral_hosts" },
		{ "imap { message_limit = 999 }\n", "imap.message_limit must be 0 or" },
		{ DIRECTORY "outbound { tls = dane }\n", "tls = dane needs dns_trust_anchor" },
		{ DIRECTORY "tls_policy 'x.org' { tls = dane-only }\n",
			"tls = dane needs dns_trust_anchor" },
		{ DIRECTORY "outbound { tls = sometimes }\n",
			"outbound: there is no tls = sometimes; it is none, may" },
		{ DIRECTORY "relay 'a' { host = 'a' tls = always }\n",
			"relay \"a\": there is no tls = always" },
		{ DIRECTORY "tls_policy 'x.org' { tls = always }\n",
			"tls_policy \"x.org\": there is no tls = always" },
		{ DIRECTORY "relay 'a' { host = 'smtp.example.net:587:3' }\n",
			"\"smtp.example.net:587:3\" is no host such as" },
		{ DIRECTORY "relay 'a' { host = '[smtp.example.net' }\n", "is no host such as" },
		{ DIRECTORY "relay 'a' { host = '[smtp.example.net]587' }\n",
			"is no host such as" },
		{ DIRECTORY "relay 'a' { host = '[smtp.example.net]:0' }\n", "is no host such as" },
		{ DIRECTORY "relay 'a' { host = 'smtp..net' }\n", "is no host such as" },
		{ DIRECTORY "relay 'a' { host = 'smtp.example.net port 587' }\n",
			"is no host such as" },
		{ DIRECTORY "relay 'a' { host = 'b' username = us }\n",
			"relay \"a\": username needs password" },
		{ DIRECTORY "relay 'a' { domains = { 'stra\xc3\x9f"
			    "e.example' } }\n",
			"relay \"a\": domains: write stra\xc3\x9f"
			"e.example in A-labels" },
		{ DIRECTORY "relay 'a' { sender_domains = { '*', '.b.org', 'a@b.org' } }\n",
			"sender_domains: \"a@b.org\" is no domain" },
		{ DIRECTORY "dns_servers = { '192.0.2.1', 'ns.example.org' }\n",
			"dns_servers: \"ns.example.org\" is no address" },
		{ DIRECTORY "dns_servers = { '192.0.2.1@0' }\n", "is no address such as" },
		{ DIRECTORY "dns_servers = { '2001:db8::1', '192.0.2.1:53' }\n",
			"\"192.0.2.1:53\" is no address" },
	};
	struct settings *s;
	struct buf err;

	(void)state;
	buf_init(&err, 65536);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		enum err e = load(table[i].text, false, &s, &err);
		if (e == ERR_OK || str_find(buf_str(&err), str_of(table[i].want)) == err.n)
			fail_msg("case %zu: want \"%s\", got %s \"%.*s\"", i, table[i].want,
				err_name(e), STR_FMT(buf_str(&err)));
		assert_null(s);
	}
	assert_int_equal(settings_load("/nonexistent/postroom.conf", true, &s, &err), ERR_NOTFOUND);
	buf_fini(&err);
}

static void
test_secret(void **state)
{
	struct settings *s;
	struct buf err;
	char text[512];

	(void)state;
	buf_init(&err, 4096);
	(void)snprintf(text, sizeof text,
		"directory \"d\" { uris = { \"ldap://x\" } bind_dn = 'cn=x' bind_password = "
		"\"%s/pw\" }",
		dir);
	put_file("pw", "s3cret\n", 0640);
	assert_int_equal(load(text, true, &s, &err), ERR_OK);
	assert_true(str_eq(s->directories[0].bind_password, STR("s3cret")));
	settings_free(s);
	put_file("pw", "s3\rcret\n\r\n", 0600);
	assert_int_equal(load(text, true, &s, &err), ERR_OK);
	assert_true(str_eq(s->directories[0].bind_password, STR("s3\rcret\n")));
	settings_free(s);
	put_file("pw", "s3cret\n", 0640);
	assert_int_equal(load(text, true, &s, &err), ERR_OK);
	struct buf shown;
	buf_init(&shown, 1 << 20);
	settings_print(s, false, &shown);
	assert_int_equal(str_find(buf_str(&shown), STR("s3cret")), shown.n);
	assert_true(str_find(buf_str(&shown), STR("/pw\"")) < shown.n);
	settings_free(s);
	put_file("pw", "s3cret\n", 0644);
	assert_int_not_equal(load(text, true, &s, &err), ERR_OK);
	assert_true(str_find(buf_str(&err), STR("others can read it")) < err.n);
	assert_int_equal(load(text, false, &s, &err), ERR_OK);
	assert_int_equal(s->directories[0].bind_password.n, 0);
	settings_free(s);
	put_file("pw", "\n", 0600);
	assert_int_not_equal(load(text, true, &s, &err), ERR_OK);
	assert_true(str_find(buf_str(&err), STR("/pw: is empty")) < err.n);
	buf_reset(&err);
	put_file("pw", "\r\n", 0600);
	assert_int_not_equal(load(text, true, &s, &err), ERR_OK);
	assert_true(str_find(buf_str(&err), STR("/pw: is empty")) < err.n);
	/* the secret itself instead of its file; one that begins with a file's name, a long one */
	static const char *const typed[] = { "s3cret", "Makefile/s3cret", "s3cret" };
	put_file("pw", "s3cret\n", 0600);
	for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++) {
		struct buf secret;
		buf_init(&secret, 1024);
		buf_addz(&secret, "directory \"d\" { uris = { \"ldap://x\" } bind_dn = 'cn=x' "
				  "bind_password = '");
		buf_addf(&secret, "%s%0*d", typed[i], i == 2 ? 300 : 1, 0);
		buf_addz(&secret, "' }");
		buf_reset(&err);
		assert_int_not_equal(load(buf_z(&secret), true, &s, &err), ERR_OK);
		assert_true(str_find(buf_str(&err), STR("the path of a file that holds")) < err.n);
		assert_int_equal(str_find(buf_str(&err), STR("s3cret")), err.n);
		buf_fini(&secret);
	}
	put_file("pw", "s3cret\n", 0600);
	/* the file that names secrets, too */
	put_file("pw", "s3cret\n", 0600);
	put_file("postroom.conf", text, 0644);
	assert_int_equal(settings_load(path, true, &s, &err), ERR_DENIED);
	buf_fini(&shown);
	buf_fini(&err);
}

static void
test_pack(void **state)
{
	struct settings *s, *t;
	struct buf err, packed;

	(void)state;
	buf_init(&err, 4096);
	buf_init(&packed, 1 << 20);
	assert_int_equal(load("hostname = h\nimap { line_max = 2K }\nspool_dir = /s\n"
			      "directory \"a\" { uris = { \"ldap://1\" } starttls = no }\n"
			      "directory \"b\" { uris = { \"ldap://2\", \"ldap://3\" } }\n",
				 false, &s, &err),
		ERR_OK);
	settings_pack(s, ROLE_IMAP, &packed);
	assert_int_equal(settings_unpack(buf_str(&packed), &t), ERR_OK);
	assert_true(str_eq(t->hostname, STR("h")));
	assert_int_equal(t->imap.line_max, 2048);
	assert_int_equal(t->directories_count, 0);
	assert_true(str_eq(t->spool_dir, STR("/var/spool/postroom")));
	settings_free(t);
	buf_reset(&packed);
	settings_pack(s, ROLE_AUTH, &packed);
	assert_int_equal(settings_unpack(buf_str(&packed), &t), ERR_OK);
	assert_int_equal(t->imap.line_max, 65536);
	assert_int_equal(t->directories_count, 2);
	assert_true(str_eq(t->directories[1].title, STR("b")));
	assert_true(str_eq(t->directories[1].uris.v[1], STR("ldap://3")));
	assert_false(t->directories[0].starttls);
	settings_free(t);
	/* every cut is refused, none crashes */
	for (size_t n = 1; n < packed.n; n++)
		if (settings_unpack(str_sub(buf_str(&packed), 0, n), &t) == ERR_OK)
			settings_free(t);
	settings_free(s);
	buf_fini(&packed);
	buf_fini(&err);
}

/* auth never sees a database's password, nor its helpers the directory's; the others neither. */
static void
test_pack_secrets(void **state)
{
	static const char *const text =
		"directory \"a\" { uris = { \"ldap://1\" } bind_password = \"%s/pw\" }\n"
		"sql \"b\" { driver = mysql host = h database = d password = \"%s/pw2\"\n"
		"user_query = \"SELECT 1 WHERE a = %%{user}\" domains = { \"example.org\" } }\n"
		"passwd_file \"c\" { path = \"/etc/secret-users\" }\n";
	static const unsigned others[] = { ROLE_GATE, ROLE_IMAP, ROLE_LMTP, ROLE_SMTP, ROLE_QUEUE };
	struct buf err, packed, conf;
	struct settings *s, *t;

	(void)state;
	buf_init(&err, 4096);
	buf_init(&conf, 4096);
	buf_init(&packed, 1 << 20);
	put_file("pw", "directory-secret", 0600);
	put_file("pw2", "database-secret", 0600);
	buf_addf(&conf, text, dir, dir);
	assert_int_equal(load(buf_z(&conf), true, &s, &err), ERR_OK);
	settings_pack(s, ROLE_AUTH, &packed);
	assert_true(str_find(buf_str(&packed), STR("directory-secret")) < packed.n);
	assert_true(str_find(buf_str(&packed), STR("database-secret")) == packed.n);
	assert_true(str_find(buf_str(&packed), STR("secret-users")) == packed.n);
	assert_int_equal(settings_unpack(buf_str(&packed), &t), ERR_OK);
	assert_int_equal(t->sqls_count, 1);
	assert_true(str_eq(t->sqls[0].title, STR("b")));
	assert_int_equal(t->sqls[0].domains.n, 1);
	assert_int_equal(t->passwd_files_count, 1);
	settings_free(t);
	buf_reset(&packed);
	settings_pack(s, ROLE_AUTHWORKER, &packed);
	assert_true(str_find(buf_str(&packed), STR("directory-secret")) == packed.n);
	assert_true(str_find(buf_str(&packed), STR("database-secret")) < packed.n);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		buf_reset(&packed);
		settings_pack(s, others[i], &packed);
		assert_true(str_find(buf_str(&packed), STR("-secret")) == packed.n);
		assert_true(str_find(buf_str(&packed), STR("secret-")) == packed.n);
	}
	settings_free(s);
	buf_fini(&packed);
	buf_fini(&conf);
	buf_fini(&err);
}

#define ADDRESS "address = { \"127.0.0.1:24\" } }"

/* The certificate's key: to those who speak TLS, and to lmtp only where a listener of its does. */
static void
test_pack_key(void **state)
{
	static const struct {
		const char *listen;
		unsigned role;
		bool has;
	} table[] = {
		{ "", ROLE_GATE, true },
		{ "", ROLE_SMTP, true },
		{ "", ROLE_LMTP, false },
		{ "", ROLE_IMAP, false },
		{ "listen \"x\" { protocol = lmtp tls = none " ADDRESS, ROLE_LMTP, false },
		{ "listen \"x\" { protocol = imap tls = starttls " ADDRESS, ROLE_LMTP, false },
		{ "listen \"x\" { protocol = lmtp tls = starttls " ADDRESS, ROLE_LMTP, true },
		{ "listen \"x\" { protocol = lmtp tls = implicit " ADDRESS, ROLE_LMTP, true },
		{ "listen \"x\" { protocol = lmtp tls = implicit " ADDRESS, ROLE_IMAP, false },
		{ "listen \"x\" { protocol = lmtp tls = implicit " ADDRESS, ROLE_QUEUE, false },
	};

	(void)state;
	put_file("cert", "a certificate", 0644);
	put_file("key", "the-private-key", 0600);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf err, packed, conf;
		struct settings *s;
		buf_init(&err, 4096);
		buf_init(&conf, 4096);
		buf_init(&packed, 1 << 20);
		buf_addf(&conf,
			"passwd_file \"p\" { path = \"%s/none\" }\n"
			"tls { certificate = \"%s/cert\" key = \"%s/key\" }\n%s\n",
			dir, dir, dir, table[i].listen);
		if (load(buf_z(&conf), true, &s, &err) != ERR_OK)
			fail_msg("%s: %s", table[i].listen, buf_z(&err));
		settings_pack(s, table[i].role, &packed);
		if ((str_find(buf_str(&packed), STR("the-private-key")) < packed.n) != table[i].has)
			fail_msg("%zu: %s", i, table[i].listen);
		settings_free(s);
		buf_fini(&packed);
		buf_fini(&conf);
		buf_fini(&err);
	}
}

static void
test_print(void **state)
{
	struct settings *s;
	struct buf err, out;

	(void)state;
	buf_init(&err, 4096);
	buf_init(&out, 1 << 20);
	const char *text = "hostname = \"h\"\nimap {\n\tline_max = 2K\n\tidle_timeout = 90m\n}\n"
			   "directory \"a\" {\n\turis = { \"ldap://1\", \"ldap://2\" }\n"
			   "\tstarttls = no\n}\n";
	assert_int_equal(load(text, false, &s, &err), ERR_OK);
	settings_print(s, true, &out);
	char *z = str_dup(buf_str(&out));
	assert_string_equal(z, text);
	free(z);
	settings_free(s);
	/* what it prints in full, it reads again */
	assert_int_equal(load(text, false, &s, &err), ERR_OK);
	buf_reset(&out);
	settings_print(s, false, &out);
	settings_free(s);
	z = str_dup(buf_str(&out));
	assert_int_equal(load(z, false, &s, &err), ERR_OK);
	assert_int_equal(s->imap.line_max, 2048);
	settings_free(s);
	free(z);
	buf_reset(&out);
	settings_manual(&out);
	assert_true(
		str_find(buf_str(&out), STR(".It Ic line_max Pq size , default Ql 64K")) < out.n);
	buf_fini(&out);
	buf_fini(&err);
}

static const struct settings_directory *
directory_of(struct settings *s, size_t i)
{
	assert_true(i < s->directories_count);
	return &s->directories[i];
}

/* A preset fills what the file leaves out, wherever its line stands; what the file says wins, also
 * when it says "nothing"; and a role gets all of it. */
static void
test_presets(void **state)
{
	static const char text[] =
		"directory \"ad\" {\n\tuser_attribute = \"userPrincipalName\"\n"
		"\turis = { \"ldap://a\" }\n\texpiry_attribute = \"\"\n"
		"\tschema = active-directory\n}\n"
		"directory \"ipa\" {\n\turis = { \"ldap://b\" }\n\tschema = freeipa\n}\n"
		"directory \"plain\" {\n\turis = { \"ldap://c\" }\n}\n";
	struct settings *s, *at_role;
	struct buf err, out;

	(void)state;
	buf_init(&err, 4096);
	buf_init(&out, 1 << 20);
	assert_int_equal(load(text, false, &s, &err), ERR_OK);
	settings_pack(s, ROLE_AUTH, &out);
	assert_int_equal(settings_unpack(buf_str(&out), &at_role), ERR_OK);
	const struct settings_directory *d = directory_of(at_role, 0);
	assert_true(str_find(d->user_filter, STR("sAMAccountName")) < d->user_filter.n);
	assert_true(str_eq(d->user_attribute, STR("userPrincipalName")));
	assert_int_equal(d->expiry_attribute.n, 0);
	assert_true(str_eq(d->expiry_format, STR("filetime")));
	assert_int_equal(d->disabled_values.n, 1);
	assert_true(str_eq(d->disabled_values.v[0], STR("bit:2")));
	d = directory_of(at_role, 1);
	assert_true(str_eq(d->user_base, STR("cn=users,cn=accounts,%{base}")));
	assert_true(str_eq(d->enabled_attribute, STR("nsAccountLock")));
	d = directory_of(at_role, 2);
	assert_int_equal(d->user_base.n, 0);
	assert_true(str_eq(d->home_attribute, STR("postroomHome")));
	settings_free(at_role);

	/* shown: everything in full, or only what the file changed of the preset */
	buf_reset(&out);
	settings_print(s, false, &out);
	assert_true(str_find(buf_str(&out), STR("disabled_values = { \"bit:2\" }")) < out.n);
	buf_reset(&out);
	settings_print(s, true, &out);
	assert_true(str_find(buf_str(&out), STR("disabled_values")) == out.n);
	assert_true(str_find(buf_str(&out), STR("expiry_attribute = \"\"")) < out.n);
	assert_true(str_find(buf_str(&out), STR("schema = \"freeipa\"")) < out.n);
	settings_free(s);
	buf_reset(&out);
	settings_manual(&out);
	assert_true(str_find(buf_str(&out), STR(".Li active-directory :")) < out.n);
	buf_fini(&out);

	assert_int_equal(load("directory \"x\" { uris = { \"ldap://a\" } schema = exchange }",
				 false, &s, &err),
		ERR_SYNTAX);
	assert_true(str_find(buf_str(&err), STR("schema must be")) < err.n);
	buf_fini(&err);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_pack),
		cmocka_unit_test(test_pack_secrets),
		cmocka_unit_test(test_pack_key),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_presets),
	};

	if (mkdtemp(dir) == NULL)
		return 1;
	(void)snprintf(path, sizeof path, "%s/postroom.conf", dir);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	char pw[64];

	(void)snprintf(pw, sizeof pw, "%s/pw", dir);
	unlink(pw);
	(void)snprintf(pw, sizeof pw, "%s/pw2", dir);
	unlink(pw);
	unlink(path);
	rmdir(dir);
	return failed;
}
