/* A directory section as a backend: made and checked at start and at a reload, asked by front/.
 * What the kinds of questions mean stands in users.c and members.c; here are their beginning and
 * end.
 *
 * Invariants: fn is called from the loop, never inside ask; a request has one question at the
 * directory under way, which ends with it; values reach the directory only through templates. */
#include "auth-ldap/directory/members.h"

#include <stdlib.h>

#include "auth-ldap/ldap/options.h"
#include "auth-ldap/name/filter.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

/* RFC 4511 4.1.9 */
enum { NO_SUCH_OBJECT = 32 };
enum {
	PASSWORD_MAX = 64 * 1024,
	MEMORY_MAX = 128 * 1024,
	DETAIL_MAX = 8 * 1024,
	BASE_SHOWN_MAX = 500
};

static const section_fn begin_table[] = {
	[ASK_LOGIN] = section_login,
	[ASK_USER] = section_user,
	[ASK_ADDRESS] = section_user,
	[ASK_CERTIFICATE] = section_certificate,
	[ASK_SECRET] = section_secret,
	[ASK_MASTER] = section_master,
	[ASK_DOMAIN] = section_domain,
	[ASK_MEMBERS] = section_members,
	[ASK_CATCHALL] = section_members,
	[ASK_SENDER] = section_sender,
	[ASK_TRANSPORT] = section_transport,
	[ASK_POST] = section_post,
	[ASK_LIST] = section_list,
};

/* ---- the end of a request ---- */

static void
request_free(struct backend_request *r)
{
	ldap_search_cancel(r->search);
	ldap_op_cancel(r->bind);
	loop_task_cancel(&r->task);
	user_state_free(r->user);
	members_state_free(r->members);
	buf_fini(&r->password);
	buf_fini(&r->memory);
	buf_fini(&r->early_detail);
	if (r->cancelled != NULL)
		*r->cancelled = true;
	free(r);
}

void
section_finish(struct backend_request *r, const struct auth_answer *a)
{
	r->cancelled = NULL;
	r->fn(r->arg, a);
	request_free(r);
}

struct auth_answer
section_answer(enum err e, enum auth_reason reason, struct str detail)
{
	return (struct auth_answer){ .err = e,
		.reason = reason,
		.detail = detail,
		.password_expires_sec = -1,
		.grace_logins = -1 };
}

void
section_finish_error(
	struct backend_request *r, enum err e, enum auth_reason reason, struct str detail)
{
	const struct auth_answer a = section_answer(e, reason, detail);
	section_finish(r, &a);
}

void
section_finish_failed(struct backend_request *r, const struct ldap_op *op)
{
	struct buf text;
	buf_init(&text, DETAIL_MAX);
	buf_addz(&text, op->text);
	/* Nothing else in the log would say where it looked. */
	if (op->type == LDAP_OP_SEARCH && op->code == NO_SUCH_OBJECT)
		buf_addf(&text,
			" (base \"%.*s\" is not there, or the service account may not see it)",
			STR_FMT(str_sub(op->base, 0, BASE_SHOWN_MAX)));
	section_finish_error(r, ERR_TEMP, REASON_DIRECTORY, buf_str(&text));
	buf_fini(&text);
}

static void
on_early(struct loop_task *t)
{
	struct backend_request *r = t->arg;
	section_finish(r, &r->early);
}

void
section_finish_soon(
	struct backend_request *r, enum err e, enum auth_reason reason, struct str detail)
{
	buf_reset(&r->early_detail);
	buf_add(&r->early_detail, detail);
	r->early = section_answer(e, reason, buf_str(&r->early_detail));
	loop_task_queue(&r->task);
}

void
section_finish_value_soon(struct backend_request *r, struct str value)
{
	r->early = section_answer(ERR_OK, REASON_NONE, STR_EMPTY);
	r->early.value = value;
	loop_task_queue(&r->task);
}

/* ---- searches ---- */

static const char *
scope_name(enum ldap_scope scope)
{
	switch (scope) {
	case SCOPE_SUB:
		return "sub";
	case SCOPE_ONE:
		return "one";
	case SCOPE_BASE:
		return "base";
	}
	return "";
}

static enum ldap_scope
scope_of(const struct section *s)
{
	if (str_eq(s->s->scope, STR("one")))
		return SCOPE_ONE;
	return str_eq(s->s->scope, STR("base")) ? SCOPE_BASE : SCOPE_SUB;
}

void
section_trace_search(struct backend_request *r, const struct ldap_op *op)
{
	struct str title = r->section->base.title;
	if (r->trace == NULL)
		return;
	trace_addf(r->trace, "directory \"%.*s\": search at %s: base \"%.*s\" scope %s filter %.*s",
		STR_FMT(title), op->uri != NULL ? op->uri : "no server", STR_FMT(op->base),
		scope_name(op->scope), STR_FMT(op->filter));
	trace_addf(r->trace, "directory \"%.*s\": %s, %zu %s, %lld ms%s%s", STR_FMT(title),
		err_name(op->err), op->entries_count, op->entries_count == 1 ? "entry" : "entries",
		(long long)op->ms, op->text[0] != '\0' ? ": " : "", op->text);
	size_t shown = 0;
	for (const struct ldap_entry *e = op->entries; e != NULL && shown < 10;
		e = e->next, shown++)
		trace_addf(r->trace, "directory \"%.*s\":   dn \"%.*s\"", STR_FMT(title),
			STR_FMT(e->dn));
}

static void
on_found(void *arg, const struct ldap_op *op)
{
	struct backend_request *r = arg;
	if (!op->more)
		r->search = NULL;
	section_trace_search(r, op);
	r->found(r, op);
}

enum err
section_base(const struct section *s, struct str kind_base, const struct template_vars *v,
	struct buf *out)
{
	struct buf root;
	struct template_vars vars = *v;
	buf_init(&root, BASE_MAX);
	enum err e = template_expand_vars(&root, s->s->base, v, TEMPLATE_DN);
	vars.base = buf_str(&root);
	if (e == ERR_OK && kind_base.n > 0)
		e = template_expand_vars(out, kind_base, &vars, TEMPLATE_DN);
	else if (e == ERR_OK)
		buf_add(out, vars.base);
	if (e == ERR_OK)
		e = buf_check(out);
	buf_fini(&root);
	return e;
}

bool
section_no_base(const struct backend_request *r, const struct ldap_op *op)
{
	return op->err == ERR_NOTFOUND || (r->base_varies && op->code == NO_SUCH_OBJECT);
}

void
section_search(struct backend_request *r, const struct section_search *q,
	void (*fn)(struct backend_request *r, const struct ldap_op *op))
{
	struct section *s = r->section;
	struct buf filter, base;
	enum err e = ERR_OK;
	buf_init(&filter, FILTER_MAX);
	buf_init(&base, BASE_MAX);
	if (q->base_is_dn)
		buf_add(&base, q->base);
	else
		e = section_base(s, q->base, &r->vars, &base);
	if (e == ERR_OK) {
		struct template_vars vars = r->vars;
		vars.base = buf_str(&base);
		e = template_expand_vars(&filter, q->filter, &vars, q->use);
	}
	const struct ldap_query query = { .base = buf_str(&base),
		.filter = buf_str(&filter),
		.scope = q->entry_only ? SCOPE_BASE : scope_of(s),
		.attrs = q->attrs,
		.attrs_count = q->attrs_count,
		.size_limit = q->size_limit,
		.many = q->many,
		.stream = q->many };
	if (e == ERR_OK) {
		r->found = fn;
		r->base_varies =
			!q->base_is_dn && (template_varies(q->base) || template_varies(s->s->base));
		r->search = ldap_search(s->client, &query, on_found, r);
	} else if (e == ERR_DENIED) {
		/* a base or filter that this name cannot make: nobody can have it */
		section_finish_soon(r, ERR_NOTFOUND, REASON_UNKNOWN,
			STR("the name lacks what the base is made of"));
	} else {
		section_finish_soon(
			r, ERR_TEMP, REASON_INTERNAL, STR("the filter or base is too long"));
	}
	buf_fini(&filter);
	buf_fini(&base);
}

/* ---- the beginning ---- */

/* Copies of what the question borrows. ERR_LIMIT. */
static enum err
request_copy(struct backend_request *r, const struct auth_question *q)
{
	const struct auth_context *c = q->context;
	struct str *const to[] = { &r->other, &r->service, &r->remote_ip, &r->local_ip, &r->sid };
	const struct str from[] = { q->other, c->service, c->remote_ip, c->local_ip, c->sid };
	size_t at = 0;
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		buf_add(&r->memory, from[i]);
	if (buf_check(&r->memory) != ERR_OK)
		return ERR_LIMIT;
	for (size_t i = 0; i < ARRAY_LEN(from); at += from[i].n, i++)
		*to[i] = str_sub(buf_str(&r->memory), at, from[i].n);
	buf_add(&r->password, q->password);
	if (q->name != NULL)
		name_copy(&r->name, q->name);
	r->vars = (struct template_vars){ .name = q->name != NULL ? &r->name : NULL,
		.service = r->service,
		.remote_ip = r->remote_ip,
		.local_ip = r->local_ip,
		.other = r->other };
	return buf_check(&r->password);
}

static struct backend_request *
section_ask(struct backend *b, const struct auth_question *q, auth_fn fn, void *arg)
{
	struct section *s = CONTAINER_OF(b, struct section, base);
	struct backend_request *r = xcalloc(1, sizeof *r);
	r->section = s;
	r->kind = q->kind;
	r->people = q->people;
	r->secured = q->context->secured;
	r->trace = q->context->trace;
	r->fn = fn;
	r->arg = arg;
	buf_init(&r->memory, MEMORY_MAX);
	buf_init_secret(&r->password, PASSWORD_MAX);
	buf_init(&r->early_detail, DETAIL_MAX);
	loop_task_init(&r->task, s->loop, on_early, r);
	section_fn begin = q->kind < ARRAY_LEN(begin_table) ? begin_table[q->kind] : NULL;
	if (request_copy(r, q) != ERR_OK)
		section_finish_soon(r, ERR_DENIED, REASON_LIMIT, STR("the question is too long"));
	else if (begin == NULL)
		section_finish_soon(r, ERR_NOTFOUND, REASON_UNKNOWN, STR_EMPTY);
	else
		begin(r);
	return r;
}

static void
section_cancel(struct backend_request *r)
{
	if (r != NULL)
		request_free(r);
}

static void
section_status(struct backend *b, struct buf *out)
{
	struct section *s = CONTAINER_OF(b, struct section, base);
	ldap_pool_status_text(ldap_client_pool(s->client), out);
	members_section_status(s->members, s->base.title, out);
}

static void
section_free(struct backend *b)
{
	struct section *s = CONTAINER_OF(b, struct section, base);
	members_section_free(s->members);
	ldap_client_free(s->client);
	free(s->user_attrs);
	free(s);
}

/* ---- sections ---- */

/* A variable of one of these names; none needed when they are empty. */
struct needs {
	const char *any[5];
};

static bool
needs_met(const struct needs *n, struct str t)
{
	bool met = t.n == 0 || n->any[0] == NULL;
	for (size_t i = 0; !met && n->any[i] != NULL; i++)
		met = template_uses(t, n->any[i]);
	return met;
}

static enum err
check_template(struct str t, enum template_use use, const struct needs *needs, struct buf *err_out)
{
	if (template_check(t, use, NULL, err_out) != ERR_OK)
		return ERR_SYNTAX;
	bool base = use == TEMPLATE_DN && needs->any[0] == NULL;
	if (use == TEMPLATE_FILTER && filter_check(t, err_out) != ERR_OK)
		return ERR_SYNTAX;
	if (base && base_check(t, err_out) != ERR_OK)
		return ERR_SYNTAX;
	if (needs_met(needs, t))
		return ERR_OK;
	buf_addz(err_out, "the same for every question: it needs");
	for (size_t i = 0; needs->any[i] != NULL; i++)
		buf_addf(err_out, "%s %%{%s}", i > 0 ? " or" : "", needs->any[i]);
	return ERR_SYNTAX;
}

static enum err
check_templates(const struct settings_directory *s, struct buf *err_out)
{
	static const struct needs none = { { NULL } },
				  name = { { "user", "local", "address", NULL } },
				  domain = { { "domain", "address", NULL } },
				  dn = { { "dn", NULL } },
				  certificate = { { "certificate", "certificate_cn",
					  "certificate_uid", "certificate_mail", NULL } };
	const struct {
		const char *name;
		struct str t;
		enum template_use use;
		const struct needs *needs;
	} templates[] = {
		{ "base", s->base, TEMPLATE_DN, &none },
		{ "user_base", s->user_base, TEMPLATE_DN, &none },
		{ "group_base", s->group_base, TEMPLATE_DN, &none },
		{ "domain_base", s->domain_base, TEMPLATE_DN, &none },
		{ "user_dn", s->user_dn, TEMPLATE_DN, &name },
		{ "user_filter", s->user_filter, TEMPLATE_FILTER, &name },
		{ "certificate_filter", s->certificate_filter, TEMPLATE_FILTER, &certificate },
		{ "master_filter", s->master_filter, TEMPLATE_FILTER, &none },
		{ "domain_filter", s->domain_filter, TEMPLATE_FILTER, &domain },
		{ "mailbox_filter", s->mailbox_filter, TEMPLATE_FILTER, &name },
		{ "alias_filter", s->alias_filter, TEMPLATE_FILTER, &name },
		{ "sender_filter", s->sender_filter, TEMPLATE_FILTER, &name },
		{ "catch_all_filter", s->catch_all_filter, TEMPLATE_FILTER, &domain },
		{ "member_name_filter", s->member_name_filter, TEMPLATE_FILTER, &name },
		{ "members_filter", s->members_filter, TEMPLATE_FILTER, &dn },
		{ "transport_filter", s->transport_filter, TEMPLATE_FILTER, &none },
	};
	for (size_t i = 0; i < ARRAY_LEN(templates); i++) {
		size_t before = err_out->n;
		buf_addf(err_out, "directory \"%.*s\": %s: ", STR_FMT(s->title), templates[i].name);
		if (check_template(templates[i].t, templates[i].use, templates[i].needs, err_out) !=
			ERR_OK)
			return ERR_SYNTAX;
		buf_truncate(err_out, before);
	}
	return ERR_OK;
}

static enum err
complain(const struct settings_directory *s, struct buf *err_out, const char *what)
{
	buf_addf(err_out, "directory \"%.*s\": %s", STR_FMT(s->title), what);
	return ERR_SYNTAX;
}

static enum err
check_uris(const struct settings_directory *s, struct buf *err_out)
{
	struct ldap_target t;
	for (size_t i = 0; i < s->uris.n; i++)
		if (ldap_target_parse(s->uris.v[i], &t) != ERR_OK) {
			buf_addf(err_out,
				"directory \"%.*s\": uris: \"%.*s\" is not ldap://HOST[:PORT], "
				"ldaps://HOST[:PORT] or ldapi://%%2Fpath",
				STR_FMT(s->title), STR_FMT(s->uris.v[i]));
			return ERR_SYNTAX;
		}
	return ERR_OK;
}

/* A rule that cannot be read would let those in whom it should keep out. */
static bool
bits_ok(const struct str_list *rules)
{
	uint64_t bit;
	for (size_t i = 0; i < rules->n; i++)
		if (str_starts(rules->v[i], STR("bit:")) &&
			(str_to_u64(str_from(rules->v[i], 4), INT64_MAX, &bit) != ERR_OK ||
				bit == 0))
			return false;
	return true;
}

static enum err
section_check(const struct settings_directory *s, struct buf *err_out)
{
	enum err e = check_uris(s, err_out);
	if (e == ERR_OK)
		e = check_templates(s, err_out);
	if (e != ERR_OK)
		return e;
	if ((s->client_certificate.n > 0) != (s->client_key.n > 0))
		return complain(s, err_out, "client_certificate and client_key need each other");
	if (!bits_ok(&s->enabled_values) || !bits_ok(&s->disabled_values))
		return complain(s, err_out,
			"enabled_values and disabled_values: behind bit: stands a number");
	if (s->bind_connections_min > s->bind_connections_max)
		return complain(
			s, err_out, "bind_connections_min is more than bind_connections_max");
	/* A name without a password is bound as nobody by many servers (RFC 4513 5.1.2). */
	if (str_eq(s->bind_method, STR("simple")) && (s->bind_dn.n > 0) != (s->bind_password.n > 0))
		return complain(s, err_out, "bind_dn and bind_password need each other");
	if (template_uses(s->base, "base"))
		return complain(s, err_out, "base: %{base} cannot stand for itself");
	for (size_t i = 0; i < s->userdb_attributes.n; i++)
		if (str_chr(s->userdb_attributes.v[i], '=') >= s->userdb_attributes.v[i].n)
			return complain(s, err_out, "userdb_attributes: each is a key=attribute");
	return members_check(s, err_out);
}

/* What an answer about a user may depend on. */
static bool
users_use(const struct settings_directory *s, const char *key)
{
	const struct str all[] = { s->base, s->user_base, s->user_dn, s->user_filter,
		s->mailbox_filter };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (template_uses(all[i], key))
			return true;
	return false;
}

static const struct backend_ops section_ops = {
	.ask = section_ask,
	.cancel = section_cancel,
	.status = section_status,
	.free = section_free,
};

enum err
directory_backend_new(struct loop *l, const struct settings *s, const struct settings_directory *d,
	struct backend **out, struct buf *err_out)
{
	struct ldap_client_options o;
	const char *text = NULL;
	enum err e = section_check(d, err_out);
	if (e != ERR_OK)
		return e;
	struct section *section = xcalloc(1, sizeof *section);
	section->loop = l;
	section->settings = s;
	section->s = d;
	section->base = (struct backend){
		.ops = &section_ops,
		.kind = "directory",
		.title = d->title,
		.domains = d->domains.v,
		.domains_count = d->domains.n,
		.login_domains = d->login_domains.v,
		.login_domains_count = d->login_domains.n,
		.netbios = d->netbios_domain,
		.expansion_max = (size_t)d->expansion_max,
		.depth_max = (unsigned)d->depth_max,
		.by_service = users_use(d, "service"),
		.by_remote_ip = users_use(d, "remote_ip"),
		.by_local_ip = users_use(d, "local_ip"),
	};
	section_user_attrs(section);
	ldap_client_options_of(s, d, &o);
	e = ldap_client_new(l, &o, &section->client, &text);
	if (e != ERR_OK) {
		(void)complain(d, err_out, text != NULL ? text : err_name(e));
		free(section->user_attrs);
		free(section);
		return e;
	}
	*out = &section->base;
	return ERR_OK;
}
