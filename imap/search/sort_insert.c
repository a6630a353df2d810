/* A remembered order brought up to date; see sort_insert.h. Called by sort.c. Invariant: of equal
 * keys the lower UID comes first, as in an order that is made anew. */
#include "imap/search/sort_insert.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/store/message.h"

enum { LOOK_EVERY = 8192 };

void
sort_insert_init(struct sort_insert *t, struct recalled *known, const struct uidset *found,
	const struct order *fresh, const struct args_search *a)
{
	*t = (struct sort_insert){ .known = recalled_ref(known), .found = found, .fresh = fresh };
	t->count = (size_t)uidset_count(found);
	t->uids = xcalloc(t->count + 1, sizeof *t->uids);
	t->places = xcalloc(fresh->n + 1, sizeof *t->places);
	sortkey_init(&t->key, a->sort, a->sort_count);
	sortkey_init(&t->probe, a->sort, a->sort_count);
}

void
sort_insert_fini(struct sort_insert *t)
{
	if (t->known == NULL)
		return;
	recalled_unref(t->known);
	free(t->uids);
	free(t->places);
	sortkey_fini(&t->key);
	sortkey_fini(&t->probe);
	*t = (struct sort_insert){ .known = NULL };
}

/* Those of the remembered order that were found. */
static enum err
keep_found(struct sort_insert *t, struct imap_session *s, int64_t began)
{
	const struct recalled *w = t->known;
	size_t kept_max = t->count - t->fresh->n;

	while (t->at < w->n) {
		uint32_t uid = w->v[t->at++];

		if (t->kept < kept_max && uidset_has(t->found, uid))
			t->uids[t->kept++] = uid;
		if (t->at % LOOK_EVERY == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	/* what is neither known nor fresh went between two steps */
	return t->kept == kept_max ? ERR_OK : ERR_NOTFOUND;
}

static enum err
load_key(struct sortkey *k, struct txn *txn, struct message_scan *scan, uint32_t mailbox,
	uint32_t uid)
{
	struct entry entry;
	struct message m;
	enum err e = entry_get(txn, mailbox, uid, &entry);

	if (e == ERR_OK && k->part != MESSAGE_NONE)
		e = message_scan_get(scan, entry.msg, &m);
	return e == ERR_OK ? sortkey_make(k, &entry, &m) : e;
}

/* Behind the place of the one before, as the fresh ones are in order. */
static enum err
place(struct sort_insert *t, struct txn *txn, struct message_scan *scan, uint32_t mailbox)
{
	uint32_t uid = t->fresh->rows[t->placed].id;
	size_t lo = t->placed != 0 ? t->places[t->placed - 1] : 0, hi = t->kept;
	enum err e = load_key(&t->key, txn, scan, mailbox, uid);

	while (e == ERR_OK && lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		e = load_key(&t->probe, txn, scan, mailbox, t->uids[mid]);
		if (e != ERR_OK)
			break;
		int diff = str_cmp(buf_str(&t->probe.key), buf_str(&t->key.key));

		if (diff < 0 || (diff == 0 && t->uids[mid] < uid))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (e == ERR_OK)
		t->places[t->placed++] = (uint32_t)lo;
	return e;
}

static enum err
place_some(struct sort_insert *t, struct imap_session *s, int64_t began)
{
	uint32_t mailbox = view_mailbox(s->sel.view);
	struct message_scan scan;
	struct txn *txn;

	if (t->placed == t->fresh->n)
		return ERR_OK;
	enum err e = session_read(s, &txn);

	if (e != ERR_OK)
		return e;
	e = message_scan_begin(&scan, txn);
	if (e == ERR_OK) {
		while (e == ERR_OK && t->placed < t->fresh->n) {
			e = place(t, txn, &scan, mailbox);
			if (e == ERR_OK && t->placed < t->fresh->n && session_enough(s, began))
				e = ERR_AGAIN;
		}
		message_scan_end(&scan);
	}
	store_read_end(txn);
	return e;
}

enum err
sort_insert_run(struct sort_insert *t, struct imap_session *s)
{
	int64_t began = clock_us();
	enum err e = keep_found(t, s, began);

	if (e == ERR_OK)
		e = place_some(t, s, began);
	if (e != ERR_OK)
		return e;
	/* from behind, so that all are moved once */
	for (size_t i = t->fresh->n, end = t->kept; i-- != 0;) {
		size_t from = t->places[i];

		memmove(t->uids + from + i + 1, t->uids + from, (end - from) * sizeof *t->uids);
		t->uids[from + i] = t->fresh->rows[i].id;
		end = from;
	}
	return ERR_OK;
}
