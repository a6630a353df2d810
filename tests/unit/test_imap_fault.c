/* IMAP over a home that fails: mail can be read where nothing can be written, and a NO leaves what
 * it promises although the command could not begin. Faults are compiled in where sanitizers are. */
#define PROGRAM "fault"
#include "imap_case.h"

#include "core/store/fault.h"

#if STORE_FAULTS
/* The first put of each commit is refused, as by a full disk, until quiet(). */
static void
full(void)
{
	fault_arm(FAULT_PUT, 1);
}

static void
quiet(void)
{
	fault_arm(FAULT_PUT, 0);
	fault_arm(FAULT_COMMIT, 0);
}

static void
test_select_without_space(void **state)
{
	(void)state;
	append(c, "INBOX", "()", mail1);
	full();
	EXPECT(c, "OK [READ-WRITE]", "SELECT INBOX");
	quiet();
	SAID(c, "* 1 EXISTS");
	SAID(c, "* 1 RECENT");
	EXPECT(c, "OK", "FETCH 1 FLAGS");
	SAID(c, "(FLAGS (\\Recent))");
}

/* \Seen is set another time. */
static void
test_fetch_without_space(void **state)
{
	(void)state;
	two_messages();
	/* the claim of \Recent goes with it, and is not beside \Seen below */
	EXPECT(c, "OK", "STORE 2 +FLAGS (\\Answered)");
	full();
	EXPECT(c, "OK", "FETCH 1:2 (FLAGS BODY[TEXT])");
	quiet();
	SAID(c, "See you at noon.");
	SAID(c, "Pasta");
	SILENT(c, "\\Seen");
	EXPECT(c, "OK", "FETCH 1 BODY[TEXT]");
	SAID(c, "FLAGS (\\Seen \\Recent)");
	EXPECT(c, "OK", "FETCH 2 FLAGS");
	SILENT(c, "\\Seen");
}

/* A sync that failed makes the home unavailable for half a minute. */
static void
test_commands_that_cannot_begin(void **state)
{
	(void)state;
	two_messages();
	EXPECT(c, "OK", "CREATE Other");
	EXPECT(c, "OK", "SEARCH RETURN (SAVE) ALL");
	fault_arm(FAULT_COMMIT, 1);
	EXPECT(c, "NO [UNAVAILABLE]", "STORE 1 +FLAGS (\\Flagged)");
	quiet();
	EXPECT(c, "NO [UNAVAILABLE]", "SEARCH RETURN (SAVE) ALL");
	EXPECT(c, "NO [UNAVAILABLE]", "FETCH 1 FLAGS");
	EXPECT(c, "NO [UNAVAILABLE]", "SELECT Other");
	SAID(c, "* OK [CLOSED]");
	EXPECT(c, "BAD No mailbox is selected", "FETCH 1 FLAGS");
	EXPECT(c, "NO [UNAVAILABLE]", "EXAMINE INBOX");
	SILENT(c, "[CLOSED]");
	EXPECT(c, "OK", "LOGOUT");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_select_without_space),
		TEST(test_fetch_without_space),
		TEST(test_commands_that_cannot_begin),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
#else
int
main(void)
{
	puts("1..0 # SKIP no faults in this build");
	return 0;
}
#endif
