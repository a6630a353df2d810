/* Whether a user who logged in some time ago may go on; see front.h. The server of auth-userdb
 * asks, for imap's sessions.
 *
 * Invariant: "no" is said only by backends that were asked just now, and only when they know the
 * user as one who may not log in, or do not know him; whatever went wrong is ERR_TEMP. */
#include "auth-ldap/front/front_impl.h"
#include "auth-ldap/front/policy.h"
#include "core/base/log.h"

static void
ask(struct front_request *r);

/* What the answer says against the user. */
static enum auth_reason
verdict(const struct front_request *r, const struct auth_answer *a)
{
	if (a->err == ERR_OK && a->user != NULL)
		return str_eq(a->user->user, r->authzid)
			       ? policy_account(a->user, r->context.service, r->f->wall_ms() / 1000)
			       : REASON_UNKNOWN;
	if (a->err == ERR_NOTFOUND)
		return REASON_UNKNOWN;
	/* An entry that is ambiguous or malformed is the administrator's mistake. */
	return reason_code(a->reason)[0] != '\0' ? a->reason : REASON_NONE;
}

static void
refuse(struct front_request *r, enum auth_reason reason, struct str detail)
{
	(void)memory_forget(r->f->memory, r->authzid);
	log_event(LVL_INFO, "auth.check", log_z("res", "deny"), log_s("user", r->authzid),
		log_s("service", r->context.service), log_z("reason", reason_text(reason)),
		log_s("detail", detail));
	request_finish_error(r, ERR_DENIED, reason, detail);
}

static void
on_answer(void *arg, const struct auth_answer *a, enum memory_from from)
{
	struct front_request *r = arg;
	enum auth_reason reason = verdict(r, a);
	if (from == FROM_OUTAGE) {
		request_finish_error(r, ERR_TEMP, REASON_DIRECTORY, a->detail);
	} else if (reason != REASON_NONE && from != FROM_BACKENDS) {
		r->anew = true;
		ask(r);
	} else if (reason != REASON_NONE) {
		refuse(r, reason, a->detail);
	} else if (a->err == ERR_OK) {
		request_finish(r, a);
	} else {
		request_finish_error(r, ERR_TEMP, a->reason, a->detail);
	}
}

static void
ask(struct front_request *r)
{
	const struct memory_question q = { .kind = r->has_name ? MEMORY_USER : MEMORY_CERTIFICATE,
		.whole_only = r->has_name,
		.name = r->has_name ? &r->name : NULL,
		.other = r->has_name ? STR_EMPTY : r->typed,
		.context = &r->context,
		.max_age_ms = r->max_age_ms,
		.anew = r->anew };
	memory_ask(r->f->memory, r->b, &q, &r->asking, on_answer, r);
}

struct front_request *
front_check(struct front *f, struct str token, struct str user, int64_t max_age_ms,
	const struct auth_context *c, auth_fn fn, void *arg)
{
	struct front_request *r = request_new(f, c, fn, arg);
	size_t n = token.n + user.n + c->service.n;
	buf_init(&r->text, n + 1);
	(void)buf_reserve(&r->text, n);
	buf_add(&r->text, token);
	buf_add(&r->text, user);
	buf_add(&r->text, c->service);
	struct str all = buf_str(&r->text);
	r->typed = str_sub(all, token.n != 0, token.n != 0 ? token.n - 1 : 0);
	r->authzid = str_sub(all, token.n, user.n);
	r->context.service = str_from(all, token.n + user.n);
	r->max_age_ms = max_age_ms;
	r->anew = max_age_ms <= 0;
	bool name = token.n != 0 && token.p[0] == CHECK_NAME;
	bool certificate = token.n != 0 && token.p[0] == CHECK_CERTIFICATE;
	r->has_name = name && front_login_name(f, r->typed, &r->name) == ERR_OK;
	/* Not a token of ours: nobody can say. */
	if (!r->has_name && !certificate)
		request_finish_soon(r, ERR_TEMP, REASON_NAME);
	else
		ask(r);
	return r;
}
