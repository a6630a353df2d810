/* One client's life after login: start, output, time limits, end. Called by main.c for a client
 * that the gate handed over, by the stream and by the timer. Invariant: a session is freed only at
 * the end of the outermost session_step, or from a callback outside of any. */
#include "imap/session/announce.h"
#include "imap/session/notify.h"
#include "imap/session/recall.h"
#include "imap/session/step.h"
#include "imap/session/sync.h"
#include "imap/session/user.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	OUT_STEP_BYTES = 128 * 1024, /* a step's output, about */
	OUT_LOW_BYTES = 64 * 1024,
	OUT_HIGH_BYTES = 256 * 1024,
	SCRATCH_MAX = 64 * 1024 * 1024, /* the largest item of a FETCH */
	SCRATCH_KEEP = 256 * 1024,
	REPLY_MAX = 16 * 1024 * 1024,
	TICK_MS = 15000,
	LINGER_MS = 10000,
};

void
session_unpin(struct imap_session *s)
{
	if (s->pin_waiting)
		home_pin_cancel(&s->wait);
	s->pin_waiting = false;
	if (s->pinned)
		home_unpin(s->home);
	s->pinned = false;
}

void
session_deselect(struct imap_session *s)
{
	struct selected *sel = &s->sel;

	sync_end(s);
	if (sel->view == NULL)
		return;
	if (!sel->read_only && sel->claimed_until < view_uidnext(sel->view))
		(void)home_claim_recent(s->home, view_mailbox(sel->view), sel->claimed_until,
			view_uidnext(sel->view));
	notify_deselect(s);
	home_watch_stop(&sel->watch);
	view_unref(sel->view);
	told_fini(&sel->told);
	told_fini(&sel->told_unasked);
	uidset_fini(&sel->saved);
	uidset_fini(&sel->made);
	*sel = (struct selected){ .view = NULL };
}

void
session_free(struct imap_session *s)
{
	struct imap *i = s->imap;

	log_event(LVL_INFO, "imap.end", log_z("sid", s->sid), log_z("user", s->user->name),
		log_n("commands", (int64_t)s->commands_count),
		log_n("in", (int64_t)(s->stream != NULL ? stream_bytes_in(s->stream) : 0)),
		log_n("out", (int64_t)(s->stream != NULL ? stream_bytes_out(s->stream) : 0)));
	loop_task_cancel(&s->task);
	loop_timer_stop(&s->timer);
	session_deselect(s);
	session_command_free(s);
	notify_free(s->notify);
	session_unpin(s);
	if (s->stream != NULL)
		stream_close(s->stream, s->stuck ? 0 : LINGER_MS);
	home_unref(s->home);
	list_remove(&s->link);
	user_put(s->user);
	i->sessions_count--;
	free(s);
	if (i->sessions_count == 0 && i->on_empty != NULL)
		i->on_empty(i);
}

/* Outside of any step: now; inside: at its end. */
static void
session_kill(struct imap_session *s)
{
	s->dead = true;
	if (!s->stepping)
		session_free(s);
}

bool
session_enough(struct imap_session *s, int64_t since_us)
{
	return s->imap->out.n >= OUT_STEP_BYTES || stream_full(s->stream) ||
	       clock_us() - since_us >= s->imap->limits.step_us;
}

void
session_flush(struct imap_session *s)
{
	struct buf *out = &s->imap->out;

	/* an answer that was cut would be taken for a whole one */
	if (buf_check(out) != ERR_OK)
		s->dead = true;
	else if (out->n != 0)
		stream_write(s->stream, buf_str(out));
	if (out->cap > SCRATCH_KEEP)
		buf_release(out);
	else
		buf_reset(out);
}

void
session_bye(struct imap_session *s, const char *text)
{
	struct buf *out = session_out(s);

	if (s->closing)
		return;
	buf_addz(out, "* BYE ");
	buf_addz(out, text);
	buf_addz(out, "\r\n");
	session_flush(s);
	s->closing = true;
	s->dead = true;
}

static void
on_task(struct loop_task *t)
{
	session_step(t->arg);
}

static void
on_read(struct stream *stream UNUSED, void *arg)
{
	struct imap_session *s = arg;

	s->last_input_ms = loop_now_ms(s->imap->loop);
	if (session_waits(s))
		session_step(s);
}

static void
on_drain(struct stream *stream UNUSED, void *arg)
{
	struct imap_session *s = arg;

	loop_task_queue_late(&s->task);
}

static void
on_end(struct stream *stream, void *arg, enum err why)
{
	struct imap_session *s = arg;

	s->eof = true;
	if (why == ERR_CORRUPT)
		log_event(LVL_INFO, "imap.drop", log_z("sid", s->sid),
			log_z("reason", stream_error(stream)));
	if (why != ERR_EOF) {
		session_kill(s);
		return;
	}
	/* what was sent before is still done; a message that will never be whole is not */
	if (s->state == SESSION_RUNNING && s->cmd->wants_input)
		session_kill(s);
	else if (s->state == SESSION_READING || s->state == SESSION_IDLE)
		session_step(s);
}

/* ---- time ---- */

static bool
output_is_stuck(struct imap_session *s, int64_t now)
{
	uint64_t out = stream_bytes_out(s->stream);

	if (stream_queued(s->stream) == 0 || out != s->last_output_bytes) {
		s->last_output_bytes = out;
		s->last_output_ms = now;
	}
	return now - s->last_output_ms >= s->imap->limits.write_ms;
}

static bool
input_is_stuck(struct imap_session *s, int64_t now)
{
	bool waits =
		s->state == SESSION_READING || (s->state == SESSION_RUNNING && s->cmd->wants_input);
	/* in the middle of a command a client has less time than between two */
	bool middle =
		s->state == SESSION_RUNNING || stream_in(s->stream)->n != 0 || s->reader.swallowing;
	int64_t limit = middle ? s->imap->limits.write_ms : s->imap->limits.idle_ms;

	return waits && now - s->last_input_ms >= limit;
}

static void
on_timer(struct loop_timer *t)
{
	struct imap_session *s = t->arg;
	const struct imap_limits *l = &s->imap->limits;
	int64_t now = loop_now_ms(s->imap->loop);
	int64_t next = TICK_MS;

	if (output_is_stuck(s, now)) {
		log_event(LVL_INFO, "imap.drop", log_z("sid", s->sid),
			log_z("reason", "client reads nothing"));
		s->stuck = true;
		session_kill(s);
		return;
	}
	if (input_is_stuck(s, now)) {
		session_end(s, "Logged out for inactivity");
		return;
	}
	bool probe = s->state == SESSION_IDLE && now - s->last_probe_ms >= l->probe_ms;

	if (probe) {
		s->last_probe_ms = now;
		stream_write(s->stream, STR("* OK Still here\r\n"));
	}
	bool quiet = stream_queued(s->stream) == 0 && stream_in(s->stream)->n == 0 &&
		     !s->reader.swallowing;

	if (quiet && s->cmd == NULL) {
		stream_release_buffers(s->stream);
		s->released = true;
		next = s->last_input_ms + l->idle_ms - now;
	} else if (s->state == SESSION_IDLE && stream_queued(s->stream) == 0) {
		stream_release_buffers(s->stream);
		next = s->last_probe_ms + l->probe_ms - now;
	}
	bool busy = s->cmd != NULL && s->state != SESSION_IDLE;

	if (next > l->write_ms && (busy || !quiet))
		next = l->write_ms;
	loop_timer_start(&s->timer, next > 50 ? next : 50);
	bool news = s->state == SESSION_IDLE && s->cmd->news_wait;

	if (news)
		s->cmd->news_wait = false;
	if ((probe && s->missed) || news) {
		s->missed &= !probe;
		session_changed(s);
	}
}

/* ---- start and end ---- */

static const struct stream_ops session_stream_ops = {
	.on_read = on_read,
	.on_drain = on_drain,
	.on_end = on_end,
};

/* The tagged answer to the login. */
static void
session_greet(struct imap_session *s, struct str tag, enum err home_err)
{
	struct buf *out = session_out(s);

	buf_add(out, tag);
	if (home_err != ERR_OK) {
		buf_addz(out, " NO [CONTACTADMIN] The account has no usable home\r\n");
		session_bye(s, "No mail home");
	} else if (s->imap->stopping) {
		/* it was on its way when the others heard it */
		buf_addz(out, " NO [UNAVAILABLE] Server is going down\r\n");
		session_bye(s, SESSION_BYE_STOP);
	} else if (user_has_too_many(s->user)) {
		log_event(LVL_WARN, "imap.refused", log_z("sid", s->sid),
			log_z("user", s->user->name), log_z("reason", "connections_per_user"),
			log_n("limit", (int64_t)s->imap->limits.sessions_per_user));
		buf_addz(out, " NO [LIMIT] Too many connections of this user\r\n");
		session_bye(s, "Too many connections");
	} else {
		buf_addz(out, " OK [");
		capability_write(s);
		buf_addz(out, "] Logged in\r\n");
		session_flush(s);
	}
}

/* What cannot be read is no limit: mail is not refused for a word that somebody mistyped. */
static void
set_quota(struct home *h, const struct imap_login *login)
{
	if (!user_quota(h, login->quota))
		log_event(LVL_WARN, "imap.quota", log_s("user", login->user),
			log_s("quota", login->quota), log_z("res", "cannot be read: no limit"));
}

void
imap_session_start(struct imap *i, const struct imap_login *login, int fd)
{
	struct imap_session *s = xcalloc(1, sizeof *s);
	const struct reader_limits *l = &i->limits.reader;
	struct stream_options o = { .in_max_bytes = l->line_max + l->literal_max + 4096,
		.out_low_bytes = OUT_LOW_BYTES,
		.out_high_bytes = OUT_HIGH_BYTES,
		/* who is full is given no more, but a step's last item may be as large as it is */
		.out_max_bytes = SCRATCH_MAX + 2 * OUT_HIGH_BYTES };
	enum err e = home_get(i->store, login->home, &s->home);

	if (e == ERR_OK)
		set_quota(s->home, login);
	s->imap = i;
	s->user = user_get(i, login->user, login->check);
	size_t n = login->sid.n < sizeof s->sid ? login->sid.n : sizeof s->sid - 1;

	memcpy(s->sid, login->sid.p, n);
	list_push_back(&i->sessions, &s->link);
	i->sessions_count++;
	reader_init(&s->reader);
	buf_init(&s->reply, REPLY_MAX);
	loop_task_init(&s->task, i->loop, on_task, s);
	loop_timer_init(&s->timer, i->loop, on_timer, s);
	s->last_input_ms = s->last_output_ms = s->last_probe_ms = loop_now_ms(i->loop);
	s->stream = stream_new(i->loop, fd, &session_stream_ops, s, &o);
	buf_add(stream_in(s->stream), login->input);
	log_event(LVL_DEBUG, "imap.begin", log_z("sid", s->sid), log_s("user", login->user),
		log_n("sessions", (int64_t)s->user->sessions));
	s->stepping = true;
	session_greet(s, login->tag, e);
	s->stepping = false;
	if (s->dead) {
		session_free(s);
		return;
	}
	loop_timer_start(&s->timer, SESSION_RELEASE_MS);
	if (login->input.n != 0)
		loop_task_queue_late(&s->task);
}

void
imap_set_limits(struct imap *i, const struct settings *set)
{
	const struct settings_imap *m = &set->imap;
	struct rlimit files = { .rlim_cur = 1024 };

	(void)getrlimit(RLIMIT_NOFILE, &files);
	i->limits = (struct imap_limits){
		.reader = {
			.line_max = (size_t)m->line_max,
			.literal_max = (size_t)m->literal_max,
			.message_max = (uint64_t)m->message_max,
			.swallow_max = (uint64_t)m->message_max * 2,
		},
		.idle_ms = m->idle_timeout,
		.write_ms = m->write_timeout,
		.probe_ms = 120000,
		.idle_rest_ms = 250,
		.progress_ms = 10000,
		.step_us = 2000,
		.message_limit = (unsigned)m->message_limit,
		.commands_in_a_row = (unsigned)m->pipeline_max,
		.metadata_size = (size_t)m->metadata_size,
		.metadata_entries = (unsigned)m->metadata_entries,
		.notify_mailboxes = 5000,
		.sessions_per_user = (size_t)m->connections_per_user,
		.plain_headers = !m->append_8bit_headers,
		.check_ms = m->user_check,
		/* the other half is for indexes and message files */
		.sessions_max = files.rlim_cur > 1024 ? (files.rlim_cur - 512) / 2 : 256,
	};
}

void
imap_init(struct imap *i, struct loop *l, struct store *st, const struct settings *set)
{
	*i = (struct imap){ .loop = l, .store = st };
	imap_set_limits(i, set);
	/* not changed while sessions live: what clients remember would lead elsewhere */
	buf_init(&i->admin, 2000);
	buf_add(&i->admin, set->imap.admin_contact);
	i->separator = set->imap.separator.n == 1 ? set->imap.separator.p[0] : '/';
	i->inbox_prefix = set->imap.inbox_prefix;
	hmap_init(&i->users);
	list_init(&i->sessions);
	buf_init(&i->out, SCRATCH_MAX);
	i->recall = recall_new(l, RECALL_BYTES_MAX, RECALL_IDLE_MS);
}

void
imap_fini(struct imap *i)
{
	i->on_empty = NULL;
	LIST_FOREACH (n, &i->sessions)
		session_free(CONTAINER_OF(n, struct imap_session, link));
	recall_free(i->recall);
	hmap_fini(&i->users);
	buf_fini(&i->admin);
	buf_fini(&i->out);
}

bool
session_waits(const struct imap_session *s)
{
	return s->state == SESSION_READING || s->state == SESSION_IDLE ||
	       (s->state == SESSION_RUNNING && s->cmd->wants_input);
}

void
session_end(struct imap_session *s, const char *text)
{
	s->stepping = true;
	if (text != NULL)
		session_bye(s, text);
	s->stepping = false;
	session_free(s);
}

void
imap_stop(struct imap *i)
{
	i->stopping = true;
	LIST_FOREACH (n, &i->sessions) {
		struct imap_session *s = CONTAINER_OF(n, struct imap_session, link);

		if (session_waits(s))
			session_end(s, SESSION_BYE_STOP);
	}
}
