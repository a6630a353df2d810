/* `postroom check --online`: the directories' side of the settings; see probe.h. postroom-auth runs
 * it in its trial, as its own user and in its cage, so that what works here works there.
 *
 * Invariant: one question at a time, none of which reads more than one entry or changes anything.
 */
#include "auth-ldap/directory/probe.h"

#include <stdio.h>

#include "auth-ldap/ldap/options.h"
#include "auth-ldap/name/template.h"
#include "core/base/xalloc.h"

enum { FILTER_MAX = 64 * 1024, BASE_MAX = 16 * 1024, TEXT_MAX = 512 };

struct probe {
	struct loop *loop;
	const struct settings_directory *d;
	struct ldap_client *client;
	struct buf *out;
	bool bad;
	/* the last answer */
	enum err err;
	size_t entries;
	bool named; /* the entry has what names a user */
	int64_t ms;
	char text[TEXT_MAX], dn[TEXT_MAX];
};

static void
say(struct probe *p, const char *what, struct str value)
{
	buf_addf(p->out, "directory \"%.*s\": %s%s%.*s: ", STR_FMT(p->d->title), what,
		what[0] != '\0' ? " " : "", STR_FMT(value));
}

static void
complain(struct probe *p, const char *what, struct str value, const char *why)
{
	say(p, what, value);
	buf_addf(p->out, "%s\n", why);
	p->bad = true;
}

static bool
has(const struct ldap_entry *e, struct str attribute)
{
	const struct ldap_attr *a = attribute.n > 0 ? ldap_entry_attr(e, attribute) : NULL;
	return a != NULL && a->count > 0;
}

/* The server's words, for a terminal. */
static void
show(char out[TEXT_MAX], struct str s)
{
	struct buf b;
	buf_init(&b, 4 * TEXT_MAX);
	buf_add_shown(&b, str_sub(s, 0, TEXT_MAX - 1));
	(void)snprintf(out, TEXT_MAX, "%.*s", STR_FMT(buf_str(&b)));
	buf_fini(&b);
}

static void
on_answer(void *arg, const struct ldap_op *op)
{
	struct probe *p = arg;
	const struct ldap_entry *e = op->entries;
	p->err = op->err;
	p->entries = op->entries_count;
	p->ms = op->ms;
	p->named = e != NULL &&
		   (has(e, p->d->user_attribute) || has(e, p->d->user_attribute_fallback));
	show(p->text, str_of(op->text));
	show(p->dn, e != NULL ? e->dn : STR_EMPTY);
	loop_stop(p->loop);
}

static void
ask(struct probe *p, struct str base, enum ldap_scope scope, struct str filter)
{
	const struct str attrs[] = { p->d->user_attribute, p->d->user_attribute_fallback };
	const struct ldap_query q = { .base = base,
		.filter = filter,
		.scope = scope,
		.attrs = attrs,
		.attrs_count = ARRAY_LEN(attrs),
		.size_limit = 1 };
	(void)ldap_search(p->client, &q, on_answer, p);
	loop_run(p->loop);
}

/* ---- one server ---- */

/* The root DSE, which every server gives to everybody: what else it takes is the way there. */
static bool
probe_server(struct probe *p, struct str uri)
{
	ask(p, STR_EMPTY, SCOPE_BASE, STR("(objectClass=*)"));
	if (p->err != ERR_OK && p->err != ERR_NOTFOUND) {
		complain(p, "", uri, p->text);
		return false;
	}
	say(p, "", uri);
	buf_addf(p->out, "answers, %lld ms\n", (long long)p->ms);
	return true;
}

/* ---- bases and filters ---- */

static void
probe_base(struct probe *p, const char *name, struct str base)
{
	struct buf title;
	buf_init(&title, BASE_MAX);
	buf_addf(&title, "\"%.*s\"", STR_FMT(base));
	ask(p, base, SCOPE_BASE, STR("(objectClass=*)"));
	if (p->err == ERR_NOTFOUND) {
		complain(p, name, buf_str(&title),
			"is not there, or the service account may not see it");
	} else if (p->err != ERR_OK && p->err != ERR_LIMIT) {
		complain(p, name, buf_str(&title), p->text);
	} else {
		say(p, name, buf_str(&title));
		buf_addz(p->out, "is there\n");
	}
	buf_fini(&title);
}

static enum ldap_scope
scope_of(const struct settings_directory *d)
{
	if (str_eq(d->scope, STR("one")))
		return SCOPE_ONE;
	return str_eq(d->scope, STR("base")) ? SCOPE_BASE : SCOPE_SUB;
}

/* Does the filter find anything at all, whatever stands for its variables? users: who is found must
 * have a name. */
static void
probe_filter(struct probe *p, const char *name, struct str base, struct str filter, bool users)
{
	const struct template_vars none = { 0 };
	struct buf all;
	buf_init(&all, FILTER_MAX);
	if (filter.n == 0 || template_expand_vars(&all, filter, &none, TEMPLATE_ALL) != ERR_OK) {
		buf_fini(&all);
		return;
	}
	ask(p, base, scope_of(p->d), buf_str(&all));
	if (p->err != ERR_OK && p->err != ERR_LIMIT) {
		complain(p, name, buf_str(&all), p->text);
	} else if (p->entries == 0) {
		complain(p, name, buf_str(&all),
			"finds nothing there: not what this directory's entries have (schema?), or "
			"the service account may not read it");
	} else if (users && !p->named) {
		buf_addf(&all, ": finds %s, which has no", p->dn);
		complain(p, name, buf_str(&all), p->d->user_attribute.p);
	} else {
		say(p, name, buf_str(&all));
		buf_addf(p->out, "finds %s\n", p->dn);
	}
	buf_fini(&all);
}

/* kind: one of the section's bases; empty: base. False: it depends on who is asked about. */
static bool
base_of(const struct settings_directory *d, struct str kind, struct buf *out)
{
	struct template_vars v = { .base = d->base };
	if (template_varies(d->base) || template_varies(kind))
		return false;
	if (kind.n == 0)
		buf_add(out, d->base);
	else if (template_expand_vars(out, kind, &v, TEMPLATE_DN) != ERR_OK)
		return false;
	return buf_check(out) == ERR_OK;
}

static void
probe_content(struct probe *p)
{
	const struct settings_directory *d = p->d;
	const struct {
		const char *name;
		struct str kind;
		bool given;
	} bases[] = {
		{ "base", STR_EMPTY, true },
		{ "user_base", d->user_base, d->user_base.n > 0 },
		{ "group_base", d->group_base, d->group_base.n > 0 },
		{ "domain_base", d->domain_base, d->domain_base.n > 0 && d->domains.n == 0 },
	};
	const struct {
		const char *name;
		struct str kind, filter;
		bool users, wanted;
	} filters[] = {
		{ "user_filter", d->user_base, d->user_filter, true, d->user_dn.n == 0 },
		{ "mailbox_filter", d->user_base, d->mailbox_filter, true, true },
		{ "domain_filter", d->domain_base, d->domain_filter, false, d->domains.n == 0 },
	};
	struct buf base;
	bool before = p->bad;
	buf_init(&base, BASE_MAX);
	p->bad = false;
	for (size_t i = 0; i < ARRAY_LEN(bases); i++, buf_reset(&base))
		if (bases[i].given && base_of(d, bases[i].kind, &base))
			probe_base(p, bases[i].name, buf_str(&base));
	bool missing = p->bad;
	for (size_t i = 0; !missing && i < ARRAY_LEN(filters); i++, buf_reset(&base))
		if (filters[i].wanted && base_of(d, filters[i].kind, &base))
			probe_filter(p, filters[i].name, buf_str(&base), filters[i].filter,
				filters[i].users);
	p->bad |= before;
	buf_fini(&base);
}

/* ---- sections ---- */

/* uri: one of the section's; NULL: all of those that DNS names. */
static enum err
probe_one(struct probe *p, const struct settings *s, const struct str *uri, bool *content_done)
{
	struct ldap_client_options o;
	const char *why = NULL;
	ldap_client_options_of(s, p->d, &o);
	o.pool.binds_min = 0; /* nobody logs in */
	/* the connection's own end comes first, and says what it waited for */
	o.pool.search_ms += o.pool.connect_ms + o.pool.setup_ms;
	if (uri != NULL) {
		o.pool.uris = uri;
		o.pool.uris_count = 1;
	}
	enum err e = ldap_client_new(p->loop, &o, &p->client, &why);
	if (e != ERR_OK) {
		complain(p, "", uri != NULL ? *uri : p->d->srv_domain,
			why != NULL ? why : err_name(e));
		return e;
	}
	if (probe_server(p, uri != NULL ? *uri : p->d->srv_domain) && !*content_done) {
		*content_done = true;
		probe_content(p);
	}
	ldap_client_free(p->client);
	p->client = NULL;
	return ERR_OK;
}

enum err
directory_probe(struct loop *l, const struct settings *s, struct buf *out)
{
	struct probe p = { .loop = l, .out = out };
	enum err e = ERR_OK;
	for (size_t i = 0; e == ERR_OK && i < s->directories_count; i++) {
		bool content_done = false;
		p.d = &s->directories[i];
		if (p.d->uris.n == 0)
			e = probe_one(&p, s, NULL, &content_done);
		for (size_t k = 0; e == ERR_OK && k < p.d->uris.n; k++)
			e = probe_one(&p, s, &p.d->uris.v[k], &content_done);
	}
	return e == ERR_OK && p.bad ? ERR_NOTFOUND : e;
}
