/* What the entries of each directory product look like: the presets behind the setting schema of a
 * directory section. Used by settings_load for rows that the file does not set, and by the printing
 * of settings and manual.
 *
 * Invariant: the preset openldap is what table.h has as defaults; a row that is not named here, or
 * has NULL, is the same for that product. */
#include "config/rows.h"

#include "core/base/arena.h"
#include "core/base/xalloc.h"

enum preset { PRESET_OPENLDAP, PRESET_FREEIPA, PRESET_389DS, PRESET_AD, PRESET_COUNT };

static const char *const preset_names[PRESET_COUNT] = { "openldap", "freeipa", "389ds",
	"active-directory" };

#define AD_PERSON "(objectCategory=person)(objectClass=user)"
#define AD_MAIL	  "(mail=%{address})(proxyAddresses=smtp:%{address})"

static const struct {
	const char *name;
	const char *text[PRESET_COUNT];
} presets[] = {
	/* FreeIPA shows every user a second time below cn=compat. */
	{ "user_base", { NULL, "cn=users,cn=accounts,%{base}", NULL, NULL } },
	{ "group_base", { NULL, "cn=groups,cn=accounts,%{base}", NULL, NULL } },
	{ "domain_base", { NULL, "cn=Realm Domains,cn=ipa,cn=etc,%{base}", NULL, NULL } },
	{ "user_filter",
		{ NULL,
			"(&(objectClass=inetOrgPerson)(|(uid=%{user})(mail=%{user})"
			"(mailAlternateAddress=%{user})"
			"(krbPrincipalName=%{local}@%{domain|upper})))",
			"(&(objectClass=inetOrgPerson)(|(uid=%{user})(mail=%{user})"
			"(mailAlternateAddress=%{user})))",
			"(&" AD_PERSON "(|(sAMAccountName=%{user})(userPrincipalName=%{user})"
			"(mail=%{user})(proxyAddresses=smtp:%{user})))" } },
	{ "user_attribute_fallback", { NULL, NULL, NULL, "userPrincipalName" } },
	{ "home_attribute", { NULL, "", "", "" } },
	{ "alias_attributes", { NULL, "mail mailAlternateAddress", "mail mailAlternateAddress",
				      "mail proxyAddresses" } },
	{ "quota_attribute", { NULL, NULL, NULL, "" } },
	{ "mail_host_attribute", { NULL, NULL, NULL, "" } },
	{ "enabled_attribute", { NULL, "nsAccountLock", "nsAccountLock", "userAccountControl" } },
	{ "enabled_values", { NULL, "false", "false", "" } },
	{ "disabled_values", { NULL, "true", "true", "bit:2" } },
	{ "expiry_attribute", { NULL, "krbPrincipalExpiration", "", "accountExpires" } },
	{ "expiry_format", { NULL, "generalized-time", "auto", "filetime" } },
	/* Nothing in Active Directory lists mail domains: any address in them will do. */
	{ "domain_filter",
		{ NULL, NULL, NULL, "(|(mail=*@%{domain})(proxyAddresses=smtp:*@%{domain}))" } },
	{ "mailbox_filter", { NULL,
				    "(&(objectClass=inetOrgPerson)(|(mail=%{address})"
				    "(mailAlternateAddress=%{address})))",
				    "(&(objectClass=inetOrgPerson)(|(mail=%{address})"
				    "(mailAlternateAddress=%{address})))",
				    "(&" AD_PERSON "(|" AD_MAIL
				    "(&(!(mail=*))(userPrincipalName=%{address}))))" } },
	{ "alias_filter", { NULL,
				  "(&(|(objectClass=groupOfNames)(objectClass=mailGroup))"
				  "(|(mail=%{address})(mailAlternateAddress=%{address})))",
				  "(&(|(objectClass=mailGroup)(objectClass=groupOfNames)"
				  "(objectClass=groupOfUniqueNames))"
				  "(|(mail=%{address})(mailAlternateAddress=%{address})))",
				  "(&(objectClass=group)(|" AD_MAIL "))" } },
	{ "member_attributes", { NULL, "member", NULL, "member" } },
	{ "forward_attributes", { NULL, "mailForwardingAddress mgrpRFC822MailMember",
					"mailForwardingAddress mgrpRFC822MailMember "
					"rfc822MailMember",
					"altRecipient targetAddress" } },
	{ "forward_keep_attribute", { NULL, NULL, NULL, "deliverAndRedirect" } },
	{ "url_attributes", { NULL, "", "memberURL mgrpDeliverTo", "" } },
	{ "member_name_attributes", { NULL, "", NULL, "" } },
	{ "routing_attribute", { NULL, NULL, NULL, "" } },
	{ "sender_attributes", { NULL, "", "", "publicDelegates" } },
	{ "post_attributes", { NULL, "mgrpAllowedBroadcaster", "mgrpAllowedBroadcaster",
				     "authOrig dLMemSubmitPerms" } },
	{ "post_users_attribute", { NULL, NULL, NULL, "msExchRequireAuthToSendTo" } },
	{ "owner_attributes", { NULL, "owner", "mgrpErrorsTo owner", "managedBy" } },
};

static const struct setting_section *
directory_section(void)
{
	for (size_t i = 0; i < setting_sections_count; i++)
		if (str_eq(str_of(setting_sections[i].name), STR("directory")))
			return &setting_sections[i];
	return NULL;
}

static enum preset
preset_find(struct str name)
{
	enum preset p = PRESET_OPENLDAP;
	while (p < PRESET_COUNT && !str_eq(name, str_of(preset_names[p])))
		p++;
	return p;
}

static const char *
preset_text(const struct setting_row *row, enum preset p)
{
	for (size_t i = 0; i < ARRAY_LEN(presets); i++)
		if (str_eq(str_of(presets[i].name), str_of(row->name)))
			return presets[i].text[p];
	return NULL;
}

enum err
setting_preset(const struct settings *s, const struct setting_section *section, size_t instance,
	const struct setting_row *row, struct arena *a, void *field)
{
	enum preset p = PRESET_OPENLDAP;
	if (section == directory_section())
		p = preset_find(s->directories[instance].schema);
	if (p == PRESET_COUNT)
		return ERR_NOTFOUND;
	struct setting_row copy = *row;
	const char *text = p == PRESET_OPENLDAP ? NULL : preset_text(row, p);
	if (text != NULL)
		copy.text = text;
	setting_default(&copy, a, field);
	return ERR_OK;
}

static bool
in_file(const struct settings *s, const struct setting_section *section, size_t instance,
	const struct setting_row *row)
{
	for (const struct setting_source *src = s->sources; src != NULL; src = src->next)
		if (src->section == section && src->instance == instance && src->row == row)
			return true;
	return false;
}

void
settings_apply_presets(struct settings *s)
{
	const struct setting_section *section = directory_section();
	for (size_t i = 0; i < s->directories_count; i++)
		for (size_t r = 0; r < section->rows_count; r++) {
			const struct setting_row *row = &section->rows[r];
			char *field = (char *)&s->directories[i] + row->offset;
			/* An unknown preset is settings_cross_check's to refuse. */
			if (!in_file(s, section, i, row))
				(void)!setting_preset(s, section, i, row, s->memory, field);
		}
}

void
presets_manual(struct buf *out)
{
	buf_addz(out, ".Ss Presets\nWhat\n.Ic schema\n"
		      "of a directory section changes of the defaults above, which are those of\n"
		      ".Li openldap .\n");
	for (enum preset p = PRESET_OPENLDAP + 1; p < PRESET_COUNT; p++) {
		buf_addf(out, ".Pp\n.Li %s :\n.Bl -tag -width Ds -compact\n", preset_names[p]);
		for (size_t i = 0; i < ARRAY_LEN(presets); i++) {
			const char *text = presets[i].text[p];
			if (text == NULL)
				continue;
			buf_addf(out, ".It Ic %s\n", presets[i].name);
			manual_text(out, text[0] != '\0' ? text : "(empty)");
			buf_addc(out, '\n');
		}
		buf_addz(out, ".El\n");
	}
}
