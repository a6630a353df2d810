/* A message's text searched on the pool; see aside.h. match.c asks. Invariant: a job owns all that
 * it reads, because its command may be gone before it runs. */
#include "imap/search/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "core/store/message.h"

struct aside {
	struct pool_job job;
	const struct home *home; /* until it is started */
	void (*fn)(void *arg);
	void *arg;
	int fd;
	char *path; /* to be opened there; NULL: it is open */
	uint64_t size;
	struct search_key key;
	struct mime mime;
	bool has_mime, with_header, warm_only;
	char *field;
	char *soon[ASIDE_SOON_MAX];
	uint64_t soon_len[ASIDE_SOON_MAX];
	size_t soon_count;
	bool started, done, forgotten;
	enum err err;
	int code; /* errno of ERR_TEMP */
	bool found;
};

static void
aside_free(struct aside *a)
{
	if (a->fd >= 0)
		(void)close(a->fd);
	if (!a->warm_only)
		search_key_fini(&a->key);
	if (a->has_mime)
		mime_fini(&a->mime);
	for (size_t i = 0; i < a->soon_count; i++)
		free(a->soon[i]);
	free(a->field);
	free(a->path);
	free(a);
}

static void
open_file(struct aside *a)
{
	a->fd = open(a->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (a->fd >= 0)
		return;
	a->code = errno;
	a->err = a->code == ENOENT ? ERR_NOTFOUND : ERR_TEMP;
}

/* What will be wanted soon is under way while this one is waited for. */
static void
tell_ahead(const struct aside *a)
{
	if (a->soon_count != 0)
		(void)posix_fadvise(a->fd, 0, (off_t)a->size, POSIX_FADV_WILLNEED);
	for (size_t i = 0; i < a->soon_count; i++) {
		int fd = open(a->soon[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd < 0)
			continue;
		(void)posix_fadvise(fd, 0, (off_t)a->soon_len[i], POSIX_FADV_WILLNEED);
		(void)close(fd);
	}
}

static void
run(struct pool_job *j)
{
	struct aside *a = CONTAINER_OF(j, struct aside, job);
	struct str text = STR_EMPTY;

	if (a->path != NULL)
		open_file(a);
	if (a->fd < 0)
		return;
	tell_ahead(a);
	a->err = a->warm_only ? message_warm(a->fd, 0, a->size)
			      : message_map(a->fd, 0, a->size, &text);
	if (a->err == ERR_TEMP)
		a->code = errno;
	if (a->err != ERR_OK || a->warm_only)
		return;
	if (a->has_mime)
		a->found = search_body(&a->key, &a->mime, text, a->with_header);
	else
		a->found = search_header(&a->key, text, str_of(a->field));
	message_unmap(text);
}

static void
on_done(struct pool_job *j)
{
	struct aside *a = CONTAINER_OF(j, struct aside, job);

	a->done = true;
	if (a->forgotten)
		aside_free(a);
	else
		a->fn(a->arg);
}

struct aside *
aside_new(const struct aside_question *q)
{
	struct aside *a = xcalloc(1, sizeof *a);

	a->job = (struct pool_job){ .run = run, .done = on_done, .class = POOL_SYNC };
	a->home = q->home;
	a->fd = -1;
	a->size = q->size;
	a->warm_only = q->warm_only;
	a->with_header = q->with_header;
	a->field = str_dup(q->field);
	if (!q->warm_only) {
		buf_init(&a->key.folded, q->key->folded.n + 1);
		buf_add(&a->key.folded, buf_str(&q->key->folded));
	}
	if (q->mime != NULL) {
		a->has_mime = true;
		a->mime = *q->mime;
		*q->mime = (struct mime){ 0 };
	}
	char path[MESSAGE_PATH_MAX];

	a->err = message_open(q->home, q->msg, false, &a->fd);
	if (a->err != ERR_OK)
		a->fd = -1;
	if (a->err == ERR_TEMP)
		a->code = errno;
	if (a->err == ERR_AGAIN) {
		a->err = message_path(q->home, q->msg, path);
		a->path = a->err == ERR_OK ? str_dup(str_of(path)) : NULL;
	}
	return a;
}

void
aside_start(struct aside *a, struct pool *p, const struct aside_soon *soon, size_t n,
	void (*fn)(void *arg), void *arg)
{
	char path[MESSAGE_PATH_MAX];

	for (size_t i = 0; i < n && i < ASIDE_SOON_MAX; i++) {
		if (message_path(a->home, soon[i].msg, path) != ERR_OK)
			continue;
		a->soon[a->soon_count] = str_dup(str_of(path));
		a->soon_len[a->soon_count++] = soon[i].len;
	}
	a->home = NULL;
	a->fn = fn;
	a->arg = arg;
	a->started = true;
	pool_submit(p, &a->job);
}

bool
aside_is_started(const struct aside *a)
{
	return a->started;
}

bool
aside_is_done(const struct aside *a)
{
	return a->done;
}

enum err
aside_result(const struct aside *a, bool *found_out, int *code_out)
{
	*found_out = a->found;
	*code_out = a->code;
	return a->err;
}

void
aside_forget(struct aside *a)
{
	if (a == NULL)
		return;
	a->forgotten = true;
	if (a->done || !a->started)
		aside_free(a);
}
