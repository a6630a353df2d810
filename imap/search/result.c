/* The answers of SEARCH and SORT; see result.h. Called by cmd_search.c. Invariant: the view does
 * not move while a command runs, so a number said at one step means the same at the next. */
#include "imap/search/result.h"

#include "core/base/clock.h"
#include "core/store/since.h"
#include "imap/session/write.h"

enum { LOOK_EVERY = 512 };

/* The position's range in r->uids and its UID. */
static uint32_t
ascending_at(const struct search_result *r, uint64_t at, size_t *range_out)
{
	for (size_t i = 0; i < r->uids.n; i++) {
		uint64_t n = (uint64_t)r->uids.v[i].hi - r->uids.v[i].lo + 1;

		*range_out = i;
		if (at < n)
			return r->uids.v[i].lo + (uint32_t)at;
		at -= n;
	}
	*range_out = r->uids.n;
	return 0;
}

uint32_t
result_at(const struct search_result *r, uint64_t at)
{
	size_t range;

	if (at >= r->count)
		return 0;
	if (r->order != NULL)
		return r->order[at];
	/* the last one is asked for most */
	if (at + 1 == r->count)
		return r->uids.v[r->uids.n - 1].hi;
	return ascending_at(r, at, &range);
}

void
result_partial(const struct search_result *r, const struct partial_range *p, uint64_t *from_out,
	uint64_t *to_out)
{
	uint64_t n = r->count, lo = p->lo, hi = p->hi;

	*from_out = *to_out = 0;
	if (lo > n)
		return;
	if (hi > n)
		hi = n;
	*from_out = p->from_end ? n - hi : lo - 1;
	*to_out = p->from_end ? n - lo + 1 : hi;
}

static void
save_span(const struct search_result *r, uint64_t from, uint64_t to, struct uidset *out)
{
	size_t range = 0;

	if (r->order != NULL) {
		struct uidbits bits = { .n = 0 };

		/* in no order: a set of ranges would move half of itself for each */
		for (uint64_t i = from; i < to; i++)
			uidbits_add(&bits, r->order[i], r->order[i]);
		uidbits_select(&bits, 1, UINT32_MAX, out);
		uidbits_fini(&bits);
		return;
	}
	uint32_t uid = from < to ? ascending_at(r, from, &range) : 0;

	for (uint64_t left = to - from; left != 0; range++) {
		uint64_t n = (uint64_t)r->uids.v[range].hi - uid + 1;

		n = n < left ? n : left;
		uidset_add(out, uid, uid + (uint32_t)(n - 1));
		left -= n;
		uid = left != 0 ? r->uids.v[range + 1].lo : 0;
	}
}

void
result_save(const struct search_result *r, const struct args_search *a, struct uidset *out)
{
	unsigned some = RETURN_MIN | RETURN_MAX | RETURN_PARTIAL;
	uint64_t from, to;

	uidset_reset(out);
	if ((a->want & some) == 0 || (a->want & (RETURN_ALL | RETURN_COUNT)) != 0) {
		uidset_copy(out, &r->uids);
		return;
	}
	if (r->count == 0)
		return;
	if ((a->want & RETURN_PARTIAL) != 0) {
		result_partial(r, &a->partial, &from, &to);
		save_span(r, from, to, out);
	}
	if ((a->want & RETURN_MIN) != 0)
		uidset_add(out, result_at(r, 0), result_at(r, 0));
	if ((a->want & RETURN_MAX) != 0)
		uidset_add(out, result_at(r, r->count - 1), result_at(r, r->count - 1));
}

/* ---- the answer ---- */

static bool
is_esearch(const struct imap_session *s, const struct args_search *a)
{
	return a->has_return || ((s->modes & MODE_REV2) != 0 && a->sort_count == 0);
}

static uint32_t
number_of(const struct imap_session *s, const struct cmd *c, uint32_t uid)
{
	return c->uid ? uid : view_seq_of_uid(s->sel.view, uid);
}

static void
begin_list(struct search_result *r, uint64_t from, uint64_t to)
{
	r->in_list = true;
	r->any = false;
	r->at = r->from = from;
	r->to = to;
	r->pending = (struct seq_range){ 0, 0 };
	if (r->order == NULL && from < to)
		r->next_uid = ascending_at(r, from, &r->range);
}

/* The next number of the list; its end must have been looked at. */
static uint32_t
next_number(const struct imap_session *s, const struct cmd *c, struct search_result *r)
{
	if (r->order != NULL)
		return number_of(s, c, r->order[r->at++]);
	uint32_t uid = r->next_uid;

	r->at++;
	if (uid != r->uids.v[r->range].hi)
		r->next_uid = uid + 1;
	else if (++r->range < r->uids.n)
		r->next_uid = r->uids.v[r->range].lo;
	return number_of(s, c, uid);
}

static void
put_range(struct buf *out, struct search_result *r)
{
	if (r->pending.lo == 0)
		return;
	if (r->any)
		buf_addc(out, ',');
	r->any = true;
	write_number(out, r->pending.lo);
	if (r->pending.hi != r->pending.lo) {
		buf_addc(out, ':');
		write_number(out, r->pending.hi);
	}
}

/* As a set; in the order that was asked for. ERR_AGAIN: the step is full. */
static enum err
say_set(struct imap_session *s, const struct cmd *c, struct search_result *r, int64_t began)
{
	struct buf *out = session_out(s);

	for (unsigned n = 1; r->at < r->to; n++) {
		uint32_t number = next_number(s, c, r);

		if (r->pending.lo != 0 && number == r->pending.hi + (uint64_t)1) {
			r->pending.hi = number;
		} else {
			put_range(out, r);
			r->pending = (struct seq_range){ number, number };
		}
		if (n % LOOK_EVERY == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	put_range(out, r);
	return ERR_OK;
}

static enum err
say_numbers(struct imap_session *s, const struct cmd *c, struct search_result *r, int64_t began)
{
	struct buf *out = session_out(s);
	char tmp[PUT_MAX];

	for (unsigned n = 1; r->at < r->to; n++) {
		tmp[0] = ' ';
		char *end = put_number(tmp + 1, next_number(s, c, r));

		buf_add(out, str_n(tmp, (size_t)(end - tmp)));
		if (n % LOOK_EVERY == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	return ERR_OK;
}

static void
add_item(struct buf *out, const char *name, uint64_t n)
{
	buf_addc(out, ' ');
	buf_addz(out, name);
	buf_addc(out, ' ');
	write_number(out, n);
}

/* RFC 4731 3.2: of what MIN and MAX return when nothing else is asked for. */
static uint64_t
modseq_of(const struct args_search *a, const struct search_result *r)
{
	uint64_t first = (a->want & RETURN_MIN) != 0 ? r->modseq_first : 0;
	uint64_t last = (a->want & RETURN_MAX) != 0 ? r->modseq_last : 0;

	if ((a->want & (RETURN_ALL | RETURN_COUNT | RETURN_PARTIAL)) != 0 || (first | last) == 0)
		return r->modseq;
	return first > last ? first : last;
}

static void
esearch_begin(struct imap_session *s, const struct cmd *c, struct search_result *r)
{
	const struct args_search *a = &c->a.search;
	struct buf *out = session_out(s);
	uint64_t from = 0, to = r->count;

	buf_addz(out, "* ESEARCH (TAG \"");
	buf_add(out, c->tag);
	buf_addz(out, c->uid ? "\") UID" : "\")");
	if ((a->want & RETURN_MIN) != 0 && r->count != 0)
		add_item(out, "MIN", number_of(s, c, result_at(r, 0)));
	if ((a->want & RETURN_MAX) != 0 && r->count != 0)
		add_item(out, "MAX", number_of(s, c, result_at(r, r->count - 1)));
	if ((a->want & RETURN_COUNT) != 0)
		add_item(out, "COUNT", r->count);
	/* 0: nothing is returned */
	if (a->has_modseq && r->count != 0 && modseq_of(a, r) != 0) {
		add_item(out, "MODSEQ", modseq_of(a, r));
		session_tells_modseq(s, modseq_of(a, r));
	}
	if ((a->want & RETURN_PARTIAL) != 0) {
		result_partial(r, &a->partial, &from, &to);
		buf_addz(out, " PARTIAL (");
		buf_add(out, a->partial.text);
		buf_addz(out, from < to ? " " : " NIL");
		begin_list(r, from, to);
	} else if ((a->want & RETURN_ALL) != 0 && r->count != 0) {
		buf_addz(out, " ALL ");
		begin_list(r, from, to);
	}
}

static enum step
say_esearch(struct imap_session *s, const struct cmd *c, struct search_result *r)
{
	int64_t began = clock_us();

	if (!r->begun)
		esearch_begin(s, c, r);
	r->begun = true;
	if (r->in_list && say_set(s, c, r, began) == ERR_AGAIN)
		return STEP_MORE;
	buf_addz(session_out(s), (c->a.search.want & RETURN_PARTIAL) != 0 ? ")\r\n" : "\r\n");
	return STEP_DONE;
}

enum step
result_say(struct imap_session *s, const struct cmd *c, struct search_result *r)
{
	const struct args_search *a = &c->a.search;
	struct buf *out = session_out(s);
	int64_t began = clock_us();

	/* RFC 5182 2.1: SAVE alone says nothing */
	if (a->has_return && a->want == RETURN_SAVE)
		return STEP_DONE;
	if (is_esearch(s, a))
		return say_esearch(s, c, r);
	if (!r->begun) {
		buf_addz(out, a->sort_count != 0 ? "* SORT" : "* SEARCH");
		begin_list(r, 0, r->count);
		r->begun = true;
	}
	if (say_numbers(s, c, r, began) == ERR_AGAIN)
		return STEP_MORE;
	if (a->has_modseq && r->count != 0) {
		buf_addz(out, " (MODSEQ ");
		write_number(out, r->modseq);
		buf_addc(out, ')');
		session_tells_modseq(s, r->modseq);
	}
	buf_addz(out, "\r\n");
	return STEP_DONE;
}
