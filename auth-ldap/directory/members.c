/* ASK_MEMBERS and ASK_CATCHALL of a directory section: what an address, or a reference that an
 * earlier answer gave (a member's DN, an LDAP URL, a name, a group to be asked by members_filter),
 * stands for. Called through section.c's table; one step at a time, front/expand.c goes on.
 *
 * Invariant: an answer is whole or it is ERR_TEMP. */
#include "auth-ldap/directory/members_impl.h"

#include <stdlib.h>

#include "auth-ldap/ldap/srv.h"
#include "auth-ldap/ldap/url.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	ARENA_BYTES = 4 * 1024 * 1024,
	MEMBER_BYTES = 512,  /* of memory for one member of an answer */
	VALUE_BYTES = 16384, /* of one member's value */
};

/* ---- a request's part ---- */

void
members_begin(struct backend_request *r,
	void (*take)(struct backend_request *r, const struct ldap_entry *e),
	void (*done)(struct backend_request *r))
{
	struct section *s = r->section;
	struct members_state *m = xcalloc(1, sizeof *m);
	if (s->members == NULL)
		s->members = members_section_new(s->s);
	m->arena = arena_new(ARENA_BYTES + (size_t)s->s->expansion_max * MEMBER_BYTES);
	m->r = r;
	m->take = take;
	m->done = done;
	list_init(&m->probes);
	list_init(&m->wait);
	r->members = m;
}

void
members_state_free(struct members_state *m)
{
	if (m == NULL)
		return;
	batch_remove(m);
	while (!list_empty(&m->probes)) {
		struct probe *p = CONTAINER_OF(m->probes.next, struct probe, link);
		list_remove(&p->link);
		ldap_search_cancel(p->search);
	}
	arena_free(m->arena);
	free(m);
}

void
members_fail(struct members_state *m, enum err e, enum auth_reason reason, struct str detail)
{
	if (m->err != ERR_OK)
		return;
	m->err = e;
	m->reason = reason;
	if (arena_str(m->arena, detail, &m->detail) != ERR_OK)
		m->detail = STR_EMPTY;
}

/* Room for one more. */
static bool
grow(struct members_state *m)
{
	if (m->n < m->cap)
		return true;
	size_t cap = m->cap == 0 ? 8 : 2 * m->cap;
	struct auth_member *v = arena_calloc(m->arena, cap, sizeof *v);
	if (v == NULL)
		return false;
	if (m->n > 0)
		memcpy(v, m->v, m->n * sizeof *v);
	m->v = v;
	m->cap = cap;
	return true;
}

void
members_add(struct members_state *m, enum member_kind kind, struct str value)
{
	members_add_prefixed(m, kind, STR_EMPTY, value);
}

void
members_add_prefixed(
	struct members_state *m, enum member_kind kind, struct str prefix, struct str value)
{
	char *p = NULL;
	if (m->err != ERR_OK)
		return;
	if (value.n > VALUE_BYTES) {
		members_fail(m, ERR_TEMP, REASON_ENTRY, STR("a member's value is too long"));
		return;
	}
	if (grow(m))
		p = arena_alloc(m->arena, prefix.n + value.n + 1);
	if (p == NULL) {
		members_fail(m, ERR_DENIED, REASON_LIMIT, STR("stands for too many"));
		return;
	}
	if (prefix.n > 0)
		memcpy(p, prefix.p, prefix.n);
	if (value.n > 0)
		memcpy(p + prefix.n, value.p, value.n);
	m->v[m->n++] = (struct auth_member){ kind, str_n(p, prefix.n + value.n) };
}

void
log_no_url(const struct backend_request *r, struct str dn, struct str value)
{
	log_event(LVL_WARN, "auth.alias", log_s("sid", r->sid), log_s("key", r->name.address),
		log_s("dn", dn), log_s("member", value),
		log_z("reason", "not an LDAP URL of members"));
}

bool
value_is_url(struct str v)
{
	return str_istarts(v, STR("ldap://")) || str_istarts(v, STR("ldaps://")) ||
	       str_istarts(v, STR("ldapi://"));
}

bool
members_add_any(struct members_state *m, struct str value)
{
	struct name n;
	struct str address;
	value = str_trim(value);
	if (value_is_url(value) || value_is_dn(value)) {
		members_add(m, MEMBER_REF, value);
		return true;
	}
	if (!address_in_value(value, &address) || name_parse(address, STR_EMPTY, &n) != ERR_OK)
		return false;
	members_add(m, MEMBER_ADDRESS, address);
	return true;
}

void
members_finish(struct backend_request *r)
{
	const struct members_state *m = r->members;
	if (m->entries == 0) {
		section_finish_error(r, ERR_NOTFOUND, REASON_UNKNOWN, STR_EMPTY);
		return;
	}
	section_finish(r, &(struct auth_answer){ .err = ERR_OK,
				  .members = m->v,
				  .members_count = m->n,
				  .owner = m->owner,
				  .password_expires_sec = -1,
				  .grace_logins = -1 });
}

/* ---- searches ---- */

static void
take_owner(struct backend_request *r, const struct ldap_entry *e)
{
	const struct settings_directory *s = r->section->s;
	struct members_state *m = r->members;
	struct name user;
	struct str v = STR_EMPTY;
	const struct ldap_attr *mail = ldap_entry_attr(e, s->mail_attribute);
	if (entry_user(r->section, e, &user) == ERR_OK)
		v = user.address;
	else if (mail != NULL && mail->count > 0)
		v = mail->values[0];
	if (arena_str(m->arena, v, &m->owner) != ERR_OK)
		m->owner = STR_EMPTY;
}

static void
on_probe(void *arg, const struct ldap_op *op)
{
	struct probe *p = arg;
	struct backend_request *r = p->r;
	struct members_state *m = r->members;
	p->search = NULL;
	list_remove(&p->link);
	section_trace_search(r, op);
	r->section->members->single_ms = op->ms;
	if (op->err == ERR_LIMIT) {
		section_finish_error(r, ERR_DENIED, REASON_LIMIT, STR("too many entries match"));
		return;
	}
	if (op->err != ERR_OK && op->err != ERR_NOTFOUND) {
		section_finish_failed(r, op);
		return;
	}
	for (const struct ldap_entry *e = op->entries; e != NULL && m->err == ERR_OK; e = e->next) {
		if (p->owner) {
			take_owner(r, e);
			continue;
		}
		m->entries++;
		m->take(r, e);
	}
	if (m->err != ERR_OK)
		section_finish_error(r, m->err, m->reason, m->detail);
	else if (list_empty(&m->probes))
		m->done(r);
}

static struct probe *
probe_start(struct backend_request *r, struct str base, enum ldap_scope scope, struct str filter,
	int size_limit, bool many)
{
	struct members_section *ms = r->section->members;
	struct probe *p = arena_calloc(r->members->arena, 1, sizeof *p);
	if (p == NULL)
		return NULL;
	const struct ldap_query q = { .base = base,
		.filter = filter,
		.scope = scope,
		.attrs = ms->attrs,
		.attrs_count = ms->attrs_count,
		.size_limit = size_limit,
		.many = many };
	p->r = r;
	list_push_back(&r->members->probes, &p->link);
	ms->searches_count++;
	p->search = ldap_search(r->section->client, &q, on_probe, p);
	return p;
}

void
members_search(struct backend_request *r, struct str base, enum ldap_scope scope, struct str filter,
	int size_limit, bool many)
{
	if (probe_start(r, base, scope, filter, size_limit, many) == NULL)
		members_fail(r->members, ERR_TEMP, REASON_LIMIT, STR("too many searches"));
}

static enum ldap_scope
scope_of(const struct settings_directory *s)
{
	if (str_ieq(s->scope, STR("one")))
		return SCOPE_ONE;
	return str_ieq(s->scope, STR("base")) ? SCOPE_BASE : SCOPE_SUB;
}

/* The base and the filter of a search. ERR_DENIED: the name lacks what they are made of, so no
 * entry can be its. */
static enum err
search_expand(struct backend_request *r, struct str base, struct str filter,
	const struct template_vars *v, struct buf *base_out, struct buf *filter_out)
{
	struct template_vars vars = *v;
	enum err e = section_base(r->section, base, v, base_out);
	vars.base = buf_str(base_out);
	return e == ERR_OK ? template_expand_vars(filter_out, filter, &vars, TEMPLATE_FILTER) : e;
}

/* Answers are only given from the loop: what fails before a search ends as section.c's task. */
static void
fail_soon(struct backend_request *r, enum err e)
{
	if (e == ERR_DENIED)
		section_finish_soon(r, ERR_NOTFOUND, REASON_UNKNOWN,
			STR("the name lacks what the base is made of"));
	else
		section_finish_soon(
			r, ERR_TEMP, REASON_INTERNAL, STR("the filter or base is too long"));
}

static enum err
search_template(struct backend_request *r, struct str base, enum ldap_scope scope,
	struct str filter, const struct template_vars *v, int size_limit, bool many)
{
	struct buf b, f;
	buf_init(&b, BASE_MAX);
	buf_init(&f, FILTER_MAX);
	enum err e = search_expand(r, base, filter, v, &b, &f);
	if (e == ERR_OK)
		members_search(r, buf_str(&b), scope, buf_str(&f), size_limit, many);
	else if (e != ERR_DENIED)
		members_fail(r->members, ERR_TEMP, REASON_INTERNAL, STR("the filter is too long"));
	buf_fini(&b);
	buf_fini(&f);
	return e;
}

/* Behind the last search of a question; e: of one that was not sent. */
static void
searches_sent(struct backend_request *r, enum err e)
{
	if (list_empty(&r->members->probes))
		fail_soon(r, r->members->err != ERR_OK ? r->members->err : e);
}

static enum err
search_section(struct backend_request *r, struct str base, struct str filter)
{
	return search_template(
		r, base, scope_of(r->section->s), filter, &r->vars, ENTRIES_MAX, false);
}

void
members_search_pair(struct backend_request *r, struct str user_filter, struct str group_filter)
{
	const struct settings_directory *s = r->section->s;
	enum err e = ERR_DENIED; /* without a filter nobody is found */
	struct buf both;
	if (user_filter.n > 0 && group_filter.n > 0 && str_eq(s->user_base, s->group_base)) {
		buf_init(&both, FILTER_MAX);
		buf_addf(&both, "(|%.*s%.*s)", STR_FMT(user_filter), STR_FMT(group_filter));
		e = search_section(r, s->user_base, buf_str(&both));
		buf_fini(&both);
	} else {
		if (user_filter.n > 0)
			e = search_section(r, s->user_base, user_filter);
		if (group_filter.n > 0 && r->members->err == ERR_OK)
			e = search_section(r, s->group_base, group_filter);
	}
	searches_sent(r, e);
}

/* ---- what was asked ---- */

/* The owner of a group, in the same round as its members would be. */
static void
ask_owner(struct backend_request *r, const struct ldap_entry *e)
{
	const struct settings_directory *s = r->section->s;
	struct members_state *m = r->members;
	struct str address;
	for (size_t i = 0; m->owner.n == 0 && i < s->owner_attributes.n; i++) {
		const struct ldap_attr *a = ldap_entry_attr(e, s->owner_attributes.v[i]);
		if (a == NULL || a->count == 0)
			continue;
		if (value_is_dn(a->values[0])) {
			struct probe *p = probe_start(
				r, a->values[0], SCOPE_BASE, STR("(objectClass=*)"), 1, false);
			if (p != NULL)
				p->owner = true;
			return;
		}
		if (address_in_value(a->values[0], &address) &&
			arena_str(m->arena, address, &m->owner) != ERR_OK)
			m->owner = STR_EMPTY;
	}
}

static void
take_by_address(struct backend_request *r, const struct ldap_entry *e)
{
	entry_members(r, e);
	if (!r->people && entry_is_group(r->section, e))
		ask_owner(r, e);
}

static void
take_found(struct backend_request *r, const struct ldap_entry *e)
{
	/* The server has looked into it already. */
	if (r->members->by_filter && r->section->members->in_chain && entry_is_group(r->section, e))
		return;
	entry_members(r, e);
}

/* Nothing matched: a group without members, not an unknown one. */
static void
done_found(struct backend_request *r)
{
	r->members->entries++;
	members_finish(r);
}

static void
done_name(struct backend_request *r)
{
	if (r->members->entries > 1)
		section_finish_error(
			r, ERR_TEMP, REASON_AMBIGUOUS, STR("a member's name is several entries'"));
	else
		members_finish(r);
}

static bool
host_is_ours(const struct section *s, struct str host)
{
	for (size_t i = 0; i < s->s->uris.n; i++) {
		struct str uri = s->s->uris.v[i], bare;
		uri = str_from(uri, str_find(uri, STR("://")) + 3);
		uri = str_sub(uri, 0, str_chr(uri, '/'));
		(void)str_cut(uri, ':', &bare, &(struct str){ 0 });
		if (str_ieq(uri, host) || str_ieq(bare, host))
			return true;
	}
	if (s->s->srv_domain.n == 0)
		return false;
	/* whom DNS may name */
	const struct str_list *targets = &s->s->srv_targets;
	bool own = targets->n == 0;
	char *name = str_dup(str_sub(host, 0, str_chr(host, ':')));
	bool ours =
		ldap_srv_allowed(name, own ? &s->s->srv_domain : targets->v, own ? 1 : targets->n);
	free(name);
	return ours;
}

/* A dynamic group's. */
static void
ask_url(struct backend_request *r)
{
	const struct settings_directory *s = r->section->s;
	struct ldap_url u;
	members_begin(r, take_found, done_found);
	if (ldap_url_parse(str_trim(r->other), r->members->arena, &u) != ERR_OK) {
		log_no_url(r, STR_EMPTY, r->other);
		section_finish_soon(r, ERR_TEMP, REASON_ENTRY, STR("not an LDAP URL of members"));
		return;
	}
	if (u.host.n > 0 && !host_is_ours(r->section, u.host)) {
		section_finish_soon(r, ERR_TEMP, REASON_ENTRY, STR("a URL of another directory"));
		return;
	}
	struct buf b;
	enum err e = ERR_OK;
	buf_init(&b, BASE_MAX);
	if (u.dn.n > 0)
		buf_add(&b, u.dn);
	else
		e = section_base(r->section, STR_EMPTY, &r->vars, &b);
	if (e == ERR_OK)
		members_search(r, buf_str(&b), u.scope, u.filter, (int)s->expansion_max, true);
	buf_fini(&b);
	searches_sent(r, e);
}

static void
ask_members_filter(struct backend_request *r, struct str dn)
{
	const struct settings_directory *s = r->section->s;
	struct template_vars vars = r->vars;
	members_begin(r, take_found, done_found);
	r->members->by_filter = true;
	vars.dn = dn;
	searches_sent(r, search_template(r, STR_EMPTY, SCOPE_SUB, s->members_filter, &vars,
				 (int)s->expansion_max, true));
}

static void
ask_name(struct backend_request *r, struct str value)
{
	const struct settings_directory *s = r->section->s;
	struct name n;
	members_begin(r, take_found, done_name);
	if (name_parse(value, section_domain_default(r->section), &n) != ERR_OK) {
		section_finish_soon(r, ERR_NOTFOUND, REASON_NAME, value);
		return;
	}
	struct template_vars vars = r->vars;
	vars.name = &n;
	searches_sent(r, search_template(r, s->user_base, scope_of(s), s->member_name_filter, &vars,
				 MATCHES_SHOWN, false));
}

static void
ask_dn(struct backend_request *r)
{
	members_begin(r, take_found, members_finish);
	r->members->dn = r->other;
	batch_add(r);
}

void
section_members(struct backend_request *r)
{
	const struct settings_directory *s = r->section->s;
	if (r->kind == ASK_CATCHALL && s->catch_all_filter.n == 0) {
		section_finish_soon(r, ERR_NOTFOUND, REASON_UNKNOWN, STR_EMPTY);
	} else if (r->kind == ASK_CATCHALL) {
		members_begin(r, take_by_address, members_finish);
		members_search_pair(r, s->catch_all_filter,
			str_eq(s->user_base, s->group_base) ? STR_EMPTY : s->catch_all_filter);
	} else if (r->other.n == 0) {
		members_begin(r, take_by_address, members_finish);
		members_search_pair(r, s->mailbox_filter, s->alias_filter);
	} else if (value_is_url(r->other)) {
		ask_url(r);
	} else if (str_starts(r->other, STR(REF_FILTER))) {
		ask_members_filter(r, str_from(r->other, sizeof REF_FILTER - 1));
	} else if (str_starts(r->other, STR(REF_NAME))) {
		ask_name(r, str_from(r->other, sizeof REF_NAME - 1));
	} else {
		ask_dn(r);
	}
}
