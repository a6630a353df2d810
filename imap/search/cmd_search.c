/* SEARCH, SORT and THREAD. Called by step.c through the table. First all messages are judged, some
 * at a step, then put in their order or into threads, then the one untagged line is said, some of
 * it at a step. RFC 3501 6.4.4, 4731, 5182, 5256. */
#include <time.h>

#include "core/base/clock.h"
#include "imap/search/batch.h"
#include "imap/search/match.h"
#include "imap/search/result.h"
#include "imap/search/sort.h"
#include "imap/search/thread_job.h"
#include "imap/session/cold.h"
#include "imap/session/commands.h"
#include "imap/session/limit.h"

enum { COST_LOOK = 2048, LOOK_EVERY = 512, TROUBLES_LOGGED = 16 };
enum { SOON_BYTES = 256 * 1024, SOON_SUM_BYTES = 1024 * 1024 };
enum { SEARCH_BEGIN, SEARCH_JUDGE, SEARCH_ARRANGE, SEARCH_RETURNED, SEARCH_SAY };

struct search_state {
	struct matcher matcher;
	uint32_t uid, last_uid; /* where to go on, where to stop */
	uint32_t below, count;	/* messages before these, and among them */
	uint32_t told_uid;	/* the disk was told of those up to here */
	struct search_result result;
	struct sort *sort; /* NULL until all were judged */
	struct thread_job *thread;
	/* of PARTIAL: what is returned, and the highest modseq of that */
	struct uidset returned;
	struct walk walk;
	uint64_t modseq;
	bool missing;
	unsigned long troubles_count;
};

void
end_search(struct cmd *c)
{
	struct search_state *st = c->state;

	if (st == NULL)
		return;
	matcher_fini(&st->matcher);
	sort_free(st->sort);
	thread_job_free(st->thread);
	uidset_fini(&st->result.uids);
	uidset_fini(&st->returned);
	c->state = NULL;
}

static bool
saves(const struct cmd *c)
{
	return (c->a.search.want & RETURN_SAVE) != 0;
}

/* RFC 5182 2.1: a SEARCH that is answered NO leaves "$" empty. */
static enum step
refuse(struct imap_session *s, struct cmd *c, enum step step)
{
	if (saves(c) && c->result == RESULT_NO)
		uidset_reset(&s->sel.saved);
	return step;
}

/* A text that was searched on the pool has its answer. */
static void
on_aside(void *arg)
{
	session_resume(arg);
}

static uint32_t
ranks_until(const struct view *v, uint32_t uid)
{
	return uid >= view_last_uid(v) ? view_count(v) : view_rank(v, uid + 1);
}

static bool
has_order(const struct args_search *a)
{
	return a->sort_count != 0 || a->is_thread;
}

static enum step
begin(struct imap_session *s, struct cmd *c)
{
	const struct view *v = s->sel.view;
	struct args_search *a = &c->a.search;
	struct search_state *st = arena_calloc(s->arena, 1, sizeof *st);
	const struct matcher_options options = {
		.charset = a->charset,
		.largest_seq = view_count(v),
		.largest_uid = view_last_uid(v),
		.saved = &s->sel.saved,
		.now_sec = time(NULL),
	};

	if (a->has_seqs && (s->modes & MODE_UIDONLY) != 0)
		return cmd_uid_required(c);
	/* RFC 9755 3; SORT and THREAD cannot do without one */
	if ((s->modes & MODE_UTF8) != 0 && a->charset.n != 0 && !has_order(a))
		return cmd_bad(c, "No CHARSET after ENABLE UTF8=ACCEPT");
	if (st == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	c->state = st;
	enum err e = matcher_init(&st->matcher, &a->root, &options, s->home, s->arena);

	if (e == ERR_NOTFOUND)
		return cmd_no(c, "BADCHARSET (UTF-8 US-ASCII)", "Unknown charset");
	if (e == ERR_SYNTAX)
		return cmd_bad(c, "Text is not of its charset");
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	/* numbers must mean the same until the answer is there: RFC 7162 3.2.10.2 */
	c->keeps_numbers = a->has_seqs;
	if (a->has_modseq)
		session_condstore(s);
	matcher_use_pool(&st->matcher, s->imap->pool, on_aside, s);
	matcher_bounds(&st->matcher, &st->uid, &st->last_uid);
	limit_range(s, c, &st->uid, st->last_uid);
	/* a part of an order, or of the threads, would be a wrong one: RFC 9738 3.3 */
	if (c->limit_uid != 0 && has_order(a))
		return limit_refuse(s, c);
	st->below = view_rank(v, st->uid);
	uint32_t until = ranks_until(v, st->last_uid);

	st->count = until > st->below ? until - st->below : 0;
	c->phase = SEARCH_JUDGE;
	return STEP_MORE;
}

static void
found(struct search_result *r, const struct entry *e)
{
	uidset_add(&r->uids, e->uid, e->uid);
	if (r->count++ == 0)
		r->modseq_first = e->modseq;
	r->modseq_last = e->modseq;
	if (e->modseq > r->modseq)
		r->modseq = e->modseq;
}

struct judge {
	struct match_step step;
	int64_t began;
	uint64_t cost, look;
	uint32_t seqs[MESSAGE_SOME_MAX]; /* of the batch */
	bool loaded;
	bool unseen, has_run; /* only those without \Seen: run says which */
	struct unseen_run run;
};

/* The first bit of the run at or above uid; 0: none. */
static uint32_t
run_next(const struct unseen_run *run, uint32_t uid)
{
	uint32_t bit = uid > run->base ? uid - run->base : 0;

	for (uint32_t w = bit / 64; w < UNSEEN_WORDS; w++) {
		uint64_t word = run->bits[w];

		if (w == bit / 64)
			word &= ~(uint64_t)0 << bit % 64;
		if (word != 0)
			return run->base + w * 64 + (uint32_t)__builtin_ctzll(word);
	}
	return 0;
}

/* The next message that may match, from *uid on. ERR_EOF: none. */
static enum err
next_unseen(
	const struct imap_session *s, struct txn *t, struct judge *j, uint32_t *uid, uint32_t *seq)
{
	const struct view *v = s->sel.view;

	for (;;) {
		uint32_t next = j->has_run ? run_next(&j->run, *uid) : 0, there;

		if (next == 0) {
			/* UIDs behind the run */
			uint32_t from = j->has_run && *uid < j->run.base + 64 * UNSEEN_WORDS
						? j->run.base + 64 * UNSEEN_WORDS
						: *uid;
			enum err e = mailbox_unseen_run(t, view_mailbox(v), from, &j->run);

			j->has_run = e == ERR_OK;
			if (e != ERR_OK)
				return e == ERR_NOTFOUND ? ERR_EOF : e;
			*uid = from;
			continue;
		}
		if (!view_next(v, next, &there, seq))
			return ERR_EOF;
		*uid = there;
		if (there == next)
			return ERR_OK;
	}
}

static enum err
next_candidate(
	const struct imap_session *s, struct txn *t, struct judge *j, uint32_t *uid, uint32_t *seq)
{
	if (j->unseen)
		return next_unseen(s, t, j, uid, seq);
	return view_next(s->sel.view, *uid, uid, seq) ? ERR_OK : ERR_EOF;
}

/* ERR_EOF: there is nothing more to judge. */
static enum err
fill(struct imap_session *s, struct search_state *st, struct batch *b, struct judge *j)
{
	uint32_t uid = st->uid, seq;

	batch_clear(b);
	while (!batch_is_full(b)) {
		enum err e = next_candidate(s, b->rows.txn, j, &uid, &seq);

		if (e == ERR_EOF || (e == ERR_OK && uid > st->last_uid))
			break;
		if (e == ERR_OK)
			e = batch_add(b, uid);
		if (e != ERR_OK)
			return e;
		j->seqs[b->n - 1] = seq;
		if (uid++ == UINT32_MAX)
			break;
	}
	return b->n != 0 ? batch_load(b, matcher_part(&st->matcher)) : ERR_EOF;
}

/* The log names a file that is missing or cannot be searched. */
static void
complain(struct imap_session *s, struct search_state *st, const struct entry *entry, enum err e)
{
	bool file = e == ERR_NOTFOUND || e == ERR_CORRUPT || e == ERR_TEMP;

	if (!file || st->troubles_count++ >= TROUBLES_LOGGED)
		return;
	cold_complain(s, entry->msg, e, st->matcher.code);
}

/* While the file of one is read, the disk is told of those of the batch that come behind it and
 * have to be looked into too. */
static void
ask_pool(struct search_state *st, struct batch *b, struct judge *j, uint32_t from)
{
	struct aside_soon soon[ASIDE_SOON_MAX];
	uint64_t sum = 0;
	size_t n = 0;

	for (uint32_t i = from; i < b->n && n < ASIDE_SOON_MAX && sum < SOON_SUM_BYTES; i++) {
		const struct entry *e = &b->entries[i];

		if (b->missing[i] || b->uids[i] <= st->told_uid)
			continue;
		st->told_uid = b->uids[i];
		j->step.loaded = j->loaded ? &b->messages[i] : NULL;
		if (!matcher_wants_file(&st->matcher, &j->step, j->seqs[i], e))
			continue;
		soon[n].msg = e->msg;
		soon[n].len = e->size < SOON_BYTES ? e->size : SOON_BYTES;
		sum += soon[n++].len;
	}
	matcher_ask(&st->matcher, soon, n);
}

/* Those of the batch; st->uid is where to go on after an error. */
static enum err
judge_batch(struct imap_session *s, struct search_state *st, struct batch *b, struct judge *j)
{
	for (uint32_t i = 0; i < b->n; i++) {
		bool match = false;
		enum err e = b->missing[i] ? ERR_NOTFOUND : ERR_OK;

		st->uid = b->uids[i];
		j->step.loaded = j->loaded ? &b->messages[i] : NULL;
		if (e == ERR_OK) {
			e = matcher_run(&st->matcher, &j->step, j->seqs[i], &b->entries[i], &match,
				&j->cost);
			complain(s, st, &b->entries[i], e);
		}
		if (e == ERR_BUSY && matcher_is_to_ask(&st->matcher))
			ask_pool(st, b, j, i + 1);
		if (e == ERR_NOTFOUND)
			st->missing = true;
		else if (e != ERR_OK)
			return e;
		if (match)
			found(&st->result, &b->entries[i]);
		if (st->uid == UINT32_MAX)
			return ERR_EOF;
		st->uid++;
		if (++j->cost < j->look)
			continue;
		if (session_enough(s, j->began))
			return ERR_AGAIN;
		j->look = j->cost + COST_LOOK;
	}
	return ERR_OK;
}

/* ERR_AGAIN: the step is full; ERR_EOF: all were judged. */
static enum err
judge_some(struct imap_session *s, struct search_state *st, struct batch *b)
{
	struct judge j = {
		.step = { .scan = &b->scan,
			.keywords = &b->rows.keywords,
			/* nothing is \Recent in IMAP4rev2 */
			.recent_from =
				(s->modes & MODE_REV2) != 0 ? UINT32_MAX : s->sel.recent_from },
		.began = clock_us(),
		.look = COST_LOOK,
		.loaded = matcher_part(&st->matcher) != MESSAGE_NONE,
		.unseen = matcher_wants_unseen(&st->matcher),
	};
	enum err e;

	do {
		e = fill(s, st, b, &j);
		if (e == ERR_OK)
			e = judge_batch(s, st, b, &j);
	} while (e == ERR_OK);
	return e;
}

/* Those that are gone are left out when they are put in their order. */
static void
take_all(const struct imap_session *s, struct cmd *c, struct search_state *st)
{
	struct search_result *r = &st->result;
	struct uid_range all = { 1, UINT32_MAX };

	view_select_uids(s->sel.view, &(struct uidset){ .v = &all, .n = 1 }, &r->uids);
	r->count = view_count(s->sel.view);
	c->phase = SEARCH_ARRANGE;
}

static enum step
judge(struct imap_session *s, struct cmd *c, struct search_state *st)
{
	struct batch b;

	if (has_order(&c->a.search) && matcher_takes_all(&st->matcher)) {
		take_all(s, c, st);
		return STEP_MORE;
	}
	enum err e = batch_begin(&b, s, st->uid);

	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	e = judge_some(s, st, &b);
	batch_end(&b);
	if (e == ERR_AGAIN || e == ERR_BUSY) {
		/* how many will have to be put in order nobody knows yet */
		session_progress(s, c, view_rank(s->sel.view, st->uid) - st->below,
			has_order(&c->a.search) ? 0 : st->count);
		return e == ERR_AGAIN ? STEP_MORE : STEP_WAIT;
	}
	if (e != ERR_EOF)
		return cmd_fail(s, c, e);
	c->progress_past = st->count;
	c->phase = SEARCH_ARRANGE;
	return STEP_MORE;
}

/* What was expunged since the view was made is in no order: what is remembered may know it. */
static enum err
leave_out_gone(struct imap_session *s, struct search_state *st)
{
	struct view_diff diff = { .expunged = { 0 } };
	struct uidset left = { 0 };
	struct view *now = NULL;
	struct txn *txn;
	enum err e = session_read(s, &txn);

	if (e != ERR_OK)
		return e;
	e = view_refresh(txn, s->sel.view, &now, &diff);
	store_read_end(txn);
	view_unref(now);
	if (e == ERR_OK && diff.expunged.n != 0)
		uidset_subtract(&st->result.uids, &diff.expunged, &left);
	/* a mailbox that is deleted has no messages */
	if (e == ERR_NOTFOUND || (e == ERR_OK && diff.expunged.n != 0)) {
		uint64_t count = uidset_count(&left);

		st->missing = st->missing || count != st->result.count;
		st->result.count = count;
		uidset_copy(&st->result.uids, &left);
		e = ERR_OK;
	}
	uidset_fini(&left);
	view_diff_fini(&diff);
	return e;
}

static enum err
sort_found(struct imap_session *s, struct cmd *c, struct search_state *st)
{
	if (st->sort == NULL)
		st->sort = sort_new(&c->a.search);
	return sort_run(s, c, st->sort, &st->result, &st->missing);
}

static enum err
thread_found(struct imap_session *s, struct cmd *c, struct search_state *st)
{
	if (st->thread == NULL)
		st->thread = thread_job_new(s, &c->a.search, &st->result);
	return thread_job_run(s, c, st->thread, &st->missing);
}

/* PARTIAL returns some of those whose modseqs are known; COUNT means all of them. */
static void
arranged(struct cmd *c, struct search_state *st)
{
	const struct args_search *a = &c->a.search;

	c->phase = SEARCH_SAY;
	if (!a->has_modseq || (a->want & RETURN_PARTIAL) == 0 || (a->want & RETURN_COUNT) != 0)
		return;
	result_save(&st->result, a, &st->returned);
	c->phase = SEARCH_RETURNED;
}

static enum step
arrange(struct imap_session *s, struct cmd *c, struct search_state *st)
{
	bool sorts = c->a.search.sort_count != 0, threads = c->a.search.is_thread;
	bool begins = st->sort == NULL && st->thread == NULL;
	enum err e = begins && (sorts || threads) ? leave_out_gone(s, st) : ERR_OK;

	if (e == ERR_OK && sorts)
		e = sort_found(s, c, st);
	else if (e == ERR_OK && threads)
		e = thread_found(s, c, st);
	if (e == ERR_OK)
		arranged(c, st);
	return e == ERR_OK || e == ERR_AGAIN ? STEP_MORE : cmd_fail(s, c, e);
}

/* ERR_AGAIN: the step is full. */
static enum err
read_modseqs(struct search_state *st, struct imap_session *s, struct rows *r)
{
	int64_t began = clock_us();
	uint32_t uid;

	for (unsigned n = 1; walk_at(&st->walk, &st->returned, &uid); n++) {
		const struct entry *entry;
		enum err e = rows_get(r, uid, &entry);

		if (e != ERR_OK && e != ERR_NOTFOUND)
			return e;
		if (e == ERR_OK && entry->modseq > st->modseq)
			st->modseq = entry->modseq;
		walk_step(&st->walk, &st->returned);
		if (n % LOOK_EVERY == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	return ERR_OK;
}

/* RFC 4731 3.2: of what is returned. */
static enum step
find_modseq(struct imap_session *s, struct cmd *c, struct search_state *st)
{
	struct rows r;
	uint32_t uid;
	enum err e = ERR_OK;

	if (walk_at(&st->walk, &st->returned, &uid)) {
		e = rows_begin(&r, s, uid);
		if (e == ERR_AGAIN)
			return STEP_MORE;
		if (e != ERR_OK)
			return cmd_fail(s, c, e);
		e = read_modseqs(st, s, &r);
		rows_end(&r);
	}
	if (e != ERR_OK)
		return e == ERR_AGAIN ? STEP_MORE : cmd_fail(s, c, e);
	st->result.modseq = st->modseq;
	c->phase = SEARCH_SAY;
	return STEP_MORE;
}

static enum step
say(struct imap_session *s, struct cmd *c, struct search_state *st)
{
	enum step step = st->thread != NULL ? thread_job_say(s, c, st->thread)
					    : result_say(s, c, &st->result);

	if (step == STEP_MORE)
		return STEP_MORE;
	if (saves(c))
		result_save(&st->result, &c->a.search, &s->sel.saved);
	/* what is gone matches nothing, so the answer is right: RFC 5530 3 */
	if (st->missing && !c->uid)
		c->code = "EXPUNGEISSUED";
	return cmd_ok(c, "Completed");
}

enum step
run_search(struct imap_session *s, struct cmd *c)
{
	enum step step = STEP_MORE;

	if (c->phase == SEARCH_BEGIN)
		step = begin(s, c);
	if (step == STEP_MORE && c->phase == SEARCH_JUDGE)
		step = judge(s, c, c->state);
	else if (step == STEP_MORE && c->phase == SEARCH_RETURNED)
		step = find_modseq(s, c, c->state);
	else if (step == STEP_MORE && c->phase == SEARCH_SAY)
		step = say(s, c, c->state);
	if (step == STEP_MORE && c->phase == SEARCH_ARRANGE)
		step = arrange(s, c, c->state);
	return refuse(s, c, step);
}
