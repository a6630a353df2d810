/* The answers to logins, and their lines in the log. Called by login.c.
 *
 * Invariants: a refusal is not told sooner than the front allows, so that it says nothing about
 * why, and a reason is told only where reason_code has one; each refusal counts once, in the front
 * or here. */
#include "auth-ldap/server/login.h"
#include "core/authclient/wire.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/sasl/exchange.h"

enum { CONN_VERIFIED_MAX = 32768 /* the oldest goes: smtp never asks about its logins */ };

struct auth_context
login_context(const struct login *l)
{
	return (struct auth_context){ .service = str_of(l->service),
		.remote_ip = str_of(l->remote),
		.local_ip = str_of(l->local),
		.sid = str_of(l->sid),
		.secured = l->secured };
}

struct str
login_name(const struct login *l)
{
	return l->exchange != NULL ? sasl_exchange_claim(l->exchange)->name : STR_EMPTY;
}

static void
add_field(struct buf *b, const char *key, struct str value)
{
	buf_addc(b, '\t');
	buf_addz(b, key);
	wire_escape(b, value);
}

const char login_temp_words[] = "\ttemp\tcode=temp_fail\treason=Temporary authentication failure";

/* What the client may hear of a reason: the words of the auth protocol. */
static void
add_reason(struct buf *b, enum auth_reason reason)
{
	static const struct {
		const char *code, *words;
	} table[] = {
		{ "EXPIRED", "\tpass_expired\tcode=pass_expired" },
		{ "CONTACTADMIN", "\tuser_disabled\tcode=user_disabled" },
		{ "AUTHORIZATIONFAILED", "\tauthz\tcode=authz_fail" },
	};
	struct str code = str_of(reason_code(reason)), text = str_of(reason_text(reason));
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!str_eq(code, str_of(table[i].code)))
			continue;
		buf_addz(b, table[i].words);
		buf_addz(b, "\treason=");
		buf_addc(b, (char)ascii_upper(text.p[0]));
		wire_escape(b, str_from(text, 1));
	}
}

static void
on_delay(struct loop_timer *t)
{
	struct login *l = t->arg;
	stream_write(l->conn->c.stream, buf_str(&l->reply));
	login_free(l);
}

static void
write_reply(struct login *l, int64_t wait_ms)
{
	if (wait_ms <= 0) {
		stream_write(l->conn->c.stream, buf_str(&l->reply));
		login_free(l);
		return;
	}
	login_quiet(l);
	l->state = LOGIN_DELAY;
	loop_timer_init(&l->timer, l->conn->c.service->loop, on_delay, l);
	loop_timer_start(&l->timer, wait_ms);
}

static void
begin_fail(struct login *l)
{
	struct str name = login_name(l);
	buf_addf(&l->reply, "FAIL\t%u", l->id);
	if (name.n > 0)
		add_field(&l->reply, "user=", name);
}

void
login_log(const struct login *l, enum log_level level, const char *res, enum auth_reason reason,
	const struct auth_answer *a, struct str detail)
{
	static const struct auth_answer none = { .password_expires_sec = -1, .grace_logins = -1 };
	const struct auth_user *u = a != NULL ? a->user : NULL;
	struct str authzid =
		l->exchange != NULL ? sasl_exchange_claim(l->exchange)->authzid : STR_EMPTY;
	bool code = reason_code(reason)[0] != '\0';
	a = a != NULL ? a : &none;
	struct log_field expires = log_n("password_expires", a->password_expires_sec);
	struct log_field grace = log_n("grace", a->grace_logins);
	log_write(level, "auth.login",
		(const struct log_field[]){ log_z("sid", l->sid), log_z("res", res),
			log_z("service", l->service), log_z("mech", l->mechanism),
			log_s("name", login_name(l)), log_s("authzid", authzid),
			log_s("user", u != NULL ? u->user : STR_EMPTY),
			log_s("dn", u != NULL ? u->source : STR_EMPTY),
			log_s("backend", u != NULL ? u->backend : STR_EMPTY),
			log_z("rip", l->remote), log_z("reason", reason_text(reason)),
			log_z("told", code ? reason_code(reason) : ""),
			log_s("detail", detail.n > 0 ? detail : a->detail),
			a->password_expires_sec >= 0 ? expires : log_z("password_expires", ""),
			a->grace_logins >= 0 ? grace : log_z("grace", ""),
			log_n("ms", clock_ms() - l->start_ms), { .key = NULL } });
}

/* Refuse, after the delay. */
void
login_deny(struct login *l, enum auth_reason reason)
{
	struct service *s = l->conn->c.service;
	const struct auth_context context = login_context(l);
	int64_t delay = front_delay_ms(s->front, login_name(l), &context);
	if (delay < s->settings->auth.failure_delay)
		delay = s->settings->auth.failure_delay;
	begin_fail(l);
	add_reason(&l->reply, reason);
	buf_addc(&l->reply, '\n');
	write_reply(l, l->answered_ms + delay - clock_ms());
}

/* A failure of ours. */
void
login_temp(struct login *l)
{
	struct auth_conn *c = l->conn;
	/* Postfix reads every FAIL as a wrong password (535), and only a lost connection as
	 * temporary (454), after which it connects anew. It asks one login at a time. */
	if (l->nologin && c->active == 1 && c->minor < 2) {
		l->state = LOGIN_DELAY;
		loop_task_queue(&c->hang_up);
		return;
	}
	begin_fail(l);
	buf_addz(&l->reply, login_temp_words);
	buf_addc(&l->reply, '\n');
	write_reply(l, 0);
}

void
login_broken(struct login *l, const char *what)
{
	login_log(l, LVL_WARN, "temp", REASON_INTERNAL, NULL, str_of(what));
	login_temp(l);
}

void
login_count(struct login *l)
{
	const struct auth_context context = login_context(l);
	if (!l->counted)
		front_failed(l->conn->c.service->front, login_name(l), &context);
	l->counted = true;
}

/* Refused before the front was asked. */
void
login_refuse(struct login *l, enum auth_reason reason, struct str detail)
{
	if (reason_is_guess(reason))
		login_count(l);
	login_log(l, LVL_INFO, "deny", reason, NULL, detail);
	login_deny(l, reason);
}

void
login_ok(struct login *l, const struct auth_answer *a)
{
	struct auth_conn *c = l->conn;
	const struct auth_user *u = a->user;
	buf_addf(&l->reply, "OK\t%u", l->id);
	add_field(&l->reply, "user=", u->user);
	buf_addc(&l->reply, '\n');
	stream_write(c->c.stream, buf_str(&l->reply));
	if (l->nologin) {
		login_free(l);
		return;
	}
	buf_add(&l->user, u->user);
	buf_add(&l->home, u->home);
	buf_add(&l->quota, u->quota);
	buf_add(&l->check, a->check);
	login_quiet(l);
	buf_release(&l->reply);
	l->state = LOGIN_VERIFIED;
	c->c.service->requests--;
	c->active--;
	if (c->verified_count >= CONN_VERIFIED_MAX)
		login_free(CONTAINER_OF(c->verified.next, struct login, link));
	c->verified_count++;
	l->start_ms = clock_ms();
	list_push_back(&c->verified, &l->link);
	if (!loop_timer_active(&c->expire))
		loop_timer_start(&c->expire, c->c.service->verify_ms);
}
