/* Two sessions of one user do random things, taken from the grammar, to one mailbox, several
 * commands at a time and both at once; each answer is held against what its client was told before
 * (imap_model.h), and at the end both see the same. TEST_SEED=N runs that seed alone. */
#include "core/store/fault.h"
#include "core/store/internal.h"
#include "tests/unit/imap_pair.h"

enum { SEEDS = 12, STEPS = 120, STEPS_A_FAULT = 4, MOST = 600 };

static struct world w;

#if STORE_FAULTS
/* Every third one: now and then a commit is refused, as by a full disk. */
static void
refuse_a_write(uint64_t seed, unsigned step)
{
	if (seed % 3 == 0)
		fault_arm(FAULT_PUT, 1 + (unsigned)(seed * 31 + step) % 23);
}

static void
quiet(void)
{
	fault_arm(FAULT_PUT, 0);
}
#else
static void
refuse_a_write(uint64_t seed UNUSED, unsigned step UNUSED)
{
}

static void
quiet(void)
{
}
#endif

static void
run_seed(uint64_t seed)
{
	struct grammar g = { .seed = seed * 0x9e3779b97f4a7c15, .sync = true, .most = MOST };
	struct pair pair;
	char user[32];

	/* every other one: what is done in parts takes more than one */
	op_set_entries_max(seed % 2 == 0 ? 2 : 16384);
	/* and every other two: what may take several steps does */
	w.imap.limits.step_us = seed % 4 < 2 ? 0 : 2000;
	print_message("seed %llu\n", (unsigned long long)seed);
	(void)snprintf(user, sizeof user, "random%llu", (unsigned long long)seed);
	pair_start(&pair, &w, user);
	for (unsigned i = 0; i < STEPS; i += STEPS_A_FAULT) {
		refuse_a_write(seed, i);
		pair_steps(&pair, &g, STEPS_A_FAULT);
	}
	quiet();
	pair_agree(&pair);
	assert_true(pair.commands >= STEPS);
	pair_stop(&pair);
}

static void
test_two_sessions_agree(void **state)
{
	const char *seed = getenv("TEST_SEED");
	uint64_t only;

	(void)state;
	if (seed != NULL && str_to_u64(str_of(seed), UINT64_MAX, &only) == ERR_OK) {
		run_seed(only);
		return;
	}
	for (uint64_t s = 1; s <= SEEDS; s++)
		run_seed(s);
}

static int
group_setup(void **state)
{
	(void)state;
	grammar_setup();
	world_start(&w);
	return 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	world_stop(&w);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_sessions_agree),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
