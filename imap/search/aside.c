/* A message's text searched on the pool; see aside.h. match.c asks. Invariant: a job owns all that
 * it reads, because its command may be gone before it runs. */
#include "imap/search/aside.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "core/store/message.h"

enum { WARM_BYTES = 64 * 1024 };

struct aside {
	struct pool_job job;
	void (*fn)(void *arg);
	void *arg;
	int fd;
	uint64_t size;
	struct search_key key;
	struct mime mime;
	bool has_mime, with_header, warm_only;
	char *field;
	bool done, forgotten;
	enum err err;
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
	free(a);
}

static void
warm(struct aside *a)
{
	char *scratch = xmalloc(WARM_BYTES);

	for (uint64_t at = 0; at < a->size;) {
		ssize_t n = pread(a->fd, scratch, WARM_BYTES, (off_t)at);

		if (n <= 0) {
			a->err = ERR_CORRUPT;
			break;
		}
		at += (uint64_t)n;
	}
	free(scratch);
}

static void
run(struct pool_job *j)
{
	struct aside *a = CONTAINER_OF(j, struct aside, job);
	size_t size = (size_t)a->size;
	struct stat st;

	if (a->fd < 0)
		return;
	if (a->warm_only) {
		warm(a);
		return;
	}
	if (size == 0 || fstat(a->fd, &st) != 0 || (uint64_t)st.st_size < a->size) {
		a->err = ERR_CORRUPT;
		return;
	}
	void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, a->fd, 0);

	if (map == MAP_FAILED) {
		a->err = ERR_TEMP;
		return;
	}
	struct str text = str_n(map, size);

	if (a->has_mime)
		a->found = search_body(&a->key, &a->mime, text, a->with_header);
	else
		a->found = search_header(&a->key, text, str_of(a->field));
	(void)munmap(map, size);
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
	a->err = message_open(q->home, q->msg, &a->fd);
	if (a->err != ERR_OK)
		a->fd = -1;
	pool_submit(p, &a->job);
	return a;
}

bool
aside_is_done(const struct aside *a)
{
	return a->done;
}

enum err
aside_result(const struct aside *a, bool *found_out)
{
	*found_out = a->found;
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
