/* Questions to lmtp about room; see room.h. session_check.c asks after the directory's yes.
 * Invariants: answers come in the order of the questions, three lines each; when the connection
 * fails, or lmtp says anything that was not expected, whoever waits hears ROOM_YES. */
#include "delivery/smtp/room.h"

#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/connect.h"
#include "core/event/stream.h"

enum {
	CONNECT_MS = 1000,
	BACKOFF_MS = 1000,
	IN_MAX = 64 * 1024,
	ADDRESS_MAX = 320,
};

/* What the next line of lmtp's answers. */
enum line { LINE_GREETING, LINE_LHLO, LINE_MAIL, LINE_RCPT, LINE_RSET };

struct room {
	struct loop *loop;
	char *address;
	struct connecting *connecting;
	struct stream *stream;	  /* NULL: not connected */
	struct loop_task hang_up; /* after a line that was not expected */
	int64_t not_before_ms;	  /* the next try to connect */
	bool ready;		  /* LHLO was answered */
	enum line next;
	struct list sent;   /* written, in order; cancelled ones stay until their answer */
	struct list unsent; /* until ready */
	size_t count;
};

struct room_question {
	struct list link;
	struct room *room;
	struct loop_timer timer;
	room_fn fn; /* NULL: cancelled, or out of time */
	void *arg;
	uint64_t size;
	enum room_answer answer;
	char mailbox[ADDRESS_MAX + 1];
};

static void
question_free(struct room_question *q)
{
	loop_timer_stop(&q->timer);
	list_remove(&q->link);
	q->room->count--;
	free(q);
}

/* The question may be gone from the wire, or not: then it stays for its lines, deaf. */
static void
say(struct room_question *q, enum room_answer a, bool on_wire)
{
	room_fn fn = q->fn;
	void *arg = q->arg;

	q->fn = NULL;
	if (on_wire)
		loop_timer_stop(&q->timer);
	else
		question_free(q);
	if (fn != NULL)
		fn(arg, a);
}

static bool
is_sent(const struct room_question *q)
{
	LIST_FOREACH (l, &q->room->sent)
		if (l == &q->link)
			return true;
	return false;
}

/* Out of time, or never to be asked. */
static void
on_timer(struct loop_timer *t)
{
	struct room_question *q = t->arg;
	bool sent = is_sent(q);

	if (sent) /* it hangs */
		loop_task_queue(&q->room->hang_up);
	say(q, ROOM_YES, sent);
}

/* Everybody who waits hears at the loop's next turn. */
static void
give_up(struct room *r)
{
	struct list *lists[] = { &r->sent, &r->unsent };

	if (r->stream != NULL)
		stream_close(r->stream, 0);
	r->stream = NULL;
	loop_task_cancel(&r->hang_up);
	r->ready = false;
	r->not_before_ms = loop_now_ms(r->loop) + (r->count > 0 ? BACKOFF_MS : 0);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		LIST_FOREACH (l, lists[i]) {
			struct room_question *q = CONTAINER_OF(l, struct room_question, link);
			list_remove(&q->link);
			if (q->fn == NULL) {
				question_free(q);
				continue;
			}
			loop_timer_start(&q->timer, 0);
		}
}

static void
on_hang_up(struct loop_task *t)
{
	give_up(t->arg);
}

static void
write_question(struct room_question *q)
{
	struct room *r = q->room;
	const char *utf8 = str_has_8bit(str_of(q->mailbox)) ? " SMTPUTF8" : "";

	stream_writef(r->stream, "MAIL FROM:<> SIZE=%llu XROOM%s\r\nRCPT TO:<%s>\r\nRSET\r\n",
		(unsigned long long)q->size, utf8, q->mailbox);
	list_push_back(&r->sent, &q->link);
}

/* One reply line, "552 5.2.2 Mailbox is full". False: not what was expected. */
static bool
on_line(struct room *r, struct str line)
{
	struct room_question *q = list_empty(&r->sent)
					  ? NULL
					  : CONTAINER_OF(r->sent.next, struct room_question, link);
	uint32_t code;

	if (line.n < 4 || str_to_u32(str_sub(line, 0, 3), 999, &code) != ERR_OK)
		return false;
	if (line.p[3] == '-')
		return true;
	switch (r->next) {
	case LINE_GREETING:
		r->next = LINE_LHLO;
		return code == 220;
	case LINE_LHLO:
		r->next = LINE_MAIL;
		r->ready = code == 250;
		LIST_FOREACH (l, &r->unsent) {
			if (!r->ready)
				break;
			list_remove(l);
			write_question(CONTAINER_OF(l, struct room_question, link));
		}
		return r->ready;
	case LINE_MAIL:
		r->next = LINE_RCPT;
		return q != NULL;
	case LINE_RCPT:
		r->next = LINE_RSET;
		if (q == NULL)
			return false;
		q->answer = str_starts(line, STR("552 5.2.2"))	 ? ROOM_FULL
			    : str_starts(line, STR("452 4.2.2")) ? ROOM_FULL_TEMP
								 : ROOM_YES;
		return true;
	case LINE_RSET:
		r->next = LINE_MAIL;
		if (q == NULL || code != 250)
			return false;
		say(q, q->answer, false);
		return true;
	}
	return false;
}

static void
on_read(struct stream *stream, void *arg)
{
	struct room *r = arg;
	struct buf *in = stream_in(stream);

	for (;;) {
		struct str all = buf_str(in);
		size_t nl = str_chr(all, '\n');
		char line[1024];
		if (nl == all.n)
			return;
		if (nl >= sizeof line ||
			!on_line(r, (memcpy(line, all.p, nl), str_trim(str_n(line, nl))))) {
			loop_task_queue(&r->hang_up);
			return;
		}
		if (r->stream == NULL)
			return;
		buf_consume(in, nl + 1);
	}
}

static void
on_end(struct stream *stream, void *arg, enum err why)
{
	(void)stream;
	(void)why;
	give_up(arg);
}

static const struct stream_ops ops = { .on_read = on_read, .on_end = on_end };

static void
on_connect(void *arg, int fd, enum err e, const char *text)
{
	static const struct stream_options o = { .in_max_bytes = IN_MAX };
	struct room *r = arg;

	r->connecting = NULL;
	if (fd < 0) {
		log_event(LVL_WARN, "smtp.room", log_e("res", e), log_z("reason", text));
		give_up(r);
		return;
	}
	r->next = LINE_GREETING;
	r->stream = stream_new(r->loop, fd, &ops, r, &o);
	stream_write(r->stream, STR("LHLO localhost\r\n"));
}

struct room *
room_new(struct loop *l, struct str address)
{
	struct room *r = xcalloc(1, sizeof *r);

	r->loop = l;
	r->address = str_dup(address);
	list_init(&r->sent);
	list_init(&r->unsent);
	loop_task_init(&r->hang_up, l, on_hang_up, r);
	return r;
}

void
room_free(struct room *r)
{
	if (r == NULL)
		return;
	give_up(r);
	if (r->connecting != NULL)
		connect_cancel(r->connecting);
	free(r->address);
	free(r);
}

struct room_question *
room_ask(struct room *r, struct str mailbox, uint64_t size, room_fn fn, void *arg)
{
	struct room_question *q = xcalloc(1, sizeof *q);
	bool can = mailbox.n <= ADDRESS_MAX && r->count < ROOM_QUESTIONS_MAX &&
		   (r->stream != NULL || r->connecting != NULL ||
			   loop_now_ms(r->loop) >= r->not_before_ms);

	q->room = r;
	q->fn = fn;
	q->arg = arg;
	q->size = size;
	list_init(&q->link);
	loop_timer_init(&q->timer, r->loop, on_timer, q);
	loop_timer_start(&q->timer, can ? ROOM_TIMEOUT_MS : 0);
	r->count++;
	if (!can)
		return q;
	memcpy(q->mailbox, mailbox.p, mailbox.n);
	if (r->ready) {
		write_question(q);
		return q;
	}
	list_push_back(&r->unsent, &q->link);
	if (r->stream == NULL && r->connecting == NULL)
		r->connecting =
			connect_start(r->loop, str_of(r->address), CONNECT_MS, on_connect, r);
	return q;
}

void
room_cancel(struct room_question *q)
{
	if (q == NULL)
		return;
	q->fn = NULL;
	if (is_sent(q))
		loop_timer_stop(&q->timer);
	else
		question_free(q);
}
