/* What one entry stands for: its members, the addresses that it forwards to, or itself. Called by
 * members.c for entries that were found by an address, a DN, a URL or a filter; asks nobody.
 *
 * Invariant: an entry that is a group never stands for its own address, or its mail would go round
 * and come back as unknown. */
#include "core/base/log.h"
#include "auth-ldap/directory/members_impl.h"

/* How much of a user's mail goes elsewhere. */
struct forwarding {
	struct backend_request *r;
	const struct ldap_entry *e;
	struct name user; /* no address: e is no user */
	size_t count;
	bool keep; /* own address among the targets */
};

static bool
is_true(struct str v)
{
	return str_ieq(v, STR("true")) || str_ieq(v, STR("yes")) || str_ieq(v, STR("on")) ||
	       str_eq(v, STR("1"));
}

bool
entry_flag(const struct ldap_entry *e, struct str attribute)
{
	const struct ldap_attr *a = attribute.n > 0 ? ldap_entry_attr(e, attribute) : NULL;
	return a != NULL && a->count > 0 && is_true(a->values[0]);
}

bool
value_is_dn(struct str v)
{
	size_t equals = str_chr(v, '=');
	if (equals == 0 || equals == v.n || str_has_nul(v))
		return false;
	/* "a=b@example.org" is an address: nothing with a comma can be one */
	return str_chr(v, ',') < v.n || str_chr(v, '@') == v.n;
}

static bool
has_values(const struct ldap_entry *e, const struct str_list *names)
{
	for (size_t i = 0; i < names->n; i++) {
		const struct ldap_attr *a = ldap_entry_attr(e, names->v[i]);
		if (a != NULL && a->count > 0)
			return true;
	}
	return false;
}

bool
entry_is_group(const struct section *s, const struct ldap_entry *e)
{
	const struct ldap_attr *classes = ldap_entry_attr(e, STR("objectClass"));
	for (size_t i = 0; classes != NULL && i < classes->count; i++)
		for (size_t k = 0; k < s->s->group_classes.n; k++)
			if (str_ieq(classes->values[i], s->s->group_classes.v[k]))
				return true;
	return has_values(e, &s->s->member_attributes) || has_values(e, &s->s->url_attributes) ||
	       has_values(e, &s->s->member_name_attributes);
}

/* "dc2.example.org" of "dc2.example.org:25", "[2001:db8::1]:25" and "[dc2]". */
static struct str
host_without_port(struct str host)
{
	if (str_starts(host, STR("[")))
		return str_sub(host, 1, str_chr(host, ']') - 1);
	return str_sub(host, 0, str_chr(host, ':'));
}

bool
host_is_local(const struct section *s, struct str host)
{
	struct str bare = host_without_port(host);
	if (str_ieq(bare, s->settings->hostname) || str_ieq(bare, STR("localhost")))
		return true;
	for (size_t i = 0; i < s->s->local_hosts.n; i++)
		if (str_ieq(bare, s->s->local_hosts.v[i]))
			return true;
	return false;
}

/* ---- forwarding ---- */

static bool
is_own_address(const struct forwarding *f, const struct name *n)
{
	const struct section *s = f->r->section;
	if (f->user.address.n == 0)
		return false;
	if (str_eq(n->address, f->user.address))
		return true;
	for (size_t i = 0; i < s->s->alias_attributes.n; i++) {
		const struct ldap_attr *a = ldap_entry_attr(f->e, s->s->alias_attributes.v[i]);
		struct str v;
		for (size_t k = 0; a != NULL && k < a->count; k++)
			if (address_in_value(a->values[k], &v) && str_ieq(v, n->address))
				return true;
	}
	return false;
}

static void
forward_to(struct forwarding *f, struct str raw, enum member_kind kind)
{
	struct members_state *m = f->r->members;
	struct name n;
	struct str v;
	if (value_is_dn(raw)) {
		f->count++;
		members_add(m, MEMBER_REF, raw);
		return;
	}
	if (!address_in_value(raw, &v))
		return;
	if (name_parse(v, section_domain_default(f->r->section), &n) == ERR_OK &&
		is_own_address(f, &n)) {
		f->keep = true;
		return;
	}
	f->count++;
	members_add(m, kind, v);
}

static void
on_alias_result(void *arg, struct str value)
{
	forward_to(arg, value, MEMBER_ADDRESS);
}

static void
add_forwards(struct forwarding *f)
{
	const struct settings_directory *s = f->r->section->s;
	for (size_t i = 0; i < s->forward_attributes.n; i++) {
		const struct ldap_attr *a = ldap_entry_attr(f->e, s->forward_attributes.v[i]);
		for (size_t k = 0; a != NULL && k < a->count; k++)
			forward_to(f, a->values[k], MEMBER_ADDRESS);
	}
	for (size_t i = 0; i < s->alias_result.n; i++)
		(void)result_expand(s->alias_result.v[i], f->e, &f->r->name, on_alias_result, f);
	const struct ldap_attr *routing =
		s->routing_attribute.n > 0 ? ldap_entry_attr(f->e, s->routing_attribute) : NULL;
	if (routing == NULL || routing->count == 0)
		return;
	/* draft-lachman-laser-ldap-mail-routing: another host gets the rewritten address */
	const struct ldap_attr *host =
		s->mail_host_attribute.n > 0 ? ldap_entry_attr(f->e, s->mail_host_attribute) : NULL;
	bool remote =
		host != NULL && host->count > 0 && !host_is_local(f->r->section, host->values[0]);
	forward_to(f, routing->values[0], remote ? MEMBER_FINAL : MEMBER_ADDRESS);
}

/* What forward_keep_attribute says: a flag, or mailDeliveryOption's words. */
static void
delivery_options(const struct forwarding *f, bool *keep, bool *forward)
{
	struct str attribute = f->r->section->s->forward_keep_attribute;
	const struct ldap_attr *a = attribute.n > 0 ? ldap_entry_attr(f->e, attribute) : NULL;
	bool mailbox = false, forwards = false;
	for (size_t i = 0; a != NULL && i < a->count; i++) {
		if (str_ieq(a->values[i], STR("mailbox")) || str_ieq(a->values[i], STR("native")))
			mailbox = true;
		else if (str_ieq(a->values[i], STR("forward")))
			forwards = true;
		else if (is_true(a->values[i]))
			*keep = true;
	}
	*keep = *keep || mailbox;
	*forward = forwards || !mailbox;
}

/* ---- the parts of a group ---- */

/* "dn#'0101'B" is the Name and Optional UID of uniqueMember (RFC 4517 3.3.21). */
static struct str
without_uid(struct str v)
{
	size_t at = str_rchr(v, '#');
	struct str uid = str_from(v, at);
	if (!str_starts(uid, STR("#'")) || !str_ends(uid, STR("'B")) || uid.n < 4)
		return v;
	for (size_t i = 2; i < uid.n - 2; i++)
		if (uid.p[i] != '0' && uid.p[i] != '1')
			return v;
	return str_sub(v, 0, at);
}

static void
add_member_dns(struct members_state *m, const struct ldap_attr *a)
{
	for (size_t k = 0; a != NULL && k < a->count; k++) {
		struct str dn = without_uid(a->values[k]);
		if (dn.n > 0 && !str_has_nul(dn))
			members_add(m, MEMBER_REF, dn);
	}
}

static void
add_member_url(struct backend_request *r, const struct ldap_entry *e, struct str v)
{
	v = str_trim(v);
	if (value_is_url(v)) {
		members_add(r->members, MEMBER_REF, v);
		return;
	}
	log_no_url(r, e->dn, v);
	members_fail(r->members, ERR_TEMP, REASON_ENTRY, STR("not an LDAP URL of members"));
}

static void
add_group(struct backend_request *r, const struct ldap_entry *e)
{
	const struct settings_directory *s = r->section->s;
	struct members_state *m = r->members;
	if (s->members_filter.n > 0)
		members_add_prefixed(m, MEMBER_REF, STR(REF_FILTER), e->dn);
	for (size_t i = 0; s->members_filter.n == 0 && i < s->member_attributes.n; i++)
		add_member_dns(m, ldap_entry_attr(e, s->member_attributes.v[i]));
	for (size_t i = 0; i < s->url_attributes.n; i++) {
		const struct ldap_attr *a = ldap_entry_attr(e, s->url_attributes.v[i]);
		for (size_t k = 0; a != NULL && k < a->count; k++)
			add_member_url(r, e, a->values[k]);
	}
	for (size_t i = 0; i < s->member_name_attributes.n; i++) {
		const struct ldap_attr *a = ldap_entry_attr(e, s->member_name_attributes.v[i]);
		for (size_t k = 0; a != NULL && k < a->count; k++)
			members_add_prefixed(m, MEMBER_REF, STR(REF_NAME), a->values[k]);
	}
}

/* ---- an entry that stands for itself ---- */

static void
on_final_result(void *arg, struct str value)
{
	struct backend_request *r = arg;
	struct str address;
	if (address_in_value(value, &address))
		members_add(r->members, MEMBER_FINAL, address);
}

static void
add_leaf(struct backend_request *r, const struct ldap_entry *e, const struct name *user)
{
	const struct settings_directory *s = r->section->s;
	size_t made = 0;
	for (size_t i = 0; !r->people && made == 0 && i < s->leaf_result.n; i++)
		made = result_expand(s->leaf_result.v[i], e, &r->name, on_final_result, r);
	if (made > 0)
		return;
	const struct ldap_attr *mail = ldap_entry_attr(e, s->mail_attribute);
	if (user->address.n > 0)
		members_add(r->members, MEMBER_USER, user->address);
	else if (mail != NULL && mail->count > 0)
		on_final_result(r, mail->values[0]);
	else
		log_event(LVL_WARN, "auth.alias", log_s("sid", r->sid),
			log_s("key", r->name.address), log_s("dn", e->dn),
			log_z("reason", "member without an address"));
}

void
entry_members(struct backend_request *r, const struct ldap_entry *e)
{
	const struct section *s = r->section;
	struct forwarding f = { .r = r, .e = e };
	size_t made = 0;
	for (size_t i = 0; !r->people && i < s->s->terminal_result.n; i++)
		made += result_expand(s->s->terminal_result.v[i], e, &r->name, on_final_result, r);
	if (made > 0) {
		trace_addf(r->trace, "%.*s: terminal result", STR_FMT(e->dn));
		return;
	}
	bool group = entry_is_group(s, e);
	if (group || entry_user(s, e, &f.user) != ERR_OK)
		f.user.address = STR_EMPTY;
	bool user = f.user.address.n > 0, keep = false, forward = true;
	size_t before = r->members->n;
	if (user && r->people) {
		add_leaf(r, e, &f.user);
		return;
	}
	if (group)
		add_group(r, e);
	delivery_options(&f, &keep, &forward);
	if (!user || forward)
		add_forwards(&f);
	if (user && f.count > 0 && (keep || f.keep))
		add_leaf(r, e, &f.user);
	else if (!group && f.count == 0)
		add_leaf(r, e, &f.user);
	trace_addf(r->trace, "%.*s: %s, %zu parts", STR_FMT(e->dn),
		group  ? "group"
		: user ? (f.count > 0 ? "user who forwards" : "user")
		       : "entry",
		r->members->n - before);
}
