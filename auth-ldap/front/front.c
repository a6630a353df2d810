/* The one way in which the servers ask; see front.h. Logins are in login.c, what is remembered in
 * memory.c.
 *
 * Invariant: a request holds the backends that it began with, and ends once: by its answer, by
 * front_cancel, or with the front. */
#include <stdio.h>
#include <stdlib.h>

#include "auth-ldap/backend/kinds.h"
#include "auth-ldap/front/front_impl.h"
#include "auth-ldap/front/policy.h"
#include "auth-ldap/front/same_name.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { TRUSTED_MAX = 256 };

/* ---- the front ---- */

/* The settings' limits; networks that are none are left out, config/check.c refuses them. */
static void
limits_of(const struct settings *s, struct cidr *trusted, struct penalty_limits *out)
{
	const struct settings_auth *a = &s->auth;
	size_t n = 0;
	for (size_t i = 0; i < a->trusted_networks.n && n < TRUSTED_MAX; i++)
		if (cidr_parse(a->trusted_networks.v[i], &trusted[n]) == ERR_OK)
			n++;
	*out = (struct penalty_limits){ .address = a->penalty_address,
		.user = a->penalty_user,
		.window_ms = a->penalty_window,
		.block_ms = a->penalty_block,
		.block_max_ms = a->penalty_block_max,
		.delay_ms = a->failure_delay,
		.delay_max_ms = a->penalty_delay_max > a->failure_delay ? a->penalty_delay_max
									: a->failure_delay,
		.trusted = trusted,
		.trusted_count = n };
}

struct front *
front_of(struct loop *l, struct backends *b)
{
	struct front *f = xcalloc(1, sizeof *f);
	struct cidr trusted[TRUSTED_MAX];
	struct penalty_limits limits;
	limits_of(b->settings, trusted, &limits);
	f->loop = l;
	f->settings = b->settings;
	f->backends = b;
	f->memory = memory_new(l, b->settings);
	f->penalty = penalty_new(&limits);
	list_init(&f->requests);
	front_set_clocks(f, NULL, NULL);
	return f;
}

void
front_set_clocks(struct front *f, int64_t (*now_ms)(void), int64_t (*wall_ms)(void))
{
	f->now_ms = now_ms != NULL ? now_ms : clock_ms;
	f->wall_ms = wall_ms != NULL ? wall_ms : clock_wall_ms;
	memory_set_clock(f->memory, now_ms);
}

enum err
front_new(struct loop *l, const struct settings *s, struct front **out, struct buf *err_out)
{
	struct backends *b = NULL;
	enum err e = backends_new(l, s, &b, err_out);
	if (e == ERR_OK)
		*out = front_of(l, b);
	return e;
}

void
front_reload(struct front *f, struct backends *b)
{
	struct cidr trusted[TRUSTED_MAX];
	struct penalty_limits limits;
	backends_unref(f->backends);
	f->backends = b;
	f->settings = b->settings;
	limits_of(b->settings, trusted, &limits);
	penalty_set_limits(f->penalty, &limits);
	memory_set(f->memory, b->settings);
}

static void
request_free(struct front_request *r)
{
	list_remove(&r->link);
	memory_cancel(&r->asking);
	walk_cancel(r->walk);
	loop_task_cancel(&r->task);
	auth_user_unref(r->user);
	auth_user_unref(r->target);
	buf_fini(&r->text);
	backends_unref(r->b);
	free(r);
}

void
front_free(struct front *f)
{
	if (f == NULL)
		return;
	while (!list_empty(&f->requests))
		request_free(CONTAINER_OF(f->requests.next, struct front_request, link));
	memory_free(f->memory);
	penalty_free(f->penalty);
	backends_close(f->backends);
	free(f);
}

/* ---- requests ---- */

static void
on_early(struct loop_task *t)
{
	struct front_request *r = t->arg;
	request_finish_error(r, r->early, r->early_reason, STR_EMPTY);
}

struct front_request *
request_new(struct front *f, const struct auth_context *c, auth_fn fn, void *arg)
{
	struct front_request *r = xcalloc(1, sizeof *r);
	r->f = f;
	r->b = backends_ref(f->backends);
	r->fn = fn;
	r->arg = arg;
	r->password_expires_sec = -1;
	r->grace_logins = -1;
	r->context = *c;
	r->context.service = r->context.remote_ip = r->context.local_ip = r->context.sid =
		STR_EMPTY;
	buf_init(&r->text, 0);
	loop_task_init(&r->task, f->loop, on_early, r);
	list_push_back(&f->requests, &r->link);
	return r;
}

void
request_finish(struct front_request *r, const struct auth_answer *a)
{
	r->fn(r->arg, a);
	request_free(r);
}

void
request_finish_error(
	struct front_request *r, enum err e, enum auth_reason reason, struct str detail)
{
	const struct auth_answer a = { .err = e,
		.reason = reason,
		.detail = detail,
		.password_expires_sec = -1,
		.grace_logins = -1 };
	request_finish(r, &a);
}

void
request_finish_soon(struct front_request *r, enum err e, enum auth_reason reason)
{
	r->early = e;
	r->early_reason = reason;
	loop_task_queue(&r->task);
}

void
front_cancel(struct front_request *r)
{
	if (r != NULL)
		request_free(r);
}

enum err
front_login_name(const struct front *f, struct str raw, struct name *out)
{
	return name_parse_login(raw, f->settings->auth.default_domain, out);
}

/* ---- users ---- */

/* Somebody who gets no mail is nobody to those who bring it. */
static bool
refuse_delivery(struct front_request *r, const struct auth_answer *a)
{
	if (!r->delivery || a->err != ERR_OK || a->user == NULL)
		return false;
	enum auth_reason reason = policy_delivery(a->user);
	if (reason == REASON_NONE)
		return false;
	trace_addf(r->context.trace, "policy: %.*s gets no mail, %s", STR_FMT(a->user->user),
		reason_text(reason));
	request_finish_error(r, ERR_NOTFOUND, reason, a->user->source);
	return true;
}

static void
on_user(void *arg, const struct auth_answer *a, enum memory_from from UNUSED)
{
	struct front_request *r = arg;
	if (refuse_delivery(r, a))
		return;
	struct auth_answer with_value = *a;
	if (a->err == ERR_OK && a->user != NULL)
		with_value.value = a->user->user;
	request_finish(r, &with_value);
}

struct front_request *
front_user(struct front *f, struct str name, bool by_address, const struct auth_context *c,
	auth_fn fn, void *arg)
{
	struct front_request *r = request_new(f, c, fn, arg);
	struct name n;
	r->delivery =
		by_address && (str_eq(c->service, STR("lmtp")) || str_eq(c->service, STR("queue")));
	enum err e = by_address ? name_parse(name, f->settings->auth.default_domain, &n)
				: front_login_name(f, name, &n);
	if (e != ERR_OK) {
		request_finish_soon(r, ERR_NOTFOUND, REASON_NAME);
		return r;
	}
	const struct memory_question q = { .kind = by_address ? MEMORY_ADDRESS : MEMORY_USER,
		.whole_only = true, /* tags are the asker's */
		.name = &n,
		.context = c };
	memory_ask(f->memory, r->b, &q, &r->asking, on_user, r);
	return r;
}

static void
on_walked(void *arg, const struct auth_answer *a)
{
	struct front_request *r = arg;
	if (a->err == ERR_OK && r->list) {
		r->fn(r->arg, a);
		return;
	}
	r->walk = NULL;
	request_finish(r, a);
}

struct front_request *
front_list(struct front *f, const struct auth_context *c, auth_fn fn, void *arg)
{
	struct front_request *r = request_new(f, c, fn, arg);
	const struct auth_question q = { .kind = ASK_LIST, .context = c };
	r->list = true;
	r->walk = walk_start(r->b, &q, NULL, on_walked, r);
	return r;
}

struct front_request *
front_secret(struct front *f, struct str name, const struct auth_context *c, auth_fn fn, void *arg)
{
	struct front_request *r = request_new(f, c, fn, arg);
	struct name n;
	if (front_login_name(f, name, &n) != ERR_OK) {
		request_finish_soon(r, ERR_NOTFOUND, REASON_NAME);
		return r;
	}
	/* Not refused here where the client is blocked: other keys than before would tell a
	 * stranger that the user exists. front_login refuses the proof. */
	const struct auth_question q = { .kind = ASK_SECRET, .name = &n, .context = c };
	r->walk = walk_start(r->b, &q, NULL, on_walked, r);
	return r;
}

/* ---- maps ---- */

static void
on_mapped(void *arg, const struct auth_answer *a, enum memory_from from UNUSED)
{
	struct front_request *r = arg;
	struct auth_answer out = *a;
	if (refuse_delivery(r, a))
		return;
	if (a->err == ERR_OK && a->user != NULL)
		out.value = a->user->user;
	if (a->err == ERR_OK && r->owner) {
		out.value = a->owner;
		out.err = a->owner.n > 0 ? ERR_OK : ERR_NOTFOUND;
	}
	request_finish(r, &out);
}

/* "example.org" as the name of somebody there. */
static enum err
domain_name(struct str key, struct name *out)
{
	char with_local[300];
	int n = snprintf(with_local, sizeof with_local, "x@%.*s", STR_FMT(str_sub(key, 0, 290)));
	if (n >= (int)sizeof with_local || str_has_nul(key) || key.n > 290)
		return ERR_SYNTAX;
	return name_parse(str_n(with_local, (size_t)n), STR_EMPTY, out);
}

static void
on_post(void *arg, const struct auth_answer *a, enum memory_from from UNUSED)
{
	struct auth_answer out = *a;
	if (a->err == ERR_OK)
		out.value = STR("ok");
	request_finish(arg, &out);
}

static void
on_domain(void *arg, const struct auth_answer *a, enum memory_from from UNUSED)
{
	request_finish(arg, a);
}

struct front_request *
front_lookup(struct front *f, enum front_map map, struct str key, const struct auth_context *c,
	auth_fn fn, void *arg)
{
	static const enum memory_kind kinds[] = { [MAP_DOMAIN] = MEMORY_DOMAIN,
		[MAP_MAILBOX] = MEMORY_ADDRESS,
		[MAP_ALIAS] = MEMORY_ALIAS,
		[MAP_SENDER] = MEMORY_SENDER,
		[MAP_TRANSPORT] = MEMORY_TRANSPORT,
		[MAP_POST] = MEMORY_POST,
		[MAP_OWNER] = MEMORY_ALIAS };
	static const memory_fn answers[] = { [MAP_DOMAIN] = on_domain,
		[MAP_MAILBOX] = on_mapped,
		[MAP_ALIAS] = on_mapped,
		[MAP_SENDER] = on_mapped,
		[MAP_TRANSPORT] = on_mapped,
		[MAP_POST] = on_post,
		[MAP_OWNER] = on_mapped };
	struct front_request *r = request_new(f, c, fn, arg);
	struct name n;
	struct str other = STR_EMPTY;
	r->delivery = map == MAP_MAILBOX;
	r->owner = map == MAP_OWNER;
	if (map == MAP_POST)
		(void)str_cut(key, ' ', &key, &other);
	enum err e = map == MAP_DOMAIN ? domain_name(key, &n)
				       : name_parse(key, f->settings->auth.default_domain, &n);
	/* Postfix goes on with the domain and those above it, which are no users of ours. */
	if (e == ERR_OK && map == MAP_TRANSPORT && !n.has_domain)
		e = ERR_NOTFOUND;
	if (e != ERR_OK || n.domain.n == 0) {
		request_finish_soon(r, ERR_NOTFOUND, REASON_NAME);
		return r;
	}
	const struct memory_question q = {
		.kind = kinds[map], .name = &n, .other = other, .context = c
	};
	memory_ask(f->memory, r->b, &q, &r->asking, answers[map], r);
	return r;
}

/* ---- for administrators ---- */

void
front_status(struct front *f, struct buf *out)
{
	for (size_t i = 0; i < f->backends->n; i++) {
		struct backend *b = f->backends->v[i];
		buf_addf(out, "backend %.*s kind=%s domains=%zu\n", STR_FMT(b->title), b->kind,
			b->domains_count);
		if (b->ops->status != NULL)
			b->ops->status(b, out);
	}
	if (f->backends->workers != NULL)
		workers_status(f->backends->workers, out);
	memory_status(f->memory, out);
	penalty_status(f->penalty, f->now_ms(), out);
}

size_t
front_forget(struct front *f, struct str key)
{
	struct name n;
	size_t count = memory_forget(f->memory, key) + penalty_forget(f->penalty, key);
	/* A login name stands in the keys with its domain. */
	if (key.n > 0 && front_login_name(f, key, &n) == ERR_OK && !str_eq(n.address, key))
		count += memory_forget(f->memory, n.address);
	if (key.n > 0 && same_name(f->settings, key, &n) == ERR_OK && !str_eq(n.address, key))
		count += penalty_forget(f->penalty, n.address);
	log_event(LVL_INFO, "auth.forget", log_s("key", key), log_n("count", (int64_t)count));
	return count;
}
