/* A passwd_file, pam or sql section as a backend: questions go to a helper process (workers.c),
 * and what it says about a user is settled here: canonical name, home below mail_root. front/ calls
 * it through backend.h. Invariant: a helper's word is checked like a stranger's; none of it becomes
 * a path or a name unparsed. */
#include <stdlib.h>

#include "auth-ldap/backend/user.h"
#include "auth-ldap/backend/workers.h"
#include "auth-ldap/name/template.h"
#include "core/base/xalloc.h"

enum {
	ARENA_BYTES = 64 << 20,
	MEMBERS_STEP = 16,
	LIST_PARTS_MAX = 256,
	PATH_BYTES = 4096,
};

struct worker_backend {
	struct backend base;
	const struct settings *settings;
	struct workers *workers;
	struct worker_section *section;
	enum worker_kind kind;
	uint64_t asked, failed;
};

struct backend_request {
	struct worker_backend *b;
	struct worker_ask *ask;
	struct loop_task refuse; /* kinds that no helper is asked about */
	enum ask_kind kind;
	enum err user_err; /* of what the helper said about the user */
	enum auth_reason user_reason;
	struct auth_user *user;
	struct arena *arena; /* members, keys */
	struct auth_member *members;
	size_t members_count, members_room;
	bool too_many;
	struct auth_secret secret;
	bool has_secret;
	struct trace *trace;
	auth_fn fn;
	void *arg;
};

static void
request_free(struct backend_request *r)
{
	loop_task_cancel(&r->refuse);
	auth_user_unref(r->user);
	arena_free(r->arena);
	free(r);
}

/* "a, b" into an array in the arena; empty parts are left out. */
static size_t
split(struct arena *a, struct str text, const struct str **out)
{
	struct str *v = arena_calloc(a, LIST_PARTS_MAX, sizeof *v), part;
	size_t n = 0;

	while (v != NULL && text.n != 0 && n < LIST_PARTS_MAX) {
		(void)str_cut(text, ',', &part, &text);
		part = str_trim(part);
		if (part.n != 0)
			v[n++] = part;
	}
	*out = v;
	return n;
}

/* Where the user's mail lies: what the helper gave, if it lies below mail_root, else mail_home. */
static enum err
settle_home(const struct settings *s, struct str given, const struct name *n, struct buf *out)
{
	if (given.n != 0) {
		if (given.p[0] != '/')
			buf_addf(out, "%.*s/", STR_FMT(s->mail_root));
		buf_add(out, given);
		if (buf_check(out) == ERR_OK && home_is_safe(buf_str(out), s->mail_root))
			return ERR_OK;
		buf_reset(out);
	}
	buf_addf(out, "%.*s/", STR_FMT(s->mail_root));
	enum err e = template_expand(out, s->mail_home, n, TEMPLATE_PATH);

	if (e == ERR_OK && !home_is_safe(buf_str(out), s->mail_root))
		e = ERR_DENIED;
	return e;
}

/* The record out of the helper's words. */
static void
settle_user(struct backend_request *r, const struct worker_user *w)
{
	const struct settings *s = r->b->settings;
	struct name n;
	struct buf home;
	enum err e;

	auth_user_unref(r->user);
	r->user = NULL;
	r->user_err = ERR_OK;
	buf_init(&home, PATH_BYTES);
	if (name_parse(w->user, s->auth.default_domain, &n) != ERR_OK) {
		r->user_err = ERR_DENIED;
		r->user_reason = REASON_ENTRY;
		goto out;
	}
	e = settle_home(s, w->home, &n, &home);
	if (e != ERR_OK) {
		r->user_err = ERR_DENIED;
		r->user_reason = REASON_HOME;
		goto out;
	}
	struct auth_user u = { .user = n.address,
		.home = buf_str(&home),
		.source = w->source,
		.backend = r->b->base.title,
		.display_name = w->display_name,
		.mail_host = w->mail_host,
		.quota = w->quota,
		.fields = STR_EMPTY,
		.disabled = w->disabled,
		.expires_sec = w->expires_sec,
		.services_given = w->services_given };
	struct arena *a = arena_new(1 << 20);

	u.aliases_count = split(a, w->aliases, &u.aliases);
	u.services_count = split(a, w->services, &u.services);
	u.networks_count = split(a, w->networks, &u.networks);
	r->user = auth_user_new(&u);
	arena_free(a);
out:
	buf_fini(&home);
}

static void
add_member(struct backend_request *r, enum member_kind kind, struct str value)
{
	if (r->members_count == r->members_room) {
		size_t room = r->members_room != 0 ? 2 * r->members_room : MEMBERS_STEP;
		struct auth_member *grown = arena_calloc(r->arena, room, sizeof *grown);
		if (grown == NULL) {
			r->too_many = true;
			return;
		}
		if (r->members_count != 0)
			memcpy(grown, r->members, r->members_count * sizeof *grown);
		r->members = grown;
		r->members_room = room;
	}
	struct auth_member *m = &r->members[r->members_count];

	m->kind = kind;
	if (arena_str(r->arena, value, &m->value) == ERR_OK)
		r->members_count++;
	else
		r->too_many = true;
}

/* What an alias or a catch-all stands for: addresses; who may send: users. */
static void
take_value(struct backend_request *r, struct str value)
{
	struct str part;
	struct name n;

	while (value.n != 0) {
		(void)str_cut(value, ',', &part, &value);
		part = str_trim(part);
		if (part.n == 0)
			continue;
		if (r->kind != ASK_SENDER)
			add_member(r, MEMBER_ADDRESS, part);
		else if (name_parse(part, r->b->settings->auth.default_domain, &n) == ERR_OK)
			add_member(r, MEMBER_USER, n.address);
	}
}

static void
take_keys(struct backend_request *r, const struct worker_answer *a)
{
	struct auth_scram *to = a->sha256 ? &r->secret.sha256 : &r->secret.sha1;

	if (arena_str(r->arena, a->scram.salt, &to->salt) == ERR_OK &&
		arena_str(r->arena, a->scram.stored_key, &to->stored_key) == ERR_OK &&
		arena_str(r->arena, a->scram.server_key, &to->server_key) == ERR_OK) {
		to->iterations = a->scram.iterations;
		r->has_secret = true;
	}
}

static bool
wants_user(enum ask_kind k)
{
	return k == ASK_LOGIN || k == ASK_USER || k == ASK_ADDRESS || k == ASK_SECRET;
}

static void
answer_user(struct backend_request *r, struct auth_answer *a)
{
	a->user = r->user;
	if (r->user_err != ERR_OK) {
		a->err = r->user_err;
		a->reason = r->user_reason;
	} else if (a->err == ERR_OK && r->user == NULL) {
		a->err = ERR_TEMP;
		a->reason = REASON_INTERNAL;
	}
	if (a->err == ERR_OK && r->kind == ASK_SECRET && r->has_secret)
		a->secret = &r->secret;
}

static void
answer_members(struct backend_request *r, struct auth_answer *a)
{
	/* an address with a mailbox stands for its user */
	if (r->user != NULL && r->user_err == ERR_OK)
		add_member(r, MEMBER_USER, r->user->user);
	a->members = r->members;
	a->members_count = r->members_count;
	if (r->too_many) {
		a->err = ERR_TEMP;
		a->reason = REASON_LIMIT;
	} else if (r->user_err != ERR_OK) {
		a->err = r->user_err;
		a->reason = r->user_reason;
	}
}

static void
finish(struct backend_request *r, const struct worker_answer *end)
{
	struct auth_answer a = { .err = end->err,
		.reason = end->reason,
		.detail = end->detail,
		.value = STR_EMPTY,
		.owner = STR_EMPTY,
		.password_expires_sec = -1,
		.grace_logins = -1 };

	if (wants_user(r->kind) && (end->err == ERR_OK || end->err == ERR_DENIED))
		answer_user(r, &a);
	else if (end->err == ERR_OK && r->kind == ASK_DOMAIN && r->members_count != 0)
		a.value = r->members[0].value;
	else if (end->err == ERR_OK && r->kind == ASK_LIST)
		a.err = ERR_EOF;
	else if (end->err == ERR_OK)
		answer_members(r, &a);
	if (a.err == ERR_NOTFOUND)
		a.reason = REASON_UNKNOWN;
	if (a.err == ERR_TEMP)
		r->b->failed++;
	trace_addf(r->trace, "%s %.*s: %s%s%s%s%.*s", r->b->base.kind, STR_FMT(r->b->base.title),
		err_name(a.err), a.reason != REASON_NONE ? ", " : "",
		a.reason != REASON_NONE ? reason_text(a.reason) : "", a.detail.n != 0 ? ": " : "",
		STR_FMT(a.detail));
	r->ask = NULL;
	r->fn(r->arg, &a);
	explicit_bzero(&r->secret, sizeof r->secret);
	request_free(r);
}

/* One user of a list, at once. */
static void
pass_listed(struct backend_request *r)
{
	const struct auth_answer a = { .err = ERR_OK,
		.user = r->user,
		.detail = STR_EMPTY,
		.value = STR_EMPTY,
		.owner = STR_EMPTY,
		.password_expires_sec = -1,
		.grace_logins = -1 };

	if (r->user_err == ERR_OK && r->user != NULL)
		r->fn(r->arg, &a);
}

static void
on_line(void *arg, const struct worker_answer *a)
{
	struct backend_request *r = arg;

	switch (a->line) {
	case WORKER_USER:
		settle_user(r, &a->user);
		if (r->kind == ASK_LIST)
			pass_listed(r);
		return;
	case WORKER_VALUE:
		if (r->kind == ASK_DOMAIN)
			add_member(r, MEMBER_FINAL, a->value);
		else
			take_value(r, a->value);
		return;
	case WORKER_KEYS:
		take_keys(r, a);
		return;
	case WORKER_END:
		finish(r, a);
		return;
	case WORKER_HELLO:
		return;
	}
}

static void
on_refuse(struct loop_task *t)
{
	const struct worker_answer end = {
		.line = WORKER_END, .err = ERR_NOTFOUND, .detail = STR_EMPTY
	};

	finish(t->arg, &end);
}

static bool
is_asked(const struct auth_question *q)
{
	switch (q->kind) {
	case ASK_LOGIN:
	case ASK_USER:
	case ASK_ADDRESS:
	case ASK_SECRET:
	case ASK_SENDER:
		return q->name != NULL && q->name->netbios.n == 0;
	case ASK_MEMBERS:
		return q->name != NULL && q->other.n == 0;
	case ASK_DOMAIN:
	case ASK_CATCHALL:
		return q->name != NULL && q->name->domain.n != 0;
	case ASK_LIST:
		return true;
	case ASK_CERTIFICATE:
	case ASK_MASTER:
	case ASK_TRANSPORT:
	case ASK_POST:
		break;
	}
	return false;
}

static struct backend_request *
ask(struct backend *base, const struct auth_question *q, auth_fn fn, void *arg)
{
	struct worker_backend *b = CONTAINER_OF(base, struct worker_backend, base);
	struct backend_request *r = xcalloc(1, sizeof *r);
	bool domain = q->kind == ASK_DOMAIN || q->kind == ASK_CATCHALL;

	r->b = b;
	r->kind = q->kind;
	r->trace = q->context->trace;
	r->fn = fn;
	r->arg = arg;
	r->arena = arena_new(ARENA_BYTES);
	b->asked++;
	loop_task_init(&r->refuse, workers_loop(b->workers), on_refuse, r);
	if (!is_asked(q)) {
		loop_task_queue(&r->refuse);
		return r;
	}
	const struct worker_question w = { .kind = q->kind,
		.section = b->kind,
		.title = base->title,
		.user = !domain && q->name != NULL ? q->name->user : STR_EMPTY,
		.password = q->kind == ASK_LOGIN ? q->password : STR_EMPTY,
		.other = domain ? q->name->domain : STR_EMPTY,
		.service = q->context->service,
		.remote_ip = q->context->remote_ip,
		.local_ip = q->context->local_ip };

	trace_addf(
		r->trace, "%s %.*s: a helper process is asked", base->kind, STR_FMT(base->title));
	r->ask = workers_ask(b->section, &w, on_line, r);
	return r;
}

static void
cancel(struct backend_request *r)
{
	if (r->ask != NULL)
		workers_cancel(r->ask);
	request_free(r);
}

static void
status(struct backend *base, struct buf *out)
{
	struct worker_backend *b = CONTAINER_OF(base, struct worker_backend, base);
	size_t queued, busy;

	workers_section_load(b->section, &queued, &busy);
	buf_addf(out, "%s %.*s asked=%llu failed=%llu queued=%zu busy=%zu\n", base->kind,
		STR_FMT(base->title), (unsigned long long)b->asked, (unsigned long long)b->failed,
		queued, busy);
}

static void
backend_free(struct backend *base)
{
	struct worker_backend *b = CONTAINER_OF(base, struct worker_backend, base);

	workers_section_free(b->section);
	free(b);
}

static const struct backend_ops ops = {
	.ask = ask, .cancel = cancel, .status = status, .free = backend_free
};

static const struct str_list *
domains_of(const struct settings *s, enum worker_kind k, size_t index)
{
	switch (k) {
	case WORKER_PASSWD_FILE:
		return &s->passwd_files[index].domains;
	case WORKER_PAM:
		return &s->pams[index].domains;
	case WORKER_SQL:
		return &s->sqls[index].domains;
	case WORKER_KINDS:
		break;
	}
	return NULL;
}

static bool
query_uses(const struct settings_sql *q, struct str variable)
{
	return str_find(q->user_query, variable) != q->user_query.n ||
	       str_find(q->mailbox_query, variable) != q->mailbox_query.n;
}

enum err
worker_backend_new(struct workers *w, const struct settings *s, enum worker_kind k, size_t index,
	struct backend **out, struct buf *err_out)
{
	struct worker_backend *b;

	if (index >= worker_kind_count(s, k)) {
		buf_addf(err_out, "no such %s section", worker_kind_name(k));
		return ERR_SYNTAX;
	}
	if (template_check(s->mail_home, TEMPLATE_PATH, NULL, err_out) != ERR_OK)
		return ERR_SYNTAX;
	b = xcalloc(1, sizeof *b);
	b->base = (struct backend){ .ops = &ops,
		.kind = worker_kind_name(k),
		.title = worker_kind_title(s, k, index),
		.domains = domains_of(s, k, index)->v,
		.domains_count = domains_of(s, k, index)->n,
		.netbios = STR_EMPTY };
	/* modules of PAM decide by what they like */
	if (k == WORKER_PAM)
		b->base.by_service = b->base.by_remote_ip = true;
	if (k == WORKER_SQL) {
		b->base.by_service = query_uses(&s->sqls[index], STR("%{service}"));
		b->base.by_remote_ip = query_uses(&s->sqls[index], STR("%{remote_ip}"));
		b->base.by_local_ip = query_uses(&s->sqls[index], STR("%{local_ip}"));
	}
	b->settings = s;
	b->workers = w;
	b->kind = k;
	b->section = workers_section_new(w);
	*out = &b->base;
	return ERR_OK;
}
