/* One message into one slot: chunks are written by jobs on the pool, one in flight for a writer,
 * the last job writes what is left and the front block and syncs once. Used by smtp's sessions
 * and by queue. Invariant: fn says ERR_OK only after fdatasync succeeded and the owner agreed
 * after that. While `busy`, flight, off, crc and job_text belong to the job's thread. */
#include "delivery/spool/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/base/xalloc.h"

enum {
	CHUNK_MAX = 8 * 1024 * 1024, /* a caller that ignores `full` fails here */
	WRITEBACK = 1024 * 1024,
};

struct spool_writer {
	struct list link; /* in the owner's list */
	struct pool *pool;
	const struct spool_owner_ops *ops;
	void *owner; /* NULL: orphaned */
	int fd;
	char name[SPOOL_NAME_LEN + 1];
	struct buf chunk;  /* being filled by the loop */
	struct buf flight; /* being written by the job */
	struct buf record;
	struct pool_job job;
	bool busy;
	bool was_full;
	bool commit_wanted; /* at the end of the job in flight */
	bool committing;    /* the job in flight is the last */
	bool aborted;
	uint64_t bytes; /* of the body, as added */
	uint64_t off;	/* where flight goes */
	uint64_t written_back;
	uint32_t crc;
	unsigned flags;
	const char *job_text;	 /* the job's failure, until its done */
	const char *failed_text; /* the first failure; belongs to the loop */
	void (*drain)(void *arg);
	void *drain_arg;
	spool_commit_fn fn;
	void *fn_arg;
};

static void
writer_step(struct spool_writer *w);

struct spool_writer *
spool_writer_new(struct pool *p, int fd, struct str name, const struct spool_owner_ops *ops,
	void *owner, struct list *owner_list)
{
	struct spool_writer *w = xcalloc(1, sizeof(*w));

	w->pool = p;
	w->fd = fd;
	w->ops = ops;
	w->owner = owner;
	w->off = SPOOL_FRONT_SIZE;
	memcpy(w->name, name.p, SPOOL_NAME_LEN);
	buf_init(&w->chunk, CHUNK_MAX);
	buf_init(&w->flight, CHUNK_MAX);
	buf_init(&w->record, SPOOL_RECORD_MAX);
	list_push_back(owner_list, &w->link);
	return w;
}

void
spool_writer_orphan(struct list *link)
{
	struct spool_writer *w = CONTAINER_OF(link, struct spool_writer, link);

	list_remove(&w->link);
	w->owner = NULL;
}

static void
writer_free(struct spool_writer *w)
{
	list_remove(&w->link);
	if (w->fd >= 0)
		close(w->fd);
	buf_fini(&w->chunk);
	buf_fini(&w->flight);
	buf_fini(&w->record);
	free(w);
}

struct str
spool_writer_name(const struct spool_writer *w)
{
	return str_n(w->name, SPOOL_NAME_LEN);
}

uint64_t
spool_writer_bytes(const struct spool_writer *w)
{
	return w->bytes;
}

bool
spool_writer_failed(const struct spool_writer *w)
{
	return w->failed_text != NULL;
}

const char *
spool_writer_error(const struct spool_writer *w)
{
	return w->failed_text != NULL ? w->failed_text : "";
}

bool
spool_writer_full(const struct spool_writer *w)
{
	return w->busy && w->chunk.n >= SPOOL_CHUNK;
}

void
spool_writer_on_drain(struct spool_writer *w, void (*drain)(void *arg), void *arg)
{
	w->drain = drain;
	w->drain_arg = arg;
}

/* Everything in iov at off; iov is used up. */
static bool
write_all(int fd, struct iovec *iov, int n, uint64_t off)
{
	for (;;) {
		ssize_t put;
		while (n > 0 && iov->iov_len == 0) {
			iov++;
			n--;
		}
		if (n == 0)
			return true;
		put = pwritev(fd, iov, n, (off_t)off);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		off += (uint64_t)put;
		for (int i = 0; i < n; i++) {
			size_t step = (size_t)put < iov[i].iov_len ? (size_t)put : iov[i].iov_len;
			iov[i].iov_base = (char *)iov[i].iov_base + step;
			iov[i].iov_len -= step;
			put -= (ssize_t)step;
		}
	}
}

static struct iovec
iov_of(struct str s)
{
	union {
		const void *in;
		void *out;
	} u = { .in = s.p };

	return (struct iovec){ .iov_base = u.out, .iov_len = s.n };
}

static void
run_nothing(struct pool_job *j)
{
	(void)j;
}

static void
run_write(struct pool_job *j)
{
	struct spool_writer *w = CONTAINER_OF(j, struct spool_writer, job);
	struct iovec iov = iov_of(buf_str(&w->flight));

	w->crc = crc32c(w->crc, buf_str(&w->flight));
	if (!write_all(w->fd, &iov, 1, w->off)) {
		w->job_text = "spool write failed";
		return;
	}
	w->off += w->flight.n;
	if (w->off - w->written_back >= WRITEBACK) {
		(void)sync_file_range(w->fd, (off_t)w->written_back,
			(off_t)(w->off - w->written_back), SYNC_FILE_RANGE_WRITE);
		w->written_back = w->off;
	}
}

/* front gets the fixed part and, when it fits, the record. True: it does not fit. */
static bool
make_front(struct spool_writer *w, char front[SPOOL_FRONT_SIZE])
{
	struct str record = buf_str(&w->record);
	bool behind = record.n > SPOOL_FRONT_SIZE - SPOOL_FIXED_SIZE;
	struct spool_fixed f = {
		.flags = w->flags,
		.body_len = w->bytes,
		.record_off = behind ? SPOOL_FRONT_SIZE + w->bytes : SPOOL_FIXED_SIZE,
		.record_len = (uint32_t)record.n,
		.body_crc = w->crc,
		.record_crc = crc32c(0, record),
	};

	memset(front, 0, SPOOL_FRONT_SIZE);
	spool_fixed_encode(&f, front);
	if (!behind)
		memcpy(front + SPOOL_FIXED_SIZE, record.p, record.n);
	return behind;
}

static void
run_commit(struct pool_job *j)
{
	struct spool_writer *w = CONTAINER_OF(j, struct spool_writer, job);
	struct str body = buf_str(&w->flight);
	char front[SPOOL_FRONT_SIZE];
	struct iovec iov[3];
	bool behind, good;

	w->crc = crc32c(w->crc, body);
	behind = make_front(w, front);
	iov[0] = iov_of(str_n(front, sizeof(front)));
	iov[1] = iov_of(body);
	iov[2] = iov_of(buf_str(&w->record));
	if (w->off == SPOOL_FRONT_SIZE)
		good = write_all(w->fd, iov, behind ? 3 : 2, 0);
	else
		good = write_all(w->fd, iov + 1, behind ? 2 : 1, w->off) &&
		       write_all(w->fd, iov, 1, 0);
	if (!good)
		w->job_text = "spool write failed";
	else if (fdatasync(w->fd) != 0)
		w->job_text = "spool sync failed";
}

/* The commit's last word. Frees w. */
static void
writer_finish(struct spool_writer *w)
{
	const struct str name = spool_writer_name(w);
	enum err e = ERR_TEMP;

	if (w->failed_text == NULL && w->owner == NULL)
		w->failed_text = "queue is away";
	if (w->failed_text == NULL)
		e = w->ops->committed(w->owner, name, &w->failed_text);
	if (e != ERR_OK && w->owner != NULL)
		w->ops->dropped(w->owner, name);
	w->fn(w->fn_arg, w, e);
	writer_free(w);
}

static void
job_done(struct pool_job *j)
{
	struct spool_writer *w = CONTAINER_OF(j, struct spool_writer, job);

	w->busy = false;
	if (w->failed_text == NULL)
		w->failed_text = w->job_text;
	buf_reset(&w->flight);
	if (w->aborted) {
		writer_free(w);
		return;
	}
	if (w->committing) {
		writer_finish(w);
		return;
	}
	writer_step(w);
	if (w->was_full && !spool_writer_full(w)) {
		w->was_full = false;
		if (w->drain != NULL)
			w->drain(w->drain_arg);
	}
}

/* Starts the next job when there is one to start. */
static void
writer_step(struct spool_writer *w)
{
	bool last = w->commit_wanted && w->chunk.n <= SPOOL_CHUNK;
	struct buf swap;

	if (w->busy || (!w->commit_wanted && w->chunk.n < SPOOL_CHUNK))
		return;
	if (w->failed_text != NULL) {
		/* what follows would be thrown away; a commit still has to hear of it */
		buf_reset(&w->chunk);
		last = w->commit_wanted;
		if (!last)
			return;
	}
	swap = w->flight;
	w->flight = w->chunk;
	w->chunk = swap;
	w->committing = last;
	w->job = (struct pool_job){
		.run = last ? run_commit : run_write, .done = job_done, .class = POOL_SYNC
	};
	if (w->failed_text != NULL)
		w->job.run = run_nothing; /* the answer comes from the loop */
	w->busy = true;
	pool_submit(w->pool, &w->job);
}

void
spool_write(struct spool_writer *w, struct str bytes)
{
	w->bytes += bytes.n;
	if (w->failed_text != NULL)
		return;
	buf_add(&w->chunk, bytes);
	writer_step(w);
	if (spool_writer_full(w))
		w->was_full = true;
}

void
spool_commit(struct spool_writer *w, const struct spool_envelope *e, spool_commit_fn fn, void *arg)
{
	struct spool_envelope named = *e;

	named.name = spool_writer_name(w);
	w->flags = e->flags;
	w->fn = fn;
	w->fn_arg = arg;
	if (spool_record_encode(&named, &w->record) != ERR_OK)
		w->failed_text = w->failed_text != NULL ? w->failed_text : "envelope too large";
	if (buf_check(&w->chunk) != ERR_OK)
		w->failed_text = w->failed_text != NULL ? w->failed_text : "writer overrun";
	w->commit_wanted = true;
	writer_step(w);
}

void
spool_abort(struct spool_writer *w)
{
	if (w->owner != NULL) {
		w->ops->dropped(w->owner, spool_writer_name(w));
		list_remove(&w->link);
		w->owner = NULL;
	}
	w->aborted = true;
	if (!w->busy)
		writer_free(w);
}
