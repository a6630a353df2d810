/* Logins: by a search and a bind, or by a bind as the DN that the name makes. Begun by section.c.
 *
 * Invariant: a password is checked by a bind as the user, with bytes of its own, and in no other
 * way; what a client may hear of a refusal is decided by what the directory says to others. */
#include "auth-ldap/directory/users_impl.h"

/* ---- binds ---- */

static void
trace_bind(struct backend_request *r, const struct ldap_op *op)
{
	if (r->trace == NULL)
		return;
	trace_addf(r->trace, "directory \"%.*s\": bind at %s as \"%.*s\": %s, code %d, %lld ms%s%s",
		STR_FMT(r->section->base.title), op->uri != NULL ? op->uri : "no server",
		STR_FMT(buf_str(&r->user->dn)), err_name(op->err), op->code, (long long)op->ms,
		op->text[0] != '\0' ? ": " : "", op->text);
}

static enum auth_reason
reason_of(const struct ldap_bind_facts *f)
{
	switch (f->reason) {
	case LDAP_BIND_FINE:
	case LDAP_BIND_PASSWORD:
		return REASON_PASSWORD;
	case LDAP_BIND_REFUSED:
		return REASON_REFUSED;
	case LDAP_BIND_UNKNOWN:
		return REASON_UNKNOWN;
	case LDAP_BIND_LOCKED:
		return REASON_LOCKED;
	case LDAP_BIND_DISABLED:
		return REASON_DISABLED;
	case LDAP_BIND_ACCOUNT_EXPIRED:
		return REASON_ACCOUNT_EXPIRED;
	case LDAP_BIND_PASSWORD_EXPIRED:
		return REASON_PASSWORD_EXPIRED;
	case LDAP_BIND_MUST_CHANGE:
		return REASON_MUST_CHANGE;
	case LDAP_BIND_HOURS:
		return REASON_HOURS;
	case LDAP_BIND_WORKSTATION:
		return REASON_WORKSTATION;
	}
	return REASON_PASSWORD;
}

static bool
by_template(const struct backend_request *r)
{
	return r->section->s->user_dn.n > 0;
}

static void
finish_refused(struct backend_request *r, const struct ldap_op *op)
{
	const struct ldap_bind_facts *f = &op->facts;
	enum auth_reason reason = reason_of(f);
	struct buf detail;
	buf_init(&detail, 1024);
	/* What a wrong password gets as well says nothing about this one: a client hears of no
	 * reason with a code then, but the log does. */
	if (!f->after_right_password && reason_code(reason)[0] != '\0') {
		buf_addf(&detail, "%s (as the directory says to any password): ",
			ldap_bind_reason_text(f->reason));
		reason = REASON_REFUSED;
	}
	if (op->code != 0) /* it bound: "Success" is no reason */
		buf_addz(&detail, op->text);
	/* By a DN template nobody can tell an unknown user from a wrong password: without a user,
	 * the answer lets the next backend try. */
	bool maybe_unknown =
		by_template(r) && !f->after_right_password &&
		(reason == REASON_PASSWORD || reason == REASON_REFUSED || reason == REASON_UNKNOWN);
	if (maybe_unknown) {
		reason = reason == REASON_REFUSED ? reason : REASON_PASSWORD;
		buf_addf(&detail, " (%.*s)", STR_FMT(buf_str(&r->user->dn)));
	}
	struct auth_answer a = section_answer(ERR_DENIED, reason, buf_str(&detail));
	a.user = maybe_unknown ? NULL : r->user->user;
	section_finish(r, &a);
	buf_fini(&detail);
}

static void
template_read(struct backend_request *r);

static void
on_bound(void *arg, const struct ldap_op *op)
{
	struct backend_request *r = arg;
	r->bind = NULL;
	buf_release(&r->password);
	trace_bind(r, op);
	r->user->password_expires_sec = op->facts.expires_sec;
	r->user->grace_logins = op->facts.grace;
	if (op->err == ERR_DENIED || (op->err == ERR_OK && op->facts.reason != LDAP_BIND_FINE))
		finish_refused(r, op);
	else if (op->err != ERR_OK)
		section_finish_failed(r, op);
	else if (by_template(r))
		template_read(r);
	else
		user_check_claim(r);
}

void
user_bind(struct backend_request *r)
{
	r->bind = ldap_pool_bind(ldap_client_pool(r->section->client), buf_str(&r->user->dn),
		buf_str(&r->password), on_bound, r);
}

/* ---- logins by template ---- */

/* The canonical name of a login by user_dn. Where the DN does not hold the domain, the directory
 * does not vouch for it: it must be one of the section's, and every one of them ends in one name.
 */
static enum err
template_user(struct backend_request *r, struct name *out)
{
	const struct settings_directory *s = r->section->s;
	struct str own = section_domain_default(r->section);
	if (template_uses(s->user_dn, "domain") || template_uses(s->user_dn, "address")) {
		name_copy(out, &r->name);
		return r->name.domain.n > 0 ? ERR_OK : ERR_DENIED;
	}
	bool ours = r->name.netbios.n > 0 || str_ieq(r->name.domain, own);
	if (s->domains.n > 0)
		ours |= section_lists_domain(r->section, r->name.domain);
	if (!ours)
		return ERR_DENIED;
	enum err e = name_parse(r->name.local, own, out);
	return e == ERR_OK && out->domain.n == 0 ? ERR_DENIED : e;
}

static void
login_by_template(struct backend_request *r)
{
	struct section *s = r->section;
	struct user_state *u = user_state_of(r);
	struct name name;
	enum auth_reason reason;
	struct buf why;
	if (template_user(r, &name) != ERR_OK) {
		section_finish_soon(
			r, ERR_NOTFOUND, REASON_UNKNOWN, STR("not a domain of this directory"));
		return;
	}
	/* A directory may take two spellings of other scripts for the same name. */
	if (str_has_8bit(r->name.address)) {
		section_finish_soon(
			r, ERR_NOTFOUND, REASON_NAME, STR("a name for user_dn must be ASCII"));
		return;
	}
	buf_init(&why, 2048);
	if (section_base(s, s->s->user_dn, &r->vars, &u->dn) != ERR_OK)
		section_finish_soon(r, ERR_NOTFOUND, REASON_NAME, STR("no DN can be made of it"));
	else if (entry_to_user(s, NULL, &name, buf_str(&u->dn), &u->user, &u->home_given, &reason,
			 &why) != ERR_OK)
		section_finish_soon(r, ERR_TEMP, reason, buf_str(&why));
	else
		user_bind(r);
	buf_fini(&why);
}

static void
on_template_read(struct backend_request *r, const struct ldap_op *op)
{
	struct name name;
	if (op->err == ERR_NOTFOUND || (op->err == ERR_OK && op->entries_count != 1)) {
		/* It bound, so it is there: the service account may not see it. */
		section_finish_error(r, ERR_TEMP, REASON_ENTRY,
			STR("the service account cannot read the user's entry"));
		return;
	}
	if (op->err != ERR_OK) {
		section_finish_failed(r, op);
		return;
	}
	/* The name stays what the template made it. */
	if (name_parse(r->user->user->user, STR_EMPTY, &name) != ERR_OK) {
		section_finish_error(r, ERR_TEMP, REASON_INTERNAL, STR_EMPTY);
		return;
	}
	if (user_take_entry(r, op->entries, &name))
		user_check_home(r);
}

/* After the bind: what the entry says about its owner. */
static void
template_read(struct backend_request *r)
{
	struct section *s = r->section;
	bool account = s->s->bind_dn.n > 0 || !(str_eq(s->s->bind_method, STR("simple")) ||
						      str_eq(s->s->bind_method, STR("none")));
	if (!s->s->user_dn_read || !account) {
		user_done(r);
		return;
	}
	const struct section_search q = { .base = buf_str(&r->user->dn),
		.base_is_dn = true,
		.entry_only = true,
		.filter = STR("(objectClass=*)"),
		.use = TEMPLATE_FILTER,
		.attrs = s->user_attrs,
		.attrs_count = s->user_attrs_count };
	section_search(r, &q, on_template_read);
}

/* ---- the question ---- */

void
section_login(struct backend_request *r)
{
	if (r->password.n == 0)
		section_finish_soon(r, ERR_DENIED, REASON_EMPTY, STR_EMPTY);
	else if (str_has_nul(buf_str(&r->password)))
		section_finish_soon(r, ERR_DENIED, REASON_PASSWORD, STR("a NUL in the password"));
	else if (user_elsewhere(r))
		return;
	else if (by_template(r))
		login_by_template(r);
	else
		user_search(r, r->section->s->user_filter, user_on_searched);
}
