/* FETCH's PARTIAL; see partial.h. Called by cmd_fetch.c when the set of messages is known.
 * Invariant: the set only grows smaller, its order stays. */
#include "imap/fetch/partial.h"

void
partial_keep(struct uidset *set, const struct partial_range *p)
{
	struct uidset kept;
	uint64_t total = uidset_count(set), before = 0;
	uint64_t hi = p->hi < total ? p->hi : total, lo = p->lo;

	uidset_init(&kept);
	if (lo <= total && p->from_end) {
		uint64_t first = total - hi + 1;

		hi = total - lo + 1;
		lo = first;
	}
	for (size_t i = 0; i < set->n && lo <= hi; i++) {
		const struct uid_range *r = &set->v[i];
		uint64_t n = (uint64_t)r->hi - r->lo + 1;
		uint64_t from = lo > before ? lo - before - 1 : 0;
		uint64_t until = hi > before ? hi - before : 0;

		if (until > n)
			until = n;
		if (from < until)
			uidset_add(&kept, r->lo + (uint32_t)from, r->lo + (uint32_t)until - 1);
		before += n;
	}
	uidset_fini(set);
	*set = kept;
}
