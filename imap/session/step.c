/* One client's steps: takes commands from the reader, runs them, announces what changed when one
 * ended, and says the tagged line; IDLE is one of them. Called by session.c for input, time and
 * room in the output, and by completions of the store; all of them end in session_step.
 * Invariants: one command at a time, in the order of arrival; no read transaction and no pin
 * outlive the command (IDLE included). */
#include "imap/session/announce.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "imap/session/commands.h"
#include "imap/session/limit.h"
#include "imap/session/notify.h"
#include "imap/session/sync.h"

enum { BAD_MAX = 20, ARENA_MAX = 4 * 1024 * 1024 };

void
session_command_free(struct imap_session *s)
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

enum err
session_pin(struct imap_session *s)
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

/* In the tagged line where that has no other code: RFC 7162 3.2.7 wants it there. */
void
session_say_highest(struct imap_session *s, struct cmd *c)
{
	struct buf *out = session_out(s);

	if (sync_highest_due(s)) {
		bool tagged =
			c != NULL && c->result == RESULT_OK && c->code == NULL && s->reply.n == 0;

		if (!tagged)
			buf_addz(out, "* OK [");
		sync_highest_write(s, tagged ? &s->reply : out);
		if (!tagged)
			buf_addz(out, "] Highest\r\n");
	}
	s->sel.told_max = 0;
	s->sel.tell_highest = false;
}

/* What waited for the command's end. */
static void
end_if_due(struct imap_session *s)
{
	if (s->closing)
		s->dead = true;
	else if (s->bad_commands >= BAD_MAX)
		session_bye(s, "Too many invalid commands");
	else if (s->dismissed)
		session_bye(s, s->user->bye.p);
	else if (s->imap->stopping)
		session_bye(s, SESSION_BYE_STOP);
}

static enum go
own_finish(struct imap_session *s)
{
	announce_fetched(s);
	session_unpin(s);
	end_if_due(s);
	return GO_ON;
}

static enum go
command_finish(struct imap_session *s)
{
	static const char *const words[] = { " OK ", " NO ", " BAD " };
	struct cmd *c = s->cmd;
	struct buf *out = session_out(s);

	if (c->own)
		return own_finish(s);
	/* a code that was cut would name the wrong messages */
	if (buf_check(&s->reply) != ERR_OK) {
		s->dead = true;
		return GO_WAIT;
	}
	limit_say(s, c);
	session_say_highest(s, c);
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
	if (s->compress_next)
		stream_start_deflate(s->stream);
	s->compress_next = false;
	if (log_enabled(LVL_DEBUG))
		log_event(LVL_DEBUG, "imap.command", log_z("sid", s->sid),
			log_z("cmd", c->def != NULL ? c->def->name : "?"),
			log_n("result", c->result), log_n("us", clock_us() - s->command_us));
	if (s->notify != NULL)
		notify_command_ended(s, c);
	uidset_reset(&s->sel.made);
	s->bad_commands = c->result == RESULT_BAD ? s->bad_commands + 1 : 0;
	s->commands_count++;
	session_command_free(s);
	session_unpin(s);
	s->state = SESSION_READING;
	s->last_input_ms = loop_now_ms(s->imap->loop);
	end_if_due(s);
	return GO_ON;
}

static enum go
command_sync(struct imap_session *s)
{
	const struct command *def = s->cmd->def;

	if (s->sel.view == NULL || def->sync == SYNC_NONE || s->cmd->result == RESULT_BAD ||
		!def->pins || s->cmd->own || !notify_wants_sync(s, s->cmd))
		return command_finish(s);
	enum err e = session_pin(s);

	if (e == ERR_AGAIN)
		return GO_WAIT;
	/* a command that failed has not said all that it did */
	if (s->cmd->result != RESULT_OK)
		told_reset(&s->sel.told);
	if (e == ERR_OK && !s->sync.active)
		e = sync_begin(s, def->sync == SYNC_ALL || (s->cmd->uid && !s->cmd->keeps_numbers));
	if (e == ERR_OK)
		e = sync_step(s, s->cmd->uid || s->notify != NULL);
	session_flush(s);
	if (e == ERR_AGAIN)
		return GO_LATER;
	sync_give_up(s);
	/* what could not be seen now is announced by a later command */
	if (e == ERR_NOTFOUND)
		session_bye(s, "The selected mailbox was deleted");
	return s->dead ? GO_WAIT : command_finish(s);
}

/* The home cannot be opened, so the command does not even begin, or it was closed in between and
 * the command ends where it is; yet its NO means what it always means: RFC 3501 6.3.1, RFC
 * 5182 2.1.
 */
static enum go
command_has_no_home(struct imap_session *s, struct cmd *c, enum err e)
{
	bool selects = c->def->run == run_select || c->def->run == run_examine;

	/* its tagged line comes when nothing is changed any more */
	if (c->op != NULL) {
		c->goes_on = false;
		return GO_WAIT;
	}
	(void)cmd_fail(s, c, e);
	if (c->def->run == run_fetch)
		fetch_give_up(s, c);
	if (s->dead)
		return GO_WAIT;
	if (selects && s->sel.view != NULL) {
		buf_addz(session_out(s), "* OK [CLOSED] Previous mailbox closed\r\n");
		session_deselect(s);
	}
	if (c->def->run == run_search && (c->a.search.want & RETURN_SAVE) != 0)
		uidset_reset(&s->sel.saved);
	told_reset(&s->sel.told);
	return command_finish(s);
}

static enum go
command_run(struct imap_session *s)
{
	struct cmd *c = s->cmd;
	enum step step;

	if (c->op != NULL && !c->goes_on)
		return GO_WAIT;
	if (c->def->pins && !c->unpinned) {
		enum err e = session_pin(s);

		if (e == ERR_AGAIN)
			return GO_WAIT;
		/* after its beginning a SELECT may still take back what it said */
		if (e != ERR_OK && c->def->run != run_append)
			return command_has_no_home(s, c, e);
		/* its message is on its way and must not be taken for commands */
		c->pin_err = e;
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
	/* a command with a message in it takes that first */
	if (c->def->uid && !c->uid && c->def->run != run_append && (s->modes & MODE_UIDONLY) != 0) {
		(void)cmd_uid_required(c);
		return command_finish(s);
	}
	s->state = SESSION_RUNNING;
	return GO_ON;
}

/* why: of READ_WRONG. */
static enum go
refuse_command(struct imap_session *s, enum read_event ev, const char *why)
{
	struct buf *out = session_out(s);
	const char *text = ev == READ_TOO_BIG	  ? " NO [TOOBIG] Message is too large"
			   : ev == READ_TOO_LARGE ? " BAD [LIMIT] Command is too large"
						  : " BAD ";

	buf_addz(out, s->reader.tag[0] != '\0' ? s->reader.tag : "*");
	buf_addz(out, text);
	buf_addz(out, ev == READ_WRONG ? why : "");
	buf_addz(out, "\r\n");
	session_flush(s);
	reader_init(&s->reader);
	/* a message that is too large is no mistake in the protocol: a folder may hold many */
	if (ev != READ_TOO_BIG && ++s->bad_commands >= BAD_MAX)
		session_bye(s, "Too many invalid commands");
	return GO_ON;
}

static enum go
read_command(struct imap_session *s)
{
	struct read_result r;
	enum read_event ev = session_next(s, &r);

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
	case READ_WRONG:
		return refuse_command(s, ev, r.why);
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
	enum read_event ev = session_next(s, &r);

	if (ev == READ_MORE) {
		if (s->eof)
			s->dead = true;
		return GO_WAIT;
	}
	if (ev != READ_COMMAND) {
		session_bye(s, "DONE expected");
		return GO_WAIT;
	}
	/* it would not look for them in the answer to its next command */
	if (s->cmd->news_wait) {
		s->cmd->news_wait = false;
		s->cmd->rest_until_ms = 0;
		return GO_ON;
	}
	bool done = str_ieq(str_trim(str_sub(buf_str(in), 0, r.n)), STR("DONE"));

	buf_consume(in, r.n);
	if (done)
		(void)cmd_ok(s->cmd, "Idle ended");
	else
		(void)cmd_bad(s->cmd, "DONE expected");
	return command_finish(s);
}

/* Thunderbird sleeps over news that it reads together with the continuation when both come
 * compressed: it then waits for the socket with the rest of what it inflated in its hands. So what
 * is known already stands before it, and what comes next rests a moment (announce.c). */
static void
idle_begins(struct imap_session *s)
{
	struct cmd *c = s->cmd;

	if (c->phase != 0)
		return;
	c->phase = 1;
	if (s->compressed)
		c->rest_until_ms = loop_now_ms(s->imap->loop) + s->imap->limits.idle_rest_ms;
	buf_addz(session_out(s), "+ idling\r\n");
	session_flush(s);
}

/* ---- the one step ---- */

static enum go
step_once(struct imap_session *s)
{
	enum go go;

	switch (s->state) {
	case SESSION_READING:
		return s->notify != NULL && announce_step(s, &go) ? go : read_command(s);
	case SESSION_RUNNING:
		return command_run(s);
	case SESSION_SYNCING:
		return command_sync(s);
	case SESSION_IDLE:
		if (announce_step(s, &go))
			return go;
		idle_begins(s);
		return idle_input(s);
	}
	return GO_WAIT;
}

void
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
		loop_task_queue_late(&s->task);
	if (s->released) {
		s->released = false;
		loop_timer_start(&s->timer, SESSION_RELEASE_MS);
	}
}
