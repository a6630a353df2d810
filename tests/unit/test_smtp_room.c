/* delivery/smtp/room: questions about room, to an lmtp that answers, hangs, hangs up or talks
 * nonsense. */
#include "tests/unit/scripted.h"

#include "core/base/log.h"
#include "delivery/smtp/room.h"

static struct loop *loop;
static struct scripted lmtp;
static struct room *room;
static unsigned answers, questions;
static enum room_answer last[16];
static const char *rcpt_line;	    /* what RCPT is answered */
static unsigned lines_until_silent; /* 0: never silent */

/* Three lines to each question, as lmtp does. */
static void
on_input(struct scripted_connection *c)
{
	struct str all, line;
	size_t nl;

	for (;;) {
		all = buf_str(&c->got);
		nl = str_chr(all, '\n');
		if (nl == all.n)
			return;
		line = str_sub(all, 0, nl);
		if (lines_until_silent == 1)
			return;
		lines_until_silent -= lines_until_silent > 0;
		if (str_starts(line, STR("LHLO "))) {
			scripted_sayz(c, "250-mail\r\n250 SIZE 1\r\n");
		} else if (str_starts(line, STR("RCPT "))) {
			questions++;
			if (rcpt_line == NULL) {
				scripted_close(c);
				return;
			}
			scripted_sayz(c, str_find(line, STR("full")) < line.n ? "552 5.2.2 Full\r\n"
									      : rcpt_line);
		} else {
			scripted_sayz(c, "250 2.0.0 OK\r\n");
		}
		buf_consume(&c->got, nl + 1);
	}
}

static void
on_answer(void *arg, enum room_answer a)
{
	(void)arg;
	last[answers++ % 16] = a;
}

static bool
enough(void *arg)
{
	return answers >= *(const unsigned *)arg;
}

static void
await(unsigned n)
{
	assert_true(run_until(loop, enough, &n, 30000));
	assert_int_equal(answers, n);
}

static int
setup(void **state)
{
	(void)state;
	log_set_level(LVL_ERROR);
	loop = loop_new();
	scripted_init(&lmtp, loop);
	lmtp.greeting = "220 mail LMTP\r\n";
	lmtp.on_input = on_input;
	scripted_listen(&lmtp);
	room = room_new(loop, str_of(lmtp.address));
	answers = questions = lines_until_silent = 0;
	rcpt_line = "250 2.1.5 OK\r\n";
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	room_free(room);
	scripted_fini(&lmtp);
	(void)run_until(loop, NULL, NULL, 5);
	loop_free(loop);
	return 0;
}

static void
test_answers(void **state)
{
	static const struct {
		const char *line;
		enum room_answer want;
	} rows[] = {
		{ "250 2.1.5 OK\r\n", ROOM_YES },
		{ "552 5.2.2 Mailbox is full\r\n", ROOM_FULL },
		{ "452 4.2.2 Mailbox is full\r\n", ROOM_FULL_TEMP },
		{ "552 5.3.4 Too large\r\n", ROOM_YES },
		{ "452 4.5.3 Too many\r\n", ROOM_YES },
		{ "550 5.1.1 No such user\r\n", ROOM_YES },
		{ "451 4.4.3 Directory\r\n", ROOM_YES },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		lmtp.byte_by_byte = i % 2 == 1;
		rcpt_line = rows[i].line;
		(void)room_ask(room, STR("anna@example.org"), 7, on_answer, NULL);
		assert_int_equal(answers, i);
		await(i + 1);
		assert_int_equal(last[i], rows[i].want);
	}
	assert_int_equal(lmtp.count, 1); /* the connection is kept */
}

static void
test_pipelined(void **state)
{
	struct room_question *q[6];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(q); i++)
		q[i] = room_ask(room, i % 2 ? STR("full@example.org") : STR("anna@example.org"), 0,
			on_answer, NULL);
	room_cancel(q[0]);
	await(5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(last[i], i % 2 ? ROOM_YES : ROOM_FULL);
	/* cancelled on the wire: the next answers still find their questions */
	q[0] = room_ask(room, STR("full@example.org"), 0, on_answer, NULL);
	q[1] = room_ask(room, STR("anna@example.org"), 0, on_answer, NULL);
	room_cancel(q[0]);
	await(6);
	assert_int_equal(last[5], ROOM_YES);
	room_cancel(NULL);
}

/* Whatever goes wrong: there is room. */
static void
test_trouble(void **state)
{
	(void)state;
	rcpt_line = NULL; /* hangs up */
	(void)room_ask(room, STR("anna@example.org"), 0, on_answer, NULL);
	(void)room_ask(room, STR("ben@example.org"), 0, on_answer, NULL);
	await(2);
	rcpt_line = "250 2.1.5 OK\r\n";
	/* not asked again at once */
	(void)room_ask(room, STR("full@example.org"), 0, on_answer, NULL);
	await(3);
	assert_true(last[0] == ROOM_YES && last[1] == ROOM_YES && last[2] == ROOM_YES);
	(void)run_until(loop, NULL, NULL, 1100);
	(void)room_ask(room, STR("full@example.org"), 0, on_answer, NULL);
	await(4);
	assert_int_equal(last[3], ROOM_FULL);
}

static void
test_hangs(void **state)
{
	int64_t begun = clock_ms();

	(void)state;
	lines_until_silent = 3; /* LHLO and MAIL are answered */
	(void)room_ask(room, STR("full@example.org"), 0, on_answer, NULL);
	await(1);
	assert_int_equal(last[0], ROOM_YES);
	assert_true(clock_ms() - begun >= ROOM_TIMEOUT_MS - 100);
}

static void
test_nonsense(void **state)
{
	(void)state;
	lmtp.greeting = "SSH-2.0\r\n";
	(void)room_ask(room, STR("full@example.org"), 0, on_answer, NULL);
	await(1);
	assert_int_equal(last[0], ROOM_YES);
}

static void
test_nobody_there(void **state)
{
	struct room *none;

	(void)state;
	none = room_new(loop, STR("unix:/nonexistent/lmtp"));
	(void)room_ask(none, STR("full@example.org"), 0, on_answer, NULL);
	await(1);
	assert_int_equal(last[0], ROOM_YES);
	room_free(none);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipelined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hangs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
