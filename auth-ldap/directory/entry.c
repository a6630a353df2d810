/* From an entry to the record of a user: which attributes are read, and what they mean by the
 * settings. Called by users.c and members.c.
 *
 * Invariants: exactly one usable name; a home below mail_root; a policy value that is not
 * understood makes no user. */
#include <stdlib.h>

#include "auth-ldap/directory/attributes.h"
#include "auth-ldap/directory/section_impl.h"
#include "core/base/arena.h"
#include "core/base/cidr.h"
#include "core/base/xalloc.h"

enum { RECORD_MAX = 256 * 1024, WORDS_MAX = 1000, HOME_MAX = 4096 };

/* ---- which attributes ---- */

static void
want(struct section *s, struct str name)
{
	for (size_t i = 0; i < s->user_attrs_count; i++)
		if (str_ieq(s->user_attrs[i], name))
			return;
	if (name.n > 0)
		s->user_attrs[s->user_attrs_count++] = name;
}

static void
want_list(struct section *s, const struct str_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		want(s, list->v[i]);
}

void
section_user_attrs(struct section *s)
{
	const struct settings_directory *d = s->s;
	const struct str one[] = { d->user_attribute, d->user_attribute_fallback, d->home_attribute,
		d->display_name_attribute, d->quota_attribute, d->mail_host_attribute,
		d->enabled_attribute, d->expiry_attribute, d->services_attribute,
		d->networks_attribute };
	s->user_attrs = xcalloc(ARRAY_LEN(one) + d->alias_attributes.n + d->userdb_attributes.n,
		sizeof *s->user_attrs);
	for (size_t i = 0; i < ARRAY_LEN(one); i++)
		want(s, one[i]);
	want_list(s, &d->alias_attributes);
	for (size_t i = 0; i < d->userdb_attributes.n; i++) {
		struct str pair = d->userdb_attributes.v[i];
		want(s, str_from(pair, str_chr(pair, '=') + 1));
	}
}

/* ---- the name ---- */

bool
section_lists_domain(const struct section *s, struct str domain)
{
	for (size_t i = 0; i < s->s->domains.n; i++)
		if (str_ieq(s->s->domains.v[i], domain))
			return true;
	return false;
}

struct str
section_domain_default(const struct section *s)
{
	struct str domain = s->settings->auth.default_domain;
	if (s->s->domains.n > 0 && !section_lists_domain(s, domain))
		return s->s->domains.v[0];
	return domain;
}

static const struct ldap_attr *
attr_of(const struct ldap_entry *e, struct str name)
{
	const struct ldap_attr *a = e != NULL && name.n > 0 ? ldap_entry_attr(e, name) : NULL;
	return a != NULL && a->count > 0 ? a : NULL;
}

enum err
entry_user(const struct section *s, const struct ldap_entry *e, struct name *out)
{
	const struct ldap_attr *a = attr_of(e, s->s->user_attribute);
	if (a == NULL)
		a = attr_of(e, s->s->user_attribute_fallback);
	if (a == NULL)
		return ERR_NOTFOUND;
	if (a->count != 1 || name_parse(a->values[0], section_domain_default(s), out) != ERR_OK ||
		out->domain.n == 0)
		return ERR_DENIED;
	return ERR_OK;
}

/* ---- the record ---- */

struct making {
	const struct section *s;
	const struct ldap_entry *e;
	struct arena *arena;
	struct auth_user *u;
	struct buf *why;
};

static enum err
refuse(struct making *m, struct str attribute, const char *what, struct str value)
{
	buf_addf(m->why, "%.*s: %s: %.*s", STR_FMT(attribute), what, STR_FMT(value));
	return ERR_DENIED;
}

/* From the directory, or by mail_home. */
static enum err
make_home(struct making *m, const struct name *name, struct buf *out, bool *given_out)
{
	const struct settings *s = m->s->settings;
	struct str attribute = m->s->s->home_attribute;
	const struct ldap_attr *a = attr_of(m->e, attribute);
	*given_out = a != NULL;
	if (a != NULL) {
		if (a->count != 1)
			return refuse(m, attribute, "more than one value", STR_EMPTY);
		buf_add(out, a->values[0]);
	} else {
		const struct template_vars vars = { .name = name };
		buf_add(out, s->mail_root);
		buf_addc(out, '/');
		if (template_expand_vars(out, s->mail_home, &vars, TEMPLATE_PATH) != ERR_OK)
			return refuse(m, STR("mail_home"), "the name cannot stand in a path",
				name->address);
	}
	if (buf_check(out) != ERR_OK || !home_is_safe(buf_str(out), s->mail_root))
		return refuse(m, a != NULL ? attribute : STR("mail_home"),
			"not a clean path below mail_root", buf_str(out));
	m->u->home = buf_str(out);
	return ERR_OK;
}

static struct str
first_value(struct making *m, struct str attribute)
{
	const struct ldap_attr *a = attr_of(m->e, attribute);
	return a != NULL ? a->values[0] : STR_EMPTY;
}

static enum err
make_enabled(struct making *m)
{
	const struct settings_directory *d = m->s->s;
	const struct ldap_attr *a = attr_of(m->e, d->enabled_attribute);
	if (a == NULL)
		return ERR_OK;
	if (enabled_parse(a->values, a->count, &d->enabled_values, &d->disabled_values,
		    &m->u->disabled) != ERR_OK)
		return refuse(m, d->enabled_attribute, "neither on nor off", a->values[0]);
	return ERR_OK;
}

/* Of several the earliest counts. */
static enum err
make_expiry(struct making *m)
{
	const struct settings_directory *d = m->s->s;
	const struct ldap_attr *a = attr_of(m->e, d->expiry_attribute);
	for (size_t i = 0; a != NULL && i < a->count; i++) {
		int64_t sec;
		if (expiry_parse(a->values[i], d->expiry_format, &sec) != ERR_OK)
			return refuse(m, d->expiry_attribute, "not a time", a->values[i]);
		if (sec > 0 && (m->u->expires_sec == 0 || sec < m->u->expires_sec))
			m->u->expires_sec = sec;
	}
	return ERR_OK;
}

static bool
network_ok(struct str word)
{
	struct cidr c;
	return cidr_parse(word, &c) == ERR_OK;
}

/* The words of all values of an attribute; every one must be ok. */
static enum err
make_words(struct making *m, struct str attribute, bool (*ok)(struct str), const struct str **v_out,
	size_t *count_out)
{
	const struct ldap_attr *a = attr_of(m->e, attribute);
	*v_out = NULL;
	*count_out = 0;
	if (a == NULL)
		return ERR_OK;
	struct str *v = arena_calloc(m->arena, WORDS_MAX, sizeof *v);
	size_t n = 0;
	for (size_t i = 0; v != NULL && i < a->count; i++) {
		struct str rest = a->values[i], word = word_take(&rest);
		for (; word.n > 0; word = word_take(&rest)) {
			if (!ok(word))
				return refuse(m, attribute, "not understood", word);
			if (n == WORDS_MAX || arena_str(m->arena, word, &v[n]) != ERR_OK)
				return refuse(m, attribute, "too many values", STR_EMPTY);
			n++;
		}
	}
	*v_out = v;
	*count_out = n;
	return v != NULL ? ERR_OK : ERR_DENIED;
}

static void
lower(const struct str *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *p = (char *)(uintptr_t)v[i].p; /* the arena's own copy */
		for (size_t k = 0; k < v[i].n; k++)
			p[k] = (char)ascii_lower((unsigned char)p[k]);
	}
}

static enum err
make_policy(struct making *m)
{
	const struct settings_directory *d = m->s->s;
	enum err e = make_enabled(m);
	if (e == ERR_OK)
		e = make_expiry(m);
	if (e == ERR_OK)
		e = make_words(m, d->services_attribute, service_ok, &m->u->services,
			&m->u->services_count);
	if (e == ERR_OK)
		e = make_words(m, d->networks_attribute, network_ok, &m->u->networks,
			&m->u->networks_count);
	if (e != ERR_OK)
		return e;
	lower(m->u->services, m->u->services_count);
	m->u->services_given = attr_of(m->e, d->services_attribute) != NULL;
	/* An attribute that names no network at all is no permission for all of them. */
	const struct ldap_attr *a = attr_of(m->e, d->networks_attribute);
	if (a != NULL && m->u->networks_count == 0)
		return refuse(m, d->networks_attribute, "names no network", a->values[0]);
	return ERR_OK;
}

/* Further addresses; what is none is left out. */
static void
make_aliases(struct making *m)
{
	const struct str_list *list = &m->s->s->alias_attributes;
	size_t n = 0, max = 0;
	struct name name;
	for (size_t i = 0; i < list->n; i++) {
		const struct ldap_attr *a = attr_of(m->e, list->v[i]);
		max += a != NULL ? a->count : 0;
	}
	max = max < WORDS_MAX ? max : WORDS_MAX;
	struct str *v = max > 0 ? arena_calloc(m->arena, max, sizeof *v) : NULL;
	for (size_t i = 0; v != NULL && i < list->n; i++) {
		const struct ldap_attr *a = attr_of(m->e, list->v[i]);
		for (size_t k = 0; a != NULL && k < a->count && n < max; k++) {
			struct str raw = address_value(a->values[k]);
			bool seen = name_parse(raw, STR_EMPTY, &name) != ERR_OK ||
				    name.domain.n == 0 || str_eq(name.address, m->u->user);
			for (size_t j = 0; j < n && !seen; j++)
				seen = str_eq(v[j], name.address);
			if (!seen && arena_str(m->arena, name.address, &v[n]) == ERR_OK)
				n++;
		}
	}
	m->u->aliases = v;
	m->u->aliases_count = v != NULL ? n : 0;
}

/* "key=value" tab separated, as the protocol of auth-userdb escapes it. */
static void
make_fields(struct making *m, struct buf *out)
{
	static const char special[] = "\1\t\r\n";
	static const char names[] = "1trn";
	const struct str_list *list = &m->s->s->userdb_attributes;
	for (size_t i = 0; i < list->n; i++) {
		struct str key, attribute;
		(void)str_cut(list->v[i], '=', &key, &attribute);
		const struct ldap_attr *a = attr_of(m->e, attribute);
		if (a == NULL || str_has_nul(a->values[0]))
			continue;
		buf_addf(out, "%s%.*s=", out->n > 0 ? "\t" : "", STR_FMT(key));
		for (size_t k = 0; k < a->values[0].n; k++) {
			char c = a->values[0].p[k];
			const char *at = c != '\0' ? strchr(special, c) : NULL;
			if (at != NULL)
				buf_addc(out, '\1');
			buf_addc(out, at != NULL ? names[at - special] : c);
		}
	}
	if (buf_check(out) == ERR_OK)
		m->u->fields = buf_str(out);
}

enum err
entry_to_user(const struct section *s, const struct ldap_entry *e, const struct name *name,
	struct str dn, struct auth_user **out, bool *home_given_out, enum auth_reason *reason_out,
	struct buf *why)
{
	struct name own;
	struct buf home, fields;
	struct auth_user u = { .source = dn, .backend = s->base.title };
	struct making m = { .s = s, .e = e, .u = &u, .why = why };
	*reason_out = REASON_ENTRY;
	if (name == NULL) {
		enum err named = entry_user(s, e, &own);
		if (named != ERR_OK) {
			buf_addf(why, "%.*s: %s", STR_FMT(s->s->user_attribute),
				named == ERR_NOTFOUND ? "missing" : "not exactly one usable name");
			return named;
		}
		name = &own;
	}
	u.user = name->address;
	m.arena = arena_new(RECORD_MAX);
	buf_init(&home, HOME_MAX);
	buf_init(&fields, RECORD_MAX);
	u.display_name = first_value(&m, s->s->display_name_attribute);
	u.quota = first_value(&m, s->s->quota_attribute);
	u.mail_host = first_value(&m, s->s->mail_host_attribute);
	make_aliases(&m);
	make_fields(&m, &fields);
	enum err err = make_policy(&m);
	if (err == ERR_OK && make_home(&m, name, &home, home_given_out) != ERR_OK) {
		*reason_out = REASON_HOME;
		err = ERR_DENIED;
		*out = auth_user_new(&u);
	}
	if (err == ERR_OK) {
		*reason_out = REASON_NONE;
		*out = auth_user_new(&u);
	}
	buf_fini(&home);
	buf_fini(&fields);
	arena_free(m.arena);
	return err;
}
