#ifndef POSTROOM_BASE_LOG_H
#define POSTROOM_BASE_LOG_H

#include "core/base/str.h"

/* One line an event, key=value, values escaped so that a peer's bytes are
 * harmless:
 *   ts=2026-11-21T08:00:00.123Z lvl=info role=smtp pid=7 ev=smtp.rcpt sid=8f3a res=deny
 * error: the operator must act; warn; info: one a step of a transaction; debug.
 * Secrets and message bodies are never logged, at any level. */
enum log_level {
	LVL_ERROR,
	LVL_WARN,
	LVL_INFO,
	LVL_DEBUG,
};

struct log_field {
	const char *key;
	struct str s;
	int64_t num;
	bool is_num;
};

/* Keys are our own literals; values may be any bytes (cut at 400). */
static inline struct log_field
log_s(const char *key, struct str s)
{
	return (struct log_field){ .key = key, .s = s };
}
static inline struct log_field
log_z(const char *key, const char *z)
{
	return (struct log_field){ .key = key, .s = str_of(z) };
}
static inline struct log_field
log_n(const char *key, int64_t n)
{
	return (struct log_field){ .key = key, .num = n, .is_num = true };
}
static inline struct log_field
log_e(const char *key, enum err e)
{
	return (struct log_field){ .key = key, .s = str_of(err_name(e)) };
}

/* log_event(LVL_INFO, "imap.login", log_z("sid", sid), log_n("ms", 12));
 * at least one field. A field with an empty value is left out. */
#define log_event(lvl, ev, ...) \
	log_write(lvl, ev, (const struct log_field[]){ __VA_ARGS__, { .key = NULL } })

/* fields end with one whose key is NULL. Never blocks: on a full socket the
 * line is dropped, and the next one that passes says drops=N. Any thread. */
void
log_write(enum log_level lvl, const char *ev, const struct log_field *fields);

/* role: a literal, kept. Lines above level are not written. fd: where lines go
 * (a datagram socket or stderr); not owned. Defaults: "postroom", LVL_INFO, 2. */
void
log_setup(const char *role, enum log_level level, int fd);
/* Lines of this thread below LVL_WARN wait until log_flush, up to 4 KiB of them, and leave
 * together; warnings and errors leave at once, behind those that wait. core/event/loop flushes
 * before it waits. A process that crashes loses what its last callbacks wrote. */
void
log_gather(bool on);
void
log_flush(void);
void
log_set_level(enum log_level level);
bool
log_enabled(enum log_level lvl);

/* "error" "warn" "info" "debug". ERR_SYNTAX otherwise. */
MUST_USE enum err
log_level_parse(struct str s, enum log_level *out);

#endif
