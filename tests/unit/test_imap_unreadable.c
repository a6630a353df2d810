/* Message files that cannot be read, that are not there, that are not what the index says: each
 * message fails by itself, and an answer is never cut in the middle. */
#define PROGRAM "unreadable"
#include "imap_disk.h"

#include "imap/session/cold.h"

/* ---- what cannot be given ---- */

enum damage { MISSING, SHORT, LINK, BROKEN, BROKEN_COLD };

static const struct {
	enum damage damage;
	const char *code;
	const char *reason;
} damages[] = {
	{ MISSING, "NO [EXPUNGEISSUED]", "it is not there" },
	{ SHORT, "NO [CORRUPTION]", "it is not what the index says" },
	{ LINK, "NO [SERVERBUG]", "symbolic" },
	{ BROKEN, "NO [SERVERBUG]", "Input/output error" },
	{ BROKEN_COLD, "NO [SERVERBUG]", "Input/output error" },
};

static void
do_damage(enum damage d, const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	switch (d) {
	case MISSING:
		assert_int_equal(unlink(path), 0);
		break;
	case SHORT:
		assert_int_equal(truncate(path, 5), 0);
		break;
	case LINK:
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink("/dev/null", path), 0);
		break;
	case BROKEN_COLD:
		all_cold(false);
		disk.broken = st.st_ino;
		break;
	case BROKEN:
		disk.broken = st.st_ino;
		break;
	}
}

/* Lines of the log since the last call that tell of an unreadable file; *in: one of them names it.
 */
static int
complaints(int log, const char *path, const char *reason)
{
	char line[4096], want[MESSAGE_PATH_MAX + 16];
	bool named = false;
	int n = 0;
	ssize_t got;

	(void)snprintf(want, sizeof want, "file=%s ", path);
	while ((got = recv(log, line, sizeof line - 1, MSG_DONTWAIT)) > 0) {
		line[got] = '\0';
		if (strstr(line, "ev=imap.unreadable") == NULL)
			continue;
		n++;
		named = named || (strstr(line, want) != NULL && strstr(line, reason) != NULL);
		if (!named)
			print_error("%s\n", line);
	}
	assert_true(n == 0 || named);
	return n;
}

static void
test_one_file_fails_the_others_come(void **state)
{
	static const char *const asked[] = {
		"(UID BODY.PEEK[])",
		"(UID FLAGS BODY.PEEK[TEXT])",
		"(UID BODY.PEEK[HEADER.FIELDS (X-Odd)])",
		"(UID BODY.PEEK[]<2.5>)",
		"(UID ENVELOPE BINARY.PEEK[1])",
	};
	int log[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, log), 0);
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		char path[MESSAGE_PATH_MAX];

		EXPECT(c, "OK", "SELECT INBOX");
		EXPECT(c, "OK", "UID STORE 1:* +FLAGS (\\Deleted)");
		EXPECT(c, "OK", "EXPUNGE");
		for (int n = 0; n < 3; n++)
			append(c, "INBOX", "()", mail1);
		EXPECT(c, "OK", "NOOP");
		unsigned first = (unsigned)(i * 3 + 1);

		path_of(first + 1, path);
		do_damage(damages[i].damage, path);
		log_setup("test", LVL_WARN, log[1]);
		for (size_t n = 0; n < 2 * ARRAY_LEN(asked); n++) {
			if (damages[i].damage == BROKEN_COLD)
				all_cold(false);
			EXPECT(c, damages[i].code, "FETCH 1:3 %s", asked[n / 2]);
			SAID(c, "* 1 FETCH (UID ");
			SAID(c, "* 3 FETCH (UID ");
			SILENT(c, "* 2 FETCH (UID");
			assert_int_equal(complaints(log[0], path, damages[i].reason), 1);
			if (damages[i].damage == BROKEN_COLD)
				all_cold(false);
			EXPECT(c, damages[i].code, "UID FETCH %u:%u %s", first, first + 2,
				asked[n / 2]);
			SAID(c, "* 1 FETCH (UID ");
			SAID(c, "* 3 FETCH (UID ");
			assert_int_equal(complaints(log[0], path, damages[i].reason), 1);
		}
		/* what the index knows needs no file */
		EXPECT(c, "OK", "FETCH 1:3 (FLAGS ENVELOPE BODYSTRUCTURE PREVIEW RFC822.SIZE)");
		SAID(c, "* 2 FETCH (");
		log_setup("test", LVL_WARN, 2);
		all_warm();
	}
	(void)close(log[0]);
	(void)close(log[1]);
}

/* The log names some of many, and says how many there are. */
static void
test_many_files_fail(void **state)
{
	enum { MANY = 30 };
	char line[4096], path[MESSAGE_PATH_MAX];
	int log[2], n = 0;

	(void)state;
	for (unsigned i = 1; i <= MANY; i++) {
		append(c, "INBOX", "()", mail1);
		if (i == 1)
			EXPECT(c, "OK", "SELECT INBOX");
		EXPECT(c, "OK", "NOOP");
		path_of(i, path);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, log), 0);
	/* at most some ten lines wait in the socket */
	int size = 1024 * 1024;

	(void)setsockopt(log[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	log_setup("test", LVL_WARN, log[1]);
	EXPECT(c, "NO [EXPUNGEISSUED]", "FETCH 1:* BODY.PEEK[]");
	SILENT(c, " FETCH ");
	log_setup("test", LVL_WARN, 2);
	while (recv(log[0], line, sizeof line, MSG_DONTWAIT) > 0) {
		n += strstr(line, "ev=imap.unreadable") != NULL;
		memset(line, 0, sizeof line);
	}
	assert_in_range(n, 1, 17);
	(void)close(log[0]);
	(void)close(log[1]);
}

static void
test_search_names_the_file(void **state)
{
	char path[MESSAGE_PATH_MAX];
	int log[2];

	(void)state;
	for (int n = 0; n < 3; n++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	path_of(2, path);
	assert_int_equal(truncate(path, 5), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, log), 0);
	log_setup("test", LVL_WARN, log[1]);
	EXPECT(c, "NO [CORRUPTION]", "SEARCH BODY noon");
	assert_int_equal(complaints(log[0], path, "it is not what the index says"), 1);
	assert_int_equal(unlink(path), 0);
	EXPECT(c, "OK [EXPUNGEISSUED]", "SEARCH BODY noon");
	SAID(c, "* SEARCH 1 3\r\n");
	assert_int_equal(complaints(log[0], path, "it is not there"), 1);
	log_setup("test", LVL_WARN, 2);
	(void)close(log[0]);
	(void)close(log[1]);
}

/* A sector that cannot be read is no wrong index, and no SIGBUS. */
static void
test_search_over_a_broken_file(void **state)
{
	static const char *const asked[] = { "SEARCH BODY noon", "SEARCH HEADER X-Odd no",
		"SEARCH OR TEXT noon HEADER X-Odd yes" };
	char path[MESSAGE_PATH_MAX];
	int log[2];

	(void)state;
	two_messages();
	append_large();
	EXPECT(c, "OK", "SELECT INBOX");
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, log), 0);
	for (uint32_t uid = 2; uid <= 3; uid++) {
		path_of(uid, path);
		break_file(uid);
		log_setup("test", LVL_WARN, log[1]);
		for (size_t i = 0; i < 3 * ARRAY_LEN(asked); i++) {
			if (i % 3 != 0)
				all_cold(i % 3 == 1);
			EXPECT(c, "NO [UNAVAILABLE]", "%s", asked[i / 3]);
			assert_int_equal(complaints(log[0], path, "Input/output error"), 1);
			disk.on = disk.names = false;
		}
		log_setup("test", LVL_WARN, 2);
		all_warm();
		EXPECT(c, "OK", "SEARCH BODY noon");
		SAID(c, "* SEARCH 1\r\n");
	}
	(void)close(log[0]);
	(void)close(log[1]);
}

/* A file's error is told of that file: neither of the next, nor in another session. */
static void
test_each_failure_has_its_own_reason(void **state)
{
	enum { MORE = 20 }; /* than are logged */
	struct client *other;
	char line[4096];
	bool told = false;
	ssize_t got;
	int log[2];

	(void)state;
	append_large();
	EXPECT(c, "OK", "SELECT INBOX");
	for (int i = 0; i < MORE; i++)
		EXPECT(c, "OK", "COPY 1 INBOX");
	other = second();
	EXPECT(other, "OK", "SELECT INBOX");
	break_file(1);
	log_setup("test", LVL_WARN, -1);
	EXPECT(c, "NO [SERVERBUG]", "FETCH 1:* BODY.PEEK[1]<0.10>");
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, log), 0);
	log_setup("test", LVL_WARN, log[1]);
	index_fails = true;
	EXPECT(other, "NO [SERVERBUG]", "FETCH 1 ENVELOPE");
	index_fails = false;
	log_setup("test", LVL_WARN, 2);
	while ((got = recv(log[0], line, sizeof line - 1, MSG_DONTWAIT)) > 0) {
		line[got] = '\0';
		told = told || strstr(line, "ev=imap.unreadable") != NULL;
		assert_null(strstr(line, "Input/output error"));
	}
	assert_true(told);
	(void)close(log[0]);
	(void)close(log[1]);
	client_free(other);
}

/* \Seen was set for a message that could not be given: its flags are told. */
static void
test_seen_of_what_failed(void **state)
{
	char path[MESSAGE_PATH_MAX];

	(void)state;
	two_messages();
	path_of(1, path);
	assert_int_equal(unlink(path), 0);
	EXPECT(c, "NO [EXPUNGEISSUED]", "FETCH 1:2 BODY[TEXT]");
	SAID(c, "* 2 FETCH (BODY[TEXT]");
	SAID(c, "* 1 FETCH (FLAGS (\\Seen");
	EXPECT(c, "OK", "NOOP");
}

/* Octets were promised: the client must not take something else for them. */
static void
test_a_large_file_fails_in_the_middle(void **state)
{
	struct client *other;

	(void)state;
	append_large();
	EXPECT(c, "OK", "SELECT INBOX");
	other = second();
	EXPECT(other, "OK", "SELECT INBOX");
	break_file(1);
	all_cold(false);
	buf_reset(&c->in);
	client_sendz(c, "x FETCH 1 (UID BODY.PEEK[])\r\n");
	(void)client_await(c, "x NO", false, CLIENT_WAIT_MS);
	assert_true(c->ended);
	SILENT(c, "x NO");
	EXPECT(other, "OK", "NOOP");
	all_warm();
	EXPECT(other, "OK", "FETCH 1 BODY.PEEK[]");
	client_free(other);
}

static void
test_catenate_of_what_cannot_be_read(void **state)
{
	static const char *const urls[] = { "/INBOX/;UID=1", "/INBOX/;UID=1/;SECTION=TEXT",
		"/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)" };
	char path[MESSAGE_PATH_MAX];
	struct client *other;

	(void)state;
	two_messages();
	other = second();
	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		for (int names = 0; names < 2; names++) {
			all_cold(names == 1);
			hold();
			buf_reset(&c->in);
			client_send(c, STR("x APPEND INBOX CATENATE (URL \""));
			client_sendz(c, urls[i]);
			client_sendz(c, "\" TEXT {3+}\r\nabc)\r\n");
			EXPECT(other, "OK", "NOOP");
			SILENT(c, "x OK");
			let_go();
			assert_true(client_await(c, "x OK [APPENDUID", false, CLIENT_WAIT_MS));
			assert_int_equal(disk.waits, 0);
		}
	break_file(1);
	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		for (int cold = 0; cold < 2; cold++) {
			if (cold != 0)
				all_cold(false);
			else
				disk.on = false;
			EXPECT(c, "NO [UNAVAILABLE]",
				"APPEND INBOX CATENATE (URL \"%s\" TEXT {3+}\r\nabc)", urls[i]);
		}
	all_warm();
	path_of(1, path);
	assert_int_equal(unlink(path), 0);
	EXPECT(c, "NO [BADURL", "APPEND INBOX CATENATE (URL \"%s\" TEXT {3+}\r\nabc)", urls[0]);
	EXPECT(c, "OK", "STATUS INBOX (MESSAGES)");
	SAID(c, "(MESSAGES 8)");
	/* the index alone changes */
	EXPECT(c, "OK", "COPY 1:2 Archive");
	EXPECT(c, "OK", "UID REPLACE 2 INBOX {8+}\r\nA: b\r\n\r\n");
	client_free(other);
}

/* A URL names what it named when it was looked at first: whatever becomes of the names of mailboxes
 * while the pool reads, a message is never made of two. */
static void
test_catenate_while_names_change(void **state)
{
	struct client *other;

	(void)state;
	EXPECT(c, "OK", "CREATE Box");
	EXPECT(c, "OK", "CREATE New");
	append(c, "Box", "()", mail1);
	append(c, "New", "()", "Subject: short\r\n\r\ntext\r\n");
	other = second();
	for (int names = 0; names < 2; names++) {
		all_cold(names == 1);
		hold();
		buf_reset(&c->in);
		client_sendz(
			c, "x APPEND INBOX CATENATE (URL \"/Box/;UID=1\" TEXT {3+}\r\nabc)\r\n");
		EXPECT(other, "OK", "NOOP");
		SILENT(c, "x OK");
		EXPECT(other, "OK", "RENAME Box Old");
		EXPECT(other, "OK", "RENAME New Box");
		let_go();
		assert_true(client_await(c, "x OK [APPENDUID", false, CLIENT_WAIT_MS));
		all_warm();
		EXPECT(c, "OK", "SELECT INBOX");
		EXPECT(c, "OK", "FETCH * BODY.PEEK[]");
		SAID(c, "X-Odd: yes\r\n\r\nSee you at noon.\r\nabc)");
		EXPECT(other, "OK", "RENAME Box New");
		EXPECT(other, "OK", "RENAME Old Box");
	}
	client_free(other);
}

/* ---- what a FETCH may queue ---- */

static void
append_wide(void)
{
	enum { NAMES = 2000 };
	struct buf b;

	buf_init(&b, 1024 * 1024);
	buf_addz(&b, "From: a@example.org\r\nSubject: wide\r\nTo: ");
	for (int i = 0; i < NAMES; i++)
		buf_addf(&b, "%s\"Person number %d\" <person%d@example.org>",
			i != 0 ? ",\r\n " : "", i, i);
	buf_addz(&b, "\r\n\r\ntext\r\n");
	buf_addc(&b, '\0');
	append(c, "INBOX", "()", buf_str(&b).p);
	buf_fini(&b);
}

static struct imap_session *
only_session(void)
{
	assert_int_equal(w.imap.sessions_count, 1);
	return CONTAINER_OF(w.imap.sessions.next, struct imap_session, link);
}

/* A FETCH that says ENVELOPE a hundred times; its client reads nothing. The most that was queued.
 */
static size_t
ask_and_read_nothing(void)
{
	struct buf line;
	size_t most = 0;
	int small = 4096;

	append_wide();
	EXPECT(c, "OK", "SELECT INBOX");
	buf_init(&line, 4096);
	buf_addz(&line, "x FETCH 1 (UID ");
	for (int i = 0; i < 98; i++)
		buf_addz(&line, "ENVELOPE ");
	buf_addz(&line, "FLAGS)\r\n");
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	loop_io_set(&c->io, 0);
	buf_reset(&c->in);
	client_send(c, buf_str(&line));
	buf_fini(&line);
	for (int i = 0; i < 50; i++) {
		client_rest(c, 2);
		size_t n = stream_queued(only_session()->stream);

		most = n > most ? n : most;
	}
	return most;
}

static void
test_one_message_queues_little(void **state)
{
	size_t most, n = 0;

	(void)state;
	most = ask_and_read_nothing();
	assert_in_range(most, 1, 1024 * 1024);
	assert_true(buf_str(&c->in).n == 0);
	loop_io_set(&c->io, LOOP_READ);
	assert_true(client_await(c, "x OK", false, CLIENT_WAIT_MS));
	struct str in = buf_str(&c->in);

	assert_true(str_starts(in, STR("* 1 FETCH (UID 1 ENVELOPE (")));
	SAID(c, " FLAGS (\\Recent))\r\nx OK");
	for (size_t at; (at = str_find(in, STR(" ENVELOPE ("))) < in.n; n++)
		in = str_from(in, at + 1);
	assert_int_equal(n, 98);
}

/* The home goes away when a row is half said: the row is ended. */
static void
test_a_row_is_ended_whatever_comes(void **state)
{
	char home[200];
	struct home *h;

	(void)state;
	(void)ask_and_read_nothing();
	(void)snprintf(home, sizeof home, "%s/user%u", w.dir, w.homes);
	assert_int_equal(home_get(w.store, str_of(home), &h), ERR_OK);
	home_poison(h, "for a test");
	home_unref(h);
	loop_io_set(&c->io, LOOP_READ);
	assert_true(client_await(c, "x NO [UNAVAILABLE]", false, CLIENT_WAIT_MS));
	SAID(c, "))\r\nx NO [UNAVAILABLE]");
	assert_false(c->ended);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		COLD_TEST(test_one_file_fails_the_others_come),
		COLD_TEST(test_many_files_fail),
		COLD_TEST(test_search_names_the_file),
		COLD_TEST(test_search_over_a_broken_file),
		COLD_TEST(test_each_failure_has_its_own_reason),
		COLD_TEST(test_seen_of_what_failed),
		COLD_TEST(test_a_large_file_fails_in_the_middle),
		COLD_TEST(test_catenate_of_what_cannot_be_read),
		COLD_TEST(test_catenate_while_names_change),
		COLD_TEST(test_one_message_queues_little),
		COLD_TEST(test_a_row_is_ended_whatever_comes),
	};

	disk_setup();
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
