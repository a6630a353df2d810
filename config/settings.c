/* Loading: file → scan (guards) → libConfuse → convert → files read → cross checks. Called by
 * master and the admin commands only; roles get their slice through pack.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/grammar.h"
#include "core/base/arena.h"
#include "core/base/xalloc.h"

enum { CONFIG_MAX_BYTES = 1 << 20, INSTANCES_MAX = 256 };

struct loading {
	const char *path;
	bool read_files;
	struct settings *s;
	struct scan *scan;
	struct buf *err;
	struct setting_source **tail;
	bool failed;
};

/* Whole file into out. strict: refused when others can read it. errno's text in why_out. */
static enum err
read_file(const char *path, bool strict, struct buf *out, const char **why_out)
{
	struct stat st;
	enum err e = ERR_TEMP;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) != 0) {
		*why_out = strerror(errno);
		bool none = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
		e = none ? ERR_NOTFOUND : ERR_DENIED;
		goto out;
	}
	*why_out = "is not a regular file";
	if (!S_ISREG(st.st_mode))
		goto out;
	*why_out = "holds a secret and others can read it (chmod o-rwx)";
	e = ERR_DENIED;
	if (strict && (st.st_mode & S_IRWXO) != 0)
		goto out;
	*why_out = "is too large";
	e = ERR_LIMIT;
	for (;;) {
		char *at = buf_reserve(out, 4096);
		if (at == NULL)
			goto out;
		ssize_t got = read(fd, at, 4096);
		if (got < 0) {
			*why_out = strerror(errno);
			e = ERR_TEMP;
			goto out;
		}
		if (got == 0)
			break;
		buf_commit(out, (size_t)got);
	}
	e = ERR_OK;
out:
	if (fd >= 0)
		close(fd);
	return e;
}

static void
complain(struct loading *l, const struct setting_section *sec, size_t instance,
	const struct setting_row *row, struct str what)
{
	struct str title = settings_title(l->s, sec, instance);
	unsigned line = scan_line(l->scan, str_of(sec->name), title, str_of(row->name));

	l->failed = true;
	buf_addf(l->err, "%s:%u: %s: %.*s\n", l->path, line, row->name, STR_FMT(what));
}

/* The setting names a file: put the content in its place. */
static enum err
load_content(const struct setting_row *row, struct str path, struct arena *a, struct str *field,
	struct buf *why)
{
	bool secret = row->type == SETTING_SECRET;
	struct buf content;
	const char *text = "";
	enum err e;

	buf_init_secret(&content, 4 << 20);
	e = read_file(path.p, secret, &content, &text);
	if (e == ERR_OK) {
		struct str s = buf_str(&content);
		/* of an editor; of Windows' too, where a password with a CR would just be wrong */
		if (secret && str_ends(s, STR("\n")))
			s.n -= str_ends(s, STR("\r\n")) ? 2 : 1;
		text = "is too large";
		e = arena_str(a, s, field);
		if (secret && s.n == 0) {
			text = "is empty";
			e = ERR_SYNTAX;
		}
	}
	/* Perhaps the secret itself, which belongs on no terminal and in no log. */
	if (e == ERR_NOTFOUND && secret && path.p[0] != '/')
		buf_addz(why, "no such file: it wants the path of a file that holds the secret");
	else if (e != ERR_OK)
		buf_addf(why, "%.*s: %s", STR_FMT(path), text);
	buf_fini(&content);
	return e;
}

static void
keep_source(struct loading *l, const struct setting_section *sec, size_t instance,
	const struct setting_row *row, const struct str *values, size_t count)
{
	struct arena *a = l->s->memory;
	struct setting_source *src = arena_calloc(a, 1, sizeof *src);
	bool fits = src != NULL;

	if (fits) {
		*src = (struct setting_source){ .section = sec, .row = row, .instance = instance };
		src->values = arena_calloc(a, count != 0 ? count : 1, sizeof *src->values);
		fits = src->values != NULL;
	}
	for (size_t i = 0; fits && i < count; i++)
		fits = arena_str(a, values[i], &src->values[i]) == ERR_OK;
	if (!fits) {
		complain(l, sec, instance, row, STR("the configuration is too large"));
		return;
	}
	src->values_count = count;
	*l->tail = src;
	l->tail = &src->next;
}

static void
on_value(void *arg, const struct setting_section *sec, size_t instance,
	const struct setting_row *row, const struct str *values, size_t count)
{
	struct loading *l = arg;
	void *field = (char *)settings_instance(l->s, sec, instance) + row->offset;
	struct str text;
	struct buf why;

	buf_init(&why, 4096);
	enum err e = setting_convert(row, values, count, l->s->memory, field, &why);

	if (e == ERR_OK && (row->type == SETTING_FILE || row->type == SETTING_SECRET)) {
		memcpy(&text, field, sizeof text);
		struct str content = STR_EMPTY;
		if (l->read_files && text.n != 0)
			e = load_content(row, text, l->s->memory, &content, &why);
		memcpy(field, &content, sizeof content);
	}
	if (e != ERR_OK)
		complain(l, sec, instance, row, buf_str(&why));
	keep_source(l, sec, instance, row, values, count);
	buf_fini(&why);
}

static void
on_section(void *arg, const struct setting_section *sec, struct str title)
{
	struct loading *l = arg;
	char *at = (char *)l->s + sec->offset;
	size_t n = settings_instances(l->s, sec);
	char *array;

	memcpy(&array, at, sizeof array);
	char *grown = arena_calloc(l->s->memory, n + 1, sec->size);

	if (grown == NULL || n >= INSTANCES_MAX ||
		arena_str(l->s->memory, title, &title) != ERR_OK) {
		l->failed = true;
		buf_addf(l->err, "%s: too many sections\n", l->path);
		return;
	}
	if (n != 0)
		memcpy(grown, array, n * sec->size);
	memcpy(grown + n * sec->size, &title, sizeof title);
	for (size_t r = 0; r < sec->rows_count; r++)
		setting_default(
			&sec->rows[r], l->s->memory, grown + n * sec->size + sec->rows[r].offset);
	n++;
	memcpy(at, &grown, sizeof grown);
	memcpy(at + sizeof grown, &n, sizeof n);
}

static void
set_hostname(struct settings *s)
{
	char name[256];

	if (s->hostname.n != 0)
		return;
	if (gethostname(name, sizeof name) != 0 ||
		arena_str(s->memory, str_n(name, strnlen(name, sizeof name)), &s->hostname) !=
			ERR_OK ||
		s->hostname.n == 0)
		s->hostname = STR("localhost");
}

enum err
settings_load(const char *path, bool read_files, struct settings **out, struct buf *err_out)
{
	struct buf text, clean;
	struct loading l = { .path = path, .read_files = read_files, .err = err_out };
	struct grammar_sink sink = { .section = on_section, .value = on_value, .arg = &l };
	const char *why = "";
	enum err e;

	buf_init(&text, CONFIG_MAX_BYTES);
	buf_init(&clean, CONFIG_MAX_BYTES);
	l.s = settings_new();
	l.tail = &l.s->sources;
	e = read_file(path, read_files, &text, &why);
	if (e != ERR_OK) {
		buf_addf(err_out, "%s: %s\n", path, why);
		goto out;
	}
	e = scan_new(path, buf_str(&text), &clean, err_out, &l.scan);
	if (e != ERR_OK)
		goto out;
	e = grammar_parse(path, buf_str(&clean), &sink, err_out);
	if (e == ERR_OK && l.failed)
		e = ERR_SYNTAX;
	if (e != ERR_OK)
		goto out;
	set_hostname(l.s);
	settings_apply_presets(l.s);
	e = settings_cross_check(l.s, err_out);
out:
	scan_free(l.scan);
	buf_fini(&text);
	buf_fini(&clean);
	if (e == ERR_OK)
		*out = l.s;
	else
		settings_free(l.s);
	return e;
}

static void
wipe_secrets(struct settings *s)
{
	for (size_t i = 0; i < setting_sections_count; i++) {
		const struct setting_section *sec = &setting_sections[i];
		for (size_t k = 0; k < settings_instances(s, sec); k++)
			for (size_t r = 0; r < sec->rows_count; r++) {
				struct str secret;
				if (sec->rows[r].type != SETTING_SECRET)
					continue;
				memcpy(&secret,
					(char *)settings_instance(s, sec, k) + sec->rows[r].offset,
					sizeof secret);
				/* the arena's own copy: we may write to it */
				if (secret.n != 0)
					explicit_bzero((void *)(uintptr_t)secret.p, secret.n);
			}
	}
}

void
settings_free(struct settings *s)
{
	if (s == NULL)
		return;
	wipe_secrets(s);
	arena_free(s->memory);
}
