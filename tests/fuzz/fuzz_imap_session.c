/* Whole sessions of two clients of one user in one mailbox: the first byte says how, the rest
 * chooses commands from the grammar (imap_rules.h), or is what the first client sends as it is.
 * Every answer is held against what its client was told before (tests/unit/imap_model.h), and at
 * the end both see the same mailbox. */
#include <ftw.h>

#include "core/store/internal.h"
#include "tests/unit/imap_pair.h"

enum {
	INPUT_MAX = 2048,
	STEPS = 24,
	MOST = 400,
	RUNS_A_WORLD = 200,
	ARGUMENTS_MAX = 64,
	SETTLE_TURNS = 5000
};

int
LLVMFuzzerInitialize(int *argc, char ***argv);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* of the sanitizer's run-time library */
int
__lsan_do_recoverable_leak_check(void);

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
	/* world_stop() has it removed, too */
	(void)remove(path);
	return 0;
}

/* libFuzzer looks for leaks after every run that left something, as every one does in the world it
 * is in, and weighs what each one reached anew: together three quarters of the time. Leaks show
 * when a world ends. Arguments that were given count more. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char leaks[] = "-detect_leaks=0", weighs[] = "-entropic=0";
	static char *with[ARGUMENTS_MAX + 3];

	if (*argc < 1 || *argc > ARGUMENTS_MAX)
		return 0;
	with[0] = (*argv)[0];
	with[1] = leaks;
	with[2] = weighs;
	memcpy(with + 3, *argv + 1, (size_t)(*argc - 1) * sizeof *with);
	*argc += 2;
	*argv = with;
	return 0;
}

static void
remove_world(void)
{
	(void)nftw(w.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* However slow the machine is: sessions see that their clients hung up, and then their streams, in
 * some turns of the loop. Nothing is on its way when leaks are looked for. */
static void
settle(void)
{
	struct loop_timer t;

	loop_timer_init(&t, w.loop, world_on_timer, &w);
	for (int turns = 0, more = 0; turns < SETTLE_TURNS && more < 10; turns++) {
		loop_timer_start(&t, 2);
		loop_run(w.loop);
		more += w.imap.sessions_count == 0;
	}
	loop_timer_stop(&t);
}

static void
end_world(void)
{
	settle();
	world_stop(&w);
	remove_world();
	if (__lsan_do_recoverable_leak_check() != 0)
		abort();
}

/* Homes are not closed before the store is; a world holds so many and no more. */
static void
new_world(void)
{
	if (runs != 0) {
		end_world();
	} else {
		/* a check that fails is a crash here */
		(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
		(void)atexit(remove_world);
		/* few messages, and what is done in parts takes more than one */
		op_set_entries_max(3);
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

	w.imap.limits.step_us = data[0] & 8 ? 0 : 2000;
	pair_start(&pair, &w, user);
	if (data[0] & 4)
		pair_raw(&pair, str_n(data + 1, size - 1));
	else
		pair_steps(&pair, &g, STEPS);
	pair_agree(&pair);
	pair_stop(&pair);
	return 0;
}
