#ifndef POSTROOM_TESTS_FRONT_CASE_H
#define POSTROOM_TESTS_FRONT_CASE_H

/* What the tests of auth-ldap/front share: a clock, two backends that are played, and a front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth-ldap/front/front_impl.h"
#include "auth-ldap/front/policy.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

/* ---- the clock ---- */

static int64_t now_ms;

static int64_t
test_now(void)
{
	return now_ms;
}

static int64_t
test_wall(void)
{
	return INT64_C(1790000000000) + now_ms;
}

/* ---- a backend ---- */

struct fake_user {
	const char *names; /* blank separated, each a login name and an address */
	const char *password;
	struct auth_user user;
	const char *master; /* "yes": may act for others; an address: for this one */
};

struct fake {
	struct backend b;
	struct fake_user users[8];
	size_t users_count;
	const char *domain;	/* of ASK_DOMAIN */
	enum err failing;	/* ERR_TEMP: the answer to everything */
	enum auth_reason wrong; /* to a wrong password; REASON_NONE: REASON_PASSWORD */
	bool no_transport;	/* mail stays here */
	bool no_addresses;	/* ERR_TEMP: the answer to ASK_ADDRESS */
	bool cannot_tell;	/* refuses unknown names as wrong passwords */
	bool holds;		/* answers only when asked to */
	struct list held;
	unsigned asked[ASK_LIST + 1];
};

struct backend_request {
	struct list link;
	struct fake *f;
	struct loop_task task;
	enum ask_kind kind;
	struct auth_answer answer;
	auth_fn fn;
	void *arg;
};

static struct loop *loop;

static inline bool
has_word(const char *words, struct str want)
{
	struct str rest = str_of(words), word;
	while (rest.n > 0) {
		(void)str_cut(rest, ' ', &word, &rest);
		if (str_eq(word, want))
			return true;
	}
	return false;
}

static inline const struct fake_user *
fake_find(const struct fake *f, const struct auth_question *q)
{
	for (size_t i = 0; i < f->users_count; i++) {
		const struct fake_user *u = &f->users[i];
		if (q->kind == ASK_MASTER || q->kind == ASK_CERTIFICATE) {
			if (str_eq(u->user.source, q->other))
				return u;
		} else if (has_word(u->names, q->name->address) ||
			   has_word(u->names, q->name->user)) {
			return u;
		}
	}
	return NULL;
}

static inline struct auth_answer
fake_answer(const struct fake *f, const struct auth_question *q)
{
	struct auth_answer a = { .err = ERR_NOTFOUND, .reason = REASON_UNKNOWN };
	const struct fake_user *u = q->kind == ASK_LIST ? NULL : fake_find(f, q);
	a.password_expires_sec = a.grace_logins = -1;
	if (f->no_addresses && q->kind == ASK_ADDRESS)
		return (struct auth_answer){ .err = ERR_TEMP, .reason = REASON_DIRECTORY };
	if (f->failing != ERR_OK)
		return (struct auth_answer){ .err = f->failing, .reason = REASON_DIRECTORY };
	if (q->kind == ASK_DOMAIN && f->domain != NULL &&
		str_eq(str_of(f->domain), q->name->domain))
		return (struct auth_answer){ .err = ERR_OK, .value = str_of(f->domain) };
	if (q->kind == ASK_LOGIN && u == NULL && f->cannot_tell)
		return (struct auth_answer){ .err = ERR_DENIED,
			.reason = f->wrong != REASON_NONE ? f->wrong : REASON_PASSWORD };
	if (u == NULL || q->kind == ASK_DOMAIN)
		return a;
	a = (struct auth_answer){ .err = ERR_OK, .user = &u->user };
	if (q->kind == ASK_MASTER) {
		bool may =
			u->master != NULL &&
			(strcmp(u->master, "yes") == 0 ||
				(q->name != NULL && str_eq(q->name->address, str_of(u->master))));
		return (struct auth_answer){ .err = may ? ERR_OK : ERR_DENIED };
	}
	if (q->kind == ASK_MEMBERS) { /* stands for himself */
		static struct auth_member self;
		self = (struct auth_member){ MEMBER_USER, u->user.user };
		return (struct auth_answer){ .err = ERR_OK, .members = &self, .members_count = 1 };
	}
	if (q->kind == ASK_TRANSPORT && f->no_transport)
		return (struct auth_answer){ .err = ERR_NOTFOUND, .known = true };
	if (q->kind == ASK_TRANSPORT)
		return (struct auth_answer){ .err = ERR_OK, .value = STR("lmtp:[h]:24") };
	if (q->kind == ASK_LOGIN && !str_eq(str_of(u->password), q->password)) {
		a.err = ERR_DENIED;
		a.reason = f->wrong != REASON_NONE ? f->wrong : REASON_PASSWORD;
	}
	return a;
}

static inline void
fake_tell(struct backend_request *r)
{
	struct auth_answer a = r->answer;
	struct fake *f = r->f;
	auth_fn fn = r->fn;
	void *arg = r->arg;
	list_remove(&r->link);
	loop_task_cancel(&r->task);
	if (r->kind == ASK_LIST && f->failing == ERR_OK) {
		for (size_t i = 0; i < f->users_count; i++)
			fn(arg, &(struct auth_answer){ .err = ERR_OK, .user = &f->users[i].user });
		a = (struct auth_answer){ .err = ERR_EOF };
	}
	free(r);
	fn(arg, &a);
}

static inline void
on_fake(struct loop_task *t)
{
	fake_tell(t->arg);
}

static inline struct backend_request *
fake_ask(struct backend *b, const struct auth_question *q, auth_fn fn, void *arg)
{
	struct fake *f = CONTAINER_OF(b, struct fake, b);
	struct backend_request *r = xcalloc(1, sizeof *r);
	f->asked[q->kind]++;
	r->f = f;
	r->kind = q->kind;
	r->answer = fake_answer(f, q);
	r->fn = fn;
	r->arg = arg;
	loop_task_init(&r->task, loop, on_fake, r);
	list_push_back(&f->held, &r->link);
	if (!f->holds)
		loop_task_queue(&r->task);
	return r;
}

static inline void
fake_cancel(struct backend_request *r)
{
	list_remove(&r->link);
	loop_task_cancel(&r->task);
	free(r);
}

static inline void
fake_free(struct backend *b)
{
	struct fake *f = CONTAINER_OF(b, struct fake, b);
	assert_true(list_empty(&f->held));
}

static const struct backend_ops fake_ops = {
	.ask = fake_ask, .cancel = fake_cancel, .free = fake_free
};

static inline void
fake_init(struct fake *f, const char *title)
{
	*f = (struct fake){ .b = { .ops = &fake_ops, .kind = "fake", .title = str_of(title) } };
	list_init(&f->held);
}

static inline struct fake_user *
fake_add(struct fake *f, const char *names, const char *password, const char *user)
{
	struct fake_user *u = &f->users[f->users_count++];
	*u = (struct fake_user){ .names = names,
		.password = password,
		.user = { .user = str_of(user),
			.home = str_of(user),
			.source = str_of(user),
			.backend = f->b.title } };
	return u;
}

/* ---- a front around one or two of them ---- */

static struct fake one, two;
static struct settings *settings;
static struct front *front;

static inline int
setup(void **state UNUSED)
{
	struct backend *v[] = { &one.b, &two.b };
	now_ms = 1000000;
	loop = loop_new();
	settings = settings_defaults();
	settings->auth.default_domain = STR("example.org");
	fake_init(&one, "one");
	fake_init(&two, "two");
	fake_add(&one, "anna anna@example.org", "right", "anna@example.org");
	fake_add(&one, "boss boss@example.org", "master", "boss@example.org")->master = "yes";
	fake_add(&two, "tom tom@example.org", "tomtom", "tom@example.org");
	front = front_of(loop, backends_of(loop, settings, v, 2));
	front_set_clocks(front, test_now, test_wall);
	return 0;
}

static inline int
teardown(void **state UNUSED)
{
	front_free(front);
	settings_free(settings);
	loop_free(loop);
	return 0;
}

/* ---- asking ---- */

struct got {
	unsigned calls;
	enum err err;
	enum auth_reason reason;
	char user[100], value[200], detail[100], check[100];
};

static inline void
copy(char *to, size_t size, struct str s)
{
	(void)snprintf(to, size, "%.*s", STR_FMT(s));
}

static inline void
on_got(void *arg, const struct auth_answer *a)
{
	struct got *g = arg;
	g->calls++;
	g->err = a->err;
	g->reason = a->reason;
	copy(g->user, sizeof g->user, a->user != NULL ? a->user->user : STR_EMPTY);
	copy(g->value, sizeof g->value, a->value);
	copy(g->detail, sizeof g->detail, a->detail);
	copy(g->check, sizeof g->check, a->check);
}

static inline void
on_stop(struct loop_timer *t)
{
	loop_stop(t->loop);
}

/* Let everything that is queued happen: by rounds, because on a busy machine the time may be over
 * before the first. */
static inline void
turn(void)
{
	struct loop_timer t;
	loop_timer_init(&t, loop, on_stop, NULL);
	for (int rounds = 0; rounds < 20; rounds++) {
		loop_timer_start(&t, rounds == 0 ? 2 : 0);
		loop_run(loop);
	}
	loop_timer_stop(&t);
}

static inline struct auth_context
context_of(const char *service, const char *ip)
{
	return (struct auth_context){ .service = str_of(service), .remote_ip = str_of(ip) };
}

static inline struct front_request *
start_login(const char *name, const char *password, const char *ip, struct got *g)
{
	const struct front_login l = { .name = str_of(name),
		.password = str_of(password),
		.context = context_of("imap", ip) };
	*g = (struct got){ 0 };
	return front_login(front, &l, on_got, g);
}

static inline struct got
login_from(const char *name, const char *password, const char *ip)
{
	struct got g;
	(void)start_login(name, password, ip, &g);
	assert_int_equal(g.calls, 0);
	turn();
	assert_int_equal(g.calls, 1);
	return g;
}

static inline struct got
login(const char *name, const char *password)
{
	return login_from(name, password, "192.0.2.1");
}

static inline struct got
login_as(const char *name, const char *password, const char *authzid)
{
	struct got g = { 0 };
	const struct front_login l = { .name = str_of(name),
		.password = str_of(password),
		.authzid = str_of(authzid),
		.context = context_of("imap", "192.0.2.1") };
	(void)front_login(front, &l, on_got, &g);
	turn();
	assert_int_equal(g.calls, 1);
	return g;
}

static inline struct got
user(const char *name, bool by_address, const char *service)
{
	struct got g = { 0 };
	struct auth_context c = context_of(service, "");
	(void)front_user(front, str_of(name), by_address, &c, on_got, &g);
	turn();
	assert_int_equal(g.calls, 1);
	return g;
}

static inline struct got
lookup(enum front_map map, const char *key)
{
	struct got g = { 0 };
	struct auth_context c = context_of("", "");
	(void)front_lookup(front, map, str_of(key), &c, on_got, &g);
	turn();
	assert_int_equal(g.calls, 1);
	return g;
}

static inline struct got
check(const char *token, const char *user_name, int64_t max_age_ms)
{
	struct got g = { 0 };
	struct auth_context c = context_of("imap", "");
	(void)front_check(front, str_of(token), str_of(user_name), max_age_ms, &c, on_got, &g);
	assert_int_equal(g.calls, 0);
	turn();
	assert_int_equal(g.calls, 1);
	return g;
}

#define ASSERT_OK(g, who)                            \
	do {                                         \
		struct got got_ = (g);               \
		assert_int_equal(got_.err, ERR_OK);  \
		assert_string_equal(got_.user, who); \
	} while (0)
#define ASSERT_NO(g, e, why)                        \
	do {                                        \
		struct got got_ = (g);              \
		assert_int_equal(got_.err, e);      \
		assert_int_equal(got_.reason, why); \
	} while (0)

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
