/* The state of a reload; see reload.h. serve.c writes it, signal.c reads it. Invariant: who reads
 * finds one state whole, never parts of two. */
#include "core/master/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void
path_of(const struct settings *s, const char *end, struct buf *out)
{
	buf_init(out, 4096);
	buf_addf(out, "%.*s/master.reload%s", STR_FMT(s->runtime_dir), end);
}

enum err
reload_write(const struct settings *s, const struct reload_state *r)
{
	struct buf path, fresh;
	bool good;
	int fd;

	path_of(s, "", &path);
	path_of(s, ".new", &fresh);
	fd = open(buf_z(&fresh), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	good = fd >= 0 &&
	       dprintf(fd, "%llu %llu %d\n%.*s", (unsigned long long)r->begun,
		       (unsigned long long)r->done, r->waits, STR_FMT(buf_str(&r->refused))) > 0;
	if (fd >= 0)
		good = close(fd) == 0 && good;
	good = good && rename(buf_z(&fresh), buf_z(&path)) == 0;
	buf_fini(&path);
	buf_fini(&fresh);
	return good ? ERR_OK : ERR_TEMP;
}

static enum err
read_all(int fd, struct buf *out)
{
	char part[4096];
	ssize_t n;

	while ((n = read(fd, part, sizeof part)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_TEMP;
		buf_add(out, str_n(part, (size_t)n));
	}
	return buf_check(out) == ERR_OK ? ERR_OK : ERR_SYNTAX;
}

static enum err
parse(struct str text, struct reload_state *out)
{
	struct str numbers, begun, done, waits;

	if (!str_cut(text, '\n', &numbers, &text) || !str_cut(numbers, ' ', &begun, &done))
		return ERR_SYNTAX;
	(void)str_cut(done, ' ', &done, &waits); /* an older master writes two numbers */
	if (str_to_u64(begun, UINT64_MAX, &out->begun) != ERR_OK ||
		str_to_u64(done, UINT64_MAX, &out->done) != ERR_OK)
		return ERR_SYNTAX;
	out->waits = str_eq(waits, STR("1"));
	buf_reset(&out->refused);
	buf_add(&out->refused, text);
	return ERR_OK;
}

enum err
reload_read(const struct settings *s, struct reload_state *out)
{
	struct buf path, text;
	enum err e = ERR_OK;
	int fd;

	path_of(s, "", &path);
	buf_init(&text, RELOAD_TEXT_MAX + 64);
	fd = open(buf_z(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		e = errno == ENOENT ? ERR_NOTFOUND : ERR_TEMP;
	else
		e = read_all(fd, &text);
	if (e == ERR_OK)
		e = parse(buf_str(&text), out);
	if (fd >= 0)
		(void)close(fd);
	buf_fini(&path);
	buf_fini(&text);
	return e;
}

void
reload_remove(const struct settings *s)
{
	struct buf path;

	path_of(s, "", &path);
	(void)unlink(buf_z(&path));
	buf_fini(&path);
}
