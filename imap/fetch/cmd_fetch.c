/* FETCH. Called by step.c through the table. Rows of entries and cached texts come from the
 * index alone; a message's file is opened only for BODY[...] beyond the kept header fields, and its
 * octets go from the file to the socket (section.c). \Seen is set first, by one update, so that
 * every row can say the flags as they are. RFC 3501 6.4.5, 7.4.2; RFC 7162 3.1.4. */
#include "core/base/clock.h"
#include "core/mail/bodystructure.h"
#include "imap/session/changed.h"
#include "imap/session/commands.h"
#include "imap/session/rows.h"
#include "imap/fetch/section.h"
#include "imap/session/write.h"
#include "imap/session/sync.h"

enum { LOOK_EVERY = 32, LOOK_LIGHT_EVERY = 512 };
enum { FETCH_BEGIN, FETCH_FILTER, FETCH_VANISHED, FETCH_MARKING, FETCH_ROWS };
enum { PLAIN_ITEMS_MAX = 8 };

struct fetch_state {
	struct uidset uids;
	struct uidset seen; /* got \Seen by this command */
	struct walk walk;
	struct walk look;	    /* for messages without \Seen */
	struct section_plan *plans; /* one an item */
	bool needs_message, needs_file, marks_seen, has_uid, has_flags, has_modseq;
	struct changed changed; /* CHANGEDSINCE */
	struct uidset asked;	/* VANISHED: as the client wrote it; then what of it is gone */
	size_t vanished_left;
	bool missing;
	bool plain;	   /* numbers, flags and dates only */
	uint32_t last_uid; /* and its sequence number: the next UID's is one more */
	uint32_t last_seq;
};

void
end_fetch(struct cmd *c)
{
	struct fetch_state *st = c->state;

	if (st == NULL)
		return;
	uidset_fini(&st->uids);
	uidset_fini(&st->seen);
	uidset_fini(&st->asked);
	changed_fini(&st->changed);
	c->state = NULL;
}

static enum err
plan(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	const struct args_fetch *a = &c->a.fetch;

	st->plans = arena_calloc(s->arena, a->items_count + 1, sizeof *st->plans);
	if (st->plans == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < a->items_count; i++) {
		const struct fetch_item *item = &a->items[i];
		enum err e = ERR_OK;

		switch (item->kind) {
		case FETCH_UID:
			st->has_uid = true;
			break;
		case FETCH_FLAGS:
			st->has_flags = true;
			break;
		case FETCH_MODSEQ:
			st->has_modseq = true;
			break;
		case FETCH_INTERNALDATE:
		case FETCH_SIZE:
			break;
		case FETCH_ENVELOPE:
		case FETCH_BODY:
		case FETCH_BODYSTRUCTURE:
			st->needs_message = true;
			break;
		case FETCH_SECTION:
		case FETCH_RFC822:
		case FETCH_RFC822_HEADER:
		case FETCH_RFC822_TEXT:
			e = section_plan(&st->plans[i], item, s->arena);
			st->needs_message |= st->plans[i].needs_message;
			st->needs_file |= st->plans[i].needs_file;
			st->marks_seen |= !item->peek && !s->sel.read_only;
			break;
		}
		if (e != ERR_OK)
			return e;
	}
	st->plain = !st->needs_message && !st->needs_file && a->items_count <= PLAIN_ITEMS_MAX;
	return ERR_OK;
}

/* ---- \Seen ---- */

static void
on_marked(void *arg, enum err e, const struct flags_result *r)
{
	struct imap_session *s = arg;
	struct cmd *c = s->cmd;
	struct fetch_state *st = c->state;

	c->op = NULL;
	c->op_err = e;
	if (e == ERR_OK && r->changed.n != 0) {
		uidset_copy(&st->seen, &r->changed);
		uidset_copy(&s->sel.told, &r->changed);
		s->sel.told_modseq = r->modseq;
	}
	session_resume(s);
}

/* ERR_EXISTS: at least one message lacks \Seen; ERR_AGAIN: the step is full. */
static enum err
look_for_unseen(struct imap_session *s, struct fetch_state *st)
{
	int64_t began = clock_us();
	struct walk *w = &st->look;
	struct rows r;
	uint32_t uid;

	if (!walk_at(w, &st->uids, &uid))
		return ERR_OK;
	enum err e = rows_begin(&r, s, uid);

	if (e != ERR_OK)
		return e;
	for (unsigned n = 1; e == ERR_OK && walk_at(w, &st->uids, &uid); n++) {
		const struct entry *entry;

		e = rows_get(&r, uid, &entry);
		if (e == ERR_NOTFOUND)
			e = ERR_OK;
		else if (e == ERR_OK && (entry->flags & FLAG_SEEN) == 0)
			e = ERR_EXISTS;
		walk_step(w, &st->uids);
		if (e == ERR_OK && n % LOOK_LIGHT_EVERY == 0 && session_enough(s, began))
			e = ERR_AGAIN;
	}
	rows_end(&r);
	return e;
}

static enum step
mark(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	enum err e = look_for_unseen(s, st);

	if (e == ERR_AGAIN)
		return STEP_MORE;
	c->phase = FETCH_ROWS;
	if (e == ERR_OK)
		return STEP_MORE;
	if (e != ERR_EXISTS)
		return cmd_fail(s, c, e);
	struct flags_args args = {
		.mailbox = view_mailbox(s->sel.view),
		.uids = &st->uids,
		.mode = FLAGS_ADD,
		.flags = FLAG_SEEN,
	};
	c->op = store_flags(s->home, &args, on_marked, s);
	return STEP_WAIT;
}

/* ---- rows ---- */

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
	case FETCH_ENVELOPE:
	case FETCH_BODY:
	case FETCH_BODYSTRUCTURE:
		return write_text_item(r, item->kind);
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

static enum err
write_row(struct imap_session *s, struct cmd *c, struct fetch_state *st, struct rows *rows,
	const struct entry *entry)
{
	if (st->plain && entry->keywords == 0)
		return write_plain_row(s, c, st, entry);
	struct row r = { .s = s, .c = c, .st = st, .rows = rows, .entry = entry, .first = true };
	struct buf *out = session_out(s);

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
	buf_add(out, STR(")\r\n"));
	/* a row of which a part has left cannot be taken back */
	if (e != ERR_OK && r.file.shared != NULL)
		s->dead = true;
	section_file_close(&r.file);
	return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
}

/* ERR_AGAIN: the step is full. */
static enum err
write_rows(struct imap_session *s, struct cmd *c, struct fetch_state *st, struct rows *rows)
{
	int64_t began = clock_us();
	unsigned look_every = st->needs_file ? 1 : st->needs_message ? 4 : LOOK_EVERY;
	uint32_t uid;

	for (unsigned n = 1; walk_at(&st->walk, &st->uids, &uid); n++) {
		const struct entry *entry;
		size_t before = session_out(s)->n;
		enum err e = rows_get(rows, uid, &entry);

		if (e == ERR_OK)
			e = write_row(s, c, st, rows, entry);
		if (e == ERR_NOTFOUND)
			st->missing = true;
		else if (e != ERR_OK) {
			if (session_out(s)->n >= before)
				buf_truncate(session_out(s), before);
			return e;
		}
		walk_step(&st->walk, &st->uids);
		if (n % look_every == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	return ERR_OK;
}

static enum step
fetch_rows(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	struct rows rows;
	uint32_t uid;

	if (walk_at(&st->walk, &st->uids, &uid)) {
		enum err e = rows_begin(&rows, s, uid);

		if (e == ERR_AGAIN)
			return STEP_MORE;
		if (e != ERR_OK)
			return cmd_fail(s, c, e);
		e = write_rows(s, c, st, &rows);
		rows_end(&rows);
		if (e == ERR_AGAIN)
			return STEP_MORE;
		if (e != ERR_OK)
			return cmd_fail(s, c, e);
	}
	if (st->missing && !c->uid)
		return cmd_no(c, "EXPUNGEISSUED", "Some of the messages no longer exist");
	return cmd_ok(c, "Fetched");
}

/* Before the set is cut down to what the view holds: "*" is the last UID that ever was. */
static enum err
ask_for_vanished(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	struct seq_set set = c->a.fetch.set;

	if (set.saved) {
		uidset_copy(&st->asked, &s->sel.saved);
		return ERR_OK;
	}
	set.r = arena_alloc(s->arena, set.n * sizeof *set.r);
	if (set.r == NULL)
		return ERR_LIMIT;
	memcpy(set.r, c->a.fetch.set.r, set.n * sizeof *set.r);
	seq_set_resolve(&set, view_uidnext(s->sel.view) - 1);
	for (size_t i = 0; i < set.n; i++)
		uidset_add(&st->asked, set.r[i].lo, set.r[i].hi);
	return ERR_OK;
}

static enum step
begin(struct imap_session *s, struct cmd *c)
{
	struct fetch_state *st = arena_calloc(s->arena, 1, sizeof *st);

	if (st == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	uidset_init(&st->uids);
	uidset_init(&st->seen);
	c->state = st;
	enum err e = plan(s, c, st);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	if (c->a.fetch.vanished && (!c->uid || (s->modes & MODE_QRESYNC) == 0))
		return cmd_bad(c, "VANISHED needs UID FETCH, and ENABLE QRESYNC before");
	if (c->a.fetch.vanished && ask_for_vanished(s, c, st) != ERR_OK)
		return cmd_fail(s, c, ERR_LIMIT);
	if (session_select_set(s, c, &c->a.fetch.set, &st->uids) != ERR_OK)
		return cmd_bad(c, "No such message");
	if (st->has_modseq)
		session_condstore(s);
	if (c->a.fetch.has_changed_since)
		changed_init(&st->changed, s, c->a.fetch.changed_since);
	c->phase = FETCH_FILTER;
	return STEP_MORE;
}

/* Leaves only what changed since; then \Seen is set on those alone. */
static enum step
filter(struct imap_session *s, struct cmd *c, struct fetch_state *st)
{
	if (c->a.fetch.has_changed_since) {
		enum err e = changed_filter(&st->changed, s, &st->uids);

		if (e == ERR_AGAIN)
			return STEP_MORE;
		if (e != ERR_OK)
			return cmd_fail(s, c, e);
	}
	if (c->a.fetch.vanished) {
		struct uidset gone = { 0 };

		changed_vanished(&st->changed, s->sel.view, &st->asked, &gone);
		uidset_fini(&st->asked);
		st->asked = gone;
		st->vanished_left = gone.n;
	}
	c->phase = FETCH_VANISHED;
	return STEP_MORE;
}

enum step
run_fetch(struct imap_session *s, struct cmd *c)
{
	struct fetch_state *st = c->state;

	if (c->op_err != ERR_OK)
		return cmd_fail(s, c, c->op_err);
	if (c->phase == FETCH_BEGIN) {
		enum step step = begin(s, c);

		st = c->state;
		if (step != STEP_MORE)
			return step;
	}
	if (c->phase == FETCH_FILTER) {
		enum step step = filter(s, c, st);

		if (c->phase == FETCH_FILTER)
			return step;
	}
	if (c->phase == FETCH_VANISHED) {
		if (sync_vanished(s, &st->asked, &st->vanished_left, true) == ERR_AGAIN)
			return STEP_MORE;
		c->phase = st->marks_seen && st->uids.n != 0 ? FETCH_MARKING : FETCH_ROWS;
	}
	if (c->phase == FETCH_MARKING)
		return mark(s, c, st);
	return fetch_rows(s, c, st);
}
