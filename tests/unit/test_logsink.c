/* core/master/logsink: lines that follow each other closely are written together, all of them, in
 * their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/master/logsink.h"

enum { LINES = 400, WRITES_MAX = 200, LOOKS_MAX = 2000, LOOK_MS = 5 };

static struct loop *loop;
static struct logsink *sink;
static struct loop_task task;
static struct loop_timer look;
static char path[] = "/tmp/postroom-logsink-XXXXXX";
static int said, looks;

static void
say(void)
{
	char line[32];
	int n = snprintf(line, sizeof line, "line %d\n", said++);

	assert_int_equal(send(logsink_socket(sink), line, (size_t)n, 0), n);
}

/* One line in each turn of the loop. */
static void
on_task(struct loop_task *t)
{
	say();
	if (said < LINES)
		loop_task_queue(t);
}

static void
read_file(struct buf *out)
{
	char piece[4096];
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
		buf_add(out, str_n(piece, n));
	(void)fclose(f);
}

static void
on_look(struct loop_timer *t)
{
	struct buf b;

	buf_init(&b, 1024 * 1024);
	read_file(&b);
	size_t lines = 0;
	for (size_t i = 0; i < b.n; i++)
		lines += buf_str(&b).p[i] == '\n';
	buf_fini(&b);
	if (lines == LINES || ++looks == LOOKS_MAX)
		loop_stop(loop);
	else
		loop_timer_start(t, LOOK_MS);
}

/* Calls of write and its like, of this process. */
static unsigned long
writes(void)
{
	char line[64];
	unsigned long n = 0;
	FILE *f = fopen("/proc/self/io", "r");

	assert_non_null(f);
	while (fgets(line, sizeof line, f) != NULL)
		if (str_starts(str_of(line), STR("syscw: ")))
			n = strtoul(line + 7, NULL, 10);
	(void)fclose(f);
	return n;
}

static void
test_gathers(void **state)
{
	struct buf got, want;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	loop = loop_new();
	assert_int_equal(logsink_new(loop, str_of(path), &sink), ERR_OK);
	loop_task_init(&task, loop, on_task, NULL);
	loop_timer_init(&look, loop, on_look, NULL);
	loop_task_queue(&task);
	loop_timer_start(&look, LOOK_MS);
	unsigned long before = writes();
	loop_run(loop);
	unsigned long made = writes() - before;
	buf_init(&got, 1024 * 1024);
	buf_init(&want, 1024 * 1024);
	read_file(&got);
	for (int i = 0; i < LINES; i++)
		buf_addf(&want, "line %d\n", i);
	assert_true(str_eq(buf_str(&got), buf_str(&want)));
	if (made > WRITES_MAX)
		fail_msg("%lu writes for %d lines", made, LINES);
	buf_fini(&got);
	buf_fini(&want);
	logsink_free(sink);
	loop_free(loop);
	(void)unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gathers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
