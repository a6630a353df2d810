/* One message's FETCH answer; see row.h. Called by cmd_fetch.c in a read step. Invariant: a row
 * that has begun is ended, or taken back as a whole, or the session is dead. RFC 3501 7.4.2. */
#include "imap/fetch/row.h"

#include "core/mail/bodystructure.h"
#include "imap/session/objectid.h"
#include "imap/session/sync.h"
#include "imap/session/write.h"

struct row {
	struct imap_session *s;
	struct cmd *c;
	struct fetch_state *st;
	struct rows *rows;
	const struct entry *entry;
	struct message msg;
	struct section_file file;
	bool first;
};

static void
separate(struct row *r, struct buf *out)
{
	if (!r->first)
		buf_addc(out, ' ');
	r->first = false;
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
		return section_write(r->s, item, &r->st->plans[i], &r->msg, &r->file);
	}
	return ERR_BUG;
}

/* What may fail for a message that is gone comes first: a row that has begun must end. */
static enum err
open_row(struct row *r)
{
	enum err e = ERR_OK;

	if (r->st->needs_message)
		e = message_get(r->rows->txn, r->entry->msg, &r->msg);
	if (e == ERR_OK && r->st->needs_file)
		e = section_file_open(&r->file, r->s->home, r->entry->msg, r->entry->size);
	return e;
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

enum err
fetch_row_write(struct imap_session *s, struct cmd *c, struct fetch_state *st, struct rows *rows,
	const struct entry *entry)
{
	if (st->plain && entry->keywords == 0)
		return write_plain_row(s, c, st, entry);
	struct row r = { .s = s, .c = c, .st = st, .rows = rows, .entry = entry, .first = true };
	struct buf *out = session_out(s);
	size_t before = out->n;

	section_file_init(&r.file);
	enum err e = open_row(&r);

	if (e != ERR_OK)
		return e;
	sync_row_begin(s, seq_of(s, st, entry->uid), entry->uid);
	if (c->uid && !st->has_uid && (s->modes & MODE_UIDONLY) == 0)
		write_number_item(&r, "UID ", entry->uid);
	for (size_t i = 0; e == ERR_OK && i < c->a.fetch.items_count; i++)
		e = write_item(&r, i);
	if (st->seen.n != 0 && uidset_has(&st->seen, entry->uid))
		write_seen_items(&r);
	/* a row of which a part has left cannot be taken back */
	if (e != ERR_OK && r.file.shared != NULL)
		s->dead = true;
	if (e == ERR_OK && binary_waiting(&st->binary))
		binary_start(&st->binary, &r.file, entry->msg, r.first);
	else if (e == ERR_OK && r.first)
		buf_truncate(out, before); /* its only items are in an unknown encoding */
	else
		buf_add(out, STR(")\r\n"));
	section_file_close(&r.file);
	return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
}
