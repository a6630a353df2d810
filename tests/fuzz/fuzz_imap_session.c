/* Whole sessions of two clients of one user in one mailbox: the first byte says how, the rest
 * chooses commands from the grammar (imap_rules.h), or is what the first client sends as it is.
 * Every answer is held against what its client was told before (tests/unit/imap_model.h), and at
 * the end both see the same mailbox. */
#include <ftw.h>

#include "tests/unit/imap_pair.h"

enum { INPUT_MAX = 2048, STEPS = 24, MOST = 400, RUNS_A_WORLD = 200 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A session makes and frees much: with the usual quarantine every run touches new pages. */
const char *
__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=4:malloc_context_size=5";
}

static struct world w;
static unsigned runs;

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

/* Homes are not closed before the store is; a world holds so many and no more. */
static void
new_world(void)
{
	if (runs != 0) {
		world_stop(&w);
		(void)nftw(w.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	} else {
		/* a check that fails is a crash here */
		(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
		grammar_setup();
	}
	world_start_in(&w, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pair pair;
	char user[32];

	if (size < 2 || size > INPUT_MAX)
		return -1;
	if (runs % RUNS_A_WORLD == 0)
		new_world();
	(void)snprintf(user, sizeof user, "u%u", runs++);
	struct grammar g = { .choice = data + 1,
		.left = size - 1,
		.sync = data[0] & 1,
		.loose = data[0] & 2,
		.most = MOST };

	pair_start(&pair, &w, user);
	if (data[0] & 4)
		pair_raw(&pair, str_n(data + 1, size - 1));
	else
		pair_steps(&pair, &g, STEPS);
	pair_agree(&pair);
	pair_stop(&pair);
	return 0;
}
