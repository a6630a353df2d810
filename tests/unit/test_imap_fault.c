/* IMAP over a home that fails: mail can be read where nothing can be written, and a NO leaves what
 * it promises although the command could not begin. */
#define PROGRAM "fault"
#include "imap_case.h"

#include <sys/wait.h>
#include <unistd.h>

#include "core/store/fault.h"
#include "core/store/internal.h"

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

/* The home of the client's user. A reference. */
static struct home *
home_now(void)
{
	char path[200];
	struct home *h;

	(void)snprintf(path, sizeof path, "%s/user%u", w.dir, w.homes);
	assert_int_equal(home_get(w.store, str_of(path), &h), ERR_OK);
	return h;
}

static unsigned
sessions_that_wait(void)
{
	unsigned full = 0;

	LIST_FOREACH (n, &w.imap.sessions)
		full += stream_full(CONTAINER_OF(n, struct imap_session, link)->stream);
	return full;
}

/* Sends a command and reads nothing of its answer, until the server waits for that. */
static void
say_and_wait(struct client *at, const char *line)
{
	unsigned before = sessions_that_wait();

	loop_io_set(&at->io, 0);
	buf_reset(&at->in);
	client_sendz(at, line);
	while (sessions_that_wait() == before)
		client_rest(at, 1);
}

/* Another process died: the index is synced before anything is read again, and cannot be. The
 * client, who reads on meanwhile, is sent away without the wrong answer. */
static void
read_on_without_sync(struct home *h, const char *wrong)
{
	fault_arm(FAULT_COMMIT, 1);
	h->want_sync = true;
	loop_io_set(&c->io, LOOP_READ);
	(void)client_await(c, wrong, true, CLIENT_WAIT_MS);
	SILENT(c, wrong);
	assert_true(c->ended);
	assert_int_equal(h->state, HOME_POISONED);
}

/* In the middle of a literal there is nothing else to say. */
static void
test_a_home_that_fails_in_a_literal(void **state)
{
	enum { LARGE = 900000 };
	char *text = xmalloc(LARGE + 1);
	struct home *h = home_now();

	(void)state;
	memset(text, 'y', LARGE);
	for (size_t i = 77; i < LARGE; i += 78)
		text[i] = '\n';
	text[LARGE] = '\0';
	EXPECT(c, "OK", "APPEND INBOX {%d+}\r\n%s", LARGE, text);
	free(text);
	EXPECT(c, "OK", "SELECT INBOX");
	say_and_wait(c, "x FETCH 1 BODY.PEEK[]\r\n");
	read_on_without_sync(h, "x NO");
	assert_true(c->in.n < LARGE);
	home_unref(h);
}

/* What was said of numbers cannot be taken back: whoever heard half of it has to begin anew. */
static void
test_a_home_that_fails_while_numbers_change(void **state)
{
	enum { DOUBLINGS = 16 };
	struct client *other, *idle;
	struct home *h = home_now();

	(void)state;
	append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	for (int i = 0; i < DOUBLINGS; i++)
		EXPECT(c, "OK", "COPY 1:* INBOX");
	idle = second();
	EXPECT(idle, "OK", "SELECT INBOX");
	other = second();
	EXPECT(other, "OK", "ENABLE QRESYNC");
	EXPECT(other, "OK", "SELECT INBOX");
	EXPECT(other, "OK", "STORE 2:* +FLAGS.SILENT (\\Deleted)");
	EXPECT(other, "OK", "STORE 1 +FLAGS.SILENT (\\Flagged)");
	EXPECT(other, "OK", "EXPUNGE");
	say_and_wait(c, "x NOOP\r\n");
	say_and_wait(idle, "x IDLE\r\n");
	loop_io_set(&idle->io, LOOP_READ);
	read_on_without_sync(h, "x OK");
	SAID(c, " EXPUNGE\r\n");
	SAID(c, "* BYE [UNAVAILABLE] ");
	assert_true(client_await(idle, "* BYE [UNAVAILABLE] ", false, CLIENT_WAIT_MS));
	SAID(idle, " EXPUNGE\r\n");
	SILENT(idle, "+ idling");
	client_free(idle);
	home_unref(h);
	client_free(other);
}

#endif

/* A sync that failed makes the home unavailable for half a minute. A reference. */
static struct home *
away(const char *user)
{
	char path[200];
	struct home *h;

	(void)snprintf(path, sizeof path, "%s/%s", w.dir, user);
	assert_int_equal(home_get(w.store, str_of(path), &h), ERR_OK);
	home_poison(h, "for a test");
	return h;
}

static void
test_commands_that_cannot_begin(void **state)
{
	char user[32];

	(void)state;
	two_messages();
	EXPECT(c, "OK", "CREATE Other");
	EXPECT(c, "OK", "SEARCH RETURN (SAVE) ALL");
	(void)snprintf(user, sizeof user, "user%u", w.homes);
	home_unref(away(user));
	EXPECT(c, "NO [UNAVAILABLE]", "STORE 1 +FLAGS (\\Flagged)");
	EXPECT(c, "NO [UNAVAILABLE]", "SEARCH RETURN (SAVE) ALL");
	EXPECT(c, "NO [UNAVAILABLE]", "FETCH 1 FLAGS");
	EXPECT(c, "NO [UNAVAILABLE]", "SELECT Other");
	SAID(c, "* OK [CLOSED]");
	EXPECT(c, "BAD No mailbox is selected", "FETCH 1 FLAGS");
	EXPECT(c, "NO [UNAVAILABLE]", "EXAMINE INBOX");
	SILENT(c, "[CLOSED]");
	EXPECT(c, "OK", "LOGOUT");
}

/* Another process puts a message into u/alice's INBOX. */
static void
append_elsewhere(void)
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		/* its "ok 1" is not one of ours */
		(void)dup2(STDERR_FILENO, STDOUT_FILENO);
		execl("tests/tools/store_writer", "store_writer", w.dir, "append", "1",
			(char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		continue;
	assert_int_equal(status, 0);
}

/* What another process delivers while the home is out of reach is told in IDLE once it is not, with
 * no further change. */
static void
test_idle_over_a_failure(void **state)
{
	const int64_t before = w.imap.limits.probe_ms;
	struct client *idle, *other;
	struct home *h;

	(void)state;
	w.imap.limits.probe_ms = 200;
	idle = client_login(&w, "u/alice", STR_EMPTY);
	other = client_login(&w, "u/alice", STR_EMPTY);
	EXPECT(idle, "OK", "SELECT INBOX");
	client_sendz(idle, "i IDLE\r\n");
	assert_true(client_await(idle, "+ ", false, CLIENT_WAIT_MS));
	h = away("u/alice");
	EXPECT(other, "NO [UNAVAILABLE]", "CREATE New");
	h->retry_ms += (int64_t)3600 * 1000;
	append_elsewhere();
	assert_true(client_await(idle, "* OK Still here", false, CLIENT_WAIT_MS));
	SILENT(idle, "* 1 EXISTS");
	h->retry_ms = 0;
	home_unref(h);
	assert_true(client_await(idle, "* 1 EXISTS", false, CLIENT_WAIT_MS));
	w.imap.limits.probe_ms = before;
	client_free(idle);
	client_free(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#if STORE_FAULTS
		TEST(test_select_without_space),
		TEST(test_fetch_without_space),
		TEST(test_a_home_that_fails_in_a_literal),
		TEST(test_a_home_that_fails_while_numbers_change),
#endif
		TEST(test_commands_that_cannot_begin),
		TEST(test_idle_over_a_failure),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
