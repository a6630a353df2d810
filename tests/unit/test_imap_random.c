/* Two sessions with one mailbox do random things to it; each keeps a model of what it was told.
 * Checked after every answer: EXISTS never goes down, EXPUNGE names a message that is there, never
 * comes inside FETCH, STORE or SEARCH without UID, and every FETCH names the UID that the model has
 * at that number. At the end both see the same mailbox. RFC 3501 7.3.1, 7.4.1. */
#include "imap_client.h"

enum { STEPS = 400, MESSAGES_MAX = 100000 };

struct model {
	struct client *c;
	uint32_t *uid; /* by sequence number, from 1; 0: not known yet */
	uint32_t count;
	const char *command;
};

static struct world w;
static uint64_t seed;

static uint32_t
dice(uint32_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 20) % sides;
}

static void
broken(const struct model *m, const char *what, uint32_t n)
{
	print_error("%s: %s %u of %u:\n%.*s\n", m->command, what, n, m->count,
		STR_FMT(buf_str(&m->c->in)));
	fail();
}

static void
see_fetch(struct model *m, uint32_t n, struct str rest)
{
	size_t at = str_find(rest, STR("UID "));
	uint32_t uid = 0;

	if (n == 0 || n > m->count)
		broken(m, "FETCH of", n);
	if (at == rest.n)
		return;
	for (at += 4; at < rest.n && ascii_is_digit(rest.p[at]); at++)
		uid = uid * 10 + (uint32_t)(rest.p[at] - '0');
	if (m->uid[n] != 0 && m->uid[n] != uid)
		broken(m, "another UID at", n);
	m->uid[n] = uid;
	for (uint32_t i = n - 1; i >= 1; i--)
		if (m->uid[i] >= uid)
			broken(m, "UIDs out of order at", n);
		else if (m->uid[i] != 0)
			break;
}

static void
see_line(struct model *m, struct str line, bool no_expunge)
{
	struct str number, rest;
	uint32_t n;

	if (!str_starts(line, STR("* ")) || !str_cut(str_from(line, 2), ' ', &number, &rest) ||
		str_to_u32(number, UINT32_MAX, &n) != ERR_OK)
		return;
	if (str_eq(rest, STR("EXISTS"))) {
		if (n < m->count || n > MESSAGES_MAX)
			broken(m, "EXISTS", n);
		while (m->count < n)
			m->uid[++m->count] = 0;
	} else if (str_eq(rest, STR("EXPUNGE"))) {
		if (n == 0 || n > m->count || no_expunge)
			broken(m, "EXPUNGE", n);
		memmove(m->uid + n, m->uid + n + 1, (m->count - n) * sizeof *m->uid);
		m->count--;
	} else if (str_starts(rest, STR("FETCH "))) {
		see_fetch(m, n, rest);
	}
}

static void
see(struct model *m, bool no_expunge)
{
	struct str s = buf_str(&m->c->in), line;

	while (str_cut(s, '\n', &line, &s))
		see_line(m, str_trim(line), no_expunge);
}

static void
do_command(struct model *m, const char *command)
{
	bool quiet = strncmp(command, "FETCH", 5) == 0 || strncmp(command, "STORE", 5) == 0 ||
		     strncmp(command, "SEARCH", 6) == 0;

	m->command = command;
	const char *answer = say(m->c, "%s", command);

	if (strncmp(answer, "BAD", 3) == 0)
		broken(m, answer, 0);
	see(m, quiet);
}

static void
select_again(struct model *m)
{
	m->count = 0;
	do_command(m, "SELECT INBOX");
}

static void
random_step(struct model *m)
{
	static const char *const fixed[] = { "NOOP", "CHECK", "EXPUNGE", "SEARCH DELETED",
		"UID SEARCH ALL", "UID FETCH 1:* (FLAGS)", "UID EXPUNGE 1:*",
		"UID MOVE 1:7 Trash" };
	char text[200];
	uint32_t n = m->count != 0 ? 1 + dice(m->count) : 0;
	uint32_t what = dice(20);

	if (what < ARRAY_LEN(fixed)) {
		do_command(m, fixed[what]);
		return;
	}
	if (what < 12) {
		do_command(m, "APPEND INBOX (\\Seen) {5+}\r\nhello");
		return;
	}
	if (what == 12) {
		select_again(m);
		return;
	}
	if (n == 0)
		return;
	switch (what) {
	case 13:
		(void)snprintf(text, sizeof text, "FETCH %u:* (UID FLAGS)", n);
		break;
	case 14:
		(void)snprintf(text, sizeof text, "STORE %u +FLAGS (\\Deleted)", n);
		break;
	case 15:
		(void)snprintf(text, sizeof text, "STORE %u FLAGS.SILENT (\\Deleted kw)", n);
		break;
	case 16:
		(void)snprintf(text, sizeof text, "COPY %u INBOX", n);
		break;
	case 17:
		(void)snprintf(text, sizeof text, "MOVE %u Trash", n);
		break;
	case 18:
		(void)snprintf(text, sizeof text, "FETCH %u (UID BODY[])", n);
		break;
	default:
		(void)snprintf(text, sizeof text, "STORE %u:* -FLAGS (\\Seen)", n);
	}
	do_command(m, text);
}

static void
run_seed(uint64_t start)
{
	struct model m[2] = { 0 };
	char user[32];

	seed = start;
	(void)snprintf(user, sizeof user, "random%llu", (unsigned long long)start);
	for (int i = 0; i < 2; i++) {
		m[i].uid = xcalloc(MESSAGES_MAX + 2, sizeof *m[i].uid);
		m[i].c = client_login(&w, user, STR_EMPTY);
		select_again(&m[i]);
	}
	for (int i = 0; i < STEPS; i++)
		random_step(&m[dice(2)]);
	for (int i = 0; i < 2; i++) {
		do_command(&m[i], "NOOP");
		do_command(&m[i], "UID FETCH 1:* (UID)");
	}
	assert_int_equal(m[0].count, m[1].count);
	assert_memory_equal(m[0].uid, m[1].uid, (m[0].count + 1) * sizeof *m[0].uid);
	for (int i = 0; i < 2; i++) {
		client_free(m[i].c);
		free(m[i].uid);
	}
}

static void
test_two_sessions_agree(void **state)
{
	(void)state;
	for (uint64_t s = 1; s <= 5; s++)
		run_seed(s * 0x9e3779b97f4a7c15);
}

static int
group_setup(void **state)
{
	(void)state;
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
