/* The auth socket: the Dovecot auth client protocol 1.x, for our gate and smtp and for Postfix and
 * Exim unchanged. One connection carries many logins; each is an exchange of core/sasl followed
 * by a question to the front.
 *
 * Invariants: OK is said only after the directory took the password; a login is known by (cookie
 * of its connection, its number) and can be asked about once, within 60 s, while its connection
 * lives; a refusal is not told sooner than auth.failure_delay, so that it says nothing about why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth-ldap/server/service.h"
#include "core/authclient/wire.h"
#include "core/base/clock.h"
#include "core/base/codec.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/sasl/exchange.h"

enum {
	ANSWER_MS = 120000, /* for the client to answer a challenge */
	CONN_ACTIVE_MAX = 8192,
	CONN_VERIFIED_MAX = 32768, /* the oldest goes: smtp never asks about its logins */
	SID_MAX = 64,
	COOKIE_BYTES = 16,
};

struct auth_conn {
	struct conn c;
	char cookie[2 * COOKIE_BYTES + 1];
	struct hmap_node by_cookie;
	bool has_version, has_pid;
	uint32_t minor;
	uint32_t pid;
	struct loop_task hang_up;
	struct hmap logins; /* by number */
	size_t active;	    /* logins that have no answer yet */
	size_t verified_count;
	struct list verified; /* logins that succeeded, oldest first */
	struct loop_timer expire;
};

enum login_state {
	LOGIN_CLIENT,	 /* the client's answer is due */
	LOGIN_DIRECTORY, /* the directory's */
	LOGIN_DELAY,	 /* refused; the answer waits */
	LOGIN_VERIFIED,	 /* succeeded; REQUEST may ask */
};

struct login {
	struct auth_conn *conn;
	struct hmap_node node;
	struct list link; /* conn->verified */
	uint32_t id;
	enum login_state state;
	bool nologin, secured;
	char sid[SID_MAX], service[32], remote[64], local[64];
	struct sasl_exchange *exchange;
	struct front_request *request;
	struct loop_timer timer;
	int64_t start_ms;
	struct buf reply;      /* LOGIN_DELAY */
	struct buf user, home; /* LOGIN_VERIFIED */
};

static void
login_free(struct login *l)
{
	struct auth_conn *c = l->conn;
	if (l->state == LOGIN_VERIFIED) {
		c->verified_count--;
	} else {
		c->active--;
		c->c.service->requests--;
	}
	front_cancel(l->request);
	loop_timer_stop(&l->timer);
	list_remove(&l->link);
	hmap_remove(&c->logins, &l->node);
	sasl_exchange_free(l->exchange);
	buf_fini(&l->reply);
	buf_fini(&l->user);
	buf_fini(&l->home);
	free(l);
}

static struct login *
login_find(struct auth_conn *c, uint32_t id)
{
	struct hmap_node *n = hmap_get(&c->logins, str_n(&id, sizeof id));
	return n != NULL ? CONTAINER_OF(n, struct login, node) : NULL;
}

static void
auth_conn_end(struct conn *base);

/* ---- answers ---- */

static void
write_field(struct auth_conn *c, const char *key, struct str value)
{
	struct buf b;
	buf_init(&b, 64 * 1024);
	buf_addc(&b, '\t');
	buf_addz(&b, key);
	wire_escape(&b, value);
	stream_write(c->c.stream, buf_str(&b));
	buf_fini(&b);
}

static void
write_fail(struct auth_conn *c, uint32_t id, struct str name, const char *code)
{
	stream_writef(c->c.stream, "FAIL\t%u", id);
	if (name.n > 0)
		write_field(c, "user=", name);
	if (code[0] != '\0')
		stream_writef(c->c.stream, "\t%s", code);
	stream_write(c->c.stream, STR("\n"));
}

static void
on_delay(struct loop_timer *t)
{
	struct login *l = t->arg;
	stream_write(l->conn->c.stream, buf_str(&l->reply));
	login_free(l);
}

static struct auth_context
login_context(const struct login *l)
{
	return (struct auth_context){ .service = str_of(l->service),
		.remote_ip = str_of(l->remote),
		.local_ip = str_of(l->local),
		.sid = str_of(l->sid),
		.secured = l->secured };
}

static const char TEMP_CODE[] = "temp\tcode=temp_fail\treason=Temporary authentication failure";
static const char AUTHZ_CODE[] = "authz\tcode=authz_fail";

/* Refuse, after the delay unless it is our own failure. */
static void
login_fail(struct login *l, const char *code)
{
	struct auth_conn *c = l->conn;
	const struct sasl_claim *claim =
		l->exchange != NULL ? sasl_exchange_claim(l->exchange) : NULL;
	struct str name = claim != NULL ? claim->name : STR_EMPTY;
	const struct auth_context context = login_context(l);
	int64_t delay = front_delay_ms(c->c.service->front, name, &context);
	int64_t wait = l->start_ms + delay - clock_ms();
	/* Postfix reads every FAIL as a wrong password (535), and only a lost connection as
	 * temporary (454), after which it connects anew. It asks one login at a time. */
	if (code == TEMP_CODE && l->nologin && c->active == 1 && c->minor < 2) {
		l->state = LOGIN_DELAY;
		loop_task_queue(&c->hang_up);
		return;
	}
	if (code == TEMP_CODE || wait <= 0) {
		write_fail(c, l->id, name, code);
		login_free(l);
		return;
	}
	buf_addf(&l->reply, "FAIL\t%u", l->id);
	if (name.n > 0) {
		buf_addz(&l->reply, "\tuser=");
		wire_escape(&l->reply, name);
	}
	if (code[0] != '\0')
		buf_addf(&l->reply, "\t%s", code);
	buf_addc(&l->reply, '\n');
	sasl_exchange_free(l->exchange);
	l->exchange = NULL;
	l->state = LOGIN_DELAY;
	loop_timer_stop(&l->timer);
	loop_timer_init(&l->timer, c->c.service->loop, on_delay, l);
	loop_timer_start(&l->timer, wait);
}

static void
login_log(const struct login *l, const char *res, const struct auth_answer *a, const char *reason)
{
	const struct sasl_claim *claim =
		l->exchange != NULL ? sasl_exchange_claim(l->exchange) : NULL;
	const struct auth_user *u = a != NULL ? a->user : NULL;
	log_event(LVL_INFO, "auth.login", log_z("sid", l->sid), log_z("res", res),
		log_z("service", l->service),
		log_s("name", claim != NULL ? claim->name : STR_EMPTY),
		log_s("user", u != NULL ? u->user : STR_EMPTY),
		log_s("dn", u != NULL ? u->source : STR_EMPTY), log_z("rip", l->remote),
		log_z("reason", reason), log_s("detail", a != NULL ? a->detail : STR_EMPTY),
		log_n("ms", clock_ms() - l->start_ms));
}

/* Refused before a directory was asked. */
static void
login_refuse(struct login *l, const char *reason)
{
	login_log(l, "deny", NULL, reason);
	login_fail(l, "");
}

static void
login_ok(struct login *l, const struct auth_user *u)
{
	struct auth_conn *c = l->conn;
	stream_writef(c->c.stream, "OK\t%u", l->id);
	write_field(c, "user=", u->user);
	stream_write(c->c.stream, STR("\n"));
	if (l->nologin) {
		login_free(l);
		return;
	}
	buf_add(&l->user, u->user);
	buf_add(&l->home, u->home);
	sasl_exchange_free(l->exchange);
	l->exchange = NULL;
	loop_timer_stop(&l->timer);
	l->state = LOGIN_VERIFIED;
	c->c.service->requests--;
	c->active--;
	if (c->verified_count >= CONN_VERIFIED_MAX)
		login_free(CONTAINER_OF(c->verified.next, struct login, link));
	c->verified_count++;
	l->start_ms = clock_ms(); /* of the 60 s */
	list_push_back(&c->verified, &l->link);
	if (!loop_timer_active(&c->expire))
		loop_timer_start(&c->expire, c->c.service->verify_ms);
}

static void
on_answer(void *arg, const struct auth_answer *a)
{
	struct login *l = arg;
	const char *reason = reason_text(a->reason);
	l->request = NULL;
	if (a->err == ERR_OK) {
		login_log(l, "ok", a, "");
		login_ok(l, a->user);
	} else if (a->err == ERR_TEMP) {
		login_log(l, "temp", a, reason);
		login_fail(l, TEMP_CODE);
	} else {
		login_log(l, "deny", a, reason);
		login_fail(l, a->reason == REASON_AUTHZ ? AUTHZ_CODE : "");
	}
}

/* ---- the exchange ---- */

static void
on_client_deadline(struct loop_timer *t)
{
	login_refuse(t->arg, "the client did not go on");
}

static void
login_step(struct login *l, struct str response)
{
	struct auth_conn *c = l->conn;
	struct str challenge;
	const struct sasl_claim *claim;
	struct front_login ask;
	struct buf b;
	loop_timer_stop(&l->timer);
	switch (sasl_exchange_step(l->exchange, response, &challenge)) {
	case ERR_OK:
		claim = sasl_exchange_claim(l->exchange);
		l->state = LOGIN_DIRECTORY;
		ask = (struct front_login){ .name = claim->name,
			.password = claim->password,
			.authzid = claim->authzid,
			.context = login_context(l) };
		l->request = front_login(c->c.service->front, &ask, on_answer, l);
		break;
	case ERR_AGAIN:
		buf_init(&b, 64 * 1024);
		base64_encode(&b, challenge);
		stream_writef(c->c.stream, "CONT\t%u\t%.*s\n", l->id, STR_FMT(buf_str(&b)));
		buf_fini(&b);
		l->state = LOGIN_CLIENT;
		loop_timer_init(&l->timer, c->c.service->loop, on_client_deadline, l);
		loop_timer_start(&l->timer, ANSWER_MS);
		return;
	case ERR_DENIED:
		login_refuse(l, "proof refused");
		return;
	case ERR_NOTFOUND:
		login_refuse(l, "empty name or password");
		return;
	case ERR_SYNTAX:
	case ERR_LIMIT:
		login_refuse(l, "malformed response");
		return;
	case ERR_EOF:
	case ERR_EXISTS:
	case ERR_BUSY:
	case ERR_TEMP:
	case ERR_CORRUPT:
	case ERR_BUG:
		login_log(l, "temp", NULL, "SASL library failed");
		login_fail(l, TEMP_CODE);
		return;
	}
}

/* Base64 of the client into a secret buffer; false after a refusal. */
static void
login_response(struct login *l, struct str encoded)
{
	struct buf b;
	buf_init_secret(&b, SASL_RESPONSE_MAX + 4);
	if (encoded.p == NULL) {
		login_step(l, (struct str){ NULL, 0 });
	} else if (base64_decode(&b, encoded) != ERR_OK) {
		login_refuse(l, "response is no base64");
	} else {
		login_step(l, b.n > 0 ? buf_str(&b) : STR_EMPTY);
	}
	buf_fini(&b);
}

static void
copy_field(char *to, size_t size, struct str field)
{
	struct buf b;
	buf_init(&b, AUTH_LINE_MAX);
	if (wire_unescape(&b, field) != ERR_OK)
		buf_reset(&b);
	struct str s = str_sub(buf_str(&b), 0, size - 1);
	for (size_t i = 0; i < s.n; i++)
		to[i] = (unsigned char)s.p[i] < ' ' ? '?' : s.p[i];
	to[s.n] = '\0';
	buf_fini(&b);
}

/* A new login; false: the client broke the protocol. */
static bool
login_start(struct auth_conn *c, const struct auth_line *line)
{
	struct service *s = c->c.service;
	struct login *l = login_find(c, line->id);
	if (l != NULL && l->state != LOGIN_VERIFIED)
		return false; /* a number that is in use */
	if (l != NULL)
		login_free(l);
	if (s->requests >= (size_t)s->settings->auth.requests_max || c->active >= CONN_ACTIVE_MAX) {
		log_event(LVL_WARN, "auth.login", log_z("res", "temp"),
			log_z("reason", "too many logins in progress"));
		write_fail(c, line->id, STR_EMPTY, TEMP_CODE);
		return true;
	}
	l = xcalloc(1, sizeof *l);
	l->conn = c;
	l->id = line->id;
	l->nologin = line->nologin;
	l->secured = line->secured;
	l->start_ms = clock_ms();
	list_init(&l->link);
	hmap_put(&c->logins, &l->node, str_n(&l->id, sizeof l->id));
	s->requests++;
	c->active++;
	loop_timer_init(&l->timer, s->loop, on_delay, l);
	buf_init(&l->reply, 64 * 1024);
	buf_init(&l->user, 4096);
	buf_init(&l->home, 8192);
	copy_field(l->sid, sizeof l->sid, line->session);
	copy_field(l->service, sizeof l->service, line->service);
	copy_field(l->remote, sizeof l->remote, line->remote);
	copy_field(l->local, sizeof l->local, line->local);
	const struct sasl_client client = { .service = str_of(l->service), .secured = true };
	const struct sasl_options o = { .service = l->service };
	enum err e = ERR_NOTFOUND;
	if (sasl_offered(s->settings, &client, line->mechanism))
		e = sasl_exchange_new(line->mechanism, &o, &l->exchange);
	if (e == ERR_OK) {
		login_response(l, line->response);
	} else if (e == ERR_NOTFOUND) {
		login_refuse(l, "mechanism not on offer");
	} else {
		login_log(l, "temp", NULL, "SASL library failed");
		login_fail(l, TEMP_CODE);
	}
	return true;
}

/* ---- lines ---- */

static bool
on_version(struct auth_conn *c, const struct auth_line *line)
{
	c->has_version = line->major == 1;
	c->minor = line->minor;
	if (!c->has_version)
		log_event(LVL_WARN, "auth.client", log_z("res", "deny"),
			log_n("version", line->major), log_z("reason", "unknown version"));
	return c->has_version;
}

/* False: the client broke the protocol. */
static bool
on_line(struct auth_conn *c, const struct auth_line *line)
{
	struct login *l;
	switch (line->verb) {
	case AUTH_VERSION:
		return on_version(c, line);
	case AUTH_CPID:
		if (c->has_pid)
			return false;
		c->has_pid = true;
		c->pid = line->id;
		return true;
	case AUTH_AUTH:
		return c->has_version && c->has_pid && login_start(c, line);
	case AUTH_CONT:
		l = login_find(c, line->id);
		/* One that ended while the client's line was on its way. */
		if (l == NULL || l->state != LOGIN_CLIENT)
			return true;
		login_response(l, line->response);
		return true;
	case AUTH_CANCEL:
		l = login_find(c, line->id);
		if (l != NULL)
			login_free(l);
		return true;
	case AUTH_OTHER:
		return true;
	}
	return false;
}

static void
auth_conn_end(struct conn *base)
{
	struct auth_conn *c = CONTAINER_OF(base, struct auth_conn, c);
	struct hmap_node *n;
	while ((n = hmap_next(&c->logins, NULL)) != NULL)
		login_free(CONTAINER_OF(n, struct login, node));
	hmap_fini(&c->logins);
	hmap_remove(&c->c.service->auth_conns, &c->by_cookie);
	loop_timer_stop(&c->expire);
	loop_task_cancel(&c->hang_up);
	conn_close(&c->c);
	free(c);
}

static enum err
auth_take(struct conn *base, struct buf *in, size_t *used_out)
{
	struct auth_conn *c = CONTAINER_OF(base, struct auth_conn, c);
	struct str text;
	struct auth_line line;
	enum err e = wire_line(in, AUTH_LINE_MAX, &text);
	if (e != ERR_OK)
		return e;
	e = auth_line_parse(text, &line);
	if (e == ERR_OK && !on_line(c, &line))
		e = ERR_SYNTAX;
	*used_out = text.n + 1;
	return e;
}

static bool
auth_busy(struct conn *base)
{
	return CONTAINER_OF(base, struct auth_conn, c)->active > 0;
}

static const struct conn_kind auth_kind = {
	.socket = "auth",
	.broken = "not the auth protocol",
	.in_max_bytes = AUTH_LINE_MAX + 1024,
	.take = auth_take,
	.busy = auth_busy,
	.end = auth_conn_end,
};

static void
on_hang_up(struct loop_task *t)
{
	struct auth_conn *c = t->arg;
	auth_conn_end(&c->c);
}

static void
on_expire(struct loop_timer *t)
{
	struct auth_conn *c = t->arg;
	LIST_FOREACH (n, &c->verified) {
		struct login *l = CONTAINER_OF(n, struct login, link);
		int64_t left = l->start_ms + c->c.service->verify_ms - clock_ms();
		if (left > 0) {
			loop_timer_start(&c->expire, left);
			return;
		}
		login_free(l);
	}
}

static void
write_greeting(struct auth_conn *c)
{
	const struct str_list *m = &c->c.service->settings->auth.sasl_mechanisms;
	struct stream *st = c->c.stream;
	stream_write(st, STR("VERSION\t1\t2\n"));
	for (size_t i = 0; i < m->n; i++)
		stream_writef(st, "MECH\t%.*s\tplaintext\n", STR_FMT(m->v[i]));
	stream_writef(st, "SPID\t%d\nCUID\t%u\nCOOKIE\t%s\nDONE\n", (int)getpid(),
		++c->c.service->last_cuid, c->cookie);
}

void
auth_server_accept(void *arg, int fd, const struct peer *peer)
{
	struct service *s = arg;
	struct auth_conn *c = xcalloc(1, sizeof *c);
	if (!conn_open(&c->c, s, fd, peer, &auth_kind)) {
		free(c);
		return;
	}
	unsigned char cookie[COOKIE_BYTES];
	struct buf hex;
	rand_bytes(cookie, sizeof cookie);
	buf_init(&hex, sizeof c->cookie);
	hex_encode(&hex, str_n(cookie, sizeof cookie));
	memcpy(c->cookie, buf_str(&hex).p, 2 * COOKIE_BYTES);
	buf_fini(&hex);
	hmap_put(&s->auth_conns, &c->by_cookie, str_n(c->cookie, 2 * COOKIE_BYTES));
	hmap_init(&c->logins);
	list_init(&c->verified);
	loop_timer_init(&c->expire, s->loop, on_expire, c);
	loop_task_init(&c->hang_up, s->loop, on_hang_up, c);
	write_greeting(c);
}

enum err
auth_server_verify(struct service *s, struct str cookie, uint32_t client_pid, uint32_t request_id,
	struct buf *user_out, struct buf *home_out)
{
	struct hmap_node *n = hmap_get(&s->auth_conns, cookie);
	if (n == NULL)
		return ERR_NOTFOUND;
	struct auth_conn *c = CONTAINER_OF(n, struct auth_conn, by_cookie);
	struct login *l = c->pid == client_pid ? login_find(c, request_id) : NULL;
	if (l == NULL || l->state != LOGIN_VERIFIED || clock_ms() - l->start_ms > s->verify_ms)
		return ERR_NOTFOUND;
	buf_add(user_out, buf_str(&l->user));
	buf_add(home_out, buf_str(&l->home));
	login_free(l);
	return buf_check(user_out) == ERR_OK ? buf_check(home_out) : ERR_LIMIT;
}
