/* The auth-userdb socket: the Dovecot master protocol 1.x, for imap, lmtp, the queue and root. It
 * says who a name is and where the mail lies, lists users, and confirms a hand-over: whether the
 * login that a gate names did succeed, and whose it was.
 *
 * PASS says of a name what a passdb would add to a login: it checks no password. CHECK is ours:
 * whether the user of a login that was confirmed before may go on. */
#include <stdlib.h>
#include <unistd.h>

#include "auth-ldap/front/policy.h"
#include "auth-ldap/server/service.h"
#include "core/authclient/wire.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { QUESTIONS_MAX = 8192, FIELDS_MAX = 256 * 1024, WORD_MAX = 64 };

struct userdb_conn {
	struct conn c;
	bool has_version;
	struct list questions;
	size_t questions_count;
};

struct question {
	struct list link;
	struct userdb_conn *conn;
	struct front_request *request;
	uint32_t id;
	bool pass;
	char service[WORD_MAX], remote[WORD_MAX];
};

static void
question_free(struct question *q)
{
	list_remove(&q->link);
	q->conn->questions_count--;
	front_cancel(q->request);
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

/* "\tkey=value". */
static void
add_field(struct buf *b, const char *key, struct str value)
{
	if (value.n == 0)
		return;
	buf_addf(b, "\t%s=", key);
	wire_escape(b, value);
}

static void
write_line(struct userdb_conn *c, uint32_t id, struct buf *b)
{
	buf_addc(b, '\n');
	if (buf_check(b) == ERR_OK)
		stream_write(c->c.stream, buf_str(b));
	else
		stream_writef(c->c.stream, "FAIL\t%u\ttemp\treason=too long\n", id);
}

/* As Dovecot's userdb calls it. */
static void
add_quota(struct buf *b, struct str quota)
{
	if (quota.n == 0)
		return;
	buf_addz(b, "\tquota_rule=*:bytes=");
	wire_escape(b, quota);
}

/* Of a user as the front knows him; fields are escaped already (backend/user.h). */
static void
write_user(struct userdb_conn *c, uint32_t id, const struct auth_user *u)
{
	struct buf b;
	buf_init(&b, FIELDS_MAX);
	buf_addf(&b, "USER\t%u\t", id);
	wire_escape(&b, u->user);
	add_field(&b, "home", u->home);
	add_quota(&b, u->quota);
	add_field(&b, "mail_host", u->mail_host);
	if (u->fields.n > 0) {
		buf_addc(&b, '\t');
		buf_add(&b, u->fields);
	}
	write_line(c, id, &b);
	buf_fini(&b);
}

/* host: where a proxy goes with this user. nologin: the password would be taken, and the login
 * refused all the same. */
static void
write_pass(struct question *q, const struct auth_user *u)
{
	const struct auth_context c = { .service = str_of(q->service),
		.remote_ip = str_of(q->remote) };
	enum auth_reason reason = policy_login(u, &c, clock_wall_ms() / 1000);
	struct buf b;
	buf_init(&b, FIELDS_MAX);
	buf_addf(&b, "PASS\t%u", q->id);
	add_field(&b, "user", u->user);
	add_field(&b, "host", u->mail_host);
	if (reason != REASON_NONE) {
		buf_addz(&b, "\tnologin");
		add_field(&b, "reason", str_of(reason_text(reason)));
	}
	write_line(q->conn, q->id, &b);
	buf_fini(&b);
}

static void
on_user(void *arg, const struct auth_answer *a)
{
	struct question *q = arg;
	struct userdb_conn *c = q->conn;
	q->request = NULL;
	if (a->err == ERR_OK && q->pass) {
		write_pass(q, a->user);
	} else if (a->err == ERR_OK) {
		write_user(c, q->id, a->user);
	} else if (a->err == ERR_NOTFOUND) {
		stream_writef(c->c.stream, "NOTFOUND\t%u\n", q->id);
	} else {
		/* Two entries for one name are a mistake in the directory, not a "no". */
		const char *reason = reason_text(a->reason);
		log_event(LVL_WARN, "auth.user", log_z("res", "temp"), log_z("reason", reason),
			log_s("detail", a->detail));
		stream_writef(c->c.stream, "FAIL\t%u\ttemp\treason=%s\n", q->id, reason);
	}
	question_free(q);
}

static void
on_list(void *arg, const struct auth_answer *a)
{
	struct question *q = arg;
	struct userdb_conn *c = q->conn;
	if (a->err == ERR_OK) {
		struct buf b;
		buf_init(&b, 64 * 1024);
		buf_addf(&b, "LIST\t%u\t", q->id);
		wire_escape(&b, a->user->user);
		buf_addc(&b, '\n');
		stream_write(c->c.stream, buf_str(&b));
		buf_fini(&b);
		return;
	}
	q->request = NULL;
	if (a->err != ERR_EOF)
		log_event(LVL_WARN, "auth.list", log_z("res", "temp"),
			log_z("reason", reason_text(a->reason)), log_s("detail", a->detail));
	stream_writef(c->c.stream, "DONE\t%u%s\n", q->id, a->err == ERR_EOF ? "" : "\tfail");
	question_free(q);
}

static void
on_request(struct userdb_conn *c, const struct userdb_line *line)
{
	struct verified v;
	struct buf fields;
	buf_init(&v.user, 4096);
	buf_init(&v.home, 8192);
	buf_init(&v.quota, 1000);
	buf_init(&v.check, 8192);
	buf_init(&fields, 32768);
	enum err e = auth_server_verify(
		c->c.service, line->cookie, line->client_pid, line->client_id, &v);
	if (v.check.n > 0) {
		buf_addz(&fields, "check=");
		wire_escape(&fields, buf_str(&v.check));
	}
	const struct auth_user u = { .user = buf_str(&v.user),
		.home = buf_str(&v.home),
		.quota = buf_str(&v.quota),
		.fields = buf_str(&fields) };
	if (e == ERR_OK)
		write_user(c, line->id, &u);
	else
		stream_writef(c->c.stream, "FAIL\t%u\treason=no such login\n", line->id);
	log_event(e == ERR_OK ? LVL_DEBUG : LVL_INFO, "auth.verify",
		log_z("res", e == ERR_OK ? "ok" : "deny"), log_n("pid", c->c.pid),
		log_n("gate_pid", line->client_pid), log_n("request", line->client_id),
		log_s("user", buf_str(&v.user)),
		log_z("reason", e == ERR_OK ? "" : "unknown, asked before, or too old"));
	buf_fini(&v.user);
	buf_fini(&v.home);
	buf_fini(&v.quota);
	buf_fini(&v.check);
	buf_fini(&fields);
}

static void
copy_word(char to[WORD_MAX], struct str field)
{
	struct buf b;
	buf_init(&b, WORD_MAX - 1);
	if (wire_unescape(&b, field) != ERR_OK)
		buf_reset(&b);
	memcpy(to, buf_str(&b).p, b.n);
	to[b.n] = '\0';
	buf_fini(&b);
}

static struct auth_context
question_context(const struct question *q)
{
	return (struct auth_context){
		.service = str_of(q->service), .remote_ip = str_of(q->remote), .secured = true
	};
}

static void
ask_user(struct userdb_conn *c, const struct userdb_line *line)
{
	struct buf name;
	struct question *q = question_new(c, line->id);
	q->pass = line->verb == USERDB_PASS;
	copy_word(q->service, line->service);
	copy_word(q->remote, line->remote);
	buf_init(&name, AUTH_LINE_MAX);
	if (wire_unescape(&name, line->name) != ERR_OK)
		buf_reset(&name); /* nobody's name */
	bool by_address =
		str_chr(buf_str(&name), '@') < name.n &&
		(str_eq(line->service, STR("lmtp")) || str_eq(line->service, STR("queue")));
	const struct auth_context context = question_context(q);
	q->request =
		front_user(c->c.service->front, buf_str(&name), by_address, &context, on_user, q);
	buf_fini(&name);
}

/* PASS with the quota as it is now, if there is one. */
static void
write_goes_on(struct question *q, const struct auth_answer *a)
{
	struct buf b;
	buf_init(&b, FIELDS_MAX);
	buf_addf(&b, "PASS\t%u", q->id);
	if (a->user != NULL)
		add_quota(&b, a->user->quota);
	write_line(q->conn, q->id, &b);
	buf_fini(&b);
}

/* PASS with nologin where the user may not go on; why and RFC 5530's code are said. */
static void
on_checked(void *arg, const struct auth_answer *a)
{
	struct question *q = arg;
	struct userdb_conn *c = q->conn;
	q->request = NULL;
	if (a->err == ERR_OK)
		write_goes_on(q, a);
	else if (a->err == ERR_DENIED)
		stream_writef(c->c.stream, "PASS\t%u\tnologin\treason=%s\tcode=%s\n", q->id,
			reason_text(a->reason), reason_code(a->reason));
	else
		stream_writef(
			c->c.stream, "FAIL\t%u\ttemp\treason=%s\n", q->id, reason_text(a->reason));
	question_free(q);
}

static void
ask_check(struct userdb_conn *c, const struct userdb_line *line)
{
	struct buf token, user;
	struct question *q = question_new(c, line->id);
	copy_word(q->service, line->service);
	buf_init(&token, AUTH_LINE_MAX);
	buf_init(&user, AUTH_LINE_MAX);
	if (wire_unescape(&token, line->name) != ERR_OK ||
		wire_unescape(&user, line->user) != ERR_OK)
		buf_reset(&token); /* nobody can say */
	const struct auth_context context = question_context(q);
	q->request = front_check(c->c.service->front, buf_str(&token), buf_str(&user),
		line->max_age_ms, &context, on_checked, q);
	buf_fini(&token);
	buf_fini(&user);
}

static void
ask_list(struct userdb_conn *c, const struct userdb_line *line)
{
	struct question *q = question_new(c, line->id);
	copy_word(q->service, line->service);
	const struct auth_context context = question_context(q);
	q->request = front_list(c->c.service->front, &context, on_list, q);
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
	case USERDB_PASS:
		if (full)
			stream_writef(c->c.stream, "FAIL\t%u\ttemp\treason=too many\n", line->id);
		else
			ask_user(c, line);
		return true;
	case USERDB_CHECK:
		if (full)
			stream_writef(c->c.stream, "FAIL\t%u\ttemp\treason=too many\n", line->id);
		else
			ask_check(c, line);
		return true;
	case USERDB_LIST:
		if (full)
			stream_writef(c->c.stream, "DONE\t%u\tfail\n", line->id);
		else
			ask_list(c, line);
		return true;
	case USERDB_REQUEST:
		on_request(c, line);
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

static enum err
userdb_take(struct conn *base, struct buf *in, size_t *used_out)
{
	struct userdb_conn *c = CONTAINER_OF(base, struct userdb_conn, c);
	struct str text;
	struct userdb_line line;
	enum err e = wire_line(in, AUTH_LINE_MAX, &text);
	if (e != ERR_OK)
		return e;
	e = userdb_line_parse(text, &line);
	if (e == ERR_OK && !on_line(c, &line))
		e = ERR_SYNTAX;
	*used_out = text.n + 1;
	return e;
}

static bool
userdb_busy(struct conn *base)
{
	return CONTAINER_OF(base, struct userdb_conn, c)->questions_count > 0;
}

static const struct conn_kind userdb_kind = {
	.socket = "auth-userdb",
	.broken = "not the master protocol",
	.in_max_bytes = AUTH_LINE_MAX + 1024,
	.take = userdb_take,
	.busy = userdb_busy,
	.end = userdb_conn_end,
};

static bool
peer_allowed(const struct service *s, const struct peer *peer)
{
	if (!peer->is_unix || peer->uid == 0)
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
	if (!conn_open(&c->c, s, fd, peer, &userdb_kind)) {
		free(c);
		return;
	}
	list_init(&c->questions);
	stream_writef(c->c.stream, "VERSION\t1\t2\nSPID\t%d\n", (int)getpid());
}
