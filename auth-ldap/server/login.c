/* One login on the auth socket: an exchange of core/sasl, what it needs on its way (SCRAM's keys,
 * the word of a token service), and then the front's question: who is it, and may they? Called by
 * auth_server.c for each AUTH and CONT.
 *
 * Invariants: OK is said only after the front said so; whatever is asked of others ends with the
 * login. login_answer.c says what is answered, and when. */
#include "auth-ldap/server/login.h"

#include <stdlib.h>

#include "auth-ldap/server/fake_keys.h"
#include "auth-ldap/server/token.h"
#include "core/authclient/wire.h"
#include "core/base/clock.h"
#include "core/base/codec.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/pool.h"
#include "core/sasl/exchange.h"

enum {
	ANSWER_MS = 120000, /* for the client to answer a challenge */
	CONN_ACTIVE_MAX = 8192,
	DETAIL_MAX = 512,
	QUOTA_MAX = 1000, /* beyond it a quota is none */
	EXPIRY_WARN_SEC = 7 * 86400,
};

struct login_step {
	struct pool_job job;
	struct login *login; /* NULL: nobody waits any more; the exchange is ours */
	struct sasl_exchange *exchange;
	struct buf response;
	bool given;
	enum err result;
	struct str challenge;
};

struct login *
login_find(const struct auth_conn *c, uint32_t id)
{
	struct hmap_node *n = hmap_get(&c->logins, str_n(&id, sizeof id));
	return n != NULL ? CONTAINER_OF(n, struct login, node) : NULL;
}

/* Nothing is asked any more. */
void
login_quiet(struct login *l)
{
	front_cancel(l->request);
	l->request = NULL;
	tokens_cancel(l->token);
	l->token = NULL;
	if (l->step != NULL)
		l->step->login = NULL;
	else
		sasl_exchange_free(l->exchange);
	l->step = NULL;
	l->exchange = NULL;
	loop_timer_stop(&l->timer);
}

void
login_free(struct login *l)
{
	struct auth_conn *c = l->conn;
	if (l->state == LOGIN_VERIFIED) {
		c->verified_count--;
	} else {
		c->active--;
		c->c.service->requests--;
	}
	login_quiet(l);
	list_remove(&l->link);
	hmap_remove(&c->logins, &l->node);
	buf_fini(&l->reply);
	buf_fini(&l->detail);
	buf_fini(&l->user);
	buf_fini(&l->home);
	buf_fini(&l->quota);
	buf_fini(&l->check);
	buf_fini(&l->keys_user);
	buf_fini(&l->keys_backend);
	free(l);
}

static void
on_answer(void *arg, const struct auth_answer *a)
{
	struct login *l = arg;
	bool soon = a->grace_logins >= 0 ||
		    (a->password_expires_sec >= 0 && a->password_expires_sec < EXPIRY_WARN_SEC);
	l->request = NULL;
	if (a->err == ERR_OK && a->user != NULL) {
		login_log(l, soon ? LVL_WARN : LVL_INFO, "ok", REASON_NONE, a, STR_EMPTY);
		login_ok(l, a);
	} else if (a->err == ERR_DENIED || a->err == ERR_NOTFOUND) {
		login_log(l, LVL_INFO, "deny", a->reason, a, STR_EMPTY);
		login_deny(l, a->reason);
	} else {
		login_log(l, LVL_WARN, "temp", a->reason, a, STR_EMPTY);
		login_temp(l);
	}
}

/* ---- the exchange ---- */

static void
login_stepped(struct login *l, enum err e, struct str challenge);

/* "anna@EXAMPLE.ORG" to a login name. False: no user of ours has such a principal. */
static bool
principal_name(const struct settings *s, const struct sasl_claim *c, struct buf *out)
{
	struct str realm = str_from(c->name, str_rchr(c->name, '@') + 1);
	struct str local = str_sub(c->name, 0, str_rchr(c->name, '@'));
	const struct str_list *domains = &s->auth.gssapi_domains;
	/* Hosts and services ("imap/host") are nobody, and neither are escaped names. */
	if (local.n == 0 || str_chr(c->name, '/') < c->name.n || str_chr(c->name, '\\') < c->name.n)
		return false;
	buf_add(out, local);
	if (domains->n == 0)
		return c->own_realm;
	for (size_t i = 0; i < domains->n; i++) {
		struct str name, domain;
		(void)str_cut(domains->v[i], '=', &name, &domain);
		if (!str_eq(name, realm))
			continue;
		buf_addc(out, '@');
		buf_add(out, domain);
		return true;
	}
	return false;
}

/* The claim is complete: who is it, and may they? */
static void
login_ask(struct login *l)
{
	struct service *s = l->conn->c.service;
	const struct sasl_claim *c = sasl_exchange_claim(l->exchange);
	enum sasl_family family = sasl_exchange_mechanism(l->exchange)->family;
	struct buf name;
	struct front_login ask = { .name = c->name,
		.password = c->password,
		.authzid = c->authzid,
		.proven = family != SASL_PASSWORD,
		.certificate = family == SASL_CERTIFICATE,
		.keys_user = buf_str(&l->keys_user),
		.keys_backend = buf_str(&l->keys_backend),
		.context = login_context(l) };
	buf_init(&name, SASL_RESPONSE_MAX);
	if (family == SASL_GSSAPI && !principal_name(s->settings, c, &name)) {
		login_refuse(l, REASON_DOMAIN, STR("a principal of another realm, or no user's"));
	} else {
		if (family == SASL_GSSAPI)
			ask.name = buf_str(&name);
		l->state = LOGIN_DIRECTORY;
		l->request = front_login(s->front, &ask, on_answer, l);
	}
	buf_fini(&name);
}

/* The front's keys, or made-up ones: nobody can tell who is known. */
static void
on_secret(void *arg, const struct auth_answer *a)
{
	struct login *l = arg;
	struct service *s = l->conn->c.service;
	bool sha256 = str_eq(str_of(l->mechanism), STR("SCRAM-SHA-256"));
	const struct auth_scram *k = NULL;
	struct fake_keys_room room;
	struct sasl_keys keys;
	struct str challenge;
	l->request = NULL;
	if (a->err == ERR_TEMP) {
		login_log(l, LVL_WARN, "temp", a->reason, a, STR_EMPTY);
		login_temp(l);
		return;
	}
	if (a->secret != NULL && a->user != NULL)
		k = sha256 ? &a->secret->sha256 : &a->secret->sha1;
	if (k != NULL && k->stored_key.n > 0 && k->salt.n > 0 && k->iterations > 0) {
		keys = (struct sasl_keys){ k->salt, k->stored_key, k->server_key, k->iterations };
		buf_add(&l->keys_user, a->user->user);
		buf_add(&l->keys_backend, a->user->backend);
	} else {
		fake_keys_make(&s->fake_keys, s->settings, login_name(l), sha256, &room, &keys);
	}
	enum err e = sasl_exchange_keys(l->exchange, &keys, &challenge);
	explicit_bzero(&room, sizeof room);
	login_stepped(l, e, challenge);
}

/* RFC 7628 3.2.2 */
static void
token_refused(struct login *l, const struct token_answer *a)
{
	const struct settings_auth *s = &l->conn->c.service->settings->auth;
	const struct {
		const char *key;
		struct str value;
	} members[] = { { "status", str_of(a->status) }, { "scope", s->oauth_scope },
		{ "openid-configuration", s->oauth_discovery_url } };
	struct str challenge;
	struct buf json;
	buf_init(&json, 8192);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		if (members[i].value.n == 0)
			continue;
		buf_addf(&json, "%s\"%s\":\"", i == 0 ? "{" : ",", members[i].key);
		for (size_t j = 0; j < members[i].value.n; j++) {
			char c = members[i].value.p[j];
			if (c == '"' || c == '\\')
				buf_addc(&json, '\\');
			buf_addc(&json, (unsigned char)c < ' ' ? ' ' : c);
		}
		buf_addc(&json, '"');
	}
	buf_addc(&json, '}');
	buf_reset(&l->detail);
	buf_add(&l->detail, str_sub(a->detail, 0, DETAIL_MAX));
	/* Also when the client goes away without a word. */
	login_count(l);
	enum err e = sasl_exchange_token_refused(l->exchange, buf_str(&json), &challenge);
	login_stepped(l, e, challenge);
	buf_fini(&json);
}

static void
on_token(void *arg, const struct token_answer *a)
{
	struct login *l = arg;
	l->token = NULL;
	if (a->err == ERR_OK) {
		login_stepped(l, sasl_exchange_token(l->exchange, a->name), STR_EMPTY);
	} else if (a->err == ERR_DENIED) {
		token_refused(l, a);
	} else {
		login_log(l, LVL_WARN, "temp", REASON_DIRECTORY, NULL, a->detail);
		login_temp(l);
	}
}

/* The exchange needs something from outside. */
static void
login_fetch(struct login *l)
{
	struct service *s = l->conn->c.service;
	const struct sasl_claim *c = sasl_exchange_claim(l->exchange);
	const struct auth_context context = login_context(l);
	l->state = LOGIN_DIRECTORY;
	if (sasl_exchange_mechanism(l->exchange)->family == SASL_TOKEN)
		l->token = tokens_examine(s->tokens, c->token, on_token, l);
	else
		l->request = front_secret(s->front, c->name, &context, on_secret, l);
}

static void
on_client_deadline(struct loop_timer *t)
{
	login_refuse(t->arg, REASON_PROTOCOL, STR("the client did not go on"));
}

static void
ask_client(struct login *l, struct str challenge)
{
	struct buf b;
	buf_init_secret(&b, 64 * 1024);
	base64_encode(&b, challenge);
	stream_writef(l->conn->c.stream, "CONT\t%u\t%.*s\n", l->id, STR_FMT(buf_str(&b)));
	buf_fini(&b);
	l->state = LOGIN_CLIENT;
	loop_timer_init(&l->timer, l->conn->c.service->loop, on_client_deadline, l);
	loop_timer_start(&l->timer, ANSWER_MS);
}

/* What came of a step. l may be gone afterwards. */
static void
login_stepped(struct login *l, enum err e, struct str challenge)
{
	switch (e) {
	case ERR_OK:
		login_ask(l);
		return;
	case ERR_AGAIN:
		ask_client(l, challenge);
		return;
	case ERR_BUSY:
		login_fetch(l);
		return;
	case ERR_NOTFOUND:
		login_refuse(l, REASON_EMPTY, STR_EMPTY);
		return;
	case ERR_DENIED:
		login_refuse(l, REASON_PASSWORD, buf_str(&l->detail));
		return;
	case ERR_SYNTAX:
		login_refuse(l, REASON_PROTOCOL, STR_EMPTY);
		return;
	case ERR_LIMIT:
		login_refuse(l, REASON_PROTOCOL, STR("a name or password that is too long"));
		return;
	case ERR_EOF:
	case ERR_EXISTS:
	case ERR_TEMP:
	case ERR_CORRUPT:
	case ERR_QUOTA:
	case ERR_BUG:
		login_broken(l, "the SASL library failed");
		return;
	}
}

static void
on_step_run(struct pool_job *job)
{
	struct login_step *t = CONTAINER_OF(job, struct login_step, job);
	struct str response = t->given ? buf_str(&t->response) : (struct str){ NULL, 0 };
	t->result = sasl_exchange_step(t->exchange, response, &t->challenge);
}

static void
on_step_done(struct pool_job *job)
{
	struct login_step *t = CONTAINER_OF(job, struct login_step, job);
	struct login *l = t->login;
	if (l != NULL) {
		l->step = NULL;
		login_stepped(l, t->result, t->challenge);
	} else {
		sasl_exchange_free(t->exchange);
	}
	buf_fini(&t->response);
	free(t);
}

static void
login_step(struct login *l, struct str response)
{
	const struct auth_context context = login_context(l);
	struct str challenge;
	loop_timer_stop(&l->timer);
	l->answered_ms = clock_ms();
	/* A right proof is answered with our signature before the front is asked: while a client is
	 * blocked, none is looked at. */
	if (sasl_exchange_mechanism(l->exchange)->family == SASL_SCRAM && login_name(l).n > 0 &&
		front_blocked(l->conn->c.service->front, login_name(l), &context)) {
		login_refuse(l, REASON_BLOCKED, STR_EMPTY);
		return;
	}
	if (!sasl_exchange_blocks(l->exchange)) {
		enum err e = sasl_exchange_step(l->exchange, response, &challenge);
		login_stepped(l, e, challenge);
		return;
	}
	struct login_step *t = xcalloc(1, sizeof *t);
	t->job =
		(struct pool_job){ .run = on_step_run, .done = on_step_done, .class = POOL_COMMIT };
	t->login = l;
	t->exchange = l->exchange;
	t->given = response.p != NULL;
	buf_init_secret(&t->response, SASL_RESPONSE_MAX + 4);
	buf_add(&t->response, response);
	l->step = t;
	l->state = LOGIN_DIRECTORY;
	pool_submit(l->conn->c.service->threads, &t->job);
}

void
login_continue(struct login *l, struct str encoded)
{
	struct buf b;
	buf_init_secret(&b, SASL_RESPONSE_MAX + 4);
	if (encoded.p == NULL)
		login_step(l, (struct str){ NULL, 0 });
	else if (base64_decode(&b, encoded) != ERR_OK)
		login_refuse(l, REASON_PROTOCOL, STR("response is no base64"));
	else
		login_step(l, b.n > 0 ? buf_str(&b) : STR_EMPTY);
	buf_fini(&b);
}

/* ---- the beginning ---- */

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

/* May a password come this way? The client says so, or it never left this machine. */
static bool
is_secured(const struct service *s, const struct login *l, bool said)
{
	struct str remote = str_of(l->remote);
	return said || s->settings->auth.plaintext_login || remote.n == 0 ||
	       str_starts(remote, STR("127.")) || str_starts(remote, STR("::ffff:127.")) ||
	       str_eq(remote, STR("::1")) || str_eq(remote, str_of(l->local));
}

static void
open_exchange(struct login *l, const struct auth_line *line)
{
	struct service *s = l->conn->c.service;
	const struct sasl_mechanism *m = sasl_mechanism_find(line->mechanism);
	struct str host = s->settings->auth.gssapi_hostname;
	struct buf subject;
	buf_init(&subject, AUTH_LINE_MAX);
	/* Only our own gate and smtp have looked at the certificate. */
	if (!l->conn->c.own || !line->valid_certificate ||
		wire_unescape(&subject, line->certificate) != ERR_OK)
		buf_reset(&subject);
	const struct sasl_client client = {
		.service = str_of(l->service), .secured = l->secured, .certificate = subject.n > 0
	};
	if (host.n == 0)
		host = s->settings->hostname.n > 0 ? s->settings->hostname : str_of(s->machine);
	const struct sasl_options o = {
		.service = l->service, .hostname = host.p, .certificate = buf_str(&subject)
	};
	enum err e = ERR_NOTFOUND;
	l->mechanism = m != NULL ? m->name : "";
	if (sasl_offered(s->settings, &client, line->mechanism))
		e = sasl_exchange_new(line->mechanism, &o, &l->exchange);
	buf_fini(&subject);
	if (e == ERR_OK)
		login_continue(l, line->response);
	else if (e == ERR_NOTFOUND)
		login_refuse(l, REASON_MECHANISM, m == NULL ? line->mechanism : STR_EMPTY);
	else
		login_broken(l, "the SASL library failed");
}

bool
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
		/* Postfix: as in login_temp. */
		if (line->nologin && c->active == 0 && c->minor < 2)
			loop_task_queue(&c->hang_up);
		else
			stream_writef(c->c.stream, "FAIL\t%u%s\n", line->id, login_temp_words);
		return true;
	}
	l = xcalloc(1, sizeof *l);
	l->conn = c;
	l->id = line->id;
	l->nologin = line->nologin;
	l->start_ms = l->answered_ms = clock_ms();
	list_init(&l->link);
	hmap_put(&c->logins, &l->node, str_n(&l->id, sizeof l->id));
	s->requests++;
	c->active++;
	loop_timer_init(&l->timer, s->loop, on_client_deadline, l);
	buf_init(&l->reply, 64 * 1024);
	buf_init(&l->detail, DETAIL_MAX);
	buf_init(&l->user, 4096);
	buf_init(&l->home, 8192);
	buf_init(&l->quota, QUOTA_MAX);
	buf_init(&l->check, 8192);
	buf_init(&l->keys_user, 4096);
	buf_init(&l->keys_backend, 4096);
	copy_field(l->sid, sizeof l->sid, line->session);
	copy_field(l->service, sizeof l->service, line->service);
	copy_field(l->remote, sizeof l->remote, line->remote);
	copy_field(l->local, sizeof l->local, line->local);
	l->secured = is_secured(s, l, line->secured);
	open_exchange(l, line);
	return true;
}
