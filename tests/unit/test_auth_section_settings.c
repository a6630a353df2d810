/* auth-ldap/directory: what settings and presets make of a section. */
#include "auth_section_case.h"

static void
test_settings_that_are_refused(void **state)
{
	struct world *w = *state;
	static const struct {
		size_t offset;
		const char *value, *want;
	} table[] = {
		{ offsetof(struct settings_directory, user_filter), "uid=%{user}", "user_filter" },
		{ offsetof(struct settings_directory, user_filter), "(uid=%{user", "user_filter" },
		{ offsetof(struct settings_directory, user_filter), "(uid=%{x})", "%{x}" },
		{ offsetof(struct settings_directory, user_filter), "(&(a=b)(c=d)", "user_filter" },
		{ offsetof(struct settings_directory, user_filter), "(a=b)(c=d)", "user_filter" },
		{ offsetof(struct settings_directory, user_filter), "(a=b))", "user_filter" },
		{ offsetof(struct settings_directory, user_filter), ")(", "user_filter" },
		{ offsetof(struct settings_directory, user_filter), "%{user}", "user_filter" },
		{ offsetof(struct settings_directory, user_filter), "(a=%{user|default:)}",
			"user_filter" },
		{ offsetof(struct settings_directory, user_base), "%{domain|dc|upper}", "upper" },
		{ offsetof(struct settings_directory, base), "ou=x,%{base}", "base" },
		{ offsetof(struct settings_directory, user_dn), "uid=%{password}", "password" },
		{ offsetof(struct settings_directory, certificate_filter), "x", "certificate" },
		{ offsetof(struct settings_directory, master_filter), "x", "master_filter" },
		{ offsetof(struct settings_directory, bind_dn), "", "bind_dn" },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct settings_directory d = *w->d;
		struct str value = str_of(table[i].value);
		struct buf err;
		memcpy((char *)&d + table[i].offset, &value, sizeof value);
		buf_init(&err, 1000);
		assert_int_equal(
			directory_backend_new(w->loop, w->settings, &d, &w->b, &err), ERR_SYNTAX);
		if (strstr(buf_z(&err), table[i].want) == NULL)
			fail_msg("%s", buf_z(&err));
		buf_fini(&err);
	}
	w->b = NULL;
}

/* Filters that were taken away: an answer all the same. */
static void
test_no_filters(void **state)
{
	static const enum ask_kind kinds[] = { ASK_LOGIN, ASK_USER, ASK_ADDRESS, ASK_SECRET,
		ASK_DOMAIN, ASK_MEMBERS, ASK_CATCHALL, ASK_SENDER, ASK_TRANSPORT, ASK_POST };
	struct world *w = *state;
	w->d->user_filter = w->d->mailbox_filter = w->d->alias_filter = STR_EMPTY;
	w->d->domain_filter = w->d->routing_attribute = STR_EMPTY;
	make(w);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		(void)ask(w, kinds[i], "anna@example.org");
		expect(w, ERR_NOTFOUND, REASON_UNKNOWN);
	}
}

/* A base that no name makes does not hide what lies below the other one. */
static void
test_bases_apart(void **state)
{
	static const struct fake_entry group[] = {
		{ "cn=staff,dc=x",
			{ { "objectClass", { "groupOfNames" } }, { "member", { "uid=a,dc=x" } } } },
		{ .dn = NULL },
	};
	struct world *w = *state;
	w->d->user_base = STR("o=%{netbios},%{base}");
	make(w);
	(void)ask(w, ASK_MEMBERS, "staff@example.org");
	fake_answer(ERR_OK, group);
	expect(w, ERR_OK, REASON_NONE);
}

/* The whole way from one word in the file to the questions at the directory. */
static void
test_presets(void **state)
{
	static const struct {
		const char *lines, *base, *login, *address, *attrs;
	} table[] = {
		{ "schema = freeipa", "cn=users,cn=accounts,dc=example,dc=org",
			"(&(objectClass=inetOrgPerson)(|(uid=anna)(mail=anna)"
			"(mailAlternateAddress=anna)(krbPrincipalName=anna@EXAMPLE.ORG)))",
			"(&(objectClass=inetOrgPerson)(|(mail=anna@example.org)"
			"(mailAlternateAddress=anna@example.org)))",
			" mail displayName mailQuota mailHost nsAccountLock krbPrincipalExpiration "
			"mailAlternateAddress" },
		{ "schema = 389ds\nuser_base = 'ou=People,%{base}'", "ou=People,dc=example,dc=org",
			"(&(objectClass=inetOrgPerson)(|(uid=anna)(mail=anna)"
			"(mailAlternateAddress=anna)))",
			"(&(objectClass=inetOrgPerson)(|(mail=anna@example.org)"
			"(mailAlternateAddress=anna@example.org)))",
			" mail displayName mailQuota mailHost nsAccountLock mailAlternateAddress" },
		{ "schema = active-directory", "dc=example,dc=org",
			"(&(objectCategory=person)(objectClass=user)(|(sAMAccountName=anna)"
			"(userPrincipalName=anna)(mail=anna)(proxyAddresses=smtp:anna)))",
			"(&(objectCategory=person)(objectClass=user)(|(mail=anna@example.org)"
			"(proxyAddresses=smtp:anna@example.org)"
			"(&(!(mail=*))(userPrincipalName=anna@example.org))))",
			" mail userPrincipalName displayName userAccountControl accountExpires "
			"proxyAddresses" },
		{ "user_filter = '(uid=%{user})'\nschema = active-directory\n"
		  "expiry_attribute = ''\nenabled_attribute = 'status'",
			"dc=example,dc=org", "(uid=anna)", NULL,
			" mail userPrincipalName displayName status proxyAddresses" },
	};
	struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		w->d->bind_password = STR_EMPTY;
		load(w, table[i].lines);
		make(w);
		(void)ask(w, ASK_USER, "anna");
		expect_search(table[i].base, SCOPE_SUB, table[i].login);
		for (struct str want = str_of(table[i].attrs), word = word_take(&want); word.n > 0;
			word = word_take(&want))
			if (str_find(buf_str(&asked->attrs), word) == asked->attrs.n)
				fail_msg(
					"%.*s is not read:%s", STR_FMT(word), buf_z(&asked->attrs));
		fake_answer(ERR_OK, nobody);
		(void)ask(w, ASK_ADDRESS, "anna@example.org");
		if (table[i].address != NULL)
			expect_search(table[i].base, SCOPE_SUB, table[i].address);
		fake_answer(ERR_OK, nobody);
		w->b->ops->free(w->b);
	}
	w->b = NULL;
}

static void
test_active_directory_entries(void **state)
{
	static const struct {
		const char *control, *expires;
		bool disabled;
		int64_t expires_sec;
	} table[] = {
		{ "512", "0", false, 0 },
		{ "512", "9223372036854775807", false, 0 },
		{ "514", "0", true, 0 },
		{ "66048", "132857856000000000", false, 1641312000 },
	};
	struct world *w = *state;
	w->d->bind_password = STR_EMPTY;
	load(w, "schema = active-directory");
	make(w);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct fake_entry e[] = {
			{ "CN=Anna,CN=Users,DC=example,DC=org",
				{ { "mail", { "Anna@example.org" } },
					{ "userPrincipalName", { "anna@corp.example" } },
					{ "proxyAddresses",
						{ "SMTP:anna@example.org", "smtp:a@example.com",
							"X500:/o=x" } },
					{ "userAccountControl", { table[i].control } },
					{ "accountExpires", { table[i].expires } } } },
			{ .dn = NULL },
		};
		(void)ask(w, ASK_USER, "anna");
		fake_answer(ERR_OK, e);
		fake_answer(ERR_OK, e); /* nobody else has the name */
		expect(w, ERR_OK, REASON_NONE);
		assert_true(str_eq(w->user->user, STR("anna@example.org")));
		assert_int_equal(w->user->disabled, table[i].disabled);
		assert_int_equal(w->user->expires_sec, table[i].expires_sec);
		assert_int_equal(w->user->aliases_count, 1);
		assert_true(str_eq(w->user->aliases[0], STR("a@example.com")));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_settings_that_are_refused),
		T(test_no_filters),
		T(test_bases_apart),
		T(test_presets),
		T(test_active_directory_entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
