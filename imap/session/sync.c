/* What a client is told when a command ends or in IDLE: EXPUNGE or VANISHED, EXISTS, RECENT and
 * changed FLAGS, from the view it knows to the mailbox as it is. Called by step.c. Invariant: the
 * session's view moves exactly when all that differs was said, so sequence numbers mean the same on
 * both sides, and the view's modseq is one that the client may keep. RFC 3501 7.4.1, 5.2;
 * RFC 7162 3.2.10, 6; RFC 9586 3.3, 3.4. */
#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "imap/session/notify.h"
#include "imap/session/write.h"
#include "imap/session/sync.h"

enum { PHASE_GATHER, PHASE_EXPUNGE, PHASE_FLAGS };
enum { LOOK_EVERY = 64 };	/* messages between two looks at the clock */
enum { VANISHED_RANGES = 500 }; /* a line: some 8,000 octets, as RFC 7162 4 would have it */

void
sync_end(struct imap_session *s)
{
	struct sync *y = &s->sync;

	if (!y->active)
		return;
	view_unref(y->new);
	view_diff_fini(&y->diff);
	since_fini(&y->since);
	uidset_fini(&y->changed);
	*y = (struct sync){ .active = false };
}

void
sync_give_up(struct imap_session *s)
{
	const struct sync *y = &s->sync;
	bool spoke = y->phase == PHASE_FLAGS || y->range != y->diff.expunged.n || y->uid != 0;

	/* half of it said cannot be taken back, and the other half would be lost */
	if (y->active && spoke)
		session_bye(s, "[UNAVAILABLE] Mail store is not available now");
	sync_end(s);
}

static void
write_keywords(struct buf *out, const struct keywords *k)
{
	for (unsigned i = 0; i < k->count; i++) {
		if (k->name[i].n == 0)
			continue;
		buf_addc(out, ' ');
		buf_add(out, k->name[i]);
	}
}

enum err
sync_keywords(struct imap_session *s, struct txn *t, bool force)
{
	struct keywords k;
	struct buf *out = session_out(s);
	unsigned n = 0;
	enum err e = keywords_get(t, view_mailbox(s->sel.view), &k);

	if (e != ERR_OK)
		return e;
	for (unsigned i = 0; i < k.count; i++)
		n += k.name[i].n != 0;
	if (n == s->sel.keywords && !force)
		return ERR_OK;
	s->sel.keywords = n;
	buf_addz(out, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft");
	write_keywords(out, &k);
	buf_addz(out, ")\r\n* OK [PERMANENTFLAGS (");
	if (!s->sel.read_only) {
		buf_addz(out, "\\Answered \\Flagged \\Deleted \\Seen \\Draft");
		write_keywords(out, &k);
		if (n < KEYWORD_MAX)
			buf_addz(out, " \\*");
	}
	buf_addz(out, ")] Flags that stay\r\n");
	return ERR_OK;
}

/* What went stays in the view, until it may be told. */
static void
keep_expunged(struct imap_session *s)
{
	struct sync *y = &s->sync;
	struct view *now = y->new;

	y->held_modseq = view_modseq(now);
	y->new = view_join(s->sel.view, now);
	view_unref(now);
	uidset_reset(&y->diff.expunged);
}

enum err
sync_begin(struct imap_session *s, bool allow_expunge)
{
	struct sync *y = &s->sync;
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	view_diff_init(&y->diff);
	e = view_refresh(t, s->sel.view, &y->new, &y->diff);
	bool held = e == ERR_OK && !allow_expunge && y->diff.expunged.n != 0;

	/* the size is told all the same: RFC 3501 5.2; unasked the flags too: RFC 5465 6.1.2. After
	 * a command they wait, or each of many would look at all that changed, and tell it again */
	if (held)
		keep_expunged(s);
	if (e == ERR_OK)
		e = sync_keywords(s, t, false);
	store_read_end(t);
	if (e != ERR_OK) {
		view_unref(y->new);
		view_diff_fini(&y->diff);
		*y = (struct sync){ .active = false };
		return e;
	}
	y->active = true;
	y->range = y->diff.expunged.n;
	y->flags = notify_wants_flags(s, s->cmd) && !(held && s->cmd != NULL);
	bool same = y->new == s->sel.view && s->sel.held_modseq == 0;

	y->phase = same || !y->flags ? PHASE_EXPUNGE : PHASE_GATHER;
	since_init(&y->since, view_mailbox(y->new), session_known_modseq(s));
	y->since.rows_only = true;
	/* with NOTIFY the rest is told when the command has ended */
	s->sel.dirty = held && s->cmd != NULL;
	return ERR_OK;
}

/* Which messages' flags to look at. */
static enum err
gather(struct imap_session *s, int64_t began)
{
	struct sync *y = &s->sync;
	struct uidset all = { 0 }, known = { 0 };
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	do
		e = since_step(&y->since, t);
	while (e == ERR_AGAIN && !session_enough(s, began));
	store_read_end(t);
	if (e != ERR_OK)
		return e;
	/* beyond the change table each entry tells by itself */
	if (y->since.forgotten)
		uidset_add(&all, 1, UINT32_MAX);
	else
		uidbits_select(&y->since.changed, 1, UINT32_MAX, &all);
	view_select_uids(s->sel.view, &all, &known);
	view_select_uids(y->new, &known, &y->changed);
	/* nobody changed anything since: no need to look at each of them */
	if (told_current(&s->sel.told, view_modseq(y->new))) {
		uidset_subtract(&y->changed, &s->sel.told.uids, &all);
		uidset_copy(&y->changed, &all);
	}
	uidset_fini(&all);
	uidset_fini(&known);
	since_fini(&y->since);
	y->phase = PHASE_EXPUNGE;
	return ERR_OK;
}

enum err
sync_vanished(struct imap_session *s, const struct uidset *set, size_t *left, bool earlier)
{
	struct buf *out = session_out(s);
	int64_t began = clock_us();

	while (*left != 0) {
		size_t n = *left < VANISHED_RANGES ? *left : VANISHED_RANGES;
		struct uidset part = { .v = set->v + (*left - n), .n = n };

		buf_addz(out, earlier ? "* VANISHED (EARLIER) " : "* VANISHED ");
		uidset_format(&part, out);
		buf_addz(out, "\r\n");
		*left -= n;
		if (*left != 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	return ERR_OK;
}

static void
write_expunge(struct buf *out, uint32_t seq)
{
	char tmp[PUT_MAX];
	char *p = put_str(put_number(put_str(tmp, STR("* ")), seq), STR(" EXPUNGE\r\n"));

	buf_add(out, str_n(tmp, (size_t)(p - tmp)));
}

/* From the highest number down, so that none of those still to come changes. */
static enum err
say_expunges(struct imap_session *s, int64_t began)
{
	struct sync *y = &s->sync;
	struct buf *out = session_out(s);
	unsigned n = 0;

	if ((s->modes & (MODE_QRESYNC | MODE_UIDONLY)) != 0)
		return sync_vanished(s, &y->diff.expunged, &y->range, false);
	while (y->range != 0) {
		const struct uid_range *r = &y->diff.expunged.v[y->range - 1];

		if (y->uid == 0)
			y->uid = r->hi;
		/* the members of a range are neighbours in the view too */
		uint32_t seq = view_seq_of_uid(s->sel.view, y->uid);

		for (; y->uid >= r->lo; y->uid--) {
			if (++n % LOOK_EVERY == 0 && session_enough(s, began))
				return ERR_AGAIN;
			write_expunge(out, seq--);
		}
		y->uid = 0;
		y->range--;
	}
	return ERR_OK;
}

static void
say_exists(struct imap_session *s)
{
	struct sync *y = &s->sync;
	struct selected *sel = &s->sel;
	struct buf *out = session_out(s);
	uint32_t count = view_count(y->new);
	uint32_t recent = count - view_rank(y->new, sel->recent_from);

	if (y->diff.arrived.n != 0) {
		buf_addz(out, "* ");
		write_number(out, count);
		buf_addz(out, " EXISTS\r\n");
	}
	bool told = y->diff.arrived.n != 0 || recent != sel->told_recent;

	if (told && (s->modes & MODE_REV2) == 0) {
		buf_addz(out, "* ");
		write_number(out, recent);
		buf_addz(out, " RECENT\r\n");
	}
	sel->told_recent = recent;
}

void
sync_row_begin(struct imap_session *s, uint32_t seq, uint32_t uid)
{
	struct buf *out = session_out(s);

	if ((s->modes & MODE_UIDONLY) == 0) {
		write_fetch_begin(out, seq);
		return;
	}
	buf_addz(out, "* ");
	write_number(out, uid);
	buf_addz(out, " UIDFETCH (");
}

/* With system flags only it is made in one piece: a STORE tells of 100,000. */
static char *
put_flags(char *p, const struct entry *e, bool recent)
{
	return put_system_flags(put_str(p, STR("FLAGS ")), e->flags, recent);
}

void
sync_tell(struct imap_session *s, uint32_t seq, const struct entry *entry, const struct keywords *k,
	unsigned items)
{
	struct buf *out = session_out(s);
	bool modseq = (s->modes & MODE_CONDSTORE) != 0;
	bool by_uid = (s->modes & MODE_UIDONLY) != 0;
	bool recent = session_recent(s, entry->uid);
	char tmp[PUT_MAX * 2];
	char *p = put_number(put_str(tmp, STR("* ")), by_uid ? entry->uid : seq);

	p = put_str(p, by_uid ? STR(" UIDFETCH (") : STR(" FETCH ("));
	if (((items & TELL_UID) != 0 || modseq) && !by_uid) {
		p = put_number(put_str(p, STR("UID ")), entry->uid);
		*p++ = ' ';
	}
	if ((items & TELL_FLAGS) != 0 && entry->keywords == 0) {
		p = put_flags(p, entry, recent);
	} else if ((items & TELL_FLAGS) != 0) {
		buf_add(out, str_n(tmp, (size_t)(p - tmp)));
		buf_addz(out, "FLAGS ");
		write_flags(out, entry, recent, k);
		p = tmp;
	}
	if (modseq) {
		p = put_str(p, (items & TELL_FLAGS) != 0 ? STR(" MODSEQ (") : STR("MODSEQ ("));
		p = put_number(p, entry->modseq);
		*p++ = ')';
		session_tells_modseq(s, entry->modseq);
	}
	p = put_str(p, STR(")\r\n"));
	buf_add(out, str_n(tmp, (size_t)(p - tmp)));
}

bool
sync_highest_due(const struct imap_session *s)
{
	const struct selected *sel = &s->sel;

	return sel->view != NULL && (s->modes & MODE_CONDSTORE) != 0 &&
	       (sel->tell_highest || sel->told_max > session_known_modseq(s));
}

void
sync_highest_write(struct imap_session *s, struct buf *out)
{
	buf_addz(out, "HIGHESTMODSEQ ");
	write_number(out, session_known_modseq(s));
}

static void
say_flags(
	struct imap_session *s, const struct entry *entry, const struct keywords *k, bool with_uid)
{
	if (entry->modseq <= session_known_modseq(s) ||
		told_has(&s->sel.told, entry->uid, entry->modseq) ||
		told_has(&s->sel.told_unasked, entry->uid, entry->modseq))
		return;
	uint32_t seq = view_seq_of_uid(s->sync.new, entry->uid);
	/* what no command asked for names the UID: RFC 9051 7.5.2 */
	bool uid = with_uid || (s->modes & MODE_REV2) != 0;

	if (seq != 0)
		sync_tell(s, seq, entry, k, TELL_FLAGS | (uid ? TELL_UID : 0));
}

/* ERR_AGAIN: the step is full; y->uid is where to go on. */
static enum err
scan_flags(struct imap_session *s, struct entry_scan *scan, const struct keywords *k, bool with_uid,
	int64_t began)
{
	struct sync *y = &s->sync;
	unsigned n = 0;

	for (; y->range < y->changed.n; y->range++, y->uid = 0) {
		const struct uid_range *r = &y->changed.v[y->range];
		struct entry entry;
		uint32_t from = y->uid != 0 ? y->uid : r->lo;
		enum err e = entry_scan_seek(scan, from, &entry);

		for (; e == ERR_OK && entry.uid <= r->hi; e = entry_scan_next(scan, &entry)) {
			y->uid = entry.uid;
			if (++n % LOOK_EVERY == 0 && session_enough(s, began))
				return ERR_AGAIN;
			say_flags(s, &entry, k, with_uid);
		}
		if (e != ERR_OK && e != ERR_EOF)
			return e;
	}
	return ERR_OK;
}

static enum err
say_changed(struct imap_session *s, bool with_uid, int64_t began)
{
	struct keywords k;
	struct entry_scan scan;
	struct txn *t;
	uint32_t mailbox = view_mailbox(s->sel.view);

	if (s->sync.range >= s->sync.changed.n)
		return ERR_OK;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	e = keywords_get(t, mailbox, &k);
	if (e == ERR_OK)
		e = entry_scan_begin(&scan, t, mailbox, s->sync.changed.v[0].lo);
	if (e == ERR_OK) {
		e = scan_flags(s, &scan, &k, with_uid, began);
		entry_scan_end(&scan);
	}
	store_read_end(t);
	return e;
}

enum err
sync_step(struct imap_session *s, bool with_uid)
{
	struct sync *y = &s->sync;
	int64_t began = clock_us();
	enum err e = ERR_OK;

	if (!y->active)
		return ERR_OK;
	if (y->phase == PHASE_GATHER && (e = gather(s, began)) != ERR_OK)
		return e;
	if (y->phase == PHASE_EXPUNGE) {
		if (say_expunges(s, began) == ERR_AGAIN)
			return ERR_AGAIN;
		say_exists(s);
		y->phase = PHASE_FLAGS;
		y->range = 0;
		y->uid = 0;
	}
	e = say_changed(s, with_uid, began);
	if (e != ERR_OK)
		return e;
	/* the client knows all of it now; view_refresh gave us a reference of our own */
	struct view *old = s->sel.view;

	if ((s->modes & MODE_QRESYNC) != 0 && y->diff.expunged.n != 0)
		s->sel.tell_highest = true;
	if (y->held_modseq == 0 && y->flags)
		s->sel.held_modseq = 0;
	else if (s->sel.held_modseq == 0 && y->new != old)
		s->sel.held_modseq = view_modseq(old);
	if (y->diff.arrived.n != 0)
		notify_arrived(s, &y->diff.arrived);
	s->sel.view = view_ref(y->new);
	view_unref(old);
	/* the view's modseq is still the old one: what was told now is not told again */
	if (y->held_modseq != 0 && y->flags)
		told_set(&s->sel.told_unasked, &y->changed, y->held_modseq);
	else if (y->held_modseq == 0)
		told_reset(&s->sel.told_unasked);
	if (y->held_modseq == 0 || y->flags)
		told_reset(&s->sel.told);
	sync_end(s);
	return e;
}
