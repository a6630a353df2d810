/* Two clients; see imap_pair.h. Invariant: octets behind a synchronising literal's header are sent
 * only when the server said "+", as a client does; everything else is pipelined. */
#include "tests/unit/imap_pair.h"

#include "imap/grammar/reader.h"

enum { IN_MAX = 16 * 1024 * 1024, WAIT_MS = 120000, CROWD = 60, SCRIPT_MAX = 1024 * 1024 };

static void
report(const struct peer *p)
{
	/* not cmocka's: that prints 1,023 octets */
	(void)fprintf(
		stderr, "%s said and heard:\n%.*s\n", p->model.name, STR_FMT(buf_str(&p->script)));
}

static void
broken(const struct model *m, const char *what, struct str answer)
{
	const struct peer *p = m->arg;

	report(&p->pair->peer[0]);
	report(&p->pair->peer[1]);
	print_error("%s: %s (%u messages known): %.*s\n", m->name, what, m->count, STR_FMT(answer));
	abort();
}

void
pair_broken(const struct peer *p, const char *what)
{
	broken(&p->model, what, STR_EMPTY);
}

static void
note(struct peer *p, const char *who, struct str s)
{
	if (p->script.n > SCRIPT_MAX / 2)
		buf_reset(&p->script);
	buf_addz(&p->script, who);
	buf_add(&p->script, str_sub(s, 0, 400));
	if (!str_ends(s, STR("\n")))
		buf_addz(&p->script, "...\n");
}

/* ---- what comes ---- */

static void
drop_first(struct peer *p)
{
	free(p->queue[0].text);
	memmove(p->queue, p->queue + 1, (p->queued - 1) * sizeof *p->queue);
	p->queued--;
}

static void
see(struct peer *p, const struct answer *a)
{
	struct asked asked;
	bool any = p->queued != 0;

	note(p, "S: ", a->whole);
	if (p->raw)
		return;
	if (any)
		asked_init(&asked, str_n(p->queue[0].text, p->queue[0].n));
	model_see(&p->model, any ? &asked : NULL, a);
	if (a->kind == ANSWER_TAGGED)
		drop_first(p);
	if (a->kind != ANSWER_CONTINUE)
		return;
	if (!any || !p->queue[0].waits)
		broken(&p->model, "+ that nobody waits for", a->whole);
	p->queue[0].waits = false;
}

static void
on_io(struct loop_io *io, int events UNUSED)
{
	struct peer *p = io->arg;
	char tmp[65536];
	ssize_t n = recv(p->fd, tmp, sizeof tmp, MSG_DONTWAIT);
	struct answer a;
	enum err e = ERR_AGAIN;

	loop_stop(p->pair->w->loop);
	if (n > 0)
		buf_add(&p->in, str_n(tmp, (size_t)n));
	while (p->in.n != 0 && (e = answer_read(buf_str(&p->in), &a)) == ERR_OK) {
		see(p, &a);
		buf_consume(&p->in, a.whole.n);
	}
	if (e == ERR_SYNTAX || (n == 0 && p->in.n != 0) || buf_check(&p->in) != ERR_OK)
		broken(&p->model, "no response looks so", buf_str(&p->in));
	if (n != 0)
		return;
	p->ended = true;
	loop_io_set(&p->io, 0);
	if (!p->model.bye && !p->raw)
		broken(&p->model, "hung up without BYE", STR_EMPTY);
}

/* ---- what goes ---- */

void
pair_say(struct peer *p, struct str command)
{
	struct buf b;

	if (p->queued == PEER_COMMANDS_MAX)
		return;
	buf_init(&b, 1024 * 1024);
	buf_addf(&b, "t%u ", ++p->tags);
	buf_add(&b, command);
	buf_addz(&b, "\r\n");
	if (str_eq(command, STR("IDLE")))
		buf_addz(&b, "DONE\r\n");
	struct command_sent *c = &p->queue[p->queued++];

	*c = (struct command_sent){ .text = str_dup(buf_str(&b)), .n = b.n };
	buf_fini(&b);
}

/* How far a command may be sent before "+" is due. */
static size_t
until_plus(const struct command_sent *c, bool *waits_out)
{
	struct str s = str_n(c->text, c->n);
	size_t at = 0;

	*waits_out = false;
	while (at < s.n) {
		size_t end = at + str_chr(str_from(s, at), '\n') + 1;
		struct str line = str_sub(s, at, end - at);
		uint64_t size;
		bool sync, literal = literal_header(line, &size, &sync) == ERR_OK;
		bool idle = str_ends(line, STR(" IDLE\r\n")) && end < s.n;

		*waits_out = (literal && sync) || idle;
		if (*waits_out && end > c->sent)
			return end;
		at = end + (literal ? (size_t)size : 0);
	}
	*waits_out = false;
	return s.n;
}

static void
push(struct peer *p)
{
	for (size_t i = 0; i < p->queued; i++) {
		struct command_sent *c = &p->queue[i];
		bool waits;
		size_t until = until_plus(c, &waits);

		if (c->waits)
			return;
		if (c->sent == c->n)
			continue;
		note(p, "C: ", str_n(c->text + c->sent, until - c->sent));
		while (c->sent < until) {
			ssize_t n = send(p->fd, c->text + c->sent, until - c->sent,
				MSG_NOSIGNAL | MSG_DONTWAIT);

			/* a socketpair takes more than all of these commands */
			if (n < 0)
				return;
			c->sent += (size_t)n;
		}
		c->waits = waits;
		if (waits)
			return;
	}
}

static void
on_late(struct loop_timer *t)
{
	struct pair *pair = t->arg;

	pair->late = true;
	loop_stop(pair->w->loop);
}

static void
log_in(struct peer *p)
{
	struct pair *pair = p->pair;
	char home[200];
	int fds[2];

	model_reset(&p->model);
	p->ended = false;
	(void)snprintf(home, sizeof home, "%s/%s", pair->w->dir, pair->user);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	p->fd = fds[0];
	loop_io_init(&p->io, pair->w->loop, p->fd, on_io, p);
	loop_io_set(&p->io, LOOP_READ);
	/* the gate sent it */
	p->queue[p->queued++] = (struct command_sent){
		.text = str_dup(STR("login LOGIN\r\n")), .n = 13, .sent = 13
	};
	const struct imap_login login = { .user = str_of(pair->user),
		.home = str_of(home),
		.sid = str_of(p->model.name),
		.tag = STR("login"),
		.input = STR_EMPTY };

	imap_session_start(&pair->w->imap, &login, fds[1]);
}

void
pair_hang_up(struct peer *p)
{
	loop_io_set(&p->io, 0);
	(void)close(p->fd);
	p->fd = -1;
	while (p->queued != 0)
		drop_first(p);
	buf_reset(&p->in);
}

void
pair_connect(struct peer *p)
{
	/* after BYE the end is near, if it was not seen yet */
	if (p->fd >= 0 && (p->ended || p->model.bye))
		pair_hang_up(p);
	if (p->fd < 0)
		log_in(p);
}

/* A client that was sent away comes back. */
void
pair_return(struct peer *p)
{
	pair_connect(p);
	if (!p->model.selected || p->model.uncertain)
		pair_say(p, STR("SELECT INBOX"));
}

static bool
busy(const struct peer *p)
{
	return p->fd >= 0 && !p->ended && p->queued != 0;
}

void
pair_run(struct pair *pair)
{
	pair->late = false;
	loop_timer_start(&pair->timer, WAIT_MS);
	while (busy(&pair->peer[0]) || busy(&pair->peer[1])) {
		for (int i = 0; i < 2; i++)
			if (busy(&pair->peer[i]))
				push(&pair->peer[i]);
		loop_run(pair->w->loop);
		if (pair->late)
			broken(&pair->peer[busy(&pair->peer[1])].model, "no answer", STR_EMPTY);
	}
	loop_timer_stop(&pair->timer);
}

/* ---- the whole ---- */

void
pair_start(struct pair *pair, struct world *w, const char *user)
{
	static const char *const names[2] = { "first", "second" };

	*pair = (struct pair){ .w = w, .truth = truth_new() };
	(void)snprintf(pair->user, sizeof pair->user, "%s", user);
	loop_timer_init(&pair->timer, w->loop, on_late, pair);
	for (int i = 0; i < 2; i++) {
		struct peer *p = &pair->peer[i];

		p->pair = pair;
		p->fd = -1;
		buf_init(&p->in, IN_MAX);
		buf_init(&p->script, SCRIPT_MAX);
		model_init(&p->model, names[i], pair->truth, broken);
		p->model.arg = p;
		pair_return(p);
	}
	pair_run(pair);
}

void
pair_random(struct peer *p, struct grammar *g, const char *rule)
{
	struct buf b;

	pair_return(p);
	buf_init(&b, 512 * 1024);
	grammar_add(g, rule, &b);
	if (buf_check(&b) == ERR_OK)
		pair_say(p, buf_str(&b));
	buf_fini(&b);
	p->pair->commands++;
}

/* Copies of copies would fill the mailbox. */
static void
make_room(struct pair *pair)
{
	for (int i = 0; i < 2; i++) {
		struct peer *p = &pair->peer[i];

		if (p->model.count <= CROWD || p->ended)
			continue;
		pair_say(p, STR("SELECT INBOX"));
		pair_say(p, STR("UID STORE 1:* +FLAGS.SILENT (\\Deleted)"));
		pair_say(p, STR("EXPUNGE"));
		pair_run(pair);
	}
}

void
pair_steps(struct pair *pair, struct grammar *g, unsigned steps)
{
	for (unsigned i = 0; i < steps && (g->seed != 0 || g->left != 0); i++) {
		uint32_t how = grammar_dice(g, 16), more;

		if (how >= 14) {
			(how == 14 ? pair_resync : pair_conditional)(pair, g);
			make_room(pair);
			continue;
		}
		more = 1 + how % 8 / 4 * grammar_dice(g, 4);
		for (uint32_t k = 0; k < more; k++)
			pair_random(&pair->peer[how & 1], g, "session");
		if (how & 2)
			pair_random(&pair->peer[~how & 1], g, "session");
		pair_run(pair);
		make_room(pair);
	}
}

void
pair_raw(struct pair *pair, struct str octets)
{
	static const char *const work[] = { "APPEND INBOX (\\Seen) {2+}\r\nhi", "NOOP",
		"STORE 1:* +FLAGS (\\Deleted)", "UID EXPUNGE 1:*", "UID FETCH 1:* (UID FLAGS)" };
	struct peer *raw = &pair->peer[0], *other = &pair->peer[1];

	raw->raw = true;
	for (size_t i = 0; i < ARRAY_LEN(work); i++) {
		struct str part = str_sub(octets, 0, octets.n / (ARRAY_LEN(work) - i));

		octets = str_from(octets, part.n);
		note(raw, "C: ", part);
		if (!raw->ended && part.n != 0)
			(void)send(raw->fd, part.p, part.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		pair_return(other);
		pair_say(other, str_of(work[i]));
		pair_run(pair);
	}
	/* what was sent before the end is still done: its answers go nowhere */
	if (!raw->ended)
		(void)shutdown(raw->fd, SHUT_WR);
	pair->late = false;
	loop_timer_start(&pair->timer, WAIT_MS);
	while (!raw->ended && !pair->late)
		loop_run(pair->w->loop);
	loop_timer_stop(&pair->timer);
	if (pair->late)
		broken(&raw->model, "not hung up", STR_EMPTY);
	raw->raw = false;
}

static void
look_again(struct pair *pair, struct peer *p)
{
	const char *look = "UID FETCH 1:* (UID FLAGS)";

	p->model.final = true;
	p->model.rows = 0;
	pair_say(p, str_of(look));
	pair_run(pair);
	p->model.final = false;
	if (p->model.rows != p->model.count)
		broken(&p->model, "FETCH 1:* left messages out", STR_EMPTY);
}

void
pair_agree(struct pair *pair)
{
	struct model *a = &pair->peer[0].model, *b = &pair->peer[1].model;

	for (int i = 0; i < 2; i++) {
		struct peer *p = &pair->peer[i];

		/* what it knows of another mailbox is worth nothing here */
		pair_return(p);
		/* or it sees a snapshot, as it asked for */
		if (p->model.notify)
			pair_say(p, STR("NOTIFY SET (selected-delayed (MessageNew MessageExpunge "
					"FlagChange))"));
		pair_say(p, STR("NOOP"));
		pair_run(pair);
		pair_return(p);
		pair_run(pair);
	}
	for (int i = 0; i < 2; i++)
		look_again(pair, &pair->peer[i]);
	for (int i = 0; i < 2; i++) {
		pair_say(&pair->peer[i], STR("SELECT INBOX"));
		pair_run(pair);
		look_again(pair, &pair->peer[i]);
	}
	if (a->count != b->count || a->uidvalidity != b->uidvalidity)
		broken(a, "the two see different mailboxes", STR_EMPTY);
	if (a->uidonly || b->uidonly)
		return;
	for (uint32_t i = 1; i <= a->count; i++)
		if (a->message[i].uid != b->message[i].uid ||
			a->message[i].flags != b->message[i].flags)
			broken(a, "the two see different messages", STR_EMPTY);
}

void
pair_stop(struct pair *pair)
{
	for (int i = 0; i < 2; i++) {
		struct peer *p = &pair->peer[i];

		if (p->fd >= 0)
			pair_hang_up(p);
		buf_fini(&p->in);
		buf_fini(&p->script);
		model_fini(&p->model);
	}
	loop_timer_stop(&pair->timer);
	truth_free(pair->truth);
}
