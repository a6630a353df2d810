/* The reader of answers and the model that the random tests and fuzz_imap_session trust: each thing
 * that a server must not say is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/xalloc.h"
#include "tests/unit/imap_model.h"

static jmp_buf caught;

static void
on_broken(const struct model *m, const char *what, struct str answer)
{
	(void)m, (void)what, (void)answer;
	longjmp(caught, 1);
}

static void
test_answers_are_read(void **state)
{
	static const struct {
		const char *in;
		enum err want;
	} rows[] = {
		{ "* 1 EXISTS\r\n", ERR_OK },
		{ "* 1 EXISTS\r", ERR_AGAIN },
		{ "* 1 EXISTS\n", ERR_SYNTAX },
		{ "* SEARCH\r\n", ERR_OK },
		{ "* SEARCH \r\n", ERR_OK },
		{ "* SEARCH  1\r\n", ERR_SYNTAX },
		{ "* SEARCH 1 \r\n", ERR_SYNTAX },
		{ "* SEARCH 1 2 (MODSEQ 3)\r\n", ERR_OK },
		{ "t1 OK done\r\n", ERR_OK },
		{ "t1 OK\r\n", ERR_SYNTAX },
		{ "t1 OK [X\r\n", ERR_SYNTAX },
		{ "t1 OK [X]\r\n", ERR_SYNTAX },
		{ "t1 OK [APPENDUID 1 2] done\r\n", ERR_OK },
		{ "t1 MAYBE done\r\n", ERR_SYNTAX },
		{ "+ OK\r\n", ERR_OK },
		{ "+\r\n", ERR_SYNTAX },
		{ "* 1 FETCH (FLAGS () BODY[HEADER.FIELDS (\"a b\" C)]<0> {3}\r\na)(X Y)\r\n",
			ERR_SYNTAX },
		{ "* 1 FETCH (BODY[HEADER.FIELDS (\"a b\" C)]<0> {3}\r\na)( X Y)\r\n", ERR_OK },
		{ "* 1 FETCH (BODY[] {3}\r\na\n", ERR_AGAIN },
		{ "* 1 FETCH (BODY[] {3+}\r\nabc)\r\n", ERR_SYNTAX },
		{ "* 1 FETCH (BINARY[1] ~{2}\r\n\r\n)\r\n", ERR_OK },
		{ "* 1 FETCH (X ((\"a\" NIL)(\"b\" NIL) \"MIXED\"))\r\n", ERR_OK },
		{ "* 1 FETCH (X \"a\"b)\r\n", ERR_SYNTAX },
		{ "* 1 FETCH (X \"a\\b\")\r\n", ERR_SYNTAX },
		{ "* 1 FETCH (X \xc3\xa9)\r\n", ERR_SYNTAX },
		{ "* 1 FETCH (X))\r\n", ERR_SYNTAX },
		{ "* THREAD (1 2)(3)\r\n", ERR_OK },
		{ "* FLAGS (\\Seen [a $x)\r\n", ERR_OK },
		{ "* FLAGS (\\Seen a]b)\r\n", ERR_SYNTAX },
		{ "* 4294967296 EXISTS\r\n", ERR_SYNTAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a;
		enum err e = answer_read(str_of(rows[i].in), &a);

		if (e != rows[i].want)
			print_error("%s: %d\n", rows[i].in, e);
		assert_int_equal(e, rows[i].want);
		if (e == ERR_OK)
			assert_int_equal(a.whole.n, strlen(rows[i].in));
	}
}

/* "C:" lines are commands, answered by the lines behind them; with "K:" the client keeps what it
 * knows. True when all of it may be said. */
static bool
may_be_said(const char *script)
{
	struct truth *truth = truth_new();
	struct model m;
	struct memory kept = { 0 };
	struct asked asked;
	struct str s = str_of(script), line;
	/* the last of both: read behind the jump */
	volatile bool in_progress = false, ok = true;

	model_init(&m, "m", truth, on_broken);
	if (setjmp(caught) != 0) {
		ok = false;
		s.n = 0;
	}
	while (ok && str_cut(s, '\n', &line, &s)) {
		char text[256];
		struct answer a;

		if (str_eq(line, STR("K:"))) {
			assert_true(memory_take(&kept, &m));
			m.memory = &kept;
			continue;
		}
		if (str_starts(line, STR("C:"))) {
			asked_init(&asked, str_from(line, 2));
			in_progress = true;
			continue;
		}
		(void)snprintf(text, sizeof text, "%.*s\r\n", STR_FMT(line));
		assert_int_equal(answer_read(str_of(text), &a), ERR_OK);
		model_see(&m, in_progress ? &asked : NULL, &a);
		in_progress = in_progress && a.kind != ANSWER_TAGGED;
	}
	memory_fini(&kept);
	model_fini(&m);
	truth_free(truth);
	return ok;
}

#define SELECTED(tag, n, modseq)                                                            \
	"* " #n " EXISTS\n* OK [UIDVALIDITY 9] u\n* OK [HIGHESTMODSEQ " #modseq "] h\n" tag \
	" OK [READ-WRITE] s\n"
#define OPEN                                  \
	"C:a SELECT INBOX\n" SELECTED("a", 3, \
		5) "C:b UID FETCH 1:* (UID)\n* 1 FETCH (UID 4)\n* 3 FETCH (UID 8)\nb OK f\n"
/* everything is known, and kept; the mailbox is opened again */
#define AGAIN                                                                        \
	OPEN ENABLE("QRESYNC") "C:k FETCH 1:* (UID FLAGS MODSEQ)\n"                  \
			       "* 1 FETCH (UID 4 FLAGS () MODSEQ (2))\n"             \
			       "* 2 FETCH (UID 6 FLAGS () MODSEQ (3))\n"             \
			       "* 3 FETCH (UID 8 FLAGS () MODSEQ (5))\nk OK f\nK:\n" \
			       "C:c SELECT INBOX (QRESYNC (9 5))\n* OK [CLOSED] c\n" \
			       "* 3 EXISTS\n* OK [UIDVALIDITY 9] u\n* OK [HIGHESTMODSEQ 8] h\n"
#define ENABLE(x) "C:e ENABLE " x "\n* ENABLED " x "\ne OK e\n"

static void
test_what_a_server_must_not_say(void **state)
{
	static const struct {
		const char *script;
		bool want;
	} rows[] = {
		{ OPEN "C:c NOOP\n* 2 EXPUNGE\n* 4 EXISTS\n* 2 FETCH (UID 8 FLAGS ())\nc OK n\n",
			true },
		{ "* 1 EXISTS\n", false },
		{ OPEN "* 2 EXISTS\n", false },
		{ OPEN "* 1 EXPUNGE\n", false },
		{ OPEN "C:c FETCH 1 FLAGS\n* 2 EXPUNGE\n", false },
		{ OPEN "C:c STORE 1 FLAGS ()\n* 2 EXPUNGE\n", false },
		{ OPEN "C:c SEARCH ALL\n* 2 EXPUNGE\n", false },
		{ OPEN "C:c UID SEARCH ALL\n* 2 EXPUNGE\n", true },
		{ OPEN "C:c NOOP\n* 4 EXPUNGE\n", false },
		{ OPEN "C:c NOOP\n* 0 EXPUNGE\n", false },
		{ OPEN "C:c NOOP\n* 4 FETCH (FLAGS ())\n", false },
		{ OPEN "C:c NOOP\n* 1 FETCH (UID 5)\n", false },
		{ OPEN "C:c NOOP\n* 2 FETCH (UID 8)\n", false },
		{ OPEN "C:c NOOP\n* 2 FETCH (UID 3)\n", false },
		{ OPEN "C:c NOOP\nd OK n\n", false },
		{ OPEN "C:c NOOP\nc OK n\nc OK n\n", false },
		{ OPEN "C:c UID FETCH 1 FLAGS\n* 1 FETCH (FLAGS ())\n", false },
		{ OPEN "C:c SEARCH ALL\n* SEARCH 1 3\nc OK s\n", true },
		{ OPEN "C:c SEARCH ALL\n* SEARCH 1 4\n", false },
		{ OPEN "C:c SEARCH ALL\n* SEARCH 2 1\n", false },
		{ OPEN "C:c SORT (DATE) UTF-8 ALL\n* SORT 2 1\nc OK s\n", true },
		{ OPEN "C:c UID SEARCH ALL\n* SEARCH 4 6\n", true },
		{ OPEN "C:c UID SEARCH ALL\n* SEARCH 9\n", false },
		{ OPEN "C:c SEARCH ALL\n* ESEARCH (TAG \"c\") COUNT 2 ALL 1,3 MIN 1\nc OK s\n",
			true },
		{ OPEN "C:c SEARCH ALL\n* ESEARCH (TAG \"x\") COUNT 2\n", false },
		{ OPEN "C:c SEARCH ALL\n* ESEARCH (TAG \"c\") UID COUNT 2\n", false },
		{ OPEN "C:c SEARCH ALL\n* ESEARCH (TAG \"c\") COUNT 2 ALL 1:3\n", false },
		{ OPEN "C:c SEARCH ALL\n* ESEARCH (TAG \"c\") MAX 2 ALL 1:3\n", false },
		{ OPEN "C:c NOOP\n* VANISHED 4\n", false },
		{ OPEN ENABLE("QRESYNC") "C:c NOOP\n* VANISHED 4:5\n* 2 FETCH (UID 8)\n", false },
		{ OPEN ENABLE("QRESYNC") "C:c NOOP\n* VANISHED 4,6\n* 2 EXISTS\nc OK n\n", true },
		{ OPEN ENABLE("QRESYNC") "C:c NOOP\n* VANISHED 9\n", false },
		{ OPEN ENABLE("QRESYNC") "C:c FETCH 1 FLAGS\n* VANISHED 4\n", false },
		{ OPEN ENABLE("QRESYNC") "C:c NOOP\n* 1 EXPUNGE\n", false },
		{ OPEN ENABLE("QRESYNC") "C:c NOOP\n* VANISHED (EARLIER) 4\n", false },
		{ OPEN ENABLE("QRESYNC") "C:c NOOP\n* VANISHED (EARLIER) 5\nc OK n\n", true },
		{ OPEN ENABLE("CONDSTORE") "C:c NOOP\n* 1 FETCH (FLAGS ())\n", false },
		{ OPEN ENABLE("CONDSTORE") "C:c NOOP\n* 1 FETCH (FLAGS () MODSEQ (7))\n* 1 FETCH "
					   "(FLAGS () MODSEQ (6))\n",
			false },
		{ OPEN "C:c NOOP\n* 1 FETCH (FLAGS (A B) MODSEQ (7))\n* 1 FETCH (FLAGS (b a) "
		       "MODSEQ (7))\n",
			true },
		{ OPEN "C:c NOOP\n* 1 FETCH (FLAGS (A) MODSEQ (7))\n* 1 FETCH (FLAGS () MODSEQ "
		       "(7))\n",
			false },
		{ OPEN ENABLE("IMAP4rev2") "C:c NOOP\n* 1 RECENT\n", false },
		{ OPEN ENABLE("IMAP4rev2") "C:c SEARCH ALL\n* SEARCH 1\n", false },
		{ OPEN ENABLE("IMAP4rev2") "C:c NOOP\n* 1 FETCH (FLAGS ())\n", false },
		{ OPEN ENABLE("IMAP4rev2") "C:c NOOP\n* 1 FETCH (UID 4 FLAGS ())\nc OK n\n", true },
		{ OPEN ENABLE("IMAP4rev2") "C:c STORE 1 FLAGS ()\n* 1 FETCH (FLAGS ())\nc OK n\n",
			true },
		{ OPEN "C:c NOOP\n* 4 RECENT\n", false },
		{ OPEN "C:c SELECT x\nc NO no\nC:d NOOP\n* 1 EXISTS\n", false },
		{ "C:a SELECT x\n* 1 EXISTS\n* OK [UIDVALIDITY 9] u\na OK s\n", false },
		{ OPEN "C:c SELECT INBOX\n* OK [CLOSED] c\n" SELECTED("c", 3, 5), true },
		{ OPEN "C:c SELECT INBOX\n* OK [CLOSED] c\n" SELECTED("c", 3, 4), false },
		{ OPEN "C:c NOOP\n* 1 FETCH (FLAGS () MODSEQ (7))\nc OK n\n"
		       "C:d SELECT INBOX\n* OK [CLOSED] c\n" SELECTED("d", 3, 6),
			false },
		{ AGAIN "* VANISHED (EARLIER) 6\n* 3 FETCH (UID 9 FLAGS () MODSEQ (7))\nc OK s\n",
			true },
		{ AGAIN "* VANISHED (EARLIER) 6\nc OK s\n", false },
		{ AGAIN "* 3 FETCH (UID 9 FLAGS () MODSEQ (7))\nc OK s\n", false },
		{ AGAIN "* VANISHED (EARLIER) 6\n* 2 FETCH (UID 9 FLAGS () MODSEQ (7))\nc OK s\n",
			false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool got = may_be_said(rows[i].script);

		if (got != rows[i].want)
			print_error("%s %s\n", got ? "passed:" : "refused:", rows[i].script);
		assert_int_equal(got, rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_are_read),
		cmocka_unit_test(test_what_a_server_must_not_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
