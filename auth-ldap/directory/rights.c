/* ASK_SENDER and ASK_POST of a directory section: who may send as an address, who may post to a
 * group. Called through section.c's table. Both answer with members, which front/expand.c follows
 * like those of a group, so that delegates and posters may be groups too.
 *
 * Invariant: what cannot be read or is not understood never lets anybody do more. */
#include "auth-ldap/directory/members_impl.h"
#include "core/base/log.h"

static void
not_understood(struct backend_request *r, const struct ldap_entry *e, struct str attribute,
	struct str value)
{
	log_event(LVL_WARN, "auth.rights", log_s("sid", r->sid), log_s("key", r->name.address),
		log_s("dn", e->dn), log_s("attribute", attribute), log_s("value", value),
		log_z("reason", "neither a DN nor an address: left out"));
}

/* ---- senders ---- */

static bool
members_may_send(const struct settings_directory *s, const struct ldap_entry *e)
{
	if (str_ieq(s->group_send_as, STR("yes")))
		return true;
	return !str_ieq(s->group_send_as, STR("no")) && entry_flag(e, s->group_send_as);
}

static void
take_sender(struct backend_request *r, const struct ldap_entry *e)
{
	const struct section *s = r->section;
	struct name user;
	bool group = entry_is_group(s, e);
	if (!group && entry_user(s, e, &user) == ERR_OK)
		members_add(r->members, MEMBER_USER, user.address);
	else if (group && members_may_send(s->s, e))
		members_add(r->members, MEMBER_REF, e->dn);
	else if (group)
		trace_addf(r->trace, "%.*s: its members may not send as it (group_send_as)",
			STR_FMT(e->dn));
	for (size_t i = 0; i < s->s->sender_attributes.n; i++) {
		struct str name = s->s->sender_attributes.v[i];
		const struct ldap_attr *a = ldap_entry_attr(e, name);
		for (size_t k = 0; a != NULL && k < a->count; k++)
			if (!members_add_any(r->members, a->values[k]))
				not_understood(r, e, name, a->values[k]);
	}
}

static void
done_sender(struct backend_request *r)
{
	if (r->members->n == 0)
		section_finish_error(r, ERR_NOTFOUND, REASON_UNKNOWN, STR_EMPTY);
	else
		members_finish(r);
}

void
section_sender(struct backend_request *r)
{
	const struct settings_directory *s = r->section->s;
	members_begin(r, take_sender, done_sender);
	members_search_pair(
		r, s->sender_filter.n > 0 ? s->sender_filter : s->mailbox_filter, s->alias_filter);
}

/* ---- posting ---- */

static void
add_owners(struct backend_request *r, const struct ldap_entry *e)
{
	const struct settings_directory *s = r->section->s;
	for (size_t i = 0; i < s->owner_attributes.n; i++) {
		const struct ldap_attr *a = ldap_entry_attr(e, s->owner_attributes.v[i]);
		for (size_t k = 0; a != NULL && k < a->count; k++)
			(void)members_add_any(r->members, a->values[k]);
	}
}

static bool
add_word(struct backend_request *r, const struct ldap_entry *e, struct str word)
{
	struct members_state *m = r->members;
	if (str_ieq(word, STR("everyone")))
		members_add(m, MEMBER_EVERYONE, STR_EMPTY);
	else if (str_ieq(word, STR("users")))
		members_add(m, MEMBER_EVERY_USER, STR_EMPTY);
	else if (str_ieq(word, STR("members")))
		members_add(m, MEMBER_REF, e->dn);
	else if (str_ieq(word, STR("owner")))
		add_owners(r, e);
	else
		return str_ieq(word, STR("nobody"));
	return true;
}

static void
take_post(struct backend_request *r, const struct ldap_entry *e)
{
	const struct settings_directory *s = r->section->s;
	bool listed = false;
	for (size_t i = 0; i < s->post_attributes.n; i++) {
		struct str name = s->post_attributes.v[i];
		const struct ldap_attr *a = ldap_entry_attr(e, name);
		for (size_t k = 0; a != NULL && k < a->count; k++) {
			listed = true;
			if (!add_word(r, e, str_trim(a->values[k])) &&
				!members_add_any(r->members, a->values[k]))
				not_understood(r, e, name, a->values[k]);
		}
	}
	if (!listed && entry_flag(e, s->post_users_attribute)) {
		listed = true;
		members_add(r->members, MEMBER_EVERY_USER, STR_EMPTY);
	}
	r->members->restricted = r->members->restricted || listed;
	trace_addf(r->trace, "%.*s: %s", STR_FMT(e->dn),
		listed ? "only some may post" : "everyone may post");
}

static void
done_post(struct backend_request *r)
{
	struct members_state *m = r->members;
	if (m->entries > 0 && !m->restricted)
		members_add(m, MEMBER_EVERYONE, STR_EMPTY);
	if (m->entries > 0 && m->n == 0)
		section_finish_error(
			r, ERR_DENIED, REASON_AUTHZ, STR("nobody may post to this group"));
	else
		members_finish(r);
}

void
section_post(struct backend_request *r)
{
	members_begin(r, take_post, done_post);
	members_search_pair(r, STR_EMPTY, r->section->s->alias_filter);
}
