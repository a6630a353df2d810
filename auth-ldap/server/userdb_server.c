/* The auth-userdb socket: the Dovecot master protocol 1.x, for imap, lmtp, the queue and root. It
 * says who a name is and where the mail lies, lists users, and confirms a hand-over: whether the
 * login that a gate names did succeed, and whose it was. PASS is refused: nobody here needs it. */
#include <stdlib.h>
#include <unistd.h>

#include "auth-ldap/server/access.h"
#include "auth-ldap/server/service.h"
#include "core/authclient/wire.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { LINES_A_TURN = 64, QUESTIONS_MAX = 8192 };

struct userdb_conn {
	struct conn c;
	bool has_version;
	pid_t pid;
	struct list questions;
	size_t questions_count;
};

struct question {
	struct list link;
	struct userdb_conn *conn;
	struct dir_request *request;
	uint32_t id;
};

static void
question_free(struct question *q)
{
	list_remove(&q->link);
	q->conn->questions_count--;
	dir_cancel(q->request);
	free(q);
}

static struct question *
question_new(struct userdb_conn *c, uint32_t id)
{
	struct question *q = xcalloc(1, sizeof *q);
	q->conn = c;
	q->id = id;
	list_push_back(&c->questions, &q->link);
	c->questions_count++;
	return q;
}

static void
write_user(struct userdb_conn *c, uint32_t id, struct str user, struct str home)
{
	struct buf b;
	buf_init(&b, 64 * 1024);
	buf_addf(&b, "USER\t%u\t", id);
	wire_escape(&b, user);
	if (home.n > 0) {
		buf_addz(&b, "\thome=");
		wire_escape(&b, home);
	}
	buf_addc(&b, '\n');
	stream_write(c->c.stream, buf_str(&b));
	buf_fini(&b);
}

static void
on_user(void *arg, const struct dir_answer *a)
{
	struct question *q = arg;
	struct userdb_conn *c = q->conn;
	q->request = NULL;
	if (a->err == ERR_OK) {
		write_user(c, q->id, a->user, a->home);
	} else if (a->err == ERR_NOTFOUND) {
		stream_writef(c->c.stream, "NOTFOUND\t%u\n", q->id);
	} else {
		/* Two entries for one name are a mistake in the directory, not a "no". */
		log_event(LVL_WARN, "auth.user", log_z("res", "temp"), log_z("reason", a->reason),
			log_s("detail", a->detail));
		stream_writef(c->c.stream, "FAIL\t%u\ttemp\treason=%s\n", q->id, a->reason);
	}
	question_free(q);
}

static void
on_list(void *arg, const struct dir_answer *a)
{
	struct question *q = arg;
	struct userdb_conn *c = q->conn;
	if (a->err == ERR_OK) {
		struct buf b;
		buf_init(&b, 64 * 1024);
		buf_addf(&b, "LIST\t%u\t", q->id);
		wire_escape(&b, a->user);
		buf_addc(&b, '\n');
		stream_write(c->c.stream, buf_str(&b));
		buf_fini(&b);
		return;
	}
	q->request = NULL;
	if (a->err != ERR_EOF)
		log_event(LVL_WARN, "auth.list", log_z("res", "temp"), log_z("reason", a->reason),
			log_s("detail", a->detail));
	stream_writef(c->c.stream, "DONE\t%u%s\n", q->id, a->err == ERR_EOF ? "" : "\tfail");
	question_free(q);
}

static void
on_request(struct userdb_conn *c, const struct userdb_line *line)
{
	struct buf user, home;
	buf_init(&user, 4096);
	buf_init(&home, 8192);
	enum err e = auth_server_verify(
		c->c.service, line->cookie, line->client_pid, line->client_id, &user, &home);
	if (e == ERR_OK)
		write_user(c, line->id, buf_str(&user), buf_str(&home));
	else
		stream_writef(c->c.stream, "FAIL\t%u\treason=no such login\n", line->id);
	log_event(LVL_INFO, "auth.verify", log_z("res", e == ERR_OK ? "ok" : "deny"),
		log_n("pid", c->pid), log_n("gate_pid", line->client_pid),
		log_n("request", line->client_id), log_s("user", buf_str(&user)),
		log_z("reason", e == ERR_OK ? "" : "unknown, asked before, or too old"));
	buf_fini(&user);
	buf_fini(&home);
}

static void
ask_user(struct userdb_conn *c, const struct userdb_line *line)
{
	struct buf name;
	struct question *q = question_new(c, line->id);
	buf_init(&name, AUTH_LINE_MAX);
	if (wire_unescape(&name, line->name) != ERR_OK)
		buf_reset(&name); /* nobody's name */
	bool by_address =
		str_chr(buf_str(&name), '@') < name.n &&
		(str_eq(line->service, STR("lmtp")) || str_eq(line->service, STR("queue")));
	q->request = dir_user(c->c.service->dirs, buf_str(&name), by_address, on_user, q);
	buf_fini(&name);
}

/* False: the client broke the protocol. */
static bool
on_line(struct userdb_conn *c, const struct userdb_line *line)
{
	if (line->verb != USERDB_VERSION && !c->has_version)
		return false;
	bool full = c->questions_count >= QUESTIONS_MAX;
	switch (line->verb) {
	case USERDB_VERSION:
		c->has_version = line->major == 1;
		return c->has_version;
	case USERDB_USER:
		if (full)
			stream_writef(c->c.stream, "FAIL\t%u\ttemp\treason=too many\n", line->id);
		else
			ask_user(c, line);
		return true;
	case USERDB_LIST:
		if (full) {
			stream_writef(c->c.stream, "DONE\t%u\tfail\n", line->id);
		} else {
			struct question *q = question_new(c, line->id);
			q->request = dir_list(c->c.service->dirs, on_list, q);
		}
		return true;
	case USERDB_REQUEST:
		on_request(c, line);
		return true;
	case USERDB_PASS:
		stream_writef(c->c.stream, "FAIL\t%u\treason=PASS is not supported\n", line->id);
		return true;
	case USERDB_OTHER:
		return true;
	}
	return false;
}

static void
userdb_conn_end(struct conn *base)
{
	struct userdb_conn *c = CONTAINER_OF(base, struct userdb_conn, c);
	while (!list_empty(&c->questions))
		question_free(CONTAINER_OF(c->questions.next, struct question, link));
	conn_close(&c->c);
	free(c);
}

static void
on_read(struct stream *st, void *arg)
{
	struct userdb_conn *c = arg;
	struct buf *in = stream_in(st);
	struct str text;
	struct userdb_line line;
	for (int i = 0; i < LINES_A_TURN; i++) {
		enum err e = stream_full(st) ? ERR_AGAIN : wire_line(in, AUTH_LINE_MAX, &text);
		if (e == ERR_AGAIN)
			return;
		if (e == ERR_OK)
			e = userdb_line_parse(text, &line);
		if (e != ERR_OK || !on_line(c, &line)) {
			log_event(LVL_WARN, "auth.userdb", log_z("res", "deny"),
				log_n("pid", c->pid), log_z("reason", "not the master protocol"));
			userdb_conn_end(&c->c);
			return;
		}
		buf_consume(in, text.n + 1);
	}
	stream_read_again(st);
}

static void
on_drain(struct stream *st, void *arg UNUSED)
{
	stream_read_again(st);
}

static void
on_end(struct stream *st UNUSED, void *arg, enum err why UNUSED)
{
	struct userdb_conn *c = arg;
	userdb_conn_end(&c->c);
}

static const struct stream_ops userdb_ops = {
	.on_read = on_read, .on_drain = on_drain, .on_end = on_end
};

static bool
peer_allowed(const struct service *s, const struct peer *peer)
{
	if (!peer->is_unix)
		return access_allowed(s->settings, peer, "auth-userdb");
	if (peer->uid == 0)
		return true;
	for (size_t i = 0; i < s->userdb_uids_count; i++)
		if (peer->uid == s->userdb_uids[i])
			return true;
	return false;
}

void
userdb_server_accept(void *arg, int fd, const struct peer *peer)
{
	struct service *s = arg;
	if (!peer_allowed(s, peer)) {
		log_event(LVL_WARN, "auth.userdb", log_z("res", "deny"),
			log_n("uid", (int64_t)peer->uid), log_n("pid", peer->pid),
			log_z("reason", "not one of imap, lmtp, queue and root"));
		close(fd);
		return;
	}
	struct userdb_conn *c = xcalloc(1, sizeof *c);
	if (!conn_open(&c->c, s, fd, &userdb_ops, AUTH_LINE_MAX + 1024, userdb_conn_end)) {
		free(c);
		return;
	}
	list_init(&c->questions);
	c->pid = peer->pid;
	stream_writef(c->c.stream, "VERSION\t1\t2\nSPID\t%d\n", (int)getpid());
}
