/* The admin socket: explanations, the state of the service, and forgetting, for root alone
 * (`postroom lookup`, `postroom auth`). The protocol is in core/master/client.h: one request a
 * connection, then it ends.
 *
 * Invariant: a password that is tried here is in the wiped input, in the front's request, and
 * nowhere else; steps never hold it. */
#include <stdlib.h>
#include <unistd.h>

#include "auth-ldap/server/service.h"
#include "core/authclient/wire.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { FIELDS_MAX = 8, LINE_MAX_BYTES = 256 * 1024, ANSWER_MAX = 16 * 1024 * 1024 };

struct admin_conn {
	struct conn c;
	bool asked, login;
	struct front_request *request;
	struct trace *trace;
	struct buf verb, detail; /* for the log */
	struct buf names;	 /* of everybody, a line each */
	int64_t start_ms;
	const char *nobody; /* what "not found" means here; NULL: the reason says it */
	struct loop_task hang_up;
};

static void
admin_end(struct conn *base)
{
	struct admin_conn *c = CONTAINER_OF(base, struct admin_conn, c);
	front_cancel(c->request);
	trace_free(c->trace);
	loop_task_cancel(&c->hang_up);
	buf_fini(&c->verb);
	buf_fini(&c->detail);
	buf_fini(&c->names);
	conn_close(&c->c);
	free(c);
}

static void
on_hang_up(struct loop_task *t)
{
	struct admin_conn *c = t->arg;
	admin_end(&c->c);
}

/* ---- answers ---- */

static void
write_line(struct admin_conn *c, const char *word, struct str text)
{
	struct buf b;
	buf_init(&b, 2 * ANSWER_MAX);
	buf_addz(&b, word);
	if (text.n > 0) {
		buf_addc(&b, '\t');
		wire_escape(&b, text);
	}
	buf_addc(&b, '\n');
	stream_write(c->c.stream, buf_str(&b));
	buf_fini(&b);
}

/* The steps, the last line, and the end of the connection. */
static void
finish(struct admin_conn *c, const char *word, struct str text)
{
	struct str rest = c->trace != NULL ? trace_text(c->trace) : STR_EMPTY, line;
	while (rest.n > 0) {
		(void)str_cut(rest, '\n', &line, &rest);
		write_line(c, "STEP", line);
	}
	write_line(c, word, text);
	log_event(LVL_INFO, "auth.admin", log_s("verb", buf_str(&c->verb)),
		log_s("key", buf_str(&c->detail)), log_z("res", word),
		log_n("ms", clock_ms() - c->start_ms));
	loop_task_queue(&c->hang_up);
}

static void
add_pair(struct buf *b, const char *key, struct str value)
{
	if (value.n == 0)
		return;
	buf_addf(b, "%s=", key);
	buf_add_shown(b, value); /* what users may write into their entries, too */
	buf_addc(b, '\n');
}

static void
add_list(struct buf *b, const char *key, const struct str *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_pair(b, key, v[i]);
}

static void
add_user(struct buf *b, const struct auth_user *u)
{
	add_pair(b, "user", u->user);
	add_pair(b, "home", u->home);
	add_pair(b, "backend", u->backend);
	add_pair(b, "source", u->source);
	add_pair(b, "display_name", u->display_name);
	add_pair(b, "mail_host", u->mail_host);
	add_pair(b, "quota", u->quota);
	add_list(b, "alias", u->aliases, u->aliases_count);
	add_list(b, "service", u->services, u->services_count);
	add_list(b, "network", u->networks, u->networks_count);
	if (u->disabled)
		buf_addz(b, "disabled=yes\n");
	if (u->expires_sec != 0)
		buf_addf(b, "expires=%lld\n", (long long)u->expires_sec);
}

static const struct {
	const char *name;
	enum front_map map;
	const char *nobody; /* the answer when there is none */
} maps[] = {
	{ "domain", MAP_DOMAIN, "not a domain of ours" },
	{ "mailbox", MAP_MAILBOX, "nobody has this mailbox" },
	{ "alias", MAP_ALIAS, "no alias and no group" },
	{ "sender", MAP_SENDER, "nobody may send as it" },
	{ "transport", MAP_TRANSPORT, "no other server has its mail" },
	{ "post", MAP_POST, "no group" },
	{ "owner", MAP_OWNER, "no group, or one without an owner" },
};

static void
finish_error(struct admin_conn *c, const struct auth_answer *a)
{
	struct buf b;
	const char *why = reason_text(a->reason);
	/* "unknown user" is what every map's question comes to */
	if (c->nobody != NULL && a->err == ERR_NOTFOUND &&
		(a->reason == REASON_UNKNOWN || (a->reason == REASON_NONE && a->detail.n == 0)))
		why = c->nobody;
	buf_init(&b, 64 * 1024);
	buf_addf(&b, "%s%s", why, why[0] != '\0' && a->detail.n > 0 ? ": " : "");
	buf_add_shown(&b, a->detail);
	if (a->err != ERR_NOTFOUND && a->err != ERR_DENIED && c->login)
		trace_addf(c->trace, "an IMAP client hears [UNAVAILABLE]");
	if (a->err == ERR_NOTFOUND)
		finish(c, "NOTFOUND", buf_str(&b));
	else
		finish(c, a->err == ERR_DENIED ? "DENY" : "TEMP", buf_str(&b));
	buf_fini(&b);
}

static void
on_answer(void *arg, const struct auth_answer *a)
{
	struct admin_conn *c = arg;
	struct buf b;
	c->request = NULL;
	if (a->err != ERR_OK) {
		finish_error(c, a);
		return;
	}
	if (a->detail.n > 0) /* that it is from memory, for instance */
		trace_addf(c->trace, "%.*s", STR_FMT(a->detail));
	buf_init(&b, ANSWER_MAX);
	if (a->user != NULL)
		add_user(&b, a->user);
	else
		buf_add_shown(&b, a->value);
	if (a->password_expires_sec >= 0)
		buf_addf(&b, "password_expires=%lld\n", (long long)a->password_expires_sec);
	if (a->grace_logins >= 0)
		buf_addf(&b, "grace=%d\n", a->grace_logins);
	finish(c, "OK", buf_str(&b));
	buf_fini(&b);
}

/* Of all users, one after the other; then the end of the list. */
static void
on_list(void *arg, const struct auth_answer *a)
{
	struct admin_conn *c = arg;
	if (a->err == ERR_OK) {
		buf_add_shown(&c->names, a->user->user);
		buf_addc(&c->names, '\n');
		return;
	}
	c->request = NULL;
	if (a->err != ERR_EOF)
		finish_error(c, a);
	else if (buf_check(&c->names) != ERR_OK)
		finish(c, "TEMP", STR("more users than fit into an answer"));
	else
		finish(c, "OK", buf_str(&c->names));
}

/* ---- requests ---- */

static struct auth_context
context_of(struct admin_conn *c)
{
	c->trace = trace_new();
	return (struct auth_context){ .sid = STR("admin"), .secured = true, .trace = c->trace };
}

static void
on_lookup(struct admin_conn *c, const struct str *field)
{
	struct front *f = c->c.service->front;
	const struct auth_context x = context_of(c);
	buf_addf(&c->detail, "%.*s %.*s", STR_FMT(field[1]), STR_FMT(field[2]));
	if (str_eq(field[1], STR("user")) && str_eq(field[2], STR("*"))) {
		c->request = front_list(f, &x, on_list, c);
		return;
	}
	if (str_eq(field[1], STR("user"))) {
		c->request = front_user(f, field[2], false, &x, on_answer, c);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		if (str_eq(field[1], str_of(maps[i].name))) {
			c->nobody = maps[i].nobody;
			c->request = front_lookup(f, maps[i].map, field[2], &x, on_answer, c);
			return;
		}
	finish(c, "SYNTAX", STR("maps: user domain mailbox alias sender transport post owner"));
}

static void
on_test(struct admin_conn *c, const struct str *field)
{
	struct front *f = c->c.service->front;
	struct auth_context x = context_of(c);
	c->login = true;
	x.service = field[2];
	x.remote_ip = field[3];
	buf_add(&c->detail, field[1]);
	const struct front_login l = { .name = field[1],
		.password = field[6],
		.authzid = field[4],
		.proven = str_eq(field[5], STR("no")),
		.context = x };
	c->request = front_login(f, &l, on_answer, c);
}

static void
on_status(struct admin_conn *c, const struct str *field UNUSED)
{
	struct buf b;
	struct service *s = c->c.service;
	buf_init(&b, ANSWER_MAX);
	buf_addf(&b, "service connections=%zu logins_in_progress=%zu\n", s->conns_count,
		s->requests);
	front_status(s->front, &b);
	finish(c, "OK", buf_str(&b));
	buf_fini(&b);
}

static void
on_forget(struct admin_conn *c, const struct str *field)
{
	char text[32];
	struct buf b;
	buf_add(&c->detail, field[1]);
	buf_init(&b, sizeof text);
	buf_addf(&b, "%zu", front_forget(c->c.service->front, field[1]));
	finish(c, "OK", buf_str(&b));
	buf_fini(&b);
}

static const struct {
	const char *name;
	size_t fields; /* with the verb */
	void (*fn)(struct admin_conn *c, const struct str *field);
} verbs[] = {
	{ "LOOKUP", 3, on_lookup },
	{ "TEST", 7, on_test },
	{ "STATUS", 1, on_status },
	{ "FORGET", 2, on_forget },
};

static void
dispatch(struct admin_conn *c, const struct str *field, size_t count)
{
	buf_add(&c->verb, field[0]);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_eq(field[0], str_of(verbs[i].name)) && count == verbs[i].fields) {
			verbs[i].fn(c, field);
			return;
		}
	finish(c, "SYNTAX", STR("no such request"));
}

/* The fields of line, unescaped into text. False: no request. */
static bool
split(struct str line, struct buf *text, struct str *field, size_t *count_out)
{
	struct str raw;
	size_t n = 0;
	bool ok = true;
	while (ok && wire_next(&line, &raw)) {
		if (n == FIELDS_MAX)
			return false;
		ok = wire_unescape(&text[n], raw) == ERR_OK;
		field[n] = buf_str(&text[n]);
		n++;
	}
	*count_out = n;
	return ok && n > 0;
}

static enum err
take(struct conn *base, struct buf *in, size_t *used_out)
{
	struct admin_conn *c = CONTAINER_OF(base, struct admin_conn, c);
	struct buf text[FIELDS_MAX];
	struct str field[FIELDS_MAX], line;
	size_t n = 0;
	enum err e = wire_line(in, LINE_MAX_BYTES, &line);
	if (e != ERR_OK || c->asked)
		return e == ERR_OK ? ERR_SYNTAX : e;
	for (size_t i = 0; i < FIELDS_MAX; i++)
		buf_init_secret(&text[i], LINE_MAX_BYTES);
	*used_out = line.n + 1;
	c->asked = true;
	c->start_ms = clock_ms();
	if (split(line, text, field, &n))
		dispatch(c, field, n);
	else
		e = ERR_SYNTAX;
	for (size_t i = 0; i < FIELDS_MAX; i++)
		buf_fini(&text[i]);
	return e;
}

static bool
busy(struct conn *base)
{
	return CONTAINER_OF(base, struct admin_conn, c)->asked;
}

static const struct conn_kind admin_kind = {
	.socket = "auth-admin",
	.broken = "not the admin protocol",
	.in_max_bytes = LINE_MAX_BYTES + 1024,
	.take = take,
	.busy = busy,
	.end = admin_end,
};

void
admin_server_accept(void *arg, int fd, const struct peer *peer)
{
	struct service *s = arg;
	if (!peer->is_unix || (peer->uid != 0 && peer->uid != geteuid())) {
		log_event(LVL_WARN, "auth.admin", log_z("res", "deny"),
			log_n("uid", (int64_t)peer->uid), log_n("pid", peer->pid),
			log_z("reason", "not root"));
		close(fd);
		return;
	}
	struct admin_conn *c = xcalloc(1, sizeof *c);
	if (!conn_open(&c->c, s, fd, peer, &admin_kind)) {
		free(c);
		return;
	}
	buf_init(&c->verb, 64);
	buf_init(&c->detail, 4096);
	buf_init(&c->names, ANSWER_MAX);
	loop_task_init(&c->hang_up, s->loop, on_hang_up, c);
}
