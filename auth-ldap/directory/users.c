/* Who is a user: the questions about names, addresses, certificates, SCRAM keys, masters, domains
 * and the list of a directory section. Begun by section.c; login.c shares the way to an entry.
 *
 * Invariants: a search for a user must find exactly one entry; nobody logs in under a name that two
 * entries give; a home that the directory gives is one entry's only. */
#include <stdlib.h>

#include "auth-ldap/directory/members_impl.h"
#include "auth-ldap/directory/users_impl.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

static const struct str no_attributes[] = { { "1.1", 3 } };

void
user_state_free(struct user_state *u)
{
	if (u == NULL)
		return;
	auth_user_unref(u->user);
	secret_keys_fini(&u->keys);
	buf_fini(&u->dn);
	buf_fini(&u->home_why);
	free(u);
}

struct user_state *
user_state_of(struct backend_request *r)
{
	if (r->user == NULL) {
		r->user = xcalloc(1, sizeof *r->user);
		r->user->password_expires_sec = -1;
		r->user->grace_logins = -1;
		buf_init(&r->user->dn, 64 * 1024);
		buf_init(&r->user->home_why, 4096);
		secret_keys_init(&r->user->keys);
	}
	return r->user;
}

/* Is this a question whose "no" keeps somebody out, and does not bounce mail? */
static bool
is_login(const struct backend_request *r)
{
	return r->kind == ASK_LOGIN || r->kind == ASK_CERTIFICATE || r->kind == ASK_SECRET;
}

/* ---- the end ---- */

void
user_done(struct backend_request *r)
{
	struct user_state *u = r->user;
	struct auth_answer a = section_answer(ERR_OK, REASON_NONE, STR_EMPTY);
	a.user = u->user;
	a.value = u->user->user;
	a.password_expires_sec = u->password_expires_sec;
	a.grace_logins = u->grace_logins;
	a.secret = secret_keys_any(&u->keys) ? &u->keys.secret : NULL;
	trace_addf(r->trace, "directory \"%.*s\": user %.*s home %.*s",
		STR_FMT(r->section->base.title), STR_FMT(u->user->user), STR_FMT(u->user->home));
	section_finish(r, &a);
}

static void
on_home_checked(struct backend_request *r, const struct ldap_op *op)
{
	if (op->err == ERR_OK && op->entries_count == 1)
		user_done(r);
	else if ((op->err == ERR_OK && op->entries_count > 1) || op->err == ERR_LIMIT)
		section_finish_error(r, ERR_TEMP, REASON_HOME, r->user->user->home);
	else if (op->err == ERR_OK || op->err == ERR_NOTFOUND)
		/* Nobody: it was changed between the two searches. */
		section_finish_error(r, ERR_TEMP, REASON_ENTRY, r->user->user->source);
	else
		section_finish_failed(r, op);
}

/* A home that the directory gave must be one entry's only. */
void
user_check_home(struct backend_request *r)
{
	struct section *s = r->section;
	struct buf filter;
	if (r->user->home_bad) {
		section_finish_error(r, ERR_TEMP, REASON_HOME, buf_str(&r->user->home_why));
		return;
	}
	if (!r->user->home_given) {
		user_done(r);
		return;
	}
	buf_init(&filter, FILTER_MAX);
	buf_addf(&filter, "(%.*s=%%{home})", STR_FMT(s->s->home_attribute));
	r->vars.home = r->user->user->home;
	const struct section_search q = { .base = s->s->user_base,
		.filter = buf_str(&filter),
		.use = TEMPLATE_FILTER,
		.attrs = no_attributes,
		.attrs_count = 1,
		.size_limit = 2 };
	section_search(r, &q, on_home_checked);
	buf_fini(&filter);
}

/* ---- one name, one user ---- */

/* Does filter look for attribute by the whole name that was asked about? */
static bool
filter_finds(const struct backend_request *r, struct str filter, struct str attribute)
{
	bool found = attribute.n == 0;
	struct buf b;
	buf_init(&b, 256);
	buf_addf(&b, "(%.*s=%%{address})", STR_FMT(attribute));
	found |= buf_check(&b) == ERR_OK && str_find(filter, buf_str(&b)) < filter.n;
	buf_reset(&b);
	buf_addf(&b, "(%.*s=%%{user})", STR_FMT(attribute)); /* as it was typed */
	found |= r->name.has_domain && buf_check(&b) == ERR_OK &&
		 str_find(filter, buf_str(&b)) < filter.n;
	buf_fini(&b);
	return found;
}

/* Has the search that found the user found everybody with this name? */
static bool
was_searched_by_name(const struct backend_request *r)
{
	const struct settings_directory *s = r->section->s;
	if (r->kind == ASK_ADDRESS)
		return true; /* by mailbox_filter: whose mail it is */
	return str_eq(r->name.address, r->user->user->user) &&
	       filter_finds(r, s->user_filter, s->user_attribute) &&
	       filter_finds(r, s->user_filter, s->user_attribute_fallback);
}

static void
on_claimed(struct backend_request *r, const struct ldap_op *op)
{
	const struct user_state *u = r->user;
	struct name name;
	struct buf dns;
	buf_init(&dns, 4096);
	for (const struct ldap_entry *e = op->entries; e != NULL; e = e->next)
		if (!str_ieq(e->dn, buf_str(&u->dn)) && !entry_is_group(r->section, e) &&
			entry_user(r->section, e, &name) == ERR_OK &&
			str_eq(name.address, u->user->user))
			buf_addf(&dns, " | %.*s", STR_FMT(e->dn));
	if (op->err == ERR_LIMIT || dns.n > 0) {
		struct buf detail;
		buf_init(&detail, 8192);
		buf_addf(&detail, "%.*s is the name of %.*s%.*s", STR_FMT(u->user->user),
			STR_FMT(buf_str(&u->dn)), STR_FMT(buf_str(&dns)));
		section_finish_error(r, ERR_DENIED, REASON_AMBIGUOUS, buf_str(&detail));
		buf_fini(&detail);
	} else if (op->err == ERR_OK || section_no_base(r, op)) {
		user_check_home(r);
	} else {
		section_finish_failed(r, op);
	}
	buf_fini(&dns);
}

/* Found by a uid, an alias or a certificate: a mistake in an entry, or its owner who may write it,
 * must not make him somebody else. */
void
user_check_claim(struct backend_request *r)
{
	struct section *s = r->section;
	const struct str attrs[] = { STR("objectClass"), s->s->user_attribute,
		s->s->user_attribute_fallback };
	const struct template_vars asked = r->vars;
	struct name name;
	struct buf base, filter;
	if (was_searched_by_name(r)) {
		user_check_home(r);
		return;
	}
	if (name_parse(r->user->user->user, STR_EMPTY, &name) != ERR_OK) {
		section_finish_error(r, ERR_TEMP, REASON_INTERNAL, STR_EMPTY);
		return;
	}
	buf_init(&base, BASE_MAX);
	buf_init(&filter, FILTER_MAX);
	buf_addf(&filter, "(|%.*s%.*s", STR_FMT(s->s->user_filter), STR_FMT(s->s->mailbox_filter));
	if (s->s->mailbox_filter.n == 0)
		buf_addf(&filter, "(%.*s=%%{address})", STR_FMT(s->s->user_attribute));
	buf_addc(&filter, ')');
	r->vars.name = &name;
	enum err e = section_base(s, s->s->user_base, &r->vars, &base);
	if (e != ERR_OK) { /* it may need what only the name as typed has */
		buf_reset(&base);
		e = section_base(s, s->s->user_base, &asked, &base);
	}
	const struct section_search q = { .base = buf_str(&base),
		.base_is_dn = true,
		.filter = buf_str(&filter),
		.use = TEMPLATE_FILTER,
		.attrs = attrs,
		.attrs_count = s->s->user_attribute_fallback.n > 0 ? 3 : 2,
		.size_limit = MATCHES_SHOWN };
	if (e == ERR_OK) {
		section_search(r, &q, on_claimed);
		r->base_varies = template_varies(s->s->user_base) || template_varies(s->s->base);
		r->vars = asked;
	} else {
		section_finish_error(r, ERR_TEMP, REASON_INTERNAL, STR_EMPTY);
	}
	buf_fini(&base);
	buf_fini(&filter);
}

/* ---- entries ---- */

/* More than one entry: say which. */
static void
finish_ambiguous(struct backend_request *r, const struct ldap_op *op)
{
	struct buf dns;
	size_t shown = 0;
	buf_init(&dns, 4096);
	for (const struct ldap_entry *e = op->entries; e != NULL && shown < MATCHES_SHOWN;
		e = e->next, shown++) {
		buf_addz(&dns, shown > 0 ? " | " : "");
		buf_add(&dns, e->dn);
	}
	section_finish_error(r, ERR_DENIED, REASON_AMBIGUOUS, buf_str(&dns));
	buf_fini(&dns);
}

/* The names of the attributes that were there, for the explanation. */
static void
trace_entry(struct backend_request *r, const struct ldap_entry *e)
{
	struct buf names;
	if (r->trace == NULL)
		return;
	buf_init(&names, 2048);
	for (size_t i = 0; i < r->section->user_attrs_count; i++) {
		struct str name = r->section->user_attrs[i];
		const struct ldap_attr *a = ldap_entry_attr(e, name);
		if (a == NULL || a->count == 0)
			continue;
		buf_addf(&names, " %.*s=%.*s", STR_FMT(name),
			STR_FMT(str_sub(a->values[0], 0, 100)));
		if (a->count > 1)
			buf_addf(&names, " (+%zu)", a->count - 1);
	}
	trace_addf(r->trace, "directory \"%.*s\":   read%.*s", STR_FMT(r->section->base.title),
		STR_FMT(buf_str(&names)));
	buf_fini(&names);
}

/* The record of e, into r->user. False: r is finished. name: NULL, or whose it is known to be. */
bool
user_take_entry(struct backend_request *r, const struct ldap_entry *e, const struct name *name)
{
	struct user_state *u = user_state_of(r);
	enum auth_reason reason;
	struct buf why;
	trace_entry(r, e);
	buf_init(&why, 2048);
	auth_user_unref(u->user);
	u->user = NULL;
	u->home_bad = false;
	buf_reset(&u->dn);
	buf_add(&u->dn, e->dn);
	enum err err =
		entry_to_user(r->section, e, name, e->dn, &u->user, &u->home_given, &reason, &why);
	if (err == ERR_OK)
		err = buf_check(&u->dn);
	if (err != ERR_OK) {
		buf_addf(&why, " (%.*s)", STR_FMT(e->dn));
		/* Mail waits for the administrator; a login does not, unless the home is wrong,
		 * which is nobody's guess; a stranger without the password hears nothing of it. */
		if (reason == REASON_HOME && (r->kind == ASK_LOGIN || r->kind == ASK_SECRET) &&
			name == NULL && buf_check(&u->dn) == ERR_OK) {
			u->home_bad = true;
			buf_reset(&u->home_why);
			buf_add(&u->home_why, buf_str(&why));
			buf_fini(&why);
			return true;
		}
		bool refused = reason == REASON_ENTRY && is_login(r);
		section_finish_error(r, refused ? ERR_DENIED : ERR_TEMP, reason, buf_str(&why));
	}
	buf_fini(&why);
	return err == ERR_OK;
}

/* The one entry of a search for a user; NULL: r is finished. */
static const struct ldap_entry *
one_entry(struct backend_request *r, const struct ldap_op *op)
{
	if (op->err == ERR_LIMIT || (op->err == ERR_OK && op->entries_count > 1))
		finish_ambiguous(r, op);
	else if (section_no_base(r, op) || (op->err == ERR_OK && op->entries_count == 0))
		section_finish_error(r, ERR_NOTFOUND, REASON_UNKNOWN, STR_EMPTY);
	else if (op->err != ERR_OK)
		section_finish_failed(r, op);
	else
		return op->entries;
	return NULL;
}

void
user_on_searched(struct backend_request *r, const struct ldap_op *op)
{
	const struct ldap_entry *e = one_entry(r, op);
	if (e == NULL || !user_take_entry(r, e, NULL))
		return;
	if (r->kind == ASK_LOGIN)
		user_bind(r);
	else if (r->kind == ASK_SECRET)
		user_done(r);
	else
		user_check_claim(r);
}

static void
search_user_attrs(struct backend_request *r, struct str filter, const struct str *attrs,
	size_t attrs_count, void (*fn)(struct backend_request *r, const struct ldap_op *op))
{
	const struct section_search q = { .base = r->section->s->user_base,
		.filter = filter,
		.use = TEMPLATE_FILTER,
		.attrs = attrs,
		.attrs_count = attrs_count,
		.size_limit = MATCHES_SHOWN };
	if (filter.n == 0)
		section_finish_soon(r, ERR_NOTFOUND, REASON_UNKNOWN, STR("no filter"));
	else
		section_search(r, &q, fn);
}

void
user_search(struct backend_request *r, struct str filter,
	void (*fn)(struct backend_request *r, const struct ldap_op *op))
{
	struct section *s = r->section;
	search_user_attrs(r, filter, s->user_attrs, s->user_attrs_count, fn);
}

/* "EXAMPLE\anna" of another domain is nobody here. */
bool
user_elsewhere(struct backend_request *r)
{
	if (r->name.netbios.n == 0 || str_ieq(r->name.netbios, r->section->s->netbios_domain))
		return false;
	section_finish_soon(
		r, ERR_NOTFOUND, REASON_UNKNOWN, STR("another directory's NetBIOS domain"));
	return true;
}

/* ---- the questions ---- */

void
section_user(struct backend_request *r)
{
	const struct settings_directory *s = r->section->s;
	struct str filter = r->kind == ASK_ADDRESS ? s->mailbox_filter : s->user_filter;
	if (user_elsewhere(r))
		return;
	user_search(r, filter, user_on_searched);
}

void
section_certificate(struct backend_request *r)
{
	struct str filter = r->section->s->certificate_filter;
	r->vars.certificate = r->other;
	if (filter.n == 0 || r->other.n == 0)
		section_finish_soon(r, ERR_NOTFOUND, REASON_UNKNOWN,
			filter.n == 0 ? STR("no certificate_filter") : STR("an empty subject"));
	else
		user_search(r, filter, user_on_searched);
}

static void
on_master_searched(struct backend_request *r, const struct ldap_op *op)
{
	if (op->err == ERR_OK && op->entries_count == 1)
		section_finish_error(r, ERR_OK, REASON_NONE, STR_EMPTY);
	else if (op->err == ERR_OK || op->err == ERR_NOTFOUND)
		section_finish_error(r, ERR_DENIED, REASON_AUTHZ, r->other);
	else
		section_finish_failed(r, op);
}

void
section_master(struct backend_request *r)
{
	struct str filter = r->section->s->master_filter;
	if (filter.n == 0 || r->other.n == 0) {
		section_finish_soon(r, ERR_DENIED, REASON_AUTHZ, STR("no master_filter"));
		return;
	}
	const struct section_search q = { .base = r->other,
		.base_is_dn = true,
		.entry_only = true,
		.filter = filter,
		.use = TEMPLATE_FILTER,
		.attrs = no_attributes,
		.attrs_count = 1 };
	r->vars.dn = r->other;
	r->vars.other = r->name.address;
	section_search(r, &q, on_master_searched);
}

static void
on_domain_searched(struct backend_request *r, const struct ldap_op *op)
{
	struct auth_answer a = section_answer(ERR_OK, REASON_NONE, STR_EMPTY);
	a.value = r->name.domain;
	/* Beyond the limit of one: several entries name it. */
	if (op->err == ERR_LIMIT || (op->err == ERR_OK && op->entries_count > 0))
		section_finish(r, &a);
	else if (op->err == ERR_OK || section_no_base(r, op))
		section_finish_error(r, ERR_NOTFOUND, REASON_UNKNOWN, STR_EMPTY);
	else
		section_finish_failed(r, op);
}

void
section_domain(struct backend_request *r)
{
	const struct settings_directory *s = r->section->s;
	const struct section_search q = { .base = s->domain_base,
		.filter = s->domain_filter,
		.use = TEMPLATE_FILTER,
		.attrs = no_attributes,
		.attrs_count = 1,
		.size_limit = 1 };
	if (section_lists_domain(r->section, r->name.domain)) {
		trace_addf(r->trace, "directory \"%.*s\": the settings list %.*s",
			STR_FMT(s->title), STR_FMT(r->name.domain));
		section_finish_value_soon(r, r->name.domain);
	} else if (s->domains.n > 0 || s->domain_filter.n == 0 || r->name.domain.n == 0) {
		section_finish_soon(r, ERR_NOTFOUND, REASON_UNKNOWN, STR_EMPTY);
	} else {
		section_search(r, &q, on_domain_searched);
	}
}

/* ---- the list ---- */

/* A user whose entry cannot be used is left out with a line of its own: one mistake in the
 * directory must not hide everybody else. */
static void
list_one(struct backend_request *r, const struct ldap_entry *e)
{
	struct auth_user *u = NULL;
	enum auth_reason reason;
	bool home_given;
	struct buf why;
	buf_init(&why, 2048);
	enum err err = entry_to_user(r->section, e, NULL, e->dn, &u, &home_given, &reason, &why);
	if (err == ERR_OK) {
		struct auth_answer a = section_answer(ERR_OK, REASON_NONE, STR_EMPTY);
		a.user = u;
		a.value = u->user;
		r->fn(r->arg, &a);
	} else if (err != ERR_NOTFOUND) {
		log_event(LVL_WARN, "auth.list", log_s("directory", r->section->base.title),
			log_s("dn", e->dn), log_z("reason", reason_text(reason)),
			log_s("detail", buf_str(&why)));
	}
	auth_user_unref(u);
	buf_fini(&why);
}

static void
on_listed(struct backend_request *r, const struct ldap_op *op)
{
	/* not on the stack: gcc takes the pointer for one that stays */
	bool *flag = xcalloc(1, sizeof *flag);
	r->cancelled = flag;
	for (const struct ldap_entry *e = op->entries; e != NULL && !*flag; e = e->next)
		list_one(r, e);
	bool cancelled = *flag;
	free(flag);
	if (cancelled)
		return;
	r->cancelled = NULL;
	if (op->more)
		return;
	if (op->err == ERR_OK)
		section_finish_error(r, ERR_EOF, REASON_NONE, STR_EMPTY);
	else
		section_finish_error(r, ERR_TEMP, REASON_DIRECTORY, str_of(op->text));
}

void
section_list(struct backend_request *r)
{
	const struct settings_directory *s = r->section->s;
	const struct section_search q = { .base = s->user_base,
		.filter = s->user_filter,
		.use = TEMPLATE_ALL,
		.attrs = r->section->user_attrs,
		.attrs_count = r->section->user_attrs_count,
		.many = true };
	if (template_varies(s->base) || template_varies(s->user_base)) {
		section_finish_soon(r, ERR_TEMP, REASON_INTERNAL,
			STR("base or user_base depends on the user: nobody can list them"));
		return;
	}
	section_search(r, &q, on_listed);
}

/* ---- keys of SCRAM ---- */

/* The values of the secret attributes, wiped once they were read. */
static void
take_secrets(struct backend_request *r, const struct ldap_entry *e)
{
	const struct str_list *list = &r->section->s->secret_attributes;
	size_t bad = 0;
	for (size_t i = 0; i < list->n; i++) {
		const struct ldap_attr *a = ldap_entry_attr(e, list->v[i]);
		for (size_t k = 0; a != NULL && k < a->count; k++) {
			bad += secret_keys_add(&r->user->keys, a->values[k]) == ERR_SYNTAX;
			explicit_bzero((void *)(uintptr_t)a->values[k].p, a->values[k].n);
		}
	}
	if (bad > 0)
		log_event(LVL_WARN, "auth.secret", log_s("sid", r->sid), log_s("dn", e->dn),
			log_z("reason", "a SCRAM value in the directory is not of its form"));
}

static void
on_secret_searched(struct backend_request *r, const struct ldap_op *op)
{
	const struct ldap_entry *e = one_entry(r, op);
	if (e == NULL || !user_take_entry(r, e, NULL))
		return;
	take_secrets(r, e);
	trace_addf(r->trace, "directory \"%.*s\": keys for SCRAM: SHA-256 %s, SHA-1 %s",
		STR_FMT(r->section->base.title),
		r->user->keys.secret.sha256.stored_key.n > 0 ? "yes" : "no",
		r->user->keys.secret.sha1.stored_key.n > 0 ? "yes" : "no");
	/* Whether the name and the home are his alone is asked after the proof, with ASK_USER:
	 * before it, a client must not be able to tell him from somebody unknown. */
	user_done(r);
}

void
section_secret(struct backend_request *r)
{
	struct section *s = r->section;
	if (user_elsewhere(r))
		return;
	if (s->s->secret_attributes.n == 0) {
		user_search(r, s->s->user_filter, user_on_searched);
		return;
	}
	size_t n = s->user_attrs_count + s->s->secret_attributes.n;
	struct str *attrs = xcalloc(n, sizeof *attrs);
	memcpy(attrs, s->user_attrs, s->user_attrs_count * sizeof *attrs);
	memcpy(attrs + s->user_attrs_count, s->s->secret_attributes.v,
		s->s->secret_attributes.n * sizeof *attrs);
	search_user_attrs(r, s->s->user_filter, attrs, n, on_secret_searched);
	free(attrs);
}
