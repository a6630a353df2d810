/* bench_mail FILE...: what the parser costs on these messages, in MB/s and microseconds a message:
 *   parse        the table of parts
 *   envelope     ENVELOPE text
 *   structure    BODYSTRUCTURE text
 *   compact      encode and decode the table
 *   search       BODY search for a word that is not there
 *   all          parse, envelope, structure, encode: what a delivery pays
 * Each figure is the best of five rounds over all files. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/mail/bodystructure.h"
#include "core/mail/envelope.h"
#include "core/mail/search.h"

enum { ROUNDS = 5, ROUND_US = 200000, OUT_MAX = 64 * 1024 * 1024 };

struct message {
	struct str text;
	struct mime m;
};

static struct search_key needle;

static enum err
run_parse(struct message *msg, struct buf *out)
{
	struct mime m;

	(void)out;
	mime_parse(&m, msg->text, &mime_limits_default);
	mime_fini(&m);
	return ERR_OK;
}

static enum err
run_envelope(struct message *msg, struct buf *out)
{
	return envelope_format(out, mime_header(&msg->m.parts[0], msg->text));
}

static enum err
run_structure(struct message *msg, struct buf *out)
{
	return bodystructure_format(out, &msg->m, msg->text, true);
}

static enum err
run_compact(struct message *msg, struct buf *out)
{
	struct mime m;

	mime_encode(out, &msg->m);
	enum err e = mime_decode(&m, buf_str(out), msg->text.n);

	mime_fini(&m);
	return e;
}

static enum err
run_search(struct message *msg, struct buf *out)
{
	(void)out;
	return search_body(&needle, &msg->m, msg->text, false) ? ERR_BUG : ERR_OK;
}

static enum err
run_all(struct message *msg, struct buf *out)
{
	struct mime m;

	mime_parse(&m, msg->text, &mime_limits_default);
	enum err e = envelope_format(out, mime_header(&m.parts[0], msg->text));

	if (e == ERR_OK)
		e = bodystructure_format(out, &m, msg->text, true);
	mime_encode(out, &m);
	mime_fini(&m);
	return e;
}

static const struct {
	const char *name;
	enum err (*run)(struct message *msg, struct buf *out);
} table[] = {
	{ "parse", run_parse },
	{ "envelope", run_envelope },
	{ "structure", run_structure },
	{ "compact", run_compact },
	{ "search", run_search },
	{ "all", run_all },
};

/* Microseconds for one pass over all messages; a negative figure when a run failed. */
static double
measure(enum err (*run)(struct message *msg, struct buf *out), struct message *v, size_t n)
{
	double best = -1;
	struct buf out;

	buf_init(&out, OUT_MAX);
	for (int round = 0; round < ROUNDS; round++) {
		int64_t start = clock_us(), took;
		int passes = 0;

		do {
			for (size_t i = 0; i < n; i++) {
				buf_reset(&out);
				if (run(&v[i], &out) != ERR_OK)
					return -1;
			}
			passes++;
			took = clock_us() - start;
		} while (took < ROUND_US);
		if (best < 0 || (double)took / passes < best)
			best = (double)took / passes;
	}
	buf_fini(&out);
	return best;
}

static bool
load(const char *name, struct message *msg)
{
	struct stat st;
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
		perror(name);
		return false;
	}
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);

	(void)close(fd);
	if (p == MAP_FAILED) {
		perror(name);
		return false;
	}
	msg->text = str_n(p, (size_t)st.st_size);
	mime_parse(&msg->m, msg->text, &mime_limits_default);
	return true;
}

int
main(int argc, char **argv)
{
	size_t n = argc > 1 ? (size_t)argc - 1 : 0, bytes = 0;
	struct message *v = xcalloc(n + 1, sizeof *v);

	if (n == 0 || search_key_init(&needle, STR("no such words in here")) != ERR_OK) {
		fprintf(stderr, "usage: bench_mail FILE...\n");
		return 2;
	}
	for (size_t i = 0; i < n; i++) {
		if (!load(argv[i + 1], &v[i]))
			return 1;
		bytes += v[i].text.n;
	}
	printf("%zu messages, %zu bytes\n", n, bytes);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		double us = measure(table[i].run, v, n);

		if (us < 0) {
			fprintf(stderr, "%s failed\n", table[i].name);
			return 1;
		}
		printf("%-10s %8.2f us/msg %8.0f MB/s\n", table[i].name, us / (double)n,
			(double)bytes / us);
	}
	return 0;
}
