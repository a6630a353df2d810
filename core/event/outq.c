/* The output queue of a stream; see outq.h. Invariant: bytes and mem_bytes equal what the chunks
 * hold, and no chunk is empty. */
#include "core/event/outq.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/xalloc.h"

enum {
	CHUNK_SMALL = 4096 - 64,
	CHUNK_BYTES = 16 * 1024, /* a TLS record's content */
	IOV_COUNT = 16,
};

struct stream_file {
	int fd;
	unsigned refs;
};

struct chunk {
	struct list link;
	struct stream_file *file; /* NULL: memory */
	uint64_t off;		  /* into the file, or into data */
	size_t n;
	size_t cap;
	char data[];
};

/* Most answers are short, and gone before the next one: one chunk a thread is kept for them, but
 * not from those who look for uses after the end. */
#if defined(__SANITIZE_ADDRESS__)
#define SPARE_CAP 0
#else
#define SPARE_CAP CHUNK_SMALL
#endif
static _Thread_local struct chunk *spare;

struct stream_file *
stream_file_new(int fd)
{
	struct stream_file *f = xmalloc(sizeof *f);

	f->fd = fd;
	f->refs = 1;
	return f;
}

struct stream_file *
stream_file_ref(struct stream_file *f)
{
	f->refs++;
	return f;
}

void
stream_file_unref(struct stream_file *f)
{
	if (f == NULL || --f->refs != 0)
		return;
	(void)close(f->fd);
	free(f);
}

int
stream_file_fd(const struct stream_file *f)
{
	return f->fd;
}

void
outq_init(struct outq *q)
{
	*q = (struct outq){ .bytes = 0 };
	list_init(&q->chunks);
}

static struct chunk *
chunk_of(struct list *node)
{
	return CONTAINER_OF(node, struct chunk, link);
}

static struct chunk *
chunk_new(size_t cap)
{
	struct chunk *c = cap == SPARE_CAP ? spare : NULL;

	if (c != NULL)
		spare = NULL;
	else
		c = xmalloc(sizeof *c + cap);
	*c = (struct chunk){ .cap = cap };
	return c;
}

static void
chunk_free(struct outq *q, struct chunk *c)
{
	q->bytes -= c->n;
	list_remove(&c->link);
	stream_file_unref(c->file);
	if (c->file == NULL) {
		q->mem_bytes -= c->n;
		explicit_bzero(c->data, (size_t)c->off + c->n); /* a password on its way to auth */
	}
	if (c->file == NULL && c->cap == SPARE_CAP && spare == NULL)
		spare = c;
	else
		free(c);
}

void
outq_clear(struct outq *q)
{
	while (!list_empty(&q->chunks))
		chunk_free(q, chunk_of(q->chunks.next));
}

static void
append(struct outq *q, struct chunk *c, struct str s)
{
	memcpy(c->data + c->off + c->n, s.p, s.n);
	c->n += s.n;
	q->bytes += s.n;
	q->mem_bytes += s.n;
}

void
outq_add(struct outq *q, struct str s)
{
	while (s.n != 0) {
		struct chunk *last = list_empty(&q->chunks) ? NULL : chunk_of(q->chunks.prev);
		size_t room = 0;
		if (last != NULL && last->file == NULL)
			room = last->cap - (size_t)last->off - last->n;
		if (room == 0) {
			bool small = s.n <= CHUNK_SMALL && last == NULL;
			last = chunk_new(small ? CHUNK_SMALL : CHUNK_BYTES);
			room = last->cap;
			list_push_back(&q->chunks, &last->link);
		}
		struct str part = str_sub(s, 0, room);
		append(q, last, part);
		s = str_from(s, part.n);
	}
}

void
outq_add_file(struct outq *q, struct stream_file *f, uint64_t off, uint64_t n)
{
	struct chunk *c;

	if (n == 0)
		return;
	c = chunk_new(0);
	c->file = stream_file_ref(f);
	c->off = off;
	c->n = n;
	q->bytes += n;
	list_push_back(&q->chunks, &c->link);
}

/* Read up to 16 KiB from the front of the file chunk c into a memory chunk before it. */
static enum err
load(struct outq *q, struct chunk *c)
{
	size_t want = c->n < CHUNK_BYTES ? c->n : CHUNK_BYTES;
	struct chunk *m = chunk_new(want);

	while (m->n < want) {
		ssize_t n = pread(c->file->fd, m->data + m->n, want - m->n, (off_t)(c->off + m->n));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(m);
			return ERR_CORRUPT;
		}
		m->n += (size_t)n;
	}
	list_insert_before(&c->link, &m->link);
	q->mem_bytes += want;
	c->off += want;
	c->n -= want;
	if (c->n == 0)
		chunk_free(q, c);
	return ERR_OK;
}

void
outq_consume(struct outq *q, size_t n)
{
	while (n != 0) {
		assert(!list_empty(&q->chunks));
		struct chunk *c = chunk_of(q->chunks.next);
		size_t part = n < c->n ? n : c->n;
		c->off += part;
		c->n -= part;
		n -= part;
		q->bytes -= part;
		if (c->file == NULL)
			q->mem_bytes -= part;
		if (c->n == 0)
			chunk_free(q, c);
	}
}

enum err
outq_front(struct outq *q, struct str *out)
{
	assert(!list_empty(&q->chunks));
	struct chunk *c = chunk_of(q->chunks.next);

	if (c->file != NULL) {
		enum err e = load(q, c);
		if (e != ERR_OK)
			return e;
		c = chunk_of(q->chunks.next);
	}
	*out = str_n(c->data + c->off, c->n);
	return ERR_OK;
}

static enum err
sent(struct outq *q, ssize_t n, size_t *sent_out)
{
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_TEMP;
	outq_consume(q, (size_t)n);
	*sent_out = (size_t)n;
	return ERR_OK;
}

/* ERR_NOTFOUND: this file cannot be sent so. */
static enum err
send_file(struct outq *q, struct chunk *c, int fd, size_t max, size_t *sent_out)
{
	off_t off = (off_t)c->off;
	ssize_t n = sendfile(fd, c->file->fd, &off, c->n < max ? c->n : max);

	if (n < 0 && (errno == EINVAL || errno == ENOSYS))
		return ERR_NOTFOUND;
	if (n == 0)
		return ERR_CORRUPT;
	return sent(q, n, sent_out);
}

static enum err
send_memory(struct outq *q, int fd, size_t max, bool fin_follows, size_t *sent_out)
{
	struct iovec iov[IOV_COUNT];
	struct msghdr m = { .msg_iov = iov };
	bool more = fin_follows;

	LIST_FOREACH (node, &q->chunks) {
		struct chunk *c = chunk_of(node);
		if (m.msg_iovlen == IOV_COUNT || max == 0)
			break;
		if (c->file != NULL) {
			more = true;
			break;
		}
		size_t n = c->n < max ? c->n : max;
		iov[m.msg_iovlen++] = (struct iovec){ c->data + c->off, n };
		max -= n;
	}
	return sent(
		q, sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0)), sent_out);
}

enum err
outq_send_plain(struct outq *q, int fd, size_t max, bool fin_follows, size_t *sent_out)
{
	struct chunk *c = chunk_of(q->chunks.next);
	enum err e;

	*sent_out = 0;
	/* short ranges travel with the text around them */
	LIST_FOREACH (node, &q->chunks) {
		struct chunk *f = chunk_of(node);
		if (f->file == NULL)
			continue;
		if (f->n > CHUNK_BYTES)
			break;
		e = load(q, f);
		if (e != ERR_OK)
			return e;
		if (q->mem_bytes >= max)
			break;
	}
	c = chunk_of(q->chunks.next);
	if (c->file != NULL) {
		e = send_file(q, c, fd, max, sent_out);
		if (e != ERR_NOTFOUND)
			return e;
		e = load(q, c);
		if (e != ERR_OK)
			return e;
	}
	return send_memory(q, fd, max, fin_follows, sent_out);
}
