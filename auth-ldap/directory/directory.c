/* Users, domains and senders, out of the directory sections. The auth server and the socketmap ask;
 * ldap/pool.c carries the questions. A request walks through the sections that are asked about
 * its domain, one at a time.
 *
 * Invariants: a name reaches the directory only after name_parse and escaped; a search for a user
 * must find exactly one entry; a password is checked by a bind and in no other way; a home is below
 * mail_root and belongs to one user. */
#include "auth-ldap/directory/directory_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	MATCHES_SHOWN = 5,
	FILTER_MAX = 32 * 1024,
	VALUE_MAX = 8 * 1024 * 1024,
};

enum request_kind { REQ_LOGIN, REQ_USER, REQ_ADDRESS, REQ_LIST, REQ_DOMAIN, REQ_SENDER };

struct dir_request {
	struct dirs *d;
	enum request_kind kind;
	struct name name;
	bool tag_cut;
	size_t at; /* section */
	struct ldap_op *op;
	struct expansion *expansion; /* dir_lookup's alias: everything is there */
	struct buf password;
	struct name user;
	struct buf home, dn, value;
	bool home_given;       /* by the directory */
	struct loop_task task; /* for answers that need no directory */
	struct dir_answer early;
	dir_fn fn;
	void *arg;
};

/* ---- requests ---- */

static struct dir_request *
request_new(struct dirs *d, enum request_kind kind, dir_fn fn, void *arg);

static void
request_free(struct dir_request *r)
{
	ldap_op_cancel(r->op);
	dir_expansion_cancel(r->expansion);
	loop_task_cancel(&r->task);
	buf_fini(&r->password);
	buf_fini(&r->home);
	buf_fini(&r->dn);
	buf_fini(&r->value);
	dirs_unref(r->d);
	free(r);
}

void
dir_cancel(struct dir_request *r)
{
	if (r != NULL)
		request_free(r);
}

static void
finish(struct dir_request *r, const struct dir_answer *a)
{
	r->fn(r->arg, a);
	request_free(r);
}

static void
finish_error(struct dir_request *r, enum err e, const char *reason, struct str detail)
{
	finish(r, &(struct dir_answer){ .err = e, .reason = reason, .detail = detail });
}

static void
on_early(struct loop_task *t)
{
	struct dir_request *r = t->arg;
	finish(r, &r->early);
}

/* Answer without a question, but from the loop. */
static void
finish_soon(struct dir_request *r, enum err e, const char *reason)
{
	r->early = (struct dir_answer){ .err = e, .reason = reason };
	loop_task_queue(&r->task);
}

static struct dir_request *
request_new(struct dirs *d, enum request_kind kind, dir_fn fn, void *arg)
{
	struct dir_request *r = xcalloc(1, sizeof *r);
	r->d = dirs_ref(d);
	r->kind = kind;
	r->fn = fn;
	r->arg = arg;
	buf_init_secret(&r->password, 64 * 1024);
	buf_init(&r->home, 4096);
	buf_init(&r->dn, 64 * 1024);
	buf_init(&r->value, VALUE_MAX);
	loop_task_init(&r->task, d->loop, on_early, r);
	return r;
}

static void
step(struct dir_request *r);

static void
step_next(struct dir_request *r)
{
	r->at++;
	step(r);
}

/* ---- what an entry says ---- */

enum err
entry_user(
	const struct dirs *d, const struct dir *dir, const struct ldap_entry *e, struct name *out)
{
	const struct ldap_attr *a = ldap_entry_attr(e, dir->s->user_attribute);
	if (a == NULL)
		return ERR_NOTFOUND;
	if (a->count != 1 ||
		name_parse(a->values[0], d->settings->auth.default_domain, out) != ERR_OK ||
		out->domain.n == 0)
		return ERR_DENIED;
	return ERR_OK;
}

/* r->home for r->user, from the entry or from mail_home. e may be NULL. */
static enum err
home_find(struct dir_request *r, const struct dir *dir, const struct ldap_entry *e)
{
	const struct settings *s = r->d->settings;
	const struct ldap_attr *a = NULL;
	buf_reset(&r->home);
	if (e != NULL && dir->s->home_attribute.n > 0)
		a = ldap_entry_attr(e, dir->s->home_attribute);
	r->home_given = a != NULL;
	if (a != NULL) {
		if (a->count != 1)
			return ERR_DENIED;
		buf_add(&r->home, a->values[0]);
	} else {
		buf_add(&r->home, s->mail_root);
		buf_addc(&r->home, '/');
		enum err err = template_expand(&r->home, s->mail_home, &r->user, TEMPLATE_PATH);
		if (err != ERR_OK)
			return err;
	}
	if (buf_check(&r->home) != ERR_OK || !home_is_safe(buf_str(&r->home), s->mail_root))
		return ERR_DENIED;
	return ERR_OK;
}

/* ---- the end of a user's request ---- */

static void
user_done(struct dir_request *r)
{
	struct str home = buf_str(&r->home), user = r->user.address;
	if (!dirs_claim_home(r->d, home, user)) {
		finish_error(r, ERR_TEMP, "home belongs to another user", home);
		return;
	}
	const struct dir_answer a = {
		.err = ERR_OK, .user = user, .home = home, .dn = buf_str(&r->dn), .value = user
	};
	finish(r, &a);
}

static void
on_home_checked(void *arg, const struct ldap_op *op)
{
	struct dir_request *r = arg;
	r->op = NULL;
	if (op->err == ERR_OK && op->entries_count == 1)
		user_done(r);
	else if (op->err == ERR_OK || op->err == ERR_LIMIT)
		finish_error(r, ERR_TEMP, "home of more than one entry", buf_str(&r->home));
	else
		finish_error(r, ERR_TEMP, "directory failed", str_of(op->text));
}

/* A home that the directory gave must be one entry's only. */
static void
user_check_home(struct dir_request *r)
{
	const struct dir *dir = &r->d->v[r->at];
	if (!r->home_given) {
		user_done(r);
		return;
	}
	struct buf f;
	buf_init(&f, FILTER_MAX);
	buf_addf(&f, "(%.*s=", STR_FMT(dir->s->home_attribute));
	escape_filter(&f, buf_str(&r->home));
	buf_addc(&f, ')');
	const struct ldap_query q = {
		.base = dir->s->base, .filter = buf_str(&f), .size_limit = 2
	};
	r->op = ldap_pool_search(dir->pool, &q, on_home_checked, r);
	buf_fini(&f);
}

static void
on_bound(void *arg, const struct ldap_op *op)
{
	struct dir_request *r = arg;
	r->op = NULL;
	/* By a DN template nobody can tell an unknown user from a wrong password. */
	if (op->err == ERR_DENIED && r->d->v[r->at].s->user_dn.n > 0 &&
		dirs_next(r->d, r->at + 1, r->name.domain) < r->d->n) {
		step_next(r);
		return;
	}
	buf_release(&r->password);
	switch (op->err) {
	case ERR_OK:
		user_check_home(r);
		break;
	case ERR_DENIED:
		finish(r, &(struct dir_answer){ .err = ERR_DENIED,
				  .dn = buf_str(&r->dn),
				  .reason = "password refused",
				  .detail = str_of(op->text) });
		break;
	case ERR_AGAIN:
	case ERR_EOF:
	case ERR_SYNTAX:
	case ERR_LIMIT:
	case ERR_NOTFOUND:
	case ERR_EXISTS:
	case ERR_BUSY:
	case ERR_TEMP:
	case ERR_CORRUPT:
	case ERR_BUG:
		finish(r, &(struct dir_answer){ .err = ERR_TEMP,
				  .dn = buf_str(&r->dn),
				  .reason = "directory failed",
				  .detail = str_of(op->text) });
		break;
	}
}

static void
start_bind(struct dir_request *r)
{
	r->op = ldap_pool_bind(
		r->d->v[r->at].pool, buf_str(&r->dn), buf_str(&r->password), on_bound, r);
}

/* More than one entry: say which. */
static void
finish_ambiguous(struct dir_request *r, const struct ldap_op *op)
{
	struct buf dns;
	buf_init(&dns, 4096);
	for (const struct ldap_entry *e = op->entries; e != NULL; e = e->next) {
		buf_add(&dns, e->dn);
		buf_addz(&dns, e->next != NULL ? " | " : "");
	}
	finish_error(r, ERR_DENIED, "more than one entry matches", buf_str(&dns));
	buf_fini(&dns);
}

static void
user_found(struct dir_request *r, const struct ldap_entry *e)
{
	const struct dir *dir = &r->d->v[r->at];
	buf_reset(&r->dn);
	buf_add(&r->dn, e->dn);
	if (buf_check(&r->dn) != ERR_OK || entry_user(r->d, dir, e, &r->user) != ERR_OK) {
		finish_error(
			r, ERR_DENIED, "user_attribute has not exactly one usable value", e->dn);
		return;
	}
	if (!dirs_own_domain(r->d, r->at, r->user.domain)) {
		finish_error(r, ERR_DENIED, "the user's domain is another directory's", e->dn);
		return;
	}
	if (home_find(r, dir, e) != ERR_OK) {
		finish_error(r, ERR_TEMP, "home is not a clean path below mail_root", e->dn);
		return;
	}
	if (r->kind == REQ_LOGIN)
		start_bind(r);
	else
		user_check_home(r);
}

static bool
try_without_tag(struct dir_request *r)
{
	struct str delimiter = r->d->settings->recipient_delimiter;
	if (r->tag_cut || delimiter.n == 0)
		return false;
	r->tag_cut = name_cut_tag(&r->name, delimiter.p[0]);
	return r->tag_cut;
}

static void
on_user_searched(void *arg, const struct ldap_op *op)
{
	struct dir_request *r = arg;
	r->op = NULL;
	if (op->err != ERR_OK && op->err != ERR_LIMIT)
		finish_error(r, ERR_TEMP, "directory failed", str_of(op->text));
	else if (op->entries_count > 1)
		finish_ambiguous(r, op);
	else if (op->err == ERR_LIMIT)
		finish_error(r, ERR_TEMP, "directory failed", str_of(op->text));
	else if (op->entries_count == 1)
		user_found(r, op->entries);
	else
		step_next(r);
}

/* ---- the questions ---- */

static void
search(struct dir_request *r, struct str t, enum template_use use, int size_limit, ldap_fn fn)
{
	const struct dir *dir = &r->d->v[r->at];
	struct buf f;
	buf_init(&f, FILTER_MAX);
	enum err e = template_expand(&f, t, &r->name, use);
	const struct str attrs[] = { dir->s->user_attribute, dir->s->home_attribute };
	const struct ldap_query q = { .base = dir->s->base,
		.filter = buf_str(&f),
		.attrs = attrs,
		.attrs_count = r->kind == REQ_DOMAIN ? 0 : 2,
		.size_limit = size_limit };
	if (e == ERR_OK)
		r->op = ldap_pool_search(dir->pool, &q, fn, r);
	else
		finish_soon(r, ERR_TEMP, "the filter is too long");
	buf_fini(&f);
}

/* The canonical name of a login by user_dn. Where the DN does not hold the domain, the directory
 * does not vouch for it: it must be one of the section's, and every one of them ends in one name.
 */
static enum err
template_user(struct dir_request *r)
{
	const struct settings_directory *s = r->d->v[r->at].s;
	struct str fallback = r->d->settings->auth.default_domain;
	struct str t = s->user_dn;
	if (str_find(t, STR("%{domain}")) < t.n || str_find(t, STR("%{address}")) < t.n) {
		name_copy(&r->user, &r->name);
		return r->user.domain.n > 0 ? ERR_OK : ERR_DENIED;
	}
	if (s->domains.n > 0 && !dir_lists_domain(&r->d->v[r->at], fallback))
		fallback = s->domains.v[0];
	if (s->domains.n == 0 && !str_ieq(r->name.domain, fallback))
		return ERR_DENIED;
	enum err e = name_parse(r->name.local, fallback, &r->user);
	return e == ERR_OK && r->user.domain.n == 0 ? ERR_DENIED : e;
}

/* A login without a search: the name itself makes the DN and the user. */
static void
login_by_template(struct dir_request *r)
{
	const struct dir *dir = &r->d->v[r->at];
	if (template_user(r) != ERR_OK || !dirs_own_domain(r->d, r->at, r->user.domain)) {
		finish_soon(r, ERR_DENIED, "not a domain of this directory");
		return;
	}
	/* A directory may take two spellings of other scripts for the same name. */
	if (str_has_8bit(r->name.address)) {
		finish_soon(r, ERR_DENIED, "a name for user_dn must be ASCII");
		return;
	}
	buf_reset(&r->dn);
	if (template_expand(&r->dn, dir->s->user_dn, &r->name, TEMPLATE_DN) != ERR_OK) {
		finish_soon(r, ERR_DENIED, "the DN is too long");
		return;
	}
	if (home_find(r, dir, NULL) != ERR_OK) {
		finish_soon(r, ERR_TEMP, "home is not a clean path below mail_root");
		return;
	}
	start_bind(r);
}

static void
on_domain_searched(void *arg, const struct ldap_op *op)
{
	struct dir_request *r = arg;
	r->op = NULL;
	if (op->entries_count > 0)
		finish(r, &(struct dir_answer){ .err = ERR_OK, .value = r->name.domain });
	else if (op->err != ERR_OK)
		finish_error(r, ERR_TEMP, "directory failed", str_of(op->text));
	else
		step_next(r);
}

static void
on_sender_searched(void *arg, const struct ldap_op *op)
{
	struct dir_request *r = arg;
	struct name user;
	r->op = NULL;
	if (op->err != ERR_OK) {
		finish_error(r, ERR_TEMP, "directory failed", str_of(op->text));
		return;
	}
	for (const struct ldap_entry *e = op->entries; e != NULL; e = e->next) {
		if (entry_user(r->d, &r->d->v[r->at], e, &user) != ERR_OK)
			continue;
		buf_addz(&r->value, r->value.n > 0 ? "," : "");
		buf_add(&r->value, user.address);
	}
	if (r->value.n > 0 && buf_check(&r->value) == ERR_OK)
		finish(r, &(struct dir_answer){ .err = ERR_OK, .value = buf_str(&r->value) });
	else
		step_next(r);
}

static void
on_listed(void *arg, const struct ldap_op *op)
{
	struct dir_request *r = arg;
	struct name user;
	r->op = NULL;
	for (const struct ldap_entry *e = op->entries; e != NULL; e = e->next)
		if (entry_user(r->d, &r->d->v[r->at], e, &user) == ERR_OK)
			r->fn(r->arg, &(struct dir_answer){ .err = ERR_OK,
					      .user = user.address,
					      .value = user.address,
					      .dn = e->dn });
	if (op->err != ERR_OK)
		finish_error(r, ERR_TEMP, "the list is not whole", str_of(op->text));
	else
		step_next(r);
}

/* No section knows the name. */
static void
not_found(struct dir_request *r)
{
	switch (r->kind) {
	case REQ_LOGIN:
		finish_soon(r, ERR_DENIED, "unknown user");
		break;
	case REQ_LIST:
		finish_soon(r, ERR_EOF, NULL);
		break;
	case REQ_ADDRESS:
	case REQ_SENDER:
		if (try_without_tag(r)) {
			r->at = 0;
			step(r);
			break;
		}
		finish_soon(r, ERR_NOTFOUND, "unknown address");
		break;
	case REQ_USER:
	case REQ_DOMAIN:
		finish_soon(r, ERR_NOTFOUND, "unknown");
		break;
	}
}

/* Ask the section r->at, or the next one that may be asked. */
static void
step(struct dir_request *r)
{
	r->at = r->kind == REQ_LIST ? r->at : dirs_next(r->d, r->at, r->name.domain);
	if (r->at >= r->d->n) {
		not_found(r);
		return;
	}
	const struct settings_directory *s = r->d->v[r->at].s;
	struct str sender = s->sender_filter.n > 0 ? s->sender_filter : s->mailbox_filter;
	switch (r->kind) {
	case REQ_LOGIN:
		if (s->user_dn.n > 0)
			login_by_template(r);
		else
			search(r, s->user_filter, TEMPLATE_FILTER, MATCHES_SHOWN, on_user_searched);
		break;
	case REQ_USER:
		search(r, s->user_filter, TEMPLATE_FILTER, MATCHES_SHOWN, on_user_searched);
		break;
	case REQ_ADDRESS:
		search(r, s->mailbox_filter, TEMPLATE_FILTER, MATCHES_SHOWN, on_user_searched);
		break;
	case REQ_LIST:
		search(r, s->user_filter, TEMPLATE_ALL, 0, on_listed);
		break;
	case REQ_DOMAIN:
		if (s->domains.n > 0) { /* the settings say so */
			r->early = (struct dir_answer){ .err = ERR_OK, .value = r->name.domain };
			loop_task_queue(&r->task);
		} else {
			search(r, s->domain_filter, TEMPLATE_FILTER, 1, on_domain_searched);
		}
		break;
	case REQ_SENDER:
		search(r, sender, TEMPLATE_FILTER, 1000, on_sender_searched);
		break;
	}
}

struct dir_request *
dir_login(struct dirs *d, struct str name, struct str password, dir_fn fn, void *arg)
{
	struct dir_request *r = request_new(d, REQ_LOGIN, fn, arg);
	buf_add(&r->password, password);
	if (password.n == 0)
		finish_soon(r, ERR_DENIED, "empty password");
	else if (buf_check(&r->password) != ERR_OK || str_has_nul(password))
		finish_soon(r, ERR_DENIED, "unusable password");
	else if (name_parse(name, d->settings->auth.default_domain, &r->name) != ERR_OK)
		finish_soon(r, ERR_DENIED, "not a name");
	else
		step(r);
	return r;
}

struct dir_request *
dir_user(struct dirs *d, struct str name, bool by_address, dir_fn fn, void *arg)
{
	struct dir_request *r = request_new(d, by_address ? REQ_ADDRESS : REQ_USER, fn, arg);
	r->tag_cut = true; /* tags are the asker's */
	if (name_parse(name, d->settings->auth.default_domain, &r->name) != ERR_OK)
		finish_soon(r, ERR_NOTFOUND, "not a name");
	else
		step(r);
	return r;
}

struct dir_request *
dir_list(struct dirs *d, dir_fn fn, void *arg)
{
	struct dir_request *r = request_new(d, REQ_LIST, fn, arg);
	if (name_parse(STR("all"), d->settings->auth.default_domain, &r->name) != ERR_OK)
		finish_soon(r, ERR_TEMP, "default_domain is no domain");
	else
		step(r);
	return r;
}

static void
on_expanded(void *arg, const struct dir_answer *a)
{
	struct dir_request *r = arg;
	r->expansion = NULL;
	finish(r, a);
}

struct dir_request *
dir_lookup(struct dirs *d, enum dir_map map, struct str key, dir_fn fn, void *arg)
{
	static const enum request_kind kinds[] = { [DIR_DOMAIN] = REQ_DOMAIN,
		[DIR_MAILBOX] = REQ_ADDRESS,
		[DIR_ALIAS] = REQ_ADDRESS,
		[DIR_SENDER] = REQ_SENDER };
	struct dir_request *r = request_new(d, kinds[map], fn, arg);
	enum err e;
	if (map == DIR_DOMAIN) {
		char with_local[300];
		int n = snprintf(with_local, sizeof with_local, "x@%.*s", STR_FMT(key));
		e = n < (int)sizeof with_local && !str_has_nul(key)
			    ? name_parse(str_n(with_local, (size_t)n), STR_EMPTY, &r->name)
			    : ERR_SYNTAX;
	} else {
		e = name_parse(key, d->settings->auth.default_domain, &r->name);
	}
	if (e != ERR_OK || r->name.domain.n == 0)
		finish_soon(r, ERR_NOTFOUND, "not an address");
	else if (map == DIR_ALIAS)
		r->expansion = dir_expansion_start(d, &r->name, on_expanded, r);
	else
		step(r);
	return r;
}
