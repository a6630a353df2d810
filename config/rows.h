#ifndef POSTROOM_CONFIG_ROWS_H
#define POSTROOM_CONFIG_ROWS_H

#include "config/settings.h"

/* The table of config/table.h as data: sections, each with its rows. Private to
 * config/. */
enum setting_type {
	SETTING_BOOL,
	SETTING_INT,
	SETTING_SIZE,
	SETTING_TIME,
	SETTING_STRING,
	SETTING_LIST,
	SETTING_FILE,
	SETTING_SECRET,
};

struct setting_row {
	const char *name;
	enum setting_type type;
	const char *text; /* default of STRING, LIST, FILE, SECRET */
	int64_t num;	  /* default of BOOL, INT, SIZE, TIME */
	int64_t min, max; /* of the number, the length, or the count of a list */
	unsigned roles;
	const char *help;
	size_t offset; /* in the section's struct */
};

struct setting_section {
	const char *name; /* "" for the settings outside any section */
	bool titled;	  /* may stand several times, each with a name */
	const struct setting_row *rows;
	size_t rows_count;
	size_t size;   /* of the section's struct */
	size_t offset; /* in struct settings; of the array's pointer when titled */
};

extern const struct setting_section setting_sections[];
extern const size_t setting_sections_count;

/* A value as it was written, kept for `postroom config` and for lines in errors. */
struct setting_source {
	const struct setting_section *section;
	const struct setting_row *row;
	size_t instance; /* which of a titled section, else 0 */
	struct str *values;
	size_t values_count;
	struct setting_source *next;
};

/* The start of the struct that holds section's instance. */
void *
settings_instance(struct settings *s, const struct setting_section *section, size_t instance);
size_t
settings_instances(const struct settings *s, const struct setting_section *section);
/* Title of a titled section's instance; empty for the others. */
struct str
settings_title(const struct settings *s, const struct setting_section *section, size_t instance);

/* Text to value at field (the row's place in its struct). values: as written; FILE and SECRET
 * take the content. Memory from a. ERR_SYNTAX or ERR_LIMIT with the reason in err_out. */
MUST_USE enum err
setting_convert(const struct setting_row *row, const struct str *values, size_t count,
	struct arena *a, void *field, struct buf *err_out);
/* The row's default into field. */
void
setting_default(const struct setting_row *row, struct arena *a, void *field);
/* The same where another setting decides it: a directory section's schema. ERR_NOTFOUND, and
 * nothing in field: no preset of that name. */
MUST_USE enum err
setting_preset(const struct settings *s, const struct setting_section *section, size_t instance,
	const struct setting_row *row, struct arena *a, void *field);
/* Every row that the file did not set gets what setting_preset says. */
void
settings_apply_presets(struct settings *s);
/* z, fit for a line of mdoc. */
void
manual_text(struct buf *out, const char *z);
/* The presets as mdoc. */
void
presets_manual(struct buf *out);
/* What settings_load promises beyond single values: listeners, directories, paths. Adds lines
 * to err_out. */
MUST_USE enum err
settings_cross_check(const struct settings *s, struct buf *err_out);
/* The part of it for the passwd_file, pam, sql and worker sections. */
MUST_USE enum err
settings_check_backends(const struct settings *s, struct buf *err_out);
/* The part of it for the outbound, relay and tls_policy sections. */
MUST_USE enum err
settings_check_relay(const struct settings *s, struct buf *err_out);
/* The part of it for the checks of smtp that ask the DNS. */
MUST_USE enum err
settings_check_smtp(const struct settings *s, struct buf *err_out);
/* The part of it for the alias sections. */
MUST_USE enum err
settings_check_aliases(const struct settings *s, struct buf *err_out);
struct settings *
settings_new(void);

/* What config/check.c and config/check_relay.c share: one line a mistake, into out. */
struct checking {
	struct buf *out;
	bool failed;
};
__attribute__((format(printf, 2, 3))) void
check_complain(struct checking *c, const char *fmt, ...);

#endif
