/* What the settings of a section mean for members.c, rights.c and transport.c: which attributes
 * they read, whether their filters and templates are any. Called by section.c and members_begin.
 *
 * Invariant: what members_check let pass can be expanded. */
#include "auth-ldap/directory/members_impl.h"

#include <stdlib.h>

#include "core/base/xalloc.h"

enum { ATTRS_MAX = 256 };

static void
attrs_add(struct members_section *ms, struct str name)
{
	for (size_t i = 0; i < ms->attrs_count; i++)
		if (str_ieq(ms->attrs[i], name))
			return;
	if (name.n > 0 && ms->attrs_count < ATTRS_MAX)
		ms->attrs[ms->attrs_count++] = name;
}

static void
attrs_add_list(struct members_section *ms, const struct str_list *names)
{
	for (size_t i = 0; i < names->n; i++)
		attrs_add(ms, names->v[i]);
}

static void
attrs_add_results(struct members_section *ms, const struct str_list *templates)
{
	struct str name;
	for (size_t i = 0; i < templates->n; i++)
		for (size_t k = 0; result_attribute(templates->v[i], k, &name); k++)
			attrs_add(ms, name);
}

struct members_section *
members_section_new(const struct settings_directory *s)
{
	struct members_section *ms = xcalloc(1, sizeof *ms);
	ms->attrs = xcalloc(ATTRS_MAX, sizeof *ms->attrs);
	ms->in_chain =
		str_find(s->members_filter, STR("1.2.840.113556.1.4.1941")) < s->members_filter.n;
	attrs_add(ms, STR("objectClass"));
	attrs_add(ms, s->user_attribute);
	attrs_add(ms, s->user_attribute_fallback);
	attrs_add(ms, s->mail_attribute);
	attrs_add(ms, s->mail_host_attribute);
	attrs_add(ms, s->routing_attribute);
	attrs_add(ms, s->forward_keep_attribute);
	attrs_add(ms, s->post_users_attribute);
	if (!str_ieq(s->group_send_as, STR("yes")) && !str_ieq(s->group_send_as, STR("no")))
		attrs_add(ms, s->group_send_as);
	attrs_add_list(ms, &s->alias_attributes);
	if (s->members_filter.n == 0)
		attrs_add_list(ms, &s->member_attributes);
	attrs_add_list(ms, &s->url_attributes);
	attrs_add_list(ms, &s->member_name_attributes);
	attrs_add_list(ms, &s->forward_attributes);
	attrs_add_list(ms, &s->sender_attributes);
	attrs_add_list(ms, &s->post_attributes);
	attrs_add_list(ms, &s->owner_attributes);
	attrs_add_results(ms, &s->terminal_result);
	attrs_add_results(ms, &s->alias_result);
	attrs_add_results(ms, &s->leaf_result);
	attrs_add_results(ms, &s->transport_result);
	return ms;
}

void
members_section_free(struct members_section *ms)
{
	if (ms == NULL)
		return;
	batches_free(ms->batches);
	free(ms->attrs);
	free(ms);
}

void
members_section_status(const struct members_section *ms, struct str title, struct buf *out)
{
	if (ms != NULL)
		buf_addf(out, "members directory=%.*s searches=%llu batches=%llu\n", STR_FMT(title),
			(unsigned long long)ms->searches_count,
			(unsigned long long)ms->batches_count);
}

static enum err
check_results(const char *name, const struct str_list *l, struct buf *err_out)
{
	for (size_t i = 0; i < l->n; i++)
		if (result_check(l->v[i]) != ERR_OK) {
			buf_addf(err_out, "%s: \"%.*s\" is no result template", name,
				STR_FMT(l->v[i]));
			return ERR_SYNTAX;
		}
	return ERR_OK;
}

static enum err
check_settings(const struct settings_directory *s, struct buf *err_out)
{
	enum err e = check_results("terminal_result", &s->terminal_result, err_out);
	if (e == ERR_OK)
		e = check_results("alias_result", &s->alias_result, err_out);
	if (e == ERR_OK)
		e = check_results("leaf_result", &s->leaf_result, err_out);
	if (e == ERR_OK)
		e = check_results("transport_result", &s->transport_result, err_out);
	return e;
}

enum err
members_check(const struct settings_directory *s, struct buf *err_out)
{
	size_t before = err_out->n;
	buf_addf(err_out, "directory \"%.*s\": ", STR_FMT(s->title));
	enum err e = check_settings(s, err_out);
	if (e == ERR_OK)
		buf_truncate(err_out, before);
	return e;
}
