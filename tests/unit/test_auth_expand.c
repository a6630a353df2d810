/* auth-ldap/front/expand.c: what an address stands for, over backends that are tables here and
 * answer in any order, fail or never answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth-ldap/front/expand.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"

#define TEXT(z)                        \
	{                              \
		"" z "", sizeof(z) - 1 \
	}

/* ---- fake backends ---- */

/* key: "a anna@x" (an address), "d domain", "r ref", "c domain" (catch-all), "s address" (sender),
 * "p group". members: "u:anna@x a:other@x f:final@y r:ref E: U:" or "!temp", "!denied", "!limit",
 * "!never". owner: of a group. */
struct row {
	const char *key, *members, *owner;
};

enum order { FIRST_FIRST, LAST_FIRST, ANY };

struct fake {
	struct backend base;
	const struct row *rows;
	size_t rows_count;
	unsigned big; /* "r big" has so many users; "r nest:N" is a group of groups below that */
	struct list waiting;
	struct loop_task task;
	enum order order;
	unsigned asked, cancelled, waiting_count, most_waiting;
	unsigned fail_at; /* the question of this number fails; 0: none */
	bool people_seen;
};

struct backend_request {
	struct list link;
	struct fake *fake;
	char key[600];
	bool fails;
	auth_fn fn;
	void *arg;
};

static struct loop *the_loop;
static struct settings *the_settings;

static void
request_gone(struct backend_request *r)
{
	list_remove(&r->link);
	r->fake->waiting_count--;
	free(r);
}

static enum member_kind
kind_of(char c)
{
	switch (c) {
	case 'u':
		return MEMBER_USER;
	case 'a':
		return MEMBER_ADDRESS;
	case 'f':
		return MEMBER_FINAL;
	case 'r':
		return MEMBER_REF;
	case 'E':
		return MEMBER_EVERYONE;
	default:
		return MEMBER_EVERY_USER;
	}
}

static void
answer_text(const struct backend_request *r, const char *text, const char *owner,
	struct auth_answer *a, struct auth_member *v)
{
	struct str rest = str_of(text), one;
	(void)r;
	if (str_eq(rest, STR("!temp")))
		a->err = ERR_TEMP;
	else if (str_eq(rest, STR("!denied")))
		a->err = ERR_DENIED;
	else if (str_eq(rest, STR("!limit"))) {
		a->err = ERR_DENIED;
		a->reason = REASON_LIMIT;
	}
	if (a->err != ERR_OK)
		return;
	while (rest.n > 0) {
		(void)str_cut(rest, ' ', &one, &rest);
		if (str_starts(one, STR("v:")))
			a->value = str_from(one, 2);
		else
			v[a->members_count++] =
				(struct auth_member){ kind_of(one.p[0]), str_from(one, 2) };
	}
	a->members = v;
	if (owner != NULL)
		a->owner = str_of(owner);
}

/* Made groups of any size. False: not one of those. */
static bool
answer_made(const struct backend_request *r, struct auth_answer *a)
{
	static char text[20000][40];
	static struct auth_member v[20000];
	struct str key = str_of(r->key);
	uint32_t n;
	if (str_eq(key, STR("a big@x")) || str_eq(key, STR("a refs@x"))) {
		bool refs = str_eq(key, STR("a refs@x"));
		for (unsigned i = 0; i < r->fake->big; i++) {
			snprintf(text[i], sizeof text[i], refs ? "person %u" : "user%u@x", i);
			v[i] = (struct auth_member){ refs ? MEMBER_REF : MEMBER_USER,
				str_of(text[i]) };
		}
		a->members = v;
		a->members_count = r->fake->big;
		return true;
	}
	if (str_eq(key, STR("a commas@x"))) { /* two DNs in four spellings */
		static const char *const dns[] = { "cn=a\\,b,dc=x", "cn=a\\, b,dc=x",
			"CN=A\\,B, dc=x", "cn=a\\, b,  dc=x" };
		for (size_t i = 0; i < ARRAY_LEN(dns); i++)
			v[i] = (struct auth_member){ MEMBER_REF, str_of(dns[i]) };
		a->members = v;
		a->members_count = ARRAY_LEN(dns);
		return true;
	}
	if (str_starts(key, STR("r cn=a"))) {
		snprintf(text[0], sizeof text[0], "user%zu@x", key.n);
		v[0] = (struct auth_member){ MEMBER_USER, str_of(text[0]) };
	} else if (str_starts(key, STR("r person ")) &&
		   str_to_u32(str_from(key, 9), 1000000, &n) == ERR_OK) {
		snprintf(text[0], sizeof text[0], "user%u@x", n);
		v[0] = (struct auth_member){ MEMBER_USER, str_of(text[0]) };
	} else if (str_starts(key, STR("a chain")) &&
		   str_to_u32(str_sub(key, 7, str_chr(key, '@') - 7), 1000000, &n) == ERR_OK) {
		snprintf(text[0], sizeof text[0], n > 0 ? "chain%u@x" : "end@x", n - 1);
		v[0] = (struct auth_member){ n > 0 ? MEMBER_ADDRESS : MEMBER_USER,
			str_of(text[0]) };
	} else {
		return false;
	}
	a->members = v;
	a->members_count = 1;
	return true;
}

static void
answer_one(struct backend_request *r)
{
	struct fake *f = r->fake;
	struct auth_member v[16];
	struct auth_answer a = { .err = ERR_OK };
	bool found = false;
	if (r->fails) {
		a.err = ERR_TEMP;
		found = true;
	}
	for (size_t i = 0; !found && i < f->rows_count; i++)
		if (strcmp(f->rows[i].key, r->key) == 0) {
			if (strcmp(f->rows[i].members, "!never") == 0)
				return;
			answer_text(r, f->rows[i].members, f->rows[i].owner, &a, v);
			found = true;
		}
	if (!found && f->big > 0)
		found = answer_made(r, &a);
	if (!found)
		a.err = ERR_NOTFOUND;
	auth_fn fn = r->fn;
	void *arg = r->arg;
	request_gone(r);
	fn(arg, &a);
}

/* Half of what waits is answered now, the rest in the next round: answers mix. */
static void
on_fake_task(struct loop_task *t)
{
	struct fake *f = t->arg;
	for (unsigned n = f->waiting_count / 2 + 1; n > 0 && !list_empty(&f->waiting); n--) {
		struct list *node = f->order == LAST_FIRST ? f->waiting.prev : f->waiting.next;
		unsigned char byte = 0;
		if (f->order == ANY) {
			rand_bytes(&byte, 1);
			for (unsigned skip = byte % f->waiting_count; skip > 0; skip--)
				node = node->next;
		}
		answer_one(CONTAINER_OF(node, struct backend_request, link));
	}
	if (!list_empty(&f->waiting))
		loop_task_queue(&f->task);
}

static struct backend_request *
fake_ask(struct backend *b, const struct auth_question *q, auth_fn fn, void *arg)
{
	struct fake *f = (struct fake *)(void *)b;
	struct backend_request *r = xcalloc(1, sizeof *r);
	char kind = q->kind == ASK_CATCHALL ? 'c' : q->kind == ASK_SENDER ? 's' : 'a';
	struct str what = q->name->address;
	if (q->kind == ASK_POST)
		kind = 'p';
	if (q->kind == ASK_DOMAIN) {
		kind = 'd';
		what = q->name->domain;
	}
	if (q->other.n > 0 && q->kind == ASK_MEMBERS) {
		kind = 'r';
		what = q->other;
	} else if (kind == 'c') {
		what = q->name->domain;
	}
	f->people_seen = f->people_seen || q->people;
	snprintf(r->key, sizeof r->key, "%c %.*s", kind, STR_FMT(what));
	r->fake = f;
	r->fn = fn;
	r->arg = arg;
	list_push_back(&f->waiting, &r->link);
	if (++f->waiting_count > f->most_waiting)
		f->most_waiting = f->waiting_count;
	r->fails = ++f->asked == f->fail_at;
	loop_task_queue(&f->task);
	return r;
}

static void
fake_cancel(struct backend_request *r)
{
	r->fake->cancelled++;
	request_gone(r);
}

static const struct backend_ops fake_ops = { .ask = fake_ask, .cancel = fake_cancel };

static void
fake_init(struct fake *f, const struct row *rows, size_t n)
{
	memset(f, 0, sizeof *f);
	f->base.ops = &fake_ops;
	f->rows = rows;
	f->rows_count = n;
	list_init(&f->waiting);
	loop_task_init(&f->task, the_loop, on_fake_task, f);
}

static void
fake_fini(struct fake *f)
{
	assert_true(list_empty(&f->waiting));
	assert_int_equal(f->waiting_count, 0);
	loop_task_cancel(&f->task);
}

/* ---- the set of backends ---- */

size_t
backends_next(const struct backends *b, size_t from, struct str domain)
{
	for (; from < b->n; from++) {
		const struct backend *v = b->v[from];
		for (size_t i = 0; i < v->domains_count; i++)
			if (str_eq(v->domains[i], domain))
				return from;
		if (v->domains_count == 0)
			return from;
	}
	return b->n;
}

struct backends *
backends_ref(struct backends *b)
{
	b->refs++;
	return b;
}

void
backends_unref(struct backends *b)
{
	assert_true(b->refs > 0);
	b->refs--;
}

/* ---- one expansion ---- */

struct outcome {
	unsigned calls;
	enum err err;
	enum auth_reason reason;
	struct buf value, owner;
};

static struct loop_timer guard;

static void
on_guard(struct loop_timer *t)
{
	(void)t;
	loop_stop(the_loop);
}

static void
on_expanded(void *arg, const struct auth_answer *a)
{
	struct outcome *o = arg;
	o->calls++;
	o->err = a->err;
	o->reason = a->reason;
	buf_reset(&o->value);
	buf_reset(&o->owner);
	buf_add(&o->value, a->value);
	buf_add(&o->owner, a->owner);
	loop_stop(the_loop);
}

static void
outcome_init(struct outcome *o)
{
	memset(o, 0, sizeof *o);
	buf_init(&o->value, 16 << 20);
	buf_init(&o->owner, 4096);
}

static void
outcome_fini(struct outcome *o)
{
	buf_fini(&o->value);
	buf_fini(&o->owner);
}

static const struct auth_context context = { .sid = { "t1", 2 } };

static struct expansion *
start(struct backends *b, enum expansion_kind kind, const char *key, const char *other,
	struct outcome *o)
{
	struct name n;
	assert_int_equal(name_parse(str_of(key), STR_EMPTY, &n), ERR_OK);
	return expansion_start(b, kind, &n, str_of(other), &context, on_expanded, o);
}

static void
run(struct backends *b, enum expansion_kind kind, const char *key, const char *other,
	struct outcome *o)
{
	(void)start(b, kind, key, other, o);
	loop_timer_start(&guard, 60000);
	loop_run(the_loop);
	loop_timer_stop(&guard);
	assert_int_equal(o->calls, 1);
	assert_int_equal(b->refs, 0);
}

static int
by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* "c,a,b" in order, so that the order of answers does not matter. */
static void
sorted(struct str value, struct buf *out)
{
	struct str v[64], rest = value;
	size_t n = 0;
	while (rest.n > 0 && n < 64) {
		(void)str_cut(rest, ',', &v[n], &rest);
		n++;
	}
	qsort(v, n, sizeof v[0], by_text);
	buf_reset(out);
	for (size_t i = 0; i < n; i++) {
		buf_addz(out, i > 0 ? "," : "");
		buf_add(out, v[i]);
	}
}

/* ---- what addresses stand for ---- */

static const struct row rows_one[] = {
	{ "a anna@x", "u:anna@x", NULL },
	{ "a director@x", "u:anna@x", NULL },
	{ "a sales@x", "u:anna@x r:bilal r:gone a:carmen@x", "boss@x" },
	{ "r bilal", "u:bilal@x", NULL },
	{ "a carmen@x", "u:carmen@x", NULL },
	{ "a red@x", "u:r@x r:cn=Blue,dc=x", NULL },
	{ "r cn=Blue,dc=x", "u:s@x r:red", NULL },
	{ "r red", "u:r@x r:CN=blue,dc=X", NULL },
	{ "r CN=blue,dc=X", "!temp", NULL }, /* never asked: it is cn=Blue again */
	{ "a ping@x", "a:pong@x", NULL },
	{ "a pong@x", "a:Ping@x", NULL },
	{ "a empty@x", "", NULL },
	{ "a press@x", "a:Agency@Press.example u:tove@x a:agency@press.example", NULL },
	{ "a moved@x", "f:sales@x", NULL },
	{ "a forward@x", "a:else@y u:forward@x", NULL },
	{ "a bad@x", "a:no,address a:a@b@c a:nodomain u:anna@x", NULL },
	{ "a outage@x", "u:anna@x r:down", NULL },
	{ "r down", "!temp", NULL },
	{ "a many@x", "a:limit@x", NULL },
	{ "a limit@x", "!limit", NULL },
	{ "a broken@x", "!temp", NULL },
	{ "a typo@x", "a:unknown@x a:other@x a:away@far", NULL },
	{ "a list@x", "u:anna@x u:bilal@x", NULL },
	{ "a tagged@x", "a:list+one@x a:director+two@x", NULL },
	{ "c caught", "u:anna@x", NULL },
	{ "c round", "a:nobody@round", NULL },
	{ "a mixed@x", "a:one@caught a:two@caught u:bilal@x", NULL },
	{ "c broken", "!temp", NULL },
};

static void
test_aliases(void **state)
{
	(void)state;
	static const struct {
		const char *key, *want, *owner;
		enum err err;
		enum auth_reason reason;
	} cases[] = {
		{ "director@x", "anna@x", "", ERR_OK, REASON_NONE },
		{ "anna@x", "", "", ERR_NOTFOUND, REASON_NONE },
		{ "anna+tag@x", "", "", ERR_NOTFOUND, REASON_NONE },
		{ "director+tag@x", "anna+tag@x", "", ERR_OK, REASON_NONE },
		{ "nobody@x", "", "", ERR_NOTFOUND, REASON_UNKNOWN },
		{ "nobody+tag@x", "", "", ERR_NOTFOUND, REASON_UNKNOWN },
		{ "sales@x", "anna@x,bilal@x,carmen@x", "boss@x", ERR_OK, REASON_NONE },
		{ "sales+tag@x", "anna@x,bilal@x,carmen@x", "boss@x", ERR_OK, REASON_NONE },
		{ "red@x", "r@x,s@x", "", ERR_OK, REASON_NONE },
		{ "ping@x", "", "", ERR_NOTFOUND, REASON_LOOP },
		{ "empty@x", "", "", ERR_NOTFOUND, REASON_NONE },
		{ "press@x", "Agency@Press.example,tove@x", "", ERR_OK, REASON_NONE },
		{ "moved@x", "sales@x", "", ERR_OK, REASON_NONE },
		{ "forward@x", "else@y,forward@x", "", ERR_OK, REASON_NONE },
		{ "bad@x", "anna@x", "", ERR_OK, REASON_NONE },
		{ "outage@x", "", "", ERR_TEMP, REASON_DIRECTORY },
		{ "many@x", "", "", ERR_DENIED, REASON_LIMIT },
		{ "broken@x", "", "", ERR_TEMP, REASON_DIRECTORY },
		{ "typo@x", "away@far,other@x,unknown@x", "", ERR_OK, REASON_NONE },
		{ "tagged@x", "anna+two@x,anna@x,bilal@x", "", ERR_OK, REASON_NONE },
		{ "whoever@caught", "anna@x", "", ERR_OK, REASON_NONE },
		{ "who+ever@caught", "anna@x", "", ERR_OK, REASON_NONE },
		{ "whoever@round", "", "", ERR_NOTFOUND, REASON_NONE },
		{ "mixed@x", "anna@x,bilal@x", "", ERR_OK, REASON_NONE },
		{ "whoever@broken", "", "", ERR_TEMP, REASON_DIRECTORY },
	};
	for (enum order order = FIRST_FIRST; order <= ANY; order++)
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct fake f;
			struct outcome o;
			struct buf got;
			fake_init(&f, rows_one, ARRAY_LEN(rows_one));
			f.order = order;
			struct backend *v[] = { &f.base };
			struct backends b = {
				.loop = the_loop, .settings = the_settings, .v = v, .n = 1
			};
			outcome_init(&o);
			buf_init(&got, 4096);
			run(&b, EXPAND_ALIAS, cases[i].key, "", &o);
			sorted(buf_str(&o.value), &got);
			if (o.err != cases[i].err ||
				!str_eq(buf_str(&got), str_of(cases[i].want)) ||
				!str_eq(buf_str(&o.owner), str_of(cases[i].owner)))
				fail_msg("%s: %s \"%.*s\" owner \"%.*s\"", cases[i].key,
					err_name(o.err), STR_FMT(buf_str(&got)),
					STR_FMT(buf_str(&o.owner)));
			if (!str_eq(str_of(cases[i].key), STR("whoever@round")))
				assert_int_equal(o.reason, cases[i].reason);
			assert_false(f.people_seen);
			buf_fini(&got);
			outcome_fini(&o);
			fake_fini(&f);
		}
}

/* ---- senders and posting ---- */

static const struct row rows_rights[] = {
	{ "s anna@x", "u:anna@x", NULL },
	{ "s shared@x", "u:bilal@x r:group", NULL },
	{ "r group", "u:anna@x f:external@y a:alias@x", NULL },
	{ "a alias@x", "u:carmen@x", NULL },
	{ "a anna@x", "u:anna@x", NULL },
	{ "a director@x", "u:anna@x", NULL },
	{ "s sql@x", "v:anna@x,bilal@x", NULL },
	{ "s none@x", "", NULL },
	{ "s broken@x", "u:anna@x r:down", NULL },
	{ "r down", "!temp", NULL },
	{ "p open@x", "", NULL },
	{ "p everyone@x", "E:", NULL },
	{ "p users@x", "U:", NULL },
	{ "p staff@x", "r:group a:partner@z", NULL },
	{ "p closed@x", "!denied", NULL },
	{ "p lost@x", "r:gone", NULL },
	{ "p broken@x", "r:group r:down", NULL },
	/* no group may say "everyone" of itself while it is followed */
	{ "p trick@x", "r:trick", NULL },
	{ "r trick", "E: U:", NULL },
};

static void
test_rights(void **state)
{
	(void)state;
	static const struct {
		enum expansion_kind kind;
		const char *key, *other, *want;
		enum err err;
	} cases[] = {
		{ EXPAND_SENDER, "anna@x", "", "anna@x", ERR_OK },
		{ EXPAND_SENDER, "anna+tag@x", "", "anna@x", ERR_OK },
		{ EXPAND_SENDER, "shared@x", "", "anna@x,bilal@x,carmen@x", ERR_OK },
		{ EXPAND_SENDER, "sql@x", "", "anna@x,bilal@x", ERR_OK },
		{ EXPAND_SENDER, "none@x", "", "", ERR_NOTFOUND },
		{ EXPAND_SENDER, "nobody@x", "", "", ERR_NOTFOUND },
		{ EXPAND_SENDER, "nobody@caught", "", "", ERR_NOTFOUND },
		{ EXPAND_SENDER, "broken@x", "", "", ERR_TEMP },
		{ EXPAND_POST, "open@x", "who@ever", "", ERR_OK },
		{ EXPAND_POST, "open@x", "", "", ERR_OK },
		{ EXPAND_POST, "everyone@x", "who@ever", "", ERR_OK },
		{ EXPAND_POST, "users@x", "anna@x", "", ERR_OK },
		{ EXPAND_POST, "users@x", "director+tag@x", "", ERR_OK },
		{ EXPAND_POST, "users@x", "who@ever", "", ERR_DENIED },
		{ EXPAND_POST, "users@x", "", "", ERR_DENIED },
		{ EXPAND_POST, "staff@x", "anna@x", "", ERR_OK },
		{ EXPAND_POST, "staff@x", "Director@x", "", ERR_OK },
		{ EXPAND_POST, "staff@x", "carmen@x", "", ERR_OK },
		{ EXPAND_POST, "staff@x", "partner@z", "", ERR_OK },
		{ EXPAND_POST, "staff@x", "external@y", "", ERR_OK },
		{ EXPAND_POST, "staff+x@x", "who@ever", "", ERR_DENIED },
		{ EXPAND_POST, "staff@x", "bilal@x", "", ERR_DENIED },
		{ EXPAND_POST, "staff@x", "<>", "", ERR_DENIED },
		{ EXPAND_POST, "closed@x", "anna@x", "", ERR_DENIED },
		{ EXPAND_POST, "lost@x", "anna@x", "", ERR_DENIED },
		{ EXPAND_POST, "broken@x", "anna@x", "", ERR_TEMP },
		{ EXPAND_POST, "trick@x", "anna@x", "", ERR_DENIED },
		{ EXPAND_POST, "nobody@x", "anna@x", "", ERR_NOTFOUND },
	};
	for (enum order order = FIRST_FIRST; order <= ANY; order++)
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct fake f;
			struct outcome o;
			struct buf got;
			fake_init(&f, rows_rights, ARRAY_LEN(rows_rights));
			f.order = order;
			struct backend *v[] = { &f.base };
			struct backends b = {
				.loop = the_loop, .settings = the_settings, .v = v, .n = 1
			};
			outcome_init(&o);
			buf_init(&got, 4096);
			run(&b, cases[i].kind, cases[i].key, cases[i].other, &o);
			sorted(buf_str(&o.value), &got);
			if (o.err != cases[i].err || !str_eq(buf_str(&got), str_of(cases[i].want)))
				fail_msg("%s by %s: %s \"%.*s\"", cases[i].key, cases[i].other,
					err_name(o.err), STR_FMT(buf_str(&got)));
			buf_fini(&got);
			outcome_fini(&o);
			fake_fini(&f);
		}
}

/* ---- several backends ---- */

static void
test_backends(void **state)
{
	(void)state;
	static const struct row first[] = { { "a list@x", "r:ref a:bilal@x a:carmen@y", NULL },
		{ "r ref", "u:anna@x", NULL }, { "a fails@y", "u:never@x", NULL } };
	static const struct row second[] = { { "a bilal@x", "u:bilal@x", NULL },
		{ "r ref", "u:wrong@x", NULL }, { "a carmen@y", "a:list@x u:carmen@y", NULL },
		{ "a list@x", "u:wrong@x", NULL }, { "a both@x", "!temp", NULL } };
	static const struct str domains[] = { { "x", 1 } };
	struct fake f, g;
	struct outcome o;
	struct buf got;
	fake_init(&f, first, ARRAY_LEN(first));
	fake_init(&g, second, ARRAY_LEN(second));
	f.base.domains = domains;
	f.base.domains_count = 1;
	struct backend *v[] = { &f.base, &g.base };
	struct backends b = { .loop = the_loop, .settings = the_settings, .v = v, .n = 2 };
	outcome_init(&o);
	buf_init(&got, 4096);
	run(&b, EXPAND_ALIAS, "list@x", "", &o);
	assert_int_equal(o.err, ERR_OK);
	sorted(buf_str(&o.value), &got);
	assert_true(str_eq(buf_str(&got), STR("anna@x,bilal@x,carmen@y")));
	/* the first is not asked about y, and the second's failure counts for what the first does
	 * not know */
	o.calls = 0;
	run(&b, EXPAND_ALIAS, "fails@y", "", &o);
	assert_int_equal(o.err, ERR_NOTFOUND);
	o.calls = 0;
	run(&b, EXPAND_ALIAS, "both@x", "", &o);
	assert_int_equal(o.err, ERR_TEMP);
	buf_fini(&got);
	outcome_fini(&o);
	fake_fini(&f);
	fake_fini(&g);
}

static void
test_no_backend(void **state)
{
	(void)state;
	struct backends b = { .loop = the_loop, .settings = the_settings };
	struct outcome o;
	outcome_init(&o);
	run(&b, EXPAND_ALIAS, "anna@x", "", &o);
	assert_int_equal(o.err, ERR_NOTFOUND);
	outcome_fini(&o);
}

/* ---- size and depth ---- */

static size_t
count_parts(struct str s)
{
	size_t n = s.n > 0;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == ',';
	return n;
}

/* Limits of the backend that knows the addresses; 0: none. */
static size_t big_results;
static unsigned big_depth;

static void
run_big(const char *key, unsigned big, enum err want, size_t parts, unsigned at_most_in_flight)
{
	struct fake f, stranger;
	struct outcome o;
	fake_init(&f, NULL, 0);
	f.big = big;
	f.order = LAST_FIRST;
	f.base.expansion_max = big_results;
	f.base.depth_max = big_depth;
	/* asked first, knows nothing: its limits are nobody's */
	fake_init(&stranger, NULL, 0);
	stranger.base.expansion_max = stranger.base.depth_max = 1;
	struct backend *v[] = { &stranger.base, &f.base };
	struct backends b = { .loop = the_loop, .settings = the_settings, .v = v, .n = 2 };
	outcome_init(&o);
	run(&b, EXPAND_ALIAS, key, "", &o);
	assert_int_equal(o.err, want);
	assert_int_equal(count_parts(buf_str(&o.value)), parts);
	if (want == ERR_DENIED)
		assert_int_equal(o.reason, REASON_LIMIT);
	assert_true(f.most_waiting <= at_most_in_flight);
	outcome_fini(&o);
	fake_fini(&stranger);
	fake_fini(&f);
}

static void
test_size(void **state)
{
	(void)state;
	run_big("big@x", 10000, ERR_OK, 10000, 1);
	run_big("refs@x", 10000, ERR_OK, 10000, 1024);
	big_results = 9999;
	run_big("big@x", 10000, ERR_DENIED, 0, 1);
	run_big("refs@x", 10000, ERR_DENIED, 0, 1024);
	run_big("refs@x", 9999, ERR_OK, 9999, 1024);
	run_big("commas@x", 1, ERR_OK, 2, 2);
	big_results = 60000;
	run_big("refs@x", 20000, ERR_OK, 20000, 1024);
	big_results = 0;
}

static void
test_depth(void **state)
{
	(void)state;
	run_big("chain50@x", 1, ERR_OK, 1, 1);
	run_big("chain51@x", 1, ERR_DENIED, 0, 1);
	run_big("chain5000@x", 1, ERR_DENIED, 0, 1);
	big_depth = 4;
	run_big("chain4@x", 1, ERR_OK, 1, 1);
	run_big("chain5@x", 1, ERR_DENIED, 0, 1);
	big_depth = 70;
	run_big("chain70@x", 1, ERR_OK, 1, 1);
	big_depth = 0;
}

/* ---- failures and cancellation at every question ---- */

static void
test_fails_anywhere(void **state)
{
	(void)state;
	for (unsigned at = 1;; at++) {
		struct fake f;
		struct outcome o;
		fake_init(&f, rows_one, ARRAY_LEN(rows_one));
		f.fail_at = at;
		f.order = ANY;
		struct backend *v[] = { &f.base };
		struct backends b = { .loop = the_loop, .settings = the_settings, .v = v, .n = 1 };
		outcome_init(&o);
		run(&b, EXPAND_ALIAS, "mixed@x", "", &o);
		bool whole = f.asked < at;
		assert_int_equal(o.err, whole ? ERR_OK : ERR_TEMP);
		assert_true(whole || o.value.n == 0);
		outcome_fini(&o);
		fake_fini(&f);
		if (whole)
			break;
		assert_true(at < 100);
	}
}

struct canceller {
	struct loop_task task;
	struct expansion *x;
	const struct fake *f;
	unsigned at;
	bool done;
};

static void
on_cancel_turn(struct loop_task *t)
{
	struct canceller *c = t->arg;
	if (c->f->asked >= c->at || c->f->waiting_count == 0) {
		expansion_cancel(c->x);
		c->done = true;
		loop_stop(the_loop);
		return;
	}
	loop_task_queue(&c->task);
}

static void
test_cancel_anywhere(void **state)
{
	(void)state;
	static const char *const keys[] = { "sales@x", "mixed@x", "whoever@caught", "red@x" };
	expansion_cancel(NULL);
	for (size_t k = 0; k < ARRAY_LEN(keys); k++)
		for (unsigned at = 1; at < 10; at++) {
			struct fake f;
			struct outcome o;
			fake_init(&f, rows_one, ARRAY_LEN(rows_one));
			struct backend *v[] = { &f.base };
			struct backends b = {
				.loop = the_loop, .settings = the_settings, .v = v, .n = 1
			};
			outcome_init(&o);
			struct canceller c = { .f = &f, .at = at };
			c.x = start(&b, EXPAND_ALIAS, keys[k], "", &o);
			loop_task_init(&c.task, the_loop, on_cancel_turn, &c);
			loop_task_queue(&c.task);
			loop_timer_start(&guard, 60000);
			loop_run(the_loop);
			loop_timer_stop(&guard);
			loop_task_cancel(&c.task);
			assert_true(c.done || o.calls == 1);
			assert_true(!c.done || o.calls == 0);
			assert_int_equal(b.refs, 0);
			outcome_fini(&o);
			fake_fini(&f);
		}
}

/* A failure while others are under way cancels them: nobody is called twice or later. */
static void
test_failure_cancels_the_rest(void **state)
{
	(void)state;
	static const struct row rows[] = { { "a l@x", "r:never1 r:never2 a:never@x r:down", NULL },
		{ "r never1", "!never", NULL }, { "r never2", "!never", NULL },
		{ "a never@x", "!never", NULL }, { "r down", "!temp", NULL } };
	struct fake f;
	struct outcome o;
	fake_init(&f, rows, ARRAY_LEN(rows));
	f.order = LAST_FIRST;
	struct backend *v[] = { &f.base };
	struct backends b = { .loop = the_loop, .settings = the_settings, .v = v, .n = 1 };
	outcome_init(&o);
	/* the one that fails is asked first and answered first */
	f.order = ANY;
	run(&b, EXPAND_ALIAS, "l@x", "", &o);
	assert_int_equal(o.err, ERR_TEMP);
	assert_int_equal(f.cancelled, 3);
	outcome_fini(&o);
	fake_fini(&f);
}

static void
test_trace(void **state)
{
	(void)state;
	struct fake f;
	struct outcome o;
	struct name n;
	fake_init(&f, rows_one, ARRAY_LEN(rows_one));
	struct backend *v[] = { &f.base };
	struct backends b = { .loop = the_loop, .settings = the_settings, .v = v, .n = 1 };
	struct auth_context c = { .trace = trace_new() };
	outcome_init(&o);
	assert_int_equal(name_parse(STR("sales@x"), STR_EMPTY, &n), ERR_OK);
	(void)expansion_start(&b, EXPAND_ALIAS, &n, STR_EMPTY, &c, on_expanded, &o);
	loop_run(the_loop);
	struct str text = trace_text(c.trace);
	assert_true(str_find(text, STR("sales@x: stands for entry bilal")) < text.n);
	assert_true(str_find(text, STR("bilal: stands for user bilal@x")) < text.n);
	assert_true(str_find(text, STR("gone: no such member")) < text.n);
	trace_free(c.trace);
	outcome_fini(&o);
	fake_fini(&f);
}

/* ---- aliases of the settings ---- */

static const struct row rows_aliases[] = {
	{ "d x", "", NULL },
	{ "d broken", "!temp", NULL },
	{ "a it@x", "u:ina@x", NULL },
	{ "a ina@x", "u:ina@x", NULL },
	{ "a press@x", "u:directory@x", NULL },
	{ "a root@far", "u:directory@x", NULL },
	{ "a many@x", "a:root@x u:anna@x", NULL },
};
static struct str to_root[] = { TEXT("it"), TEXT("Guard@Away") };
static struct str to_cron[] = { TEXT("root") };
static struct str to_press[] = { TEXT("agency@press.example") };
static struct str to_ping[] = { TEXT("pong") };
static struct str to_pong[] = { TEXT("ping@x") };
static struct settings_alias some_aliases[] = {
	{ TEXT("Root"), { to_root, 2 } },
	{ TEXT("cron"), { to_cron, 1 } },
	{ TEXT("press@X"), { to_press, 1 } },
	{ TEXT("ping"), { to_ping, 1 } },
	{ TEXT("pong"), { to_pong, 1 } },
};

static void
test_settings_aliases(void **state)
{
	(void)state;
	static const struct {
		const char *key, *want;
		enum err err;
	} cases[] = {
		{ "root@x", "Guard@Away,ina@x", ERR_OK },
		{ "ROOT@x", "Guard@Away,ina@x", ERR_OK },
		{ "root+disk@x", "Guard@Away,ina@x", ERR_OK },
		{ "cron@x", "Guard@Away,ina@x", ERR_OK },
		{ "many@x", "Guard@Away,anna@x,ina@x", ERR_OK },
		{ "press@x", "agency@press.example", ERR_OK }, /* before the directory */
		{ "press@y", "", ERR_NOTFOUND },
		{ "root@y", "", ERR_NOTFOUND },	       /* not ours */
		{ "root@far", "directory@x", ERR_OK }, /* … and known all the same */
		{ "root@broken", "", ERR_TEMP },       /* nobody can say */
		{ "ping@x", "", ERR_NOTFOUND },	       /* a circle */
		{ "it@x", "ina@x", ERR_OK },
	};
	for (enum order order = FIRST_FIRST; order <= ANY; order++)
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct fake f, g;
			struct outcome o;
			struct buf got;
			fake_init(&g, NULL, 0); /* knows nothing and is asked first */
			fake_init(&f, rows_aliases, ARRAY_LEN(rows_aliases));
			f.order = order;
			struct backend *v[] = { &g.base, &f.base };
			struct backends b = {
				.loop = the_loop, .settings = the_settings, .v = v, .n = 2
			};
			the_settings->aliases = some_aliases;
			the_settings->aliases_count = ARRAY_LEN(some_aliases);
			outcome_init(&o);
			buf_init(&got, 4096);
			run(&b, EXPAND_ALIAS, cases[i].key, "", &o);
			sorted(buf_str(&o.value), &got);
			if (o.err != cases[i].err || !str_eq(buf_str(&got), str_of(cases[i].want)))
				fail_msg("%s: %s \"%.*s\"", cases[i].key, err_name(o.err),
					STR_FMT(buf_str(&got)));
			the_settings->aliases_count = 0;
			the_settings->aliases = NULL;
			buf_fini(&got);
			outcome_fini(&o);
			fake_fini(&f);
			fake_fini(&g);
		}
}

static int
setup(void **state)
{
	(void)state;
	log_set_level(LVL_ERROR);
	the_loop = loop_new();
	the_settings = settings_defaults();
	the_settings->recipient_delimiter = STR("+");
	loop_timer_init(&guard, the_loop, on_guard, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	settings_free(the_settings);
	loop_free(the_loop);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_no_backend),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_fails_anywhere),
		cmocka_unit_test(test_cancel_anywhere),
		cmocka_unit_test(test_failure_cancels_the_rest),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_settings_aliases),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
