/* Messages on their way in; see body.h and put.h. Small ones stay in memory and go to disk in one
 * job, parsed there; large ones go to a file in tmp/ in chunks of 256 KiB. One job a body at a
 * time: while it runs, chunk and file belong to it. */
#include "core/store/body.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/mail/textual.h"
#include "core/store/blob.h"
#include "core/store/internal.h"
#include "core/store/put.h"
#include "core/store/record.h"
#include "core/store/thread.h"

enum {
	CHUNK_BYTES_MAX = 256 * 1024,
	TEXTUAL_BYTES_MAX = 1024 * 1024 * 1024,
	MEMORY_BYTES_MAX = 4 * 1024 * 1024, /* of a caller who does not stop at ERR_AGAIN */
	ID_TRIES = 8,
};

struct body {
	struct home *home;
	uint64_t max_bytes, size;
	struct buf mem; /* what came since the last chunk */
	enum err error;
	void (*room)(void *arg);
	void *room_arg;
	bool wants_room, freeing;

	struct pool_job job;
	bool job_busy;
	enum err job_result;
	struct buf chunk;
	struct blob_file file; /* fd -1: there is none */
	uint64_t file_size;

	/* body_put */
	struct home *into;
	void (*done)(void *arg, enum err e);
	void *done_arg;
	bool sync_failed, parsed, textual;
	struct stored stored;
};

struct body *
body_new(struct home *h, uint64_t max_bytes)
{
	struct body *b = xcalloc(1, sizeof *b);

	b->home = home_ref(h);
	b->max_bytes = max_bytes;
	b->file.fd = -1;
	buf_init(&b->mem, MEMORY_BYTES_MAX);
	buf_init(&b->chunk, MEMORY_BYTES_MAX);
	buf_init(&b->stored.record, STORED_ROW_BYTES_MAX);
	buf_init(&b->stored.cache, STORED_ROW_BYTES_MAX);
	return b;
}

static void
discard_file(void *arg)
{
	struct blob_file *f = arg;

	blob_discard(f);
	free(f);
}

void
body_free(struct body *b)
{
	if (b == NULL)
		return;
	if (b->job_busy) {
		b->freeing = true;
		return;
	}
	if (b->file.fd >= 0) {
		struct blob_file *f = xmalloc(sizeof *f);

		*f = b->file;
		store_background(home_store(b->home), POOL_SYNC, discard_file, f);
	}
	buf_fini(&b->mem);
	buf_fini(&b->chunk);
	buf_fini(&b->stored.record);
	buf_fini(&b->stored.cache);
	home_unref(b->home);
	free(b);
}

void
body_textual(struct body *b)
{
	b->textual = true;
}

uint64_t
body_size(const struct body *b)
{
	return b->size;
}

void
body_on_room(struct body *b, void (*room)(void *arg), void *arg)
{
	b->room = room;
	b->room_arg = arg;
}

/* On the pool: one more chunk of a large body. */
static void
chunk_run(struct pool_job *j)
{
	struct body *b = CONTAINER_OF(j, struct body, job);
	enum err e = ERR_OK;
	const char *why;

	if (b->file.fd < 0) {
		e = blob_create(b->home->path, &b->file);
		if (e != ERR_OK && blob_make_home(b->home->path, true, &why) == ERR_OK)
			e = blob_create(b->home->path, &b->file);
	}
	if (e == ERR_OK)
		e = blob_write(&b->file, buf_str(&b->chunk));
	/* Write-back begins now, so that the last sync has less to do. */
	if (e == ERR_OK)
		(void)sync_file_range(
			b->file.fd, (off_t)b->file_size, (off_t)b->chunk.n, SYNC_FILE_RANGE_WRITE);
	b->file_size += b->chunk.n;
	b->job_result = e;
}

static void
put_start(struct body *b);
static void
chunk_start(struct body *b);

static void
chunk_done(struct pool_job *j)
{
	struct body *b = CONTAINER_OF(j, struct body, job);

	b->job_busy = false;
	buf_reset(&b->chunk);
	if (b->job_result != ERR_OK && b->error == ERR_OK) {
		b->error = b->job_result;
		buf_release(&b->mem);
	}
	if (b->freeing) {
		body_free(b);
		return;
	}
	if (b->done != NULL) {
		put_start(b);
		return;
	}
	if (b->error == ERR_OK && b->mem.n >= CHUNK_BYTES_MAX)
		chunk_start(b);
	if (b->wants_room && (b->error != ERR_OK || b->mem.n < CHUNK_BYTES_MAX)) {
		b->wants_room = false;
		if (b->room != NULL)
			b->room(b->room_arg);
	}
}

static void
chunk_start(struct body *b)
{
	struct buf swap = b->chunk;

	b->chunk = b->mem;
	b->mem = swap;
	b->job_busy = true;
	b->job = (struct pool_job){
		.run = chunk_run,
		.done = chunk_done,
		.class = POOL_SYNC,
	};
	pool_submit(home_store(b->home)->pool, &b->job);
}

enum err
body_write(struct body *b, struct str bytes)
{
	if (b->error != ERR_OK)
		return b->error;
	if (bytes.n > b->max_bytes - b->size)
		b->error = ERR_LIMIT;
	b->size += bytes.n;
	if (b->error == ERR_OK) {
		buf_add(&b->mem, bytes);
		b->error = buf_check(&b->mem);
	}
	if (b->error != ERR_OK) {
		buf_release(&b->mem);
		return b->error;
	}
	if (b->mem.n < CHUNK_BYTES_MAX)
		return ERR_OK;
	if (!b->job_busy) {
		chunk_start(b);
		return ERR_OK;
	}
	b->wants_room = true;
	return ERR_AGAIN;
}

/* What has the message's octets now: memory, or the whole file. */
static enum err
see(const struct body *b, struct str *out)
{
	if (b->file.fd >= 0)
		return blob_map(b->file.fd, 0, b->size, out);
	*out = buf_str(&b->mem);
	return ERR_OK;
}

static void
unsee(const struct body *b, struct str msg)
{
	if (b->file.fd >= 0)
		blob_unmap(msg);
}

static enum err
parse(struct body *b)
{
	struct str msg;

	if (b->parsed)
		return ERR_OK;
	enum err e = see(b, &msg);

	if (e != ERR_OK)
		return e;
	e = record_make(msg, &b->stored.record, &b->stored.cache);
	unsee(b, msg);
	b->parsed = e == ERR_OK;
	b->stored.size = b->size;
	return e;
}

/* Once, when all octets are where see() finds them. */
static enum err
make_textual(struct body *b)
{
	struct str msg;
	struct buf text;
	enum err e = see(b, &msg);

	if (e != ERR_OK)
		return e;
	buf_init(&text, TEXTUAL_BYTES_MAX);
	bool changed = textual_make(&text, msg);

	unsee(b, msg);
	e = buf_check(&text);
	b->textual = e != ERR_OK;
	if (!changed || e != ERR_OK) {
		buf_fini(&text);
		return e;
	}
	b->size = text.n;
	if (b->file.fd < 0) {
		buf_fini(&b->mem);
		b->mem = text;
		return ERR_OK;
	}
	e = blob_truncate(&b->file, 0);
	if (e == ERR_OK)
		e = blob_write(&b->file, buf_str(&text));
	b->file_size = e == ERR_OK ? text.n : 0;
	/* of a file of which a part is lost nothing can be made */
	if (e != ERR_OK)
		b->error = e;
	buf_fini(&text);
	return e;
}

/* On the pool: the rest into the file, its rows, its place, its sync. */
static enum err
put(struct body *b)
{
	enum err e = ERR_OK;
	bool small = b->file.fd < 0;
	const char *why;

	if (b->textual && small)
		e = make_textual(b);
	/* from memory, while it is there: the file would have to be mapped */
	if (e == ERR_OK && small)
		e = parse(b);
	if (e != ERR_OK)
		return e;
	if (small) {
		e = blob_create(b->into->path, &b->file);
		if (e != ERR_OK && blob_make_home(b->into->path, b->into->sync_dir, &why) == ERR_OK)
			e = blob_create(b->into->path, &b->file);
		if (e != ERR_OK)
			return e;
	}
	/* An earlier try may have written a part of it. */
	if (!small)
		e = blob_truncate(&b->file, b->file_size);
	if (e == ERR_OK && b->file_size < b->size) {
		e = blob_write(&b->file, buf_str(&b->mem));
		if (e == ERR_OK && !small)
			b->file_size += b->mem.n;
	}
	if (e == ERR_OK && b->textual)
		e = make_textual(b);
	if (e == ERR_OK)
		e = parse(b);
	if (e == ERR_OK)
		e = ERR_EXISTS;
	for (int i = 0; e == ERR_EXISTS && i < ID_TRIES; i++) {
		b->stored.put_ms = clock_wall_ms();
		b->stored.id = blob_id_new(b->stored.put_ms);
		e = blob_publish(
			&b->file, b->into->path, b->stored.id, b->into->sync_dir, &b->sync_failed);
	}
	if (e == ERR_EXISTS)
		e = ERR_TEMP;
	/* A small one is written anew for the next home; a large one's file may go there. */
	if (e != ERR_OK && (small || b->sync_failed))
		blob_discard(&b->file);
	return e;
}

static void
put_run(struct pool_job *j)
{
	struct body *b = CONTAINER_OF(j, struct body, job);

	b->sync_failed = false;
	b->job_result = commit_too_late(j->queued_ms) ? ERR_TEMP : put(b);
}

void
body_put_ended(struct body *b)
{
	if (!b->sync_failed)
		return;
	b->error = b->file_size > 0 ? ERR_TEMP : b->error;
	home_poison(b->into, "a message could not be synced");
}

static void
put_done(struct pool_job *j)
{
	struct body *b = CONTAINER_OF(j, struct body, job);
	void (*done)(void *arg, enum err e) = b->done;

	b->job_busy = false;
	b->done = NULL;
	body_put_ended(b);
	done(b->done_arg, b->job_result);
}

bool
body_in_memory(const struct body *b)
{
	/* the file is the job's while one runs */
	return !b->job_busy && b->file.fd < 0 && b->error == ERR_OK;
}

enum err
body_put_now(struct body *b, struct home *h)
{
	b->into = h;
	b->sync_failed = false;
	return put(b);
}

static void
fail_run(struct pool_job *j)
{
	struct body *b = CONTAINER_OF(j, struct body, job);

	b->job_result = b->error;
}

static void
put_start(struct body *b)
{
	b->job_busy = true;
	b->job = (struct pool_job){
		.run = b->error == ERR_OK ? put_run : fail_run,
		.done = put_done,
		.class = POOL_SYNC,
	};
	pool_submit(home_store(b->home)->pool, &b->job);
}

void
body_put(struct body *b, struct home *h, void (*done)(void *arg, enum err e), void *arg)
{
	b->into = h;
	b->done = done;
	b->done_arg = arg;
	b->sync_failed = false;
	if (!b->job_busy)
		put_start(b);
}

void
body_put_refused(struct body *b, void (*done)(void *arg, enum err e), void *arg)
{
	if (b->error == ERR_OK)
		b->error = ERR_TEMP;
	body_put(b, b->home, done, arg);
}

void
body_settle(struct body *b)
{
	buf_release(&b->mem);
	buf_release(&b->chunk);
}

const struct stored *
body_stored(const struct body *b)
{
	return &b->stored;
}

enum err
stored_write(struct txn *t, uint64_t id, int64_t put_ms, const struct stored *s)
{
	unsigned char row[RECORD_BYTES_MAX];
	struct record r;
	struct str ids;
	struct key k;
	uint64_t thread;

	if (clock_wall_ms() - put_ms > PUT_AGE_MAX_MS)
		return ERR_TEMP;
	enum err e = record_decode(buf_str(&s->record), &r);

	if (e == ERR_OK)
		e = record_section(&r, STR_EMPTY, RECORD_IDS, &ids);
	if (e == ERR_OK)
		e = thread_join(t, id, ids, &thread);
	if (e == ERR_OK)
		e = record_join(buf_str(&s->record), thread, row);
	if (e != ERR_OK)
		return e;
	writes_put_once(t->writes, KV_MESSAGE, key_id(&k, id), str_n(row, s->record.n));
	if (s->cache.n > 0)
		writes_put_once(t->writes, KV_CACHE, key_id(&k, id), buf_str(&s->cache));
	return ERR_OK;
}
