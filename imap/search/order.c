/* A merge sort in pieces; see order.h. Called by sort.c and thread.c. Invariant: between two steps
 * rows[0..lo) and, of the merge that goes on, other[lo..k) are in their places, so nothing is
 * compared twice. */
#include "imap/search/order.h"

#include <endian.h>
#include <stdlib.h>

#include "core/base/xalloc.h"

enum { CHUNK = 1024 * 1024, RUN = 16, LENGTH_BYTES = 2 };

void
order_init(struct order *o, size_t cap)
{
	*o = (struct order){ .cap = cap };
	o->rows = xcalloc(cap != 0 ? cap : 1, sizeof *o->rows);
}

void
order_fini(struct order *o)
{
	for (size_t i = 0; i < o->chunk_count; i++)
		free(o->chunks[i]);
	free(o->chunks);
	free(o->rows);
	free(o->other);
	*o = (struct order){ .rows = NULL };
}

/* Offsets are multiples of 4, so that 32 bits reach far enough; 0 is never one. */
static enum err
keep_rest(struct order *o, struct str rest, uint32_t *out)
{
	size_t need = (LENGTH_BYTES + rest.n + 3) & ~(size_t)3;

	if (o->chunk_count == 0 || need > CHUNK - o->chunk_used) {
		if ((o->chunk_count + 1) * (size_t)CHUNK > ORDER_BYTES_MAX)
			return ERR_LIMIT;
		o->chunks = xrealloc(o->chunks, (o->chunk_count + 1) * sizeof *o->chunks);
		o->chunks[o->chunk_count++] = xmalloc(CHUNK);
		o->chunk_used = o->chunk_count == 1 ? 4 : 0;
	}
	char *to = o->chunks[o->chunk_count - 1] + o->chunk_used;
	uint16_t n = (uint16_t)rest.n;

	memcpy(to, &n, LENGTH_BYTES);
	memcpy(to + LENGTH_BYTES, rest.p, rest.n);
	*out = (uint32_t)(((o->chunk_count - 1) * CHUNK + o->chunk_used) / 4);
	o->chunk_used += need;
	return ERR_OK;
}

static struct str
rest_of(const struct order *o, uint32_t rest)
{
	size_t at = (size_t)rest * 4;
	const char *p = o->chunks[at / CHUNK] + at % CHUNK;
	uint16_t n;

	memcpy(&n, p, LENGTH_BYTES);
	return str_n(p + LENGTH_BYTES, n);
}

enum err
order_add(struct order *o, struct str key, uint32_t id)
{
	struct order_row row = { .id = id };
	unsigned char head[8] = { 0 };

	if (o->n == o->cap || key.n > ORDER_KEY_MAX)
		return ERR_LIMIT;
	memcpy(head, key.p, key.n < sizeof head ? key.n : sizeof head);
	memcpy(&row.head, head, sizeof head);
	row.head = be64toh(row.head);
	enum err e = ERR_OK;

	if (key.n > sizeof head)
		e = keep_rest(o, str_from(key, sizeof head), &row.rest);
	if (e == ERR_OK)
		o->rows[o->n++] = row;
	return e;
}

/* Does b come before a? */
static inline bool
before(const struct order *o, const struct order_row *b, const struct order_row *a)
{
	if (b->head != a->head || (a->rest | b->rest) == 0)
		return b->head < a->head;
	if (a->rest == 0 || b->rest == 0)
		return b->rest < a->rest;
	return str_cmp(rest_of(o, b->rest), rest_of(o, a->rest)) < 0;
}

/* The first runs, in place. */
static void
insert_run(struct order *o, size_t lo, size_t hi)
{
	struct order_row *r = o->rows;

	for (size_t i = lo + 1; i < hi; i++) {
		struct order_row x = r[i];
		size_t k = i;

		for (; k > lo && before(o, &x, &r[k - 1]); k--)
			r[k] = r[k - 1];
		r[k] = x;
	}
}

static size_t
at_most(size_t n, size_t max)
{
	return n < max ? n : max;
}

/* The pair of runs at lo: moves up to budget rows; true: the pair is merged. */
static bool
merge(struct order *o, size_t *budget)
{
	size_t mid = at_most(o->lo + o->width, o->n), hi = at_most(o->lo + 2 * o->width, o->n);
	const struct order_row *r = o->rows;

	/* what is in order already, or the other way round, is copied in one go */
	if (o->i == o->lo && o->j == mid && (mid == hi || !before(o, &r[mid], &r[mid - 1]))) {
		memcpy(o->other + o->lo, r + o->lo, (hi - o->lo) * sizeof *r);
		*budget -= at_most(*budget, (hi - o->lo) / 8);
		return true;
	}
	if (o->i == o->lo && o->j == mid && before(o, &r[hi - 1], &r[o->lo])) {
		memcpy(o->other + o->lo, r + mid, (hi - mid) * sizeof *r);
		memcpy(o->other + o->lo + (hi - mid), r + o->lo, (mid - o->lo) * sizeof *r);
		*budget -= at_most(*budget, (hi - o->lo) / 8);
		return true;
	}
	for (; o->k < hi && *budget != 0; o->k++, --*budget) {
		bool right = o->i == mid || (o->j < hi && before(o, &r[o->j], &r[o->i]));

		o->other[o->k] = right ? r[o->j++] : r[o->i++];
	}
	return o->k == hi;
}

static void
start_pair(struct order *o, size_t lo)
{
	o->lo = o->i = o->k = lo;
	o->j = at_most(lo + o->width, o->n);
}

static void
next_pass(struct order *o)
{
	struct order_row *t = o->rows;

	o->rows = o->other;
	o->other = t;
	o->width *= 2;
	start_pair(o, 0);
}

bool
order_step(struct order *o, size_t budget)
{
	if (o->other == NULL)
		o->other = xcalloc(o->cap != 0 ? o->cap : 1, sizeof *o->other);
	for (; o->width == 0 && budget != 0; o->lo += RUN) {
		if (o->lo >= o->n) {
			o->width = RUN;
			start_pair(o, 0);
			break;
		}
		insert_run(o, o->lo, at_most(o->lo + RUN, o->n));
		budget -= at_most(budget, RUN);
	}
	while (o->width != 0 && o->width < o->n && budget != 0) {
		if (!merge(o, &budget))
			break;
		start_pair(o, o->lo + 2 * o->width);
		if (o->lo >= o->n)
			next_pass(o);
	}
	return o->width != 0 && o->width >= o->n;
}
