/* Rows of many messages; see batch.h. Called by cmd_search.c, sort.c and thread_job.c. Invariant:
 * what is in items lives until batch_end. */
#include "imap/search/batch.h"

enum err
batch_begin(struct batch *b, struct imap_session *s, uint32_t from_uid)
{
	enum err e = rows_begin(&b->rows, s, from_uid);

	if (e != ERR_OK)
		return e;
	e = message_scan_begin(&b->scan, b->rows.txn);
	if (e != ERR_OK)
		rows_end(&b->rows);
	return e;
}

void
batch_end(struct batch *b)
{
	message_scan_end(&b->scan);
	rows_end(&b->rows);
}

void
batch_clear(struct batch *b)
{
	b->n = 0;
}

enum err
batch_add(struct batch *b, uint32_t uid)
{
	const struct entry *entry;
	enum err e = rows_get(&b->rows, uid, &entry);

	if (e != ERR_OK && e != ERR_NOTFOUND)
		return e;
	b->uids[b->n] = uid;
	b->missing[b->n] = e == ERR_NOTFOUND;
	b->ids[b->n] = 0;
	if (e == ERR_OK) {
		b->ids[b->n] = entry->msg;
		b->entries[b->n] = *entry;
	}
	b->n++;
	return ERR_OK;
}

enum err
batch_load(struct batch *b, enum message_part part)
{
	if (part == MESSAGE_NONE)
		return ERR_OK;
	enum err e = message_scan_some(&b->scan, b->ids, b->n, part, b->messages);

	for (size_t i = 0; e == ERR_OK && i < b->n; i++)
		b->missing[i] = b->messages[i].id == 0;
	return e;
}

enum err
batch_next(struct batch *b, struct walk *w, const struct uidset *set, enum message_part part)
{
	uint32_t uid;

	batch_clear(b);
	while (!batch_is_full(b) && walk_at(w, set, &uid)) {
		enum err e = batch_add(b, uid);

		if (e != ERR_OK)
			return e;
		walk_step(w, set);
	}
	return batch_load(b, part);
}
