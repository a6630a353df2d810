/* Entries by ascending UID in one read step; see rows.h. Invariant: the scan only moves forward,
 * next by next where the UIDs lie close, by a seek where they do not. */
#include "imap/session/rows.h"

enum { SEEK_AFTER = 16 }; /* entries that are cheaper to pass than to search */

enum err
rows_begin(struct rows *r, struct imap_session *s, uint32_t from_uid)
{
	uint32_t mailbox = view_mailbox(s->sel.view);

	r->have = r->ended = false;
	enum err e = session_read(s, &r->txn);

	if (e != ERR_OK)
		return e;
	e = keywords_get(r->txn, mailbox, &r->keywords);
	if (e == ERR_OK)
		e = entry_scan_begin(&r->scan, r->txn, mailbox, from_uid);
	if (e != ERR_OK)
		store_read_end(r->txn);
	return e;
}

void
rows_end(struct rows *r)
{
	entry_scan_end(&r->scan);
	store_read_end(r->txn);
}

static enum err
advance(struct rows *r, uint32_t uid)
{
	bool far = r->have && uid - r->entry.uid > SEEK_AFTER;
	enum err e = far ? entry_scan_seek(&r->scan, uid, &r->entry)
			 : entry_scan_next(&r->scan, &r->entry);

	r->have = e == ERR_OK;
	r->ended = e == ERR_EOF;
	return e == ERR_EOF ? ERR_NOTFOUND : e;
}

enum err
rows_get(struct rows *r, uint32_t uid, const struct entry **out)
{
	if (r->ended)
		return ERR_NOTFOUND;
	while (!r->have || r->entry.uid < uid) {
		enum err e = advance(r, uid);

		if (e != ERR_OK)
			return e;
	}
	*out = &r->entry;
	return r->entry.uid == uid ? ERR_OK : ERR_NOTFOUND;
}

bool
walk_at(struct walk *w, const struct uidset *set, uint32_t *uid_out)
{
	if (w->range >= set->n)
		return false;
	if (w->uid == 0)
		w->uid = set->v[w->range].lo;
	*uid_out = w->uid;
	return true;
}

void
walk_step(struct walk *w, const struct uidset *set)
{
	if (w->uid != set->v[w->range].hi) {
		w->uid++;
		return;
	}
	w->range++;
	w->uid = 0;
}
