/* Annotations of mailboxes: their versions, what changed since, and where they go. */
#include <stdlib.h>

#include "core/store/check.h"
#include "core/store/metadata.h"
#include "tests/unit/store_fixture.h"

enum { ENTRIES_MAX = 150 };

static enum err
set_pairs(struct fix *f, const char *mailbox, const struct metadata_pair *pairs, size_t count)
{
	const struct metadata_args a = { .mailbox = str_of(mailbox),
		.pairs = pairs,
		.count = count,
		.entries_max = ENTRIES_MAX };

	(void)store_set_metadata(f->home, &a, fix_on_mailbox, f);
	return fix_wait(f);
}

/* value NULL: taken away */
static void
set(struct fix *f, const char *mailbox, const char *name, const char *value)
{
	const struct metadata_pair p = { .name = str_of(name),
		.value = value != NULL ? str_of(value) : (struct str){ NULL, 0 } };

	assert_int_equal(set_pairs(f, mailbox, &p, 1), ERR_OK);
}

static uint64_t
version(struct fix *f)
{
	struct txn *t = fix_read(f, f->home);
	uint64_t v;

	assert_int_equal(metadata_version(t, &v), ERR_OK);
	fix_read_end(t);
	return v;
}

struct told {
	char all[4000];
	size_t n;
};

static enum err
on_change(void *arg, uint32_t mailbox, struct str name, uint64_t v)
{
	struct told *told = arg;
	char *at = told->all + strlen(told->all);

	told->n++;
	if (told->n <= 20)
		(void)snprintf(at, sizeof told->all - (size_t)(at - told->all), "%s%s:%.*s@%llu",
			told->n > 1 ? " " : "", mailbox == METADATA_ACCOUNT ? "account" : "box",
			STR_FMT(name), (unsigned long long)v);
	return ERR_OK;
}

static size_t
assert_changes(struct fix *f, uint64_t after, const char *want)
{
	struct told told = { .all = "" };
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(metadata_changes(t, after, on_change, &told), ERR_OK);
	fix_read_end(t);
	if (want != NULL)
		assert_string_equal(told.all, want);
	return told.n;
}

static void
assert_value(struct fix *f, const char *mailbox, const char *name, const char *want)
{
	struct mailbox_info info = { .id = METADATA_ACCOUNT };
	struct str value;

	if (mailbox[0] != '\0')
		assert_int_equal(fix_find(f, mailbox, &info), ERR_OK);
	struct txn *t = fix_read(f, f->home);
	enum err e = metadata_get(t, info.id, str_of(name), &value);

	assert_int_equal(e, want != NULL ? ERR_OK : ERR_NOTFOUND);
	if (want != NULL)
		assert_true(str_eq(value, str_of(want)));
	fix_read_end(t);
}

static void
on_problem(void *arg, const char *kind, const char *text)
{
	(void)arg;
	fail_msg("%s: %s", kind, text);
}

static void
assert_clean(struct fix *f)
{
	struct check_counts counts;
	char home[160];

	(void)snprintf(home, sizeof home, "%s/u/alice", f->dir);
	fix_stop(f);
	assert_int_equal(
		store_check(home, &(struct check_options){ 0 }, on_problem, NULL, &counts), ERR_OK);
	assert_int_equal(counts.problems, 0);
	fix_start(f);
}

static void
test_versions(void **state)
{
	struct fix *f = *state;

	assert_int_equal(version(f), 0);
	assert_changes(f, 0, "");
	set(f, "INBOX", "/private/a", "1");
	assert_int_equal(f->mailbox.version, 1);
	set(f, "", "/private/x", "");
	set(f, "INBOX", "/private/b", "2");
	assert_int_equal(version(f), 3);
	assert_changes(f, 0, "account:/private/x@2 box:/private/a@1 box:/private/b@3");
	assert_changes(f, 1, "account:/private/x@2 box:/private/b@3");
	assert_changes(f, 3, "");
	/* set again, and taken away: changes both; what was not there is none */
	set(f, "INBOX", "/private/a", NULL);
	set(f, "INBOX", "/private/b", "3");
	set(f, "INBOX", "/private/none", NULL);
	assert_int_equal(f->mailbox.version, 0);
	assert_int_equal(version(f), 5);
	assert_changes(f, 3, "box:/private/a@4 box:/private/b@5");
	assert_value(f, "INBOX", "/private/a", NULL);
	assert_value(f, "INBOX", "/private/b", "3");
	assert_value(f, "", "/private/x", "");
	set(f, "INBOX", "/private/a", "again");
	assert_value(f, "INBOX", "/private/a", "again");
	assert_changes(f, 5, "box:/private/a@6");
	/* it outlives the process */
	fix_stop(f);
	fix_start(f);
	assert_int_equal(version(f), 6);
	assert_changes(f, 4, "box:/private/a@6 box:/private/b@5");
	assert_clean(f);
}

/* All or none; what is taken away makes room at once, and is not remembered for ever. */
static void
test_limits(void **state)
{
	struct fix *f = *state;
	char names[ENTRIES_MAX + 1][32];
	struct metadata_pair pairs[ENTRIES_MAX + 1];

	for (int i = 0; i <= ENTRIES_MAX; i++) {
		(void)snprintf(names[i], sizeof names[i], "/private/%04d", i);
		pairs[i] = (struct metadata_pair){ str_of(names[i]), STR("x") };
	}
	assert_int_equal(set_pairs(f, "INBOX", pairs, ENTRIES_MAX + 1), ERR_LIMIT);
	assert_int_equal(version(f), 0);
	assert_changes(f, 0, "");
	assert_int_equal(set_pairs(f, "INBOX", pairs, ENTRIES_MAX), ERR_OK);
	assert_int_equal(set_pairs(f, "INBOX", &pairs[ENTRIES_MAX], 1), ERR_LIMIT);
	assert_int_equal(set_pairs(f, "none", pairs, 1), ERR_NOTFOUND);
	for (int i = 0; i < ENTRIES_MAX; i++)
		pairs[i].value = (struct str){ NULL, 0 };
	assert_int_equal(set_pairs(f, "INBOX", pairs, ENTRIES_MAX), ERR_OK);
	assert_int_equal(assert_changes(f, 1, NULL), ENTRIES_MAX);
	set(f, "INBOX", "/private/0003", "back");
	assert_changes(f, 1, "box:/private/0003@3");
	assert_value(f, "INBOX", "/private/0003", "back");
	assert_clean(f);
}

static void
test_with_their_mailbox(void **state)
{
	struct fix *f = *state;

	assert_int_equal(fix_create(f, "a/b"), ERR_OK);
	set(f, "a", "/private/x", "holder");
	set(f, "a/b", "/private/x", "mine");
	set(f, "a/b", "/private/y", "gone");
	set(f, "a/b", "/private/y", NULL);
	(void)store_rename(f->home, STR("a/b"), STR("c"), fix_on_mailbox, f);
	assert_int_equal(fix_wait(f), ERR_OK);
	assert_value(f, "c", "/private/x", "mine");
	/* the placeholder's went with it */
	assert_changes(f, 0, "box:/private/x@2 box:/private/y@4");
	set(f, "INBOX", "/private/in", "in");
	set(f, "INBOX", "/private/out", "out");
	set(f, "INBOX", "/private/out", NULL);
	(void)store_rename(f->home, STR("INBOX"), STR("old"), fix_on_mailbox, f);
	assert_int_equal(fix_wait(f), ERR_OK);
	assert_value(f, "old", "/private/in", "in");
	assert_value(f, "old", "/private/out", NULL);
	assert_value(f, "INBOX", "/private/in", "in");
	assert_changes(f, 7, "");
	assert_int_equal(fix_delete(f, "c"), ERR_OK);
	assert_int_equal(fix_create(f, "c"), ERR_OK);
	assert_value(f, "c", "/private/x", NULL);
	assert_clean(f);
}

/* A use is changed like an entry, and is no row. */
static void
test_use(void **state)
{
	struct fix *f = *state;
	struct mailbox_info info;
	struct metadata_args a = { .mailbox = STR("mine"),
		.entries_max = ENTRIES_MAX,
		.sets_use = true,
		.special_use = USE_JUNK };

	assert_int_equal(fix_create(f, "mine"), ERR_OK);
	(void)store_set_metadata(f->home, &a, fix_on_mailbox, f);
	assert_int_equal(fix_wait(f), ERR_EXISTS);
	assert_int_equal(version(f), 0);
	assert_int_equal(fix_delete(f, "Junk"), ERR_OK);
	for (int i = 0; i < 2; i++) {
		(void)store_set_metadata(f->home, &a, fix_on_mailbox, f);
		assert_int_equal(fix_wait(f), ERR_OK);
		assert_int_equal(f->mailbox.version, i == 0 ? 1 : 0);
	}
	assert_int_equal(fix_find(f, "mine", &info), ERR_OK);
	assert_int_equal(info.special_use, USE_JUNK);
	assert_value(f, "mine", "/private/specialuse", NULL);
	assert_changes(f, 0, "box:/private/specialuse@1");
	assert_int_equal(fix_create(f, "holder/x"), ERR_OK);
	a.special_use = USE_IMPORTANT;
	for (int i = 0; i < 3; i++) {
		a.mailbox = i == 0 ? STR("INBOX") : i == 1 ? STR("holder") : STR_EMPTY;
		(void)store_set_metadata(f->home, &a, fix_on_mailbox, f);
		assert_int_equal(fix_wait(f), ERR_DENIED);
	}
	assert_clean(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_versions, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_limits, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_with_their_mailbox, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_use, fix_setup, fix_teardown),
	};

	return cmocka_run_group_tests_name("store_metadata", tests, NULL, NULL);
}
