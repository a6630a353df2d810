/* config/table.h as arrays, and the defaults. Everything else in config/ walks these arrays. */
#include "config/rows.h"

#include <assert.h>

#include "core/base/arena.h"
#include "core/base/xalloc.h"

#define DEFAULT_BOOL(v)	  .num = (v)
#define DEFAULT_INT(v)	  .num = (v)
#define DEFAULT_SIZE(v)	  .num = (v)
#define DEFAULT_TIME(v)	  .num = (v)
#define DEFAULT_STRING(v) .text = (v)
#define DEFAULT_LIST(v)	  .text = (v)
#define DEFAULT_FILE(v)	  .text = (v)
#define DEFAULT_SECRET(v) .text = (v)

#define ROW(st, name_, type_, default_, min_, max_, roles_, help_) \
	{ .name = #name_,                                          \
		.type = SETTING_##type_,                           \
		DEFAULT_##type_(default_),                         \
		.min = (min_),                                     \
		.max = (max_),                                     \
		.roles = (roles_),                                 \
		.help = (help_),                                   \
		.offset = offsetof(st, name_) },

#define ROW_GLOBAL(...)	     ROW(struct settings, __VA_ARGS__)
#define ROW_LOG(...)	     ROW(struct settings_log, __VA_ARGS__)
#define ROW_TLS(...)	     ROW(struct settings_tls, __VA_ARGS__)
#define ROW_AUTH(...)	     ROW(struct settings_auth, __VA_ARGS__)
#define ROW_IMAP(...)	     ROW(struct settings_imap, __VA_ARGS__)
#define ROW_SMTP(...)	     ROW(struct settings_smtp, __VA_ARGS__)
#define ROW_LMTP(...)	     ROW(struct settings_lmtp, __VA_ARGS__)
#define ROW_QUEUE(...)	     ROW(struct settings_queue, __VA_ARGS__)
#define ROW_STORE(...)	     ROW(struct settings_store, __VA_ARGS__)
#define ROW_DIRECTORY(...)   ROW(struct settings_directory, __VA_ARGS__)
#define ROW_WORKER(...)	     ROW(struct settings_worker, __VA_ARGS__)
#define ROW_PASSWD_FILE(...) ROW(struct settings_passwd_file, __VA_ARGS__)
#define ROW_PAM(...)	     ROW(struct settings_pam, __VA_ARGS__)
#define ROW_SQL(...)	     ROW(struct settings_sql, __VA_ARGS__)
#define ROW_OUTBOUND(...)    ROW(struct settings_outbound, __VA_ARGS__)
#define ROW_RELAY(...)	     ROW(struct settings_relay, __VA_ARGS__)
#define ROW_TLS_POLICY(...)  ROW(struct settings_tls_policy, __VA_ARGS__)
#define ROW_DNSBL(...)	     ROW(struct settings_dnsbl, __VA_ARGS__)
#define ROW_DNSWL(...)	     ROW(struct settings_dnswl, __VA_ARGS__)
#define ROW_ALIAS(...)	     ROW(struct settings_alias, __VA_ARGS__)
#define ROW_LISTEN(...)	     ROW(struct settings_listen, __VA_ARGS__)

static const struct setting_row rows_global[] = { SETTINGS_GLOBAL(ROW_GLOBAL) };
#define ROWS(section, SECTION) \
	static const struct setting_row rows_##section[] = { SETTINGS_##SECTION(ROW_##SECTION) };
SETTINGS_SECTIONS(ROWS)
static const struct setting_row rows_directory[] = { SETTINGS_DIRECTORY(ROW_DIRECTORY) };
static const struct setting_row rows_passwd_file[] = { SETTINGS_PASSWD_FILE(ROW_PASSWD_FILE) };
static const struct setting_row rows_pam[] = { SETTINGS_PAM(ROW_PAM) };
static const struct setting_row rows_sql[] = { SETTINGS_SQL(ROW_SQL) };
static const struct setting_row rows_relay[] = { SETTINGS_RELAY(ROW_RELAY) };
static const struct setting_row rows_tls_policy[] = { SETTINGS_TLS_POLICY(ROW_TLS_POLICY) };
static const struct setting_row rows_dnsbl[] = { SETTINGS_DNSBL(ROW_DNSBL) };
static const struct setting_row rows_dnswl[] = { SETTINGS_DNSWL(ROW_DNSWL) };
static const struct setting_row rows_alias[] = { SETTINGS_ALIAS(ROW_ALIAS) };
static const struct setting_row rows_listen[] = { SETTINGS_LISTEN(ROW_LISTEN) };

#define SECTION(section, SECTION)                          \
	{ .name = #section,                                \
		.rows = rows_##section,                    \
		.rows_count = ARRAY_LEN(rows_##section),   \
		.size = sizeof(struct settings_##section), \
		.offset = offsetof(struct settings, section) },

#define TITLED(section, array)                             \
	{ .name = #section,                                \
		.titled = true,                            \
		.rows = rows_##section,                    \
		.rows_count = ARRAY_LEN(rows_##section),   \
		.size = sizeof(struct settings_##section), \
		.offset = offsetof(struct settings, array) },

const struct setting_section setting_sections[] = {
	{ .name = "", .rows = rows_global, .rows_count = ARRAY_LEN(rows_global) },
	SETTINGS_SECTIONS(SECTION) SETTINGS_TITLED(TITLED)
};
const size_t setting_sections_count = ARRAY_LEN(setting_sections);

/* An array's element count lies right behind its pointer in struct settings. */
#define CHECK_TITLED(section, array)                                              \
	_Static_assert(offsetof(struct settings, array##_count) ==                \
			       offsetof(struct settings, array) + sizeof(void *), \
		"pointer, then count");                                           \
	_Static_assert(offsetof(struct settings_##section, title) == 0, "the title comes first");
SETTINGS_TITLED(CHECK_TITLED)

void *
settings_instance(struct settings *s, const struct setting_section *section, size_t instance)
{
	char *at = (char *)s + section->offset;

	if (!section->titled)
		return at;
	char *array;

	memcpy(&array, at, sizeof array);
	return array + instance * section->size;
}

size_t
settings_instances(const struct settings *s, const struct setting_section *section)
{
	size_t n = 1;

	if (section->titled)
		memcpy(&n, (const char *)s + section->offset + sizeof(void *), sizeof n);
	return n;
}

struct str
settings_title(const struct settings *s, const struct setting_section *section, size_t instance)
{
	struct str title = STR_EMPTY;
	const char *array;

	if (section->titled) {
		memcpy(&array, (const char *)s + section->offset, sizeof array);
		memcpy(&title, array + instance * section->size, sizeof title);
	}
	return title;
}

static void
default_list(const struct setting_row *row, struct arena *a, struct str_list *out)
{
	struct str rest = str_trim(str_of(row->text)), head;
	size_t n = 0;

	*out = (struct str_list){ .v = arena_calloc(a, 64, sizeof *out->v) };
	assert(out->v != NULL);
	while (rest.n != 0) {
		(void)str_cut(rest, ' ', &head, &rest);
		enum err e = arena_str(a, head, &out->v[n++]);
		assert(e == ERR_OK && n < 64);
	}
	out->n = n;
}

void
setting_default(const struct setting_row *row, struct arena *a, void *field)
{
	struct str s;
	bool b;

	switch (row->type) {
	case SETTING_BOOL:
		b = row->num != 0;
		memcpy(field, &b, sizeof b);
		break;
	case SETTING_INT:
	case SETTING_SIZE:
	case SETTING_TIME:
		memcpy(field, &row->num, sizeof row->num);
		break;
	case SETTING_LIST:
		default_list(row, a, field);
		break;
	case SETTING_STRING:
		s = str_of(row->text);
		memcpy(field, &s, sizeof s);
		break;
	case SETTING_FILE:
	case SETTING_SECRET:
		s = STR_EMPTY;
		memcpy(field, &s, sizeof s);
		break;
	}
}

static void
section_defaults(struct settings *s, const struct setting_section *sec)
{
	for (size_t k = 0; k < settings_instances(s, sec); k++) {
		char *at = settings_instance(s, sec, k);
		for (size_t r = 0; r < sec->rows_count; r++)
			setting_default(&sec->rows[r], s->memory, at + sec->rows[r].offset);
	}
}

struct settings *
settings_new(void)
{
	struct arena *a = arena_new(64 << 20);
	struct settings *s = arena_calloc(a, 1, sizeof *s);

	assert(s != NULL);
	s->memory = a;
	for (size_t i = 0; i < setting_sections_count; i++)
		section_defaults(s, &setting_sections[i]);
	return s;
}

struct settings *
settings_defaults(void)
{
	return settings_new();
}

size_t
settings_worker_sections(const struct settings *s)
{
	return s->passwd_files_count + s->pams_count + s->sqls_count;
}
