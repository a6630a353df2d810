/* That the alias sections name addresses and lead somewhere; see rows.h. Used by
 * settings_cross_check. */
#include <stdlib.h>

#include "config/rows.h"
#include "core/base/xalloc.h"

enum { ADDRESS_MAX = 320 };

/* "root", "root@example.org". No quotes: addresses of the system need none, and the directory's
 * answers are lists with commas. */
static bool
is_address(struct str s)
{
	struct str local, domain;

	if (s.n == 0 || s.n > ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 127 ||
			memchr("()<>[]\\,;:\"", s.p[i], 11) != NULL)
			return false;
	if (!str_cut(s, '@', &local, &domain))
		return true;
	return local.n > 0 && domain.n > 0 && str_chr(domain, '@') == domain.n;
}

static bool
lists(const struct str_list *l, struct str s)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_ieq(l->v[i], s))
			return true;
	return false;
}

/* A domain that the settings call ours. What only the directory knows is seen at work, where
 * nothing is followed twice. */
static bool
is_ours(const struct settings *s, struct str domain)
{
	bool ours = str_ieq(domain, s->auth.default_domain);

	for (size_t i = 0; i < s->directories_count && !ours; i++)
		ours = lists(&s->directories[i].domains, domain);
	return ours;
}

/* May mail to alias from come to alias to by its address target? */
static bool
leads_to(const struct settings *s, const struct settings_alias *from, struct str target,
	const struct settings_alias *to)
{
	struct str local, domain, title_local, title_domain, from_local, from_domain;
	bool has_domain = str_cut(target, '@', &local, &domain);
	bool to_whole = str_cut(to->title, '@', &title_local, &title_domain);
	bool from_whole = str_cut(from->title, '@', &from_local, &from_domain);

	if (!str_ieq(local, title_local))
		return false;
	if (!has_domain && !from_whole)
		return !to_whole || is_ours(s, title_domain);
	if (!has_domain)
		domain = from_domain;
	return to_whole ? str_ieq(domain, title_domain) : is_ours(s, domain) || !has_domain;
}

enum { FRESH, OPEN, DONE };

/* False: alias i leads back to one that is open. Recursion is as deep as there are sections. */
static bool
follow(const struct settings *s, size_t i, char *state)
{
	const struct settings_alias *a = &s->aliases[i];
	bool fine = true;

	state[i] = OPEN;
	for (size_t k = 0; k < a->to.n; k++)
		for (size_t j = 0; j < s->aliases_count && fine; j++)
			if (leads_to(s, a, a->to.v[k], &s->aliases[j]))
				fine = state[j] == DONE ||
				       (state[j] == FRESH && follow(s, j, state));
	state[i] = DONE;
	return fine;
}

static void
check_loops(const struct settings *s, struct checking *c)
{
	char *state = xcalloc(s->aliases_count + 1, 1);

	for (size_t i = 0; i < s->aliases_count; i++)
		if (state[i] == FRESH && !follow(s, i, state))
			check_complain(c, "alias \"%.*s\" leads to a circle of aliases",
				STR_FMT(s->aliases[i].title));
	free(state);
}

enum err
settings_check_aliases(const struct settings *s, struct buf *err_out)
{
	struct checking c = { .out = err_out };

	if (s->aliases_count > SETTINGS_ALIASES_MAX)
		check_complain(&c, "there are more than %d alias sections", SETTINGS_ALIASES_MAX);
	for (size_t i = 0; i < s->aliases_count; i++) {
		const struct settings_alias *a = &s->aliases[i];
		if (!is_address(a->title))
			check_complain(&c, "alias \"%.*s\": want a local part or an address",
				STR_FMT(a->title));
		if (a->to.n == 0)
			check_complain(&c, "alias \"%.*s\": to is missing", STR_FMT(a->title));
		for (size_t k = 0; k < a->to.n; k++)
			if (!is_address(a->to.v[k]))
				check_complain(&c, "alias \"%.*s\": \"%.*s\" is no address",
					STR_FMT(a->title), STR_FMT(a->to.v[k]));
		for (size_t k = 0; k < i; k++)
			if (str_ieq(s->aliases[k].title, a->title))
				check_complain(
					&c, "alias \"%.*s\" stands twice", STR_FMT(a->title));
	}
	if (!c.failed)
		check_loops(s, &c);
	return c.failed ? ERR_SYNTAX : ERR_OK;
}
