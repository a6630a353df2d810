/* Random commands against the store and against a naive model of it. After each: sequence numbers,
 * UIDs, flags, counters, views and diffs agree, modseqs only grow; at the end the check finds
 * nothing. */
#include "core/store/check.h"
#include "core/store/since.h"
#include "tests/unit/store_fixture.h"

enum { BOXES = 3, MODEL_MAX = 20000, STEPS = 600 };

struct model_entry {
	uint32_t uid, flags;
	bool keyword;
	uint64_t modseq;
};

struct model_box {
	const char *name;
	uint32_t id, uidnext;
	uint64_t modseq;
	struct model_entry *v;
	size_t n;
	/* A session that looks now and then. */
	struct view *view;
	uint32_t *seen_uid, *seen_flags;
	size_t seen_n;
};

struct model {
	struct fix f;
	struct model_box box[BOXES];
	uint64_t rnd;
};

static uint32_t
pick(struct model *m, uint32_t n)
{
	m->rnd = m->rnd * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(m->rnd >> 33) % n;
}

static void
model_add(struct model_box *b, uint32_t flags, bool keyword, uint64_t modseq)
{
	assert_true(b->n < MODEL_MAX);
	b->v[b->n++] = (struct model_entry){ b->uidnext++, flags, keyword, modseq };
	b->modseq = modseq;
}

static void
model_remove(struct model_box *b, size_t i)
{
	memmove(&b->v[i], &b->v[i + 1], (b->n - i - 1) * sizeof b->v[0]);
	b->n--;
}

static void
random_set(struct model *m, const struct model_box *b, struct uidset *out)
{
	uidset_reset(out);
	for (uint32_t i = 0, n = 1 + pick(m, 4); i < n; i++) {
		uint32_t lo = 1 + pick(m, b->uidnext + 2);

		uidset_add(out, lo, lo + pick(m, 6));
	}
}

static void
step_append(struct model *m)
{
	struct model_box *b = &m->box[pick(m, BOXES)];
	uint32_t flags = pick(m, FLAG_ALL + 1);
	bool keyword = pick(m, 3) == 0;

	assert_int_equal(
		fix_append(&m->f, b->name, flags, keyword ? "$K" : NULL, "A: b\r\n\r\nc"), ERR_OK);
	assert_int_equal(m->f.appended.uid, b->uidnext);
	assert_true(m->f.appended.modseq > b->modseq);
	model_add(b, flags, keyword, m->f.appended.modseq);
}

static void
step_flags(struct model *m)
{
	struct model_box *b = &m->box[pick(m, BOXES)];
	struct uidset set = { 0 }, want = { 0 };
	enum flags_mode mode = (enum flags_mode)pick(m, 3);
	uint32_t flags = pick(m, FLAG_ALL + 1);
	bool keyword = pick(m, 2) == 0;

	random_set(m, b, &set);
	assert_int_equal(
		fix_flags(&m->f, b->id, &set, mode, flags, keyword ? "$K" : NULL, 0), ERR_OK);
	for (size_t i = 0; i < b->n; i++) {
		struct model_entry *e = &b->v[i], was = *e;

		if (!uidset_has(&set, e->uid))
			continue;
		switch (mode) {
		case FLAGS_ADD:
			e->flags |= flags;
			e->keyword |= keyword;
			break;
		case FLAGS_REMOVE:
			e->flags &= ~flags;
			e->keyword &= !keyword;
			break;
		case FLAGS_REPLACE:
			e->flags = flags;
			e->keyword = keyword;
			break;
		}
		if (e->flags == was.flags && e->keyword == was.keyword)
			continue;
		e->modseq = m->f.flagged.modseq;
		uidset_add(&want, e->uid, e->uid);
	}
	assert_int_equal(uidset_count(&want), uidset_count(&m->f.flagged.changed));
	if (want.n > 0) {
		assert_memory_equal(want.v, m->f.flagged.changed.v, want.n * sizeof want.v[0]);
		assert_true(m->f.flagged.modseq > b->modseq);
		b->modseq = m->f.flagged.modseq;
	}
	uidset_fini(&set);
	uidset_fini(&want);
}

static void
step_expunge(struct model *m)
{
	struct model_box *b = &m->box[pick(m, BOXES)];
	struct uidset set = { 0 };
	bool all = pick(m, 4) == 0;
	size_t gone = 0;

	random_set(m, b, &set);
	assert_int_equal(fix_expunge(&m->f, b->id, all ? NULL : &set), ERR_OK);
	for (size_t i = b->n; i-- > 0;)
		if ((b->v[i].flags & FLAG_DELETED) != 0 && (all || uidset_has(&set, b->v[i].uid))) {
			assert_true(uidset_has(&m->f.expunged.uids, b->v[i].uid));
			model_remove(b, i);
			gone++;
		}
	assert_int_equal(gone, uidset_count(&m->f.expunged.uids));
	if (gone > 0) {
		assert_true(m->f.expunged.modseq > b->modseq);
		b->modseq = m->f.expunged.modseq;
	}
	uidset_fini(&set);
}

static uint64_t
stored_modseq(struct model *m, const struct model_box *b)
{
	struct mailbox_info info;

	assert_int_equal(fix_find(&m->f, b->name, &info), ERR_OK);
	return info.highestmodseq;
}

static void
step_transfer(struct model *m, bool move)
{
	struct model_box *from = &m->box[pick(m, BOXES)], *to = &m->box[pick(m, BOXES)];
	struct uidset set = { 0 };
	size_t n = from->n, copied = 0;

	random_set(m, from, &set);
	assert_int_equal(fix_copy(&m->f, from->id, &set, to->name, move), ERR_OK);
	uint64_t modseq = stored_modseq(m, to);

	for (size_t i = 0, left = n; left > 0; left--) {
		struct model_entry e = from->v[i];

		if (!uidset_has(&set, e.uid)) {
			i++;
			continue;
		}
		copied++;
		assert_true(uidset_has(&m->f.copied.source, e.uid));
		assert_true(uidset_has(&m->f.copied.target, to->uidnext));
		if (move)
			model_remove(from, i);
		else
			i++;
		model_add(to, e.flags, e.keyword, modseq);
	}
	assert_int_equal(copied, uidset_count(&m->f.copied.target));
	if (move && copied > 0) {
		uint64_t after = stored_modseq(m, from);

		assert_true(from == to || after > from->modseq);
		from->modseq = after;
	}
	uidset_fini(&set);
}

/* What the store says now is what the model says. */
static void
compare(struct model *m, struct model_box *b)
{
	struct txn *t = fix_read(&m->f, m->f.home);
	struct mailbox_info info;
	struct entry_scan s;
	struct entry e;
	uint32_t unseen = 0;
	size_t i = 0;

	assert_int_equal(mailbox_get(t, b->id, &info), ERR_OK);
	assert_int_equal(entry_scan_begin(&s, t, b->id, 1), ERR_OK);
	for (; entry_scan_next(&s, &e) == ERR_OK; i++) {
		assert_true(i < b->n);
		assert_int_equal(e.uid, b->v[i].uid);
		assert_int_equal(e.flags, b->v[i].flags);
		assert_int_equal(e.keywords != 0, b->v[i].keyword);
		assert_int_equal(e.modseq, b->v[i].modseq);
		unseen += (e.flags & FLAG_SEEN) == 0;
	}
	entry_scan_end(&s);
	assert_int_equal(i, b->n);
	assert_int_equal(info.messages, b->n);
	assert_int_equal(info.unseen, unseen);
	assert_int_equal(info.uidnext, b->uidnext);
	assert_int_equal(info.highestmodseq, b->modseq);
	fix_read_end(t);
}

static void
compare_view(const struct model_box *b, const struct view *v)
{
	uint32_t uid = 0, seq = 0;

	assert_int_equal(view_count(v), b->n);
	assert_int_equal(view_modseq(v), b->modseq);
	for (size_t i = 0; i < b->n; i++) {
		assert_true(view_next(v, uid + 1, &uid, &seq));
		assert_int_equal(uid, b->v[i].uid);
		assert_int_equal(seq, i + 1);
		assert_int_equal(view_uid_of_seq(v, seq), uid);
		assert_int_equal(view_seq_of_uid(v, uid), seq);
		assert_int_equal(view_rank(v, uid), i);
	}
	assert_false(view_next(v, uid + 1, &uid, &seq));
	assert_int_equal(view_uid_of_seq(v, (uint32_t)b->n + 1), 0);
	assert_int_equal(view_uid_of_seq(v, 0), 0);
	assert_int_equal(view_last_uid(v), b->n > 0 ? b->v[b->n - 1].uid : 0);
}

static void
remember(struct model_box *b)
{
	b->seen_n = b->n;
	for (size_t i = 0; i < b->n; i++) {
		b->seen_uid[i] = b->v[i].uid;
		b->seen_flags[i] = b->v[i].flags | (b->v[i].keyword ? FLAG_ALL + 1 : 0);
	}
}

/* UIDs in both views that changed in between, as a session finds them. */
static void
changed_between(struct txn *t, const struct view *old, const struct view *now, struct uidset *out)
{
	struct since s;
	struct entry_scan scan;
	struct entry entry;
	struct uidset all = { 0 }, first = { 0 };
	enum err e;

	since_init(&s, view_mailbox(old), view_modseq(old));
	s.rows_only = true;
	do
		e = since_step(&s, t);
	while (e == ERR_AGAIN);
	assert_int_equal(e, ERR_OK);
	uidbits_select(&s.changed, 1, UINT32_MAX, &all);
	e = s.forgotten ? entry_scan_begin(&scan, t, view_mailbox(old), 1) : ERR_EOF;
	while (e == ERR_OK && (e = entry_scan_next(&scan, &entry)) == ERR_OK)
		if (entry.modseq > view_modseq(old))
			uidset_add(&all, entry.uid, entry.uid);
	if (s.forgotten)
		entry_scan_end(&scan);
	assert_int_equal(e, ERR_EOF);
	view_select_uids(old, &all, &first);
	view_select_uids(now, &first, out);
	uidset_fini(&all);
	uidset_fini(&first);
	since_fini(&s);
}

/* The diff turns what the session saw into what is there. */
static void
look(struct model *m, struct model_box *b)
{
	struct view_diff d;
	struct uidset changed = { 0 };
	struct view *now;
	size_t at = 0;

	view_diff_init(&d);
	struct txn *t = fix_read(&m->f, m->f.home);

	assert_int_equal(view_refresh(t, b->view, &now, &d), ERR_OK);
	changed_between(t, b->view, now, &changed);
	fix_read_end(t);
	for (size_t i = 0; i < b->seen_n; i++) {
		if (uidset_has(&d.expunged, b->seen_uid[i])) {
			assert_int_equal(view_seq_of_uid(now, b->seen_uid[i]), 0);
			continue;
		}
		assert_int_equal(b->v[at].uid, b->seen_uid[i]);
		uint32_t flags = b->v[at].flags | (b->v[at].keyword ? FLAG_ALL + 1 : 0);

		/* A flag that went there and back is told too: no harm. */
		if (flags != b->seen_flags[i])
			assert_true(uidset_has(&changed, b->seen_uid[i]));
		at++;
	}
	assert_int_equal(b->n - at, uidset_count(&d.arrived));
	for (; at < b->n; at++)
		assert_true(uidset_has(&d.arrived, b->v[at].uid));
	for (size_t i = 0; i < changed.n; i++)
		for (uint32_t uid = changed.v[i].lo; uid <= changed.v[i].hi; uid++) {
			assert_int_not_equal(view_seq_of_uid(now, uid), 0);
			assert_int_not_equal(view_seq_of_uid(b->view, uid), 0);
		}
	compare_view(b, now);
	view_unref(b->view);
	b->view = now;
	remember(b);
	uidset_fini(&changed);
	view_diff_fini(&d);
}

static void
step(struct model *m)
{
	switch (pick(m, 10)) {
	case 0:
	case 1:
	case 2:
		step_append(m);
		break;
	case 3:
	case 4:
	case 5:
		step_flags(m);
		break;
	case 6:
		step_expunge(m);
		break;
	case 7:
		step_transfer(m, true);
		break;
	case 8:
		step_transfer(m, false);
		break;
	case 9:
		look(m, &m->box[pick(m, BOXES)]);
		break;
	}
}

static void
test_model(void **state)
{
	static const char *const names[BOXES] = { "INBOX", "Trash", "deep/er" };
	struct model m = { .rnd = (uint64_t)clock_wall_ms() };
	struct check_counts counts;
	const struct check_options o = { .read_bodies = true };
	const char *only = getenv("TEST_SEED");
	char home[128];

	(void)state;
	if (only != NULL)
		assert_int_equal(str_to_u64(str_of(only), UINT64_MAX, &m.rnd), ERR_OK);
	print_message("TEST_SEED=%llu\n", (unsigned long long)m.rnd);
	fix_open(&m.f);
	assert_int_equal(fix_create(&m.f, names[2]), ERR_OK);
	for (size_t i = 0; i < BOXES; i++) {
		struct model_box *b = &m.box[i];

		b->name = names[i];
		b->id = fix_id(&m.f, b->name);
		b->uidnext = 1;
		b->modseq = 1;
		b->v = xcalloc(MODEL_MAX, sizeof *b->v);
		b->seen_uid = xcalloc(MODEL_MAX, sizeof *b->seen_uid);
		b->seen_flags = xcalloc(MODEL_MAX, sizeof *b->seen_flags);
		struct txn *t = fix_read(&m.f, m.f.home);

		assert_int_equal(view_open(t, b->id, &b->view), ERR_OK);
		fix_read_end(t);
	}
	for (int i = 0; i < STEPS; i++) {
		step(&m);
		compare(&m, &m.box[i % BOXES]);
	}
	for (size_t i = 0; i < BOXES; i++) {
		look(&m, &m.box[i]);
		view_unref(m.box[i].view);
		free(m.box[i].v);
		free(m.box[i].seen_uid);
		free(m.box[i].seen_flags);
	}
	fix_stop(&m.f);
	m.f.home = NULL;
	(void)snprintf(home, sizeof home, "%s/u/alice", m.f.dir);
	assert_int_equal(store_check(home, &o, NULL, NULL, &counts), ERR_OK);
	assert_int_equal(counts.problems, 0);
	fix_start(&m.f);
	fix_close(&m.f);
}

/* More than 4,096 UIDs, and ops that are cut at 16,384 entries. */
static void
test_large(void **state)
{
	enum { N = 20000 };
	struct fix f;
	struct uidset all = { 0 }, odd = { 0 };
	struct view *v, *now;
	struct view_diff d;
	struct uidset changed = { 0 };
	struct mailbox_info info;

	(void)state;
	fix_open(&f);
	uidset_add(&all, 1, UINT32_MAX);
	assert_int_equal(fix_append(&f, "INBOX", 0, "$K", "A: b\r\n\r\nc"), ERR_OK);
	uint32_t id = f.appended.mailbox;

	/* Doubled until there are enough. */
	for (uint32_t n = 1; n < N; n *= 2)
		assert_int_equal(fix_copy(&f, id, &all, "INBOX", false), ERR_OK);
	assert_int_equal(fix_find(&f, "INBOX", &info), ERR_OK);
	uint32_t n = info.messages;

	assert_true(n >= N);
	struct txn *t = fix_read(&f, f.home);

	assert_int_equal(view_open(t, id, &v), ERR_OK);
	fix_read_end(t);
	assert_int_equal(fix_flags(&f, id, &all, FLAGS_ADD, FLAG_SEEN, NULL, 0), ERR_OK);
	assert_int_equal(uidset_count(&f.flagged.changed), n);
	for (uint32_t uid = 1; uid < n; uid += 2)
		uidset_add(&odd, uid, uid);
	assert_int_equal(fix_flags(&f, id, &odd, FLAGS_ADD, FLAG_DELETED, NULL, 0), ERR_OK);
	assert_int_equal(fix_expunge(&f, id, NULL), ERR_OK);
	assert_int_equal(uidset_count(&f.expunged.uids), n / 2);
	view_diff_init(&d);
	t = fix_read(&f, f.home);
	assert_int_equal(view_refresh(t, v, &now, &d), ERR_OK);
	changed_between(t, v, now, &changed);
	fix_read_end(t);
	assert_int_equal(uidset_count(&d.expunged), n / 2);
	assert_int_equal(uidset_count(&changed), n / 2);
	assert_int_equal(view_uid_of_seq(now, 1), 2);
	assert_int_equal(view_uid_of_seq(now, n / 2), n);
	assert_int_equal(view_seq_of_uid(now, 9000), 4500);
	assert_int_equal(view_count(v), n);
	assert_int_equal(view_seq_of_uid(v, 9000), 9000);
	view_unref(v);
	view_unref(now);
	uidset_fini(&changed);
	view_diff_fini(&d);
	assert_int_equal(fix_copy(&f, id, &all, "Trash", true), ERR_OK);
	assert_int_equal(uidset_count(&f.copied.target), n / 2);
	assert_int_equal(fix_rename(&f, "INBOX", "emptied"), ERR_OK);
	assert_int_equal(fix_find(&f, "Trash", &info), ERR_OK);
	assert_int_equal(info.messages, n / 2);
	assert_int_equal(info.unseen, 0);
	uidset_fini(&all);
	uidset_fini(&odd);
	fix_close(&f);
}

struct count {
	int calls, changed;
};

static void
count_changed(void *arg, enum err e, const struct flags_result *r)
{
	struct count *c = arg;

	assert_int_equal(e, ERR_OK);
	c->calls++;
	c->changed += uidset_count(&r->changed) == 1;
}

/* A session that was away for longer than the change table reaches back. */
static void
test_change_trim(void **state)
{
	struct fix f;
	struct uidset one = { 0 };
	struct view *v, *now;
	struct view_diff d;
	struct uidset changed = { 0 };
	struct mailbox_info info;
	struct count count = { 0 };
	uint64_t rows;

	(void)state;
	fix_open(&f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fix_append(&f, "INBOX", 0, NULL, "A: b\r\n\r\nc"), ERR_OK);
	uint32_t id = f.appended.mailbox;
	struct txn *t = fix_read(&f, f.home);

	assert_int_equal(view_open(t, id, &v), ERR_OK);
	fix_read_end(t);
	uidset_add(&one, 1, 1);
	assert_int_equal(fix_flags(&f, id, &one, FLAGS_ADD, FLAG_ANSWERED, NULL, 0), ERR_OK);
	uidset_reset(&one);
	uidset_add(&one, 2, 2);
	/* All at once: they share transactions, and each sees what the one before it wrote. */
	for (int i = 0; i < CHANGE_ROWS_MAX + 10; i++)
		(void)store_flags(f.home,
			&(struct flags_args){ .mailbox = id,
				.uids = &one,
				.mode = i % 2 == 0 ? FLAGS_ADD : FLAGS_REMOVE,
				.flags = FLAG_FLAGGED },
			count_changed, &count);
	while (count.calls < CHANGE_ROWS_MAX + 10)
		fix_sleep(&f, 10);
	assert_int_equal(count.changed, CHANGE_ROWS_MAX + 10);
	view_diff_init(&d);
	t = fix_read(&f, f.home);
	assert_int_equal(kv_count(t->kv, KV_CHANGE, &rows), ERR_OK);
	assert_int_equal(rows, CHANGE_ROWS_MAX);
	assert_int_equal(mailbox_get(t, id, &info), ERR_OK);
	assert_int_equal(view_refresh(t, v, &now, &d), ERR_OK);
	changed_between(t, v, now, &changed);
	fix_read_end(t);
	/* The row about message 1 was trimmed; the scan finds it. */
	assert_true(uidset_has(&changed, 1));
	assert_true(uidset_has(&changed, 2));
	assert_false(uidset_has(&changed, 3));
	view_unref(v);
	view_unref(now);
	uidset_fini(&changed);
	view_diff_fini(&d);
	uidset_fini(&one);
	fix_close(&f);
}

static void
test_uidset(void **state)
{
	struct uidset s = { 0 };
	bool model[200] = { false };
	uint64_t rnd = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		rnd = rnd * 6364136223846793005u + 1442695040888963407u;
		uint32_t lo = 1 + (uint32_t)(rnd >> 40) % 190, hi = lo + (uint32_t)(rnd >> 33) % 8;
		bool add = (rnd >> 60) % 2 == 0;

		if (add)
			uidset_add(&s, hi, lo);
		else
			uidset_remove(&s, lo, hi);
		for (uint32_t u = lo; u <= hi; u++)
			model[u] = add;
		uint64_t n = 0;
		uint32_t uid = 0;

		for (uint32_t u = 1; u < 200; u++) {
			n += model[u];
			assert_int_equal(uidset_has(&s, u), model[u]);
			if (model[u]) {
				assert_true(uidset_next(&s, uid + 1, &uid));
				assert_int_equal(uid, u);
			}
		}
		assert_int_equal(uidset_count(&s), n);
		for (size_t k = 1; k < s.n; k++)
			assert_true(s.v[k].lo > s.v[k - 1].hi + 1);
	}
	uidset_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uidset),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_change_trim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
