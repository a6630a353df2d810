/* What a client knows of flags already; see told.h. Called by STORE, FETCH and sync.c. Invariant: a
 * part's modseq is one that the mailbox had before the part's flags were told. */
#include "imap/session/told.h"

#include <stdlib.h>

#include "core/base/xalloc.h"

void
told_fini(struct told_flags *t)
{
	uidset_fini(&t->uids);
	free(t->parts);
	*t = (struct told_flags){ 0 };
}

void
told_reset(struct told_flags *t)
{
	uidset_reset(&t->uids);
	t->n = 0;
}

void
told_set(struct told_flags *t, const struct uidset *uids, uint64_t modseq)
{
	told_reset(t);
	uidset_copy(&t->uids, uids);
	told_part(t, UINT32_MAX, modseq, true);
}

void
told_part(struct told_flags *t, uint32_t below, uint64_t modseq, bool alone)
{
	/* what was told before is as current as this part is */
	if (t->n == 0 || !alone) {
		if (t->n == t->cap) {
			t->cap = t->cap != 0 ? t->cap * 2 : 1;
			t->parts = xrealloc(t->parts, t->cap * sizeof *t->parts);
		}
		t->n++;
	}
	t->parts[t->n - 1] = (struct told_part){ below, modseq };
}

bool
told_has(const struct told_flags *t, uint32_t uid, uint64_t modseq)
{
	size_t i = 0;

	while (i < t->n && t->parts[i].below <= uid)
		i++;
	return i < t->n && modseq <= t->parts[i].modseq && uidset_has(&t->uids, uid);
}

bool
told_current(const struct told_flags *t, uint64_t modseq)
{
	return t->n == 1 && t->parts[0].below == UINT32_MAX && t->parts[0].modseq == modseq;
}
