/* THREAD on a worker of imap in this process, beside a model that does RFC 5256 word by word. */
#define PROGRAM "thread"
#include "imap_case.h"

#include "imap/search/thread.h"

static unsigned seed = 7;

static unsigned
pick(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

static int
uidnext(void)
{
	struct imap_session *s = NULL;

	LIST_FOREACH (n, &w.imap.sessions)
		s = CONTAINER_OF(n, struct imap_session, link);
	assert_non_null(s);
	return (int)view_uidnext(s->sel.view);
}

/* RFC 5256's REFERENCES word by word, with lists that are walked for everything. */
enum { T_MAX = 400, T_NONE = -1 };
struct t_node {
	int id;	 /* of the Message-ID; T_NONE: its own */
	int uid; /* 0: dummy */
	int date, subject;
	bool reply, dead;
	int parent;
};
static struct t_node tree[T_MAX];
static int tree_n;

static int
t_new(int id)
{
	assert_true(tree_n < T_MAX);
	tree[tree_n] = (struct t_node){ .id = id, .parent = T_NONE };
	return tree_n++;
}

static int
t_find(int id)
{
	for (int i = 0; i < tree_n; i++)
		if (tree[i].id == id)
			return i;
	return t_new(id);
}

static bool
t_above(int top, int n)
{
	for (; n != T_NONE; n = tree[n].parent)
		if (n == top)
			return true;
	return false;
}

static void
t_link(int parent, int child)
{
	if (!t_above(child, parent))
		tree[child].parent = parent;
}

static void
t_message(int uid, int id, const int *refs, int n, int date, int subject, bool reply)
{
	int last = T_NONE;

	for (int i = 0; i < n; i++) {
		int ref = t_find(refs[i]);

		if (last != T_NONE && tree[ref].parent == T_NONE)
			t_link(last, ref);
		last = ref;
	}
	int me = t_find(id);

	if (tree[me].uid != 0)
		me = t_new(T_NONE);
	tree[me].uid = uid;
	tree[me].date = date;
	tree[me].subject = subject;
	tree[me].reply = reply;
	tree[me].parent = T_NONE;
	if (last != T_NONE)
		t_link(last, me);
}

static int
t_kids(int n)
{
	int kids = 0;

	for (int i = 0; i < tree_n; i++)
		kids += !tree[i].dead && tree[i].parent == n;
	return kids;
}

static bool
t_prune_one(void)
{
	for (int d = 0; d < tree_n; d++) {
		if (tree[d].dead || tree[d].uid != 0)
			continue;
		int kids = t_kids(d);

		if (kids > 1 && tree[d].parent == T_NONE)
			continue;
		tree[d].dead = true;
		for (int i = 0; i < tree_n; i++)
			if (!tree[i].dead && tree[i].parent == d)
				tree[i].parent = tree[d].parent;
		return true;
	}
	return false;
}

/* The message that stands for n in the order: of a dummy, its earliest child. */
static int
t_first(int n)
{
	int best = T_NONE;

	if (tree[n].uid != 0)
		return n;
	for (int i = 0; i < tree_n; i++) {
		if (tree[i].dead || tree[i].parent != n)
			continue;
		if (best == T_NONE || tree[i].date < tree[best].date ||
			(tree[i].date == tree[best].date && tree[i].uid < tree[best].uid))
			best = i;
	}
	return best;
}

/* Children of n in order; their number. */
static int
t_children(int n, int *out)
{
	int count = 0;

	for (int i = 0; i < tree_n; i++) {
		if (tree[i].dead || tree[i].parent != n)
			continue;
		const struct t_node *a = &tree[t_first(i)];
		int k = count++;

		for (; k > 0; k--) {
			const struct t_node *b = &tree[t_first(out[k - 1])];

			if (b->date < a->date || (b->date == a->date && b->uid < a->uid))
				break;
			out[k] = out[k - 1];
		}
		out[k] = i;
	}
	return count;
}

static void
t_gather(void)
{
	int roots[T_MAX], n = t_children(T_NONE, roots),
			  table[8] = { -1, -1, -1, -1, -1, -1, -1, -1 };
	int subject[T_MAX];
	bool reply[T_MAX];

	for (int i = 0; i < n; i++) {
		int r = roots[i], s = tree[t_first(r)].subject;

		subject[r] = s;
		reply[r] = tree[t_first(r)].reply;
		if (s == 0)
			continue;
		int t = table[s];

		if (t == T_NONE ||
			(tree[t].uid != 0 && (tree[r].uid == 0 || (reply[t] && !reply[r]))))
			table[s] = r;
	}
	for (int i = 0; i < n; i++) {
		int r = roots[i], t = subject[r] != 0 ? table[subject[r]] : r;

		if (t == r || tree[r].parent != T_NONE)
			continue;
		if (tree[t].uid == 0 && tree[r].uid == 0) {
			for (int k = 0; k < tree_n; k++)
				if (!tree[k].dead && tree[k].parent == r)
					tree[k].parent = t;
			tree[r].dead = true;
		} else if (tree[t].uid == 0 || (reply[r] && !reply[t])) {
			tree[r].parent = t;
		} else {
			int d = t_new(T_NONE);

			tree[r].parent = tree[t].parent = d;
			table[subject[r]] = d;
		}
	}
}

static void
t_print(int n, struct buf *out)
{
	int kids[T_MAX], count = t_children(n, kids);

	if (tree[n].uid != 0)
		buf_addf(out, "%d%s", tree[n].uid, count != 0 ? " " : "");
	for (int i = 0; i < count; i++) {
		buf_addz(out, count > 1 ? "(" : "");
		t_print(kids[i], out);
		buf_addz(out, count > 1 ? ")" : "");
	}
}

static const char *const t_subjects[] = { "", "Lunch", "Plans", "Budget" };

/* A message with id, references and subject; into the mailbox and into the model. */
static void
t_append(int uid, int id, const int *refs, int n, int date, int subject, bool reply)
{
	struct buf text;

	buf_init(&text, 65536);
	buf_addf(&text, "From: a@x\r\nDate: %d Nov 2026 10:00:00 +0000\r\nSubject: %s%s\r\n", date,
		reply ? "Re: " : "", t_subjects[subject]);
	buf_addf(&text, "Message-ID: <m%d@x>\r\n", id);
	if (n == 1 && pick(2) != 0) {
		buf_addf(&text, "In-Reply-To: your mail <m%d@x> of <m99@x>\r\n", refs[0]);
	} else if (n != 0) {
		buf_addz(&text, "References:");
		for (int i = 0; i < n; i++)
			buf_addf(&text, pick(4) != 0 ? " <m%d@x>" : "\r\n (c) < m%d @x>", refs[i]);
		buf_addz(&text, "\r\n");
	}
	buf_addz(&text, "\r\nx\r\n");
	EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\n%s", text.n, buf_z(&text));
	buf_fini(&text);
	t_message(uid, id, refs, n, date, subject, reply);
}

static void
t_random(void)
{
	struct buf want;

	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "STORE 1:* +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	int first = uidnext();
	int n = 3 + (int)pick(25), ids = 3 + (int)pick(40);

	tree_n = 0;
	for (int i = 0; i < n; i++) {
		int refs[6], count = (int)pick(6);

		for (int k = 0; k < count; k++)
			refs[k] = (int)pick((unsigned)ids);
		t_append(first + i, (int)pick((unsigned)ids), refs, count, 1 + (int)pick(28),
			(int)pick(4), pick(2) != 0);
	}
	while (t_prune_one())
		;
	t_gather();
	int roots[T_MAX], count = t_children(T_NONE, roots);

	buf_init(&want, 65536);
	buf_addz(&want, "* THREAD ");
	for (int i = 0; i < count; i++) {
		buf_addc(&want, '(');
		t_print(roots[i], &want);
		buf_addc(&want, ')');
	}
	buf_addz(&want, "\r\n");
	EXPECT(c, "OK", "NOOP");
	EXPECT(c, "OK", "UID THREAD REFERENCES UTF-8 ALL");
	said_at(c, buf_z(&want), true, buf_z(&want), __LINE__);
	buf_fini(&want);
}

static void
thread_references(void **state)
{
	(void)state;
	RAN();
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "THREAD REFERENCES UTF-8 ALL");
	SAID(c, "* THREAD\r\n");
	append(c, "INBOX", "()", mail1);
	for (int i = 0; i < 60; i++)
		t_random();
	EXPECT(c, "NO [BADCHARSET", "THREAD REFERENCES x-none ALL");
	EXPECT(c, "BAD", "THREAD REFS UTF-8 ALL");
	EXPECT(c, "BAD", "THREAD REFERENCES UTF-8");
}

/* n messages, each in reply to the one before (or behind) it, and one that names all of them. */
static void
chain(int n, bool downwards)
{
	char text[300];
	struct buf all;

	buf_init(&all, 1024 * 1024);
	for (int i = 1; i <= n; i++) {
		int me = downwards ? n - i + 1 : i;

		(void)snprintf(text, sizeof text,
			"Subject: s%d\r\nMessage-ID: <c%d@x>\r\nReferences: <c%d@x>\r\n\r\n", me,
			me, me - 1);
		append(c, "INBOX", "()", text);
		buf_addf(&all, " <c%d@x>", n - i + 1);
	}
	EXPECT(c, "OK", "APPEND INBOX {%zu+}\r\nMessage-ID: <c0@x>\r\nReferences:%s\r\n\r\n",
		all.n + 35, buf_z(&all));
	buf_fini(&all);
}

static void
test_hostile_threads(void **state)
{
	(void)state;
	chain(200, false);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "UID THREAD REFERENCES UTF-8 ALL");
	SAID(c, " 198 199 200");
	EXPECT(c, "OK", "STORE 1:* +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	chain(100, true);
	EXPECT(c, "OK", "NOOP");
	EXPECT(c, "OK", "THREAD REFERENCES UTF-8 ALL");
	SAID(c, " 99 98 97");
}

/* Numbers of the answer in order, and how deep its parentheses go. */
static size_t
deep_answer(struct thread *t, size_t *depth_out)
{
	size_t numbers = 0, depth = 0;
	struct thread_piece piece;
	uint32_t last = 0;

	*depth_out = 0;
	while (thread_next(t, &piece)) {
		assert_true(piece.closes <= depth);
		depth = depth - piece.closes + piece.opens;
		if (depth > *depth_out)
			*depth_out = depth;
		if (piece.uid == 0)
			continue;
		assert_true(piece.uid != last);
		last = piece.uid;
		numbers++;
	}
	assert_int_equal(depth, 0);
	assert_false(thread_next(t, &piece));
	return numbers;
}

enum { DEEP = 100000, WIDE = 10000 };

/* Each answers the one before, or the one behind; both ways; two answer each; all name the same
 * thousand that are not there, each from another one on; first a chain, then, again and again, a
 * message that has a child is put below its end, so that a loop has to be looked for. */
enum shape { AFTER, BEFORE, BOTH, TREE, ABSENT, BELOW };

static size_t
make_refs(enum shape shape, uint32_t i, uint64_t *refs)
{
	switch (shape) {
	case AFTER:
		refs[0] = i - 1;
		return i > 1;
	case BEFORE:
		refs[0] = i + 1;
		return 1;
	case BOTH:
		refs[0] = i + 1;
		refs[1] = i - 1;
		return i > 1 ? 2 : 1;
	case TREE:
		refs[0] = i / 2;
		return i > 1;
	case ABSENT:
		for (uint32_t k = 0; k < THREAD_REFS_MAX; k++)
			refs[k] = 1000000 + (uint64_t)i * 500 + k;
		return THREAD_REFS_MAX;
	case BELOW:
		refs[0] = i <= DEEP / 2 ? i - 1 : i % 2 == 0 ? DEEP + i : DEEP / 2;
		refs[1] = DEEP + i - 1;
		return i <= DEEP / 2 ? i > 1 : i % 2 == 0 ? 1 : 2;
	}
	return 0;
}

/* What thread_add cost. */
static size_t
add_shape(struct thread *t, enum shape shape, uint32_t n)
{
	uint64_t refs[THREAD_REFS_MAX];
	size_t cost = 0, most = 0;

	for (uint32_t i = 1; i <= n; i++) {
		struct thread_message m = { .uid = i, .msg = i, .date = i, .own = i, .refs = refs };
		size_t before = cost;

		m.refs_count = make_refs(shape, i, refs);
		assert_int_equal(thread_add(t, &m, &cost), ERR_OK);
		if (cost - before > most)
			most = cost - before;
	}
	struct thread_message more = { .uid = 1 };

	assert_int_equal(thread_add(t, &more, &cost), ERR_LIMIT);
	assert_true(most <= 250000);
	return cost;
}

static size_t
deep(enum shape shape, uint32_t n, size_t *depth_out)
{
	struct thread *t = thread_new(n);
	size_t cost = add_shape(t, shape, n);

	assert_true(cost <= (shape == ABSENT ? THREAD_REFS_MAX : 80) * (size_t)n);
	while (!thread_link(t, 100))
		;
	for (size_t i = 0; i < thread_roots(t); i++)
		thread_set_subject(t, i, 1 + i % 7, i % 2 != 0);
	while (!thread_gather(t, 100))
		;
	size_t numbers = deep_answer(t, depth_out);

	thread_free(t);
	return numbers;
}

static void
test_deep_threads(void **state)
{
	size_t depth;

	(void)state;
	for (enum shape shape = BEFORE; shape <= BOTH; shape++)
		assert_int_equal(deep(shape, DEEP, &depth), DEEP);
	assert_int_equal(deep(BELOW, DEEP, &depth), DEEP);
	assert_int_equal(deep(ABSENT, WIDE, &depth), WIDE);
	assert_int_equal(deep(AFTER, DEEP, &depth), DEEP);
	assert_int_equal(depth, 1);
	assert_int_equal(deep(TREE, DEEP, &depth), DEEP);
	assert_true(depth > 10);
}

static void
thread_orderedsubject(void **state)
{
	static const struct {
		const char *subject;
		int day;
	} rows[] = {
		{ "Lunch", 5 },
		{ "Re: lunch", 4 },
		{ "Plans", 1 },
		{ "Budget", 9 },
		{ "[list] Budget (fwd)", 8 },
		{ "re: BUDGET", 7 },
		{ "Alone", 2 },
	};

	(void)state;
	RAN();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[200];

		(void)snprintf(text, sizeof text,
			"Subject: %s\r\nDate: %d Nov 2026 10:00:00 +0000\r\n\r\n", rows[i].subject,
			rows[i].day);
		append(c, "INBOX", "()", text);
	}
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "THREAD ORDEREDSUBJECT UTF-8 ALL");
	SAID(c, "* THREAD (3)(7)(2 1)(6 (5)(4))\r\n");
	EXPECT(c, "OK", "UID THREAD ORDEREDSUBJECT UTF-8 4:*");
	SAID(c, "* THREAD (7)(6 (5)(4))\r\n");
	EXPECT(c, "OK", "THREAD ORDEREDSUBJECT UTF-8 SUBJECT nothing");
	SAID(c, "* THREAD\r\n");
}

/* What others expunged meanwhile is in no answer, and said to be gone: RFC 5530 3. */
static void
test_missing(void **state)
{
	static const struct {
		const char *command, *answer;
	} rows[] = {
		{ "THREAD REFERENCES UTF-8 ALL", "* THREAD (1)(3)(4 20)\r\n" },
		{ "THREAD ORDEREDSUBJECT UTF-8 ALL", "* THREAD (1)(3)(4)(20)\r\n" },
		{ "THREAD REFERENCES UTF-8 2", "* THREAD\r\n" },
		{ "SORT (REVERSE ARRIVAL) UTF-8 1:4", "* SORT 4 3 1\r\n" },
		{ "SORT (SUBJECT) UTF-8 2", "* SORT\r\n" },
		{ "SORT RETURN (COUNT MIN) (DATE) UTF-8 ALL", " MIN 1 COUNT 4\r\n" },
	};

	(void)state;
	for (int i = 1; i <= 20; i++) {
		char text[200];

		(void)snprintf(text, sizeof text,
			"Subject: s%d\r\nDate: %d Nov 2026 10:00:00 +0000\r\nMessage-ID: "
			"<g%d@x>\r\n%s\r\n",
			i, i, i, i == 20 ? "References: <g4@x> <g5@x>\r\n" : "");
		EXPECT(c, "OK", "APPEND INBOX \"%02d-Nov-2026 10:00:00 +0000\" {%zu+}\r\n%s", i,
			strlen(text), text);
	}
	struct client *d = second();

	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "SELECT INBOX");
	EXPECT(d, "OK", "STORE 2,5:19 +FLAGS.SILENT (\\Deleted)");
	EXPECT(d, "OK", "EXPUNGE");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		EXPECT(c, "OK [EXPUNGEISSUED]", "%s", rows[i].command);
		SAID(c, rows[i].answer);
	}
	EXPECT(c, "OK Completed", "UID THREAD REFERENCES UTF-8 ALL");
	SAID(c, "* THREAD (1)(3)(4 20)\r\n");
	client_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(thread_references),
		TEST(test_hostile_threads),
		cmocka_unit_test(test_deep_threads),
		TEST(thread_orderedsubject),
		TEST(test_missing),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
