#ifndef POSTROOM_CONFIG_SETTINGS_H
#define POSTROOM_CONFIG_SETTINGS_H

#include "config/table.h"
#include "core/base/buf.h"

/* The settings as the programs see them: s->hostname, s->imap.line_max,
 * s->directories[0].base. Immutable after parsing; a reload makes a new one.
 * Every string has a NUL behind it. */
enum {
	ROLE_AUTH = 1 << 0,
	ROLE_GATE = 1 << 1,
	ROLE_IMAP = 1 << 2,
	ROLE_LMTP = 1 << 3,
	ROLE_SMTP = 1 << 4,
	ROLE_QUEUE = 1 << 5,
	ROLE_AUTHWORKER = 1 << 6,
	ROLE_RELAY = 1 << 7,
	ROLE_RESOLVER = 1 << 8,
	ROLE_LMTP_TLS =
		1 << 9, /* lmtp, where a listener of its speaks TLS: nobody else needs the key */
	ROLE_STORE = ROLE_IMAP | ROLE_LMTP,
	ROLE_TLS = ROLE_GATE | ROLE_SMTP | ROLE_LMTP_TLS,
	ROLE_AUTHS = ROLE_AUTH | ROLE_AUTHWORKER,
	ROLE_DNS = ROLE_AUTH | ROLE_RELAY | ROLE_RESOLVER,
	ROLE_ALL = (1 << 9) - 1,
};

enum { SETTINGS_ALIASES_MAX = 1000 };

struct str_list {
	struct str *v;
	size_t n;
};

#define SETTINGS_C_BOOL			bool
#define SETTINGS_C_INT			int64_t
#define SETTINGS_C_SIZE			int64_t
#define SETTINGS_C_TIME			int64_t
#define SETTINGS_C_STRING		struct str
#define SETTINGS_C_LIST			struct str_list
#define SETTINGS_C_FILE			struct str
#define SETTINGS_C_SECRET		struct str
#define SETTINGS_FIELD(name, type, ...) SETTINGS_C_##type name;

#define SETTINGS_STRUCT(section, SECTION)          \
	struct settings_##section {                \
		SETTINGS_##SECTION(SETTINGS_FIELD) \
	};
SETTINGS_SECTIONS(SETTINGS_STRUCT)

struct settings_directory {
	struct str title;
	SETTINGS_DIRECTORY(SETTINGS_FIELD)
};
struct settings_passwd_file {
	struct str title;
	SETTINGS_PASSWD_FILE(SETTINGS_FIELD)
};
struct settings_pam {
	struct str title;
	SETTINGS_PAM(SETTINGS_FIELD)
};
struct settings_sql {
	struct str title;
	SETTINGS_SQL(SETTINGS_FIELD)
};
struct settings_relay {
	struct str title;
	SETTINGS_RELAY(SETTINGS_FIELD)
};
struct settings_tls_policy {
	struct str title;
	SETTINGS_TLS_POLICY(SETTINGS_FIELD)
};
struct settings_dnsbl {
	struct str title;
	SETTINGS_DNSBL(SETTINGS_FIELD)
};
struct settings_dnswl {
	struct str title;
	SETTINGS_DNSWL(SETTINGS_FIELD)
};
struct settings_alias {
	struct str title;
	SETTINGS_ALIAS(SETTINGS_FIELD)
};
struct settings_listen {
	struct str title;
	SETTINGS_LISTEN(SETTINGS_FIELD)
};

#define SETTINGS_MEMBER(section, SECTION) struct settings_##section section;
struct settings {
	SETTINGS_GLOBAL(SETTINGS_FIELD)
	SETTINGS_SECTIONS(SETTINGS_MEMBER)
	struct settings_directory *directories;
	size_t directories_count;
	struct settings_passwd_file *passwd_files;
	size_t passwd_files_count;
	struct settings_pam *pams;
	size_t pams_count;
	struct settings_sql *sqls;
	size_t sqls_count;
	struct settings_relay *relays;
	size_t relays_count;
	struct settings_tls_policy *tls_policies;
	size_t tls_policies_count;
	struct settings_dnsbl *dnsbls;
	size_t dnsbls_count;
	struct settings_dnswl *dnswls;
	size_t dnswls_count;
	struct settings_alias *aliases;
	size_t aliases_count;
	struct settings_listen *listens;
	size_t listens_count;
	struct setting_source *sources; /* what the file said; config/ only */
	struct arena *memory;		/* all of the above */
};

/* Read a configuration file. On failure err_out gets "file:line: what is wrong" lines.
 * read_files: also read what FILE and SECRET settings name, and refuse secrets, and a
 * configuration file, that others can read; else those values stay empty.
 * ERR_SYNTAX, ERR_LIMIT, ERR_DENIED, ERR_NOTFOUND (no such file), ERR_TEMP. */
MUST_USE enum err
settings_load(const char *path, bool read_files, struct settings **out, struct buf *err_out);
/* Sections whose questions go to the helper processes: passwd_file, pam, sql. */
size_t
settings_worker_sections(const struct settings *s);
/* Does smtp ask the DNS anything, so that the role resolver runs? */
bool
settings_smtp_asks_dns(const struct settings *s);
/* The section that takes mail to a domain that is not ours: the one whose domains fit best, else
 * the one whose sender_domains do, else outbound.smarthost. NULL: none, so that MX records lead
 * on. sender_domain: of the envelope sender, "" for <>. */
const struct settings_relay *
settings_relay_for(const struct settings *s, struct str domain, struct str sender_domain);
/* NULL: there is none. */
const struct settings_relay *
settings_relay_named(const struct settings *s, struct str title);
/* All defaults: for tests. */
struct settings *
settings_defaults(void);
/* NULL is allowed. Secrets are wiped. */
void
settings_free(struct settings *s);

/* What one role gets: rows whose roles hold the bit, in a form that settings_unpack reads
 * (over the control socket; never on disk). */
void
settings_pack(const struct settings *s, unsigned role, struct buf *out);
MUST_USE enum err
settings_unpack(struct str packed, struct settings **out);

/* `postroom config`: every setting as it is, or only what differs from its default. Secrets
 * are shown as their file. */
void
settings_print(const struct settings *s, bool only_changed, struct buf *out);
/* The rows as mdoc, for postroom.conf(5). */
void
settings_manual(struct buf *out);

#endif
