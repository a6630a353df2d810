/* The log: one line an event; see log.h. Lines leave whole, one or several in one write. */
#include "core/base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"

enum { LINE_MAX_BYTES = 4096, VALUE_MAX_BYTES = 400 };

static const char *log_role = "postroom";
static _Atomic int log_level_now = LVL_INFO;
static int log_fd = 2;
static pid_t log_pid;		   /* one system call a line less */
static atomic_bool log_fd_is_file; /* or a pipe: send() is for sockets */
static atomic_uint log_drops;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

struct line {
	char p[LINE_MAX_BYTES];
	size_t n;
};

/* What this thread has gathered. */
static _Thread_local struct {
	bool on;
	unsigned lines;
	size_t n;
	char p[LINE_MAX_BYTES];
} held;

void
log_setup(const char *role, enum log_level level, int fd)
{
	log_role = role;
	log_level_now = (int)level;
	log_fd = fd;
	log_pid = getpid();
	log_fd_is_file = false;
}

void
log_set_level(enum log_level level)
{
	log_level_now = (int)level;
}

bool
log_enabled(enum log_level lvl)
{
	return (int)lvl <= log_level_now;
}

enum err
log_level_parse(struct str s, enum log_level *out)
{
	for (int i = LVL_ERROR; i <= LVL_DEBUG; i++)
		if (str_eq(s, str_of(level_names[i]))) {
			*out = (enum log_level)i;
			return ERR_OK;
		}
	return ERR_SYNTAX;
}

static void
put(struct line *l, const char *p, size_t n)
{
	/* the last byte is kept for the newline */
	if (n < sizeof l->p - l->n) {
		memcpy(l->p + l->n, p, n);
		l->n += n;
	}
}

/* What may stand in a value as it is, and as it is once there are quotes around it. */
static bool
is_bare(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

static bool
is_quotable(unsigned char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static bool
is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_bare((unsigned char)s.p[i]))
			return false;
	return true;
}

static size_t
quotable_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && is_quotable((unsigned char)s.p[n]))
		n++;
	return n;
}

/* Octets of the control character beyond ASCII that s, UTF-8, begins with: C1 (U+009B begins what
 * terminals obey), the line and paragraph separators; 0: none. */
static size_t
control_length(struct str s)
{
	if (str_starts(s, STR("\xe2\x80\xa8")) || str_starts(s, STR("\xe2\x80\xa9")))
		return 3;
	return s.n > 1 && s.p[0] == '\xc2' && (unsigned char)s.p[1] < 0xa0 ? 2 : 0;
}

/* As far as there is room. */
static void
put_run(struct line *l, struct str s)
{
	size_t room = sizeof l->p - l->n - 1;

	put(l, s.p, s.n < room ? s.n : room);
}

static void
put_value(struct line *l, struct str s)
{
	bool cut = s.n > VALUE_MAX_BYTES;
	size_t control = 0; /* so many octets of one follow */
	bool utf8;

	if (cut)
		s.n = VALUE_MAX_BYTES;
	if (!cut && is_plain(s)) {
		put(l, s.p, s.n);
		return;
	}
	utf8 = str_is_utf8(s);
	put(l, "\"", 1);
	for (size_t i = 0, run; i < s.n; i++) {
		run = quotable_length(str_from(s, i));
		put_run(l, str_sub(s, i, run));
		i += run;
		if (i >= s.n)
			break;
		unsigned char c = (unsigned char)s.p[i];
		char esc[5];
		if (control == 0)
			control = control_length(str_from(s, i));
		if (c == '"' || c == '\\') {
			put(l, "\\", 1);
			put(l, s.p + i, 1);
		} else if (c < ' ' || c == 0x7f || (c >= 0x80 && !utf8) || control > 0) {
			(void)snprintf(esc, sizeof esc, "\\x%02x", c);
			put(l, esc, 4);
			control -= control > 0;
		} else {
			put(l, s.p + i, 1);
		}
	}
	put(l, cut ? "...\"" : "\"", cut ? 4 : 1);
}

static void
put_key(struct line *l, const char *key)
{
	put(l, " ", 1);
	put(l, key, strlen(key));
	put(l, "=", 1);
}

static void
put_num(struct line *l, const char *key, int64_t v)
{
	uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	char tmp[24];
	size_t at = sizeof tmp;

	do {
		tmp[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left != 0);
	if (v < 0)
		tmp[--at] = '-';
	put_key(l, key);
	put(l, tmp + at, sizeof tmp - at);
}

static void
put_head(struct line *l, enum log_level lvl, const char *ev)
{
	char ts[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ms(), ts);
	put(l, "ts=", 3);
	put(l, ts, strlen(ts));
	put_key(l, "lvl");
	put(l, level_names[lvl], strlen(level_names[lvl]));
	put_key(l, "role");
	put(l, log_role, strlen(log_role));
	put_num(l, "pid", log_pid != 0 ? log_pid : getpid());
	put_key(l, "ev");
	put(l, ev, strlen(ev));
}

/* drops: how many lines are lost when they cannot leave. */
static void
send_lines(const char *p, size_t n, unsigned drops)
{
	ssize_t sent = -1;

	if (!log_fd_is_file) {
		sent = send(log_fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		log_fd_is_file = sent < 0 && errno == ENOTSOCK;
	}
	if (log_fd_is_file)
		sent = write(log_fd, p, n);
	if (sent < 0)
		atomic_fetch_add(&log_drops, drops);
}

void
log_write(enum log_level lvl, const char *ev, const struct log_field *fields)
{
	struct line l;
	unsigned drops;

	if (!log_enabled(lvl))
		return;
	l.n = 0;
	put_head(&l, lvl, ev);
	for (const struct log_field *f = fields; f->key != NULL; f++) {
		if (f->is_num) {
			put_num(&l, f->key, f->num);
		} else if (f->s.n != 0) {
			put_key(&l, f->key);
			put_value(&l, f->s);
		}
	}
	drops = atomic_exchange(&log_drops, 0);
	if (drops != 0)
		put_num(&l, "drops", drops);
	l.p[l.n++] = '\n';
	if (l.n > sizeof held.p - held.n)
		log_flush();
	if (!held.on) {
		send_lines(l.p, l.n, drops + 1);
		return;
	}
	memcpy(held.p + held.n, l.p, l.n);
	held.n += l.n;
	held.lines += drops + 1;
	if (lvl <= LVL_WARN)
		log_flush();
}

void
log_flush(void)
{
	if (held.n > 0)
		send_lines(held.p, held.n, held.lines);
	held.n = 0;
	held.lines = 0;
}

void
log_gather(bool on)
{
	if (!on)
		log_flush();
	held.on = on;
}
