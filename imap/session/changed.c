/* What changed since a modseq, for one session; see changed.h. Called by FETCH and SELECT.
 * Invariant: no step reads more than its share, whatever the change table or the mailbox holds. */
#include "imap/session/changed.h"

#include "core/base/clock.h"

enum { LOOK_EVERY = 512 };

void
changed_init(struct changed *c, struct imap_session *s, uint64_t after)
{
	*c = (struct changed){ .after = after };
	since_init(&c->since, view_mailbox(s->sel.view), after);
}

void
changed_fini(struct changed *c)
{
	since_fini(&c->since);
	uidset_fini(&c->kept);
}

static enum err
gather(struct changed *c, struct imap_session *s)
{
	int64_t began = clock_us();
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	do
		e = since_step(&c->since, t);
	while (e == ERR_AGAIN && !session_enough(s, began));
	store_read_end(t);
	return e;
}

static void
take_uids(struct uidset *uids, struct uidset *from)
{
	uidset_fini(uids);
	*uids = *from;
	uidset_init(from);
}

static void
filter_by_table(struct changed *c, struct uidset *uids)
{
	struct uidset all = { 0 };

	if (c->since.new_from > 1)
		uidbits_select(&c->since.changed, 1, c->since.new_from - 1, &all);
	uidset_add(&all, c->since.new_from, UINT32_MAX);
	uidset_intersect(uids, &all, &c->kept);
	uidset_fini(&all);
	take_uids(uids, &c->kept);
}

static enum err
scan_rows(struct changed *c, struct imap_session *s, const struct uidset *uids, struct rows *r)
{
	int64_t began = clock_us();
	uint32_t uid;

	for (unsigned n = 1; walk_at(&c->walk, uids, &uid); n++) {
		const struct entry *entry;
		enum err e = rows_get(r, uid, &entry);

		if (e == ERR_OK && entry->modseq > c->after)
			uidset_add(&c->kept, uid, uid);
		if (e != ERR_OK && e != ERR_NOTFOUND)
			return e;
		walk_step(&c->walk, uids);
		if (n % LOOK_EVERY == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	return ERR_OK;
}

static enum err
filter_by_scan(struct changed *c, struct imap_session *s, struct uidset *uids)
{
	struct rows r;
	uint32_t uid;
	enum err e = ERR_OK;

	if (walk_at(&c->walk, uids, &uid)) {
		e = rows_begin(&r, s, uid);
		if (e != ERR_OK)
			return e;
		e = scan_rows(c, s, uids, &r);
		rows_end(&r);
	}
	if (e == ERR_OK)
		take_uids(uids, &c->kept);
	return e;
}

enum err
changed_filter(struct changed *c, struct imap_session *s, struct uidset *uids)
{
	if (!c->gathered) {
		enum err e = gather(c, s);

		if (e != ERR_OK)
			return e;
		c->gathered = true;
		if (c->since.forgotten)
			return ERR_AGAIN;
	}
	if (c->since.forgotten)
		return filter_by_scan(c, s, uids);
	filter_by_table(c, uids);
	return ERR_OK;
}

void
changed_vanished(const struct changed *c, const struct view *v, const struct uidset *asked,
	struct uidset *out)
{
	struct uidset could = { 0 }, here = { 0 }, gone = { 0 };
	uint32_t last = view_uidnext(v) - 1;

	if (last != 0)
		uidset_add(&could, 1, last);
	uidset_intersect(asked, &could, &gone);
	if (!c->since.forgotten) {
		uidset_reset(&could);
		uidbits_select(&c->since.expunged, 1, last, &could);
		uidset_intersect(asked, &could, &gone);
	}
	view_select_uids(v, &gone, &here);
	uidset_subtract(&gone, &here, out);
	uidset_fini(&could);
	uidset_fini(&here);
	uidset_fini(&gone);
}
