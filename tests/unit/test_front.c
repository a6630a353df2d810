/* auth-ldap/front: the walk over backends, memory, outages, penalties, policies and masters, with
 * backends of the test's own and a clock that the test moves. */
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

static bool
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

static const struct fake_user *
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

static struct auth_answer
fake_answer(const struct fake *f, const struct auth_question *q)
{
	struct auth_answer a = { .err = ERR_NOTFOUND, .reason = REASON_UNKNOWN };
	const struct fake_user *u = q->kind == ASK_LIST ? NULL : fake_find(f, q);
	a.password_expires_sec = a.grace_logins = -1;
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
	if (q->kind == ASK_TRANSPORT)
		return (struct auth_answer){ .err = ERR_OK, .value = STR("lmtp:[h]:24") };
	if (q->kind == ASK_LOGIN && !str_eq(str_of(u->password), q->password)) {
		a.err = ERR_DENIED;
		a.reason = f->wrong != REASON_NONE ? f->wrong : REASON_PASSWORD;
	}
	return a;
}

static void
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

static void
on_fake(struct loop_task *t)
{
	fake_tell(t->arg);
}

static struct backend_request *
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

static void
fake_cancel(struct backend_request *r)
{
	list_remove(&r->link);
	loop_task_cancel(&r->task);
	free(r);
}

static void
fake_free(struct backend *b)
{
	struct fake *f = CONTAINER_OF(b, struct fake, b);
	assert_true(list_empty(&f->held));
}

static const struct backend_ops fake_ops = {
	.ask = fake_ask, .cancel = fake_cancel, .free = fake_free
};

static void
fake_init(struct fake *f, const char *title)
{
	*f = (struct fake){ .b = { .ops = &fake_ops, .kind = "fake", .title = str_of(title) } };
	list_init(&f->held);
}

static struct fake_user *
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

static int
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

static int
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

static void
copy(char *to, size_t size, struct str s)
{
	(void)snprintf(to, size, "%.*s", STR_FMT(s));
}

static void
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

static void
on_stop(struct loop_timer *t)
{
	loop_stop(t->loop);
}

/* Let everything that is queued happen: by rounds, because on a busy machine the time may be over
 * before the first. */
static void
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

static struct auth_context
context_of(const char *service, const char *ip)
{
	return (struct auth_context){ .service = str_of(service), .remote_ip = str_of(ip) };
}

static struct front_request *
start_login(const char *name, const char *password, const char *ip, struct got *g)
{
	const struct front_login l = { .name = str_of(name),
		.password = str_of(password),
		.context = context_of("imap", ip) };
	*g = (struct got){ 0 };
	return front_login(front, &l, on_got, g);
}

static struct got
login_from(const char *name, const char *password, const char *ip)
{
	struct got g;
	(void)start_login(name, password, ip, &g);
	assert_int_equal(g.calls, 0);
	turn();
	assert_int_equal(g.calls, 1);
	return g;
}

static struct got
login(const char *name, const char *password)
{
	return login_from(name, password, "192.0.2.1");
}

static struct got
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

static struct got
user(const char *name, bool by_address, const char *service)
{
	struct got g = { 0 };
	struct auth_context c = context_of(service, "");
	(void)front_user(front, str_of(name), by_address, &c, on_got, &g);
	turn();
	assert_int_equal(g.calls, 1);
	return g;
}

static struct got
lookup(enum front_map map, const char *key)
{
	struct got g = { 0 };
	struct auth_context c = context_of("", "");
	(void)front_lookup(front, map, str_of(key), &c, on_got, &g);
	turn();
	assert_int_equal(g.calls, 1);
	return g;
}

static struct got
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

/* ---- the walk ---- */

static void
test_order(void **state UNUSED)
{
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	assert_int_equal(two.asked[ASK_LOGIN], 0);
	ASSERT_OK(login("tom@example.org", "tomtom"), "tom@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 2);
	/* One that failed may have known the name. */
	one.failing = ERR_TEMP;
	ASSERT_NO(login("tom", "other"), ERR_TEMP, REASON_DIRECTORY);
	one.failing = ERR_OK;
	/* A refusal by one that cannot tell an unknown name is not the end. */
	one.cannot_tell = true;
	ASSERT_OK(login("TOM", "tomtom"), "tom@example.org");
	ASSERT_NO(login("nobody", "x"), ERR_DENIED, REASON_PASSWORD);
	one.cannot_tell = false;
	ASSERT_NO(login("nobody2", "x"), ERR_DENIED, REASON_UNKNOWN);
	ASSERT_NO(user("nobody3", false, "imap"), ERR_NOTFOUND, REASON_UNKNOWN);
}

static void
test_domains(void **state UNUSED)
{
	static const struct str theirs[] = { { "two.example", 11 } };
	two.b.domains = theirs;
	two.b.domains_count = 1;
	fake_add(&two, "eve@two.example", "e", "eve@two.example");
	fake_add(&two, "mole@two.example", "m", "mole@elsewhere.example");
	fake_add(&one, "thief", "t", "eve@two.example");
	ASSERT_OK(login("eve@two.example", "e"), "eve@two.example");
	/* Only asked about its own domain. */
	ASSERT_NO(login("tom", "tomtom"), ERR_DENIED, REASON_UNKNOWN);
	assert_int_equal(two.asked[ASK_LOGIN], 1);
	/* A user of a domain that another names, or that is none of its own. */
	ASSERT_NO(login("thief", "t"), ERR_DENIED, REASON_DOMAIN);
	ASSERT_NO(login("mole@two.example", "m"), ERR_DENIED, REASON_DOMAIN);
}

static void
test_homes(void **state UNUSED)
{
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	fake_add(&one, "twin", "t", "twin@example.org")->user.home = STR("anna@example.org");
	ASSERT_NO(login("twin", "t"), ERR_TEMP, REASON_HOME);
	ASSERT_OK(login("anna@example.org", "right"), "anna@example.org");
}

static void
test_tags(void **state UNUSED)
{
	ASSERT_OK(lookup(MAP_MAILBOX, "anna+lists@example.org"), "anna@example.org");
	assert_string_equal(lookup(MAP_TRANSPORT, "tom+x@example.org").value, "lmtp:[h]:24");
	/* Tags are the asker's there. */
	ASSERT_NO(user("anna+lists@example.org", true, "lmtp"), ERR_NOTFOUND, REASON_UNKNOWN);
	ASSERT_NO(login("anna+lists", "right"), ERR_DENIED, REASON_UNKNOWN);
}

static void
test_lists_and_domains(void **state UNUSED)
{
	struct got g = { 0 };
	struct auth_context c = context_of("", "");
	(void)front_list(front, &c, on_got, &g);
	turn();
	assert_int_equal(g.calls, 4);
	assert_int_equal(g.err, ERR_EOF);
	/* whom both have is listed once */
	fake_add(&two, "anna anna@example.org", "hers", "anna@example.org");
	g = (struct got){ 0 };
	(void)front_list(front, &c, on_got, &g);
	turn();
	assert_int_equal(g.calls, 4);
	assert_int_equal(g.err, ERR_EOF);
	two.failing = ERR_TEMP;
	g = (struct got){ 0 };
	(void)front_list(front, &c, on_got, &g);
	turn();
	assert_int_equal(g.calls, 3);
	assert_int_equal(g.err, ERR_TEMP);
	two.failing = ERR_OK;
	one.domain = "example.org";
	assert_string_equal(lookup(MAP_DOMAIN, "Example.ORG").value, "example.org");
	assert_int_equal(lookup(MAP_DOMAIN, "example.net").err, ERR_NOTFOUND);
	assert_int_equal(lookup(MAP_DOMAIN, "a b").err, ERR_NOTFOUND);
}

/* ---- memory ---- */

static void
test_login_memory(void **state UNUSED)
{
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	now_ms += settings->auth.cache_login_ttl - 1;
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 1);
	/* A new password works at once; the old one until its time is over. */
	one.users[0].password = "new";
	ASSERT_OK(login("anna", "new"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 2);
	ASSERT_NO(login("anna", "right"), ERR_DENIED, REASON_PASSWORD);
	/* A guess does not push out what is right. */
	ASSERT_OK(login("anna", "new"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 3);
	now_ms += settings->auth.cache_login_ttl;
	ASSERT_OK(login("anna", "new"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 4);
}

static void
test_old_password_stops(void **state UNUSED)
{
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	one.users[0].password = "new";
	now_ms += settings->auth.cache_login_ttl - 1;
	/* Being used does not make it last. */
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	now_ms += 1;
	ASSERT_NO(login("anna", "right"), ERR_DENIED, REASON_PASSWORD);
	/* Refused once, it is forgotten: no outage brings it back. */
	settings->auth.outage_login = 86400000;
	one.failing = ERR_TEMP;
	now_ms += settings->auth.wrong_password_ttl;
	ASSERT_NO(login("anna", "right"), ERR_TEMP, REASON_DIRECTORY);
}

static void
test_wrong_memory(void **state UNUSED)
{
	ASSERT_NO(login("anna", "old"), ERR_DENIED, REASON_PASSWORD);
	for (int i = 0; i < 100; i++)
		ASSERT_NO(login("anna", "old"), ERR_DENIED, REASON_REMEMBERED);
	assert_int_equal(one.asked[ASK_LOGIN], 1);
	/* Of this user and this password only. */
	ASSERT_NO(login("anna", "old2"), ERR_DENIED, REASON_PASSWORD);
	ASSERT_NO(login("boss", "old"), ERR_DENIED, REASON_PASSWORD);
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 4);
	/* Asked once when the time is over, whatever was refused meanwhile. */
	now_ms += settings->auth.wrong_password_ttl;
	one.users[0].password = "old";
	ASSERT_OK(login("anna", "old"), "anna@example.org");
	ASSERT_OK(login("anna", "old"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 5);
}

/* What is said after a right password is not remembered as a wrong one, nor is a lock. */
static void
test_reasons_not_remembered(void **state UNUSED)
{
	static const enum auth_reason reasons[] = { REASON_PASSWORD_EXPIRED, REASON_MUST_CHANGE,
		REASON_LOCKED, REASON_DISABLED, REASON_REFUSED };
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		one.wrong = reasons[i];
		ASSERT_NO(login("anna", "x"), ERR_DENIED, reasons[i]);
		ASSERT_NO(login("anna", "x"), ERR_DENIED, reasons[i]);
		assert_int_equal(one.asked[ASK_LOGIN], 2 * (i + 1));
	}
}

/* One backend of several that may take the password later is enough. */
static void
test_refused_not_remembered(void **state UNUSED)
{
	one.cannot_tell = two.cannot_tell = true;
	for (unsigned i = 0; i < 2; i++) {
		const char *name = i == 0 ? "first" : "second";
		one.wrong = i == 0 ? REASON_REFUSED : REASON_NONE;
		two.wrong = i == 1 ? REASON_REFUSED : REASON_NONE;
		ASSERT_NO(login(name, "x"), ERR_DENIED, REASON_REFUSED);
		ASSERT_NO(login(name, "x"), ERR_DENIED, REASON_REFUSED);
		assert_int_equal(two.asked[ASK_LOGIN], 2 * (i + 1));
	}
}

static void
test_negative(void **state UNUSED)
{
	ASSERT_NO(login("new", "n"), ERR_DENIED, REASON_UNKNOWN);
	ASSERT_NO(user("new@example.org", true, "lmtp"), ERR_NOTFOUND, REASON_UNKNOWN);
	fake_add(&one, "new new@example.org", "n", "new@example.org");
	now_ms += settings->auth.cache_negative_ttl - 1;
	ASSERT_NO(login("new", "n"), ERR_DENIED, REASON_UNKNOWN);
	ASSERT_NO(user("new@example.org", true, "lmtp"), ERR_NOTFOUND, REASON_UNKNOWN);
	now_ms += 1;
	ASSERT_OK(login("new", "n"), "new@example.org");
	ASSERT_OK(user("new@example.org", true, "lmtp"), "new@example.org");
	/* Without a time to live every question is asked. */
	settings->auth.cache_ttl = settings->auth.outage_lookup = 0;
	unsigned before = one.asked[ASK_USER];
	(void)user("boss", false, "imap");
	(void)user("boss", false, "imap");
	assert_int_equal(one.asked[ASK_USER], before + 2);
}

static void
test_lookup_memory(void **state UNUSED)
{
	for (int i = 0; i < 3; i++)
		ASSERT_OK(lookup(MAP_MAILBOX, "anna@example.org"), "anna@example.org");
	assert_int_equal(one.asked[ASK_ADDRESS], 1);
	now_ms += settings->auth.cache_ttl;
	ASSERT_OK(lookup(MAP_MAILBOX, "anna@example.org"), "anna@example.org");
	assert_int_equal(one.asked[ASK_ADDRESS], 2);
	/* forget */
	assert_int_equal(front_forget(front, STR("anna@example.org")), 1);
	ASSERT_OK(lookup(MAP_MAILBOX, "anna@example.org"), "anna@example.org");
	assert_int_equal(one.asked[ASK_ADDRESS], 3);
	/* An explanation is asked anew. */
	struct trace *t = trace_new();
	struct auth_context c = { .trace = t };
	struct got g = { 0 };
	(void)front_lookup(front, MAP_MAILBOX, STR("anna@example.org"), &c, on_got, &g);
	turn();
	assert_int_equal(g.err, ERR_OK);
	assert_int_equal(one.asked[ASK_ADDRESS], 4);
	struct str text = trace_text(t);
	assert_true(str_find(text, STR("the answer is remembered")) < text.n);
	trace_free(t);
}

static void
test_join(void **state UNUSED)
{
	struct got g[4];
	struct front_request *r[4];
	one.holds = true;
	for (int i = 0; i < 3; i++)
		r[i] = start_login("anna", "right", "192.0.2.1", &g[i]);
	r[3] = start_login("anna", "wrong", "192.0.2.1", &g[3]);
	turn();
	assert_int_equal(one.asked[ASK_LOGIN], 2);
	front_cancel(r[0]);
	while (!list_empty(&one.held))
		fake_tell(CONTAINER_OF(one.held.next, struct backend_request, link));
	turn();
	assert_int_equal(g[0].calls, 0);
	assert_int_equal(g[1].err, ERR_OK);
	assert_int_equal(g[2].err, ERR_OK);
	assert_int_equal(g[3].err, ERR_DENIED);
	/* The last one who waits takes the question with it. */
	r[0] = start_login("tom", "tomtom", "192.0.2.1", &g[0]);
	r[1] = start_login("tom", "tomtom", "192.0.2.1", &g[1]);
	assert_false(list_empty(&one.held));
	front_cancel(r[0]);
	front_cancel(r[1]);
	assert_true(list_empty(&one.held));
	one.holds = false;
}

static void
test_outage(void **state UNUSED)
{
	assert_int_equal(settings->auth.outage_login, 0);
	settings->auth.outage_login = 600000;
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	ASSERT_OK(lookup(MAP_MAILBOX, "anna@example.org"), "anna@example.org");
	now_ms += 120000;
	one.failing = ERR_TEMP;
	/* Off by default for logins; known addresses still resolve. */
	settings->auth.outage_login = 0;
	ASSERT_NO(login("anna", "right"), ERR_TEMP, REASON_DIRECTORY);
	struct got g = lookup(MAP_MAILBOX, "anna@example.org");
	ASSERT_OK(g, "anna@example.org");
	assert_string_equal(g.detail, "from memory, no backend answers");
	ASSERT_NO(lookup(MAP_MAILBOX, "tom@example.org"), ERR_TEMP, REASON_DIRECTORY);
	settings->auth.outage_login = 600000;
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	ASSERT_NO(login("anna", "wrong"), ERR_TEMP, REASON_DIRECTORY);
	ASSERT_NO(login("tom", "tomtom"), ERR_TEMP, REASON_DIRECTORY);
	/* Its use does not make it last longer. */
	now_ms += 600000 - 120000 - 1;
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	now_ms += 1;
	ASSERT_NO(login("anna", "right"), ERR_TEMP, REASON_DIRECTORY);
	now_ms += settings->auth.outage_lookup;
	ASSERT_NO(lookup(MAP_MAILBOX, "anna@example.org"), ERR_TEMP, REASON_DIRECTORY);
}

/* A "no" is never told from memory beyond its time, and a yes not after a no. */
static void
test_outage_negative(void **state UNUSED)
{
	ASSERT_NO(user("x@example.org", true, "lmtp"), ERR_NOTFOUND, REASON_UNKNOWN);
	ASSERT_OK(user("boss@example.org", true, "lmtp"), "boss@example.org");
	one.users[1].names = "gone";
	now_ms += settings->auth.cache_ttl;
	ASSERT_NO(user("boss@example.org", true, "lmtp"), ERR_NOTFOUND, REASON_UNKNOWN);
	now_ms += settings->auth.cache_negative_ttl;
	one.failing = ERR_TEMP;
	ASSERT_NO(user("x@example.org", true, "lmtp"), ERR_TEMP, REASON_DIRECTORY);
	ASSERT_NO(user("boss@example.org", true, "lmtp"), ERR_TEMP, REASON_DIRECTORY);
}

static void
test_proven_in_outage(void **state UNUSED)
{
	const struct front_login l = {
		.name = STR("anna"), .proven = true, .context = context_of("imap", "192.0.2.1")
	};
	struct got g = { 0 };
	(void)front_login(front, &l, on_got, &g);
	turn();
	ASSERT_OK(g, "anna@example.org");
	now_ms += settings->auth.cache_ttl;
	one.failing = ERR_TEMP;
	(void)front_login(front, &l, on_got, &g);
	turn();
	ASSERT_NO(g, ERR_TEMP, REASON_DIRECTORY);
	settings->auth.outage_login = 86400000;
	(void)front_login(front, &l, on_got, &g);
	turn();
	ASSERT_OK(g, "anna@example.org");
}

/* A proof that fits the keys of one user lets in nobody else of that name. */
static void
test_keys_of_another(void **state UNUSED)
{
	static const struct {
		const char *user, *backend;
		bool fits;
	} table[] = {
		{ "anna@example.org", "one", true },
		{ "anna@example.org", "two", false },
		{ "tom@example.org", "one", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct front_login l = { .name = STR("anna"),
			.proven = true,
			.keys_user = str_of(table[i].user),
			.keys_backend = str_of(table[i].backend),
			.context = context_of("imap", "192.0.2.1") };
		struct got g = { 0 };
		(void)front_login(front, &l, on_got, &g);
		turn();
		if (table[i].fits)
			ASSERT_OK(g, "anna@example.org");
		else
			ASSERT_NO(g, ERR_DENIED, REASON_PASSWORD);
	}
}

/* Other settings: what was said under the old ones is asked again, and still helps in an outage. */
static void
test_reload(void **state UNUSED)
{
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	ASSERT_NO(login("new", "n"), ERR_DENIED, REASON_UNKNOWN);
	fake_add(&one, "new new@example.org", "n", "new@example.org");
	settings->auth.outage_login = 600000;
	now_ms += 1;
	memory_set(front->memory, settings);
	ASSERT_OK(login("new", "n"), "new@example.org");
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 4);
	now_ms += 1;
	memory_set(front->memory, settings);
	one.failing = ERR_TEMP;
	ASSERT_OK(login("anna", "right"), "anna@example.org");
}

static void
test_no_memory(void **state UNUSED)
{
	struct got g[2];
	settings->auth.cache_size = 0;
	memory_set(front->memory, settings);
	one.holds = true;
	(void)start_login("anna", "right", "192.0.2.1", &g[0]);
	(void)start_login("anna", "right", "192.0.2.1", &g[1]);
	assert_int_equal(one.asked[ASK_LOGIN], 2);
	one.holds = false;
	while (!list_empty(&one.held))
		fake_tell(CONTAINER_OF(one.held.next, struct backend_request, link));
	turn();
	ASSERT_OK(g[1], "anna@example.org");
	ASSERT_NO(login("anna", "wrong"), ERR_DENIED, REASON_PASSWORD);
	ASSERT_NO(login("anna", "wrong"), ERR_DENIED, REASON_PASSWORD);
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 5);
}

/* What an answer depends on is part of its key, where a backend says so. */
static void
test_key_by_address(void **state UNUSED)
{
	front->backends->by_remote_ip = true;
	ASSERT_OK(login_from("anna", "right", "192.0.2.1"), "anna@example.org");
	ASSERT_OK(login_from("anna", "right", "192.0.2.2"), "anna@example.org");
	ASSERT_OK(login_from("anna", "right", "192.0.2.2"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 2);
}

/* ---- policies and masters ---- */

static void
test_policies(void **state UNUSED)
{
	static const struct {
		const char *services, *networks, *service, *ip;
		bool disabled;
		int64_t expires_sec;
		enum auth_reason want;
	} table[] = {
		{ NULL, NULL, "imap", "192.0.2.1", false, 0, REASON_NONE },
		{ NULL, NULL, "imap", "192.0.2.1", true, 0, REASON_DISABLED },
		{ NULL, NULL, "imap", "", false, 1000, REASON_ACCOUNT_EXPIRED },
		{ NULL, NULL, "imap", "", false, 1001, REASON_NONE },
		{ "imap", NULL, "imap", "", false, 0, REASON_NONE },
		{ "imap", NULL, "smtp", "", false, 0, REASON_SERVICE },
		{ "smtp", NULL, "submission", "", false, 0, REASON_NONE },
		{ "submission", NULL, "SMTP", "", false, 0, REASON_NONE },
		{ "!smtp", NULL, "submission", "", false, 0, REASON_SERVICE },
		{ "!smtp", NULL, "imap", "", false, 0, REASON_NONE },
		{ "imap !imap", NULL, "imap", "", false, 0, REASON_SERVICE },
		{ "!imap imap", NULL, "imap", "", false, 0, REASON_SERVICE },
		{ "", NULL, "imap", "", false, 0, REASON_SERVICE },
		{ "imap !lmtp", NULL, "smtp", "", false, 0, REASON_SERVICE },
		{ "imap", NULL, "", "", false, 0, REASON_NONE },
		{ NULL, "192.0.2.0/24", "imap", "192.0.2.77", false, 0, REASON_NONE },
		{ NULL, "192.0.2.0/24", "imap", "192.0.3.77", false, 0, REASON_NETWORK },
		{ NULL, "192.0.2.0/24", "imap", "", false, 0, REASON_NETWORK },
		{ NULL, "192.0.2.0/24", "imap", "::ffff:192.0.2.7", false, 0, REASON_NONE },
		{ NULL, "10.0.0.0/8 2001:db8::/32", "imap", "2001:db8::1", false, 0, REASON_NONE },
		{ NULL, "rubbish", "imap", "192.0.2.1", false, 0, REASON_NETWORK },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str services[4], networks[4], rest;
		struct auth_user u = { .disabled = table[i].disabled,
			.expires_sec = table[i].expires_sec,
			.services_given = table[i].services != NULL,
			.services = services,
			.networks = networks };
		rest = table[i].services != NULL ? str_of(table[i].services) : STR_EMPTY;
		while (rest.n > 0)
			(void)str_cut(rest, ' ', &services[u.services_count++], &rest);
		rest = table[i].networks != NULL ? str_of(table[i].networks) : STR_EMPTY;
		while (rest.n > 0)
			(void)str_cut(rest, ' ', &networks[u.networks_count++], &rest);
		struct auth_context c = context_of(table[i].service, table[i].ip);
		if (policy_login(&u, &c, 1000) != table[i].want)
			fail_msg("row %zu: %s", i, reason_text(policy_login(&u, &c, 1000)));
	}
}

static void
test_delivery_policy(void **state UNUSED)
{
	static const struct str none[] = { { "!lmtp", 5 } };
	static const struct str some[] = { { "imap", 4 } };
	struct auth_user *u = &one.users[0].user;
	u->disabled = true;
	u->expires_sec = 1;
	u->services_given = true;
	u->services = some;
	u->services_count = 1;
	ASSERT_OK(user("anna@example.org", true, "lmtp"), "anna@example.org");
	now_ms += settings->auth.cache_ttl;
	u->services = none;
	ASSERT_NO(user("anna@example.org", true, "lmtp"), ERR_NOTFOUND, REASON_SERVICE);
	ASSERT_NO(lookup(MAP_MAILBOX, "anna@example.org"), ERR_NOTFOUND, REASON_SERVICE);
	/* Who asks for another purpose is told. */
	ASSERT_OK(user("anna@example.org", false, "imap"), "anna@example.org");
}

static void
test_policy_of_login(void **state UNUSED)
{
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	one.users[0].user.disabled = true;
	/* The right password first; the policy's reason only then. */
	ASSERT_NO(login("anna", "wrong"), ERR_DENIED, REASON_PASSWORD);
	now_ms += settings->auth.cache_login_ttl;
	ASSERT_NO(login("anna", "right"), ERR_DENIED, REASON_DISABLED);
	ASSERT_NO(login("anna", "right"), ERR_DENIED, REASON_DISABLED);
}

static void
test_masters(void **state UNUSED)
{
	struct got g = login_as("boss", "master", "anna@example.org");
	ASSERT_OK(g, "anna@example.org");
	assert_string_equal(g.detail, "master boss@example.org");
	ASSERT_OK(login_as("boss", "master", "tom"), "tom@example.org");
	/* As oneself, by any name. */
	ASSERT_OK(login_as("anna", "right", "anna"), "anna@example.org");
	ASSERT_OK(login_as("anna", "right", "ANNA@example.org"), "anna@example.org");
	ASSERT_NO(login_as("anna", "right", "boss"), ERR_DENIED, REASON_AUTHZ);
	fake_add(&one, "deputy deputy@example.org", "deputy", "deputy@example.org")->master =
		"anna@example.org";
	/* who may act for one may not for another, before and after it is remembered */
	ASSERT_NO(login_as("deputy", "deputy", "tom"), ERR_DENIED, REASON_AUTHZ);
	ASSERT_OK(login_as("deputy", "deputy", "anna"), "anna@example.org");
	ASSERT_NO(login_as("deputy", "deputy", "tom"), ERR_DENIED, REASON_AUTHZ);
	ASSERT_OK(login_as("deputy", "deputy", "anna@example.org"), "anna@example.org");
	ASSERT_NO(login_as("boss", "master", "nobody"), ERR_DENIED, REASON_AUTHZ);
	ASSERT_NO(login_as("boss", "master", "a*"), ERR_DENIED, REASON_AUTHZ);
	ASSERT_NO(login_as("boss", "wrong", "anna"), ERR_DENIED, REASON_PASSWORD);
	now_ms += settings->auth.cache_login_ttl;
	one.users[0].user.disabled = true;
	ASSERT_NO(login_as("boss", "master", "anna"), ERR_DENIED, REASON_DISABLED);
}

/* What a login answers is what a check asks about. */
static void
test_check_token(void **state UNUSED)
{
	struct fake_user *card = fake_add(&one, "card@example.org", "x", "card@example.org");
	const struct front_login l = { .name = STR("cn=card"),
		.proven = true,
		.certificate = true,
		.context = context_of("imap", "192.0.2.1") };
	struct got g = { 0 };
	card->user.source = STR("cn=card");
	(void)front_login(front, &l, on_got, &g);
	turn();
	ASSERT_OK(g, "card@example.org");
	assert_string_equal(g.check, "Ccn=card");
	ASSERT_OK(check("Ccn=card", "card@example.org", 0), "card@example.org");
	assert_string_equal(login("ANNA", "right").check, "UANNA");
	assert_string_equal(login_as("boss", "master", "anna").check, "Uanna");
	assert_string_equal(login_as("anna", "right", "anna@example.org").check, "Uanna");
	ASSERT_OK(check("UANNA", "anna@example.org", 0), "anna@example.org");
	ASSERT_NO(check("", "anna@example.org", 0), ERR_TEMP, REASON_NAME);
	ASSERT_NO(check("Xanna", "anna@example.org", 0), ERR_TEMP, REASON_NAME);
	ASSERT_NO(check("Ua*", "anna@example.org", 0), ERR_TEMP, REASON_NAME);
}

static void
test_check(void **state UNUSED)
{
	struct auth_user *anna = &one.users[0].user;
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	ASSERT_OK(check("Uanna", "anna@example.org", 10000), "anna@example.org");
	now_ms += 9999;
	ASSERT_OK(check("Uanna", "anna@example.org", 10000), "anna@example.org");
	assert_int_equal(one.asked[ASK_USER], 1);
	now_ms += 1;
	ASSERT_OK(check("Uanna", "anna@example.org", 10000), "anna@example.org");
	assert_int_equal(one.asked[ASK_USER], 2);
	/* networks were looked at by the login */
	const struct str networks[] = { STR("192.0.2.0/24") };
	anna->networks = networks;
	anna->networks_count = 1;
	ASSERT_OK(check("Uanna", "anna@example.org", 0), "anna@example.org");
	/* A "no": and what is remembered of logins goes with it. */
	anna->disabled = true;
	ASSERT_OK(check("Uanna", "anna@example.org", 10000), "anna@example.org");
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	ASSERT_NO(check("Uanna", "anna@example.org", 0), ERR_DENIED, REASON_DISABLED);
	ASSERT_NO(login("anna", "right"), ERR_DENIED, REASON_DISABLED);
	/* It is not said again from memory. */
	ASSERT_NO(check("Uanna", "anna@example.org", 0), ERR_DENIED, REASON_DISABLED);
	anna->disabled = false;
	ASSERT_OK(check("Uanna", "anna@example.org", 10000), "anna@example.org");
	anna->services_given = true;
	ASSERT_NO(check("Uanna", "anna@example.org", 0), ERR_DENIED, REASON_SERVICE);
	anna->services_given = false;
	anna->expires_sec = 1;
	ASSERT_NO(check("Uanna", "anna@example.org", 0), ERR_DENIED, REASON_ACCOUNT_EXPIRED);
	anna->expires_sec = 0;
	/* The name is somebody else's now, or nobody's. */
	ASSERT_NO(check("Uanna", "tom@example.org", 10000), ERR_DENIED, REASON_UNKNOWN);
	one.users[0].names = "gone";
	ASSERT_NO(check("Uanna", "anna@example.org", 0), ERR_DENIED, REASON_UNKNOWN);
}

static void
test_check_in_trouble(void **state UNUSED)
{
	ASSERT_OK(check("Uanna", "anna@example.org", 10000), "anna@example.org");
	one.users[0].user.disabled = true;
	/* an old record and no directory: nobody can say */
	one.failing = ERR_TEMP;
	now_ms += 10000;
	ASSERT_NO(check("Uanna", "anna@example.org", 10000), ERR_TEMP, REASON_DIRECTORY);
	ASSERT_NO(check("Utom", "tom@example.org", 10000), ERR_TEMP, REASON_DIRECTORY);
	/* a remembered "no" that nobody can confirm */
	one.failing = ERR_OK;
	ASSERT_NO(user("nobody", false, "imap"), ERR_NOTFOUND, REASON_UNKNOWN);
	one.failing = ERR_TEMP;
	ASSERT_NO(check("Unobody", "nobody@example.org", 10000), ERR_TEMP, REASON_DIRECTORY);
}

static void
test_bad_names(void **state UNUSED)
{
	ASSERT_NO(login("", "x"), ERR_DENIED, REASON_EMPTY);
	ASSERT_NO(login("anna", ""), ERR_DENIED, REASON_EMPTY);
	ASSERT_NO(login("an*na", "x"), ERR_DENIED, REASON_NAME);
	const struct front_login l = { .name = STR("anna"), .password = { "\0right", 6 } };
	struct got g = { 0 };
	(void)front_login(front, &l, on_got, &g);
	turn();
	ASSERT_NO(g, ERR_DENIED, REASON_PROTOCOL);
	assert_int_equal(one.asked[ASK_LOGIN], 0);
}

/* ---- penalties ---- */

static void
wrong_logins(const char *name, const char *ip, int count)
{
	char password[32];
	static int n;
	for (int i = 0; i < count; i++) {
		(void)snprintf(password, sizeof password, "wrong%d", n++);
		assert_int_equal(login_from(name, password, ip).err, ERR_DENIED);
	}
}

static void
test_user_block(void **state UNUSED)
{
	wrong_logins("anna", "203.0.113.9", 10);
	unsigned before = one.asked[ASK_LOGIN];
	ASSERT_NO(login_from("anna", "right", "203.0.113.9"), ERR_DENIED, REASON_BLOCKED);
	assert_int_equal(one.asked[ASK_LOGIN], before);
	/* Nobody else is locked out, and neither is she from elsewhere. */
	ASSERT_OK(login_from("anna", "right", "192.0.2.1"), "anna@example.org");
	ASSERT_OK(login_from("tom", "tomtom", "203.0.113.9"), "tom@example.org");
	now_ms += settings->auth.penalty_block;
	ASSERT_OK(login_from("anna", "right", "203.0.113.9"), "anna@example.org");
	/* The next block is twice as long. */
	wrong_logins("boss", "203.0.113.9", 10);
	now_ms += settings->auth.penalty_block;
	wrong_logins("boss", "203.0.113.9", 10);
	now_ms += 2 * settings->auth.penalty_block - 1;
	ASSERT_NO(login_from("boss", "master", "203.0.113.9"), ERR_DENIED, REASON_BLOCKED);
	now_ms += 1;
	ASSERT_OK(login_from("boss", "master", "203.0.113.9"), "boss@example.org");
}

static void
guess_names(const char *ip, int count)
{
	char name[32];
	static int n;
	for (int i = 0; i < count; i++) {
		(void)snprintf(name, sizeof name, "guess%d", n++);
		assert_int_equal(login_from(name, "x", ip).err, ERR_DENIED);
	}
}

/* Guesses that are made before the first one is answered are not more guesses. */
static void
test_block_of_many_at_once(void **state UNUSED)
{
	char passwords[20][10];
	struct got g[22];
	one.holds = true;
	for (size_t i = 0; i < ARRAY_LEN(passwords); i++) {
		(void)snprintf(passwords[i], sizeof passwords[i], "guess%zu", i);
		(void)start_login("anna", passwords[i], "203.0.113.9", &g[i]);
	}
	(void)start_login("anna", "right", "203.0.113.9", &g[20]);
	one.wrong = REASON_PASSWORD_EXPIRED;
	(void)start_login("anna", "expired", "203.0.113.9", &g[21]);
	one.wrong = REASON_NONE;
	turn();
	assert_int_equal(one.asked[ASK_LOGIN], 22);
	while (!list_empty(&one.held))
		fake_tell(CONTAINER_OF(one.held.next, struct backend_request, link));
	turn();
	one.holds = false;
	ASSERT_NO(g[19], ERR_DENIED, REASON_PASSWORD);
	ASSERT_NO(g[20], ERR_DENIED, REASON_BLOCKED);
	ASSERT_NO(g[21], ERR_DENIED, REASON_BLOCKED);
	ASSERT_OK(login_from("anna", "right", "192.0.2.1"), "anna@example.org");
}

static void
test_address_block(void **state UNUSED)
{
	guess_names("203.0.113.9", 50);
	ASSERT_NO(login_from("anna", "right", "203.0.113.9"), ERR_DENIED, REASON_BLOCKED);
	ASSERT_NO(login_from("anna", "right", "::ffff:203.0.113.9"), ERR_DENIED, REASON_BLOCKED);
	ASSERT_OK(login_from("anna", "right", "203.0.113.10"), "anna@example.org");
	/* An IPv6 customer has a /64. */
	guess_names("2001:db8:1:2::1", 25);
	guess_names("2001:db8:1:2:ffff::1", 25);
	ASSERT_NO(login_from("anna", "right", "2001:db8:1:2:3::4"), ERR_DENIED, REASON_BLOCKED);
	ASSERT_OK(login_from("anna", "right", "2001:db8:1:3::1"), "anna@example.org");
	/* Forgotten on demand. */
	assert_true(front_forget(front, STR("203.0.113.9")) > 0);
	ASSERT_OK(login_from("anna", "right", "203.0.113.9"), "anna@example.org");
}

/* An office behind one address: those who are known there still may while a guest is blocked. */
static void
test_office(void **state UNUSED)
{
	ASSERT_OK(login_from("anna", "right", "203.0.113.9"), "anna@example.org");
	ASSERT_OK(login_from("tom", "tomtom", "203.0.113.9"), "tom@example.org");
	guess_names("203.0.113.9", 59); /* two known users raise the limit by ten */
	ASSERT_OK(login_from("boss", "master", "203.0.113.9"), "boss@example.org");
	guess_names("203.0.113.9", 10);
	ASSERT_OK(login_from("anna", "right", "203.0.113.9"), "anna@example.org");
	ASSERT_NO(login_from("guess", "x", "203.0.113.9"), ERR_DENIED, REASON_BLOCKED);
}

static void
test_success_takes_back(void **state UNUSED)
{
	/* Somebody who mistypes nine times and then gets it right, all day long. */
	for (int i = 0; i < 20; i++) {
		wrong_logins("anna", "203.0.113.9", 9);
		ASSERT_OK(login_from("anna", "right", "203.0.113.9"), "anna@example.org");
	}
	/* An attacker's own account clears nothing of what he tried with others'. */
	guess_names("203.0.113.77", 40);
	ASSERT_OK(login_from("tom", "tomtom", "203.0.113.77"), "tom@example.org");
	guess_names("203.0.113.77", 20);
	ASSERT_NO(login_from("anna", "right", "203.0.113.77"), ERR_DENIED, REASON_BLOCKED);
}

/* A phone with an old password is refused, not blocked, and locks nobody out. */
static void
test_forgotten_phone(void **state UNUSED)
{
	for (int i = 0; i < 200; i++) {
		assert_int_equal(login_from("anna", "old", "203.0.113.9").err, ERR_DENIED);
		now_ms += 10000;
	}
	assert_true(one.asked[ASK_LOGIN] >= 200 / 7 && one.asked[ASK_LOGIN] <= 200 / 6 + 1);
	ASSERT_OK(login_from("anna", "right", "203.0.113.9"), "anna@example.org");
}

static void
test_trusted(void **state UNUSED)
{
	struct str nets[] = { { "10.1.0.0/16", 11 } };
	struct buf why;
	buf_init(&why, 1000);
	struct penalty_limits l = front->penalty != NULL ? (struct penalty_limits){ .address = 5,
		.user = 5,
		.window_ms = 60000,
		.block_ms = 1000,
		.block_max_ms = 10000,
		.delay_ms = 100,
		.delay_max_ms = 1600 }
							 : (struct penalty_limits){ 0 };
	struct cidr trusted;
	assert_int_equal(cidr_parse(nets[0], &trusted), ERR_OK);
	l.trusted = &trusted;
	l.trusted_count = 1;
	penalty_set_limits(front->penalty, &l);
	wrong_logins("anna", "10.1.2.3", 20);
	wrong_logins("anna", "", 20);
	wrong_logins("anna", "garbage", 20);
	ASSERT_OK(login_from("tom", "tomtom", "10.1.2.3"), "tom@example.org");
	ASSERT_OK(login_from("anna", "right", "10.1.2.3"), "anna@example.org");
	ASSERT_OK(login_from("anna", "right", ""), "anna@example.org");
	buf_fini(&why);
}

static int64_t
delay(const char *name, const char *ip)
{
	struct auth_context c = context_of("imap", ip);
	return front_delay_ms(front, str_of(name), &c);
}

static void
test_delays(void **state UNUSED)
{
	assert_int_equal(delay("anna", "192.0.2.1"), 2000);
	wrong_logins("anna", "192.0.2.1", 1);
	assert_int_equal(delay("anna", "192.0.2.1"), 2000);
	wrong_logins("anna", "192.0.2.1", 1);
	assert_int_equal(delay("Anna", "192.0.2.1"), 4000);
	wrong_logins("anna", "192.0.2.1", 1);
	assert_int_equal(delay("anna@example.org", "192.0.2.1"), 8000);
	wrong_logins("anna", "192.0.2.1", 3);
	assert_int_equal(delay("anna", "192.0.2.1"), 15000);
	/* The user's failures slow strangers down, but not where she is known. */
	assert_true(delay("anna", "192.0.2.99") > 2000);
	ASSERT_OK(login_from("anna", "right", "192.0.2.98"), "anna@example.org");
	assert_int_equal(delay("anna", "192.0.2.98"), 2000);
	/* All of it is forgotten with time. */
	now_ms += settings->auth.penalty_window;
	assert_int_equal(delay("anna", "192.0.2.1"), 2000);
}

/* ---- what a stranger could tell, and what an outage must not bring back ---- */

/* The same wrong password over and over: known, unknown and locked names look alike. */
static void
test_repeated_alike(void **state UNUSED)
{
	static const char *const names[] = { "anna", "nobody", "tom" };
	static const char *const ips[] = { "203.0.113.1", "203.0.113.2", "203.0.113.3" };
	two.wrong = REASON_LOCKED;
	for (int i = 0; i < 15; i++) {
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			struct got g = login_from(names[k], "guess", ips[k]);
			assert_int_equal(g.err, ERR_DENIED);
			assert_string_equal(reason_code(g.reason), "");
			assert_int_equal(delay(names[k], ips[k]), 2000);
		}
		now_ms += 3000;
	}
	/* Other passwords slow all of them down alike. */
	for (int i = 0; i < 5; i++) {
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			wrong_logins(names[k], ips[k], 1);
		assert_int_equal(delay("anna", ips[0]), delay("nobody", ips[1]));
		assert_int_equal(delay("anna", ips[0]), delay("tom", ips[2]));
	}
}

/* One guess, however many connections make it at once. */
static void
test_joined_guess_counts_once(void **state UNUSED)
{
	struct got g[20];
	for (size_t i = 0; i < ARRAY_LEN(g); i++)
		(void)start_login("anna", "old", "203.0.113.9", &g[i]);
	turn();
	for (size_t i = 0; i < ARRAY_LEN(g); i++)
		ASSERT_NO(g[i], ERR_DENIED, REASON_PASSWORD);
	assert_int_equal(one.asked[ASK_LOGIN], 1);
	ASSERT_OK(login_from("anna", "right", "203.0.113.9"), "anna@example.org");
}

/* A block does not show: refusals do not get faster by it. */
static void
test_block_does_not_show(void **state UNUSED)
{
	wrong_logins("anna", "203.0.113.9", 9);
	int64_t before = delay("anna", "203.0.113.9");
	wrong_logins("anna", "203.0.113.9", 1);
	ASSERT_NO(login_from("anna", "right", "203.0.113.9"), ERR_DENIED, REASON_BLOCKED);
	assert_true(delay("anna", "203.0.113.9") >= before);
	guess_names("203.0.113.8", 49);
	before = delay("other", "203.0.113.8");
	guess_names("203.0.113.8", 1);
	ASSERT_NO(login_from("anna", "right", "203.0.113.8"), ERR_DENIED, REASON_BLOCKED);
	assert_true(delay("other", "203.0.113.8") >= before);
	/* Where refusals wait for nothing, nobody can tell anything by it. */
	struct penalty_limits l = { .user = 1,
		.window_ms = 1000,
		.block_ms = 1000,
		.block_max_ms = 1000,
		.delay_max_ms = 5000 };
	struct penalty_event e;
	struct penalty *p = penalty_new(&l);
	penalty_failed(p, STR("192.0.2.1"), STR("anna"), 0, &e);
	assert_true(penalty_blocked(p, STR("192.0.2.1"), STR("anna"), 1));
	assert_int_equal(penalty_delay_ms(p, STR("192.0.2.1"), STR("anna"), 1), 0);
	penalty_free(p);
}

/* The backend that knew the user is up and says no: another one's failure changes nothing. */
static void
test_outage_of_another(void **state UNUSED)
{
	settings->auth.outage_login = 86400000;
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	ASSERT_OK(lookup(MAP_MAILBOX, "anna@example.org"), "anna@example.org");
	ASSERT_OK(login("tom", "tomtom"), "tom@example.org");
	now_ms += 120000;
	two.failing = ERR_TEMP;
	one.users[0].names = "gone";
	ASSERT_NO(login("anna", "right"), ERR_TEMP, REASON_DIRECTORY);
	ASSERT_NO(lookup(MAP_MAILBOX, "anna@example.org"), ERR_TEMP, REASON_DIRECTORY);
	ASSERT_OK(login("tom", "tomtom"), "tom@example.org");
	/* Nor afterwards. */
	one.failing = ERR_TEMP;
	ASSERT_NO(login("anna", "right"), ERR_TEMP, REASON_DIRECTORY);
	ASSERT_NO(lookup(MAP_MAILBOX, "anna@example.org"), ERR_TEMP, REASON_DIRECTORY);
	ASSERT_OK(login("tom", "tomtom"), "tom@example.org");
}

/* In an outage only the password that was right last, under every name of the user. */
static void
test_outage_other_names(void **state UNUSED)
{
	settings->auth.outage_login = 86400000;
	one.users[0].names = "anna anna@example.org berg berg@example.org";
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	ASSERT_OK(login("berg", "right"), "anna@example.org");
	now_ms += 120000;
	one.failing = ERR_TEMP;
	ASSERT_OK(login("berg", "right"), "anna@example.org");
	one.failing = ERR_OK;
	one.users[0].password = "new";
	ASSERT_OK(login("anna", "new"), "anna@example.org");
	one.failing = ERR_TEMP;
	ASSERT_NO(login("berg", "right"), ERR_TEMP, REASON_DIRECTORY);
	ASSERT_OK(login("anna", "new"), "anna@example.org");
	/* Refused by one name, it is gone for all. */
	one.failing = ERR_OK;
	ASSERT_OK(login("berg", "new"), "anna@example.org");
	now_ms += 120000;
	one.wrong = REASON_DISABLED;
	one.users[0].password = "locked";
	ASSERT_NO(login("anna", "new"), ERR_DENIED, REASON_DISABLED);
	one.failing = ERR_TEMP;
	ASSERT_NO(login("berg", "new"), ERR_TEMP, REASON_DIRECTORY);
	ASSERT_NO(login("anna", "new"), ERR_TEMP, REASON_DIRECTORY);
}

/* A policy that any of the names brought holds for all of them. */
static void
test_outage_disabled(void **state UNUSED)
{
	settings->auth.outage_login = 86400000;
	one.users[0].names = "anna anna@example.org berg berg@example.org";
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	ASSERT_OK(login("berg", "right"), "anna@example.org");
	now_ms += 120000;
	one.users[0].user.disabled = true;
	ASSERT_NO(login("anna", "right"), ERR_DENIED, REASON_DISABLED);
	one.failing = ERR_TEMP;
	ASSERT_NO(login("berg", "right"), ERR_DENIED, REASON_DISABLED);
}

/* A login that was proven otherwise lasts as long in an outage as one by password. */
static void
test_proven_outage_ends(void **state UNUSED)
{
	const struct front_login l = {
		.name = STR("anna"), .proven = true, .context = context_of("imap", "192.0.2.1")
	};
	struct got g = { 0 };
	settings->auth.outage_login = 300000;
	(void)front_login(front, &l, on_got, &g);
	turn();
	ASSERT_OK(g, "anna@example.org");
	one.failing = ERR_TEMP;
	now_ms += 299999;
	(void)front_login(front, &l, on_got, &g);
	turn();
	ASSERT_OK(g, "anna@example.org");
	now_ms += 1;
	(void)front_login(front, &l, on_got, &g);
	turn();
	ASSERT_NO(g, ERR_TEMP, REASON_DIRECTORY);
	assert_int_equal(user("anna", false, "imap").err, ERR_OK);
}

/* What the old backends still say after a reload is for those who asked before it. */
static void
test_reload_in_flight(void **state UNUSED)
{
	struct got before, after;
	struct settings *other = settings_defaults();
	struct backend *v[] = { &two.b };
	other->auth.default_domain = STR("example.org");
	one.holds = true;
	(void)start_login("anna", "right", "192.0.2.1", &before);
	struct backends *old = front->backends;
	front->backends = backends_of(loop, other, v, 1);
	front->settings = other;
	memory_set(front->memory, other);
	now_ms += 1;
	(void)start_login("anna", "right", "192.0.2.1", &after);
	turn();
	ASSERT_NO(after, ERR_DENIED, REASON_UNKNOWN);
	assert_int_equal(before.calls, 0);
	fake_tell(CONTAINER_OF(one.held.next, struct backend_request, link));
	turn();
	ASSERT_OK(before, "anna@example.org");
	ASSERT_NO(login("anna", "right"), ERR_DENIED, REASON_UNKNOWN);
	backends_unref(old);
	turn();
	front_free(front);
	settings_free(other);
	front = NULL;
}

/* By any of the user's names, and what status shows of a network. */
static void
test_forget_names(void **state UNUSED)
{
	one.users[0].names = "anna anna@example.org berg berg@example.org";
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	ASSERT_OK(login("berg", "right"), "anna@example.org");
	assert_int_equal(front_forget(front, STR("BERG")), 2);
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	assert_int_equal(one.asked[ASK_LOGIN], 3);
	guess_names("2001:db8:1:2::1", 50);
	assert_true(front_forget(front, STR("2001:db8:1:2::/64")) > 0);
	ASSERT_OK(login_from("anna", "right", "2001:db8:1:2::1"), "anna@example.org");
}

/* However the name is written, it is one user's count, and forgotten by any of them. */
static void
test_names_count_once(void **state UNUSED)
{
	static const char *const names[] = { "anna", "Anna@Example.ORG", "CORP\\Anna", "ANNA" };
	const struct auth_context c = context_of("imap", "203.0.113.9");
	struct settings_directory d = { .netbios_domain = STR("corp") };
	settings->directories = &d;
	settings->directories_count = 1;
	one.b.netbios = STR("corp");
	for (size_t i = 0; i < 10; i++) {
		char password[20];
		(void)snprintf(password, sizeof password, "guess%zu", i);
		ASSERT_NO(login_from(names[i % 4], password, "203.0.113.9"), ERR_DENIED,
			REASON_PASSWORD);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ASSERT_NO(login_from(names[i], "right", "203.0.113.9"), ERR_DENIED, REASON_BLOCKED);
		assert_true(front_blocked(front, str_of(names[i]), &c));
	}
	assert_true(front_forget(front, STR("CORP\\anna")) > 0);
	ASSERT_OK(login_from("anna", "right", "203.0.113.9"), "anna@example.org");
	/* Another section's domain is another user. */
	d.domains = (struct str_list){ (struct str[]){ STR("example.com") }, 1 };
	wrong_logins("anna", "203.0.113.9", 10);
	assert_true(front_blocked(front, STR("anna@example.org"), &c));
	assert_false(front_blocked(front, STR("CORP\\anna"), &c));
	settings->directories = NULL;
	settings->directories_count = 0;
}

/* A wrong proof of a mechanism counts as a wrong password does. */
static void
test_failed_elsewhere(void **state UNUSED)
{
	struct auth_context c = context_of("smtp", "203.0.113.9");
	struct got g = { 0 };
	for (int i = 0; i < 10; i++)
		front_failed(front, STR("anna"), &c);
	ASSERT_NO(login_from("anna", "right", "203.0.113.9"), ERR_DENIED, REASON_BLOCKED);
	assert_true(front_blocked(front, STR("Anna@Example.org"), &c));
	assert_false(front_blocked(front, STR("tom"), &c));
	/* The keys are the same as ever, but a right proof is not enough. */
	(void)front_secret(front, STR("anna"), &c, on_got, &g);
	turn();
	ASSERT_OK(g, "anna@example.org");
	const struct front_login l = { .name = STR("anna"), .proven = true, .context = c };
	(void)front_login(front, &l, on_got, &g);
	turn();
	ASSERT_NO(g, ERR_DENIED, REASON_BLOCKED);
	assert_int_equal(one.asked[ASK_USER], 0);
}

static void
test_table_is_bounded(void **state UNUSED)
{
	char ip[32];
	struct penalty_event e;
	struct buf out;
	for (int i = 0; i < 70000; i++) {
		(void)snprintf(ip, sizeof ip, "10.%d.%d.%d", i >> 16, (i >> 8) & 255, i & 255);
		penalty_failed(front->penalty, str_of(ip), str_of(ip), now_ms, &e);
	}
	buf_init(&out, 10000);
	penalty_status(front->penalty, now_ms, &out);
	struct str want = STR("addresses=65536 users=65536 pairs=65536 known=0");
	assert_true(str_find(buf_str(&out), want) < out.n);
	buf_fini(&out);
}

/* ---- the cache itself ---- */

static void
make_key(struct buf *key, char kind, const struct str *parts, size_t n)
{
	buf_init(key, CACHE_KEY_MAX);
	cache_key_begin(key, kind);
	for (size_t i = 0; i < n; i++)
		cache_key_add(key, parts[i]);
}

/* No two lists of parts make one key. */
static void
test_keys(void **state UNUSED)
{
	static const struct {
		struct str parts[3];
		size_t n;
	} table[] = {
		{ { { "a", 1 }, { "b", 1 } }, 2 },
		{ { { "ab", 2 }, { "", 0 } }, 2 },
		{ { { "", 0 }, { "ab", 2 } }, 2 },
		{ { { "a\0\001b", 4 } }, 1 },
		{ { { "a", 1 }, { "b", 1 }, { "", 0 } }, 3 },
		{ { { "", 0 } }, 1 },
		{ { { "", 0 }, { "", 0 } }, 2 },
		{ { { "\0\0", 2 } }, 1 },
		{ { { "anna@a", 6 }, { "b", 1 } }, 2 },
		{ { { "anna", 4 }, { "@ab", 3 } }, 2 },
		{ { { "anna\t", 5 }, { "imap", 4 } }, 2 },
		{ { { "anna", 4 }, { "\timap", 5 } }, 2 },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		for (size_t k = 0; k < ARRAY_LEN(table); k++) {
			struct buf a, b;
			make_key(&a, 'L', table[i].parts, table[i].n);
			make_key(&b, 'L', table[k].parts, table[k].n);
			assert_int_equal(str_eq(buf_str(&a), buf_str(&b)), i == k);
			buf_fini(&a);
			buf_fini(&b);
		}
	struct buf long_key;
	char *big = xcalloc(1, 70000);
	make_key(&long_key, 'L', (struct str[]){ { big, 70000 } }, 1);
	assert_int_equal(buf_check(&long_key), ERR_LIMIT);
	buf_fini(&long_key);
	free(big);
}

static void
test_proofs(void **state UNUSED)
{
	unsigned char a[32], b[32];
	cache_proof(STR("ab"), STR("c"), a);
	cache_proof(STR("a"), STR("bc"), b);
	assert_memory_not_equal(a, b, 32);
	cache_proof(STR("ab"), STR("c"), b);
	assert_memory_equal(a, b, 32);
	/* RFC 4231, test case 2 */
	static const unsigned char want[] = { 0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e };
	struct hmac_sha256 *h = hmac_sha256_new(STR("Jefe"));
	hmac_sha256_of(h, STR("what do ya want for nothing?"), a);
	assert_memory_equal(a, want, sizeof want);
	hmac_sha256_of(h, STR("something else"), b);
	assert_memory_not_equal(a, b, sizeof want);
	hmac_sha256_of(h, STR("what do ya want for nothing?"), b);
	assert_memory_equal(a, b, 32);
	hmac_sha256_free(h);
}

static void
put_number(struct cache *c, int i, bool with_user)
{
	char text[64];
	struct buf key;
	int n = snprintf(text, sizeof text, "user%06d@example.org", i);
	struct str name = str_n(text, (size_t)n);
	struct auth_user u = { .user = name,
		.home = name,
		.source = STR("uid=user000000,ou=people,dc=example,dc=org"),
		.backend = STR("main"),
		.display_name = STR("A User of Average Name") };
	struct auth_user *copy_of = with_user ? auth_user_new(&u) : NULL;
	make_key(&key, with_user ? 'L' : 'A', &name, 1);
	unsigned char proof[32] = { 0 };
	const struct cached a = {
		.user = copy_of, .value = name, .proof = with_user ? proof : NULL
	};
	cache_put(c, buf_str(&key), &a, i);
	auth_user_unref(copy_of);
	buf_fini(&key);
}

static void
test_cache_is_bounded(void **state UNUSED)
{
	struct cache *c = cache_new(100000);
	struct cache_figures f;
	for (int i = 0; i < 5000; i++) {
		put_number(c, i, i % 2 == 0);
		cache_figures(c, &f);
		assert_true(f.bytes <= 100000);
	}
	assert_true(f.entries > 100);
	assert_true(f.dropped > 4000);
	assert_int_equal(cache_forget(c, STR("user004998@example.org")), 1);
	assert_int_equal(cache_forget(c, STR_EMPTY), f.entries - 1);
	cache_figures(c, &f);
	assert_int_equal(f.bytes, 0);
	assert_int_equal(f.entries, 0);
	cache_free(c);
}

/* What 100,000 users take: the figure of docs/performance.md. */
static void
test_cache_of_100000(void **state UNUSED)
{
	struct cache *c = cache_new((size_t)1 << 30);
	struct cache_figures f;
	for (int i = 0; i < 100000; i++)
		put_number(c, i, true);
	cache_figures(c, &f);
	print_message("%zu entries, %zu bytes each\n", f.entries, f.bytes / f.entries);
	assert_int_equal(f.entries, 100000);
	assert_true(f.bytes / f.entries < 800);
	cache_free(c);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_domains),
		TEST(test_homes),
		TEST(test_tags),
		TEST(test_lists_and_domains),
		TEST(test_login_memory),
		TEST(test_old_password_stops),
		TEST(test_wrong_memory),
		TEST(test_reasons_not_remembered),
		TEST(test_refused_not_remembered),
		TEST(test_negative),
		TEST(test_lookup_memory),
		TEST(test_join),
		TEST(test_outage),
		TEST(test_outage_negative),
		TEST(test_proven_in_outage),
		TEST(test_keys_of_another),
		TEST(test_reload),
		TEST(test_no_memory),
		TEST(test_key_by_address),
		TEST(test_policies),
		TEST(test_delivery_policy),
		TEST(test_policy_of_login),
		TEST(test_masters),
		TEST(test_check_token),
		TEST(test_check),
		TEST(test_check_in_trouble),
		TEST(test_bad_names),
		TEST(test_user_block),
		TEST(test_block_of_many_at_once),
		TEST(test_address_block),
		TEST(test_office),
		TEST(test_success_takes_back),
		TEST(test_forgotten_phone),
		TEST(test_trusted),
		TEST(test_delays),
		TEST(test_repeated_alike),
		TEST(test_joined_guess_counts_once),
		TEST(test_block_does_not_show),
		TEST(test_outage_of_another),
		TEST(test_outage_other_names),
		TEST(test_outage_disabled),
		TEST(test_proven_outage_ends),
		TEST(test_reload_in_flight),
		TEST(test_forget_names),
		TEST(test_names_count_once),
		TEST(test_failed_elsewhere),
		TEST(test_table_is_bounded),
		TEST(test_keys),
		TEST(test_proofs),
		TEST(test_cache_is_bounded),
		TEST(test_cache_of_100000),
	};
	log_setup("test", LVL_ERROR, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
