/* One message's FETCH answer; see row.h. Called by cmd_fetch.c in a read step. Invariant: a row
 * that has begun is ended, or taken back as a whole, or the session is dead; what one step says of
 * it is bounded by its largest item. RFC 3501 7.4.2. */
#include "imap/fetch/row.h"

#include "core/mail/bodystructure.h"
#include "imap/session/objectid.h"
#include "imap/session/sync.h"
#include "imap/session/write.h"

enum { LOOK_ITEMS = 8, LOOK_BYTES = 32 * 1024, AHEAD_SUM_BYTES = 1024 * 1024 };

/* What a step needs of it. */
struct row {
	struct imap_session *s;
	struct cmd *c;
	struct fetch_state *st;
	struct fetch_row *it;
	struct rows *rows; /* NULL: none */
	const struct entry *entry;
	struct message msg;
};

static void
separate(struct row *r, struct buf *out)
{
	if (!r->it->first)
		buf_addc(out, ' ');
	r->it->first = false;
}

static void
write_number_item(struct row *r, const char *name, uint64_t n)
{
	struct buf *out = session_out(r->s);

	separate(r, out);
	buf_addz(out, name);
	write_number(out, n);
}

static void
write_flags_item(struct row *r)
{
	struct buf *out = session_out(r->s);

	separate(r, out);
	buf_add(out, STR("FLAGS "));
	write_flags(out, r->entry, session_recent(r->s, r->entry->uid), &r->rows->keywords);
}

static void
write_modseq_item(struct row *r)
{
	write_number_item(r, "MODSEQ (", r->entry->modseq);
	buf_addc(session_out(r->s), ')');
	session_tells_modseq(r->s, r->entry->modseq);
}

static enum err
write_text_item(struct row *r, enum fetch_kind kind)
{
	struct buf *out = session_out(r->s);
	struct str text;
	enum err e = kind == FETCH_ENVELOPE ? message_envelope(&r->msg, &text)
					    : message_bodystructure(&r->msg, &text);

	if (e != ERR_OK)
		return e;
	separate(r, out);
	if (kind == FETCH_BODY) {
		buf_add(out, STR("BODY "));
		return bodystructure_to_body(out, text);
	}
	buf_add(out, kind == FETCH_ENVELOPE ? STR("ENVELOPE ") : STR("BODYSTRUCTURE "));
	buf_add(out, text);
	return ERR_OK;
}

static enum err
write_preview_item(struct row *r)
{
	struct str text;
	enum err e = message_preview(&r->msg, &text);

	if (e != ERR_OK)
		return e;
	separate(r, session_out(r->s));
	buf_add(session_out(r->s), STR("PREVIEW "));
	write_string(session_out(r->s), text, (r->s->modes & (MODE_UTF8 | MODE_REV2)) != 0);
	return ERR_OK;
}

/* Its octets come behind the other items. */
static enum err
add_binary_item(struct row *r, size_t i)
{
	enum err e = binary_add(
		&r->st->binary, &r->c->a.fetch.items[i], &r->st->plans[i], &r->msg, r->entry->size);

	if (e != ERR_DENIED)
		return e;
	r->st->unknown_encoding = true;
	return ERR_OK;
}

static void
write_objectid_item(struct row *r, const char *name, char kind, uint64_t id)
{
	separate(r, session_out(r->s));
	buf_addz(session_out(r->s), name);
	write_objectid(session_out(r->s), kind, id);
}

static enum err
write_item(struct row *r, size_t i)
{
	const struct fetch_item *item = &r->c->a.fetch.items[i];
	struct buf *out = session_out(r->s);

	switch (item->kind) {
	case FETCH_UID:
		write_number_item(r, "UID ", r->entry->uid);
		return ERR_OK;
	case FETCH_FLAGS:
		write_flags_item(r);
		return ERR_OK;
	case FETCH_MODSEQ:
		write_modseq_item(r);
		return ERR_OK;
	case FETCH_INTERNALDATE:
		separate(r, out);
		buf_add(out, STR("INTERNALDATE "));
		write_internal_date(out, r->entry->internal_sec, r->entry->internal_zone_min);
		return ERR_OK;
	case FETCH_SIZE:
		write_number_item(r, "RFC822.SIZE ", r->entry->size);
		return ERR_OK;
	case FETCH_SAVEDATE:
		separate(r, out);
		buf_add(out, STR("SAVEDATE "));
		write_internal_date(out, r->entry->save_ms / 1000, 0);
		return ERR_OK;
	case FETCH_EMAILID:
		write_objectid_item(r, "EMAILID ", OBJECT_EMAIL, r->entry->msg);
		return ERR_OK;
	case FETCH_THREADID:
		write_objectid_item(r, "THREADID ", OBJECT_THREAD, r->msg.thread);
		return ERR_OK;
	case FETCH_PREVIEW:
		return write_preview_item(r);
	case FETCH_ENVELOPE:
	case FETCH_BODY:
	case FETCH_BODYSTRUCTURE:
		return write_text_item(r, item->kind);
	case FETCH_BINARY:
	case FETCH_BINARY_SIZE:
		return add_binary_item(r, i);
	case FETCH_SECTION:
	case FETCH_RFC822:
	case FETCH_RFC822_HEADER:
	case FETCH_RFC822_TEXT:
		separate(r, out);
		return section_write(r->s, item, &r->st->plans[i], &r->msg, &r->it->file);
	}
	return ERR_BUG;
}

/* UIDs that follow each other are neighbours in the view too. */
static uint32_t
seq_of(struct imap_session *s, struct fetch_state *st, uint32_t uid)
{
	bool next = st->last_seq != 0 && uid == st->last_uid + 1;

	st->last_seq = next ? st->last_seq + 1 : view_seq_of_uid(s->sel.view, uid);
	st->last_uid = uid;
	return st->last_seq;
}

static char *
put_item(char *p, enum fetch_kind kind, const struct entry *e, bool recent)
{
	if (kind == FETCH_UID)
		return put_number(put_str(p, STR("UID ")), e->uid);
	if (kind == FETCH_FLAGS)
		return put_system_flags(put_str(p, STR("FLAGS ")), e->flags, recent);
	if (kind == FETCH_SIZE)
		return put_number(put_str(p, STR("RFC822.SIZE ")), e->size);
	if (kind == FETCH_MODSEQ) {
		p = put_number(put_str(p, STR("MODSEQ (")), e->modseq);
		*p++ = ')';
		return p;
	}
	return put_internal_date(
		put_str(p, STR("INTERNALDATE ")), e->internal_sec, e->internal_zone_min);
}

/* A row of numbers, dates and system flags in one piece: most of what clients ask of a whole
 * mailbox. */
static enum err
write_plain_row(
	struct imap_session *s, struct cmd *c, struct fetch_state *st, const struct entry *entry)
{
	struct buf *out = session_out(s);
	char *begin = buf_reserve(out, (size_t)(PLAIN_ITEMS_MAX + 2) * PUT_MAX);
	char *p = begin;

	if (p == NULL)
		return ERR_LIMIT;
	bool by_uid = (s->modes & MODE_UIDONLY) != 0;

	p = put_number(put_str(p, STR("* ")), by_uid ? entry->uid : seq_of(s, st, entry->uid));
	p = put_str(p, by_uid ? STR(" UIDFETCH (") : STR(" FETCH ("));
	if (c->uid && !st->has_uid && !by_uid) {
		p = put_item(p, FETCH_UID, entry, false);
		*p++ = ' ';
	}
	for (size_t i = 0; i < c->a.fetch.items_count; i++) {
		p = put_item(p, c->a.fetch.items[i].kind, entry, session_recent(s, entry->uid));
		*p++ = ' ';
	}
	if (st->has_modseq)
		session_tells_modseq(s, entry->modseq);
	p[-1] = ')';
	p = put_str(p, STR("\r\n"));
	buf_commit(out, (size_t)(p - begin));
	return ERR_OK;
}

/* What the client did not ask for, of a message that got \Seen by this: RFC 7162 3.2.4. */
static void
write_seen_items(struct row *r)
{
	const struct fetch_state *st = r->st;
	bool modseq = (r->s->modes & MODE_CONDSTORE) != 0;

	if (!st->has_flags)
		write_flags_item(r);
	if (modseq && !st->has_uid && !r->c->uid)
		write_number_item(r, "UID ", r->entry->uid);
	if (modseq && !st->has_modseq)
		write_modseq_item(r);
}

/* ---- what cannot be given ---- */

static void
end_row(struct row *r)
{
	cold_forget(r->it->cold);
	r->it->cold = NULL;
	section_file_close(&r->it->file);
	if (binary_started(&r->st->binary) || binary_waiting(&r->st->binary))
		binary_end(&r->st->binary);
	r->it->active = r->it->left = false;
}

/* What of the row stands in the output from item_begin on is taken back, and what is before it too
 * when that has not left. A row with no item is none. */
static void
cut_row(struct row *r, size_t item_begin, bool first)
{
	struct buf *out = session_out(r->s);

	if (!r->it->left) {
		buf_truncate(out, r->it->begin);
		return;
	}
	buf_truncate(out, item_begin);
	r->it->first = first;
	if (first)
		write_number_item(r, "UID ", r->entry->uid);
	buf_add(out, STR(")\r\n"));
}

/* This message cannot be given; the others can. */
static void
fail_row(struct row *r, enum err e)
{
	r->st->gone |= e == ERR_NOTFOUND;
	r->st->damaged |= e == ERR_CORRUPT;
	r->st->failed |= e != ERR_NOTFOUND && e != ERR_CORRUPT;
	if (r->st->troubles_count++ < TROUBLES_LOGGED)
		cold_complain(r->s, r->entry->msg, e, r->it->file.code);
	end_row(r);
}

/* ---- the pool ---- */

static uint64_t
ahead_of(const struct fetch_state *st, const struct entry *entry)
{
	return entry->size < st->ahead_bytes ? entry->size : st->ahead_bytes;
}

static size_t
gather_ahead(struct row *r, struct cold_want *ahead)
{
	struct fetch_state *st = r->st;
	uint64_t sum = 0;
	uint32_t uid;
	size_t n = 0;

	if (walk_at(&st->ahead, &st->uids, &uid) && uid <= r->entry->uid) {
		st->ahead = st->walk;
		walk_step(&st->ahead, &st->uids);
	}
	while (n < COLD_AHEAD_MAX && sum < AHEAD_SUM_BYTES &&
		walk_at(&st->ahead, &st->uids, &uid)) {
		const struct entry *entry;
		enum err e = rows_get(r->rows, uid, &entry);

		if (e != ERR_OK && e != ERR_NOTFOUND)
			break;
		walk_step(&st->ahead, &st->uids);
		if (e == ERR_NOTFOUND)
			continue;
		uint64_t len = ahead_of(st, entry);

		ahead[n++] = (struct cold_want){ .msg = entry->msg, .fd = -1, .len = len };
		sum += len;
	}
	return n;
}

/* A row of which nothing has left is written anew when the file is in memory. */
static void
ask_pool(struct row *r)
{
	struct section_file *f = &r->it->file;
	struct cold_want ahead[COLD_AHEAD_MAX];
	struct cold_want want = { .msg = r->entry->msg,
		.fd = f->fd,
		.off = f->cold_off,
		.len = f->cold_len,
		.select = f->select,
		.negate = f->negate };
	size_t n = gather_ahead(r, ahead);

	if (want.fd < 0)
		want.len = ahead_of(r->st, r->entry);
	r->it->cold = cold_start(r->s, &want, ahead, n);
	f->selected = f->select != NULL;
	f->select = NULL;
}

/* ERR_BUSY: not yet; others: the file cannot be read. */
static enum err
take_cold(struct row *r)
{
	struct fetch_row *it = r->it;
	int fd;

	if (it->cold == NULL)
		return ERR_OK;
	if (!cold_is_over(it->cold))
		return ERR_BUSY;
	enum err e = cold_end(it->cold, &fd, &it->file.text, &it->file.code);

	it->cold = NULL;
	it->file.warm = e == ERR_OK && it->file.fd >= 0;
	it->file.rounds++;
	return fd >= 0 ? section_file_take(&it->file, fd, it->entry.size) : e;
}

/* ---- one row ---- */

static enum err
begin_row(struct row *r)
{
	struct fetch_row *it = r->it;
	enum err e = ERR_OK;

	if (r->st->needs_file && it->file.fd < 0)
		e = section_file_open(&it->file, r->s, r->entry->msg, r->entry->size);
	if (e != ERR_OK)
		return e;
	sync_row_begin(r->s, seq_of(r->s, r->st, r->entry->uid), r->entry->uid);
	if (r->c->uid && !r->st->has_uid && (r->s->modes & MODE_UIDONLY) == 0)
		write_number_item(r, "UID ", r->entry->uid);
	return ERR_OK;
}

/* There is more to come, and what was said just now may have taken long: a section of a message
 * with ten thousand parts is looked for among them. */
static bool
is_full(struct row *r, int64_t began)
{
	const struct fetch_item *last = &r->c->a.fetch.items[r->it->at - 1];
	size_t said = session_out(r->s)->n - (r->it->left ? 0 : r->it->begin);
	bool looks = last->section.path.n != 0 || said >= LOOK_BYTES || r->it->at % LOOK_ITEMS == 0;

	return looks && r->it->at < r->c->a.fetch.items_count && session_enough(r->s, began);
}

static enum err
write_items(struct row *r, int64_t began)
{
	struct fetch_row *it = r->it;
	const struct args_fetch *a = &r->c->a.fetch;
	enum err e = section_send(r->s, &it->file);

	while (e == ERR_OK && it->at < a->items_count) {
		size_t begin = session_out(r->s)->n;
		bool first = it->first;

		e = write_item(r, it->at);
		if (e != ERR_OK) {
			buf_truncate(session_out(r->s), begin);
			it->first = first;
			return e;
		}
		it->at++;
		if (it->file.left != 0) {
			it->left = true;
			e = section_send(r->s, &it->file);
		}
		if (e == ERR_OK && is_full(r, began))
			return ERR_AGAIN;
	}
	return e;
}

/* The end of a row, once its items are said. */
static enum err
write_end(struct row *r, int64_t began)
{
	struct fetch_state *st = r->st;
	struct fetch_row *it = r->it;
	struct buf *out = session_out(r->s);

	if (!binary_started(&st->binary)) {
		if (st->seen.n != 0 && uidset_has(&st->seen, r->entry->uid))
			write_seen_items(r);
		if (binary_waiting(&st->binary))
			binary_start(&st->binary, &it->file, r->entry->msg, it->first);
	}
	if (binary_started(&st->binary)) {
		enum err e = binary_step(&st->binary, r->s, began);

		it->first = st->binary.first;
		if (e != ERR_OK)
			return e;
	}
	/* its only items are in an unknown encoding */
	if (it->first)
		cut_row(r, out->n, true);
	else
		buf_add(out, STR(")\r\n"));
	end_row(r);
	return ERR_OK;
}

static enum err
go_on(struct row *r, int64_t began)
{
	struct fetch_row *it = r->it;
	enum err e = take_cold(r);

	if (e == ERR_OK && r->st->needs_message && it->at < r->c->a.fetch.items_count)
		e = message_get(r->rows->txn, r->entry->msg, &r->msg);
	if (e == ERR_OK && !it->left)
		e = begin_row(r);
	if (e == ERR_OK)
		e = write_items(r, began);
	if (e == ERR_OK)
		e = write_end(r, began);
	return e;
}

void
fetch_row_init(struct fetch_row *r)
{
	*r = (struct fetch_row){ .active = false };
	section_file_init(&r->file);
}

void
fetch_row_fini(struct fetch_row *r)
{
	cold_forget(r->cold);
	r->cold = NULL;
	section_file_close(&r->file);
}

/* Of what is promised nothing can be left out. */
static bool
owes_octets(const struct fetch_state *st)
{
	return st->row.file.left != 0 ||
	       (binary_started(&st->binary) && binary_promised(&st->binary));
}

static void
drop_row(struct row *r, enum err e)
{
	if (owes_octets(r->st)) {
		cold_complain(r->s, r->entry->msg, e, r->it->file.code);
		r->s->dead = true;
		return;
	}
	cut_row(r, session_out(r->s)->n, r->it->first);
	fail_row(r, e);
}

enum err
fetch_row_write(struct imap_session *s, struct cmd *c, struct fetch_state *st, struct rows *rows,
	const struct entry *entry, int64_t began)
{
	struct fetch_row *it = &st->row;
	struct row r = { .s = s, .c = c, .st = st, .it = it, .rows = rows, .entry = &it->entry };

	if (st->plain && entry->keywords == 0)
		return write_plain_row(s, c, st, entry);
	it->active = true;
	if (!it->left) {
		it->entry = *entry;
		it->begin = session_out(s)->n;
		it->at = 0;
		it->first = true;
	}
	enum err e = go_on(&r, began);

	if (e == ERR_OK)
		return ERR_OK;
	if (e == ERR_BUSY) {
		/* what was counted, or is selected, is not done again */
		it->left = it->left || binary_started(&st->binary) || it->file.select != NULL;
		if (!it->left) {
			buf_truncate(session_out(s), it->begin);
			binary_end(&st->binary);
		}
		if (it->cold == NULL)
			ask_pool(&r);
		return ERR_BUSY;
	}
	if (e == ERR_AGAIN) {
		it->left = true;
		return ERR_AGAIN;
	}
	drop_row(&r, e);
	return s->dead ? e : ERR_OK;
}

void
fetch_row_drop(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	struct row r = { .s = s, .c = c, .st = st, .it = &st->row, .entry = &st->row.entry };

	if (owes_octets(st)) {
		s->dead = true;
		return;
	}
	if (st->row.left)
		cut_row(&r, session_out(s)->n, st->row.first);
	end_row(&r);
}
