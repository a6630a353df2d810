#ifndef POSTROOM_TESTS_STORE_CHILD_H
#define POSTROOM_TESTS_STORE_CHILD_H

/* Runs tests/tools/store_writer beside a test, its output on a pipe. */
#include <fcntl.h>
#include <signal.h>

#include "tests/unit/store_fixture.h"

struct child {
	pid_t pid;
	int out;
	char line[256];
	size_t n;
};

UNUSED static void
child_start(struct child *c, const char *dir, const char *what, const char *a, const char *b)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	c->n = 0;
	c->out = fds[0];
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (c->pid == 0) {
		(void)dup2(fds[1], 1);
		execl("tests/tools/store_writer", "store_writer", dir, what, a, b, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
}

/* The next number of its output; false at the end. */
UNUSED static bool
child_line(struct child *c, unsigned long long *out)
{
	for (;;) {
		char *end = memchr(c->line, '\n', c->n);

		if (end != NULL) {
			struct str head, tail;
			uint64_t v = 0;

			(void)str_cut(str_n(c->line, (size_t)(end - c->line)), ' ', &head, &tail);
			assert_int_equal(str_to_u64(tail, UINT64_MAX, &v), ERR_OK);
			c->n -= (size_t)(end - c->line) + 1;
			memmove(c->line, end + 1, c->n);
			*out = v;
			return true;
		}
		ssize_t n = read(c->out, c->line + c->n, sizeof c->line - c->n);

		if (n <= 0)
			return false;
		c->n += (size_t)n;
	}
}

/* Its exit status, or minus the signal. */
UNUSED static int
child_end(struct child *c)
{
	int status = 0;

	while (waitpid(c->pid, &status, 0) < 0)
		continue;
	close(c->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#endif
