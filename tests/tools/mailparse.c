/* mailparse FILE...: for each file, what FETCH (ENVELOPE BODYSTRUCTURE BODY) would answer, as one
 * IMAP response, then a line of counts:
 *   * 1 FETCH (ENVELOPE (...) BODYSTRUCTURE (...) BODY (...))
 *   parts=3 depth=2 cut=0 us=12 file=NAME
 * For comparisons with other servers and for looking at odd messages. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/mail/bodystructure.h"
#include "core/mail/envelope.h"

enum { OUT_MAX = 512 * 1024 * 1024 };

static enum err
format(struct buf *out, const struct mime *m, struct str msg)
{
	buf_addz(out, "* 1 FETCH (ENVELOPE ");
	enum err e = envelope_format(out, mime_header(&m->parts[0], msg));

	if (e != ERR_OK)
		return e;
	buf_addz(out, " BODYSTRUCTURE ");
	e = bodystructure_format(out, m, msg, true);
	if (e != ERR_OK)
		return e;
	buf_addz(out, " BODY ");
	e = bodystructure_format(out, m, msg, false);
	buf_addz(out, ")\r\n");
	return e != ERR_OK ? e : buf_check(out);
}

static uint32_t
depth_of(const struct mime *m)
{
	uint32_t max = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t d = 1;

		for (uint32_t p = m->parts[i].parent; p != MIME_NONE; p = m->parts[p].parent)
			d++;
		max = d > max ? d : max;
	}
	return max;
}

static enum err
show(const char *name, struct str msg)
{
	struct mime m;
	struct buf out;
	int64_t start = clock_us();

	buf_init(&out, OUT_MAX);
	mime_parse(&m, msg, &mime_limits_default);
	enum err e = format(&out, &m, msg);
	int64_t us = clock_us() - start;

	if (e == ERR_OK) {
		buf_addf(&out, "parts=%u depth=%u cut=%d us=%lld file=%s\n", m.n, depth_of(&m),
			m.cut, (long long)us, name);
		(void)fwrite(buf_str(&out).p, 1, out.n, stdout);
	}
	mime_fini(&m);
	buf_fini(&out);
	return e;
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat st;
		int fd = open(argv[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fstat(fd, &st) != 0) {
			perror(argv[i]);
			return 1;
		}
		void *p = st.st_size == 0
				  ? NULL
				  : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

		if (p == MAP_FAILED) {
			perror(argv[i]);
			return 1;
		}
		enum err e = show(argv[i], str_n(p, (size_t)st.st_size));

		if (e != ERR_OK) {
			fprintf(stderr, "%s: %s\n", argv[i], err_name(e));
			return 1;
		}
		if (p != NULL)
			(void)munmap(p, (size_t)st.st_size);
		(void)close(fd);
	}
	return 0;
}
