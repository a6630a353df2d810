/* A login, from the name as typed to the user whom the client acts as; see front.h. The auth
 * server asks.
 *
 * The steps: is the address or the user blocked; whose is the password (memory.c); may that user
 * (policy.c); and, for another one's name, may he act for others, and may that other user.
 * Invariants: a failure is counted once, where the login ends; nothing that a stranger can see
 * depends on whether the refusal came from a backend, from memory or from a block. */
#include <stdlib.h>

#include "auth-ldap/front/front_impl.h"
#include "auth-ldap/front/policy.h"
#include "auth-ldap/front/same_name.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { DETAIL_MAX = 1024 };

/* ---- failures ---- */

static void
log_block(const struct auth_context *c, struct str name, const char *what, int64_t ms)
{
	log_event(LVL_WARN, "auth.block", log_s("rip", c->remote_ip), log_z("what", what),
		log_s("sid", c->sid), log_s("service", c->service), log_s("name", name),
		log_n("seconds", ms / 1000));
}

/* One guess more. The address stands first in the line: what comes behind it is the client's, and
 * may look like anything (config/fail2ban). */
static void
count_guess(struct front *f, struct str name, const struct auth_context *c, enum auth_reason reason)
{
	struct penalty_event e;
	penalty_failed(f->penalty, c->remote_ip, name, f->now_ms(), &e);
	if (!e.counted)
		return;
	log_event(LVL_INFO, "auth.guess", log_s("rip", c->remote_ip), log_n("failures", e.failures),
		log_s("sid", c->sid), log_s("service", c->service),
		log_z("reason", reason_text(reason)), log_s("name", name));
	if (e.address_block_ms > 0)
		log_block(c, name, "address", e.address_block_ms);
	if (e.user_block_ms > 0)
		log_block(c, name, "user from this address", e.user_block_ms);
}

/* The name under which failures are counted. */
static struct str
counted_name(const struct front *f, struct str typed, struct name *n)
{
	return same_name(f->settings, typed, n) == ERR_OK ? n->address : STR_EMPTY;
}

void
front_failed(struct front *f, struct str name, const struct auth_context *c)
{
	struct name n;
	if (c->trace == NULL)
		count_guess(f, counted_name(f, name, &n), c, REASON_PASSWORD);
}

int64_t
front_delay_ms(struct front *f, struct str name, const struct auth_context *c)
{
	struct name n;
	return penalty_delay_ms(f->penalty, c->remote_ip, counted_name(f, name, &n), f->now_ms());
}

bool
front_blocked(struct front *f, struct str name, const struct auth_context *c)
{
	struct name n;
	return penalty_blocked(f->penalty, c->remote_ip, counted_name(f, name, &n), f->now_ms());
}

/* Empty: a certificate's subject is nobody's name yet. */
static struct str
request_name(const struct front_request *r, struct name *n)
{
	return r->has_name ? counted_name(r->f, r->typed, n) : STR_EMPTY;
}

/* The end of a refused login. repeated: a backend or memory refused what was refused before, which
 * is no new guess: a forgotten phone is no attack. */
static void
deny(struct front_request *r, const struct auth_answer *a, bool repeated)
{
	struct name n;
	bool count = reason_is_guess(a->reason) && !repeated && r->context.trace == NULL;
	const char *code = reason_code(a->reason);
	trace_addf(r->context.trace, "login refused: %s; an IMAP client hears [%s]",
		reason_text(a->reason), code[0] != '\0' ? code : "AUTHENTICATIONFAILED");
	if (count)
		count_guess(r->f, request_name(r, &n), &r->context, a->reason);
	request_finish(r, a);
}

static void
deny_user(struct front_request *r, enum auth_reason reason, const struct auth_user *u,
	struct str detail)
{
	const struct auth_answer a = { .err = ERR_DENIED,
		.reason = reason,
		.user = u,
		.detail = detail,
		.password_expires_sec = -1,
		.grace_logins = -1 };
	deny(r, &a, false);
}

static void
on_early(struct loop_task *t)
{
	struct front_request *r = t->arg;
	deny_user(r, r->early_reason, NULL, STR_EMPTY);
}

static void
deny_soon(struct front_request *r, enum auth_reason reason)
{
	r->early_reason = reason;
	loop_task_init(&r->task, r->f->loop, on_early, r);
	loop_task_queue(&r->task);
}

/* ---- whom the client acts as ---- */

/* How acts_as was found, for front_check. */
static void
check_token(const struct front_request *r, struct buf *out)
{
	buf_init(out, CHECK_TOKEN_MAX);
	buf_addc(out, r->target == NULL && !r->has_name ? CHECK_CERTIFICATE : CHECK_NAME);
	buf_add(out, r->target != NULL ? r->authzid : r->typed);
	if (buf_check(out) != ERR_OK)
		buf_reset(out);
}

static void
succeed(struct front_request *r, const struct auth_user *acts_as, struct str detail)
{
	struct buf token;
	check_token(r, &token);
	const struct auth_answer a = { .err = ERR_OK,
		.user = acts_as,
		.value = acts_as->user,
		.detail = detail,
		.check = buf_str(&token),
		.password_expires_sec = r->password_expires_sec,
		.grace_logins = r->grace_logins };
	struct name n;
	if (r->context.trace == NULL && r->has_name)
		penalty_succeeded(
			r->f->penalty, r->context.remote_ip, request_name(r, &n), r->f->now_ms());
	trace_addf(r->context.trace, "login as %.*s", STR_FMT(acts_as->user));
	request_finish(r, &a);
	buf_fini(&token);
}

static bool
policy_passes(struct front_request *r, const struct auth_user *u)
{
	enum auth_reason reason = policy_login(u, &r->context, r->f->wall_ms() / 1000);
	trace_addf(r->context.trace, "policy: %.*s, service \"%.*s\", from \"%.*s\": %s",
		STR_FMT(u->user), STR_FMT(r->context.service), STR_FMT(r->context.remote_ip),
		reason == REASON_NONE ? "allowed" : reason_text(reason));
	if (reason != REASON_NONE)
		deny_user(r, reason, u, u->source);
	return reason == REASON_NONE;
}

/* During an outage nobody comes in by what is older than auth.outage_login, however it was proven
 * who it is. */
static bool
too_old(const struct front_request *r, enum memory_from from)
{
	return from == FROM_OUTAGE && r->asking.age_ms >= r->f->settings->auth.outage_login;
}

static void
fail_too_old(struct front_request *r)
{
	request_finish_error(
		r, ERR_TEMP, REASON_DIRECTORY, STR("what is remembered is older than allowed"));
}

static void
on_master(void *arg, const struct auth_answer *a, enum memory_from from)
{
	struct front_request *r = arg;
	struct auth_user *target = r->target;
	struct buf detail;
	if (a->err == ERR_TEMP) {
		request_finish(r, a);
		return;
	}
	if (too_old(r, from)) {
		fail_too_old(r);
		return;
	}
	if (a->err != ERR_OK) {
		deny_user(r, REASON_AUTHZ, r->user, target->user);
		return;
	}
	if (!policy_passes(r, target))
		return;
	buf_init(&detail, DETAIL_MAX);
	buf_addf(&detail, "master %.*s", STR_FMT(r->user->user));
	succeed(r, target, buf_str(&detail));
	buf_fini(&detail);
}

static void
on_target(void *arg, const struct auth_answer *a, enum memory_from from)
{
	struct front_request *r = arg;
	struct name target;
	if (a->err == ERR_TEMP) {
		request_finish(r, a);
		return;
	}
	if (too_old(r, from)) {
		fail_too_old(r);
		return;
	}
	if (a->err != ERR_OK || a->user == NULL) {
		deny_user(r, REASON_AUTHZ, r->user, r->authzid);
		return;
	}
	if (str_eq(a->user->user, r->user->user)) { /* another name of himself */
		succeed(r, r->user, STR_EMPTY);
		return;
	}
	r->target = auth_user_new(a->user);
	const struct backend *own = backends_find(r->b, r->user->backend);
	if (own == NULL || front_login_name(r->f, r->target->user, &target) != ERR_OK) {
		deny_user(r, REASON_AUTHZ, r->user, r->authzid);
		return;
	}
	trace_addf(r->context.trace, "may %.*s act as %.*s?", STR_FMT(r->user->user),
		STR_FMT(r->target->user));
	const struct memory_question q = { .kind = MEMORY_MASTER,
		.name = &target,
		.other = r->user->source,
		.only = own,
		.context = &r->context };
	memory_ask(r->f->memory, r->b, &q, &r->asking, on_master, r);
}

/* Who it is stands: may he, and as whom? */
static void
login_known(struct front_request *r)
{
	struct name n;
	if (!policy_passes(r, r->user))
		return;
	if (r->authzid.n == 0 || str_ieq(r->authzid, r->user->user) ||
		str_ieq(r->authzid, r->typed)) {
		succeed(r, r->user, STR_EMPTY);
		return;
	}
	if (front_login_name(r->f, r->authzid, &n) != ERR_OK) {
		deny_user(r, REASON_AUTHZ, r->user, r->authzid);
		return;
	}
	const struct memory_question q = {
		.kind = MEMORY_USER, .whole_only = true, .name = &n, .context = &r->context
	};
	memory_ask(r->f->memory, r->b, &q, &r->asking, on_target, r);
}

static bool
blocked(struct front_request *r)
{
	struct front *f = r->f;
	struct name n;
	struct str name = request_name(r, &n);
	bool yes = penalty_blocked(f->penalty, r->context.remote_ip, name, f->now_ms());
	if (yes && r->context.trace != NULL) {
		trace_addf(r->context.trace,
			"penalties: %.*s from %.*s is blocked; asked all the "
			"same",
			STR_FMT(name), STR_FMT(r->context.remote_ip));
		return false;
	}
	return yes;
}

/* Another backend may know another user by this name. */
static bool
keys_fit(const struct front_request *r, const struct auth_user *u)
{
	return r->keys_user.n == 0 ||
	       (str_eq(r->keys_user, u->user) && str_eq(r->keys_backend, u->backend));
}

static void
trace_outage(const struct front_request *r, enum memory_from from)
{
	if (from == FROM_OUTAGE)
		trace_addf(r->context.trace,
			"no backend answers: what is remembered counts, %lld ms old",
			(long long)r->asking.age_ms);
	else if (from == FROM_OUTAGE_WRONG)
		trace_addf(r->context.trace,
			"no backend answers, and it is not the password that was right last");
}

static void
on_login(void *arg, const struct auth_answer *a, enum memory_from from)
{
	struct front_request *r = arg;
	struct name n;
	bool old = too_old(r, from);
	trace_outage(r, from);
	/* What is only said to a right password. */
	bool right = a->err == ERR_OK || (a->err != ERR_TEMP && reason_code(a->reason)[0] != '\0');
	if (right && r->context.trace == NULL && blocked(r)) {
		/* Since it was asked: many guesses at once are no way around the limit. */
		deny_user(r, REASON_BLOCKED, a->user, STR_EMPTY);
	} else if (a->err == ERR_OK && a->user != NULL && !old && !keys_fit(r, a->user)) {
		deny_user(r, REASON_PASSWORD, a->user, STR("the keys are another user's"));
	} else if (a->err == ERR_OK && a->user != NULL && !old) {
		r->user = auth_user_new(a->user);
		r->password_expires_sec = a->password_expires_sec;
		r->grace_logins = a->grace_logins;
		login_known(r);
	} else if (a->err == ERR_OK) {
		fail_too_old(r);
	} else if (a->err == ERR_TEMP) {
		/* or an outage that lets users in would be the time to guess */
		if (from == FROM_OUTAGE_WRONG && r->context.trace == NULL)
			count_guess(r->f, request_name(r, &n), &r->context, REASON_PASSWORD);
		request_finish(r, a);
	} else {
		struct auth_answer denied = *a;
		denied.err = ERR_DENIED;
		deny(r, &denied, from == FROM_WRONG || from == FROM_REPEATED);
	}
}

/* ---- the question ---- */

static struct str
keep(struct buf *b, struct str s)
{
	size_t at = b->n;
	buf_add(b, s);
	return str_from(buf_str(b), at);
}

/* Copies of what is needed later: a buffer that does not grow any more. */
static void
copy_login(struct front_request *r, const struct front_login *l)
{
	const struct auth_context *c = &l->context;
	size_t n = l->name.n + l->authzid.n + l->keys_user.n + l->keys_backend.n + c->service.n +
		   c->remote_ip.n + c->local_ip.n + c->sid.n;
	buf_init(&r->text, n + 1);
	(void)buf_reserve(&r->text, n);
	r->typed = keep(&r->text, l->name);
	r->authzid = keep(&r->text, l->authzid);
	r->keys_user = keep(&r->text, l->keys_user);
	r->keys_backend = keep(&r->text, l->keys_backend);
	r->context.service = keep(&r->text, c->service);
	r->context.remote_ip = keep(&r->text, c->remote_ip);
	r->context.local_ip = keep(&r->text, c->local_ip);
	r->context.sid = keep(&r->text, c->sid);
}

static enum auth_reason
check_login(struct front_request *r, const struct front_login *l)
{
	if (l->name.n == 0 || (!l->proven && l->password.n == 0))
		return REASON_EMPTY;
	if (!l->certificate)
		r->has_name = front_login_name(r->f, l->name, &r->name) == ERR_OK;
	if (blocked(r))
		return REASON_BLOCKED;
	if (!l->certificate && !r->has_name)
		return REASON_NAME;
	if (!l->proven && str_has_nul(l->password))
		return REASON_PROTOCOL;
	return REASON_NONE;
}

struct front_request *
front_login(struct front *f, const struct front_login *l, auth_fn fn, void *arg)
{
	struct front_request *r = request_new(f, &l->context, fn, arg);
	copy_login(r, l);
	enum auth_reason reason = check_login(r, l);
	if (reason != REASON_NONE) {
		deny_soon(r, reason);
		return r;
	}
	struct memory_question q = { .kind = MEMORY_LOGIN,
		.name = &r->name,
		.password = l->password,
		.context = &r->context };
	if (l->certificate) {
		q.kind = MEMORY_CERTIFICATE;
		q.name = NULL;
		q.other = r->typed;
	} else if (l->proven) {
		q.kind = MEMORY_USER;
		q.whole_only = true;
	}
	memory_ask(f->memory, r->b, &q, &r->asking, on_login, r);
	return r;
}
