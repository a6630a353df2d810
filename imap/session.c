/* One client after login: collects commands, runs them in steps, announces what changed when a
 * command ended, and says the tagged line. Called by the stream, by completions of the store and
 * by the loop's task; all of them end in session_step. Invariants: one command at a time, in the
 * order of arrival; no read transaction and no pin outlive the command (IDLE included); a session
 * is freed only at the end of the outermost session_step, or from a callback outside of any. */
#include "imap/session.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/mail/charset.h"
#include "core/mail/utf7.h"

enum {
	STEP_US = 2000,		     /* a step's share of the loop */
	STEPS_MAX = 64,		     /* short commands in one go */
	OUT_STEP_BYTES = 128 * 1024, /* a step's output, about */
	OUT_LOW_BYTES = 64 * 1024,
	OUT_HIGH_BYTES = 256 * 1024,
	SCRATCH_MAX = 64 * 1024 * 1024,
	SCRATCH_KEEP = 256 * 1024,
	ARENA_MAX = 4 * 1024 * 1024,
	REPLY_MAX = 16 * 1024 * 1024,
	BAD_MAX = 20,
	RELEASE_MS = 3000,
	TICK_MS = 15000,
	LINGER_MS = 10000,
};

enum go { GO_ON, GO_LATER, GO_WAIT };

static void
session_step(struct imap_session *s);

static void
on_user_gone(struct imap_session *s)
{
	struct imap_user *u = s->user;

	if (--u->sessions != 0)
		return;
	hmap_remove(&s->imap->users, &u->node);
	free(u->name);
	free(u);
}

static void
command_free(struct imap_session *s)
{
	if (s->cmd != NULL) {
		if (s->cmd->op != NULL)
			store_op_forget(s->cmd->op);
		if (s->cmd->def != NULL && s->cmd->def->end != NULL)
			s->cmd->def->end(s->cmd);
	}
	s->cmd = NULL;
	arena_free(s->arena);
	s->arena = NULL;
	buf_release(&s->reply);
}

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
		store_op_forget(store_claim_recent(s->home, view_mailbox(sel->view), NULL, NULL));
	home_watch_stop(&sel->watch);
	view_unref(sel->view);
	uidset_fini(&sel->told);
	*sel = (struct selected){ .view = NULL };
}

static void
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
	command_free(s);
	session_unpin(s);
	if (s->stream != NULL)
		stream_close(s->stream, s->stuck ? 0 : LINGER_MS);
	home_unref(s->home);
	on_user_gone(s);
	list_remove(&s->link);
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
	       clock_us() - since_us > STEP_US;
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

/* ---- results ---- */

enum step
cmd_ok(struct cmd *c, const char *text)
{
	c->result = RESULT_OK;
	c->text = text;
	return STEP_DONE;
}

enum step
cmd_no(struct cmd *c, const char *code, const char *text)
{
	c->result = RESULT_NO;
	c->code = code;
	c->text = text;
	return STEP_DONE;
}

enum step
cmd_bad(struct cmd *c, const char *text)
{
	c->result = RESULT_BAD;
	c->text = text;
	return STEP_DONE;
}

enum step
cmd_fail(struct imap_session *s, struct cmd *c, enum err e)
{
	if (e == ERR_TEMP || e == ERR_BUSY || e == ERR_AGAIN || e == ERR_EOF || e == ERR_CORRUPT ||
		e == ERR_BUG)
		log_event(LVL_WARN, "imap.fail", log_z("sid", s->sid), log_z("cmd", c->def->name),
			log_e("err", e), log_z("reason", home_error(s->home)));
	switch (e) {
	case ERR_NOTFOUND:
		return cmd_no(c, "NONEXISTENT", "No such mailbox");
	case ERR_EXISTS:
		return cmd_no(c, "ALREADYEXISTS", "Mailbox exists already");
	case ERR_DENIED:
		return cmd_no(c, "CANNOT", "Not possible here");
	case ERR_LIMIT:
		return cmd_no(c, "LIMIT", "Over a limit of this server");
	case ERR_SYNTAX:
		return cmd_no(c, "CANNOT", "Invalid mailbox name");
	case ERR_CORRUPT:
		return cmd_no(c, "CORRUPTION", "Mailbox is damaged");
	case ERR_TEMP:
	case ERR_BUSY:
	case ERR_AGAIN:
	case ERR_EOF:
		return cmd_no(c, "UNAVAILABLE", "Mail store is not available now, try again");
	case ERR_OK:
	case ERR_BUG:
		break;
	}
	return cmd_no(c, "SERVERBUG", "Internal error");
}

/* ---- what the commands use ---- */

enum err
session_read(struct imap_session *s, struct txn **out)
{
	enum err e = store_read_begin(s->home, out);

	/* the index is opened anew: the next step pins again */
	if (e == ERR_AGAIN)
		session_unpin(s);
	return e;
}

enum err
session_select_set(struct imap_session *s, struct cmd *c, struct seq_set *set, struct uidset *out)
{
	const struct view *v = s->sel.view;
	struct uidset named;

	uidset_init(&named);
	seq_set_resolve(set, c->uid ? view_last_uid(v) : view_count(v));
	bool beyond = !c->uid && (set->n == 0 || set->r[set->n - 1].hi > view_count(v));

	if (!beyond) {
		for (size_t i = 0; i < set->n; i++)
			uidset_add(&named, set->r[i].lo, set->r[i].hi);
		if (c->uid)
			view_select_uids(v, &named, out);
		else
			view_select_seqs(v, &named, out);
	}
	uidset_fini(&named);
	return beyond ? ERR_SYNTAX : ERR_OK;
}

enum err
session_mailbox(struct imap_session *s, struct str raw, struct str *out)
{
	struct buf utf8, nfc, name;

	buf_init(&utf8, 4096);
	buf_init(&nfc, 4096);
	buf_init(&name, 4096);
	enum err e = utf7_to_utf8(&utf8, raw);

	if (e == ERR_OK)
		e = charset_nfc(&nfc, buf_str(&utf8));
	if (e == ERR_OK)
		e = mailbox_name_check(buf_str(&nfc), &name);
	if (e == ERR_OK)
		e = buf_check(&name);
	if (e == ERR_OK)
		e = arena_str(s->arena, buf_str(&name), out);
	buf_fini(&utf8);
	buf_fini(&nfc);
	buf_fini(&name);
	return e;
}

void
session_resume(struct imap_session *s)
{
	session_step(s);
}

static void
on_pinned(struct home_wait *w, enum err e)
{
	struct imap_session *s = w->arg;

	s->pin_waiting = false;
	s->pinned = e == ERR_OK;
	s->pin_err = e;
	session_step(s);
}

/* ERR_OK: pinned; ERR_AGAIN: on_pinned comes. */
static enum err
pin(struct imap_session *s)
{
	enum err e = s->pin_err;

	s->pin_err = ERR_OK;
	if (s->pinned)
		return ERR_OK;
	if (s->pin_waiting)
		return ERR_AGAIN;
	if (e != ERR_OK)
		return e;
	s->wait = (struct home_wait){ .fn = on_pinned, .arg = s };
	e = home_pin(s->home, &s->wait);
	s->pinned = e == ERR_OK;
	s->pin_waiting = e == ERR_AGAIN;
	return e;
}

/* ---- one command's life ---- */

static enum go
command_finish(struct imap_session *s)
{
	static const char *const words[] = { " OK ", " NO ", " BAD " };
	struct cmd *c = s->cmd;
	struct buf *out = session_out(s);

	buf_add(out, c->tag.n != 0 ? c->tag : STR("*"));
	buf_addz(out, words[c->result]);
	if (c->code != NULL || s->reply.n != 0) {
		buf_addc(out, '[');
		if (s->reply.n != 0)
			buf_add(out, buf_str(&s->reply));
		else
			buf_addz(out, c->code);
		buf_addz(out, "] ");
	}
	buf_addz(out, c->text);
	buf_addz(out, "\r\n");
	session_flush(s);
	if (log_enabled(LVL_DEBUG))
		log_event(LVL_DEBUG, "imap.command", log_z("sid", s->sid),
			log_z("cmd", c->def != NULL ? c->def->name : "?"),
			log_n("result", c->result), log_n("us", clock_us() - s->command_us));
	s->bad_commands = c->result == RESULT_BAD ? s->bad_commands + 1 : 0;
	s->commands_count++;
	command_free(s);
	session_unpin(s);
	s->state = SESSION_READING;
	s->last_input_ms = loop_now_ms(s->imap->loop);
	if (s->closing)
		s->dead = true;
	else if (s->bad_commands >= BAD_MAX)
		session_bye(s, "Too many invalid commands");
	else if (s->imap->stopping)
		session_bye(s, "Server is going down, please connect again");
	return GO_ON;
}

static enum go
command_sync(struct imap_session *s)
{
	const struct command *def = s->cmd->def;

	if (s->sel.view == NULL || def->sync == SYNC_NONE || s->cmd->result == RESULT_BAD ||
		!def->pins)
		return command_finish(s);
	enum err e = pin(s);

	if (e == ERR_AGAIN)
		return GO_WAIT;
	if (e == ERR_OK && !s->sync.active)
		e = sync_begin(s, def->sync == SYNC_ALL || s->cmd->uid);
	if (e == ERR_OK)
		e = sync_step(s, s->cmd->uid);
	session_flush(s);
	if (e == ERR_AGAIN)
		return GO_LATER;
	sync_end(s);
	/* what could not be seen now is announced by a later command */
	if (e == ERR_NOTFOUND)
		session_bye(s, "The selected mailbox was deleted");
	return s->dead ? GO_WAIT : command_finish(s);
}

static enum go
command_run(struct imap_session *s)
{
	struct cmd *c = s->cmd;
	enum step step;

	if (c->op != NULL)
		return GO_WAIT;
	if (c->def->pins && !c->unpinned) {
		enum err e = pin(s);

		if (e == ERR_AGAIN)
			return GO_WAIT;
		if (e != ERR_OK) {
			(void)cmd_fail(s, c, e);
			return command_finish(s);
		}
	}
	step = c->def->run(s, c);
	session_flush(s);
	switch (step) {
	case STEP_DONE:
		s->state = SESSION_SYNCING;
		return GO_ON;
	case STEP_MORE:
		return GO_LATER;
	case STEP_WAIT:
		break;
	}
	return GO_WAIT;
}

/* The next command's octets are at the front of the input: n of them. */
static enum go
command_start(struct imap_session *s, enum read_event ev, const struct read_result *r)
{
	struct buf *in = stream_in(s->stream);
	struct str text = str_sub(buf_str(in), 0, r->n);
	const char *why = "Command too large";

	/* APPEND's literal header belongs to the session */
	if (ev == READ_MESSAGE)
		text.n = str_rchr(text, '{');
	s->arena = arena_new(ARENA_MAX);
	s->command_us = clock_us();
	struct cmd *c = arena_calloc(s->arena, 1, sizeof *c);
	enum err e = c != NULL ? arena_str(s->arena, text, &text) : ERR_LIMIT;

	buf_consume(in, r->n);
	s->cmd = c;
	if (c == NULL) {
		s->dead = true;
		return GO_WAIT;
	}
	if (e == ERR_OK)
		e = command_parse(text, s->arena, c, &why);
	if (ev == READ_MESSAGE) {
		c->a.append.literal = r->literal;
		c->a.append.sync = r->sync;
	}
	if (e != ERR_OK) {
		(void)cmd_bad(c, why);
		return command_finish(s);
	}
	unsigned now = s->sel.view != NULL ? IN_SELECTED : IN_AUTH;

	if ((c->def->states & now) == 0) {
		(void)cmd_bad(
			c, c->def->states == 0 ? "Already logged in" : "No mailbox is selected");
		return command_finish(s);
	}
	s->state = SESSION_RUNNING;
	return GO_ON;
}

static enum go
refuse_command(struct imap_session *s, enum read_event ev)
{
	struct buf *out = session_out(s);

	buf_addz(out, s->reader.tag[0] != '\0' ? s->reader.tag : "*");
	buf_addz(out, ev == READ_TOO_BIG ? " NO [TOOBIG] Message is too large\r\n"
					 : " BAD [LIMIT] Command is too large\r\n");
	session_flush(s);
	reader_init(&s->reader);
	if (++s->bad_commands >= BAD_MAX)
		session_bye(s, "Too many invalid commands");
	return GO_ON;
}

static enum go
read_command(struct imap_session *s)
{
	struct read_result r;
	enum read_event ev =
		reader_step(&s->reader, &s->imap->limits.reader, stream_in(s->stream), &r);

	switch (ev) {
	case READ_MORE:
		if (s->eof)
			s->dead = true;
		return GO_WAIT;
	case READ_CONTINUE:
		stream_write(s->stream, STR("+ OK\r\n"));
		return GO_ON;
	case READ_COMMAND:
	case READ_MESSAGE:
		return command_start(s, ev, &r);
	case READ_TOO_LARGE:
	case READ_TOO_BIG:
		return refuse_command(s, ev);
	case READ_FATAL:
		session_bye(s, "Too much data");
		return GO_WAIT;
	}
	return GO_WAIT;
}

/* ---- IDLE ---- */

static enum go
idle_input(struct imap_session *s)
{
	struct read_result r;
	struct buf *in = stream_in(s->stream);
	enum read_event ev = reader_step(&s->reader, &s->imap->limits.reader, in, &r);

	if (ev == READ_MORE) {
		if (s->eof)
			s->dead = true;
		return GO_WAIT;
	}
	if (ev != READ_COMMAND) {
		session_bye(s, "DONE expected");
		return GO_WAIT;
	}
	bool done = str_ieq(str_trim(str_sub(buf_str(in), 0, r.n)), STR("DONE"));

	buf_consume(in, r.n);
	if (done)
		(void)cmd_ok(s->cmd, "Idle ended");
	else
		(void)cmd_bad(s->cmd, "DONE expected");
	return command_finish(s);
}

static enum go
idle_step(struct imap_session *s)
{
	if (!s->sync.active && (s->sel.view == NULL || !s->sel.dirty)) {
		session_unpin(s);
		return idle_input(s);
	}
	enum err e = pin(s);

	if (e == ERR_AGAIN)
		return GO_WAIT;
	if (e == ERR_OK && !s->sync.active)
		e = sync_begin(s, true);
	if (e == ERR_OK)
		e = sync_step(s, false);
	session_flush(s);
	if (e == ERR_AGAIN)
		return GO_LATER;
	sync_end(s);
	if (e == ERR_NOTFOUND)
		session_bye(s, "The selected mailbox was deleted");
	/* a home that is out of reach is looked at again when the watch says so */
	s->sel.dirty = false;
	return GO_ON;
}

/* ---- the one step ---- */

static enum go
step_once(struct imap_session *s)
{
	switch (s->state) {
	case SESSION_READING:
		return read_command(s);
	case SESSION_RUNNING:
		return command_run(s);
	case SESSION_SYNCING:
		return command_sync(s);
	case SESSION_IDLE:
		return idle_step(s);
	}
	return GO_WAIT;
}

static void
session_step(struct imap_session *s)
{
	enum go go = GO_ON;
	int64_t began = clock_us();
	uint64_t enough = s->commands_count + s->imap->limits.commands_in_a_row;

	s->stepping = true;
	while (go == GO_ON && !s->dead) {
		go = step_once(s);
		if (go == GO_ON && (s->commands_count >= enough || session_enough(s, began)))
			go = GO_LATER;
	}
	s->stepping = false;
	if (s->dead) {
		session_free(s);
		return;
	}
	/* a full stream calls on_drain */
	if (go == GO_LATER && !stream_full(s->stream))
		loop_task_queue(&s->task);
	if (s->released) {
		s->released = false;
		loop_timer_start(&s->timer, RELEASE_MS);
	}
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
	if (s->state == SESSION_READING || s->state == SESSION_IDLE ||
		(s->state == SESSION_RUNNING && s->cmd->wants_input))
		session_step(s);
}

static void
on_drain(struct stream *stream UNUSED, void *arg)
{
	session_step(arg);
}

static void
on_end(struct stream *stream UNUSED, void *arg, enum err why)
{
	struct imap_session *s = arg;

	s->eof = true;
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
		s->stepping = true;
		session_bye(s, "Logged out for inactivity");
		s->stepping = false;
		session_free(s);
		return;
	}
	if (s->state == SESSION_IDLE && now - s->last_probe_ms >= l->probe_ms) {
		s->last_probe_ms = now;
		stream_write(s->stream, STR("* OK Still here\r\n"));
	}
	if (stream_queued(s->stream) == 0 && stream_in(s->stream)->n == 0 && s->cmd == NULL) {
		stream_release_buffers(s->stream);
		s->released = true;
		next = s->last_input_ms + l->idle_ms - now;
	} else if (s->state == SESSION_IDLE && stream_queued(s->stream) == 0) {
		stream_release_buffers(s->stream);
		next = s->last_probe_ms + l->probe_ms - now;
	}
	if (next > l->write_ms && s->cmd != NULL && s->state != SESSION_IDLE)
		next = l->write_ms;
	loop_timer_start(&s->timer, next > 50 ? next : 50);
}

/* ---- start and end ---- */

static const struct stream_ops session_stream_ops = {
	.on_read = on_read,
	.on_drain = on_drain,
	.on_end = on_end,
};

static struct imap_user *
user_get(struct imap *i, struct str name)
{
	struct hmap_node *n = hmap_get(&i->users, name);

	if (n != NULL)
		return CONTAINER_OF(n, struct imap_user, node);
	struct imap_user *u = xcalloc(1, sizeof *u);

	u->name = str_dup(name);
	hmap_put(&i->users, &u->node, str_of(u->name));
	return u;
}

/* The tagged answer to the login. */
static void
session_greet(struct imap_session *s, struct str tag, enum err home_err)
{
	struct buf *out = session_out(s);

	buf_add(out, tag);
	if (home_err != ERR_OK) {
		buf_addz(out, " NO [CONTACTADMIN] The account has no usable home\r\n");
		session_bye(s, "No mail home");
	} else if (s->user->sessions > s->imap->limits.sessions_per_user) {
		buf_addz(out, " NO [LIMIT] Too many connections of this user\r\n");
		session_bye(s, "Too many connections");
	} else {
		buf_addz(out, " OK [");
		capability_write(out);
		buf_addz(out, "] Logged in\r\n");
		session_flush(s);
	}
}

void
imap_session_start(struct imap *i, const struct imap_login *login, int fd)
{
	struct imap_session *s = xcalloc(1, sizeof *s);
	const struct reader_limits *l = &i->limits.reader;
	struct stream_options o = { .in_max_bytes = l->line_max + l->literal_max + 4096,
		.out_low_bytes = OUT_LOW_BYTES,
		.out_high_bytes = OUT_HIGH_BYTES };
	enum err e = home_get(i->store, login->home, &s->home);

	s->imap = i;
	s->user = user_get(i, login->user);
	s->user->sessions++;
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
	log_event(LVL_INFO, "imap.begin", log_z("sid", s->sid), log_s("user", login->user),
		log_n("sessions", (int64_t)s->user->sessions));
	s->stepping = true;
	session_greet(s, login->tag, e);
	s->stepping = false;
	if (s->dead) {
		session_free(s);
		return;
	}
	loop_timer_start(&s->timer, RELEASE_MS);
	if (login->input.n != 0)
		loop_task_queue(&s->task);
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
		.commands_in_a_row = (unsigned)m->pipeline_max,
		.sessions_per_user = (size_t)m->connections_per_user,
		/* the other half is for indexes and message files */
		.sessions_max = files.rlim_cur > 1024 ? (files.rlim_cur - 512) / 2 : 256,
	};
}

void
imap_init(struct imap *i, struct loop *l, struct store *st, const struct settings *set)
{
	*i = (struct imap){ .loop = l, .store = st };
	imap_set_limits(i, set);
	hmap_init(&i->users);
	list_init(&i->sessions);
	buf_init(&i->out, SCRATCH_MAX);
}

void
imap_fini(struct imap *i)
{
	i->on_empty = NULL;
	LIST_FOREACH(n, &i->sessions)
	session_free(CONTAINER_OF(n, struct imap_session, link));
	hmap_fini(&i->users);
	buf_fini(&i->out);
}

void
imap_stop(struct imap *i)
{
	i->stopping = true;
	LIST_FOREACH(n, &i->sessions)
	{
		struct imap_session *s = CONTAINER_OF(n, struct imap_session, link);

		bool waits = s->state == SESSION_READING || s->state == SESSION_IDLE ||
			     (s->state == SESSION_RUNNING && s->cmd->wants_input);

		if (!waits)
			continue;
		s->stepping = true;
		session_bye(s, "Server is going down, please connect again");
		s->stepping = false;
		session_free(s);
	}
}
