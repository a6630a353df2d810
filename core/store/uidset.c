/* Sets of UIDs as sorted ranges; see uidset.h. Pure data, any thread. */
#include "core/store/uidset.h"

#include <stdlib.h>

#include "core/base/xalloc.h"

void
uidset_init(struct uidset *s)
{
	*s = (struct uidset){ 0 };
}

void
uidset_fini(struct uidset *s)
{
	free(s->v);
	uidset_init(s);
}

void
uidset_reset(struct uidset *s)
{
	s->n = 0;
}

/* Index of the first range that ends at uid or behind it. */
static size_t
find(const struct uidset *s, uint32_t uid)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid].hi < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
replace(struct uidset *s, size_t at, size_t drop, const struct uid_range *with, size_t count)
{
	size_t n = s->n - drop + count;

	if (n > s->cap) {
		s->cap = n > 8 ? n + n / 2 : 8;
		s->v = xrealloc(s->v, s->cap * sizeof *s->v);
	}
	if (drop != count)
		memmove(s->v + at + count, s->v + at + drop, (s->n - at - drop) * sizeof *s->v);
	if (count > 0)
		memcpy(s->v + at, with, count * sizeof *s->v);
	s->n = n;
}

void
uidset_add(struct uidset *s, uint32_t lo, uint32_t hi)
{
	if (lo > hi) {
		uint32_t swap = lo;

		lo = hi;
		hi = swap;
	}
	if (s->n > 0 && lo > s->v[s->n - 1].hi) {
		if (lo == s->v[s->n - 1].hi + 1)
			s->v[s->n - 1].hi = hi;
		else
			replace(s, s->n, 0, &(struct uid_range){ lo, hi }, 1);
		return;
	}
	/* Ranges that touch lo..hi grow into one. */
	size_t from = find(s, lo > 0 ? lo - 1 : 0), to = from;

	for (; to < s->n && (hi == UINT32_MAX || s->v[to].lo <= hi + 1); to++) {
		if (s->v[to].lo < lo)
			lo = s->v[to].lo;
		if (s->v[to].hi > hi)
			hi = s->v[to].hi;
	}
	replace(s, from, to - from, &(struct uid_range){ lo, hi }, 1);
}

void
uidset_copy(struct uidset *to, const struct uidset *from)
{
	uidset_reset(to);
	replace(to, 0, 0, from->v, from->n);
}

bool
uidset_equal(const struct uidset *a, const struct uidset *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->v, b->v, a->n * sizeof *a->v) == 0);
}

bool
uidset_has(const struct uidset *s, uint32_t uid)
{
	size_t i = find(s, uid);

	return i < s->n && s->v[i].lo <= uid;
}

uint64_t
uidset_count(const struct uidset *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += (uint64_t)s->v[i].hi - s->v[i].lo + 1;
	return n;
}

bool
uidset_next(const struct uidset *s, uint32_t from, uint32_t *uid_out)
{
	size_t i = find(s, from);

	if (i == s->n)
		return false;
	*uid_out = s->v[i].lo > from ? s->v[i].lo : from;
	return true;
}

void
uidset_remove(struct uidset *s, uint32_t lo, uint32_t hi)
{
	struct uid_range left[2];
	size_t from = find(s, lo), to = from, n = 0;

	for (; to < s->n && s->v[to].lo <= hi; to++) {
		if (s->v[to].lo < lo)
			left[n++] = (struct uid_range){ s->v[to].lo, lo - 1 };
		if (s->v[to].hi > hi)
			left[n++] = (struct uid_range){ hi + 1, s->v[to].hi };
	}
	if (to > from)
		replace(s, from, to - from, left, n);
}

void
uidset_add_word(struct uidset *s, uint32_t base, uint64_t word)
{
	while (word != 0) {
		uint32_t first = (uint32_t)__builtin_ctzll(word);
		uint64_t gap = ~(word >> first);
		uint32_t n = gap != 0 ? (uint32_t)__builtin_ctzll(gap) : 64;

		uidset_add(s, base + first, base + first + n - 1);
		word = first + n < 64 ? word & ~(uint64_t)0 << (first + n) : 0;
	}
}

void
uidset_intersect(const struct uidset *a, const struct uidset *b, struct uidset *out)
{
	uidset_reset(out);
	for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
		uint32_t lo = a->v[i].lo > b->v[j].lo ? a->v[i].lo : b->v[j].lo;
		uint32_t hi = a->v[i].hi < b->v[j].hi ? a->v[i].hi : b->v[j].hi;

		if (lo <= hi)
			uidset_add(out, lo, hi);
		if (a->v[i].hi < b->v[j].hi)
			i++;
		else
			j++;
	}
}

void
uidset_subtract(const struct uidset *a, const struct uidset *b, struct uidset *out)
{
	size_t j = 0;

	uidset_reset(out);
	for (size_t i = 0; i < a->n; i++) {
		uint64_t lo = a->v[i].lo, hi = a->v[i].hi;

		while (j < b->n && b->v[j].hi < lo)
			j++;
		/* the last range of b that is touched may go on into a's next */
		for (size_t k = j; lo <= hi && k < b->n && b->v[k].lo <= hi; k++) {
			if (b->v[k].lo > lo)
				uidset_add(out, (uint32_t)lo, b->v[k].lo - 1);
			lo = (uint64_t)b->v[k].hi + 1;
			j = k;
		}
		if (lo <= hi)
			uidset_add(out, (uint32_t)lo, (uint32_t)hi);
	}
}

void
uidset_format(const struct uidset *s, struct buf *out)
{
	for (size_t i = 0; i < s->n; i++) {
		if (i > 0)
			buf_addc(out, ',');
		buf_addu(out, s->v[i].lo);
		if (s->v[i].hi != s->v[i].lo) {
			buf_addc(out, ':');
			buf_addu(out, s->v[i].hi);
		}
	}
}
