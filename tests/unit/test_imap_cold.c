/* Message files that are not in memory: what reads them holds up nobody. */
#define PROGRAM "cold"
#include "imap_disk.h"

/* ---- tests ---- */

static const char *const commands[] = {
	"FETCH 1:* (UID BODY.PEEK[])",
	"FETCH 1:* (BODY.PEEK[TEXT] BODY.PEEK[HEADER] FLAGS)",
	"UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-Odd)]",
	"FETCH 1:* BODY.PEEK[HEADER.FIELDS.NOT (X-Odd)]",
	"FETCH 1:* (BODY.PEEK[]<3.10> BODY.PEEK[]<1000.70000>)",
	"FETCH 1:* (RFC822.HEADER BODY.PEEK[1] BODY.PEEK[2.MIME] ENVELOPE)",
	"FETCH 1:* (BINARY.PEEK[1] BINARY.SIZE[2] BODY.PEEK[])",
	"FETCH 3 (BODY.PEEK[] BODY.PEEK[TEXT] BODY.PEEK[HEADER] BODY.PEEK[]<0.10>)",
	"FETCH 1:* (PREVIEW BODYSTRUCTURE)",
	"SEARCH BODY noon",
	"SEARCH HEADER X-Odd yes",
};

static void
await_end(struct client *at, struct buf *out)
{
	assert_true(client_await(at, "x OK", false, CLIENT_WAIT_MS));
	buf_reset(out);
	buf_add(out, buf_str(&at->in));
}

/* The answer is the same whatever is in memory, and meanwhile other sessions go on. */
static void
test_others_go_on_while_the_pool_reads(void **state)
{
	struct client *other;
	struct buf want, got;

	(void)state;
	two_messages();
	append_large();
	EXPECT(c, "OK", "SELECT INBOX");
	other = second();
	EXPECT(other, "OK", "SELECT INBOX");
	buf_init(&want, CLIENT_IN_MAX);
	buf_init(&got, CLIENT_IN_MAX);
	for (size_t i = 0; i < 2 * ARRAY_LEN(commands); i++) {
		const char *command = commands[i / 2];
		char line[200];
		bool reads = strstr(command, "PREVIEW") == NULL;

		(void)snprintf(line, sizeof line, "x %s\r\n", command);
		all_warm();
		buf_reset(&c->in);
		client_sendz(c, line);
		await_end(c, &want);
		all_cold(i % 2 == 1);
		hold();
		buf_reset(&c->in);
		client_sendz(c, line);
		for (int n = 0; n < 3; n++)
			EXPECT(other, "OK", "NOOP");
		if (reads)
			SILENT(c, "x OK");
		let_go();
		await_end(c, &got);
		if (!str_eq(buf_str(&got), buf_str(&want)))
			print_error("%s: %.*s\n", command, (int)(got.n < 2000 ? got.n : 2000),
				buf_str(&got).p);
		assert_true(str_eq(buf_str(&got), buf_str(&want)));
		assert_int_equal(disk.waits, 0);
		assert_true(!reads || disk.pool_reads != 0);
	}
	buf_fini(&want);
	buf_fini(&got);
	client_free(other);
}

/* A file system that never says that something is in memory. */
static void
test_what_is_never_in_memory(void **state)
{
	(void)state;
	two_messages();
	append_large();
	EXPECT(c, "OK", "SELECT INBOX");
	all_cold(true);
	disk.always = true;
	EXPECT(c, "OK",
		"FETCH 1:3 (BODY.PEEK[TEXT] BODY.PEEK[HEADER] BODY.PEEK[] BODY.PEEK[]<1.3>)");
	SAID(c, "See you at noon.\r\n BODY[HEADER] {");
	SAID(c, "* 3 FETCH (BODY[TEXT] {300000}");
	SAID(c, " BODY[]<1> {3}\r\nubj)\r\n");
	EXPECT(c, "OK", "FETCH 2 BINARY.PEEK[1]");
	SAID(c, "BINARY[1] {5}\r\nPasta)");
	EXPECT(c, "OK", "APPEND INBOX CATENATE (URL \"/INBOX/;UID=1\" URL \"/INBOX/;UID=3\")");
}

/* Many cold messages are not one wait each. */
static void
test_the_disk_is_told_ahead(void **state)
{
	enum { MANY = 40 };

	(void)state;
	for (int i = 0; i < MANY; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	for (int names = 0; names < 2; names++) {
		all_cold(names == 1);
		EXPECT(c, "OK", "FETCH 1:* BODY.PEEK[]");
		SAID(c, "* 40 FETCH (BODY[] {");
		assert_int_equal(disk.waits, 0);
		assert_in_range(disk.pool_reads, 1, 5);
		assert_true(disk.pool_tells >= MANY - disk.pool_reads);
	}
}

/* A SEARCH tells it of what its other keys leave over, and of nothing else. */
static void
test_the_disk_is_told_ahead_by_search(void **state)
{
	enum { MANY = 40 };

	(void)state;
	for (int i = 0; i < MANY; i++)
		append(c, "INBOX", i == 3 || i == 8 ? "(\\Flagged)" : "()", mail1);
	append_large();
	EXPECT(c, "OK", "SELECT INBOX");
	for (int names = 0; names < 2; names++) {
		all_cold(names == 1);
		EXPECT(c, "OK", "SEARCH SMALLER 10000 BODY noon");
		SAID(c, "38 39 40\r\n");
		assert_int_equal(disk.waits, 0);
		assert_in_range(disk.pool_reads, 1, 5);
		assert_true(disk.pool_tells >= MANY - disk.pool_reads);
		all_cold(names == 1);
		EXPECT(c, "OK", "SEARCH FLAGGED NOT BODY noon");
		SAID(c, "* SEARCH\r\n");
		assert_int_equal(disk.pool_reads, 1);
		assert_int_equal(disk.pool_tells, 2);
		all_cold(names == 1);
		EXPECT(c, "OK", "SEARCH FROM nobody BODY noon");
		assert_int_equal(disk.pool_reads + disk.pool_tells, 0);
	}
	all_cold(false);
	EXPECT(c, "OK", "SEARCH BODY yyy");
	SAID(c, "* SEARCH 41\r\n");
}

/* Its client goes away, and the server ends, while the pool is at it. */
static void
test_a_client_that_leaves_meanwhile(void **state)
{
	static const char *const lines[] = {
		"x FETCH 1:* BODY.PEEK[]\r\n",
		"x FETCH 1:* BINARY.PEEK[1]\r\n",
		"x APPEND INBOX CATENATE (URL \"/INBOX/;UID=1\")\r\n",
		"x SEARCH TEXT nothing\r\n",
	};

	(void)state;
	two_messages();
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct client *gone = second();

		EXPECT(gone, "OK", "SELECT INBOX");
		all_cold(i % 2 == 0);
		hold();
		client_sendz(gone, lines[i]);
		EXPECT(c, "OK", "NOOP");
		client_free(gone);
		for (int n = 0; n < 3; n++)
			EXPECT(c, "OK", "NOOP");
		let_go();
		all_warm();
		EXPECT(c, "OK", "FETCH 1 BODY.PEEK[]");
	}
}

/* A SEARCH that waits for the disk again and again says how far it is. */
static void
test_progress_of_a_cold_search(void **state)
{
	int64_t before = w.imap.limits.progress_ms;

	(void)state;
	two_messages();
	all_cold(false);
	disk.always = true;
	w.imap.limits.progress_ms = 0;
	EXPECT(c, "OK", "SEARCH BODY nothing");
	w.imap.limits.progress_ms = before;
	SAID(c, "* OK [INPROGRESS (\"t");
	SAID(c, "\" 1 2)] Still working\r\n");
}

/* ---- headers that are not small ---- */

static void
append_header(size_t fields)
{
	static const char begin[] = "From: a@example.org\r\nX-One: 1\r\n";
	static const char line[] =
		"X-Many: value value value value value value value value value\r\n";
	static const char end[] = "X-Last: z\r\n\r\ntext\r\n";
	struct buf b;

	buf_init(&b, CLIENT_IN_MAX);
	buf_addf(&b, "a APPEND INBOX {%zu+}\r\n%s",
		strlen(begin) + fields * strlen(line) + strlen(end), begin);
	for (size_t i = 0; i < fields; i++)
		buf_addz(&b, line);
	buf_addz(&b, end);
	buf_addz(&b, "\r\n");
	buf_reset(&c->in);
	client_send(c, buf_str(&b));
	buf_fini(&b);
	assert_true(client_await(c, "a OK", false, CLIENT_WAIT_MS));
}

/* They are gone through on the pool, and go out piece by piece. */
static void
test_large_headers(void **state)
{
	enum { FEW = 1000, MANY = 10000, SIZE = 63 };
	struct client *other;
	char want[200];

	(void)state;
	append(c, "INBOX", "()", mail1);
	append_header(MANY);
	append_header(FEW);
	EXPECT(c, "OK", "SELECT INBOX");
	other = second();
	for (int cold = 0; cold < 2; cold++) {
		if (cold != 0)
			all_cold(true);
		hold();
		buf_reset(&c->in);
		client_sendz(c,
			"x FETCH 1:3 (UID BODY.PEEK[HEADER.FIELDS (X-Last X-None)] "
			"BODY.PEEK[HEADER.FIELDS.NOT (X-Last From)] FLAGS "
			"BODY.PEEK[HEADER.FIELDS (X-Many)]<70.20> "
			"BODY.PEEK[HEADER.FIELDS (X-Many)]<9999999.1> BODY.PEEK[TEXT])\r\n");
		EXPECT(other, "OK", "NOOP");
		SILENT(c, "x OK");
		let_go();
		assert_true(client_await(c, "x OK", false, CLIENT_WAIT_MS));
		for (int uid = 2; uid <= 3; uid++) {
			(void)snprintf(want, sizeof want,
				"* %d FETCH (UID %d BODY[HEADER.FIELDS (X-Last X-None)] {13}\r\n"
				"X-Last: z\r\n\r\n BODY[HEADER.FIELDS.NOT (X-Last From)] {%d}\r\n"
				"X-One: 1\r\nX-Many: value",
				uid, uid, (uid == 2 ? MANY : FEW) * SIZE + 12);
			SAID(c, want);
		}
		SAID(c, "value value\r\n\r\n FLAGS (\\Recent) BODY[HEADER.FIELDS (X-Many)]<70> "
			"{20}\r\n"
			" value value value v BODY[HEADER.FIELDS (X-Many)]<9999999> {0}\r\n "
			"BODY[TEXT] {6}\r\ntext\r\n)\r\n* 3 FETCH");
	}
	all_warm();
	hold();
	buf_reset(&c->in);
	client_sendz(c,
		"x APPEND INBOX CATENATE (URL "
		"\"/INBOX/;UID=2/;SECTION=HEADER.FIELDS.NOT%20(X-Many)\" TEXT {3+}\r\nabc)\r\n");
	EXPECT(other, "OK", "NOOP");
	SILENT(c, "x OK");
	let_go();
	assert_true(client_await(c, "x OK", false, CLIENT_WAIT_MS));
	EXPECT(c, "OK", "FETCH 4 BODY.PEEK[]");
	SAID(c, "{47}\r\nFrom: a@example.org\r\nX-One: 1\r\nX-Last: z\r\n\r\nabc)");
	client_free(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		COLD_TEST(test_others_go_on_while_the_pool_reads),
		COLD_TEST(test_what_is_never_in_memory),
		COLD_TEST(test_the_disk_is_told_ahead),
		COLD_TEST(test_the_disk_is_told_ahead_by_search),
		COLD_TEST(test_a_client_that_leaves_meanwhile),
		COLD_TEST(test_progress_of_a_cold_search),
		COLD_TEST(test_large_headers),
	};

	disk_setup();
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
