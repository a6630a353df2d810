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
	void (*fn)(void *arg);
	void *arg;
	int fd;
	char *path; /* to be opened there; NULL: it is open */
	uint64_t size;
	struct search_key key;
	struct mime mime;
	bool has_mime, with_header, warm_only;
	char *field;
	bool done, forgotten;
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

static void
run(struct pool_job *j)
{
	struct aside *a = CONTAINER_OF(j, struct aside, job);
	struct str text = STR_EMPTY;

	if (a->path != NULL)
		open_file(a);
	if (a->fd < 0)
		return;
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
aside_start(struct pool *p, const struct aside_question *q, void (*fn)(void *arg), void *arg)
{
	struct aside *a = xcalloc(1, sizeof *a);

	a->job = (struct pool_job){ .run = run, .done = on_done, .class = POOL_SYNC };
	a->fn = fn;
	a->arg = arg;
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
	pool_submit(p, &a->job);
	return a;
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
	if (a->done)
		aside_free(a);
}
