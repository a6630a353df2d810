/* main() for a fuzz target without libFuzzer: replay_NAME runs the target over every file of
 * tests/fuzz/corpus/NAME, and over every beginning of it, as part of make check. TAP on stdout. A
 * target that finds something aborts. Register it beside the target:
 *   check_PROGRAMS += tests/fuzz/replay_NAME
 *   tests_fuzz_replay_NAME_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_NAME.c */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/xalloc.h"

enum { FILE_MAX = 1 << 20, BEGINNINGS_MAX = 2048 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly that size, so that ASan sees every octet read behind it. */
static void
run_one(const uint8_t *data, size_t n)
{
	uint8_t *copy = xmalloc(n != 0 ? n : 1);

	if (n != 0)
		memcpy(copy, data, n);
	(void)LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static bool
run_file(int dir, const char *name)
{
	static uint8_t data[FILE_MAX];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	ssize_t n = read(fd, data, sizeof data);

	(void)close(fd);
	if (n < 0)
		return false;
	for (size_t k = 0; k < (size_t)n && k < BEGINNINGS_MAX; k++)
		run_one(data, k);
	run_one(data, (size_t)n);
	return true;
}

int
main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir"), *base = strrchr(argv[0], '/');
	const char *name = strstr(base != NULL ? base : argv[0], "replay_");
	char path[4096];
	int tests = 0;

	(void)argc;
	if (name == NULL)
		return 99;
	snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".",
		name + strlen("replay_"));
	DIR *d = opendir(path);

	if (d == NULL) {
		printf("Bail out! no corpus %s\n", path);
		return 99;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		bool ok = run_file(dirfd(d), e->d_name);

		printf("%s %d - %s\n", ok ? "ok" : "not ok", ++tests, e->d_name);
		fflush(stdout);
	}
	closedir(d);
	printf("1..%d\n", tests);
	return tests != 0 ? 0 : 99;
}
