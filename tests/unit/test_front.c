/* auth-ldap/front: the walk over backends, memory, outages, policies and masters, with
 * backends of the test's own and a clock that the test moves. */
#include "front_case.h"

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
move(struct fake *f, const char *who, struct str home)
{
	for (size_t i = 0; i < f->users_count; i++)
		if (has_word(f->users[i].names, str_of(who)))
			f->users[i].user.home = home;
}

static void
rename_user(struct fake *f, const char *who, const char *names)
{
	for (size_t i = 0; i < f->users_count; i++)
		if (has_word(f->users[i].names, str_of(who)))
			f->users[i].names = names;
}

/* Whose home it was is asked about anew before somebody is refused for it. */
static void
test_homes_pass_on(void **state UNUSED)
{
	const struct str old = STR("home-a"), other = STR("home-b");
	fake_add(&one, "ann ann@example.org", "a", "ann@example.org")->user.home = old;
	ASSERT_OK(login("ann", "a"), "ann@example.org");
	fake_add(&two, "ann.new ann.new@example.org", "n", "ann.new@example.org")->user.home = old;
	/* She is still there, or nobody can say. */
	unsigned by_name = one.asked[ASK_USER];
	ASSERT_NO(login("ann.new", "n"), ERR_TEMP, REASON_HOME);
	rename_user(&one, "ann", "ann-is-gone");
	one.no_addresses = true;
	ASSERT_NO(login("ann.new", "n"), ERR_TEMP, REASON_HOME);
	assert_int_equal(one.asked[ASK_USER], by_name);
	one.no_addresses = false;
	/* Gone, by every name: the password is asked about once. */
	unsigned before = two.asked[ASK_LOGIN];
	ASSERT_OK(login("ann.new", "n"), "ann.new@example.org");
	assert_int_equal(two.asked[ASK_LOGIN], before + 1);
	assert_int_equal(one.asked[ASK_USER], by_name + 1);
	/* It is hers now, also against the old name. */
	rename_user(&one, "ann-is-gone", "ann ann@example.org");
	assert_true(front_forget(front, STR_EMPTY) > 0);
	ASSERT_NO(login("ann", "a"), ERR_TEMP, REASON_HOME);
	/* She moves, and later both at once, each into the home of the other. */
	move(&two, "ann.new", other);
	ASSERT_OK(login("ann", "a"), "ann@example.org");
	ASSERT_OK(user("ann.new", false, "imap"), "ann.new@example.org");
	move(&two, "ann.new", old);
	move(&one, "ann", other);
	assert_true(front_forget(front, STR_EMPTY) > 0);
	ASSERT_OK(login("ann", "a"), "ann@example.org");
	ASSERT_OK(login("ann.new", "n"), "ann.new@example.org");
	/* The old name is another name of the new one. */
	rename_user(&one, "ann", "ann-is-gone");
	rename_user(&two, "ann.new", "ann.new ann.new@example.org ann@example.org");
	move(&two, "ann.new", other);
	assert_true(front_forget(front, STR_EMPTY) > 0);
	ASSERT_OK(login("ann.new", "n"), "ann.new@example.org");
}

/* What lies in a home is its owner's, too, in whatever order they come. */
static void
test_homes_inside_each_other(void **state UNUSED)
{
	static const struct {
		const char *user, *home;
		bool good;
	} table[] = {
		{ "ann", "/m/o/ann", true },
		{ "ben", "/m/o/ann/ben", false },
		{ "ben", "/m/o/ann/x/y", false },
		{ "ben", "/m/o", false }, /* around ann's */
		{ "ben", "/m", false },
		{ "ben", "/m/o/annette", true }, /* no part of ann's */
		{ "cleo", "/m/o", false },
		{ "ann", "/m/o/ann/new", true }, /* her own moved */
		{ "ann", "/m/o/ann", true },
		{ "ann", "/m/o", false }, /* ben's is in there */
		{ "dora", "/m/p/dora/home", true },
		{ "dora", "/m/p/dora", true },
		{ "emil", "/m/p/dora/other", false },
		{ "emil", "/m/p/dora", false },
		{ "emil", "/m/p/emil", true },
		{ "ann", "/m/o/ann", true },
	};
	struct homes h;
	homes_init(&h);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (homes_claim(&h, str_of(table[i].home), str_of(table[i].user)) != table[i].good)
			fail_msg("row %zu: %s", i, table[i].home);
	assert_true(str_eq(homes_in_the_way(&h, STR("/m/o/ann/ben"), STR("ben")), STR("ann")));
	assert_true(str_eq(homes_in_the_way(&h, STR("/m/o"), STR("ann")), STR("ben")));
	assert_true(str_eq(homes_in_the_way(&h, STR("/m/o/ann"), STR("ann")), STR_EMPTY));
	/* only what ben was seen with is free, and what lies around it for who is there alone */
	homes_forget(&h, STR("ben"));
	assert_false(homes_claim(&h, STR("/m/o"), STR("ben")));
	assert_true(homes_claim(&h, STR("/m/o"), STR("ann")));
	assert_false(homes_claim(&h, STR("/m/o/annette"), STR("ben")));
	assert_false(homes_claim(&h, STR("/m/p/dora/x"), STR("ann")));
	homes_forget(&h, STR("ann"));
	homes_forget(&h, STR("dora"));
	homes_forget(&h, STR("emil"));
	assert_int_equal(h.paths.n, 0);
	assert_int_equal(h.owners.n, 0);
	homes_fini(&h);
}

/* The linker puts these in front of the map's own: looks into it. */
static size_t looks;

struct hmap_node *
__real_hmap_get(const struct hmap *m, struct str key);
struct hmap_node *
__wrap_hmap_get(const struct hmap *m, struct str key);
struct hmap_node *
__wrap_hmap_get(const struct hmap *m, struct str key)
{
	looks++;
	return __real_hmap_get(m, key);
}

struct hmap_node *
__real_hmap_next(const struct hmap *m, const struct hmap_node *after);
struct hmap_node *
__wrap_hmap_next(const struct hmap *m, const struct hmap_node *after);
struct hmap_node *
__wrap_hmap_next(const struct hmap *m, const struct hmap_node *after)
{
	looks++;
	return __real_hmap_next(m, after);
}

/* A rename costs one home, whatever others there are. */
static void
test_homes_cost_nothing_to_others(void **state UNUSED)
{
	enum { MANY = 20000, LOOKS_MAX = 40 };
	char path[40], name[20];
	struct homes h;
	homes_init(&h);
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(path, sizeof path, "/m/%d/u%d", i % 10, i);
		(void)snprintf(name, sizeof name, "u%d", i);
		assert_true(homes_claim(&h, str_of(path), str_of(name)));
	}
	looks = 0;
	assert_false(homes_claim(&h, STR("/m/5/u5555"), STR("new")));
	assert_true(str_eq(homes_in_the_way(&h, STR("/m/5/u5555"), STR("new")), STR("u5555")));
	homes_forget(&h, STR("u5555"));
	assert_true(homes_claim(&h, STR("/m/5/u5555"), STR("new")));
	assert_false(homes_claim(&h, STR("/m/5"), STR("new")));
	assert_true(homes_in_the_way(&h, STR("/m/5"), STR("new")).n > 0);
	assert_false(homes_claim(&h, STR("/m"), STR("u3")));
	assert_true(homes_in_the_way(&h, STR("/m"), STR("u3")).n > 0);
	assert_in_range(looks, 1, LOOKS_MAX);
	homes_fini(&h);
	assert_int_equal(h.paths.n, 0);
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

/* That an address stands for itself only is no "no" about it: mail to it goes on. */
static void
test_outage_itself(void **state UNUSED)
{
	ASSERT_NO(lookup(MAP_ALIAS, "anna@example.org"), ERR_NOTFOUND, REASON_NONE);
	ASSERT_NO(lookup(MAP_ALIAS, "x@example.org"), ERR_NOTFOUND, REASON_UNKNOWN);
	unsigned asked = one.asked[ASK_MEMBERS];
	now_ms += settings->auth.cache_negative_ttl;
	ASSERT_NO(lookup(MAP_ALIAS, "anna@example.org"), ERR_NOTFOUND, REASON_NONE);
	assert_int_equal(one.asked[ASK_MEMBERS], asked + 1);
	now_ms += settings->auth.cache_ttl;
	one.failing = ERR_TEMP;
	struct got g = lookup(MAP_ALIAS, "anna@example.org");
	ASSERT_NO(g, ERR_NOTFOUND, REASON_NONE);
	assert_string_equal(g.detail, "from memory, no backend answers");
	ASSERT_NO(lookup(MAP_ALIAS, "x@example.org"), ERR_TEMP, REASON_DIRECTORY);
	now_ms += settings->auth.outage_lookup;
	ASSERT_NO(lookup(MAP_ALIAS, "anna@example.org"), ERR_TEMP, REASON_DIRECTORY);
	/* nobody knows it any more: then no outage brings it back */
	one.failing = ERR_OK;
	ASSERT_NO(lookup(MAP_ALIAS, "anna@example.org"), ERR_NOTFOUND, REASON_NONE);
	now_ms += settings->auth.cache_negative_ttl;
	one.users[0].names = "gone";
	ASSERT_NO(lookup(MAP_ALIAS, "anna@example.org"), ERR_NOTFOUND, REASON_UNKNOWN);
	now_ms += settings->auth.cache_negative_ttl;
	one.failing = ERR_TEMP;
	ASSERT_NO(lookup(MAP_ALIAS, "anna@example.org"), ERR_TEMP, REASON_DIRECTORY);
}

/* Nor is that mail to it stays here; and a domain is no address. */
static void
test_outage_transport(void **state UNUSED)
{
	one.no_transport = true;
	ASSERT_NO(lookup(MAP_TRANSPORT, "anna+x@example.org"), ERR_NOTFOUND, REASON_NONE);
	ASSERT_NO(lookup(MAP_TRANSPORT, "x@example.org"), ERR_NOTFOUND, REASON_UNKNOWN);
	now_ms += settings->auth.cache_ttl;
	one.failing = ERR_TEMP;
	ASSERT_NO(lookup(MAP_TRANSPORT, "anna+x@example.org"), ERR_NOTFOUND, REASON_NONE);
	ASSERT_NO(lookup(MAP_TRANSPORT, "x@example.org"), ERR_TEMP, REASON_DIRECTORY);
	unsigned asked = one.asked[ASK_TRANSPORT];
	ASSERT_NO(lookup(MAP_TRANSPORT, "example.org"), ERR_NOTFOUND, REASON_NAME);
	ASSERT_NO(lookup(MAP_TRANSPORT, ".org"), ERR_NOTFOUND, REASON_NAME);
	assert_int_equal(one.asked[ASK_TRANSPORT], asked);
	one.no_transport = false;
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_domains),
		TEST(test_homes),
		TEST(test_homes_pass_on),
		TEST(test_homes_inside_each_other),
		TEST(test_homes_cost_nothing_to_others),
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
		TEST(test_outage_itself),
		TEST(test_outage_transport),
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
	};
	log_setup("test", LVL_ERROR, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
