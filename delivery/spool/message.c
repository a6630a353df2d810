/* Reading a slot: header, envelope, body. Called by queue through server.h and by server.c's jobs,
 * on any thread. Invariant: nothing from a slot is believed before its sum was compared. */
#include "delivery/spool/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/base/xalloc.h"

enum { READ_STEP = 128 * 1024 };

/* Exactly n bytes. ERR_CORRUPT: the file ends before. */
static enum err
read_exact(int fd, uint64_t off, void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = pread(fd, at, n, (off_t)off);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ERR_TEMP;
		if (got == 0)
			return ERR_CORRUPT;
		at += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return ERR_OK;
}

static enum err
read_record(struct spool_message *m, const char *front, struct str name)
{
	const struct spool_fixed *f = &m->fixed;
	char *record = NULL;
	struct str s;
	enum err e = ERR_OK;

	/* Copies of the strings, the recipients' array, and what aligning costs. */
	m->memory = arena_new(16 * (size_t)f->record_len + 4096);
	if (f->record_off == SPOOL_FIXED_SIZE) {
		s = str_n(front + SPOOL_FIXED_SIZE, f->record_len);
	} else {
		record = xmalloc((size_t)f->record_len + 1);
		e = read_exact(m->fd, f->record_off, record, f->record_len);
		s = str_n(record, f->record_len);
	}
	if (e == ERR_OK && crc32c(0, s) != f->record_crc)
		e = ERR_CORRUPT;
	if (e == ERR_OK)
		e = spool_record_decode(s, m->memory, &m->envelope);
	if (e == ERR_OK && !str_eq(m->envelope.name, name))
		e = ERR_CORRUPT;
	m->envelope.flags = f->flags;
	free(record);
	return e == ERR_LIMIT ? ERR_CORRUPT : e;
}

static enum err
read_header(struct spool_message *m, struct str name)
{
	char front[SPOOL_FRONT_SIZE];
	struct stat st;
	enum err e;

	if (fstat(m->fd, &st) != 0)
		return ERR_TEMP;
	if (st.st_size < SPOOL_FRONT_SIZE)
		return ERR_NOTFOUND; /* the front block is written whole */
	e = read_exact(m->fd, 0, front, sizeof(front));
	if (e == ERR_OK)
		e = spool_fixed_decode(str_n(front, sizeof(front)), &m->fixed);
	if (e != ERR_OK)
		return e;
	m->body_off = SPOOL_FRONT_SIZE;
	m->body_len = m->fixed.body_len;
	if ((uint64_t)st.st_size < m->body_off + m->body_len ||
		(m->fixed.record_off != SPOOL_FIXED_SIZE &&
			(uint64_t)st.st_size < m->fixed.record_off + m->fixed.record_len))
		return ERR_CORRUPT;
	return read_record(m, front, name);
}

enum err
spool_open_at(int slots_fd, struct str name, struct spool_message **out)
{
	struct spool_message *m;
	char file[SPOOL_NAME_LEN + 1] = "";
	enum err e;
	int fd;

	if (!spool_name_valid(name))
		return ERR_NOTFOUND;
	memcpy(file, name.p, name.n);
	fd = openat(slots_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_TEMP;
	m = xcalloc(1, sizeof(*m));
	m->fd = fd;
	e = read_header(m, name);
	if (e != ERR_OK) {
		spool_message_close(m);
		return e;
	}
	*out = m;
	return ERR_OK;
}

void
spool_message_close(struct spool_message *m)
{
	close(m->fd);
	if (m->memory != NULL)
		arena_free(m->memory);
	free(m);
}

enum err
spool_body_read(const struct spool_message *m, uint64_t off, void *p, size_t n)
{
	if (off > m->body_len || n > m->body_len - off)
		return ERR_CORRUPT;
	return read_exact(m->fd, m->body_off + off, p, n);
}

enum err
spool_body_check(const struct spool_message *m)
{
	char *step = xmalloc(READ_STEP);
	uint64_t off = 0;
	uint32_t crc = 0;
	enum err e = ERR_OK;

	while (e == ERR_OK && off < m->body_len) {
		uint64_t left = m->body_len - off;
		size_t n = left < READ_STEP ? (size_t)left : READ_STEP;
		e = spool_body_read(m, off, step, n);
		crc = crc32c(crc, str_n(step, n));
		off += n;
	}
	free(step);
	if (e == ERR_OK && crc != m->fixed.body_crc)
		e = ERR_CORRUPT;
	return e;
}

enum err
spool_verify_at(int slots_fd, struct str name)
{
	struct spool_message *m;
	enum err e = spool_open_at(slots_fd, name, &m);

	if (e != ERR_OK)
		return e;
	e = spool_body_check(m);
	/* What verifies may still be in the page cache alone: its writer died before the sync. */
	if (e == ERR_OK && fdatasync(m->fd) != 0)
		e = ERR_TEMP;
	spool_message_close(m);
	return e;
}
