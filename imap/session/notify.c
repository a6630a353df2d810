/* What a client wants to be told unasked; see notify.h. Called by NOTIFY, by announce.c, sync.c and
 * the commands that change mailboxes. Invariant: a session without NOTIFY has none of this, and is
 * told when a command ends as RFC 3501 has it. RFC 5465. */
#include "imap/session/notify.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "imap/session/announce.h"
#include "imap/session/commands.h"

enum { ARENA_MAX = 1024 * 1024, OWN_MAX = 2 * (MAILBOX_NAME_MAX + 1) };

static bool
of_selected(const struct notify_group *g)
{
	return g->filter == NOTIFY_SELECTED || g->filter == NOTIFY_SELECTED_DELAYED;
}

/* Names that are none here are passed over: RFC 5465 3.1. */
static enum err
add_names(struct imap_session *s, struct notify *n, const struct notify_group *g,
	struct notify_rule *r)
{
	r->names = arena_calloc(n->arena, g->names_count + 1, sizeof *r->names);
	if (r->names == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < g->names_count; i++) {
		struct str name;

		if (session_mailbox(s, g->names[i], &name) != ERR_OK)
			continue;
		if (arena_str(n->arena, name, &r->names[r->names_count]) != ERR_OK)
			return ERR_LIMIT;
		r->names_count++;
	}
	return ERR_OK;
}

static enum err
add_group(struct imap_session *s, struct notify *n, const struct notify_group *g)
{
	if (of_selected(g)) {
		n->selected = g->events;
		n->delayed = g->filter == NOTIFY_SELECTED_DELAYED;
		return arena_str(n->arena, g->fetch, &n->fetch);
	}
	struct notify_rule *r = &n->rules[n->rules_count++];

	*r = (struct notify_rule){ .filter = g->filter, .events = g->events };
	n->events |= g->events;
	return add_names(s, n, g, r);
}

static struct notify *
notify_none(void)
{
	struct notify *n = xcalloc(1, sizeof *n);

	buf_init(&n->subscribed, NOTIFY_ENTRIES_BYTES_MAX);
	buf_init(&n->own, OWN_MAX);
	return n;
}

enum err
notify_new(struct imap_session *s, const struct args_notify *a, struct notify **out)
{
	struct notify *n = notify_none();
	size_t names = 0;
	enum err e = ERR_OK;

	for (size_t i = 0; i < a->groups_count; i++)
		names += a->groups[i].names_count;
	if (names > NOTIFY_NAMES_MAX)
		e = ERR_LIMIT;
	if (e == ERR_OK && !a->none) {
		n->arena = arena_new(ARENA_MAX);
		n->rules = arena_calloc(n->arena, a->groups_count, sizeof *n->rules);
		e = n->rules != NULL ? ERR_OK : ERR_LIMIT;
	}
	for (size_t i = 0; e == ERR_OK && i < a->groups_count; i++)
		e = add_group(s, n, &a->groups[i]);
	if (e != ERR_OK) {
		notify_free(n);
		n = NULL;
	}
	*out = n;
	return e;
}

void
notify_free(struct notify *n)
{
	if (n == NULL)
		return;
	home_watch_stop(&n->watch);
	notify_look_end(n);
	for (size_t i = 0; i < n->known_count; i++) {
		free(n->known[i].name);
		free(n->known[i].entries);
	}
	free(n->known);
	free(n->server.entries);
	buf_fini(&n->subscribed);
	buf_fini(&n->own);
	uidset_fini(&n->arrived);
	if (n->idle_arena != NULL)
		arena_free(n->idle_arena);
	if (n->arena != NULL)
		arena_free(n->arena);
	free(n);
}

static void
on_watch(struct home_watch *w)
{
	session_changed(w->arg);
}

void
notify_set(struct imap_session *s, struct notify *n)
{
	notify_free(s->notify);
	s->notify = n;
	if (n == NULL || (n->rules_count == 0 && n->selected == 0))
		return;
	home_watch_start(&n->watch, s->home, on_watch, s);
	/* starting a watch says nothing about what came just before */
	s->sel.dirty = true;
	n->dirty = n->rules_count != 0;
}

void
notify_overflow(struct imap_session *s)
{
	buf_addz(session_out(s),
		"* OK [NOTIFICATIONOVERFLOW] Too much to watch, nothing is now\r\n");
	notify_set(s, notify_none());
}

bool
notify_wants_sync(const struct imap_session *s, const struct cmd *c)
{
	if (s->notify == NULL || (s->notify->selected & EVENT_MESSAGE_NEW) != 0)
		return true;
	if (c == NULL)
		return false;
	/* what takes messages away must say which */
	return c->tells_all || c->def->run == run_expunge || c->def->run == run_move ||
	       (c->def->run == run_append && c->def->uid);
}

bool
notify_wants_flags(const struct imap_session *s, const struct cmd *c)
{
	return s->notify == NULL || (s->notify->selected & EVENT_FLAG_CHANGE) != 0 ||
	       (c != NULL && c->tells_all);
}

void
notify_arrived(struct imap_session *s, const struct uidset *arrived)
{
	struct notify *n = s->notify;
	struct uidset all = { 0 };

	if (n == NULL || n->fetch.n == 0 || (s->cmd != NULL && s->cmd->tells_all))
		return;
	/* what the command itself brought is known: RFC 5465 5.2 */
	uidset_subtract(arrived, &s->sel.made, &all);
	for (size_t i = 0; i < all.n; i++)
		uidset_add(&n->arrived, all.v[i].lo, all.v[i].hi);
	uidset_fini(&all);
}

void
notify_deselect(struct imap_session *s)
{
	struct notify *n = s->notify;
	const struct view *v = s->sel.view;

	if (n == NULL || v == NULL)
		return;
	struct known_mailbox *k = known_find(n, view_mailbox(v));

	uidset_reset(&n->arrived);
	if (k == NULL)
		return;
	k->uidnext = view_uidnext(v);
	k->messages = view_count(v);
	k->modseq = session_known_modseq(s);
	n->dirty = true;
	n->version = 0;
}

void
notify_own(struct imap_session *s, struct str name)
{
	struct notify *n = s->notify;

	if (n == NULL || n->rules_count == 0)
		return;
	buf_add(&n->own, name);
	buf_addc(&n->own, '\n');
}

void
notify_command_ended(struct imap_session *s, const struct cmd *c)
{
	struct notify *n = s->notify;

	/* what failed changed no name; what changed nothing is not kept for another's change */
	if (c->result != RESULT_OK)
		buf_reset(&n->own);
	else if (n->own.n != 0)
		n->dirty = true;
}
