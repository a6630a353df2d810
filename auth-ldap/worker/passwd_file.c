/* Questions to a passwd_file section. The file is read whole, and again when it changed; what
 * cannot be read, or what others can, answers nothing but "temporary". Called by job.c in the
 * helper process; keeps one table for each file. */
#include "auth-ldap/worker/passwd_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	FILE_BYTES_MAX = 512 << 20,
	READ_BYTES = 256 * 1024,
	READ_TRIES = 3,
	BAD_LINES_LOGGED = 20,
};

struct file {
	struct file *next;
	char *path;
	char *default_domain, *default_scheme; /* what the table was made with */
	struct stat seen;
	struct passwd_table *table; /* NULL: why */
	const char *why;
};
static struct file *files;

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static enum err
read_all(int fd, struct buf *out)
{
	for (;;) {
		char *at = buf_reserve(out, READ_BYTES);
		if (at == NULL)
			return ERR_LIMIT;
		ssize_t n = read(fd, at, READ_BYTES);
		if (n <= 0)
			return n == 0 ? ERR_OK : ERR_TEMP;
		buf_commit(out, (size_t)n);
	}
}

/* The file as one state of it. ERR_AGAIN: it changed meanwhile. */
static enum err
read_file(struct file *f, struct buf *out)
{
	struct stat after;
	enum err e = ERR_TEMP;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	f->why = NULL;
	if (fd < 0 || fstat(fd, &f->seen) != 0)
		f->why = strerrordesc_np(errno);
	else if (!S_ISREG(f->seen.st_mode))
		f->why = "is not a regular file";
	else if ((f->seen.st_mode & S_IRWXO) != 0)
		f->why = "others can read it (chmod o-rwx)";
	else
		e = read_all(fd, out);
	if (f->why == NULL && e != ERR_OK)
		f->why = e == ERR_LIMIT ? "is too large" : strerrordesc_np(errno);
	if (e == ERR_OK && (fstat(fd, &after) != 0 || !same_file(&after, &f->seen)))
		e = ERR_AGAIN;
	if (fd >= 0)
		(void)close(fd);
	return e;
}

struct bad_lines {
	const struct file *file;
	unsigned count;
};

static void
on_bad(void *arg, unsigned line, const char *why)
{
	struct bad_lines *b = arg;

	if (b->count++ < BAD_LINES_LOGGED)
		log_event(LVL_ERROR, "authworker.line", log_z("file", b->file->path),
			log_n("line", line), log_z("reason", why));
}

static void
load(struct file *f)
{
	struct bad_lines bad = { .file = f };
	struct buf text;
	enum err e = ERR_AGAIN;

	passwd_table_free(f->table);
	f->table = NULL;
	buf_init_secret(&text, FILE_BYTES_MAX);
	for (int i = 0; e == ERR_AGAIN && i < READ_TRIES; i++) {
		buf_reset(&text);
		e = read_file(f, &text);
	}
	if (e == ERR_AGAIN)
		f->why = "keeps changing while it is read";
	if (e == ERR_OK && passwd_table_new(&text, str_of(f->default_domain),
				   str_of(f->default_scheme), on_bad, &bad, &f->table) != ERR_OK)
		f->why = "has too many lines";
	if (f->table == NULL)
		log_event(LVL_ERROR, "authworker.file", log_z("file", f->path),
			log_z("reason", f->why));
	else
		log_event(LVL_INFO, "authworker.file", log_z("file", f->path),
			log_n("users", (int64_t)passwd_table_users(f->table)),
			log_n("bad_lines", bad.count));
	buf_fini(&text);
}

static struct file *
get_file(const struct settings *s, const struct settings_passwd_file *section)
{
	struct file *f = files;
	struct stat now = { 0 };

	while (f != NULL && (!str_eq(section->path, str_of(f->path)) ||
				    !str_eq(s->auth.default_domain, str_of(f->default_domain)) ||
				    !str_eq(section->default_scheme, str_of(f->default_scheme))))
		f = f->next;
	if (f == NULL) {
		f = xcalloc(1, sizeof *f);
		f->path = str_dup(section->path);
		f->default_domain = str_dup(s->auth.default_domain);
		f->default_scheme = str_dup(section->default_scheme);
		f->next = files;
		files = f;
		load(f);
		return f;
	}
	bool there = stat(f->path, &now) == 0;

	if (f->table != NULL ? !there || !same_file(&now, &f->seen) : there)
		load(f);
	return f;
}

static enum err
list(struct job *j, const struct passwd_table *t)
{
	struct account a;
	size_t cursor = 0;
	enum err e = ERR_OK;

	while (e == ERR_OK && passwd_table_next(t, &cursor, &a))
		e = job_user(j, &a.user);
	return e;
}

enum err
passwd_file_answer(struct job *j)
{
	const struct settings_passwd_file *section = &j->settings->passwd_files[j->index];
	const struct file *f = get_file(j->settings, section);
	struct account a;
	enum err e;

	if (f->table == NULL)
		return job_fail(j, ERR_TEMP, REASON_DIRECTORY, "%s: %s", f->path, f->why);
	if (j->q->kind == ASK_LIST)
		return list(j, f->table);
	if (j->q->kind == ASK_CATCHALL)
		return ERR_NOTFOUND;
	if (j->q->kind == ASK_DOMAIN)
		return passwd_table_has_domain(f->table, j->name.domain)
			       ? job_value(j, j->name.domain)
			       : ERR_NOTFOUND;
	e = passwd_table_find(f->table, &j->name, &a);
	if (e == ERR_DENIED)
		return job_fail(
			j, ERR_DENIED, REASON_AMBIGUOUS, "%s: two lines for one name", f->path);
	return e == ERR_OK ? account_answer(j, &a, section->default_scheme) : e;
}

void
passwd_file_fini(void)
{
	while (files != NULL) {
		struct file *f = files;
		files = f->next;
		passwd_table_free(f->table);
		free(f->path);
		free(f->default_domain);
		free(f->default_scheme);
		free(f);
	}
}
