/* auth-ldap/front: who guesses, what a stranger could tell, and what an outage brings back. */
#include "front_case.h"

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
	/* Nor do spellings that a directory may take for the same help. */
	assert_int_equal(delay("\xef\xbc\xa1nna", "192.0.2.1"), 15000); /* a wide A */
	assert_int_equal(delay("\xc3\xa4nna", "192.0.2.1"), 15000);
	assert_int_equal(delay("anna\xc2\xa0", "192.0.2.1"), 15000);
	assert_int_equal(delay("an\xe2\x80\x8bna@example.org", "192.0.2.1"), 15000);
	assert_int_equal(delay("\xd0\xb0nna", "192.0.2.1"), 2000); /* a Cyrillic one is another */
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

/* An outage that lets users in is no time to try their passwords. */
static void
test_guesses_in_outage(void **state UNUSED)
{
	char password[32];
	settings->auth.outage_login = 86400000;
	ASSERT_OK(login("anna", "right"), "anna@example.org");
	now_ms += 120000;
	one.failing = ERR_TEMP;
	for (int i = 0; i < 60; i++) { /* a forgotten phone, and users who were not there lately */
		ASSERT_NO(login_from("anna", "old", "203.0.113.8"), ERR_TEMP, REASON_DIRECTORY);
		(void)snprintf(password, sizeof password, "guess%d", i);
		ASSERT_NO(login_from("boss", password, "203.0.113.8"), ERR_TEMP, REASON_DIRECTORY);
	}
	ASSERT_OK(login_from("anna", "right", "203.0.113.8"), "anna@example.org");
	for (int i = 0; i < 10; i++) {
		(void)snprintf(password, sizeof password, "guess%d", i);
		ASSERT_NO(login_from("anna", password, "203.0.113.9"), ERR_TEMP, REASON_DIRECTORY);
	}
	ASSERT_NO(login_from("anna", "right", "203.0.113.9"), ERR_DENIED, REASON_BLOCKED);
	ASSERT_OK(login_from("anna", "right", "192.0.2.1"), "anna@example.org");
	/* What was only a guess then is asked about now. */
	one.failing = ERR_OK;
	one.users[0].password = "guess3";
	ASSERT_OK(login_from("anna", "guess3", "192.0.2.2"), "anna@example.org");
	/* By default nobody comes in, so there is nothing to be guessed. */
	settings->auth.outage_login = 0;
	one.failing = ERR_TEMP;
	now_ms += 120000;
	for (int i = 20; i < 40; i++) {
		(void)snprintf(password, sizeof password, "guess%d", i);
		ASSERT_NO(login_from("anna", password, "203.0.113.7"), ERR_TEMP, REASON_DIRECTORY);
	}
	one.failing = ERR_OK;
	ASSERT_OK(login_from("anna", "guess3", "203.0.113.7"), "anna@example.org");
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
		TEST(test_guesses_in_outage),
		TEST(test_outage_disabled),
		TEST(test_proven_outage_ends),
		TEST(test_reload_in_flight),
		TEST(test_forget_names),
		TEST(test_names_count_once),
		TEST(test_failed_elsewhere),
		TEST(test_table_is_bounded),
	};
	log_setup("test", LVL_ERROR, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
