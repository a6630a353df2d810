#ifndef POSTROOM_STORE_UIDSET_H
#define POSTROOM_STORE_UIDSET_H

#include "core/base/buf.h"

/* A set of UIDs (or sequence numbers) as sorted ranges that do not touch. 0 is no UID. */
struct uid_range {
	uint32_t lo, hi; /* both in the set, lo <= hi */
};
struct uidset {
	struct uid_range *v;
	size_t n, cap;
};

/* Empty: { 0 } is also a valid empty set. */
void
uidset_init(struct uidset *s);
void
uidset_fini(struct uidset *s);
void
uidset_reset(struct uidset *s);
/* In any order; ascending is O(1), else a memmove. lo and hi may be swapped. */
void
uidset_add(struct uidset *s, uint32_t lo, uint32_t hi);
void
uidset_copy(struct uidset *to, const struct uidset *from);
bool
uidset_equal(const struct uidset *a, const struct uidset *b);
bool
uidset_has(const struct uidset *s, uint32_t uid);
/* Number of UIDs in the set. */
uint64_t
uidset_count(const struct uidset *s);
/* The smallest member >= from; false when there is none. */
bool
uidset_next(const struct uidset *s, uint32_t from, uint32_t *uid_out);
/* Drops lo..hi from the set. */
void
uidset_remove(struct uidset *s, uint32_t lo, uint32_t hi);
/* The members of 64 UIDs from base on: bit n is base + n. */
void
uidset_add_word(struct uidset *s, uint32_t base, uint64_t word);
/* What is in both; what is in a and not in b. out (another set) is reset first. Linear. */
void
uidset_intersect(const struct uidset *a, const struct uidset *b, struct uidset *out);
void
uidset_subtract(const struct uidset *a, const struct uidset *b, struct uidset *out);
/* "1:3,7,9:12", as RFC 3501's sequence-set; appended. */
void
uidset_format(const struct uidset *s, struct buf *out);

#endif
