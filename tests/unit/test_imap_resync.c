/* A client that keeps a copy of a mailbox and comes and goes, while another changes the mailbox at
 * random. The copy is kept by RFC 7162 6's rules alone; whenever the client comes back with
 * SELECT (QRESYNC ...), also after its connection was cut in the middle of a command, the copy must
 * become what is there: the same UIDs, flags and modseqs; TEST_SEED=N runs that seed alone. And
 * what QRESYNC costs at 100,000 messages: no step may hold up the others. */
#include <time.h>

#include "imap_client.h"

enum { SEEDS = 4, STEPS = 500, UIDS_MAX = 20000, UNKNOWN = 1 << 15 };

static const char *const flag_names[] = { "\\Seen", "\\Answered", "\\Flagged", "\\Deleted",
	"\\Draft", "kw" };

struct copy {
	struct client *c;
	const char *user;
	uint64_t validity, highest;
	uint32_t count; /* EXISTS less what vanished */
	bool grown;
	uint32_t found; /* all messages up to this UID were fetched, once */
	bool has[UIDS_MAX];
	unsigned flags[UIDS_MAX];
	uint64_t modseq[UIDS_MAX];
	unsigned silent_add; /* what a FETCH without FLAGS means */
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

/* ---- reading what the server says ---- */

static bool
number_behind(struct str s, const char *before, uint64_t *out)
{
	size_t at = str_find(s, str_of(before));

	if (at == s.n)
		return false;
	*out = strtoull(s.p + at + strlen(before), NULL, 10);
	return true;
}

static unsigned
flags_of(struct str line)
{
	size_t at = str_find(line, STR("FLAGS ("));
	unsigned bits = 0;

	if (at == line.n)
		return UNKNOWN;
	struct str list = str_from(line, at);

	list = str_sub(list, 0, str_chr(list, ')'));
	for (unsigned i = 0; i < ARRAY_LEN(flag_names); i++)
		if (str_find(list, str_of(flag_names[i])) < list.n)
			bits |= 1u << i;
	return bits;
}

static void
see_vanished(struct copy *m, struct str set, bool earlier)
{
	struct str range;

	do {
		bool more = str_cut(set, ',', &range, &set);
		char *end;
		unsigned long lo = strtoul(range.p, &end, 10);
		unsigned long hi = *end == ':' ? strtoul(end + 1, NULL, 10) : lo;

		assert_true(lo >= 1 && lo <= hi && hi < UIDS_MAX);
		for (unsigned long uid = lo; uid <= hi; uid++) {
			m->has[uid] = false;
			m->count -= !earlier;
		}
		if (!more)
			break;
	} while (true);
}

static void
see_fetch(struct copy *m, struct str line, uint64_t *max)
{
	uint64_t uid, modseq;
	unsigned flags = flags_of(line);

	if (!number_behind(line, "UID ", &uid) || !number_behind(line, "MODSEQ (", &modseq)) {
		print_error("FETCH without UID and MODSEQ: %.*s\n", STR_FMT(line));
		fail();
	}
	assert_true(uid != 0 && uid < UIDS_MAX);
	*max = modseq > *max ? modseq : *max;
	if (flags == UNKNOWN) {
		assert_true(m->silent_add != 0);
		/* not discovered yet */
		if (!m->has[uid])
			return;
		flags = m->flags[uid] | m->silent_add;
	}
	m->has[uid] = true;
	m->flags[uid] = flags;
	m->modseq[uid] = modseq;
}

/* A whole answer, up to its tagged line. */
static void
see(struct copy *m)
{
	struct str s = buf_str(&m->c->in), line;
	uint64_t max = 0, n;
	bool given = false;

	while (str_cut(s, '\n', &line, &s)) {
		line = str_trim(line);
		if (str_starts(line, STR("* VANISHED (EARLIER) ")))
			see_vanished(m, str_from(line, 21), true);
		else if (str_starts(line, STR("* VANISHED ")))
			see_vanished(m, str_from(line, 11), false);
		else if (str_find(line, STR(" FETCH (")) < line.n)
			see_fetch(m, line, &max);
		else if (str_find(line, STR(" EXISTS")) < line.n) {
			m->count = (uint32_t)strtoul(line.p + 2, NULL, 10);
			m->grown = true;
		}
		assert_int_equal(str_find(line, STR(" EXPUNGE")), line.n);
		if (number_behind(line, "[HIGHESTMODSEQ ", &n)) {
			m->highest = n;
			given = true;
		}
		(void)number_behind(line, "[UIDVALIDITY ", &m->validity);
	}
	if (!given && max > m->highest)
		m->highest = max;
}

/* ---- the client that comes and goes ---- */

/* New messages are the client's to find: RFC 7162 6, step 2. */
static void
discover(struct copy *m)
{
	while (m->grown) {
		m->grown = false;
		EXPECT(m->c, "OK", "UID FETCH %u:* (FLAGS MODSEQ)", m->found + 1);
		see(m);
		for (uint32_t uid = m->found + 1; uid < UIDS_MAX; uid++)
			if (m->has[uid])
				m->found = uid;
	}
}

static void
come(struct copy *m)
{
	m->c = client_login(&w, m->user, STR_EMPTY);
	EXPECT(m->c, "OK", "ENABLE QRESYNC");
	if (m->highest == 0)
		EXPECT(m->c, "OK", "SELECT INBOX");
	else
		EXPECT(m->c, "OK", "SELECT INBOX (QRESYNC (%llu %llu))",
			(unsigned long long)m->validity, (unsigned long long)m->highest);
	m->grown = false;
	see(m);
	discover(m);
}

static void
compare(struct copy *m, struct client *judge)
{
	static struct copy truth;
	bool same = false;

	/* what a cut connection had asked for may still be under way */
	for (int tries = 0; !same && tries < 100; tries++) {
		if (tries != 0)
			client_rest(judge, 5);
		EXPECT(m->c, "OK", "NOOP");
		see(m);
		discover(m);
		EXPECT(judge, "OK", "NOOP");
		EXPECT(judge, "OK", "UID FETCH 1:* (FLAGS MODSEQ)");
		memset(&truth, 0, sizeof truth);
		truth.c = judge;
		see(&truth);
		uint32_t there = 0;

		same = true;
		for (uint32_t uid = 1; uid < UIDS_MAX; uid++) {
			there += truth.has[uid];
			same = same && m->has[uid] == truth.has[uid] &&
			       (!truth.has[uid] || (m->flags[uid] == truth.flags[uid] &&
							   m->modseq[uid] == truth.modseq[uid]));
		}
		same = same && there == m->count;
	}
	for (uint32_t uid = 1; !same && uid < UIDS_MAX; uid++)
		if (m->has[uid] != truth.has[uid] || m->flags[uid] != truth.flags[uid] ||
			m->modseq[uid] != truth.modseq[uid])
			print_error("UID %u: has %d, %d; flags %x, %x; modseq %llu, %llu\n", uid,
				m->has[uid], truth.has[uid], m->flags[uid], truth.flags[uid],
				(unsigned long long)m->modseq[uid],
				(unsigned long long)truth.modseq[uid]);
	if (!same)
		print_error("seed %llx: the copy is wrong, %u messages counted\n",
			(unsigned long long)seed, m->count);
	assert_true(same);
}

static void
random_flags(char *out, size_t size, unsigned *bits_out)
{
	unsigned i = dice(ARRAY_LEN(flag_names));

	*bits_out = 1u << i;
	(void)snprintf(out, size, "(%s)", flag_names[i]);
}

static void
random_command(char *text, size_t size, uint32_t count, unsigned *silent_add)
{
	char flags[32];
	unsigned bits;
	uint32_t n = count != 0 ? 1 + dice(count) : 0, what = dice(12);

	*silent_add = 0;
	random_flags(flags, sizeof flags, &bits);
	if (n == 0 || what < 3)
		(void)snprintf(text, size, "APPEND INBOX (\\Seen) {5+}\r\nhello");
	else if (what == 3)
		(void)snprintf(text, size, "EXPUNGE");
	else if (what == 4)
		(void)snprintf(text, size, "MOVE %u Trash", n);
	else if (what == 5)
		(void)snprintf(text, size, "COPY %u INBOX", n);
	else if (what == 6)
		(void)snprintf(text, size, "STORE %u:* +FLAGS %s", n, flags);
	else if (what == 7)
		(void)snprintf(text, size, "STORE %u +FLAGS (\\Deleted)", n);
	else if (what == 8)
		(void)snprintf(text, size, "NOOP");
	else if (what == 9)
		(void)snprintf(text, size, "STORE %u -FLAGS %s", n, flags);
	else {
		(void)snprintf(text, size, "STORE %u%s +FLAGS.SILENT %s", n, what == 10 ? "" : ":*",
			flags);
		*silent_add = bits;
	}
}

static void
copy_step(struct copy *m, struct client *judge)
{
	char text[200];
	unsigned what = dice(10);

	if (what < 5) {
		random_command(text, sizeof text, m->count, &m->silent_add);
		/* numbers may be gone by now: NO and BAD are fine, silence is not */
		(void)say(m->c, "%s", text);
		see(m);
		m->silent_add = 0;
	} else if (what == 5) {
		EXPECT(m->c, "OK", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE %llu VANISHED)",
			(unsigned long long)m->highest);
		see(m);
	} else if (what == 6 && m->count != 0) {
		(void)say(m->c, "FETCH 1:* (UID FLAGS MODSEQ)");
		see(m);
	} else if (what == 7) {
		EXPECT(m->c, "OK", "NOOP");
		see(m);
	} else {
		/* a command whose answer nobody will read */
		random_command(text, sizeof text, m->count, &m->silent_add);
		m->silent_add = 0;
		if (what == 9) {
			client_sendz(m->c, "x ");
			client_sendz(m->c, text);
			client_sendz(m->c, "\r\n");
		}
		client_free(m->c);
		come(m);
		compare(m, judge);
	}
	/* or not yet: the connection may be cut before */
	if (dice(3) != 0)
		discover(m);
}

static void
run_seed(uint64_t start)
{
	struct copy *m = xcalloc(1, sizeof *m);
	char user[40], text[200], tag[24];
	unsigned ignored, tags = 0;

	seed = start;
	(void)snprintf(user, sizeof user, "resync%llx", (unsigned long long)start);
	m->user = user;
	struct client *judge = client_login(&w, user, STR_EMPTY);
	struct client *other = client_login(&w, user, STR_EMPTY);

	EXPECT(judge, "OK", "ENABLE QRESYNC");
	EXPECT(judge, "OK", "SELECT INBOX");
	EXPECT(other, "OK", "SELECT INBOX");
	come(m);
	for (int i = 0; i < STEPS; i++) {
		bool ahead = dice(3) != 0;

		random_command(text, sizeof text, m->count, &ignored);
		(void)snprintf(tag, sizeof tag, "o%u ", ++tags);
		buf_reset(&other->in);
		client_sendz(other, tag);
		client_sendz(other, text);
		client_sendz(other, "\r\n");
		if (ahead)
			assert_true(client_await(other, tag, false, CLIENT_WAIT_MS));
		copy_step(m, judge);
		if (!ahead)
			assert_true(client_await(other, tag, false, CLIENT_WAIT_MS));
	}
	client_free(m->c);
	come(m);
	compare(m, judge);
	client_free(m->c);
	client_free(judge);
	client_free(other);
	free(m);
}

static void
test_copy_stays_right(void **state)
{
	const char *only = getenv("TEST_SEED");
	uint64_t n;

	(void)state;
	if (only != NULL && str_to_u64(str_of(only), UINT64_MAX, &n) == ERR_OK) {
		run_seed(n * 0x9e3779b97f4a7c15);
		return;
	}
	for (uint64_t s = 1; s <= SEEDS; s++)
		run_seed(s * 0x9e3779b97f4a7c15);
}

/* ---- what it costs ---- */

enum {
	LARGE = 100000,
	CHANGES = 1000,
	STEP_MAX_US = 2500
}; /* 2 ms, and what the client takes to read it */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { COST_FACTOR = 10 };
#else
enum { COST_FACTOR = 1 };
#endif

/* Of this thread alone: others share the machine. */
static int64_t
cpu_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct pulse {
	struct loop_task task;
	int64_t last_us, longest_us;
	bool on;
};

static void
on_pulse(struct loop_task *t)
{
	struct pulse *p = t->arg;
	int64_t now = cpu_us();

	if (now - p->last_us > p->longest_us)
		p->longest_us = now - p->last_us;
	p->last_us = now;
	if (p->on)
		loop_task_queue(&p->task);
}

/* The longest turn of the loop while line is answered; the best of some runs. */
static int64_t
longest_turn(struct client *c, const char *line)
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < 5; i++) {
		struct pulse p = { .last_us = cpu_us(), .on = true };

		loop_task_init(&p.task, w.loop, on_pulse, &p);
		loop_task_queue(&p.task);
		EXPECT(c, "OK", "%s", line);
		p.on = false;
		loop_task_cancel(&p.task);
		if (p.longest_us < best)
			best = p.longest_us;
	}
	return best;
}

static void
test_cost(void **state)
{
	struct client *c = client_login(&w, "large", STR_EMPTY);
	struct client *d = client_login(&w, "large", STR_EMPTY);
	unsigned long long validity, modseq;
	char line[200];

	(void)state;
	append(c, "INBOX", "()", "A: b\r\n\r\nc");
	EXPECT(c, "OK", "SELECT INBOX");
	for (uint32_t n = 1; n < LARGE; n *= 2)
		EXPECT(c, "OK", "UID COPY 1:%u INBOX", n * 2 <= LARGE ? n : LARGE - n);
	EXPECT(d, "OK", "ENABLE QRESYNC");
	EXPECT(d, "OK", "SELECT INBOX");
	SAID(d, "* 100000 EXISTS");
	struct str s = buf_str(&d->in);

	validity = strtoull(s.p + str_find(s, STR("UIDVALIDITY ")) + 12, NULL, 10);
	modseq = strtoull(s.p + str_find(s, STR("HIGHESTMODSEQ ")) + 14, NULL, 10);
	seed = 42;
	for (int i = 0; i < CHANGES; i++) {
		uint32_t uid = 1 + dice(LARGE);

		if (i % 10 != 0)
			EXPECT(c, "OK", "UID STORE %u +FLAGS.SILENT (\\Flagged)", uid);
		else
			EXPECT(c, "OK", "UID MOVE %u Trash", uid);
	}
	EXPECT(d, "OK", "UNSELECT");
	(void)snprintf(line, sizeof line, "SELECT INBOX (QRESYNC (%llu %llu))", validity, modseq);
	int64_t us = longest_turn(d, line);

	SAID(d, "* VANISHED (EARLIER) ");
	SAID(d, "FLAGS (\\Flagged)");
	print_message("SELECT (QRESYNC) after %d changes in %d messages: longest turn %lld us\n",
		CHANGES, LARGE, (long long)us);
	assert_true(us < STEP_MAX_US * COST_FACTOR);
	/* the client was away for longer than the table remembers */
	for (int i = 0; i < 2100; i++)
		EXPECT(c, "OK", "UID STORE 1 %cFLAGS.SILENT (\\Draft)", i % 2 != 0 ? '+' : '-');
	us = longest_turn(d, line);
	SAID(d, "* VANISHED (EARLIER) ");
	print_message("beyond the change table: longest turn %lld us\n", (long long)us);
	assert_true(us < STEP_MAX_US * COST_FACTOR);
	client_free(c);
	client_free(d);
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
		cmocka_unit_test(test_copy_stays_right),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
