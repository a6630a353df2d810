/* The grammar that makes commands for the fuzz targets (tests/fuzz/imap_rules.h) against the table
 * of commands: each command is in it, every rule comes to an end, and what it makes is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "imap/session/session.h"
#include "tests/fuzz/imap_grammar.h"

enum { ROUNDS = 20000, MOST = 2048 };

static void
test_every_command_has_a_rule(void **state)
{
	bool missing = false;

	(void)state;
	for (const struct command *d = imap_commands; d->name != NULL; d++) {
		char words[80];

		(void)snprintf(words, sizeof words, "%s%s", d->uid_only ? "UID " : "", d->name);
		if (grammar_has_command(str_of(words)))
			continue;
		print_error("tests/fuzz/imap_rules.h has no alternative for %s\n", words);
		missing = true;
	}
	assert_false(missing);
	assert_false(grammar_has_command(STR("FROB")));
}

static void
test_every_rule_ends(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1024 * 1024);
	for (size_t i = 0; grammar_rule(i) != NULL; i++) {
		struct grammar g = { .most = MOST };

		buf_reset(&out);
		grammar_add(&g, grammar_rule(i), &out);
		assert_int_equal(buf_check(&out), ERR_OK);
		assert_true(out.n < MOST);
	}
	buf_fini(&out);
}

/* What has no message in it: those go by the reader, see fuzz_imap_command. */
static void
test_commands_are_accepted(void **state)
{
	struct grammar g = { .seed = 0x9e3779b97f4a7c15, .most = MOST };
	struct arena *a = arena_new(4 * 1024 * 1024);
	struct buf out;

	(void)state;
	buf_init(&out, 1024 * 1024);
	for (int i = 0; i < ROUNDS; i++) {
		struct cmd *c = arena_calloc(a, 1, sizeof *c);
		const char *why = NULL;

		buf_reset(&out);
		buf_addz(&out, "a1 ");
		grammar_add(&g, "command", &out);
		buf_addz(&out, "\r\n");
		struct str text = buf_str(&out);
		bool message = str_starts(text, STR("a1 APPEND")) ||
			       str_find(text, STR("REPLACE ")) < text.n;

		enum err e = message ? ERR_OK : command_parse(text, a, c, &why);

		if (e != ERR_OK && e != ERR_LIMIT)
			print_error("%s: %.*s\n", why, STR_FMT(text));
		assert_true(e == ERR_OK || e == ERR_LIMIT);
		if (c->def != NULL && c->def->end != NULL)
			c->def->end(c);
		arena_reset(a);
	}
	buf_fini(&out);
	arena_free(a);
}

static int
group_setup(void **state)
{
	(void)state;
	grammar_setup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_command_has_a_rule),
		cmocka_unit_test(test_every_rule_ends),
		cmocka_unit_test(test_commands_are_accepted),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
