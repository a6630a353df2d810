/* Reading message files without waiting for a disk; see cold.h. Called for FETCH and for the URLs
 * of CATENATE. Invariant: a job owns all that it touches (paths, a descriptor of its own), because
 * its command may be gone before it runs. */
#include "imap/session/cold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/message.h"

struct part {
	char *path; /* NULL: it has a descriptor */
	int fd;
	uint64_t off, len;
};

struct cold {
	struct pool_job job;
	struct imap_session *session; /* NULL: forgotten */
	bool over, opened;
	enum err err;
	int code;
	/* Of a header. */
	bool selects, negate;
	struct header_set set;
	struct buf text;
	size_t n;
	struct part parts[1 + COLD_AHEAD_MAX]; /* the first one first */
};

void
cold_complain(struct imap_session *s, uint64_t msg, enum err e, int code)
{
	char path[MESSAGE_PATH_MAX];
	const char *why = e == ERR_NOTFOUND  ? "it is not there, but the index has it"
			  : e == ERR_CORRUPT ? "it is not what the index says"
			  : e != ERR_TEMP    ? err_name(e)
			  : code != 0	     ? strerrordesc_np(code)
					     : home_error(s->home);

	if (message_path(s->home, msg, path) != ERR_OK)
		path[0] = '\0';
	log_event(LVL_ERROR, "imap.unreadable", log_z("sid", s->sid), log_z("user", s->user->name),
		log_z("file", path), log_z("reason", why));
}

/* ---- on the loop ---- */

enum err
cold_open(struct imap_session *s, uint64_t msg, bool wait, int *fd_out, int *code_out)
{
	enum err e = message_open(s->home, msg, wait || s->imap->pool == NULL, fd_out);

	if (e == ERR_TEMP)
		*code_out = errno;
	return e == ERR_AGAIN ? ERR_BUSY : e;
}

static ssize_t
read_some(int fd, bool wait, char *to, size_t n, uint64_t off)
{
	const struct iovec v = { .iov_base = to, .iov_len = n };
	ssize_t got;

	do
		got = preadv2(fd, &v, 1, (off_t)off, wait ? 0 : RWF_NOWAIT);
	while (got < 0 && errno == EINTR);
	/* a file system without it */
	if (got < 0 && !wait && errno == EOPNOTSUPP)
		got = pread(fd, to, n, (off_t)off);
	return got;
}

enum err
cold_read(
	struct imap_session *s, int fd, bool wait, char *to, size_t n, uint64_t off, int *code_out)
{
	bool may_wait = wait || s->imap->pool == NULL;

	for (size_t got = 0; got < n;) {
		ssize_t r = read_some(fd, may_wait, to + got, n - got, off + got);

		if (r < 0 && errno == EAGAIN)
			return ERR_BUSY;
		if (r < 0)
			*code_out = errno;
		if (r <= 0)
			return r < 0 ? ERR_TEMP : ERR_CORRUPT;
		got += (size_t)r;
	}
	return ERR_OK;
}

bool
cold_is_there(const struct imap_session *s, int fd, uint64_t off, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t begin = off / page * page;
	size_t len = (size_t)(off - begin) + n;
	/* pages have 4 KiB or more */
	unsigned char there[COLD_LOOK_BYTES / 4096 + 2];
	bool all = true;

	if (s->imap->pool == NULL || n == 0 || (len + page - 1) / page > sizeof there)
		return true;
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (off_t)begin);

	if (map == MAP_FAILED)
		return true;
	if (mincore(map, len, there) == 0)
		for (size_t i = 0; i < (len + page - 1) / page; i++)
			all = all && (there[i] & 1) != 0;
	(void)munmap(map, len);
	return all;
}

/* ---- on the pool ---- */

static enum err
part_open(struct cold *c, struct part *p)
{
	if (p->fd >= 0)
		return ERR_OK;
	p->fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (p->fd >= 0)
		return ERR_OK;
	c->code = errno;
	return errno == ENOENT ? ERR_NOTFOUND : ERR_TEMP;
}

static void
part_advise(const struct part *p)
{
	(void)posix_fadvise(p->fd, (off_t)p->off, (off_t)p->len, POSIX_FADV_WILLNEED);
}

static enum err
part_read(struct cold *c, const struct part *p)
{
	enum err e = message_warm(p->fd, p->off, p->len);

	if (e == ERR_TEMP)
		c->code = errno;
	return e;
}

static enum err
part_select(struct cold *c, const struct part *p)
{
	struct str header;
	enum err e = message_map(p->fd, p->off, p->len, &header);

	if (e == ERR_TEMP)
		c->code = errno;
	if (e != ERR_OK)
		return e;
	buf_init(&c->text, header.n + 16);
	header_select(&c->text, header, &c->set, c->negate);
	message_unmap(header);
	return buf_check(&c->text);
}

/* What will be wanted soon is under way while the first is waited for. */
static void
run(struct pool_job *j)
{
	struct cold *c = CONTAINER_OF(j, struct cold, job);
	struct part *first = &c->parts[0];

	c->err = part_open(c, first);
	if (c->err != ERR_OK)
		return;
	if (first->len != 0)
		part_advise(first);
	for (size_t i = 1; i < c->n; i++) {
		struct part *p = &c->parts[i];

		p->fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (p->fd < 0)
			continue;
		part_advise(p);
		(void)close(p->fd);
		p->fd = -1;
	}
	c->err = c->selects ? part_select(c, first) : part_read(c, first);
}

/* ---- a job's life ---- */

static void
cold_free(struct cold *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->parts[i].fd >= 0)
			(void)close(c->parts[i].fd);
		free(c->parts[i].path);
	}
	for (size_t i = 0; i < c->set.n; i++)
		free((char *)(uintptr_t)c->set.names[i].p);
	free(c->set.names);
	buf_fini(&c->text);
	free(c);
}

static void
on_done(struct pool_job *j)
{
	struct cold *c = CONTAINER_OF(j, struct cold, job);

	c->over = true;
	if (c->session == NULL)
		cold_free(c);
	else
		session_resume(c->session);
}

static void
add(struct cold *c, const struct home *h, const struct cold_want *w)
{
	struct part *p = &c->parts[c->n];
	char path[MESSAGE_PATH_MAX];

	*p = (struct part){ .fd = -1, .off = w->off, .len = w->len };
	if (w->fd >= 0)
		p->fd = fcntl(w->fd, F_DUPFD_CLOEXEC, 0);
	if (p->fd < 0) {
		if (message_path(h, w->msg, path) != ERR_OK)
			path[0] = '\0';
		p->path = str_dup(str_of(path));
	}
	c->n++;
}

static void
select_of(struct cold *c, const struct cold_want *w)
{
	buf_init(&c->text, 16);
	if (w->select == NULL)
		return;
	c->selects = true;
	c->negate = w->negate;
	c->set.n = w->select->n;
	c->set.names = xcalloc(c->set.n + 1, sizeof *c->set.names);
	for (size_t i = 0; i < c->set.n; i++)
		c->set.names[i] = str_n(str_dup(w->select->names[i]), w->select->names[i].n);
}

struct cold *
cold_start(struct imap_session *s, const struct cold_want *first, const struct cold_want *ahead,
	size_t ahead_count)
{
	struct cold *c = xcalloc(1, sizeof *c);

	c->job = (struct pool_job){ .run = run, .done = on_done, .class = POOL_SYNC };
	c->session = s;
	c->opened = first->fd < 0;
	add(c, s->home, first);
	select_of(c, first);
	for (size_t i = 0; i < ahead_count && i < COLD_AHEAD_MAX; i++)
		add(c, s->home, &ahead[i]);
	pool_submit(s->imap->pool, &c->job);
	return c;
}

bool
cold_is_over(const struct cold *c)
{
	return c->over;
}

enum err
cold_end(struct cold *c, int *fd_out, struct buf *text_out, int *code_out)
{
	enum err e = c->err;

	*fd_out = -1;
	if (e == ERR_OK && c->opened) {
		*fd_out = c->parts[0].fd;
		c->parts[0].fd = -1;
	}
	if (e == ERR_OK && c->selects && text_out != NULL) {
		buf_fini(text_out);
		*text_out = c->text;
		buf_init(&c->text, 16);
	}
	if (e == ERR_TEMP)
		*code_out = c->code;
	cold_free(c);
	return e;
}

void
cold_forget(struct cold *c)
{
	if (c == NULL)
		return;
	c->session = NULL;
	if (c->over)
		cold_free(c);
}
