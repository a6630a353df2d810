#ifndef POSTROOM_AUTH_SQL_DB_H
#define POSTROOM_AUTH_SQL_DB_H

#include "config/settings.h"
#include "core/base/arena.h"

/* A connection to a database, whichever: calls block, with the section's time-outs. */
struct db;

enum { DB_COLUMNS_MAX = 64, DB_VALUE_MAX = 60000 };

struct db_row {
	size_t n;
	struct str names[DB_COLUMNS_MAX];
	struct str values[DB_COLUMNS_MAX]; /* p NULL: NULL. Die with the row */
};
/* Not ERR_OK: the rest is not wanted; handed back by query. */
typedef enum err (*db_row_fn)(void *arg, const struct db_row *row);

struct db_driver {
	bool numbered; /* parameters are $1, $2 …, else ? */
	/* Keeps s. NULL: why says more. */
	struct db *(*open)(const struct settings_sql *s, struct buf *why);
	/* text with n parameters; fn for each row. ERR_OK; ERR_EOF: the connection is lost (close
	 * it, another may do); ERR_TEMP: the server refuses or was too slow; ERR_LIMIT: too many
	 * columns, too long values; or what fn said. why: the server's words. */
	enum err (*query)(struct db *d, struct str text, const struct str *params, size_t n,
		db_row_fn fn, void *arg, struct buf *why);
	void (*close)(struct db *d);
};

extern const struct db_driver db_mysql;
extern const struct db_driver db_pgsql;

/* Where Debian keeps the CAs that a machine trusts: for settings without a ca. */
#define DB_SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

#endif
