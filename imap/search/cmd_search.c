/* SEARCH. Called by step.c through the table. First all messages are judged, some at a step,
 * then the one untagged line is said, some of it at a step. RFC 3501 6.4.4. */
#include "core/base/clock.h"
#include "imap/session/commands.h"
#include "imap/search/match.h"
#include "imap/session/rows.h"
#include "imap/session/write.h"

enum { COST_LOOK = 2048, FOUND_MAX = 512 * 1024 * 1024 };
enum { SEARCH_BEGIN, SEARCH_JUDGE, SEARCH_SAY };

struct search_state {
	struct matcher matcher;
	uint32_t uid, last_uid; /* where to go on, where to stop */
	struct buf found;	/* uint32_t each, UIDs or sequence numbers */
	size_t said;
	bool missing;
};

void
end_search(struct cmd *c)
{
	struct search_state *st = c->state;

	if (st == NULL)
		return;
	matcher_fini(&st->matcher);
	buf_fini(&st->found);
	c->state = NULL;
}

static enum step
begin(struct imap_session *s, struct cmd *c)
{
	const struct view *v = s->sel.view;
	struct args_search *a = &c->a.search;
	struct search_state *st = arena_calloc(s->arena, 1, sizeof *st);

	if (st == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	c->state = st;
	buf_init(&st->found, FOUND_MAX);
	enum err e = matcher_init(&st->matcher, &a->root, a->charset, s->home, view_count(v),
		view_last_uid(v), s->arena);

	if (e == ERR_NOTFOUND)
		return cmd_no(c, "BADCHARSET (UTF-8 US-ASCII)", "Unknown charset");
	if (e == ERR_SYNTAX)
		return cmd_bad(c, "Text is not of its charset");
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	matcher_bounds(&st->matcher, &st->uid, &st->last_uid);
	c->phase = SEARCH_JUDGE;
	return STEP_MORE;
}

/* ERR_AGAIN: the step is full; ERR_EOF: all were judged. */
static enum err
judge_rows(struct imap_session *s, struct cmd *c, struct search_state *st, struct rows *rows)
{
	int64_t began = clock_us();
	uint64_t cost = 0, look = COST_LOOK;
	struct match_step step = {
		.txn = rows->txn, .keywords = &rows->keywords, .recent_from = s->sel.recent_from
	};
	uint32_t uid, seq;

	while (view_next(s->sel.view, st->uid, &uid, &seq) && uid <= st->last_uid) {
		const struct entry *entry;
		bool match = false;
		enum err e = rows_get(rows, uid, &entry);

		if (e == ERR_OK)
			e = matcher_run(&st->matcher, &step, seq, entry, &match, &cost);
		if (e == ERR_NOTFOUND)
			st->missing = true;
		else if (e != ERR_OK)
			return e;
		if (match)
			buf_add(&st->found, str_n(c->uid ? &uid : &seq, sizeof uid));
		if (uid == UINT32_MAX)
			break;
		st->uid = uid + 1;
		if (++cost >= look) {
			if (session_enough(s, began))
				return ERR_AGAIN;
			look = cost + COST_LOOK;
		}
	}
	return ERR_EOF;
}

static enum step
judge(struct imap_session *s, struct cmd *c, struct search_state *st)
{
	struct rows rows;
	enum err e = rows_begin(&rows, s, st->uid);

	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	e = judge_rows(s, c, st, &rows);
	rows_end(&rows);
	if (e == ERR_EOF) {
		buf_addz(session_out(s), "* SEARCH");
		c->phase = SEARCH_SAY;
		return STEP_MORE;
	}
	return e == ERR_AGAIN ? STEP_MORE : cmd_fail(s, c, e);
}

static enum step
say(struct imap_session *s, struct cmd *c, struct search_state *st)
{
	struct buf *out = session_out(s);
	struct str found = buf_str(&st->found);
	int64_t began = clock_us();

	for (unsigned n = 1; st->said < found.n; n++) {
		uint32_t number;

		memcpy(&number, found.p + st->said, sizeof number);
		st->said += sizeof number;
		buf_addc(out, ' ');
		write_number(out, number);
		if (n % 512 == 0 && session_enough(s, began))
			return STEP_MORE;
	}
	buf_addz(out, "\r\n");
	/* what is gone matches nothing, so the answer is right: RFC 5530 3 */
	if (st->missing && !c->uid)
		c->code = "EXPUNGEISSUED";
	return cmd_ok(c, "Search completed");
}

enum step
run_search(struct imap_session *s, struct cmd *c)
{
	switch (c->phase) {
	case SEARCH_BEGIN: {
		enum step step = begin(s, c);

		if (step != STEP_MORE)
			return step;
		__attribute__((fallthrough));
	}
	case SEARCH_JUDGE:
		return judge(s, c, c->state);
	}
	return say(s, c, c->state);
}
