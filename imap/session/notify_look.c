/* The mailboxes that are not selected, compared with what a client of NOTIFY knows of them. Called
 * by announce.c when the index changed, and by NOTIFY to begin with. Invariant: what differs is
 * told and taken over in the same piece of a step, so a look that is cut into steps, or begun
 * anew, tells nothing twice and forgets nothing: what changes behind it makes the next look.
 * Deletions and renames come before what is new, so that a name that is used again is there in the
 * end. RFC 5465 5.1 to 5.7. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/store/since.h"
#include "imap/session/listing.h"
#include "imap/session/names.h"
#include "imap/session/notify.h"

enum { PHASE_GONE, PHASE_MAILBOXES, PHASE_SUBSCRIBED, PHASE_SERVER, PHASE_DONE };
enum { OUTER_MAX = 2048 };

struct look {
	enum look_how how;
	unsigned phase;
	size_t at; /* in known, or in the names that were subscribed */
	/* where a walk stands, a name of the store */
	size_t last_len;
	char last[MAILBOX_NAME_MAX];
	struct buf subscribed; /* as they are now */
	uint64_t version;      /* where it began */
	/* of the running step */
	struct imap_session *s;
	struct notify *n;
	struct txn *t;
	int64_t began_us;
};

void
notify_look_end(struct notify *n)
{
	if (n->look == NULL)
		return;
	buf_fini(&n->look->subscribed);
	free(n->look);
	n->look = NULL;
}

static void
remember(struct look *l, struct str name)
{
	l->last_len = name.n < sizeof l->last ? name.n : sizeof l->last;
	memcpy(l->last, name.p, l->last_len);
}

static enum err
go_on(const struct look *l)
{
	return session_enough(l->s, l->began_us) ? ERR_EOF : ERR_OK;
}

/* ---- which events ---- */

static bool
is_below(struct str name, struct str parent)
{
	return name.n > parent.n && name.p[parent.n] == '/' && str_starts(name, parent);
}

static bool
rule_names(const struct look *l, const struct notify_rule *r, struct str name)
{
	for (size_t i = 0; i < r->names_count; i++) {
		if (str_eq(name, r->names[i]))
			return true;
		if (r->filter != NOTIFY_SUBTREE)
			continue;
		if (is_below(name, r->names[i]) ||
			(l->s->imap->inbox_prefix && str_eq(r->names[i], STR("INBOX"))))
			return true;
	}
	return false;
}

/* All rules that name it, up to one with NONE: RFC 5465 5, 6. */
static unsigned
events_of(const struct look *l, struct str name)
{
	unsigned events = 0;

	for (size_t i = 0; i < l->n->rules_count; i++) {
		const struct notify_rule *r = &l->n->rules[i];
		bool hit = false;

		switch (r->filter) {
		case NOTIFY_PERSONAL:
			hit = true;
			break;
		case NOTIFY_SUBSCRIBED:
			hit = subscribed_has(l->t, name);
			break;
		case NOTIFY_SUBTREE:
		case NOTIFY_MAILBOXES:
			hit = rule_names(l, r, name);
			break;
		case NOTIFY_SELECTED:
		case NOTIFY_SELECTED_DELAYED:
			break;
		}
		if (hit && r->events == 0)
			break;
		if (hit)
			events |= r->events;
	}
	return events;
}

/* Did the client's own command do it? To name itself, or near it in the tree. */
static bool
is_own(const struct look *l, struct str name)
{
	struct str rest = buf_str(&l->n->own), own;

	while (str_cut(rest, '\n', &own, &rest))
		if (str_eq(own, name) || is_below(name, own) || is_below(own, name))
			return true;
	return false;
}

static bool
tells(const struct look *l, struct str name, unsigned event)
{
	return l->how == LOOK_TELL && (events_of(l, name) & event) != 0 && !is_own(l, name);
}

/* ---- lines ---- */

/* m NULL: there is none of this name. old: what it was called before, or empty. */
static enum err
say_list(const struct look *l, struct str name, const struct mailbox_info *m, struct str old)
{
	struct buf outer, old_outer;
	struct mailbox_info copy;
	struct list_line line = { .m = m, .flags = LINE_EXTENDED };
	enum err e = ERR_OK;

	buf_init(&outer, OUTER_MAX);
	buf_init(&old_outer, OUTER_MAX);
	session_outer_name(l->s, name, &outer);
	line.outer = buf_str(&outer);
	if (subscribed_has(l->t, name))
		line.flags |= LINE_SUBSCRIBED;
	if (m == NULL)
		line.flags |= LINE_NO_CHILDREN;
	if (m != NULL) {
		copy = *m;
		e = listing_children(l->s, l->t, &copy);
		line.m = &copy;
	}
	if (old.n != 0)
		session_outer_name(l->s, old, &old_outer);
	line.old_name = buf_str(&old_outer);
	if (e == ERR_OK)
		list_line_write(l->s, session_out(l->s), &line);
	buf_fini(&outer);
	buf_fini(&old_outer);
	return e;
}

static enum err
say_status(const struct look *l, const struct mailbox_info *m, unsigned events)
{
	unsigned items = STATUS_MESSAGES | STATUS_UIDNEXT | STATUS_UIDVALIDITY;

	if ((events & EVENT_FLAG_CHANGE) != 0)
		items |= STATUS_UNSEEN | STATUS_HIGHESTMODSEQ;
	if ((l->s->modes & MODE_CONDSTORE) != 0)
		items |= STATUS_HIGHESTMODSEQ;
	return status_write(l->s, l->t, m, m->name, items);
}

/* ---- what is known ---- */

static size_t
known_from(const struct notify *n, uint32_t id)
{
	size_t lo = 0, hi = n->known_count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (n->known[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct known_mailbox *
known_find(struct notify *n, uint32_t id)
{
	size_t i = known_from(n, id);

	return i < n->known_count && n->known[i].id == id ? &n->known[i] : NULL;
}

static struct known_mailbox *
known_add(struct notify *n, const struct mailbox_info *m, size_t max)
{
	size_t i = known_from(n, m->id);

	if (n->known_count >= max)
		return NULL;
	if (n->known_count == n->known_cap) {
		n->known_cap = n->known_cap != 0 ? n->known_cap * 2 : 16;
		n->known = xrealloc(n->known, n->known_cap * sizeof *n->known);
	}
	memmove(n->known + i + 1, n->known + i, (n->known_count - i) * sizeof *n->known);
	n->known_count++;
	n->known[i] = (struct known_mailbox){
		.id = m->id,
		.noselect = m->noselect,
		.has_children = m->has_children,
		.name = str_dup(m->name),
	};
	return &n->known[i];
}

static void
known_remove(struct notify *n, size_t i)
{
	free(n->known[i].name);
	free(n->known[i].entries);
	n->known_count--;
	memmove(n->known + i, n->known + i + 1, (n->known_count - i) * sizeof *n->known);
}

static void
known_rename(struct known_mailbox *k, struct str name)
{
	free(k->name);
	k->name = str_dup(name);
}

/* ---- deletions and renames ---- */

static enum err
renamed(const struct look *l, struct known_mailbox *k, struct str name)
{
	struct mailbox_info m;
	struct str old = str_of(k->name);
	bool own = is_own(l, name) || is_own(l, old);
	enum err e = mailbox_find(l->t, name, &m);

	if (e == ERR_OK && !own && tells(l, name, EVENT_MAILBOX_NAME)) {
		e = say_list(l, name, &m, old);
		k->noselect = m.noselect;
		k->has_children = m.has_children;
	} else if (e == ERR_OK && !own && tells(l, old, EVENT_MAILBOX_NAME)) {
		e = say_list(l, old, NULL, STR_EMPTY);
	}
	if (e == ERR_OK)
		known_rename(k, name);
	return e;
}

/* *removed_out: k is no more, another stands in its place. */
static enum err
look_at_known(const struct look *l, bool *removed_out)
{
	struct known_mailbox *k = &l->n->known[l->at];
	struct str name = str_of(k->name);
	struct buf path;

	*removed_out = false;
	buf_init(&path, OUTER_MAX);
	enum err e = mailbox_path(l->t, k->id, &path);

	if (e == ERR_OK && !str_eq(buf_str(&path), name)) {
		e = renamed(l, k, buf_str(&path));
	} else if (e == ERR_NOTFOUND) {
		*removed_out = true;
		e = tells(l, name, EVENT_MAILBOX_NAME) ? say_list(l, name, NULL, STR_EMPTY)
						       : ERR_OK;
		known_remove(l->n, l->at);
	}
	buf_fini(&path);
	return e;
}

static enum err
look_at_all_known(struct look *l)
{
	enum err e = ERR_OK;

	while (e == ERR_OK && l->at < l->n->known_count) {
		bool removed;

		e = look_at_known(l, &removed);
		l->at += e == ERR_OK && !removed;
		if (e == ERR_OK)
			e = go_on(l);
	}
	return e;
}

/* ---- one mailbox ---- */

/* Is there anything that FlagChange means? */
static enum err
look_at_flags(const struct look *l, const struct known_mailbox *k, const struct mailbox_info *m,
	bool *changed_out)
{
	*changed_out = false;
	return m->highestmodseq != k->modseq ? since_any(l->t, m->id, k->modseq, changed_out)
					     : ERR_OK;
}

static enum err
look_at_messages(const struct look *l, struct known_mailbox *k, const struct mailbox_info *m,
	bool created, unsigned events)
{
	const struct view *v = l->s->sel.view;
	bool count =
		created ? m->messages != 0 : m->uidnext != k->uidnext || m->messages != k->messages;
	bool flags = false;
	bool selected = v != NULL && view_mailbox(v) == m->id;
	enum err e = ERR_OK;

	/* what is known of the selected one is known when it is no more: notify_deselect */
	if (!created && selected)
		return ERR_OK;
	if (!created && !count && l->how == LOOK_TELL && (events & EVENT_FLAG_CHANGE) != 0)
		e = look_at_flags(l, k, m, &flags);
	if (e != ERR_OK)
		return e;
	k->uidnext = m->uidnext;
	k->messages = m->messages;
	k->modseq = m->highestmodseq;
	if (m->noselect || selected)
		return ERR_OK;
	if (l->how == LOOK_STATUS && (events & EVENT_MESSAGE_NEW) != 0)
		return say_status(l, m, events);
	bool say = flags || (count && (events & EVENT_MESSAGE_NEW) != 0);

	return say && l->how == LOOK_TELL ? say_status(l, m, events) : ERR_OK;
}

static enum err
look_at_name(
	const struct look *l, struct known_mailbox *k, const struct mailbox_info *m, bool created)
{
	bool changed = created || k->noselect != m->noselect || k->has_children != m->has_children;
	bool tell = changed && tells(l, m->name, EVENT_MAILBOX_NAME);

	k->noselect = m->noselect;
	k->has_children = m->has_children;
	return tell ? say_list(l, m->name, m, STR_EMPTY) : ERR_OK;
}

static enum err
look_at_mailbox(void *arg, const struct mailbox_info *m)
{
	struct look *l = arg;
	struct known_mailbox *k = known_find(l->n, m->id);
	unsigned events = events_of(l, m->name);
	bool created = k == NULL;

	remember(l, m->name);
	if (created)
		k = known_add(l->n, m, l->s->imap->limits.notify_mailboxes);
	if (k == NULL)
		return ERR_LIMIT;
	enum err e = look_at_name(l, k, m, created);

	if (e == ERR_OK)
		e = look_at_messages(l, k, m, created, events);
	if (e == ERR_OK && (l->n->events & EVENT_MAILBOX_METADATA) != 0)
		e = notify_entries(l->s, l->t, k, m, tells(l, m->name, EVENT_MAILBOX_METADATA));
	return e == ERR_OK ? go_on(l) : e;
}

/* ---- subscriptions ---- */

static enum err
say_subscription(const struct look *l, struct str name)
{
	struct mailbox_info m;
	unsigned events = 0;

	if (l->how != LOOK_TELL || is_own(l, name))
		return ERR_OK;
	events = events_of(l, name);
	/* a name that left the subscribed ones was one of them */
	for (size_t i = 0; i < l->n->rules_count; i++)
		if (l->n->rules[i].filter == NOTIFY_SUBSCRIBED)
			events |= l->n->rules[i].events;
	if ((events & EVENT_SUBSCRIPTION) == 0)
		return ERR_OK;
	enum err e = mailbox_find(l->t, name, &m);

	if (e != ERR_OK && e != ERR_NOTFOUND)
		return e;
	return say_list(l, name, e == ERR_OK ? &m : NULL, STR_EMPTY);
}

/* Those of the old names that come before name are subscribed no more; with an empty name all that
 * are left. *known_out: name itself was one of them. */
static enum err
pass_old(struct look *l, struct str name, bool *known_out)
{
	enum err e = ERR_OK;

	*known_out = false;
	while (e == ERR_OK && l->at < l->n->subscribed.n) {
		struct str rest = str_from(buf_str(&l->n->subscribed), l->at);
		struct str old = str_sub(rest, 0, str_chr(rest, '\n'));
		int order = name.n == 0 ? -1 : str_cmp(old, name);

		if (order > 0)
			break;
		if (order < 0)
			e = say_subscription(l, old);
		l->at += e == ERR_OK ? old.n + 1 : 0;
		*known_out = order == 0;
		if (order == 0)
			break;
		if (e == ERR_OK)
			e = go_on(l);
	}
	return e;
}

static enum err
look_at_subscribed(void *arg, struct str name)
{
	struct look *l = arg;
	bool known;
	enum err e = pass_old(l, name, &known);

	if (e == ERR_OK && !known)
		e = say_subscription(l, name);
	if (e != ERR_OK)
		return e;
	remember(l, name);
	buf_add(&l->subscribed, name);
	buf_addc(&l->subscribed, '\n');
	e = buf_check(&l->subscribed);
	return e == ERR_OK ? go_on(l) : e;
}

static enum err
look_at_subscriptions(struct look *l, struct str after)
{
	bool known;

	if ((l->n->events & EVENT_SUBSCRIPTION) == 0)
		return ERR_OK;
	enum err e = subscribed_walk_after(l->t, after, look_at_subscribed, l);

	if (e == ERR_OK)
		e = pass_old(l, STR_EMPTY, &known);
	if (e != ERR_OK)
		return e;
	struct buf old = l->n->subscribed;

	l->n->subscribed = l->subscribed;
	l->subscribed = old;
	return ERR_OK;
}

/* ---- the whole ---- */

static enum err
look_at_server(struct look *l)
{
	bool tell = l->how == LOOK_TELL;

	if ((l->n->events & EVENT_SERVER_METADATA) == 0)
		return ERR_OK;
	/* the account's own entries are set with the empty name */
	for (struct str rest = buf_str(&l->n->own), own; str_cut(rest, '\n', &own, &rest);)
		tell = tell && own.n != 0;
	return notify_entries(l->s, l->t, &l->n->server, NULL, tell);
}

static enum err
look_on(struct look *l)
{
	/* l->last is written while the walk goes by it */
	char place[MAILBOX_NAME_MAX];
	struct str last = str_n(place, l->last_len);

	memcpy(place, l->last, l->last_len);
	switch (l->phase) {
	case PHASE_GONE:
		return look_at_all_known(l);
	case PHASE_MAILBOXES:
		return mailbox_walk_after(l->t, last, look_at_mailbox, l);
	case PHASE_SUBSCRIBED:
		return look_at_subscriptions(l, last);
	default:
		return look_at_server(l);
	}
}

enum err
notify_look(struct imap_session *s, struct notify *n, enum look_how how)
{
	struct look *l = n->look;
	struct txn *t;
	enum err e = session_read(s, &t);

	if (e != ERR_OK)
		return e;
	if (l == NULL && n->version == txn_version(t)) {
		store_read_end(t);
		buf_reset(&n->own);
		return ERR_OK;
	}
	if (l == NULL) {
		l = n->look = xcalloc(1, sizeof *l);
		l->how = how;
		l->version = txn_version(t);
		buf_init(&l->subscribed, NOTIFY_ENTRIES_BYTES_MAX);
	}
	l->s = s;
	l->n = n;
	l->t = t;
	l->began_us = clock_us();
	while (e == ERR_OK && l->phase != PHASE_DONE) {
		e = look_on(l);
		if (e != ERR_OK)
			break;
		l->phase++;
		l->at = l->last_len = 0;
	}
	store_read_end(t);
	if (e == ERR_EOF)
		return ERR_AGAIN;
	n->version = e == ERR_OK ? l->version : 0;
	notify_look_end(n);
	buf_reset(&n->own);
	return e;
}
