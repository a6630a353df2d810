/* What a session says unasked: changes of the selected mailbox, FETCH of what is new there, then
 * the other mailboxes. Called by step.c when no command runs, and by watches. Invariant: nothing is
 * begun while the output is full, so what a slow client is not told yet takes no memory. RFC 2177;
 * RFC 5465 4. */
#include "imap/session/announce.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "imap/session/notify.h"
#include "imap/session/sync.h"

enum { ARENA_MAX = 4 * 1024 * 1024 };

void
session_changed(struct imap_session *s)
{
	bool tells = s->state == SESSION_IDLE || (s->state == SESSION_READING && s->notify != NULL);

	s->sel.dirty = true;
	if (s->notify != NULL)
		s->notify->dirty = s->notify->rules_count != 0;
	/* a change may wake many sessions at once, and each has much to say */
	if (tells && !s->stepping && !stream_full(s->stream))
		loop_task_queue_late(&s->task);
}

static enum go
tell_selected(struct imap_session *s)
{
	bool expunges = s->state == SESSION_IDLE || s->notify == NULL || !s->notify->delayed;
	enum err e = session_pin(s);

	if (e == ERR_AGAIN)
		return GO_WAIT;
	if (e == ERR_OK && !s->sync.active)
		e = sync_begin(s, expunges);
	if (e == ERR_OK)
		e = sync_step(s, s->notify != NULL);
	if (e != ERR_AGAIN)
		session_say_highest(s, NULL);
	session_flush(s);
	if (e == ERR_AGAIN)
		return GO_LATER;
	sync_give_up(s);
	if (e == ERR_NOTFOUND)
		session_bye(s, "The selected mailbox was deleted");
	/* a home that is out of reach is looked at again when the watch says so, or with the next
	 * line of IDLE */
	s->sel.dirty = false;
	s->missed |= e != ERR_OK;
	return GO_ON;
}

static enum go
tell_others(struct imap_session *s)
{
	struct notify *n = s->notify;
	enum err e = session_pin(s);

	if (e == ERR_AGAIN)
		return GO_WAIT;
	if (n->look == NULL)
		n->dirty = false;
	if (e == ERR_OK)
		e = notify_look(s, n, LOOK_TELL);
	/* not even begun: the index is opened anew */
	n->dirty |= e == ERR_AGAIN && n->look == NULL;
	if (e == ERR_LIMIT)
		notify_overflow(s);
	else if (e != ERR_OK && e != ERR_AGAIN)
		notify_look_end(n);
	s->missed |= e != ERR_OK && e != ERR_AGAIN && e != ERR_LIMIT;
	session_flush(s);
	return e == ERR_AGAIN ? GO_LATER : GO_ON;
}

/* A UID FETCH of what arrived, as if the client had sent it; nothing becomes \Seen by it.
 * ERR_LIMIT, ERR_SYNTAX: it cannot be made. */
static enum err
make_fetch(struct imap_session *s, struct cmd *c)
{
	struct notify *n = s->notify;
	struct seq_set *set = &c->a.fetch.set;
	struct str text;
	const char *why;
	struct buf b;

	buf_init(&b, 64 * 1024);
	buf_addz(&b, "x UID FETCH 1 ");
	/* what nobody asked for names the modseq: RFC 7162 3.2.4 */
	bool modseq = (s->modes & MODE_CONDSTORE) != 0 &&
		      str_ifind(n->fetch, STR("MODSEQ")) == n->fetch.n;

	buf_add(&b, str_sub(n->fetch, 0, n->fetch.n - 1));
	buf_addz(&b, modseq ? " MODSEQ)\r\n" : ")\r\n");
	enum err e = arena_str(s->arena, buf_str(&b), &text);

	buf_fini(&b);
	if (e == ERR_OK)
		e = command_parse(text, s->arena, c, &why);
	if (e != ERR_OK)
		return e;
	set->n = n->arrived.n;
	set->r = arena_calloc(s->arena, set->n, sizeof *set->r);
	if (set->r == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < set->n; i++)
		set->r[i] = (struct seq_range){ n->arrived.v[i].lo, n->arrived.v[i].hi };
	for (size_t i = 0; i < c->a.fetch.items_count; i++)
		c->a.fetch.items[i].peek = true;
	c->own = true;
	return ERR_OK;
}

static enum go
fetch_arrived(struct imap_session *s)
{
	struct notify *n = s->notify;

	n->idle = s->cmd;
	n->idle_arena = s->arena;
	s->arena = arena_new(ARENA_MAX);
	s->cmd = arena_calloc(s->arena, 1, sizeof *s->cmd);
	s->command_us = clock_us();
	enum err e = s->cmd != NULL ? make_fetch(s, s->cmd) : ERR_LIMIT;

	uidset_reset(&n->arrived);
	if (e == ERR_OK) {
		s->state = SESSION_RUNNING;
		return GO_ON;
	}
	log_event(LVL_WARN, "imap.notify", log_z("sid", s->sid), log_e("err", e));
	announce_fetched(s);
	return GO_ON;
}

void
announce_fetched(struct imap_session *s)
{
	struct notify *n = s->notify;

	session_say_highest(s, NULL);
	session_flush(s);
	session_command_free(s);
	s->cmd = n->idle;
	s->arena = n->idle_arena;
	n->idle = NULL;
	n->idle_arena = NULL;
	s->state = s->cmd != NULL ? SESSION_IDLE : SESSION_READING;
}

/* A client that is being told "+" compressed hears of news a moment later; see idle_begins. The
 * timer looks again. */
static bool
rests(struct imap_session *s)
{
	int64_t now = loop_now_ms(s->imap->loop);

	if (s->state != SESSION_IDLE || s->cmd->rest_until_ms <= now)
		return false;
	s->cmd->news_wait = true;
	loop_timer_start(&s->timer, s->cmd->rest_until_ms - now);
	return true;
}

bool
announce_step(struct imap_session *s, enum go *go_out)
{
	const struct notify *n = s->notify;
	bool selected = s->sync.active ||
			(s->sel.view != NULL && s->sel.dirty && notify_wants_sync(s, NULL));
	bool arrived = n != NULL && n->arrived.n != 0;
	bool others = n != NULL && (n->dirty || n->look != NULL);

	if ((!selected && !arrived && !others) || rests(s)) {
		session_unpin(s);
		return false;
	}
	if (stream_full(s->stream)) {
		/* the index may have to be opened anew meanwhile */
		session_unpin(s);
		*go_out = GO_LATER;
	} else if (selected) {
		*go_out = tell_selected(s);
	} else {
		*go_out = arrived ? fetch_arrived(s) : tell_others(s);
	}
	return true;
}
