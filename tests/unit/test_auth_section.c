/* auth-ldap/directory: a directory section asked about users, against a directory played here. */
#include "auth_section_case.h"

static const struct fake_entry anna[] = {
	{ ANNA_DN, { { "mail", { "Anna@Example.org" } }, { "displayName", { "Anna Berg" } },
			   { "mailLocalAddress", { "a.berg@example.com", "not an address" } },
			   { "mailQuota", { "2G" } }, { "mailHost", { "mail2.example.org" } } } },
	{ .dn = NULL },
};

static void
test_login(void **state)
{
	struct world *w = *state;
	make(w);
	(void)ask(w, ASK_LOGIN, "anna");
	expect_search("dc=example,dc=org", SCOPE_SUB,
		"(&(objectClass=inetOrgPerson)(|(uid=anna)(mail=anna)(mailLocalAddress=anna)("
		"postroomAddress=anna)))");
	assert_string_equal(buf_z(&asked->attrs),
		" mail postroomHome displayName mailQuota mailHost pwdAccountLockedTime "
		"shadowExpire mailLocalAddress "
		"postroomAddress");
	fake_answer(ERR_OK, anna);
	expect_bind(ANNA_DN);
	asked->op.facts.expires_sec = 3600;
	asked->op.facts.grace = 2;
	fake_end(ERR_OK, NULL);
	expect_claim();
	fake_answer(ERR_OK, anna);
	expect(w, ERR_OK, REASON_NONE);
	assert_true(str_eq(w->user->user, STR("anna@example.org")));
	assert_true(str_eq(w->user->home, STR("/mail/example.org/anna")));
	assert_true(str_eq(w->user->source, STR(ANNA_DN)));
	assert_true(str_eq(w->user->backend, STR("main")));
	assert_true(str_eq(w->user->display_name, STR("Anna Berg")));
	assert_true(str_eq(w->user->quota, STR("2G")));
	assert_true(str_eq(w->user->mail_host, STR("mail2.example.org")));
	assert_int_equal(w->user->aliases_count, 1);
	assert_true(str_eq(w->user->aliases[0], STR("a.berg@example.com")));
	assert_false(w->user->disabled || w->user->services_given);
	assert_int_equal(w->user->expires_sec, 0);
	assert_int_equal(w->expires, 3600);
	assert_int_equal(w->grace, 2);
	assert_int_equal(questions, 3);
	/* by the whole name, which user_filter looks for: no further question */
	(void)ask(w, ASK_LOGIN, "anna@example.org");
	fake_answer(ERR_OK, anna);
	fake_end(ERR_OK, NULL);
	expect(w, ERR_OK, REASON_NONE);
	assert_int_equal(questions, 5);
}

static void
test_passwords_that_never_get_there(void **state)
{
	struct world *w = *state;
	make(w);
	(void)ask_more(w, ASK_LOGIN, "anna", "", NULL);
	expect(w, ERR_DENIED, REASON_EMPTY);
	const struct auth_question q = {
		.kind = ASK_LOGIN, .name = &w->name, .password = STR("\0x"), .context = &w->context
	};
	w->answers = 0;
	(void)w->b->ops->ask(w->b, &q, on_answer, w);
	settle(w);
	expect(w, ERR_DENIED, REASON_PASSWORD);
	assert_int_equal(questions, 0);
}

static void
test_names_that_match_none_or_several(void **state)
{
	static const struct fake_entry two[] = {
		{ ANNA_DN, { { "mail", { "anna@example.org" } } } },
		{ "uid=other,dc=x", { { "mail", { "other@example.org" } } } },
		{ .dn = NULL },
	};
	static const enum ask_kind kinds[] = { ASK_LOGIN, ASK_USER, ASK_ADDRESS, ASK_SECRET };
	struct world *w = *state;
	make(w);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		(void)ask(w, kinds[i], "anna@example.org");
		fake_answer(ERR_OK, nobody);
		expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
		(void)ask(w, kinds[i], "anna@example.org");
		fake_end(ERR_NOTFOUND, "no such base");
		expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
		(void)ask(w, kinds[i], "anna@example.org");
		fake_answer(i % 2 == 0 ? ERR_OK : ERR_LIMIT, two);
		expect(w, ERR_DENIED, REASON_AMBIGUOUS);
		assert_string_equal(w->detail, ANNA_DN " | uid=other,dc=x");
		(void)ask(w, kinds[i], "anna@example.org");
		fake_end(ERR_LIMIT, "size limit exceeded");
		expect(w, ERR_DENIED, REASON_AMBIGUOUS);
		(void)ask(w, kinds[i], "anna@example.org");
		asked->op.code = 32; /* of a base that the settings spell out */
		fake_end(ERR_TEMP, "no such object");
		expect(w, ERR_TEMP, REASON_DIRECTORY);
		(void)ask(w, kinds[i], "anna@example.org");
		fake_end(ERR_TEMP, "no server answers");
		expect(w, ERR_TEMP, REASON_DIRECTORY);
		assert_string_equal(w->detail, "no server answers");
	}
}

/* What a client may hear depends on whether the directory says it to a right password only. */
static void
test_reasons(void **state)
{
	static const struct {
		enum ldap_bind_reason said;
		bool right;
		enum auth_reason want;
		const char *code;
	} table[] = {
		{ LDAP_BIND_PASSWORD, false, REASON_PASSWORD, "" },
		{ LDAP_BIND_REFUSED, false, REASON_REFUSED, "" },
		{ LDAP_BIND_UNKNOWN, false, REASON_UNKNOWN, "" },
		{ LDAP_BIND_LOCKED, false, REASON_LOCKED, "" },
		{ LDAP_BIND_LOCKED, true, REASON_LOCKED, "" },
		{ LDAP_BIND_DISABLED, false, REASON_REFUSED, "" },
		{ LDAP_BIND_DISABLED, true, REASON_DISABLED, "CONTACTADMIN" },
		{ LDAP_BIND_ACCOUNT_EXPIRED, false, REASON_REFUSED, "" },
		{ LDAP_BIND_ACCOUNT_EXPIRED, true, REASON_ACCOUNT_EXPIRED, "CONTACTADMIN" },
		{ LDAP_BIND_PASSWORD_EXPIRED, false, REASON_REFUSED, "" },
		{ LDAP_BIND_PASSWORD_EXPIRED, true, REASON_PASSWORD_EXPIRED, "EXPIRED" },
		{ LDAP_BIND_MUST_CHANGE, false, REASON_REFUSED, "" },
		{ LDAP_BIND_MUST_CHANGE, true, REASON_MUST_CHANGE, "EXPIRED" },
		{ LDAP_BIND_HOURS, false, REASON_REFUSED, "" },
		{ LDAP_BIND_HOURS, true, REASON_HOURS, "AUTHORIZATIONFAILED" },
		{ LDAP_BIND_WORKSTATION, true, REASON_WORKSTATION, "AUTHORIZATIONFAILED" },
		{ LDAP_BIND_WORKSTATION, false, REASON_REFUSED, "" },
	};
	struct world *w = *state;
	make(w);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		(void)ask(w, ASK_LOGIN, "anna");
		fake_answer(ERR_OK, anna);
		asked->op.facts.reason = table[i].said;
		asked->op.facts.after_right_password = table[i].right;
		/* "must change" comes with a bind that succeeded, whose text is no reason */
		bool bound = table[i].said == LDAP_BIND_MUST_CHANGE;

		asked->op.code = bound ? 0 : 49;
		fake_end(bound ? ERR_OK : ERR_DENIED, bound ? "Success" : "says it");
		expect(w, ERR_DENIED, table[i].want);
		assert_string_equal(reason_code(w->reason), table[i].code);
		assert_true((strstr(w->detail, "says it") == NULL) == bound);
		assert_null(strstr(w->detail, "Success"));
		assert_true(str_eq(w->user->user, STR("anna@example.org")));
	}
	(void)ask(w, ASK_LOGIN, "anna");
	fake_answer(ERR_OK, anna);
	fake_end(ERR_TEMP, "no answer in time");
	expect(w, ERR_TEMP, REASON_DIRECTORY);
}

/* Bert's entry says that he is Anna: whatever he logs in by, he is not. */
static void
test_a_name_of_two(void **state)
{
	static const struct fake_entry bert[] = {
		{ "uid=bert,dc=x", { { "mail", { "anna@example.org" } } } },
		{ .dn = NULL },
	};
	static const struct fake_entry both[] = {
		{ "UID=bert,dc=x", { { "mail", { "anna@example.org" } } } },
		{ ANNA_DN, { { "mail", { "Anna@Example.org" } } } },
		{ .dn = NULL },
	};
	/* neither is a user of that name */
	static const struct fake_entry others[] = {
		{ "uid=bert,dc=x", { { "mail", { "anna@example.org" } } } },
		{ "cn=all,dc=x", { { "mail", { "anna@example.org" } },
					 { "objectClass", { "groupOfNames" } } } },
		{ "uid=carl,dc=x", { { "mail", { "carl@example.org" } } } },
		{ .dn = NULL },
	};
	static const enum ask_kind kinds[] = { ASK_LOGIN, ASK_USER, ASK_CERTIFICATE };
	struct world *w = *state;
	w->d->certificate_filter = STR("(uid=%{certificate_cn})");
	make(w);
	for (size_t i = 0; i < 6 * ARRAY_LEN(kinds); i++) {
		enum ask_kind kind = kinds[i / 6];
		if (kind == ASK_CERTIFICATE)
			(void)ask_more(w, kind, NULL, NULL, "CN=bert");
		else
			(void)ask(w, kind, i % 6 == 1 ? "anna" : "bert");
		fake_answer(ERR_OK, bert);
		if (kind == ASK_LOGIN)
			fake_end(ERR_OK, NULL);
		expect_claim();
		if (i % 6 < 2)
			fake_answer(ERR_OK, both);
		else if (i % 6 == 2)
			fake_answer(ERR_OK, anna);
		else if (i % 6 == 3)
			fake_end(ERR_LIMIT, NULL);
		else if (i % 6 == 4)
			fake_end(ERR_TEMP, "gone");
		else
			fake_answer(ERR_OK, others);
		if (i % 6 < 4)
			expect(w, ERR_DENIED, REASON_AMBIGUOUS);
		else if (i % 6 == 4)
			expect(w, ERR_TEMP, REASON_DIRECTORY);
		else
			expect(w, ERR_OK, REASON_NONE);
		if (i % 6 < 3 && strstr(w->detail, ANNA_DN) == NULL)
			fail_msg("%s", w->detail);
	}
	/* a whole name that user_filter does not look for */
	w->b->ops->free(w->b);
	w->d->user_filter = STR("(uid=%{local})");
	make(w);
	(void)ask(w, ASK_USER, "anna@example.org");
	fake_answer(ERR_OK, bert);
	fake_answer(ERR_OK, both);
	expect(w, ERR_DENIED, REASON_AMBIGUOUS);
}

/* One attribute of an otherwise good entry; a login and a mail address. */
static void
test_values_that_cannot_be_used(void **state)
{
	static const struct {
		struct fake_attr attr;
		enum err login, address;
		enum auth_reason reason;
	} table[] = {
		{ { "mail", { "a@example.org", "b@example.org" } }, ERR_DENIED, ERR_TEMP,
			REASON_ENTRY },
		{ { "mail", { "not a name" } }, ERR_DENIED, ERR_TEMP, REASON_ENTRY },
		{ { "mail", { "a/b@example.org" } }, ERR_DENIED, ERR_TEMP, REASON_ENTRY },
		{ { "cn", { "has no mail" } }, ERR_DENIED, ERR_TEMP, REASON_ENTRY },
		{ { "status", { "perhaps" } }, ERR_DENIED, ERR_TEMP, REASON_ENTRY },
		{ { "until", { "soon" } }, ERR_DENIED, ERR_TEMP, REASON_ENTRY },
		{ { "services", { "imap", "smtp?" } }, ERR_DENIED, ERR_TEMP, REASON_ENTRY },
		{ { "networks", { "192.0.2.0/24 everywhere" } }, ERR_DENIED, ERR_TEMP,
			REASON_ENTRY },
		{ { "networks", { "192.0.2.1/24" } }, ERR_DENIED, ERR_TEMP, REASON_ENTRY },
		{ { "networks", { " , " } }, ERR_DENIED, ERR_TEMP, REASON_ENTRY },
		{ { "postroomHome", { "/etc/x" } }, ERR_TEMP, ERR_TEMP, REASON_HOME },
		{ { "postroomHome", { "/mail/../etc" } }, ERR_TEMP, ERR_TEMP, REASON_HOME },
		{ { "postroomHome", { "/mail/a", "/mail/b" } }, ERR_TEMP, ERR_TEMP, REASON_HOME },
	};
	struct world *w = *state;
	struct str on[] = { STR("active") }, off[] = { STR("disabled") };
	w->d->enabled_attribute = STR("status");
	w->d->enabled_values = (struct str_list){ on, 1 };
	w->d->disabled_values = (struct str_list){ off, 1 };
	w->d->expiry_attribute = STR("until");
	w->d->expiry_format = STR("auto");
	w->d->services_attribute = STR("services");
	w->d->networks_attribute = STR("networks");
	make(w);
	for (size_t i = 0; i < 2 * ARRAY_LEN(table); i++) {
		struct fake_entry e[2] = { { .dn = ANNA_DN } };
		size_t at = i / 2, n = 0;
		bool login = i % 2 == 0;
		e[0].attrs[n++] = table[at].attr;
		if (strcmp(table[at].attr.name, "mail") != 0 &&
			strcmp(table[at].attr.name, "cn") != 0)
			e[0].attrs[n] = (struct fake_attr){ "mail", { "anna@example.org" } };
		(void)ask(w, login ? ASK_LOGIN : ASK_ADDRESS, "anna@example.org");
		fake_answer(ERR_OK, e);
		if (login && table[at].reason == REASON_HOME) {
			/* nothing that a wrong password would not hear of anybody */
			expect_bind(ANNA_DN);
			fake_end(ERR_DENIED, NULL);
			expect(w, ERR_DENIED, REASON_PASSWORD);
			assert_true(str_eq(w->user->user, STR("anna@example.org")));
			(void)ask(w, ASK_LOGIN, "anna@example.org");
			fake_answer(ERR_OK, e);
			fake_end(ERR_OK, NULL);
		}
		expect(w, login ? table[at].login : table[at].address, table[at].reason);
		assert_non_null(strstr(w->detail, ANNA_DN));
	}
}

static void
test_policy_is_handed_on(void **state)
{
	static const struct fake_entry e[] = {
		{ ANNA_DN, { { "mail", { "anna@example.org" } }, { "status", { "DISABLED" } },
				   { "until", { "20271231235959Z", "20261231235959Z" } },
				   { "services", { "IMAP, smtp", "!pop3" } },
				   { "networks", { "192.0.2.0/24", "2001:db8::/32 198.51.100.7" } },
				   { "uidNumber", { "1000" } }, { "cn", { "A\tB" } } } },
		{ .dn = NULL },
	};
	struct world *w = *state;
	struct str on[] = { STR("active") }, off[] = { STR("disabled") };
	struct str fields[] = { STR("uid=uidNumber"), STR("name=cn"), STR("gid=gidNumber") };
	w->d->enabled_attribute = STR("status");
	w->d->enabled_values = (struct str_list){ on, 1 };
	w->d->disabled_values = (struct str_list){ off, 1 };
	w->d->expiry_attribute = STR("until");
	w->d->expiry_format = STR("auto");
	w->d->services_attribute = STR("services");
	w->d->networks_attribute = STR("networks");
	w->d->userdb_attributes = (struct str_list){ fields, 3 };
	make(w);
	(void)ask(w, ASK_USER, "anna@example.org");
	fake_answer(ERR_OK, e);
	expect(w, ERR_OK, REASON_NONE);
	assert_true(w->user->disabled && w->user->services_given);
	assert_int_equal(w->user->expires_sec, 1798761599);
	assert_int_equal(w->user->services_count, 3);
	assert_true(str_eq(w->user->services[0], STR("imap")));
	assert_true(str_eq(w->user->services[1], STR("smtp")));
	assert_true(str_eq(w->user->services[2], STR("!pop3")));
	assert_int_equal(w->user->networks_count, 3);
	assert_true(str_eq(w->user->networks[2], STR("198.51.100.7")));
	assert_true(str_eq(w->user->fields, STR("uid=1000\tname=A\001tB")));
}

/* A home of the directory's is asked for again: it must be one entry's only. */
static void
test_homes(void **state)
{
	static const struct fake_entry e[] = {
		{ ANNA_DN, { { "mail", { "anna@example.org" } },
				   { "postroomHome", { "/mail/x(1)" } } } },
		{ .dn = NULL },
	};
	static const struct fake_entry two[] = { { .dn = ANNA_DN }, { .dn = "uid=b" },
		{ .dn = NULL } };
	struct world *w = *state;
	make(w);
	for (int i = 0; i < 4; i++) {
		(void)ask(w, ASK_LOGIN, "anna@example.org");
		fake_answer(ERR_OK, e);
		expect_bind(ANNA_DN);
		fake_end(ERR_OK, NULL);
		expect_search("dc=example,dc=org", SCOPE_SUB, "(postroomHome=/mail/x\\281\\29)");
		assert_int_equal(asked->size_limit, 2);
		if (i == 0) {
			fake_answer(ERR_OK, e);
			expect(w, ERR_OK, REASON_NONE);
			assert_true(str_eq(w->user->home, STR("/mail/x(1)")));
		} else if (i == 1) {
			fake_answer(ERR_OK, two);
			expect(w, ERR_TEMP, REASON_HOME);
		} else if (i == 2) {
			fake_answer(ERR_LIMIT, two);
			expect(w, ERR_TEMP, REASON_HOME);
		} else {
			fake_end(ERR_TEMP, "gone");
			expect(w, ERR_TEMP, REASON_DIRECTORY);
		}
	}
}

static void
test_template(void **state)
{
	struct world *w = *state;
	w->d->user_dn = STR("uid=%{local},ou=people,%{base}");
	w->d->user_dn_read = false;
	make(w);
	(void)ask(w, ASK_LOGIN, "anna");
	expect_bind(ANNA_DN);
	fake_end(ERR_OK, NULL);
	expect(w, ERR_OK, REASON_NONE);
	assert_true(str_eq(w->user->user, STR("anna@example.org")));
	assert_true(str_eq(w->user->home, STR("/mail/example.org/anna")));
	assert_int_equal(questions, 1); /* no search at all */
	/* nobody knows whether it was the name or the password: the next backend is asked */
	(void)ask(w, ASK_LOGIN, "anna");
	asked->op.facts.reason = LDAP_BIND_PASSWORD;
	fake_end(ERR_DENIED, NULL);
	expect(w, ERR_DENIED, REASON_PASSWORD);
	assert_null(w->user);
	assert_non_null(strstr(w->detail, ANNA_DN));
	(void)ask(w, ASK_LOGIN, "anna");
	asked->op.facts.reason = LDAP_BIND_DISABLED;
	fake_end(ERR_DENIED, NULL);
	expect(w, ERR_DENIED, REASON_REFUSED);
	assert_null(w->user);
	(void)ask(w, ASK_LOGIN, "anna");
	asked->op.facts.reason = LDAP_BIND_PASSWORD_EXPIRED;
	asked->op.facts.after_right_password = true;
	fake_end(ERR_DENIED, NULL);
	expect(w, ERR_DENIED, REASON_PASSWORD_EXPIRED);
	/* the directory does not vouch for another domain */
	questions = 0;
	(void)ask(w, ASK_LOGIN, "anna@example.com");
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
	(void)ask(w, ASK_LOGIN, "j\xc3\xbcrgen");
	expect(w, ERR_NOTFOUND, REASON_NAME);
	assert_int_equal(questions, 0);
}

static void
test_template_reads_the_entry(void **state)
{
	static const struct fake_entry off[] = {
		{ ANNA_DN, { { "mail", { "somebody.else@example.org" } }, { "mailQuota", { "1G" } },
				   { "pwdAccountLockedTime", { "000001010000Z" } } } },
		{ .dn = NULL },
	};
	static const struct fake_entry odd[] = { { ANNA_DN, { { "shadowExpire", { "x" } } } },
		{ .dn = NULL } };
	struct world *w = *state;
	w->d->user_dn = STR("uid=%{local},ou=people,dc=example,dc=org");
	make(w);
	for (int i = 0; i < 4; i++) {
		(void)ask(w, ASK_LOGIN, "anna");
		fake_end(ERR_OK, NULL);
		expect_search(ANNA_DN, SCOPE_BASE, "(objectClass=*)");
		if (i == 0) {
			fake_answer(ERR_OK, off);
			expect(w, ERR_OK, REASON_NONE);
			assert_true(str_eq(w->user->user, STR("anna@example.org")));
			assert_true(w->user->disabled);
			assert_true(str_eq(w->user->quota, STR("1G")));
		} else if (i == 1) {
			fake_answer(ERR_OK, odd);
			expect(w, ERR_DENIED, REASON_ENTRY);
		} else if (i == 2) {
			fake_answer(ERR_OK, nobody);
			expect(w, ERR_TEMP, REASON_ENTRY);
		} else {
			fake_end(ERR_TEMP, "gone");
			expect(w, ERR_TEMP, REASON_DIRECTORY);
		}
	}
}

static void
test_bases_and_scope(void **state)
{
	struct world *w = *state;
	w->d->base = STR("ou=mail,%{domain|dc}");
	w->d->user_base = STR("ou=people,%{base}");
	w->d->scope = STR("one");
	w->d->user_filter = STR("(&(uid=%{user})(s=%{service})(r=%{remote_ip})(l=%{local_ip}))");
	make(w);
	assert_true(w->b->by_service && w->b->by_remote_ip && w->b->by_local_ip);
	w->context.service = STR("im*p");
	w->context.remote_ip = STR("192.0.2.1");
	w->context.local_ip = STR("2001:db8::1");
	(void)ask(w, ASK_USER, "anna@sub.example.com");
	expect_search("ou=people,ou=mail,dc=sub,dc=example,dc=com", SCOPE_ONE,
		"(&(uid=anna@sub.example.com)(s=im\\2ap)(r=192.0.2.1)(l=2001:db8::1))");
	fake_answer(ERR_OK, nobody);
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
	(void)ask(w, ASK_USER, "anna@sub.example.com");
	asked->op.code = 32;
	fake_end(ERR_TEMP, "no such object");
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
	/* no domain, no base: nobody can be there */
	w->settings->auth.default_domain = STR_EMPTY;
	(void)ask(w, ASK_USER, "anna");
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
	(void)ask(w, ASK_LIST, NULL);
	expect(w, ERR_TEMP, REASON_INTERNAL);
}

static void
test_netbios_names(void **state)
{
	struct world *w = *state;
	w->d->netbios_domain = STR("EXAMPLE");
	w->d->user_filter = STR("(sAMAccountName=%{user})");
	make(w);
	(void)ask(w, ASK_LOGIN, "Example\\Anna");
	expect_search("dc=example,dc=org", SCOPE_SUB, "(sAMAccountName=anna)");
	fake_answer(ERR_OK, nobody);
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
	questions = 0;
	(void)ask(w, ASK_LOGIN, "other\\anna");
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
	assert_int_equal(questions, 0);
	assert_true(backend_takes(w->b, &w->name, false) == false);
}

static void
test_fallback_name(void **state)
{
	static const struct fake_entry e[] = {
		{ ANNA_DN, { { "userPrincipalName", { "anna@corp.example" } } } },
		{ .dn = NULL },
	};
	struct world *w = *state;
	w->d->user_attribute_fallback = STR("userPrincipalName");
	make(w);
	(void)ask(w, ASK_USER, "anna");
	fake_answer(ERR_OK, e);
	fake_answer(ERR_OK, e);
	expect(w, ERR_OK, REASON_NONE);
	assert_true(str_eq(w->user->user, STR("anna@corp.example")));
}

static void
test_certificates(void **state)
{
	struct world *w = *state;
	make(w);
	(void)ask_more(w, ASK_CERTIFICATE, NULL, NULL, "CN=anna");
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN); /* off */
	w->b->ops->free(w->b);
	w->d->certificate_filter = STR("(|(seeAlso=%{certificate})(uid=%{certificate_cn}))");
	make(w);
	(void)ask_more(w, ASK_CERTIFICATE, NULL, NULL, "CN=an*na,O=X");
	expect_search("dc=example,dc=org", SCOPE_SUB, "(|(seeAlso=CN=an\\2ana,O=X)(uid=an\\2ana))");
	fake_answer(ERR_OK, anna);
	expect_claim();
	fake_answer(ERR_OK, anna);
	expect(w, ERR_OK, REASON_NONE);
	assert_true(str_eq(w->user->user, STR("anna@example.org")));
	(void)ask_more(w, ASK_CERTIFICATE, NULL, NULL, "");
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
}

static void
test_secrets(void **state)
{
	static const struct fake_entry e[] = {
		{ ANNA_DN, { { "mail", { "anna@example.org" } },
				   { "authPassword",
					   { "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
					     "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
					     "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=" } } } },
		{ .dn = NULL },
	};
	struct world *w = *state;
	static const struct fake_entry homeless[] = {
		{ ANNA_DN, { { "mail", { "anna@example.org" } }, { "postroomHome", { "/etc" } } } },
		{ .dn = NULL },
	};
	static const struct fake_entry at_home[] = {
		{ ANNA_DN,
			{ { "mail", { "anna@example.org" } }, { "postroomHome", { "/mail/x" } } } },
		{ .dn = NULL },
	};
	struct str attrs[] = { STR("authPassword"), STR("userPassword") };
	make(w);
	(void)ask(w, ASK_SECRET, "anna");
	assert_null(strstr(buf_z(&asked->attrs), "assword")); /* off: never even read */
	fake_answer(ERR_OK, e);
	expect(w, ERR_OK, REASON_NONE);
	assert_false(w->secret);
	w->b->ops->free(w->b);
	w->d->secret_attributes = (struct str_list){ attrs, 2 };
	make(w);
	(void)ask(w, ASK_SECRET, "anna");
	assert_non_null(strstr(buf_z(&asked->attrs), " authPassword userPassword"));
	fake_answer(ERR_OK, e);
	expect(w, ERR_OK, REASON_NONE);
	assert_true(w->secret && str_eq(w->user->user, STR("anna@example.org")));
	(void)ask(w, ASK_SECRET, "anna");
	fake_answer(ERR_OK, anna);
	expect(w, ERR_OK, REASON_NONE);
	assert_false(w->secret);
	/* before the proof nobody is told of a home that is wrong, or another's */
	(void)ask(w, ASK_SECRET, "anna");
	fake_answer(ERR_OK, homeless);
	expect(w, ERR_OK, REASON_NONE);
	(void)ask(w, ASK_SECRET, "anna");
	fake_answer(ERR_OK, at_home);
	expect(w, ERR_OK, REASON_NONE);
	(void)ask(w, ASK_LOGIN, "anna");
	assert_null(strstr(buf_z(&asked->attrs), "assword"));
	fake_end(ERR_TEMP, "gone");
}

static void
test_masters(void **state)
{
	struct world *w = *state;
	make(w);
	(void)ask_more(w, ASK_MASTER, "bert@example.org", NULL, ANNA_DN);
	expect(w, ERR_DENIED, REASON_AUTHZ); /* off */
	w->b->ops->free(w->b);
	w->d->master_filter = STR("(&(memberOf=cn=masters)(!(uid=%{other})))");
	make(w);
	(void)ask_more(w, ASK_MASTER, "bert@example.org", NULL, ANNA_DN);
	expect_search(ANNA_DN, SCOPE_BASE, "(&(memberOf=cn=masters)(!(uid=bert@example.org)))");
	fake_answer(ERR_OK, anna);
	expect(w, ERR_OK, REASON_NONE);
	(void)ask_more(w, ASK_MASTER, "bert@example.org", NULL, ANNA_DN);
	fake_answer(ERR_OK, nobody);
	expect(w, ERR_DENIED, REASON_AUTHZ);
	(void)ask_more(w, ASK_MASTER, "bert@example.org", NULL, ANNA_DN);
	fake_end(ERR_TEMP, "gone");
	expect(w, ERR_TEMP, REASON_DIRECTORY);
	(void)ask_more(w, ASK_MASTER, "bert@example.org", NULL, "");
	expect(w, ERR_DENIED, REASON_AUTHZ);
}

static void
test_domains(void **state)
{
	struct world *w = *state;
	struct str domains[] = { STR("example.org") };
	w->d->domain_base = STR("ou=domains,%{base}");
	make(w);
	(void)ask(w, ASK_DOMAIN, "x@example.com");
	expect_search("ou=domains,dc=example,dc=org", SCOPE_SUB, "(associatedDomain=example.com)");
	assert_string_equal(buf_z(&asked->attrs), " 1.1");
	fake_answer(ERR_LIMIT, anna);
	expect(w, ERR_OK, REASON_NONE);
	assert_string_equal(w->value, "example.com");
	(void)ask(w, ASK_DOMAIN, "x@example.com");
	fake_answer(ERR_OK, nobody);
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
	(void)ask(w, ASK_DOMAIN, "x@example.com");
	fake_end(ERR_TEMP, "gone");
	expect(w, ERR_TEMP, REASON_DIRECTORY);
	w->b->ops->free(w->b);
	w->d->domains = (struct str_list){ domains, 1 };
	make(w);
	questions = 0;
	(void)ask(w, ASK_DOMAIN, "x@Example.org");
	expect(w, ERR_OK, REASON_NONE);
	assert_string_equal(w->value, "example.org");
	(void)ask(w, ASK_DOMAIN, "x@example.com");
	expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
	assert_int_equal(questions, 0);
}

static void
test_list(void **state)
{
	static const struct fake_entry some[] = {
		{ "uid=a", { { "mail", { "a@example.org" } } } },
		{ "uid=b", { { "mail", { "b1@example.org", "b2@example.org" } } } },
		{ "uid=c", { { "cn", { "no mail" } } } },
		{ "uid=d", { { "mail", { "d" } } } },
		{ .dn = NULL },
	};
	struct world *w = *state;
	make(w);
	(void)ask(w, ASK_LIST, NULL);
	expect_search("dc=example,dc=org", SCOPE_SUB,
		"(&(objectClass=inetOrgPerson)(|(uid=*)(mail=*)(mailLocalAddress=*)("
		"postroomAddress=*)))");
	fake_answer(ERR_OK, some);
	assert_int_equal(w->answers, 3);
	assert_int_equal(w->err, ERR_EOF);
	assert_string_equal(w->users, " a@example.org d@example.org");
	(void)ask(w, ASK_LIST, NULL);
	fake_answer(ERR_LIMIT, some);
	assert_int_equal(w->err, ERR_TEMP); /* a part is never the list */
	/* in pages */
	(void)ask(w, ASK_LIST, NULL);
	asked->op.more = true;
	fake_answer(ERR_OK, some);
	assert_int_equal(w->answers, 2);
	fake_answer(ERR_OK, some);
	assert_int_equal(w->answers, 5);
	assert_int_equal(w->err, ERR_EOF);
	assert_string_equal(w->users, " a@example.org d@example.org a@example.org d@example.org");
}

static struct backend_request *cancel_inside;
static unsigned calls_after;

static void
on_list_cancel(void *arg, const struct auth_answer *a UNUSED)
{
	struct world *w = arg;
	calls_after++;
	w->b->ops->cancel(cancel_inside);
}

static void
test_cancel(void **state)
{
	static const struct fake_entry some[] = {
		{ "uid=a", { { "mail", { "a@example.org" } } } },
		{ "uid=d", { { "mail", { "d@example.org" } } } },
		{ .dn = NULL },
	};
	struct world *w = *state;
	make(w);
	struct backend_request *r = ask(w, ASK_LOGIN, "anna");
	w->b->ops->cancel(r);
	assert_int_equal(cancelled_questions, 1);
	r = ask(w, ASK_LOGIN, "anna");
	fake_answer(ERR_OK, anna);
	expect_bind(ANNA_DN);
	w->b->ops->cancel(r);
	assert_int_equal(cancelled_questions, 2);
	assert_int_equal(w->answers, 0);
	/* one that would have answered from the loop */
	const struct auth_question q = {
		.kind = ASK_LOGIN, .name = &w->name, .context = &w->context
	};
	r = w->b->ops->ask(w->b, &q, on_answer, w);
	w->b->ops->cancel(r);
	settle(w);
	assert_int_equal(w->answers, 0);
	/* in the middle of a list */
	const struct auth_question all = { .kind = ASK_LIST, .context = &w->context };
	cancel_inside = w->b->ops->ask(w->b, &all, on_list_cancel, w);
	asked->op.more = true;
	fake_answer(ERR_OK, some);
	assert_int_equal(calls_after, 1);
	assert_true(fake_cancelled_inside);
}

static void
test_trace(void **state)
{
	struct world *w = *state;
	struct trace *t = trace_new();
	make(w);
	w->context.trace = t;
	(void)ask(w, ASK_LOGIN, "anna");
	fake_answer(ERR_OK, anna);
	(void)snprintf(asked->op.text, sizeof asked->op.text, "all fine");
	fake_end(ERR_OK, NULL);
	fake_answer(ERR_OK, anna);
	expect(w, ERR_OK, REASON_NONE);
	struct str text = trace_text(t);
	static const char *const want[] = { "ldap://fake", "base \"dc=example,dc=org\"",
		"scope sub", "(uid=anna)", ANNA_DN, "mailQuota=2G", "bind", "all fine",
		"anna@example.org" };
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		if (str_find(text, str_of(want[i])) == text.n)
			fail_msg("no \"%s\" in:\n%.*s", want[i], STR_FMT(text));
	assert_int_equal(str_find(text, STR("secret")), text.n);
	trace_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_login),
		T(test_passwords_that_never_get_there),
		T(test_names_that_match_none_or_several),
		T(test_reasons),
		T(test_values_that_cannot_be_used),
		T(test_policy_is_handed_on),
		T(test_homes),
		T(test_template),
		T(test_template_reads_the_entry),
		T(test_bases_and_scope),
		T(test_netbios_names),
		T(test_fallback_name),
		T(test_certificates),
		T(test_secrets),
		T(test_masters),
		T(test_domains),
		T(test_list),
		T(test_cancel),
		T(test_trace),
		T(test_a_name_of_two),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
